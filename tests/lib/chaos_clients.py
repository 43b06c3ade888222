# SPDX-License-Identifier: ISC
"""Clients of chaos.py: they ask any of the replicas, bring some requests
twice, go on after whatever happens, and note all that they see as events
(checker.py)."""

import http.client
import json
import random
import re
import threading
import time

import jose
import web
import x509
from acme import Client, Refused
from servers import LOCALHOST

PUBLIC_URL = "https://acme.chaos.internal"
BROKEN = (OSError, http.client.HTTPException)

KIND_OF = (("new-account", r"/new-account$"), ("new-order", r"/new-order$"),
           ("key-change", r"/key-change$"), ("revoke", r"/revoke-cert$"),
           ("finalize", r"/order/([^/]+)/finalize$"),
           ("order", r"/order/([^/]+)$"), ("cert", r"/cert/([^/]+)$"),
           ("account", r"/account/([^/]+)$"))


def describe(path, body):
    """An event of what is sent."""
    jws = json.loads(body)
    head = json.loads(jose.unb64(jws["protected"]))
    payload = jose.unb64(jws["payload"])
    kid = head.get("kid")
    event = {"nonce": head["nonce"], "kind": "other", "object": None,
             "account": kid and kid.rpartition("/")[2],
             "body": json.loads(payload) if payload else None}
    for kind, pattern in KIND_OF:
        found = re.search(pattern, path)
        if found:
            event["kind"] = kind
            event["object"] = found.group(1) if found.groups() else None
            break
    if event["kind"] == "key-change":
        inner = json.loads(jose.unb64(event["body"]["protected"]))
        members = jose.compact(dict(sorted(inner["jwk"].items())))
        event["thumbprint"] = jose.b64(
            jose.hashlib.sha256(members).digest())
    return event


class Road:
    """The way of one client's requests, to any of the replicas; each signed
    one becomes an event, and some are brought twice."""

    def __init__(self, world, rng):
        self.world, self.rng, self.last = world, rng, None
        self.lanes = [[web.Web(timeout=20) for _ in world.members]
                      for _ in range(2)]

    def get(self, url):
        return self.request("GET", url)

    def request(self, method, url, body=None, headers=None):
        path = url.removeprefix(PUBLIC_URL)
        member = self.rng.randrange(len(self.world.members))
        event = twin = None
        if method == "POST":
            event = describe(path, body)
            if self.rng.random() < self.world.twice:
                twin = threading.Thread(target=self._again, args=(
                    method, path, body, headers, dict(event)), daemon=True)
                if self.rng.random() < 0.6:
                    twin.start()
        try:
            self.last = self._one(0, member, method, path, body, headers,
                                  event)
        finally:
            if twin is not None:
                if twin.ident is None:
                    twin.start()
                twin.join()
        return self.last

    def _again(self, *request):
        other = self.rng.randrange(len(self.world.members))
        try:
            self._one(1, other, *request)
        except BROKEN:
            pass

    def _one(self, lane, i, method, path, body, headers, event):
        port = self.world.members[i].port
        fields = {"Host": PUBLIC_URL.split("/")[2], **(headers or {})}
        if event is not None:
            event.update(member=i, sent=time.monotonic(), status=None,
                         problem=None, location=None, answer=None)
        try:
            answer = self.lanes[lane][i].request(
                method, f"http://{LOCALHOST}:{port}{path}", body, fields)
            if event is not None:
                self._note(event, answer)
        finally:
            if event is not None:
                event["answered"] = time.monotonic()
                self.world.events.append(event)
        return answer

    @staticmethod
    def _note(event, answer):
        text = answer.body
        event["status"] = answer.status
        event["problem"] = answer.problem
        place = answer.header("Location")
        event["location"] = place and place.rpartition("/")[2]
        if event["kind"] == "cert":
            event["answer"] = text.decode()
        elif text:
            event["answer"] = json.loads(text)

    def close(self):
        for lane in self.lanes:
            for one in lane:
                one.close()


