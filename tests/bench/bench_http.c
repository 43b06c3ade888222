/* SPDX-License-Identifier: ISC */
/*
 * What a request costs the HTTP server: processor time of a server process
 * that gives fixed answers, driven over keep-alive connections from this one.
 * Beside it, in the same run, nginx with the same answer, if it is installed.
 *
 *	bench_http [requests a row, default 200000]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/when.h"
#include "http/http.h"
#include "log/log.h"
#include "pki/pki.h"

#define FIXED "{\"status\":\"valid\",\"orders\":\"none\"}"

enum { CONNECTIONS = 64, ANSWER_MAX = 4096, POST_SIZE = 700 };

static const char get[] = "GET /fixed HTTP/1.1\r\nHost: bench\r\n"
			  "User-Agent: bench/1.0\r\nAccept: */*\r\n\r\n";
static char post[POST_SIZE + 256];

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "bench_http: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- the server, a process of its own */

struct ready {
	unsigned plain, tls;
};

static enum step
fixed(struct req *req)
{
	return req_reply(req, 200, "application/json", STR(FIXED));
}

static const struct route fixed_route = { .methods = REQ_GET | REQ_POST,
	.path = "/fixed",
	.name = "fixed",
	.body_max = 65536,
	.start = fixed };
static const struct route *const routes[] = { &fixed_route, NULL };
static const struct http_app app = { .name = "bench", .routes = routes };
static const struct http_app *const apps[] = { &app, NULL };

static struct tls_server *
make_tls(struct arena *a)
{
	struct pki_made made;
	const char *why;
	struct tls_pair pair = { .name = "bench" };
	const struct tls_server_options o = { .pairs = &pair, .npairs = 1 };
	struct tls_server *s;
	BIO *b = BIO_new(BIO_s_mem());
	const uint8_t *p;
	size_t n;
	struct pki_ca ca;

	/* an issuing CA's key is P-256, as a server's would be */
	why = pki_make_root(a, STR("bench"), when_now() / WHEN_SECOND, &made);
	if (why == NULL)
		why = pki_make_ca(a, made.key, &made.der, 1,
		    when_now() / WHEN_SECOND, &ca);
	if (why == NULL)
		why = pki_make_issuing(a, &ca, STR("bench"),
		    when_now() / WHEN_SECOND, &made);
	if (why != NULL)
		die(why);
	PEM_write_bio_PrivateKey(b, made.key, NULL, NULL, 0, NULL, NULL);
	BIO_mem_contents(b, &p, &n);
	pair.key_pem = str_make(p, n);
	pair.cert_pem = pki_write_pem(a, "CERTIFICATE", made.der);
	if ((s = tls_server_new(&o, a, &why)) == NULL)
		die(why);
	BIO_free(b);
	return s;
}

static void
pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

static _Noreturn void
serve(int out, bool log)
{
	struct loop *l = loop_new();
	struct http_server *s = http_server_new(l, NULL);
	struct arena *a = arena_create();
	struct http_listener_options o = { .address = "127.0.0.1:0",
		.apps = apps };
	struct ready ready;
	const char *why;
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(null, STDERR_FILENO);
	log_set(&(struct log_options){ .level = log ? LOG_INFO : LOG_ERROR });
	log_buffer(true);
	pin(0);
	if (!http_listen(s, &o, a, &why))
		die(why);
	o.tls = make_tls(a);
	if (!http_listen(s, &o, a, &why))
		die(why);
	ready.plain = http_listener_port(s, 0);
	ready.tls = http_listener_port(s, 1);
	if (write(out, &ready, sizeof(ready)) != sizeof(ready))
		die("write");
	for (;;) {
		loop_turn(l, LOOP_WAIT);
		(void)log_flush();
	}
}

/* ---- the client */

struct conn {
	int fd;
	SSL *ssl;
	size_t left; /* of the answer */
};

