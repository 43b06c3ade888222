# SPDX-License-Identifier: ISC
"""kill -9 of the server, and of PostgreSQL, at random moments under load.

Afterwards: each order that a client saw exists and ends valid, none has two
certificates, each certificate handed out is in the store byte for byte, and
nothing is left in processing. CERTLOOP_KILLS says how often (default 20).
"""

import os
import random
import time

import servers
import x509

KILLS = int(os.environ.get("CERTLOOP_KILLS", "20"))

# Claims of a dead process are taken over soon.
QUICK = "lease = 5s\nrecovery_interval = 1s"


def issued(server):
    return server.store.query("SELECT count(*) FROM certificates")[0][0]


def is_making_progress(server, load, since, what):
    """Until more certificates are stored than before: a kill shall hit a
    server that is at work."""
    def more():
        assert load.is_running(), "a worker has ended"
        return int(issued(server)) > since
    servers.wait_for(more, 40, f"certificates {what}", 0.02)


def judge(server, result, figures):
    assert result["problems"] == []
    assert len(result["chains"]) == result["orders"] > 0
    query = server.store.query
    servers.wait_for(
        lambda: not query("SELECT id FROM orders"
                          " WHERE status = 'processing'"),
        30, "recovery to finish what was claimed")
    left = query("SELECT id, status FROM orders WHERE status <> 'valid'")
    # What a client never heard of may be ready still; nothing is invalid.
    assert {status for _, status in left} <= {"ready"}, left
    assert query("SELECT order_id FROM certificates GROUP BY order_id"
                 " HAVING count(*) > 1") == []
    assert query("SELECT serial FROM certificates GROUP BY serial"
                 " HAVING count(*) > 1") == []
    stored = {order: (der, chain) for order, der, chain in query(
        "SELECT c.order_id, c.der, h.pem FROM certificates c"
        " JOIN chains h ON h.id = c.chain")}
    for url, chain in result["chains"].items():
        identifier = url.rpartition("/")[2]
        assert identifier in stored, url
        der, rest = stored[identifier]
        leaf = x509.split_chain(chain)[0]
        assert der == x509.der(leaf), url
        rest = rest.decode() if isinstance(rest, bytes) else rest
        assert chain.decode().endswith(rest.strip() + "\n")
    valid = query("SELECT count(*) FROM orders WHERE status = 'valid'")
    assert int(valid[0][0]) == len(stored)
    figures(kills=KILLS, orders=result["orders"],
            repeated=result["again"], certificates=len(stored),
            recovered=server.log().count("taking over an order"))


def test_kill_9_of_the_server_loses_nothing(new_server, engine, load, figures):
    server = new_server(engine, top=QUICK).start()
    workers = load(server)
    chance = random.Random()
    for _ in range(KILLS):
        is_making_progress(server, workers, int(issued(server)), "in a round")
        time.sleep(chance.uniform(0, 0.3))  # the moment of the kill
        server.kill()
        server.start()
    judge(server, workers.finish(), figures)
    server.check_log()


def test_kill_9_of_postgres_loses_nothing(new_server, load, figures):
    cluster = servers.Postgres().start()
    try:
        server = new_server(store=cluster.new_store(), top=QUICK).start()
        pid = server.pid
        workers = load(server)
        chance = random.Random()
        for _ in range(KILLS):
            is_making_progress(server, workers, int(issued(server)),
                               "in a round")
            time.sleep(chance.uniform(0, 0.3))
            cluster.kill()
            cluster.start()
        judge(server, workers.finish(), figures)
        assert server.pid == pid and server.process.poll() is None
        server.stop()
    finally:
        cluster.remove()
