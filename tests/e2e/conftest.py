# SPDX-License-Identifier: ISC
"""Fixtures of the end-to-end tests.

CERTLOOP_BUILD names the folder with certloopd and certloopctl; `make
check-e2e` sets it. Tests that only look at a server share `server`, one for
each engine and for the whole run; tests that break or configure one take
`new_server`.
"""

import json
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))

import fleet  # noqa: E402
import servers  # noqa: E402
from vault_world import World  # noqa: E402

ENGINES = ("sqlite", "postgres")


@pytest.fixture(scope="session")
def build():
    """Where the programs are."""
    folder = Path(os.environ.get("CERTLOOP_BUILD", ".")).resolve()
    if not (folder / "certloopd").exists():
        pytest.exit(f"no certloopd in {folder}: set CERTLOOP_BUILD", 4)
    return folder


@pytest.fixture(scope="session")
def cluster():
    """A PostgreSQL server for the run. Do not kill this one."""
    postgres = servers.Postgres().start()
    yield postgres
    postgres.remove()


@pytest.fixture(scope="session", params=ENGINES)
def engine(request):
    return request.param


@pytest.fixture(scope="session")
def new_store(request):
    """new_store(engine): an empty database; None where certloopd makes it
    itself in its data_dir."""
    def make(engine):
        if engine == "sqlite":
            return None
        return request.getfixturevalue("cluster").new_store()
    return make


PROFILES = """
profile default {
  issuer = local
  auth_mode = trust_authenticated
  open = true
}
profile other {
  issuer = local
  auth_mode = trust_authenticated
  open = true
}
"""


@pytest.fixture(scope="session")
def server(build, engine, new_store, tmp_path_factory):
    """A certloopd that tests share and leave as they found it."""
    daemon = servers.Certloopd(
        build, tmp_path_factory.mktemp(f"server-{engine}"),
        store=new_store(engine), profiles=PROFILES)
    daemon.start()
    yield daemon
    daemon.remove()


@pytest.fixture
def new_server(build, new_store, tmp_path):
    """new_server(engine, **options): a certloopd of the test's own, not
    started."""
    made = []

    def make(engine="sqlite", **options):
        options.setdefault("store", new_store(engine))
        daemon = servers.Certloopd(
            build, tmp_path / f"server{len(made)}", **options)
        made.append(daemon)
        return daemon
    yield make
    for daemon in made:
        daemon.remove()


@pytest.fixture
def world(new_server, tmp_path):
    """world(engine, **options): a World, not started."""
    made = []

    def make(engine="sqlite", **options):
        made.append(World(new_server, tmp_path, engine, **options))
        return made[-1]
    yield make
    for one in made:
        one.server.remove()
        one.peer.stop()


@pytest.fixture
def redis(tmp_path):
    server = fleet.Redis(tmp_path / "redis").start()
    yield server
    server.remove()


@pytest.fixture
def replicas(build, new_store, tmp_path, redis):
    """replicas(**options): three of them, started, with one public URL each
    (their own), so that a test says which one it asks. wired: each has a
    fleet.Wire to Redis, as its `redis`."""
    made, wires = [], []

    def start(limits=servers.Certloopd.NO_LIMITS, with_redis=True,
              wired=False, **options):
        store = new_store("postgres")
        for i in range(fleet.REPLICAS):
            if wired:
                wires.append(fleet.Wire(redis))
            replica = fleet.Replica(
                build, tmp_path / f"replica{i}", store=store, limits=limits,
                redis=wires[i] if wired else redis if with_redis else None,
                public_url=fleet.PUBLIC_URL, **options)
            if i == 0:
                replica.init_ca()
            else:
                replica.share_from(made[0])
            made.append(replica)
            replica.start()
        return made
    yield start
    for one in made + wires:
        one.remove()


@pytest.fixture
def balanced(build, new_store, tmp_path, redis):
    """balanced(**options): three replicas behind the HAProxy of
    contrib/haproxy; the balancer and they."""
    made = []

    def start(store=None, with_redis=True, **options):
        if not with_redis:
            options["backend"] = "memory"
        return fleet.balance(
            build, tmp_path, made, redis if with_redis else None,
            store or new_store("postgres"), **options)
    yield start
    for one in reversed(made):
        one.remove()


@pytest.fixture
def load(tmp_path):
    """load(server): worker processes that ask for certificates."""
    made = []

    def start(server, **options):
        folder = tmp_path / f"load{len(made)}"
        made.append(servers.Load(server, folder, **options))
        return made[-1]
    yield start
    for one in made:
        one.end()


@pytest.fixture
def figures(request):
    """figures(name=value...): a line of JSON for $CERTLOOP_FIGURES, which
    the proofs sum up."""
    def write(**values):
        path = os.environ.get("CERTLOOP_FIGURES")
        line = json.dumps({"test": request.node.name, **values})
        print(line)
        if path:
            with open(path, "a") as f:
                f.write(line + "\n")
    return write


def pytest_make_parametrize_id(val):
    """Names of tests stay readable whatever they are about."""
    if isinstance(val, (str, bytes)) and len(val) > 40:
        return repr(val[:37])[:-1].lstrip("b'\"") + "..."
    if isinstance(val, (dict, list, tuple)):
        return repr(val)[:40]
    return None


# ---- what a failure shows

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    for daemon in servers.Certloopd.live:
        daemon.seen = daemon.log_size()
    yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for daemon in servers.Certloopd.live:
        text = daemon.log(daemon.seen)
        if text:
            title = f"log of {daemon.directory.name} ({report.when})"
            report.sections.append((title, text[-12000:]))
