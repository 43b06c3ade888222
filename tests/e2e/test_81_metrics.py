# SPDX-License-Identifier: ISC
"""Every metric moves: a row of metrics.def that nothing ever changes is
refused here. Most are driven below, the rest are named with the test that
moves them."""

import contextlib
import re
import secrets
import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

import acme
import fleet
import jose
import servers
from servers import LOCALHOST, wait_for
from test_42_challenges import Peers, finish, order_one, wait_authz
from vault_world import KEY, World

TESTS = Path(__file__).resolve().parents[1]

# What needs more than a few lines: who moves it, and looks at it.
ELSEWHERE = {
    "admin_key_requests": "e2e/test_74_apikeys.py",
    "admin_peers_refused": "e2e/test_75_ctl.py",
    "admission_refused": "e2e/test_91_admission.py",
    "certificates_ending": "e2e/test_81_endings.py",
    "crl_failures": "e2e/test_55_crl.py",
    "issuer_queued": "unit/issuer/front_test.c",
    "issuer_running": "unit/issuer/front_test.c",
    "issuer_searches": "unit/issuer/vault_sign_test.c",
    "limit_keys_full": "unit/ratelimit/memory_test.c",
    "limits_degraded": "unit/ratelimit/shared_test.c",
    "limits_store_failures": "e2e/test_96_fleet_limits.py",
    "log_lines_dropped": "unit/log/log_test.c",     # as log_dropped()
    "loop_warnings": "e2e/test_89_asked_loops.py",
    "ocsp_cache_entries": "e2e/test_56_ocsp.py",
    "ocsp_cache_hits": "e2e/test_56_ocsp.py",
    "ocsp_responder_failures": "e2e/test_56_responder.py",
    "ocsp_responses": "e2e/test_56_ocsp.py",
    "redis_errors": "e2e/test_96_sentinel.py",
    "redis_late": "unit/redis/wire_test.c",
    "refusals_lost": "e2e/test_78_refusals.py",
    "renewal_infos": "e2e/test_77_marks.py",
    "resumed_validations": "e2e/test_42_challenges.py",
    "unsigned_refused": "e2e/test_91_admission.py",
    "validations_running": "e2e/test_46_fairness.py",
    "vault_logins": "e2e/test_45_vault.py",
}


def declared():
    """The names of metrics.def."""
    text = (TESTS.parent / "src" / "metrics" / "metrics.def").read_text()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    rows = re.findall(r"^(METRIC|FAMILY|HISTOGRAM)\((?:(?:COUNTER|GAUGE), )?"
                      r"(\w+)", text, re.M)
    assert len(rows) > 100
    return {name for _, name in rows}


def moved(server):
    """Those with a sample that is not 0."""
    names = set()
    for series, value in server.metrics().items():
        name = series.partition("{")[0].removeprefix("certloop_")
        if value != 0:
            names.add(name)
            names.add(re.sub(r"_(total|count|sum|bucket)$", "", name))
    return names


def fresh():
    return [f"{secrets.token_hex(6)}.moves.example.org"]


def last(url):
    return url.rpartition("/")[2]


def leave(server, client):
    """A request whose client is gone before its answer."""
    body = client.sign(client.directory["newOrder"], {
        "identifiers": acme.identifiers(fresh())})
    raw = socket.create_connection((LOCALHOST, server.port))
    trust = ssl.create_default_context(cafile=str(server.root))
    tls = trust.wrap_socket(raw, server_hostname="localhost")
    path = client.directory["newOrder"].partition(str(server.port))[2]
    tls.sendall((f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                 f"application/jose+json\r\nContent-Length: {len(body)}"
                 "\r\n\r\n").encode() + body)
    time.sleep(0.2)
    tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                   struct.pack("ii", 1, 0))
    tls.close()


def an_ordinary_life(new_server):
    """Accounts, orders, certificates, refusals, sweeps, reloads."""
    server = new_server(top="recovery_interval = 1s\nca_url = "
                        '"http://ca.example.org"', extra="http {\n"
                        "  header_timeout = 300ms\n  connections = 40\n}\n",
                        limits="new_account_per_address = 4/1h")
    wanted = server.directory / "serve.json"
    server.extra += f"""serve_config = "{wanted}"
loop site {{
  names = {{ "site.example.net" }}
  profile = default
  folder = "{server.directory / 'site'}"
}}
"""
    server.write_config()
    wanted.write_text('{"Web": {}}')
    server.start()
    client = server.client()
    order, _, _ = client.obtain(fresh())
    client.send(client.directory["newOrder"], {}, nonce="AAAA")
    client.send(client.directory["newOrder"], {"identifiers": []})
    name = 'certloop_loop_deliveries_total{outcome="delivered"}'
    wait_for(lambda: server.metrics().get(name), 20, name)
    found = moved(server)
    server.restart()                    # nobody is cached
    client = server.client(key=client.key)
    client.register()
    client.register()
    client.obtain(fresh())
    # one that is left over, and one that is out of date
    stuck, _, _ = client.obtain(fresh())
    server.store.execute(
        "UPDATE orders SET status = 'processing', lease = 1, serial = '00' "
        f"WHERE id = '{last(stuck.url)}'")
    old = client.order(fresh())
    server.store.execute(
        f"UPDATE orders SET expires = 1 WHERE id = '{last(old.url)}'")
    server.ctl("gc", "run")
    # its key, its certificate
    new = jose.make_key("ES256")
    inner = {"account": client.kid, "oldKey": client.key.jwk()}
    url = client.directory["keyChange"]
    signed = jose.sign_jws(new, {"alg": new.alg, "jwk": new.jwk(),
                                 "url": url}, inner)
    assert client.send(url, signed).status == 200
    client.key = new
    assert server.ctl("cert", "revoke",
                      last(order["certificate"])).returncode == 0
    found |= moved(server)
    # who does not speak TLS, who says nothing, who asks too much
    with socket.create_connection((LOCALHOST, server.port)) as s:
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        s.recv(100)
    with socket.create_connection((LOCALHOST, server.status_port)) as s:
        s.sendall(b"GET /hea")
        s.settimeout(5)
        s.recv(1000)
    many = [socket.create_connection((LOCALHOST, server.port))
            for _ in range(45)]
    for s in many:
        s.close()

    def is_quiet():
        with contextlib.suppress(OSError, ValueError):
            return server.metrics()["certloop_connections"] < 10
    wait_for(is_quiet, 20, "the end of these connections")
    for _ in range(5):
        server.client().send(client.directory["newAccount"], {}, kid=None)
    text = server.file.read_text()
    server.write_config(text + "\nnonsense = 1\n")
    server.ctl("reload")
    server.write_config(text)
    assert server.ctl("reload").returncode == 0
    found |= moved(server)
    wanted.write_text("{")
    for name in ("certloop_recovered_orders_total",
                 "certloop_serve_config_failures_total"):
        wait_for(lambda: server.metrics().get(name), 20, name)
    return found | moved(server)


