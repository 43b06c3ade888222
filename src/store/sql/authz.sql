-- Authorizations and the validation of their challenges. `attempt` is the
-- fence: each claim raises it, and every later write carries it. Whoever
-- writes an authorization and its order takes the order first.

-- An authorization that nobody validates (trust) is valid from birth.
-- name: authz_insert  args: id text, order_id text, account text, profile text, type text, value text, wildcard int, status text, lifetime int, challenges text, challenge text
INSERT INTO authorizations (id, order_id, account, profile, type, value,
    wildcard, status, expires, challenges, challenge, created, validated)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now_us() + $9, $10, $11, now_us(),
    CASE WHEN $8 = 'valid' THEN now_us() END)

-- For no order (section 7.4.1).
-- name: authz_insert_alone  args: id text, account text, profile text, type text, value text, lifetime int, challenges text, key_version int  cols: id
INSERT INTO authorizations (id, order_id, account, profile, type, value,
    wildcard, status, expires, challenges, created)
SELECT $1, '', $2, $3, $4, $5, 0, 'pending', now_us() + $6, $7, now_us()
WHERE EXISTS (SELECT 1 FROM accounts WHERE id = $2 AND profile = $3
    AND status = 'valid' AND key_version = $8)
RETURNING id

-- name: authz_get  args: id text, account text, profile text, key_version int  cols: id, type, value, wildcard, status, expires, challenges, challenge, error, wait, busy, validated, order_id
SELECT z.id, z.type, z.value, z.wildcard, CASE WHEN z.status IN ('pending',
        'valid') AND z.expires <= now_us() THEN 'expired' ELSE z.status
        END AS status,
    z.expires, z.challenges, z.challenge, z.error,
    COALESCE(z.retry, 0) - now_us() AS wait,
    CASE WHEN z.lease IS NULL THEN 0 ELSE 1 END AS busy, z.validated,
    z.order_id
FROM authorizations z JOIN accounts a ON a.id = z.account
WHERE z.id = $1 AND z.account = $2 AND z.profile = $3
    AND a.status = 'valid' AND a.key_version = $4

-- ---- reuse

-- name: authz_reusable  args: account text, profile text, type text, value text, wildcard int, age int, left int  cols: id
SELECT id FROM authorizations
WHERE account = $1 AND profile = $2 AND type = $3 AND value = $4
    AND wildcard = $5 AND status = 'valid' AND validated > now_us() - $6
    AND expires > now_us() + $7
ORDER BY validated DESC LIMIT 1

-- Is it still so, now that the account row is ours?
-- name: authz_still  args: id text, account text, left int  cols: id
SELECT id FROM authorizations
WHERE id = $1 AND account = $2 AND status = 'valid' AND expires > now_us() + $3

-- ---- an attempt

-- name: authz_claim  args: id text, account text, profile text, key_version int, challenge text, lease int  cols: attempt
UPDATE authorizations SET challenge = $5, attempt = attempt + 1,
    lease = now_us() + $6, error = NULL, retry = NULL
WHERE id = $1 AND account = $2 AND profile = $3 AND status = 'pending'
    AND lease IS NULL AND expires > now_us()
    AND EXISTS (SELECT 1 FROM accounts WHERE id = $2 AND status = 'valid'
        AND key_version = $4)
RETURNING attempt

-- All that a validation needs to know.
-- name: authz_load  args: id text  cols: order_id, account, profile, type, value, wildcard, challenge, challenges, attempt, thumbprint
SELECT z.order_id, z.account, z.profile, z.type, z.value, z.wildcard,
    z.challenge, z.challenges, z.attempt, a.thumbprint
FROM authorizations z JOIN accounts a ON a.id = z.account
WHERE z.id = $1

-- The lease goes on; perhaps a query has failed and the next one waits.
-- name: authz_renew  args: id text, attempt int, lease int, error text, wait int  cols: id
UPDATE authorizations SET lease = now_us() + $3, error = COALESCE($4, error),
    retry = COALESCE(now_us() + $5, retry)
WHERE id = $1 AND attempt = $2 AND lease IS NOT NULL
RETURNING id

-- Another process may go on at once.
-- name: authz_release  args: id text, attempt int
UPDATE authorizations SET lease = now_us() - 1
WHERE id = $1 AND attempt = $2 AND lease IS NOT NULL