static struct {
	struct conn conns[CONNECTIONS];
	int epoll;
	SSL_CTX *ctx;
	unsigned port;
	bool tls;
	struct str request;
	size_t answer; /* bytes of one; 0: not known yet */
} client;

static void
send_request(struct conn *c)
{
	ssize_t n;

	if (c->ssl != NULL)
		n = SSL_write(c->ssl, client.request.p, (int)client.request.n);
	else
		n = send(c->fd, client.request.p, client.request.n, 0);
	if (n != (ssize_t)client.request.n)
		die("cannot send a request");
	c->left = client.answer;
}

static ssize_t
receive(struct conn *c, char *p, size_t size)
{
	int n;

	if (c->ssl == NULL)
		return recv(c->fd, p, size, 0);
	ERR_clear_error();
	n = SSL_read(c->ssl, p, (int)size);
	if (n <= 0 && SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ)
		errno = EAGAIN;
	return n > 0 ? n : -1;
}

static void
open_conn(struct conn *c)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)client.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(c->fd, (struct sockaddr *)&in, sizeof(in)) != 0)
		die("connect");
	if (client.tls) {
		c->ssl = SSL_new(client.ctx);
		SSL_set_fd(c->ssl, c->fd);
		if (SSL_connect(c->ssl) != 1)
			die("TLS handshake");
	}
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	epoll_ctl(client.epoll, EPOLL_CTL_ADD, c->fd, &ev);
}

static void
close_conn(struct conn *c)
{
	SSL_free(c->ssl);
	close(c->fd);
	*c = (struct conn){ .fd = -1 };
}

/* The first answer says how long each of them is. */
static void
learn_answer(struct conn *c)
{
	char p[ANSWER_MAX];
	size_t n = 0;
	ssize_t got;
	char *end = NULL, *length;

	client.answer = 0;
	send_request(c);
	while (end == NULL) {
		got = receive(c, p + n, sizeof(p) - 1 - n);
		if (got < 0 && errno != EAGAIN)
			die("the first answer");
		n += got > 0 ? (size_t)got : 0;
		p[n] = '\0';
		end = strstr(p, "\r\n\r\n");
	}
	length = strstr(p, "Content-Length: ");
	if (strncmp(p, "HTTP/1.1 200", 12) != 0 || length == NULL)
		die("the first answer is no 200");
	client.answer = (size_t)(end - p) + 4 + (size_t)atol(length + 16);
	c->left = client.answer - n;
}

/* One wake-up; true if an answer is complete. */
static bool
take_answer(struct conn *c)
{
	char p[ANSWER_MAX];
	ssize_t n;

	while ((n = receive(c, p, sizeof(p))) > 0) {
		if ((size_t)n > c->left)
			die("an answer is too long");
		c->left -= (size_t)n;
		if (c->left == 0)
			return true;
	}
	if (n == 0 || errno != EAGAIN)
		die("an answer broke off");
	return false;
}

static double
seconds(clockid_t clock)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts) != 0)
		die("clock_gettime");
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
drive(unsigned requests)
{
	struct epoll_event ev[CONNECTIONS];
	unsigned sent = CONNECTIONS, done = 0;

	for (int i = 0; i < CONNECTIONS; i++)
		send_request(&client.conns[i]);
	while (done < sent) {
		int n = epoll_wait(client.epoll, ev, CONNECTIONS, 10000);

		if (n <= 0)
			die("no answer for ten seconds");
		for (int i = 0; i < n; i++) {
			if (!take_answer(ev[i].data.ptr))
				continue;
			done++;
			if (sent < requests) {
				send_request(ev[i].data.ptr);
				sent++;
			}
		}
	}
}

static void
measure(const char *name, pid_t server, unsigned port, bool tls,
    struct str request, unsigned requests)
{
	double cpu, wall;
	clockid_t clock;

