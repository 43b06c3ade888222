# SPDX-License-Identifier: ISC
"""Certificates that end soon, as the metrics have them."""

import time

from servers import wait_for

ROWS = 3000         # more than some pages of the count
HOUR = 3600 * 10**6

FILL = """WITH RECURSIVE n(i) AS (
  SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
INSERT INTO certificates (id, account, profile, issuer, serial, not_before,
  not_after, der, chain, spki_hash, names, status, revoked_at, created)
SELECT 'id' || i, 'a', 'p', 'i', 's' || i, 1, {now} + CAST(i / 2 AS BIGINT) *
    {hour}, {blob}, '', 'k', 'n',
  CASE WHEN i % 10 = 0 THEN 'revoked' ELSE 'valid' END,
  CASE WHEN i % 10 = 0 THEN 1 END, 1 FROM n"""


def ending(server):
    return {days: server.metrics().get(
        f'certloop_certificates_ending{{within="{days}d"}}')
        for days in (1, 7, 14, 30)}


def test_they_are_counted_page_by_page(new_server, engine):
    """Two end each hour, at the same moment; one of ten is revoked."""
    server = new_server(engine).start()
    wait_for(lambda: ending(server)[30] == 0, 60, "the first count, of none")
    server.stop()
    now = int(time.time() * 1e6)
    server.store.execute(FILL.format(
        rows=ROWS, now=now, hour=HOUR,
        blob="x'00'" if engine == "sqlite" else "'\\x00'"))
    server.start()
    wait_for(lambda: ending(server)[30], 60, "the next count")
    # it begins a little after `now`, so what ends at `now` has ended, and what
    # ends so many days behind it is within
    ends = [i // 2 for i in range(1, ROWS + 1) if i % 10]
    for days, n in ending(server).items():
        assert n == sum(1 <= hours <= 24 * days for hours in ends), days
    assert server.metrics()[
        'certloop_listener_certificate_end_seconds{listener="acme"}'] > \
        time.time() + 86400
    # four that write and two that read
    wait_for(lambda: server.metrics()["certloop_store_connections"]
             == (0 if engine == "sqlite" else 6), 60, "connections")
