/* SPDX-License-Identifier: ISC */
/*
 * PostgreSQL: from a connection string to the parameters of a connection.
 *
 * libpq resolves host names with getaddrinfo(3), which would block the loop at
 * each reconnect. So names are resolved here, before the loop runs, and given
 * as hostaddr beside host (which certificates are still checked against). An
 * address that changes later is not noticed before a restart.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/when.h"
#include "store/pg_int.h"

enum { LIST_MAX = 4096, HOSTS_MAX = 32 };

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
	if (strchr(url, '@') != NULL || strstr(url, "password") != NULL)
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

/* Three lists that grow together. */
struct hosts {
	struct arena *arena;
	struct buf host, addr, port;
	unsigned n;
};

static void
add_host(struct hosts *h, struct str host, const char *addr, struct str port)
{
	if (h->n++ > 0) {
		buf_char(&h->host, ',');
		buf_char(&h->addr, ',');
		buf_char(&h->port, ',');
	}
	buf_str(&h->host, host);
	buf_str(&h->addr, str_from(addr));
	buf_str(&h->port, port);
}

/* Add all addresses of a name. */
static bool
resolve(struct hosts *h, struct str name, struct str port, const char **why)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *res, *ai;
	const char *host = str_cstr(h->arena, name);
	char text[INET6_ADDRSTRLEN + 32];
	int rc = getaddrinfo(host, NULL, &hints, &res);

	if (rc != 0) {
		*why = str_printf(h->arena,
		    "cannot resolve the host %s of the store: %s", host,
		    gai_strerror(rc))
			   .p;
		return false;
	}
	for (ai = res; ai != NULL && h->n < HOSTS_MAX; ai = ai->ai_next)
		if (getnameinfo(ai->ai_addr, ai->ai_addrlen, text, sizeof(text),
			NULL, 0, NI_NUMERICHOST) == 0)
			add_host(h, name, text, port);
	freeaddrinfo(res);
	return true;
}

/* A directory of sockets, an abstract one, or libpq's default. */
static bool
is_local(struct str host)
{
	return host.n == 0 || host.p[0] == '/' || host.p[0] == '@';
}

/*
 * host=a,/run port=1,2 becomes host=a,a,/run hostaddr=10.0.0.1,10.0.0.2,
 * port=1,1,2.
 */
static bool
resolve_hosts(struct pg_params *p, struct arena *a, const char **why)
{
	const char *given = pg_get_param(p, "host");
	const char *ports = pg_get_param(p, "port");
	struct hosts h = { .arena = a };
	struct str rest, prest, host, port;

	if (given == NULL)
		given = getenv("PGHOST");
	if (ports == NULL)
		ports = getenv("PGPORT");
	if (given == NULL || pg_get_param(p, "hostaddr") != NULL ||
	    getenv("PGHOSTADDR") != NULL)
		return true;
	h.host = buf_new(a, LIST_MAX);
	h.addr = buf_new(a, LIST_MAX);
	h.port = buf_new(a, LIST_MAX);
	rest = str_from(given);
	prest = str_from(ports);
	port = STR("");
	for (bool more = true; more;) {
		more = str_find(rest, ',') < rest.n;
		host = str_cut(&rest, ',');
		if (prest.n > 0)
			port = str_cut(&prest, ',');
		if (is_local(host))
			add_host(&h, host, "", port);
		else if (!resolve(&h, host, port, why))
			return false;
	}
	buf_char(&h.host, '\0');
	buf_char(&h.addr, '\0');
	buf_char(&h.port, '\0');
	if (h.host.full || h.addr.full || h.port.full) {
		*why = "the store has too many hosts";
		return false;
	}
	pg_set_param(p, "host", h.host.p);
	pg_set_param(p, "hostaddr", h.addr.p);
	pg_set_param(p, "port", h.port.p);
	return true;
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
