/* SPDX-License-Identifier: ISC */
/*
 * The configuration: libconfuse in, one const struct conf out. An option is
 * one row in a .def file; the row expands to the field below, to the option
 * of the parser, to its checks, and to what `certloopctl config show` prints.
 * A struct conf is complete: every field holds the value given or the
 * default, checked on its own and against the others. It never changes; a
 * reload makes a new one.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

enum {
	CONF_FILE_MAX = 1 << 20,  /* bytes of a file */
	CONF_MESSAGES_MAX = 20,   /* messages kept */
	CONF_SECTIONS_MAX = 1000, /* sections of one kind */
	CONF_NAME_MAX = 32,       /* bytes of a section's name */
	CONF_URL_MAX = 900,       /* bytes; some get a path behind them */
};

/* ---- types of options: the C types of their fields */

struct conf_list {
	const struct str *v;
	size_t n;
};

struct conf_prefixes {
	const struct prefix *v;
	size_t n;
};

/* "127.0.0.1:443", "[::]:443" or "unix:PATH". */
struct conf_address {
	struct str text; /* canonical, NUL-terminated; p is NULL if not given */
	struct str path; /* of a unix socket; p is NULL otherwise */
	struct addr addr;
	unsigned port;
};

struct conf_servers {
	const struct conf_address *v; /* IP addresses, each with a port */
	size_t n;
};

/*
 * http or https, without a user. A BASE_URL has neither query nor fragment
 * and is made canonical: no slash at the end, no default port.
 */
struct conf_url {
	struct str text; /* p is NULL if not given */
	bool https;
	struct str host; /* lower case; an IPv6 address without brackets */
	unsigned port;
	struct str path; /* what follows: "" or "/..." */
};

/* Levels and sinks have the order of log/log.h. */
enum conf_log_level {
	CONF_LOG_ERROR,
	CONF_LOG_WARN,
	CONF_LOG_INFO,
	CONF_LOG_DEBUG,
};
enum conf_log_format { CONF_LOG_LOGFMT, CONF_LOG_JSON };
enum conf_log_sink { CONF_LOG_STDERR, CONF_LOG_SYSLOG };
enum conf_listener_kind {
	CONF_LISTENER_ACME,
	CONF_LISTENER_STATUS,
	CONF_LISTENER_CA,
	CONF_LISTENER_ADMIN,
};
enum conf_client_auth {
	CONF_CLIENT_NONE,    /* not asked for */
	CONF_CLIENT_ASK,     /* may have none, but a good one if any */
	CONF_CLIENT_REQUIRE, /* no handshake without */
};
enum conf_issuer_type { CONF_ISSUER_LOCAL, CONF_ISSUER_VAULT };
enum conf_limit_backend {
	CONF_LIMITS_MEMORY,
	CONF_LIMITS_REDIS,
	CONF_LIMITS_STORE
};
enum conf_on_error {
	CONF_ON_ERROR_LOCAL,
	CONF_ON_ERROR_ALLOW,
	CONF_ON_ERROR_DENY
};

/* At most max in any window. */
struct conf_rate {
	unsigned max;   /* 0: no limit */
	int64_t window; /* microseconds */
};

enum conf_auth_mode { CONF_AUTH_TRUST, CONF_AUTH_CHALLENGE };

enum conf_caa_mode {
	CONF_CAA_OFF,     /* not asked for */
	CONF_CAA_REPORT,  /* logged and counted */
	CONF_CAA_ENFORCE, /* no certificate without permission */
};

/* Bits of conf_profile.challenges, which is never 0. */
enum conf_challenge {
	CONF_HTTP_01 = 1,
	CONF_DNS_01 = 2,
	CONF_TLS_ALPN_01 = 4,
};

/* Bits of conf_profile.key_types, which is never 0. */
enum conf_key_type {
	CONF_KEY_RSA2048 = 1, /* 2048 to 3071 bits */
	CONF_KEY_RSA3072 = 2, /* 3072 to 4095 bits */
	CONF_KEY_RSA4096 = 4,
	CONF_KEY_P256 = 8,
	CONF_KEY_P384 = 16,
	CONF_KEY_P521 = 32,
	CONF_KEY_ED25519 = 64,
};

/* What a cert loop makes keys of. */
enum conf_loop_key {
	CONF_LOOP_P256,
	CONF_LOOP_P384,
	CONF_LOOP_RSA3072,
	CONF_LOOP_ED25519,
};

/* clang-format off */
#define CONF_TYPE_STRING struct str	/* NUL-terminated; n is 0 if not given */
#define CONF_TYPE_PATH struct str	/* NUL-terminated; as written */
#define CONF_TYPE_FILE struct str	/* the same; a file that exists */
#define CONF_TYPE_FILES struct conf_list
#define CONF_TYPE_STORE_URL struct str
#define CONF_TYPE_BOOL bool
#define CONF_TYPE_INT int64_t
#define CONF_TYPE_SIZE int64_t		/* bytes */
#define CONF_TYPE_DURATION int64_t	/* microseconds */
#define CONF_TYPE_MODE unsigned
#define CONF_TYPE_ADDRESS struct conf_address
#define CONF_TYPE_SERVERS struct conf_servers
#define CONF_TYPE_URL struct conf_url
#define CONF_TYPE_BASE_URL struct conf_url
#define CONF_TYPE_DOMAINS struct conf_list	/* lower case, no leading dot */
#define CONF_TYPE_NAMES struct conf_list	/* domains, IP addresses */
#define CONF_TYPE_LOOP_NAMES struct conf_list	/* the same and wildcards */
#define CONF_TYPE_WORDS struct conf_list
#define CONF_TYPE_PREFIXES struct conf_prefixes
#define CONF_TYPE_KEY_TYPES unsigned
#define CONF_TYPE_CHALLENGES unsigned
#define CONF_TYPE_CAA_MODE enum conf_caa_mode
#define CONF_TYPE_LOG_LEVEL enum conf_log_level
#define CONF_TYPE_LOG_FORMAT enum conf_log_format
#define CONF_TYPE_LOG_SINK enum conf_log_sink
#define CONF_TYPE_LISTENER_KIND enum conf_listener_kind
#define CONF_TYPE_CLIENT_AUTH enum conf_client_auth
#define CONF_TYPE_ISSUER_TYPE enum conf_issuer_type
#define CONF_TYPE_AUTH_MODE enum conf_auth_mode
#define CONF_TYPE_LIMIT_BACKEND enum conf_limit_backend
#define CONF_TYPE_ON_ERROR enum conf_on_error
#define CONF_TYPE_RATE struct conf_rate
#define CONF_TYPE_KEY_TYPE enum conf_loop_key
/* clang-format on */

