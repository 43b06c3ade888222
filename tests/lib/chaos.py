# SPDX-License-Identifier: ISC
"""A few seconds of bad weather over a fleet, from a number.

    ground = chaos.Ground(build, folder)    # PostgreSQL, Redis, a template
    result = chaos.run(ground, seed)        # .complaints, .plan, .figures

What is done, and when, comes from random.Random(seed): which processes are
killed, stopped, cut off, slowed. Clients make accounts and orders, finalize,
revoke, change keys, and bring some requests twice. Then all is healed, the
clients finish what they began, the system comes to rest, and tests/lib/
checker.py judges. The database's clock can be put forward, so that leases run
out while their holders know nothing of it.
"""

import collections
import copy
import dataclasses
import json
import random
import shutil
import signal
import sqlite3
import threading
import time
from pathlib import Path

import challenges
import checker
import fleet
import servers
import vault_peer
from chaos_clients import PUBLIC_URL, Worker
from servers import LOCALHOST, wait_for

PATIENCE = 120      # for what must come at last; never of what is judged
LOAD = 1.5          # seconds of weather
AHEAD = 7           # seconds that the clock is put forward: past any lease

# What a process may end with that began without its database.
NO_STORE = 4

KINDS = ("redis", "redis", "store", "redis", "vault", "sqlite", "store",
         "redis", "vault", "redis")

WEATHER = {
    "replica": ("kill", "stop"),
    "postgres": ("end_sessions", "freeze_postgres", "cut_postgres",
                 "slow_postgres", "forward", "forward"),
    "redis": ("cut_redis", "freeze_redis", "flush_redis", "slow_redis",
              "kill_redis"),
    "vault": ("vault_dies", "vault_loses", "vault_slow", "vault_fails"),
}
OF_KIND = {
    "redis": ("replica", "replica", "postgres", "redis"),
    "store": ("replica", "postgres"),
    "vault": ("replica", "postgres", "vault", "vault"),
    "sqlite": ("replica",),
}
LASTS = {"kill": (0.02, 0.3), "stop": (0.1, 1.2),
         "freeze_postgres": (0.1, 1.0), "freeze_redis": (0.1, 0.8),
         "cut_postgres": (0.2, 0.8), "slow_postgres": (0.3, 0.8),
         "cut_redis": (0.2, 0.8), "slow_redis": (0.3, 0.8),
         "kill_redis": (0.05, 0.3), "kill_postgres": (0.05, 0.3)}

PROFILES = """
profile default {
  issuer = %s
  auth_mode = trust_authenticated
  open = true
}
profile challenge {
  issuer = %s
  auth_mode = challenge
  resolvers = { "%s" }
  validation_allow = { "127.0.0.0/8" }
  http_port = %d
  validation_timeout = 5s
}
"""

LEASE = 5
TOP = f"lease = {LEASE}s\nrecovery_interval = 1s\ngc_interval = 0\n" \
    "log_level = warn\nfinalize_wait = 1s\n"


class Plan:
    """What happens, from a seed."""

    def __init__(self, seed, kind=None):
        rng = random.Random(seed)
        self.seed = seed
        self.kind = kind or KINDS[seed % len(KINDS)]
        self.replicas = 1 if self.kind == "sqlite" else rng.choice((2, 3))
        self.most, self.window = rng.choice(((3, 1), (5, 1), (4, 2)))
        self.events = []
        kinds = OF_KIND[self.kind]
        for _ in range(rng.randint(3, 6)):
            what = rng.choice(WEATHER[rng.choice(kinds)])
            if what == "freeze_postgres" and rng.random() < 0.25:
                what = "kill_postgres"
            self._add(rng, what)
        if self.kind == "vault" and rng.random() < 0.5:
            # the first attempts of the loops are slow and lose their leases
            self.events += [(0.0, "vault_slow", 0), (0.1, "forward", 0),
                            (round(rng.uniform(0.2, 0.9), 3), "forward", 0)]
        self.events.sort()

    def _add(self, rng, what):
        at, who = rng.uniform(0.1, LOAD), rng.randrange(self.replicas)
        self.events.append((round(at, 3), what, who))
        if what in LASTS:
            end = at + rng.uniform(*LASTS[what])
            self.events.append((round(end, 3), "end_of_" + what, who))

    def __str__(self):
        lines = [f"seed {self.seed}: {self.kind}, {self.replicas} replicas, "
                 f"limit {self.most}/{self.window}s"]
        return "\n".join(lines + [f"  {at:5.3f} {what} {who}"
                                  for at, what, who in self.events])


