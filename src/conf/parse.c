/* SPDX-License-Identifier: ISC */
/*
 * libconfuse as the grammar: its callbacks hand us each value with its line,
 * and we keep them as items in blocks. What they mean is not its concern, so
 * it knows every option as a text.
 *
 * It stops at the first name it does not know. To tell all of them, such a
 * name is added to what it knows and the text is parsed again; the last pass
 * then meets the name as a value of nothing. libconfuse gives its callbacks
 * no argument, hence the one static pointer.
 */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <confuse.h>

#include "conf/conf_int.h"

enum { EXTRAS_MAX = 64, OPTS_MAX = 128 };

/* A name that nobody knows. */
struct extra {
	size_t owner; /* kind, or CONF_KIND_COUNT + number of an extra */
	struct str name;
	bool is_section, is_titled, told;
	int line;
};

static struct parser {
	struct conf_loader *l;
	struct conf_errors before; /* this pass */
	cfg_t *root;
	struct extra extras[EXTRAS_MAX];
	size_t nextras;
	bool again;
	bool failed;          /* stopped, and said why */
	struct conf_block in; /* the section that is being read */
	size_t nsections;     /* that ended */
} * parser;

/* ---- what libconfuse shall know */

static int take_value(cfg_t *, cfg_opt_t *, const char *, void *);
static int end_section(cfg_t *, cfg_opt_t *);
static void take_error(cfg_t *, const char *, va_list);

static cfg_opt_t
make_option(const char *name, bool is_list)
{
	cfg_opt_t one = CFG_STR_CB(name, NULL, CFGF_NODEFAULT, take_value);
	cfg_opt_t list = CFG_STR_LIST_CB(name, NULL, CFGF_NODEFAULT,
	    take_value);

	return is_list ? list : one;
}

static cfg_opt_t
make_section(const char *name, cfg_opt_t *subopts, bool is_named)
{
	cfg_flag_t flags = is_named ?
	    CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES :
	    CFGF_MULTI;
	cfg_opt_t o = CFG_SEC(name, subopts, flags);

	o.validcb = end_section;
	return o;
}

/* The options of one kind or extra, with the extras that belong to it. */
static cfg_opt_t *
make_options(size_t owner)
{
	cfg_opt_t *opts = arena_array(parser->l->arena, cfg_opt_t, OPTS_MAX);
	const struct conf_kind *kind = owner < CONF_KIND_COUNT ?
	    &conf_kinds[owner] :
	    NULL;
	size_t n = 0;

	for (size_t i = 0; kind != NULL && i < kind->nrows; i++)
		opts[n++] = make_option(kind->rows[i].name,
		    conf_types[kind->rows[i].type].is_list);
	for (size_t k = CONF_TOP + 1; owner == CONF_TOP && k < CONF_KIND_COUNT;
	     k++)
		opts[n++] = make_section(conf_kinds[k].name, make_options(k),
		    conf_kinds[k].is_named);
	for (size_t i = 0; i < parser->nextras; i++) {
		const struct extra *e = &parser->extras[i];

		if (e->owner == owner && e->is_section)
			opts[n++] = make_section(e->name.p,
			    make_options(CONF_KIND_COUNT + i), e->is_titled);
		else if (e->owner == owner)
			opts[n++] = make_option(e->name.p, true);
	}
	return opts; /* the rest is zero: the end */
}

/* ---- names */

static struct extra *
find_extra(size_t owner, const char *name)
{
	for (size_t i = 0; i < parser->nextras; i++)
		if (parser->extras[i].owner == owner &&
		    str_is(parser->extras[i].name, name))
			return &parser->extras[i];
	return NULL;
}

