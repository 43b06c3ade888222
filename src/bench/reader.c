/* SPDX-License-Identifier: ISC */
/*
 * Replies of an HTTP server (RFC 9112), read with http_parser. Only the
 * fields that an ACME client needs are kept.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bench/conn.h"

static int read_field_name(http_parser *, const char *, size_t);
static int read_field_value(http_parser *, const char *, size_t);
static int end_header(http_parser *);
static int read_body(http_parser *, const char *, size_t);
static int end_message(http_parser *);

static const http_parser_settings settings = {
	.on_header_field = read_field_name,
	.on_header_value = read_field_value,
	.on_headers_complete = end_header,
	.on_body = read_body,
	.on_message_complete = end_message,
};

void
reader_start(struct reader *r, bool head)
{
	http_parser_init(&r->parser, HTTP_RESPONSE);
	r->parser.data = r;
	r->reply = (struct reply){ .status = 0 };
	r->head = head;
	r->done = r->in_value = r->too_large = false;
	r->field = NULL;
	r->body_len = r->name_len = 0;
	r->nonce_len = r->location_len = 0;
	r->content_type_len = r->retry_after_len = 0;
}

void
reader_release(struct reader *r)
{
	free(r->body);
	r->body = NULL;
	r->body_cap = 0;
}

/* The reply as views; what was not there has no p. */
static enum reader_result
finish(struct reader *r)
{
	struct reply *reply = &r->reply;
	uint64_t seconds;

	reply->status = r->parser.status_code;
	reply->body = str_make(r->body, r->body_len);
	if (r->nonce_len > 0)
		reply->nonce = str_make(r->nonce, r->nonce_len);
	if (r->location_len > 0)
		reply->location = str_make(r->location, r->location_len);
	if (r->content_type_len > 0)
		reply->content_type = str_make(r->content_type,
		    r->content_type_len);
	if (str_u64(str_make(r->retry_after, r->retry_after_len), &seconds)) {
		reply->has_retry_after = true;
		reply->retry_after = seconds < 3600 ? (unsigned)seconds : 3600;
	}
	return READER_DONE;
}

enum reader_result
reader_feed(struct reader *r, const void *p, size_t n)
{
	size_t took = http_parser_execute(&r->parser, &settings, p, n);
	enum http_errno e = HTTP_PARSER_ERRNO(&r->parser);

	if (e == HPE_PAUSED && r->done)
		return took == n ? finish(r) : READER_BAD;
	if (e == HPE_HEADER_OVERFLOW)
		r->too_large = true;
	return e == HPE_OK && took == n ? READER_MORE : READER_BAD;
}

enum reader_result
reader_end(struct reader *r)
{
	http_parser_execute(&r->parser, &settings, "", 0);
	return r->done ? finish(r) : READER_BAD;
}

static int
read_field_name(http_parser *p, const char *text, size_t n)
{
	struct reader *r = p->data;

	if (r->in_value) {
		r->in_value = false;
		r->name_len = 0;
	}
	for (size_t i = 0; i < n && r->name_len < sizeof(r->name); i++)
		r->name[r->name_len++] = text[i];
	return 0;
}

/* Where the value of the field whose name was read goes. */
static void
choose_field(struct reader *r)
{
	const struct {
		const char *name;
		char *to;
		size_t *len;
	} fields[] = {
		{ "replay-nonce", r->nonce, &r->nonce_len },
		{ "location", r->location, &r->location_len },
		{ "content-type", r->content_type, &r->content_type_len },
		{ "retry-after", r->retry_after, &r->retry_after_len },
	};

	r->field = NULL;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (strlen(fields[i].name) == r->name_len &&
		    strncasecmp(fields[i].name, r->name, r->name_len) == 0) {
			r->field = fields[i].to;
			r->field_len = fields[i].len;
			*r->field_len = 0; /* the last one counts */
		}
}

/* Room for the field that is being read. */
static size_t
field_max(const struct reader *r)
{
	if (r->field == r->content_type)
		return sizeof(r->content_type);
	if (r->field == r->retry_after)
		return sizeof(r->retry_after);
	return REPLY_FIELD_MAX;
}

static int
read_field_value(http_parser *p, const char *text, size_t n)
{
	struct reader *r = p->data;

	if (!r->in_value) {
		r->in_value = true;
		choose_field(r);
	}
	if (r->field == NULL)
		return 0;
	if (n > field_max(r) - *r->field_len) {
		r->too_large = true;
		return 1;
	}
	memcpy(r->field + *r->field_len, text, n);
	*r->field_len += n;
	return 0;
}

/* 1: there is no body, whatever the header says. */
static int
end_header(http_parser *p)
{
	const struct reader *r = p->data;

	return r->head ? 1 : 0;
}

static int
read_body(http_parser *p, const char *text, size_t n)
{
	struct reader *r = p->data;
	size_t need = r->body_len + n, cap = r->body_cap;

	if (need > REPLY_BODY_MAX) {
		r->too_large = true;
		return 1;
	}
	if (need > cap) {
		cap = need > 4096 ? need * 2 : 4096;
		if ((r->body = realloc(r->body, cap)) == NULL)
			abort();
		r->body_cap = cap;
	}
	memcpy(r->body + r->body_len, text, n);
	r->body_len = need;
	return 0;
}

static int
end_message(http_parser *p)
{
	struct reader *r = p->data;

	if (p->status_code / 100 == 1)
		return 0; /* interim: the reply is still to come */
	r->reply.keep_alive = http_should_keep_alive(p) != 0;
	r->done = true;
	http_parser_pause(p, 1);
	return 0;
}