	client.port = port;
	client.tls = tls;
	client.request = request;
	if (clock_getcpuclockid(server, &clock) != 0)
		die("clock_getcpuclockid");
	client.epoll = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < CONNECTIONS; i++)
		open_conn(&client.conns[i]);
	learn_answer(&client.conns[0]);
	drive(requests / 10); /* warm */
	cpu = seconds(clock);
	wall = seconds(CLOCK_MONOTONIC);
	drive(requests);
	cpu = seconds(clock) - cpu;
	wall = seconds(CLOCK_MONOTONIC) - wall;
	for (int i = 0; i < CONNECTIONS; i++)
		close_conn(&client.conns[i]);
	close(client.epoll);
	printf("  %-34s %6.2f us of server CPU  %7.0f/s  %4zu bytes\n", name,
	    cpu / requests * 1e6, requests / wall, client.answer);
}

/* Connections one after the other, each with one request. */
static void
measure_connections(const char *name, pid_t server, unsigned port, bool tls,
    unsigned n)
{
	double cpu, wall;
	clockid_t clock;

	client.port = port;
	client.tls = tls;
	client.request = str_make(get, sizeof(get) - 1);
	if (clock_getcpuclockid(server, &clock) != 0)
		die("clock_getcpuclockid");
	client.epoll = epoll_create1(EPOLL_CLOEXEC);
	cpu = seconds(clock);
	wall = seconds(CLOCK_MONOTONIC);
	for (unsigned i = 0; i < n; i++) {
		struct epoll_event ev;
		struct conn c = { .fd = -1 };

		open_conn(&c);
		send_request(&c);
		c.left = client.answer;
		do
			(void)epoll_wait(client.epoll, &ev, 1, 10000);
		while (!take_answer(&c));
		close_conn(&c);
	}
	cpu = seconds(clock) - cpu;
	wall = seconds(CLOCK_MONOTONIC) - wall;
	close(client.epoll);
	printf("  %-34s %6.1f us of server CPU  %7.0f/s\n", name, cpu / n * 1e6,
	    n / wall);
}

/* ---- ours */

static long
resident(pid_t pid)
{
	char path[64], line[256];
	long kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if ((f = fopen(path, "r")) == NULL)
		die(path);
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "RssAnon: %ld", &kb) == 1)
			break;
	fclose(f);
	return kb;
}

/* What a connection holds that has had one request and waits. */
static void
measure_idle(const char *name, pid_t server, unsigned port, bool tls)
{
	enum { IDLE = 2000 };
	static struct conn conns[IDLE];
	long before, after;

	client.port = port;
	client.tls = tls;
	client.request = str_make(get, sizeof(get) - 1);
	client.epoll = epoll_create1(EPOLL_CLOEXEC);
	before = resident(server);
	for (int i = 0; i < IDLE; i++) {
		struct epoll_event ev;

		open_conn(&conns[i]);
		learn_answer(&conns[i]);
		while (conns[i].left > 0 && !take_answer(&conns[i]))
			(void)epoll_wait(client.epoll, &ev, 1, 10000);
		epoll_ctl(client.epoll, EPOLL_CTL_DEL, conns[i].fd, NULL);
	}
	after = resident(server);
	for (int i = 0; i < IDLE; i++)
		close_conn(&conns[i]);
	close(client.epoll);
	printf("  %-34s %6.2f KB an idle connection\n", name,
	    (double)(after - before) / IDLE);
}

static pid_t
start_ours(bool log, struct ready *ready)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) != 0 || (pid = fork()) < 0)
		die("cannot start the server");
	if (pid == 0)
		serve(ends[1], log);
	close(ends[1]);
	if (read(ends[0], ready, sizeof(*ready)) != sizeof(*ready))
		die("the server did not start");
	close(ends[0]);
	return pid;
}

