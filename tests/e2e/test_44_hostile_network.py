# SPDX-License-Identifier: ISC
"""A hostile network: what validations connect to and ask lies, drips, hangs,
floods, and points where nobody may go.

Cases of a group are validated all at once, as that is the load that they are
to be borne under; each has a test that looks at what became of it. What holds
for a group as a whole has tests of its own: nobody was connected to who must
not be, no error tells what it must not, descriptors and memory come back,
others were served meanwhile, and no turn of the loop took longer than 10 ms
of processor time (a test must not fail because a machine is busy).
"""

import json
import os
import ssl
import subprocess
import threading
import time
from pathlib import Path

import dns.flags
import dns.rrset
import hostile
import pytest
import servers
import x509
from challenges import ACME_IDENTIFIER, key_authorization, txt_value
from cryptography import x509 as cx509
from cryptography.hazmat.primitives.asymmetric import ec
from hostile import (SECRET, after_hello, alert, for_ever, hang, http, page,
                     record, redirect, slowly, tls)
from servers import LOCALHOST, free_port, wait_for

# Seconds of processor time, a bucket of the histogram; sanitizers make all of
# it three to five times as long.
TURN_MAX, TURN_MAX_SANITIZED = "0.01", "0.05"
TIMEOUTS = {            # of validations; peers hang for two minutes
    "": "2s",
    "slow": "20s",      # where time does not matter, or a machine is starved
}
ZONE = "hostile.example"
SIGNED = "signed.example"


# ---- the world

class World:
    """One certloopd, and those who wish it ill."""

    def __init__(self, build, folder):
        self.folder = folder
        self.ns = hostile.NameServer()
        self.lossy = hostile.NameServer()   # its TCP streams break
        self.signed = hostile.SignedZone(self.ns, SIGNED)
        anchors = folder / "anchors"
        anchors.write_text(self.signed.anchor())
        self.listeners = hostile.Listeners()
        self.http_port, self.https_port, self.tls_port = (
            free_port(), free_port(), free_port())
        ports = (self.http_port, self.https_port, self.tls_port)
        self.tripwires = hostile.Tripwires(
            self.listeners, [LOCALHOST, "127.0.0.9", "127.4.0.1", "::1"],
            ports)
        self.closed_port = free_port()
        self.naddresses = 0
        self.nnames = 0
        self.kept = []
        self.gates = {}
        self.over = threading.Event()   # peers may stop being silent
        self.files = hostile.make_certificate(folder / "any", [])
        honest, lossy = self.ns.resolver(), self.lossy.resolver()
        anchored = f'trust_anchors = "{anchors}"'
        common = f"""
  issuer = local
  auth_mode = challenge
  validation_allow = {{ "{hostile.NETWORK}" }}
  validation_deny = {{ "203.0.113.0/24" }}
  http_port = {self.http_port}
  https_port = {self.https_port}
  tls_port = {self.tls_port}
"""
        profiles = "".join(f"""
profile {name}{slow} {{ {common}
  validation_timeout = {timeout}
  resolvers = {{ "{resolver}" }}
  {more}
}}
""" for slow, timeout in TIMEOUTS.items() for name, resolver, more in (
            ("default", honest, ""), ("caa", honest, "caa = enforce"),
            ("lossy", lossy, ""), ("lossycaa", lossy, "caa = enforce"),
            ("signed", honest, anchored),
            ("signedcaa", honest, "caa = enforce\n" + anchored)))
        self.server = servers.Certloopd(
            build, folder / "server", profiles=profiles + """
profile trusts {
  issuer = local
  auth_mode = trust_authenticated
  open = true
}
""", limits=servers.Certloopd.NO_LIMITS + """
  challenge_response_per_challenge = 0
  failed_validation_per_name = 0
""", top='caa_identities = { "ca.example" }', environment={
                "ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=1:"
                                "thread_local_quarantine_size_kb=64:"
                                "malloc_context_size=3"})
        self.server.start()

    def address(self):
        self.naddresses += 1
        return f"127.3.{self.naddresses // 250}.{1 + self.naddresses % 250}"

    def host(self, script=None, port=None, label="hop"):
        """A name with an address of its own, and who listens there."""
        self.nnames += 1
        name = f"{label}{self.nnames}.{ZONE}"
        address = self.address()
        self.ns.put(name, "A", address)
        if script:
            self.listeners.add(address, port or self.http_port, script)
        return name

    def url(self, script, path="/hop"):
        """Of a web server with that script."""
        return f"http://{self.host(script)}:{self.http_port}{path}"

    def https(self, script):
        return (f"https://{self.host(script, self.https_port)}"
                f":{self.https_port}/hop")

    def fds(self):
        """Descriptors of the server, without clients and name servers."""
        others = set()
        for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
            others.add(line.split()[9])
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            words = line.split()
            here, there = (int(w.rpartition(":")[2], 16) for w in words[1:3])
            if there in (self.ns.port, self.lossy.port) or (
                    here == self.server.port and there):
                others.add(words[9])
        count = 0
        for fd in Path(f"/proc/{self.server.pid}/fd").iterdir():
            try:
                target = os.readlink(fd)
            except OSError:
                continue
            count += target.removeprefix("socket:[")[:-1] not in others
        return count

    def close(self):
        self.over.set()
        self.listeners.close()
        self.ns.close()
        self.lossy.close()
        for s in self.kept:
            s.close()


@pytest.fixture(scope="module")
def world(build, tmp_path_factory):
    made = World(build, tmp_path_factory.mktemp("hostile"))
    yield made
    made.server.remove()
    made.close()


class Case:
    """set_up(world, case) prepares the other end. kind: what type of problem
    is to come of it (or several types), None if it is to be valid; says:
    part of the detail, which names the phase."""

    def __init__(self, slug, set_up, kind, says="", challenge="http-01",
                 profile="default", name=None):
        self.slug = slug
        self.set_up = set_up
        self.kinds = (kind,) if isinstance(kind, str) or kind is None \
            else kind
        self.says = says
        self.challenge = challenge
        # what ends by itself may take its time
        self.slow = "slow" if self.kinds[0] in (None, "unauthorized") else ""
        self.profile = profile
        zone = SIGNED if profile.startswith("signed") else ZONE
        self.name = name or f"{slug}.{zone}"

    def begin(self, world, client):
        """An order, and what is behind its name."""
        self.address = world.address()
        self.ns = world.lossy if self.profile.startswith("lossy") \
            else world.ns
        if self.profile.startswith("signed"):
            world.signed.put(self.name, "A", self.address)
        else:
            self.ns.put(self.name, "A", self.address)
        self.client = client
        self.order = client.order([self.name])
        self.url = self.order["authorizations"][0]
        authz = client.post(self.url).json
        challenge = [c for c in authz["challenges"]
                     if c["type"] == self.challenge][0]
        self.challenge_url, self.token = challenge["url"], challenge["token"]
        self.text = key_authorization(client, self.token)
        self.txt = txt_value(self.text)
        self.set_up(world, self)

    def look(self):
        """Is it over?"""
        self.authz = self.client.post(self.url).json
        return self.authz["status"] != "pending"

    def error(self):
        return self.authz["challenges"][0].get("error", {})

    def kind(self):
        return self.error().get("type", "").rpartition(":")[2] or None


