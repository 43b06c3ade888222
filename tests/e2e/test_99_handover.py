# SPDX-License-Identifier: ISC
"""The next process takes the place of the one that runs: same listening
sockets, no connection refused or reset; and if it fails, nothing happened."""

import json
import os
import secrets
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

import fleet
import servers
import web
import x509
from servers import wait_for


def fresh():
    return [f"{secrets.token_hex(6)}.example.org"]


def directory_of(server):
    return f"{server.profile_url()}/directory"


@pytest.fixture
def bench(build, tmp_path):
    """bench(server, option...): the load generator, started."""
    made = []

    def start(server, *options):
        out = open(tmp_path / f"load{len(made)}.json", "w+")
        made.append(subprocess.Popen(
            [*servers.WITH_US, str(build / "certloop-bench"), "--json",
             "--ca-file", str(server.root), "--ca-root", str(server.root),
             *map(str, options), directory_of(server)], stdout=out))
        made[-1].out = out
        return made[-1]
    yield start
    for process in made:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.out.close()


def report(process, seconds=240):
    process.wait(seconds)
    process.out.seek(0)
    return json.load(process.out)


KINDS = {
    "sqlite": ("sqlite", ""),
    "postgres alone": ("postgres", ""),
    "postgres replicas": ("postgres", "replicas = true"),
}


@pytest.fixture(params=KINDS)
def kind(request, new_server):
    """A server that hands over in each of the ways there are."""
    engine, top = KINDS[request.param]
    # 200 handshakes at once may take their time
    server = new_server(
        engine, top=top + "\nhttp { header_timeout = 1m }\n")
    if top:
        server.init_ca()
    return server.start()


# ---- it works

def test_hundreds_of_connections_over_three_hand_overs(kind, bench):
    """Every request has its answer at the first try, on whichever process."""
    orders = 4000
    load = bench(kind, "-n", orders, "-c", 200)
    pids = [kind.pid]

    def issued():
        return int(kind.store.query("SELECT count(*) FROM certificates")[0][0])
    wait_for(lambda: issued() > 50, 60, "issuance")
    while load.poll() is None and len(pids) < 4:
        assert kind.take_over(90) == 0
        pids.append(kind.pid)
        before = issued()
        wait_for(lambda: load.poll() is not None or issued() > before + 10,
                 60, "issuance to go on")
    seen = report(load)
    assert (seen["done"], seen["failed"]) == (orders, 0), seen
    assert seen["statuses"] == {"200": 2 * orders, "201": orders}, seen
    assert seen["bad_nonce_retries"] == 0
    assert len(set(pids)) == 4, "the load ended too early"
    assert issued() == orders
    rows = kind.store.query("SELECT action FROM audit")
    assert [r[0] for r in rows].count("take_over") == 3


def is_read(port, from_port):
    """Has the server taken all that came from there off its socket?"""
    ends = [f":{port:04X}", f":{from_port:04X}"]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if [fields[1][8:], fields[2][8:]] == ends:
            return int(fields[4].split(":")[1], 16) == 0
    return False


def test_what_is_under_way_is_finished(kind):
    """Half a request stays with the process that began to read it; a nonce
    of the one before is good with the next."""
    client, other = kind.client(), kind.client()
    client.register()
    names = fresh()
    order = client.order(names)
    other.register()
    old = kind.process
    raw = socket.create_connection((servers.LOCALHOST, kind.port), 20)
    half = ssl.create_default_context(cafile=str(kind.root)).wrap_socket(
        raw, server_hostname="localhost")
    half.sendall(b"GET /acme/directory HTTP/1.1\r\nHost: local")
    wait_for(lambda: is_read(kind.port, half.getsockname()[1]), 20,
             "half a request to be read")
    kind.process = None
    offset = kind.log_size()
    kind.spawn("-c", kind.file, "--take-over")
    kind.wait_log("handed over|closing the store", offset)
    assert old.poll() is None
    half.sendall(b"host\r\n\r\n")
    answer = b""
    while chunk := half.recv(65536):
        answer += chunk
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer.lower()
    assert old.wait(40) == 0
    kind.wait_ready()
    client.finalize(order, x509.make_csr(names, x509.new_key()))
    client.download(order)
    other.obtain(fresh())


