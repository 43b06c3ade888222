# SPDX-License-Identifier: ISC
"""CRLs in shards: each certificate names the one that it would be in."""

import subprocess
import time

import pytest
from cryptography import x509 as cx509
from cryptography.hazmat.primitives import serialization

import servers
import web
import x509
from ocsp_world import fresh, revoke, seconds

PEM = serialization.Encoding.PEM


def issuer(shards):
    return f"type = local\ncrl_shards = {shards}"


@pytest.fixture
def sharded(new_server):
    """sharded(engine, n): a server with a listener of kind ca."""
    def start(engine="sqlite", shards=4):
        port = servers.free_port()
        server = new_server(
            engine, top=f'ca_url = "http://localhost:{port}"',
            issuer=issuer(shards),
            extra=f'listener ca {{\n  kind = ca\n'
                  f'  address = "127.0.0.1:{port}"\n}}\n')
        server.ca_base = f"http://localhost:{port}/ca/local"
        return server.start()
    return start


def obtain(server, client=None):
    client = client or server.client()
    _, chain, _ = client.obtain([fresh()])
    return client, x509.split_chain(chain)


def url_of(leaf):
    point, = leaf.extensions.get_extension_for_class(
        cx509.CRLDistributionPoints).value
    name, = point.full_name
    return name.value


def shard_of(leaf, n):
    return (leaf.serial_number & 0xff) * n // 256


def load(url):
    http = web.Web()
    response = servers.wait_for(
        lambda: (r := http.get(url)).status == 200 and r, 30, url, 0.1)
    assert response.header("Content-Type") == "application/pkix-crl"
    return cx509.load_der_x509_crl(response.body)


def entry_of(url, leaf):
    return load(url).get_revoked_certificate_by_serial_number(
        leaf.serial_number)


def verify(server, directory, chain, crl):
    """openssl verify with this CRL and no other; what it says if not OK."""
    files = [directory / n for n in ("leaf.pem", "rest.pem", "crl.pem")]
    files[0].write_bytes(chain[0].public_bytes(PEM))
    files[1].write_bytes(b"".join(c.public_bytes(PEM) for c in chain[1:]))
    files[2].write_bytes(crl.public_bytes(PEM))
    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-extended_crl", "-no-CApath",
         "-no-CAstore", "-CAfile", server.root, "-untrusted", files[1],
         "-CRLfile", files[2], "-crl_check", files[0]],
        capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def other_shard(chain, others, n=4):
    return next(c for c in others if shard_of(c[0], n)
                != shard_of(chain[0], n))


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_openssl_verifies_by_the_shard_that_the_certificate_names(
        sharded, tmp_path, engine):
    server = sharded(engine)
    client, chain = obtain(server)
    others = [obtain(server, client)[1] for _ in range(12)]
    for c in [chain, *others]:
        assert url_of(c[0]) == \
            f"{server.ca_base}/crl/4/{shard_of(c[0], 4)}"
    other = other_shard(chain, others)
    url = url_of(chain[0])
    crl = load(url)
    idp = crl.extensions.get_extension_for_class(
        cx509.IssuingDistributionPoint)
    assert idp.critical
    assert [n.value for n in idp.value.full_name] == [url]
    assert verify(server, tmp_path, chain, crl) == ""
    # a shard says nothing about who is not in it
    assert "ifferent CRL scope" in verify(
        server, tmp_path, chain, load(url_of(other[0])))
    revoke(client, chain[0], 1)
    servers.wait_for(lambda: entry_of(url, chain[0]), 20, "the entry", 0.2)
    assert "certificate revoked" in verify(server, tmp_path, chain, load(url))
    assert entry_of(url_of(other[0]), chain[0]) is None
    assert verify(server, tmp_path, other, load(url_of(other[0]))) == ""
    # the complete one has them all, and no distribution point
    servers.wait_for(lambda: entry_of(f"{server.ca_base}/crl", chain[0]), 20,
                     "the entry in the complete list", 0.2)
    crl = load(f"{server.ca_base}/crl")
    assert len(crl.extensions) == 2
    assert "certificate revoked" in verify(server, tmp_path, chain, crl)


