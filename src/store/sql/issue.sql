-- From a ready order to its certificate. `attempt` is the fence: each claim
-- raises it, and every later write carries it.

-- A claim without a serial is one of an issuer that does not plan, so dates
-- cannot have been ordered. Those that were are kept: the life that was planned
-- begins at notBefore if that is earlier by now, and notAfter must be to come.
-- The CSR's names are compared as canonical text, so one statement checks
-- owner, state, names and time, and says who won.
-- name: order_claim  args: id text, account text, profile text, key_version int, csr blob, issuer text, lease int, serial text, not_before time, not_after time, names text  cols: attempt, cert_not_before, cert_not_after, uncertain, created
UPDATE orders SET status = 'processing', csr = $5, issuer = $6,
    attempt = attempt + 1, lease = now_us() + $7, serial = $8,
    cert_not_before = COALESCE(not_before, $9),
    cert_not_after = CASE WHEN not_after IS NOT NULL THEN not_after
        WHEN not_before < $9 THEN not_before + $10 - $9 ELSE $10 END,
    updated = now_us()
WHERE id = $1 AND account = $2 AND profile = $3 AND status = 'ready'
    AND expires > now_us() AND names_hash = $11
    AND (not_after IS NULL OR not_after > now_us())
    AND ($9 IS NOT NULL OR (not_before IS NULL AND not_after IS NULL))
    AND EXISTS (SELECT 1 FROM accounts WHERE id = $2 AND status = 'valid'
        AND key_version = $4)
RETURNING attempt, cert_not_before, cert_not_after, uncertain, created

-- name: orders_stuck  args: count int  cols: id, attempt
SELECT id, attempt FROM orders
WHERE status = 'processing' AND lease < now_us()
ORDER BY lease LIMIT $1

-- Nobody knows how far a dead process came: a remote issuer may have signed.
-- name: order_retake  args: id text, attempt int, lease int  cols: attempt, account, profile, csr, issuer, serial, cert_not_before, cert_not_after, uncertain, created
UPDATE orders SET attempt = attempt + 1, lease = now_us() + $3,
    uncertain = uncertain + CASE WHEN serial IS NULL THEN 1 ELSE 0 END,
    updated = now_us()
WHERE id = $1 AND attempt = $2 AND status = 'processing' AND lease < now_us()
RETURNING attempt, account, profile, csr, issuer, serial, cert_not_before,
    cert_not_after, uncertain, created

-- name: order_renew  args: id text, attempt int, lease int  cols: id
UPDATE orders SET lease = now_us() + $3
WHERE id = $1 AND attempt = $2 AND status = 'processing'
RETURNING id

-- name: order_uncertain  args: id text, attempt int, lease int  cols: uncertain
UPDATE orders SET uncertain = uncertain + 1, lease = now_us() + $3,
    updated = now_us()
WHERE id = $1 AND attempt = $2 AND status = 'processing'
RETURNING uncertain

-- name: order_release  args: id text, attempt int  cols: id
UPDATE orders SET status = 'ready', csr = NULL, issuer = NULL, serial = NULL,
    cert_not_before = NULL, cert_not_after = NULL, lease = NULL,
    updated = now_us()
WHERE id = $1 AND attempt = $2 AND status = 'processing'
RETURNING id

-- name: order_finish  args: id text, attempt int, certificate text  cols: id, status, identifiers, authzs, not_before, not_after, expires, error, certificate, replaces
UPDATE orders SET status = 'valid', certificate = $3, lease = NULL,
    updated = now_us()
WHERE id = $1 AND attempt = $2 AND status = 'processing'
RETURNING id, status, identifiers, authzs, not_before, not_after, expires,
    error, certificate, replaces

-- name: order_fail  args: id text, attempt int, error text  cols: id
UPDATE orders SET status = 'invalid', error = $3, lease = NULL,
    updated = now_us()
WHERE id = $1 AND attempt = $2 AND status = 'processing'
RETURNING id

-- name: chain_insert  args: id text, pem text
INSERT INTO chains (id, pem, created) VALUES ($1, $2, now_us()) ON CONFLICT (id) DO NOTHING

-- name: cert_insert  args: id text, order_id text, account text, profile text, issuer text, serial text, not_before time, not_after time, der blob, chain text, spki_hash text, names text
INSERT INTO certificates (id, order_id, account, profile, issuer, serial,
    not_before, not_after, der, chain, spki_hash, names, status, created)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'valid', now_us())

-- A certificate that no order has: revoked from birth (4 is superseded), and
-- its issuer is to hear of it.
-- name: orphan_insert  args: id text, account text, profile text, issuer text, serial text, not_before time, not_after time, der blob, chain text, spki_hash text, names text  cols: id
INSERT INTO certificates (id, account, profile, issuer, serial, not_before,
    not_after, der, chain, spki_hash, names, status, revoked_at, reason,
    tell_at, created)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'revoked', now_us(), 4,
    now_us(), now_us())
ON CONFLICT (serial, issuer) DO NOTHING
RETURNING id

-- name: cert_get  args: id text, account text, profile text, key_version int  cols: der, pem, chain, issuer
SELECT c.der, h.pem, c.chain, c.issuer
FROM certificates c JOIN chains h ON h.id = c.chain
    JOIN accounts a ON a.id = c.account
WHERE c.id = $1 AND c.account = $2 AND c.profile = $3
    AND a.status = 'valid' AND a.key_version = $4

-- name: chain_get  args: id text  cols: pem
SELECT pem FROM chains WHERE id = $1
