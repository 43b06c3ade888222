/* SPDX-License-Identifier: ISC */
/*
 * One transfer of the library: its options, and what it calls back for. Every
 * protocol, resolver, proxy and redirect of its own is switched off.
 */
#include "fetch/fetch_int.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "base/when.h"

enum {
	/* records and messages: until the handshake is over; in all */
	HANDSHAKE_MESSAGES_MAX = 256,
	TLS_MESSAGES_MAX = 4096,
	STRANGERS_MESSAGES_MAX = 768, /* with a rule, so of 48 KiB at most */
	/* with an RSA key of 8192 bits */
	HANDSHAKE_SIGNATURE_MAX = 1024 + 256,
	/* the library reads a hundred times so much at once, if it comes */
	STRANGERS_BUFFER = 1024,
};

void
wipe_list(struct curl_slist *list)
{
	for (struct curl_slist *l = list; l != NULL; l = l->next)
		explicit_bzero(l->data, strlen(l->data));
	curl_slist_free_all(list);
}

/* ---- called by the library */

static struct addr
get_addr(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return addr_from_bytes(&((const struct sockaddr_in *)(const void
						 *)sa)
					    ->sin_addr,
		    4);
	if (sa->sa_family == AF_INET6)
		return addr_from_bytes(&((const struct sockaddr_in6
						 *)(const void *)sa)
					    ->sin6_addr,
		    16);
	return addr_from_bytes(NULL, 0);
}

static uint64_t
get_inode(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

static void
remember_socket(struct fetch_call *call, int fd)
{
	if (fd >= 0 && call->nopened < DNS_ADDRS_MAX)
		call->opened[call->nopened++] = (struct opened){ .fd = fd,
			.inode = get_inode(fd) };
}

/*
 * Reset what is connected: whatever the library is at, it finds no more bytes.
 * Those that came before a shutdown it would read to the end.
 */
static void
cut_connection(const struct fetch_call *call)
{
	static const struct sockaddr none = { .sa_family = AF_UNSPEC };

	for (size_t i = 0; i < call->nopened; i++)
		if (get_inode(call->opened[i].fd) == call->opened[i].inode)
			(void)connect(call->opened[i].fd, &none, sizeof(none));
}

/* The last gate: no socket but for an address that we resolved and judged. */
static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct fetch_call *call = arg;
	struct addr addr = get_addr(&to->addr);
	int fd;

	if (purpose != CURLSOCKTYPE_IPCXN || !target_allows(call, addr)) {
		call->forbidden = true;
		return CURL_SOCKET_BAD;
	}
	call->result.peer = addr;
	fd = socket(to->family, to->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    to->protocol);
	remember_socket(call, fd);
	return fd;
}

/* Names are never looked up by the library: 0 lets a literal pass. */
static int
on_resolve(void *state, void *reserved, void *arg)
{
	const struct fetch_call *call = arg;

	(void)state;
	(void)reserved;
	return call->literal ? 0 : 1;
}

/* The connection stands, the handshake begins. */
static CURLcode
on_handshake(CURL *easy, void *context, void *arg)
{
	(void)easy;
	(void)context; /* OpenSSL's, not BoringSSL's: hands off */
	call_set_phase(arg, FETCH_HANDSHAKE);
	return CURLE_OK;
}

/* A handshake message of this type must not be as long as this. */
static bool
is_excessive(const uint8_t *p, size_t n)
{
	enum { SERVER_KEY_EXCHANGE = 12, CERTIFICATE_VERIFY = 15 };

	return n > HANDSHAKE_SIGNATURE_MAX &&
	    (p[0] == SERVER_KEY_EXCHANGE || p[0] == CERTIFICATE_VERIFY);
}

static unsigned
messages_max(const struct fetch_call *call)
{
	if (call->result.phase < FETCH_ANSWER)
		return HANDSHAKE_MESSAGES_MAX;
	return call->rule != NULL ? STRANGERS_MESSAGES_MAX : TLS_MESSAGES_MAX;
}

