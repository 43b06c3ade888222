# SPDX-License-Identifier: ISC
"""The other side of validations: an authoritative name server, a web server
and a TLS server, which tell the truth or otherwise.

Names and keys are looked up in folders for each query, so that the hooks of
ACME clients, which are processes of their own, can put them there.
"""

import contextlib
import datetime
import hashlib
import http.server
import ipaddress
import socket
import ssl
import struct
import threading
from pathlib import Path

import dnslib
from cryptography import x509 as cx509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

import jose
import x509
from servers import LOCALHOST, free_port


def key_authorization(client, token):
    """RFC 8555 section 8.1."""
    return f"{token}.{client.key.thumbprint()}"


def txt_value(key_authorization):
    """RFC 8555 section 8.4."""
    return jose.b64(hashlib.sha256(key_authorization.encode()).digest())


def end(s):
    """Close a socket that a thread waits on: until that wakes up, a closed
    one would still hold its port."""
    with contextlib.suppress(OSError):
        s.shutdown(socket.SHUT_RDWR)
    s.close()


# ---- DNS

class Dns:
    """Answers for every name: A is 127.0.0.1 unless something else is said.

    folder/NAME.TYPE holds one value a line; an empty file means that there
    is no such record. modes: name -> "servfail", "silent", "nxdomain",
    "truncate" or "refused".
    """

    def __init__(self, folder, address=LOCALHOST, host=LOCALHOST, port=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.address = address
        self.port = port or free_port()
        self.modes = {}
        self.asked = []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((host, self.port))
        self.tcp = socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind((host, self.port))
        self.tcp.listen(64)
        for work in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=work, daemon=True).start()

    def resolver(self):
        return f"{LOCALHOST}:{self.port}"

    def set(self, name, kind, *values):
        new = self.folder / f".{name}.{kind}"
        new.write_text("".join(f"{v}\n" for v in values))
        new.rename(self.folder / f"{name}.{kind}")

    def clear(self, name, kind):
        (self.folder / f"{name}.{kind}").unlink(missing_ok=True)

    def values(self, name, kind):
        try:
            return (self.folder / f"{name}.{kind}").read_text().split("\n")
        except FileNotFoundError:
            return None

    def _records(self, name, kind):
        """(owner, type, value) of an answer, CNAMEs followed."""
        for _ in range(40):
            target = [v for v in self.values(name, "CNAME") or [] if v]
            if not target or kind == "CNAME":
                break
            yield name, "CNAME", target[0]
            name = target[0].rstrip(".").lower()
        found = self.values(name, kind)
        if found is None and kind == "A":
            found = [self.address]
        for value in found or []:
            if value:
                yield name, kind, value

    @staticmethod
    def _data(kind, value):
        if kind == "CAA":
            flags, tag, text = value.split(" ", 2)
            return dnslib.RD(bytes([int(flags), len(tag)]) + tag.encode()
                             + text.strip('"').encode())
        if kind == "TXT":
            parts = [value[i:i + 255] for i in range(0, len(value), 255)]
            return dnslib.TXT([p.encode() for p in parts])
        return {"A": dnslib.A, "AAAA": dnslib.AAAA,
                "CNAME": dnslib.CNAME}[kind](value)

    def answer(self, data, over_tcp=False):
        query = dnslib.DNSRecord.parse(data)
        name = str(query.q.qname).rstrip(".").lower()
        kind = {257: "CAA"}.get(query.q.qtype) or dnslib.QTYPE.get(
            query.q.qtype)
        self.asked.append((name, kind))
        mode = self.modes.get((name, kind)) or self.modes.get(name)
        reply = query.reply(aa=1, ra=1)
        if mode == "silent":
            return None
        if mode in ("servfail", "refused", "nxdomain"):
            reply.header.rcode = {"servfail": 2, "refused": 5,
                                  "nxdomain": 3}[mode]
            return reply.pack()
        if mode == "truncate":
            reply.header.tc = 1
            return reply.pack()
        for owner, kind, value in self._records(name, kind):
            rtype = 257 if kind == "CAA" else getattr(dnslib.QTYPE, kind)
            reply.add_answer(dnslib.RR(owner, rtype, ttl=0,
                                       rdata=self._data(kind, value)))
        if not reply.rr:    # without it resolvers keep "no record" for 5 s
            reply.add_auth(dnslib.RR(
                ".".join(name.split(".")[-2:]), dnslib.QTYPE.SOA, ttl=0,
                rdata=dnslib.SOA("ns.example.net", "admin.example.net",
                                 (1, 60, 60, 60, 0))))
        packed = reply.pack()
        if not over_tcp and len(packed) > 1200:
            reply = query.reply(aa=1, ra=1)
            reply.header.tc = 1
            packed = reply.pack()
        return packed

    def _serve_udp(self):
        while True:
            try:
                data, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            if not data:        # that was end()
                return
            packed = self.answer(data)
            if packed:
                self.udp.sendto(packed, peer)

    def _serve_tcp(self):
        while True:
            try:
                s, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._talk_tcp, args=(s,),
                             daemon=True).start()

    def _talk_tcp(self, s):
        with s:
            s.settimeout(10)
            try:
                while True:
                    size = s.recv(2, socket.MSG_WAITALL)
                    if len(size) < 2:
                        return
                    data = s.recv(struct.unpack("!H", size)[0],
                                  socket.MSG_WAITALL)
                    packed = self.answer(data, over_tcp=True)
                    if packed:
                        s.sendall(struct.pack("!H", len(packed)) + packed)
            except OSError:
                pass

    def close(self):
        end(self.udp)
        end(self.tcp)


