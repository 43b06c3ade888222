# SPDX-License-Identifier: ISC
"""What goes wrong is told in one line, with the exit code that certloopctl(8)
documents: names that nobody knows, and a daemon that is not there. Commands
are those that certloopctl says it has, so that none is forgotten."""

import re
import subprocess

import pytest

import manual
import servers

UNKNOWN = "6ai2c4h0000000000000000000000w"

# An argument that is not of an object that may be missing.
GIVEN = {"NAME": "unheard-of", "VALUE": "5/1h", "KEY": UNKNOWN,
         "ISSUER": "unheard-of", "LOOP": "unheard-of",
         "LIMIT": "unheard_of", "FILE": "/dev/null"}

# Options without which a command does not ask.
NEEDED = {"loop add": ["--names", "x.example.org"],
          "loop set": ["--names", "x.example.org"],
          "cert revoke": ["--yes"], "cert mark": ["--yes"],
          "cert unmark": ["--yes"], "cert search": ["--name", "example.org"]}


def commands(build):
    """(command, [placeholders]) as the program lists them."""
    said = subprocess.run([build / "certloopctl", "--help"],
                          capture_output=True, text=True, check=True).stdout
    for line in re.findall(r"^  (\S.*?)  +\S", said.partition(
            "commands:\n")[2], re.M) + re.findall(
                r"^  ((?:\w+ )+[A-Z ]+[A-Z]) [a-z]", said, re.M):
        words = line.split()
        name = [w for w in words if w.islower()]
        yield " ".join(name), [w.strip("[].") for w in words
                               if not w.islower()]


def documented(word):
    """The exit code of the page whose text has this word."""
    text = (manual.ROOT / "man/certloopctl.8").read_text().split(
        ".Sh EXIT STATUS\n")[1].split(".Sh ")[0]
    codes = dict(re.findall(r"^\.It (\d)\n((?:.*\n)*?)(?=\.It|\.El)", text,
                            re.M))
    [code] = [int(c) for c, what in codes.items() if word in what]
    return code


def one_line(done):
    assert not servers.SANITIZER.search(done.stderr), done.stderr
    assert done.stdout == "", done.stdout
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("certloopctl: "), lines


def arguments(name, wanted):
    given = dict(GIVEN)
    if name.startswith("limit override"):   # of an account that is unknown
        given["LIMIT"] = "new_order_per_account"
    return [*name.split(), *(given.get(w, UNKNOWN) for w in wanted),
            *NEEDED.get(name, [])]


@pytest.fixture(scope="module")
def daemon(build, tmp_path_factory):
    made = servers.Certloopd(build, tmp_path_factory.mktemp("answers"))
    yield made.start()
    made.remove()


def test_names_that_nobody_knows(build, daemon):
    code = documented("There is no such object")
    seen = 0
    for name, wanted in commands(build):
        if not wanted or name.endswith(" add") or name.startswith("config"):
            continue
        done = daemon.ctl(*arguments(name, wanted))
        assert done.returncode == code, (name, done.stdout, done.stderr)
        one_line(done)
        seen += 1
    assert seen >= 20


def test_a_daemon_that_is_not_there(build, tmp_path):
    code = documented("No daemon answers")
    seen = 0
    for name, wanted in commands(build):
        done = subprocess.run(
            [build / "certloopctl", "-s", tmp_path / "nobody",
             *arguments(name, wanted)], capture_output=True, text=True,
            timeout=60, cwd=tmp_path)
        assert done.returncode == code, (name, done.stdout, done.stderr)
        one_line(done)
        seen += 1
    assert seen >= 40


def test_commands_that_are_none(build, tmp_path):
    code = documented("Wrong usage")
    for words in (["stauts"], ["account", "shwo"], ["cert", "show"], []):
        done = subprocess.run([build / "certloopctl", *words], text=True,
                              capture_output=True, cwd=tmp_path)
        assert done.returncode == code, (words, done)
        assert done.stdout == ""
