# SPDX-License-Identifier: ISC
"""Three replicas on one Postgres and one Redis: any request on any of them."""

import threading

import pytest

import fleet
import jose
import web
from acme import Client, Refused
from servers import wait_for

REPLICAS = 3


@pytest.fixture
def redis(tmp_path):
    server = fleet.Redis(tmp_path / "redis").start()
    yield server
    server.remove()


@pytest.fixture
def replicas(build, new_store, tmp_path, redis):
    """replicas(**options): three of them, started, with one public URL each
    (their own), so that a test says which one it asks."""
    made = []

    def start(limits=fleet.servers.Certloopd.NO_LIMITS, with_redis=True,
              **options):
        store = new_store("postgres")
        for i in range(REPLICAS):
            replica = fleet.Replica(
                build, tmp_path / f"replica{i}", store=store, limits=limits,
                redis=redis if with_redis else None,
                public_url="https://acme.fleet.internal", **options)
            if i == 0:
                replica.init_ca()
            else:
                replica.share_from(made[0])
            made.append(replica)
            replica.start()
        return made
    yield start
    for replica in made:
        replica.remove()


class Round(web.Web):
    """Sends each request to the next replica, whatever its URL says."""

    def __init__(self, members):
        self.members = [
            (r, web.Web(web.trust(r.root))) for r in members]
        self.turn = 0
        self.last = None

    def request(self, method, url, body=None, headers=None):
        replica, http = self.members[self.turn % len(self.members)]
        self.turn += 1
        path = url.removeprefix("https://acme.fleet.internal")
        fields = {"Host": "acme.fleet.internal", **(headers or {})}
        self.last = http.request(
            method, f"https://localhost:{replica.port}{path}", body, fields)
        return self.last

    def get(self, url):
        return self.request("GET", url)


def client_of(members, **options):
    client = Client(
        "https://acme.fleet.internal/acme/profile/default/directory",
        http=Round(members), **options)
    return client


def test_every_request_goes_to_another_replica(replicas):
    members = replicas()
    client = client_of(members)
    for n in range(6):
        _, chain, _ = client.obtain([f"n{n}.fleet.example.org"])
        assert chain.count(b"BEGIN CERTIFICATE") >= 1
    assert client.bad_nonces == 0
    for replica in members:
        assert replica.metrics()["certloop_nonces_redeemed_total"] > 0


def test_without_redis_the_store_redeems(replicas):
    members = replicas(with_redis=False)
    client = client_of(members)
    client.obtain(["one.store.example.org"])
    client.obtain(["two.store.example.org"])
    assert client.bad_nonces == 0


def test_nonces_in_the_store_are_swept_when_nobody_can_bring_them_again(
        replicas):
    members = replicas(with_redis=False, top="gc_interval = 1s")
    client = client_of(members)
    client.obtain(["swept.store.example.org"])
    store = members[0].store
    used = store.query("SELECT id FROM nonces ORDER BY id")
    assert len(used) >= 4
    store.query("UPDATE nonces SET expires = 1 "
                f"WHERE id <> '{used[0][0]}' RETURNING id")

    def swept():
        return sum(r.metrics()['certloop_gc_rows_total{sweep="nonces"}']
                   for r in members)
    wait_for(lambda: swept() == len(used) - 1, 20, "the sweep")
    assert store.query("SELECT id FROM nonces") == used[:1]


@pytest.mark.parametrize("with_redis", [True, False], ids=["redis", "store"])
def test_a_nonce_is_redeemed_once_in_a_race(replicas, with_redis):
    members = replicas(with_redis=with_redis)
    client = client_of(members)
    client.register()
    clients = [Client(client.directory_url, key=client.key,
                      http=Round([members[i % REPLICAS]]))
               for i in range(6)]
    for one in clients:
        one.kid = client.kid
        one.directory     # fetched before the race
    for _ in range(10):
        nonce = client.nonce()
        answers = []

        def ask(one):
            answers.append(one.send(client.kid, {}, nonce=nonce))
        threads = [threading.Thread(target=ask, args=(one,))
                   for one in clients]
        [t.start() for t in threads]
        [t.join() for t in threads]
        good = [a for a in answers if a.status == 200]
        bad = [a for a in answers if a.problem == "badNonce"]
        assert (len(good), len(bad)) == (1, len(clients) - 1), answers