def test_unix_sockets_and_their_files_stay(new_server, tmp_path):
    path = tmp_path / "acme.sock"
    server = new_server(extra=f"""
listener local {{
  kind = acme
  address = "unix:{path}"
}}
""").start()
    inode = path.stat().st_ino
    assert server.take_over() == 0
    assert path.stat().st_ino == inode
    server.client(via={f"localhost:{server.port}": str(path)}).obtain(fresh())
    assert json.loads(server.ctl("--json", "status").stdout)[
        "pid"] == server.pid
    server.stop()
    assert not path.exists()
    assert not (server.data / "admin.sock").exists()


def test_listeners_may_come_and_go(new_server):
    one, two = servers.free_port(), servers.free_port()

    def listener(port):
        return (f'listener more {{ kind = status address = '
                f'"{servers.LOCALHOST}:{port}" }}')
    server = new_server(extra=listener(one)).start()
    server.extra = listener(two)
    server.write_config()
    offset = server.log_size()
    assert server.take_over() == 0
    assert "no listener is at the address" in server.log(offset)
    http = web.Web()
    assert http.get(f"http://127.0.0.1:{two}/healthz").status == 200
    with socket.socket() as s:
        assert s.connect_ex((servers.LOCALHOST, one)) != 0


# ---- it fails

def start_next(server):
    """The next process, beside the one that runs: (exit, output)."""
    done = server.run("-c", server.file, "--take-over", seconds=60)
    return done.returncode, done.stdout


def is_served_by(server, pid):
    assert server.process.poll() is None
    server.client().obtain(fresh())
    status = json.loads(server.ctl("--json", "status").stdout)
    return status["pid"] == pid and status["ready"]


def test_without_one_that_runs_there_is_nothing_to_take(new_server):
    server = new_server()
    code, text = start_next(server)
    assert code == 1
    assert "there is no certloopd at" in text


@pytest.mark.parametrize("bad", [
    "adress = 1",                                       # no such option
    'listener x { address = "127.0.0.1:0" tls = yes '   # no such files
    'certificate = { "/nowhere/c.pem" } key = { "/nowhere/k.pem" } }',
    'issuer b { type = local certificate = "/nowhere" key = "/nowhere" }',
])
def test_a_next_one_that_cannot_start_changes_nothing(kind, bad):
    kind.extra = bad
    kind.write_config()
    pid = kind.pid
    offset = kind.log_size()
    http = kind.web()
    url = f"{kind.base}/acme/directory"
    assert http.get(url).status == 200
    code, text = start_next(kind)
    assert code == 3, text
    assert http.get(url).header("Connection") is None
    assert is_served_by(kind, pid)
    assert "closing the store" not in kind.log(offset)
    # and once it is mended it can be taken over
    kind.extra = ""
    kind.write_config()
    assert kind.take_over() == 0
    assert is_served_by(kind, kind.pid)


