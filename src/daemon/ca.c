/* SPDX-License-Identifier: ISC */
/*
 * A CA of our own: a P-384 root, whose key can be put away afterwards, and
 * under it the P-256 CA that issues. Made on the first run with SQLite, or by
 * certloopd --init-ca.
 *
 * Its four files are made in a folder "ca.new", which becomes "ca" when they
 * are complete. What a full disk or a death leaves of them is no CA, stands in
 * nobody's way and is swept by the next try.
 */
#include "daemon/daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/when.h"

static struct ca_paths
paths_in(struct arena *a, const char *folder)
{
	return (struct ca_paths){
		.root = str_printf(a, "%s/root.pem", folder).p,
		.root_key = str_printf(a, "%s/root.key", folder).p,
		.certificate = str_printf(a, "%s/issuing.pem", folder).p,
		.key = str_printf(a, "%s/issuing.key", folder).p,
	};
}

struct ca_paths
ca_paths_of(struct arena *a, const struct conf *c)
{
	return paths_in(a, str_printf(a, "%s/ca", c->data_dir.p).p);
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

/* All of what an earlier try left, and the folder itself. */
static void
sweep(struct arena *a, const char *folder)
{
	DIR *d = opendir(folder);
	const struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			(void)unlink(
			    str_printf(a, "%s/%s", folder, e->d_name).p);
	if (d != NULL)
		closedir(d);
	(void)rmdir(folder);
}

static const char *
make_files(struct arena *a, const char *folder)
{
	struct ca_paths p = paths_in(a, folder);
	int64_t now = when_now();
	struct pki_made root, issuing;
	struct pki_ca ca;
	const char *why;

	if ((why = make_dir(a, folder)) != NULL ||
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

static const char *
why_not_there(int error)
{
	switch (error) {
	case ENOTEMPTY:
	case EEXIST:
		return "there is one, and it is not empty";
	case ENOTDIR:
	case EBUSY:
		return "there is something that is no folder of its own: a "
		       "file, a symbolic link or a mount point; move it away, "
		       "or make it a part of data_dir";
	default:
		return strerror(error);
	}
}

/* It is complete: give it its name. What is there is not replaced. */
static const char *
put_in_place(struct arena *a, const char *made, const char *folder, int parent)
{
	if (rename(made, folder) != 0)
		return str_printf(a, "cannot make the folder %s: %s", folder,
		    why_not_there(errno))
		    .p;
	if (fsync(parent) != 0)
		return str_printf(a,
		    "the folder %s was made, but may not be on the disk: %s",
		    folder, strerror(errno))
		    .p;
	return NULL;
}

const char *
ca_init(struct arena *a, const struct conf *c)
{
	const char *folder = str_printf(a, "%s/ca", c->data_dir.p).p;
	const char *made = str_printf(a, "%s.new", folder).p;
	const char *why = make_dir(a, c->data_dir.p);
	int parent;

	if (why != NULL)
		return why;
	parent = open(c->data_dir.p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0 || flock(parent, LOCK_EX | LOCK_NB) != 0) {
		why = str_printf(a, "cannot lock the folder %s: %s",
		    c->data_dir.p, strerror(errno))
			  .p;
	} else {
		sweep(a, made);
		if ((why = make_files(a, made)) == NULL)
			why = put_in_place(a, made, folder, parent);
		if (why != NULL)
			sweep(a, made);
	}
	if (parent >= 0)
		close(parent); /* and so the lock */
	return why;
}
