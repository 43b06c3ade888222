/* SPDX-License-Identifier: ISC */
/* Writing, reading and comparing API keys. */
#include "admin/apikey.h"

#include <assert.h>

#include <openssl/mem.h>
#include <openssl/sha.h>

#include "base/b64url.h"
#include "base/id.h"

enum { SECRET_TEXT_LEN = B64URL_LEN(APIKEY_SECRET_LEN) };

static_assert(sizeof(APIKEY_PREFIX) - 1 + ID_LEN + 1 + SECRET_TEXT_LEN ==
	APIKEY_TEXT_LEN,
    "prefix, id, dot, secret");

static void
hash_secret(const uint8_t secret[static APIKEY_SECRET_LEN],
    struct apikey_hash *out)
{
	SHA256(secret, APIKEY_SECRET_LEN, out->bytes);
}

struct str
apikey_new(struct arena *a, struct str id, struct apikey_hash *hash)
{
	uint8_t secret[APIKEY_SECRET_LEN];
	char text[SECRET_TEXT_LEN];
	struct str key;
	size_t n;

	id_random(secret, sizeof(secret));
	hash_secret(secret, hash);
	n = b64url_write(text, str_make(secret, sizeof(secret)));
	key = str_printf(a, APIKEY_PREFIX STR_FMT ".%.*s", STR_ARG(id), (int)n,
	    text);
	OPENSSL_cleanse(secret, sizeof(secret));
	OPENSSL_cleanse(text, sizeof(text));
	return key;
}

bool
apikey_parse(struct str text, struct str *id, struct apikey_hash *hash)
{
	uint8_t secret[APIKEY_SECRET_LEN];
	struct str rest;

	if (text.n != APIKEY_TEXT_LEN || !str_starts(text, STR(APIKEY_PREFIX)))
		return false;
	rest = str_skip(text, sizeof(APIKEY_PREFIX) - 1);
	*id = str_make(rest.p, ID_LEN);
	rest = str_skip(rest, ID_LEN);
	if (!id_is_valid(*id) || rest.p[0] != '.' ||
	    !b64url_decode_exact(str_skip(rest, 1), secret, sizeof(secret)))
		return false;
	hash_secret(secret, hash);
	OPENSSL_cleanse(secret, sizeof(secret));
	return true;
}

bool
apikey_is(const struct apikey_hash *hash, struct str stored)
{
	return stored.n == APIKEY_HASH_LEN &&
	    CRYPTO_memcmp(hash->bytes, stored.p, APIKEY_HASH_LEN) == 0;
}

bool
apikey_of_header(struct str value, struct str *key)
{
	struct str rest = value;

	*key = STR("");
	if (value.p == NULL || !str_case_eq(str_cut(&rest, ' '), STR("Bearer")))
		return false;
	*key = str_trim(rest);
	return true;
}

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

bool
apikey_is_name(struct str s)
{
	if (s.n == 0 || s.n > APIKEY_NAME_MAX || id_is_valid(s) ||
	    s.p[0] == '.' || s.p[0] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_name_char(s.p[i]))
			return false;
	return true;
}
