# SPDX-License-Identifier: ISC
"""What the protocol fuzzer asks for: for each resource a request that is right
in the present state of the world, or wrong in a way that has one answer; and
what is done to a request before and after it is signed."""

import json
import time

from cryptography import x509 as cx509

import challenges
import jose
import proto_mutate as odd
import proto_run
import x509
from jose import b64, sign_jws, unb64
from proto_run import Account, LeafKey, Plan

MALFORMED, MISSING = (400, "malformed"), (404, "malformed")
UNAUTHORIZED, GONE = (403, "unauthorized"), (401, "unauthorized")
BAD_CSR, NOT_READY = (400, "badCSR"), (403, "orderNotReady")
LIMITED = (429, "rateLimited")
CHALLENGES = ("http-01", "dns-01", "tls-alpn-01")
NOBODY = "A" * 22


class Flows(proto_run.Run):
    """Plans; None where there is nothing to ask for yet."""

    # ---- picking

    def pick(self, things):
        things = list(things)
        return self.rng.choice(things) if things else None

    def chance(self, p):
        return self.rng.random() < p

    def number(self):
        self.serial += 1
        return self.serial

    def status(self, account):
        return self.state["accounts"][account.id]["status"]

    def account(self, profile=None, status="valid"):
        return self.pick(a for a in self.accounts
                         if profile in (None, a.profile)
                         and self.status(a) == status)

    def owner(self, row):
        """The valid account of a row, or None."""
        return next((a for a in self.accounts if a.id == row["account"]
                     and self.status(a) == "valid"), None)

    def of(self, table, *statuses):
        """A row of a valid account, the newer the likelier; (row, account)."""
        rows = [r for r in self.state[table].values()
                if (not statuses or r["status"] in statuses)
                and r.get("account") and self.owner(r)]
        if not rows:
            return None, None
        row = rows[max(self.rng.randrange(len(rows)),
                       self.rng.randrange(len(rows)))]
        return row, self.owner(row)

    def plan(self, kind, account, rest, payload=None, expect=((200, None),),
             **more):
        return Plan(kind, self.url(account.profile, rest), payload,
                    account.key, account.url, tuple(expect), **more)

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

    # ---- what is changed

    def spoil(self, plan):
        """Change something of a plan, at any depth."""
        edit = self.rng.choice((self.edit_header, self.edit_header,
                                self.edit_payload, self.edit_payload,
                                self.edit_jws, self.edit_http,
                                self.edit_signer, self.edit_url))
        edit(plan)
        if self.chance(0.15):
            self.edit_http(plan)

    def edit_payload(self, plan):
        if isinstance(plan.payload, dict) and plan.payload:
            rng = self.rng
            plan.edits.append(("payload", lambda p: odd.mutate(rng, p)))
        else:
            plan.payload = self.rng.choice((
                {}, {"a": 1}, b"{}", b"[]", b"null", b" ", b"\0", b'""',
                b"{", b"\xff", {"status": "deactivated"},
                {"status": "valid"}))
            plan.edits.append(("payload", lambda p: p))
        if self.chance(0.1):
            plan.edits.append(("loose", None))

    def edit_header(self, plan):
        rng = self.rng
        other = self.account() or self.accounts and self.accounts[0]
        kid = other.url if other else self.url("default", "account/x")
        key = self.ground.keys.account(0)
        edits = (
            lambda h: odd.mutate(rng, h), lambda h: odd.mutate(rng, h),
            lambda h: {**h, "alg": rng.choice((
                "none", "HS256", "RS256", "ES384", "ES512", "EdDSA", "ES256K",
                "PS256", "es256", "", None, 7, "RS1", "\u20ac" * 50))},
            lambda h: {**h, "kid": kid}, lambda h: {**h, "jwk": key.jwk()},
            lambda h: {**{k: v for k, v in h.items() if k != "jwk"},
                       "kid": kid},
            lambda h: {**{k: v for k, v in h.items() if k != "kid"},
                       "jwk": key.jwk()},
            lambda h: {**{k: v for k, v in h.items() if k != "jwk"},
                       "kid": self.url("default", f"account/{NOBODY}")},
            lambda h: {**h, "crit": rng.choice((["exp"], [], ["b64"]))},
            lambda h: {**h, "b64": rng.choice((True, False))},
            lambda h: {**h, "x5c": ["AA"], "typ": "JOSE", "cty": "json",
                       "zip": "DEF", "jku": "https://evil.example/"},
            lambda h: odd.Pairs([*h.items(), ("nonce", self.old_nonce())]),
            lambda h: odd.Pairs([*h.items(), ("url", h["url"])]),
            lambda h: odd.Pairs([("alg", "none"), *h.items()]),
            lambda h: {**h, "nonce": self.odd_nonce(h["nonce"])},
            lambda h: {**h, "nonce": self.odd_nonce(h["nonce"])},
            lambda h: {k: v for k, v in h.items()
                       if k != rng.choice(sorted(h))},
            lambda h: {k: v for k, v in h.items() if k != "nonce"},
            lambda h: {**h, "pad": "x" * rng.choice((100, 7000, 9000))},
            lambda h: odd.write(h) + rng.choice((b" ", b"x", b"{}", b"\0")),
        )
        if "jwk" in self.header_kind(plan):
            edits = (*edits, *[self.edit_jwk] * 6)
        plan.edits.append(("header", rng.choice(edits)))

    @staticmethod
    def header_kind(plan):
        return "kid" if plan.kid else "jwk"

    def edit_jwk(self, header):
        rng, jwk = self.rng, header["jwk"]
        name = rng.choice(sorted(jwk))
        header["jwk"] = rng.choice((
            lambda: odd.mutate(rng, jwk),
            lambda: {**jwk, name: odd.untidy(rng, str(jwk[name]) or "A")},
            lambda: {**jwk, name: odd.text(rng, str(jwk[name]))},
            lambda: {**jwk, "d": b64(bytes(32))},
            lambda: {**jwk, "alg": rng.choice(("ES256", "RS256", 7))},
            lambda: {**jwk, "use": "enc", "key_ops": ["verify"], "kid": "a"},
            lambda: {**jwk, "x": b64(bytes(32))},
            lambda: {**jwk, "x": b64(b"\xff" * 32), "y": b64(b"\xff" * 32)},
            lambda: {**jwk, "crv": rng.choice(("P-384", "secp256k1", "p-256",
                                               "X25519", ""))},
            lambda: {"kty": "oct", "k": "AAAA"},
            lambda: {"kty": "RSA", "n": b64(b"\xff" * rng.choice((
                64, 128, 256, 257, 512, 1024))), "e": rng.choice((
                    "AQAB", "AQ", "AA", "AAEAAQ", "Ag", b64(b"\xff" * 9)))},
            lambda: {"kty": "OKP", "crv": "Ed25519", "x": b64(bytes(32))},
        ))()
        return header

    def old_nonce(self):
        return self.pick(sorted(self.spent)) or "AAAA"

    def odd_nonce(self, nonce):
        rng = self.rng
        return rng.choice((
            self.old_nonce, self.old_nonce, lambda: "", lambda: nonce * 9,
            lambda: b64(odd.flip(rng, unb64(nonce))),
            lambda: b64(odd.chew(rng, unb64(nonce))),
            lambda: odd.untidy(rng, nonce), lambda: b64(rng.randbytes(60)),
            lambda: odd.odd(rng)))()

    def edit_jws(self, plan):
        rng = self.rng

        def raw(change):
            return lambda j: change(odd.write(j) if isinstance(j, dict)
                                    else j)

        def member(change):
            return lambda j: {**j, "signature": b64(change(
                unb64(j["signature"])))} if isinstance(j, dict) else j
        name = rng.choice(("protected", "payload", "signature"))
        plan.edits.append(("jws", rng.choice((
            member(lambda s: odd.flip(rng, s)),
            member(lambda s: odd.chew(rng, s)),
            member(lambda s: s[32:] + s[:32]), member(lambda s: bytes(64)),
            member(lambda s: b"\0" + s), member(lambda s: b"\xff" * 600),
            self.negated, self.der_signature,
            lambda j: {**j, name: odd.untidy(rng, j[name])},
            lambda j: {**j, "header": rng.choice(({}, {"alg": "none"}, 1))},
            lambda j: {**j, "signatures": rng.choice(([], [j]))},
            lambda j: {k: v for k, v in j.items() if k != name},
            lambda j: odd.Pairs([*j.items(), (name, j[name])]),
            lambda j: odd.mutate(rng, j), lambda j: odd.mutate(rng, j),
            lambda j: {**j, "extra": 1},
            lambda j: {**j, "payload": b64(b'{"status":"deactivated"}')},
            raw(lambda b: odd.flip(rng, b)), raw(lambda b: odd.chew(rng, b)),
            raw(lambda b: b"\xef\xbb\xbf" + b), raw(lambda b: b + b"x"),
            raw(lambda b: b"[" + b + b"]"), raw(lambda b: b""),
            raw(lambda b: b + b" " * rng.choice((10, 70000))),
            raw(lambda b: rng.randbytes(200)),
            raw(lambda b: b.decode("latin-1").encode("utf-16")),
            raw(lambda b: b"[" * 5000),
        ))))

    def negated(self, jws):
        """The other signature of ECDSA that is as good, RFC 7518 says
        nothing of it."""
        order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
        s = unb64(jws["signature"])
        if len(s) != 64:
            return jws
        n = order - int.from_bytes(s[32:], "big")
        return {**jws, "signature": b64(s[:32] + n.to_bytes(32, "big"))}

    @staticmethod
    def der_signature(jws):
        s = unb64(jws["signature"])
        half = len(s) // 2
        return {**jws, "signature": b64(odd.der(0x30, b"".join(
            odd.der(2, b"\0" + p) for p in (s[:half], s[half:]))))}

    def edit_signer(self, plan):
        """Another account, or a key that has none, asks for the same."""
        if plan.key is None:
            return
        other = self.rng.choice(self.accounts) if self.accounts else None
        if other is None or self.chance(0.3):
            plan.key = self.ground.keys.kinds["other"]
            plan.key = LeafKey(plan.key)
        elif self.chance(0.5):
            plan.key, plan.kid = other.key, other.url
        else:
            plan.key = other.key
        plan.edits.append(("signer", None))

    def edit_url(self, plan):
        """Another resource, or the same in another spelling; what is signed
        says one or the other."""
        rng = self.rng
        new = rng.choice((
            lambda u: u + rng.choice(("/", "?", "?a=b", "%20", "//", ";a",
                                      "/x", "#a", ".", "%00", "%2f")),
            lambda u: u.replace("/profile/default", ""),
            lambda u: u.replace("/profile/default", "/profile/tight"),
            lambda u: u.replace("/profile/checked", "/profile/default"),
            lambda u: u.replace("/acme", "/ACME"),
            lambda u: u.replace("/acme", "//acme"),
            lambda u: u.replace("/acme", "/x/../acme"),
            lambda u: u.replace("e", "%65"), lambda u: u[:-1],
            lambda u: u[:-3] + "AAA", lambda u: u.swapcase(),
            lambda u: u.rpartition("/")[0] + "/" + NOBODY,
            lambda u: u.rpartition("/")[0] + "/" + "A" * 300,
            lambda u: self.url("default", rng.choice((
                "new-order", "new-account", "revoke-cert", "key-change",
                "new-authz", "directory", "new-nonce", f"order/{NOBODY}"))),
        ))
        how = rng.randrange(3)
        old = plan.url
        changed = new(old)
        changed = self.base + changed.removeprefix(self.base) \
            if changed.startswith(self.base) else old + "/"
        if how < 2:
            plan.url = changed
        if how > 0:
            plan.edits.append(("header", lambda h: {
                **h, "url": old if how == 1 else changed}
                if isinstance(h, dict) else h))
        plan.edits.append(("url", None))
        plan.expect = ()

    def edit_http(self, plan):
        rng = self.rng
        plan.edits.append(("http", rng.choice((
            self.chunked, self.chunked, self.pieces, self.fields, self.fields,
            lambda s: setattr(s, "method", rng.choice((
                "PUT", "GET", "DELETE", "HEAD", "PATCH", "OPTIONS"))),
            lambda s: self.media(s, rng.choice((
                "application/json", "", "application/jose",
                "application/jose+json; charset=utf-8",
                "APPLICATION/JOSE+JSON", "application/jose+json,text/plain",
                "application/jose+jsonx", "text/plain", "x" * 900,
                "multipart/form-data; boundary=x", "application/jose+json;"))),
            lambda s: self.media(s, None),
            lambda s: s.fields.append(("Content-Type", "text/plain")),
            lambda s: setattr(s, "target", self.base + s.target),
            lambda s: setattr(s, "target", s.target + "?x"),
            lambda s: setattr(s, "body", s.body + b" " * 1000),
            lambda s: setattr(s, "body", b" " * 1000 + s.body),
        ))))

    def chunked(self, sent):
        sent.chunks = self.rng.choice((1, 2, 7, 40))

    def pieces(self, sent):
        sent.pieces = self.rng.choice((2, 5))

    def fields(self, sent):
        rng = self.rng
        sent.fields += [rng.choice((
            ("X-Forwarded-For", "1.2.3.4"), ("Forwarded", "for=\"[::1]\""),
            ("X-Forwarded-Host", "evil.example"), ("Accept", "text/html"),
            ("Accept-Encoding", "gzip, br"), ("Range", "bytes=0-1"),
            ("If-None-Match", "*"), ("If-Match", "\"x\""), ("Cookie", "a=b"),
            ("Authorization", "Basic YTpi"), ("Via", "1.1 x"),
            ("User-Agent", "x" * 3000), ("Expect", "100-continue"),
            ("X-HTTP-Method-Override", "DELETE"), ("TE", "trailers"),
            ("Content-Encoding", "gzip"), ("Origin", "https://evil.example"),
            ("Connection", "close"), ("Upgrade", "h2c"), ("X", ""),
            ("Accept-Language", "\xe9"), ("Connection", "keep-alive, x"),
            ("Prefer", "wait=1"), ("Content-Language", "en"),
        )) for _ in range(rng.choice((1, 1, 3, 8)))]

    @staticmethod
    def media(sent, kind):
        sent.fields = [(k, v) for k, v in sent.fields
                       if k != "Content-Type"]
        if kind is not None:
            sent.fields.append(("Content-Type", kind))

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
