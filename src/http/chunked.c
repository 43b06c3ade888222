/* SPDX-License-Identifier: ISC */
/*
 * Chunked bodies, RFC 9112 section 7.1. Not left to http_parser, which lets
 * anything but a CR pass in extensions: who takes a line feed there for the
 * end of the line sees another body.
 *
 *	1*HEXDIG [ BWS ";" ... ] CRLF data CRLF ... 0 CRLF *( field CRLF ) CRLF
 */
#include "http/parse.h"

#include <string.h>

enum {
	C_SIZE, /* digits */
	C_GAP,  /* white space before an extension */
	C_EXT,  /* extension */
	C_SIZE_LF,
	C_DATA,
	C_DATA_CR,
	C_DATA_LF,
	C_LINE, /* first byte of a trailer line, or of the last line */
	C_NAME,
	C_VALUE,
	C_VALUE_LF,
	C_END_LF,
	C_END,
};

enum { DIGITS_MAX = 16 };

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *
take_size(struct chunked *k, char c)
{
	int digit = hex_digit(c);

	if (digit >= 0) {
		if (++k->digits > DIGITS_MAX)
			return "a chunk size has too many digits";
		k->left = k->left << 4 | (uint64_t)digit;
		return NULL;
	}
	if (k->digits == 0)
		return "a chunk has no size";
	if (c == '\r')
		k->state = C_SIZE_LF;
	else if (c == ';')
		k->state = C_EXT;
	else if (c == ' ' || c == '\t')
		k->state = C_GAP;
	else
		return "a chunk size is not a number";
	return NULL;
}

static const char *
take_extension(struct chunked *k, char c)
{
	if (k->state == C_GAP && c == ';')
		k->state = C_EXT;
	else if (k->state == C_GAP && c != ' ' && c != '\t')
		return "a chunk size is not a number";
	else if (c == '\r')
		k->state = C_SIZE_LF;
	else if (!is_field_char(c))
		return "a chunk extension holds a control character";
	return NULL;
}

static const char *
take_trailer(struct chunked *k, char c)
{
	if (k->state == C_LINE && c == '\r') {
		k->state = C_END_LF;
		return NULL;
	}
	if (k->state == C_VALUE) {
		if (c == '\r')
			k->state = C_VALUE_LF;
		else if (!is_field_char(c))
			return "a trailer holds a control character";
		return NULL;
	}
	if (k->state == C_NAME && c == ':')
		k->state = C_VALUE;
	else if (!is_token(str_make(&c, 1)))
		return "a trailer line is not a field";
	else
		k->state = C_NAME;
	return NULL;
}

static const char *
take_line_feed(struct chunked *k, char c)
{
	if (c != '\n')
		return "a line of the chunked body does not end in CR LF";
	if (k->state == C_SIZE_LF)
		k->state = k->left > 0 ? C_DATA : C_LINE;
	else if (k->state == C_DATA_LF)
		k->state = C_SIZE;
	else
		k->state = k->state == C_VALUE_LF ? C_LINE : C_END;
	k->digits = 0;
	return NULL;
}

static const char *
take_byte(struct chunked *k, char c)
{
	switch (k->state) {
	case C_SIZE:
		return take_size(k, c);
	case C_GAP:
	case C_EXT:
	case C_LINE:
	case C_NAME:
	case C_VALUE:
		if (++k->overhead > CHUNK_OVERHEAD_MAX)
			return "chunk extensions and trailers are too long";
		return k->state == C_GAP || k->state == C_EXT ?
		    take_extension(k, c) :
		    take_trailer(k, c);
	case C_DATA_CR:
		if (c != '\r')
			return "a chunk is longer than its size";
		k->state = C_DATA_LF;
		return NULL;
	default:
		return take_line_feed(k, c);
	}
}

enum chunk
chunked_read(struct chunked *k, struct str *in, struct str *data,
    const char **why)
{
	while (k->state != C_END && in->n > 0) {
		if (k->state == C_DATA) {
			*data = *in;
			if (data->n > k->left)
				data->n = (size_t)k->left;
			k->left -= data->n;
			if (k->left == 0)
				k->state = C_DATA_CR;
			*in = str_skip(*in, data->n);
			return CHUNK_DATA;
		}
		if ((*why = take_byte(k, in->p[0])) != NULL)
			return CHUNK_BAD;
		*in = str_skip(*in, 1);
	}
	return k->state == C_END ? CHUNK_END : CHUNK_MORE;
}
