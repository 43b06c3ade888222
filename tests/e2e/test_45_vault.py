# SPDX-License-Identifier: ISC
"""Certificates from Vault, by a scripted peer that can hang, die and lie:
what the client hears, what becomes of the order, and what is left at Vault."""

import datetime
import json
import os
import secrets
import shutil
import signal
import subprocess
import threading
import time
import urllib.request

import pytest
from cryptography import x509 as cx509

import clients
import fleet
import servers
import vault_peer
import x509
from acme import Client, at_once
from jose import b64
from servers import wait_for
from vault_world import KEY, PROFILES, QUICK, World, fresh

SERVER_ERROR = "serverInternal"


# ---- what comes out

def test_lego_obtains_a_certificate_through_vault(world, engine, tmp_path):
    w = world(engine).start()
    names = fresh() + fresh()
    run = clients.Run(tmp_path / "lego", f"{w.server.profile_url()}/directory",
                      w.server.root)
    chain = run.obtain("lego", names).read_bytes()
    certificates = x509.split_chain(chain)
    assert len(certificates) == 2       # the root is the client's own affair
    assert x509.names_of(certificates[0]) == set(names)
    x509.openssl_verify(chain, w.root, tmp_path)
    leaf = certificates[0]
    serial = "%x" % leaf.serial_number
    rows = w.rows("SELECT issuer, serial, der, order_id FROM certificates")
    assert len(rows) == 1
    assert rows[0][0] == "vault"
    assert rows[0][1] == serial.zfill(len(serial) + len(serial) % 2)
    assert rows[0][2] == x509.der(leaf)
    life = leaf.not_valid_after - leaf.not_valid_before
    assert 0 < life.total_seconds() < 24 * 3600
    assert w.count("success") == 1


def test_vault_is_told_the_names_and_a_lifetime_within_the_profile(world):
    w = world(options="ttl = 6h\n mount = pki").start()
    name = fresh()[0]
    _, pem, _ = w.client.obtain([name, "10.1.2.3"], key=KEY)
    sign = w.signs()[-1]
    assert sign["path"] == "/v1/pki/sign/servers"
    assert sign["token"] == "s.token"
    assert sign["body"]["alt_names"] == name
    assert sign["body"]["ip_sans"] == "10.1.2.3"
    assert sign["body"]["ttl"] == "21600s"
    assert x509.names_of(x509.split_chain(pem)[0]) == {name, "10.1.2.3"}


def test_it_works_over_tls_with_a_ca_of_its_own(world):
    w = world(tls=True).start()
    w.client.obtain(fresh(), key=KEY)
    # somebody else's Vault
    w.ca_file.write_text(vault_peer.pem(w.peer.stranger.root))
    assert w.server.ctl("reload").returncode == 0
    order, csr = w.order()
    response = w.finalize(order, csr)
    assert response.status == 503, response
    assert w.status(order) == "ready"
    assert w.failures("network") > 0
    # a reload reads the file again, though no option has changed
    w.ca_file.write_text(vault_peer.pem(w.peer.authority.root))
    assert w.server.ctl("reload").returncode == 0
    w.client.finalize(order, csr)


def test_vault_alone_will_do(world, engine):
    """No CA of our own, no certificate of our own."""
    w = world(engine)
    base = f"http://localhost:{w.server.port}"
    text = w.server.config().replace("issuer local {\n  type = local\n}\n", "")
    text = text.replace(w.server.base, base)
    text = text[:text.index("profile here")] + w.section()
    w.server.write_config(text)
    done = w.server.run("-c", w.server.file, "-t")
    assert done.returncode != 0     # a listener with TLS and nobody to sign
    assert "no issuer is local" in done.stdout
    w.server.write_config(text.replace("kind = acme", "kind = acme\ntls = no"))
    w.server.base = base
    w.server.spawn()
    w.server.wait_ready()
    client = Client(f"{w.server.profile_url()}/directory")
    _, pem, _ = client.obtain(fresh(), key=KEY)
    x509.openssl_verify(pem, w.root, w.folder)
    assert not w.server.root.exists()


def test_dates_are_vaults_own(world):
    w = world().start()
    response = w.client.send(w.client.directory["newOrder"], {
        "identifiers": [{"type": "dns", "value": fresh()[0]}],
        "notAfter": "2030-01-01T00:00:00Z"})
    assert response.status == 400, response
    assert response.problem == "malformed"
    assert "notAfter" in response.json["detail"]


def test_dates_are_not_lost_when_vault_takes_over_a_profile(world, engine):
    """Ordered while the issuer was local, finalized when it is Vault."""
    w = world(engine).start()
    client = w.server.client(profile="here")
    client.register()
    names = fresh()
    end = datetime.datetime.utcnow() + datetime.timedelta(days=3)
    order = client.order(names, notAfter=end.isoformat()[:19] + "Z")
    w.server.profiles = PROFILES.replace("issuer = local", "issuer = vault")
    w.rewrite()
    assert w.server.ctl("reload").returncode == 0
    csr = {"csr": b64(x509.make_csr(names, KEY))}
    response = client.send(order["finalize"], csr)
    assert (response.status, response.problem) == (403, "orderNotReady")
    assert "notAfter" in response.json["detail"]
    assert w.signs() == []
    w.server.profiles = PROFILES
    w.rewrite()
    assert w.server.ctl("reload").returncode == 0
    assert client.post(order["finalize"], csr).json["status"] == "valid"


def test_a_csr_that_wants_must_staple_never_reaches_vault(world):
    w = world().start()
    names = fresh()
    order = w.client.order(names)
    staple = cx509.TLSFeature([cx509.TLSFeatureType.status_request])
    response = w.finalize(order, x509.make_csr(
        names, KEY, extensions=[(staple, False)]))
    assert (response.status, response.problem) == (400, "badCSR")
    assert w.signs() == []


