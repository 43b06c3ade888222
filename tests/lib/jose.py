# SPDX-License-Identifier: ISC
"""Account keys and JSON Web Signatures, RFC 7515 to 7518 and RFC 8037.

Small and literal on purpose: the tests compare the server with this reading
of the RFCs, so nothing here is shared with the server. Everything that a
well-behaved client would not do can be asked for.
"""

import base64
import hashlib
import hmac
import json

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import (
    ec, ed25519, padding, rsa)
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature)


def b64(data):
    """base64url without padding, as text."""
    if isinstance(data, str):
        data = data.encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    """The bytes of unpadded base64url."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def compact(value):
    """JSON without white space, as bytes."""
    return json.dumps(value, separators=(",", ":")).encode()


def b64_int(number, length=None):
    """An unsigned integer as JWA writes it."""
    if length is None:
        length = (number.bit_length() + 7) // 8 or 1
    return b64(number.to_bytes(length, "big"))


class Key:
    """A private key that signs, and knows its JWK."""

    alg = None

    def jwk(self):
        raise NotImplementedError

    def sign(self, data):
        raise NotImplementedError

    def thumbprint(self):
        """RFC 7638: members in order, nothing else."""
        members = compact(dict(sorted(self.jwk().items())))
        return b64(hashlib.sha256(members).digest())

    def pem(self):
        """PKCS#8, for clients that want a file."""
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption())


class RsaKey(Key):
    HASHES = {"RS256": hashes.SHA256, "RS384": hashes.SHA384,
              "RS512": hashes.SHA512}

    def __init__(self, bits=2048, alg="RS256", private=None):
        self.alg = alg
        self.private = private or rsa.generate_private_key(65537, bits)

    def jwk(self):
        numbers = self.private.public_key().public_numbers()
        return {"e": b64_int(numbers.e), "kty": "RSA",
                "n": b64_int(numbers.n)}

    def sign(self, data):
        digest = self.HASHES.get(self.alg, hashes.SHA256)()
        if self.alg.startswith("PS"):
            scheme = padding.PSS(padding.MGF1(digest), 32)
        else:
            scheme = padding.PKCS1v15()
        return self.private.sign(data, scheme, digest)


class EcKey(Key):
    KINDS = {
        "ES256": ("P-256", ec.SECP256R1, hashes.SHA256, 32),
        "ES384": ("P-384", ec.SECP384R1, hashes.SHA384, 48),
        "ES512": ("P-521", ec.SECP521R1, hashes.SHA512, 66),
        "ES256K": ("secp256k1", ec.SECP256K1, hashes.SHA256, 32),
    }

    def __init__(self, alg="ES256"):
        self.alg = alg
        self.crv, curve, self.digest, self.size = self.KINDS[alg]
        self.private = ec.generate_private_key(curve())

    def jwk(self):
        numbers = self.private.public_key().public_numbers()
        return {"crv": self.crv, "kty": "EC",
                "x": b64_int(numbers.x, self.size),
                "y": b64_int(numbers.y, self.size)}

    def sign_der(self, data):
        """The ASN.1 form, which JWS does not use."""
        return self.private.sign(data, ec.ECDSA(self.digest()))

    def sign(self, data):
        r, s = decode_dss_signature(self.sign_der(data))
        return (r.to_bytes(self.size, "big") + s.to_bytes(self.size, "big"))


class EdKey(Key):
    alg = "EdDSA"

    def __init__(self):
        self.private = ed25519.Ed25519PrivateKey.generate()

    def jwk(self):
        raw = self.private.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {"crv": "Ed25519", "kty": "OKP", "x": b64(raw)}

    def sign(self, data):
        return self.private.sign(data)


class MacKey(Key):
    """A shared secret; ACME has it for external account binding only."""

    HASHES = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}

    def __init__(self, secret, alg="HS256"):
        self.alg = alg
        self.secret = secret

    def jwk(self):
        return {"k": b64(self.secret), "kty": "oct"}

    def sign(self, data):
        return hmac.new(self.secret, data, self.HASHES[self.alg]).digest()


ALGORITHMS = ("RS256", "ES256", "ES384", "ES512", "EdDSA")


def make_key(alg="ES256"):
    if alg.startswith("RS"):
        return RsaKey(alg=alg)
    if alg.startswith("ES"):
        return EcKey(alg)
    if alg == "EdDSA":
        return EdKey()
    raise ValueError(alg)


def sign_jws(key, protected, payload):
    """A flattened JWS as a dict of its three members.

    protected: dict, or the very bytes of the header.
    payload: None for POST-as-GET, bytes as they are, else a JSON value.
    """
    if not isinstance(protected, bytes):
        protected = compact(protected)
    if payload is None:
        payload = b""
    elif not isinstance(payload, bytes):
        payload = compact(payload)
    head, body = b64(protected), b64(payload)
    signature = key.sign(f"{head}.{body}".encode())
    return {"protected": head, "payload": body, "signature": b64(signature)}
