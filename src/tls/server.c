/* SPDX-License-Identifier: ISC */
/*
 * The server: options into a state, and states swapped whole. A state never
 * changes, so a handshake that began with one ends with it.
 */
#include "tls/tls_int.h"

#include <stdlib.h>
#include <string.h>

/* ---- states */

static struct tls_state *
state_new(SSL_CTX *ctx, struct tls_tickets *tickets, size_t max_certs)
{
	struct tls_state *s = calloc(1, sizeof(*s));

	if (s == NULL)
		abort();
	s->refs = 1;
	s->ctx = ctx;
	s->tickets = tickets_ref(tickets);
	s->bio = conn_bio_method();
	s->certs = calloc(max_certs + 1, sizeof(struct tls_cert *));
	if (s->certs == NULL)
		abort();
	return s;
}

struct tls_state *
state_ref(struct tls_state *s)
{
	s->refs++;
	return s;
}

void
state_unref(struct tls_state *s)
{
	if (s == NULL || --s->refs > 0)
		return;
	for (size_t i = 0; i < s->ncerts; i++)
		cert_unref(s->certs[i]);
	free(s->certs);
	free(s->names);
	free(s->alpn);
	SSL_CTX_free(s->ctx);
	BIO_meth_free(s->bio);
	tickets_unref(s->tickets);
	free(s);
}

static int
cmp_names(const void *a, const void *b)
{
	const struct tls_name *x = a, *y = b;
	int r = strcmp(x->dns, y->dns);

	if (r != 0)
		return r;
	return x->rank < y->rank ? -1 : x->rank > y->rank;
}

/* Index the names of all certs; of one name the first cert has it. */
static void
index_names(struct tls_state *s)
{
	size_t n = 0, kept = 0;

	for (size_t i = 0; i < s->ncerts; i++)
		n += s->certs[i]->ndns;
	s->names = calloc(n + 1, sizeof(*s->names));
	if (s->names == NULL)
		abort();
	for (size_t i = 0; i < s->ncerts; i++)
		for (size_t j = 0; j < s->certs[i]->ndns; j++)
			s->names[s->nnames++] = (struct tls_name){
				.dns = s->certs[i]->dns[j],
				.cert = s->certs[i],
				.rank = i,
			};
	qsort(s->names, n, sizeof(*s->names), cmp_names);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 ||
		    strcmp(s->names[kept - 1].dns, s->names[i].dns) != 0)
			s->names[kept++] = s->names[i];
	s->nnames = kept;
}

static bool
set_alpn(struct tls_state *s, const char *const *protocols)
{
	static const char *const http11[] = { "http/1.1", NULL };

	if (protocols == NULL)
		protocols = http11;
	for (; *protocols != NULL; protocols++) {
		size_t n = strlen(*protocols);

		if (n == 0 || n > 255)
			return false;
		s->alpn = realloc(s->alpn, s->alpn_len + 1 + n);
		if (s->alpn == NULL)
			abort();
		s->alpn[s->alpn_len] = (uint8_t)n;
		memcpy(s->alpn + s->alpn_len + 1, *protocols, n);
		s->alpn_len += 1 + n;
	}
	return true;
}

static struct tls_cert *
find_named(const struct tls_state *s, const char *name)
{
	for (size_t i = 0; s != NULL && i < s->ncerts; i++)
		if (strcmp(s->certs[i]->name, name) == 0)
			return s->certs[i];
	return NULL;
}

/* The cert of a pair; a place keeps what `old` has there. */
static struct tls_cert *
load_or_keep(const struct tls_pair *pair, const struct tls_state *old,
    struct arena *a, const char **why)
{
	struct tls_cert *c = cert_load(pair, a, why), *was;

	if (c == NULL || c->chain != NULL)
		return c;
	if ((was = find_named(old, c->name)) == NULL)
		return c;
	cert_unref(c);
	return cert_ref(was);
}

static struct tls_state *
build(const struct tls_server_options *o, const struct tls_state *old,
    struct arena *a, const char **why)
{
	SSL_CTX *ctx = context_new(o, a, why);
	struct tls_tickets *tickets;
	struct tls_state *s;

	if (ctx == NULL)
		return NULL;
	tickets = old != NULL ? tickets_ref(old->tickets) : tickets_new();
	s = state_new(ctx, tickets, o->npairs);
	tickets_unref(tickets);
	if (!set_alpn(s, o->alpn)) {
		*why = "an ALPN protocol has 1 to 255 bytes";
		goto fail;
	}
	for (size_t i = 0; i < o->npairs; i++) {
		struct tls_cert *c = load_or_keep(&o->pairs[i], old, a, why);

		if (c == NULL)
			goto fail;
		s->certs[s->ncerts++] = c;
	}
	index_names(s);
	return s;
fail:
	state_unref(s);
	return NULL;
}

/* ---- the server */

struct tls_server *
tls_server_new(const struct tls_server_options *o, struct arena *a,
    const char **why)
{
	struct tls_state *state = build(o, NULL, a, why);
	struct tls_server *s;

	if (state == NULL)
		return NULL;
	if ((s = calloc(1, sizeof(*s))) == NULL)
		abort();
	s->state = state;
	return s;
}

struct tls_state *
tls_server_stage(const struct tls_server *s, const struct tls_server_options *o,
    struct arena *a, const char **why)
{
	return build(o, s->state, a, why);
}

void
tls_server_swap(struct tls_server *s, struct tls_state *staged)
{
	state_unref(s->state);
	s->state = staged;
}

void
tls_server_discard(struct tls_state *staged)
{
	state_unref(staged);
}

/* A copy of old in which c stands at its name's place. Takes c over. */
static struct tls_state *
with_cert(const struct tls_state *old, struct tls_cert *c)
{
	struct tls_state *s;
	bool placed = false;

	SSL_CTX_up_ref(old->ctx);
	s = state_new(old->ctx, old->tickets, old->ncerts + 1);
	s->alpn = malloc(old->alpn_len);
	if (s->alpn == NULL)
		abort();
	memcpy(s->alpn, old->alpn, old->alpn_len);
	s->alpn_len = old->alpn_len;
	for (size_t i = 0; i < old->ncerts; i++) {
		bool here = !placed &&
		    strcmp(old->certs[i]->name, c->name) == 0;

		s->certs[s->ncerts++] = here ? c : cert_ref(old->certs[i]);
		placed = placed || here;
	}
	if (!placed)
		s->certs[s->ncerts++] = c;
	index_names(s);
	return s;
}

bool
tls_server_set_pair(struct tls_server *s, const char *name, struct str cert_pem,
    struct str key_pem, struct arena *a, const char **why)
{
	const struct tls_pair pair = { .name = name,
		.cert_pem = cert_pem,
		.key_pem = key_pem };
	struct tls_state *old = s->state;
	struct tls_cert *c;

	if (cert_pem.n == 0) {
		*why = str_printf(a, "there is no certificate for \"%s\"", name)
			   .p;
		return false;
	}
	if ((c = cert_load(&pair, a, why)) == NULL)
		return false;
	s->state = with_cert(old, c);
	state_unref(old);
	return true;
}

int64_t
tls_server_expires(const struct tls_server *s, const char *name)
{
	const struct tls_cert *c = find_named(s->state, name);

	return c != NULL ? c->expires : INT64_MAX;
}

void
tls_server_free(struct tls_server *s)
{
	if (s == NULL)
		return;
	state_unref(s->state);
	free(s);
}
