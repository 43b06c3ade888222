# SPDX-License-Identifier: ISC
"""Challenge mode: RFC 8555 sections 7.1.6, 7.5 and 8, RFC 8737, RFC 8738,
against name, web and TLS servers of the test."""

import ssl
import threading
import time

import acme
import challenges
import fleet
import pytest
import servers
import x509
from challenges import key_authorization, txt_value
from servers import wait_for


class Peers:
    """What a client would run beside itself."""

    def __init__(self, folder):
        self.dns = challenges.Dns(folder / "dns")
        self.http = challenges.Http(folder / "http")
        self.tls = challenges.Alpn(folder / "tls")

    def profile(self, more="", timeout="3s", name="default"):
        return f"""
profile {name} {{
  issuer = local
  auth_mode = challenge
  resolvers = {{ "{self.dns.resolver()}" }}
  validation_allow = {{ "127.0.0.0/8", "::1" }}
  http_port = {self.http.port}
  https_port = {self.tls.port}
  tls_port = {self.tls.port}
  validation_timeout = {timeout}
  {more}
}}
"""

    def close(self):
        self.dns.close()
        self.http.close()
        self.tls.close()


@pytest.fixture(scope="module")
def peers(tmp_path_factory):
    made = Peers(tmp_path_factory.mktemp("peers"))
    yield made
    made.close()


NO_LIMITS = servers.Certloopd.NO_LIMITS + """
  challenge_response_per_challenge = 0
  failed_validation_per_name = 0
"""


@pytest.fixture(scope="module")
def validating(build, engine, new_store, tmp_path_factory, peers):
    """A server that validates, shared by this module; `patient` takes its
    time for it."""
    daemon = servers.Certloopd(
        build, tmp_path_factory.mktemp(f"validating-{engine}"),
        store=new_store(engine), profiles=peers.profile()
        + peers.profile(timeout="60s", name="patient"),
        limits=NO_LIMITS, top='recovery_interval = 1s')
    daemon.start()
    yield daemon
    daemon.remove()


@pytest.fixture
def client(validating):
    one = validating.client()
    one.register()
    return one


def challenge_of(authz, kind):
    return [c for c in authz["challenges"] if c["type"] == kind][0]


def wait_authz(client, url, seconds=30):
    def final():
        authz = client.post(url).json
        return authz["status"] != "pending" and authz
    return wait_for(final, seconds, "the end of an authorization", 0.05)


def order_one(client, name, kind="http-01"):
    """A new order of one name: (order, URL of its authz, challenge)."""
    order = client.order([name])
    url = order["authorizations"][0]
    authz = client.post(url).json
    assert authz["status"] == "pending"
    return order, url, challenge_of(authz, kind)


def finish(client, order):
    client.refresh(order)
    assert order.status == "ready", order.body
    names = [i["value"] for i in order["identifiers"]]
    client.finalize(order, x509.make_csr(names, x509.new_key()))
    return client.download(order)


def fail(client, name, kind="http-01"):
    """Respond to what cannot be met; the problem of the challenge."""
    order, url, challenge = order_one(client, name, kind)
    client.post(challenge["url"], {})
    authz = wait_authz(client, url)
    assert authz["status"] == "invalid"
    assert [c["type"] for c in authz["challenges"]] == [kind]
    challenge = authz["challenges"][0]
    assert challenge["status"] == "invalid"
    client.refresh(order)
    assert order.status == "invalid"
    assert order["error"]["type"] == challenge["error"]["type"]
    assert order["error"]["subproblems"][0]["identifier"]["value"] == name
    return challenge["error"]


def kind_of(problem):
    return problem["type"].rpartition(":")[2]


# ---- http-01

def test_http_01_from_order_to_certificate(client, peers):
    order, url, challenge = order_one(client, "http.example.org")
    assert challenge["status"] == "pending"
    peers.http.put(client, challenge["token"])
    answer = client.post(challenge["url"], {})
    assert answer.json["status"] == "processing"
    assert int(answer.header("Retry-After")) >= 1
    assert url in answer.header("Link") + str(answer.headers("Link"))
    authz = wait_authz(client, url)
    assert authz["status"] == "valid"
    assert authz["challenges"][0]["status"] == "valid"
    assert authz["challenges"][0]["validated"]
    assert "error" not in authz["challenges"][0]
    assert authz["expires"]
    finish(client, order)


def test_tokens_are_random_base64url(client):
    """RFC 8555 section 8.1: 128 bits or more."""
    tokens = []
    order = client.order([f"t{i}.token.example.org" for i in range(8)])
    for url in order["authorizations"]:
        tokens += [c["token"] for c in client.post(url).json["challenges"]]
    assert len(set(tokens)) == len(tokens) == 24
    for token in tokens:
        assert len(acme.jose.unb64(token)) >= 16
        assert "=" not in token


@pytest.mark.parametrize("end", ["", "\n", " \t\r\n\n"])
def test_white_space_behind_the_key_authorization_is_fine(client, peers, end):
    order, url, challenge = order_one(client, f"white{len(end)}.example.org")
    text = key_authorization(client, challenge["token"])
    peers.http.put(client, challenge["token"], text + end)
    client.post(challenge["url"], {})
    assert wait_authz(client, url)["status"] == "valid"


