# SPDX-License-Identifier: ISC
"""The audit trail: looking for its rows by each filter, page by page, as
JSON lines, and following it; by an index each, on both engines."""

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import time
import urllib.parse
from pathlib import Path

import pytest

import servers
from statements import statements

NOBODY = "0" * 8 + "A" * 22      # an id that is well-formed


def fresh():
    return [f"{secrets.token_hex(6)}.audit.example.org"]


def last(url):
    return url.rpartition("/")[2]


def lines(server, *words):
    """certloopctl --json audit search: its JSON lines."""
    done = server.ctl("--json", "audit", "search", *words)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def key_of(row):
    return row["at"], row["id"]


@pytest.fixture(scope="module")
def trail(build, engine, new_store, tmp_path_factory):
    """A server on which two accounts and an operator did something."""
    server = servers.Certloopd(
        build, tmp_path_factory.mktemp(f"audit-{engine}"),
        store=new_store(engine))
    server.start()
    server.clients = [server.client() for _ in range(2)]
    server.orders = []
    for client in server.clients:
        client.register()
        for _ in range(3):
            server.orders.append(client.obtain(fresh())[0])
    shown = server.admin("GET", "/certificates/" + last(
        server.orders[0]["certificate"]))[1]
    server.serial = shown["serial"]
    assert server.ctl("cert", "revoke", server.serial).returncode == 0
    yield server
    server.remove()


def test_each_filter_finds_its_rows_and_no_other(trail):
    account = last(trail.clients[0].kid)
    order = last(trail.orders[0].url)
    everything = lines(trail, "--all")
    # beside what the server does for itself
    assert len([row for row in everything if row["account"]]) == (
        2 + 6 * 2 + 1)
    assert everything == sorted(everything, key=key_of, reverse=True)
    for words, fits in [
            (["--order", order], lambda row: row["order"] == order),
            (["--account", account], lambda row: row["account"] == account),
            (["--serial", trail.serial.upper()],
             lambda row: row["serial"] == trail.serial),
            (["--actor", "account:" + account],
             lambda row: row["actor"] == "account:" + account),
            (["--actor", f"admin:uid={os.getuid()}"],
             lambda row: row["actor"].startswith("admin:")),
            (["--action", "certificate.revoke"],
             lambda row: row["action"] == "certificate.revoke"),
            (["--action", "order.create"],
             lambda row: row["action"] == "order.create"),
            (["--order", order, "--action", "certificate.issue",
              "--account", account],
             lambda row: row["order"] == order
             and row["action"] == "certificate.issue")]:
        wanted = [row for row in everything if fits(row)]
        assert wanted and lines(trail, *words) == wanted, words
    assert [row["action"] for row in lines(trail, "--order", order)] == [
        "certificate.revoke", "certificate.issue", "order.create"]


def test_an_actor_who_touched_what_is_another_s(trail):
    """A row whose account is not its actor's is found by both."""
    other = "account:" + last(trail.clients[1].kid)
    account = last(trail.clients[0].kid)
    trail.store.execute(
        "INSERT INTO audit (at, id, actor, action, object, account) VALUES "
        f"(1, '{NOBODY}', '{other}', 'certificate.revoke', 'x', '{account}')")
    try:
        by_actor = lines(trail, "--actor", other, "--all")
        assert by_actor[-1]["id"] == NOBODY and len(by_actor) == 8
        assert lines(trail, "--account", account)[-1]["id"] == NOBODY
    finally:
        trail.store.execute(f"DELETE FROM audit WHERE id = '{NOBODY}'")


def test_a_window_of_time(trail):
    everything = lines(trail, "--all")
    newest, middle, oldest = everything[0], everything[5], everything[-1]
    since = lines(trail, "--since", middle["at"], "--all")
    until = lines(trail, "--until", middle["at"], "--all")
    assert since + until == everything
    assert since[-1] == middle
    assert lines(trail, "--since", middle["at"], "--until",
                 newest["at"]) == since[1:]
    assert lines(trail, "--since", "1h", "--all") == everything
    assert lines(trail, "--until", "1h") == []
    assert lines(trail, "--until", oldest["at"]) == []


def test_pages_show_everything_once(trail):
    everything = lines(trail, "--all")
    rows, cursor = [], []
    while True:
        done = trail.ctl("--json", "audit", "search", "--limit", "4", *cursor)
        rows += [json.loads(line) for line in done.stdout.splitlines()]
        more = re.match(r"more: (--cursor) (\S+)$", done.stderr)
        if not more:
            assert done.stderr == ""
            break
        cursor = more.groups()
    assert rows == everything


