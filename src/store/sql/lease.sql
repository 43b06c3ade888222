-- Leases: who does a job of which there must be one. The fence rises with
-- each new holder.

-- name: lease_take  args: name text, holder text, ttl int  cols: fence
INSERT INTO leases (name, holder, fence, until)
VALUES ($1, $2, 1, now_us() + $3)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder,
    fence = CASE WHEN leases.holder = excluded.holder THEN leases.fence
        ELSE leases.fence + 1 END,
    until = excluded.until
WHERE leases.until <= now_us() OR leases.holder = excluded.holder
RETURNING fence;

-- name: lease_get  args: name text  cols: holder, fence, until, now
SELECT holder, fence, until, now_us() AS now FROM leases WHERE name = $1;

-- name: lease_release  args: name text, holder text
UPDATE leases SET until = now_us() WHERE name = $1 AND holder = $2;