def page(peers, client, name, *answer):
    """The token's page is this one; the problem of the validation."""
    order, url, challenge = order_one(client, name)
    path = f"/.well-known/acme-challenge/{challenge['token']}"
    text = key_authorization(client, challenge["token"])
    peers.http.pages[path] = answer[0] if callable(answer[0]) else answer
    peers.http.put(client, "the-" + name, text)
    client.post(challenge["url"], {})
    authz = wait_authz(client, url)
    return authz["status"], authz["challenges"][0].get("error")


def test_redirects_are_followed(client, peers):
    status, _ = page(
        peers, client, "moved.example.org", 301,
        {"Location": f"http://other.example.org:{peers.http.port}/x"
                     "/the-moved.example.org"}, b"")
    assert status == "valid"
    assert (f"other.example.org:{peers.http.port}",
            "/x/the-moved.example.org") in peers.http.asked


@pytest.mark.parametrize("target, kind, says", [
    ("http://other.example.org:{port}/loop", "connection", "too many"),
    ("http://other.example.org:1/", "unauthorized", "that port"),
    ("http://{host6}:{port}/", "unauthorized", "an address like that"),
    ("http://169.254.169.254:{port}/latest", "unauthorized",
     "an address like that"),
    ("http://meta.example.org:{port}/latest", "unauthorized",
     "an address like that"),
    ("ftp://other.example.org/", "incorrectResponse", "neither http"),
    ("http://user:word@other.example.org:{port}/", "incorrectResponse",
     "malformed"),
])
def test_redirects_lead_only_where_they_may(client, peers, target, kind,
                                            says):
    peers.dns.set("meta.example.org", "A", "169.254.169.254")
    location = target.format(port=peers.http.port, host6="[fe80::1]")
    peers.http.pages["/loop"] = (302, {"Location": "/loop"}, b"")
    status, problem = page(peers, client, "redirects.example.org", 302,
                           {"Location": location}, b"")
    assert status == "invalid"
    assert kind_of(problem) == kind
    assert says in problem["detail"]
    assert "169.254" not in str(problem)


@pytest.mark.parametrize("answer, kind, says", [
    ((404, {}, b"no"), "incorrectResponse", "404"),
    ((500, {}, b"no"), "incorrectResponse", "500"),
    ((200, {}, b"x" * 20000), "incorrectResponse", "too large"),
    ((200, {}, b""), "incorrectResponse", "key authorization"),
])
def test_answers_that_will_not_do(client, peers, answer, kind, says):
    status, problem = page(peers, client, "answers.example.org", *answer)
    assert (status, kind_of(problem)) == ("invalid", kind)
    assert says in problem["detail"]


def test_a_target_that_hangs_up(client, peers):
    status, problem = page(peers, client, "hangup.example.org",
                           lambda handler: handler.connection.close())
    assert (status, kind_of(problem)) == ("invalid", "connection")


def test_a_drip_does_not_hold_a_validation(client, peers):
    def drip(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
        for _ in range(100):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.2)
    begin = time.monotonic()
    status, problem = page(peers, client, "drip.example.org", drip)
    assert (status, kind_of(problem)) == ("invalid", "connection")
    assert time.monotonic() - begin < 15


def test_nobody_listens(client, peers):
    peers.dns.set("nobody.example.org", "A", "127.0.0.77")
    problem = fail(client, "nobody.example.org")
    assert kind_of(problem) == "connection"
    assert "connecting to nobody.example.org" in problem["detail"]
    assert "127.0.0" not in str(problem)


@pytest.mark.parametrize("address", [
    "169.254.169.254", "224.0.0.1", "0.0.0.0", "255.255.255.255"])
def test_names_of_addresses_that_are_never_connected_to(client, peers,
                                                        address):
    peers.dns.set("never.example.org", "A", address)
    problem = fail(client, "never.example.org")
    assert kind_of(problem) == "unauthorized"
    assert address not in str(problem)


@pytest.mark.parametrize("mode", ["servfail", "refused", "nxdomain",
                                  "truncate"])
def test_lookups_that_fail(client, peers, mode):
    name = f"{mode}.example.org"
    peers.dns.modes[name] = mode
    problem = fail(client, name)
    assert kind_of(problem) == "dns"
    assert "looking up" in problem["detail"]


def test_failed_queries_are_told_while_it_goes_on(client, peers):
    """RFC 8555 section 8.2: error and Retry-After, and the status stays
    processing; what comes up in time is found."""
    order, url, challenge = order_one(client, "late.example.org")
    client.post(challenge["url"], {})
    answer = wait_for(
        lambda: (r := client.post(challenge["url"])).json.get("error") and r,
        10, "an error", 0.02)
    assert answer.json["status"] == "processing"
    assert kind_of(answer.json["error"]) == "incorrectResponse"
    assert int(answer.header("Retry-After")) >= 1
    peers.http.put(client, challenge["token"])
    authz = wait_authz(client, url)
    assert authz["status"] == "valid"
    assert "error" not in authz["challenges"][0]


# ---- dns-01

def put_txt(peers, client, name, token):
    peers.dns.set(f"_acme-challenge.{name}", "TXT",
                  txt_value(key_authorization(client, token)))


