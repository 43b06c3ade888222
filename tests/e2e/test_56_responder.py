# SPDX-License-Identifier: ISC
"""Who signs answers of OCSP: responders that the CA delegated it to, RFC 6960
section 4.2.2.2, which follow one another without a gap."""

import json
import secrets
import subprocess
import threading
import time

import pytest
from cryptography.hazmat.primitives import hashes

import fleet
import servers
import web
import x509
from ocsp_world import (DER, GOOD, PEM, REVOKED, SUCCESSFUL, answer,
                        check_now, check_signature, check_signed_by, fresh,
                        get, obtain, post, request_for, revoke,
                        seconds)

SHORT = "type = local\nocsp_lifetime = 5s\nocsp_responder_lifetime = 15s"


def serial_of(certificate):
    return f"{certificate.serial_number:032x}"


def trail(server):
    """Serial and detail of each responder that the store knows, in order."""
    return [(serial, json.loads(detail)) for serial, detail in
            server.store.query(
                "SELECT serial, detail FROM audit WHERE "
                "action = 'certificate.ocsp' ORDER BY at, id")]


@pytest.fixture
def files(tmp_path):
    """files(leaf, ca): both as PEM files."""
    def write(*certificates):
        out = []
        for i, certificate in enumerate(certificates):
            file = tmp_path / f"certificate{i}.pem"
            file.write_bytes(certificate.public_bytes(PEM))
            out.append(file)
        return out
    return write


def openssl_ocsp(server, leaf, ca, response):
    """openssl judges a response, with the root and nothing else to trust."""
    return subprocess.run(
        ["openssl", "ocsp", "-issuer", ca, "-cert", leaf, "-respin", response,
         "-CAfile", server.root, "-no_nonce"], capture_output=True, text=True)


def gnutls_ocsp(ca, response):
    """GnuTLS judges its signature; trust is in the issuing CA."""
    return subprocess.run(
        ["ocsptool", "--verify-response", "--load-response", response,
         "--load-trust", ca], capture_output=True, text=True)


