# SPDX-License-Identifier: ISC
"""Orders and authorizations that are valid from birth: RFC 8555 section 7.4
and 7.5, and who may see them."""

import datetime
import functools
import secrets
import urllib.parse

import pytest

import acme
import servers
from acme import Refused, dns, ip


def fresh(count=1):
    """Names that no order had before."""
    names = [f"{secrets.token_hex(6)}.example.org" for _ in range(count)]
    return names


@pytest.fixture(scope="module")
def client(server):
    one = server.client()
    one.register()
    return one


def refusal(client, identifiers, **members):
    members["identifiers"] = identifiers
    response = client.send(client.directory["newOrder"], members)
    assert response.is_problem, response
    return response


def when(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


# ---- making orders

def test_an_order_is_born_ready(server, client):
    names = fresh(2)
    before = datetime.datetime.now(datetime.timezone.utc)
    response = client.post(client.directory["newOrder"],
                           {"identifiers": acme.identifiers(names)})
    assert response.status == 201
    url, order = response.header("Location"), response.json
    assert url.startswith(server.profile_url() + "/")
    assert order["status"] == "ready"
    values = {(i["type"], i["value"]) for i in order["identifiers"]}
    assert values == {("dns", name) for name in names}
    assert len(set(order["authorizations"])) == 2
    assert "certificate" not in order
    life = when(order["expires"]) - before
    assert datetime.timedelta(minutes=55) < life
    assert life < datetime.timedelta(minutes=65)
    assert client.post(url).json == order


def test_its_authorizations_are_valid(client):
    names = fresh(2)
    order = client.order(names)
    seen = set()
    for url in order["authorizations"]:
        response = client.post(url)
        assert response.status == 200
        authorization = response.json
        assert authorization["status"] == "valid"
        assert authorization["identifier"]["type"] == "dns"
        assert isinstance(authorization["challenges"], list)
        assert "wildcard" not in authorization
        when(authorization["expires"])
        seen.add(authorization["identifier"]["value"])
    assert seen == set(names)


def test_a_wildcard_says_so_in_its_authorization(client):
    name = fresh()[0]
    order = client.order([f"*.{name}", name])
    found = {}
    for url in order["authorizations"]:
        authorization = client.post(url).json
        assert authorization["identifier"]["value"] == name
        found[authorization.get("wildcard", False)] = url
    assert set(found) == {True, False}


def test_an_identical_live_order_is_returned(client):
    names = fresh(2)
    first = client.order(names)
    again = client.order(list(reversed(names)))
    assert again.url == first.url
    assert client.order(names + fresh()).url != first.url
    assert client.order(names[:1]).url != first.url


def test_identical_orders_at_once_are_one_order(client):
    url = client.directory["newOrder"]
    payload = {"identifiers": acme.identifiers(fresh(2))}
    calls = []
    for _ in range(8):
        twin = client.twin()
        calls.append(functools.partial(
            twin.send, url, body=twin.sign(url, payload)))
    answers = acme.at_once(calls)
    assert {a.status for a in answers} <= {200, 201}, answers
    assert len({a.header("Location") for a in answers}) == 1


def test_a_name_given_twice_counts_once(client):
    name = fresh()[0]
    order = client.order([name, name])
    assert order["identifiers"] == [dns(name)]
    assert len(order["authorizations"]) == 1


def test_another_accounts_identical_order_is_not_returned(server, client):
    names = fresh()
    mine = client.order(names)
    other = server.client()
    other.register()
    assert other.order(names).url != mine.url


def test_addresses_can_be_ordered(client):
    order = client.order(["192.0.2.17", "2001:db8::17"])
    assert order["identifiers"] == [ip("192.0.2.17"), ip("2001:db8::17")]


# ---- refusing orders

@pytest.mark.parametrize("payload", [
    {}, {"identifiers": None}, {"identifiers": {}}, {"identifiers": []},
    {"identifiers": "example.org"}, {"identifiers": ["example.org"]},
    {"identifiers": [{}]}, {"identifiers": [{"type": "dns"}]},
    {"identifiers": [{"value": "example.org"}]},
    {"identifiers": [{"type": 1, "value": "example.org"}]},
    {"identifiers": [{"type": "dns", "value": 1}]},
    {"identifiers": [None]}, [], "text", 1, b"null",
], ids=repr)
def test_a_payload_of_another_shape_is_malformed(client, payload):
    response = client.send(client.directory["newOrder"], payload)
    assert (response.status, response.problem) == (400, "malformed")


@pytest.mark.parametrize("name", [
    "under_score.example.org", "-a.example.org", "a-.example.org",
    "a..example.org", ".example.org", "exa mple.org", "example.org:443",
    "http://example.org/", "a" * 64 + ".example.org",
    ".".join(["abcdefgh"] * 29), "", ".", "*", "*.", "**.example.org",
    "a*.example.org", "a.*.example.org", "*.*.example.org",
    "\u00fcmlaut.example.org", "example.org\u0000.evil.example",
    "example.123", "127.0.0.1", "xn--.example.org",
])
def test_what_is_no_dns_name_is_refused(client, name):
    response = refusal(client, [dns(name)])
    assert response.status in (400, 403)
    assert response.problem in ("malformed", "rejectedIdentifier")
    assert response.json["detail"]


@pytest.mark.parametrize("address", [
    "192.0.2", "192.0.2.256", "192.0.2.1/24", "0192.0.2.1", "2001:db8::g",
    "[2001:db8::1]", "fe80::1%eth0", "example.org", "",
])
def test_what_is_no_address_is_refused(client, address):
    response = refusal(client, [ip(address)])
    assert response.status in (400, 403)
    assert response.problem in ("malformed", "rejectedIdentifier")


@pytest.mark.parametrize("kind", ["email", "DNS", "", "permanent-identifier"])
def test_other_kinds_of_identifiers_are_unsupported(client, kind):
    response = refusal(client, [{"type": kind, "value": "a.example.org"}])
    assert (response.status, response.problem) == (
        400, "unsupportedIdentifier")


def test_each_bad_identifier_has_a_subproblem(client):
    """RFC 8555 section 6.7.1."""
    bad = [dns("bad_name.example.org"), {"type": "email", "value": "a@b.c"},
           dns("-x.example.org")]
    response = refusal(client, [dns("good.example.org"), *bad])
    assert response.status in (400, 403)
    subproblems = response.json["subproblems"]
    assert [s["identifier"] for s in subproblems] == bad
    assert "identifier" not in response.json
    for sub in subproblems:
        assert sub["type"].startswith("urn:ietf:params:acme:error:")
        assert sub["detail"]
    assert subproblems[1]["type"].endswith(":unsupportedIdentifier")


POLICY = """
profile default {
  issuer = local
  allowed_suffixes = { "example.org", "example.net" }
  denied_suffixes = { "secret.example.org" }
  allowed_cidrs = { "192.0.2.0/24", "2001:db8::/32" }
  wildcards = no
  max_identifiers = 3
}
"""


@pytest.fixture(scope="module")
def strict(build, tmp_path_factory):
    """A client of a server with an identifier policy."""
    daemon = servers.Certloopd(build, tmp_path_factory.mktemp("strict"),
                               profiles=POLICY)
    daemon.start()
    one = daemon.client()
    one.register()
    yield one
    daemon.remove()


@pytest.mark.parametrize("names", [
    ["example.org"], ["a.b.example.net"], ["192.0.2.255"],
    ["2001:db8:1::1"], ["notsecret.example.org", "example.net", "192.0.2.1"],
])
def test_the_policy_lets_pass_what_it_lists(strict, names):
    assert strict.order(names).status == "ready"


@pytest.mark.parametrize("name", [
    "example.com", "badexample.org", "org", "secret.example.org",
    "x.secret.example.org", "*.example.org", "198.51.100.1", "2001:db9::1",
    "::ffff:192.0.2.1",
])
def test_the_policy_rejects_the_rest(strict, name):
    response = refusal(strict, acme.identifiers([name]))
    assert response.problem == "rejectedIdentifier", response
    assert name in response.body.decode()


def test_the_number_of_identifiers_is_bounded(strict):
    names = ["a.example.org", "b.example.org", "c.example.org"]
    assert strict.order(names).status == "ready"
    response = refusal(strict, acme.identifiers(names + ["d.example.org"]))
    assert response.status in (400, 403)
    assert response.problem in ("malformed", "rejectedIdentifier")


@pytest.mark.parametrize("members", [
    {"notBefore": "yesterday"}, {"notAfter": 7},
    {"notAfter": "2001-01-01T00:00:00Z"},
    {"notAfter": "1970-01-01T00:00:00Z"},
    {"notBefore": "1970-01-01T01:00:00+01:00"},
    {"notBefore": "2100-01-01T00:00:00Z"},
    {"notBefore": "2030-01-02T00:00:00Z",
     "notAfter": "2030-01-01T00:00:00Z"},
])
def test_dates_are_not_ignored(client, members):
    response = refusal(client, [dns("dates.example.org")], **members)
    assert response.status in (400, 403)


# ---- the list of orders

def test_the_orders_list_has_every_open_order_page_by_page(server):
    client = server.client()
    url = client.register().json["orders"]
    assert client.post(url).json == {"orders": []}
    made = {client.order(fresh()).url for _ in range(105)}
    listed, pages = [], 0
    while url is not None:
        response = client.post(url)
        listed += response.json["orders"]
        following = response.links("next")
        assert len(following) <= 1
        url = following[0] if following else None
        pages += 1
        assert pages < 200
    assert len(listed) == len(set(listed))
    assert set(listed) == made
    assert pages > 1


@pytest.mark.parametrize("query", [
    "cursor=", "cursor=%00", "cursor=../..", "cursor=AAAA&cursor=BBBB",
    "nothing=1", "cursor=" + "A" * 2000])
def test_a_made_up_page_is_no_accident(server, query):
    client = server.client()
    url = client.register().json["orders"]
    response = client.send(f"{url}?{query}", None)
    assert response.status < 500, response


# ---- who may see what

def test_objects_of_another_account_look_like_none(server):
    """The answer to a stranger is the answer about what does not exist."""
    mine, stranger = server.client(), server.client()
    order, _, _ = mine.obtain(fresh())
    stranger.register()
    urls = [order.url, order["finalize"], order["certificate"],
            order["authorizations"][0],
            mine.register().json["orders"]]
    for url in urls:
        scheme, host, path, _, _ = urllib.parse.urlsplit(url)
        parts = path.split("/")
        index = max(range(len(parts)), key=lambda i: len(parts[i]))
        # the form of an id: a time, then random bits
        parts[index] = parts[index][:8] + secrets.token_urlsafe(16)
        nothing = f"{scheme}://{host}{'/'.join(parts)}"
        for payload in (None, {}):
            foreign = stranger.send(url, payload)
            missing = stranger.send(nothing, payload)
            seen = [(r.status, r.problem, r.json["detail"])
                    for r in (foreign, missing)]
            assert seen[0] == seen[1], url
            assert foreign.status in (400, 403, 404, 405), url


def test_objects_are_not_served_through_another_profile(server):
    here = server.client()
    there = server.client(profile="other", key=here.key)
    order, _, _ = here.obtain(fresh())
    there.register()
    base, other = server.profile_url(), server.profile_url("other")
    for url in (order.url, order["finalize"], order["certificate"],
                order["authorizations"][0], here.kid):
        crossed = other + url.removeprefix(base)
        # with the account of that profile, with the owner's, and the other
        # profile's account at the right place
        for client, place in ((there, crossed), (here, crossed),
                              (there, url)):
            response = client.send(place, None)
            assert response.status in (400, 401, 403, 404), response
            assert response.is_problem
    assert here.post(order.url).json["status"] == "valid"


def test_an_account_cannot_order_under_another_profile(server):
    here = server.client()
    here.register()
    other = server.client(profile="other")
    response = here.send(other.directory["newOrder"],
                         {"identifiers": [dns("x.example.org")]})
    assert response.status in (400, 401, 403)
    assert response.problem in ("accountDoesNotExist", "unauthorized",
                                "malformed")


def test_nothing_is_served_to_plain_get(server, client):
    """RFC 8555 section 6.3: 405 and malformed."""
    order, _, _ = client.obtain(fresh())
    for url in (order.url, order["certificate"], order["authorizations"][0],
                order["finalize"], client.kid):
        response = client.http.get(url)
        assert (response.status, response.problem) == (405, "malformed")
        assert response.header("Allow") == "POST"


def test_post_as_get_wants_an_empty_payload_where_nothing_is_taken(
        server, client):
    order = client.order(fresh())
    response = client.send(order.url, {"status": "valid"})
    assert (response.status, response.problem) == (400, "malformed")


def test_a_ready_order_outlives_a_restart(new_server, engine):
    server = new_server(engine).start()
    client = server.client()
    client.register()
    order = client.order(fresh())
    server.restart()
    assert client.refresh(order).status == "ready"
    assert client.order([i["value"] for i in order["identifiers"]]
                        ).url == order.url
    with pytest.raises(Refused) as caught:
        client.post(order["finalize"], {"csr": "AA"})
    assert caught.value.problem == "badCSR"
    assert client.refresh(order).status == "ready"
