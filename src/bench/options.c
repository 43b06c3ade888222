/* SPDX-License-Identifier: ISC */
/* The command line of certloop-bench: one table of options, with their help. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "bench/bench.h"

enum { RATE_SCALE = 1000, DURATION_MAX = 7 * 86400, OPTION_KEYS = 256 };

/* Where an option's value goes, and what complaints are written to. */
struct option_row;

struct taker {
	struct bench_options *o;
	const struct option_row *row;
	char *why;
};

struct option_row {
	char letter; /* 0: none */
	const char *name, *value, *help;
	bool (*take)(struct taker *, const char *);
	size_t at;       /* of the member in struct bench_options */
	size_t min, max; /* of numbers */
};

static bool __attribute__((format(printf, 2, 3)))
complain(struct taker *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->why, OPTIONS_WHY_MAX, fmt, ap);
	va_end(ap);
	return false;
}

#define MEMBER(t, type) ((type *)(void *)((char *)(t)->o + (t)->row->at))

static bool
take_text(struct taker *t, const char *text)
{
	if (text[0] == '\0')
		return complain(t, "--%s wants a value", t->row->name);
	*MEMBER(t, const char *) = text;
	return true;
}

static bool
take_flag(struct taker *t, const char *text)
{
	(void)text;
	*MEMBER(t, bool) = true;
	return true;
}

static bool
take_number(struct taker *t, const char *text)
{
	uint64_t v;

	if (!str_u64(str_from(text), &v) || v < t->row->min || v > t->row->max)
		return complain(t,
		    "--%s wants a number from %zu to %zu, not \"%s\"",
		    t->row->name, t->row->min, t->row->max, text);
	*MEMBER(t, size_t) = (size_t)v;
	return true;
}

/* A number with up to three digits behind a point, times scale. */
static bool
read_decimal(struct str s, uint64_t max, uint64_t scale, uint64_t *out)
{
	struct str rest = s, whole = str_cut(&rest, '.');
	uint64_t v, part = 0, unit = 1;
	bool has_point = whole.n < s.n;

	if (!str_u64(whole, &v) || v > max || rest.n > 3 ||
	    (has_point && !str_u64(rest, &part)))
		return false;
	for (size_t i = 0; i < rest.n; i++)
		unit *= 10;
	*out = v * scale + part * scale / unit;
	return true;
}

/* "250ms", "1.5s", "2m", "1h"; without a unit: seconds. */
static bool
take_duration(struct taker *t, const char *text)
{
	static const struct {
		const char *name;
		uint64_t usec;
	} units[] = { { "ms", 1000 }, { "s", 1000000 }, { "m", 60000000 },
		{ "h", 3600000000 }, { "", 1000000 } };
	struct str s = str_from(text), number;
	uint64_t v = 0;
	bool good = false;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (str_ends(s, str_from(units[i].name))) {
			number = str_make(s.p, s.n - strlen(units[i].name));
			good = read_decimal(number, UINT64_C(1000000000),
			    units[i].usec, &v);
			break;
		}
	if (!good || v < t->row->min || v > (uint64_t)DURATION_MAX * 1000000)
		return complain(t,
		    "--%s wants a time such as 500ms, 10s or 2m, not \"%s\"",
		    t->row->name, text);
	*MEMBER(t, int64_t) = (int64_t)v;
	return true;
}

static bool
take_rate(struct taker *t, const char *text)
{
	uint64_t v;

	if (!read_decimal(str_from(text), SCHEDULE_RATE_MAX / RATE_SCALE,
		RATE_SCALE, &v) ||
	    v == 0 || v > SCHEDULE_RATE_MAX)
		return complain(t,
		    "--rate wants units a second, 0.001 to %d, not \"%s\"",
		    SCHEDULE_RATE_MAX / RATE_SCALE, text);
	t->o->rate = v;
	return true;
}

static bool
find_scenario(struct str name, enum bench_scenario *out)
{
	for (size_t i = 0; i < SCENARIOS; i++)
		if (str_is(name, bench_scenario_name((enum bench_scenario)i))) {
			*out = (enum bench_scenario)i;
			return true;
		}
	return false;
}

static bool
take_scenario(struct taker *t, const char *text)
{
	return find_scenario(str_from(text), &t->o->scenario) ||
	    complain(t, "no scenario is called \"%s\"", text);
}

