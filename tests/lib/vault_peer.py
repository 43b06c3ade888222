# SPDX-License-Identifier: ISC
"""A Vault that says what it is told to: the wire format of the token and PKI
endpoints, with a clock of its own. As a program it takes commands on standard
input and reports requests on standard output, a JSON object a line; as a
module, use VaultPeer.

    {"listening": PORT, "ca": PEM, "root": PEM}              first line out
    {"n": 1, "at": SECONDS, "method": ..., "path": ..., "token": ...,
     "namespace": ..., "body": {...}}                        each request

Commands:
    {"token": {"value": "t", "ttl": 20, "renewable": true}}  know this token
                       (with "mortal": true it dies when its TTL is over)
    {"approle": {"role_id": "r", "secret_id": "s", "ttl": 20}}  log this in:
                       tokens s.login1, s.login2, ...; more as for a token
    {"forget": "t"}                                          know it no more
    {"reset": true}                       no tokens, scripts, certificates
    {"script": {"renew-self": [{...}, ...]}}                 next answers
    {"always": {"sign": {...} or null}}                      all answers

An answer in a script changes what would be said honestly:
    status, errors, headers   a failure
    ttl, renewable            of the token, from now on
    delay (seconds)           before it is said
    hang                      say nothing, keep the connection
    die                       close the connection without a word
    lose                      do it, and close the connection without a word
    raw                       this body, with status 200
    lie                       see the table in VaultPeer.sign

Endpoints in scripts: login, lookup-self, renew-self, sign, revoke, cert, certs,
ca_chain, health. TTLs are in units of --unit seconds.
"""

import argparse
import datetime
import ipaddress
import json
import ssl
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID as EKU
from cryptography.x509.oid import NameOID


def pem(cert):
    return cert.public_bytes(serialization.Encoding.PEM).decode()


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def utcnow():
    return datetime.datetime.utcnow().replace(microsecond=0)


class Authority:
    """A root and an issuing CA under it."""

    def __init__(self, title):
        day = datetime.timedelta(days=1)
        self.root_key = ec.generate_private_key(ec.SECP256R1())
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.root = self._make(name(title + " root"), self.root_key, None,
                               3650 * day)
        self.cert = self._make(name(title + " issuing"), self.key, self.root,
                               1825 * day)

    def _make(self, subject, key, issuer, life):
        public = key.public_key()
        signer = self.root_key if issuer is not None else key
        above = issuer.subject if issuer is not None else subject
        return (
            x509.CertificateBuilder()
            .subject_name(subject).issuer_name(above).public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(utcnow() - datetime.timedelta(hours=1))
            .not_valid_after(utcnow() + life)
            .add_extension(x509.BasicConstraints(True, None), True)
            .add_extension(x509.KeyUsage(
                False, False, False, False, False, True, True, False, False),
                True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(public), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    signer.public_key()), False)
            .sign(signer, hashes.SHA256()))

    def leaf(self, key, cn, sans, begin, end, usages=None, signer=None,
             serial=None):
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(cn) if cn else x509.Name([]))
            .issuer_name(self.cert.subject).public_key(key)
            .serial_number(serial or x509.random_serial_number())
            .not_valid_before(begin).not_valid_after(end)
            .add_extension(x509.KeyUsage(
                True, False, True, False, True, False, False, False, False),
                True)
            .add_extension(x509.ExtendedKeyUsage(
                usages or [EKU.SERVER_AUTH, EKU.CLIENT_AUTH]), False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key),
                           False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    self.key.public_key()), False))
        if sans:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(sans), not cn)
        return builder.sign(signer or self.key, hashes.SHA256())


class Token:
    def __init__(self, ttl, renewable, unit, mortal):
        self.ttl, self.renewable, self.unit = ttl, renewable, unit
        self.mortal = mortal
        self.renew()

    def renew(self):
        self.expires = time.monotonic() + self.ttl * self.unit

    def left(self):
        """What is left in whole units; 0 for a token without an end."""
        if self.ttl == 0 or not self.mortal:
            return self.ttl
        return max(0, round((self.expires - time.monotonic()) / self.unit))

    def is_alive(self):
        return self.ttl == 0 or not self.mortal or (
            time.monotonic() < self.expires)


class Silence(Exception):
    """Close the connection without an answer."""


