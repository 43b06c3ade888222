# SPDX-License-Identifier: ISC
"""Retention: what is swept out of the store when it is long past, what is
not, and that however much of it there is requests have their share."""

import os
import time

import pytest

from servers import wait_for

DAY = 86400 * 10**6
# due rows of a kind; the proof has a million
ROWS = int(os.environ.get("CERTLOOP_DUE_ROWS", "800"))
BATCH = 100             # rows of one batch, gc.c
TOP = """
gc_interval = 0
order_retention = 10d
certificate_retention = 20d
audit_retention = 30d
"""


def now(store):
    return int(time.time() * 10**6)


def gc(server):
    assert server.ctl("gc", "run").returncode == 0


def rows(server, sweep):
    return server.metrics().get(
        f'certloop_gc_rows_total{{sweep="{sweep}"}}', 0)


def count(server, table, where="1 = 1"):
    return int(server.store.query(
        f"SELECT count(*) FROM {table} WHERE {where}")[0][0])


@pytest.fixture
def swept(new_server, engine):
    """A server with three certificates, each of an order of its own."""
    server = new_server(engine, top=TOP).start()
    client = server.client()
    client.register()
    chains = [client.obtain([f"n{n}.sweep.example.org"])[0]
              for n in range(3)]
    return server, client, chains


def age_certificate(server, order, days):
    """As if it had expired so long ago."""
    end = now(server.store) - days * DAY
    one = order["certificate"].rpartition("/")[2]
    server.store.execute(
        f"UPDATE certificates SET not_before = {end - DAY}, "
        f"not_after = {end} WHERE id = '{one}'")
    return one


def done(server):
    """Run the sweeps to their end."""
    before = server.metrics()["certloop_gc_runs_total"]
    # both kinds, and each may be under way
    wait_for(lambda: server.ctl("gc", "run").returncode == 0, 20, "gc run")
    wait_for(lambda: server.metrics()["certloop_gc_runs_total"]
             >= before + 2, 20, "the runs to begin")
    # another one begins when the one before is over
    wait_for(lambda: server.ctl("gc", "run").returncode == 0, 60,
             "the end of the run")
    wait_for(lambda: server.metrics()["certloop_gc_runs_total"]
             >= before + 3, 60, "another run")


def test_certificates_go_with_their_orders_when_they_are_long_expired(swept):
    server, client, orders = swept
    age_certificate(server, orders[0], 21)
    kept = age_certificate(server, orders[1], 19)
    done(server)
    wait_for(lambda: rows(server, "old_certificates") == 1, 20, "the sweep")
    assert rows(server, "old_orders") == 1
    assert count(server, "certificates") == count(server, "orders") == 2
    assert count(server, "certificates", f"id = '{kept}'") == 1
    # and what they were found by
    assert count(server, "certificate_names") == 2
    assert client.send(orders[0].url).status == 404
    assert client.send(orders[0]["certificate"]).status == 404
    assert client.send(orders[1].url).status == 200
    assert client.send(orders[2]["certificate"]).status == 200
    assert server.metrics()["certloop_gc_failures_total"] == 0


def test_loops_that_stopped_long_ago_go(new_server, engine, tmp_path):
    text = "".join(f"""
loop l{n} {{
  names = {{ l{n}.example.org }}
  folder = "{tmp_path}/l{n}"
}}
""" for n in range(5))
    server = new_server(engine, top=TOP, extra=text).start()
    wait_for(lambda: count(server, "loops", "version = 1") == 5, 30, "pairs")
    # all but the last are not wanted any more
    server.write_config(server.file.read_text().replace(
        text, text[text.index("\nloop l4"):]))
    assert server.ctl("reload").returncode == 0
    wait_for(lambda: count(server, "loops", "state = 'stopped'") == 4, 20,
             "them to stop")
    for name, stopped, ended in (("l0", 21, 21), ("l1", 19, 21),
                                 ("l2", 21, 19), ("l4", 21, 21)):
        server.store.execute(
            f"UPDATE loops SET updated = {now(server.store) - stopped * DAY},"
            f" not_after = {now(server.store) - ended * DAY}"
            f" WHERE name = '{name}'")
    done(server)
    wait_for(lambda: rows(server, "old_loops") == 1, 20, "the sweep")
    assert sorted(server.store.query("SELECT name FROM loops")) == [
        ("l1",), ("l2",), ("l3",), ("l4",)]


def test_a_revoked_certificate_stays_until_it_has_expired_and_was_listed(
        swept):
    server, client, orders = swept
    store = server.store
    for order in orders[:2]:
        one = order["certificate"].rpartition("/")[2]
        store.execute(
            "UPDATE certificates SET status = 'revoked', reason = 0, "
            f"revoked_at = {now(store) - 40 * DAY} WHERE id = '{one}'")
    expired = age_certificate(server, orders[0], 21)
    # no CRL was made since
    wait_for(lambda: count(server, "crls") == 1, 20, "a CRL")
    store.execute(f"UPDATE crls SET since = {now(store) - 25 * DAY}")
    done(server)
    assert count(server, "certificates") == 3
    # the one before the newest was made after its end
    store.execute(f"UPDATE crls SET since = {now(store) - 20 * DAY}")
    done(server)
    wait_for(lambda: count(server, "certificates") == 2, 20, "the sweep")
    assert count(server, "certificates", f"id = '{expired}'") == 0
    assert count(server, "certificates", "status = 'revoked'") == 1


