# SPDX-License-Identifier: ISC
"""A machine of the test's own, for what the manual says as it stands there:
in namespaces of mounts, processes and networks, with copies of /etc and /var
that may be written, port 80 and 443, and names that a name server of its own
answers. There is no systemd: `systemctl` and Apache's a2en* are stand-ins.

A second network, "ca", is where certloopd has port 443 for itself:

    the clients, 10.9.8.20  ----  certloopd, 10.9.8.10 (acme.example.org)

All of it ends with its first process. It takes root, and a kernel that lets
root make namespaces: make() says why where there is none.
"""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import servers

HERE, CA = "10.9.8.20", "10.9.8.10"
COPIED = ("/etc", "/var", "/usr", "/root", "/srv")

SETUP = """
set -e
# nothing of the real machine can be written, but /tmp and the test's folder
mount --bind /tmp /tmp
mount --bind {outer} {outer}
mount -o remount,ro,bind /
mount -t tmpfs -o mode=755 none {folder}
for place in {copied}; do
    [ -d $place ] || continue
    mkdir -p {folder}/upper$place {folder}/work$place
    mount -t overlay overlay -o \
lowerdir=$place,upperdir={folder}/upper$place,workdir={folder}/work$place \
$place
done
mount -t tmpfs -o mode=755 none /run
mkdir -p /run/netns /run/lock /run/stand-in
ip netns add ca
ip link add host0 type veth peer name ca0 netns ca
ip link set lo up
ip addr add {here}/24 dev host0
ip link set host0 up
ip -n ca link set lo up
ip -n ca addr add {ca}/24 dev ca0
ip -n ca link set ca0 up
printf 'nameserver {here}\\n' >/run/resolv.conf
rm -f /etc/resolv.conf
cp /run/resolv.conf /etc/resolv.conf
printf '127.0.0.1 localhost\\n' >/etc/hosts
rm -rf /etc/nginx/sites-enabled/* /etc/nginx/conf.d/*
cp -r {stands}/. /usr/local/bin/
"""

# What systemd and Debian's units would do.
SYSTEMCTL = r"""#!/bin/sh
# stand-in: systemctl ACTION SERVICE
pid=/run/stand-in/$2.pid
is_up() {
    [ -f "$pid" ] && grep -q '^State:.[^Z]' "/proc/$(cat "$pid")/status" \
        2>/dev/null
}
begin() {
    "$@" >>/var/log/stand-in.log 2>&1 </dev/null &
    echo $! >"$pid"
}
end() {
    is_up || return 0
    kill "$(cat "$pid")"
    while is_up; do sleep 0.1; done
}
case "$1 $2" in
"stop "*) end ;;
*"start certloopd")
    end
    begin certloopd -c /etc/certloop/certloop.conf ;;
*" nginx")
    nginx -q -t || exit 1
    if is_up; then nginx -s reload; else begin nginx -g 'daemon off;'; fi ;;
*" caddy")
    export HOME=/var/lib/caddy
    if is_up; then caddy reload --config /etc/caddy/Caddyfile
    else begin caddy run --config /etc/caddy/Caddyfile; fi ;;
*" apache2")
    if is_up; then kill -USR1 "$(cat "$pid")"
    else begin apache2 -f /etc/apache2/apache2.conf -D FOREGROUND; fi ;;
*) echo "systemctl: no stand-in for $*" >&2; exit 1 ;;
esac
"""

A2ENCONF = """#!/bin/sh
mkdir -p /etc/apache2/conf-enabled
for name; do
    ln -sf ../conf-available/$name.conf /etc/apache2/conf-enabled/
done
"""

A2ENMOD = """#!/bin/sh
for name; do
    printf 'LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\\n' \
        $name $name
done >>/etc/apache2/modules.conf
"""

APACHE = """
ServerRoot /etc/apache2
ServerName localhost
PidFile /run/apache2.pid
ErrorLog /var/log/stand-in-apache.log
LogLevel warn md:info
User www-data
Group www-data
Listen 80
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule socache_shmcb_module /usr/lib/apache2/modules/mod_socache_shmcb.so
Include /etc/apache2/modules.conf
Listen 443
MDInitialDelay 0s
MDRetryDelay 1s
IncludeOptional /etc/apache2/conf-enabled/*.conf
"""

NAMES = """
import sys, threading
sys.path.insert(0, {lib!r})
import challenges
server = challenges.Dns({folder!r}, {here!r}, host={here!r}, port=53)
server.set("acme.example.org", "A", {ca!r})
print("ready", flush=True)
threading.Event().wait()
"""


