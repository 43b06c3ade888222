# SPDX-License-Identifier: ISC
"""What must be true after chaos, judged from what clients saw, the store,
the metrics and the audit trail, when the system has come to rest.

    complaints = checker.check(Facts(...))

Every rule is about what happened, none about how long it took. A client that
had no answer knows nothing: such a request counts neither for nor against.

An event is what one client saw of one signed request, a dict:

    kind      new-account, new-order, order, finalize, cert, revoke,
              key-change, account
    nonce     of its header
    account   id of the account that signed, None for new-account
    object    id in its URL
    body      the payload, parsed
    sent, answered   moments of one monotonic clock, seconds
    status    None if there was no answer
    problem   ACME error name or None
    location  id at the end of Location
    answer    parsed JSON; for cert the PEM as text
"""

import base64
import collections
import dataclasses
import json

from cryptography import x509 as cx509

import jose
import x509


@dataclasses.dataclass
class Facts:
    events: list
    tables: dict            # name: rows as dicts; blobs as bytes
    most: int = 0           # new-order: at most so many
    window: float = 0       # in so many seconds; 0: no limit
    counted: str = ""       # by whom: redis, store, memory
    lost: list = dataclasses.field(default_factory=list)
    # when the counts of Redis were lost, moments of the events' clock
    asked: dict = None      # of Vault: how often for each name; None: no Vault
    metrics: list = dataclasses.field(default_factory=list)
    # of the processes that are alive now
    lease: float = 0        # of work, by the store's clock; 0: not judged


def accepted(event):
    return event["status"] is not None and 200 <= event["status"] < 300


def seen(facts, *kinds):
    return [e for e in facts.events if e["kind"] in kinds and accepted(e)]


def by(rows, column):
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row[column]].append(row)
    return groups


def leaf_of(pem):
    return x509.der(x509.split_chain(pem)[0])


# ---- certificates

def handed_out(facts):
    """Every certificate handed out is stored exactly once, as the one that
    its URL names; nobody ever sees another one there."""
    stored = by(facts.tables["certificates"], "der")
    for event in seen(facts, "cert"):
        rows = stored[leaf_of(event["answer"])]
        if len(rows) != 1:
            yield (f"certificate {event['object']} was handed out and is "
                   f"stored {len(rows)} times")
        elif rows[0]["id"] != event["object"]:
            yield (f"certificate {rows[0]['id']} was handed out as "
                   f"{event['object']}")
        elif rows[0]["account"] != event["account"]:
            yield f"certificate {rows[0]['id']} was handed to a stranger"


