# SPDX-License-Identifier: ISC
"""Vault in every weather: each class of failure, and who hears what of it;
telling it of revocations while it fails, hangs, refuses and comes back."""

import pytest

import x509
from vault_world import KEY, QUICK

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
