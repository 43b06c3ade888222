# SPDX-License-Identifier: ISC
"""Cert loops in service: HAProxy through renewals, an issuer that says when
to come back, RSA keys."""

import datetime
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509 as cx509
from cryptography.hazmat.primitives.asymmetric import rsa

from servers import LOCALHOST, WITH_US, free_port, wait_for
from vault_world import World

HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"


def loop(name, names, *lines):
    names = ", ".join(f'"{n}"' for n in names)
    body = "\n".join(f"  {line}" for line in lines)
    return f"\nloop {name} {{\n  names = {{ {names} }}\n{body}\n}}\n"


def show(server, name):
    done = server.ctl("--json", "loop", "show", name)
    return json.loads(done.stdout) if done.returncode == 0 else None


def wait_delivered(server, name, version, seconds=40):
    def lies_there():
        shown = show(server, name)
        return shown and shown["nodes"] and all(
            n["delivered"] == version for n in shown["nodes"])
    wait_for(lies_there, seconds, f"version {version} of {name} to be here")


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


# ---- HAProxy

class HAProxy:
    """HAProxy in master-worker mode with the combined PEM of a loop. SIGUSR2
    makes its master start new workers with the files as they are; sockets
    pass from the old to the new."""

    def __init__(self, folder, pem):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.pid_file = folder / "pid"
        (folder / "haproxy.cfg").write_text(f"""
global
    stats socket {folder}/stats mode 600 expose-fd listeners
    hard-stop-after 10s
defaults
    mode http
    timeout client 10s
    timeout connect 10s
    timeout server 10s
frontend web
    bind {LOCALHOST}:{self.port} ssl crt {pem}
    http-request return status 200 content-type text/plain string ok
""")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [*WITH_US, HAPROXY, "-W", "-db", "-p", str(self.pid_file), "-f",
             str(self.folder / "haproxy.cfg")],
            stdout=open(self.folder / "log", "ab"), stderr=subprocess.STDOUT)
        wait_for(lambda: self.pid_file.exists() and self.is_there(), 20,
                 "haproxy")
        return self

    def is_there(self):
        assert self.process.poll() is None, \
            (self.folder / "log").read_text()
        try:
            return self.ask() is not None
        except ConnectionRefusedError:
            return False

    def ask(self):
        """One request; the serial of the certificate that it showed."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with socket.create_connection((LOCALHOST, self.port), 20) as s:
            with context.wrap_socket(s) as t:
                der = t.getpeercert(True)
                t.sendall(b"GET / HTTP/1.1\r\nHost: w\r\n"
                          b"Connection: close\r\n\r\n")
                answer = b""
                while some := t.recv(4096):
                    answer += some
        assert answer.startswith(b"HTTP/1.1 200"), answer[:100]
        return cx509.load_der_x509_certificate(der).serial_number

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)


class Hammer:
    """A client that asks again and again."""

    def __init__(self, ask):
        self.ask = ask
        self.seen, self.failed = [], []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopped.is_set():
            try:
                self.seen.append(self.ask())
            except Exception as error:
                self.failed.append(error)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()


def serial_in(pem):
    return cx509.load_pem_x509_certificate(Path(pem).read_bytes()) \
        .serial_number


@pytest.mark.skipif(not Path(HAPROXY).exists(), reason="no haproxy")
def test_haproxy_serves_through_renewals_without_a_failed_handshake(
        new_server, tmp_path):
    pem, bad = tmp_path / "haproxy/site.pem", tmp_path / "bad"
    haproxy = HAProxy(tmp_path / "haproxy", pem)
    hook = tmp_path / "hook"
    # as an operator would write it: look first, then reload
    hook.write_text(f"""#!/bin/sh
