# SPDX-License-Identifier: ISC
"""Bad input from outside: each request gets the right refusal, and the
process neither leaks nor stops. RFC 8555 section 6, RFC 7515, RFC 7518."""

import functools
import json
import os
import re
import secrets
import socket
import ssl
import struct

import pytest

import acme
import jose
import servers
import x509
from jose import b64, compact, unb64

IDENTIFIERS = {"identifiers": [{"type": "dns", "value": "r.example.org"}]}


@pytest.fixture(scope="module")
def client(server):
    one = server.client()
    one.register()
    return one


@pytest.fixture(scope="module", autouse=True)
def still_fine(server):
    """Afterwards an ordinary issuance works, with one thread and no more
    descriptors than before."""
    before = server.client()
    before.obtain([f"{secrets.token_hex(6)}.example.org"])
    before.http.close()
    servers.wait_for(lambda: server.connections() <= 4, 10,
                     "connections to close")
    fds, pid = server.fds() - server.connections(), server.pid
    yield
    after = server.client()
    _, pem, _ = after.obtain([f"{secrets.token_hex(6)}.example.org"])
    after.http.close()
    assert len(x509.split_chain(pem)) == 2
    assert server.pid == pid and server.process.poll() is None
    assert server.threads() == 1
    servers.wait_for(lambda: server.fds() - server.connections() <= fds + 2,
                     10, "descriptors to be closed")
    server.check_log()


def refused(response, problem, status=400):
    assert (response.problem, response.status) == (problem, status), response
    body = response.json
    assert body["status"] == status
    assert body["detail"]
    assert len(response.headers("Replay-Nonce")) == 1
    return body


# ---- the envelope

def members(**change):
    """Change, add or (with None) drop members of the JWS."""
    def edit(jws):
        jws = {**jws, **change}
        return {k: v for k, v in jws.items() if v is not None}
    return edit


def twice(member):
    def edit(jws):
        again = compact({member: jws[member]})[1:]
        return compact(jws)[:-1] + b"," + again
    return edit


def general(jws):
    """The general serialization, with one signature."""
    return {"payload": jws["payload"], "signatures": [
        {"protected": jws["protected"], "signature": jws["signature"]}]}


def two_signatures(jws):
    one = {"protected": jws["protected"], "signature": jws["signature"]}
    return {"payload": jws["payload"], "signatures": [one, one]}


def compact_form(jws):
    return ".".join((jws["protected"], jws["payload"],
                     jws["signature"])).encode()


ENVELOPES = {
    "not JSON": lambda jws: b"hello",
    "empty": lambda jws: b"",
    "null": lambda jws: b"null",
    "array": lambda jws: b"[]",
    "string": lambda jws: b'"x"',
    "cut short": lambda jws: compact(jws)[:-1],
    "something behind": lambda jws: compact(jws) + b"{}",
    "two documents": lambda jws: compact(jws) + compact(jws),
    "NUL behind": lambda jws: compact(jws) + b"\0",
    "BOM before": lambda jws: b"\xef\xbb\xbf" + compact(jws),
    "UTF-16": lambda jws: json.dumps(jws).encode("utf-16"),
    "trailing comma": lambda jws: compact(jws)[:-1] + b",}",
    "comment": lambda jws: b"/* x */" + compact(jws),
    "single quotes": lambda jws: compact(jws).replace(b'"', b"'"),
    "no protected": members(protected=None),
    "no payload": members(payload=None),
    "no signature": members(signature=None),
    "unprotected header": members(header={"kid": "x"}),
    "empty unprotected header": members(header={}),
    "protected twice": twice("protected"),
    "payload twice": twice("payload"),
    "signature twice": twice("signature"),
    "protected a number": members(protected=1),
    "payload an object": members(payload={}),
    "signature null": lambda jws: compact({**jws, "signature": None}),
    "general form": general,
    "two signatures": two_signatures,
    "flattened and general": lambda jws: {**jws, **general(jws)},
    "compact form": compact_form,
    "padding": lambda jws: {**jws, "signature": jws["signature"] + "=="},
    "space in base64url":
        lambda jws: {**jws, "payload": jws["payload"] + " "},
    "newline in base64url":
        lambda jws: {**jws, "protected": jws["protected"] + "\n"},
    "base64 alphabet": lambda jws: {**jws, "payload": "+/+/"},
    "impossible length": lambda jws: {**jws, "payload": "A"},
    "stray bits": lambda jws: {**jws, "payload": "AB"},
    "deep": lambda jws: b'{"x":' * 5000 + b"1" + b"}" * 5000,
    "deep array": lambda jws: b"[" * 30000,
    "bad UTF-8": lambda jws: compact(jws).replace(b'"payload"',
                                                  b'"payl\xffad"'),
}


