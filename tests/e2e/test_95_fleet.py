# SPDX-License-Identifier: ISC
"""Three replicas on one Postgres and one Redis: any request on any of them."""

import shutil
import threading
import time

import pytest

import fleet
import jose
from acme import Client
from servers import wait_for

REPLICAS = fleet.REPLICAS


def test_every_request_goes_to_another_replica(replicas):
    members = replicas()
    client = fleet.client_of(members)
    for n in range(6):
        _, chain, _ = client.obtain([f"n{n}.fleet.example.org"])
        assert chain.count(b"BEGIN CERTIFICATE") >= 1
    assert client.bad_nonces == 0
    for replica in members:
        assert replica.metrics()["certloop_nonces_redeemed_total"] > 0


def test_without_redis_the_store_redeems(replicas):
    members = replicas(with_redis=False)
    client = fleet.client_of(members)
    client.obtain(["one.store.example.org"])
    client.obtain(["two.store.example.org"])
    assert client.bad_nonces == 0


def test_a_new_key_is_good_on_every_replica_at_once(replicas):
    """RFC 8555 section 7.3.5, whatever their caches hold."""
    members = replicas()
    client = fleet.client_of(members)
    client.register()
    for _ in range(2):
        for _ in members:       # each of them knows the key
            client.post(client.kid, {})
        old, new = client.key, jose.make_key()
        url = client.directory["keyChange"]
        client.post(url, jose.sign_jws(
            new, {"alg": new.alg, "jwk": new.jwk(), "url": url},
            {"account": client.kid, "oldKey": old.jwk()}))
        for key, status in ((new, 200), (old, 403)):
            for _ in members:
                response = client.send(client.kid, {}, key=key)
                assert response.status == status, response
        client.key = new


def test_nonces_in_the_store_are_swept_when_nobody_can_bring_them_again(
        replicas):
    members = replicas(with_redis=False, top="gc_interval = 1s")
    client = fleet.client_of(members)
    client.obtain(["swept.store.example.org"])
    store = members[0].store
    used = store.query("SELECT id FROM nonces ORDER BY id")
    assert len(used) >= 4
    store.query("UPDATE nonces SET expires = 1 "
                f"WHERE id <> '{used[0][0]}' RETURNING id")

    def swept():
        return sum(r.metrics()['certloop_gc_rows_total{sweep="nonces"}']
                   for r in members)
    wait_for(lambda: swept() == len(used) - 1, 20, "the sweep")
    assert store.query("SELECT id FROM nonces") == used[:1]


def age_key(store, version, hours):
    """As if the key had been made so much earlier."""
    done = store.query(
        f"UPDATE secrets SET created = created - {hours * 3600 * 10**6} "
        f"WHERE name = 'nonce' AND version = {version} RETURNING version")
    assert done == [(str(version),)]


def look(replica, pattern):
    """Have a replica look for new keys now."""
    offset = replica.log_size()
    replica.hup()
    replica.wait_log(pattern, offset)


def test_the_key_of_the_nonces_changes_and_nobody_notices(replicas):
    members = replicas()
    store = members[0].store
    client = fleet.client_of(members)
    client.register()
    early = client.nonce()

    def goes_on():
        client.nonces.clear()
        for n in range(REPLICAS):
            client.obtain([f"k{n}.keys.example.org"])
        assert client.bad_nonces == 0
    assert [r.metrics()["certloop_nonce_key_version"]
            for r in members] == [1] * REPLICAS
    age_key(store, 1, 30 * 24)
    # the first that looks adds the next key; it opens, and does not seal yet
    for replica in members:
        look(replica, 'msg="nonces have a new key" version=2')
        assert replica.metrics()["certloop_nonce_key_version"] == 1
        goes_on()
    # everyone had time to see it: it seals
    age_key(store, 2, 1)
    for replica in members:
        look(replica, 'msg="nonces are sealed" version=2')
        assert replica.metrics()["certloop_nonce_key_version"] == 2
        goes_on()
    assert client.send(client.kid, {}, nonce=early).status == 200
    # the next one, and of the first nothing is left
    age_key(store, 2, 30 * 24)
    look(members[0], 'msg="nonces have a new key" version=3')
    rows = store.query("SELECT version FROM secrets ORDER BY version")
    assert rows == [("2",), ("3",)]
    members[0].restart()
    goes_on()


