# SPDX-License-Identifier: ISC
"""The admin API by TLS: API keys and their scopes, wrong keys and where they
lock out, what the trail, the log and the database know of a key, hostile
clients, and certloopctl --server."""

import base64
import contextlib
import hashlib
import json
import os
import re
import secrets
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

import fleet
import servers
import web
from servers import LOCALHOST, wait_for

SOURCES = Path(__file__).resolve().parents[2] / "src"
SCOPES = ("read", "operate", "admin")


def listener(port, options=""):
    return f"""
listener keys {{
  kind = admin
  address = "{LOCALHOST}:{port}"
  {options}
}}
"""


# Tests say themselves which address they come from.
FORWARDED = """forwarded = true
  trusted_proxies = { "127.0.0.0/8" }"""


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def server(request, build, new_store, tmp_path_factory):
    port = servers.free_port()
    daemon = servers.Certloopd(
        build, tmp_path_factory.mktemp(f"keys-{request.param}"),
        store=new_store(request.param), limits="",
        extra=listener(port, FORWARDED))
    daemon.keys_port = port
    daemon.start()
    yield daemon
    daemon.remove()


def new_address():
    """One that no other test comes from."""
    return "198.18.%d.%d" % tuple(secrets.token_bytes(2))


class Caller:
    """Asks a listener of kind admin from an address."""

    def __init__(self, server, key=None, address=None, port=None):
        self.url = f"https://localhost:{port or server.keys_port}"
        self.http = web.Web(web.trust(server.root))
        self.headers = {"X-Forwarded-For": address or new_address()}
        if key is not None:
            self.headers["Authorization"] = f"Bearer {key}"

    def ask(self, method="GET", path="/status", body=None, **headers):
        self.last = self.http.request(
            method, f"{self.url}/api/v1{path}",
            None if body is None else json.dumps(body),
            {**self.headers, **headers})
        return self.last


def make(server, scope="read", **members):
    members.setdefault("name", "k" + secrets.token_hex(4))
    status, key = server.admin("POST", "/api-keys",
                               {"scope": scope, **members})
    assert status == 201, key
    assert key["scope"] == scope
    return key


def remove(server, key):
    return server.admin("POST", f"/api-keys/{key['name']}/remove")


def wrong(key):
    """The same id with another secret."""
    return key["key"].partition(".")[0] + "." + secrets.token_urlsafe(32)


def kind(answer):
    """(status, name of the problem)"""
    if not answer.is_problem:
        return answer.status, None
    return answer.status, answer.json["type"].rpartition(":")[2]


def outcomes(server, name):
    return server.metrics().get(
        f'certloop_admin_key_requests_total{{outcome="{name}"}}', 0)


def rows(server, action, actor):
    """Of the audit trail, the newest first: (object, detail)."""
    shown = server.admin("GET", f"/audit?action={action}&actor={actor}")[1]
    return [(row["object"], row.get("detail")) for row in shown["items"]]


# ---- scopes

OBJECT = "6ai2c4h0" + "A" * 22      # of any kind: there is none

# What changes something; all that is not here is for every key.
NEEDED = {
    "/accounts/:id/deactivate": "admin",
    "/accounts/:id/limits/remove": "admin",
    "/accounts/:id/limits/set": "admin",
    "/api-keys": "admin",
    "/api-keys/:key/remove": "admin",
    "/asked-loops": "operate",
    "/asked-loops/:name/remove": "operate",
    "/asked-loops/:name/set": "operate",
    "/certificates/:id/revoke": "admin",
    "/certificates/mark": "operate",
    "/certificates/revoke": "admin",
    "/certificates/unmark": "operate",
    "/config/check": "operate",
    "/drain": "operate",
    "/drain/undo": "operate",
    "/eab-keys": "admin",
    "/eab-keys/:id/revoke": "admin",
    "/gc": "operate",
    "/issuers/:name/test": "operate",
    "/limits/:name/reset": "operate",
    "/loops/:name/pause": "operate",
    "/loops/:name/renew": "operate",
    "/loops/:name/resume": "operate",
    "/reload": "operate",
}


def routes():
    """(method, path) of every route of the API."""
    for file in [*SOURCES.glob("admin/*.c"), *SOURCES.glob("daemon/*.c")]:
        for block in re.findall(r"^(?:static )?const struct admin_route \w+ = \{\n(.*?)^\}",
                                file.read_text(), re.M | re.S):
            yield (re.search(r"\.methods = REQ_(\w+)", block)[1],
                   re.search(r'\.path = "([^"]*)"', block)[1])


