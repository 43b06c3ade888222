# SPDX-License-Identifier: ISC
"""Cert loops by Vault: what it made and nobody uses is revoked there, what it
made without an answer is found."""

import os
import signal

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

import fleet
from servers import wait_for
from vault_world import PROFILES, World
from x509 import make_csr, new_key

TOP = "lease = 5s\nrecovery_interval = 1s\n"


def loop(folder, *lines):
    body = "".join(f"  {line}\n" for line in lines)
    return (f"\nloop web {{\n  names = {{ www.example.org }}\n"
            f'  folder = "{folder}"\n{body}}}\n')


def serial(issued):
    return issued.replace(":", "")


def signed(w):
    """The serials that Vault gave out, in order."""
    with w.peer.lock:
        return [serial(s) for s in w.peer.issued]


def certificates(w):
    return {s: status for s, status in w.rows(
        "SELECT serial, status FROM certificates WHERE loop = 'web'")}


def attempts(server, outcome):
    return server.metrics().get(
        f'certloop_loop_attempts_total{{outcome="{outcome}"}}', 0)


def make_due(w):
    w.server.store.execute("UPDATE loops SET next_attempt = 0")


@pytest.fixture
def looped(world, tmp_path):
    def make(engine):
        w = world(engine, top=TOP, options="timeout = 5s")
        w.server.extra += loop(tmp_path / "web")
        w.server.write_config()
        return w
    return make


def test_what_is_not_what_was_ordered_is_revoked(looped, engine):
    w = looped(engine)
    w.next({"lie": "extra_name"})
    w.server.start()
    wait_for(lambda: attempts(w.server, "failed") == 1, 20, "the lie")
    lie, = signed(w)
    assert certificates(w) == {lie: "revoked"}
    wait_for(lambda: w.revoked() == {lie}, 10, "Vault to hear of it")
    assert w.count("duplicate") == 1 and w.count("failure") == 1
    make_due(w)
    wait_for(lambda: attempts(w.server, "obtained") == 1, 20, "a good one")
    good = signed(w)[1]
    assert certificates(w) == {lie: "revoked", good: "valid"}
    assert w.revoked() == {lie}


def test_what_vault_did_not_answer_is_found_by_the_next_attempt(
        looped, engine):
    w = looped(engine)
    w.next({"lose": True})
    w.always(certs={"status": 503})     # nor can it be looked for at once
    w.server.start()
    for n in (1, 2):
        wait_for(lambda: attempts(w.server, "failed") == n, 20,
                 f"failure {n}")
        if n == 1:
            make_due(w)
    w.always(certs=None)
    make_due(w)
    wait_for(lambda: attempts(w.server, "obtained") == 1, 20, "it")
    lost, = signed(w)
    assert certificates(w) == {lost: "valid"}
    assert w.searches("failed") == 1 and w.searches("found") == 1
    assert w.revoked() == set()


def test_a_loop_that_changes_under_way_leaves_nothing_behind(looped, engine):
    """The answer is for names that the loop has not any more."""
    w = looped(engine)
    w.next({"delay": 4}, {})
    w.server.start()
    wait_for(lambda: len(w.signs()) == 1, 10, "the request")
    text = w.server.file.read_text()
    w.server.write_config(text.replace("www.example", "web.example"))
    assert w.server.ctl("reload").returncode == 0
    wait_for(lambda: attempts(w.server, "obtained") == 1, 20, "the other")
    old = {serial(s) for s, c in w.peer.issued.items() if "www.example"
           in str(c.extensions)}
    wait_for(lambda: w.revoked() == old, 20, "Vault to hear of the first")
    assert len(old) == 1
    assert certificates(w)[old.pop()] == "revoked"
    assert attempts(w.server, "lost") == 1


def lose_one(w, begin=lambda w: None):
    """Vault has signed, and nobody knows: an uncertain attempt."""
    w.next({"lose": True})
    w.always(certs={"status": 503})
    w.server.start()
    begin(w)
    wait_for(lambda: attempts(w.server, "failed") == 1, 40, "no answer")
    w.always(certs=None)
    lost, = signed(w)
    return lost


def test_what_cannot_begin_forgets_nothing(world, engine, tmp_path):
    """Its profile is gone from the configuration for a while."""
    w = world(engine, top=TOP + f'loop_folder = "{tmp_path}/pairs"\n',
              options="timeout = 5s")
    w.server.extra += "\nprofile v { issuer = vault open = yes }\n"
    w.server.write_config()

    def add(w):
        done = w.server.ctl("loop", "add", "web", "--names",
                            "www.example.org", "--profile", "v")
        assert done.returncode == 0, done.stderr
    lost = lose_one(w, add)
    text = w.server.file.read_text()
    w.server.write_config(text.replace("profile v {", "profile u {"))
    assert w.server.ctl("reload").returncode == 0
    wait_for(lambda: w.rows("SELECT last_error FROM loops") == [
        ("there is no profile v here",)], 30, "it to fail")
    w.server.write_config(text)
    assert w.server.ctl("reload").returncode == 0
    wait_for(lambda: attempts(w.server, "obtained") == 1, 40, "it")
    assert w.rows("SELECT serial, status FROM certificates") == [
        (lost, "valid")]
    assert strays(w) == []


