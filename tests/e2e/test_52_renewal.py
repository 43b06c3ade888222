# SPDX-License-Identifier: ISC
"""Renewal information and orders that replace a certificate: RFC 9773."""

import datetime
import secrets

import pytest
from cryptography import x509 as cx509

import acme
import x509
from jose import b64, unb64

UTC = datetime.timezone.utc


def fresh(*prefixes):
    word = secrets.token_hex(5)
    return [f"{p}{word}.example.org" for p in prefixes or ("",)]


def certificate_id(certificate):
    aki = certificate.extensions.get_extension_for_class(
        cx509.AuthorityKeyIdentifier).value.key_identifier
    serial = certificate.serial_number
    raw = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    return f"{b64(aki)}.{b64(raw)}"


class Issued:
    def __init__(self, server, names=None, profile="default", client=None):
        self.names = names or fresh()
        self.client = client or server.client(profile=profile)
        self.order, chain, _ = self.client.obtain(self.names)
        self.certificate = x509.split_chain(chain)[0]
        self.id = certificate_id(self.certificate)

    def replace(self, names=None, client=None, **members):
        client = client or self.client
        members.setdefault("replaces", self.id)
        members["identifiers"] = acme.identifiers(names or self.names)
        return client.send(client.directory["newOrder"], members)


@pytest.fixture
def issued(server):
    return Issued(server)


def ask(client, name):
    return client.http.get(f"{client.directory['renewalInfo']}/{name}")


def moment(text):
    return datetime.datetime.fromisoformat(text)


def outcome(response):
    return response.status, response.problem


def revoke(issued):
    client = issued.client
    response = client.send(client.directory["revokeCert"], {
        "certificate": b64(x509.der(issued.certificate)), "reason": 4})
    assert response.status == 200


# ---- renewal information

def test_a_window_in_the_last_third_of_the_life(issued):
    response = ask(issued.client, issued.id)
    assert response.status == 200
    assert response.header("Content-Type") == "application/json"
    assert 60 <= int(response.header("Retry-After")) <= 6 * 3600
    window = response.json["suggestedWindow"]
    start, end = moment(window["start"]), moment(window["end"])
    begin = issued.certificate.not_valid_before.replace(tzinfo=UTC)
    life = issued.certificate.not_valid_after.replace(tzinfo=UTC) - begin
    assert 0.65 <= (start - begin) / life <= 0.71
    assert 0.07 <= (end - start) / life <= 0.09
    assert "explanationURL" not in response.json
    assert response.headers("Replay-Nonce") == []


def test_the_directory_says_where_to_ask(server):
    client = server.client()
    url = client.directory["renewalInfo"]
    assert url.startswith(server.profile_url() + "/")
    assert not url.endswith("/")


def test_the_shortest_life_has_a_window(new_server):
    server = new_server(profiles="""
profile default {
  issuer = local
  open = true
  lifetime = 5m
  renewal_at = 95
  renewal_window = 1
}
""").start()
    issued = Issued(server)
    window = ask(issued.client, issued.id).json["suggestedWindow"]
    end = issued.certificate.not_valid_after.replace(tzinfo=UTC)
    assert moment(window["start"]) < moment(window["end"]) <= end


def test_the_same_answer_each_time(issued):
    answers = {ask(issued.client, issued.id).body for _ in range(3)}
    assert len(answers) == 1


def test_certificates_have_windows_of_their_own(server):
    client = server.client()
    client.register()
    starts = set()
    for _ in range(4):
        _, chain, _ = client.obtain(fresh())
        name = certificate_id(x509.split_chain(chain)[0])
        starts.add(ask(client, name).json["suggestedWindow"]["start"])
    assert len(starts) == 4


def test_nobody_needs_an_account_to_ask(server, issued):
    assert ask(server.client(), issued.id).status == 200


def test_a_revoked_certificate_is_to_be_renewed_now(server):
    issued = Issued(server)
    revoke(issued)
    window = ask(issued.client, issued.id).json["suggestedWindow"]
    now = datetime.datetime.now(UTC) + datetime.timedelta(seconds=1)
    assert moment(window["start"]) < moment(window["end"]) <= now


def test_why_is_explained_and_the_window_is_the_profiles(new_server):
    why = "https://ca.example.org/why"
    server = new_server(profiles=f"""
profile default {{
  issuer = local
  open = true
  lifetime = 10h
  renewal_at = 20
  renewal_window = 4
  renewal_retry = 2m
  renewal_explanation = "{why}"
}}
""").start()
    issued = Issued(server)
    response = ask(issued.client, issued.id)
    assert response.header("Retry-After") == "120"
    start = moment(response.json["suggestedWindow"]["start"])
    begin = issued.certificate.not_valid_before.replace(tzinfo=UTC)
    life = issued.certificate.not_valid_after.replace(tzinfo=UTC) - begin
    assert 0.19 <= (start - begin) / life <= 0.23
    other = Issued(server)
    revoke(other)
    assert ask(other.client, other.id).json["explanationURL"] == why