def test_each_route_needs_its_scope(server):
    callers = {scope: Caller(server, make(server, scope)["key"])
               for scope in SCOPES}
    posts = set()
    for method, path in routes():
        if path == "/take-over":
            continue
        needed = NEEDED.get(path, "read") if method == "POST" else "read"
        posts |= {path} if method == "POST" and path in NEEDED else set()
        real = re.sub(r":\w+", OBJECT, path)
        for scope in SCOPES:
            may = SCOPES.index(scope) >= SCOPES.index(needed)
            if may and method == "POST":
                continue            # below, and through certloopctl
            answer = callers[scope].ask(method, real)
            if may:
                assert answer.status in (200, 404), (path, answer)
                continue
            assert kind(answer) == (403, "forbiddenScope"), (path, answer)
            assert f'scope="{needed}"' in answer.header("WWW-Authenticate")
            assert answer.json["detail"].endswith(
                f"scope {needed}; the scope of this one is {scope}")
    assert posts == set(NEEDED)
    assert outcomes(server, "scope") >= len(NEEDED)
    assert outcomes(server, "passed") > 0
    # and what is enough is
    assert callers["operate"].ask("POST", "/gc").status in (200, 202, 409)
    assert callers["admin"].ask(
        "POST", f"/accounts/{OBJECT}/deactivate").status == 404
    # nobody hands over our sockets from afar
    answer = callers["admin"].ask("POST", "/take-over")
    assert kind(answer) == (403, "forbidden"), answer


def test_what_a_key_does_is_told_of_it(server):
    key = make(server, "admin", name="robot")
    made = Caller(server, key["key"]).ask("POST", "/api-keys", {
        "name": "of-robot", "scope": "read",
        "expires": "2099-01-01T00:00:00Z"})
    assert made.status == 201, made
    assert made.header("Cache-Control") == "no-store"
    assert rows(server, "apikey.create", "apikey:robot") == [
        (made.json["id"], {"name": "of-robot", "scope": "read",
                           "expires": "2099-01-01T00:00:00Z"})]
    listed = server.admin("GET", "/api-keys?scope=read")[1]["items"]
    mine = [k for k in listed if k["id"] == made.json["id"]]
    assert [(k["name"], k["created_by"], k["status"], k["expires"])
            for k in mine] == [("of-robot", "apikey:robot", "valid",
                                "2099-01-01T00:00:00Z")]
    assert not any("key" in k or "hash" in k for k in listed)
    # what it was refused is told too
    weak = Caller(server, made.json["key"])
    assert weak.ask("POST", "/gc").status == 403

    def told():
        return rows(server, "request.refuse", "apikey:of-robot")
    wait_for(told, 20, "the row of a refusal")
    assert told()[0][0] == made.json["id"]
    assert told()[0][1]["type"] == "forbiddenScope"
    remove(server, key)
    remove(server, made.json)


@pytest.mark.parametrize("members, word", [
    ({"scope": "all"}, "read operate admin"),
    ({"scope": None}, "scope"),
    ({"name": "two words"}, "letters"),
    ({"name": "x" * 33}, "32"),
    ({"name": OBJECT}, "letters"),
    ({"name": ""}, "name"),
    ({"name": ".."}, "letters"),
    ({"name": "--json"}, "letters"),
    ({"expires": "2020-01-01T00:00:00Z"}, "expires"),
    ({"expires": "soon"}, "expires"),
    ({"expires": 5}, "expires"),
    ({"secret": "mine"}, "secret"),
])
def test_a_key_that_cannot_be(server, members, word):
    status, problem = server.admin("POST", "/api-keys", {
        "name": "new", "scope": "read", **members})
    assert (status, word in problem["detail"]) == (400, True), problem


def test_two_keys_of_one_name(server):
    key = make(server, name="twin")
    status, problem = server.admin("POST", "/api-keys", {
        "name": "twin", "scope": "read"})
    assert status == 409 and "twin" in problem["detail"]
    assert remove(server, key)[0] == 200
    assert remove(server, key)[0] == 409
    again = make(server, name="twin")
    assert Caller(server, again["key"]).ask().status == 200
    assert server.admin("POST", f"/api-keys/{again['id']}/remove")[0] == 200
    assert remove(server, {"name": "nobody"})[0] == 404


