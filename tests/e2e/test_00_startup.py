# SPDX-License-Identifier: ISC
"""Starting, refusing to start, reloading and stopping; certloopctl."""

import datetime
import json
import os
import re
import secrets
import signal
import socket
import ssl
import subprocess
import time

import pytest
from cryptography import x509 as cx509
from cryptography.hazmat.primitives import hashes, serialization

import acme
import servers
import web
import x509



def refuses(daemon, *patterns, arguments=None, seconds=30):
    """It does not start: a clear sentence, and a status that is not 0. The
    output."""
    arguments = arguments or ("-c", daemon.file)
    done = daemon.run(*arguments, seconds=seconds)
    assert done.returncode not in (0, None), done.stdout
    assert done.returncode > 0, f"signal {-done.returncode}: {done.stdout}"
    for pattern in patterns:
        assert re.search(pattern, done.stdout), (pattern, done.stdout)
    return done.stdout


def fresh():
    return [f"{secrets.token_hex(6)}.example.org"]


# ---- without a configuration

def lock_name(sock, name):
    """Take a name that only one process can have."""
    try:
        sock.bind("\0" + name)
    except OSError:
        return False
    return True


def test_it_runs_without_a_configuration(build, tmp_path):
    """SQLite and a CA of its own in ./certloop-data, https on loopback, and
    a banner with the directory URL and how to use it."""
    with socket.socket(socket.AF_UNIX) as lock:
        # Its ports are the same for every test run on this machine.
        servers.wait_for(lambda: lock_name(lock, "certloop-port-14000"), 300,
                         "the other test run to leave port 14000")
        daemon = servers.Certloopd(build, tmp_path)
        program = str(daemon.program)
        with open(daemon.logfile, "ab") as log:
            daemon.process = subprocess.Popen(
                [*servers.WITH_US, program], stdout=log, stderr=log,
                cwd=tmp_path, env=daemon.env)
        servers.Certloopd.live.append(daemon)
        try:
            found = daemon.wait_log(r"https://\S+/acme/\S*directory")
            daemon.status_url = "http://127.0.0.1:14001"
            servers.wait_for(daemon.is_ready, what="readiness")
            root = tmp_path / "certloop-data/ca/root.pem"
            assert str(root.relative_to(tmp_path)) in daemon.log()
            client = acme.Client(found.group(0), web.trust(root))
            _, pem, _ = client.obtain(fresh())
            x509.openssl_verify(pem, root, tmp_path)
            private = [p for p in (tmp_path / "certloop-data").rglob("*")
                       if p.is_file() and re.search("key|db$", p.name)]
            assert private
            for path in private:
                assert path.stat().st_mode & 0o077 == 0, path
        finally:
            daemon.remove()


def test_the_data_directory_can_be_used_again(new_server):
    server = new_server().start()
    root = server.root.read_bytes()
    client = server.client()
    client.register()
    server.restart()
    assert server.root.read_bytes() == root
    assert client.register().status == 200


def test_programs_say_their_version_and_usage(new_server):
    server = new_server()
    for options in (["-V"], ["-h"]):
        done = server.run(*options)
        assert done.returncode == 0, done.stdout
        assert "certloopd" in done.stdout
    done = server.run("--no-such-option")
    assert done.returncode not in (0, None)
    assert "usage" in done.stdout.lower()


# ---- configurations that will not do

def edited(server, old, new):
    text = server.config()
    assert old in text
    server.write_config(text.replace(old, new, 1))


def line_of(server, what):
    lines = server.file.read_text().splitlines()
    return [i for i, line in enumerate(lines, 1) if what in line][0]


