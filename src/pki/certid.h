/* SPDX-License-Identifier: ISC */
/*
 * The name of a certificate in ACME Renewal Information, RFC 9773 section
 * 4.1: base64url of the authority key identifier, a dot, base64url of the
 * contents of the serial number.
 */
#ifndef PKI_CERTID_H
#define PKI_CERTID_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/str.h"
#include "pki/cert.h"

enum { PKI_CERTID_MAX = 256 /* bytes of the text */ };

/* The name; p is NULL if the certificate has no authority key identifier. */
struct str pki_cert_id(struct arena *, const struct pki_cert *);

/*
 * Take a name apart: the key identifier, and the one text of the serial
 * (pki_serial_text), whether or not the byte was left out that keeps a DER
 * INTEGER positive. False if it is no such name.
 */
bool pki_parse_cert_id(struct arena *, struct str text, struct str *aki,
    struct str *serial);

#endif
