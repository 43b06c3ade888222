-- SPDX-License-Identifier: ISC
-- oldest: 1
--
-- The first schema. Rules of the house:
--
-- * Ids are random text (base/id.h) and compare as bytes: COLLATE "C".
-- * Moments are BIGINT microseconds since 1970. Truth values are BIGINT 0, 1.
-- * JSON is text that we wrote; the database never looks inside.
-- * No foreign keys. The batch that inserts a row has guarded its parent row
--   in an earlier statement, parents are not deleted before their children,
--   and a key check would lock the parent once more: on a row that all share
--   (a chain, a busy account) that costs more than the whole insert.
-- * A term "status = 'a' OR status = 'b'" stands where IN would: SQLite makes
--   a b-tree for IN each time, and takes a partial index only if the query
--   has the index's term word for word.
-- * A column that is in an index, or in the WHERE of one, costs every update
--   of it an entry in each index of the table (no HOT). So what changes often
--   (touched, fence, until, contacts) is in none.

-- Database time, microseconds. One value per statement, so that an index can
-- be searched for it. SQLite's driver registers a function of this name.
-- only: postgresql
CREATE FUNCTION now_us() RETURNS BIGINT LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000000
	AS BIGINT) $$;

-- Always empty. INSERT of a 0 that a lost guard asks for aborts the batch:
-- store_require() on PostgreSQL.
CREATE TABLE must (
	ok BIGINT NOT NULL CHECK (ok = 1)
);

-- Facts about the installation. Written at first start; read at start.
CREATE TABLE meta (
	key TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	value TEXT NOT NULL
);

-- Written: new-account, account update, key change, deactivation, and by
-- every new-order, which takes this row first by counting `touched` up and
-- then counts the account's open orders. All but key change are HOT.
CREATE TABLE accounts (
	id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	profile TEXT COLLATE "C" NOT NULL,
	thumbprint TEXT COLLATE "C" NOT NULL, -- RFC 7638, of jwk
	jwk TEXT NOT NULL,
	status TEXT NOT NULL
		CHECK (status = 'valid' OR status = 'deactivated' OR
		status = 'revoked'),
	contacts TEXT NOT NULL,               -- JSON array of URLs
	tos_agreed BIGINT,                    -- when; NULL: not
	key_version BIGINT NOT NULL DEFAULT 1 CHECK (key_version > 0),
	touched BIGINT NOT NULL DEFAULT 0,
	eab_key TEXT COLLATE "C",             -- eab_keys.id, if it was bound
	eab TEXT,                             -- the binding, JSON
	allowed TEXT NOT NULL DEFAULT '',     -- of that key: names, prefixes
	limits TEXT NOT NULL DEFAULT '',      -- by an operator: NAME=MAX/USEC
	created BIGINT NOT NULL,
	UNIQUE (profile, thumbprint)
);
CREATE INDEX accounts_eab_key ON accounts (eab_key)
	WHERE eab_key IS NOT NULL;
-- only: postgresql
ALTER TABLE accounts SET (fillfactor = 80);

-- Keys of external account bindings. Written: by operators (made, revoked), and
-- once for each account that is bound.
CREATE TABLE eab_keys (
	id TEXT COLLATE "C" NOT NULL PRIMARY KEY, -- the kid
	name TEXT NOT NULL,                  -- for people
	profile TEXT COLLATE "C" NOT NULL,
	status TEXT NOT NULL CHECK (status = 'valid' OR status = 'revoked'),
	sealed BLOB NOT NULL,                -- the MAC key
	max_uses BIGINT NOT NULL CHECK (max_uses >= 0), -- 0: any number
	used BIGINT NOT NULL DEFAULT 0 CHECK (used >= 0),
	expires BIGINT,                      -- NULL: never
	allowed TEXT NOT NULL,               -- names and prefixes; '': any
	created BIGINT NOT NULL,
	last_used BIGINT,
	revoked_at BIGINT,
	CHECK (max_uses = 0 OR used <= max_uses),
	CHECK ((status = 'revoked') = (revoked_at IS NOT NULL))
);

