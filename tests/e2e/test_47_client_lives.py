# SPDX-License-Identifier: ISC
"""The lives of real clients, each with http-01 on both engines: they bind
their account, get a certificate, renew, revoke, change contact and key, and
leave, as far as they can. After each step the server is asked what it knows.

What each of them needs is said in tests/lib/clients.py.
"""

import secrets

import pytest

import client_world
import x509


@pytest.fixture(scope="module")
def site(build, engine, new_store, tmp_path_factory):
    """With a web server that shows the tokens of all of them."""
    made = client_world.Site(build, tmp_path_factory.mktemp(f"site-{engine}"),
                             new_store(engine))
    with made.web():
        yield made
    made.remove()


class Life:
    """A client, its name, and the server's side of what it does."""

    def __init__(self, site, folder, profile="bound"):
        self.site = site
        self.folder = folder
        self.name = f"{secrets.token_hex(5)}.example.org"
        self.run = site.client(folder / "client", profile)
        self.key = site.new_eab_key() if profile == "bound" else {}
        self.chain = None

    def gets(self, issue):
        """issue() makes a certificate with one validation; its leaf."""
        with self.site.counts(issued=1, http_01=1):
            self.chain = issue()
        return self.site.check(self.chain, [self.name], self.folder)

    def gets_two(self, issue, renew):
        """The second one is another certificate of the same account, and
        leaves the first as it is."""
        with self.site.counts(accounts=1):
            first, second = self.gets(issue), self.gets(renew)
        assert first.serial_number != second.serial_number
        one, two = (self.site.certificate(leaf) for leaf in (first, second))
        assert one["account"] == two["account"] == self.account()["id"]
        assert one["status"] == "valid"
        return first, second

    def is_bound(self):
        """Is the account the one that used the EAB key?"""
        status, key = self.site.daemon.admin(
            "GET", f"/eab-keys/{self.key['id']}")
        assert status == 200, key
        return key["status"] == "used" and key["used"] == 1 and \
            self.account()["id"] in str(key["accounts"])

    def revokes(self, leaf, by, reason, revoke, *words):
        assert self.site.certificate(leaf)["status"] == "valid"
        with self.site.counts(**{f"revoked_by_{by}": 1}):
            revoke(*words)
        known = self.site.certificate(leaf)
        assert (known["status"], known["reason"]) == ("revoked", reason)

    def account(self):
        leaf = x509.split_chain(self.chain.read_bytes())[0]
        return self.site.account(leaf)

    def moves(self, before, update, *words):
        """To another contact."""
        assert self.account()["contacts"] == [f"mailto:{before}"]
        update(*words)
        assert self.account()["contacts"] == ["mailto:new@example.org"]

    def leaves(self, deactivate, *words):
        assert self.account()["status"] == "valid"
        deactivate(*words)
        assert self.account()["status"] == "deactivated"


@pytest.fixture
def life(site, tmp_path):
    return Life(site, tmp_path)


def save(life, leaf, name):
    """A certificate in a file of the test's own."""
    path = life.folder / name
    path.write_bytes(x509.pem(leaf))
    return path


def test_the_life_of_lego(site, life):
    run = life.run
    run.more = ["--eab", "--kid", life.key["id"], "--hmac", life.key["key"],
                "--http", "--http.webroot", site.webroot]

    def renew():
        return run.run_lego([life.name], command=(
            "renew", "--days", "9999", "--no-random-sleep"))
    _, leaf = life.gets_two(lambda: run.run_lego([life.name]), renew)
    assert life.is_bound()

    def revoke():
        run.run_lego([life.name], command=("revoke", "--reason", "4"))
    life.revokes(leaf, "account", "superseded", revoke)


def test_the_life_of_certbot(site, life):
    run = life.run
    run.more = ["--eab-kid", life.key["id"], "--eab-hmac-key",
                life.key["key"]]
    archive = run.folder / "config/archive" / life.name

    def issue():
        return run.certbot_certonly([life.name], "--webroot", "-w",
                                    site.webroot)

    def renew():
        run.run_certbot("renew", "--force-renewal",
                        "--no-random-sleep-on-renew")
        return life.chain
    first, second = life.gets_two(issue, renew)
    assert life.is_bound()
    life.moves("certbot@example.org", run.run_certbot, "update_account",
               "--email", "new@example.org", "--no-eff-email")
    words = ["revoke", "--reason", "keycompromise",
             "--no-delete-after-revoke", "--cert-path"]
    life.revokes(first, "account", "keyCompromise", run.run_certbot, *words,
                 archive / "cert1.pem")
    life.revokes(second, "key", "keyCompromise", run.run_certbot, *words,
                 archive / "cert2.pem", "--key-path", archive / "privkey2.pem")
    life.leaves(run.run_certbot, "unregister")


