-- SPDX-License-Identifier: ISC
-- Facts about the whole installation, such as the SPKI hash of the CA key.

-- name: meta_get  args: key text  cols: value
SELECT value FROM meta WHERE key = $1;

-- The first one to say it wins: no row means that another value stands.
-- name: meta_insert  args: key text, value text  cols: key
INSERT INTO meta (key, value) VALUES ($1, $2)
ON CONFLICT (key) DO NOTHING RETURNING key;

-- name: meta_put  args: key text, value text
INSERT INTO meta (key, value) VALUES ($1, $2)
ON CONFLICT (key) DO UPDATE SET value = excluded.value;