class VaultPeer:
    def __init__(self, unit=1.0, tls=False, host="127.0.0.1", report=None):
        self.unit, self.report = unit, report
        self.lock = threading.Lock()
        self.authority = Authority("Peer")
        self.stranger = Authority("Stranger")
        self.tokens, self.script, self.always = {}, {}, {}
        self.issued, self.revoked, self.requests = {}, {}, []
        self.approle, self.logins = {}, 0
        self.began = time.monotonic()
        peer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def answer(self):
                peer.handle(self)

            do_GET = do_POST = do_PUT = do_LIST = answer

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128    # that wait while it is stopped

            def handle_error(self, request, client_address):
                pass  # a client that went away

        self.server = Server((host, 0), Handler)
        self.port = self.server.server_address[1]
        if tls:
            self._use_tls(host)
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05},
            daemon=True)

    def _use_tls(self, host):
        key = ec.generate_private_key(ec.SECP256R1())
        begin = utcnow() - datetime.timedelta(hours=1)
        cert = self.authority.leaf(
            key.public_key(), "vault.test",
            [x509.DNSName("vault.test"),
             x509.IPAddress(ipaddress.ip_address(host))],
            begin, begin + datetime.timedelta(days=2))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile("w") as f:
            f.write(pem(cert) + pem(self.authority.cert))
            f.write(key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption()).decode())
            f.flush()
            context.load_cert_chain(f.name)
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True,
            do_handshake_on_connect=False)

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    @property
    def address(self):
        secure = isinstance(self.server.socket, ssl.SSLSocket)
        return "http%s://127.0.0.1:%d" % ("s" if secure else "", self.port)

    # ---- being told what to do

    def add_token(self, value, ttl, renewable=True, mortal=False):
        with self.lock:
            self.tokens[value] = Token(ttl, renewable, self.unit, mortal)

    def command(self, c):
        with self.lock:
            if "reset" in c:
                for state in (self.tokens, self.script, self.always,
                              self.issued, self.revoked, self.requests,
                              self.approle):
                    state.clear()
                self.logins = 0
            if "approle" in c:
                self.approle = dict(c["approle"])
            if "forget" in c:
                self.tokens.pop(c["forget"], None)
            for endpoint, answers in c.get("script", {}).items():
                self.script.setdefault(endpoint, []).extend(answers)
            for endpoint, answer in c.get("always", {}).items():
                self.always[endpoint] = answer
        if "token" in c:
            self.add_token(**c["token"])

    # ---- requests

    def handle(self, h):
        length = int(h.headers.get("Content-Length") or 0)
        text = h.rfile.read(length)
        path = h.path.split("?")[0]
        with self.lock:
            request = {
                "n": len(self.requests) + 1,
                "at": time.monotonic() - self.began,
                "method": h.command,
                "path": path,
                "token": h.headers.get("X-Vault-Token"),
                "namespace": h.headers.get("X-Vault-Namespace"),
                "body": json.loads(text) if text else None,
            }
            self.requests.append(request)
            endpoint = self.endpoint(path)
            queue = self.script.get(endpoint)
            how = queue.pop(0) if queue else self.always.get(endpoint) or {}
        if self.report is not None:
            self.report(request)
        try:
            self.act(h, endpoint, request, how)
        except (Silence, BrokenPipeError, ConnectionResetError):
            h.close_connection = True

    @staticmethod
    def endpoint(path):
        parts = path.strip("/").split("/")
        if path == "/v1/sys/health":
            return "health"
        if parts[:3] == ["v1", "auth", "token"]:
            return parts[3]
        if len(parts) >= 4 and parts[-2] in ("sign", "cert"):
            return parts[-2]
        return parts[-1]

    def act(self, h, endpoint, request, how):
        if how.get("delay"):
            time.sleep(how["delay"])
        if how.get("die"):
            raise Silence
        if how.get("hang"):
            h.connection.settimeout(60)
            while h.connection.recv(4096):
                pass
            raise Silence
        if "raw" in how:
            return self.say(h, 200, how["raw"])
        if "status" in how:
            return self.say(h, how["status"],
                            {"errors": how.get("errors", [])},
                            how.get("headers"))
        if endpoint == "health":
            return self.say(h, 200, {"initialized": True, "sealed": False,
                                     "standby": False})
        with self.lock:
            status, body = self.respond(endpoint, request, how)
        if how.get("lose"):
            raise Silence
        return self.say(h, status, body)

    @staticmethod
    def say(h, status, body, headers=None):
        data = body if isinstance(body, str) else json.dumps(body)
        data = data.encode()
        if status == 204:
            data = b""
        h.send_response(status)
        h.send_header("Content-Type", "application/json")
        h.send_header("Content-Length", str(len(data)))
        for k, v in (headers or {}).items():
            h.send_header(k, v)
        h.end_headers()
        h.wfile.write(data)

    # ---- honest answers, with the lock held

    def respond(self, endpoint, request, how):
        if endpoint in ("cert", "ca_chain"):
            return self.public(endpoint, request)
        if endpoint == "login":
            return self.login(request["body"])
        token = self.tokens.get(request["token"])
        if token is None or not token.is_alive():
            return 403, {"errors": ["permission denied"]}
        if "ttl" in how:
            token.ttl = how["ttl"]
            token.renew()
        if "renewable" in how:
            token.renewable = how["renewable"]
        if endpoint == "lookup-self":
            return 200, {"data": {
                "id": request["token"], "ttl": token.left(),
                "creation_ttl": token.ttl, "renewable": token.renewable,
                "policies": ["default", "pki"], "type": "service"}}
        if endpoint == "renew-self":
            if not token.renewable and "renewable" not in how:
                return 400, {"errors": ["lease is not renewable"]}
            token.renew()
            return 200, {"auth": {
                "client_token": request["token"],
                "lease_duration": token.ttl, "renewable": token.renewable,
                "policies": ["default", "pki"], "token_type": "service"}}
        if endpoint == "sign":
            return self.sign(request["body"], how.get("lie"))
        if endpoint == "revoke":
            return self.revoke(request["body"])
        if endpoint == "certs":
            return 200, {"data": {"keys": [s.replace(":", "-")
                                           for s in self.issued]}}
        return 404, {"errors": ["no handler for route"]}

    def login(self, body):
        role = dict(self.approle)
        if not role or body["role_id"] != role.pop("role_id") or (
                body["secret_id"] != role.pop("secret_id")):
            return 400, {"errors": ["invalid role or secret ID"]}
        self.logins += 1
        value = "s.login%d" % self.logins
        token = self.tokens[value] = Token(
            role["ttl"], role.get("renewable", True), self.unit,
            role.get("mortal", False))
        return 200, {"auth": {
            "client_token": value, "lease_duration": token.ttl,
            "renewable": token.renewable, "token_type": "service"}}

    def public(self, endpoint, request):
        if endpoint == "ca_chain":
            return 200, pem(self.authority.cert) + pem(self.authority.root)
        serial = request["path"].rsplit("/", 1)[1].replace("-", ":")
        if serial not in self.issued:
            return 404, {"errors": []}
        return 200, {"data": {"certificate": pem(self.issued[serial]),
                              "revocation_time":
                                  self.revoked.get(serial, 0)}}

    def revoke(self, body):
        serial = body["serial_number"].replace("-", ":")
        if serial not in self.issued:
            return 400, {"errors": [
                "certificate with serial %s not found" % serial]}
        self.revoked.setdefault(serial, int(time.time()))
        return 200, {"data": {"revocation_time": self.revoked[serial]}}

    def sign(self, body, lie):
        csr = x509.load_pem_x509_csr(body["csr"].encode())
        sans = [x509.DNSName(n)
                for n in filter(None, body.get("alt_names", "").split(","))]
        sans += [x509.IPAddress(ipaddress.ip_address(n))
                 for n in filter(None, body.get("ip_sans", "").split(","))]
        key, cn, signer = csr.public_key(), body.get("common_name"), None
        begin = utcnow() - datetime.timedelta(seconds=30)
        end = utcnow() + datetime.timedelta(seconds=int(body["ttl"][:-1]))
        ca, usages, serial = self.authority, None, None
        chain = [pem(ca.cert), pem(ca.root)]
        if lie == "key":
            key = ec.generate_private_key(ec.SECP256R1()).public_key()
        elif lie == "extra_name":
            sans.append(x509.DNSName("extra.example"))
        elif lie == "missing_name":
            sans = sans[1:]
        elif lie == "no_names":
            sans = []
        elif lie == "cn":
            cn = "other.example"
        elif lie == "lifetime":
            end += datetime.timedelta(days=1)
        elif lie == "expired":
            begin -= datetime.timedelta(days=10)
            end = begin + datetime.timedelta(days=5)
        elif lie == "future":
            begin += datetime.timedelta(days=2)
            end += datetime.timedelta(days=2)
        elif lie == "signature":
            signer = self.stranger.key
        elif lie == "chain":
            chain = [pem(self.stranger.cert), pem(self.stranger.root)]
        elif lie == "chain_order":
            chain.reverse()
        elif lie == "chain_leaf":
            chain = []
        elif lie == "chain_broken":
            chain = [pem(ca.cert), pem(self.stranger.root)]
        elif lie == "no_chain":
            chain = [pem(ca.cert)]
        elif lie == "usage":
            usages = [EKU.CLIENT_AUTH]
        elif lie == "code_signing":
            usages = [EKU.SERVER_AUTH, EKU.CODE_SIGNING]
        elif lie == "small_serial":
            serial = 0x00AB01
        cert = ca.leaf(key, cn, sans, begin, end, usages, signer, serial)
        text = "%x" % cert.serial_number
        text = text.zfill(len(text) + len(text) % 2)
        text = ":".join(text[i:i + 2] for i in range(0, len(text), 2))
        self.issued[text] = cert
        data = {"certificate": pem(cert), "issuing_ca": chain[0] if chain
                else pem(cert), "ca_chain": chain, "serial_number": text,
                "expiration": int(end.timestamp())}
        if lie == "no_chain":
            del data["ca_chain"]
        elif lie == "no_certificate":
            del data["certificate"]
        elif lie == "two":
            data["certificate"] += pem(ca.cert)
        elif lie == "not_pem":
            data["certificate"] = "-----BEGIN CERTIFICATE-----\nAA\n"
        return 200, {"request_id": "x", "data": data, "warnings": None}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--unit", type=float, default=1.0)
    parser.add_argument("--tls", action="store_true")
    args = parser.parse_args()
    lock = threading.Lock()

    def say(what):
        with lock:
            print(json.dumps(what), flush=True)

    peer = VaultPeer(args.unit, args.tls, report=say)
    say({"listening": peer.port, "ca": pem(peer.authority.cert),
         "root": pem(peer.authority.root)})
    peer.start()
    for line in sys.stdin:
        peer.command(json.loads(line))
        say({"done": True})


if __name__ == "__main__":
    main()
