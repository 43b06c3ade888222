/* SPDX-License-Identifier: ISC */
/*
 * Did Vault sign what it never answered? Its PKI engine lists the serials of
 * what it has stored, without order, and gives each certificate:
 *
 *	list	GET MOUNT/certs?list=true
 *	look	GET MOUNT/cert/SERIAL, some at once, of those not seen before
 *	chain	GET MOUNT/ca_chain, if one has the key and is young enough
 *
 * What was seen is remembered, by hashes and in bounded memory, so that a
 * second search asks for what is new. A mount that may not be listed, or that
 * has more than we read, is told as one where nothing was found.
 */
#include "issuer/vault_int.h"

#include <stdlib.h>

#include <openssl/sha.h>
#include <openssl/siphash.h>

#include "base/id.h"
#include "base/json.h"
#include "log/log.h"

enum {
	LIST_MAX = 1 << 20, /* bytes: some 16,000 serials */
	LIST_NODES = 40000,
	LOOKS_MAX = 4096,
	LOOKS_AT_ONCE = 8,
	SEEN = 16384,
	SERIAL_TEXT_MAX = 64,
};

struct seen {
	uint64_t serial, spki;
	int64_t not_before; /* seconds; 0: this place is empty */
};

struct vault_seen {
	uint64_t key[2];
	struct seen places[SEEN];
};

/* A search; in the arena of its task. */
struct find {
	struct vault_search s;
	uint64_t spki;
	struct str *serials;
	size_t n, next, running;
	bool over;
	struct vault_found found;
};

/* A certificate that is looked at. */
struct look {
	struct find *f;
	struct str serial;
};

static void look_on(struct find *);

/* ---- what was seen */

struct vault_seen *
vault_seen_new(void)
{
	struct vault_seen *seen = calloc(1, sizeof(*seen));

	if (seen == NULL)
		abort();
	id_random(seen->key, sizeof(seen->key));
	return seen;
}

static uint64_t
hash_of(const struct vault_seen *seen, struct str s)
{
	return SIPHASH_24(seen->key, (const uint8_t *)s.p, s.n);
}

static struct seen *
place_of(struct vault_seen *seen, uint64_t serial)
{
	return &seen->places[serial % SEEN];
}

/* Is it known to be another one? */
static bool
is_other(const struct find *f, struct str serial)
{
	uint64_t hash = hash_of(f->s.seen, serial);
	const struct seen *p = place_of(f->s.seen, hash);

	return p->not_before != 0 && p->serial == hash &&
	    (p->spki != f->spki || p->not_before < f->s.since);
}

/* ---- the end */

static void
finish(struct find *f)
{
	f->over = true;
	task_detach(f->s.task);
	f->s.fn(f->s.arg, &f->found);
}

static void
on_chain(void *arg, const struct fetch_result *r)
{
	struct find *f = arg;
	struct arena *a = f->s.task->arena;
	struct vault_failure failure = vault_judge(a, r);

	if (failure.class == ISSUER_OK)
		f->found.chain = str_dup(a, r->body);
	else
		f->found.failure = failure;
	finish(f);
}

/* ---- look */

/* False: it is not what we look for. */
static bool
take_cert(struct look *l, struct str body)
{
	struct find *f = l->f;
	struct arena *a = f->s.task->arena;
	const struct json *data = json_get(json_parse(a, body, NULL), "data");
	const struct json *revoked = json_get(data, "revocation_time");
	struct str pem = json_get_str(data, "certificate");
	struct pki_cert cert;
	struct str *ders;
	struct seen *p;
	uint64_t hash;
	size_t n;

	if (pem.n == 0 || pki_parse_pem(a, pem, &ders, &n) != NULL ||
	    pki_parse_cert(a, ders[0], &cert) != NULL)
		return false;
	hash = hash_of(f->s.seen, l->serial);
	p = place_of(f->s.seen, hash);
	*p = (struct seen){ .serial = hash,
		.spki = hash_of(f->s.seen, cert.spki),
		.not_before = cert.not_before };
	/* one that was too many, and is dealt with */
	if (revoked != NULL && revoked->type == JSON_INT && revoked->num > 0) {
		p->spki = ~f->spki;
		return false;
	}
	/* a client may use one key for many orders */
	if (!str_eq(cert.spki, f->s.spki) || cert.not_before < f->s.since ||
	    !pki_names_equal(&cert.names, f->s.names))
		return false;
	f->found.pem = str_dup(a, pem);
	return true;
}

