# SPDX-License-Identifier: ISC
"""Redis, HAProxy and replicas of certloopd, each started by the test."""

import datetime
import re
import selectors
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

from cryptography import x509 as cx509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

import servers
import web
import x509
from acme import Client
from servers import LOCALHOST, free_port, wait_for


REPLICAS = 3

# Where replicas of a test without a balancer say that they are.
PUBLIC_URL = "https://acme.fleet.internal"


def self_signed(name):
    """A server certificate and its key in one PEM, as HAProxy wants it."""
    key = x509.new_key()
    subject = cx509.Name(
        [cx509.NameAttribute(cx509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.utcnow()
    certificate = (
        cx509.CertificateBuilder().subject_name(subject).issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(cx509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(cx509.SubjectAlternativeName(
            [cx509.DNSName(name)]), False)
        .sign(key, hashes.SHA256()))
    return certificate.public_bytes(Encoding.PEM) + x509.key_pem(key)


class Redis:
    """A redis-server of the test's own: one TCP port; it writes a dump only
    when it is asked to, and reads it at each start."""

    def __init__(self, directory, *options):
        self.directory = Path(directory)
        self.options = options
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.address = f"{LOCALHOST}:{self.port}"
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", LOCALHOST,
             "--save", "", "--appendonly", "no",
             "--repl-diskless-sync-delay", "0", "--dir",
             str(self.directory), *self.options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.answers, 20, "redis-server")
        return self

    def command(self, *words):
        """The first bytes of the answer."""
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            word = word.encode()
            parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
        with socket.create_connection((LOCALHOST, self.port), 5) as s:
            s.settimeout(5)
            s.sendall(b"".join(parts))
            return s.recv(65536)

    def answers(self):
        try:
            return self.command("PING").startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def do(self, *words):
        answer = self.command(*words)
        assert answer.startswith(b"+OK"), (words, answer)

    def flush(self):
        self.do("FLUSHALL")

    def dump(self):
        self.do("SAVE")

    def follow(self, master):
        """Be its replica, with all that it has."""
        self.do("REPLICAOF", LOCALHOST, str(master.port))
        wait_for(lambda: b"master_link_status:up" in self.command(
            "INFO", "replication"), 30, "a replica of Redis to be in step")

    def promote(self):
        self.do("REPLICAOF", "NO", "ONE")

    def called(self, name):
        """How many times a command was called."""
        info = self.command("INFO", "commandstats").decode()
        found = re.search(rf"cmdstat_{name}:calls=(\d+)", info)
        return int(found.group(1)) if found else 0

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)
            self.process = None

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    remove = kill


class Wire:
    """What one replica takes for Redis: bytes go on to a server, and can be
    cut off, by silence or by refusal, or go to another one."""

    def __init__(self, redis):
        self.redis = redis
        self.mode = "open"
        self.ends = {}      # each socket: its other side
        self.listener = socket.create_server((LOCALHOST, free_port()))
        self.address = "%s:%d" % self.listener.getsockname()
        self.lock = threading.Lock()
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.running = True
        self.thread.start()

    def cut(self, silent=True):
        """Silent: nothing passes any more, in either direction."""
        with self.lock:
            self.mode = "silent" if silent else "refuse"
            if not silent:
                self._drop_all()

    def heal(self, redis=None):
        """Let pass again; what was held back is lost with its connection."""
        with self.lock:
            self.redis = redis or self.redis
            self._drop_all()
            self.mode = "open"

    def _drop_all(self):
        for end in list(self.ends):
            self._drop(end)

    def _drop(self, end):
        for one in (end, self.ends.get(end)):
            if self.ends.pop(one, None) is not None:
                self.selector.unregister(one)
                one.close()

    def _accept(self):
        near = self.listener.accept()[0]
        try:
            if self.mode == "refuse":
                raise OSError
            far = socket.create_connection((LOCALHOST, self.redis.port), 2)
        except OSError:
            near.close()
            return
        for end, other in ((near, far), (far, near)):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.ends[end] = other
            self.selector.register(end, selectors.EVENT_READ)

    def _pass_on(self, end):
        try:
            data = end.recv(1 << 16)
            if not data:
                raise OSError
            if self.mode == "open":
                self.ends[end].sendall(data)
        except OSError:
            self._drop(end)

    def _work(self):
        while self.running:
            for key, _ in self.selector.select(0.2):
                with self.lock:
                    if key.fileobj is self.listener:
                        self._accept()
                    elif key.fileobj in self.ends:
                        self._pass_on(key.fileobj)

    def remove(self):
        self.running = False
        self.thread.join()
        with self.lock:
            self._drop_all()
        self.listener.close()


class HAProxy:
    """The example of contrib/haproxy, with our ports put in: TLS ends at
    the balancer, requests go round and round."""

    EXAMPLE = (Path(__file__).resolve().parents[2] / "contrib" / "haproxy"
               / "haproxy.cfg")

    def __init__(self, directory, backends, pem, retry=True):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.pem = pem
        self.file = self.directory / "haproxy.cfg"
        lines = []
        for line in self.EXAMPLE.read_text().splitlines():
            words = line.split()
            if words[:1] == ["server"]:
                continue
            if not retry and words[:1] == ["retry-on"]:
                continue
            if not retry and words[:1] == ["retries"]:
                line = "    retries 0"
            if words[:1] == ["bind"]:
                line = f"    bind {LOCALHOST}:{self.port} ssl crt {pem}"
            if words[:2] == ["user", "haproxy"] or words[:1] == ["group"] \
                    or words[:1] == ["chroot"]:
                continue
            lines.append(line)
            if words[:2] == ["option", "httpchk"]:
                lines += [f"    server r{i} {LOCALHOST}:{port} check "
                          "inter 200 send-proxy-v2"
                          for i, port in enumerate(backends)]
        self.file.write_text("\n".join(lines) + "\n")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f",
             str(self.file)],
            stdout=open(self.directory / "log", "ab"),
            stderr=subprocess.STDOUT)
        wait_for(self.answers, 20, "haproxy")
        return self

    @property
    def directory_url(self):
        return f"https://localhost:{self.port}/acme/profile/default/directory"

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError((self.directory / "log").read_text())
        try:
            socket.create_connection((LOCALHOST, self.port), 2).close()
            return True
        except OSError:
            return False

    def remove(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)
            self.process = None