@pytest.mark.parametrize("what", ENVELOPES)
def test_an_envelope_of_another_shape(client, what):
    response = client.send(client.directory["newOrder"], IDENTIFIERS,
                           edit=ENVELOPES[what])
    refused(response, "malformed")


def test_a_member_that_nobody_knows_is_passed_over(client):
    """RFC 7515 section 7.2.1: additional members MUST be ignored."""
    response = client.send(client.directory["newOrder"], IDENTIFIERS,
                           edit=members(novelty=[1, {"a": None}]))
    assert response.status in (200, 201), response


# ---- the protected header

def raw_header(text):
    """A header as text in which %NONCE%, %URL%, %KID% stand for the real
    ones."""
    def make(header):
        out = text
        for name in ("nonce", "url", "kid"):
            value = json.dumps(header.get(name, "")).encode()
            out = out.replace(f"%{name.upper()}%".encode(), value)
        return out
    return make


HEADERS = {
    "not JSON": b"hello",
    "empty": b"",
    "array": b"[]",
    "null": b"null",
    "no alg": b'{"nonce":%NONCE%,"url":%URL%,"kid":%KID%}',
    "alg a number": b'{"alg":1,"nonce":%NONCE%,"url":%URL%,"kid":%KID%}',
    "alg twice": b'{"alg":"ES256","alg":"ES256","nonce":%NONCE%,'
                 b'"url":%URL%,"kid":%KID%}',
    "kid twice": b'{"alg":"ES256","nonce":%NONCE%,"url":%URL%,'
                 b'"kid":%KID%,"kid":%KID%}',
    "escaped twice": rb'{"alg":"ES256","nonce":%NONCE%,"url":%URL%,'
                     rb'"kid":%KID%,"\u006bid":%KID%}',
    "kid and jwk": b'{"alg":"ES256","nonce":%NONCE%,"url":%URL%,'
                   b'"kid":%KID%,"jwk":{"kty":"EC"}}',
    "neither kid nor jwk": b'{"alg":"ES256","nonce":%NONCE%,"url":%URL%}',
    "kid null": b'{"alg":"ES256","nonce":%NONCE%,"url":%URL%,"kid":null}',
    "kid an object": b'{"alg":"ES256","nonce":%NONCE%,"url":%URL%,'
                     b'"kid":{}}',
    "crit": b'{"alg":"ES256","nonce":%NONCE%,"url":%URL%,"kid":%KID%,'
            b'"crit":["exp"],"exp":1}',
    "b64 false": b'{"alg":"ES256","nonce":%NONCE%,"url":%URL%,"kid":%KID%,'
                 b'"crit":["b64"],"b64":false}',
    "nonce a number": b'{"alg":"ES256","nonce":1,"url":%URL%,"kid":%KID%}',
    "no nonce": b'{"alg":"ES256","url":%URL%,"kid":%KID%}',
    "nonce not base64url": b'{"alg":"ES256","nonce":"a b=","url":%URL%,'
                           b'"kid":%KID%}',
    "no url": b'{"alg":"ES256","nonce":%NONCE%,"kid":%KID%}',
    "url a number": b'{"alg":"ES256","nonce":%NONCE%,"url":1,"kid":%KID%}',
    "behind it": b'{"alg":"ES256","nonce":%NONCE%,"url":%URL%,'
                 b'"kid":%KID%} x',
    "giant": b'{"alg":"ES256","nonce":%NONCE%,"url":%URL%,"kid":%KID%,'
             b'"x":"' + b"x" * 20000 + b'"}',
}


