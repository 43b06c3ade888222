# SPDX-License-Identifier: ISC
"""The n-th operation of a kind fails, for n = 1, 2, 3, ... until a run passes
without any (tests/lib/failing.py says how). Each time the client comes through
by ordinary repeating, or is told what is wrong; the server stays or ends in
order, and nothing is lost, stuck, half-written or left behind.

Here a few n of each kind are tried; make proof-faults walks them all, or each
CERTLOOP_FAULTS-th of them."""

import os
import signal
import subprocess

import pytest

import failing

STEP = int(os.environ.get("CERTLOOP_FAULTS", "0"))
ALL = STEP > 0
MAX = 50000     # of one flow; past it something runs in circles


def numbers(*few):
    return range(STEP, MAX, STEP) if ALL else few


@pytest.fixture
def new_world(new_server, tmp_path):
    made = []

    def start(engine, **options):
        made.append(failing.World(new_server, tmp_path, engine, **options))
        if not options.get("preload") and not made[-1].can_fail():
            pytest.skip("this build has no --enable-faults")
        return made[-1].start()
    yield start
    for one in made:
        one.close()


def walk(world, figures, ways, flows, few):
    """Each of the ways through each of the flows; then the judgement."""
    for flow in flows:
        getattr(world, flow)()      # statements are prepared, pools filled
    world.get(f"{world.server.base}/acme/directory")
    fds = world.server.fds()
    for way in ways:
        for flow in flows:
            reached, clean = world.walk(way, getattr(world, flow),
                                        numbers(*few))
            assert reached > 0, f"{flow} passes no operation of {way}"
            assert clean or not ALL
            figures(way=way, flow=flow, engine=world.server.store.engine,
                    reached=reached, clean=clean, problems=world.problems)
    assert world.rest() == []
    assert world.stray_files() == []
    if not world.ends:
        failing.wait_for(lambda: world.server.fds() <= fds + 2, 60,
                         "connections to end, and their descriptors")


# ---- the judge is judged

@pytest.mark.parametrize("stray", [
    "data/ca.new/", "asked/x/new.Ab3dE6/", "cert.pem.certloop-new",
    "data/x.certloop-old", "asked/x/.link", "data/x.tmp"])
