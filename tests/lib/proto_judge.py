# SPDX-License-Identifier: ISC
"""What the protocol fuzzer holds true of any request and its answer, read
from the RFCs and not from the server:

    answer()   the form of an answer, and its place in the table of problems
    refusal()  why a request must not be accepted, judged by its bytes alone
    change()   which rows of the store may differ behind it
    meaning()  what an accepted request must have done

Each yields complaints. A snapshot of the store is a dict of tables, each a
dict of rows (dicts) by their id.
"""

import datetime
import hashlib
import ipaddress
import json
import re
from pathlib import Path

from cryptography import x509 as cx509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import (
    ec, ed25519, padding, rsa)
from cryptography.hazmat.primitives.asymmetric.utils import (
    encode_dss_signature)

import jose
import x509

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
    elif outcome not in (HTTP | types("MEDIA_TYPE") if kind is None or sent.method != "POST" else
                         SIGNED | ALLOWED.get(kind, set())):
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


# ---- what an accepted request must have done

def meaning(r, reply, before, after):
    """r: the Reading of a request that was answered with 200 or 201."""
    handler = {"new-order": _new_order, "finalize": _finalize,
               "account": _account_seen, "new-account": _account_seen,
               "key-change": _key_change, "revoke-cert": _revoke,
               "order": _order_seen, "authz": _authz, "cert": _cert,
               "challenge": _challenge, "orders": _orders}.get(r.kind)
    if handler is not None:
        yield from handler(r, reply, before, after)
    table = {"order": "orders", "finalize": "orders", "cert": "certificates",
             "authz": "authorizations", "challenge": "authorizations",
             "alternate": "certificates"}.get(r.kind)
    if table is not None:
        row = before[table].get(r.object)
        if row is None or row["account"] != r.account["id"] or \
                row["profile"] != r.profile:
            yield f"{r.kind} {r.object} was shown to a stranger"


def _row(reply):
    return (reply.header("Location") or "").rpartition("/")[2]


def _account_seen(r, reply, before, after):
    row = after["accounts"].get(_row(reply))
    body = reply.json
    if row is None or row["thumbprint"] != thumbprint(r.key):
        yield "an account that is not stored, or of another key"
        return
    if r.kind == "account" and row["id"] != r.object:
        yield "an answer with another account"
    if body["status"] != row["status"] or \
            body["contact"] != json.loads(row["contacts"]):
        yield f"the account is {row}, not {body}"
    sent = r.payload or {}
    if sent.get("contact") is not None and not sent.get(
            "onlyReturnExisting") and row["status"] == "valid" and \
            (r.kind == "account" or reply.status == 201) and \
            body["contact"] != sent["contact"]:
        yield f"contacts {sent['contact']} became {body['contact']}"
    for contact in body["contact"]:
        if not re.fullmatch(r"(?i:mailto):[^\s,@]+@[^\s,@]+", contact):
            yield f"a contact {contact!r}"
    if sent.get("status") == "deactivated" and r.kind == "account" and \
            body["status"] != "deactivated":
        yield "an account that is not deactivated"
    profile = sent.get("onlyReturnExisting") is True
    if profile and reply.status == 201:
        yield "a new account with onlyReturnExisting"


def good_name(kind, value):
    if kind == "ip":
        try:
            return str(ipaddress.ip_address(value)) == value
        except ValueError:
            return False
    labels = value.removeprefix("*.").split(".")
    return len(value) <= 253 and not labels[-1].isdigit() and all(
        re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", label)
        for label in labels)


def _when(text):
    return datetime.datetime.fromisoformat(
        text.upper().replace("Z", "+00:00")).replace(microsecond=0)