set -e
{HAPROXY} -c -q -f {tmp_path}/haproxy/haproxy.cfg
test ! -e {bad}
test ! -e {haproxy.pid_file} || kill -USR2 $(cat {haproxy.pid_file})
""")
    hook.chmod(0o755)
    server = new_server(extra=loop(
        "site", ["site.example.org"], f'combined_file = "{pem}"',
        f'hook = {{ "{hook}" }}')).start()
    wait_delivered(server, "site", 1)
    assert os.stat(pem).st_mode & 0o777 == 0o600
    haproxy.start()
    try:
        with Hammer(haproxy.ask) as client:
            wait_for(lambda: client.seen, 20, "the first request")
            for version in range(2, 5):
                server.ctl("loop", "renew", "site")
                wait_delivered(server, "site", version)
                want = serial_in(pem)
                wait_for(lambda: client.seen and client.seen[-1] == want, 20,
                         "haproxy to show the new certificate")
            # a hook that says no leaves the old pair in service
            bad.touch()
            server.ctl("loop", "renew", "site")
            wait_for(lambda: server.metrics().get(
                'certloop_loop_deliveries_total{outcome="put_back"}') == 1,
                20, "the pair to be put back")
            assert show(server, "site")["version"] == 5
            assert serial_in(pem) == want
            more = len(client.seen) + 5
            wait_for(lambda: len(client.seen) > more, 20, "more requests")
            assert client.seen[-1] == want
            # also if it is started anew
            os.kill(haproxy.process.pid, 12)    # SIGUSR2
            more = len(client.seen) + 20
            wait_for(lambda: len(client.seen) > more, 20, "more requests")
            assert client.seen[-1] == want
    finally:
        haproxy.stop()
    assert client.failed == []
    assert len(set(client.seen)) == 4


# ---- an issuer that says when to come back

def test_what_the_issuer_says_of_later_is_obeyed_and_no_failure(
        new_server, tmp_path):
    w = World(new_server, tmp_path)
    w.server.extra += loop("web", ["www.example.org"],
                           f'folder = "{tmp_path}/web"')
    w.server.write_config()
    w.always(sign={"status": 429, "errors": ["slow down"],
                   "headers": {"Retry-After": "3600"}})
    w.server.start()
    wait_for(lambda: w.server.metrics().get(
        'certloop_loop_attempts_total{outcome="told_to_wait"}') == 1, 20,
        "the issuer to be asked")
    shown = show(w.server, "web")
    assert (shown["state"], shown["failures"]) == ("new", 0)
    assert "slow down" in shown["last_error"]
    span = moment(shown["next_attempt"]) - moment(shown["last_error_at"])
    assert abs(span.total_seconds() - 3600) < 2
    # neither time nor a restart makes it ask earlier
    time.sleep(1)
    w.server.restart()
    time.sleep(1)
    assert len(w.signs()) == 1
    assert show(w.server, "web")["next_attempt"] == shown["next_attempt"]
    # when the hour is over, all is well
    w.always(sign=None)
    w.server.store.execute("UPDATE loops SET next_attempt = 0")
    wait_delivered(w.server, "web", 1)
    assert show(w.server, "web")["last_error"] is None


def test_an_issuer_that_gives_no_time_is_a_failure(new_server, tmp_path):
    w = World(new_server, tmp_path)
    w.server.extra += loop("web", ["www.example.org"],
                           f'folder = "{tmp_path}/web"')
    w.server.write_config()
    w.always(sign={"status": 500, "errors": ["no"]})
    w.server.start()
    wait_for(lambda: w.server.metrics().get(
        'certloop_loop_attempts_total{outcome="failed"}') == 1, 20,
        "the failure")
    shown = show(w.server, "web")
    assert (shown["state"], shown["failures"]) == ("failing", 1)
    span = moment(shown["next_attempt"]) - moment(shown["last_error_at"])
    assert 50 <= span.total_seconds() <= 62


# ---- keys

def test_an_rsa_key_is_made_and_delivered(new_server, engine, tmp_path):
    folder = tmp_path / "web"
    server = new_server(engine, extra=loop(
        "web", ["www.example.org"], f'folder = "{folder}"',
        "key_type = rsa3072")).start()
    wait_delivered(server, "web", 1, 90)
    certificate = cx509.load_pem_x509_certificate(
        (folder / "current/cert.pem").read_bytes())
    assert isinstance(certificate.public_key(), rsa.RSAPublicKey)
    assert certificate.public_key().key_size == 3072
    assert server.threads() == 1
