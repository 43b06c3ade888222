-- SPDX-License-Identifier: ISC
-- Cert loops. `attempt` is the fence: each claim raises it, so does each
-- change of what a loop is for, and every later write of an attempt carries
-- it. Database time decides what is due and whose lease has run out.

-- What a node wants. What is there already stays as it is, back-off included;
-- a changed definition is due at once. What was claimed stays too: the next
-- claim lets go of it (loop_stray). `round` marks the rows that changed.
-- name: loop_put  args: name text, source text, names text, profile text, issuer text, key_type text, keep_key int, round text  cols: name
INSERT INTO loops (name, source, names, profile, issuer, key_type, keep_key,
    round, state, attempt, next_attempt, failures, version, stale, created,
    updated)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'new', 0, now_us(), 0, 0, 0, now_us(),
    now_us())
ON CONFLICT (name) DO UPDATE SET source = excluded.source,
    names = excluded.names, profile = excluded.profile,
    issuer = excluded.issuer, key_type = excluded.key_type,
    keep_key = excluded.keep_key, round = excluded.round,
    attempt = loops.attempt + 1, lease_until = NULL, holder = NULL,
    state = CASE WHEN loops.failures > 0 THEN 'failing'
        WHEN loops.version > 0 THEN 'valid' ELSE 'new' END,
    recall = CASE WHEN (loops.names, loops.profile, loops.issuer,
        loops.key_type) = (excluded.names, excluded.profile, excluded.issuer,
        excluded.key_type) THEN loops.recall END,
    stale = CASE WHEN (loops.names, loops.profile, loops.issuer,
        loops.key_type) = (excluded.names, excluded.profile, excluded.issuer,
        excluded.key_type) THEN loops.stale ELSE 1 END,
    failures = CASE WHEN (loops.names, loops.profile, loops.issuer,
        loops.key_type) = (excluded.names, excluded.profile, excluded.issuer,
        excluded.key_type) THEN loops.failures ELSE 0 END,
    next_attempt = CASE WHEN (loops.names, loops.profile, loops.issuer,
        loops.key_type) = (excluded.names, excluded.profile, excluded.issuer,
        excluded.key_type) THEN loops.next_attempt ELSE now_us() END,
    updated = now_us()
WHERE (loops.names, loops.profile, loops.issuer, loops.key_type,
    loops.keep_key, loops.source) <> (excluded.names, excluded.profile,
    excluded.issuer, excluded.key_type, excluded.keep_key, excluded.source)
    OR loops.state = 'stopped'
RETURNING name

-- next_delivery is NULL if nothing is to be delivered. What is new or goes
-- elsewhere is, and everything is looked after once in each process: `look`
-- microseconds from now; -1: not this time.
-- name: loop_want  args: loop text, node text, round text, target text, look int
INSERT INTO loop_nodes (loop, node, round, target, seen, due, delivered,
    failures, next_delivery)
VALUES ($1, $2, $3, $4, now_us(), 0, 0, 0, now_us())
ON CONFLICT (loop, node) DO UPDATE SET round = excluded.round,
    seen = excluded.seen,
    delivered = CASE WHEN loop_nodes.target = excluded.target
        THEN loop_nodes.delivered ELSE 0 END,
    next_delivery = CASE WHEN loop_nodes.target <> excluded.target
        THEN now_us()
        WHEN loop_nodes.next_delivery IS NULL AND $5 >= 0 THEN now_us() + $5
        ELSE loop_nodes.next_delivery END,
    target = excluded.target

-- This node is alive and still wants what it put.
-- name: loops_seen  args: node text, round text, first text, last text
UPDATE loop_nodes SET seen = now_us()
WHERE node = $1 AND round = $2 AND loop >= $3 AND loop <= $4

-- In the batch that did it; no row if nothing was done.
-- name: loop_audit  args: id text, actor text, action text, loop text, round text, detail text
INSERT INTO audit (id, at, actor, action, object, detail)
SELECT $1, now_us(), $2, $3, $4, $6
WHERE EXISTS (SELECT 1 FROM loops WHERE name = $4 AND round = $5)

