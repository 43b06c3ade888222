# SPDX-License-Identifier: ISC
"""PostgreSQL and Redis by host names whose addresses change while the server
runs: found again without a restart. What they mean says a library that is
preloaded, since nobody else's names may be asked for."""

import socket
import subprocess
import threading
from pathlib import Path

import pytest

import fleet
from servers import LOCALHOST, WITH_US, free_port, wait_for

HERE, THERE = "127.0.0.2", "127.0.0.3"

LIMITS = """
  new_order_per_account = "10000/1h"
  open_orders_per_account = 0
  backend = redis
"""


class Relay:
    """What is at an address: bytes go on to the server that dial() reaches,
    until it is closed, and all connections with it."""

    def __init__(self, address, port, dial):
        self.dial = dial
        self.open = []
        self.listener = socket.create_server((address, port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near = self.listener.accept()[0]
                far = self.dial()
            except OSError:
                return
            self.open += [near, far]
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=pair,
                                 daemon=True).start()

    @staticmethod
    def _pass(one, other):
        try:
            while data := one.recv(1 << 16):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        for one in (self.listener, *self.open):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()


class Names:
    """What names that end in .invalid mean to those who are started with
    environment."""

    def __init__(self, directory):
        self.file = directory / "names"
        self.map()
        library = directory / "names.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library,
                        Path(__file__).parents[1] / "lib" / "names.c"],
                       check=True)
        self.environment = {
            "LD_PRELOAD": str(library), "CERTLOOP_NAMES": str(self.file),
            # it is in front of the sanitizers' library
            "ASAN_OPTIONS": "detect_leaks=1:verify_asan_link_order=0"}

    def map(self, **names):
        new = self.file.with_suffix(".new")
        new.write_text("".join(f"{address} {name}.example.invalid\n"
                               for name, address in names.items()))
        new.rename(self.file)


@pytest.fixture
def names(tmp_path):
    return Names(tmp_path)


@pytest.fixture
def relay():
    made = []

    def start(*arguments):
        made.append(Relay(*arguments))
        return made[-1]
    yield start
    for one in made:
        one.close()


def dial_redis(redis):
    return lambda: socket.create_connection((LOCALHOST, redis.port), 5)


def is_up(server, up=1):
    return server.metrics()["certloop_redis_up"] == up


def test_a_database_that_moved_is_found(new_server, new_store, relay, names):
    store = new_store("postgres")
    cluster = store.cluster
    port = free_port()

    def dial():
        s = socket.socket(socket.AF_UNIX)
        s.connect(f"{cluster.directory}/.s.PGSQL.{cluster.port}")
        return s

    here = relay(HERE, port, dial)
    # the first of the two hosts is never there, and has no address later
    store.url = (f"postgresql://certloop@gone.example.invalid:1,"
                 f"db.example.invalid:{port}/{store.name}")
    names.map(db=HERE, gone="127.0.0.9")
    server = new_server("postgres", store=store,
                        environment=names.environment).start()
    client = server.client()
    client.obtain(["here.addresses.example.org"])

    here.close()
    wait_for(lambda: server.status("/readyz").status == 503, 20,
             "it to be missed", 0.2)
    relay(THERE, port, dial)
    names.map(db=THERE)
    wait_for(lambda: server.status("/readyz").status == 200, 60,
             "it to be found", 0.2)
    server.wait_log("the hosts of the database have other addresses now.*"
                    f"addresses=.*{THERE}")
    client.obtain(["there.addresses.example.org"])


def test_a_redis_that_moved_is_found(new_server, redis, relay, names):
    port = free_port()
    names.map(cache=HERE)
    here = relay(HERE, port, dial_redis(redis))
    server = new_server(limits=LIMITS, environment=names.environment,
                        extra=f"""
redis {{
  address = "cache.example.invalid:{port}"
  deadline = 500ms
}}""").start()
    wait_for(lambda: is_up(server), 10, "Redis")
    here.close()
    wait_for(lambda: is_up(server, 0), 20, "it to be missed")
    names.map()     # for a while nobody knows it
    relay(THERE, port, dial_redis(redis))
    server.wait_log("redis is gone")
    names.map(cache=THERE)
    wait_for(lambda: is_up(server), 60, "it to be found")
    server.wait_log(f"redis is up.*address={THERE}:{port}")
    server.client().obtain(["moved.addresses.example.org"])


def test_a_redis_whose_name_comes_later_is_found(new_server, redis, names):
    server = new_server(limits=LIMITS, environment=names.environment,
                        extra=f"""
redis {{
  address = "late.example.invalid:{redis.port}"
  deadline = 500ms
}}""").start()
    server.wait_log("starting without Redis.*late.example.invalid")
    assert is_up(server, 0)
    server.client().obtain(["before.addresses.example.org"])
    names.map(late=LOCALHOST)
    wait_for(lambda: is_up(server), 60, "Redis")
    server.wait_log(f"redis is up.*address={redis.address}")


@pytest.fixture
def naming_sentinel(redis, tmp_path):
    """One that answers with the name of the master."""
    folder = tmp_path / "sentinel"
    folder.mkdir()
    port = free_port()
    (folder / "conf").write_text(
        f"port {port}\nbind {LOCALHOST}\ndir {folder}\n"
        "sentinel resolve-hostnames yes\n"
        "sentinel announce-hostnames yes\n"
        f"sentinel monitor certloop localhost {redis.port} 1\n")
    process = subprocess.Popen(
        [*WITH_US, "redis-server", str(folder / "conf"), "--sentinel"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ask = fleet.Redis.__new__(fleet.Redis)
    ask.port = port
    try:
        wait_for(ask.answers, 20, "the Sentinel")
        answer = ask.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME",
                             "certloop")
        assert b"localhost" in answer, answer
        yield f"{LOCALHOST}:{port}"
    finally:
        process.kill()
        process.wait(20)


def test_a_sentinel_may_answer_with_a_name(new_server, redis,
                                           naming_sentinel):
    server = new_server(limits=LIMITS, extra=f"""
redis {{
  sentinels = {{ "{naming_sentinel}" }}
  sentinel_master = certloop
  deadline = 500ms
}}""").start()
    wait_for(lambda: is_up(server), 20, "Redis")
    server.wait_log(f"redis is up.*:{redis.port}")
    server.client().obtain(["named.addresses.example.org"])
    assert redis.called("lpush") >= 1
