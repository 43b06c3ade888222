# SPDX-License-Identifier: ISC
"""Web servers that get their certificates by themselves: Caddy, and Apache
with mod_md, on both engines. A TLS client sees what they made of it."""

import secrets

import pytest

import client_world
from servers import LOCALHOST
from web_servers import Apache, Caddy


@pytest.fixture(scope="module")
def site(build, engine, new_store, tmp_path_factory):
    made = client_world.Site(build, tmp_path_factory.mktemp(f"site-{engine}"),
                             new_store(engine))
    yield made
    made.remove()


@pytest.fixture
def name():
    return f"{secrets.token_hex(5)}.example.org"


def is_bound(site, key, leaf):
    """Is its account the one that used the EAB key?"""
    status, key = site.daemon.admin("GET", f"/eab-keys/{key['id']}")
    assert status == 200, key
    return key["status"] == "used" and \
        site.certificate(leaf)["account"] in str(key["accounts"])


# ---- Caddy

@pytest.mark.parametrize("kind", ["http-01", "tls-alpn-01"])
def test_caddy(site, name, tmp_path, kind):
    with site.counts(issued=1, **{kind.replace("-", "_"): 1}), \
            Caddy(site, [name], kind) as caddy:
        caddy.wait_served(tmp_path)


def test_caddy_with_an_address(site, tmp_path):
    with site.counts(issued=1, http_01=1), Caddy(site, [LOCALHOST]) as caddy:
        caddy.wait_served(tmp_path)


def test_caddy_binds_its_account_and_renews(site, name, tmp_path):
    key = site.new_eab_key()
    caddy = Caddy(site, [name], profile="bound", eab=key)
    caddy.always_renews = True
    with site.counts(accounts=1), caddy:
        first = caddy.wait_served(tmp_path)
        second = caddy.wait_served(tmp_path, but=first)
    assert is_bound(site, key, second)
    first, second = site.certificate(first), site.certificate(second)
    assert first["account"] == second["account"]
    assert first["serial"] != second["serial"]


# ---- Apache

@pytest.mark.parametrize("kind", ["http-01", "tls-alpn-01"])
def test_apache(site, name, tmp_path, kind):
    with site.counts(issued=1, **{kind.replace("-", "_"): 1}), \
            Apache(site, [name], kind) as apache:
        apache.reload()
        apache.wait_served(tmp_path)


def test_apache_by_dns_01_with_a_wildcard(site, name, tmp_path):
    """Its hook, as another user, cannot write into the zone: the record is
    a link to what it wrote."""
    apache = Apache(site, [f"*.{name}", name], "dns-01")
    record = apache.folder / "record"
    (site.dns.folder / f"_acme-challenge.{name}.TXT").symlink_to(record)
    hook = apache.folder / "hook.sh"
    hook.write_text(f"""#!/bin/sh
case "$1" in
setup) printf '%s\\n' "$3" >> "{record}" ;;
*) rm -f "{record}" ;;
esac
""")
    hook.chmod(0o755)
    apache.lines = [f"MDChallengeDns01 {hook}"]
    with site.counts(issued=1, dns_01=2), apache:
        apache.reload()
        apache.wait_served(tmp_path)


def test_apache_binds_its_account_and_renews(site, name, tmp_path):
    """And changes its contact in between."""
    key = site.new_eab_key()
    apache = Apache(site, [name], profile="bound", eab=key)
    apache.lines = ["MDRenewWindow 1000d"]
    with site.counts(accounts=1), apache:
        apache.email = "new@example.org"
        apache.configure()
        apache.reload()
        first = apache.wait_served(tmp_path)
        apache.reload()
        second = apache.wait_served(tmp_path, but=first)
    assert is_bound(site, key, second)
    assert site.account(second)["contacts"] == ["mailto:new@example.org"]
    first, second = site.certificate(first), site.certificate(second)
    assert first["account"] == second["account"]
    assert first["serial"] != second["serial"]


def test_apache_renews_when_renewal_information_says_so(site, name,
                                                        tmp_path):
    """RFC 9773: a revoked certificate is to be replaced now, which mod_md
    learns by asking, and says in its order."""
    apache = Apache(site, [name])
    apache.lines = ["MDRenewViaARI off"]
    with apache:
        apache.reload()
        first = apache.wait_served(tmp_path)
        known = site.certificate(first)
        status, document = site.daemon.admin(
            "POST", f"/certificates/{known['id']}/revoke", {"reason": 4})
        assert status == 200, document
        apache.lines = ["MDRenewViaARI on"]
        apache.configure()
        apache.restart()
        apache.reload()
        second = apache.wait_served(tmp_path, but=first)
    order = site.certificate(second)["order"]
    [(replaces,)] = site.daemon.store.query(
        f"SELECT replaces FROM orders WHERE id = '{order}'")
    assert replaces


def test_apache_asks_for_a_profile(site, name, tmp_path):
    apache = Apache(site, [name])
    apache.lines = ["MDProfile default", "MDProfileMandatory on"]
    with apache:
        apache.reload()
        leaf = apache.wait_served(tmp_path)
    assert site.certificate(leaf)["profile"] == "default"
