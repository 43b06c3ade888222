# SPDX-License-Identifier: ISC
"""What the protocol fuzzer holds true of any request and its answer, read
from the RFCs and not from the server:

    answer()   the form of an answer, and its place in the table of problems
    refusal()  why a request must not be accepted, judged by its bytes alone
    change()   which rows of the store may differ behind it

What an accepted request must have done is in proto_meaning.py. Each yields
complaints. A snapshot of the store is a dict of tables, each a
dict of rows (dicts) by their id.
"""

import hashlib
import json
import re
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import (
    ec, ed25519, padding, rsa)
from cryptography.hazmat.primitives.asymmetric.utils import (
    encode_dss_signature)

import jose

ACME = "urn:ietf:params:acme:error:"
TABLE = Path(__file__).resolve().parents[2] / "src" / "base" / "problem.def"
PROBLEMS = {m[0]: (int(m[1]), m[2]) for m in re.findall(
    r'^PROBLEM\((\w+), (\d+), "(\w*)"', TABLE.read_text(), re.M)}
OURS = list(PROBLEMS).index("BAD_PARAMETER")    # from here on: the admin's
OF_REQUESTS = set(list(PROBLEMS.values())[:OURS])


def types(*names):
    return {PROBLEMS[n] for n in names}


HTTP = types("MALFORMED", "NOT_FOUND", "METHOD", "TOO_LARGE", "EXPECTATION",
             "HEADER_TOO_LARGE", "NOT_IMPLEMENTED", "VERSION", "TIMEOUT",
             "RATE_LIMITED")
SIGNED = HTTP | types("MEDIA_TYPE", "ACCOUNT_DOES_NOT_EXIST", "BAD_NONCE",
                      "BAD_SIGNATURE_ALGORITHM", "UNAUTHORIZED",
                      "DEACTIVATED")
ALLOWED = {
    "new-account": types("BAD_PUBLIC_KEY", "EXTERNAL_ACCOUNT_REQUIRED",
                         "INVALID_CONTACT", "UNSUPPORTED_CONTACT",
                         "USER_ACTION_REQUIRED"),
    "account": types("INVALID_CONTACT", "UNSUPPORTED_CONTACT"),
    "key-change": types("BAD_PUBLIC_KEY", "CONFLICT"),
    "new-order": types("REJECTED_IDENTIFIER", "UNSUPPORTED_IDENTIFIER",
                       "COMPOUND", "ALREADY_REPLACED", "INVALID_PROFILE"),
    "new-authz": types("REJECTED_IDENTIFIER", "UNSUPPORTED_IDENTIFIER"),
    "finalize": types("BAD_CSR", "ORDER_NOT_READY", "CAA", "DNS"),
    "revoke-cert": types("BAD_PUBLIC_KEY", "ALREADY_REVOKED",
                         "BAD_REVOCATION_REASON"),
}

ROUTES = [(name, re.compile(
    r"/acme(?:/profile/(?P<profile>[^/]+))?/" + path + r"\Z"))
    for name, path in (
    ("directory", "directory"), ("new-nonce", "new-nonce"),
    ("new-account", "new-account"), ("new-order", "new-order"),
    ("new-authz", "new-authz"), ("revoke-cert", "revoke-cert"),
    ("key-change", "key-change"), ("account", "account/(?P<id>[^/]+)"),
    ("orders", "account/(?P<id>[^/]+)/orders"),
    ("order", "order/(?P<id>[^/]+)"),
    ("finalize", "order/(?P<id>[^/]+)/finalize"),
    ("authz", "authz/(?P<id>[^/]+)"),
    ("challenge", "challenge/(?P<id>[^/]+)/(?P<type>[^/]+)"),
    ("cert", "cert/(?P<id>[^/]+)"), ("alternate", "alternate/(?P<id>[^/]+)"),
    ("chain", "chain/(?P<id>[^/]+)"),
    ("renewal-info", "renewal-info/(?P<id>[^/]+)"))]
BELOW = {417, 431, 501, 505}            # refused before there is a route
EMPTY = {"directory", "new-nonce", "orders", "order", "cert", "alternate",
         "chain"}                       # POST-as-GET only
FULL = {"new-account", "new-order", "new-authz", "finalize", "revoke-cert",
        "key-change"}                   # an object only
