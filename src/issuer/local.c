/* SPDX-License-Identifier: ISC */
/*
 * The local CA: build the to-be-signed bytes, lint them by an independent
 * reading, sign. CPU only, so it is done at once and answered from the top of
 * the loop.
 */
#include "issuer/front.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>

#include "base/hex.h"
#include "base/when.h"

struct local {
	struct issuer issuer;
	struct loop *loop;
	struct arena *arena; /* holds the CA and the texts */
	struct pki_ca ca;
	struct str alternate; /* PEM; STR_NONE: there is no other chain */
	char chain_id[65];    /* SHA-256 of the chain's text */
	int64_t backdate;
	struct url {
		char text[PKI_URL_MAX + 1]; /* empty: none */
	} ocsp_url, ca_issuers_url, crl_url;
	struct issuer_publishing publishing;
	issuer_revoked_fn *on_revoke; /* NULL: nobody asked */
	void *on_revoke_arg;
};

/* Work under way, which is to say: its answer waits in the queue. */
struct signing {
	struct op op;
	struct deferred answer;
	struct loop *loop;
	struct arena *arena;
	struct issuer_result result;
	issuer_fn *fn;
	void *arg;
};

static void
answer(void *arg)
{
	struct signing *s = arg;

	op_done(&s->op);
	s->fn(s->arg, &s->result);
	arena_destroy(s->arena);
}

static void
detach(struct op *op)
{
	struct signing *s = (struct signing *)(void *)op;

	loop_undefer(s->loop, &s->answer);
	arena_destroy(s->arena);
}

static struct str
get_url(const struct url *u)
{
	return u->text[0] != '\0' ? str_from(u->text) : STR_NONE;
}

static struct str
crl_url(const struct local *l, struct arena *a, unsigned shards, unsigned shard)
{
	if (l->crl_url.text[0] == '\0' || shards <= 1)
		return get_url(&l->crl_url);
	return str_printf(a, "%s/%u/%u", l->crl_url.text, shards, shard);
}

/* The certificate for a request, or the sentence that says why not. */
static const char *
make_certificate(struct local *l, struct arena *a,
    const struct issuer_request *rq, struct str *der)
{
	struct pki_cert_spec spec = {
		.names = rq->names,
		.cn = rq->cn,
		.spki = rq->spki,
		.not_before = rq->not_before / WHEN_SECOND,
		.not_after = rq->not_after / WHEN_SECOND,
		.key_usage = pki_key_usage_for(rq->kind),
		.eku = rq->eku,
		.ca_issuers_url = get_url(&l->ca_issuers_url),
		.must_staple = rq->must_staple,
		.no_rev_avail = rq->no_rev_avail,
	};
	struct pki_lint_profile lint = {
		.issuer = &l->ca.cert,
		.names = rq->names,
		.spki = rq->spki,
		.max_lifetime = rq->max_lifetime / WHEN_SECOND,
		.key_usage = spec.key_usage,
		.eku = rq->eku,
		.must_staple = rq->must_staple,
		.no_rev_avail = rq->no_rev_avail,
	};
	struct str tbs;
	const char *why;

	memcpy(spec.serial, rq->serial, sizeof(spec.serial));
	if (!rq->no_rev_avail) { /* RFC 9608: there is nothing to ask for */
		spec.ocsp_url = get_url(&l->ocsp_url);
		spec.crl_url = crl_url(l, a, l->publishing.crl_shards,
		    pki_crl_shard(str_make(rq->serial, sizeof(rq->serial)),
			l->publishing.crl_shards));
	}
	tbs = pki_build_tbs(a, &l->ca, &spec);
	if (tbs.p == NULL)
		return "a field is out of bounds";
	if ((why = pki_lint_tbs(a, tbs, &lint)) != NULL)
		return why;
	*der = pki_sign_tbs(a, &l->ca, tbs);
	return der->p != NULL ? NULL : "the signature failed";
}

