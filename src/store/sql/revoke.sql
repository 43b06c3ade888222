-- SPDX-License-Identifier: ISC
-- Revocation: the guarded step, and telling the issuer of it. `tell_tries` is
-- the fence of the latter: each claim raises it.

-- Which certificate is this? What is found never changes but for its status.
-- name: revoke_find  args: serial text, der blob, profile text  cols: id, order_id, account, status
SELECT id, order_id, account, status FROM certificates
WHERE serial = $1 AND der = $2 AND profile = $3

-- name: cert_revoke  args: id text, reason int  cols: id, account, serial
UPDATE certificates SET status = 'revoked', revoked_at = now_us(),
    reason = $2, tell_at = now_us()
WHERE id = $1 AND status = 'valid'
RETURNING id, account, serial

-- Does the account hold a valid authorization for this very identifier?
-- name: authz_held  args: account text, profile text, type text, value text, wildcard int  cols: id
SELECT id FROM authorizations
WHERE account = $1 AND profile = $2 AND type = $3 AND value = $4
    AND wildcard = $5 AND status = 'valid' AND expires > now_us()
LIMIT 1

-- name: cert_status  args: id text  cols: id, status
SELECT id, status FROM certificates WHERE id = $1

-- The issuers that are to hear of something, one step of the index for each.
-- name: revocations_issuers  args: count int  cols: issuer
WITH RECURSIVE i (issuer) AS (
    SELECT min(issuer) FROM certificates WHERE tell_at IS NOT NULL
    UNION ALL
    SELECT (SELECT min(c.issuer) FROM certificates c
        WHERE c.tell_at IS NOT NULL AND c.issuer > i.issuer)
    FROM i WHERE i.issuer IS NOT NULL)
SELECT issuer FROM i WHERE issuer IS NOT NULL LIMIT $1

-- name: revocations_due  args: issuer text, count int  cols: id, issuer, tell_tries
SELECT id, issuer, tell_tries FROM certificates
WHERE issuer = $1 AND tell_at IS NOT NULL AND tell_at <= now_us()
ORDER BY tell_at LIMIT $2

-- name: revocation_claim  args: id text, tries int, lease int  cols: tell_tries, issuer, serial
UPDATE certificates SET tell_tries = tell_tries + 1, tell_at = now_us() + $3
WHERE id = $1 AND tell_tries = $2 AND tell_at <= now_us()
RETURNING tell_tries, issuer, serial

-- name: revocation_extend  args: id text, tries int, lease int  cols: id
UPDATE certificates SET tell_at = now_us() + $3
WHERE id = $1 AND tell_tries = $2 AND tell_at IS NOT NULL
RETURNING id

-- name: revocation_told  args: id text, tries int  cols: id
UPDATE certificates SET issuer_told = now_us(), tell_at = NULL
WHERE id = $1 AND tell_tries = $2 AND tell_at IS NOT NULL
RETURNING id

-- Once it has expired nobody needs to hear of it any more.
-- name: revocation_later  args: id text, tries int, wait int  cols: id, tell_at
UPDATE certificates SET tell_at = CASE WHEN not_after > now_us()
    THEN now_us() + $3 ELSE NULL END
WHERE id = $1 AND tell_tries = $2 AND tell_at IS NOT NULL
RETURNING id, tell_at
