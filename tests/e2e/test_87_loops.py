# SPDX-License-Identifier: ISC
"""Cert loops: names that always have a valid certificate, delivered here."""

import pytest
from cryptography import x509 as cx509

from servers import wait_for


def loop(name, names, *lines):
    names = ", ".join(f'"{n}"' for n in names)
    body = "\n".join(f"  {line}" for line in lines)
    return f"\nloop {name} {{\n  names = {{ {names} }}\n{body}\n}}\n"


def rows(server, columns="name, state, version"):
    return server.store.query(f"SELECT {columns} FROM loops ORDER BY name")


def states(server):
    return {name: (state, int(version))
            for name, state, version in rows(server)}


def wait_state(server, want, seconds=30):
    wait_for(lambda: states(server) == want, seconds, f"loops to be {want}")


def certificates(server, name):
    """DER of each certificate of a loop, the oldest first."""
    return [der for der, in server.store.query(
        f"SELECT der FROM certificates WHERE loop = '{name}' "
        "ORDER BY created, id")]


def names_of(der):
    names = cx509.load_der_x509_certificate(der).extensions \
        .get_extension_for_class(cx509.SubjectAlternativeName).value
    return sorted(str(n.value) for n in names)


def test_a_loop_obtains_a_certificate_at_once(new_server, engine, tmp_path):
    server = new_server(engine, extra=loop(
        "web", ["www.example.org", "*.example.org", "10.0.0.7"],
        f'folder = "{tmp_path}/web"')).start()
    wait_state(server, {"web": ("valid", 1)})
    der, = certificates(server, "web")
    assert names_of(der) == ["*.example.org", "10.0.0.7", "www.example.org"]
    metrics = server.metrics()
    assert metrics['certloop_loop_attempts_total{outcome="obtained"}'] == 1


def test_nothing_is_obtained_anew_after_a_restart(
        new_server, engine, tmp_path):
    server = new_server(engine, extra=loop(
        "web", ["www.example.org"], f'folder = "{tmp_path}/web"')).start()
    wait_state(server, {"web": ("valid", 1)})
    before = rows(server, "attempt, next_attempt, certificate")
    server.restart()
    wait_for(lambda: server.metrics()["certloop_loops{state=\"valid\"}"] == 1,
             20, "the loops to be counted")
    assert rows(server, "attempt, next_attempt, certificate") == before
