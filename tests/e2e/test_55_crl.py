# SPDX-License-Identifier: ISC
"""CRLs: what is revoked is said, by everybody, and to anybody who asks."""

import datetime
import re
import secrets
import subprocess
import time
from email.utils import parsedate_to_datetime

import pytest
from cryptography import x509 as cx509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import CRLEntryExtensionOID

import fleet
import servers
import web
import x509
from jose import b64

PEM = serialization.Encoding.PEM


def fresh():
    return f"{secrets.token_hex(5)}.example.org"


def revoke(client, certificate, reason=None):
    payload = {"certificate": b64(x509.der(certificate))}
    if reason is not None:
        payload["reason"] = reason
    response = client.send(client.directory["revokeCert"], payload)
    assert response.status == 200, response


def crl_url(server):
    return f"{server.base}/ca/local/crl"


def fetch(server, **headers):
    response = server.web().get(crl_url(server), **headers)
    assert response.status in (200, 304), response
    return response


def load(server):
    """The CRL as it is served now, once there is one."""
    http = server.web()
    response = servers.wait_for(
        lambda: (r := http.get(crl_url(server))).status == 200 and r, 20,
        "the first CRL")
    assert response.header("Content-Type") == "application/pkix-crl"
    return cx509.load_der_x509_crl(response.body)


def number_of(crl):
    return crl.extensions.get_extension_for_class(
        cx509.CRLNumber).value.crl_number


def entry_of(crl, certificate):
    return crl.get_revoked_certificate_by_serial_number(
        certificate.serial_number)


def wait_listed(server, certificate, seconds=20):
    return servers.wait_for(
        lambda: entry_of(load(server), certificate), seconds,
        "the entry in the CRL", 0.1)


@pytest.fixture
def issued(server):
    client = server.client()
    _, chain, _ = client.obtain([fresh()])
    return client, x509.split_chain(chain)


def openssl(*words):
    return subprocess.run(["openssl", *map(str, words)],
                          capture_output=True, text=True)


def verify(tmp_path, server, chain, *options):
    """openssl verify of the leaf with our CRL at hand."""
    crl = tmp_path / "crl.pem"
    crl.write_bytes(load(server).public_bytes(PEM))
    leaf, rest = tmp_path / "leaf.pem", tmp_path / "rest.pem"
    leaf.write_bytes(chain[0].public_bytes(PEM))
    rest.write_bytes(b"".join(c.public_bytes(PEM) for c in chain[1:]))
    return openssl("verify", "-x509_strict", "-no-CApath", "-no-CAstore",
                   "-CAfile", server.root, "-untrusted", rest, "-CRLfile",
                   crl, "-crl_check", *options, leaf)


def test_a_fresh_server_has_a_crl_that_openssl_verifies(server, tmp_path):
    crl = load(server)
    file, ca = tmp_path / "crl.der", tmp_path / "ca.pem"
    file.write_bytes(crl.public_bytes(serialization.Encoding.DER))
    ca.write_bytes((server.data / "ca/issuing.pem").read_bytes())
    done = openssl("crl", "-inform", "DER", "-in", file, "-CAfile", ca,
                   "-noout", "-text", "-verify")
    assert done.returncode == 0, done.stderr
    assert "verify OK" in done.stderr + done.stdout
    assert "X509v3 CRL Number" in done.stdout
    assert "X509v3 Authority Key Identifier" in done.stdout
    assert "Version 2" in done.stdout


