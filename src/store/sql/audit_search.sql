-- Looking for rows of the audit trail. Like the lists of admin.sql: a bounded
-- look (scan) behind the last row of the page before, in the order of time,
-- which tells where it ended. Each statement goes by one index and filters by
-- the rest; all take and yield the same.

-- part: audit_args
at time, id text, scan int, count int, bound time, order_id text, account text, serial text, actor text, action text

-- part: audit_cols
stop_key, stop_id, stop_n, k, id, now, actor, action, object, order_id, account, serial, detail

-- part: columns
at, id, actor, action, object, order_id, account, serial, detail

-- part: before
at >= $5 AND at <= $1 AND (at, id) < ($1, $2)
    ORDER BY at DESC, id DESC LIMIT $3

-- part: rows
SELECT stop.at AS stop_key, stop.id AS stop_id, stop.n AS stop_n, x.at AS k,
    x.id AS id, now_us() AS now, x.actor, x.action, x.object, x.order_id,
    x.account, x.serial, x.detail
FROM stop LEFT JOIN scan x ON ($6 IS NULL OR x.order_id = $6)
    AND ($7 IS NULL OR x.account = $7) AND ($8 IS NULL OR x.serial = $8)
    AND ($9 IS NULL OR x.actor = $9) AND ($10 IS NULL OR x.action = $10)

-- Behind a scan that goes back in time.
-- part: latest_of_scan
stop AS (SELECT at, id, (SELECT count(*) FROM scan) AS n FROM scan
    ORDER BY at, id LIMIT 1)
{rows}
ORDER BY x.at DESC, x.id DESC LIMIT $4

-- name: audit_latest
-- args: {audit_args}
-- cols: {audit_cols}
WITH scan AS (SELECT {columns} FROM audit WHERE {before}), {latest_of_scan};

-- name: audit_following
-- args: {audit_args}
-- cols: {audit_cols}
WITH scan AS (SELECT {columns}
    FROM audit WHERE at < $5 AND at >= $1 AND (at, id) > ($1, $2)
    ORDER BY at, id LIMIT $3),
stop AS (SELECT at, id, (SELECT count(*) FROM scan) AS n FROM scan
    ORDER BY at DESC, id DESC LIMIT 1)
{rows}
ORDER BY x.at, x.id LIMIT $4;

-- name: audit_of_order
-- args: {audit_args}
-- cols: {audit_cols}
WITH scan AS (SELECT {columns}
    FROM audit WHERE order_id = $6 AND {before}), {latest_of_scan};

-- name: audit_of_account
-- args: {audit_args}
-- cols: {audit_cols}
WITH scan AS (SELECT {columns}
    FROM audit WHERE account = $7 AND {before}), {latest_of_scan};

-- name: audit_of_serial
-- args: {audit_args}
-- cols: {audit_cols}
WITH scan AS (SELECT {columns}
    FROM audit WHERE serial = $8 AND {before}), {latest_of_scan};

-- $11: the account that the actor is, if it is one.
-- name: audit_of_actor
-- args: {audit_args}, itself text
-- cols: {audit_cols}
WITH scan AS (SELECT {columns}
    FROM (SELECT {columns}
        FROM audit WHERE actor = $9
            AND (account IS NULL OR actor <> 'account:' || account)
            AND {before}) own
    UNION ALL
    SELECT {columns}
    FROM (SELECT {columns}
        FROM audit WHERE account = $11 AND actor = $9
            AND {before}) of_account
    ORDER BY at DESC, id DESC LIMIT $3), {latest_of_scan};

-- Of an action that not every issuance writes.
-- name: audit_of_action
-- args: {audit_args}
-- cols: {audit_cols}
WITH scan AS (SELECT {columns}
    FROM audit WHERE action = $10 AND action <> 'order.create'
        AND action <> 'certificate.issue' AND {before}), {latest_of_scan};
