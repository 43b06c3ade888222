# SPDX-License-Identifier: ISC
"""A server that validates, and what clients and the outside share with it."""

import contextlib
import subprocess

import challenges
import clients
import servers
import x509
from servers import LOCALHOST, free_port, wait_for

METRICS = {
    "issued": "certloop_certificates_issued_total",
    "accounts": "certloop_accounts_created_total",
    "rolled": "certloop_key_changes_total",
    "revoked_by_account": 'certloop_revocations_total{by="account"}',
    "revoked_by_key": 'certloop_revocations_total{by="key"}',
}


def metric_name(word):
    kind = word.replace("_", "-")
    return METRICS.get(word) or \
        f'certloop_validations_total{{type="{kind}",outcome="valid"}}'


class Site:
    """A certloopd with two profiles in challenge mode, `default` and `bound`
    (which wants external account binding), and its name server.

    http_port and tls_port are where it asks; who listens there is for the
    test to say. www is where a web server of web() has its challenges.
    """

    def __init__(self, build, folder, store):
        self.dns = challenges.Dns(folder / "dns")
        self.http_port = free_port()
        self.tls_port = free_port()
        self.webroot = folder / "webroot"
        self.www = self.webroot / ".well-known/acme-challenge"
        self.www.mkdir(parents=True)
        self.daemon = servers.Certloopd(
            build, folder / "server", store=store,
            profiles=self.profile("default")
            + self.profile("bound", "eab_required = true"),
            limits=servers.Certloopd.NO_LIMITS).start()

    def profile(self, name, more=""):
        return f"""
profile {name} {{
  issuer = local
  auth_mode = challenge
  resolvers = {{ "{self.dns.resolver()}" }}
  validation_allow = {{ "127.0.0.0/8" }}
  http_port = {self.http_port}
  tls_port = {self.tls_port}
  {more}
}}
"""

    def remove(self):
        self.daemon.remove()
        self.dns.close()

    def client(self, folder, profile="default"):
        return clients.Run(folder, self.directory(profile), self.daemon.root)

    def directory(self, profile="default"):
        return f"{self.daemon.profile_url(profile)}/directory"

    def new_eab_key(self):
        status, key = self.daemon.admin("POST", "/eab-keys", {
            "name": "a client", "profile": "bound", "max_uses": 1})
        assert status == 201, key
        return key

    # ---- who answers the server

    @contextlib.contextmanager
    def web(self, folder=None):
        """A web server that shows the files of a folder."""
        server = challenges.Http(folder or self.www, port=self.http_port)
        try:
            yield server
        finally:
            server.close()

    @contextlib.contextmanager
    def tls(self, folder, find):
        """A TLS server for acme-tls/1; find: server name -> (cert, key)."""
        server = challenges.Alpn(folder, port=self.tls_port, find=find)
        try:
            yield server
        finally:
            server.close()

    @contextlib.contextmanager
    def ualpn(self, folder):
        """uacme's TLS server: the path of its socket."""
        socket = folder / "ualpn.sock"
        server = None

        def is_up():
            """It ends at once while the port is still held by the past."""
            nonlocal server
            if server is None or server.poll() is not None:
                server = subprocess.Popen(
                    [*servers.WITH_US, "ualpn", "-s", socket, "-b",
                     f"{LOCALHOST}@{self.tls_port}", "-c", f"{LOCALHOST}@9"],
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return socket.exists()
        try:
            wait_for(is_up, 90, "ualpn", 0.2)
            yield socket
        finally:
            server.terminate()
            server.wait(10)

    # ---- what the server made of it

    @contextlib.contextmanager
    def counts(self, **moves):
        """Within, each of these metrics must move by so much. Names: those
        of METRICS, or the end of a challenge type (http_01)."""
        def read():
            series = self.daemon.metrics()
            return {m: series.get(metric_name(m), 0) for m in moves}
        before = read()
        yield
        after = read()
        assert {m: after[m] - before[m] for m in moves} == moves

    def certificate(self, leaf):
        """The admin API's view of a certificate."""
        status, document = self.daemon.admin(
            "GET", f"/certificates/{leaf.serial_number:032x}")
        assert status == 200, document
        return document

    def account(self, leaf):
        """That of the account that it was issued to."""
        account = self.certificate(leaf)["account"]
        status, document = self.daemon.admin("GET", f"/accounts/{account}")
        assert status == 200, document
        return document

    def check(self, chain, names, folder):
        """A chain that is good for these names, to the server as well; the
        leaf. chain: bytes or a path."""
        pem = chain if isinstance(chain, bytes) else chain.read_bytes()
        leaf = x509.split_chain(pem)[0]
        assert x509.names_of(leaf) == set(names)
        x509.openssl_verify(pem, self.daemon.root, folder)
        known = self.certificate(leaf)
        assert known["status"] == "valid"
        assert sorted(known["names"]) == sorted(names)
        return leaf
