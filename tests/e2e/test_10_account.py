# SPDX-License-Identifier: ISC
"""Directory, nonces and accounts: RFC 8555 sections 7.1 to 7.3."""

import functools

import pytest

import acme
import jose
import x509
from acme import Refused, dns

BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def refusal(call, *arguments, **named):
    """The refusal that a call ends with."""
    with pytest.raises(Refused) as caught:
        call(*arguments, **named)
    return caught.value


# ---- directory

def test_the_directory_lists_every_resource_under_the_profile(server):
    client = server.client()
    response = client.http.get(client.directory_url)
    assert response.status == 200
    assert response.header("Content-Type") == "application/json"
    base = server.profile_url()
    directory = response.json
    for name in ("newNonce", "newAccount", "newOrder"):
        assert directory[name].startswith(base + "/"), directory
    assert directory["meta"]["externalAccountRequired"] is False
    assert response.headers("Replay-Nonce") == []


def test_the_shorthand_serves_the_default_profile(server):
    http = server.web()
    short = http.get(f"{server.base}/acme/directory")
    assert short.status == 200
    assert short.json == http.get(
        f"{server.profile_url()}/directory").json


def test_a_request_by_the_shorthand_gets_canonical_urls(server):
    client = server.client()
    url = f"{server.base}/acme/new-account"
    response = client.post(url, {"termsOfServiceAgreed": True})
    assert response.status == 201
    client.kid = response.header("Location")
    assert client.kid.startswith(server.profile_url() + "/")
    response = client.post(f"{server.base}/acme/new-order", {
        "identifiers": [{"type": "dns", "value": "short.example.org"}]})
    urls = [response.header("Location"), response.json["finalize"],
            *response.json["authorizations"]]
    for url in urls:
        assert url.startswith(server.profile_url() + "/"), urls


def test_meta_says_what_the_configuration_says(new_server):
    server = new_server(top="""
website = "https://ca.example.org/"
terms_of_service = "https://ca.example.org/terms"
caa_identities = { "ca.example.org", "example.net" }
""").start()
    meta = server.client().directory["meta"]
    assert meta["website"].rstrip("/") == "https://ca.example.org"
    assert meta["termsOfService"] == "https://ca.example.org/terms"
    assert meta["caaIdentities"] == ["ca.example.org", "example.net"]


def test_an_unknown_profile_has_no_directory(server):
    response = server.web().get(f"{server.profile_url('nobody')}/directory")
    assert response.status == 404
    assert response.problem == "malformed"


# ---- nonces

@pytest.mark.parametrize("method, status", [("HEAD", 200), ("GET", 204)])
def test_new_nonce_gives_a_fresh_nonce_and_no_body(server, method, status):
    client = server.client()
    seen = set()
    for _ in range(3):
        response = client.http.request(method, client.directory["newNonce"])
        assert response.status == status
        assert response.body == b""
        assert "no-store" in response.header("Cache-Control")
        assert response.links("index") == [client.directory_url]
        nonces = response.headers("Replay-Nonce")
        assert len(nonces) == 1
        assert set(nonces[0]) <= set(BASE64URL)
        seen.add(nonces[0])
    assert len(seen) == 3


def test_a_nonce_can_also_be_had_by_post_as_get(server):
    """RFC 8555 section 6.3."""
    client = server.client()
    client.register()
    response = client.post(client.directory["newNonce"])
    assert (response.status, response.body) == (204, b"")
    assert len(response.headers("Replay-Nonce")) == 1
    assert "no-store" in response.header("Cache-Control")


