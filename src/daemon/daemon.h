/* SPDX-License-Identifier: ISC */
/*
 * The daemon: builds the objects, starts them in order, stops them in
 * reverse. Wiring only.
 *
 *	main	options, configuration, files and schema (may block)
 *	start	issuers agree with the store, certificates for ourselves,
 *		then listeners, banner, jobs
 *	stop	not ready, drain, flush, free
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include <stdbool.h>

#include "acme/acme.h"
#include "admin/admin.h"
#include "certloops/certloops.h"
#include "conf/conf.h"
#include "dns/dns.h"
#include "fetch/fetch.h"
#include "http/http.h"
#include "issuer/issuer.h"
#include "jobs/crl.h"
#include "jobs/jobs.h"
#include "jobs/nonce_keys.h"
#include "loop/loop.h"
#include "ratelimit/ratelimit.h"
#include "redis/redis.h"
#include "responder/responder.h"
#include "seal/seal.h"
#include "store/store.h"
#include "tls/tls.h"

/* Exit codes, as certloopd(8) lists them. */
enum daemon_exit {
	EXIT_OK = 0,
	EXIT_FAILED = 1, /* anything else */
	EXIT_USAGE = 2,
	EXIT_CONFIG = 3, /* the configuration, or a file that it names */
	EXIT_STORE = 4,  /* the database */
	EXIT_LISTEN = 5, /* an address that cannot be listened on */
};

struct daemon_options {
	const char *config; /* NULL: none, the embedded default */
	bool take_over;
};

struct daemon_listener {
	const struct conf_listener *conf;
	struct tls_server *tls; /* NULL: plain */
	bool self;              /* its certificate is made by ourselves */
	int64_t self_next;      /* loop_wall: made anew, or tried again */
	unsigned self_failures; /* in a row */
};

enum { SOCKETS_MAX = 128 };

struct given_socket {
	int fd;             /* 0: taken */
	struct str address; /* as the process before had it configured; p is
			     * NULL if a service manager passed it */
	struct str name;    /* that the service manager gave it */
};

struct handover;
struct lent;
struct selfcert;
struct single;
struct takeover;

struct daemon {
	struct arena *arena; /* as long as the process */
	struct daemon_options options;
	const struct conf *conf; /* in use; belongs to acme */
	struct str public_url;
	struct loop *loop;
	struct store *store;
	struct dns *dns;
	struct fetch *fetch; /* outlives the issuers */
	struct issuer **issuers;
	size_t nissuers;
	struct redis *redis; /* NULL: none */
	struct ratelimit *limits;
	struct seal_ring *ring;          /* of secrets at rest */
	void (*shared)(struct daemon *); /* what follows fleet_share */
	struct nonce_keys *nonce_keys;   /* NULL: none shared */
	struct acme *acme;
	struct responder *responder;
	void (*published)(struct daemon *); /* what follows publish_begin */
	struct crl_job *crls;
	struct admin *admin;
	gid_t admin_group; /* (gid_t)-1: none */
	struct jobs *jobs;
	struct certloops *loops;
	struct http_server *http;
	struct daemon_listener *listeners;
	size_t nlisteners;
	struct task starting; /* batches of the start */
	unsigned waiting;     /* answers that the start waits for */
	struct single *single;
	struct given_socket given[SOCKETS_MAX];
	size_t ngiven;
	struct takeover *takeover;       /* NULL: nobody was before us */
	struct handover *handover;       /* NULL: nobody comes after us */
	LIST_HEAD(, selfcert) selfcerts; /* being made */
	struct timer renew;              /* our own certificates */
	struct timer drain_delay;
	struct timer drain; /* looks whether all is done */
	int64_t stop_by;    /* by loop_mono */
	bool ready, draining, stopping;
	enum daemon_exit exit;
	struct loop_signal *sigterm, *sigint, *sighup;
	struct timer flush_timer;
};

/* ca.c: the files of a CA that the daemon makes. */
struct ca_paths {
	const char *root, *root_key, *certificate, *key;
};
struct ca_paths ca_paths_of(struct arena *, const struct conf *);
/* Make root and issuing CA. NULL for success, else a sentence. */
const char *ca_init(struct arena *, const struct conf *);
bool ca_exists(const struct ca_paths *);

/* start.c */
/* conf_arena holds the configuration and becomes acme's. */
bool daemon_start(struct daemon *, struct arena *conf_arena, const char **why);
/* Schema and reachability of the store; blocks. */
bool daemon_prepare_store(struct arena *, const struct conf *,
    enum store_migrate, const char **why);