@pytest.mark.parametrize("name", ["dns.example.org", "*.wild.example.org"])
def test_dns_01_from_order_to_certificate(client, peers, name):
    order, url, challenge = order_one(client, name, "dns-01")
    authz = client.post(url).json
    plain = name.removeprefix("*.")
    assert authz["identifier"]["value"] == plain
    assert authz.get("wildcard", False) == (plain != name)
    if plain != name:
        assert [c["type"] for c in authz["challenges"]] == ["dns-01"]
    put_txt(peers, client, plain, challenge["token"])
    client.post(challenge["url"], {})
    assert wait_authz(client, url)["status"] == "valid"
    finish(client, order)


def test_dns_01_one_of_many_records_behind_cnames(client, peers):
    order, url, challenge = order_one(client, "c.example.org", "dns-01")
    text = txt_value(key_authorization(client, challenge["token"]))
    peers.dns.set("_acme-challenge.c.example.org", "CNAME", "one.example.net")
    peers.dns.set("one.example.net", "CNAME", "two.example.net")
    peers.dns.set("two.example.net", "TXT", "another", "x" * 300, text)
    client.post(challenge["url"], {})
    assert wait_authz(client, url)["status"] == "valid"


def test_dns_01_too_many_cnames(client, peers):
    for i in range(14):
        peers.dns.set("_acme-challenge.deep.example.org" if i == 0 else
                      f"n{i}.example.net", "CNAME", f"n{i + 1}.example.net")
    assert kind_of(fail(client, "deep.example.org", "dns-01")) == "dns"


def test_dns_01_wrong_and_missing_records(client, peers):
    peers.dns.set("_acme-challenge.bad.example.org", "TXT", "wrong")
    problem = fail(client, "bad.example.org", "dns-01")
    assert kind_of(problem) == "incorrectResponse"
    assert "wrong" not in problem["detail"]
    problem = fail(client, "none.example.org", "dns-01")
    assert kind_of(problem) == "incorrectResponse"
    peers.dns.modes["_acme-challenge.broken.example.org"] = "servfail"
    problem = fail(client, "broken.example.org", "dns-01")
    assert kind_of(problem) == "dns"


def test_dns_01_a_record_that_comes_late_is_seen(client, peers):
    """That there was none is not remembered."""
    order, url, challenge = order_one(client, "soon.example.org", "dns-01")
    client.post(challenge["url"], {})
    wait_for(lambda: client.post(challenge["url"]).json.get("error"), 10,
             "an error", 0.02)
    put_txt(peers, client, "soon.example.org", challenge["token"])
    assert wait_authz(client, url)["status"] == "valid"


# ---- tls-alpn-01

def test_tls_alpn_01_from_order_to_certificate(client, peers):
    """Of the protocols that the peer knows, no other one is offered."""
    name = "alpn.example.org"
    order, url, challenge = order_one(client, name, "tls-alpn-01")
    peers.tls.put(name, [name], key_authorization(client, challenge["token"]))
    peers.tls.protocols = ["h2", "http/1.1", "acme-tls/1"]
    try:
        client.post(challenge["url"], {})
        assert wait_authz(client, url)["status"] == "valid"
    finally:
        peers.tls.protocols = ["acme-tls/1"]
    assert name in peers.tls.names
    assert set(peers.tls.after) <= {b""}
    finish(client, order)


def test_tls_alpn_01_case_is_not_compared(client, peers):
    name = "case.example.org"
    order, url, challenge = order_one(client, name, "tls-alpn-01")
    peers.tls.put(name, [name.upper()],
                  key_authorization(client, challenge["token"]))
    client.post(challenge["url"], {})
    assert wait_authz(client, url)["status"] == "valid"


@pytest.mark.parametrize("protocols, maximum", [
    (["http/1.1"], None), (None, None),
    (["acme-tls/1"], ssl.TLSVersion.TLSv1_1)],
    ids=["another protocol", "no protocol", "TLS 1.1"])
def test_tls_alpn_01_handshakes_that_will_not_do(client, peers, protocols,
                                                 maximum):
    name = "shake.example.org"
    order, url, challenge = order_one(client, name, "tls-alpn-01")
    peers.tls.put(name, [name], key_authorization(client, challenge["token"]))
    peers.tls.protocols, peers.tls.maximum = protocols, maximum
    try:
        client.post(challenge["url"], {})
        authz = wait_authz(client, url)
    finally:
        peers.tls.protocols, peers.tls.maximum = ["acme-tls/1"], None
    assert authz["status"] == "invalid"
    problem = authz["challenges"][0]["error"]
    assert kind_of(problem) == "tls"
    assert "shaking hands" in problem["detail"]


@pytest.mark.parametrize("why, names, text, how, kind", [
    ("another name", ["other.example.org"], None, {}, "incorrectResponse"),
    ("one more name", ["{}", "b.example.org"], None, {}, "incorrectResponse"),
    ("an address too", ["{}", "127.0.0.1"], None, {}, "incorrectResponse"),
    ("another digest", ["{}"], "wrong", {}, "incorrectResponse"),
    ("not critical", ["{}"], None, {"critical": False}, "incorrectResponse"),
    ("no extension", ["{}"], None, {"critical": None}, "incorrectResponse"),
    ("not self-signed", ["{}"], None, {"issuer": True}, "incorrectResponse"),
])
def test_tls_alpn_01_certificates_that_will_not_do(client, peers, why, names,
                                                   text, how, kind):
    name = f"{why.replace(' ', '-')}.example.org"
    order, url, challenge = order_one(client, name, "tls-alpn-01")
    how = dict(how)
    if how.get("issuer"):
        how["issuer"] = x509.new_key()
    peers.tls.put(name, [n.format(name) for n in names],
                  text or key_authorization(client, challenge["token"]),
                  **how)
    client.post(challenge["url"], {})
    authz = wait_authz(client, url)
    assert authz["status"] == "invalid"
    problem = authz["challenges"][0]["error"]
    assert kind_of(problem) == kind
    assert "certificate" in problem["detail"]


