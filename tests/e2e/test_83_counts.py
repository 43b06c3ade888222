# SPDX-License-Identifier: ISC
"""What one issuance costs, in counts: flights to the store, system calls,
allocations. Counts do not depend on how busy the machine is, so these are the
bounds that a change must not break unseen.

Each is the difference of two runs of certloop-bench on one connection, so that
neither the handshake nor the account is in it. An issuance is new-order,
finalize and the certificate: three requests, one after the other, each in a
turn of the loop of its own. Under load turns are shared, and it costs less.
"""

import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import servers

FEW, MANY = 8, 48

# What is allowed; in comments, what it was when this was written. Jobs that
# look around twice a second are in it too.
TRIPS = 5           # 4, two of them for finalize
SYSCALLS = {
    # three transactions: two pwrite64 for each page in the WAL, and a sync
    "sqlite": {"all": 180,          # 135
               "fdatasync": 4.5,    # 3.0
               "recvfrom": 4.0,     # 3.0: a request each
               "sendmsg": 3.5},     # 3.0: a reply each
    "postgres": {"all": 60,         # 40
                 "sendto": 7.0,     # 4.3: a flight to the store each
                 "recvfrom": 11.0,  # 7.3
                 "sendmsg": 3.5},   # 3.0
}
ALLOCATIONS = {"sqlite": 720,       # 554, most of them SQLite's
               "postgres": 170}     # 115

# What the sanitizers' allocator does, or the clock, says nothing of us.
NOT_OURS = {"mmap", "munmap", "madvise", "mprotect", "brk", "mremap",
            "clock_gettime", "gettimeofday", "sched_yield", "getrusage"}


def issue(server, orders):
    done = subprocess.run(
        [*servers.WITH_US, server.build / "certloop-bench", "--json",
         "--ca-file", server.root, "-n", str(orders), "-c", "1",
         f"{server.profile_url()}/directory"],
        capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["done"] == orders


def marginal(server, count):
    """count(run) is what a run costs; what one more issuance does."""
    issue(server, FEW)      # statements are prepared, pools are filled
    few = count(lambda: issue(server, FEW))
    many = count(lambda: issue(server, MANY))
    return (many - few) / (MANY - FEW)


def test_round_trips_to_the_store(new_server, engine, figures):
    """Without those of jobs, which depend on how long it takes."""
    server = new_server(engine).start()

    def read():
        return sum(v for k, v in server.metrics().items()
                   if k.split("{")[0] == "certloop_store_batches_total")

    def timed(run):
        before, began = read(), time.monotonic()
        run()
        return read() - before, time.monotonic() - began
    idle, seconds = timed(lambda: time.sleep(3))

    def count(run):
        spent, took = timed(run)
        return spent - idle / seconds * took
    trips = marginal(server, count)
    figures(engine=engine, trips=trips)
    assert 3 <= trips <= TRIPS


class Strace:
    """Counts the system calls of a process."""

    def __init__(self, pid, file):
        self.file = file
        self.process = subprocess.Popen(
            [*servers.WITH_US, "strace", "-f", "-c", "-U", "calls,name",
             "-o", file, "-p", str(pid)],
            stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        if "attached" not in line:
            self.process.wait(20)
            pytest.skip(f"strace may not look: {line.strip()}")

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)
        found = {}
        for line in Path(self.file).read_text().splitlines():
            match = re.fullmatch(r"\s*(\d+)\s+(\w+)\s*", line)
            if match and match[2] != "total":
                found[match[2]] = int(match[1])
        return found


@pytest.mark.skipif(not shutil.which("strace"), reason="no strace")
def test_system_calls(new_server, engine, tmp_path, figures):
    server = new_server(engine).start()
    seen = []   # by each run

    def count(run):
        strace = Strace(server.pid, tmp_path / "strace")
        try:
            run()
        finally:
            seen.append({name: n for name, n in strace.end().items()
                         if name not in NOT_OURS})
        return sum(seen[-1].values())
    calls = marginal(server, count)
    each = {name: round((n - seen[0].get(name, 0)) / (MANY - FEW), 2)
            for name, n in seen[1].items()}
    figures(engine=engine, calls=calls, **each)
    for name, most in SYSCALLS[engine].items():
        # three, or nothing was counted
        least = 2.5 if name in ("recvfrom", "sendmsg") else 1
        found = calls if name == "all" else each[name]
        assert least <= found <= most, (name, each)


def test_allocations(new_server, engine, tmp_path, figures):
    library, file = tmp_path / "malloc_count.so", tmp_path / "count"
    file.write_bytes(bytes(8))
    server = new_server(engine, environment={
        "LD_PRELOAD": str(library), "CERTLOOP_MALLOC_COUNT": str(file)})
    if server.is_sanitized():
        pytest.skip("the sanitizer has an allocator of its own")
    subprocess.run(
        ["cc", "-O2", "-shared", "-fPIC", "-o", library,
         Path(__file__).parents[1] / "lib" / "malloc_count.c"], check=True)
    server.start()

    def read():
        return int.from_bytes(file.read_bytes(), "little")

    def count(run):
        before = read()
        run()
        return read() - before
    allocations = marginal(server, count)
    figures(engine=engine, allocations=allocations)
    assert 10 <= allocations <= ALLOCATIONS[engine]
