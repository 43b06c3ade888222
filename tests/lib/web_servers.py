# SPDX-License-Identifier: ISC
"""Web servers that are ACME clients: Caddy, and Apache with mod_md.

Each serves its names over TLS at the site's tls_port, from a folder of its
own, and listens on the loopback address alone. As root they are run as
another user: nothing of the machine is theirs to change.
"""

import json
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path

import servers
import x509
from servers import LOCALHOST, wait_for


class WebServer:
    """One server; what differs is below. names: the first one is asked for
    by served(), "any" in place of a wildcard's star."""

    def __init__(self, site, names, kind="http-01", profile="default",
                 eab=None):
        self.site = site
        self.names = names
        self.kind = kind
        self.directory = site.directory(profile)
        self.eab = eab          # a key as the admin API made it
        self.process = None
        self.owner = {}
        self.folder = Path(tempfile.mkdtemp(prefix="certloop-web-"))
        self.root = self.folder / "root.pem"
        shutil.copy(site.daemon.root, self.root)
        self.root.chmod(0o644)
        if os.getuid() == 0:
            entry = pwd.getpwnam("www-data")
            self.owner = {"user": entry.pw_uid, "group": entry.pw_gid,
                          "extra_groups": []}
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)

    def __enter__(self):
        self.configure()
        with open(self.folder / "output", "ab") as log:
            self.process = subprocess.Popen(
                [*servers.WITH_US, *map(str, self.command())], stdout=log,
                stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                     "HOME": str(self.folder)}, **self.owner)
        return self

    def __exit__(self, *why):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        print(self.log())       # shown if the test fails
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self):
        return "".join(p.read_text(errors="replace") for p in
                       self.folder.glob("output*"))

    def served(self):
        """The certificate, of our root and for the first name, that a TLS
        client gets; None without one."""
        assert self.process.poll() is None, self.log()
        context = ssl.create_default_context(cafile=self.root)
        name = self.names[0].replace("*", "any")
        try:
            with socket.create_connection(
                    (LOCALHOST, self.site.tls_port), 5) as s, \
                    context.wrap_socket(s, server_hostname=name) as tls:
                der = tls.getpeercert(binary_form=True)
        except OSError:
            return None
        return x509.x509.load_der_x509_certificate(der)

    def wait_served(self, folder, but=None, seconds=60):
        """Until it serves a certificate other than `but`, which must be good
        for all names; the leaf."""
        def other():
            leaf = self.served()
            return leaf if leaf != but else None
        leaf = wait_for(other, seconds, "a certificate in use", 0.1)
        chain = self.chain().read_bytes()
        assert x509.split_chain(chain)[0] == leaf
        return self.site.check(chain, self.names, folder)


class Caddy(WebServer):
    """Left to itself it makes a CA of its own for some names, and makes the
    machine trust it: both are switched off.

    always_renews: each certificate is due for renewal at once."""

    always_renews = False

    def issuer(self):
        wanted = {"http-01": "http", "tls-alpn-01": "tls-alpn"}[self.kind]
        ports = {"http": self.site.http_port, "tls-alpn": self.site.tls_port}
        issuer = {
            "module": "acme", "ca": self.directory,
            "email": "caddy@example.org",
            "trusted_roots_pem_files": [str(self.root)],
            "challenges": {
                "bind_host": LOCALHOST,
                **{kind: {"alternate_port": port, "disabled": kind != wanted}
                   for kind, port in ports.items()}}}
        if self.eab is not None:
            issuer["external_account"] = {
                "key_id": self.eab["id"], "mac_key": self.eab["key"]}
        return issuer

    def configure(self):
        policy = {"subjects": self.names, "issuers": [self.issuer()]}
        if self.always_renews:
            policy["renewal_window_ratio"] = 1.0
        http = {"servers": {"site": {
            "listen": [f"{LOCALHOST}:{self.site.tls_port}"],
            "automatic_https": {"disable": True},
            "tls_connection_policies": [{"default_sni": self.names[0]}],
            "routes": [{"match": [{"host": self.names}]}]}}}
        tls = {"certificates": {"automate": self.names},
               "automation": {"policies": [policy], "renew_interval": "1s"}}
        no_trust = {"certificate_authorities": {
            "local": {"install_trust": False}}}
        (self.folder / "caddy.json").write_text(json.dumps({
            "admin": {"disabled": True},
            "storage": {"module": "file_system", "root": str(self.folder)},
            "apps": {"http": http, "tls": tls, "pki": no_trust}}))

    def command(self):
        return ["caddy", "run", "--config", self.folder / "caddy.json"]

    def chain(self):
        [found] = self.folder.glob("certificates/*/*/*.crt")
        return found


class Apache(WebServer):
    """What mod_md got is in use after a graceful restart: see reload().

    lines: more of its configuration; email: the contact."""

    MODULES = ("mpm_event", "authz_core", "socache_shmcb", "ssl", "md")
    lines = ()
    email = "apache@example.org"

    def configure(self):
        site, folder = self.site, self.folder
        host = self.names[0].replace("*", "any")
        load = [f"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so"
                for m in self.MODULES]
        more = list(self.lines)
        if self.eab is not None:
            more.append("MDExternalAccountBinding "
                        f"{self.eab['id']} {self.eab['key']}")
        (folder / "apache.conf").write_text("\n".join([*load, f"""
ServerRoot {folder}
ServerName localhost
PidFile {folder}/pid
ErrorLog {folder}/output-errors
LogLevel warn md:info
Mutex file:{folder}
Listen {LOCALHOST}:{site.http_port}
Listen {LOCALHOST}:{site.tls_port}
Protocols http/1.1 acme-tls/1
MDStoreDir {folder}/md
MDCertificateAuthority {self.directory}
MDCACertificateFile {self.root}
MDCertificateAgreement accepted
MDContactEmail {self.email}
MDCAChallenges {self.kind}
MDPortMap 80:{site.http_port} 443:{site.tls_port}
MDCheckInterval 1s
MDInitialDelay 0s
MDRetryDelay 1s
MDPrivateKeys secp256r1""", *more, f"""
MDomain {" ".join(self.names)}
<VirtualHost *:{site.http_port}>
  ServerName {host}
</VirtualHost>
<VirtualHost *:{site.tls_port}>
  ServerName {host}
  ServerAlias {" ".join(self.names)}
  SSLEngine on
</VirtualHost>
"""]))

    def command(self):
        return ["apache2", "-f", self.folder / "apache.conf", "-D",
                "FOREGROUND"]

    def chain(self):
        [found] = self.folder.glob("md/domains/*/pubcert.*")
        return found

    def is_staged(self):
        """Has it got a certificate that is not in use yet?"""
        assert self.process.poll() is None, self.log()
        return any('"finished": true' in job.read_text() for job in
                   self.folder.glob("md/staging/*/job.json"))

    def reload(self, seconds=60):
        """Take the next certificate of mod_md into use."""
        wait_for(self.is_staged, seconds, "a certificate of mod_md", 0.1)
        self.restart()

    def restart(self):
        """Gracefully: it stays up, and reads its configuration again."""
        self.process.send_signal(signal.SIGUSR1)