def strays(w):
    return [(loop, names, int(tries)) for loop, names, tries in w.rows(
        "SELECT loop, names, tries FROM loop_strays")]


def look_for_strays(w):
    w.server.store.execute("UPDATE loop_strays SET next = 0")


def sign_for_others(w):
    """Somebody else has the mount make certificates of the same name."""
    before = set(signed(w))
    for _ in range(3):
        der = make_csr(["www.example.org"], new_key())
        csr = x509.load_der_x509_csr(der).public_bytes(
            serialization.Encoding.PEM).decode()
        with w.peer.lock:
            w.peer.sign({"csr": csr, "common_name": "www.example.org",
                         "alt_names": "www.example.org", "ttl": "3600s"},
                        None)
    return set(signed(w)) - before


@pytest.mark.parametrize("how", ["changed", "removed"])
def test_what_was_made_for_a_loop_that_is_another_one_now(
        looped, engine, how):
    w = looped(engine)
    lost = lose_one(w)
    others = sign_for_others(w)
    text = w.server.file.read_text()
    assert "\nloop web {" in text
    w.server.write_config(
        text.replace("www.example", "web.example") if how == "changed" else
        text[:text.index("\nloop web {")])
    assert w.server.ctl("reload").returncode == 0
    wait_for(lambda: strays(w) == [("web", "www.example.org", 0)], 20,
             "the stray")
    if how == "changed":
        wait_for(lambda: attempts(w.server, "obtained") == 1, 40, "the other")
    assert lost not in certificates(w)
    # no answer is none; it is looked for again
    w.always(certs={"status": 503})
    look_for_strays(w)
    wait_for(lambda: strays(w) == [("web", "www.example.org", 1)], 30,
             "a look")
    w.always(certs=None)
    wait_for(lambda: w.server.store.execute(
        "UPDATE loop_strays SET next = 0") or strays(w) == [], 40,
        "it to be found", 1)
    assert certificates(w)[lost] == "revoked"
    wait_for(lambda: w.revoked() == {lost}, 30, "Vault to hear of it")
    assert len(others) == 3
    assert not others & {s for s, in w.rows("SELECT serial FROM certificates")}


@pytest.mark.parametrize("blind", [True, False])
def test_the_late_result_of_a_stopped_replica(
        build, new_store, tmp_path, blind):
    """It sleeps past its lease, Vault has signed meanwhile. Another one takes
    over, and takes what Vault shows. If Vault shows nothing it gets another,
    and what the first one has in hand when it wakes up is revoked."""
    w = World(lambda engine, **options: None, tmp_path)
    store, members = new_store("postgres"), []
    try:
        for i in range(2):
            members.append(fleet.Replica(
                build, tmp_path / f"r{i}", store=store, top=TOP,
                profiles=PROFILES,
                extra=w.section() + loop(tmp_path / f"web{i}")))
        w.server = members[0]
        members[0].init_ca()
        members[1].share_from(members[0])
        if blind:
            w.always(certs={"status": 403})
        w.next({"delay": 1}, {})
        members[0].start()
        wait_for(lambda: len(w.signs()) == 1, 10, "the request")
        os.kill(members[0].pid, signal.SIGSTOP)
        wait_for(lambda: len(signed(w)) == 1, 10, "the signature")
        members[1].start()
        wait_for(lambda: store.query(
            "SELECT version FROM loops") == [("1",)], 40, "the other's")
        assert w.revoked() == set()
        late, *more = signed(w)
        size = members[0].log_size()
        os.kill(members[0].pid, signal.SIGCONT)
        members[0].wait_log("came too late|was taken over|"
                            "while storing a cert loop", size, 30)
        wait_for(lambda: attempts(members[0], "lost") == 1, 30,
                 "the fence to hold")
        if blind:
            wait_for(lambda: w.revoked() == {late}, 20, "the revocation")
            assert certificates(w) == {late: "revoked", more[0]: "valid"}
            assert store.query("SELECT c.serial, a.object = c.id "
                               "FROM audit a JOIN certificates c "
                               "ON c.serial = a.serial "
                               "WHERE action = 'certificate.orphan'") == [
                                   (late, "t")]
            members[0].wait_log("revoking a cert loop's certificate that is "
                                f"not used.*{late}", size)
        else:
            assert more == []
            assert certificates(w) == {late: "valid"}
            assert w.revoked() == set()
        assert store.query("SELECT version, serial FROM loops") == [
            ("1", more[0] if blind else late)]
        assert len(w.signs()) == 1 + blind
    finally:
        for member in members:
            if member.process is not None:
                os.kill(member.pid, signal.SIGCONT)
            member.remove()
        w.peer.stop()
