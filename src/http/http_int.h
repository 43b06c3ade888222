/* SPDX-License-Identifier: ISC */
/* What the files of http share. */
#ifndef HTTP_HTTP_INT_H
#define HTTP_HTTP_INT_H

#include "http/http.h"

#include "base/buf.h"
#include "http/parse.h"
#include "loop/sock.h"
#include "metrics/metrics.h"

enum {
	READ_SIZE = 16384,         /* asked of the socket at a time */
	HEADER_CEILING = 1 << 20,  /* header_max is at most that */
	LINGER_BYTES = 256 * 1024, /* read and dropped before a close */
	PIPELINE_TURN = 32,        /* requests of a connection in one go */
	ACCEPT_TURN = 64,          /* connections of a listener in one go */
	BACKLOG = 4096,            /* of a listener */
};

/* ---- routes, as a listener serves them */
struct router;

enum route_outcome {
	ROUTE_OK,
	ROUTE_REFUSED, /* 4xx */
	ROUTE_FAILED,  /* 5xx */
	ROUTE_ABORTED, /* its client left */
	ROUTE_OUTCOMES,
};

struct route_stats { /* looked up once, by need */
	const char *name;
	struct metrics_child *classes[5];
	struct metrics_hist *took[ROUTE_OUTCOMES];
};

struct match {
	const struct http_app *app; /* by prefix; never NULL */
	const struct route *route;  /* NULL: see allow */
	struct route_stats *stats;  /* never NULL */
	unsigned allow; /* methods that the path has; 0: no such path */
	struct str params[REQ_PARAMS_MAX];
};

struct router *router_new(const struct http_app *const *apps);
void router_free(struct router *);
void router_find(struct router *, unsigned method, struct str path,
    struct match *);
void route_count(struct route_stats *, unsigned status, int64_t usec);
/* The time of a request to its end. */
void route_time(struct route_stats *, enum route_outcome, int64_t usec);

/* ---- requests */
struct header {
	struct str name, value;
	struct header *next;
};

struct request {
	struct req req;   /* first: a req is a request */
	struct head head; /* as it came */
	struct buf body;
	struct route_stats *stats;
	struct header *reply;          /* added, newest first */
	const struct problem *problem; /* that req_fail answers with */
	bool has_credentials;          /* to be wiped at its end */
};

static inline struct request *
request_of(const struct req *req)
{
	return (struct request *)(uintptr_t)req;
}

struct request *request_new(struct http_conn *);

/* A clock read now, not once a turn. Microseconds. */
int64_t request_clock(void);

/* The client went away before the reply: log, count, end the task. */
void request_abort(struct request *, const char *cause);

/* ---- connections */
enum conn_state {
	CONN_PROXY,  /* a PROXY header comes first */
	CONN_TLS,    /* handshake */
	CONN_HEAD,   /* request line and header */
	CONN_BODY,   /* body */
	CONN_BUSY,   /* the handler has it; nothing is read */
	CONN_REPLY,  /* the reply goes out */
	CONN_LINGER, /* all is said; what still comes is dropped */
	CONN_DEAD,   /* closed; freed when the turn ends */
};

/* Each has one time limit and one list, which so is sorted by deadline. */
enum phase {
	PHASE_HEAD, /* PROXY, TLS and head */
	PHASE_IDLE, /* between requests */
	PHASE_BODY,
	PHASE_BUSY,
	PHASE_REPLY,
	PHASE_LINGER,
	PHASE_COUNT
};

struct pending { /* bytes that wait for room in the socket */
	char *p;
	size_t at, len;
};

struct http_conn {
	TAILQ_ENTRY(http_conn) entry; /* on server->phases or ->dead */
	struct http_server *server;
	const struct listener *listener;
	struct sock sock;
	struct tls_conn *tls;
	enum conn_state state;
	enum phase phase;
	int64_t deadline; /* loop_mono, of the phase */
	struct addr peer; /* from the socket, or the PROXY header */
	char *kept;       /* plain bytes that came and were not eaten yet */
	size_t nkept;
	struct pending out;
	struct head_scan scan;
	struct chunked chunked;
	struct request *rq;
	size_t dropped;        /* while lingering */
	bool last;             /* close after this reply */
	bool running;          /* conn_run is on the stack */
	bool broken;           /* nothing can be sent any more */
	struct deferred again; /* conn_run, by ourselves */
};

