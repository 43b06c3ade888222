-- SPDX-License-Identifier: ISC
-- Keys of the admin API by TLS. What a key allows never changes; it runs out or
-- is removed, and its row stays so that the audit trail can be read.

-- name: apikey_insert  args: id text, name text, hash blob, scope text, expires time, created_by text  cols: id, created
INSERT INTO api_keys (id, name, hash, scope, expires, created, created_by)
VALUES ($1, $2, $3, $4, $5, now_us(), $6)
RETURNING id, created

-- For each request: who is it, and is its last use worth a note?
-- name: apikey_get  args: id text  cols: id, name, hash, scope, status, stale
SELECT id, name, hash, scope, CASE
        WHEN removed_at IS NOT NULL THEN 'removed'
        WHEN expires <= now_us() THEN 'expired' ELSE 'valid' END AS status,
    CAST(CASE WHEN last_used IS NULL OR last_used + 60000000 <= now_us()
        THEN 1 ELSE 0 END AS BIGINT) AS stale
FROM api_keys WHERE id = $1

-- name: apikey_touch  args: id text  cols: id
UPDATE api_keys SET last_used = now_us()
WHERE id = $1 AND removed_at IS NULL
    AND (last_used IS NULL OR last_used + 60000000 <= now_us())
RETURNING id

-- By id or by name; no name looks like an id, and one key in use has it.
-- name: apikey_in_use  args: key text  cols: id
SELECT id FROM api_keys WHERE id = $1 AND removed_at IS NULL
UNION ALL
SELECT id FROM api_keys WHERE name = $1 AND removed_at IS NULL

-- Was there ever one?
-- name: apikey_find  args: key text  cols: id
SELECT id FROM api_keys WHERE id = $1 OR name = $1 ORDER BY id DESC LIMIT 1

-- name: apikey_remove  args: id text  cols: id, name
UPDATE api_keys SET removed_at = now_us()
WHERE id = $1 AND removed_at IS NULL
RETURNING id, name

-- A page of the list, as admin.sql has them.
-- name: apikey_list
-- args: id text, scan int, count int, status text, scope text
-- cols: stop_key, stop_id, stop_n, k, id, name, scope, status, expires, created, created_by, last_used, removed_at
WITH scan AS (SELECT id FROM api_keys WHERE id < $1 ORDER BY id DESC LIMIT $2),
stop AS (SELECT id, (SELECT count(*) FROM scan) AS n FROM scan
    ORDER BY id LIMIT 1)
SELECT CAST(0 AS BIGINT) AS stop_key, stop.id AS stop_id,
    stop.n AS stop_n, CAST(0 AS BIGINT) AS k,
    x.id AS id, x.name, x.scope, x.status, x.expires, x.created, x.created_by,
    x.last_used, x.removed_at
FROM stop LEFT JOIN (SELECT a.id, a.name, a.scope, CASE
        WHEN a.removed_at IS NOT NULL THEN 'removed'
        WHEN a.expires <= now_us() THEN 'expired' ELSE 'valid' END AS status,
        a.expires, a.created, a.created_by, a.last_used, a.removed_at
    FROM scan JOIN api_keys a ON a.id = scan.id
    WHERE ($5 IS NULL OR a.scope = $5)) x
    ON $4 IS NULL OR x.status = $4
ORDER BY x.id DESC LIMIT $3