class Machine:
    """run() and start() are in the network of the clients unless net says
    "ca". folder: where its files lie, which is seen from outside empty."""

    def __init__(self, folder, build):
        self.folder = Path(folder)
        self.build = Path(build)
        self.folder.mkdir(parents=True, exist_ok=True)
        stands = self.folder.with_name(self.folder.name + "-bin")
        stands.mkdir()
        for name, text in (("systemctl", SYSTEMCTL), ("a2enmod", A2ENMOD),
                           ("a2enconf", A2ENCONF)):
            (stands / name).write_text(text)
            (stands / name).chmod(0o755)
        self.log = open(stands / "log", "a+b")
        self.first = subprocess.Popen(
            [*servers.WITH_US, "unshare", "--mount", "--pid", "--net",
             "--fork", "--kill-child", "--mount-proc", "--propagation",
             "private", "sh", "-c",
             SETUP.format(folder=self.folder, outer=self.folder.parent,
                          copied=" ".join(COPIED), here=HERE, ca=CA,
                          stands=stands)
             + "\necho made\nexec sleep infinity"],
            stdout=subprocess.PIPE, stderr=self.log,
            stdin=subprocess.DEVNULL)
        said = self.first.stdout.readline()
        if said != b"made\n":
            self.remove()
            raise OSError("no namespaces: " + self.said())
        # the first process is unshare's child
        [self.pid] = servers.children(self.first.pid)[:1]
        self.env = {
            "PATH": f"{self.build}:/usr/local/sbin:/usr/local/bin:"
                    "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root", "LANG": "C.UTF-8",
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"}

    def said(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def remove(self):
        self.first.kill()
        self.first.wait()
        self.first.stdout.close()

    def words(self, net=None):
        words = ["nsenter", "--target", str(self.pid), "--mount", "--pid",
                 "--net", "--wd=/root"]
        if net:
            words += ["ip", "netns", "exec", net]
        return words

    def run(self, command, net=None, seconds=300, check=True, cwd="/root"):
        """A command line of a shell, to its end."""
        done = subprocess.run(
            [*self.words(net), "bash", "-c",
             f"cd {cwd}\nset -o pipefail\n{command}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, timeout=seconds, env=self.env)
        assert not servers.SANITIZER.search(done.stderr), done.stderr
        assert not check or done.returncode == 0, \
            f"$ {command}\n{done.stdout}{done.stderr}\n{self.read_log()}"
        return done

    def read_log(self):
        """What its services said."""
        done = subprocess.run(
            [*self.words(), "sh", "-c", "tail -n 30 /var/log/stand-in*.log"],
            capture_output=True, text=True, env=self.env)
        return done.stdout

    def write(self, path, text, mode="644"):
        done = subprocess.run(
            [*self.words(), "sh", "-c", 'mkdir -p "${1%/*}" && cat >"$1" && '
             'chmod "$2" "$1"', "sh", path, mode], input=text, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.env)
        assert done.returncode == 0, done.stdout

    def read(self, path):
        return self.run(f"cat '{path}'").stdout

    def copy(self, source, target):
        """A file, or what is in a folder, from outside. Folders that are
        there keep their modes."""
        source = Path(source)
        names = sorted(p.name for p in source.iterdir()) \
            if source.is_dir() else [source.name]
        base = source if source.is_dir() else source.parent
        tar = subprocess.run(["tar", "-c", "-C", str(base), *names],
                             check=True, stdout=subprocess.PIPE)
        subprocess.run(
            [*self.words(), "sh", "-c", 'mkdir -p "$1" && tar -x '
             '--no-overwrite-dir --no-same-owner -C "$1"', "sh", str(target)],
            input=tar.stdout, check=True, env=self.env)

    def start(self, command, net=None):
        """A process that goes on; it ends with the machine."""
        return subprocess.Popen(
            [*self.words(net), *map(str, command)], stdout=self.log,
            stderr=self.log, stdin=subprocess.DEVNULL, env=self.env)

    def serve_names(self, folder):
        """Every name leads HERE, but for the server's own."""
        lib = str(Path(__file__).resolve().parent)
        self.start([sys.executable, "-P", "-c", textwrap.dedent(NAMES.format(
            lib=lib, folder=str(folder), here=HERE, ca=CA))])
        servers.wait_for(
            lambda: self.run("getent ahostsv4 acme.example.org",
                             check=False).returncode == 0,
            60, "the machine's names", 0.2)


def make(folder, build):
    """(machine, None), or (None, why there is none)."""
    if os.getuid() != 0:
        return None, "only root can make a machine"
    if not shutil.which("ip"):
        return None, "no ip: install iproute2"
    try:
        return Machine(folder, build), None
    except OSError as error:
        return None, str(error)
