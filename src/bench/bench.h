/* SPDX-License-Identifier: ISC */
/*
 * certloop-bench: what its parts share. A run makes its keys and requests,
 * opens its connections and registers its accounts; then the clock starts,
 * and connections (flows) do units of work until all are done. A unit is one
 * order with all its requests, or one request of another scenario.
 *
 * In a closed loop each flow begins the next unit when it has ended one. In
 * an open loop units are due at a constant rate, whatever the server does,
 * and are begun by the next flow that is free; their latency counts from the
 * moment when they were due.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/str.h"
#include "bench/conn.h"
#include "bench/schedule.h"
#include "bench/stats.h"
#include "jose/jwk.h"
#include "jose/jws.h"
#include "loop/loop.h"
#include "pki/key.h"
#include "pki/name.h"

/* Exit codes, as certloop-bench(1) lists them. */
enum bench_exit {
	BENCH_OK = 0,
	BENCH_FAILED = 1,      /* something was refused, late or left undone */
	BENCH_USAGE = 2,       /* unknown option, or a file that is no good */
	BENCH_UNREACHABLE = 3, /* the run could not begin */
	BENCH_WRONG = 4,       /* the server gave a wrong answer */
	BENCH_INTERRUPTED = 5, /* by a signal; what was done is reported */
};

enum {
	BENCH_UNITS_MAX = 1000000000,
	BENCH_POOL_MAX = 1000000, /* of requests, and of account keys */
	BENCH_POOL_RATE = 1000,   /* units a second that it is made for, if
				   * nobody says, and the most of them */
	BENCH_POOL_GUESS = 30000,
	BENCH_CONNECTIONS_MAX = 10000,
	BENCH_NAMES_MAX = 100,    /* in one order */
	BENCH_KINDS_MAX = 8,      /* types of keys given */
	BENCH_KEYS_MAX = 1000,    /* of each quick type */
	BENCH_RSA_KEYS_MAX = 16,  /* of RSA */
	BENCH_KEPT_MAX = 100000,  /* certificates kept until the clock stops */
	BENCH_POLLS_MAX = 10000,  /* of one unit */
	BENCH_ASKS_MAX = 10000,   /* requests of OCSP */
	BENCH_PIDS_MAX = 16,      /* processes watched */
	BENCH_RENEWALS_MAX = 16,  /* certificates that are asked about */
	BENCH_WEIGHT_MAX = 10000, /* of one scenario in a mix */
	BENCH_FILE_MAX = 1 << 20, /* bytes of a file that an option names */
	BENCH_REST = 100000,      /* usec that a flow of a closed loop rests
				   * when its connection broke */
	BENCH_POLL = 100000,      /* usec between polls, if nobody says */
};

/* ---- options */

struct bench_options {
	const char *url, *ca_file, *root_file, *suffix, *asks_file;
	const char *eab_kid, *eab_key_file, *http_01;
	const char *connect[ORIGIN_ADDRESSES_MAX];
	size_t nconnect;
	enum bench_scenario scenario;
	unsigned weights[SCENARIO_UNITS]; /* of a mix; else 1 and zeros */
	size_t count;                     /* units; 0: for a duration */
	int64_t duration, warm_up;        /* microseconds */
	uint64_t rate; /* thousandths of units a second; 0: closed loop */
	size_t connections, accounts, names, addresses, pool, max_failures;
	enum pki_key_kind kinds[BENCH_KINDS_MAX],
	    account_kinds[BENCH_KINDS_MAX];
	size_t nkinds, naccount_kinds;
	int64_t timeout, unit_timeout;
	int64_t poll; /* 0: as the server says */
	pid_t pids[BENCH_PIDS_MAX];
	size_t npids;
	bool json, insecure, help, version;
};

enum { OPTIONS_WHY_MAX = 256 };

/* Read the command line. False: why says what is wrong with it. */
bool options_parse(int argc, char **argv, struct bench_options *,
    char why[static OPTIONS_WHY_MAX]);

/* What --help says. */
void options_print_help(void);

/* Does any unit need an account that was there before? */
bool options_need_accounts(const struct bench_options *);

/* Does it ask for OCSP, and not for ACME? */
bool options_are_ocsp(const struct bench_options *);

/* ---- which units, in what order */

/* Spreads the scenarios of a mix evenly, as their weights say. */
struct mix {
	const unsigned *weights;
	int64_t credit[SCENARIO_UNITS];
};

enum bench_scenario mix_next(struct mix *);

/* ---- the pool: all that costs time and can be made before */