class Link(fleet.Wire):
    """A Wire that can also be slow."""

    pause = 0

    def _pass_on(self, end):
        if self.pause:
            time.sleep(self.pause)
        super()._pass_on(end)


# ---- what many seeds share

class Ground:
    """PostgreSQL and Redis, and a database that a replica has made once, of
    which each seed gets a copy. environment: of each replica."""

    CLOCK = """
CREATE TABLE chaos_clock (ahead BIGINT NOT NULL);
INSERT INTO chaos_clock VALUES (0);
GRANT SELECT ON chaos_clock TO certloop;
CREATE OR REPLACE FUNCTION now_us() RETURNS BIGINT LANGUAGE sql STABLE
PARALLEL SAFE AS $$ SELECT CAST(EXTRACT(EPOCH FROM statement_timestamp())
    * 1000000 AS BIGINT) + (SELECT ahead FROM chaos_clock) $$"""

    def __init__(self, build, folder):
        self.build, self.folder = Path(build), Path(folder)
        self.cluster = servers.Postgres(
            {"listen_addresses": f"'{LOCALHOST}'", "max_connections": 120},
            port=servers.free_port(), parent="/dev/shm").start()
        self.redis = fleet.Redis(self.folder / "redis").start()
        self.dns = challenges.Dns(self.folder / "dns")
        self.http = challenges.Http(self.folder / "http")
        self.made = {}
        for kind in ("default", "sqlite"):
            self._template(kind)

    def _template(self, kind):
        store = self.cluster.new_store() if kind == "default" else None
        first = servers.Certloopd(
            self.build, self.folder / f"template-{kind}", store=store,
            top=TOP + ("replicas = true\n" if store else ""))
        try:
            first.start()
        finally:
            first.remove()
        if store is not None:
            for sql in self.CLOCK.split(";\n"):
                self.cluster.psql(sql, store.name)
        self.made[kind] = first

    def new_store(self, name):
        """A copy of the template."""
        template = self.made["default"].store.name
        self.cluster.psql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return servers.PostgresStore(self.cluster, name)

    def give(self, kind, member):
        """CA, sealing key and perhaps database of the template."""
        data = self.made[kind].data
        shutil.copytree(data / "ca", member.data / "ca")
        shutil.copy(data / "seal.key", member.data / "seal.key")
        if kind == "sqlite":
            for file in data.glob("certloop.db*"):
                shutil.copy(file, member.data / file.name)

    def close(self):
        self.dns.close()
        self.http.close()
        self.redis.remove()
        self.cluster.remove()


# ---- the world of one seed