@pytest.mark.parametrize("old, new, says", [
    ("data_dir", "data_dirr", r"data_dir\b"),
    ("auth_mode = trust_authenticated", "auth_mod = trust_authenticated",
     r"auth_mode"),
    ("auth_mode = trust_authenticated", "auth_mode = trust_autenticated",
     r"trust_authenticated"),
    ("kind = acme", "kind = acmee", r"acme"),
    ("issuer = local", "issuer = loca1", r"local"),
    ("type = local", "type = vaults", r"local"),
    ("open = true", "open = perhaps", r"yes|no|true|false"),
    ("open = true", "lifetime = 5", r"lifetime"),
    ("open = true", "lifetime = 20y", r"lifetime"),
    ("open = true", "max_identifiers = 0", r"max_identifiers.*1"),
    ("open = true", "max_identifiers = many", r"max_identifiers"),
    ("open = true", 'allowed_cidrs = { "192.0.2.0/33" }',
     r"192\.0\.2\.0/33"),
    ("open = true", 'allowed_suffixes = { "exa mple" }', r"exa mple"),
    ("open = true", 'key_types = { "P-255" }', r"ecdsa-p256"),
    ("address = \"127.0.0.1", "address = \"127.0.0.256", r"127\.0\.0\.256"),
    ("public_url = \"https", "public_url = \"ftp", r"https"),
    ("profile default", "profilee default", r"profile"),
    ("kind = status", "kindd = status", r"kind"),
])
def test_a_bad_option_is_named_with_its_line(new_server, old, new, says):
    """FILE:LINE, what is wrong, and what would do."""
    server = new_server()
    edited(server, old, new)
    line = line_of(server, new.splitlines()[0])
    where = re.escape(f"{server.file}:{line}: ")
    output = refuses(server, where, says)
    assert refuses(server, arguments=("-t", "-c", server.file)) == output


def test_an_unknown_option_is_guessed(new_server):
    server = new_server()
    edited(server, "auth_mode", "auht_mode")
    refuses(server, r"(?i)did you mean.*auth_mode")


@pytest.mark.parametrize("text", [
    "data_dir = ", "data_dir = \"x", "profile {", "}", "\0", "a b c",
    "listener x { kind = acme address = \"127.0.0.1:1\"", "data_dir = {",
    "\xff\xfe", "include(\"/nothing\")",
    "listener a { kind = acme }\n",
], ids=repr)
def test_a_file_that_is_no_configuration(new_server, text):
    server = new_server()
    server.file.write_bytes(text.encode("latin-1"))
    refuses(server, re.escape(str(server.file)),
            arguments=("-t", "-c", server.file))


def test_several_mistakes_are_told_at_once(new_server):
    server = new_server()
    text = server.config().replace("auth_mode", "auth_mood")
    server.write_config(text.replace("kind = status", "kind = stats"))
    output = refuses(server)
    assert "auth_mood" in output and "stats" in output


def test_two_profiles_of_one_name(new_server):
    server = new_server()
    server.profiles += server.PROFILES
    server.write_config()
    refuses(server, "default")


def test_a_configuration_that_is_not_there(new_server):
    server = new_server()
    server.file.unlink()
    refuses(server, re.escape(str(server.file)), "(?i)no such file")


# ---- open trust profiles

OPEN_ADDRESS = 'address = "0.0.0.0:'
NOT_LOOPBACK = {
    "public_url": ("public_url = \"https://localhost",
                   "public_url = \"https://ca.example.org"),
    "listener": ('address = "127.0.0.1:', OPEN_ADDRESS),
}


@pytest.mark.parametrize("what", NOT_LOOPBACK)
def test_an_open_trust_profile_is_refused(new_server, what):
    server = new_server(profiles="profile default { issuer = local }")
    edited(server, *NOT_LOOPBACK[what])
    refuses(server, "default", r"\bopen\b", "allowed_suffixes")


def test_an_open_trust_profile_behind_a_proxy_is_refused(new_server):
    server = new_server(
        profiles="profile default { issuer = local }",
        acme_options='proxy = yes trusted_proxies = { "127.0.0.1" }')
    refuses(server, "default", r"\bopen\b")


def test_an_open_trust_profile_on_a_unix_socket_is_refused(
        new_server, tmp_path):
    server = new_server(profiles="profile default { issuer = local }")
    server.extra = ('listener sock { kind = acme address = "unix:'
                    f'{tmp_path}/acme.sock" }}')
    server.write_config()
    refuses(server, "default", r"\bopen\b")


