# SPDX-License-Identifier: ISC
"""Real servers for tests: PostgreSQL clusters and certloopd itself.

Each lives in a directory of its own, listens on free loopback ports or unix
sockets, is waited for by looking at it (never by sleeping), and is ended by
its process id.
"""

import atexit
import base64
import contextlib
import glob
import http.client
import json
import os
import pwd
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import urllib.parse
from pathlib import Path

import acme
import jose
import web

LOCALHOST = "127.0.0.1"

# A server dies with the test run, even if that is killed. It must be started
# by the main thread: the signal comes when the thread that forked ends.
WITH_US = ["setpriv", "--pdeathsig", "KILL"]


def wait_for(condition, seconds=20.0, what="the condition", pause=0.02):
    """Until condition() is true; its value. Fails after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(pause)


_given = set()

# Test processes that run side by side give ports of ranges of their own.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8


def free_port():
    """A TCP port that nobody listens on, below the ephemeral range so that
    no outgoing connection takes it, and never given twice."""
    while True:
        port = 18000 + _WORKER * 1800 + random.randrange(1800)
        if port in _given:
            continue
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((LOCALHOST, port))
            except OSError:
                continue
        _given.add(port)
        return port


def children(pid):
    """Process ids of all descendants."""
    try:
        kids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    kids = [int(k) for k in kids]
    return kids + [g for k in kids for g in children(k)]


def is_alive(pid):
    """Is there such a process, a zombie not counted?"""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


# ---- stores

class SqliteStore:
    """A database file; certloopd makes it."""

    engine = "sqlite"

    def __init__(self, path):
        self.path = Path(path)
        self.url = f"sqlite:{path}"

    def query(self, sql):
        """Rows as tuples of text, blobs as bytes, read from outside."""
        uri = f"file:{self.path}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
            return db.execute(sql).fetchall()

    def execute(self, sql):
        with contextlib.closing(sqlite3.connect(self.path)) as db:
            db.execute(sql)
            db.commit()


class PostgresStore:
    """A database of its own in a cluster, owned by the role certloop."""

    engine = "postgres"

    def __init__(self, cluster, name):
        self.cluster = cluster
        self.name = name
        self.url = cluster.url(name)

    def query(self, sql):
        return self.cluster.query(sql, self.name)

    def execute(self, sql):
        self.cluster.psql(sql, self.name)


class Postgres:
    """A PostgreSQL cluster in a temporary directory, unix socket only.

    fsync stays on: what it says is stored is stored, also after kill().
    As root it runs as the user postgres. parent: /dev/shm where syncing
    shall cost nothing.
    """

    def __init__(self, settings=None, port=5432, parent="/tmp"):
        self.directory = Path(tempfile.mkdtemp(prefix="certloop-pg-",
                                               dir=parent))
        self.port = port
        self.data = self.directory / "data"
        self.logfile = self.directory / "log"
        self.process = None
        self.serial = 0
        self.owner = {}
        self.user = pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0:
            entry = pwd.getpwnam("postgres")
            self.owner = {"user": entry.pw_uid, "group": entry.pw_gid,
                          "extra_groups": []}
            self.user = entry.pw_name
            os.chown(self.directory, entry.pw_uid, entry.pw_gid)
        # Others connect through the socket in it; the data stays private.
        os.chmod(self.directory, 0o755)
        self._copy_template()
        lines = {"listen_addresses": "''", "port": port, "fsync": "on",
                 "unix_socket_directories": f"'{self.directory}'",
                 "shared_buffers": "32MB", "max_connections": "60",
                 "log_min_messages": "warning", "autovacuum": "off",
                 "log_line_prefix": "'%m %p '"}
        lines.update(settings or {})
        with open(self.data / "postgresql.auto.conf", "a") as f:
            f.writelines(f"{k} = {v}\n" for k, v in lines.items())

    @staticmethod
    def program(name):
        found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
        program = found[-1] if found else shutil.which(name)
        assert program, f"no {name}: install the package postgresql"
        return program

    def _run(self, *command):
        subprocess.run([str(word) for word in command], check=True,
                       capture_output=True, cwd="/", **self.owner)

    template = None     # what initdb made, once for all clusters of a run

    def _copy_template(self):
        if Postgres.template is None:
            folder = self.directory.with_name(self.directory.name + "-new")
            self._run(self.program("initdb"), "-D", folder, "-A", "trust",
                      "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8",
                      "--no-instructions", "--no-sync")
            Postgres.template = folder
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
        self._run("cp", "-a", Postgres.template, self.data)

    def start(self):
        """Start the server and wait until it takes connections."""
        with open(self.logfile, "ab") as log:
            self.process = subprocess.Popen(
                [*WITH_US, self.program("postgres"), "-D", self.data],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/",
                start_new_session=True, **self.owner)
        wait_for(self.is_ready, 60, "PostgreSQL to start", 0.05)
        if self.serial == 0:
            self.psql("CREATE ROLE certloop LOGIN")
        return self

    def is_ready(self):
        assert self.process.poll() is None, self.logfile.read_text()
        done = subprocess.run(
            [self.program("pg_isready"), "-q", "-h", str(self.directory),
             "-p", str(self.port)])
        return done.returncode == 0

    def stop(self, how=signal.SIGINT):
        """End it: fast by default, SIGQUIT is immediate."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    def _signal_all(self, which):
        """To the server and each of its processes; their ids."""
        pids = [self.process.pid] + children(self.process.pid)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, which)
        return pids

    def kill(self):
        """kill -9 of the server and of each of its processes."""
        pids = self._signal_all(signal.SIGKILL)
        self.process.wait(60)
        self.process = None
        # The next start refuses while one of them still has shared memory.
        wait_for(lambda: not any(map(is_alive, pids)), 20,
                 "the end of PostgreSQL's processes")

    def freeze(self):
        """SIGSTOP: connections stay, nothing is answered."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self):
        self._signal_all(signal.SIGCONT)

    def remove(self):
        if self.process is not None:
            self.thaw()
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, database, **more):
        """A libpq connection URI."""
        words = {"host": self.directory, "port": self.port, **more}
        return (f"postgresql://certloop@/{database}?"
                + urllib.parse.urlencode(words))

    def new_store(self):
        """A fresh, empty database."""
        self.serial += 1
        name = f"certloop{self.serial}"
        self.psql(f"CREATE DATABASE {name} OWNER certloop")
        return PostgresStore(self, name)

    def psql(self, sql, database="postgres", *options):
        done = subprocess.run(
            [self.program("psql"), "-X", "-q", "-A", "-t", "-v",
             "ON_ERROR_STOP=1", *options, "-h", str(self.directory), "-p",
             str(self.port), "-U", "postgres", "-d", database, "-c", sql],
            capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def query(self, sql, database):
        """Rows as tuples of text; bytea comes as bytes."""
        text = self.psql(sql, database, "-F", "\x1f", "-R", "\x1e")
        text = text.removesuffix("\n")
        rows = [r.split("\x1f") for r in text.split("\x1e")] if text else []
        return [tuple(_unhex(v) for v in row) for row in rows]


def _unhex(value):
    if value.startswith("\\x"):
        return bytes.fromhex(value[2:])
    return value


# ---- clients that keep asking

class Load:
    """Worker processes of load.py against one server."""

    PROGRAM = Path(__file__).resolve().parent / "load.py"

    def __init__(self, server, folder, workers=3, orders=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.stop_file = folder / "stop"
        self.reports = [folder / f"report{i}.json" for i in range(workers)]
        options = ["--patience", "90"]
        if orders is not None:
            options += ["--orders", str(orders)]
        self.workers = [subprocess.Popen(
            [*WITH_US, "/usr/bin/python3", self.PROGRAM, *options,
             f"{server.profile_url()}/directory", server.root,
             self.stop_file, report],
            stdin=subprocess.DEVNULL) for report in self.reports]

    def is_running(self):
        return all(w.poll() is None for w in self.workers)

    def has_ended(self):
        return all(w.poll() is not None for w in self.workers)

    def result(self, seconds=150):
        """Wait for the workers; their reports in one."""
        for worker in self.workers:
            assert worker.wait(seconds) == 0
        reports = [json.loads(r.read_text()) for r in self.reports]
        chains = {}
        for report in reports:
            chains.update(report["certificates"])
        return {
            "orders": sum(r["orders"] for r in reports),
            "again": sum(r["again"] for r in reports),
            "problems": [p for r in reports for p in r["problems"]],
            "chains": {u: base64.b64decode(c) for u, c in chains.items()}}

    def finish(self):
        """Let the workers finish all they began; their reports in one."""
        self.stop_file.touch()
        return self.result()

    def end(self):
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()


# ---- certloopd

class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


# What a program says that found itself wrong: a sanitizer, or an assert().
SANITIZER = re.compile(
    r"(ERROR: \w+Sanitizer|runtime error: |SUMMARY: \w+Sanitizer|"
    r": Assertion `.*' failed\.)")


class Certloopd:
    """One certloopd with a directory, a store and a configuration.

    profiles: the text of the profile sections, or None for one open trust
    profile `default`. extra: more configuration. config: all of it, instead.
    """

    live = []   # each one that was started and not forgotten

    PROFILES = """
