# SPDX-License-Identifier: ISC
"""Real clients: each registers and obtains a certificate on both engines.

What each of them needs is said in tests/lib/clients.py.
"""

import secrets
import shutil
import subprocess

import pytest

import clients
import x509


@pytest.fixture(params=clients.NAMES)
def name(request):
    if shutil.which(request.param) is None:
        pytest.fail(f"no {request.param}: install the package of that name")
    return request.param


def test_a_client_obtains_a_certificate(server, name, tmp_path):
    word = secrets.token_hex(5)
    names = [f"{word}.example.org", f"www.{word}.example.org"]
    run = clients.Run(tmp_path / name, f"{server.profile_url()}/directory",
                      server.root)
    chain = run.obtain(name, names).read_bytes()
    certificates = x509.split_chain(chain)
    assert len(certificates) == 2
    assert x509.names_of(certificates[0]) == set(names)
    x509.openssl_verify(chain, server.root, tmp_path)
    rows = server.store.query("SELECT der FROM certificates")
    assert (x509.der(certificates[0]),) in rows


def test_a_client_comes_back_to_its_account(server, name, tmp_path):
    """The second certificate of one account, by the short URL."""
    run = clients.Run(tmp_path / name, f"{server.base}/acme/directory",
                      server.root)
    serials = set()
    for _ in range(2):
        word = secrets.token_hex(5)
        chain = run.obtain(name, [f"{word}.example.org"]).read_bytes()
        leaf = x509.split_chain(chain)[0]
        assert x509.names_of(leaf) == {f"{word}.example.org"}
        serials.add(leaf.serial_number)
    assert len(serials) == 2


def test_a_wildcard_by_lego(server, tmp_path):
    word = secrets.token_hex(5)
    run = clients.Run(tmp_path / "lego", f"{server.base}/acme/directory",
                      server.root)
    run.lego([f"{word}.example.org", f"*.{word}.example.org"])
    assert list((tmp_path / "lego/certificates").glob("*.crt"))


def test_curl_and_openssl_agree_with_the_server(server):
    """TLS as the rest of the world speaks it."""
    done = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "--cacert", server.root,
         f"{server.base}/acme/directory"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "newOrder" in done.stdout
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"localhost:{server.port}",
         "-servername", "localhost", "-verify_return_error", "-CAfile",
         server.root, "-no-CApath", "-no-CAstore"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert "Verification: OK" in done.stdout, done.stdout + done.stderr
