/* SPDX-License-Identifier: ISC */
/* Printing for people. */
#include "ctl/ctl.h"

#include <stdio.h>

void
print_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		putchar(c < ' ' || c == 0x7f ? '?' : c);
	}
}

static void
print_value(const struct json *j)
{
	switch (j->type) {
	case JSON_STRING:
	case JSON_NUMBER:
		print_text(j->str);
		break;
	case JSON_INT:
		printf("%lld", (long long)j->num);
		break;
	case JSON_BOOL:
		fputs(j->num ? "yes" : "no", stdout);
		break;
	case JSON_ARRAY:
		json_each(it, j) {
			print_value(it);
			if (it->next != NULL)
				fputs(", ", stdout);
		}
		break;
	case JSON_NULL:
	case JSON_OBJECT:
		putchar('-');
		break;
	}
}

void
print_member(const struct json *j, const char *member, const char *label)
{
	const struct json *m = json_get(j, member);

	if (m == NULL)
		return;
	printf("%-16s", label);
	print_value(m);
	putchar('\n');
}

void
print_messages(const struct json *j)
{
	json_each(m, json_get(j, "messages")) {
		print_text(json_get_str(m, "text"));
		putchar('\n');
	}
}
