# SPDX-License-Identifier: ISC
"""A nonce is accepted once: sixteen times at once to three replicas, while
Redis, or the way to it, comes and goes. CERTLOOP_NONCES: races a test."""

import collections
import os
import random

import pytest

import fleet
import race
from servers import wait_for

NONCES = int(os.environ.get("CERTLOOP_NONCES", "120"))
RACERS = 16


class Races:
    """Races, and what came of them: how often nobody won, and never two."""

    def __init__(self, members):
        self.members = members
        client = fleet.client_of(members)
        client.register()
        self.racers = race.Racers(members, client, RACERS)
        self.won = collections.Counter()    # races by winners
        self.late = 0       # won when they were brought again
        self.spent = []     # nonces that had their race, and its winners

    def once(self, between=None):
        """A race for a fresh nonce; how many won."""
        nonce = self.racers.nonce()
        winners = race.good(self.racers.race(nonce, between))
        assert winners <= 1, f"{winners} winners with one nonce"
        self.won[winners] += 1
        self.spent.append((nonce, winners))
        return winners

    def again(self):
        """None of the nonces that somebody won with is accepted any more, by
        whomever it is brought; one that nobody could redeem then may be."""
        for nonce, winners in self.spent:
            late = race.good(self.racers.race(nonce))
            assert winners + late <= 1, (winners, late)
            self.late += late
        self.spent.clear()

    def tell(self, figures, **more):
        self.racers.close()
        figures(nonces=sum(self.won.values()), racers=RACERS,
                nobody=self.won[0] - self.late, **more)


def see_redis(members, up=1):
    wait_for(lambda: all(m.metrics()["certloop_redis_up"] == up
                         for m in members), 20, f"redis_up {up} everywhere")


@pytest.mark.parametrize("with_redis", [True, False], ids=["redis", "store"])
def test_a_nonce_is_accepted_once_in_a_race(replicas, figures, with_redis):
    races = Races(replicas(with_redis=with_redis))
    for _ in range(NONCES):
        assert races.once() == 1
    races.spent = races.spent[-20:]
    races.again()
    races.tell(figures)


def test_a_nonce_is_accepted_once_with_a_replica_cut_off(replicas, figures):
    """Of three replicas one sees no Redis, in turn by silence and by
    refusal, and comes back."""
    members = replicas(wired=True, redis_deadline="200ms")
    races = Races(members)
    cuts = 0
    while sum(races.won.values()) < NONCES:
        wire = members[cuts % len(members)].redis
        for _ in range(5):
            races.once()
        races.once(lambda: wire.cut(silent=cuts % 2 == 0))
        for _ in range(34):
            races.once()
        races.once(wire.heal)
        races.again()
        cuts += 1
    assert races.won[1] > races.won[0]
    races.tell(figures, cuts=cuts)


def test_a_nonce_is_accepted_once_over_flushes(replicas, redis, figures):
    races = Races(replicas())
    flushes = 0
    for n in range(NONCES):
        flushing = random.random() < 0.5
        winners = races.once(redis.flush if flushing else None)
        flushes += flushing
        if n % 50 == 49:
            races.again()
        assert winners == 1 or flushes > 0
    assert races.won[1] > NONCES // 4
    races.tell(figures, flushes=flushes)


def test_a_nonce_is_accepted_once_over_restarts_from_an_older_dump(
        replicas, redis, figures):
    members = replicas()
    races = Races(members)
    restarts = 0
    while sum(races.won.values()) < NONCES:
        see_redis(members)
        redis.dump()    # knows nothing of what follows
        for _ in range(random.randrange(20, 60)):
            races.once()
        races.once(redis.kill)
        redis.start()
        restarts += 1
        races.again()
    assert races.won[1] > races.won[0]
    races.tell(figures, restarts=restarts)


def test_a_nonce_is_accepted_once_when_a_replica_of_redis_takes_over(
        replicas, redis, tmp_path, figures):
    """One that was behind: it never heard of the last nonces."""
    members = replicas(wired=True, redis_deadline="200ms")
    races = Races(members)
    master = redis
    others = [fleet.Redis(tmp_path / f"redis{i}") for i in range(2)]
    takeovers = 0
    try:
        while sum(races.won.values()) < NONCES:
            heir = others.pop(0).start()
            heir.follow(master)
            see_redis(members)
            races.once()
            heir.freeze()
            for _ in range(random.randrange(20, 60)):
                races.once()
            races.once(master.kill)
            heir.thaw()
            heir.promote()
            for member in members:
                member.redis.heal(heir)
            others.append(master)
            master = heir
            takeovers += 1
            races.again()
    finally:
        for one in [*others, master]:
            if one is not redis:
                one.kill()
    assert races.won[1] > races.won[0]
    races.tell(figures, takeovers=takeovers)
