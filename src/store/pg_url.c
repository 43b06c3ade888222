/* SPDX-License-Identifier: ISC */
/*
 * PostgreSQL: from a connection string to the parameters of a connection.
 *
 * libpq resolves host names with getaddrinfo(3), which would block the loop at
 * each reconnect. So names are resolved here, before the loop runs, and given
 * as hostaddr beside host (which certificates are still checked against). When
 * a connection fails, a child resolves them again (loop/lookup.h).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/when.h"
#include "store/pg_int.h"

enum { LIST_MAX = 8192, ADDRS_MAX = 4 /* of a name */ };

const char *
pg_get_param(const struct pg_params *p, const char *key)
{
	for (unsigned i = 0; i < p->n; i++)
		if (strcmp(p->keys[i], key) == 0)
			return p->values[i];
	return NULL;
}

void
pg_set_param(struct pg_params *p, const char *key, const char *value)
{
	unsigned i = 0;

	while (i < p->n && strcmp(p->keys[i], key) != 0)
		i++;
	if (i == PG_PARAMS_MAX)
		abort(); /* libpq knows fewer */
	p->keys[i] = key;
	p->values[i] = value;
	if (i == p->n)
		p->n++;
}

static void
set_default(struct pg_params *p, const char *key, const char *value)
{
	if (pg_get_param(p, key) == NULL)
		pg_set_param(p, key, value);
}

const char *
pg_error(struct arena *a, const char *text)
{
	char *s = str_cstr(a, str_from(text)), *end = s + strlen(s);

	while (end > s && (end[-1] == '\n' || end[-1] == ' '))
		*--end = '\0';
	for (char *p = s; *p != '\0'; p++)
		if (*p == '\n' || *p == '\t')
			*p = ' ';
	return s;
}

/* libpq's complaints quote what they complain about: not if it is secret. */
static const char *
quotable(const char *url, const char *error)
{
	if (strpbrk(url, "@%") != NULL || strstr(url, "password") != NULL)
		return "it cannot be parsed";
	return error != NULL ? error : "out of memory";
}

/* What was given, as libpq understands it. */
static bool
parse_url(struct pg_params *p, const char *url, struct arena *a,
    const char **why)
{
	char *error = NULL;
	PQconninfoOption *opts = PQconninfoParse(url, &error);

	if (opts == NULL) {
		*why = str_printf(a,
		    "the url of the store is neither sqlite:PATH nor a "
		    "PostgreSQL URI: %s",
		    pg_error(a, quotable(url, error)))
			   .p;
		PQfreemem(error);
		return false;
	}
	for (PQconninfoOption *o = opts; o->keyword != NULL; o++)
		if (o->val != NULL)
			pg_set_param(p, str_cstr(a, str_from(o->keyword)),
			    str_cstr(a, str_from(o->val)));
	PQconninfoFree(opts);
	return true;
}

/* "a,b,c" by 1 is "b,c,a". */
static const char *
turn_list(const char *list, unsigned turn, struct arena *a)
{
	struct str rest = str_from(list);
	size_t n = 1, first;

	for (size_t i = 0; i < rest.n; i++)
		n += rest.p[i] == ',';
	if (turn % n == 0)
		return list;
	for (size_t i = 0; i < turn % n; i++)
		(void)str_cut(&rest, ',');
	first = (size_t)(rest.p - list);
	return str_join(a, rest, STR(","), str_make(list, first - 1)).p;
}

void
pg_params_turn(const struct pg_params *p, unsigned turn, struct arena *a,
    const char *values[PG_PARAMS_MAX + 1])
{
	static const char *const lists[] = { "host", "hostaddr", "port" };

	memcpy(values, p->values, sizeof(p->values));
	for (unsigned i = 0; i < p->n; i++)
		for (size_t j = 0; j < sizeof(lists) / sizeof(lists[0]); j++)
			if (strcmp(p->keys[i], lists[j]) == 0)
				values[i] = turn_list(p->values[i], turn, a);
}

/* Three lists that grow together. */
struct hosts {
	struct arena *arena;
	struct buf host, addr, port;
	unsigned n;
};

static void
add_host(struct hosts *h, struct str host, struct str addr, struct str port)
{
	if (h->n++ > 0) {
		buf_char(&h->host, ',');
		buf_char(&h->addr, ',');
		buf_char(&h->port, ',');
	}
	buf_str(&h->host, host);
	buf_str(&h->addr, addr);
	buf_str(&h->port, port);
}

static void
add_name(struct hosts *h, struct pg_params *p, unsigned name, struct str port,
    const struct lookup_found *found, size_t n)
{
	unsigned added = 0;

	for (size_t i = 0; i < n && added < ADDRS_MAX; i++)
		if (found[i].name == name) {
			add_host(h, str_from(p->names[name]),
			    addr_text(h->arena, found[i].addr), port);
			added++;
		}
}

/* Not a directory of sockets, an abstract one, libpq's default, an address. */
static bool
is_name(struct str host)
{
	struct addr addr;

	return host.n > 0 && host.p[0] != '/' && host.p[0] != '@' &&
	    str_find(host, '%') == host.n && /* fe80::1%eth0 */
	    !addr_parse(host, &addr);
}

/*
 * host=a,/run port=1,2 becomes host=a,a,/run hostaddr=10.0.0.1,10.0.0.2,
 * port=1,1,2. Names without an address are left out.
 */
