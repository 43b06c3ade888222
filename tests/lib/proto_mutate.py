# SPDX-License-Identifier: ISC
"""Odd things for the protocol fuzzer to say: JSON, headers of a JWS, requests
for certificates. All of it comes from the random.Random that is handed in, so
a seed tells all."""

import copy
import datetime
import ipaddress
import json

from cryptography import x509 as cx509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import x509

# ---- JSON that json.dumps would not write


class Raw(bytes):
    """Text that stands in JSON as it is."""


class Pairs(list):
    """An object as (name, value) pairs; a name may come twice."""


def write(value, rng=None):
    """JSON as bytes. With rng: with blanks and escapes that mean nothing."""
    gap = (lambda: rng.choice((b"", b"", b" ", b"\n\t "))) if rng \
        else lambda: b""
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, dict):
        value = Pairs(value.items())
    if isinstance(value, Pairs):
        return b"{" + b",".join(
            gap() + _text(k, rng) + gap() + b":" + gap() + write(v, rng)
            + gap() for k, v in value) + b"}"
    if isinstance(value, (list, tuple)):
        return b"[" + b",".join(gap() + write(v, rng) + gap()
                                for v in value) + b"]"
    if isinstance(value, str):
        return _text(value, rng)
    return json.dumps(value).encode()


def _text(text, rng):
    if rng and rng.random() < 0.3:
        return b'"' + "".join(
            f"\\u{ord(c):04x}" if rng.random() < 0.3 and ord(c) < 0xd800
            else json.dumps(c)[1:-1] for c in text).encode() + b'"'
    return json.dumps(text, ensure_ascii=bool(rng and rng.random() < 0.5)) \
        .encode("utf-8", "surrogatepass")


def deep(n, inner=b"1", kind=b"["):
    if kind == b"[":
        return Raw(b"[" * n + inner + b"]" * n)
    return Raw(b'{"a":' * n + inner + b"}" * n)


STRINGS = (
    "", " ", "a", "A" * 64, "x" * 600, "\u00e4\u00f6", "\u20ac" * 300,
    "\U0001f512" * 90, "\x7f", "\u202eabc", "a\u0301", "\ufeffx", "\u0085",
    "..", "/", "%00", "%2e%2e%2f", "' OR 1=1 --", "${jndi:ldap://x}",
    "<script>", "\\", "\"", "*", "*.", ".", "-", "xn--", "null", "0", "-1",
    "2026-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:60Z",
    "2026-02-30T00:00:00+25:00", "0000-00-00T00:00:00Z", "mailto:", "valid",
    "deactivated", "pending", "dns", "ip", "127.0.0.1", "::1", "localhost",
    "a" * 5000, "\n", "\r\nX: y", "a\tb",
)
RAWS = (
    b"1e999", b"-0", b"1e-400", b"1.0", b"9223372036854775807",
    b"9223372036854775808", b"-9223372036854775809", b"1" * 400, b"1E2",
    b"NaN", b"Infinity", b"01", b"+1", b".5", b"1.", b"tru", b"'a'",
    b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"', b'"\xff"', b'"\xc0\x80"',
    b'"\xed\xa0\x80"', b'"\x01"', b'"\\x"', b'"', b"{", b"]", b"/**/1",
    b'"\\ud83d\\ude00"',
)


def odd(rng):
    """A value that nobody would expect."""
    n = rng.random()
    if n < 0.4:
        return rng.choice(STRINGS)
    if n < 0.6:
        return Raw(rng.choice(RAWS))
    if n < 0.85:
        return copy.deepcopy(rng.choice((
            None, True, False, 0, 1, -1, 7, 1.5, [], {}, [None], [[]], [{}],
            {"": ""}, {"type": "dns"}, ["a"], [1, "a", None],
            {"status": "deactivated"}, {"a": {"b": {"c": {}}}})))
    return deep(rng.choice((2, 14, 15, 16, 17, 200, 3000)),
                kind=rng.choice((b"[", b"{")))


