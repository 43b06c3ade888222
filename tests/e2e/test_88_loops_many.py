# SPDX-License-Identifier: ISC
"""Many cert loops: what a poll asks for is found by an index, and ten thousand
names at once hold up neither the loop nor the issuer."""

import contextlib
import re
import sqlite3
import time
from importlib.machinery import SourceFileLoader
from pathlib import Path

from servers import wait_for

TOP = Path(__file__).resolve().parents[2]
NAMES = 10000
ROWS = 20000

ASK = """WITH RECURSIVE n(i) AS (
  SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
INSERT INTO asked_loops (name, names, profile, key_type, keep_key, nodes,
  created, changed)
SELECT 'host' || i, 'host' || i || '.example.org', 'default', 'ecdsa-p256',
  0, '', 0, 0 FROM n"""

LOOPS = """WITH RECURSIVE n(i) AS (
  SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
INSERT INTO loops (name, source, names, profile, issuer, key_type, keep_key,
  round, state, version, certificate, key, not_before, not_after, renew_at,
  next_attempt, created, updated)
SELECT 'l' || i, 'ctl', 'l' || i || '.example.org', 'default', 'local',
  'ecdsa-p256', 0, '', 'valid', 1, 'x', {blob}, 0, 2 * {now}, {now} + i, {now}
  + i, {now}, {now} FROM n"""

NODES = """INSERT INTO loop_nodes (loop, node, round, target, seen, due,
  delivered, failures, next_delivery)
SELECT name, 'here', 'r', '', {now}, 1, 1, 0, NULL FROM loops"""

STRAYS = """INSERT INTO loop_strays (id, loop, profile, issuer, names, key,
  key_column, since, next)
SELECT name, name, '', 'local', names, key, 'key', 0, {now} FROM loops"""


def words(server, count):
    return {"count": count, "now": int(time.time() * 1e6) + 10**9,
            "blob": "x'00'" if server.store.engine == "sqlite" else "'\\x00'"}


# the index of each statement of a poll, and its arguments
PLANS = {
    "loops_due": ("loops_next", ["here", "local", 50]),
    "loops_undelivered": ("loop_nodes_next", ["here", 16]),
    "loops_count": ("loop_nodes_node", ["here", "l1", "l1099"]),
    "loops_ending": ("loops_overdue", ["here", 50]),
    "loops_unwanted": ("loop_nodes_node", ["here", "r", "l1", "l1099", 50]),
    "loops_seen": ("loop_nodes_", ["here", "r", "l1", "l1099"]),
    "loops_forsaken": ("loop_nodes_seen", [50]),
    "strays_next": ("loop_strays_next", ["local"]),
}


def plan_on_sqlite(store, statement, values):
    uri = f"file:{store.path}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
        db.create_function("now_us", 0, lambda: int(time.time() * 1e6))
        return [row[3] for row in db.execute(
            "EXPLAIN QUERY PLAN " + statement.text["sqlite"], values)]


def plan_on_postgres(store, statement, values):
    types = ", ".join("text" if t == "text" else "bigint"
                      for _, t in statement.args)
    given = ", ".join(str(v) if isinstance(v, int) else f"'{v}'"
                      for v in values)
    return store.cluster.psql(
        f"PREPARE p({types}) AS {statement.text['postgresql']}; "
        f"EXPLAIN EXECUTE p({given})", store.name).splitlines()


def test_what_a_poll_asks_for_is_found_by_an_index(new_server, engine):
    server = new_server(engine).start()
    server.kill()
    for text in (LOOPS, NODES, STRAYS):
        server.store.execute(text.format(**words(server, ROWS)))
    if engine == "postgres":    # nobody does that on SQLite
        server.store.execute("ANALYZE")
    sqlgen = SourceFileLoader("sqlgen", str(TOP / "scripts/sqlgen")
                              ).load_module()
    path = TOP / "src/store/sql/loop.sql"
    known = {s.name: s for s in sqlgen.read_statements(
        str(path), path.read_text())}
    plan = plan_on_sqlite if engine == "sqlite" else plan_on_postgres
    for name, (index, values) in PLANS.items():
        lines = plan(server.store, known[name], values)
        text = name + "\n" + "\n".join(lines)
        assert index in text, text
        assert not re.search(r"Seq Scan on loop|SCAN (loop\w*|l|n)\b"
                             r"(?! USING)", text), text


def long_turns(server):
    """How many took so long that others felt it, by processor time."""
    values = server.metrics()
    family = "certloop_loop_turn_cpu_seconds"
    most = 0.25 if server.is_sanitized() else 0.05
    return values[f"{family}_count"] - values[
        f'{family}_bucket{{le="{most}"}}']


def test_ten_thousand_names_at_once(new_server, engine, tmp_path):
    """Asked for in one go: no turn of the loop is long, and the issuer is
    asked a few at a time while all others are served."""
    server = new_server(engine, extra=f"""
loop_folder = "{tmp_path}/pairs"
""").start()
    client = server.client()
    client.register()
    before = long_turns(server)
    server.store.execute(ASK.format(count=NAMES))
    server.store.execute("INSERT INTO meta (key, value) "
                         "VALUES ('asked_loops', '1')")

    def known():
        return int(server.store.query("SELECT count(*) FROM loops")[0][0])
    wait_for(lambda: known() > 0, 60, "the first of them")
    client.obtain(["www.example.net"])
    wait_for(lambda: known() == NAMES, 120, "all of them")
    leased = int(server.store.query(
        "SELECT count(*) FROM loops WHERE lease_until IS NOT NULL")[0][0])
    assert leased <= 8
    assert long_turns(server) == before
