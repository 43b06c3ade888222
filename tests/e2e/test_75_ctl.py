# SPDX-License-Identifier: ISC
"""certloopctl and the admin API: lists and their pages, single objects,
changes of state with their audit rows, and refusals."""

import grp
import json
import os
import pty
import re
import secrets
import socket
import subprocess
import threading
import unicodedata
import urllib.parse
from pathlib import Path

import pytest

import acme
import servers
import vault_peer

OK, REFUSED, USAGE, UNREACHABLE, NOT_FOUND, FORBIDDEN = range(6)

NOBODY = "0" * 8 + "A" * 22      # an id that is well-formed


def fresh(count=1):
    return [f"{secrets.token_hex(6)}.ctl.example.org" for _ in range(count)]


def run(server, *words, code=OK):
    """certloopctl; what it prints. Nothing on standard error if all is well,
    but where a list goes on."""
    done = server.ctl(*words)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    if code == OK:
        for line in done.stderr.splitlines():
            assert re.match(r"more: --cursor |none$", line), done.stderr
    else:
        assert done.stderr.startswith("certloopctl: "), done.stderr
    return done.stdout if code == OK else done.stderr


def ask(server, *words, code=OK):
    """The same with --json."""
    return json.loads(run(server, "--json", *words, code=code))


def items(server, *words):
    return ask(server, *words)["items"]


def table(text):
    """Rows of a table as dicts: columns begin where their headings do."""
    lines = text.splitlines()
    heads = [(m[0], m.start()) for m in re.finditer(r"\S+", lines[0])]
    ends = [start for _, start in heads[1:]] + [None]
    return [{name: line[start:end].strip() for (name, start), end
             in zip(heads, ends)} for line in lines[1:]]


@pytest.fixture(scope="module")
def seeded(build, engine, new_store, tmp_path_factory):
    """A server with three accounts: of two, of three orders, of none."""
    server = servers.Certloopd(
        build, tmp_path_factory.mktemp(f"ctl-{engine}"),
        store=new_store(engine), profiles="""
profile default {
  issuer = local
  auth_mode = trust_authenticated
  open = true
}
profile short {
  issuer = local
  auth_mode = trust_authenticated
  open = true
  lifetime = 7d
}
""").start()
    server.names = {}
    for profile, orders in (("default", 2), ("short", 3), ("default", 0)):
        client = server.client(profile=profile)
        client.register()
        name = client.kid.rpartition("/")[2]
        server.names[name] = [fresh()[0] for _ in range(orders)]
        for one in server.names[name]:
            client.obtain([one])
    yield server
    server.remove()


@pytest.mark.parametrize("command", (["account", "list"], ["--help"]))
def test_what_cannot_be_written_is_no_success(seeded, command):
    """A list flushes what it printed; the loss must not be forgotten."""
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [seeded.build / "certloopctl", "-s", seeded.data / "admin.sock",
             *command], stdout=full, stderr=subprocess.PIPE, text=True,
            timeout=60, check=False, env=seeded.env)
    assert done.returncode == 3, done.stderr
    assert "standard output" in done.stderr


def test_a_table_and_its_json_say_the_same(seeded):
    rows = table(run(seeded, "account", "list"))
    objects = items(seeded, "account", "list")
    assert [r["ID"] for r in rows] == [o["id"] for o in objects]
    assert [r["ID"] for r in rows] == sorted(
        (r["ID"] for r in rows), reverse=True)
    assert {r["ID"] for r in rows} >= set(seeded.names)
    assert {r["STATUS"] for r in rows} == {"valid"}
    assert all(re.fullmatch(
        r"20\d\d-\d\d-\d\d \d\d:\d\d \((now|\d+ (s|min) ago)\)",
        r["CREATED"]) for r in rows)
    assert "\033" not in run(seeded, "account", "list")


