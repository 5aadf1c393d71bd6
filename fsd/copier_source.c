/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/copier_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/array.h"
#include "common/log.h"
#include "common/schema.h"
#include "fsd/hot.h"

enum {
	COPIER_AGAIN_SECS = 30,
	COPIER_FILL_AHEAD = 512, /* files of the fill under way at once: some batches */
	COPIER_PAUSE_SECS = 10	 /* of a fill that met a full store or a bad file */
};

void source_tell_odd(struct source *s, const struct fill_record *record)
{
	char path[PATH_MAX];
	char text[512];

	if (!record->flags ||
	    manifest_path(version_manifest(s->version), record->pos, path, sizeof(path)) < 0)
		return;
	log_escape(text, sizeof(text), path, strlen(path));
	if (record->flags & FILL_GONE)
		log_warn("version %u: /%s: gone from %s, or not as it was: reading it is an error",
			 s->id, text, s->path);
	else
		log_warn("version %u: /%s: changed in %s since it was added: taken as it is now",
			 s->id, text, s->path);
}

void source_tell_kept(struct source *s, int err)
{
	if (err == -ENOSPC || err == -EDQUOT)
		return; /* room_poll() says it, of the store */
	if (!s->told_kept)
		log_error("version %u: copies cannot be kept: %s; what is not in the store is read "
			  "from %s each time",
			  s->id, strerror(-err), s->path);
	s->told_kept = true;
}

void source_tell_broken(struct source *s, uint32_t pos)
{
	char path[PATH_MAX];
	char text[512];

	if (manifest_path(version_manifest(s->version), pos, path, sizeof(path)) < 0)
		path[0] = '\0';
	log_escape(text, sizeof(text), path, strlen(path));
	log_error("version %u: /%s: changed in %s while it was read for the first time: an error "
		  "for who reads it now, then taken as it is",
		  s->id, text, s->path);
}

void source_tell_bad(struct source *s, uint32_t pos, int err)
{
	char path[PATH_MAX];
	char text[512];

	if (!log_allow(&s->bad, instant_now().ns, 20, 10000))
		return;
	if (manifest_path(version_manifest(s->version), pos, path, sizeof(path)) < 0)
		path[0] = '\0';
	log_escape(text, sizeof(text), path, strlen(path));
	log_error("version %u: /%s cannot be copied from %s: %s", s->id, text, s->path,
		  strerror(-err));
}

void source_tell_stuck(struct source *s, bool stuck)
{
	if (stuck && !s->told_stuck)
		log_error("version %u: nothing is copied from %s any more, which may hang: an "
			  "error for who waits for it",
			  s->id, s->path);
	else if (!stuck && s->told_stuck)
		log_info("version %u: files are copied from %s again", s->id, s->path);
	s->told_stuck = stuck;
}

void source_free(struct copier *c, struct source *s)
{
	for (struct source **p = &c->sources; *p; p = &(*p)->next)
		if (*p == s) {
			*p = s->next;
			break;
		}
	look_leave(s->look);
	if (s->origin >= 0)
		close(s->origin);
	closep(&s->journal);
	version_unref(s->version);
	free(s->path);
	free(s->hot);
	free(s->had);
	pthread_mutex_destroy(&s->had_lock);
	pthread_mutex_destroy(&s->journal_lock);
	free(s);
}

struct source *source_find(struct copier *c, uint32_t id)
{
	struct source *s = c->sources;

	while (s && s->id != id)
		s = s->next;
	return s;
}

static void nothing(void *ctx, const struct fill_record *record)
{
	(void)ctx;
	(void)record;
}

/* Without the trace, as where nothing was booted yet, files go by their positions. */
static void source_hot(struct copier *c, struct source *s)
{
	cleanup(db_closep) struct db *trace = NULL;
	int r = db_open(c->config.state_dir, &schema_trace, DB_READ, &trace, NULL);

	if (!r)
		r = hot_order(c->db, trace, c->config.state_dir, s->id,
			      version_manifest(s->version), &s->hot, &s->nhot);
	if (r)
		log_debug("version %u: in what order boots read is not known: %s", s->id,
			  strerror(-r));
}

