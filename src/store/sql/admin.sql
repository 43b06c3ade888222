-- SPDX-License-Identifier: ISC
-- What operators ask for. The admin reads every profile.
--
-- Lists look at a bounded number of rows (scan) behind the last one of the
-- page before, and tell where they stopped (stop_key, stop_id, stop_n), so
-- that a filter which fits nothing costs no more than one which fits all.
-- If no row fits, one row comes whose id is null; if there is none to look at,
-- no row at all.

-- name: admin_accounts
-- args: id text, scan int, count int, status text, profile text
-- cols: stop_key, stop_id, stop_n, k, id, profile, status, contacts, created
WITH scan AS (SELECT id, profile, status, contacts, created FROM accounts
    WHERE id < $1 ORDER BY id DESC LIMIT $2),
stop AS (SELECT id, (SELECT count(*) FROM scan) AS n FROM scan
    ORDER BY id LIMIT 1)
SELECT CAST(0 AS BIGINT) AS stop_key, stop.id AS stop_id,
    stop.n AS stop_n, CAST(0 AS BIGINT) AS k,
    x.id AS id, x.profile, x.status, x.contacts, x.created
FROM stop LEFT JOIN scan x ON ($4 IS NULL OR x.status = $4)
    AND ($5 IS NULL OR x.profile = $5)
ORDER BY x.id DESC LIMIT $3;

-- name: admin_account
-- args: id text
-- cols: id, profile, status, contacts, created, thumbprint, jwk, tos_agreed, key_version
SELECT id, profile, status, contacts, created, thumbprint, jwk, tos_agreed,
    key_version
FROM accounts WHERE id = $1;

-- RFC 8555 section 7.1.2: "revoked" is what a server does to an account. The
-- key version rises so that no cache lets it pass.
-- name: admin_account_revoke
-- args: id text
-- cols: id, profile
UPDATE accounts SET status = 'revoked', key_version = key_version + 1
WHERE id = $1 AND status = 'valid'
RETURNING id, profile;

-- name: admin_orders
-- args: id text, scan int, count int, status text, profile text, itself text, below text
-- cols: stop_key, stop_id, stop_n, k, id, account, profile, status, identifiers, expires, created, updated, issuer, certificate
WITH scan AS (SELECT id, account, profile, CASE
        WHEN (status = 'pending' OR status = 'ready')
            AND expires <= now_us() THEN 'invalid' ELSE status
        END AS status, identifiers, expires, created, updated, issuer,
        certificate
    FROM orders WHERE id < $1 ORDER BY id DESC LIMIT $2),
stop AS (SELECT id, (SELECT count(*) FROM scan) AS n FROM scan
    ORDER BY id LIMIT 1)
SELECT CAST(0 AS BIGINT) AS stop_key, stop.id AS stop_id,
    stop.n AS stop_n, CAST(0 AS BIGINT) AS k,
    x.id AS id, x.account, x.profile, x.status, x.identifiers, x.expires,
    x.created, x.updated, x.issuer, x.certificate
FROM stop LEFT JOIN scan x ON ($4 IS NULL OR x.status = $4)
    AND ($5 IS NULL OR x.profile = $5)
    AND ($6 IS NULL OR x.identifiers LIKE $6 ESCAPE '!'
        OR x.identifiers LIKE $7 ESCAPE '!')
ORDER BY x.id DESC LIMIT $3;

-- name: admin_orders_of
-- args: created time, id text, scan int, count int, status text, profile text, itself text, below text, account text
-- cols: stop_key, stop_id, stop_n, k, id, account, profile, status, identifiers, expires, created, updated, issuer, certificate
WITH scan AS (SELECT id, account, profile, CASE
        WHEN (status = 'pending' OR status = 'ready')
            AND expires <= now_us() THEN 'invalid' ELSE status
        END AS status, identifiers, expires, created, updated, issuer,
        certificate
    FROM orders WHERE account = $9
        AND created <= $1 AND (created, id) < ($1, $2)
    ORDER BY created DESC, id DESC LIMIT $3),
stop AS (SELECT created, id, (SELECT count(*) FROM scan) AS n FROM scan
    ORDER BY created, id LIMIT 1)
SELECT stop.created AS stop_key, stop.id AS stop_id, stop.n AS stop_n,
    x.created AS k, x.id AS id, x.account, x.profile, x.status, x.identifiers,
    x.expires, x.created, x.updated, x.issuer, x.certificate
FROM stop LEFT JOIN scan x ON ($5 IS NULL OR x.status = $5)
    AND ($6 IS NULL OR x.profile = $6)
    AND ($7 IS NULL OR x.identifiers LIKE $7 ESCAPE '!'
        OR x.identifiers LIKE $8 ESCAPE '!')
