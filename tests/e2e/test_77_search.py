# SPDX-License-Identifier: ISC
"""certloopctl cert search and export: what is found, by which index, and how
it is written; over as many certificates as there may be."""

import contextlib
import hashlib
import itertools
import json
import os
import re
import secrets
import sqlite3
import subprocess
import time

import pytest
from cryptography.hazmat.primitives import serialization

import x509
from statements import statements
from test_75_ctl import (
    NOBODY, NOT_FOUND, OK, REFUSED, USAGE, api, audit, items, run)

# certificates of the big one; the proof has 1,000,000
ROWS = int(os.environ.get("CERTLOOP_SEARCH_ROWS", "200000"))
DAY = 86400 * 10**6
PROFILES = """
profile default {
  issuer = local
  open = true
}
profile other {
  issuer = local
  open = true
}
"""


def key_of(name):
    return hashlib.sha256(name.encode()).hexdigest()


# Certificates that nobody has issued: two names each, one key and account for
# ten of them, profiles and issuers of which most are of one.
CERTIFICATES = """WITH RECURSIVE n(i) AS (
  SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
INSERT INTO certificates (id, account, profile, issuer, serial, not_before,
  not_after, der, chain, spki_hash, names, status, created)
SELECT '0000' || substr(CAST(10000000000000000 + i AS TEXT), 2) ||
  'aaaaaaaaaa',
  'account' || substr(CAST(10000000000000000 + (i / 10) AS TEXT), 2) ||
  'aaaaaaA',
  CASE WHEN i % 1000 = 0 THEN 'rare' ELSE 'common' END,
  CASE WHEN i % 1000 = 1 THEN 'seldom' ELSE 'often' END,
  '0f' || substr(CAST(10000000000000000 + i AS TEXT), 2),
  {now} - 86400000000, {now} + 86400000000 + CAST(i AS BIGINT) * 10000000,
  {blob}, '', 'key' || (i / 10),
  'a.host' || i || '.zone' || (i % 100) || '.example.net ' ||
  'b.host' || i || '.zone' || (i % 100) || '.example.net', 'valid', {now}
FROM n"""
NAMES = """WITH RECURSIVE n(i) AS (
  SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
INSERT INTO certificate_names (certificate, name)
SELECT '0000' || substr(CAST(10000000000000000 + i AS TEXT), 2) ||
  'aaaaaaaaaa', 'net.example.zone' || (i % 100) || '.host' || i || '.' ||
  letter || '.'
FROM n CROSS JOIN (SELECT 'a' AS letter UNION ALL SELECT 'b') letters"""
INDEXES = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND "
              "tbl_name LIKE 'certificate%' AND sql IS NOT NULL",
    "postgres": "SELECT indexname, indexdef FROM pg_indexes i WHERE tablename "
                "LIKE 'certificate%' AND NOT EXISTS (SELECT 1 FROM "
                "pg_constraint WHERE conname = i.indexname)",
}


def fill(store):
    """In one transaction. The indexes are made when all is there, which takes
    a small part of the time, and the statistics are what autovacuum makes."""
    sqlite = store.engine == "sqlite"
    words = {"rows": ROWS, "now": int(time.time() * 1e6),
             "blob": "x'00'" if sqlite else "'\\x00'"}
    indexes = store.query(INDEXES[store.engine])
    assert len(indexes) > 5
    script = [] if sqlite else ["SET maintenance_work_mem = '128MB'"]
    script += ["BEGIN", *[f"DROP INDEX {name}" for name, _ in indexes],
               CERTIFICATES.format(**words), NAMES.format(**words),
               *[sql for _, sql in indexes], "COMMIT"]
    execute_all(store, script)
    store.execute("ANALYZE" if sqlite else "VACUUM ANALYZE")


def execute_all(store, statements):
    text = ";\n".join(statements)
    if store.engine == "sqlite":
        with contextlib.closing(sqlite3.connect(store.path)) as db:
            db.executescript("PRAGMA synchronous = OFF; PRAGMA cache_size = "
                             "-65536; PRAGMA temp_store = MEMORY; " + text)
    else:
        store.execute(text)


def account(i):
    return f"account{i // 10:016}aaaaaaA"


def cert_id(i):
    return f"0000{i:016}aaaaaaaaaa"


# ---- what is found