struct account {
	EVP_PKEY *key;
	enum jws_alg alg;
	struct str jwk;        /* JSON */
	struct str thumbprint; /* in base64url */
	struct str kid;        /* when it is registered */
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

struct pool_keys;

struct pool {
	const struct bench_options *opt;
	struct str run;           /* in every name: no other run has it */
	struct account *accounts; /* of the flows */
	struct account *fresh;    /* each for one new-account */
	struct job *jobs;
	struct ask *asks;
	struct pool_keys *keys; /* of certificates, for each type */
	size_t nfresh, njobs, nasks;
	size_t fresh_taken, jobs_taken;
	uint64_t late; /* made when they were needed: the pool was too small */
};

/* Everything in the arena. Tells of progress if stderr is a terminal. */
void pool_make(struct arena *, const struct bench_options *, struct pool *);

/* The next one that nobody had; made in the arena if there is none left. */
const struct job *pool_take_job(struct pool *, struct arena *);
struct account *pool_take_account(struct pool *, struct arena *);

/* ---- ACME: what is said and what is understood */

struct directory {
	struct str new_nonce, new_account, new_order; /* URLs, as given */
	struct str renewal_info; /* p is NULL if there is none */
};

struct acme_order {
	struct str status, finalize, certificate; /* p is NULL if not there */
	struct str authorizations[BENCH_NAMES_MAX];
	size_t nauthorizations;
};

struct acme_authz {
	struct str status;
	struct str challenge, token; /* of the one to answer */
};

/* Views into the arena. NULL is success, otherwise what is wrong. */
const char *acme_read_directory(struct arena *, struct str, struct directory *);
const char *acme_read_order(struct arena *, struct str, struct acme_order *);
const char *acme_read_authz(struct arena *, struct str, struct acme_authz *);

/* Is it renewal information with a window that begins before it ends? */
const char *acme_check_renewal(struct arena *, struct str);

/* The type of a problem document without its URN prefix, and its detail. */
struct str acme_read_problem(struct arena *, const struct reply *,
    struct str *detail);

/* A signed request; by jwk if the account has no kid yet. */
struct str acme_sign(struct arena *, const struct account *, struct str url,
    struct str nonce, struct str payload);

/* An external account binding, RFC 8555 section 7.3.4. */
struct binding {
	struct str kid, key; /* p is NULL: there is none */
};

/* The payload of new-account; url is that of the resource. */
struct str acme_write_account(struct arena *, const struct account *,
    struct str url, const struct binding *);

/* ---- OCSP; NULL is success, otherwise what is wrong */

/* From a file: a line for each request, in base64. */
const char *asks_read(struct arena *, const struct bench_options *,
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

/*
 * One chain, just downloaded for the job. NULL is success, else why lies in
 * the arena, and the verifier has kept nothing.
 */
const char *verifier_take(struct arena *, struct verifier *, const struct job *,
    struct str pem);

/* Check the signatures that were put off; how many are bad. */
size_t verifier_finish(struct verifier *);

/* ---- the responder of http-01, RFC 8555 section 8.3 */

struct responder;
struct bench;

/* Listen at the address, "127.0.0.1:5002". NULL: see *why, in the arena. */
struct responder *responder_new(struct bench *, const char *address,
    struct arena *, const char **why);
void responder_free(struct responder *);

/* ---- the run */

enum bench_phase {
	PHASE_DIRECTORY, /* the first flow fetches it */
	PHASE_PREPARE,   /* flows open, and register the accounts */
	PHASE_WARM,      /* units that do not count */
	PHASE_RUN,       /* the clock runs */
	PHASE_END,
};

struct unit {
	enum bench_scenario kind;
	uint64_t i;  /* which one of its phase */
	int64_t due; /* when it is to begin */
	int64_t began;
	bool counts; /* it is no warm-up */
};

TAILQ_HEAD(flows, flow);

struct bench {
	const struct bench_options *opt;
	struct arena *arena;
	struct loop *loop;
	struct origin origin;
	struct pool pool;
	struct binding binding;
	struct verifier *verifier;
	struct responder *responder; /* NULL: there is none */
	enum bench_phase phase;
	struct directory directory;
	struct str directory_body;
	struct str renewals[BENCH_RENEWALS_MAX]; /* URLs */
	size_t nrenewals;

	struct flow **flows;
	size_t ready;      /* flows that wait for the clock */
	struct flows idle; /* flows that wait for a unit to be due */
	size_t nidle;
	size_t parked;   /* flows for which the phase has no unit */
	unsigned opened; /* connections, when all is over */

	struct schedule schedule; /* of this phase */
	struct mix mix;
	uint64_t next;        /* the next unit of this phase */
	struct timer due;     /* then it begins: open loop */
	struct timer over;    /* then the phase is cut off */
	struct deferred turn; /* to the next phase */
	uint64_t lost;        /* units that failed, in any phase */

	struct stats stats;
	struct usage before, warm, after; /* of the servers */
	struct usage own_before, own_after;
	bool has_usage, is_warm;
	bool begun, interrupted;
	enum bench_exit exit; /* if it has not begun */
	char fatal[512];      /* why the run was given up */
	struct timer progress;
	int64_t shown; /* when, and how many were done then */
	uint64_t shown_done;
};

/* Run to the end; *b is filled in. Nothing of it outlives the arena. */
void bench_run(struct arena *, struct bench *, const struct bench_options *);

/* The exit code of the program. */
enum bench_exit bench_judge(const struct bench *);

/* How a unit ended, or a request before the clock started. */
enum unit_end {
	UNIT_DONE,
	UNIT_FAILED, /* refused, late, or the connection broke */
	UNIT_WRONG,  /* it was answered, and wrongly */
};

/* For flows: the clock may start, there is work or not, no use going on. */
void bench_has_directory(struct bench *);
void bench_is_ready(struct bench *);
bool bench_take_unit(struct bench *, struct flow *, struct unit *);
void bench_end_unit(struct bench *, const struct unit *, enum unit_end,
    const char *doing, struct str why);
void bench_give_up(struct bench *, enum unit_end, const char *doing,
    struct str why);

/* ---- the report */

/* On stdout, as text (if the clock started) or JSON. */
void report_print(const struct bench *);

#endif
