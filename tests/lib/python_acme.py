#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""A client over Debian's python3-acme, the library that certbot is made of.

    python3 -P python_acme.py DIRECTORY ROOT FOLDER COMMAND [ARGUMENT...]

FOLDER keeps the account and the last certificate. Commands:

    issue http-01|dns-01 WHERE NAME...   to FOLDER/chain.pem and key.pem;
                  responses are put into the folder WHERE: one file a token,
                  or the zone of challenges.Dns
    bind KID KEY  an account by external account binding
    update EMAIL  another contact
    relinquish NAME   order it and deactivate its authorization
    revoke account|key REASON
    deactivate    the account

-P, because the folder of this file has another module called acme.
"""

import datetime
import ipaddress
import sys
from pathlib import Path

import josepy
import OpenSSL.crypto as crypto
from acme import challenges, client, crypto_util, errors, messages
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

KEYS = {"PEM": serialization.Encoding.PEM,
        "format": serialization.PrivateFormat.PKCS8,
        "encryption": serialization.NoEncryption()}


def new_key(path):
    """A key on P-256, kept in a file."""
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(key.private_bytes(*KEYS.values()))
    return key


def load_key(path):
    return serialization.load_pem_private_key(path.read_bytes(), None)


def soon():
    return datetime.datetime.now() + datetime.timedelta(seconds=60)


class Client:
    def __init__(self, directory, root, folder):
        self.directory = directory
        self.root = root
        self.folder = Path(folder)
        path = self.folder / "account.pem"
        key = load_key(path) if path.exists() else new_key(path)
        self.acme = self.connect(key)

    def connect(self, key):
        network = client.ClientNetwork(
            josepy.JWKEC(key=key), alg=josepy.ES256, verify_ssl=self.root)
        found = network.get(self.directory).json()
        return client.ClientV2(messages.Directory.from_json(found), network)

    def register(self, **members):
        """The account of the key, made at the first call. What the library
        read of it is dropped: it cannot write a binding out again."""
        members = {"email": "python@example.org", **members}
        new = messages.NewRegistration.from_data(
            terms_of_service_agreed=True, **members)
        try:
            return self.acme.new_account(new)
        except errors.ConflictError as known:
            nothing = messages.Registration()
            account = self.acme.query_registration(
                messages.RegistrationResource(uri=known.location,
                                              body=nothing))
            return account.update(body=nothing)

    def respond(self, authorization, kind, where):
        [body] = [c for c in authorization.body.challenges
                  if c.chall.typ == kind]
        response, value = body.response_and_validation(self.acme.net.key)
        if kind == "http-01":
            token = body.chall.encode("token")
            (where / token).write_text(value)
        else:
            name = authorization.body.identifier.value
            owner = challenges.DNS01.LABEL + "." + name
            with open(where / f"{owner}.TXT", "a") as f:
                f.write(f"{value}\n")
        self.acme.answer_challenge(body, response)

    def order(self, names):
        key = new_key(self.folder / "key.pem")
        pem = key.private_bytes(*KEYS.values())
        plain = [n for n in names if not is_address(n)]
        addresses = [ipaddress.ip_address(n) for n in names if is_address(n)]
        return self.acme.new_order(crypto_util.make_csr(
            pem, plain or None, ipaddrs=addresses or None))

    def issue(self, kind, where, *names):
        self.register()
        order = self.order(names)
        for authorization in order.authorizations:
            self.respond(authorization, kind, Path(where))
        order = self.acme.poll_and_finalize(order, soon())
        (self.folder / "chain.pem").write_text(order.fullchain_pem)

    def bind(self, kid, key):
        binding = messages.ExternalAccountBinding.from_data(
            self.acme.net.key.public_key(), kid, key, self.acme.directory)
        account = self.register(external_account_binding=binding)
        assert account.body.status == "valid", account

    def update(self, email):
        account = self.register()
        account = self.acme.update_registration(
            account, messages.Registration(contact=(f"mailto:{email}",)))
        assert account.body.emails == (email,), account

    def relinquish(self, name):
        self.register()
        [authorization] = self.order([name]).authorizations
        after = self.acme.deactivate_authorization(authorization)
        assert after.body.status == messages.STATUS_DEACTIVATED, after

    def revoke(self, who, reason):
        if who == "account":
            self.register()
        else:
            self.acme = self.connect(load_key(self.folder / "key.pem"))
        chain = (self.folder / "chain.pem").read_bytes()
        leaf = crypto.load_certificate(crypto.FILETYPE_PEM, chain)
        self.acme.revoke(josepy.ComparableX509(leaf), int(reason))

    def deactivate(self):
        account = self.acme.deactivate_registration(self.register())
        assert account.body.status == "deactivated", account


def is_address(name):
    return ":" in name or name.replace(".", "").isdigit()


def main():
    directory, root, folder, command, *words = sys.argv[1:]
    getattr(Client(directory, root, folder), command)(*words)


if __name__ == "__main__":
    main()
