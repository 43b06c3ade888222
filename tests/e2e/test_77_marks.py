# SPDX-License-Identifier: ISC
"""certloopctl cert mark and unmark: certificates that are to be renewed now,
one of them or many, and what ARI and cert loops make of it."""

import datetime
import hashlib
import json
import os
import re
import time

import pytest
from cryptography.hazmat.primitives import serialization

import acme
import fleet
import x509
from servers import wait_for
from test_52_renewal import Issued, ask, moment
from test_75_ctl import (
    NOBODY, NOT_FOUND, OK, REFUSED, USAGE, api, audit, items, on_terminal, run)

UTC = datetime.timezone.utc
# certificates of the big one; the proof has 100,000
ROWS = int(os.environ.get("CERTLOOP_MARK_ROWS", "10000"))
WHY = "https://ca.example.org/why"
PROFILES = f"""
profile default {{
  issuer = local
  open = true
  renewal_explanation = "{WHY}"
}}
profile other {{
  issuer = local
  open = true
}}
"""

# Certificates that nobody has issued, as rows.
FILL = """WITH RECURSIVE n(i) AS (
  SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
INSERT INTO certificates (id, account, profile, issuer, serial, not_before,
  not_after, der, chain, spki_hash, names, status, created)
SELECT '00000000' || substr(CAST(10000000000000000 + i AS TEXT), 2) ||
  'aaaaaa', '{account}', '{profile}', '{issuer}',
  '0f' || substr(CAST(10000000000000000 + i AS TEXT), 2),
  {now} - 86400000000, {now} + 86400000000 * (2 + i % 80), {blob}, '',
  '{key}', 'host' || i || '.example.net', 'valid', {now} FROM n"""


def fill(server, rows, profile="bulk", issuer="local", account="0" * 30,
         key="00" * 32):
    sqlite = server.store.engine == "sqlite"
    server.store.execute(FILL.format(
        rows=rows, profile=profile, issuer=issuer, account=account, key=key,
        now=int(time.time() * 1e6), blob="x'00'" if sqlite else "'\\x00'"))


def count(server, where):
    return int(server.store.query(
        f"SELECT count(*) FROM certificates WHERE {where}")[0][0])


def window(issued, client=None):
    answer = ask(client or issued.client, issued.id).json
    return (moment(answer["suggestedWindow"]["start"]),
            moment(answer["suggestedWindow"]["end"]),
            answer.get("explanationURL"))


def now():
    return datetime.datetime.now(UTC)


def is_due(issued, client=None):
    start, end, why = window(issued, client)
    return start < end <= now() + datetime.timedelta(seconds=1) and why == WHY


@pytest.fixture
def server(new_server, engine):
    return new_server(engine, profiles=PROFILES).start()


def cert_of(server, issued):
    return items(server, "cert", "list", "--name", issued.names[0])[0]["id"]


def test_one_certificate_is_to_be_renewed_and_then_not(server):
    issued = Issued(server)
    before = window(issued)
    one = cert_of(server, issued)
    said = run(server, "cert", "mark", one)
    assert re.fullmatch(r"marked 1 certificate in \d+\.\d s\n", said)
    wait_for(lambda: is_due(issued), 5, "the window to move")
    shown = json.loads(run(server, "--json", "cert", "show", one))
    assert moment(shown["renew_until"]) <= now()
    assert "renew from" in run(server, "cert", "show", one)
    assert items(server, "cert", "list")[0]["marked"] is True
    rows = audit(server, "certificate.mark")
    assert [r[:3] for r in rows] == [
        ("admin:uid=0", one, '{"over_seconds":0}')]
    # once more: it is already
    assert "marked" in run(server, "cert", "mark", one, code=REFUSED)
    assert "unmarked 1" in run(server, "cert", "unmark", one)
    wait_for(lambda: window(issued) == before, 5, "the window to move back")
    assert "not marked" in run(server, "cert", "unmark", one, code=REFUSED)
    assert len(audit(server, "certificate.unmark")) == 1
    values = server.metrics()
    for action in ("mark", "unmark"):
        assert values["certloop_admin_changes_total"
                      f'{{action="certificate.{action}"}}'] == 1
    assert values['certloop_renewal_infos_total{answer="marked"}'] >= 1


