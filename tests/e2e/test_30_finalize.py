# SPDX-License-Identifier: ISC
"""From an order to a certificate: RFC 8555 sections 7.4 and 7.4.2, RFC 5280,
and each reason to refuse a certificate request."""

import datetime
import functools
import secrets

import pytest
from cryptography import x509 as cx509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

import acme
import servers
import x509
from jose import b64


def fresh(count=1):
    return [f"{secrets.token_hex(6)}.example.org" for _ in range(count)]


@pytest.fixture(scope="module")
def client(server):
    one = server.client()
    one.register()
    return one


KEYS = {}


def key(kind="P-256"):
    """One key of each kind serves every test."""
    if kind not in KEYS:
        KEYS[kind] = x509.new_key(kind)
    return KEYS[kind]


def finalize(client, order, csr):
    return client.send(order["finalize"], {"csr": b64(csr)})


# ---- what comes out

def test_a_certificate_comes_with_its_chain(server, client, tmp_path):
    names = fresh(2)
    order = client.order(names)
    response = finalize(client, order, x509.make_csr(names, key()))
    assert response.status == 200
    assert response.header("Location") in (order.url, None)
    order.body = response.json
    client.wait(order)
    assert order.status == "valid"
    assert order["certificate"].startswith(server.profile_url() + "/")
    response = client.post(order["certificate"])
    kind = response.header("Content-Type").split(";")[0]
    assert kind == "application/pem-certificate-chain"
    chain = x509.split_chain(response.body)
    assert len(chain) == 2      # the root is the client's own affair
    assert response.body.startswith(b"-----BEGIN CERTIFICATE-----\n")
    assert response.body.endswith(b"-----END CERTIFICATE-----\n")
    assert b"\r" not in response.body and b"\n\n" not in response.body
    x509.openssl_verify(response.body, server.root, tmp_path)
    assert x509.spki(chain[0].public_key()) == x509.spki(key().public_key())
    assert x509.names_of(chain[0]) == set(names)
    again = client.post(order["certificate"])
    assert again.body == response.body


def test_link_up_leads_to_the_issuer(client):
    """RFC 8555 section 7.4.2: for whoever asks, and for an ACME client that
    follows the link as section 6.3 has it, by POST-as-GET (Caddy does)."""
    order, pem, _ = client.obtain(fresh(), key=key())
    response = client.post(order["certificate"])
    [up] = response.links("up")
    want = x509.split_chain(pem)[1:]
    for issuer in (client.http.get(up), client.post(up)):
        assert issuer.status == 200, issuer
        kind = issuer.header("Content-Type").split(";")[0]
        assert kind == "application/pem-certificate-chain"
        assert x509.split_chain(issuer.body) == want
    refused = client.send(up, {})
    assert (refused.status, refused.problem) == (400, "malformed")
    missing = client.send(up.rpartition("/")[0] + "/" + "0" * 64)
    assert (missing.status, missing.problem) == (404, "malformed")


def test_a_certificate_is_what_rfc_5280_wants(client):
    names = fresh(2)
    _, pem, _ = client.obtain(names, key=key())
    leaf, issuing = x509.split_chain(pem)
    now = datetime.datetime.utcnow()
    backdate = now - leaf.not_valid_before
    assert datetime.timedelta(0) <= backdate
    assert backdate < datetime.timedelta(hours=2)
    life = leaf.not_valid_after - leaf.not_valid_before
    assert life <= datetime.timedelta(days=90, hours=1)
    assert leaf.not_valid_after - now > datetime.timedelta(days=89, hours=22)
    assert leaf.not_valid_after <= issuing.not_valid_after
    assert leaf.serial_number.bit_length() > 64
    assert leaf.serial_number.bit_length() < 160
    assert leaf.issuer == issuing.subject
    extensions = leaf.extensions

    def get(oid):
        return extensions.get_extension_for_oid(oid)
    usage = get(ExtensionOID.KEY_USAGE)
    assert usage.critical and usage.value.digital_signature
    assert not usage.value.key_cert_sign and not usage.value.crl_sign
    eku = get(ExtensionOID.EXTENDED_KEY_USAGE).value
    assert list(eku) == [ExtendedKeyUsageOID.SERVER_AUTH]
    for extension in extensions:
        if extension.oid == ExtensionOID.BASIC_CONSTRAINTS:
            assert extension.value.ca is False
    aki = get(ExtensionOID.AUTHORITY_KEY_IDENTIFIER).value
    ski = issuing.extensions.get_extension_for_oid(
        ExtensionOID.SUBJECT_KEY_IDENTIFIER).value
    assert aki.key_identifier == ski.digest
    get(ExtensionOID.SUBJECT_KEY_IDENTIFIER)
    # the subject was empty, so the names are critical
    assert len(leaf.subject) == 0
    assert get(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).critical
    assert issuing.extensions.get_extension_for_oid(
        ExtensionOID.BASIC_CONSTRAINTS).value.path_length == 0


