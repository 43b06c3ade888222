/* SPDX-License-Identifier: ISC */
/*
 * tls-alpn-01, RFC 8737, for IP addresses RFC 8738 section 6: TLS 1.2 or
 * later, the protocol acme-tls/1, and a self-signed certificate with exactly
 * the one name and the digest of the key authorization. Nothing is sent after
 * the handshake.
 *
 *	lookup	the addresses; the rule picks
 *	connect	to one after the other, until one answers
 *	shake	hands, then judge: one after the other, and when a turn of the
 *		loop has taken long the others wait for the next, since each
 *		verifies two signatures
 */
#include "validate/validate_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pool.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/when.h"
#include "pki/cert.h"

#define CONNECT_TIMEOUT (5 * WHEN_SECOND)
#define HANDSHAKE_TIMEOUT (5 * WHEN_SECOND)

enum { KEY_LEN_MAX = 1100 }; /* bytes: RSA with 8192 bits, and what is around */
#define VERSION_TAG (CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 0)

static const uint8_t alpn[] = "\x0a"
			      "acme-tls/1";

struct tlsalpn01 {
	struct op op; /* on the query's task, while there is a socket */
	TAILQ_ENTRY(tlsalpn01) turn; /* on validate->shaking */
	struct check *check;
	struct arena *arena; /* the query's */
	struct addr addrs[VALIDATE_ADDRS_MAX];
	size_t naddrs, at;
	int fd; /* -1: none */
	SSL *ssl;
	struct event ev;
	struct timer timer;
	bool connected, queued;
	bool no_13; /* see may_ask_again */
};

static void try_next(struct tlsalpn01 *);
static void shake(struct tlsalpn01 *);
static void queue_shake(struct tlsalpn01 *);
static void on_ready(evutil_socket_t, short, void *);

/* ---- messages */

static const struct problem *
fail(struct tlsalpn01 *t, enum problem_type type, const char *doing,
    const char *why)
{
	return problem_new(t->arena, type, "while %s " STR_FMT ": %s", doing,
	    STR_ARG(check_subject(t->check, t->arena)), why);
}

const struct problem *
tlsalpn01_late(struct check *c)
{
	struct tlsalpn01 *t = c->asking;

	if (t->connected)
		return fail(t, PROBLEM_TLS, "shaking hands with", QUERY_LATE);
	if (t->naddrs > 0)
		return fail(t, PROBLEM_CONNECTION, "connecting to", QUERY_LATE);
	return fail(t, PROBLEM_DNS, "looking up the address of", QUERY_LATE);
}

/* ---- the socket */

static void
drop_socket(struct tlsalpn01 *t)
{
	if (t->fd < 0)
		return;
	if (t->queued)
		TAILQ_REMOVE(&t->check->validate->shaking, t, turn);
	t->queued = false;
	event_del(&t->ev);
	timer_stop(&t->timer);
	SSL_free(t->ssl);
	close(t->fd);
	t->ssl = NULL;
	t->fd = -1;
}

static void
detach(struct op *op)
{
	drop_socket((struct tlsalpn01 *)(void *)op);
}

static void
end(struct tlsalpn01 *t, const struct problem *pr)
{
	drop_socket(t);
	op_done(&t->op);
	query_end(t->check, pr);
}

static void
watch(struct tlsalpn01 *t, short what)
{
	event_del(&t->ev);
	event_assign(&t->ev, loop_base(t->check->validate->loop), t->fd, what,
	    on_ready, t);
	if (event_add(&t->ev, NULL) != 0)
		end(t, fail(t, PROBLEM_SERVER, "watching", "no more sockets"));
}

/* ---- judging */

static bool
is_digest(const struct tlsalpn01 *t, const struct pki_cert *cert)
{
	const struct str *ka = &t->check->rq.key_authorization;
	uint8_t hash[SHA256_DIGEST_LENGTH];

	SHA256((const uint8_t *)ka->p, ka->n, hash);
	return str_eq(cert->acme_identifier, str_make(hash, sizeof(hash)));
}

