/* SPDX-License-Identifier: ISC */
/* What a good file becomes: types, defaults, the dump, and differences. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/when.h"
#include "conf/conf_int.h"
#include "try.h"

static void
loads_what_the_file_says(void **state)
{
	struct try *t = *state;
	const struct conf *c = try_good(t,
	    "data_dir = '/var/lib/certloop'\n"
	    "log_level = debug\n"
	    "log_format = json log_sink = syslog\n"
	    "auto_migrate = no\n"
	    "nonce_lifetime = 90m\n"
	    "account_cache = 1\n"
	    "caa_identities = { CA.example.com, \"b.example\", }\n"
	    "store { url = \"postgresql://u@h/db\" connections = 8 }\n"
	    "store { queue = 5 }\n"
	    "http { header_max = 4K idle_timeout = 2M }\n"
	    "listener web {\n"
	    "\taddress = \"[0:0::1]:8443\" # a comment\n"
	    "\ttls = off\n"
	    "\ttrusted_proxies = { 10.0.0.0/8, \"2001:db8::/32\", 127.0.0.1 }\n"
	    "\tproxy = on }\n"
	    "listener sock { kind = status address = \"unix:/run/x\"\n"
	    "\tmode = 0660 }\n"
	    "issuer a { backdate = 0 crl_url = http://x/c?d }\n"
	    "profile default { allowed_suffixes = { \".Foo.example\" }\n"
	    "\tkey_types = { ecdsa-p256, rsa4096 } lifetime = 12h }\n");
	const struct conf_listener *s = &c->listeners[0];

	assert_str(c->data_dir, "/var/lib/certloop");
	assert_str(c->admin_socket, "/var/lib/certloop/admin.sock");
	assert_int_equal(c->log_level, CONF_LOG_DEBUG);
	assert_int_equal(c->log_format, CONF_LOG_JSON);
	assert_int_equal(c->log_sink, CONF_LOG_SYSLOG);
	assert_false(c->auto_migrate);
	assert_int_equal(c->nonce_lifetime, 90 * WHEN_MINUTE);
	assert_int_equal(c->account_cache, 1);
	assert_int_equal(c->caa_identities.n, 2);
	assert_str(c->caa_identities.v[0], "ca.example.com");
	assert_str(c->store.url, "postgresql://u@h/db");
	assert_int_equal(c->store.connections, 8);
	assert_int_equal(c->store.queue, 5);
	assert_int_equal(c->http.header_max, 4096);
	assert_int_equal(c->http.idle_timeout, 2 * WHEN_MINUTE);
	assert_int_equal(c->nlisteners, 2);
	assert_str(s->at.name, "web");
	assert_int_equal(s->at.line, 11);
	assert_int_equal(s->at.lines[CONF_AT_LISTENER_proxy], 15);
	assert_str(s->address.text, "[::1]:8443");
	assert_int_equal(s->address.port, 8443);
	assert_false(s->tls);
	assert_true(s->proxy);
	assert_int_equal(s->trusted_proxies.n, 3);
	assert_int_equal(s->trusted_proxies.v[2].bits, 32);
	assert_str(c->listeners[1].address.path, "/run/x");
	assert_int_equal(c->listeners[1].mode, 0660);
	assert_false(c->listeners[1].tls);
	assert_str(c->issuers[0].crl_url.text, "http://x/c?d");
	assert_str(c->issuers[0].crl_url.path, "/c?d");
	assert_int_equal(c->issuers[0].backdate, 0);
	assert_str(c->profiles[0].issuer, "a");
	assert_str(c->profiles[0].allowed_suffixes.v[0], "foo.example");
	assert_int_equal(c->profiles[0].key_types,
	    CONF_KEY_P256 | CONF_KEY_RSA4096);
	assert_int_equal(c->profiles[0].lifetime, 12 * WHEN_HOUR);
}

static void
runs_without_a_file(void **state)
{
	struct try *t = *state;
	const struct conf *c = conf_default(t->arena, &t->errors);

	assert_non_null(c);
	assert_string_equal(try_messages(t), "");
	assert_int_equal(c->path.n, 0);
	assert_int_equal(c->nlisteners, 2);
	assert_str(c->listeners[0].address.text, "127.0.0.1:14000");
	assert_int_equal(c->listeners[0].kind, CONF_LISTENER_ACME);
	assert_true(c->listeners[0].tls);
	assert_str(c->listeners[1].address.text, "127.0.0.1:14001");
	assert_int_equal(c->listeners[1].kind, CONF_LISTENER_STATUS);
	assert_false(c->listeners[1].tls);
	assert_str(c->store.url, "sqlite:./certloop-data/certloop.db");
	assert_str(c->issuers[0].at.name, "local");
	assert_str(c->profiles[0].at.name, "default");
	assert_str(c->profiles[0].issuer, "local");
	assert_int_equal(c->profiles[0].order_lifetime, WHEN_HOUR);
	assert_int_equal(c->profiles[0].key_types, 127);
	assert_ptr_equal(conf_find_profile(c, STR("default")), c->profiles);
	assert_ptr_equal(conf_find_issuer(c, STR("local")), c->issuers);
	assert_null(conf_find_profile(c, STR("other")));
	assert_null(conf_find_issuer(c, STR("")));
	assert_ptr_equal(conf_find_listener(c, STR("status")),
	    &c->listeners[1]);
	assert_null(conf_find_listener(c, STR("x")));
	/* what no text can be given to is not given */
	assert_null(c->public_url.text.p);
	assert_null(c->issuers[0].certificate.p);
}