def test_serials_differ(client):
    serials = set()
    for _ in range(3):
        _, pem, _ = client.obtain(fresh(), key=key())
        serials.add(x509.split_chain(pem)[0].serial_number)
    assert len(serials) == 3


@pytest.mark.parametrize("kind", [
    "P-256", "P-384", "P-521", "Ed25519", "RSA-2048", "RSA-3072",
    "RSA-4096"])
def test_each_kind_of_key_gets_a_certificate(
        server, client, tmp_path, kind):
    names = fresh()
    _, pem, _ = client.obtain(names, key=key(kind))
    leaf = x509.split_chain(pem)[0]
    assert x509.spki(leaf.public_key()) == x509.spki(key(kind).public_key())
    x509.openssl_verify(pem, server.root, tmp_path)


def test_a_common_name_that_was_ordered_is_kept(client):
    names = fresh(2)
    _, pem, _ = client.obtain(names, key=key(), cn=names[1])
    leaf = x509.split_chain(pem)[0]
    assert [a.value for a in leaf.subject] == [names[1]]
    assert x509.names_of(leaf) == set(names)


def test_a_name_in_the_common_name_alone_counts(client):
    name = fresh()[0]
    order = client.order([name])
    csr = x509.make_csr([], key(), cn=name)
    client.finalize(order, csr)
    leaf = x509.split_chain(client.download(order))[0]
    assert x509.names_of(leaf) == {name}


def test_letters_of_the_request_are_folded(client):
    name = fresh()[0]
    order = client.order([name])
    client.finalize(order, x509.make_csr([name.upper()], key()))
    leaf = x509.split_chain(client.download(order))[0]
    assert x509.names_of(leaf) == {name}


def test_wildcards_and_addresses_get_certificates(server, client, tmp_path):
    name = fresh()[0]
    names = [f"*.{name}", name, "192.0.2.17", "2001:db8::17"]
    _, pem, _ = client.obtain(names, key=key())
    assert x509.names_of(x509.split_chain(pem)[0]) == set(names)
    x509.openssl_verify(pem, server.root, tmp_path)


def test_dates_that_were_ordered_are_kept(client):
    """RFC 8555 section 7.4: notBefore and notAfter, within the profile."""
    names = fresh()
    now = datetime.datetime.utcnow().replace(microsecond=0)
    after = now + datetime.timedelta(days=7)
    order = client.order(names, notAfter=after.isoformat() + "Z")
    assert order["notAfter"] == after.isoformat() + "Z"
    client.finalize(order, x509.make_csr(names, key()))
    leaf = x509.split_chain(client.download(order))[0]
    assert leaf.not_valid_after in (
        after, after - datetime.timedelta(seconds=1))
    before = now + datetime.timedelta(days=1)
    order = client.order(names, notBefore=before.isoformat() + "Z",
                         notAfter=after.isoformat() + "Z")
    client.finalize(order, x509.make_csr(names, key()))
    leaf = x509.split_chain(client.download(order))[0]
    assert leaf.not_valid_before == before


