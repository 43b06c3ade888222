# SPDX-License-Identifier: ISC
"""What `make install` leaves behind is a service: the user, the folders, the
units, and a certloopd that issues under all that its unit forbids, where no
systemd runs (tests/lib/sandbox.py does what it would)."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import machine as machines
import manual
import servers

UNIT = "/usr/lib/systemd/system/certloopd.service"
LIB = Path(servers.__file__).resolve().parent

pytestmark = pytest.mark.xdist_group("packaging")

# A hook tries what no hook may, and says what came of it.
HOOK = r"""#!/bin/sh
report=/var/lib/certloop/report
{
    grep -E '^(NoNewPrivs|Seccomp|CapBnd|CapEff|CapAmb):' /proc/self/status
    echo "user: $(id -un) $(id -gn)"
    echo "files: $(ulimit -n)"
    echo "tmp: $(ls -A /tmp | wc -l)"
    echo "devices: $(ls /dev | tr '\n' ' ')"
    for place in /etc /usr /root /home /var/lib /run /srv; do
        touch $place/x 2>/dev/null && echo "written: $place"
    done
    ls /root /home >/dev/null 2>&1 && echo "seen: homes"
    echo 1 2>/dev/null >/proc/sys/vm/drop_caches && echo "tuned: /proc/sys"
    [ -d /proc/1 ] && echo "seen: processes of others"
    unshare -U true 2>/dev/null && echo "made: a namespace"
    mkdir /var/lib/certloop/s && chmod u+s /var/lib/certloop/s \
        2>/dev/null && echo "made: set-user-id"
    hostname x 2>/dev/null && echo "made: a name"
    /usr/bin/python3 - <<'END'
import ctypes, mmap, socket
def tries(what, f, *arguments):
    try:
        f(*arguments)
        print("made:", what)
    except (OSError, ValueError):
        pass
tries("code", mmap.mmap, -1, 4096, mmap.MAP_PRIVATE,
      mmap.PROT_WRITE | mmap.PROT_EXEC)
libc = ctypes.CDLL(None, use_errno=True)
page = mmap.mmap(-1, 4096)
at = ctypes.addressof(ctypes.c_char.from_buffer(page))
if libc.mprotect(ctypes.c_void_p(at), 4096, 5) == 0:
    print("made: memory code")
if libc.personality(0x0040000) != -1:
    print("made: a personality")
if libc.ptrace(0, 0, 0, 0) != -1:
    print("made: a trace")
tries("a netlink socket", socket.socket, socket.AF_NETLINK,
      socket.SOCK_RAW, 0)
tries("a packet socket", socket.socket, socket.AF_PACKET,
      socket.SOCK_RAW, 0)
tries("a unix socket, as it may", socket.socket, socket.AF_UNIX)
END
    echo "end: $CERTLOOP_NAME"
} >$report.new 2>&1
mv $report.new $report
"""


@pytest.fixture(scope="module")
def installed(build, tmp_path_factory):
    """DESTDIR after `make install` as a Debian package would."""
    dest = tmp_path_factory.mktemp("dest")
    done = subprocess.run(
        ["make", "-s", "-C", str(build), "install-exec", "install-data",
         "prefix=/usr", "sysconfdir=/etc", f"DESTDIR={dest}"],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return dest


@pytest.fixture(scope="module")
def machine(installed, build, tmp_path_factory):
    """A machine on which that was unpacked."""
    made, why = machines.make(tmp_path_factory.mktemp("m") / "m",
                              "/nowhere")
    if made is None:
        pytest.skip(why)
    try:
        made.copy(installed, "/")
        made.copy(LIB / "sandbox.py", "/usr/local/lib/certloop-test")
        made.run("systemd-sysusers /usr/lib/sysusers.d/certloop.conf")
        made.run("systemd-tmpfiles --create "
                 "/usr/lib/tmpfiles.d/certloop.conf")
        yield made
    finally:
        made.remove()


def test_make_install_puts_all_where_debian_looks_for_it(installed):
    found = {str(p.relative_to(installed)) for p in installed.rglob("*")
             if p.is_file()}
    assert found >= {
        "usr/sbin/certloopd", "usr/bin/certloopctl", UNIT[1:],
        "usr/lib/systemd/system/certloopd@.service",
        "usr/lib/systemd/system/certloopd.socket",
        "usr/lib/sysusers.d/certloop.conf",
        "usr/lib/tmpfiles.d/certloop.conf",
        "usr/share/bash-completion/completions/certloopctl",
        "usr/share/doc/certloop/examples/certloop.conf",
        *(f"usr/share/man/man{p[-1]}/{p}" for p in manual.pages())}
    assert not [f for f in found if not f.startswith("usr/")]
    assert (installed / "etc/certloop").is_dir()
    for name in ("certloopd.service", "certloopd@.service"):
        text = (installed / "usr/lib/systemd/system" / name).read_text()
        assert "@bindir@" not in text and "@sbindir@" not in text
        assert "ExecStart=/usr/sbin/certloopd -c /etc/certloop/" in text
        assert "ExecReload=/usr/bin/certloopctl " in text


def test_both_units_restrict_the_same(installed):
    """But for what names the worker."""
    folder = installed / "usr/lib/systemd/system"
    one, many = (re.sub(r"#.*", "", (folder / f"certloopd{s}.service")
                        .read_text()).split("[Service]")[1]
                 for s in ("", "@"))
    for a, b in (("certloop-%i", "certloop"), ("certloop/%i", "certloop")):
        many = many.replace(a, b)
    assert set(filter(None, one.split("\n"))) == \
        set(filter(None, many.split("\n")))


def test_systemd_takes_the_units_and_finds_them_tight(machine):
    folder = Path(UNIT).parent
    done = machine.run(
        f"systemd-analyze verify --man=no {folder}/certloopd.service "
        f"{folder}/certloopd.socket {folder}/certloopd@1.service",
        check=False)
    ours = [line for line in (done.stdout + done.stderr).splitlines()
            if "certloopd" in line]
    assert not ours and done.returncode == 0, done.stdout + done.stderr
    for unit in ("certloopd", "certloopd@"):
        said = machine.run("systemd-analyze security --no-pager --offline="
                           f"true {folder}/{unit}.service").stdout
        exposure = re.search(r"Overall exposure level .*: (\d+\.\d)", said)
        assert float(exposure[1]) <= 2.0, said


def test_the_user_and_the_folders(machine):
    user = machine.run("getent passwd certloop").stdout.split(":")
    assert user[5:7] == ["/var/lib/certloop", "/usr/sbin/nologin\n"]
    assert machine.run("stat -c '%U:%G %a' /etc/certloop /var/lib/certloop "
                       "/run/certloop").stdout.splitlines() == [
        "root:certloop 750", "certloop:certloop 700",
        "certloop:certloop 755"]


def test_it_issues_under_all_restrictions_of_its_unit(machine, tmp_path):
    """The example of `make install`, with two profiles more and a cert loop
    whose hook reports what it could do."""
    config = machine.read("/usr/share/doc/certloop/examples/certloop.conf")
    machine.write("/etc/certloop/certloop.conf", config + """