static void
on_cert(void *arg, const struct fetch_result *r)
{
	struct look *l = arg;
	struct find *f = l->f;
	struct arena *a = f->s.task->arena;
	struct vault_failure failure = vault_judge(a, r);

	f->running--;
	if (failure.class == ISSUER_OK && take_cert(l, r->body)) {
		task_detach(f->s.task);
		(void)vault_call(f->s.client, f->s.task, STR_NONE,
		    str_printf(a, STR_FMT "/ca_chain", STR_ARG(f->s.mount)),
		    STR_NONE, f->s.timeout, on_chain, f);
		return;
	}
	/* one that has been tidied away meanwhile is none */
	if (failure.class != ISSUER_OK &&
	    failure.class != ISSUER_UPSTREAM_4XX) {
		if (failure.class == ISSUER_AUTH)
			f->found.blind = true;
		else
			f->found.failure = failure;
		finish(f);
		return;
	}
	look_on(f);
}

static void
look_at(struct find *f, struct str serial)
{
	struct arena *a = f->s.task->arena;
	struct look *l = arena_new(a, struct look);

	l->f = f;
	l->serial = serial;
	f->running++;
	(void)vault_call(f->s.client, f->s.task, STR_NONE,
	    str_printf(a, STR_FMT "/cert/" STR_FMT, STR_ARG(f->s.mount),
		STR_ARG(serial)),
	    STR_NONE, f->s.timeout, on_cert, l);
}

static void
look_on(struct find *f)
{
	while (f->running < LOOKS_AT_ONCE && f->next < f->n)
		look_at(f, f->serials[f->next++]);
	if (f->running == 0)
		finish(f);
}

/* ---- list */

static bool
is_serial(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (strchr("0123456789abcdefABCDEF:-", s.p[i]) == NULL)
			return false;
	return s.n > 0 && s.n <= SERIAL_TEXT_MAX;
}

static void
take_list(struct find *f, const struct json *keys)
{
	struct arena *a = f->s.task->arena;
	size_t left_out = 0;

	f->serials = arena_array(a, struct str, LOOKS_MAX);
	json_each(it, keys) {
		if (it->type != JSON_STRING || !is_serial(it->str) ||
		    is_other(f, it->str))
			continue;
		if (f->n < LOOKS_MAX)
			f->serials[f->n++] = str_dup(a, it->str);
		else
			left_out++;
	}
	if (left_out > 0) {
		f->found.blind = true;
		log_warn("vault has more certificates than are looked at",
		    LOG_TEXT("issuer", f->s.name),
		    LOG_INT("left_out", left_out));
	}
}

static void
on_list(void *arg, const struct fetch_result *r)
{
	static const struct json_bounds bounds = { .nodes = LIST_NODES,
		.members = LIST_NODES };
	struct find *f = arg;
	struct arena *a = f->s.task->arena;
	struct vault_failure failure = vault_judge(a, r);

	if (failure.class == ISSUER_OK) {
		take_list(f,
		    json_get(json_get(json_parse_within(a, r->body, &bounds,
					  NULL),
				 "data"),
			"keys"));
		look_on(f);
		return;
	}
	/* 404: there are none */
	if (failure.class == ISSUER_AUTH || failure.class == ISSUER_OTHER) {
		log_warn("vault does not let us see what it has signed",
		    LOG_TEXT("issuer", f->s.name),
		    LOG_TEXT("cause", failure.text));
		f->found.blind = true;
	} else if (failure.class != ISSUER_UPSTREAM_4XX) {
		f->found.failure = failure;
	}
	finish(f);
}

void
vault_find(const struct vault_search *s, struct str token)
{
	struct arena *a = s->task->arena;
	struct find *f = arena_new(a, struct find);

	f->s = *s;
	f->spki = hash_of(s->seen, s->spki);
	(void)vault_call_long(s->client, s->task, token,
	    str_printf(a, STR_FMT "/certs?list=true", STR_ARG(s->mount)),
	    LIST_MAX, s->timeout, on_list, f);
}