def test_in_a_time_from_now_on(server):
    issued = Issued(server)
    run(server, "cert", "mark", cert_of(server, issued), "--over", "2h")

    def is_marked():
        start, end, why = window(issued)
        return (why == WHY
                and abs(start - now()) < datetime.timedelta(minutes=1)
                and end - start == datetime.timedelta(hours=2))
    wait_for(is_marked, 5, "the window to move")


def test_by_serial_and_by_a_file_of_them(server, tmp_path):
    issued = [Issued(server) for _ in range(4)]
    serials = [f"{i.certificate.serial_number:x}" for i in issued]
    serials = [s.zfill(len(s) + len(s) % 2) for s in serials]
    with_colons = ":".join(re.findall("..", serials[0].upper()))
    run(server, "cert", "mark", with_colons)
    file = tmp_path / "serials"
    file.write_text(f"# leaked\n\n{serials[1]}\r\n  {serials[2]} # why\n"
                    f"{serials[1]}\n")
    said = run(server, "cert", "mark", "--serials", file, code=REFUSED)
    assert "--yes" in said
    done = server.ctl("cert", "mark", "--serials", file)
    assert "2 certificates would be marked" in done.stdout
    assert count(server, "renew_start IS NOT NULL") == 1
    assert "marked 2 certificates" in run(
        server, "cert", "mark", "--serials", file, "--yes")
    assert count(server, "renew_start IS NOT NULL") == 3
    # what is not there is said, and all else is done
    file.write_text(f"00ff\n{serials[3]}\n")
    done = server.ctl("cert", "mark", "--serials", file, "--yes")
    assert done.returncode == NOT_FOUND
    assert "00ff: no such certificate" in done.stderr
    assert "marked 1 certificate in" in done.stdout
    assert count(server, "renew_start IS NOT NULL") == 4


@pytest.mark.parametrize("form", ["hash", "certificate", "key"])
def test_by_key(server, tmp_path, form):
    issued = Issued(server)
    spki = issued.certificate.public_key().public_bytes(
        serialization.Encoding.DER,
        serialization.PublicFormat.SubjectPublicKeyInfo)
    given = hashlib.sha256(spki).hexdigest()
    if form != "hash":
        key = x509.new_key()
        issued.order, chain, _ = issued.client.obtain(
            issued.names, key=key)
        given = tmp_path / "given.pem"
        given.write_bytes(chain if form == "certificate"
                          else x509.key_pem(key))
    Issued(server)
    done = server.ctl("cert", "mark", "--key", given)
    assert "1 certificate would be marked" in done.stdout, done.stderr
    run(server, "cert", "mark", "--key", given, "--yes")
    assert count(server, "renew_start IS NOT NULL") == 1


def test_by_account_profile_issuer_name_and_end(server):
    first, second = Issued(server), Issued(server, profile="other")
    account = first.client.kid.rpartition("/")[2]
    fill(server, 30, issuer="gone")
    for words, want in (
            (["--account", account], 1), (["--profile", "other"], 1),
            (["--profile", "bulk"], 30), (["--issuer", "gone"], 30),
            (["--issuer", "local"], 2), (["--name", "example.org"], 2),
            (["--exact", second.names[0]], 1), (["--exact", "org"], 0),
            (["--profile", "other", "--account", account], 0),
            (["--ends-within", "3d"], 1), (["--ends-before", "80d"], 30),
            (["--ends-after", "80d", "--issuer", "local"], 2),
            (["--all"], 32)):
        done = json.loads(server.ctl("--json", "cert", "mark", *words).stdout)
        assert (done["count"], done["done"]) == (want, 0), words
    assert count(server, "renew_start IS NOT NULL") == 0
    run(server, "cert", "mark", "--account", account, "--yes")
    wait_for(lambda: is_due(first), 5, "the window to move")
    assert not is_due_now(second)
    assert "unmarked 1" in run(server, "cert", "unmark", "--all", "--yes")