class Group:
    """Cases validated at once, and what the server was like meanwhile."""

    def __init__(self, world, cases):
        self.cases = {c.slug: c for c in cases}
        assert len(self.cases) == len(cases)
        self.world = world
        self.server = server = world.server
        clients = {}
        for case in cases:
            kind = case.profile + case.slow, case.challenge
            if kind not in clients:
                clients[kind] = server.client(profile=kind[0])
                clients[kind].register()
            case.begin(world, clients[kind])
        self.served = 0
        self.stop = threading.Event()
        others = threading.Thread(target=self._others)
        self.fds_before = world.fds()
        before = server.metrics()
        others.start()
        for case in cases:
            case.client.post(case.challenge_url, {})
        left = list(cases)

        def all_over():
            left[:] = [c for c in left if not c.look()]
            return not left
        wait_for(all_over, 90, "the end of all validations", 0.3)
        self.stop.set()
        others.join()
        after = server.metrics()
        self._figure(before, after)

    def _others(self):
        """What clients do who have nothing to do with all this."""
        client = self.server.client(profile="trusts")
        while not self.stop.is_set() or not self.served:
            client.obtain([f"n{self.served}.example.org"])
            self.served += 1
            time.sleep(0.05)
        client.http.close()

    def _figure(self, before, after):
        family = "certloop_loop_turn_cpu_seconds"

        def grown(series):
            return int(after[series] - before[series])
        self.turns = grown(f"{family}_count")
        most = TURN_MAX_SANITIZED if self.server.is_sanitized() else TURN_MAX
        self.slow_turns = self.turns - grown(
            f'{family}_bucket{{le="{most}"}}')
        self.longest = int(after["certloop_loop_longest_turn_microseconds"])


# ---- what listens

def web(make):
    """make(world, case): the script of the case's web server."""
    def set_up(world, case):
        world.listeners.add(case.address, world.http_port, make(world, case))
    return set_up


def says(*parts, then="close"):
    return web(lambda w, c: http(*parts, then=then))


def goes(location):
    """Redirect to what location(world, case) says."""
    return web(lambda w, c: http(redirect(location(w, c))))


def at_once(script):
    return web(lambda w, c: script)


def closes(s):
    s.close()


def resets(s):
    hostile.reset(s)


def no_room(port):
    """SYNs are never answered."""
    def set_up(world, case):
        world.kept += hostile.fill_backlog(case.address,
                                           getattr(world, port))
    return set_up


def nobody(world, case):
    pass


OK = b"HTTP/1.1 200 OK\r\n"
BIG = SECRET.encode() * 2000


def right(w, c):
    return http(page(c.text.encode()))


def loop_of_two(w, c):
    other = w.url(lambda s: back(s))
    back = http(redirect(f"http://{c.name}:{w.http_port}/x"))
    return http(redirect(other))


def chain(hops):
    """So many redirects, and then what is right."""
    def make(w, c):
        script = http(page(c.text.encode()))
        for _ in range(hops):
            script = http(redirect(w.url(script)))
        return script
    return make


LATE = "the time of the validation was over"

HTTP = [
    Case("right", web(right), None),
    # connections
    Case("nobody", nobody, "connection", "while connecting to {name}"),
    Case("no-room", no_room("http_port"), "connection",
         "while connecting to {name}: " + LATE),
    Case("silent", at_once(hang), "connection",
         "while waiting for the answer of {name}: " + LATE),
    Case("closes", at_once(closes), "connection",
         "while waiting for the answer of {name}"),
    Case("resets", at_once(resets), "connection", "while "),
    Case("closes-asked", says(), "connection",
         "while waiting for the answer of {name}"),
    Case("resets-asked", says(then="reset"), "connection",
         "while waiting for the answer of {name}"),
    # headers
    Case("cut-status", says(b"HTTP/1."), "connection",
         "while waiting for the answer of {name}"),
    Case("cut-header", says(OK + b"X-Secret: " + SECRET.encode()),
         "connection", "while waiting for the answer of {name}"),
    Case("hang-header", says(OK + b"X-Secret: 1\r\n", then="hang"),
         "connection", "while waiting for the answer of {name}: " + LATE),
    Case("drip-header", says(OK, slowly(b"X: y\r\n" * 1000, 0.05)),
         "connection", "while waiting for the answer of {name}: " + LATE),
    Case("giant-header", says(OK, for_ever(b"X-Secret: y\r\n" * 500)),
         "incorrectResponse", "while reading the header from {name}: it is "
         "too large"),
    Case("giant-line", says(OK + b"X: ", for_ever(BIG)),
         ("incorrectResponse", "connection"), "while "),
    Case("giant-status", says(b"HTTP/1.1 200 ", for_ever(BIG)),
         ("incorrectResponse", "connection"), "while "),
    Case("for-ever-100", says(for_ever(b"HTTP/1.1 100 Continue\r\n\r\n"
                                       * 100)),
         ("incorrectResponse", "connection"), "while "),
    Case("upgrade", says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x"
                         b"\r\nConnection: Upgrade\r\n\r\n", then="hang"),
         ("incorrectResponse", "connection"), "while "),
    Case("bad-length", says(OK + b"Content-Length: -1\r\n\r\n" + BIG),
         ("incorrectResponse", "connection"), "while "),
    Case("banner", says(b"SSH-2.0-" + SECRET.encode() + b"\r\n"),
         "connection", "while waiting for the answer of {name}"),
    Case("tls-banner", says(alert(2, 40)), "connection",
         "while waiting for the answer of {name}"),
    Case("http09", web(lambda w, c: http(c.text.encode())), "connection",
         "while waiting for the answer of {name}"),
    Case("http2", says(b"\0\0\x12\4\0\0\0\0\0" * 20), "connection",
         "while waiting for the answer of {name}"),
    # bodies
    Case("cut-body", says(OK + b"Content-Length: 900\r\n\r\n"
                          + SECRET.encode()),
         "connection", "while reading the body from {name}"),
    Case("hang-body", says(OK + b"Content-Length: 900\r\n\r\n"
                           + SECRET.encode(), then="hang"),
         "connection", "while reading the body from {name}: " + LATE),
    Case("reset-body", says(OK + b"Content-Length: 900\r\n\r\n"
                            + SECRET.encode(), then="reset"),
         "connection", "while "),
    Case("drip-body", says(OK + b"Content-Length: 9000\r\n\r\n",
                           slowly(BIG, 0.05)),
         "connection", "while reading the body from {name}: " + LATE),
    Case("giant-body", says(OK + b"Content-Length: 99999999999\r\n\r\n",
                            for_ever(BIG)),
         "incorrectResponse",
         "while reading the body from {name}: it is too large"),
    Case("giant-chunks", says(OK + b"Transfer-Encoding: chunked\r\n\r\n",
                              for_ever(b"1000\r\n" + b"x" * 4096 + b"\r\n")),
         "incorrectResponse",
         "while reading the body from {name}: it is too large"),
    Case("giant-endless", says(OK + b"\r\n", for_ever(BIG)),
         "incorrectResponse",
         "while reading the body from {name}: it is too large"),
    Case("giant-spaces",
         web(lambda w, c: http(page(c.text.encode() + b" " * 20000))),
         "incorrectResponse",
         "while reading the body from {name}: it is too large"),
    Case("cut-chunk", says(OK + b"Transfer-Encoding: chunked\r\n\r\nff\r\n"
                           + SECRET.encode()),
         "connection", "while reading the body from {name}"),
    Case("bad-chunk", says(OK + b"Transfer-Encoding: chunked\r\n\r\n"
                           b"ffffffffffffffffff\r\n" + BIG),
         "connection", "while reading the body from {name}"),
    Case("chunk-extension", says(
        OK + b"Transfer-Encoding: chunked\r\n\r\n5;", for_ever(BIG)),
         ("connection", "incorrectResponse"),
         "while reading the body from {name}"),
    Case("trailers", says(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n",
                          for_ever(b"X-Secret: y\r\n" * 500)),
         ("connection", "incorrectResponse"), "while reading the "),
    Case("wrong", says(page(SECRET.encode())), "incorrectResponse",
         "while reading the body from {name}"),
    Case("other-thumbprint",
         web(lambda w, c: http(page(c.text.encode()[:-1] + b"_"))),
         "incorrectResponse", "while reading the body from {name}"),
    Case("prefixed", web(lambda w, c: http(page(b"\n" + c.text.encode()))),
         "incorrectResponse", "while reading the body from {name}"),
    Case("nul", web(lambda w, c: http(page(c.text.encode() + b"\0"))),
         "incorrectResponse", "while reading the body from {name}"),
    Case("utf-16", web(lambda w, c: http(page(c.text.encode("utf-16")))),
         "incorrectResponse", "while reading the body from {name}"),
    *[Case(f"status-{n}", web(lambda w, c, n=n: http(page(
        b"" if n in (204, 304) else c.text.encode(), f"{n} x",
        [b"WWW-Authenticate: Basic realm=" + SECRET.encode()]))),
        "incorrectResponse", f"its status is {n}, not 200")
      for n in (201, 204, 206, 304, 401, 407, 404, 500)],
]


