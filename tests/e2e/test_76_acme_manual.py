# SPDX-License-Identifier: ISC
"""The recipes of certloop-acme(7), run as they stand there: the page's
configuration serves, and its commands and files are those of the machine that
wants certificates (tests/lib/machine.py). What cannot be run is parsed."""

import base64
import json
import re
import shlex
import subprocess
import tomllib

import pytest
import yaml

import machine as machines
import manual
import servers

PAGE = "certloop-acme.7"
CTL = "certloopctl -c /etc/certloop/certloop.conf"
ROOT = "/var/lib/certloop/ca/root.pem"

# one machine for all of them
pytestmark = pytest.mark.xdist_group("acme-manual")


class Site:
    """The page's server and the page's client machine."""

    def __init__(self, machine):
        self.machine = machine
        self.eab = {}

    def begin(self, names):
        """The server, as THE server of the page, and its root."""
        machine = self.machine
        machine.serve_names(names)
        [config] = [b for b in self.blocks("DESCRIPTION", "Which URL")]
        machine.write(config.path, config.text)
        machine.run("install -d -m 700 /var/lib/certloop")
        machine.start(["certloopd", "-c", config.path], net="ca")
        servers.wait_for(
            lambda: machine.run(f"{CTL} --json status | jq -e .ready",
                                check=False).returncode == 0,
            60, "the page's server", 0.2)
        for block in self.blocks("DESCRIPTION", "The root"):
            self.follow(block, cwd="/var/lib/certloop/ca")

    @staticmethod
    def blocks(section, under):
        found = manual.blocks(PAGE, section, under)
        assert found, under
        return found

    def new_key(self):
        """By the page's command, which prints what the page says."""
        [block] = self.blocks("DESCRIPTION", "EAB")
        [(command, output)] = block.commands()
        printed = self.machine.run(command).stdout
        assert manual.fits(output, printed.splitlines()), printed
        words = dict(re.findall(r"^(key id|HMAC key) +(\S+)$", printed, re.M))
        assert re.fullmatch(r"[A-Za-z0-9_-]{86}", words["HMAC key"])
        self.eab = {"KEY-ID": words["key id"], "HMAC-KEY": words["HMAC key"]}

    def follow(self, block, cwd="/root"):
        """Do what a block says."""
        text = block.text
        if "KEY-ID" in text:
            self.new_key()
        for name, real in self.eab.items():
            text = text.replace(name, real)
        if block.path:
            self.machine.write(block.path, text)
            return
        assert block.is_commands, block
        script = re.sub(r"^# ", "", text, flags=re.M)
        self.machine.run("set -e\n" + script, cwd=cwd)

    def recipe(self, name):
        """All blocks of a recipe; its text. Ten accounts in three hours are
        the most for one address."""
        self.machine.run(
            f"{CTL} limit reset new_account_per_address {machines.HERE}")
        for block in self.blocks("RECIPES", name):
            self.follow(block)
        return (manual.ROOT / "man" / PAGE).read_text().split(
            f"\n.Ss {name}\n")[1].split("\n.Ss ")[0]

    def check(self, path, name):
        """A chain for this name under our root, by an account of the right
        profile, which is bound if that is what the profile wants."""
        self.machine.run(
            f"openssl verify -x509_strict -purpose sslserver -CAfile {ROOT} "
            f"-verify_hostname {name} -untrusted {path} {path}")
        serial = self.machine.run(
            f"openssl x509 -in {path} -noout -serial").stdout.split("=")[1]
        shown = self.json(f"cert show {serial.strip().lower()}")
        assert (shown["status"], shown["names"]) == ("valid", [name])
        trusted = name.startswith("db.")
        assert shown["profile"] == ("internal" if trusted else "default")
        order = self.json(f"order show {shown['order']}")
        tried = [d for d in order["decisions"] if d["step"] == "validation"]
        assert bool(tried) != trusted, order["decisions"]
        if trusted:
            key = self.json(f"eab show {self.eab['KEY-ID']}")
            assert key["status"] == "used"
            assert shown["account"] in str(key["accounts"])

    def json(self, command):
        return json.loads(self.machine.run(f"{CTL} --json {command}").stdout)

    def web(self, name):
        """What a visitor gets, who knows the root as the page says."""
        return self.machine.run(f"curl -sS -m 10 https://{name}/",
                                check=False)

    def visit(self, name):
        servers.wait_for(lambda: self.web(name).returncode == 0, 120,
                         f"https://{name}/", 0.2)
        path = f"/root/{name}.pem"
        self.machine.run(
            f"openssl s_client -connect {name}:443 -servername {name} "
            f"-showcerts </dev/null 2>/dev/null | sed -n "
            f"'/BEGIN CERT/,/END CERT/p' >{path}; test -s {path}")
        self.check(path, name)


