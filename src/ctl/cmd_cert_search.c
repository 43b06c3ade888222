/* SPDX-License-Identifier: ISC */
/* certloopctl cert search, cert export */
#include "ctl/ctl.h"

#include <errno.h>
#include <unistd.h>

#include "pki/cert.h"
#include "pki/key.h"

/* ---- search */

static bool
is_paging(const char *name)
{
	return strcmp(name, "limit") == 0 || strcmp(name, "cursor") == 0 ||
	    strcmp(name, "all") == 0;
}

static bool
has_filter(const struct ctl *ctl)
{
	for (size_t i = 0; i < ctl->ngiven; i++)
		if (!is_paging(ctl->given[i].option->name))
			return true;
	return false;
}

static enum ctl_exit
run_search(struct ctl *ctl, int argc, char **argv)
{
	static const struct column columns[] = {
		{ "id", "ID", COLUMN_TEXT },
		{ "status", "STATUS", COLUMN_STATUS },
		{ "serial", "SERIAL", COLUMN_TEXT },
		{ "not_after", "ENDS", COLUMN_TIME },
		{ "profile", "PROFILE", COLUMN_TEXT },
		{ "issuer", "ISSUER", COLUMN_TEXT },
		{ "names", "NAMES", COLUMN_TEXT },
		{ .member = NULL },
	};

	(void)argc;
	(void)argv;
	if (!has_filter(ctl)) {
		fputs("certloopctl: say what to look for, for example --name; "
		      "cert list shows all\n",
		    stderr);
		return CTL_USAGE;
	}
	if (!ctl_resolve_key(ctl))
		return CTL_USAGE;
	return ctl_list(ctl, "/api/v1/certificates", columns);
}

static const struct command_option search_options[] = {
	{ "name", "NAME", "with this name, or a name below it" },
	{ "exact", "NAME", "with exactly this name" },
	{ "serial", "SERIAL", "with this serial" },
	{ "key", "KEY", "with this key: SHA-256 in hex, or a PEM file" },
	{ "account", "ACCOUNT", "of this account, the last to end first" },
	{ "profile", "PROFILE", "of this profile" },
	{ "issuer", "ISSUER", "of this issuer" },
	{ "ends-within", "TIME", "that end within 12h or 30d" },
	{ "ends-after", "WHEN", "that end later: a moment, or 30d from now" },
	{ "ends-before", "WHEN", "that end earlier" },
	{ "status", "STATUS", "that are valid, expired or revoked" },
	{ "marked", "yes|no", "that are marked for renewal, or not" },
	COMMAND_LIST_OPTIONS,
	{ .name = NULL },
};

const struct command cert_search_command = {
	.words = "cert search",
	.args = "",
	.summary = "look for certificates by what they are",
	.options = search_options,
	.run = run_search,
};

/* ---- export */

/* What --format asks for; p is NULL after a complaint. */
static struct str
make_output(struct ctl *ctl, const struct json *j, const char *format)
{
	struct str pem = json_get_str(j, "certificate"), *ders;
	size_t n;

	if (strcmp(format, "pem") == 0)
		return pem;
	if (strcmp(format, "chain") == 0)
		return str_join(ctl->arena, pem, json_get_str(j, "chain"));
	if (pki_parse_pem(ctl->arena, pem, &ders, &n) == NULL)
		return ders[0];
	fputs("certloopctl: certloopd sent no certificate\n", stderr);
	return STR_NONE;
}

static enum ctl_exit
write_output(struct ctl *ctl, struct str text, const char *path)
{
	const char *why;

	if (path == NULL) {
		if (fwrite(text.p, 1, text.n, stdout) == text.n)
			return CTL_OK;
		perror("certloopctl: standard output");
		return CTL_REFUSED;
	}
	why = pki_save_text(ctl->arena, path, text, PKI_SAVE_REPLACE);
	if (why == NULL)
		return CTL_OK;
	fprintf(stderr, "certloopctl: %s\n", why);
	return CTL_REFUSED;
}

static enum ctl_exit
run_export(struct ctl *ctl, int argc, char **argv)
{
	const char *format = ctl_option(ctl, "format");
	const char *out = ctl_option(ctl, "out");
	const struct json *j;
	struct str text;
	enum ctl_exit code;

	(void)argc;
	format = format != NULL ? format : "pem";
	if (strcmp(format, "pem") != 0 && strcmp(format, "der") != 0 &&
	    strcmp(format, "chain") != 0) {
		fprintf(stderr,
		    "certloopctl: --format %s will not do: give pem, der or "
		    "chain\n",
		    format);
		return CTL_USAGE;
	}
	if (strcmp(format, "der") == 0 && out == NULL && !ctl->json &&
	    isatty(STDOUT_FILENO)) {
		fputs("certloopctl: DER is not for terminals: give --out\n",
		    stderr);
		return CTL_USAGE;
	}
	code = ctl_ask(ctl, "GET",
	    ctl_path(ctl, "/api/v1/certificates/", argv[0], "/export"), STR(""),
	    0, &j);
	if (code != CTL_OK || (ctl->json && out == NULL))
		return code;
	text = make_output(ctl, j, format);
	return text.n > 0 ? write_output(ctl, text, out) : CTL_UNREACHABLE;
}

static const struct command_option export_options[] = {
	{ "format", "FORMAT", "pem (unless said), der, or chain: all in PEM" },
	{ "out", "FILE", "into this file, which is replaced" },
	{ .name = NULL },
};

const struct command cert_export_command = {
	.words = "cert export",
	.args = "CERTIFICATE",
	.summary = "a certificate as a file, by its id or serial",
	.options = export_options,
	.min_args = 1,
	.max_args = 1,
	.run = run_export,
};
