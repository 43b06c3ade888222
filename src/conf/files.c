/* SPDX-License-Identifier: ISC */
/*
 * The files of a configuration as one text. What a file includes stands in
 * the place of the line that includes it, so that all that comes later knows
 * of one text only; the pieces say which of its lines came from where.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/conf_int.h"

/* A file, while what it includes is read. */
struct source {
	const struct source *by; /* that includes it; NULL for the first */
	const char *file;
	dev_t dev;
	ino_t ino;
	unsigned depth;
	unsigned number;         /* of all that were read, from 1 on */
	struct conf_piece piece; /* its lines, for messages */
};

struct files {
	struct conf_loader *l;
	struct arena *scratch;
	struct buf out;
	int line; /* of out, in which the next byte stands */
	unsigned nfiles;
	struct conf_piece *pieces;
	size_t npieces, room;
};

static bool add_source(struct files *, struct source *, struct str text);

/* Messages are about the lines of this file from here on. */
static void
point_at(struct files *f, const struct source *s)
{
	f->l->pieces = &s->piece;
	f->l->npieces = 1;
	f->l->file_number = s->number;
}

/* ---- reading */

static bool
read_all(struct conf_loader *l, struct arena *a, FILE *f, const char *path,
    struct str *out)
{
	struct buf b = buf_new(a, CONF_FILE_MAX + 1);
	char some[4096];
	size_t n;

	while (!b.full && (n = fread(some, 1, sizeof(some), f)) > 0)
		buf_put(&b, some, n);
	*out = buf_view(&b);
	buf_char(&b, '\0');
	out->p = b.p;
	if (ferror(f))
		conf_error_of(l, path, "%s", strerror(errno));
	else if (b.full)
		conf_error_of(l, path, "larger than %d bytes", CONF_FILE_MAX);
	else
		return true;
	return false;
}

/* ---- the text */

static void
begin_piece(struct files *f, const char *file, int line)
{
	struct conf_piece *more;

	if (f->npieces == f->room) {
		f->room = f->room * 2 + 8;
		more = arena_array(f->l->arena, struct conf_piece, f->room);
		if (f->npieces > 0)
			memcpy(more, f->pieces, f->npieces * sizeof(*more));
		f->pieces = more;
	}
	f->pieces[f->npieces++] = (struct conf_piece){ .file = file,
		.from = f->line,
		.line = line };
}

/* Whole lines: what follows begins with one. */
static void
put_lines(struct files *f, struct str text)
{
	buf_str(&f->out, text);
	buf_char(&f->out, '\n');
	for (size_t i = 0; i < text.n; i++)
		f->line += text.p[i] == '\n';
	f->line++;
}

/* ---- included files */

static bool
is_being_read(const struct source *s, const struct stat *st)
{
	for (; s != NULL; s = s->by)
		if (s->dev == st->st_dev && s->ino == st->st_ino)
			return true;
	return false;
}

static bool
is_printable(const char *path)
{
	struct str s = str_from(path);

	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return str_is_text(s);
}

/* What is wrong with it, or NULL. */
static const char *
find_fault(struct files *f, const struct source *by, int fd, struct stat *st)
{
	if (fd == -1 || fstat(fd, st) == -1)
		return strerror(errno);
	if (S_ISDIR(st->st_mode))
		return strerror(EISDIR);
	if (!S_ISREG(st->st_mode))
		return "not a regular file";
	if (is_being_read(by, st))
		return "it is being read already, and would include itself "
		       "without end";
	if (f->nfiles > CONF_INCLUDED_MAX)
		return str_printf(f->l->arena,
		    "more than %d files are included", CONF_INCLUDED_MAX)
		    .p;
	return NULL;
}

static bool
add_file(struct files *f, const struct source *by,
    const struct conf_include *inc, const char *path)
{
	struct conf_loader *l = f->l;
	/* one that is no regular file shall not keep us waiting */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct arena *scratch = arena_create();
	const char *fault;
	struct str text;
	struct stat st;
	bool ok = false;
	FILE *in = NULL;

	point_at(f, by);
	if ((fault = find_fault(f, by, fd, &st)) != NULL ||
	    (in = fdopen(fd, "r")) == NULL) {
		conf_error(l, inc->line, "include of %s: %s", path,
		    fault != NULL ? fault : strerror(errno));
	} else if (read_all(l, scratch, in, path, &text)) {
		ok = add_source(f,
		    &(struct source){ .by = by,
			.file = str_dup(l->arena, str_from(path)).p,
			.dev = st.st_dev,
			.ino = st.st_ino,
			.depth = by->depth + 1 },
		    text);
	}
	if (in != NULL)
		(void)fclose(in);
	else if (fd != -1)
		close(fd);
	arena_destroy(scratch);
	return ok;
}

