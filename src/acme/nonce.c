/* SPDX-License-Identifier: ISC */
/*
 * Sealed nonces, and the redeemer that is this process.
 *
 * Sequence numbers count up from 0. Their bits live in pages of NONCE_PAGE,
 * made when the first nonce of a page is redeemed; pages stand in a ring by
 * page number. [floor, next) is the range that can still be redeemed: the
 * floor rises when a page's newest nonce is out of date, or, past NONCE_PAGES,
 * with the oldest page.
 */
#include "acme/nonce.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/b64url.h"
#include "base/fault.h"
#include "base/id.h"
#include "metrics/metrics.h"

struct page {
	uint64_t bits[NONCE_PAGE / 64];
};

struct slot {
	struct page *page; /* NULL: none redeemed yet */
	int64_t newest;    /* mint time of the page's last nonce so far */
};

struct nonces {
	struct seal_box *boxes[NONCE_KEYS_MAX];
	size_t nboxes, sealer; /* all open, one seals */
	struct seal_key key;   /* of the box of this process alone */
	uint64_t boot;         /* our boot id */
	uint64_t next;         /* sequence number of the next nonce */
	uint64_t floor;        /* page number of the oldest page kept */
	int64_t lifetime;
	struct slot ring[NONCE_PAGES];
};

/* What is sealed. All sides are the same build. */
struct token {
	uint64_t boot, seq;
	int64_t minted;
	uint64_t redeemer;
	char epoch[NONCE_EPOCH_LEN];
};

enum { TOKEN_SEALED = sizeof(struct token) + SEAL_TOKEN_EXTRA };

/* A mint time this far ahead of the clock is the clock's doing. */
enum { SKEW = 5000000 };

#define NONCE_AAD STR("acme nonce")

struct nonces *
nonces_new(int64_t lifetime)
{
	struct nonces *n = calloc(1, sizeof(*n));

	if (n == NULL)
		abort();
	seal_key_init(&n->key);
	n->boxes[0] = seal_box_new(&n->key, 0);
	n->nboxes = 1;
	id_random(&n->boot, sizeof(n->boot));
	n->lifetime = lifetime;
	return n;
}

static void
drop_boxes(struct nonces *n)
{
	for (size_t i = 0; i < n->nboxes; i++)
		seal_box_free(n->boxes[i]);
	n->nboxes = 0;
}

void
nonces_free(struct nonces *n)
{
	if (n == NULL)
		return;
	for (size_t i = 0; i < NONCE_PAGES; i++)
		free(n->ring[i].page);
	drop_boxes(n);
	seal_key_wipe(&n->key);
	free(n);
}

void
nonces_share(struct nonces *n, const struct nonce_key *keys, size_t nkeys,
    size_t sealer)
{
	assert(nkeys > 0 && nkeys <= NONCE_KEYS_MAX && sealer < nkeys);
	drop_boxes(n);
	for (size_t i = 0; i < nkeys; i++)
		n->boxes[i] = seal_box_new(&keys[i].key, keys[i].id);
	n->nboxes = nkeys;
	n->sealer = sealer;
}

void
nonces_set_lifetime(struct nonces *n, int64_t lifetime)
{
	n->lifetime = lifetime;
}

int64_t
nonces_lifetime(const struct nonces *n)
{
	return n->lifetime;
}

static struct slot *
find_slot(struct nonces *n, uint64_t seq)
{
	return &n->ring[seq / NONCE_PAGE % NONCE_PAGES];
}

static void
drop_oldest_page(struct nonces *n)
{
	struct slot *s = find_slot(n, n->floor * NONCE_PAGE);

	free(s->page);
	*s = (struct slot){ .page = NULL };
	n->floor++;
}

/* seq opens a new page: make room, let go of pages that are out of date. */
static void
begin_page(struct nonces *n, uint64_t seq, int64_t now)
{
	uint64_t number = seq / NONCE_PAGE;

	while (n->floor + NONCE_PAGES <= number)
		drop_oldest_page(n);
	while (n->floor < number &&
	    find_slot(n, n->floor * NONCE_PAGE)->newest + n->lifetime < now)
		drop_oldest_page(n);
}

struct str
nonce_mint(struct nonces *n, struct arena *a, int64_t now,
    enum nonce_redeemer redeemer, struct str epoch)
{
	struct token t = { .boot = n->boot,
		.seq = n->next++,
		.minted = now,
		.redeemer = redeemer };

	if (redeemer != NONCE_PROCESS) {
		assert(epoch.n == sizeof(t.epoch));
		memcpy(t.epoch, epoch.p, sizeof(t.epoch));
	}
	if (t.seq % NONCE_PAGE == 0)
		begin_page(n, t.seq, now);
	find_slot(n, t.seq)->newest = now;
	metrics_add(METRIC_nonces_minted, 1);
	return b64url_encode(a,
	    seal_token(a, n->boxes[n->sealer], str_make(&t, sizeof(t)),
		NONCE_AAD));
}