# ---- addresses

def test_an_ip_address_by_http_01(client, peers):
    order, url, challenge = order_one(client, "127.0.0.1")
    assert {c["type"] for c in client.post(url).json["challenges"]} == {
        "http-01", "tls-alpn-01"}
    peers.http.put(client, challenge["token"])
    client.post(challenge["url"], {})
    assert wait_authz(client, url)["status"] == "valid"
    assert peers.http.asked[-1][0] == f"127.0.0.1:{peers.http.port}"
    finish(client, order)


def test_an_ipv6_address_by_http_01(client, peers, tmp_path):
    v6 = challenges.Http(tmp_path / "http6", peers.http.port, "::1")
    try:
        order, url, challenge = order_one(client, "::1")
        v6.put(client, challenge["token"])
        client.post(challenge["url"], {})
        assert wait_authz(client, url)["status"] == "valid"
        assert v6.asked[-1][0] == f"[::1]:{peers.http.port}"
        finish(client, order)
    finally:
        v6.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_ip_address_by_tls_alpn_01(client, peers, tmp_path, address):
    server = peers.tls
    if address == "::1":
        server = challenges.Alpn(tmp_path / "tls6", "::1", peers.tls.port)
    name = challenges.reverse_name(address)
    order, url, challenge = order_one(client, address, "tls-alpn-01")
    server.put(name, [address],
               key_authorization(client, challenge["token"]))
    client.post(challenge["url"], {})
    assert wait_authz(client, url)["status"] == "valid"
    assert name in server.names
    finish(client, order)
    if server is not peers.tls:
        server.close()


def test_an_ip_address_as_a_dns_name_will_not_do(client, peers):
    """Not even the name that the address has in the reverse tree."""
    name = challenges.reverse_name("127.0.0.1")
    order, url, challenge = order_one(client, "127.0.0.1", "tls-alpn-01")
    peers.tls.put(name, [name], key_authorization(client, challenge["token"]))
    client.post(challenge["url"], {})
    authz = wait_authz(client, url)
    assert authz["status"] == "invalid"
    assert kind_of(authz["challenges"][0]["error"]) == "incorrectResponse"


def test_an_ip_address_that_is_never_connected_to(client):
    problem = fail(client, "169.254.169.254")
    assert kind_of(problem) == "unauthorized"


# ---- the states

def test_responses_are_idempotent(client, peers):
    order, url, challenge = order_one(client, "twice.example.org")
    peers.http.put(client, challenge["token"])
    for _ in range(3):
        assert client.post(challenge["url"], {}).json["status"] in (
            "processing", "valid")
    assert wait_authz(client, url)["status"] == "valid"
    again = client.post(challenge["url"], {}).json
    assert again["status"] == "valid"


def test_a_response_has_no_members_that_count(client, peers):
    """RFC 8555 section 7.5.1: the challenges here define none."""
    order, url, challenge = order_one(client, "members.example.org")
    peers.http.put(client, challenge["token"])
    client.post(challenge["url"], {
        "keyAuthorization": "x", "type": "dns-01", "status": "invalid",
        "token": "y", "url": 7})
    authz = wait_authz(client, url)
    assert authz["status"] == "valid"
    assert authz["challenges"][0]["token"] == challenge["token"]


@pytest.mark.parametrize("payload", [b"[]", b"null", b"{", b'"x"'], ids=repr)
def test_what_is_no_response_changes_nothing(client, payload):
    order, url, challenge = order_one(client, "none.example.org")
    answer = client.send(challenge["url"], payload)
    assert (answer.status, answer.problem) == (400, "malformed")
    assert client.post(challenge["url"]).json["status"] == "pending"
    assert client.post(url).json["status"] == "pending"


def test_a_pending_authorization_outlives_a_key_change(client, peers):
    """RFC 8555 section 7.3.5; the key authorization is of the new key."""
    order, url, challenge = order_one(client, "rolled.example.org")
    target, key = client.directory["keyChange"], acme.jose.make_key()
    inner = acme.sign_jws(
        key, {"alg": key.alg, "jwk": key.jwk(), "url": target},
        {"account": client.kid, "oldKey": client.key.jwk()})
    client.post(target, inner)
    client.key = key
    assert client.post(url).json["status"] == "pending"
    peers.http.put(client, challenge["token"])
    client.post(challenge["url"], {})
    assert wait_authz(client, url)["status"] == "valid"
    finish(client, order)


def test_responding_again_queries_at_once(new_server, peers):
    """RFC 8555 section 8.2: the next query would come much later."""
    client = new_server(profiles=peers.profile(timeout="5m"),
                        limits=NO_LIMITS).start().client()
    client.register()
    order, url, challenge = order_one(client, "again.example.org")
    client.post(challenge["url"], {})
    answer = wait_for(
        lambda: (r := client.post(challenge["url"])).json.get("error") and r,
        10, "an error", 0.05)
    assert int(answer.header("Retry-After")) > 10
    peers.http.put(client, challenge["token"])
    client.post(challenge["url"], {})
    assert wait_authz(client, url, 5)["status"] == "valid"


