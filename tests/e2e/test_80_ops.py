# SPDX-License-Identifier: ISC
"""What operators rely on: one thread, health, metrics, logs, no symbols of
cryptography let out, libpq with TLS beside ours, a database that goes away."""

import json
import re
import secrets
import shutil
import subprocess
import time

import pytest
from prometheus_client.openmetrics import parser

import acme
import servers
import web
import x509


def fresh():
    return [f"{secrets.token_hex(6)}.example.org"]


# ---- the process

def test_one_thread_under_load(new_server, engine, load):
    server = new_server(engine).start()
    workers = load(server, workers=2, orders=40)
    counts = set()
    while not workers.has_ended():
        counts.add(server.threads())
        counts.add(len(servers.children(server.pid)) + 1)
        time.sleep(0.02)
    assert counts == {1}
    assert workers.result()["problems"] == []
    fds = server.fds()
    servers.wait_for(lambda: server.connections() == 0, 20,
                     "connections to close")
    assert server.fds() <= fds < 60


@pytest.mark.parametrize("program", ["certloopd", "certloopctl"])
def test_no_symbol_of_cryptography_is_exported(build, program):
    """Else libpq's OpenSSL calls would end in our BoringSSL."""
    done = subprocess.run(["nm", "-D", "--defined-only", build / program],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = [line.split()[-1] for line in done.stdout.splitlines()]
    crypto = [n for n in names if re.match(
        r"(SSL|EVP|X509|RSA|EC|ECDSA|BIO|BN|CBB|CBS|CRYPTO|ERR|PEM|ASN1|"
        r"AES|SHA\d|HMAC|RAND|OPENSSL|OBJ|PKCS\w*|d2i|i2d|bssl)_", n)]
    assert crypto == []
    done = subprocess.run(["ldd", build / program], capture_output=True,
                          text=True)
    assert not re.search(r"libevent_openssl|pthread_create", done.stdout)


@pytest.fixture(scope="module")
def tls_cluster(tmp_path_factory):
    """PostgreSQL that takes TLS only, by TCP on loopback."""
    port = servers.free_port()
    cluster = servers.Postgres({
        "ssl": "on", "listen_addresses": "'127.0.0.1'"}, port)
    folder = tmp_path_factory.mktemp("pg-tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
         "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout",
         folder / "server.key", "-out", folder / "server.crt"],
        check=True, capture_output=True)
    for name, mode in (("server.crt", 0o644), ("server.key", 0o600)):
        path = cluster.data / name
        shutil.copy(folder / name, path)
        path.chmod(mode)
        if cluster.owner:
            shutil.chown(path, cluster.user)
    (cluster.data / "pg_hba.conf").write_text(
        "local all all trust\nhostssl all all 127.0.0.1/32 trust\n")
    cluster.ca = folder / "server.crt"
    cluster.start()
    yield cluster
    cluster.remove()


@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_libpq_speaks_tls_in_the_same_process(
        new_server, tls_cluster, mode, tmp_path):
    """libpq brings OpenSSL, we bring BoringSSL."""
    store = tls_cluster.new_store()
    store.url = (f"postgresql://certloop@localhost:{tls_cluster.port}/"
                 f"{store.name}?hostaddr=127.0.0.1&sslmode={mode}"
                 f"&sslrootcert={tls_cluster.ca}")
    server = new_server(store=store).start()
    _, pem, _ = server.client().obtain(fresh())
    x509.openssl_verify(pem, server.root, tmp_path)
    rows = store.query(
        "SELECT s.ssl, s.version FROM pg_stat_ssl s JOIN pg_stat_activity a"
        f" USING (pid) WHERE a.datname = '{store.name}'"
        " AND a.usename = 'certloop'")
    assert rows
    assert {ssl for ssl, _ in rows} == {"t"}
    server.restart()
    server.client().obtain(fresh())


# ---- health, metrics, logs

def test_health_on_the_status_listener(server):
    for path in ("/healthz", "/readyz"):
        response = server.status(path)
        assert response.status == 200, response
    assert server.status("/nothing").status == 404
    response = web.Web().request("POST", server.status_url + "/metrics", b"")
    assert response.status == 405


def test_acme_listeners_say_only_whether_they_live(server):
    http = server.web()
    for path in ("/healthz", "/readyz"):
        response = http.get(server.base + path)
        assert response.status == 200
        assert len(response.body) < 40
    assert http.get(server.base + "/metrics").status == 404