def _claim(row, order):
    """What of a certificate is not as its order's claim says?"""
    cert = cx509.load_der_x509_certificate(row["der"])
    csr = order["csr"] and cx509.load_der_x509_csr(order["csr"])
    if csr is None or order["attempt"] < 1:
        yield "was signed without a claim"
        return
    if x509.spki(csr.public_key()) != x509.spki(cert.public_key()):
        yield "has not the key that was claimed"
    names = {i["value"] for i in json.loads(order["identifiers"])}
    if x509.names_of(cert) != names:
        yield "has not the names of its order"
    if f"{cert.serial_number:x}" != row["serial"].lstrip("0"):
        yield "is stored under another serial"
    if order["serial"] not in (None, row["serial"]):
        yield "has not the serial that was claimed"
    if order["serial"] is not None and (
            row["not_before"] // 1000000 !=
            order["cert_not_before"] // 1000000):
        yield "has not the time that was claimed"


def stored(facts):
    """Every stored one belongs to one order or loop, was signed after its
    claim and as that says; or is one too many, and revoked from birth."""
    orders = {o["id"]: o for o in facts.tables["orders"]}
    for row in facts.tables["certificates"]:
        what = f"certificate {row['id']}"
        if row["order_id"] is None:
            if row["loop"] is None and row["status"] != "revoked":
                yield f"{what} belongs to nobody and is not revoked"
            continue
        order = orders.get(row["order_id"])
        if order is None or order["certificate"] != row["id"] or \
                order["status"] != "valid":
            yield f"{what} is not the one of its order"
            continue
        for complaint in _claim(row, order):
            yield f"{what} {complaint}"
    certificates = by(facts.tables["certificates"], "order_id")
    for order in facts.tables["orders"]:
        n = len(certificates[order["id"]])
        if n != (order["status"] == "valid"):
            yield f"order {order['id']} is {order['status']} with {n} " \
                  "certificates"


def validated(facts):
    """Nothing is signed for a name that was not validated."""
    authzs = by(facts.tables["authorizations"], "order_id")
    for order in facts.tables["orders"]:
        if order["profile"] != "challenge" or order["status"] not in (
                "ready", "processing", "valid"):
            continue
        names = {i["value"] for i in json.loads(order["identifiers"])}
        good = {z["value"] for z in authzs[order["id"]]
                if z["status"] == "valid"}
        if names - good:
            yield f"order {order['id']} is {order['status']} without a " \
                  f"validation of {', '.join(sorted(names - good))}"


def asked(facts):
    """A remote issuer is asked once for each claim, and once more for each
    time of which nobody knows what came of it; not more."""
    if facts.asked is None:
        return
    claims, doubts = collections.Counter(), collections.Counter()
    for order in facts.tables["orders"]:    # some have the same names
        names = ",".join(sorted(
            i["value"] for i in json.loads(order["identifiers"])))
        claims[names] += order["attempt"]
        doubts[names] += order["uncertain"]
    for names, n in claims.items():
        if facts.asked.get(names, 0) > n + doubts[names]:
            yield f"{names}: Vault was asked {facts.asked[names]} times " \
                  f"after {n} claims"


def leases(facts):
    """Nobody takes work over before its lease is over."""
    lease = facts.lease * 1000000
    if not lease:
        return
    begun = {}
    for row in sorted(facts.tables["audit"], key=lambda r: r["at"]):
        if row["action"] == "order.create":
            begun[row["order_id"]] = row["at"]
        elif row["action"] == "order.retake":
            order = row["order_id"]
            if row["at"] - begun.get(order, -lease) < lease:
                yield f"order {order} was taken over too soon"
            begun[order] = row["at"]
        elif row["action"] == "loop.attempt":
            name = row["object"]
            if row["at"] - begun.get(name, -lease) < lease:
                yield f"loop {name} was attempted twice at a time"
            begun[name] = row["at"]
        elif row["action"] == "loop.fail":
            begun.pop(row["object"], None)


# ---- nonces and limits

def nonces(facts):
    """No nonce is accepted twice, wherever it is brought."""
    for nonce, events in by(facts.events, "nonce").items():
        n = sum(accepted(e) for e in events)
        if n > 1:
            yield f"nonce {nonce[:12]}... was accepted {n} times, for " \
                  + ", ".join(e["kind"] for e in events if accepted(e))


def limits(facts):
    """No window has more than there may be. What was sent and answered
    within it was taken within it; what the store counts, it says itself."""
    if not facts.window:
        return
    good = [e for e in facts.events
            if e["kind"] == "new-order" and e["status"] == 201]
    for account, events in by(good, "account").items():
        if facts.counted == "store":
            break
        for first in events:
            end = first["sent"] + facts.window
            if any(first["sent"] <= at <= end for at in facts.lost):
                continue
            inside = [e for e in events if e["sent"] >= first["sent"]
                      and e["answered"] < end]
            if len(inside) > facts.most:
                yield f"{len(inside)} orders of account {account} within " \
                      f"{facts.window} s, at most {facts.most} may be"
                break
    for key, stamps in by(facts.tables["limit_stamps"], "id").items():
        if not key.startswith("new_order_per_account"):
            continue
        at = [s["at"] for s in sorted(stamps, key=lambda s: s["seq"])]
        for first, last in zip(at, at[facts.most:]):
            if last - first < facts.window * 1000000:
                yield f"{facts.most + 1} orders were counted within " \
                      f"{(last - first) / 1e6:.3f} s of {key}"
                break
    if facts.counted == "store":
        taken = sum(1 for s in facts.tables["limit_stamps"]
                    if s["id"].startswith("new_order_per_account"))
        if len(good) > taken:
            yield f"{len(good)} orders were taken, {taken} counted"


# ---- ends

def ends(facts):
    """At rest nothing is under way: no order, no authorization, no loop."""
    for order in facts.tables["orders"]:
        if order["status"] == "processing":
            yield f"order {order['id']} is stuck in processing"
    for authz in facts.tables["authorizations"]:
        if authz["lease"] is not None:
            yield f"authorization {authz['id']} is stuck in validation"
    for loop in facts.tables["loops"]:
        if loop["lease_until"] is not None:
            yield f"loop {loop['name']} is stuck in an attempt"
    for one in facts.metrics:
        for name in ("store_depth", "redis_in_flight"):
            if one.get(f"certloop_{name}", 0) != 0:
                yield f"at rest {name} is {one[f'certloop_{name}']:.0f}"


# ---- what was promised

def _accounts(facts):
    accounts = {a["id"]: a for a in facts.tables["accounts"]}
    for event in seen(facts, "new-account"):
        if event["location"] not in accounts:
            yield f"account {event['location']} was made and is not stored"
    for account, events in by([e for e in facts.events
                               if e["kind"] == "key-change"],
                              "account").items():
        if account in accounts:
            yield from _keys(accounts[account], events)


def _keys(account, events):
    """The key that a successful change gave stays, unless one came after of
    which nobody knows."""
    good = [e for e in events if accepted(e)]
    maybe = [e for e in events if e["status"] is None or e["status"] >= 500]
    changes = account["key_version"] - 1
    if account.get("status", "valid") != "valid":
        changes -= 1        # its end raises the version, too
    if not len(good) <= changes <= len(good) + len(maybe):
        yield f"account {account['id']} had {len(good)} key changes " \
              f"({len(maybe)} more perhaps), {changes} are stored"
    if good:
        last = max(good, key=lambda e: e["answered"])
        keys = {e["thumbprint"] for e in maybe
                if e["answered"] > last["sent"]} | {last["thumbprint"]}
        if account["thumbprint"] not in keys:
            yield f"account {account['id']} has not the key that it was given"


def _orders(facts):
    orders = {o["id"]: o for o in facts.tables["orders"]}
    valid = {}      # id: when it was first said to be
    views = []
    for event in seen(facts, "new-order", "order", "finalize"):
        name = event["location"] if event["kind"] == "new-order" \
            else event["object"]
        order = orders.get(name)
        if order is None:
            yield f"order {name} was shown by {event['kind']} and is not " \
                  "stored"
        elif order["account"] != event["account"]:
            yield f"order {name} was shown to a stranger"
        else:
            views.append((event, order))
    for event, order in views:
        if event["answer"]["status"] != "valid":
            continue
        at = valid.get(order["id"], event["answered"])
        valid[order["id"]] = min(at, event["answered"])
        url = event["answer"]["certificate"].rpartition("/")[2]
        if (order["status"], order["certificate"]) != ("valid", url):
            yield f"order {order['id']} was valid with certificate {url}, " \
                  f"now {order['status']} with {order['certificate']}"
    for event, order in views:
        status = event["answer"]["status"]
        if status != "valid" and \
                event["sent"] > valid.get(order["id"], float("inf")):
            yield f"order {order['id']} was valid, then {status}"


def _revocations(facts):
    rows = by(facts.tables["certificates"], "der")
    told = collections.Counter()
    for event in seen(facts, "revoke"):
        der = jose.unb64(event["body"]["certificate"])
        told[der] += 1
        if not any(r["status"] == "revoked" for r in rows[der]):
            yield "a certificate was revoked and is not: " + ", ".join(
                r["id"] for r in rows[der])
    for der, n in told.items():
        if n > 1:
            yield f"certificate {rows[der][0]['id']} was revoked {n} times"


def promised(facts):
    """Every success that a client saw is in the store."""
    yield from _accounts(facts)
    yield from _orders(facts)
    yield from _revocations(facts)


# ---- audit and metrics

def audit(facts):
    """Each change has its row, once, and no row speaks of what is not."""
    tables = facts.tables
    rows = by(tables["audit"], "action")

    def compare(action, column, things):
        told = collections.Counter(r[column] for r in rows[action])
        for thing in things:
            if told[thing] != 1:
                yield f"{action} of {thing} is told {told[thing]} times"
        for thing in set(told) - set(things):
            yield f"{action} of {thing}, which is not stored"
    yield from compare("account.create", "account",
                       [a["id"] for a in tables["accounts"]])
    yield from compare("order.create", "order_id",
                       [o["id"] for o in tables["orders"]])
    yield from compare("authz.valid", "object",
                       [z["id"] for z in tables["authorizations"]
                        if z["profile"] == "challenge"
                        and z["status"] == "valid"])
    yield from compare("certificate.issue", "serial",
                       [c["serial"] for c in tables["certificates"]
                        if c["order_id"] or c["revoked_at"] is None
                        or c["revoked_at"] != c["created"]])


def counters(facts):
    """No process counts more than there is."""
    for name, table in (("orders_created", "orders"),
                        ("certificates_issued", "certificates"),
                        ("accounts_created", "accounts")):
        n = sum(m.get(f"certloop_{name}_total", 0) for m in facts.metrics)
        if n > len(facts.tables[table]):
            yield f"{name} is {n:.0f}, {len(facts.tables[table])} are stored"


# ---- cert loops

def loops(facts):
    """One certificate for one period, and nothing stored of an attempt that
    had lost its lease."""
    pairs = by([c for c in facts.tables["certificates"]
                if c["loop"] is not None and c["status"] == "valid"], "loop")
    known = {loop["name"]: loop for loop in facts.tables["loops"]}
    for name, loop in known.items():
        certificates = pairs[name]
        if len(certificates) > 1 or loop["version"] > 1:
            yield f"loop {name} has {len(certificates)} certificates for " \
                  f"one period, version {loop['version']}"
        if loop["version"] > 0 and loop["certificate"] not in [
                c["id"] for c in certificates]:
            yield f"loop {name} has lost its certificate"
        if loop["version"] == 0 and certificates:
            yield f"loop {name} does not know its certificate"
    for name in set(pairs) - set(known):
        yield f"certificates of a loop {name} that there is not"


RULES = (handed_out, stored, validated, asked, leases, nonces, limits, ends,
         promised, audit, counters, loops)


def check(facts):
    """Every complaint, with the name of its rule before it."""
    return [f"{rule.__name__}: {complaint}" for rule in RULES
            for complaint in rule(facts)]


def parsed_rows(lines):
    """Rows that PostgreSQL wrote as JSON, a line each; bytea as bytes."""
    rows = []
    for line in lines:
        row = json.loads(line)
        rows.append({k: bytes.fromhex(v[2:])
                     if isinstance(v, str) and v.startswith("\\x") else v
                     for k, v in row.items()})
    return rows


def as_json(value):
    """For json.dumps: bytes as base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(type(value))
