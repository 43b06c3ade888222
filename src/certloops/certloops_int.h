/* SPDX-License-Identifier: ISC */
/* What the files of this module share. */
#ifndef CERTLOOPS_CERTLOOPS_INT_H
#define CERTLOOPS_CERTLOOPS_INT_H

#include <sys/queue.h>

#include "audit/audit.h"
#include "base/id.h"
#include "base/when.h"
#include "certloops/certloops.h"
#include "certloops/schedule.h"
#include "certloops/serve.h"
#include "pki/pki.h"

enum {
	LOOP_ATTEMPTS_MAX = 8,   /* of each issuer, in this process */
	LOOP_DELIVERIES_MAX = 4, /* the same */
	LOOP_CHUNK = 50,         /* loops in one batch of a reconcile */
	LOOP_SLICE = 64,         /* loops between two looks at the clock */
	LOOP_STATES = 4,         /* that are counted */
	LOOP_NAME_MAX = 270,     /* "serve:" and a DNS name */
};

#define LOOP_ATTEMPT_LIMIT (300 * WHEN_SECOND)

/* Between two readings of what operators ask for, while they change it. */
#define ASKED_REST_MAX WHEN_SECOND

/* A loop that this node wants. Lives as long as its set. */
struct wanted {
	struct str name;
	const char *source; /* "config", "ctl", "serve" */
	struct str names;   /* sorted, canonical, parted by spaces */
	struct str profile, issuer;
	enum conf_loop_key key_type;
	bool keep_key;
	/* where it goes: a folder, or files; empty ones are not written */
	struct str folder, cert_file, key_file, chain_file, fullchain_file,
	    combined_file;
	unsigned mode;
	struct str owner, group;
	struct str target; /* all of that as one text */
	struct conf_list hook;
	int64_t hook_timeout;
};

struct wanted_set {
	struct arena *arena;
	struct wanted *v; /* sorted by name */
	size_t n;
	struct str *issuers; /* of all of them */
	size_t nissuers, most_issuers;
};

enum { WANTED_SOURCES = 3 };

/* A set on its way, made of its sources some at a time. */
struct wanted_making {
	struct wanted_set set;
	size_t left; /* places that are still to be filled: the first ones */
	const struct conf *conf;
	const struct conf_loop **loops; /* sorted; those to come */
	size_t nloops;
	const struct asked_loop *asked; /* the last by name first */
	const struct serve_hosts *hosts;
	size_t nhosts;
	struct wanted next[WANTED_SOURCES];
	bool has[WANTED_SOURCES];
};

struct attempt;
struct deliver;
struct delivery;
struct keymaker;
struct watch;

/* served.c: the names of the serve config */
struct served {
	char *path; /* NULL: none is configured */
	struct watch *watch;
	struct arena *arena; /* of hosts */
	struct serve_hosts hosts;
	bool known;         /* a good file was seen, or the store has told */
	uint8_t looked[32]; /* hash of the text that was looked at last */
	uint8_t told[32];   /* hash of what was wrong when it was last logged */
	bool is_loading;
	struct task loading;
	struct serve_hosts found;
	struct str after;
};

/* asked.c: what operators ask for, and is for this node */
struct asked_loop {
	struct asked_loop *next;
	struct str name, names, profile, key_type;
	bool keep_key;
};

struct asked {
	bool known;               /* the store has told */
	int64_t changes;          /* the count of changes when it did */
	struct arena *arena;      /* of the set */
	struct asked_loop *first; /* the last by name */
	size_t n;
	bool is_loading;
	struct task loading;
	int64_t loading_changes;
	int64_t began, rest_until; /* loop_mono: of what was read last */
	bool is_resting;           /* there is news, to be read after that */
	struct arena *fresh;       /* of what is being read */
	struct asked_loop *found;
	size_t nfound;
	struct str after;
};

/* ending.c: what was found to come to its end */
struct ending_loop {
	struct str name, serial;
	int64_t not_after, left; /* days */
	const char *days;        /* the same, the metric's label */
};

struct ending {
	bool is_telling;
	struct task task;
	struct ending_loop *v; /* in the task's arena */
	size_t n;
};

