# SPDX-License-Identifier: ISC
"""Cert loops that operators ask for, paused ones, and those near their end."""

import json
from pathlib import Path

import pytest

import fleet
from servers import wait_for
from test_87_loops import (
    certificates, ctl_json, fits, names_of, states, wait_delivered,
    wait_state)


@pytest.fixture
def asked(new_server, engine, tmp_path):
    """A server that takes such loops, and tells a file of each delivery."""
    return new_server(engine, extra=f"""
loop_folder = "{tmp_path}/asked"
loop_hook = {{ "/bin/sh", "-c", "echo $CERTLOOP_NAME >> {tmp_path}/told" }}
""").start()


def ask(server, *words):
    done = server.ctl("loop", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal(server, *words):
    done = server.ctl("loop", *words)
    assert done.returncode != 0 and done.stderr.count("\n") == 1, done
    return done.returncode, done.stderr


def actions(server):
    return [a for a, in server.store.query(
        "SELECT action FROM audit WHERE actor LIKE 'admin:%' ORDER BY id")]


def test_a_loop_is_asked_for_changed_and_removed(asked, tmp_path):
    said = ask(asked, "add", "mail", "--names",
               "smtp.example.org, MAIL.example.org,10.1.2.3")
    assert said == "loop ctl:mail is asked for; nodes take it within seconds\n"
    wait_delivered(asked, "ctl:mail", 1)
    now = tmp_path / "asked" / "mail" / "current"
    assert fits(now / "fullchain.pem", now / "privkey.pem")
    der, = certificates(asked, "ctl:mail")
    assert names_of(der) == ["10.1.2.3", "mail.example.org",
                             "smtp.example.org"]
    assert (tmp_path / "told").read_text() == "ctl:mail\n"
    assert ctl_json(asked, "loop", "asked")["items"] == [{
        "loop": "ctl:mail",
        "names": ["mail.example.org", "smtp.example.org", "10.1.2.3"],
        "profile": "default", "key_type": "ecdsa-p256", "keep_key": False,
        "nodes": []}]

    # with the prefix or without it; what is not given stays
    ask(asked, "set", "ctl:mail", "--names", "mail.example.org")
    wait_delivered(asked, "ctl:mail", 2)
    assert names_of(certificates(asked, "ctl:mail")[1]) == ["mail.example.org"]
    ask(asked, "set", "mail", "--key-type", "ecdsa-p384", "--keep-key", "true")
    wait_delivered(asked, "ctl:mail", 3)
    shown = ctl_json(asked, "loop", "show", "ctl:mail")
    assert (shown["source"], shown["keep_key"], shown["names"]) == (
        "ctl", True, ["mail.example.org"])

    ask(asked, "remove", "mail")
    wait_state(asked, {"ctl:mail": ("stopped", 3)})
    assert fits(now / "fullchain.pem", now / "privkey.pem")
    assert ctl_json(asked, "loop", "asked")["items"] == []
    assert actions(asked) == ["loop.add", "loop.set", "loop.set",
                              "loop.remove"]
    for action in ("loop.add", "loop.remove"):
        assert asked.metrics()[
            f'certloop_admin_changes_total{{action="{action}"}}'] == 1


def test_what_cannot_be_asked_for(asked):
    ask(asked, "add", "there", "--names", "there.example.org")
    cases = [
        (("add", "x"), 'must have the array "names"'),
        (("add", "there", "--names", "a.example.org"), "already"),
        (("add", "../x", "--names", "a.example.org"), 'name:'),
        (("add", ".x", "--names", "a.example.org"), 'name:'),
        (("add", "x" * 65, "--names", "a.example.org"), 'name:'),
        (("add", "x", "--names", "a_b.example.org"), "a_b.example.org"),
        (("add", "x", "--names", "a.example.org,,b.example.org"), '""'),
        (("add", "x", "--names", "a.*.org"), "a.*.org"),
        (("add", "x", "--names", ",".join(
            f"n{i}.example.org" for i in range(101))), "1 to 100"),
        (("add", "x", "--names", "a.example.org", "--profile", "none"),
         "profile"),
        (("add", "x", "--names", "a.example.org", "--key-type", "dsa"),
         "ecdsa-p256"),
        (("add", "x", "--names", "a.example.org", "--nodes", "a/b"), "nodes"),
        (("set", "there", "--names", "a b"), '"a b"'),
        (("set", "there"), "nothing to change"),
    ]
    for words, said in cases:
        code, stderr = refusal(asked, *words)
        assert code == 1 and said in stderr, (words, stderr)
    code, stderr = refusal(asked, "add", "x", "--names", "a.example.org",
                           "--keep-key", "maybe")
    assert code == 2 and "true or false" in stderr
    for words in (("set", "none", "--profile", "default"),
                  ("remove", "none"), ("pause", "none"), ("resume", "none")):
        assert refusal(asked, *words)[0] == 4, words
    assert [i["loop"] for i in ctl_json(asked, "loop", "asked")["items"]] == [
        "ctl:there"]
    assert actions(asked) == ["loop.add"]


def test_a_node_without_a_folder_takes_none(new_server, engine):
    server = new_server(engine).start()
    code, stderr = refusal(server, "add", "x", "--names", "a.example.org")
    assert code == 1 and "loop_folder is not set" in stderr


def test_they_are_known_again_after_a_restart(asked, tmp_path):
    ask(asked, "add", "web", "--names", "www.example.org")
    wait_delivered(asked, "ctl:web", 1)
    before = asked.store.query("SELECT attempt, state, serial FROM loops")
    asked.restart()
    wait_for(lambda: asked.metrics()['certloop_loops{state="valid"}'] == 1,
             20, "the loop to be counted")
    wait_for(lambda: "operators ask for cert loops" in
             asked.log().rpartition("starting")[2], 20, "the set to be read")
    assert asked.store.query(
        "SELECT attempt, state, serial FROM loops") == before
    # the folder goes from the configuration, and with it the loops
    asked.extra = ""
    asked.write_config()
    assert asked.ctl("reload").returncode == 0
    wait_state(asked, {"ctl:web": ("stopped", 1)})


def test_a_paused_loop_is_not_renewed(asked, tmp_path):
    ask(asked, "add", "web", "--names", "www.example.org")
    wait_delivered(asked, "ctl:web", 1)
    ask(asked, "pause", "ctl:web")
    assert ctl_json(asked, "loop", "show", "ctl:web")["state"] == "paused"
    assert [i["name"] for i in ctl_json(
        asked, "loop", "list", "--state", "paused")["items"]] == ["ctl:web"]
    assert ctl_json(asked, "loop", "list", "--state", "valid")["items"] == []
    ask(asked, "renew", "ctl:web")
    # a loop that was asked for later is done: the paused one was passed over
    ask(asked, "add", "next", "--names", "next.example.org")
    wait_delivered(asked, "ctl:next", 1)
    assert states(asked)["ctl:web"] == ("valid", 1)
    ask(asked, "resume", "ctl:web")
    wait_delivered(asked, "ctl:web", 2)
    assert actions(asked) == ["loop.add", "loop.pause", "loop.renew",
                              "loop.add", "loop.resume"]


def test_a_certificate_near_its_end_is_told_once_a_step(asked):
    ask(asked, "add", "web", "--names", "www.example.org")
    wait_delivered(asked, "ctl:web", 1)
    ask(asked, "pause", "ctl:web")
    day = 86400 * 1000000

    def told():
        return [(a, json.loads(d)["days"]) for a, d in asked.store.query(
            "SELECT action, detail FROM audit WHERE action IN "
            "('loop.ending', 'loop.ended') ORDER BY id")]

    seen = []
    for left, days in ((40, None), (29, 30), (13, 14), (6.5, 7), (0.5, 1),
                       (-1, 0)):
        asked.store.execute(
            "UPDATE loops SET renew_at = 1, not_after = "
            f"(SELECT max(created) FROM certificates) + {int(left * day)}, "
            "not_before = 0")
        asked.restart()  # counts at once
        if days is not None:
            seen.append(("loop.ended" if days == 0 else "loop.ending", days))
            wait_for(lambda: told() == seen, 20, f"a warning of {days} days")
            assert asked.metrics()[
                f'certloop_loop_warnings_total{{days="{days}"}}'] == 1
    asked.restart()
    wait_for(lambda: asked.metrics()['certloop_loops{state="paused"}'] == 1,
             20, "the loop to be counted")
    assert told() == seen


def test_in_a_fleet_only_the_nodes_named_take_it(build, new_store, tmp_path):
    store = new_store("postgres")
    made = []
    try:
        for i in range(2):
            made.append(fleet.Replica(
                build, tmp_path / f"r{i}", store=store,
                extra=f'loop_folder = "{tmp_path}/asked{i}"\n'))
        made[0].init_ca()
        made[1].share_from(made[0])
        for replica in made:
            replica.spawn()
        for replica in made:
            replica.wait_ready()
        nodes = [(Path(r.data) / "node").read_text().strip() for r in made]
        assert len(set(nodes)) == 2
        ask(made[0], "add", "both", "--names", "both.example.org")
        ask(made[0], "add", "one", "--names", "one.example.org",
            "--nodes", nodes[1])
        one = tmp_path / "asked1" / "one" / "current" / "privkey.pem"
        both = [tmp_path / f"asked{i}" / "both" / "current" / "privkey.pem"
                for i in (0, 1)]
        wait_for(lambda: one.exists() and all(b.exists() for b in both), 40,
                 "the pairs to lie there")
        assert both[0].read_bytes() == both[1].read_bytes()
        assert not (tmp_path / "asked0" / "one").exists()
        ask(made[1], "set", "one", "--nodes", "all")
        there = tmp_path / "asked0" / "one" / "current" / "privkey.pem"
        wait_for(there.exists, 40, "the other node to take it")
        assert there.read_bytes() == one.read_bytes()
    finally:
        for replica in made:
            replica.remove()