# ---- keys that are none

def mangle(text, how):
    head, _, secret = text.partition(".")
    return {
        "garbage": "x" * 78,
        "short": text[:-1],
        "long": text + "A",
        "other prefix": "k" + text[1:],
        "no id": "clk_" + "!" * 30 + "." + secret,
        "unknown id": f"clk_{OBJECT}.{secret}",
        "other secret": head + "." + secrets.token_urlsafe(32),
        "upper case": text.upper(),
        "two keys": text + ", Bearer " + text,
        "empty": "",
        "huge": "A" * 8000,
        "quoted": f'"{text}"',
    }[how]


@pytest.mark.parametrize("how", [
    "garbage", "short", "long", "other prefix", "no id", "unknown id",
    "other secret", "upper case", "two keys", "empty", "huge", "quoted"])
def test_a_wrong_key(server, how):
    key = make(server)
    address = new_address()
    before = outcomes(server, "wrong")
    caller = Caller(server, mangle(key["key"], how), address)
    answer = caller.ask()
    assert kind(answer) == (401, "unauthenticated"), answer
    assert 'error="invalid_token"' in answer.header("WWW-Authenticate")
    assert answer.json["detail"] == "this API key is not known"
    assert outcomes(server, "wrong") == before + 1

    def told():
        return rows(server, "request.refuse", f"address:{address}")
    wait_for(told, 20, "its row")
    about, detail = told()[0]
    assert (detail["type"], detail["peer"], detail["count"]) == (
        "unauthenticated", address, 1)
    assert about == (key["id"] if how == "other secret" else
                     OBJECT if how == "unknown id" else None)
    remove(server, key)


@pytest.mark.parametrize("value", [None, "Basic cm9vdDpyb290", "bearer",
                                   "Token abc"])
def test_no_key(server, value):
    """Nobody guesses here: no row, and no count."""
    address = new_address()
    caller = Caller(server, address=address)
    headers = {} if value is None else {"Authorization": value}
    if value == "bearer":
        assert kind(caller.ask(**headers)) == (401, "unauthenticated")
        return
    before = outcomes(server, "no_key")
    for _ in range(12):
        answer = caller.ask(**headers)
        assert kind(answer) == (401, "unauthenticated"), answer
        assert answer.header("WWW-Authenticate") == 'Bearer realm="certloop"'
        assert "apikey add" in answer.json["detail"]
    assert outcomes(server, "no_key") == before + 12
    assert rows(server, "request.refuse", f"address:{address}") == []


def test_a_key_that_was_good(server):
    """It says itself what is wrong with it, guesses nothing and locks
    nobody out."""
    address = new_address()
    key = make(server, "operate")
    caller = Caller(server, key["key"], address)
    assert caller.ask().status == 200
    server.store.execute("UPDATE api_keys SET expires = 1 "
                         f"WHERE id = '{key['id']}'")
    for _ in range(6):
        answer = caller.ask()
        assert kind(answer) == (401, "unauthenticated"), answer
        assert answer.json["detail"] == "this API key has expired"
    assert remove(server, key)[0] == 200
    # by then another may have its name, and has nothing to do with it
    again = make(server, name=key["name"])
    for _ in range(6):
        answer = caller.ask()
        assert kind(answer) == (401, "unauthenticated"), answer
        assert answer.json["detail"] == "this API key was removed"
    wait_for(lambda: rows(server, "request.refuse", f"address:{address}"), 60,
             "the refusals' row")
    # the trail says which of the two is gone
    removals = rows(server, "apikey.remove", f"admin:uid={os.getuid()}")
    assert key["id"] in [object for object, _ in removals]
    assert again["id"] not in [object for object, _ in removals]
    assert remove(server, again)[0] == 200
    assert outcomes(server, "expired") >= 6
    assert outcomes(server, "removed") >= 6
    other = make(server)
    assert Caller(server, other["key"], address).ask().status == 200
    shown = server.admin(
        "GET", f"/limits/admin_login_failure?key={address}")[1]
    assert shown["used"] == 0
    listed = server.admin("GET", "/api-keys?status=removed")[1]["items"]
    assert key["id"] in [k["id"] for k in listed]


# ---- ten an hour

