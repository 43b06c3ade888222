/* SPDX-License-Identifier: ISC */
/*
 * The server: its connections by phase, one timer for all their deadlines,
 * accepting, draining. A phase has one time limit, so its list is sorted by
 * deadline, and entering one costs two pointers, not a timer.
 */
#include "http/http_int.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <http_parser.h>

#include "base/when.h"
#include "log/log.h"

enum { BACK_OFF = 100000, LINGER_TIME = 2000000 };

static void on_deadline(void *);
static void on_turn_end(void *);
static void on_resume(void *);
static void on_drain_timeout(void *);
static void on_drained(void *);

/* ---- life */

static int64_t
or_default(int64_t value, int64_t preset)
{
	return value > 0 ? value : preset;
}

static void
take_limits(struct http_server *s, const struct http_limits *given)
{
	static const struct http_limits none = { .connections = 0 };
	const struct http_limits *l = given != NULL ? given : &none;
	struct http_limits *to = &s->limits;

	*to = *l;
	if (to->connections == 0)
		to->connections = 10000;
	if (to->header_max == 0)
		to->header_max = 16384;
	if (to->header_max > HEADER_CEILING)
		to->header_max = HEADER_CEILING;
	s->allowed[PHASE_HEAD] = or_default(l->header_timeout,
	    10 * WHEN_SECOND);
	s->allowed[PHASE_IDLE] = or_default(l->idle_timeout, WHEN_MINUTE);
	s->allowed[PHASE_BODY] = or_default(l->body_timeout, 30 * WHEN_SECOND);
	s->allowed[PHASE_BUSY] = or_default(l->request_timeout, WHEN_MINUTE);
	s->allowed[PHASE_REPLY] = or_default(l->write_timeout,
	    30 * WHEN_SECOND);
	s->allowed[PHASE_LINGER] = LINGER_TIME;
	to->drain_idle = or_default(l->drain_idle, WHEN_SECOND);
}

struct http_server *
http_server_new(struct loop *l, const struct http_limits *limits)
{
	struct http_server *s = calloc(1, sizeof(*s));

	/* sock.h rests on it; epoll has it */
	if (s == NULL ||
	    !(event_base_get_features(loop_base(l)) & EV_FEATURE_ET))
		abort();
	s->loop = l;
	take_limits(s, limits);
	STAILQ_INIT(&s->listeners);
	TAILQ_INIT(&s->dead);
	for (int i = 0; i < PHASE_COUNT; i++)
		TAILQ_INIT(&s->phases[i]);
	s->window.cap = s->limits.header_max + PROXY_HEADER_MAX + 2 * READ_SIZE;
	if ((s->window.p = malloc(s->window.cap)) == NULL)
		abort();
	timer_init(&s->deadline, l, on_deadline, s);
	timer_init(&s->resume, l, on_resume, s);
	timer_init(&s->drain, l, on_drain_timeout, s);
	deferred_init(&s->drained, on_drained, s);
	s->reap = (struct turn_hook){ .fn = on_turn_end, .arg = s };
	s->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	http_parser_set_max_header_size(HEADER_CEILING + 1);
	return s;
}

static void
free_dead(struct http_server *s)
{
	struct http_conn *c;

	while ((c = TAILQ_FIRST(&s->dead)) != NULL) {
		TAILQ_REMOVE(&s->dead, c, entry);
		free(c);
	}
}

static void
on_turn_end(void *arg)
{
	free_dead(arg);
}

void
http_server_free(struct http_server *s)
{
	struct http_conn *c;
	struct listener *l;

	if (s == NULL)
		return;
	s->drain_done = NULL;
	for (int i = 0; i < PHASE_COUNT; i++)
		while ((c = TAILQ_FIRST(&s->phases[i])) != NULL)
			conn_close(c);
	free_dead(s);
	while ((l = STAILQ_FIRST(&s->listeners)) != NULL) {
		STAILQ_REMOVE_HEAD(&s->listeners, entry);
		listener_free(l);
	}
	timer_stop(&s->deadline);
	timer_stop(&s->resume);
	timer_stop(&s->drain);
	loop_undefer(s->loop, &s->drained);
	loop_forget_hook(s->loop, &s->reap);
	if (s->reserve >= 0)
		close(s->reserve);
	free(s->window.p);
	free(s);
}

unsigned
http_server_connections(const struct http_server *s)
{
	return s->open;
}

