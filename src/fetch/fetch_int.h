/* SPDX-License-Identifier: ISC */
/* What the files of fetch share: a call, and the library underneath. */
#ifndef FETCH_FETCH_INT_H
#define FETCH_FETCH_INT_H

#include "fetch/fetch.h"

#include <curl/curl.h>

#include "base/buf.h"

enum call_state {
	CALL_RESOLVING, /* dns has it */
	CALL_RUNNING,   /* the library has it */
	CALL_DONE,      /* the answer waits to be told */
};

struct fetch_call {
	struct op op; /* on the caller's task */
	LIST_ENTRY(fetch_call) entry;
	struct fetch *fetch;
	struct task task; /* of the lookup; its arena holds this struct */
	enum call_state state;
	fetch_fn *fn;
	void *arg;
	struct timer phase_timer, total_timer;
	struct deferred tell;

	/* what was asked for */
	struct str method, url_text, body, ca_pem;
	struct dns *dns;
	fetch_rule *rule;
	void *rule_arg;
	enum fetch_tls tls;
	size_t body_max;
	int64_t connect_timeout, answer_timeout;

	/* where to: target.c */
	CURLU *url;
	struct str host; /* without brackets; lower case */
	bool literal;
	unsigned port;
	struct addr addrs[DNS_ADDRS_MAX]; /* those that the rule allows */
	size_t naddrs;

	/* the library's: transfer.c */
	CURL *easy;
	CURLSH *share; /* the names that this call, and only it, may use */
	struct curl_slist *headers, *resolve;
	char text[CURL_ERROR_SIZE]; /* what the library says is wrong */
	size_t body_sent, header_len;
	bool forbidden; /* the rule refused the socket */
	struct opened {
		int fd;
		uint64_t inode; /* a number may be another's by now */
	} opened[DNS_ADDRS_MAX];
	size_t nopened;
	unsigned tls_messages; /* that the peer has sent, of all kinds */

	struct buf in;
	struct fetch_result result;
};

/* ---- fetch.c */

void call_set_phase(struct fetch_call *, enum fetch_phase);

/* It is over; why is copied. Nothing happens if it was over already. */
void call_finish(struct fetch_call *, enum fetch_error, const char *why);

/* ---- target.c */

/* Take the URL apart. NULL, or what is wrong with it. */
const char *target_parse(struct fetch_call *);

/* Keep those addresses that the rule allows; how many that are. */
size_t target_set_addrs(struct fetch_call *, const struct addr *, size_t n);

bool target_allows(const struct fetch_call *, struct addr);

/* ---- transfer.c */

/* Wipe and free a list of texts. */
void wipe_list(struct curl_slist *);

/* Start. False: the call has been finished. */
bool transfer_start(struct fetch_call *, CURLM *);

/* Cut the connection, if there is one, free what is the library's. */
void transfer_drop(struct fetch_call *, CURLM *);

/* The library is done with it: finish the call. */
void transfer_finish(struct fetch_call *, CURLcode);

/* ---- multi.c */

struct multi;

/* NULL if the library cannot be set up. */
struct multi *multi_new(struct loop *, unsigned idle_max);
void multi_free(struct multi *);
CURLM *multi_handle(struct multi *);

#endif
