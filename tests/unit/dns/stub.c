/* SPDX-License-Identifier: ISC */
/* A name server for tests. Wrong input to it is a bug of the test: assert. */
#include "stub.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/nid.h>
#include <openssl/sha.h>

enum {
	RECORDS_MAX = 256,
	MODES_MAX = 64,
	ASKED_MAX = 4096,
	TCP_MAX = 16,
	TYPE_A = 1,
	TYPE_NS = 2,
	TYPE_CNAME = 5,
	TYPE_SOA = 6,
	TYPE_TXT = 16,
	TYPE_AAAA = 28,
	TYPE_OPT = 41,
	TYPE_RRSIG = 46,
	TYPE_NSEC = 47,
	TYPE_DNSKEY = 48,
	TYPE_CAA = 257,
	ECDSA_P256 = 13,
	TTL = 300,
};

struct record {
	char name[256];
	unsigned type;
	unsigned n;
	uint8_t data[512];
};

struct tcp {
	struct stub *stub;
	struct event ev;
	int fd; /* -1: free */
	uint8_t in[1024];
	size_t n;
};

struct stub {
	struct loop *loop;
	int udp, listener;
	unsigned port;
	struct event udp_ev, tcp_ev;
	struct tcp tcp[TCP_MAX];
	struct record records[RECORDS_MAX];
	size_t nrecords;
	struct {
		char name[256];
		enum stub_mode mode;
	} modes[MODES_MAX];
	size_t nmodes;
	enum stub_mode all;
	struct {
		char name[256];
		unsigned type;
	} asked[ASKED_MAX];
	size_t nasked;
	unsigned ntcp, turn;
	char zone[256]; /* signed; "" for none */
	EC_KEY *key;
	uint8_t dnskey[4 + 64];
	bool broken; /* no room: the answer is not sent */
};

/* A message that grows. */
struct msg {
	uint8_t p[4096];
	size_t n;
};

static void
put(struct msg *m, const void *p, size_t n)
{
	assert(m->n + n <= sizeof(m->p));
	memcpy(m->p + m->n, p, n);
	m->n += n;
}

static void
put_u16(struct msg *m, unsigned v)
{
	put(m, (uint8_t[]){ (uint8_t)(v >> 8), (uint8_t)v }, 2);
}

static void
put_u32(struct msg *m, uint32_t v)
{
	put_u16(m, v >> 16);
	put_u16(m, v & 0xffff);
}

static void
put_name(struct msg *m, const char *name)
{
	while (*name != '\0') {
		size_t n = strcspn(name, ".");

		put(m, (uint8_t[]){ (uint8_t)n }, 1);
		put(m, name, n);
		name += n + (name[n] == '.');
	}
	put(m, "", 1);
}

static unsigned
count_labels(const char *name)
{
	unsigned n = name[0] != '\0';

	for (; *name != '\0'; name++)
		n += *name == '.';
	return n;
}

/* Is name the zone itself or below it? */
static bool
is_in(const char *name, const char *zone)
{
	size_t n = strlen(name), z = strlen(zone);

	if (z == 0)
		return true;
	return n >= z && strcmp(name + n - z, zone) == 0 &&
	    (n == z || name[n - z - 1] == '.');
}

/* ---- records */

void
stub_rr(struct stub *s, const char *name, unsigned type, struct str rdata)
{
	struct record *r = &s->records[s->nrecords++];

	assert(s->nrecords <= RECORDS_MAX && rdata.n <= sizeof(r->data));
	snprintf(r->name, sizeof(r->name), "%s", name);
	r->type = type;
	r->n = (unsigned)rdata.n;
	memcpy(r->data, rdata.p, rdata.n);
}

void
stub_a(struct stub *s, const char *name, const char *ip)
{
	uint8_t raw[16];
	bool v6 = strchr(ip, ':') != NULL;
	int ok = inet_pton(v6 ? AF_INET6 : AF_INET, ip, raw);

	assert(ok == 1);
	(void)ok;
	stub_rr(s, name, v6 ? TYPE_AAAA : TYPE_A, str_make(raw, v6 ? 16 : 4));
}

void
stub_txt(struct stub *s, const char *name, const char *text)
{
	struct msg m = { .n = 0 };
	size_t left = strlen(text);

	do {
		size_t n = left < 255 ? left : 255;

		put(&m, (uint8_t[]){ (uint8_t)n }, 1);
		put(&m, text, n);
		text += n;
		left -= n;
	} while (left > 0);
	stub_rr(s, name, TYPE_TXT, str_make(m.p, m.n));
}