def lock(server, key, address):
    caller = Caller(server, wrong(key), address)
    for _ in range(10):
        assert kind(caller.ask()) == (401, "unauthenticated")
    return caller


def without_seconds(answer):
    return re.sub(r"\d+ s\b", "N s", answer.json["detail"])


def test_the_eleventh_wrong_key(server):
    address = new_address()
    key = make(server)
    # keys that are right take nothing
    for _ in range(12):
        assert Caller(server, key["key"], address).ask().status == 200
    caller = lock(server, key, address)
    refused = caller.ask()
    assert kind(refused) == (429, "rateLimited"), refused
    assert 3500 < int(refused.header("Retry-After")) <= 3600
    # nobody learns there that a key is right
    good = Caller(server, key["key"], address).ask()
    assert kind(good) == (429, "rateLimited")
    assert without_seconds(good) == without_seconds(refused)
    assert good.header("WWW-Authenticate") is None
    gone = make(server)
    remove(server, gone)
    assert without_seconds(Caller(server, gone["key"], address).ask()) == \
        without_seconds(refused)
    # who has the key and is elsewhere goes on
    assert Caller(server, key["key"]).ask().status == 200
    assert outcomes(server, "locked") >= 3
    done = server.ctl("limit", "show", "admin_login_failure", address)
    assert re.search(r"^used +10$", done.stdout, re.M), done.stdout

    def told():
        return [d["type"] for _, d in
                rows(server, "request.refuse", f"address:{address}")]
    wait_for(lambda: "rateLimited" in told(), 20, "a row of the eleventh")
    # an operator opens the door again
    done = server.ctl("limit", "reset", "admin_login_failure", address)
    assert done.returncode == 0, done.stderr
    assert Caller(server, key["key"], address).ask().status == 200
    assert kind(caller.ask())[0] == 401


def test_a_network_of_ipv6_is_one_address(server):
    net = "2001:db8:%x:%x" % tuple(secrets.token_bytes(2))
    key = make(server)
    lock(server, key, f"{net}::1")
    assert Caller(server, key["key"], f"{net}::ffff").ask().status == 429
    assert Caller(server, key["key"], f"{net}1::1").ask().status == 200
    done = server.ctl("limit", "show", "admin_login_failure", f"{net}::77")
    assert re.search(r"^used +10$", done.stdout, re.M), done.stdout


class Keyed(fleet.Replica):
    """A replica with a listener of kind admin."""

    def __init__(self, *arguments, extra="", **options):
        self.keys_port = servers.free_port()
        super().__init__(*arguments, extra=extra + listener(
            self.keys_port, FORWARDED), **options)


def decided(server, key, address=None):
    """The answer, once the limit could be asked."""
    def ask():
        answer = Caller(server, key, address).ask()
        return answer if answer.status != 503 else None
    return wait_for(ask, 60, "an answer", 0.2)


@pytest.mark.parametrize("backend", ["redis", "store"])
def test_replicas_count_together(build, new_store, tmp_path, redis, backend):
    """Exactly ten, whichever replica they reach and though they come at
    once; a removed key stops in all of them."""
    store = new_store("postgres")
    members = []
    try:
        for i in range(2):
            members.append(Keyed(
                build, tmp_path / f"replica{i}", store=store, limits=""
                if backend == "store" else "on_error = deny\n",
                redis=redis if backend == "redis" else None,
                backend=backend, public_url=fleet.PUBLIC_URL))
            if i == 0:
                members[0].init_ca()
            else:
                members[1].share_from(members[0])
            members[i].start()
        one, two = members
        key = make(one)
        address = new_address()
        callers = [Caller(members[i % 2], wrong(key), address)
                   for i in range(16)]
        answers = []
        threads = [threading.Thread(
            target=lambda c=c: answers.append(kind(c.ask())))
            for c in callers]
        [t.start() for t in threads]
        [t.join() for t in threads]
        # a Redis that is late, on a busy machine, decides nothing
        while kind(callers[0].ask())[0] != 429:
            answers.append(kind(callers[0].last))
            assert len(answers) < 60, answers
        unknown = sum(status == 503 for status, _ in answers)
        wrongs = answers.count((401, "unauthenticated"))
        assert 10 - unknown <= wrongs <= 10, answers
        for member in members:
            for text in (key["key"], wrong(key)):
                answer = decided(member, text, address)
                assert kind(answer) == (429, "rateLimited"), answer
                assert int(answer.header("Retry-After")) > 3000
            assert decided(member, key["key"]).status == 200
        assert remove(one, key)[0] == 200
        for member in members:
            assert decided(member, key["key"]).status == 401
        if backend == "redis":
            redis.kill()
            key = make(two)
            answer = Caller(two, key["key"]).ask()
            assert kind(answer)[0] == 503, answer
            assert int(answer.header("Retry-After")) > 0
            assert outcomes(two, "undecided") > 0
    finally:
        for member in members:
            member.remove()


