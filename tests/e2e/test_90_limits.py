# SPDX-License-Identifier: ISC
"""Rate limits of one process: exact, explained, and none where 0 is set."""

import pytest

import x509
from acme import Client, Refused
from servers import LOCALHOST  # noqa: F401

LIMITS = """
  new_account_per_address = 0
  new_order_per_account = 0
  open_orders_per_account = 0
"""


def refused(error):
    """A refusal by a limit says when to come back, in header and detail."""
    response = error.value.response
    assert (response.problem, response.status) == ("rateLimited", 429)
    seconds = int(response.header("Retry-After"))
    assert seconds > 0
    return seconds, response.json["detail"]


def names(n):
    return [f"n{n}.limits.example.org"]


@pytest.fixture
def limited(new_server, engine):
    def start(text):
        server = new_server(engine, limits=text)
        return server.start()
    return start


def test_new_orders_of_one_account(limited):
    server = limited("new_order_per_account = \"3/1h\"\n"
                     "open_orders_per_account = 0")
    client, other = server.client(), server.client()
    client.register(), other.register()
    for n in range(3):
        client.order(names(n))
    with pytest.raises(Refused) as error:
        client.order(names(3))
    seconds, detail = refused(error)
    assert 3500 < seconds <= 3600
    assert "new orders" in detail
    other.order(names(4))
    series = server.metrics()
    assert any("refused" in k and "new_order_per_account" in k and v == 1
               for k, v in series.items()), series


def test_open_orders_of_one_account(limited):
    server = limited("new_order_per_account = 0\n"
                     "open_orders_per_account = 2")
    client = server.client()
    client.register()
    first = client.order(names(0))
    client.order(names(1))
    with pytest.raises(Refused) as error:
        client.order(names(2))
    seconds, detail = refused(error)
    assert 3500 < seconds <= 3600
    assert "2 open orders" in detail
    # the same names again are the order that is open already
    assert client.order(names(1)).status == "ready"
    client.finalize(first, x509.make_csr(names(0), x509.new_key()))
    client.order(names(2))


def test_new_accounts_from_one_address(limited):
    server = limited("new_account_per_address = \"2/3h\"")
    first = server.client()
    first.register()
    server.client().register()
    with pytest.raises(Refused) as error:
        server.client().register()
    seconds, detail = refused(error)
    assert 3 * 3600 - 100 < seconds <= 3 * 3600
    assert LOCALHOST in detail or "address" in detail
    # who has an account already takes none
    assert first.register().status == 200


def test_a_reload_changes_a_limit(limited):
    server = limited("new_order_per_account = \"1/1h\"\n"
                     "open_orders_per_account = 0")
    client = server.client()
    client.register()
    client.order(names(0))
    with pytest.raises(Refused):
        client.order(names(1))
    server.limits = "new_order_per_account = \"2/1h\"\n" \
        "open_orders_per_account = 0"
    server.write_config()
    assert server.ctl("reload").returncode == 0
    client.order(names(2))
    with pytest.raises(Refused):
        client.order(names(3))


@pytest.mark.parametrize("text, words", [
    ("backend = memcached", "memory, redis or store"),
    ("new_orders = 5", "new_order_per_account|there is no option"),
    ("new_order_per_account = \"10001/1h\"", "10000"),
    ("new_order_per_account = \"5/500ms\"", "1s"),
    ("new_order_per_account = \"5/32d\"", "31d"),
    ("backend = redis", "address"),
])
def test_a_wrong_limit_stops_the_start(new_server, text, words):
    import re
    server = new_server(limits=text)
    done = server.run("-c", server.file)
    assert done.returncode == 3, done.stdout
    assert re.search(words, done.stdout), done.stdout
