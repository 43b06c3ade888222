# SPDX-License-Identifier: ISC
"""certloop-bench: each scenario counts what the server counts, wrong answers
are found, and no server can make it crash or stay for ever."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import challenges
import pytest
import servers
from lying_acme import LyingAcme
from servers import wait_for

sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "bench"))

FAILED, USAGE, UNREACHABLE, WRONG, INTERRUPTED = 1, 2, 3, 4, 5

LATENCY = {"mean_us": int, "p50_us": int, "p90_us": int, "p99_us": int,
           "p999_us": int, "max_us": int}
REPORT = {
    "scenario": str, "tls": bool, "connections": int, "opened": int,
    "accounts": int, "done": int, "failed": int, "wrong": int,
    "unstarted": int, "abandoned": int, "made_late": int,
    "bad_nonce_retries": int, "polls": int, "seconds": float, "rate": float,
    "client": {"cpu_us": float, "share": float}, "requests": dict,
    "units": dict, "statuses": dict, "problems": dict, "errors": dict,
    "interrupted": bool,
}
SOMETIMES = {
    "rate_due": float, "given_up": str,
    "server": {"user_us": float, "system_us": float, "cpu_us": float,
               "share": float, "rss_warm_kib": int, "rss_end_kib": int},
}


def check(value, schema, where):
    if isinstance(schema, type):
        assert type(value) is schema, (where, value)
        return
    assert value.keys() == schema.keys(), where
    for key, inner in schema.items():
        check(value[key], inner, f"{where}.{key}")


def check_report(report):
    """It is as certloop-bench(1) says, and its figures fit together."""
    for key in report.keys() - REPORT.keys():
        check(report[key], SOMETIMES[key], key)
    check({k: report[k] for k in REPORT}, REPORT, "report")
    for kind in ("requests", "units"):
        for name, found in report[kind].items():
            check(found, {"count": int, **LATENCY, "service": LATENCY}, name)
            for figures in (found, found["service"]):
                assert figures["p50_us"] <= figures["p90_us"] <= \
                    figures["p99_us"] <= figures["p999_us"] <= \
                    figures["max_us"], name
            assert found["service"]["max_us"] <= found["max_us"], name
    assert sum(u["count"] for u in report["units"].values()) >= \
        report["done"] - report["wrong"]
    assert report["wrong"] <= max(report["failed"], 1)
    assert sum(report["errors"].values()) == report["failed"]


@pytest.fixture
def bench(build):
    """bench(url, option...): (exit status, report), with the schema
    checked."""
    def run(url, *options, seconds=240):
        done = subprocess.run(
            [*servers.WITH_US, str(build / "certloop-bench"), "--json",
             *map(str, options), url], capture_output=True, text=True,
            timeout=seconds)
        assert not servers.SANITIZER.search(done.stderr), done.stderr
        assert "\r" not in done.stderr, "progress, and no terminal"
        report = json.loads(done.stdout)
        check_report(report)
        return done.returncode, report
    return run


@pytest.fixture
def lying():
    made = []

    def start(*options, **more):
        made.append(LyingAcme(*options, **more))
        return made[-1]
    yield start
    for one in made:
        one.close()


def directory(server, profile="default"):
    return f"{server.profile_url(profile)}/directory"


# ---- against certloopd

# types of requests in the report, and their routes in the metrics
ROUTES = {"directory": "directory", "new-nonce": "new-nonce",
          "new-account": "new-account", "new-order": "new-order",
          "finalize": "finalize", "certificate": "cert",
          "renewal-info": "renewal-info", "authorization": "authz",
          "challenge": "challenge", "order": "order"}


def asked(server):
    """How often each type of request was answered, by any status."""
    found = dict.fromkeys(ROUTES, 0)
    metrics = server.metrics()
    for name, route in ROUTES.items():
        found[name] = sum(
            n for series, n in metrics.items()
            if series.startswith("certloop_requests_total{")
            and f'route="{route}"' in series)
    return found


@pytest.mark.parametrize("scenario, options, count", [
    ("directory", ["-c", 3], 60),
    ("new-nonce", ["-c", 3, "-r", 100], 60),
    ("new-account", ["-c", 3], 20),
    ("new-order", ["-c", 3, "--names", 4], 20),
    ("order", ["-c", 4, "--accounts", 2, "-r", 40], 24),
    ("renewal-info", ["-c", 3], 60),
    ("mixed", ["-c", 3, "--mix", "order=1,new-nonce=4,directory=3,"
               "new-account=1,renewal-info=2,new-order=1"], 48),
])
def test_the_server_counts_the_same(server, bench, scenario, options, count):
    before, issued = asked(server), server.metrics()[
        "certloop_certificates_issued_total"]
    status, report = bench(
        directory(server), "--ca-file", server.root, "--ca-root", server.root,
        "-s", scenario, "-n", count, "--pid", server.pid, *options)
    assert (status, report["done"]) == (0, count), report
    assert report["scenario"] == scenario
    assert report["server"]["rss_end_kib"] > 1000
    after = asked(server)
    # what comes before the clock
    early = {"directory": 1, "new-nonce": report["connections"]}
    if report["accounts"]:
        early["new-account"] = report["accounts"]
    if scenario in ("renewal-info", "mixed"):
        for step in ("new-order", "finalize", "certificate"):
            early[step] = report["connections"]
    told = {k: v["count"] for k, v in report["requests"].items()}
    assert told.keys() <= ROUTES.keys()
    assert {k: after[k] - before[k] for k in ROUTES} == \
        {k: told.get(k, 0) + early.get(k, 0) for k in ROUTES}
    orders = report["units"].get("order", {"count": 0})["count"]
    assert server.metrics()["certloop_certificates_issued_total"] - issued \
        == orders + early.get("certificate", 0)


def test_a_mix_has_its_weights(server, bench):
    status, report = bench(
        directory(server), "--ca-file", server.root, "-s", "mixed", "--mix",
        "order=1,new-nonce=7,renewal-info=2", "-n", 30, "-c", 2)
    assert status == 0, report
    assert {k: v["count"] for k, v in report["units"].items()} == {
        "order": 3, "new-nonce": 21, "renewal-info": 6}


def test_a_warm_up_does_not_count(new_server, bench):
    server = new_server().start()
    status, report = bench(directory(server), "--ca-file", server.root, "-n",
                           8, "-c", 2, "-w", "300ms", "--pool", 4)
    assert (status, report["done"]) == (0, 8), report
    assert report["requests"]["finalize"]["count"] == 8
    issued = server.metrics()["certloop_certificates_issued_total"]
    assert issued > 8
    # the pool was too small, which is told and harms nothing
    assert report["made_late"] == issued - 4


def test_a_duration_ends_a_run(server, bench):
    began = time.monotonic()
    status, report = bench(directory(server), "--ca-file", server.root, "-d",
                           "700ms", "-s", "new-nonce", "-c", 2)
    assert status == 0 and report["done"] > 0, report
    assert report["done"] == report["requests"]["new-nonce"]["count"]
    assert 0.7 <= report["seconds"] + 0.2 and time.monotonic() - began > 0.7
    # at a constant rate the number of units is known before
    status, report = bench(directory(server), "--ca-file", server.root, "-d",
                           "1s", "-r", 30, "-s", "directory", "-c", 2)
    assert (status, report["done"]) == (0, 30), report
    assert report["rate_due"] == 30
    assert report["seconds"] > 0.96     # the last one is due at 29/30


def test_http_01_with_a_responder_of_its_own(new_server, bench, tmp_path):
    """Names are looked up at our DNS, which leads to the responder."""
    dns, port = challenges.Dns(tmp_path / "dns"), servers.free_port()
    try:
        server = new_server(profiles=f"""