class Worker(threading.Thread):
    """A client that makes orders until it is told to finish them."""

    key = x509.new_key()        # of all certificates; nobody cares

    def __init__(self, world, number, shared=None, profile="default"):
        super().__init__(daemon=True)
        self.rng = random.Random(world.plan.seed * 100 + number)
        self.world, self.number, self.names = world, number, 0
        self.road = Road(world, self.rng)
        self.client = Client(
            f"{PUBLIC_URL}/acme/profile/{profile}/directory", http=self.road)
        self.proves = profile == "challenge"
        self.sharing = shared   # another worker, whose account is used
        self.orders = []        # (URL, names), not yet downloaded
        self.done = []          # (order's URL, names, DER)
        self.failure = None

    def run(self):
        try:
            self.work()
            self.finish()
        except Exception as error:  # noqa: B902
            self.failure = error
        finally:
            self.road.close()

    # ---- while the weather is bad

    def work(self):
        while self.world.loading and not self.register():
            pass
        while self.world.loading:
            step = self.rng.choices(
                (self.new_order, self.issue, self.again, self.revoke,
                 self.change_key), (12, 10, 2, 1, 0.6))[0]
            try:
                step()
            except Refused:
                time.sleep(0.005)
            except BROKEN:
                time.sleep(0.02)

    def register(self):
        if self.sharing is not None:
            self.client.key = self.sharing.client.key
        try:
            self.client.register()
            return True
        except (Refused, *BROKEN):
            time.sleep(0.02)
            return False

    def new_order(self):
        if self.rng.random() < 0.1 and self.orders:
            names = self.orders[-1][1]      # the same one once more
        else:
            self.names += 1
            names = [f"w{self.number}-{self.names}.chaos.example.org"]
        order = self.client.order(names)
        if all(order.url != url for url, _ in self.orders + [
                d[:2] for d in self.done]):
            self.orders.append((order.url, names))

    def issue(self):
        """Go on with one of the orders; True if it has come to its end."""
        if not self.orders:
            return self.new_order()
        at = self.rng.randrange(len(self.orders))
        url, names = self.orders[at]
        body = self.client.post(url).json
        if body["status"] == "pending":
            self.prove(body)
        if body["status"] == "ready":
            body = self.finalize(url, names)
        if body["status"] == "valid":
            chain = self.client.post(body["certificate"]).body
            der = x509.der(x509.split_chain(chain)[0])
            self.done.append((url, names, der))
        if body["status"] in ("valid", "invalid"):
            self.orders.pop(at)
        return None

    def prove(self, order):
        """Answer the challenges of an order that were not answered yet."""
        for url in order["authorizations"]:
            authz = self.client.post(url).json
            for one in authz["challenges"]:
                if one["type"] == "http-01" and one["status"] == "pending":
                    self.world.ground.http.put(self.client, one["token"])
                    self.client.post(one["url"], {})

    def finalize(self, url, names):
        csr = x509.make_csr(names, self.key)
        return self.client.post(f"{url}/finalize",
                                {"csr": jose.b64(csr)}).json

    def again(self):
        """What is over is asked for once more; that changes nothing."""
        if self.done:
            url, names, _ = self.rng.choice(self.done)
            self.finalize(url, names)

    def revoke(self):
        if self.done and self.sharing is None:
            _, _, der = self.rng.choice(self.done)
            self.client.post(self.client.directory["revokeCert"],
                             {"certificate": jose.b64(der)})

    def change_key(self):
        if self.sharing is not None or self.world.shares(self) or \
                self.proves:    # its answers name the key
            return
        new = jose.make_key("ES256")
        url = self.client.directory["keyChange"]
        inner = jose.sign_jws(
            new, {"alg": new.alg, "jwk": new.jwk(), "url": url},
            {"account": self.client.kid, "oldKey": self.client.key.jwk()})
        keys = [new, self.client.key]
        try:
            self.client.post(url, inner)
            self.client.key = new
        except (Refused, *BROKEN):
            self.find_key(keys)

    def find_key(self, keys):
        """Which of them is the account's, now that nobody knows?"""
        end = time.monotonic() + self.world.patience + 60
        while True:
            for key in keys:
                self.client.key = key
                try:
                    self.client.post(self.client.kid, {})
                    return
                except Refused as error:
                    if error.status >= 500:
                        time.sleep(0.02)
                except BROKEN:
                    time.sleep(0.02)
            assert time.monotonic() < end, "no key is the account's"

    # ---- afterwards

    def finish(self):
        """All that was begun comes to its end."""
        self.world.healed.wait()
        end = time.monotonic() + self.world.patience
        while self.client.kid is None:
            self.register()
            assert time.monotonic() < end, "no account"
        while self.orders:
            assert time.monotonic() < end, f"no end of {self.orders[:3]}"
            try:
                n = len(self.orders)
                self.issue()
                if len(self.orders) == n:
                    time.sleep(0.05)
            except (Refused, *BROKEN):
                time.sleep(0.05)