struct str
server_date(struct http_server *s)
{
	int64_t now = loop_wall(s->loop) / WHEN_SECOND;
	struct arena *a;

	if (s->date_second != now) {
		struct str text;

		a = arena_create();
		text = when_http(a, now * WHEN_SECOND);
		assert(text.n < sizeof(s->date));
		memcpy(s->date, text.p, text.n);
		s->date[text.n] = '\0';
		s->date_second = now;
		arena_destroy(a);
	}
	return str_from(s->date);
}

/* ---- phases and deadlines */

static void
arm(struct http_server *s, int64_t at)
{
	if (s->deadline_at != 0 && s->deadline_at <= at)
		return;
	s->deadline_at = at;
	timer_start(&s->deadline, at - loop_mono(s->loop));
}

static void
join_phase(struct http_conn *c, enum phase phase)
{
	struct http_server *s = c->server;

	c->phase = phase;
	c->deadline = loop_mono(s->loop) + s->allowed[phase];
	TAILQ_INSERT_TAIL(&s->phases[phase], c, entry);
	arm(s, c->deadline);
}

void
server_enter(struct http_conn *c, enum phase phase)
{
	TAILQ_REMOVE(&c->server->phases[c->phase], c, entry);
	join_phase(c, phase);
}

void
server_add(struct http_conn *c, enum phase phase)
{
	c->server->open++;
	metrics_add(METRIC_connections_accepted, 1);
	metrics_set(METRIC_connections, c->server->open);
	join_phase(c, phase);
}

void
server_remove(struct http_conn *c)
{
	struct http_server *s = c->server;

	TAILQ_REMOVE(&s->phases[c->phase], c, entry);
	TAILQ_INSERT_TAIL(&s->dead, c, entry);
	loop_at_turn_end(s->loop, &s->reap);
	s->open--;
	metrics_set(METRIC_connections, s->open);
	if (s->draining && s->open == 0)
		loop_defer(s->loop, &s->drained);
}

/* Those whose time has come each leave the head of their list. */
static void
on_deadline(void *arg)
{
	struct http_server *s = arg;
	int64_t now = loop_mono(s->loop);
	struct http_conn *c;

	s->deadline_at = 0;
	for (int i = 0; i < PHASE_COUNT; i++)
		while ((c = TAILQ_FIRST(&s->phases[i])) != NULL &&
		    c->deadline <= now)
			conn_expire(c);
	for (int i = 0; i < PHASE_COUNT; i++)
		if ((c = TAILQ_FIRST(&s->phases[i])) != NULL)
			arm(s, c->deadline);
}

/* ---- accepting */

static void
set_accepting(struct http_server *s, bool on)
{
	struct listener *l;

	STAILQ_FOREACH(l, &s->listeners, entry)
		if (on)
			event_add(&l->accept, NULL);
		else
			event_del(&l->accept);
}

static void
on_resume(void *arg)
{
	struct http_server *s = arg;

	if (!s->draining)
		set_accepting(s, true);
}

/*
 * Out of descriptors. Spend the reserve to tell the next client so, rather
 * than let it wait; then look again in a while.
 */
