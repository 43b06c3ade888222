# SPDX-License-Identifier: ISC
"""Failures on demand: a world in which the n-th operation of a kind fails, and
flows of clients that come through all the same.

    world = World(...).start()
    for n in world.walk("failing-store-down", world.life): ...

What fails is named by a way: of src/base/fault.h (failing-...), which the
server finds in a file, or of failing.c (alloc, file-full, file-ill,
file-short), which is preloaded and finds it in shared memory.
"""

import contextlib
import http.client
import mmap
import os
import re
import secrets
import sqlite3
import struct
import subprocess
import time
from pathlib import Path

from cryptography import x509 as cx509
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key)

import challenges
import checker
import jose
import servers
import vault_peer
import x509
from acme import Refused
from servers import wait_for
from vault_world import KEY

HERE = Path(__file__).resolve().parent
BROKEN = (OSError, http.client.HTTPException)
PATIENCE = 90

# Of fault.h, and the series of /metrics that must have moved.
STORE = {
    "failing-store-busy": 'store_batches_total{outcome="busy"}',
    "failing-store-down": 'store_batches_total{outcome="down"}',
    "failing-store-error": 'store_batches_total{outcome="error"}',
    "failing-store-unheard": 'store_batches_total{outcome="unknown"}',
    "failing-store-cut": "store_disconnects_total",
}
DNS = {
    "failing-dns-servfail": 'dns_lookups_total{result="failed"}',
    "failing-dns-timeout": 'dns_lookups_total{result="timeout"}',
}
FETCH = {"failing-fetch-refused": None, "failing-fetch-late": None,
         "failing-fetch-short": None, "failing-fetch-reset": None}
REDIS = {
    "failing-redis-cut": "redis_losses_total",
    "failing-redis-unheard": "redis_losses_total",
    "failing-redis-error": None,
}
SEEN = {**STORE, **DNS, **FETCH, **REDIS}

# Of failing.c: its enum way.
PRELOADED = {"alloc": 1, "file-full": 2, "file-ill": 3, "file-short": 4}

PROFILES = """
profile default {{
  issuer = local
  auth_mode = trust_authenticated
  open = true
}}
profile vault {{
  issuer = vault
  auth_mode = trust_authenticated
  open = true
  lifetime = 24h
}}
profile challenge {{
  issuer = local
  auth_mode = challenge
  resolvers = {{ "{resolver}" }}
  validation_allow = {{ "127.0.0.0/8" }}
  http_port = {port}
  validation_timeout = 5s
}}
"""

TOP = """recovery_interval = 1s
lease = 5s
gc_interval = 0
loop_folder = "{folder}/asked"
loop_hook = {{ "/bin/sh", "-c", "echo $CERTLOOP_NAME >> {folder}/told" }}
"""

VAULT = """
issuer vault {{
  type = vault
  address = "{address}"
  token_file = "{token}"
  role = servers
  timeout = 2s
  breaker_failures = 0
}}
"""

# What a server may say when something that it needs fails: RFC 8555 section
# 6.7. Of an authorization that failed, what was wrong with the asking.
GOOD_PROBLEMS = {"serverInternal", "badNonce"}
GOOD_ERRORS = {"dns", "connection", "caa", "serverInternal",
               "incorrectResponse"}


def build_library(folder):
    library = Path(folder) / "failing.so"
    if not library.exists():
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library,
                        HERE / "failing.c", "-ldl"], check=True)
    return library


def ari_name(der):
    """Of renewal information, RFC 9773 section 4.1."""
    certificate = cx509.load_der_x509_certificate(der)
    aki = certificate.extensions.get_extension_for_class(
        cx509.AuthorityKeyIdentifier).value.key_identifier
    serial = certificate.serial_number
    raw = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    return f"{jose.b64(aki)}.{jose.b64(raw)}"


def fits(certificate, key):
    """Are both files there, whole, and of one pair?"""
    try:
        cert = cx509.load_pem_x509_certificate(certificate.read_bytes())
        private = load_pem_private_key(key.read_bytes(), None)
    except FileNotFoundError:
        return False
    return x509.spki(cert.public_key()) == x509.spki(private.public_key())


def stray_files(folder):
    """Names of files and folders that nobody should have left behind."""
    odd = re.compile(r"\.certloop-(new|old)$|\.[A-Za-z0-9]{6}$|^\.link$|"
                     r"\.tmp$|^[^.]*\.new$")
    return [f"{where}/{name}" for where, folders, files in os.walk(folder)
            for name in folders + files if odd.search(name)]


