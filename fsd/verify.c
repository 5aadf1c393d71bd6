/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "common/array.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/schema.h"
#include "fsd/named.h"
#include "fsd/origin.h"

enum {
	VERIFY_NAMES = 400,  /* bytes of text */
	VERIFY_NAMED = 4096, /* faults; a disk may have lost all it had */
	VERIFY_TELLS = 100,
	VERIFY_AGAIN_SECS = 60
};

/* An object that is not what it should be. */
struct fault {
	struct hash hash;
	bool absent;
	bool for_good; /* somebody must have it */
	bool named;
	bool healed;
	unsigned int more; /* names that had no room */
	char *names;	   /* NULL: none, or there are too many faults to name */
};

struct verifying {
	const struct verify *v;
	struct objects *objects;
	struct verify_found *found;
	struct fault *faults; /* by hash, once complete */
	size_t nfaults;
	unsigned int nnamed;
	struct hash *checked; /* of a version, which may name one twice */
	size_t nchecked;
};

static int fault_add(struct verifying *ing, const struct hash *hash, bool absent)
{
	int r = array_grow(&ing->faults, ing->nfaults, sizeof(*ing->faults));

	if (!r)
		ing->faults[ing->nfaults++] = (struct fault){.hash = *hash, .absent = absent};
	return r;
}

static int fault_cmp(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct hash)); /* a hash is what a fault begins with */
}

static struct fault *fault_find(const struct verifying *ing, const struct hash *hash)
{
	return ing->nfaults
		       ? bsearch(hash, ing->faults, ing->nfaults, sizeof(*ing->faults), fault_cmp)
		       : NULL;
}

static bool in_store(const struct verify *v, const struct named *named)
{
	return named->secret == (v->store == STORE_SECRETS);
}

/* ---- looking ---- */

/* Returns 0, 1 (damaged), or a negative errno. */
static int object_check(struct verifying *ing, const struct hash *hash, uint64_t *size)
{
	int fd = objects_open_raw(ing->objects, hash);
	struct hash have;
	int r;

	if (fd < 0)
		return fd;
	r = object_hash(fd, ing->v->stop, &have, size);
	close(fd);
	if (r)
		return r == -EIO ? 1 : r; /* the disk's own word for it */
	return memcmp(&have, hash, sizeof(have)) != 0;
}

static int look_at(void *ctx, const struct hash *hash, const struct stat *st)
{
	struct verifying *ing = ctx;
	uint64_t size = 0;
	int r;

	(void)st;
	if (ing->v->stop && *ing->v->stop)
		return -ECANCELED;
	r = object_check(ing, hash, &size);
	if (r == -ENOENT) /* swept meanwhile */
		return 0;
	if (r < 0)
		return r;
	ing->found->files++;
	ing->found->bytes += size;
	return r ? fault_add(ing, hash, false) : 0;
}

/* Is there something under the name of all that is needed for good? */
static int look_for(void *ctx, const struct named *named)
{
	struct verifying *ing = ctx;

	if (ing->v->stop && *ing->v->stop)
		return -ECANCELED;
	if (!named_for_good(named) || !in_store(ing->v, named) ||
	    objects_has(ing->objects, &named->hash))
		return 0;
	return fault_add(ing, &named->hash, true);
}

static int look_version(void *ctx, const struct named *named)
{
	struct verifying *ing = ctx;
	int r = array_grow(&ing->checked, ing->nchecked, sizeof(*ing->checked));

	if (!r)
		ing->checked[ing->nchecked++] = named->hash;
	return r;
}

static int look_checked(struct verifying *ing)
{
	int r = 0;

	if (ing->nchecked)
		qsort(ing->checked, ing->nchecked, sizeof(*ing->checked), fault_cmp);
	for (size_t i = 0; i < ing->nchecked && !r; i++) {
		if (i && !memcmp(&ing->checked[i], &ing->checked[i - 1], sizeof(ing->checked[i])))
			continue;
		r = look_at(ing, &ing->checked[i], NULL);
	}
	return r;
}

