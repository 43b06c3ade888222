# SPDX-License-Identifier: ISC
"""A scripted Vault and a certloopd whose profile `default` it signs for."""

import secrets

import vault_peer
import x509
from jose import b64

KEY = x509.new_key()

PROFILES = """
profile default {
  issuer = vault
  auth_mode = trust_authenticated
  open = true
  lifetime = 24h
}
profile here {
  issuer = local
  auth_mode = trust_authenticated
  open = true
}
"""

QUICK = "lease = 5s\nrecovery_interval = 1s\n"


def fresh():
    return [f"{secrets.token_hex(6)}.example.org"]


class World:
    """A peer, and a certloopd whose profile `default` is signed by it."""

    def __init__(self, new_server, folder, engine="sqlite", tls=False,
                 top=QUICK, options="", ttl=3600, approle=None, token_env=None,
                 **more):
        self.peer = vault_peer.VaultPeer(tls=tls).start()
        self.peer.add_token("s.token", ttl)
        self.folder = folder
        self.token_file = folder / "token"
        self.write_token("s.token")
        self.ca_file = folder / "vault-ca.pem"
        self.ca_file.write_text(vault_peer.pem(self.peer.authority.root))
        self.root = folder / "vault-root.pem"
        self.root.write_text(vault_peer.pem(self.peer.authority.root))
        self.options = options
        self.approle, self.token_env = approle, token_env
        if approle is not None:
            self.peer.command({"approle": {
                "role_id": "r", "secret_id": "s.token", **approle}})
        self.role = "servers"
        self.server = new_server(engine, top=top, profiles=PROFILES,
                                 extra=self.section(), **more)

    def section(self, peer=None):
        peer = peer or self.peer
        ca = f'ca_file = "{self.ca_file}"' if "https" in peer.address else ""
        secret = f'token_file = "{self.token_file}"'
        if self.token_env is not None:
            secret = f"token_env = {self.token_env}"
        if self.approle is not None:
            secret = f'role_id = r\n  secret_id_file = "{self.token_file}"'
        return f"""
issuer vault {{
  type = vault
  address = "{peer.address}"
  {secret}
  role = {self.role}
  {ca}
  {self.options}
}}
"""

    def write_token(self, value):
        new = self.token_file.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(value + "\n")
        new.rename(self.token_file)

    def start(self):
        self.server.start()
        self.client = self.server.client()
        self.client.register()
        return self

    def rewrite(self, peer=None):
        """The configuration with what is set now."""
        self.server.extra = self.section(peer)
        self.server.write_config()

    def always(self, **answers):
        self.peer.command({"always": answers})

    def next(self, *answers):
        self.peer.command({"script": {"sign": list(answers)}})

    def signs(self, peer=None):
        with (peer or self.peer).lock:
            return [r for r in (peer or self.peer).requests
                    if "/sign/" in r["path"]]

    def order(self):
        """A new order and the request for it."""
        names = fresh()
        return self.client.order(names), x509.make_csr(names, KEY)

    def finalize(self, order, csr):
        return self.client.send(order["finalize"], {"csr": b64(csr)})

    def status(self, order):
        return self.client.refresh(order).status

    def count(self, outcome):
        return self.server.metrics()[
            f'certloop_issuance_total{{issuer="vault",outcome="{outcome}"}}']

    def metric(self, name):
        return self.server.metrics()[f'certloop_{name}{{issuer="vault"}}']

    def searches(self, outcome):
        return self.server.metrics().get(
            "certloop_issuer_searches_total"
            f'{{issuer="vault",outcome="{outcome}"}}', 0)

    def failures(self, which):
        return self.server.metrics().get(
            "certloop_issuance_failures_total"
            f'{{issuer="vault",class="{which}"}}', 0)

    def revoked(self):
        with self.peer.lock:
            return {s.replace(":", "") for s in self.peer.revoked}

    def rows(self, sql):
        return self.server.store.query(sql)