BY_KEY = {"new-account"}                # jwk
BY_EITHER = {"revoke-cert"}
LISTED = {"RS256", "ES256", "ES384", "ES512", "EdDSA"}


def route(path):
    """(kind, profile, id) of a path; kind is None for what is not ACME's."""
    for name, pattern in ROUTES:
        found = pattern.match(path.partition("?")[0])
        if found:
            groups = found.groupdict()
            return (name, groups["profile"] or "default",
                    groups.get("id"))
    return None, None, None


# ---- the form of an answer

LEAKS = re.compile(
    rb"SELECT |INSERT |UPDATE |DELETE FROM|sqlite|SQLite|SQLSTATE|[Pp]ostgres"
    rb"|libpq|[Rr]edis|/tmp/|/dev/|/home/|/usr/|/var/|\.c:\d|\.sql\b"
    rb"|0x[0-9a-f]{6}|errno|BoringSSL|OPENSSL|yajl|Assertion|Sanitizer"
    rb"|\(null\)|constraint|certloop\.db")


def answer(sent, reply, kind):
    """kind: of the route, None for other resources."""
    if reply.status >= 400:
        yield from _problem(sent, reply, kind)
    elif reply.status not in (200, 201, 204):
        yield f"the status {reply.status}"
    elif reply.is_problem:
        yield f"a problem with status {reply.status}"
    if reply.seconds > 60:
        yield f"an answer after {reply.seconds:.0f} s"
    if sent.is_http and kind is not None and reply.status not in BELOW:
        yield from _fields(sent, reply, kind)


def _problem(sent, reply, kind):
    if reply.header("Content-Type") != "application/problem+json":
        yield f"{reply.status} of type {reply.header('Content-Type')}"
        return
    if sent.method == "HEAD":
        return
    try:
        document = strict_json(reply.body)
    except ValueError as e:
        yield f"a problem that is no JSON ({e}): {reply.body[:200]!r}"
        return
    known = {"type", "detail", "status", "algorithms", "subproblems"}
    if not isinstance(document, dict) or not set(document) <= known:
        yield f"a problem of an odd form: {reply.body[:200]!r}"
        return
    name = str(document.get("type", ""))
    outcome = (reply.status, name.removeprefix(ACME))
    if document.get("status") != reply.status:
        yield f"a problem of status {document.get('status')} in a reply " \
              f"of {reply.status}"
    if not document.get("detail") or not isinstance(document["detail"], str):
        yield "a problem without a detail"
    if not name.startswith(ACME) or outcome not in OF_REQUESTS:
        yield f"{outcome} is in no table"
    elif outcome not in (
            HTTP | types("MEDIA_TYPE") if kind is None
            or sent.method != "POST" else SIGNED | ALLOWED.get(kind, set())):
        yield f"{outcome} of {sent.method} {kind}"
    if outcome[1] == "badSignatureAlgorithm" and \
            not document.get("algorithms"):
        yield "badSignatureAlgorithm without the algorithms"
    for one in document.get("subproblems", []):
        if set(one) != {"type", "detail", "identifier"} or \
                set(one["identifier"]) != {"type", "value"}:
            yield f"an odd subproblem: {one}"
    found = LEAKS.search(reply.body)
    if found and found.group().lower() not in sent.said():
        yield f"the answer tells of our inside: {reply.body[:300]!r}"


def _fields(sent, reply, kind):
    nonces = reply.headers("Replay-Nonce")
    wanted = sent.method == "POST" or (
        kind == "new-nonce" and sent.method in ("GET", "HEAD"))
    if len(nonces) != wanted:
        yield f"{len(nonces)} Replay-Nonce in the answer to {sent.method} " \
              f"{kind}: {reply!r}"
    for nonce in nonces:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", nonce):
            yield f"Replay-Nonce: {nonce}"
    if kind != "directory" and len(reply.links("index")) != 1:
        yield "no Link to the directory"
    if kind != "directory" and reply.header("Cache-Control") != "no-store":
        yield f"Cache-Control: {reply.header('Cache-Control')}"
    if reply.status == 429 and not (reply.header("Retry-After")
                                    or "").isdigit():
        yield "rateLimited without Retry-After"
    if reply.status == 405 and not reply.header("Allow"):
        yield "405 without Allow"
    if reply.status in (200, 201) and reply.body and \
            sent.method != "HEAD":
        chain = kind in ("cert", "alternate", "chain")
        want = "application/pem-certificate-chain" if chain \
            else "application/json"
        if reply.header("Content-Type") != want:
            yield f"Content-Type: {reply.header('Content-Type')}"
        elif not chain:
            try:
                strict_json(reply.body)
            except ValueError as e:
                yield f"a body that is no JSON: {e}"