-- What this node wanted before its newest round, of some names.
-- name: loops_unwanted  args: node text, round text, after text, last text, count int  cols: loop, node, round
SELECT loop, node, round FROM loop_nodes
WHERE node = $1 AND round <> $2 AND loop > $3 AND loop <= $4
ORDER BY loop LIMIT $5

-- What nodes wanted that have not been heard of for a week.
-- name: loops_forsaken  args: count int  cols: loop, node, round
SELECT loop, node, round FROM loop_nodes WHERE seen < now_us() - 604800000000
ORDER BY seen LIMIT $1

-- The loop's row is taken first, so that whoever begins to want it waits.
-- name: loop_take  args: name text  cols: name
UPDATE loops SET updated = now_us() WHERE name = $1 RETURNING name

-- name: loop_unwant  args: loop text, node text, round text
DELETE FROM loop_nodes WHERE loop = $1 AND node = $2 AND round = $3

-- name: loop_stop  args: name text, round text  cols: name
UPDATE loops SET state = 'stopped', attempt = attempt + 1, lease_until = NULL,
    holder = NULL, round = $2, updated = now_us()
WHERE name = $1 AND state <> 'stopped'
    AND NOT EXISTS (SELECT 1 FROM loop_nodes WHERE loop = $1)
RETURNING name

-- What a loop claimed of a remote issuer, and may have come to be, is kept as a
-- stray: of which loop, the conditions say.
-- part: keep_stray_of
INSERT INTO loop_strays (id, loop, profile, issuer, names, key, key_column,
    since, next)
SELECT $1, name, pending_profile, pending_issuer, pending_names,
    COALESCE(pending_key, key),
    CASE WHEN pending_key IS NULL THEN 'key' ELSE 'pending_key' END,
    pending_not_before, now_us() + 600000000
FROM loops

-- part: may_be_stray
pending_not_before IS NOT NULL
    AND pending_serial IS NULL AND pending_names IS NOT NULL
    AND COALESCE(pending_key, key) IS NOT NULL

-- part: let_go_of_claim
UPDATE loops SET pending_key = NULL, pending_serial = NULL,
    pending_not_before = NULL, pending_not_after = NULL

-- What it claimed is nobody's any more, as in loop_stray.
-- name: loop_stray_stopped  args: id text, name text
{keep_stray_of}
WHERE name = $2 AND state = 'stopped' AND {may_be_stray}

-- name: loop_let_go_stopped  args: name text
{let_go_of_claim}
WHERE name = $1 AND state = 'stopped' AND pending_not_before IS NOT NULL

-- name: loops_of_node  args: node text, source text, after text, count int  cols: name, names
SELECT l.name, l.names FROM loop_nodes n JOIN loops l ON l.name = n.loop
WHERE n.node = $1 AND l.source = $2 AND l.name > $3
ORDER BY l.name LIMIT $4

-- ---- an attempt

-- CROSS JOIN keeps SQLite at this order: what is due is little. By issuer, as
-- one that is slow must not keep the others from being asked.
-- name: loops_due  args: node text, issuer text, count int  cols: name, attempt, names, profile, issuer, key_type, keep_key, failures, version, stale, renew_at, has_key, now
SELECT l.name, l.attempt, l.names, l.profile, l.issuer, l.key_type, l.keep_key,
    l.failures, l.version,
    CASE WHEN c.status = 'revoked' THEN 1 ELSE l.stale END AS stale,
    l.renew_at, CASE WHEN l.key IS NOT NULL AND l.made_type = l.key_type
        THEN 1 ELSE 0 END AS has_key,
    now_us() AS now
FROM loops l CROSS JOIN loop_nodes n
    LEFT JOIN certificates c ON c.id = l.certificate
WHERE n.loop = l.name AND n.node = $1 AND l.issuer = $2
    AND l.state <> 'stopped' AND l.paused = 0 AND l.next_attempt <= now_us()
    AND (l.lease_until IS NULL OR l.lease_until <= now_us())
ORDER BY l.next_attempt LIMIT $3

