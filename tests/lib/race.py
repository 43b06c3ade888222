# SPDX-License-Identifier: ISC
"""One signed request sent many times at once, by connections that are open
already: a race for its nonce.

    racers = Racers(members, client, 16)
    answers = racers.race(nonce)        # [(status, ACME error name or None)]
    good(answers)
"""

import json
import random
import urllib.parse

import socket

import fleet
import web
from acme import JOSE

PREFIX = "urn:ietf:params:acme:error:"


class Racer:
    """A connection to one replica, that is asked and read apart."""

    def __init__(self, member):
        self.member = member
        self.sock = self.file = None

    def connect(self):
        self.close()
        raw = socket.create_connection(("localhost", self.member.port), 30)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = web.trust(self.member.root).wrap_socket(
            raw, server_hostname="localhost")
        self.file = self.sock.makefile("rb")

    def close(self):
        if self.sock is not None:
            self.file.close()
            self.sock.close()
            self.sock = None

    def send(self, bytes):
        if self.sock is None:
            self.connect()
        self.sock.sendall(bytes)

    def read(self):
        """(status, ACME error name or None, fresh nonce)"""
        status = int(self.file.readline().split()[1])
        fields = {}
        while (line := self.file.readline().rstrip(b"\r\n")):
            name, _, value = line.partition(b":")
            fields[name.lower()] = value.strip().decode()
        body = self.file.read(int(fields.get(b"content-length", 0)))
        if fields.get(b"connection") == "close":
            self.close()
        error = None
        if fields[b"content-type"].startswith("application/problem+json"):
            error = json.loads(body)["type"].removeprefix(PREFIX)
        return status, error, fields.get(b"replay-nonce")


class Racers:
    """n connections, spread over the members; all ask for the account of the
    client. Fresh nonces that answers bring are kept."""

    def __init__(self, members, client, n):
        self.client = client
        self.racers = [Racer(members[i % len(members)]) for i in range(n)]
        self.nonces = []

    def request(self, nonce):
        url = self.client.kid
        path = urllib.parse.urlsplit(url).path
        body = self.client.sign(url, None, nonce=nonce)
        return (f"POST {path} HTTP/1.1\r\n"
                f"Host: {fleet.PUBLIC_URL.split('/')[2]}\r\n"
                f"Content-Type: {JOSE}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode() + body

    def nonce(self):
        """A fresh one: of any of the last answers, so of any replica."""
        if self.nonces:
            nonce = random.choice(self.nonces)
            self.nonces.clear()
            return nonce
        return self.client.nonce()

    def race(self, nonce, between=None):
        """Send the same request by each connection, then read the answers.
        between() is called when about half of them are sent."""
        request = self.request(nonce)
        order = random.sample(self.racers, len(self.racers))
        middle = random.randrange(1, len(order)) if between else None
        for i, racer in enumerate(order):
            if i == middle:
                between()
            racer.send(request)
        answers = [racer.read() for racer in order]
        self.nonces += [fresh for _, _, fresh in answers if fresh]
        return [answer[:2] for answer in answers]

    def close(self):
        for racer in self.racers:
            racer.close()


def good(answers):
    """How many were accepted; every other must have been a badNonce."""
    strange = [a for a in answers if a not in (
        (200, None), (400, "badNonce"))]
    assert not strange, strange
    return answers.count((200, None))
