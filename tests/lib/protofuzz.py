# SPDX-License-Identifier: ISC
"""A protocol fuzzer: live flows of ACME, each request right but for what was
changed in it before it was signed (or behind that), and what must be true
after each step (proto_judge.py).

    ground = protofuzz.Ground(build, folder)
    result = protofuzz.run(ground, seed, steps)

A seed tells the world (SQLite, PostgreSQL, or two replicas on that) and every
choice; ids, nonces and keys are made anew. What there is is read from the
store after each step: a refused request has changed nothing, an accepted one
only what it is for. At the end the rules of checker.py judge all that clients
saw, the metrics must tell the same, and nothing may be left open.
"""

import collections
import dataclasses
import json
import shutil
import time
import traceback
from pathlib import Path

import checker
import proto_judge as judge
import proto_meaning as meaning
import proto_raw
from proto_run import KINDS, TABLES, Ground, Stop, World
from proto_wire import Broken
from servers import wait_for

__all__ = ["Ground", "KINDS", "run"]

GROWTH = 60 << 10       # KiB that a process may grow after its first steps


@dataclasses.dataclass
class Result:
    seed: int
    kind: str
    complaints: list
    figures: dict
    outcomes: collections.Counter   # (resource, status, problem)
    folder: Path

    def __str__(self):
        return "\n".join([f"seed {self.seed} ({self.kind})",
                          *self.complaints])


# Problems that no request of a client alone can bring about.
ELSEWHERE = {
    "TIMEOUT": "it takes a client that is silent for header_timeout",
    "SERVER": "something of the server's own is broken",
    "UNAVAILABLE": "the store is gone, or more is asked than fits in a queue",
}


def unseen(outcomes):
    """Names of problem.def that a client can meet and that no step met."""
    return [name for name in list(judge.PROBLEMS)[:judge.OURS]
            if name not in ELSEWHERE and name not in problems_of(outcomes)]


def problems_of(outcomes):
    """The problems that were seen, as rows of problem.def."""
    seen = {(status, name) for _, status, name in outcomes}
    return {row for row, key in judge.PROBLEMS.items() if key in seen}


