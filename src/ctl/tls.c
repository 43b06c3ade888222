/* SPDX-License-Identifier: ISC */
/*
 * certloopctl --server: the URL, the API key, and TLS with a server whose
 * certificate is for the URL's host and comes from a CA that is trusted.
 */
#include "ctl/link.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/addr.h"

#define SYSTEM_ROOTS "/etc/ssl/certs/ca-certificates.crt"

enum { KEY_MAX = 512, HOST_MAX = 253 };

/* ---- the URL */

static bool
complain_url(const char *url)
{
	fprintf(stderr,
	    "certloopctl: --server %s will not do: give https://HOST or "
	    "https://HOST:PORT\n",
	    url);
	return false;
}

/* "[2001:db8::1]:8443", "ca.example.org" */
static bool
parse_authority(struct ctl *ctl, struct str authority)
{
	struct str rest = authority, host;
	uint64_t port = 443;

	if (authority.n > 0 && authority.p[0] == '[') {
		rest = str_skip(rest, 1);
		host = str_cut(&rest, ']');
		if (rest.n > 0 && rest.p[0] != ':')
			return false;
		rest = str_skip(rest, rest.n > 0);
	} else {
		host = str_cut(&rest, ':');
	}
	if (rest.n > 0 && (!str_u64(rest, &port) || port == 0 || port > 65535))
		return false;
	if (host.n == 0 || host.n > HOST_MAX ||
	    authority.p[authority.n - 1] == ':')
		return false;
	for (size_t i = 0; i < authority.n; i++)
		if (authority.p[i] <= ' ' || authority.p[i] >= 0x7f ||
		    strchr("/?#@\\", authority.p[i]) != NULL)
			return false;
	ctl->host = str_cstr(ctl->arena, host);
	ctl->port = str_printf(ctl->arena, "%u", (unsigned)port).p;
	return true;
}

bool
ctl_use_server(struct ctl *ctl, const char *url)
{
	struct str rest = str_from(url);

	if (!str_starts(rest, STR("https://")))
		return complain_url(url);
	rest = str_skip(rest, 8);
	if (rest.n > 0 && rest.p[rest.n - 1] == '/')
		rest.n--;
	if (!parse_authority(ctl, rest))
		return complain_url(url);
	ctl->server = str_cstr(ctl->arena,
	    str_join(ctl->arena, STR("https://"), rest));
	return true;
}

struct str
link_host(const struct ctl *ctl)
{
	return ctl->server != NULL ? str_skip(str_from(ctl->server), 8) :
				     STR("localhost");
}

/* ---- the key */

/* Bytes that stand for themselves in a header. */
static bool
take_key(struct ctl *ctl, struct str text, const char *where)
{
	struct str key = str_trim(text);

	for (size_t i = 0; i < key.n; i++)
		if (key.p[i] <= ' ' || key.p[i] >= 0x7f)
			key.n = 0;
	if (key.n == 0 || key.n > KEY_MAX) {
		fprintf(stderr, "certloopctl: there is no API key in %s\n",
		    where);
		return false;
	}
	ctl->key = str_cstr(ctl->arena, key);
	return true;
}

static bool
complain_file(const char *path, const char *what)
{
	fprintf(stderr, "certloopctl: the key file %s: %s\n", path, what);
	return false;
}

bool
ctl_read_key(struct ctl *ctl, const char *path)
{
	char text[KEY_MAX + 2];
	struct stat st;
	FILE *f = fopen(path, "re");
	size_t n;
	bool ok;

	if (f == NULL)
		return complain_file(path, strerror(errno));
	if (fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) &&
	    (st.st_mode & 077) != 0) {
		(void)fclose(f);
		return complain_file(path,
		    "others may read it; \"chmod 600\" keeps it to you");
	}
	(void)setvbuf(f, NULL, _IONBF, 0); /* no copy stays in a buffer */
	n = fread(text, 1, sizeof(text), f);
	(void)fclose(f);
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	ok = take_key(ctl, str_make(text, n), path);
	OPENSSL_cleanse(text, sizeof(text));
	return ok;
}

bool
ctl_take_key(struct ctl *ctl, const char *text)
{
	return take_key(ctl, str_from(text), "CERTLOOP_KEY");
}