bool
pg_params_move(struct pg_params *p, struct arena *a,
    const struct lookup_found *found, size_t n)
{
	struct hosts h = { .arena = a,
		.host = buf_new(a, LIST_MAX),
		.addr = buf_new(a, LIST_MAX),
		.port = buf_new(a, LIST_MAX) };
	struct str rest = p->hosts, prest = p->ports, port = prest;
	bool listed = str_find(prest, ',') < prest.n; /* else one for all */
	unsigned name = 0;

	if (n == 0)
		return false;
	for (bool more = true; more;) {
		struct str host;

		more = str_find(rest, ',') < rest.n;
		host = str_cut(&rest, ',');
		if (listed)
			port = str_cut(&prest, ',');
		if (is_name(host))
			add_name(&h, p, name++, port, found, n);
		else
			add_host(&h, host, STR(""), port);
	}
	buf_char(&h.host, '\0');
	buf_char(&h.addr, '\0');
	buf_char(&h.port, '\0');
	if (h.host.full || h.addr.full || h.port.full)
		return false;
	pg_set_param(p, "host", h.host.p);
	pg_set_param(p, "hostaddr", h.addr.p);
	pg_set_param(p, "port", h.port.p);
	return true;
}

/* The names among the hosts. False: too many of them. */
static bool
list_names(struct pg_params *p, struct arena *a)
{
	struct str rest = p->hosts, host;

	while (rest.n > 0) {
		host = str_cut(&rest, ',');
		if (!is_name(host))
			continue;
		if (p->nnames == PG_NAMES_MAX)
			return false;
		p->names[p->nnames++] = str_cstr(a, host);
	}
	return true;
}

static bool
resolve_names(struct pg_params *p, struct arena *a, const char **why)
{
	struct addr v[ADDRS_MAX];
	size_t some;
	bool gone;

	p->found = arena_array(a, struct lookup_found, p->nnames * ADDRS_MAX);
	for (unsigned i = 0; i < p->nnames; i++) {
		some = lookup_now(p->names[i], v, ADDRS_MAX, why, &gone);
		if (some == 0) {
			*why = str_printf(a,
			    "cannot resolve the host %s of the store: %s",
			    p->names[i], *why)
				   .p;
			return false;
		}
		for (size_t j = 0; j < some; j++)
			p->found[p->nfound++] = (struct lookup_found){ i,
				v[j] };
	}
	*why = "the store has too many hosts";
	return pg_params_move(p, a, p->found, p->nfound);
}

static bool
resolve_hosts(struct pg_params *p, struct arena *a, const char **why)
{
	const char *given = pg_get_param(p, "host");
	const char *ports = pg_get_param(p, "port");

	if (given == NULL)
		given = getenv("PGHOST");
	if (ports == NULL)
		ports = getenv("PGPORT");
	if (given == NULL || pg_get_param(p, "hostaddr") != NULL ||
	    getenv("PGHOSTADDR") != NULL)
		return true;
	pg_set_param(p, "host", given); /* they may be of the environment */
	if (ports != NULL)
		pg_set_param(p, "port", ports);
	p->hosts = str_dup(a, str_from(given));
	p->ports = str_dup(a, str_from(ports));
	if (!list_names(p, a)) {
		*why = "the store has too many hosts";
		return false;
	}
	return p->nnames == 0 || resolve_names(p, a, why);
}

/*
 * Settings of a session, behind those that the url has. A statement that waits
 * must give up before we give up its connection; a server must notice when we
 * are gone; guards are exact in READ COMMITTED.
 */
static void
set_options(struct pg_params *p, struct arena *a, int64_t deadline)
{
	const char *given = pg_get_param(p, "options");
	int64_t ms = deadline / 1000;

	if (given == NULL && (given = getenv("PGOPTIONS")) == NULL)
		given = "";
	if (deadline == 0)
		given = str_printf(a, "%s -c lock_timeout=30000", given).p;
	else
		given = str_printf(a,
		    "%s -c lock_timeout=%" PRId64
		    " -c statement_timeout=%" PRId64
		    " -c idle_in_transaction_session_timeout=%" PRId64
		    " -c client_connection_check_interval=%" PRId64,
		    given, ms / 10, ms * 2 / 5, ms * 2 / 5, ms / 5)
			    .p;
	given = str_printf(a,
	    "%s -c default_transaction_isolation=read\\ committed", given)
		    .p;
	pg_set_param(p, "options", given);
}

struct pg_params *
pg_params_new(struct arena *a, const char *url, int64_t deadline,
    const char **why)
{
	struct pg_params *p = arena_new(a, struct pg_params);

	if (!parse_url(p, url, a, why))
		return NULL;
	if (pg_get_param(p, "service") != NULL) {
		*why = "the url of the store may not name a service: libpq "
		       "would look up its host while we serve";
		return NULL;
	}
	if (!resolve_hosts(p, a, why))
		return NULL;
	set_options(p, a, deadline);
	pg_set_param(p, "client_encoding", "UTF8");
	set_default(p, "fallback_application_name", "certloopd");
	set_default(p, "target_session_attrs", "read-write");
	/* a ticket cache would make libpq talk to a KDC, and wait */
	set_default(p, "gssencmode", "disable");
	set_default(p, "connect_timeout", "10");
	return p;
}
