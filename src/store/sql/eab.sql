-- SPDX-License-Identifier: ISC
-- Keys of external account bindings (RFC 8555 section 7.3.4). What a key
-- allows never changes; it is used up, runs out, or is revoked.

-- name: eab_insert  args: id text, name text, profile text, sealed blob, max_uses int, expires time, allowed text  cols: id, created
INSERT INTO eab_keys (id, name, profile, status, sealed, max_uses, used,
    expires, allowed, created)
VALUES ($1, $2, $3, 'valid', $4, $5, 0, $6, $7, now_us())
RETURNING id, created

-- The key by which a binding is checked; whether it may still be used is for
-- eab_use to say.
-- name: eab_get  args: id text, profile text  cols: id, sealed, allowed
SELECT id, sealed, allowed FROM eab_keys WHERE id = $1 AND profile = $2

-- One use, by the account that the batch has made just before.
-- name: eab_use  args: id text, profile text, account text  cols: id
UPDATE eab_keys SET used = used + 1, last_used = now_us()
WHERE id = $1 AND profile = $2 AND status = 'valid'
    AND (expires IS NULL OR expires > now_us())
    AND (max_uses = 0 OR used < max_uses)
    AND EXISTS (SELECT 1 FROM accounts WHERE id = $3)
RETURNING id

-- name: eab_revoke  args: id text  cols: id, profile
UPDATE eab_keys SET status = 'revoked', revoked_at = now_us()
WHERE id = $1 AND status = 'valid'
RETURNING id, profile

-- The accounts that were bound by a key, for its revocation.
-- name: eab_revoke_accounts  args: id text  cols: id
UPDATE accounts SET status = 'revoked', key_version = key_version + 1
WHERE eab_key = $1 AND status = 'valid'
RETURNING id

-- The columns of eab_list, for the same writer.
-- name: eab_show  args: id text  cols: stop_key, stop_id, stop_n, k, id, name, profile, status, max_uses, used, expires, allowed, created, last_used, revoked_at
SELECT CAST(0 AS BIGINT) AS stop_key, id AS stop_id,
    CAST(1 AS BIGINT) AS stop_n, CAST(0 AS BIGINT) AS k, id, name, profile,
    CASE
        WHEN status = 'valid' AND expires <= now_us() THEN 'expired'
        WHEN status = 'valid' AND max_uses > 0 AND used >= max_uses
        THEN 'used' ELSE status END AS status, max_uses, used, expires,
    allowed, created, last_used, revoked_at
FROM eab_keys WHERE id = $1

-- name: eab_accounts  args: id text, count int  cols: id, status, created
SELECT id, status, created FROM accounts WHERE eab_key = $1
ORDER BY id LIMIT $2

-- A page of the list, as admin.sql has them.
-- name: eab_list
-- args: id text, scan int, count int, status text, profile text
-- cols: stop_key, stop_id, stop_n, k, id, name, profile, status, max_uses, used, expires, allowed, created, last_used, revoked_at
WITH scan AS (SELECT id FROM eab_keys WHERE id < $1 ORDER BY id DESC LIMIT $2),
stop AS (SELECT id, (SELECT count(*) FROM scan) AS n FROM scan
    ORDER BY id LIMIT 1)
SELECT CAST(0 AS BIGINT) AS stop_key, stop.id AS stop_id,
    stop.n AS stop_n, CAST(0 AS BIGINT) AS k,
    x.id AS id, x.name, x.profile, x.status, x.max_uses, x.used, x.expires,
    x.allowed, x.created, x.last_used, x.revoked_at
FROM stop LEFT JOIN (SELECT e.id, e.name, e.profile, CASE
        WHEN e.status = 'valid' AND e.expires <= now_us() THEN 'expired'
        WHEN e.status = 'valid' AND e.max_uses > 0 AND e.used >= e.max_uses
        THEN 'used' ELSE e.status END AS status, e.max_uses,
        e.used, e.expires, e.allowed, e.created, e.last_used, e.revoked_at
    FROM scan JOIN eab_keys e ON e.id = scan.id
    WHERE ($5 IS NULL OR e.profile = $5)) x
    ON $4 IS NULL OR x.status = $4
ORDER BY x.id DESC LIMIT $3
