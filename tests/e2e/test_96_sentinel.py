# SPDX-License-Identifier: ISC
"""Redis found by Sentinels, which make its replica the master when it is
gone; and by each other way that the configuration knows."""

import time

import pytest

import fleet
from servers import wait_for

LIMITS = """
  new_account_per_address = 0
  new_order_per_account = "10000/1h"
  open_orders_per_account = 0
  backend = redis
"""


def is_up(server, up=1):
    return server.metrics()["certloop_redis_up"] == up


@pytest.fixture
def sentinels(redis, tmp_path):
    """Three of them, the server they watch, and its replica."""
    heir = fleet.Redis(tmp_path / "heir").start()
    heir.follow(redis)
    watch = fleet.Sentinels(tmp_path, redis)
    try:
        watch.wait_agreed()
        yield watch, redis, heir
    finally:
        watch.remove()
        heir.kill()


def test_sentinels_say_where_the_master_is(new_server, sentinels):
    watch, master, heir = sentinels
    # one that is not there is passed over
    listed = ", ".join(f'"{a}"' for a in ["127.0.0.1:1", *watch.addresses])
    server = new_server(limits=LIMITS, extra=f"""
redis {{
  sentinels = {{ {listed} }}
  sentinel_master = "{watch.NAME}"
  deadline = 500ms
}}""").start()
    wait_for(lambda: is_up(server), 10, "Redis")
    server.wait_log(f"redis is up.*address={master.address}")
    client = server.client()
    client.obtain(["before.sentinel.example.org"])
    counted = master.called("lpush")
    assert counted >= 1
    # it is frozen: connections stay, nobody answers
    master.freeze()
    try:
        client.obtain(["local.sentinel.example.org"])
        wait_for(lambda: b"role:master" in heir.command(
            "INFO", "replication"), 40, "the replica to be made master")
        began = time.monotonic()
        wait_for(lambda: is_up(server), 30, "the new master to be found")
        assert time.monotonic() - began < 5
    finally:
        master.thaw()
    server.wait_log(f"redis is up.*address={heir.address}")
    client.obtain(["after.sentinel.example.org"])
    assert heir.called("lpush") >= 1
    # the old one comes back as a replica, and nothing changes
    wait_for(lambda: b"role:slave" in master.command(
        "INFO", "replication"), 40, "the old master to follow")
    client.obtain(["end.sentinel.example.org"])
    assert is_up(server)
    assert server.metrics()["certloop_redis_losses_total"] >= 1


@pytest.mark.parametrize("text, words", [
    ('sentinels = { "127.0.0.1" }', "sentinel_master"),
    ('sentinel_master = "x"', "sentinels"),
    ('sentinels = { "127.0.0.1" }\n sentinel_master = "x"\n'
     'address = "127.0.0.1:6379"', "either"),
    ('sentinels = { "127.0.0.1:0" }\n sentinel_master = "x"',
     "no address of a Redis"),
])
def test_half_a_sentinel_stops_the_start(new_server, text, words):
    server = new_server(limits=LIMITS, extra=f"redis {{\n {text}\n}}")
    done = server.run("-c", server.file)
    assert done.returncode == 3, done.stdout
    assert words in done.stdout


# ---- other ways

@pytest.fixture
def other_redis(tmp_path):
    """other_redis(option...): a redis-server with more options."""
    made = []

    def start(*options):
        made.append(fleet.Redis(tmp_path / f"other{len(made)}", *options))
        return made[-1].start()
    yield start
    for one in made:
        one.kill()


def test_a_unix_socket_an_acl_user_and_a_database(new_server, other_redis,
                                                  tmp_path):
    path = tmp_path / "s"
    redis = other_redis("--unixsocket", str(path))
    # what redis(5) of the manual asks for, and no more
    redis.do("ACL", "SETUSER", "loop", "on", ">secret word", "~own:*",
             "+info", "+eval", "+evalsha", "+get", "+set", "+select",
             "+time", "+lindex", "+lrange", "+lpush", "+ltrim", "+rpush",
             "+del", "+pexpire", "+client|setname", "+config|get")
    secret = tmp_path / "password"
    secret.write_text("secret word\n")
    secret.chmod(0o600)
    server = new_server("postgres", limits=LIMITS, top="replicas = true",
                        extra=f"""
redis {{
  address = "unix:{path}"
  user = loop
  password_file = "{secret}"
  database = 7
  prefix = "own:"
  deadline = 1s
}}""").start()
    wait_for(lambda: is_up(server), 10, "Redis")
    server.client().obtain(["acl.redis.example.org"])
    assert redis.called("lpush") >= 1
    keyspace = redis.command("INFO", "keyspace")
    assert b"db7:keys=" in keyspace and b"db0:" not in keyspace
    assert server.metrics()["certloop_redis_errors_total"] == 0
    assert "secret word" not in server.log()


def test_a_wrong_password_stops_the_start(new_server, other_redis, tmp_path):
    redis = other_redis("--requirepass", "right")
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    secret.chmod(0o600)
    server = new_server(limits=LIMITS, extra=f"""
redis {{
  address = "{redis.address}"
  password_file = "{secret}"
}}""")
    done = server.run("-c", server.file)
    assert done.returncode == 3, done.stdout
    assert "password" in done.stdout


def test_a_cluster_stops_the_start(new_server, other_redis):
    redis = other_redis("--cluster-enabled", "yes")
    server = new_server(limits=LIMITS, extra=f"""
redis {{ address = "{redis.address}" }}""")
    done = server.run("-c", server.file)
    assert done.returncode == 3, done.stdout
    assert "Cluster" in done.stdout


def test_a_server_that_may_evict_counts_and_redeems_nothing(
        new_server, other_redis):
    redis = other_redis("--maxmemory-policy", "allkeys-lru")
    server = new_server("postgres", limits=LIMITS, top="replicas = true",
                        extra=f"""
redis {{
  address = "{redis.address}"
  deadline = 1s
}}""").start()
    wait_for(lambda: is_up(server), 10, "Redis")
    client = server.client()
    client.obtain(["evict.redis.example.org"])
    assert client.bad_nonces == 0
    assert redis.called("lpush") >= 1
    # the store redeemed
    assert int(server.store.query("SELECT count(*) FROM nonces")[0][0]) > 3
    server.wait_log("nonces are not kept there")
    assert server.log().count("nonces are not kept there") == 1
