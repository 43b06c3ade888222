/* SPDX-License-Identifier: ISC */
/* What depends on several options, and the rule about open profiles. */
#include <stdlib.h>
#include <unistd.h>

#include "base/when.h"
#include "pki/name.h"
#include "try.h"

/* A listener of kind acme on loopback, and what else it is given. */
#define WITH(options) "listener x { address = \"127.0.0.1:1\" " options " }\n"
#define FILES "certificate = /etc/passwd key = /etc/passwd"

static void
wants_a_listener_of_kind_acme(void **state)
{
	static const char message[] =
	    "error: f: no listener of kind acme; for example: listener acme { "
	    "address = \"127.0.0.1:14000\" }\n";

	try_bad(*state, "", message);
	try_bad(*state, "\n\n", message);
	try_bad(*state,
	    "listener s { kind = status address = \"127.0.0.1:1\" }", message);
	try_bad(*state, "\n\nlistener x { }",
	    "error: f:3: listener x needs an address, for example address = "
	    "\"127.0.0.1:443\"\n");
}

static void
wants_certificate_and_key_in_pairs(void **state)
{
	struct try *t = *state;
	const struct conf *c;

	c = try_good(t, WITH(FILES));
	assert_int_equal(c->listeners[0].certificate.n, 1);
	c = try_good(t,
	    WITH("certificate = { /etc/passwd, /etc/group }\n"
		 "key = { /etc/passwd, /etc/group }"));
	assert_str(c->listeners[0].key.v[1], "/etc/group");
	try_bad(t, WITH("\ncertificate = /etc/passwd"),
	    "error: f:2: listener x: 1 files in certificate but 0 in key; "
	    "each certificate needs its key\n");
	try_bad(t, WITH("\nkey = /etc/passwd"),
	    "error: f:2: listener x: 0 files in certificate but 1 in key; "
	    "each certificate needs its key\n");
	try_bad(t, WITH(FILES "\nnames = a.example"),
	    "error: f:2: listener x: names is for the certificate that the "
	    "daemon makes, but certificate is given\n");
	try_bad(t, WITH("\ntls = no\n" FILES),
	    "error: f:2: listener x: certificate, names and client_ca need "
	    "tls = yes\n");
}

static void
wants_client_auth_to_be_whole(void **state)
{
	struct try *t = *state;
	const struct conf *c;

	c = try_good(t, WITH("client_auth = require client_ca = /etc/passwd"));
	assert_int_equal(c->listeners[0].client_auth, CONF_CLIENT_REQUIRE);
	try_bad(t, WITH("client_auth = ask"),
	    "error: f:1: listener x: client_auth needs client_ca\n");
	try_bad(t, WITH("client_ca = /etc/passwd"),
	    "error: f:1: listener x: client_ca does nothing without "
	    "client_auth = ask or require\n");
}

static void
wants_to_know_who_may_speak_for_clients(void **state)
{
	struct try *t = *state;

	try_bad(t, WITH("\nproxy = yes"),
	    "error: f:2: listener x: proxy needs trusted_proxies, or anyone "
	    "could claim any address\n"
	    "error: f: profile default would give whoever reaches this server "
	    "a certificate for any name: set allowed_suffixes, "
	    "allowed_cidrs or eab_required, or listen on loopback only "
	    "(public_url too, no "
	    "proxy, no unix socket), or say open = yes\n");
	try_bad(t, WITH("forwarded = yes") "profile p { allowed_suffixes = a }",
	    "error: f:1: listener x: forwarded needs trusted_proxies, or "
	    "anyone could claim any address\n");
	try_bad(t, WITH("trusted_proxies = 10.0.0.0/8"),
	    "error: f:1: listener x: trusted_proxies does nothing without "
	    "proxy or forwarded\n");
	/* whoever can open a unix socket is trusted */
	(void)try_good(t,
	    "listener x { address = \"unix:/x\" proxy = yes }\n"
	    "profile p { allowed_suffixes = a }");
}

static void
tells_ports_from_unix_sockets(void **state)
{
	struct try *t = *state;
	const struct conf *c;

	c = try_good(t,
	    WITH("") "listener u { address = \"unix:/x\" "
		     "tls = yes mode = 0660 }\n"
		     "profile p { allowed_suffixes = a }");
	assert_true(c->listeners[0].tls);
	assert_true(c->listeners[1].tls);
	c = try_good(t,
	    WITH("") "listener u { address = \"unix:/x\" }\n"
		     "profile p { allowed_suffixes = a }");
	assert_false(c->listeners[1].tls);
	try_bad(t, WITH("mode = 0600"),
	    "error: f:1: listener x: mode is for unix sockets only\n");
	try_bad(t,
	    "listener u { address = \"unix:/x\" reuse_port = yes }\n"
	    "profile p { allowed_suffixes = a }",
	    "error: f:1: listener u: reuse_port is for ports, not for unix "
	    "sockets\n");
}

