/* SPDX-License-Identifier: ISC */
/*
 * Which certificates a command is for: filters, keys, files of serials.
 */
#include "ctl/ctl.h"

#include <errno.h>

#include <openssl/evp.h>

#include "base/hex.h"
#include "pki/cert.h"
#include "pki/key.h"

enum { FILE_MAX = 64 << 20, NAMED_BYTES = 128 };

/* ---- files */

/* The whole of it; p is NULL after a complaint. */
static struct str
read_file(struct ctl *ctl, const char *path)
{
	struct buf b = buf_new(ctl->arena, FILE_MAX);
	bool is_stdin = strcmp(path, "-") == 0;
	FILE *f = is_stdin ? stdin : fopen(path, "r");
	const char *why = f == NULL ? strerror(errno) : NULL;
	char *room;
	size_t n = 1;

	while (why == NULL && n > 0) {
		if ((room = buf_room(&b, 65536)) == NULL) {
			why = "it is too long";
			break;
		}
		n = fread(room, 1, 65536, f);
		b.len += n;
		if (ferror(f) != 0)
			why = strerror(errno);
	}
	if (!is_stdin && f != NULL)
		(void)fclose(f);
	if (why != NULL) {
		fprintf(stderr, "certloopctl: %s: %s\n", path, why);
		return STR_NONE;
	}
	return str_make(b.len > 0 ? b.p : "", b.len);
}

bool
ctl_read_named(struct ctl *ctl, const char *path, struct bulk_named *out)
{
	struct str text = read_file(ctl, path), rest = text;
	size_t lines = 1, number = 0;

	if (text.p == NULL)
		return false;
	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n';
	out->v = arena_array(ctl->arena, struct str, lines);
	while (rest.n > 0) {
		struct str line = str_cut(&rest, '\n');
		struct str word;

		number++;
		line.n = str_find(line, '#');
		while (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		word = str_trim(line);
		if (word.n == 0)
			continue;
		if (word.n > NAMED_BYTES || !str_is_text(word)) {
			fprintf(stderr,
			    "certloopctl: %s: line %zu is no id or serial\n",
			    path, number);
			return false;
		}
		out->v[out->n++] = word;
	}
	if (out->n == 0)
		fprintf(stderr, "certloopctl: %s names no certificate\n", path);
	return out->n > 0;
}

/* The hash of the key in a PEM text: of a certificate, or a private key. */
static bool
hash_key(struct arena *a, struct str text, uint8_t out[static 32])
{
	struct str *ders, spki = STR_NONE;
	struct pki_cert cert;
	EVP_PKEY *key;
	size_t n;

	if (pki_parse_key(a, text, &key) == NULL) {
		spki = pki_write_spki(a, key);
		EVP_PKEY_free(key);
	} else if (pki_parse_pem(a, text, &ders, &n) == NULL &&
	    pki_parse_cert(a, ders[0], &cert) == NULL) {
		spki = cert.spki;
	}
	if (spki.n > 0)
		pki_spki_hash(spki, out);
	return spki.n > 0;
}

/* The value of --key, which may be a file, becomes a hash. */
static bool
resolve_key(struct ctl *ctl, const char **value)
{
	struct str text = str_from(*value), raw;
	uint8_t hash[32];

	if (text.n == 2 * sizeof(hash) && hex_decode(ctl->arena, text, &raw))
		return true;
	text = read_file(ctl, *value);
	if (text.p == NULL)
		return false;
	if (hash_key(ctl->arena, text, hash)) {
		*value = str_cstr(ctl->arena,
		    hex_encode(ctl->arena, str_make(hash, sizeof(hash))));
		return true;
	}
	fprintf(stderr,
	    "certloopctl: %s holds neither a certificate nor a private key in "
	    "PEM\n",
	    *value);
	return false;
}

bool
ctl_resolve_key(struct ctl *ctl)
{
	for (size_t i = 0; i < ctl->ngiven; i++)
		if (strcmp(ctl->given[i].option->name, "key") == 0)
			return resolve_key(ctl, &ctl->given[i].value);
	return true;
}

/* ---- filters */

/* Of these the options are that say which; NULL if none is given. */
static const char *
write_filters(struct ctl *ctl)
{
	static const char *const names[] = { "status", "profile", "issuer",
		"account", "key", "serial", "name", "exact", "marked",
		"ends-within", "ends-after", "ends-before" };
	const char *path = NULL, *value;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if ((value = ctl_option(ctl, names[i])) == NULL)
			continue;
		path = ctl_path(ctl,
		    str_printf(ctl->arena, "%s%c%s=", path != NULL ? path : "",
			path != NULL ? '&' : '?', names[i])
			.p,
		    value, "");
	}
	return path;
}

enum ctl_exit
ctl_bulk_command(struct ctl *ctl, const struct bulk_kind *kind, int argc,
    char **argv)
{
	const char *file = ctl_option(ctl, "serials"), *filters;
	bool all = ctl_option(ctl, "all") != NULL;
	struct bulk_named named = { 0 };

	if (!ctl_resolve_key(ctl))
		return CTL_USAGE;
	filters = write_filters(ctl);
	if ((argc > 0) + (file != NULL) + (filters != NULL) + all != 1) {
		fprintf(stderr,
		    "certloopctl: say which certificates: by their ids or "
		    "serials, by --serials FILE, by filters, or by --all\n");
		return CTL_USAGE;
	}
	if (file != NULL && !ctl_read_named(ctl, file, &named))
		return CTL_USAGE;
	if (argc > 0)
		named.v = arena_array(ctl->arena, struct str, (size_t)argc);
	for (int i = 0; i < argc; i++)
		named.v[named.n++] = str_from(argv[i]);
	if (all)
		filters = "?all=yes";
	return ctl_bulk(ctl, kind, filters != NULL ? filters : "", &named,
	    argc > 0 || ctl_option(ctl, "yes") != NULL);
}
