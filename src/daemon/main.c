/* SPDX-License-Identifier: ISC */
/* certloopd: options, configuration, schema; then the loop. */
#include "config.h"

#include "daemon/daemon.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/when.h"
#include "log/log.h"

enum mode { MODE_RUN, MODE_TEST, MODE_MIGRATE, MODE_INIT_CA };

static const char usage_text[] =
    "usage: certloopd [-c FILE] [-t | --migrate | --init-ca | --take-over]\n"
    "       certloopd -h | -V\n"
    "  -c, --config FILE  the configuration; without it SQLite and a CA of\n"
    "                     its own in ./certloop-data, on loopback\n"
    "  -t, --test         check the configuration and stop\n"
    "      --migrate      bring the schema of the store up to date and stop\n"
    "      --init-ca      make a root and an issuing CA and stop\n"
    "      --take-over    take the place of the one that runs, without a\n"
    "                     refused connection\n"
    "  -h, --help         say this\n"
    "  -V, --version      say the version\n";

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "test", no_argument, NULL, 't' },
	{ "migrate", no_argument, NULL, 'm' },
	{ "init-ca", no_argument, NULL, 'i' },
	{ "take-over", no_argument, NULL, 'o' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

/* The process ends here: nothing is flushed but what was said. */
static _Noreturn void
end(enum daemon_exit code)
{
	(void)fflush(stdout);
	log_flush();
	_exit((int)code);
}

static _Noreturn void
die(enum daemon_exit code, const char *what, const char *why)
{
	fprintf(stderr, "certloopd: %s%s%s\n", what, why[0] != '\0' ? ": " : "",
	    why);
	end(code);
}

static enum mode
parse_options(int argc, char **argv, struct daemon_options *o)
{
	enum mode mode = MODE_RUN;
	int c;

	while (
	    (c = getopt_long(argc, argv, "c:thV", long_options, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 't':
			mode = MODE_TEST;
			break;
		case 'm':
			mode = MODE_MIGRATE;
			break;
		case 'i':
			mode = MODE_INIT_CA;
			break;
		case 'o':
			o->take_over = true;
			break;
		case 'h':
			fputs(usage_text, stdout);
			exit(EXIT_OK);
		case 'V':
			puts("certloopd " PACKAGE_VERSION);
			exit(EXIT_OK);
		default:
			fputs(usage_text, stderr);
			exit(EXIT_USAGE);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "certloopd: unexpected argument \"%s\"\n%s",
		    argv[optind], usage_text);
		exit(EXIT_USAGE);
	}
	return mode;
}

static const struct conf *
load_config(struct arena *a, const struct daemon_options *o)
{
	struct conf_errors *e = arena_new(a, struct conf_errors);
	const struct conf *c = o->config != NULL ? conf_load(a, o->config, e) :
						   conf_default(a, e);

	for (size_t i = 0; i < e->n; i++)
		fprintf(stderr, "certloopd: %s" STR_FMT "\n",
		    e->v[i].is_error ? "" : "warning: ", STR_ARG(e->v[i].text));
	if (e->dropped > 0)
		fprintf(stderr, "certloopd: and %zu more\n", e->dropped);
	if (c == NULL)
		end(EXIT_CONFIG);
	return c;
}

/* Certificates, leases and nonces all rest on the clock. */
static void
check_clock(void)
{
	if (when_now() < INT64_C(1577836800) * WHEN_SECOND)
		die(EXIT_FAILED, "the clock says that it is before 2020",
		    "set it first");
}

static bool
uses_sqlite(const struct conf *c)
{
	return str_starts(c->store.url, STR("sqlite:"));
}

static void
make_data_dir(const struct conf *c)
{
	if (mkdir(c->data_dir.p, 0700) != 0 &&
	    access(c->data_dir.p, W_OK | X_OK) != 0) {
		perror(c->data_dir.p);
		die(EXIT_CONFIG, "cannot use data_dir", c->data_dir.p);
	}
}

static bool
needs_own_ca(const struct conf *c)
{
	for (size_t i = 0; i < c->nissuers; i++)
		if (c->issuers[i].type == CONF_ISSUER_LOCAL &&
		    c->issuers[i].certificate.n == 0)
			return true;
	return false;
}

/*
 * With SQLite there is one process, which may make its CA. Replicas must all
 * have the same one, so there it is a decision.
 */
static void
ensure_ca(struct arena *a, const struct conf *c)
{
	struct ca_paths p = ca_paths_of(a, c);
	const char *why;

	/* half of a CA is not replaced: loading it says what is missing */
	if (!needs_own_ca(c) || ca_exists(&p))
		return;
	if (!uses_sqlite(c))
		die(EXIT_CONFIG, "there is no CA yet",
		    str_printf(a,
			"run certloopd --init-ca once and give every "
			"replica the files in %s/ca, or name certificate and "
			"key of an issuer",
			c->data_dir.p)
			.p);
	if ((why = ca_init(a, c)) != NULL)
		die(EXIT_CONFIG, "cannot make a CA", why);
}

static void
prepare_store(struct arena *a, const struct conf *c, enum store_migrate how)
{
	const char *why;

	if (!daemon_prepare_store(a, c, how, &why))
		die(EXIT_STORE, "cannot use the store", why);
}

static void
init_ca(struct arena *a, const struct conf *c)
{
	struct ca_paths p = ca_paths_of(a, c);
	struct str sealed;
	const char *why;

	if ((why = ca_init(a, c)) != NULL)
		die(EXIT_CONFIG, "cannot make a CA", why);
	if (access(c->seal_key.p, F_OK) != 0 &&
	    !seal_make_key(a, c->seal_key.p, &sealed))
		die(EXIT_CONFIG, "cannot make the sealing key", sealed.p);
	printf("root CA     %s\nits key     %s (keep it offline)\n"
	       "issuing CA  %s\nits key     %s\n"
	       "sealing key %s\n",
	    p.root, p.root_key, p.certificate, p.key, c->seal_key.p);
}

/* As many descriptors as we may have; connections are bounded by config. */
static void
raise_limits(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r);
	}
}