@pytest.mark.parametrize("what", HEADERS)
def test_a_protected_header_of_another_shape(client, what):
    response = client.send(client.directory["newOrder"], IDENTIFIERS,
                           protected=raw_header(HEADERS[what]))
    if what in ("no nonce", "nonce a number", "nonce not base64url"):
        # RFC 8555 section 6.5.2 leaves the choice for a bad shape
        assert response.problem in ("malformed", "badNonce"), response
        assert response.status == 400
    elif what in ("no url", "url a number"):
        assert response.problem in ("malformed", "unauthorized"), response
    else:
        refused(response, "malformed")


class NoKey(jose.Key):
    def sign(self, data):
        return b""


@pytest.mark.parametrize("alg", [
    "none", "HS256", "HS512", "RS384", "RS512", "PS256", "ES256K", "es256",
    "", "A" * 200, "ECDH-ES"])
def test_other_algorithms_are_refused_with_those_that_would_do(client, alg):
    """RFC 8555 section 6.2: the document lists the algorithms."""
    if alg == "none":
        key = NoKey()
    elif alg.startswith("HS"):
        key = jose.MacKey(compact(client.key.jwk()), alg)
    else:
        key = client.key
    response = client.send(client.directory["newOrder"], IDENTIFIERS,
                           key=key, kid=client.kid, alg=alg)
    body = refused(response, "badSignatureAlgorithm")
    assert set(body["algorithms"]) == set(jose.ALGORITHMS)


@pytest.mark.parametrize("alg", ["ES384", "RS256", "EdDSA"])
def test_the_algorithm_must_fit_the_key(client, alg):
    response = client.send(client.directory["newOrder"], IDENTIFIERS,
                           alg=alg)
    assert response.status in (400, 401, 403)
    assert response.problem in ("badSignatureAlgorithm", "unauthorized",
                                "malformed", "badPublicKey")
    stranger = jose.make_key()
    response = client.send(client.directory["newAccount"], {}, kid=None,
                           key=stranger, alg=alg)
    assert response.status == 400
    assert response.problem in ("badSignatureAlgorithm", "malformed",
                                "badPublicKey")


def test_new_account_wants_a_jwk_and_the_rest_a_kid(client):
    directory = client.directory
    refused(client.send(directory["newAccount"], {}, kid=client.kid),
            "malformed")
    for url in (directory["newOrder"], client.kid):
        refused(client.send(url, None, kid=None, jwk=client.key.jwk()),
                "malformed")


# ---- keys

def jwk_change(**change):
    def make(key):
        jwk = {**key.jwk(), **change}
        return {k: v for k, v in jwk.items() if v is not None}
    return make


BAD_JWK = {
    "no kty": ("ES256", jwk_change(kty=None)),
    "kty oct": ("ES256", lambda key: {"kty": "oct", "k": b64("secret")}),
    "kty of another": ("ES256", jwk_change(kty="RSA")),
    "unknown curve": ("ES256", jwk_change(crv="P-192")),
    "curve of another": ("ES256", jwk_change(crv="P-384")),
    "no x": ("ES256", jwk_change(x=None)),
    "no y": ("ES256", jwk_change(y=None)),
    "short x": ("ES256", lambda key: {
        **key.jwk(), "x": b64(unb64(key.jwk()["x"])[1:])}),
    "long x": ("ES256", lambda key: {
        **key.jwk(), "x": b64(b"\0" + unb64(key.jwk()["x"]))}),
    "off the curve": ("ES256", lambda key: {
        **key.jwk(), "y": b64(bytes(31) + b"\1")}),
    "infinity": ("ES256", jwk_change(x=b64(bytes(32)), y=b64(bytes(32)))),
    "no n": ("RS256", jwk_change(n=None)),
    "n zero": ("RS256", jwk_change(n="AA")),
    "e one": ("RS256", jwk_change(e="AQ")),
    "e even": ("RS256", jwk_change(e=b64(b"\1\0\0"))),
    "e giant": ("RS256", jwk_change(e=b64(b"\1" * 256))),
    "n even": ("RS256", lambda key: {
        **key.jwk(), "n": b64(unb64(key.jwk()["n"])[:-1] + b"\2")}),
    "leading zero": ("RS256", lambda key: {
        **key.jwk(), "n": b64(b"\0" + unb64(key.jwk()["n"]))}),
    "Ed25519 short": ("EdDSA", jwk_change(x=b64(bytes(31)))),
    "X25519": ("EdDSA", jwk_change(crv="X25519")),
    "Ed25519 small order": ("EdDSA", jwk_change(x=b64(b"\1" + bytes(31)))),
    "a private key": ("ES256", jwk_change(d=b64(bytes(32)))),
    "a private RSA key": ("RS256", jwk_change(d=b64(bytes(256)))),
    "a string": ("ES256", lambda key: "key"),
    "an array": ("ES256", lambda key: [key.jwk()]),
    "x a number": ("ES256", jwk_change(x=1)),
}