def test_one_challenge_of_an_authorization_at_a_time(client, peers):
    order, url, challenge = order_one(client, "single.example.org")
    other = challenge_of(client.post(url).json, "dns-01")
    client.post(challenge["url"], {})
    answer = client.send(other["url"], {})
    assert (answer.status, answer.problem) == (400, "malformed")
    assert wait_authz(client, url)["status"] == "invalid"
    assert client.send(other["url"], {}).status == 404


def test_an_order_needs_all_of_its_authorizations(client, peers):
    order = client.order(["one.example.org", "two.example.org"])
    for i, url in enumerate(order["authorizations"]):
        challenge = challenge_of(client.post(url).json, "http-01")
        peers.http.put(client, challenge["token"])
        client.post(challenge["url"], {})
        wait_authz(client, url)
        client.refresh(order)
        assert order.status == ("pending", "ready")[i]
    finish(client, order)


def test_fifty_authorizations_that_end_at_once(validating, peers):
    """All of them are asked for and none is answered, then all are: one of
    them makes the order ready, once. A slow machine may see the first ones
    time out and be tried again: they wait for that like the others."""
    client = validating.client(profile="patient")
    client.register()
    names = [f"n{i}.fifty.example.org" for i in range(50)]
    order = client.order(names)
    found = [challenge_of(client.post(url).json, "http-01")
             for url in order["authorizations"]]
    for challenge in found:
        peers.http.put(client, challenge["token"])

    def under_way():
        series = validating.metrics()
        return sum(series[f'certloop_validations_{what}{{type="http-01"}}']
                   for what in ("running", "waiting"))
    wait_for(lambda: under_way() == 0, 60, "what others left")
    peers.http.wait = gate = threading.Event()
    try:
        for challenge in found:
            client.post(challenge["url"], {})
        assert under_way() == 50
        assert client.refresh(order).status == "pending"
    finally:
        peers.http.wait = None
        gate.set()
    client.wait(order, ("ready", "invalid"), 60)
    for url in order["authorizations"]:
        assert client.post(url).json["status"] == "valid"
    assert x509.names_of(
        x509.split_chain(finish(client, order))[0]) == set(names)
    assert validating.store.query(
        "SELECT count(*) FROM certificates WHERE order_id = "
        f"'{order.url.rpartition('/')[2]}'")[0][0] in (1, "1")


def test_a_pending_order_cannot_be_finalized(client):
    order, _, _ = order_one(client, "early.example.org")
    answer = client.send(order["finalize"], {"csr": acme.b64(
        x509.make_csr(["early.example.org"], x509.new_key()))})
    assert (answer.status, answer.problem) == (403, "orderNotReady")


def test_an_identical_pending_order_is_found_again(client):
    first = client.order(["same.example.org"])
    assert client.order(["same.example.org"]).url == first.url


def test_deactivating_an_authorization(client, peers):
    order, url, challenge = order_one(client, "gone.example.org")
    assert client.post(url, {"status": "deactivated"}).json["status"] == \
        "deactivated"
    client.refresh(order)
    assert order.status == "invalid"
    peers.http.put(client, challenge["token"])
    assert client.post(challenge["url"], {}).json["status"] == "pending"
    assert client.post(url).json["status"] == "deactivated"
    answer = client.send(url, {"status": "valid"})
    assert (answer.status, answer.problem) == (400, "malformed")


def test_deactivating_a_valid_authorization_ends_its_order(client, peers):
    order, url, challenge = order_one(client, "was.example.org")
    peers.http.put(client, challenge["token"])
    client.post(challenge["url"], {})
    assert wait_authz(client, url)["status"] == "valid"
    client.post(url, {"status": "deactivated"})
    client.refresh(order)
    assert order.status == "invalid"
    authz = client.post(url).json
    assert authz["status"] == "deactivated"
    assert [c["status"] for c in authz["challenges"]] == ["valid"]


def test_challenges_of_others_are_not_found(validating, client, peers):
    order, url, challenge = order_one(client, "mine.example.org")
    other = validating.client()
    other.register()
    for target in (url, challenge["url"]):
        assert other.send(target).status == 404
    assert other.send(challenge["url"], {}).status == 404
    assert other.send(url, {"status": "deactivated"}).status == 404
    assert client.post(url).json["status"] == "pending"


def test_the_way_of_a_validation_is_audited(validating, client, peers):
    order, url, challenge = order_one(client, "audit.example.org")
    peers.http.put(client, challenge["token"])
    client.post(challenge["url"], {})
    wait_authz(client, url)
    rows = validating.store.query(
        "SELECT action FROM audit WHERE object = "
        f"'{url.rpartition('/')[2]}' ORDER BY at, id")
    assert [row[0] for row in rows] == ["challenge.respond", "authz.valid"]


def test_metrics_of_validations(validating, client, peers):
    before = validating.metrics()
    order, url, challenge = order_one(client, "metric.example.org")
    peers.http.put(client, challenge["token"])
    client.post(challenge["url"], {})
    wait_authz(client, url)
    name = 'certloop_validations_total{type="http-01",outcome="valid"}'
    after = validating.metrics()
    assert after[name] == before.get(name, 0) + 1
    assert after['certloop_validations_running{type="http-01"}'] == 0


# ---- servers of their own