# ---- what is known of a key

def everything(server):
    """All that the database has, as bytes."""
    if server.store.engine == "sqlite":
        return b"".join(p.read_bytes() for p in server.data.glob(
            "certloop.db*"))
    tables = server.store.query(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return repr([server.store.query(f'SELECT * FROM "{t}"')
                 for (t,) in tables]).encode()


def test_the_secret_is_nowhere(server):
    key = make(server, "admin")
    caller = Caller(server, key["key"])
    assert caller.ask().status == 200
    assert caller.ask("POST", "/gc").status in (200, 202, 409)
    assert caller.ask("GET", f"/accounts/{OBJECT}").status == 404
    assert re.fullmatch(r"clk_[0-9a-v]{8}[\w-]{22}\.[\w-]{43}", key["key"])
    text = key["key"].partition(".")[2]
    raw = base64.urlsafe_b64decode(text + "=")
    assert len(raw) == 32
    remove(server, key)
    known = [server.log().encode(), everything(server),
             json.dumps(server.admin("GET", "/audit")[1]).encode(),
             json.dumps(server.admin("GET", "/api-keys")[1]).encode(),
             server.status("/metrics").body]
    for secret in (text.encode(), raw, raw.hex().encode(), repr(raw).encode(),
                   base64.b64encode(raw)):
        assert not any(secret in where for where in known)
    row = server.store.query("SELECT hash FROM api_keys "
                             f"WHERE id = '{key['id']}'")
    assert bytes(row[0][0]) == hashlib.sha256(raw).digest()


def test_the_last_use_is_noted_once_a_minute(server):
    key = make(server)
    where = f"WHERE id = '{key['id']}'"

    def noted():
        value = server.store.query(
            f"SELECT COALESCE(last_used, 0) FROM api_keys {where}")
        return int(value[0][0])
    assert noted() == 0
    caller = Caller(server, key["key"])
    assert caller.ask().status == 200
    first = noted()
    assert first > 0
    server.store.execute("UPDATE api_keys SET last_used = last_used + 1 "
                         + where)
    assert caller.ask().status == 200
    assert noted() == first + 1
    server.store.execute(f"UPDATE api_keys SET last_used = {first} - 60000000 "
                         + where)
    assert caller.ask().status == 200
    assert noted() > first


# ---- hostile clients

def tls_socket(server):
    raw = socket.create_connection((LOCALHOST, server.keys_port), 30)
    return web.trust(server.root).wrap_socket(
        raw, server_hostname="localhost")


def test_files_are_checked_for_the_socket_only(server, tmp_path):
    """What is wrong with a file tells what is in it, and some never end."""
    secret = tmp_path / "token"
    secret.write_text("hvs.OfVault\n")
    key = make(server, "admin")
    caller = Caller(server, key["key"])
    for file in (secret, "/proc/self/fd/4", "/etc/shadow", "/nothing"):
        answer = caller.ask("POST", "/config/check", {"file": str(file)})
        assert kind(answer) == (403, "forbidden"), answer
        assert "hvs" not in answer.body.decode()
    assert caller.ask("POST", "/config/check").status == 200
    status, answer = server.admin("POST", "/config/check",
                                  {"file": str(secret)})
    assert status == 200 and not answer["ok"]
    for file in ("/dev/zero", tmp_path):
        status, answer = server.admin("POST", "/config/check",
                                      {"file": str(file)})
        assert status == 400 and "regular" in answer["detail"], answer


def test_plain_http_is_no_way_in(server):
    key = make(server)
    with socket.create_connection((LOCALHOST, server.keys_port), 30) as s:
        s.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n"
                  b"Authorization: Bearer " + key["key"].encode()
                  + b"\r\n\r\n")
        got = b""
        try:
            while data := s.recv(4096):
                got += data
        except ConnectionResetError:
            pass
    assert b"200" not in got and b"certloop" not in got