static void
back_off(struct listener *l)
{
	struct http_server *s = l->server;
	int error = errno, fd;

	if (s->reserve >= 0) {
		close(s->reserve);
		fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			close(fd);
		s->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	metrics_count(FAMILY_connections_refused, "descriptors");
	log_sampled(LOG_WARN, 1, "cannot accept connections",
	    LOG_TEXT("error", strerror(error)),
	    LOG_TEXT("listener", l->address));
	set_accepting(s, false);
	timer_start(&s->resume, BACK_OFF);
}

#define BUSY                                                                   \
	"{\"type\":\"urn:ietf:params:acme:error:serverInternal\","             \
	"\"detail\":\"there are too many connections; try again later\","      \
	"\"status\":503}"

/* Best effort: nothing is read, nothing is kept. */
static void
turn_away(const struct listener *l, int fd)
{
	char text[512];
	int n = snprintf(text, sizeof(text),
	    "HTTP/1.1 503 Service Unavailable\r\n"
	    "Content-Type: application/problem+json\r\n"
	    "Content-Length: %zu\r\n"
	    "Retry-After: 1\r\n"
	    "Connection: close\r\n"
	    "\r\n%s",
	    sizeof(BUSY) - 1, BUSY);

	metrics_count(FAMILY_connections_refused, "limit");
	log_sampled(LOG_WARN, 1, "connection refused",
	    LOG_TEXT("reason", "limit"), LOG_TEXT("listener", l->address));
	if (l->tls == NULL) {
		(void)!send(fd, text, (size_t)n, MSG_NOSIGNAL);
		(void)shutdown(fd, SHUT_WR);
	}
	close(fd);
}

static void
admit(struct listener *l, int fd, struct addr peer)
{
	struct http_server *s = l->server;

	if (l->proxy && l->ntrusted > 0 && !listener_trusts(l, peer)) {
		metrics_count(FAMILY_connections_refused, "untrusted");
		close(fd);
	} else if (s->open >= s->limits.connections) {
		turn_away(l, fd);
	} else {
		conn_open(s, l, fd, peer);
	}
}

static void
on_accept(evutil_socket_t ready, short what, void *arg)
{
	struct listener *l = arg;

	(void)ready;
	(void)what;
	for (int i = 0; i < ACCEPT_TURN; i++) {
		struct addr peer;
		int fd = listener_accept(l, &peer);

		if (fd >= 0)
			admit(l, fd, peer);
		else if (errno == EMFILE || errno == ENFILE ||
		    errno == ENOBUFS || errno == ENOMEM)
			return back_off(l);
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		/* else that connection broke before we took it */
	}
}

bool
http_listen(struct http_server *s, const struct http_listener_options *o,
    struct arena *a, const char **why)
{
	struct listener *l = listener_new(o, a, why);

	if (l == NULL)
		return false;
	l->server = s;
	event_assign(&l->accept, loop_base(s->loop), l->fd,
	    EV_READ | EV_PERSIST, on_accept, l);
	if (!s->draining)
		event_add(&l->accept, NULL);
	STAILQ_INSERT_TAIL(&s->listeners, l, entry);
	log_info("listening", LOG_TEXT("address", l->address),
	    LOG_INT("port", l->port), LOG_BOOL("tls", l->tls != NULL));
	return true;
}

unsigned
http_listener_port(const struct http_server *s, size_t i)
{
	struct listener *l;

	STAILQ_FOREACH(l, &s->listeners, entry)
		if (i-- == 0)
			return l->port;
	return 0;
}

/* ---- sockets that others get */

size_t
http_server_sockets(const struct http_server *s, struct http_socket *out,
    size_t max)
{
	const struct listener *l;
	size_t n = 0;

	STAILQ_FOREACH(l, &s->listeners, entry)
		if (l->fd >= 0 && n < max)
			out[n++] = (struct http_socket){ .address = l->address,
				.fd = l->fd };
	return n;
}

void
http_server_give(struct http_server *s)
{
	struct listener *l;

	STAILQ_FOREACH(l, &s->listeners, entry)
		l->given = true;
}

/* ---- draining */

static void
on_drained(void *arg)
{
	struct http_server *s = arg;
	void (*done)(void *) = s->drain_done;

	timer_stop(&s->drain);
	s->drain_done = NULL;
	if (done != NULL)
		done(s->drain_arg);
}

static void
on_drain_timeout(void *arg)
{
	struct http_server *s = arg;

	loop_defer(s->loop, &s->drained);
}

/* How long they were silent counts: all deadlines move, their order stays. */
static void
hurry_idle(struct http_server *s)
{
	int64_t earlier = s->allowed[PHASE_IDLE] - s->limits.drain_idle;
	struct http_conn *c;

	if (earlier <= 0)
		return;
	TAILQ_FOREACH(c, &s->phases[PHASE_IDLE], entry)
		c->deadline -= earlier;
	if ((c = TAILQ_FIRST(&s->phases[PHASE_IDLE])) != NULL)
		arm(s, c->deadline);
}

void
http_server_shed(struct http_server *s)
{
	if (s->shedding)
		return;
	s->shedding = true;
	hurry_idle(s);
}

void
http_server_keep(struct http_server *s)
{
	if (!s->draining)
		s->shedding = false;
}

/* Who is in the queue was told that we are here: a close would reset them. */
static void
take_waiting(struct listener *l)
{
	struct addr peer;
	int fd;

	for (int i = 0; i < BACKLOG; i++) {
		if ((fd = listener_accept(l, &peer)) < 0)
			return;
		admit(l, fd, peer);
	}
}

void
http_server_drain(struct http_server *s, int64_t usec, void (*done)(void *),
    void *arg)
{
	struct listener *l;

	s->draining = true;
	s->drain_done = done;
	s->drain_arg = arg;
	STAILQ_FOREACH(l, &s->listeners, entry) {
		if (!l->given)
			take_waiting(l);
		listener_close(l);
	}
	http_server_shed(s);
	timer_start(&s->drain, usec);
	if (s->open == 0)
		loop_defer(s->loop, &s->drained);
}
