-- Looking for rows of the audit trail. Like the lists of admin.sql: a bounded
-- look (scan) behind the last row of the page before, in the order of time,
-- which tells where it ended. Each statement goes by one index and filters by
-- the rest; all take and yield the same.

-- name: audit_latest
-- args: at time, id text, scan int, count int, bound time, order_id text, account text, serial text, actor text, action text
-- cols: stop_key, stop_id, stop_n, k, id, now, actor, action, object, order_id, account, serial, detail
WITH scan AS (SELECT at, id, actor, action, object, order_id, account,
        serial, detail
    FROM audit WHERE at >= $5 AND at <= $1 AND (at, id) < ($1, $2)
    ORDER BY at DESC, id DESC LIMIT $3),
stop AS (SELECT at, id, (SELECT count(*) FROM scan) AS n FROM scan
    ORDER BY at, id LIMIT 1)
SELECT stop.at AS stop_key, stop.id AS stop_id, stop.n AS stop_n, x.at AS k,
    x.id AS id, now_us() AS now, x.actor, x.action, x.object, x.order_id,
    x.account, x.serial, x.detail
FROM stop LEFT JOIN scan x ON ($6 IS NULL OR x.order_id = $6)
    AND ($7 IS NULL OR x.account = $7) AND ($8 IS NULL OR x.serial = $8)
    AND ($9 IS NULL OR x.actor = $9) AND ($10 IS NULL OR x.action = $10)
ORDER BY x.at DESC, x.id DESC LIMIT $4;

-- name: audit_following
-- args: at time, id text, scan int, count int, bound time, order_id text, account text, serial text, actor text, action text
-- cols: stop_key, stop_id, stop_n, k, id, now, actor, action, object, order_id, account, serial, detail
WITH scan AS (SELECT at, id, actor, action, object, order_id, account,
        serial, detail
    FROM audit WHERE at < $5 AND at >= $1 AND (at, id) > ($1, $2)
    ORDER BY at, id LIMIT $3),
stop AS (SELECT at, id, (SELECT count(*) FROM scan) AS n FROM scan
    ORDER BY at DESC, id DESC LIMIT 1)
SELECT stop.at AS stop_key, stop.id AS stop_id, stop.n AS stop_n, x.at AS k,
    x.id AS id, now_us() AS now, x.actor, x.action, x.object, x.order_id,
    x.account, x.serial, x.detail
FROM stop LEFT JOIN scan x ON ($6 IS NULL OR x.order_id = $6)
    AND ($7 IS NULL OR x.account = $7) AND ($8 IS NULL OR x.serial = $8)
    AND ($9 IS NULL OR x.actor = $9) AND ($10 IS NULL OR x.action = $10)
ORDER BY x.at, x.id LIMIT $4;

-- name: audit_of_order
-- args: at time, id text, scan int, count int, bound time, order_id text, account text, serial text, actor text, action text
-- cols: stop_key, stop_id, stop_n, k, id, now, actor, action, object, order_id, account, serial, detail
WITH scan AS (SELECT at, id, actor, action, object, order_id, account,
        serial, detail
    FROM audit WHERE order_id = $6
        AND at >= $5 AND at <= $1 AND (at, id) < ($1, $2)
    ORDER BY at DESC, id DESC LIMIT $3),
stop AS (SELECT at, id, (SELECT count(*) FROM scan) AS n FROM scan
    ORDER BY at, id LIMIT 1)
SELECT stop.at AS stop_key, stop.id AS stop_id, stop.n AS stop_n, x.at AS k,
    x.id AS id, now_us() AS now, x.actor, x.action, x.object, x.order_id,
    x.account, x.serial, x.detail
FROM stop LEFT JOIN scan x ON ($6 IS NULL OR x.order_id = $6)
    AND ($7 IS NULL OR x.account = $7) AND ($8 IS NULL OR x.serial = $8)
    AND ($9 IS NULL OR x.actor = $9) AND ($10 IS NULL OR x.action = $10)
ORDER BY x.at DESC, x.id DESC LIMIT $4;

-- name: audit_of_account
-- args: at time, id text, scan int, count int, bound time, order_id text, account text, serial text, actor text, action text
-- cols: stop_key, stop_id, stop_n, k, id, now, actor, action, object, order_id, account, serial, detail
WITH scan AS (SELECT at, id, actor, action, object, order_id, account,
        serial, detail
    FROM audit WHERE account = $7
        AND at >= $5 AND at <= $1 AND (at, id) < ($1, $2)
    ORDER BY at DESC, id DESC LIMIT $3),
stop AS (SELECT at, id, (SELECT count(*) FROM scan) AS n FROM scan
    ORDER BY at, id LIMIT 1)
SELECT stop.at AS stop_key, stop.id AS stop_id, stop.n AS stop_n, x.at AS k,
    x.id AS id, now_us() AS now, x.actor, x.action, x.object, x.order_id,
    x.account, x.serial, x.detail
