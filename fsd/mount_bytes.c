/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Bytes are found by number at each read: a hash look-up, where an open call would
 * cost two requests a file.  What is in the store is answered by the thread that took
 * the request; what must be copied first is handed to the asker:
 *
 *	session's threads --reader--> answer
 *	        |  the file is not copied yet
 *	        v
 *	      asker (one thread) <--descriptor-- copier
 */
#include "fsd/mount_fuse.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	BYTES_OPEN = 256,	 /* objects each reader keeps open */
	BYTES_SPLICE = 32 * 1024 /* reads from here on go by splice */
};

/* What a thread needs to read.  More than one thread seldom reads at a time, so the
 * one used last is used first. */
struct reader {
	struct contents *contents;
	uint8_t *buf;
	size_t size;
	struct reader *next;
};

struct question {
	fuse_req_t req;
	uint64_t number;
	enum mount_ask ask;
	size_t size;
	off_t offset;
};

/* A question whose file is being copied. */
struct parked {
	struct content_wait wait; /* first: on_content() goes back from it */
	struct mount_bytes *bytes;
	struct question question;
	struct view *view;
	atomic_bool interrupted;
	struct parked *next;
	struct parked **link;
};

struct mount_bytes {
	const char *state_dir;
	struct mount *mount;

	pthread_mutex_t lock; /* guards the readers, `fresh` and `stop` */
	struct reader *readers;
	struct parked *fresh;
	bool stop;

	/* The asker's. */
	pthread_t asker;
	bool asking;
	struct contents *contents;
	struct parked *parked;
	int wake_fd;
};

/* ---- answers ---- */

static int reader_room(struct reader *reader, size_t size)
{
	uint8_t *bigger;

	if (reader->size >= size)
		return 0;
	bigger = realloc(reader->buf, size);
	if (!bigger)
		return -ENOMEM;
	reader->buf = bigger;
	reader->size = size;
	return 0;
}

static void reply_read(const struct question *q, struct content *content, struct reader *reader)
{
	struct fuse_bufvec vec = FUSE_BUFVEC_INIT(0);
	uint64_t total = content_size(content);
	size_t size = q->size;
	ssize_t n;

	if (q->offset < 0 || (uint64_t)q->offset >= total) {
		fuse_reply_buf(q->req, NULL, 0);
		return;
	}
	if (size > total - (uint64_t)q->offset)
		size = (size_t)(total - (uint64_t)q->offset);
	if (content_fd(content) < 0) {
		fuse_reply_buf(q->req, (const char *)content_bytes(content).at + q->offset, size);
		return;
	}
	if (size >= BYTES_SPLICE) {
		vec.buf[0] = (struct fuse_buf){
			.size = size,
			.flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK | FUSE_BUF_FD_RETRY,
			.fd = content_fd(content),
			.pos = q->offset,
		};
		fuse_reply_data(q->req, &vec, 0);
		return;
	}
	n = reader_room(reader, size);
	if (!n)
		n = content_pread(content, reader->buf, size, (uint64_t)q->offset);
	if (n < 0)
		mount_reply_code(q->req, (int)n);
	else
		fuse_reply_buf(q->req, (const char *)reader->buf, (size_t)n);
}

static void answer(struct mount *m, const struct question *q, int r, struct content *content,
		   struct reader *reader)
{
	/* Attributes are there even where bytes are lost. */
	if (q->ask == MOUNT_ASK_ATTR && r != -EINTR)
		mount_reply_attr(m->forest, q->req, q->number);
	else if (r)
		mount_reply_code(q->req, r);
	else if (q->ask == MOUNT_ASK_OPEN)
		mount_opens_reply(m->opens, q->req, q->number, content);
	else
		reply_read(q, content, reader);
}

/* ---- at once ---- */

static int reader_new(struct mount_bytes *b, struct reader **out)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	int r;

	if (!reader)
		return -ENOMEM;
	r = contents_new(b->state_dir, BYTES_OPEN, &reader->contents, NULL);
	if (r) {
		free(reader);
		return r;
	}
	*out = reader;
	return 0;
}

static int reader_get(struct mount_bytes *b, struct reader **out)
{
	pthread_mutex_lock(&b->lock);
	*out = b->readers;
	if (*out)
		b->readers = (*out)->next;
	pthread_mutex_unlock(&b->lock);
	return *out ? 0 : reader_new(b, out);
}

static void reader_put(struct mount_bytes *b, struct reader *reader)
{
	pthread_mutex_lock(&b->lock);
	reader->next = b->readers;
	b->readers = reader;
	pthread_mutex_unlock(&b->lock);
}

static void wake(int fd)
{
	(void)!write(fd, &(uint64_t){1}, sizeof(uint64_t));
}

static void on_interrupt(fuse_req_t req, void *data)
{
	struct parked *p = data;

	(void)req;
	atomic_store(&p->interrupted, true);
	wake(p->bytes->wake_fd);
}