/* Every default, minimum and maximum of every row reads as its type. */
static void
every_row_has_a_sound_default(void **state)
{
	struct try *t = *state;

	for (size_t k = 0; k < CONF_KIND_COUNT; k++)
		for (size_t i = 0; i < conf_kinds[k].nrows; i++) {
			const struct conf_row *r = &conf_kinds[k].rows[i];
			struct str text = str_from(r->def);
			struct conf_value v = { .arena = t->arena,
				.row = r,
				.v = &text,
				.n = 1 };
			union {
				char bytes[256];
				int64_t number;
			} field;

			assert_true(r->help[0] != '\0');
			assert_in_range(strlen(r->name), 2, CONF_NAME_MAX);
			if (text.n == 0)
				continue;
			if (!conf_types[r->type].parse(&v, &field))
				fail_msg("%s: %s", r->name, v.why.p);
		}
}

static void
takes_every_form_of_a_value(void **state)
{
	static const struct {
		const char *text;
		int64_t usec;
	} durations[] = {
		{ "60000ms", 60000000 },
		{ "60s", 60000000 },
		{ "60S", 60000000 },
		{ "1m", 60000000 },
		{ "24h", 24 * WHEN_HOUR },
		{ "1d", WHEN_DAY },
		{ "\"2h\"", 2 * WHEN_HOUR },
		{ "'2h'", 2 * WHEN_HOUR },
		{ "${CONF_TEST_LIFE}", 3 * WHEN_HOUR },
		{ "\"${CONF_TEST_LIFE}\"", 3 * WHEN_HOUR },
		{ "\"${CONF_TEST_NONE:-4h}\"", 4 * WHEN_HOUR },
		{ "${CONF_TEST_NONE:-4h}", 4 * WHEN_HOUR },
	};
	struct try *t = *state;
	static const char *const bools[] = { "yes", "no", "Yes", "NO", "true",
		"false", "TRUE", "False", "on", "off" };
	const struct conf *c;

	setenv("CONF_TEST_LIFE", "3h", 1);
	unsetenv("CONF_TEST_NONE");
	for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++)
		assert_int_equal(try_good(t,
				     str_printf(t->arena,
					 ACME "nonce_lifetime = %s",
					 durations[i].text)
					 .p)
				     ->nonce_lifetime,
		    durations[i].usec);
	for (size_t i = 0; i < sizeof(bools) / sizeof(bools[0]); i++) {
		const char *text =
		    str_printf(t->arena, ACME "auto_migrate = %s", bools[i]).p;

		assert_int_equal(try_good(t, text)->auto_migrate, i % 2 == 0);
	}
	c = try_good(t, ACME "shutdown_timeout = 0");
	assert_int_equal(c->shutdown_timeout, 0);
}

