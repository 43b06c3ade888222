/* SPDX-License-Identifier: ISC */
/* The command line of the load generator. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

static const char usage_text[] =
    "usage: acme_load [options] URL\n"
    "\n"
    "Load an ACME server (RFC 8555) with signed flows, verify what it hands\n"
    "out, and tell how long that took. URL is that of its directory; for the\n"
    "scenarios ocsp-get and ocsp-post, that of a responder.\n"
    "\n"
    "  --ca FILE             PEM roots for the server's TLS certificate\n"
    "  --root FILE           PEM roots that issued chains must end in\n"
    "  -n, --orders N        units of work (1000)\n"
    "  -c, --connections N   at once (16)\n"
    "  --addresses N         of 127/8, that connections come from (one)\n"
    "  --accounts N          shared by the connections (one each)\n"
    "  --scenario NAME       full, new-order, new-nonce, directory, ocsp-get,\n"
    "                        ocsp-post (full)\n"
    "  --asks FILE           requests of OCSP, a line of base64 each\n"
    "  --names N             names in an order (1)\n"
    "  --suffix NAME         below which they are (bench.example)\n"
    "  --key-types LIST      of certificates: p256,p384,p521,rsa,ed25519\n"
    "  --account-keys LIST   of accounts: the same (p256)\n"
    "  --timeout SECONDS     for one request (30)\n"
    "  --poll MILLISECONDS   between polls (what the server says, or 100)\n"
    "  --pid PID             tell the processor time and memory of PID\n"
    "  --json                report as JSON\n"
    "\n"
    "Exit status: 0, or 1 if anything failed, 2 for bad options.\n";

enum option_id {
	OPT_CA = 256,
	OPT_ROOT,
	OPT_ADDRESSES,
	OPT_ACCOUNTS,
	OPT_SCENARIO,
	OPT_ASKS,
	OPT_NAMES,
	OPT_SUFFIX,
	OPT_KEY_TYPES,
	OPT_ACCOUNT_KEYS,
	OPT_TIMEOUT,
	OPT_POLL,
	OPT_PID,
	OPT_JSON,
	OPT_HELP,
};

static const struct option options[] = {
	{ "ca", required_argument, NULL, OPT_CA },
	{ "root", required_argument, NULL, OPT_ROOT },
	{ "orders", required_argument, NULL, 'n' },
	{ "connections", required_argument, NULL, 'c' },
	{ "addresses", required_argument, NULL, OPT_ADDRESSES },
	{ "accounts", required_argument, NULL, OPT_ACCOUNTS },
	{ "scenario", required_argument, NULL, OPT_SCENARIO },
	{ "asks", required_argument, NULL, OPT_ASKS },
	{ "names", required_argument, NULL, OPT_NAMES },
	{ "suffix", required_argument, NULL, OPT_SUFFIX },
	{ "key-types", required_argument, NULL, OPT_KEY_TYPES },
	{ "account-keys", required_argument, NULL, OPT_ACCOUNT_KEYS },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "poll", required_argument, NULL, OPT_POLL },
	{ "pid", required_argument, NULL, OPT_PID },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static const char *const scenarios[] = {
	[SCENARIO_FULL] = "full",
	[SCENARIO_NEW_ORDER] = "new-order",
	[SCENARIO_NEW_NONCE] = "new-nonce",
	[SCENARIO_DIRECTORY] = "directory",
	[SCENARIO_OCSP_GET] = "ocsp-get",
	[SCENARIO_OCSP_POST] = "ocsp-post",
};

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

const char *
load_scenario_name(enum load_scenario s)
{
	return scenarios[s];
}

bool
load_is_signed(enum load_scenario s)
{
	return s == SCENARIO_FULL || s == SCENARIO_NEW_ORDER;
}

bool
load_is_ocsp(enum load_scenario s)
{
	return s == SCENARIO_OCSP_GET || s == SCENARIO_OCSP_POST;
}

static void __attribute__((noreturn, format(printf, 1, 2)))
bad_usage(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "acme_load: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nTry acme_load --help.\n");
	exit(2);
}

static size_t
parse_number(const char *name, const char *text, size_t min, size_t max)
{
	uint64_t v;

	if (!str_u64(str_from(text), &v) || v < min || v > max)
		bad_usage("%s wants a number from %zu to %zu, not \"%s\"", name,
		    min, max, text);
	return (size_t)v;
}

static enum load_scenario
parse_scenario(const char *text)
{
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
		if (strcmp(scenarios[i], text) == 0)
			return (enum load_scenario)i;
	bad_usage("no scenario is called \"%s\"", text);
}

static size_t
parse_kinds(const char *text, enum pki_key_kind *out)
{
	struct str rest = str_from(text), word;
	const size_t all = sizeof(kinds) / sizeof(kinds[0]);
	size_t n = 0, i;

	do {
		word = str_cut(&rest, ',');
		for (i = 0; i < all && !str_is(word, kinds[i].name); i++)
			continue;
		if (i == all || n == LOAD_KINDS_MAX)
			bad_usage("\"%s\" is no list of key types: p256, p384, "
				  "p521, rsa, ed25519",
			    text);
		out[n++] = kinds[i].kind;
	} while (rest.n > 0);
	return n;
}

static void
take_option(int id, const char *arg, struct load_options *o)
{
	const size_t big = 1000000000;

	switch (id) {
	case OPT_CA:
		o->ca_file = arg;
		break;
	case OPT_ROOT:
		o->root_file = arg;
		break;
	case 'n':
		o->orders = parse_number("-n", arg, 1, big);
		break;
	case 'c':
		o->connections = parse_number("-c", arg, 1,
		    LOAD_CONNECTIONS_MAX);
		break;
	case OPT_ADDRESSES:
		o->addresses = parse_number("--addresses", arg, 1, 250);
		break;
	case OPT_ACCOUNTS:
		o->accounts = parse_number("--accounts", arg, 1,
		    LOAD_CONNECTIONS_MAX);
		break;
	case OPT_SCENARIO:
		o->scenario = parse_scenario(arg);
		break;
	case OPT_ASKS:
		o->asks_file = arg;
		break;
	case OPT_NAMES:
		o->names = parse_number("--names", arg, 1, LOAD_NAMES_MAX);
		break;
	case OPT_SUFFIX:
		o->suffix = arg;
		break;
	case OPT_KEY_TYPES:
		o->nkinds = parse_kinds(arg, o->kinds);
		break;
	case OPT_ACCOUNT_KEYS:
		o->naccount_kinds = parse_kinds(arg, o->account_kinds);
		break;
	case OPT_TIMEOUT:
		o->timeout = (int64_t)parse_number("--timeout", arg, 1, 3600) *
		    1000000;
		break;
	case OPT_POLL:
		o->poll = (int64_t)parse_number("--poll", arg, 1, 60000) * 1000;
		break;
	case OPT_PID:
		o->pid = (pid_t)parse_number("--pid", arg, 1, 1 << 30);
		break;
	case OPT_JSON:
		o->json = true;
		break;
	case OPT_HELP:
		fputs(usage_text, stdout);
		exit(0);
	default:
		bad_usage("that option is none of mine");
	}
}

void
load_parse_options(int argc, char **argv, struct load_options *o)
{
	int id;

	*o = (struct load_options){
		.suffix = "bench.example",
		.orders = 1000,
		.connections = 16,
		.names = 1,
		.kinds = { PKI_P256 },
		.nkinds = 1,
		.account_kinds = { PKI_P256 },
		.naccount_kinds = 1,
		.timeout = 30 * 1000000,
	};
	while ((id = getopt_long(argc, argv, "n:c:", options, NULL)) != -1)
		take_option(id, optarg, o);
	if (optind + 1 != argc)
		bad_usage("give one URL, that of the directory");
	if (load_is_ocsp(o->scenario) != (o->asks_file != NULL))
		bad_usage("--asks and the scenarios of OCSP need each other");
	o->url = argv[optind];
	if (load_is_signed(o->scenario) && o->orders > LOAD_ORDERS_MAX)
		bad_usage("-n is at most %d for this scenario",
		    LOAD_ORDERS_MAX);
	if (o->accounts == 0 || o->accounts > o->connections)
		o->accounts = o->connections;
	/* The name is put in front of it, a label of up to 32 letters. */
	if (pki_check_dns_name(str_from(o->suffix), false) != NULL ||
	    strlen(o->suffix) > PKI_NAME_MAX - 33)
		bad_usage("\"%s\" is no name to put others below", o->suffix);
}
