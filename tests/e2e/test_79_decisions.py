# SPDX-License-Identifier: ISC
"""The decision trail of an order: what certloopctl order show says of policy,
limits, each try of a validation with its address, CAA, the linter and each
try at the issuer; and that it takes no row of its own."""

import json
import secrets

import pytest

import servers
from challenges import key_authorization
from servers import wait_for
from test_42_challenges import NO_LIMITS, Peers, finish, order_one, wait_authz
from vault_world import KEY, World


def last(url):
    return url.rpartition("/")[2]


def fresh():
    return f"{secrets.token_hex(6)}.decided.example.org"


def decisions(server, order):
    done = server.ctl("--json", "order", "show", last(order.url))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["decisions"]


def steps(found):
    return [(one["step"], one["outcome"]) for one in found]


@pytest.fixture
def peers(tmp_path):
    made = Peers(tmp_path / "peers")
    yield made
    made.close()


def test_an_order_of_a_profile_that_trusts(new_server, engine):
    """Two rows, as ever, and all that was decided is in them."""
    server = new_server(engine, limits="").start()
    client = server.client()
    order, _, _ = client.obtain([fresh(), fresh()])
    found = decisions(server, order)
    assert steps(found) == [
        ("policy", "allowed"), ("limits", "allowed"), ("caa", "off"),
        ("lint", "passed"), ("issuer", "signed")]
    policy, limits, _, _, issuer = found
    assert policy["what"] == "2 names, trust_authenticated"
    assert limits["what"] == "new_order_per_account open_orders_per_account"
    assert issuer["what"].startswith("local, attempt 1, after ")
    rows = server.store.query(
        f"SELECT action FROM audit WHERE order_id = '{last(order.url)}' "
        "ORDER BY at, id")
    assert [row[0] for row in rows] == ["order.create", "certificate.issue"]
    text = server.ctl("order", "show", last(order.url)).stdout
    assert "\ndecisions\n" in text and "trust_authenticated" in text


def test_a_validation_that_fails_and_then_succeeds(new_server, engine, peers):
    server = new_server(engine, profiles=peers.profile(
        "caa = report", timeout="40s"), limits=NO_LIMITS).start()
    client = server.client()
    client.register()
    name = fresh()
    order, url, challenge = order_one(client, name)
    client.post(challenge["url"], {})

    def has_failed():
        body = client.post(challenge["url"]).json
        return body.get("error")
    wait_for(has_failed, 20, "a query that failed")
    under_way = decisions(server, order)
    assert ("validation", "under way") in steps(under_way)
    assert [one["what"] for one in under_way if
            one["outcome"] == "under way"][0].startswith(f"http-01 of {name}")
    peers.http.put(client, challenge["token"])
    client.post(challenge["url"], {})       # again: now
    assert wait_authz(client, url)["status"] == "valid"
    finish(client, order)
    found = decisions(server, order)
    assert steps(found)[:3] == [("policy", "allowed"), ("limits", "none"),
                                ("challenge", "taken up")]
    tries = [one for one in found if one["step"] == "validation"]
    assert len(tries) >= 2 and tries[-1]["outcome"] == "valid"
    for one in tries:
        assert one["what"].startswith(f"http-01 of {name} at 127.0.0.1")
    assert all(one["outcome"] != "valid" and ": " in one["what"]
               for one in tries[:-1])
    assert steps(found)[3 + len(tries):] == [
        ("caa", "allowed"), ("authorization", "valid"), ("caa", "known"),
        ("lint", "passed"), ("issuer", "signed")]
    # the address is for operators: the client was not told
    assert "127.0.0.1" not in json.dumps(client.post(url).json)


