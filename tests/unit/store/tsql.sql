-- SPDX-License-Identifier: ISC
-- Statements that only the tests of the store use, on the real schema.

-- name: put  args: key text, value text
INSERT INTO meta (key, value) VALUES ($1, $2);

-- name: put_new  args: key text, value text  cols: key
INSERT INTO meta (key, value) VALUES ($1, $2)
ON CONFLICT (key) DO NOTHING RETURNING key;

-- name: set  args: key text, value text  cols: key, value
UPDATE meta SET value = $2 WHERE key = $1 RETURNING key, value;

-- The guard of everything that has a state: one winner.
-- name: swap  args: key text, old text, new text  cols: value
UPDATE meta SET value = $3 WHERE key = $1 AND value = $2 RETURNING value;

-- name: del  args: key text
DELETE FROM meta WHERE key = $1;

-- name: get  args: key text  cols: value
SELECT value FROM meta WHERE key = $1;

-- name: keys  args: from text, to text  cols: key
SELECT key FROM meta WHERE key >= $1 AND key < $2 ORDER BY key;

-- name: tally  args: from text, to text  cols: n
SELECT count(*) AS n FROM meta WHERE key >= $1 AND key < $2;

-- name: not_null  args: key text
INSERT INTO meta (key, value) VALUES ($1, NULL);

-- name: bad_fence  args: name text
INSERT INTO leases (name, holder, fence, until) VALUES ($1, '', 0, 0);

-- name: lease  args: name text
INSERT INTO leases (name, holder, fence, until) VALUES ($1, '', 1, 0);

-- name: bump  args: name text  cols: fence
UPDATE leases SET fence = fence + 1 WHERE name = $1 RETURNING fence;

-- name: fence  args: name text  cols: fence
SELECT fence FROM leases WHERE name = $1;

-- name: echo  args: t text, i int, w time, b blob  cols: t, i, w, b
SELECT CAST($1 AS TEXT) AS t, CAST($2 AS BIGINT) AS i, CAST($3 AS BIGINT) AS w,
	CAST($4 AS BLOB) AS b;

-- name: now  cols: a, b
SELECT now_us() AS a, now_us() AS b;

-- name: account  args: id text
INSERT INTO accounts (id, profile, thumbprint, jwk, status, contacts, created)
VALUES ($1, 'p', $1, '{}', 'valid', '[]', now_us());

-- Takes the account's row: whoever comes second waits here.
-- name: take_account  args: id text  cols: touched
UPDATE accounts SET touched = touched + 1 WHERE id = $1 AND status = 'valid'
RETURNING touched;

-- name: open_order  args: id text, account text, max int  cols: id
INSERT INTO orders (id, account, profile, status, identifiers, authzs,
	names_hash, expires, created, updated)
SELECT $1, $2, 'p', 'pending', '[]', '', $1, now_us() + 3600000000, now_us(),
	now_us()
WHERE (SELECT count(*) FROM orders WHERE account = $2
	AND status IN ('pending', 'ready', 'processing')) < $3
RETURNING id;

-- name: count_orders  args: account text  cols: n
SELECT count(*) AS n FROM orders WHERE account = $1;