def test_a_revocation_that_the_issuer_has_not_heard_of_stays(swept):
    server, client, orders = swept
    one = age_certificate(server, orders[0], 400)
    server.store.execute(
        f"UPDATE certificates SET tell_at = {now(server.store) + DAY} "
        f"WHERE id = '{one}'")
    done(server)
    assert count(server, "certificates") == count(server, "orders") == 3


def test_what_came_to_nothing_goes_after_its_retention(swept):
    server, client, orders = swept
    store = server.store
    for n, days in enumerate((11, 9)):
        order = client.order([f"bad{n}.sweep.example.org"])
        store.execute(
            "UPDATE orders SET status = 'invalid', "
            f"updated = {now(store) - days * DAY} "
            f"WHERE id = '{order.url.rpartition('/')[2]}'")
        store.execute(
            "UPDATE authorizations SET status = 'expired', lease = NULL, "
            f"expires = {now(store) - days * DAY} "
            f"WHERE order_id = '{order.url.rpartition('/')[2]}'")
    before = count(server, "authorizations")
    done(server)
    wait_for(lambda: rows(server, "old_orders") == 1, 20, "the sweep")
    assert count(server, "orders", "status = 'invalid'") == 1
    assert rows(server, "old_authorizations") == \
        before - count(server, "authorizations")
    # those of good orders are as they were
    assert count(server, "orders", "status = 'valid'") == 3
    for order in orders:
        assert client.send(order.url).status == 200


def test_the_audit_trail_goes_after_its_retention(swept):
    server = swept[0]
    total = count(server, "audit")
    ids = server.store.query("SELECT id FROM audit ORDER BY at LIMIT 2")
    for (one,), days in zip(ids, (31, 29)):
        server.store.execute(
            f"UPDATE audit SET at = {now(server.store) - days * DAY} "
            f"WHERE id = '{one}'")
    done(server)
    wait_for(lambda: rows(server, "old_audit") == 1, 20, "the sweep")
    assert count(server, "audit", f"id = '{ids[0][0]}'") == 0
    assert count(server, "audit", f"id = '{ids[1][0]}'") == 1
    assert count(server, "audit") >= total - 1


def test_without_retention_all_is_kept(new_server, engine):
    server = new_server(engine, top="gc_interval = 0\n"
                        "order_retention = 0\ncertificate_retention = 0")
    server.start()
    client = server.client()
    client.register()
    order = client.obtain(["kept.sweep.example.org"])[0]
    age_certificate(server, order, 3000)
    server.store.execute("UPDATE audit SET at = at / 10")
    audit = count(server, "audit")
    done(server)
    assert count(server, "certificates") == count(server, "orders") == 1
    assert count(server, "audit") >= audit


# ---- much of it

def series(engine, first, n):
    """A relation with a column n of so many numbers."""
    if engine == "postgres":
        return f"(SELECT generate_series({first}, {first + n - 1}) AS n) s"
    return (f"(WITH RECURSIVE s(n) AS (SELECT {first} UNION ALL SELECT n + 1 "
            f"FROM s WHERE n < {first + n - 1}) SELECT n FROM s) s")


def fill(server, n):
    """n invalid orders that are long past."""
    end = now(server.store) - 11 * DAY
    server.store.execute(
        "INSERT INTO orders (id, account, profile, status, identifiers, "
        "names_hash, authzs, expires, created, updated) SELECT 'due' || n, "
        "'nobody', 'default', 'invalid', '[]', 'none', '', "
        f"{end}, {end}, {end} - n FROM {series(server.store.engine, 1, n)}")


def requests(client, until):
    """What each of a row of signed requests took, in seconds."""
    took = []
    while not until():
        answer = client.send(client.kid)
        assert answer.status == 200, answer
        took.append(answer.seconds)
    return took


def p99(took):
    return sorted(took)[len(took) * 99 // 100] * 1000


def test_due_rows_go_in_small_batches(new_server, engine, figures):
    """However many there are: a bounded batch, then time for others."""
    server = new_server(engine, top=TOP).start()
    client = server.client()
    client.register()
    end = time.monotonic() + min(20, ROWS / 1000)
    idle = requests(client, lambda: time.monotonic() > end)
    fill(server, ROWS)
    before = server.metrics()["certloop_gc_batches_total"]
    began = time.monotonic()
    busy = []
    while rows(server, "old_orders") < ROWS:
        if server.metrics()["certloop_gc_runs_total"] < 2 or ROWS > 10000:
            server.ctl("gc", "run")     # a run has its bound
        batch = time.monotonic() + 0.5
        busy += requests(client, lambda: time.monotonic() > batch)
        assert time.monotonic() - began < 60 + ROWS / 500
    took = time.monotonic() - began
    batches = server.metrics()["certloop_gc_batches_total"] - before
    assert count(server, "orders", "account = 'nobody'") == 0
    assert rows(server, "old_orders") == ROWS
    assert batches >= ROWS / BATCH
    assert server.metrics()["certloop_gc_failures_total"] == 0
    assert len(busy) > 10
    figures(rows=ROWS, seconds=round(took, 1), batches=int(batches),
            requests=len(busy), idle_p99_ms=round(p99(idle), 2),
            p99_ms=round(p99(busy), 2))
