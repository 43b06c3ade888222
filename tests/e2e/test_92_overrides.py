# SPDX-License-Identifier: ISC
"""Limits of a profile, and of one account."""

import json
import time

import pytest

import fleet
from acme import Client, Refused
from servers import wait_for

PROFILES = """
profile default {
  issuer = local
  auth_mode = trust_authenticated
  open = true
}
profile busy {
  issuer = local
  auth_mode = trust_authenticated
  open = true
  new_order_per_account = "4/1h"
  open_orders_per_account = 3
}
profile free {
  issuer = local
  auth_mode = trust_authenticated
  open = true
  new_order_per_account = 0
}
"""
LIMITS = """
  new_account_per_address = 0
  new_order_per_account = "2/1h"
  open_orders_per_account = 0
"""


@pytest.fixture
def server(new_server, engine):
    return new_server(engine, profiles=PROFILES, limits=LIMITS).start()


def registered(server, profile):
    client = server.client(profile=profile)
    client.register()
    return client


def most(client, tries):
    """How many of so many new orders pass, and the last refusal."""
    passed, detail = 0, None
    for n in range(tries):
        try:
            client.order([f"n{n}-{passed}.override.example.org"])
            passed += 1
        except Refused as error:
            assert error.problem == "rateLimited"
            detail = error.response.json["detail"]
    return passed, detail


def ctl(server, *words, code=0):
    done = server.ctl("limit", "override", *words)
    assert done.returncode == code, done
    return done.stdout + (done.stderr or "")


def test_a_profile_has_limits_of_its_own(server):
    assert most(registered(server, "default"), 4)[0] == 2
    assert most(registered(server, "free"), 6) == (6, None)
    passed, detail = most(registered(server, "busy"), 4)
    assert passed == 3 and "at most 3" in detail


def test_an_account_has_limits_of_its_own(server):
    client, other = registered(server, "busy"), registered(server, "busy")
    account = client.kid.rpartition("/")[2]
    assert most(client, 1)[0] == 1
    ctl(server, "set", account, "open_orders_per_account", "0")
    ctl(server, "set", account, "new_order_per_account", "6/2h")
    text = ctl(server, "list", account, "--json")
    assert json.loads(text)["items"] == [
        {"name": "new_order_per_account", "on": True, "max": 6,
         "window_seconds": 7200},
        {"name": "open_orders_per_account", "on": False, "max": 0,
         "window_seconds": None}]
    server.stop()       # counts go
    server.start()
    passed, detail = most(client, 8)
    assert passed == 6 and "at most 6 in 2 h" in detail
    assert most(other, 5)[0] == 3
    ctl(server, "remove", account, "new_order_per_account")
    text = ctl(server, "list", account)
    assert "open_orders_per_account" in text
    assert "new_order_per_account" not in text
    actions = [row[0] for row in server.store.query(
        "SELECT action FROM audit WHERE action LIKE 'limit%' ORDER BY at")]
    assert actions == ["limit.override.set"] * 2 + ["limit.override.remove"]


@pytest.mark.parametrize("words, says", [
    (["new_account_per_address", "5/1h"], "new_order_per_account"),
    (["no_such", "5/1h"], "new_order_per_account"),
    (["new_order_per_account", "5"], "MAX/WINDOW"),
    (["new_order_per_account", "10001/1h"], "10000"),
    (["new_order_per_account", "5/32d"], "31d"),
    (["new_order_per_account", "5/0s"], "MAX/WINDOW"),
    (["open_orders_per_account", "5/1h"], "a number"),
])
def test_a_wrong_override_is_refused(server, words, says):
    client = registered(server, "default")
    account = client.kid.rpartition("/")[2]
    done = server.ctl("limit", "override", "set", account, *words)
    assert done.returncode != 0
    assert says in done.stdout + (done.stderr or "")
    rows = server.store.query("SELECT count(*) FROM accounts "
                              "WHERE limits <> ''")
    assert int(rows[0][0]) == 0


def test_an_override_holds_on_every_replica_within_five_seconds(replicas):
    """Each of them knows the account already, and counts for itself."""
    members = replicas(limits="""
        new_account_per_address = 0
        new_order_per_account = "1/1h"
        open_orders_per_account = 0""")
    client = fleet.client_of(members)
    client.register()
    account = client.kid.rpartition("/")[2]
    one_by_one = [Client(client.directory_url, key=client.key,
                         http=fleet.Round([member])) for member in members]

    def passes(one, n):
        try:
            one.order([f"n{n}.override.example.org"])
            return True
        except Refused as error:
            assert error.problem == "rateLimited"
            return False
    for one in one_by_one:
        one.kid = client.kid
        assert passes(one, 1) and not passes(one, 2)

    def everywhere(n, wanted):
        """Whatever one replica says, within 5 s all do."""
        began = time.monotonic()
        for one in one_by_one:
            wait_for(lambda one=one: passes(one, n) == wanted, 5,
                     "a replica to hear of it")
        assert time.monotonic() - began < 5
    ctl(members[1], "set", account, "new_order_per_account", "2/1h")
    everywhere(3, True)
    for one in one_by_one:
        assert not passes(one, 4)
    ctl(members[2], "set", account, "new_order_per_account", "1000/1h")
    everywhere(5, True)
    ctl(members[0], "remove", account, "new_order_per_account")
    everywhere(6, False)


def test_an_account_without_an_override_has_none_to_remove(server):
    client = registered(server, "default")
    account = client.kid.rpartition("/")[2]
    done = server.ctl("limit", "override", "remove", account,
                      "new_order_per_account")
    assert done.returncode != 0
    assert server.ctl("limit", "override", "list",
                      account[:-4] + "AAAA").returncode != 0
