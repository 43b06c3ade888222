-- SPDX-License-Identifier: ISC
-- Certificates for operators: lists, searches, and what is done to many.
--
-- The lists go as those of admin.sql do. Each statement has another index to
-- find its rows by, and all have the same filters, columns and first
-- arguments. `place` is where a row stands among those of one `k`: its id, or
-- the name that it was found by, a blank, and its id. `found` says how many of
-- the rows that were looked at fit, whether they are returned or not.
--
-- Those of one profile, issuer, key or account are written as a range of the
-- index and in its order: PostgreSQL would leave out the first column of an
-- order that is equal in all rows, and then take the primary key, and read on
-- to its end for what is rare, wherever a plan does not know the value.

-- part: list_args
status text, profile text, issuer text, account text, key text, begin time, end time, marked int, count int, scan int

-- part: list_cols
stop_key, stop_id, stop_n, k, place, id, account, profile, issuer, serial, not_before, not_after, names, status, order_id, loop, marked, found

-- part: status_now
CASE WHEN status = 'valid'
    AND not_after <= now_us() THEN 'expired' ELSE status END AS status

-- part: is_marked
CASE WHEN renew_start IS NULL THEN 0 ELSE 1 END AS marked

-- part: row
id, account, profile, issuer, serial, not_before, not_after, names, spki_hash,
    {status_now}, order_id, loop, {is_marked}

-- part: columns
x.id AS id, x.account, x.profile, x.issuer, x.serial,
    x.not_before, x.not_after, x.names, x.status, x.order_id, x.loop, x.marked,
    count(x.id) OVER () AS found

-- part: filters
($1 IS NULL OR x.status = $1)
    AND ($2 IS NULL OR x.profile = $2)
    AND ($3 IS NULL OR x.issuer = $3)
    AND ($4 IS NULL OR x.account = $4)
    AND ($5 IS NULL OR x.spki_hash = $5)
    AND ($6 IS NULL OR x.not_after >= $6)
    AND ($7 IS NULL OR x.not_after < $7)
    AND ($8 IS NULL OR x.marked = $8)

-- Behind a scan of the newest first.
-- part: newest_first
stop AS (SELECT id, (SELECT count(*) FROM scan) AS n FROM scan
    ORDER BY id LIMIT 1)
SELECT CAST(0 AS BIGINT) AS stop_key, stop.id AS stop_id, stop.n AS stop_n,
    CAST(0 AS BIGINT) AS k, x.id AS place,
    {columns}
FROM stop LEFT JOIN scan x ON {filters}
ORDER BY x.id DESC LIMIT $9

-- part: by_end
SELECT stop.not_after AS stop_key, stop.id AS stop_id, stop.n AS stop_n,
    x.not_after AS k, x.id AS place,
    {columns}
FROM stop LEFT JOIN scan x ON {filters}

-- The newest first.
-- name: certs_all
-- args: {list_args}, id text
-- cols: {list_cols}
WITH scan AS (SELECT {row}
    FROM certificates WHERE id < $11
    ORDER BY id DESC LIMIT $10), {newest_first};

-- name: certs_of_profile
-- args: {list_args}, id text
-- cols: {list_cols}
WITH scan AS (SELECT {row}
    FROM certificates WHERE profile >= $2 AND (profile, id) < ($2, $11)
    ORDER BY profile DESC, id DESC LIMIT $10), {newest_first};

-- name: certs_of_issuer
-- args: {list_args}, id text
-- cols: {list_cols}
WITH scan AS (SELECT {row}
    FROM certificates WHERE issuer >= $3 AND (issuer, id) < ($3, $11)
    ORDER BY issuer DESC, id DESC LIMIT $10), {newest_first};

-- name: certs_of_key
-- args: {list_args}, id text
-- cols: {list_cols}
WITH scan AS (SELECT {row}
    FROM certificates WHERE spki_hash >= $5 AND (spki_hash, id) < ($5, $11)
    ORDER BY spki_hash DESC, id DESC LIMIT $10), {newest_first};

-- name: certs_of_serial
-- args: {list_args}, id text, serial text
-- cols: {list_cols}
WITH scan AS (SELECT {row}
    FROM certificates WHERE serial = $12 AND id < $11
    ORDER BY id DESC LIMIT $10), {newest_first};

-- What lives longest first.
-- name: certs_of_account
-- args: {list_args}, not_after time, id text
-- cols: {list_cols}
WITH scan AS (SELECT {row}
    FROM certificates WHERE account >= $4
        AND (account, not_after, id) < ($4, $11, $12)
    ORDER BY account DESC, not_after DESC, id DESC LIMIT $10),
stop AS (SELECT not_after, id, (SELECT count(*) FROM scan) AS n FROM scan
    ORDER BY not_after, id LIMIT 1)
{by_end}
ORDER BY x.not_after DESC, x.id DESC LIMIT $9;

-- Those that end between two moments, the next to end first.
-- name: certs_ending
-- args: {list_args}, not_after time, id text
-- cols: {list_cols}
WITH scan AS (SELECT {row}
    FROM certificates WHERE not_after >= $6 AND not_after < $7
        AND not_after >= $11 AND (not_after, id) > ($11, $12)
    ORDER BY not_after, id LIMIT $10),