static void
keeps_api_keys_off_the_open_network(void **state)
{
	struct try *t = *state;
	const struct conf *c;

	c = try_good(t,
	    WITH("") "listener k { kind = admin address = \"127.0.0.1:2\" }");
	assert_true(c->listeners[1].tls);
	assert_int_equal(c->listeners[1].kind, CONF_LISTENER_ADMIN);
	try_bad(t,
	    WITH("") "listener k { kind = admin tls = no\n"
		     "address = \"127.0.0.1:2\" }",
	    "error: f:2: listener k: kind = admin needs tls = yes, or API keys "
	    "would cross the network in the clear\n");
	try_bad(t,
	    WITH("") "listener k { kind = admin tls = yes\n"
		     "address = \"unix:/x\" }\n"
		     "profile p { allowed_suffixes = a }",
	    "error: f:3: listener k: kind = admin is for ports; the admin "
	    "socket is admin_socket\n");
}

static void
refuses_an_address_that_is_taken(void **state)
{
	struct try *t = *state;

	try_bad(t,
	    WITH("") "listener y { kind = status\n"
		     "address = \"127.0.0.1:1\" }",
	    "error: f:3: listener y: listener x has this address already\n");
	(void)try_good(t,
	    "listener a { address = \"[::1]:0\" }\n"
	    "listener b { address = \"[::1]:0\" }");
}

static void
wants_issuers_to_be_whole(void **state)
{
	struct try *t = *state;

	(void)try_good(t, ACME "issuer i { " FILES " chain = /etc/group }");
	try_bad(t, ACME "issuer i { key = /etc/passwd }",
	    "error: f:2: issuer i: certificate and key need each other; "
	    "without both the daemon makes a CA of its own\n");
	try_bad(t, ACME "issuer i { chain = /etc/passwd }",
	    "error: f:2: issuer i: chain needs certificate and key\n");
}

#define VAULT                                                                  \
	ACME "issuer own { }\nissuer v { type = vault role = r\n"              \
	     "address = \"https://v.example:8200/\" token_file = /t\n"
#define USES_V "}\nprofile p { issuer = v allowed_suffixes = a }\n"

static void
wants_a_vault_issuer_to_be_whole(void **state)
{
	struct try *t = *state;
	const struct conf *c = try_good(t, VAULT USES_V);

	assert_int_equal(c->issuers[1].type, CONF_ISSUER_VAULT);
	assert_str(c->issuers[1].address.text, "https://v.example:8200");
	assert_str(c->issuers[1].mount, "pki");
	assert_int_equal(c->issuers[1].backdate, 30000000);
	assert_int_equal(c->issuers[0].backdate, 3600000000);
	c = try_good(t, VAULT "backdate = 2m mount = \"a/b\"" USES_V);
	assert_int_equal(c->issuers[1].backdate, 120000000);
	try_bad(t,
	    ACME "issuer l { }\nissuer v { type = vault }\n"
		 "profile p { issuer = l }",
	    "error: f:3: issuer v: type = vault needs address, role and "
	    "one of token_file, token_env, or role_id with "
	    "secret_id_file\n");
	try_bad(t, VAULT "role_id = r secret_id_file = \"/s\"" USES_V,
	    "error: f:3: issuer v: type = vault needs address, role and "
	    "one of token_file, token_env, or role_id with "
	    "secret_id_file\n");
	try_bad(t, VAULT "token_env = VAULT_TOKEN" USES_V,
	    "error: f:3: issuer v: type = vault needs address, role and "
	    "one of token_file, token_env, or role_id with "
	    "secret_id_file\n");
	try_bad(t, VAULT "secret_id_file = \"/s\"" USES_V,
	    "error: f:3: issuer v: role_id and secret_id_file need each "
	    "other\n");
	try_bad(t, VAULT "mount = \"a//b?\"" USES_V,
	    "error: f:5: issuer v: mount = \"a//b?\" has a character that is "
	    "not a letter, a digit or one of -_./ (inside)\n");
	try_bad(t, VAULT "role = \"a/b\"" USES_V,
	    "error: f:5: option role is given twice, first in line 3\n");
	try_bad(t, VAULT "namespace = \"../x\"" USES_V,
	    "error: f:5: issuer v: namespace = \"../x\" has a character that "
	    "is not a letter, a digit or one of -_./ (inside)\n");
}