def test_on_loopback_it_needs_no_word(new_server):
    server = new_server(profiles="profile default { issuer = local }")
    server.start()
    server.client().obtain(fresh())


def test_open_means_it_and_warns(new_server):
    server = new_server()
    edited(server, *NOT_LOOPBACK["listener"])
    server.start()
    assert re.search(r"(?i)warn.*open|open.*warn", server.log())


@pytest.mark.parametrize("policy", [
    'allowed_suffixes = { "example.org" }',
    'allowed_cidrs = { "192.0.2.0/24" }'])
def test_a_policy_will_do_as_well(new_server, policy):
    server = new_server(
        profiles=f"profile default {{ issuer = local {policy} }}")
    edited(server, *NOT_LOOPBACK["listener"])
    server.start()


# ---- what it needs is not there

def test_a_busy_port(new_server):
    server = new_server()
    with socket.socket() as busy:
        busy.bind((servers.LOCALHOST, server.port))
        busy.listen()
        refuses(server, f"127.0.0.1:{server.port}",
                "(?i)in use|something else")
    server.start()


def test_a_port_that_is_not_ours(new_server):
    server = new_server()
    edited(server, f'"127.0.0.1:{server.port}"', '"192.0.2.1:14000"')
    edited_text = server.file.read_text()
    server.write_config(edited_text.replace("open = true", "open = yes"))
    refuses(server, r"192\.0\.2\.1:14000", "(?i)cannot assign|not available")


def ca_files(server):
    """Start once so that the CA is made; its private keys."""
    server.start()
    server.stop()
    keys = [p for p in (server.data / "ca").iterdir()
            if b"PRIVATE KEY" in p.read_bytes()]
    assert keys
    return keys


def issuing_key(server):
    """The private key that goes with the issuing certificate: the only one
    that is needed each day."""
    keys = ca_files(server)
    return [k for k in keys if "root" not in k.name][0]


def test_a_key_file_that_others_can_read(new_server):
    server = new_server()
    key = issuing_key(server)
    key.chmod(0o644)
    refuses(server, re.escape(str(key)), "0?644|0?600|permission|readable")
    key.chmod(0o600)
    server.start()


def test_a_key_file_that_is_gone(new_server):
    server = new_server()
    key = issuing_key(server)
    key.rename(key.with_suffix(".away"))
    refuses(server, re.escape(str(key)))
    key.with_suffix(".away").rename(key)
    server.start()


def test_a_key_file_that_is_no_key(new_server):
    server = new_server()
    key = issuing_key(server)
    good = key.read_bytes()
    key.write_bytes(b"hello\n")
    refuses(server, re.escape(str(key)))
    key.write_bytes(x509.key_pem(x509.new_key()))
    refuses(server, re.escape(str(key)), "(?i)match|belong|fit")
    key.write_bytes(good)
    server.start()


def let_others_through(path):
    """Folders of temporary files are closed to other users."""
    for parent in path.parents:
        if parent.stat().st_mode & 0o005 != 0o005:
            parent.chmod(0o755)


@pytest.mark.skipif(os.getuid() != 0, reason="needs another user")
def test_a_key_file_that_cannot_be_read(new_server):
    """Run as nobody, to whom all belongs but the key."""
    server = new_server()
    key = issuing_key(server)
    for path in [server.directory, *server.directory.rglob("*")]:
        os.chown(path, 65534, 65534)
    let_others_through(server.directory)
    os.chown(key, 0, 0)
    server.wrapper = ["setpriv", "--reuid", "65534", "--clear-groups"]
    refuses(server, re.escape(str(key)), "(?i)permission denied|owned")


def test_a_database_that_is_not_there(new_server, tmp_path):
    nowhere = servers.SqliteStore(tmp_path / "nowhere/certloop.db")
    server = new_server(store=nowhere)
    refuses(server, re.escape(str(tmp_path / "nowhere")))