static bool
is_only_name(const struct tlsalpn01 *t, const struct pki_cert *cert)
{
	const struct validate_request *rq = &t->check->rq;

	if (!cert->has_san || cert->san_other || cert->san_repeats ||
	    cert->names.ndns + cert->names.nips != 1)
		return false;
	if (rq->addr.len > 0)
		return cert->names.nips == 1 &&
		    addr_eq(cert->names.ips[0], rq->addr);
	return cert->names.ndns == 1 &&
	    str_case_eq(cert->names.dns[0], rq->name);
}

/* What is wrong with the certificate, or NULL. */
static const char *
judge_certificate(struct tlsalpn01 *t, struct str der)
{
	struct pki_cert cert;

	if (pki_parse_cert(t->arena, der, &cert) != NULL)
		return "the certificate cannot be read";
	if (!is_only_name(t, &cert))
		return "the certificate has other names than this one";
	if (cert.acme_identifier.p == NULL)
		return "the certificate has no acmeIdentifier";
	if (!cert.acme_critical)
		return "the acmeIdentifier is not critical";
	if (!is_digest(t, &cert))
		return "the acmeIdentifier is not the digest of the key "
		       "authorization";
	if (!pki_cert_is_signed_by(&cert, &cert))
		return "the certificate is not self-signed";
	return NULL;
}

static void
judge(struct tlsalpn01 *t)
{
	const STACK_OF(CRYPTO_BUFFER) *chain = SSL_get0_peer_certificates(
	    t->ssl);
	const CRYPTO_BUFFER *leaf;
	const uint8_t *chosen;
	const char *why;
	unsigned n;

	SSL_get0_alpn_selected(t->ssl, &chosen, &n);
	if (n != sizeof(alpn) - 2 || memcmp(chosen, alpn + 1, n) != 0) {
		end(t,
		    fail(t, PROBLEM_TLS, "shaking hands with",
			"it did not choose the protocol acme-tls/1"));
		return;
	}
	if (chain == NULL || sk_CRYPTO_BUFFER_num(chain) == 0) {
		end(t,
		    fail(t, PROBLEM_TLS, "shaking hands with",
			"it has no certificate"));
		return;
	}
	leaf = sk_CRYPTO_BUFFER_value(chain, 0);
	why = judge_certificate(t,
	    str_make(CRYPTO_BUFFER_data(leaf), CRYPTO_BUFFER_len(leaf)));
	end(t,
	    why == NULL ? NULL :
			  fail(t, PROBLEM_INCORRECT_RESPONSE,
			      "judging the certificate of", why));
}

/* ---- the handshake */

/*
 * BoringSSL wants a certificate of TLS 1.3 to have the key usage for
 * signatures, which RFC 8737 does not ask for and some clients leave out. With
 * TLS 1.2 it is not so strict.
 */
static bool
may_ask_again(const struct tlsalpn01 *t, uint32_t e)
{
	return !t->no_13 && ERR_GET_LIB(e) == ERR_LIB_SSL &&
	    ERR_GET_REASON(e) == SSL_R_KEY_USAGE_BIT_INCORRECT;
}

