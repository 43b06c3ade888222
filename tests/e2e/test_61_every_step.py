# SPDX-License-Identifier: ISC
"""A death at every step of a flow, one after the other: before and after each
batch of the store, around each signature, before each reply. After it the
server starts again, the client goes on, and all ends right.

The steps are those that the program passes (base/fault.h), so none is left
out: the n-th run dies at the n-th point, until a run goes through."""

import http.client
import time

import pytest

import challenges
import jose
import x509
from acme import Refused
from servers import wait_for
from vault_world import KEY, World

STEPS_MAX = 80      # of one flow; past them something runs in circles
QUICK = "recovery_interval = 1s\nlease = 5s\ngc_interval = 0"

# What a server that is being killed may do to a client.
BROKEN = (OSError, http.client.HTTPException)


@pytest.fixture
def new_mortal(new_server, engine, tmp_path):
    """new_mortal(**options): a server that dies when it is told to."""
    def start(**options):
        order = tmp_path / "fault"
        server = new_server(engine, top=QUICK,
                            environment={"CERTLOOP_FAULT": str(order)},
                            **options)
        if b"CERTLOOP_FAULT" not in server.program.read_bytes():
            pytest.skip("this build has no --enable-faults")
        server.order = order
        return server.start()
    return start


@pytest.fixture
def mortal(new_mortal):
    return new_mortal()


def die_at(server, step):
    new = server.order.with_suffix(".new")
    new.write_text(f"{step}\n")
    new.rename(server.order)


def disarm(server):
    """No death any more, unless one comes first, by work that goes on after
    the reply: then a broken connection."""
    die_at(server, 0)
    while server.order.exists():
        server.status("/healthz")


def is_dead(server):
    """Did it die? A broken connection may be seen before the death is."""
    if server.process is None:
        return True
    try:
        server.process.wait(20)
    except Exception:
        raise AssertionError("the connection broke, yet the server lives")
    assert server.process.returncode == -9, server.log()[-3000:]
    server.process = None
    return True


def go_on(step):
    """Repeat a request until it is not refused with badNonce or 5xx."""
    end = time.monotonic() + 60
    while True:
        try:
            return step()
        except Refused as error:
            if error.status < 500 and error.problem != "badNonce":
                raise
            assert time.monotonic() < end, error


def at_every_step(server, flow, finish):
    """flow(n) with a death at its n-th step, then finish(n, its state) with
    the server started again; until flow goes through. How many runs that
    took."""
    for step in range(1, STEPS_MAX):
        die_at(server, step)
        state = {}
        try:
            flow(step, state)
            disarm(server)
            died = False
        except BROKEN:
            died = is_dead(server)
            server.start()
        finish(step, state)
        if not died:
            assert server.log().count("fault: killed at") == step - 1
            return step
    raise AssertionError(f"no end after {STEPS_MAX} steps")


def change_key(client, new):
    url = client.directory["keyChange"]
    inner = jose.sign_jws(new, {"alg": new.alg, "jwk": new.jwk(), "url": url},
                          {"account": client.kid, "oldKey": client.key.jwk()})
    client.post(url, inner)


def revoke(client, der):
    client.post(client.directory["revokeCert"],
                {"certificate": jose.b64(der)})


def certificates(server, order):
    name = order.rsplit("/", 1)[1]
    return server.store.query(
        f"SELECT id FROM certificates WHERE order_id = '{name}'")


def test_an_issuance_dies_at_every_step(mortal):
    client = mortal.client()
    client.register()
    key = x509.new_key()

    def flow(step, state):
        client.nonces.clear()
        names = [f"s{step}.steps.example.org"]
        order = client.order(names)
        state["order"] = order
        client.finalize(order, x509.make_csr(names, key))
        state["chain"] = client.download(order)

    def finish(step, state):
        client.nonces.clear()
        names = [f"s{step}.steps.example.org"]
        if "order" not in state:
            state["order"] = go_on(lambda: client.order(names))
        order = state["order"]
        go_on(lambda: client.refresh(order))
        if order.status == "ready":
            go_on(lambda: client.finalize(order, x509.make_csr(names, key)))
        wait_for(lambda: go_on(lambda: client.refresh(order)).status
                 == "valid", 60, "the order to be valid", 0.1)
        chain = go_on(lambda: client.download(order))
        assert state.get("chain", chain) == chain
        assert len(certificates(mortal, order.url)) == 1
    steps = at_every_step(mortal, flow, finish)
    # three requests, each with a batch and a reply, and a signature
    assert steps > 3 * 3 + 2