struct str
link_authorization(const struct ctl *ctl)
{
	if (ctl->server == NULL)
		return STR("");
	return str_printf(ctl->arena, "Authorization: Bearer %s\r\n", ctl->key);
}

/* ---- the connection */

static int
connect_to(const struct addrinfo *ai)
{
	struct timeval tv = { .tv_sec = CTL_TIMEOUT };
	int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC, 0);
	int saved;

	if (fd >= 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) == 0 &&
	    connect(fd, ai->ai_addr, ai->ai_addrlen) == 0)
		return fd;
	saved = errno;
	if (fd >= 0)
		close(fd);
	errno = saved;
	return -1;
}

int
tls_connect(struct ctl *ctl)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV };
	struct addrinfo *all = NULL;
	const char *why;
	int fd = -1, code;

	code = getaddrinfo(ctl->host, ctl->port, &hints, &all);
	for (const struct addrinfo *ai = all; ai != NULL && fd < 0;
	     ai = ai->ai_next)
		fd = connect_to(ai);
	why = code != 0 ? gai_strerror(code) : strerror(errno);
	if (fd < 0)
		fprintf(stderr,
		    "certloopctl: cannot reach certloopd at %s: "
		    "%s\n",
		    ctl->server, why);
	if (all != NULL)
		freeaddrinfo(all);
	return fd;
}

/* ---- TLS */

static const char *
roots_of(const struct ctl *ctl)
{
	const char *roots = getenv("SSL_CERT_FILE");

	if (ctl->ca_file != NULL)
		return ctl->ca_file;
	return roots != NULL && roots[0] != '\0' ? roots : SYSTEM_ROOTS;
}

/* Once for all connections of the program. */
static SSL_CTX *
make_context(struct ctl *ctl)
{
	const char *roots = roots_of(ctl);

	if (ctl->tls != NULL)
		return ctl->tls;
	ctl->tls = SSL_CTX_new(TLS_method());
	if (ctl->tls == NULL ||
	    SSL_CTX_set_min_proto_version(ctl->tls, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_load_verify_locations(ctl->tls, roots, NULL) != 1) {
		fprintf(stderr,
		    "certloopctl: cannot use the CA certificates in %s\n",
		    roots);
		return NULL;
	}
	SSL_CTX_set_verify(ctl->tls, SSL_VERIFY_PEER, NULL);
	return ctl->tls;
}

void
ctl_free_tls(struct ctl *ctl)
{
	SSL_CTX_free(ctl->tls);
}

/* An address is looked for among the addresses, a name among the names. */
static bool
expect_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *p = SSL_get0_param(ssl);
	struct addr addr;

	X509_VERIFY_PARAM_set_hostflags(p,
	    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (addr_parse(str_from(host), &addr))
		return X509_VERIFY_PARAM_set1_ip(p, addr.bytes, addr.len) == 1;
	return X509_VERIFY_PARAM_set1_host(p, host, strlen(host)) == 1 &&
	    SSL_set_tlsext_host_name(ssl, host) == 1;
}

static void
say_failure(const struct ctl *ctl, SSL *ssl)
{
	long verdict = SSL_get_verify_result(ssl);
	uint32_t e = ERR_peek_error();

	if (ERR_GET_LIB(e) == ERR_LIB_SSL &&
	    ERR_GET_REASON(e) == SSL_R_CERTIFICATE_VERIFY_FAILED)
		fprintf(stderr,
		    "certloopctl: the certificate of certloopd at %s will not "
		    "do: %s; --ca-file says whom to trust\n",
		    ctl->server, X509_verify_cert_error_string(verdict));
	else
		fprintf(stderr,
		    "certloopctl: no TLS with certloopd at %s: %s\n",
		    ctl->server,
		    e != 0 ? ERR_reason_error_string(e) :
			     "the connection ended");
}

struct ssl_st *
tls_open(struct ctl *ctl, int fd)
{
	SSL_CTX *context = make_context(ctl);
	SSL *ssl = context != NULL ? SSL_new(context) : NULL;

	if (ssl == NULL)
		return NULL;
	ERR_clear_error();
	if (SSL_set_fd(ssl, fd) == 1 && expect_host(ssl, ctl->host) &&
	    SSL_connect(ssl) == 1)
		return ssl;
	say_failure(ctl, ssl);
	SSL_free(ssl);
	return NULL;
}