/* A connection was accepted. fd is ours now. */
void conn_open(struct http_server *, const struct listener *, int fd,
    struct addr peer);
void conn_close(struct http_conn *);

/* The deadline of its phase has come. */
void conn_expire(struct http_conn *);

/* Say no to what is being received, and close after it. */
void conn_fail(struct http_conn *, const struct problem *);

/* The reply of c->rq is handed over (conn_send); the request is gone. */
void conn_replied(struct http_conn *);

/* ---- bytes in and out, through TLS or not */
struct window { /* plain bytes of the connection that is running */
	char *p;
	size_t start, end, cap;
	struct http_conn *user;
};

static inline struct str
window_view(const struct window *w)
{
	return str_make(w->p + w->start, w->end - w->start);
}

/* Take the window and what the connection kept; put back what is left. */
struct window *window_open(struct http_conn *);
void window_close(struct http_conn *);

/* Wipe and drop what the connection kept. */
void conn_forget(struct http_conn *);

enum input { INPUT_DATA, INPUT_NONE, INPUT_EOF, INPUT_ERROR };

/* Add bytes to the window: through TLS once there is one, or off the wire. */
enum input conn_fill(struct http_conn *);

/* Is there input that no edge will tell of? */
bool conn_has_input(const struct http_conn *);

/*
 * Send, or keep what finds no room; order is kept. head and body go out as
 * one segment or record where they fit.
 */
void conn_send(struct http_conn *, struct arena *, struct str head,
    struct str body);

/* Send what was kept. True if nothing is left. */
bool conn_flush(struct http_conn *);

/* Say that nothing more comes. */
void conn_shut(struct http_conn *);

/* ---- listeners and the server */
struct listener {
	STAILQ_ENTRY(listener) entry;
	struct http_server *server;
	int fd;
	char *address, *path; /* as configured; of a unix socket, or NULL */
	dev_t dev;            /* of the socket file, to know it again */
	ino_t ino;
	unsigned port;
	struct tls_server *tls;
	bool proxy, forwarded;
	bool given; /* the socket is not ours alone */
	struct prefix *trusted;
	size_t ntrusted;
	struct router *router;
	struct event accept;
};

TAILQ_HEAD(conn_list, http_conn);
STAILQ_HEAD(listener_list, listener);

struct http_server {
	struct loop *loop;
	struct http_limits limits;
	int64_t allowed[PHASE_COUNT]; /* usec */
	struct listener_list listeners;
	struct conn_list phases[PHASE_COUNT];
	struct conn_list dead;
	unsigned open;
	struct window window;
	struct timer deadline;
	int64_t deadline_at; /* loop_mono; 0: not running */
	struct turn_hook reap;
	int reserve; /* a descriptor to spend when there are no others */
	struct timer resume; /* accepting, after that */
	char date[32];       /* of the second below, for the header */
	int64_t date_second;
	bool shedding; /* replies say: close */
	bool draining; /* and nothing is accepted */
	struct timer drain;
	struct deferred drained;
	void (*drain_done)(void *);
	void *drain_arg;
};

/* Open the socket. NULL: *why says what is wrong. */
struct listener *listener_new(const struct http_listener_options *,
    struct arena *, const char **why);

/* Stop accepting, close, remove the socket file if it is still ours. */
void listener_close(struct listener *);
void listener_free(struct listener *);

/* A connection, non-blocking; -1 with errno. */
int listener_accept(const struct listener *, struct addr *peer);

/* Is the peer one that we believe about others? */
bool listener_trusts(const struct listener *, struct addr peer);

void server_enter(struct http_conn *, enum phase); /* and start its time */
void server_add(struct http_conn *, enum phase);
void server_remove(struct http_conn *); /* reaped at the end of the turn */
struct str server_date(struct http_server *);

/* ---- pure parts */

/*
 * The client behind trusted proxies: of the right-most address that is not
 * trusted, by X-Forwarded-For or Forwarded (RFC 7239).
 */
struct addr forwarded_client(const struct listener *, const struct req *,
    struct addr peer);

#endif