def text(rng, value):
    """Much the same string."""
    at = rng.randrange(len(value) + 1)
    return rng.choice((
        lambda: value.upper(), lambda: value.swapcase(),
        lambda: value + rng.choice((".", "/", " ", "\x00", "=", "A", "?")),
        lambda: rng.choice((" ", ".", "/", "*.", "A", "\ufeff")) + value,
        lambda: value[:at] + rng.choice(STRINGS) + value[at:],
        lambda: value[:at] + value[at + 1:],
        lambda: value[:at], lambda: value * 2, lambda: value[::-1],
        lambda: value.replace("a", "\u0430").replace(".", "\u3002"),
        lambda: value.replace("-", "_"),
        lambda: value * (1 + 300 // (len(value) + 1)),
    ))()


def _places(value, path=()):
    yield path
    if isinstance(value, dict):
        for k in value:
            yield from _places(value[k], path + (k,))
    elif isinstance(value, list):
        for i, v in enumerate(value):
            yield from _places(v, path + (i,))


def _replace(value, path, new):
    if not path:
        return new
    value = copy.copy(value)
    if isinstance(value, Pairs):
        value = dict(value)
    value[path[0]] = _replace(value[path[0]], path[1:], new)
    return value


def _get(value, path):
    for step in path:
        value = value[step]
    return value


def _members(rng, value):
    """An object with other members."""
    names = list(value)
    name = rng.choice(names) if names else "a"
    less = {k: v for k, v in value.items() if k != name}
    return rng.choice((
        lambda: less,
        lambda: {**less, rng.choice(STRINGS): value.get(name)},
        lambda: {**less, name.swapcase(): value.get(name)},
        lambda: {**value, "unknown" + name: odd(rng)},
        lambda: Pairs([*value.items(), (name, value.get(name))]),
        lambda: Pairs([(name, odd(rng)), *value.items()]),
        lambda: {**value, **{f"m{i}": i for i in range(
            rng.choice((3, 127, 130, 400)))}},
        lambda: Pairs(reversed(value.items())),
    ))()


def _items(rng, value):
    """A list with other items."""
    one = copy.deepcopy(rng.choice(value)) if value else "a"
    return rng.choice((
        lambda: [], lambda: value[1:], lambda: value + [one],
        lambda: value + [odd(rng)], lambda: [value],
        lambda: {"0": one}, lambda: one,
        lambda: value * rng.choice((2, 7, 60)),
        lambda: list(reversed(value)),
        lambda: [[v] for v in value], lambda: [None] * 9000,
    ))()


def mutate(rng, value):
    """A JSON value with something odd at some depth."""
    path = rng.choice(list(_places(value)))
    here = _get(value, path)
    if rng.random() < 0.3 or here is None:
        return _replace(value, path, odd(rng))
    if isinstance(here, dict):
        return _replace(value, path, _members(rng, here))
    if isinstance(here, list):
        return _replace(value, path, _items(rng, here))
    if isinstance(here, str):
        return _replace(value, path, text(rng, here))
    return _replace(value, path, odd(rng))


# ---- bytes

def flip(rng, data, n=None):
    """The same bytes, but for some bits."""
    data = bytearray(data)
    for _ in range(n or rng.choice((1, 1, 2, 5))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def chew(rng, data):
    """Bytes cut, repeated, prolonged or flipped."""
    at = rng.randrange(len(data) + 1)
    return rng.choice((
        lambda: flip(rng, data), lambda: data[:at], lambda: data[at:],
        lambda: data + bytes(rng.randrange(1, 40)), lambda: data + data,
        lambda: b"", lambda: data[:at] + rng.randbytes(4) + data[at:],
        lambda: bytes(len(data)), lambda: data[:at] + data[at + 1:],
    ))()


def untidy(rng, encoded):
    """base64url that should not pass, or says the same in another way."""
    at = rng.randrange(len(encoded) + 1)
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return rng.choice((
        lambda: encoded + "=" * (-len(encoded) % 4 or 1),
        lambda: encoded[:at] + "\n" + encoded[at:],
        lambda: encoded[:at] + " " + encoded[at:],
        lambda: encoded[:at] + "+/"[at % 2] + encoded[at + 1:],
        lambda: encoded + "A", lambda: encoded[:-1],
        lambda: encoded[:-1] + last[last.find(encoded[-1:]) ^ 1],
        lambda: encoded.swapcase(),
    ))()


# ---- names

def names(rng, serial, suffix="example.org"):
    """Some identifiers that most profiles like."""
    out = []
    for i in range(rng.choice((1, 1, 1, 2, 3))):
        n = rng.random()
        if n < 0.75:
            out.append(f"n{serial}-{i}.{suffix}")
        elif n < 0.85:
            out.append(f"*.w{serial}-{i}.{suffix}")
        elif n < 0.95:
            out.append(f"10.{serial >> 8 & 255}.{serial & 255}.{i}")
        else:
            out.append(f"2001:db8::{serial:x}:{i + 1:x}")
    return out


ODD_IDENTIFIERS = (
    {"type": "dns", "value": "a" * 64 + ".example.org"},
    {"type": "dns", "value": "a.example.org."},
    {"type": "dns", "value": "*.*.example.org"},
    {"type": "dns", "value": "a.*.example.org"},
    {"type": "dns", "value": "*"}, {"type": "dns", "value": "*.org"},
    {"type": "dns", "value": "xn--a.example.org"},
    {"type": "dns", "value": "xn--mnchen-3ya.example.org"},
    {"type": "dns", "value": "b\u00fccher.example.org"},
    {"type": "dns", "value": "a_b.example.org"},
    {"type": "dns", "value": "1.2.3.4"}, {"type": "dns", "value": "0x7f.1"},
    {"type": "dns", "value": "example.0x1"}, {"type": "dns", "value": "::1"},
    {"type": "dns", "value": "EXAMPLE.ORG"},
    {"type": "dns", "value": ".".join(["abcdefg"] * 32)},
    {"type": "dns", "value": "a..example.org"},
    {"type": "dns", "value": "-a.example.org"},
    {"type": "dns", "value": "ab--c.example.org"},
    {"type": "dns", "value": "denied.example"},
    {"type": "dns", "value": "\u20ac" * 400},
    {"type": "dns", "value": "*." + "\U0001f512" * 130 + ".example.org"},
    {"type": "ip", "value": "010.0.0.1"}, {"type": "ip", "value": "10.1"},
    {"type": "ip", "value": "::ffff:10.0.0.1"},
    {"type": "ip", "value": "2001:DB8::1"}, {"type": "ip", "value": "0.0.0.0"},
    {"type": "ip", "value": "fe80::1%eth0"}, {"type": "ip", "value": "[::1]"},
    {"type": "ip", "value": "10.0.0.0/8"}, {"type": "ip", "value": "a.b"},
    {"type": "DNS", "value": "a.example.org"},
    {"type": "email", "value": "a@example.org"},
    {"type": "", "value": "a.example.org"}, {"type": "dns"}, {"value": "a"},
    {"type": "dns", "value": None}, {"type": "dns", "value": ""},
    {"type": "\u20ac" * 300, "value": "a"},
)


# ---- DER

def der(tag, body):
    size = len(body)
    if size < 128:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def first(data):
    """(the first element of some DER, what follows it)."""
    at, size = 2, data[1]
    if size & 0x80:
        at += size & 0x7f
        size = int.from_bytes(data[2:at], "big")
    return data[:at + size], data[at + size:]


def body_of(element):
    at = 2 + (element[1] & 0x7f if element[1] & 0x80 else 0)
    return element[at:]


ES256 = der(0x30, bytes.fromhex("06082a8648ce3d040302"))


def signed_request(info, key):
    """A CSR over whatever bytes, with a signature that is good."""
    signature = key.sign(info, ec.ECDSA(hashes.SHA256()))
    return der(0x30, info + ES256 + der(3, b"\0" + signature))


def request_info(csr):
    return first(body_of(csr))[0]


OID = cx509.ObjectIdentifier


def _foreign(rng):
    """An extension that a request may hold and no certificate may get."""
    return rng.choice((
        (cx509.BasicConstraints(False, None), False),
        (cx509.KeyUsage(*[True] * 7, False, False), True),
        (cx509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False),
        (cx509.UnrecognizedExtension(OID("1.2.3.4.5"), b"\x05\0"), True),
        (cx509.UnrecognizedExtension(OID("1.3.6.1.5.5.7.1.31"),
                                     b"\x04\x20" + bytes(32)), True),
        (cx509.CertificatePolicies([cx509.PolicyInformation(
            OID("2.23.140.1.2.1"), None)]), False),
        (cx509.InhibitAnyPolicy(0), True),
        (cx509.TLSFeature([cx509.TLSFeatureType.status_request]), False),
        (cx509.OCSPNoCheck(), False),
        (cx509.SubjectKeyIdentifier(b"x" * 20), False),
        (cx509.NameConstraints([cx509.DNSName("org")], None), True),
        (cx509.CRLDistributionPoints([cx509.DistributionPoint(
            [cx509.UniformResourceIdentifier("http://evil.example/")],
            None, None, None)]), False),
    ))


CSR_KINDS = (
    "plain", "plain", "plain", "cn", "cn only", "extensions", "twice",
    "other san", "more", "fewer", "upper", "wildcard", "ip as dns", "email",
    "uri", "no names", "weak rsa", "p384", "ed25519", "account key", "ca",
    "another signature", "flipped info", "flipped", "chewed", "tail", "empty",
    "long cn", "two cns", "old digest", "odd version", "must staple", "pem",
)
FINE_KINDS = ("plain", "cn", "extensions", "twice", "upper", "cn only")


def csr(rng, kind, wanted, key, keys, account_key):
    """A CSR in DER for a list of names. keys: of other kinds, by name."""
    make = x509.make_csr
    name = wanted[0]
    if kind in ("plain", "twice", "upper"):
        return make([n.upper() if kind == "upper" and ":" not in n else n
                     for n in wanted * (2 if kind == "twice" else 1)], key)
    if kind in ("cn", "cn only"):
        some = wanted if kind == "cn" else wanted[1:]
        return make(some, key, cn=name)
    if kind in ("extensions", "ca", "must staple"):
        extension = {
            "ca": (cx509.BasicConstraints(True, 0), True),
            "must staple": (cx509.TLSFeature(
                [cx509.TLSFeatureType.status_request]), False),
        }.get(kind) or _foreign(rng)
        return make(wanted, key, extensions=[extension])
    if kind in ("other san", "more", "fewer", "wildcard", "ip as dns",
                "email", "uri", "no names"):
        return make({
            "other san": ["other." + n for n in wanted if ":" not in n]
            or ["other.example.org"],
            "more": wanted + ["more.example.org"], "fewer": wanted[1:],
            "wildcard": ["*." + n.removeprefix("*.") for n in wanted],
            "ip as dns": [cx509.DNSName(n) for n in wanted],
            "email": [*wanted, cx509.RFC822Name("a@example.org")],
            "uri": [*wanted, cx509.UniformResourceIdentifier(
                "https://example.org/")], "no names": []}[kind], key)
    if kind in ("weak rsa", "p384", "ed25519"):
        return make(wanted, keys[kind])
    if kind == "account key":
        return make(wanted, account_key)
    if kind in ("long cn", "two cns"):
        return _named(rng, wanted, key, kind)
    if kind == "old digest":
        return make(wanted, keys["weak rsa"], digest=hashes.SHA1())
    good = make(wanted, key)
    info = request_info(good)
    if kind == "another signature":
        return signed_request(info, keys["other"])
    if kind == "flipped info":
        return signed_request(flip(rng, info), key)
    if kind == "odd version":
        at = info.index(b"\x02\x01\x00")
        return signed_request(info[:at + 2] + bytes([rng.choice((1, 2, 255))])
                              + info[at + 3:], key)
    return {"flipped": lambda: flip(rng, good), "tail": lambda: good + b"\0",
            "chewed": lambda: chew(rng, good), "empty": lambda: b"",
            "pem": lambda: x509.pem_request(good)}[kind]()


def _named(rng, wanted, key, kind):
    attributes = [cx509.NameAttribute(NameOID.COMMON_NAME, n, _validate=False)
                  for n in (["x" * rng.choice((63, 64, 65, 300, 2000))]
                            if kind == "long cn" else ["a.b", wanted[0]])]
    builder = cx509.CertificateSigningRequestBuilder().subject_name(
        cx509.Name(attributes)).add_extension(
        cx509.SubjectAlternativeName([x509.san(n) for n in wanted]), False)
    return builder.sign(key, hashes.SHA256()).public_bytes(
        serialization.Encoding.DER)


def lookalike(certificate):
    """Another certificate with the names and the serial of one, and the key
    that signed it: nobody issued it."""
    key = x509.new_key()
    now = datetime.datetime.utcnow()
    made = (cx509.CertificateBuilder().subject_name(certificate.subject)
            .issuer_name(certificate.issuer).public_key(key.public_key())
            .serial_number(certificate.serial_number)
            .not_valid_before(now).not_valid_after(
                now + datetime.timedelta(days=1)))
    for extension in certificate.extensions:
        made = made.add_extension(extension.value, extension.critical)
    return x509.der(made.sign(key, hashes.SHA256())), key


def identifier(name):
    """The identifier object of a name or an address."""
    try:
        ipaddress.ip_address(name)
        return {"type": "ip", "value": name}
    except ValueError:
        return {"type": "dns", "value": name}