static void
reads_rates(void **state)
{
	struct try *t = *state;
	const struct conf *c = try_good(t,
	    ACME "limits { new_order_per_account = 7/90s\n"
		 "key_change_per_account = 0\n"
		 "failed_validation_per_name = 10000/31d }");

	assert_int_equal(c->limits.new_order_per_account.max, 7);
	assert_int_equal(c->limits.new_order_per_account.window,
	    90 * WHEN_SECOND);
	assert_int_equal(c->limits.key_change_per_account.max, 0);
	assert_int_equal(c->limits.failed_validation_per_name.window,
	    31 * WHEN_DAY);
	assert_int_equal(c->limits.new_account_per_address.max, 10);
	assert_int_equal(c->limits.new_account_per_address.window,
	    3 * WHEN_HOUR);
}

static void
makes_a_base_url_canonical(void **state)
{
	static const struct {
		const char *text, *canonical, *host, *path;
		unsigned port;
	} urls[] = {
		{ "https://localhost", "https://localhost", "localhost", "",
		    443 },
		{ "https://LOCALHOST:443/", "https://localhost", "localhost",
		    "", 443 },
		{ "http://localhost:80//", "http://localhost", "localhost", "",
		    80 },
		{ "http://localhost:443/a/B%20/", "http://localhost:443/a/B%20",
		    "localhost", "/a/B%20", 443 },
		{ "https://[::1]:8443", "https://[::1]:8443", "::1", "", 8443 },
		{ "https://[0:0::1]/x", "https://[::1]/x", "::1", "/x", 443 },
		{ "https://127.0.0.1:14000", "https://127.0.0.1:14000",
		    "127.0.0.1", "", 14000 },
	};
	struct try *t = *state;

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		const struct conf *c = try_good(t,
		    str_printf(t->arena, ACME "public_url = \"%s\"\n",
			urls[i].text)
			.p);

		assert_str(c->public_url.text, urls[i].canonical);
		assert_str(c->public_url.host, urls[i].host);
		assert_str(c->public_url.path, urls[i].path);
		assert_int_equal(c->public_url.port, urls[i].port);
		assert_int_equal(c->public_url.https, urls[i].text[4] == 's');
		assert_int_equal(strlen(c->public_url.text.p),
		    c->public_url.text.n);
	}
	/* one that is only told to clients is left as it is */
	assert_str(try_good(t,
		       ACME "website = \"https://X.example:443/a/?b#c\"")
		       ->website.text,
	    "https://X.example:443/a/?b#c");
}

static void
leaves_out_what_is_commented_out(void **state)
{
	struct try *t = *state;
	const struct conf *c = try_good(t,
	    "/* lease = 5s */ lease = 7s // lease = 6s\n"
	    "#lease = 8s\n"
	    "// \"\n"
	    "/* ' \n { */\n"
	    "caa_identities = { # first\n"
	    "\t\"a.example\", // second\n"
	    "\t/* third */ b.example } /**/\n"
	    "website = \"https://x/#a//b/*c*/\"\n"
	    "terms_of_service = https://x//y # z\n" ACME);

	assert_int_equal(c->lease, 7 * WHEN_SECOND);
	assert_int_equal(c->caa_identities.n, 2);
	assert_str(c->website.text, "https://x/#a//b/*c*/");
	assert_str(c->terms_of_service.text, "https://x//y");
	/* and lines are counted right behind all that */
	assert_int_equal(c->at.lines[CONF_AT_TOP_terms_of_service], 10);
	assert_int_equal(c->listeners[0].at.line, 11);
}

