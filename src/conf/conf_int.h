/* SPDX-License-Identifier: ISC */
/*
 * Inside conf. A file takes this way:
 *
 *	files.c	the file and all that it includes, as one text
 *	text.c	bytes, checked, comments blanked
 *	parse.c	libconfuse: blocks (sections) of items (option = value)
 *	load.c	each item into its field, by the row of its option
 *	check.c	what depends on several options
 *
 * Every step gathers what is wrong and goes on as far as it makes sense.
 */
#ifndef CONF_CONF_INT_H
#define CONF_CONF_INT_H

#include "conf/conf.h"

/* ---- the options as data: tables.c */

enum conf_type {
	CONF_STRING,
	CONF_PATH,
	CONF_FILE,
	CONF_FILES,
	CONF_STORE_URL,
	CONF_BOOL,
	CONF_INT,
	CONF_SIZE,
	CONF_DURATION,
	CONF_MODE,
	CONF_ADDRESS,
	CONF_SERVERS,
	CONF_URL,
	CONF_BASE_URL,
	CONF_DOMAINS,
	CONF_NAMES,
	CONF_PREFIXES,
	CONF_KEY_TYPES,
	CONF_CHALLENGES,
	CONF_CAA_MODE,
	CONF_LOG_LEVEL,
	CONF_LOG_FORMAT,
	CONF_LOG_SINK,
	CONF_LISTENER_KIND,
	CONF_CLIENT_AUTH,
	CONF_ISSUER_TYPE,
	CONF_AUTH_MODE,
	CONF_LIMIT_BACKEND,
	CONF_ON_ERROR,
	CONF_RATE,
	CONF_LOOP_NAMES,
	CONF_WORDS,
	CONF_KEY_TYPE,
	CONF_TYPE_COUNT
};

/* One option: a row of a .def file. */
struct conf_row {
	const char *name;
	enum conf_type type;
	size_t offset; /* of the field in the struct of its kind */
	const char *def, *min, *max;
	bool live;
	const char *help;
};

enum conf_kind_id {
	CONF_TOP,
	CONF_STORE,
	CONF_HTTP,
	CONF_LIMITS,
	CONF_REDIS,
	CONF_DNS,
	CONF_LISTENER,
	CONF_ISSUER,
	CONF_PROFILE,
	CONF_LOOP,
	CONF_KIND_COUNT
};

/* A kind of section. Its struct begins with a struct conf_section. */
struct conf_kind {
	const char *name; /* "" for top */
	const struct conf_row *rows;
	size_t nrows;
	size_t size;
	bool is_named; /* KIND NAME { }, any number of them */
	bool live;     /* a reload takes new and removed ones over */
};

extern const struct conf_kind conf_kinds[CONF_KIND_COUNT];

/* Rows of a kind by number, for line numbers: CONF_AT_LISTENER_address. */
#define CONF(type, name, def, min, max, when, help) CONF_AT_TOP_##name,
enum {
#include "conf/top.def"
};
#undef CONF
#define CONF(type, name, def, min, max, when, help) CONF_AT_REDIS_##name,
enum {
#include "conf/redis.def"
};
#undef CONF
#define CONF(type, name, def, min, max, when, help) CONF_AT_DNS_##name,
enum {
#include "conf/dns.def"
};
#undef CONF
#define CONF(type, name, def, min, max, when, help) CONF_AT_LISTENER_##name,
enum {
#include "conf/listener.def"
};
#undef CONF
#define CONF(type, name, def, min, max, when, help) CONF_AT_ISSUER_##name,
enum {
#include "conf/issuer.def"
};
#undef CONF
#define CONF(type, name, def, min, max, when, help) CONF_AT_PROFILE_##name,
enum {
#include "conf/profile.def"
};
#undef CONF
#define CONF(type, name, def, min, max, when, help) CONF_AT_LOOP_##name,
enum {
#include "conf/loop.def"
};
#undef CONF

/* Call fn with each section of a configuration, in the order of kinds. */
void conf_each_section(const struct conf *,
    void (*fn)(void *, const struct conf_kind *, const void *section),
    void *arg);

/* ---- values: value.c, value_net.c */

/* What an option was given, and what is wrong with it. */
struct conf_value {
	struct arena *arena;
	const struct conf_row *row;
	const struct str *v; /* one, or the members of a list */
	size_t n;
	bool may_read;  /* other files: this is one itself */
	size_t bad;     /* which one is wrong */
	struct str why; /* what is wrong and what would do */
};