def test_all_shards_together_are_the_complete_list(sharded):
    server = sharded(shards=3)
    client = server.client()
    leaves = [obtain(server, client)[1][0] for _ in range(20)]
    for leaf in leaves:
        revoke(client, leaf)
    want = {leaf.serial_number for leaf in leaves}
    urls = [f"{server.ca_base}/crl/3/{i}" for i in range(3)]

    def listed(url):
        return {e.serial_number for e in load(url)}
    servers.wait_for(
        lambda: set().union(*map(listed, urls)) == want, 30, "all of them",
        0.3)
    assert sum(len(listed(u)) for u in urls) == len(want)
    for i, url in enumerate(urls):
        assert listed(url) == {leaf.serial_number for leaf in leaves
                               if shard_of(leaf, 3) == i}
    servers.wait_for(lambda: listed(f"{server.ca_base}/crl") == want, 20,
                     "the complete list", 0.3)


@pytest.mark.parametrize("path", ["4/4", "4/04", "4/", "4", "1/0", "0/0",
                                  "5/0", "4/-1", "256/1", "999/1", "4/1/1",
                                  "4/1x", "x/1", "4294967300/0"])
def test_there_is_no_other_shard(sharded, path):
    server = sharded()
    assert web.Web().get(f"{server.ca_base}/crl/{path}").status == 404


def test_old_shards_are_served_until_their_certificates_have_ended(sharded):
    server = sharded(shards=4)
    client, (leaf, *_) = obtain(server)
    old = url_of(leaf)
    load(old)
    server.issuer = issuer(6)
    server.write_config()
    server.hup()
    _, (new, *_) = servers.wait_for(
        lambda: "/crl/6/" in url_of((o := obtain(server, client))[1][0])
        and o, 20, "a certificate of the new number")
    assert url_of(new) == f"{server.ca_base}/crl/6/{shard_of(new, 6)}"
    load(url_of(new))
    # what is revoked now is in the shard that its certificate names
    revoke(client, leaf, 1)
    servers.wait_for(lambda: entry_of(old, leaf), 20, "the entry", 0.2)
    revoke(client, new, 1)
    servers.wait_for(lambda: entry_of(url_of(new), new), 20, "the entry", 0.2)
    ends = servers.wait_for(
        lambda: (rows := server.store.query(
            "SELECT needed FROM crls WHERE list LIKE '4/%'"))
        and all(n for n, in rows) and rows, 30, "an end of the old shards")
    assert len(ends) == 4
    # by a profile of 90 days, also that of one given a moment later
    (last,), = server.store.query("SELECT max(created) FROM certificates")
    for end, in ends:
        end -= (7 + 90) * 86400 * 10 ** 6
        assert seconds(leaf.not_valid_before) * 10 ** 6 <= end
        assert abs(end - last) < 3600 * 10 ** 6
    assert server.store.query(
        "SELECT count(*) FROM crls WHERE needed IS NULL")[0][0] == 7
    # when that has come they go
    server.store.execute("UPDATE crls SET needed = 1 WHERE needed IS NOT NULL")
    servers.wait_for(lambda: web.Web().get(old).status == 404, 40,
                     "the end of the old shard", 0.3)
    assert server.store.query(
        "SELECT count(*) FROM crls WHERE list LIKE '4/%'")[0][0] == 0
    load(url_of(new))


def test_a_number_that_comes_back_keeps_its_shards(sharded):
    server = sharded(shards=2)
    load(f"{server.ca_base}/crl/2/0")
    for shards, needed in ((1, True), (2, False)):
        server.issuer = issuer(shards)
        server.write_config()
        server.hup()
        servers.wait_for(
            lambda: [n is not None for n, in server.store.query(
                "SELECT needed FROM crls WHERE list LIKE '2/%'")]
            == [needed] * 2, 40, "the shards to be retired, or taken back",
            0.3)
        load(f"{server.ca_base}/crl/2/1")


def test_without_a_url_there_are_none(new_server):
    server = new_server(issuer=issuer(4)).start()
    _, (leaf, *_) = obtain(server)
    servers.wait_for(
        lambda: server.web().get(f"{server.base}/ca/local/crl").status == 200,
        20, "the complete list")
    time.sleep(0.5)
    assert server.store.query("SELECT list FROM crls") == [("",)]
    assert not [e for e in leaf.extensions
                if isinstance(e.value, cx509.CRLDistributionPoints)]
