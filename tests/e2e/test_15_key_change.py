# SPDX-License-Identifier: ISC
"""Key change, RFC 8555 section 7.3.5."""

import threading

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

import acme
import jose
import x509
from acme import dns
from jose import b64, sign_jws


def inner(client, new, url=None, payload=None, header=None, signer=None,
          **members):
    """The inner JWS; each part can be replaced, None drops a member."""
    protected = {"alg": new.alg, "jwk": new.jwk(),
                 "url": url or client.directory["keyChange"]}
    protected.update(header or {})
    body = {"account": client.kid, "oldKey": client.key.jwk()}
    body.update(members)
    body = {k: v for k, v in body.items() if v is not None}
    protected = {k: v for k, v in protected.items() if v is not None}
    return sign_jws(signer or new, protected,
                    body if payload is None else payload)


def change(client, new, jws=None, **how):
    """Ask for it; on success the client goes on with the new key."""
    body = jws if jws is not None else inner(client, new)
    response = client.send(client.directory["keyChange"], body, **how)
    if response.status == 200:
        client.key = new
    return response


def outcome(response):
    return response.status, response.problem


@pytest.fixture
def client(server):
    client = server.client()
    client.register(contact=["mailto:a@example.org"])
    return client


@pytest.fixture
def unchanged(client):
    """The old key must still be the one at the end."""
    key = client.key
    yield
    client.key = key
    assert client.post(client.kid).json["status"] == "valid"


@pytest.mark.parametrize("alg", jose.ALGORITHMS)
def test_a_key_is_replaced_by_one_of_each_kind(client, alg):
    old, kid = client.key, client.kid
    response = change(client, jose.make_key(alg))
    assert response.status == 200
    assert response.json["status"] == "valid"
    assert response.json["contact"] == ["mailto:a@example.org"]
    assert response.header("Location") == kid
    assert client.post(kid).json["status"] == "valid"
    refused = client.send(kid, None, key=old)
    assert outcome(refused) == (
        (403, "unauthorized") if alg == old.alg else
        (400, "badSignatureAlgorithm"))


def test_the_new_key_finds_the_account_and_the_old_one_does_not(
        server, client):
    old, new = client.key, jose.make_key()
    assert change(client, new).status == 200
    found = server.client(key=new)
    assert found.register().status == 200
    assert found.kid == client.kid
    lost = server.client(key=old)
    response = lost.send(lost.directory["newAccount"],
                         {"onlyReturnExisting": True})
    assert outcome(response) == (400, "accountDoesNotExist")
    # and may make a new account of its own, as any key
    assert lost.register().status == 201
    assert lost.kid != client.kid


def test_the_old_key_is_refused_everywhere(server, client):
    order, _, _ = client.obtain(["old-key.example.org"])
    old = client.key
    assert change(client, jose.make_key()).status == 200
    leaf = x509.split_chain(client.download(order))[0]
    urls = {
        client.kid: None,
        f"{client.kid}/orders": None,
        order.url: None,
        order["finalize"]: {"csr": b64(x509.make_csr(
            ["old-key.example.org"], x509.new_key()))},
        order["certificate"]: None,
        order["authorizations"][0]: None,
        client.directory["newOrder"]: {
            "identifiers": [dns("a.example.org")]},
        client.directory["revokeCert"]: {
            "certificate": b64(x509.der(leaf))},
    }
    for url, payload in urls.items():
        response = client.send(url, payload, key=old)
        assert outcome(response) == (403, "unauthorized"), (url, response)
        # and no cache was filled with it
        assert client.send(url, payload, key=old).status == 403
    assert client.download(order)


def test_an_open_order_outlives_a_key_change(client):
    """RFC 8555 section 7.3.5."""
    names = ["open.example.org"]
    order = client.order(names)
    assert change(client, jose.make_key()).status == 200
    assert client.refresh(order).status == "ready"
    client.finalize(order, x509.make_csr(names, x509.new_key()))
    assert x509.names_of(x509.split_chain(client.download(order))[0]) == {
        *names}


def test_it_is_written_down(server, client):
    old, new = client.key, jose.make_key()
    assert change(client, new).status == 200
    account = client.kid.rpartition("/")[2]
    rows = server.store.query(
        "SELECT actor, detail FROM audit WHERE action = "
        f"'account.key_change' AND object = '{account}'")
    assert [r[0] for r in rows] == [f"account:{account}"]
    assert old.thumbprint() in rows[0][1]
    assert new.thumbprint() in rows[0][1]


