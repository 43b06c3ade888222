# SPDX-License-Identifier: ISC
"""Stopping so that nobody is refused: first not ready, then no connections;
draining without an end."""

import json
import secrets
import signal
import socket
import subprocess
import time

import servers
from servers import wait_for


def fresh():
    return [f"{secrets.token_hex(6)}.example.org"]


def is_ready(server):
    return server.status("/readyz").status == 200


def accepts(port):
    with socket.socket() as s:
        return s.connect_ex((servers.LOCALHOST, port)) == 0


def test_not_ready_comes_before_not_listening(new_server, engine):
    server = new_server(engine, top="drain_delay = 3s").start()
    client = server.client()
    client.obtain(fresh())
    server.process.send_signal(signal.SIGTERM)
    wait_for(lambda: not is_ready(server), 2, "not ready", 0.01)
    # who comes now, and who is here, is served as ever
    server.client().obtain(fresh())
    client.obtain(fresh())
    assert not is_ready(server)
    assert "stopping" in server.status("/readyz").body.decode()
    assert server.wait_end(15) == 0
    assert not accepts(server.port)


def test_a_second_signal_ends_the_delay(new_server):
    server = new_server(top="drain_delay = 5m").start()
    server.process.send_signal(signal.SIGTERM)
    wait_for(lambda: not is_ready(server), 5, "not ready", 0.01)
    server.process.send_signal(signal.SIGTERM)
    assert server.wait_end(10) == 0


def test_a_drain_lets_go_and_can_be_undone(new_server, engine):
    server = new_server(engine).start()
    old, http = server.client(), server.web()
    old.obtain(fresh())
    url = f"{server.base}/acme/directory"
    assert http.get(url).header("Connection") is None
    done = server.ctl("drain")
    assert (done.returncode, done.stdout) == (0, "draining\n"), done.stderr
    assert not is_ready(server)
    assert json.loads(server.status("/readyz").body)["reason"] == "draining"
    wait_for(lambda: server.connections() == 0, 10, "idle ones to be closed")
    # it says no, but does not refuse
    server.client().obtain(fresh())
    assert http.get(url).header("Connection") == "close"
    assert server.ctl("drain").returncode == 0      # once more does no harm
    done = server.ctl("--json", "drain", "--undo")
    assert json.loads(done.stdout)["draining"] is False
    assert is_ready(server)
    assert http.get(url).header("Connection") is None
    rows = server.store.query("SELECT action FROM audit ORDER BY id")
    assert [r[0] for r in rows if r[0].startswith("drain")] == [
        "drain", "drain", "drain.undo"]


def test_after_a_drain_the_end_needs_no_delay(new_server):
    server = new_server(top="drain_delay = 1s").start()
    server.ctl("drain")
    http = server.web()
    url = f"{server.base}/acme/directory"
    wait_for(lambda: http.get(url).header("Connection") == "close", 10,
             "connections to be told")
    offset = server.log_size()
    server.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert server.wait_end(10) == 0
    assert "stopping" in server.log(offset)
    assert time.monotonic() - began < 60


def test_a_drain_while_stopping_is_refused(new_server):
    server = new_server(top="drain_delay = 5m").start()
    server.process.send_signal(signal.SIGTERM)
    wait_for(lambda: not is_ready(server), 5, "not ready", 0.01)
    for words in (["drain"], ["drain", "--undo"]):
        done = server.ctl(*words)
        assert done.returncode == 1
        assert "stopping" in done.stderr
    assert not is_ready(server)


def test_clients_on_kept_connections_notice_nothing(
        balanced, build, tmp_path):
    """The balancer sends no request twice, and still none is lost: each
    replica says that it goes, and is not asked any more, before it does."""
    proxy, members = balanced(with_redis=False, retry=False,
                              top="drain_delay = 2s")
    orders = 3000
    with open(tmp_path / "load.json", "w+") as out:
        load = subprocess.Popen(
            [*servers.WITH_US, str(build / "certloop-bench"), "--json",
             "--ca-file", str(proxy.pem), "--ca-root", str(members[0].root),
             "-n", str(orders), "-c", "64", proxy.directory_url], stdout=out)
        restarts = 0
        try:
            while load.poll() is None and restarts < 6:
                members[restarts % 3].stop(40)
                members[restarts % 3].start()
                time.sleep(0.8)     # until the balancer asks it again
                restarts += 1
            load.wait(240)
        finally:
            if load.poll() is None:
                load.kill()
                load.wait()
        out.seek(0)
        seen = json.load(out)
    assert (seen["done"], seen["failed"]) == (orders, 0), seen
    assert seen["statuses"] == {"200": 2 * orders, "201": orders}, seen
    assert restarts >= 3