@pytest.mark.parametrize("with_redis", [True, False], ids=["redis", "store"])
def test_a_nonce_is_redeemed_once_in_a_race(replicas, with_redis):
    members = replicas(with_redis=with_redis)
    client = fleet.client_of(members)
    client.register()
    clients = [Client(client.directory_url, key=client.key,
                      http=fleet.Round([members[i % REPLICAS]]))
               for i in range(6)]
    for one in clients:
        one.kid = client.kid
        one.directory     # fetched before the race
    for _ in range(10):
        nonce = client.nonce()
        answers = []

        def ask(one):
            answers.append(one.send(client.kid, {}, nonce=nonce))
        threads = [threading.Thread(target=ask, args=(one,))
                   for one in clients]
        [t.start() for t in threads]
        [t.join() for t in threads]
        good = [a for a in answers if a.status == 200]
        bad = [a for a in answers if a.problem == "badNonce"]
        assert (len(good), len(bad)) == (1, len(clients) - 1), answers


def test_redis_dies_and_comes_back(replicas, redis):
    members = replicas(backend="redis")
    client = fleet.client_of(members)
    client.obtain(["before.fleet.example.org"])
    redis.kill()
    client.obtain(["without.fleet.example.org"])
    redis.start()
    wait_for(lambda: all(
        r.metrics().get("certloop_redis_up", 0) == 1 for r in members),
        20, "every replica to see Redis again")
    client.obtain(["after.fleet.example.org"])


def test_redis_is_flushed(replicas, redis):
    members = replicas()
    client = fleet.client_of(members)
    client.register()
    nonce = client.nonce()
    assert client.send(client.kid, {}, nonce=nonce).status == 200
    redis.flush()
    # what was redeemed before the flush is not redeemed again after it
    assert client.send(client.kid, {}, nonce=nonce).problem == "badNonce"
    client.obtain(["flushed.fleet.example.org"])


@pytest.mark.parametrize("with_redis", [True, False], ids=["redis", "store"])
def test_when_the_redeemer_forgot_the_first_repeat_succeeds(
        replicas, redis, with_redis):
    """There are clients that repeat a request once."""
    members = replicas(with_redis=with_redis)
    client = fleet.client_of(members)
    client.register()
    for n in range(1, 7):
        client.nonces[:] = client.nonces[-1:] or [client.nonce()]
        if with_redis:
            redis.flush()
        else:       # as after a crash of PostgreSQL: the tables are unlogged
            members[0].store.execute(
                f"UPDATE nonce_epochs SET epoch = '{n:016x}'")
        refused = client.send(client.kid, None)
        assert refused.problem == "badNonce", refused
        assert client.send(client.kid, None).status == 200


@pytest.mark.parametrize("with_redis", [True, False], ids=["redis", "store"])
def test_a_fresh_nonce_costs_no_round_trip(replicas, redis, with_redis):
    """Whoever will redeem it hears nothing of it before."""
    nonces = 600
    members = replicas(with_redis=with_redis,
                       backend="redis" if with_redis else "memory")
    client = fleet.client_of(members)
    url = client.directory["newNonce"]

    def asked():
        """What Redis and the store were asked so far, by whomever."""
        trips = sum(v for m in members for k, v in m.metrics().items()
                    if k.split("{")[0] == "certloop_store_batches_total")
        return redis.called("evalsha") + redis.called("eval"), trips
    before, began = asked(), time.monotonic()
    got = {client.request("HEAD" if n % 2 else "GET", url)
           .header("Replay-Nonce") for n in range(nonces)}
    after, took = asked(), time.monotonic() - began
    assert len(got) == nonces
    # they look after themselves meanwhile, as they do when nobody asks
    time.sleep(took)
    idle = asked()
    for then, now, later in zip(before, after, idle):
        assert now - then <= 2 * (later - now) + 40
    # a signed request does cost one
    client.nonces.clear()
    client.register()
    for _ in range(20):
        client.post(client.kid)
    end = asked()
    assert end[0] - idle[0] >= 20 if with_redis else end[1] - idle[1] >= 20


def test_a_replica_without_the_sealing_key_is_refused(replicas, build,
                                                      tmp_path):
    members = replicas()
    fourth = fleet.Replica(build, tmp_path / "fourth",
                           store=members[0].store)
    fourth.init_ca()
    shutil.rmtree(fourth.data / "ca")
    shutil.copytree(members[0].data / "ca", fourth.data / "ca")
    done = fourth.run("-c", fourth.file)
    assert done.returncode == 3, done.stdout
    assert "another key" in done.stdout
