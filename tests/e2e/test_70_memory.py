# SPDX-License-Identifier: ISC
"""Resident memory is flat after warm-up, and nothing fails on the way.

CERTLOOP_ISSUANCES says how many certificates on each engine: 1,200 by
default, 10,000 in `make proof-memory`. They are asked for by
certloop-bench, which verifies each of them.
"""

import json
import os
import subprocess
import time

import pytest

import servers

ISSUANCES = int(os.environ.get("CERTLOOP_ISSUANCES", "1200"))
ROUNDS = 4      # the first one is the warm-up

# What may still come after it, KiB: fragments, page caches that fill up, and
# what sanitizers remember. Over 7,500 issuances that is 400 bytes each.
SLACK = 3072


def issue(server, orders):
    """Certificates for many connections at once; the most memory that the
    server had meanwhile, in KiB."""
    load = subprocess.Popen(
        [*servers.WITH_US, server.build / "certloop-bench", "--json",
         "--ca-file", server.root, "--ca-root", server.root,
         "--count", str(orders), "--connections", "16",
         f"{server.profile_url()}/directory"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    most = 0
    while load.poll() is None:
        most = max(most, server.rss())
        time.sleep(0.1)
    output = load.stdout.read()
    assert load.returncode == 0, output
    report = json.loads(output)
    assert (report["done"], report["failed"]) == (orders, 0), report
    assert report["bad_nonce_retries"] == 0
    assert report["problems"] == {} and report["errors"] == {}
    return most


def test_memory_is_flat_after_warm_up(new_server, engine, figures):
    """With sanitizers too: freed memory is then given back at once."""
    server = new_server(engine, environment={
        "ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=1:"
                        "thread_local_quarantine_size_kb=64:"
                        "malloc_context_size=3"}).start()
    orders = ISSUANCES // ROUNDS
    first = server.rss()
    issue(server, orders)
    warm = server.rss()
    most = max(issue(server, orders) for _ in range(ROUNDS - 1))
    last = server.rss()
    figures(issuances=orders * ROUNDS, idle_kib=first, warm_kib=warm,
            most_kib=most, last_kib=last, sanitizers=server.is_sanitized())
    assert last - warm < SLACK
    issued = server.metrics()["certloop_certificates_issued_total"]
    assert issued == orders * ROUNDS
    stored = server.store.query("SELECT count(*) FROM certificates")
    assert int(stored[0][0]) == orders * ROUNDS
    assert server.threads() == 1


def test_idle_and_broken_connections_cost_nothing_lasting(new_server):
    """Rounds of clients that come and go leave the same memory behind."""
    server = new_server(environment={
        "ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=1"}).start()

    def crowd():
        clients = [server.web() for _ in range(60)]
        for client in clients:
            assert client.get(f"{server.base}/acme/directory").status == 200
        for client in clients:
            client.close()
        servers.wait_for(lambda: server.connections() == 0, 10,
                         "connections to close")
        return server.rss()
    for _ in range(3):
        warm = crowd()
    for _ in range(5):
        last = crowd()
    assert last - warm < 1024
    assert server.fds() < 60


@pytest.mark.parametrize("size", [1000, 60000])
def test_refusals_cost_nothing_lasting(new_server, size):
    server = new_server(environment={
        "ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=1"}).start()
    client = server.client()
    client.register()
    url = client.directory["newOrder"]

    def batch():
        for _ in range(60):
            response = client.send(url, {"identifiers": "x" * size})
            assert response.problem == "malformed"
        return server.rss()
    batch()
    warm = batch()
    for _ in range(3):
        last = batch()
    assert last - warm < 1024