void daemon_fail(struct daemon *, enum daemon_exit, const char *what,
    const char *why);

/* stop.c: SIGTERM, and draining without an end */
void stop_init(struct daemon *);
/* Not ready, drain_delay, drain, end. A second call ends the delay. */
void daemon_stop(struct daemon *);
extern const struct admin_route *const daemon_routes[];
/* The next process has our sockets: drain, end. */
void daemon_give_way(struct daemon *);

/* handover.c: to the next process */
extern const struct admin_route take_over_route;
void handover_stop(struct daemon *);
/* Is the store lent? Then, when all else is freed, wait until the next one is
 * ready, or start anew. Returns in the first case only. */
struct lent *handover_lend(struct daemon *);
void handover_wait(struct lent *);

/* takeover.c: from the process before; all of it blocks */
bool takeover_begin(struct daemon *, const char **why);
bool takeover_get_store(struct daemon *, const char **why);
void takeover_read_nonces(struct daemon *);
void takeover_done(struct daemon *);

/* sockets.c: listening sockets that were given to us. address may be
 * STR_NONE: a service manager's. */
void sockets_add(struct daemon *, int fd, struct str address, struct str name);
void sockets_from_environment(struct daemon *);
/* For a listener; 0: none fits. *shared: who gave it keeps it. */
int sockets_take(struct daemon *, const char *address, struct str name,
    bool *shared);
void sockets_close_rest(struct daemon *);

/* notify.c: what a service manager wants to know */
void notify_ready(const struct daemon *);
void notify_reloading(void);
void notify_stopping(void);

/* outbound.c: dns and fetch */
bool outbound_make(struct daemon *, const char **why);
void outbound_free(struct daemon *);

/* issuers.c */
bool issuers_make(struct daemon *, const char **why);
void issuers_start(struct daemon *);
void issuers_free(struct daemon *);
struct issuer *daemon_find_issuer(void *daemon, const char *name);
/* The first local one, which signs for our own listeners; NULL: none. */
struct issuer *issuers_local(const struct daemon *);
/*
 * A reload: prepare all, which may fail and then has changed nothing; then
 * replace, or drop what was prepared.
 */
bool issuers_prepare(struct daemon *, const struct conf *next, struct arena *,
    struct issuer ***fresh, const char **why);
void issuers_replace(struct daemon *, const struct conf *next, struct arena *,
    struct issuer **fresh);
void issuers_drop(struct daemon *, struct issuer **fresh);
/* What replicas must agree on; the result is of that batch. NULL: they do. */
void issuers_put_keys(struct daemon *, struct batch *);
const char *issuers_check_keys(struct daemon *, const struct store_result *);

/* publish.c: CRLs and OCSP */
void publish_make(struct daemon *);
/* Make what signs answers; done(d) when there is an answer to each. */
void publish_begin(struct daemon *, void (*done)(struct daemon *));
void publish_start(struct daemon *);
/* A reload has changed options of issuers. */
void publish_look(struct daemon *);
void publish_stop(struct daemon *);
/* Where something about an issuer is published; NULL: nobody said. */
const char *publish_url(struct arena *, const struct conf *,
    const struct conf_issuer *, const char *what);

/* listen.c */
bool daemon_make_listeners(struct daemon *, const char **why);
bool daemon_listen(struct daemon *, const char **why);
/* admin_group as a number. */
bool daemon_find_admin_group(struct daemon *, const char **why);
bool daemon_reload_tls(struct daemon *, const struct conf *, struct arena *,
    const char **why);
void daemon_free_listeners(struct daemon *);

/* selfcert.c: a certificate for ourselves; done(d) when all have theirs. */
void selfcert_start(struct daemon *, void (*done)(struct daemon *));
void selfcert_stop(struct daemon *);

/* single.c: done(d) once this process may work on the store. */
void single_start(struct daemon *, void (*done)(struct daemon *));
void single_stop(struct daemon *);
/* Let others work on it; done(d) when they may. */
void single_end(struct daemon *, void (*done)(struct daemon *));

/* fleet.c: limits and secrets that replicas share */
bool fleet_make(struct daemon *, const char **why);
void fleet_set_limits(struct daemon *, const struct conf *);
void fleet_share(struct daemon *, void (*done)(struct daemon *));
void fleet_free(struct daemon *);

/* loops.c: cert loops */
void loops_start(struct daemon *);

/* reload.c */
bool daemon_reload(void *daemon, struct arena *, struct conf_errors *,
    struct buf *changes);
void daemon_on_hangup(void *daemon);

#endif
