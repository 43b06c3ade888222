# SPDX-License-Identifier: ISC
"""The ground that the protocol fuzzer (protofuzz.py) stands on: the world of a
seed, how a request is signed and sent, and the judgement of each step."""

import collections
import contextlib
import dataclasses
import json
import random
import re
import sqlite3
import subprocess
import time
from pathlib import Path

import challenges
import checker
import fleet
import jose
import proto_judge as judge
import proto_meaning as meaning
import proto_mutate as odd
import servers
import x509
from jose import b64, unb64
from proto_wire import Wire

KINDS = ("sqlite", "postgres", "replicas")

PROFILES = """
profile default {{
  issuer = local
  auth_mode = trust_authenticated
  open = true
  max_identifiers = 20
  denied_suffixes = {{ "denied.example" }}
}}
profile bound {{
  issuer = local
  eab_required = true
  contact_required = true
}}
profile tight {{
  issuer = local
  allowed_suffixes = {{ "example.org" }}
  allowed_cidrs = {{ "10.0.0.0/8" }}
  wildcards = false
  key_types = {{ "ecdsa-p256", "ecdsa-p384" }}
  lifetime = 1d
  new_order_per_account = "6/1h"
  open_orders_per_account = 3
  key_change_per_account = "1/1h"
  renewal_unlimited = no
}}
profile checked {{
  issuer = local
  auth_mode = challenge
  resolvers = {{ "{dns}" }}
  validation_allow = {{ "127.0.0.0/8" }}
  http_port = {http}
  tls_port = {tls}
  https_port = {tls}
  validation_timeout = 1s
  caa = enforce
  new_authz = true
  authz_reuse = 1h
}}
"""
TOP = """terms_of_service = "https://example.org/terms"
caa_identities = { "ca.example.org" }
log_level = warn
"""
LIMITS = servers.Certloopd.NO_LIMITS + """
  key_change_per_account = 0
  challenge_response_per_challenge = 8/1h
  failed_validation_per_name = 0
  cpu_share = 0
"""
TABLES = {
    "accounts": "id, profile, status, thumbprint, jwk, key_version, contacts,"
                " tos_agreed, eab_key, allowed",
    "orders": "id, account, profile, status, identifiers, authzs, not_before,"
              " not_after, replaces, certificate, error, csr, attempt",
    "authorizations": "id, account, profile, type, value, wildcard, order_id,"
                      " challenges, status, challenge, attempt, lease, error,"
                      " validated",
    "certificates": "id, account, profile, order_id, serial, status, reason,"
                    " der, spki_hash",
    "eab_keys": "id, profile, status, used, max_uses",
}
SPENT_CPU = 8.0     # seconds of processor time for one request: never


# ---- the store, looked at from outside

class SqliteView:
    def __init__(self, store):
        self.db = sqlite3.connect(f"file:{store.path}?mode=ro", uri=True,
                                  isolation_level=None)
        self.db.row_factory = sqlite3.Row

    def tell(self, sql):
        self.db.execute(sql)

    def rows(self, table, columns):
        return [dict(r) for r in self.db.execute(
            f"SELECT {columns} FROM {table}")]

    def close(self):
        self.db.close()


