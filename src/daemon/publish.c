/* SPDX-License-Identifier: ISC */
/* What local issuers publish: CRLs and OCSP, made and served from here. */
#include "daemon/daemon.h"

#include <string.h>

#include "base/id.h"
#include "log/log.h"

static void
on_revoke(void *arg, struct issuer *issuer, struct str serial)
{
	struct daemon *d = arg;

	(void)issuer;
	responder_forget(d->responder, serial);
	if (d->crls != NULL)
		crl_look(d->crls);
}

static struct issuer *
issuer_at(void *arg, size_t i)
{
	const struct daemon *d = arg;

	return i < d->nissuers ? d->issuers[i] : NULL;
}

static int64_t
guard(void *arg, struct addr peer)
{
	const struct daemon *d = arg;

	return acme_guard(d->acme, peer);
}

void
publish_make(struct daemon *d)
{
	d->responder = responder_new(
	    &(struct responder_options){ .loop = d->loop,
		.store = d->store,
		.limits = d->limits,
		.find_issuer = daemon_find_issuer,
		.issuer_at = issuer_at,
		.guard = guard,
		.arg = d });
	for (size_t i = 0; i < d->nissuers; i++)
		if (d->issuers[i]->ops->plans)
			issuer_local_on_revoke(d->issuers[i], on_revoke, d);
}

static void
on_started(void *arg)
{
	struct daemon *d = arg;

	d->published(d);
}

void
publish_begin(struct daemon *d, void (*done)(struct daemon *))
{
	d->published = done;
	responder_start(d->responder, on_started, d);
}

/* One that may not sign CRLs says so once. */
static void
warn_unable(const struct daemon *d)
{
	for (size_t i = 0; i < d->nissuers; i++)
		if (d->issuers[i]->ops->plans &&
		    !pki_ca_signs_crls(issuer_local_ca(d->issuers[i])))
			log_warn("no CRL is made: the CA certificate's "
				 "keyUsage lacks cRLSign",
			    LOG_TEXT("issuer", d->issuers[i]->name));
}

void
publish_start(struct daemon *d)
{
	struct arena *a = arena_create();

	warn_unable(d);
	d->crls = crl_start(d->loop, d->store, id_new(a), issuer_at, d);
	arena_destroy(a);
}

void
publish_look(struct daemon *d)
{
	responder_look(d->responder);
}

void
publish_stop(struct daemon *d)
{
	if (d->responder != NULL)
		responder_stop(d->responder);
	crl_stop(d->crls);
	d->crls = NULL;
}

const char *
publish_url(struct arena *a, const struct conf *c, const struct conf_issuer *ci,
    const char *what)
{
	if (c->ca_url.text.p == NULL ||
	    (strcmp(what, "crl") == 0 && ci->crl_interval == 0) ||
	    (strcmp(what, "ocsp") == 0 && !ci->ocsp))
		return NULL;
	return str_printf(a, STR_FMT "/ca/" STR_FMT "/%s",
	    STR_ARG(c->ca_url.text), STR_ARG(ci->at.name), what)
	    .p;
}
