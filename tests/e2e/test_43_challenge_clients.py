# SPDX-License-Identifier: ISC
"""Real clients that meet challenges: http-01, dns-01, tls-alpn-01, wildcards
and IP addresses, from registration to a certificate, on both engines."""

import contextlib
import secrets

import pytest

import client_world
from servers import LOCALHOST


@pytest.fixture(scope="module")
def site(build, engine, new_store, tmp_path_factory):
    made = client_world.Site(build, tmp_path_factory.mktemp(f"site-{engine}"),
                             new_store(engine))
    yield made
    made.remove()


@pytest.fixture
def run(site, tmp_path):
    return site.client(tmp_path / "client")


@pytest.fixture
def name():
    return f"{secrets.token_hex(5)}.example.org"


@contextlib.contextmanager
def validates(site, kind, times):
    """Within, one certificate comes of so many validations of this type."""
    with site.counts(issued=1, **{kind: times}):
        yield


def script(folder, text):
    path = folder / "hook.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


# ---- lego

def test_lego_by_http_01(site, run, name, tmp_path):
    names = [name, f"www.{name}"]
    with validates(site, "http_01", 2):
        path = run.run_lego(names, "--http", "--http.port",
                            f"{LOCALHOST}:{site.http_port}")
    site.check(path, names, tmp_path)


def test_lego_by_tls_alpn_01(site, run, name, tmp_path):
    names = [name, f"www.{name}"]
    with validates(site, "tls_alpn_01", 2):
        path = run.run_lego(names, "--tls", "--tls.port",
                            f"{LOCALHOST}:{site.tls_port}")
    site.check(path, names, tmp_path)


def test_lego_by_dns_01_with_a_wildcard(site, run, name, tmp_path):
    """Both names have their record at one owner."""
    hook = script(tmp_path, f"""
file="{site.dns.folder}/${{2%.}}.TXT"
case "$1" in
present) printf '%s\\n' "$3" >> "$file" ;;
cleanup) rm -f "$file" ;;
esac""")
    names = [name, f"*.{name}"]
    with validates(site, "dns_01", 2):
        path = run.run_lego(
            names, "--dns", "exec", "--dns.disable-cp", "--dns.resolvers",
            site.dns.resolver(), EXEC_PATH=str(hook),
            EXEC_SEQUENCE_INTERVAL="1", EXEC_POLLING_INTERVAL="1")
    site.check(path, names, tmp_path)


# ---- certbot

def test_certbot_standalone(site, run, name, tmp_path):
    with validates(site, "http_01", 1):
        path = run.certbot_certonly(
            [name], "--standalone", "--http-01-port", site.http_port,
            "--http-01-address", LOCALHOST)
    site.check(path, [name], tmp_path)


def test_certbot_by_dns_01_with_a_wildcard(site, run, name, tmp_path):
    hook = script(tmp_path, f"""
file="{site.dns.folder}/_acme-challenge.$CERTBOT_DOMAIN.TXT"
case "$1" in
auth) printf '%s\\n' "$CERTBOT_VALIDATION" >> "$file" ;;
cleanup) rm -f "$file" ;;
esac""")
    names = [name, f"*.{name}"]
    with validates(site, "dns_01", 2):
        path = run.certbot_certonly(
            names, "--manual", "--preferred-challenges", "dns",
            "--manual-auth-hook", f"{hook} auth", "--manual-cleanup-hook",
            f"{hook} cleanup")
    site.check(path, names, tmp_path)


# ---- uacme

@pytest.mark.parametrize("what", ["a name", "an address"])
def test_uacme_by_http_01(site, run, name, tmp_path, what):
    if what == "an address":
        name = LOCALHOST
    hook = script(tmp_path, f"""
[ "$2" = http-01 ] || exit 1
case "$1" in
begin) printf '%s' "$5" > "{tmp_path}/www/$4" ;;
esac""")
    with site.web(tmp_path / "www"), validates(site, "http_01", 1):
        path = run.uacme_issue([name], hook)
    site.check(path, [name], tmp_path)


