# SPDX-License-Identifier: ISC
"""Procedures of certloop-ca(7): its commands are run as they stand there."""

import datetime
import re
import secrets
import subprocess
from pathlib import Path

import pytest
from cryptography import x509 as cx509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

import servers
import x509
from jose import b64

PAGE = Path(__file__).resolve().parents[2] / "man" / "certloop-ca.7"


def commands(section):
    """The shell lines of a subsection of the page."""
    text = PAGE.read_text().split(f".Ss {section}\n")[1].split("\n.Ss ")[0]
    blocks = re.findall(r"\.Bd -literal[^\n]*\n(.*?)\n\.Ed", text, re.S)
    script = "\n".join(b for b in blocks if b.startswith("$ "))
    assert script
    return re.sub(r"^\$ ", "", script, flags=re.M).replace("\\e", "\\")


def sections(section):
    """The configuration that a subsection shows."""
    text = PAGE.read_text().split(f".Ss {section}\n")[1].split("\n.Ss ")[0]
    blocks = re.findall(r"\.Bd -literal[^\n]*\n(.*?)\n\.Ed", text, re.S)
    return "\n".join(b for b in blocks if not b.startswith("$ "))


def sh(script, folder):
    done = subprocess.run(["sh", "-euc", script], cwd=folder,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def obtain(server):
    client = server.client()
    _, chain, _ = client.obtain([f"{secrets.token_hex(5)}.example.org"])
    x509.openssl_verify(chain, server.root, server.directory)
    return client, x509.split_chain(chain)


def crl_of(server, issuer):
    http = server.web()
    response = servers.wait_for(
        lambda: (r := http.get(f"{server.base}/ca/{issuer}/crl")).status
        == 200 and r, 20, "the CRL")
    return cx509.load_der_x509_crl(response.body)


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_a_new_issuing_ca_takes_over_and_the_old_one_still_revokes(
        new_server, engine):
    server = new_server(engine).start()
    client, old = obtain(server)
    ca = server.data / "ca"
    sh(commands("A new issuing CA"), ca)
    server.stop()
    shown = sections("A new issuing CA").replace(
        "/var/lib/certloop/ca", str(ca))
    assert "issuer local { }" in shown and "issuer = next" in shown
    server.extra = re.search(r"issuer next \{.*?\n\}", shown, re.S).group()
    server.profiles = server.PROFILES.replace("issuer = local",
                                              "issuer = next")
    server.write_config()
    server.start()
    assert server.ctl("config", "check", str(server.file)).returncode == 0
    _, new = obtain(server)
    assert new[1].subject.rfc4514_string() == "CN=Issuing CA 2"
    assert old[1].subject != new[1].subject
    client.post(client.directory["revokeCert"],     # with a fresh nonce
                {"certificate": b64(x509.der(old[0]))})
    serial = old[0].serial_number
    servers.wait_for(
        lambda: crl_of(server, "local")
        .get_revoked_certificate_by_serial_number(serial), 20,
        "the entry in the old one's CRL", 0.2)
    crl = crl_of(server, "next")
    assert crl.get_revoked_certificate_by_serial_number(serial) is None
    assert crl.is_signature_valid(new[1].public_key())
    assert not crl.is_signature_valid(old[1].public_key())


def test_a_key_is_encrypted_at_rest(new_server):
    server = new_server().start()
    _, before = obtain(server)
    server.stop()
    ca = server.data / "ca"
    sh(commands("A key that is encrypted at rest"), ca)
    (ca / "issuing.key").rename(server.directory / "away")
    locked = (ca / "issuing.enc").read_text()
    assert "BEGIN ENCRYPTED PRIVATE KEY" in locked
    files = (f'type = local\n  certificate = "{ca}/issuing.pem"\n'
             f'  key = "{ca}/issuing.enc"\n')
    server.issuer = files
    server.write_config()
    done = server.run("-c", server.file)
    assert done.returncode == 3
    assert "encrypted key, and no passphrase is given" in done.stdout
    server.issuer = files + f'  key_passphrase_file = "{ca}/issuing.pass"\n'
    server.write_config()
    server.start()
    _, after = obtain(server)
    assert after[1] == before[1]
    server.stop()
    (ca / "issuing.pass").write_text("wrong\n")
    done = server.run("-c", server.file)
    assert done.returncode == 3
    assert "the passphrase does not open" in done.stdout
    assert "wrong" not in done.stdout


def test_two_issuers_with_one_key_are_refused(new_server):
    server = new_server(extra="issuer twin { }\n")
    done = server.run("-c", server.file)
    assert done.returncode == 3
    assert "issuers local and twin have the same key" in done.stdout


# ---- two chains

def make_authority(title, key, above=None):
    """A CA certificate for the key, self-signed or by (certificate, key)."""
    day = datetime.timedelta(days=1)
    now = datetime.datetime.utcnow().replace(microsecond=0)
    name = cx509.Name([cx509.NameAttribute(NameOID.COMMON_NAME, title)])
    public, signer = key.public_key(), above[1] if above else key
    return (
        cx509.CertificateBuilder().subject_name(name)
        .issuer_name(above[0].subject if above else name).public_key(public)
        .serial_number(cx509.random_serial_number())
        .not_valid_before(now - day).not_valid_after(now + 900 * day)
        .add_extension(cx509.BasicConstraints(True, None), True)
        .add_extension(cx509.KeyUsage(
            False, False, False, False, False, True, True, False, False),
            True)
        .add_extension(cx509.SubjectKeyIdentifier.from_public_key(public),
                       False)
        .add_extension(
            cx509.AuthorityKeyIdentifier.from_issuer_public_key(
                signer.public_key()), False)
        .sign(signer, hashes.SHA256()))


def pem_of(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture
def crossed(tmp_path):
    """A CA that two roots have signed: (roots, options of the issuer)."""
    keys = [x509.new_key() for _ in range(3)]
    roots = [make_authority(f"Root {n}", keys[n]) for n in range(2)]
    for n, root in enumerate(roots):
        (tmp_path / f"root{n}.pem").write_text(pem_of(root))
        (tmp_path / f"ca{n}.pem").write_text(pem_of(
            make_authority("Crossed CA", keys[2], (root, keys[n]))))
    key = tmp_path / "ca.key"
    key.touch(mode=0o600)
    key.write_bytes(keys[2].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()))
    return tmp_path, (f'certificate = "{tmp_path}/ca0.pem"\n'
                      f'key = "{key}"\n'
                      f'alternate_chain = "{tmp_path}/ca1.pem"')


CROSSED = """
profile default {
  issuer = crossed
  auth_mode = trust_authenticated
  open = true
}
"""


def links(response):
    return re.findall(r'<([^>]*)>;rel="alternate"',
                      ", ".join(response.headers("Link")))


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_a_client_may_choose_the_other_chain(new_server, engine, crossed):
    folder, options = crossed
    server = new_server(engine, profiles=CROSSED,
                        extra="issuer crossed {\n" + options + "\n}").start()
    client = server.client()
    order, chain, _ = client.obtain([f"{secrets.token_hex(5)}.example.org"])
    x509.openssl_verify(chain, folder / "root0.pem", server.directory)
    first = client.post(order["certificate"])
    other = links(first)
    assert len(other) == 1
    second = client.post(other[0])
    assert second.header("Content-Type") == "application/pem-certificate-chain"
    x509.openssl_verify(second.body, folder / "root1.pem", server.directory)
    assert x509.split_chain(second.body)[0] == x509.split_chain(chain)[0]
    assert x509.split_chain(second.body)[1] != x509.split_chain(chain)[1]
    assert links(second) == [order["certificate"]]
    # it is its owner's, and there only if there is another chain
    stranger = server.client()
    stranger.register()
    assert stranger.send(other[0]).status == 404
    assert client.send(other[0][:-1] + "!").status == 404


def test_without_another_chain_there_is_no_link(server):
    client = server.client()
    order, _, _ = client.obtain([f"{secrets.token_hex(5)}.example.org"])
    assert links(client.post(order["certificate"])) == []
    url = order["certificate"].replace("/cert/", "/alternate/")
    assert client.send(url).status == 404


def test_a_chain_of_another_ca_stops_the_start(new_server, crossed):
    folder, options = crossed
    (folder / "ca1.pem").write_text((folder / "root1.pem").read_text())
    server = new_server("sqlite", profiles=CROSSED,
                        extra="issuer crossed {\n" + options + "\n}")
    server.spawn()
    assert server.wait_end() == 3
    assert "ca1.pem" in server.log()