/* "order=1,new-nonce=10" */
static bool
take_mix(struct taker *t, const char *text)
{
	struct str rest = str_from(text);
	enum bench_scenario s;
	uint64_t weight;

	memset(t->o->weights, 0, sizeof(t->o->weights));
	do {
		struct str value = str_cut(&rest, ','),
			   name = str_cut(&value, '=');

		if (!find_scenario(name, &s) || s >= SCENARIO_OCSP_GET)
			return complain(t,
			    "--mix: no scenario to mix is called \"" STR_FMT
			    "\"",
			    STR_ARG(name));
		if (!str_u64(value, &weight) || weight == 0 ||
		    weight > BENCH_WEIGHT_MAX)
			return complain(t,
			    "--mix wants a weight from 1 to %d for each "
			    "scenario: order=1,new-nonce=10",
			    BENCH_WEIGHT_MAX);
		t->o->weights[s] = (unsigned)weight;
	} while (rest.n > 0);
	return true;
}

static const struct {
	const char *name;
	enum pki_key_kind kind;
} kinds[] = {
	{ "p256", PKI_P256 },
	{ "p384", PKI_P384 },
	{ "p521", PKI_P521 },
	{ "rsa", PKI_RSA },
	{ "ed25519", PKI_ED25519 },
};

static bool
read_kinds(struct taker *t, const char *text, enum pki_key_kind *out, size_t *n)
{
	const size_t all = sizeof(kinds) / sizeof(kinds[0]);
	struct str rest = str_from(text), word;
	size_t i;

	*n = 0;
	do {
		word = str_cut(&rest, ',');
		for (i = 0; i < all && !str_is(word, kinds[i].name); i++)
			continue;
		if (i == all || *n == BENCH_KINDS_MAX)
			return complain(t,
			    "--%s wants a list of p256, p384, p521, rsa, "
			    "ed25519, not \"%s\"",
			    t->row->name, text);
		out[(*n)++] = kinds[i].kind;
	} while (rest.n > 0);
	return true;
}

static bool
take_key_types(struct taker *t, const char *text)
{
	return read_kinds(t, text, t->o->kinds, &t->o->nkinds);
}

static bool
take_account_keys(struct taker *t, const char *text)
{
	return read_kinds(t, text, t->o->account_kinds, &t->o->naccount_kinds);
}

static bool
take_connect(struct taker *t, const char *text)
{
	if (t->o->nconnect == ORIGIN_ADDRESSES_MAX)
		return complain(t, "--connect: at most %d of them",
		    ORIGIN_ADDRESSES_MAX);
	t->o->connect[t->o->nconnect++] = text;
	return true;
}

static bool
take_pid(struct taker *t, const char *text)
{
	uint64_t v;

	if (t->o->npids == BENCH_PIDS_MAX)
		return complain(t, "--pid: at most %d of them", BENCH_PIDS_MAX);
	if (!str_u64(str_from(text), &v) || v == 0 || v > INT32_MAX)
		return complain(t,
		    "--pid wants the id of a process, not "
		    "\"%s\"",
		    text);
	t->o->pids[t->o->npids++] = (pid_t)v;
	return true;
}

#define AT(member) .at = offsetof(struct bench_options, member)