class Whole(proto_raw.Raw):
    """A run from its first step to its end."""

    def walk(self, steps):
        self.rss = None
        for self.step in range(steps):
            if self.step == steps // 3:
                self.rss = [m.rss() for m in self.world.members]
            try:
                self.do()
            except Broken as e:
                self.complain(self.step, [str(e)])

    def rest(self):
        """Until no validation is under way."""
        def done():
            self.state = self.world.snapshot()
            return not any(z["lease"] for z in
                           self.state["authorizations"].values())
        wait_for(done, 90, "the end of validations", 0.1)

    def errors(self):
        """Problems of validations, which clients read in the objects."""
        for z in self.state["authorizations"].values():
            if z["error"]:
                problem = json.loads(z["error"])
                self.outcomes["validation", problem["status"],
                              problem["type"].removeprefix(judge.ACME)] += 1

    def end(self, before, fds):
        self.step = "the end"
        self.rest()
        self.errors()
        for wire in self.wires:
            wire.close()
        for m, n in zip(self.world.members, fds):
            wait_for(lambda m=m, n=n: m.fds() <= n + 4, 60,
                     f"descriptors to be closed ({n} at the start)")
        for m, n in zip(self.world.members, self.rss or ()):
            if m.rss() > n + GROWTH:
                self.complain(self.step, [f"from {n} KiB to {m.rss()}"])
        self.complain(self.step, self.limits())
        self.complain(self.step, meaning.authorized(self.state))
        wait_for(lambda: self.world.metrics()["certloop_store_depth"] == 0,
                 60, "the store to be at rest")
        after = self.world.metrics()
        after["certloop_store_depth"] = 0   # it was
        self.complain(self.step, self.tell(before, after))
        self.complain(self.step, checker.check(self.facts(after)))

    def limits(self):
        """Those of the profile `tight`, in less than their hour."""
        orders = collections.Counter(
            o["account"] for o in self.state["orders"].values()
            if o["profile"] == "tight")
        opened = collections.Counter(
            o["account"] for o in self.state["orders"].values()
            if o["profile"] == "tight" and o["status"] in (
                "pending", "ready", "processing"))
        for a in self.state["accounts"].values():
            n = orders[a["id"]], opened[a["id"]], a["key_version"] - 1 - (
                a["status"] != "valid")
            if a["profile"] == "tight" and (
                    n[0] > 6 or n[1] > 3 or n[2] > 1):
                yield f"account {a['id']} has {n[0]} orders, {n[1]} of them " \
                      f"open, and {n[2]} key changes"

    def tell(self, before, after):
        """Do the metrics say what was seen?"""
        def moved(name):
            return after.get(name, 0) - before.get(name, 0)
        seen = {
            "accounts_created_total": self.counts["new-account", 201],
            "key_changes_total": self.counts["key-change", 200],
            "orders_created_total": len(self.state["orders"]),
            "certificates_issued_total": len(self.state["certificates"]),
        }
        for name, n in seen.items():
            if moved(f"certloop_{name}") != n:
                yield f"{name} is {moved(f'certloop_{name}'):.0f}, not {n}"
        revoked = sum(moved(name) for name in after
                      if name.startswith("certloop_revocations_total"))
        if revoked != self.counts["revoke-cert", 200]:
            yield f"revocations_total is {revoked:.0f}, not " \
                  f"{self.counts['revoke-cert', 200]}"
        refused = 0
        for name in after:
            if name.startswith("certloop_refusals_total"):
                refused += moved(name)
                kind = name.partition('type="')[2].partition('"')[0]
                if moved(name) < self.refusals[kind]:
                    yield f"{name} is {moved(name):.0f}, not " \
                          f"{self.refusals[kind]}"
        if refused != sum(self.refusals.values()):
            yield f"refusals_total is {refused:.0f}, not " \
                  f"{sum(self.refusals.values())}"

    def facts(self, metrics):
        view = self.world.view
        names = ("accounts", "orders", "authorizations", "certificates",
                 "audit", "loops", "limit_stamps")
        tables = {t: view.rows(t, "*") for t in names}
        told = collections.Counter(
            r["object"] for r in tables["audit"]
            if r["action"] == "authz.valid")
        valid = collections.Counter(
            z["id"] for z in tables["authorizations"]
            if z["validated"] and z["profile"] == "checked")
        if told != valid:
            self.complain(self.step, [f"authz.valid is told of {told - valid}"
                                      f", and not of {valid - told}"])
        # checker.py has no authorizations that were good and are no more
        tables["audit"] = [r for r in tables["audit"]
                           if r["action"] != "authz.valid"]
        return checker.Facts(events=self.events, tables=tables,
                             metrics=[metrics])


def run(ground, seed, steps, kind=None, planted=None):
    """One seed. What failed stays in its folder."""
    kind = kind or KINDS[seed % len(KINDS)]
    folder = ground.folder / f"seed{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    began = time.monotonic()
    world = World(ground, kind, folder, planted)
    one = None
    try:
        before = world.metrics()
        fds = [m.fds() for m in world.members]
        one = Whole(ground, world, seed)
        one.walk(steps)
        one.end(before, fds)
        world.end()
    except Stop:
        pass
    except Exception:       # of the server's end, or of this program
        if one is None:
            raise
        one.complaints.append(traceback.format_exc()[-6000:])
    finally:
        dead = [m for m in world.members if m.process is not None
                and m.process.poll() is not None]
        for m in dead:
            one.complaints.append(
                f"certloopd ended with {m.process.returncode}: "
                + m.log()[-5000:])
        world.kill()
    complaints = one.complaints + list(one.trail) if one.complaints else []
    figures = {"seed": seed, "kind": kind, "steps": steps,
               "seconds": round(time.monotonic() - began, 1),
               "requests": sum(one.outcomes.values()),
               "accepted": sum(one.counts.values()),
               "slowest": round(max(w.slowest for w in one.wires), 2),
               "cpu": round(one.most_cpu, 2),
               **{t: len(one.state[t]) for t in TABLES if t != "eab_keys"}}
    if not complaints:
        shutil.rmtree(folder)
    return Result(seed, kind, complaints, figures, one.outcomes, folder)