ORDER BY x.created DESC, x.id DESC LIMIT $4;

-- name: admin_order
-- args: id text
-- cols: id, account, profile, status, identifiers, not_before, not_after, expires, error, replaces, issuer, attempt, lease, uncertain, serial, certificate, created, updated
SELECT id, account, profile, CASE
        WHEN (status = 'pending' OR status = 'ready') AND expires <= now_us()
        THEN 'invalid' ELSE status END AS status,
    identifiers, not_before, not_after, expires, error, replaces, issuer,
    attempt, lease, uncertain, serial, certificate, created, updated
FROM orders WHERE id = $1;

-- name: admin_order_authzs
-- args: order_id text, count int
-- cols: id, type, value, wildcard, status, expires, challenges, validated, challenge, error, busy
SELECT id, type, value, wildcard, CASE
        WHEN (status = 'pending' OR status = 'valid') AND expires <= now_us()
        THEN 'expired' ELSE status END AS status,
    expires, challenges, validated, challenge, error,
    CASE WHEN lease IS NULL THEN 0 ELSE 1 END AS busy
FROM authorizations WHERE order_id = $1 ORDER BY id LIMIT $2;

-- name: admin_order_cert
-- args: order_id text
-- cols: id, issuer, serial, not_before, not_after, names, status
SELECT id, issuer, serial, not_before, not_after, names,
    CASE WHEN status = 'valid' AND not_after <= now_us() THEN 'expired'
        ELSE status END AS status
FROM certificates WHERE order_id = $1;

-- name: admin_order_trail
-- args: order_id text, count int
-- cols: at, actor, action, object, detail
SELECT at, actor, action, object, detail
FROM audit WHERE order_id = $1 ORDER BY at LIMIT $2;

-- By id or serial. Two issuers may have made one serial.
-- name: admin_cert
-- args: id text, serial text, count int
-- cols: id, order_id, account, loop, profile, issuer, serial, not_before, not_after, der, chain, spki_hash, names, status, revoked_at, reason, issuer_told, renew_start, renew_end, created
SELECT id, order_id, account, loop, profile, issuer, serial, not_before,
    not_after, der, chain, spki_hash, names, CASE WHEN status = 'valid'
        AND not_after <= now_us() THEN 'expired' ELSE status END AS status,
    revoked_at, reason, issuer_told, renew_start, renew_end, created
FROM certificates WHERE id = $1 OR serial = $2 LIMIT $3;

-- How much there is, counted up to a bound.
-- name: admin_counts
-- args: most int
-- cols: accounts, orders, open, processing, authorizations, certificates, audit, nonces, oldest
SELECT (SELECT count(*) FROM (SELECT 1 FROM accounts LIMIT $1) x) AS accounts,
    (SELECT count(*) FROM (SELECT 1 FROM orders LIMIT $1) x) AS orders,
    (SELECT count(*) FROM (SELECT 1 FROM orders WHERE status = 'pending' OR
        status = 'ready' OR status = 'processing' LIMIT $1) x) AS open,
    (SELECT count(*) FROM (SELECT 1 FROM orders
        WHERE status = 'processing' LIMIT $1) x) AS processing,
    (SELECT count(*) FROM (SELECT 1 FROM authorizations LIMIT $1) x)
        AS authorizations,
    (SELECT count(*) FROM (SELECT 1 FROM certificates LIMIT $1) x)
        AS certificates,
    (SELECT count(*) FROM (SELECT 1 FROM audit LIMIT $1) x) AS audit,
    (SELECT count(*) FROM (SELECT 1 FROM nonces LIMIT $1) x) AS nonces,
    (SELECT min(lease) FROM orders WHERE status = 'processing') AS oldest;

-- name: admin_schema
-- args: count int
-- cols: version, oldest, name, applied, now
SELECT version, oldest, name, applied, now_us() AS now
FROM schema_versions ORDER BY version DESC LIMIT $1;

-- name: admin_leases
-- args: count int
-- cols: name, holder, fence, until
SELECT name, holder, fence, until FROM leases
WHERE until > now_us() ORDER BY name LIMIT $1;

-- Limits of one account by itself. Changed by whoever read them as they are.
-- name: admin_limits_get
-- args: id text
-- cols: profile, limits
SELECT profile, limits FROM accounts WHERE id = $1;

-- name: admin_limits_set
-- args: id text, before text, after text
-- cols: id
UPDATE accounts SET limits = $3 WHERE id = $1 AND limits = $2 RETURNING id;