RSA = []


@pytest.mark.parametrize("what", BAD_JWK)
def test_a_key_that_will_not_do(server, client, what):
    alg, jwk = BAD_JWK[what]
    if alg == "RS256":
        RSA[:] = RSA or [jose.RsaKey()]
        key = RSA[0]
    else:
        key = jose.make_key(alg)
    response = client.send(client.directory["newAccount"], {}, kid=None,
                           key=key, jwk=jwk(key))
    if what == "Ed25519 small order":   # a point like any, for most libraries
        assert response.problem in ("badPublicKey", "unauthorized"), response
    else:
        assert response.status == 400
        assert response.problem in ("badPublicKey", "malformed"), response


@pytest.mark.parametrize("bits", [1024, 2047, 4160])
def test_rsa_keys_outside_2048_to_4096_bits(client, bits):
    RSA[:] = RSA or [jose.RsaKey()]
    modulus = secrets.randbits(bits) | 1 << (bits - 1) | 1
    jwk = {**RSA[0].jwk(), "n": jose.b64_int(modulus)}
    response = client.send(client.directory["newAccount"], {}, kid=None,
                           key=RSA[0], jwk=jwk)
    refused(response, "badPublicKey")


def test_an_rsa_modulus_of_a_giant_is_refused_unmultiplied(client):
    key = jose.make_key("ES256")
    jwk = {"kty": "RSA", "e": "AQAB",
           "n": b64(b"\xff" * 3000)}
    response = client.send(client.directory["newAccount"], {}, kid=None,
                           key=key, alg="RS256", jwk=jwk)
    assert response.status == 400
    assert response.problem in ("badPublicKey", "malformed")


# ---- signatures

def flip(jws):
    signature = bytearray(unb64(jws["signature"]))
    signature[5] ^= 1
    return {**jws, "signature": b64(bytes(signature))}


SIGNATURES = {
    "a bit flipped": flip,
    "cut": lambda jws: {**jws, "signature": jws["signature"][:-4]},
    "longer": lambda jws: {**jws, "signature": jws["signature"] + "AAAA"},
    "empty": lambda jws: {**jws, "signature": ""},
    "zeros": lambda jws: {**jws, "signature": b64(bytes(64))},
    "payload changed": lambda jws: {**jws, "payload": b64('{"x":1}')},
    "ones": lambda jws: {**jws, "signature": b64(b"\xff" * 64)},
}


@pytest.mark.parametrize("what", SIGNATURES)
@pytest.mark.parametrize("known", [False, True])
def test_a_wrong_signature(server, client, what, known):
    if known:
        response = client.send(client.directory["newOrder"], IDENTIFIERS,
                               edit=SIGNATURES[what])
    else:
        response = client.send(client.directory["newAccount"], {}, kid=None,
                               key=jose.make_key(), edit=SIGNATURES[what])
    assert response.status in (400, 401, 403)
    assert response.problem in ("unauthorized", "malformed"), response


def test_an_ecdsa_signature_in_der(client):
    class Der(jose.EcKey):
        def __init__(self, other):
            self.__dict__.update(other.__dict__)
        sign = jose.EcKey.sign_der
    response = client.send(client.directory["newOrder"], IDENTIFIERS,
                           key=Der(client.key))
    assert response.status in (400, 401, 403)
    assert response.problem in ("unauthorized", "malformed"), response


def test_a_signature_by_another_key(client):
    response = client.send(client.directory["newOrder"], IDENTIFIERS,
                           key=jose.make_key())
    assert response.status in (400, 401, 403)
    assert response.problem in ("unauthorized", "malformed")


# ---- url and nonce