def test_a_serial_without_its_zero_byte_names_the_same(server):
    """Ours never need the byte; one is put before a serial all the same."""
    issued = Issued(server)
    aki, _, serial = issued.id.partition(".")
    longer = f"{aki}.{b64(bytes(1) + unb64(serial))}"
    assert ask(issued.client, longer).json == ask(
        issued.client, issued.id).json


@pytest.mark.parametrize("name", [
    "x", "x.y", ".", "a.", ".a", "AAAA.AAAA.AAAA", "AA==.AA==",
    b64(b"x" * 65) + ".AQ", "AAAA." + b64(b"x" * 22), "AAAA" * 100 + ".AQ",
], ids=lambda name: name[:20])
def test_what_is_no_name_of_a_certificate(server, name):
    response = ask(server.client(), name)
    assert outcome(response) == (400, "malformed")


def test_a_certificate_that_is_not_there(server, issued):
    """Nobody's, one of another issuer with that serial, and one of another
    profile."""
    aki, _, serial = issued.id.partition(".")
    client = issued.client
    foreign = f"{b64(b'x' * 20)}.{serial}"
    nobodys = f"{aki}.{b64(b'123456')}"
    other = server.client(profile="other")
    for response in (ask(client, foreign), ask(client, nobodys),
                     ask(other, issued.id)):
        assert outcome(response) == (404, "malformed")
    assert ask(client, issued.id).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_it_is_only_to_be_read(issued, method):
    response = issued.client.request(
        method, f"{issued.client.directory['renewalInfo']}/{issued.id}")
    assert response.status == 405


# ---- replaces

def test_an_order_replaces_a_certificate(server, issued):
    response = issued.replace()
    assert response.status == 201
    assert response.json["replaces"] == issued.id
    client = issued.client
    order = acme.Order(response.header("Location"), response.json)
    client.finalize(order, x509.make_csr(issued.names, x509.new_key()))
    assert order["replaces"] == issued.id
    assert client.post(order.url).json["replaces"] == issued.id
    assert len(client.download(order)) > 0
    # and what replaced it can be replaced in turn
    leaf = x509.split_chain(client.download(order))[0]
    again = issued.replace(replaces=certificate_id(leaf))
    assert again.status == 201


def test_one_name_in_common_will_do(server):
    names = fresh("", "www.")
    issued = Issued(server, names)
    assert issued.replace([names[1], *fresh("new.")]).status == 201


def test_an_address_in_common_will_do(server):
    issued = Issued(server, [*fresh(), "192.0.2.7"])
    assert issued.replace(["192.0.2.7"]).status == 201


def test_no_name_in_common_will_not(issued):
    assert outcome(issued.replace(fresh())) == (400, "malformed")


def test_a_certificate_is_replaced_once(server, issued):
    first = issued.replace()
    assert first.status == 201
    # the same again is the same order
    again = issued.replace()
    assert again.header("Location") == first.header("Location")
    # another one is not
    other = issued.replace([*issued.names, *fresh("more.")])
    assert outcome(other) == (409, "alreadyReplaced")
    client = issued.client
    order = acme.Order(first.header("Location"), first.json)
    client.finalize(order, x509.make_csr(issued.names, x509.new_key()))
    assert outcome(issued.replace()) == (409, "alreadyReplaced")


def test_an_order_without_replaces_is_another_one(issued):
    first = issued.replace()
    plain = issued.client.order(issued.names)
    assert plain.url != first.header("Location")
    assert "replaces" not in plain.body


def test_of_two_at_once_one_replaces_it(server):
    for _ in range(3):
        issued = Issued(server)
        calls = []
        for i in range(4):
            twin = issued.client.twin()
            names = [*issued.names, *fresh("at-once.")]
            calls.append((lambda t, n: lambda: issued.replace(n, t))(
                twin, names))
        answers = acme.at_once(calls)
        assert sorted(outcome(a) for a in answers) == [(201, None)] + [
            (409, "alreadyReplaced")] * 3


def test_an_order_that_failed_replaces_nothing(server, issued):
    first = issued.replace([*issued.names, *fresh("x.")])
    name = first.header("Location").rpartition("/")[2]
    server.store.execute(
        f"UPDATE orders SET status = 'invalid' WHERE id = '{name}'")
    assert issued.replace().status == 201