static void
fail_handshake(struct tlsalpn01 *t)
{
	uint32_t e = ERR_peek_error();
	int reason = ERR_GET_REASON(e);

	if (may_ask_again(t, e)) {
		t->no_13 = true;
		t->connected = false;
		t->at--;
		try_next(t);
		return;
	}
	if (ERR_GET_LIB(e) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET &&
	    reason < SSL_AD_REASON_OFFSET + 256)
		end(t,
		    fail(t, PROBLEM_TLS, "shaking hands with",
			str_printf(t->arena, "it sent the alert \"%s\"",
			    SSL_alert_desc_string_long(
				reason - SSL_AD_REASON_OFFSET))
			    .p));
	else if (ERR_GET_LIB(e) == ERR_LIB_SSL &&
	    reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
		end(t,
		    fail(t, PROBLEM_TLS, "shaking hands with",
			"the key of its certificate is too long"));
	else
		end(t,
		    fail(t, PROBLEM_TLS, "shaking hands with",
			"the TLS handshake failed"));
}

static void
shake(struct tlsalpn01 *t)
{
	int r;

	ERR_clear_error();
	r = SSL_connect(t->ssl);
	if (r == 1) {
		judge(t);
		return;
	}
	switch (SSL_get_error(t->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		watch(t, EV_READ);
		break;
	case SSL_ERROR_WANT_WRITE:
		watch(t, EV_WRITE);
		break;
	default:
		fail_handshake(t);
	}
}

static void
queue_shake(struct tlsalpn01 *t)
{
	struct validate *v = t->check->validate;

	if (t->queued)
		return;
	t->queued = true;
	TAILQ_INSERT_TAIL(&v->shaking, t, turn);
	loop_defer(v->loop, &v->shake);
}

void
tlsalpn01_shake(void *arg)
{
	struct validate *v = arg;
	struct tlsalpn01 *t;

	while ((t = TAILQ_FIRST(&v->shaking)) != NULL) {
		TAILQ_REMOVE(&v->shaking, t, turn);
		t->queued = false;
		shake(t);
		if (loop_is_late(v->loop)) {
			loop_defer(v->loop, &v->shake);
			return;
		}
	}
}

/* RFC 8738 section 6: the name of the address in the reverse tree. */
static const char *
server_name(struct tlsalpn01 *t)
{
	const struct validate_request *rq = &t->check->rq;
	struct buf b = buf_new(t->arena, 256);

	if (rq->addr.len == 0)
		return str_cstr(t->arena, rq->name);
	for (size_t i = rq->addr.len; i-- > 0;) {
		unsigned byte = rq->addr.bytes[i];

		if (rq->addr.len == 4)
			buf_printf(&b, "%u.", byte);
		else
			buf_printf(&b, "%x.%x.", byte & 15, byte >> 4);
	}
	buf_str(&b, rq->addr.len == 4 ? STR("in-addr.arpa") : STR("ip6.arpa"));
	return str_cstr(t->arena, buf_view(&b));
}

static void
begin_handshake(struct tlsalpn01 *t)
{
	t->connected = true;
	timer_start(&t->timer, HANDSHAKE_TIMEOUT);
	t->ssl = SSL_new(t->check->validate->tls);
	if (t->ssl == NULL || SSL_set_fd(t->ssl, t->fd) != 1 ||
	    SSL_set_alpn_protos(t->ssl, alpn, sizeof(alpn) - 1) != 0 ||
	    SSL_set_tlsext_host_name(t->ssl, server_name(t)) != 1) {
		end(t, fail(t, PROBLEM_SERVER, "preparing", "out of memory"));
		return;
	}
	if (t->no_13)
		(void)SSL_set_max_proto_version(t->ssl, TLS1_2_VERSION);
	queue_shake(t);
}

/* ---- the connection */

static void
on_timeout(void *arg)
{
	struct tlsalpn01 *t = arg;

	if (t->connected)
		end(t,
		    fail(t, PROBLEM_TLS, "shaking hands with",
			"it took too long"));
	else
		try_next(t);
}

static void
on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct tlsalpn01 *t = arg;
	int error = 0;
	socklen_t n = sizeof(error);

	(void)what;
	if (t->connected) {
		queue_shake(t);
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error != 0)
		try_next(t);
	else
		begin_handshake(t);
}

static socklen_t
fill_address(const struct tlsalpn01 *t, struct addr a,
    struct sockaddr_storage *ss)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)ss;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)ss;
	uint16_t port = htons((uint16_t)t->check->rq.tls_port);

	memset(ss, 0, sizeof(*ss));
	if (a.len == 4) {
		v4->sin_family = AF_INET;
		v4->sin_port = port;
		memcpy(&v4->sin_addr, a.bytes, 4);
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = port;
	memcpy(&v6->sin6_addr, a.bytes, 16);
	return sizeof(*v6);
}

/* False: this address is not to be had. */
static bool
connect_to(struct tlsalpn01 *t, struct addr a)
{
	struct sockaddr_storage ss;
	socklen_t n = fill_address(t, a, &ss);
	struct addr *tried = t->check->rq.tried;

	if (tried != NULL)
		*tried = a;

	t->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0);
	if (t->fd < 0)
		return false;
	event_assign(&t->ev, loop_base(t->check->validate->loop), t->fd,
	    EV_WRITE, on_ready, t);
	if ((connect(t->fd, (struct sockaddr *)&ss, n) == 0 ||
		errno == EINPROGRESS) &&
	    event_add(&t->ev, NULL) == 0) {
		timer_start(&t->timer, CONNECT_TIMEOUT);
		return true;
	}
	drop_socket(t);
	return false;
}

