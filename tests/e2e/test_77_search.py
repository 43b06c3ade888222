# SPDX-License-Identifier: ISC
"""certloopctl cert search and export: what is found, by which index, and how
it is written; over as many certificates as there may be."""

import hashlib
import json
import os
import re
import secrets
import sqlite3
import subprocess
import time
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

import x509
from test_75_ctl import (
    NOBODY, NOT_FOUND, OK, REFUSED, USAGE, api, audit, items, run)

TOP = Path(__file__).resolve().parents[2]
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
  SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})
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
  SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})
INSERT INTO certificate_names (certificate, name)
SELECT '0000' || substr(CAST(10000000000000000 + i AS TEXT), 2) ||
  'aaaaaaaaaa', 'net.example.zone' || (i % 100) || '.host' || i || '.{letter}.'
FROM n"""


def fill(server, first, last):
    sqlite = server.store.engine == "sqlite"
    words = {"first": first, "last": last, "now": int(time.time() * 1e6),
             "blob": "x'00'" if sqlite else "'\\x00'"}
    server.store.execute(CERTIFICATES.format(**words))
    for letter in "ab":
        server.store.execute(NAMES.format(letter=letter, **words))


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

@pytest.fixture(scope="module")
def crowded(build, engine, new_store, tmp_path_factory):
    import servers
    server = servers.Certloopd(
        build, tmp_path_factory.mktemp(f"crowd-{engine}"),
        store=new_store(engine), profiles=PROFILES).start()
    for first in range(1, ROWS, 50000):
        fill(server, first, min(first + 49999, ROWS))
    # as autovacuum does
    server.store.execute("ANALYZE" if engine == "sqlite" else
                         "VACUUM ANALYZE")
    yield server
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


def test_a_key_of_many(crowded):
    crowded.store.execute(
        f"UPDATE certificates SET spki_hash = '{key_of('leaked')}' "
        f"WHERE id = '{cert_id(MIDDLE)}'")
    _, page = api(crowded, "GET", f"/certificates?key={key_of('leaked')}")
    assert [c["id"] for c in page["items"]] == [cert_id(MIDDLE)]


def test_what_is_rare_is_found_to_its_end(crowded):
    """A page with a filter that no index knows looks at a bounded number of
    rows, and goes on."""
    found = items(crowded, "cert", "search", "--profile", "rare", "--issuer",
                  "often", "--all")
    assert len(found) == ROWS // 1000
    assert items(crowded, "cert", "search", "--profile", "rare", "--issuer",
                 "seldom", "--all") == []


@pytest.mark.parametrize("query", ["", "name=new.example.net",
                                   "profile=fresh"])
def test_pages_stay_while_rows_arrive(crowded, query):
    """What was there when the first page came is shown once, whatever is
    written meanwhile before, between and behind the pages."""
    mark = secrets.token_hex(4)
    if query.startswith("profile"):
        query += mark
    if query.startswith("name"):
        query = f"name={mark}.example.net"

    def add(numbers):
        for n in numbers:
            one = f"0001{mark}{n:06}bbbbbbbbbbbb"
            crowded.store.execute(
                "INSERT INTO certificates (id, account, profile, issuer, "
                "serial, not_before, not_after, der, chain, spki_hash, "
                f"names, status, created) SELECT '{one}', account, "
                f"'fresh{mark}', issuer, '{mark}{n:06}', not_before, "
                "not_after, der, chain, spki_hash, names, status, created "
                f"FROM certificates WHERE id = '{cert_id(1)}'")
            crowded.store.execute(
                "INSERT INTO certificate_names (certificate, name) VALUES "
                f"('{one}', 'net.example.{mark}.n{n:06}.')")
    add(range(100, 140, 2))
    seen, cursor, late = [], "", iter(range(1, 1000))
    for _ in range(12):
        _, page = api(crowded, "GET",
                      f"/certificates?limit=5&{query}{cursor}".replace(
                          "&&", "&"))
        seen += [c["id"] for c in page["items"]]
        add([next(late), 101 + 2 * next(late), 500 + next(late)])
        if page["next"] is None or len(seen) > 60:
            break
        cursor = f"&cursor={page['next']}"
    assert len(seen) == len(set(seen))
    before = {f"0001{mark}{n:06}bbbbbbbbbbbb" for n in range(100, 140, 2)}
    if query:
        assert before <= set(seen)


# ---- plans

def statements():
    path = TOP / "src/store/sql/cert.sql"
    sqlgen = SourceFileLoader("sqlgen", str(TOP / "scripts/sqlgen")
                              ).load_module()
    return {s.name: s for s in sqlgen.read_statements(
        str(path), path.read_text())}


def arguments(statement, **given):
    """Values for the first page; what was not asked is null."""
    values = {"count": 51, "scan": 1000, **given}
    return [values.get(name) for name, _ in statement.args]


def plan_on_sqlite(store, statement, values):
    uri = f"file:{store.path}?mode=ro"
    db = sqlite3.connect(uri, uri=True)
    db.create_function("now_us", 0, lambda: int(time.time() * 1e6))
    try:
        return [row[3] for row in db.execute(
            "EXPLAIN QUERY PLAN " + statement.text["sqlite"], values)]
    finally:
        db.close()


def literal(value):
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else f"'{value}'"


def plan_on_postgres(store, statement, values):
    types = ", ".join("text" if t == "text" else "bigint"
                      for _, t in statement.args)
    text = store.cluster.psql(
        f"PREPARE p({types}) AS {statement.text['postgresql']}; "
        f"EXPLAIN EXECUTE p({', '.join(map(literal, values))})", store.name)
    return text.splitlines()


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
    "certs_named": ("names_name", {"name": "net.example.zone7.", "id": "",
                                   "first": "net.example.zone7.",
                                   "behind": "net.example.zone7/"}),
    "certs_find": ("pkey", {"id": cert_id(1), "serial": "00", "count": 4}),
}
# SQLite calls its own indexes by numbers.
NUMBERED = {"pkey": "sqlite_autoindex_certificates_1",
            "serial": "sqlite_autoindex_certificates_3"}


@pytest.mark.parametrize("name", PLANS)
def test_the_plan_goes_by_the_index(crowded, name):
    index, given = PLANS[name]
    statement = statements()[name]
    values = arguments(statement, **given)
    if crowded.store.engine == "sqlite":
        lines = plan_on_sqlite(crowded.store, statement, values)
        index = NUMBERED.get(index, f"certificates_{index}").replace(
            "certificates_names", "certificate_names")
        whole = [line for line in lines if re.match(
            r"SCAN (certificate\w+|other)\b(?! USING)|BLOOM FILTER ON cert",
            line)]
    else:
        lines = plan_on_postgres(crowded.store, statement, values)
        index = f"certificates_{index}".replace(
            "certificates_names", "certificate_names")
        whole = [line for line in lines if "Seq Scan on certificate" in line]
    assert not whole, "\n".join(lines)
    assert any(index in line for line in lines), "\n".join(lines)


def test_each_statement_has_its_plan_here():
    assert {n for n in statements() if n.startswith("certs_")} == set(PLANS)