def test_a_revocation_reaches_vault(world, engine):
    w = world(engine).start()
    _, pem, _ = w.client.obtain(fresh(), key=KEY)
    leaf = x509.split_chain(pem)[0]
    w.client.post(w.client.directory["revokeCert"],
                  {"certificate": b64(x509.der(leaf))})
    serial = "%x" % leaf.serial_number
    serial = serial.zfill(len(serial) + len(serial) % 2)
    wait_for(lambda: serial in w.revoked(), 10, "Vault to hear of it")


# ---- a Vault that will not do

# what it answers to sign; the class; seconds of Retry-After (None: any)
DEFERRED = {
    "sealed": ({"status": 503, "errors": ["Vault is sealed"]},
               "upstream_5xx", 30),
    "standby": ({"status": 473, "errors": ["performance standby"]},
                "upstream_5xx", 30),
    "elsewhere": ({"status": 307,
                   "headers": {"Location": "http://127.0.0.1:1/v1/x"}},
                  "upstream_5xx", 30),
    "throttled": ({"status": 429, "headers": {"Retry-After": "77"}},
                  "rate_limited", 77),
    "refused token": ({"status": 403, "errors": ["permission denied"]},
                      "auth", None),
}


@pytest.mark.parametrize("what", DEFERRED)
def test_the_order_stays_ready_if_vault_cannot_sign_now(world, engine, what):
    answer, which, seconds = DEFERRED[what]
    w = world(engine, top=QUICK + "finalize_wait = 1s").start()
    order, csr = w.order()
    w.always(sign=answer)
    began = time.monotonic()
    response = w.finalize(order, csr)
    assert time.monotonic() - began < 5
    assert response.status == 503, response
    assert response.problem == SERVER_ERROR
    assert int(response.header("Retry-After")) == seconds or seconds is None
    assert int(response.header("Retry-After")) > 0
    assert w.status(order) == "ready"
    assert w.failures(which) > 0
    assert w.count("deferred") == 1
    assert w.rows("SELECT id FROM certificates") == []
    w.always(sign=None)
    w.client.finalize(order, csr)   # the same order, once Vault is back
    assert w.rows("SELECT uncertain FROM orders")[0][0] in (0, "0")


def test_the_order_stays_ready_if_vault_is_not_there(world, engine):
    w = world(engine, top=QUICK + "finalize_wait = 1s").start()
    order, csr = w.order()
    text = w.server.file.read_text()
    w.server.write_config(text.replace(
        f":{w.peer.port}", f":{servers.free_port()}"))
    assert w.server.ctl("reload").returncode == 0
    response = w.finalize(order, csr)
    assert response.status == 503, response
    assert w.status(order) == "ready"
    assert w.failures("network") > 0


def test_a_short_throttling_is_not_noticed(world):
    w = world().start()
    w.next({"status": 429, "headers": {"Retry-After": "1"}}, {})
    began = time.monotonic()
    w.client.obtain(fresh(), key=KEY)
    assert time.monotonic() - began >= 1
    assert w.failures("rate_limited") == 1
    assert len(w.signs()) == 2


def test_a_request_that_vault_refuses_ends_the_order(world, engine):
    w = world(engine).start()
    order, csr = w.order()
    w.always(sign={"status": 400, "errors": [
        "subject alternate name not allowed by this role"]})
    response = w.finalize(order, csr)
    assert response.status == 500, response
    assert response.problem == SERVER_ERROR
    assert "refuses" in response.json["detail"]
    assert "alternate" not in response.body.decode()  # that is for the log
    w.server.wait_log("not allowed by this role")
    assert w.status(order) == "invalid"
    assert order["error"]["detail"] == response.json["detail"]
    assert w.failures("upstream_4xx") == 1
    assert w.count("failure") == 1
    assert len(w.signs()) == 1


LIES = ["key", "extra_name", "missing_name", "lifetime", "future",
        "signature", "chain", "usage"]


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_not_handed_out_but_revoked(world, lie):
    w = world().start()
    order, csr = w.order()
    w.always(sign={"lie": lie})
    response = w.finalize(order, csr)
    assert response.status == 500, response
    assert response.problem == SERVER_ERROR
    assert w.status(order) == "invalid"
    assert "certificate" not in order.body
    assert w.failures("validation") == 1
    rows = w.rows("SELECT order_id, status, serial FROM certificates")
    assert [r[:2] for r in rows] == [(None, "revoked")]
    wait_for(lambda: w.revoked() == {rows[0][2]}, 10, "Vault to revoke it")
    assert len(w.signs()) == 1
    w.always(sign=None)
    w.client.obtain(fresh(), key=KEY)   # one lie is not the end


def test_lies_are_kept_in_postgres_too(world, new_store):
    w = world("postgres").start()
    order, csr = w.order()
    w.next({"lie": "extra_name"})
    assert w.finalize(order, csr).status == 500
    assert w.status(order) == "invalid"
    rows = w.rows("SELECT status, serial FROM certificates"
                  " WHERE order_id IS NULL")
    assert len(rows) == 1 and rows[0][0] == "revoked"
    wait_for(lambda: w.revoked() == {rows[0][1]}, 10, "Vault to revoke it")


# ---- who knows what it did?

UNSURE = {
    "died": ({"die": True}, "network"),
    "bad gateway": ({"status": 502}, "upstream_5xx"),
    "no answer": ({"hang": True}, "timeout"),
    "nonsense": ({"raw": "<html>"}, "other"),
}


@pytest.mark.parametrize("what", UNSURE)
def test_what_may_have_signed_is_asked_once_more(world, engine, what):
    answer, which = UNSURE[what]
    w = world(engine, options="timeout = 1s").start()
    order, csr = w.order()
    w.next(answer, {})
    response = w.finalize(order, csr)
    assert response.status == 200, response
    order.body = response.json
    w.client.wait(order)
    assert order.status == "valid"
    assert len(w.signs()) == 2
    assert w.failures(which) == 1
    assert w.rows("SELECT uncertain, status FROM orders") in (
        [(1, "valid")], [("1", "valid")])
    assert len(w.rows("SELECT id FROM certificates")) == 1