def _new_order(r, reply, before, after):
    row = after["orders"].get(_row(reply))
    body = reply.json
    if row is None or row["account"] != r.account["id"]:
        yield "a new order that is not stored, or not the account's"
        return
    want = []
    for one in r.payload["identifiers"]:
        one = {"type": one["type"], "value": one["value"].lower()}
        if one not in want:
            want.append(one)
    known = row["id"] in before["orders"]   # in its own order

    def order(identifiers):
        return sorted(identifiers, key=str) if known else identifiers
    if order(body["identifiers"]) != order(want):
        yield f"an order for {body['identifiers']}, not {want}"
    for one in body["identifiers"]:
        if one["type"] not in ("dns", "ip") or \
                not good_name(one["type"], one["value"]):
            yield f"an order for {one}"
    for name in ("notBefore", "notAfter"):
        asked = r.payload.get(name)
        if asked is not None and (
                name not in body or _when(body[name]) != _when(asked)):
            yield f"{name} {asked} became {body.get(name)}"
        if asked is None and name in body:
            yield f"{name} that nobody asked for"
    if r.payload.get("profile") not in (None, r.profile):
        yield f"an order of profile {r.payload['profile']}"
    if r.payload.get("replaces") is not None:
        if body.get("replaces") != r.payload["replaces"]:
            yield f"replaces became {body.get('replaces')}"
    elif "replaces" in body:
        yield "an order that replaces something unasked"
    if len(row["authzs"].split()) != len(want):
        yield f"{len(want)} identifiers, authorizations {row['authzs']}"
    for name in row["authzs"].split():
        authz = after["authorizations"].get(name)
        if authz is None or authz["account"] != row["account"]:
            yield f"an order with authorization {name} of another"
    yield from _order_like(body, row)


def authorized(tables):
    """No order of a profile that validates goes on without a validation of
    each of its names, perhaps for an earlier order."""
    for order in tables["orders"].values():
        authzs = [tables["authorizations"].get(z)
                  for z in order["authzs"].split()]
        names = {("*." if z["wildcard"] else "") + z["value"]
                 for z in authzs if z and z["validated"]}
        if order["status"] in ("ready", "processing", "valid") and \
                names != {i["value"] for i in json.loads(
                    order["identifiers"])}:
            yield f"order {order['id']} is {order['status']} with {authzs}"


def _order_like(body, row):
    if body["status"] != row["status"]:
        yield f"order {row['id']} is {row['status']}, not {body['status']}"
    if body["identifiers"] != json.loads(row["identifiers"]):
        yield f"order {row['id']} has other identifiers than it shows"
    if ("certificate" in body) != (row["certificate"] is not None) or \
            ("error" in body) != (row["error"] is not None):
        yield f"order {row['id']} shows {body}"


def _order_seen(r, reply, before, after):
    row = after["orders"].get(r.object)
    if row is not None and row == before["orders"].get(r.object):
        yield from _order_like(reply.json, row)


def _orders(r, reply, before, after):
    for url in reply.json["orders"]:
        row = after["orders"].get(url.rpartition("/")[2])
        if row is None or row["account"] != r.account["id"] or \
                row["profile"] != r.profile:
            yield f"{url} in the list of account {r.account['id']}"


def _authz(r, reply, before, after):
    row = after["authorizations"].get(r.object)
    body = reply.json
    if row is None or (row != before["authorizations"][r.object]
                       and r.payload is None):
        return
    if body["identifier"] != {"type": row["type"], "value": row["value"]} or \
            body["status"] != row["status"]:
        yield f"authorization {row} shows as {body}"
    if r.payload is not None and (
            r.payload.get("status") != "deactivated" or
            body["status"] in ("pending", "valid")):
        yield f"{r.payload} left authorization {r.object} {body['status']}"


def _challenge(r, reply, before, after):
    if reply.json["type"] != r.header["url"].rpartition("/")[2]:
        yield "an answer with another challenge"
    was = before["authorizations"].get(r.object)
    if was and was["status"] == "invalid" and \
            reply.json["status"] not in ("invalid", "pending"):
        yield "a challenge that has come back"


def _cert(r, reply, before, after):
    chain = x509.split_chain(reply.body)
    row = after["certificates"].get(r.object)
    if row is None or len(chain) < 2 or x509.der(chain[0]) != row["der"]:
        yield f"certificate {r.object} is not what was handed out"


def _key_change(r, reply, before, after):
    new = public_key(open_jws(r.payload, "inner")[0]["jwk"])
    header, payload, data, signature = open_jws(r.payload, "inner")
    try:
        verify(new, header["alg"], data, signature)
        inner = strict_json(payload)
        old = public_key(inner["oldKey"])
        if header["url"] != r.header["url"] or \
                inner["account"] != r.header["kid"] or \
                thumbprint(old) != thumbprint(r.key):
            yield f"a key change with {header} and {inner}"
    except (ValueError, KeyError, TypeError) as e:
        yield f"a key change with a bad inner JWS: {e}"
    row = after["accounts"][r.account["id"]]
    if row["thumbprint"] != thumbprint(new):
        yield "a key change that did not change the key"