static int look(struct db *db, struct verifying *ing, struct why *why)
{
	const struct verify *v = ing->v;
	int r;

	if (v->only)
		return objects_has(ing->objects, v->only) ? look_at(ing, v->only, NULL)
							  : fault_add(ing, v->only, true);
	if (v->version) {
		r = named_version(db, v->state_dir, v->version, look_version, ing, why);
		if (!r)
			r = look_checked(ing);
		if (!r)
			r = named_version(db, v->state_dir, v->version, look_for, ing, why);
		return r;
	}
	r = objects_each(ing->objects, v->since, look_at, ing);
	return r ? r : named_each(db, v->state_dir, look_for, ing, why);
}

/* ---- mending ---- */

/* The origin of this version may have the very bytes still. */
static int heal(struct verifying *ing, const struct named *named)
{
	cleanup(closep) int origin = origin_open(ing->v->door, named->id, named->origin);
	struct object_draft draft = {.fd = -1};
	cleanup(closep) int from = -1;
	char path[PATH_MAX];
	struct hash hash;
	struct stat st;
	uint64_t size;
	int r;

	if (origin < 0 ||
	    manifest_path(version_manifest(named->version), named->pos, path, sizeof(path)) < 0)
		return -ENOENT;
	from = origin_dir_file(origin, path);
	if (from < 0 || fstat(from, &st) || (uint64_t)st.st_size != named->size)
		return -ENOENT;
	r = objects_draft_unnamed(ing->objects, &draft);
	if (!r)
		r = object_copy(from, draft.fd, &hash, &size);
	if (!r && memcmp(&hash, &named->hash, sizeof(hash)))
		r = -ENOENT;
	if (!r && fdatasync(draft.fd))
		r = -errno;
	if (!r)
		r = objects_commit(ing->objects, &draft, &hash);
	if (!r)
		r = objects_sync_names(ing->objects, &hash, 1);
	objects_discard(ing->objects, &draft);
	return r;
}

static int name_fault(void *ctx, const struct named *named)
{
	struct verifying *ing = ctx;
	struct fault *f = fault_find(ing, &named->hash);
	char text[VERIFY_NAMES / 2];
	size_t len;

	if (!f || !in_store(ing->v, named))
		return 0;
	f->named = true;
	f->for_good |= named_for_good(named);
	if (!f->names && ing->nnamed++ < VERIFY_NAMED)
		f->names = calloc(1, VERIFY_NAMES);
	len = f->names ? strlen(f->names) : VERIFY_NAMES;
	named_text(named, text, sizeof(text));
	if (len + strlen(text) + 24 < VERIFY_NAMES)
		snprintf(f->names + len, VERIFY_NAMES - len, "%s%s", len ? ", " : "", text);
	else
		f->more++;
	if (ing->v->mend && !f->healed && named->version && named->origin)
		f->healed = !heal(ing, named);
	return 0;
}

