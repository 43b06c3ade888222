/* SPDX-License-Identifier: ISC */
/*
 * certloopctl: one file a group of commands, all over the admin socket, or by
 * TLS with an API key. A command asks the daemon, then prints for people, or the
 * daemon's JSON.
 *
 * To add a command:
 *
 *  1. A struct command in src/ctl/cmd_X.c: its words, arguments, options,
 *     and a run function. A list is one call of ctl_list with its columns; a
 *     single object is ctl_ask, then print_fields.
 *  2. Declare it here, list it in commands.c.
 *  3. Its entry in man/certloopctl.8, with every option, and an example; its
 *     words in contrib/completion/certloopctl (scripts/check-options compares
 *     all of them with the table).
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <stdbool.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/str.h"
#include "ctl/table.h"

/* Exit codes, as certloopctl(8) lists them. */
enum ctl_exit {
	CTL_OK = 0,
	CTL_REFUSED = 1,     /* the daemon said no */
	CTL_USAGE = 2,       /* unknown command or option */
	CTL_UNREACHABLE = 3, /* no daemon there, or no answer */
	CTL_NOT_FOUND = 4,   /* there is no such object */
	CTL_FORBIDDEN = 5,   /* this user, or this API key, may nothing */
	CTL_SCOPE = 6,       /* the API key's scope does not allow this */
};

/* ---- commands */

struct ctl;

/* --NAME VALUE, or --NAME=VALUE. */
struct command_option {
	const char *name;
	const char *value; /* what it is called in the usage; NULL: a switch */
	const char *help;
};

struct command {
	const char *words; /* "config check" */
	const char *args;  /* for the usage: "[FILE]" */
	const char *summary;
	const struct command_option *options; /* up to one without a name;
					       * NULL: none */
	int min_args, max_args;
	enum ctl_exit (*run)(struct ctl *, int argc, char **argv);
};

/* What every list takes, beside its filters. */
/* clang-format off */
#define COMMAND_LIST_OPTIONS \
	{ "limit", "N", "how many rows, 50 unless said" }, \
	{ "cursor", "CURSOR", "go on where an earlier list ended" }, \
	{ "all", NULL, "every row, however many there are" }
/* clang-format on */

/* What all commands take that change many certificates. */
/* clang-format off */
#define COMMAND_WHICH_OPTIONS \
	{ "profile", "PROFILE", "those of this profile" }, \
	{ "issuer", "ISSUER", "those of this issuer" }, \
	{ "account", "ACCOUNT", "those of this account" }, \
	{ "key", "KEY", "with this key: SHA-256 in hex, or a PEM file" }, \
	{ "name", "NAME", "with this name, or a name below it" }, \
	{ "exact", "NAME", "with exactly this name" }, \
	{ "ends-within", "TIME", "that end within 12h or 30d" }, \
	{ "ends-after", "WHEN", "that end later: a moment, or 30d from now" }, \
	{ "ends-before", "WHEN", "that end earlier" }, \
	{ "serials", "FILE", "whose serials or ids are its lines; -: input" }, \
	{ "all", NULL, "each one" }, \
	{ "yes", NULL, "do it, not only count them" }
/* clang-format on */

/* commands.c: all of them, NULL-terminated */
extern const struct command *const ctl_commands[];

extern const struct command status_command, config_check_command,
    config_show_command, drain_command, reload_command;
extern const struct command account_list_command, account_show_command,
    account_deactivate_command;
extern const struct command apikey_add_command, apikey_list_command,
    apikey_remove_command;
extern const struct command eab_add_command, eab_list_command, eab_show_command,
    eab_revoke_command;
extern const struct command order_list_command, order_show_command;
extern const struct command audit_search_command, audit_tail_command;
extern const struct command cert_list_command, cert_show_command,
    cert_revoke_command, cert_mark_command, cert_unmark_command,
    cert_search_command, cert_export_command;
extern const struct command issuer_list_command, issuer_show_command,
    issuer_test_command;
extern const struct command loop_list_command, loop_show_command,
    loop_renew_command, loop_pause_command, loop_resume_command;
extern const struct command loop_add_command, loop_set_command,
    loop_remove_command, loop_asked_command;
extern const struct command limit_show_command, limit_reset_command,
    gc_run_command, db_status_command;
extern const struct command limit_override_list_command,
    limit_override_set_command, limit_override_remove_command;

enum { CTL_OPTIONS_MAX = 24, CTL_NAMED_MAX = 1000 };

struct ctl {
	struct arena *arena;
	const char *socket;
	const char *server;      /* "https://HOST:PORT" instead; NULL: none */
	const char *host, *port; /* of it */
	const char *key;         /* the API key for it */
	const char *ca_file;     /* whom to trust; NULL: the system's roots */
	struct ssl_ctx_st *tls;  /* made with the first connection */
	bool json;               /* print the daemon's answer as it is */
	bool colour; /* standard output is a terminal that has them */
	int64_t now; /* usec since 1970 */
	struct {
		const struct command_option *option;
		const char *value; /* "" for a switch */
	} given[CTL_OPTIONS_MAX];
	size_t ngiven;
};