OTHER_URLS = {
    "slash": lambda url: url + "/",
    "query": lambda url: url + "?x=1",
    "scheme": lambda url: url.replace("https", "http"),
    "address": lambda url: url.replace("localhost", "127.0.0.1"),
    "letters": lambda url: url.replace("localhost", "LOCALHOST"),
    "resource": lambda url: url.replace("new-order", "new-account"),
    "shorthand": lambda url: url.replace("/profile/default", ""),
    "empty": lambda url: "",
    "path alone": lambda url: "/acme/profile/default/new-order",
}


@pytest.mark.parametrize("what", OTHER_URLS)
def test_the_url_must_be_the_one_asked_for(client, what):
    """RFC 8555 section 6.4: unauthorized."""
    url = client.directory["newOrder"]
    changed = OTHER_URLS[what](url)
    assert changed != url
    response = client.send(url, IDENTIFIERS, header_url=changed)
    assert response.status in (400, 401, 403)
    assert response.problem == "unauthorized" or (
        response.problem == "malformed" and what == "empty"), response


NONCES = {"empty": "", "short": "AAAA", "long": "A" * 5000,
          "zeros": "A" * 43, "random": b64(os.urandom(64))}


@pytest.mark.parametrize("what", NONCES)
def test_a_nonce_that_was_never_handed_out(client, what):
    response = client.send(client.directory["newOrder"], IDENTIFIERS,
                           nonce=NONCES[what])
    assert response.status == 400
    assert response.problem == "badNonce" or (
        response.problem == "malformed" and what in ("empty", "long"))


@pytest.mark.parametrize("nonce", ["AAA=", "AA+A", "A", "AA AA", "\u00e4", 7,
                                   ["AAAA"]], ids=repr)
def test_a_nonce_that_is_no_base64url(client, nonce):
    """RFC 8555 section 6.5.2."""
    refused(client.send(client.directory["newOrder"], IDENTIFIERS,
                        nonce=nonce), "malformed")


@pytest.mark.parametrize("part", ["protected", "payload", "signature", "jwk"])
def test_padding_has_no_place_in_base64url(client, part):
    """RFC 8555 section 6.1, wherever it is."""
    def pad(jws):
        return {**jws, part: jws[part] + "=" * (-len(jws[part]) % 4 or 1)}
    key = jose.make_key()
    how = {"edit": pad} if part != "jwk" else {
        "key": key, "kid": None, "jwk": {**key.jwk(),
                                         "x": key.jwk()["x"] + "="}}
    url = client.directory["newAccount" if part == "jwk" else "newOrder"]
    response = client.send(url, IDENTIFIERS, **how)
    assert response.status == 400
    assert response.problem in ("malformed", "badPublicKey")


def test_one_nonce_at_once_is_taken_once(client):
    """A race of sixteen."""
    url = client.directory["newOrder"]
    twins = [client.twin() for _ in range(16)]
    for _ in range(5):
        body = client.sign(url, IDENTIFIERS)
        answers = acme.at_once([functools.partial(
            twin.send, url, body=body) for twin in twins])
        assert sorted(a.problem or "" for a in answers) == (
            [""] + ["badNonce"] * 15)


def test_a_nonce_changed_in_any_place_is_refused(client):
    good = client.nonce()
    for place in range(0, len(good), 7):
        other = "B" if good[place] == "A" else "A"
        changed = good[:place] + other + good[place + 1:]
        response = client.send(client.directory["newOrder"], IDENTIFIERS,
                               nonce=changed)
        assert (response.status, response.problem) == (400, "badNonce")
    assert client.send(client.directory["newOrder"], IDENTIFIERS,
                       nonce=good).status in (200, 201)


def test_a_nonce_of_before_a_restart_is_never_taken_twice(
        new_server, engine):
    """Used, then the server forgets: it must not pass again. Unused ones may
    be refused, then a client just tries again."""
    server = new_server(engine).start()
    client = server.client()
    client.register()
    used, unused = client.nonce(), client.nonce()
    url = client.directory["newOrder"]
    assert client.send(url, IDENTIFIERS, nonce=used).status == 201
    server.restart()
    client.nonces.clear()
    assert client.send(url, IDENTIFIERS, nonce=used).problem == "badNonce"
    assert client.send(url, IDENTIFIERS, nonce=used).problem == "badNonce"
    first = client.send(url, IDENTIFIERS, nonce=unused)
    assert first.status in (200, 201) or first.problem == "badNonce"
    again = client.send(url, IDENTIFIERS, nonce=unused)
    assert again.problem == "badNonce"
    assert client.post(url, IDENTIFIERS).status in (200, 201)


