-- SPDX-License-Identifier: ISC
-- What is published about revocation: CRLs and answers of OCSP.

-- How does the newest CRL stand, and how many of its recent entries would
-- there be now? One row, also if there is none yet. revoked_at is taken
-- before the commit, so "newer than the CRL" would miss who was slow; more
-- than what it has of the window before it misses nobody. A shard has the
-- serials that end with a byte from first to last, in hexadecimal.
-- name: crl_state  args: issuer text, span int, list text, first text, last text  cols: now, number, made, next_update, recent, counted
SELECT now_us() AS now, l.number, l.made, l.next_update, l.recent,
    (SELECT COUNT(*) FROM certificates c WHERE c.issuer = $1
        AND c.status = 'revoked' AND c.revoked_at > l.made - $2
        AND c.not_after > l.since
        AND substr(c.serial, length(c.serial) - 1) >= $4
        AND substr(c.serial, length(c.serial) - 1) <= $5) AS counted
FROM (SELECT 1 AS one) x LEFT JOIN crls l ON l.issuer = $1 AND l.list = $3

-- name: crl_page  args: issuer text, since int, after int, serial text, count int, first text, last text  cols: serial, revoked_at, reason
SELECT serial, revoked_at, reason FROM certificates
WHERE issuer = $1 AND status = 'revoked' AND not_after > $2
    AND (revoked_at, serial) > ($3, $4)
    AND substr(serial, length(serial) - 1) >= $6
    AND substr(serial, length(serial) - 1) <= $7
ORDER BY revoked_at, serial LIMIT $5

-- No row: another one made this number.
-- name: crl_put  args: issuer text, number int, made int, since int, recent int, next_update int, digest text, der blob, list text  cols: number
INSERT INTO crls (issuer, number, made, since, recent, next_update, digest, der,
    list)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (issuer, list) DO UPDATE SET number = excluded.number,
    made = excluded.made, since = excluded.since, recent = excluded.recent,
    next_update = excluded.next_update, digest = excluded.digest,
    der = excluded.der
WHERE crls.number = excluded.number - 1
RETURNING number

-- der is null if it is the number that the caller has.
-- name: crl_get  args: issuer text, number int, list text  cols: number, made, next_update, now, digest, der
SELECT number, made, next_update, now_us() AS now, digest,
    CASE WHEN number = $2 THEN NULL ELSE der END AS der
FROM crls WHERE issuer = $1 AND list = $3

-- ---- shards of an issuer: those that certificates are spread over now begin
-- with `current`, and others are needed until the last certificate has ended
-- that may point to them. slack: how long a replica may go on to spread as it
-- was configured before; longest: the life that one may have that it gives then.

-- name: crl_shards  args: issuer text  cols: list, needed, now
SELECT list, needed, now_us() AS now FROM crls
WHERE issuer = $1 AND list <> '' ORDER BY list

-- name: crl_retire  args: issuer text, current text, slack int, longest int
UPDATE crls SET needed = now_us() + $3 + COALESCE((SELECT
    c.not_after - now_us() FROM certificates c WHERE c.issuer = $1
    AND c.not_after > now_us() + $4 ORDER BY c.not_after DESC LIMIT 1), $4)
WHERE issuer = $1 AND list <> '' AND needed IS NULL
    AND substr(list, 1, length($2)) <> $2

-- name: crl_revive  args: issuer text, current text
UPDATE crls SET needed = NULL
WHERE issuer = $1 AND needed IS NOT NULL
    AND substr(list, 1, length($2)) = $2

-- name: crl_drop  args: issuer text
DELETE FROM crls WHERE issuer = $1 AND list <> '' AND needed <= now_us()

-- One row; status is null if there is no such certificate.
-- name: ocsp_find  args: issuer text, serial text  cols: now, status, revoked_at, reason
SELECT now_us() AS now, c.status, c.revoked_at, c.reason
FROM (SELECT 1 AS one) x
    LEFT JOIN certificates c ON c.serial = $2 AND c.issuer = $1