# ---- HTTP

class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        peer = self.server.peer
        peer.asked.append((self.headers["Host"], self.path))
        gate = peer.wait
        if gate is not None:
            gate.wait(60)
        page = peer.pages.get(self.path)
        if page is None:
            path = peer.folder / Path(self.path).name
            if path.is_file():
                page = (200, {}, path.read_bytes())
        if callable(page):
            page(self)
            return
        status, headers, body = page or (404, {}, b"nothing here")
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class _HttpServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address, family):
        self.address_family = family
        super().__init__(address, _Handler)

    def handle_error(self, *args):
        pass


class Http:
    """A web server; folder/TOKEN holds what a token's URL says. pages: path
    -> (status, headers, body), or a function of the handler."""

    def __init__(self, folder, port=None, address=LOCALHOST):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.pages = {}
        self.asked = []
        self.wait = None        # an event that every answer waits for
        self.port = port or free_port()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.server = _HttpServer((address, self.port), family)
        self.server.peer = self
        threading.Thread(target=self.server.serve_forever,
                         kwargs={"poll_interval": 0.05},
                         daemon=True).start()

    def put(self, client, token, text=None):
        if text is None:
            text = key_authorization(client, token)
        (self.folder / token).write_text(text)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


# ---- TLS

ACME_IDENTIFIER = cx509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")


def alpn_certificate(folder, names, text, critical=True, issuer=None):
    """Certificate and key (paths) of RFC 8737 for a key authorization."""
    key = x509.new_key()
    name = cx509.Name([cx509.NameAttribute(cx509.NameOID.COMMON_NAME,
                                           "ACME challenge")])
    sans = []
    for one in names:
        try:
            sans.append(cx509.IPAddress(ipaddress.ip_address(one)))
        except ValueError:
            sans.append(cx509.DNSName(one))
    now = datetime.datetime.utcnow()
    digest = hashlib.sha256(text.encode()).digest()
    builder = (
        cx509.CertificateBuilder().subject_name(name).issuer_name(name)
        .public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(cx509.SubjectAlternativeName(sans), False))
    if critical is not None:
        builder = builder.add_extension(cx509.UnrecognizedExtension(
            ACME_IDENTIFIER, b"\x04\x20" + digest), critical)
    certificate = builder.sign(issuer or key, hashes.SHA256())
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(x509.key_pem(key))
    return folder / "cert.pem", folder / "key.pem"


class Alpn:
    """A TLS server that offers acme-tls/1 (or what it is told). find: server
    name -> (certificate, key) or None, in place of what put() left."""

    def __init__(self, folder, address=LOCALHOST, port=None, find=None):
        self.folder = Path(folder)
        self.port = port or free_port()
        self.protocols = ["acme-tls/1"]
        self.maximum = None
        self.names = []         # that clients asked for
        self.after = []         # what they sent behind the handshake
        self.files = {}         # server name -> (certificate, key)
        self.find = find or (lambda name: self.files.get(name))
        self.preset = None
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, self.port))
        self.socket.listen(64)
        threading.Thread(target=self._serve, daemon=True).start()

    def put(self, server_name, names, text, **how):
        self.files[server_name] = alpn_certificate(
            self.folder / server_name.replace(":", "_"), names, text, **how)

    def _context(self, files):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        if self.protocols:
            context.set_alpn_protocols(self.protocols)
        if self.maximum:
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = self.maximum
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
        return context

    def _choose(self, connection, name, context):
        self.names.append(name)
        files = self.find(name)
        if files is not None:
            connection.context = self._context(files)

    def _serve(self):
        while True:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(s,),
                             daemon=True).start()

    def _talk(self, s):
        files = self.preset or next(iter(self.files.values()))
        context = self._context(files)
        context.sni_callback = self._choose
        with s:
            s.settimeout(10)
            try:
                with context.wrap_socket(s, server_side=True) as tls:
                    self.after.append(tls.recv(1))
            except OSError:
                pass

    def close(self):
        end(self.socket)


def reverse_name(address):
    """The name under which RFC 8738 asks for an address."""
    return ipaddress.ip_address(address).reverse_pointer

