# SPDX-License-Identifier: ISC
"""Debian's ACME clients, each with a folder of its own against one server.

Run.obtain() goes from registration to a certificate at a server whose
authorizations are valid from birth; the run_* methods give one command to a
client, with the words of the caller. What each needs:
- lego insists on a challenge type (--http) though it may solve none; its
  port is a free one. Trust: LEGO_CA_CERTIFICATES.
- certbot wants an authenticator; `manual` with a hook that is never called
  will do. Trust: REQUESTS_CA_BUNDLE.
- uacme asks its hook only about pending authorizations. It has no option
  for trust: see _uacme_environment.
- dehydrated wants its WELLKNOWN folder to exist. Trust: CURL_OPTS.
- acme-tiny wants a CSR, a key and a challenge folder. Trust: SSL_CERT_FILE.
- python3-acme is a library: python_acme.py is the program over it.
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
        self.settings = {}  # of dehydrated
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

    # ---- one command of a client

    def run_lego(self, names, *words, command=("run",), **environment):
        """The words stand before the command; the path of the chain."""
        for name in names:
            words += ("--domains", name)
        self.call("lego", "--server", self.directory, "--email",
                  "lego@example.org", "--accept-tos", "--path", self.folder,
                  *words, *self.more, *command,
                  LEGO_CA_CERTIFICATES=str(self.root), **environment)
        first = names[0].replace("*", "_")
        return self.folder / "certificates" / f"{first}.crt"

    def run_certbot(self, command, *words):
        words += ("--non-interactive", "--server", self.directory)
        for kind in ("config", "work", "logs"):
            words += (f"--{kind}-dir", self.folder / kind)
        return self.call("certbot", command, *words,
                         REQUESTS_CA_BUNDLE=str(self.root))

    def certbot_certonly(self, names, *words):
        """certonly with the authenticator of the words; the chain's path."""
        for name in names:
            words += ("-d", name)
        self.run_certbot("certonly", "--agree-tos", "--email",
                         "certbot@example.org", "--no-eff-email",
                         "--key-type", "ecdsa", *words, *self.more)
        first = names[0].removeprefix("*.")
        return self.folder / "config/live" / first / "fullchain.pem"

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

    def run_uacme(self, *words):
        return self.call(
            "uacme", "--acme-url", self.directory, "--confdir", self.folder,
            "--type", "EC", "--yes", *self.more, *words,
            **self._uacme_environment())

    def uacme_issue(self, names, hook, *words):
        """An account at the first call; the path of the chain."""
        if not (self.folder / "private/key.pem").exists():
            self.run_uacme("new", "uacme@example.org")
        self.run_uacme("--hook", hook, "--no-ocsp", *words, "issue", *names)
        first = names[0].removeprefix("*.")
        return self.folder / first / "cert.pem"

    def run_dehydrated(self, *words, **settings):
        (self.folder / "wellknown").mkdir(exist_ok=True)
        lines = {"CA": self.directory, "BASEDIR": self.folder,
                 "WELLKNOWN": self.folder / "wellknown",
                 "CURL_OPTS": f"'--cacert {self.root}'",
                 "KEYSIZE": 2048, "KEY_ALGO": "prime256v1",
                 "CONTACT_EMAIL": "dehydrated@example.org",
                 **self.settings, **settings}
        config = self.folder / "config"
        config.write_text("".join(f"{k}={v}\n" for k, v in lines.items()))
        return self.call("dehydrated", "--config", config, *words)

    def dehydrated_cron(self, names, *words, **settings):
        """An account at the first call; the path of the chain."""
        if not (self.folder / "accounts").exists():
            self.run_dehydrated("--register", "--accept-terms", **settings)
        for name in names:
            words += ("--domain", name)
        self.run_dehydrated("--cron", *words, **settings)
        return self.folder / "certs" / names[0] / "fullchain.pem"

    def run_acme_tiny(self, names, challenges, *words):
        account = self.folder / "account.pem"
        if not account.exists():
            account.write_bytes(jose.RsaKey().pem())
        key = x509.new_key()
        (self.folder / "key.pem").write_bytes(x509.key_pem(key))
        request = self.folder / "request.pem"
        request.write_bytes(x509.pem_request(x509.make_csr(names, key)))
        pem = self.call(
            "acme-tiny", "--quiet", "--disable-check", "--account-key",
            account, "--csr", request, "--acme-dir", challenges,
            "--directory-url", self.directory, *words,
            SSL_CERT_FILE=str(self.root))
        chain = self.folder / "chain.pem"
        chain.write_text(pem)
        return chain

    def run_python_acme(self, command, *words):
        """Apart from this process, in which `acme` is another module."""
        program = Path(__file__).with_name("python_acme.py")
        return self.call("/usr/bin/python3", "-P", program, self.directory,
                         self.root, self.folder, command, *words)

    # ---- from registration to a certificate

    def lego(self, names):
        return self.run_lego(
            names, "--http", "--http.port",
            f"{servers.LOCALHOST}:{servers.free_port()}")

    def certbot(self, names):
        return self.certbot_certonly(
            names, "--manual", "--manual-auth-hook", "/bin/true",
            "--preferred-challenges", "http")

    def uacme(self, names):
        hook = self.folder / "hook"
        hook.write_text("#!/bin/sh\nexit 0\n")
        hook.chmod(0o755)
        return self.uacme_issue(names, hook)

    def dehydrated(self, names):
        return self.dehydrated_cron(names)

    def acme_tiny(self, names):
        challenges = self.folder / "challenges"
        challenges.mkdir(exist_ok=True)
        return self.run_acme_tiny(names, challenges)

    def obtain(self, client, names):
        """Register and get a certificate; the path of the chain."""
        return getattr(self, client.replace("-", "_"))(names)
