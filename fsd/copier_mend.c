/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A file of a sealed version that is damaged or lost, and asked for: who asks waits until
 * it is copied again from an origin that has the same bytes still, or until it is known
 * that none has.  One at a time, on a thread, for that needs the store alone; what was
 * tried in vain is not tried again for a while.
 */
#include "fsd/copier_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	MENDS = 1024, /* remembered */
	MEND_AGAIN_SECS = 60
};

struct mend_wait {
	struct client *client; /* NULL: gone */
	struct copier_ask ask;
	struct instant since;
	struct mend_wait *next;
};

struct mend {
	struct copier *copier;
	struct hash hash;
	pthread_t thread;
	bool begun;
	atomic_bool done;
	atomic_bool stop;
	bool joined; /* and answered */
	int r;
	struct instant again; /* not before, once it was answered */
	struct mend_wait *waits;
	struct mend *next;
};

static void *mend_main(void *arg)
{
	struct mend *m = arg;

	m->r = verify_one(m->copier->config.state_dir, &m->hash, m->copier->config.door, &m->stop);
	m->done = true;
	copier_wake(m->copier);
	return NULL;
}

static void mend_free(struct mend *m)
{
	while (m->waits) {
		struct mend_wait *w = m->waits;

		m->waits = w->next;
		free(w);
	}
	free(m);
}

/* Those that are answered and may be tried again are forgotten; how many are left? */
static unsigned int mends_tidy(struct copier *c)
{
	struct instant now = instant_now();
	unsigned int n = 0;

	for (struct mend **p = &c->mends; *p;) {
		struct mend *m = *p;

		if (m->joined && (!m->r || m->again.ns <= now.ns)) {
			*p = m->next;
			mend_free(m);
			continue;
		}
		n++;
		p = &m->next;
	}
	return n;
}

int mend_ask(struct copier *c, struct client *client, const struct copier_ask *ask,
	     const struct hash *hash)
{
	unsigned int n = mends_tidy(c);
	struct mend **p = &c->mends;
	struct mend_wait *w;

	while (*p && memcmp(&(*p)->hash, hash, sizeof(*hash)) != 0)
		p = &(*p)->next;
	if (*p && (*p)->joined)
		return -EIO;
	if ((!*p && n >= MENDS) || client->waiting >= CLIENT_WAITERS)
		return -EBUSY;
	w = malloc(sizeof(*w));
	if (w && !*p)
		*p = calloc(1, sizeof(**p));
	if (!w || !*p) {
		free(w);
		return -ENOMEM;
	}
	(*p)->copier = c;
	(*p)->hash = *hash;
	*w = (struct mend_wait){client, *ask, instant_now(), (*p)->waits};
	(*p)->waits = w;
	client->waiting++;
	copier_wake(c); /* not from here: an answer may close this very client */
	return 0;
}

/* As it is by now. */
static void wait_answer(struct copier *c, struct mend_wait *w)
{
	if (w->client) {
		w->client->waiting--;
		if (ask_sealed(c, w->client, &w->ask, false))
			client_close(w->client);
	}
	free(w);
}

static void mend_answer(struct copier *c, struct mend *m)
{
	pthread_join(m->thread, NULL);
	m->joined = true;
	m->again = instant_add_ms(instant_now(), MEND_AGAIN_SECS * 1000);
	while (m->waits) {
		struct mend_wait *w = m->waits;

		m->waits = w->next;
		wait_answer(c, w);
	}
}

void mends_give_up(struct copier *c, struct instant before)
{
	for (struct mend *m = c->mends; m; m = m->next) {
		struct mend_wait **p = &m->waits;

		/* The longest last. */
		while (*p && (*p)->since.ns >= before.ns)
			p = &(*p)->next;
		if (*p)
			log_error("a damaged file is not mended yet: an error for who waits for "
				  "it");
		while (*p) {
			struct mend_wait *w = *p;

			*p = w->next;
			wait_answer(c, w);
		}
	}
}

void mends_turn(struct copier *c)
{
	struct mend *m = c->mends;

	while (m) {
		if (m->begun && !m->joined) {
			if (!m->done)
				return; /* one at a time */
			mend_answer(c, m);
		}
		if (!m->begun) {
			m->begun = true;
			if (!pthread_create(&m->thread, NULL, mend_main, m))
				return;
			m->begun = false;
			return; /* at the next turn */
		}
		m = m->next;
	}
}

void mends_leave(struct copier *c, const struct client *client)
{
	for (struct mend *m = c->mends; m; m = m->next)
		for (struct mend_wait *w = m->waits; w; w = w->next)
			if (w->client == client)
				w->client = NULL;
}

void mends_fini(struct copier *c)
{
	while (c->mends) {
		struct mend *m = c->mends;

		c->mends = m->next;
		m->stop = true;
		if (m->begun && !m->joined)
			pthread_join(m->thread, NULL);
		mend_free(m);
	}
}