def _revoke(r, reply, before, after):
    der = jose.unb64(r.payload["certificate"])
    rows = [c for c in before["certificates"].values() if c["der"] == der]
    if len(rows) != 1 or rows[0]["profile"] != r.profile:
        yield "a revocation of what this profile has not issued"
        return
    row = rows[0]
    if row["status"] == "revoked":
        yield f"certificate {row['id']} was revoked twice"
    if after["certificates"][row["id"]]["status"] != "revoked":
        yield f"certificate {row['id']} was revoked and is not"
    if r.payload.get("reason") not in (None, 0, 1, 2, 3, 4, 5, 6, 9) or \
            isinstance(r.payload.get("reason"), bool):
        yield f"a revocation for {r.payload['reason']!r}"
    cert = cx509.load_der_x509_certificate(der)
    if r.account is None:
        if thumbprint(r.key) != thumbprint(cert.public_key()):
            yield "a revocation by a stranger's key"
    elif row["account"] != r.account["id"]:
        held = {("*." if z["wildcard"] else "") + z["value"]
                for z in before["authorizations"].values()
                if z["account"] == r.account["id"] and z["status"] == "valid"
                and z["profile"] == r.profile}
        if x509.names_of(cert) - held:
            yield "a revocation by an account that holds not all names"


KNOWN = {   # what a certificate may have at all
    "2.5.29.17", "2.5.29.15", "2.5.29.37", "2.5.29.35", "2.5.29.14",
    "2.5.29.19", "1.3.6.1.5.5.7.1.1", "2.5.29.31", "2.5.29.32"}


def _finalize(r, reply, before, after):
    was, row = before["orders"][r.object], after["orders"][r.object]
    csr_der = jose.unb64(r.payload["csr"])
    if was["status"] != "ready":
        if was["csr"] != csr_der or was["status"] == "pending":
            yield f"finalize of an order that is {was['status']}"
        return
    csr = cx509.load_der_x509_csr(csr_der)
    if not csr.is_signature_valid:
        yield "a CSR with a wrong signature was taken"
    if thumbprint(r.key) == _thumbprint(csr.public_key()):
        yield "a CSR with the account's key was taken"
    rows = [c for c in after["certificates"].values()
            if c["order_id"] == r.object]
    if row["status"] == "processing":
        return
    if row["status"] != "valid" or len(rows) != 1:
        yield f"finalize left the order {row['status']} with {len(rows)} " \
              "certificates"
        return
    yield from _issued(cx509.load_der_x509_certificate(rows[0]["der"]), csr,
                       was)


def _thumbprint(key):
    try:
        return thumbprint(key)
    except (KeyError, AttributeError):
        return None


def _issued(cert, csr, order):
    if x509.spki(cert.public_key()) != x509.spki(csr.public_key()):
        yield "a certificate with another key than its CSR"
    names = {i["value"] for i in json.loads(order["identifiers"])}
    if x509.names_of(cert) != names:
        yield f"a certificate for {x509.names_of(cert)}, not {names}"
    for e in cert.extensions:
        if e.oid.dotted_string not in KNOWN:
            yield f"a certificate with the extension {e.oid}"
    basic = [e.value for e in cert.extensions
             if isinstance(e.value, cx509.BasicConstraints)]
    usage = [e.value for e in cert.extensions
             if isinstance(e.value, cx509.ExtendedKeyUsage)]
    if any(b.ca for b in basic) or [
            u.dotted_string for u in usage[0]] != ["1.3.6.1.5.5.7.3.1"]:
        yield f"a certificate with {basic} and {usage}"
    for moment, name in ((cert.not_valid_before, "not_before"),
                         (cert.not_valid_after, "not_after")):
        if order[name] is not None and \
                moment != datetime.datetime.utcfromtimestamp(
                    order[name] // 1000000):
            yield f"a certificate with {name} {moment}"
