# SPDX-License-Identifier: ISC
"""certloopctl cert revoke of many certificates, which goes the way of one:
CRL, OCSP, ARI and the issuer hear of each."""

import json

import pytest

import acme
import test_55_crl as crl
import test_56_ocsp as ocsp
import x509
from servers import wait_for
from test_52_renewal import Issued
from test_75_ctl import (
    NOBODY, NOT_FOUND, OK, REFUSED, USAGE, api, audit, items, run)
from test_77_marks import PROFILES, count, fill, is_due


@pytest.fixture
def server(new_server, engine):
    return new_server(engine, profiles=PROFILES).start()


def test_all_of_a_profile(server):
    mine, others = Issued(server), Issued(server, profile="other")
    issuing = x509.split_chain(mine.client.download(mine.order))[1]
    status = ocsp.request_for(mine.certificate, issuing)
    assert ocsp.answer(ocsp.post(server, status)).certificate_status \
        == ocsp.GOOD
    words = ["cert", "revoke", "--profile", "default", "--reason",
             "keyCompromise"]
    done = server.ctl(*words)
    assert done.returncode == REFUSED and "--yes" in done.stderr
    assert "1 certificate would be revoked" in done.stdout
    assert count(server, "status = 'revoked'") == 0
    assert "revoked 1 certificate in" in run(server, *words, "--yes")
    found = items(server, "cert", "list", "--status", "revoked")
    assert [c["names"] for c in found] == [mine.names]
    crl.wait_listed(server, mine.certificate)
    assert crl.entry_of(crl.load(server), others.certificate) is None
    wait_for(lambda: ocsp.answer(ocsp.post(
        server, status)).certificate_status == ocsp.REVOKED, 20, "OCSP")
    wait_for(lambda: is_due(mine), 5, "the window")
    shown = json.loads(run(server, "--json", "cert", "show", found[0]["id"]))
    assert shown["reason"] == "keyCompromise"
    serial, account, detail = server.store.query(
        "SELECT serial, account, detail FROM audit "
        "WHERE action = 'certificate.revoke'")[0]
    assert (serial, account) == (found[0]["serial"], found[0]["account"])
    assert json.loads(detail) == {"reason": 1, "by": "admin"}
    # once more: there is nothing left
    assert "revoked 0 certificates" in run(server, *words, "--yes")


def test_many_are_told_to_their_issuer_without_waiting_for_the_job(server):
    """More than are told at one time."""
    fill(server, 330)
    done = json.loads(run(server, "--json", "cert", "revoke", "--profile",
                          "bulk", "--yes"))
    assert (done["count"], done["done"]) == (330, 330)
    assert count(server, "status = 'revoked'") == 330
    wait_for(lambda: count(server, "issuer_told IS NOT NULL") == 330, 20,
             "the issuer to hear of all")
    assert count(server, "tell_at IS NOT NULL") == 0
    values = server.metrics()
    assert values['certloop_revocations_total{by="admin"}'] == 330
    assert values['certloop_revocations_told_total{result="told"}'] == 330
    assert values['certloop_admin_changes_total'
                  '{action="certificate.revoke"}'] == 330
    assert len(audit(server, "certificate.revoke")) == 330
    wait_for(lambda: len(crl.load(server)) == 330, 20, "the CRL", 0.2)


def test_several_by_name(server):
    issued = [Issued(server) for _ in range(4)]
    ids = {c["names"][0]: c["id"] for c in items(server, "cert", "list")}
    names = [ids[i.names[0]] for i in issued]
    run(server, "cert", "revoke", names[0])
    done = server.ctl("cert", "revoke", *names[:3], "--reason", "superseded")
    assert done.returncode == OK
    assert done.stderr == f"certloopctl: {names[0]}: revoked\n"
    assert "revoked 2 certificates" in done.stdout
    done = server.ctl("cert", "revoke", names[3], NOBODY)
    assert done.returncode == NOT_FOUND
    assert done.stderr == f"certloopctl: {NOBODY}: no such certificate\n"
    assert count(server, "status = 'revoked'") == 4
    assert "revoked" in run(server, "cert", "revoke", *names[:2],
                            code=REFUSED)


def test_two_operators_at_once(server):
    fill(server, 400)
    words = ("--json", "cert", "revoke", "--profile", "bulk", "--yes")
    answers = acme.at_once([lambda: server.ctl(*words)] * 2)
    assert [a.returncode for a in answers] == [OK, OK], answers
    assert sum(json.loads(a.stdout)["done"] for a in answers) == 400
    assert len(audit(server, "certificate.revoke")) == 400


def test_what_will_not_do(server):
    Issued(server)
    for words, code, said in (
            ([], USAGE, "say which"),
            (["--all", "--reason", "nonsense", "--yes"], REFUSED, "reason"),
            (["--all", "--reason", "7", "--yes"], REFUSED, "reason"),
            ([NOBODY, "--all"], USAGE, "say which")):
        assert said in run(server, "cert", "revoke", *words, code=code)
    for path, body, what in (
            ("revoke", b"", "say which"),
            ("revoke?status=revoked", b"", "valid"),
            ("revoke?all=no", b"", "one of: yes"),
            ("revoke?all=yes", b'{"reason":[]}', "reason")):
        status, answer = api(server, "POST", f"/certificates/{path}", body)
        assert status == 400 and what in answer["detail"]
    assert count(server, "status = 'revoked'") == 0