/* ---- the configuration */

/* Where a section, and each option in it, stands in the file. */
struct conf_section {
	struct str name;  /* "" for top, store and http; NUL-terminated */
	int line;         /* 0: not in the file */
	const int *lines; /* by row of its .def file; 0: default */
};

#define CONF(type, name, def, min, max, when, help) CONF_TYPE_##type name;

struct conf_store {
	struct conf_section at;
#include "conf/store.def"
};

struct conf_http {
	struct conf_section at;
#include "conf/http.def"
};

struct conf_limits {
	struct conf_section at;
#include "conf/limits.def"
};

struct conf_redis {
	struct conf_section at;
#include "conf/redis.def"
};

struct conf_dns {
	struct conf_section at;
#include "conf/dns.def"
};

struct conf_listener {
	struct conf_section at;
#include "conf/listener.def"
};

struct conf_issuer {
	struct conf_section at;
#include "conf/issuer.def"
};

struct conf_profile {
	struct conf_section at;
#include "conf/profile.def"
};

struct conf_loop {
	struct conf_section at;
#include "conf/loop.def"
};

struct conf {
	struct conf_section at;
#include "conf/top.def"
	struct str path; /* of the file, NUL-terminated; "" for none */
	struct conf_store store;
	struct conf_http http;
	struct conf_limits limits;
	struct conf_redis redis;
	struct conf_dns dns;
	const struct conf_listener *listeners; /* at least one of kind acme */
	size_t nlisteners;
	const struct conf_issuer *issuers; /* at least one */
	size_t nissuers;
	const struct conf_profile *profiles; /* at least one */
	size_t nprofiles;
	const struct conf_loop *loops; /* profile and issuer are filled in */
	size_t nloops;
};

#undef CONF

/* ---- loading */

struct conf_message {
	bool is_error;   /* otherwise a warning */
	int line;        /* 0: about the file as a whole */
	struct str text; /* "FILE:LINE: what is wrong and what would do" */
};

struct conf_errors {
	struct conf_message v[CONF_MESSAGES_MAX]; /* in the order of lines */
	size_t n;
	size_t nerrors; /* errors, also beyond the bound */
	size_t dropped; /* messages beyond the bound */
};

/*
 * Read, parse and check a file. Everything that is wrong is gathered in
 * *errors, warnings too; NULL if there is an error. The result and the
 * messages live in the arena. Not reentrant, as libconfuse is not.
 */
const struct conf *conf_load(struct arena *, const char *path,
    struct conf_errors *errors);

/* The same for a text; name stands for the file in messages. */
const struct conf *conf_load_text(struct arena *, const char *name,
    struct str text, struct conf_errors *errors);

/*
 * What the daemon runs on without a file: acme with TLS on 127.0.0.1:14000,
 * status on 127.0.0.1:14001, one local issuer, one profile, SQLite.
 */
const struct conf *conf_default(struct arena *, struct conf_errors *errors);

/* "ecdsa-p256" and so on; false if there is no such kind of key. */
bool conf_find_loop_key(struct str name, enum conf_loop_key *);
const char *conf_loop_key_name(enum conf_loop_key);
/* May a certificate of this profile have such a key? */
bool conf_allows_loop_key(const struct conf_profile *, enum conf_loop_key);

/* By name; NULL if there is none. */
const struct conf_profile *conf_find_profile(const struct conf *,
    struct str name);
const struct conf_issuer *conf_find_issuer(const struct conf *,
    struct str name);
const struct conf_listener *conf_find_listener(const struct conf *,
    struct str name);

/* ---- showing and comparing */

/* One option as it is in effect. */
struct conf_entry {
	const char *section; /* "" for top */
	struct str name;     /* of the section; "" if it has none */
	const char *option;
	struct str value; /* as the file would say it; passwords masked */
	const char *help;
	bool given; /* otherwise the default */
	bool live;  /* a reload takes it over */
};

/* Every option of every section, in the arena. */
const struct conf_entry *conf_entries(struct arena *, const struct conf *,
    size_t *n);

/*
 * The whole configuration as a file that loads again: what was given, and
 * defaults commented out. Passwords are masked.
 */
void conf_write(struct buf *out, const struct conf *);

struct conf_change {
	const char *section;
	struct str name;
	const char *option;       /* NULL: the whole section came or went */
	struct str before, after; /* p is NULL if there was, or is, none */
	bool live;                /* false: needs a restart to take effect */
};

/* What differs, in the arena; *n is 0 if nothing does. */
const struct conf_change *conf_diff(struct arena *, const struct conf *before,
    const struct conf *after, size_t *n);

#endif
