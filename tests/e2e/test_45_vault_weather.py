# SPDX-License-Identifier: ISC
"""Vault in every weather: each class of failure, and who hears what of it;
telling it of revocations while it fails, hangs, refuses and comes back."""

import time

import x509
from jose import b64
from servers import wait_for
from vault_world import KEY, QUICK, fresh

CLASSES = ("timeout", "auth", "rate_limited", "validation", "upstream_4xx",
           "upstream_5xx", "network", "other")

# What a client is told, and what becomes of its order.
LATER = (503, "ready", "deferred")      # surely nothing was signed
REFUSED = (500, "invalid", "failure")
NOT_OURS = (500, "invalid", "failure", "duplicate")
UNSURE = (503, "invalid", "failure")    # asked once more, not a third time

# class: what Vault does; how it ends; requests (None: as long as the client
# waits); words of the client's problem
WEATHER = {
    "timeout": ({"hang": True}, UNSURE, 2, "asked twice"),
    "auth": ({"status": 403, "errors": ["permission denied"]}, LATER, None,
             ""),
    "rate_limited": ({"status": 429, "headers": {"Retry-After": "77"}},
                     LATER, 1, ""),
    "validation": ({"lie": "extra_name"}, NOT_OURS, 1,
                   "did not return what was ordered"),
    "upstream_4xx": ({"status": 400, "errors": ["not allowed by this role"]},
                     REFUSED, 1, "refuses"),
    "upstream_5xx": ({"status": 503, "errors": ["Vault is sealed"]}, LATER, 1,
                     ""),
    "network": ({"die": True}, UNSURE, 2, "asked twice"),
    "other": ({"raw": "<html>"}, REFUSED, 2, "asked twice"),
}


def series(server, family):
    """{labels but the issuer: value} of Vault's."""
    begin = f'certloop_{family}{{issuer="vault",'
    return {name.removeprefix(begin).split('"')[1]: value
            for name, value in server.metrics().items()
            if name.startswith(begin)}


def moved(before, after):
    return {k: v - before.get(k, 0) for k, v in after.items()
            if v != before.get(k, 0)}


def test_each_class_of_failure_moves_its_counter_and_no_other(world, engine):
    assert set(WEATHER) == set(CLASSES)
    w = world(engine, top=QUICK + "finalize_wait = 5s",
              options="timeout = 1s\n breaker_failures = 0").start()
    for which, (answer, ends, asked, words) in WEATHER.items():
        failures = series(w.server, "issuance_failures_total")
        outcomes = series(w.server, "issuance_total")
        before = len(w.signs())
        order, csr = w.order()
        w.always(sign=answer)
        response = w.finalize(order, csr)
        status, becomes, *counted = ends
        assert (response.status, response.problem) == (
            status, "serverInternal"), (which, response)
        assert words in response.json["detail"], which
        assert w.status(order) == becomes, which
        if becomes == "ready":
            assert int(response.header("Retry-After")) > 0, which
        else:
            assert order["error"]["detail"] == response.json["detail"]
        sent = len(w.signs()) - before
        assert sent == (asked or sent) and sent > 0, which
        assert moved(failures, series(w.server, "issuance_failures_total")
                     ) == {which: sent}
        assert moved(outcomes, series(w.server, "issuance_total")
                     ) == dict.fromkeys(counted, 1), which
        # then the sun shines again: the order that waits, or a new one
        w.always(sign=None)
        if becomes == "ready":
            w.client.finalize(order, csr)
        else:
            w.client.obtain([f"{which.replace('_', '-')}.example.org"],
                            key=KEY)
    assert set(series(w.server, "issuance_failures_total")) == set(CLASSES)
    # one certificate each, and the lie, which is revoked
    rows = w.rows("SELECT status FROM certificates ORDER BY status")
    assert [r[0] for r in rows] == ["revoked"] + ["valid"] * len(CLASSES)


# ---- it is told of revocations

def revoke(client, pem):
    leaf = x509.split_chain(pem)[0]
    client.post(client.directory["revokeCert"],
                {"certificate": b64(x509.der(leaf))})
    serial = "%x" % leaf.serial_number
    return serial.zfill(len(serial) + len(serial) % 2)


def told(w, result):
    return w.server.metrics().get(
        f'certloop_revocations_told_total{{result="{result}"}}', 0)


def tells(w, serial):
    """When Vault was asked to revoke it."""
    with w.peer.lock:
        return [r["at"] for r in w.peer.requests
                if r["path"].endswith("/revoke")
                and r["body"]["serial_number"].replace(":", "") == serial]