/* What an order may have a certificate can have. */
static void
bounds_identifiers_as_certificates_do(void **state)
{
	struct try *t = *state;
	const struct conf *c;
	char text[200];

	snprintf(text, sizeof(text), ACME "profile p { max_identifiers = %d }",
	    PKI_NAMES_MAX);
	c = try_good(t, text);
	assert_int_equal(c->profiles[0].max_identifiers, PKI_NAMES_MAX);
	snprintf(text, sizeof(text), ACME "profile p { max_identifiers = %d }",
	    PKI_NAMES_MAX + 1);
	assert_null(try_load(t, text));
}

#define OCSP ACME "issuer i { ocsp_url = \"http://o/\" }\n"

static void
wants_what_is_said_about_revocation_to_agree(void **state)
{
	struct try *t = *state;
	const struct conf *c;

	c = try_good(t, OCSP "profile p { tls_feature = yes }");
	assert_true(c->profiles[0].tls_feature && !c->profiles[0].no_rev_avail);
	(void)try_good(t,
	    ACME "ca_url = \"http://ca\"\nprofile p { tls_feature = yes }");
	c = try_good(t, ACME "profile p { no_rev_avail = yes lifetime = 7d }");
	assert_true(c->profiles[0].no_rev_avail && !c->profiles[0].tls_feature);
	try_bad(t, ACME "profile p {\ntls_feature = yes }",
	    "error: f:3: profile p: tls_feature needs an answer of OCSP to "
	    "staple: set ca_url, or ocsp_url of issuer local\n");
	try_bad(t,
	    OCSP "profile p { tls_feature = yes\nno_rev_avail = yes\n"
		 "lifetime = 1d }",
	    "error: f:4: profile p: tls_feature wants an answer of OCSP "
	    "stapled, no_rev_avail says that there is none; only one of them "
	    "can be\n");
	try_bad(t,
	    "default_profile = p\n" VAULT USES_V
	    "profile q { issuer = v allowed_suffixes = a\n"
	    "no_rev_avail = yes lifetime = 1d }",
	    "error: f:9: profile q: no_rev_avail needs an issuer of type "
	    "local: Vault's role decides what its certificates say about "
	    "revocation\n");
}

static void
a_responder_outlives_what_it_signs(void **state)
{
	struct try *t = *state;
	const struct conf *c;

	c = try_good(t, ACME "issuer i { }");
	assert_int_equal(c->issuers[0].ocsp_responder_lifetime, 7 * WHEN_DAY);
	c = try_good(t, ACME "issuer i { ocsp_lifetime = 10d }");
	assert_int_equal(c->issuers[0].ocsp_responder_lifetime, 30 * WHEN_DAY);
	c = try_good(t,
	    ACME "issuer i { ocsp_lifetime = 10d\n"
		 "ocsp_responder_lifetime = 0 }");
	assert_int_equal(c->issuers[0].ocsp_responder_lifetime, 0);
	try_good(t,
	    ACME "issuer i { ocsp_lifetime = 5s\n"
		 "ocsp_responder_lifetime = 15s }");
	try_bad(t,
	    ACME "issuer i { ocsp_lifetime = 5s\n"
		 "ocsp_responder_lifetime = 14s }",
	    "error: f:3: issuer i: ocsp_responder_lifetime must be 3 times "
	    "ocsp_lifetime or more, or 0: answers are good no longer than the "
	    "certificate that signed them\n");
}

static void
tells_options_of_the_other_type(void **state)
{
	struct try *t = *state;

	try_bad(t, ACME "issuer i {\nrole = r\nttl = 1d\nmax_requests = 3 }",
	    "error: f:3: issuer i: role is an option of type = vault, but this "
	    "issuer is of type local\n"
	    "error: f:4: issuer i: ttl is an option of type = vault, but this "
	    "issuer is of type local\n"
	    "error: f:5: issuer i: max_requests is an option of type = vault, "
	    "but this issuer is of type local\n");
	try_bad(t, VAULT FILES "\ncrl_url = \"http://a/b\"" USES_V,
	    "error: f:5: issuer v: certificate is an option of type = local, "
	    "but this issuer is of type vault\n"
	    "error: f:5: issuer v: key is an option of type = local, but this "
	    "issuer is of type vault\n"
	    "error: f:6: issuer v: crl_url is an option of type = local, but "
	    "this issuer is of type vault\n");
}

