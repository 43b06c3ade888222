# SPDX-License-Identifier: ISC
"""Each example of certloop-security(7) runs, in the order of the page, against
a server that holds what the runbooks speak of, and prints what the page says.

Words in capitals are the reader's: an account, an EAB key, a serial, a token.
"""

import re
import subprocess

import pytest

import manual
import servers
import vault_peer
import x509
from jose import b64

PAGE = "certloop-security.7"
ID = r"\b[0-9a-v]{8}[A-Za-z0-9_-]{22}(?![A-Za-z0-9_-])"


class World:
    """What the runbooks need: an account with a certificate, an EAB key with
    an account, two certificates of the profile `default` and one of another,
    and a Vault whose token was lost."""

    def __init__(self, server, peer, folder):
        self.server, self.peer, self.folder = server, peer, folder
        thief = server.client()
        thief.register()
        thief.obtain(["stolen.example.org"])
        owner = server.client()
        owner.register()
        for name in ("www.example.org", "mail.example.org"):
            order, _, _ = owner.obtain([name])
        other = server.client(profile="other")
        other.register()
        other.obtain(["other.example.org"])
        key = re.search(ID, server.ctl("eab", "add", "lost").stdout)[0]
        done = server.ctl("apikey", "add", "deploy", "--scope", "admin")
        assert done.returncode == 0, done.stderr
        self.words = {
            "ACCOUNT": thief.kid.rpartition("/")[2], "KEY": key,
            "SERIAL": server.store.query(
                "SELECT serial FROM certificates LIMIT 1")[0][0],
            "LATE": str(folder / "late"), "NEW-TOKEN": str(folder / "new"),
            # what the daemon's user and folders are here
            " -o certloop": "", "/etc/certloop": str(folder),
            "/var/lib/certloop": str(server.data)}
        if isinstance(self.words["SERIAL"], bytes):
            self.words["SERIAL"] = self.words["SERIAL"].hex()

    def before(self, block):
        """Let it go wrong first."""
        if block.under == "A lost Vault token" and "show" in block.text:
            self.peer.command({"forget": "s.token"})
            client = self.server.client(profile="signed")
            client.register()
            order = client.order(["vault.example.org"])
            request = x509.make_csr(["vault.example.org"], x509.new_key())
            client.send(order["finalize"], {"csr": b64(request)})
            servers.wait_for(lambda: "degraded" in self.server.ctl(
                "issuer", "show", "company").stdout, 60, "the loss", 0.2)
        elif block.under == "A lost Vault token":
            self.peer.add_token("s.next", 3600)
            (self.folder / "new").write_text("s.next\n")

    def to_real(self, text):
        for word, real in self.words.items():
            if word[0] in " /":
                text = text.replace(word, real)
            else:
                text = re.sub(rf"\b{word}\b(?!-)", lambda m: real, text)
        return text

    def to_page(self, text):
        for word, real in self.words.items():
            text = text.replace(real, word) if real else text
        return text

    def run(self, command):
        server = self.server
        return subprocess.run(
            ["bash", "-c", "set -o pipefail\n" + self.to_real(command)],
            capture_output=True, text=True, timeout=60, cwd=self.folder,
            env={**server.env, "PATH": f"{server.build}:{server.env['PATH']}",
                 "CERTLOOP_SOCKET": str(server.data / "admin.sock")})


@pytest.fixture
def runbook(new_server, tmp_path):
    folder = tmp_path / "etc"
    folder.mkdir()
    token = folder / "vault-token"
    token.touch(mode=0o600)
    token.write_text("s.token\n")
    peer = vault_peer.VaultPeer(tls=False).start()
    peer.add_token("s.token", 8)      # so renewed, or not, every 5 s
    server = new_server(limits="", profiles="""
profile default {
  issuer = local
  allowed_suffixes = { "example.org" }
}
profile other {
  issuer = local
  allowed_suffixes = { "example.org" }
}
profile signed {
  issuer = company
  allowed_suffixes = { "example.org" }
}
""", extra=f"""
issuer company {{
  type = vault
  address = "{peer.address}"
  token_file = "{token}"
  role = servers
}}
""").start()
    yield World(server, peer, folder)
    server.remove()
    peer.stop()


def test_each_example_of_the_page_runs(runbook):
    count = 0
    for block in manual.blocks(PAGE):
        assert block.is_commands, block
        runbook.before(block)
        for command, documented in block.commands():
            done = runbook.run(command)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            assert not servers.SANITIZER.search(done.stderr), done.stderr
            printed = runbook.to_page(done.stdout).splitlines()
            assert manual.fits(documented, printed), "\n".join(
                [f"{block}: {command}", *documented, "--- printed:",
                 *printed, "--- and:", done.stderr])
            count += 1
    assert count > 20
    # what the runbooks say came true
    server = runbook.server
    assert server.store.query("SELECT count(*) FROM certificates WHERE "
                              "revoked_at IS NOT NULL")[0][0] == 4
    client = server.client(profile="signed")
    client.register()
    client.obtain(["again.example.org"])


def test_each_runbook_is_there():
    under = [b.under for b in manual.blocks(PAGE, "WHEN IT WENT WRONG")]
    assert list(dict.fromkeys(under)) == [
        None, "A lost Vault token", "A leaked account key",
        "A leaked EAB key", "A leaked API key", "Everything must be renewed",
        "Much must be revoked", "A leaked CA key",
        "After a restore from a backup"]