def test_what_a_dead_process_left_is_taken_over(new_server, engine, peers):
    server = new_server(
        engine, profiles=peers.profile(), limits=NO_LIMITS,
        top="recovery_interval = 1s\nlease = 5s").start()
    client = server.client()
    client.register()
    order, url, challenge = order_one(client, "killed.example.org")
    peers.http.put(client, challenge["token"])
    peers.http.wait = threading.Event()
    try:
        client.post(challenge["url"], {})
        path = f"/.well-known/acme-challenge/{challenge['token']}"
        wait_for(lambda: any(p == path for _, p in peers.http.asked))
        server.kill()
    finally:
        peers.http.wait.set()
        peers.http.wait = None
    server.start()
    client.nonces.clear()
    assert client.post(challenge["url"]).json["status"] == "processing"
    assert wait_authz(client, url)["status"] == "valid"
    server.wait_log("taking over a validation")
    finish(client, order)


def test_a_stop_gives_validations_back(new_server, engine, peers):
    server = new_server(
        engine, profiles=peers.profile(timeout="60s"), limits=NO_LIMITS,
        top="recovery_interval = 1s").start()
    client = server.client()
    client.register()
    order, url, challenge = order_one(client, "stopped.example.org")
    client.post(challenge["url"], {})
    wait_for(lambda: client.post(challenge["url"]).json.get("error"))
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 10
    peers.http.put(client, challenge["token"])
    server.start()
    client.nonces.clear()
    assert wait_authz(client, url)["status"] == "valid"
    finish(client, order)


def test_limits_of_responses_and_failures(new_server, peers):
    server = new_server(
        profiles=peers.profile(timeout="1s"),
        limits=servers.Certloopd.NO_LIMITS + """
  challenge_response_per_challenge = "4/1h"
  failed_validation_per_name = "2/1h"
""").start()
    client = server.client()
    client.register()
    for _ in range(2):
        fail(client, "fails.example.org")
    order, url, challenge = order_one(client, "fails.example.org")
    answer = client.send(challenge["url"], {})
    assert (answer.status, answer.problem) == (429, "rateLimited")
    assert int(answer.header("Retry-After")) > 3000
    order, url, challenge = order_one(client, "often.example.org")
    peers.http.put(client, challenge["token"])
    for _ in range(4):
        client.post(challenge["url"], {})
    answer = client.send(challenge["url"], {})
    assert (answer.status, answer.problem) == (429, "rateLimited")
    assert wait_authz(client, url)["status"] == "valid"


def test_valid_authorizations_are_reused_for_a_while(new_server, engine,
                                                     peers):
    server = new_server(engine, profiles=peers.profile("authz_reuse = 1h"),
                        limits=NO_LIMITS).start()
    client = server.client()
    client.register()
    order, url, challenge = order_one(client, "reused.example.org")
    peers.http.put(client, challenge["token"])
    client.post(challenge["url"], {})
    wait_authz(client, url)
    finish(client, order)
    again = client.order(["reused.example.org"])
    assert again["authorizations"] == [url]
    assert again.status == "ready"
    mixed = client.order(["reused.example.org", "fresh.example.org"])
    assert mixed.status == "pending"
    assert mixed["authorizations"][0] == url
    fresh = challenge_of(client.post(mixed["authorizations"][1]).json,
                         "http-01")
    peers.http.put(client, fresh["token"])
    client.post(fresh["url"], {})
    wait_authz(client, mixed["authorizations"][1])
    finish(client, mixed)
    client.post(url, {"status": "deactivated"})
    client.refresh(again)
    assert again.status == "invalid"
    assert client.order(["reused.example.org"]).status == "pending"


def test_challenges_that_a_profile_does_not_offer(new_server, peers):
    server = new_server(profiles=peers.profile(
        "challenges = { http-01 }")).start()
    client = server.client()
    client.register()
    order = client.order(["only.example.org"])
    authz = client.post(order["authorizations"][0]).json
    assert [c["type"] for c in authz["challenges"]] == ["http-01"]
    answer = client.send(client.directory["newOrder"], {
        "identifiers": acme.identifiers(["*.only.example.org"])})
    assert (answer.status, answer.problem) == (400, "rejectedIdentifier")


def test_defaults_never_connect_to_this_machine(new_server, peers):
    profile = peers.profile().replace(
        'validation_allow = { "127.0.0.0/8", "::1" }', "")
    client = new_server(profiles=profile, limits=NO_LIMITS).start().client()
    client.register()
    for name, kind in (("local.example.org", "http-01"),
                       ("local.example.org", "tls-alpn-01"),
                       ("127.0.0.1", "http-01"), ("::1", "http-01"),
                       ("localhost", "http-01")):
        before = len(peers.http.asked)
        assert kind_of(fail(client, name, kind)) == "unauthorized"
        assert len(peers.http.asked) == before


def test_a_resolver_that_will_not_do_stops_the_start(new_server, peers,
                                                     tmp_path):
    anchors = tmp_path / "anchors"
    anchors.write_text("this is no trust anchor\n")
    server = new_server(profiles=peers.profile(
        f'trust_anchors = "{anchors}"'))
    done = server.run("-c", server.file)
    assert done.returncode == 3
    assert str(anchors) in done.stdout


def test_a_wrong_body_is_told_without_showing_it(client, peers):
    order, url, challenge = order_one(client, "wrong.example.org")
    peers.http.put(client, challenge["token"], "the secret of somebody")
    client.post(challenge["url"], {})
    authz = wait_authz(client, url)
    problem = authz["challenges"][0]["error"]
    assert kind_of(problem) == "incorrectResponse"
    assert "secret" not in str(authz)
    assert "reading the body" in problem["detail"]