-- The daily look found nothing to do.
-- name: loop_look  args: name text, attempt int, next_attempt time
UPDATE loops SET next_attempt = $3, updated = now_us()
WHERE name = $1 AND attempt = $2 AND next_attempt <= now_us()
    AND (lease_until IS NULL OR lease_until <= now_us())

-- Key, serial and validity of an attempt that a dead process left are used
-- again, so that no second certificate is made for the same period. What is
-- too old (`oldest`), or was for something else, or is not with the kind of key
-- that this attempt is with (`fresh`: a new one), is let go of first: what a
-- remote issuer may have made of it is to be found and revoked. Whoever has
-- changed the row in between has raised `attempt`, or the next one is not due:
-- then the claim, in the same batch, finds no row.
-- name: loop_stray  args: id text, name text, attempt int, oldest time, fresh int
{keep_stray_of}
WHERE name = $2 AND attempt = $3 AND {may_be_stray}
    AND NOT (pending_not_before >= $4 AND pending_names = names
        AND pending_profile = profile AND pending_issuer = issuer
        AND pending_type = key_type AND (pending_key IS NOT NULL) = ($5 = 1))

-- name: loop_let_go  args: name text, attempt int, oldest time, fresh int
{let_go_of_claim}
WHERE name = $1 AND attempt = $2 AND pending_not_before IS NOT NULL
    AND CASE WHEN pending_not_before >= $3 AND pending_names = names
        AND pending_profile = profile AND pending_issuer = issuer
        AND pending_type = key_type AND (pending_key IS NOT NULL) = ($4 = 1)
        THEN 0 ELSE 1 END = 1

-- name: loop_claim  args: name text, attempt int, lease int, holder text, key blob, serial text, not_before time, not_after time  cols: attempt, now, key, pending_key, pending_serial, pending_not_before, pending_not_after
UPDATE loops SET attempt = attempt + 1, lease_until = now_us() + $3,
    holder = $4, recall = NULL,
    pending_key = CASE WHEN pending_not_before IS NULL THEN $5
        ELSE pending_key END,
    pending_serial = CASE WHEN pending_not_before IS NULL THEN $6
        ELSE pending_serial END,
    pending_not_before = COALESCE(pending_not_before, $7),
    pending_not_after = CASE WHEN pending_not_before IS NULL THEN $8
        ELSE pending_not_after END,
    pending_names = names, pending_profile = profile, pending_issuer = issuer,
    pending_type = key_type, updated = now_us()
WHERE name = $1 AND attempt = $2 AND state <> 'stopped' AND paused = 0
    AND next_attempt <= now_us()
    AND (lease_until IS NULL OR lease_until <= now_us())
RETURNING attempt, now_us() AS now,
    CASE WHEN made_type = key_type THEN key END AS key, pending_key,
    pending_serial, pending_not_before, pending_not_after

-- The same for an attempt that cannot begin here: what was claimed before
-- stays for one that can. The first columns are those of loop_claim.
-- name: loop_hold  args: name text, attempt int, lease int, holder text  cols: attempt, now
UPDATE loops SET attempt = attempt + 1, lease_until = now_us() + $3,
    holder = $4, recall = NULL, updated = now_us()
WHERE name = $1 AND attempt = $2 AND state <> 'stopped' AND paused = 0
    AND next_attempt <= now_us()
    AND (lease_until IS NULL OR lease_until <= now_us())
RETURNING attempt, now_us() AS now

-- name: loop_extend  args: name text, attempt int, lease int  cols: attempt
UPDATE loops SET lease_until = now_us() + $3
WHERE name = $1 AND attempt = $2 AND lease_until IS NOT NULL
RETURNING attempt

-- name: loop_finish  args: name text, attempt int, certificate text, serial text, not_before time, not_after time, key blob, renew_at time, next_attempt time  cols: version
UPDATE loops SET state = 'valid', lease_until = NULL, holder = NULL,
    failures = 0, last_success = now_us(), last_error = NULL,
    last_error_at = NULL, certificate = $3, serial = $4, not_before = $5,
    not_after = $6, key = $7, made_type = key_type, renew_at = $8,
    next_attempt = $9,
    version = version + 1, stale = 0, recall = NULL, warned = 99,
    pending_key = NULL,
    pending_serial = NULL, pending_not_before = NULL,
    pending_not_after = NULL, updated = now_us()