# ---- redirects

def slow_dhe(world):
    """Parameters of a Diffie-Hellman key agreement that takes the client a
    large part of a second."""
    path = world.folder / "dh.pem"
    if not path.exists():
        subprocess.run(
            ["openssl", "genpkey", "-genparam", "-algorithm", "DH",
             "-pkeyopt", "group:ffdhe8192", "-out", path], check=True,
            capture_output=True)
    return path


def any_tls(world, **how):
    return hostile.server_context(world.files, protocols=(), **how)


def https_page(w, c, gate=None):
    def inside(read, write):
        read()
        write(page(c.text.encode()))
    return tls(any_tls(w), inside=inside, gate=gate)


REDIRECTS = [
    Case("ten-hops", web(chain(10)), None),
    Case("eleven-hops", web(chain(11)), "connection",
         "while following redirect 10 of {name}: there are too many"),
    Case("loop", goes(lambda w, c: "/again"), "connection",
         "while following redirect 10 of {name}"),
    Case("ping-pong", web(loop_of_two), "connection",
         "while following redirect 10 of {name}"),
    Case("no-location", says(page(BIG[:100], "302 Found")),
         "incorrectResponse", "its status is 302, not 200"),
    Case("to-nobody", goes(lambda w, c: f"http://{w.host()}:{w.http_port}/"),
         "connection", "while connecting to redirect 1 of {name}"),
    Case("to-nxdomain", goes(lambda w, c: "http://nx.hostile.example:"
                             f"{w.http_port}/"),
         "dns", "while looking up the address of redirect 1 of {name}"),
    Case("to-silence", goes(lambda w, c: w.url(hang)), "connection",
         "while waiting for the answer of redirect 1 of {name}: " + LATE),
    Case("to-giant", goes(lambda w, c: w.url(http(OK + b"\r\n",
                                                  for_ever(BIG)))),
         "incorrectResponse", "while reading the body from redirect 1 of"),
    Case("to-wrong", goes(lambda w, c: w.url(http(page(BIG[:100])))),
         "incorrectResponse", "while reading the body from redirect 1 of"),
    Case("to-port", goes(lambda w, c: f"http://{c.name}:{w.closed_port}/"),
         "unauthorized", "while connecting to redirect 1 of {name}: this "
         "server does not connect to that port"),
    Case("to-tls-port", goes(lambda w, c: f"http://{c.name}:{w.tls_port}/"),
         "unauthorized", "does not connect to that port"),
    *[Case(f"scheme-{i}", goes(lambda w, c, t=t: t),
           "incorrectResponse", "while going to redirect 1 of {name}")
      for i, t in enumerate((
          "ftp://hostile.example/", "file:///etc/passwd",
          "gopher://hostile.example/", "dict://127.0.0.9:11211/stats",
          "data:text/plain," + SECRET, "javascript:alert(1)",
          "ldap://127.0.0.9/",
          "http://user:word@hop.hostile.example/",
          "http://" + "x" * 5000 + "/"))],
    # the library that reads URLs takes etc for the host
    Case("no-host", goes(lambda w, c: "http:///etc/passwd"),
         ("incorrectResponse", "dns"), "redirect 1 of {name}"),
    Case("to-self-port", goes(lambda w, c: f"http://{c.name}:99999/"),
         "incorrectResponse", "while going to redirect 1 of {name}"),
    Case("to-port-0", goes(lambda w, c: f"http://{c.name}:0/"),
         "incorrectResponse", "while going to redirect 1 of {name}"),
    # over TLS, where any certificate will do
    Case("to-tls", goes(lambda w, c: w.https(https_page(w, c))), None),
    Case("to-plain", goes(lambda w, c: w.https(http(page(BIG[:100])))),
         "tls", "while shaking hands with redirect 1 of {name}"),
    Case("to-tls-silence", goes(lambda w, c: w.https(hang)), "tls",
         "while shaking hands with redirect 1 of {name}: " + LATE),
    Case("to-tls-alert", goes(lambda w, c: w.https(after_hello(
        alert(2, 40)))), "tls",
         "while shaking hands with redirect 1 of {name}"),
    Case("to-tls-close", goes(lambda w, c: w.https(after_hello(then="x"))),
         "tls", "while shaking hands with redirect 1 of {name}"),
    Case("to-tls-drip", goes(lambda w, c: w.https(tls(
        any_tls(w), piece=1, pause=0.05))), "tls",
         "while shaking hands with redirect 1 of {name}: " + LATE),
    Case("to-tls-garbage", goes(lambda w, c: w.https(after_hello(
        for_ever(record(22, b"\0\0\0\0"))))), "tls",
         "while shaking hands with redirect 1 of {name}"),
    Case("to-tls-empty", goes(lambda w, c: w.https(after_hello(
        for_ever(record(22, b"") * 1000)))), "tls",
         "while shaking hands with redirect 1 of {name}"),
    Case("to-giant-key", goes(lambda w, c: w.https(tls(
        hostile.server_context(hostile.giant_rsa_files(
            w.folder / c.slug, c.name, c.text), protocols=())))), "tls",
        "while shaking hands with redirect 1 of {name}"),
    Case("to-slow-dhe", goes(lambda w, c: w.https(dhe_script(w))), "tls",
         "while shaking hands with redirect 1 of {name}"),
]


def dhe_script(world):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*rsa_files(world))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0")
    context.load_dh_params(slow_dhe(world))
    return tls(context)


def rsa_files(world):
    return hostile.make_certificate(world.folder / "rsa", [],
                                    key=x509.rsa_key(2048))


# Where no redirect may lead, in all the ways it can be written; {port} is
# that of tripwires.
FORBIDDEN = [
    "127.0.0.9", "127.0.0.9.", "127.9", "127.1", "0x7f.9", "0x7f000009",
    "0X7F.0.0.9", "0177.0.0.9", "0177.0.0.011", "017700000011",
    "2130706441", "00000000177.0.0.9", "127.0.9", "127.0.0x0.9",
    "127.4.0.1", "[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[::ffff:127.0.0.9]",
    "[::ffff:7f00:9]", "[0:0:0:0:0:ffff:127.0.0.9]", "[::127.0.0.9]",
    "[::ffff:0:127.0.0.9]", "[64:ff9b::7f00:9]", "[64:ff9b::127.0.0.9]",
    "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::7f00:9]", "[2002:7f00:9::1]",
    "[2001:0:7f00:9::1]", "[64:ff9b::203.0.113.7]", "203.0.113.7",
    "0.0.0.0", "0", "0x0", "[fe80::1]", "[fec0::1]", "[ff02::1]",
    "[fd00:ec2::254]", "[fd20:ce::254]", "169.254.169.254", "2852039166",
    "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "100.100.100.200",
    "168.63.129.16", "192.0.0.192", "224.0.0.1", "240.0.0.1",
    "255.255.255.255", "localhost", "LOCALHOST", "localhost.",
    "inner.localhost", "loop.hostile.example", "loop6.hostile.example",
    "meta.hostile.example", "mapped.hostile.example",
    "nat64.hostile.example", "zero.hostile.example",
    "alias.hostile.example", "denied.hostile.example",
]