def test_what_was_signed_without_an_answer_is_taken(world, engine):
    w = world(engine).start()
    for _ in range(3):
        w.client.obtain(fresh(), key=x509.new_key())
    key = x509.new_key()
    names = fresh()
    order = w.client.order(names)
    w.next({"lose": True})
    order.body = w.finalize(order, x509.make_csr(names, key)).json
    w.client.wait(order)
    assert order.status == "valid"
    assert len(w.signs()) == 4      # it was not signed twice
    leaf = x509.split_chain(w.client.download(order))[0]
    assert leaf.public_key().public_numbers() == (
        key.public_key().public_numbers())
    assert w.searches("found") == 1
    assert len(w.rows("SELECT id FROM certificates")) == 4
    assert w.revoked() == set()


def test_the_second_one_is_looked_for_too(world):
    """Both attempts are lost: the list is all that we have."""
    w = world().start()
    order, csr = w.order()
    w.next({"die": True}, {"lose": True})
    order.body = w.finalize(order, csr).json
    w.client.wait(order)
    assert order.status == "valid"
    assert len(w.signs()) == 2
    assert w.searches("absent") == 1 and w.searches("found") == 1


def test_what_is_found_may_be_anothers_already(world):
    """The same key in two orders, and Vault shows what is stored."""
    w = world().start()
    names = fresh()
    first, second = w.client.order(names), None
    w.client.finalize(first, x509.make_csr(names, KEY))
    second = w.client.order(names)
    w.next({"die": True}, {})
    second.body = w.finalize(second, x509.make_csr(names, KEY)).json
    w.client.wait(second)
    assert second.status == "valid"
    assert second["certificate"] != first["certificate"]
    assert len(w.signs()) == 3
    assert len(w.rows("SELECT DISTINCT serial FROM certificates")) == 2


@pytest.mark.parametrize("what", ["died", "no answer"])
def test_and_not_a_third_time(world, engine, what):
    w = world(engine, options="timeout = 1s").start()
    order, csr = w.order()
    w.always(sign=UNSURE[what][0])
    response = w.finalize(order, csr)
    assert response.status == 503, response
    assert w.status(order) == "invalid"
    assert order["error"]["type"].endswith(SERVER_ERROR)
    assert "asked twice" in order["error"]["detail"]
    assert len(w.signs()) == 2
    time.sleep(1.5)     # recovery has been there
    assert len(w.signs()) == 2


def test_the_mark_stands_before_vault_is_asked_again(world, engine):
    """Whoever looks while the second request is under way finds it."""
    w = world(engine, options="timeout = 5s").start()
    order, csr = w.order()
    w.next({"die": True}, {"delay": 2})
    thread = threading.Thread(target=w.finalize, args=(order, csr))
    thread.start()
    wait_for(lambda: len(w.signs()) == 2, 10, "the second request")
    assert w.rows("SELECT uncertain, status FROM orders") in (
        [(1, "processing")], [("1", "processing")])
    thread.join()
    assert w.status(order) == "valid"


def test_a_certificate_too_many_is_revoked(world, engine):
    """Another process has taken the order over while Vault was slow."""
    w = world(engine, top="lease = 60s\nrecovery_interval = 1s\n"
                          "finalize_wait = 0").start()
    order, csr = w.order()
    w.next({"delay": 1.5}, {})
    response = w.finalize(order, csr)
    assert response.json["status"] == "processing"
    wait_for(lambda: len(w.signs()) == 1, 10, "the request")
    w.server.store.execute("UPDATE orders SET attempt = attempt + 1")
    wait_for(lambda: len(w.revoked()) == 1, 20, "Vault to revoke it")
    rows = w.rows("SELECT order_id, status, serial FROM certificates")
    assert [r[1] for r in rows] == ["revoked"]
    assert not rows[0][0]
    assert {rows[0][2]} == w.revoked()
    assert w.count("duplicate") == 1
    trail = w.rows("SELECT serial FROM audit"
                   " WHERE action = 'certificate.orphan'")
    assert trail == [(rows[0][2],)]
    assert w.status(order) == "processing"
    # now that process dies
    w.server.store.execute("UPDATE orders SET lease = 1")
    w.client.wait(order)
    assert order.status == "valid"
    assert len(w.rows("SELECT id FROM certificates"
                      " WHERE status = 'valid'")) == 1
    assert len(w.revoked()) == 1


def test_kill_9_between_request_and_answer(world, engine):
    w = world(engine).start()
    order, csr = w.order()
    w.next({"delay": 1}, {})

    def finalize():
        try:
            w.finalize(order, csr)
        except OSError:
            pass        # it is killed under our feet
    thread = threading.Thread(target=finalize)
    thread.start()
    wait_for(lambda: len(w.signs()) == 1, 10, "the request")
    w.server.kill()
    thread.join()
    w.server.start()
    w.client = w.server.client(key=w.client.key)
    w.client.register()
    w.client.wait(order, seconds=30)
    assert order.status == "valid"
    pem = w.client.download(order)
    # what the first request made was found, or it was not there yet
    assert len(w.signs()) in (1, 2)
    rows = w.rows("SELECT order_id, der FROM certificates")
    assert len(rows) == 1
    assert rows[0][1] == x509.der(x509.split_chain(pem)[0])
    assert w.rows("SELECT uncertain FROM orders")[0][0] in (1, "1")