@pytest.fixture(scope="module")
def seeded(build, engine, new_store, tmp_path_factory):
    import servers
    server = servers.Certloopd(
        build, tmp_path_factory.mktemp(f"search-{engine}"),
        store=new_store(engine), profiles=PROFILES).start()
    server.key = x509.new_key()
    for profile, names in (
            ("default", ["one.example.org"]),
            ("default", ["two.example.org", "deep.two.example.org",
                         "192.0.2.7"]),
            ("other", ["*.example.org", "example.org"]),
            ("other", ["xexample.org", "2001:db8::7"])):
        client = server.client(profile=profile)
        client.obtain(names, key=server.key if "*.example.org" in names
                      else None)
    yield server
    server.remove()


def names(server, *words):
    return [set(c["names"]) for c in items(server, "cert", "search", *words)]


@pytest.mark.parametrize("words, first", [
    (["--exact", "one.example.org"], ["one.example.org"]),
    (["--exact", "ONE.example.ORG"], ["one.example.org"]),
    (["--name", "two.example.org"], ["two.example.org"]),
    (["--exact", "deep.two.example.org"], ["two.example.org"]),
    (["--exact", "*.example.org"], ["*.example.org"]),
    (["--name", "*.example.org"], ["*.example.org"]),
    (["--exact", "192.0.2.7"], ["192.0.2.7"]),
    (["--name", "192.0.2.7"], ["192.0.2.7"]),
    (["--exact", "2001:DB8:0::7"], ["2001:db8::7"]),
    (["--name", "192.0.2"], []),
    (["--exact", "0.2.7"], []),
    (["--exact", "org"], []),
    (["--exact", "ample.org"], []),
    (["--name", "ample.org"], []),
    # each certificate once, in the order of the first name that fits
    (["--name", "example.org"],
     ["example.org", "one.example.org", "two.example.org"]),
    (["--name", "org"], ["example.org", "one.example.org", "two.example.org",
                         "xexample.org"]),
    (["--name", "org", "--profile", "other"],
     ["example.org", "xexample.org"]),
    (["--name", "org", "--status", "revoked"], []),
    (["--marked", "yes"], []),
])
def test_by_name(seeded, words, first):
    found = names(seeded, *words)
    assert len(found) == len(first)
    for have, want in zip(found, first):
        assert want in have


def test_pages_of_names_show_each_once(seeded):
    seen, cursor = [], []
    while True:
        page = json.loads(run(seeded, "--json", "cert", "search", "--name",
                              "org", "--limit", "1", *cursor))
        seen += [c["id"] for c in page["items"]]
        if page["next"] is None:
            break
        cursor = ["--cursor", page["next"]]
    assert len(seen) == len(set(seen)) == 4


def test_by_all_else(seeded, tmp_path):
    everything = items(seeded, "cert", "list", "--all")
    one = everything[0]
    shown = json.loads(run(seeded, "--json", "cert", "show", one["id"]))
    with_colons = ":".join(re.findall("..", one["serial"].upper()))
    file = tmp_path / "key.pem"
    file.write_bytes(x509.key_pem(seeded.key))
    for words, want in (
            (["--serial", one["serial"]], 1), (["--serial", with_colons], 1),
            (["--serial", "00ff"], 0),
            (["--serial", one["serial"], "--profile", "nobody"], 0),
            (["--key", shown["key_sha256"]], 1), (["--key", file], 1),
            (["--account", one["account"]], 1), (["--profile", "other"], 2),
            (["--issuer", "local"], 4), (["--issuer", "nobody"], 0),
            (["--status", "valid"], 4), (["--ends-within", "89d"], 0),
            (["--ends-after", "89d"], 4), (["--ends-before", "91d"], 4),
            (["--ends-after", "2020-01-01T00:00:00Z", "--ends-before",
              "2020-02-01T00:00:00Z"], 0),
            (["--ends-within", "91d", "--account", one["account"],
              "--issuer", "local", "--profile", one["profile"]], 1)):
        assert len(items(seeded, "cert", "search", *words)) == want, words
    text = run(seeded, "cert", "search", "--key", file)
    assert "SERIAL" in text and "*.example.org" in text


@pytest.mark.parametrize("words, code, said", [
    ([], USAGE, "what to look for"),
    (["--all"], USAGE, "what to look for"),
    (["--key", "/nothing"], USAGE, "No such file"),
    (["--name", "a", "--exact", "b"], REFUSED, "together"),
    (["--serial", "xyz"], REFUSED, "serial"),
    (["--serial", "abc"], REFUSED, "serial"),
    (["--serial", "00", "--name", "a"], REFUSED, "together"),
    (["--marked", "maybe"], REFUSED, "marked"),
    (["--ends-after", "yesterday"], REFUSED, "ends-after"),
    (["--exact", "."], OK, ""),
    (["--name", "a..b"], OK, ""),
])
def test_what_will_not_do(seeded, words, code, said):
    assert said in run(seeded, "cert", "search", *words, code=code)


