# SPDX-License-Identifier: ISC
"""Refusals after a valid signature: each has its row in the audit trail, with
the problem and who it was; and nobody can fill the store with them."""

import json
import secrets

import pytest

import jose
import servers
import x509

CLOSED = """
profile default {
  issuer = local
  auth_mode = trust_authenticated
  allowed_suffixes = { "example.org" }
  key_types = { "ecdsa-p256" }
}
profile bound {
  issuer = local
  auth_mode = trust_authenticated
  allowed_suffixes = { "example.org" }
  eab_required = true
}
"""


def last(url):
    return url.rpartition("/")[2]


def fresh():
    return f"{secrets.token_hex(6)}.refused.example.org"


def refusals(server):
    """The rows of refusals, the oldest first."""
    done = server.ctl("--json", "audit", "search", "--action",
                      "request.refuse", "--all")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return rows[::-1]


def wait_refusals(server, count):
    servers.wait_for(lambda: len(refusals(server)) >= count, 10,
                     f"{count} rows of refusals")
    return refusals(server)


@pytest.fixture
def closed(new_server, engine):
    return new_server(engine, profiles=CLOSED, limits="""
  new_account_per_address = 0
  new_order_per_account = 3/1h
  open_orders_per_account = 0
""").start()


def test_each_kind_of_refusal_has_its_row(closed):
    client, other = closed.client(), closed.client()
    client.register()
    other.register()
    account = last(client.kid)
    wanted = []

    def refused(response, route, order=None, actor="account:" + account):
        assert response.status in (400, 401, 403, 404, 409, 429), response
        wanted.append({
            "type": response.problem, "route": route, "order": order,
            "actor": actor, "detail": response.json["detail"]})

    new_order = client.directory["newOrder"]

    def ask(name):
        return client.send(new_order, {"identifiers": [
            {"type": "dns", "value": name}]})
    # policy
    refused(ask("www.example.com"), "new-order")
    # a payload that will not do
    refused(client.send(new_order, b"[]"), "new-order")
    # bad CSR, and orders that are not the account's
    order = client.order([fresh()])
    refused(client.send(order["finalize"], {"csr": "AAAA"}), "finalize",
            last(order.url))
    foreign = other.order([fresh()])
    refused(client.send(foreign.url, b""), "order", last(foreign.url))
    name = order["identifiers"][0]["value"]
    csr = x509.make_csr([fresh()], x509.new_key())
    second = client.order([fresh()])
    refused(client.send(second["finalize"], {"csr": jose.b64(csr)}),
            "finalize", last(second.url))
    # limits
    client.order([fresh()])
    refused(ask(name + "x.example.org"), "new-order")
    # a key that has no account
    bound = closed.client(profile="bound")
    refused(bound.send(bound.directory["newAccount"],
                       {"termsOfServiceAgreed": True}, kid=None),
            "new-account", actor="key:" + bound.key.thumbprint())

    rows = wait_refusals(closed, len(wanted))
    found = [{"type": row["detail"]["type"],
              "route": row["detail"]["route"], "order": row["order"],
              "actor": row["actor"], "detail": row["detail"]["detail"]}
             for row in rows]
    for row in wanted:
        assert row in found, (row, found)
    assert len(rows) == len(wanted)
    assert {row["detail"]["type"] for row in rows} >= {
        "rejectedIdentifier", "malformed", "badCSR", "rateLimited",
        "externalAccountRequired"}
    for row in rows:
        assert row["detail"]["peer"] == servers.LOCALHOST
        assert row["detail"]["profile"] in ("default", "bound")
        assert row["detail"]["count"] == 1
        assert row["account"] == (
            None if row["actor"].startswith("key:") else account)
    assert closed.metrics()["certloop_refusal_rows_total"] == len(rows)
    # and by the order
    assert [row["action"] for row in json.loads(closed.ctl(
        "--json", "order", "show", last(order.url)).stdout)["trail"]] == [
            "order.create", "request.refuse"]


