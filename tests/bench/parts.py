# SPDX-License-Identifier: ISC
"""The parts of tests/bench/run: each starts what it measures, loads it, and
adds to the figures; the table is written at the end."""

import base64
import collections
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

import fleet
import budgets
import costs
import peers
import servers
import table
from jose import b64
from x509 import make_csr, new_key

ORDERS = int(os.environ.get("BENCH_ORDERS", "10000"))
CONNECTIONS = int(os.environ.get("BENCH_CONNECTIONS", "32"))
CERTIFICATES = 500  # that are asked about
REQUESTS = int(os.environ.get("BENCH_REQUESTS", "100000"))
ROUNDS = 9              # in which they are sent to one server, then the other

SERVER = ["taskset", "-c", "0"]
CLIENT = ["taskset", "-c", "1"]


class Bench:
    """One run: where things are, and what was found."""

    def __init__(self, build, directory, out):
        self.build = build
        self.directory = directory
        self.out = out
        self.issuances = {}     # server: report, with more members
        self.validated = {}     # the same, with validations of http-01
        self.unsigned = {}      # (scenario, server): report
        self.frozen = {}        # Vault's state: report
        self.silent = {}        # who does not answer: reports without, beside
        self.ocsp = {}          # (scenario, limit): report, share of hits
        self.half = {}          # engine: report at half of its rate
        self.sync = {}          # the same: milliseconds of each fdatasync
        self.profile = {}       # engine: (report, samples by kind)
        self.starts = {}        # engine: milliseconds to ready
        self.idle = {}          # KiB
        self.keys = {}          # issuances alone, and beside a flood
        self.server = SERVER
        self.client = CLIENT
        self.good = True
        self.stack = contextlib.ExitStack()
        self._postgres = None

    @property
    def cluster_pid(self):
        return self.postgres.process.pid

    def fail(self, text):
        self.good = False
        print(f"FAILED: {text}", file=self.out)

    @property
    def postgres(self):
        """A cluster as Debian configures it, but with a socket of its own."""
        if self._postgres is None:
            self._postgres = servers.Postgres(
                {"autovacuum": "on", "shared_buffers": "128MB"})
            self.stack.callback(self._postgres.remove)
            self._postgres.start()
        return self._postgres

    def load(self, url, ca, pids, *options):
        """Run certloop-bench; its report."""
        pids = [pids] if isinstance(pids, int) else pids
        watched = [word for pid in pids for word in ("--pid", str(pid))]
        done = subprocess.run(
            [*CLIENT, str(self.build / "certloop-bench"), "--json",
             "--ca-file", str(ca), *watched, *map(str, options), url],
            stdout=subprocess.PIPE, text=True)
        report = json.loads(done.stdout)
        if done.returncode != 0:
            self.fail(f"{url}: {report['failed']} failed; "
                      f"{report['errors']} {report.get('given_up', '')}")
        return report

    @contextlib.contextmanager
    def certloopd(self, store=None, name=None, under=None, **options):
        """A server that serves one open trust profile, over TLS."""
        name = name or (store.engine if store else "sqlite")
        server = servers.Certloopd(self.build,
                                   (under or self.directory) / name,
                                   store=store, wrapper=SERVER, **options)
        try:
            yield server.start()
        finally:
            server.remove()


def run_program(bench, command, env=None):
    """Run one, print what it prints; that."""
    name = command[-1].name
    print(f"\n{name}", file=bench.out)
    done = subprocess.run([str(word) for word in command], env=env,
                          text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, cwd=bench.directory)
    print(done.stdout, end="", file=bench.out)
    if done.returncode != 0:
        bench.fail(f"{name}: exit status {done.returncode}")
    return done


def run_micro(bench):
    """Each bench_* that was built."""
    env = {**os.environ, "CERTLOOP_TEST_PG": bench.postgres.new_store().url}
    programs = sorted(
        p for p in (bench.build / "tests/bench").glob("bench_*")
        if os.access(p, os.X_OK) and not p.suffix
        and p.name != "bench_redis")
    for program in programs:
        run_program(bench, [*SERVER, program], env)


