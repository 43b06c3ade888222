/* SPDX-License-Identifier: ISC */
/* The set of loops that this node wants, from all its sources. */
#include "certloops/certloops_int.h"

#include <stdlib.h>

#include "base/buf.h"

bool
wanted_key_kind(struct str name, enum pki_key_kind *out)
{
	static const enum pki_key_kind kinds[] = {
		[CONF_LOOP_P256] = PKI_P256,
		[CONF_LOOP_P384] = PKI_P384,
		[CONF_LOOP_RSA3072] = PKI_RSA,
		[CONF_LOOP_ED25519] = PKI_ED25519,
	};
	enum conf_loop_key k;

	if (!conf_find_loop_key(name, &k))
		return false;
	*out = kinds[k];
	return true;
}

/* ---- names */

bool
wanted_read_names(struct arena *a, struct str text, struct pki_names *out)
{
	struct str rest = text;
	size_t most = 1;
	struct addr ip;

	for (size_t i = 0; i < text.n; i++)
		most += text.p[i] == ' ';
	*out = (struct pki_names){ .dns = arena_array(a, struct str, most),
		.ips = arena_array(a, struct addr, most) };
	while (rest.n > 0) {
		struct str name = str_cut(&rest, ' ');

		if (addr_parse(name, &ip))
			out->ips[out->nips++] = ip;
		else if (pki_check_dns_name(name, true) == NULL)
			out->dns[out->ndns++] = str_dup(a, name);
		else
			return false;
	}
	pki_names_sort(out);
	return out->ndns + out->nips > 0 &&
	    out->ndns + out->nips <= PKI_NAMES_MAX;
}

/* One text for one set, whatever the order in the file. */
static struct str
names_text(struct arena *a, const struct conf_list *list)
{
	struct pki_names names = { .dns = arena_array(a, struct str, list->n),
		.ips = arena_array(a, struct addr, list->n) };
	struct addr ip;

	for (size_t i = 0; i < list->n; i++)
		if (addr_parse(list->v[i], &ip))
			names.ips[names.nips++] = ip;
		else
			names.dns[names.ndns++] = list->v[i];
	pki_names_sort(&names);
	return pki_names_text(a, &names);
}

/* ---- loops */

static struct conf_list
copy_list(struct arena *a, const struct conf_list *list)
{
	struct str *all = arena_array(a, struct str, list->n);

	for (size_t i = 0; i < list->n; i++)
		all[i] = str_dup(a, list->v[i]);
	return (struct conf_list){ .v = all, .n = list->n };
}

static struct str
target_text(struct arena *a, const struct wanted *w)
{
	const struct {
		const char *name;
		struct str path;
	} all[] = {
		{ "folder", w->folder },
		{ "cert", w->cert_file },
		{ "key", w->key_file },
		{ "chain", w->chain_file },
		{ "fullchain", w->fullchain_file },
		{ "combined", w->combined_file },
	};
	struct buf b = buf_new(a, 1 << 15);

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i].path.n > 0)
			buf_printf(&b, "%s%s=" STR_FMT, b.len > 0 ? " " : "",
			    all[i].name, STR_ARG(all[i].path));
	if (w->mode != 0600)
		buf_printf(&b, " mode=%04o", w->mode);
	if (w->owner.n > 0)
		buf_printf(&b, " owner=" STR_FMT, STR_ARG(w->owner));
	if (w->group.n > 0)
		buf_printf(&b, " group=" STR_FMT, STR_ARG(w->group));
	return buf_view(&b);
}

static struct wanted
from_conf(struct arena *a, const struct conf_loop *c)
{
	struct wanted w = {
		.name = str_dup(a, c->at.name),
		.source = "config",
		.names = names_text(a, &c->names),
		.profile = str_dup(a, c->profile),
		.issuer = str_dup(a, c->issuer),
		.key_type = c->key_type,
		.keep_key = c->keep_key,
		.folder = str_dup(a, c->folder),
		.cert_file = str_dup(a, c->cert_file),
		.key_file = str_dup(a, c->key_file),
		.chain_file = str_dup(a, c->chain_file),
		.fullchain_file = str_dup(a, c->fullchain_file),
		.combined_file = str_dup(a, c->combined_file),
		.mode = c->mode,
		.owner = str_dup(a, c->owner),
		.group = str_dup(a, c->group),
		.hook = copy_list(a, &c->hook),
		.hook_timeout = c->hook_timeout,
	};

	w.target = target_text(a, &w);
	return w;
}

