# SPDX-License-Identifier: ISC
"""Other servers to stand beside: Debian's pebble and nginx, each on a free
loopback port with a certificate of its own. Each yields (directory URL, CA
file, process id)."""

import contextlib
import json
import os
import subprocess
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


@contextlib.contextmanager
def pebble(directory, wrapper):
    """Every challenge is valid at once, no nonce is refused for fun."""
    home = directory / "pebble"
    home.mkdir()
    cert, key = self_signed(home)
    port = servers.free_port()
    config = {"pebble": {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{servers.free_port()}",
        "certificate": str(cert), "privateKey": str(key),
        "httpPort": 5002, "tlsPort": 5001, "ocspResponderURL": "",
        "externalAccountBindingRequired": False}}
    (home / "config.json").write_text(json.dumps(config))
    env = {"PEBBLE_VA_ALWAYS_VALID": "1", "PEBBLE_VA_NOSLEEP": "1",
           "PEBBLE_WFE_NONCEREJECT": "0"}
    command = [*wrapper, "pebble", "-config", str(home / "config.json")]
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