def test_a_table_for_people(trail):
    done = trail.ctl("audit", "search", "--serial", trail.serial)
    head, newest, issue = done.stdout.splitlines()
    assert head.split() == ["AT", "WHO", "WHAT", "ON", "DETAIL"]
    assert "certificate.revoke" in newest and "reason=" in newest
    assert re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d \(", issue)


def test_details_that_fill_a_page_shorten_it(trail):
    """Rows whose details are long come on more pages, and all come."""
    detail = json.dumps({"text": "x" * 100_000})
    for n in range(1, 13):
        trail.store.execute(
            "INSERT INTO audit (at, id, actor, action, detail) VALUES "
            f"({n}, 'long{n}', 'long', 'x.long', '{detail}')")
    try:
        status, page = trail.admin("GET", "/audit?action=x.long")
        assert status == 200 and 0 < len(page["items"]) < 12
        rows = lines(trail, "--action", "x.long")
        assert [row["id"] for row in rows] == [f"long{n}" for n in
                                               range(12, 0, -1)]
    finally:
        trail.store.execute("DELETE FROM audit WHERE action = 'x.long'")


@pytest.mark.parametrize("query", [
    "order=x", "account=1", "serial=xyz", "serial=", "actor=", "action=",
    "since=yesterday", "until=3y", "since=99999999999d", "sort=random",
    "cursor=abc", "limit=0", "limit=201", "colour=red",
    "actor=" + "a" * 201])
def test_a_query_that_will_not_do(trail, query):
    status, problem = trail.admin("GET", "/audit?" + query)
    assert status == 400, problem
    assert query.partition("=")[0] in problem["detail"]


# ---- plans



def fill(store, rows=60_000):
    """A trail of that many rows, as issuances and some changes write it."""
    series = (f"SELECT generate_series(1, {rows}) AS n"
              if store.engine == "postgres" else
              f"WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM "
              f"s WHERE n < {rows}) SELECT n FROM s")
    random = ("md5(n::text)" if store.engine == "postgres"
              else "lower(hex(randomblob(16)))")
    store.execute(
        "INSERT INTO audit (at, id, actor, action, object, order_id, account,"
        " serial) SELECT 1700000000000000 + n * 1000, 'id' || n,"
        " CASE n % 50 WHEN 0 THEN 'certloopd' ELSE 'account:' || (n % 20) END,"
        " CASE n % 100 WHEN 0 THEN 'order.fail' WHEN 1 THEN"
        " 'certificate.revoke' ELSE 'order.create' END,"
        f" 'x', 'o' || (n / 2), '' || (n % 20), {random}"
        f" FROM ({series}) x")
    store.execute("ANALYZE")


INDEXES = {
    "audit_latest": {"pk"}, "audit_following": {"pk"},
    "audit_of_order": {"audit_order"}, "audit_of_account": {"audit_account"},
    "audit_of_serial": {"audit_serial"}, "audit_of_action": {"audit_action"},
    "audit_of_actor": {"audit_actor", "audit_account"}}


def plan(store, sql):
    """The indexes by which audit is read, and the whole plan."""
    if store.engine == "postgres":
        values = ["bigint"] + ["text"] + ["bigint"] * 3 + ["text"] * 6
        count = len(set(re.findall(r"\$\d+", sql)))
        given = ["1800000000000000", "'~'", "51", "51", "0"] + ["'5'"] * 6
        text = store.cluster.psql(
            f"PREPARE p ({', '.join(values[:count])}) AS {sql};"
            "SET plan_cache_mode = force_generic_plan;"
            f"EXPLAIN EXECUTE p({', '.join(given[:count])})", store.name)
        assert "Seq Scan" not in text, text
        found = re.findall(r"Index (?:Only )?Scan.*? (?:using|on) (\w+)",
                           text)
        return {"pk" if f == "audit_pkey" else f for f in found}, text
    given = [1800000000000000, "'~'", 51, 51, 0] + ["'5'"] * 6
    sql = re.sub(r"\$(\d+)", lambda m: str(given[int(m[1]) - 1]), sql)
    rows = store.query(f"EXPLAIN QUERY PLAN {sql}")
    text = "\n".join(str(row[-1]) for row in rows)
    assert not re.search(r"SCAN audit\b(?! USING INDEX)", text), text
    found = re.findall(r"audit USING (?:COVERING )?INDEX (\w+)", text)
    return {"pk" if f.startswith("sqlite_autoindex") else f
            for f in found}, text


def test_each_look_goes_by_its_index(new_server, engine):
    """Neither a sort of all there is nor a scan of the table, on a trail of
    60,000 rows, with the plan for whatever values come."""
    server = new_server(engine)
    server.start()
    server.stop()
    fill(server.store)
    looks = statements("audit_search.sql")
    assert set(looks) == set(INDEXES)
    for name, statement in looks.items():
        sql = statement.text["postgresql"]
        if engine == "sqlite":
            # a function of the driver
            sql = sql.replace("now_us()", "0")
        found, text = plan(server.store, sql)
        assert found == INDEXES[name], (name, text)


@pytest.mark.parametrize("query", [
    "", "order=o77", "account=7", "serial=abcdef", "actor=account:7",
    "actor=certloopd", "action=certificate.revoke", "action=no.such",
    "action=order.create", "actor=nobody&action=order.create",
    "since=2023-11-14T22:13:30Z&until=2023-11-14T22:13:50Z"])
def test_a_page_of_a_long_trail_comes_at_once(long_trail, query, figures):
    """60,000 rows: the bound is far above what an index takes."""
    query = re.sub(r"(order|account)=(o?\d+)", r"\1=" + NOBODY, query)
    began = time.monotonic()
    status, page = long_trail.admin("GET", "/audit?" + query)
    took = time.monotonic() - began
    assert status == 200
    figures(engine=long_trail.store.engine, query=query, seconds=took)
    assert took < 1


@pytest.fixture(scope="module")
def long_trail(build, engine, new_store, tmp_path_factory):
    server = servers.Certloopd(
        build, tmp_path_factory.mktemp(f"long-{engine}"),
        store=new_store(engine))
    server.start()
    fill(server.store)
    yield server
    server.remove()


# ---- following

class Tail:
    """certloopctl audit tail, and what it printed so far."""

    def __init__(self, server, *words):
        self.file = server.directory / f"tail-{secrets.token_hex(4)}"
        with open(self.file, "wb") as out:
            self.process = subprocess.Popen(
                [*servers.WITH_US, server.build / "certloopctl", "-s",
                 server.data / "admin.sock", "--json", "audit", "tail",
                 *words], stdout=out, stderr=subprocess.STDOUT,
                env=server.env)

    def rows(self):
        with contextlib.suppress(json.JSONDecodeError):
            return [json.loads(line) for line
                    in self.file.read_text().splitlines()]
        return []

    def wait(self, fits):
        return servers.wait_for(lambda: [r for r in self.rows() if fits(r)],
                                20, "a row of the tail")

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(10)


def test_a_tail_shows_each_new_row_once(new_server, engine):
    server = new_server(engine).start()
    client = server.client()
    client.register()
    tail = Tail(server, "--since", "1h")
    only = Tail(server, "--action", "certificate.issue")
    try:
        tail.wait(lambda row: row["action"] == "account.create")
        time.sleep(1.5)
        orders = [client.obtain(fresh())[0] for _ in range(4)]
        newest = last(orders[-1].url)
        for one in (tail, only):
            one.wait(lambda row: row["order"] == newest
                     and row["action"] == "certificate.issue")
        time.sleep(2.5)     # it asks again, and again
        rows = tail.rows()
        assert sorted(rows, key=key_of) == sorted(
            lines(server, "--all"), key=key_of)
        assert [last(o.url) for o in orders] == [
            row["order"] for row in only.rows()]
        assert tail.end() in (-signal.SIGINT, 130)
    finally:
        tail.end()
        only.end()


def test_a_tail_has_what_was_committed_late(new_server):
    """A transaction that ends after a younger one did."""
    server = new_server("postgres").start()
    client = server.client()
    client.register()
    tail = Tail(server, "--since", "1h")
    try:
        tail.wait(lambda row: row["action"] == "account.create")
        slow = subprocess.Popen(
            [server.store.cluster.program("psql"), "-X", "-q", "-h",
             str(server.store.cluster.directory), "-U", "postgres", "-d",
             server.store.name, "-c",
             "BEGIN; INSERT INTO audit (at, id, actor, action) VALUES "
             f"(now_us(), '{NOBODY}', 'slow', 'x.slow'); "
             "SELECT pg_sleep(3); COMMIT"], stdout=subprocess.DEVNULL)
        time.sleep(0.5)
        order = client.obtain(fresh())[0]
        tail.wait(lambda row: row["order"] == last(order.url))
        assert slow.wait(20) == 0
        tail.wait(lambda row: row["id"] == NOBODY)
    finally:
        tail.end()


def test_a_tail_ends_with_its_daemon(new_server):
    server = new_server().start()
    tail = Tail(server)
    time.sleep(0.5)
    server.stop()
    assert tail.process.wait(10) == 3
    assert "cannot reach certloopd" in tail.file.read_text()


def test_more_rows_than_a_tail_remembers(new_server):
    """1500 rows in one moment: each comes once all the same."""
    server = new_server().start()
    tail = Tail(server, "--actor", "many", "--since", "1h")
    time.sleep(1.2)
    values = ",".join(
        f"({time.time_ns() // 1000 + n}, '{NOBODY[:-5]}{n:05}', "
        "'many', 'x.many')" for n in range(1500))
    server.store.execute("INSERT INTO audit (at, id, actor, action) VALUES "
                         + values)
    try:
        servers.wait_for(lambda: len(tail.rows()) >= 1500, 20, "all rows")
        time.sleep(2.5)
        ids = [row["id"] for row in tail.rows()]
        assert len(ids) == len(set(ids)) == 1500
    finally:
        tail.end()


def test_search_decodes_what_is_asked(trail):
    status, page = trail.admin(
        "GET", "/audit?actor=" + urllib.parse.quote(f"admin:uid={os.getuid()}"))
    assert status == 200
    assert {row["actor"] for row in page["items"]} == {
        f"admin:uid={os.getuid()}"}


# ---- append only

def test_no_statement_changes_a_row():
    """Those of the daemon add and read; one deletes what is past its
    retention."""
    folder = Path(__file__).resolve().parents[2] / "src" / "store" / "sql"
    text = "\n".join(f.read_text() for f in folder.glob("*.sql"))
    assert not re.search(r"UPDATE\s+audit\b", text)
    assert re.findall(r"name: (\w+)[^;]*?DELETE FROM audit\b", text) == [
        "gc_old_audit"]


def test_a_role_that_can_only_add_to_it(new_server):
    """As certloop(7) has it: the daemon works, and its role can neither
    change nor delete a row."""
    server = new_server("postgres")
    store = server.store
    page = (Path(__file__).resolve().parents[2] / "man" / "certloop.7"
            ).read_text()
    commands = re.search(r"^CREATE ROLE certloop_run.*?(?=^\.Ed)", page,
                         re.M | re.S)[0]
    done = server.run("-c", server.file, "--migrate")
    assert done.returncode == 0, done.stdout
    store.execute(commands)
    owner = store.url
    try:
        store.url = owner.replace("certloop@", "certloop_run@")
        server.top = "auto_migrate = no"
        server.write_config()
        server.init_ca()
        server.start()
        client = server.client()
        order, _, _ = client.obtain(fresh())
        client.send(client.directory["newOrder"], {"identifiers": []})
        servers.wait_for(lambda: lines(server, "--action", "request.refuse"),
                         10, "the row of a refusal")
        assert server.ctl("cert", "revoke", last(
            order["certificate"])).returncode == 0
        before = store.query("SELECT count(*) FROM audit")
        for sql in ("UPDATE audit SET actor = 'nobody'",
                    "DELETE FROM audit", "TRUNCATE audit",
                    "ALTER TABLE audit RENAME TO other",
                    "DROP TABLE audit"):
            done = subprocess.run(
                [store.cluster.program("psql"), "-X", "-q", "-d", store.url,
                 "-c", sql], capture_output=True, text=True)
            assert done.returncode != 0, sql
            assert re.search("permission denied|must be owner", done.stderr)
        assert store.query("SELECT count(*) FROM audit") == before
        # the sweeps go on, as the trail is kept for ever
        assert server.ctl("gc", "run").returncode == 0
        assert server.metrics()["certloop_gc_failures_total"] == 0
    finally:
        server.stop()
        store.url = owner
        store.cluster.psql("DROP OWNED BY certloop_run", store.name)
        store.cluster.psql("DROP ROLE certloop_run")
