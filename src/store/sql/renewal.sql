-- SPDX-License-Identifier: ISC
-- Renewal information, RFC 9773.

-- name: renewal_find  args: serial text, profile text  cols: id, serial, not_before, not_after, revoked_at, renew_start, renew_end, der
SELECT id, serial, not_before, not_after, revoked_at, renew_start, renew_end,
    der
FROM certificates
WHERE serial = $1 AND profile = $2
LIMIT 10

-- Certificates of the account that an order may replace.
-- name: replaces_find  args: serial text, account text, profile text, key_version int  cols: id, der
SELECT c.id, c.der FROM certificates c JOIN accounts a ON a.id = c.account
WHERE c.serial = $1 AND c.account = $2 AND c.profile = $3
    AND a.status = 'valid' AND a.key_version = $4
LIMIT 10

-- An order that ran out of time replaces nothing, whenever the sweep comes.
-- name: replaces_release  args: replaces text  cols: id
UPDATE orders SET replaces = NULL
WHERE replaces = $1 AND status IN ('pending', 'ready')
    AND expires <= now_us()
RETURNING id