def test_the_directory_can_also_be_had_by_post_as_get(server):
    """RFC 8555 section 6.3: a request like any that is signed."""
    client = server.client()
    client.register()
    url = client.directory_url
    response = client.post(url)
    assert response.status == 200
    assert response.json == client.http.get(url).json
    assert len(response.headers("Replay-Nonce")) == 1
    nonce = client.nonce()
    assert client.send(url, nonce=nonce).status == 200
    for how, problem in (
            ({"nonce": nonce}, (400, "badNonce")),
            ({"payload": {}}, (400, "malformed")),
            ({"kid": None, "jwk": client.key.jwk()}, (400, "malformed")),
            ({"key": jose.make_key()}, (403, "unauthorized"))):
        response = client.send(url, **how)
        assert (response.status, response.problem) == problem, how
    client.post(client.kid, {"status": "deactivated"})
    response = client.send(url)
    assert (response.status, response.problem) == (401, "unauthorized")


def test_a_nonce_of_one_profile_or_key_is_good_for_another(server):
    nonce = server.client().nonce()
    client = server.client(profile="other")
    response = client.send(client.directory["newAccount"],
                           {"termsOfServiceAgreed": True}, nonce=nonce)
    assert response.status == 201


def test_success_and_error_carry_a_nonce_and_the_index(server):
    client = server.client()
    good = client.register()
    bad = client.send(client.directory["newOrder"], {"identifiers": []})
    missing = client.send(server.profile_url() + "/order/nothing", None)
    assert (good.status, bad.status, missing.status) == (201, 400, 404)
    nonces = set()
    for response in (good, bad, missing):
        assert response.links("index") == [client.directory_url]
        nonces.update(response.headers("Replay-Nonce"))
    assert len(nonces) == 3
    assert bad.is_problem and missing.is_problem
    assert bad.json["status"] == 400


def test_a_nonce_is_good_once(server):
    client = server.client()
    nonce = client.nonce()
    url = client.directory["newAccount"]
    assert client.send(url, {"termsOfServiceAgreed": True},
                       nonce=nonce).status == 201
    again = client.send(url, {"termsOfServiceAgreed": True}, nonce=nonce)
    assert (again.status, again.problem) == (400, "badNonce")
    assert len(again.headers("Replay-Nonce")) == 1


def test_a_nonce_is_used_up_by_a_request_that_fails(server):
    client = server.client()
    client.register()
    nonce = client.nonce()
    url = client.directory["newOrder"]
    first = client.send(url, {"identifiers": "no"}, nonce=nonce)
    assert first.problem == "malformed"
    second = client.send(url, {"identifiers": [dns("a.example.org")]},
                         nonce=nonce)
    assert second.problem == "badNonce"


# ---- registration

@pytest.mark.parametrize("alg", jose.ALGORITHMS)
def test_an_account_is_made_for_each_kind_of_key(server, alg):
    client = server.client(alg)
    response = client.register(contact=["mailto:admin@example.org"])
    assert response.status == 201
    assert client.kid.startswith(server.profile_url() + "/")
    account = response.json
    assert account["status"] == "valid"
    assert account["contact"] == ["mailto:admin@example.org"]
    assert account["orders"].startswith(server.profile_url() + "/")
    assert client.post(client.kid).json["status"] == "valid"


@pytest.mark.parametrize("bits", [3072, 4096])
def test_longer_rsa_keys_are_taken(server, bits):
    key = jose.RsaKey(private=x509.rsa_key(bits))
    assert server.client(key=key).register().status == 201


def test_registering_again_gives_the_account_that_exists(server):
    client = server.client()
    first = client.register(contact=["mailto:one@example.org"])
    second = client.register(contact=["mailto:two@example.org"])
    assert (first.status, second.status) == (201, 200)
    assert first.header("Location") == second.header("Location")
    assert second.json["contact"] == ["mailto:one@example.org"]


def test_registrations_at_once_make_one_account(server):
    client = server.client()
    url = client.directory["newAccount"]
    calls = []
    for _ in range(8):
        twin = client.twin()
        calls.append(functools.partial(twin.send, url, body=twin.sign(
            url, {"termsOfServiceAgreed": True})))
    answers = acme.at_once(calls)
    assert sorted(a.status for a in answers) == [200] * 7 + [201]
    assert len({a.header("Location") for a in answers}) == 1


