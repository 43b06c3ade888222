/* SPDX-License-Identifier: ISC */
/*
 * The flattened JSON serialization of JWS, RFC 7515 section 7.2.2, with the
 * rules of RFC 8555 section 6.2 on what the protected header holds. Signing
 * and verifying are in sign.c.
 */
#include "jose/jws.h"

#include "base/b64url.h"
#include "jose/jose_int.h"

/* What a use demands of the protected header. */
struct rule {
	const struct str *algs;
	size_t nalgs;
	bool jwk, kid; /* may there be one? exactly one there must be */
	bool nonce;    /* must there be one? otherwise there must be none */
	const char *what;
};

static const struct str signatures[] = {
	{ .p = "RS256", .n = 5 },
	{ .p = "ES256", .n = 5 },
	{ .p = "ES384", .n = 5 },
	{ .p = "ES512", .n = 5 },
	{ .p = "EdDSA", .n = 5 },
};

static const struct str macs[] = {
	{ .p = "HS256", .n = 5 },
	{ .p = "HS384", .n = 5 },
	{ .p = "HS512", .n = 5 },
};

enum {
	NSIGNATURES = sizeof(signatures) / sizeof(signatures[0]),
	NMACS = sizeof(macs) / sizeof(macs[0]),
};

static const struct rule rules[] = {
	[JWS_REQUEST] = { .algs = signatures,
	    .nalgs = NSIGNATURES,
	    .jwk = true,
	    .kid = true,
	    .nonce = true,
	    .what = "the JWS" },
	[JWS_KEY_CHANGE] = { .algs = signatures,
	    .nalgs = NSIGNATURES,
	    .jwk = true,
	    .what = "the inner JWS" },
	[JWS_BINDING] = { .algs = macs,
	    .nalgs = NMACS,
	    .kid = true,
	    .what = "the external account binding" },
};

/* A JWS on its way in. */
struct reader {
	struct arena *arena;
	const struct rule *rule;
	struct jws *out;
};

static const struct problem *
malformed(const struct reader *r, const char *why)
{
	return problem_new(r->arena, PROBLEM_MALFORMED, "%s %s", r->rule->what,
	    why);
}

/* ---- algorithms */

const char *
jws_alg_name(enum jws_alg alg)
{
	return alg < JWS_HS256 ? signatures[alg].p : macs[alg - JWS_HS256].p;
}

static const struct problem *
read_alg(const struct reader *r)
{
	struct str alg = json_get_str(r->out->header, "alg");
	const struct rule *rule = r->rule;
	struct problem *pr;

	if (alg.p == NULL)
		return malformed(r, "lacks a string \"alg\" in its header");
	for (size_t i = 0; i < rule->nalgs; i++)
		if (str_eq(alg, rule->algs[i])) {
			r->out->alg = (enum jws_alg)(
			    i + (rule->algs == macs ? JWS_HS256 : JWS_RS256));
			return NULL;
		}
	pr = problem_new(r->arena, PROBLEM_BAD_SIGNATURE_ALGORITHM,
	    "%s has the algorithm \"" STR_FMT "\"; see \"algorithms\" for "
	    "those that are accepted",
	    rule->what, STR_ARG(str_show(r->arena, alg, 32)));
	pr->algorithms = rule->algs;
	pr->nalgorithms = rule->nalgs;
	return pr;
}

/* ---- the protected header */

/* A string of 1 to max bytes. */
static bool
read_text(const struct json *header, const char *name, size_t max,
    struct str *out)
{
	*out = json_get_str(header, name);
	return out->n > 0 && out->n <= max;
}

static const struct problem *
read_key(const struct reader *r)
{
	const struct json *jwk = json_get(r->out->header, "jwk");
	const struct json *kid = json_get(r->out->header, "kid");
	struct str alg;

	if (jwk != NULL && kid != NULL)
		return malformed(r, "has both \"jwk\" and \"kid\"");
	if (jwk == NULL && kid == NULL)
		return malformed(r,
		    r->rule->jwk ?
			(r->rule->kid ? "has neither \"jwk\" nor \"kid\"" :
					"lacks a \"jwk\"") :
			"lacks a \"kid\"");
	if (jwk == NULL) {
		if (!r->rule->kid)
			return malformed(r, "must have a \"jwk\", not a kid");
		if (!read_text(r->out->header, "kid", JWS_KID_MAX,
			&r->out->kid))
			return malformed(r,
			    "has a \"kid\" that is no string "
			    "of 1 to 1024 bytes");
		return NULL;
	}
	if (!r->rule->jwk)
		return malformed(r, "must have a \"kid\", not a jwk");
	if (jwk->type != JSON_OBJECT)
		return malformed(r, "has a \"jwk\" that is no object");
	alg = json_get_str(jwk, "alg");
	if (alg.p != NULL && !str_is(alg, jws_alg_name(r->out->alg)))
		return malformed(r,
		    "has an \"alg\" other than that of its "
		    "jwk");
	r->out->jwk = jwk;
	return NULL;
}