# ---- media types and methods

@pytest.mark.parametrize("kind", [
    None, "application/json", "application/jose", "text/plain",
    "application/x-www-form-urlencoded", "", "application/jose+jsonx"],
    ids=repr)
def test_another_content_type(client, kind):
    """RFC 8555 section 6.2: 415."""
    response = client.send(client.directory["newOrder"], IDENTIFIERS,
                           content_type=kind)
    assert (response.status, response.problem) == (415, "malformed")


@pytest.mark.parametrize("kind", [
    "application/jose+json; charset=utf-8", "Application/JOSE+JSON",
    "application/jose+json;charset=UTF-8"])
def test_the_content_type_in_another_spelling(client, kind):
    response = client.send(client.directory["newOrder"], IDENTIFIERS,
                           content_type=kind)
    assert response.status in (200, 201), response


@pytest.mark.parametrize("method, path, allow", [
    ("GET", "newOrder", {"POST"}), ("PUT", "newAccount", {"POST"}),
    ("DELETE", "newOrder", {"POST"}), ("PUT", None, {"GET", "HEAD", "POST"}),
    ("PATCH", "newNonce", {"GET", "HEAD", "POST"}),
    ("POST", "renewalInfo", {"GET", "HEAD"}),
])
def test_another_method(client, method, path, allow):
    url = client.directory[path] if path else client.directory_url
    if path == "renewalInfo":
        url += "/AAAA.AQ"
    response = client.http.request(method, url)
    assert (response.status, response.problem) == (405, "malformed")
    assert set(response.header("Allow").replace(" ", "").split(",")) >= allow


NO_PATHS = [
    "/", "/acme", "/acme/", "/acme/profile", "/acme/profile/default",
    "/acme/profile/default/", "/acme/profile/default/directory/",
    "/acme/profile//directory", "/acme/profile/default/nothing",
    "/acme/profile/%2e%2e/directory", "/acme/../acme/directory",
    "/metrics", "/acme/profile/default/order", "/ACME/directory",
    "/acme/profile/default/order/" + "A" * 4000, "/%00", "/acme%2fdirectory",
]


@pytest.mark.parametrize("path", NO_PATHS, ids=lambda path: path[:40])
def test_a_path_that_is_not_there(server, client, path):
    response = client.http.request("GET", server.base + path)
    assert response.status in (400, 404, 405), response
    assert response.is_problem
    assert client.http.get(client.directory_url).status == 200


@pytest.mark.parametrize("payload", [
    b"{", b"[]", b"null", b'"x"', b"1", b"{}{}", b'{"a":1,"a":1}',
    b'{"identifiers":[],"identifiers":[]}', b"\xff\xfe", b"{'a':1}",
    b'{"a":NaN}', b'{"a":01}', b'{"a":"\x01"}', b"[" * 200 + b"]" * 200,
    b'{"a":' * 200 + b"1" + b"}" * 200, b'{"a":1e999}',
    b'{"a":"\\ud800"}', b'\xef\xbb\xbf{}',
], ids=lambda payload: repr(payload[:20])[2:-1])
def test_a_payload_that_is_not_a_json_object(client, payload):
    response = client.send(client.directory["newOrder"], payload)
    refused(response, "malformed")


def test_a_body_beyond_the_bound(client):
    response = client.send(client.directory["newOrder"],
                           {"x": "x" * 200000})
    assert (response.status, response.problem) == (413, "malformed")
    assert client.http.get(client.directory_url).status == 200


# ---- below HTTP

def tls(server, alpn=None, version=None):
    context = ssl.create_default_context(cafile=str(server.root))
    if alpn:
        context.set_alpn_protocols(alpn)
    if version:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = version
    raw = socket.create_connection((servers.LOCALHOST, server.port), 10)
    return context.wrap_socket(raw, server_hostname="localhost")