/* The kind, or extra, that a section of libconfuse is of. */
static size_t
find_owner(const cfg_t *cfg)
{
	if (cfg == parser->root)
		return CONF_TOP;
	for (size_t k = CONF_TOP + 1; k < CONF_KIND_COUNT; k++)
		if (strcmp(conf_kinds[k].name, cfg->name) == 0)
			return k;
	for (size_t i = 0; i < parser->nextras; i++)
		if (parser->extras[i].is_section &&
		    str_is(parser->extras[i].name, cfg->name))
			return CONF_KIND_COUNT + i;
	return CONF_KIND_COUNT + EXTRAS_MAX;
}

static const struct conf_row *
find_row(size_t kind, const char *name)
{
	if (kind >= CONF_KIND_COUNT)
		return NULL;
	for (size_t i = 0; i < conf_kinds[kind].nrows; i++)
		if (strcmp(conf_kinds[kind].rows[i].name, name) == 0)
			return &conf_kinds[kind].rows[i];
	return NULL;
}

/* The kind of section that has an option of that name, or NULL. */
static const char *
find_home(const char *name, bool is_section)
{
	for (size_t k = CONF_TOP; k < CONF_KIND_COUNT; k++)
		if (!is_section && find_row(k, name) != NULL)
			return conf_kinds[k].name;
	return NULL;
}

static const char *
suggest(const struct extra *e)
{
	const char *names[OPTS_MAX];
	size_t n = 0;

	if (e->owner >= CONF_KIND_COUNT)
		return NULL;
	for (size_t i = 0; i < conf_kinds[e->owner].nrows && !e->is_section;
	     i++)
		names[n++] = conf_kinds[e->owner].rows[i].name;
	for (size_t k = CONF_TOP + 1;
	     k < CONF_KIND_COUNT && e->owner == CONF_TOP && e->is_section; k++)
		names[n++] = conf_kinds[k].name;
	return str_suggest(e->name, names, n);
}

/* All sections, for those who guess. */
static const char *
list_sections(void)
{
	struct buf b = buf_new(parser->l->arena, 1024);

	for (size_t k = CONF_TOP + 1; k < CONF_KIND_COUNT; k++)
		buf_printf(&b, "%s%s", k > CONF_TOP + 1 ? ", " : "",
		    conf_kinds[k].name);
	buf_char(&b, '\0');
	return b.p;
}

/* Say that a name is not known. Inside of an unknown section it is no news. */
static void
tell_unknown(struct extra *e, int line)
{
	struct conf_loader *l = parser->l;
	struct str name = conf_shown(l->arena, e->name);
	const char *near = suggest(e), *home;
	const char *what = e->is_section ? "section" : "option";

	e->told = true;
	if (e->owner >= CONF_KIND_COUNT)
		return;
	if (e->name.p[0] == ';') {
		conf_error(l, line,
		    "no \";\" can stand here; an option ends "
		    "with its line");
		return;
	}
	home = find_home(e->name.p, e->is_section);
	if (near != NULL)
		conf_error(l, line, "there is no %s %s; did you mean %s?", what,
		    name.p, near);
	else if (home != NULL && home[0] == '\0')
		conf_error(l, line,
		    "there is no option %s in a section %s; it stands "
		    "outside of any section",
		    name.p, conf_kinds[e->owner].name);
	else if (home != NULL)
		conf_error(l, line,
		    "there is no option %s here; it belongs into a section "
		    "%s",
		    name.p, home);
	else if (e->is_section && e->owner != CONF_TOP)
		conf_error(l, line,
		    "section %s cannot stand inside of a section %s; is a "
		    "\"}\" missing before it?",
		    name.p, conf_kinds[e->owner].name);
	else if (e->is_section)
		conf_error(l, line,
		    "there is no section %s; the sections are %s", name.p,
		    list_sections());
	else
		conf_error(l, line, "there is no option %s%s%s", name.p,
		    e->owner == CONF_TOP ? "" : " in a section ",
		    conf_kinds[e->owner].name);
}

/* ---- errors */

/*
 * What follows a name that is not known? libconfuse cannot say, so look: in
 * the line, behind the name, past a title.
 */
