/* SPDX-License-Identifier: ISC */
/* What a handler may ask of its request. */
#include "http/http_int.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <openssl/mem.h>

#include "base/id.h"

struct request *
request_new(struct http_conn *c)
{
	struct task t;
	struct request *rq;

	task_init(&t);
	rq = arena_new(t.arena, struct request);
	rq->req.task.arena = t.arena;
	LIST_INIT(&rq->req.task.ops);
	rq->req.conn = c;
	rq->req.id = id_new(t.arena);
	rq->req.peer = c->peer;
	return rq;
}

struct str
req_header(const struct req *req, const char *name)
{
	const struct head *h = &request_of(req)->head;
	struct str want = str_from(name), found = STR_NONE;
	struct str comma = STR("");
	size_t n = 0, room = 0;
	struct buf b;

	for (size_t i = 0; i < h->nfields; i++)
		if (str_case_eq(h->fields[i].name, want)) {
			found = h->fields[i].value;
			room += found.n + 2;
			n++;
		}
	if (n < 2)
		return found;
	/* in one piece, which is all that is to be wiped of a secret */
	b = buf_over(arena_alloc(req->task.arena, room), room);
	for (size_t i = 0; i < h->nfields; i++)
		if (str_case_eq(h->fields[i].name, want)) {
			buf_str(&b, comma);
			buf_str(&b, h->fields[i].value);
			comma = STR(", ");
		}
	return buf_view(&b);
}

void
req_wipe_header(struct req *req, const char *name)
{
	const struct head *h = &request_of(req)->head;

	for (size_t i = 0; i < h->nfields; i++) {
		struct str v = h->fields[i].value;

		if (str_case_eq(h->fields[i].name, str_from(name)))
			OPENSSL_cleanse((void *)(uintptr_t)v.p, v.n);
	}
}

void
req_add_header(struct req *req, const char *name, struct str value)
{
	struct request *rq = request_of(req);
	struct header *h = arena_new(req->task.arena, struct header);

	assert(is_token(str_from(name)));
	for (size_t i = 0; i < value.n; i++)
		assert(is_field_char(value.p[i]));
	h->name = str_dup(req->task.arena, str_from(name));
	h->value = str_dup(req->task.arena, value);
	h->next = rq->reply;
	rq->reply = h;
}

bool
req_peer_creds(const struct req *req, uid_t *uid, gid_t *gid, pid_t *pid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (req->conn->listener->path == NULL ||
	    getsockopt(req->conn->sock.fd, SOL_SOCKET, SO_PEERCRED, &cred,
		&len) != 0)
		return false;
	*uid = cred.uid;
	*gid = cred.gid;
	*pid = cred.pid;
	return true;
}

bool
req_peer_in_group(const struct req *req, gid_t group)
{
	gid_t groups[256], gid, *all = groups;
	socklen_t len = sizeof(groups);
	uid_t uid;
	pid_t pid;
	bool found = false;

	if (!req_peer_creds(req, &uid, &gid, &pid))
		return false;
	if (gid == group)
		return true;
	if (getsockopt(req->conn->sock.fd, SOL_SOCKET, SO_PEERGROUPS, all,
		&len) != 0) {
		/* more than fit: len says how many */
		if (len <= sizeof(groups) || (all = malloc(len)) == NULL)
			return false;
		if (getsockopt(req->conn->sock.fd, SOL_SOCKET, SO_PEERGROUPS,
			all, &len) != 0)
			len = 0;
	}
	for (size_t i = 0; i < len / sizeof(gid_t); i++)
		found = found || all[i] == group;
	if (all != groups)
		free(all);
	return found;
}