def test_old_tls_is_no_way_in(server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(server.root)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection((LOCALHOST, server.keys_port), 30) as raw, \
            pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(raw, server_hostname="localhost")


def test_slow_clients_are_dropped(new_server):
    """Within header_timeout: in the handshake, and in the header."""
    port = servers.free_port()
    server = new_server(extra=listener(port)
                        + "http {\n  header_timeout = 1s\n}\n")
    server.keys_port = port
    server.start()
    with socket.create_connection((LOCALHOST, port), 60) as raw:
        raw.sendall(b"\x16\x03\x01")
        with contextlib.suppress(ConnectionResetError):
            assert raw.recv(100) == b""

    def is_told():
        with contextlib.suppress(OSError):      # a handshake took too long
            with tls_socket(server) as s:
                s.settimeout(60)
                s.sendall(b"GET /api/v1/status HTTP/1.1\r\nA")
                return b" 408 " in s.recv(65536)
    wait_for(is_told, 60, "a header that took too long")


def test_an_oversized_header(server):
    key = make(server)
    answer = Caller(server, key["key"]).ask(Padding="x" * 20000)
    assert answer.status == 431, answer
    answer = Caller(server, key["key"]).ask(Cookie="x" * 8000)
    assert answer.status == 200, answer


def test_an_oversized_body(server):
    key = make(server, "admin")
    answer = Caller(server, key["key"]).ask("POST", "/eab-keys",
                                            {"name": "x" * 70000})
    assert answer.status == 413, answer


def test_health_needs_no_key_and_all_else_does(server):
    http = web.Web(web.trust(server.root))
    base = f"https://localhost:{server.keys_port}"
    assert http.get(base + "/healthz").status == 200
    assert http.get(base + "/readyz").status == 200
    for path in ("/metrics", "/acme/directory", "/", "/api", "/api/v2/x"):
        assert http.get(base + path).status == 404
    # and the other listeners have no API
    assert server.web().get(server.base + "/api/v1/status").status == 404
    assert server.status("/api/v1/status").status == 404


# ---- certloopctl

def ctl(server, *arguments, key=None, environment=None, options=None):
    """certloopctl by TLS."""
    file = server.directory / f"key-{secrets.token_hex(4)}"
    file.touch(0o600)
    file.write_text((key or "") + "\n")
    if options is None:
        options = ["--server", f"https://localhost:{server.keys_port}",
                   "--key-file", file, "--ca-file", server.root]
    env = {**server.env, **(environment or {})}
    done = subprocess.run(
        [server.build / "certloopctl", *options, *arguments],
        capture_output=True, text=True, timeout=60, env=env,
        cwd=server.directory)
    assert not servers.SANITIZER.search(done.stderr), done.stderr
    return done


def test_certloopctl_by_tls(server):
    key = make(server, "admin")["key"]
    done = ctl(server, "status", key=key)
    assert done.returncode == 0 and re.search(r"^ready +yes", done.stdout,
                                              re.M), done
    # the same as by the socket
    for command in (["--json", "apikey", "list", "--all"],
                    ["--json", "limit", "show"], ["issuer", "list"],
                    ["config", "show"]):
        near, far = server.ctl(*command), ctl(server, *command, key=key)
        assert far.returncode == 0, far
        assert re.sub('"last_used":[^,]*', "", far.stdout) == \
            re.sub('"last_used":[^,]*', "", near.stdout)
    # a whole life of a key
    done = ctl(server, "apikey", "add", "ctl-made", "--scope", "operate",
               "--expires", "30d", key=key)
    assert done.returncode == 0, done
    assert done.stderr == "The API key is shown only now.\n"
    made = re.search(r"^API key +(clk_\S+)$", done.stdout, re.M)[1]
    assert re.search(r"^expires +\S+ \S+ \(in (29|30) d\)$", done.stdout, re.M)
    assert ctl(server, "gc", "run", key=made).returncode in (0, 1)
    done = ctl(server, "apikey", "list", "--status", "valid", key=made)
    assert re.search(r"ctl-made +operate +valid +\S+ \S+ \(", done.stdout)
    done = ctl(server, "apikey", "remove", "ctl-made", key=key)
    assert done.stdout == \
        "API key ctl-made is removed: nothing is answered to it any more\n"
    assert ctl(server, "status", key=made).returncode == 5
    # pages, and a long answer
    done = ctl(server, "--json", "audit", "search", "--all", key=key)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) >= 3


