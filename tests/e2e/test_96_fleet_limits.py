# SPDX-License-Identifier: ISC
"""Limits that three replicas share: exact in every window, and what becomes
of them when Redis dies."""

import threading
import time

import pytest

import fleet
import servers
from acme import Client, Refused
from servers import wait_for

REPLICAS = fleet.REPLICAS
MAX, WINDOW = 10, 3     # of the limit under test; seconds


def limits(value, *more):
    return "\n".join(["new_account_per_address = 0",
                      "open_orders_per_account = 0",
                      f'new_order_per_account = "{value}"', *more])


SHORT = limits(f"{MAX}/{WINDOW}s")
LONG = limits(f"{MAX}/1h")


class Try:
    """One new-order: when it was sent, when answered, and how."""

    def __init__(self, client, name, serious=True):
        self.sent = time.monotonic()
        try:
            self.answer = client.post(
                client.directory["newOrder"],
                {"identifiers": [{"type": "dns", "value": name}]})
        except Refused as error:
            self.answer = error.response
        self.answered = time.monotonic()
        self.passed = self.answer.status == 201
        if not self.passed and serious:
            assert (self.answer.status, self.answer.problem) == \
                (429, "rateLimited"), self.answer
            assert int(self.answer.header("Retry-After")) > 0


def hammer(members, client, go_on, workers=2 * REPLICAS, serious=True):
    """Orders of one account through all members at once, while go_on(n) for
    the n-th of a worker; the tries, in no order."""
    tries, errors = [], []

    def work(i):
        one = Client(client.directory_url, key=client.key,
                     http=fleet.Round([members[i % len(members)]]))
        one.kid = client.kid
        n = 0
        try:
            while go_on(n):
                tries.append(Try(one, f"h{i}-{n}.fleet.example.org", serious))
                n += 1
        except Exception as error:  # noqa: B902
            errors.append(error)
    threads = [threading.Thread(target=work, args=(i,))
               for i in range(workers)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not errors, errors
    return tries


def passed(tries):
    return sum(t.passed for t in tries)


def new_client(members):
    client = fleet.client_of(members)
    client.register()
    return client


@pytest.fixture(params=["redis", "store"])
def counted(request, replicas):
    """counted(limits): replicas that count together; with the store, that
    also redeems their nonces."""
    def start(limits):
        return replicas(limits=limits, backend=request.param,
                        with_redis=request.param == "redis")
    return start


def test_exactly_max_pass_in_every_window(counted):
    """Whatever moment between sending and answer each try was judged at: no
    window has more than max, and no try is refused with fewer."""
    members = counted(SHORT)
    client = new_client(members)
    end = time.monotonic() + 3.5 * WINDOW
    tries = hammer(members, client, lambda n: time.monotonic() < end)
    good = [t for t in tries if t.passed]
    for first in good:
        inside = [t for t in good if t.sent >= first.sent
                  and t.answered < first.sent + WINDOW]
        assert len(inside) <= MAX
    for refused in (t for t in tries if not t.passed):
        before = [t for t in good if t.sent <= refused.answered
                  and t.answered >= refused.sent - WINDOW]
        assert len(before) >= MAX, refused.answer
    # so many full windows went by, and not one more
    assert 3 * MAX <= len(good) <= 5 * MAX
    assert len(tries) > 2 * len(good)


def test_retry_after_is_when_the_next_one_passes(counted):
    members = counted(limits("2/5s"))
    client = new_client(members)
    first = Try(client, "one.fleet.example.org")
    assert Try(client, "two.fleet.example.org").passed
    refused = Try(client, "three.fleet.example.org")
    assert first.passed and not refused.passed
    wait = int(refused.answer.header("Retry-After"))
    assert 1 <= wait <= 5
    wait_for(lambda: time.monotonic() >= refused.answered + wait, 10,
             "Retry-After to pass", 0.01)
    assert Try(client, "three.fleet.example.org").passed


def test_with_memory_each_replica_counts_for_itself(replicas):
    """certloop-ha(7) says so: N times max."""
    members = replicas(limits=LONG, backend="memory")
    tries = hammer(members, new_client(members), lambda n: n < MAX + 2)
    assert passed(tries) == REPLICAS * MAX


def test_a_long_window_too_lets_exactly_max_pass(counted):
    members = counted(LONG)
    tries = hammer(members, new_client(members), lambda n: n < MAX)
    assert passed(tries) == MAX


def test_counts_outlive_restarts_of_all_replicas(counted):
    members = counted(LONG)
    client = new_client(members)
    before = [Try(client, f"b{n}.fleet.example.org") for n in range(MAX // 2)]
    for replica in members:
        replica.stop()
        replica.start()
    client.http = fleet.Round(members)
    after = hammer(members, client, lambda n: n < MAX)
    assert passed(before) + passed(after) == MAX


def test_open_orders_are_counted_exactly_in_the_whole_fleet(replicas):
    members = replicas(limits="""
        new_account_per_address = 0
        new_order_per_account = 0
        open_orders_per_account = 5""")
    tries = hammer(members, new_client(members), lambda n: n < 4)
    assert passed(tries) == 5


# ---- the store counts

def test_a_refusal_by_the_store_leaves_no_row_and_the_sweep_the_rest(
        replicas):
    members = replicas(
        limits=limits("2/2s", "sweep_interval = 1s"), backend="store",
        with_redis=False)
    client = new_client(members)
    store = members[0].store
    tries = [Try(client, f"s{n}.fleet.example.org") for n in range(6)]
    assert passed(tries) < 6
    seen = int(store.query("SELECT count(*) FROM limit_stamps")[0][0])
    assert seen <= passed(tries)

    def swept(sweep="limit_stamps"):
        name = f'certloop_gc_rows_total{{sweep="{sweep}"}}'
        return sum(r.metrics()[name] for r in members)
    wait_for(lambda: swept() == passed(tries), 20, "the sweep")
    assert store.query("SELECT count(*) FROM limit_stamps") == [("0",)]
    # heads stay for an hour or two, one for a key
    assert store.query("SELECT count(*) FROM limit_heads") == [("1",)]
    store.execute("UPDATE limit_heads SET due = 1")
    wait_for(lambda: swept("limit_heads") == 1, 20, "the sweep of heads")
    assert Try(client, "again.fleet.example.org").passed


@pytest.fixture
def own_cluster():
    cluster = servers.Postgres().start()
    yield cluster
    cluster.remove()


def test_without_the_store_that_counts_requests_are_refused_with_503(
        new_server, own_cluster):
    server = new_server("postgres", store=own_cluster.new_store(),
                        limits=limits(f"{MAX}/1h", "backend = store"))
    server.start()
    client = server.client()
    client.register()
    assert Try(client, "one.fleet.example.org").passed
    own_cluster.kill()
    for n in range(3):
        refused = Try(client, f"n{n}.fleet.example.org", serious=False)
        assert refused.answer.status == 503, refused.answer
        assert int(refused.answer.header("Retry-After")) > 0
    assert server.metrics()["certloop_limits_store_failures_total"] >= 3
    own_cluster.start()
    wait_for(lambda: Try(client, "back.fleet.example.org",
                         serious=False).passed, 30, "the store to be back")


def test_sqlite_counts_exactly_too(new_server):
    server = new_server(limits=limits(f"{MAX}/1h", "backend = store"))
    server.start()
    client = server.client()
    client.register()
    tries = [Try(client, f"q{n}.fleet.example.org") for n in range(MAX + 3)]
    assert [t.passed for t in tries] == [True] * MAX + [False] * 3
    server.stop()
    server.start()
    assert not Try(client, "later.fleet.example.org").passed


# ---- Redis is gone

def sees_redis(replica):
    return replica.metrics()["certloop_redis_up"] == 1


def gone(members, redis):
    redis.kill()
    for replica in members:
        wait_for(lambda r=replica: not sees_redis(r), 20,
                 "a replica to see that Redis is gone")


def back(members, redis):
    redis.start()
    for replica in members:
        wait_for(lambda r=replica: sees_redis(r), 30,
                 "a replica to see Redis again")


def without_redis(replicas, redis, on_error, *more):
    """The tries while Redis is gone, and those after it came back."""
    members = replicas(limits=limits(f"{MAX}/1h", f"on_error = {on_error}",
                                     *more), backend="redis")
    client = new_client(members)
    gone(members, redis)
    tries = hammer(members, client, lambda n: n < MAX + 2, serious=False)
    back(members, redis)
    after = hammer(members, client, lambda n: n < MAX)
    return members, tries, after


def test_on_error_local_each_counts_for_itself(replicas, redis):
    _, tries, after = without_redis(replicas, redis, "local")
    assert passed(tries) == REPLICAS * MAX
    assert {t.answer.status for t in tries} == {201, 429}
    assert passed(after) == MAX


def test_on_error_local_with_expected_replicas_shares_max(replicas, redis):
    _, tries, after = without_redis(
        replicas, redis, "local", f"expected_replicas = {REPLICAS}")
    assert passed(tries) == REPLICAS * (MAX // REPLICAS)
    assert passed(after) == MAX


def test_on_error_allow_lets_everything_pass(replicas, redis):
    _, tries, after = without_redis(replicas, redis, "allow")
    assert passed(tries) == len(tries) == 2 * REPLICAS * (MAX + 2)
    assert passed(after) == MAX


def test_on_error_deny_refuses_everything(replicas, redis):
    members, tries, after = without_redis(replicas, redis, "deny")
    assert passed(tries) == 0
    for one in tries:
        assert one.answer.status == 503, one.answer
        assert int(one.answer.header("Retry-After")) > 0
    assert passed(after) == MAX
    assert all(r.process.poll() is None for r in members)


@pytest.mark.parametrize("on_error", ["local", "allow", "deny"])
def test_redis_is_killed_and_comes_back_under_load(replicas, redis, on_error):
    """No answer but what on_error says and, once for what Redis was asked at
    that moment, badNonce (which the client repeats)."""
    members = replicas(limits=limits("10000/1h", f"on_error = {on_error}"),
                       backend="redis")
    client = new_client(members)
    stop = threading.Event()
    tries = []
    thread = threading.Thread(target=lambda: tries.extend(hammer(
        members, client, lambda n: not stop.is_set(), serious=False)))
    thread.start()
    try:
        for _ in range(2):
            gone(members, redis)
            back(members, redis)
    finally:
        stop.set()
        thread.join()
    assert passed(tries) > 0
    strange = [t.answer for t in tries if not t.passed
               and t.answer.status != 503]
    assert not strange, strange[:5]
    if on_error != "deny":
        refused = [t.answer for t in tries if not t.passed]
        assert not refused, refused[:5]
    after = hammer(members, client, lambda n: n < 3)
    assert passed(after) == len(after)