FROM stop LEFT JOIN scan x ON ($6 IS NULL OR x.order_id = $6)
    AND ($7 IS NULL OR x.account = $7) AND ($8 IS NULL OR x.serial = $8)
    AND ($9 IS NULL OR x.actor = $9) AND ($10 IS NULL OR x.action = $10)
ORDER BY x.at DESC, x.id DESC LIMIT $4;

-- name: audit_of_serial
-- args: at time, id text, scan int, count int, bound time, order_id text, account text, serial text, actor text, action text
-- cols: stop_key, stop_id, stop_n, k, id, now, actor, action, object, order_id, account, serial, detail
WITH scan AS (SELECT at, id, actor, action, object, order_id, account,
        serial, detail
    FROM audit WHERE serial = $8
        AND at >= $5 AND at <= $1 AND (at, id) < ($1, $2)
    ORDER BY at DESC, id DESC LIMIT $3),
stop AS (SELECT at, id, (SELECT count(*) FROM scan) AS n FROM scan
    ORDER BY at, id LIMIT 1)
SELECT stop.at AS stop_key, stop.id AS stop_id, stop.n AS stop_n, x.at AS k,
    x.id AS id, now_us() AS now, x.actor, x.action, x.object, x.order_id,
    x.account, x.serial, x.detail
FROM stop LEFT JOIN scan x ON ($6 IS NULL OR x.order_id = $6)
    AND ($7 IS NULL OR x.account = $7) AND ($8 IS NULL OR x.serial = $8)
    AND ($9 IS NULL OR x.actor = $9) AND ($10 IS NULL OR x.action = $10)
ORDER BY x.at DESC, x.id DESC LIMIT $4;

-- $11: the account that the actor is, if it is one.
-- name: audit_of_actor
-- args: at time, id text, scan int, count int, bound time, order_id text, account text, serial text, actor text, action text, itself text
-- cols: stop_key, stop_id, stop_n, k, id, now, actor, action, object, order_id, account, serial, detail
WITH scan AS (SELECT at, id, actor, action, object, order_id, account, serial, detail
    FROM (SELECT at, id, actor, action, object, order_id, account,
        serial, detail
        FROM audit WHERE actor = $9
            AND (account IS NULL OR actor <> 'account:' || account)
            AND at >= $5 AND at <= $1 AND (at, id) < ($1, $2)
        ORDER BY at DESC, id DESC LIMIT $3) own
    UNION ALL
    SELECT at, id, actor, action, object, order_id, account, serial, detail
    FROM (SELECT at, id, actor, action, object, order_id, account,
        serial, detail
        FROM audit WHERE account = $11 AND actor = $9
            AND at >= $5 AND at <= $1 AND (at, id) < ($1, $2)
        ORDER BY at DESC, id DESC LIMIT $3) of_account
    ORDER BY at DESC, id DESC LIMIT $3),
stop AS (SELECT at, id, (SELECT count(*) FROM scan) AS n FROM scan
    ORDER BY at, id LIMIT 1)
SELECT stop.at AS stop_key, stop.id AS stop_id, stop.n AS stop_n, x.at AS k,
    x.id AS id, now_us() AS now, x.actor, x.action, x.object, x.order_id,
    x.account, x.serial, x.detail
FROM stop LEFT JOIN scan x ON ($6 IS NULL OR x.order_id = $6)
    AND ($7 IS NULL OR x.account = $7) AND ($8 IS NULL OR x.serial = $8)
    AND ($9 IS NULL OR x.actor = $9) AND ($10 IS NULL OR x.action = $10)
ORDER BY x.at DESC, x.id DESC LIMIT $4;

-- Of an action that not every issuance writes.
-- name: audit_of_action
-- args: at time, id text, scan int, count int, bound time, order_id text, account text, serial text, actor text, action text
-- cols: stop_key, stop_id, stop_n, k, id, now, actor, action, object, order_id, account, serial, detail
WITH scan AS (SELECT at, id, actor, action, object, order_id, account,
        serial, detail
    FROM audit WHERE action = $10 AND action <> 'order.create'
        AND action <> 'certificate.issue' AND at >= $5 AND at <= $1 AND (at, id) < ($1, $2)
    ORDER BY at DESC, id DESC LIMIT $3),
stop AS (SELECT at, id, (SELECT count(*) FROM scan) AS n FROM scan
    ORDER BY at, id LIMIT 1)
SELECT stop.at AS stop_key, stop.id AS stop_id, stop.n AS stop_n, x.at AS k,
    x.id AS id, now_us() AS now, x.actor, x.action, x.object, x.order_id,
    x.account, x.serial, x.detail
FROM stop LEFT JOIN scan x ON ($6 IS NULL OR x.order_id = $6)
    AND ($7 IS NULL OR x.account = $7) AND ($8 IS NULL OR x.serial = $8)
    AND ($9 IS NULL OR x.actor = $9) AND ($10 IS NULL OR x.action = $10)
ORDER BY x.at DESC, x.id DESC LIMIT $4;