static void
try_next(struct tlsalpn01 *t)
{
	drop_socket(t);
	while (t->at < t->naddrs)
		if (connect_to(t, t->addrs[t->at++]))
			return;
	end(t,
	    fail(t, PROBLEM_CONNECTION, "connecting to",
		"there is no connection to be had"));
}

/* ---- the beginning */

static void
on_addrs(void *arg, const struct dns_addrs *r)
{
	struct tlsalpn01 *t = arg;
	const struct validate_request *rq = &t->check->rq;

	if (r->status != DNS_OK) {
		query_end(t->check,
		    query_dns_problem(t->arena,
			str_printf(t->arena, "the address of " STR_FMT,
			    STR_ARG(check_subject(t->check, t->arena))),
			r->status));
		return;
	}
	for (size_t i = 0; i < r->n && t->naddrs < VALIDATE_ADDRS_MAX; i++)
		if (validate_allows(&rq->rule, r->v[i]))
			t->addrs[t->naddrs++] = r->v[i];
	if (t->naddrs == 0) {
		query_refuse(t->check,
		    fail(t, PROBLEM_UNAUTHORIZED, "connecting to",
			"this server does not connect to an address like "
			"that"));
		return;
	}
	task_wait(&t->check->query, &t->op);
	try_next(t);
}

void
tlsalpn01_query(struct check *c)
{
	struct arena *a = c->query.arena;
	struct tlsalpn01 *t = arena_new(a, struct tlsalpn01);

	c->asking = t;
	t->check = c;
	t->arena = a;
	t->fd = -1;
	t->op.detach = detach;
	timer_init(&t->timer, c->validate->loop, on_timeout, t);
	dns_lookup_addrs(c->rq.dns, &c->query, check_subject(c, a), on_addrs,
	    t);
}

/* ---- the context */

/* How long the public key of a certificate is, in DER; 0 if it has none. */
static size_t
key_len(const CRYPTO_BUFFER *der)
{
	static const unsigned before[] = { CBS_ASN1_INTEGER, CBS_ASN1_SEQUENCE,
		CBS_ASN1_SEQUENCE, CBS_ASN1_SEQUENCE,
		CBS_ASN1_SEQUENCE }; /* serial, algorithm, issuer, ... */
	CBS cbs, cert, tbs, key;

	CRYPTO_BUFFER_init_CBS(der, &cbs);
	if (!CBS_get_asn1(&cbs, &cert, CBS_ASN1_SEQUENCE) ||
	    !CBS_get_asn1(&cert, &tbs, CBS_ASN1_SEQUENCE) ||
	    !CBS_get_optional_asn1(&tbs, NULL, NULL, VERSION_TAG))
		return 0;
	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++)
		if (!CBS_get_asn1(&tbs, NULL, before[i]))
			return 0;
	return CBS_get_asn1(&tbs, &key, CBS_ASN1_SEQUENCE) ? CBS_len(&key) : 0;
}

/*
 * Who signed it, and whether it is in date, is not the question here; but a
 * signature by a giant key takes long to verify, and there are two.
 */
static enum ssl_verify_result_t
accept_any(SSL *ssl, uint8_t *alert)
{
	const STACK_OF(CRYPTO_BUFFER) *chain = SSL_get0_peer_certificates(ssl);

	if (chain == NULL || sk_CRYPTO_BUFFER_num(chain) == 0 ||
	    key_len(sk_CRYPTO_BUFFER_value(chain, 0)) <= KEY_LEN_MAX)
		return ssl_verify_ok;
	*alert = SSL_AD_BAD_CERTIFICATE;
	return ssl_verify_invalid;
}

struct ssl_ctx_st *
tlsalpn01_context(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_with_buffers_method());

	if (ctx == NULL ||
	    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_custom_verify(ctx, SSL_VERIFY_PEER, accept_any);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	return ctx;
}

void
tlsalpn01_free_context(struct ssl_ctx_st *ctx)
{
	SSL_CTX_free(ctx);
}