class World:
    def __init__(self, ground, plan, folder, workers=4, loops=4,
                 twice=0.2, patience=PATIENCE, planted=None):
        self.planted = planted
        self.ground, self.plan, self.folder = ground, plan, Path(folder)
        self.twice, self.loops, self.patience = twice, loops, patience
        self.events, self.lost, self.complaints = [], [], []
        self.calm = []              # metrics of when it came to rest
        self.loading, self.healed = True, threading.Event()
        self.has_redis = plan.kind in ("redis", "vault")
        self.frozen = False         # or killed: PostgreSQL is not asked
        self.redis_frozen = False
        self.down, self.deaths = set(), []      # replicas that we killed
        self.peer = None
        self.links, self.pg_links, self.members = [], [], []
        self._open()
        self.workers = []
        for i in range(workers):
            shared = self.workers[0] if i == 1 else None
            self.workers.append(Worker(
                self, i, shared, "challenge" if i == 3 else "default"))

    def shares(self, worker):
        return any(w.sharing is worker for w in self.workers)

    # ---- begin

    def _open(self):
        plan, ground = self.plan, self.ground
        if plan.kind == "sqlite":
            self.store = None
        else:
            self.store = ground.new_store(f"chaos{plan.seed}_"
                                          f"{time.monotonic_ns()}")
            ground.redis.flush()
        if plan.kind == "vault":
            self.peer = vault_peer.VaultPeer().start()
            self.peer.add_token("s.token", 3600)
        what = {e[1] for e in plan.events}
        for i in range(plan.replicas):
            self.members.append(self._member(i, what))
        if self.store is None:
            self.store = self.members[0].store
        if self.plan.events[0][1] == "vault_slow":
            self._vault({"delay": 0.4}, 8)
        for member in self.members:
            member.spawn()
        self._wait_ready()

    def _store_of(self, what):
        """The store as a replica sees it: by a link that can be cut."""
        if self.planted == "commit":
            # answers before it is durable: what a crash may take back
            self.store.url += "&options=-csynchronous_commit%3Doff"
        if not what & {"cut_postgres", "slow_postgres"}:
            return self.store
        cluster = self.ground.cluster
        link = Link(cluster)
        self.pg_links.append(link)
        store = copy.copy(self.store)
        host, port = link.address.split(":")
        store.url = f"postgresql://certloop@{host}:{port}/{self.store.name}"
        return store

    def _member(self, i, what):
        plan = self.plan
        limit = f"{plan.most}/{plan.window}s"
        issuer = "vault" if self.peer else "local"
        options = {
            "top": TOP, "acme_options": "tls = no",
            "profiles": PROFILES % (issuer, issuer,
                                    self.ground.dns.resolver(),
                                    self.ground.http.port),
            "environment": {"CERTLOOP_PLANT": f"planted-{self.planted}"}
            if self.planted else {},
            "limits": "new_account_per_address = 0\n"
                      "open_orders_per_account = 0\n"
                      "key_change_per_account = 0\ncpu_share = 0\n"
                      "sweep_interval = 0\n"
                      f'new_order_per_account = "{limit}"\n',
            "extra": ""}
        folder = self.folder / f"r{i}"
        if plan.kind == "sqlite":
            member = servers.Certloopd(self.ground.build, folder, **options)
            member.base = PUBLIC_URL
            member.write_config()
            self.ground.give("sqlite", member)
            return member
        options["extra"] = self._extra(i)
        redis = None
        if self.has_redis:
            redis = Link(self.ground.redis)
            self.links.append(redis)
            options["limits"] += "on_error = deny\n"
        member = fleet.Replica(
            self.ground.build, folder, store=self._store_of(what),
            public_url=PUBLIC_URL, redis=redis, redis_deadline="200ms",
            backend="redis" if redis else "store", **options)
        text = member.config().replace(
            "store {", "store {\n  deadline = 2s\n")
        member.write_config(text)
        self.ground.give("default", member)
        return member

    def _extra(self, i):
        text = ""
        if self.peer is not None:
            token = self.folder / "token"
            if not token.exists():
                token.touch(mode=0o600)
                token.write_text("s.token\n")
            text += f"""
issuer vault {{
  type = vault
  address = "{self.peer.address}"
  token_file = "{token}"
  role = servers
  timeout = 1s
  breaker_failures = 0
}}
"""
        for n in range(self.loops):
            text += f"""
loop l{n} {{
  names = {{ "l{n}.loops.example.org" }}
  folder = "{self.folder}/r{i}/loops/l{n}"
}}
"""
        return text

    # ---- weather

    def weather(self):
        begin = time.monotonic()
        for at, what, who in self.plan.events:
            wait_for(lambda at=at: time.monotonic() - begin >= at, 60,
                     "the moment", 0.002)
            getattr(self, what)(who)
        wait_for(lambda: time.monotonic() - begin >= LOAD, 60, "the end",
                 0.01)

    def kill(self, i):
        self.down.add(i)
        self.members[i].kill()
        self.deaths.append(time.monotonic())
        if self.plan.kind == "sqlite":
            # its lease is over when it comes back
            with sqlite3.connect(self.store.path) as db:
                db.execute("UPDATE orders SET lease = 1 WHERE "
                           "status = 'processing'")
                db.execute("UPDATE authorizations SET lease = 1 WHERE "
                           "lease IS NOT NULL")
            db.close()

    def end_of_kill(self, i):
        self.down.discard(i)
        self.start(i)

    def start(self, i):
        member = self.members[i]
        if member.process is not None and member.process.poll() is not None:
            self.bury(i)
        if member.process is None:
            member.spawn()

    def bury(self, i):
        """It ended by itself: may it?"""
        member = self.members[i]
        status = member.process.returncode
        member.process = None
        if status != NO_STORE:
            self.complaints.append(
                f"process: replica {i} ended with {status}: "
                + member.log()[-600:])

    def stop(self, i):
        if self.members[i].process is not None:
            self.members[i].process.send_signal(signal.SIGSTOP)

    def end_of_stop(self, i):
        if self.members[i].process is not None:
            self.members[i].process.send_signal(signal.SIGCONT)

    def end_sessions(self, _):
        if not self.frozen:
            self.ground.cluster.psql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                f"WHERE datname = '{self.store.name}'")

    def forward(self, _, seconds=AHEAD):
        if not self.frozen:
            self.ground.cluster.psql("UPDATE chaos_clock SET ahead = ahead "
                                     f"+ {seconds * 1000000}",
                                     self.store.name)

    def freeze_postgres(self, _):
        if not self.frozen:
            self.frozen = True
            self.ground.cluster.freeze()

    def end_of_freeze_postgres(self, _):
        if self.ground.cluster.process is not None:
            self.ground.cluster.thaw()
            self.frozen = False

    def kill_postgres(self, _):
        if self.ground.cluster.process is not None:
            self.frozen = True
            self.ground.cluster.kill()

    def end_of_kill_postgres(self, _):
        if self.ground.cluster.process is None:
            self.ground.cluster.start()
            self.frozen = False

    def cut_postgres(self, i):
        self.pg_links[i].cut(silent=i % 2 == 0)

    def end_of_cut_postgres(self, i):
        self.pg_links[i].heal()

    def slow_postgres(self, i):
        self.pg_links[i].pause = 0.02

    def end_of_slow_postgres(self, i):
        self.pg_links[i].pause = 0

    def cut_redis(self, i):
        self.links[i].cut(silent=i % 2 == 0)

    def end_of_cut_redis(self, i):
        self.links[i].heal()

    def slow_redis(self, i):
        self.links[i].pause = 0.03

    def end_of_slow_redis(self, i):
        self.links[i].pause = 0

    def flush_redis(self, _):
        if self.ground.redis.process is not None and \
                not self.redis_frozen:
            self.lost.append(time.monotonic())
            self.ground.redis.flush()
            self.lost.append(time.monotonic())

    def freeze_redis(self, _):
        if self.ground.redis.process is not None:
            self.redis_frozen = True
            self.ground.redis.freeze()

    def end_of_freeze_redis(self, _):
        if self.ground.redis.process is not None:
            self.redis_frozen = False
            self.ground.redis.thaw()

    def kill_redis(self, _):
        self.lost.append(time.monotonic())
        self.redis_frozen = False
        self.ground.redis.kill()
        self.lost.append(time.monotonic())

    def end_of_kill_redis(self, _):
        if self.ground.redis.process is None:
            self.ground.redis.start()
        self.lost.append(time.monotonic())

    def _vault(self, how, n=3):
        self.peer.command({"script": {"sign": [how] * n}})

    def vault_dies(self, _):
        self._vault({"die": True})

    def vault_loses(self, _):
        self._vault({"lose": True})

    def vault_slow(self, _):
        self._vault({"delay": 0.5})

    def vault_fails(self, _):
        self._vault({"status": 500})

    # ---- calm

    def heal(self):
        cluster, redis = self.ground.cluster, self.ground.redis
        if cluster.process is None:
            cluster.start()
        cluster.thaw()
        self.frozen = False
        if redis.process is None:
            redis.start()
        redis.thaw()
        self.redis_frozen = False
        for link in self.links + self.pg_links:
            link.pause = 0
            if link.mode != "open":
                link.heal()
        if self.peer is not None:
            with self.peer.lock:
                self.peer.script.clear()
        for i in range(len(self.members)):
            self.end_of_stop(i)
            self.start(i)
        self._wait_ready()
        if self.plan.kind != "sqlite":
            self.forward(0)     # no need to wait for the leases of the dead
        self.healed.set()

    def _wait_ready(self):
        for i in range(len(self.members)):
            wait_for(lambda i=i: self._is_up(i), PATIENCE,
                     f"replica {i} to be ready", 0.01)

    def _is_up(self, i):
        """Ready; one that ended without its database begins again."""
        self.start(i)
        assert not self.complaints, self.complaints     # it crashed
        try:
            return self.members[i].status("/readyz").status == 200
        except OSError:
            return False

    BUSY = ("SELECT (SELECT count(*) FROM orders WHERE status = 'processing')"
            " + (SELECT count(*) FROM authorizations WHERE lease IS NOT NULL)"
            " + (SELECT count(*) FROM loops WHERE lease_until IS NOT NULL)")

    def rest(self):
        """Until nothing is under way; or it is said what does not end."""
        end = time.monotonic() + self.patience
        for worker in self.workers:
            worker.join(max(1, end + 30 - time.monotonic()))
            if worker.is_alive() or worker.failure is not None:
                self.complaints.append(
                    f"client {worker.number}: {worker.failure!r}")
        while int(self.store.query(self.BUSY)[0][0]) > 0:
            if time.monotonic() > end:
                return      # the checker says what
            time.sleep(0.05)
        wait_for(lambda: self._is_idle() or time.monotonic() > end,
                 self.patience + 60, "idle replicas", 0.02)

    def _is_idle(self):
        self.calm = [m.metrics() for m in self.members]
        return all(m.get("certloop_store_depth", 0) == 0 and
                   m.get("certloop_redis_in_flight", 0) == 0
                   for m in self.calm)

    # ---- judgement

    TABLES = ("accounts", "orders", "authorizations", "certificates",
              "audit", "loops", "limit_stamps")

    def tables(self):
        if self.plan.kind != "sqlite":
            rows = self.ground.cluster.psql(" UNION ALL ".join(
                f"SELECT '{t} ' || row_to_json(x) FROM {t} x"
                for t in self.TABLES), self.store.name).splitlines()
            return {t: checker.parsed_rows(
                row.partition(" ")[2] for row in rows
                if row.startswith(t + " ")) for t in self.TABLES}
        db = sqlite3.connect(f"file:{self.store.path}?mode=ro", uri=True)
        db.row_factory = sqlite3.Row
        try:
            return {t: [dict(r) for r in db.execute(f"SELECT * FROM {t}")]
                    for t in self.TABLES}
        finally:
            db.close()

    def facts(self):
        asked = None
        if self.peer is not None:
            with self.peer.lock:
                asked = collections.Counter(
                    r["body"]["alt_names"] for r in self.peer.requests
                    if "/sign/" in r["path"])
        counted = {"redis": "redis", "vault": "redis", "store": "store",
                   "sqlite": "memory"}[self.plan.kind]
        lost = list(self.lost)
        if counted == "memory":     # which forgets with its process
            lost += self.deaths
        return checker.Facts(
            events=list(self.events), tables=self.tables(),
            most=self.plan.most, window=self.plan.window, counted=counted,
            lost=lost, asked=asked, metrics=self.calm,
            lease=LEASE if self.plan.kind != "sqlite" else 0)

    def close(self):
        for member in self.members:
            if member.process is not None:
                member.process.send_signal(signal.SIGCONT)
                member.process.send_signal(signal.SIGTERM)
        try:
            for member in self.members:
                if member.process is not None:
                    status = member.wait_end(60)
                    if status != 0:
                        self.complaints.append(
                            f"process: exit status {status} after SIGTERM")
        finally:
            for member in self.members:
                member.kill()
                if member in member.live:
                    member.live.remove(member)
            for link in self.links + self.pg_links:
                link.running = False
            for link in self.links + self.pg_links:
                link.remove()
            if self.peer is not None:
                self.peer.stop()

    def forget(self):
        """Its database and files."""
        if self.plan.kind != "sqlite":
            self.ground.cluster.psql(
                f"DROP DATABASE {self.store.name} WITH (FORCE)")
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclasses.dataclass
class Result:
    plan: Plan
    complaints: list
    figures: dict
    folder: Path