def test_metrics_are_in_the_openmetrics_format(server):
    """As Prometheus reads it: TYPE before its samples, EOF at the end."""
    client = server.client()
    client.obtain(fresh())
    response = server.status("/metrics")
    assert response.status == 200
    assert response.header("Content-Type").startswith(
        "application/openmetrics-text; version=1.0.0")
    text = response.body.decode()
    assert text.endswith("\n# EOF\n")
    types, family = {}, None
    suffixes = {"counter": ("_total",), "gauge": ("",), "info": ("_info",),
                "histogram": ("_bucket", "_sum", "_count")}
    for line in text.splitlines()[:-1]:
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split()
            assert family not in types
            types[family] = kind
        elif line.startswith("# HELP "):
            assert line.split()[2] == family
        else:
            match = re.fullmatch(
                r'(certloop_[a-z_]+|process_[a-z_]+)'
                r'(\{[a-z_]+="[^"\\\n]*"(,[a-z_]+="[^"\\\n]*")*\})? '
                r'-?([0-9.e+-]+|\+Inf|NaN)', line)
            assert match, line
            assert match.group(1) in [
                family + suffix for suffix in suffixes[types[family]]], line
    values = server.metrics()
    assert values["certloop_certificates_issued_total"] >= 1
    assert values["certloop_accounts_created_total"] >= 1


def test_prometheus_reads_the_metrics(server):
    """The parser of the prometheus client takes the whole text: types, units,
    labels, and histograms whose buckets add up."""
    client = server.client()
    client.obtain(fresh())
    client.send(client.directory["newOrder"], {"identifiers": []})
    client.http.get(f"{server.base}/nothing/here")
    text = server.status("/metrics").body.decode()
    families = {f.name: f for f
                in parser.text_string_to_metric_families(text)}
    assert len(families) == text.count("# TYPE ")
    seen = {}
    for family in families.values():
        if family.type != "histogram":
            continue
        buckets = {}
        for sample in family.samples:
            labels = dict(sample.labels)
            le = labels.pop("le", None)
            series = buckets.setdefault(tuple(sorted(labels.items())), {})
            kind = sample.name.rpartition("_")[2]
            if kind == "bucket":
                series.setdefault("buckets", []).append(
                    (float(le), sample.value))
            else:
                series[kind] = sample.value
        for labels, series in buckets.items():
            bounds = [b for b, _ in series["buckets"]]
            counts = [n for _, n in series["buckets"]]
            assert bounds == sorted(bounds) and bounds[-1] == float("inf")
            assert counts == sorted(counts)
            assert counts[-1] == series["count"]
            assert series["sum"] >= 0
            assert series["count"] > 0 or series["sum"] == 0
            seen[family.name, dict(labels).get("route"),
                 dict(labels).get("outcome")] = series["count"]
    for route, outcome in [("new-order", "ok"), ("new-order", "refused"),
                           ("finalize", "ok"), ("none", "refused")]:
        assert seen["certloop_request_seconds", route, outcome] >= 1
    assert seen["certloop_store_batch_seconds", None, None] >= 4


def test_refusals_are_counted(server):
    client = server.client()
    client.register()

    def bad_nonces():
        return sum(v for k, v in server.metrics().items()
                   if k.startswith("certloop_refusals_total")
                   and "badNonce" in k)
    before = bad_nonces()
    client.send(client.directory["newOrder"], {}, nonce="AAAA")
    assert bad_nonces() == before + 1


def test_no_label_is_what_a_client_sent(server):
    word = secrets.token_hex(6)
    client = server.client()
    client.http.get(f"{server.base}/{word}")
    client.http.request(word.upper(), f"{server.base}/acme/directory")
    client.send(client.directory["newAccount"], {}, alg=word, kid=None)
    assert word not in server.status("/metrics").body.decode()


def fields(line):
    """The key=value pairs of a logfmt line."""
    pattern = r'([a-zA-Z_.]+)=("(?:[^"\\]|\\.)*"|\S*)'
    return dict(re.findall(pattern, line))


def test_one_log_line_for_a_request_with_its_id(server):
    client = server.client()
    offset = server.log_size()
    response = client.register()
    identifier = response.header("X-Request-Id")
    assert identifier
    server.wait_log(re.escape(identifier), offset)
    lines = [line for line in server.log(offset).splitlines()
             if identifier in line]
    assert len(lines) == 1
    assert fields(lines[0])["status"] == "201"
    assert client.kid.endswith("/" + fields(lines[0])["account"])


def test_what_a_client_sends_forges_no_line(server):
    client = server.client()
    client.register()
    offset = server.log_size()
    forged = 'x"\nlevel=error msg="forged"\r\x1b[31m\u2028'
    client.send(client.directory["newOrder"],
                {"identifiers": [acme.dns(forged + ".example.org")]})
    client.http.request("GET", server.base + "/x", headers={
        "User-Agent": 'a" level=error msg="forged',
        "X-Request-Id": "forged"})
    last = client.send(client.directory["newOrder"], {})
    server.wait_log(re.escape(last.header("X-Request-Id")), offset)
    text = server.log(offset)
    assert "\x1b" not in text and "\u2028" not in text
    for line in text.splitlines():
        assert fields(line).get("level") != "error", line
        assert fields(line).get("msg") != '"forged"', line


