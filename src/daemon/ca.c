/* SPDX-License-Identifier: ISC */
/*
 * A CA of our own: a P-384 root, whose key can be put away afterwards, and
 * under it the P-256 CA that issues. Made on the first run with SQLite, or by
 * certloopd --init-ca.
 */
#include "daemon/daemon.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/when.h"

struct ca_paths
ca_paths_of(struct arena *a, const struct conf *c)
{
	const char *dir = c->data_dir.p;

	return (struct ca_paths){
		.root = str_printf(a, "%s/ca/root.pem", dir).p,
		.root_key = str_printf(a, "%s/ca/root.key", dir).p,
		.certificate = str_printf(a, "%s/ca/issuing.pem", dir).p,
		.key = str_printf(a, "%s/ca/issuing.key", dir).p,
	};
}

bool
ca_exists(const struct ca_paths *p)
{
	return access(p->certificate, F_OK) == 0 || access(p->key, F_OK) == 0;
}

static const char *
make_dir(struct arena *a, const char *path)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return NULL;
	return str_printf(a, "cannot make the folder %s: %s", path,
	    strerror(errno))
	    .p;
}

/* Names that tell one installation's CA from another's. */
static struct str
name_ca(struct arena *a, const char *what, int64_t now)
{
	return str_printf(a, "certloop %s " STR_FMT, what,
	    STR_ARG(str_make(when_rfc3339(a, now).p, 10)));
}

static const char *
save(struct arena *a, const char *cert_path, const char *key_path,
    const struct pki_made *made, struct str more)
{
	struct str pem = pki_write_pem(a, "CERTIFICATE", made->der);
	const char *why;

	/* the key first: a certificate is never without its key */
	if ((why = pki_save_key(a, key_path, made->key, PKI_SAVE_NEW)) != NULL)
		return why;
	return pki_save_text(a, cert_path,
	    str_printf(a, STR_FMT STR_FMT, STR_ARG(pem), STR_ARG(more)),
	    PKI_SAVE_NEW);
}

const char *
ca_init(struct arena *a, const struct conf *c)
{
	struct ca_paths p = ca_paths_of(a, c);
	int64_t now = when_now();
	struct pki_made root, issuing;
	struct pki_ca ca;
	const char *why;

	if ((why = make_dir(a, c->data_dir.p)) != NULL ||
	    (why = make_dir(a, str_printf(a, "%s/ca", c->data_dir.p).p)) !=
		NULL ||
	    (why = pki_make_root(a, name_ca(a, "root", now), now / WHEN_SECOND,
		 &root)) != NULL ||
	    (why = pki_make_ca(a, root.key, &root.der, 1, now / WHEN_SECOND,
		 &ca)) != NULL ||
	    (why = pki_make_issuing(a, &ca, name_ca(a, "issuing CA", now),
		 now / WHEN_SECOND, &issuing)) != NULL)
		return why;
	if ((why = save(a, p.root, p.root_key, &root, STR(""))) != NULL)
		return why;
	return save(a, p.certificate, p.key, &issuing, STR(""));
}