-- name: authz_valid  args: id text, attempt int, lifetime int, caa int  cols: id
UPDATE authorizations SET status = 'valid', lease = NULL, retry = NULL,
    error = NULL, validated = now_us(), expires = now_us() + $3,
    caa_checked = CASE WHEN $4 = 1 THEN now_us() END
WHERE id = $1 AND attempt = $2 AND status = 'pending' AND lease IS NOT NULL
    AND expires > now_us() AND EXISTS (SELECT 1 FROM accounts
        WHERE id = authorizations.account AND status = 'valid')
RETURNING id

-- name: authz_invalid  args: id text, attempt int, error text  cols: id
UPDATE authorizations SET status = 'invalid', lease = NULL, retry = NULL,
    error = $3
WHERE id = $1 AND attempt = $2 AND status = 'pending' AND lease IS NOT NULL
RETURNING id

-- ---- what it means for the order

-- Take the row, so that two last authorizations see each other.
-- name: order_take  args: id text  cols: id
UPDATE orders SET updated = now_us() WHERE id = $1 RETURNING id

-- Reused authorizations are not its own: they were valid when it was made,
-- and whoever deactivates one makes the order invalid.
-- name: order_ready  args: id text  cols: id
UPDATE orders SET status = 'ready', updated = now_us()
WHERE id = $1 AND status = 'pending' AND NOT EXISTS (
    SELECT 1 FROM authorizations WHERE order_id = $1 AND status <> 'valid')
RETURNING id

-- name: order_spoil  args: id text, error text  cols: id
UPDATE orders SET status = 'invalid', error = $2, updated = now_us()
WHERE id = $1 AND status = 'pending'
RETURNING id

-- ---- CAA before a certificate

-- name: order_authzs  args: id text, account text, profile text  cols: authzs
SELECT authzs FROM orders
WHERE id = $1 AND account = $2 AND profile = $3 AND status = 'ready'

-- Only if it has to be asked (again).
-- name: authz_caa  args: id text, age int  cols: value, wildcard, challenge
SELECT value, wildcard, challenge FROM authorizations
WHERE id = $1 AND type = 'dns'
    AND (caa_checked IS NULL OR caa_checked < now_us() - $2)

-- ---- what a dead process left

-- name: authz_stuck  args: count int  cols: id, attempt
SELECT id, attempt FROM authorizations
WHERE lease IS NOT NULL AND lease < now_us()
ORDER BY lease LIMIT $1

-- Nobody is to go on: out of date, or the account is no more.
-- name: authz_drop  args: id text, attempt int
UPDATE authorizations SET lease = NULL
WHERE id = $1 AND attempt = $2 AND lease < now_us()
    AND (expires <= now_us() OR NOT EXISTS (SELECT 1 FROM accounts
        WHERE id = authorizations.account AND status = 'valid'))

-- name: authz_retake  args: id text, attempt int, lease int  cols: attempt
UPDATE authorizations SET attempt = attempt + 1, lease = now_us() + $3
WHERE id = $1 AND attempt = $2 AND lease < now_us()
RETURNING attempt

-- ---- deactivation (RFC 8555 sections 7.3.6 and 7.5.2)

-- The ids in orders.authzs stand between spaces.
-- name: orders_without_authz  args: account text, authz text, error text  cols: id
UPDATE orders SET status = 'invalid', error = $3, updated = now_us()
WHERE account = $1 AND (status = 'pending' OR status = 'ready' OR
        status = 'processing') AND status <> 'processing'
    AND replace(' ' || authzs || ' ', ' ' || $2 || ' ', '') <>
        ' ' || authzs || ' '
RETURNING id

-- name: authz_deactivate  args: id text, account text, profile text  cols: id
UPDATE authorizations SET status = 'deactivated', lease = NULL
WHERE id = $1 AND account = $2 AND profile = $3
    AND (status = 'pending' OR status = 'valid') AND expires > now_us()
RETURNING id

-- All that an account had under way. Its authorizations can come to nothing
-- by themselves: authz_valid asks for the account.
-- name: orders_of_deactivated  args: account text, error text  cols: id
UPDATE orders SET status = 'invalid', error = $2, updated = now_us()
WHERE account = $1 AND (status = 'pending' OR status = 'ready' OR
        status = 'processing') AND status <> 'processing'
RETURNING id