static void
guess_shape(struct extra *e)
{
	const char *p = parser->l->text;
	const char *blanks = " \t\r\n";

	for (int line = 1; line < e->line && p != NULL; line++)
		if ((p = strchr(p, '\n')) != NULL)
			p++;
	if (p == NULL || (p = strstr(p, e->name.p)) == NULL)
		return;
	p += e->name.n;
	p += strspn(p, "\"'");
	p += strspn(p, blanks);
	if (*p == '=' || *p == '+' || *p == '\0')
		return;
	e->is_section = *p == '{';
	if (e->is_section)
		return;
	p += strcspn(p, "{}=\n"); /* a title */
	e->is_section = e->is_titled = *p == '{';
}

static void
add_extra(size_t owner, const char *name, int line)
{
	struct extra *e = &parser->extras[parser->nextras];

	*e = (struct extra){ .owner = owner,
		.name = str_dup(parser->l->arena, str_from(name)),
		.line = line };
	guess_shape(e);
	parser->nextras++;
	parser->again = true;
}

static void
take_unknown(cfg_t *cfg, const char *name)
{
	size_t owner = find_owner(cfg);
	struct extra e;

	if (parser->nextras < EXTRAS_MAX && find_row(owner, name) == NULL &&
	    find_extra(owner, name) == NULL &&
	    owner < CONF_KIND_COUNT + EXTRAS_MAX) {
		add_extra(owner, name, cfg->line);
		return;
	}
	/*
	 * This is the end: there are too many, or adding does not help. If
	 * the kind has the option, the section stands where it cannot, which
	 * is told as such.
	 */
	e = (struct extra){ .owner = owner, .name = str_from(name) };
	if (find_row(owner, name) == NULL)
		tell_unknown(&e, cfg->line);
	parser->failed = true;
}

/* clang-format off */
static const struct {
	const char *theirs, *ours; /* ours: "%s" once, if theirs has it */
} sentences[] = {
	{ "missing equal sign after option '%s'",
	    "option %s needs a value: %s = VALUE" },
	{ "missing opening brace for section '%s'",
	    "section %s needs a \"{\"" },
	{ "missing title for section '%s'",
	    "section %s needs a name: %s NAME { ... }" },
	{ "found duplicate title '%s'",
	    "there is a section named %s of this kind already" },
	{ "attempt to append to non-list option '%s'",
	    "option %s takes one value: use \"=\" instead of \"+=\"" },
	{ "unexpected token '%s'",
	    "\"%s\" cannot stand here; is the value before it complete, or "
	    "does it need quotes?" },
	{ "no sub-section title/index for '%s'",
	    "\"%s|...\" cannot stand here; write the option inside of its "
	    "section" },
	{ "premature end of file",
	    "the file ends too early: a value or a \"}\" is missing" },
	{ "unexpected closing brace",
	    "this \"}\" closes nothing" },
};
/* clang-format on */

/*
 * After a name that is not known the grammar often breaks down: then the name
 * is what to tell.
 */
static bool
tell_untold(int line)
{
	bool told = false;

	for (size_t i = 0; i < parser->nextras; i++) {
		struct extra *e = &parser->extras[i];

		if (e->told || e->line > line)
			continue;
		tell_unknown(e, e->line);
		told = true;
	}
	return told;
}

static void
take_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	struct conf_loader *l = parser->l;
	const char *arg;
	char text[256];

	if (strcmp(fmt, "no such option '%s'") == 0) {
		take_unknown(cfg, va_arg(ap, const char *));
		return;
	}
	parser->failed = true;
	if (tell_untold(cfg->line))
		return;
	for (size_t i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++) {
		if (strcmp(fmt, sentences[i].theirs) != 0)
			continue;
		arg = strchr(fmt, '%') != NULL ? va_arg(ap, const char *) : "";
		arg = conf_shown(l->arena, str_from(arg)).p;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		conf_error(l, cfg->line, sentences[i].ours, arg, arg);
#pragma GCC diagnostic pop
		return;
	}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	vsnprintf(text, sizeof(text), fmt, ap);