def test_only_return_existing_makes_nothing(server):
    client = server.client()
    url = client.directory["newAccount"]
    for _ in range(2):
        refused = refusal(client.post, url, {"onlyReturnExisting": True})
        assert (refused.status, refused.problem) == (
            400, "accountDoesNotExist")
    kid = client.register().header("Location")
    response = client.post(url, {"onlyReturnExisting": True}, kid=None)
    assert response.status == 200
    assert response.header("Location") == kid


def test_the_same_key_has_an_account_in_each_profile(server):
    key = jose.make_key()
    here = server.client(key=key)
    there = server.client(key=key, profile="other")
    assert here.register().status == 201
    assert there.register().status == 201
    assert there.kid.startswith(server.profile_url("other") + "/")
    assert here.kid != there.kid


def test_members_that_nobody_knows_are_ignored(server):
    response = server.client().register(
        status="revoked", orders="https://example.org/", novelty={"a": [1]})
    assert response.status == 201
    assert response.json["status"] == "valid"
    assert response.json["orders"].startswith(server.base)


@pytest.mark.parametrize("contact, problem", [
    (["tel:+4930123456"], "unsupportedContact"),
    (["https://example.org/me"], "unsupportedContact"),
    (["mailto:nobody"], "invalidContact"),
    (["mailto:"], "invalidContact"),
    (["mailto:a@example.org,b@example.org"], "invalidContact"),
    (["mailto:a@example.org?subject=hello"], "invalidContact"),
    (["mailto:a@exa mple.org"], "invalidContact"),
    (["mailto:ok@example.org", "mailto:@example.org"], "invalidContact"),
    (["no scheme"], "unsupportedContact"),
    ([17], "invalidContact"),
    ("mailto:a@example.org", "malformed"),
    ({"mailto": "a@example.org"}, "malformed"),
])
def test_contacts_that_will_not_do_are_refused(server, contact, problem):
    client = server.client()
    refused = refusal(client.register, contact=contact)
    assert (refused.status, refused.problem) == (400, problem)
    refused = refusal(client.post, client.directory["newAccount"],
                      {"onlyReturnExisting": True})
    assert refused.problem == "accountDoesNotExist"


def test_a_profile_can_insist_on_a_contact(new_server):
    server = new_server(profiles="""
profile default {
  issuer = local
  open = true
  contact_required = true
}
""").start()
    client = server.client()
    for members in ({}, {"contact": []}):
        refused = refusal(client.register, **members)
        assert refused.status in (400, 403)
        assert refused.problem in ("invalidContact", "malformed")
    assert client.register(contact=["mailto:a@example.org"]).status == 201


def test_terms_of_service_must_be_agreed_to(new_server):
    terms = "https://ca.example.org/terms"
    server = new_server(top=f'terms_of_service = "{terms}"').start()
    client = server.client()
    for members in ({"termsOfServiceAgreed": False},
                    {"termsOfServiceAgreed": None}, {}):
        members.setdefault("termsOfServiceAgreed", False)
        refused = refusal(client.register, **members)
        assert (refused.status, refused.problem) in (
            (403, "userActionRequired"), (400, "malformed"))
    response = client.send(client.directory["newAccount"], {})
    assert (response.status, response.problem) == (
        403, "userActionRequired")
    assert response.links("terms-of-service") == [terms]
    assert client.register().status == 201


# ---- update and deactivation

def test_contacts_can_be_changed_and_removed(server):
    client = server.client()
    client.register(contact=["mailto:one@example.org"])
    new = ["mailto:two@example.org", "mailto:three@example.org"]
    assert client.post(client.kid, {"contact": new}).json["contact"] == new
    assert client.post(client.kid).json["contact"] == new
    assert not client.post(client.kid, {"contact": []}).json.get("contact")
    assert not client.post(client.kid).json.get("contact")