static const struct problem *
read_nonce(const struct reader *r)
{
	const struct json *nonce = json_get(r->out->header, "nonce");
	struct str raw;

	if (!r->rule->nonce)
		return nonce != NULL ? malformed(r, "must not have a nonce") :
				       NULL;
	if (nonce == NULL)
		return malformed(r, "lacks a \"nonce\"");
	if (!read_text(r->out->header, "nonce", JWS_NONCE_MAX,
		&r->out->nonce) ||
	    !b64url_decode(r->arena, r->out->nonce, &raw))
		return malformed(r, "has a \"nonce\" that is not base64url");
	return NULL;
}

/* RFC 7515 section 4.1.11 and RFC 7797: nothing that changes the meaning. */
static const struct problem *
check_extensions(const struct reader *r)
{
	if (json_get(r->out->header, "crit") != NULL)
		return malformed(r,
		    "has \"crit\", but no extension is known "
		    "here");
	if (json_get(r->out->header, "b64") != NULL)
		return malformed(r, "has \"b64\", which is not known here");
	return NULL;
}

static const struct problem *
read_header(const struct reader *r)
{
	struct str text;
	const struct problem *pr;
	const char *why;

	if (r->out->protected_raw.n > JWS_PROTECTED_MAX)
		return malformed(r,
		    "has a protected header of more than 8192 "
		    "bytes");
	if (!b64url_decode(r->arena, r->out->protected_raw, &text))
		return malformed(r,
		    "has a \"protected\" that is not "
		    "base64url");
	r->out->header = json_parse(r->arena, text, &why);
	if (r->out->header == NULL)
		return problem_new(r->arena, PROBLEM_MALFORMED,
		    "the protected header of %s: %s", r->rule->what, why);
	if (r->out->header->type != JSON_OBJECT)
		return malformed(r,
		    "has a protected header that is no "
		    "object");
	if ((pr = check_extensions(r)) != NULL || (pr = read_alg(r)) != NULL ||
	    (pr = read_key(r)) != NULL || (pr = read_nonce(r)) != NULL)
		return pr;
	/* an empty one is there, and wrong: RFC 8555 section 6.4 */
	r->out->url = json_get_str(r->out->header, "url");
	if (r->out->url.p == NULL || r->out->url.n > JWS_URL_MAX)
		return malformed(r,
		    "lacks a \"url\" of at most 2048 bytes in "
		    "its header");
	return NULL;
}

/* ---- the serialization */

static const struct problem *
read_members(const struct reader *r, const struct json *j)
{
	struct str signature = json_get_str(j, "signature");

	r->out->protected_raw = json_get_str(j, "protected");
	r->out->payload_raw = json_get_str(j, "payload");
	if (json_get(j, "signatures") != NULL)
		return malformed(r,
		    "must be in the flattened serialization, "
		    "with one signature");
	if (json_get(j, "header") != NULL)
		return malformed(r, "must not have an unprotected header");
	if (r->out->protected_raw.p == NULL || r->out->payload_raw.p == NULL ||
	    signature.p == NULL)
		return malformed(r,
		    "lacks one of the strings \"protected\", "
		    "\"payload\" and \"signature\"");
	if (!b64url_decode(r->arena, r->out->payload_raw, &r->out->payload))
		return malformed(r, "has a \"payload\" that is not base64url");
	if (signature.n > B64URL_LEN(JWS_SIGNATURE_MAX))
		return malformed(r, "has a signature of more than 512 bytes");
	if (!b64url_decode(r->arena, signature, &r->out->signature))
		return malformed(r,
		    "has a \"signature\" that is not "
		    "base64url");
	return NULL;
}

const struct problem *
jws_parse_json(struct arena *a, const struct json *j, enum jws_use use,
    struct jws *out)
{
	struct reader r = { .arena = a, .rule = &rules[use], .out = out };
	const struct problem *pr;

	*out = (struct jws){ .header = NULL };
	if (j == NULL || j->type != JSON_OBJECT)
		return malformed(&r, "is not a JSON object");
	if ((pr = read_members(&r, j)) != NULL ||
	    (pr = read_header(&r)) != NULL)
		return pr;
	out->signing_input = jose_signing_input(a, out->protected_raw,
	    out->payload_raw);
	return NULL;
}

const struct problem *
jws_parse(struct arena *a, struct str body, enum jws_use use, struct jws *out)
{
	const struct json *j;
	const char *why;

	if (body.n > JWS_BODY_MAX)
		return problem_new(a, PROBLEM_TOO_LARGE,
		    "%s has more than 65536 bytes", rules[use].what);
	if ((j = json_parse(a, body, &why)) == NULL)
		return problem_new(a, PROBLEM_MALFORMED, "%s: %s",
		    rules[use].what, why);
	return jws_parse_json(a, j, use, out);
}