def test_authorizing_a_name_before_ordering_it(new_server, engine, peers):
    server = new_server(engine, profiles=peers.profile(
        "authz_reuse = 1h\n  new_authz = yes"), limits=NO_LIMITS).start()
    client = server.client()
    client.register()
    target = client.directory["newAuthz"]
    answer = client.post(target, {"identifier": acme.dns("pre.example.org")})
    assert answer.status == 201
    url = answer.header("Location")
    assert answer.json["status"] == "pending"
    challenge = challenge_of(answer.json, "http-01")
    peers.http.put(client, challenge["token"])
    client.post(challenge["url"], {})
    assert wait_authz(client, url)["status"] == "valid"
    order = client.order(["pre.example.org"])
    assert order["authorizations"] == [url]
    finish(client, order)
    for identifier, kind in ((acme.dns("*.pre.example.org"), "malformed"),
                             (acme.dns("a..b"), "rejectedIdentifier"),
                             ("pre.example.org", "malformed")):
        answer = client.send(target, {"identifier": identifier})
        assert (answer.status, answer.problem) == (400, kind)


def test_no_new_authz_where_it_is_not_offered(client):
    assert "newAuthz" not in client.directory
    url = client.directory["newOrder"].replace("new-order", "new-authz")
    answer = client.send(url, {"identifier": acme.dns("a.example.org")})
    assert answer.status == 404


def test_a_deactivated_account_is_authorized_for_nothing(validating, client,
                                                         peers):
    order, url, challenge = order_one(client, "bye.example.org")
    peers.http.put(client, challenge["token"])
    peers.http.wait = threading.Event()
    try:
        client.post(challenge["url"], {})
        client.post(client.kid, {"status": "deactivated"})
    finally:
        peers.http.wait.set()
        peers.http.wait = None
    validating.wait_log(f"authz={url.rpartition('/')[2]}.*result=lost")
    rows = validating.store.query(
        "SELECT o.status, z.status FROM orders o JOIN authorizations z ON "
        f"z.order_id = o.id WHERE z.id = '{url.rpartition('/')[2]}'")
    assert rows == [("invalid", "pending")]


# ---- CAA

@pytest.fixture(scope="module")
def caa_server(build, new_store, tmp_path_factory, peers):
    daemon = servers.Certloopd(
        build, tmp_path_factory.mktemp("caa"), store=new_store("sqlite"),
        profiles=peers.profile("caa = enforce") + """
profile reports {
  issuer = local
  auth_mode = trust_authenticated
  open = true
  caa = report
  resolvers = { "%s" }
}
profile trusts {
  issuer = local
  auth_mode = trust_authenticated
  open = true
  caa = enforce
  resolvers = { "%s" }
}
""" % (peers.dns.resolver(), peers.dns.resolver()),
        limits=NO_LIMITS, top='caa_identities = { "ca.example.org" }')
    daemon.start()
    yield daemon
    daemon.remove()


@pytest.mark.parametrize("number, owner, records, allowed", [
    (1, "{}", ['0 issue "ca.example.org"'], True),
    (2, "{}", ['0 issue "other.example"'], False),
    (3, "{}", ['0 issue ";"'], False),
    (4, "{}", ['0 issue "other.example"', '0 issue " CA.example.org. "'],
     True),
    (5, "example.org", ['0 issue "other.example"'], False),
    (6, "{}", ['0 iodef "mailto:x@example.org"'], True),
    (7, "{}", ['0 unknown "x"', '0 issue "ca.example.org"'], True),
    (8, "{}", ['128 unknown "x"', '0 issue "ca.example.org"'], False),
    (9, "{}", ['0 issuewild "other.example"'], True),
    (10, "{}", ['0 issue "ca.example.org; validationmethods=dns-01"'], False),
    (11, "{}",
     ['0 issue "ca.example.org; validationmethods=dns-01,http-01"'], True),
    (12, "{}", ['0 issue "ca.example.org; accounturi=https://x/1"'], False),
    (13, "{}", ['0 issue "ca.example.org; accounturi=ACCOUNT"'], True),
    (14, "{}", ['0 issue "ca.example.org; broken"'], False),
    (15, "{}", [], True),
])
def test_caa_records(caa_server, peers, number, owner, records, allowed):
    client = caa_server.client()
    client.register()
    name = f"caa{number}.example.org"
    owner = owner.format(name)
    peers.dns.set(owner, "CAA",
                  *[r.replace("ACCOUNT", client.kid) for r in records])
    try:
        order, url, challenge = order_one(client, name)
        peers.http.put(client, challenge["token"])
        client.post(challenge["url"], {})
        authz = wait_authz(client, url)
    finally:
        peers.dns.clear(owner, "CAA")
    if allowed:
        assert authz["status"] == "valid"
        finish(client, order)
    else:
        assert authz["status"] == "invalid"
        assert kind_of(authz["challenges"][0]["error"]) == "caa"
        assert owner in authz["challenges"][0]["error"]["detail"]


