# SPDX-License-Identifier: ISC
"""What certificates of a profile say beside their names: purposes, TLS
features (RFC 7633), and that nobody tells of a revocation (RFC 9608)."""

import secrets

import pytest
from cryptography import x509 as cx509
from cryptography.x509.oid import (AuthorityInformationAccessOID,
                                   ExtendedKeyUsageOID, ExtensionOID)

import servers
import x509
from jose import b64

NO_REV_AVAIL = cx509.ObjectIdentifier("2.5.29.56")
STAPLE = cx509.TLSFeature([cx509.TLSFeatureType.status_request])
STAPLE_V2 = cx509.TLSFeature([cx509.TLSFeatureType.status_request_v2])
BOTH = cx509.TLSFeature([cx509.TLSFeatureType.status_request,
                         cx509.TLSFeatureType.status_request_v2])

PROFILES = """
profile default {
  issuer = local
  open = true
}
profile staple {
  issuer = local
  open = true
  tls_feature = yes
}
profile short {
  issuer = local
  open = true
  no_rev_avail = yes
  lifetime = 1h
}
profile client {
  issuer = local
  open = true
  server_auth = no
  client_auth = yes
}
profile both {
  issuer = local
  open = true
  client_auth = yes
}
"""


@pytest.fixture(scope="module")
def said(build, engine, new_store, tmp_path_factory):
    daemon = servers.Certloopd(
        build, tmp_path_factory.mktemp(f"extensions-{engine}"),
        store=new_store(engine), profiles=PROFILES,
        top='ca_url = "http://ca.example.org"')
    daemon.start()
    yield daemon
    daemon.remove()


def ready(server, profile):
    client = server.client(profile=profile)
    client.register()
    names = [f"{secrets.token_hex(5)}.example.org"]
    return client, client.order(names), names


def obtain(server, profile, *extensions):
    client, order, names = ready(server, profile)
    client.finalize(order, x509.make_csr(
        names, x509.new_key(), extensions=[(e, False) for e in extensions]))
    return client.download(order)


def leaf_of(pem):
    return x509.split_chain(pem)[0]


def find(certificate, oid):
    try:
        return certificate.extensions.get_extension_for_oid(oid)
    except cx509.ExtensionNotFound:
        return None


def methods(certificate):
    aia = find(certificate, ExtensionOID.AUTHORITY_INFORMATION_ACCESS)
    return {d.access_method for d in aia.value} if aia else set()


# ---- the TLS feature

def test_must_staple_is_refused_where_it_is_not_allowed(said):
    for profile in ("default", "short"):
        client, order, names = ready(said, profile)
        response = client.send(order["finalize"], {"csr": b64(x509.make_csr(
            names, x509.new_key(), extensions=[(STAPLE, False)]))})
        assert (response.status, response.problem) == (400, "badCSR")
        assert "must-staple" in response.json["detail"]
        # without it the order is as good as before
        assert client.refresh(order).status == "ready"
        client.finalize(order, x509.make_csr(names, x509.new_key()))


def test_must_staple_is_in_the_certificate_where_it_is_allowed(said):
    leaf = leaf_of(obtain(said, "staple", STAPLE))
    feature = find(leaf, ExtensionOID.TLS_FEATURE)
    assert feature.value == STAPLE and not feature.critical
    assert AuthorityInformationAccessOID.OCSP in methods(leaf)


def test_must_staple_is_for_those_who_ask(said):
    assert find(leaf_of(obtain(said, "staple")),
                ExtensionOID.TLS_FEATURE) is None


@pytest.mark.parametrize("feature", [STAPLE_V2, BOTH],
                         ids=["status_request_v2", "both"])
@pytest.mark.parametrize("profile", ["default", "staple"])
def test_other_features_are_refused(said, profile, feature):
    client, order, names = ready(said, profile)
    response = client.send(order["finalize"], {"csr": b64(x509.make_csr(
        names, x509.new_key(), extensions=[(feature, False)]))})
    assert (response.status, response.problem) == (400, "badCSR")
    assert "TLS feature" in response.json["detail"]