static void
adds_to_a_list_with_plus(void **state)
{
	struct try *t = *state;
	const struct conf *c = try_good(t,
	    ACME "caa_identities = a.example\n"
		 "caa_identities += b.example\n"
		 "caa_identities += { c.example,"
		 " d.example }\n");

	assert_int_equal(c->caa_identities.n, 4);
	assert_str(c->caa_identities.v[3], "d.example");
	c = try_good(t, ACME "caa_identities = {}\n");
	assert_int_equal(c->caa_identities.n, 0);
}

static void
names_the_only_profile_the_default(void **state)
{
	struct try *t = *state;
	const struct conf *c = try_good(t, ACME "profile tls { }");

	assert_str(c->default_profile, "tls");
	c = try_good(t, ACME "default_profile = b profile a { } profile b { }");
	assert_str(c->default_profile, "b");
}

static void
reads_a_file_with_its_errors(void **state)
{
	char path[] = "/tmp/conf_testXXXXXX";
	struct try *t = *state;
	const struct conf *c;
	int fd = mkstemp(path);

	assert_true(fd != -1);
	assert_int_equal(write(fd, ACME, strlen(ACME)), strlen(ACME));
	c = conf_load(t->arena, path, &t->errors);
	assert_non_null(c);
	assert_string_equal(c->path.p, path);
	assert_int_equal(write(fd, "x = 1\n", 6), 6);
	assert_null(conf_load(t->arena, path, &t->errors));
	assert_int_equal(t->errors.nerrors, 1);
	assert_string_equal(t->errors.v[0].text.p,
	    str_printf(t->arena, "%s:2: there is no option x", path).p);
	assert_int_equal(ftruncate(fd, CONF_FILE_MAX + 1), 0);
	assert_null(conf_load(t->arena, path, &t->errors));
	assert_string_equal(t->errors.v[0].text.p,
	    str_printf(t->arena, "%s: larger than 1048576 bytes", path).p);
	close(fd);
	unlink(path);
	assert_null(conf_load(t->arena, path, &t->errors));
	assert_string_equal(t->errors.v[0].text.p,
	    str_printf(t->arena, "%s: No such file or directory", path).p);
	assert_null(conf_load(t->arena, "/tmp", &t->errors));
	assert_string_equal(t->errors.v[0].text.p, "/tmp: Is a directory");
}

/* ---- showing */

static const char full[] =
    "data_dir = \"/srv/a \\\"b\\\" \\${c} \\\\ \\x01\"\n"
    "public_url = \"https://localhost:8443/a\"\n"
    "website = \"https://x/?y=$1\"\n"
    "lease = 90s account_cache = 1 nonce_lifetime = 1500s\n"
    "caa_identities = { a.example, b.example }\n"
    "store { deadline = 1500ms }\n"
    "http { header_max = 5000 }\n"
    "limits { new_order_per_account = 7/90s key_change_per_account = 0 }\n"
    "redis { address = \"unix:/x\" database = 3 }\n"
    "listener acme { address = \"[::1]:443\" names = { ca.example, ::1 } }\n"
    "listener st { kind = status address = \"127.0.0.1:9\" proxy = yes\n"
    " trusted_proxies = { \"10.1.0.0/16\", \"2001:db8::/32\" } }\n"
    "issuer i1 { backdate = 5m ocsp_url = \"http://o/\" }\n"
    "issuer i2 { }\n"
    "profile default { issuer = i2 key_types = { ed25519 }\n"
    " lifetime = 36h allowed_cidrs = 10.0.0.0/8 client_auth = yes }\n"
    "profile p2 { issuer = i1 denied_suffixes = { x.example }\n"
    " allowed_suffixes = { example } }\n";

static void
the_dump_loads_to_the_same(void **state)
{
	struct try *t = *state;
	const struct conf *a = try_load(t, full), *b;
	struct buf dump = buf_new(t->arena, 1 << 16), again = dump;
	size_t n;

	if (a == NULL)
		fail_msg("%s", try_messages(t));
	conf_write(&dump, a);
	buf_char(&dump, '\0');
	b = try_load(t, dump.p);
	if (b == NULL)
		fail_msg("%s", try_messages(t));
	conf_diff(t->arena, a, b, &n);
	assert_int_equal(n, 0);
	assert_str(b->data_dir, "/srv/a \"b\" ${c} \\ \x01");
	again = buf_new(t->arena, 1 << 16);
	conf_write(&again, b);
	buf_char(&again, '\0');
	assert_string_equal(again.p, dump.p);
	assert_non_null(strstr(dump.p, "\n#log_level = info\n"));
	assert_non_null(strstr(dump.p, "\n\tlifetime = 36h\n"));
}