static void
stop(pid_t pid)
{
	kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

static void
bench_ours(unsigned requests)
{
	struct str g = str_make(get, sizeof(get) - 1), p = str_from(post);
	struct ready ready;
	pid_t pid = start_ours(false, &ready);

	measure_idle("certloop", pid, ready.plain, false);
	measure_idle("certloop, TLS", pid, ready.tls, true);
	measure("certloop, GET", pid, ready.plain, false, g, requests);
	measure("certloop, POST of 700 bytes", pid, ready.plain, false, p,
	    requests);
	measure("certloop, GET, TLS", pid, ready.tls, true, g, requests);
	measure("certloop, POST, TLS", pid, ready.tls, true, p, requests);
	measure_connections("certloop, new connection", pid, ready.plain, false,
	    requests / 20);
	measure_connections("certloop, new connection, TLS", pid, ready.tls,
	    true, requests / 100);
	stop(pid);
	pid = start_ours(true, &ready);
	measure("certloop, GET, with request log", pid, ready.plain, false, g,
	    requests);
	stop(pid);
}

/* ---- nginx */

static const char nginx_conf[] =
    "daemon off; master_process off; worker_processes 1;\n"
    "pid %s/pid; error_log %s/log crit;\n"
    "events { worker_connections 4096; }\n"
    "http {\n"
    "  access_log off; keepalive_requests 100000000;\n"
    "  default_type application/json;\n"
    "  client_body_temp_path %s/body; proxy_temp_path %s/proxy;\n"
    "  fastcgi_temp_path %s/f; uwsgi_temp_path %s/u; scgi_temp_path %s/s;\n"
    "  server { listen 127.0.0.1:%u;\n"
    "    location / { return 200 '" FIXED "'; } }\n"
    "}\n";

static unsigned
free_port(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (struct sockaddr *)&in, len) != 0 ||
	    getsockname(fd, (struct sockaddr *)&in, &len) != 0)
		die("no free port");
	close(fd);
	return ntohs(in.sin_port);
}

static bool
is_up(unsigned port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bool up = connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0;

	close(fd);
	return up;
}

static void
bench_nginx(unsigned requests)
{
	char dir[] = "bench_http.XXXXXX", conf[128], real[4096];
	const struct timespec moment = { .tv_nsec = 20000000 };
	unsigned port = free_port();
	pid_t pid;
	FILE *f;

	if (access("/usr/sbin/nginx", X_OK) != 0) {
		printf("  nginx is not installed: left out\n");
		return;
	}
	if (mkdtemp(dir) == NULL || realpath(dir, real) == NULL)
		die("mkdtemp");
	snprintf(conf, sizeof(conf), "%s/conf", dir);
	if ((f = fopen(conf, "w")) == NULL)
		die(conf);
	fprintf(f, nginx_conf, real, real, real, real, real, real, real, port);
	fclose(f);
	if (realpath(conf, real) == NULL || (pid = fork()) < 0)
		die("cannot start nginx");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pin(0);
		execl("/usr/sbin/nginx", "nginx", "-c", real, NULL);
		_exit(127);
	}
	for (int i = 0; i < 250 && !is_up(port); i++)
		nanosleep(&moment, NULL);
	measure("nginx, GET", pid, port, false, str_make(get, sizeof(get) - 1),
	    requests);
	measure_connections("nginx, new connection", pid, port, false,
	    requests / 20);
	stop(pid);
	snprintf(real, sizeof(real), "rm -rf %s", dir);
	if (system(real) != 0)
		die(real);
}

int
main(int argc, char **argv)
{
	unsigned requests = argc > 1 ? (unsigned)atoi(argv[1]) : 200000;
	int n;

	if (requests < 10000) {
		fprintf(stderr, "bench_http: at least 10000 requests\n");
		return 2;
	}
	n = snprintf(post, sizeof(post),
	    "POST /fixed HTTP/1.1\r\nHost: bench\r\n"
	    "Content-Type: application/jose+json\r\n"
	    "Content-Length: %d\r\n\r\n",
	    POST_SIZE);
	memset(post + n, 'x', POST_SIZE);
	client.ctx = SSL_CTX_new(TLS_method());
	pin(1);
	printf("%u requests a row, %d connections\n", requests, CONNECTIONS);
	bench_ours(requests);
	bench_nginx(requests);
	SSL_CTX_free(client.ctx);
	return 0;
}