static int source_new(struct copier *c, uint32_t id, const char *path, bool strict)
{
	struct source *s = calloc(1, sizeof(*s));
	struct why why = {""};
	uint64_t good;
	int r;

	if (!s)
		return -ENOMEM;
	s->id = id;
	s->origin = s->journal = -1;
	pthread_mutex_init(&s->had_lock, NULL);
	pthread_mutex_init(&s->journal_lock, NULL);
	s->strict = strict;
	s->path = strdup(path);
	r = s->path ? version_open(c->config.state_dir, id, &s->version, &why) : -ENOMEM;
	if (!r)
		r = fill_read(c->manifests, id, nothing, NULL, &good);
	if (!r) {
		s->journal = fill_open(c->manifests, id, good);
		if (s->journal < 0)
			r = s->journal;
		else
			/* Each may be noted before it is kept. */
			fill_reserve(s->journal,
				     2 * manifest_hash_count(version_manifest(s->version)));
	}
	if (r) {
		log_error("version %u: cannot be filled: %s", id, why_text(&why, r));
		source_free(c, s);
		return r;
	}
	source_hot(c, s);
	source_look(c, s);
	s->next = c->sources;
	c->sources = s;
	return 0;
}

void sources_poll(struct copier *c)
{
	int64_t seen = db_data_version(c->db);
	sqlite3_stmt *stmt;
	int r;

	/* Looked at again now and then all the same: one that could not be opened, or a
	 * seal that the database was not told, is no change of it. */
	if (seen == c->db_seen && instant_now().ns < c->db_again.ns)
		return;
	c->db_again = instant_add_ms(instant_now(), COPIER_AGAIN_SECS * 1000);
	for (struct source *s = c->sources; s; s = s->next)
		s->listed = false;
	stmt = db_stmt(c->db, "SELECT id, origin, strict FROM version WHERE sealed IS NULL"
			      " AND origin_kind = 'dir'");
	for (r = db_query(c->db, stmt, ""); r == DB_ROW; r = db_next(c->db, stmt)) {
		uint32_t id = (uint32_t)sqlite3_column_int64(stmt, 0);
		struct source *s = source_find(c, id);
		char path[PATH_MAX];

		db_column_text(stmt, 1, path, sizeof(path));
		if (!s && !source_new(c, id, path, sqlite3_column_int(stmt, 2)))
			s = source_find(c, id);
		if (s)
			s->listed = true;
	}
	if (r && !c->db_broken)
		log_error("rootstock.db: %s; new images wait", db_error(c->db));
	c->db_broken = r != 0;
	if (r)
		return;
	c->db_seen = seen;
	for (struct source *s = c->sources; s; s = s->next)
		s->removed = !s->listed;
}

void source_pause(struct source *s)
{
	s->fill_again = instant_add_ms(instant_now(), COPIER_PAUSE_SECS * 1000);
}

/* Returns 0 or -ENOMEM. */
static int fill_one(struct copier *c, struct source *s, uint32_t pos)
{
	const struct manifest_node *n = manifest_at(version_manifest(s->version), pos);
	struct fill_record record;

	if (!n || !S_ISREG(n->mode) || n->link != pos || *job_slot(s, pos) ||
	    version_known(s->version, pos, &record))
		return 0;
	return job_new(c, s, pos, false) ? 0 : -ENOMEM;
}

void source_fill(struct copier *c, struct source *s)
{
	const struct manifest *m = version_manifest(s->version);
	uint32_t count = manifest_count(m);

	if (s->removed || !s->there || c->full || instant_now().ns < s->fill_again.ns)
		return;
	if (c->config.asked_only)
		return;
	while (s->hot_at < s->nhot && s->under_way < COPIER_FILL_AHEAD)
		if (fill_one(c, s, s->hot[s->hot_at++]))
			return;
	while (s->cursor < count && s->under_way < COPIER_FILL_AHEAD)
		if (fill_one(c, s, s->cursor++))
			return;
}

static void tell_sealed(struct copier *c, uint32_t version, const struct hash *digest)
{
	if (c->config.sealed)
		c->config.sealed(c->config.ctx, version, digest);
}

static void seal_fix(void *ctx, uint32_t pos, struct manifest_node *node)
{
	struct source *s = ctx;
	struct fill_record record;

	(void)pos;
	if (!S_ISREG(node->mode) || !version_known(s->version, node->link, &record))
		return;
	if (record.flags & FILL_GONE)
		node->extra |= MANIFEST_GONE;
	if (!(record.flags & FILL_DRIFT))
		return;
	node->extra |= MANIFEST_DRIFT;
	node->mode = (uint16_t)record.mode;
	node->uid = record.uid;
	node->gid = record.gid;
	node->size = record.size;
	node->mtime_sec = record.mtime_sec;
	node->mtime_nsec = record.mtime_nsec;
}

static int by_pos(const void *a, const void *b)
{
	const struct fill_record *x = a;
	const struct fill_record *y = b;

	return (x->pos > y->pos) - (x->pos < y->pos);
}

