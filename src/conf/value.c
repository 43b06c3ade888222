/* SPDX-License-Identifier: ISC */
/* The types of options: texts, numbers with units, files, and names of a set. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/when.h"
#include "conf/conf_int.h"

bool
conf_bad(struct conf_value *v, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	v->why = str_dup(v->arena, str_from(text));
	return false;
}

void
conf_print_quoted(struct buf *b, struct str s)
{
	buf_char(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '"' || c == '\\' || c == '$')
			buf_printf(b, "\\%c", c);
		else if (c == '\n')
			buf_str(b, STR("\\n"));
		else if ((unsigned char)c < ' ' || c == 0x7f)
			buf_printf(b, "\\x%02x", (unsigned char)c);
		else
			buf_char(b, c);
	}
	buf_char(b, '"');
}

void
conf_print_list(struct buf *b, const struct str *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		buf_str(b, i == 0 ? STR("{ ") : STR(", "));
		conf_print_quoted(b, v[i]);
	}
	if (n > 0)
		buf_str(b, STR(" }"));
}

/* ---- texts */

/* min and max of the row are bytes; "" is no bound */
static bool
is_length_ok(struct conf_value *v)
{
	uint64_t min = 0, max = UINT64_MAX;

	(void)str_u64(str_from(v->row->min), &min);
	(void)str_u64(str_from(v->row->max), &max);
	if (v->v[0].n < min)
		return conf_bad(v, "must not be empty");
	if (v->v[0].n > max)
		return conf_bad(v, "has %zu bytes, at most %" PRIu64 " will do",
		    v->v[0].n, max);
	return true;
}

static bool
parse_string(struct conf_value *v, void *field)
{
	if (!is_length_ok(v))
		return false;
	*(struct str *)field = str_dup(v->arena, v->v[0]);
	return true;
}

static void
print_string(struct buf *b, const void *field)
{
	const struct str *s = field;

	if (s->n > 0)
		conf_print_quoted(b, *s);
}

/*
 * A file that should be there. If we may not look, whoever opens it will
 * find out.
 */
