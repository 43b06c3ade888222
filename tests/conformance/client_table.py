# SPDX-License-Identifier: ISC
"""The part of the page about clients: the file `clients`, and each of its
tests on both engines."""

import html
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ABILITIES = {
    "http-01": "http-01", "dns-01": "dns-01", "tls-alpn-01": "tls-alpn-01",
    "wildcard": "wildcard", "address": "IP address",
    "binding": "external account binding", "renewal": "renewal",
    "revocation": "revocation", "by-key": "revocation by the "
    "certificate's key", "contact": "another contact",
    "rollover": "key rollover", "leaving": "deactivation"}
ENGINES = ("sqlite", "postgres")


class Client:
    """Or, with own, what only the tests' own client does. tests: ability ->
    tests; none: ability -> why."""

    def __init__(self, title, own=False):
        self.title = title
        self.own = own
        self.tests = {}
        self.none = {}
        self.note = ""

    def all_tests(self):
        return [t for tests in self.tests.values() for t in tests]


def read_clients(path):
    found = []
    for number, line in enumerate(Path(path).read_text().splitlines(), 1):
        word, _, rest = line.strip().partition(" ")
        if not word or word.startswith("#"):
            continue
        if word in ("client", "own:"):
            found.append(Client(rest, word == "own:"))
        elif found[-1].own:
            found[-1].tests.setdefault("", []).append(word)
        elif word == "note:":
            found[-1].note = rest
        elif word not in ABILITIES:
            sys.exit(f"{path}:{number}: no ability is called {word}")
        elif rest.startswith("none: "):
            found[-1].none[word] = rest[6:]
        else:
            found[-1].tests.setdefault(word, []).append(rest)
    for one in found:
        for ability in () if one.own else ABILITIES:
            if (ability in one.tests) == (ability in one.none):
                sys.exit(f"{path}: {one.title}: {ability} is there twice, "
                         "or not at all")
    return found


def functions(clients):
    """For pytest: the tests without their cases."""
    return {t.split("[")[0] for one in clients for t in one.all_tests()}


def read_cases(path):
    """[(file::function, case, did it pass?)], those that were skipped not."""
    cases = []
    for case in ElementTree.parse(path).iter("testcase"):
        if case.find("skipped") is not None:
            continue
        function, _, rest = case.get("name").partition("[")
        file = case.get("classname").split(".")[-1] + ".py"
        bad = case.find("failure") is not None or \
            case.find("error") is not None
        cases.append((f"{file}::{function}", rest.rstrip("]"), not bad))
    return cases


def verdict_of(tests, cases, engines=ENGINES):
    """passed only if each test ran on each engine."""
    ran = True
    for test in tests:
        function, _, case = test.rstrip("]").partition("[")
        mine = [(c, good) for f, c, good in cases
                if f == function and case in c]
        if not all(good for _, good in mine):
            return "failed"
        ran = ran and bool(mine) and all(
            any(e in c for c, _ in mine) for e in engines)
    return "passed" if ran else "missing"


def write_own(one, cases):
    verdict = verdict_of(one.tests[""], cases, engines=())
    tests = "<br>".join(html.escape(t) for t in one.tests[""])
    return verdict, (
        f"<tr><td>{html.escape(one.title)}<br><small>{tests}</small></td>"
        f'<td class="{verdict}">{verdict}</td></tr>')


def write_client(one, cases):
    """(verdict, cells, remarks) of a client."""
    cells, remarks, verdicts = [], [], []
    for ability, title in ABILITIES.items():
        if ability in one.none:
            cells.append("<td>no</td>")
            remarks.append(f"{title}: {one.none[ability]}.")
            continue
        verdict = verdict_of(one.tests[ability], cases)
        verdicts.append(verdict)
        cells.append(f'<td class="{verdict}" title="'
                     f'{html.escape(" ".join(one.tests[ability]))}">'
                     f"{verdict}</td>")
    if one.note:
        remarks.append(one.note)
    return verdicts, "".join(cells), remarks


def write_table(clients, cases):
    """HTML, and the verdict of each cell."""
    verdicts = []
    parts = ["<h2>Clients of Debian 12</h2><p>What each can do, and did in "
             "this run, on SQLite and on PostgreSQL. No: the client cannot, "
             "for the reason below.</p><table><tr><th>client"]
    parts += [f"<th>{html.escape(t)}" for t in ABILITIES.values()]
    parts.append("</tr>")
    reasons = []
    for one in clients:
        if one.own:
            continue
        mine, cells, remarks = write_client(one, cases)
        verdicts += mine
        parts.append(f"<tr><td>{html.escape(one.title)}</td>{cells}</tr>")
        tests = ", ".join(sorted(set(one.all_tests())))
        reasons.append(
            f"<tr><td>{html.escape(one.title)}</td><td>"
            f"{html.escape(' '.join(r[0].upper() + r[1:] for r in remarks))}"
            f"<br><small>{html.escape(tests)}</small></td></tr>")
    parts += ["</table><table>", *reasons, "</table>",
              "<p>What none of them does, driven by the tests' own client:"
              "</p><table>"]
    for one in clients:
        if one.own:
            verdict, text = write_own(one, cases)
            verdicts.append(verdict)
            parts.append(text)
    parts.append("</table>")
    return "\n".join(parts), verdicts
