# SPDX-License-Identifier: ISC
"""Cert loops of a fleet: each obtained once, whoever dies or sleeps."""

import json
import os
import random
import signal
import tempfile
import time

import pytest

import fleet
from servers import children, wait_for

# 1,000 and figures by make proof-loops.
LOOPS = int(os.environ.get("CERTLOOP_LOOPS", 0))

LEASE = 5


def record(**figures):
    """One JSON object a line, for tests/proof."""
    name = os.environ.get("CERTLOOP_FIGURES")
    if name:
        with open(name, "a") as f:
            print(json.dumps(figures), file=f)


def loops_text(folder, count, slow=None):
    """Each slow-th has an RSA key, which a child makes in its own time."""
    return "".join(f"""
loop l{n:04} {{
  names = {{ "l{n:04}.example.org" }}
  folder = "{folder}/l{n:04}"
  key_type = {"rsa3072" if slow and n % slow == 0 else "ecdsa-p256"}
}}
""" for n in range(count))


@pytest.fixture
def memory_folder():
    """Where syncing files costs nothing: this is not about the disk."""
    with tempfile.TemporaryDirectory(
            prefix="certloop-", dir="/dev/shm") as folder:
        yield folder


@pytest.fixture
def replicas(build, new_store, tmp_path, memory_folder):
    """Makes three on one Postgres that want the same loops."""
    made = []

    def make(count, slow=None):
        store = new_store("postgres")
        for i in range(3):
            replica = fleet.Replica(
                build, tmp_path / f"r{i}", store=store,
                top=f"lease = {LEASE}s",
                extra=loops_text(f"{memory_folder}/node{i}", count, slow))
            made.append(replica)
            if i == 0:
                replica.init_ca()
            else:
                replica.share_from(made[0])
        return made

    yield make
    for replica in made:
        if replica.process is not None:
            replica.process.send_signal(signal.SIGCONT)
        replica.remove()


def attempts(replica, outcome):
    return replica.metrics().get(
        f'certloop_loop_attempts_total{{outcome="{outcome}"}}', 0)


def count(store, where):
    (n,), = store.query(f"SELECT count(*) FROM loops WHERE {where}")
    return int(n)


def wait_until_a_key_is_made(process):
    """A child makes it; the claim goes out as soon as it has ended."""
    made = wait_for(lambda: set(children(process.pid)), 60, "a key's child",
                    pause=0.001)
    wait_for(lambda: made - set(children(process.pid)), 60, "its end",
             pause=0.001)


def stop_with_an_attempt(store, victim, holder):
    """SIGSTOP in the midst of an attempt: its claim is in the store, its
    result is not. Returns when it was stopped, and the names of the loops."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        wait_until_a_key_is_made(victim.process)
        time.sleep(random.uniform(0, 0.003))
        victim.process.send_signal(signal.SIGSTOP)
        at = time.monotonic()
        time.sleep(0.2)     # what it sent is done by now
        left = store.query("SELECT name FROM loops WHERE "
                           f"lease_until IS NOT NULL AND holder = '{holder}'")
        if left:
            return at, [name for name, in left]
        victim.process.send_signal(signal.SIGCONT)
    raise AssertionError("no attempt was under way at any stop")


def test_a_killed_and_a_stopped_replica_cost_no_loop_and_double_none(
        replicas):
    many = LOOPS or 240
    members = replicas(many, slow=4)
    store = members[0].store
    asleep = members[2]
    begin = time.monotonic()
    asleep.spawn()
    asleep.wait_ready(60)
    ((holder,),) = wait_for(
        lambda: store.query("SELECT DISTINCT holder FROM loops "
                            "WHERE lease_until IS NOT NULL"), 60, "a lease")
    for replica in members[:2]:
        replica.spawn()
    for replica in members:
        replica.wait_ready(60)
    wait_for(lambda: count(store, "version > 0") > many // 10, 60,
             "the first tenth")

    # one is stopped with attempts under way, the busiest other is killed
    stopped, held = stop_with_an_attempt(store, asleep, holder)
    assert count(store, "version = 0") > 0, "it was over already"
    other, busiest = sorted(
        members[:2], key=lambda replica: attempts(replica, "obtained"))
    busiest.kill()
    at_kill = count(store, "version > 0")

    names = ", ".join(f"'{name}'" for name in held)
    wait_for(lambda: count(store, f"name IN ({names}) AND version = 0") == 0,
             60, "the held loops to be done by another")
    assert time.monotonic() - stopped > LEASE - 1, \
        "a lease was broken"
    size = asleep.log_size()
    asleep.process.send_signal(signal.SIGCONT)

    # what it held is refused, though it knew nothing of the time that passed
    # by the fence; or its claim was still in flight, and nothing came of it
    asleep.wait_log("came too late|was taken over|"
                    "while (claiming|storing) a cert loop", size, 30)
    wait_for(lambda: count(store, "version = 0") == 0, 120,
             "each loop to be obtained")
    seconds = time.monotonic() - begin

    per_loop = dict(store.query(
        "SELECT loop, count(*) FROM certificates GROUP BY loop"))
    assert len(per_loop) == many
    assert set(per_loop.values()) == {"1"}, "issued twice for a period"
    assert count(store, "version <> 1 OR state <> 'valid'") == 0
    # audit says the same: one certificate a loop
    (issued,), = store.query("SELECT count(*) FROM audit "
                             "WHERE action = 'certificate.issue'")
    assert int(issued) == many
    wait_for(lambda: store.query(
        "SELECT count(*) FROM loops WHERE lease_until IS NOT NULL")
        == [("0",)], 20, "leases to end")
    record(test="fleet", loops=many, seconds=round(seconds, 1),
           at_kill=at_kill, held=len(held),
           lost=int(attempts(asleep, "lost") + attempts(other, "lost")),
           certificates=int(issued), sanitizers=asleep.is_sanitized())


def test_replicas_share_the_work(replicas):
    """Not one does it all, while the others lose every claim."""
    members = replicas(150)
    store = members[0].store
    for replica in members:
        replica.spawn()
    for replica in members:
        replica.wait_ready(60)
    wait_for(lambda: count(store, "version = 0") == 0
             and count(store, "1 = 1") == 150, 60, "all loops")
    done = [attempts(r, "obtained") for r in members]
    assert sum(done) == 150
    (tries,), = store.query(
        "SELECT sum(attempt) FROM loops")
    assert int(tries) == 150, "a claim was taken from a live replica"
