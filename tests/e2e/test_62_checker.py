# SPDX-License-Identifier: ISC
"""The judge of chaos is judged: a small history that is right, and what it
says of each way in which it is not. No server is started."""

import copy
import datetime
import json

import pytest
from cryptography import x509 as cx509
from cryptography.hazmat.primitives import hashes

import checker
import jose
import x509

KEY = x509.new_key()
NOW = datetime.datetime(2030, 1, 1)
PEM = "-----BEGIN"


def certificate(name, serial, key=KEY):
    subject = cx509.Name(
        [cx509.NameAttribute(cx509.NameOID.COMMON_NAME, name)])
    return (cx509.CertificateBuilder().subject_name(subject)
            .issuer_name(subject).public_key(key.public_key())
            .serial_number(serial).not_valid_before(NOW)
            .not_valid_after(NOW + datetime.timedelta(days=1))
            .add_extension(cx509.SubjectAlternativeName(
                [cx509.DNSName(name)]), False)
            .sign(key, hashes.SHA256()))


ONE = certificate("one.example", 0x51)
TWO = certificate("two.example", 0x52)
LOOP = certificate("loop.example", 0x53)


def row(made, id, **more):
    return {"id": id, "order_id": None, "account": None, "loop": None,
            "serial": f"{made.serial_number:x}", "der": x509.der(made),
            "not_before": 1000000, "status": "valid", "revoked_at": None,
            "created": 5000000, **more}


def order(id, name, **more):
    return {"id": id, "account": "A", "status": "valid",
            "profile": "challenge" if id == "O1" else "default",
            "identifiers": json.dumps([{"type": "dns", "value": name}]),
            "csr": x509.make_csr([name], KEY), "attempt": 1, "serial": None,
            "uncertain": 0,
            "cert_not_before": None, "certificate": None, **more}


def told(action, **more):
    return {"at": 0, "action": action, "object": None, "order_id": None,
            "account": None, "serial": None, **more}


def event(kind, **more):
    event.n += 1
    return {"kind": kind, "nonce": f"nonce{event.n:08}", "account": "A",
            "object": None, "body": None, "sent": event.n,
            "answered": event.n + 0.5, "status": 200, "problem": None,
            "location": None, "answer": None, **more}


event.n = 0


def story():
    """An account, an order that is valid, one that is ready, one revoked
    certificate, a key change, a cert loop: all is well."""
    event.n = 0
    valid = {"status": "valid", "certificate": "https://a/cert/C1"}
    tables = {
        "accounts": [{"id": "A", "key_version": 2, "thumbprint": "new"}],
        "orders": [
            order("O1", "one.example", serial="51", certificate="C1",
                  cert_not_before=1000000),
            order("O2", "two.example", certificate="C2"),
            order("O3", "three.example", status="ready", csr=None,
                  attempt=0)],
        "authorizations": [
            {"id": "Z", "order_id": "O1", "value": "one.example",
             "profile": "challenge", "status": "valid", "lease": None}],
        "certificates": [
            row(ONE, "C1", order_id="O1", account="A"),
            row(TWO, "C2", order_id="O2", account="A", status="revoked",
                revoked_at=9000000),
            row(LOOP, "C3", loop="L")],
        "audit": [
            told("account.create", account="A"),
            told("order.create", order_id="O1"),
            told("order.create", order_id="O2", at=1000000),
            told("order.create", order_id="O3"),
            told("order.retake", order_id="O2", at=6000001),
            told("authz.valid", object="Z"),
            told("loop.attempt", object="L"),
            told("loop.attempt", object="L", at=5000000),
            told("certificate.issue", order_id="O1", serial="51"),
            told("certificate.issue", order_id="O2", serial="52"),
            told("certificate.issue", serial="53")],
        "loops": [{"name": "L", "version": 1, "certificate": "C3",
                   "lease_until": None}],
        "limit_stamps": [
            {"id": "new_order_per_account:A", "seq": n, "at": n * 600000}
            for n in range(1, 4)]}
    events = [
        event("new-account", status=201, location="A", account=None),
        event("new-order", status=201, location="O1",
              answer={"status": "ready"}),
        event("new-order", status=201, location="O2",
              answer={"status": "ready"}),
        event("new-order", status=201, location="O3",
              answer={"status": "ready"}),
        event("finalize", object="O1", answer=valid),
        event("order", object="O1", answer=valid),
        event("cert", object="C1", answer=x509.pem(ONE).decode()),
        event("revoke", body={"certificate": jose.b64(x509.der(TWO))}),
        event("key-change", thumbprint="new"),
        event("key-change", thumbprint="newer", status=429)]
    return checker.Facts(
        events, tables, most=2, window=1, counted="redis", asked={},
        metrics=[{"certloop_store_depth": 0.0,
                  "certloop_orders_created_total": 3.0}], lease=5)


