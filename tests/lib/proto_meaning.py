# SPDX-License-Identifier: ISC
"""What a request that was accepted must have done, for the protocol fuzzer:
its answer, the store before and behind it, and the certificate compared. See
proto_judge.py; each function yields complaints."""

import datetime
import ipaddress
import json
import re

from cryptography import x509 as cx509

import jose
import x509
from proto_judge import (
    open_jws, public_key, strict_json, thumbprint, verify)


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
