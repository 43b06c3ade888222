/* SPDX-License-Identifier: ISC */
/*
 * Issuers: each type has options of its own, and one of another type is told
 * rather than ignored. And the certificates of our own listeners need an
 * issuer that is there when nothing else is.
 */
#include <string.h>

#include "base/when.h"
#include "conf/conf_int.h"

/* Vault's own default of a role's not_before_duration. */
#define VAULT_BACKDATE (30 * WHEN_SECOND)

enum { RESPONDER_PARTS = 3 };

static const int local_only[] = { CONF_AT_ISSUER_certificate,
	CONF_AT_ISSUER_key, CONF_AT_ISSUER_key_passphrase_file,
	CONF_AT_ISSUER_chain, CONF_AT_ISSUER_alternate_chain,
	CONF_AT_ISSUER_ca_issuers_url, CONF_AT_ISSUER_ocsp_url,
	CONF_AT_ISSUER_crl_url, CONF_AT_ISSUER_crl_interval,
	CONF_AT_ISSUER_crl_lifetime, CONF_AT_ISSUER_crl_shards,
	CONF_AT_ISSUER_ocsp, CONF_AT_ISSUER_ocsp_lifetime,
	CONF_AT_ISSUER_ocsp_responder_lifetime };

static const int vault_only[] = { CONF_AT_ISSUER_address, CONF_AT_ISSUER_mount,
	CONF_AT_ISSUER_role, CONF_AT_ISSUER_namespace, CONF_AT_ISSUER_ca_file,
	CONF_AT_ISSUER_token_file, CONF_AT_ISSUER_token_env,
	CONF_AT_ISSUER_role_id, CONF_AT_ISSUER_secret_id_file,
	CONF_AT_ISSUER_auth_mount, CONF_AT_ISSUER_ttl, CONF_AT_ISSUER_timeout,
	CONF_AT_ISSUER_max_requests, CONF_AT_ISSUER_max_queued,
	CONF_AT_ISSUER_breaker_failures, CONF_AT_ISSUER_breaker_wait };

static void
refuse_others(struct conf_loader *l, const struct conf_issuer *s,
    const int *options, size_t n, const char *theirs, const char *ours)
{
	for (size_t i = 0; i < n; i++)
		if (conf_is_given(&s->at, options[i]))
			conf_error(l, conf_line_of(&s->at, options[i]),
			    "issuer %s: %s is an option of type = %s, but this "
			    "issuer is of type %s",
			    s->at.name.p,
			    conf_kinds[CONF_ISSUER].rows[options[i]].name,
			    theirs, ours);
}

/*
 * It gets a successor when half of its life is over, and what it signed last
 * must be good within the other half.
 */
static void
check_responder(struct conf_loader *l, struct conf_issuer *s)
{
	int64_t least = RESPONDER_PARTS * s->ocsp_lifetime;

	if (s->ocsp_responder_lifetime == 0 ||
	    s->ocsp_responder_lifetime >= least)
		return;
	if (!conf_is_given(&s->at, CONF_AT_ISSUER_ocsp_responder_lifetime))
		s->ocsp_responder_lifetime = least;
	else
		conf_error(l,
		    conf_line_of(&s->at,
			CONF_AT_ISSUER_ocsp_responder_lifetime),
		    "issuer %s: ocsp_responder_lifetime must be 3 times "
		    "ocsp_lifetime or more, or 0: answers are good no longer "
		    "than the certificate that signed them",
		    s->at.name.p);
}

static void
check_local(struct conf_loader *l, struct conf_issuer *s)
{
	refuse_others(l, s, vault_only,
	    sizeof(vault_only) / sizeof(vault_only[0]), "vault", "local");
	if ((s->certificate.n > 0) != (s->key.n > 0))
		conf_error(l,
		    conf_line_of(&s->at,
			s->key.n > 0 ? CONF_AT_ISSUER_key :
				       CONF_AT_ISSUER_certificate),
		    "issuer %s: certificate and key need each other; without "
		    "both the daemon makes a CA of its own",
		    s->at.name.p);
	if (s->chain.n > 0 && s->certificate.n == 0)
		conf_error(l, conf_line_of(&s->at, CONF_AT_ISSUER_chain),
		    "issuer %s: chain needs certificate and key", s->at.name.p);
	if (s->alternate_chain.n > 0 && s->certificate.n == 0)
		conf_error(l,
		    conf_line_of(&s->at, CONF_AT_ISSUER_alternate_chain),
		    "issuer %s: alternate_chain needs certificate and key",
		    s->at.name.p);
	if (s->key_passphrase_file.n > 0 && s->key.n == 0)
		conf_error(l,
		    conf_line_of(&s->at, CONF_AT_ISSUER_key_passphrase_file),
		    "issuer %s: key_passphrase_file needs key", s->at.name.p);
	if (s->crl_interval >= s->crl_lifetime)
		conf_error(l, conf_line_of(&s->at, CONF_AT_ISSUER_crl_interval),
		    "issuer %s: crl_interval must be less than crl_lifetime, "
		    "or the next CRL comes too late",
		    s->at.name.p);
	check_responder(l, s);
}

