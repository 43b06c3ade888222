# SPDX-License-Identifier: ISC
"""OCSP, RFC 6960 and RFC 5019: openssl asks, and so do those who ask badly."""

import base64
import re
import secrets
import subprocess
import time

import pytest
from cryptography import x509 as cx509
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import ocsp

import fleet
import servers
import web
import x509
from ocsp_world import (GOOD, MALFORMED, PEM, REVOKED, SUCCESSFUL,
                        UNAUTHORIZED, UNKNOWN, answer, check_signature, fresh,
                        get, obtain, ocsp_url, post, request_for, revoke)


@pytest.fixture
def issued(server):
    return obtain(server)


@pytest.mark.parametrize("ask", [post, get])
@pytest.mark.parametrize("digest", [hashes.SHA1(), hashes.SHA256(),
                                    hashes.SHA512()], ids=lambda d: d.name)
def test_a_certificate_is_good_until_it_is_revoked(server, issued, ask,
                                                   digest):
    client, leaf, ca = issued
    request = request_for(leaf, ca, digest)
    reply = answer(ask(server, request))
    assert reply.response_status == SUCCESSFUL
    assert reply.certificate_status == GOOD
    assert reply.serial_number == leaf.serial_number
    assert reply.next_update > reply.this_update
    check_signature(reply, ca)
    revoke(client, leaf, 4)
    reply = servers.wait_for(
        lambda: (r := answer(ask(server, request))).certificate_status
        == REVOKED and r, 10, "an answer that says revoked")
    assert reply.revocation_reason == cx509.ReasonFlags.superseded
    assert reply.revocation_time <= reply.this_update
    check_signature(reply, ca)


def test_a_serial_that_nobody_issued_is_unknown(server, issued):
    """And is kept by nobody, so that it may be issued tomorrow."""
    _, leaf, ca = issued
    request = bytearray(request_for(leaf, ca))
    serial = leaf.serial_number.to_bytes(16, "big")
    at = bytes(request).index(serial)
    request[at + 8:at + 16] = secrets.token_bytes(8)
    for ask in (get, post):
        response = ask(server, bytes(request))
        reply = answer(response)
        assert reply.certificate_status == UNKNOWN
        assert response.header("Cache-Control") == "no-store"
        check_signature(reply, ca)


def test_nothing_is_said_about_certificates_of_others(server, issued):
    """RFC 5019 section 2.2.3."""
    _, leaf, ca = issued
    root = cx509.load_pem_x509_certificate(server.root.read_bytes())
    response = post(server, request_for(ca, root))
    assert answer(response).response_status == UNAUTHORIZED
    assert response.header("Cache-Control") == "no-store"
    assert len(response.body) == 5


@pytest.mark.parametrize("size", [1, 32, 128])
def test_a_nonce_comes_back(server, issued, size):
    """RFC 9654; such an answer is for whoever asked."""
    _, leaf, ca = issued
    nonce = secrets.token_bytes(size)
    response = get(server, request_for(leaf, ca, nonce=nonce))
    reply = answer(response)
    assert reply.certificate_status == GOOD
    back = reply.extensions.get_extension_for_class(cx509.OCSPNonce).value
    assert back.nonce == nonce
    assert response.header("Cache-Control") == "no-store"


def test_no_nonce_comes_from_nowhere(server, issued):
    _, leaf, ca = issued
    assert len(answer(post(server, request_for(leaf, ca))).extensions) == 0


@pytest.mark.parametrize("size", [0, 129, 1000])
def test_a_nonce_out_of_bounds_is_malformed(server, issued, size):
    _, leaf, ca = issued
    request = request_for(leaf, ca, nonce=b"x" * size)
    assert answer(post(server, request)).response_status == MALFORMED


@pytest.mark.parametrize("body", [
    b"", b"x", b"\x30\x00", b"\x30\x80\x00\x00", b"\x00" * 4096],
    ids=["empty", "x", "sequence", "indefinite", "zeros"])
def test_what_is_no_request_is_malformed(server, body):
    assert answer(post(server, body)).response_status == MALFORMED


@pytest.mark.parametrize("text", ["x", "AAA", "AA==A", "%2F", "MA", "----",
                                  "MAA=/crl"])
def test_what_is_no_base64_is_malformed(server, text):
    response = server.web().get(f"{ocsp_url(server)}/{text}")
    assert answer(response).response_status == MALFORMED


def test_escapes_have_no_place_elsewhere(server):
    for path in ("/ca%2Flocal/ocsp/MAA=", "/ca/local%2Focsp/MAA=",
                 "/acme%2Fdirectory", "/ca/local/ocsp/MAA%3"):
        assert server.web().get(server.base + path).status == 400, path


def test_slashes_of_base64_are_no_segments(server, issued):
    """With and without escapes, whatever the bytes are."""
    _, leaf, ca = issued
    for i in range(40):
        request = request_for(leaf, ca, nonce=b"\xff" * (i % 3) + b"\xfb\xff")
        for quote in (True, False):
            assert answer(get(server, request, quote)
                          ).response_status == SUCCESSFUL


def test_the_request_is_bounded(server):
    response = post(server, b"\x00" * 4097)
    assert response.status == 413
    text = base64.b64encode(b"\x00" * 4098).decode()
    response = server.web().get(f"{ocsp_url(server)}/{text}")
    assert answer(response).response_status == MALFORMED


def test_the_media_type_must_fit(server):
    assert post(server, b"x", "text/plain").status == 415
    kind = "Application/OCSP-Request; x=y"
    assert answer(post(server, b"x", kind)).response_status == MALFORMED