def test_a_history_that_is_right_is_not_complained_of():
    assert checker.check(story()) == []


def find(facts, table, **what):
    rows = [r for r in facts.tables[table]
            if all(r[k] == v for k, v in what.items())]
    assert len(rows) == 1, (table, what)
    return rows[0]


def seen(facts, kind):
    return [e for e in facts.events if e["kind"] == kind]


def lose(facts, table, **what):
    facts.tables[table].remove(find(facts, table, **what))


def twice(facts, nonce_of="finalize", **more):
    again = copy.deepcopy(seen(facts, nonce_of)[0])
    again.update(more)
    facts.events.append(again)


# Each: what is done to the story, the rule that must say so, a part of it.
WRONG = {
    "handed out, not stored": (
        lambda f: lose(f, "certificates", id="C1"),
        "handed_out", "stored 0 times"),
    "stored twice": (
        lambda f: f.tables["certificates"].append(row(ONE, "C9", loop="L")),
        "handed_out", "stored 2 times"),
    "another one under its URL": (
        lambda f: seen(f, "cert")[0].update(object="C2"),
        "handed_out", "handed out as C2"),
    "to a stranger": (
        lambda f: seen(f, "cert")[0].update(account="B"),
        "handed_out", "stranger"),
    "nobody's certificate": (
        lambda f: find(f, "certificates", id="C3").update(loop=None),
        "stored", "belongs to nobody"),
    "two certificates of one order": (
        lambda f: f.tables["certificates"].append(
            row(certificate("one.example", 0x54), "C4", order_id="O1")),
        "stored", "is not the one of its order"),
    "signed without a claim": (
        lambda f: find(f, "orders", id="O2").update(attempt=0),
        "stored", "without a claim"),
    "another serial than was claimed": (
        lambda f: find(f, "orders", id="O1").update(serial="99"),
        "stored", "serial that was claimed"),
    "another time than was claimed": (
        lambda f: find(f, "orders", id="O1").update(
            cert_not_before=7000000),
        "stored", "time that was claimed"),
    "another key than was claimed": (
        lambda f: find(f, "orders", id="O1").update(
            csr=x509.make_csr(["one.example"], x509.new_key())),
        "stored", "key that was claimed"),
    "other names than its order's": (
        lambda f: find(f, "orders", id="O1").update(
            identifiers='[{"type": "dns", "value": "other.example"}]'),
        "stored", "names of its order"),
    "a valid order without one": (
        lambda f: find(f, "orders", id="O3").update(status="valid"),
        "stored", "valid with 0"),
    "a name that was not validated": (
        lambda f: f.tables["authorizations"][0].update(status="invalid"),
        "validated", "without a validation of one.example"),
    "an order made ready before it was": (
        lambda f: find(f, "orders", id="O3").update(profile="challenge"),
        "validated", "O3 is ready without"),
    "two validations of one name": (
        lambda f: f.tables["audit"].append(told("authz.valid", object="Z")),
        "audit", "told 2 times"),
    "asked without a claim": (
        lambda f: f.asked.update({"two.example": 2}),
        "asked", "2 times after 1 claims"),
    "a lease ignored": (
        lambda f: find(f, "audit", action="order.retake").update(at=5900000),
        "leases", "O2 was taken over too soon"),
    "a loop's lease ignored": (
        lambda f: find(f, "audit", action="loop.attempt", at=5000000).update(
            at=4999999),
        "leases", "twice at a time"),
    "a nonce twice": (
        lambda f: twice(f), "nonces", "accepted 2 times"),
    "one order too many": (
        lambda f: f.events.extend(
            event("new-order", status=201, location="O3", sent=2.1 + n / 10,
                  answered=2.2 + n / 10, answer={"status": "ready"})
            for n in range(3)),
        "limits", "at most 2"),
    "one stamp too many": (
        lambda f: f.tables["limit_stamps"].append(
            {"id": "new_order_per_account:A", "seq": 4, "at": 2100000}),
        "limits", "counted within"),
    "stuck in processing": (
        lambda f: find(f, "orders", id="O3").update(status="processing"),
        "ends", "O3 is stuck"),
    "stuck in validation": (
        lambda f: f.tables["authorizations"][0].update(lease=1),
        "ends", "Z is stuck"),
    "stuck in an attempt": (
        lambda f: f.tables["loops"][0].update(lease_until=1),
        "ends", "L is stuck"),
    "something under way": (
        lambda f: f.metrics[0].update(certloop_store_depth=1.0),
        "ends", "store_depth is 1"),
    "an account that is gone": (
        lambda f: lose(f, "accounts", id="A"),
        "promised", "account A was made"),
    "an order that is gone": (
        lambda f: lose(f, "orders", id="O3"),
        "promised", "order O3 was shown"),
    "an order of another": (
        lambda f: find(f, "orders", id="O3").update(account="B"),
        "promised", "O3 was shown to a stranger"),
    "an order that was valid": (
        lambda f: find(f, "orders", id="O1").update(status="ready"),
        "promised", "O1 was valid"),
    "an order that was valid, and for a while was not": (
        lambda f: f.events.append(event(
            "order", object="O1", answer={"status": "processing"})),
        "promised", "then processing"),
    "a key that is not the one": (
        lambda f: f.tables["accounts"][0].update(thumbprint="old"),
        "promised", "not the key"),
    "a key change too many": (
        lambda f: f.tables["accounts"][0].update(key_version=3),
        "promised", "2 are stored"),
    "a key change that is gone": (
        lambda f: f.tables["accounts"][0].update(key_version=1),
        "promised", "0 are stored"),
    "a revocation that is gone": (
        lambda f: find(f, "certificates", id="C2").update(
            status="valid", revoked_at=None),
        "promised", "was revoked and is not"),
    "two revocations": (
        lambda f: twice(f, "revoke", nonce="other"),
        "promised", "revoked 2 times"),
    "a change that is not told": (
        lambda f: lose(f, "audit", action="order.create", order_id="O3"),
        "audit", "told 0 times"),
    "a change told twice": (
        lambda f: f.tables["audit"].append(
            told("certificate.issue", serial="51")),
        "audit", "told 2 times"),
    "what never was is told": (
        lambda f: f.tables["audit"].append(
            told("order.create", order_id="O9")),
        "audit", "O9, which is not stored"),
    "more counted than there is": (
        lambda f: f.metrics.append({"certloop_orders_created_total": 1.0}),
        "counters", "orders_created is 4, 3"),
    "two certificates of a loop": (
        lambda f: f.tables["certificates"].append(
            row(certificate("loop.example", 0x55), "C5", loop="L")),
        "loops", "2 certificates for one period"),
    "a result stored after its lease": (
        lambda f: f.tables["loops"][0].update(version=2),
        "loops", "version 2"),
    "a loop without its certificate": (
        lambda f: f.tables["loops"][0].update(certificate="C1"),
        "loops", "lost its certificate"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_complained_of(what):
    change, rule, part = WRONG[what]
    facts = story()
    change(facts)
    complaints = checker.check(facts)
    assert any(c.startswith(rule + ": ") and part in c
               for c in complaints), complaints


# What looks odd and is right: nobody may be accused of it.
RIGHT = {
    "an answer that was lost": lambda f: twice(f, status=None, answer=None),
    "a nonce brought again and refused": lambda f: twice(
        f, status=400, problem="badNonce", answer={}),
    "a certificate that is one too many": lambda f: f.tables[
        "certificates"].append(row(
            certificate("one.example", 0x56), "C6", account="A",
            status="revoked", revoked_at=5000000)),
    "a key change of which nobody knows": lambda f: (
        f.events.append(event("key-change", thumbprint="third",
                              status=None)),
        f.tables["accounts"][0].update(thumbprint="third", key_version=3)),
    "orders across a loss of the counts": lambda f: (
        f.lost.append(2.25), f.events.extend(
            event("new-order", status=201, location="O3",
                  sent=2.1 + n / 10, answered=2.2 + n / 10,
                  answer={"status": "ready"}) for n in range(3))),
    "orders whose answers took longer than the window": lambda f:
        f.events.extend(
            event("new-order", status=201, location="O3", sent=2.1,
                  answered=3.2 + n, answer={"status": "ready"})
            for n in range(4)),
    "asked again, as nobody knew": lambda f: (
        f.asked.update({"two.example": 2}),
        find(f, "orders", id="O2").update(uncertain=1)),
    "two orders with the same names": lambda f: (
        f.asked.update({"two.example": 2}),
        f.tables["orders"].append(order(
            "O4", "two.example", status="invalid", csr=None)),
        f.tables["audit"].append(told("order.create", order_id="O4"))),
    "another attempt after a failure": lambda f: f.tables["audit"].extend(
        [told("loop.fail", object="L", at=5000001),
         told("loop.attempt", object="L", at=5000002)]),
    "an order seen before it was valid": lambda f: f.events.append(event(
        "order", object="O1", sent=0, answer={"status": "processing"})),
}


@pytest.mark.parametrize("what", RIGHT)
def test_what_is_odd_and_right_is_not_complained_of(what):
    facts = story()
    RIGHT[what](facts)
    assert checker.check(facts) == []


def test_each_rule_is_seen_to_complain():
    assert {r.__name__ for r in checker.RULES} == \
        {rule for _, rule, _ in WRONG.values()}