profile default {
  issuer = local
  auth_mode = trust_authenticated
  open = true
}
"""

    # All clients come from one address.
    NO_LIMITS = """
  new_account_per_address = 0
  new_order_per_account = 0
  open_orders_per_account = 0
"""

    def __init__(self, build, directory, store=None, profiles=None,
                 extra="", acme_options="", issuer="type = local",
                 top="", limits=NO_LIMITS, environment=None, wrapper=()):
        self.build = Path(build)
        self.directory = Path(directory)
        self.data = self.directory / "data"
        self.store = store or SqliteStore(self.data / "certloop.db")
        self.file = self.directory / "certloop.conf"
        self.logfile = self.directory / "log"
        self.port = free_port()
        self.status_port = free_port()
        self.base = f"https://localhost:{self.port}"
        self.status_url = f"http://{LOCALHOST}:{self.status_port}"
        self.profiles = self.PROFILES if profiles is None else profiles
        self.extra = extra
        self.acme_options = acme_options
        self.issuer = issuer
        self.limits = limits
        self.top = top
        self.environment = environment or {}
        self.wrapper = list(wrapper)
        self.process = None
        self.seen = 0           # bytes of the log that were looked at
        self.directory.mkdir(parents=True, exist_ok=True)
        self.data.mkdir(mode=0o700, exist_ok=True)
        self.logfile.touch()
        self.write_config()

    def config(self):
        return f"""data_dir = "{self.data}"