void
stub_caa(struct stub *s, const char *name, const char *tag, const char *value)
{
	struct msg m = { .n = 0 };

	put(&m, (uint8_t[]){ 0, (uint8_t)strlen(tag) }, 2);
	put(&m, tag, strlen(tag));
	put(&m, value, strlen(value));
	stub_rr(s, name, TYPE_CAA, str_make(m.p, m.n));
}

void
stub_cname(struct stub *s, const char *name, const char *target)
{
	struct msg m = { .n = 0 };

	put_name(&m, target);
	stub_rr(s, name, TYPE_CNAME, str_make(m.p, m.n));
}

void
stub_clear(struct stub *s, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < s->nrecords; i++)
		if (strcmp(s->records[i].name, name) != 0)
			s->records[n++] = s->records[i];
	s->nrecords = n;
}

void
stub_set(struct stub *s, const char *name, enum stub_mode mode)
{
	size_t i = 0;

	while (i < s->nmodes && strcmp(s->modes[i].name, name) != 0)
		i++;
	assert(i < MODES_MAX);
	if (i == s->nmodes)
		s->nmodes++;
	snprintf(s->modes[i].name, sizeof(s->modes[i].name), "%s", name);
	s->modes[i].mode = mode;
}

void
stub_set_all(struct stub *s, enum stub_mode mode)
{
	s->all = mode;
}

static enum stub_mode
get_mode(const struct stub *s, const char *name)
{
	for (size_t i = 0; i < s->nmodes; i++)
		if (strcmp(s->modes[i].name, name) == 0)
			return s->modes[i].mode;
	return s->all;
}

unsigned
stub_asked(const struct stub *s, const char *name, unsigned type)
{
	unsigned n = 0;

	for (size_t i = 0; i < s->nasked; i++)
		n += s->asked[i].type == type &&
		    strcmp(s->asked[i].name, name) == 0;
	return n;
}

unsigned
stub_asked_tcp(const struct stub *s)
{
	return s->ntcp;
}

unsigned
stub_port(const struct stub *s)
{
	return s->port;
}

/* ---- signing, RFC 4034 and RFC 6605 */

static unsigned
key_tag(const struct stub *s)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < sizeof(s->dnskey); i++)
		sum += i % 2 == 0 ? (uint32_t)s->dnskey[i] << 8 : s->dnskey[i];
	return (sum + (sum >> 16)) & 0xffff;
}

struct str
stub_sign(struct stub *s, struct arena *a, const char *zone)
{
	static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq"
				  "rstuvwxyz0123456789+/";
	uint8_t point[65];
	char text[128];
	size_t n = 0;

	snprintf(s->zone, sizeof(s->zone), "%s", zone);
	s->key = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
	EC_KEY_generate_key(s->key);
	EC_POINT_point2oct(EC_KEY_get0_group(s->key),
	    EC_KEY_get0_public_key(s->key), POINT_CONVERSION_UNCOMPRESSED,
	    point, sizeof(point), NULL);
	memcpy(s->dnskey, (uint8_t[]){ 1, 1, 3, ECDSA_P256 }, 4);
	memcpy(s->dnskey + 4, point + 1, 64);
	stub_rr(s, zone, TYPE_DNSKEY, str_make(s->dnskey, sizeof(s->dnskey)));
	for (size_t i = 0; i < 66; i += 3) { /* 64 bytes, 2 of padding */
		uint32_t v = (uint32_t)point[1 + i] << 16 |
		    (i + 1 < 64 ? (uint32_t)point[2 + i] << 8 : 0) |
		    (i + 2 < 64 ? point[3 + i] : 0U);

		for (size_t k = 0; k < 4; k++)
			text[n++] = b64[v >> (18 - 6 * k) & 63];
	}
	memset(text + n - 2, '=', 2);
	return str_printf(a, "%s. 300 IN DNSKEY 257 3 13 %.*s\n", zone, (int)n,
	    text);
}

static int
by_data(const void *pa, const void *pb)
{
	const struct record *const *a = pa, *const *b = pb;

	return str_cmp(str_make((*a)->data, (*a)->n),
	    str_make((*b)->data, (*b)->n));
}