WHERE name = $1 AND attempt = $2 AND lease_until IS NOT NULL
RETURNING version

-- keep: a remote issuer may have made one for the pending key; look for it.
-- name: loop_fail  args: name text, attempt int, failures int, next_attempt time, error text, keep int  cols: name
UPDATE loops SET state = CASE WHEN $3 > 0 THEN 'failing' ELSE state END,
    failures = $3, next_attempt = $4, last_error = $5,
    last_error_at = now_us(), lease_until = NULL, holder = NULL,
    recall = NULL, pending_key = CASE WHEN $6 = 1 THEN pending_key END,
    pending_serial = CASE WHEN $6 = 1 THEN pending_serial END,
    pending_not_before = CASE WHEN $6 = 1 THEN pending_not_before END,
    pending_not_after = CASE WHEN $6 = 1 THEN pending_not_after END,
    updated = now_us()
WHERE name = $1 AND attempt = $2 AND lease_until IS NOT NULL
RETURNING name

-- name: loop_cert_insert  args: id text, loop text, profile text, issuer text, serial text, not_before time, not_after time, der blob, chain text, spki_hash text, names text
INSERT INTO certificates (id, loop, profile, issuer, serial, not_before,
    not_after, der, chain, spki_hash, names, status, created)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'valid', now_us())

-- One that no loop has: revoked from birth, as orphan_insert.
-- name: loop_orphan_insert  args: id text, loop text, profile text, issuer text, serial text, not_before time, not_after time, der blob, chain text, spki_hash text, names text  cols: id
INSERT INTO certificates (id, loop, profile, issuer, serial, not_before,
    not_after, der, chain, spki_hash, names, status, revoked_at, reason,
    tell_at, created)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'revoked', now_us(), 4,
    now_us(), now_us()
WHERE NOT EXISTS (SELECT 1 FROM certificates WHERE serial = $5 AND der = $8)
ON CONFLICT (serial, issuer) DO NOTHING
RETURNING id

-- ---- strays

-- The next one of an issuer, and whether it is time.
-- name: strays_next  args: issuer text  cols: id, loop, profile, issuer, names, key, key_column, since, tries, due
SELECT id, loop, profile, issuer, names, key, key_column, since, tries,
    CASE WHEN next <= now_us() THEN 1 ELSE 0 END AS due
FROM loop_strays WHERE issuer = $1 ORDER BY next LIMIT 1

-- name: stray_take  args: id text, tries int, wait int  cols: now
UPDATE loop_strays SET tries = tries + 1, next = now_us() + $3
WHERE id = $1 AND tries = $2 AND next <= now_us()
RETURNING now_us() AS now

-- name: stray_end  args: id text, tries int  cols: id
DELETE FROM loop_strays WHERE id = $1 AND tries = $2 RETURNING id

-- ---- delivery

-- A new pair is due on every node.
-- name: loop_due_all  args: loop text
UPDATE loop_nodes SET due = (SELECT version FROM loops WHERE name = $1),
    next_delivery = now_us(), failures = 0
WHERE loop = $1

-- name: loops_undelivered  args: node text, count int  cols: loop
SELECT n.loop FROM loop_nodes n JOIN loops l ON l.name = n.loop
WHERE n.node = $1 AND n.next_delivery <= now_us() AND l.version > 0
ORDER BY n.next_delivery LIMIT $2

-- name: loop_pair  args: name text, node text  cols: version, key, not_after, serial, names, der, pem, delivered, failures, now
SELECT l.version, l.key, l.not_after, l.serial, l.names, c.der, h.pem,
    n.delivered, n.failures, now_us() AS now
FROM loops l JOIN certificates c ON c.id = l.certificate
    JOIN chains h ON h.id = c.chain
    JOIN loop_nodes n ON n.loop = l.name AND n.node = $2
WHERE l.name = $1 AND l.key IS NOT NULL