def is_due_now(issued):
    return window(issued)[0] <= now()


def test_only_what_is_valid(server):
    issued = [Issued(server) for _ in range(3)]
    names = [cert_of(server, i) for i in issued]
    run(server, "cert", "revoke", names[0])
    server.store.execute(
        "UPDATE certificates SET not_before = 1, "
        f"not_after = {int(time.time()) - 60}000000 WHERE id = '{names[1]}'")
    assert "revoked" in run(server, "cert", "mark", names[0], code=REFUSED)
    assert "expired" in run(server, "cert", "mark", names[1], code=REFUSED)
    assert "marked 1 certificate" in run(
        server, "cert", "mark", "--all", "--yes")
    assert count(server, "renew_start IS NOT NULL") == 1
    # and one that is revoked later is told as that
    run(server, "cert", "revoke", names[2])
    assert is_due(issued[2])
    assert server.metrics()[
        'certloop_renewal_infos_total{answer="revoked"}'] == 1


@pytest.mark.parametrize("words, code, said", [
    ([], USAGE, "say which"),
    (["--all", "--profile", "x"], USAGE, "say which"),
    (["--all", NOBODY], USAGE, "say which"),
    (["--serials", "/nothing/there", "--yes"], USAGE, "No such file"),
    (["--serials", "/dev/null"], USAGE, "names no certificate"),
    (["--key", "/dev/null"], USAGE, "neither"),
    (["--key", "00"], USAGE, "00"),
    (["--all", "--over", "soon"], USAGE, "--over"),
    (["--all", "--over", ""], USAGE, "--over"),
    (["--all", "--over", "0m"], USAGE, "--over"),
    (["--all", "--over", "31d"], REFUSED, "over_seconds"),
    (["--account", "me"], REFUSED, "account"),
    ([NOBODY], NOT_FOUND, "no such certificate"),
    (["\N{SNOWMAN}"], NOT_FOUND, "no such certificate"),
    (["--name", "a b"], REFUSED, "name"),
    (["--ends-before", "soon"], REFUSED, "ends-before"),
    (["--ends-before", "3d", "--ends-within", "3d"], REFUSED, "window"),
])
def test_what_will_not_do(server, words, code, said):
    assert said in run(server, "cert", "mark", *words, code=code)
    assert audit(server, "certificate.mark") == []


def test_the_api_refuses_what_it_does_not_know(server):
    many = json.dumps({"certificates": ["00"] * 101}).encode()
    for path, body, what in (
            ("mark", b"", "say which"),
            ("mark?all=yes&profile=x", b"", "say which"),
            ("mark?all=yes", b'{"certificates":["00"]}', "say which"),
            ("mark", many, "certificates"),
            ("mark", b'{"certificates":[]}', "certificates"),
            ("mark", b'{"certificates":[1]}', "certificates"),
            ("mark", b'{"certificates":[""]}', "certificates"),
            ("mark", b'{"certificates":"00"}', "certificates"),
            ("mark?status=revoked", b"", "valid"),
            ("mark?marked=yes", b"", "valid"),
            ("unmark?marked=no", b"", "marked"),
            ("mark?all=yes&cursor=x", b"", "cursor"),
            ("mark?all=yes", b'{"over_seconds":-1}', "over_seconds"),
            ("mark?all=yes", b'{"over_seconds":"1"}', "over_seconds"),
            ("count?all=yes", b"", "for"),
            ("count?all=yes&for=delete", b"", "for")):
        status, answer = api(server, "POST", f"/certificates/{path}", body)
        assert (status, what in answer["detail"]) == (400, True), (path, answer)


def test_a_cursor_leads_nowhere_else(server):
    """That of a name does not show what stands before the names."""
    for word in ("a", "b"):
        Issued(server, [f"{word}.example.net"])
        Issued(server, [f"{word}.example.org"])
    page = api(server, "GET", "/certificates?limit=1&name=example.net")[1]
    assert page["items"][0]["names"] == ["a.example.net"]
    status, answer = api(server, "GET", "/certificates?name=example.org"
                         f"&cursor={page['next']}")
    assert status == 400 and "cursor" in answer["detail"]


