-- Orders and their authorizations. Every statement that serves a request
-- carries the owner, the profile, and the account's status and key version.

-- No row if an identical live order is there, or as many as may be open. The
-- account row is taken before (account_take), so that two at once see each
-- other, and the count of open orders is exact.
-- name: order_insert  args: id text, account text, profile text, status text, identifiers text, names text, authzs text, not_before time, not_after time, lifetime int, most int, replaces text  cols: id, status, identifiers, authzs, not_before, not_after, expires, error, certificate, replaces
INSERT INTO orders (id, account, profile, status, identifiers, names_hash, authzs,
    not_before, not_after, expires, replaces, attempt, uncertain, created,
    updated)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, now_us() + $10, $12, 0, 0,
    now_us(), now_us()
WHERE NOT EXISTS (SELECT 1 FROM orders WHERE account = $2 AND names_hash = $6
    AND profile = $3 AND (status = 'pending' OR status = 'ready' OR
        status = 'processing') AND status <> 'processing'
    AND not_before IS NOT DISTINCT FROM $8
    AND not_after IS NOT DISTINCT FROM $9
    AND replaces IS NOT DISTINCT FROM $12
    AND expires > now_us() + 300000000)
    AND ($11 = 0 OR (SELECT count(*) FROM orders WHERE account = $2
        AND (status = 'pending' OR status = 'ready' OR
            status = 'processing')
        AND expires > now_us()) < $11)
RETURNING id, status, identifiers, authzs, not_before, not_after, expires,
    error, certificate, replaces

-- name: order_live  args: account text, profile text, key_version int, names text, not_before time, not_after time, replaces text  cols: id, status, identifiers, authzs, not_before, not_after, expires, error, certificate, replaces
SELECT o.id, o.status, o.identifiers, o.authzs, o.not_before, o.not_after,
    o.expires, o.error, o.certificate, o.replaces
FROM orders o JOIN accounts a ON a.id = o.account
WHERE o.account = $1 AND o.profile = $2 AND o.names_hash = $4
    AND a.status = 'valid' AND a.key_version = $3
    AND (o.status = 'pending' OR o.status = 'ready' OR
        o.status = 'processing') AND o.status <> 'processing'
    AND o.not_before IS NOT DISTINCT FROM $5
    AND o.not_after IS NOT DISTINCT FROM $6
    AND o.replaces IS NOT DISTINCT FROM $7
    AND o.expires > now_us() + 300000000
ORDER BY o.expires DESC LIMIT 1

-- How many orders are open, and when the first of them runs out?
-- name: orders_open  args: account text  cols: n, first, now
SELECT count(*) AS n, min(expires) AS first, now_us() AS now
FROM orders WHERE account = $1
    AND (status = 'pending' OR status = 'ready' OR
        status = 'processing') AND expires > now_us()

-- An open order that is out of date reads as invalid before a sweep says so.
-- name: order_get  args: id text, account text, profile text, key_version int  cols: id, status, identifiers, authzs, not_before, not_after, expires, error, certificate, replaces
SELECT o.id, CASE WHEN o.status IN ('pending', 'ready')
        AND o.expires <= now_us() THEN 'invalid' ELSE o.status END AS status,
    o.identifiers, o.authzs, o.not_before, o.not_after, o.expires, o.error,
    o.certificate, o.replaces
FROM orders o JOIN accounts a ON a.id = o.account
WHERE o.id = $1 AND o.account = $2 AND o.profile = $3
    AND a.status = 'valid' AND a.key_version = $4

-- Why a guarded statement found no row.
-- name: order_explain  args: id text, account text, profile text  cols: id, status, identifiers, authzs, not_before, not_after, expires, error, certificate, replaces, csr, names, now
SELECT id, status, identifiers, authzs, not_before, not_after, expires, error,
    certificate, replaces, csr, names_hash AS names, now_us() AS now
FROM orders WHERE id = $1 AND account = $2 AND profile = $3

-- name: orders_of_account  args: account text, profile text, key_version int, created time, id text, count int  cols: id, created
SELECT o.id, o.created
FROM orders o JOIN accounts a ON a.id = o.account
WHERE o.account = $1 AND o.profile = $2 AND o.status <> 'invalid'
    AND a.status = 'valid' AND a.key_version = $3
    AND (o.created, o.id) > ($4, $5)
ORDER BY o.created, o.id LIMIT $6
