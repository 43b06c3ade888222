/* SPDX-License-Identifier: ISC */
/* The child, the issuer, and their ways to hear of each other. */
#include "vault_world.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct peer {
	pid_t pid; /* 0: not started */
	int to, from;
	unsigned port;
	char root[2048]; /* PEM */
	char line[1 << 18];
	size_t nline;
};

static struct peer plain, secure;

static const struct log_options to_stderr = { .level = LOG_INFO,
	.format = LOG_LOGFMT,
	.sink = LOG_STDERR,
	.name = "test" };

static const char *
peer_path(struct arena *a)
{
	const char *srcdir = getenv("srcdir");

	return str_printf(a, "%s/tests/lib/vault_peer.py",
	    srcdir != NULL ? srcdir : ".")
	    .p;
}

void
need_peer(void)
{
	struct arena *a = arena_create();
	bool ok = access(peer_path(a), R_OK) == 0 &&
	    system("python3 -c 'import cryptography' 2>/dev/null") == 0;

	arena_destroy(a);
	if (!ok) {
		fprintf(stderr,
		    "no python3 with cryptography, or srcdir is not set\n");
		exit(77);
	}
}

static void
stop_peer(struct peer *p)
{
	if (p->pid == 0)
		return;
	close(p->to);
	close(p->from);
	kill(p->pid, SIGTERM);
	waitpid(p->pid, NULL, 0);
	p->pid = 0;
}

int
stop_peers(int result)
{
	stop_peer(&plain);
	stop_peer(&secure);
	return result;
}

/* ---- hearing the child */

static void
take_request(struct world *w, const struct json *doc)
{
	struct heard *h = &w->heard[w->nheard];
	const struct json *at = json_get(doc, "at");

	assert_true(w->nheard < REQUESTS_MAX);
	h->method = json_get_str(doc, "method");
	h->path = json_get_str(doc, "path");
	h->token = json_get_str(doc, "token");
	h->namespace = json_get_str(doc, "namespace");
	h->body = json_get(doc, "body");
	h->at = (int64_t)(strtod(str_cstr(w->arena, at->str), NULL) * 1e6);
	w->nheard++;
}