def one_line(done, code, text):
    assert done.returncode == code, done
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("certloopctl: "), lines
    assert text in lines[0], lines
    assert done.stdout == ""


def test_what_goes_wrong_is_one_line_and_a_code(server, tmp_path):
    good = make(server, "read")["key"]
    url = f"https://localhost:{server.keys_port}"
    file = tmp_path / "key"
    file.touch(0o600)
    file.write_text(good)
    trusted = ["--ca-file", server.root, "--key-file", file]
    one_line(ctl(server, "gc", "run", key=good), 6, "scope operate")
    one_line(ctl(server, "account", "show", OBJECT, key=good), 4, OBJECT)
    one_line(ctl(server, "limit", "show", "nothing", "x", key=good), 4,
             "nothing")
    one_line(ctl(server, "status", key="clk_wrong"), 5, "not known")
    for options, code, text in (
            (["--server", url, "--key-file", file], 3, "certificate"),
            (["--server", f"https://127.0.0.2:{server.keys_port}",
              *trusted], 3, ""),
            (["--server", f"https://localhost:{server.status_port}",
              *trusted], 3, "no TLS"),
            (["--server", f"https://localhost:{servers.free_port()}",
              *trusted], 3, "cannot reach"),
            (["--server", "https://nowhere.invalid", *trusted], 3,
             "cannot reach"),
            (["--server", url, "--ca-file", tmp_path / "none",
              "--key-file", file], 3, "none"),
            (["--server", "http://localhost", *trusted], 2, "https://"),
            (["--server", "https://a:b:c", *trusted], 2, "https://"),
            (["--server", "https://localhost:99999", *trusted], 2,
             "https://"),
            (["--server", f"{url}/api", *trusted], 2, "https://"),
            (["--server", url], 2, "--key-file"),
            (["--server", url, "-s", "x"], 2, "one of them"),
            (["--server", url, "--key-file", tmp_path / "none"], 2, "none"),
            (["--server", url, "--key-file", "/dev/null"], 2, "no API key"),
            (["--key-file", file], 2, "--server"),
            (["--ca-file", server.root], 2, "--server"),
    ):
        one_line(ctl(server, "status", options=options), code, text)
    file.chmod(0o640)
    one_line(ctl(server, "status", options=["--server", url, *trusted]), 2,
             "others may read it")


@pytest.fixture
def relay(server):
    """The listener, by an address that its certificate is not for."""
    stop = []

    def carry(one, other):
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                client = door.accept()[0]
                to = socket.create_connection((LOCALHOST, server.keys_port))
                stop.extend((client, to))
                for pair in ((client, to), (to, client)):
                    threading.Thread(target=carry, args=pair,
                                     daemon=True).start()
    door = socket.create_server(("127.0.0.2", 0))
    threading.Thread(target=accept, daemon=True).start()
    yield f"https://127.0.0.2:{door.getsockname()[1]}"
    for each in (door, *stop):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


def test_the_certificate_is_for_the_host(server, relay):
    """The right CA is not enough: 127.0.0.1 and ::1 are in the certificate,
    another address of this machine is not."""
    key = make(server)["key"]
    file = server.directory / "host-key"
    file.touch(0o600)
    file.write_text(key)
    rest = ["--ca-file", server.root, "--key-file", file]
    done = ctl(server, "status", options=[
        "--server", f"https://127.0.0.1:{server.keys_port}/", *rest])
    assert done.returncode == 0, done
    done = ctl(server, "status", options=["--server", relay, *rest])
    assert done.returncode == 3, done
    assert "mismatch" in done.stderr, done


def test_certloopctl_by_its_environment(server, tmp_path):
    key = make(server)["key"]
    file = tmp_path / "key"
    file.touch(0o600)
    file.write_text(key + "\n")
    where = {"CERTLOOP_SERVER": f"https://localhost:{server.keys_port}",
             "CERTLOOP_CA_FILE": str(server.root)}
    for more in ({"CERTLOOP_KEY_FILE": str(file)}, {"CERTLOOP_KEY": key}):
        done = ctl(server, "status", options=[],
                   environment={**where, **more})
        assert done.returncode == 0, done
    # an option for the socket goes first
    done = ctl(server, "status", options=[
        "-s", server.data / "admin.sock"], environment=where)
    assert done.returncode == 0, done