def test_kills_again_and_again_end_the_order(world):
    """Two processes died over it: nobody asks a third time."""
    w = world().start()
    order, csr = w.order()
    w.always(sign={"hang": True})
    thread = threading.Thread(target=lambda: swallow(
        lambda: w.finalize(order, csr)))
    thread.start()
    for n in (1, 2):
        wait_for(lambda: len(w.signs()) == n, 30, f"request {n}")
        w.server.kill()
        thread.join()
        w.server.start()
    w.client = w.server.client(key=w.client.key)
    w.client.register()
    w.client.wait(order, seconds=30)
    assert order.status == "invalid"
    assert len(w.signs()) == 2
    assert w.rows("SELECT id FROM certificates") == []


def swallow(call):
    try:
        call()
    except OSError:
        pass


# ---- slow

def test_a_slow_vault_makes_the_order_processing(world, engine):
    w = world(engine, top=QUICK + "finalize_wait = 500ms").start()
    order, csr = w.order()
    w.next({"delay": 2})
    began = time.monotonic()
    response = w.finalize(order, csr)
    assert 0.4 < time.monotonic() - began < 1.8
    assert response.status == 200, response
    assert response.json["status"] == "processing"
    assert int(response.header("Retry-After")) > 0
    order.body = response.json
    # the same request again changes nothing
    assert w.finalize(order, csr).json["status"] == "processing"
    w.client.wait(order)
    assert order.status == "valid"
    assert len(w.signs()) == 1


def test_longer_than_a_lease_it_is_still_one_request(world):
    """The lease is renewed while Vault takes its time."""
    w = world(top=QUICK + "finalize_wait = 100ms",
              options="timeout = 20s").start()
    order, csr = w.order()
    w.next({"delay": 8})
    order.body = w.finalize(order, csr).json
    w.client.wait(order)
    assert order.status == "valid"
    assert len(w.signs()) == 1


def test_a_frozen_vault_does_not_hinder_others(world):
    w = world(top=QUICK + "finalize_wait = 20s").start()
    here = w.server.client(profile="here")
    here.obtain(fresh(), key=KEY)
    order, csr = w.order()
    w.always(sign={"delay": 3})
    thread = threading.Thread(target=w.finalize, args=(order, csr))
    thread.start()
    wait_for(lambda: len(w.signs()) == 1, 10, "the request")
    began = time.monotonic()
    for _ in range(5):
        here.obtain(fresh(), key=KEY)
    assert time.monotonic() - began < 2.5
    assert thread.is_alive()
    thread.join()
    assert w.status(order) == "valid"


def timed_obtains(client, n):
    """n certificates one after another: what each took, in milliseconds."""
    took = []
    for _ in range(n):
        began = time.monotonic()
        client.obtain(fresh(), key=KEY)
        took.append((time.monotonic() - began) * 1000)
    return sorted(took)


def test_lego_by_vault_and_the_local_ca_beside_it(world, engine, tmp_path):
    """lego obtains, renews and revokes through Vault; then Vault freezes, and
    the other profile's orders are finished all the same. The two times are
    for whoever reads them: pytest -s."""
    w = world(engine, top=QUICK + "finalize_wait = 2s",
              options="timeout = 5m").start()
    names = fresh()
    run = clients.Run(tmp_path / "lego", f"{w.server.profile_url()}/directory",
                      w.server.root)
    first = run.run_lego(names, "--http", "--http.port", ":0").read_bytes()
    renewed = run.run_lego(
        names, "--http", "--http.port", ":0",
        command=("renew", "--days", "9999", "--no-random-sleep")).read_bytes()
    assert first != renewed
    x509.openssl_verify(renewed, w.root, tmp_path)
    run.run_lego(names, command=("revoke",))
    serial = "%x" % x509.split_chain(renewed)[0].serial_number
    serial = serial.zfill(len(serial) + len(serial) % 2)
    wait_for(lambda: w.revoked() == {serial}, 10, "Vault to hear of it")

    here = w.server.client(profile="here")
    before = timed_obtains(here, 60)
    w.always(**{"sign": {"hang": True}, "lookup-self": {"hang": True}})
    asked = len(w.signs())
    for _ in range(4):
        assert w.finalize(*w.order()).json["status"] == "processing"
    assert len(w.signs()) == asked + 4
    frozen = timed_obtains(here, 60)
    # Vault has not answered yet
    assert w.metric("issuer_running") == 4
    assert len(w.rows("SELECT id FROM orders WHERE status = 'processing'")
               ) == 4
    assert len(w.rows("SELECT id FROM certificates WHERE issuer = 'local'")
               ) == 120
    print(f"\np99 of an order on the local CA: {before[58]:.1f} ms, with "
          f"Vault frozen {frozen[58]:.1f} ms (median {before[30]:.1f}, "
          f"{frozen[30]:.1f})")
    w.server.kill()     # it would wait for Vault


def test_requests_beyond_the_bound_are_refused_with_a_time(world):
    w = world(top=QUICK + "finalize_wait = 1s",
              options="max_requests = 2\n max_queued = 0\n timeout = 10s").start()
    w.always(sign={"delay": 4})
    orders = [w.order() for _ in range(4)]
    mine = [w.client.twin() for _ in orders]
    answers = at_once([
        lambda c=c, o=o: c.send(o[0]["finalize"], {"csr": b64(o[1])})
        for c, o in zip(mine, orders)])
    assert sorted(a.status for a in answers) == [200, 200, 503, 503]
    late = [a for a in answers if a.status == 503]
    assert all(int(a.header("Retry-After")) > 0 for a in late)
    assert w.failures("rate_limited") >= 2
    assert len(w.signs()) == 2


def test_requests_beyond_the_bound_wait_in_a_queue(world):
    w = world(top=QUICK + "finalize_wait = 10s",
              options="max_requests = 1\n max_queued = 10").start()
    w.always(sign={"delay": 0.4})
    orders = [w.order() for _ in range(4)]
    mine = [w.client.twin() for _ in orders]
    answers = at_once([
        lambda c=c, o=o: c.send(o[0]["finalize"], {"csr": b64(o[1])})
        for c, o in zip(mine, orders)])
    assert [a.json["status"] for a in answers] == ["valid"] * 4
    times = [s["at"] for s in w.signs()]
    assert all(b - a > 0.35 for a, b in zip(times, times[1:]))
    assert w.metric("issuer_queued") == w.metric("issuer_running") == 0