static bool
check_file(struct conf_value *v, struct str path)
{
	struct stat st;

	if (path.n == 0)
		return conf_bad(v, "must not be empty");
	if (stat(path.p, &st) == -1)
		return errno == EACCES || conf_bad(v, "%s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return conf_bad(v, "not a regular file");
	return true;
}

static bool
parse_file(struct conf_value *v, void *field)
{
	struct str path = str_dup(v->arena, v->v[0]);

	if (!check_file(v, path))
		return false;
	*(struct str *)field = path;
	return true;
}

static bool
is_count_ok(struct conf_value *v)
{
	uint64_t max = UINT64_MAX;

	(void)str_u64(str_from(v->row->max), &max);
	v->bad = v->n > 0 ? v->n - 1 : 0;
	return v->n <= max ||
	    conf_bad(v, "is one of %zu, at most %" PRIu64 " will do", v->n,
		max);
}

static bool
parse_files(struct conf_value *v, void *field)
{
	struct conf_list *list = field;
	struct str *all = arena_array(v->arena, struct str, v->n);

	if (!is_count_ok(v))
		return false;
	for (v->bad = 0; v->bad < v->n; v->bad++) {
		all[v->bad] = str_dup(v->arena, v->v[v->bad]);
		if (!check_file(v, all[v->bad]))
			return false;
	}
	*list = (struct conf_list){ .v = all, .n = v->n };
	return true;
}

static void
print_list(struct buf *b, const void *field)
{
	const struct conf_list *list = field;

	conf_print_list(b, list->v, list->n);
}

static bool
parse_words(struct conf_value *v, void *field)
{
	struct conf_list *list = field;
	struct str *all = arena_array(v->arena, struct str, v->n);

	if (!is_count_ok(v))
		return false;
	for (v->bad = 0; v->bad < v->n; v->bad++)
		all[v->bad] = str_dup(v->arena, v->v[v->bad]);
	*list = (struct conf_list){ .v = all, .n = v->n };
	return true;
}

/* ---- yes and no */

static bool
parse_bool(struct conf_value *v, void *field)
{
	static const char *const yes[] = { "yes", "true", "on" };
	static const char *const no[] = { "no", "false", "off" };

	for (size_t i = 0; i < 3; i++) {
		if (str_case_eq(v->v[0], str_from(yes[i])) ||
		    str_case_eq(v->v[0], str_from(no[i]))) {
			*(bool *)field = str_case_eq(v->v[0], str_from(yes[i]));
			return true;
		}
	}
	return conf_bad(v, "must be yes or no");
}

static void
print_bool(struct buf *b, const void *field)
{
	buf_str(b, *(const bool *)field ? STR("yes") : STR("no"));
}

/* ---- numbers */

struct unit {
	const char *name;
	int64_t factor;
};

/* The larger first, so that printing takes the largest that divides. */
static const struct unit no_units[] = { { "", 1 }, { NULL, 0 } };
static const struct unit size_units[] = {
	{ "g", 1 << 30 },
	{ "m", 1 << 20 },
	{ "k", 1 << 10 },
	{ "", 1 },
	{ NULL, 0 },
};
static const struct unit duration_units[] = {
	{ "d", WHEN_DAY },
	{ "h", WHEN_HOUR },
	{ "m", WHEN_MINUTE },
	{ "s", WHEN_SECOND },
	{ "ms", 1000 },
	{ NULL, 0 },
};

/* Digits and a unit; 0 needs none. */
static bool
read_number(struct str s, const struct unit *units, int64_t *out)
{
	size_t digits = 0;
	struct str name;
	uint64_t n;

	while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
		digits++;
	name = str_skip(s, digits);
	if (!str_u64(str_make(s.p, digits), &n) || n > INT64_MAX)
		return false;
	*out = 0;
	if (n == 0 && name.n == 0)
		return true;
	for (; units->name != NULL; units++)
		if (str_case_eq(name, str_from(units->name)))
			return !__builtin_mul_overflow((int64_t)n,
			    units->factor, out);
	return false;
}

static bool
parse_number(struct conf_value *v, const struct unit *units, const char *what,
    int64_t *out)
{
	int64_t n, min = 0, max = INT64_MAX;

	if (!read_number(v->v[0], units, &n))
		return conf_bad(v, "must be %s", what);
	(void)read_number(str_from(v->row->min), units, &min);
	(void)read_number(str_from(v->row->max), units, &max);
	if (n < min || n > max)
		return conf_bad(v, "must be from %s to %s", v->row->min,
		    v->row->max);
	*out = n;
	return true;
}

static void
print_number(struct buf *b, const struct unit *units, int64_t n)
{
	if (n == 0) {
		buf_char(b, '0');
		return;
	}
	while (units[1].name != NULL && n % units->factor != 0)
		units++;
	buf_printf(b, "%" PRId64 "%s", n / units->factor, units->name);
}

static bool
parse_int(struct conf_value *v, void *field)
{
	return parse_number(v, no_units, "a number", field);
}

static void
print_int(struct buf *b, const void *field)
{
	print_number(b, no_units, *(const int64_t *)field);
}

static bool
parse_size(struct conf_value *v, void *field)
{
	return parse_number(v, size_units,
	    "a number of bytes, or of k, m or g, for example 64k", field);
}

static void
print_size(struct buf *b, const void *field)
{
	print_number(b, size_units, *(const int64_t *)field);
}

static bool
parse_duration(struct conf_value *v, void *field)
{
	return parse_number(v, duration_units,
	    "a number and one of ms, s, m, h, d, for example 30s or 90d",
	    field);
}

static void
print_duration(struct buf *b, const void *field)
{
	print_number(b, duration_units, *(const int64_t *)field);
}

/* "MAX/WINDOW", or "0" */
static bool
parse_rate(struct conf_value *v, void *field)
{
	struct str window = v->v[0], max = str_cut(&window, '/');
	struct conf_row row = { .min = "1s", .max = "31d" };
	struct conf_value part = *v;
	struct conf_rate *rate = field;
	uint64_t n;

	if (str_is(v->v[0], "0")) {
		*rate = (struct conf_rate){ .window = 1000000 };
		return true;
	}
	part.row = &row;
	part.v = &window;
	if (!str_u64(max, &n) || n > 10000 || window.n == 0)
		return conf_bad(v,
		    "must be MAX/WINDOW, for example 100/1h, MAX from 0 to "
		    "10000 and WINDOW from 1s to 31d; or 0 for no limit");
	if (!parse_duration(&part, &rate->window)) {
		v->why = part.why;
		return conf_bad(v, "has a window that " STR_FMT,
		    STR_ARG(part.why));
	}
	rate->max = (unsigned)n;
	return true;
}

static void
print_rate(struct buf *b, const void *field)
{
	const struct conf_rate *rate = field;

	if (rate->window == 0)
		return; /* not given */
	if (rate->max == 0) {
		buf_char(b, '0');
		return;
	}
	buf_printf(b, "\"%u/", rate->max);
	print_duration(b, &rate->window);
	buf_char(b, '"');
}

static bool
parse_mode(struct conf_value *v, void *field)
{
	unsigned mode = 0;

	if (v->v[0].n < 3 || v->v[0].n > 4)
		return conf_bad(v, "must be an octal mode, for example 0660");
	for (size_t i = 0; i < v->v[0].n; i++) {
		if (v->v[0].p[i] < '0' || v->v[0].p[i] > '7')
			return conf_bad(v,
			    "must be an octal mode, for example 0660");
		mode = mode * 8 + (unsigned)(v->v[0].p[i] - '0');
	}
	if (mode > 0777)
		return conf_bad(v, "must be from 0000 to 0777");
	*(unsigned *)field = mode;
	return true;
}

static void
print_mode(struct buf *b, const void *field)
{
	buf_printf(b, "%04o", *(const unsigned *)field);
}

/* ---- one of a set; the names are in the order of the enum */

static const char *const log_levels[] = { "error", "warn", "info", "debug",
	NULL };
static const char *const log_formats[] = { "logfmt", "json", NULL };
static const char *const log_sinks[] = { "stderr", "syslog", NULL };
static const char *const listener_kinds[] = { "acme", "status", "ca", "admin",
	NULL };
static const char *const client_auths[] = { "none", "ask", "require", NULL };
static const char *const issuer_types[] = { "local", "vault", NULL };
static const char *const caa_modes[] = { "off", "report", "enforce", NULL };
static const char *const auth_modes[] = { "trust_authenticated", "challenge",
	NULL };
static const char *const limit_backends[] = { "memory", "redis", "store",
	NULL };
static const char *const on_errors[] = { "local", "allow", "deny", NULL };
/* a loop makes keys of one kind; key_types says what a profile allows */
static const char *const loop_keys[] = { "ecdsa-p256", "ecdsa-p384", "rsa3072",
	"ed25519", NULL };
static const char *const key_types[] = { "rsa2048", "rsa3072", "rsa4096",
	"ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", NULL };

bool
conf_find_loop_key(struct str name, enum conf_loop_key *k)
{
	for (size_t i = 0; loop_keys[i] != NULL; i++)
		if (str_is(name, loop_keys[i])) {
			*k = (enum conf_loop_key)i;
			return true;
		}
	return false;
}

const char *
conf_loop_key_name(enum conf_loop_key k)
{
	return loop_keys[k];
}

/* Its number, or SIZE_MAX and why. */
static size_t
find_name(struct conf_value *v, const char *const *names)
{
	struct buf b = buf_new(v->arena, 512);
	const char *near;
	size_t n = 0;

	for (; names[n] != NULL; n++) {
		if (str_is(v->v[v->bad], names[n]))
			return n;
		buf_printf(&b, "%s%s",
		    n == 0                   ? "" :
			names[n + 1] != NULL ? ", " :
					       " or ",
		    names[n]);
	}
	buf_char(&b, '\0');
	near = str_suggest(v->v[v->bad], names, n);
	if (near != NULL)
		(void)conf_bad(v, "must be %s; did you mean %s?", b.p, near);
	else
		(void)conf_bad(v, "must be %s", b.p);
	return SIZE_MAX;
}

static bool
parse_name(struct conf_value *v, const char *const *names, void *field)
{
	size_t i = find_name(v, names);

	if (i == SIZE_MAX)
		return false;
	/* an enum without negative values is an unsigned */
	*(unsigned *)field = (unsigned)i;
	return true;
}

#define NAMES(type)                                                            \
	static bool parse_##type(struct conf_value *v, void *field)            \
	{                                                                      \
		return parse_name(v, type##s, field);                          \
	}                                                                      \
	static void print_##type(struct buf *b, const void *field)             \
	{                                                                      \
		buf_str(b, str_from(type##s[*(const unsigned *)field]));       \
	}                                                                      \
	_Static_assert(sizeof(enum conf_##type) == sizeof(unsigned), #type)

NAMES(log_level);
NAMES(log_format);
NAMES(log_sink);
NAMES(listener_kind);
NAMES(client_auth);
NAMES(issuer_type);
NAMES(auth_mode);
NAMES(caa_mode);
NAMES(limit_backend);
NAMES(on_error);
NAMES(loop_key);

/* Sets of names, as bits; none means all. */
static bool
parse_set(struct conf_value *v, const char *const *names, unsigned all,
    void *field)
{
	unsigned bits = 0;
	size_t i;

	for (v->bad = 0; v->bad < v->n; v->bad++) {
		if ((i = find_name(v, names)) == SIZE_MAX)
			return false;
		bits |= 1u << i;
	}
	*(unsigned *)field = v->n == 0 ? all : bits;
	return true;
}

static void
print_set(struct buf *b, const char *const *names, unsigned bits)
{
	struct str v[32];
	size_t n = 0;

	for (size_t i = 0; names[i] != NULL; i++)
		if ((bits & 1u << i) != 0)
			v[n++] = str_from(names[i]);
	conf_print_list(b, v, n);
}

static bool
parse_key_types(struct conf_value *v, void *field)
{
	return parse_set(v, key_types, 2 * CONF_KEY_ED25519 - 1, field);
}

static void
print_key_types(struct buf *b, const void *field)
{
	print_set(b, key_types, *(const unsigned *)field);
}

static const char *const challenges[] = { "http-01", "dns-01", "tls-alpn-01",
	NULL };

static bool
parse_challenges(struct conf_value *v, void *field)
{
	return parse_set(v, challenges, 2 * CONF_TLS_ALPN_01 - 1, field);
}

static void
print_challenges(struct buf *b, const void *field)
{
	print_set(b, challenges, *(const unsigned *)field);
}

/* clang-format off */
const struct conf_type_ops conf_types[CONF_TYPE_COUNT] = {
	[CONF_STRING] = { false, parse_string, print_string },
	[CONF_PATH] = { false, parse_string, print_string },
	[CONF_FILE] = { false, parse_file, print_string },
	[CONF_FILES] = { true, parse_files, print_list },
	[CONF_STORE_URL] = { false, conf_parse_store_url, conf_print_store_url },
	[CONF_BOOL] = { false, parse_bool, print_bool },
	[CONF_INT] = { false, parse_int, print_int },
	[CONF_SIZE] = { false, parse_size, print_size },
	[CONF_DURATION] = { false, parse_duration, print_duration },
	[CONF_MODE] = { false, parse_mode, print_mode },
	[CONF_ADDRESS] = { false, conf_parse_address, conf_print_address },
	[CONF_SERVERS] = { true, conf_parse_servers, conf_print_servers },
	[CONF_URL] = { false, conf_parse_url, conf_print_url },
	[CONF_BASE_URL] = { false, conf_parse_base_url, conf_print_url },
	[CONF_DOMAINS] = { true, conf_parse_domains, print_list },
	[CONF_NAMES] = { true, conf_parse_names, print_list },
	[CONF_PREFIXES] = { true, conf_parse_prefixes, conf_print_prefixes },
	[CONF_KEY_TYPES] = { true, parse_key_types, print_key_types },
	[CONF_CHALLENGES] = { true, parse_challenges, print_challenges },
	[CONF_CAA_MODE] = { false, parse_caa_mode, print_caa_mode },
	[CONF_LOG_LEVEL] = { false, parse_log_level, print_log_level },
	[CONF_LOG_FORMAT] = { false, parse_log_format, print_log_format },
	[CONF_LOG_SINK] = { false, parse_log_sink, print_log_sink },
	[CONF_LISTENER_KIND] = { false, parse_listener_kind,
	    print_listener_kind },
	[CONF_CLIENT_AUTH] = { false, parse_client_auth, print_client_auth },
	[CONF_ISSUER_TYPE] = { false, parse_issuer_type, print_issuer_type },
	[CONF_AUTH_MODE] = { false, parse_auth_mode, print_auth_mode },
	[CONF_LIMIT_BACKEND] = { false, parse_limit_backend,
	    print_limit_backend },
	[CONF_ON_ERROR] = { false, parse_on_error, print_on_error },
	[CONF_RATE] = { false, parse_rate, print_rate },
	[CONF_LOOP_NAMES] = { true, conf_parse_loop_names, print_list },
	[CONF_WORDS] = { true, parse_words, print_list },
	[CONF_KEY_TYPE] = { false, parse_loop_key, print_loop_key },
};
/* clang-format on */