-- Keys of the admin API by TLS. The secret is known to its holder only. Written:
-- by operators (made, removed), and while a key is used once a minute.
CREATE TABLE api_keys (
	id TEXT COLLATE "C" NOT NULL PRIMARY KEY, -- the key's first part
	name TEXT COLLATE "C" NOT NULL,      -- apikey:NAME in the audit trail
	hash BLOB NOT NULL,                  -- SHA-256 of the secret
	scope TEXT NOT NULL
		CHECK (scope = 'read' OR scope = 'operate' OR scope = 'admin'),
	expires BIGINT,                      -- NULL: never
	created BIGINT NOT NULL,
	created_by TEXT NOT NULL,            -- as the audit trail names who
	last_used BIGINT,
	removed_at BIGINT
);
CREATE UNIQUE INDEX api_keys_name ON api_keys (name)
	WHERE removed_at IS NULL;

-- One row an order, identifiers inside. Written: new-order (insert, 4 or 5
-- index entries), the last authorization (pending to ready), claim (ready to
-- processing), lease renewal, outcome (processing to valid, or back to ready,
-- or to invalid), expiry (live to invalid). Changes of status are not HOT, as
-- the partial indexes depend on it; they keep the index of live orders at the
-- size of what is live.
CREATE TABLE orders (
	id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	account TEXT COLLATE "C" NOT NULL,
	profile TEXT COLLATE "C" NOT NULL,
	status TEXT NOT NULL CHECK (status = 'pending' OR status = 'ready' OR
		status = 'processing' OR status = 'valid' OR
		status = 'invalid'),
	identifiers TEXT NOT NULL,           -- JSON, as the client sent them
	names_hash TEXT COLLATE "C" NOT NULL, -- of the sorted, canonical list
	authzs TEXT NOT NULL,                -- ids, parted by spaces
	not_before BIGINT,                   -- as requested
	not_after BIGINT,
	expires BIGINT NOT NULL,
	error TEXT,                          -- JSON problem document
	replaces TEXT COLLATE "C",           -- RFC 9773 certificate identifier
	-- the claim: written before anything is signed
	csr BLOB,
	issuer TEXT COLLATE "C",
	attempt BIGINT NOT NULL DEFAULT 0 CHECK (attempt >= 0), -- the fence
	lease BIGINT,                        -- when another may take over
	-- attempts that may have reached a remote issuer, and nobody knows
	uncertain BIGINT NOT NULL DEFAULT 0 CHECK (uncertain >= 0),
	serial TEXT COLLATE "C",             -- of a local issuer; lower case hex
	cert_not_before BIGINT,
	cert_not_after BIGINT,
	certificate TEXT COLLATE "C",        -- its id, once valid
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL,
	CHECK (status <> 'processing' OR (csr IS NOT NULL AND
		issuer IS NOT NULL AND attempt > 0 AND lease IS NOT NULL)),
	CHECK (status <> 'valid' OR certificate IS NOT NULL)
);
-- the orders list, a page at a time
CREATE INDEX orders_account ON orders (account, created, id);
-- how many are open? is there an identical one?
CREATE INDEX orders_live ON orders (account, names_hash)
	WHERE status = 'pending' OR status = 'ready' OR
		status = 'processing';
CREATE INDEX orders_processing ON orders (lease) WHERE status = 'processing';
CREATE INDEX orders_expires ON orders (expires)
	WHERE status = 'pending' OR status = 'ready';
-- what came to nothing, until it is not retained any more
CREATE INDEX orders_invalid ON orders (updated) WHERE status = 'invalid';
-- a certificate is replaced by one order (RFC 9773 section 5)
CREATE UNIQUE INDEX orders_replaces ON orders (replaces)
	WHERE replaces IS NOT NULL AND status <> 'invalid';

