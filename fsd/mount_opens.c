/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * With passthrough the kernel reads an open file's object by itself: no request, no
 * second copy of its pages.  That costs an open call and a release for each opening,
 * which a mount otherwise does without, so somebody has to ask for it.
 *
 * The kernel wants all openings of one node alike: through the same object, or all
 * of them through its own cache.  So a node that is open is kept here with how it was
 * opened first.  The kernel lets go of a file before it says so: what it holds is never
 * more than what is noted here.
 */
#include "fsd/mount_fuse.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"

enum { OPENS_BUCKETS = 1024 };

struct opened {
	uint64_t number;
	unsigned int n;
	int backing; /* the kernel's id of the object; 0: by requests */
	struct opened *next;
};

struct mount_opens {
	pthread_mutex_t lock; /* guards all below */
	bool refused;	      /* the kernel takes no objects */
	struct opened *buckets[OPENS_BUCKETS];
};

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)

int mount_opens_new(struct mount_opens **out, struct why *why)
{
	if (geteuid())
		return why_set(why, -ENOTSUP, "-o passthrough: only root may");
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	pthread_mutex_init(&(*out)->lock, NULL);
	return 0;
}

void mount_opens_init(struct mount_opens *o, struct fuse_conn_info *conn)
{
	if (conn->capable & FUSE_CAP_PASSTHROUGH) {
		conn->want |= FUSE_CAP_PASSTHROUGH;
		conn->max_backing_stack_depth = 1; /* the store lies on a disk, not on layers */
		return;
	}
	o->refused = true;
	log_warn("mount: this kernel has no passthrough: it reads by requests");
}

static int backing_open(struct mount_opens *o, fuse_req_t req, const struct content *content)
{
	int id;

	if (o->refused || content_fd(content) < 0)
		return 0;
	id = fuse_passthrough_open(req, content_fd(content));
	if (id > 0)
		return id;
	o->refused = true;
	log_warn("mount: the kernel takes no file of the store for passthrough: it reads by "
		 "requests");
	return 0;
}

static void backing_close(fuse_req_t req, int id)
{
	fuse_passthrough_close(req, id);
}

static int reply_open(fuse_req_t req, int backing)
{
	/* With passthrough there is no cache to keep: the kernel refuses to. */
	return fuse_reply_open(req, &(struct fuse_file_info){.keep_cache = !backing,
							     .noflush = 1,
							     .backing_id = backing});
}

#else /* then no struct mount_opens is ever made */

int mount_opens_new(struct mount_opens **out, struct why *why)
{
	(void)out;
	return why_set(why, -ENOTSUP, "-o passthrough: it needs libfuse 3.17 or later, this is %s",
		       fuse_pkgversion());
}

void mount_opens_init(struct mount_opens *o, struct fuse_conn_info *conn)
{
	(void)o;
	(void)conn;
}

static int backing_open(struct mount_opens *o, fuse_req_t req, const struct content *content)
{
	(void)o;
	(void)req;
	(void)content;
	return 0;
}

static void backing_close(fuse_req_t req, int id)
{
	(void)req;
	(void)id;
}

static int reply_open(fuse_req_t req, int backing)
{
	(void)backing;
	return fuse_reply_open(req, &(struct fuse_file_info){.keep_cache = 1, .noflush = 1});
}

#endif

void mount_opens_free(struct mount_opens *o)
{
	if (!o)
		return;
	for (unsigned int i = 0; i < OPENS_BUCKETS; i++)
		while (o->buckets[i]) {
			struct opened *opened = o->buckets[i];

			o->buckets[i] = opened->next;
			free(opened);
		}
	pthread_mutex_destroy(&o->lock);
	free(o);
}

static struct opened **opened_at(struct mount_opens *o, uint64_t number)
{
	struct opened **p = &o->buckets[(number ^ number >> 32) % OPENS_BUCKETS];

	while (*p && (*p)->number != number)
		p = &(*p)->next;
	return p;
}

static void opened_drop(struct mount_opens *o, fuse_req_t req, uint64_t number)
{
	struct opened *opened;
	struct opened **p;

	pthread_mutex_lock(&o->lock);
	p = opened_at(o, number);
	opened = *p;
	if (opened && !--opened->n) {
		*p = opened->next;
		if (opened->backing)
			backing_close(req, opened->backing);
		free(opened);
	}
	pthread_mutex_unlock(&o->lock);
}

void mount_opens_reply(struct mount_opens *o, fuse_req_t req, uint64_t number,
		       const struct content *content)
{
	struct opened *opened;
	struct opened **p;
	int backing = 0;

	pthread_mutex_lock(&o->lock);
	p = opened_at(o, number);
	opened = *p;
	if (!opened) {
		opened = *p = calloc(1, sizeof(*opened));
		if (opened) {
			opened->number = number;
			opened->backing = backing_open(o, req, content);
		}
	}
	if (opened) {
		opened->n++;
		backing = opened->backing;
	}
	pthread_mutex_unlock(&o->lock);
	if (!opened)
		fuse_reply_err(req, ENOMEM);
	else if (reply_open(req, backing))
		/* It never was open for the kernel. */
		opened_drop(o, req, number);
}

void mount_opens_release(struct mount_opens *o, fuse_req_t req, uint64_t number)
{
	opened_drop(o, req, number);
	fuse_reply_err(req, 0);
}
