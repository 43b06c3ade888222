/* SPDX-License-Identifier: ISC */
/*
 * JSON (RFC 8259) in and out, over yajl. Reading is strict: one value, no
 * duplicate members, bounded depth and size, well-formed UTF-8 without NUL.
 * Writing sticks: a writer remembers that it ran out of room, so a document
 * is a flat run of calls and one final check.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

enum json_type {
	JSON_NULL,
	JSON_BOOL,
	JSON_INT,    /* an integer that fits int64_t */
	JSON_NUMBER, /* any other number; only its text is kept */
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

enum { JSON_DEPTH_MAX = 16, JSON_NODES_MAX = 8192, JSON_MEMBERS_MAX = 128 };

/* One value. All of it lives in the arena that it was parsed into. */
struct json {
	enum json_type type;
	struct str name; /* member name, inside an object */
	struct str str;  /* JSON_STRING: decoded; JSON_NUMBER: its text */
	int64_t num;     /* JSON_INT, JSON_BOOL */
	struct json *child, *next; /* first element or member; its siblings */
	size_t n;                  /* number of elements or members */
};

/*
 * Parse one document. NULL on anything but one valid value within the
 * bounds; *why then says what is wrong (a constant text), if why is not NULL.
 */
const struct json *json_parse(struct arena *, struct str, const char **why);

/* The same within other bounds than JSON_NODES_MAX and JSON_MEMBERS_MAX. */
struct json_bounds {
	size_t nodes, members;
};
const struct json *json_parse_within(struct arena *, struct str,
    const struct json_bounds *, const char **why);

/* The member of that name, or NULL (also if j is NULL or no object). */
const struct json *json_get(const struct json *j, const char *name);

/* The member if it is a string; STR_NONE (p NULL) otherwise. */
struct str json_get_str(const struct json *j, const char *name);

#define json_each(it, j)                                                       \
	for (const struct json *it = (j) != NULL ? (j)->child : NULL;          \
	     it != NULL; it = it->next)

/* A writer into the arena. A name is NULL inside arrays and at the top. */
struct json_writer;
struct json_writer *json_writer_new(struct arena *, size_t max);
void json_open_object(struct json_writer *, const char *name);
void json_open_array(struct json_writer *, const char *name);
void json_close(struct json_writer *); /* the innermost open one */
void json_str(struct json_writer *, const char *name, struct str);
void json_int(struct json_writer *, const char *name, int64_t);
void json_bool(struct json_writer *, const char *name, bool);
void json_null(struct json_writer *, const char *name);

/* A value that is JSON already (ours, from the store) is put in as it is. */
void json_raw(struct json_writer *, const char *name, struct str);

/* The text so far; p is NULL if it did not fit or was misused. */
struct str json_text(const struct json_writer *);

#endif