static void
shows_every_option_with_its_origin(void **state)
{
	struct try *t = *state;
	const struct conf *c = try_good(t, ACME "lease = 90s\n");
	const struct conf_entry *e;
	size_t n, expected = 0, seen = 0;

	for (size_t k = 0; k < CONF_KIND_COUNT; k++)
		if (k != CONF_LOOP) /* there is none that nobody wrote */
			expected += conf_kinds[k].nrows;
	e = conf_entries(t->arena, c, &n);
	assert_int_equal(n, expected);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(e[i].option, "lease") == 0) {
			assert_string_equal(e[i].section, "");
			assert_str(e[i].value, "90s");
			assert_true(e[i].given);
			assert_true(e[i].live);
			seen++;
		}
		if (strcmp(e[i].option, "address") == 0 &&
		    strcmp(e[i].section, "redis") != 0 &&
		    strcmp(e[i].section, "issuer") != 0) {
			assert_string_equal(e[i].section, "listener");
			assert_str(e[i].name, "acme");
			assert_str(e[i].value, "\"127.0.0.1:1\"");
			assert_false(e[i].live);
			seen++;
		}
		if (strcmp(e[i].option, "queue") == 0) {
			assert_false(e[i].given);
			seen++;
		}
	}
	assert_int_equal(seen, 3);
}

static void
never_shows_the_password_of_the_store(void **state)
{
	static const char *const urls[][2] = {
		{ "postgresql://u:s3cret@h:5432/db",
		    "\"postgresql://u:********@h:5432/db\"" },
		{ "postgres://u:s3cret@h/db?a=b@c:d",
		    "\"postgres://u:********@h/db?a=b@c:d\"" },
		{ "postgresql://h/db?password=s3cret&x=1&password=s3cret",
		    "\"postgresql://h/db?password=********&x=1&"
		    "password=********\"" },
		{ "postgresql://h/db?x=1&pass%77ord=s3cret",
		    "\"postgresql://h/db?x=1&pass%77ord=********\"" },
		{ "postgresql://h/db?%70%61SS&%70%61%73%73word=s3?cret&y=%zz%7",
		    "\"postgresql://h/db?%70%61SS&%70%61%73%73word=********&"
		    "y=%zz%7\"" },
		{ "postgresql://h/db?sslpassword=s3=cret",
		    "\"postgresql://h/db?sslpassword=********\"" },
		{ "postgresql://h/db&password=s3cret",
		    "\"postgresql://h/db&password=********\"" },
		{ "postgresql://u:s3cret@h/db?passwor%64=s3cret",
		    "\"postgresql://u:********@h/db?passwor%64=********\"" },
		{ "postgresql://u:s3@cret@h/db",
		    "\"postgresql://u:********@h/db\"" },
		{ "postgresql://u@h:5432/db", "\"postgresql://u@h:5432/db\"" },
		{ "postgresql:///db?host=/run/x",
		    "\"postgresql:///db?host=/run/x\"" },
		{ "sqlite:a:b@c", "\"sqlite:a:b@c\"" },
	};
	struct try *t = *state;
	const struct conf *last = NULL;

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		const struct conf *c = try_good(t,
		    str_printf(t->arena, ACME "store { url = \"%s\" }",
			urls[i][0])
			.p);
		struct buf dump = buf_new(t->arena, 1 << 16);
		const struct conf_change *d;
		size_t n;

		assert_str(c->store.url, urls[i][0]);
		conf_write(&dump, c);
		buf_char(&dump, '\0');
		if (strstr(dump.p, urls[i][1]) == NULL)
			fail_msg("%s", dump.p);
		assert_null(strstr(dump.p, "cret"));
		if (last != NULL) {
			d = conf_diff(t->arena, last, c, &n);
			assert_int_equal(n, 1);
			assert_null(
			    memmem(d->before.p, d->before.n, "cret", 4));
			assert_null(memmem(d->after.p, d->after.n, "cret", 4));
		}
		last = c;
	}
}