/* Its answer, to be filled in now, leaves from the top of the loop. */
static struct signing *
begin(struct local *l, struct task *t, issuer_fn *fn, void *arg)
{
	struct arena *a = arena_create();
	struct signing *s = arena_new(a, struct signing);

	*s = (struct signing){ .arena = a,
		.fn = fn,
		.arg = arg,
		.loop = l->loop };
	s->op.detach = detach;
	deferred_init(&s->answer, answer, s);
	task_wait(t, &s->op);
	loop_defer(l->loop, &s->answer);
	return s;
}

static void
local_sign(struct issuer *issuer, struct task *t,
    const struct issuer_request *rq, issuer_fn *fn, void *arg)
{
	struct local *l = (struct local *)(void *)issuer;
	struct signing *s = begin(l, t, fn, arg);
	struct arena *a = s->arena;
	const char *why;

	s->result.chain_pem = l->ca.chain_pem;
	s->result.chain_id = l->chain_id;
	s->result.serial = pki_serial_text(a,
	    str_make(rq->serial, sizeof(rq->serial)));
	s->result.not_before = rq->not_before;
	s->result.not_after = rq->not_after;
	if ((why = make_certificate(l, a, rq, &s->result.der)) != NULL) {
		s->result.class = ISSUER_OTHER;
		s->result.problem = problem_cause(a, PROBLEM_SERVER,
		    "issuer %s: %s", issuer->name, why);
	}
}

/* The store holds it already; what is left is to publish it. */
static void
local_revoke(struct issuer *issuer, struct task *t, struct str serial,
    issuer_fn *fn, void *arg)
{
	struct local *l = (struct local *)(void *)issuer;

	(void)begin(l, t, fn, arg);
	if (l->on_revoke != NULL)
		l->on_revoke(l->on_revoke_arg, issuer, serial);
}

static void
local_test(struct issuer *issuer, struct task *t, issuer_fn *fn, void *arg)
{
	struct local *l = (struct local *)(void *)issuer;
	struct signing *s = begin(l, t, fn, arg);
	struct arena *a = s->arena;
	const char *why = pki_try_ca(a, &l->ca,
	    loop_wall(l->loop) / WHEN_SECOND);

	s->result.found = "its key signs, and its certificate agrees";
	if (why != NULL) {
		s->result.class = ISSUER_OTHER;
		s->result.problem = problem_cause(a, PROBLEM_SERVER,
		    "issuer %s: %s", issuer->name, why);
	}
}

static void
local_free(struct issuer *issuer)
{
	struct local *l = (struct local *)(void *)issuer;

	arena_destroy(l->arena);
	free(l);
}

static const struct issuer_ops local_ops = {
	.type = "local",
	.plans = true,
	.sign = local_sign,
	.test = local_test,
	.revoke = local_revoke,
	.free = local_free,
};

/* A URL of the configuration is shorter: CONF_URL_MAX. */
static void
set_url(struct url *u, const char *text)
{
	u->text[0] = '\0';
	if (text != NULL)
		strncat(u->text, text, sizeof(u->text) - 1);
}

void
issuer_local_set(struct issuer *issuer, const struct issuer_local_options *o)
{
	struct local *l = (struct local *)(void *)issuer;

	l->backdate = o->backdate;
	set_url(&l->ocsp_url, o->ocsp_url);
	set_url(&l->ca_issuers_url, o->ca_issuers_url);
	set_url(&l->crl_url, o->crl_url);
	l->publishing = (struct issuer_publishing){
		.crl_interval = o->crl_interval,
		.crl_lifetime = o->crl_lifetime,
		.ocsp_lifetime = o->ocsp_lifetime,
		.responder_lifetime = o->responder_lifetime,
		.longest = o->longest,
		/* without a URL nobody would find them */
		.crl_shards = o->crl_url != NULL && o->crl_interval > 0 &&
			o->crl_shards > 1 ?
		    o->crl_shards :
		    1,
	};
}

struct str
issuer_local_crl_url(const struct issuer *issuer, struct arena *a,
    unsigned shards, unsigned shard)
{
	const struct local *l = (const struct local *)(const void *)issuer;

	return crl_url(l, a, shards, shard);
}

struct issuer_publishing
issuer_local_publishing(const struct issuer *issuer)
{
	const struct local *l = (const struct local *)(const void *)issuer;
	struct issuer_publishing p = l->publishing;

	if (!pki_ca_signs_crls(&l->ca))
		p.crl_interval = 0;
	return p;
}