def test_a_bar_on_a_terminal(server):
    fill(server, 250)
    seen = on_terminal(server, "cert", "mark", "--profile", "bulk", "--yes")
    assert "#" in seen and "200 of 250" in seen and "250 of 250" in seen
    assert re.search(r"marked 250 certificates in \d+\.\d s", seen)
    assert "\033" not in seen


def test_of_many_at_once_each_is_marked_once(server):
    """Two operators, and a revocation between them."""
    fill(server, 600)
    words = ("--json", "cert", "mark", "--profile", "bulk", "--yes")
    answers = acme.at_once([lambda: server.ctl(*words)] * 2)
    assert [a.returncode for a in answers] == [OK, OK], answers
    done = [json.loads(a.stdout)["done"] for a in answers]
    assert sum(done) == 600
    assert len(audit(server, "certificate.mark")) == 600
    assert count(server, "renew_start IS NOT NULL") == 600


def test_ten_thousand(request, engine, figures):
    """The loop answers others meanwhile, and the time is told; then ARI has
    the new window on every replica."""
    if engine == "sqlite":
        members = [request.getfixturevalue("server")]
        clients = [members[0].client(profile=name)
                   for name in ("default", "other")]
    else:
        members = request.getfixturevalue("replicas")(profiles=PROFILES)
        clients = [fleet.client_of(members, name)
                   for name in ("default", "other")]
    server = members[0]
    fill(server, ROWS, profile="other")
    issued, due = [Issued(server, client=c) for c in clients]

    def all_due():      # their turns
        return [is_due_now(due) for _ in members]
    assert not any(all_due())      # and now they have it in their tables
    slowest = [0.0]
    done = []

    def mark():
        begin = time.monotonic()
        done.append(server.ctl("cert", "mark", "--profile", "other", "--yes",
                               seconds=600))
        return time.monotonic() - begin

    def look():
        while not done:
            begin = time.monotonic()
            assert issued.client.nonce()
            issued.client.nonces.clear()
            slowest[0] = max(slowest[0], time.monotonic() - begin)
            time.sleep(0.01)
    took, _ = acme.at_once([mark, look])
    assert done[0].returncode == OK, done[0].stderr
    begin = time.monotonic()
    wait_for(lambda: all(all_due()), 60, "the window on all replicas", 0.1)
    figures(engine=server.store.engine, rows=ROWS, seconds=round(took, 2),
            slowest_ms=round(slowest[0] * 1000, 1), replicas=len(members),
            ari_seconds=round(time.monotonic() - begin, 2))
    assert f"marked {ROWS + 1} certificates in" in done[0].stdout
    assert count(server, "renew_start IS NOT NULL") == ROWS + 1
    assert not is_due_now(issued)
    # nothing of it took the loop for long: each step is small
    values = server.metrics()
    family = "certloop_loop_turn_cpu_seconds"
    most = 0.25 if server.is_sanitized() else 0.1
    assert values[f'{family}_bucket{{le="{most}"}}'] == values[
        f"{family}_count"]


def test_every_replica_answers_the_new_window(replicas):
    members = replicas(profiles=PROFILES)
    client = fleet.client_of(members)
    issued = Issued(members[0], ["www.fleet.example.org"], client=client)

    def all_due():
        return [is_due(issued) for _ in members]
    assert not any(all_due())      # and now they have it in their tables
    begin = time.monotonic()
    run(members[1], "cert", "mark", "--name", "example.org", "--yes")
    wait_for(lambda: all(all_due()), 5, "the window on all replicas", 0.2)
    assert time.monotonic() - begin < 6


