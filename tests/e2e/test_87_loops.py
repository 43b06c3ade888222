# SPDX-License-Identifier: ISC
"""Cert loops: names that always have a valid certificate, delivered here."""

import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509 as cx509
from cryptography.hazmat.primitives.serialization import (
    Encoding, PublicFormat, load_pem_private_key)

import fleet
from servers import LOCALHOST, free_port, wait_for


def loop(name, names, *lines):
    names = ", ".join(f'"{n}"' for n in names)
    body = "\n".join(f"  {line}" for line in lines)
    return f"\nloop {name} {{\n  names = {{ {names} }}\n{body}\n}}\n"


def rows(server, columns="name, state, version"):
    return server.store.query(f"SELECT {columns} FROM loops ORDER BY name")


def states(server):
    return {name: (state, int(version))
            for name, state, version in rows(server)}


def wait_state(server, want, seconds=30):
    wait_for(lambda: states(server) == want, seconds, f"loops to be {want}")


def certificates(server, name):
    """DER of each certificate of a loop, the oldest first."""
    return [der for der, in server.store.query(
        f"SELECT der FROM certificates WHERE loop = '{name}' "
        "ORDER BY created, id")]


def names_of(der):
    names = cx509.load_der_x509_certificate(der).extensions \
        .get_extension_for_class(cx509.SubjectAlternativeName).value
    return sorted(str(n.value) for n in names)


def test_a_loop_obtains_a_certificate_at_once(new_server, engine, tmp_path):
    server = new_server(engine, extra=loop(
        "web", ["www.example.org", "*.example.org", "10.0.0.7"],
        f'folder = "{tmp_path}/web"')).start()
    wait_state(server, {"web": ("valid", 1)})
    der, = certificates(server, "web")
    assert names_of(der) == ["*.example.org", "10.0.0.7", "www.example.org"]
    metrics = server.metrics()
    assert metrics['certloop_loop_attempts_total{outcome="obtained"}'] == 1


def test_nothing_is_obtained_anew_after_a_restart(
        new_server, engine, tmp_path):
    server = new_server(engine, extra=loop(
        "web", ["www.example.org"], f'folder = "{tmp_path}/web"')).start()
    wait_state(server, {"web": ("valid", 1)})
    before = rows(server, "attempt, next_attempt, certificate")
    server.restart()
    wait_for(lambda: server.metrics()["certloop_loops{state=\"valid\"}"] == 1,
             20, "the loops to be counted")
    assert rows(server, "attempt, next_attempt, certificate") == before


