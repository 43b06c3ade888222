# SPDX-License-Identifier: ISC
"""What the other parts of tests/bench/run do not measure, and the table that
holds all against the budgets of the design."""

import contextlib
import os
import resource
import socket
import ssl
import statistics
import subprocess
import time

import servers
import table

IDLE = int(os.environ.get("BENCH_IDLE", "2000"))    # TLS connections
STARTS = 11

# One address may sign in with the most expensive keys that there are.
SHARE = servers.Certloopd.NO_LIMITS + "  cpu_share = 25\n"


def stores(bench):
    return (None, bench.postgres.new_store())


def run_half(bench, orders):
    """Latencies at half of what a closed loop reaches, at a constant rate."""
    for store in stores(bench):
        with bench.certloopd(store, f"half-{'sqlite' if store is None else 'pg'}"
                             ) as server:
            url = f"{server.profile_url()}/directory"
            full = bench.load(url, server.root, server.pid, "-n", orders,
                              "-c", 32)
            name = store.engine if store else "sqlite"
            bench.half[name] = bench.load(
                url, server.root, server.pid, "-n", orders, "-c", 64,
                "--rate", max(1, int(full["rate"] / 2)))


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
    """Issuances alone, and beside an address that makes accounts with keys of
    P-384 for all that it is worth."""
    with bench.certloopd(name="keys", limits=SHARE) as server:
        url = f"{server.profile_url()}/directory"

        def load():
            return bench.load(url, server.root, server.pid, "-n", orders,
                              "-c", 8)
        load()
        bench.keys["alone"] = load()
        before = server.metrics()
        stranger = subprocess.Popen(
            [*bench.client, str(bench.build / "certloop-bench"), "--json",
             "--ca-file", str(server.root), "--source-addresses", "1",
             "--scenario", "new-account", "--account-keys", "p384", "-c",
             "16", "-d", "10m", "--pool", "64",
             "--max-failures", "0", url], stdout=subprocess.DEVNULL)
        try:
            bench.keys["beside"] = load()
        finally:
            stranger.kill()
            stranger.wait()
        after = server.metrics()
        bench.keys["seen"] = sum(
            after[k] - before.get(k, 0) for k in after
            if k.startswith("certloop_requests_total")
            and 'route="new-account"' in k)


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
        if bench.floor:
            ratio = r["server"]["cpu_us"] / bench.floor
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


def rows_of_others(bench):
    for scenario in ("new-nonce", "directory"):
        us = bench.unsigned.get((scenario, "certloopd"))
        nginx = bench.unsigned.get((scenario, "nginx"))
        if us and nginx:
            ratio = us["server"]["cpu_us"] / nginx["server"]["cpu_us"]
            yield (f"CPU of {scenario} to nginx", "1.5", f"{ratio:.2f}",
                   ratio <= 1.5)
    for name, r in bench.half.items():
        yield (f"worst p99 at half load, {name}", "10 ms",
               f"{p99(r):.1f} ms at {r['rate']:.0f}/s", p99(r) <= 10)
    if len(bench.frozen) == 3:
        shift = p99(bench.frozen["frozen"]) - p99(bench.frozen["idle"])
        yield ("worst p99, shifted by a frozen Vault", "1 ms",
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
        kept = bench.keys["beside"]["rate"] / bench.keys["alone"]["rate"]
        yield ("issuances kept beside a flood of P-384", "-",
               f"{100 * kept:.0f} % ({bench.keys['seen']:.0f} requests of "
               "the flood)", True)


def write(bench):
    rows = [[what, budget, found, "met" if met else "MISSED"]
            for what, budget, found, met in
            [*rows_of_issuances(bench), *rows_of_others(bench)]]
    if rows:
        print("\nBudgets of the design", file=bench.out)
        table.write_rows(bench.out, ["", "budget", "measured", ""], rows)
