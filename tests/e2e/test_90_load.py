# SPDX-License-Identifier: ISC
"""The load generator against certloopd: what it counts is what happened."""

import json
import subprocess

import pytest
import servers


@pytest.fixture
def bench(build):
    """bench(url, option...): (exit status, report)."""
    def run(url, *options):
        done = subprocess.run(
            [str(build / "certloop-bench"), "--json",
             *map(str, options), url], capture_output=True, text=True,
            timeout=120)
        assert not servers.SANITIZER.search(done.stderr), done.stderr
        return done.returncode, json.loads(done.stdout)
    return run


def certificates(server):
    (count,), = server.store.query("SELECT count(*) FROM certificates")
    return int(count)


def directory(server):
    return f"{server.profile_url()}/directory"


def test_each_unit_of_a_load_is_a_certificate_in_the_store(
        server, bench):
    before = certificates(server)
    status, report = bench(
        directory(server), "--ca-file", server.root, "--ca-root",
        server.root, "-n", 120, "-c", 8, "--accounts", 3, "--names", 3,
        "--pid", server.pid, "--key-types", "p256,p384,rsa")
    assert (status, report["done"], report["failed"]) == (0, 120, 0), report
    assert certificates(server) - before == 120
    assert report["statuses"] == {"200": 240, "201": 120}
    assert report["opened"] == 8
    assert report["requests"]["finalize"]["count"] == 120
    assert report["server"]["rss_end_kib"] > 1000
    slowest = max(r["max_us"] for r in report["requests"].values())
    assert 0 < slowest <= report["seconds"] * 1e6


@pytest.mark.parametrize("scenario", ["directory", "new-nonce", "new-order"])
def test_a_scenario_sends_only_its_own_requests(server, bench, scenario):
    before = certificates(server)
    status, report = bench(directory(server), "--ca-file", server.root,
                           "-n", 200, "-c", 4, "--scenario", scenario)
    assert (status, report["done"]) == (0, 200), report
    assert list(report["requests"]) == [scenario]
    assert certificates(server) == before


def test_a_server_that_is_not_trusted_gets_no_request(
        server, bench, tmp_path):
    root = tmp_path / "other.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null", "-out",
         str(root), "-days", "2", "-subj", "/CN=other"], check=True,
        capture_output=True)
    status, report = bench(directory(server), "--ca-file", root, "-n", 5)
    assert status == 3
    assert "handshake" in report["given_up"]
    # And one whose certificates end in another root is told of.
    status, report = bench(directory(server), "--ca-file", server.root,
                           "--ca-root", root, "-n", 5, "-c", 1)
    assert (status, report["done"], report["wrong"]) == (4, 0, 5)
    assert any("roots" in text for text in report["errors"])


def test_nobody_there_is_said_at_once(bench):
    port = servers.free_port()
    status, report = bench(f"http://127.0.0.1:{port}/directory")
    assert status == 3
    assert "connecting" in report["given_up"]


def test_a_load_whose_server_dies_ends_with_errors(
        new_server, build, bench):
    server = new_server().start()
    process = subprocess.Popen(
        [str(build / "certloop-bench"), "--json", "--ca-file",
         str(server.root), "-n", "5000", "-c", "4", directory(server)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    servers.wait_for(lambda: certificates(server) > 20, 60, "certificates")
    server.kill()
    out, _ = process.communicate(timeout=60)
    report = json.loads(out)
    assert process.returncode == 1
    assert 0 < report["done"] <= certificates(server) < 5000
    assert report["given_up"] == "run: too many failures"
    assert sum(report["errors"].values()) == report["failed"] == 100
