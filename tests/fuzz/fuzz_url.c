/* SPDX-License-Identifier: ISC */
/*
 * URLs: of requests that we make (a redirect can say any), and of the database
 * (names in it are looked up here, by nobody). What is taken apart is within
 * its bounds; what is refused says why.
 */
#include "fuzz.h"

#include <netdb.h>
#include <string.h>

#include "fetch/fetch_int.h"
#include "store/pg_int.h"

/* In the place of the library's: no fuzzer asks anybody for names. */
int
getaddrinfo(const char *name, const char *service, const struct addrinfo *h,
    struct addrinfo **out)
{
	(void)name;
	(void)service;
	(void)h;
	*out = NULL;
	return EAI_NONAME;
}

static void
check_target(struct arena *a, struct str text)
{
	struct fetch_call call = { .url_text = text };
	const char *why;

	task_init(&call.task);
	call.url_text = str_from(str_cstr(call.task.arena, text));
	call.url_text.n = text.n;
	if ((why = target_parse(&call)) != NULL) {
		PROMISE(strlen(why) > 0);
	} else {
		PROMISE(call.host.n > 0 && call.host.n <= DNS_NAME_MAX);
		PROMISE(call.port > 0 && call.port < 65536);
		PROMISE(str_find(call.host, '@') == call.host.n);
		PROMISE(str_find(call.host, '/') == call.host.n);
	}
	curl_url_cleanup(call.url);
	task_end(&call.task);
	(void)a;
}

static void
check_database(struct arena *a, struct str text)
{
	const char *why = NULL, *hosts, *ports;
	struct pg_params *p;

	if (str_find(text, '\0') < text.n)
		return; /* it comes from a file of text */
	p = pg_params_new(a, str_cstr(a, text), 5000000, &why);
	if (p == NULL) {
		PROMISE(why != NULL && strlen(why) > 0);
		return;
	}
	PROMISE(p->n <= PG_PARAMS_MAX && p->keys[p->n] == NULL);
	hosts = pg_get_param(p, "host");
	ports = pg_get_param(p, "port");
	PROMISE(hosts == NULL || ports == NULL || strlen(ports) < 16384);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_create();

	check_target(a, str_make(data, size));
	if (size <= 4096)
		check_database(a, str_make(data, size));
	arena_destroy(a);
	return 0;
}