def preloaded(folder, trigger):
    """The environment of a program whose libc does what trigger says."""
    return {"LD_PRELOAD": str(build_library(folder)),
            "CERTLOOP_FAILING": str(trigger.file),
            "ASAN_OPTIONS": "detect_leaks=1:verify_asan_link_order=0"}


class Trigger:
    """The shared memory of failing.c."""

    def __init__(self, file):
        self.file = Path(file)
        self.file.write_bytes(bytes(32))
        with open(self.file, "r+b") as f:
            self.memory = mmap.mmap(f.fileno(), 32)

    def arm(self, way, n, times=1):
        self.memory[0:32] = struct.pack("4Q", 0, n, times, 0)
        self.memory[0:8] = struct.pack("Q", PRELOADED[way])

    def disarm(self):
        """How many operations failed since arm(); none does any more."""
        self.memory[0:8] = struct.pack("Q", 0)
        return struct.unpack("4Q", self.memory[0:32])[3]

    def passed(self, n):
        """How many operations were counted since arm(way, n)."""
        return n - struct.unpack("4Q", self.memory[0:32])[1]


class World:
    """One server with all that it can be asked for, and a trigger."""

    def __init__(self, new_server, folder, engine, redis=None, preload=False,
                 **more):
        self.folder = folder
        self.dns = challenges.Dns(folder / "dns")
        self.http = challenges.Http(folder / "http")
        self.peer = vault_peer.VaultPeer(tls=False).start()
        self.peer.add_token("s.token", 3600)
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text("s.token\n")
        self.order_file = folder / "fail"
        self.trigger = Trigger(folder / "trigger")
        environment = {"CERTLOOP_FAIL": str(self.order_file)}
        if preload:
            environment.update(preloaded(folder, self.trigger))
        extra = VAULT.format(address=self.peer.address, token=token)
        limits = servers.Certloopd.NO_LIMITS + \
            "failed_validation_per_name = 0\ncpu_share = 0\n"
        if redis is not None:
            extra += f'redis {{ address = "{redis.address}" }}\n'
            limits = limits.replace("new_order_per_account = 0",
                                    'new_order_per_account = "9999/1h"') + \
                "backend = redis\non_error = deny\n"
        self.server = new_server(
            engine, top=TOP.format(folder=folder), extra=extra, limits=limits,
            profiles=PROFILES.format(resolver=self.dns.resolver(),
                                     port=self.http.port),
            environment=environment, **more)
        self.mortal = False     # may the server end?
        self.events = []        # of certificates handed out: checker.py
        self.problems = 0       # that clients met and overcame
        self.ends = 0           # of the server
        self.clients = []

    def close(self):
        self.server.remove()
        self.peer.stop()
        self.dns.close()
        self.http.close()

    def can_fail(self):
        return b"CERTLOOP_FAIL" in self.server.program.read_bytes()

    def start(self):
        self.server.start()
        return self

    # ---- arming

    def arm(self, way, n):
        if way in PRELOADED:
            self.trigger.arm(way, n)
            return
        new = self.order_file.with_suffix(".new")
        new.write_text(f"{way} {n}\n")
        new.rename(self.order_file)

    def disarm(self, way, offset):
        """Did an operation fail since?"""
        if way in PRELOADED:
            return self.trigger.disarm() > 0
        failed = f"fault: {way}\n" in self.server.log(offset)
        self.arm("nothing", 0)
        return failed

    def walk(self, way, flow, numbers):
        """flow with the n-th operation failing, for each n of numbers, until
        a run is clean; how many were not, and whether one was."""
        reached = 0
        for n in numbers:
            offset = self.server.log_size()
            before = self.seen(way)
            self.arm(way, n)
            flow()
            failed = self.disarm(way, offset)
            self.check_alive()
            if not failed:
                return reached, True
            reached += 1
            assert before is None or self.seen(way) > before, \
                f"{way} {n} did not show in {SEEN[way]}"
        return reached, False

    def seen(self, way):
        series = SEEN.get(way)
        if series is None:
            return None
        return self.server.metrics().get(f"certloop_{series}", 0)

    def check_alive(self):
        """It is ready again; or has ended in order, and is started again."""
        if self.has_ended():
            self.server.start()
        self.server.wait_ready(60)

    def has_ended(self):
        process = self.server.process
        if process is not None and process.poll() is None:
            return False
        if process is None:
            return True
        assert self.mortal, self.server.log()[-4000:]
        # by abort(), or by a refusal to go on that says why
        assert process.returncode in (-6, 1, 3, 4), \
            (process.returncode, self.server.log()[-4000:])
        self.server.check_log()
        self.server.process = None
        self.ends += 1
        return True

    # ---- ordinary clients

    def go_on(self, step):
        """Repeat a request until it is not refused for lack of means."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return step()
            except Refused as error:
                self.judge(error)
                assert time.monotonic() < end, error
            except BROKEN as error:
                self.broken(error)
            time.sleep(0.05)

    def judge(self, error):
        """The answer must say what a client can act upon."""
        self.problems += 1
        if error.problem == "badNonce":
            return
        if error.status < 500 and not (
                error.status == 429 and error.problem == "rateLimited"):
            raise error
        assert error.status in (429, 500, 503), error
        assert error.problem in ("serverInternal", "rateLimited"), error
        if error.status != 500:
            assert error.response.header("Retry-After"), error

    def broken(self, error):
        """The connection broke: only a server that ended may do that."""
        if not self.mortal:
            raise error
        time.sleep(0.2)         # for the death to be seen
        if self.has_ended():
            self.server.start()

    def get(self, url):
        def once():
            answer = client.get(url)
            if answer.status != 200:
                raise Refused(answer, f"GET {url}")
            return answer
        client = self.server.web()
        try:
            return self.go_on(once)
        finally:
            client.close()

    def new_client(self, profile="default"):
        client = self.server.client(profile=profile)
        self.clients.append(client)
        self.go_on(lambda: client.directory["newNonce"])
        self.go_on(client.register)
        return client

    def obtain(self, client, names):
        """Order after order until one is valid; its certificate in DER."""
        order = None
        end = time.monotonic() + PATIENCE

        def step():
            nonlocal order
            if order is None:
                order = client.order(names)
            client.refresh(order)
            if order.status == "pending":
                self.prove(client, order)
            if order.status == "ready":
                csr = x509.make_csr(names, KEY)
                order.body = client.post(order["finalize"],
                                         {"csr": jose.b64(csr)}).json
        while order is None or order.status != "valid":
            assert time.monotonic() < end, order and order.body
            if order is not None and order.status == "invalid":
                self.blame(client, order)
                order = None
            self.go_on(step)
            if order.status != "valid":
                time.sleep(0.05)
        pem = self.go_on(lambda: client.download(order))
        now = time.monotonic()
        self.events.append({
            "kind": "cert", "status": 200, "problem": None, "body": None,
            "answer": pem.decode(), "location": None, "nonce": f"{now}",
            "object": order["certificate"].rpartition("/")[2],
            "account": client.kid.rpartition("/")[2],
            "sent": now, "answered": now})
        return x509.der(x509.split_chain(pem)[0])

    def blame(self, client, order):
        """An order failed; what is wrong is said, and it is not the names."""
        self.problems += 1
        error = order.body.get("error")
        if error is None:
            errors = []
            for url in order["authorizations"]:
                authz = self.go_on(lambda url=url: client.post(url).json)
                errors += [c["error"] for c in authz["challenges"]
                           if "error" in c]
            assert errors, order.body
            error = errors[0]
        assert error["type"].rpartition(":")[2] in GOOD_ERRORS, error

    def prove(self, client, order):
        """http-01 for one name, dns-01 for the others."""
        for url in order["authorizations"]:
            authz = client.post(url).json
            if authz["status"] != "pending":
                continue
            name = authz["identifier"]["value"]
            kind = "dns-01" if name.startswith("d") else "http-01"
            one, = [c for c in authz["challenges"] if c["type"] == kind]
            text = challenges.key_authorization(client, one["token"])
            self.http.put(client, one["token"])
            self.dns.set(f"_acme-challenge.{name}", "TXT",
                         challenges.txt_value(text))
            if one["status"] == "pending":
                client.post(one["url"], {})

    # ---- flows

    def fresh(self):
        return f"{secrets.token_hex(6)}.example.org"

    def life(self):
        """All that an account does with one certificate."""
        client = self.new_client()
        der = self.obtain(client, [self.fresh()])
        self.get(client.directory["renewalInfo"] + "/" + ari_name(der))
        self.change_key(client)
        self.revoke(client, der)

    def change_key(self, client):
        new = jose.make_key("ES256")
        url = client.directory["keyChange"]
        inner = jose.sign_jws(
            new, {"alg": new.alg, "jwk": new.jwk(), "url": url},
            {"account": client.kid, "oldKey": client.key.jwk()})
        keys = [new, client.key]
        try:
            client.post(url, inner)
        except Refused as error:
            self.judge(error)
        except BROKEN as error:
            self.broken(error)
        good = []
        for key in keys:        # one is the account's, never both or none
            client.key = key
            try:
                self.go_on(lambda: client.post(client.kid, {}))
                good.append(key)
            except Refused as error:
                assert error.problem == "unauthorized", error
        client.key, = good

    def revoke(self, client, der):
        url = client.directory["revokeCert"]
        try:
            self.go_on(lambda: client.post(
                url, {"certificate": jose.b64(der)}))
        except Refused as error:
            assert error.problem == "alreadyRevoked", error

    def proof(self):
        """A certificate for names that are proven in two ways."""
        client = self.new_client("challenge")
        self.obtain(client, ["d" + self.fresh(), "h" + self.fresh()])

    def vault(self):
        """One that Vault signs."""
        client = self.new_client("vault")
        self.obtain(client, [self.fresh()])

    def ctl(self, *words, but=""):
        """An operator's command, again until it is done; or the refusal that
        a repeated one may meet."""
        end = time.monotonic() + PATIENCE
        while True:
            done = self.server.ctl(*words)
            if done.returncode == 0 or (but and but in done.stderr):
                return done.stdout
            assert done.stderr.count("\n") == 1, done   # one sentence
            self.problems += 1
            if self.mortal and self.has_ended():
                self.server.start()
            assert time.monotonic() < end, done
            time.sleep(0.1)

    def loop(self):
        """A cert loop from the asking until the pair lies there."""
        name = "l" + secrets.token_hex(4)
        self.ctl("loop", "add", name, "--names", f"{name}.example.org",
                 but="already")
        self.wait_delivered(name)
        self.ctl("loop", "remove", name, but="there is no")
        folder = self.folder / "asked" / name
        left = {f.name for f in folder.iterdir()}
        versions = {f for f in left if f.startswith("v-")}
        assert len(versions) == 1 and left - versions == {"current"}, left

    def wait_delivered(self, name):
        now = self.folder / "asked" / name / "current"
        told = self.folder / "told"
        end = time.monotonic() + PATIENCE
        again = time.monotonic() + 1
        while not (told.exists() and f"ctl:{name}\n" in told.read_text() and
                   fits(now / "fullchain.pem", now / "privkey.pem") and
                   not (now.parent / "previous").is_symlink()):
            assert time.monotonic() < end, self.server.log()[-3000:]
            if self.mortal and self.has_ended():
                self.server.start()
            if time.monotonic() > again:    # do not wait out its back-off
                self.server.ctl("loop", "renew", name)
                self.hurry()
                again = time.monotonic() + 2
            time.sleep(0.05)

    def hurry(self):
        self.server.store.execute("UPDATE loop_nodes SET next_delivery = 0")

    def admin(self):
        """What operators look at."""
        for words in (("status",), ("order", "list"), ("cert", "list"),
                      ("audit", "search"), ("loop", "list"),
                      ("issuer", "list")):
            self.ctl("--json", *words)

    def status_of_certificates(self):
        """CRL and OCSP."""
        self.get(f"{self.server.base}/ca/local/crl")

    # ---- judgement

    TABLES = ("accounts", "orders", "authorizations", "certificates",
              "audit", "loops", "limit_stamps")

    BUSY = ("SELECT (SELECT count(*) FROM orders WHERE status = 'processing')"
            " + (SELECT count(*) FROM authorizations WHERE lease IS NOT NULL)"
            " + (SELECT count(*) FROM loops WHERE lease_until IS NOT NULL)")

    def rest(self):
        """What the checker says when nothing is under way any more."""
        query = self.server.store.query
        for client in self.clients:
            client.http.close()
        wait_for(lambda: int(query(self.BUSY)[0][0]) == 0, PATIENCE,
                 "all work to end", 0.1)
        metrics = {}

        def is_idle():
            metrics.update(self.server.metrics())
            return metrics.get("certloop_store_depth", 0) == 0 and \
                metrics.get("certloop_redis_in_flight", 0) == 0
        wait_for(is_idle, PATIENCE, "an idle server")
        return checker.check(checker.Facts(
            events=self.events, tables=self.tables(),
            metrics=[] if self.ends else [metrics]))

    def tables(self):
        store = self.server.store
        if store.engine == "sqlite":
            uri = f"file:{store.path}?mode=ro"
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
                db.row_factory = sqlite3.Row
                return {t: [dict(r) for r in db.execute(f"SELECT * FROM {t}")]
                        for t in self.TABLES}
        rows = store.cluster.psql(" UNION ALL ".join(
            f"SELECT '{t} ' || row_to_json(x) FROM {t} x"
            for t in self.TABLES), store.name).splitlines()
        return {t: checker.parsed_rows(
            row.partition(" ")[2] for row in rows
            if row.startswith(t + " ")) for t in self.TABLES}

    def stray_files(self):
        return stray_files(self.server.directory) + \
            stray_files(self.folder / "asked")
