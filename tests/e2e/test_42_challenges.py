# SPDX-License-Identifier: ISC
"""Challenge mode: RFC 8555 sections 7.1.6, 7.5 and 8, RFC 8737, RFC 8738,
against name, web and TLS servers of the test."""

import time

import acme
import challenges
import pytest
import servers
import x509
from challenges import key_authorization, txt_value
from servers import LOCALHOST, free_port, wait_for


class Peers:
    """What a client would run beside itself."""

    def __init__(self, folder):
        self.dns = challenges.Dns(folder / "dns")
        self.http = challenges.Http(folder / "http")
        self.tls = challenges.Alpn(folder / "tls")

    def profile(self, more="", timeout="3s"):
        return f"""
profile default {{
  issuer = local
  auth_mode = challenge
  resolvers = {{ "{self.dns.resolver()}" }}
  validation_allow = {{ "127.0.0.0/8", "::1" }}
  http_port = {self.http.port}
  https_port = {self.tls.port}
  tls_port = {self.tls.port}
  validation_timeout = {timeout}
  {more}
}}
"""

    def close(self):
        self.dns.close()
        self.http.close()
        self.tls.close()


@pytest.fixture(scope="module")
def peers(tmp_path_factory):
    made = Peers(tmp_path_factory.mktemp("peers"))
    yield made
    made.close()


NO_LIMITS = servers.Certloopd.NO_LIMITS + """
  challenge_response_per_challenge = 0
  failed_validation_per_name = 0
"""


@pytest.fixture(scope="module")
def validating(build, engine, new_store, tmp_path_factory, peers):
    """A server whose one profile validates; shared by this module."""
    daemon = servers.Certloopd(
        build, tmp_path_factory.mktemp(f"validating-{engine}"),
        store=new_store(engine), profiles=peers.profile(),
        limits=NO_LIMITS, top='recovery_interval = 1s')
    daemon.start()
    yield daemon
    daemon.remove()


@pytest.fixture
def client(validating):
    one = validating.client()
    one.register()
    return one


def challenge_of(authz, kind):
    return [c for c in authz["challenges"] if c["type"] == kind][0]


def wait_authz(client, url, seconds=30):
    def final():
        authz = client.post(url).json
        return authz["status"] != "pending" and authz
    return wait_for(final, seconds, "the end of an authorization", 0.05)


def order_one(client, name, kind="http-01"):
    """A new order of one name: (order, URL of its authz, challenge)."""
    order = client.order([name])
    url = order["authorizations"][0]
    authz = client.post(url).json
    assert authz["status"] == "pending"
    return order, url, challenge_of(authz, kind)


def finish(client, order):
    client.refresh(order)
    assert order.status == "ready", order.body
    names = [i["value"] for i in order["identifiers"]]
    client.finalize(order, x509.make_csr(names, x509.new_key()))
    return client.download(order)


def fail(client, name, kind="http-01"):
    """Respond to what cannot be met; the problem of the challenge."""
    order, url, challenge = order_one(client, name, kind)
    client.post(challenge["url"], {})
    authz = wait_authz(client, url)
    assert authz["status"] == "invalid"
    assert [c["type"] for c in authz["challenges"]] == [kind]
    challenge = authz["challenges"][0]
    assert challenge["status"] == "invalid"
    client.refresh(order)
    assert order.status == "invalid"
    assert order["error"]["type"] == challenge["error"]["type"]
    assert order["error"]["subproblems"][0]["identifier"]["value"] == name
    return challenge["error"]


def kind_of(problem):
    return problem["type"].rpartition(":")[2]


# ---- http-01

def test_http_01_from_order_to_certificate(client, peers):
    order, url, challenge = order_one(client, "http.example.org")
    assert challenge["status"] == "pending"
    peers.http.put(client, challenge["token"])
    answer = client.post(challenge["url"], {})
    assert answer.json["status"] == "processing"
    assert int(answer.header("Retry-After")) >= 1
    assert url in answer.header("Link") + str(answer.headers("Link"))
    authz = wait_authz(client, url)
    assert authz["status"] == "valid"
    assert authz["challenges"][0]["status"] == "valid"
    assert authz["challenges"][0]["validated"]
    assert "error" not in authz["challenges"][0]
    finish(client, order)


def test_a_wrong_body_is_told_without_showing_it(client, peers):
    order, url, challenge = order_one(client, "wrong.example.org")
    peers.http.put(client, challenge["token"], "the secret of somebody")
    client.post(challenge["url"], {})
    authz = wait_authz(client, url)
    problem = authz["challenges"][0]["error"]
    assert kind_of(problem) == "incorrectResponse"
    assert "secret" not in str(authz)
    assert "reading the body" in problem["detail"]
