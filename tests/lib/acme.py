# SPDX-License-Identifier: ISC
"""An ACME client for tests, RFC 8555: polite by default, rude on request.

Client.send() makes one signed request and returns whatever the server says;
each part of the request can be replaced. Client.post() is what a good client
does: it repeats the request with a fresh nonce after badNonce (RFC 8555
section 6.5) and raises Refused for other problems.
"""

import threading
import time

import jose
import web
import x509
from jose import b64, compact, sign_jws

AUTO = object()
JOSE = "application/jose+json"


class Refused(Exception):
    """The server answered with a problem document, or anything but 2xx."""

    def __init__(self, response, doing):
        self.response = response
        self.problem = response.problem
        self.status = response.status
        super().__init__(f"{doing}: {response!r}")


def dns(name):
    return {"type": "dns", "value": name}


def ip(address):
    return {"type": "ip", "value": address}


def identifiers(names):
    """Identifier objects of names; what is a dict already stays as it is."""
    out = []
    for name in names:
        if isinstance(name, str):
            is_ip = ":" in name or name.replace(".", "").isdigit()
            name = ip(name) if is_ip else dns(name)
        out.append(name)
    return out


def at_once(calls):
    """Call each from a thread of its own at the same moment; what they
    returned, in order."""
    gate = threading.Barrier(len(calls))
    results = [None] * len(calls)

    def go(i, call):
        gate.wait()
        results[i] = call()
    threads = [threading.Thread(target=go, args=pair)
               for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class Order:
    """An order as last seen."""

    def __init__(self, url, body):
        self.url = url
        self.body = body

    status = property(lambda self: self.body["status"])

    def __getitem__(self, member):
        return self.body[member]


class Client:
    """One account key, and the nonces that it has in hand.

    directory: URL, fetched at the first use.
    tls: see web.trust; http: a web.Web to use in place of a new one.
    """

    def __init__(self, directory, tls=None, key=None, http=None):
        self.directory_url = directory
        self.http = http or web.Web(tls or web.trust(None))
        self.key = key or jose.make_key("ES256")
        self.kid = None
        self.nonces = []
        self.bad_nonces = 0     # badNonce answers that post() overcame
        self._directory = None

    def twin(self):
        """Another client of the same account, with a connection and a nonce
        of its own."""
        other = Client(self.directory_url, key=self.key, http=web.Web(
            self.http.tls, self.http.timeout, self.http.via,
            self.http.plain))
        other.kid = self.kid
        other.nonces.append(other.nonce())
        return other

    # ---- unsigned

    @property
    def directory(self):
        if self._directory is None:
            self._directory = self.http.get(self.directory_url).json
        return self._directory

    def request(self, method, url, body=None, headers=None):
        """Any request; a nonce in the answer is kept."""
        response = self.http.request(method, url, body, headers)
        self.nonces += response.headers("Replay-Nonce")
        return response

    def nonce(self):
        """A nonce that was not used yet, the newest."""
        if not self.nonces:
            response = self.request("HEAD", self.directory["newNonce"])
            if not self.nonces:
                raise Refused(response, "HEAD new-nonce")
        return self.nonces.pop()

    # ---- signed

    def header(self, url, key=None, kid=AUTO, jwk=AUTO, alg=AUTO,
               nonce=AUTO, header_url=AUTO, extra=None, drop=()):
        """A protected header. kid wins over jwk if the account is known."""
        key = key or self.key
        if kid is AUTO:
            kid = self.kid if jwk is AUTO else None
        if jwk is AUTO:
            jwk = key.jwk() if kid is None else None
        if alg is AUTO:
            alg = key.alg
        members = {"alg": alg, "kid": kid, "jwk": jwk}
        members = {k: v for k, v in members.items() if v is not None}
        if "nonce" not in drop:
            members["nonce"] = self.nonce() if nonce is AUTO else nonce
        members["url"] = url if header_url is AUTO else header_url
        members.update(extra or {})
        return {k: v for k, v in members.items() if k not in drop}

    def sign(self, url, payload, key=None, protected=None, edit=None,
             **header):
        """The body of a signed request, as bytes.

        protected: the very bytes of the header, or a function from the dict
        to bytes. edit: a function from the JWS dict to a dict or to bytes.
        """
        key = key or self.key
        if not isinstance(protected, bytes):
            members = self.header(url, key=key, **header)
            protected = protected(members) if protected else members
        jws = sign_jws(key, protected, payload)
        if edit is not None:
            jws = edit(jws)
        return jws if isinstance(jws, bytes) else compact(jws)

    def send(self, url, payload=None, content_type=JOSE, body=None,
             headers=None, **how):
        """One signed request as asked for, and its answer."""
        if body is None:
            body = self.sign(url, payload, **how)
        fields = dict(headers or {})
        if content_type is not None:
            fields["Content-Type"] = content_type
        return self.request("POST", url, body, fields)

    def post(self, url, payload=None, **how):
        """A signed request that must succeed; payload None is POST-as-GET."""
        for _ in range(4):
            response = self.send(url, payload, **how)
            if response.problem != "badNonce":
                break
            self.bad_nonces += 1
        if not 200 <= response.status < 300:
            raise Refused(response, f"POST {url}")
        return response

    # ---- the flow

    def register(self, **members):
        """New account, or the existing one of this key; its answer."""
        members.setdefault("termsOfServiceAgreed", True)
        response = self.post(self.directory["newAccount"], members,
                             kid=None)
        self.kid = response.header("Location")
        return response

    def order(self, names, **members):
        members["identifiers"] = identifiers(names)
        response = self.post(self.directory["newOrder"], members)
        return Order(response.header("Location"), response.json)

    def refresh(self, order):
        order.body = self.post(order.url).json
        return order

    def wait(self, order, done=("valid", "invalid"), seconds=30):
        """Poll as Retry-After says until the status is one of `done`."""
        end = time.monotonic() + seconds
        while order.status not in done:
            assert time.monotonic() < end, order.body
            pause = self.http.last and self.http.last.header("Retry-After")
            time.sleep(min(float(pause or 0.2), 1.0))
            self.refresh(order)
        return order

    def authorize(self, order):
        """Answer the first challenge of each pending authorization."""
        for url in order["authorizations"]:
            authorization = self.post(url).json
            if authorization["status"] == "pending":
                self.post(authorization["challenges"][0]["url"], {})
        if order.status == "pending":
            self.wait(order, ("ready", "valid", "invalid"))
        assert order.status == "ready", order.body
        return order

    def finalize(self, order, csr):
        """Hand in a request in DER and wait for the end of it."""
        response = self.post(order["finalize"], {"csr": b64(csr)})
        order.body = response.json
        self.wait(order)
        assert order.status == "valid", order.body
        return order

    def download(self, order):
        """The chain in PEM, as bytes."""
        response = self.post(order["certificate"])
        kind = response.header("Content-Type").split(";")[0]
        assert kind == "application/pem-certificate-chain", kind
        return response.body

    def obtain(self, names, key=None, **csr):
        """From names to a certificate: (order, chain in PEM, key)."""
        if self.kid is None:
            self.register()
        key = key or x509.new_key()
        order = self.authorize(self.order(names))
        self.finalize(order, x509.make_csr(names, key, **csr))
        return order, self.download(order), key
