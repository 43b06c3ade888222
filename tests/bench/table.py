# SPDX-License-Identifier: ISC
"""The table that tests/bench/run prints."""


def ms(report, request, figure):
    """A latency in milliseconds, or a dash."""
    found = report["requests"].get(request)
    return f"{found[figure] / 1000:.2f}" if found else "-"


def number(value, digits=1):
    return "-" if value is None else f"{value:.{digits}f}"


def write_rows(out, head, rows):
    """The first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [head, *rows])
              for i in range(len(head))]
    for row in [head, *rows]:
        cells = [row[0].ljust(widths[0])]
        cells += [c.rjust(w) for c, w in zip(row[1:], widths[1:])]
        print("  ".join(cells).rstrip(), file=out)


def write_issuances(bench):
    names = list(bench.issuances)
    reports = list(bench.issuances.values())

    def row(title, figure):
        return [title, *map(figure, reports)]

    def ratio(r):
        floor = r.get("floor")
        return number(r["server"]["cpu_us"] / floor if floor else None, 2)

    first = reports[0]
    print(f"\nFull issuance over TLS, {first['connections']} connections, "
          f"{first['accounts']} accounts, P-256 everywhere",
          file=bench.out)
    rows = [
        row("issuances", lambda r: str(r["done"])),
        row("failed", lambda r: str(r["failed"])),
        row("issuances a second", lambda r: number(r["rate"])),
        row("server CPU us", lambda r: number(r["server"]["cpu_us"])),
        row("  of it user", lambda r: number(r["server"]["user_us"])),
        row("  of it system", lambda r: number(r["server"]["system_us"])),
        row("bare crypto of one, us", lambda r: number(r.get("floor"))),
        row("server CPU to bare crypto", ratio),
        row("PostgreSQL's CPU us", lambda r: number(r.get("postgres_us"))),
        row("server core busy %",
            lambda r: number(100 * r["server"]["share"], 0)),
        row("client core busy %",
            lambda r: number(100 * r["client"]["share"], 0)),
        row("RSS MB at 10 %",
            lambda r: number(r["server"]["rss_warm_kib"] / 1024)),
        row("RSS MB at the end",
            lambda r: number(r["server"]["rss_end_kib"] / 1024)),
        row("store round trips", lambda r: number(r.get("trips"), 2)),
        row("store commits", lambda r: number(r.get("commits"), 3)),
        row("badNonce retried", lambda r: str(r["bad_nonce_retries"])),
    ]
    for request in ("new-order", "finalize", "certificate"):
        for figure in ("p50", "p99", "max"):
            rows.append(row(f"{request} {figure} ms",
                            lambda r, q=request, f=figure: ms(
                                r, q, f"{f}_us")))
    write_rows(bench.out, ["", *names], rows)


def write_validated(bench):
    names = list(bench.validated)
    reports = list(bench.validated.values())

    def row(title, figure):
        return [title, *map(figure, reports)]

    print(f"\nOrders with a name validated by http-01, over TLS, "
          f"{reports[0]['connections']} connections", file=bench.out)
    rows = [
        row("issuances", lambda r: str(r["done"])),
        row("failed", lambda r: str(r["failed"])),
        row("issuances a second", lambda r: number(r["rate"])),
        row("server CPU us", lambda r: number(r["server"]["cpu_us"])),
        row("server core busy %",
            lambda r: number(100 * r["server"]["share"], 0)),
        row("polls", lambda r: str(r["polls"])),
        row("RSS MB at the end",
            lambda r: number(r["server"]["rss_end_kib"] / 1024)),
    ]
    for request in ("new-order", "challenge", "finalize", "certificate"):
        for figure in ("p50", "p99"):
            rows.append(row(f"{request} {figure} ms",
                            lambda r, q=request, f=figure: ms(
                                r, q, f"{f}_us")))
    rows.append(row("order p50 ms", lambda r: number(
        r["units"]["order"]["p50_us"] / 1000 if r["done"] else None)))
    write_rows(bench.out, ["", *names], rows)


def write_frozen(bench):
    reports = list(bench.frozen.values())
    print(f"\nFull issuance by the local CA, {reports[0]['connections']} "
          "connections, while Vault is", file=bench.out)
    rows = [["issuances a second", *[number(r["rate"]) for r in reports]],
            ["failed", *[str(r["failed"]) for r in reports]]]
    for request in ("new-order", "finalize", "certificate"):
        for figure in ("p50", "p99"):
            rows.append([f"{request} {figure} ms",
                         *[ms(r, request, f"{figure}_us") for r in reports]])
    write_rows(bench.out, ["", *bench.frozen], rows)


def write_unsigned(bench):
    rows = []
    for (scenario, name), r in bench.unsigned.items():
        other = bench.unsigned.get((scenario, "nginx"))
        cpu = r["server"]["cpu_us"]
        ratio = "-"
        if name != "nginx" and other:
            ratio = f"{cpu / other['server']['cpu_us']:.2f}"
        rows.append([f"{scenario} {name}", number(r["rate"], 0),
                     number(cpu), ratio, ms(r, scenario, "p50_us"),
                     ms(r, scenario, "p99_us"), str(r["failed"])])
    print("\nUnsigned requests over TLS, the same answers from both",
          file=bench.out)
    write_rows(bench.out, ["", "a second", "CPU us", "to nginx", "p50 ms",
                           "p99 ms", "failed"], rows)


def write_ocsp(bench):
    rows = []
    for (scenario, limit), r in bench.ocsp.items():
        cpu = r["server"]["cpu_us"]
        rows.append([f"{scenario}, {limit}", number(r["rate"], 0),
                     number(cpu), number(1e6 / cpu if cpu else None, 0),
                     number(100 * r["hits"], 1),
                     ms(r, "ocsp", "p50_us"), ms(r, "ocsp", "p99_us"),
                     str(r["failed"])])
    print("\nAnswers of OCSP over HTTP, kept connections; limit is that of "
          "an address", file=bench.out)
    write_rows(bench.out, ["", "a second", "CPU us", "a second of a core",
                           "% from memory", "p50 ms", "p99 ms", "failed"],
               rows)


def write(bench):
    if bench.issuances:
        write_issuances(bench)
    if bench.validated:
        write_validated(bench)
    if bench.frozen:
        write_frozen(bench)
    if bench.unsigned:
        write_unsigned(bench)
    if bench.ocsp:
        write_ocsp(bench)
