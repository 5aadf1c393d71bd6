/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/objects.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "fsd/objects_parts.h"

void hash_format(const struct hash *hash, char out[static 2 * HASH_LEN + 1])
{
	static const char hex[] = "0123456789abcdef";

	for (int i = 0; i < HASH_LEN; i++) {
		out[2 * i] = hex[hash->octet[i] >> 4];
		out[2 * i + 1] = hex[hash->octet[i] & 15];
	}
	out[2 * HASH_LEN] = '\0';
}

int hash_parse(const char *text, struct hash *out)
{
	struct hash hash;

	if (strlen(text) != 2 * HASH_LEN || strspn(text, "0123456789abcdef") != 2 * HASH_LEN)
		return -EINVAL;
	for (int i = 0; i < HASH_LEN; i++) {
		const char pair[3] = {text[2 * i], text[2 * i + 1], '\0'};

		hash.octet[i] = (uint8_t)strtoul(pair, NULL, 16);
	}
	*out = hash;
	return 0;
}

void object_name(const struct hash *hash, char out[static 2 * HASH_LEN + 2])
{
	hash_format(hash, out);
	memmove(out + 3, out + 2, 2 * HASH_LEN - 1);
	out[2] = '/';
}

const char *store_name(enum store store)
{
	return store == STORE_SECRETS ? "secrets" : "objects";
}

int objects_open(const char *state_dir, enum store store, bool create, struct objects **out,
		 struct why *why)
{
	cleanup(objects_closep) struct objects *o = calloc(1, sizeof(*o));
	const mode_t mode = store == STORE_SECRETS ? 0700 : 0750;
	char path[PATH_MAX];
	struct stat st;

	if (!o)
		return -ENOMEM;
	snprintf(path, sizeof(path), "%s/%s", state_dir, store_name(store));
	o->at.dir = o->at.tmp = o->mark.fd = -1;
	o->suspect = INT64_MAX;
	if (create && mkdir(path, mode) && errno != EEXIST)
		return why_set(why, -errno, "%s: %m", path);
	o->at.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (o->at.dir < 0 || fstat(o->at.dir, &st))
		return why_set(why, -errno, "%s: %m", path);
	o->at.owner = st.st_uid;
	o->at.group = st.st_gid;
	if (create) {
		if (mkdirat(o->at.dir, "tmp", 0700) && errno != EEXIST)
			return why_set(why, -errno, "%s/tmp: %m", path);
		o->at.tmp =
			openat(o->at.dir, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (o->at.tmp < 0)
			return why_set(why, -errno, "%s/tmp: %m", path);
		if (geteuid() == 0 && fchown(o->at.tmp, o->at.owner, o->at.group))
			return why_set(why, -errno, "%s/tmp: %m", path);
	}
	objects_look(o);
	*out = take(&o);
	return 0;
}

void objects_close(struct objects *o)
{
	if (!o)
		return;
	mark_remove(&o->at, &o->mark);
	if (o->at.dir >= 0)
		close(o->at.dir);
	if (o->at.tmp >= 0)
		close(o->at.tmp);
	free(o);
}

static void clean_below(int tmp, const char *name)
{
	int fd = openat(tmp, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	cleanup(closedirp) DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!stream)
		closep(&fd);
	while (stream && (d = readdir(stream)))
		unlinkat(fd, d->d_name, 0);
}

void objects_clean_drafts(struct objects *o, char kind)
{
	int fd = openat(o->at.tmp, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup(closedirp) DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!stream) {
		closep(&fd);
		return;
	}
	while ((d = readdir(stream))) {
		if (d->d_name[0] != kind || !unlinkat(o->at.tmp, d->d_name, 0) || errno != EISDIR)
			continue;
		/* Where ssh-keygen was to write (fsd/identity.c), or a backup. */
		clean_below(o->at.tmp, d->d_name);
		unlinkat(o->at.tmp, d->d_name, AT_REMOVEDIR);
	}
}

int objects_try_alone(struct objects *o)
{
	return flock(o->at.dir, LOCK_EX | LOCK_NB) ? -errno : 0;
}

int objects_try_hold(struct objects *o)
{
	return flock(o->at.dir, LOCK_SH | LOCK_NB) ? -errno : 0;
}

void objects_tidy(struct objects *o)
{
	if (objects_try_alone(o))
		return;
	objects_clean_drafts(o, 'p');
	objects_release(o);
}

int objects_hold(struct objects *o, bool alone)
{
	while (flock(o->at.dir, alone ? LOCK_EX : LOCK_SH))
		if (errno != EINTR)
			return -errno;
	return 0;
}

int objects_open_held(const char *state_dir, enum store store, bool create, struct objects **out,
		      struct why *why)
{
	cleanup(objects_closep) struct objects *o = NULL;
	int r = objects_open(state_dir, store, create, &o, why);

