/* SPDX-License-Identifier: ISC */
/*
 * What options of cert loops must agree on: a loop has names, a profile that
 * allows its keys, and files of its own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf_int.h"

/* A file that a loop writes. */
struct target {
	struct str path;
	const struct conf_loop *loop;
	int option;
};

enum { TARGETS = 6 };

static int
line_of(const struct conf_section *at, int option)
{
	return at->lines[option] != 0 ? at->lines[option] : at->line;
}

static size_t
targets_of(const struct conf_loop *s, struct target out[static TARGETS])
{
	const struct target all[TARGETS] = {
		{ s->folder, s, CONF_AT_LOOP_folder },
		{ s->cert_file, s, CONF_AT_LOOP_cert_file },
		{ s->key_file, s, CONF_AT_LOOP_key_file },
		{ s->chain_file, s, CONF_AT_LOOP_chain_file },
		{ s->fullchain_file, s, CONF_AT_LOOP_fullchain_file },
		{ s->combined_file, s, CONF_AT_LOOP_combined_file },
	};
	size_t n = 0;

	for (size_t i = 0; i < TARGETS; i++)
		if (all[i].path.n > 0)
			out[n++] = all[i];
	return n;
}

/* ---- one loop */

/* The bit of conf_profile.key_types that a loop's keys need. */
static unsigned
key_bit(enum conf_loop_key k)
{
	switch (k) {
	case CONF_LOOP_P256:
		return CONF_KEY_P256;
	case CONF_LOOP_P384:
		return CONF_KEY_P384;
	case CONF_LOOP_RSA3072:
		return CONF_KEY_RSA3072;
	case CONF_LOOP_ED25519:
		return CONF_KEY_ED25519;
	}
	return 0;
}

bool
conf_allows_loop_key(const struct conf_profile *p, enum conf_loop_key k)
{
	return (p->key_types & key_bit(k)) != 0;
}

/* what: "loop web" or "serve_config" */
static void
check_profile(struct conf_loader *l, int line, const char *what,
    struct str *profile, enum conf_loop_key key)
{
	const struct conf *c = l->conf;
	const struct conf_profile *p;

	if (profile->n == 0)
		*profile = c->default_profile;
	if ((p = conf_find_profile(c, *profile)) == NULL)
		conf_error(l, line, "%s: there is no profile %s; there is %s",
		    what, conf_shown(l->arena, *profile).p,
		    conf_list_names(l, &c->profiles[0].at, c->nprofiles,
			sizeof(*c->profiles)));
	else if (!conf_allows_loop_key(p, key))
		conf_error(l, line,
		    "%s: profile %s does not allow keys of this type", what,
		    p->at.name.p);
}

static void
check_issuer(struct conf_loader *l, struct conf_loop *s)
{
	const struct conf *c = l->conf;
	const struct conf_profile *p = conf_find_profile(c, s->profile);

	if (s->issuer.n == 0 && p != NULL)
		s->issuer = p->issuer;
	if (s->issuer.n > 0 && conf_find_issuer(c, s->issuer) == NULL)
		conf_error(l, line_of(&s->at, CONF_AT_LOOP_issuer),
		    "loop %s: there is no issuer %s; there is %s", s->at.name.p,
		    conf_shown(l->arena, s->issuer).p,
		    conf_list_names(l, &c->issuers[0].at, c->nissuers,
			sizeof(*c->issuers)));
	else if (s->issuer.n > 0 && p != NULL && p->no_rev_avail &&
	    conf_find_issuer(c, s->issuer)->type != CONF_ISSUER_LOCAL)
		conf_error(l, line_of(&s->at, CONF_AT_LOOP_issuer),
		    "loop %s: no_rev_avail of profile %s needs an issuer of "
		    "type local",
		    s->at.name.p, p->at.name.p);
}

static void
check_hook(struct conf_loader *l, int line, const char *what,
    const struct conf_list *hook)
{
	if (hook->n == 0)
		return;
	if (hook->v[0].n == 0 || hook->v[0].p[0] != '/')
		conf_error(l, line,
		    "%s: the hook begins with the path of a program, from "
		    "the root on; no shell reads it",
		    what);
	else if (access(hook->v[0].p, X_OK) != 0)
		conf_error(l, line, "%s: cannot run the hook %s: %s", what,
		    hook->v[0].p, strerror(errno));
}

static void
check_files(struct conf_loader *l, const struct conf_loop *s)
{
	const char *name = s->at.name.p;
	struct target t[TARGETS];
	size_t n = targets_of(s, t);

	if (n == 0)
		conf_error(l, s->at.line,
		    "loop %s needs a place for its certificate: a folder, or "
		    "key_file with cert_file or fullchain_file, or "
		    "combined_file",
		    name);
	else if (s->folder.n > 0 && n > 1)
		conf_error(l, line_of(&s->at, CONF_AT_LOOP_folder),
		    "loop %s: a folder holds all files; it cannot stand "
		    "beside them",
		    name);
	else if (s->folder.n == 0 && s->combined_file.n == 0 &&
	    (s->key_file.n == 0 ||
		(s->cert_file.n == 0 && s->fullchain_file.n == 0)))
		conf_error(l, s->at.line,
		    "loop %s needs key_file, and cert_file or fullchain_file "
		    "beside it",
		    name);
}

static void
check_loop(struct conf_loader *l, struct conf_loop *s)
{
	const char *what = str_printf(l->arena, "loop %s", s->at.name.p).p;

	if (s->names.n == 0)
		conf_error(l, s->at.line,
		    "%s needs names, for example names = "
		    "{ \"www.example.com\" }",
		    what);
	check_profile(l, line_of(&s->at, CONF_AT_LOOP_profile), what,
	    &s->profile, s->key_type);
	check_issuer(l, s);
	check_files(l, s);
	check_hook(l, line_of(&s->at, CONF_AT_LOOP_hook), what, &s->hook);
}

/* ---- all loops */

static int
compare_targets(const void *a, const void *b)
{
	const struct target *x = a, *y = b;
	int d = str_cmp(x->path, y->path);

	return d != 0 ? d : (x->loop > y->loop) - (x->loop < y->loop);
}

/* No file is written by two. */
static void
check_shared(struct conf_loader *l)
{
	const struct conf *c = l->conf;
	struct target *all = arena_array(l->arena, struct target,
	    c->nloops * TARGETS + 1);
	size_t n = 0;

	for (size_t i = 0; i < c->nloops; i++)
		n += targets_of(&c->loops[i], all + n);
	qsort(all, n, sizeof(*all), compare_targets);
	for (size_t i = 1; i < n; i++)
		if (str_eq(all[i - 1].path, all[i].path))
			conf_error(l, line_of(&all[i].loop->at, all[i].option),
			    "loop %s: loop %s writes %s already",
			    all[i].loop->at.name.p, all[i - 1].loop->at.name.p,
			    conf_shown(l->arena, all[i].path).p);
}

void
conf_check_loops(struct conf_loader *l)
{
	struct conf *c = l->conf;

	for (size_t i = 0; i < c->nloops; i++)
		check_loop(l, (struct conf_loop *)&c->loops[i]);
	check_shared(l);
	if (c->serve_config.n == 0)
		return;
	check_profile(l, line_of(&c->at, CONF_AT_TOP_serve_profile),
	    "serve_profile", &c->serve_profile, c->serve_key_type);
	check_hook(l, line_of(&c->at, CONF_AT_TOP_serve_hook), "serve_hook",
	    &c->serve_hook);
}
