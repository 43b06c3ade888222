#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Clients that keep asking for certificates while servers come and go.

A worker process makes orders, finalizes and downloads them, and goes on over
refused and broken connections, 503 and badNonce; anything else that goes
wrong is a finding. What the server said it did is remembered: told to end,
the worker finishes every order that it ever saw, fetches every certificate
again, and reports.

    load.py [--patience SECONDS] [--orders N] DIRECTORY ROOT STOP REPORT

It ends when the file STOP exists or after N orders, at the latest after
SECONDS of trying to finish. The report is {"orders": n, "issued": n,
"again": n, "problems": [...], "certificates": {order URL: chain in base64}}.
"""

import argparse
import base64
import http.client
import json
import random
import secrets
import time
from pathlib import Path

import acme
import web
import x509
from jose import b64

# What a server that is being killed may do to a client.
BROKEN = (OSError, http.client.HTTPException)


class Finding(Exception):
    """Something that must not happen."""


class Worker:
    def __init__(self, directory, root, stop, patience):
        self.client = acme.Client(directory, http=web.Web(
            web.trust(root), timeout=15))
        self.stop = Path(stop)
        self.patience = patience
        self.end = None             # when to stop trying, once told to stop
        self.key = x509.new_key()
        self.orders = {}            # URL: names
        self.certificates = {}      # URL of the order: chain
        self.problems = []
        self.again = 0              # requests that had to be repeated

    def is_stopping(self):
        if self.end is None and self.stop.exists():
            self.end = time.monotonic() + self.patience
        return self.end is not None

    def again_or_give_up(self, why):
        self.again += 1
        if self.is_stopping() and time.monotonic() > self.end:
            raise Finding(f"gave up: {why}")
        time.sleep(random.uniform(0.02, 0.1))

    def call(self, url, payload=None, **how):
        """A signed request until there is an answer; success or a Finding.
        An answer that was lost leaves open what was done."""
        while True:
            try:
                response = self.client.send(url, payload, **how)
            except BROKEN as error:
                self.client.nonces.clear()
                self.again_or_give_up(repr(error))
                continue
            if response.problem == "badNonce":
                self.again_or_give_up("badNonce")
                continue
            if response.status == 503:
                if response.header("Retry-After") is None:
                    raise Finding(f"503 without Retry-After: {response!r}")
                self.again_or_give_up("503")
                continue
            return response

    def register(self):
        while True:
            try:
                directory = self.client.directory
                break
            except BROKEN as error:
                self.again_or_give_up(repr(error))
        response = self.call(directory["newAccount"],
                             {"termsOfServiceAgreed": True}, kid=None)
        if response.status not in (200, 201):
            raise Finding(f"new-account: {response!r}")
        self.client.kid = response.header("Location")

    def order(self):
        """A new order. One whose answer was lost is asked for again: the
        server returns the identical live one, or makes it."""
        names = [f"{secrets.token_hex(8)}.example.org"]
        response = self.call(self.client.directory["newOrder"], {
            "identifiers": acme.identifiers(names)})
        if response.status not in (200, 201):
            raise Finding(f"new-order: {response!r}")
        url = response.header("Location")
        self.orders[url] = names
        return url

    def finish(self, url):
        """From wherever the order stands to the certificate."""
        names = self.orders[url]
        body = None
        while True:
            response = self.call(url)
            if response.status != 200:
                raise Finding(f"order {url} is lost: {response!r}")
            body = response.json
            if body["status"] == "valid":
                break
            if body["status"] == "ready":
                csr = x509.make_csr(names, self.key)
                response = self.call(body["finalize"], {"csr": b64(csr)})
                # It may be another attempt of ours that took the order.
                if (response.status != 200
                        and response.problem != "orderNotReady"):
                    raise Finding(f"finalize {url}: {response!r}")
            elif body["status"] == "processing":
                self.again_or_give_up(f"{url} is processing")
                time.sleep(0.2)
            else:
                raise Finding(f"order {url} is {body}")
        response = self.call(body["certificate"])
        if response.status != 200:
            raise Finding(f"certificate of {url}: {response!r}")
        chain = response.body
        leaf = x509.split_chain(chain)[0]
        if x509.names_of(leaf) != set(names):
            raise Finding(f"{url} got {x509.names_of(leaf)}, not {names}")
        if x509.spki(leaf.public_key()) != x509.spki(self.key.public_key()):
            raise Finding(f"{url} got another's key")
        if self.certificates.setdefault(url, chain) != chain:
            raise Finding(f"{url} has two certificates")

    def look(self, step, *arguments):
        try:
            return step(*arguments)
        except Finding as finding:
            self.problems.append(str(finding))
        except Exception as error:
            self.problems.append(f"{step.__name__}: {error!r}")
        return None

    def run(self, limit=None):
        self.look(self.register)
        while not self.problems and not self.is_stopping():
            if limit is not None and len(self.orders) >= limit:
                break
            url = self.look(self.order)
            # One in ten is left for the end.
            if url and random.random() < 0.9:
                self.look(self.finish, url)
        if not self.is_stopping():
            self.end = time.monotonic() + self.patience
        for url in self.orders:
            self.look(self.finish, url)
        return {
            "orders": len(self.orders), "issued": len(self.certificates),
            "again": self.again, "problems": self.problems[:20],
            "certificates": {
                url: base64.b64encode(chain).decode()
                for url, chain in self.certificates.items()}}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--patience", type=float, default=60)
    parser.add_argument("--orders", type=int)
    parser.add_argument("directory")
    parser.add_argument("root")
    parser.add_argument("stop")
    parser.add_argument("report")
    given = parser.parse_args()
    worker = Worker(given.directory, given.root, given.stop, given.patience)
    result = worker.run(given.orders)
    new = Path(given.report + ".new")
    new.write_text(json.dumps(result))
    new.rename(given.report)


if __name__ == "__main__":
    main()