/* clang-format off */
static const struct option_row rows[] = {
	{ 0, "ca-file", "FILE", "PEM roots for the server's TLS certificate",
	  take_text, AT(ca_file) },
	{ 0, "insecure", NULL, "take any TLS certificate of the server",
	  take_flag, AT(insecure) },
	{ 0, "ca-root", "FILE", "PEM roots that issued chains must end in",
	  take_text, AT(root_file) },
	{ 0, "connect", "ADDR:PORT", "connect there instead; several: in turn",
	  .take = take_connect },
	{ 's', "scenario", "NAME", "directory, new-nonce, new-account, new-order,",
	  .take = take_scenario },
	{ 0, "mix", "LIST", "weights for mixed: order=1,new-nonce=10",
	  .take = take_mix },
	{ 'n', "count", "N", "stop after N units of work (1000)",
	  take_number, AT(count), 1, BENCH_UNITS_MAX },
	{ 'd', "duration", "TIME", "or begin none after this time: 10s, 2m",
	  take_duration, AT(duration), 1000 },
	{ 'w', "warm-up", "TIME", "work that long before anything counts (0)",
	  take_duration, AT(warm_up) },
	{ 'r', "rate", "N", "open loop: N units are due each second",
	  .take = take_rate },
	{ 'c', "connections", "N", "at once (16)",
	  take_number, AT(connections), 1, BENCH_CONNECTIONS_MAX },
	{ 0, "accounts", "N", "shared by the connections (one each)",
	  take_number, AT(accounts), 1, BENCH_CONNECTIONS_MAX },
	{ 0, "names", "N", "names in an order (1)",
	  take_number, AT(names), 1, BENCH_NAMES_MAX },
	{ 0, "suffix", "NAME", "below which they are (bench.example)",
	  take_text, AT(suffix) },
	{ 0, "key-types", "LIST", "of certificates: p256,p384,p521,rsa,ed25519",
	  .take = take_key_types },
	{ 0, "account-keys", "LIST", "of accounts: the same (p256)",
	  .take = take_account_keys },
	{ 0, "eab-kid", "ID", "bind each account to this key",
	  take_text, AT(eab_kid) },
	{ 0, "eab-key-file", "FILE", "that key, in base64url",
	  take_text, AT(eab_key_file) },
	{ 0, "http-01", "ADDR:PORT", "answer validations of http-01 there",
	  take_text, AT(http_01) },
	{ 0, "pool", "N", "requests made before the run (as many as needed)",
	  take_number, AT(pool), 1, BENCH_POOL_MAX },
	{ 0, "timeout", "TIME", "for one request (30s)",
	  take_duration, AT(timeout), 1000 },
	{ 0, "unit-timeout", "TIME", "for one unit of work, with polls (120s)",
	  take_duration, AT(unit_timeout), 1000 },
	{ 0, "poll", "TIME", "between polls (what the server says, or 100ms)",
	  take_duration, AT(poll), 1000 },
	{ 0, "max-failures", "N", "give up after so many; 0: never (100)",
	  take_number, AT(max_failures), 0, BENCH_UNITS_MAX },
	{ 0, "source-addresses", "N", "of 127/8, that connections come from",
	  take_number, AT(addresses), 1, 250 },
	{ 0, "asks", "FILE", "requests of OCSP, a line of base64 each",
	  take_text, AT(asks_file) },
	{ 0, "pid", "PID", "tell processor time and memory of PID; several: "
	  "the sum", .take = take_pid },
	{ 0, "json", NULL, "report as JSON", take_flag, AT(json) },
	{ 'h', "help", NULL, "say this", take_flag, AT(help) },
	{ 'V', "version", NULL, "say the version", take_flag, AT(version) },
};
/* clang-format on */

enum { ROWS = sizeof(rows) / sizeof(rows[0]), WIDTH = 28 };

void
options_print_help(void)
{
	puts("usage: certloop-bench [OPTION...] URL\n"
	     "Load an ACME server with signed flows, verify what it hands "
	     "out, and tell how\nlong that took. URL is that of its directory "
	     "(or of a responder, for ocsp-*).");
	for (size_t i = 0; i < ROWS; i++) {
		const struct option_row *r = &rows[i];
		int n = r->letter != 0 ? printf("  -%c, ", r->letter) :
					 printf("      ");

		n += printf("--%s%s%s", r->name, r->value != NULL ? " " : "",
		    r->value != NULL ? r->value : "");
		printf("%*s%s\n", n < WIDTH ? WIDTH - n : 2, "", r->help);
		if (r->take == take_scenario)
			printf("%*s%s\n", WIDTH, "",
			    "order, renewal-info, mixed, ocsp-get, ocsp-post "
			    "(order)");
	}
}

bool
options_need_accounts(const struct bench_options *o)
{
	return o->weights[SCENARIO_NEW_ORDER] > 0 ||
	    o->weights[SCENARIO_ORDER] > 0 ||
	    o->weights[SCENARIO_RENEWAL_INFO] > 0;
}

bool
options_are_ocsp(const struct bench_options *o)
{
	return o->scenario == SCENARIO_OCSP_GET ||
	    o->scenario == SCENARIO_OCSP_POST;
}

