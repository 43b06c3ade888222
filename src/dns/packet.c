/* SPDX-License-Identifier: ISC */
/*
 * Answer packets (RFC 1035 section 4.1). What libunbound hands over it made
 * itself, but from bytes of strangers, so everything is checked again.
 */
#include "dns/dns_int.h"

#include <stdio.h>

#include "base/buf.h"

enum {
	HEADER_LEN = 12,
	RR_FIXED_LEN = 10, /* type, class, TTL, length of the data */
	TYPE_CNAME = 5,
	POINTER = 0xc0,
	LABEL_MAX = 63,
	JUMPS_MAX = 64,
	TEXT_MAX = 1024, /* 255 bytes as "\DDD" each, and dots */
};

struct packet {
	struct arena *arena;
	const uint8_t *p;
	size_t n, at;
};

/* One record; its data stays in the packet. */
struct rr {
	struct str name;
	unsigned type, class, ttl;
	size_t data; /* where it begins */
	size_t len;
};

static bool
has(const struct packet *k, size_t at, size_t n)
{
	return at <= k->n && n <= k->n - at;
}

static unsigned
get_u16(const struct packet *k, size_t at)
{
	return (unsigned)(k->p[at] << 8 | k->p[at + 1]);
}

static uint32_t
get_u32(const struct packet *k, size_t at)
{
	return (uint32_t)get_u16(k, at) << 16 | get_u16(k, at + 2);
}

/* A byte of a label as text; odd ones become \DDD (RFC 1035 section 5.1). */
static void
put_byte(struct buf *b, uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		c = (uint8_t)(c - 'A' + 'a');
	if (c > ' ' && c < 127 && c != '.' && c != '\\' && c != '"')
		buf_char(b, (char)c);
	else
		buf_printf(b, "\\%03u", c);
}

/*
 * Read the name at *at and move *at behind it. The root is ".". False if the
 * name is broken, or its pointers (section 4.1.4) lead nowhere.
 */
static bool
get_name(const struct packet *k, size_t *at, struct str *out)
{
	struct buf b = buf_new(k->arena, TEXT_MAX);
	size_t here = *at, jumps = 0;

	while (has(k, here, 1) && jumps < JUMPS_MAX && !b.full) {
		size_t n = k->p[here];

		if (n >= POINTER && has(k, here, 2)) {
			if (jumps++ == 0)
				*at = here + 2;
			here = get_u16(k, here) & 0x3fff;
			continue;
		}
		if (n > LABEL_MAX || !has(k, ++here, n))
			return false;
		if (n == 0) {
			if (jumps == 0)
				*at = here;
			*out = b.len > 0 ? buf_view(&b) : STR(".");
			return true;
		}
		if (b.len > 0)
			buf_char(&b, '.');
		for (size_t i = 0; i < n; i++)
			put_byte(&b, k->p[here + i]);
		here += n;
	}
	return false;
}

static bool
get_rr(struct packet *k, struct rr *rr)
{
	size_t at = k->at;

	if (!get_name(k, &at, &rr->name) || !has(k, at, RR_FIXED_LEN))
		return false;
	rr->type = get_u16(k, at);
	rr->class = get_u16(k, at + 2);
	rr->ttl = get_u32(k, at + 4);
	rr->len = get_u16(k, at + 8);
	rr->data = at + RR_FIXED_LEN;
	k->at = rr->data + rr->len;
	return has(k, rr->data, rr->len);
}

/* ---- the answer */

static const char *
rcode_name(unsigned rcode)
{
	static const char *const names[] = { "NOERROR", "FORMERR", "SERVFAIL",
		"NXDOMAIN", "NOTIMP", "REFUSED" };

	return rcode < sizeof(names) / sizeof(names[0]) ? names[rcode] :
							  "an error";
}

static const char *
fail(struct dns_answer *out, const char *why)
{
	out->status = DNS_FAILED;
	out->why = why;
	out->n = 0;
	return why;
}

static bool
take_cname(struct packet *k, const struct rr *rr, struct str *list,
    struct dns_answer *out)
{
	size_t end = rr->data;
	struct str to;

	if (out->ncnames == DNS_CNAMES_MAX || !get_name(k, &end, &to) ||
	    end != rr->data + rr->len)
		return false;
	list[out->ncnames++] = to;
	return true;
}

static void
note_ttl(struct dns_answer *out, const struct rr *rr)
{
	if (rr->ttl < out->ttl)
		out->ttl = rr->ttl;
}

/* Walk the answer section; the records follow their CNAMEs in order. */
static const char *
read_answers(struct packet *k, unsigned count, struct str name,
    enum dns_type type, struct dns_answer *out)
{
	struct str *cnames = arena_array(k->arena, struct str, DNS_CNAMES_MAX);
	struct str *data = arena_array(k->arena, struct str, DNS_RECORDS_MAX);
	struct rr rr;

	out->cnames = cnames;
	out->data = data;
	for (; count > 0; count--) {
		if (!get_rr(k, &rr))
			return fail(out, "the answer is malformed");
		if (rr.class != DNS_CLASS_IN || !str_eq(rr.name, name))
			continue;
		if (rr.type == TYPE_CNAME && out->n == 0) {
			if (!take_cname(k, &rr, cnames, out))
				return fail(out,
				    "the answer has too many CNAMEs or a "
				    "broken one");
			name = cnames[out->ncnames - 1];
			note_ttl(out, &rr);
		} else if (rr.type == (unsigned)type) {
			if (out->n == DNS_RECORDS_MAX)
				return fail(out,
				    "the answer has too many records");
			data[out->n++] = str_dup(k->arena,
			    str_make(k->p + rr.data, rr.len));
			note_ttl(out, &rr);
		}
	}
	return NULL;
}

/* Pass over the question, which must be ours. */
static bool
read_question(struct packet *k, struct str name, enum dns_type type)
{
	struct str asked;

	if (get_u16(k, 4) != 1 || !get_name(k, &k->at, &asked) ||
	    !has(k, k->at, 4))
		return false;
	k->at += 4;
	return str_eq(asked, name) && get_u16(k, k->at - 4) == (unsigned)type;
}

void
dns_read_packet(struct arena *a, struct str packet, struct str name,
    enum dns_type type, struct dns_answer *out)
{
	struct packet k = { .arena = a,
		.p = (const uint8_t *)packet.p,
		.n = packet.n,
		.at = HEADER_LEN };

	*out = (struct dns_answer){ .ttl = UINT32_MAX };
	if (packet.n < HEADER_LEN || !read_question(&k, name, type)) {
		fail(out, "the answer is malformed");
		return;
	}
	out->rcode = k.p[3] & 15;
	if (out->rcode != 0 && out->rcode != 3) {
		fail(out,
		    str_printf(a, "the servers answered %s",
			rcode_name(out->rcode))
			.p);
		return;
	}
	if (read_answers(&k, get_u16(&k, 6), name, type, out) != NULL)
		return;
	if (out->rcode == 3) {
		out->status = DNS_NO_NAME;
		out->why = "there is no such name (NXDOMAIN)";
		out->n = 0;
	} else if (out->n == 0) {
		out->status = DNS_NO_DATA;
		out->why = "the name has no record of this type";
	}
	if (out->ttl == UINT32_MAX)
		out->ttl = 0;
}
