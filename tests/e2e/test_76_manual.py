# SPDX-License-Identifier: ISC
"""Examples of the other pages and of README: configurations pass the check,
commands run as they stand there, figures are those that were measured."""

import re
import subprocess
from pathlib import Path

import pytest

import machine as machines
import manual
import servers

# Who runs the blocks of each page. Those of this file are looked for below.
RUN_BY = {
    "certloop-acme.7": "test_76_acme_manual.py",
    "certloop-bench.1": "test_76_manual.py",
    "certloop-ca.7": "test_57_ca.py",
    "certloop-ha.7": "test_76_manual.py",
    "certloop-security.7": "test_76_security_manual.py",
    "certloop.7": "test_77_audit.py",
    "certloop.conf.5": "test_76_manual.py",
    "certloopctl.8": "test_76_ctl_manual.py",
    "certloopd.8": "test_76_manual.py"}


def test_each_page_with_examples_is_run_by_a_test():
    assert {p for p in manual.pages() if manual.blocks(p)} == set(RUN_BY)
    for page, name in RUN_BY.items():
        text = Path(__file__).with_name(name).read_text()
        assert page in text, (page, name)


def test_what_a_block_is():
    block = manual.Block("p", "s", None, 1, [
        "$ one", "...", "$ two \\", "    more", "# three", "# a comment"])
    assert block.is_commands
    assert list(block.commands()) == [
        ("one", ["..."]), ("two \\\n    more", []), ("three", []),
        ("a comment", [])]
    assert manual.Block("p", "s", None, 1, ["# /etc/x", "y"]).path == "/etc/x"
    assert not manual.Block("p", "s", None, 1, ["x = 1"]).is_commands
    lines = ["a  1", "...", "b (in 3 d)", "c ..."]
    assert manual.fits(lines, ["a 1", "x", "y", "b (2 s ago)", "c d"])
    assert not manual.fits(lines, ["a 2", "b (now)", "c d"])


# ---- configurations

def check(build, folder, text):
    """certloopd -t of a configuration of the page, whose files exist."""
    for name, real in (("/etc/certloop", str(folder)),
                       ("/etc/haproxy", str(folder)),
                       ("/var/lib/certloop", str(folder / "data"))):
        text = text.replace(name, real)
    file = folder / "certloop.conf"
    file.write_text(text)
    return subprocess.run(
        [build / "certloopd", "-t", "-c", file], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)


@pytest.fixture
def files(tmp_path):
    """The files that configurations name."""
    for command in (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
            "-nodes -keyout ca.key -out ca.pem -subj /CN=Example -days 9000 "
            "-addext keyUsage=critical,keyCertSign,cRLSign",
            "cp ca.pem vault-ca.pem", "chmod 600 ca.key"):
        subprocess.run(command.split(), cwd=tmp_path, check=True,
                       capture_output=True)
    (tmp_path / "vault-token").touch(mode=0o600)
    (tmp_path / "vault-token").write_text("t\n")
    return tmp_path


@pytest.mark.parametrize("block", manual.blocks("certloop.conf.5",
                                                "EXAMPLES"), ids=repr)
def test_each_configuration_passes_the_check(build, files, block):
    assert not block.is_commands
    done = check(build, files, block.text)
    assert done.returncode == 0, done.stdout


def test_the_configurations_of_replicas_pass_the_check(build, files):
    one, = manual.blocks("certloop-ha.7", "SETTING UP")[1:]
    other, = manual.blocks("certloop-ha.7", "LIMITS", "When Redis is gone")
    top = 'data_dir = "/var/lib/certloop"\n'
    profile = "profile default { allowed_suffixes = { example.com } }\n"
    assert "redis {" in one.text and "sentinels" in other.text
    done = check(build, files, top + one.text + profile)
    assert done.returncode == 0, done.stdout
    text = re.sub(r"^redis \{.*\}\n", other.text, one.text, flags=re.M)
    assert "sentinel_master" in text
    done = check(build, files, top + text + profile)
    assert done.returncode == 0, done.stdout


def test_messages_of_the_check_are_those_of_the_page(build, tmp_path):
    block, = manual.blocks("certloop.conf.5", "DIAGNOSTICS")
    file = tmp_path / "certloop.conf"
    listener = 'listener acme {\n  address = "127.0.0.1:1"\n}\n'
    wrong = [listener.replace("address", "adress"),
             "\n\n\n" + listener + 'lease = "2h"\n',
             "\n\n\n\n" + listener + "issuer local { }\n"
             "profile p { issuer = vault }\n",
             'include = "conf.d/tls.conf"\n']
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/tls.conf").write_text("\n" + wrong[0])
    assert len(block.lines) == len(wrong)
    for text, line in zip(wrong, block.lines):
        file.write_text(text)
        done = subprocess.run(
            [build / "certloopd", "-t", "-c", "certloop.conf"], text=True,
            cwd=tmp_path, capture_output=True)
        assert done.returncode == 3
        assert done.stderr.splitlines() == [f"certloopd: {line}"]