/* The RRSIG over a set of records of one name and type. */
static void
put_signature(struct stub *s, struct msg *m, const struct record **set,
    size_t n, enum stub_mode mode)
{
	time_t now = time(NULL);
	const char *name = set[0]->name;
	struct msg rdata = { .n = 0 }, tbs = { .n = 0 };
	uint8_t hash[32], rs[64];
	ECDSA_SIG *sig;

	put_u16(&rdata, set[0]->type);
	put(&rdata, (uint8_t[]){ ECDSA_P256 }, 1);
	put(&rdata, (uint8_t[]){ (uint8_t)count_labels(name) }, 1);
	put_u32(&rdata, TTL);
	put_u32(&rdata,
	    (uint32_t)(mode == STUB_EXPIRED ? now - 86400 : now + 86400));
	put_u32(&rdata, (uint32_t)(now - 10 * 86400));
	put_u16(&rdata, key_tag(s));
	put_name(&rdata, s->zone);
	put(&tbs, rdata.p, rdata.n);
	qsort(set, n, sizeof(*set), by_data);
	for (size_t i = 0; i < n; i++) {
		put_name(&tbs, name);
		put_u16(&tbs, set[i]->type);
		put_u16(&tbs, 1);
		put_u32(&tbs, TTL);
		put_u16(&tbs, set[i]->n);
		put(&tbs, set[i]->data, set[i]->n);
	}
	SHA256(tbs.p, tbs.n, hash);
	hash[0] ^= mode == STUB_BAD_SIGNATURE;
	sig = ECDSA_do_sign(hash, sizeof(hash), s->key);
	BN_bn2bin_padded(rs, 32, ECDSA_SIG_get0_r(sig));
	BN_bn2bin_padded(rs + 32, 32, ECDSA_SIG_get0_s(sig));
	ECDSA_SIG_free(sig);
	put(&rdata, rs, sizeof(rs));
	put_name(m, name);
	put_u16(m, TYPE_RRSIG);
	put_u16(m, 1);
	put_u32(m, TTL);
	put_u16(m, (unsigned)rdata.n);
	put(m, rdata.p, rdata.n);
}

/* ---- answering */

struct query {
	char name[256];
	unsigned type;
	bool tcp, edns;
	size_t end; /* of the question */
};

static bool
read_query(const uint8_t *p, size_t n, struct query *q)
{
	size_t at = 12, out = 0;

	while (at < n && p[at] != 0) {
		size_t len = p[at++];

		if (len > 63 || at + len > n)
			return false;
		if (out > 0)
			q->name[out++] = '.';
		for (size_t i = 0; i < len; i++)
			q->name[out++] = (char)(p[at + i] >= 'A' &&
				    p[at + i] <= 'Z' ?
				p[at + i] + 32 :
				p[at + i]);
		at += len;
	}
	q->name[out] = '\0';
	if (at + 5 > n)
		return false;
	q->type = (unsigned)(p[at + 1] << 8 | p[at + 2]);
	q->end = at + 5;
	q->edns = p[11] > 0;
	return true;
}

/* Put the set (one record of it, if it is to take turns). */
static unsigned
put_set(struct stub *s, struct msg *m, const char *name, unsigned type,
    enum stub_mode mode)
{
	const struct record *set[RECORDS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < s->nrecords; i++)
		if (s->records[i].type == type &&
		    strcmp(s->records[i].name, name) == 0)
			set[n++] = &s->records[i];
	if (n > 1 && mode == STUB_TURNS) {
		set[0] = set[s->turn++ % n];
		n = 1;
	}
	for (size_t i = 0; i < n; i++) {
		put_name(m, name);
		put_u16(m, type);
		put_u16(m, 1);
		put_u32(m, TTL);
		put_u16(m, set[i]->n);
		put(m, set[i]->data, set[i]->n);
	}
	if (n == 0 || s->key == NULL || mode == STUB_UNSIGNED ||
	    !is_in(name, s->zone))
		return (unsigned)n;
	put_signature(s, m, set, n, mode);
	return (unsigned)n + 1;
}

/* Is there a record of the name itself, or one below it? */
static bool
exists(const struct stub *s, const char *name)
{
	for (size_t i = 0; i < s->nrecords; i++)
		if (is_in(s->records[i].name, name))
			return true;
	return false;
}

