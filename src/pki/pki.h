/* SPDX-License-Identifier: ISC */
/*
 * Keys, requests, certificates. Bytes in, values out: no loop, and no I/O but
 * the loading and saving of key and certificate files.
 */
#ifndef PKI_PKI_H
#define PKI_PKI_H

#include "pki/ca.h"
#include "pki/cert.h"
#include "pki/certid.h"
#include "pki/crl.h"
#include "pki/csr.h"
#include "pki/key.h"
#include "pki/name.h"
#include "pki/ocsp.h"
#include "pki/reason.h"

#endif