# ---- why a signed request must be refused

def _no_twice(pairs):
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a member comes twice")
    return out


def _no_constant(name):
    raise ValueError(f"{name} is not JSON")


def _check_text(value):
    if isinstance(value, str):
        value.encode()      # no halves of surrogate pairs
        if "\0" in value:
            raise ValueError("NUL")
    elif isinstance(value, dict):
        for k, v in value.items():
            _check_text(k)
            _check_text(v)
    elif isinstance(value, list):
        for v in value:
            _check_text(v)


def strict_json(data):
    """RFC 8259, no member twice, text that is text."""
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_no_constant,
                           object_pairs_hook=_no_twice)
        _check_text(value)
    except RecursionError:
        raise ValueError("too deep") from None
    return value


def strict_b64(text):
    """RFC 8555 section 6.1: base64url, no padding, nothing else."""
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9_-]*", text):
        raise ValueError("no base64url")
    data = jose.unb64(text)
    if jose.b64(data) != text:
        raise ValueError("base64url in another spelling")
    return data


def public_key(jwk):
    """The key of a JWK that may sign; ValueError for all others."""
    if not isinstance(jwk, dict) or "d" in jwk:
        raise ValueError("no public JWK")
    try:
        if jwk.get("kty") == "EC":
            curve = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1,
                     "P-521": ec.SECP521R1}[jwk["crv"]]()
            size = (curve.key_size + 7) // 8
            x, y = strict_b64(jwk["x"]), strict_b64(jwk["y"])
            if len(x) != size or len(y) != size:
                raise ValueError("a coordinate of another length")
            return ec.EllipticCurvePublicNumbers(
                int.from_bytes(x, "big"), int.from_bytes(y, "big"),
                curve).public_key()
        if jwk.get("kty") == "OKP" and jwk["crv"] == "Ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(
                strict_b64(jwk["x"]))
        if jwk.get("kty") == "RSA":
            n, e = (int.from_bytes(strict_b64(jwk[m]), "big")
                    for m in ("n", "e"))
            if not 2048 <= n.bit_length() <= 4096:
                raise ValueError("RSA of an odd size")
            return rsa.RSAPublicNumbers(e, n).public_key()
    except (KeyError, TypeError, UnsupportedAlgorithm) as e:
        raise ValueError(f"no JWK: {e!r}") from e
    raise ValueError("a kind of key that is not listed")


def verify(key, alg, data, signature):
    """ValueError unless it is the key's signature by this algorithm."""
    fits = {ec.EllipticCurvePublicKey: lambda: {
        "secp256r1": "ES256", "secp384r1": "ES384",
        "secp521r1": "ES512"}[key.curve.name],
        ed25519.Ed25519PublicKey: lambda: "EdDSA",
        rsa.RSAPublicKey: lambda: "RS256"}
    want = next(f() for kind, f in fits.items() if isinstance(key, kind))
    if alg != want:
        raise ValueError(f"{alg} with a key for {want}")
    try:
        if want == "EdDSA":
            key.verify(signature, data)
        elif want == "RS256":
            key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        else:
            size = (key.curve.key_size + 7) // 8
            if len(signature) != 2 * size:
                raise ValueError("a signature of another length")
            digest = {"ES256": hashes.SHA256, "ES384": hashes.SHA384,
                      "ES512": hashes.SHA512}[want]()
            key.verify(encode_dss_signature(
                int.from_bytes(signature[:size], "big"),
                int.from_bytes(signature[size:], "big")), data,
                ec.ECDSA(digest))
    except InvalidSignature as e:
        raise ValueError("the signature is wrong") from e