@pytest.mark.parametrize("mode", ["servfail", "truncate", "refused"])
def test_what_cannot_be_looked_up_permits_nothing(caa_server, peers, mode):
    client = caa_server.client()
    client.register()
    name = f"caa-{mode}.example.org"
    peers.dns.modes[name, "CAA"] = mode
    order, url, challenge = order_one(client, name)
    peers.http.put(client, challenge["token"])
    client.post(challenge["url"], {})
    authz = wait_authz(client, url, 60)
    assert authz["status"] == "invalid"
    assert kind_of(authz["challenges"][0]["error"]) == "dns"
    assert "CAA" in authz["challenges"][0]["error"]["detail"]


def test_caa_for_wildcards(caa_server, peers):
    client = caa_server.client()
    client.register()
    for label, wild, allowed in (("w1", "ca.example.org", True),
                                 ("w2", "other.example", False)):
        name = f"{label}.example.org"
        peers.dns.set(name, "CAA", f'0 issuewild "{wild}"',
                      '0 issue "other.example"')
        order, url, challenge = order_one(client, f"*.{name}", "dns-01")
        put_txt(peers, client, name, challenge["token"])
        client.post(challenge["url"], {})
        authz = wait_authz(client, url)
        assert authz["status"] == ("valid" if allowed else "invalid")


def test_caa_is_asked_at_finalize_where_accounts_are_trusted(caa_server,
                                                             peers):
    peers.dns.set("trusted.example.org", "CAA", '0 issue "other.example"')
    key = x509.new_key()
    names = ["fine.example.org", "trusted.example.org"]
    for profile, status in (("trusts", 403), ("reports", 200)):
        client = caa_server.client(profile=profile)
        client.register()
        order = client.order(names)
        answer = client.send(order["finalize"], {"csr": acme.b64(
            x509.make_csr(names, key))})
        assert answer.status == status
        if status == 403:
            assert answer.problem == "caa"
            client.refresh(order)
            assert order.status == "ready"
    caa_server.wait_log("msg=CAA .*profile=reports.*enforced=false")


def test_caa_is_asked_again_after_eight_hours(caa_server, peers):
    client = caa_server.client()
    client.register()
    name = "later.example.org"
    order, url, challenge = order_one(client, name)
    peers.http.put(client, challenge["token"])
    client.post(challenge["url"], {})
    assert wait_authz(client, url)["status"] == "valid"
    peers.dns.set(name, "CAA", '0 issue ";"')
    before = len(peers.dns.asked)
    caa_server.store.execute(
        "UPDATE authorizations SET caa_checked = caa_checked - "
        f"28801000000 WHERE id = '{url.rpartition('/')[2]}'")
    answer = client.send(order["finalize"], {"csr": acme.b64(
        x509.make_csr([name], x509.new_key()))})
    assert (answer.status, answer.problem) == (403, "caa")
    assert (name, "CAA") in peers.dns.asked[before:]
    peers.dns.clear(name, "CAA")
    finish(client, order)


def test_caa_is_not_asked_again_before(caa_server, peers):
    client = caa_server.client()
    client.register()
    name = "sooner.example.org"
    order, url, challenge = order_one(client, name)
    peers.http.put(client, challenge["token"])
    client.post(challenge["url"], {})
    assert wait_authz(client, url)["status"] == "valid"
    peers.dns.set(name, "CAA", '0 issue ";"')
    finish(client, order)


# ---- replicas

FLEET = "recovery_interval = 1s\nlease = 5s"


def test_another_replica_goes_on_where_one_died(replicas, peers):
    members = replicas(profiles=peers.profile(), with_redis=False,
                       limits=NO_LIMITS, top=FLEET)
    client = fleet.client_of(members)
    client.register()
    order, url, challenge = order_one(client, "moves.example.org")
    peers.http.put(client, challenge["token"])
    peers.http.wait = threading.Event()
    try:
        client.post(challenge["url"], {})
        series = 'certloop_validations_running{type="http-01"}'
        busy = wait_for(lambda: [m for m in members
                                 if m.metrics().get(series)])
        assert len(busy) == 1
        busy[0].kill()
    finally:
        peers.http.wait.set()
        peers.http.wait = None
    left = [m for m in members if m is not busy[0]]
    other = fleet.client_of(left, key=client.key)
    other.kid = client.kid
    assert wait_authz(other, url)["status"] == "valid"
    assert sum(m.metrics()["certloop_resumed_validations_total"]
               for m in left) == 1
    finish(other, order)


def test_replicas_agree_on_one_attempt(replicas, peers):
    members = replicas(profiles=peers.profile(), with_redis=False,
                       limits=NO_LIMITS, top=FLEET)
    first = fleet.client_of(members)
    first.register()
    twins = []
    for member in members * 2:
        twin = fleet.client_of([member], key=first.key)
        twin.kid = first.kid
        twin.nonces.append(twin.nonce())
        twins.append(twin)
    order, url, challenge = order_one(first, "once.example.org")
    peers.http.put(first, challenge["token"])
    answers = acme.at_once([
        lambda twin=twin: twin.post(challenge["url"], {}) for twin in twins])
    assert all(a.json["status"] in ("processing", "valid") for a in answers)
    assert wait_authz(first, url)["status"] == "valid"
    rows = members[0].store.query("SELECT attempt FROM authorizations "
                                  f"WHERE id = '{url.rpartition('/')[2]}'")
    assert rows == [("1",)]
    path = f"/.well-known/acme-challenge/{challenge['token']}"
    assert [p for _, p in peers.http.asked].count(path) == 1
    finish(first, order)
