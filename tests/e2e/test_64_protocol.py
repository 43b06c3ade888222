# SPDX-License-Identifier: ISC
"""The protocol fuzzer (tests/lib/protofuzz.py): a few hundred steps of fixed
seeds, and that its judge would see what is wrong. make proof-protocol takes
many more, and with CERTLOOP_PLANTED bugs are planted that it must find.

Seeds that found a defect once stand in FOUND."""

import os
import tempfile
from pathlib import Path

import pytest

import jose
import proto_judge as judge
import proto_mutate as odd
import protofuzz
from jose import b64, sign_jws
from proto_run import Sent

STEPS = 110
FOUND = {       # seed: steps
}


@pytest.fixture(scope="module")
def ground(build):
    with tempfile.TemporaryDirectory(
            prefix="certloop-protocol-", dir="/dev/shm") as folder:
        Path(folder).chmod(0o755)
        made = protofuzz.Ground(build, folder)
        yield made
        made.close()


@pytest.mark.parametrize("seed", [0, 1, 2, *FOUND])
def test_nothing_that_is_asked_leaves_anything_wrong(ground, seed):
    result = protofuzz.run(ground, seed, FOUND.get(seed, STEPS))
    assert not result.complaints, str(result)
    assert result.figures["accepted"] > 10, result.figures


# ---- the judge

BASE = "https://ca.example"
PATH = "/acme/profile/default/new-order"
KEY = jose.make_key()
PAYLOAD = {"identifiers": [{"type": "dns", "value": "a.example"}]}


def header():
    return {"alg": "ES256", "kid": f"{BASE}/acme/profile/default/account/A",
            "nonce": "AAAA", "url": BASE + PATH}


def store(**more):
    return {"accounts": {"A": {
        "id": "A", "profile": "default", "status": "valid",
        "jwk": jose.compact(KEY.jwk()).decode(), **more}}}


def sent(jws, path=PATH, method="POST", kind="application/jose+json"):
    body = jws if isinstance(jws, bytes) else jose.compact(jws)
    return Sent(method, path, [("Content-Type", kind)], body)


def good():
    return sign_jws(KEY, header(), PAYLOAD)


def test_the_judge_lets_pass_what_is_right():
    reading = judge.read(sent(good()), BASE, store(), set())
    assert (reading.kind, reading.payload) == ("new-order", PAYLOAD)


BAD = {
    "signature": lambda: sent({**good(), "signature": b64(bytes(64))}),
    "another key": lambda: sent(sign_jws(jose.make_key(), header(), PAYLOAD)),
    "payload": lambda: sent({**good(), "payload": b64(b"{}")}),
    "url": lambda: sent(good(), path="/acme/profile/default/new-authz"),
    "method": lambda: sent(good(), method="PUT"),
    "media type": lambda: sent(good(), kind="application/json"),
    "alg": lambda: sent(sign_jws(KEY, {**header(), "alg": "ES384"}, PAYLOAD)),
    "crit": lambda: sent(sign_jws(KEY, {**header(), "crit": ["x"]}, PAYLOAD)),
    "jwk too": lambda: sent(sign_jws(KEY, {**header(), "jwk": KEY.jwk()},
                                     PAYLOAD)),
    "header": lambda: sent({**good(), "header": {}}),
    "a member twice": lambda: sent(odd.write(
        odd.Pairs([*good().items(), ("payload", "e30")]))),
    "twice inside": lambda: sent(sign_jws(KEY, odd.write(
        odd.Pairs([*header().items(), ("nonce", "BBBB")])), PAYLOAD)),
    "padding": lambda: sent({**good(), "signature":
                             good()["signature"] + "=="}),
    "no payload": lambda: sent(sign_jws(KEY, header(), None)),
    "half a character": lambda: sent(sign_jws(KEY, header(),
                                              b'{"a":"\\ud800"}')),
}


@pytest.mark.parametrize("what", BAD)
def test_the_judge_sees_what_must_be_refused(what):
    with pytest.raises(ValueError):
        judge.read(BAD[what](), BASE, store(), set())


def test_the_judge_knows_accounts_and_nonces():
    for state, spent in ((store(status="deactivated"), set()),
                         (store(profile="other"), set()),
                         ({"accounts": {}}, set()), (store(), {"AAAA"})):
        with pytest.raises(ValueError):
            judge.read(sent(good()), BASE, state, spent)


def test_the_judge_sees_changes_that_nobody_may_make():
    def tables(**orders):
        return {"orders": {k: {
            "id": k, "account": "A", "profile": "default", "authzs": "",
            "identifiers": "[]", "not_before": None, "not_after": None,
            "replaces": None, "status": v} for k, v in orders.items()}}
    before = tables(O="ready")
    assert not list(judge.edges(before, tables(O="valid")))
    assert list(judge.edges(before, tables(O="pending")))
    assert list(judge.edges(before, tables()))
    assert list(judge.change(before, tables(O="invalid"), None, "x"))
    reading = judge.read(sent(good()), BASE, store(), set())
    assert list(judge.change(before, tables(O="valid"), reading, "x"))
    assert not list(judge.change(before, tables(O="ready", P="ready"),
                                 reading, "x"))


# ---- bugs that are planted must be found

PLANTED = {     # name: kinds of world in which it shows
    "nonce": ("sqlite", "replicas"),
    "guard": ("sqlite", "postgres"),
    "commit": ("sqlite",),
}
ENOUGH = 20

if "CERTLOOP_PLANTED" in os.environ:    # make proof-protocol
    @pytest.mark.parametrize("bug, kind", [
        (bug, kind) for bug, kinds in PLANTED.items() for kind in kinds])
    def test_a_planted_bug_is_found(ground, figures, build, bug, kind):
        assert b"CERTLOOP_PLANT" in (build / "certloopd").read_bytes(), \
            "this build has no --enable-faults"
        for seed in range(ENOUGH):
            result = protofuzz.run(ground, seed, 400, kind, planted=bug)
            if result.complaints:
                assert "Traceback" not in result.complaints[0], str(result)
                figures(bug=bug, kind=kind, seeds=seed + 1,
                        first=result.complaints[0])
                return
        raise AssertionError(f"{ENOUGH} seeds, and nothing of it was seen")
