# SPDX-License-Identifier: ISC
"""The worst that can sit at the other end of a validation.

Peers listen on loopback addresses of their own, one for each case, and follow
a script for each connection; a name server does the same for each name. A
certloopd is allowed to connect to NETWORK and nowhere else on this machine:
Tripwires listen where it must never come.
"""

import base64
import datetime
import hashlib
import math
import selectors
import socket
import ssl
import struct
import subprocess
import threading

import dns.dnssec
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from cryptography import x509 as cx509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

import x509
from challenges import ACME_IDENTIFIER
from servers import LOCALHOST, free_port

NETWORK = "127.3.0.0/16"
SECRET = "the-secret-of-an-inner-server"    # peers say it, errors must not
PATIENCE = 120      # seconds that a peer hangs: far longer than any deadline


# ---- sockets

class Listeners:
    """Accepts for many sockets; a thread for each connection."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.lock = threading.Lock()
        self.connections = set()
        self.closed = False
        self.wake, self.woken = socket.socketpair()
        self.selector.register(self.woken, selectors.EVENT_READ)
        threading.Thread(target=self._accept, daemon=True).start()

    def add(self, address, port, script, backlog=64):
        """Listen there; script(connection) runs for each connection."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        s = socket.socket(family)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, port))
        s.listen(backlog)
        s.setblocking(False)
        self.selector.register(s, selectors.EVENT_READ, script)
        self.wake.send(b"x")

    def _accept(self):
        while not self.closed:
            for key, _ in self.selector.select():
                if key.data is None:
                    self.woken.recv(64)
                    continue
                try:
                    s, _ = key.fileobj.accept()
                except OSError:
                    continue
                threading.Thread(target=self._talk, args=(s, key.data),
                                 daemon=True).start()

    def _talk(self, s, script):
        s.settimeout(PATIENCE)
        with self.lock:
            self.connections.add(s)
        try:
            script(s)
        except (OSError, ValueError):
            pass
        finally:
            s.close()
            with self.lock:
                self.connections.discard(s)

    def close(self):
        self.closed = True
        self.wake.send(b"x")
        with self.lock:
            for s in self.connections:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        for key in list(self.selector.get_map().values()):
            self.selector.unregister(key.fileobj)
            key.fileobj.close()


class Tripwires:
    """Where nobody may connect: who did is remembered."""

    def __init__(self, listeners, addresses, ports):
        self.tripped = []
        for address in addresses:
            for port in ports:
                listeners.add(address, port, self._trip)

    def _trip(self, s):
        self.tripped.append(s.getsockname()[:2])
        # an answer that would pass for one of an inner server
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 29\r\n\r\n"
                  + SECRET.encode())


def fill_backlog(address, port):
    """A listener that takes no more connections: SYNs are dropped. The
    sockets, to be kept."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, port))
    server.listen(0)
    kept = [server]
    for _ in range(4):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex((address, port))
        kept.append(s)
    return kept


def hang(s):
    """Say nothing and take whatever comes, until the other side has gone."""
    while s.recv(65536):
        pass


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def read_head(s):
    """The header of a request."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = s.recv(4096)
        if not more:
            raise OSError("no request")
        data += more
    return data


# ---- HTTP: scripts for a connection

def http(*parts, then="close"):
    """Read a request, send these parts (bytes, or functions that send), and
    then "close", "reset" or "hang"."""
    def script(s):
        read_head(s)
        for part in parts:
            if callable(part):
                part(s)
            else:
                s.sendall(part)
        if then == "hang":
            hang(s)
        elif then == "reset":
            reset(s)
    return script


