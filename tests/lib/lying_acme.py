# SPDX-License-Identifier: ISC
"""An ACME server that lies, stalls, or breaks off, as it is told: for clients
to prove themselves on. It checks no signature and validates nothing.

mode: what it does wrong, see MODES; "honest" does nothing wrong.
"""

import base64
import datetime
import json
import socketserver
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

import servers

MODES = {
    "honest", "other-key", "other-names", "same-serial", "bad-signature",
    "expired", "no-issuer", "garbage", "large-body", "large-header", "cut",
    "hang", "drip", "redirect", "foreign-url", "no-json", "no-nonce",
    "no-location", "processing", "bad-nonce", "bad-nonce-once", "stall",
    "close-at-once", "two-replies", "escapes",
}


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class LyingAcme:
    def __init__(self, mode="honest", stall=1.0, stall_at=25):
        assert mode in MODES, mode
        self.mode = mode
        self.stall = stall
        self.stall_at = stall_at    # the request that takes so long
        self.requests = 0
        self.orders = []
        self.refused = set()
        self.lock = threading.Lock()
        self.ending = threading.Event()
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.root = self._sign(self.key.public_key(), "a root", None, 1)
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                while not outer.ending.is_set() and \
                        outer.serve(self.rfile, self.wfile):
                    pass

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request, client_address):
                pass    # the client has had enough

        self.port = servers.free_port()
        self.server = Server((servers.LOCALHOST, self.port), Handler)
        self.url = f"http://{servers.LOCALHOST}:{self.port}"
        self.directory = f"{self.url}/dir"
        threading.Thread(target=self.server.serve_forever, args=(0.05,),
                         daemon=True).start()

    def close(self):
        self.ending.set()
        self.server.shutdown()
        self.server.server_close()

    # ---- certificates

    def _sign(self, public, subject, names, serial, key=None, days=(-1, 30)):
        now = datetime.datetime.utcnow()
        builder = (
            x509.CertificateBuilder().subject_name(name(subject))
            .issuer_name(name("a root")).public_key(public)
            .serial_number(serial)
            .not_valid_before(now + datetime.timedelta(days=days[0]))
            .not_valid_after(now + datetime.timedelta(days=days[1]))
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
                self.key.public_key()), False)
            .add_extension(x509.BasicConstraints(names is None, None), True))
        if names is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName(
                [x509.DNSName(n) for n in names]), False)
        return builder.sign(key or self.key, hashes.SHA256())

    def chain(self, csr):
        public = csr.public_key()
        names = csr.extensions.get_extension_for_class(
            x509.SubjectAlternativeName).value.get_values_for_type(
                x509.DNSName)
        serial, key, days = x509.random_serial_number(), None, (-1, 30)
        if self.mode == "other-key":
            public = ec.generate_private_key(ec.SECP256R1()).public_key()
        elif self.mode == "other-names":
            names = [*names, "more.example"]
        elif self.mode == "same-serial":
            serial = 4711
        elif self.mode == "bad-signature":
            key = ec.generate_private_key(ec.SECP256R1())
        elif self.mode == "expired":
            days = (-9, -1)
        leaf = self._sign(public, names[0][:60], names, serial, key, days)
        chain = [leaf] if self.mode == "no-issuer" else [leaf, self.root]
        return b"".join(c.public_bytes(Encoding.PEM) for c in chain)

    # ---- HTTP

    def serve(self, rfile, wfile):
        """One request; False: the connection ends."""
        line = rfile.readline().split()
        if len(line) != 3:
            return False
        length = 0
        while (field := rfile.readline().strip()):
            key, _, value = field.partition(b":")
            if key.lower() == b"content-length":
                length = int(value)
        body = rfile.read(length)
        with self.lock:
            self.requests += 1
            if self.mode == "stall" and self.requests == self.stall_at:
                time.sleep(self.stall)
        path = line[1].decode()
        status, answer, fields = self.answer(path, body)
        head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(answer)}",
                *fields]
        if not (self.mode == "no-nonce" and path != "/dir"):
            head.append(f"Replay-Nonce: nonce{self.requests}")
        whole = "\r\n".join(head).encode() + b"\r\n\r\n"
        if line[0] != b"HEAD":
            whole += answer
        return self.send(path, whole, wfile)

    def send(self, path, whole, wfile):
        """As the mode has it, where finalize is concerned."""
        if not path.endswith("/finalize"):
            wfile.write(whole)
            return True
        if self.mode == "garbage":
            wfile.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
        elif self.mode == "large-header":
            wfile.write(b"HTTP/1.1 200 X\r\nA: " + b"a" * 100000 + b"\r\n")
        elif self.mode == "cut":
            wfile.write(whole[:-10])
            return False
        elif self.mode == "close-at-once":
            return False
        elif self.mode == "hang":
            self.ending.wait(60)
        elif self.mode == "drip":
            for i in range(len(whole)):
                wfile.write(whole[i:i + 1])
                if self.ending.wait(0.05):
                    return False
        elif self.mode == "two-replies":
            wfile.write(whole + whole)
        else:
            wfile.write(whole)
        return True

    # ---- ACME

    def refuse(self, kind, detail="no"):
        text = json.dumps({"type": f"urn:ietf:params:acme:error:{kind}",
                           "detail": detail})
        return 400, text.encode(), ["Content-Type: application/problem+json"]

    def answer(self, path, body):
        base = self.url
        if path == "/dir":
            new = "http://elsewhere.example" if self.mode == "foreign-url" \
                else base
            return 200, json.dumps({
                "newNonce": f"{base}/nonce", "newAccount": f"{base}/account",
                "newOrder": f"{new}/order"}).encode(), []
        if path == "/nonce":
            return 200, b"", []
        if path == "/account":
            return 201, b"{}", [f"Location: {base}/account/1"]
        if self.mode == "bad-nonce":
            return self.refuse("badNonce")
        if self.mode == "bad-nonce-once" and body not in self.refused and \
                len(self.refused) % 2 == 0:
            self.refused.add(body)
            return self.refuse("badNonce")
        self.refused.add(body)
        return self.answer_order(path, json.loads(body))

    def answer_order(self, path, jws):
        base, payload = self.url, unb64(jws["payload"])
        if path == "/order":
            if self.mode == "no-json":
                return 201, b"hello", []
            if self.mode == "escapes":
                return self.refuse("x\u0007\u009b\"'y",
                                   "\u001b[31m" + "a\u0300" * 200)
            if self.mode == "redirect":
                return 302, b"", [f"Location: {base}/order"]
            with self.lock:
                self.orders.append(None)
                i = len(self.orders) - 1
            where = [] if self.mode == "no-location" else [
                f"Location: {base}/order/{i}"]
            return 201, self.order(i, "ready"), where
        i = int(path.split("/")[2])
        if path.endswith("/finalize"):
            csr = unb64(json.loads(payload)["csr"])
            self.orders[i] = x509.load_der_x509_csr(csr)
            if self.mode == "large-body":
                return 200, b"a" * (2 << 20), []
        if path.startswith("/certificate"):
            return 200, self.chain(self.orders[i]), []
        status = "processing" if self.mode == "processing" else "valid"
        return 200, self.order(i, status), []

    def order(self, i, status):
        order = {"status": status, "authorizations": [],
                 "finalize": f"{self.url}/order/{i}/finalize"}
        if status == "valid":
            order["certificate"] = f"{self.url}/certificate/{i}"
        return json.dumps(order).encode()
