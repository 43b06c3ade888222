/* SPDX-License-Identifier: ISC */
/*
 * The SSL_CTX of a state: versions, ciphers, tickets, client certificates,
 * and the two callbacks that look at a ClientHello (SNI, RFC 6066 section 3;
 * ALPN, RFC 7301).
 */
#include "tls/tls_int.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include "pki/pki.h"

/* Forward secrecy and AEAD only; TLS 1.3 has nothing else anyway. */
#define CIPHERS_12 "ECDHE+AESGCM:ECDHE+CHACHA20"

enum { CLIENT_CHAIN_MAX = 32768 };

static const uint16_t signatures[] = {
	SSL_SIGN_ECDSA_SECP256R1_SHA256,
	SSL_SIGN_ED25519,
	SSL_SIGN_RSA_PSS_RSAE_SHA256,
	SSL_SIGN_RSA_PKCS1_SHA256,
	SSL_SIGN_ECDSA_SECP384R1_SHA384,
	SSL_SIGN_RSA_PSS_RSAE_SHA384,
	SSL_SIGN_RSA_PKCS1_SHA384,
	SSL_SIGN_ECDSA_SECP521R1_SHA512,
	SSL_SIGN_RSA_PSS_RSAE_SHA512,
	SSL_SIGN_RSA_PKCS1_SHA512,
};

/* ---- which certificate */

static int
cmp_name(const void *key, const void *name)
{
	return strcmp(key, ((const struct tls_name *)name)->dns);
}

static const struct tls_cert *
look_up(const struct tls_state *s, const char *dns)
{
	const struct tls_name *name = bsearch(dns, s->names, s->nnames,
	    sizeof(*s->names), cmp_name);

	return name != NULL ? name->cert : NULL;
}

/* By its whole name, or by the wildcard for its first label. */
static const struct tls_cert *
find_cert(const struct tls_state *s, const char *asked)
{
	char dns[PKI_NAME_MAX + 2];
	size_t n = asked != NULL ? strlen(asked) : 0;
	const struct tls_cert *c;
	char *dot;

	if (n == 0 || n > PKI_NAME_MAX)
		return NULL;
	for (size_t i = 0; i <= n; i++)
		dns[i] = str_fold(asked[i]);
	if ((c = look_up(s, dns)) != NULL)
		return c;
	if ((dot = strchr(dns, '.')) == NULL || dot == dns)
		return NULL;
	dot[-1] = '*';
	return look_up(s, dot - 1);
}

static const struct tls_cert *
first_cert(const struct tls_state *s)
{
	for (size_t i = 0; i < s->ncerts; i++)
		if (s->certs[i]->chain != NULL)
			return s->certs[i];
	return NULL;
}

static enum ssl_select_cert_result_t
select_cert(const SSL_CLIENT_HELLO *hello)
{
	const struct tls_state *s = conn_state(hello->ssl);
	const struct tls_cert *c = find_cert(s,
	    SSL_get_servername(hello->ssl, TLSEXT_NAMETYPE_host_name));

	if (c == NULL)
		c = first_cert(s);
	if (c == NULL ||
	    !SSL_set_chain_and_key(hello->ssl, c->chain, c->nchain, c->key,
		NULL))
		return ssl_select_cert_error;
	return ssl_select_cert_success;
}

/* ---- which protocol: the first of ours that is among theirs */