def test_a_key_of_another_account_is_a_conflict(server, client, unchanged):
    other = server.client()
    other.register()
    response = change(client, other.key)
    assert outcome(response) == (409, "malformed")
    assert response.header("Location") == other.kid
    assert other.post(other.kid).json["status"] == "valid"


def test_the_same_key_again_is_a_conflict_too(client, unchanged):
    response = change(client, client.key)
    assert outcome(response) == (409, "malformed")
    assert response.header("Location") == client.kid


def test_a_key_of_an_account_in_another_profile_is_none(server, client):
    other = server.client(profile="other")
    other.register()
    assert change(client, other.key).status == 200


@pytest.mark.parametrize("what", [
    "a nonce", "another url", "no url", "kid", "kid and jwk", "no jwk",
    "another jwk", "bad signature", "wrong alg", "none", "HS256", "account",
    "no account", "oldKey", "no oldKey", "oldKey is the new", "payload",
    "array", "empty", "not JSON", "private", "secp256k1", "unprotected",
])
def test_an_inner_jws_with_something_wrong(client, unchanged, what):
    new, other = jose.make_key(), jose.make_key()
    url = client.directory["keyChange"]
    mac = jose.MacKey(b"x" * 32)
    private = dict(new.jwk(), d=b64(b"x" * 32))
    strange = jose.EcKey("ES256K")
    made = {
        "a nonce": lambda: inner(client, new, header={"nonce": "abc"}),
        "another url": lambda: inner(client, new, url=url + "x"),
        "no url": lambda: inner(client, new, header={"url": None}),
        "kid": lambda: inner(client, new, header={
            "jwk": None, "kid": client.kid}),
        "kid and jwk": lambda: inner(client, new,
                                     header={"kid": client.kid}),
        "no jwk": lambda: inner(client, new, header={"jwk": None}),
        "another jwk": lambda: inner(client, new,
                                     header={"jwk": other.jwk()}),
        "bad signature": lambda: inner(client, new, signer=other),
        "wrong alg": lambda: inner(client, new, header={"alg": "RS256"}),
        "none": lambda: dict(inner(client, new, header={"alg": "none"}),
                             signature=""),
        "HS256": lambda: inner(client, new, header={"alg": "HS256"},
                               signer=mac),
        "account": lambda: inner(client, new, account=client.kid + "x"),
        "no account": lambda: inner(client, new, account=None),
        "oldKey": lambda: inner(client, new, oldKey=other.jwk()),
        "no oldKey": lambda: inner(client, new, oldKey=None),
        "oldKey is the new": lambda: inner(client, new, oldKey=new.jwk()),
        "payload": lambda: inner(client, new, payload="text"),
        "array": lambda: inner(client, new, payload=[]),
        "empty": lambda: inner(client, new, payload=b""),
        "not JSON": lambda: inner(client, new, payload=b"{"),
        "private": lambda: inner(client, new, header={"jwk": private}),
        "secp256k1": lambda: inner(client, strange),
        "unprotected": lambda: dict(inner(client, new),
                                    header={"x": "y"}),
    }[what]()
    response = change(client, new, jws=made)
    problems = {
        "another jwk": (403, "unauthorized"),
        "bad signature": (403, "unauthorized"),
        "wrong alg": (400, "badSignatureAlgorithm"),
        "none": (400, "badSignatureAlgorithm"),
        "HS256": (400, "badSignatureAlgorithm"),
        "private": (400, "badPublicKey"),
        # its algorithm is looked at before its curve
        "secp256k1": (400, "badSignatureAlgorithm"),
    }
    assert outcome(response) == problems.get(what, (400, "malformed"))


@pytest.mark.parametrize("payload", [
    {}, {"protected": "", "payload": "", "signature": ""},
    {"protected": 1, "payload": 2, "signature": 3},
    {"payload": "e30", "signature": "AAAA"},
    {"protected": "e30", "payload": "e30", "signature": "AAAA"},
], ids=str)
def test_what_is_no_inner_jws(client, unchanged, payload):
    response = client.send(client.directory["keyChange"], payload)
    assert outcome(response) == (400, "malformed")