def run_redis(bench):
    """We, and redis-benchmark, are on the first core; Redis is where the
    kernel puts it."""
    with_redis = Path(__file__).resolve().parent.parent / "lib/with-redis"
    run_program(bench, [with_redis, *SERVER,
                        bench.build / "tests/bench/bench_redis"])


def sum_of(metrics, name):
    """The sum of all series of a metric."""
    return sum(v for k, v in metrics.items() if k.split("{")[0] == name)


def floor_of(bench):
    """Microseconds of the bare crypto of an issuance, at this moment."""
    done = subprocess.run(
        [*SERVER, str(bench.build / "tests/bench/bench_crypto"), "floor"],
        stdout=subprocess.PIPE, text=True, check=True)
    return float(re.search(r"\bfloor\b\D*?([0-9.]+) us\b",
                           done.stdout).group(1))


def seconds_of(group):
    """Processor time so far of a process, those it has, and those it had."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if stat.parent.name == str(group):  # and its dead children
                total += sum(map(int, fields[11:15]))
            elif fields[1] == str(group):
                total += sum(map(int, fields[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


def issue(bench, name, *members, options=()):
    """Full issuances against a certloopd, or several replicas. What the crypto
    costs by itself is measured before and behind: processors are not equally
    fast all the time."""
    def total(metric):
        return sum(sum_of(m.metrics(), metric) for m in members)
    metrics = {"trips": "certloop_store_batches_total",
               "commits": "certloop_store_commits_total",
               "issued": "certloop_certificates_issued_total"}
    before = {key: total(metric) for key, metric in metrics.items()}
    server = members[0]
    cluster = bench.cluster_pid if name != "sqlite" else None
    floors = [floor_of(bench)]
    seconds = seconds_of(cluster)
    report = bench.load(f"{server.profile_url()}/directory", server.root,
                        [m.pid for m in members], "--ca-root", server.root,
                        "-n", ORDERS, "-c", CONNECTIONS, *options)
    seconds = seconds_of(cluster) - seconds
    floors.append(floor_of(bench))
    report["floor"] = sum(floors) / 2
    units = max(report["done"], 1)
    spent = {key: total(metrics[key]) - n for key, n in before.items()}
    report["trips"] = spent["trips"] / units
    report["commits"] = spent["commits"] / units
    report["postgres_us"] = 1e6 * seconds / units if cluster else None
    issued = spent["issued"]
    if issued != report["done"]:
        bench.fail(f"{name}: {report['done']} certificates came, "
                   f"{issued:.0f} were issued")
    bench.issuances[name] = report


def run_sqlite(bench):
    with bench.certloopd() as server:
        issue(bench, "sqlite", server)


def run_postgres(bench):
    with bench.certloopd(bench.postgres.new_store()) as server:
        issue(bench, "postgres", server)


def run_replicas(bench):
    """Three on one PostgreSQL and one Redis, all on the first core; each
    connection is to the next one."""
    redis = fleet.Redis(bench.directory / "redis").start()
    port = servers.free_port()
    store = bench.postgres.new_store()
    with contextlib.ExitStack() as stack:
        stack.callback(redis.remove)
        members = []
        for i in range(fleet.REPLICAS):
            replica = fleet.Replica(
                bench.build, bench.directory / f"replica{i}", store=store,
                redis=redis, backend="redis", wrapper=SERVER,
                limits=servers.Certloopd.NO_LIMITS,
                public_url=f"https://localhost:{port}")
            stack.callback(replica.remove)
            if members:
                replica.share_from(members[0])
            else:
                replica.port = port
                replica.write_config()
                replica.init_ca()
            members.append(replica)
            replica.start()
        to = [word for r in members
              for word in ("--connect", f"127.0.0.1:{r.port}")]
        issue(bench, "3 replicas", *members, options=to)


FROZEN = """
profile default {
  issuer = local
  auth_mode = trust_authenticated
  open = true
}
profile frozen {
  issuer = vault
  auth_mode = trust_authenticated
  open = true
}
"""

WAITING = 32    # orders that the frozen Vault was asked for


@contextlib.contextmanager
def vault(directory):
    """The scripted Vault as a program: it, and a section that names it."""
    token = directory / "vault-token"
    token.touch(mode=0o600)
    token.write_text("s.token")
    peer = subprocess.Popen(
        [*servers.WITH_US, sys.executable,
         Path(__file__).resolve().parent.parent / "lib/vault_peer.py"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        port = json.loads(peer.stdout.readline())["listening"]
        know = {"token": {"value": "s.token", "ttl": 3600,
                          "renewable": True}}
        print(json.dumps(know), file=peer.stdin, flush=True)
        peer.stdout.readline()
        yield peer, f"""