/* The value of an option of the command, NULL if it was not given. */
const char *ctl_option(const struct ctl *, const char *name);

/* "90m", "36h", "30d" from now on as RFC 3339 has it; else the text itself. */
struct str ctl_moment(struct ctl *, const char *text);

/* ---- tls.c. All but the last: false after a complaint. */

bool ctl_use_server(struct ctl *, const char *url);
bool ctl_read_key(struct ctl *, const char *path);
bool ctl_take_key(struct ctl *, const char *text);
void ctl_free_tls(struct ctl *);

/* ---- help.c */

void help_print(FILE *, const char *usage);
void help_print_command(FILE *, const struct command *);
/* The commands whose first word this is; false if there are none. */
bool help_print_group(FILE *, const char *word);
/* To standard error: there is no such command; did you mean ... */
void help_suggest_command(struct ctl *, int argc, char **argv);
void help_suggest_option(const struct command *, struct str given);

/* ---- client.c */

enum {
	CTL_REPLY_MAX = 64 << 20,
	CTL_PATH_MAX = 14000, /* the daemon's bound is 16 KiB, with header */
	CTL_TIMEOUT = 60,     /* seconds */
};

struct reply {
	unsigned status;
	struct str body;
};

/*
 * One request to the daemon. CTL_OK: *out is filled, whatever its status.
 * Otherwise the reason was printed to standard error.
 */
enum ctl_exit ctl_request(struct ctl *, const char *method, const char *path,
    struct str body, struct reply *out);

/*
 * The same for answers in JSON: anything but 2xx (or `also`, 0 for none) is
 * printed as the daemon's refusal and gives CTL_REFUSED, CTL_NOT_FOUND or
 * CTL_FORBIDDEN. Nothing is printed otherwise.
 */
enum ctl_exit ctl_fetch(struct ctl *, const char *method, const char *path,
    struct str body, unsigned also, const struct json **out);

/* The same, and with --json the answer is printed as it is. */
enum ctl_exit ctl_ask(struct ctl *, const char *method, const char *path,
    struct str body, unsigned also, const struct json **out);

/* The reply is a refusal: say why; the code for it. */
enum ctl_exit ctl_refused(const struct reply *, const struct json *);

/* The argument, escaped for a URL, between the other two. */
const char *ctl_path(struct ctl *, const char *before, const char *argument,
    const char *after);

/* PATH?name=value&... of the options that were given; a switch is left out,
 * so are limit and cursor. */
const char *ctl_query(struct ctl *, const char *path);

/* A JSON object with one text. */
struct str ctl_body(struct ctl *, const char *name, const char *value);

/* ---- list.c */

/*
 * A list command: page after page of path with the options as filters, as a
 * table with these columns or, with --json, as one document
 * {"items": [...], "next": ...}. What comes after it is told on standard
 * error.
 */
enum ctl_exit ctl_list(struct ctl *, const char *path, const struct column *);

/* The same, but with --json each row is a document in a line of its own. */
enum ctl_exit ctl_list_lines(struct ctl *, const char *path,
    const struct column *);

/* A value as JSON, and the end of the line. */
void ctl_print_line(const struct json *);

/* ---- which.c: the certificates that a command is for */

/* As they were named: ids and serials. */
struct bulk_named {
	struct str *v;
	size_t n;
};

/*
 * The lines of a file ("-": standard input) that hold an id or a serial; "#"
 * begins a comment. False after a complaint, also if there is none.
 */
bool ctl_read_named(struct ctl *, const char *path, struct bulk_named *out);

/*
 * If --key names a file, the hash of its key takes its place. False after a
 * complaint.
 */
bool ctl_resolve_key(struct ctl *);

/* What is done to many certificates. */
struct bulk_kind {
	const char *name; /* in the path: "mark" */
	const char *done; /* "marked" */
	/* more members of the request; may be NULL */
	void (*write_more)(struct ctl *, struct json_writer *);
};

/* A command with COMMAND_WHICH_OPTIONS. Those named by arguments need no
 * --yes. */
enum ctl_exit ctl_bulk_command(struct ctl *, const struct bulk_kind *, int argc,
    char **argv);

/* ---- bulk.c */

/*
 * Count them and, if sure, do it: those that are named, or those that fit the
 * filters ("?name=value&..."; "" for none).
 */
enum ctl_exit ctl_bulk(struct ctl *, const struct bulk_kind *,
    const char *filters, const struct bulk_named *, bool sure);

/* ---- print.c */

/* The text without what a terminal would act on. */
void print_text(struct str);
/* One line for each column: title and value; nothing for what is not there
 * or null. */
void print_fields(struct ctl *, const struct json *, const struct column *);
/* An array of objects as a table under a heading; nothing if it is empty. */
void print_rows(struct ctl *, const char *heading, const struct json *,
    const struct column *);
/* "messages" of the daemon: one line each. */
void print_messages(const struct json *);

/* The cells of one row: text for people, and how to paint it. */
void print_cells(struct ctl *, const struct json *, const struct column *,
    struct cell *);
void print_table_row(struct ctl *, struct table *, const struct cell *);

#endif