def test_it_is_known_to_the_store_before_it_signs(server):
    _, leaf, ca = obtain(server)
    responder = check_signature(
        answer(post(server, request_for(leaf, ca))), ca)
    row, = [d for s, d in trail(server) if s == serial_of(responder)]
    assert row["notBefore"] == seconds(responder.not_valid_before)
    assert row["notAfter"] == seconds(responder.not_valid_after)
    spki = responder.public_key().public_bytes(
        DER, x509.serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(spki)
    assert row["keyHash"] == digest.finalize().hex()
    metrics = server.metrics()
    assert metrics["certloop_ocsp_responders_made_total"] >= 1
    assert metrics["certloop_ocsp_responder_failures_total"] == 0
    assert metrics['certloop_ocsp_responder_end_seconds{issuer="local"}'] == \
        seconds(responder.not_valid_after)


def test_it_lives_for_a_week(server):
    _, leaf, ca = obtain(server)
    responder = check_signature(
        answer(post(server, request_for(leaf, ca))), ca)
    life = responder.not_valid_after - responder.not_valid_before
    assert life.total_seconds() + 1 == 7 * 86400
    assert "OCSP responder" in responder.subject.rfc4514_string()


def test_openssl_and_gnutls_believe_it_good_and_revoked(server, files,
                                                        tmp_path):
    client, leaf, ca = obtain(server)
    leaf_file, ca_file = files(leaf, ca)
    request, response = request_for(leaf, ca), tmp_path / "response"

    def ask(status):
        servers.wait_for(
            lambda: answer(r := post(server, request)).certificate_status
            == status and response.write_bytes(r.body), 10, status)
        return (openssl_ocsp(server, leaf_file, ca_file, response),
                gnutls_ocsp(ca_file, response))
    first, second = ask(GOOD)
    assert first.returncode == 0, first.stderr
    assert "Response verify OK" in first.stderr
    assert ": good" in first.stdout
    assert second.returncode == 0, second.stdout + second.stderr
    assert "Success" in second.stdout
    revoke(client, leaf, 1)
    first, second = ask(REVOKED)
    assert "Response verify OK" in first.stderr
    assert ": revoked" in first.stdout
    assert "keyCompromise" in first.stdout
    assert second.returncode == 0, second.stdout + second.stderr
    # and neither believes it when a bit of it is another
    body = bytearray(response.read_bytes())
    body[len(body) // 3] ^= 1
    response.write_bytes(body)
    first = openssl_ocsp(server, leaf_file, ca_file, response)
    assert "Response verify OK" not in first.stderr
    assert gnutls_ocsp(ca_file, response).returncode != 0


def test_the_ca_may_sign_itself(new_server, files, tmp_path):
    server = new_server(issuer="type = local\nocsp_responder_lifetime = 0")
    server.start()
    _, leaf, ca = obtain(server)
    response = post(server, request_for(leaf, ca))
    reply = answer(response)
    assert reply.certificates == []
    check_signed_by(reply, ca)
    assert trail(server) == []
    file = tmp_path / "response"
    file.write_bytes(response.body)
    done = openssl_ocsp(server, *files(leaf, ca), file)
    assert "Response verify OK" in done.stderr and ": good" in done.stdout
    # a reload delegates it, and another takes it back
    server.issuer = "type = local"
    server.write_config()
    server.hup()
    servers.wait_for(
        lambda: server.metrics()["certloop_ocsp_responders_made_total"] == 1,
        10, "a responder")
    nonce = secrets.token_bytes(8)
    check_signature(
        answer(post(server, request_for(leaf, ca, nonce=nonce))), ca)
    assert len(trail(server)) == 1
    server.issuer = "type = local\nocsp_responder_lifetime = 0"
    server.write_config()
    server.hup()
    servers.wait_for(
        lambda: answer(post(server, request_for(leaf, ca, nonce=nonce))
                       ).certificates == [], 10, "the CA's own signature")


def test_a_changed_life_makes_another_at_once(new_server):
    server = new_server()
    server.start()
    _, leaf, ca = obtain(server)
    request = request_for(leaf, ca, nonce=b"n")
    old = check_signature(answer(post(server, request)), ca)
    server.issuer = "type = local\nocsp_responder_lifetime = 2d"
    server.write_config()
    server.hup()

    def another():
        new = check_signature(answer(post(server, request)), ca)
        return new != old and new
    new = servers.wait_for(another, 10, "another responder")
    assert new.public_key() != old.public_key()
    life = new.not_valid_after - new.not_valid_before
    assert life.total_seconds() + 1 == 2 * 86400
    assert [s for s, _ in trail(server)] == [serial_of(old), serial_of(new)]


def test_a_process_begins_with_its_own(new_server):
    """The key goes with the process; what it signed stays good."""
    server = new_server()
    server.start()
    _, leaf, ca = obtain(server)
    request = request_for(leaf, ca)
    before = answer(get(server, request))
    old = check_signature(before, ca)
    server.restart()
    # the first request that is possible at all has an answer
    new = check_signature(answer(get(server, request)), ca)
    assert new.public_key() != old.public_key()
    check_now(before)
    assert not [p for p in server.data.rglob("*") if p.is_file()
                and b"OCSP responder" in p.read_bytes()
                and p.suffix == ".pem"]


class Asker(threading.Thread):
    """Asks again and again and keeps what it got: (when, body)."""

    def __init__(self, server, ask, request, stop):
        super().__init__(daemon=True)
        self.server, self.ask, self.request = server, ask, request
        self.stop, self.got, self.failed = stop, [], None

    def run(self):
        http = self.server.web()
        try:
            while not self.stop.wait(0.02):
                reply = answer(self.ask(self.server, self.request(),
                                        http=http))
                assert reply.response_status == SUCCESSFUL
                check_now(reply)
                self.got.append(reply)
        except BaseException as e:
            self.failed = e


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_responders_follow_one_another_without_a_gap(new_server, files,
                                                     engine, tmp_path):
    """Under load, with and without the cache: each answer is good when it
    comes, and until its end; and half the life of a responder is over when
    the next one takes its place."""
    server = new_server(engine, issuer=SHORT,
                        limits=servers.Certloopd.NO_LIMITS
                        + "  ocsp_per_address = 0\n")
    server.start()
    client, leaf, ca = obtain(server)
    _, gone, _ = obtain(server)
    revoke(client, leaf, 4)
    servers.wait_for(
        lambda: answer(post(server, request_for(leaf, ca))
                       ).certificate_status == REVOKED, 10, "the revocation")
    stop = threading.Event()
    askers = [
        Asker(server, get, lambda: request_for(gone, ca), stop),
        Asker(server, post, lambda: request_for(leaf, ca), stop),
        Asker(server, post, lambda: request_for(
            gone, ca, nonce=secrets.token_bytes(8)), stop),
    ]
    for asker in askers:
        asker.start()
    try:
        servers.wait_for(lambda: all(a.got or a.failed for a in askers), 20,
                         "the first answers")
        made = server.metrics()["certloop_ocsp_responders_made_total"]
        servers.wait_for(
            lambda: server.metrics()["certloop_ocsp_responders_made_total"]
            >= made + 2 or any(a.failed for a in askers), 60,
            "two rotations", 0.5)
        time.sleep(3)  # longer than an answer is kept
    finally:
        stop.set()
    for asker in askers:
        asker.join(20)
        if asker.failed is not None:
            raise asker.failed
    assert {r.certificate_status for r in askers[0].got} == {GOOD}
    assert {r.certificate_status for r in askers[1].got} == {REVOKED}
    known = [s for s, _ in trail(server)]
    last = {}  # of each responder, its last answer
    for asker in askers:
        seen = []
        for reply in asker.got:
            responder = check_signature(reply, ca)
            if responder not in seen:
                seen.append(responder)
            last[serial_of(responder)] = reply
            # each was good for long enough, also what came last of all
            assert (reply.next_update
                    - reply.this_update).total_seconds() == 5
        assert len(seen) >= 3
        assert [s for s in known if s in map(serial_of, seen)] == [
            serial_of(r) for r in seen]
    assert len({bytes(r.public_key().public_bytes(
        DER, x509.serialization.PublicFormat.SubjectPublicKeyInfo))
        for a in askers for q in a.got for r in q.certificates}) == len(last)
    # openssl thinks so too, of the last that each of them signed
    for i, reply in enumerate(last.values()):
        file = tmp_path / f"response{i}"
        file.write_bytes(reply.public_bytes(DER))
        whose = leaf if reply.serial_number == leaf.serial_number else gone
        done = subprocess.run(
            ["openssl", "ocsp", "-issuer", files(whose, ca)[1], "-cert",
             files(whose, ca)[0], "-respin", file, "-CAfile", server.root,
             "-no_nonce", "-validity_period", "60", "-attime",
             str(int(seconds(reply.this_update)))],
            capture_output=True, text=True)
        assert "Response verify OK" in done.stderr, done.stderr


def test_what_the_store_does_not_take_is_tried_again(new_server):
    """Nothing is signed without its row. The old one signs as long as it can,
    then there is no answer, and then there is one again."""
    server = new_server(issuer=SHORT)
    server.start()
    _, leaf, ca = obtain(server)
    request = request_for(leaf, ca, nonce=b"n")
    server.store.execute(
        "CREATE TRIGGER no_more BEFORE INSERT ON audit WHEN "
        "NEW.action = 'certificate.ocsp' BEGIN SELECT RAISE(ABORT, 'no'); END")
    first = check_signature(answer(post(server, request)), ca)

    def ends():
        reply = answer(post(server, request))
        if reply.response_status != SUCCESSFUL:
            return reply
        assert check_signature(reply, ca) == first
        check_now(reply)
        return None
    reply = servers.wait_for(ends, 30, "the end of the responder", 0.2)
    assert reply.response_status.name == "TRY_LATER"
    assert server.metrics()["certloop_ocsp_responder_failures_total"] > 0
    assert len(trail(server)) == 1
    server.store.execute("DROP TRIGGER no_more")
    servers.wait_for(
        lambda: answer(post(server, request)).response_status == SUCCESSFUL,
        20, "an answer", 0.1)
    second = check_signature(answer(post(server, request)), ca)
    assert [s for s, _ in trail(server)][:2] == [serial_of(first),
                                                 serial_of(second)]


def test_each_replica_has_its_own(replicas):
    members = replicas(with_redis=True)
    _, chain, _ = fleet.client_of(members).obtain([fresh()])
    leaf, ca = x509.split_chain(chain)[:2]

    def ask(replica):
        return check_signature(answer(
            web.Web(web.trust(replica.root)).request(
                "POST", f"https://localhost:{replica.port}/ca/local/ocsp",
                body=request_for(leaf, ca),
                headers={"Content-Type": "application/ocsp-request"})), ca)
    serials = [serial_of(ask(m)) for m in members]
    assert len(set(serials)) == len(members)
    assert sorted(serials) == sorted(s for s, _ in trail(members[0]))