# ---- the breaker

def issuer_state(server):
    found = json.loads(server.status("/readyz").body)
    return {i["name"]: i for i in found["issuers"]}["vault"]


def test_an_absent_vault_is_not_asked_for_a_while(world, engine):
    w = world(engine, top=QUICK + "finalize_wait = 300ms",
              options="breaker_failures = 3\n breaker_wait = 1s").start()
    assert issuer_state(w.server) == {"name": "vault", "state": "ok"}
    assert w.metric("issuer_breaker") == 0
    order, csr = w.order()
    w.always(**{"sign": {"status": 503, "errors": ["Vault is sealed"]},
                "lookup-self": {"status": 503,
                                "errors": ["Vault is sealed"]}})
    while w.metric("issuer_breaker") != 2:
        assert w.finalize(order, csr).status == 503
        assert len(w.signs()) <= 3
    asked = len(w.signs())
    assert asked == 3
    for _ in range(5):      # at once, and Vault hears nothing of it
        response = w.finalize(order, csr)
        assert response.status == 503, response
        assert int(response.header("Retry-After")) > 0
        assert w.status(order) == "ready"
    assert len(w.signs()) == asked
    assert w.failures("upstream_5xx") == asked
    assert w.server.metrics()["certloop_issuer_refusals_total"
                              '{issuer="vault",reason="breaker"}'] >= 5
    state = issuer_state(w.server)
    assert state["state"] == "degraded"
    assert "Vault is sealed" in state["trouble"]
    assert w.server.status("/readyz").status == 200
    shown = w.server.ctl("issuer", "show", "vault").stdout
    assert "degraded" in shown and "Vault is sealed" in shown
    # others have nothing to do with it
    w.server.client(profile="here").obtain(fresh(), key=KEY)
    w.always(**{"sign": None, "lookup-self": None})
    wait_for(lambda: w.metric("issuer_breaker") == 0, 60, "the breaker")
    assert len(w.signs()) == asked      # the test signed nothing
    w.client.finalize(order, csr)
    assert issuer_state(w.server)["state"] == "ok"


def test_an_order_in_processing_outlives_the_breaker(world):
    w = world(top=QUICK + "finalize_wait = 100ms",
              options="breaker_failures = 2\n breaker_wait = 1s").start()
    order, csr = w.order()
    soon = {"status": 503, "headers": {"Retry-After": "1"}}
    w.next({"delay": 1, **soon}, soon)
    order.body = w.finalize(order, csr).json
    assert order.status == "processing"
    wait_for(lambda: w.metric("issuer_breaker") == 2, 20, "the breaker")
    assert w.status(order) == "processing"
    w.client.wait(order, seconds=60)
    assert order.status == "valid"


def test_certloopctl_issuer_test_asks_in_any_case(world):
    w = world(top=QUICK + "finalize_wait = 100ms",
              options="breaker_failures = 1\n breaker_wait = 1m").start()
    order, csr = w.order()
    w.next({"status": 500})
    assert w.finalize(order, csr).json["status"] != "valid"
    wait_for(lambda: w.metric("issuer_breaker") == 2, 10, "the breaker")
    assert w.server.ctl("issuer", "test", "vault").returncode == 0
    assert w.metric("issuer_breaker") == 0


def test_sigterm_waits_for_the_answer(world):
    w = world(top=QUICK + "finalize_wait = 100ms").start()
    order, csr = w.order()
    w.next({"delay": 2})
    assert w.finalize(order, csr).json["status"] == "processing"
    w.server.stop()
    assert w.rows("SELECT status FROM orders") == [("valid",)]
    w.server.start()
    w.client = w.server.client(key=w.client.key)
    w.client.register()
    assert w.status(order) == "valid"
    assert len(w.signs()) == 1


@pytest.mark.parametrize("client", ["lego", "certbot"])
def test_clients_wait_for_a_slow_vault(world, client, tmp_path):
    w = world(top=QUICK + "finalize_wait = 200ms").start()
    w.next({"delay": 3})
    run = clients.Run(tmp_path / client,
                      f"{w.server.profile_url()}/directory", w.server.root)
    x509.openssl_verify(run.obtain(client, fresh()).read_bytes(), w.root,
                        tmp_path)
    assert len(w.signs()) == 1


def test_sigterm_does_not_wait_for_ever(world):
    w = world(top=QUICK + "finalize_wait = 100ms\nshutdown_timeout = 1s"
              ).start()
    order, csr = w.order()
    w.always(sign={"hang": True})
    assert w.finalize(order, csr).json["status"] == "processing"
    wait_for(lambda: len(w.signs()) == 1, 10, "the request")
    began = time.monotonic()
    w.server.stop()
    assert 0.9 < time.monotonic() - began < 5
    assert w.rows("SELECT status FROM orders") == [("processing",)]


# ---- the store, and other processes

def test_what_vault_signed_is_stored_when_the_store_comes_back(world):
    """The answer comes while PostgreSQL is dead; longer than a lease."""
    cluster = servers.Postgres().start()
    try:
        w = world("postgres", top=QUICK + "finalize_wait = 100ms",
                  store=cluster.new_store()).start()
        order, csr = w.order()
        w.next({"delay": 1})
        assert w.finalize(order, csr).json["status"] == "processing"
        wait_for(lambda: len(w.signs()) == 1, 10, "the request")
        cluster.kill()
        w.server.wait_log("while storing a certificate")
        time.sleep(6)
        cluster.start()
        wait_for(lambda: w.rows("SELECT status FROM orders")
                 == [("valid",)], 40, "the order to be valid")
        assert len(w.signs()) == 1
        assert len(w.rows("SELECT id FROM certificates")) == 1
        assert w.revoked() == set()
        w.server.stop()
    finally:
        cluster.remove()