-- A newer pair, or another place for it, that came meanwhile stays due.
-- name: loop_delivered  args: loop text, node text, version int, target text  cols: delivered
UPDATE loop_nodes SET delivered = $3, delivered_at = now_us(), failures = 0,
    next_delivery = CASE WHEN due > $3 THEN next_delivery ELSE NULL END,
    error = NULL
WHERE loop = $1 AND node = $2 AND target = $4
RETURNING delivered

-- name: loop_undelivered  args: loop text, node text, failures int, next_delivery time, error text, target text  cols: failures
UPDATE loop_nodes SET failures = $3, next_delivery = $4, error = $5
WHERE loop = $1 AND node = $2 AND target = $6
RETURNING failures

-- ---- for people

-- A page of this node's loops: all of them at once would take long.
-- name: loops_count  args: node text, first text, last text  cols: state, n, not_after
SELECT x.state, count(*) AS n, min(x.not_after) AS not_after
FROM (SELECT CASE WHEN l.paused = 1 AND l.state <> 'stopped' THEN 'paused'
        ELSE l.state END AS state, l.not_after
    FROM loop_nodes n JOIN loops l ON l.name = n.loop
    WHERE n.node = $1 AND n.loop >= $2 AND n.loop <= $3
        AND l.name >= $2 AND l.name <= $3) x GROUP BY x.state

-- name: admin_loops  args: id text, scan int, count int, state text  cols: stop_key, stop_id, stop_n, k, id, source, names, state, failures, next_attempt, not_after, last_error
WITH scan AS (SELECT name FROM loops WHERE name > $1 ORDER BY name LIMIT $2),
stop AS (SELECT name, (SELECT count(*) FROM scan) AS n FROM scan
    ORDER BY name DESC LIMIT 1)
SELECT CAST(0 AS BIGINT) AS stop_key, stop.name AS stop_id,
    stop.n AS stop_n, CAST(0 AS BIGINT) AS k, x.name AS id, x.source,
    x.names, x.state, x.failures, x.next_attempt, x.not_after, x.last_error
FROM stop LEFT JOIN (SELECT l.name, l.source, l.names,
        CASE WHEN l.paused = 1 AND l.state <> 'stopped' THEN 'paused'
        ELSE l.state END AS state, l.failures, l.next_attempt, l.not_after,
        l.last_error
    FROM scan JOIN loops l ON l.name = scan.name) x
    ON $4 IS NULL OR x.state = $4
ORDER BY x.name LIMIT $3

-- name: loop_get  args: name text  cols: name, source, names, profile, issuer, key_type, keep_key, state, attempt, lease_until, holder, next_attempt, failures, last_success, last_error, last_error_at, certificate, serial, not_before, not_after, renew_at, version, created
SELECT name, source, names, profile, issuer, key_type, keep_key,
    CASE WHEN paused = 1 AND state <> 'stopped' THEN 'paused' ELSE state
    END AS state, attempt, lease_until, holder, next_attempt, failures, last_success,
    last_error, last_error_at, certificate, serial, not_before, not_after,
    renew_at, version, created
FROM loops WHERE name = $1

-- name: loop_nodes_get  args: loop text  cols: node, target, seen, delivered, delivered_at, failures, next_delivery, error
SELECT node, target, seen, delivered, delivered_at, failures, next_delivery,
    error
FROM loop_nodes WHERE loop = $1 ORDER BY node

-- name: loop_renew  args: name text, round text  cols: name
UPDATE loops SET stale = 1, next_attempt = now_us(), recall = NULL,
    round = $2, updated = now_us()
WHERE name = $1 AND state <> 'stopped'
RETURNING name

-- name: loop_pause  args: name text, paused int, round text  cols: name
UPDATE loops SET paused = $2, round = $3, updated = now_us()
WHERE name = $1 AND state <> 'stopped'
RETURNING name

-- ---- pairs that come to their end