def exchange(sock, data):
    """Send bytes, read to the end; the status, and whether it ended."""
    sock.sendall(data)
    answer = b""
    try:
        while chunk := sock.recv(65536):
            answer += chunk
    except (ssl.SSLError, ConnectionResetError):
        pass
    finally:
        sock.close()
    return int(answer.split(b" ")[1]) if answer else None


HTTP = {
    "no HTTP": (b"hello\r\n\r\n", {400}),
    "no Host": (b"GET /acme/directory HTTP/1.1\r\n\r\n", {400}),
    "two Hosts": (b"GET /acme/directory HTTP/1.1\r\nHost: a\r\n"
                  b"Host: b\r\n\r\n", {400}),
    "HTTP/3.0": (b"GET /acme/directory HTTP/3.0\r\nHost: a\r\n\r\n",
                 {400, 505}),
    "CL and TE": (b"POST /acme/new-order HTTP/1.1\r\nHost: a\r\n"
                  b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
                  b"\r\n0\r\n\r\n", {400}),
    "two lengths": (b"POST /acme/new-order HTTP/1.1\r\nHost: a\r\n"
                    b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
                    {400}),
    "signed length": (b"POST /acme/new-order HTTP/1.1\r\nHost: a\r\n"
                      b"Content-Length: +5\r\n\r\nhello", {400}),
    "negative length": (b"POST /acme/new-order HTTP/1.1\r\nHost: a\r\n"
                        b"Content-Length: -5\r\n\r\nhello", {400}),
    "giant length": (b"POST /acme/new-order HTTP/1.1\r\nHost: a\r\n"
                     b"Content-Length: 99999999999999999999\r\n\r\n",
                     {400, 413}),
    "gzip coding": (b"POST /acme/new-order HTTP/1.1\r\nHost: a\r\n"
                    b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
                    {400, 501}),
    "space before colon": (b"GET /acme/directory HTTP/1.1\r\nHost : a\r\n"
                           b"\r\n", {400}),
    "folded header": (b"GET /acme/directory HTTP/1.1\r\nHost: a\r\n"
                      b"X: a\r\n b\r\n\r\n", {400}),
    "bare LF": (b"GET /acme/directory HTTP/1.1\nHost: a\n\n", {400}),
    "NUL in header": (b"GET /acme/directory HTTP/1.1\r\nHost: a\r\n"
                      b"X: a\0b\r\n\r\n", {400}),
    "giant header": (b"GET /acme/directory HTTP/1.1\r\nHost: a\r\nX: "
                     + b"x" * 40000 + b"\r\n\r\n", {431}),
    "giant chunk": (b"POST /acme/new-order HTTP/1.1\r\nHost: a\r\n"
                    b"Content-Type: application/jose+json\r\n"
                    b"Transfer-Encoding: chunked\r\n\r\n"
                    b"FFFFFFFFFFFFFFFFFF\r\n", {400, 413}),
    "unknown expectation": (b"POST /acme/new-order HTTP/1.1\r\nHost: a\r\n"
                            b"Content-Length: 1\r\nExpect: cake\r\n\r\nx",
                            {417}),
}


@pytest.mark.parametrize("what", HTTP)
def test_a_request_that_is_not_http(server, what):
    """A problem document, then the connection ends (or read would hang)."""
    data, statuses = HTTP[what]
    status = exchange(tls(server), data)
    assert status in statuses


NO_HANDSHAKE = {
    "plain HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "headers only": b"\x16\x03\x01" * 100,
    "zeros": bytes(300),
    "random": os.urandom(300),
    "SSL 2": b"\x80\x80\x01\x03\x01" + bytes(200),
    "alert": b"\x15\x03\x01\0\x02\x02\x28",
}


@pytest.mark.parametrize("what", NO_HANDSHAKE)
def test_bytes_that_are_no_handshake(server, what):
    sock = socket.create_connection((servers.LOCALHOST, server.port), 10)
    sock.sendall(NO_HANDSHAKE[what])
    sock.shutdown(socket.SHUT_WR)
    try:
        while sock.recv(65536):
            pass
    except ConnectionResetError:
        pass
    sock.close()
    assert server.client().http.get(
        f"{server.base}/acme/directory").status == 200