def test_an_order_that_ran_out_of_time_replaces_nothing(server, issued):
    """Also before a sweep calls it invalid."""
    first = issued.replace([*issued.names, *fresh("x.")])
    name = first.header("Location").rpartition("/")[2]
    server.store.execute(
        f"UPDATE orders SET expires = 1 WHERE id = '{name}'")
    assert issued.replace().status == 201


def test_the_zero_byte_makes_no_other_certificate(issued):
    """One certificate has one place in the store, however it is spelt."""
    aki, _, serial = issued.id.partition(".")
    longer = f"{aki}.{b64(bytes(1) + unb64(serial))}"
    first = issued.replace(replaces=longer)
    assert first.status == 201
    assert first.json["replaces"] == issued.id
    other = issued.replace([*issued.names, *fresh("x.")])
    assert outcome(other) == (409, "alreadyReplaced")


def test_a_revoked_certificate_can_be_replaced(issued):
    revoke(issued)
    assert issued.replace().status == 201


@pytest.mark.parametrize("value", [1, True, [], {}, "", "x", "x.y", "AAAA."],
                         ids=str)
def test_what_is_no_certificate_to_replace(issued, value):
    assert outcome(issued.replace(replaces=value)) == (400, "malformed")


def test_null_replaces_nothing(issued):
    response = issued.replace(replaces=None)
    assert response.status == 201
    assert "replaces" not in response.json


def test_certificates_of_others_cannot_be_replaced(server, issued):
    """Nor is it told whether they exist."""
    aki, _, serial = issued.id.partition(".")
    stranger = server.client()
    stranger.register()
    beyond = server.client(profile="other")
    beyond.register()
    answers = [
        issued.replace(client=stranger), issued.replace(client=beyond),
        issued.replace(client=stranger,
                       replaces=f"{aki}.{b64(b'123456')}"),
        issued.replace(client=stranger,
                       replaces=f"{b64(b'x' * 20)}.{serial}")]
    assert {(a.status, a.problem, a.json["detail"]) for a in answers} == {
        (400, "malformed", answers[0].json["detail"])}


def test_what_replaces_is_not_limited(new_server):
    """Where the profile says so, which it does unless told otherwise."""
    profiles = """
profile default {
  issuer = local
  open = true
}
profile strict {
  issuer = local
  open = true
  renewal_unlimited = false
}
"""
    server = new_server(profiles=profiles,
                        limits="new_order_per_account = 2/1h").start()
    for profile, status in (("default", 201), ("strict", 429)):
        one = Issued(server, profile=profile)
        client = one.client
        order, _, _ = client.obtain(fresh())
        plain = client.send(client.directory["newOrder"], {
            "identifiers": acme.identifiers(fresh())})
        assert outcome(plain) == (429, "rateLimited")
        assert one.replace().status == status
        # what replaces nothing after all makes no order
        bad = one.replace(replaces="AAAA.AQ")
        assert bad.status == (400 if status == 201 else 429)


def test_a_renewal_window_beyond_the_end_is_refused(new_server):
    server = new_server(profiles="""
profile default {
  issuer = local
  open = true
  renewal_at = 90
}
""")
    done = server.run("-t", "-c", server.file)
    assert done.returncode == 3
    assert "renewal_at" in done.stdout


# ---- the profiles extension (draft-ietf-acme-profiles)

def test_a_directory_names_its_profile(new_server):
    server = new_server(profiles="""
profile default {
  issuer = local
  open = true
  description = "for machines of the test"
}
profile other {
  issuer = local
  open = true
}
""").start()
    assert server.client().directory["meta"]["profiles"] == {
        "default": "for machines of the test"}
    assert server.client(profile="other").directory["meta"]["profiles"] == {
        "other": "other"}


def test_an_order_may_name_the_profile(server):
    client = server.client()
    client.register()
    order = client.order(fresh(), profile="default")
    assert order["profile"] == "default"
    assert client.order(fresh())["profile"] == "default"


@pytest.mark.parametrize("profile", ["other", "nobody", "", "Default",
                                     "default ", "x" * 1000])
def test_a_profile_that_is_not_offered_here(server, profile):
    client = server.client()
    client.register()
    response = client.send(client.directory["newOrder"], {
        "identifiers": acme.identifiers(fresh()), "profile": profile})
    assert outcome(response) == (400, "invalidProfile")
    assert "default" in response.json["detail"]


@pytest.mark.parametrize("profile", [1, [], {}, True], ids=str)
def test_a_profile_that_is_no_text(server, profile):
    client = server.client()
    client.register()
    response = client.send(client.directory["newOrder"], {
        "identifiers": acme.identifiers(fresh()), "profile": profile})
    assert outcome(response) == (400, "malformed")
