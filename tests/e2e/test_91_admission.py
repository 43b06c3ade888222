# SPDX-License-Identifier: ISC
"""What one client address may cost, before anything of it is verified."""

import secrets
import threading
import time

import pytest

import jose
from servers import LOCALHOST, free_port

SHARE = 2               # percent
COST = 0.00165          # seconds, that an ES512 signature counts for
LIMITS = """
  new_account_per_address = 0
  new_order_per_account = 0
  open_orders_per_account = 0
"""
FORWARDED = f"""forwarded = true
  trusted_proxies = {{ "{LOCALHOST}" }}"""


@pytest.fixture
def behind(new_server):
    """behind(limits): a server whose clients say where they come from."""
    def start(limits):
        server = new_server(limits=LIMITS + limits, acme_options=FORWARDED)
        return server.start()
    return start


class Stranger:
    """Sends what has to be verified and is wrong, as fast as it can: the
    signature is random, so it costs the sender next to nothing."""

    SIZES = {"ES512": 132, "ES384": 96, "ES256": 64}

    def __init__(self, server, address, alg):
        self.client = server.client(alg)
        self.address = {"X-Forwarded-For": address}
        self.size = self.SIZES[alg]
        self.refused, self.verified, self.waits = 0, 0, []

    def edit(self, jws):
        half = self.size // 2
        raw = b"\0" + secrets.token_bytes(half - 1)
        jws["signature"] = jose.b64(raw + b"\0" + secrets.token_bytes(half - 1))
        return jws

    def once(self):
        answer = self.client.send(
            self.client.directory["newAccount"],
            {"onlyReturnExisting": True}, edit=self.edit,
            headers=self.address)
        if answer.status == 429:
            assert answer.problem == "rateLimited"
            self.waits.append(int(answer.header("Retry-After")))
            self.refused += 1
        else:
            assert (answer.status, answer.problem) == \
                (403, "unauthorized"), answer
            self.verified += 1
        return answer


def in_background(calls):
    """A thread for each call, which is repeated until the stop; (stop)."""
    flag, errors = threading.Event(), []

    def work(call):
        try:
            while not flag.is_set():
                call()
        except Exception as error:  # noqa: B902
            errors.append(error)
    threads = [threading.Thread(target=work, args=(c,)) for c in calls]
    [t.start() for t in threads]

    def stop():
        flag.set()
        [t.join() for t in threads]
        assert not errors, errors
    return stop


def test_expensive_keys_have_no_more_than_the_share_of_their_address(behind):
    server = behind(f"cpu_share = {SHARE}")
    greedy = [Stranger(server, "192.0.2.66", "ES512") for _ in range(3)]
    for stranger in greedy:     # what each client asks for once
        stranger.once()
    modest = server.client()
    modest.http.request = plain_from(modest.http.request, "192.0.2.1")
    modest.register()
    before = sum(s.verified for s in greedy)
    start = time.monotonic()
    stop = in_background([s.once for s in greedy])
    slow, n = 0, 0
    while time.monotonic() < start + 6:
        asked = time.monotonic()
        order = modest.order([f"n{n}.admission.example.org"])
        assert order.status == "ready"
        slow = max(slow, time.monotonic() - asked)
        n += 1
    stop()
    took = time.monotonic() - start
    verified = sum(s.verified for s in greedy) - before
    # its share of the time that went by, and of the second saved up
    assert verified <= (took + 1) * SHARE / 100 / COST + len(greedy)
    assert verified >= took * SHARE / 100 / COST / 2
    assert sum(s.refused for s in greedy) > verified
    assert all(w >= 1 for s in greedy for w in s.waits)
    metrics = server.metrics()
    assert metrics["certloop_admission_refused_total"] == \
        sum(s.refused for s in greedy)
    assert metrics['certloop_signatures_total{alg="ES512"}'] == \
        sum(s.verified for s in greedy)
    assert metrics["certloop_admission_addresses"] == 2
    assert n > 10 and slow < 5


def plain_from(request, address):
    """The requests of a client, as those of this address."""
    def send(method, url, body=None, headers=None):
        return request(method, url, body,
                       {**(headers or {}), "X-Forwarded-For": address})
    return send


def test_an_address_alone_has_all_the_time(behind):
    server = behind("cpu_share = 1")
    alone = Stranger(server, "192.0.2.66", "ES512")
    for _ in range(40):     # 66 ms of verifying; its share is 10 ms
        alone.once()
    assert alone.refused == 0


def refused(stranger, other):
    """One refusal of the stranger, while another asks too."""
    before = stranger.refused
    deadline = time.monotonic() + 20
    while stranger.refused == before:
        assert time.monotonic() < deadline
        other.send(other.directory["newAccount"],
                   {"onlyReturnExisting": True})
        nonce = stranger.client.nonce()
        stranger.client.nonces.append(nonce)
        stranger.once()
    return nonce


def test_a_refusal_uses_the_nonce_up(behind):
    server = behind("cpu_share = 1")
    stranger = Stranger(server, "192.0.2.66", "ES512")
    nonce = refused(stranger, server.client())
    client = stranger.client
    answer = client.send(
        client.directory["newAccount"], {"onlyReturnExisting": True},
        nonce=nonce, headers={"X-Forwarded-For": "192.0.2.67"})
    assert answer.problem == "badNonce", answer
    # the one that came with that answer is good
    answer = client.send(
        client.directory["newAccount"], {"onlyReturnExisting": True},
        headers={"X-Forwarded-For": "192.0.2.67"})
    assert answer.problem == "accountDoesNotExist", answer