/* Relative to the folder of the file that includes. */
static const char *
find_path(struct files *f, const struct source *by, const char *pattern)
{
	const char *slash = strrchr(by->file, '/');

	if (pattern[0] == '/' || slash == NULL)
		return pattern;
	return str_printf(f->scratch, "%.*s%s", (int)(slash + 1 - by->file),
	    by->file, pattern)
	    .p;
}

/* A folder that is not there has no file that fits. */
static int
is_serious(const char *path, int error)
{
	(void)path;
	return error != ENOENT && error != ENOTDIR;
}

/* All that fit, by name. glob() sorts them as the locale does, which is C. */
static bool
add_matches(struct files *f, const struct source *by,
    const struct conf_include *inc, const char *pattern)
{
	glob_t g = { 0 };
	bool ok = true;
	int rc = glob(pattern, GLOB_NOESCAPE, is_serious, &g);

	point_at(f, by);
	if (rc != 0 && rc != GLOB_NOMATCH) {
		conf_error(f->l, inc->line, "include of %s: %s", pattern,
		    rc == GLOB_ABORTED ? "a folder cannot be read" :
					 "out of memory");
		ok = false;
	}
	for (size_t i = 0; rc == 0 && i < g.gl_pathc; i++) {
		if (is_printable(g.gl_pathv[i])) {
			ok = add_file(f, by, inc, g.gl_pathv[i]) && ok;
			continue;
		}
		point_at(f, by);
		conf_error(f->l, inc->line,
		    "include of %s: the name of a file is not plain text",
		    pattern);
		ok = false;
	}
	globfree(&g);
	return ok;
}

static bool
add_include(struct files *f, const struct source *by,
    const struct conf_include *inc)
{
	const char *path = find_path(f, by, inc->pattern);

	point_at(f, by);
	if (inc->pattern[0] == '\0' || !is_printable(path)) {
		conf_error(f->l, inc->line, "include needs the name of a file");
		return false;
	}
	if (by->depth == CONF_INCLUDE_DEPTH) {
		conf_error(f->l, inc->line,
		    "include of %s: files cannot include others more than %d "
		    "deep",
		    path, CONF_INCLUDE_DEPTH);
		return false;
	}
	if (strpbrk(inc->pattern, "*?[") != NULL)
		return add_matches(f, by, inc, path);
	return add_file(f, by, inc, path);
}

/* A file and, in their places, those that it includes. */
static bool
add_source(struct files *f, struct source *s, struct str text)
{
	struct conf_loader *l = f->l;
	const struct conf_include *inc;
	size_t done = 0;
	int line = 1;
	bool ok;

	s->number = ++f->nfiles;
	s->piece = (struct conf_piece){ .file = s->file, .from = 1, .line = 1 };
	point_at(f, s);
	l->text = (char *)(uintptr_t)text.p;
	l->len = text.n;
	ok = conf_scan_text(l, &inc);
	for (; inc != NULL; inc = inc->next) {
		begin_piece(f, s->file, line);
		put_lines(f, str_make(text.p + done, inc->at - done));
		done = inc->at;
		line = inc->last_line;
		ok = add_include(f, s, inc) && ok;
	}
	begin_piece(f, s->file, line);
	put_lines(f, str_make(text.p + done, text.n - done));
	return ok;
}

/* ---- all of them */

static bool
join(struct files *f, const char *path, FILE *in)
{
	struct source first = { .file = path };
	struct stat st;
	struct str text;
	bool ok;

	if (fstat(fileno(in), &st) == 0) {
		first.dev = st.st_dev;
		first.ino = st.st_ino;
	}
	if (!read_all(f->l, f->scratch, in, path, &text))
		return false;
	ok = add_source(f, &first, text);
	if (f->out.full) {
		conf_error_of(f->l, path,
		    "larger than %d bytes with all that it includes",
		    CONF_FILE_MAX);
		return false;
	}
	if (!ok)
		return false;
	f->l->text = (char *)(uintptr_t)str_cstr(f->l->arena,
	    buf_view(&f->out));
	f->l->len = f->out.len;
	return true;
}

bool
conf_read_files(struct conf_loader *l, const char *path)
{
	struct files f = { .l = l, .scratch = arena_create(), .line = 1 };
	FILE *in = fopen(path, "re");
	bool ok = false;

	f.out = buf_new(f.scratch, CONF_FILE_MAX + 2 * CONF_INCLUDED_MAX);
	if (in == NULL) {
		conf_error_of(l, path, "%s", strerror(errno));
	} else {
		ok = join(&f, path, in);
		(void)fclose(in);
	}
	l->pieces = f.pieces;
	l->npieces = f.npieces;
	l->file_number = 0;
	l->nopens = 0;
	arena_destroy(f.scratch);
	return ok;
}