struct conf_type_ops {
	bool is_list;
	/* Into the field. False: bad and why are set. */
	bool (*parse)(struct conf_value *, void *field);
	/* As the file would say it, nothing if it was not given. */
	void (*print)(struct buf *, const void *field);
};

extern const struct conf_type_ops conf_types[CONF_TYPE_COUNT];

/* Set why; always false. */
bool conf_bad(struct conf_value *, const char *, ...)
    __attribute__((format(printf, 2, 3)));

/* A text in quotes, as the file wants it; control characters escaped. */
void conf_print_quoted(struct buf *, struct str);
void conf_print_list(struct buf *, const struct str *v, size_t n);

/* The types of value_net.c. */
bool conf_parse_address(struct conf_value *, void *);
void conf_print_address(struct buf *, const void *);
bool conf_parse_servers(struct conf_value *, void *);
void conf_print_servers(struct buf *, const void *);
bool conf_parse_url(struct conf_value *, void *);
bool conf_parse_base_url(struct conf_value *, void *);
void conf_print_url(struct buf *, const void *);
bool conf_parse_domains(struct conf_value *, void *);
bool conf_parse_names(struct conf_value *, void *);
bool conf_parse_loop_names(struct conf_value *, void *);
bool conf_parse_prefixes(struct conf_value *, void *);
void conf_print_prefixes(struct buf *, const void *);
bool conf_parse_store_url(struct conf_value *, void *);
void conf_print_store_url(struct buf *, const void *);

/* ---- loading */

struct conf_item {
	struct conf_item *next;
	const struct conf_row *row;
	struct str value;
	int line;
	bool is_first; /* of its assignment; otherwise one more list member */
};

struct conf_block {
	struct conf_block *next;
	const struct conf_kind *kind;
	struct str name;
	int line;
	struct conf_item *items, **last;
};

enum {
	CONF_INCLUDE_DEPTH = 8,  /* files that include files */
	CONF_INCLUDED_MAX = 500, /* files in all */
};

/* Lines of the whole text that are those of one file. */
struct conf_piece {
	const char *file;
	int from; /* the first of them in the text, */
	int line; /* and in the file */
};

/* A line include = "PATTERN". */
struct conf_include {
	struct conf_include *next;
	const char *pattern;
	size_t at;           /* where it begins; blanks stand there now */
	int line, last_line; /* of the file */
};

struct conf_loader {
	struct arena *arena;
	const char *file;
	struct conf_errors *errors;
	unsigned long long order[CONF_MESSAGES_MAX]; /* of the messages */
	const struct conf_piece *pieces;             /* none: all is of file */
	size_t npieces;
	unsigned file_number; /* of several that are scanned one by one */
	char *text; /* comments are blanked; NUL behind the last byte */
	size_t len;
	int *opens; /* lines in which sections begin */
	size_t nopens;
	struct conf_block top, *blocks, **last;
	struct str data_dir;
	int data_dir_line;
	struct conf *conf;
};

/* Note an error, or a warning, in a line (0: in the file as a whole). */
void conf_error(struct conf_loader *, int line, const char *, ...)
    __attribute__((format(printf, 3, 4)));
void conf_warn(struct conf_loader *, int line, const char *, ...)
    __attribute__((format(printf, 3, 4)));
/* About a file as a whole. */
void conf_error_of(struct conf_loader *, const char *file, const char *, ...)
    __attribute__((format(printf, 3, 4)));
/* "line 3", and of which file if that is not the file of the other line. */
const char *conf_line_text(const struct conf_loader *, int line, int other);

/* A view of text, short and printable, for a message. */
struct str conf_shown(struct arena *, struct str);

/* False if it makes no sense to go on. */
bool conf_read_files(struct conf_loader *, const char *path);
/* includes: what the text wants included; NULL: it may not. */
bool conf_scan_text(struct conf_loader *, const struct conf_include **includes);
void conf_parse_text(struct conf_loader *);
void conf_check(struct conf_loader *);
void conf_check_loops(struct conf_loader *); /* check_loop.c, after profiles */
/* Names of n sections of that size, for a message. */
const char *conf_list_names(struct conf_loader *,
    const struct conf_section *first, size_t n, size_t size);

/* The line of an option, or of its section; was it given at all? */
int conf_line_of(const struct conf_section *, int option);
bool conf_is_given(const struct conf_section *, int option);

/* check_issuer.c: the options of each type of issuer, and who makes our own
 * certificates. */
void conf_check_issuers(struct conf_loader *);

#endif