# ---- commands, on a machine of their own

group = pytest.mark.xdist_group("manual-machine")


@pytest.fixture(scope="module")
def machine(build, tmp_path_factory):
    made, why = machines.make(tmp_path_factory.mktemp("m") / "m", build)
    if made is None:
        pytest.skip(why)
    try:
        made.copy(manual.ROOT / "contrib/sysusers.d/certloop.conf",
                  "/usr/lib/sysusers.d")
        made.run("systemd-sysusers /usr/lib/sysusers.d/certloop.conf")
        made.env["ASAN_OPTIONS"] = "detect_leaks=1"
        yield made
    finally:
        made.remove()


def is_ready(machine, config, cwd="/root"):
    return machine.run(f"certloopctl {config} --json status | jq -e .ready",
                       check=False, cwd=cwd).returncode == 0


def run(machine, block, words=None, cwd="/root"):
    """The commands of a block, one by one, and what they print."""
    for command, documented in block.commands():
        for word, real in (words or {}).items():
            command = command.replace(word, real)
        printed = machine.run(command, cwd=cwd).stdout.splitlines()
        assert not documented or manual.fits(documented, printed), printed


CONFIG = """
data_dir = "/var/lib/certloop"
public_url = "https://localhost:14000"
drain_delay = 0
listener acme { address = "127.0.0.1:14000" }
limits {
	new_account_per_address = 0
	new_order_per_account = 0
	open_orders_per_account = 0
}
profile default { }
"""


def load_it(machine):
    """certloop-bench(1), shorter: figures are whatever they are."""
    blocks = manual.blocks("certloop-bench.1", "EXAMPLES")
    words = {"root.pem": "/var/lib/certloop/ca/root.pem", "-w 1s": "-w 100ms",
             "-d 5s": "-d 500ms", "-d 2s": "-d 500ms", "-n 320": "-n 64"}
    for block in blocks:
        [(command, documented)] = block.commands()
        for word, real in words.items():
            command = command.replace(word, real)
        printed = machine.run(command).stdout.splitlines()
        number = re.compile(r"\d+(\.\d+)?")
        assert manual.fits([number.sub("N", line) for line in documented],
                           [number.sub("N", line) for line in printed]), \
            (command, printed)


@group
def test_certloopd_8(machine, cluster):
    first, over, reload, by_hand = manual.blocks("certloopd.8", "EXAMPLES")
    machine.run("mkdir -p /root/first")
    (begin, _), (lego, _) = first.commands()
    assert begin == "certloopd &"
    machine.start(["sh", "-c", "cd /root/first && exec certloopd"])
    servers.wait_for(lambda: is_ready(machine, "", "/root/first"), 60,
                     "the first server", 0.2)
    machine.run(lego, cwd="/root/first")
    machine.run("openssl verify -CAfile certloop-data/ca/root.pem -untrusted "
                ".lego/certificates/name.example.crt "
                ".lego/certificates/name.example.crt", cwd="/root/first")
    # certloop(7): the same server, and README's commands
    (again, _), (status, _) = manual.blocks("certloop.7",
                                            "EXAMPLES")[0].commands()
    assert again == begin
    assert "ready" in machine.run(status, cwd="/root/first").stdout
    machine.run("kill $(pidof certloopd); while pidof certloopd; do "
                "sleep 0.1; done")

    machine.write("/etc/certloop.conf", CONFIG)
    one = machine.start(["certloopd", "-c", "/etc/certloop.conf"])
    servers.wait_for(lambda: is_ready(machine, "-c /etc/certloop.conf"), 60,
                     "a server to be taken over", 0.2)
    [(command, _)] = over.commands()
    two = machine.start(command.split())
    assert one.wait(60) == 0
    servers.wait_for(lambda: is_ready(machine, "-c /etc/certloop.conf"), 60,
                     "the next one", 0.2)
    before = machine.said().count("msg=reloaded")
    run(machine, reload)
    servers.wait_for(lambda: machine.said().count("msg=reloaded") > before,
                     60, "the reload", 0.2)
    load_it(machine)
    machine.run("kill $(pidof certloopd)")
    assert two.wait(60) == 0

    machine.write("/etc/certloop.conf", CONFIG.replace(
        "/var/lib/certloop", "/var/lib/by-hand")
        + f'replicas = true\nstore {{ url = "{cluster.new_store().url}" }}\n')
    run(machine, by_hand)
    machine.run("test -s /var/lib/by-hand/ca/issuing.key")


