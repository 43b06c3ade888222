# SPDX-License-Identifier: ISC
"""Certificate requests, good and bad, and a look at what came back."""

import functools
import ipaddress
import re
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID


def new_key(kind="P-256"):
    """A private key for a certificate: P-256, P-384, P-521, Ed25519, or RSA
    and a number of bits as in "RSA-2048"."""
    curves = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1,
              "P-521": ec.SECP521R1}
    if kind in curves:
        return ec.generate_private_key(curves[kind]())
    if kind == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    name, _, bits = kind.partition("-")
    assert name == "RSA", kind
    return rsa_key(int(bits))


@functools.cache
def rsa_key(bits):
    """RSA keys take seconds to make: one of each size serves a whole run."""
    return rsa.generate_private_key(65537, bits)


def san(name):
    """A name as a GeneralName: addresses become iPAddress."""
    if not isinstance(name, str):
        return name
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def make_csr(names, key, cn=None, digest=None, extensions=(), critical=False):
    """A request in DER. names become the SANs (none: no SAN extension)."""
    subject = [] if cn is None else [
        x509.NameAttribute(NameOID.COMMON_NAME, cn, _validate=False)]
    builder = x509.CertificateSigningRequestBuilder()
    builder = builder.subject_name(x509.Name(subject))
    if names:
        sans = x509.SubjectAlternativeName([san(n) for n in names])
        builder = builder.add_extension(sans, critical)
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, is_critical)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        digest = None
    else:
        digest = digest or hashes.SHA256()
    request = builder.sign(key, digest)
    return request.public_bytes(serialization.Encoding.DER)


def pem_request(request):
    """A request in DER as PEM."""
    loaded = x509.load_der_x509_csr(request)
    return loaded.public_bytes(serialization.Encoding.PEM)


def key_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption())


def split_chain(pem):
    """The certificates of a PEM chain, leaf first, as parsed objects."""
    if isinstance(pem, str):
        pem = pem.encode()
    blocks = re.findall(
        b"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", pem,
        re.S)
    return [x509.load_pem_x509_certificate(block) for block in blocks]


def der(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def spki(public_key):
    return public_key.public_bytes(
        serialization.Encoding.DER,
        serialization.PublicFormat.SubjectPublicKeyInfo)


def names_of(certificate):
    """The SANs as a set of strings."""
    sans = certificate.extensions.get_extension_for_class(
        x509.SubjectAlternativeName).value
    return ({n for n in sans.get_values_for_type(x509.DNSName)}
            | {str(a) for a in sans.get_values_for_type(x509.IPAddress)})


def openssl_verify(pem, root, directory, purpose="sslserver"):
    """`openssl verify` of a chain against a root file; its output."""
    if isinstance(pem, str):
        pem = pem.encode()
    blocks = pem.split(b"-----END CERTIFICATE-----\n")
    leaf = directory / "verify-leaf.pem"
    rest = directory / "verify-rest.pem"
    leaf.write_bytes(blocks[0] + b"-----END CERTIFICATE-----\n")
    rest.write_bytes(b"-----END CERTIFICATE-----\n".join(blocks[1:]))
    command = ["openssl", "verify", "-x509_strict", "-purpose", purpose,
               "-no-CAfile", "-no-CApath", "-no-CAstore",
               "-CAfile", str(root), "-untrusted", str(rest), str(leaf)]
    # -no-CAfile would drop ours as well on some versions; it must come first
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
