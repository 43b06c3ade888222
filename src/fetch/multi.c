/* SPDX-License-Identifier: ISC */
/*
 * libcurl's multi interface on the loop: it says which sockets to watch. Those
 * that are ready are served one after the other, and when a turn has taken
 * long the others wait for the next one: many peers that send much, or shake
 * hands, must not keep all else waiting.
 */
#include "fetch/fetch_int.h"

#include <stdlib.h>

TAILQ_HEAD(watch_list, watch);

struct multi {
	struct loop *loop;
	CURLM *curl;
	struct timer timer;
	struct watch_list ready;
	struct deferred serve;
};

/* One socket of the library. */
struct watch {
	TAILQ_ENTRY(watch) entry; /* on multi->ready */
	struct multi *multi;
	struct event ev;
	curl_socket_t fd;
	int ready; /* CURL_CSELECT_*; 0: not on the list */
	bool added;
};

CURLM *
multi_handle(struct multi *m)
{
	return m->curl;
}

static void
take_finished(struct multi *m)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(m->curl, &left)) != NULL) {
		CURLcode e = msg->data.result;
		struct fetch_call *call = NULL;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &call);
		transfer_finish(call, e); /* msg is gone */
	}
}

static void
act(struct multi *m, curl_socket_t fd, int what)
{
	int running;

	(void)curl_multi_socket_action(m->curl, fd, what, &running);
	take_finished(m);
}

static void
serve_ready(void *arg)
{
	struct multi *m = arg;
	struct watch *w;
	int what;

	while ((w = TAILQ_FIRST(&m->ready)) != NULL) {
		TAILQ_REMOVE(&m->ready, w, entry);
		what = w->ready;
		w->ready = 0;
		act(m, w->fd, what); /* w may be gone */
		if (loop_is_late(m->loop)) {
			loop_defer(m->loop, &m->serve);
			return;
		}
	}
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	(void)fd;
	if (w->ready == 0)
		TAILQ_INSERT_TAIL(&w->multi->ready, w, entry);
	w->ready |= ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
	    ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0);
	loop_defer(w->multi->loop, &w->multi->serve);
}

static void
on_timer(void *arg)
{
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int
set_timer(CURLM *curl, long ms, void *arg)
{
	struct multi *m = arg;

	(void)curl;
	if (ms < 0)
		timer_stop(&m->timer);
	else
		timer_start(&m->timer, (int64_t)ms * 1000);
	return 0;
}

static int
set_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *at)
{
	struct multi *m = arg;
	struct watch *w = at;
	short flags = EV_PERSIST;

	(void)easy;
	if (w != NULL && w->added)
		event_del(&w->ev);
	if (what == CURL_POLL_REMOVE) {
		if (w != NULL && w->ready != 0)
			TAILQ_REMOVE(&m->ready, w, entry);
		free(w);
		return 0;
	}
	if (w == NULL) {
		if ((w = calloc(1, sizeof(*w))) == NULL)
			abort();
		w->multi = m;
		w->fd = fd;
		(void)curl_multi_assign(m->curl, fd, w);
	}
	if ((what & CURL_POLL_IN) != 0)
		flags |= EV_READ;
	if ((what & CURL_POLL_OUT) != 0)
		flags |= EV_WRITE;
	event_assign(&w->ev, loop_base(m->loop), fd, flags, on_socket, w);
	w->added = event_add(&w->ev, NULL) == 0;
	return w->added ? 0 : -1;
}

struct multi *
multi_new(struct loop *loop, unsigned idle_max)
{
	struct multi *m = calloc(1, sizeof(*m));

	if (m == NULL)
		abort();
	m->loop = loop;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
		free(m);
		return NULL;
	}
	if ((m->curl = curl_multi_init()) == NULL) {
		curl_global_cleanup();
		free(m);
		return NULL;
	}
	TAILQ_INIT(&m->ready);
	timer_init(&m->timer, loop, on_timer, m);
	deferred_init(&m->serve, serve_ready, m);
	curl_multi_setopt(m->curl, CURLMOPT_SOCKETFUNCTION, set_watch);
	curl_multi_setopt(m->curl, CURLMOPT_SOCKETDATA, m);
	curl_multi_setopt(m->curl, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(m->curl, CURLMOPT_TIMERDATA, m);
	curl_multi_setopt(m->curl, CURLMOPT_MAXCONNECTS, (long)idle_max);
	curl_multi_setopt(m->curl, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	return m;
}

void
multi_free(struct multi *m)
{
	if (m == NULL)
		return;
	curl_multi_cleanup(m->curl);
	timer_stop(&m->timer);
	loop_undefer(m->loop, &m->serve);
	curl_global_cleanup();
	free(m);
}