struct certloops {
	struct loop *loop;
	struct store *store;
	struct certloops_options options;
	struct arena *arena;     /* as long as the object */
	const struct conf *conf; /* NULL: not configured yet */
	struct wanted_set wanted;
	struct wanted_making making; /* arena NULL: none is on its way */
	struct deferred make;
	bool stopped;
	struct str holder; /* an id of this process */
	/* reconcile.c */
	struct task reconcile;
	bool reconciling, reconciled;
	bool looked_after; /* once: all deliveries of before */
	bool settled;      /* the store knows the set, under `round` */
	bool whole; /* all sources had told what they want, at its start */
	enum {
		RECONCILE_ALL,
		RECONCILE_CHANGES, /* from `before` */
		RECONCILE_COUNT,
	} way;
	struct wanted_set before; /* what the store knows, if there is one */
	char round[ID_LEN];       /* on our rows */
	struct str change;        /* on what the round under way changes */
	struct deferred go_on;    /* with what a turn had no time for */
	size_t at, at_before;     /* loops put so far in it, and dropped */
	size_t at_old, at_new;    /* where their like would be */
	uint64_t counted_rows;    /* that should be found */
	struct timer again;
	int64_t seen_at; /* loop_mono: the store last heard of all rows */
	/* poll */
	struct task polling;
	bool is_polling;
	bool wake; /* poll again as soon as this poll is over */
	bool more; /* is due, but too much is under way */
	struct timer poll;
	unsigned due, ndue; /* its statements of what is due */
	unsigned strays;    /* its first statement of strays */
	unsigned nstrays;
	bool has_strays; /* some are to be looked for one day */
	bool counting;   /* the poll under way counts, for the metrics */
	int64_t counted; /* loop_mono of the newest count */
	int64_t first_expiry;
	size_t count_at;  /* loops that were counted in the count under way */
	size_t count_end; /* with those of this poll */
	int64_t tally[LOOP_STATES], tally_expiry; /* its sums so far */
	/* attempt.c */
	struct keymaker *keymaker;
	LIST_HEAD(, attempt) attempts;
	unsigned nattempts; /* of all issuers */
	/* delivery.c */
	struct deliver *deliver;
	LIST_HEAD(, delivery) deliveries;
	unsigned ndeliveries;
	struct served served;
	struct asked asked;
	struct ending ending;
};

/* certloops.c */
uint32_t certloops_draw(const struct certloops *);

/* The sources may say something else now: make the set anew, reconcile. */
void certloops_want(struct certloops *);

/* wanted.c */
/* The sources stay as they are until it is made, or its arena is destroyed. */
void wanted_begin(struct wanted_making *, const struct conf *,
    const struct serve_hosts *, const struct asked *);
/* True when the set is whole; else call it again. */
bool wanted_go_on(struct wanted_making *, size_t count);
void wanted_free(struct wanted_set *);
const struct wanted *wanted_find(const struct wanted_set *, struct str name);
/* The names of a loop from their text; false if that is not ours. */
bool wanted_read_names(struct arena *, struct str text, struct pki_names *);
/* The kind of key that the configuration and the store call so. */
bool wanted_key_kind(struct str name, enum pki_key_kind *);

/* reconcile.c: make the store know what this node wants */
void reconcile_init(struct certloops *);
void reconcile_start(struct certloops *);
/* From now on this set is wanted, which becomes ours. */
void reconcile_replace(struct certloops *, struct wanted_set);
void reconcile_stop(struct certloops *);

/* delivery.c */
void delivery_start(struct certloops *, struct str name);
bool delivery_is_running(const struct certloops *, struct str name);
void delivery_stop_all(struct certloops *);

/* served.c */
/* Follow the file that the configuration names now, if any. */
void served_configure(struct certloops *);
/* No good file was seen yet: ask the store for the names of before. */
void served_load(struct certloops *);
void served_stop(struct certloops *);

/* asked.c */
/* The configuration may take such loops, or none any more. */
void asked_configure(struct certloops *);
/* Would it, but has not heard yet of which? */
bool asked_is_silent(const struct certloops *);
/* The store counts so many changes of the set: read it if that is news. */
void asked_look(struct certloops *, int64_t changes);
void asked_stop(struct certloops *);

/* ending.c: rows of loops_ending in statement `stmt` */
void ending_warn(struct certloops *, const struct store_result *,
    unsigned stmt);
void ending_stop(struct certloops *);

/* attempt.c */
/* Row `i` of loops_due in statement `stmt`. */
void attempt_start(struct certloops *, const struct store_result *,
    unsigned stmt, size_t i);
bool attempt_is_running(const struct certloops *, struct str name);
/* Attempts of this issuer that are under way. */
unsigned attempt_count(const struct certloops *, struct str issuer);
void attempt_stop_all(struct certloops *);

/* stray.c */
/* The row of strays_next in statement `stmt`. */
void stray_start(struct certloops *, struct str issuer,
    const struct store_result *, unsigned stmt);

#endif
