# SPDX-License-Identifier: ISC
"""What systemd would do to a service, done by hand where it does not run: a
unit's restrictions as namespaces, rlimits, capabilities and a system-call
filter. As root:

    sandbox.py run UNIT             ExecStart, restricted
    sandbox.py filter UNIT -- ...   the last step, as the unit's user

A restriction that is not known here is an error: a unit cannot promise what
is not tried. RestrictRealtime, ProtectClock, ProtectHostname and
ProtectKernelLogs are kept by the missing capabilities and by the filter.
"""

import ctypes
import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

BY_OTHERS = {   # what these restrict is tried by the test all the same
    "RestrictRealtime", "ProtectClock", "ProtectHostname",
    "ProtectKernelLogs", "RemoveIPC"}
NOT_RESTRICTIONS = {
    "Type", "NotifyAccess", "ExecReload", "Restart", "TimeoutStopSec",
    "KillMode", "RuntimeDirectoryPreserve", "StateDirectoryMode"}

CLONE_NEWNS = 0x00020000
NAMESPACES = {"mnt": CLONE_NEWNS, "cgroup": 0x02000000, "uts": 0x04000000,
              "ipc": 0x08000000, "user": 0x10000000, "pid": 0x20000000,
              "net": 0x40000000}


def read(unit):
    """{option: [values in order]} of the section Service."""
    found, section = {}, None
    for line in Path(unit).read_text().splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line and line[0] not in "#;":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


class Service:
    def __init__(self, unit):
        self.options = read(unit)
        self.used = set()

    def get(self, name, default=None):
        self.used.add(name)
        return self.options.get(name, [default])[-1]

    def on(self, name):
        return self.get(name) == "yes"

    def check(self):
        """Was each option looked at?"""
        left = (set(self.options) - self.used - BY_OTHERS
                - NOT_RESTRICTIONS)
        assert not left, f"not applied: {sorted(left)}"


def mount(*words):
    subprocess.run(["mount", *words], check=True)


def read_only(place):
    if Path(place).is_dir():
        mount("--bind", place, place)
        mount("-o", "remount,ro,bind", place)


def hide(place):
    if Path(place).is_dir():
        mount("-t", "tmpfs", "-o", "mode=000,ro", "none", place)


def private_devices():
    mount("-t", "tmpfs", "-o", "mode=755,noexec", "none", "/mnt")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        Path("/mnt", name).touch()
        mount("--bind", f"/dev/{name}", f"/mnt/{name}")
    os.symlink("/proc/self/fd", "/mnt/fd")
    Path("/mnt/shm").mkdir()
    mount("-t", "tmpfs", "-o", "mode=1777", "none", "/mnt/shm")
    mount("--rbind", "/mnt", "/dev")


def file_system(s, user, group):
    """In a mount namespace of our own."""
    os.umask(0o022)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    folders = []
    for option, base in (("StateDirectory", "/var/lib"),
                         ("RuntimeDirectory", "/run")):
        for name in s.get(option, "").split():
            path = Path(base, name)
            mode = s.get(option + "Mode", "0755")
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(int(mode, 8))
            os.chown(path, user, group)
            folders.append(str(path))
    if s.on("PrivateDevices"):
        private_devices()
    if s.on("ProtectHome"):
        for place in ("/home", "/root", "/run/user"):
            hide(place)
    if s.on("ProtectKernelModules"):
        hide("/usr/lib/modules")
    assert s.get("ProtectSystem") == "strict"
    for place in folders:       # stay writable: mounts of their own
        mount("--bind", place, place)
    lines = [line.split()[4] for line in
             Path("/proc/self/mountinfo").read_text().splitlines()]
    for place in dict.fromkeys(lines):
        if place.split("/")[1] not in ("dev", "proc", "sys") and \
                place not in folders and not place.startswith("/mnt"):
            subprocess.run(["mount", "-o", "remount,ro,bind", place],
                           stderr=subprocess.DEVNULL)
    assert os.statvfs("/").f_flag & os.ST_RDONLY
    if s.on("PrivateTmp"):
        for place in ("/tmp", "/var/tmp"):
            mount("-t", "tmpfs", "-o", "mode=1777", "none", place)
    if s.on("ProtectControlGroups"):
        read_only("/sys/fs/cgroup")
    if s.get("ProtectProc") == "invisible":
        assert s.get("ProcSubset") == "pid"
        mount("-t", "proc", "-o", "hidepid=invisible,subset=pid", "proc",
              "/proc")
    assert s.on("ProtectKernelTunables")
    subprocess.run(["mount", "-o", "remount,ro,bind", "/sys"],
                   stderr=subprocess.DEVNULL)