def ctl_json(server, *words):
    done = server.ctl("--json", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def serial_in(pem):
    return cx509.load_pem_x509_certificate(Path(pem).read_bytes()) \
        .serial_number


def fits(certificate, key):
    """Do the two files belong together?"""
    public = [
        cx509.load_pem_x509_certificate(
            Path(certificate).read_bytes()).public_key(),
        load_pem_private_key(Path(key).read_bytes(), None).public_key()]
    der = {p.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
           for p in public}
    return len(der) == 1


def wait_delivered(server, name, version, seconds=30):
    def lies_there():
        done = server.ctl("--json", "loop", "show", name)
        if done.returncode != 0:        # it is not known yet
            return False
        nodes = json.loads(done.stdout)["nodes"]
        return nodes and all(n["delivered"] == version for n in nodes)
    wait_for(lies_there, seconds, f"version {version} of {name} to be here")


def test_the_pair_is_delivered_and_renewed(new_server, engine, tmp_path):
    folder, told = tmp_path / "web", tmp_path / "told"
    server = new_server(engine, extra=loop(
        "web", ["www.example.org"], f'folder = "{folder}"',
        'hook = { "/bin/sh", "-c", '
        f'"echo $CERTLOOP_NAME $CERTLOOP_SERIAL >> {told}" }}')).start()
    wait_state(server, {"web": ("valid", 1)})
    wait_delivered(server, "web", 1)
    now = folder / "current"
    assert fits(now / "fullchain.pem", now / "privkey.pem")
    assert os.stat(now / "privkey.pem").st_mode & 0o777 == 0o600
    first = serial_in(now / "cert.pem")
    done = server.ctl("loop", "renew", "web")
    assert (done.returncode, done.stdout) == (
        0, "loop web is due: it gets a new certificate now\n")
    wait_delivered(server, "web", 2)
    second = serial_in(now / "cert.pem")
    assert first != second
    assert fits(now / "fullchain.pem", now / "privkey.pem")
    # the hook ran once for each pair, and not again at a restart
    server.restart()
    wait_for(lambda: server.metrics().get(
        'certloop_loop_deliveries_total{outcome="unchanged"}') == 1, 20,
        "the look after the restart")
    assert told.read_text().split() == [
        "web", f"{first:032x}", "web", f"{second:032x}"]
    assert [int(v) for _, _, v in rows(server)] == [2]
    actions = {a for a, in server.store.query(
        "SELECT action FROM audit WHERE object = 'web'")}
    assert {"loop.want", "loop.attempt", "loop.deliver",
            "loop.renew"} <= actions


def test_another_mode_holds_at_once(new_server, tmp_path):
    """A key that others could read is not left so until it is renewed."""
    lines = [f'folder = "{tmp_path}/web"']
    server = new_server(extra=loop("web", ["web.example.net"], *lines,
                                   "mode = 0644"))
    server.start()
    wait_delivered(server, "web", 1)
    key = tmp_path / "web/current/privkey.pem"

    def mode():
        return os.stat(key).st_mode & 0o777
    assert mode() == 0o644
    server.extra = loop("web", ["web.example.net"], *lines)
    server.write_config()
    server.hup()
    wait_for(lambda: mode() == 0o600, 60, "the mode")
    (version,), = rows(server, "version")
    assert version in (1, "1")


def test_a_key_of_another_type_is_not_kept(new_server, engine, tmp_path):
    folder = tmp_path / "web"
    lines = [f'folder = "{folder}"', "keep_key = yes"]
    server = new_server(engine, extra=loop("web", ["www.example.org"],
                                           *lines)).start()

    def key():
        return load_pem_private_key(
            (folder / "current" / "privkey.pem").read_bytes(), None)

    def renewed(version):
        wait_delivered(server, "web", version)
        now = folder / "current"
        assert fits(now / "cert.pem", now / "privkey.pem")
        return key().private_numbers().private_value
    first = renewed(1)
    assert server.ctl("loop", "renew", "web").returncode == 0
    assert renewed(2) == first
    text = server.file.read_text()
    server.write_config(text.replace(
        "keep_key = yes", "keep_key = yes\n  key_type = ecdsa-p384"))
    assert server.ctl("reload").returncode == 0
    second = renewed(3)
    assert key().curve.name == "secp384r1"
    assert server.ctl("loop", "renew", "web").returncode == 0
    assert renewed(4) == second


def test_the_renewal_lies_in_the_window_of_its_profile(
        new_server, engine, tmp_path):
    server = new_server(engine, profiles="""
profile default {
  issuer = local
  open = true
  lifetime = 100d
  renewal_at = 40
  renewal_window = 10
}
""", extra=loop("web", ["www.example.org"],
                f'folder = "{tmp_path}/web"')).start()
    wait_state(server, {"web": ("valid", 1)})
    (begin, end, at), = rows(server, "not_before, not_after, renew_at")
    part = (int(at) - int(begin)) / (int(end) - int(begin))
    assert 0.40 <= part <= 0.55


def test_loops_are_listed_and_shown(new_server, tmp_path):
    server = new_server(extra=loop(
        "web", ["www.example.org"], f'folder = "{tmp_path}/web"') + loop(
        "old", ["old.example.org"], f'folder = "{tmp_path}/old"')).start()
    wait_state(server, {"web": ("valid", 1), "old": ("valid", 1)})
    items = ctl_json(server, "loop", "list")["items"]
    assert [i["name"] for i in items] == ["old", "web"]
    assert ctl_json(server, "loop", "list", "--state", "failing")[
        "items"] == []
    assert "www.example.org" in server.ctl("loop", "list").stdout
    shown = server.ctl("loop", "show", "web").stdout
    assert "www.example.org" in shown and f"{tmp_path}/web" in shown
    assert server.ctl("loop", "show", "nothing").returncode == 4
    assert server.ctl("loop", "renew", "nothing").returncode == 4
    assert server.ctl("loop", "list", "--state", "bad").returncode == 1


def test_a_reload_adds_changes_and_stops_loops(new_server, engine, tmp_path):
    server = new_server(engine, extra=loop(
        "one", ["one.example.org"], f'folder = "{tmp_path}/one"')).start()
    wait_state(server, {"one": ("valid", 1)})
    server.extra = loop(
        "one", ["one.example.org", "uno.example.org"],
        f'folder = "{tmp_path}/one"') + loop(
        "two", ["two.example.org"], f'folder = "{tmp_path}/two"')
    server.write_config()
    assert server.ctl("reload").returncode == 0
    wait_state(server, {"one": ("valid", 2), "two": ("valid", 1)})
    assert names_of(certificates(server, "one")[-1]) == [
        "one.example.org", "uno.example.org"]
    server.extra = ""
    server.write_config()
    assert server.ctl("reload").returncode == 0
    wait_state(server, {"one": ("stopped", 2), "two": ("stopped", 1)})


def test_names_that_the_profile_denies_are_a_failure_with_a_back_off(
        new_server, tmp_path):
    profile = """
profile default {
  issuer = local
  allowed_suffixes = { "example.org" }
}
"""
    server = new_server(profiles=profile, extra=loop(
        "web", ["www.example.com"], f'folder = "{tmp_path}/web"')).start()
    wait_state(server, {"web": ("failing", 0)})
    shown = ctl_json(server, "loop", "show", "web")
    assert shown["failures"] == 1
    assert '"www.example.com" is not among the names' in shown["last_error"]
    before = rows(server, "failures, next_attempt, attempt")
    server.restart()
    time.sleep(1)
    assert rows(server, "failures, next_attempt, attempt") == before
    assert certificates(server, "web") == []


def test_a_failing_hook_keeps_the_old_pair(new_server, tmp_path):
    key, pem, bad = tmp_path / "k.pem", tmp_path / "c.pem", tmp_path / "bad"
    server = new_server(extra=loop(
        "web", ["www.example.org"], f'key_file = "{key}"',
        f'fullchain_file = "{pem}"',
        f'hook = {{ "/bin/sh", "-c", "test ! -e {bad}" }}')).start()
    wait_delivered(server, "web", 1)
    before = (key.read_bytes(), pem.read_bytes())
    bad.touch()
    server.ctl("loop", "renew", "web")
    wait_for(lambda: server.metrics().get(
        'certloop_loop_deliveries_total{outcome="put_back"}') == 1, 20,
        "the pair to be put back")
    assert (key.read_bytes(), pem.read_bytes()) == before
    node, = ctl_json(server, "loop", "show", "web")["nodes"]
    assert node["error"] == "the hook /bin/sh ended with 1"
    assert (node["delivered"], node["failures"]) == (1, 1)
    bad.unlink()
    server.store.execute("UPDATE loop_nodes SET next_delivery = 0")
    wait_delivered(server, "web", 2)
    assert (key.read_bytes(), pem.read_bytes()) != before
    assert fits(pem, key)


# ---- replicas

def test_two_replicas_issue_once_and_deliver_twice(
        build, new_store, tmp_path):
    store = new_store("postgres")
    made = []
    try:
        for i in range(2):
            text = "".join(loop(
                f"l{n}", [f"l{n}.example.org"],
                f'folder = "{tmp_path}/node{i}/l{n}"') for n in range(20))
            replica = fleet.Replica(build, tmp_path / f"r{i}", store=store,
                                    extra=text)
            made.append(replica)
        made[0].init_ca()
        made[1].share_from(made[0])
        for replica in made:
            replica.spawn()
        for replica in made:
            replica.wait_ready()
        wait_state(made[0], {f"l{n}": ("valid", 1) for n in range(20)})
        for n in range(20):
            wait_delivered(made[0], f"l{n}", 1)
        issued = store.query("SELECT count(*) FROM certificates")
        assert [int(n) for n, in issued] == [20]
        for n in range(20):
            pems = {Path(f"{tmp_path}/node{i}/l{n}/current/combined.pem")
                    .read_bytes() for i in range(2)}
            assert len(pems) == 1
    finally:
        for replica in made:
            replica.remove()


# ---- deaths

def test_a_kill_amid_attempts_loses_no_loop_and_makes_none_twice(
        new_server, engine, tmp_path):
    count = 60
    server = new_server(engine, top="lease = 5s", extra="".join(
        loop(f"l{n}", [f"l{n}.example.org"], f'folder = "{tmp_path}/l{n}"')
        for n in range(count)))
    server.start()
    for _ in range(4):
        wait_for(lambda: rows(server), 20, "the rows")
        done = sum(int(v) for _, _, v in rows(server))
        wait_for(lambda: sum(int(v) for _, _, v in rows(server)) > done
                 or done == count, 40, "some to be obtained", 0.001)
        server.kill()
        server.start()
    wait_state(server, {f"l{n}": ("valid", 1) for n in range(count)}, 60)
    for n in range(count):
        wait_delivered(server, f"l{n}", 1)
        now = tmp_path / f"l{n}" / "current"
        assert fits(now / "cert.pem", now / "privkey.pem")
    per_loop = server.store.query(
        "SELECT loop, count(*) FROM certificates GROUP BY loop")
    assert sorted({int(n) for _, n in per_loop}) == [1]
    assert len(per_loop) == count


# ---- nginx

class Nginx:
    """nginx with the pair of a loop."""

    def __init__(self, folder, certificate, key):
        self.folder = folder
        self.port = free_port()
        self.pid_file = folder / "nginx.pid"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "nginx.conf").write_text(f"""
daemon off;
master_process on;
worker_processes 1;
pid {self.pid_file};
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  server {{
    listen {LOCALHOST}:{self.port} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_session_tickets off;
    return 200 "ok";
  }}
}}
""")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [shutil.which("nginx") or "/usr/sbin/nginx", "-p",
             str(self.folder), "-e", str(self.folder / "error.log"), "-c",
             str(self.folder / "nginx.conf")])
        wait_for(lambda: self.serial() is not None, 20, "nginx")
        return self

    def serial(self):
        """The serial of what it shows; None while it is not there."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            with socket.create_connection((LOCALHOST, self.port), 10) as s:
                with context.wrap_socket(s) as t:
                    der = t.getpeercert(True)
        except ConnectionRefusedError:
            return None
        return cx509.load_der_x509_certificate(der).serial_number

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)


@pytest.mark.skipif(not (shutil.which("nginx")
                         or Path("/usr/sbin/nginx").exists()),
                    reason="no nginx")
def test_nginx_serves_through_renewals_without_a_failed_handshake(
        new_server, tmp_path):
    folder = tmp_path / "web"
    nginx = Nginx(tmp_path / "nginx", folder / "current/fullchain.pem",
                  folder / "current/privkey.pem")
    server = new_server(extra=loop(
        "web", ["www.example.org"], f'folder = "{folder}"',
        'hook = { "/bin/sh", "-c", '
        f'"test ! -e {nginx.pid_file} || '
        f'kill -HUP $(cat {nginx.pid_file})" }}')).start()
    wait_delivered(server, "web", 1)
    nginx.start()
    stop, seen, failed = threading.Event(), [], []

    def hammer():
        while not stop.is_set():
            try:
                seen.append(nginx.serial())
            except OSError as e:
                failed.append(e)

    thread = threading.Thread(target=hammer)
    thread.start()
    try:
        wait_for(lambda: seen, 20, "the first handshake")
        for version in range(2, 5):
            server.ctl("loop", "renew", "web")
            wait_delivered(server, "web", version)
            want = serial_in(folder / "current/cert.pem")
            wait_for(lambda: seen and seen[-1] == want, 20,
                     "nginx to show the new certificate")
    finally:
        stop.set()
        thread.join()
        nginx.stop()
    assert failed == [] and None not in seen
    assert len(set(seen)) == 4


# ---- the serve config

def serve_text(*hosts):
    services = {f"svc:s{i}": {"TCP": {"443": {"HTTPS": True}}, "Web": {
        f"{host}": {"Handlers": {"/": {"Proxy": "http://127.0.0.1:3000"}}}}}
        for i, host in enumerate(hosts)}
    return json.dumps({"Services": services})


def active(server):
    return sorted(name for name, (state, _) in states(server).items()
                  if state != "stopped")


def wait_active(server, *hosts):
    want = sorted(f"serve:{h}" for h in hosts)
    wait_for(lambda: active(server) == want, 30, f"the loops {want}")


def write_in_place(path, text):
    path.write_text(text)


def write_by_rename(path, text):
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def write_anew(path, text):
    path.unlink(missing_ok=True)
    path.write_text(text)


def serve_server(new_server, tmp_path, file, engine="sqlite"):
    return new_server(engine, top=f"""
