# SPDX-License-Identifier: ISC
"""Three replicas behind HAProxy, on one PostgreSQL and one Redis, under load
while parts of it restart."""

import json
import os
import subprocess
import threading

import pytest

import clients
import servers
import web
from acme import Client
from servers import wait_for

# signed requests; three make an order
REQUESTS = int(os.environ.get("CERTLOOP_REQUESTS", "20000"))


@pytest.fixture
def bench(build, tmp_path):
    """bench(proxy, root, option...): the load generator, started."""
    made = []

    def start(proxy, root, *options):
        out = open(tmp_path / "load.json", "w+")
        err = open(tmp_path / "load.err", "w+")
        made.append(subprocess.Popen(
            [*servers.WITH_US, str(build / "certloop-bench"), "--json",
             "--ca-file", str(proxy.pem), "--ca-root", str(root),
             *map(str, options), proxy.directory_url],
            stdout=out, stderr=err))
        made[-1].out, made[-1].err = out, err
        return made[-1]
    yield start
    for process in made:
        if process.poll() is None:
            process.kill()
            process.wait()


def report(process):
    process.wait(300)
    process.err.seek(0)
    errors = process.err.read()
    assert not servers.SANITIZER.search(errors), errors
    process.out.seek(0)
    return json.load(process.out)


def test_a_rolling_restart_under_load_costs_no_request(
        balanced, bench, figures):
    proxy, members = balanced()
    orders = -(-REQUESTS // 3)
    load = bench(proxy, members[0].root, "-n", orders, "-c", 12)

    def issued():
        return sum(int(n) for n, in members[0].store.query(
            "SELECT count(*) FROM certificates"))
    rounds = restarts = hand_overs = 0
    while load.poll() is None:
        for i, replica in enumerate(members):
            before = issued()
            if (rounds, i) == (0, 1):
                assert replica.take_over() == 0
                hand_overs += 1
            else:
                replica.restart()
                restarts += 1
            wait_for(lambda: load.poll() is not None
                     or issued() > before + 20, 60, "issuance to go on")
        rounds += 1
    seen = report(load)
    figures(requests=3 * seen["done"], failed=seen["failed"],
            bad_nonces=seen["bad_nonce_retries"], seconds=seen["seconds"],
            restarts=restarts, hand_overs=hand_overs)
    assert (seen["done"], seen["failed"]) == (orders, 0), seen
    # every request had its answer at the first try
    assert seen["statuses"] == {"200": 2 * orders, "201": orders}, seen
    assert rounds >= 1
    assert issued() == orders


@pytest.mark.parametrize("name", ["lego", "certbot"])
def test_clients_through_the_balancer(balanced, tmp_path, name):
    """Each request of theirs goes to the next replica."""
    proxy, members = balanced()
    run = clients.Run(tmp_path / name, proxy.directory_url, proxy.pem)
    names = [f"{name}.fleet.example.org", f"www.{name}.fleet.example.org"]
    for turn in ("first", "second"):
        chain = getattr(run, name.replace("-", "_"))(
            [f"{turn}.{n}" for n in names])
        done = subprocess.run(
            ["openssl", "verify", "-CAfile", members[0].root, "-untrusted",
             chain, chain], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    asked = [r.metrics() for r in members]
    for series in asked:
        assert sum(v for k, v in series.items() if k.startswith(
            "certloop_requests_total")) > 0, series


def test_postgres_restarts_under_load(balanced, bench):
    """While it is away requests are refused with 503 and Retry-After; then
    all goes on by itself, and what was ordered can be finished."""
    cluster = servers.Postgres().start()
    try:
        # an order caught amid its claim is free again after a lease
        proxy, members = balanced(store=cluster.new_store(), top="lease = 5s")
        stop = threading.Event()
        issued, refused, errors = [], [], []

        def work(i):
            client = Client(proxy.directory_url, tls=web.trust(proxy.pem))
            n = 0
            while not stop.is_set():
                try:
                    client.obtain([f"w{i}-{n}.pg.example.org"])
                    issued.append(1)
                except Exception as error:  # noqa: B902
                    answer = getattr(error, "response", None)
                    if answer is None or answer.status != 503:
                        errors.append(repr(error))
                        return
                    if answer.problem not in ("serverInternal", None) or \
                            int(answer.header("Retry-After") or 0) < 1:
                        errors.append(repr(answer))
                        return
                    refused.append(1)
                n += 1
        threads = [threading.Thread(target=work, args=(i,))
                   for i in range(4)]
        [t.start() for t in threads]
        try:
            for _ in range(2):
                before = len(issued)
                wait_for(lambda: len(issued) > before + 8 or errors, 60,
                         "issuance")
                before = len(refused)
                cluster.kill()
                wait_for(lambda: len(refused) > before or errors, 60,
                         "requests to be refused")
                cluster.start()
            before = len(issued)
            wait_for(lambda: len(issued) > before + 8 or errors, 60,
                     "issuance to go on")
        finally:
            stop.set()
            [t.join() for t in threads]
        assert not errors, errors
        assert all(r.process.poll() is None for r in members)
        for one in members:
            one.stop()
    finally:
        cluster.remove()