def test_the_outer_jws_must_be_the_accounts(server, client, unchanged):
    new = jose.make_key()
    url = client.directory["keyChange"]
    body = inner(client, new)
    by_new = client.send(url, body, key=new)
    assert outcome(by_new) == (403, "unauthorized")
    by_jwk = client.send(url, body, kid=None)
    assert outcome(by_jwk) == (400, "malformed")
    stranger = server.client()
    stranger.register()
    assert outcome(stranger.send(url, body)) == (400, "malformed")


def test_an_inner_jws_does_for_one_account_only(server, client, unchanged):
    """What another account has signed cannot be sent for this one."""
    new = jose.make_key()
    other = server.client()
    other.register()
    response = client.send(client.directory["keyChange"],
                           inner(other, new))
    assert outcome(response) == (400, "malformed")


def test_weak_new_keys_are_refused(client, unchanged):
    for key in (rsa.generate_private_key(65537, 1024),
                rsa.generate_private_key(3, 2048)):
        response = change(client, jose.RsaKey(private=key))
        assert outcome(response) == (400, "badPublicKey")


def test_of_two_at_once_one_wins(server):
    """The account has the winner's key, all others are refused."""
    for _ in range(3):
        client = server.client()
        client.register()
        keys = [jose.make_key() for _ in range(4)]
        url = client.directory["keyChange"]
        calls = []
        for key in keys:
            twin = client.twin()
            body = twin.sign(url, inner(twin, key))
            calls.append((lambda t, b: lambda: t.send(url, body=b))(
                twin, body))
        answers = acme.at_once(calls)
        won = [k for k, a in zip(keys, answers) if a.status == 200]
        assert len(won) == 1, answers
        lost = [outcome(a) for a in answers if a.status != 200]
        assert lost == [(403, "unauthorized")] * 3
        client.key = won[0]
        assert client.post(client.kid).json["status"] == "valid"
        assert server.store.query(
            "SELECT key_version FROM accounts WHERE id = "
            f"'{client.kid.rpartition('/')[2]}'") in ([(2,)], [("2",)])


def test_two_accounts_wanting_one_key_at_once(server):
    """One gets it, the other hears whose it is."""
    new = jose.make_key()
    both = [server.client() for _ in range(2)]
    calls = []
    for client in both:
        client.register()
        body = client.sign(client.directory["keyChange"],
                           inner(client, new))
        calls.append((lambda c, b: lambda: c.send(
            c.directory["keyChange"], body=b))(client, body))
    answers = acme.at_once(calls)
    assert sorted(a.status for a in answers) == [200, 409]
    winner = both[[a.status for a in answers].index(200)]
    loser = [a for a in answers if a.status == 409][0]
    assert loser.header("Location") == winner.kid


def test_requests_under_way_end_right(server):
    """While a client orders, another thread of it changes the key: each
    order is made under the old key or refused, none fails otherwise."""
    client = server.client()
    client.register()
    other = client.twin()
    results = []

    def order():
        for i in range(40):
            results.append(outcome(other.send(
                other.directory["newOrder"],
                {"identifiers": [dns(f"n{i}.example.org")]})))
    thread = threading.Thread(target=order)
    thread.start()
    while len(results) < 5 and thread.is_alive():
        pass
    assert change(client, jose.make_key()).status == 200
    thread.join()
    seen = [r[0] for r in results]
    assert set(seen) <= {201, 403}
    assert seen == sorted(seen), "the old key was taken again"


def test_a_deactivated_account_changes_nothing(client):
    client.post(client.kid, {"status": "deactivated"})
    response = change(client, jose.make_key())
    assert outcome(response) == (401, "unauthorized")


def test_key_changes_are_limited(new_server):
    server = new_server(limits="key_change_per_account = 2/1h").start()
    client = server.client()
    client.register()
    for _ in range(2):
        assert change(client, jose.make_key()).status == 200
    response = change(client, jose.make_key())
    assert outcome(response) == (429, "rateLimited")
    assert 0 < int(response.header("Retry-After")) <= 3600
    # what was refused for another reason counts for nothing
    other = server.client()
    other.register()
    for _ in range(3):
        assert change(other, jose.make_key(), jws={}).status == 400
    assert change(other, jose.make_key()).status == 200


def test_it_is_counted(server, client):
    name = "certloop_key_changes_total"
    before = server.metrics()[name]
    assert change(client, jose.make_key()).status == 200
    assert server.metrics()[name] == before + 1