/*
 * What the TLS library is about to read: the header of each record, and each
 * message. There are messages that it reads and forgets as long as they come
 * (hello requests, updates of keys), all in one call, and such whose reading
 * takes it long (signatures of giant keys).
 */
static int
on_debug(CURL *easy, curl_infotype kind, char *p, size_t n, void *arg)
{
	struct fetch_call *call = arg;

	(void)easy;
	if (kind == CURLINFO_SSL_DATA_IN &&
	    (++call->tls_messages > messages_max(call) ||
		is_excessive((const uint8_t *)p, n)))
		cut_connection(call);
	return 0;
}

/* All is ready to send. */
static int
on_ready(void *arg, char *peer, char *own, int peer_port, int own_port)
{
	struct fetch_call *call = arg;
	struct str text = str_from(peer);

	(void)own;
	(void)peer_port;
	(void)own_port;
	if (text.n > 2 && text.p[0] == '[')
		text = str_make(text.p + 1, text.n - 2);
	(void)addr_parse(text, &call->result.peer);
	call->result.sent = true;
	call_set_phase(call, FETCH_ANSWER);
	return CURL_PREREQFUNC_OK;
}

static size_t
read_body(char *out, size_t size, size_t n, void *arg)
{
	struct fetch_call *call = arg;
	size_t left = call->body.n - call->body_sent, max = size * n;

	if (left > max)
		left = max;
	memcpy(out, call->body.p + call->body_sent, left);
	call->body_sent += left;
	return left;
}

static size_t
on_header(char *p, size_t size, size_t n, void *arg)
{
	struct fetch_call *call = arg;

	long status = 0;

	call->header_len += size * n;
	if (call->header_len > FETCH_HEADER_MAX) {
		call->result.error = FETCH_TOO_LARGE;
		return 0;
	}
	if (size * n > 0 && (p[0] == '\r' || p[0] == '\n')) {
		curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
		if (status >= 200)
			call_set_phase(call, FETCH_BODY);
	}
	return size * n;
}

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	struct fetch_call *call = arg;

	buf_put(&call->in, p, size * n);
	if (!call->in.full)
		return size * n;
	call->result.error = FETCH_TOO_LARGE;
	return 0;
}

/* ---- options */

static void
set_limits(CURL *c)
{
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(c, CURLOPT_UNRESTRICTED_AUTH, 0L);
	curl_easy_setopt(c, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
	curl_easy_setopt(c, CURLOPT_MAXAGE_CONN, 30L);
	curl_easy_setopt(c, CURLOPT_MAXLIFETIME_CONN, 600L);
	/* our own timers are the deadlines; theirs must not be sooner */
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, 3600000L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, 0L);
}

static void
set_tls(struct fetch_call *call)
{
	struct curl_blob blob = { .data = (void *)(uintptr_t)call->ca_pem.p,
		.len = call->ca_pem.n,
		.flags = CURL_BLOB_COPY };
	CURL *c = call->easy;
	bool verify = call->tls == FETCH_TLS_VERIFY;

	curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	/* with finite fields the peer chooses how long we calculate */
	curl_easy_setopt(c, CURLOPT_SSL_CIPHER_LIST, "DEFAULT:!kDHE:!PSK");
	curl_easy_setopt(c, CURLOPT_SSL_EC_CURVES, "X25519:P-256:P-384:P-521");
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, verify ? 1L : 0L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L);
	/*
	 * To read the CAs of the system takes tens of milliseconds of the
	 * loop: once, and kept. With a folder of them nothing would be kept.
	 */
	curl_easy_setopt(c, CURLOPT_CA_CACHE_TIMEOUT, -1L);
	curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
	if (!verify || call->ca_pem.n > 0)
		curl_easy_setopt(c, CURLOPT_CAINFO, NULL);
	if (call->ca_pem.n > 0)
		curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &blob);
	curl_easy_setopt(c, CURLOPT_VERBOSE, 1L); /* calls on_debug */
	curl_easy_setopt(c, CURLOPT_DEBUGFUNCTION, on_debug);
	curl_easy_setopt(c, CURLOPT_DEBUGDATA, call);
	curl_easy_setopt(c, CURLOPT_SSL_CTX_FUNCTION, on_handshake);
	curl_easy_setopt(c, CURLOPT_SSL_CTX_DATA, call);
}