static void
take_line(struct world *w, struct str line)
{
	const char *why = NULL;
	const struct json *doc = json_parse(w->arena, str_dup(w->arena, line),
	    &why);

	if (doc == NULL)
		fail_msg("the peer said \"" STR_FMT "\"", STR_ARG(line));
	if (json_get(doc, "listening") != NULL) {
		w->peer->port = (unsigned)json_get(doc, "listening")->num;
		strncpy(w->peer->root, json_get_str(doc, "root").p,
		    sizeof(w->peer->root) - 1);
	} else if (json_get(doc, "done") != NULL) {
		w->done++;
	} else {
		take_request(w, doc);
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct world *w = arg;
	struct peer *p = w->peer;
	ssize_t n = read(fd, p->line + p->nline, sizeof(p->line) - p->nline);
	char *end;

	(void)what;
	if (n <= 0) {
		event_del(w->readable);
		fail_msg("the peer has died");
	}
	p->nline += (size_t)n;
	while ((end = memchr(p->line, '\n', p->nline)) != NULL) {
		size_t len = (size_t)(end - p->line);

		take_line(w, str_make(p->line, len));
		p->nline -= len + 1;
		memmove(p->line, end + 1, p->nline);
	}
}

static void
start_peer(struct peer *p, const char *path, const char *arg)
{
	int in[2], out[2];

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	p->pid = fork();
	if (p->pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execlp("python3", "python3", path, "--unit", "0.03", arg,
		    (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	p->to = in[1];
	p->from = out[0];
}

/* Listen to the peer; what it did for the test before is forgotten. */
static void
join_peer(struct world *w, struct peer *p, const char *arg)
{
	w->peer = p;
	if (p->pid == 0)
		start_peer(p, peer_path(w->arena), arg);
	w->readable = event_new(loop_base(w->loop), p->from,
	    EV_READ | EV_PERSIST, on_readable, w);
	event_add(w->readable, NULL);
	while (p->port == 0)
		loop_turn(w->loop, LOOP_WAIT);
	command(w, "{\"reset\":true}");
	w->nheard = 0;
	assert_null(pki_save_text(w->arena, w->ca_file.p, str_from(p->root),
	    PKI_SAVE_NEW));
}

void
command(struct world *w, const char *json)
{
	unsigned done = w->done;
	struct str line = str_printf(w->arena, "%s\n", json);

	assert_int_equal(write(w->peer->to, line.p, line.n), line.n);
	while (w->done == done)
		loop_turn(w->loop, LOOP_WAIT);
}

/* ---- the world */

static void
make_request(struct world *w)
{
	w->key = pki_generate_key(PKI_P256);
	w->dns_names[0] = STR("*.a.example");
	w->dns_names[1] = STR("a.example");
	assert_true(addr_parse(STR("192.0.2.7"), &w->ips[0]));
	assert_true(addr_parse(STR("2001:db8::7"), &w->ips[1]));
	w->names = (struct pki_names){ w->dns_names, 2, w->ips, 2 };
	pki_names_sort(&w->names);
	w->rq = (struct issuer_request){ .names = &w->names,
		.cn = STR("a.example"),
		.kind = PKI_P256,
		.max_lifetime = 90 * WHEN_DAY,
		.eku = PKI_EKU_SERVER };
	w->rq.csr = pki_write_csr(w->arena, w->key, &w->names, w->rq.cn);
	w->rq.spki = pki_write_spki(w->arena, w->key);
}

static int
begin_with(void **state, struct peer *peer, const char *arg)
{
	struct world *w = calloc(1, sizeof(*w));
	struct dns_server nobody = { .port = 1 };
	struct dns_options d = { .mode = DNS_FORWARD,
		.forwarders = &nobody,
		.nforwarders = 1 };
	struct fetch_options f = { .user_agent = NULL };
	const char *why = NULL;

	w->arena = arena_create();
	w->saved_stderr = -1;
	metrics_reset();
	strcpy(w->dir, "/tmp/certloop-vault-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->token_file = str_printf(w->arena, "%s/token", w->dir);
	w->ca_file = str_printf(w->arena, "%s/ca.pem", w->dir);
	w->log_file = str_printf(w->arena, "%s/log", w->dir);
	d.loop = f.loop = w->loop = loop_new();
	(void)addr_parse(STR("127.0.0.1"), &nobody.addr);
	f.dns = w->dns = dns_new(&d, w->arena, &why);
	w->fetch = fetch_new(&f, &why);
	assert_null(why);
	task_init(&w->task);
	join_peer(w, peer, arg);
	w->options = (struct issuer_vault_options){ .name = "vault",
		.loop = w->loop,
		.fetch = w->fetch,
		.address = str_printf(w->arena, "%s://127.0.0.1:%u/",
		    arg != NULL ? "https" : "http", peer->port),
		.role = "web",
		.ca_file = arg != NULL ? w->ca_file.p : NULL,
		.token_file = w->token_file.p,
		.second = UNIT };
	make_request(w);
	*state = w;
	return 0;
}

int
begin(void **state)
{
	return begin_with(state, &plain, NULL);
}

int
begin_tls(void **state)
{
	return begin_with(state, &secure, "--tls");
}

int
end(void **state)
{
	struct world *w = *state;

	if (w->saved_stderr != -1) {
		dup2(w->saved_stderr, 2);
		close(w->saved_stderr);
		log_set(&to_stderr);
	}
	issuer_free(w->issuer);
	task_end(&w->task);
	fetch_free(w->fetch);
	dns_free(w->dns);
	event_free(w->readable);
	unlink(w->token_file.p);
	unlink(w->ca_file.p);
	unlink(w->log_file.p);
	rmdir(w->dir);
	loop_free(w->loop);
	EVP_PKEY_free(w->key);
	arena_destroy(w->arena);
	free(w);
	return 0;
}

void
write_token(struct world *w, const char *token)
{
	struct str temporary = str_printf(w->arena, "%s/new", w->dir);
	int fd = open(temporary.p, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, token, strlen(token)), strlen(token));
	assert_int_equal(write(fd, "\n", 1), 1);
	close(fd);
	assert_int_equal(rename(temporary.p, w->token_file.p), 0);
}

void
make_issuer(struct world *w)
{
	const char *why = NULL;

	issuer_free(w->issuer);
	w->issuer = issuer_vault_new(&w->options, w->arena, &why);
	if (w->issuer == NULL)
		fail_msg("%s", why);
	issuer_start(w->issuer);
}

const char *
refused(struct world *w)
{
	const char *why = NULL;
	struct issuer *issuer = issuer_vault_new(&w->options, w->arena, &why);

	if (issuer != NULL) {
		issuer_free(issuer);
		fail_msg("the options were taken");
	}
	assert_non_null(why);
	return why;
}

/* ---- waiting */

size_t
count_heard(const struct world *w, const char *path_end)
{
	size_t n = 0;

	for (size_t i = 0; i < w->nheard; i++)
		n += str_ends(w->heard[i].path, str_from(path_end));
	return n;
}

void
wait_heard(struct world *w, const char *path_end, size_t n)
{
	while (count_heard(w, path_end) < n)
		loop_turn(w->loop, LOOP_WAIT);
}

const struct heard *
nth_heard(const struct world *w, const char *path_end, size_t n)
{
	for (size_t i = 0; i < w->nheard; i++)
		if (str_ends(w->heard[i].path, str_from(path_end)) && n-- == 0)
			return &w->heard[i];
	fail_msg("the peer has not heard that often of %s", path_end);
	return NULL;
}

int64_t
renewals(const char *result)
{
	return metrics_child_get(
	    metrics_child(FAMILY_vault_token_renewals, result));
}

/* ---- the log */

void
capture_log(struct world *w)
{
	int fd = open(w->log_file.p, O_WRONLY | O_CREAT | O_APPEND, 0600);

	w->saved_stderr = dup(2);
	dup2(fd, 2);
	close(fd);
	log_set(&to_stderr); /* opens it anew */
}

bool
logged(struct world *w, const char *text)
{
	char all[1 << 16];
	int fd = open(w->log_file.p, O_RDONLY);
	ssize_t n = read(fd, all, sizeof(all));

	close(fd);
	return n > 0 && memmem(all, (size_t)n, text, strlen(text)) != NULL;
}

/* ---- results */

void
on_result(void *arg, const struct issuer_result *r)
{
	struct told *t = arg;
	struct arena *a = t->arena;

	t->calls++;
	t->r = *r;
	t->failed = r->problem != NULL;
	if (t->failed) {
		t->problem = *r->problem;
		t->problem.detail = str_dup(a, r->problem->detail);
		t->problem.cause = str_dup(a, str_from(r->problem->cause)).p;
	}
	t->r.der = str_dup(a, r->der);
	t->r.serial = str_dup(a, r->serial);
	t->r.chain_pem = str_dup(a, r->chain_pem);
	t->r.chain_id = str_dup(a, str_from(r->chain_id)).p;
}

static struct told
wait_result(struct world *w, struct told *t)
{
	assert_int_equal(t->calls, 0);
	while (t->calls == 0)
		loop_turn(w->loop, LOOP_WAIT);
	assert_int_equal(t->calls, 1);
	assert_false(task_is_waiting(&w->task));
	assert_int_equal(t->failed, t->r.class != ISSUER_OK);
	return *t;
}

struct told
sign_it(struct world *w)
{
	struct told t = { .arena = w->arena };

	issuer_sign(w->issuer, &w->task, &w->rq, on_result, &t);
	return wait_result(w, &t);
}

struct told
revoke_it(struct world *w, const char *serial)
{
	struct told t = { .arena = w->arena };

	issuer_revoke(w->issuer, &w->task, str_from(serial), on_result, &t);
	return wait_result(w, &t);
}
