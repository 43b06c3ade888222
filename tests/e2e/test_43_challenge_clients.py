# SPDX-License-Identifier: ISC
"""Real clients that meet challenges: http-01, dns-01, tls-alpn-01, wildcards
and IP addresses, from registration to a certificate, on both engines."""

import contextlib
import secrets
import subprocess

import pytest

import challenges
import clients
import servers
import x509
from servers import LOCALHOST, free_port, wait_for


class Site:
    """A server that validates, and what its clients share with it."""

    def __init__(self, build, folder, store):
        self.dns = challenges.Dns(folder / "dns")
        self.http_port = free_port()
        self.tls_port = free_port()
        self.daemon = servers.Certloopd(
            build, folder / "server", store=store, profiles=f"""
profile default {{
  issuer = local
  auth_mode = challenge
  resolvers = {{ "{self.dns.resolver()}" }}
  validation_allow = {{ "127.0.0.0/8" }}
  http_port = {self.http_port}
  tls_port = {self.tls_port}
}}
""", limits=servers.Certloopd.NO_LIMITS)

    @contextlib.contextmanager
    def web(self, folder):
        """A web server that shows the files of a folder."""
        server = challenges.Http(folder, port=self.http_port)
        try:
            yield server
        finally:
            server.close()


@pytest.fixture(scope="module")
def site(build, engine, new_store, tmp_path_factory):
    made = Site(build, tmp_path_factory.mktemp(f"site-{engine}"),
                new_store(engine))
    made.daemon.start()
    yield made
    made.daemon.remove()
    made.dns.close()


@pytest.fixture
def run(site, tmp_path):
    daemon = site.daemon
    return clients.Run(tmp_path / "client",
                       f"{daemon.profile_url()}/directory", daemon.root)


@pytest.fixture
def name():
    return f"{secrets.token_hex(5)}.example.org"


def check(site, path, names, folder):
    chain = path.read_bytes()
    assert x509.names_of(x509.split_chain(chain)[0]) == set(names)
    x509.openssl_verify(chain, site.daemon.root, folder)


def script(folder, text):
    path = folder / "hook.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def lego(run, names, *words, **environment):
    for one in names:
        words += ("--domains", one)
    run.call("lego", "--server", run.directory, "--email",
             "lego@example.org", "--accept-tos", "--path", run.folder, *words,
             "run", LEGO_CA_CERTIFICATES=str(run.root), **environment)
    first = names[0].replace("*", "_")
    return run.folder / "certificates" / f"{first}.crt"


def test_lego_by_http_01(site, run, name, tmp_path):
    names = [name, f"www.{name}"]
    path = lego(run, names, "--http", "--http.port",
                f"{LOCALHOST}:{site.http_port}")
    check(site, path, names, tmp_path)


def test_lego_by_tls_alpn_01(site, run, name, tmp_path):
    names = [name, f"www.{name}"]
    path = lego(run, names, "--tls", "--tls.port",
                f"{LOCALHOST}:{site.tls_port}")
    check(site, path, names, tmp_path)


def test_lego_by_dns_01_with_a_wildcard(site, run, name, tmp_path):
    """Both names have their record at one owner."""
    hook = script(tmp_path, f"""
file="{site.dns.folder}/${{2%.}}.TXT"
case "$1" in
present) printf '%s\\n' "$3" >> "$file" ;;
cleanup) rm -f "$file" ;;
esac""")
    names = [name, f"*.{name}"]
    path = lego(run, names, "--dns", "exec", "--dns.disable-cp",
                "--dns.resolvers", site.dns.resolver(), EXEC_PATH=str(hook))
    check(site, path, names, tmp_path)


def test_certbot_standalone(site, run, name, tmp_path):
    words = ["certbot", "certonly", "--non-interactive", "--server",
             run.directory, "--agree-tos", "--email", "certbot@example.org",
             "--no-eff-email", "--standalone", "--http-01-port",
             site.http_port, "--http-01-address", LOCALHOST, "-d", name]
    for kind in ("config", "work", "logs"):
        words += [f"--{kind}-dir", run.folder / kind]
    run.call(*words, REQUESTS_CA_BUNDLE=str(run.root))
    check(site, run.folder / "config/live" / name / "fullchain.pem", [name],
          tmp_path)