/* Hand a question to the asker, with the reference to its view. */
static void park(struct mount_bytes *b, const struct question *q, struct view *view)
{
	struct parked *p = calloc(1, sizeof(*p));

	if (!p) {
		view_unref(view);
		fuse_reply_err(q->req, ENOMEM);
		return;
	}
	p->bytes = b;
	p->question = *q;
	p->view = view;
	fuse_req_interrupt_func(q->req, on_interrupt, p);
	pthread_mutex_lock(&b->lock);
	p->next = b->fresh;
	b->fresh = p;
	pthread_mutex_unlock(&b->lock);
	wake(b->wake_fd);
}

void mount_bytes_ask(struct mount_bytes *b, fuse_req_t req, uint64_t number, enum mount_ask ask,
		     size_t size, off_t offset)
{
	const struct question q = {req, number, ask, size, offset};
	struct content *content = NULL;
	struct reader *reader = NULL;
	struct view *view = NULL;
	uint32_t node;
	int r;

	forest_enter(b->mount->forest);
	r = forest_view(b->mount->forest, number, &view, &node);
	forest_leave(b->mount->forest);
	if (!r)
		r = reader_get(b, &reader);
	if (!r)
		r = contents_open(reader->contents, view, node, &content, NULL);
	if (r == -EAGAIN) {
		park(b, &q, view);
	} else {
		answer(b->mount, &q, r, content, reader);
		view_unref(view);
	}
	content_unref(content);
	if (reader)
		reader_put(b, reader);
}

/* ---- the asker ---- */

/* The request is over: nobody interrupts it any more. */
static void parked_answer(struct parked *p, int r, struct content *content)
{
	struct mount *m = p->bytes->mount;
	struct question q = p->question;
	struct reader reader = {0};

	fuse_req_interrupt_func(q.req, NULL, NULL);
	*p->link = p->next;
	if (p->next)
		p->next->link = p->link;
	view_unref(p->view);
	free(p);
	answer(m, &q, r, content, &reader);
	content_unref(content);
	free(reader.buf);
}

static void on_content(struct content_wait *wait, int r, struct content *content)
{
	parked_answer((struct parked *)wait, r, content);
}

static void parked_ask(struct mount_bytes *b, struct parked *p)
{
	struct content *content = NULL;
	int r;

	p->wait = (struct content_wait){.done = on_content};
	p->next = b->parked;
	p->link = &b->parked;
	if (p->next)
		p->next->link = &p->next;
	b->parked = p;
	r = contents_open(b->contents, p->view, (uint32_t)p->question.number, &content, &p->wait);
	if (r != CONTENT_WAIT)
		parked_answer(p, r, content);
}

static void parked_sweep(struct mount_bytes *b, bool all)
{
	struct parked *next;

	for (struct parked *p = b->parked; p; p = next) {
		next = p->next;
		if (!all && !atomic_load(&p->interrupted))
			continue;
		contents_cancel(b->contents, &p->wait);
		parked_answer(p, all ? -EIO : -EINTR, NULL);
	}
}

/* Returns false at the end. */
static bool asker_turn(struct mount_bytes *b)
{
	struct parked *fresh;
	uint64_t count;
	bool stop;

	(void)!read(b->wake_fd, &count, sizeof(count));
	pthread_mutex_lock(&b->lock);
	fresh = b->fresh;
	b->fresh = NULL;
	stop = b->stop;
	pthread_mutex_unlock(&b->lock);
	while (fresh) {
		struct parked *p = fresh;

		fresh = p->next;
		parked_ask(b, p);
	}
	parked_sweep(b, stop);
	return !stop;
}

static void *asker_main(void *arg)
{
	struct mount_bytes *b = arg;
	struct pollfd fds[] = {{.fd = b->wake_fd, .events = POLLIN},
			       {.fd = contents_fd(b->contents), .events = POLLIN}};

	for (;;) {
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			break;
		if (fds[0].revents && !asker_turn(b))
			break;
		if (fds[1].revents)
			contents_dispatch(b->contents);
	}
	return NULL;
}

/* ---- the whole ---- */

int mount_bytes_new(const char *state_dir, struct mount *m, struct mount_bytes **out,
		    struct why *why)
{
	struct mount_bytes *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return -ENOMEM;
	b->state_dir = state_dir;
	b->mount = m;
	pthread_mutex_init(&b->lock, NULL);
	b->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = b->wake_fd < 0 ? -errno : contents_new(state_dir, BYTES_OPEN, &b->contents, why);
	if (r)
		mount_bytes_free(b);
	else
		*out = b;
	return r;
}

void mount_bytes_free(struct mount_bytes *b)
{
	if (!b)
		return;
	while (b->readers) {
		struct reader *reader = b->readers;

		b->readers = reader->next;
		contents_free(reader->contents);
		free(reader->buf);
		free(reader);
	}
	contents_free(b->contents);
	closep(&b->wake_fd);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

int mount_bytes_start(struct mount_bytes *b)
{
	int r = -pthread_create(&b->asker, NULL, asker_main, b);

	b->asking = !r;
	return r;
}

void mount_bytes_stop(struct mount_bytes *b)
{
	if (!b->asking)
		return;
	pthread_mutex_lock(&b->lock);
	b->stop = true;
	pthread_mutex_unlock(&b->lock);
	wake(b->wake_fd);
	pthread_join(b->asker, NULL);
	b->asking = false;
}