@pytest.mark.parametrize("version", [
    ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=str)
def test_old_tls_is_not_spoken(server, version):
    with pytest.raises((ssl.SSLError, OSError)):
        tls(server, version=version).sendall(b"GET / HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize("version", [
    ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
def test_tls_1_2_and_1_3_are(server, version):
    sock = tls(server, version=version, alpn=["h2", "http/1.1"])
    assert sock.selected_alpn_protocol() == "http/1.1"
    assert exchange(sock, b"GET /acme/directory HTTP/1.1\r\n"
                    b"Host: localhost\r\nConnection: close\r\n\r\n") == 200


def test_clients_that_go_away_in_the_middle(server, client):
    """At the handshake, in the header, in the body, before the answer."""
    body = client.sign(client.directory["newOrder"], IDENTIFIERS)
    head = (b"POST /acme/profile/default/new-order HTTP/1.1\r\nHost: "
            b"localhost\r\nContent-Type: application/jose+json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body))
    for cut in (0, 20, len(head), len(head) + 40, len(head) + len(body)):
        for reset in (False, True):
            sock = tls(server)
            sock.sendall((head + body)[:cut])
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                b"\1\0\0\0\0\0\0\0")
            sock.close()
    for _ in range(5):
        sock = socket.create_connection((servers.LOCALHOST, server.port))
        sock.sendall(b"\x16\x03\x01\x02\0\x01")
        sock.close()
    assert client.send(client.directory["newOrder"],
                       IDENTIFIERS).status in (200, 201)


def test_requests_behind_one_another_are_answered_in_order(server):
    one = (b"GET /acme/directory HTTP/1.1\r\nHost: localhost\r\n\r\n")
    two = (b"HEAD /acme/new-nonce HTTP/1.1\r\nHost: localhost\r\n\r\n")
    three = (b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n"
             b"Connection: close\r\n\r\n")
    sock = tls(server)
    sock.sendall(one + two + three)
    answer = b""
    while chunk := sock.recv(65536):
        answer += chunk
    sock.close()
    statuses = re.findall(rb"HTTP/1\.1 (\d+) ", answer)
    assert statuses == [b"200", b"200", b"404"]


@pytest.mark.parametrize("head", [
    b"HEAD /acme/../directory HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"HEAD /%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"HEAD / HTTP/1.1\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"
    b"Content-Length: 0\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 150 + b"\r\n",
    b"HEAD / HTTP/1.1\r\nHost : a\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 40000 + b"\r\n\r\n",
    ], ids=["dots", "NUL", "no Host", "lengths", "lines", "blank", "large"])
def test_head_has_no_body_even_if_it_is_refused(server, head):
    """RFC 9110 section 9.3.2."""
    sock = tls(server)
    sock.sendall(head)
    answer = b""
    while chunk := sock.recv(65536):
        answer += chunk
    sock.close()
    assert answer[:13] in (b"HTTP/1.1 400 ", b"HTTP/1.1 431 ")
    assert answer.endswith(b"\r\n\r\n") and answer.count(b"\r\n\r\n") == 1


def test_expect_100_continue(server, client):
    body = client.sign(client.directory["newOrder"], IDENTIFIERS)
    head = (b"POST /acme/profile/default/new-order HTTP/1.1\r\nHost: "
            b"localhost\r\nContent-Type: application/jose+json\r\n"
            b"Connection: close\r\nExpect: 100-continue\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body))
    sock = tls(server)
    sock.sendall(head)
    assert sock.recv(4096).startswith(b"HTTP/1.1 100 ")
    assert exchange(sock, body) in (200, 201)


@pytest.mark.parametrize("part", [0, 20, 300])
def test_a_reset_right_behind_the_bytes_is_seen(server, part):
    """A client that is gone at once does not hold a connection until the
    deadline of its header or body."""
    text = (b"POST /acme/profile/default/new-order HTTP/1.1\r\n"
            b"Host: localhost\r\nContent-Type: application/jose+json\r\n"
            b"Content-Length: 1000\r\n\r\n" + b"x" * 300)
    before = server.fds()
    for _ in range(10):
        sock = tls(server)
        if part:
            sock.sendall(text[:part])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                        struct.pack("ii", 1, 0))
        sock.close()
    servers.wait_for(lambda: server.fds() <= before, 5, "connections to end")
