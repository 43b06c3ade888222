# SPDX-License-Identifier: ISC
"""HTTP over TLS with nothing hidden, for the protocol fuzzer: bytes go out as
they are, and each answer is taken apart strictly (RFC 9112). What a server
says beyond its answers, or in place of one, is a complaint."""

import select
import socket
import ssl
import time

import web
from servers import LOCALHOST

PATIENCE = 60       # seconds for an answer, on a machine that has other work
BODYLESS = (204, 304)


class Broken(Exception):
    """The server did not speak HTTP, or said nothing."""


class Wire:
    """One connection to one process, opened as needed."""

    def __init__(self, port, cafile):
        self.port = port
        self.tls = web.trust(cafile)
        self.sock = None
        self.left = b""     # read, and of no answer yet
        self.slowest = 0.0

    def close(self):
        if self.sock is not None:
            self.sock.close()
        self.sock = None
        self.left = b""

    def _open(self):
        raw = socket.create_connection((LOCALHOST, self.port), PATIENCE)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self.tls.wrap_socket(raw, server_hostname="localhost")
        self.left = b""

    def _read(self):
        """More bytes; False at the end of the stream."""
        try:
            data = self.sock.recv(1 << 17)
        except socket.timeout as e:
            raise Broken(f"no answer in {PATIENCE} s") from e
        except (ssl.SSLError, ConnectionError):
            data = b""
        self.left += data
        return bool(data)

    def idle(self):
        """Before something is asked: is the connection open, and silent?"""
        if self.sock is None:
            return
        while self.sock is not None and (
                self.sock.pending() or select.select(
                    [self.sock], [], [], 0)[0]):
            self.sock.settimeout(0)
            try:
                data = self.sock.recv(1 << 16)
                if not data:
                    self.close()
                    return
                self.left += data
            except ssl.SSLWantReadError:
                break
            except (OSError, ssl.SSLError):
                self.close()
                return
            finally:
                if self.sock is not None:
                    self.sock.settimeout(PATIENCE)
        if self.left:
            raise Broken(f"bytes that nobody asked for: {self.left[:200]!r}")

    def ask(self, data, methods=("POST",), pieces=0):
        """Send bytes, which hold as many requests as there are methods; the
        answers, fewer if the server closes behind one that says so."""
        self.idle()
        if self.sock is None:
            self._open()
        started = time.monotonic()
        self._send(data, pieces)
        answers = []
        for method in methods:
            answer = self._answer(method, started)
            answers.append(answer)
            self.slowest = max(self.slowest, answer.seconds)
            if (answer.header("Connection") or "").lower() == "close":
                self._expect_end()
                break
        return answers

    def _send(self, data, pieces):
        try:
            if pieces:
                step = len(data) // pieces + 1
                for at in range(0, len(data), step):
                    self.sock.sendall(data[at:at + step])
            else:
                self.sock.sendall(data)
        except (ssl.SSLError, OSError):
            pass        # it may have answered all the same, and closed

    def _expect_end(self):
        while self._read():
            pass
        extra = self.left
        self.close()
        if extra:
            raise Broken(f"bytes behind the last answer: {extra[:200]!r}")

    def _answer(self, method, started):
        while True:
            answer = self._one(method, started)
            if answer.status != 100:
                return answer

    def _one(self, method, started):
        while b"\r\n\r\n" not in self.left:
            if len(self.left) > 1 << 16 or not self._read():
                raise Broken(f"no answer, but {self.left[:200]!r} and the end")
        head, _, self.left = self.left.partition(b"\r\n\r\n")
        status, fields = parse_head(head)
        size = body_size(status, fields, method)
        while len(self.left) < size:
            if not self._read():
                raise Broken(f"{len(self.left)} bytes of a body of {size}")
        body, self.left = self.left[:size], self.left[size:]
        return web.Response(status, fields, body,
                            time.monotonic() - started)


def parse_head(head):
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ", 2)
    if len(words) != 3 or words[0] != "HTTP/1.1" or \
            not (words[1].isdigit() and len(words[1]) == 3):
        raise Broken(f"no status line: {lines[0]!r}")
    fields = []
    for line in lines[1:]:
        name, colon, value = line.partition(": ")
        if not colon or not name or not name.replace("-", "").isalnum() or \
                any(ord(c) < 32 or ord(c) == 127 for c in value):
            raise Broken(f"no header field: {line!r}")
        fields.append((name, value))
    return int(words[1]), fields


def body_size(status, fields, method):
    sizes = [v for k, v in fields if k.lower() == "content-length"]
    if status == 100 or status in BODYLESS or method == "HEAD":
        return 0
    if len(sizes) != 1 or not sizes[0].isdigit():
        raise Broken(f"no length of the body: {fields}")
    return int(sizes[0])
