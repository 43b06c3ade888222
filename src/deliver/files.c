/* SPDX-License-Identifier: ISC */
/*
 * Plain files. Each new one is written beside its place and synced, the old
 * one gets a second name (".certloop-old"), then the new ones are renamed into
 * place, one right behind the other. The second names go when the program is
 * content; one that is still there at the start tells of a process that ended
 * in between, and is the pair to put back.
 */
#include "deliver/deliver_int.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEW_SUFFIX ".certloop-new"
#define OLD_SUFFIX ".certloop-old"

const char *
fail_on(struct arena *a, const char *what, const char *path)
{
	return str_printf(a, "cannot %s %s: %s", what, path, strerror(errno)).p;
}

/* ---- what and for whom */

static const char *
absolute(struct arena *a, struct str path)
{
	char here[4096];

	if (path.n == 0)
		return NULL;
	if (path.p[0] == '/' || getcwd(here, sizeof(here)) == NULL)
		return str_cstr(a, path);
	return str_printf(a, "%s/" STR_FMT, here, STR_ARG(path)).p;
}

static const char *
find_owner(struct pair *p)
{
	const struct deliver_job *j = p->job;
	struct arena *a = p->arena;
	const struct passwd *pw;
	const struct group *gr;

	p->uid = (uid_t)-1;
	p->gid = (gid_t)-1;
	if (j->owner.n > 0) {
		if ((pw = getpwnam(str_cstr(a, j->owner))) == NULL)
			return str_printf(a, "there is no user " STR_FMT,
			    STR_ARG(j->owner))
			    .p;
		p->uid = pw->pw_uid;
	}
	if (j->group.n > 0) {
		if ((gr = getgrnam(str_cstr(a, j->group))) == NULL)
			return str_printf(a, "there is no group " STR_FMT,
			    STR_ARG(j->group))
			    .p;
		p->gid = gr->gr_gid;
	}
	return NULL;
}

const char *
pair_init(struct arena *a, const struct deliver_job *j, struct pair *p)
{
	struct str full = str_join(a, j->cert, j->chain);
	struct str all = str_join(a, j->key, full);
	const struct file files[FILES_MAX] = {
		/* the key first: it is the part that is never shown alone */
		{ "CERTLOOP_KEY", "privkey.pem", absolute(a, j->key_file),
		    j->key, true },
		{ "CERTLOOP_COMBINED", "combined.pem",
		    absolute(a, j->combined_file), all, true },
		{ "CERTLOOP_CERT", "cert.pem", absolute(a, j->cert_file),
		    j->cert, false },
		{ "CERTLOOP_FULLCHAIN", "fullchain.pem",
		    absolute(a, j->fullchain_file), full, false },
		{ "CERTLOOP_CHAIN", "chain.pem", absolute(a, j->chain_file),
		    j->chain, false },
	};

	*p = (struct pair){ .arena = a, .job = j };
	memcpy(p->files, files, sizeof(files));
	p->folder = absolute(a, j->folder);
	if (p->folder != NULL)
		for (size_t i = 0; i < FILES_MAX; i++)
			p->files[i].path = str_printf(a, "%s/current/%s",
			    p->folder, p->files[i].name)
					       .p;
	return find_owner(p);
}

/* ---- one file */

static mode_t
mode_of(const struct pair *p, const struct file *f)
{
	return f->secret ? (mode_t)p->job->mode : 0644;
}

/* By whom, and with the mode, that it is to have? */
static bool
is_owned(const struct pair *p, int fd, const struct file *f)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & 07777) == mode_of(p, f) &&
	    (p->uid == (uid_t)-1 || st.st_uid == p->uid) &&
	    (p->gid == (gid_t)-1 || st.st_gid == p->gid);
}