@pytest.fixture(scope="module")
def site(build, tmp_path_factory):
    folder = tmp_path_factory.mktemp("machine")
    machine, why = machines.make(folder / "m", build)
    if machine is None:
        pytest.skip(why)
    try:
        made = Site(machine)
        made.begin(folder / "names")
        yield made
    finally:
        machine.remove()


@pytest.fixture
def webroot(site):
    for block in site.blocks("RECIPES", "A folder for challenges"):
        site.follow(block)
    yield
    site.machine.run("systemctl stop nginx; rm -f /etc/nginx/conf.d/*")


def chains(text):
    """The paths that a recipe calls its chains, with the names."""
    found = re.findall(r"The chain is\n\.Pa (\S+)", text)
    return [(path, "db.example.org" if "db.example" in path
             else "www.example.org") for path in found]


@pytest.mark.parametrize("client", ["certbot", "lego"])
def test_clients_that_answer_by_themselves(site, client):
    found = chains(site.recipe(client))
    assert len(found) == 2
    for path, name in found:
        site.check(path, name)


@pytest.mark.parametrize("client", ["dehydrated", "uacme", "acme-tiny"])
def test_clients_with_a_folder_of_a_web_server(site, webroot, client):
    found = chains(site.recipe(client))
    assert len(found) == (1 if client == "acme-tiny" else 2)
    if client == "uacme":       # one key for all: the binding is last
        found.sort(key=lambda f: f[1], reverse=True)
    for path, name in found:
        site.check(path, name)


def test_nginx(site, webroot):
    site.recipe("nginx")
    site.visit("web.example.org")


def test_caddy(site):
    site.recipe("Caddy")
    site.visit("www.example.org")
    site.visit("db.example.org")
    site.machine.run("systemctl stop caddy")


def test_apache(site):
    site.machine.write("/etc/apache2/apache2.conf", machines.APACHE)
    site.machine.run(
        f"{CTL} limit reset new_account_per_address {machines.HERE}")
    *before, reload = site.blocks("RECIPES", "Apache mod_md")
    for block in before:
        site.follow(block)
    servers.wait_for(lambda: site.machine.run(
        "cat /etc/apache2/md/staging/*/job.json", check=False).stdout.count(
            '"finished": true') == 2, 240, "what mod_md obtains", 0.3)
    site.follow(reload)
    site.visit("www.example.org")
    site.visit("db.example.org")
    site.machine.run("systemctl stop apache2")


def test_each_recipe_is_run():
    under = {b.under for b in manual.blocks(PAGE, "RECIPES")}
    assert under == {"certbot", "lego", "A folder for challenges", "nginx",
                     "dehydrated", "uacme", "acme-tiny", "Caddy",
                     "Apache mod_md"}
    under = {b.under for b in manual.blocks(PAGE, "NOT RUN")}
    assert under == {"cert-manager", "Traefik", "acme.sh",
                     "nginx's own module"}


# ---- what Debian does not have: is it well formed, and does it fit?

