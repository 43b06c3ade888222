-- Accounts. `touched` exists so that a batch can take the row first (an UPDATE
-- of its own) before it counts what hangs on the account.

-- name: account_insert  args: id text, profile text, thumbprint text, jwk text, contacts text, tos_agreed time, eab_key text, eab text, allowed text  cols: id
INSERT INTO accounts (id, profile, thumbprint, jwk, status, contacts,
    tos_agreed, key_version, touched, eab_key, eab, allowed, created)
VALUES ($1, $2, $3, $4, 'valid', $5, $6, 1, 0, $7, $8, $9, now_us())
ON CONFLICT (profile, thumbprint) DO NOTHING
RETURNING id

-- name: account_by_key  args: profile text, thumbprint text  cols: id, status, contacts, tos_agreed, created, key_version, jwk, eab
SELECT id, status, contacts, tos_agreed, created, key_version, jwk, eab
FROM accounts WHERE profile = $1 AND thumbprint = $2

-- name: account_get  args: id text, profile text  cols: id, status, contacts, tos_agreed, created, key_version, jwk, allowed, limits
SELECT id, status, contacts, tos_agreed, created, key_version, jwk, allowed,
    limits
FROM accounts WHERE id = $1 AND profile = $2

-- name: account_take  args: id text, profile text, key_version int  cols: id
UPDATE accounts SET touched = touched + 1
WHERE id = $1 AND profile = $2 AND status = 'valid' AND key_version = $3
RETURNING id

-- name: account_update  args: id text, profile text, key_version int, contacts text, tos_agreed time  cols: status, contacts, tos_agreed, created, eab
UPDATE accounts SET contacts = COALESCE($4, contacts),
    tos_agreed = COALESCE($5, tos_agreed)
WHERE id = $1 AND profile = $2 AND status = 'valid' AND key_version = $3
RETURNING status, contacts, tos_agreed, created, eab

-- name: account_deactivate  args: id text, profile text, key_version int  cols: status, contacts, tos_agreed, created, eab
UPDATE accounts SET status = 'deactivated', key_version = key_version + 1
WHERE id = $1 AND profile = $2 AND status = 'valid' AND key_version = $3
RETURNING status, contacts, tos_agreed, created, eab

-- The same columns as account_update and account_deactivate return.
-- name: account_view  args: id text, profile text, key_version int  cols: status, contacts, tos_agreed, created, eab
SELECT status, contacts, tos_agreed, created, eab FROM accounts
WHERE id = $1 AND profile = $2 AND status = 'valid' AND key_version = $3

-- A key that another account of the profile has makes the batch end CONFLICT.
-- name: account_rekey  args: id text, profile text, key_version int, thumbprint text, jwk text  cols: status, contacts, tos_agreed, created, eab
UPDATE accounts SET thumbprint = $4, jwk = $5, key_version = key_version + 1
WHERE id = $1 AND profile = $2 AND status = 'valid' AND key_version = $3
RETURNING status, contacts, tos_agreed, created, eab