-- One row an authorization, challenges inside. The JSON never changes: which
-- challenge was taken up, and how it goes, stands in columns. Written:
-- new-order (insert), challenge response, lease and outcome of an attempt,
-- each query of it that failed, deactivation.
CREATE TABLE authorizations (
	id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	order_id TEXT COLLATE "C" NOT NULL,  -- that it was made for; '': none
	account TEXT COLLATE "C" NOT NULL,
	profile TEXT COLLATE "C" NOT NULL,
	type TEXT NOT NULL,                  -- dns, ip
	value TEXT COLLATE "C" NOT NULL,     -- without "*."
	wildcard BIGINT NOT NULL DEFAULT 0 CHECK (wildcard IN (0, 1)),
	status TEXT NOT NULL CHECK (status = 'pending' OR status = 'valid' OR
		status = 'invalid' OR status = 'deactivated' OR
		status = 'expired' OR status = 'revoked'),
	expires BIGINT NOT NULL,
	challenges TEXT NOT NULL,            -- JSON: types and tokens
	challenge TEXT,                      -- the type that was responded to
	error TEXT,                          -- JSON problem of its last query
	retry BIGINT,                        -- when the next query is due
	attempt BIGINT NOT NULL DEFAULT 0 CHECK (attempt >= 0), -- the fence
	lease BIGINT,                        -- NULL: nothing is to be done
	created BIGINT NOT NULL,
	validated BIGINT,
	caa_checked BIGINT,                  -- when CAA records allowed it
	CHECK (lease IS NULL OR (status = 'pending' AND
		challenge IS NOT NULL AND attempt > 0))
);
CREATE INDEX authorizations_order ON authorizations (order_id);
-- whose names are these? (revocation by the holder of all authorizations)
CREATE INDEX authorizations_valid ON authorizations (account, value)
	WHERE status = 'valid';
-- what a sweep is to call expired
CREATE INDEX authorizations_expires ON authorizations (expires)
	WHERE status = 'pending' OR status = 'valid';
-- what is over, until it is not retained any more
CREATE INDEX authorizations_old ON authorizations (expires)
	WHERE status <> 'pending' AND status <> 'valid';
CREATE INDEX authorizations_lease ON authorizations (lease)
	WHERE lease IS NOT NULL;

-- What stands above our certificates, once each. Written: with the first
-- certificate of a chain; later inserts do nothing.
CREATE TABLE chains (
	id TEXT COLLATE "C" NOT NULL PRIMARY KEY, -- hash of pem
	pem TEXT NOT NULL,
	created BIGINT NOT NULL
);

-- Written: once, by the batch that makes its order valid; revocation, and
-- while its issuer is told of that; when an operator marks it for renewal.
-- order_id is NULL for an orphan: a duplicate that an issuer made of an
-- uncertain attempt, kept to be revoked and never handed out; and for the
-- certificate of a cert loop, which belongs to the loop and to no account.
CREATE TABLE certificates (
	id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	order_id TEXT COLLATE "C" UNIQUE,
	account TEXT COLLATE "C",
	loop TEXT COLLATE "C",
	profile TEXT COLLATE "C" NOT NULL,
	issuer TEXT COLLATE "C" NOT NULL,
	serial TEXT COLLATE "C" NOT NULL,    -- lower case hex
	not_before BIGINT NOT NULL,
	not_after BIGINT NOT NULL,
	der BLOB NOT NULL,
	chain TEXT COLLATE "C" NOT NULL,     -- chains.id
	spki_hash TEXT COLLATE "C" NOT NULL,
	names TEXT NOT NULL,                 -- sorted, canonical, for people
	status TEXT NOT NULL CHECK (status = 'valid' OR status = 'revoked'),
	revoked_at BIGINT,
	reason BIGINT,                       -- RFC 5280 section 5.3.1
	issuer_told BIGINT,                  -- of the revocation, when
	tell_at BIGINT,                      -- NULL: there is nothing to tell
	tell_tries BIGINT NOT NULL DEFAULT 0 CHECK (tell_tries >= 0), -- fence
	-- an operator's window for its renewal (RFC 9773); NULL: the profile's
	renew_start BIGINT,
	renew_end BIGINT,
	created BIGINT NOT NULL,
	UNIQUE (serial, issuer),
	CHECK ((renew_start IS NULL) = (renew_end IS NULL)),
	CHECK (renew_start < renew_end),
	CHECK ((status = 'revoked') = (revoked_at IS NOT NULL)),
	CHECK ((account IS NULL) = (loop IS NOT NULL)),
	CHECK (not_before <= not_after)
);
CREATE INDEX certificates_account ON certificates (account, not_after, id);
CREATE INDEX certificates_not_after ON certificates (not_after, id);
-- lists of operators, the newest first
CREATE INDEX certificates_profile ON certificates (profile, id);
CREATE INDEX certificates_issuer ON certificates (issuer, id);
CREATE INDEX certificates_key ON certificates (spki_hash, id);
-- revocations that their issuers are yet to hear of
CREATE INDEX certificates_tell ON certificates (issuer, tell_at)
	WHERE tell_at IS NOT NULL;