def test_one_that_dies_with_the_store_in_hand_is_replaced(new_server):
    """The store was lent; the process that lent it starts anew with the same
    sockets, so that who came meanwhile is served."""
    server = new_server().start()
    pid = server.pid
    # the schema says that no binary of ours can work with it
    taken = socket.create_connection((servers.LOCALHOST,
                                      server.status_port), 10)
    taken.close()
    port = servers.free_port()
    with socket.socket() as busy:
        busy.bind((servers.LOCALHOST, port))
        busy.listen()
        server.extra = (f'listener more {{ kind = status address = '
                        f'"{servers.LOCALHOST}:{port}" }}')
        server.write_config()
        waiting = []
        offset = server.log_size()
        process = subprocess.Popen(
            [server.program, "-c", server.file, "--take-over"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=server.env, cwd=server.directory)
        server.wait_log("closing the store", offset)
        server.extra = ""
        server.write_config()
        for _ in range(20):
            waiting.append(socket.create_connection(
                (servers.LOCALHOST, server.status_port), 10))
        text, _ = process.communicate(timeout=60)
        assert process.returncode == 5, text
    server.wait_log("hand-over failed: serving again", offset)
    wait_for(lambda: is_served_by(server, pid), 20, "it to serve again")
    for sock in waiting:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
        sock.close()
    assert server.take_over() == 0


def test_one_at_a_time(new_server):
    server = new_server().start()
    sock = upgrade(server)
    assert sock.recv(100).startswith(b"HTTP/1.1 101 ")
    code, text = start_next(server)
    assert code == 1
    assert "409" in text
    sock.close()
    assert server.take_over() == 0


def upgrade(server, protocol="certloop-take-over"):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(str(server.data / "admin.sock"))
    sock.sendall(b"POST /api/v1/take-over HTTP/1.1\r\nHost: x\r\n"
                 b"Connection: Upgrade\r\nUpgrade: " + protocol.encode()
                 + b"\r\nContent-Length: 0\r\n\r\n")
    return sock


@pytest.mark.parametrize("words", [
    b"nonsense\n", b"ready" * 20 + b"\n", b"\n", b"\0\n", b"store",
    b"store x\n"])
def test_nonsense_changes_nothing(new_server, words):
    server = new_server().start()
    sock = upgrade(server)
    wait_for(lambda: b"store" in sock.recv(4096), 10, "the offer")
    sock.sendall(words)
    sock.close()
    assert is_served_by(server, server.pid)
    assert server.take_over() == 0


def test_who_does_not_upgrade_is_told(new_server):
    server = new_server().start()
    sock = upgrade(server, "websocket")
    assert sock.recv(1000).startswith(b"HTTP/1.1 400 ")
    sock.close()


def test_others_may_not(new_server):
    """The sockets go to who may use the admin socket."""
    if os.getuid() != 0:
        pytest.skip("needs root to be somebody else")
    server = new_server().start()
    for folder in [server.data, *server.data.parents][:4]:
        os.chmod(folder, 0o755)
    os.chmod(server.data / "admin.sock", 0o777)
    done = subprocess.run(
        ["setpriv", "--reuid", "65534", "--clear-groups", "curl", "-s", "-X",
         "POST", "-H", "Upgrade: certloop-take-over", "-H",
         "Connection: Upgrade", "--unix-socket",
         str(server.data / "admin.sock"), "-o", "/dev/null", "-w",
         "%{http_code}", "http://x/api/v1/take-over"],
        capture_output=True, text=True, timeout=20)
    assert done.stdout in ("403", "000"), done
    assert is_served_by(server, server.pid)


def test_the_end_in_the_middle(kind):
    """SIGTERM while the sockets are offered ends it as ever."""
    sock = upgrade(kind)
    wait_for(lambda: b"store" in sock.recv(4096), 10, "the offer")
    kind.stop()
    sock.close()


# ---- service managers

class Manager:
    """What systemd is to a service: a socket for its news."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(20)

    def news(self):
        return dict(line.split("=", 1) for line in
                    self.socket.recv(4096).decode().splitlines())


@pytest.fixture
def manager(tmp_path):
    made = Manager(tmp_path / "notify")
    yield made
    made.socket.close()


def test_a_service_manager_is_told(new_server, manager):
    server = new_server(environment={"NOTIFY_SOCKET": manager.path}).start()
    news = manager.news()
    assert news["READY"] == "1" and news["MAINPID"] == str(server.pid)
    server.hup()
    news = manager.news()
    assert news["RELOADING"] == "1" and int(news["MONOTONIC_USEC"]) > 0
    assert manager.news()["READY"] == "1"
    # the next one says so itself; the one before says nothing of an end
    assert server.take_over() == 0
    news = manager.news()
    assert news["READY"] == "1" and news["MAINPID"] == str(server.pid)
    server.stop()
    assert manager.news()["STOPPING"] == "1"
    manager.socket.settimeout(0.1)
    with pytest.raises(TimeoutError):
        manager.news()


def test_an_abstract_socket_and_none(new_server):
    name = f"certloop-test-{secrets.token_hex(6)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind("\0" + name)
        s.settimeout(20)
        new_server(environment={"NOTIFY_SOCKET": "@" + name}).start()
        assert s.recv(4096).startswith(b"READY=1\n")
    for bad in ("", "@", "relative", "/nowhere/at/all", "/" + "x" * 300):
        new_server(environment={"NOTIFY_SOCKET": bad}).start().stop()


PASS = """
import os, sys
n = int(sys.argv[1])
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDS"] = str(n)
if sys.argv[2]:
    os.environ["LISTEN_FDNAMES"] = sys.argv[2]
for i in range(n):
    os.set_inheritable(3 + i, True)
os.execv(sys.argv[3], sys.argv[3:])
"""


def activate(server, sockets, names=""):
    """Start it as systemd does, with sockets from descriptor 3 on."""
    def place():
        high = [os.dup2(s.fileno(), 100 + i) for i, s in enumerate(sockets)]
        for i, fd in enumerate(high):
            os.dup2(fd, 3 + i)
            os.close(fd)
    with open(server.logfile, "ab") as log:
        server.process = subprocess.Popen(
            ["/usr/bin/python3", "-c", PASS, str(len(sockets)), names,
             server.program, "-c", server.file], stdout=log, stderr=log,
            env=server.env, cwd=server.directory, preexec_fn=place,
            close_fds=False)
    if server not in server.live:
        server.live.append(server)
    server.wait_ready()


def listening(port):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((servers.LOCALHOST, port))
    s.listen(64)
    return s


def test_sockets_of_a_service_manager_outlive_a_restart(new_server):
    """They are in its hands, so who comes between two processes waits."""
    server = new_server()
    sockets = [listening(server.port), listening(server.status_port)]
    try:
        activate(server, sockets)
        server.client().obtain(fresh())
        server.stop()
        waits = socket.create_connection(
            (servers.LOCALHOST, server.status_port), 10)
        waits.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        activate(server, sockets)
        assert waits.recv(100).startswith(b"HTTP/1.1 200 ")
        waits.close()
        server.client().obtain(fresh())
        assert server.take_over() == 0      # and hands them on
        server.client().obtain(fresh())
    finally:
        for s in sockets:
            s.close()


def test_sockets_by_name(new_server):
    """Where the address differs, the listener's name counts."""
    server = new_server()
    elsewhere = servers.free_port()
    sockets = [listening(server.status_port), listening(elsewhere)]
    try:
        activate(server, sockets, "whatever:acme")
        http = server.web()
        assert http.get(
            f"https://localhost:{elsewhere}/acme/directory").status == 200
        with socket.socket() as s:
            assert s.connect_ex((servers.LOCALHOST, server.port)) != 0
    finally:
        for s in sockets:
            s.close()


def test_a_socket_that_fits_no_listener_is_said_and_closed(new_server):
    server = new_server()
    port = servers.free_port()
    extra = listening(port)
    activate(server, [extra], "stray")
    server.wait_log("no listener .* name=stray")
    extra.close()
    with socket.socket() as s:
        assert s.connect_ex((servers.LOCALHOST, port)) != 0


def test_sockets_for_somebody_else_are_not_taken(new_server):
    server = new_server(environment={"LISTEN_PID": "1", "LISTEN_FDS": "1"})
    server.start()
    server.client().obtain(fresh())


# ---- several on one port

def test_a_busy_port_is_an_error_unless_it_is_shared(new_server):
    one = new_server().start()
    two = new_server()
    two.port = one.port
    two.write_config()
    two.spawn()
    assert two.wait_end() == 5
    assert "something else listens there" in two.log()


def test_workers_on_one_port(new_server, new_store, build, tmp_path):
    store = new_store("postgres")
    workers = []
    try:
        for i in range(2):
            worker = fleet.Replica(
                build, tmp_path / f"worker{i}", store=store,
                acme_options="reuse_port = true", limits=servers.Certloopd
                .NO_LIMITS)
            if workers:
                worker.port = workers[0].port
                worker.base = workers[0].base
                worker.write_config()
                worker.share_from(workers[0])
            else:
                worker.init_ca()
            workers.append(worker)
            worker.start()
        offsets = [w.log_size() for w in workers]

        def both_were_asked():
            workers[0].web().get(directory_of(workers[0]))
            return all("route=directory" in w.log(at)
                       for w, at in zip(workers, offsets))
        wait_for(both_were_asked, 20, "both workers to be asked")
        # each hands over its own queue
        for worker in workers:
            assert worker.take_over() == 0
        workers[0].client().obtain(fresh())
    finally:
        for worker in workers:
            worker.remove()
