# SPDX-License-Identifier: ISC
"""PostgreSQL frozen, in recovery, and failed over to its standby."""

import contextlib
import secrets
import threading
import time

import pytest

import servers
import web
from acme import Client, Refused
from servers import wait_for


def fresh():
    return [f"{secrets.token_hex(6)}.example.org"]


@pytest.fixture
def own_cluster():
    """own_cluster(): a PostgreSQL server that may be broken."""
    made = []

    def make(cluster=None):
        made.append(cluster or servers.Postgres().start())
        return made[-1]
    yield make
    for cluster in reversed(made):
        cluster.remove()


# ---- frozen

def test_a_frozen_server_is_refused_in_bounded_time(new_server, own_cluster):
    """503 with Retry-After, each within the deadline of the store; nothing
    piles up; and when it thaws all goes on by itself."""
    cluster = own_cluster()
    server = new_server("postgres", store=cluster.new_store(), top="")
    server.write_config(server.config().replace(
        "store {", "store {\n  deadline = 2s\n  queue = 64\n"))
    server.start()
    client = server.client()
    client.obtain(fresh())
    for _ in range(20):
        client.obtain(fresh())
    before = server.rss()
    cluster.freeze()
    try:
        took, odd = [], []

        def work():
            one = client.twin()
            for _ in range(3):
                began = time.monotonic()
                try:
                    answer = one.post(one.directory["newOrder"], {
                        "identifiers": [{"type": "dns",
                                         "value": fresh()[0]}]})
                except Refused as error:
                    answer = error.response
                except Exception as error:  # noqa: B902
                    odd.append(repr(error))
                    return
                took.append(time.monotonic() - began)
                if answer.status != 503 or \
                        int(answer.header("Retry-After") or 0) < 1:
                    odd.append(answer)
        threads = [threading.Thread(target=work) for _ in range(40)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert not odd, odd[:3]
        # a deadline of 2 s, and what a busy machine adds to it
        assert len(took) == 120 and max(took) < 15, max(took)
        wait_for(lambda: server.status("/readyz").status == 503, 15,
                 "it to say not ready")
        # what needs no database is served meanwhile
        http = server.web()
        assert http.get(f"{server.base}/acme/directory").status == 200
        assert server.metrics()["certloop_store_depth"] <= 64
        if not server.is_sanitized():
            assert server.rss() < before + 4096
    finally:
        cluster.thaw()
    wait_for(lambda: server.status("/readyz").status == 200, 30, "recovery")
    server.client().obtain(fresh())
    assert server.process.poll() is None


# ---- standbys

class Standby(servers.Postgres):
    """A streaming standby of a cluster, made by pg_basebackup."""

    def __init__(self, primary):
        super().__init__(port=primary.port)
        self._run("rm", "-rf", self.data)
        self._run(self.program("pg_basebackup"), "-D", self.data, "-R", "-X",
                  "stream", "-c", "fast", "-d",
                  f"host={primary.directory} port={primary.port} "
                  "user=postgres application_name=standby")
        with open(self.data / "postgresql.auto.conf", "a") as f:
            f.write(f"unix_socket_directories = '{self.directory}'\n")
        self.serial = primary.serial

    def promote(self):
        assert self.psql("SELECT pg_promote()").strip() == "t"


def url_of(clusters, name):
    hosts = ",".join(str(c.directory) for c in clusters)
    ports = ",".join(str(c.port) for c in clusters)
    return (f"postgresql://certloop@/{name}?host={hosts}&port={ports}"
            "&target_session_attrs=read-write")


def test_a_server_in_recovery_is_refused(new_server, own_cluster):
    primary = own_cluster()
    store = primary.new_store()
    server = new_server("postgres", store=store).start()
    server.stop()
    standby = own_cluster(Standby(primary).start())
    wait_for(lambda: int(standby.query(
        "SELECT count(*) FROM pg_database WHERE datname = "
        f"'{store.name}'", "postgres")[0][0]), 20, "the standby to follow")
    store.url = standby.url(store.name)
    server.write_config()
    server.spawn()
    assert server.wait_end(60) == 4
    assert "cannot use the store" in server.log()
    # beside the primary it does no harm, even first in the list
    store.url = url_of([standby, primary], store.name)
    server.write_config()
    server.start()
    server.client().obtain(fresh())


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_failover_to_a_promoted_standby(new_server, own_cluster, how):
    """Nothing that was handed out is lost, nothing is issued twice, and the
    process finds the new primary by itself, also behind one that is first in
    the list and takes connections, but says nothing."""
    primary = own_cluster()
    store = primary.new_store()
    standby = own_cluster(Standby(primary).start())
    primary.psql("ALTER SYSTEM SET synchronous_standby_names = '*'")
    primary.psql("SELECT pg_reload_conf()")
    wait_for(lambda: primary.psql(
        "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        ).strip() == "1", 30, "the standby to be synchronous")
    store.url = url_of([primary, standby], store.name)
    # an order that the failover caught amid its claim is free again after it
    server = new_server("postgres", store=store, top="lease = 5s").start()
    stop = threading.Event()
    issued, refused, odd = [], [], []

    def work():
        client = Client(f"{server.profile_url()}/directory",
                        http=web.Web(web.trust(server.root)))
        while not stop.is_set():
            try:
                order, _, _ = client.obtain(fresh())
                issued.append(order.url)
            except Exception as error:  # noqa: B902
                response = getattr(error, "response", None)
                if response is None or response.status != 503 or \
                        int(response.header("Retry-After") or 0) < 1:
                    odd.append(repr(error))
                    return
                refused.append(1)
                time.sleep(0.05)
    threads = [threading.Thread(target=work) for _ in range(4)]
    [t.start() for t in threads]
    try:
        wait_for(lambda: len(issued) > 10 or odd, 60, "issuance")
        getattr(primary, how)()
        wait_for(lambda: refused or odd, 60, "requests to be refused")
        standby.promote()
        standby.psql("ALTER SYSTEM RESET synchronous_standby_names")
        standby.psql("SELECT pg_reload_conf()")
        before = len(issued)
        wait_for(lambda: len(issued) > before + 10 or odd, 60,
                 "issuance on the new primary")
    finally:
        stop.set()
        with contextlib.suppress(RuntimeError):
            [t.join() for t in threads]
    assert not odd, odd[:3]
    rows = standby.query(
        "SELECT o.id, count(c.serial) FROM orders o LEFT JOIN certificates c "
        "ON c.order_id = o.id WHERE o.status = 'valid' GROUP BY o.id",
        store.name)
    stored = {order: int(n) for order, n in rows}
    assert set(stored.values()) == {1}
    for url in issued:
        assert url.rsplit("/", 1)[1] in stored, url