@pytest.mark.parametrize("kind", ["account", "order", "cert"])
def test_pages_show_everything_once(seeded, kind):
    everything = [o["id"] for o in items(seeded, kind, "list", "--all")]
    assert len(everything) == len(set(everything)) >= 3
    seen, cursor = [], None
    while True:
        more = ["--cursor", cursor] if cursor else []
        page = ask(seeded, kind, "list", "--limit", "2", *more)
        assert len(page["items"]) <= 2
        seen += [o["id"] for o in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
        text = seeded.ctl(kind, "list", "--limit", "2", *more)
        assert text.stderr == f"more: --cursor {cursor}\n"
    assert seen == everything


def test_filters_show_what_fits(seeded):
    for account, names in seeded.names.items():
        for kind in ("order", "cert"):
            found = items(seeded, kind, "list", "--account", account)
            assert sorted(o["names"][0] for o in found) == sorted(names)
    found = items(seeded, "cert", "list", "--profile", "short")
    assert len(found) == 3
    assert {o["profile"] for o in found} == {"short"}
    found = items(seeded, "cert", "list", "--ends-within", "8d")
    assert len(found) == 3
    ends = [o["not_after"] for o in found]
    assert ends == sorted(ends)
    assert items(seeded, "cert", "list", "--ends-within", "6d") == []
    assert len(items(seeded, "cert", "list", "--ends-within", "100d",
                     "--profile", "default")) == 2
    assert len(items(seeded, "cert", "list", "--issuer", "local")) == 5
    assert items(seeded, "cert", "list", "--issuer", "other") == []
    assert items(seeded, "account", "list", "--profile", "other") == []
    assert items(seeded, "order", "list", "--status", "pending") == []
    assert len(items(seeded, "order", "list", "--status", "valid")) == 5


def test_pages_with_a_filter_show_everything_once(seeded):
    account, names = max(seeded.names.items(), key=lambda i: len(i[1]))
    for kind, more in (("order", ["--account", account]),
                       ("cert", ["--account", account]),
                       ("cert", ["--ends-within", "8d"]),
                       ("order", ["--profile", "short"])):
        seen, cursor = [], []
        while True:
            page = ask(seeded, kind, "list", "--limit", "1", *more, *cursor)
            seen += [o["names"][0] for o in page["items"]]
            if page["next"] is None:
                break
            cursor = ["--cursor", page["next"]]
        assert sorted(seen) == sorted(names)
        assert len(seen) == len(set(seen))


@pytest.mark.parametrize("kind", ["order", "cert"])
def test_a_name_finds_itself_and_those_below(seeded, kind):
    everything = [n for names in seeded.names.values() for n in names]
    name = everything[0]
    found = items(seeded, kind, "list", "--name", name)
    assert [o["names"] for o in found] == [[name]]
    assert len(items(seeded, kind, "list", "--name", name.upper())) == 1
    for below in ("ctl.example.org", ".ctl.example.org", "org"):
        assert len(items(seeded, kind, "list", "--name", below)) == 5
    # no part of a label, and nothing that LIKE would act on
    for nothing in (name[1:], "l.example.org", "ctl_example.org",
                    "_______.ctl.example.org"):
        assert items(seeded, kind, "list", "--name", nothing) == []


def test_pages_stay_while_rows_arrive(new_server, engine):
    server = new_server(engine).start()
    client = server.client()
    for _ in range(5):
        client.obtain(fresh())
    before = [o["id"] for o in items(server, "order", "list", "--all")]
    page = ask(server, "order", "list", "--limit", "2")
    client.obtain(fresh())
    rest = items(server, "order", "list", "--all", "--cursor", page["next"])
    assert [o["id"] for o in page["items"] + rest] == before


# ---- single objects

def test_an_order_with_all_that_belongs_to_it(seeded):
    order = items(seeded, "order", "list", "--status", "valid")[-1]
    shown = ask(seeded, "order", "show", order["id"])
    assert [i["value"] for i in shown["identifiers"]] == order["names"]
    assert shown["certificate"]["id"] == order["certificate"]
    assert [a["value"] for a in shown["authorizations"]] == order["names"]
    assert shown["authorizations"][0]["status"] == "valid"
    assert "token" not in json.dumps(shown)
    assert [t["action"] for t in shown["trail"]] == [
        "order.create", "certificate.issue"]
    text = run(seeded, "order", "show", order["id"])
    for word in (order["id"], order["names"][0], order["certificate"],
                 "certificate.issue"):
        assert word in text


def test_a_certificate_by_id_and_serial(seeded):
    cert = items(seeded, "cert", "list")[0]
    shown = ask(seeded, "cert", "show", cert["id"])
    serial = shown["serial"]
    with_colons = ":".join(re.findall("..", serial.upper()))
    for name in (serial, serial.upper(), with_colons):
        assert ask(seeded, "cert", "show", name) == shown
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-serial", "-fingerprint", "-sha256"],
        input=shown["pem"], capture_output=True, text=True, check=True)
    assert serial.upper() in done.stdout
    assert shown["sha256"].upper() in done.stdout.replace(":", "")
    assert shown["names"][0] in run(seeded, "cert", "show", cert["id"])