def test_gnutls_reads_it_too(server, tmp_path):
    file = tmp_path / "crl.der"
    file.write_bytes(load(server).public_bytes(serialization.Encoding.DER))
    done = subprocess.run(
        ["certtool", "--crl-info", "--inder", "--infile", file],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "CRL Number" in done.stdout


def test_openssl_takes_a_good_certificate_and_refuses_a_revoked_one(
        server, issued, tmp_path):
    client, chain = issued
    done = verify(tmp_path, server, chain)
    assert done.returncode == 0, done.stdout + done.stderr
    revoke(client, chain[0], 1)
    wait_listed(server, chain[0])
    done = verify(tmp_path, server, chain)
    assert done.returncode != 0
    assert "certificate revoked" in done.stdout + done.stderr


def test_a_revocation_is_in_the_crl_within_seconds(server, issued):
    client, chain = issued
    before = load(server)
    assert entry_of(before, chain[0]) is None
    began = time.time()
    revoke(client, chain[0], 4)
    entry = wait_listed(server, chain[0], 10)
    reason = entry.extensions.get_extension_for_oid(
        CRLEntryExtensionOID.CRL_REASON).value
    assert reason.reason == cx509.ReasonFlags.superseded
    at = entry.revocation_date.replace(tzinfo=datetime.timezone.utc)
    assert began - 2 <= at.timestamp() <= time.time() + 2
    after = load(server)
    assert number_of(after) > number_of(before)
    assert after.next_update > after.last_update


def test_an_unspecified_reason_is_left_out(server, issued):
    """RFC 5280 section 5.3.1: it should be absent."""
    client, chain = issued
    revoke(client, chain[0])
    assert len(wait_listed(server, chain[0]).extensions) == 0


def test_many_revocations_are_few_lists(server):
    """Each of them is listed; nobody makes a list for each."""
    client = server.client()
    chains = [x509.split_chain(client.obtain([fresh()])[1])[0]
              for _ in range(12)]
    before = number_of(load(server))
    for certificate in chains:
        revoke(client, certificate)
    for certificate in chains:
        wait_listed(server, certificate)
    assert number_of(load(server)) - before < len(chains)


def test_who_has_it_is_told_so(server):
    load(server)
    first = fetch(server)
    etag, modified = first.header("ETag"), first.header("Last-Modified")
    assert re.fullmatch(r'"[0-9]+-[0-9a-f]{16}"', etag)
    crl = cx509.load_der_x509_crl(first.body)
    stamp = parsedate_to_datetime(modified).replace(tzinfo=None)
    assert stamp == crl.last_update
    assert re.search(r"max-age=\d+", first.header("Cache-Control"))
    assert "public" in first.header("Cache-Control")
    for headers in ({"If-None-Match": etag},
                    {"If-None-Match": f'"x", W/{etag}'},
                    {"If-None-Match": "*"},
                    {"If-Modified-Since": modified}):
        again = server.web().request("GET", crl_url(server), headers=headers)
        if again.header("ETag") == etag:    # no other list came meanwhile
            assert (again.status, again.body) == (304, b"")
    for headers in ({"If-None-Match": '"0-0"'},
                    {"If-None-Match": '"0-0"',
                     "If-Modified-Since": modified},
                    {"If-Modified-Since": "Mon, 01 Jan 2001 00:00:00 GMT"},
                    {"If-Modified-Since": "yesterday"}):
        again = server.web().request("GET", crl_url(server), headers=headers)
        assert again.status == 200, headers


def test_head_says_the_same_without_the_list(server):
    load(server)
    get, head = fetch(server), server.web().head(crl_url(server))
    assert head.status == 200 and head.body == b""
    assert head.header("Content-Type") == get.header("Content-Type")


@pytest.mark.parametrize("path", [
    "/ca/other/crl", "/ca/local/crl/", "/ca/local/", "/ca//crl",
    "/ca/local/crls", "/ca/" + "x" * 200 + "/crl"])
def test_there_is_no_other_list(server, path):
    response = server.web().get(server.base + path)
    assert response.status == 404
    assert response.header("Cache-Control") == "no-store"


def test_it_is_for_reading_only(server):
    response = server.web().request("POST", crl_url(server), body=b"x")
    assert response.status == 405
    assert "GET" in response.header("Allow")


def test_the_ca_certificate_is_there_too(server):
    response = server.web().get(f"{server.base}/ca/local/certificate")
    assert response.status == 200
    assert response.header("Content-Type") == "application/pkix-cert"
    served = cx509.load_der_x509_certificate(response.body)
    file = (server.data / "ca/issuing.pem").read_bytes()
    assert served == cx509.load_pem_x509_certificate(file)


# ---- with servers of their own

@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_the_number_rises_over_a_restart_and_what_expired_goes(
        new_server, engine):
    server = new_server(
        engine, issuer="type = local\ncrl_interval = 1s\ncrl_lifetime = 1m")
    server.start()
    client = server.client()
    _, chain, _ = client.obtain([fresh()])
    leaf = x509.split_chain(chain)[0]
    revoke(client, leaf)
    wait_listed(server, leaf)
    number = number_of(load(server))
    # Its end comes: it is in one more list, and then in none.
    server.store.execute(
        "UPDATE certificates SET not_before = 0, not_after = "
        f"{int((time.time() - 1) * 1000000)}")
    server.restart()
    servers.wait_for(lambda: entry_of(load(server), leaf) is None, 45,
                     "a CRL without what has expired", 0.3)
    assert number_of(load(server)) > number


def test_a_revocation_that_nobody_told_of_is_found(new_server):
    """The row alone is enough, as after a crash or on another replica."""
    server = new_server().start()
    _, chain, _ = server.client().obtain([fresh()])
    leaf = x509.split_chain(chain)[0]
    load(server)
    server.store.execute(
        "UPDATE certificates SET status = 'revoked', reason = 1, "
        f"revoked_at = {int((time.time() - 30) * 1000000)}")
    wait_listed(server, leaf, 40)


def test_replicas_serve_the_same_bytes(replicas):
    members = replicas(with_redis=True)
    _, chain, _ = fleet.client_of(members).obtain([fresh()])
    leaf = x509.split_chain(chain)[0]

    def body_of(replica):
        response = replica.web().get(
            f"https://localhost:{replica.port}/ca/local/crl")
        return response.body if response.status == 200 else None

    def one_list():
        bodies = {body_of(r) for r in members}
        return bodies.pop() if len(bodies) == 1 else None

    def entry(body):
        return entry_of(cx509.load_der_x509_crl(body), leaf)
    before = servers.wait_for(one_list, 30, "one CRL everywhere", 0.2)
    assert entry(before) is None
    members[0].store.execute(
        "UPDATE certificates SET status = 'revoked', reason = 1, "
        f"revoked_at = {int(time.time() * 1000000)}")
    servers.wait_for(
        lambda: (body := one_list()) and entry(body), 40,
        "the entry everywhere", 0.2)


def test_no_list_where_none_is_wanted(new_server):
    server = new_server(issuer="type = local\ncrl_interval = 0\nocsp = no")
    server.start()
    response = server.web().get(crl_url(server))
    assert response.status == 404
    response = server.web().request(
        "POST", f"{server.base}/ca/local/ocsp", body=b"x",
        headers={"Content-Type": "application/ocsp-request"})
    assert response.status == 404
    assert server.store.query("SELECT number FROM crls") == []


def test_certificates_say_where_if_the_configuration_does(new_server):
    """ca_url, on a listener in plain HTTP that serves nothing of ACME."""
    port = servers.free_port()
    base = f"http://localhost:{port}"
    server = new_server(
        top=f'ca_url = "{base}"',
        extra=f'listener ca {{\n  kind = ca\n  address = "127.0.0.1:{port}"'
              "\n}\n")
    server.start()
    _, chain, _ = server.client().obtain([fresh()])
    leaf = x509.split_chain(chain)[0]
    points = leaf.extensions.get_extension_for_class(
        cx509.CRLDistributionPoints).value
    url = points[0].full_name[0].value
    assert url == f"{base}/ca/local/crl"
    access = leaf.extensions.get_extension_for_class(
        cx509.AuthorityInformationAccess).value
    assert [d.access_location.value for d in access] == [
        f"{base}/ca/local/ocsp", f"{base}/ca/local/certificate"]
    http = web.Web()
    servers.wait_for(lambda: http.get(url).status == 200, 20, "the CRL")
    assert http.get(f"{base}/acme/directory").status == 404
    assert http.get(f"{base}/healthz").status == 200
    # openssl follows the URL by itself
    leaf_file, rest = server.directory / "leaf", server.directory / "rest"
    parts = chain.split(b"-----END CERTIFICATE-----\n")
    leaf_file.write_bytes(parts[0] + b"-----END CERTIFICATE-----\n")
    rest.write_bytes(b"-----END CERTIFICATE-----\n".join(parts[1:]))
    done = openssl("verify", "-crl_check", "-crl_download", "-CAfile",
                   server.root, "-untrusted", rest, leaf_file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_metrics_move(new_server):
    server = new_server().start()
    client = server.client()
    _, chain, _ = client.obtain([fresh()])
    leaf = x509.split_chain(chain)[0]
    load(server)
    before = server.metrics()
    assert before["certloop_crls_made_total"] >= 1
    assert before['certloop_crl_entries{issuer="local"}'] == 0
    end = before['certloop_crl_next_update_seconds{issuer="local"}']
    assert 23 * 3600 < end - time.time() < 25 * 3600
    revoke(client, leaf)
    wait_listed(server, leaf)
    after = server.metrics()
    assert after["certloop_crls_made_total"] > before[
        "certloop_crls_made_total"]
    assert after['certloop_crl_entries{issuer="local"}'] == 1
    assert after["certloop_crl_failures_total"] == 0