def thumbprint(key):
    """Of a public key, RFC 7638, from its numbers and no spelling."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        n, size = key.public_numbers(), (key.curve.key_size + 7) // 8
        name = {256: "P-256", 384: "P-384", 521: "P-521"}[key.curve.key_size]
        jwk = {"crv": name, "kty": "EC", "x": jose.b64_int(n.x, size),
               "y": jose.b64_int(n.y, size)}
    elif isinstance(key, rsa.RSAPublicKey):
        n = key.public_numbers()
        jwk = {"e": jose.b64_int(n.e), "kty": "RSA", "n": jose.b64_int(n.n)}
    else:
        jwk = {"crv": "Ed25519", "kty": "OKP", "x": jose.b64(
            key.public_bytes(serialization.Encoding.Raw,
                             serialization.PublicFormat.Raw))}
    return jose.b64(hashlib.sha256(jose.compact(jwk)).digest())


def open_jws(jws, use):
    """(header, payload, what was signed, signature); ValueError for what RFC
    8555 section 6.2 does not have."""
    if not isinstance(jws, dict) or "header" in jws or "signatures" in jws:
        raise ValueError("no flattened JWS")
    try:
        header = strict_json(strict_b64(jws["protected"]))
        payload = strict_b64(jws["payload"])
        signature = strict_b64(jws["signature"])
    except KeyError as e:
        raise ValueError(f"no {e}") from e
    if not isinstance(header, dict) or "crit" in header or "b64" in header:
        raise ValueError("a header that is none")
    if ("jwk" in header) == ("kid" in header):
        raise ValueError("not one of jwk and kid")
    if (use == "request") != ("nonce" in header):
        raise ValueError("a nonce where none is, or the other way round")
    if use != "binding" and header.get("alg") not in LISTED:
        raise ValueError("an algorithm that is not listed")
    data = f"{jws['protected']}.{jws['payload']}".encode()
    return header, payload, data, signature


class Reading:
    """A request as it must be read: kind, profile, object, header, payload
    (None for POST-as-GET), key; account for a kid."""


def read(sent, base, store, spent):
    """A Reading; ValueError says why the request must be refused. store: the
    snapshot before it; spent: nonces that were accepted before."""
    r = Reading()
    r.kind, r.profile, r.object = route(sent.path)
    if sent.method != "POST" or r.kind is None or r.kind == "renewal-info":
        raise ValueError("no resource to be POSTed to")
    if (sent.content_type or "").partition(";")[0].strip().lower() != \
            "application/jose+json":
        raise ValueError(f"Content-Type: {sent.content_type}")
    r.header, payload, data, signature = open_jws(
        strict_json(sent.body), "request")
    if r.header.get("url") != base + sent.path + sent.query:
        raise ValueError("the url of another resource")
    if not isinstance(r.header["nonce"], str):
        raise ValueError("no nonce")
    strict_b64(r.header["nonce"])
    if r.header["nonce"] in spent:
        raise ValueError("a nonce that was accepted before")
    r.account = None
    if "jwk" in r.header:
        if r.kind not in BY_KEY | BY_EITHER:
            raise ValueError("a jwk in place of a kid")
        r.key = public_key(r.header["jwk"])
    else:
        if r.kind in BY_KEY:
            raise ValueError("a kid in place of a jwk")
        r.account = _account(r, base, store)
        r.key = public_key(json.loads(r.account["jwk"]))
    verify(r.key, r.header["alg"], data, signature)
    r.payload = strict_json(payload) if payload else None
    if r.payload is not None and (r.kind in EMPTY or
                                  not isinstance(r.payload, dict)):
        raise ValueError("a payload that may not be")
    if r.payload is None and r.kind in FULL:
        raise ValueError("no payload")
    return r


def _account(r, base, store):
    start = f"{base}/acme/profile/{r.profile}/account/"
    kid = r.header["kid"]
    if not isinstance(kid, str) or not kid.startswith(start):
        raise ValueError("a kid of elsewhere")
    row = store["accounts"].get(kid[len(start):])
    if row is None or row["profile"] != r.profile:
        raise ValueError("no such account")
    if row["status"] != "valid":
        raise ValueError(f"an account that is {row['status']}")
    return row


# ---- what may have changed

EDGES = {   # RFC 8555 section 7.1.6
    "accounts": {("valid", "deactivated")},
    "orders": {("pending", "ready"), ("pending", "invalid"),
               ("ready", "processing"), ("ready", "valid"),
               ("ready", "invalid"), ("processing", "valid"),
               ("processing", "invalid")},
    "authorizations": {("pending", "valid"), ("pending", "invalid"),
                       ("pending", "deactivated"), ("valid", "deactivated")},
    "certificates": {("valid", "revoked")},
    "eab_keys": set(),
}
FIXED = {   # what a row never gets another value of
    "accounts": ("profile", "eab_key", "allowed"),
    "orders": ("account", "profile", "identifiers", "authzs", "not_before",
               "not_after", "replaces"),
    "authorizations": ("account", "profile", "type", "value", "wildcard",
                       "order_id", "challenges"),
    "certificates": ("account", "profile", "serial", "order_id", "der",
                     "spki_hash"),
    "eab_keys": ("profile", "max_uses", "status"),
}


def changes(before, after):
    """(table, old row or None, new row or None) of each that differs."""
    for table, rows in after.items():
        old = before[table]
        for key, row in rows.items():
            if old.get(key) != row:
                yield table, old.get(key), row
        for key in old.keys() - rows.keys():
            yield table, old[key], None


def edges(before, after):
    """Status machines move along their edges; what is fixed stays."""
    for table, old, new in changes(before, after):
        if new is None:
            yield f"{table}: {old['id']} is gone"
        elif old is not None:
            move = (old.get("status"), new.get("status"))
            if move[0] != move[1] and move not in EDGES[table]:
                yield f"{table}: {new['id']} went from {move[0]} to {move[1]}"
            for column in FIXED[table]:
                if old[column] != new[column]:
                    yield f"{table}: {column} of {new['id']} has changed"


def of_its_own(before, table, old, new):
    """Is it what a validation under way may do at any time?"""
    if old is None:
        return False
    if table == "authorizations":
        return old["lease"] is not None
    if table == "orders" and old["status"] == "pending":
        mine = [before["authorizations"].get(z) for z in old["authzs"].split()]
        return any(z is not None and z["lease"] is not None for z in mine)
    return False


def change(before, after, r, reply):
    """r: the Reading of an accepted request, None if it was refused."""
    for table, old, new in changes(before, after):
        if of_its_own(before, table, old, new):
            continue
        row = new or old
        what = f"{table}: {row['id']}"
        if r is None:
            yield f"{what} changed behind a refusal ({reply!r:.200}): " \
                  f"{_differs(old, new)}"
        elif not _may(r, reply, table, old, new):
            yield f"{what} changed behind {r.kind}: {_differs(old, new)}"


def _differs(old, new):
    if old is None or new is None:
        return f"{old} to {new}"[:300]
    return ", ".join(f"{k}: {old[k]!r:.80} to {new[k]!r:.80}"
                     for k in new if old[k] != new[k])


def _columns(old, new):
    return {k for k in new if old is None or old[k] != new[k]}


def _may(r, reply, table, old, new):
    """Is this change one that such a request makes?"""
    if new is None:
        return False
    if r.kind == "new-account":
        if table == "eab_keys":
            return _columns(old, new) <= {"used"} and \
                new["used"] == old["used"] + 1 and reply.status == 201
        return table == "accounts" and old is None and reply.status == 201 \
            and new["thumbprint"] == thumbprint(r.key)
    mine = r.account["id"] if r.account else None
    if new.get("account", mine) != mine and r.kind != "revoke-cert":
        return False
    if r.kind in ("account", "key-change"):
        columns = {"account": {"contacts", "tos_agreed"},
                   "key-change": {"thumbprint", "jwk", "key_version"}}[r.kind]
        if r.kind == "account" and \
                (r.payload or {}).get("status") == "deactivated":
            if table == "orders":
                return old is not None and new["status"] == "invalid"
            columns = {"status", "key_version"}
        return table == "accounts" and old is not None and \
            new["id"] == mine and _columns(old, new) <= columns
    if r.kind == "new-order":
        return old is None and table in ("orders", "authorizations")
    if r.kind == "new-authz":
        return old is None and table == "authorizations"
    if r.kind == "authz":
        if table == "orders":
            return r.object in new["authzs"].split() and \
                new["status"] == "invalid"
        return table == "authorizations" and new["id"] == r.object and \
            r.payload is not None and new["status"] == "deactivated"
    if r.kind == "challenge":   # it may be over by now
        if table == "orders":
            return r.object in new["authzs"].split()
        return table == "authorizations" and new["id"] == r.object and \
            r.payload is not None
    if r.kind == "finalize":
        if table == "orders":
            return new["id"] == r.object
        return table == "certificates" and old is None and \
            new["order_id"] == r.object
    if r.kind == "revoke-cert":
        return table == "certificates" and old is not None and \
            new["der"] == jose.unb64(r.payload["certificate"])
    return False
