# SPDX-License-Identifier: ISC
"""What the daemon does by itself: sweeps."""

from servers import wait_for

PROFILE = """
profile default {
  issuer = local
  auth_mode = trust_authenticated
  open = true
  order_lifetime = 1s
}
"""


def swept(server, sweep):
    return server.metrics().get(
        f'certloop_gc_rows_total{{sweep="{sweep}"}}', 0)


def test_open_orders_that_ran_out_are_swept(new_server, engine):
    server = new_server(engine, profiles=PROFILE,
                        top="gc_interval = 1s").start()
    client = server.client()
    client.register()
    order = client.order(["late.example.org"])
    wait_for(lambda: swept(server, "orders") == 1, 20, "the sweep")
    assert server.metrics()["certloop_gc_runs_total"] >= 1
    assert client.refresh(order).status == "invalid"
    assert order["error"]["type"].endswith(":orderNotReady")
    rows = server.store.query("SELECT status FROM orders")
    assert rows == [("invalid",)]


def test_an_order_that_ran_out_reads_as_invalid_before_any_sweep(
        new_server, engine):
    server = new_server(engine, profiles=PROFILE,
                        top="gc_interval = 0").start()
    client = server.client()
    client.register()
    order = client.order(["late.example.org"])
    wait_for(lambda: client.refresh(order).status == "invalid", 20,
             "the order to run out")
    assert swept(server, "orders") == swept(server, "authorizations") == 0
    # and the same names are ordered anew
    assert client.order(["late.example.org"]).url != order.url
