/* SPDX-License-Identifier: ISC */
/* Files of the Vault issuer: the token, and the CAs of Vault's certificate. */
#include "issuer/vault_int.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <openssl/mem.h>

static bool
same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool
vault_file_changed(struct vault_file *f)
{
	struct stat st = { .st_size = 0 };
	bool seen = stat(f->path, &st) == 0;
	bool same = seen == f->seen &&
	    (!seen ||
		(st.st_dev == f->dev && st.st_ino == f->ino &&
		    st.st_size == f->size && same_time(st.st_mtim, f->mtime) &&
		    same_time(st.st_ctim, f->ctime)));

	f->seen = seen;
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	f->size = st.st_size;
	f->mtime = st.st_mtim;
	f->ctime = st.st_ctim;
	return !same;
}

/* O_NONBLOCK: a FIFO must not stop us. */
static int
open_file(const char *path, struct stat *st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd != -1 && fstat(fd, st) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool
read_all(int fd, char *p, size_t max, size_t *n)
{
	ssize_t got = 0;

	*n = 0;
	while (*n < max && (got = read(fd, p + *n, max - *n)) > 0)
		*n += (size_t)got;
	return got != -1;
}

/* NULL, or why this file is not for a secret. */
static const char *
check_owner(struct arena *a, const char *path, const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return str_printf(a, "%s: not a regular file", path).p;
	if (st->st_uid != geteuid() && st->st_uid != 0)
		return str_printf(a,
		    "%s: belongs to user %ld; it must belong to user %ld, who "
		    "runs this, or to root",
		    path, (long)st->st_uid, (long)geteuid())
		    .p;
	if ((st->st_mode & 077) != 0)
		return str_printf(a,
		    "%s: has mode %04o, which lets others at the token; make "
		    "it 0600 (chmod 600)",
		    path, (unsigned)st->st_mode & 07777)
		    .p;
	return NULL;
}

/* One line of printable characters; space around it is cut off. */
static bool
take_token(char *p, size_t *n)
{
	size_t from = 0, to = *n;

	while (to > from && strchr(" \t\r\n", p[to - 1]) != NULL)
		to--;
	while (from < to && strchr(" \t\r\n", p[from]) != NULL)
		from++;
	for (size_t i = from; i < to; i++)
		if (p[i] <= ' ' || p[i] >= 127)
			return false;
	memmove(p, p + from, to - from);
	*n = to - from;
	return *n > 0;
}

const char *
vault_file_read(struct arena *a, const struct vault_file *f, char *out,
    size_t *n)
{
	struct stat st;
	int fd = open_file(f->path, &st);
	const char *why;

	if (fd == -1)
		return str_printf(a, "%s: %s", f->path, strerror(errno)).p;
	if ((why = check_owner(a, f->path, &st)) == NULL) {
		if (!read_all(fd, out, VAULT_TOKEN_MAX, n))
			why = str_printf(a, "%s: %s", f->path, strerror(errno))
				  .p;
		else if (*n == VAULT_TOKEN_MAX || !take_token(out, n))
			why = str_printf(a,
			    "%s: does not hold a token, one line of printable "
			    "characters",
			    f->path)
				  .p;
	}
	if (why != NULL)
		OPENSSL_cleanse(out, VAULT_TOKEN_MAX);
	close(fd);
	return why;
}

const char *
vault_read_cas(struct arena *a, const char *path, struct str *out)
{
	static const struct str mark = STR("-----BEGIN CERTIFICATE-----");
	struct stat st;
	int fd = open_file(path, &st);
	char *p = arena_alloc(a, VAULT_CA_MAX);
	size_t n = 0;
	bool ok;

	if (fd == -1)
		return str_printf(a, "%s: %s", path, strerror(errno)).p;
	ok = S_ISREG(st.st_mode) && read_all(fd, p, VAULT_CA_MAX, &n);
	close(fd);
	if (!ok || n == VAULT_CA_MAX || memmem(p, n, mark.p, mark.n) == NULL)
		return str_printf(a,
		    "%s: does not hold CA certificates in PEM (256 KiB at "
		    "most)",
		    path)
		    .p;
	*out = str_make(p, n);
	return NULL;
}