def uacme_hook(life):
    hook = life.folder / "hook.sh"
    hook.write_text(f"""#!/bin/sh
[ "$2" = http-01 ] || exit 1
[ "$1" != begin ] || printf '%s' "$5" > "{life.site.www}/$4"
""")
    hook.chmod(0o755)
    return hook


def test_the_life_of_uacme(life):
    run, hook = life.run, uacme_hook(life)
    run.more = ["--eab", f"{life.key['id']}:{life.key['key']}"]
    first, second = life.gets_two(
        lambda: run.uacme_issue([life.name], hook),
        lambda: run.uacme_issue([life.name], hook, "--force"))
    assert life.is_bound()
    life.moves("uacme@example.org", run.run_uacme, "update",
               "new@example.org")
    life.revokes(first, "account", "cessationOfOperation", run.run_uacme,
                 "--reason", "5", "revoke", save(life, first, "first.pem"))
    # the certificate's key stayed the same
    life.revokes(second, "key", "keyCompromise", run.run_uacme,
                 "--reason", "1", "revoke", save(life, second, "second.pem"),
                 run.folder / "private" / life.name / "key.pem")
    life.leaves(run.run_uacme, "deactivate")


def test_uacme_rolls_its_key(site, tmp_path):
    """The account goes on with the new key, and only with that."""
    life = Life(site, tmp_path, "default")
    run, hook = life.run, uacme_hook(life)
    life.gets(lambda: run.uacme_issue([life.name], hook))
    before = life.account()
    path = run.folder / "private/key.pem"
    old = path.read_bytes()
    with site.counts(rolled=1):
        run.run_uacme("newkey")
    assert path.read_bytes() != old
    life.gets(lambda: run.uacme_issue([life.name], hook, "--force"))
    after = life.account()
    assert after["id"] == before["id"]
    assert after["key_version"] == before["key_version"] + 1
    assert after["key_thumbprint"] != before["key_thumbprint"]
    path.write_bytes(old)
    with pytest.raises(AssertionError, match="no account associated"):
        run.run_uacme("update", "old@example.org")
    assert life.account()["contacts"] == before["contacts"]


def test_the_life_of_dehydrated(site, life):
    run = life.run
    run.settings = {"EAB_KID": life.key["id"], "WELLKNOWN": site.www,
                    "EAB_HMAC_KEY": life.key["key"]}
    _, leaf = life.gets_two(
        lambda: run.dehydrated_cron([life.name]),
        lambda: run.dehydrated_cron([life.name], "--force"))
    assert life.is_bound()
    run.settings["CONTACT_EMAIL"] = "new@example.org"
    life.moves("dehydrated@example.org", run.run_dehydrated, "--account")
    life.revokes(leaf, "account", "unspecified", run.run_dehydrated,
                 "--revoke", save(life, leaf, "cert.pem"))
    life.leaves(run.run_dehydrated, "--deactivate")


def test_the_life_of_python_acme(site, life):
    run = life.run

    def bind_and_issue():
        run.run_python_acme("bind", life.key["id"], life.key["key"])
        return issue()

    def issue():
        run.run_python_acme("issue", "http-01", site.www, life.name)
        return run.folder / "chain.pem"
    _, second = life.gets_two(bind_and_issue, issue)
    assert life.is_bound()
    life.moves("python@example.org", run.run_python_acme, "update",
               "new@example.org")
    life.revokes(second, "account", "superseded", run.run_python_acme,
                 "revoke", "account", "4")
    third = life.gets(issue)
    life.revokes(third, "key", "keyCompromise", run.run_python_acme,
                 "revoke", "key", "1")
    run.run_python_acme("relinquish", life.name)
    assert len(site.daemon.store.query(
        "SELECT id FROM authorizations WHERE status = 'deactivated' "
        f"AND value = '{life.name}'")) == 1
    life.leaves(run.run_python_acme, "deactivate")


def test_the_life_of_acme_tiny(site, tmp_path):
    """It knows nothing but to get certificates, again and again."""
    life = Life(site, tmp_path, "default")

    def issue(*words):
        return life.run.run_acme_tiny([life.name], site.www, *words)
    life.gets_two(issue, issue)
    assert life.account()["contacts"] == []
    life.gets(lambda: issue("--contact", "mailto:new@example.org"))
    assert life.account()["contacts"] == ["mailto:new@example.org"]


def test_lego_needs_a_binding_where_one_is_required(site, tmp_path):
    life = Life(site, tmp_path)
    with site.counts(accounts=0, issued=0), pytest.raises(
            AssertionError, match="requires External Account Binding"):
        life.run.run_lego([life.name], "--http", "--http.webroot",
                          site.webroot)