def test_dates_are_kept_however_late_the_order_is_finalized(
        new_server, engine):
    """The end that was left open is as far away as the profile allows,
    counted from notBefore; an end that has passed is no end."""
    server = new_server(engine, profiles="""
profile default {
  issuer = local
  open = true
  lifetime = 10h
}
""").start()
    client = server.client()
    client.register()

    def ordered(**members):
        names = fresh()
        order = client.order(names, **members)
        return order, x509.make_csr(names, key()), f"""
            WHERE id = '{order.url.rpartition("/")[2]}'"""
    now = datetime.datetime.utcnow().replace(microsecond=0)
    order, csr, row = ordered(notBefore=now.isoformat() + "Z")
    server.store.execute(
        f"UPDATE orders SET not_before = not_before - 3600000000 {row}")
    client.finalize(order, csr)
    leaf = x509.split_chain(client.download(order))[0]
    begin = now - datetime.timedelta(hours=1)
    assert leaf.not_valid_before == begin
    assert leaf.not_valid_after == begin + datetime.timedelta(
        hours=10, seconds=-1)
    after = (now + datetime.timedelta(hours=2)).isoformat() + "Z"
    order, csr, row = ordered(notAfter=after)
    server.store.execute(f"UPDATE orders SET not_after = 1 {row}")
    response = finalize(client, order, csr)
    assert (response.status, response.problem) == (403, "orderNotReady")
    assert "notAfter" in response.json["detail"]


def test_a_hundred_names_fit(client):
    names = fresh(100)
    _, pem, _ = client.obtain(names, key=key())
    assert x509.names_of(x509.split_chain(pem)[0]) == set(names)


def test_as_many_names_as_there_can_be(new_server):
    """256 is the bound of max_identifiers and of a certificate."""
    client = new_server(profiles="""
profile default {
  issuer = local
  open = true
  max_identifiers = 256
}
""").start().client()
    names = fresh(256)
    _, pem, _ = client.obtain(names, key=key())
    assert x509.names_of(x509.split_chain(pem)[0]) == set(names)
    response = client.send(client.directory["newOrder"], {
        "identifiers": acme.identifiers([*names, "more.example.org"])})
    assert (response.status, response.problem) == (400, "malformed")
    assert "256" in response.json["detail"]


def test_a_certificate_outlives_a_restart(new_server, engine):
    server = new_server(engine).start()
    client = server.client()
    order, pem, _ = client.obtain(fresh(), key=key())
    server.restart()
    assert client.post(order["certificate"]).body == pem
    assert client.refresh(order).status == "valid"
    _, other, _ = client.obtain(fresh(), key=key())
    assert (x509.der(x509.split_chain(other)[1])
            == x509.der(x509.split_chain(pem)[1]))


def test_what_was_handed_out_is_in_the_store(new_server, engine):
    server = new_server(engine).start()
    client = server.client()
    _, pem, _ = client.obtain(fresh(), key=key())
    der = x509.der(x509.split_chain(pem)[0])
    assert der in stored_certificates(server.store)


def stored_certificates(store):
    """Certificates in the database, looked for without knowing columns."""
    rows = store.query("SELECT * FROM certificates")
    return {value for row in rows for value in row
            if isinstance(value, bytes)}


# ---- what is refused; the order stays as it was

def swapped(data, old, new):
    assert old in data and len(old) == len(new)
    return data.replace(old, new)


def broken_signature(names):
    csr = bytearray(x509.make_csr(names, key()))
    csr[-3] ^= 1
    return bytes(csr)


def name_changed_after_signing(names):
    csr = x509.make_csr(["x" + names[0][1:]], key())
    return swapped(csr, b"x" + names[0][1:].encode(), names[0].encode())


def other_san(kind):
    def make(names):
        return x509.make_csr([*names, kind], key())
    return make


def san_twice(names):
    """Two SAN extensions: the second one's OID is made a SAN's by hand."""
    other = cx509.IssuerAlternativeName([cx509.DNSName(names[0])])
    csr = x509.make_csr(names, key(), extensions=[(other, False)])
    return swapped(csr, bytes.fromhex("0603551d12"),
                   bytes.fromhex("0603551d11"))


