/* SPDX-License-Identifier: ISC */
/*
 * Files of keys and certificates: read whole, written whole or not at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>

#include "pki/pki_int.h"

enum { MODE_SECRET = 0600, MODE_PUBLIC = 0644, OTHERS = 077 };

/* "PATH: doing WHAT: why", by errno. */
static const char *
fault(struct arena *a, const char *path, const char *what)
{
	return str_printf(a, "cannot %s %s: %s", what, path, strerror(errno)).p;
}

/* ---- reading */

static const char *
check_file(struct arena *a, const char *path, int fd, size_t max, bool secret,
    size_t *size)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return fault(a, path, "look at");
	if (!S_ISREG(st.st_mode))
		return str_printf(a, "%s is not a regular file", path).p;
	if (secret && (st.st_mode & OTHERS) != 0)
		return str_printf(a,
		    "%s has mode %04o, so others than its owner may use the "
		    "key; run chmod 0600 on it",
		    path, (unsigned)st.st_mode & 07777)
		    .p;
	if ((size_t)st.st_size > max)
		return str_printf(a, "%s has more than %zu bytes", path, max).p;
	*size = (size_t)st.st_size;
	return NULL;
}

/* Up to n bytes; fewer if the file ends. */
static bool
read_all(int fd, char *p, size_t n, size_t *got)
{
	ssize_t step;

	for (*got = 0; *got < n; *got += (size_t)step) {
		step = read(fd, p + *got, n - *got);
		if (step == 0)
			break;
		if (step < 0 && errno == EINTR)
			step = 0;
		if (step < 0)
			return false;
	}
	return true;
}

const char *
file_read(struct arena *a, const char *path, size_t max, bool secret,
    struct str *out)
{
	const char *why = NULL;
	char *p = NULL;
	size_t size = 0;
	int fd;

	/* O_NONBLOCK: a FIFO must not stop us before fstat unmasks it */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return fault(a, path, "open");
	if ((why = check_file(a, path, fd, max, secret, &size)) != NULL)
		goto out;
	if ((p = OPENSSL_malloc(size + 1)) == NULL)
		abort();
	if (!read_all(fd, p, size, &out->n)) {
		why = fault(a, path, "read");
		OPENSSL_free(p);
		goto out;
	}
	out->p = p;
out:
	close(fd);
	return why;
}

void
file_free(struct str s)
{
	OPENSSL_free((void *)(uintptr_t)s.p);
}

/* ---- writing */

/* Make the folder's new entry last. */
static bool
sync_folder(struct arena *a, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *folder = ".";
	int fd;
	bool ok;

	if (slash != NULL)
		folder = slash == path ?
		    "/" :
		    str_cstr(a, str_make(path, (size_t)(slash - path)));
	if ((fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return false;
	ok = fsync(fd) == 0;
	close(fd);
	return ok;
}

/* Give the temporary file its name. */
static bool
put_in_place(const char *tmp, const char *path, enum pki_save how)
{
	if (how == PKI_SAVE_REPLACE)
		return rename(tmp, path) == 0;
	/* unlike rename, link does not replace what is there */
	return link(tmp, path) == 0 && unlink(tmp) == 0;
}

static const char *
save(struct arena *a, const char *path, struct str text, mode_t mode,
    enum pki_save how)
{
	char *tmp = str_cstr(a, str_printf(a, "%s.XXXXXX", path));
	const char *why;
	int fd = mkstemp(tmp); /* mode 0600 */
	bool ok;

	if (fd < 0)
		return fault(a, path, "create a file beside");
	ok = str_write(text, fd) && fchmod(fd, mode) == 0 && fsync(fd) == 0;
	ok = close(fd) == 0 && ok;
	if (ok && put_in_place(tmp, path, how) && sync_folder(a, path))
		return NULL;
	why = fault(a, path, "write");
	unlink(tmp);
	return why;
}

const char *
pki_save_text(struct arena *a, const char *path, struct str text,
    enum pki_save how)
{
	return save(a, path, text, MODE_PUBLIC, how);
}

/* OPENSSL_malloc's memory is wiped when it is freed. */
static bool
write_key(const EVP_PKEY *key, struct str *out)
{
	char *text = NULL;
	struct str der;
	CBB cbb;

	CBB_zero(&cbb);
	if (CBB_init(&cbb, 256) && EVP_marshal_private_key(&cbb, key) &&
	    CBB_flush(&cbb)) {
		der = str_make(CBB_data(&cbb), CBB_len(&cbb));
		text = OPENSSL_malloc(pem_size("PRIVATE KEY", der.n));
		if (text == NULL)
			abort();
		*out = str_make(text, pem_write(text, "PRIVATE KEY", der));
	}
	CBB_cleanup(&cbb);
	ERR_clear_error();
	return text != NULL;
}

static void
free_text(void *p)
{
	OPENSSL_free(p);
}

struct str
pki_write_key(struct arena *a, const EVP_PKEY *key)
{
	struct str text;

	if (!write_key(key, &text))
		return STR_NONE;
	arena_defer(a, free_text, (void *)(uintptr_t)text.p);
	return text;
}

const char *
pki_save_key(struct arena *a, const char *path, const EVP_PKEY *key,
    enum pki_save how)
{
	struct str text;
	const char *why;

	if (!write_key(key, &text))
		return "the key cannot be written";
	why = save(a, path, text, MODE_SECRET, how);
	OPENSSL_free((void *)(uintptr_t)text.p);
	return why;
}