# ---- export

def openssl(*words, data):
    return subprocess.run(["openssl", "x509", *words], input=data,
                          capture_output=True, check=True).stdout


def test_export(seeded, tmp_path):
    one = items(seeded, "cert", "search", "--exact", "one.example.org")[0]
    shown = json.loads(run(seeded, "--json", "cert", "show", one["id"]))
    before = len(audit(seeded, "certificate.export"))
    pem = run(seeded, "cert", "export", one["id"])
    assert pem == shown["pem"]
    chain = run(seeded, "cert", "export", one["serial"], "--format", "chain")
    assert chain.startswith(pem)
    assert len(x509.split_chain(chain.encode())) == 2
    for form in ("pem", "der", "chain"):
        out = tmp_path / f"out.{form}"
        out.write_text("old")
        assert run(seeded, "cert", "export", one["id"], "--format", form,
                   "--out", out) == ""
    der = (tmp_path / "out.der").read_bytes()
    assert hashlib.sha256(der).hexdigest() == shown["sha256"]
    assert openssl("-inform", "DER", data=der).decode() == pem
    assert (tmp_path / "out.chain").read_text() == chain
    assert (tmp_path / "out.chain").stat().st_mode & 0o777 == 0o644
    rows = audit(seeded, "certificate.export")[before:]
    assert [r[:2] for r in rows] == [("admin:uid=0", one["id"])] * 5
    assert seeded.metrics()['certloop_admin_changes_total'
                            '{action="certificate.export"}'] >= 5


def test_exports_that_will_not_do(seeded, tmp_path):
    one = items(seeded, "cert", "list")[0]["id"]
    assert "--format" in run(seeded, "cert", "export", one, "--format",
                             "pkcs12", code=USAGE)
    assert "there is no certificate" in run(
        seeded, "cert", "export", NOBODY, code=NOT_FOUND)
    assert "nowhere" in run(seeded, "cert", "export", one, "--out",
                            tmp_path / "nowhere" / "x", code=REFUSED)


def test_exports_are_limited(new_server, engine):
    server = new_server(engine, limits="export_per_actor = 2/1h").start()
    client = server.client()
    client.obtain([f"{secrets.token_hex(5)}.example.org"])
    one = items(server, "cert", "list")[0]["id"]
    for _ in range(2):
        run(server, "cert", "export", one)
    said = run(server, "cert", "export", one, code=REFUSED)
    assert "(429)" in said and "exports" in said
    assert len(audit(server, "certificate.export")) == 2
    assert "export_per_actor" in run(server, "limit", "show")


# ---- many

# by one process of the run, so that they are filled in once
MANY = pytest.mark.xdist_group("many-certificates")


@pytest.fixture(scope="module")
def crowded(build, engine, new_store, tmp_path_factory):
    import servers
    server = servers.Certloopd(
        build, tmp_path_factory.mktemp(f"crowd-{engine}"),
        store=new_store(engine), profiles=PROFILES).start()
    server.stop()       # it has made the tables
    fill(server.store)
    yield server.start()
    server.remove()


MIDDLE = ROWS // 2
# what is asked, and how many there are on a page of fifty
SEARCHES = {
    "all": ("", 50),
    "status": ("status=valid", 50),
    "account": (f"account={account(MIDDLE)}", 10),
    "profile": ("profile=rare", 50),
    "issuer": ("issuer=seldom", 50),
    "name": ("name=zone7.example.net", 50),
    "exact": (f"exact=b.host{MIDDLE}.zone{MIDDLE % 100}.example.net", 1),
    "serial": (f"serial=0f{MIDDLE:016}", 1),
    "ends-within": ("ends-within=20d", 50),
}


@MANY
@pytest.mark.parametrize("what", SEARCHES)
def test_the_first_page_of_many(crowded, figures, what):
    query, want = SEARCHES[what]
    times = []
    for _ in range(5):
        begin = time.monotonic()
        status, page = api(crowded, "GET", f"/certificates?{query}")
        times.append(time.monotonic() - begin)
        assert status == 200 and len(page["items"]) == want
    figures(engine=crowded.store.engine, rows=ROWS, what=what,
            first_page_ms=round(sorted(times)[2] * 1000, 1))