def test_an_issuance_by_vault_dies_at_every_step(new_server, engine,
                                                 tmp_path):
    """Vault may have signed twice, but one certificate is handed out."""
    fault = tmp_path / "fault"
    w = World(lambda kind, **options: new_server(
        kind, environment={"CERTLOOP_FAULT": str(fault)}, **options),
        tmp_path, engine)
    if b"CERTLOOP_FAULT" not in w.server.program.read_bytes():
        pytest.skip("this build has no --enable-faults")
    w.server.order = fault
    client = w.start().client

    def flow(step, state):
        client.nonces.clear()
        names = [f"v{step}.steps.example.org"]
        order = client.order(names)
        state["order"] = order
        client.finalize(order, x509.make_csr(names, KEY))
        state["chain"] = client.download(order)

    def finish(step, state):
        client.nonces.clear()
        names = [f"v{step}.steps.example.org"]
        if "order" not in state:
            state["order"] = go_on(lambda: client.order(names))
        order = state["order"]
        go_on(lambda: client.refresh(order))
        if order.status == "ready":
            go_on(lambda: client.finalize(order, x509.make_csr(names, KEY)))
        wait_for(lambda: go_on(lambda: client.refresh(order)).status
                 == "valid", 60, "the order to be valid", 0.1)
        chain = go_on(lambda: client.download(order))
        assert state.get("chain", chain) == chain
        assert len(certificates(w.server, order.url)) == 1
        asked = [s for s in w.signs()
                 if s["body"]["alt_names"] == names[0]]
        assert 1 <= len(asked) <= 2
    try:
        assert at_every_step(w.server, flow, finish) > 3 * 3 + 2
    finally:
        w.peer.stop()
    assert w.rows("SELECT id FROM certificates WHERE order_id IS NULL"
                  " AND status = 'valid'") == []


def test_a_key_change_dies_at_every_step(mortal):
    client = mortal.client()
    client.register()

    def flow(step, state):
        client.nonces.clear()
        state["new"] = jose.make_key("ES256")
        change_key(client, state["new"])
        client.key = state["new"]

    def finish(step, state):
        """One of the two keys is the account's, never both or none."""
        client.nonces.clear()
        old, new = client.key, state["new"]
        good = []
        for key in {id(old): old, id(new): new}.values():
            client.key = key
            try:
                go_on(lambda: client.post(client.kid, {}))
                good.append(key)
            except Refused as error:
                assert error.problem == "unauthorized", error
        assert len(good) == 1
        client.key = good[0]
    assert at_every_step(mortal, flow, finish) > 3


def test_a_revocation_dies_at_every_step(mortal):
    client = mortal.client()
    client.register()
    certs = {}

    def flow(step, state):
        client.nonces.clear()
        revoke(client, certs[step])

    def finish(step, state):
        client.nonces.clear()
        try:
            go_on(lambda: revoke(client, certs[step]))
        except Refused as error:
            assert error.problem == "alreadyRevoked", error
        rows = mortal.store.query(
            "SELECT count(*) FROM audit WHERE action = 'certificate.revoke'")
        assert int(rows[0][0]) == step
        certs[step + 1] = obtain(step + 1)

    def obtain(step):
        _, chain, _ = client.obtain([f"r{step}.steps.example.org"])
        return x509.der(x509.split_chain(chain)[0])
    certs[1] = obtain(1)
    assert at_every_step(mortal, flow, finish) > 3


@pytest.fixture
def peers(tmp_path):
    """Name and web servers that validations ask."""
    dns = challenges.Dns(tmp_path / "dns")
    http = challenges.Http(tmp_path / "http")
    yield dns, http
    dns.close()
    http.close()


def profile_of(peers):
    dns, http = peers
    return f"""
profile default {{
  issuer = local
  auth_mode = challenge
  resolvers = {{ "{dns.resolver()}" }}
  validation_allow = {{ "127.0.0.0/8" }}
  http_port = {http.port}
  validation_timeout = 5s
}}
"""


def test_a_validation_dies_at_every_step(new_mortal, peers):
    """From the order until it is ready, the queries included."""
    server = new_mortal(profiles=profile_of(peers))
    client = server.client()
    client.register()

    def answer(order):
        """Respond to the challenge unless it was; the order once ready."""
        url = order["authorizations"][0]
        authz = client.post(url).json
        one, = [c for c in authz["challenges"] if c["type"] == "http-01"]
        peers[1].put(client, one["token"])
        if one["status"] == "pending":
            client.post(one["url"], {})
        wait_for(lambda: client.refresh(order).status != "pending", 60,
                 "the order to be ready", 0.1)
        assert order.status == "ready", order.body

    def flow(step, state):
        client.nonces.clear()
        state["order"] = client.order([f"v{step}.steps.example.org"])
        answer(state["order"])

    def finish(step, state):
        client.nonces.clear()
        if "order" not in state:
            state["order"] = go_on(
                lambda: client.order([f"v{step}.steps.example.org"]))
        order = state["order"]
        go_on(lambda: answer(order))
        name = order.url.rpartition("/")[2]
        rows = server.store.query(
            "SELECT count(*) FROM audit WHERE action = 'authz.valid' AND "
            f"order_id = '{name}'")
        assert rows[0] in ((1,), ("1",))
    assert at_every_step(server, flow, finish) > 8