def row(w, serial):
    """(tries, seconds until it is told again or None, was told)"""
    now = time.time()
    (tries, at, when), = w.rows(
        "SELECT tell_tries, COALESCE(tell_at, 0), COALESCE(issuer_told, 0) "
        f"FROM certificates WHERE serial = '{serial}'")
    return (int(tries), int(at) / 1e6 - now if int(at) else None,
            int(when) > 0)


def make_due(w, serial):
    w.server.store.execute("UPDATE certificates SET tell_at = 1 "
                           f"WHERE serial = '{serial}'")


def test_vault_hears_of_a_revocation_in_the_end(world, engine):
    """It is away, hangs, refuses the token, does not know the certificate,
    has no such path, and comes back."""
    w = world(engine, top=QUICK,
              options="timeout = 1s\n breaker_failures = 0").start()
    _, pem, _ = w.client.obtain(fresh(), key=KEY)
    weather = [{"status": 503}, {"hang": True}, {"status": 403},
               {"status": 404}, {"status": 400}, {"die": True},
               {"status": 429, "headers": {"Retry-After": "5"}},
               {"status": 500}, {"lose": True}]
    waits = [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    w.peer.command({"script": {"revoke": weather}})
    serial = revoke(w.client, pem)
    for n, wait in enumerate(waits, 1):
        wait_for(lambda: told(w, "failed") == n, 20, f"failure {n}")
        wait_for(lambda: row(w, serial)[1] > 6, 10, "the row")
        tries, again, done = row(w, serial)
        assert (tries, done) == (n, False)
        assert wait - 10 < again < wait + 5, n
        w.server.wait_log("while telling an issuer of a revocation.*"
                          f"{serial}.*again_seconds={wait}")
        assert told(w, "told") == 0
        make_due(w, serial)
    wait_for(lambda: told(w, "told") == 1, 20, "the end")
    wait_for(lambda: row(w, serial)[1:] == (None, True), 10, "the row")
    assert w.revoked() == {serial}
    assert len(tells(w, serial)) == len(weather) + 1
    assert told(w, "failed") == len(weather)
    assert w.server.process.poll() is None
    # what was lost on the way was done, and once more does no harm
    time.sleep(1.5)
    assert len(tells(w, serial)) == len(weather) + 1


def test_who_hangs_is_asked_once_at_a_time(world, engine):
    """A request that takes longer than a lease is not sent again meanwhile;
    its end counts, so the pauses grow."""
    w = world(engine, top=QUICK, options="timeout = 13s").start()
    _, pem, _ = w.client.obtain(fresh(), key=KEY)
    w.always(revoke={"hang": True})
    serial = revoke(w.client, pem)
    wait_for(lambda: told(w, "failed") == 1, 30, "the failure")
    wait_for(lambda: row(w, serial)[1] > 6, 10, "the row")
    assert len(tells(w, serial)) == 1
    assert row(w, serial)[0] == 1


def test_an_issuer_that_never_heard_is_given_up_when_it_expired(
        world, engine):
    w = world(engine, top=QUICK).start()
    _, pem, _ = w.client.obtain(fresh(), key=KEY)
    w.always(revoke={"status": 400, "errors": ["not found"]})
    serial = revoke(w.client, pem)
    wait_for(lambda: told(w, "failed") == 1, 20, "the failure")
    assert told(w, "given_up") == 0
    # a while ago, but not so long that it is swept
    ended = int((time.time() - 60) * 1e6)
    w.server.store.execute(
        f"UPDATE certificates SET not_before = 1, not_after = {ended}, "
        f"tell_at = 1 WHERE serial = '{serial}'")
    wait_for(lambda: told(w, "given_up") == 1, 20, "the last failure")
    assert told(w, "failed") == 2
    w.server.wait_log("an issuer never heard of a revocation.*" + serial)
    assert row(w, serial)[1:] == (None, False)
    time.sleep(2.5)
    assert len(tells(w, serial)) == 2


def test_a_frozen_vault_keeps_no_other_issuer_from_hearing(world, engine):
    """More of its revocations are due than are told at once; the local CA's
    are published all the same."""
    w = world(engine, top=QUICK, options="timeout = 5m").start()
    here = w.server.client(profile="here")
    here.register()
    _, pem, _ = here.obtain(fresh(), key=KEY)
    w.always(revoke={"hang": True})
    names = [fresh() for _ in range(60)]
    for name in names:
        _, other, _ = w.client.obtain(name, key=KEY)
        revoke(w.client, other)
    wait_for(lambda: w.metric("issuer_running") == 50, 20, "all slots")
    before = told(w, "told")
    serial = revoke(here, pem)
    wait_for(lambda: told(w, "told") == before + 1, 10,
             "the local issuer to hear")
    wait_for(lambda: row(w, serial)[1:] == (None, True), 10, "the row")
    assert w.metric("issuer_running") == 50
    w.server.kill()     # it would wait for Vault