def test_what_was_left_behind_is_seen(tmp_path, stray):
    for name in ("data/ca/key.pem", "data/certloop.db-wal",
                 "asked/x/v-1/privkey.pem", "certloop.conf"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert failing.stray_files(tmp_path) == []
    if stray.endswith("/"):
        (tmp_path / stray).mkdir()
        (tmp_path / stray / "key.pem").touch()
    else:
        (tmp_path / stray).touch()
    assert failing.stray_files(tmp_path) == [
        str(tmp_path / stray).rstrip("/")]


ABORTS = {
    "want": "abort();",
    "assertion": "assert(argc == 0);",
}


@pytest.mark.parametrize("why", ABORTS)
def test_a_failed_assertion_is_no_end_in_order(new_server, tmp_path, why):
    """Unlike the abort() of a want of memory, which looks the same to who
    waits for the process."""
    server = new_server()
    program = tmp_path / "program"
    subprocess.run(
        ["cc", "-UNDEBUG", "-o", program, "-xc", "-"], check=True, text=True,
        input="#include <assert.h>\n#include <stdlib.h>\n"
              f"int main(int argc, char **argv) {{ {ABORTS[why]} }}\n")
    with open(server.logfile, "ab") as log:
        done = subprocess.run([program], stdout=log, stderr=log)
    assert done.returncode == -signal.SIGABRT
    if why == "want":
        server.check_log()
        return
    with pytest.raises(AssertionError, match="argc == 0"):
        server.check_log()
    server.logfile.write_text("")   # it is looked at once more at the end


# ---- what the server needs

@pytest.mark.parametrize("flow", ["life", "proof", "vault", "loop", "admin"])
def test_the_nth_batch_fails(new_world, engine, figures, flow):
    world = new_world(engine)
    ways = [way for way in failing.STORE
            if way != "failing-store-cut" or engine == "postgres"]
    if not ALL:     # each of them with some flow
        at = ["life", "proof", "vault", "loop", "admin"].index(flow)
        ways = [ways[at % len(ways)]]
    if flow == "admin" and "failing-store-unheard" in ways:
        ways.remove("failing-store-unheard")    # it only reads
    walk(world, figures, ways, [flow], (1, 4))


def test_the_nth_dns_query_fails(new_world, figures):
    walk(new_world("sqlite"), figures, failing.DNS, ["proof"], (1, 3))


@pytest.mark.parametrize("flow", ["proof", "vault"])
def test_the_nth_fetch_fails(new_world, figures, flow):
    walk(new_world("sqlite"), figures, failing.FETCH, [flow], (1,))


def test_the_nth_command_to_redis_fails(new_world, redis, figures):
    walk(new_world("sqlite", redis=redis), figures, failing.REDIS, ["life"],
         (2, 5))


# ---- what libc is asked for

FILES = ("file-full", "file-ill", "file-short")


@pytest.mark.parametrize("flow", ["life", "loop"])
def test_the_nth_operation_on_a_file_fails(new_world, figures, flow):
    """Of SQLite, and of deliveries."""
    walk(new_world("sqlite", preload=True), figures, FILES, [flow], (1, 6))


@pytest.mark.parametrize("flow",
                         ["life", "proof", "vault", "loop", "admin"])
def test_the_nth_allocation_fails(new_world, figures, flow):
    """Ours and those of libraries: one request fails, or the process ends in
    order, and what comes after it finds all that was promised."""
    world = new_world("sqlite", preload=True)
    world.mortal = True
    # the handshake; an account's key, which no want of memory makes a bad one
    few = (7, 145, 174, 203, 232) if flow == "vault" else (70, 300)
    walk(world, figures, ["alloc"], [flow], few)


class Start:
    """First starts, each in a folder of its own, and what follows them."""

    def __init__(self, new_server, folder):
        self.new_server = new_server
        self.trigger = failing.Trigger(folder / "trigger")
        self.environment = failing.preloaded(folder, self.trigger)

    def walk(self, way, numbers):
        """How many starts failed or met a failure, until one was clean."""
        reached = 0
        for n in numbers:
            server = self.new_server(environment=self.environment)
            self.trigger.arm(way, n)
            server.spawn()
            self.see(server)
            if self.trigger.disarm() == 0:
                server.stop()
                return reached, True
            reached += 1
            if server.process is not None:
                server.stop()
            server.start()
            server.client().obtain(["start.example.org"])
            server.stop()
            assert failing.stray_files(server.directory) == []
        return reached, False

    @staticmethod
    def see(server):
        """It is ready, or has ended and said why."""
        def is_decided():
            if server.process.poll() is not None:
                return True
            try:
                return server.status("/readyz").status == 200
            except OSError:
                return False
        failing.wait_for(is_decided, 60, "the start")
        if server.process.poll() is None:
            return
        code = server.process.returncode
        assert code in (-6, 1, 3, 4, 5), (code, server.log())
        said = server.log().splitlines()[-1]
        assert code == -6 or said.startswith("certloopd: "), said
        assert not said.endswith("Success"), said
        server.check_log()
        server.process = None


@pytest.mark.parametrize("way", [*FILES, "alloc"])
def test_the_nth_operation_of_a_first_start_fails(new_server, tmp_path,
                                                  figures, way):
    """It says what is wrong; the next one comes up all the same."""
    few = (100, 1000) if way == "alloc" else (3, 7, 10)
    reached, clean = Start(new_server, tmp_path).walk(way, numbers(*few))
    assert reached > 0 and (clean or not ALL)
    figures(way=way, flow="start", engine="sqlite", reached=reached,
            clean=clean)