issuer vault {{
  type = vault
  address = "http://127.0.0.1:{port}"
  token_file = "{token}"
  role = servers
  timeout = 10m
}}
"""
    finally:
        peer.kill()
        peer.wait()


def run_frozen(bench):
    """The same load on the local CA while Vault is idle, while it is stopped
    with requests of another profile in its hands, and when it goes on."""
    with vault(bench.directory) as (peer, section), \
            bench.certloopd(name="frozen", profiles=FROZEN, extra=section,
                            top="finalize_wait = 0") as server:
        def load():
            return bench.load(
                f"{server.profile_url()}/directory", server.root, server.pid,
                "-n", ORDERS // 2, "-c", CONNECTIONS // 4)
        load()      # to warm up
        bench.frozen["idle"] = load()
        peer.send_signal(signal.SIGSTOP)
        client = server.client(profile="frozen")
        client.register()
        key = new_key()
        for i in range(WAITING):
            names = [f"frozen{i}.bench.example"]
            order = client.order(names)
            csr = b64(make_csr(names, key))
            client.send(order["finalize"], {"csr": csr})
        bench.frozen["frozen"] = load()
        metrics = server.metrics()
        waiting = metrics['certloop_issuer_running{issuer="vault"}']
        if waiting != WAITING:
            bench.fail(f"{waiting:.0f} requests wait for Vault, "
                       f"not {WAITING}")
        peer.send_signal(signal.SIGCONT)
        servers.wait_for(lambda: server.metrics()[
            'certloop_issuer_running{issuer="vault"}'] == 0, 20, "Vault")
        bench.frozen["thawed"] = load()


SILENT = """
profile default {
  issuer = local
  auth_mode = trust_authenticated
  open = true
}
profile resolver {
  issuer = local
  auth_mode = challenge
  resolvers = { "127.0.0.1:%(resolver)d" }
  validation_timeout = 5m
}
profile target {
  issuer = local
  auth_mode = challenge
  http_port = %(target)d
  validation_allow = { "127.0.0.0/8" }
  validation_timeout = 5m
}
"""


def ask_in_vain(server, profile, names):
    """Challenges of http-01 that nobody answers, each of another account, for
    one has a bounded share; waits until all run."""
    for name in names:
        client = server.client(profile=profile)
        client.register()
        order = client.order([name])
        authz = client.post(order["authorizations"][0]).json
        challenge = next(c for c in authz["challenges"]
                         if c["type"] == "http-01")
        client.post(challenge["url"], {})
    servers.wait_for(
        lambda: sum_of(server.metrics(), "certloop_validations_running")
        >= len(names), 20, f"{len(names)} validations by {profile}")


def run_silent(bench):
    """The same load on a server whose other profiles have validations that
    wait, for a resolver or for targets that take what is sent and never
    answer, and on one where nothing waits. The stores are in memory: a disk
    moves latencies by more than what is to be seen here."""
    with contextlib.ExitStack() as stack:
        def taken(kind, address, port=0):
            s = stack.enter_context(socket.socket(type=kind))
            s.bind((address, port))
            if kind == socket.SOCK_STREAM:
                s.listen(8)
            return s.getsockname()[1]
        memory = Path(stack.enter_context(
            tempfile.TemporaryDirectory(dir="/dev/shm")))
        resolver = taken(socket.SOCK_DGRAM, "127.0.0.1")
        addresses = [f"127.0.1.{i + 1}" for i in range(WAITING)]
        port = taken(socket.SOCK_STREAM, addresses[0])
        for address in addresses[1:]:
            taken(socket.SOCK_STREAM, address, port)
        for what, names in (
                ("resolver", [f"mute{i}.example.net" for i in range(WAITING)]),
                ("target", addresses)):
            profiles = SILENT % {"resolver": resolver, "target": port}
            with bench.certloopd(name=f"idle-{what}", under=memory,
                                 profiles=profiles) as idle, \
                    bench.certloopd(name=f"silent-{what}", under=memory,
                                    profiles=profiles) as server:
                ask_in_vain(server, what, names)
                bench.silent[what] = in_turn(bench, idle, server)


def in_turn(bench, *members):
    """Reports of each member, loaded one after the other, many times."""
    found = [[] for _ in members]
    for i in range(ROUNDS + 1):
        for reports, server in zip(found, members):
            report = bench.load(
                f"{server.profile_url()}/directory", server.root, server.pid,
                "-n", ORDERS // 10, "-c", CONNECTIONS // 4)
            if i > 0:       # the first one is to warm up
                reports.append(report)
    return found


def run_pebble(bench):
    """Pebble validates always; its polls and challenges are counted in."""
    if not shutil.which("pebble"):
        print("\npebble is not installed: left out", file=bench.out)
        return
    home = bench.directory / "always-valid"
    home.mkdir()
    with peers.pebble(home, SERVER) as (url, ca, pid):
        bench.issuances["pebble"] = bench.load(
            url, ca, pid, "-n", min(ORDERS, 500), "-c", 8, "--poll", "10ms")


VALIDATING = """
profile default {
  issuer = local
  auth_mode = challenge
  resolvers = { "%s" }
  validation_allow = { "127.0.0.0/8" }
}
"""


def run_peers(bench):
    """The same orders, each name validated by http-01, of ours and of
    others."""
    if os.getuid() != 0:
        print("\nports 53 and 80 need root: peers left out", file=bench.out)
        return
    options = ["-n", min(ORDERS, 500), "-c", 8, "--poll", "10ms",
               "--http-01", f"{peers.VALIDATED}:80"]
    with peers.dns() as resolver:
        for store in (None, bench.postgres.new_store()):
            name = store.engine if store else "sqlite"
            with bench.certloopd(store, f"validating-{name}",
                                 profiles=VALIDATING % resolver) as server:
                bench.validated[f"certloopd, {name}"] = bench.load(
                    f"{server.profile_url()}/directory", server.root,
                    server.pid, *options)
        for name, start in (
                ("pebble", lambda: peers.pebble(bench.directory, SERVER,
                                                resolver)),
                ("caddy", lambda: peers.caddy(bench.directory, SERVER))):
            if not shutil.which(name):
                print(f"\n{name} is not installed: left out", file=bench.out)
                continue
            with start() as (url, ca, pid):
                bench.validated[name] = bench.load(url, ca, pid, *options)


def ask(bench, scenario, url, ca, pid):
    return bench.load(url, ca, pid, "-n", REQUESTS // ROUNDS, "-c",
                      CONNECTIONS, "--scenario", scenario)


def middle(reports):
    """The one whose requests cost the middle of what they cost."""
    ordered = sorted(reports, key=lambda r: r["server"]["cpu_us"])
    found = ordered[len(ordered) // 2]
    found["failed"] = sum(r["failed"] for r in reports)
    return found


def run_unsigned(bench):
    """nginx serves what certloopd says, byte for byte but for its port. They
    take turns, so that what else the machine does falls on both."""
    found = collections.defaultdict(list)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(bench.certloopd())
        url = f"{server.profile_url()}/directory"
        asked = {"certloopd": (url, server.root, server.pid)}
        web = server.web()
        directory = web.get(url)
        nonce = web.request("HEAD", directory.json["newNonce"])
        web.close()
        if shutil.which("nginx"):
            asked["nginx"] = stack.enter_context(peers.nginx(
                bench.directory, SERVER, url, directory, nonce))
        else:
            print("\nnginx is not installed: left out", file=bench.out)
        for _ in range(ROUNDS):
            for name, whom in asked.items():
                for scenario in ("directory", "new-nonce"):
                    found[scenario, name].append(ask(bench, scenario, *whom))
    bench.unsigned = {key: middle(found[key]) for key in sorted(found)}


def write_asks(server, file):
    """A request of OCSP for each certificate that the server issued."""
    ca = x509.load_pem_x509_certificate(
        (server.data / "ca/issuing.pem").read_bytes())
    with open(file, "w") as f:
        for der, in server.store.query("SELECT der FROM certificates"):
            leaf = x509.load_der_x509_certificate(der)
            request = ocsp.OCSPRequestBuilder().add_certificate(
                leaf, ca, hashes.SHA1()).build()
            f.write(base64.b64encode(request.public_bytes(
                serialization.Encoding.DER)).decode() + "\n")


def ask_ocsp(bench, server, url, asks, limit):
    hits = "certloop_ocsp_cache_hits_total"

    def load(scenario, n, *options):
        return bench.load(url, server.root, server.pid, "-n", n, "--scenario",
                          scenario, "--asks", asks, *options)
    for scenario in ("ocsp-get", "ocsp-post"):
        load(scenario, CERTIFICATES)    # signed anew, from now on in memory
        before = server.metrics()[hits]
        report = load(scenario, REQUESTS, "-c", CONNECTIONS,
                      "--source-addresses", 16)
        # the first request, and one of each connection, are not in `done`
        asked = report["done"] + 1 + CONNECTIONS
        report["hits"] = (server.metrics()[hits] - before) / asked
        bench.ocsp[scenario, limit] = report


def run_ocsp(bench):
    """Plain HTTP on a listener of kind ca, as certificates name it; without
    the limit for each address, and with one that lets all of them through."""
    limits = servers.Certloopd.NO_LIMITS
    for name, rate in (("no limit", "0"), ("limit", "10000/1s")):
        port = servers.free_port()
        with bench.certloopd(
                name=f"ocsp {name}",
                limits=limits + f"  ocsp_per_address = {rate}\n",
                extra="listener ca {\n  kind = ca\n"
                      f'  address = "127.0.0.1:{port}"\n}}\n') as server:
            bench.load(f"{server.profile_url()}/directory", server.root,
                       server.pid, "-n", CERTIFICATES, "-c", 8)
            asks = server.directory / "asks"
            write_asks(server, asks)
            ask_ocsp(bench, server,
                     f"http://127.0.0.1:{port}/ca/local/ocsp", asks, name)


RUN = {
    "micro": run_micro,
    "redis": run_redis,
    "sqlite": run_sqlite,
    "postgres": run_postgres,
    "replicas": run_replicas,
    "frozen": run_frozen,
    "silent": run_silent,
    "pebble": run_pebble,
    "peers": run_peers,
    "unsigned": run_unsigned,
    "ocsp": run_ocsp,
    "profile": lambda bench: costs.run(bench, ORDERS // 2),
    "half": lambda bench: budgets.run_half(bench, ORDERS // 2),
    "keys": lambda bench: budgets.run_keys(bench, ORDERS // 4),
    "idle": budgets.run_idle,
    "start": budgets.run_start,
}

ALL = list(RUN)


def run(names, build, directory, out):
    """Run the parts and write the table; True if all went well."""
    bench = Bench(build, directory, out)
    with bench.stack:
        for name in names:
            print(f"... {name}", file=sys.stderr)
            try:
                RUN[name](bench)
            except (AssertionError, OSError, ValueError,
                    subprocess.SubprocessError) as e:
                bench.fail(f"{name}: {e}")
    table.write(bench)
    if bench.profile:
        costs.write(bench)
    budgets.write(bench)
    return bench.good