def run(ground, seed, kind=None, **options):
    """One seed. What failed stays in its folder: logs, events, tables."""
    plan = Plan(seed, kind)
    folder = ground.folder / f"seed{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    begin = time.monotonic()
    world = World(ground, plan, folder, **options)
    facts = None
    try:
        for worker in world.workers:
            worker.start()
        try:
            world.weather()
        finally:
            world.loading = False
            world.heal()
        world.rest()
        facts = world.facts()
        world.complaints += checker.check(facts)
    finally:
        world.loading = False
        world.healed.set()
        world.close()
    figures = {
        "seed": seed, "kind": plan.kind,
        "seconds": round(time.monotonic() - begin, 2),
        "requests": len(facts.events),
        "unanswered": sum(e["status"] is None for e in facts.events),
        "limited": sum(e["status"] == 429 for e in facts.events),
        "replayed": sum(n > 1 for n in collections.Counter(
            e["nonce"] for e in facts.events).values()),
        "validated": sum(r["action"] == "authz.valid"
                         for r in facts.tables["audit"]),
        **{t: len(facts.tables[t]) for t in ("orders", "certificates")}}
    if world.complaints:
        with open(folder / "facts.json", "w") as f:
            json.dump({"complaints": world.complaints,
                       "events": facts.events, "tables": facts.tables,
                       "lost": facts.lost}, f, default=checker.as_json,
                      indent=1)
        (folder / "plan").write_text(str(plan) + "\n")
    else:
        world.forget()
    return Result(plan, world.complaints, figures, folder)