@MANY
def test_a_key_of_many(crowded):
    crowded.store.execute(
        f"UPDATE certificates SET spki_hash = '{key_of('leaked')}' "
        f"WHERE id = '{cert_id(MIDDLE)}'")
    _, page = api(crowded, "GET", f"/certificates?key={key_of('leaked')}")
    assert [c["id"] for c in page["items"]] == [cert_id(MIDDLE)]


@MANY
def test_what_is_rare_is_found_to_its_end(crowded):
    """A page with a filter that no index knows looks at a bounded number of
    rows, and goes on."""
    found = items(crowded, "cert", "search", "--profile", "rare", "--issuer",
                  "often", "--all")
    assert len(found) == ROWS // 1000
    assert items(crowded, "cert", "search", "--profile", "rare", "--issuer",
                 "seldom", "--all") == []


# What the rows of a test have in common, to be asked for; they stand between
# others, before all of these or behind them.
WALKS = {
    "all": "",
    "name": "name={mark}.example.net",
    "profile": "profile=fresh{mark}",
    "issuer": "issuer=fresh{mark}",
    "key": "key={key}",
    "account": "account={account}",
    "window": "ends-after=2100-01-01T00:00:00Z&ends-before="
              "2100-12-31T00:00:00Z&profile=fresh{mark}",
}


@MANY
@pytest.mark.parametrize("walk", WALKS)
def test_pages_stay_while_rows_arrive(crowded, walk):
    """What was there when the first page came is shown once, whatever is
    written meanwhile before, between and behind the pages."""
    mark = secrets.token_hex(4)
    words = {"mark": mark, "key": key_of(mark),
             "account": f"account{mark:0>16}aaaaaaA"}
    query = WALKS[walk].format(**words)

    def add(numbers):
        ids = ", ".join(f"({n})" for n in numbers)
        # an hour of 2100 each
        end = "4102448400000000 + n * 3600000000"
        crowded.store.execute(
            f"WITH v(n) AS (VALUES {ids}) INSERT INTO certificates (id, "
            "account, profile, issuer, serial, not_before, not_after, der, "
            "chain, spki_hash, names, status, created) "
            f"SELECT '0001{mark}' || (100000 + n) || 'bbbbbbbbbbbb', "
            f"'{words['account']}', 'fresh{mark}', 'fresh{mark}', '{mark}' || "
            f"(100000 + n), not_before, {end}, der, chain, "
            f"'{words['key']}', names, status, created FROM certificates, v "
            f"WHERE id = '{cert_id(1)}'")
        crowded.store.execute(
            f"WITH v(n) AS (VALUES {ids}) INSERT INTO certificate_names "
            f"(certificate, name) SELECT '0001{mark}' || (100000 + n) || "
            f"'bbbbbbbbbbbb', 'net.example.{mark}.n' || (100000 + n) || '.' "
            "FROM v")
    there = range(100, 140, 2)
    add(there)
    wanted = {f"0001{mark}{100000 + n}bbbbbbbbbbbb" for n in there}
    seen, cursor = [], ""
    for late in range(200):
        status, page = api(crowded, "GET", "/certificates?limit=7"
                           f"{'&' if query else ''}{query}{cursor}")
        assert status == 200, page
        seen += [c["id"] for c in page["items"]]
        if late < 5:
            add([late, 101 + 6 * late, 500 + late])
        if page["next"] is None or seen and seen[-1] < "0001":
            break
        cursor = f"&cursor={page['next']}"
    assert late >= 2
    assert len(seen) == len(set(seen))
    assert wanted <= set(seen)


# ---- plans

def arguments(statement, **given):
    """Values for the first page; what was not asked is null."""
    values = {"count": 51, "scan": 1000, **given}
    return [values.get(name) for name, _ in statement.args]


def literal(value):
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else f"'{value}'"


# What may be asked besides what the index is chosen by.
OTHERS = {
    "status": "valid", "profile": "common", "issuer": "often",
    "account": account(7), "key": "key7", "begin": 1, "end": 2**62,
    "marked": 0,
}


def combinations(statement, given):
    """The values of a statement, for each choice of other filters."""
    names = {name for name, _ in statement.args}
    free = [n for n in OTHERS if n in names and n not in given and n != "end"]
    for n in range(len(free) + 1):
        for chosen in itertools.combinations(free, n):
            more = {name: OTHERS[name] for name in chosen}
            if "begin" in more:
                more["end"] = OTHERS["end"]
            yield arguments(statement, **{**more, **given})