def test_an_account_with_its_key(seeded):
    client = seeded.client()
    client.register(contact=["mailto:ops@example.org"])
    account = client.kid.rpartition("/")[2]
    shown = ask(seeded, "account", "show", account)
    assert shown["status"] == "valid"
    assert shown["contacts"] == ["mailto:ops@example.org"]
    assert shown["key"]["kty"] == "EC"
    assert shown["open_orders"] == 0
    client.order(fresh())
    assert ask(seeded, "account", "show", account)["open_orders"] == 1
    assert "ops@example.org" in run(seeded, "account", "show", account)


# ---- changes of state

def audit(server, action):
    return [row for row in server.store.query(
        "SELECT actor, object, detail, action FROM audit ORDER BY at, id")
        if row[3] == action]


def test_a_deactivated_account_can_do_nothing(new_server, engine):
    server = new_server(engine).start()
    client = server.client()
    client.obtain(fresh())
    account = client.kid.rpartition("/")[2]
    assert account in run(server, "account", "deactivate", account)
    response = client.send(client.directory["newOrder"], {
        "identifiers": [acme.dns(fresh()[0])]})
    assert response.status in (401, 403), response
    assert response.problem == "unauthorized"
    assert ask(server, "account", "show", account)["status"] == "revoked"
    found = items(server, "account", "list", "--status", "revoked")
    assert [a["id"] for a in found] == [account]
    said = run(server, "account", "deactivate", account, code=REFUSED)
    assert "(409)" in said and "revoked already" in said
    rows = audit(server, "account.deactivate")
    assert [row[:2] for row in rows] == [("admin:uid=0", account)]
    assert server.metrics()[
        'certloop_admin_changes_total{action="account.deactivate"}'] == 1


def test_a_revoked_certificate(new_server, engine):
    server = new_server(engine).start()
    client = server.client()
    client.obtain(fresh())
    cert = items(server, "cert", "list")[0]
    said = run(server, "cert", "revoke", cert["id"], "--reason", "nonsense",
               code=REFUSED)
    assert "nonsense" in said and "keyCompromise" in said
    assert "keyCompromise" in run(server, "cert", "revoke", cert["serial"],
                                  "--reason", "keyCompromise")
    shown = ask(server, "cert", "show", cert["id"])
    assert (shown["status"], shown["reason"]) == ("revoked", "keyCompromise")
    found = items(server, "cert", "list", "--status", "revoked")
    assert [c["id"] for c in found] == [cert["id"]]
    assert items(server, "cert", "list", "--status", "valid") == []
    said = run(server, "cert", "revoke", cert["id"], code=REFUSED)
    assert "(409)" in said
    rows = audit(server, "certificate.revoke")
    assert [row[:2] for row in rows] == [("admin:uid=0", cert["id"])]
    assert server.metrics()[
        'certloop_admin_changes_total{action="certificate.revoke"}'] == 1