static void
wants_vault_to_be_reached_by_https(void **state)
{
	struct try *t = *state;

	(void)try_load(t,
	    ACME "issuer own { }\nissuer v { type = vault role = r\n"
		 "address = \"http://10.0.0.1:8200\" token_file = /t\n" USES_V);
	assert_non_null(strstr(try_messages(t),
	    "warning: f:4: issuer v: the token crosses the network "
	    "unprotected: use https"));
	(void)try_good(t,
	    ACME "issuer own { }\nissuer v { type = vault role = r\n"
		 "address = \"http://[::1]:8200\" token_file = /t\n" USES_V);
	assert_null(strstr(try_messages(t), "https"));
	try_bad(t,
	    ACME "issuer own { }\nissuer v { type = vault role = r\n"
		 "address = \"http://localhost\" token_file = /t\n"
		 "ca_file = /etc/passwd" USES_V,
	    "error: f:5: issuer v: ca_file does nothing without https in "
	    "address\n");
}

static void
wants_a_local_issuer_for_its_own_certificates(void **state)
{
	struct try *t = *state;
	static const char vault[] = "issuer v { type = vault role = r\n"
				    "address = \"https://v.example\"\n"
				    "token_file = /t }\n";

	try_bad(t, str_printf(t->arena, ACME "%s", vault).p,
	    "error: f:1: listener acme: no issuer is local, so the daemon "
	    "cannot make a certificate for this listener: give it certificate "
	    "and key, or tls = no, or add an issuer of type local\n");
	(void)try_good(t, str_printf(t->arena, WITH("tls = no") "%s", vault).p);
	(void)try_good(t, str_printf(t->arena, WITH(FILES) "%s", vault).p);
}

static void
wants_keys_to_outlive_their_nonces(void **state)
{
	struct try *t = *state;

	(void)try_good(t, ACME "nonce_lifetime = 24h nonce_key_lifetime = 2d");
	try_bad(t, ACME "nonce_lifetime = 24h\nnonce_key_lifetime = 47h",
	    "error: f:3: nonce_key_lifetime: at least twice nonce_lifetime "
	    "will do\n");
}

static void
wants_finalize_to_answer_in_time(void **state)
{
	struct try *t = *state;

	assert_int_equal(try_good(t, ACME)->finalize_wait, 5000000);
	assert_int_equal(try_good(t, ACME "http { request_timeout = 2s }")
			     ->finalize_wait,
	    1000000);
	try_bad(t, ACME "finalize_wait = 31s",
	    "error: f:2: finalize_wait: at most half of http request_timeout "
	    "will do\n");
}

static void
takes_resolvers_with_and_without_a_port(void **state)
{
	struct try *t = *state;
	const struct conf *c = try_good(t,
	    ACME "dns { servers = { 192.0.2.1, \"[2001:db8::1]:5353\", "
		 "\"2001:db8::2\" } }");

	assert_int_equal(c->dns.servers.n, 3);
	assert_str(c->dns.servers.v[0].text, "192.0.2.1:53");
	assert_int_equal(c->dns.servers.v[1].port, 5353);
	assert_str(c->dns.servers.v[2].text, "[2001:db8::2]:53");
	try_bad(t, ACME "dns { servers = { 192.0.2.1, ns.example } }",
	    "error: f:2: dns: servers = \"ns.example\": must be an IP address, "
	    "with a port if it is not 53, for example 192.0.2.53 or "
	    "[2001:db8::53]:5353\n");
	try_bad(t, ACME "dns { servers = 192.0.2.1\nrecurse = yes }",
	    "error: f:3: dns: recurse asks the authoritative servers, servers "
	    "asks others; only one of them can be\n");
}

static void
wants_profiles_to_name_what_there_is(void **state)
{
	struct try *t = *state;

	try_bad(t, ACME "profile p {\nissuer = vault }",
	    "error: f:3: profile p: there is no issuer vault; there is "
	    "local\n");
	try_bad(t, ACME "issuer a { } issuer b { }\nprofile p { }",
	    "error: f:3: profile p needs an issuer, one of a, b\n");
	try_bad(t, ACME "default_profile = q profile p { } profile r { }",
	    "error: f:2: default_profile: there is no profile q; there is p, "
	    "r\n");
	try_bad(t, ACME "profile p { } profile r { }",
	    "error: f: default_profile: there is no profile default; there "
	    "is p, r\n");
	try_bad(t, ACME "profile p { server_auth = no }",
	    "error: f:2: profile p: a certificate is for servers "
	    "(server_auth), clients (client_auth) or both\n");
}