class Nginx:
    """The example of contrib/nginx, with our ports put in."""

    EXAMPLE = (Path(__file__).resolve().parents[2] / "contrib" / "nginx"
               / "certloop.conf")

    def __init__(self, directory, backends, pem, source=LOCALHOST):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.pem = pem
        self.file = self.directory / "nginx.conf"
        lines = []
        for line in self.EXAMPLE.read_text().splitlines():
            words = line.split()
            if words[:1] == ["server"] and words[1] != "{":
                continue
            if words[:1] == ["listen"]:
                line = f"    listen {LOCALHOST}:{self.port} ssl;"
            if words[:1] in (["ssl_certificate"], ["ssl_certificate_key"]):
                line = f"    {words[0]} {pem};"
            lines.append(line)
            if words[:1] == ["upstream"]:
                lines += [f"    server {LOCALHOST}:{port};"
                          for port in backends]
            if words[:1] == ["proxy_pass"]:
                lines.append(f"        proxy_bind {source};")
        temp = "".join(
            f"{kind}_temp_path {self.directory}/{kind};\n" for kind in
            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        self.file.write_text(
            f"daemon off;\nmaster_process off;\n"
            f"pid {self.directory}/pid;\nerror_log {self.directory}/log;\n"
            f"events {{}}\nhttp {{\naccess_log off;\n{temp}"
            + "\n".join(lines) + "\n}\n")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [shutil.which("nginx") or "/usr/sbin/nginx", "-c",
             str(self.file), "-p", str(self.directory)],
            stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        wait_for(self.answers, 20, "nginx")
        return self

    directory_url = HAProxy.directory_url
    answers = HAProxy.answers
    remove = HAProxy.remove


class Replica(servers.Certloopd):
    """One of several on one Postgres, behind a balancer or not."""

    def __init__(self, *arguments, public_url=None, redis=None,
                 redis_deadline="1s", backend="memory", proxied=False,
                 **options):
        self.public = public_url
        self.redis = redis
        self.backend = backend
        options["top"] = "replicas = true\n" + options.get("top", "")
        options["limits"] = (options.get("limits") or "") + \
            f"\n  backend = {backend}\n"
        if redis is not None:
            options["extra"] = options.get("extra", "") + \
                f'\nredis {{ address = "{redis.address}"\n' \
                f"  deadline = {redis_deadline} }}\n"
        if proxied == "forwarded":
            options["acme_options"] = (
                "tls = false\n  forwarded = true\n"
                '  trusted_proxies = { "127.0.0.0/31" }')
        elif proxied:
            options["acme_options"] = (
                "tls = false\n  proxy = true\n"
                '  trusted_proxies = { "127.0.0.0/8" }')
        super().__init__(*arguments, **options)
        if public_url is not None:
            self.base = public_url
            self.write_config()

    def share_from(self, first):
        """CA and sealing key of another replica."""
        shutil.copytree(first.data / "ca", self.data / "ca")
        shutil.copy(first.data / "seal.key", self.data / "seal.key")


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
        path = url.removeprefix(PUBLIC_URL)
        fields = {"Host": PUBLIC_URL.split("/")[2], **(headers or {})}
        self.last = http.request(
            method, f"https://localhost:{replica.port}{path}", body, fields)
        return self.last

    def get(self, url):
        return self.request("GET", url)


def client_of(members, profile="default", **options):
    return Client(f"{PUBLIC_URL}/acme/profile/{profile}/directory",
                  http=Round(members), **options)


def balance(build, directory, made, redis, store, retry=True,
            with_nginx=False, **options):
    """Start replicas behind HAProxy, each added to made; (HAProxy, they).
    Without retry HAProxy never sends a request twice."""
    pem = directory / "balancer.pem"
    pem.write_bytes(self_signed("localhost"))
    ports = [free_port() for _ in range(REPLICAS)]
    proxy = Nginx(directory / "nginx", ports, pem) if with_nginx else \
        HAProxy(directory / "haproxy", ports, pem, retry)
    made.append(proxy)
    options.setdefault("backend", "redis")
    options.setdefault("limits", servers.Certloopd.NO_LIMITS)
    members = []
    for i, port in enumerate(ports):
        replica = Replica(
            build, directory / f"member{i}", store=store, redis=redis,
            proxied="forwarded" if with_nginx else True,
            public_url=f"https://localhost:{proxy.port}", **options)
        made.append(replica)
        replica.port = port
        replica.write_config()
        if members:
            replica.share_from(members[0])
        else:
            replica.init_ca()
        members.append(replica)
        replica.start()
    proxy.start()
    return proxy, members


class Sentinels:
    """Redis Sentinels that agree by majority on who is the master of the
    name certloop, and make a replica of it the next one when it is gone."""

    NAME = "certloop"

    def __init__(self, directory, master, n=3):
        self.servers = []
        for i in range(n):
            folder = Path(directory) / f"sentinel{i}"
            folder.mkdir(parents=True)
            port = free_port()
            (folder / "conf").write_text(
                f"port {port}\nbind {LOCALHOST}\ndir {folder}\n"
                f"sentinel monitor {self.NAME} {LOCALHOST} {master.port} "
                f"{n // 2 + 1}\n"
                f"sentinel down-after-milliseconds {self.NAME} 1000\n"
                f"sentinel failover-timeout {self.NAME} 5000\n")
            self.servers.append((port, subprocess.Popen(
                [*servers.WITH_US, "redis-server", str(folder / "conf"),
                 "--sentinel"], stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL)))

    @property
    def addresses(self):
        return [f"{LOCALHOST}:{port}" for port, _ in self.servers]

    def ask(self, i, *words):
        one = Redis.__new__(Redis)
        one.port = self.servers[i][0]
        return one.command("SENTINEL", *words)

    def wait_agreed(self):
        """Until each knows the others and a replica."""
        def knows(i):
            text = self.ask(i, "MASTER", self.NAME).decode()
            return f"num-other-sentinels\r\n$1\r\n{len(self.servers) - 1}" \
                in text and "num-slaves\r\n$1\r\n1" in text
        for i in range(len(self.servers)):
            wait_for(lambda i=i: self.answers(i) and knows(i), 60,
                     "the Sentinels to know each other")

    def answers(self, i):
        try:
            self.ask(i, "MASTERS")
            return True
        except OSError:
            return False

    def remove(self):
        for _, process in self.servers:
            process.kill()
            process.wait(20)
