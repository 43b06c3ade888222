# SPDX-License-Identifier: ISC
"""Redis is killed, frozen, flushed, restarted, replaced by its replica, while
three replicas issue certificates: no request takes long, no client needs
more than to repeat a request once, issuance goes on, and all is as before
soon after. What the metrics say of it."""

import threading
import time

import pytest

import fleet
from acme import Client, Refused
from servers import wait_for

WORKERS = 6
# Redis may take so long for an answer; nothing else waits for anything
DEADLINE = 0.5
# what a request may take in all, on a machine that has much else to do
LONG = 5
RECOVERY = 5
LIMITS = """
  new_account_per_address = 0
  new_order_per_account = "10000/1h"
  open_orders_per_account = 0
"""


class Watched(fleet.Round):
    """Remembers of each request when it was sent, how long it took, and what
    came back."""

    def __init__(self, members, seen):
        super().__init__(members)
        self.seen = seen

    def request(self, method, url, body=None, headers=None):
        began = time.monotonic()
        answer = super().request(method, url, body, headers)
        self.seen.append((began, time.monotonic() - began, answer))
        return answer


class Clients:
    """Workers that obtain one certificate after the other, of one account
    each, each request from the next replica. A request that is refused with
    badNonce is repeated, as clients do."""

    def __init__(self, members):
        self.members = members
        self.seen, self.issued, self.errors, self.rows = [], [], [], []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(i,))
                        for i in range(WORKERS)]
        for thread in self.threads:
            thread.start()

    def work(self, i):
        seen = []
        client = Client(f"{fleet.PUBLIC_URL}/acme/profile/default/directory",
                        http=Watched(self.members[i % 3:]
                                     + self.members[:i % 3], seen))
        n = 0
        while not self.stop.is_set():
            try:
                client.obtain([f"w{i}-{n}.weather.example.org"])
                self.issued.append(time.monotonic())
            except Refused as error:
                self.errors.append(error.response)
            except Exception as error:  # noqa: B902
                self.errors.append(error)
                return
            n += 1
        self.seen += seen
        self.rows.append(self.longest_row(seen))

    @staticmethod
    def longest_row(seen):
        """How often at most badNonce came in a row."""
        row = longest = 0
        for _, _, answer in seen:
            row = row + 1 if answer.problem == "badNonce" else 0
            longest = max(longest, row)
        return longest

    def wait_issued(self, n, what):
        end = len(self.issued) + n
        wait_for(lambda: len(self.issued) >= end or self.errors, 60, what)

    def finish(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def total(members, name):
    return sum(m.metrics().get(f"certloop_{name}", 0) for m in members)


def is_up(members, up=1):
    return all(m.metrics()["certloop_redis_up"] == up for m in members)


class Weather:
    """begin() and end() of a trouble; between them Redis is seen as gone, if
    it lasts."""

    lasts = True

    def __init__(self, members, redis, tmp_path):
        self.members = members
        self.redis = redis
        self.heir = fleet.Redis(tmp_path / "heir")

    def begin(self):
        raise NotImplementedError

    def end(self):
        pass

    def remove(self):
        self.heir.kill()


class Killed(Weather):
    def begin(self):
        self.redis.kill()

    def end(self):
        self.redis.start()


class Frozen(Weather):
    def begin(self):
        self.redis.freeze()

    def end(self):
        self.redis.thaw()


class Flushed(Weather):
    lasts = False

    def begin(self):
        self.redis.flush()


class Restarted(Weather):
    lasts = False

    def begin(self):
        self.redis.dump()
        self.redis.kill()
        self.redis.start()


class Replaced(Weather):
    """The address leads to the replica that was made master."""

    def begin(self):
        self.heir.start()
        self.heir.follow(self.redis)
        self.redis.kill()

    def end(self):
        self.heir.promote()
        for member in self.members:
            member.redis.heal(self.heir)


@pytest.fixture(params=[Killed, Frozen, Flushed, Restarted, Replaced],
                ids=lambda w: w.__name__.lower())
def weather(request, replicas, redis, tmp_path):
    members = replicas(limits=LIMITS, backend="redis", wired=True,
                       redis_deadline=f"{int(DEADLINE * 1000)}ms")
    one = request.param(members, redis, tmp_path)
    yield one
    one.remove()


def changes(members, before):
    return {name: total(members, name) - before[name] for name in before}


def test_issuance_goes_on_in_all_weathers(weather):
    members = weather.members
    wait_for(lambda: is_up(members), 20, "Redis everywhere")
    clients = Clients(members)
    before = {name: total(members, name) for name in (
        "redis_losses_total", "redis_connects_total", "redis_epochs_total",
        "redis_late_total", 'limits_degraded_total{action="local"}')}
    try:
        clients.wait_issued(10, "issuance before")
        weather.begin()
        if weather.lasts:
            wait_for(lambda: is_up(members, 0), 20, "Redis to be gone")
            clients.wait_issued(20, "issuance without Redis")
            local = changes(members, before)[
                'limits_degraded_total{action="local"}']
            assert local >= 10
        weather.end()
        ended = time.monotonic()
        wait_for(lambda: is_up(members), 20, "Redis everywhere again")
        recovery = time.monotonic() - ended
        degraded = total(members, 'limits_degraded_total{action="local"}')
        clients.wait_issued(20, "issuance after")
    finally:
        clients.finish()
    assert not clients.errors, clients.errors[:5]
    assert recovery < RECOVERY
    slow = [s for s in clients.seen if s[1] > LONG]
    assert not slow, slow[:5]
    # each replica finds out for itself, and until then names Redis in nonces
    assert max(clients.rows) <= len(members), clients.rows
    kinds = {a.status for _, _, a in clients.seen if a.problem is None}
    assert kinds <= {200, 201, 204}, kinds
    assert {a.problem for _, _, a in clients.seen} <= {None, "badNonce"}
    # the story
    seen = changes(members, before)
    name = type(weather)
    if weather.lasts:
        assert seen["redis_losses_total"] >= len(members)
    if name is not Frozen and name is not Flushed:
        assert seen["redis_connects_total"] >= len(members)
    if name is Frozen:
        assert seen["redis_late_total"] >= len(members)
    elif name is Flushed:
        wait_for(lambda: changes(members, before)["redis_epochs_total"]
                 >= len(members), 5, "another epoch everywhere")
        assert seen["redis_losses_total"] == 0
    else:
        assert seen["redis_epochs_total"] >= len(members)
    # and nobody counts for himself any more
    assert total(members, 'limits_degraded_total{action="local"}') \
        == degraded
    for member in members:
        assert 'msg="redis is up"' in member.log()
        if weather.lasts:
            assert 'msg="redis is gone"' in member.log()