def test_logs_can_be_json(new_server):
    server = new_server(top="log_format = json").start()
    server.client().obtain(fresh())
    server.stop()
    lines = [line for line in server.log().splitlines()
             if line.startswith("{")]
    assert len(lines) > 5
    for line in lines:
        assert isinstance(json.loads(line), dict)


def test_nothing_secret_is_logged(new_server, engine):
    server = new_server(engine, top="log_level = debug").start()
    client = server.client()
    client.obtain(fresh())
    nonce = client.nonce()
    client.send(client.directory["newOrder"], {}, nonce=nonce)
    server.stop()
    text = server.log()
    assert "PRIVATE KEY" not in text
    assert nonce not in text
    for path in (server.data / "ca").glob("*"):
        body = path.read_text()
        if "PRIVATE KEY" in body:
            assert body.splitlines()[1] not in text


# ---- a database that goes away and comes back

def test_postgres_stops_and_comes_back(new_server):
    """503 with Retry-After meanwhile, readiness says so, no restart of ours,
    and what needs no database is served."""
    cluster = servers.Postgres().start()
    try:
        server = new_server(store=cluster.new_store()).start()
        client = server.client()
        client.register()
        pid = server.pid
        cluster.stop()
        servers.wait_for(lambda: server.status("/readyz").status == 503, 20,
                         "readiness to end")
        assert server.status("/healthz").status == 200
        assert client.http.get(client.directory_url).status == 200
        response = client.send(client.directory["newOrder"], {
            "identifiers": [acme.dns(fresh()[0])]})
        assert response.status == 503, response
        assert response.is_problem
        assert int(response.header("Retry-After")) > 0
        cluster.start()
        servers.wait_for(server.is_ready, 30, "readiness to come back")
        client.obtain(fresh())
        assert server.pid == pid
        server.stop()
    finally:
        cluster.remove()


def test_postgres_freezes_and_thaws(new_server):
    """Nothing waits longer than the deadline of a batch, and what needs no
    database is served at once."""
    cluster = servers.Postgres().start()
    try:
        server = new_server(store=cluster.new_store())
        server.write_config(server.config().replace(
            "store {", "store {\n  deadline = 1s"))
        server.start()
        client = server.client()
        order, pem, _ = client.obtain(fresh())
        cluster.freeze()
        for _ in range(3):
            response = client.send(client.directory["newOrder"], {
                "identifiers": [acme.dns(fresh()[0])]})
            assert response.status == 503, response
            assert int(response.header("Retry-After")) > 0
            assert response.seconds < 5
            response = client.http.get(client.directory_url)
            assert response.status == 200 and response.seconds < 1
        cluster.thaw()

        def works():
            response = client.send(order["certificate"])
            assert response.status in (200, 503), response
            return response.status == 200 and response.body == pem
        servers.wait_for(works, 30, "the certificate")

        def orders():
            # a backend that was frozen may hold the account's row a moment
            response = client.send(client.directory["newOrder"], {
                "identifiers": [acme.dns(fresh()[0])]})
            assert response.status in (201, 503), response
            return response.status == 201
        servers.wait_for(orders, 30, "new orders")
        client.obtain(fresh())
        server.stop()
    finally:
        cluster.remove()


def test_reloads_under_load_disturb_nobody(new_server, engine, load):
    server = new_server(engine).start()
    workers = load(server, workers=2, orders=30)
    reloads = 0
    while not workers.has_ended():
        server.hup()
        reloads += 1
        servers.wait_for(
            lambda: server.metrics()["certloop_config_reloads_total"]
            >= reloads, 20, "the reload")
    result = workers.result()
    assert result["problems"] == []
    assert result["again"] == 0
    assert reloads > 1


def test_sessions_that_are_terminated_are_replaced(new_server):
    server = new_server("postgres").start()
    client = server.client()
    client.register()
    for _ in range(3):
        server.store.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{server.store.name}'"
            " AND usename = 'certloop'")
        servers.wait_for(server.is_ready, 20, "readiness")

        def works():
            response = client.send(client.directory["newOrder"], {
                "identifiers": [acme.dns(fresh()[0])]})
            assert response.status in (201, 503), response
            return response.status == 201
        servers.wait_for(works, 20, "an order")


def test_connections_to_postgres_are_bounded(new_server, load):
    server = new_server("postgres").start()
    workers = load(server, workers=2, orders=20)
    most = 0
    while not workers.has_ended():
        rows = server.store.query(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'certloop'"
            f" AND datname = '{server.store.name}'")
        most = max(most, int(rows[0][0]))
        time.sleep(0.1)
    assert workers.result()["problems"] == []
    assert 0 < most <= 7
