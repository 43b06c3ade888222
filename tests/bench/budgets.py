# SPDX-License-Identifier: ISC
"""What the other parts of tests/bench/run do not measure, and the table that
holds all against the budgets of the design."""

import contextlib
import os
import re
import resource
import socket
import ssl
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import servers
import table

IDLE = int(os.environ.get("BENCH_IDLE", "2000"))    # TLS connections
STARTS = 11

# Percent of the server's time that the signatures of one address may take:
# less than by default, for a flood from half a core shall reach it. What one
# costs is a constant of the server; a quarter more is the machine's.
SHARE = 10
SHARE_MOST = 1.25 * SHARE


def stores(bench):
    return (None, bench.postgres.new_store())


def sync_times(directory, n=2000, size=1 << 16):
    """Milliseconds that it takes to write so much and have it on the disk."""
    found = []
    with tempfile.TemporaryFile(dir=directory) as f:
        os.posix_fallocate(f.fileno(), 0, 256 * size)
        os.fsync(f.fileno())
        for i in range(n):
            begin = time.monotonic()
            os.pwrite(f.fileno(), os.urandom(size), (i % 256) * size)
            os.fdatasync(f.fileno())
            found.append(1000 * (time.monotonic() - begin))
    return found


def half_of(bench, name, server, orders):
    url = f"{server.profile_url()}/directory"
    full = bench.load(url, server.root, server.pid, "-n", orders, "-c", 32)
    bench.half[name] = bench.load(
        url, server.root, server.pid, "-n", orders, "-c", 64, "--rate",
        max(1, int(full["rate"] / 2)))


def run_half(bench, orders):
    """Latencies at half of what a closed loop reaches, at a constant rate; the
    same where syncing costs nothing; and what a sync costs here by itself."""
    for store in stores(bench):
        name = store.engine if store else "sqlite"
        with bench.certloopd(store, f"half-{name}") as server:
            half_of(bench, name, server, orders)
    bench.sync = sync_times(bench.directory)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory, \
            contextlib.ExitStack() as stack:
        os.chmod(memory, 0o755)     # PostgreSQL is another user
        cluster = servers.Postgres(
            {"autovacuum": "on", "shared_buffers": "128MB"}, parent=memory)
        stack.callback(cluster.remove)
        cluster.start()
        for store in (None, cluster.new_store()):
            name = store.engine if store else "sqlite"
            with bench.certloopd(store, f"memory-{name}",
                                 under=Path(memory)) as server:
                half_of(bench, f"{name} in memory", server, orders)


def start_once(server):
    """Seconds from the start of the process to the first answer 200."""
    begin = time.monotonic()
    server.spawn()
    while True:
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", server.status_port),
                                          1) as s:
                s.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
                if b" 200 " in s.recv(4096):
                    return time.monotonic() - begin
        time.sleep(0.001)


def run_start(bench):
    """To ready, on a database that is there."""
    for store in stores(bench):
        name = store.engine if store else "sqlite"
        with bench.certloopd(store, f"start-{name}") as server:
            seconds = []
            for _ in range(STARTS):
                server.stop()
                seconds.append(start_once(server))
            bench.starts[name] = statistics.median(seconds) * 1000


def connect_idly(server, n):
    """So many TLS connections that have done no more than shaking hands."""
    context = ssl.create_default_context(cafile=server.root)
    found = []
    for _ in range(n):
        raw = socket.create_connection(("127.0.0.1", server.port), 10)
        found.append(context.wrap_socket(raw, server_hostname="localhost"))
    return found