def faults_on_sqlite(store, statement, index, rows):
    """Of its plans: what reads a table or an index from end to end, or sorts
    more than what was looked at for the page, or than those of a serial."""
    few = index == "serial"
    index = NUMBERED.get(index, f"certificates_{index}").replace(
        "certificates_names", "certificate_names")
    text = "EXPLAIN QUERY PLAN " + statement.text["sqlite"]
    uri = f"file:{store.path}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
        db.create_function("now_us", 0, lambda: int(time.time() * 1e6))
        for values in rows:
            plan = db.execute(text, values).fetchall()
            below = set()       # the scan
            for node, parent, _, line in plan:
                if parent in below or line in (
                        "MATERIALIZE scan", "CO-ROUTINE scan"):
                    below.add(node)
            bad = [line for node, _, _, line in plan
                   if re.match(r"SCAN (certificate|other)|BLOOM FILTER ON cert",
                               line)
                   or node in below and "TEMP B-TREE" in line and not few]
            lines = [line for *_, line in plan]
            if bad or not any(index in line for line in lines):
                yield [values, *bad, *lines]


def walk(node, in_scan=False):
    """Each node of a plan, and whether it is below the scan."""
    in_scan = in_scan or node.get("Subplan Name") == "CTE scan"
    yield node, in_scan
    for child in node.get("Plans", []):
        yield from walk(child, in_scan)


def faults_on_postgres(store, statement, index, rows):
    """The same; for plans made for the values and for those made for any. Of
    an account, key or serial it may sort the few rows that there are."""
    types = ", ".join("text" if t == "text" else "bigint"
                      for _, t in statement.args)
    script = [f"PREPARE p({types}) AS {statement.text['postgresql']}"]
    for mode in ("custom", "generic"):
        script.append(f"SET plan_cache_mode = force_{mode}_plan")
        script += ["EXPLAIN (FORMAT JSON) EXECUTE p("
                   f"{', '.join(map(literal, values))})" for values in rows]
    text = store.cluster.psql(";\n".join(script), store.name)
    plans = re.split(r"^\]$", text, flags=re.M)[:-1]
    assert len(plans) == 2 * len(rows)
    for plan, values in zip(plans, [*rows, *rows]):
        nodes = list(walk(json.loads(plan + "]")[0]["Plan"]))
        bad = [n["Node Type"] for n, in_scan in nodes
               if n["Node Type"] == "Seq Scan"
               or in_scan and "Sort" in n["Node Type"]
               and n["Plan Rows"] > 100]
        if bad or not any(index in n.get("Index Name", "") for n, _ in nodes):
            yield [values, *bad, plan]


NEWEST = {"id": "~"}
PLANS = {
    "certs_all": ("pkey", NEWEST),
    "certs_of_profile": ("profile", {"profile": "rare", **NEWEST}),
    "certs_of_issuer": ("issuer", {"issuer": "seldom", **NEWEST}),
    "certs_of_key": ("key", {"key": "key7", **NEWEST}),
    "certs_of_serial": ("serial", {"serial": f"0f{MIDDLE:016}", **NEWEST}),
    "certs_of_account": ("account", {"account": account(MIDDLE),
                                     "not_after": 2**63 - 1, **NEWEST}),
    "certs_ending": ("not_after", {"begin": 1, "end": 2**62, "not_after": 0,
                                   "id": ""}),
    "certs_ending_count": ("not_after", {
        "at": 1, "id": "", "until": 2**62, "count": 500, "one": 2,
        "two": 3, "three": 4}),
    "certs_named": ("names_name", {"name": "net.example.zone7.", "id": "",
                                   "first": "net.example.zone7.",
                                   "behind": "net.example.zone7/"}),
    "certs_find": ("pkey", {"id": cert_id(1), "serial": "00", "count": 4}),
}
# SQLite calls its own indexes by numbers.
NUMBERED = {"pkey": "sqlite_autoindex_certificates_1",
            "serial": "sqlite_autoindex_certificates_3"}


@MANY
@pytest.mark.parametrize("name", PLANS)
def test_each_plan_goes_by_the_index(crowded, name):
    """Whatever else is asked for: the statement is chosen by one filter, and
    the others are to be of no consequence."""
    index, given = PLANS[name]
    statement = statements("cert.sql")[name]
    rows = list(combinations(statement, given))
    find = (faults_on_sqlite if crowded.store.engine == "sqlite"
            else faults_on_postgres)
    faults = list(find(crowded.store, statement, index, rows))
    assert not faults, f"{len(faults)} of {len(rows)}: " + "\n".join(
        map(str, faults[0]))


def test_each_statement_has_its_plan_here():
    assert {n for n in statements("cert.sql") if n.startswith("certs_")} == set(PLANS)