@pytest.mark.parametrize("blind", [True, False])
def test_a_frozen_replica_hands_nothing_out(replicas, tmp_path, blind):
    """Another one takes over. It takes what Vault shows that it signed; if it
    shows nothing, it signs another, and when the first wakes up with a
    certificate in hand, that one is revoked."""
    w = World(lambda engine, **options: None, tmp_path)
    members = replicas(with_redis=False, profiles=PROFILES,
                       extra=w.section(),
                       top=QUICK + "finalize_wait = 100ms")
    w.client = fleet.client_of(members[:1])
    w.client.register()
    order, csr = w.order()
    if blind:
        w.always(certs={"status": 403})
    w.next({"delay": 0.7}, {})
    order.body = w.finalize(order, csr).json
    assert order.status == "processing"
    wait_for(lambda: len(w.signs()) == 1, 10, "the request")
    os.kill(members[0].pid, signal.SIGSTOP)
    try:
        other = fleet.client_of(members[1:], key=w.client.key)
        other.register()
        other.wait(order)
        assert order.status == "valid"
        assert w.revoked() == set()
    finally:
        os.kill(members[0].pid, signal.SIGCONT)
    if not blind:
        time.sleep(3)
        assert len(w.signs()) == 1 and w.revoked() == set()
        rows = members[0].store.query("SELECT status FROM certificates")
        assert rows == [("valid",)]
        w.peer.stop()
        return
    wait_for(lambda: len(w.revoked()) == 1, 20, "Vault to revoke the other")
    leaf = x509.split_chain(other.download(order))[0]
    assert "%x" % leaf.serial_number not in {
        s.lstrip("0") for s in w.revoked()}
    rows = members[0].store.query("SELECT status FROM certificates"
                                  " ORDER BY status")
    assert rows == [("revoked",), ("valid",)]
    assert len(w.signs()) == 2
    w.peer.stop()


# ---- the token

SERIES = 'certloop_vault_token_renewals_total{result="%s"}'


def renewals(server):
    metrics = server.metrics()
    return [metrics[SERIES % r]
            for r in ("success", "failure", "not_renewable")]


def test_the_token_is_kept_alive_and_counted(world):
    w = world(ttl=10)
    w.peer.command({"script": {"renew-self": [
        {"status": 403, "errors": ["permission denied"]}, {},
        {"renewable": False}]}})
    w.start()
    assert renewals(w.server) == [0, 0, 0]
    wait_for(lambda: renewals(w.server)[1] == 1, 15, "the failure")
    w.server.wait_log("vault token renewal failed; rotate the token before "
                      "TTL expires.*permission denied")
    # sooner than half of the TTL
    wait_for(lambda: renewals(w.server)[0] == 1, 4, "a success")
    wait_for(lambda: renewals(w.server)[2] == 1, 15, "the last one")
    w.server.wait_log("the vault token cannot be renewed")
    assert renewals(w.server) == [1, 1, 1]
    assert "s.token" not in w.server.log()
    w.client.obtain(fresh(), key=KEY)


def test_the_series_are_there_without_a_vault_token(world):
    w = world()
    w.token_file.unlink()
    w.start()
    assert renewals(w.server) == [0, 0, 0]
    order, csr = w.order()
    assert w.finalize(order, csr).status == 503
    assert w.status(order) == "ready"
    assert w.failures("auth") > 0
    w.write_token("s.token")
    w.client.finalize(order, csr)


def test_a_new_token_in_the_file_is_used_at_once(world):
    w = world().start()
    w.client.obtain(fresh(), key=KEY)
    w.peer.command({"forget": "s.token"})
    w.peer.add_token("s.other", 3600)
    w.write_token("s.other")
    w.client.obtain(fresh(), key=KEY)
    assert w.signs()[-1]["token"] == "s.other"


def test_a_token_that_others_can_read_stops_the_start(world):
    w = world()
    os.chmod(w.token_file, 0o644)
    w.server.spawn()
    assert w.server.wait_end() == 3
    assert "chmod 600" in w.server.log()


def test_the_token_may_come_from_the_environment(world, engine):
    """And is told to nobody. A reload can go over to a file, and back."""
    w = world(engine, ttl=10, token_env="OUR_TOKEN",
              environment={"OUR_TOKEN": "s.token"}).start()
    w.client.obtain(fresh(), key=KEY)
    wait_for(lambda: renewals(w.server)[0] >= 1, 20, "a renewal")
    w.peer.add_token("s.other", 3600)
    w.write_token("s.other")
    for name, token in ((None, "s.other"), ("OUR_TOKEN", "s.token")):
        w.token_env = name
        w.rewrite()
        assert w.server.ctl("reload").returncode == 0
        w.client.obtain(fresh(), key=KEY)
        assert w.signs()[-1]["token"] == token
    # when it dies, what is wrong is said without it
    w.peer.command({"forget": "s.token"})
    order, csr = w.order()
    assert w.finalize(order, csr).status == 503
    w.server.wait_log("vault token renewal failed")
    shown = w.server.ctl("config", "show").stdout
    assert "token_env = " in shown and "OUR_TOKEN" in shown
    told = [w.server.log(), shown, w.server.ctl("issuer", "show",
                                                "vault").stdout,
            w.server.status("/readyz").body.decode(),
            w.server.status("/metrics").body.decode()]
    assert not any("s.token" in t or "s.other" in t for t in told)


@pytest.mark.parametrize("value", [None, "", "s.to ken", "s.tok\nen",
                                   "s.t" + "o" * 5000])