def test_a_marked_cert_loop_renews(new_server, engine, tmp_path):
    server = new_server(engine, extra=f"""
loop site {{
  names = {{ "site.example.org" }}
  profile = default
  folder = "{tmp_path / 'site'}"
}}
""").start()

    def shown():
        return json.loads(server.ctl("--json", "loop", "show", "site").stdout)
    wait_for(lambda: shown().get("version") == 1, 30, "the first pair", 0.2)
    first = shown()["certificate"]
    assert json.loads(run(server, "--json", "cert", "show",
                          first))["loop"] == "site"
    run(server, "cert", "mark", first)
    wait_for(lambda: shown()["version"] == 2, 30, "the next pair", 0.2)
    assert shown()["certificate"] != first
    # of one that is not in use any more the loop takes no note
    run(server, "cert", "unmark", first)
    run(server, "cert", "mark", first)
    time.sleep(2)
    assert shown()["version"] == 2


def test_a_loop_whose_mark_is_taken_back_waits_for_its_old_time(
        new_server, engine, tmp_path):
    server = new_server(engine, extra="".join(f"""
loop {name} {{
  names = {{ "{name}.example.org" }}
  profile = default
  folder = "{tmp_path / name}"
}}
""" for name in ("site", "other"))).start()

    def loops():
        return {row[0]: tuple(map(int, row[1:])) for row in
                server.store.query("SELECT name, version, stale, next_attempt "
                                   "FROM loops")}
    wait_for(lambda: [r[0] for r in loops().values()] == [1, 1], 30,
             "the first pairs", 0.2)
    before = loops()
    far = before["site"][2] + 3600 * 10 ** 6
    server.store.execute(f"UPDATE loops SET next_attempt = {far}")
    # two in ten days: the first of them at once, the other in five
    run(server, "cert", "mark", "--all", "--over", "10d", "--yes")
    wait_for(lambda: sorted(r[0] for r in loops().values()) == [1, 2], 30,
             "the one that is due", 0.2)
    waits, = [n for n, r in loops().items() if r[0] == 1]
    assert loops()[waits][1] == 1
    # what does not ask for another certificate changes nothing of that
    server.write_config(server.config().replace(
        "  profile = default\n", "  profile = default\n  keep_key = yes\n"))
    assert server.ctl("reload").returncode == 0
    wait_for(lambda: len(server.store.query(
        "SELECT name FROM loops WHERE keep_key = 1")) == 2, 30, "the reload",
        0.2)
    assert loops()[waits][1] == 1
    run(server, "cert", "unmark", "--all", "--yes")
    assert loops()[waits] == (1, 0, far)
    # an operator's own wish is not taken back with a mark
    server.ctl("loop", "pause", waits)
    run(server, "cert", "mark", "--name", f"{waits}.example.org", "--yes")
    assert server.ctl("loop", "renew", waits).returncode == 0
    run(server, "cert", "unmark", "--name", f"{waits}.example.org", "--yes")
    assert loops()[waits][1] == 1
    server.ctl("loop", "resume", waits)
    wait_for(lambda: loops()[waits][0] == 2, 30, "what was asked for", 0.2)


def test_a_mark_puts_off_no_renewal_that_is_nearer(new_server, engine,
                                                   tmp_path):
    server = new_server(engine, extra="".join(f"""
loop site{n} {{
  names = {{ "site{n}.example.org" }}
  profile = default
  folder = "{tmp_path / f'site{n}'}"
}}
""" for n in range(4))).start()

    def ask(what):
        return [int(row[0]) for row in server.store.query(what)]
    wait_for(lambda: ask("SELECT count(*) FROM loops WHERE version = 1")
             == [4], 30, "the first pairs", 0.2)
    soon = int((time.time() + 3600) * 10 ** 6)
    server.store.execute(
        f"UPDATE loops SET renew_at = {soon}, next_attempt = {soon}")
    run(server, "cert", "mark", "--all", "--over", "20d", "--yes")
    # one of the four at once, the others before their hour is over
    left = ask("SELECT next_attempt FROM loops WHERE version = 1")
    assert len(left) >= 3 and max(left) <= soon
    assert ask("SELECT count(*) FROM loops WHERE stale = 1 OR version > 1") \
        == [4]
