/* SPDX-License-Identifier: ISC */
/*
 * The ACME load generator: what its parts share. A run makes its keys and
 * requests, opens its connections and registers its accounts; then the clock
 * starts, and each connection (a flow) does one unit of work after the other
 * until all are done. A unit is an order, or one request of a scenario that
 * signs nothing.
 */
#ifndef LOAD_LOAD_H
#define LOAD_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/str.h"
#include "jose/jwk.h"
#include "jose/jws.h"
#include "load_conn.h"
#include "load_stats.h"
#include "loop/loop.h"
#include "pki/key.h"
#include "pki/name.h"

enum {
	LOAD_ORDERS_MAX = 1000000,
	LOAD_CONNECTIONS_MAX = 10000,
	LOAD_NAMES_MAX = 100, /* in one order */
	LOAD_KINDS_MAX = 8,   /* types of keys given */
	LOAD_KEYS_MAX = 1000, /* of each quick type, RSA_KEYS_MAX of RSA */
	LOAD_RSA_KEYS_MAX = 16,
	LOAD_KEPT_MAX = 100000, /* certificates kept until the clock stops */
	LOAD_POLLS_MAX = 600,   /* of one object */
	LOAD_ERRORS_MAX = 100,  /* then the run is given up */
	LOAD_ASKS_MAX = 10000,  /* requests of OCSP */
};

/* ---- options */

enum load_scenario {
	SCENARIO_FULL,      /* order, finalize, certificate */
	SCENARIO_NEW_ORDER, /* only new-order */
	SCENARIO_NEW_NONCE, /* HEAD, unsigned */
	SCENARIO_DIRECTORY, /* GET, unsigned */
	SCENARIO_OCSP_GET,  /* the URL is that of the responder */
	SCENARIO_OCSP_POST,
};

struct load_options {
	const char *url, *ca_file, *root_file, *suffix, *asks_file;
	enum load_scenario scenario;
	size_t orders, connections, accounts, names, addresses;
	enum pki_key_kind kinds[LOAD_KINDS_MAX], account_kinds[LOAD_KINDS_MAX];
	size_t nkinds, naccount_kinds;
	int64_t timeout, poll; /* microseconds; poll 0: as the server says */
	pid_t pid;             /* 0: not given */
	bool json;
};

/* Read the command line; exits on a bad one, and for --help. */
void load_parse_options(int argc, char **argv, struct load_options *);

const char *load_scenario_name(enum load_scenario);

/* Does the scenario need accounts? */
bool load_is_signed(enum load_scenario);

/* Does it ask for OCSP, and not for ACME? */
bool load_is_ocsp(enum load_scenario);

/* ---- the pool: all that costs time and can be made before */

struct account {
	EVP_PKEY *key;
	enum jws_alg alg;
	struct str jwk; /* JSON */
	struct str kid; /* when it is registered */
};

struct job {
	struct pki_names names; /* sorted */
	struct str spki;        /* of the key; shared with other jobs */
	struct str order;       /* payload of new-order */
	struct str finalize;    /* payload of finalize */
};

/* A request of OCSP. */
struct ask {
	struct str der;     /* to be sent by POST */
	struct str url;     /* to be sent by GET */
	struct str cert_id; /* that an answer must be about */
};

struct pool {
	struct account *accounts;
	struct job *jobs; /* NULL if the scenario has none */
	struct ask *asks; /* the same */
	size_t nasks;
};

/* Everything in the arena. Tells of progress if stderr is a terminal. */
void pool_make(struct arena *, const struct load_options *, struct pool *);

/* ---- ACME: what is said and what is understood */

struct directory {
	struct str new_nonce, new_account, new_order; /* URLs, as given */
};

struct load_order {
	struct str status, finalize, certificate; /* p is NULL if not there */
	struct str authorizations[LOAD_NAMES_MAX];
	size_t nauthorizations;
};

struct load_authz {
	struct str status;
	struct str challenge; /* URL of the one to answer */
};

/* Views into the arena. NULL is success, otherwise what is wrong. */
const char *acme_read_directory(struct arena *, struct str, struct directory *);
const char *acme_read_order(struct arena *, struct str, struct load_order *);
const char *acme_read_authz(struct arena *, struct str, struct load_authz *);

/* The type of a problem document without its URN prefix, and its detail. */
struct str acme_read_problem(struct arena *, const struct reply *,
    struct str *detail);

/* A signed request; by jwk if the account has no kid yet. */
struct str acme_sign(struct arena *, const struct account *, struct str url,
    struct str nonce, struct str payload);

/* ---- OCSP; NULL is success, otherwise what is wrong */

/* From a file: a line for each request, in base64. */
const char *asks_read(struct arena *, const struct load_options *,
    struct pool *);

/* Is the reply an answer to the request? Its signature is not looked at. */
const char *asks_judge(const struct ask *, const struct reply *);

/* ---- certificates */

/*
 * Judges what is handed out. The signatures of leaves are checked when the
 * clock has stopped, those of the issuers when they are first seen.
 */
struct verifier;

/* roots: PEM file that chains must end in, or NULL. NULL: see *why. */
struct verifier *verifier_new(struct arena *, const char *roots,
    const char **why);

/* One chain, just downloaded for the job. NULL is success. */
const char *verifier_take(struct verifier *, const struct job *,
    struct str pem);

/* Check the signatures that were put off; how many are bad. */
size_t verifier_finish(struct verifier *);

/* ---- the run */

enum load_phase {
	PHASE_DIRECTORY, /* the first flow fetches it */
	PHASE_ACCOUNTS,  /* flows open, and register the accounts */
	PHASE_RUN,       /* the clock runs */
	PHASE_END,
};

struct load {
	const struct load_options *opt;
	struct arena *arena;
	struct loop *loop;
	struct origin origin;
	struct str path; /* of the directory */
	struct pool pool;
	struct verifier *verifier;
	enum load_phase phase;
	struct directory directory;
	struct str directory_body;
	struct flow **flows;
	size_t ready;    /* flows that wait for the clock */
	size_t next;     /* the next unit to hand out */
	unsigned opened; /* connections, when all is over */
	struct stats stats;
	struct usage before, warm, after; /* of the server */
	struct usage own_before, own_after;
	bool has_usage, is_warm;
	char fatal[512]; /* why the run was given up */
	struct timer progress;
	int64_t shown; /* when, and how many were done then */
	uint64_t shown_done;
};

/* Run to the end; *l is filled in. Nothing of it outlives the arena. */
void load_run(struct arena *, struct load *, const struct load_options *);

/* For flows: the clock may start, work was done or not, no use going on. */
void load_has_directory(struct load *);
void load_is_ready(struct load *);
bool load_take_job(struct load *, size_t *job);
void load_unit_done(struct load *);
void load_unit_failed(struct load *, const char *doing, struct str why);
void load_give_up(struct load *, const char *doing, struct str why);

/* ---- one connection at its work */

struct flow;

struct flow *flow_new(struct load *, size_t index);
void flow_free(struct flow *);

/* Fetch the directory; open and register; work. */
void flow_fetch_directory(struct flow *);
void flow_prepare(struct flow *);
void flow_work(struct flow *);
unsigned flow_opened(const struct flow *);

/* ---- the report */

/* On stdout, as text (if the clock started) or JSON. */
void load_report(const struct load *);

#endif