def page(body=b"", status="200 OK", headers=()):
    lines = [f"HTTP/1.1 {status}".encode(), *headers,
             b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def redirect(location, status="302 Found"):
    if isinstance(location, str):
        location = location.encode()
    return page(SECRET.encode(), status, [b"Location: " + location])


def for_ever(data, pause=None):
    """Send this again and again, as fast as it goes or with pauses."""
    def send(s):
        waiter = threading.Event()
        while True:
            s.sendall(data)
            if pause:
                waiter.wait(pause)
    return send


def slowly(data, pause):
    """A byte at a time."""
    def send(s):
        waiter = threading.Event()
        for i in range(len(data)):
            s.sendall(data[i:i + 1])
            waiter.wait(pause)
    return send


# ---- certificates for tls-alpn-01

def acme_identifier(text, critical=True):
    digest = hashlib.sha256(text.encode()).digest()
    return cx509.UnrecognizedExtension(
        ACME_IDENTIFIER, b"\x04\x20" + digest), critical


def make_certificate(folder, extensions, key=None, issuer_key=None,
                     issuer="ACME challenge", subject="ACME challenge",
                     since=-1, until=1, digest=None, more=()):
    """Files (certificate, key). extensions: (extension, critical) each; more:
    PEM of certificates to send along; since, until: in days from now."""
    def name(text):
        return cx509.Name([cx509.NameAttribute(
            cx509.NameOID.COMMON_NAME, text)])
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.utcnow()
    builder = (
        cx509.CertificateBuilder().subject_name(name(subject))
        .issuer_name(name(issuer)).public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now + datetime.timedelta(days=since))
        .not_valid_after(now + datetime.timedelta(days=until)))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    made = builder.sign(issuer_key or key, digest or hashes.SHA256())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cert.pem").write_bytes(b"".join(
        [made.public_bytes(Encoding.PEM), *more]))
    (folder / "key.pem").write_bytes(x509.key_pem(key))
    return folder / "cert.pem", folder / "key.pem"