-- the entries of CRLs, a page at a time
CREATE INDEX certificates_revoked ON certificates (issuer, revoked_at, serial)
	WHERE status = 'revoked';

-- The names of each certificate, to be found by: a DNS name with its labels
-- the other way round and a dot behind each ("org.example.www."), so that all
-- names below one stand behind it; an address with "@" before it. Written: in
-- the batch of the certificate, and gone before it is.
CREATE TABLE certificate_names (
	certificate TEXT COLLATE "C" NOT NULL, -- certificates.id
	name TEXT COLLATE "C" NOT NULL,
	PRIMARY KEY (certificate, name)
);
CREATE INDEX certificate_names_name ON certificate_names (name, certificate);

-- The newest CRLs of each local issuer. Written: by whoever makes the next one,
-- which the number guards.
CREATE TABLE crls (
	issuer TEXT COLLATE "C" NOT NULL,
	list TEXT COLLATE "C" NOT NULL,      -- '': complete; N/I: shard I of N
	number BIGINT NOT NULL CHECK (number > 0),
	made BIGINT NOT NULL,                -- thisUpdate
	since BIGINT NOT NULL,               -- what expired before is left out
	recent BIGINT NOT NULL,              -- entries of shortly before made
	next_update BIGINT NOT NULL,
	digest TEXT COLLATE "C" NOT NULL,    -- of der
	der BLOB NOT NULL,
	needed BIGINT,                       -- until when; NULL: no end is known
	PRIMARY KEY (issuer, list)
);

-- Cert loops: one row a loop. Written: when it begins to be wanted or its
-- definition changes, daily look, claim, lease renewal, outcome, stop. The
-- certificates are rows of their own. A stopped loop keeps its row, so that
-- it forgets neither its pair nor its back-off if it is wanted again.
CREATE TABLE loops (
	name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	source TEXT NOT NULL,                -- config, ctl, serve
	names TEXT NOT NULL,                 -- sorted, canonical
	profile TEXT COLLATE "C" NOT NULL,
	issuer TEXT COLLATE "C" NOT NULL,
	key_type TEXT NOT NULL,
	keep_key BIGINT NOT NULL CHECK (keep_key IN (0, 1)),
	round TEXT COLLATE "C" NOT NULL,     -- of its last change
	state TEXT NOT NULL CHECK (state = 'new' OR state = 'valid' OR
		state = 'failing' OR state = 'stopped'),
	attempt BIGINT NOT NULL DEFAULT 0 CHECK (attempt >= 0), -- the fence
	lease_until BIGINT,                  -- NULL: no attempt is under way
	holder TEXT COLLATE "C",
	next_attempt BIGINT NOT NULL,        -- or look
	failures BIGINT NOT NULL DEFAULT 0 CHECK (failures >= 0), -- in a row
	stale BIGINT NOT NULL DEFAULT 0 CHECK (stale IN (0, 1)), -- renew anyway
	recall BIGINT,                       -- next_attempt without a mark
	paused BIGINT NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
	warned BIGINT NOT NULL DEFAULT 99,   -- days left, when last warned
	last_success BIGINT,
	last_error TEXT,
	last_error_at BIGINT,
	-- the claim: written before anything is signed. It stays if a remote
	-- issuer (then there is no serial) may have signed, and says for what.
	pending_key BLOB,                    -- sealed; NULL: it is `key`
	pending_serial TEXT COLLATE "C",
	pending_not_before BIGINT,           -- NULL: there is none
	pending_not_after BIGINT,
	pending_names TEXT,
	pending_profile TEXT COLLATE "C",
	pending_issuer TEXT COLLATE "C",
	pending_type TEXT,
	-- the pair in use
	certificate TEXT COLLATE "C",        -- certificates.id
	serial TEXT COLLATE "C",
	not_before BIGINT,
	not_after BIGINT,
	renew_at BIGINT,
	key BLOB,                            -- sealed
	made_type TEXT,                      -- key_type when it was made
	version BIGINT NOT NULL DEFAULT 0,   -- counts the pairs
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL,
	CHECK (version = 0 OR (certificate IS NOT NULL AND key IS NOT NULL))
);
CREATE INDEX loops_next ON loops (issuer, next_attempt)
	WHERE state <> 'stopped' AND paused = 0;