profile default {{
  issuer = local
  auth_mode = challenge
  resolvers = {{ "{dns.resolver()}" }}
  validation_allow = {{ "127.0.0.0/8" }}
  http_port = {port}
}}
""").start()
        status, report = bench(
            directory(server), "--ca-file", server.root, "--http-01",
            f"127.0.0.1:{port}", "-n", 6, "-c", 3, "--names", 2, "--poll",
            "50ms")
        assert (status, report["done"]) == (0, 6), report
        assert report["requests"]["challenge"]["count"] == 12
        # and without one nothing is issued
        status, report = bench(directory(server), "--ca-file", server.root,
                               "-n", 1, "-c", 1, "--poll", "50ms",
                               "--unit-timeout", "5s")
        assert (status, report["done"], report["failed"]) == (FAILED, 0, 1)
    finally:
        dns.close()


def test_accounts_are_bound(new_server, bench, tmp_path):
    server = new_server(profiles="""
profile default {
  issuer = local
  eab_required = true
}
""").start()
    options = ["--ca-file", server.root, "-n", 3, "-c", 2]
    status, report = bench(directory(server), *options)
    assert status == UNREACHABLE
    assert "externalAccountRequired" in report["given_up"]
    made, key = server.admin("POST", "/eab-keys", {"name": "b", "max_uses": 0})
    assert made == 201
    file = tmp_path / "hmac"
    file.write_text(key["key"] + "\n")
    status, report = bench(directory(server), *options, "--eab-kid",
                           key["id"], "--eab-key-file", file)
    assert (status, report["done"]) == (0, 3), report
    file.write_text("!\n")
    status, report = bench(directory(server), *options, "--eab-kid",
                           key["id"], "--eab-key-file", file)
    assert status == USAGE


def test_connections_go_to_the_addresses_given(server, bench):
    """The URL's host is what the certificate is for, and is not looked up."""
    dead = servers.free_port()
    url = directory(server)
    status, report = bench(
        url, "--ca-file", server.root, "--connect",
        f"127.0.0.1:{server.port}", "-n", 4, "-c", 2, "-s", "directory")
    assert (status, report["done"]) == (0, 4), report
    status, report = bench(
        url, "--ca-file", server.root, "--connect",
        f"127.0.0.1:{server.port}", "--connect", f"127.0.0.1:{dead}", "-n", 4,
        "-c", 2, "-s", "directory")
    assert status == UNREACHABLE and "refused" in report["given_up"]