-- What should have been renewed and was last warned of when more days were
-- left: 30, 14, 7, 1, or 0 when it is over. A life that is no longer than so
-- many days is not spoken of. CROSS JOIN as in loops_due.
-- name: loops_ending  args: node text, count int  cols: name, serial, not_after, left_days, warned
SELECT x.name, x.serial, x.not_after, x.left_days, x.warned
FROM (SELECT l.name, l.serial, l.not_after, l.not_before, l.warned, l.renew_at,
        CASE WHEN l.not_after <= now_us() THEN 0
        WHEN l.not_after <= now_us() + 86400000000 THEN 1
        WHEN l.not_after <= now_us() + 7 * 86400000000 THEN 7
        WHEN l.not_after <= now_us() + 14 * 86400000000 THEN 14
        WHEN l.not_after <= now_us() + 30 * 86400000000 THEN 30
        ELSE 99 END AS left_days
    FROM loops l CROSS JOIN loop_nodes n
    WHERE n.loop = l.name AND n.node = $1
        AND l.state <> 'stopped' AND l.renew_at <= now_us()) x
WHERE x.left_days < x.warned
    AND x.left_days * 86400000000 < x.not_after - x.not_before
ORDER BY x.renew_at LIMIT $2

-- name: loop_warn  args: name text, warned int, serial text, left_days int, round text  cols: name
UPDATE loops SET warned = $4, round = $5
WHERE name = $1 AND warned = $2 AND serial = $3 AND state <> 'stopped'
RETURNING name

-- ---- what operators ask for

-- name: asked_changes  cols: n
SELECT CAST(value AS BIGINT) AS n FROM meta WHERE key = 'asked_loops'

-- name: asked_change
INSERT INTO meta (key, value) VALUES ('asked_loops', '1')
ON CONFLICT (key) DO UPDATE
SET value = CAST(CAST(meta.value AS BIGINT) + 1 AS TEXT)

-- name: asked_page  args: after text, count int  cols: name, names, profile, key_type, keep_key, nodes
SELECT name, names, profile, key_type, keep_key, nodes FROM asked_loops
WHERE name > $1 ORDER BY name LIMIT $2

-- name: asked_add  args: name text, names text, profile text, key_type text, keep_key int, nodes text, max int  cols: name, names, profile, key_type, keep_key, nodes
INSERT INTO asked_loops (name, names, profile, key_type, keep_key, nodes,
    created, changed)
SELECT $1, $2, $3, $4, $5, $6, now_us(), now_us()
WHERE (SELECT count(*) FROM asked_loops) < $7
RETURNING name, names, profile, key_type, keep_key, nodes

-- What is null stays as it is. The columns are those of asked_add, as are
-- those of asked_remove.
-- name: asked_set  args: name text, names text, profile text, key_type text, keep_key int, nodes text  cols: name, names, profile, key_type, keep_key, nodes
UPDATE asked_loops SET names = COALESCE($2, names),
    profile = COALESCE($3, profile), key_type = COALESCE($4, key_type),
    keep_key = COALESCE($5, keep_key), nodes = COALESCE($6, nodes),
    changed = now_us()
WHERE name = $1
RETURNING name, names, profile, key_type, keep_key, nodes

-- name: asked_remove  args: name text  cols: name, names, profile, key_type, keep_key, nodes
DELETE FROM asked_loops WHERE name = $1
RETURNING name, names, profile, key_type, keep_key, nodes

-- name: admin_asked  args: id text, scan int, count int  cols: stop_key, stop_id, stop_n, k, id, names, profile, key_type, keep_key, nodes
WITH scan AS (SELECT name FROM asked_loops WHERE name > $1 ORDER BY name
    LIMIT $2),
stop AS (SELECT name, (SELECT count(*) FROM scan) AS n FROM scan
    ORDER BY name DESC LIMIT 1)
SELECT CAST(0 AS BIGINT) AS stop_key, stop.name AS stop_id,
    stop.n AS stop_n, CAST(0 AS BIGINT) AS k, l.name AS id, l.names,
    l.profile, l.key_type, l.keep_key, l.nodes
FROM stop LEFT JOIN asked_loops l
    ON l.name IN (SELECT name FROM scan)
ORDER BY l.name LIMIT $3
