-- The audit trail: rows that ride in the batch that makes them true.

-- name: audit_insert  args: id text, actor text, action text, object text, order_id text, account text, serial text, detail text
INSERT INTO audit (id, at, actor, action, object, order_id, account, serial,
    detail)
VALUES ($1, now_us(), $2, $3, $4, $5, $6, $7, $8)

-- For an account that an earlier statement of the batch may not have made.
-- name: audit_insert_if_account  args: id text, actor text, action text, object text, detail text
INSERT INTO audit (id, at, actor, action, object, account, detail)
SELECT $1, now_us(), $2, $3, $4, $4, $5
WHERE EXISTS (SELECT 1 FROM accounts WHERE id = $4)

-- What is done to a certificate, by its id alone.
-- name: audit_insert_of_cert  args: id text, actor text, action text, object text, detail text
INSERT INTO audit (id, at, actor, action, object, order_id, account, serial,
    detail)
SELECT $1, now_us(), $2, $3, id, order_id, account, serial, $5
FROM certificates WHERE id = $4