def test_uacme_by_dns_01_with_a_wildcard(site, run, name, tmp_path):
    hook = script(tmp_path, f"""
[ "$2" = dns-01 ] || exit 1
file="{site.dns.folder}/_acme-challenge.$3.TXT"
case "$1" in
begin) printf '%s\\n' "$5" >> "$file" ;;
*) rm -f "$file" ;;
esac""")
    names = [name, f"*.{name}"]
    with validates(site, "dns_01", 2):
        path = run.uacme_issue(names, hook)
    site.check(path, names, tmp_path)


@pytest.mark.parametrize("what", ["a name", "an address"])
def test_uacme_with_ualpn(site, run, name, tmp_path, what):
    if what == "an address":
        name = LOCALHOST
    with site.ualpn(tmp_path) as socket:
        hook = script(tmp_path, f"""
[ "$2" = tls-alpn-01 ] || exit 1
case "$1" in
begin) word="auth $3 $5" ;;
*) word="unauth $3" ;;
esac
[ "$(echo "$word" | ualpn -s "{socket}")" = OK ]""")
        with validates(site, "tls_alpn_01", 1):
            path = run.uacme_issue([name], hook)
    site.check(path, [name], tmp_path)


# ---- dehydrated

def test_dehydrated_by_http_01(site, run, name, tmp_path):
    names = [name, f"www.{name}"]
    with site.web(run.folder / "wellknown"), validates(site, "http_01", 2):
        path = run.dehydrated_cron(names)
    site.check(path, names, tmp_path)


def test_dehydrated_by_dns_01_with_a_wildcard(site, run, name, tmp_path):
    hook = script(tmp_path, f"""
file="{site.dns.folder}/_acme-challenge.$2.TXT"
case "$1" in
deploy_challenge) printf '%s\\n' "$4" >> "$file" ;;
clean_challenge) rm -f "$file" ;;
esac""")
    names = [name, f"*.{name}"]
    with validates(site, "dns_01", 2):
        path = run.dehydrated_cron(names, CHALLENGETYPE="dns-01", HOOK=hook)
    site.check(path, names, tmp_path)


def test_dehydrated_by_tls_alpn_01(site, run, name, tmp_path):
    """It makes the certificate; the TLS server is another's."""
    made = run.folder / "alpn-certs"

    def find(server_name):
        return [made / f"{server_name}.{what}.pem" for what in
                ("crt", "key")]
    with site.tls(tmp_path / "tls", find) as server:
        server.put("", [LOCALHOST], "what nobody asks for")
        with validates(site, "tls_alpn_01", 1):
            path = run.dehydrated_cron([name], CHALLENGETYPE="tls-alpn-01",
                                       ALPNCERTDIR=made)
    site.check(path, [name], tmp_path)


# ---- acme-tiny

def test_acme_tiny_by_http_01(site, run, name, tmp_path):
    with site.web(), validates(site, "http_01", 1):
        path = run.run_acme_tiny([name], site.www)
    site.check(path, [name], tmp_path)


# ---- python3-acme

@pytest.mark.parametrize("what", ["names", "an address"])
def test_python_acme_by_http_01(site, run, name, tmp_path, what):
    names = [LOCALHOST] if what == "an address" else [name, f"www.{name}"]
    with site.web(), validates(site, "http_01", len(names)):
        run.run_python_acme("issue", "http-01", site.www, *names)
    site.check(run.folder / "chain.pem", names, tmp_path)


def test_python_acme_by_dns_01_with_a_wildcard(site, run, name, tmp_path):
    names = [name, f"*.{name}"]
    with validates(site, "dns_01", 2):
        run.run_python_acme("issue", "dns-01", site.dns.folder, *names)
    site.check(run.folder / "chain.pem", names, tmp_path)