/* A part of a path at Vault, which is sent as it is. */
static bool
is_plain(struct str s, bool slashes)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') &&
		    !(c >= 'A' && c <= 'Z') && strchr("-_.", c) == NULL &&
		    !(c == '/' && slashes && i > 0 && i + 1 < s.n))
			return false;
	}
	return !str_starts(s, STR("."));
}

static void
check_path(struct conf_loader *l, const struct conf_issuer *s, int option,
    struct str value, bool slashes)
{
	if (!is_plain(value, slashes))
		conf_error(l, conf_line_of(&s->at, option),
		    "issuer %s: %s = \"" STR_FMT "\" has a character that is "
		    "not a letter, a digit or one of -_.%s",
		    s->at.name.p, conf_kinds[CONF_ISSUER].rows[option].name,
		    STR_ARG(conf_shown(l->arena, value)),
		    slashes ? "/ (inside)" : "");
}

/* Of the environment, as everybody writes them. */
static bool
is_variable(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= 'A' && s.p[i] <= 'Z') && s.p[i] != '_' &&
		    !(s.p[i] >= '0' && s.p[i] <= '9' && i > 0))
			return false;
	return true;
}

static void
check_vault(struct conf_loader *l, struct conf_issuer *s)
{
	refuse_others(l, s, local_only,
	    sizeof(local_only) / sizeof(local_only[0]), "local", "vault");
	if (s->address.text.p == NULL || s->role.n == 0 ||
	    (s->token_file.n > 0) + (s->token_env.n > 0) + (s->role_id.n > 0) !=
		1)
		conf_error(l, s->at.line,
		    "issuer %s: type = vault needs address, role and one of "
		    "token_file, token_env, or role_id with secret_id_file",
		    s->at.name.p);
	/* who took it for the place of the token reads no token here */
	if (!is_variable(s->token_env))
		conf_error(l, conf_line_of(&s->at, CONF_AT_ISSUER_token_env),
		    "issuer %s: token_env is the name of a variable, such as "
		    "VAULT_TOKEN: capital letters, digits and _",
		    s->at.name.p);
	if ((s->role_id.n > 0) != (s->secret_id_file.n > 0))
		conf_error(l, s->at.line,
		    "issuer %s: role_id and secret_id_file need each other",
		    s->at.name.p);
	if (s->address.text.p != NULL && !s->address.https &&
	    !str_is(s->address.host, "localhost")) {
		struct addr a;

		if (!addr_parse(s->address.host, &a) || !addr_is_loopback(a))
			conf_warn(l,
			    conf_line_of(&s->at, CONF_AT_ISSUER_address),
			    "issuer %s: the token crosses the network "
			    "unprotected: use https",
			    s->at.name.p);
	}
	if (s->ca_file.n > 0 && s->address.text.p != NULL && !s->address.https)
		conf_error(l, conf_line_of(&s->at, CONF_AT_ISSUER_ca_file),
		    "issuer %s: ca_file does nothing without https in address",
		    s->at.name.p);
	check_path(l, s, CONF_AT_ISSUER_mount, s->mount, true);
	check_path(l, s, CONF_AT_ISSUER_auth_mount, s->auth_mount, true);
	check_path(l, s, CONF_AT_ISSUER_role, s->role, false);
	check_path(l, s, CONF_AT_ISSUER_namespace, s->namespace, true);
	if (!conf_is_given(&s->at, CONF_AT_ISSUER_backdate))
		s->backdate = VAULT_BACKDATE;
}

/*
 * The certificate of a listener is made before anything is served, by a CA
 * that is there at once. Vault may be away, or be reached through us.
 */
static void
check_own_certificates(struct conf_loader *l)
{
	const struct conf *c = l->conf;

	for (size_t i = 0; i < c->nissuers; i++)
		if (c->issuers[i].type == CONF_ISSUER_LOCAL)
			return;
	for (size_t i = 0; i < c->nlisteners; i++) {
		const struct conf_listener *s = &c->listeners[i];

		if (s->tls && s->certificate.n == 0)
			conf_error(l, s->at.line,
			    "listener %s: no issuer is local, so the daemon "
			    "cannot make a certificate for this listener: give "
			    "it certificate and key, or tls = no, or add an "
			    "issuer of type local",
			    s->at.name.p);
	}
}

void
conf_check_issuers(struct conf_loader *l)
{
	struct conf *c = l->conf;

	for (size_t i = 0; i < c->nissuers; i++) {
		struct conf_issuer *s = (struct conf_issuer *)&c->issuers[i];

		if (s->type == CONF_ISSUER_VAULT)
			check_vault(l, s);
		else
			check_local(l, s);
	}
	check_own_certificates(l);
}