bool source_had(struct source *s, uint32_t pos, struct fill_record *out)
{
	const struct fill_record key = {.pos = pos};
	const struct fill_record *had;

	if (version_known(s->version, pos, out) && hash_known(&out->hash))
		return true;
	pthread_mutex_lock(&s->had_lock);
	had = s->nhad ? bsearch(&key, s->had, s->nhad, sizeof(key), by_pos) : NULL;
	if (had)
		*out = *had;
	pthread_mutex_unlock(&s->had_lock);
	return had;
}

int source_remember(struct source *s, const struct fill_record *record)
{
	size_t at = s->nhad;
	int r = 0;

	pthread_mutex_lock(&s->had_lock);
	while (at && s->had[at - 1].pos >= record->pos)
		at--;
	if (at == s->nhad || s->had[at].pos != record->pos) {
		r = array_grow(&s->had, s->nhad, sizeof(*s->had));
		if (!r) {
			memmove(&s->had[at + 1], &s->had[at], (s->nhad - at) * sizeof(*s->had));
			s->had[at] = *record;
			s->nhad++;
		}
	}
	pthread_mutex_unlock(&s->had_lock);
	return r;
}

int source_journal(struct source *s, const struct fill_record *records, unsigned int n)
{
	int r;

	pthread_mutex_lock(&s->journal_lock);
	r = fill_write(s->journal, records, n);
	pthread_mutex_unlock(&s->journal_lock);
	return r;
}

void source_note(struct source *s, const struct fill_record *record)
{
	struct fill_record note = *record;

	note.flags |= FILL_UNKEPT;
	if (source_journal(s, &note, 1))
		return; /* no room: it is given out all the same */
}

/* -EWOULDBLOCK while somebody is alone with the store, -ENODATA where a file lacks. */
static int source_seal(struct copier *c, struct source *s)
{
	const struct manifest *m = version_manifest(s->version);
	cleanup(freep) struct hash *hashes = calloc(manifest_hash_count(m) + 1, sizeof(*hashes));
	cleanup(objects_closep) struct objects *store = NULL;
	struct version_progress p;
	struct hash digest;
	uint32_t lost = 0;
	int r;

	if (!hashes)
		return -ENOMEM;
	/* What is looked for now must not be evicted before the seal is there: by an open
	 * file of our own, for the committer holds and lets go by the other. */
	r = objects_open(c->config.state_dir, STORE_OBJECTS, false, &store, NULL);
	if (!r)
		r = objects_try_hold(store);
	if (r)
		return r;
	for (uint32_t pos = 0; pos < manifest_count(m); pos++) {
		const struct manifest_node *n = manifest_at(m, pos);
		struct fill_record record;

		if (!n)
			return -EUCLEAN;
		if (!S_ISREG(n->mode) || n->link != pos)
			continue;
		if (!version_known(s->version, pos, &record))
			return -ENODATA;
		hashes[n->data] = record.hash;
		if (!hash_known(&record.hash) || objects_has(store, &record.hash))
			continue;
		r = source_remember(s, &record);
		if (r)
			return r;
		version_forget(s->version, pos);
		lost++;
	}
	if (lost) {
		log_info("version %u: %u files that were copied are not in the store any more: "
			 "again",
			 s->id, lost);
		return -ENODATA;
	}
	r = manifest_seal(m, c->manifests, hashes, seal_fix, s, &digest);
	if (r)
		return r;
	version_progress(s->version, &p);
	log_info("version %u: sealed: %u files, %u of them changed since they were added, %u lost",
		 s->id, p.files, p.drifted, p.gone);
	tell_sealed(c, s->id, &digest);
	return 0;
}

/* All in: seal it and let it go. */
void source_finish(struct copier *c, struct source *s)
{
	struct version_progress p;
	const struct manifest *m = version_manifest(s->version);
	int r;

	if (s->removed && !s->under_way) {
		source_free(c, s);
		return;
	}
	if (s->under_way)
		return;
	/* Sealed already, but the database does not know: it is told again. */
	if (manifest_sealed(m)) {
		tell_sealed(c, s->id, manifest_digest(m));
		fill_remove(c->manifests, s->id);
		source_free(c, s);
		return;
	}
	if (s->cursor < manifest_count(m))
		return;
	version_progress(s->version, &p);
	if (p.copied + p.gone < p.files) {
		s->cursor = 0; /* some could not be read or kept: again, after a pause */
		return;
	}
	r = source_seal(c, s);
	if (r == -EWOULDBLOCK)
		return; /* who mends may need long, and others wait for this thread */
	if (r) {
		if (r != -ENODATA && !s->told_kept) {
			log_error("version %u: cannot be sealed: %s", s->id, strerror(-r));
			s->told_kept = true;
		}
		s->cursor = 0;
		if (r != -ENODATA)
			source_pause(s);
		return;
	}
	fill_remove(c->manifests, s->id);
	source_free(c, s);
}