def a_database_with_weather(new_server, peers):
    """PostgreSQL: locks, sessions that end; validations beside it."""
    server = new_server("postgres", profiles=peers.profile(
        "caa = report", timeout="20s"), limits=servers.Certloopd.NO_LIMITS
        + "backend = store\n").start()
    client = server.client()
    client.register()
    order, url, challenge = order_one(client, fresh()[0])
    client.post(challenge["url"], {})
    wait_for(lambda: client.post(challenge["url"]).json.get("error"), 20,
             "a query that failed")
    found = moved(server)
    peers.http.put(client, challenge["token"])
    client.post(challenge["url"], {})
    wait_authz(client, url)
    finish(client, order)
    cluster = server.store.cluster
    hold = subprocess.Popen(
        [cluster.program("psql"), "-X", "-q", "-h", str(cluster.directory),
         "-U", "postgres", "-d", server.store.name, "-c",
         "BEGIN; LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE; "
         "SELECT pg_sleep(4); COMMIT"], stdout=subprocess.DEVNULL)
    wait_for(lambda: server.store.query(
        "SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND "
        "relation = 'accounts'::regclass AND granted"), 10, "the lock")
    leave(server, client)
    found |= moved(server)
    assert hold.wait(20) == 0
    server.store.execute("ALTER TABLE crls RENAME TO gone")
    cluster.psql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
        f"datname = '{server.store.name}' AND usename = 'certloop'")
    client.send(client.directory["newOrder"], {"identifiers": []})

    def has_failed():
        server.ctl("gc", "run")
        return server.metrics()["certloop_gc_failures_total"] > 0
    wait_for(has_failed, 20, "a sweep without its table", 0.5)
    server.store.execute("ALTER TABLE gone RENAME TO crls")
    return found | moved(server)


def an_issuer_in_trouble(new_server, folder):
    world = World(new_server, folder, ttl=8, options="breaker_failures = 2\n")
    world.start()
    client = world.client
    client.obtain(fresh(), key=KEY)
    order, csr = world.order()
    world.always(sign={"status": 503})
    for _ in range(3):
        world.finalize(order, csr)
    found = moved(world.server)
    wait_for(lambda: world.server.metrics().get(
        'certloop_vault_token_renewals_total{result="success"}'), 20,
        "a renewal")
    return found | moved(world.server)


def a_fleet(replicas, redis):
    """Redis, and its end."""
    members = replicas(limits="new_order_per_account = 50/1h\n")
    one, two, _ = members
    client = fleet.client_of(members)
    client.obtain(fresh())
    found = moved(one) | moved(two)
    redis.freeze()
    pending = threading.Thread(target=client.send, args=(
        client.directory["newOrder"],
        {"identifiers": acme.identifiers(fresh())}))
    pending.start()
    wait_for(lambda: any(
        m.metrics()["certloop_redis_in_flight"] > 0 for m in members),
        10, "a script without an answer", 0.001)
    found.add("redis_in_flight")
    redis.thaw()
    pending.join()
    redis.kill()
    for _ in range(3):
        client.send(client.directory["newOrder"], {
            "identifiers": acme.identifiers(fresh())})
    return found | moved(one) | moved(two)


def test_every_metric_moves(new_server, tmp_path, replicas, redis):
    peers = Peers(tmp_path / "peers")
    try:
        found = a_database_with_weather(new_server, peers)
    finally:
        peers.close()
    found |= an_ordinary_life(new_server)
    found |= an_issuer_in_trouble(new_server, tmp_path)
    found |= a_fleet(replicas, redis)
    names = declared()
    left = names - found
    never = " ".join(sorted(left - set(ELSEWHERE)))
    assert not never, f"nothing moves {never}"


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_the_others_are_looked_at(name):
    """The test that is said to move it names it."""
    assert name in declared()
    text = (TESTS / ELSEWHERE[name]).read_text()
    if name == "log_lines_dropped":
        assert "assert_true(log_dropped() > before)" in text
    else:
        assert re.search(rf"(?:certloop_|METRIC_|FAMILY_|HIST_){name}"
                         r"(?:_total|_count)?\b", text)