def test_a_network_of_64_bits_has_one_share(behind):
    server = behind("cpu_share = 1")
    stranger = Stranger(server, "2001:db8:1:2::9", "ES512")
    neighbour = Stranger(server, "2001:db8:1:2:ffff::1", "ES512")
    foreign = Stranger(server, "2001:db8:1:3::9", "ES512")
    other = server.client()
    for one in (neighbour, foreign):    # connected, and with a nonce
        one.client.nonces.append(one.client.nonce())
    for _ in range(4):      # what the neighbour would have to itself: 6
        refused(stranger, other)
        if neighbour.once().status == 429:
            break
    assert neighbour.refused == 1
    assert foreign.once().status == 403


def test_a_csr_counts_with_the_cost_of_its_key(behind):
    """Cheap signatures around expensive requests are no way around."""
    server = behind("cpu_share = 1")
    client, other = server.client(), server.client()
    client.register()
    order = client.order(["csr.admission.example.org"])
    deadline = time.monotonic() + 20
    statuses = []
    while 429 not in statuses:
        assert time.monotonic() < deadline, statuses
        other.send(other.directory["newAccount"],
                   {"onlyReturnExisting": True},
                   headers={"X-Forwarded-For": "192.0.2.1"})
        answer = client.send(order["finalize"], {"csr": jose.b64(b"no CSR")},
                             headers={"X-Forwarded-For": "192.0.2.2"})
        statuses.append(answer.status)
    assert set(statuses) == {400, 429}
    # 10 ms are saved up: some 6 of them, where ES256 alone would be 130
    assert len(statuses) < 40


def test_unsigned_requests_of_one_address(behind):
    server = behind('unsigned_requests_per_address = "5/1h"')
    http = server.web()
    url = f"{server.profile_url()}/directory"

    def get(address):
        return http.request("GET", url, headers={"X-Forwarded-For": address})
    answers = [get("192.0.2.7") for _ in range(7)]
    assert [a.status for a in answers] == [200] * 5 + [429] * 2
    assert answers[-1].problem == "rateLimited"
    assert 600 < int(answers[-1].header("Retry-After")) <= 720
    assert get("192.0.2.8").status == 200
    assert server.metrics()["certloop_unsigned_refused_total"] == 2


@pytest.mark.parametrize("kind", ["acme", "ca"])
def test_what_anybody_may_ask_counts_together(new_server, kind):
    """Renewal information, CRL, OCSP, the CA's certificate: whatever listener
    they are asked of."""
    port = free_port()
    server = new_server(
        limits=LIMITS + 'unsigned_requests_per_address = "5/1h"',
        acme_options=FORWARDED, extra=f"""
listener public {{
  kind = ca
  address = "{LOCALHOST}:{port}"
  {FORWARDED}
}}""").start()
    base = server.base if kind == "acme" else f"http://{LOCALHOST}:{port}"
    http = server.web()

    def ask(method, url, body=None, kind=None):
        return http.request(method, url, body, {
            "X-Forwarded-For": "192.0.2.9",
            **({"Content-Type": kind} if kind else {})})
    ari = f"{server.profile_url()}/renewal-info/aYhba4dGQEHhs3uEe6CuLN4ByNQ" \
        ".AIdlQyE"
    first = [ask("GET", ari),
             ask("GET", f"{base}/ca/local/crl"),
             ask("HEAD", f"{base}/ca/local/certificate"),
             ask("GET", f"{base}/ca/local/ocsp/MAA"),
             ask("POST", f"{base}/ca/local/ocsp", b"0",
                 "application/ocsp-request")]
    assert 429 not in [a.status for a in first], first
    for method, url in [("GET", ari), ("GET", f"{base}/ca/local/crl"),
                        ("GET", f"{base}/ca/local/certificate"),
                        ("GET", f"{base}/ca/local/ocsp/MAA"),
                        ("POST", f"{base}/ca/local/ocsp")]:
        answer = ask(method, url, b"0" if method == "POST" else None,
                     "application/ocsp-request")
        assert (answer.status, answer.problem) == (429, "rateLimited"), url
        assert 600 < int(answer.header("Retry-After")) <= 720
    assert server.metrics()["certloop_unsigned_refused_total"] == 5


def test_registration_over_ipv6_counts_by_48_bits(new_server):
    server = new_server(limits="new_account_per_address = \"2/3h\"",
                        acme_options=FORWARDED).start()

    def register(address):
        client = server.client()
        return client.send(client.directory["newAccount"], {},
                           headers={"X-Forwarded-For": address}).status
    assert register("2001:db8:7:1::1") == 201
    assert register("2001:db8:7:2::1") == 201
    assert register("2001:db8:7:ffff::1") == 429
    assert register("2001:db8:8::1") == 201


def test_a_wrong_share_stops_the_start(new_server):
    server = new_server(limits="cpu_share = 101")
    done = server.run("-c", server.file)
    assert done.returncode == 3, done.stdout
    assert "100" in done.stdout
