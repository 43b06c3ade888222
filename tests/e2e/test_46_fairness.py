# SPDX-License-Identifier: ISC
"""Accounts take turns in validations: one whose targets hang does not keep
another waiting."""

import threading
import time

import pytest

import challenges
import servers
from servers import wait_for

SLOTS, SHARE = 64, 16   # queries of one type under way: of all, of one account

LIMITS = servers.Certloopd.NO_LIMITS + """
  challenge_response_per_challenge = 0
  failed_validation_per_name = 0
"""


@pytest.fixture
def peers(tmp_path):
    dns = challenges.Dns(tmp_path / "dns")
    http = challenges.Http(tmp_path / "http")
    http.release = threading.Event()
    yield dns, http
    http.release.set()
    dns.close()
    http.close()


@pytest.fixture
def validating(peers, new_server, engine):
    dns, http = peers
    return new_server(engine, limits=LIMITS, profiles=f"""
profile default {{
  issuer = local
  auth_mode = challenge
  resolvers = {{ "{dns.resolver()}" }}
  validation_allow = {{ "127.0.0.0/8" }}
  http_port = {http.port}
  validation_timeout = 60s
}}
""").start()


def http_challenge(client, url):
    return [c for c in client.post(url).json["challenges"]
            if c["type"] == "http-01"][0]


def running(server):
    return server.metrics()['certloop_validations_running{type="http-01"}']


def test_targets_that_hang_delay_their_own_account_only(validating, peers):
    _, http = peers

    def hang(handler):
        http.release.wait(120)
        handler.close_connection = True
    bad = validating.client()
    bad.register()
    order = bad.order([f"n{i}.hangs.example.org" for i in range(SLOTS + 16)])
    for url in order["authorizations"]:
        challenge = http_challenge(bad, url)
        path = f"/.well-known/acme-challenge/{challenge['token']}"
        http.pages[path] = hang
        bad.post(challenge["url"], {})
    wait_for(lambda: running(validating) == SHARE, 10, "its share")
    began = time.monotonic()
    for i in range(4):
        good = validating.client()
        good.register()
        order = good.order([f"n{i}.good.example.org"])
        challenge = http_challenge(good, order["authorizations"][0])
        http.put(good, challenge["token"])
        good.post(challenge["url"], {})
        good.wait(order, ("ready", "invalid"))
        assert order.status == "ready"
    assert time.monotonic() - began < 30    # half of what a target may hang
    assert running(validating) == SHARE