def test_a_variable_without_a_token_stops_the_start(world, value):
    w = world(token_env="OUR_TOKEN",
              environment={} if value is None else {"OUR_TOKEN": value})
    w.server.spawn()
    assert w.server.wait_end() == 3
    assert "OUR_TOKEN" in w.server.log()
    assert "s.t" not in w.server.log()


def test_a_token_in_place_of_a_variables_name_is_not_shown(world):
    w = world(token_env="hvs.abcdef")
    done = w.server.run("-c", w.server.file, "-t")
    assert done.returncode != 0
    assert "token_env" in done.stdout and "VAULT_TOKEN" in done.stdout
    assert "abcdef" not in done.stdout


# ---- AppRole

def test_a_dead_token_is_not_noticed_with_approle(world, engine):
    """Under load: what is refused waits for the login."""
    w = world(engine, approle={"ttl": 3600}).start()
    mine = [w.client.twin() for _ in range(6)]
    for n in range(1, 4):
        at_once([lambda c=c: c.obtain(fresh(), key=KEY) for c in mine])
        assert w.signs()[-1]["token"] == f"s.login{n}"
        w.peer.command({"forget": f"s.login{n}"})
        time.sleep(0.2)
        if n > 1:   # the pause between two questions is over
            time.sleep(5)
    w.client.obtain(fresh(), key=KEY)
    metrics = w.server.metrics()
    assert metrics['certloop_vault_logins_total{result="success"}'] == 4
    assert metrics['certloop_vault_logins_total{result="failure"}'] == 0
    states = {row[0] for row in w.rows("SELECT status FROM orders")}
    assert states == {"valid"}
    assert w.failures("auth") == 0
    assert "s.token" not in w.server.log()
    assert "s.login" not in w.server.log()


def test_a_new_secret_id_is_taken_up(world):
    w = world(approle={"ttl": 3600}).start()
    w.client.obtain(fresh(), key=KEY)
    w.peer.command({"approle": {"role_id": "r", "secret_id": "s.other",
                                "ttl": 3600}})
    w.write_token("s.other")
    wait_for(lambda: w.peer.logins == 2, 10, "the login")
    w.client.obtain(fresh(), key=KEY)
    w.peer.command({"approle": {"role_id": "r", "secret_id": "s.third",
                                "ttl": 3600}, "forget": "s.login2"})
    order, csr = w.order()
    response = w.finalize(order, csr)
    assert response.status == 503, response
    assert w.status(order) == "ready"
    assert issuer_state(w.server)["state"] == "degraded"
    assert "secret ID" in issuer_state(w.server)["trouble"]
    w.write_token("s.third")
    wait_for(lambda: w.peer.logins == 3, 10, "the login")
    w.client.finalize(order, csr)


# ---- reload

def test_a_reload_takes_another_role_and_address(world, engine):
    w = world(engine).start()
    w.client.obtain(fresh(), key=KEY)
    w.role = "others"
    w.rewrite()
    done = w.server.ctl("reload")
    assert done.returncode == 0, done.stderr
    assert "role" in done.stdout
    w.client.obtain(fresh(), key=KEY)
    assert w.signs()[-1]["path"].endswith("/sign/others")
    other = vault_peer.VaultPeer().start()
    try:
        other.add_token("s.token", 3600)
        before = len(w.peer.requests)
        w.rewrite(other)
        assert w.server.ctl("reload").returncode == 0
        for _ in range(3):
            _, pem, _ = w.client.obtain(fresh(), key=KEY)
        assert len(w.signs(other)) == 3
        issuer = x509.split_chain(pem)[0].issuer
        assert issuer == other.authority.cert.subject
        time.sleep(0.5)
        assert len(w.peer.requests) == before
        w.server.client(profile="here").obtain(fresh(), key=KEY)
    finally:
        other.stop()


def test_what_is_under_way_survives_a_reload(world):
    w = world(top=QUICK + "finalize_wait = 100ms").start()
    order, csr = w.order()
    w.next({"delay": 2})
    order.body = w.finalize(order, csr).json
    wait_for(lambda: len(w.signs()) == 1, 10, "the request")
    w.role = "others"
    w.rewrite()
    assert w.server.ctl("reload").returncode == 0
    w.client.wait(order)
    assert order.status == "valid"
    assert len(w.signs()) == 1


def test_a_reload_swaps_address_and_token_under_load(world, engine):
    """No order is lost, and the old Vault hears nothing after the reload:
    neither of what waits in the queue, nor of what it had put off, nor of a
    token whose renewal is due."""
    w = world(engine, ttl=10, options="max_requests = 4").start()
    began = time.monotonic()
    other = vault_peer.VaultPeer().start()
    try:
        other.add_token("s.other", 10)
        w.always(sign={"delay": 0.2})       # some are under way at any time
        end = time.monotonic() + 60
        swapped, done, errors = threading.Event(), [], []

        def work():
            client = w.server.client()
            after = 0
            while after < 3 and time.monotonic() < end and not errors:
                after += swapped.is_set()
                try:
                    client.obtain(fresh(), key=KEY)
                    done.append(1)
                except Exception as error:  # told below
                    errors.append(repr(error))
        threads = [threading.Thread(target=work) for _ in range(10)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(done) >= 12, 30, "a load")
        w.token_file = w.folder / "token.other"
        w.write_token("s.other")
        w.rewrite(other)
        later = {"status": 429, "headers": {"Retry-After": "1"}}
        w.next(later, later)
        wait_for(lambda: w.failures("rate_limited") == 2, 20, "a refusal")
        wait_for(lambda: w.metric("issuer_queued") > 0
                 and w.metric("issuer_running") == 4, 20, "a queue", 0.002)
        before, size = len(w.signs()), w.server.log_size()
        assert w.server.ctl("reload").returncode == 0
        w.server.wait_log("replacing an issuer", size)
        time.sleep(0.3)     # what had left has arrived
        heard = len(w.peer.requests)
        swapped.set()
        for thread in threads:
            thread.join()
        # the new token is renewed, the old one is not asked about
        wait_for(lambda: any(r["path"].endswith("renew-self")
                             for r in other.requests), 15, "a renewal")
        time.sleep(max(0, began + 8 - time.monotonic()))
        assert errors == []
        assert before > 0 and len(w.signs(other)) >= 20
        assert {r["token"] for r in other.requests} == {"s.other"}
        assert {r["token"] for r in w.peer.requests} == {"s.token"}
        assert len(w.peer.requests) == heard
        assert {row[0] for row in w.rows("SELECT status FROM orders")} == {
            "valid"}
        assert len(w.rows("SELECT id FROM certificates")) == len(done)
        assert w.revoked() == set() and not other.revoked
        assert w.metric("issuer_queued") == w.metric("issuer_running") == 0
    finally:
        other.stop()