static void
wants_postgresql_for_replicas(void **state)
{
	try_bad(*state, "replicas = yes\n" ACME,
	    "error: f:1: replicas: SQLite has room for one process; several "
	    "need a store with url = \"postgresql://...\"\n");
	(void)try_good(*state,
	    "replicas = yes\n" ACME "store { url = \"postgresql://h/d\" }");
}

static void
reads_how_challenges_are_validated(void **state)
{
	const struct conf_profile *p = try_good(*state,
	    ACME "profile p { auth_mode = challenge\n"
		 "challenges = { dns-01, tls-alpn-01 }\n"
		 "resolvers = { 192.0.2.1, \"[2001:db8::1]:5353\" }\n"
		 "validation_allow = { 127.0.0.0/8 } }")
					   ->profiles;

	assert_int_equal(p->challenges, CONF_DNS_01 | CONF_TLS_ALPN_01);
	assert_int_equal(p->resolvers.n, 2);
	assert_int_equal(p->resolvers.v[0].port, 53);
	assert_int_equal(p->resolvers.v[1].port, 5353);
	assert_int_equal(p->order_lifetime, 8 * WHEN_HOUR);
	assert_int_equal(p->http_port, 80);
	p = try_good(*state, ACME "profile p { }")->profiles;
	assert_int_equal(p->challenges,
	    CONF_HTTP_01 | CONF_DNS_01 | CONF_TLS_ALPN_01);
}

static void
judges_how_challenges_are_validated(void **state)
{
	struct try *t = *state;

	try_bad(t,
	    ACME "profile p { auth_mode = challenge\nauthz_lifetime = 7h }",
	    "error: f:3: profile p: authz_lifetime is shorter than "
	    "order_lifetime: authorizations would expire before their order\n");
	try_bad(t,
	    ACME "profile p { auth_mode = challenge\n"
		 "resolvers = { 192.0.2.1 }\nrecurse = yes }",
	    "error: f:3: profile p: recurse asks no resolvers; name one or "
	    "the other\n");
	try_bad(t,
	    ACME "profile p { auth_mode = challenge\n"
		 "insecure_zones = { a.example } }",
	    "error: f:3: profile p: insecure_zones does nothing without "
	    "trust_anchors\n");
	try_bad(t, ACME "profile p { auth_mode = challenge\nnew_authz = yes }",
	    "error: f:3: profile p: new_authz needs authz_reuse, or no order "
	    "would use what was authorized before\n");
	try_bad(t, ACME "profile p { caa = enforce }",
	    "error: f:2: profile p: caa = enforce needs caa_identities, the "
	    "names by which records can allow this CA\n");
	try_bad(t, ACME "profile p { challenges = { http-1 } }",
	    "error: f:2: profile p: challenges = \"http-1\": must be http-01, "
	    "dns-01 or tls-alpn-01; did you mean http-01?\n");
}

/* ---- open profiles */

#define REFUSED(line)                                                          \
	"error: f:" line "profile p would give whoever reaches this server a " \
	"certificate for any name: set allowed_suffixes, allowed_cidrs or "    \
	"eab_required, or listen on loopback only (public_url too, no proxy, " \
	"no unix socket), "                                                    \
	"or say open = yes\n"

static void
lets_an_open_profile_run_on_loopback_only(void **state)
{
	static const char *const local[] = {
		"listener x { address = \"127.0.0.1:1\" }",
		"listener x { address = \"127.9.9.9:1\" }",
		"listener x { address = \"[::1]:1\" }",
		"public_url = https://localhost listener x { address = "
		"\"[::1]:1\" }",
		"public_url = https://a.localhost listener x { address = "
		"\"[::1]:1\" }",
		"public_url = https://127.0.0.1 listener x { address = "
		"\"[::1]:1\" }",
	};
	static const char *const open[] = {
		"listener x { address = \"0.0.0.0:1\" }",
		"listener x { address = \"[::]:1\" }",
		"listener x { address = \"10.1.1.1:1\" }",
		"listener x { address = \"unix:/x\" }",
		"listener x { address = \"127.0.0.1:1\" proxy = yes "
		"trusted_proxies = 127.0.0.1 }",
		"listener x { address = \"127.0.0.1:1\" forwarded = yes "
		"trusted_proxies = 127.0.0.1 }",
		"listener x { address = \"127.0.0.1:1\" } listener y { kind = "
		"status address = \"0.0.0.0:1\" }",
		"public_url = https://localhost listener x { address = "
		"\"0.0.0.0:1\" }",
	};
	struct try *t = *state;

	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
		(void)try_good(t,
		    str_printf(t->arena, "%s\nprofile p { }", local[i]).p);
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++)
		try_bad(t, str_printf(t->arena, "%s\nprofile p { }", open[i]).p,
		    REFUSED("2: "));
}