static void
set_callbacks(struct fetch_call *call)
{
	CURL *c = call->easy;

	curl_easy_setopt(c, CURLOPT_PRIVATE, call);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, call->text);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, call);
	curl_easy_setopt(c, CURLOPT_RESOLVER_START_FUNCTION, on_resolve);
	curl_easy_setopt(c, CURLOPT_RESOLVER_START_DATA, call);
	curl_easy_setopt(c, CURLOPT_PREREQFUNCTION, on_ready);
	curl_easy_setopt(c, CURLOPT_PREREQDATA, call);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, call);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, call);
}

/*
 * A body is read through a callback that cannot be rewound, so the library
 * has no way to send it twice.
 */
static void
set_method(struct fetch_call *call)
{
	CURL *c = call->easy;

	if (call->body.n > 0 || str_is(call->method, "POST")) {
		curl_easy_setopt(c, CURLOPT_POST, 1L);
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, NULL);
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE,
		    (curl_off_t)call->body.n);
		curl_easy_setopt(c, CURLOPT_READFUNCTION, read_body);
		curl_easy_setopt(c, CURLOPT_READDATA, call);
	} else if (str_is(call->method, "HEAD")) {
		curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
		return;
	}
	if (call->method.n > 0 && !str_is(call->method, "GET"))
		curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, call->method.p);
}

/* The name with its addresses, as the library's cache wants them. */
static bool
set_addresses(struct fetch_call *call)
{
	struct arena *a = call->task.arena;
	struct buf b = buf_new(a, 4096);

	if (call->literal)
		return true;
	buf_printf(&b, STR_FMT ":%u:", STR_ARG(call->host), call->port);
	for (size_t i = 0; i < call->naddrs; i++)
		buf_printf(&b, call->addrs[i].len == 16 ? "%s[%s]" : "%s%s",
		    i > 0 ? "," : "", addr_text(a, call->addrs[i]).p);
	buf_char(&b, '\0');
	call->resolve = curl_slist_append(NULL, b.p);
	return !b.full && call->resolve != NULL &&
	    curl_easy_setopt(call->easy, CURLOPT_RESOLVE, call->resolve) ==
	    CURLE_OK;
}

/* A cache of names for this call alone: what one may, another may not. */
static bool
set_share(struct fetch_call *call)
{
	return (call->share = curl_share_init()) != NULL &&
	    curl_share_setopt(call->share, CURLSHOPT_SHARE,
		CURL_LOCK_DATA_DNS) == CURLSHE_OK &&
	    curl_easy_setopt(call->easy, CURLOPT_SHARE, call->share) ==
	    CURLE_OK;
}

bool
transfer_start(struct fetch_call *call, CURLM *multi)
{
	CURL *c = call->easy = curl_easy_init();

	if (c == NULL || !set_share(call) || !set_addresses(call) ||
	    curl_easy_setopt(c, CURLOPT_CURLU, call->url) != CURLE_OK) {
		call_finish(call, FETCH_BAD_REQUEST,
		    "libcurl refuses the request");
		return false;
	}
	if (FAILS("failing-fetch-refused")) {
		call_finish(call, FETCH_NO_CONNECTION, "connection refused");
		return false;
	}
	set_limits(c);
	set_tls(call);
	set_callbacks(call);
	set_method(call);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, call->headers);
	if (call->rule != NULL) {
		curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
		curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
		curl_easy_setopt(c, CURLOPT_BUFFERSIZE, (long)STRANGERS_BUFFER);
	}
	if (curl_multi_add_handle(multi, c) != CURLM_OK) {
		call_finish(call, FETCH_BAD_REQUEST,
		    "libcurl refuses the request");
		return false;
	}
	return true;
}

