-- Sweeps: each one bounded statement over an index, oldest first. They only
-- say aloud what reading already takes for granted, so running late, twice or
-- not at all does no harm.

-- name: gc_authorizations  args: count int  cols: id
UPDATE authorizations SET status = 'expired', lease = NULL
WHERE id IN (SELECT id FROM authorizations
    WHERE (status = 'pending' OR status = 'valid') AND expires <= now_us()
    ORDER BY expires LIMIT $1)
    AND status IN ('pending', 'valid') AND expires <= now_us()
RETURNING id;

-- name: gc_orders  args: count int, error text  cols: id
UPDATE orders SET status = 'invalid', error = $2, updated = now_us()
WHERE id IN (SELECT id FROM orders
    WHERE (status = 'pending' OR status = 'ready') AND expires <= now_us()
    ORDER BY expires LIMIT $1)
    AND status IN ('pending', 'ready') AND expires <= now_us()
RETURNING id;

-- Retention: rows that nobody asks for any more. None of them is needed by
-- what remains: an order goes before its certificate does, and a certificate
-- only when it has expired, its issuer has heard of its revocation, a CRL that
-- was made after its end has listed it, and no loop has it in use.

-- name: gc_old_authorizations  args: count int, age int  cols: id
DELETE FROM authorizations WHERE id IN (SELECT id FROM authorizations
    WHERE status <> 'pending' AND status <> 'valid'
    AND expires <= now_us() - $2 ORDER BY expires LIMIT $1)
RETURNING id;

-- name: gc_old_orders  args: count int, age int  cols: id
DELETE FROM orders WHERE id IN (SELECT id FROM orders
    WHERE status = 'invalid' AND updated <= now_us() - $2
    ORDER BY updated LIMIT $1)
RETURNING id;

-- Stopped, so no node wants it (and who begins to, takes the row first); the
-- pair in it has ended.
-- name: gc_old_loops  args: count int, age int  cols: name
DELETE FROM loops WHERE name IN (SELECT name FROM loops
    WHERE state = 'stopped' AND updated <= now_us() - $2
    AND (not_after IS NULL OR not_after <= now_us() - $2)
    ORDER BY updated LIMIT $1)
    AND state = 'stopped' AND updated <= now_us() - $2
    AND NOT EXISTS (SELECT 1 FROM loop_nodes n WHERE n.loop = loops.name)
RETURNING name;

-- What was not found in 400 days has ended: no issuer of ours signs for longer.
-- name: gc_old_strays  args: count int  cols: id
DELETE FROM loop_strays WHERE id IN (SELECT id FROM loop_strays
    WHERE since <= now_us() - 34560000000000 LIMIT $1)
RETURNING id;

-- name: gc_certified_orders  args: count int, age int  cols: id
DELETE FROM orders WHERE status = 'valid' AND id IN (SELECT c.order_id
    FROM certificates c WHERE c.not_after <= now_us() - $2
    AND c.tell_at IS NULL
    AND (c.status <> 'revoked' OR NOT EXISTS (SELECT 1 FROM crls k
        WHERE k.issuer = c.issuer AND k.since <= c.not_after))
    AND (c.loop IS NULL OR NOT EXISTS (SELECT 1 FROM loops l
        WHERE l.name = c.loop AND l.certificate = c.id))
    ORDER BY c.not_after LIMIT $1)
RETURNING id;

-- name: gc_certificate_names  args: count int, age int
DELETE FROM certificate_names WHERE certificate IN (SELECT c.id
    FROM certificates c WHERE c.not_after <= now_us() - $2
    AND c.tell_at IS NULL
    AND (c.status <> 'revoked' OR NOT EXISTS (SELECT 1 FROM crls k
        WHERE k.issuer = c.issuer AND k.since <= c.not_after))
    AND (c.loop IS NULL OR NOT EXISTS (SELECT 1 FROM loops l
        WHERE l.name = c.loop AND l.certificate = c.id))
    ORDER BY c.not_after LIMIT $1)
    AND NOT EXISTS (SELECT 1 FROM orders o, certificates d
        WHERE d.id = certificate_names.certificate AND o.id = d.order_id);

-- Its names go before it, in the same batch; what became due in between waits.
-- name: gc_old_certificates  args: count int, age int  cols: id
DELETE FROM certificates WHERE id IN (SELECT c.id
    FROM certificates c WHERE c.not_after <= now_us() - $2
    AND c.tell_at IS NULL
    AND (c.status <> 'revoked' OR NOT EXISTS (SELECT 1 FROM crls k
        WHERE k.issuer = c.issuer AND k.since <= c.not_after))
    AND (c.loop IS NULL OR NOT EXISTS (SELECT 1 FROM loops l
        WHERE l.name = c.loop AND l.certificate = c.id))
    ORDER BY c.not_after LIMIT $1)
    AND NOT EXISTS (SELECT 1 FROM orders o
        WHERE o.id = certificates.order_id)
    AND NOT EXISTS (SELECT 1 FROM certificate_names n
        WHERE n.certificate = certificates.id)
RETURNING id;

-- name: gc_old_audit  args: count int, age int  cols: id
DELETE FROM audit WHERE (at, id) IN (SELECT at, id FROM audit
    WHERE at <= now_us() - $2 ORDER BY at LIMIT $1)
RETURNING id;
