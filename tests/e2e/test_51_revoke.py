# SPDX-License-Identifier: ISC
"""Revocation, RFC 8555 section 7.6."""

import secrets

import pytest

import acme
import jose
import servers
import x509
from jose import b64

ALREADY = (400, "alreadyRevoked")
FORBIDDEN = (403, "unauthorized")


def fresh(*prefixes):
    """Names that nobody has."""
    word = secrets.token_hex(5)
    return [f"{p}{word}.example.org" for p in prefixes or ("",)]


class Issued:
    """A certificate, its key and its owner."""

    def __init__(self, server, names=None, profile="default", alg="ES256"):
        self.names = names or fresh()
        self.key = jose.make_key(alg)
        self.owner = server.client(profile=profile)
        _, chain, _ = self.owner.obtain(self.names, key=self.key.private)
        self.certificate = x509.split_chain(chain)[0]
        self.der = x509.der(self.certificate)
        self.server = server

    def row(self):
        """status, reason, was it revoked now, account"""
        rows = self.server.store.query(
            "SELECT status, reason, revoked_at, account FROM certificates "
            f"WHERE serial = '{self.serial}'")
        assert len(rows) == 1
        return rows[0]

    @property
    def serial(self):
        return f"{self.certificate.serial_number:032x}"

    @property
    def status(self):
        return self.row()[0]


@pytest.fixture
def issued(server):
    return Issued(server)


def revoke(client, der, reason=None, **how):
    payload = {"certificate": b64(der)}
    if reason is not None:
        payload["reason"] = reason
    return client.send(client.directory["revokeCert"], payload, **how)


def by_key(issued, client=None, reason=None):
    client = client or issued.server.client()
    return revoke(client, issued.der, reason, key=issued.key, kid=None)


def outcome(response):
    return response.status, response.problem


def test_the_account_that_a_certificate_was_issued_to_revokes_it(issued):
    response = revoke(issued.owner, issued.der, 4)
    assert (response.status, response.body) == (200, b"")
    assert len(response.headers("Replay-Nonce")) == 1
    status, reason, at, _ = issued.row()
    assert (status, int(reason)) == ("revoked", 4)
    assert int(at) > 0


def test_it_is_written_down(issued):
    """Who, what, and for which reason, in the audit trail."""
    assert revoke(issued.owner, issued.der, 1).status == 200
    rows = issued.server.store.query(
        "SELECT actor, account, detail FROM audit WHERE action = "
        f"'certificate.revoke' AND serial = '{issued.serial}'")
    account = issued.owner.kid.rpartition("/")[2]
    assert [r[:2] for r in rows] == [(f"account:{account}", account)]
    assert '"reason":1' in rows[0][2].replace(" ", "")


def test_the_reason_may_be_left_out(issued):
    assert revoke(issued.owner, issued.der).status == 200
    assert int(issued.row()[1]) == 0


@pytest.mark.parametrize("alg", ["ES256", "ES384", "RS256", "EdDSA"])
def test_the_key_of_a_certificate_revokes_it(server, alg):
    """Whoever holds the key needs no account."""
    issued = Issued(server, alg=alg)
    assert by_key(issued, reason=1).status == 200
    assert issued.status == "revoked"


def test_another_key_does_not(issued):
    other = jose.make_key()
    response = revoke(issued.server.client(), issued.der, key=other,
                      kid=None)
    assert outcome(response) == FORBIDDEN
    # nor the key of the account, if it is not named by kid
    response = revoke(issued.server.client(), issued.der,
                      key=issued.owner.key, kid=None)
    assert outcome(response) == FORBIDDEN
    assert issued.status == "valid"


def test_a_jwk_in_the_header_is_not_believed_without_its_signature(issued):
    client = issued.server.client()
    response = revoke(client, issued.der, key=jose.make_key(), kid=None,
                      jwk=issued.key.jwk())
    assert outcome(response) == FORBIDDEN
    assert issued.status == "valid"


def test_who_holds_authorizations_for_all_names_revokes(server):
    """Here the new orders bring the authorizations."""
    names = [*fresh("", "www."), "10.1.2.3"]
    issued = Issued(server, names)
    other = server.client()
    other.register()
    assert outcome(revoke(other, issued.der)) == FORBIDDEN
    other.order(names[:2])
    assert outcome(revoke(other, issued.der)) == FORBIDDEN
    assert issued.status == "valid"
    other.order(names[2:])
    assert revoke(other, issued.der).status == 200
    assert issued.status == "revoked"
    owner = issued.owner.kid.rpartition("/")[2]
    assert issued.row()[3] == owner


def test_an_authorization_for_a_name_is_none_for_its_wildcard(server):
    [name] = fresh()
    issued = Issued(server, [f"*.{name}"])
    other = server.client()
    other.register()
    other.order([name])
    assert outcome(revoke(other, issued.der)) == FORBIDDEN
    other.order([f"*.{name}"])
    assert revoke(other, issued.der).status == 200


def test_once_is_enough(server):
    """All who might have revoked it hear that it is revoked."""
    issued = Issued(server)
    other = server.client()
    other.register()
    other.order(issued.names)
    assert revoke(issued.owner, issued.der, 4).status == 200
    assert outcome(revoke(issued.owner, issued.der)) == ALREADY
    assert outcome(by_key(issued)) == ALREADY
    assert outcome(revoke(other, issued.der, 1)) == ALREADY
    assert int(issued.row()[1]) == 4
    stranger = server.client()
    stranger.register()
    assert outcome(revoke(stranger, issued.der)) == FORBIDDEN