stop AS (SELECT not_after, id, (SELECT count(*) FROM scan) AS n FROM scan
    ORDER BY not_after DESC, id DESC LIMIT 1)
{by_end}
ORDER BY x.not_after, x.id LIMIT $9;

-- Those with a name from `first` on and before `behind`: by name, and those of
-- one name the oldest first. One with several such names comes with the first
-- of them. LEFT JOIN and COALESCE keep both engines at looking up each row by
-- itself: they would read whole tables into a hash or a Bloom filter.
-- name: certs_named
-- args: {list_args}, name text, id text, first text, behind text
-- cols: {list_cols}
WITH scan AS (SELECT name, certificate FROM certificate_names
    WHERE name >= $11 AND name < $14 AND (name, certificate) > ($11, $12)
    ORDER BY name, certificate LIMIT $10),
stop AS (SELECT name, certificate, (SELECT count(*) FROM scan) AS n
    FROM scan ORDER BY name DESC, certificate DESC LIMIT 1)
SELECT CAST(0 AS BIGINT) AS stop_key,
    stop.name || ' ' || stop.certificate AS stop_id, stop.n AS stop_n,
    CAST(0 AS BIGINT) AS k, x.name || ' ' || x.id AS place,
    {columns}
FROM stop LEFT JOIN (SELECT scan.name, {row}
    FROM scan LEFT JOIN certificates ON id = scan.certificate
    WHERE COALESCE((SELECT 1 FROM certificate_names other
        WHERE other.certificate = scan.certificate
        AND other.name >= $13 AND other.name < scan.name LIMIT 1), 0) = 0) x
    ON x.id IS NOT NULL
    AND {filters}
ORDER BY x.name, x.id LIMIT $9;

-- How many of a page of those that end before `until` are valid, and end before
-- each of the moments.
-- name: certs_ending_count
-- args: at time, id text, until time, count int, one time, two time, three time
-- cols: stop_key, stop_id, stop_n, first, second, third, last
WITH scan AS (SELECT not_after, id, status FROM certificates
    WHERE not_after >= $1 AND (not_after, id) > ($1, $2) AND not_after < $3
    ORDER BY not_after, id LIMIT $4),
stop AS (SELECT not_after, id FROM scan
    ORDER BY not_after DESC, id DESC LIMIT 1)
SELECT stop.not_after AS stop_key, stop.id AS stop_id, x.n AS stop_n,
    x.first, x.second, x.third, x.last
FROM stop CROSS JOIN (SELECT count(*) AS n,
    count(CASE WHEN status = 'valid' AND not_after < $5 THEN 1 END) AS first,
    count(CASE WHEN status = 'valid' AND not_after < $6 THEN 1 END) AS second,
    count(CASE WHEN status = 'valid' AND not_after < $7 THEN 1 END) AS third,
    count(CASE WHEN status = 'valid' THEN 1 END) AS last
    FROM scan) x;

-- One of those that an operator names, by id or serial.
-- name: certs_find
-- args: id text, serial text, count int
-- cols: id, account, serial, order_id, loop, status, marked
SELECT id, account, serial, order_id, loop, {status_now},
    {is_marked}
FROM certificates WHERE id = $1 OR serial = $2 LIMIT $3;

-- Nothing if a sweep or a batch that was undone took the certificate.
-- name: cert_name_insert
-- args: certificate text, name text
INSERT INTO certificate_names (certificate, name)
SELECT $1, $2 WHERE EXISTS (SELECT 1 FROM certificates WHERE id = $1);

-- Renew within so long from now; 0: at once, which is a window that has passed.
-- name: cert_mark
-- args: id text, over int
-- cols: id
UPDATE certificates SET
    renew_start = now_us() - CASE WHEN $2 = 0 THEN 3600000000 ELSE 0 END,
    renew_end = now_us() + $2
WHERE id = $1 AND status = 'valid' AND not_after > now_us()
    AND renew_start IS NULL
RETURNING id;

-- name: cert_unmark
-- args: id text
-- cols: id
UPDATE certificates SET renew_start = NULL, renew_end = NULL
WHERE id = $1 AND renew_start IS NOT NULL
RETURNING id;

-- The loop that has it in use obtains another one: in its turn, or before if
-- it would renew before, or tries to already.
-- name: cert_mark_loop
-- args: loop text, certificate text, wait int
UPDATE loops SET stale = 1,
    recall = CASE WHEN stale = 0 AND failures = 0 AND (lease_until IS NULL
        OR lease_until <= now_us()) THEN next_attempt ELSE recall END,
    next_attempt = CASE
        WHEN next_attempt <= now_us() + $3 AND (state = 'failing'
            OR renew_at IS NULL OR renew_at <= now_us() + $3)
        THEN next_attempt ELSE now_us() + $3 END,
    updated = now_us()
WHERE name = $1 AND certificate = $2 AND state <> 'stopped';

-- It is not in a hurry any more, unless it has begun or somebody else wants
-- another certificate too.
-- name: cert_unmark_loop
-- args: loop text, certificate text
UPDATE loops SET stale = 0, next_attempt = recall, recall = NULL,
    updated = now_us()
WHERE name = $1 AND certificate = $2 AND recall IS NOT NULL;