static void
tells_a_change_of_the_password_without_showing_it(void **state)
{
	struct try *t = *state;
	const struct conf *a, *b;
	const struct conf_change *d;
	size_t n;

	a = try_good(t, ACME "store { url = \"postgresql://u:one@h/d\" }");
	b = try_good(t, ACME "store { url = \"postgresql://u:two@h/d\" }");
	d = conf_diff(t->arena, a, b, &n);
	assert_int_equal(n, 1);
	assert_string_equal(d->option, "url");
	assert_str(d->after, "\"postgresql://u:********@h/d\"");
}

static void
tells_what_changed_and_what_needs_a_restart(void **state)
{
	struct try *t = *state;
	const struct conf *a = try_good(t,
	    ACME "listener x { address = \"127.0.0.1:2\" }\n"
		 "profile default { } profile old { } issuer i { }");
	const struct conf *b = try_good(t,
	    "log_level = warn data_dir = x\n" ACME
	    "listener y { address = \"127.0.0.1:2\" }\n"
	    "profile new { } profile default { lifetime = 1d } issuer i { }");
	const struct conf_change *d;
	size_t n, found = 0;

	d = conf_diff(t->arena, a, b, &n);
	for (size_t i = 0; i < n; i++) {
		const char *o = d[i].option != NULL ? d[i].option : "-";

		if (strcmp(o, "log_level") == 0) {
			assert_str(d[i].before, "info");
			assert_str(d[i].after, "warn");
			found |= d[i].live ? 1 : 0;
		} else if (strcmp(o, "data_dir") == 0) {
			found |= d[i].live ? 0 : 2;
		} else if (strcmp(o, "lifetime") == 0) {
			assert_string_equal(d[i].section, "profile");
			assert_str(d[i].name, "default");
			assert_str(d[i].before, "90d");
			assert_str(d[i].after, "1d");
			found |= 4;
		} else if (str_is(d[i].name, "old")) {
			assert_null(d[i].after.p);
			assert_non_null(d[i].before.p);
			found |= d[i].live ? 8 : 0;
		} else if (str_is(d[i].name, "new")) {
			assert_null(d[i].before.p);
			found |= d[i].live ? 16 : 0;
		} else if (str_is(d[i].name, "x")) {
			assert_null(d[i].after.p);
			found |= d[i].live ? 0 : 32;
		} else if (str_is(d[i].name, "y")) {
			found |= d[i].live ? 0 : 64;
		} else if (strcmp(o, "url") == 0) {
			found |= 128; /* it follows data_dir */
		} else if (strcmp(o, "admin_socket") == 0) {
			found |= 256;
		} else if (strcmp(o, "seal_key") == 0) {
			found |= 512;
		} else if (strcmp(o, "serve_folder") == 0) {
			found |= 1024;
		} else {
			fail_msg("%s %s", d[i].section, o);
		}
	}
	assert_int_equal(found, 2047);
	assert_int_equal(n, 11);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TRY(loads_what_the_file_says),
		TRY(runs_without_a_file),
		TRY(every_row_has_a_sound_default),
		TRY(takes_every_form_of_a_value),
		TRY(reads_rates),
		TRY(makes_a_base_url_canonical),
		TRY(leaves_out_what_is_commented_out),
		TRY(adds_to_a_list_with_plus),
		TRY(names_the_only_profile_the_default),
		TRY(reads_a_file_with_its_errors),
		TRY(the_dump_loads_to_the_same),
		TRY(shows_every_option_with_its_origin),
		TRY(never_shows_the_password_of_the_store),
		TRY(tells_a_change_of_the_password_without_showing_it),
		TRY(tells_what_changed_and_what_needs_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