def test_a_database_that_is_none(new_server):
    server = new_server()
    server.store.path.write_bytes(b"hello, this is no database\n" * 100)
    server.store.path.chmod(0o600)
    refuses(server, re.escape(str(server.store.path)), "(?i)not a database")


def pg_server(new_server, tmp_path, url):
    store = servers.SqliteStore(tmp_path / "unused")
    store.url, store.engine = url, "postgres"
    server = new_server(store=store)
    server.init_ca()
    return server


def test_a_postgres_that_is_not_there(new_server, tmp_path):
    url = f"postgresql://certloop@/certloop?host={tmp_path}"
    server = pg_server(new_server, tmp_path, url)
    refuses(server, re.escape(str(tmp_path)), "(?i)no such file|connect")


def test_a_postgres_port_where_nobody_listens(new_server, tmp_path):
    port = servers.free_port()
    server = pg_server(
        new_server, tmp_path,
        f"postgresql://certloop@127.0.0.1:{port}/certloop")
    refuses(server, str(port), "(?i)refused|connect")


def test_a_password_of_the_database_is_not_shown(new_server, tmp_path):
    port = servers.free_port()
    server = pg_server(
        new_server, tmp_path,
        f"postgresql://certloop:hunter2@127.0.0.1:{port}/certloop")
    assert "hunter2" not in refuses(server)


def test_a_postgres_database_that_does_not_exist(new_server, cluster):
    store = cluster.new_store()
    store.url = cluster.url("no_such_database")
    server = new_server(store=store)
    server.init_ca()
    refuses(server, "no_such_database")


def test_a_postgres_without_a_ca_says_how_to_make_one(new_server):
    server = new_server("postgres")
    refuses(server, "--init-ca")


def test_init_ca_makes_a_folder_of_its_own(new_server, tmp_path):
    """It comes whole, by its name; behind a link it could not."""
    server = new_server()
    there = tmp_path / "elsewhere"
    there.mkdir()
    (server.data / "ca").symlink_to(there)
    done = server.run("-c", server.file, "--init-ca")
    assert done.returncode != 0
    assert "symbolic link or a mount point" in done.stdout
    assert list(there.iterdir()) == []
    assert not (server.data / "ca.new").exists()
    (server.data / "ca").unlink()
    (server.data / "ca").mkdir()    # an empty one is as good as none
    server.init_ca()
    assert (server.data / "ca" / "root.key").exists()


def test_init_ca_makes_no_second_one(new_server):
    server = new_server("postgres")
    server.init_ca()
    root = server.root.read_bytes()
    done = server.run("-c", server.file, "--init-ca")
    assert done.returncode != 0, done.stdout
    assert server.root.read_bytes() == root


def test_a_replica_with_another_ca_key_is_refused(new_server):
    one = new_server("postgres").start()
    other = new_server(store=one.store, top="replicas = yes")
    other.init_ca()
    one.stop()
    refuses(other, "(?i)key")


def test_a_schema_that_is_too_new(new_server, engine):
    server = new_server(engine).start()
    server.stop()
    # As a later release would, with a migration that ours cannot live with.
    server.store.execute(
        "INSERT INTO schema_versions (version, oldest, name, applied)"
        " SELECT max(version) + 1, max(version) + 1, 'later', 0"
        " FROM schema_versions")
    refuses(server, "(?i)schema.*(newer|too new|too old)")


def test_a_schema_that_is_newer_but_tolerates_us(new_server, engine):
    server = new_server(engine).start()
    server.stop()
    server.store.execute(
        "INSERT INTO schema_versions (version, oldest, name, applied)"
        " SELECT max(version) + 1, 1, 'later', 0 FROM schema_versions")
    server.start()
    server.client().obtain(fresh())


def test_a_clock_before_2020(new_server):
    server = new_server(
        wrapper=["faketime", "-f", "@2019-06-01 00:00:00"],
        environment={"ASAN_OPTIONS":
                     "verify_asan_link_order=0:detect_leaks=0"})
    refuses(server, "(?i)clock.*2020")


