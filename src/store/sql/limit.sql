-- Rate limits that the store counts (ratelimit/stored.c). The batch of a
-- request, which may take several limits:
--
--	limit_take_head		each, in the order of their ids
--	nonce_redeem, limit_void_head	if it redeems a nonce
--	limit_judge		each
--	limit_stamp		each, if none was refused
--
-- READ COMMITTED gives each statement after the heads a view of what was
-- committed before they were ours. The first of the heads keeps the verdict
-- until the end of the batch, so that all statements go by the same one though
-- each has a moment of its own: wait is 0 if all may be taken, else for how
-- long the limit that refuses longest will, or -1 if the nonce was no good.
--
-- The one taken max times ago is found by its number, so a large max costs no
-- more than a small one.

-- name: limit_take_head  args: id text, window int  cols: due
INSERT INTO limit_heads (id, wait, due)
VALUES ($1, 0, (now_us() + $2) / 3600000000 * 3600000000 + 3600000000)
ON CONFLICT (id) DO UPDATE SET wait = 0, due = excluded.due
RETURNING due;

-- name: limit_void_head  args: id text, nonce text, mark int
UPDATE limit_heads SET wait = -1
WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM nonces
    WHERE id = $2 AND mark = $3);

-- Returns a row if this limit refuses longer than those before it.
-- name: limit_judge  args: head text, id text, max int, window int  cols: wait
UPDATE limit_heads SET wait = (SELECT s.at + $4 - now_us()
    FROM limit_stamps s WHERE s.id = $2 AND s.seq = (SELECT max(t.seq)
        FROM limit_stamps t WHERE t.id = $2) - $3 + 1)
WHERE id = $1 AND wait >= 0 AND (SELECT s.at + $4 - now_us()
    FROM limit_stamps s WHERE s.id = $2 AND s.seq = (SELECT max(t.seq)
        FROM limit_stamps t WHERE t.id = $2) - $3 + 1) > wait
RETURNING wait;

-- name: limit_stamp  args: head text, id text, window int  cols: seq
INSERT INTO limit_stamps (id, seq, at, expires)
SELECT $2, COALESCE((SELECT max(t.seq) FROM limit_stamps t
    WHERE t.id = $2), 0) + 1, now_us(), now_us() + $3
WHERE EXISTS (SELECT 1 FROM limit_heads WHERE id = $1 AND wait = 0)
RETURNING seq;

-- The clock was set back: what was taken later than now was taken now.
-- name: limit_mend  args: id text, window int
UPDATE limit_stamps SET at = now_us(), expires = now_us() + $2
WHERE id = $1 AND at > now_us();

-- name: limit_show  args: id text, max int, window int  cols: used, wait
SELECT (SELECT count(*) FROM limit_stamps
        WHERE id = $1 AND at + $3 > now_us()) AS used,
    COALESCE((SELECT s.at + $3 - now_us() FROM limit_stamps s
        WHERE s.id = $1 AND s.seq = (SELECT max(t.seq)
            FROM limit_stamps t WHERE t.id = $1) - $2 + 1), 0) AS wait;

-- name: limit_forget  args: id text
DELETE FROM limit_stamps WHERE id = $1;

-- The sweep. A head that somebody takes meanwhile is due later and stays.
-- name: gc_limit_stamps  args: count int  cols: id
DELETE FROM limit_stamps WHERE (id, seq) IN (SELECT id, seq FROM limit_stamps
    WHERE expires <= now_us() ORDER BY expires LIMIT $1)
RETURNING id;

-- name: gc_limit_heads  args: count int  cols: id
DELETE FROM limit_heads WHERE id IN (SELECT id FROM limit_heads
    WHERE due <= now_us() ORDER BY due LIMIT $1)
    AND due <= now_us()
RETURNING id;
