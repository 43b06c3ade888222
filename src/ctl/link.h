/* SPDX-License-Identifier: ISC */
/*
 * One connection to the daemon: its admin socket, or TLS to a listener of kind
 * admin, whose certificate is verified. Everything blocks, each step for
 * CTL_TIMEOUT at most.
 */
#ifndef CTL_LINK_H
#define CTL_LINK_H

#include "ctl/ctl.h"

struct link {
	int fd;
	struct ssl_st *ssl; /* NULL: the admin socket */
};

/* False: the reason was printed, *code is what the program ends with. */
bool link_open(struct ctl *, struct link *, enum ctl_exit *code);
void link_close(struct link *);

/* All of it, or false. */
bool link_send(struct link *, struct str);
/* Until the other end closes. */
bool link_receive(struct link *, struct buf *);

/* tls.c */

/* The server's name for Host, and the header with the key, "" for the
 * socket. */
struct str link_host(const struct ctl *);
struct str link_authorization(const struct ctl *);

/* Shake hands over fd. NULL: said why. */
struct ssl_st *tls_open(struct ctl *, int fd);
/* A connected socket to the server, or -1: said why. */
int tls_connect(struct ctl *);

#endif
