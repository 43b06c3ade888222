# SPDX-License-Identifier: ISC
"""What the protocol fuzzer asks beside ACME's signed requests: bytes that are
nearly HTTP, several requests at once, the objects of others, the same bytes
twice, OCSP and CRLs."""

import base64
import json

from cryptography import x509 as cx509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

import proto_flows
import proto_judge as judge
import proto_mutate as odd
from jose import b64, unb64
from proto_flows import BAD_CSR, MISSING
from proto_run import Sent
from proto_spoil import NOBODY

POST = (b"POST /acme/new-order HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/jose+json\r\n")
GET = b"GET /acme/directory HTTP/1.1\r\nHost: localhost\r\n"
FRAMES = (      # bytes, statuses of the one answer
    (b"hello\r\n\r\n", {400}),
    (b"GET /acme/directory HTTP/1.1\r\n\r\n", {400}),
    (GET + b"Host: other\r\n\r\n", {400}),
    (b"GET /acme/directory HTTP/3.0\r\nHost: a\r\n\r\n", {505}),
    (b"GET /acme/directory HTTP/0.9\r\nHost: a\r\n\r\n", {505}),
    (b"GET /acme/directory\r\n\r\n", {400, 505}),
    (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
     b"\r\n", {400}),
    (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", {400}),
    (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", {400}),
    (POST + b"Content-Length: 5, 5\r\n\r\nhello", {400}),
    (POST + b"Content-Length: +5\r\n\r\nhello", {400}),
    (POST + b"Content-Length: -5\r\n\r\nhello", {400}),
    (POST + b"Content-Length: 0x5\r\n\r\nhello", {400}),
    (POST + b"Content-Length: 99999999999999999999\r\n\r\n", {400, 413}),
    (POST + b"Content-Length: 1000000\r\n\r\n", {413}),
    (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", {501}),
    (POST + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n", {400, 501}),
    (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"
     b"\r\n0\r\n\r\n", {400, 501}),
    (POST + b"Transfer-Encoding: chunked\r\n\r\nx\r\n\r\n", {400}),
    (POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", {400}),
    (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
     {400}),
    (POST + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n",
     {400, 413}),
    (POST + b"Transfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n",
     {400}),
    (POST + b"Expect: cake\r\nContent-Length: 1\r\n\r\nx", {417}),
    (b"GET /acme/directory HTTP/1.1\r\nHost : a\r\n\r\n", {400}),
    (GET + b"X: a\r\n b\r\n\r\n", {400}),
    (GET + b"X: a\0b\r\n\r\n", {400}),
    (GET + b": a\r\n\r\n", {400}),
    (GET + b"X a\r\n\r\n", {400}),
    (GET + b"X: " + b"x" * 40000 + b"\r\n\r\n", {431}),
    (GET + b"X: y\r\n" * 200 + b"\r\n", {431}),
    (b"GET /acme/directory HTTP/1.1\nHost: a\n\n", {400}),
    (b"GET  /acme/directory HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET /acme/\x80 HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET /acme/dir ectory HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"CONNECT localhost:443 HTTP/1.1\r\nHost: a\r\n\r\n", {400, 405, 501}),
    (b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", {400, 404}),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}),
    (b"\x16\x03\x01\x02\0\x01\0", {400}),
    (b"GET /" + b"a" * 17000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", {414, 431}),
    (b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET /acme/directory HTTP/1.1\r\nHost: a b\r\n\r\n", {400}),
    (b"GET /acme/directory HTTP/1.1\r\nHost: a/b@c\r\n\r\n", {400}),
)


class Raw(proto_flows.Flows):

    def quietly(self, what, doing):
        """Something that changes nothing."""
        before = self.state
        answer = doing()
        self.state = self.world.snapshot()
        self.complain(self.step, judge.edges(before, self.state))
        self.complain(self.step, judge.change(before, self.state, None,
                                              what))
        return answer

    # ---- framing

    def framing(self):
        data, statuses = self.rng.choice(FRAMES)
        wire = self.rng.choice(self.wires)
        wire.idle()
        method = data.split(b" ")[0].decode("latin-1")
        reply = self.quietly("framing", lambda: wire.ask(
            data, (method,), self.rng.choice((0, 0, 3)))[0])
        self.keep(reply)
        self.outcomes["http", reply.status, reply.problem or ""] += 1
        sent = Sent(method, "/", [], data)
        sent.is_http = False
        self.complain(self.step, judge.answer(sent, reply, None))
        if reply.status not in statuses:
            self.complain(self.step, [f"{data[:200]!r} got {reply!r}"])

    def pipeline(self):
        """Several at once: an answer for each, in order."""
        parts = []
        for _ in range(self.rng.choice((2, 3, 9))):
            parts.append(self.rng.choice((
                ("GET", "/acme/directory", {200}),
                ("HEAD", "/acme/new-nonce", {200}),
                ("GET", "/acme/new-nonce", {204}),
                ("GET", "/nothing", {404}), ("GET", "/healthz", {200}),
                ("PUT", "/acme/new-order", {405}),
                ("POST", "/acme/new-order", {400, 415}),
                ("HEAD", "/nothing", {404}))))
        data = b"".join(
            f"{m} {p} HTTP/1.1\r\nHost: a\r\n"
            f"{'Content-Length: 2' if m in ('POST', 'PUT') else 'X: y'}\r\n"
            f"\r\n{'{}' if m in ('POST', 'PUT') else ''}".encode()
            for m, p, _ in parts)
        wire = self.rng.choice(self.wires)
        replies = self.quietly("pipeline", lambda: wire.ask(
            data, [p[0] for p in parts], self.rng.choice((0, 4))))
        for reply, (method, path, statuses) in zip(replies, parts):
            self.keep(reply)
            self.outcomes["http", reply.status, reply.problem or ""] += 1
            if reply.status not in statuses:
                self.complain(self.step, [f"{method} {path}, one of several, "
                                          f"got {reply!r}"])
        if len(replies) < len(parts) and (
                replies[-1].header("Connection") or "").lower() != "close":
            self.complain(self.step, [f"{len(replies)} answers to "
                                      f"{len(parts)} requests"])

    # ---- whose is it?

    def stranger(self):
        """An object of another account, and one that is not: one answer."""
        kind, table = self.rng.choice((
            ("order", "orders"), ("finalize", "orders"),
            ("authz", "authorizations"), ("challenge", "authorizations"),
            ("cert", "certificates"), ("alternate", "certificates")))
        row = self.pick(self.state[table].values())
        a = row and self.pick(
            a for a in self.accounts if self.status(a) == "valid"
            and a.id != row["account"])
        if not a:
            return
        payload = None
        if kind == "finalize":
            payload = {"csr": b64(odd.csr(
                self.rng, "plain", [i["value"] for i in json.loads(
                    row["identifiers"])], self.ground.keys.leaf(0), {}, None))}
        elif kind in ("authz", "challenge"):
            payload = self.rng.choice((None, {"status": "deactivated"}))
        answers = []
        for name in (row["id"], NOBODY):
            rest = f"{kind}/{name}"
            if kind == "challenge":
                rest += "/http-01"
            elif kind == "finalize":
                rest = f"order/{name}/finalize"
            expect = (MISSING, BAD_CSR) if kind == "finalize" else (MISSING,)
            reply, _ = self.act(self.plan(kind, a, rest, payload, expect))
            answers.append((reply.status, reply.body.replace(
                name.encode(), b"ID"), sorted(k for k, _ in reply.fields)))
        if answers[0] != answers[1]:
            self.complain(self.step, [
                f"{kind} of another account: {answers[0]}, of nobody: "
                f"{answers[1]}"])

    def replay(self):
        """The same bytes again, to whomever: one is answered, if any."""
        plan = self.new_order() or self.new_account()
        first, reading = self.act(plan)
        self.learn(plan, first, reading)
        header = self.last_header()
        before = self.state
        wire = self.rng.choice(self.wires)
        reply = self.deliver(wire, self.last)
        self.state = self.world.snapshot()
        self.complain(self.step, judge.change(before, self.state, None,
                                              reply))
        if reply.status < 400:
            self.complain(self.step, [
                f"the nonce {header['nonce']} was accepted twice: {reply!r}"])
        if first.status < 400 and reply.problem != "badNonce":
            self.complain(self.step, [f"a replay got {reply!r}"])

    def last_header(self):
        return json.loads(unb64(json.loads(self.last.body)["protected"]))

    # ---- of certificates

    def root(self):
        return cx509.load_pem_x509_certificate(
            self.world.members[0].root.read_bytes())

    def ask_ocsp(self):
        row = self.pick(self.state["certificates"].values())
        if row is None:
            return
        if self.issuer is None:
            self.issuer = self.find_issuer(row)
        cert = cx509.load_der_x509_certificate(row["der"])
        good = ocsp.OCSPRequestBuilder().add_certificate(
            cert, self.issuer, self.rng.choice((
                hashes.SHA1, hashes.SHA256))()).build().public_bytes(
                    Encoding.DER)
        clean = self.chance(0.5)
        data = good if clean else odd.chew(self.rng, good)
        url = f"{self.base}/ca/local/ocsp"
        if self.chance(0.5):
            text = base64.b64encode(data).decode()
            for c in "/+=":
                text = text.replace(c, f"%{ord(c):02X}")
            sent = self.request("GET", f"{url}/{text}")
        else:
            sent = self.request("POST", url, data, self.rng.choice((
                "application/ocsp-request",) * 4 + ("text/plain",))
                if not clean else "application/ocsp-request")
        wire = self.rng.choice(self.wires)
        reply = self.quietly("ocsp", lambda: self.deliver(wire, sent))
        if reply.status >= 400:
            if clean:
                self.complain(self.step, [f"a question of OCSP got {reply!r}"])
            return
        try:
            answer = ocsp.load_der_ocsp_response(reply.body)
        except ValueError as e:
            self.complain(self.step, [f"an answer of OCSP: {e}"])
        self.judge_ocsp(answer, row, clean)

    def judge_ocsp(self, answer, row, clean):
        if answer.response_status != ocsp.OCSPResponseStatus.SUCCESSFUL:
            if clean:
                self.complain(self.step, [
                    f"OCSP says {answer.response_status}"])
            return
        cert = cx509.load_der_x509_certificate(row["der"])
        if answer.serial_number != cert.serial_number:
            if clean:
                self.complain(self.step, ["OCSP tells of another serial"])
            return
        says = answer.certificate_status
        if says == ocsp.OCSPCertStatus.REVOKED and row["status"] == "valid" \
                or (says == ocsp.OCSPCertStatus.GOOD and len(self.wires) == 1
                    and row["status"] == "revoked") or \
                clean and says == ocsp.OCSPCertStatus.UNKNOWN:
            self.complain(self.step, [
                f"OCSP says {says} of a certificate that is "
                f"{row['status']}"])

    issuer = None

    def find_issuer(self, row):
        """The CA's certificate, from /ca."""
        sent = self.request("GET", f"{self.base}/ca/local/certificate")
        reply = self.deliver(self.wires[0], sent)
        return cx509.load_der_x509_certificate(reply.body)

    def ask_crl(self):
        path = self.rng.choice(("crl", "crl", "certificate", "crl/1/0",
                                "crl/16/3", "crl/0/0", "crl/99999/1", "crl/",
                                "ocsp", "nothing"))
        issuer = self.rng.choice(("local",) * 4 + ("nobody", "%2e%2e", ""))
        sent = self.request(
            self.rng.choice(("GET", "GET", "HEAD", "POST", "PUT")),
            f"{self.base}/ca/{issuer}/{path}")
        wire = self.rng.choice(self.wires)
        reply = self.quietly("crl", lambda: self.deliver(wire, sent))
        if (sent.method, issuer, path) == ("GET", "local", "crl") and \
                reply.status == 200:
            crl = cx509.load_der_x509_crl(reply.body)
            revoked = {int(c["serial"], 16)
                       for c in self.state["certificates"].values()
                       if c["status"] == "revoked"}
            strange = {e.serial_number for e in crl} - revoked
            if strange:
                self.complain(self.step, [f"the CRL has {strange}"])
