# SPDX-License-Identifier: ISC
"""Resident memory is flat after warm-up, and nothing fails on the way.

CERTLOOP_ISSUANCES says how many certificates on each engine: 400 by default,
10,000 in `make proof-memory`.
"""

import os
import time

import pytest

import servers

ISSUANCES = int(os.environ.get("CERTLOOP_ISSUANCES", "400"))
WARM = ISSUANCES // 4
WORKERS = 3

# What may still come after a quarter of the run: fragments and page caches
# that fill up, KiB. A leak of 400 bytes an issuance passes 10,000 not.
SLACK = 3072


def issued(server):
    return server.metrics()["certloop_certificates_issued_total"]


def test_memory_is_flat_after_warm_up(new_server, engine, load, figures):
    """With sanitizers too: freed memory is then given back at once."""
    server = new_server(engine, environment={
        "ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=1:"
                        "thread_local_quarantine_size_kb=64:"
                        "malloc_context_size=3"}).start()
    workers = load(server, workers=WORKERS,
                   orders=(ISSUANCES + WORKERS - 1) // WORKERS)
    servers.wait_for(lambda: workers.has_ended() or issued(server) >= WARM,
                     600, "the warm-up", 0.1)
    warm, samples = server.rss(), []
    while not workers.has_ended():
        samples.append(server.rss())
        time.sleep(0.1)
    result = workers.result()
    assert result["problems"] == []
    assert result["again"] == 0
    assert len(result["chains"]) >= ISSUANCES
    last = server.rss()
    figures(issuances=len(result["chains"]), warm_kib=warm,
            most_kib=max(samples, default=last), last_kib=last,
            sanitizers=server.is_sanitized())
    assert last - warm < SLACK
    assert issued(server) == len(result["chains"])
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
