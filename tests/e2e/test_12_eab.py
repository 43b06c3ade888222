# SPDX-License-Identifier: ISC
"""External account binding, RFC 8555 section 7.3.4."""

import datetime
import json

import pytest

import acme
import jose
import servers
import x509
from jose import sign_jws, unb64

PROFILES = """
profile default {
  issuer = local
  eab_required = true
}
profile other {
  issuer = local
  eab_required = true
}
profile free {
  issuer = local
  allowed_suffixes = { "example.org" }
}
"""

FORBIDDEN = (403, "unauthorized")


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def server(request, build, new_store, tmp_path_factory):
    daemon = servers.Certloopd(
        build, tmp_path_factory.mktemp(f"eab-{request.param}"),
        store=new_store(request.param), profiles=PROFILES).start()
    yield daemon
    daemon.remove()


def outcome(response):
    return response.status, response.problem


def make(server, **members):
    """A key of the server: the answer that made it."""
    members.setdefault("name", "a team")
    status, key = server.admin("POST", "/eab-keys", members)
    assert status == 201, key
    return key


@pytest.fixture
def key(server):
    return make(server, max_uses=0)


def binding(client, key, alg="HS256", url=None, payload=None, header=None,
            secret=None):
    """The binding; each part can be replaced, None drops a member."""
    protected = {"alg": alg, "kid": key["id"],
                 "url": url or client.directory["newAccount"]}
    protected.update(header or {})
    protected = {k: v for k, v in protected.items() if v is not None}
    return sign_jws(jose.MacKey(secret or unb64(key["key"]), alg), protected,
                    client.key.jwk() if payload is None else payload)


def bind(client, key, bound=None, **members):
    members["externalAccountBinding"] = bound or binding(client, key)
    members["termsOfServiceAgreed"] = True
    response = client.send(client.directory["newAccount"], members,
                           kid=None)
    if response.status in (200, 201):
        client.kid = response.header("Location")
    return response


def show(server, key):
    status, document = server.admin("GET", f"/eab-keys/{key['id']}")
    assert status == 200
    return document


def test_the_directory_says_so(server):
    assert server.client().directory["meta"]["externalAccountRequired"]
    free = server.client(profile="free")
    assert free.directory["meta"]["externalAccountRequired"] is False


def test_no_account_without_a_binding(server):
    client = server.client()
    for members in ({}, {"externalAccountBinding": None}):
        response = client.send(client.directory["newAccount"], members,
                               kid=None)
        assert outcome(response) == (403, "externalAccountRequired")


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_a_binding_makes_an_account_that_shows_it(server, key, alg):
    client = server.client()
    bound = binding(client, key, alg)
    response = bind(client, key, bound)
    assert response.status == 201
    assert response.json["externalAccountBinding"] == bound
    for again in (client.post(client.kid),
                  client.post(client.kid, {"contact": []})):
        assert again.json["externalAccountBinding"] == bound
    _, chain, _ = client.obtain(["bound.example.org"])
    assert x509.split_chain(chain)


def test_an_account_that_is_there_needs_no_binding_again(server, key):
    client = server.client()
    assert bind(client, key).status == 201
    used = show(server, key)["used"]
    for members in ({"onlyReturnExisting": True}, {},
                    {"externalAccountBinding": binding(client, key)}):
        response = client.send(client.directory["newAccount"], members,
                               kid=None)
        assert response.status == 200
        assert response.header("Location") == client.kid
    assert show(server, key)["used"] == used


def test_a_binding_stays_through_a_key_change(server, key):
    client = server.client()
    bound = bind(client, key).json["externalAccountBinding"]
    new = jose.make_key()
    inner = sign_jws(new, {
        "alg": new.alg, "jwk": new.jwk(),
        "url": client.directory["keyChange"]},
        {"account": client.kid, "oldKey": client.key.jwk()})
    response = client.send(client.directory["keyChange"], inner)
    assert response.status == 200
    assert response.json["externalAccountBinding"] == bound