static int
select_protocol(SSL *ssl, const uint8_t **out, uint8_t *out_len,
    const uint8_t *in, unsigned in_len, void *arg)
{
	const struct tls_state *s = conn_state(ssl);
	uint8_t *chosen;

	(void)arg;
	if (SSL_select_next_proto(&chosen, out_len, s->alpn,
		(unsigned)s->alpn_len, in, in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* ---- client certificates */

static const char *
trust_certs(SSL_CTX *ctx, struct str pem, struct arena *a)
{
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	struct str *ders;
	size_t n;
	const char *why = pki_parse_pem(a, pem, &ders, &n);

	for (size_t i = 0; why == NULL && i < n; i++) {
		const uint8_t *p = (const uint8_t *)ders[i].p;
		X509 *x = d2i_X509(NULL, &p, (long)ders[i].n);
		X509_NAME *name;

		if (x == NULL || !X509_STORE_add_cert(store, x)) {
			why = "it holds a certificate that cannot be read";
		} else {
			name = X509_NAME_dup(X509_get_subject_name(x));
			if (name == NULL || !sk_X509_NAME_push(names, name))
				abort();
		}
		X509_free(x);
	}
	/* what the file holds is trusted, be it a root or not */
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	SSL_CTX_set_client_CA_list(ctx, names); /* takes them */
	return why;
}

static bool
ask_clients(SSL_CTX *ctx, const struct tls_server_options *o, struct arena *a,
    struct str *pem, const char **why)
{
	const char *wrong = "there is no file of CA certificates for clients";
	int mode = SSL_VERIFY_PEER;

	*pem = STR_NONE;
	if (o->client_auth == TLS_CLIENT_NONE)
		return true;
	if (o->client_auth == TLS_CLIENT_REQUIRE)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ctx, mode, NULL);
	if (o->client_ca_file == NULL) {
		*why = wrong;
		return false;
	}
	wrong = cert_read_file(o->client_ca_file, a, pem);
	if (wrong == NULL)
		wrong = trust_certs(ctx, *pem, a);
	if (wrong != NULL)
		*why = str_printf(a, "client CA \"%s\": %s", o->client_ca_file,
		    wrong)
			   .p;
	return wrong == NULL;
}

/*
 * A ticket remembers that its client was verified, so it must not outlive
 * the rules by which that was done: they name the context of sessions.
 */
static bool
name_sessions(SSL_CTX *ctx, enum tls_client_auth auth, struct str ca_pem)
{
	uint8_t id[SHA256_DIGEST_LENGTH], mode = (uint8_t)auth;
	SHA256_CTX sha;

	SHA256_Init(&sha);
	SHA256_Update(&sha, &mode, 1);
	SHA256_Update(&sha, ca_pem.p, ca_pem.n);
	SHA256_Final(id, &sha);
	return SSL_CTX_set_session_id_context(ctx, id, sizeof(id));
}

static bool
set_rules(SSL_CTX *ctx)
{
	const size_t n = sizeof(signatures) / sizeof(signatures[0]);

	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(ctx,
	    SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(ctx, TICKET_LIFETIME);
	SSL_CTX_set_session_psk_dhe_timeout(ctx, TICKET_LIFETIME);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_ticket_aead_method(ctx, &tickets_method);
	SSL_CTX_set_max_cert_list(ctx, CLIENT_CHAIN_MAX);
	SSL_CTX_set_select_certificate_cb(ctx, select_cert);
	SSL_CTX_set_alpn_select_cb(ctx, select_protocol, NULL);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) &&
	    SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) &&
	    SSL_CTX_set_strict_cipher_list(ctx, CIPHERS_12) &&
	    SSL_CTX_set_signing_algorithm_prefs(ctx, signatures, n) &&
	    SSL_CTX_set_verify_algorithm_prefs(ctx, signatures, n);
}

SSL_CTX *
context_new(const struct tls_server_options *o, struct arena *a,
    const char **why)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	struct str ca_pem;

	if (ctx == NULL)
		abort();
	if (!set_rules(ctx)) {
		*why = "BoringSSL refuses our TLS settings";
		goto fail;
	}
	if (!ask_clients(ctx, o, a, &ca_pem, why))
		goto fail;
	if (!name_sessions(ctx, o->client_auth, ca_pem)) {
		*why = "BoringSSL refuses our session id context";
		goto fail;
	}
	ERR_clear_error();
	return ctx;
fail:
	SSL_CTX_free(ctx);
	ERR_clear_error();
	return NULL;
}