def test_what_was_not_signed_well_has_none(closed):
    client = closed.client()
    client.register()
    new_order = client.directory["newOrder"]
    payload = {"identifiers": [{"type": "dns", "value": fresh()}]}
    bad = [
        client.send(new_order, payload, nonce="AAAA"),
        client.send(new_order, payload, key=jose.make_key("ES256")),
        client.send(new_order, payload, kid=client.kid[:-30] + "0" * 8
                    + "A" * 22),
        client.send(new_order, payload, header_url="https://else.where/"),
    ]
    for response in bad:
        assert 400 <= response.status < 500, response
    before = closed.metrics()
    refused = sum(value for name, value in before.items()
                  if name.startswith("certloop_refusals_total"))
    assert refused >= len(bad)
    assert before["certloop_refusals_noted_total"] == 0
    assert refusals(closed) == []


def test_a_replay_of_a_signed_request(closed):
    """Its signature is good, its nonce was used."""
    client = closed.client()
    client.register()
    url = client.directory["newOrder"]
    body = client.sign(url, {"identifiers": [
        {"type": "dns", "value": fresh()}]})
    assert client.send(url, body=body).status == 201
    assert client.send(url, body=body).problem == "badNonce"
    row, = wait_refusals(closed, 1)
    assert row["detail"]["type"] == "badNonce"
    assert row["account"] == last(client.kid)


def test_a_flood_is_folded_and_none_is_forgotten(closed):
    """400 refusals of one account are a handful of rows, whose counts add
    up once the process has ended; a reply does not wait for them."""
    client = closed.client()
    client.register()
    url = client.directory["newOrder"]
    order = client.order([fresh()])
    for n in range(200):
        client.send(url, {"identifiers": [
            {"type": "dns", "value": f"x{n}.example.com"}]})
        client.send(order["finalize"], {"csr": "AAAA"})
    rows = wait_refusals(closed, 2)
    assert len(rows) == 2
    moved = closed.metrics()
    assert moved["certloop_refusals_noted_total"] == 400
    assert moved["certloop_refusal_rows_total"] == 2
    closed.stop()
    counts = [json.loads(text) for (text,) in closed.store.query(
        "SELECT detail FROM audit WHERE action = 'request.refuse'")]
    assert len(counts) <= 4
    assert sum(detail["count"] for detail in counts) == 400
    assert {detail["type"] for detail in counts} == {
        "rejectedIdentifier", "badCSR"}
    last_one = [d for d in counts if d["type"] == "rejectedIdentifier"][-1]
    assert last_one["count"] > 100 and "since" in last_one


def test_a_refusal_costs_the_store_nothing_more_than_its_row(closed):
    """The first refusal by policy has a row; those that follow within the
    minute are counted, and send nothing."""
    def batches():
        return sum(value for name, value in closed.metrics().items()
                   if name.startswith("certloop_store_batches_total"))
    client = closed.client()
    client.register()
    url = client.directory["newOrder"]
    bad = {"identifiers": [{"type": "dns", "value": "www.example.com"}]}
    client.send(url, bad)
    wait_refusals(closed, 1)
    looks = batches()
    for _ in range(200):
        assert client.send(url, bad).status == 400
    # jobs that run beside have some
    assert batches() - looks < 100
    assert len(wait_refusals(closed, 1)) == 1


def test_the_store_is_gone(new_server):
    """What has no row is counted, and said once."""
    server = new_server("postgres", profiles=CLOSED).start()
    client = server.client()
    client.register()
    bad = {"identifiers": [{"type": "dns", "value": "www.example.com"}]}
    assert client.send(client.directory["newOrder"], bad).status == 400
    wait_refusals(server, 1)
    server.store.execute("ALTER TABLE audit RENAME TO elsewhere")
    try:
        for n in range(3):
            client.send(client.directory["newOrder"], {
                "identifiers": [{"type": "nothing", "value": f"x{n}"}]})
        servers.wait_for(lambda: server.metrics()[
            "certloop_refusals_lost_total"] > 0, 10, "a lost refusal")
        server.wait_log("refusals have no row in the audit trail")
    finally:
        server.store.execute("ALTER TABLE elsewhere RENAME TO audit")
