/* SPDX-License-Identifier: ISC */
/*
 * A folder of versions. Each pair is written to a folder of its own; then the
 * link "current" is turned to it by a rename, so that a reader sees all of the
 * old pair or all of the new one. The link "previous" stands while the program
 * has not said yes, and names the version to go back to.
 */
#include "deliver/deliver_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERSION_PREFIX "v-"

enum { TARGET_MAX = 256 };

static const char *
in(const struct pair *p, const char *name)
{
	return str_printf(p->arena, "%s/%s", p->folder, name).p;
}

/* mkdir -p; folders of ours can be entered by all, their keys be read by few */
static const char *
make_folder(struct arena *a, const char *path)
{
	char *text = str_cstr(a, str_from(path));

	for (char *s = text + 1; *s != '\0'; s++) {
		if (*s != '/')
			continue;
		*s = '\0';
		if (mkdir(text, 0755) == 0)
			(void)chmod(text, 0755);
		*s = '/';
	}
	if (mkdir(text, 0755) == 0)
		(void)chmod(text, 0755);
	else if (errno != EEXIST)
		return fail_on(a, "make the folder", path);
	return NULL;
}

/* What a link of ours points to; "" if there is none, NULL if it is no link. */
static const char *
read_link(const struct pair *p, const char *name)
{
	char target[TARGET_MAX];
	ssize_t n = readlink(in(p, name), target, sizeof(target) - 1);

	if (n < 0)
		return errno == ENOENT ? "" : NULL;
	return str_dup(p->arena, str_make(target, (size_t)n)).p;
}

/* Turn a link in one step. */
static bool
turn_link(const struct pair *p, const char *name, const char *target)
{
	const char *tmp = in(p, ".link");

	(void)unlink(tmp);
	return symlink(target, tmp) == 0 && rename(tmp, in(p, name)) == 0;
}

static void
remove_version(const struct pair *p, const char *version)
{
	const char *path = in(p, version);

	for (size_t i = 0; i < FILES_MAX; i++)
		(void)unlink(
		    str_printf(p->arena, "%s/%s", path, p->files[i].name).p);
	(void)rmdir(path);
}

/* Versions that no link names. */
static void
sweep(const struct pair *p)
{
	const char *current = read_link(p, "current");
	const char *previous = read_link(p, "previous");
	DIR *d = opendir(p->folder);
	const struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL)
		if (strncmp(e->d_name, VERSION_PREFIX,
			sizeof(VERSION_PREFIX) - 1) == 0 &&
		    current != NULL && previous != NULL &&
		    strcmp(e->d_name, current) != 0 &&
		    strcmp(e->d_name, previous) != 0)
			remove_version(p, e->d_name);
	if (d != NULL)
		closedir(d);
}

static bool
are_same(const struct pair *p)
{
	for (size_t i = 0; i < FILES_MAX; i++)
		if (!file_is_same(p, &p->files[i], p->files[i].path))
			return false;
	return true;
}

/* A version with these files, complete and synced. */
static const char *
write_version(const struct pair *p, const char **version)
{
	char *path = str_cstr(p->arena,
	    str_from(in(p, VERSION_PREFIX "XXXXXX")));
	const char *why = NULL;

	if (mkdtemp(path) == NULL)
		return fail_on(p->arena, "make a folder in", p->folder);
	*version = strrchr(path, '/') + 1;
	for (size_t i = 0; i < FILES_MAX && why == NULL; i++)
		why = file_write_new(p, &p->files[i],
		    str_printf(p->arena, "%s/%s", path, p->files[i].name).p);
	if (why == NULL && chmod(path, 0755) != 0)
		why = fail_on(p->arena, "open to readers", path);
	if (why != NULL)
		remove_version(p, *version);
	else
		folder_sync(path);
	return why;
}

const char *
folder_write(struct pair *p)
{
	const char *why = make_folder(p->arena, p->folder);
	const char *current, *previous, *version = "";

	if (why != NULL)
		return why;
	current = read_link(p, "current");
	previous = read_link(p, "previous");
	if (current == NULL || previous == NULL)
		return str_printf(p->arena,
		    "%s/current and %s/previous must be links of certloop, or "
		    "not there",
		    p->folder, p->folder)
		    .p;
	p->has_old = previous[0] != '\0';
	if (current[0] != '\0' && are_same(p))
		return NULL;
	if ((why = write_version(p, &version)) != NULL)
		return why;
	/* a previous one that stands is older than current, and was good */
	if (!p->has_old && current[0] != '\0') {
		if (!turn_link(p, "previous", current))
			return fail_on(p->arena, "make a link in", p->folder);
		p->has_old = true;
	}
	if (!turn_link(p, "current", version)) {
		why = fail_on(p->arena, "turn the link in", p->folder);
		remove_version(p, version);
		return why;
	}
	folder_sync(p->folder);
	p->changed = true;
	return NULL;
}

void
folder_keep(struct pair *p)
{
	(void)unlink(in(p, "previous"));
	folder_sync(p->folder);
	sweep(p);
}

bool
folder_put_back(struct pair *p)
{
	const char *previous = read_link(p, "previous");

	if (!p->has_old || previous == NULL || previous[0] == '\0' ||
	    !turn_link(p, "current", previous))
		return false;
	folder_keep(p);
	return true;
}