# And such that not every reader of URLs takes to mean the same.
CONFUSED = [
    "http://[fe80::1%25lo]:{port}/", "http://127%2e0%2e0%2e9:{port}/",
    "http://127.0.0.9%00.hostile.example:{port}/",
    "http://hop@127.0.0.9:{port}/", "http://hop:80@127.0.0.9:{port}/",
    "http://127.0.0.9:{port}#@hop.hostile.example/",
    "http://127.0.0.9:{port}\\@hop.hostile.example/",
    "http:\\\\127.0.0.9:{port}/", "http:/127.0.0.9:{port}/",
    "http:///127.0.0.9:{port}/", "http://127.0.0.9:{port}:80/",
    "//127.0.0.9:{port}/", "HTTP://127.0.0.9:{port}/",
    "http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2468:{port}/",
    "http://127\u30020\u30020\u30029:{port}/",
    "http://hop.hostile.example @127.0.0.9:{port}/",
    "http://127.0.0.9:{port}\t/", "http://1.1.1.1 &@127.0.0.9:{port}/",
    "https://127.0.0.9:{tls}/", "https://[::1]:{tls}/",
    "http://256.0.0.9:{port}/", "http://4294967305:{port}/",
    "http://127.0.0.9.nip.hostile.example:{port}/",
]


def leads_to(target):
    def make(w, c):
        return target.format(port=w.http_port, tls=w.https_port)
    return goes(make)


def forbidden_names(world, case):
    for name, kind, value in (
            ("loop", "A", "127.0.0.9"), ("loop6", "AAAA", "::1"),
            ("meta", "A", "169.254.169.254"), ("zero", "A", "0.0.0.0"),
            ("mapped", "AAAA", "::ffff:127.0.0.9"),
            ("nat64", "AAAA", "64:ff9b::7f00:9"),
            ("alias", "CNAME", "localhost."),
            ("denied", "A", "203.0.113.7"),
            ("127.0.0.9.nip", "A", "127.0.0.9")):
        world.ns.records.pop((f"{name}.{ZONE}", "A"), None)
        world.ns.put(f"{name}.{ZONE}", kind, value)


def with_names(set_up):
    def both(w, c):
        forbidden_names(w, c)
        set_up(w, c)
    return both


FORBIDDEN_CASES = [
    *[Case(f"forbidden-{i}", with_names(
        leads_to("http://" + host + ":{port}/")), "unauthorized",
        "while connecting to redirect 1 of {name}: this server does not "
        "connect to an address like that")
      for i, host in enumerate(FORBIDDEN)
      if host != "alias.hostile.example"],
    # the server that is asked for localhost gives no address
    Case("forbidden-alias", with_names(
        leads_to("http://alias.hostile.example:{port}/")),
        ("dns", "unauthorized"), "redirect 1 of {name}"),
    *[Case(f"confused-{i}", with_names(leads_to(target)),
           ("incorrectResponse", "unauthorized", "dns"),
           "redirect 1 of {name}")
      for i, target in enumerate(CONFUSED)],
    # identifiers themselves
    *[Case(f"identifier-{kind}-{i}", with_names(nobody), "unauthorized",
           "while connecting to", kind, name=name)
      for kind in ("http-01", "tls-alpn-01")
      for i, name in enumerate((
          "127.0.0.9", "::1", "169.254.169.254", "64:ff9b::7f00:9",
          "loop.hostile.example", "loop6.hostile.example",
          "mapped.hostile.example", "zero.hostile.example",
          "denied.hostile.example"))],
]


# ---- tls-alpn-01

def sans(*names):
    return cx509.SubjectAlternativeName([x509.san(n) for n in names]), False


def plain(c):
    """The extensions of a good certificate."""
    return [sans(c.name), hostile.acme_identifier(c.text)]


def shakes(make_extensions=plain, certificate=None, context=None, **how):
    """A TLS server with such a certificate. Arguments: those of
    hostile.make_certificate, hostile.server_context and hostile.tls."""
    def set_up(w, c):
        more = {k: v(w, c) if callable(v) else v
                for k, v in (certificate or {}).items()}
        files = hostile.make_certificate(
            w.folder / c.slug, make_extensions(c), **more)
        w.listeners.add(c.address, w.tls_port, tls(
            hostile.server_context(files, **(context or {})), **how))
    return set_up


def tells(*parts, then="hang"):
    """A TLS server of few words."""
    def set_up(w, c):
        w.listeners.add(c.address, w.tls_port,
                        after_hello(*parts, then=then))
    return set_up


def raw_identifier(value, critical=True):
    return cx509.UnrecognizedExtension(ACME_IDENTIFIER, value), critical


def with_extensions(*extensions):
    return lambda c: plain(c) + [
        e(c) if callable(e) else e for e in extensions]


def replaced(identifier):
    return lambda c: [sans(c.name), identifier]


