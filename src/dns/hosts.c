/* SPDX-License-Identifier: ISC */
/* The hosts file, hosts(5): an address and its names on each line. */
#include "dns/dns_int.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20 };

struct host {
	struct str name; /* lower case */
	struct addr addr;
	size_t line; /* keeps the order of the file */
};

struct hosts {
	struct arena *arena;
	struct host *v; /* sorted by name, then by line */
	size_t n, max;
};

static int
by_name(const void *pa, const void *pb)
{
	const struct host *a = pa, *b = pb;
	int order = str_cmp(a->name, b->name);

	if (order != 0)
		return order;
	return a->line < b->line ? -1 : a->line > b->line;
}

/* The next word of a line, without the comment; empty at the end. */
static struct str
next_word(struct str *rest)
{
	size_t n = 0;
	struct str word;

	while (rest->n > 0 && strchr(" \t\r", rest->p[0]) != NULL)
		*rest = str_skip(*rest, 1);
	while (n < rest->n && strchr(" \t\r#", rest->p[n]) == NULL)
		n++;
	word = str_make(rest->p, n);
	*rest = n < rest->n && rest->p[n] == '#' ? STR_NONE :
						   str_skip(*rest, n);
	return word;
}

static void
take_line(struct hosts *h, struct str line, size_t number)
{
	struct addr addr;
	struct str word;

	if (str_find(line, '\0') < line.n ||
	    !addr_parse(next_word(&line), &addr))
		return; /* a comment, or a form that is not ours */
	while (h->n < h->max && (word = next_word(&line)).n > 0) {
		word = dns_clean_name(h->arena, word);
		if (word.p != NULL)
			h->v[h->n++] = (struct host){ .name = word,
				.addr = addr,
				.line = number };
	}
}

static bool
read_file(struct arena *a, const char *path, struct str *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	size_t n = 0, max;
	ssize_t got = 0;
	char *p;

	if (fd == -1)
		return false;
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) ||
	    st.st_size > FILE_MAX) {
		close(fd);
		return false;
	}
	max = (size_t)st.st_size;
	p = arena_alloc(a, max + 1);
	while (n < max && (got = read(fd, p + n, max - n)) > 0)
		n += (size_t)got;
	close(fd);
	*out = str_make(p, n);
	return got != -1;
}

struct hosts *
hosts_load(const char *path)
{
	struct arena *a = arena_create();
	struct hosts *h = arena_new(a, struct hosts);
	struct str text;

	h->arena = a;
	if (!read_file(a, path, &text)) {
		arena_destroy(a);
		return NULL;
	}
	h->max = text.n / 2 < DNS_HOSTS_MAX ? text.n / 2 : DNS_HOSTS_MAX;
	h->v = arena_array(a, struct host, h->max);
	for (size_t line = 0; text.n > 0; line++)
		take_line(h, str_cut(&text, '\n'), line);
	qsort(h->v, h->n, sizeof(*h->v), by_name);
	return h;
}

void
hosts_free(struct hosts *h)
{
	if (h != NULL)
		arena_destroy(h->arena);
}

/* Where the first entry for the name is, or would be. */
static size_t
find_first(const struct hosts *h, struct str name)
{
	size_t lo = 0, hi = h->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (str_cmp(h->v[mid].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

size_t
hosts_find(const struct hosts *h, struct str name, struct addr *v, size_t max)
{
	size_t n = 0;

	if (h == NULL)
		return 0;
	for (size_t i = find_first(h, name);
	     i < h->n && n < max && str_eq(h->v[i].name, name); i++)
		v[n++] = h->v[i].addr;
	return n;
}