@group
@pytest.mark.parametrize("kind", ["PostgreSQL", "SQLite"])
def test_upgrade_backup_and_restore(machine, cluster, tmp_path, kind):
    """certloop-ha(7): what was issued before the backup is there after the
    restore, what came later is not, and numbers of CRLs go on."""
    name = "certloop-ha.7"
    blocks = manual.blocks(name, "BACKUP AND RESTORE")
    assert len(blocks) == 4
    backup, restore = blocks[:2] if kind == "PostgreSQL" else blocks[2:]
    [(init, _)] = manual.blocks(name, "SETTING UP")[0].commands()
    config = CONFIG
    words = {}
    if kind == "PostgreSQL":
        url = cluster.new_store().url
        words["STORE-URL"] = f"'{url}'"
        config += f'store {{ url = "{url}" }}\n'
    machine.run("systemctl stop certloopd; "
                "rm -rf /var/lib/certloop /backup; "
                "install -d -m 700 /var/lib/certloop /var/backup")
    words["/backup/"] = "/var/backup/"
    ctl = "certloopctl -c /etc/certloop/certloop.conf"
    machine.write("/etc/certloop/certloop.conf", config)
    machine.run(init)
    machine.run("systemctl start certloopd")

    def wait():
        try:
            servers.wait_for(lambda: is_ready(
                machine, "-c /etc/certloop/certloop.conf"), 60,
                "the service", 0.2)
        finally:
            print(machine.read_log())   # shown if the test fails

    def obtain(name):
        machine.run(
            "LEGO_CA_CERTIFICATES=/var/lib/certloop/ca/root.pem lego "
            "--accept-tos --email a@example.org --http --server "
            "https://localhost:14000/acme/directory --path "
            f"/root/{kind} --domains {name} run")

    def known(name):
        return machine.run(f"{ctl} cert search --exact {name}").stdout

    def number():
        machine.run("curl -sS --fail --cacert /var/lib/certloop/ca/root.pem "
                    "-o /root/crl https://localhost:14000/ca/local/crl")
        return int(machine.run(
            "openssl crl -inform DER -in /root/crl -noout -crlnumber"
        ).stdout.split("0x")[1], 16)
    wait()
    obtain("before.example.org")
    servers.wait_for(lambda: machine.run(
        "curl -sS --fail --cacert /var/lib/certloop/ca/root.pem -o /dev/null "
        "https://localhost:14000/ca/local/crl", check=False).returncode == 0,
        60, "a CRL", 0.2)
    run(machine, backup, words)
    assert "root.key" not in machine.run("tar -tf /var/backup/keys.tar").stdout
    obtain("later.example.org")
    was = number()
    run(machine, restore, words)
    wait()
    assert "before.example.org" in known("before.example.org")
    assert "later.example.org" not in known("later.example.org")
    obtain("after.example.org")
    [serial] = re.findall(r"[0-9a-f]{32}", known("before.example.org"))
    machine.run(f"{ctl} cert revoke {serial}")
    servers.wait_for(lambda: number() > was + 1000, 60, "a later CRL", 0.3)

    migrate, upgrade = manual.blocks(name, "UPGRADES")
    if kind == "PostgreSQL":    # SQLite has one process only
        run(machine, migrate)
    for command, printed in upgrade.commands():
        if printed:
            wait()
        said = machine.run(command).stdout.splitlines()
        assert not printed or manual.fits(printed, said), said
    machine.run("systemctl stop certloopd")


# ---- figures and texts