def as_ca(names):
    basic = cx509.BasicConstraints(ca=True, path_length=None)
    return x509.make_csr(names, key(), extensions=[(basic, True)])


BAD_CSR = {
    "empty": lambda names: b"",
    "garbage": lambda names: b"\x30\x03\x02\x01\x00",
    "random": lambda names: b"\x30\x82\x01\x00" + bytes(range(256)),
    "pem": lambda names: x509.pem_request(x509.make_csr(names, key())),
    "cut short": lambda names: x509.make_csr(names, key())[:-1],
    "trailing byte": lambda names: x509.make_csr(names, key()) + b"\0",
    "broken signature": broken_signature,
    "changed after signing": name_changed_after_signing,
    "missing name": lambda names: x509.make_csr(names[:1], key()),
    "one name more": lambda names: x509.make_csr(
        [*names, "more.example.org"], key()),
    "another name": lambda names: x509.make_csr(
        [names[0], "other.example.org"], key()),
    "an address more": lambda names: x509.make_csr(
        [*names, "192.0.2.1"], key()),
    "common name not ordered": lambda names: x509.make_csr(
        names, key(), cn="cn.example.org"),
    "no names": lambda names: x509.make_csr([], key()),
    "no names but a common name": lambda names: x509.make_csr(
        [], key(), cn="An Organisation"),
    "wildcard not ordered": lambda names: x509.make_csr(
        [names[0], "*.example.org"], key()),
    "e-mail name": other_san(cx509.RFC822Name("root@example.org")),
    "uri name": other_san(cx509.UniformResourceIdentifier(
        "https://example.org/")),
    "directory name": other_san(cx509.DirectoryName(cx509.Name([
        cx509.NameAttribute(cx509.NameOID.COMMON_NAME, "x")]))),
    "other name": other_san(cx509.OtherName(
        cx509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x01x")),
    "registered id": other_san(cx509.RegisteredID(
        cx509.ObjectIdentifier("1.2.3.4"))),
    "two SAN extensions": san_twice,
    "NUL in a name": lambda names: swapped(
        x509.make_csr([names[0], names[1] + "x.evil"], key()),
        b"x.evil", b"\0.evil"),
    "a CA": as_ca,
    "sha1 signature": lambda names: x509.make_csr(
        names, key("RSA-2048"), digest=hashes.SHA1()),
    "rsa 1024": lambda names: x509.make_csr(names, key("RSA-1024")),
    "rsa exponent 3": lambda names: x509.make_csr(
        names, KEYS.setdefault("e3", rsa.generate_private_key(3, 2048))),
    "secp256k1": lambda names: x509.make_csr(
        names, KEYS.setdefault("k1", ec.generate_private_key(
            ec.SECP256K1()))),
    "P-224": lambda names: x509.make_csr(
        names, KEYS.setdefault("P-224", ec.generate_private_key(
            ec.SECP224R1()))),
    "dsa": lambda names: x509.make_csr(
        names, KEYS.setdefault("dsa", dsa.generate_private_key(2048))),
    "giant": lambda names: x509.make_csr(
        names + [f"{i}.{'x' * 50}.example.org" for i in range(400)], key()),
}


@pytest.fixture(scope="module")
def target(client):
    """An order of two names that no request below fits."""
    names = fresh(2)
    return client.order(names), names


@pytest.mark.parametrize("what", BAD_CSR)
def test_a_bad_request_for_a_certificate(client, target, what):
    order, names = target
    response = finalize(client, order, BAD_CSR[what](names))
    assert (response.status, response.problem) == (400, "badCSR")
    assert len(response.json["detail"]) > 10
    assert client.refresh(order).status == "ready"


def test_the_accounts_own_key_is_refused(server):
    client = server.client("ES256")
    client.register()
    names = fresh()
    order = client.order(names)
    csr = x509.make_csr(names, client.key.private)
    response = finalize(client, order, csr)
    assert (response.status, response.problem) == (400, "badCSR")
    client.finalize(order, x509.make_csr(names, key()))


@pytest.mark.parametrize("payload", [
    {}, {"csr": None}, {"csr": 1}, {"csr": ["AA"]}, [], "csr", b"{", b"",
    {"csr": "A"}, {"csr": "AAA="}, {"csr": "a+b/"}, {"csr": "AA\n"},
    {"csr": "AB"},
], ids=repr)
def test_a_bad_payload_for_finalize(client, target, payload):
    order, _ = target
    response = client.send(order["finalize"], payload)
    assert response.status == 400
    assert response.problem in ("malformed", "badCSR")
    assert client.refresh(order).status == "ready"


def test_after_all_that_the_order_can_still_be_finalized(client, target):
    order, names = target
    client.finalize(order, x509.make_csr(names, key()))


@pytest.mark.parametrize("allowed, good, bad", [
    ('"ecdsa-p256"', "P-256", "P-384"),
    ('"rsa2048", "ed25519"', "RSA-2048", "RSA-3072"),
    ('"rsa2048", "ed25519"', "Ed25519", "P-256"),
])
def test_a_profile_names_the_kinds_of_keys(new_server, allowed, good, bad):
    server = new_server(profiles=f"""
profile default {{
  issuer = local
  open = true
  key_types = {{ {allowed} }}
}}
""").start()
    client = server.client()
    client.register()
    names = fresh()
    order = client.order(names)
    response = finalize(client, order, x509.make_csr(names, key(bad)))
    assert (response.status, response.problem) == (400, "badCSR")
    client.finalize(order, x509.make_csr(names, key(good)))


# ---- one order, one certificate

def test_finalizing_again_makes_no_second_certificate(client):
    names = fresh()
    order, pem, _ = client.obtain(names, key=key())
    url = order["certificate"]
    for csr in (x509.make_csr(names, key()),
                x509.make_csr(names, key("P-384"))):
        response = finalize(client, order, csr)
        if response.status != 200:
            assert (response.status, response.problem) == (
                403, "orderNotReady")
    client.refresh(order)
    assert (order.status, order["certificate"]) == ("valid", url)
    assert client.download(order) == pem


def test_many_at_once_finalize_one_order(server):
    """One winner; the others are told how the order stands."""
    owner = server.client()
    owner.register()
    names = fresh()
    order = owner.order(names)
    calls = []
    for _ in range(6):
        rival = owner.twin()
        body = rival.sign(order["finalize"], {
            "csr": b64(x509.make_csr(names, x509.new_key()))})
        calls.append(functools.partial(rival.send, order["finalize"],
                                       body=body))
    answers = acme.at_once(calls)
    for answer in answers:
        assert answer.status == 200 or answer.problem == "orderNotReady"
    assert any(answer.status == 200 for answer in answers)
    owner.refresh(order)
    owner.wait(order)
    urls = {a.json["certificate"] for a in answers
            if a.status == 200 and "certificate" in a.json}
    assert urls <= {order["certificate"]}


def test_a_foreign_order_cannot_be_finalized(server, client):
    names = fresh()
    order = client.order(names)
    stranger = server.client()
    stranger.register()
    response = finalize(stranger, order, x509.make_csr(names, key()))
    assert response.status in (403, 404)
    assert response.problem in ("malformed", "unauthorized")
    assert client.refresh(order).status == "ready"


def test_an_order_expires(new_server):
    server = new_server(profiles="""
profile default {
  issuer = local
  open = true
  order_lifetime = 1s
}
""").start()
    client = server.client()
    client.register()
    names = fresh()
    order = client.order(names)
    end = datetime.datetime.fromisoformat(
        order["expires"].replace("Z", "+00:00"))
    servers.wait_for(
        lambda: datetime.datetime.now(datetime.timezone.utc) > end
        + datetime.timedelta(seconds=1.1), 5, "the order to expire")
    response = finalize(client, order, x509.make_csr(names, key()))
    assert response.status in (403, 404)
    assert response.problem in ("orderNotReady", "malformed")
    again = client.order(names)
    assert again.url != order.url