def test_limits_are_shown_and_reset(new_server):
    server = new_server(limits="""
  new_account_per_address = "3/1h"
  new_order_per_account = "2/1h"
  open_orders_per_account = 4
""").start()
    limits = {o["name"]: o for o in items(server, "limit", "show")}
    assert limits["new_order_per_account"]["max"] == 2
    assert limits["new_order_per_account"]["window_seconds"] == 3600
    assert limits["open_orders_per_account"]["max"] == 4
    client = server.client()
    client.register()
    account = client.kid.rpartition("/")[2]
    words = ["new_order_per_account", account]
    for used in range(3):
        shown = ask(server, "limit", "show", *words)
        assert (shown["used"], shown["left"]) == (used, 2 - used)
        assert (shown["wait_seconds"] > 0) == (used == 2)
        opened = ask(server, "limit", "show", "open_orders_per_account",
                     account)
        assert (opened["used"], opened["left"]) == (used, 4 - used)
        response = client.send(client.directory["newOrder"], {
            "identifiers": [acme.dns(fresh()[0])]})
        assert response.status == (201 if used < 2 else 429), response
    assert "2 had been used" in run(server, "limit", "reset", *words)
    client.order(fresh())
    shown = ask(server, "limit", "show", "new_account_per_address",
                "127.0.0.1")
    assert shown["used"] == 1
    # another spelling has the same key: the network that is counted
    shown = ask(server, "limit", "show", "new_account_per_address",
                "2001:DB8:7:0:0::1")
    assert shown["key"] == "2001:db8:7::"
    assert [(row[0], row[1], json.loads(row[2])) for row in audit(
        server, "limit.reset")] == [("admin:uid=0", account, {
            "limit": words[0], "key": account})]
    assert server.metrics()[
        'certloop_admin_changes_total{action="limit.reset"}'] == 1


@pytest.mark.parametrize("words, code, said", [
    (["show", "nothing", "x"], NOT_FOUND, "new_order_per_account"),
    (["show", "new_order_per_account", "x"], REFUSED, 'key: "x"'),
    (["show", "new_order_per_account"], REFUSED, "which account?"),
    (["show", "new_account_per_address", "localhost"], REFUSED,
     "an IP address"),
    (["show", "challenge_response_per_challenge", "x" * 600], REFUSED,
     "key"),
    (["reset", "challenge_response_per_challenge", "x" * 600], REFUSED,
     "at most 512 bytes"),
    (["reset", "open_orders_per_account", NOBODY], REFUSED, "(409)"),
    (["reset", "nothing", "x"], NOT_FOUND, "there is no limit"),
])
def test_limits_that_cannot_be_asked(seeded, words, code, said):
    assert said in run(seeded, "limit", *words, code=code)


def test_the_sweeps_run_on_request(new_server, engine):
    server = new_server(engine, top="gc_interval = 0").start()
    client = server.client()
    client.register()
    order = client.order(fresh())
    server.store.execute("UPDATE orders SET expires = 1")
    assert ask(server, "order", "list")["items"][0]["status"] == "invalid"
    assert "sweeps have begun" in run(server, "gc", "run")
    servers.wait_for(lambda: server.metrics()[
        'certloop_gc_rows_total{sweep="orders"}'] == 1, 20, "the sweep")
    assert client.refresh(order).status == "invalid"
    assert [row[0] for row in audit(server, "gc.run")] == ["admin:uid=0"]
    assert server.metrics()[
        'certloop_admin_changes_total{action="gc.run"}'] == 1