@pytest.mark.parametrize("kind", ["http-01", "tls-alpn-01", "dns-01"])
def test_a_validation_in_vain(new_server, peers, kind):
    """Every query with its problem, the first nine and the last."""
    server = new_server(profiles=peers.profile(timeout="2s"),
                        limits=NO_LIMITS).start()
    client = server.client()
    client.register()
    order, url, challenge = order_one(client, fresh(), kind)
    if kind == "tls-alpn-01":
        name = order["identifiers"][0]["value"]
        peers.tls.put(name, [name], key_authorization(client, "wrong"))
    client.post(challenge["url"], {})
    assert wait_authz(client, url)["status"] == "invalid"
    found = decisions(server, order)
    tries = [one for one in found if one["step"] == "validation"]
    assert 1 <= len(tries) <= 10
    for one in tries:
        assert one["outcome"] not in ("valid", "-")
        assert (" at 127.0.0.1" in one["what"]) == (kind != "dns-01"), one
    assert steps(found)[-1] == ("authorization", "invalid")


def test_caa_that_forbids(new_server, engine, peers):
    """At the validation, and at finalize if it has changed meanwhile."""
    server = new_server(engine, profiles=peers.profile("caa = enforce"),
                        extra="", limits=NO_LIMITS, top="caa_identities = "
                        '{ "ca.example.net" }').start()
    client = server.client()
    client.register()
    name = fresh()
    peers.dns.set(name, "CAA", '0 issue "other.example"')
    order, url, challenge = order_one(client, name)
    peers.http.put(client, challenge["token"])
    client.post(challenge["url"], {})
    assert wait_authz(client, url)["status"] == "invalid"
    found = decisions(server, order)
    assert steps(found)[-3:] == [
        ("validation", "valid"), ("caa", "forbidden"),
        ("authorization", "invalid")]


def test_refusals_about_an_order_are_among_its_decisions(new_server, engine):
    server = new_server(engine).start()
    client = server.client()
    client.register()
    order = client.order([fresh()])
    client.send(order["finalize"], {"csr": "AAAA"})
    wait_for(lambda: len(decisions(server, order)) == 3, 10, "the refusal")
    refused = decisions(server, order)[-1]
    assert (refused["step"], refused["outcome"]) == ("csr", "refused")
    assert refused["what"].startswith("badCSR: ")


def test_tries_at_an_issuer_that_is_not_well(new_server, engine, tmp_path):
    """Two answers that are none, and then the certificate."""
    world = World(new_server, tmp_path, engine).start()
    world.next({"status": 429, "headers": {"Retry-After": "1"}}, {})
    order, _, _ = world.client.obtain([f"{secrets.token_hex(4)}.example.org"],
                                      key=KEY)
    found = decisions(world.server, order)
    tries = [one for one in found if one["step"] == "issuer"]
    assert [one["outcome"] for one in tries] == ["rate_limited", "signed"]
    assert found[-2]["step"] == "lint"


def test_an_issuer_that_refuses(new_server, tmp_path):
    world = World(new_server, tmp_path).start()
    order, csr = world.order()
    world.always(sign={"status": 400, "errors": ["not by this role"]})
    assert world.finalize(order, csr).status == 500
    found = decisions(world.server, order)
    assert steps(found)[-2:] == [("issuer", "upstream_4xx"),
                                 ("issuer", "failed")]
    assert "not by this role" in found[-1]["what"] + found[-2]["what"]


def test_an_order_that_another_process_took_over(new_server, engine):
    """It is said so, where the way of a claim went on."""
    server = new_server(engine, top="recovery_interval = 1s").start()
    client = server.client()
    client.register()
    order, _, _ = client.obtain([fresh()])
    ident = last(order.url)
    server.store.execute(
        "UPDATE orders SET status = 'processing', lease = 1, serial = '00' "
        f"WHERE id = '{ident}'")
    wait_for(lambda: ("claim", "taken over") in steps(
        decisions(server, order)), 20, "the recovery")


@pytest.mark.parametrize("count", [1, 30])
def test_details_stay_small(new_server, count):
    """What an issuance writes more is some hundred bytes, however many
    names there are."""
    server = new_server().start()
    client = server.client()
    order, _, _ = client.obtain([fresh() for _ in range(count)])
    sizes = [len(text) for (text,) in server.store.query(
        "SELECT detail FROM audit WHERE order_id = "
        f"'{last(order.url)}'")]
    assert len(sizes) == 2 and sum(sizes) < 300
    assert isinstance(server.store, servers.SqliteStore)
