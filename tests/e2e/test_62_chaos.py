# SPDX-License-Identifier: ISC
"""Bad weather over a fleet, from a number, and a checker that judges what
came of it (tests/lib/chaos.py, checker.py). make proof-chaos runs many seeds,
and with CERTLOOP_PLANTED the proof that planted bugs are found.

Nothing here is judged by the clock: a seed fails by what clients saw, and
what the store says."""

import os
import random
import tempfile

import pytest

import chaos
import chaos_clients
from acme import Client, Refused

SEEDS = 10


@pytest.fixture(scope="module")
def ground(build):
    """PostgreSQL and Redis for all seeds, where syncing costs nothing."""
    with tempfile.TemporaryDirectory(
            prefix="certloop-chaos-", dir="/dev/shm") as folder:
        made = chaos.Ground(build, folder)
        yield made
        made.close()


def told(result):
    return f"{result.plan}\n" + "\n".join(result.complaints)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_chaos_leaves_nothing_wrong(ground, seed):
    result = chaos.run(ground, seed)
    assert not result.complaints, told(result)
    assert result.figures["requests"] > 0


def test_an_account_that_cannot_be_looked_up_is_no_crash(ground, tmp_path):
    """Its nonce is used up, by a round trip of its own, before the refusal
    that the store was the cause of is sent."""
    world = chaos.World(ground, chaos.Plan(0, "store"), tmp_path, workers=0)
    try:
        client = Client(
            f"{chaos.PUBLIC_URL}/acme/profile/default/directory",
            http=chaos_clients.Road(world, random.Random(0)))
        world.twice = 0
        client.register()
        nonces = [client.request(
            "HEAD", client.directory["newNonce"]).header("Replay-Nonce")
            for _ in range(3)]
        for member in world.members:    # and with them their caches
            member.kill()
            member.spawn()
        world._wait_ready()
        world.freeze_postgres(0)
        for nonce in nonces:
            with pytest.raises(Refused) as refused:
                client.post(client.kid, {}, nonce=nonce)
            assert refused.value.status == 503
        world.end_of_freeze_postgres(0)
        world._wait_ready()
        assert client.post(client.kid, {}).status == 200
    finally:
        world.end_of_freeze_postgres(0)
        world.close()
    assert not world.complaints, world.complaints
    world.forget()


# ---- bugs that are planted must be found

# name: kinds of weather in which it shows, and the rules that it breaks
PLANTED = {
    "guard": (("redis", "store", "vault"),
              {"promised", "stored", "ends", "asked"}),
    "nonce": (("redis", "store", "sqlite"), {"nonces"}),
    "limit": (("redis", "store", "sqlite"), {"limits"}),
    "lease": (("vault",), {"leases"}),
    "fence": (("vault",), {"loops", "promised", "stored", "audit"}),
    "commit": (("sqlite", "store"), {"promised", "handed_out"}),
}
ENOUGH = 60     # seeds in which it must show


def pytest_generate_tests(metafunc):
    if "bug" in metafunc.fixturenames:
        metafunc.parametrize("bug,kind", [
            (bug, kind) for bug, (kinds, _) in PLANTED.items()
            for kind in kinds])


def find_planted(ground, figures, bug, kind):
    for seed in range(ENOUGH):
        result = chaos.run(ground, seed, kind, planted=bug, patience=8)
        broken = {c.partition(":")[0] for c in result.complaints}
        if broken & PLANTED[bug][1]:
            figures(bug=bug, kind=kind, seeds=seed + 1,
                    rules=sorted(broken), first=result.complaints[0])
            return
    raise AssertionError(f"{ENOUGH} seeds, and nothing of the bug was seen")


if "CERTLOOP_PLANTED" in os.environ:    # make proof-chaos
    def test_a_planted_bug_is_found(ground, figures, build, bug, kind):
        assert b"CERTLOOP_PLANT" in (build / "certloopd").read_bytes(), \
            "this build has no --enable-faults"
        find_planted(ground, figures, bug, kind)