def test_the_database_is_described(seeded, engine):
    shown = ask(seeded, "db", "status")
    assert shown["engine"] == {"sqlite": "sqlite",
                               "postgres": "postgresql"}[engine]
    assert shown["ok"] and shown["ready"]
    assert shown["schema_version"] == shown["schema_known"] >= 1
    assert len(shown["migrations"]) == shown["schema_version"]
    counts = {c["of"]: c["rows"] for c in shown["counts"]}
    for of, table in (("accounts", "accounts"), ("orders", "orders"),
                      ("certificates", "certificates"),
                      ("audit rows", "audit")):
        rows = seeded.store.query(f"SELECT count(*) FROM {table}")
        assert counts[of] == int(rows[0][0])
    text = run(seeded, "db", "status")
    assert re.search(rf"^certificates +{counts['certificates']}$", text,
                     re.M)


def test_local_issuers(seeded, build):
    shown = items(seeded, "issuer", "list")
    assert [(i["name"], i["type"]) for i in shown] == [("local", "local")]
    assert sorted(shown[0]["profiles"]) == ["default", "short"]
    shown = ask(seeded, "issuer", "show", "local")
    assert shown["chain"][-1]["pem"] == seeded.root.read_text()
    assert "certloop root" in run(seeded, "issuer", "show", "local")
    before = seeded.store.query("SELECT count(*) FROM certificates")
    tested = ask(seeded, "issuer", "test", "local")
    assert tested["ok"] and tested["class"] is None
    assert seeded.store.query("SELECT count(*) FROM certificates") == before
    assert re.search(r"^works +yes$", run(seeded, "issuer", "test", "local"),
                     re.M)
    for word in ("show", "test"):
        assert 'no issuer "locl"' in run(seeded, "issuer", word, "locl",
                                         code=NOT_FOUND)


def test_an_issuer_of_vault(new_server, tmp_path):
    peer = vault_peer.VaultPeer().start()
    peer.add_token("s.token", 3600)
    try:
        token = tmp_path / "token"
        token.touch(mode=0o600)
        token.write_text("s.token\n")
        server = new_server(extra="".join(f"""
issuer {name} {{
  type = vault
  address = "{address}"
  token_file = "{token}"
  role = servers
}}
""" for name, address in (
            ("vault", peer.address),
            ("gone", f"http://127.0.0.1:{servers.free_port()}")))).start()
        shown = ask(server, "issuer", "show", "vault")
        assert (shown["address"], shown["role"]) == (peer.address, "servers")
        tested = ask(server, "issuer", "test", "vault")
        assert tested["ok"], tested
        assert "can be renewed" in tested["found"]
        assert "s.token" not in json.dumps(tested)
        peer.command({"script": {"lookup-self": [{"status": 403}]}})
        done = server.ctl("issuer", "test", "vault", "--json")
        assert done.returncode == REFUSED
        tested = json.loads(done.stdout)
        assert (tested["ok"], tested["class"]) == (False, "auth")
        done = server.ctl("issuer", "test", "gone")
        assert done.returncode == REFUSED
        assert re.search(r"^works +no$", done.stdout, re.M)
        assert re.search(r"^failure +network$", done.stdout, re.M)
    finally:
        peer.stop()


# ---- who may

@pytest.fixture
def another_user():
    """Words that run a command as a user who may nothing, in a group that
    is named by its number."""
    if os.getuid() != 0:
        pytest.skip("needs another user")

    def run_as(*command, groups=()):
        return subprocess.run(
            ["setpriv", "--reuid", "65534", "--regid", "65534",
             f"--groups={','.join(map(str, groups))}" if groups
             else "--clear-groups", *command],
            capture_output=True, text=True)
    return run_as


def let_through(server):
    """The folders above the socket and the program."""
    for path in (server.data / "x", server.build / "x"):
        for folder in path.parents:
            if len(folder.parts) > 2:
                folder.chmod(folder.stat().st_mode | 0o011)


