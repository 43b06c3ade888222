# SPDX-License-Identifier: ISC
"""What the protocol fuzzer does to a request that was right, before and after
it is signed: its header and payload, the JWS, whose it is, its URL, HTTP."""

import proto_mutate as odd
import proto_run
from jose import b64, unb64
from proto_run import LeafKey, Plan

NOBODY = "A" * 22       # an id that no object has


class Spoil(proto_run.Run):

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
        order = int("FFFFFFFF00000000FFFFFFFFFFFFFFFF"
                    "BCE6FAADA7179E84F3B9CAC2FC632551", 16)
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