bool
file_is_same(const struct pair *p, const struct file *f, const char *path)
{
	struct str text = f->text;
	char *have = arena_alloc(p->arena, text.n + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t step = 1;

	if (fd < 0)
		return false;
	if (!is_owned(p, fd, f)) {
		close(fd);
		return false;
	}
	while (n <= text.n && step > 0) {
		step = read(fd, have + n, text.n + 1 - n);
		n += step > 0 ? (size_t)step : 0;
	}
	close(fd);
	return step == 0 && str_eq(str_make(have, n), text);
}

bool
file_own(const struct pair *p, int fd, const struct file *f)
{
	if ((p->uid != (uid_t)-1 || p->gid != (gid_t)-1) &&
	    fchown(fd, p->uid, p->gid) != 0)
		return false;
	return fchmod(fd, mode_of(p, f)) == 0;
}

const char *
file_write_new(const struct pair *p, const struct file *f, const char *path)
{
	const char *why;
	int fd;
	bool ok;

	(void)unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	    0600);
	if (fd < 0)
		return fail_on(p->arena, "create", path);
	ok = str_write(f->text, fd) && file_own(p, fd, f) && fsync(fd) == 0;
	ok = close(fd) == 0 && ok;
	if (ok)
		return NULL;
	why = fail_on(p->arena, "write", path);
	(void)unlink(path);
	return why;
}

void
folder_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)fsync(fd);
	close(fd);
}

/* ---- all of them */

static const char *
with(const struct pair *p, const struct file *f, const char *suffix)
{
	return str_printf(p->arena, "%s%s", f->path, suffix).p;
}

static void
sync_around(const struct pair *p)
{
	for (size_t i = 0; i < FILES_MAX; i++)
		if (p->files[i].path != NULL) {
			char *dir = str_cstr(p->arena,
			    str_from(p->files[i].path));

			*strrchr(dir, '/') = '\0';
			folder_sync(dir[0] != '\0' ? dir : "/");
		}
}

static bool
are_same(struct pair *p)
{
	for (size_t i = 0; i < FILES_MAX; i++) {
		const struct file *f = &p->files[i];

		if (f->path != NULL && !file_is_same(p, f, f->path))
			return false;
		if (f->path != NULL &&
		    access(with(p, f, OLD_SUFFIX), F_OK) == 0)
			p->has_old = true;
	}
	return true;
}

static const char *
prepare_file(struct pair *p, const struct file *f)
{
	const char *old = with(p, f, OLD_SUFFIX);
	const char *why = file_write_new(p, f, with(p, f, NEW_SUFFIX));

	if (why != NULL)
		return why;
	/* one that is there already is older, and was good */
	if (access(old, F_OK) == 0 || link(f->path, old) == 0)
		p->has_old = true;
	else if (errno != ENOENT)
		return fail_on(p->arena, "keep", f->path);
	return NULL;
}

static const char *
write_files(struct pair *p)
{
	const char *why = NULL;

	for (size_t i = 0; i < FILES_MAX && why == NULL; i++)
		if (p->files[i].path != NULL)
			why = prepare_file(p, &p->files[i]);
	for (size_t i = 0; i < FILES_MAX && why == NULL; i++) {
		const struct file *f = &p->files[i];

		if (f->path == NULL)
			continue;
		if (rename(with(p, f, NEW_SUFFIX), f->path) != 0)
			why = fail_on(p->arena, "replace", f->path);
		else
			p->changed = true;
	}
	if (why == NULL) {
		sync_around(p);
		return NULL;
	}
	for (size_t i = 0; i < FILES_MAX; i++)
		if (p->files[i].path != NULL)
			(void)unlink(with(p, &p->files[i], NEW_SUFFIX));
	if (p->changed)
		(void)pair_put_back(p);
	return why;
}

const char *
pair_write(struct pair *p)
{
	if (p->folder != NULL)
		return folder_write(p);
	return are_same(p) ? NULL : write_files(p);
}

void
pair_keep(struct pair *p)
{
	if (p->folder != NULL) {
		folder_keep(p);
		return;
	}
	for (size_t i = 0; i < FILES_MAX; i++)
		if (p->files[i].path != NULL)
			(void)unlink(with(p, &p->files[i], OLD_SUFFIX));
}

bool
pair_put_back(struct pair *p)
{
	bool ok = p->has_old;

	if (p->folder != NULL)
		return folder_put_back(p);
	for (size_t i = 0; i < FILES_MAX && p->has_old; i++)
		if (p->files[i].path != NULL &&
		    rename(with(p, &p->files[i], OLD_SUFFIX),
			p->files[i].path) != 0 &&
		    errno != ENOENT)
			ok = false;
	sync_around(p);
	return ok;
}