def test_of_many_at_once_one_wins(server):
    issued = Issued(server)
    calls = []
    for i in range(8):
        client = issued.owner.twin() if i % 2 else server.client()
        if i % 2 == 0:
            client.nonce()
        calls.append((lambda c: lambda: revoke(c, issued.der, 1))(client)
                     if i % 2 else
                     (lambda c: lambda: by_key(issued, c, 1))(client))
    answers = acme.at_once(calls)
    assert sorted(outcome(a) for a in answers) == [
        (200, None)] + [ALREADY] * 7
    rows = server.store.query(
        "SELECT 1 FROM audit WHERE action = 'certificate.revoke' "
        f"AND serial = '{issued.serial}'")
    assert len(rows) == 1


@pytest.mark.parametrize("reason", [7, 8, 10, 11, 255, -1, 1.5, 10 ** 30])
def test_reasons_that_may_not_be_given(issued, reason):
    response = revoke(issued.owner, issued.der, reason)
    assert outcome(response) == (400, "badRevocationReason")
    assert issued.status == "valid"


@pytest.mark.parametrize("reason", [0, 1, 2, 3, 4, 5, 6, 9])
def test_reasons_that_may(issued, reason):
    assert revoke(issued.owner, issued.der, reason).status == 200
    assert int(issued.row()[1]) == reason


@pytest.mark.parametrize("payload", [
    {}, {"certificate": 1}, {"certificate": None}, {"certificate": ""},
    {"certificate": "MA=="}, {"certificate": "not base64url!"},
    {"certificate": b64(b"\x30\x03\x02\x01\x00")},
    {"certificate": b64(b"x" * 1000)},
], ids=str)
def test_what_is_no_certificate(issued, payload):
    client = issued.owner
    response = client.send(client.directory["revokeCert"], payload)
    assert outcome(response) == (400, "malformed")


@pytest.mark.parametrize("reason", ["1", True, [1], {"a": 1}], ids=str)
def test_what_is_no_reason(issued, reason):
    response = revoke(issued.owner, issued.der, reason)
    assert outcome(response) == (400, "malformed")
    assert issued.status == "valid"


def test_bytes_behind_a_certificate_or_in_it_make_another(issued):
    """The very certificate is meant, not one that has its serial."""
    response = revoke(issued.owner, issued.der + b"\0")
    assert outcome(response) == (400, "malformed")
    changed = bytearray(issued.der)
    changed[-1] ^= 1    # in the signature
    assert outcome(revoke(issued.owner, bytes(changed))) == FORBIDDEN
    assert outcome(revoke(issued.server.client(), bytes(changed),
                          key=issued.key, kid=None)) == FORBIDDEN
    assert issued.status == "valid"


def test_what_others_hear_tells_nothing(server):
    """A certificate of another account, of another profile and of nobody
    are the same to who may not revoke them."""
    issued = Issued(server)
    stranger = server.client()
    stranger.register()
    beyond = server.client(profile="other")
    beyond.register()
    nobodys = bytearray(issued.der)
    nobodys[-1] ^= 1
    answers = [revoke(stranger, issued.der), revoke(beyond, issued.der),
               revoke(stranger, bytes(nobodys)),
               revoke(beyond, bytes(nobodys))]
    seen = {(a.status, a.problem, a.json["detail"]) for a in answers}
    assert len(seen) == 1, seen
    assert seen.pop()[:2] == FORBIDDEN


def test_the_other_profile_does_not_know_it(server):
    """Not by its key, nor by authorizations for its names."""
    issued = Issued(server)
    beyond = server.client(profile="other")
    beyond.register()
    beyond.order(issued.names)
    assert outcome(revoke(beyond, issued.der)) == FORBIDDEN
    assert outcome(by_key(issued, server.client(profile="other"))) == \
        FORBIDDEN
    assert issued.status == "valid"


def test_a_deactivated_account_revokes_nothing(issued):
    issued.owner.post(issued.owner.kid, {"status": "deactivated"})
    response = revoke(issued.owner, issued.der)
    assert (response.status, response.problem) == (401, "unauthorized")
    assert issued.status == "valid"
    assert by_key(issued).status == 200


def test_both_or_none_of_kid_and_jwk(issued):
    client = issued.owner
    url = client.directory["revokeCert"]
    payload = {"certificate": b64(issued.der)}
    both = client.send(url, payload, kid=client.kid, jwk=client.key.jwk())
    none = client.send(url, payload, drop=("kid", "jwk"))
    for response in (both, none):
        assert outcome(response) == (400, "malformed")
    assert issued.status == "valid"


def test_it_is_counted(server):
    before = server.metrics()
    issued = Issued(server)
    assert by_key(issued).status == 200
    name = 'certloop_revocations_total{by="key"}'
    assert server.metrics()[name] == before.get(name, 0) + 1


def test_a_local_issuer_needs_no_telling(server):
    issued = Issued(server)
    assert by_key(issued).status == 200

    def is_told():
        rows = server.store.query(
            "SELECT issuer_told FROM certificates WHERE tell_at IS NULL "
            f"AND serial = '{issued.serial}' AND issuer_told IS NOT NULL")
        return len(rows) == 1
    servers.wait_for(is_told, 10, "the revocation to be settled")
