# SPDX-License-Identifier: ISC
"""Debian's ACME clients, each driven from registration to a certificate.

What each needs of a server whose authorizations are valid from birth:
- lego insists on a challenge type (--http) though it solves none; its port
  is a free one. Trust: LEGO_CA_CERTIFICATES.
- certbot wants an authenticator; `manual` with a hook that is never called
  will do. Trust: REQUESTS_CA_BUNDLE.
- uacme asks its hook only about pending authorizations. It has no option
  for trust: see _uacme_environment.
- dehydrated wants its WELLKNOWN folder to exist. Trust: CURL_OPTS.
- acme-tiny wants a CSR, a key and a challenge folder. Trust: SSL_CERT_FILE.
"""

import shutil
import subprocess
from pathlib import Path

import jose
import servers
import x509

NAMES = ("lego", "certbot", "uacme", "dehydrated", "acme-tiny")


class Run:
    """One client with a folder of its own, against one directory URL."""

    def __init__(self, folder, directory, root):
        self.folder = folder
        self.directory = directory
        self.root = root
        self.output = ""
        self.more = []      # words for lego, certbot and uacme
        self.settings = ""  # lines for dehydrated
        folder.mkdir(parents=True, exist_ok=True)

    def call(self, *command, **environment):
        """Run a client to its end; it must say that it succeeded."""
        done = subprocess.run(
            [str(word) for word in command], cwd=self.folder, timeout=120,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8",
                 "HOME": str(self.folder), **environment})
        self.output += f"$ {' '.join(map(str, command))}\n{done.stdout}"
        assert done.returncode == 0, self.output
        return done.stdout

    def lego(self, names):
        words = ["lego", "--server", self.directory, "--email",
                 "lego@example.org", "--accept-tos", "--path", self.folder,
                 "--http", "--http.port",
                 f"{servers.LOCALHOST}:{servers.free_port()}"]
        for name in names:
            words += ["--domains", name]
        words += self.more
        self.call(*words, "run", LEGO_CA_CERTIFICATES=str(self.root))
        return self.folder / "certificates" / f"{names[0]}.crt"

    def certbot(self, names):
        words = ["certbot", "certonly", "--non-interactive", "--server",
                 self.directory, "--agree-tos", "--email",
                 "certbot@example.org", "--no-eff-email", "--manual",
                 "--manual-auth-hook", "/bin/true",
                 "--preferred-challenges", "http", "--key-type", "ecdsa"]
        for kind in ("config", "work", "logs"):
            words += [f"--{kind}-dir", self.folder / kind]
        for name in names:
            words += ["-d", name]
        words += self.more
        self.call(*words, REQUESTS_CA_BUNDLE=str(self.root))
        return self.folder / "config/live" / names[0] / "fullchain.pem"

    def _uacme_environment(self):
        """uacme trusts what libcurl was built to trust, a folder: a copy of
        that library is given the name of another one."""
        library, trust = self.folder / "lib", self.folder / "trust"
        if not library.exists():
            library.mkdir()
            trust.mkdir()
            own = subprocess.run(["ldd", "/usr/bin/uacme"], check=True,
                                 capture_output=True, text=True).stdout
            path = [Path(line.split()[2]) for line in own.splitlines()
                    if "libcurl" in line][0]
            usual = b"\0/etc/ssl/certs\0"
            data = path.read_bytes()
            assert data.count(usual) == 1, path
            other = b"\0./trust".ljust(len(usual), b"\0")
            (library / path.name).write_bytes(data.replace(usual, other))
        shutil.copy(self.root, trust)
        return {"LD_LIBRARY_PATH": str(library)}

    def uacme(self, names):
        hook = self.folder / "hook"
        hook.write_text("#!/bin/sh\nexit 0\n")
        hook.chmod(0o755)
        environment = self._uacme_environment()
        words = ["uacme", "--acme-url", self.directory, "--confdir",
                 self.folder, "--hook", hook, "--type", "EC", "--yes",
                 "--no-ocsp", *self.more]
        if not (self.folder / "private/key.pem").exists():
            self.call(*words, "new", "uacme@example.org", **environment)
        self.call(*words, "issue", *names, **environment)
        return self.folder / names[0] / "cert.pem"

    def dehydrated(self, names):
        config = self.folder / "config"
        (self.folder / "wellknown").mkdir(exist_ok=True)
        config.write_text(
            f"CA={self.directory}\nBASEDIR={self.folder}\n"
            f"WELLKNOWN={self.folder}/wellknown\n"
            f"CURL_OPTS='--cacert {self.root}'\n"
            "ACCOUNT_KEYSIZE=2048\nKEY_ALGO=prime256v1\n"
            f"CONTACT_EMAIL=dehydrated@example.org\n{self.settings}")
        self.call("dehydrated", "--config", config, "--register",
                  "--accept-terms")
        words = []
        for name in names:
            words += ["--domain", name]
        self.call("dehydrated", "--config", config, "--cron", *words)
        return self.folder / "certs" / names[0] / "fullchain.pem"

    def acme_tiny(self, names):
        account = self.folder / "account.pem"
        if not account.exists():
            account.write_bytes(jose.RsaKey().pem())
        key = x509.new_key()
        (self.folder / "key.pem").write_bytes(x509.key_pem(key))
        request = self.folder / "request.pem"
        request.write_bytes(x509.pem_request(x509.make_csr(names, key)))
        (self.folder / "challenges").mkdir(exist_ok=True)
        pem = self.call(
            "acme-tiny", "--quiet", "--disable-check", "--account-key",
            account, "--csr", request, "--acme-dir",
            self.folder / "challenges", "--directory-url", self.directory,
            SSL_CERT_FILE=str(self.root))
        chain = self.folder / "chain.pem"
        chain.write_text(pem)
        return chain

    def obtain(self, client, names):
        """Register and get a certificate; the path of the chain."""
        return getattr(self, client.replace("-", "_"))(names)