def test_get_may_be_kept_for_a_while(server, issued):
    _, leaf, ca = issued
    request = request_for(leaf, ca)
    first = get(server, request)
    age = int(re.search(r"max-age=(\d+)",
                        first.header("Cache-Control")).group(1))
    assert 0 < age <= 60
    again = get(server, request, **{"If-None-Match": first.header("ETag")})
    assert (again.status, again.body) == (304, b"")
    again = get(server, request, **{"If-None-Match": '"other"'})
    assert again.body == first.body


def test_the_same_answer_is_signed_once(server, issued):
    _, leaf, ca = issued
    request = request_for(leaf, ca)
    before = server.metrics()
    bodies = {ask(server, request).body for ask in (get, post, get, post)}
    after = server.metrics()
    assert len(bodies) == 1
    hits = "certloop_ocsp_cache_hits_total"
    assert after[hits] - before[hits] == 3
    good = 'certloop_ocsp_responses_total{status="good"}'
    assert after[good] - before.get(good, 0) == 4
    assert after["certloop_ocsp_cache_entries"] > 0


# ---- openssl as the client

def openssl(*words):
    return subprocess.run(["openssl", *map(str, words)],
                          capture_output=True, text=True)


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_openssl_asks_over_http_and_believes(new_server, engine):
    """By the URL in the certificate, on a listener of kind ca."""
    port = servers.free_port()
    base = f"http://localhost:{port}"
    server = new_server(
        engine, top=f'ca_url = "{base}"',
        extra=f'listener ca {{\n  kind = ca\n  address = "127.0.0.1:{port}"'
              "\n}\n")
    server.start()
    client, leaf, ca = obtain(server)
    files = [server.directory / n for n in ("leaf.pem", "ca.pem")]
    for file, certificate in zip(files, (leaf, ca)):
        file.write_bytes(certificate.public_bytes(PEM))
    done = openssl("x509", "-in", files[0], "-noout", "-ocsp_uri")
    url = done.stdout.strip()
    assert url == f"{base}/ca/local/ocsp"

    def ask(*options):
        return openssl("ocsp", *options, "-issuer", files[1], "-cert",
                       files[0], "-url", url, "-CAfile", server.root)
    for options in ((), ("-no_nonce",), ("-sha256",)):
        done = ask(*options)
        assert done.returncode == 0, done.stderr
        assert "Response verify OK" in done.stderr
        assert f"{files[0]}: good" in done.stdout
    revoke(client, leaf, 1)
    done = servers.wait_for(
        lambda: ": revoked" in (d := ask("-no_nonce")).stdout and d, 10,
        "openssl to hear of it")
    assert "Response verify OK" in done.stderr
    assert "keyCompromise" in done.stdout
    done = openssl("ocsp", "-issuer", files[1], "-serial", "0x1234", "-url",
                   url, "-CAfile", server.root)
    assert "0x1234: unknown" in done.stdout


def test_a_store_that_is_away_says_try_later(build, new_server, tmp_path):
    postgres = servers.Postgres().start()
    try:
        server = new_server("postgres", store=postgres.new_store())
        server.start()
        _, leaf, ca = obtain(server)
        request = request_for(leaf, ca)
        kept = post(server, request).body
        postgres.kill()
        reply = answer(post(server, request_for(leaf, ca, nonce=b"n")))
        assert reply.response_status == ocsp.OCSPResponseStatus.TRY_LATER
        assert post(server, request).body == kept
    finally:
        postgres.remove()


def test_another_process_follows_within_its_cache(replicas):
    first, second, _ = replicas(with_redis=True)
    _, chain, _ = fleet.client_of([first]).obtain([fresh()])
    leaf, ca = x509.split_chain(chain)[:2]
    request = request_for(leaf, ca)

    def ask(replica):
        return answer(web.Web(web.trust(replica.root)).request(
            "POST", f"https://localhost:{replica.port}/ca/local/ocsp",
            body=request,
            headers={"Content-Type": "application/ocsp-request"}))
    assert ask(second).certificate_status == GOOD
    first.store.execute(
        "UPDATE certificates SET status = 'revoked', reason = 1, "
        f"revoked_at = {int(time.time() * 1000000)}")
    servers.wait_for(lambda: ask(second).certificate_status == REVOKED, 45,
                     "the other replica", 0.5)


@pytest.mark.parametrize("path", ["/ca/none/ocsp/MAA=", "/ca/none/crl",
                                  "/ca/none/certificate"])
def test_what_no_issuer_publishes_is_not_found(server, path):
    """And nothing is touched after that was said."""
    for _ in range(3):
        assert server.web().get(server.base + path).status == 404


def test_an_address_that_asks_too_often_waits(new_server, engine):
    server = new_server(engine, limits="ocsp_per_address = 5/20s")
    server.start()
    _, leaf, ca = obtain(server)
    body = request_for(leaf, ca)
    answers = [post(server, body) for _ in range(8)]
    assert [a.status for a in answers] == [200] * 5 + [429] * 3
    late = answers[-1]
    assert late.header("Content-Type") == "application/problem+json"
    assert 0 < int(late.header("Retry-After")) <= 20
    metrics = server.metrics()
    assert metrics['certloop_limits_total{limit="ocsp_per_address",'
                   'result="refused"}'] == 3
    # nothing else is kept from it
    assert server.web().request(
        "GET", f"{server.base}/ca/local/certificate").status == 200
    time.sleep(int(late.header("Retry-After")))
    assert post(server, body).status == 200