def uacme(run, hook, name):
    environment = run._uacme_environment()
    words = ["uacme", "--acme-url", run.directory, "--confdir", run.folder,
             "--hook", hook, "--type", "EC", "--yes", "--no-ocsp"]
    run.call(*words, "new", "uacme@example.org", **environment)
    run.call(*words, "issue", name, **environment)
    return run.folder / name / "cert.pem"


@pytest.mark.parametrize("what", ["a name", "an address"])
def test_uacme_by_http_01(site, run, name, tmp_path, what):
    if what == "an address":
        name = LOCALHOST
    hook = script(tmp_path, f"""
[ "$2" = http-01 ] || exit 1
case "$1" in
begin) printf '%s' "$5" > "{tmp_path}/www/$4" ;;
esac""")
    with site.web(tmp_path / "www"):
        path = uacme(run, hook, name)
    check(site, path, [name], tmp_path)


@pytest.mark.parametrize("what", ["a name", "an address"])
def test_uacme_with_ualpn(site, run, name, tmp_path, what):
    if what == "an address":
        name = LOCALHOST
    socket = tmp_path / "ualpn.sock"
    server = None

    def is_up():
        """It ends at once while the port is still held by the past."""
        nonlocal server
        if server is None or server.poll() is not None:
            server = subprocess.Popen(
                [*servers.WITH_US, "ualpn", "-s", socket, "-b",
                 f"{LOCALHOST}@{site.tls_port}", "-c", f"{LOCALHOST}@9"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return socket.exists()
    hook = script(tmp_path, f"""
[ "$2" = tls-alpn-01 ] || exit 1
case "$1" in
begin) word="auth $3 $5" ;;
*) word="unauth $3" ;;
esac
[ "$(echo "$word" | ualpn -s "{socket}")" = OK ]""")
    try:
        wait_for(is_up, 90, "ualpn", 0.2)
        path = uacme(run, hook, name)
    finally:
        server.terminate()
        server.wait(10)
    check(site, path, [name], tmp_path)


def dehydrated(run, names, **settings):
    config = run.folder / "config"
    (run.folder / "wellknown").mkdir(exist_ok=True)
    lines = {"CA": run.directory, "BASEDIR": run.folder,
             "WELLKNOWN": run.folder / "wellknown",
             "CURL_OPTS": f"'--cacert {run.root}'", "ACCOUNT_KEYSIZE": 2048,
             "KEY_ALGO": "prime256v1",
             "CONTACT_EMAIL": "dehydrated@example.org", **settings}
    config.write_text("".join(f"{k}={v}\n" for k, v in lines.items()))
    run.call("dehydrated", "--config", config, "--register",
             "--accept-terms")
    words = []
    for one in names:
        words += ["--domain", one]
    run.call("dehydrated", "--config", config, "--cron", *words)
    return run.folder / "certs" / names[0] / "fullchain.pem"


def test_dehydrated_by_http_01(site, run, name, tmp_path):
    names = [name, f"www.{name}"]
    with site.web(run.folder / "wellknown"):
        path = dehydrated(run, names)
    check(site, path, names, tmp_path)


def test_dehydrated_by_dns_01(site, run, name, tmp_path):
    hook = script(tmp_path, f"""
file="{site.dns.folder}/_acme-challenge.$2.TXT"
case "$1" in
deploy_challenge) printf '%s\\n' "$4" >> "$file" ;;
clean_challenge) rm -f "$file" ;;
esac""")
    names = [name, f"www.{name}"]
    path = dehydrated(run, names, CHALLENGETYPE="dns-01", HOOK=hook)
    check(site, path, names, tmp_path)


def test_acme_tiny_by_http_01(site, run, name, tmp_path):
    with site.web(run.folder / "challenges"):
        path = run.acme_tiny([name])
    check(site, path, [name], tmp_path)
