# SPDX-License-Identifier: ISC
"""What the protocol fuzzer asks for: for each resource a request that is right
in the present state of the world, or wrong in a way that has one answer."""

import json
import time

from cryptography import x509 as cx509

import challenges
import jose
import proto_mutate as odd
import proto_spoil
import x509
from jose import b64, sign_jws, unb64
from proto_run import Account, LeafKey, Plan
from proto_spoil import NOBODY

MALFORMED, MISSING = (400, "malformed"), (404, "malformed")
UNAUTHORIZED, GONE = (403, "unauthorized"), (401, "unauthorized")
BAD_CSR, NOT_READY = (400, "badCSR"), (403, "orderNotReady")
LIMITED = (429, "rateLimited")
CHALLENGES = ("http-01", "dns-01", "tls-alpn-01")


class Flows(proto_spoil.Spoil):
    """Plans; None where there is nothing to ask for yet."""

    # ---- accounts

    def new_account(self):
        profile = self.rng.choice(("default", "default", "default",
                                   "checked", "checked", "bound",
                                   "tight"))
        key = self.ground.keys.account(self.number())
        if self.chance(0.07):
            key = self.rng.choice(self.ground.keys.odd)
        return self.register(profile, key)

    def register(self, profile, key):
        url = self.url(profile, "new-account")
        known = [a for a in self.accounts if a.profile == profile
                 and a.key is key]
        payload = {"termsOfServiceAgreed": True}
        expect = [(201, None)]
        if profile == "bound" or self.chance(0.3):
            payload["contact"] = [f"mailto:a{self.serial}@example.org"]
        if profile == "bound" and not self.chance(0.15):
            payload["externalAccountBinding"], good = self.binding(url, key)
            if not good:
                expect = [UNAUTHORIZED]
        elif profile == "bound":
            expect = [(403, "externalAccountRequired")]
        how = self.rng.random()
        if how < 0.08:
            payload["contact"] = [self.rng.choice((
                "mailto:a", "mailto:a@b@c", "mailto:", "mailto:@b.example",
                "mailto:a@b.example?x=y", "mailto:a@-b", "mailto:a,b@c.de"))]
            expect = [(400, "invalidContact")]
        elif how < 0.12:
            payload["contact"] = ["tel:+123", "mailto:a@example.org"]
            expect = [(400, "unsupportedContact")]
        elif how < 0.16:
            del payload["termsOfServiceAgreed"]
            expect = [(403, "userActionRequired")]
        elif how < 0.2:
            payload = {"onlyReturnExisting": True}
            expect = [(400, "accountDoesNotExist")]
        elif how < 0.23:
            return self.weak(url, payload)
        if known:
            expect = [(200, None)] if self.status(known[0]) == "valid" \
                else [GONE]
            if how < 0.12:
                expect = []
        return Plan("new-account", url, payload, key, None, tuple(expect))

    def weak(self, url, payload):
        key = jose.RsaKey(alg="RS256",
                          private=self.ground.keys.kinds["weak rsa"])
        return Plan("new-account", url, payload, key, None,
                    ((400, "badPublicKey"),))

    def binding(self, url, key):
        """External account binding, RFC 8555 section 7.3.4; is it good?"""
        if not self.eab or self.chance(0.1):
            status, made = self.world.members[0].admin(
                "POST", "/eab-keys", {
                    "name": f"key {self.serial}", "profile": "bound",
                    "max_uses": self.rng.choice((0, 1, 3))})
            assert status == 201, made
            self.eab.append(made)
            self.state = self.world.snapshot()
            if made["id"] not in self.state["eab_keys"]:
                self.complain(self.step, [
                    f"the key {made['id']} was made and is not stored"])
        made = self.rng.choice(self.eab)
        row = self.state["eab_keys"][made["id"]]
        good = not row["max_uses"] or row["used"] < row["max_uses"]
        alg = self.rng.choice(("HS256", "HS384", "HS512"))
        return sign_jws(jose.MacKey(unb64(made["key"]), alg), {
            "alg": alg, "kid": made["id"], "url": url}, key.jwk()), good

    def bad_binding(self):
        profile, key = "bound", self.ground.keys.account(self.number())
        url = self.url(profile, "new-account")
        bound, _ = self.binding(url, key)
        mac = jose.MacKey(self.rng.randbytes(32))
        header = json.loads(unb64(bound["protected"]))
        other = self.ground.keys.account(0)
        bound = self.rng.choice((
            lambda: sign_jws(mac, {**header, "alg": "HS256"}, key.jwk()),
            lambda: {**bound, "payload": b64(jose.compact(other.jwk()))},
            lambda: {**bound, "signature": b64(odd.flip(
                self.rng, unb64(bound["signature"])))},
            lambda: odd.mutate(self.rng, bound),
            lambda: sign_jws(mac, odd.write(odd.mutate(self.rng, header)),
                             key.jwk()),
            lambda: sign_jws(key, {**header, "alg": "ES256"}, key.jwk()),
            lambda: {**bound, "signature": ""}))()
        return Plan("new-account", url, {
            "termsOfServiceAgreed": True, "externalAccountBinding": bound,
            "contact": ["mailto:a@example.org"]}, key)

    def see_account(self):
        a = self.account()
        if a is None:
            return None
        payload = self.rng.choice((
            None, None, {}, {"contact": []}, {"status": "valid"},
            {"contact": [f"mailto:b{self.number()}@example.org"]},
            {"termsOfServiceAgreed": True}, {"contact": None},
            {"contact": ["mailto:c@example.org", "MAILTO:d@example.org"]}))
        expect = [(200, None)]
        if a.profile == "bound" and payload and payload.get("contact") == []:
            expect = [(400, "invalidContact")]
        return self.plan("account", a, f"account/{a.id}", payload, expect)

    def deactivate(self):
        if len(self.accounts) < 6:
            return None
        a = self.account()
        return a and self.plan("account", a, f"account/{a.id}",
                               {"status": "deactivated"})

    def key_change(self):
        a = self.account()
        if a is None:
            return None
        new = self.ground.keys.account(self.number())
        expect = [(200, None)]
        if a.profile == "tight":
            expect.append(LIMITED)
        if self.chance(0.15):
            other = self.account(a.profile)
            new, expect = other.key, [(409, "malformed"), LIMITED]
        url = self.url(a.profile, "key-change")
        header = {"alg": new.alg, "jwk": new.jwk(), "url": url}
        inner = {"account": a.url, "oldKey": a.key.jwk()}
        payload = sign_jws(new, header, inner)
        if self.chance(0.45):
            payload, expect = self.bad_inner(a, new, header, inner), []
        plan = self.plan("key-change", a, "key-change", payload, expect)
        plan.new_key = new
        return plan

    def bad_inner(self, a, new, header, inner):
        other = self.account()
        return self.rng.choice((
            lambda: sign_jws(new, odd.write(odd.mutate(self.rng, header)),
                             inner),
            lambda: sign_jws(new, header, odd.write(
                odd.mutate(self.rng, inner))),
            lambda: sign_jws(a.key, header, inner),
            lambda: sign_jws(new, {**header, "nonce": self.nonce()}, inner),
            lambda: sign_jws(new, {**header, "url": header["url"] + "/"},
                             inner),
            lambda: sign_jws(new, header, {**inner, "account": other.url}),
            lambda: sign_jws(new, header, {**inner,
                                           "oldKey": other.key.jwk()}),
            lambda: sign_jws(new, header, {**inner, "oldKey": new.jwk()}),
            lambda: odd.mutate(self.rng, sign_jws(new, header, inner)),
            lambda: sign_jws(new, {**header, "kid": a.url}, inner),
            lambda: {**sign_jws(new, header, inner), "signature": ""},
        ))()

    def orders(self):
        a = self.account()
        if a is None:
            return None
        cursor = "" if self.chance(0.8) else "?cursor=" + self.rng.choice((
            f"1-{NOBODY}", "", "x", "-1-a", f"{1 << 63}-{NOBODY}",
            f"99999999999999999999999-{NOBODY}", "1-%27", "1", "&a=b"))
        return self.plan("orders", a, f"account/{a.id}/orders{cursor}",
                         expect=[(200, None)] if not cursor else [])

    # ---- orders

    def new_order(self):
        a = self.account()
        if a is None:
            return None
        payload, expect = {}, [(201, None)]
        n = self.number()
        wanted = odd.names(self.rng, n)
        if a.profile == "checked":
            wanted = [self.rng.choice((
                f"ok{n}.example.org", f"ok{n}.example.org", "nx.example.org",
                f"no{n}.example.org", "caa.example.org", "gone.example.org",
                "plain.example.org",
                f"ok{max(1, n - 9)}.example.org"))]
            if self.chance(0.15):
                wanted.append(f"*.ok{n}.example.org")
        elif a.profile == "tight":
            wanted = [w for w in wanted if "*" not in w and ":" not in w] \
                or [f"n{n}.example.org"]
            expect.append(LIMITED)
        elif self.chance(0.15):     # in another order, or as before
            row = self.pick(o for o in self.state["orders"].values()
                            if o["account"] == a.id)
            if row:
                wanted = [i["value"] for i in json.loads(row["identifiers"])]
                self.rng.shuffle(wanted)
        payload["identifiers"] = [odd.identifier(w) for w in wanted]
        if self.chance(0.1):
            payload["identifiers"].append(dict(payload["identifiers"][0]))
        if self.chance(0.25):
            for _ in range(self.rng.choice((1, 1, 2, 4))):
                payload["identifiers"].append(dict(self.rng.choice(
                    odd.ODD_IDENTIFIERS)))
            if self.chance(0.5):
                del payload["identifiers"][0]
            expect = []
        elif self.chance(0.25):
            expect = self.with_dates(a, payload, expect)
        elif self.chance(0.2):
            payload["profile"] = self.rng.choice((a.profile, "nobody", 7))
            if payload["profile"] != a.profile:
                expect = [(400, "invalidProfile" if payload["profile"] != 7
                           else "malformed")]
        elif self.chance(0.5):
            expect = self.with_replaces(a, payload, expect)
        return self.plan("new-order", a, "new-order", payload, expect)

    def with_dates(self, a, payload, expect):
        day = time.strftime(
            "%Y-%m-%dT%H:%M:%S", time.gmtime(
                time.time() + 7200))
        choice = self.rng.randrange(9)
        if choice < 4:
            payload["notAfter"] = day + self.rng.choice(("Z", ".5Z", "+00:00"))
            return expect
        name = self.rng.choice(("notBefore", "notAfter"))
        payload[name] = self.rng.choice((
            "1970-01-01T00:00:00Z", "1969-12-31T23:59:59Z",
            "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z",
            "2026-13-01T00:00:00Z", day, "tomorrow", 7, day + "+23:59",
            "1970-01-01T01:00:00+01:00", day.replace("T", " ") + "Z"))
        return []

    def with_replaces(self, a, payload, expect):
        row = self.pick(
            c for c in self.state["certificates"].values()
            if c["profile"] == a.profile and (
                c["account"] == a.id or self.chance(0.15)))
        if row is None:
            return expect
        cert = cx509.load_der_x509_certificate(row["der"])
        payload["replaces"] = self.cert_id(cert)
        payload["identifiers"] = [
            odd.identifier(n) for n in sorted(x509.names_of(cert))]
        if row["account"] != a.id:
            return [MALFORMED]
        if self.chance(0.2):
            payload["replaces"] = odd.text(self.rng, payload["replaces"])
            return []
        return expect + [(409, "alreadyReplaced"), LIMITED]

    @staticmethod
    def cert_id(cert):
        """RFC 9773 section 4.1."""
        aki = cert.extensions.get_extension_for_class(
            cx509.AuthorityKeyIdentifier).value.key_identifier
        n = cert.serial_number
        return b64(aki) + "." + b64(n.to_bytes(n.bit_length() // 8 + 1,
                                               "big"))

    def new_authz(self):
        a = self.account("checked" if self.chance(0.8) else None)
        if a is None:
            return None
        expect = [(201, None)] if a.profile == "checked" else [MISSING]
        return self.plan("new-authz", a, "new-authz", {"identifier": {
            "type": "dns", "value": f"ok{self.number()}.example.org"}},
            expect)

    def see(self):
        """POST-as-GET of something that there is."""
        kind, table = self.rng.choice((
            ("order", "orders"), ("authz", "authorizations"),
            ("cert", "certificates"), ("alternate", "certificates"),
            ("challenge", "authorizations")))
        row, a = self.of(table)
        if row is None:
            return None
        rest = f"{kind}/{row['id']}"
        expect = [MISSING] if kind == "alternate" else [(200, None)]
        if kind == "challenge":
            rest += "/" + self.rng.choice(
                [c["type"] for c in json.loads(row["challenges"])])
            expect.append(MISSING)      # one that was not taken up
        return self.plan(kind, a, rest, expect=expect)

    def chain(self):
        a = self.account()
        return a and self.plan(
            "chain", a, "chain/" + self.rng.choice((
                self.chain_id or "0" * 64, "0" * 64, "x")),
            expect=())

    def directory(self):
        a = self.account()
        return a and self.plan(
            "directory", a, self.rng.choice(("directory", "new-nonce")),
            expect=((200, None), (204, None)))

    # ---- authorizations

    def respond(self):
        row, a = self.of("authorizations", *self.rng.choice((
            ("pending",), ("pending",), ("pending",), ())))
        if row is None:
            return None
        kind = self.rng.choice([
            c["type"] for c in json.loads(row["challenges"])])
        if row["value"].startswith(("ok", "caa")):
            self.meet(row, a, kind)
        return self.plan("challenge", a, f"challenge/{row['id']}/{kind}", {},
                         [(200, None), LIMITED, MALFORMED, MISSING])

    def meet(self, row, a, kind):
        """Put up what the challenge asks for."""
        token = next(c["token"] for c in json.loads(row["challenges"])
                     if c["type"] == kind)
        text = f"{token}.{a.key.thumbprint()}"
        if kind == "http-01":
            (self.ground.http.folder / token).write_text(text)
        elif kind == "dns-01":
            name = f"_acme-challenge.{row['value']}"
            had = self.ground.dns.values(name, "TXT") or []
            self.ground.dns.set(name, "TXT", challenges.txt_value(text),
                                *[v for v in had if v][:5])
        else:
            self.ground.tls.put(row["value"], [row["value"]], text)

    def drop_authz(self):
        row, a = self.of("authorizations")
        return row and self.plan("authz", a, f"authz/{row['id']}",
                                 {"status": "deactivated"})

    # ---- certificates

    def finalize(self):
        row, a = self.of("orders", *self.rng.choice((
            ("ready",), ("ready",), ("ready",), ("ready",),
            ("valid", "pending", "invalid"))))
        if row is None:
            return None
        kind = "plain" if self.chance(0.4) else self.rng.choice(odd.CSR_KINDS)
        wanted = [i["value"] for i in json.loads(row["identifiers"])]
        csr = odd.csr(self.rng, kind, wanted, self.ground.keys.leaf(
            self.number() % 60), self.ground.keys.kinds, a.key.private)
        expect = self.expected(row, kind, len(wanted))
        if row["csr"] and self.chance(0.5):
            csr, expect = row["csr"], [(200, None)]
            if row["status"] == "invalid":
                expect = []
        return self.plan("finalize", a, f"order/{row['id']}/finalize",
                         {"csr": b64(csr)}, expect)

    def expected(self, row, kind, n):
        if kind in odd.FINE_KINDS and (kind != "cn only" or n == 1) and \
                kind != "extensions":
            return [(200, None)] if row["status"] == "ready" else [NOT_READY]
        if kind in ("extensions", "p384", "ed25519", "long cn", "two cns",
                    "flipped info", "flipped", "chewed", "must staple",
                    "cn only", "wildcard", "fewer", "ip as dns"):
            return [(200, None), BAD_CSR, NOT_READY]
        return [BAD_CSR] if row["status"] == "ready" else [BAD_CSR, NOT_READY]

    def revoke(self):
        row = self.pick(c for c in self.state["certificates"].values()
                        if c["status"] == "valid" or self.chance(0.1))
        if row is None:
            return None
        der, reason = row["der"], self.rng.choice((None, 0, 1, 4, 5, 9))
        expect = [(200, None)] if row["status"] == "valid" else [
            (400, "alreadyRevoked")]
        payload = {"certificate": b64(der)}
        if reason is not None:
            payload["reason"] = reason
        how = self.rng.random()
        a = self.owner(row)
        key = next((k for k in self.ground.keys.leaves if x509.spki(
            k.public_key()) == x509.spki(cx509.load_der_x509_certificate(
                der).public_key())), None)
        if how < 0.15:
            a = self.account(row["profile"])
            if a is None or a.id != row["account"]:
                expect += [UNAUTHORIZED]
        if how > 0.7 and key is not None or a is None:
            a = None
        if how < 0.3:
            payload, expect = self.odd_revocation(payload, row, expect)
        if a is None and key is None:
            return None
        if a is not None:
            return self.plan("revoke-cert", a, "revoke-cert", payload, expect)
        if self.chance(0.1):
            key, expect = self.ground.keys.kinds["other"], [UNAUTHORIZED]
            if how < 0.3:
                expect = []
        return Plan("revoke-cert", self.url(row["profile"], "revoke-cert"),
                    payload, LeafKey(key), None, tuple(expect))

    def odd_revocation(self, payload, row, expect):
        """What cannot be revoked, or not so."""
        cert = cx509.load_der_x509_certificate(row["der"])
        n = self.rng.randrange(6)
        if n == 0:
            payload["reason"] = self.rng.choice((7, 8, 10, -1, 1 << 40, 1.5))
            return payload, [(400, "badRevocationReason")]
        if n == 1:
            root = cx509.load_pem_x509_certificate(
                self.world.members[0].root.read_bytes())
            return {"certificate": b64(x509.der(root))}, [UNAUTHORIZED]
        if n == 2:
            return {"certificate": b64(odd.lookalike(cert)[0])}, \
                [UNAUTHORIZED]
        if n == 3:
            return {"certificate": b64(odd.flip(self.rng, row["der"]))}, []
        if n == 4:
            return {"certificate": b64(odd.chew(self.rng, row["der"]))}, []
        other = self.pick(self.state["certificates"].values())
        return {"certificate": b64(other["der"])}, []

    # ---- of others, and of nobody

    def dead(self):
        a = self.account(status="deactivated")
        if a is None:
            return None
        return self.rng.choice((
            lambda: self.plan("account", a, f"account/{a.id}", None, [GONE]),
            lambda: self.plan("new-order", a, "new-order", {"identifiers": [
                {"type": "dns", "value": "a.example.org"}]}, [GONE]),
            lambda: self.plan("orders", a, f"account/{a.id}/orders",
                              expect=[GONE]),
            lambda: self.register(a.profile, a.key)))()

    def unsigned(self):
        """GET of whatever may be had so, and of what may not."""
        profile = self.rng.choice(("default", "bound", "tight", "checked",
                                   "nobody", ""))
        method = self.rng.choice(("GET", "GET", "HEAD", "PUT", "DELETE",
                                  "OPTIONS", "PATCH", "POST", "TRACE",
                                  "PROPFIND", "BREW"))
        row = self.pick(self.state["certificates"].values())
        rest = self.rng.choice((
            "directory", "new-nonce", "new-order", f"order/{NOBODY}",
            f"authz/{NOBODY}", "revoke-cert", f"chain/{self.chain_id}",
            "renewal-info/" + (self.cert_id(cx509.load_der_x509_certificate(
                row["der"])) if row else "AAAA.AQ"),
            "renewal-info/" + self.rng.choice((
                "AAAA", "AAAA.", ".AQ", "AAAA.gA", "A.A", "AAAA.AAAB", "%00",
                "AAAA.AQ=", "x" * 3000)), "nothing", "", "%2e%2e/directory"))
        url = self.url(profile, rest) if self.chance(0.9) \
            else f"{self.base}/acme/{rest}"
        return Plan("unsigned", url, method=method)

    # ---- what came of it

    def learn(self, plan, reply, reading):
        if reading is None or reply.status not in (200, 201):
            return
        if reading.kind == "new-account" and reply.status == 201:
            self.accounts.append(Account(reading.profile, plan.key,
                                         reply.header("Location")))
        elif reading.kind == "key-change":
            a = next(a for a in self.accounts
                     if a.id == reading.account["id"])
            a.key = plan.new_key
        elif reading.kind == "cert":
            up = reply.links("up")
            self.chain_id = up[0].rpartition("/")[2] if up else None

    chain_id = None
    PLANS = (
        (10, "new_account"), (2, "bad_binding"), (5, "see_account"),
        (1, "deactivate"), (5, "key_change"), (3, "orders"),
        (18, "new_order"), (2, "new_authz"), (10, "see"), (2, "chain"),
        (2, "directory"), (10, "respond"), (3, "drop_authz"),
        (20, "finalize"), (7, "revoke"), (2, "dead"), (6, "unsigned"))
    OTHERS = ((3, "framing"), (2, "pipeline"), (3, "stranger"),
              (3, "replay"), (2, "ask_ocsp"), (1, "ask_crl"))
    SPOILED = 0.45

    def do(self):
        """One step. Its choices hang on its number, not on how long the keys
        and ids before it were."""
        self.rng.seed(f"{self.seed} {self.step}")
        names = [n for w, n in self.PLANS + self.OTHERS for _ in range(w)]
        if not self.accounts:
            names = ["new_account"]
        name = self.rng.choice(names)
        if name in [n for _, n in self.OTHERS]:
            getattr(self, name)()
            return
        plan = getattr(self, name)()
        if plan is None:
            plan = self.new_account()
        if self.chance(self.SPOILED) and name != "unsigned":
            self.spoil(plan)
        reply, reading = self.act(plan)
        self.learn(plan, reply, reading)