#pragma GCC diagnostic pop
	conf_error(l, cfg->line, "%s", conf_shown(l->arena, str_from(text)).p);
}

/* ---- values and sections */

static void
add_item(struct conf_block *b, const struct conf_item *from)
{
	struct conf_item *item = arena_new(parser->l->arena, struct conf_item);

	*item = *from;
	*b->last = item;
	b->last = &item->next;
}

static int
take_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct conf_loader *l = parser->l;
	size_t owner = find_owner(cfg);
	const struct conf_row *row = find_row(owner, opt->name);
	struct extra *e;

	*(const char **)result = value;
	if (row != NULL)
		add_item(cfg == parser->root ? &l->top : &parser->in,
		    &(struct conf_item){ .row = row,
			.value = str_dup(l->arena, str_from(value)),
			.line = cfg->line,
			.is_first = opt->nvalues <= 1 });
	else if ((e = find_extra(owner, opt->name)) == NULL)
		take_unknown(cfg, opt->name); /* "store|url = ..." */
	else if (opt->nvalues <= 1)
		tell_unknown(e, cfg->line);
	return parser->failed ? -1 : 0;
}

static void
block_init(struct conf_block *b)
{
	*b = (struct conf_block){ .last = &b->items };
}

/* cfg is what the section stands in, opt the section. */
static int
end_section(cfg_t *cfg, cfg_opt_t *opt)
{
	struct conf_loader *l = parser->l;
	const cfg_t *section = cfg_opt_getnsec(opt, opt->nvalues - 1);
	struct conf_block *b;
	size_t kind;
	struct extra *e;
	int line;

	if (cfg != parser->root)
		return 0;
	line = parser->nsections < l->nopens ? l->opens[parser->nsections] :
					       cfg->line;
	parser->nsections++;
	if ((e = find_extra(CONF_TOP, opt->name)) != NULL) {
		tell_unknown(e, line);
	} else if ((kind = find_owner(section)) < CONF_KIND_COUNT) {
		b = arena_new(l->arena, struct conf_block);
		*b = parser->in;
		b->kind = &conf_kinds[kind];
		b->name = str_dup(l->arena, str_from(section->title));
		b->line = line;
		*l->last = b;
		l->last = &b->next;
	}
	block_init(&parser->in);
	return 0;
}

/* ---- passes */

static void
parse_once(struct parser *p)
{
	struct conf_loader *l = p->l;
	FILE *f = fmemopen(l->text, l->len, "r");
	bool ok;

	p->again = p->failed = false;
	p->nsections = 0;
	block_init(&p->in);
	block_init(&l->top);
	l->top.kind = &conf_kinds[CONF_TOP];
	l->blocks = NULL;
	l->last = &l->blocks;
	*l->errors = p->before;
	p->root = cfg_init(make_options(CONF_TOP), CFGF_NONE);
	if (f == NULL || p->root == NULL) {
		conf_error(l, 0, "out of memory");
	} else {
		cfg_set_error_function(p->root, take_error);
		ok = cfg_parse_fp(p->root, f) == CFG_SUCCESS;
		if (!ok && !p->again && !p->failed)
			conf_error(l, p->root->line, "this is not understood");
	}
	if (f != NULL)
		(void)fclose(f);
	if (p->root != NULL)
		cfg_free(p->root);
}

void
conf_parse_text(struct conf_loader *l)
{
	struct parser p = { .l = l, .before = *l->errors };

	if (l->len == 0) {
		block_init(&l->top);
		l->top.kind = &conf_kinds[CONF_TOP];
		return;
	}
	parser = &p;
	do
		parse_once(&p);
	while (p.again && !p.failed);
	/* "name = {}" has no value that would have told it */
	(void)tell_untold(INT_MAX);
	parser = NULL;
}
