# SPDX-License-Identifier: ISC
"""Weak and known keys, for certificates and for accounts."""

import hashlib
import math
import random

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

import jose
import x509
from jose import b64

SMALL = [n for n in range(2, 168) if all(n % d for d in range(2, n))]


def is_probably_prime(n):
    return all(n % p for p in SMALL) and pow(2, n - 1, n) == 1


def next_prime(n):
    n |= 1
    while not is_probably_prime(n):
        n += 2
    return n


def make_rsa(p, q):
    """A key of these two primes that signs as any other."""
    d = pow(65537, -1, math.lcm(p - 1, q - 1))
    return rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p),
        rsa.RSAPublicNumbers(65537, p * q)).private_key()


def close_primes():
    p = next_prime(random.getrandbits(1024) | 3 << 1022)
    return make_rsa(next_prime(p + 2), p)


def roca_primes():
    """k * M + (65537^a mod M), as the broken generator makes them."""
    m = math.prod(SMALL)

    def prime():
        while True:
            k = random.getrandbits(1025 - m.bit_length())
            n = k * m + pow(65537, random.getrandbits(40), m)
            if n >> 1022 == 3 and is_probably_prime(n):
                return n
    return make_rsa(prime(), prime())


WEAK = {"close": close_primes, "ROCA": roca_primes}


@pytest.fixture(scope="module", params=WEAK)
def weak(request):
    """What an answer must say, and a key."""
    return request.param, WEAK[request.param]()


def test_no_certificate_for_a_weak_key(server, weak):
    word, key = weak
    client = server.client()
    client.register()
    order = client.order(["weak.example.org"])
    csr = x509.make_csr(["weak.example.org"], key)
    response = client.send(order["finalize"], {"csr": b64(csr)})
    assert (response.status, response.problem) == (400, "badCSR")
    assert word in response.json["detail"]
    client.finalize(order, x509.make_csr(["weak.example.org"],
                                         x509.rsa_key(2048)))


def test_no_account_for_a_weak_key(server, weak):
    word, key = weak
    client = server.client(key=jose.RsaKey(private=key))
    response = client.send(client.directory["newAccount"], {})
    assert (response.status, response.problem) == (400, "badPublicKey")
    assert word in response.json["detail"]


def test_no_account_gets_a_weak_key(server, weak):
    client = server.client()
    client.register()
    new = jose.RsaKey(private=weak[1])
    url = client.directory["keyChange"]
    inner = jose.sign_jws(
        new, {"alg": new.alg, "jwk": new.jwk(), "url": url},
        {"account": client.kid, "oldKey": client.key.jwk()})
    response = client.send(url, inner)
    assert (response.status, response.problem) == (400, "badPublicKey")
    assert client.post(client.kid).status == 200


def test_keys_of_a_blocklist(new_server, tmp_path):
    """Refused from the reload on that brings the list."""
    blocklist = tmp_path / "blocklist"
    blocklist.write_text("# nothing yet\n")
    server = new_server(top=f'key_blocklist = "{blocklist}"').start()
    key, old, new = x509.new_key(), jose.make_key(), jose.make_key()
    client = server.client(key=old)
    client.register()

    def finalize(name):
        order = client.order([name])
        csr = x509.make_csr([name], key)
        return client.send(order["finalize"], {"csr": b64(csr)})
    assert finalize("a.example.org").status == 200
    blocklist.write_text("".join(
        hashlib.sha256(x509.spki(k.public_key())).hexdigest() + "\n"
        for k in (key, old.private, new.private)))
    done = server.ctl("reload")
    assert done.returncode == 0, done.stderr
    response = finalize("b.example.org")
    assert (response.status, response.problem) == (400, "badCSR")
    other = server.client(key=new)
    response = other.send(other.directory["newAccount"], {})
    assert (response.status, response.problem) == (400, "badPublicKey")
    # who has an account already can still be found, and leave
    again = server.client(key=old)
    found = again.send(again.directory["newAccount"],
                       {"onlyReturnExisting": True})
    assert found.status == 200
    assert client.post(client.kid, {"status": "deactivated"}).status == 200


def test_a_blocklist_that_is_none(new_server, tmp_path):
    blocklist = tmp_path / "blocklist"
    blocklist.write_text("x" * 64 + "\n")
    server = new_server(top=f'key_blocklist = "{blocklist}"')
    server.spawn()
    assert server.wait_end() == 3
    assert "line 1" in server.log()