# What the page says, and the rows of one paragraph of RESULTS that it has this
# from: {0} is the first figure.
CAPACITY = {
    "issuances a second Ta {} Ta {} "
    "processor time of one, us Ta {} Ta {} "
    "core of the server in use, % Ta {} Ta {} "
    "statements' round trips of one Ta {} Ta {} "
    "finalize, p99 in ms Ta {} Ta {} "
    "memory, MB Ta {} Ta {} ": (
        "issuances a second +{1} +{0}",
        "server CPU us +{3} +{2}",
        "server core busy % +{5} +{4}",
        "store round trips +{7} +{6}",
        "finalize p99 ms +{9} +{8}",
        "RSS MB at the end +{11} +{10}"),
    "a million microseconds by {} , as long as the database keeps up: it "
    "commits {} times": (
        r"server CPU us +\S+ +{0}",
        r"store commits +\S+ +{1}"),
    "an idle connection costs {} KB with TLS and {} KB without; a new one "
    "with TLS {} us": (
        "certloop, TLS +{0} KB an idle connection",
        "certloop +{1} KB an idle connection",
        "certloop, new connection, TLS +{2} us of server CPU"),
    "the directory is answered {} times a second,": (
        "directory certloopd +{0}",),
    ", OCSP {} times;": (
        "ocsp-get, no limit +{0}",),
    "to verify a request takes {} ns with ES256, {} with RS256, and {} with "
    "ES384;": (
        "JWS parse and verify, ES256, kid +{0} ns",
        "JWS parse and verify, RS256 +{1} ns",
        "JWS parse and verify, ES384 +{2} ns"),
    "{} cert loops of one process take {} MiB and {} % of a core at rest; a "
    "start with them is ready after {} ms;": (
        "{0} loops, sqlite: .* ready after {3} ms .*; {1} MiB resident .*, "
        "at rest {2} % of a processor",),
    "{} rows that are due are swept in {} s, with p99 of requests at {} ms "
    "instead of {}": (
        r".*_in_small_batches\[postgres\]: {0} rows in {1} s .*: p99 {2} ms, "
        "idle {3} ms",),
}
FIGURE = r"(\d[\d.]*\d|\d)"


def has_rows(paragraph, rows, figures):
    return all(re.search(rf"(?m)^ *{row.format(*map(re.escape, figures))}"
                         r"(?!\d|\.\d)", paragraph) for row in rows)


def test_figures_of_capacity_were_measured():
    """Each is found in a row of that name, and none is left over."""
    text = (manual.ROOT / "man/certloop-ha.7").read_text().split(
        ".Sh CAPACITY\n")[1].split("\n.Sh ")[0]
    paragraphs = [paragraph for kind in ("bench", "proof") for paragraph in
                  (manual.ROOT / "tests" / kind / "RESULTS").read_text()
                  .split("\n\n")]
    plain = re.sub(r"\s+", " ", re.sub(
        r"(?m)^\.(It|El|Pp|Po|Pc)\b|\.?\bLi\b", "", text))
    seen = 0
    for says, rows in CAPACITY.items():
        found = re.findall(re.escape(says).replace(r"\{\}", FIGURE), plain)
        assert len(found) == 1, says
        figures = [found[0]] if isinstance(found[0], str) else found[0]
        seen += len(figures)
        assert any(has_rows(paragraph, rows, figures)
                   for paragraph in paragraphs), (says, figures)
    assert seen == len(re.findall(rf"\bLi {FIGURE}(?![\d.])", text))
    # what is reckoned from them
    cpu = float(re.search(r" by\n\.Li (\S+)$", text, re.M)[1])
    [about] = re.findall(r"about (\d,\d+) certificates", text)
    assert abs(int(about.replace(",", "")) - 1e6 / cpu) < 100


def test_the_pages_that_operators_need_have_their_sections():
    def sections(page):
        return re.findall(r"^\.Sh (.*)$", (manual.ROOT / "man" / page)
                          .read_text(), re.M)
    assert set(sections("certloop-ha.7")) >= {
        "SETTING UP", "UPGRADES", "BACKUP AND RESTORE", "CAPACITY"}
    assert set(sections("certloop-security.7")) >= {
        "WHO IS TRUSTED WITH WHAT", "HARDENING", "WHEN IT WENT WRONG"}


def test_commands_of_readme(build):
    text = (manual.ROOT / "README").read_text()
    lines = [re.sub(r" {2,}.*| loads .*", "", line[4:]).strip()
             for line in text.splitlines() if line.startswith("    ")]
    lines = [w.strip() for line in lines for w in line.split("&&")]
    seen = 0
    for line in lines:
        words = re.sub(r"#.*", "", line).split()
        program = manual.ROOT / words[0]
        if words[0].startswith(("contrib/", "./autogen")):
            assert program.exists(), line
            if words[0] == "contrib/install-deps":
                subprocess.run([program, "--list", *words[1:]], check=True,
                               capture_output=True)
        elif words[0] in ("certloopd", "certloopctl", "certloop-bench"):
            said = subprocess.run([build / words[0], "--help"], text=True,
                                  capture_output=True, check=True).stdout
            for word in words[1:]:
                assert f"{word} " in said or f"[{word} " in said, line
        elif words[0] == "man":
            subprocess.run(["mandoc", "-Tascii", manual.ROOT / words[2]],
                           check=True, capture_output=True)
        elif words[0] == "make":
            for target in words[1:]:
                assert subprocess.run(
                    ["make", "-C", build, "-n", "-s", target],
                    capture_output=True).returncode == 0
        else:
            assert words[0] == "./configure", line
        seen += 1
    assert seen > 8
