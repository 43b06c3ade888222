-- SPDX-License-Identifier: ISC
-- What is published about revocation: CRLs and answers of OCSP.

-- How does the newest CRL stand, and how many of its recent entries would
-- there be now? One row, also if there is none yet. revoked_at is taken
-- before the commit, so "newer than the CRL" would miss who was slow; more
-- than what it has of the window before it misses nobody.
-- name: crl_state  args: issuer text, span int  cols: now, number, made, next_update, recent, counted
SELECT now_us() AS now, l.number, l.made, l.next_update, l.recent,
    (SELECT COUNT(*) FROM certificates c WHERE c.issuer = $1
        AND c.status = 'revoked' AND c.revoked_at > l.made - $2
        AND c.not_after > l.since) AS counted
FROM (SELECT 1 AS one) x LEFT JOIN crls l ON l.issuer = $1

-- name: crl_page  args: issuer text, since int, after int, serial text, count int  cols: serial, revoked_at, reason
SELECT serial, revoked_at, reason FROM certificates
WHERE issuer = $1 AND status = 'revoked' AND not_after > $2
    AND (revoked_at, serial) > ($3, $4)
ORDER BY revoked_at, serial LIMIT $5

-- No row: another one made this number.
-- name: crl_put  args: issuer text, number int, made int, since int, recent int, next_update int, digest text, der blob  cols: number
INSERT INTO crls (issuer, number, made, since, recent, next_update, digest, der)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (issuer) DO UPDATE SET number = excluded.number,
    made = excluded.made, since = excluded.since, recent = excluded.recent,
    next_update = excluded.next_update, digest = excluded.digest,
    der = excluded.der
WHERE crls.number = excluded.number - 1
RETURNING number

-- der is null if it is the number that the caller has.
-- name: crl_get  args: issuer text, number int  cols: number, made, next_update, now, digest, der
SELECT number, made, next_update, now_us() AS now, digest,
    CASE WHEN number = $2 THEN NULL ELSE der END AS der
FROM crls WHERE issuer = $1

-- One row; status is null if there is no such certificate.
-- name: ocsp_find  args: issuer text, serial text  cols: now, status, revoked_at, reason
SELECT now_us() AS now, c.status, c.revoked_at, c.reason
FROM (SELECT 1 AS one) x
    LEFT JOIN certificates c ON c.serial = $2 AND c.issuer = $1