/* A set made up for this answer. */
static unsigned
put_made(struct stub *s, struct msg *m, const char *name, unsigned type,
    const struct msg *rdata, enum stub_mode mode)
{
	unsigned n;

	stub_rr(s, name, type, str_make(rdata->p, rdata->n));
	n = put_set(s, m, name, type, mode);
	s->nrecords--;
	return n;
}

/*
 * SOA and, in the signed zone, an NSEC that says "this name and nothing
 * else but TXT" (RFC 4034 section 4.1), which shows that a type is not there.
 */
static unsigned
put_absence(struct stub *s, struct msg *m, const char *name,
    enum stub_mode mode)
{
	bool is_signed = s->key != NULL && is_in(name, s->zone);
	const char *zone = is_signed ? s->zone : "";
	struct msg soa = { .n = 0 }, nsec = { .n = 0 };
	unsigned n;

	put_name(&soa, "ns.invalid");
	put_name(&soa, "hostmaster.invalid");
	for (unsigned i = 0; i < 5; i++)
		put_u32(&soa, TTL);
	n = put_made(s, m, zone, TYPE_SOA, &soa, mode);
	if (!is_signed || mode == STUB_UNSIGNED)
		return n;
	put_name(&nsec, zone); /* the last name: wraps around */
	/* TXT, RRSIG and NSEC */
	put(&nsec, (uint8_t[]){ 0, 6, 0, 0, 0x80, 0, 0, 3 }, 8);
	return n + put_made(s, m, name, TYPE_NSEC, &nsec, mode);
}

static void
put_opt(struct msg *m)
{
	put(m, "", 1);
	put_u16(m, TYPE_OPT);
	put_u16(m, 1232);
	put_u32(m, 0x8000); /* DNSSEC OK */
	put_u16(m, 0);
}

/* The answer section: CNAMEs, then the records. */
static unsigned
put_answers(struct stub *s, struct msg *m, char *name, unsigned type,
    enum stub_mode mode)
{
	unsigned n = 0, hops = 0, added;
	const struct record *c;

	for (; hops < 32; hops++) {
		if ((added = put_set(s, m, name, type, mode)) > 0)
			return n + added;
		c = NULL;
		for (size_t i = 0; i < s->nrecords; i++)
			if (s->records[i].type == TYPE_CNAME &&
			    strcmp(s->records[i].name, name) == 0)
				c = &s->records[i];
		if (c == NULL)
			return n;
		n += put_set(s, m, name, TYPE_CNAME, mode);
		name[0] = '\0';
		for (size_t at = 0; c->data[at] != 0; at += c->data[at] + 1U)
			snprintf(name + strlen(name), 256 - strlen(name),
			    "%s%.*s", at > 0 ? "." : "", c->data[at],
			    (const char *)c->data + at + 1);
	}
	return n;
}

/* False: say nothing. */
static bool
answer(struct stub *s, const uint8_t *p, const struct query *q, struct msg *m)
{
	enum stub_mode mode = get_mode(s, q->name);
	char name[256];
	unsigned n, authority = 0;

	if (mode == STUB_SILENT)
		return false;
	put(m, p, q->end);
	memset(m->p + 4, 0, 8);
	m->p[5] = 1;
	m->p[2] = 0x84 | (p[2] & 1); /* answer, authoritative */
	m->p[3] = 0x80;              /* recursion available */
	if (mode == STUB_GARBAGE) {
		memset(m->p + 4, 0xff, m->n - 4);
		return true;
	}
	if (mode == STUB_STRANGER)
		m->p[0] ^= 0x55;
	if (mode == STUB_SERVFAIL || mode == STUB_REFUSED) {
		m->p[3] |= mode == STUB_SERVFAIL ? 2 : 5;
		return true;
	}
	if (mode == STUB_CUT || (mode == STUB_TRUNCATED && !q->tcp)) {
		m->p[2] |= 2;
		return true;
	}
	strcpy(name, q->name);
	n = put_answers(s, m, name, q->type, mode);
	if (n == 0 || m->n == q->end) {
		authority = put_absence(s, m, name, mode);
		if (!exists(s, name))
			m->p[3] |= 3;
	}
	if (q->edns)
		put_opt(m);
	m->p[7] = (uint8_t)n;
	m->p[9] = (uint8_t)authority;
	m->p[11] = q->edns;
	return true;
}

