/* SPDX-License-Identifier: ISC */
/* Keys, and the files that hold them. */
#include "seal/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/mem.h>

#include "base/id.h"

void
seal_key_init(struct seal_key *key)
{
	id_random(key->bytes, sizeof(key->bytes));
}

void
seal_key_wipe(struct seal_key *key)
{
	OPENSSL_cleanse(key->bytes, sizeof(key->bytes));
}

/* ---- reading */

static bool
check_file(struct arena *a, const char *path, const struct stat *st,
    struct str *why)
{
	if (!S_ISREG(st->st_mode))
		*why = str_printf(a, "%s: not a regular file", path);
	else if (st->st_uid != geteuid() && st->st_uid != 0)
		*why = str_printf(a,
		    "%s: belongs to user %ld; it must belong to user %ld, "
		    "who runs this, or to root",
		    path, (long)st->st_uid, (long)geteuid());
	else if ((st->st_mode & 077) != 0)
		*why = str_printf(a,
		    "%s: has mode %04o, which lets others at a key; make it "
		    "0600 (chmod 600)",
		    path, (unsigned)st->st_mode & 07777);
	else if (st->st_size != SEAL_KEY_LEN)
		*why = str_printf(a, "%s: has %lld bytes; a key has %d", path,
		    (long long)st->st_size, SEAL_KEY_LEN);
	else
		return true;
	return false;
}

static bool
read_key(int fd, struct seal_key *key)
{
	size_t n = 0;
	ssize_t got;

	while (n < sizeof(key->bytes)) {
		got = read(fd, key->bytes + n, sizeof(key->bytes) - n);
		if (got == 0)
			errno = EIO; /* it became shorter */
		if (got <= 0)
			return false;
		n += (size_t)got;
	}
	return true;
}

bool
seal_load_key(struct arena *a, const char *path, struct seal_key *key,
    struct str *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	bool ok = false;

	if (fd == -1 || fstat(fd, &st) == -1) {
		*why = str_printf(a, "%s: %s", path, strerror(errno));
		goto out;
	}
	if (!check_file(a, path, &st, why))
		goto out;
	if (!read_key(fd, key)) {
		*why = str_printf(a, "%s: %s", path, strerror(errno));
		seal_key_wipe(key);
		goto out;
	}
	ok = true;
out:
	if (fd != -1)
		close(fd);
	return ok;
}

/* ---- making */

static bool
sync_folder(struct arena *a, const char *path)
{
	char *folder = str_cstr(a, str_from(path));
	char *slash = strrchr(folder, '/');
	int fd;
	bool ok;

	if (slash == NULL)
		folder = str_cstr(a, STR("."));
	else
		slash[slash == folder ? 1 : 0] = '\0';
	if ((fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return false;
	ok = fsync(fd) == 0;
	close(fd);
	return ok;
}

static bool
write_key(int fd)
{
	struct seal_key key;
	bool ok;

	seal_key_init(&key);
	ok = str_write(str_make((const char *)key.bytes, sizeof(key.bytes)),
	    fd);
	seal_key_wipe(&key);
	return ok && fchmod(fd, 0600) == 0 && fsync(fd) == 0;
}

/*
 * The file appears under its name with all its bytes or not at all, and two
 * who make it at once cannot both succeed.
 */
bool
seal_make_key(struct arena *a, const char *path, struct str *why)
{
	char *temporary = str_cstr(a, str_printf(a, "%s.XXXXXX", path));
	int fd = mkstemp(temporary);
	bool ok = false;

	if (fd != -1) {
		ok = write_key(fd) && link(temporary, path) == 0 &&
		    sync_folder(a, path);
		if (!ok)
			*why = str_printf(a, "%s: %s", path, strerror(errno));
		(void)unlink(temporary);
		close(fd);
	} else {
		*why = str_printf(a, "%s: %s", path, strerror(errno));
	}
	return ok;
}
