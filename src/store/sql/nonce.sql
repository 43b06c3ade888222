-- Nonces that the store redeems, while replicas have no Redis to do it. Both
-- tables are unlogged: after a crash of the server they are empty, the epoch
-- is another one, and nonces that name the old one are refused.

-- name: nonce_epoch_insert  args: epoch text
INSERT INTO nonce_epochs (one, epoch) VALUES (1, $1)
ON CONFLICT (one) DO NOTHING;

-- name: nonce_epoch_get  args:  cols: epoch
SELECT epoch FROM nonce_epochs WHERE one = 1;

-- name: nonce_redeem  args: id text, lifetime int, epoch text, mark int  cols: id
INSERT INTO nonces (id, mark, expires)
SELECT $1, $4, now_us() + $2
WHERE EXISTS (SELECT 1 FROM nonce_epochs WHERE one = 1 AND epoch = $3)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: gc_nonces  args: count int  cols: id
DELETE FROM nonces WHERE id IN (SELECT id FROM nonces
    WHERE expires <= now_us() ORDER BY expires LIMIT $1)
RETURNING id;

-- Keys that replicas share, sealed under the key that the config names.
-- Adds a version only if there is none of it or after it yet, and the newest
-- is older than age.
-- name: secret_add_next  args: name text, version int, sealed blob, age int
INSERT INTO secrets (name, version, sealed, created)
SELECT $1, $2, $3, now_us()
WHERE NOT EXISTS (SELECT 1 FROM secrets
    WHERE name = $1 AND (version >= $2 OR created > now_us() - $4))
ON CONFLICT (name, version) DO NOTHING;

-- name: secret_prune  args: name text
DELETE FROM secrets WHERE name = $1 AND version <
    (SELECT max(version) - 1 FROM secrets WHERE name = $1);

-- name: secret_newest  args: name text  cols: version, sealed, created, now
SELECT version, sealed, created, now_us() AS now FROM secrets WHERE name = $1
ORDER BY version DESC LIMIT 2;
