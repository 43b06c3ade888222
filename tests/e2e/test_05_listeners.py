# SPDX-License-Identifier: ISC
"""Ways in: plain HTTP behind a balancer, unix sockets, PROXY headers,
forwarded addresses, client certificates, names by SNI."""

import datetime
import re
import secrets
import socket
import ssl
import struct

import pytest
from cryptography import x509 as cx509
from cryptography.hazmat.primitives import hashes, serialization

import servers
import web
import x509


def fresh():
    return [f"{secrets.token_hex(6)}.example.org"]


def certificate(folder, name, names=(), issuer=None, ca=False):
    """A certificate made here: (its file, its key's file, (cert, key))."""
    key = x509.new_key()
    subject = cx509.Name([cx509.NameAttribute(
        cx509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.utcnow()
    builder = (
        cx509.CertificateBuilder().subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(cx509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(cx509.BasicConstraints(ca, None), True))
    if names:
        builder = builder.add_extension(cx509.SubjectAlternativeName(
            [x509.san(n) for n in names]), False)
    made = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    chain, private = folder / f"{name}.pem", folder / f"{name}.key"
    private.touch(0o600)
    private.write_bytes(x509.key_pem(key))
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return chain, private, (made, key)


def log_of_next_request(server, http, **headers):
    """The log lines of one request, by its id."""
    offset = server.log_size()
    response = http.request("GET", f"{server.base}/acme/directory",
                            headers=headers)
    assert response.status == 200, response
    identifier = response.header("X-Request-Id")
    server.wait_log(re.escape(identifier), offset)
    return [line for line in server.log(offset).splitlines()
            if identifier in line][0]


# ---- plain HTTP and unix sockets

def test_plain_http_behind_a_balancer(new_server):
    """URLs come from public_url, not from Host."""
    server = new_server(acme_options="tls = no")
    server.write_config(server.config().replace(
        server.base, "https://acme.example.org"))
    server.start()
    where = {"acme.example.org:443": (servers.LOCALHOST, server.port)}
    client = server.client(tls=None, via=where, plain=True)
    client.directory_url = (
        "https://acme.example.org/acme/profile/default/directory")
    directory = client.directory
    prefix = "https://acme.example.org/acme/profile/default/"
    assert all(url.startswith(prefix) for name, url in directory.items()
               if name.startswith("new"))
    order, pem, _ = client.obtain(fresh())
    assert order.url.startswith(prefix)
    assert len(x509.split_chain(pem)) == 2


def test_a_unix_socket(new_server, tmp_path):
    path = tmp_path / "acme.sock"
    server = new_server(extra=f"""
listener local {{
  kind = acme
  address = "unix:{path}"
  mode = 0660
}}
""").start()
    assert path.is_socket() and path.stat().st_mode & 0o777 == 0o660
    client = server.client(
        via={f"localhost:{server.port}": str(path)})
    client.obtain(fresh())
    server.restart()            # what was left behind is no hindrance
    server.client(via={f"localhost:{server.port}": str(path)}).obtain(fresh())
    server.stop()
    assert not path.exists()


# ---- who asks

PROXY_V2 = b"\r\n\r\n\0\r\nQUIT\n"


def v2(command, family, body):
    return PROXY_V2 + bytes([0x20 | command, family]) + struct.pack(
        "!H", len(body)) + body


GOOD_PROXY = {
    "v1 TCP4": (b"PROXY TCP4 192.0.2.9 192.0.2.1 1000 443\r\n",
                "192.0.2.9"),
    "v1 TCP6": (b"PROXY TCP6 2001:db8::9 2001:db8::1 1000 443\r\n",
                "2001:db8::9"),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    "v2 TCP4": (v2(1, 0x11, socket.inet_aton("192.0.2.9")
                   + socket.inet_aton("192.0.2.1") + b"\x10\0\1\xbb"),
                "192.0.2.9"),
    "v2 TCP6": (v2(1, 0x21, socket.inet_pton(socket.AF_INET6, "2001:db8::9")
                   + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
                   + b"\x10\0\1\xbb"), "2001:db8::9"),
    "v2 with TLVs": (v2(1, 0x11, socket.inet_aton("192.0.2.9")
                        + socket.inet_aton("192.0.2.1") + b"\x10\0\1\xbb"
                        + b"\x04\0\x03abc"), "192.0.2.9"),
    "v2 local": (v2(0, 0, b""), "127.0.0.1"),
}

BAD_PROXY = {
    "none": b"",
    "v1 cut": b"PROXY TCP4 192.0.2.9\r\n",
    "v1 bad address": b"PROXY TCP4 192.0.2.999 192.0.2.1 1000 443\r\n",
    "v1 bad port": b"PROXY TCP4 192.0.2.9 192.0.2.1 1000 99999\r\n",
    "v1 too long": b"PROXY TCP4 " + b"1" * 200 + b"\r\n",
    "v1 wrong family": b"PROXY TCP4 2001:db8::9 2001:db8::1 1 443\r\n",
    "v2 wrong version": PROXY_V2 + b"\x31\x11\0\x0c" + bytes(12),
    "v2 short": v2(1, 0x11, bytes(4)),
    "v2 bad command": v2(7, 0x11, bytes(12)),
}


@pytest.fixture(scope="module")
def proxied(build, tmp_path_factory):
    daemon = servers.Certloopd(
        build, tmp_path_factory.mktemp("proxied"), acme_options=(
            'proxy = yes trusted_proxies = { "127.0.0.1" }')).start()
    yield daemon
    daemon.remove()


def behind(server, header):
    """A TLS connection that begins with a PROXY header."""
    raw = socket.create_connection((servers.LOCALHOST, server.port), 10)
    raw.sendall(header)
    context = ssl.create_default_context(cafile=str(server.root))
    return context.wrap_socket(raw, server_hostname="localhost")


def is_refused(server, header):
    """No handshake. (Python makes none, and says nothing, if it finds the
    connection reset already, so it is used too.)"""
    with pytest.raises((OSError, ssl.SSLError)):
        sock = behind(server, header)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert sock.recv(10)


@pytest.mark.parametrize("what", GOOD_PROXY)
def test_a_proxy_header_names_the_client(proxied, what):
    header, address = GOOD_PROXY[what]
    offset = proxied.log_size()
    sock = behind(proxied, header)
    sock.sendall(b"GET /acme/directory HTTP/1.1\r\nHost: localhost\r\n"
                 b"Connection: close\r\n\r\n")
    answer = b""
    while chunk := sock.recv(65536):
        answer += chunk
    assert answer.startswith(b"HTTP/1.1 200 ")
    identifier = re.search(rb"(?i)x-request-id: (\S+)", answer).group(1)
    proxied.wait_log(identifier.decode(), offset)
    line = [text for text in proxied.log(offset).splitlines()
            if identifier.decode() in text][0]
    assert re.search(rf"[= \"\[]{re.escape(address)}([\s\"\]:]|$)",
                     line), line


@pytest.mark.parametrize("what", BAD_PROXY)
def test_a_bad_proxy_header_ends_the_connection(proxied, what):
    is_refused(proxied, BAD_PROXY[what])
    sock = behind(proxied, GOOD_PROXY["v1 TCP4"][0])
    sock.close()


def test_a_proxy_header_of_a_stranger_ends_the_connection(new_server):
    server = new_server(acme_options=(
        'proxy = yes trusted_proxies = { "192.0.2.7" }')).start()
    is_refused(server, GOOD_PROXY["v1 TCP4"][0])


@pytest.mark.parametrize("headers, address", [
    ({"X-Forwarded-For": "192.0.2.9"}, "192.0.2.9"),
    ({"X-Forwarded-For": "10.0.0.1, 192.0.2.9"}, "192.0.2.9"),
    ({"X-Forwarded-For": "192.0.2.9, 127.0.0.1"}, "192.0.2.9"),
    ({"Forwarded": "for=192.0.2.9;proto=https"}, "192.0.2.9"),
    ({"Forwarded": 'for="[2001:db8::9]:4711"'}, "2001:db8::9"),
    ({"X-Forwarded-For": "nonsense"}, "127.0.0.1"),
])
def test_forwarded_addresses_of_a_trusted_proxy(
        new_server, headers, address):
    server = new_server(acme_options=(
        'forwarded = yes trusted_proxies = { "127.0.0.1" }')).start()
    line = log_of_next_request(server, server.web(), **headers)
    assert re.search(rf"[= \"\[]{re.escape(address)}([\s\"\]:]|$)",
                     line), line


def test_forwarded_addresses_of_others_count_nothing(server):
    line = log_of_next_request(server, server.web(), **{
        "X-Forwarded-For": "192.0.2.9", "Forwarded": "for=192.0.2.9"})
    assert "192.0.2.9" not in line


# ---- certificates

def test_client_certificates_can_be_required(new_server, tmp_path):
    ca_file, _, ca = certificate(tmp_path, "clients", ca=True)
    good = certificate(tmp_path, "good", issuer=ca)
    stranger = certificate(tmp_path, "stranger")
    server = new_server(acme_options=(
        f'client_ca = "{ca_file}" client_auth = require')).start()

    def get(pair):
        cert = pair and (str(pair[0]), str(pair[1]))
        http = server.web(tls=web.trust(server.root, cert))
        return http.get(f"{server.base}/acme/directory")
    assert get(good).status == 200
    for pair in (None, stranger):
        with pytest.raises((OSError, ssl.SSLError)):
            get(pair)
    assert get(good).status == 200


def test_client_certificates_can_be_asked_for(new_server, tmp_path):
    ca_file, _, ca = certificate(tmp_path, "clients", ca=True)
    good = certificate(tmp_path, "good", issuer=ca)
    stranger = certificate(tmp_path, "stranger")
    server = new_server(acme_options=(
        f'client_ca = "{ca_file}" client_auth = ask')).start()
    url = f"{server.base}/acme/directory"
    assert server.web().get(url).status == 200
    pair = tuple(map(str, good[:2]))
    http = server.web(tls=web.trust(server.root, pair))
    assert http.get(url).status == 200
    pair = tuple(map(str, stranger[:2]))
    with pytest.raises((OSError, ssl.SSLError)):
        server.web(tls=web.trust(server.root, pair)).get(url)


def served(server, name):
    """The certificate that is shown to who asks for a name, in DER."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    raw = socket.create_connection((servers.LOCALHOST, server.port), 10)
    with context.wrap_socket(raw, server_hostname=name) as sock:
        return sock.getpeercert(True)


def test_sni_chooses_the_certificate(new_server, tmp_path):
    one = certificate(tmp_path, "one", ["one.example.org"])
    two = certificate(tmp_path, "two", ["two.example.org", "*.two.test"])
    server = new_server(acme_options=(
        f'certificate = {{ "{one[0]}", "{two[0]}" }}\n'
        f'key = {{ "{one[1]}", "{two[1]}" }}')).start()
    ders = [x509.der(made[2][0]) for made in (one, two)]
    assert served(server, "one.example.org") == ders[0]
    assert served(server, "two.example.org") == ders[1]
    assert served(server, "x.two.test") == ders[1]
    assert served(server, "other.example.org") == ders[0]
    assert served(server, None) == ders[0]


def test_its_own_certificate_is_for_the_public_name(server):
    der = ssl.PEM_cert_to_DER_cert(
        ssl.get_server_certificate((servers.LOCALHOST, server.port)))
    own = cx509.load_der_x509_certificate(der)
    assert "localhost" in x509.names_of(own)
    life = own.not_valid_after - datetime.datetime.utcnow()
    assert life > datetime.timedelta(days=1)


def test_names_can_be_added_to_its_own_certificate(new_server):
    server = new_server(acme_options=(
        'names = { "ca.example.org", "127.0.0.1" }')).start()
    der = ssl.PEM_cert_to_DER_cert(
        ssl.get_server_certificate((servers.LOCALHOST, server.port)))
    names = x509.names_of(cx509.load_der_x509_certificate(der))
    assert {"ca.example.org", "127.0.0.1"} <= names