void
transfer_drop(struct fetch_call *call, CURLM *multi)
{
	if (call->easy != NULL) {
		(void)curl_multi_remove_handle(multi, call->easy);
		curl_easy_cleanup(call->easy);
		call->easy = NULL;
	}
	if (call->share != NULL)
		(void)curl_share_cleanup(call->share);
	call->share = NULL;
	wipe_list(call->headers);
	curl_slist_free_all(call->resolve);
	curl_url_cleanup(call->url);
	call->headers = call->resolve = NULL;
	call->url = NULL;
	if (call->body.n > 0)
		explicit_bzero((void *)(uintptr_t)call->body.p, call->body.n);
	call->body.n = 0;
}

/* ---- the end */

static struct str
get_text(const struct fetch_call *call, CURLINFO info)
{
	char *text = NULL;

	if (curl_easy_getinfo(call->easy, info, &text) != CURLE_OK ||
	    text == NULL)
		return STR_NONE;
	return str_dup(call->task.arena, str_from(text));
}

static void
take_answer(struct fetch_call *call)
{
	struct fetch_result *r = &call->result;
	curl_off_t wait = 0;
	long status = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &wait);
	r->status = (unsigned)status;
	r->content_type = get_text(call, CURLINFO_CONTENT_TYPE);
	r->redirect = get_text(call, CURLINFO_REDIRECT_URL);
	r->body = buf_view(&call->in);
	r->retry_after = wait > 0 && wait < 86400 * 366 ?
	    (int64_t)wait * WHEN_SECOND :
	    -1;
}

static enum fetch_error
judge(const struct fetch_call *call, CURLcode e)
{
	if (call->result.error == FETCH_TOO_LARGE)
		return FETCH_TOO_LARGE;
	if (call->forbidden && call->result.phase == FETCH_CONNECT)
		return FETCH_FORBIDDEN;
	if (e == CURLE_OPERATION_TIMEDOUT)
		return FETCH_TIMEOUT;
	switch (call->result.phase) {
	case FETCH_RESOLVE:
	case FETCH_CONNECT:
		if (e == CURLE_SSL_CACERT_BADFILE)
			return FETCH_BAD_REQUEST;
		return FETCH_NO_CONNECTION;
	case FETCH_HANDSHAKE:
		return FETCH_NO_TLS;
	case FETCH_ANSWER:
	case FETCH_BODY:
		break;
	}
	return FETCH_BROKEN;
}

void
transfer_finish(struct fetch_call *call, CURLcode e)
{
	const char *why = call->text[0] != '\0' ? call->text :
						  curl_easy_strerror(e);
	enum fetch_error error;

	if (e == CURLE_OK && FAILS("failing-fetch-late"))
		e = CURLE_OPERATION_TIMEDOUT;
	if (e == CURLE_OK && FAILS("failing-fetch-short"))
		e = CURLE_PARTIAL_FILE;
	if (e == CURLE_OK && FAILS("failing-fetch-reset")) {
		call->result.phase = FETCH_ANSWER;
		e = CURLE_RECV_ERROR;
	}
	/* the library takes a header that is cut for one that ends */
	if (e == CURLE_OK && call->result.phase != FETCH_BODY)
		e = CURLE_GOT_NOTHING;
	if (e == CURLE_OK) {
		take_answer(call);
		call_finish(call, FETCH_OK, NULL);
		return;
	}
	error = judge(call, e);
	if (error == FETCH_TOO_LARGE)
		why = "the answer is too large";
	else if (error == FETCH_FORBIDDEN)
		why = "the address is not allowed";
	else if (e == CURLE_SEND_FAIL_REWIND || e == CURLE_GOT_NOTHING)
		why = "the connection was closed without an answer";
	call_finish(call, error, why);
}