def test_insecure_takes_any_certificate(new_server, bench):
    server = new_server().start()
    status, report = bench(directory(server), "-n", 3, "-c", 1)
    assert status == UNREACHABLE and "handshake" in report["given_up"]
    status, report = bench(directory(server), "-n", 3, "-c", 1, "--insecure")
    assert (status, report["done"]) == (0, 3)


def test_an_interrupt_ends_it_with_what_it_has(server, build):
    before = asked(server)["new-order"]
    process = subprocess.Popen(
        [*servers.WITH_US, build / "certloop-bench", "--json", "--ca-file",
         server.root, "-d", "10m", "--pool", "10", "-c", "2", "-s",
         "new-order", directory(server)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: asked(server)["new-order"] > before + 20, 60, "orders")
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert not servers.SANITIZER.search(errors), errors
    report = json.loads(out)
    check_report(report)
    assert process.returncode == INTERRUPTED and report["interrupted"]
    assert report["done"] > 0


# ---- against servers that lie

WRONGS = {
    "other-key": "another key",
    "other-names": "other names",
    "same-serial": "the serial is that of another",
    "bad-signature": "a signature is not the issuer's",
    "expired": "not valid now",
    "no-issuer": "no two certificates",
    "no-location": "no Location",
    "no-json": "",
    "foreign-url": "another server",
}


@pytest.mark.parametrize("mode", WRONGS)
def test_a_wrong_answer_is_found(lying, bench, mode):
    status, report = bench(lying(mode).directory, "-n", 4, "-c", 1)
    assert status == WRONG, report
    good = 1 if mode == "same-serial" else 0    # the first one is fine
    assert (report["done"], report["wrong"]) == (good, 4 - good), report
    text, = report["errors"]
    assert WRONGS[mode] in text, text


FAILURES = {
    "garbage": "not HTTP/1.1",
    "large-body": "too large",
    "large-header": "too large",
    "cut": "closed the connection",
    "close-at-once": "closed the connection",
    "hang": "in time",
    "drip": "in time",
    "two-replies": "not HTTP/1.1",
    "redirect": "302",
    "processing": "time of a unit",
    "bad-nonce": "badNonce",
    "escapes": "status 400",
}


@pytest.mark.parametrize("mode", FAILURES)
def test_a_broken_server_is_counted_and_left(lying, bench, mode):
    timeout = "700ms" if mode in ("hang", "drip", "processing") else "30s"
    status, report = bench(
        lying(mode).directory, "-n", 3, "-c", 1, "--timeout", timeout,
        "--unit-timeout", timeout, "--poll", "100ms", seconds=120)
    assert status == FAILED, report
    assert (report["done"], report["failed"], report["wrong"]) == (0, 3, 0)
    assert any(FAILURES[mode] in text for text in report["errors"]), report
    assert all(text.isascii() and text.isprintable()
               for text in [*report["errors"], *report["problems"]])


def test_an_honest_server_is_not_accused(lying, bench):
    """Or the tests above would show nothing."""
    status, report = bench(lying().directory, "-n", 6, "-c", 2)
    assert (status, report["done"]) == (0, 6), report
    status, report = bench(lying("bad-nonce-once").directory, "-n", 3, "-c", 1)
    assert (status, report["done"]) == (0, 3), report
    assert report["bad_nonce_retries"] == 9
    assert report["problems"] == {"badNonce": 9}
    status, report = bench(lying("no-nonce").directory, "-n", 3)
    assert status == WRONG and "Replay-Nonce" in report["given_up"]


def test_a_stall_shows_in_an_open_loop(lying, bench):
    """Of 120 requests due in 2 s one takes a second: those that were due
    meanwhile waited too, which only the open loop tells."""
    options = ["-s", "new-nonce", "-c", 1, "-n", 120]
    status, report = bench(lying("stall").directory, "-r", 60, *options)
    assert (status, report["done"]) == (0, 120), report
    nonce = report["units"]["new-nonce"]
    assert nonce["max_us"] >= 950_000
    assert nonce["p90_us"] >= 300_000, nonce
    assert nonce["service"]["max_us"] >= 950_000
    assert nonce["service"]["p90_us"] < nonce["p90_us"] / 2, nonce
    status, report = bench(lying("stall").directory, *options)
    assert status == 0
    nonce = report["units"]["new-nonce"]
    assert nonce["max_us"] >= 950_000
    assert nonce["p90_us"] < 300_000, nonce


def test_what_cannot_be_begun_in_time_is_told(lying, bench):
    """A server that hangs and one connection: the others were due."""
    began = time.monotonic()
    status, report = bench(lying("hang").directory, "-r", 20, "-d", "500ms",
                           "-c", 1, "--timeout", "1s", seconds=60)
    assert status == FAILED and report["done"] == 0, report
    assert report["unstarted"] > 0
    assert report["failed"] + report["abandoned"] + report["unstarted"] == 10
    assert time.monotonic() - began < 50


def test_it_gives_up_and_does_not_spin(lying, bench):
    status, report = bench(lying("cut").directory, "-d", "1h", "-c", 4,
                           "--max-failures", 6, "--pool", 8)
    assert (status, report["failed"]) == (FAILED, 6), report
    assert report["given_up"] == "run: too many failures"
    # each connection rests after a failure, so that there are few
    status, report = bench(lying("close-at-once").directory, "-d", "500ms",
                           "-c", 2, "--max-failures", 0, "--pool", 8)
    assert status == FAILED and 2 <= report["failed"] <= 14, report


def test_a_server_that_goes_away(lying, bench):
    server = lying("honest")

    def go_away():
        wait_for(lambda: server.requests > 20, 100, "requests")
        server.close()
    threading.Thread(target=go_away, daemon=True).start()
    status, report = bench(server.directory, "-d", "1h", "-c", 2, "-s",
                           "directory", "--max-failures", 4, seconds=120)
    assert (status, report["failed"]) == (FAILED, 4), report
    assert report["done"] > 0
    assert any("refused" in text for text in report["errors"]), report


@pytest.mark.skipif(not shutil.which("pebble"), reason="no pebble")
def test_pebble(bench, tmp_path):
    import peers
    one_core = ["taskset", "-c", "0"]
    with peers.pebble(tmp_path, one_core) as (url, ca, pid):
        status, report = bench(url, "--ca-file", ca, "--pid", pid, "-n", 4,
                               "-c", 2, "--poll", "50ms")
    assert (status, report["done"]) == (0, 4), report


# ---- the command line

@pytest.mark.parametrize("words, status, text", [
    (["--help"], 0, "usage: certloop-bench"),
    (["--version"], 0, "certloop-bench 0."),
    ([], USAGE, "give one URL"),
    (["--nope", "u"], USAGE, "no option"),
    (["ftp://h/"], USAGE, "http://"),
    (["--ca-file", "/nonexistent", "https://127.0.0.1:1/"], USAGE,
     "/nonexistent"),
    (["--ca-root", "/nonexistent", "http://127.0.0.1:1/"], USAGE,
     "/nonexistent"),
    (["--pid", "2147483647", "http://127.0.0.1:1/"], USAGE, "no process"),
    (["--http-01", "nowhere", "-n", "1", "http://127.0.0.1:1/"], USAGE,
     "nowhere"),
    (["-n", "1", "http://127.0.0.1:1/"], UNREACHABLE, "connecting"),
])
def test_the_command_line(build, words, status, text):
    done = subprocess.run([build / "certloop-bench", *words],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done
    out = done.stderr if status else done.stdout
    assert text in out and not servers.SANITIZER.search(done.stderr), done
    if status:
        assert out.count("\n") == 1