def test_a_second_process_on_the_same_store(new_server, engine):
    first = new_server(engine).start()
    second = new_server(engine, store=first.store)
    if engine == "postgres":
        subprocess.run(["cp", "-a", first.data / "ca", second.data],
                       check=True)
    refuses(second, "(?i)another", seconds=60)
    first.client().obtain(fresh())


HIDDEN = ("unshare", "--mount", "--propagation", "private", "sh", "-c",
          'mount -t tmpfs none /proc/sys && exec "$@"', "sh")


@pytest.mark.skipif(subprocess.run([*HIDDEN, "true"],
                                   capture_output=True).returncode != 0,
                    reason="no namespaces")
def test_a_holder_elsewhere_is_no_dead_process_here(new_server):
    """Where /proc/sys is hidden machines have no name, and all of them have
    the same first namespace: nobody is known to be here then."""
    server = new_server("postgres", wrapper=HIDDEN).start()
    server.stop()
    [[holder]] = server.store.query(
        "SELECT holder FROM leases WHERE name = 'process'")
    machine, pid, start = holder.split("/")
    boot, plus, namespace = machine.partition("+")
    assert boot and plus and namespace and pid and start
    begin = time.monotonic()
    server.store.execute(
        f"UPDATE leases SET holder = '+{namespace}/{pid}/{start}', "
        "until = now_us() + 6000000 WHERE name = 'process'")
    server.start()
    assert time.monotonic() - begin > 5


def test_a_second_process_in_the_same_data_directory(new_server):
    first = new_server().start()
    second = new_server(store=first.store)
    second.data = first.data
    second.write_config()
    refuses(second)
    assert first.ctl("status").returncode == 0


# ---- reload