serve_config = "{file}"
serve_folder = "{tmp_path}/served"
""")


@pytest.mark.parametrize("write", [write_in_place, write_by_rename,
                                   write_anew])
def test_the_serve_config_is_followed(new_server, tmp_path, write):
    file = tmp_path / "cfg" / "serve.json"
    file.parent.mkdir()
    write(file, serve_text("a.example.org:443", "b.example.org:8443"))
    server = serve_server(new_server, tmp_path, file).start()
    wait_active(server, "a.example.org")
    wait_delivered(server, "serve:a.example.org", 1)
    current = tmp_path / "served/a.example.org/current"
    assert fits(current / "cert.pem", current / "privkey.pem")
    start = time.monotonic()
    for i in range(5):
        write(file, serve_text(f"n{i}.example.org:443",
                               "a.example.org:443"))
        wait_active(server, f"n{i}.example.org", "a.example.org")
    # inotify told, not the slow poll
    assert time.monotonic() - start < 20
    # what has not changed was not obtained anew
    assert states(server)["serve:a.example.org"] == ("valid", 1)


def test_a_config_map_is_followed(new_server, tmp_path):
    """As Kubernetes mounts one: a link to a link that turns."""
    mount = tmp_path / "mount"
    mount.mkdir()

    def swap(n, text):
        folder = mount / f"..2026_{n}"
        folder.mkdir()
        (folder / "serve.json").write_text(text)
        (mount / "..data_tmp").symlink_to(folder.name)
        (mount / "..data_tmp").rename(mount / "..data")

    swap(0, serve_text("a.example.org:443"))
    (mount / "serve.json").symlink_to("..data/serve.json")
    server = serve_server(new_server, tmp_path, mount / "serve.json").start()
    wait_active(server, "a.example.org")
    start = time.monotonic()
    for n in range(1, 5):
        swap(n, serve_text(f"n{n}.example.org:443"))
        wait_active(server, f"n{n}.example.org")
        shutil.rmtree(mount / f"..2026_{n - 1}")
    assert time.monotonic() - start < 20


def test_a_bad_serve_config_keeps_the_last_good_names(
        new_server, engine, tmp_path):
    file = tmp_path / "serve.json"
    good = serve_text("a.example.org:443", "b.example.org:443")
    file.write_text(good)
    server = serve_server(new_server, tmp_path, file, engine).start()
    wait_active(server, "a.example.org", "b.example.org")
    for bad in ["{", "[]", serve_text("no_name:443"),
                serve_text("a.example.org"), '{"Services": 1}', None]:
        size = server.log_size()
        if bad is None:
            file.unlink()
        else:
            write_by_rename(file, bad)
        server.wait_log("the serve config cannot be used", size)
        assert server.metrics()["certloop_serve_config_good"] == 0
        assert active(server) == ["serve:a.example.org",
                                  "serve:b.example.org"]
    # over a restart too, as the store knows them
    server.restart()
    server.wait_log("serve names as of before")
    assert active(server) == ["serve:a.example.org", "serve:b.example.org"]
    server.ctl("loop", "renew", "serve:a.example.org")
    wait_delivered(server, "serve:a.example.org", 2)
    write_by_rename(file, serve_text("b.example.org:443"))
    wait_active(server, "b.example.org")
    assert server.metrics()["certloop_serve_config_good"] == 1
