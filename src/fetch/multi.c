/* SPDX-License-Identifier: ISC */
/* libcurl's multi interface on the loop: it says which sockets to watch. */
#include "fetch/fetch_int.h"

#include <stdlib.h>

struct multi {
	struct loop *loop;
	CURLM *curl;
	struct timer timer;
};

/* One socket of the library. */
struct watch {
	struct multi *multi;
	struct event ev;
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
on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	/* w may be gone when the library returns */
	act(w->multi, fd,
	    ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
		((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
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
		free(w);
		return 0;
	}
	if (w == NULL) {
		if ((w = calloc(1, sizeof(*w))) == NULL)
			abort();
		w->multi = m;
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
	timer_init(&m->timer, loop, on_timer, m);
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
	curl_global_cleanup();
	free(m);
}