static bool
take(struct stub *s, const uint8_t *p, size_t n, bool tcp, struct msg *m)
{
	struct query q = { .tcp = tcp };

	if (n < 12 || !read_query(p, n, &q))
		return false;
	if (s->nasked < ASKED_MAX) {
		strcpy(s->asked[s->nasked].name, q.name);
		s->asked[s->nasked++].type = q.type;
	}
	s->ntcp += tcp;
	return answer(s, p, &q, m);
}

/* ---- sockets */

static void
on_udp(evutil_socket_t fd, short what, void *arg)
{
	struct stub *s = arg;
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	struct msg m = { .n = 0 };
	uint8_t in[1024];
	ssize_t n = recvfrom(fd, in, sizeof(in), 0, (struct sockaddr *)&from,
	    &len);

	(void)what;
	if (n > 0 && take(s, in, (size_t)n, false, &m))
		(void)sendto(fd, m.p, m.n, 0, (struct sockaddr *)&from, len);
}

static void
close_tcp(struct tcp *t)
{
	event_del(&t->ev);
	close(t->fd);
	t->fd = -1;
}

static void
on_tcp(evutil_socket_t fd, short what, void *arg)
{
	struct tcp *t = arg;
	ssize_t got = recv(fd, t->in + t->n, sizeof(t->in) - t->n, 0);
	size_t len;

	(void)what;
	if (got <= 0) {
		close_tcp(t);
		return;
	}
	t->n += (size_t)got;
	while (t->n >= 2 &&
	    t->n >= 2 + (len = (size_t)(t->in[0] << 8 | t->in[1]))) {
		struct msg m = { .n = 0 };

		if (take(t->stub, t->in + 2, len, true, &m)) {
			uint8_t head[2] = { (uint8_t)(m.n >> 8), (uint8_t)m.n };

			(void)send(fd, head, 2, MSG_MORE | MSG_NOSIGNAL);
			(void)send(fd, m.p, m.n, MSG_NOSIGNAL);
		}
		t->n -= 2 + len;
		memmove(t->in, t->in + 2 + len, t->n);
	}
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct stub *s = arg;
	int c = accept(fd, NULL, NULL);

	(void)what;
	if (c == -1)
		return;
	for (size_t i = 0; i < TCP_MAX; i++)
		if (s->tcp[i].fd == -1) {
			struct tcp *t = &s->tcp[i];

			t->stub = s;
			t->fd = c;
			t->n = 0;
			event_assign(&t->ev, loop_base(s->loop), c,
			    EV_READ | EV_PERSIST, on_tcp, t);
			event_add(&t->ev, NULL);
			return;
		}
	close(c);
}

/* UDP and TCP on one port. */
static bool
open_sockets(struct stub *s, const char *ip, unsigned port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port) };
	socklen_t len = sizeof(sin);

	inet_pton(AF_INET, ip, &sin.sin_addr);
	s->udp = socket(AF_INET, SOCK_DGRAM, 0);
	s->listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(s->udp, (struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    getsockname(s->udp, (struct sockaddr *)&sin, &len) == -1 ||
	    bind(s->listener, (struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    listen(s->listener, 16) == -1) {
		close(s->udp);
		close(s->listener);
		return false;
	}
	s->port = ntohs(sin.sin_port);
	return true;
}

struct stub *
stub_new(struct loop *loop, const char *ip, unsigned port)
{
	struct stub *s = calloc(1, sizeof(*s));
	unsigned tries = port == 0 ? 20 : 1;

	s->loop = loop;
	for (size_t i = 0; i < TCP_MAX; i++)
		s->tcp[i].fd = -1;
	while (!open_sockets(s, ip, port))
		if (--tries == 0) {
			free(s);
			return NULL;
		}
	event_assign(&s->udp_ev, loop_base(loop), s->udp, EV_READ | EV_PERSIST,
	    on_udp, s);
	event_add(&s->udp_ev, NULL);
	event_assign(&s->tcp_ev, loop_base(loop), s->listener,
	    EV_READ | EV_PERSIST, on_accept, s);
	event_add(&s->tcp_ev, NULL);
	return s;
}

void
stub_free(struct stub *s)
{
	if (s == NULL)
		return;
	event_del(&s->udp_ev);
	event_del(&s->tcp_ev);
	close(s->udp);
	close(s->listener);
	for (size_t i = 0; i < TCP_MAX; i++)
		if (s->tcp[i].fd != -1)
			close_tcp(&s->tcp[i]);
	EC_KEY_free(s->key);
	free(s);
}