-- whose renewal should have come: few
CREATE INDEX loops_overdue ON loops (renew_at) WHERE state <> 'stopped';
-- to be swept one day
CREATE INDEX loops_stopped ON loops (updated) WHERE state = 'stopped';

-- Certificates that a remote issuer may have made for a loop that has become
-- another one since, or stopped: to be looked for there, and revoked. Written:
-- when the loop lets go of what it claimed, and with each look.
CREATE TABLE loop_strays (
	id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	loop TEXT COLLATE "C" NOT NULL,
	profile TEXT COLLATE "C" NOT NULL,
	issuer TEXT COLLATE "C" NOT NULL,
	names TEXT NOT NULL,
	key BLOB NOT NULL,                   -- sealed, as this column of the
	key_column TEXT NOT NULL,            -- loop's row
	since BIGINT NOT NULL,               -- it is no older
	next BIGINT NOT NULL,                -- look, after it a try later
	tries BIGINT NOT NULL DEFAULT 0 CHECK (tries >= 0) -- the fence
);
CREATE INDEX loop_strays_next ON loop_strays (issuer, next);
CREATE INDEX loop_strays_since ON loop_strays (since);

-- Cert loops that operators ask for. Written by them. Each change counts
-- meta's asked_loops up, in its batch: so nodes see that there is another set.
CREATE TABLE asked_loops (
	name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	names TEXT NOT NULL,                 -- sorted, canonical
	profile TEXT COLLATE "C" NOT NULL,
	key_type TEXT NOT NULL,
	keep_key BIGINT NOT NULL CHECK (keep_key IN (0, 1)),
	nodes TEXT NOT NULL,                 -- parted by spaces; '': all
	created BIGINT NOT NULL,
	changed BIGINT NOT NULL
);

-- Which nodes want a loop, and what lies there. Written: at each round of a
-- node, and by each delivery.
CREATE TABLE loop_nodes (
	loop TEXT COLLATE "C" NOT NULL,
	node TEXT COLLATE "C" NOT NULL,
	round TEXT COLLATE "C" NOT NULL,     -- in which it was last wanted
	target TEXT NOT NULL,                -- where it goes, for people
	seen BIGINT NOT NULL,
	due BIGINT NOT NULL,                 -- version that should lie there
	delivered BIGINT NOT NULL,           -- version that does
	delivered_at BIGINT,
	failures BIGINT NOT NULL,            -- of delivery, in a row
	next_delivery BIGINT,                -- NULL: nothing is to be done
	error TEXT,
	PRIMARY KEY (loop, node)
);
CREATE INDEX loop_nodes_node ON loop_nodes (node, loop);
CREATE INDEX loop_nodes_seen ON loop_nodes (seen);
CREATE INDEX loop_nodes_next ON loop_nodes (node, next_delivery)
	WHERE next_delivery IS NOT NULL;

