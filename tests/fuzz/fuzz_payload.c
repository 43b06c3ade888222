/* SPDX-License-Identifier: ISC */
/*
 * ACME payloads: the first byte chooses the request, the rest is its payload,
 * as if the signature over it had been good. Each check comes back with a
 * problem that can be told, or without one and with its state left behind.
 */
#include "fuzz.h"

#include "acme/acme_int.h"
#include "base/json.h"
#include "log/log.h"
#include "seeds_key.h"

static const struct acme_route *const routes[] = { &new_account_route,
	&new_order_route, &new_authz_route, &finalize_route, &revoke_route,
	&key_change_route, &account_route, &authz_route };

enum { ROUTES = sizeof(routes) / sizeof(routes[0]) };

static const char config[] = "public_url = \"https://acme.example\"\n"
			     "listener acme { address = \"127.0.0.1:14000\" }\n"
			     "issuer local { type = local }\n"
			     "profile default {\n"
			     "  issuer = local\n"
			     "  auth_mode = trust_authenticated\n"
			     "  open = true\n"
			     "}\n";

/* A server with one profile, of which checks see no more than this. */
static struct acme *
make_acme(struct acme_profile *p)
{
	static const struct issuer_ops ops = { .plans = false };
	static struct issuer issuer = { .ops = &ops, .refs = 1 };
	static struct acme_setup setup;
	static struct acme acme;
	struct conf_errors errors;
	struct arena *a = arena_create(); /* for ever */

	log_set(&(struct log_options){ .level = LOG_ERROR });
	acme.loop = loop_new();
	acme.admission = admission_new(16);
	acme.setup = &setup;
	setup.arena = a;
	setup.conf = conf_load_text(a, "fuzz", str_from(config), &errors);
	PROMISE(setup.conf != NULL);
	setup.public_url = STR("https://acme.example");
	*p = (struct acme_profile){ .conf = &setup.conf->profiles[0],
		.issuer = &issuer,
		.name = STR("default"),
		.base = STR("https://acme.example/acme/profile/default") };
	setup.profiles = p;
	setup.nprofiles = 1;
	return &acme;
}

static void
check(struct acme *acme, const struct acme_profile *p, struct arena *a,
    const struct acme_route *route, const struct json *payload)
{
	struct req *req = arena_new(a, struct req);
	struct areq *q = arena_new(a, struct areq);
	const struct problem *pr;

	PROMISE(jwk_parse_text(a, str_from(SEEDS_JWK), &q->jwk) == NULL);
	req->task.arena = a;
	q->req = req;
	q->arena = a;
	q->acme = acme;
	q->setup = acme->setup;
	q->profile = p;
	q->payload = payload;
	q->key = q->jwk.key;
	q->kind = q->jwk.kind;
	q->jws.url = STR("https://acme.example/acme/profile/default/"
			 "key-change");
	if (route != &new_account_route) {
		q->account = STR("0123456789abcdefghijABCDEFGHIJ");
		q->jws.kid = acme_url(a, p, "account", q->account);
	}
	pr = route->check(q);
	if (pr != NULL) {
		PROMISE(problem_status(pr->type) >= 400);
		PROMISE(str_is_text(problem_json(a, pr)));
	} else {
		PROMISE(q->ntakes <= ACME_TAKES_MAX);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct acme *acme;
	static struct acme_profile profile;
	const struct acme_route *route;
	const struct json *payload;
	struct arena *a;
	const char *why;

	if (acme == NULL)
		acme = make_acme(&profile);
	if (size == 0)
		return 0;
	a = arena_create();
	route = routes[data[0] % ROUTES];
	payload = json_parse(a, str_make(data + 1, size - 1), &why);
	if (payload != NULL && payload->type == JSON_OBJECT &&
	    route->check != NULL)
		check(acme, &profile, a, route, payload);
	arena_destroy(a);
	return 0;
}