public_url = "{self.base}"
{"" if "drain_delay" in self.top else "drain_delay = 0"}
{self.top}
store {{
  url = "{self.store.url}"
}}
listener acme {{
  kind = acme
  address = "{LOCALHOST}:{self.port}"
  {self.acme_options}
}}
listener status {{
  kind = status
  address = "{LOCALHOST}:{self.status_port}"
}}
issuer local {{
  {self.issuer}
}}
limits {{
  {self.limits}
}}
{self.profiles}
{self.extra}
"""

    def write_config(self, text=None):
        """Write the configuration, by rename as an editor would."""
        new = self.file.with_suffix(".new")
        new.write_text(self.config() if text is None else text)
        new.rename(self.file)

    # ---- life

    @property
    def program(self):
        return self.build / "certloopd"

    def is_sanitized(self):
        """Was it built with AddressSanitizer?"""
        return b"__asan_init" in self.program.read_bytes()

    @property
    def env(self):
        return {**os.environ, "ASAN_OPTIONS": "detect_leaks=1",
                "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
                **self.environment}

    def run(self, *arguments, seconds=30, stdin=None):
        """certloopd to its end, apart from the one that serves; its
        subprocess.CompletedProcess, standard error merged into stdout."""
        done = subprocess.run(
            [*self.wrapper, str(self.program), *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=seconds, env=self.env, cwd=self.directory, stdin=stdin)
        assert not SANITIZER.search(done.stdout), done.stdout
        return done

    def ctl(self, *arguments, seconds=30):
        """certloopctl, asking this daemon."""
        done = subprocess.run(
            [self.build / "certloopctl", "-s", self.data / "admin.sock",
             *arguments], capture_output=True, text=True,
            timeout=seconds, env=self.env, cwd=self.directory)
        assert not SANITIZER.search(done.stderr), done.stderr
        return done

    def admin(self, method, path, body=None):
        """The admin API by its socket: (status, document)."""
        connection = UnixConnection(self.data / "admin.sock")
        try:
            connection.request(
                method, f"/api/v1{path}",
                None if body is None else json.dumps(body))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def init_ca(self):
        """Make the CA's files; with SQLite the first start does it."""
        done = self.run("-c", self.file, "--init-ca")
        assert done.returncode == 0, done.stdout

    def spawn(self, *arguments):
        """Start it and do not wait."""
        assert self.process is None
        arguments = arguments or ("-c", self.file)
        with open(self.logfile, "ab") as log:
            self.process = subprocess.Popen(
                [*WITH_US, *self.wrapper, self.program, *arguments],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=self.env, cwd=self.directory)
        if self not in self.live:
            self.live.append(self)
        return self

    def start(self, seconds=30):
        """Start it and wait until it is ready."""
        needs_ca = self.store.engine != "sqlite" and "local" in self.issuer
        if needs_ca and not self.root.exists():
            self.init_ca()
        self.spawn()
        self.wait_ready(seconds)
        return self

    def wait_ready(self, seconds=30):
        wait_for(self.is_ready, seconds, "certloopd to be ready", 0.05)

    def is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(
                f"certloopd ended with {self.process.returncode}:\n"
                + self.log()[-4000:])
        try:
            return self.status("/readyz").status == 200
        except OSError:
            return False

    def wait_end(self, seconds=20):
        """Wait for it to end by itself; its exit status."""
        status = self.process.wait(seconds)
        self.process = None
        self.check_log()
        return status

    def stop(self, seconds=20):
        """SIGTERM, which must end it cleanly."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.wait_end(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"no end {seconds} s after SIGTERM")
        assert status == 0, f"exit status {status} after SIGTERM"

    def kill(self):
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)
            self.process = None

    def take_over(self, seconds=40, build=None):
        """Start the next one beside the one that runs, and wait until that
        has ended; its exit status."""
        before, offset = self.process, self.log_size()
        self.process = None
        self.build = Path(build or self.build)
        self.spawn("-c", self.file, "--take-over")
        try:
            self.wait_log(r"msg=ready .*pid=" + str(self.process.pid),
                          offset, seconds)
            return before.wait(seconds)
        finally:
            if before.poll() is None:
                before.kill()
                before.wait()

    def restart(self):
        self.stop()
        return self.start()

    def hup(self):
        self.process.send_signal(signal.SIGHUP)

    def remove(self):
        """At the end of its use."""
        try:
            self.stop()
            self.check_log()
        finally:
            self.kill()
            if self in self.live:
                self.live.remove(self)

    # ---- looking at it

    def log(self, offset=0):
        with open(self.logfile, "rb") as f:
            f.seek(offset)
            return f.read().decode(errors="replace")

    def wait_log(self, pattern, offset=0, seconds=20):
        """Until the log has a match after offset; the match."""
        return wait_for(lambda: re.search(pattern, self.log(offset)),
                        seconds, f"/{pattern}/ in the log")

    def log_size(self):
        return self.logfile.stat().st_size

    def check_log(self):
        log = self.log()
        found = SANITIZER.search(log)
        assert not found, log[log.rfind("\n", 0, found.start()) + 1:][:4000]

    @property
    def pid(self):
        return self.process.pid

    def threads(self):
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def rss(self):
        """Resident memory in KiB."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", text).group(1))

    def cpu(self):
        """Seconds of processor time used."""
        words = Path(f"/proc/{self.pid}/stat").read_text()
        words = words.rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def status(self, path):
        """GET on the status listener."""
        http = web.Web(timeout=10)
        try:
            return http.get(self.status_url + path)
        finally:
            http.close()

    def metrics(self):
        """{series with labels: value} of /metrics."""
        series = {}
        for line in self.status("/metrics").body.decode().splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                series[name] = float(value)
        return series

    def connections(self):
        """Established TCP connections to the ACME port, seen from here."""
        want = f"{self.port:04X}"
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        fields = [line.split() for line in lines]
        return sum(1 for f in fields
                   if f[1].endswith(":" + want) and f[3] == "01")

    # ---- clients of it

    @property
    def root(self):
        """The root certificate of the CA that it made."""
        return self.data / "ca" / "root.pem"

    def profile_url(self, profile="default"):
        return f"{self.base}/acme/profile/{profile}"

    def web(self, **options):
        options.setdefault("tls", web.trust(self.root))
        return web.Web(**options)

    def client(self, alg="ES256", profile="default", key=None, **options):
        """An ACME client that trusts this server's own root."""
        return acme.Client(f"{self.profile_url(profile)}/directory",
                           key=key or jose.make_key(alg),
                           http=self.web(**options))