/* Away with the damaged bytes, unless somebody put whole ones meanwhile. */
static int faults_set_aside(struct verifying *ing)
{
	for (size_t i = 0; i < ing->nfaults; i++) {
		struct fault *f = &ing->faults[i];
		uint64_t size;
		int r = object_check(ing, &f->hash, &size);

		if (!r)
			f->healed = true;
		else if (r > 0)
			r = objects_set_aside(ing->objects, &f->hash);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	objects_removed(ing->objects);
	return 0;
}

static enum verify_end fault_end(struct verifying *ing, const struct fault *f)
{
	if (!ing->v->mend) {
		ing->found->lost += f->named;
		return VERIFY_FOUND;
	}
	if (!f->healed && f->for_good) {
		ing->found->lost++;
		return VERIFY_LOST;
	}
	objects_aside_drop(ing->objects, &f->hash);
	if (f->healed)
		ing->found->healed++;
	else if (f->named)
		ing->found->dropped++;
	return f->healed ? VERIFY_HEALED : VERIFY_DROPPED;
}

static void faults_tell(struct verifying *ing)
{
	for (size_t i = 0; i < ing->nfaults; i++) {
		struct fault *f = &ing->faults[i];
		enum verify_end end = fault_end(ing, f);
		size_t len = f->names ? strlen(f->names) : 0;

		if (f->more && f->names)
			snprintf(f->names + len, VERIFY_NAMES - len, " and %u more", f->more);
		if (ing->v->tell && f->named)
			ing->v->tell(ing->v->ctx, end, f->absent, &f->hash,
				     f->names ? f->names : "one of many");
	}
}

/* Alone with the store, but not for the price of never being stopped. */
static int hold_alone(struct verifying *ing)
{
	const struct timespec tick = {.tv_nsec = 100 * NS_PER_MS};
	int r;

	while ((r = objects_try_alone(ing->objects)) == -EWOULDBLOCK) {
		if (ing->v->stop && *ing->v->stop)
			return -ECANCELED;
		nanosleep(&tick, NULL);
	}
	return r;
}

static void faults_sort(struct verifying *ing)
{
	size_t n = 0;

	qsort(ing->faults, ing->nfaults, sizeof(*ing->faults), fault_cmp);
	for (size_t i = 0; i < ing->nfaults; i++)
		if (!n || fault_cmp(&ing->faults[n - 1], &ing->faults[i]))
			ing->faults[n++] = ing->faults[i];
	ing->nfaults = n;
}

static int mend(struct db *db, struct verifying *ing, struct why *why)
{
	int r = 0;

	if (!ing->nfaults)
		return 0;
	faults_sort(ing);
	if (ing->v->mend) {
		r = hold_alone(ing);
		if (!r)
			r = faults_set_aside(ing);
		/* Whoever names them has its row, and who comes now puts bytes of his own:
		 * others may go on, for an origin may take long, or hang. */
		if (!r)
			r = objects_hold(ing->objects, false);
	}
	if (!r)
		r = named_each(db, ing->v->state_dir, name_fault, ing, why);
	if (!r)
		faults_tell(ing);
	objects_release(ing->objects);
	return r;
}

int verify(struct db *db, const struct verify *v, struct verify_found *out, struct why *why)
{
	struct verifying ing = {.v = v, .found = out};
	char path[PATH_MAX];
	int r;

	*out = (struct verify_found){0};
	r = objects_open(v->state_dir, v->store, v->mend, &ing.objects, why);
	if (r)
		return r;
	r = look(db, &ing, why);
	if (!r)
		r = mend(db, &ing, why);
	objects_close(ing.objects);
	for (size_t i = 0; i < ing.nfaults; i++)
		free(ing.faults[i].names);
	free(ing.faults);
	free(ing.checked);
	return r ? why_set(why, r, "verifying %s: %s", path, strerror(-r)) : 0;
}

/* ---- after an unclean stop ---- */

static void tell_log(void *ctx, enum verify_end end, bool absent, const struct hash *hash,
		     const char *names)
{
	unsigned int *told = ctx;
	char name[2 * HASH_LEN + 1];

	if (end != VERIFY_LOST || (*told)++ >= VERIFY_TELLS)
		return;
	hash_format(hash, name);
	log_error("%s: its bytes are %s: reading it is an error now (object %s%s)", names,
		  absent ? "lost" : "damaged", name, absent ? "" : ", set aside in damaged/");
}

int verify_one(const char *state_dir, const struct hash *hash, const struct origin_door *door,
	       const atomic_bool *stop)
{
	cleanup(db_closep) struct db *db = NULL;
	unsigned int told = 0;
	const struct verify v = {.state_dir = state_dir,
				 .store = STORE_OBJECTS,
				 .only = hash,
				 .mend = true,
				 .door = door,
				 .stop = stop,
				 .tell = tell_log,
				 .ctx = &told};
	struct verify_found found;
	struct why why = {""};
	int r = db_open(state_dir, &schema_rootstock, DB_READ, &db, &why);

	if (!r)
		r = verify(db, &v, &found, &why);
	if (r) {
		if (r != -ECANCELED)
			log_error("a damaged file cannot be mended: %s", why_text(&why, r));
		return r;
	}
	if (found.healed)
		log_info("a damaged file was copied again from an origin that has the same bytes");
	return found.lost || found.dropped ? -EIO : 0;
}

/* What others wait for goes first: the processor's and the disk's idle time will do. */
static void become_idle(void)
{
	const struct sched_param param = {0};

	sched_setscheduler(0, SCHED_IDLE, &param);
	syscall(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, 3 << 13 /* IOPRIO_CLASS_IDLE */);
}

static void tell_done(enum store store, const struct verify_found *found)
{
	char text[160];

	if (!found->healed && !found->dropped && !found->lost)
		snprintf(text, sizeof(text), "all whole");
	else
		snprintf(text, sizeof(text),
			 "%u copied again, %u to be copied again when read, %u lost", found->healed,
			 found->dropped, found->lost);
	log_info("%s: verified %" PRIu64 " files of %" PRIu64 " bytes: %s", store_name(store),
		 found->files, found->bytes, text);
}

struct verifier {
	const char *state_dir;
	enum store store;
	const struct origin_door *door;
	pthread_t thread;
	atomic_bool stop;
};

static int suspects_once(const struct verifier *of, struct why *why)
{
	cleanup(objects_closep) struct objects *objects = NULL;
	cleanup(db_closep) struct db *db = NULL;
	unsigned int told = 0;
	struct verify v = {.state_dir = of->state_dir,
			   .store = of->store,
			   .mend = true,
			   .door = of->door,
			   .stop = &of->stop,
			   .tell = tell_log,
			   .ctx = &told};
	struct verify_found found;
	char since[32];
	time_t secs;
	struct tm tm;
	int r;

	r = objects_open(of->state_dir, of->store, true, &objects, why);
	if (!r)
		r = objects_suspect(objects, &v.since);
	if (r != 1)
		return r;
	become_idle();
	secs = (time_t)(v.since / NS_PER_SEC);
	strftime(since, sizeof(since), "%F %T", localtime_r(&secs, &tm));
	log_warn("%s: a writer was not stopped cleanly: verifying %s%s", store_name(of->store),
		 v.since ? "what was put since " : "all", v.since ? since : "");
	r = db_open(of->state_dir, &schema_rootstock, DB_READ, &db, why);
	if (!r)
		r = verify(db, &v, &found, why);
	if (!r)
		r = objects_trust(objects, v.since);
	if (!r)
		tell_done(of->store, &found);
	return r;
}

static void *verifier_main(void *arg)
{
	const struct timespec tick = {.tv_nsec = 100 * NS_PER_MS};
	struct verifier *v = arg;

	for (;;) {
		struct why why = {""};
		int r = suspects_once(v, &why);

		if (!r || r == -ECANCELED)
			return NULL;
		log_error("%s: cannot be verified: %s; again in a minute", store_name(v->store),
			  why_text(&why, r));
		for (int i = 0; i < VERIFY_AGAIN_SECS * 10; i++) {
			if (v->stop)
				return NULL;
			nanosleep(&tick, NULL);
		}
	}
}

int verifier_start(const char *state_dir, enum store store, const struct origin_door *door,
		   struct verifier **out)
{
	struct verifier *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return -ENOMEM;
	v->state_dir = state_dir;
	v->store = store;
	v->door = door;
	r = pthread_create(&v->thread, NULL, verifier_main, v);
	if (r) {
		free(v);
		return -r;
	}
	*out = v;
	return 0;
}

void verifier_stop(struct verifier *v)
{
	if (!v)
		return;
	v->stop = true;
	pthread_join(v->thread, NULL);
	free(v);
}