def test_members_of_the_group_may(new_server, another_user):
    name = next(g for g in grp.getgrall() if g.gr_gid not in (0, 65534))
    server = new_server(top=f"admin_group = {name.gr_name}").start()
    admin = server.data / "admin.sock"
    assert admin.stat().st_mode & 0o777 == 0o660
    assert admin.stat().st_gid == name.gr_gid
    let_through(server)
    ctl = [server.build / "certloopctl", "-s", admin, "status"]
    done = another_user(*ctl, groups=[name.gr_gid])
    assert done.returncode == OK, done.stderr
    done = another_user(*ctl)
    assert done.returncode == FORBIDDEN
    assert "Permission denied" in done.stderr


def test_others_are_refused_whatever_the_mode(new_server, another_user):
    server = new_server().start()
    admin = server.data / "admin.sock"
    let_through(server)
    admin.chmod(0o666)
    ctl = [server.build / "certloopctl", "-s", admin, "account", "list"]
    for _ in range(3):
        done = another_user(*ctl, groups=[0])
        assert done.returncode == FORBIDDEN, done.stdout
        assert "(403)" in done.stderr and "admin_group" in done.stderr
    assert server.metrics()["certloop_admin_peers_refused_total"] == 3
    server.wait_log("refused a user on the admin socket")
    lines = re.findall(r"refused a user on the admin socket.*", server.log())
    assert len(lines) == 1 and "uid=65534" in lines[0]


def test_a_group_that_is_not_there(new_server):
    server = new_server(top="admin_group = no-such-group")
    done = server.run("-c", server.file)
    assert done.returncode == 3
    assert 'admin_group: there is no group "no-such-group"' in done.stdout


# ---- refusals

@pytest.mark.parametrize("words, what", [
    (["account", "show", NOBODY], "account"),
    (["account", "show", "x"], "account"),
    (["account", "deactivate", NOBODY], "account"),
    (["order", "show", NOBODY], "order"),
    (["cert", "show", NOBODY], "certificate"),
    (["cert", "show", "00:11:22"], "certificate"),
    (["cert", "revoke", NOBODY], "certificate"),
])
def test_what_is_not_there(seeded, words, what):
    said = run(seeded, *words, code=NOT_FOUND)
    assert "(404)" in said
    assert f'there is no {what} "{words[2]}"' in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("words", [
    ["account", "list", "--status", "alive"],
    ["account", "list", "--cursor", "nonsense"],
    ["account", "list", "--cursor", "b3JkZXJzOjA6eA"],     # of another list
    ["account", "list", "--cursor", "YWNjb3VudHM6LTE6eA"],  # a negative key
    ["order", "list", "--status", "\N{SNOWMAN}"],
    ["order", "list", "--account", "me"],
    ["order", "list", "--name", "a b"],
    ["order", "list", "--name", "%"],
    ["cert", "list", "--ends-within", "soon"],
    ["cert", "list", "--ends-within", "99999999999999999999d"],
    ["cert", "list", "--ends-within", "0d"],
    ["cert", "list", "--name", "x" * 300],
])
def test_a_filter_that_will_not_do(seeded, words):
    said = run(seeded, *words, code=REFUSED)
    assert "(400)" in said
    assert f'{words[2][2:]}: "' in said and "give" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("words, said", [
    (["acount", "list"], 'did you mean "account"?'),
    (["account", "lst"], 'did you mean "account list"?'),
    (["account", "list", "--staus", "x"], 'did you mean "--status"?'),
    (["account", "list", "-x"], 'no option "-x"'),
    (["account", "list", "--limit"], "--limit needs a value"),
    (["account", "list", "--limit="], "--limit needs a value"),
    (["account", "list", "--limit", "0"], "--limit 0 will not do"),
    (["account", "list", "--all=yes"], "--all takes no value"),
    (["account", "list", "--status", "a", "--status", "b"], "given twice"),
    (["account", "list", "more"], "takes no arguments"),
    (["account", "show"], "takes more arguments"),
    (["account", "show", "a", "b"], "takes fewer arguments"),
])
def test_wrong_usage(seeded, words, said):
    assert said in run(seeded, *words, code=USAGE)