/* What one option does not show. */
static bool
check_together(struct bench_options *o, struct taker *t, bool has_mix)
{
	if (options_are_ocsp(o) != (o->asks_file != NULL))
		return complain(t,
		    "--asks and the scenarios of OCSP need each other");
	if ((o->scenario == SCENARIO_MIXED) != has_mix)
		return complain(t,
		    "--mix and the scenario mixed need each "
		    "other");
	if ((o->eab_kid == NULL) != (o->eab_key_file == NULL))
		return complain(t,
		    "--eab-kid and --eab-key-file need each "
		    "other");
	if (o->insecure && o->ca_file != NULL)
		return complain(t, "--insecure looks at no --ca-file");
	if (o->count > 0 && o->duration > 0)
		return complain(t, "give --count or --duration, not both");
	/* The name is put in front of it, a label of up to 48 letters. */
	if (pki_check_dns_name(str_from(o->suffix), false) != NULL ||
	    strlen(o->suffix) > PKI_NAME_MAX - 49)
		return complain(t, "\"%s\" is no name to put others below",
		    o->suffix);
	return true;
}

static void
set_defaults(struct bench_options *o)
{
	if (o->count == 0 && o->duration == 0)
		o->count = 1000;
	if (o->accounts == 0 || o->accounts > o->connections)
		o->accounts = o->connections;
	if (o->scenario != SCENARIO_MIXED)
		o->weights[o->scenario] = 1;
}

static void
fill_long_options(struct option *out)
{
	for (size_t i = 0; i < ROWS; i++)
		out[i] = (struct option){
			.name = rows[i].name,
			.has_arg = rows[i].value != NULL ? required_argument :
							   no_argument,
			.val = OPTION_KEYS + (int)i,
		};
	out[ROWS] = (struct option){ .name = NULL };
}

/* The row that getopt found; NULL: none. */
static const struct option_row *
find_row(int found)
{
	if (found >= OPTION_KEYS)
		return &rows[found - OPTION_KEYS];
	for (size_t i = 0; i < ROWS; i++)
		if (rows[i].letter != 0 && rows[i].letter == found)
			return &rows[i];
	return NULL;
}

static bool
complain_unknown(struct taker *t, int argc, char **argv, int found)
{
	const char *names[ROWS], *near = NULL, *word;

	word = optind - 1 < argc && optind > 0 ? argv[optind - 1] : "";
	if (found == ':')
		return complain(t, "%s wants a value", word);
	for (size_t i = 0; i < ROWS; i++)
		names[i] = rows[i].name;
	if (strncmp(word, "--", 2) == 0)
		near = str_suggest(str_from(word + 2), names, ROWS);
	if (near != NULL)
		return complain(t,
		    "there is no option \"%s\"; did you mean "
		    "--%s?",
		    word, near);
	return complain(t, "there is no option \"%s\"; see --help", word);
}

bool
options_parse(int argc, char **argv, struct bench_options *o,
    char why[static OPTIONS_WHY_MAX])
{
	struct taker t = { .o = o, .why = why };
	struct option longs[ROWS + 1];
	bool has_mix = false;
	int found;

	*o = (struct bench_options){
		.suffix = "bench.example",
		.scenario = SCENARIO_ORDER,
		.connections = 16,
		.names = 1,
		.kinds = { PKI_P256 },
		.nkinds = 1,
		.account_kinds = { PKI_P256 },
		.naccount_kinds = 1,
		.timeout = 30 * 1000000,
		.unit_timeout = 120 * 1000000,
		.max_failures = 100,
	};
	fill_long_options(longs);
	optind = 0; /* begin anew, whoever called it before */
	opterr = 0;
	while ((found = getopt_long(argc, argv, ":s:n:d:w:r:c:hV", longs,
		    NULL)) != -1) {
		if ((t.row = find_row(found)) == NULL)
			return complain_unknown(&t, argc, argv, found);
		has_mix = has_mix || t.row->take == take_mix;
		if (!t.row->take(&t, optarg))
			return false;
		if (o->help || o->version)
			return true;
	}
	if (optind + 1 != argc)
		return complain(&t, "give one URL, that of the directory");
	o->url = argv[optind];
	if (!check_together(o, &t, has_mix))
		return false;
	set_defaults(o);
	return true;
}