def blob(size):
    """An extension that means nothing."""
    return cx509.UnrecognizedExtension(
        cx509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\0" * size), False


def many_certificates(n):
    """Of others, to send along."""
    def make(w, c):
        files = hostile.make_certificate(w.folder / "more", [])
        return [files[0].read_bytes()] * n
    return make


def hello(**how):
    return hostile.server_hello(**how)


def echo_hello(**how):
    """A ServerHello that repeats the session id of the client."""
    def set_up(w, c):
        def script(s):
            session = hostile.read_hello(s)
            for _ in range(2):
                s.sendall(hostile.retry_hello() if how.get("retry")
                          else hostile.server_hello(session=session, **how))
            hang(s)
        w.listeners.add(c.address, w.tls_port, script)
    return set_up


OLD = {"newest": ssl.TLSVersion.TLSv1_1, "oldest": ssl.TLSVersion.TLSv1,
       "ciphers": "DEFAULT:@SECLEVEL=0"}
SHAKING = "while shaking hands with {name}"
JUDGING = "while judging the certificate of {name}: "
NAMES = JUDGING + "the certificate has other names than this one"
T = "tls-alpn-01"
D = "dns-01"

TLS = [
    Case("alpn-right", shakes(), None, "", T),
    Case("alpn-right-12", shakes(
        context={"newest": ssl.TLSVersion.TLSv1_2}), None, "", T),
    # what RFC 8737 has nothing against
    Case("alpn-expired", shakes(certificate={"since": -9, "until": -2}),
         None, "", T),
    Case("alpn-not-yet", shakes(certificate={"since": 2, "until": 9}),
         None, "", T),
    Case("alpn-upper", shakes(lambda c: [
        sans(c.name.upper()), hostile.acme_identifier(c.text)]), None, "", T),
    Case("alpn-bytewise", shakes(piece=1), None, "", T),
    Case("alpn-extras", shakes(with_extensions(blob(60000))), None, "", T),
    # connections
    Case("alpn-nobody", nobody, "connection",
         "while connecting to {name}", T),
    Case("alpn-no-room", no_room("tls_port"), "connection",
         "while connecting to {name}: " + LATE, T),
    Case("alpn-nxdomain", lambda w, c: w.ns.records.pop((c.name, "A")),
         "dns", "while looking up the address of {name}", T),
    Case("alpn-dns-silent", lambda w, c: w.ns.scripts.update(
        {c.name: lambda ask: w.over.is_set() and ask.nothing(2)}),
        "dns", "while looking up the address of {name}", T),
    # handshakes
    Case("alpn-silent", tells(), "tls", SHAKING + ": " + LATE, T),
    Case("alpn-silent-at-all", lambda w, c: w.listeners.add(
        c.address, w.tls_port, hang), "tls", SHAKING + ": " + LATE, T),
    Case("alpn-closes", tells(then="x"), "tls", SHAKING, T),
    Case("alpn-closes-at-once", lambda w, c: w.listeners.add(
        c.address, w.tls_port, closes), ("tls", "connection"), "while ", T),
    Case("alpn-resets", tells(then="reset"), "tls", SHAKING, T),
    Case("alpn-drip", shakes(piece=1, pause=0.05), "tls",
         SHAKING + ": " + LATE, T),
    Case("alpn-half-hello", tells(hello()[:20]), "tls",
         SHAKING + ": " + LATE, T),
    Case("alpn-plain", tells(page(BIG[:100])), "tls", SHAKING, T),
    Case("alpn-garbage", tells(bytes(range(256)) * 100), "tls", SHAKING, T),
    Case("alpn-alert", tells(alert(2, 40)), "tls",
         SHAKING + ': it sent the alert "handshake failure"', T),
    Case("alpn-alert-0", tells(alert(1, 0)), "tls", SHAKING, T),
    Case("alpn-alert-odd", tells(alert(2, 255)), "tls", SHAKING, T),
    Case("alpn-alert-mid", tells(
        hello(), alert(2, 80)), "tls", SHAKING, T),
    Case("alpn-warnings", tells(for_ever(alert(1, 90) * 100)), "tls",
         SHAKING, T),
    Case("alpn-empty", tells(for_ever(record(22, b"") * 1000)), "tls",
         SHAKING, T),
    Case("alpn-ccs", tells(for_ever(record(20, b"\1") * 1000)), "tls",
         SHAKING, T),
    Case("alpn-hello-requests", tells(for_ever(
        record(22, b"\0\0\0\0" * 1000))), "tls", SHAKING, T),
    Case("alpn-giant-record", tells(
        b"\x16\x03\x03\xff\xff", for_ever(BIG)), "tls", SHAKING, T),
    Case("alpn-giant-message", tells(
        record(22, b"\x02\xff\xff\xff"), for_ever(record(22, b"x" * 16000))),
        "tls", SHAKING, T),
    Case("alpn-ssl3", tells(hello(version=0x0300)), "tls", SHAKING, T),
    Case("alpn-tls11-hello", echo_hello(version=0x0302), "tls", SHAKING, T),
    Case("alpn-tls13-draft", echo_hello(extensions=hostile.extension(
        43, b"\x7f\x1c")), "tls", SHAKING, T),
    Case("alpn-cipher", echo_hello(cipher=0x0005), "tls", SHAKING, T),
    Case("alpn-not-offered", echo_hello(extensions=hostile.alpn_extension(
        b"h2")), "tls", SHAKING, T),
    Case("alpn-retry-twice", echo_hello(retry=True), "tls", SHAKING, T),
    Case("alpn-tls11", shakes(context=OLD), "tls",
         SHAKING + ': it sent the alert "protocol version"', T),
    Case("alpn-none", shakes(context={"protocols": ()}), "tls",
         SHAKING + ": it did not choose the protocol acme-tls/1", T),
    Case("alpn-other", shakes(context={"protocols": ("h2", "http/1.1")}),
         "tls", SHAKING, T),
    Case("alpn-giant-key", lambda w, c: w.listeners.add(
        c.address, w.tls_port, tls(hostile.server_context(
            hostile.giant_rsa_files(w.folder / c.slug, c.name, c.text)))),
        "tls", SHAKING + ": the key of its certificate is too long", T),
    Case("alpn-giant-chain", shakes(
        certificate={"more": many_certificates(900)}), "tls", SHAKING, T),
    Case("alpn-giant-certificate", shakes(with_extensions(blob(200000))),
         "tls", SHAKING, T),
    # certificates
    Case("alpn-two-names", shakes(lambda c: [
        sans(c.name, "b." + c.name), hostile.acme_identifier(c.text)]),
        "incorrectResponse", NAMES, T),
    Case("alpn-name-twice", shakes(lambda c: [
        sans(c.name, c.name), hostile.acme_identifier(c.text)]),
        "incorrectResponse", NAMES, T),
    Case("alpn-other-name", shakes(lambda c: [
        sans("b." + c.name), hostile.acme_identifier(c.text)]),
        "incorrectResponse", NAMES, T),
    Case("alpn-wildcard", shakes(lambda c: [
        sans("*." + ZONE), hostile.acme_identifier(c.text)]),
        "incorrectResponse", NAMES, T),
    Case("alpn-address-too", shakes(lambda c: [
        sans(c.name, c.address), hostile.acme_identifier(c.text)]),
        "incorrectResponse", NAMES, T),
    Case("alpn-mail-too", shakes(lambda c: [
        sans(c.name, cx509.RFC822Name("a@" + c.name)),
        hostile.acme_identifier(c.text)]), "incorrectResponse", NAMES, T),
    Case("alpn-subject-only", shakes(
        lambda c: [hostile.acme_identifier(c.text)],
        {"subject": lambda w, c: c.name}), "incorrectResponse", NAMES, T),
    Case("alpn-no-identifier", shakes(lambda c: [sans(c.name)]),
         "incorrectResponse",
         JUDGING + "the certificate has no acmeIdentifier", T),
    Case("alpn-not-critical", shakes(lambda c: [
        sans(c.name), hostile.acme_identifier(c.text, False)]),
        "incorrectResponse", JUDGING + "the acmeIdentifier is not critical",
        T),
    Case("alpn-wrong-digest", shakes(replaced(
        hostile.acme_identifier(SECRET))), "incorrectResponse",
        JUDGING + "the acmeIdentifier is not the digest", T),
    *[Case(f"alpn-identifier-{i}", shakes(replaced(raw_identifier(value))),
           "incorrectResponse", JUDGING, T)
      for i, value in enumerate((
          b"", b"\x04\x00", b"\x04\x1f" + b"\0" * 31, b"\x04\x21" + b"\0" * 33,
          b"\x04\x20" + b"\0" * 31, b"\x04\x20" + b"\0" * 32 + b"\5\0",
          b"\x24\x22\x04\x20" + b"\0" * 32, b"\x04\x81\x20" + b"\0" * 32,
          b"\x04\x80" + b"\0" * 32 + b"\0\0", b"\0" * 32))],
    Case("alpn-by-a-ca", shakes(certificate={
        "issuer": "A CA", "issuer_key": lambda w, c:
        ec.generate_private_key(ec.SECP256R1())}), "incorrectResponse",
        JUDGING + "the certificate is not self-signed", T),
    Case("alpn-own-name-other-key", shakes(certificate={
        "issuer_key": lambda w, c: ec.generate_private_key(
            ec.SECP256R1())}), "incorrectResponse",
        JUDGING + "the certificate is not self-signed", T),
    Case("alpn-other-issuer-own-key", shakes(certificate={
        "issuer": "Somebody else"}), "incorrectResponse",
        JUDGING + "the certificate is not self-signed", T),
]


# ---- DNS

def lies(script, kind=None):
    """The name server follows script(world, case, ask) for this name (for
    dns-01: for the record)."""
    def set_up(w, c):
        if c.challenge == "dns-01":
            key = f"_acme-challenge.{c.name}"
        else:
            key = c.name if kind is None else (c.name, kind)
            w.listeners.add(c.address, w.http_port,
                            http(page(c.text.encode())))
        c.ns.scripts[key] = lambda ask: script(w, c, ask)
    return set_up


def address_or(ask, *values):
    """These addresses to those who ask for A."""
    if ask.kind == "A":
        ask.answer((ask.name, "A", *values))
    else:
        ask.nothing()


def silent(w, c, ask):
    if w.over.is_set():
        ask.nothing(2)


def wrong_id(w, c, ask):
    wire = ask.wire(ask.message(0, (ask.name, "A", c.address)))
    for i in range(1, 200):
        ask.send(((wire[0] << 8 | wire[1]) ^ i).to_bytes(2, "big")
                 + wire[2:])
    silent(w, c, ask)


def wrong_source(w, c, ask):
    """What is right, from somewhere else."""
    if ask.sock is None and not w.over.is_set():
        with hostile.socket.socket(hostile.socket.AF_INET,
                                   hostile.socket.SOCK_DGRAM) as s:
            s.bind(("127.0.0.1", 0))
            m = ask.message(0, (ask.name, "A", c.address))
            ask.send_from(s, m.to_wire())
    silent(w, c, ask)


def other_question(w, c, ask):
    m = ask.message(0, (ask.name, "A", c.address))
    m.question = [dns.rrset.RRset(
        hostile.dns.name.from_text("other.example"), 1,
        ask.question.rdtype)]
    ask.send(m.to_wire())


def no_question(w, c, ask):
    m = ask.message(0, (ask.name, "A", c.address))
    m.question = []
    ask.send(m.to_wire())


def other_name(w, c, ask):
    ask.answer(("other.example", "A", c.address))


def rcode(n):
    return lambda w, c, ask: ask.answer(rcode=n)


def answer_with_rcode(n):
    """An answer, and in the same breath that it is none."""
    return lambda w, c, ask: ask.answer((ask.name, "A", c.address), rcode=n)


def header(counts, flags=0x8180):
    def script(w, c, ask):
        wire = ask.query.to_wire()
        end = 12 + len(ask.question.name.to_wire()) + 4
        ask.send(wire[:2] + hostile.struct.pack("!HHHHH", flags, *counts)
                 + wire[12:end] + ask.tail)
    return script


def tail(data, answers=1):
    """The question, then these bytes as what follows it."""
    inner = header((1, answers, 0, 0))

    def script(w, c, ask):
        ask.tail = data(c) if callable(data) else data
        inner(w, c, ask)
    return script


def rr(owner, kind, data, size=None):
    return owner + hostile.struct.pack(
        "!HHIH", kind, 1, 0, len(data) if size is None else size) + data


def cnames(n, loop=False):
    """So many, up to what is right, or in a circle."""
    def set_up(w, c):
        name = f"_acme-challenge.{c.name}" if c.challenge == D else c.name
        w.ns.records.pop((name, "A"), None)
        names = [name] + [f"c{i}.{c.name}" for i in range(n)]
        for a, b in zip(names, names[1:] + [name] * loop):
            w.ns.put(a, "CNAME", b + ".")
        if not loop:
            w.ns.put(names[-1], "A", c.address)
            w.ns.put(names[-1], "TXT", f'"{c.txt}"')
        w.listeners.add(c.address, w.http_port, http(page(c.text.encode())))
    return set_up


def truncated(then):
    """Over UDP: ask again over TCP. There: then(world, case, ask)."""
    def script(w, c, ask):
        if ask.sock is None:
            ask.send(ask.truncated())
        else:
            then(w, c, ask)
    return script


def tcp_closes(w, c, ask):
    ask.sock.shutdown(hostile.socket.SHUT_RDWR)


def tcp_hangs(w, c, ask):
    w.over.wait(hostile.PATIENCE)
    ask.sock.close()


def tcp_drips(w, c, ask):
    wire = ask.wire(ask.message(0, (ask.name, "A", c.address)))
    ask.sock.sendall(hostile.struct.pack("!H", len(wire)))
    for i in range(len(wire)):
        ask.sock.sendall(wire[i:i + 1])
        if w.over.wait(0.3):
            return


def tcp_lies(w, c, ask):
    """A length, and never so many bytes."""
    ask.sock.sendall(b"\xff\xff" + b"\0" * 100)
    tcp_hangs(w, c, ask)


def texts(make):
    return lambda w, c, ask: ask.answer((ask.name, "TXT", *make(c)))


def turns_inside(w, c, answer):
    """An allowed address until somebody came there, an inner one from then
    on."""
    came = threading.Event()
    script = http(answer)

    def once(s):
        came.set()
        script(s)
    w.listeners.add(c.address, w.http_port, once)
    w.ns.scripts[c.name] = lambda ask: address_or(
        ask, "127.0.0.9" if came.is_set() else c.address)


def rebinds(w, c):
    turns_inside(w, c, page(b"not yet", "404 Not Found"))


def rebinds_by_redirect(w, c):
    turns_inside(w, c, redirect(f"http://{c.name}:{w.http_port}/latest"))


def inner_beside(w, c):
    """Both in one answer: the inner one is left out."""
    w.listeners.add(c.address, w.http_port, http(page(c.text.encode())))
    w.ns.scripts[c.name] = lambda ask: address_or(
        ask, "127.0.0.9", c.address, "127.0.0.1")


def many_addresses(w, c):
    w.listeners.add(c.address, w.http_port, http(page(c.text.encode())))
    w.ns.scripts[c.name] = lambda ask: address_or(
        ask, *[f"127.0.1.{i}" for i in range(1, 60)])


def poisons(w, c):
    """Answers for a name of others along with its own."""
    w.listeners.add(c.address, w.http_port, http(redirect(
        f"http://victim.{c.name}:{w.http_port}/x")))
    victim = w.address()
    w.listeners.add(victim, w.http_port, http(page(c.text.encode())))
    w.ns.put(f"victim.{c.name}", "A", victim)

    def answer(ask):
        m = ask.message()
        if ask.kind == "A":
            m.answer = [hostile.rrset(c.name, "A", c.address, ttl=9999),
                        hostile.rrset(f"victim.{c.name}", "A", "127.0.0.9",
                                      ttl=9999)]
        m.authority = [hostile.rrset(c.name, "NS", f"victim.{c.name}.",
                                     ttl=9999)]
        m.additional = [hostile.rrset(f"victim.{c.name}", "A", "127.0.0.9",
                                      ttl=9999)]
        ask.send(m.to_wire())
    w.ns.scripts[c.name] = answer


ADDRESS = "while looking up the address of {name}: "
RECORDS = "while looking up the TXT records of _acme-challenge.{name}: "
COMPARING = "while comparing the TXT records of _acme-challenge.{name}: "

DNS = [
    Case("dns-right", lies(lambda w, c, ask: address_or(ask, c.address)),
         None),
    Case("dns-silent", lies(silent), "dns", ADDRESS),
    Case("dns-wrong-id", lies(wrong_id), "dns", ADDRESS),
    Case("dns-wrong-source", lies(wrong_source), "dns", ADDRESS),
    Case("dns-other-question", lies(other_question), "dns", ADDRESS),
    Case("dns-no-question", lies(no_question), "dns", ADDRESS),
    Case("dns-other-name", lies(other_name), "dns", ADDRESS),
    *[Case(f"dns-rcode-{n}", lies(rcode(n)), "dns", ADDRESS)
      for n in (1, 2, 3, 4, 5, 6, 9, 15)],
    *[Case(f"dns-answer-rcode-{n}", lies(answer_with_rcode(n)), "dns",
           ADDRESS) for n in (2, 3, 5)],
    Case("dns-query-back", lies(lambda w, c, ask: ask.send(
        ask.query.to_wire())), "dns", ADDRESS),
    Case("dns-short", lies(lambda w, c, ask: ask.send(
        ask.query.to_wire()[:7])), "dns", ADDRESS),
    Case("dns-counts", lies(tail(b"", 65535)), "dns", ADDRESS),
    Case("dns-pointer-to-itself", lies(tail(lambda c: rr(
        b"\xc0\xff", 1, b"\x7f\3\1\1"))), "dns", ADDRESS),
    Case("dns-pointer-loop", lies(tail(lambda c: rr(
        b"\xc0\x0c", 5, b"\1a\xc0" + bytes([12 + len(c.name) + 2 + 4 + 12]))
        )), "dns", ADDRESS),
    Case("dns-long-name", lies(tail(rr(
        (b"\x3f" + b"a" * 63) * 8 + b"\0", 1, b"\x7f\3\1\1"))), "dns",
        ADDRESS),
    Case("dns-label-type", lies(tail(rr(b"\x80a\0", 1, b"\x7f\3\1\1"))),
         "dns", ADDRESS),
    Case("dns-short-address", lies(tail(rr(b"\xc0\x0c", 1, b"\x7f\3\1"))),
         "dns", ADDRESS),
    Case("dns-long-address", lies(tail(rr(
        b"\xc0\x0c", 1, b"\x7f\3\1\1\1"))), "dns", ADDRESS),
    Case("dns-data-beyond", lies(tail(rr(
        b"\xc0\x0c", 1, b"\x7f\3\1\1", 4000))), "dns", ADDRESS),
    Case("dns-cname-right", cnames(3), None),
    Case("dns-cname-loop", cnames(3, loop=True), "dns", ADDRESS),
    Case("dns-cname-deep", cnames(40), "dns", ADDRESS),
    *[Case(f"dns-tcp-{what}", lies(truncated(script)), "dns", ADDRESS,
           profile="lossy")
      for what, script in (("closes", tcp_closes), ("hangs", tcp_hangs),
                           ("drips", tcp_drips), ("lies", tcp_lies))],
    Case("dns-tcp-truncated", lies(truncated(
        lambda w, c, ask: ask.send(ask.truncated()))), "dns", ADDRESS),
    Case("dns-tcp-right", lies(truncated(
        lambda w, c, ask: address_or(ask, c.address))), None),
    # where it leads
    Case("dns-rebinds", rebinds, "unauthorized",
         "while connecting to {name}: this server does not connect to an "
         "address like that"),
    Case("dns-rebinds-by-redirect", rebinds_by_redirect, "unauthorized",
         "while connecting to redirect 1 of {name}: this server does not "
         "connect to an address like that"),
    Case("dns-inner-beside", inner_beside, None),
    Case("dns-many-addresses", many_addresses, "unauthorized",
         "while connecting to {name}"),
    Case("dns-poisons", poisons, None),
    # dns-01
    Case("txt-right", lies(texts(lambda c: [f'"{c.txt}"'])), None, "", D),
    Case("txt-in-bits", lies(texts(
        lambda c: [" ".join(f'"{x}"' for x in c.txt)])), None, "", D),
    Case("txt-among-many", lies(texts(
        lambda c: [f'"{i}-{"x" * 200}"' for i in range(60)]
        + [f'"{c.txt}"'])), None, "", D),
    Case("txt-too-many", lies(texts(
        lambda c: [f'"{i}"' for i in range(900)] + [f'"{c.txt}"'])),
        "dns", RECORDS, D),
    Case("txt-giant", lies(texts(
        lambda c: [" ".join(['"' + "x" * 255 + '"'] * 230)])),
        "incorrectResponse", COMPARING, D),
    Case("txt-wrong", lies(texts(lambda c: [f'"{SECRET}"'])),
         "incorrectResponse", COMPARING + "none is the digest", D),
    Case("txt-spaces", lies(texts(lambda c: [f'" {c.txt}"'])),
         "incorrectResponse", COMPARING, D),
    Case("txt-other-case", lies(texts(lambda c: [f'"{c.txt.swapcase()}"'])),
         "incorrectResponse", COMPARING, D),
    Case("txt-broken", lies(tail(rr(b"\xc0\x0c", 16, b"\xffabc"))),
         ("dns", "incorrectResponse"), "while ", D),
    Case("txt-empty", lies(tail(rr(b"\xc0\x0c", 16, b""))),
         ("dns", "incorrectResponse"), "while ", D),
    Case("txt-silent", lies(silent), "dns", RECORDS, D),
    Case("txt-servfail", lies(rcode(2)), "dns", RECORDS, D),
    Case("txt-refused", lies(rcode(5)), "dns", RECORDS, D),
    Case("txt-nxdomain", lies(lambda w, c, ask: ask.nothing(3)), "dns",
         RECORDS, D),
    Case("txt-none", lies(lambda w, c, ask: ask.nothing()),
         "incorrectResponse", RECORDS, D),
    Case("txt-other-name", lies(lambda w, c, ask: ask.answer(
        ("other.example", "TXT", f'"{c.txt}"'))),
        ("dns", "incorrectResponse"), RECORDS, D),
    Case("txt-cname-ten", cnames(10), None, "", D),
    Case("txt-cname-eleven", cnames(11), "dns", RECORDS, D),
    Case("txt-cname-deep", cnames(40), "dns", RECORDS, D),
    Case("txt-cname-loop", cnames(2, loop=True), "dns", RECORDS, D),
    Case("txt-tcp-closes", lies(truncated(tcp_closes)), "dns", RECORDS, D,
         "lossy"),
    Case("txt-tcp-hangs", lies(truncated(tcp_hangs)), "dns", RECORDS, D,
         "lossy"),
]


# ---- CAA and DNSSEC

def caa(script):
    """The web server is right; CAA is script(world, case, ask)."""
    def set_up(w, c):
        w.listeners.add(c.address, w.http_port, http(page(c.text.encode())))
        c.ns.scripts[c.name, "CAA"] = lambda ask: script(w, c, ask)
    return set_up


def caa_records(*values, rcode=0):
    return caa(lambda w, c, ask: ask.answer((ask.name, "CAA", *values),
                                            rcode=rcode))


def signed_web(w, c):
    w.listeners.add(c.address, w.http_port, http(page(c.text.encode())))


def breaks(fix, *kinds):
    """What leaves the signed zone about this name goes through fix(zone,
    RRsets); kinds: only these types."""
    def set_up(w, c):
        signed_web(w, c)
        name = c.name
        if c.challenge == "dns-01":
            name = f"_acme-challenge.{name}"
            w.signed.put(name, "TXT", f'"{c.txt}"')
        for key in [(name, k) for k in kinds] or [name]:
            w.signed.broken[key] = lambda records: fix(w.signed, records)
    return set_up


def is_signature(r):
    return r.rdtype == hostile.dns.rdatatype.RRSIG


def unsigned(zone, records):
    return [r for r in records if not is_signature(r)]


def resigned(**how):
    def fix(zone, records):
        out = []
        for r in unsigned(zone, records):
            out += zone.signed(r, **how)
        return out
    return fix


def by_another_key(zone, records):
    return resigned(key=ec.generate_private_key(ec.SECP256R1()))(
        zone, records)


def forged(zone, records):
    """Good signatures, of something else."""
    out = []
    for r in records:
        if r.rdtype == hostile.dns.rdatatype.A:
            r = hostile.rrset(r.name.to_text(), "A", "127.3.200.200")
        if r.rdtype == hostile.dns.rdatatype.TXT:
            r = hostile.rrset(r.name.to_text(), "TXT", f'"{SECRET}"')
        out.append(r)
    return out


def no_proof(zone, records):
    """An absence that nothing proves."""
    return [r for r in records if r.rdtype not in (
        hostile.dns.rdatatype.NSEC,) and not (
            is_signature(r) and "NSEC" in r.to_text())]


BOGUS = "DNSSEC says that the answer is bogus"
CAA = "while looking up the CAA records of {name} for {name}: "

TRUST = [
    Case("caa-nxdomain", caa(lambda w, c, ask: ask.nothing(3)), None,
         profile="caa"),
    Case("caa-nxdomain-with-records", caa_records(
        '0 issue "other.example"', rcode=3), (None, "caa", "dns"),
        profile="caa"),
    Case("caa-other", caa_records('0 issue "other.example"'), "caa",
         "the CAA records of {name} forbid", profile="caa"),
    Case("caa-many", caa_records(*[f'0 issue "ca{i}.example"'
                                   for i in range(60)]), "caa",
         "the CAA records of {name} forbid", profile="caa"),
    Case("caa-too-many", caa_records(*[f'0 issue "ca{i}.example"'
                                       for i in range(400)]), "dns", CAA,
         profile="caa"),
    Case("caa-silent", caa(silent), "dns", CAA, profile="caa"),
    Case("caa-refused", caa(rcode(5)), "dns", CAA, profile="caa"),
    Case("caa-tcp-closes", caa(truncated(tcp_closes)), "dns", CAA,
         profile="lossycaa"),
    Case("caa-tag-beyond", caa(tail(rr(b"\xc0\x0c", 257, b"\0\xffissue"))),
         ("caa", "dns"), "CAA records of {name}", profile="caa"),
    Case("caa-no-tag", caa(tail(rr(b"\xc0\x0c", 257, b"\0\0;"))),
         ("caa", "dns"), "CAA records of {name}", profile="caa"),
    Case("caa-empty", caa(tail(rr(b"\xc0\x0c", 257, b""))),
         ("caa", "dns"), "CAA records of {name}", profile="caa"),
    # the signed zone
    Case("sec-right", signed_web, None, profile="signed"),
    Case("sec-txt-right", breaks(lambda zone, records: records), None, "", D,
         profile="signed"),
    Case("sec-caa-right", signed_web, None, profile="signedcaa"),
    *[Case(f"sec-{what}", breaks(fix, "A"), "dns", ADDRESS + BOGUS,
           profile="signed")
      for what, fix in (("unsigned", unsigned), ("forged", forged),
                        ("expired", resigned(days=-2)),
                        ("other-key", by_another_key))],
    *[Case(f"sec-txt-{what}", breaks(fix), "dns", RECORDS + BOGUS, D,
           profile="signed")
      for what, fix in (("unsigned", unsigned), ("forged", forged),
                        ("expired", resigned(days=-2)),
                        ("other-key", by_another_key))],
    Case("sec-caa-unproven", breaks(no_proof, "CAA"), "dns", CAA + BOGUS,
         profile="signedcaa"),
    Case("sec-caa-unsigned", breaks(unsigned, "CAA"), "dns", CAA + BOGUS,
         profile="signedcaa"),
]


# ---- many at once: what each costs the loop must not add up

AT_ONCE = 40


def gate(w, kind):
    return w.gates.setdefault(kind, hostile.Gate(AT_ONCE))


BURST = [
    *[Case(f"burst-alpn-{i}", lambda w, c: shakes(gate=gate(w, "alpn"))(w, c),
           None, "", T) for i in range(AT_ONCE)],
    *[Case(f"burst-https-{i}", goes(lambda w, c: w.https(
        https_page(w, c, gate(w, "https")))), None)
      for i in range(AT_ONCE)],
]


# ---- what became of them

GROUPS = {"http": HTTP, "redirects": REDIRECTS, "forbidden": FORBIDDEN_CASES,
          "tls": TLS, "dns": DNS, "trust": TRUST,
          "burst": BURST}
_run = {}


def group_of(world, name):
    """On a machine that is busy with other things the time of some may be
    over before anything happened: those once more, with more of it."""
    if name not in _run:
        _run[name] = Group(world, GROUPS[name])
        starved = [c for c in GROUPS[name] if not is_as_wanted(c)
                   and LATE in c.error().get("detail", "")]
        for case in starved:
            case.slow = "slow"
        if starved:
            Group(world, starved)
    return _run[name]


def is_as_wanted(case):
    if case.kind() not in case.kinds:
        return False
    if case.kind() is None:
        return case.authz["status"] == "valid"
    detail = case.error()["detail"]
    # a phase of its own may be over sooner, with more time for the whole
    if LATE in case.says:
        for other in ("it took too long", "there is no connection to be had",
                      "there was no answer in time"):
            detail = detail.replace(other, LATE)
    return (case.authz["status"] == "invalid"
            and case.says.format(name=case.name) in detail)


def judge(group, case):
    assert is_as_wanted(case), case.authz


def on_one(name, *values):
    """A parameter; all tests of a group belong on one process."""
    return pytest.param(*values or [name], marks=pytest.mark.xdist_group(
        f"hostile-{name}"))


def each(name):
    return pytest.mark.parametrize(
        "slug", [on_one(name, c.slug) for c in GROUPS[name]])


@each("http")
def test_web_servers(world, slug):
    group = group_of(world, "http")
    judge(group, group.cases[slug])


@each("redirects")
def test_redirects(world, slug):
    group = group_of(world, "redirects")
    judge(group, group.cases[slug])


@each("forbidden")
def test_where_nobody_may_go(world, slug):
    group = group_of(world, "forbidden")
    judge(group, group.cases[slug])
    assert world.tripwires.tripped == []


@each("tls")
def test_tls_servers(world, slug):
    group = group_of(world, "tls")
    judge(group, group.cases[slug])


@each("dns")
def test_name_servers(world, slug):
    group = group_of(world, "dns")
    judge(group, group.cases[slug])


@each("burst")
def test_handshakes_that_go_on_at_once(world, slug):
    group = group_of(world, "burst")
    judge(group, group.cases[slug])


@each("trust")
def test_caa_and_dnssec(world, slug):
    group = group_of(world, "trust")
    judge(group, group.cases[slug])


# ---- what holds for all of a group

all_groups = pytest.mark.parametrize("name", [on_one(n) for n in GROUPS])


@all_groups
def test_no_error_tells_what_it_must_not(world, name):
    for case in group_of(world, name).cases.values():
        told = json.dumps([case.authz, case.client.refresh(case.order).body])
        told = told.replace(case.name, "")
        for secret in (SECRET, "127.", "169.254", "7f00:9", "::1",
                       "64:ff9b", case.address):
            assert secret not in told, (case.slug, told)


@all_groups
def test_others_were_served_meanwhile(world, name):
    assert group_of(world, name).served > 0


@all_groups
def test_no_turn_of_the_loop_took_long(world, name, figures):
    group = group_of(world, name)
    figures(group=name, turns=group.turns, slow_turns=group.slow_turns,
            longest_usec=group.longest, served=group.served,
            sanitizers=world.server.is_sanitized())
    assert group.turns > 0
    assert group.slow_turns == 0


@all_groups
def test_descriptors_come_back(world, name):
    """While those who hang still hang. A lookup that nobody waits for any
    more goes on for a while, so sockets of such do not count."""
    group = group_of(world, name)
    wait_for(lambda: world.fds() <= group.fds_before, 30,
             "descriptors to be closed")


@all_groups
def test_nobody_was_connected_to_who_must_not_be(world, name):
    group_of(world, name)
    assert world.tripwires.tripped == []


# ---- memory

GIANTS = [c for c in HTTP + TLS + DNS if c.slug in (
    "giant-body", "giant-chunks", "giant-endless", "giant-header", "trailers",
    "alpn-giant-chain", "alpn-giant-certificate", "alpn-giant-message",
    "txt-giant", "txt-too-many")]
GROWTH_MAX = 2048   # KiB; one of the giants would send a hundred times that


@pytest.mark.xdist_group("hostile-memory")
def test_giants_leave_no_memory_behind(world, figures):
    """With sanitizers too: the quarantine is small."""
    Group(world, GIANTS)
    warm = world.server.rss()
    Group(world, GIANTS)
    last = world.server.rss()
    figures(warm_kib=warm, last_kib=last,
            sanitizers=world.server.is_sanitized())
    assert last - warm < GROWTH_MAX