def test_reloads_under_load_lose_no_order(world, engine):
    w = world(engine).start()
    end = time.monotonic() + 5
    done, errors = [], []

    def work():
        client = w.server.client()
        while time.monotonic() < end and not errors:
            try:
                client.obtain(fresh(), key=KEY)
                done.append(1)
            except Exception as error:  # told below
                errors.append(repr(error))
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    n = 0
    while time.monotonic() < end:
        n += 1
        w.role = f"role{n}"
        w.rewrite()
        assert w.server.ctl("reload").returncode == 0
        time.sleep(0.2)
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(done) > 10
    assert len({s["path"] for s in w.signs()}) > 5
    states = {row[0] for row in w.rows("SELECT status FROM orders")}
    assert states == {"valid"}


@pytest.mark.parametrize("what, says", [
    ("type = local", "type"),
    ("ca_file = /nonexistent", "ca_file"),
    ("role = other\n}\nissuer another {", "another"),
])
def test_a_reload_that_will_not_do_changes_nothing(world, what, says):
    w = world().start()
    text = w.server.file.read_text()
    w.server.write_config(text.replace("role = servers", what))
    done = w.server.ctl("reload")
    assert done.returncode != 0
    assert says in done.stdout + done.stderr
    w.client.obtain(fresh(), key=KEY)
    assert w.signs()[-1]["path"].endswith("/sign/servers")


def test_config_show_has_no_token(world):
    w = world().start()
    shown = w.server.ctl("config", "show").stdout
    assert f'token_file = "{w.token_file}"' in shown
    assert "s.token" not in shown


# ---- the real ones

class RealVault:
    """A server in development mode, with a PKI, a role and a policy."""

    def __init__(self, program, folder):
        self.port = servers.free_port()
        self.address = f"http://{servers.LOCALHOST}:{self.port}"
        self.log = open(folder / "vault.log", "ab")
        self.process = subprocess.Popen(
            [*servers.WITH_US, program, "server", "-dev",
             "-dev-root-token-id=root", "-dev-no-store-token",
             f"-dev-listen-address={servers.LOCALHOST}:{self.port}"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            cwd=folder, env={**os.environ, "HOME": str(folder)})
        wait_for(self.answers, 30, f"{program} to start")
        self.call("sys/mounts/pki", type="pki",
                  config={"max_lease_ttl": "87600h"})
        made = self.call("pki/root/generate/internal", key_type="ec",
                         key_bits=256, common_name="Real root", ttl="8760h")
        self.root = made["data"]["certificate"]
        self.call("pki/roles/servers", allow_any_name=True, key_type="any",
                  require_cn=False, max_ttl="720h")
        self.call("sys/policies/acl/certloop", policy="""
path "pki/sign/servers" { capabilities = ["update"] }
path "pki/revoke" { capabilities = ["update"] }
""")

    def call(self, path, **members):
        body = json.dumps(members).encode() if members else None
        request = urllib.request.Request(
            f"{self.address}/v1/{path}", body, {"X-Vault-Token": "root"})
        with urllib.request.urlopen(request, timeout=10) as response:
            text = response.read()
        return json.loads(text) if text else None

    def answers(self):
        assert self.process.poll() is None, "it has ended; see vault.log"
        try:
            return not self.call("sys/health")["sealed"]
        except OSError:
            return False

    def new_token(self, ttl):
        return self.call("auth/token/create", policies=["certloop"],
                         ttl=ttl)["auth"]["client_token"]

    def is_revoked(self, serial):
        text = ":".join(serial[i:i + 2] for i in range(0, len(serial), 2))
        return self.call(f"pki/cert/{text}")["data"]["revocation_time"] > 0

    def stop(self):
        self.process.kill()
        self.process.wait(20)
        self.log.close()


for program in ("bao", "vault"):
    if shutil.which(program) is None:
        continue

    def with_real_vault(world, program=program):
        w = world()
        real = RealVault(program, w.folder)
        try:
            w.root.write_text(real.root)
            w.write_token(real.new_token("10s"))
            w.rewrite(real)
            w.start()
            _, pem, _ = w.client.obtain(fresh(), key=KEY)
            x509.openssl_verify(pem, w.root, w.folder)
            wait_for(lambda: renewals(w.server)[0] >= 2, 20, "renewals")
            assert renewals(w.server)[1:] == [0, 0]
            _, pem, _ = w.client.obtain(fresh() + ["10.1.2.3"], key=KEY)
            leaf = x509.split_chain(pem)[0]
            w.client.post(w.client.directory["revokeCert"],
                          {"certificate": b64(x509.der(leaf))})
            serial = "%x" % leaf.serial_number
            serial = serial.zfill(len(serial) + len(serial) % 2)
            wait_for(lambda: real.is_revoked(serial), 10, "the revocation")
        finally:
            w.server.stop()
            real.stop()
    globals()[f"test_{program}_signs_renews_and_revokes"] = with_real_vault
