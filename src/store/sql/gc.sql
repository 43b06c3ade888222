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
