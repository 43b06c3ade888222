# SPDX-License-Identifier: ISC
"""Other servers to stand beside: Debian's pebble, caddy and nginx, each on a
free loopback port with a certificate of its own. Each yields (directory URL,
CA file, process id)."""

import contextlib
import json
import os
import shlex
import socket
import struct
import subprocess
import threading
import urllib.parse

import servers
import web


def self_signed(directory):
    """A P-256 certificate for localhost that is its own root."""
    cert, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(key), "-out",
         str(cert), "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    return cert, key


@contextlib.contextmanager
def running(directory, command, url, ca, env=None):
    """A server that dies with us; waited for until url answers 200."""
    with open(directory / "log", "ab") as log:
        process = subprocess.Popen(
            [*servers.WITH_US, *command], stdout=log, stderr=log,
            stdin=subprocess.DEVNULL, cwd=directory,
            env={**os.environ, **(env or {})})

    def answers():
        assert process.poll() is None, (directory / "log").read_text()
        client = web.Web(tls=web.trust(ca), timeout=5)
        try:
            return client.get(url).status == 200
        except OSError:
            return False
        finally:
            client.close()

    try:
        servers.wait_for(answers, 20, command[0])
        yield url, ca, process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


# Where all names lead for servers that validate, which ask at port 53 and
# connect to port 80 whatever they are told.
VALIDATED = "127.83.1.1"


def answer(query):
    """To A: that address; to any other type: that there is none."""
    end = query.index(b"\0", 12) + 5       # of the question
    is_a = query[end - 4:end - 2] == b"\0\1"
    reply = query[:2] + struct.pack(">HHHHH", 0x8580, 1, int(is_a), 0, 0)
    reply += query[12:end]
    if is_a:
        reply += struct.pack(">HHHIH", 0xc00c, 1, 1, 60, 4)
        reply += socket.inet_aton(VALIDATED)
    return reply


@contextlib.contextmanager
def dns():
    """A name server that leads all names to VALIDATED; its address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((VALIDATED, 53))

        def serve():
            while True:
                query, peer = s.recvfrom(4096)
                if len(query) < 17:
                    return      # that is us, below
                s.sendto(answer(query), peer)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"{VALIDATED}:53"
        finally:
            s.sendto(b"end", (VALIDATED, 53))
            thread.join()


@contextlib.contextmanager
def caddy(directory, wrapper):
    """Its acme_server, which validates always, with a resolv.conf of its
    own."""
    home = directory / "caddy"
    home.mkdir()
    cert, key = self_signed(home)
    port = servers.free_port()
    (home / "resolv.conf").write_text(f"nameserver {VALIDATED}\n")
    (home / "Caddyfile").write_text(f"""
{{
    admin off
    auto_https off
    skip_install_trust
    storage file_system {home}/data
    log {{
        output discard
    }}
}}
https://localhost:{port} {{
    bind 127.0.0.1
    tls {cert} {key}
    acme_server
}}
""")
    serve = shlex.join([*wrapper, "caddy", "run", "--adapter", "caddyfile",
                        "--config", str(home / "Caddyfile")])
    # exec at each step, so that the process is caddy's
    command = ["unshare", "-m", "sh", "-c",
               f"mount --bind {shlex.quote(str(home))}/resolv.conf "
               f"$(readlink -f /etc/resolv.conf) && exec {serve}"]
    with running(home, command,
                 f"https://localhost:{port}/acme/local/directory", cert,
                 {"HOME": str(home), "XDG_DATA_HOME": str(home),
                  "XDG_CONFIG_HOME": str(home)}) as found:
        yield found


@contextlib.contextmanager
def pebble(directory, wrapper, resolver=None):
    """No nonce is refused for fun. Without a resolver every challenge is
    valid at once."""
    home = directory / "pebble"
    home.mkdir()
    cert, key = self_signed(home)
    port = servers.free_port()
    config = {"pebble": {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{servers.free_port()}",
        "certificate": str(cert), "privateKey": str(key),
        "httpPort": 80, "tlsPort": 443, "ocspResponderURL": "",
        "externalAccountBindingRequired": False}}
    (home / "config.json").write_text(json.dumps(config))
    env = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    command = [*wrapper, "pebble", "-config", str(home / "config.json")]
    if resolver is None:
        env["PEBBLE_VA_ALWAYS_VALID"] = "1"
    else:
        command += ["-dnsserver", resolver]
    with running(home, command, f"https://localhost:{port}/dir", cert,
                 env) as found:
        yield found


# What nginx says itself.
OWN_FIELDS = {"content-length", "content-type", "connection", "date",
              "server"}


def add_fields(response):
    """nginx lines for the fields of a response."""
    return " ".join(f'add_header {k} "{quoted(v)}" always;'
                    for k, v in response.fields
                    if k.lower() not in OWN_FIELDS)


def quoted(text):
    return text.replace("\\", "\\\\").replace('"', '\\"')


@contextlib.contextmanager
def nginx(directory, wrapper, url, listing, nonce):
    """One process that returns what these two responses, to GET of url and
    HEAD of its newNonce, say."""
    home = directory / "nginx"
    home.mkdir()
    cert, key = self_signed(home)
    port = servers.free_port()
    there = urllib.parse.urlsplit(url)
    base = f"https://localhost:{port}"
    body = listing.body.decode().replace(
        f"{there.scheme}://{there.netloc}", base)
    path = urllib.parse.urlsplit(listing.json["newNonce"]).path
    kind = listing.header("Content-Type")
    (home / "nginx.conf").write_text(f"""
daemon off;
master_process off;
worker_processes 1;
pid {home}/pid;
error_log {home}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {home}/body;
  proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi;
  scgi_temp_path {home}/scgi;
  keepalive_requests 1000000000;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {cert};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    location = {there.path} {{
      default_type "{kind}";
      {add_fields(listing)}
      return 200 '{body}';
    }}
    location = {path} {{
      {add_fields(nonce)}
      return 200;
    }}
  }}
}}
""")
    command = [*wrapper, "nginx", "-p", str(home), "-c",
               str(home / "nginx.conf")]
    with running(home, command, f"{base}{there.path}", cert) as found:
        yield found
