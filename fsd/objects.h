/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The content store: the bytes of one file each, named by their SHA-256, in
 * `state`/objects/ab/cdef….  An object is there whole and right or not at all: it
 * is written under a temporary name, made durable, and renamed.
 */
#ifndef FSD_OBJECTS_H
#define FSD_OBJECTS_H

#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "fsd/manifest.h"

struct objects;

/* Bodies that only the host itself may have (SECURITY.md) are in a store of their own. */
enum store { STORE_OBJECTS, STORE_SECRETS };
const char *store_name(enum store store); /* its directory's, in the state */

/* Opens one of `state_dir`, making it if absent and `create`. */
int objects_open(const char *state_dir, enum store store, bool create, struct objects **out,
		 struct why *why);
void objects_close(struct objects *o);
CLEANUP_DEFINE(struct objects *, objects_close);

/* Keep a sweep away: from before an object is put until the row or journal record
 * that names it is durable.  Any number may hold; a sweep is alone (`alone`).  Waits.
 * Let go by objects_release() or by closing. */
int objects_hold(struct objects *o, bool alone);
int objects_try_alone(struct objects *o); /* does not wait: -EWOULDBLOCK */
int objects_try_hold(struct objects *o);  /* nor does this */
void objects_release(struct objects *o);
/* objects_open(), and hold it, as above and not alone. */
int objects_open_held(const char *state_dir, enum store store, bool create, struct objects **out,
		      struct why *why);

/* Remove what commands that were killed left behind, unless somebody holds the store. */
void objects_tidy(struct objects *o);

/* Remove every object that `keep` does not want, and what commands that were killed
 * left behind.  The caller holds the store alone. */
struct objects_swept {
	uint64_t files;
	uint64_t bytes;
};
int objects_sweep(struct objects *o, bool (*keep)(void *ctx, const struct hash *hash), void *ctx,
		  struct objects_swept *out);

/* A read-only descriptor of an object of `size` bytes; or -ENOENT; or -EBADMSG when it
 * has another size, or other bytes: that is looked at where a writer did not end cleanly
 * and nobody has verified the object yet (objects_suspect()); or another negative errno. */
enum { OBJECT_ANY_SIZE = -1 };
int objects_get(struct objects *o, const struct hash *hash, int64_t size);
int objects_open_raw(struct objects *o, const struct hash *hash); /* whatever it is */
bool objects_has(const struct objects *o, const struct hash *hash);

/* For a writer whose objects become durable many at a time: unless it closes the store
 * in the end, what it puts is suspect to whoever comes after it (fsd/mark.h).  The caller
 * holds the store. */
int objects_mark(struct objects *o);
/* All objects that were named before `at` (wall time, ns) are durable. */
void objects_synced(struct objects *o, int64_t at);
/* Gather what writers that did not end cleanly may have left.  Returns 1 and from when
 * on objects (by their change time) are to be verified, 0 when none are, or a negative
 * errno.  They stay so until objects_trust(). */
int objects_suspect(struct objects *o, int64_t *since);
int objects_trust(struct objects *o, int64_t since);

/* Call `each` for every object that was put since (wall time, ns), until it returns
 * other than 0. */
int objects_each(struct objects *o, int64_t since,
		 int (*each)(void *ctx, const struct hash *hash, const struct stat *st), void *ctx);

/* Take an object away from its name, into `damaged`/ of the store (and all permissions
 * off it, so that who has it open can tell), or for good.  The caller holds the store
 * alone. */
int objects_set_aside(struct objects *o, const struct hash *hash);
static inline bool object_is_aside(const struct stat *st)
{
	return !(st->st_mode & 0777);
}
int objects_drop(struct objects *o, const struct hash *hash);
/* What was set aside is needed no more. */
void objects_aside_drop(struct objects *o, const struct hash *hash);

/* Of the store's file system. */
struct objects_space {
	uint64_t total; /* bytes */
	uint64_t free;	/* that we may use */
	bool inodes;	/* some are left */
};
int objects_space(const struct objects *o, struct objects_space *out);

/* Moves when objects were taken away: whoever keeps them open should look which. */
int64_t objects_removals(const struct objects *o);
void objects_removed(struct objects *o);

/* A body that is being written.  `fd` may be closed once it is. */
struct object_draft {
	int fd;	       /* -1: none, or closed */
	char name[40]; /* in objects/tmp; "": none, or one without a name */
};

int objects_draft(struct objects *o, struct object_draft *draft);
/* One that vanishes with its process, however that ends, where the file system can
 * (O_TMPFILE); else a command's, which needs objects_hold(). */
int objects_draft_unnamed(struct objects *o, struct object_draft *draft);
/* Drop the drafts that a killed copier left.  There is one copier: it calls this before
 * it makes its first. */
void objects_clean(struct objects *o);
void objects_discard(struct objects *o, struct object_draft *draft); /* fine when empty */

/* Give the draft its name.  The caller has made its bytes durable (fdatasync, or
 * one syncfs for many).  The name itself is durable after objects_sync_names().  Where
 * the object is there already, the draft is dropped.  Empties the draft; on failure it is
 * the caller's still, to try again or discard. */
int objects_commit(struct objects *o, struct object_draft *draft, const struct hash *hash);

/* Make many drafts' bytes durable at once (syncfs). */
int objects_sync_data(struct objects *o);
/* Make the names of objects durable. */
int objects_sync_names(struct objects *o, const struct hash *hashes, unsigned int n);

/* Copy `from`, all of a file or what is left in a pipe, into a draft and hash it; durable
 * and named on return.  For commands: one file, one fdatasync.  *size is what was read. */
int objects_put(struct objects *o, int from, struct hash *hash, uint64_t *size);
int objects_put_bytes(struct objects *o, const void *data, size_t len, struct hash *hash);

/* Copy all of `from` (as above) to the empty file `to` and hash it, or only hash it: until `*stop`
 * (NULL: never) with -ECANCELED. */
int object_copy(int from, int to, struct hash *hash, uint64_t *size);
int object_hash(int from, const atomic_bool *stop, struct hash *hash, uint64_t *size);

/* Write to a new file at `offset`; runs of zeros are left as holes, so that the file may
 * end too early: ftruncate() it. */
int object_write(int fd, const uint8_t *data, size_t len, uint64_t offset);

/* 64 hex digits and nothing else.  Returns 0 or -EINVAL. */
int hash_parse(const char *text, struct hash *out);
void hash_format(const struct hash *hash, char out[static 2 * HASH_LEN + 1]);

#endif
