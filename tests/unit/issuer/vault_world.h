/* SPDX-License-Identifier: ISC */
/*
 * What tests of the Vault issuer start from: a scripted Vault peer as a child
 * process (tests/lib/vault_peer.py), and an issuer that talks to it. One
 * second of Vault lasts 30 ms here.
 */
#ifndef TESTS_UNIT_ISSUER_VAULT_WORLD_H
#define TESTS_UNIT_ISSUER_VAULT_WORLD_H

#include <event2/event.h>
#include <openssl/evp.h>

#include "../turns.h"
#include "../unit.h"
#include "base/json.h"
#include "base/when.h"
#include "dns/dns.h"
#include "fetch/fetch.h"
#include "issuer/issuer.h"
#include "issuer/vault_int.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { UNIT = 30000, REQUESTS_MAX = 512 };

struct peer; /* the child */

/* A request that the peer heard. */
struct heard {
	struct str method, path, token, namespace;
	const struct json *body;
	int64_t at; /* usec since the peer's start */
};

struct world {
	struct arena *arena;
	struct loop *loop;
	struct dns *dns;
	struct fetch *fetch;
	struct task task;
	struct issuer *issuer;
	struct issuer_vault_options options;
	char dir[64];
	struct str token_file, ca_file, log_file;
	int saved_stderr; /* -1: not captured */

	struct peer *peer;
	struct event *readable;
	unsigned done;
	struct heard heard[REQUESTS_MAX];
	size_t nheard;

	/* a request to sign */
	struct issuer_request rq;
	struct pki_names names;
	struct str dns_names[4];
	struct addr ips[2];
	EVP_PKEY *key;
};

/* What the issuer said. */
struct told {
	struct arena *arena;
	unsigned calls;
	bool failed;
	struct issuer_result r; /* texts copied */
	struct problem problem;
};

/*
 * Run the tests. Exit status 77 if there is no Python with what the peer
 * needs. One peer, and one with TLS, serves them all.
 */
#define run_with_peer(tests) (need_peer(), stop_peers(RUN_TESTS(tests)))
#define RUN_TESTS(tests) cmocka_run_group_tests(tests, NULL, NULL)
void need_peer(void);
int stop_peers(int result);

int begin(void **state);
int begin_tls(void **state);
int end(void **state);

/* Tell the peer something; it has heard when this returns. */
void command(struct world *, const char *json);

/* Put a token into the file, mode 0600, by rename. */
void write_token(struct world *, const char *token);

/* Make the issuer from the options, start it. */
void make_issuer(struct world *);

/* The options with the address of the peer; issuer_vault_new must fail. */
const char *refused(struct world *);

/* Requests heard whose path ends so; turn until there are n. */
size_t count_heard(const struct world *, const char *end);
void wait_heard(struct world *, const char *end, size_t n);
const struct heard *nth_heard(const struct world *, const char *end, size_t n);

int64_t renewals(const char *result);

/* Lines of the log go to a file from now on; is that text in it? */
void capture_log(struct world *);
bool logged(struct world *, const char *text);

void on_result(void *arg, const struct issuer_result *);
struct told sign_it(struct world *);
struct told revoke_it(struct world *, const char *serial);

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
#define TEST_TLS(f) cmocka_unit_test_setup_teardown(f, begin_tls, end)

#endif