void
issuer_local_on_revoke(struct issuer *issuer, issuer_revoked_fn *fn, void *arg)
{
	struct local *l = (struct local *)(void *)issuer;

	l->on_revoke = fn;
	l->on_revoke_arg = arg;
}

/* It begins with another certificate of the same CA, or ends elsewhere. */
static const char *
load_alternate(struct local *l, const struct issuer_local_options *o)
{
	struct pki_ca other;
	const char *why;

	if (o->alternate_file == NULL)
		return NULL;
	why = pki_load_ca_files(l->arena,
	    &(struct pki_ca_files){ .cert = o->alternate_file,
		.key = o->key_file,
		.passphrase = o->passphrase_file },
	    when_now() / WHEN_SECOND, &other);
	if (why != NULL)
		return why;
	if (!str_eq(other.cert.subject, l->ca.cert.subject) ||
	    !str_eq(other.cert.ski, l->ca.cert.ski))
		return str_printf(l->arena,
		    "%s: the subject or the key id is not that of %s",
		    o->alternate_file, o->cert_file)
		    .p;
	l->alternate = other.chain_pem;
	return NULL;
}

struct issuer *
issuer_local_new(const struct issuer_local_options *o, struct arena *a,
    const char **why)
{
	struct local *l = calloc(1, sizeof(*l));
	uint8_t hash[32];

	if (l == NULL)
		abort();
	l->arena = arena_create();
	/* CPU only: it answers at once, so nothing is to be bounded */
	issuer_init(&l->issuer, &local_ops, o->name, o->loop,
	    &(struct issuer_bounds){ 0 });
	l->loop = o->loop;
	issuer_local_set(&l->issuer, o);
	*why = pki_load_ca_files(l->arena,
	    &(struct pki_ca_files){ .cert = o->cert_file,
		.key = o->key_file,
		.chain = o->chain_file,
		.passphrase = o->passphrase_file },
	    when_now() / WHEN_SECOND, &l->ca);
	if (*why == NULL)
		*why = load_alternate(l, o);
	if (*why != NULL) {
		*why = str_cstr(a, str_from(*why)); /* ours goes away */
		issuer_free(&l->issuer);
		return NULL;
	}
	SHA256((const uint8_t *)l->ca.chain_pem.p, l->ca.chain_pem.n, hash);
	memcpy(l->chain_id, hex_encode(l->arena, str_make(hash, 32)).p, 65);
	return &l->issuer;
}

struct str
issuer_local_alternate(const struct issuer *issuer, struct str chain_id)
{
	const struct local *l = (const struct local *)(const void *)issuer;

	return issuer->ops == &local_ops && str_is(chain_id, l->chain_id) ?
	    l->alternate :
	    STR_NONE;
}

const struct pki_ca *
issuer_local_ca(const struct issuer *issuer)
{
	return &((const struct local *)(const void *)issuer)->ca;
}

/* A short life would be over before it begins. */
static int64_t
backdate_of(const struct local *l, int64_t lifetime)
{
	int64_t most = lifetime / ISSUER_BACKDATE_PART;

	return l->backdate < most ? l->backdate : most;
}

bool
issuer_plan_validity(const struct issuer *issuer, int64_t now, int64_t lifetime,
    int64_t *not_before, int64_t *not_after)
{
	const struct local *l = (const struct local *)(const void *)issuer;
	int64_t from, to;

	if (!issuer->ops->plans)
		return false;
	from = now - backdate_of(l, lifetime);
	if (from / WHEN_SECOND < l->ca.cert.not_before)
		from = l->ca.cert.not_before * WHEN_SECOND;
	from -= from % WHEN_SECOND;
	/* RFC 5280 counts both ends in, hence the one second less */
	to = from + lifetime - lifetime % WHEN_SECOND - WHEN_SECOND;
	if (to / WHEN_SECOND > l->ca.cert.not_after)
		to = l->ca.cert.not_after * WHEN_SECOND;
	*not_before = from;
	*not_after = to;
	return to > now;
}