/* By the key that it names. */
static bool
unseal(const struct nonces *n, struct arena *a, struct str sealed,
    struct token *t)
{
	const struct seal_box *box = NULL;
	struct str plain;
	uint8_t id;

	if (!seal_token_id(sealed, &id))
		return false;
	for (size_t i = 0; i < n->nboxes; i++)
		if (seal_box_id(n->boxes[i]) == id)
			box = n->boxes[i];
	if (box == NULL ||
	    !seal_open_token(a, box, sealed, NONCE_AAD, &plain) ||
	    plain.n != sizeof(*t))
		return false;
	memcpy(t, plain.p, sizeof(*t));
	return true;
}

bool
nonce_open(const struct nonces *n, struct arena *a, struct str text,
    int64_t now, struct nonce *out)
{
	struct str sealed;
	struct token t;

	if (text.n != B64URL_LEN(TOKEN_SEALED) ||
	    !b64url_decode(a, text, &sealed) || !unseal(n, a, sealed, &t))
		return false;
	if (t.minted > now + SKEW || now - t.minted > n->lifetime)
		return false;
	if (t.redeemer == NONCE_PROCESS && t.boot != n->boot)
		return false;
	*out = (struct nonce){ .redeemer = (enum nonce_redeemer)t.redeemer,
		.boot = t.boot,
		.seq = t.seq,
		.minted = t.minted };
	memcpy(out->epoch, t.epoch, sizeof(out->epoch));
	(void)b64url_write(out->id, str_make(&t, 16)); /* boot and seq */
	return true;
}

bool
nonce_redeem(struct nonces *n, const struct nonce *nonce)
{
	struct slot *s = find_slot(n, nonce->seq);
	uint64_t bit = nonce->seq % NONCE_PAGE;
	uint64_t mask = UINT64_C(1) << (bit % 64);
	uint64_t *word;

	if (nonce->redeemer != NONCE_PROCESS || nonce->boot != n->boot ||
	    nonce->seq >= n->next || nonce->seq / NONCE_PAGE < n->floor)
		return false;
	if (s->page == NULL && (s->page = calloc(1, sizeof(*s->page))) == NULL)
		abort();
	word = &s->page->bits[bit / 64];
	if ((*word & mask) && !PLANTED("planted-nonce"))
		return false;
	*word |= mask;
	metrics_add(METRIC_nonces_redeemed, 1);
	return true;
}

/* ---- going on in another process */

/* What is written: this, then a struct kept for each slot of the range. */
struct state {
	char magic[8];
	uint64_t size; /* of all of it */
	struct seal_key key;
	uint64_t boot, next, floor;
};

struct kept {
	int64_t newest;
	struct page page; /* zeros if there is none */
};

static const char magic[8] = "nonces1";

static uint64_t
pages_of(const struct state *s)
{
	return (s->next + NONCE_PAGE - 1) / NONCE_PAGE - s->floor;
}

struct str
nonces_write(const struct nonces *n, struct arena *a)
{
	struct state s = { .key = n->key,
		.boot = n->boot,
		.next = n->next,
		.floor = n->floor };
	uint64_t count = pages_of(&s);
	char *p;

	s.size = sizeof(s) + count * sizeof(struct kept);
	memcpy(s.magic, magic, sizeof(magic));
	p = arena_alloc(a, s.size);
	memcpy(p, &s, sizeof(s));
	for (uint64_t i = 0; i < count; i++) {
		const struct slot
		    *slot = &n->ring[(n->floor + i) % NONCE_PAGES];
		struct kept k = { .newest = slot->newest };

		if (slot->page != NULL)
			k.page = *slot->page;
		memcpy(p + sizeof(s) + i * sizeof(k), &k, sizeof(k));
	}
	return str_make(p, s.size);
}

bool
nonces_read(struct nonces *n, struct str text)
{
	struct state s;
	struct kept k;

	assert(n->next == 0);
	if (text.n < sizeof(s))
		return false;
	memcpy(&s, text.p, sizeof(s));
	if (memcmp(s.magic, magic, sizeof(magic)) != 0 || s.size != text.n ||
	    s.floor > s.next / NONCE_PAGE || pages_of(&s) > NONCE_PAGES ||
	    s.size != sizeof(s) + pages_of(&s) * sizeof(k))
		return false;
	drop_boxes(n);
	n->key = s.key;
	n->boxes[n->nboxes++] = seal_box_new(&s.key, 0);
	n->sealer = 0;
	n->boot = s.boot;
	n->next = s.next;
	n->floor = s.floor;
	for (uint64_t i = 0; i < pages_of(&s); i++) {
		struct slot *slot = &n->ring[(s.floor + i) % NONCE_PAGES];

		memcpy(&k, text.p + sizeof(s) + i * sizeof(k), sizeof(k));
		slot->newest = k.newest;
		if ((slot->page = malloc(sizeof(k.page))) == NULL)
			abort();
		*slot->page = k.page;
	}
	seal_key_wipe(&s.key);
	return true;
}