@pytest.mark.parametrize("payload, problem", [
    ({"contact": ["tel:1"]}, "unsupportedContact"),
    ({"contact": ["mailto:x"]}, "invalidContact"),
    ({"contact": 1}, "malformed"),
    ({"status": "revoked"}, "malformed"),
    ({"status": 7}, "malformed"),
])
def test_a_bad_update_changes_nothing(server, payload, problem):
    client = server.client()
    client.register(contact=["mailto:one@example.org"])
    refused = refusal(client.post, client.kid, payload)
    assert (refused.status, refused.problem) == (400, problem)
    account = client.post(client.kid).json
    assert account["contact"] == ["mailto:one@example.org"]
    assert account["status"] == "valid"


def test_an_update_of_nothing_shows_the_account(server):
    client = server.client()
    client.register(contact=["mailto:one@example.org"])
    assert client.post(client.kid, {}).json == client.post(client.kid).json


def test_a_deactivated_account_can_do_nothing(server):
    """RFC 8555 section 7.3.6: status 401, type unauthorized."""
    client = server.client()
    client.register()
    order = client.order(["gone.example.org"])
    answer = client.post(client.kid, {"status": "deactivated"})
    assert answer.status == 200
    assert answer.json["status"] == "deactivated"
    directory = client.directory
    attempts = [
        (client.kid, None), (client.kid, {"contact": []}),
        (client.kid, {"status": "deactivated"}),
        (order.url, None), (order["finalize"], {"csr": "AA"}),
        (order["authorizations"][0], None),
        (directory["newOrder"], {"identifiers": [
            {"type": "dns", "value": "x.example.org"}]}),
    ]
    for url, payload in attempts:
        refused = refusal(client.post, url, payload)
        assert (refused.status, refused.problem) == (
            401, "unauthorized"), url
    for payload in ({"termsOfServiceAgreed": True},
                    {"onlyReturnExisting": True}):
        refused = refusal(client.post, directory["newAccount"], payload,
                          kid=None)
        assert (refused.status, refused.problem) == (401, "unauthorized")


def test_an_account_is_not_shown_to_another(server):
    mine, yours = server.client(), server.client()
    mine.register(contact=["mailto:mine@example.org"])
    yours.register()
    nobody = mine.kid[:-4] + "AAAA"
    answers = [yours.send(url, payload)
               for url in (mine.kid, nobody)
               for payload in (None, {"contact": []},
                               {"status": "deactivated"})]
    assert {(a.status, a.problem, a.json["detail"]) for a in answers} == {
        (answers[0].status, answers[0].problem, answers[0].json["detail"])}
    assert answers[0].status in (403, 404)
    assert mine.post(mine.kid).json["contact"] == [
        "mailto:mine@example.org"]


def test_a_key_that_signs_for_another_account_is_refused(server):
    mine, yours = server.client(), server.client()
    mine.register()
    yours.register()
    response = yours.send(mine.kid, None, kid=mine.kid)
    assert response.status in (400, 401, 403)
    assert response.problem in ("unauthorized", "malformed")


@pytest.mark.parametrize("kid", [
    "{base}/account/AAAAAAAAAAAAAAAAAAAAAA", "{base}/account/", "{base}",
    "{other}", "https://example.org/account/1", "account/1", ""])
def test_a_kid_of_nobody_does_not_exist(server, kid):
    client = server.client()
    client.register()
    stranger = server.client(profile="other")
    stranger.register()
    kid = kid.format(base=server.profile_url(), other=stranger.kid)
    response = client.send(client.directory["newOrder"], {
        "identifiers": [{"type": "dns", "value": "x.example.org"}]},
        kid=kid)
    assert response.status in (400, 401, 403)
    assert response.problem in ("accountDoesNotExist", "malformed",
                                "unauthorized")