static void
counts_the_public_url_as_a_way_in(void **state)
{
	assert_null(try_load(*state,
	    "public_url = https://ca.example\n" ACME "profile p { }"));
	assert_non_null(strstr(try_messages(*state), REFUSED("3: ")));
	/* a name that only looks local */
	assert_null(try_load(*state,
	    "public_url = https://localhost.example\n" ACME "profile p { }"));
	assert_non_null(strstr(try_messages(*state), REFUSED("3: ")));
}

static void
lets_a_profile_with_bounds_run_anywhere(void **state)
{
	struct try *t = *state;

	(void)try_good(t,
	    "listener x { address = \"0.0.0.0:1\" }\n"
	    "profile p { allowed_suffixes = a.example }");
	(void)try_good(t,
	    "listener x { address = \"0.0.0.0:1\" }\n"
	    "profile p { allowed_cidrs = 10.0.0.0/8 }");
	/* to deny a few names bounds nothing */
	try_bad(t,
	    "listener x { address = \"0.0.0.0:1\" }\n"
	    "profile p { denied_suffixes = a.example }",
	    REFUSED("2: "));
}

static void
warns_of_an_open_profile_that_was_asked_for(void **state)
{
	struct try *t = *state;

	assert_non_null(try_load(t,
	    "listener x { address = \"0.0.0.0:1\" }\n"
	    "profile p { open = yes }"));
	assert_string_equal(try_messages(t),
	    "warning: f:2: profile p is open: whoever reaches this server "
	    "gets a certificate for any name\n");
	assert_int_equal(t->errors.nerrors, 0);
	assert_non_null(
	    try_load(t, ACME "profile p { open = yes allowed_suffixes = a }"));
	assert_string_equal(try_messages(t),
	    "warning: f:2: profile p: open does nothing: the profile is not "
	    "open\n");
}

static void
warns_of_an_external_url_without_trusted_peers(void **state)
{
	struct try *t = *state;

	assert_non_null(try_load(t,
	    "public_url = https://ca.example\n" ACME
	    "profile p { allowed_suffixes = a }"));
	assert_string_equal(try_messages(t),
	    "warning: f:1: public_url: no listener has trusted_proxies; if a "
	    "balancer stands before this server, all clients share its "
	    "address\n");
	(void)try_good(t,
	    "public_url = https://ca.example\n" WITH(
		"forwarded = yes trusted_proxies = 10.0.0.0/8") "profile p { "
								"allowed_"
								"suffixes = a "
								"}");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TRY(wants_a_listener_of_kind_acme),
		TRY(wants_certificate_and_key_in_pairs),
		TRY(wants_client_auth_to_be_whole),
		TRY(wants_to_know_who_may_speak_for_clients),
		TRY(tells_ports_from_unix_sockets),
		TRY(keeps_api_keys_off_the_open_network),
		TRY(refuses_an_address_that_is_taken),
		TRY(wants_issuers_to_be_whole),
		TRY(wants_a_vault_issuer_to_be_whole),
		TRY(a_responder_outlives_what_it_signs),
		TRY(tells_options_of_the_other_type),
		TRY(bounds_identifiers_as_certificates_do),
		TRY(wants_what_is_said_about_revocation_to_agree),
		TRY(wants_vault_to_be_reached_by_https),
		TRY(wants_a_local_issuer_for_its_own_certificates),
		TRY(wants_keys_to_outlive_their_nonces),
		TRY(wants_finalize_to_answer_in_time),
		TRY(takes_resolvers_with_and_without_a_port),
		TRY(wants_profiles_to_name_what_there_is),
		TRY(wants_postgresql_for_replicas),
		TRY(reads_how_challenges_are_validated),
		TRY(judges_how_challenges_are_validated),
		TRY(lets_an_open_profile_run_on_loopback_only),
		TRY(counts_the_public_url_as_a_way_in),
		TRY(lets_a_profile_with_bounds_run_anywhere),
		TRY(warns_of_an_open_profile_that_was_asked_for),
		TRY(warns_of_an_external_url_without_trusted_peers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