def own_certificate(folder, name, cn):
    """A self-signed server certificate; its two files and its DER."""
    key = x509.new_key()
    subject = cx509.Name([cx509.NameAttribute(cx509.NameOID.COMMON_NAME,
                                              cn)])
    now = datetime.datetime.utcnow()
    certificate = (
        cx509.CertificateBuilder().subject_name(subject)
        .issuer_name(subject).public_key(key.public_key())
        .serial_number(cx509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(cx509.SubjectAlternativeName(
            [cx509.DNSName("localhost")]), False)
        .sign(key, hashes.SHA256()))
    chain, private = folder / f"{name}.pem", folder / f"{name}.key"
    private.touch(0o600)
    private.write_bytes(x509.key_pem(key))
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return chain, private, x509.der(certificate)


def served(server):
    """The certificate of a fresh handshake, in DER."""
    pem = ssl.get_server_certificate((servers.LOCALHOST, server.port))
    return ssl.PEM_cert_to_DER_cert(pem)


def test_sighup_swaps_the_certificate_under_open_connections(
        new_server, tmp_path):
    chain, private, first = own_certificate(tmp_path, "tls", "one")
    server = new_server(
        acme_options=f'certificate = "{chain}" key = "{private}"').start()
    assert served(server) == first
    client = server.client(tls=web.trust(chain))
    client.register()
    kept = client.http.open
    _, _, second = own_certificate(tmp_path, "tls", "two")
    assert served(server) == first
    server.hup()
    servers.wait_for(lambda: served(server) == second, 10,
                     "the new certificate")
    before = dict(kept)
    client.obtain(fresh())
    assert dict(kept) == before     # the old connection lived on


def test_sighup_takes_over_what_can_be(new_server):
    server = new_server().start()
    client = server.client()
    client.register()
    assert client.order(["one.example.com"]).status == "ready"
    edited(server, "open = true", 'allowed_suffixes = { "example.org" }')
    offset = server.log_size()
    server.hup()
    server.wait_log(r"(?i)(reload|configuration)", offset)
    servers.wait_for(
        lambda: client.send(client.directory["newOrder"], {
            "identifiers": [acme.dns("two.example.com")]}
        ).problem == "rejectedIdentifier", 10, "the new policy")
    assert client.order(["two.example.org"]).status == "ready"
    assert server.metrics()["certloop_config_reloads_total"] >= 1


def test_sighup_with_a_bad_file_changes_nothing_and_says_why(new_server):
    server = new_server().start()
    client = server.client()
    client.register()
    edited(server, "auth_mode", "auht_mode")
    line = line_of(server, "auht_mode")
    offset = server.log_size()
    server.hup()
    server.wait_log(re.escape(f"{server.file}:{line}: "), offset)
    client.obtain(fresh())
    metrics = server.metrics()
    assert metrics["certloop_config_reload_failures_total"] == 1
    server.write_config()
    server.hup()
    servers.wait_for(
        lambda: server.metrics()["certloop_config_reloads_total"] == 1, 10,
        "the good file to be taken")


def test_sighup_with_a_bad_key_file_keeps_the_old_one(new_server, tmp_path):
    chain, private, first = own_certificate(tmp_path, "tls", "one")
    server = new_server(
        acme_options=f'certificate = "{chain}" key = "{private}"').start()
    private.write_bytes(x509.key_pem(x509.new_key()))
    offset = server.log_size()
    server.hup()
    server.wait_log(re.escape(str(private)) + "|" + re.escape(str(chain)),
                    offset)
    assert served(server) == first


# ---- the end

def test_sigterm_lets_a_request_finish(new_server):
    """One that has begun is answered; what listens is closed first."""
    server = new_server().start()
    client = server.client()
    client.register()
    body = client.sign(client.directory["newOrder"], {
        "identifiers": [acme.dns(fresh()[0])]})
    context = ssl.create_default_context(cafile=str(server.root))
    sock = context.wrap_socket(
        socket.create_connection((servers.LOCALHOST, server.port), 10),
        server_hostname="localhost")
    sock.sendall(b"POST /acme/profile/default/new-order HTTP/1.1\r\n"
                 b"Host: localhost\r\nContent-Type: application/jose+json\r\n"
                 b"Content-Length: %d\r\n\r\n%s" % (len(body), body[:50]))
    servers.wait_for(lambda: server.connections() >= 2, 5, "the connection")
    server.process.send_signal(signal.SIGTERM)

    def closed():
        with socket.socket() as s:
            return s.connect_ex((servers.LOCALHOST, server.port)) != 0
    servers.wait_for(closed, 10, "the listener to close")
    assert server.process.poll() is None
    sock.sendall(body[50:])
    answer = b""
    while chunk := sock.recv(65536):
        answer += chunk
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert b"connection: close" in answer.lower()
    assert server.wait_end() == 0


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_idle_server_at_once(new_server, engine, which):
    server = new_server(engine).start()
    client = server.client()
    client.register()           # leaves a kept-alive connection behind
    server.process.send_signal(which)
    assert server.wait_end(10) == 0


def test_shutdown_does_not_wait_for_ever(new_server):
    server = new_server(top="shutdown_timeout = 1s").start()
    context = ssl.create_default_context(cafile=str(server.root))
    sock = context.wrap_socket(
        socket.create_connection((servers.LOCALHOST, server.port), 10),
        server_hostname="localhost")
    sock.sendall(b"POST /acme/new-order HTTP/1.1\r\nHost: localhost\r\n"
                 b"Content-Length: 100\r\n\r\nslow")
    servers.wait_for(lambda: server.connections() >= 1, 5, "the connection")
    server.process.send_signal(signal.SIGTERM)
    assert server.wait_end(10) == 0
    sock.close()


# ---- certloopctl

def test_status_tells_how_the_daemon_is(new_server, engine):
    server = new_server(engine).start()
    done = server.ctl("status")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert {"sqlite": "sqlite", "postgres": "postgresql"}[engine] in (
        done.stdout.lower())
    assert str(server.pid) in done.stdout
    done = server.ctl("--json", "status")
    if done.returncode == 0:
        assert isinstance(json.loads(done.stdout), dict)


def test_status_without_a_daemon(new_server):
    server = new_server()
    done = server.ctl("status")
    assert done.returncode > 0
    assert "admin.sock" in done.stderr


def test_a_good_file_passes_the_check(new_server):
    server = new_server()
    done = server.run("-t", "-c", server.file)
    assert done.returncode == 0, done.stdout
    assert not server.store.path.exists()


def test_config_check_asks_the_daemon(new_server, tmp_path):
    server = new_server().start()
    for words in ([], [server.file]):
        done = server.ctl("config", "check", *words)
        assert done.returncode == 0, done.stdout + done.stderr
    bad = tmp_path / "bad.conf"
    bad.write_text(server.config().replace("auth_mode", "auht_mode"))
    line = [i for i, text in enumerate(bad.read_text().splitlines(), 1)
            if "auht_mode" in text][0]
    done = server.ctl("config", "check", bad)
    assert done.returncode > 0
    assert f"{bad}:{line}: " in done.stdout + done.stderr
    done = server.ctl("config", "check", tmp_path / "nowhere")
    assert done.returncode > 0
    assert "nowhere" in done.stderr
    server.client().obtain(fresh())


def test_config_show_loads_again(new_server, tmp_path):
    server = new_server().start()
    done = server.ctl("config", "show")
    assert done.returncode == 0, done.stderr
    again = tmp_path / "again.conf"
    again.write_text(done.stdout)
    checked = server.ctl("config", "check", again)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert str(server.port) in done.stdout


def test_reload_by_certloopctl(new_server):
    server = new_server().start()
    client = server.client()
    client.register()
    edited(server, "open = true", 'allowed_suffixes = { "example.org" }')
    done = server.ctl("reload")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "allowed_suffixes" in done.stdout
    response = client.send(client.directory["newOrder"], {
        "identifiers": [acme.dns("two.example.com")]})
    assert response.problem == "rejectedIdentifier"
    server.write_config("nonsense = 1\n")
    done = server.ctl("reload")
    assert done.returncode > 0
    assert "nonsense" in done.stdout + done.stderr
    client.order(["two.example.org"])


def test_a_reload_that_needs_a_restart_changes_nothing(new_server):
    server = new_server().start()
    client = server.client()
    client.register()
    server.write_config(server.config().replace(
        "open = true", 'allowed_suffixes = { "example.org" }').replace(
        f"127.0.0.1:{server.status_port}", "127.0.0.1:1"))
    done = server.ctl("reload")
    assert done.returncode > 0
    assert "address" in done.stdout + done.stderr
    assert client.order(["two.example.com"]).status == "ready"


@pytest.mark.parametrize("words", [
    [], ["nothing"], ["config"], ["config", "nothing"], ["status", "more"],
    ["--no-such-option"]])
def test_certloopctl_says_how_to_use_it(new_server, words):
    server = new_server()
    done = subprocess.run([server.build / "certloopctl", *words],
                          capture_output=True, text=True, env=server.env)
    assert done.returncode > 0
    assert re.search("usage|--help", done.stderr)


def test_the_admin_socket_is_for_its_owner(new_server):
    server = new_server().start()
    sockets = [p for p in server.data.rglob("*") if p.is_socket()]
    assert len(sockets) == 1
    assert sockets[0].stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.getuid() != 0, reason="needs another user")
def test_another_user_is_refused_by_the_admin_socket(new_server):
    server = new_server().start()
    admin = [p for p in server.data.rglob("*") if p.is_socket()][0]
    let_others_through(admin)
    script = (
        "import socket,sys\ns=socket.socket(socket.AF_UNIX)\n"
        "s.connect(sys.argv[1])\n"
        "s.sendall(b'GET /api/v1/status HTTP/1.1\\r\\nHost: x\\r\\n"
        "Connection: close\\r\\n\\r\\n')\n"
        "d=b''\nwhile True:\n c=s.recv(65536)\n if not c: break\n d+=c\n"
        "print(d.decode())\n")
    done = subprocess.run(
        ["setpriv", "--reuid", "65534", "--clear-groups", "/usr/bin/python3",
         "-c", script, str(admin)], capture_output=True, text=True)
    assert not done.stdout.startswith("HTTP/1.1 200"), done.stdout