def _der(tag, body):
    size = len(body)
    if size < 128:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def giant_rsa_key():
    """PEM of an RSA key of 16384 bits and a long exponent, which takes those
    long who verify. Two primes so long would take us minutes to find, but any
    number will do of which one knows the factors."""
    def primes():
        numbers = [rsa.generate_private_key(65537, 2048).private_numbers()
                   for _ in range(4)]
        return [f for n in numbers for f in (n.p, n.q)]
    e = 8589934583
    halves = [primes(), primes()]
    p, q = (math.prod(half) for half in halves)
    order_p, order_q = (math.lcm(*[f - 1 for f in half]) for half in halves)
    d = pow(e, -1, math.lcm(order_p, order_q))
    numbers = [0, p * q, e, d, p, q, d % order_p, d % order_q, pow(q, -1, p)]
    body = b"".join(_der(2, n.to_bytes(n.bit_length() // 8 + 1, "big"))
                    for n in numbers)
    return (b"-----BEGIN RSA PRIVATE KEY-----\n"
            + base64.encodebytes(_der(0x30, body))
            + b"-----END RSA PRIVATE KEY-----\n")


def giant_rsa_files(folder, name, text):
    """Certificate and key, good for tls-alpn-01 but for the size."""
    folder.mkdir(parents=True, exist_ok=True)
    key, cert = folder / "key.pem", folder / "cert.pem"
    key.write_bytes(giant_rsa_key())
    digest = hashlib.sha256(text.encode()).hexdigest()
    subprocess.run(
        ["openssl", "req", "-x509", "-new", "-key", key, "-out", cert,
         "-subj", "/CN=giant", "-addext", f"subjectAltName=DNS:{name}",
         "-addext", "1.3.6.1.5.5.7.1.31=critical,DER:0420" + digest],
        check=True, capture_output=True)
    return cert, key


# ---- TLS: scripts for a connection

def server_context(files, protocols=("acme-tls/1",), newest=None, oldest=None,
                   ciphers=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if ciphers:
        context.set_ciphers(ciphers)
    context.minimum_version = oldest or ssl.TLSVersion.TLSv1_2
    if newest:
        context.maximum_version = newest
    context.load_cert_chain(*files)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


class Gate:
    """Lets nobody pass before so many have come, or 3 seconds are over."""

    def __init__(self, n):
        self.left = n
        self.lock = threading.Lock()
        self.open = threading.Event()

    def __call__(self):
        with self.lock:
            self.left -= 1
            if self.left == 0:
                self.open.set()
        self.open.wait(3)


def tls(context, pause=None, piece=None, inside=None, gate=None):
    """Shake hands, then what `inside` does with the connection. piece: send
    so many bytes at a time, with pauses; gate: called before the first."""
    def script(s):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
        t = context.wrap_bio(coming, going, server_side=True)
        waiter = threading.Event()

        def flush():
            data = going.read()
            if data and gate:
                gate()
            step = piece or max(len(data), 1)
            for i in range(0, len(data), step):
                s.sendall(data[i:i + step])
                if pause:
                    waiter.wait(pause)

        def work(call):
            while True:
                try:
                    value = call()
                    flush()
                    return value
                except ssl.SSLWantReadError:
                    flush()
                    data = s.recv(65536)
                    if not data:
                        return None
                    coming.write(data)
                except ssl.SSLError:
                    flush()
                    raise
        work(t.do_handshake)
        if inside:
            inside(lambda: work(lambda: t.read(65536)),
                   lambda data: work(lambda: t.write(data)))
        hang(s)
    return script


def record(kind, body, version=0x0303):
    return struct.pack("!BHH", kind, version, len(body)) + body


def alert(level, description):
    return record(21, bytes([level, description]))


def handshake(kind, body):
    return record(22, bytes([kind]) + len(body).to_bytes(3, "big") + body)


def server_hello(version=0x0303, cipher=0xc02b, extensions=b"",
                 random=b"\x11" * 32, session=b""):
    body = (struct.pack("!H", version) + random + bytes([len(session)])
            + session + struct.pack("!HB", cipher, 0))
    if extensions:
        body += struct.pack("!H", len(extensions)) + extensions
    return handshake(2, body)


def extension(kind, body):
    return struct.pack("!HH", kind, len(body)) + body


def alpn_extension(name):
    return extension(16, struct.pack("!HB", len(name) + 1, len(name)) + name)


def retry_hello(group=0x0017):
    """HelloRetryRequest, RFC 8446 section 4.1.4."""
    return server_hello(
        cipher=0x1301, random=hashlib.sha256(b"HelloRetryRequest").digest(),
        extensions=extension(43, b"\x03\x04")
        + extension(51, struct.pack("!H", group)))


def read_hello(s):
    """A ClientHello: its session id."""
    data = s.recv(16384)
    while len(data) < 5 or len(data) < 5 + int.from_bytes(data[3:5], "big"):
        more = s.recv(16384)
        if not more:
            raise OSError("no ClientHello")
        data += more
    return data[44:44 + data[43]]


def after_hello(*parts, then="hang"):
    """Wait for the ClientHello, send these parts, then as http() does."""
    def script(s):
        read_hello(s)
        for part in parts:
            if callable(part):
                part(s)
            else:
                s.sendall(part)
        if then == "hang":
            hang(s)
        elif then == "reset":
            reset(s)
    return script


# ---- DNS

class Ask:
    """One query, for a script to answer as it likes."""

    def __init__(self, server, wire, send, sock=None, peer=None):
        self.server = server
        self.query = dns.message.from_wire(wire)
        self.question = self.query.question[0]
        self.name = self.question.name.to_text().rstrip(".").lower()
        self.kind = dns.rdatatype.to_text(self.question.rdtype)
        self.send = send        # bytes of a message
        self.sock = sock        # of a connection; None over UDP
        self.peer = peer        # who asks, over UDP
        self.tail = b""

    def message(self, rcode=0, *records):
        """A truthful frame: records are (name, type, values...)."""
        m = dns.message.make_response(self.query, recursion_available=True)
        m.flags |= dns.flags.AA
        m.set_rcode(rcode)
        m.answer += [rrset(*r) for r in records]
        return m

    def wire(self, m, limit=None):
        limit = limit or (65535 if self.sock else 1232)
        try:
            return m.to_wire(max_size=limit)
        except dns.exception.TooBig:
            return self.truncated()

    def truncated(self):
        m = self.message()
        m.flags |= dns.flags.TC
        return m.to_wire()

    def answer(self, *records, rcode=0):
        self.send(self.wire(self.message(rcode, *records)))

    def nothing(self, rcode=0):
        """No such record (or name), in a form that nobody keeps."""
        m = self.message(rcode)
        m.authority.append(rrset(
            "example", "SOA", "ns.example. admin.example. 1 60 60 60 0"))
        self.send(m.to_wire())

    def send_from(self, sock, wire):
        """Over UDP, from another socket than was asked."""
        sock.sendto(wire, self.peer)


def rrset(name, kind, *values, ttl=0):
    return dns.rrset.from_text_list(
        dns.name.from_text(name), ttl, "IN", kind, values)


class NameServer:
    """records: (name, type) -> values; scripts: name or (name, type) -> a
    function of an Ask. Whatever has neither does not exist as a record."""

    def __init__(self):
        self.records = {}
        self.scripts = {}
        self.zones = {}         # name of a zone -> SignedZone
        self.asked = []
        self.port = free_port()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.udp.bind((LOCALHOST, self.port))
        self.listeners = Listeners()
        self.listeners.add(LOCALHOST, self.port, self._talk)
        self.closed = False
        threading.Thread(target=self._serve, daemon=True).start()

    def resolver(self):
        return f"{LOCALHOST}:{self.port}"

    def put(self, name, kind, *values):
        self.records[name, kind] = values

    def answer(self, ask):
        zone = next((z for n, z in self.zones.items()
                     if ask.name == n or ask.name.endswith("." + n)), None)
        if zone:
            zone.answer(ask)
            return
        found, name = [], ask.name
        while ask.kind != "CNAME" and (name, "CNAME") in self.records \
                and len(found) < 40:
            target = self.records[name, "CNAME"][0]
            found.append((name, "CNAME", target))
            name = target.rstrip(".").lower()
        values = self.records.get((name, ask.kind))
        if values:
            found.append((name, ask.kind, *values))
        if found:
            ask.answer(*found)
        else:
            ask.nothing()

    def _handle(self, ask):
        self.asked.append((ask.name, ask.kind))
        script = self.scripts.get((ask.name, ask.kind)) \
            or self.scripts.get(ask.name) or self.answer
        script(ask)

    def _serve(self):
        while not self.closed:
            try:
                wire, peer = self.udp.recvfrom(4096)
                self._handle(Ask(self, wire,
                                 lambda m: self.udp.sendto(m, peer),
                                 peer=peer))
            except (OSError, ValueError, dns.exception.DNSException):
                continue

    def _talk(self, s):
        lock = threading.Lock()

        def send(message):
            with lock:
                s.sendall(struct.pack("!H", len(message)) + message)

        def handle(wire):
            try:
                self._handle(Ask(self, wire, send, s))
            except (OSError, ValueError, dns.exception.DNSException):
                pass
        while True:     # one query does not wait for the answer of another
            size = s.recv(2, socket.MSG_WAITALL)
            if len(size) < 2:
                return
            wire = s.recv(struct.unpack("!H", size)[0], socket.MSG_WAITALL)
            threading.Thread(target=handle, args=(wire,),
                             daemon=True).start()

    def close(self):
        self.closed = True
        self.udp.close()
        self.listeners.close()


class SignedZone:
    """A zone with DNSSEC: one ECDSA key, NSEC made for each question. broken:
    name or (name, type) -> a function of the records that are about to go
    out (a list of RRsets), giving those that shall."""

    def __init__(self, server, zone):
        self.zone = dns.name.from_text(zone)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.dnskey = dns.dnssec.make_dnskey(
            self.key.public_key(), "ECDSAP256SHA256", flags=257)
        self.records = {}
        self.broken = {}
        server.zones[zone] = self

    def anchor(self):
        return f"{self.zone} 3600 IN DNSKEY {self.dnskey}\n"

    def put(self, name, kind, *values):
        self.records[name, kind] = values

    def sign(self, records, days=1, key=None):
        """The RRSIG of an RRset."""
        now = datetime.datetime.now(datetime.timezone.utc)
        sig = dns.dnssec.sign(
            records, key or self.key, self.zone, self.dnskey,
            inception=now + datetime.timedelta(days=min(days, 0) - 1),
            expiration=now + datetime.timedelta(days=days))
        return dns.rrset.from_rdata(records.name, records.ttl, sig)

    def signed(self, records, **how):
        return [records, self.sign(records, **how)]

    def answer(self, ask):
        name = dns.name.from_text(ask.name)
        m = ask.message()
        values = self.records.get((ask.name, ask.kind))
        if ask.kind == "DNSKEY" and name == self.zone:
            values = [str(self.dnskey)]
        if values:
            m.answer += self.signed(rrset(ask.name, ask.kind, *values))
        else:
            kinds = [k for n, k in self.records if n == ask.name]
            m.authority += self.signed(rrset(
                str(self.zone), "SOA",
                "ns.example. admin.example. 1 60 60 60 0"))
            m.authority += self.signed(rrset(
                ask.name, "NSEC", " ".join(
                    ["\\000." + name.to_text(), *kinds, "RRSIG", "NSEC"])))
        fix = self.broken.get((ask.name, ask.kind)) \
            or self.broken.get(ask.name)
        if fix:
            m.answer = fix(m.answer)
            m.authority = fix(m.authority)
        ask.send(ask.wire(m))