def test_help_of_a_command_and_of_a_group(seeded):
    for words in (["account", "list", "--help"], ["account", "list", "-h"]):
        text = run(seeded, *words)
        assert text.startswith("usage: certloopctl ")
        assert "--profile PROFILE" in text
    text = run(seeded, "account", "--help")
    assert "account deactivate" in text and "order list" not in text


def api(server, method, path, body=b"", **headers):
    """A request on the admin socket: status and document."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(server.data / "admin.sock"))
        s.sendall(b"%s /api/v1%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                  b"Content-Length: %d\r\n\r\n%s" % (
                      method.encode(), path.encode(), len(body), body))
        answer = b""
        while chunk := s.recv(65536):
            answer += chunk
    head, _, text = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(text)


@pytest.mark.parametrize("method, path, body, status, what", [
    ("GET", "/accounts?nothing=1", b"", 400, "nothing"),
    ("GET", "/accounts?limit=201", b"", 400, '"201"'),
    ("GET", "/accounts?limit=-1", b"", 400, "limit"),
    ("GET", "/accounts?limit=1&limit=2", b"", 400, "twice"),
    ("GET", "/accounts?status=", b"", 400, "status"),
    ("GET", "/accounts?status", b"", 400, "status"),
    ("GET", "/accounts?profile=%00", b"", 400, "profile"),
    ("GET", "/accounts?profile=%f", b"", 400, "profile"),
    ("GET", "/accounts?profile=%ff", b"", 400, "profile"),
    ("GET", "/accounts?profile=" + "x" * 600, b"", 400, "profile"),
    ("POST", f"/certificates/{NOBODY}/revoke", b"[]", 400, "object"),
    ("POST", f"/certificates/{NOBODY}/revoke", b"{", 400, "JSON"),
    ("POST", f"/certificates/{NOBODY}/revoke", b'{"reason":7}', 400,
     "reason"),
    ("POST", f"/certificates/{NOBODY}/revoke", b'{"reason":-1}', 400,
     "reason"),
    ("POST", f"/certificates/{NOBODY}/revoke", b'{"reason":[]}', 400,
     "reason"),
    ("GET", f"/orders/{NOBODY}", b"", 404, NOBODY),
    ("GET", "/nothing", b"", 404, ""),
    ("DELETE", "/accounts", b"", 405, ""),
])
def test_problem_documents(seeded, method, path, body, status, what):
    answer = api(seeded, method, path, body)
    assert answer[0] == answer[1]["status"] == status
    assert what in answer[1]["detail"]
    assert answer[1]["type"].startswith("urn:")
    if status == 400:
        assert answer[1]["type"] == "urn:certloop:error:badParameter"


def test_parameters_are_decoded(seeded):
    name = urllib.parse.quote("ctl.example.org", safe="")
    status, page = api(seeded, "GET", "/orders?limit=3&name=" + name.replace(
        "c", "%63", 1))
    assert status == 200
    assert len(page["items"]) == 3


# ---- terminals and shells

def columns_of(text):
    """How many columns of a terminal it takes."""
    return sum(0 if unicodedata.combining(c) else
               2 if unicodedata.east_asian_width(c) in "WF" else 1
               for c in text)


def test_a_table_lines_up_whatever_the_letters(new_server):
    names = ["plain", "\N{CJK UNIFIED IDEOGRAPH-8B49}\u660e\u66f8",
             "e\N{COMBINING ACUTE ACCENT}te\N{COMBINING ACUTE ACCENT}",
             "\N{LOCK} lock", "\u00fcber"]
    server = new_server().start()
    for name in names:
        assert server.ctl("eab", "add", name).returncode == OK
    assert {k["name"] for k in items(server, "eab", "list")} == set(names)
    lines = run(server, "eab", "list").splitlines()
    begins = {columns_of(line[:line.index("default")])
              for line in lines[1:]}
    assert begins == {columns_of(lines[0][:lines[0].index("PROFILE")])}


def on_terminal(server, *words, **environment):
    """What certloopctl writes to a terminal."""
    ours, theirs = pty.openpty()
    env = {**server.env, "TERM": "xterm", **environment}
    if "NO_COLOR" not in environment:
        env.pop("NO_COLOR", None)
    child = subprocess.Popen(
        [server.build / "certloopctl", "-s", server.data / "admin.sock",
         *words], stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    text = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:     # the other end is closed
            break
        if not chunk:
            break
        text += chunk
    os.close(ours)
    assert child.wait(20) == 0
    return text.decode()


def test_colours_are_for_terminals(seeded):
    words = ["order", "list", "--status", "valid", "--limit", "1"]
    assert "\033[32mvalid\033[0m" in on_terminal(seeded, *words)
    for more in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\033" not in on_terminal(seeded, *words, **more)
    assert "\033" not in on_terminal(seeded, *words, "--json")
    assert "\033" not in run(seeded, *words)


COMPLETION = (Path(__file__).resolve().parents[2] / "contrib" / "completion"
              / "certloopctl")


@pytest.mark.parametrize("line, words", [
    ("certloopctl acc", {"account"}),
    ("certloopctl account ", {"deactivate", "list", "show"}),
    ("certloopctl account l", {"list"}),
    ("certloopctl -s /x account s", {"show"}),
    ("certloopctl account list --st", {"--status"}),
    ("certloopctl account list --status r", {"revoked"}),
    ("certloopctl --js", {"--json"}),
    ("certloopctl cert revoke x --reason ke", {"keyCompromise"}),
    ("certloopctl cert m", {"mark"}),
    ("certloopctl cert mark --pro", {"--profile"}),
    ("certloopctl cert search --marked ", {"yes", "no"}),
    ("certloopctl cert export x --format d", {"der"}),
    ("certloopctl nothing ", set()),
])
def test_completion(line, words):
    script = """