class PostgresView:
    """One psql that stays."""

    def __init__(self, store):
        c = store.cluster
        self.psql = subprocess.Popen(
            [c.program("psql"), "-X", "-q", "-A", "-t", "-h",
             str(c.directory), "-p", str(c.port), "-U", "postgres", "-d",
             store.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, bufsize=1)

    def tell(self, sql):
        self.psql.stdin.write(sql + " ISOLATION LEVEL REPEATABLE READ;\n"
                              if sql == "BEGIN" else sql + ";\n")

    def rows(self, table, columns):
        self.psql.stdin.write(
            f"SELECT row_to_json(x) FROM (SELECT {columns} FROM {table}) x;"
            "\n\\echo END\n")
        self.psql.stdin.flush()
        return checker.parsed_rows(iter(
            self.psql.stdout.readline, "END\n"))

    def close(self):
        self.psql.stdin.close()
        self.psql.wait(20)
        self.psql.stdout.close()


# ---- the world

class Ground:
    """What all seeds share: PostgreSQL, and the other side of challenges."""

    def __init__(self, build, folder):
        self.build = build
        self.folder = Path(folder)
        self._cluster = None
        self.dns = challenges.Dns(self.folder / "dns")
        self.http = challenges.Http(self.folder / "http")
        self.tls = challenges.Alpn(self.folder / "tls")
        self.dns.set("caa.example.org", "CAA", '0 issue "other.example"')
        self.dns.modes["nx.example.org"] = "nxdomain"
        self.dns.set("gone.example.org", "A", "127.0.0.2")
        self.dns.set("plain.example.org", "A", "127.0.0.3")
        self.plain = challenges.Http(self.folder / "plain",
                                     port=self.tls.port, address="127.0.0.3")
        self.tls.put("wrong", ["wrong"], "nothing")
        self.keys = Keys()

    @property
    def cluster(self):
        if self._cluster is None:
            self._cluster = servers.Postgres(
                {"fsync": "off", "synchronous_commit": "off"},
                parent="/dev/shm").start()
        return self._cluster

    def profiles(self):
        return PROFILES.format(dns=self.dns.resolver(), http=self.http.port,
                               tls=self.tls.port)

    def close(self):
        for one in (self.dns, self.http, self.tls, self.plain):
            one.close()
        if self._cluster is not None:
            self._cluster.remove()


class Keys:
    """Made once; a run takes them from the first on."""

    def __init__(self):
        self.accounts = []
        self.leaves = []
        self.kinds = {"weak rsa": x509.new_key("RSA-1024"),
                      "p384": x509.new_key("P-384"),
                      "ed25519": x509.new_key("Ed25519"),
                      "other": x509.new_key()}
        self.odd = [jose.make_key("EdDSA"), jose.make_key("ES384"),
                    jose.make_key("RS256")]

    def account(self, i):
        while len(self.accounts) <= i:
            self.accounts.append(jose.make_key("ES256"))
        return self.accounts[i]

    def leaf(self, i):
        while len(self.leaves) <= i:
            self.leaves.append(x509.new_key())
        return self.leaves[i]


class LeafKey(jose.EcKey):
    """The key of a certificate, as one that signs a JWS."""

    def __init__(self, private):
        self.alg, self.private = "ES256", private
        self.crv, _, self.digest, self.size = self.KINDS["ES256"]


class World:
    """One or two daemons on a new store."""

    def __init__(self, ground, kind, folder, planted=None):
        self.kind = kind
        environment = {"ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=8"}
        if planted:
            environment["CERTLOOP_PLANT"] = f"planted-{planted}"
        how = {"profiles": ground.profiles(), "top": TOP, "limits": LIMITS,
               "environment": environment}
        self.store = None if kind == "sqlite" else ground.cluster.new_store()
        if kind == "replicas":
            self.members = [fleet.Replica(
                ground.build, folder / f"replica{i}", store=self.store,
                public_url=fleet.PUBLIC_URL, backend="store", **how)
                for i in range(2)]
            self.members[0].init_ca()
            self.members[1].share_from(self.members[0])
        else:
            self.members = [servers.Certloopd(
                ground.build, folder / "server", store=self.store, **how)]
        for one in self.members:
            one.start()
        self.store = self.members[0].store
        self.base = self.members[0].base
        self.view = (SqliteView if kind == "sqlite" else PostgresView)(
            self.store)

    def snapshot(self):
        """All tables at one moment."""
        self.view.tell("BEGIN")
        tables = {t: {r["id"]: r for r in self.view.rows(t, columns)}
                  for t, columns in TABLES.items()}
        self.view.tell("COMMIT")
        return tables

    def metrics(self):
        """Sums over the members."""
        sums = collections.Counter()
        for one in self.members:
            sums.update(one.metrics())
        return sums

    def end(self):
        self.view.close()
        for one in self.members:
            one.remove()

    def kill(self):
        for one in self.members:
            one.kill()
            if one in one.live:
                one.live.remove(one)


# ---- a request

class Sent:
    """What goes out, and what of it the judge needs."""

    def __init__(self, method, target, fields, body):
        self.method = method
        self.target = target        # path and query as in the request line
        self.fields = fields        # (name, value)
        self.body = body
        self.is_http = True
        self.chunks = 0             # 0: with a Content-Length
        self.version = "HTTP/1.1"
        self.pieces = 0

    @property
    def path(self):
        """Without a scheme, escapes undone: RFC 3986 section 6.2.2.2."""
        path = re.sub("^(?i:https?)://[^/?]*", "",
                      self.target.partition("?")[0])
        return re.sub("%([0-9A-Fa-f]{2})", lambda m: chr(int(m[1], 16)), path)

    @property
    def query(self):
        path, mark, query = self.target.partition("?")
        return mark + query if query else ""

    @property
    def content_type(self):
        found = [v for k, v in self.fields if k.lower() == "content-type"]
        return found[0] if len(found) == 1 else None

    def said(self):
        """What the client said, lower case: to be told again is no leak."""
        texts = [self.target.encode(), self.body]
        with contextlib.suppress(ValueError, TypeError, AttributeError,
                                 RecursionError):
            jws = json.loads(self.body)
            texts += [unb64(jws[m]) for m in ("protected", "payload")
                      if m in jws]
        return b"\n".join(texts).lower()

    def wire(self):
        lines = [f"{self.method} {self.target} {self.version}"]
        lines += [f"{k}: {v}" for k, v in self.fields]
        body = self.body
        if self.chunks and body:
            lines.append("Transfer-Encoding: chunked")
            step = len(body) // self.chunks + 1
            body = b"".join(
                b"%x;x=y\r\n%s\r\n" % (len(p), p) for p in (
                    body[i:i + step] for i in range(0, len(body), step))
            ) + b"0\r\nX-Trailer: 1\r\n\r\n"
        elif body or self.method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@dataclasses.dataclass
class Plan:
    """A request that is right."""

    kind: str               # new-account, ...
    url: str
    payload: object = None  # None: POST-as-GET
    key: object = None      # None: it is not signed
    kid: str = None         # None: the key goes along
    expect: tuple = ()      # (status, problem or None) that would be right
    method: str = "POST"
    nonce: str = None       # None: a fresh one
    edits: list = dataclasses.field(default_factory=list)   # what was changed


@dataclasses.dataclass
class Account:
    profile: str
    key: object
    url: str

    id = property(lambda self: self.url.rpartition("/")[2])


class Stop(Exception):
    """There is a complaint: what follows would only repeat it."""


class Run:
    """The steps of one seed."""

    def __init__(self, ground, world, seed):
        self.ground, self.world = ground, world
        self.seed = seed
        self.rng = random.Random(seed)
        self.base = world.base
        self.wires = [Wire(m.port, m.root) for m in world.members]
        self.nonces, self.old, self.spent = [], [], set()
        self.seen_nonces = set()
        self.accounts, self.certs = [], []
        self.eab = []
        self.serial = 0
        self.events = []
        self.outcomes = collections.Counter()
        self.refusals = collections.Counter()
        self.counts = collections.Counter()
        self.complaints = []
        self.trail = collections.deque(maxlen=5)
        self.state = world.snapshot()
        self.clock = time.monotonic
        self.most_cpu = 0.0
        self.step = 0
        self.last = None        # what was sent

    # ---- sending and judging

    def complain(self, step, complaints):
        for one in complaints:
            self.complaints.append(f"step {step}: {one}")
        if self.complaints:
            raise Stop

    def sign(self, plan):
        """(header, payload, key) of a plan as a Sent."""
        header = {"alg": plan.key.alg}
        if plan.kid is None:
            header["jwk"] = plan.key.jwk()
        else:
            header["kid"] = plan.kid
        header["nonce"] = plan.nonce or self.nonce()
        header["url"] = plan.url
        return header

    def nonce(self):
        if not self.nonces:
            wire = self.rng.choice(self.wires)
            sent = self.request("HEAD", self.url("default", "new-nonce"))
            self.deliver(wire, sent)
        return self.nonces.pop(self.rng.randrange(len(self.nonces)))

    def url(self, profile, rest):
        return f"{self.base}/acme/profile/{profile}/{rest}"

    def request(self, method, url, body=b"", kind=None):
        fields = [("Host", self.base.split("/")[2])]
        if kind:
            fields.append(("Content-Type", kind))
        return Sent(method, url.removeprefix(self.base) or "/", fields, body)

    def build(self, plan):
        """The plan as bytes, with what the edits say."""
        if plan.key is None:
            sent = self.request(plan.method, plan.url)
        else:
            header = self.sign(plan)
            payload = b"" if plan.payload is None else plan.payload
            for part, edit in plan.edits:
                if part == "header":
                    header = edit(header)
                elif part == "payload" and plan.payload is not None:
                    payload = edit(payload)
            loose = self.rng if ("loose", None) in plan.edits else None
            if not isinstance(header, bytes):
                header = odd.write(header, loose)
            if not isinstance(payload, bytes):
                payload = odd.write(payload, loose)
            head, tail = b64(header), b64(payload)
            jws = {"protected": head, "payload": tail, "signature": b64(
                plan.key.sign(f"{head}.{tail}".encode()))}
            for part, edit in plan.edits:
                if part == "jws":
                    jws = edit(jws)
            body = jws if isinstance(jws, bytes) else odd.write(jws, loose)
            sent = self.request(plan.method, plan.url, body,
                                "application/jose+json")
        for part, edit in plan.edits:
            if part == "http":
                edit(sent)
        return sent

    def deliver(self, wire, sent):
        """The one answer to it, looked at by itself."""
        reply = wire.ask(sent.wire(), (sent.method,), sent.pieces)[0]
        if "%" in sent.target or "#" in sent.target:
            sent.is_http = False    # most of these are refused below ACME
        kind = judge.route(sent.path)[0]
        self.complain(self.step, judge.answer(sent, reply, kind))
        self.keep(reply)
        self.outcomes[kind or self.other(sent), reply.status,
                      reply.problem or ""] += 1
        return reply

    @staticmethod
    def other(sent):
        found = re.match(r"/ca/[^/]*/(crl|ocsp|certificate)", sent.target)
        return found.group(1) if found else "elsewhere"

    def keep(self, reply):
        """Its nonce, and its place in the metrics."""
        if reply.status >= 400:
            self.refusals[self.problem_of(reply)] += 1
        for nonce in reply.headers("Replay-Nonce"):
            if nonce in self.seen_nonces:
                self.complain(self.step, [f"the nonce {nonce} comes twice"])
            self.seen_nonces.add(nonce)
            self.nonces.append(nonce)
        if len(self.nonces) > 40:
            self.old.append(self.nonces.pop(0))

    @staticmethod
    def problem_of(reply):
        if not reply.body and reply.is_problem:
            return None         # of a HEAD
        return reply.problem

    def act(self, plan):
        """One step: send it, judge it, compare the store."""
        sent = self.last = self.build(plan)
        wire = self.rng.choice(self.wires)
        before = self.state
        began = self.clock()
        cpu = self.cpu()
        reply = self.deliver(wire, sent)
        self.most_cpu = max(self.most_cpu, self.cpu() - cpu)
        self.state = after = self.world.snapshot()
        self.trail.append(
            f"step {self.step}: {plan.kind} {[e[0] for e in plan.edits]} "
            f"{sent.method} {sent.target[:120]} -> {reply.status} "
            f"{reply.problem or ''} {sent.said()[-300:]!r}")
        reading, why = None, None
        try:
            reading = judge.read(sent, self.base, before, self.spent)
        except (ValueError, KeyError, TypeError) as e:
            why = str(e)
        ok = reply.status < 400
        signed = sent.method == "POST" and \
            judge.route(sent.path)[0] is not None
        if ok and signed:
            if reading is None:
                self.complain(self.step, [
                    f"accepted with {reply.status}, in spite of: {why}"])
            self.spent.add(reading.header["nonce"])
            self.note(reading, reply, began)
        self.complain(self.step, judge.edges(before, after))
        self.complain(self.step, judge.change(
            before, after, reading if ok else None, reply))
        if ok and signed and reply.status in (200, 201):
            self.complain(self.step, self.understood(
                reading, reply, before, after))
        if not plan.edits and plan.expect and \
                (reply.status, reply.problem) not in plan.expect:
            self.complain(self.step, [
                f"{plan.kind}: {reply!r}, expected {plan.expect}"])
        if self.most_cpu > SPENT_CPU:
            self.complain(self.step, [
                f"a request took {self.most_cpu:.1f} s of processor time"])
        return reply, reading if ok else None

    @staticmethod
    def understood(reading, reply, before, after):
        try:
            yield from meaning.meaning(reading, reply, before, after)
        except Exception as e:
            yield f"the answer to {reading.kind} cannot be read: {e!r}, " \
                  f"{reading.payload!r:.500}, {reply!r}"

    def cpu(self):
        return sum(m.cpu() for m in self.world.members)

    def note(self, r, reply, began):
        """An event as checker.py has them; and what the metrics must say."""
        self.counts[r.kind, reply.status] += 1
        kinds = {"revoke-cert": "revoke"}
        event = {"kind": kinds.get(r.kind, r.kind),
                 "nonce": r.header["nonce"],
                 "account": r.account["id"] if r.account else None,
                 "object": r.object, "body": r.payload, "sent": began,
                 "answered": self.clock(), "status": reply.status,
                 "problem": reply.problem, "answer": None,
                 "location": (reply.header("Location") or ""
                              ).rpartition("/")[2]}
        if r.kind == "cert":
            event["answer"] = reply.body.decode()
        elif reply.body and r.kind not in ("chain", "alternate"):
            event["answer"] = reply.json
        if r.kind == "key-change":
            event["thumbprint"] = judge.thumbprint(judge.public_key(
                json.loads(unb64(r.payload["protected"]))["jwk"]))
        if r.kind == "account" and r.payload and \
                r.payload.get("status") == "deactivated":
            event["kind"] = "deactivate"
        if event["kind"] in ("new-account", "new-order", "order", "finalize",
                             "cert", "revoke", "key-change", "account"):
            self.events.append(event)