def hammer(members, client, count):
    """Orders through all members at once; how many passed."""
    passed = []

    def work(i):
        one = Client(client.directory_url, key=client.key,
                     http=Round([members[i % REPLICAS]]))
        one.kid = client.kid
        for n in range(count):
            try:
                one.order([f"h{i}-{n}.fleet.example.org"])
                passed.append(1)
            except Refused as error:
                assert error.problem == "rateLimited", error
    threads = [threading.Thread(target=work, args=(i,))
               for i in range(2 * REPLICAS)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    return len(passed)


LIMIT = """
  new_account_per_address = 0
  open_orders_per_account = 0
  new_order_per_account = "10/1h"
"""


def test_with_redis_exactly_max_pass_in_the_whole_fleet(replicas):
    members = replicas(limits=LIMIT, backend="redis")
    client = client_of(members)
    client.register()
    assert hammer(members, client, 5) == 10


def test_with_memory_each_replica_counts_for_itself(replicas):
    members = replicas(limits=LIMIT, backend="memory")
    client = client_of(members)
    client.register()
    assert hammer(members, client, 12) == REPLICAS * 10


def test_open_orders_are_counted_exactly_in_the_whole_fleet(replicas):
    members = replicas(limits="new_order_per_account = 0\n"
                              "open_orders_per_account = 5")
    client = client_of(members)
    client.register()
    assert hammer(members, client, 4) == 5


def test_redis_dies_and_comes_back(replicas, redis):
    members = replicas(limits=LIMIT + "on_error = local\n",
                       backend="redis")
    client = client_of(members)
    client.obtain(["before.fleet.example.org"])
    redis.kill()
    client.obtain(["without.fleet.example.org"])
    redis.start()
    wait_for(lambda: all(
        r.metrics().get("certloop_redis_up", 0) == 1 for r in members),
        20, "every replica to see Redis again")
    client.obtain(["after.fleet.example.org"])


def test_redis_is_flushed(replicas, redis):
    members = replicas()
    client = client_of(members)
    client.register()
    nonce = client.nonce()
    assert client.send(client.kid, {}, nonce=nonce).status == 200
    redis.flush()
    # what was redeemed before the flush is not redeemed again after it
    assert client.send(client.kid, {}, nonce=nonce).problem == "badNonce"
    client.obtain(["flushed.fleet.example.org"])


def test_a_replica_without_the_sealing_key_is_refused(replicas, build,
                                                      tmp_path):
    members = replicas()
    fourth = fleet.Replica(build, tmp_path / "fourth",
                           store=members[0].store)
    fourth.init_ca()
    for name in ("ca",):
        import shutil
        shutil.rmtree(fourth.data / name)
        shutil.copytree(members[0].data / name, fourth.data / name)
    done = fourth.run("-c", fourth.file)
    assert done.returncode == 3, done.stdout
    assert "another key" in done.stdout


@pytest.fixture
def balanced(build, new_store, tmp_path, redis):
    """Three replicas behind the HAProxy of contrib/haproxy."""
    store = new_store("postgres")
    made = []
    pem = tmp_path / "balancer.pem"
    pem.write_bytes(fleet.self_signed("localhost"))
    proxy = fleet.HAProxy(tmp_path / "haproxy",
                          [fleet.free_port() for _ in range(REPLICAS)], pem)
    ports = [int(line.split(":")[-1].split()[0])
             for line in proxy.file.read_text().splitlines()
             if line.strip().startswith("server r")]
    for i in range(REPLICAS):
        replica = fleet.Replica(
            build, tmp_path / f"member{i}", store=store, redis=redis,
            backend="redis", proxied=True,
            limits=fleet.servers.Certloopd.NO_LIMITS,
            public_url=f"https://localhost:{proxy.port}")
        replica.port = ports[i]
        replica.write_config()
        if i == 0:
            replica.init_ca()
        else:
            replica.share_from(made[0])
        made.append(replica)
        replica.start()
    proxy.start()
    proxy.pem = pem
    yield proxy, made
    proxy.remove()
    for replica in made:
        replica.remove()


def test_through_haproxy_while_replicas_restart(balanced):
    proxy, members = balanced
    url = f"https://localhost:{proxy.port}/acme/profile/default/directory"
    stop = threading.Event()
    errors, issued = [], []

    def work(i):
        client = Client(url, tls=web.trust(proxy.pem),
                        key=jose.make_key("ES256"))
        n = 0
        while not stop.is_set():
            try:
                client.obtain([f"w{i}-{n}.balanced.example.org"])
                issued.append(1)
                n += 1
            except Exception as error:  # noqa: B902
                errors.append(repr(error))
                return
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    [t.start() for t in threads]
    try:
        for replica in members:
            before = len(issued)
            replica.restart()
            wait_for(lambda: len(issued) > before + 8 or errors, 60,
                     "issuance to go on")
    finally:
        stop.set()
        [t.join() for t in threads]
    assert not errors, errors