. "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_certloopctl
[ ${#COMPREPLY[@]} -eq 0 ] || printf '%s\\n' "${COMPREPLY[@]}"
"""
    done = subprocess.run(["bash", "-c", script, "bash", COMPLETION,
                           *line.split(" ")], capture_output=True, text=True,
                          check=True)
    assert done.stderr == ""
    assert set(done.stdout.split()) == words


# ---- a daemon that is not there, or goes

def test_no_daemon(new_server):
    server = new_server()
    assert "No such file" in run(server, "account", "list", code=UNREACHABLE)


@pytest.mark.parametrize("answer", [
    b"", b"HTTP/1.1", b"HTTP/1.1 200 OK\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"items\":[]",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{\"a\":",
    b"220 mail.example.org ESMTP\r\n"])
@pytest.mark.parametrize("words", [
    ["account", "list"], ["account", "list", "--json"],
    ["order", "show", NOBODY]])
def test_a_daemon_that_is_gone_in_the_middle(new_server, words, answer):
    server = new_server()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(server.data / "admin.sock"))
        listener.listen(1)

        def serve():
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(answer)
        thread = threading.Thread(target=serve)
        thread.start()
        said = run(server, *words, code=UNREACHABLE)
        thread.join()
    assert said.count("\n") == 1


def test_a_database_that_is_gone(new_server):
    cluster = servers.Postgres().start()
    try:
        server = new_server(store=cluster.new_store()).start()
        cluster.stop()
        servers.wait_for(lambda: not server.is_ready(), 20, "unreadiness")
        said = run(server, "account", "list", code=REFUSED)
        assert "(503)" in said
        assert "no" in run(server, "status")
        done = server.ctl("db", "status")
        assert done.returncode == REFUSED
        assert re.search(r"^ready +no$", done.stdout, re.M)
        assert "trouble" in done.stdout
        assert "(503)" in run(server, "gc", "run", code=REFUSED)
        cluster.start()
        servers.wait_for(server.is_ready, 30, "readiness")
        assert items(server, "account", "list") == []
    finally:
        cluster.remove()