# ---- short-lived certificates

def test_no_rev_avail_and_no_address_for_revocation(said, tmp_path):
    pem = obtain(said, "short")
    leaf = leaf_of(pem)
    extension = find(leaf, NO_REV_AVAIL)
    assert extension.value.value == b"\x05\x00"
    assert not extension.critical
    assert find(leaf, ExtensionOID.CRL_DISTRIBUTION_POINTS) is None
    assert methods(leaf) == {AuthorityInformationAccessOID.CA_ISSUERS}
    life = leaf.not_valid_after - leaf.not_valid_before
    assert life.total_seconds() == 3599
    x509.openssl_verify(pem, said.root, tmp_path)


def test_other_profiles_say_where_to_ask(said):
    leaf = leaf_of(obtain(said, "default"))
    assert find(leaf, NO_REV_AVAIL) is None
    assert find(leaf, ExtensionOID.CRL_DISTRIBUTION_POINTS) is not None
    assert methods(leaf) == {AuthorityInformationAccessOID.CA_ISSUERS,
                             AuthorityInformationAccessOID.OCSP}


def test_a_csr_cannot_ask_for_no_rev_avail(said):
    """The profile decides, as it does about all but the TLS feature."""
    asked = cx509.UnrecognizedExtension(NO_REV_AVAIL, b"\x05\x00")
    assert find(leaf_of(obtain(said, "default", asked)), NO_REV_AVAIL) is None


# ---- purposes

SERVER, CLIENT = (ExtendedKeyUsageOID.SERVER_AUTH,
                  ExtendedKeyUsageOID.CLIENT_AUTH)


@pytest.mark.parametrize("profile, purposes, good", [
    ("default", {SERVER}, ["sslserver"]),
    ("client", {CLIENT}, ["sslclient"]),
    ("both", {SERVER, CLIENT}, ["sslserver", "sslclient"]),
])
def test_purposes_are_the_profiles(said, tmp_path, profile, purposes, good):
    """Whatever the CSR asks for."""
    for asked in ([], [cx509.ExtendedKeyUsage([
            ExtendedKeyUsageOID.CODE_SIGNING])]):
        pem = obtain(said, profile, *asked)
        eku = find(leaf_of(pem), ExtensionOID.EXTENDED_KEY_USAGE)
        assert set(eku.value) == purposes
        for purpose in ("sslserver", "sslclient"):
            if purpose in good:
                x509.openssl_verify(pem, said.root, tmp_path, purpose)
            else:
                with pytest.raises(AssertionError):
                    x509.openssl_verify(pem, said.root, tmp_path, purpose)


# ---- the configuration

@pytest.mark.parametrize("options, word", [
    ("tls_feature = yes", "ca_url"),
    ("tls_feature = yes\n  no_rev_avail = yes", "only one of them"),
])
def test_what_cannot_be_said_stops_the_start(new_server, options, word):
    server = new_server(profiles=f"""
profile default {{
  issuer = local
  open = true
  lifetime = 1d
  {options}
}}
""")
    done = server.run("-t", "-c", server.file)
    assert done.returncode == 3
    assert word in done.stdout


def test_a_long_life_without_revocation_is_warned_about(new_server):
    server = new_server(profiles="""
profile default {
  issuer = local
  open = true
  lifetime = 30d
  no_rev_avail = yes
}
""")
    done = server.run("-t", "-c", server.file)
    assert done.returncode == 0
    assert "no_rev_avail" in done.stdout


def test_a_loop_of_the_profile_has_it_too(new_server, tmp_path):
    new_server(profiles=f"""
profile default {{
  issuer = local
  open = true
  lifetime = 1d
  no_rev_avail = yes
}}
loop web {{
  names = web.example.org
  folder = "{tmp_path}/out"
}}
""").start()
    path = tmp_path / "out" / "current" / "cert.pem"
    servers.wait_for(path.exists, 20, "the certificate of a loop")
    leaf = leaf_of(path.read_bytes())
    assert find(leaf, NO_REV_AVAIL) is not None
