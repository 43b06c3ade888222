/* SPDX-License-Identifier: ISC */
/*
 * certloopctl: one file a command, all over the admin socket. A command asks
 * the daemon, then prints for people, or the daemon's JSON as it is.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/str.h"

/* Exit codes, as certloopctl(8) lists them. */
enum ctl_exit {
	CTL_OK = 0,
	CTL_REFUSED = 1,     /* the daemon said no */
	CTL_USAGE = 2,       /* unknown command or option */
	CTL_UNREACHABLE = 3, /* no daemon at the socket, or no answer */
};

struct ctl {
	struct arena *arena;
	const char *socket;
	bool json; /* print the daemon's answer as it is */
};

struct command {
	const char *words; /* "config check" */
	const char *args;  /* for the usage: "[FILE]" */
	const char *summary;
	int min_args, max_args;
	enum ctl_exit (*run)(struct ctl *, int argc, char **argv);
};

extern const struct command status_command, config_check_command,
    config_show_command, reload_command;

/* ---- client.c */

enum { CTL_REPLY_MAX = 64 << 20, CTL_TIMEOUT = 60 /* seconds */ };

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
 * printed as the daemon's refusal and gives CTL_REFUSED.
 */
enum ctl_exit ctl_ask(struct ctl *, const char *method, const char *path,
    struct str body, unsigned also, const struct json **out);

/* ---- print.c */

/* The text without what a terminal would act on. */
void print_text(struct str);
/* "name:  value" of a member, aligned; nothing if it is not there. */
void print_member(const struct json *, const char *member, const char *label);
/* "messages" of the daemon: one line each. */
void print_messages(const struct json *);

#endif