	if (!r)
		r = objects_hold(o, false);
	if (r)
		return r;
	*out = take(&o);
	return 0;
}

void objects_release(struct objects *o)
{
	flock(o->at.dir, LOCK_UN);
}

/* What a writer left that did not end cleanly is not believed, until it is verified. */
static int suspect_check(struct objects *o, int fd, const struct hash *hash, const struct stat *st)
{
	struct hash have;
	uint64_t size;
	int r;

	if (object_changed(st) < atomic_load_explicit(&o->suspect, memory_order_relaxed) ||
	    !objects_look(o) || object_changed(st) < o->suspect)
		return 0;
	r = object_hash(fd, NULL, &have, &size);
	return r ? r : memcmp(&have, hash, sizeof(have)) ? -EBADMSG : 0;
}

int objects_open_raw(struct objects *o, const struct hash *hash)
{
	char name[2 * HASH_LEN + 2];
	int fd;

	object_name(hash, name);
	fd = openat(o->at.dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

int objects_get(struct objects *o, const struct hash *hash, int64_t size)
{
	cleanup(closep) int fd = objects_open_raw(o, hash);
	struct stat st;
	int r;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st))
		return -errno;
	if (size != OBJECT_ANY_SIZE && st.st_size != size)
		return -EBADMSG;
	r = suspect_check(o, fd, hash, &st);
	return r ? r : take_fd(&fd);
}

bool objects_has(const struct objects *o, const struct hash *hash)
{
	char name[2 * HASH_LEN + 2];

	object_name(hash, name);
	return !faccessat(o->at.dir, name, F_OK, AT_SYMLINK_NOFOLLOW);
}

/* Drafts of the copier start with 'c', those of commands with 'p'. */
static int draft_new(struct objects *o, char kind, struct object_draft *draft)
{
	uint64_t random;

	/* Not the process's number: a draft that a killed process left must not be
	 * in the way of a later one that got the same. */
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -errno;
	snprintf(draft->name, sizeof(draft->name), "%c%016llx", kind, (unsigned long long)random);
	draft->fd = openat(o->at.tmp, draft->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (draft->fd < 0) {
		draft->name[0] = '\0';
		return -errno;
	}
	if (geteuid() == 0 && fchown(draft->fd, o->at.owner, o->at.group)) {
		int r = -errno;

		objects_discard(o, draft);
		return r;
	}
	return 0;
}

int objects_draft(struct objects *o, struct object_draft *draft)
{
	return draft_new(o, 'c', draft);
}

void objects_clean(struct objects *o)
{
	objects_clean_drafts(o, 'c');
}

void objects_discard(struct objects *o, struct object_draft *draft)
{
	closep(&draft->fd);
	draft->fd = -1;
	if (draft->name[0])
		unlinkat(o->at.tmp, draft->name, 0);
	draft->name[0] = '\0';
}

static int object_dir_make(struct objects *o, const char prefix[static 3])
{
	if (mkdirat(o->at.dir, prefix, 0750))
		return errno == EEXIST ? 0 : -errno;
	if (geteuid() == 0 &&
	    fchownat(o->at.dir, prefix, o->at.owner, o->at.group, AT_SYMLINK_NOFOLLOW))
		return -errno;
	return 0;
}

/* Give the draft's file the name `to`; one that has none yet is linked by way of its
 * descriptor, and finds with EEXIST that another was faster. */
static int draft_name(struct objects *o, const struct object_draft *draft, const char *to)
{
	char path[32];

	if (draft->name[0])
		return renameat(o->at.tmp, draft->name, o->at.dir, to) ? -errno : 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", draft->fd);
	if (linkat(AT_FDCWD, path, o->at.dir, to, AT_SYMLINK_FOLLOW))
		return errno == EEXIST ? 0 : -errno;
	return 0;
}

static int draft_stat(struct objects *o, const struct object_draft *draft, struct stat *st)
{
	return draft->name[0] ? fstatat(o->at.tmp, draft->name, st, AT_SYMLINK_NOFOLLOW)
			      : fstat(draft->fd, st);
}

int objects_commit(struct objects *o, struct object_draft *draft, const struct hash *hash)
{
	char name[2 * HASH_LEN + 2];
	char prefix[3] = {0};
	struct stat there;
	struct stat mine;
	int r;

	object_name(hash, name);
	memcpy(prefix, name, 2);
	/* Replacing an object by its own bytes would only cost a rename; one of another
	 * size was damaged. */
	if (!fstatat(o->at.dir, name, &there, AT_SYMLINK_NOFOLLOW) &&
	    !draft_stat(o, draft, &mine)) {
		if (there.st_size == mine.st_size) {
			objects_discard(o, draft);
			return 0;
		}
		unlinkat(o->at.dir, name, 0); /* a link replaces nothing */
	}
	r = draft_name(o, draft, name);
	if (r == -ENOENT) {
		r = object_dir_make(o, prefix);
		if (!r)
			r = draft_name(o, draft, name);
	}
	if (r)
		return r;
	closep(&draft->fd);
	draft->fd = -1;
	draft->name[0] = '\0';
	return 0;
}

int objects_sync_data(struct objects *o)
{
	return syncfs(o->at.dir) ? -errno : 0;
}

int objects_sync_names(struct objects *o, const struct hash *hashes, unsigned int n)
{
	bool done[256] = {false};
	char prefix[3];

	/* A sync of a directory costs half a millisecond, one of all but a few. */
	if (n > 16)
		return objects_sync_data(o);
	for (unsigned int i = 0; i < n; i++) {
		cleanup(closep) int fd = -1;

		if (done[hashes[i].octet[0]])
			continue;
		done[hashes[i].octet[0]] = true;
		snprintf(prefix, sizeof(prefix), "%02x", hashes[i].octet[0]);
		fd = openat(o->at.dir, prefix, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0 || fsync(fd))
			return -errno;
	}
	return fsync(o->at.dir) ? -errno : 0;
}

int objects_draft_unnamed(struct objects *o, struct object_draft *draft)
{
	draft->name[0] = '\0';
	draft->fd = openat(o->at.tmp, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0640);
	if (draft->fd < 0)
		return errno == EOPNOTSUPP || errno == EISDIR ? draft_new(o, 'p', draft) : -errno;
	if (geteuid() == 0 && fchown(draft->fd, o->at.owner, o->at.group)) {
		int r = -errno;

		objects_discard(o, draft);
		return r;
	}
	return 0;
}

static int write_all(int fd, const uint8_t *data, size_t len, uint64_t offset)
{
	while (len) {
		ssize_t n = pwrite(fd, data, len, (off_t)offset);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n <= 0)
			continue;
		data += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static bool is_zero(const uint8_t *data, size_t len)
{
	return !data[0] && !memcmp(data, data + 1, len - 1);
}

int object_write(int fd, const uint8_t *data, size_t len, uint64_t offset)
{
	enum { HOLE = 64 * 1024 };
	size_t from = 0;
	size_t at = 0;

	/* What is gathered, [from, at), goes out before a run of zeros and at the end. */
	while (at < len) {
		size_t n = len - at < HOLE ? len - at : HOLE;
		bool zero = n == HOLE && is_zero(data + at, n);

		if (zero && at > from) {
			int r = write_all(fd, data + from, at - from, offset + from);

			if (r)
				return r;
		}
		at += n;
		if (zero)
			from = at;
	}
	return write_all(fd, data + from, at - from, offset + from);
}

/* By position, as others may read the same open file; a pipe has none. */
static ssize_t read_at(int fd, uint8_t *chunk, size_t len, uint64_t offset)
{
	ssize_t n = pread(fd, chunk, len, (off_t)offset);

	return n < 0 && errno == ESPIPE ? read(fd, chunk, len) : n;
}

/* Read all of `from`, hash it, and write it where `to` is not -1. */
static int pass(int from, int to, const atomic_bool *stop, struct hash *hash, uint64_t *size)
{
	enum { CHUNK = 256 * 1024 };
	cleanup(freep) uint8_t *chunk = malloc(CHUNK);
	struct hasher hasher;
	uint64_t total = 0;

	if (!chunk)
		return -ENOMEM;
	hasher_init(&hasher);
	for (;;) {
		ssize_t n = read_at(from, chunk, CHUNK, total);
		int r;

		if (stop && *stop)
			return -ECANCELED;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		hasher_add(&hasher, chunk, (size_t)n);
		r = to < 0 ? 0 : object_write(to, chunk, (size_t)n, total);
		if (r)
			return r;
		total += (uint64_t)n;
	}
	hasher_end(&hasher, hash);
	*size = total;
	return 0;
}

int object_hash(int from, const atomic_bool *stop, struct hash *hash, uint64_t *size)
{
	return pass(from, -1, stop, hash, size);
}

int object_copy(int from, int to, struct hash *hash, uint64_t *size)
{
	struct stat st;
	int r = pass(from, to, NULL, hash, size);

	if (r)
		return r;
	/* It may end in a hole. */
	if (fstat(to, &st) || ((uint64_t)st.st_size < *size && ftruncate(to, (off_t)*size)))
		return -errno;
	return 0;
}

static int objects_finish(struct objects *o, struct object_draft *draft, const struct hash *hash)
{
	int r = fdatasync(draft->fd) ? -errno : 0;

	if (!r)
		r = objects_commit(o, draft, hash);
	if (r) {
		objects_discard(o, draft);
		return r;
	}
	return objects_sync_names(o, hash, 1);
}

int objects_put(struct objects *o, int from, struct hash *hash, uint64_t *size)
{
	struct object_draft draft;
	int r = draft_new(o, 'p', &draft);

	if (r)
		return r;
	r = object_copy(from, draft.fd, hash, size);
	if (r) {
		objects_discard(o, &draft);
		return r;
	}
	return objects_finish(o, &draft, hash);
}

int objects_put_bytes(struct objects *o, const void *data, size_t len, struct hash *hash)
{
	struct object_draft draft;
	int r = draft_new(o, 'p', &draft);
	ssize_t put;

	if (r)
		return r;
	put = write(draft.fd, data, len);
	if (put != (ssize_t)len) {
		r = put < 0 ? -errno : -ENOSPC;
		objects_discard(o, &draft);
		return r;
	}
	hash_of(data, len, hash);
	return objects_finish(o, &draft, hash);
}