profile internal {
	allowed_suffixes = { example.org }
}
loop site {
	names = { site.example.org }
	profile = internal
	folder = "/var/lib/certloop/site"
	hook = { /etc/certloop/hook }
}
loop slow {
	names = { slow.example.org }
	profile = internal
	key_type = rsa3072
	folder = "/var/lib/certloop/slow"
}
""", "640")
    machine.write("/etc/certloop/hook", HOOK, "755")
    machine.run("chgrp -R certloop /etc/certloop; touch /tmp/seen-by-all")
    machine.serve_names(tmp_path / "names")
    # the leak checker traces, which the unit forbids
    machine.env["ASAN_OPTIONS"] = "detect_leaks=0"
    daemon = machine.start(
        ["sh", "-c", "echo $$ >/run/certloopd.pid; exec /usr/bin/python3 -P "
         f"/usr/local/lib/certloop-test/sandbox.py run {UNIT}"], net="ca")
    ctl = "certloopctl -s /run/certloop/admin.sock"

    def is_ready():
        assert daemon.poll() is None, machine.said()
        return machine.run(f"{ctl} --json status | jq -e .ready",
                           check=False).returncode == 0
    servers.wait_for(is_ready, 90, "certloopd under its unit", 0.3)
    report = servers.wait_for(
        lambda: machine.run("cat /var/lib/certloop/report",
                            check=False).stdout, 90, "the hook", 0.3)
    words = dict(re.findall(r"^(\w+):\s*(.*?)\s*$", report, re.M))
    assert words["end"] == "site", report
    assert words["user"] == "certloop certloop"
    assert (words["NoNewPrivs"], words["Seccomp"]) == ("1", "2")
    assert words["CapBnd"] == f"{1 << 10:016x}"     # bind to port 443
    most = machine.run("ulimit -Hn").stdout.strip()
    assert words["files"] == ("65536" if most == "unlimited" else
                              str(min(65536, int(most))))
    assert words["tmp"] == "0"
    assert set(words["devices"].split()) == {
        "null", "zero", "full", "random", "urandom", "tty", "fd", "shm"}
    modes = machine.run("stat -c %a /var/lib/certloop/certloop.db "
                        "/var/lib/certloop/ca/issuing.key").stdout.split()
    assert modes == ["600", "600"]
    done = re.findall(r"^(?:made|written|seen|tuned): (.*)$", report, re.M)
    assert done == ["a unix socket, as it may"], report

    # on port 443, from another machine, by a client
    machine.run(
        "curl -sSk -o /dev/null https://acme.example.org/acme/directory")
    machine.run(
        "LEGO_CA_CERTIFICATES=/var/lib/certloop/ca/root.pem lego --accept-tos "
        "--path /root/lego --email ops@example.org --server "
        "https://acme.example.org/acme/profile/internal/directory "
        "--domains www.example.org --http run")
    machine.run("openssl verify -x509_strict -CAfile "
                "/var/lib/certloop/ca/root.pem -untrusted "
                "/root/lego/certificates/www.example.org.crt "
                "/root/lego/certificates/www.example.org.crt")
    machine.run(f"{ctl} loop show slow", check=False)
    servers.wait_for(
        lambda: machine.run("test -s /var/lib/certloop/slow/current/"
                            "privkey.pem", check=False).returncode == 0,
        120, "an RSA key, made by a child", 0.3)
    assert "reloaded" in machine.run(f"{ctl} reload").stdout.split()
    machine.run("kill -TERM $(cat /run/certloopd.pid)")
    assert daemon.wait(60) == 0, machine.said()


def test_the_sandbox_refuses_what_it_does_not_know(tmp_path):
    unit = tmp_path / "x.service"
    source = (manual.ROOT / "contrib/systemd/certloopd.service.in"
              ).read_text()
    unit.write_text(source.replace("[Install]", "IPAddressDeny=any\n"
                                   "[Install]"))
    assert shutil.which("systemd-analyze")
    done = subprocess.run(
        ["/usr/bin/python3", "-P", str(LIB / "sandbox.py"), "filter",
         str(unit), "--", "/bin/true"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "not applied: ['IPAddressDeny']" in done.stderr
