# SPDX-License-Identifier: ISC
"""Where the processor time of an issuance goes: samples of certloopd while it
issues, sorted into kinds of work. Needs perf (linux-perf) and the right to use
it."""

import collections
import os
import re
import shutil
import subprocess

import table

RATE = 2000     # samples a second of processor time

# In the order of the table.
KINDS = ["signatures and digests", "TLS", "sockets and epoll", "files",
         "SQLite", "libpq", "libc", "JSON, HTTP, events", "certloopd itself",
         "kernel, other"]
OURS, KERNEL = KINDS[-2:]

LIBRARIES = [("libsqlite3", "SQLite"), ("libpq", "libpq"), ("libc.", "libc"),
             ("libm.", "libc"), ("[vdso]", "libc"), ("ld-linux", "libc"),
             ("libyajl", "JSON, HTTP, events"),
             ("libhttp_parser", "JSON, HTTP, events"),
             ("libevent", "JSON, HTTP, events")]

# What in the chain of callers of a kernel sample tells its kind, first match.
SYSTEM = [(re.compile(r"p(read|write)64|fdatasync|fsync|ftruncate|ext4_|jbd2|"
                      r"xfs_|btrfs_|shmem_|do_fcntl|blk_"), "files"),
          (re.compile(r"tcp_|sock|epoll|sys_poll|sendmsg|recvfrom|recvmsg|"
                      r"net_rx|unix_stream"), "sockets and epoll")]
CIPHERS = re.compile(r"aes|gcm|ghash|chacha|poly1305|x25519|tls|ssl|aead",
                     re.IGNORECASE)


def symbols_of(library):
    """The functions in a static library."""
    done = subprocess.run(["nm", str(library)], capture_output=True, text=True)
    return {line.split()[-1] for line in done.stdout.splitlines()
            if re.search(r" [tTwW] \S+$", line)}


def libraries_of(build):
    """(functions of libssl, functions of libcrypto) of a build."""
    text = (build / "Makefile").read_text()
    found = re.search(r"(?m)^BORINGSSL_LIBS = (\S+) (\S+)", text)
    return tuple(map(symbols_of, found.groups()))


class Sorter:
    def __init__(self, build):
        self.ssl, self.crypto = libraries_of(build)

    def of_program(self, name):
        if name in self.ssl or name.startswith("bssl::"):
            return "TLS"
        if name in self.crypto or name.startswith(("ecp_", "__ecp_")):
            return "TLS" if CIPHERS.search(name) else KINDS[0]
        return OURS

    def kind(self, frames):
        """frames: (function, object), the innermost first."""
        name, place = frames[0]
        if "kernel" in place or place.startswith("["):
            if place == "[vdso]":
                return "libc"
            chain = " ".join(name for name, where in frames
                             if "kernel" in where)
            for pattern, kind in SYSTEM:
                if pattern.search(chain):
                    return kind
            return KERNEL
        base = os.path.basename(place)
        for start, kind in LIBRARIES:
            if base.startswith(start):
                return kind
        return self.of_program(name)


def read_samples(file, sorter):
    """Counts of samples by kind."""
    done = subprocess.run(
        ["perf", "script", "-i", str(file), "-F", "ip,sym,dso"],
        capture_output=True, text=True)
    counts = collections.Counter()
    for block in done.stdout.split("\n\n"):
        frames = re.findall(r"(?m)^\s*[0-9a-f]+ (.*) \(([^()]*)\)$", block)
        if frames:
            counts[sorter.kind([(name.split("+")[0], place)
                                for name, place in frames])] += 1
    return counts


def can_record(directory):
    if shutil.which("perf") is None:
        return False
    return subprocess.run(
        ["perf", "record", "-q", "-g", "-o", str(directory / "perf.try"),
         "true"], capture_output=True).returncode == 0


def run(bench, orders):
    if not can_record(bench.directory):
        print("\nno perf, or no right to use it: no profile", file=bench.out)
        return
    sorter = Sorter(bench.build)
    for store in (None, bench.postgres.new_store()):
        name = store.engine if store else "sqlite"
        with bench.certloopd(store, f"profile-{name}") as server:
            url = f"{server.profile_url()}/directory"
            load = ["-n", orders, "-c", 32]
            bench.load(url, server.root, server.pid, *load)  # to warm up
            file = bench.directory / f"perf.{name}"
            perf = subprocess.Popen(
                ["perf", "record", "-q", "-g", "-F", str(RATE), "-p",
                 str(server.pid), "-o", str(file)],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                report = bench.load(url, server.root, server.pid, *load)
            finally:
                perf.terminate()
                perf.wait()
            bench.profile[name] = (report, read_samples(file, sorter))


def write(bench):
    def us(name, kind):
        report, counts = bench.profile[name]
        return report["server"]["cpu_us"] * counts[kind] / counts.total()

    names = list(bench.profile)
    rows = [[kind, *[table.number(us(name, kind)) for name in names]]
            for kind in KINDS]
    rows.append(["all of it", *[
        table.number(bench.profile[name][0]["server"]["cpu_us"])
        for name in names]])
    rows.append(["samples", *[str(bench.profile[name][1].total())
                              for name in names]])
    print("\nProcessor time of an issuance by what it is spent on, in us "
          "(with perf beside it)", file=bench.out)
    table.write_rows(bench.out, ["", *names], rows)
