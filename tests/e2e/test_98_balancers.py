# SPDX-License-Identifier: ISC
"""Replicas behind the balancers of contrib/: whose address counts."""

import http.client
import re
import secrets

import pytest

import acme
import web
from acme import Client


class From(web.Web):
    """A client with an address of its own, which may lie about it."""

    def __init__(self, address, lie=None, **options):
        super().__init__(**options)
        self.source = (address, 0)
        self.lie = {} if lie is None else {
            "X-Forwarded-For": lie, "Forwarded": f"for={lie}"}

    def _connect(self, scheme, host, port):
        if scheme == "https":
            return http.client.HTTPSConnection(
                host, port, timeout=self.timeout, context=self.tls,
                source_address=self.source)
        return http.client.HTTPConnection(
            host, port, timeout=self.timeout, source_address=self.source)

    def request(self, method, url, body=None, headers=None):
        return super().request(method, url, body,
                               {**self.lie, **(headers or {})})


@pytest.mark.parametrize("with_nginx", [False, True],
                         ids=["haproxy", "nginx"])
def test_limits_count_the_client_and_not_what_it_says(balanced, with_nginx):
    proxy, members = balanced(with_nginx=with_nginx, limits="""
      new_account_per_address = "2/1h"
      new_order_per_account = 0
      open_orders_per_account = 0
    """)

    def register(address, lie=None):
        client = Client(proxy.directory_url, http=From(
            address, lie, tls=web.trust(proxy.pem)))
        client.register()
        return client
    clients = [register("127.0.0.5") for _ in range(2)]
    for lie in (None, "192.0.2.77", "127.0.0.1"):
        with pytest.raises(acme.Refused) as refused:
            register("127.0.0.5", lie)
        assert refused.value.response.status == 429
        assert refused.value.response.problem == "rateLimited"
    # the address that it named is not charged, nor is the balancer's
    register("127.0.0.6")
    register("127.0.0.6", "192.0.2.77")
    for client in clients:
        client.obtain([f"{secrets.token_hex(6)}.example.org"])


def test_a_replica_believes_only_its_balancer(balanced):
    """Who goes round nginx and names an address keeps its own."""
    _, members = balanced(with_nginx=True)
    one = members[0]
    for source, lie, counts in (("127.0.0.9", "192.0.2.9", "127.0.0.9"),
                                ("127.0.0.1", "192.0.2.9", "192.0.2.9")):
        response = From(source, lie).get(
            f"http://127.0.0.1:{one.port}/acme/directory")
        assert response.status == 200
        line = one.wait_log(
            re.escape(response.header("X-Request-Id")) + ".*").group(0)
        assert f"peer={counts} " in line, line


def test_nginx_goes_on_with_the_others(balanced):
    """A replica that stopped, or was taken over, costs no request."""
    proxy, members = balanced(with_nginx=True)
    client = Client(proxy.directory_url, tls=web.trust(proxy.pem))
    members[0].stop()
    for _ in range(4):
        client.obtain([f"{secrets.token_hex(6)}.example.org"])
    assert members[1].take_over() == 0
    members[0].start()
    for _ in range(4):
        client.obtain([f"{secrets.token_hex(6)}.example.org"])
