# SPDX-License-Identifier: ISC
"""A thousand orders of one account open at once, on both engines: all their
authorizations, then all their certificates, side by side."""

import concurrent.futures
import re
import secrets
import time

import pytest

import acme
import challenges
import x509
from servers import wait_for

ORDERS = 1000
SIDE_BY_SIDE = 8


class Crowd:
    """Clients of one account that share work."""

    def __init__(self, client):
        self.clients = [client.twin() for _ in range(SIDE_BY_SIDE)]

    def each(self, step, things):
        """step(client, thing) of all things; what they returned, in order."""
        results = [None] * len(things)

        def work(k):
            for i in range(k, len(things), SIDE_BY_SIDE):
                results[i] = step(self.clients[k], things[i])
        with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            list(pool.map(work, range(SIDE_BY_SIDE)))
        return results


@pytest.fixture
def dns(tmp_path):
    made = challenges.Dns(tmp_path / "dns")
    yield made
    made.close()


@pytest.fixture
def web(tmp_path):
    made = challenges.Http(tmp_path / "http")
    yield made
    made.close()


@pytest.fixture
def server(new_server, engine, dns, web):
    return new_server(engine, profiles=f"""
profile default {{
  issuer = local
  auth_mode = challenge
  resolvers = {{ "{dns.resolver()}" }}
  validation_allow = {{ "127.0.0.0/8" }}
  validation_timeout = 5m
  http_port = {web.port}
}}
""", limits=f"""
  new_account_per_address = 0
  new_order_per_account = 0
  open_orders_per_account = {ORDERS}
  cpu_share = 0
""").start()


def list_orders(client):
    """All pages of the account's list."""
    url, found = client.post(client.kid).json["orders"], []
    while url:
        page = client.post(url)
        found += page.json["orders"]
        url = next(iter(page.links("next")), None)
    return found


def open_orders(server, client):
    account = client.kid.rpartition("/")[2]
    status, document = server.admin("GET", f"/accounts/{account}")
    assert status == 200
    return document["open_orders"]


def count(server, table, status):
    [(n,)] = server.store.query(
        f"SELECT count(*) FROM {table} WHERE status = '{status}'")
    return int(n)


def test_a_thousand_orders_of_one_account(server, web, figures):
    client = server.client()
    client.register()
    crowd = Crowd(client)
    names = [f"{secrets.token_hex(6)}.example.org" for _ in range(ORDERS)]
    took, began = {}, time.monotonic()

    def lap(what):
        nonlocal began
        now = time.monotonic()
        took[what], began = round(now - began, 1), now

    # All open at once, and not one more.
    orders = crowd.each(lambda c, name: c.order([name]), names)
    lap("ordered")
    urls = [order.url for order in orders]
    assert len(set(urls)) == ORDERS
    assert open_orders(server, client) == ORDERS
    assert count(server, "orders", "pending") == ORDERS
    refused = client.send(client.directory["newOrder"], {
        "identifiers": acme.identifiers(["one.too.many.example.org"])})
    assert (refused.status, refused.problem) == (429, "rateLimited")
    assert sorted(list_orders(client)) == sorted(urls)
    lap("listed")

    # Each is authorized.
    def respond(c, order):
        [url] = order["authorizations"]
        [challenge] = [x for x in c.post(url).json["challenges"]
                       if x["type"] == "http-01"]
        web.put(c, challenge["token"])
        while (answer := c.send(challenge["url"], {})).status == 429:
            # An account has its share of the validations under way. It is
            # told to wait for longer than this.
            assert answer.problem == "rateLimited", answer
            assert int(answer.header("Retry-After")) > 0
            time.sleep(0.5)
        assert answer.status == 200, answer
        return answer.json["status"]
    assert set(crowd.each(respond, orders)) <= {"processing", "valid"}
    wait_for(lambda: count(server, "authorizations", "pending") == 0, 240,
             "the validations", 0.2)
    assert count(server, "orders", "ready") == ORDERS
    lap("validated")

    # Each has one certificate.
    key = x509.new_key()

    def finish(c, order):
        [identifier] = order["identifiers"]
        c.finalize(order, x509.make_csr([identifier["value"]], key))
        return c.download(order)
    chains = crowd.each(finish, orders)
    lap("issued")
    leaves = [x509.split_chain(chain)[0] for chain in chains]
    assert [x509.names_of(leaf) for leaf in leaves] == [{n} for n in names]
    assert len({leaf.serial_number for leaf in leaves}) == ORDERS
    figures(orders=ORDERS, seconds=took)
    check_the_end(server, client, urls)


def check_the_end(server, client, urls):
    """What the store, the account, the metrics and the log say of it."""
    assert count(server, "orders", "valid") == ORDERS
    [(issued, of_orders)] = server.store.query(
        "SELECT count(*), count(DISTINCT order_id) FROM certificates")
    assert int(issued) == int(of_orders) == ORDERS
    assert open_orders(server, client) == 0
    assert sorted(list_orders(client)) == sorted(urls)
    series = server.metrics()
    validations = "certloop_validations_%s{type=\"http-01\"%s}"
    assert series[validations % ("total", ',outcome="valid"')] == ORDERS
    assert series[validations % ("running", "")] == 0
    assert series[validations % ("waiting", "")] == 0
    assert series["certloop_orders_created_total"] == ORDERS
    assert series["certloop_certificates_issued_total"] == ORDERS
    assert not re.findall(r".*level=(?:error|warn).*", server.log())
    assert client.order(["after.example.org"]).status == "pending"
