# SPDX-License-Identifier: ISC
"""Asking for OCSP, and judging what is answered as a client would."""

import base64
import calendar
import datetime
import hashlib
import secrets
import urllib.parse

from cryptography import x509 as cx509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

import x509
from jose import b64

DER = serialization.Encoding.DER
PEM = serialization.Encoding.PEM
GOOD = ocsp.OCSPCertStatus.GOOD
REVOKED = ocsp.OCSPCertStatus.REVOKED
UNKNOWN = ocsp.OCSPCertStatus.UNKNOWN
MALFORMED = ocsp.OCSPResponseStatus.MALFORMED_REQUEST
UNAUTHORIZED = ocsp.OCSPResponseStatus.UNAUTHORIZED
SUCCESSFUL = ocsp.OCSPResponseStatus.SUCCESSFUL


def fresh():
    return f"{secrets.token_hex(5)}.example.org"


def obtain(server):
    """client, leaf, issuing CA"""
    client = server.client()
    _, chain, _ = client.obtain([fresh()])
    return client, *x509.split_chain(chain)


def revoke(client, certificate, reason=None):
    payload = {"certificate": b64(x509.der(certificate))}
    if reason is not None:
        payload["reason"] = reason
    response = client.send(client.directory["revokeCert"], payload)
    assert response.status == 200, response


def ocsp_url(server):
    return f"{server.base}/ca/local/ocsp"


def request_for(leaf, ca, digest=None, nonce=None):
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        leaf, ca, digest or hashes.SHA1())
    if nonce is not None:
        builder = builder.add_extension(cx509.OCSPNonce(nonce), False)
    return builder.build().public_bytes(DER)


def post(server, body, kind="application/ocsp-request", http=None):
    return (http or server.web()).request(
        "POST", ocsp_url(server), body=body, headers={"Content-Type": kind})


def get(server, body, quote=True, http=None, **headers):
    text = base64.b64encode(body).decode()
    if quote:
        text = urllib.parse.quote(text, safe="")
    return (http or server.web()).request(
        "GET", f"{ocsp_url(server)}/{text}", headers=headers)


def answer(response):
    assert response.status == 200, response
    assert response.header("Content-Type") == "application/ocsp-response"
    return ocsp.load_der_ocsp_response(response.body)


def seconds(moment):
    """Since 1970; moments of certificates and answers are in UTC."""
    return calendar.timegm(moment.timetuple())


def key_hash(certificate):
    """SHA-1 of the key's bits, as a responder is named by."""
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.X962,
        serialization.PublicFormat.UncompressedPoint)
    return hashlib.sha1(spki).digest()


def verify(key, signature, text, algorithm):
    key.verify(signature, text, ec.ECDSA(algorithm))


def responder_of(reply, ca):
    """The delegated responder's certificate, which is of this CA, for OCSP
    and nothing else, and good for as long as its answer is."""
    responder, = reply.certificates
    assert responder.issuer == ca.subject
    verify(ca.public_key(), responder.signature,
           responder.tbs_certificate_bytes,
           responder.signature_hash_algorithm)

    def extension(kind):
        return responder.extensions.get_extension_for_class(kind)
    assert list(extension(cx509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.OCSP_SIGNING]
    assert not extension(cx509.OCSPNoCheck).critical
    assert extension(cx509.BasicConstraints).value.ca is False
    usage = extension(cx509.KeyUsage).value
    assert usage.digital_signature and not usage.key_cert_sign
    assert extension(
        cx509.AuthorityKeyIdentifier).value.key_identifier == \
        ca.extensions.get_extension_for_class(
            cx509.SubjectKeyIdentifier).value.digest
    assert responder.not_valid_before <= reply.this_update
    assert reply.next_update <= responder.not_valid_after
    return responder


def check_signature(reply, ca):
    """By a responder of this CA; its certificate."""
    responder = responder_of(reply, ca)
    check_signed_by(reply, responder)
    return responder


def check_signed_by(reply, certificate):
    assert reply.responder_key_hash == key_hash(certificate)
    verify(certificate.public_key(), reply.signature,
           reply.tbs_response_bytes, reply.signature_hash_algorithm)


def check_now(reply):
    """It is good at this moment, as is the certificate that signed it."""
    now = datetime.datetime.utcnow()
    slack = datetime.timedelta(seconds=1)
    responder, = reply.certificates
    for begin, end in ((reply.this_update, reply.next_update),
                       (responder.not_valid_before,
                        responder.not_valid_after)):
        assert begin <= now + slack and now < end, (begin, now, end)