-- Only ever inserted to, in the batch that makes true what it says; old rows
-- are dropped in bulk. Keys rise with time, so inserts stay on the last page.
-- An index holds what no other finds: of an actor, rows that are not those of
-- its own account; of an action, none that every issuance writes, as a look
-- at the latest rows finds those.
CREATE TABLE audit (
	at BIGINT NOT NULL,
	id TEXT COLLATE "C" NOT NULL,
	actor TEXT NOT NULL,                 -- who: account:ID, admin:NAME, job
	action TEXT NOT NULL,                -- what: order.create
	object TEXT COLLATE "C",             -- id of what it was done to
	order_id TEXT COLLATE "C",
	account TEXT COLLATE "C",
	serial TEXT COLLATE "C",
	detail TEXT,                         -- JSON
	PRIMARY KEY (at, id)
);
CREATE INDEX audit_order ON audit (order_id, at) WHERE order_id IS NOT NULL;
CREATE INDEX audit_account ON audit (account, at) WHERE account IS NOT NULL;
CREATE INDEX audit_serial ON audit (serial, at) WHERE serial IS NOT NULL;
CREATE INDEX audit_actor ON audit (actor, at)
	WHERE account IS NULL OR actor <> 'account:' || account;
CREATE INDEX audit_action ON audit (action, at)
	WHERE action <> 'order.create' AND action <> 'certificate.issue';

-- Keys that replicas share, sealed. Written: at rotation.
CREATE TABLE secrets (
	name TEXT COLLATE "C" NOT NULL,
	version BIGINT NOT NULL CHECK (version > 0),
	sealed BLOB NOT NULL,
	created BIGINT NOT NULL,
	PRIMARY KEY (name, version)
);

-- Who does a job of which there must be one. Written: taken and renewed, HOT.
CREATE TABLE leases (
	name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	holder TEXT COLLATE "C" NOT NULL,
	fence BIGINT NOT NULL CHECK (fence > 0), -- rises with each new holder
	until BIGINT NOT NULL
);
-- only: postgresql
ALTER TABLE leases SET (fillfactor = 50);

-- Nonces that were redeemed here, and the epoch that says since when. Written
-- by every signed request while the store is the redeemer. Unlogged: what a
-- crash forgets goes together with the epoch. The mark tells a batch whether
-- it was the one that redeemed.
CREATE UNLOGGED TABLE nonces (
	id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	mark BIGINT NOT NULL,
	expires BIGINT NOT NULL
);
CREATE INDEX nonces_expires ON nonces (expires);
CREATE UNLOGGED TABLE nonce_epochs (
	one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
	epoch TEXT NOT NULL
);

-- One row a key that a rate limit counts, while it is in use. It is taken
-- (updated) before the key's stamps are looked at. Written: at each attempt,
-- HOT: `due` is when a sweep may drop it, in whole hours, so that its index
-- changes once an hour at most.
CREATE TABLE limit_heads (
	id TEXT COLLATE "C" NOT NULL PRIMARY KEY, -- limit and key
	wait BIGINT NOT NULL,                 -- in the batch that has it: why not
	due BIGINT NOT NULL
);
CREATE INDEX limit_heads_due ON limit_heads (due);
-- only: postgresql
ALTER TABLE limit_heads SET (fillfactor = 50);

-- When one was taken, one row each, numbered without gaps by the order in
-- which it was; whoever numbers has the head. Inserted, dropped in bulk.
CREATE TABLE limit_stamps (
	id TEXT COLLATE "C" NOT NULL,
	seq BIGINT NOT NULL CHECK (seq > 0),
	at BIGINT NOT NULL,
	expires BIGINT NOT NULL,             -- when it leaves its window
	PRIMARY KEY (id, seq)
);
CREATE INDEX limit_stamps_expires ON limit_stamps (expires);