/* The loop of a host of the serve config; its profile was checked. */
static struct wanted
from_host(struct arena *a, const struct conf *c, struct str host)
{
	const struct conf_profile *p = conf_find_profile(c, c->serve_profile);
	struct wanted w = {
		.name = str_join(a, STR("serve:"), host),
		.source = "serve",
		.names = str_dup(a, host),
		.profile = str_dup(a, c->serve_profile),
		.issuer = p != NULL ? str_dup(a, p->issuer) : STR(""),
		.key_type = c->serve_key_type,
		.folder = str_join(a, c->serve_folder, STR("/"), host),
		.mode = 0600,
		.hook = copy_list(a, &c->serve_hook),
		.hook_timeout = c->serve_hook_timeout,
	};

	w.target = target_text(a, &w);
	return w;
}

/*
 * A loop that an operator asked for. If its profile is gone or its key type is
 * unknown here, the attempt says so.
 */
static struct wanted
from_asked(struct arena *a, const struct conf *c, const struct asked_loop *l)
{
	const struct conf_profile *p = conf_find_profile(c, l->profile);
	struct wanted w = {
		.name = str_join(a, STR("ctl:"), l->name),
		.source = "ctl",
		.names = str_dup(a, l->names),
		.profile = str_dup(a, l->profile),
		.issuer = p != NULL ? str_dup(a, p->issuer) : STR(""),
		.keep_key = l->keep_key,
		.folder = str_join(a, c->loop_folder, STR("/"), l->name),
		.mode = 0600,
		.hook = copy_list(a, &c->loop_hook),
		.hook_timeout = c->loop_hook_timeout,
	};

	(void)conf_find_loop_key(l->key_type, &w.key_type);
	w.target = target_text(a, &w);
	return w;
}

static int
compare(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;

	return str_cmp(x->name, y->name);
}

/* ---- the set, from the last by name to the first */

enum { FROM_CONF, FROM_ASKED, FROM_HOSTS };

static int
compare_conf(const void *a, const void *b)
{
	const struct conf_loop *const *x = a, *const *y = b;

	return str_cmp((*x)->at.name, (*y)->at.name);
}

/* There are few of them. */
static void
note_issuer(struct wanted_set *s, struct str issuer)
{
	size_t k = 0;

	while (k < s->nissuers && !str_eq(s->issuers[k], issuer))
		k++;
	if (k == s->nissuers && k < s->most_issuers)
		s->issuers[s->nissuers++] = issuer;
}

/* The next one of a source; each gives the last by name first. */
static void
refill(struct wanted_making *m, unsigned source)
{
	struct wanted *w = &m->next[source];
	struct arena *a = m->set.arena;

	m->has[source] = true;
	if (source == FROM_CONF && m->nloops > 0) {
		*w = from_conf(a, m->loops[--m->nloops]);
	} else if (source == FROM_ASKED && m->asked != NULL) {
		*w = from_asked(a, m->conf, m->asked);
		m->asked = m->asked->next;
	} else if (source == FROM_HOSTS && m->nhosts > 0) {
		*w = from_host(a, m->conf, m->hosts->v[--m->nhosts]);
	} else {
		m->has[source] = false;
	}
}

void
wanted_begin(struct wanted_making *m, const struct conf *c,
    const struct serve_hosts *hosts, const struct asked *asked)
{
	struct arena *a = arena_create();

	*m = (struct wanted_making){ .conf = c,
		.hosts = hosts,
		.asked = asked->first,
		.nloops = c->nloops,
		.nhosts = hosts->n,
		.left = c->nloops + hosts->n + asked->n };
	m->set = (struct wanted_set){ .arena = a,
		.v = arena_array(a, struct wanted, m->left + 1),
		.n = m->left,
		.issuers = arena_array(a, struct str, c->nissuers + 1),
		.most_issuers = c->nissuers + 1 };
	m->loops = arena_array(a, const struct conf_loop *, c->nloops + 1);
	for (size_t i = 0; i < c->nloops; i++)
		m->loops[i] = &c->loops[i];
	qsort(m->loops, c->nloops, sizeof(*m->loops), compare_conf);
	for (unsigned i = 0; i < WANTED_SOURCES; i++)
		refill(m, i);
}

bool
wanted_go_on(struct wanted_making *m, size_t count)
{
	for (; m->left > 0 && count > 0; count--) {
		unsigned last = WANTED_SOURCES;

		for (unsigned i = 0; i < WANTED_SOURCES; i++)
			if (m->has[i] &&
			    (last == WANTED_SOURCES ||
				compare(&m->next[i], &m->next[last]) > 0))
				last = i;
		m->set.v[--m->left] = m->next[last];
		note_issuer(&m->set, m->next[last].issuer);
		refill(m, last);
	}
	return m->left == 0;
}

void
wanted_free(struct wanted_set *s)
{
	arena_destroy(s->arena);
	*s = (struct wanted_set){ 0 };
}

const struct wanted *
wanted_find(const struct wanted_set *s, struct str name)
{
	const struct wanted key = { .name = name };

	if (s->n == 0)
		return NULL;
	return bsearch(&key, s->v, s->n, sizeof(*s->v), compare);
}
