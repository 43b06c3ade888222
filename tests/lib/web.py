# SPDX-License-Identifier: ISC
"""HTTP as the tests need it: kept-alive connections, nothing hidden.

No redirects, no retries, no proxies. A request that was sent is never sent
again: whether that would be right is for the caller to know.
"""

import http.client
import json
import re
import select
import socket
import ssl
import time
import urllib.parse


class Response:
    """Status, header fields and body of one answer."""

    def __init__(self, status, fields, body, seconds=0.0, version=11):
        self.status = status
        self.fields = fields
        self.body = body
        self.seconds = seconds
        self.version = version

    def header(self, name):
        """The value of a header field, None if absent."""
        values = self.headers(name)
        return ", ".join(values) if values else None

    def headers(self, name):
        """All values of a header field, in order."""
        return [v for k, v in self.fields if k.lower() == name.lower()]

    def links(self, rel):
        """Targets of the Link fields with this relation, RFC 8288."""
        found = []
        for value in self.headers("Link"):
            for target, params in re.findall(r"<([^>]*)>([^,]*)", value):
                rels = re.search(r';\s*rel="?([^";]*)"?', params)
                if rels and rel in rels.group(1).split():
                    found.append(target)
        return found

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def is_problem(self):
        kind = self.header("Content-Type") or ""
        return kind.split(";")[0].strip() == "application/problem+json"

    @property
    def problem(self):
        """The ACME error name, "" for about:blank, None if no problem (or
        the answer to a HEAD, which has no body)."""
        if not self.is_problem or not self.body:
            return None
        kind = self.json.get("type", "about:blank")
        if kind == "about:blank":
            return ""
        prefix = "urn:ietf:params:acme:error:"
        assert kind.startswith(prefix), kind
        return kind[len(prefix):]

    def __repr__(self):
        return f"<{self.status} {self.body[:400]!r}>"


def trust(cafile=None, cert=None):
    """A TLS context that trusts one CA file, or everybody for None."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if cafile is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(cafile)
    if cert is not None:
        context.load_cert_chain(*cert)
    return context


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Web:
    """Connections to any number of servers, one open to each.

    tls: what trust() gives.
    via: {"host:port": ("host", port) or "/unix/socket"}, where to connect
    in place of what the URL says; ("host", port) is used with TLS if the URL
    is https and `plain` is false.
    """

    def __init__(self, tls=None, timeout=30, via=None, plain=False):
        self.tls = tls
        self.timeout = timeout
        self.via = via or {}
        self.plain = plain
        self.open = {}
        self.last = None

    def close(self):
        for connection in self.open.values():
            connection.close()
        self.open.clear()

    def _connect(self, scheme, host, port):
        target = self.via.get(f"{host}:{port}", (host, port))
        if isinstance(target, str):
            return _UnixConnection(target, self.timeout)
        if scheme == "https" and not self.plain:
            connection = http.client.HTTPSConnection(
                host, port, timeout=self.timeout, context=self.tls)
            if target != (host, port):
                connection._create_connection = (
                    lambda _, *rest: socket.create_connection(target, *rest))
            return connection
        return http.client.HTTPConnection(*target, timeout=self.timeout)

    def _connection(self, scheme, host, port):
        key = (scheme, host, port)
        connection = self.open.get(key)
        if connection is not None and connection.sock is not None:
            # Readable while nothing is asked: the server has closed it.
            if select.select([connection.sock], [], [], 0)[0]:
                connection.close()
                connection = None
        if connection is None:
            connection = self._connect(scheme, host, port)
            self.open[key] = connection
        return connection

    def request(self, method, url, body=None, headers=None):
        parts = urllib.parse.urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        path = parts.path or "/"
        if parts.query:
            path += "?" + parts.query
        connection = self._connection(parts.scheme, parts.hostname, port)
        fields = {"User-Agent": "certloop-test"}
        fields.update(headers or {})
        start = time.monotonic()
        try:
            connection.request(method, path, body=body, headers=fields)
            answer = connection.getresponse()
            data = answer.read()
        except Exception:
            connection.close()
            raise
        self.last = Response(answer.status, answer.getheaders(), data,
                             time.monotonic() - start, answer.version)
        return self.last

    def get(self, url, **headers):
        return self.request("GET", url, headers=headers)

    def head(self, url):
        return self.request("HEAD", url)
