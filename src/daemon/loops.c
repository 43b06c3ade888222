/* SPDX-License-Identifier: ISC */
/* Cert loops in the daemon, and who this node is. */
#include "daemon/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/id.h"
#include "log/log.h"

enum { NODE_MAX = 64 };

/*
 * The name of this node, in DATA_DIR/node: what is delivered is delivered to
 * a machine and its folders, which the data folder stands for. The first
 * start makes it of the host's name and some random letters.
 */
static const char *
read_node(struct arena *a, const char *path, struct str *out)
{
	char text[NODE_MAX + 2];
	ssize_t n = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		n = read(fd, text, sizeof(text));
		close(fd);
	}
	if (n < 0)
		return errno == ENOENT ?
		    "" :
		    str_printf(a, "cannot read %s: %s", path, strerror(errno))
			.p;
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	*out = str_dup(a, str_make(text, (size_t)n));
	if (n == 0 || n > NODE_MAX || !str_is_text(*out))
		return str_printf(a,
		    "%s must hold the name of this node, 1 to %d letters", path,
		    NODE_MAX)
		    .p;
	return NULL;
}

static struct str
new_node(struct arena *a)
{
	char host[32] = "node";
	struct str id = id_new(a);

	(void)gethostname(host, sizeof(host) - 1);
	host[sizeof(host) - 1] = '\0';
	return str_printf(a, "%s-" STR_FMT,
	    str_is_text(str_from(host)) ? host : "node",
	    STR_ARG(str_skip(id, id.n - 8)));
}

static const char *
learn_node(struct arena *a, const struct conf *c, struct str *out)
{
	const char *path = str_printf(a, "%s/node", c->data_dir.p).p;
	const char *why = read_node(a, path, out);

	if (why == NULL || why[0] != '\0')
		return why;
	*out = new_node(a);
	why = pki_save_text(a, path, str_printf(a, STR_FMT "\n", STR_ARG(*out)),
	    PKI_SAVE_NEW);
	return why;
}

void
loops_start(struct daemon *d)
{
	struct certloops_options o = {
		.loop = d->loop,
		.store = d->store,
		.ring = d->ring,
		.find_issuer = daemon_find_issuer,
		.issuers = d,
	};
	const char *why = learn_node(d->arena, d->conf, &o.node);

	if (why != NULL) {
		log_error("cert loops do not run", LOG_TEXT("cause", why));
		return;
	}
	d->loops = certloops_new(&o);
	certloops_configure(d->loops, d->conf);
}