def run_idle(bench):
    """Resident memory without load, and what idle connections add."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE,
                       (min(hard, IDLE + 200), hard))
    with bench.certloopd(name="idle") as server:
        bench.idle["fresh"] = server.rss()
        some = connect_idly(server, 50)     # what the first ones cost once
        before = server.rss()
        more = connect_idly(server, IDLE)
        bench.idle["connection"] = (server.rss() - before) / IDLE
        for connection in some + more:
            connection.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def run_keys(bench, orders):
    """Issuances alone, and beside another address that makes accounts with
    keys of P-384 for all that it is worth."""
    limits = f"{servers.Certloopd.NO_LIMITS}  cpu_share = {SHARE}\n"
    with bench.certloopd(name="keys", limits=limits) as server:
        url = f"{server.profile_url()}/directory"

        def load():
            return bench.load(url, server.root, server.pid, "-n", orders,
                              "-c", 8, "--source-addresses", 8)
        load()
        bench.keys["alone"] = load()
        before = server.metrics()
        stranger = subprocess.Popen(
            [*bench.client, str(bench.build / "certloop-bench"), "--json",
             "--ca-file", str(server.root),
             "--scenario", "new-account", "--account-keys", "p384", "-c",
             "16", "-d", "10m", "--pool", "64",
             "--max-failures", "0", url], stdout=subprocess.DEVNULL)
        try:
            bench.keys["beside"] = load()
        finally:
            stranger.kill()
            stranger.wait()
        after = server.metrics()
    for name, key in (
            ("verified", 'certloop_signatures_total{alg="ES384"}'),
            ("refused", "certloop_admission_refused_total")):
        bench.keys[name] = after.get(key, 0) - before.get(key, 0)
    bench.keys["cost"] = cost_of_signature(bench)


def cost_of_signature(bench):
    """Microseconds to parse and verify a request by ES384, on this machine."""
    program = bench.build / "tests/bench/bench_crypto"
    done = subprocess.run([*bench.server, str(program)], text=True, check=True,
                          stdout=subprocess.PIPE)
    return int(re.search(r"(?m)^JWS parse and verify, ES384 +(\d+) ns$",
                         done.stdout).group(1)) / 1000


# ---- the table

def rate_of_core(report):
    return 1e6 / report["server"]["cpu_us"]


def p99(report):
    return max(r["p99_us"] for r in report["requests"].values()) / 1000


def rows_of_issuances(bench):
    for name in ("sqlite", "postgres"):
        r = bench.issuances.get(name)
        if r is None:
            continue
        ratio = r["server"]["cpu_us"] / r["floor"]
        yield (f"CPU of an issuance to bare crypto, {name}", "1.5",
               f"{ratio:.2f}", ratio <= 1.5)
        yield (f"issuances a second of a core, {name}", "1500",
               f"{rate_of_core(r):.0f} ({r['rate']:.0f} in this run)",
               rate_of_core(r) >= 1500)
        yield (f"store round trips an issuance, {name}", "5",
               f"{r['trips']:.2f}", r["trips"] <= 5.05)
        grown = (r["server"]["rss_end_kib"] - r["server"]["rss_warm_kib"])
        yield (f"memory over {r['done']} issuances, {name}", "flat",
               f"{grown:+d} KiB", grown < 1024)
    r = bench.issuances.get("3 replicas")
    if r:
        four = 4 * rate_of_core(r)
        yield ("issuances a second of 4 replicas, a core each, by arithmetic",
               "5000", f"{four:.0f} ({four * r['postgres_us'] / 1e6:.1f} "
               "cores of PostgreSQL)", four >= 5000)


def rows_of_others(bench):
    for scenario in ("new-nonce", "directory"):
        us = bench.unsigned.get((scenario, "certloopd"))
        nginx = bench.unsigned.get((scenario, "nginx"))
        if us and nginx:
            ratio = us["server"]["cpu_us"] / nginx["server"]["cpu_us"]
            yield (f"CPU of {scenario} to nginx", "1.5", f"{ratio:.2f}",
                   ratio <= 1.5)
    for name, r in bench.half.items():
        memory = name.endswith("memory")
        yield (f"worst p99 at half load, {name}", "-" if memory else "10 ms",
               f"{p99(r):.1f} ms at {r['rate']:.0f}/s",
               None if memory else p99(r) <= 10)
    if bench.sync:
        ordered = sorted(bench.sync)
        at = [ordered[len(ordered) * n // 100] for n in (50, 99)]
        yield ("64 KB synced to the disk by itself, p50 and p99", "-",
               f"{at[0]:.2f} and {at[1]:.1f} ms", None)
    if len(bench.frozen) == 3:
        shift = p99(bench.frozen["frozen"]) - p99(bench.frozen["idle"])
        yield ("worst p99, shifted by a frozen Vault", "1 ms",
               f"{shift:+.2f} ms", shift <= 1)
    for what, (idle, beside) in bench.silent.items():
        shift = statistics.median(map(p99, beside)) - statistics.median(
            map(p99, idle))
        yield (f"worst p99, shifted by a silent {what}", "1 ms",
               f"{shift:+.2f} ms", shift <= 1)
    if bench.idle:
        fresh = bench.idle["fresh"] / 1024
        yield ("resident memory, idle", "32 MB", f"{fresh:.1f} MB",
               fresh <= 32)
        each = bench.idle["connection"]
        yield ("of an idle TLS connection", "8 KB", f"{each:.1f} KB",
               each <= 8)
    for name, ms in bench.starts.items():
        yield (f"start to ready, {name}", "100 ms", f"{ms:.0f} ms", ms <= 100)
    if bench.keys:
        yield from rows_of_keys(bench.keys)


def rows_of_keys(keys):
    """A flood that was never refused has shown nothing. An address may save
    up the share of one second."""
    beside = keys["beside"]
    taken = keys["verified"] * keys["cost"] / 1e4
    share = taken / beside["seconds"]
    yield ("time for the signatures of a flood of P-384", f"{SHARE_MOST} %",
           f"{share:.1f} % ({keys['verified']:.0f} verified, "
           f"{keys['refused']:.0f} refused)",
           taken <= SHARE_MOST * (beside["seconds"] + 1) and keys["refused"] > 0)
    kept = beside["rate"] / keys["alone"]["rate"]
    yield ("issuances kept beside it, clients on one core", "-",
           f"{100 * kept:.0f} %", None)


def write(bench):
    words = {True: "met", False: "MISSED", None: ""}
    rows = [[what, budget, found, words[met]]
            for what, budget, found, met in
            [*rows_of_issuances(bench), *rows_of_others(bench)]]
    if rows:
        print("\nBudgets of the design", file=bench.out)
        table.write_rows(bench.out, ["", "budget", "measured", ""], rows)