class Fit:
    """What the server offers, to hold words of the page against."""

    def __init__(self, site):
        self.site = site
        site.new_key()

    def directory(self, url, trusted):
        answer = json.loads(self.site.machine.run(f"curl -sS {url}").stdout)
        assert answer["newOrder"].startswith("https://acme.example.org/")
        bound = answer["meta"]["externalAccountRequired"]
        assert bound == trusted == ("/internal/" in url)

    def fill(self, text):
        for name, real in self.site.eab.items():
            text = text.replace(name, real)
        assert "KEY-ID" not in text and "HMAC-KEY" not in text
        root = self.site.machine.read(ROOT).encode()
        return text.replace("ROOT-BASE64", base64.b64encode(root).decode())

    def key(self, kid, hmac):
        assert kid == self.site.eab["KEY-ID"]
        assert len(base64.urlsafe_b64decode(hmac + "==")) == 64


@pytest.fixture(scope="module")
def fit(site):
    return Fit(site)


def test_cert_manager(site, fit):
    plain, bound = (fit.fill(b.text) for b in
                    site.blocks("NOT RUN", "cert-manager"))
    [first] = yaml.safe_load_all(plain)
    secret, second = yaml.safe_load_all(bound)
    for issuer, trusted in ((first, False), (second, True)):
        assert issuer["apiVersion"] == "cert-manager.io/v1"
        assert issuer["kind"] == "ClusterIssuer"
        acme = issuer["spec"]["acme"]
        assert set(acme) - {"externalAccountBinding"} == {
            "server", "email", "caBundle", "privateKeySecretRef", "solvers"}
        fit.directory(acme["server"], trusted)
        assert b"BEGIN CERTIFICATE" in base64.b64decode(
            acme["caBundle"], validate=True)
        assert acme["solvers"][0]["http01"]["ingress"]["ingressClassName"]
    assert "externalAccountBinding" not in first["spec"]["acme"]
    binding = second["spec"]["acme"]["externalAccountBinding"]
    reference = binding["keySecretRef"]
    assert reference["name"] == secret["metadata"]["name"]
    fit.key(binding["keyID"], secret["stringData"][reference["key"]])
    # each account has a key of its own
    names = {i["spec"]["acme"]["privateKeySecretRef"]["name"]
             for i in (first, second)}
    assert len(names) == 2


def test_traefik(site, fit):
    [block] = site.blocks("NOT RUN", "Traefik")
    parsed = tomllib.loads(fit.fill(block.text))
    resolvers = {n: r["acme"] for n, r in
                 parsed["certificatesResolvers"].items()}
    assert set(resolvers) == {"certloop", "internal"}
    for name, acme in resolvers.items():
        fit.directory(acme["caServer"], name == "internal")
        assert acme["certificatesDuration"] == 30 * 24
    entry = resolvers["certloop"]["httpChallenge"]["entryPoint"]
    assert parsed["entryPoints"][entry]["address"] == ":80"
    assert resolvers["internal"]["tlsChallenge"] == {}
    fit.key(resolvers["internal"]["eab"]["kid"],
            resolvers["internal"]["eab"]["hmacEncoded"])
    assert len({a["storage"] for a in resolvers.values()}) == 2


def test_acme_sh(site, fit):
    [block] = site.blocks("NOT RUN", "acme.sh")
    calls = [shlex.split(fit.fill(command).replace("\\\n", " "))
             for command, _ in block.commands()]
    assert [words[:2] for words in calls] == [
        ["acme.sh", "--register-account"], ["acme.sh", "--issue"]]
    options = [dict(zip(words, words[1:])) for words in calls]
    for one in options:
        fit.directory(one["--server"], True)
    fit.key(options[0]["--eab-kid"], options[0]["--eab-hmac-key"])


def test_the_module_of_nginx(site, fit, tmp_path):
    """Debian's nginx knows none of its words, so it is read here."""
    [block] = site.blocks("NOT RUN", "nginx's own module")
    text = fit.fill(block.text)
    assert text.count("{") == text.count("}") == 2
    uri = re.search(r"^\turi (\S+);$", text, re.M)[1]
    fit.directory(uri, True)
    kid = re.search(r"external_account_key (\S+) /\S+;", text)[1]
    assert kid == site.eab["KEY-ID"]
    issuer = re.search(r"acme_issuer (\w+) \{", text)[1]
    assert f"acme_certificate {issuer};" in text
    done = subprocess.run(["nginx", "-V"], capture_output=True, text=True)
    assert "acme" not in done.stderr, "it could be run by now"