static void
on_stop_signal(void *arg)
{
	daemon_stop(arg);
}

static void
on_turn_end(void *arg)
{
	struct daemon *d = arg;

	(void)log_flush();
	if (!timer_is_running(&d->flush_timer))
		timer_start(&d->flush_timer, WHEN_SECOND / 5);
}

static void
free_all(struct daemon *d)
{
	timer_stop(&d->flush_timer);
	timer_stop(&d->drain_delay);
	timer_stop(&d->drain);
	handover_stop(d);
	http_server_free(d->http);
	publish_stop(d);
	jobs_stop(d->jobs);
	certloops_free(d->loops);
	single_stop(d);
	selfcert_stop(d);
	if (d->starting.arena != NULL)
		task_end(&d->starting);
	acme_free(d->acme);
	responder_free(d->responder);
	fleet_free(d);
	admin_free(d->admin);
	daemon_free_listeners(d);
	issuers_free(d);
	outbound_free(d);
	store_free(d->store);
	loop_signal_free(d->sigterm);
	loop_signal_free(d->sigint);
	loop_signal_free(d->sighup);
	loop_free(d->loop);
	arena_destroy(d->arena);
}

static int
run(struct daemon *d, struct arena *conf_arena)
{
	const char *why = "";
	struct lent *lent;
	int code;

	(void)signal(SIGPIPE, SIG_IGN);
	raise_limits();
	if ((d->loop = loop_new()) == NULL)
		die(EXIT_FAILED, "cannot make an event loop", "");
	timer_init(&d->flush_timer, d->loop, on_turn_end, d);
	timer_start(&d->flush_timer, 0);
	d->sigterm = loop_signal_new(d->loop, SIGTERM, on_stop_signal, d);
	d->sigint = loop_signal_new(d->loop, SIGINT, on_stop_signal, d);
	d->sighup = loop_signal_new(d->loop, SIGHUP, daemon_on_hangup, d);
	if (!daemon_start(d, conf_arena, &why))
		die(d->exit, "cannot start", why);
	log_buffer(true);
	loop_run(d->loop);
	code = (int)d->exit;
	lent = handover_lend(d);
	if (lent == NULL)
		log_info("stopped");
	free_all(d);
	if (lent != NULL)
		handover_wait(lent);
	log_flush();
	return code;
}

int
main(int argc, char **argv)
{
	struct daemon d = { .arena = arena_create() };
	struct arena *conf_arena = arena_create();
	enum mode mode = parse_options(argc, argv, &d.options);
	const char *why;

	umask(077);
	check_clock();
	d.conf = load_config(conf_arena, &d.options);
	if (mode == MODE_TEST) {
		puts("the configuration is fine");
		end(EXIT_OK);
	}
	if (mode == MODE_INIT_CA) {
		init_ca(d.arena, d.conf);
		end(EXIT_OK);
	}
	make_data_dir(d.conf);
	if (mode == MODE_MIGRATE) {
		prepare_store(d.arena, d.conf, STORE_MIGRATE);
		puts("the schema is up to date");
		end(EXIT_OK);
	}
	log_set(
	    &(struct log_options){ .level = (enum log_level)d.conf->log_level,
		.format = (enum log_format)d.conf->log_format,
		.sink = (enum log_sink)d.conf->log_sink,
		.name = "certloopd" });
	ensure_ca(d.arena, d.conf);
	sockets_from_environment(&d);
	if (d.options.take_over) {
		if (!takeover_begin(&d, &why))
			die(EXIT_FAILED, "cannot take over", why);
	} else {
		prepare_store(d.arena, d.conf,
		    d.conf->auto_migrate ? STORE_MIGRATE : STORE_CHECK_ONLY);
	}
	return run(&d, conf_arena);
}
