/* SPDX-License-Identifier: ISC */
/* "Did you mean": the nearest of several names. */
#include "base/str.h"

enum { LENGTH_MAX = 40 };

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/*
 * Edit distance (Levenshtein, with the swap of two neighbours as one edit).
 * Rows are kept for the last three letters of a.
 */
static size_t
distance(struct str a, struct str b)
{
	size_t d[3][LENGTH_MAX + 1];

	for (size_t j = 0; j <= b.n; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t *row = d[i % 3], *up = d[(i - 1) % 3];
		const size_t *upper = d[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			bool same = a.p[i - 1] == b.p[j - 1];

			row[j] = least(up[j - 1] + !same,
			    least(up[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] &&
			    a.p[i - 2] == b.p[j - 1])
				row[j] = least(row[j], upper[j - 2] + 1);
		}
	}
	return d[a.n % 3][b.n];
}

/* "warning" for "warn", "cert" for "certificate" */
static bool
is_beginning(struct str a, struct str b)
{
	return a.n >= 3 && b.n >= 3 && (str_starts(a, b) || str_starts(b, a));
}

/* One edit for short names, two for longer, three for long ones. */
const char *
str_suggest(struct str s, const char *const *names, size_t n)
{
	size_t best = s.n < 4 ? 1 : s.n < 8 ? 2 : 3;
	const char *found = NULL;

	if (s.n > LENGTH_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		struct str name = str_from(names[i]);
		size_t d;

		if (name.n > LENGTH_MAX)
			continue;
		d = is_beginning(s, name) ? 1 : distance(s, name);
		if (d < name.n && (d < best || (d == best && found == NULL))) {
			best = d;
			found = names[i];
		}
	}
	return found;
}
