# SPDX-License-Identifier: ISC
"""What is one account's is nobody else's, and nobody else learns of it.

Each object of one account is asked for by another one, by an account of the
other profile, and through the other profile's URLs, and each time the answer
is the same, to the byte, as for an object that does not exist.
"""

import pytest

import jose
import x509
from jose import b64

NOBODYS = "6aiho6bgZZpp7CrUqVtpXtzbkBFnqQ"


@pytest.fixture(scope="module")
def world(server):
    """An account with one of everything, and two that have nothing."""
    class World:
        owner = server.client()
        stranger = server.client()
        beyond = server.client(profile="other")
    World.order, chain, _ = World.owner.obtain(["isolated.example.org"])
    World.open = World.owner.order(["open.isolated.example.org"])
    World.leaf = x509.split_chain(chain)[0]
    for client in (World.stranger, World.beyond):
        client.register()
    return World


def objects(world):
    """name: (URL, payload) of each thing that belongs to the owner."""
    csr = b64(x509.make_csr(["open.isolated.example.org"],
                            x509.new_key()))
    account = world.owner.kid
    authorization = world.open["authorizations"][0]
    challenge = world.owner.post(authorization).json["challenges"][0]["url"]
    return {
        "order": (world.order.url, None),
        "open order": (world.open.url, None),
        "finalize": (world.open["finalize"], {"csr": csr}),
        "certificate": (world.order["certificate"], None),
        "authorization": (authorization, None),
        "end of the authorization": (
            authorization, {"status": "deactivated"}),
        "challenge": (challenge, {}),
        "challenge, read": (challenge, None),
        "account": (account, None),
        "update of the account": (
            account, {"contact": ["mailto:thief@example.org"]}),
        "end of the account": (account, {"status": "deactivated"}),
        "orders": (f"{account}/orders", None),
    }


NAMES = ["order", "open order", "finalize", "certificate", "authorization",
         "end of the authorization", "challenge", "challenge, read",
         "account", "update of the account", "end of the account", "orders"]


def nobodys(url):
    """The same URL for an object that is not there."""
    words = url.split("/")
    place = [i for i, w in enumerate(words) if len(w) == len(NOBODYS)][0]
    words[place] = NOBODYS
    return "/".join(words)


def elsewhere(url):
    return url.replace("/profile/default/", "/profile/other/")


def seen(response, url, client):
    """All of an answer that could tell something, the id taken out."""
    body = response.body.decode().replace(client.kid, "KID")
    for word in url.split("/"):
        if len(word) == len(NOBODYS):
            body = body.replace(word, "ID")
    fields = {name: response.header(name) for name in (
        "Location", "Retry-After", "Content-Type", "Allow")}
    names = sorted(name.lower() for name, _ in response.fields)
    return response.status, body, fields, names


def assert_same(client, url, payload):
    theirs = client.send(url, payload)
    none = client.send(nobodys(url), payload)
    assert theirs.status >= 400, url
    assert theirs.problem in ("malformed", "unauthorized",
                              "accountDoesNotExist")
    assert seen(theirs, url, client) == seen(
        none, nobodys(url), client), url


def test_every_object_is_in_the_list(world):
    assert list(objects(world)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_objects_of_others_are_as_if_they_were_not_there(world, name):
    url, payload = objects(world)[name]
    assert_same(world.stranger, url, payload)
    assert_same(world.stranger, elsewhere(url), payload)
    assert_same(world.beyond, url, payload)
    assert_same(world.beyond, elsewhere(url), payload)


@pytest.mark.parametrize("name", NAMES)
def test_the_owner_finds_nothing_through_the_other_profile(world, name):
    """Signed by the right account, asked for at the wrong place."""
    url, payload = objects(world)[name]
    assert_same(world.owner, elsewhere(url), payload)


def test_the_owner_still_has_it_all(world):
    """Nothing of what the others tried has changed anything."""
    owner = world.owner
    for name in NAMES:
        url, payload = objects(world)[name]
        for client in (world.stranger, world.beyond):
            client.send(url, payload)
            client.send(elsewhere(url), payload)
    account = owner.post(owner.kid).json
    assert account["status"] == "valid" and not account.get("contact")
    assert owner.post(world.open.url).json["status"] == "ready"
    for url in world.open["authorizations"]:
        assert owner.post(url).json["status"] == "valid"
    assert owner.download(world.order)


def test_the_key_of_the_owner_is_nobody_in_the_other_profile(world):
    url = elsewhere(world.order.url)
    kid = world.owner.kid
    for kid in (kid, elsewhere(kid), nobodys(elsewhere(kid))):
        response = world.owner.send(url, None, kid=kid)
        assert (response.status, response.problem) == (
            400, "accountDoesNotExist")


def test_revocation_tells_nothing(world):
    changed = bytearray(x509.der(world.leaf))
    changed[-1] ^= 1
    for client in (world.stranger, world.beyond):
        url = client.directory["revokeCert"]
        theirs = client.send(
            url, {"certificate": b64(x509.der(world.leaf))})
        none = client.send(url, {"certificate": b64(bytes(changed))})
        assert theirs.status == 403
        assert seen(theirs, url, client) == seen(none, url, client)


def test_lists_hold_what_is_ones_own(world):
    """Though both have ordered the same name."""
    mine = world.stranger.order(["isolated.example.org"])
    orders = world.stranger.post(f"{world.stranger.kid}/orders").json
    assert orders["orders"] == [mine.url]
    assert mine.url not in world.owner.post(
        f"{world.owner.kid}/orders").json["orders"]


def test_an_order_of_ones_own_finds_no_others(world):
    """The same names at the same time: two accounts, two orders."""
    mine = world.stranger.order(["open.isolated.example.org"])
    assert mine.url != world.open.url
    assert not set(mine["authorizations"]) & set(
        world.open["authorizations"])


def test_a_key_change_cannot_take_an_account(world):
    """Naming the owner's account inside, signed by the stranger outside."""
    new = jose.make_key()
    for client in (world.stranger, world.beyond):
        url = client.directory["keyChange"]
        inner = jose.sign_jws(
            new, {"alg": new.alg, "jwk": new.jwk(), "url": url},
            {"account": world.owner.kid, "oldKey": world.owner.key.jwk()})
        assert client.send(url, inner).problem == "malformed"
    assert world.owner.post(world.owner.kid).status == 200