def test_it_is_not_for_the_client_to_change(server, key):
    client = server.client()
    bound = bind(client, key).json["externalAccountBinding"]
    other = binding(client, make(server))
    response = client.post(client.kid, {
        "contact": ["mailto:a@example.org"],
        "externalAccountBinding": other})
    assert response.json["externalAccountBinding"] == bound


WRONG = {
    "not an object": ("malformed", lambda c, k: "text"),
    "an array": ("malformed", lambda c, k: [binding(c, k)]),
    "empty": ("malformed", lambda c, k: {"protected": ""}),
    "no protected": ("malformed", lambda c, k: {
        **binding(c, k), "protected": 1}),
    "a nonce": ("malformed", lambda c, k: binding(
        c, k, header={"nonce": "abc"})),
    "another url": ("malformed", lambda c, k: binding(
        c, k, url=c.directory["newOrder"])),
    "no url": ("malformed", lambda c, k: binding(c, k, header={"url": None})),
    "the url of a shorthand": ("malformed", lambda c, k: binding(
        c, k, url=c.directory["newAccount"].replace("/profile/default",
                                                    ""))),
    "no kid": ("malformed", lambda c, k: binding(c, k, header={"kid": None})),
    "kid and jwk": ("malformed", lambda c, k: binding(
        c, k, header={"jwk": c.key.jwk()})),
    "a kid that is no text": ("malformed", lambda c, k: binding(
        c, k, header={"kid": 17})),
    "no alg": ("malformed", lambda c, k: binding(c, k, header={"alg": None})),
    "alg none": ("badSignatureAlgorithm", lambda c, k: {
        **binding(c, k, header={"alg": "none"}), "signature": ""}),
    "a signature": ("badSignatureAlgorithm", lambda c, k: sign_jws(
        c.key, {"alg": c.key.alg, "kid": k["id"],
                "url": c.directory["newAccount"]}, c.key.jwk())),
    "another key": ("malformed", lambda c, k: binding(
        c, k, payload=jose.make_key().jwk())),
    "no key": ("malformed", lambda c, k: binding(c, k, payload={"a": 1})),
    "an empty payload": ("malformed", lambda c, k: binding(
        c, k, payload=b"")),
    "a private key": ("malformed", lambda c, k: binding(
        c, k, payload={**c.key.jwk(), "d": "AAAA"})),
    "an unprotected header": ("malformed", lambda c, k: {
        **binding(c, k), "header": {"a": 1}}),
    "crit": ("malformed", lambda c, k: binding(
        c, k, header={"crit": ["x"]})),
    "another MAC key": ("unauthorized", lambda c, k: binding(
        c, k, secret=b"x" * 64)),
    "half of the MAC key": ("unauthorized", lambda c, k: binding(
        c, k, secret=unb64(k["key"])[:32])),
    "an empty MAC": ("unauthorized", lambda c, k: {
        **binding(c, k), "signature": ""}),
    "half of the MAC": ("unauthorized", lambda c, k: {
        **binding(c, k), "signature": binding(c, k)["signature"][:20]}),
    "a kid that is no id": ("unauthorized", lambda c, k: binding(
        c, {**k, "id": "team-1"})),
    "a kid that is not there": ("unauthorized", lambda c, k: binding(
        c, {**k, "id": k["id"][:-4] + "AAAA"})),
    "the MAC of another alg": ("unauthorized", lambda c, k: {
        **binding(c, k, "HS512"),
        "protected": binding(c, k, "HS256")["protected"]}),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_binding_with_something_wrong(server, key, what):
    problem, build = WRONG[what]
    client = server.client()
    response = bind(client, key, build(client, key))
    assert response.problem == problem, response
    assert client.kid is None
    assert show(server, key)["used"] == 0
    assert bind(client, key).status == 201


def test_a_key_of_another_profile_binds_nothing(server):
    """And sounds as one that is not there."""
    key = make(server, profile="other")
    client = server.client()
    foreign = bind(client, key)
    missing = bind(client, key, binding(
        client, {**key, "id": key["id"][:-4] + "AAAA"}))
    assert outcome(foreign) == outcome(missing) == FORBIDDEN
    texts = {r.json["detail"].replace(k, "KID") for r, k in (
        (foreign, key["id"]), (missing, key["id"][:-4] + "AAAA"))}
    assert len(texts) == 1
    assert bind(server.client(profile="other"), key).status == 201


def test_a_binding_is_checked_where_none_is_required(server):
    key = make(server, profile="free")
    client = server.client(profile="free")
    response = bind(client, key, binding(client, key, secret=b"x" * 64))
    assert outcome(response) == FORBIDDEN
    assert bind(client, key).status == 201
    assert server.client(profile="free").register().status == 201


def test_a_key_is_good_as_often_as_it_says(server):
    key = make(server, max_uses=2)
    for _ in range(2):
        assert bind(server.client(), key).status == 201
    client = server.client()
    assert outcome(bind(client, key)) == FORBIDDEN
    assert "used" in bind(client, key).json["detail"]
    document = show(server, key)
    assert (document["used"], document["status"]) == (2, "used")
    assert len(document["accounts"]) == 2


def test_once_unless_more_is_said(server):
    key = make(server)
    assert key["max_uses"] == 1
    assert bind(server.client(), key).status == 201
    assert outcome(bind(server.client(), key)) == FORBIDDEN


def test_uses_at_once_are_counted_right(server):
    """Ten clients at once, and three uses: three accounts."""
    key = make(server, max_uses=3)
    calls = []
    for _ in range(10):
        client = server.client()
        body = client.sign(
            client.directory["newAccount"],
            {"externalAccountBinding": binding(client, key)})
        calls.append((lambda c, b: lambda: c.send(
            c.directory["newAccount"], body=b))(client, body))
    answers = acme.at_once(calls)
    assert sorted(a.status for a in answers) == [201] * 3 + [403] * 7
    assert show(server, key)["used"] == 3


def test_one_account_asked_for_at_once_uses_it_once(server):
    key = make(server, max_uses=1)
    client = server.client()
    url = client.directory["newAccount"]
    calls = []
    for _ in range(6):
        twin = client.twin()
        body = twin.sign(url, {
            "externalAccountBinding": binding(client, key)})
        calls.append((lambda c, b: lambda: c.send(url, body=b))(twin, body))
    answers = acme.at_once(calls)
    assert sorted(a.status for a in answers) == [200] * 5 + [201]
    assert len({a.header("Location") for a in answers}) == 1
    assert show(server, key)["used"] == 1


def test_a_key_runs_out(server):
    soon = datetime.datetime.now(datetime.timezone.utc)
    soon += datetime.timedelta(seconds=2)
    key = make(server, max_uses=0, expires=soon.isoformat())
    assert bind(server.client(), key).status == 201
    servers.wait_for(
        lambda: show(server, key)["status"] == "expired", 10, "its end")
    client = server.client()
    assert outcome(bind(client, key)) == FORBIDDEN
    assert "expired" in bind(client, key).json["detail"]


@pytest.mark.parametrize("accounts", [False, True])
def test_a_revoked_key_binds_nothing_more(server, accounts):
    key = make(server, max_uses=0)
    client = server.client()
    assert bind(client, key).status == 201
    body = {"accounts": True} if accounts else None
    status, document = server.admin(
        "POST", f"/eab-keys/{key['id']}/revoke", body)
    assert (status, document["status"]) == (200, "revoked")
    assert document["accounts_revoked"] == int(accounts)
    assert outcome(bind(server.client(), key)) == FORBIDDEN
    response = client.send(client.kid, None)
    assert response.status == (401 if accounts else 200)
    status, document = server.admin(
        "POST", f"/eab-keys/{key['id']}/revoke")
    assert status == 409
    assert show(server, key)["revoked"]


def test_names_that_a_key_allows(server):
    key = make(server, max_uses=0, identifiers=[
        "Team.Example.org", "10.1.0.0/16", "2001:db8::1"])
    assert key["identifiers"] == ["team.example.org", "10.1.0.0/16",
                                  "2001:db8::1"]
    client = server.client()
    assert bind(client, key).status == 201
    for good in ("team.example.org", "a.b.team.example.org",
                 "*.team.example.org", "10.1.255.1", "2001:db8::1"):
        assert client.order([good]).status == "ready", good
    url = client.directory["newOrder"]
    for bad in ("example.org", "xteam.example.org", "team.example.org.com",
                "*.example.org", "10.2.0.1", "2001:db8::2", "b.org"):
        response = client.send(url, {
            "identifiers": acme.identifiers(["team.example.org", bad])})
        assert outcome(response) == (400, "rejectedIdentifier"), bad
        assert bad in response.json["detail"]
    # the same from a process that has nothing in its memory
    server.restart()
    client.nonces.clear()
    response = client.send(url, {
        "identifiers": acme.identifiers(["b.org"])})
    assert outcome(response) == (400, "rejectedIdentifier")
    assert client.order(["team.example.org"]).status == "ready"


def test_an_allowance_does_not_widen_the_profile(server):
    key = make(server, profile="free", identifiers=["b.org", "example.org"])
    client = server.client(profile="free")
    assert bind(client, key).status == 201
    response = client.send(client.directory["newOrder"], {
        "identifiers": acme.identifiers(["www.b.org"])})
    assert outcome(response) == (400, "rejectedIdentifier")
    assert client.order(["www.example.org"]).status == "ready"


def test_it_is_written_down(server, key):
    client = server.client()
    bind(client, key)
    account = client.kid.rpartition("/")[2]
    rows = server.store.query(
        "SELECT detail FROM audit WHERE action = 'account.create' "
        f"AND object = '{account}'")
    assert json.loads(rows[0][0]) == {"eab_key": key["id"]}
    rows = server.store.query(
        "SELECT actor FROM audit WHERE action = 'eab.create' "
        f"AND object = '{key['id']}'")
    assert rows[0][0].startswith("admin:")


# ---- the admin API

def test_a_key_is_shown_once_and_lies_sealed(server):
    key = make(server)
    assert len(unb64(key["key"])) == 64
    assert "key" not in show(server, key)
    rows = server.store.query(
        f"SELECT sealed FROM eab_keys WHERE id = '{key['id']}'")
    assert unb64(key["key"]) not in rows[0][0]
    raw = unb64(key["key"])
    assert raw[:16] not in rows[0][0]
    assert key["key"] not in server.log()


def test_a_sealed_key_is_good_in_its_row_only(server):
    """Who can write the store cannot make one key do for another."""
    one, two = make(server, max_uses=0), make(server, max_uses=0)
    server.store.execute(
        "UPDATE eab_keys SET sealed = (SELECT sealed FROM eab_keys WHERE "
        f"id = '{one['id']}') WHERE id = '{two['id']}'")
    client = server.client()
    response = bind(client, two, binding(
        client, {"id": two["id"], "key": one["key"]}))
    assert outcome(response) == (500, "serverInternal")
    assert "seal" not in response.json["detail"]


@pytest.mark.parametrize("body", [
    {}, {"name": ""}, {"name": 1}, {"name": "x" * 201},
    {"name": "a", "profile": "nobody"}, {"name": "a", "profile": 1},
    {"name": "a", "max_uses": -1}, {"name": "a", "max_uses": "1"},
    {"name": "a", "max_uses": 1.5}, {"name": "a", "max_uses": 10 ** 10},
    {"name": "a", "expires": "tomorrow"}, {"name": "a", "expires": 1},
    {"name": "a", "expires": "2001-01-01T00:00:00Z"},
    {"name": "a", "identifiers": "example.org"},
    {"name": "a", "identifiers": [""]}, {"name": "a", "identifiers": [1]},
    {"name": "a", "identifiers": ["*.example.org"]},
    {"name": "a", "identifiers": ["10.0.0.1/8"]},
    {"name": "a", "identifiers": ["a b"]},
    {"name": "a", "identifiers": ["example.org"] * 201},
    {"name": "a", "identifiers": ["x" * 60 + f".{i}.org"
                                  for i in range(100)]},
    {"name": "a", "key": "mine"},
], ids=lambda body: str(body)[:50])
def test_keys_that_cannot_be_made(server, body):
    status, document = server.admin("POST", "/eab-keys", body)
    assert status == 400, document
    assert document["type"].endswith("badParameter")
    assert document["detail"]


def test_keys_are_listed(new_server):
    server = new_server(profiles=PROFILES).start()
    keys = [make(server, name=f"n{i}", max_uses=0,
                 profile="other" if i % 2 else "default")
            for i in range(7)]
    server.admin("POST", f"/eab-keys/{keys[0]['id']}/revoke")

    def listed(query):
        status, document = server.admin("GET", f"/eab-keys{query}")
        assert status == 200, document
        return [k["name"] for k in document["items"]], document["next"]
    assert listed("") == ([f"n{i}" for i in reversed(range(7))], None)
    assert listed("?profile=other")[0] == ["n5", "n3", "n1"]
    assert listed("?status=revoked")[0] == ["n0"]
    assert listed("?status=used")[0] == []
    names, cursor = listed("?limit=4")
    assert names == ["n6", "n5", "n4", "n3"]
    assert listed(f"?limit=4&cursor={cursor}") == (["n2", "n1", "n0"], None)
    assert server.admin("GET", "/eab-keys?status=old")[0] == 400


def test_keys_that_are_not_there(server):
    for method, path in (("GET", ""), ("POST", "/revoke")):
        for kid in ("x", "A" * 30, "6aiho6bgZZpp7CrUqVtpXtzbkBFnqQ"):
            status, document = server.admin(method, f"/eab-keys/{kid}{path}")
            assert status == 404, document


def test_certloopctl_makes_lists_shows_and_revokes_keys(new_server):
    server = new_server(profiles=PROFILES).start()

    def ctl(*words, code=0):
        done = server.ctl(*words)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    made = json.loads(ctl("--json", "eab", "add", "team a", "--uses", "2",
                          "--expires", "36h", "--allow",
                          "a.example.org, 10.0.0.0/8"))
    assert made["max_uses"] == 2
    assert made["identifiers"] == ["a.example.org", "10.0.0.0/8"]
    end = datetime.datetime.fromisoformat(made["expires"])
    left = end - datetime.datetime.now(datetime.timezone.utc)
    assert 35.9 < left.total_seconds() / 3600 < 36.1
    client = server.client()
    assert bind(client, made).status == 201
    shown = ctl("eab", "show", made["id"])
    assert client.kid.rpartition("/")[2] in shown
    assert made["key"] not in shown
    text = ctl("eab", "add", "team b", "--profile", "other")
    assert "HMAC key" in text and "only now" in text
    listed = ctl("eab", "list")
    assert "team a" in listed and "team b" in listed
    assert "team a" not in ctl("eab", "list", "--profile", "other")
    assert "accounts revoked: 1" in ctl("eab", "revoke", made["id"],
                                        "--accounts")
    assert client.send(client.kid, None).status == 401
    assert "revoked already" in ctl("eab", "revoke", made["id"], code=1)
    assert "profile" in ctl("eab", "add", "x", "--profile", "no", code=1)
    assert "number" in ctl("eab", "add", "x", "--uses", "many", code=2)
    ctl("eab", "show", "x", code=4)


# ---- the configuration

def test_eab_closes_a_profile_that_trusts(new_server, tmp_path):
    """Reachable by others, no list of names: only with a binding."""
    server = new_server()
    for required, code in (("true", 0), ("false", 3)):
        text = server.config().replace(
            server.profiles, f"""
profile default {{
  issuer = local
  eab_required = {required}
}}
""").replace('public_url = "https://localhost',
             'public_url = "https://ca.example.org')
        server.write_config(text)
        done = server.run("-t", "-c", server.file)
        assert done.returncode == code, done.stdout
        if code:
            assert "eab_required" in done.stdout