def run(unit):
    import grp
    import pwd
    s = Service(unit)
    user = pwd.getpwnam(s.get("User")).pw_uid
    group = grp.getgrnam(s.get("Group")).gr_gid
    os.unshare(CLONE_NEWNS) if hasattr(os, "unshare") else libc().unshare(
        CLONE_NEWNS)
    file_system(s, user, group)
    files = int(s.get("LimitNOFILE"))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most != resource.RLIM_INFINITY:
        files = min(files, most)    # not ours to raise in every container
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    os.umask(int(s.get("UMask"), 8))
    bound = s.get("CapabilityBoundingSet").lower().removeprefix("cap_")
    ambient = s.get("AmbientCapabilities").lower().removeprefix("cap_")
    assert s.on("NoNewPrivileges")
    words = ["setpriv", f"--reuid={user}", f"--regid={group}",
             "--clear-groups", "--no-new-privs",
             f"--bounding-set=-all,+{bound}",
             f"--inh-caps=-all,+{ambient}", f"--ambient-caps=-all,+{ambient}",
             sys.executable, "-P", __file__, "filter", unit, "--",
             *s.get("ExecStart").split()]
    os.chdir("/")
    os.execvp(words[0], words)


def libc():
    return ctypes.CDLL(None, use_errno=True)


def members(name):
    """The system calls of a set of systemd's."""
    said = subprocess.run(["systemd-analyze", "syscall-filter", name],
                          check=True, capture_output=True, text=True).stdout
    for line in said.splitlines()[1:]:
        word = line.split("#")[0].strip()
        if word.startswith("@"):
            yield from members(word)
        elif word:
            yield word


def allowed(lines):
    calls = set()
    for line in lines:
        for word in line.removeprefix("~").split():
            names = set(members(word)) if word[0] == "@" else {word}
            calls = calls - names if line[0] == "~" else calls | names
    return calls | set(members("@default"))


def load_filter(s):
    """The unit's filter. What is refused by its arguments goes first into a
    rule of its own, so such a call is allowed by its other arguments only."""
    import seccomp as sc
    refuse = sc.ERRNO(errno.EPERM)
    assert s.get("SystemCallErrorNumber") == "EPERM"
    assert s.get("SystemCallArchitectures") == "native"
    f = sc.SyscallFilter(refuse)
    f.set_attr(sc.Attr.ACT_BADARCH, sc.KILL_PROCESS)
    s.used.add("SystemCallFilter")
    calls = allowed(s.options["SystemCallFilter"])
    rules = {}
    if s.on("MemoryDenyWriteExecute"):
        # a mapping is never both; what was not executable never becomes so
        rules["mmap"] = [[sc.Arg(2, sc.MASKED_EQ, 6, v)] for v in (0, 2, 4)]
        for name in ("mprotect", "pkey_mprotect"):
            rules[name] = [[sc.Arg(2, sc.MASKED_EQ, 4, 0)]]
        rules["shmat"] = [[sc.Arg(2, sc.MASKED_EQ, 0o100000, 0)]]
    if "RestrictAddressFamilies" in s.options:
        import socket
        names = s.get("RestrictAddressFamilies").split()
        rules["socket"] = [[sc.Arg(0, sc.EQ, int(getattr(socket, n)))]
                           for n in names]
    if s.on("RestrictNamespaces"):
        flags = 0
        for flag in NAMESPACES.values():
            flags |= flag
        rules["clone"] = [[sc.Arg(0, sc.MASKED_EQ, flags, 0)]]
        calls -= {"clone3", "unshare", "setns"}
    if s.on("RestrictSUIDSGID"):
        bits = 0o6000
        for name, arg in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2),
                          ("mkdir", 1), ("mkdirat", 2), ("mknod", 1),
                          ("mknodat", 2)):
            rules[name] = [[sc.Arg(arg, sc.MASKED_EQ, bits, 0)]]
    if s.on("LockPersonality"):
        rules["personality"] = [[sc.Arg(0, sc.EQ, v)] for v in
                                (0, 0xffffffff)]
    if s.on("RestrictRealtime"):
        rules["sched_setscheduler"] = [[sc.Arg(1, sc.EQ, v)] for v in
                                       (0, 3, 5)]
    for call in sorted(calls):
        try:
            for arguments in rules.get(call, [[]]):
                f.add_rule(sc.ALLOW, call, *arguments)
        except (OSError, ValueError, RuntimeError):
            pass        # a call of another architecture
    # the C library falls back to clone()
    f.add_rule(sc.ERRNO(errno.ENOSYS), "clone3")
    f.load()


def main():
    if sys.argv[1] == "run":
        run(sys.argv[2])
    s = Service(sys.argv[2])
    for name in ("StateDirectory", "RuntimeDirectory", "PrivateDevices",
                 "ProtectHome", "ProtectSystem", "PrivateTmp", "ProtectProc",
                 "ProcSubset", "ProtectControlGroups", "UMask", "User",
                 "ProtectKernelTunables", "ProtectKernelModules", "Group",
                 "LimitNOFILE", "CapabilityBoundingSet", "ExecStart",
                 "AmbientCapabilities", "NoNewPrivileges"):
        s.get(name)     # by run()
    load_filter(s)
    s.check()
    command = sys.argv[sys.argv.index("--") + 1:]
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
