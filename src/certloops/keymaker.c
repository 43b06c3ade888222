/* SPDX-License-Identifier: ISC */
/* Children that make a key each, and the line of those who wait for one. */
#include "certloops/keymaker.h"

#include <stdlib.h>
#include <sys/resource.h>

#include <openssl/evp.h>
#include <openssl/mem.h>

#include "base/arena.h"
#include "base/when.h"
#include "loop/child.h"

enum {
	LIMIT_SECONDS = 60,
	CHILDREN = 2,
	NICE = 10, /* requests come first */
};

/* A key that somebody waits for. */
struct making {
	TAILQ_ENTRY(making) entry; /* maker->waiting, or ->running */
	struct op op;              /* on the waiting task */
	struct keymaker *maker;
	enum pki_key_kind kind;
	bool wanted, running;
	struct child child;
	struct deferred failed; /* it could not be begun */
	keymaker_fn *fn;
	void *arg;
};

TAILQ_HEAD(makings, making);

struct keymaker {
	struct keymaker_options options;
	struct makings waiting, running;
	unsigned nrunning;
};

static void start_some(struct keymaker *);

/* ---- the child's side */

static void
make_key(const void *job)
{
	const struct making *m = job;
	struct arena *a = arena_create();
	EVP_PKEY *key;
	struct str pem;

	(void)setpriority(PRIO_PROCESS, 0, NICE);
	if ((key = m->maker->options.make(m->kind)) == NULL)
		return;
	pem = pki_write_key(a, key);
	child_say(pem.p, pem.n);
}

/* ---- our side */

static void
free_making(struct making *m)
{
	struct keymaker *k = m->maker;

	if (m->running) {
		TAILQ_REMOVE(&k->running, m, entry);
		k->nrunning--;
		loop_undefer(k->options.loop, &m->failed);
		child_forget(&m->child);
	} else {
		TAILQ_REMOVE(&k->waiting, m, entry);
	}
	free(m);
}

static void
finish(struct making *m, EVP_PKEY *key, const char *why)
{
	struct keymaker *k = m->maker;
	keymaker_fn *fn = m->wanted ? m->fn : NULL;
	void *arg = m->arg;

	if (m->wanted)
		op_done(&m->op);
	free_making(m);
	start_some(k);
	if (fn != NULL)
		fn(arg, key, why);
	else
		EVP_PKEY_free(key);
}

/* Its last word is the key; a child that died has none. */
static void
on_ended(void *arg)
{
	struct making *m = arg;
	struct arena *a = arena_create();
	char pem[PKI_KEY_FILE_MAX];
	size_t n = child_read(&m->child, pem, sizeof(pem));
	const char *why = NULL;
	EVP_PKEY *key = NULL;

	if (n == 0 || pki_parse_key(a, str_make(pem, n), &key) != NULL)
		why = "the process that made the key was ended";
	OPENSSL_cleanse(pem, n);
	finish(m, key, why);
	arena_destroy(a);
}

static void
on_failed(void *arg)
{
	finish(arg, NULL, "cannot start a process that makes the key");
}

static void
start_some(struct keymaker *k)
{
	struct making *m;

	while (k->nrunning < k->options.children &&
	    (m = TAILQ_FIRST(&k->waiting)) != NULL) {
		TAILQ_REMOVE(&k->waiting, m, entry);
		TAILQ_INSERT_TAIL(&k->running, m, entry);
		k->nrunning++;
		m->running = true;
		if (!child_start(&m->child, k->options.loop, make_key, m,
			k->options.limit, on_ended, m))
			loop_defer(k->options.loop, &m->failed);
	}
}

/* Nobody wants this key any more. */
static void
detach(struct op *op)
{
	struct making *m = (struct making *)(void *)((char *)op -
	    offsetof(struct making, op));

	m->wanted = false;
	if (m->running)
		child_kill(&m->child); /* its end is heard of as any other */
	else
		free_making(m);
}

struct keymaker *
keymaker_new(const struct keymaker_options *o)
{
	struct keymaker *k = calloc(1, sizeof(*k));

	if (k == NULL)
		abort();
	k->options = *o;
	if (o->limit == 0)
		k->options.limit = LIMIT_SECONDS * WHEN_SECOND;
	if (o->children == 0)
		k->options.children = CHILDREN;
	if (o->make == NULL)
		k->options.make = pki_generate_key;
	TAILQ_INIT(&k->waiting);
	TAILQ_INIT(&k->running);
	return k;
}

void
keymaker_free(struct keymaker *k)
{
	struct making *m;

	if (k == NULL)
		return;
	while ((m = TAILQ_FIRST(&k->waiting)) != NULL ||
	    (m = TAILQ_FIRST(&k->running)) != NULL) {
		if (m->wanted)
			op_done(&m->op);
		if (m->running)
			child_kill(&m->child);
		free_making(m);
	}
	free(k);
}

bool
keymaker_is_for(enum pki_key_kind kind)
{
	return kind == PKI_RSA;
}

void
keymaker_start(struct keymaker *k, struct task *t, enum pki_key_kind kind,
    keymaker_fn *fn, void *arg)
{
	struct making *m = calloc(1, sizeof(*m));

	if (m == NULL)
		abort();
	m->maker = k;
	m->kind = kind;
	m->op.detach = detach;
	m->wanted = true;
	m->fn = fn;
	m->arg = arg;
	deferred_init(&m->failed, on_failed, m);
	task_wait(t, &m->op);
	TAILQ_INSERT_TAIL(&k->waiting, m, entry);
	start_some(k);
}
