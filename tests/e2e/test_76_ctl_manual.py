# SPDX-License-Identifier: ISC
"""Each example of certloopctl(8) runs, in the order of the page, against a
server that holds what the examples speak of, and prints what the page says.

tests/lib/manual.py has the rules. Ids, digests, moments and ages may be
others; the page's ids stand for objects of this server.
"""

import json
import re
import shutil
import subprocess

import pytest

import manual
import servers
from manual import fits

ID = r"\b[0-9a-v]{8}[A-Za-z0-9_-]{22}(?![A-Za-z0-9_-])"


def examples():
    """(command, lines of output) of all blocks."""
    for block in manual.blocks("certloopctl.8", "EXAMPLES"):
        yield from block.commands()


class World:
    """A server, and what in the page stands for what on it."""

    def __init__(self, server):
        self.server = server
        self.real = {}
        first = server.client()
        first.register()
        second = server.client(profile="short")
        second.register()
        old = first.order(["old.example.org"])
        server.store.execute("UPDATE orders SET expires = 1")
        self.call("6ai2c4h2v42TgJNtynyMEuzqzdHHkQ", old.url)
        short, _, _ = second.obtain(["mail.example.org"])
        self.call("6ai2c4h02AVlcitnlZ_nS6kzDJBz1g", short["certificate"])
        order, _, _ = first.obtain(["www.example.org"])
        self.call("6ai2c4h1QaEBANtiUoigVqdVIQESHg", order["certificate"])
        self.call("6ai2c4h3MypuO5k1NWTBOpaNnUOz1g", first.kid)
        done = server.ctl("eab", "add", "old key")
        assert done.returncode == 0, done.stderr
        self.call("6ai2c4h48TplkBW-LS2SiLpixmvQUg",
                  re.search(ID, done.stdout)[0])
        shutil.copy(server.root, server.directory / "root.pem")
        self.real["https://ca.example.org:8443"] = (
            f"https://localhost:{server.keys_port}")
        self.real["/etc/certloop.conf"] = str(server.file)
        self.real["/run/certloop/admin.sock"] = str(
            server.data / "admin.sock")

    def call(self, name, url):
        self.real[name] = url.rpartition("/")[2]

    def to_real(self, text):
        for name, real in self.real.items():
            text = text.replace(name, real)
        return text

    def to_page(self, text):
        for name, real in self.real.items():
            text = text.replace(real, name)
        return text


def run(world, command):
    """The command as a shell takes it."""
    server = world.server
    return subprocess.run(
        ["bash", "-c", "set -o pipefail\n" + world.to_real(command)],
        capture_output=True, text=True, timeout=60, cwd=server.directory,
        env={**server.env, "CERTLOOP_SOCKET": str(server.data / "admin.sock"),
             "PATH": f"{server.build}:{server.env['PATH']}"})


@pytest.fixture
def world(new_server):
    server = new_server(limits="", profiles="""
profile default {
  issuer = local
  auth_mode = trust_authenticated
  allowed_suffixes = { "example.org", "example.net" }
}
profile short {
  issuer = local
  auth_mode = trust_authenticated
  allowed_suffixes = { "example.org" }
  lifetime = 6d
}
""")
    server.keys_port = servers.free_port()
    server.extra = f"""
listener operators {{
  kind = admin
  address = "127.0.0.1:{server.keys_port}"
}}
loop_folder = "{server.directory / 'asked'}"
loop site {{
  names = {{ "site.example.net" }}
  profile = default
  folder = "{server.directory / 'site'}"
}}
"""
    server.write_config()
    server.start()

    def is_certified():
        shown = json.loads(server.ctl("--json", "loop", "list").stdout)
        return [loop["state"] for loop in shown["items"]] == ["valid"]
    servers.wait_for(is_certified, 30, "the loop's certificate", 0.3)
    return World(server)


def test_each_example_of_the_page_runs(world):
    count = 0
    for command, documented in examples():
        # an id that stands for nothing here is new to this test, or made
        # by the example itself
        unknown = [i for i in re.findall(ID, command) if i not in world.real]
        assert not unknown, command
        done = run(world, command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        assert not servers.SANITIZER.search(done.stderr), done.stderr
        printed = world.to_page(done.stdout).splitlines()
        made = [i for line in documented for i in re.findall(ID, line)
                if i not in world.real]
        for name in made:
            new = [i for line in printed for i in re.findall(ID, line)
                   if i not in world.real]
            assert new, (command, printed)
            world.real[name] = new[0]
            printed = world.to_page("\n".join(printed)).splitlines()
        assert fits(documented, printed), "\n".join(
            ["$ " + command, *documented, "--- printed:", *printed])
        count += 1
    assert count > 20


def test_each_command_has_an_example(build):
    said = subprocess.run([build / "certloopctl", "--help"],
                          capture_output=True, text=True, check=True).stdout
    commands = re.findall(r"^  (\w+(?: [a-z]+)*)\b",
                          said.partition("commands:\n")[2], re.M)
    shown = " ".join(" ".join(command.split()) for command, _ in examples())
    shown = re.sub(r"certloopctl( -[sc] \S+| --json)+", "certloopctl", shown)
    missing = [c for c in commands if f"certloopctl {c}" not in shown]
    assert commands and not missing


def test_the_comparison_can_fail():
    lines = ["a  1", "...", "b (in 3 d)", "c ..."]
    assert fits(lines, ["a 1", "b (now)", "c d e"])
    assert fits(lines, ["a 1", "x", "y", "b (2 s ago)", "c d"])
    assert not fits(lines, ["a 2", "b (now)", "c d"])
    assert not fits(lines, ["a 1", "b (now)"])
    assert not fits(lines, ["a 1", "b (now)", "c d", "more"])
    assert not fits([], ["x"])
