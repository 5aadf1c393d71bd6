/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Bytes are found by number at each read: a hash look-up, where an open call would
 * cost two requests a file.  What lies in memory is answered by the session's thread
 * itself; what must come from the disk first is handed to others, and what must be
 * copied first to the asker:
 *
 *	session's thread --in memory--> answer
 *	     |      `--on the disk--> disk threads --> answer
 *	     |  the file is not copied yet
 *	     v
 *	   asker (one thread) <--descriptor-- copier
 */
#include "fsd/mount_fuse.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/container.h"

enum {
	BYTES_OPEN = 256,	  /* objects each reader keeps open */
	BYTES_SPLICE = 32 * 1024, /* reads from here on go by splice */
	BYTES_THREADS = 8	  /* that wait for the disk */
};

/* What a thread needs to read. */
struct reader {
	struct contents *contents;
	uint8_t *buf;
	size_t size;
};

struct question {
	fuse_req_t req;
	uint64_t number;
	enum mount_ask ask;
	size_t size;
	off_t offset;
};

/* A read that waits for the disk. */
struct queued {
	struct question question;
	struct queued *next;
};

/* A question whose file is being copied. */
struct parked {
	struct content_wait wait;
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

	struct reader session; /* of its thread */

	pthread_mutex_t lock; /* guards the queue, `fresh` and `stop` */
	pthread_cond_t more;  /* in the queue, or the end */
	struct queued *queue;
	struct queued **queue_end;
	struct parked *fresh;
	bool stop;

	pthread_t disk[BYTES_THREADS];
	unsigned int ndisk;

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

static bool in_memory(int fd, off_t offset)
{
	char byte;
	struct iovec to = {&byte, 1};

	return preadv2(fd, &to, 1, offset, RWF_NOWAIT) == 1;
}

/* Returns false, without an answer, where it would have to `wait` for the disk. */
static bool reply_read(const struct question *q, struct content *content, struct reader *reader,
		       bool wait)
{
	struct fuse_bufvec vec = FUSE_BUFVEC_INIT(0);
	uint64_t total = content_size(content);
	int fd = content_fd(content);
	size_t size = q->size;
	ssize_t n;

	if (q->offset < 0 || (uint64_t)q->offset >= total) {
		fuse_reply_buf(q->req, NULL, 0);
		return true;
	}
	if (size > total - (uint64_t)q->offset)
		size = (size_t)(total - (uint64_t)q->offset);
	if (fd < 0) {
		fuse_reply_buf(q->req, (const char *)content_bytes(content).at + q->offset, size);
		return true;
	}
	if (size >= BYTES_SPLICE) {
		/* What lies between its ends was read with them, or nearly always. */
		if (!wait &&
		    (!in_memory(fd, q->offset) || !in_memory(fd, q->offset + (off_t)size - 1)))
			return false;
		vec.buf[0] = (struct fuse_buf){
			.size = size,
			.flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK | FUSE_BUF_FD_RETRY,
			.fd = fd,
			.pos = q->offset,
		};
		fuse_reply_data(q->req, &vec, 0);
		return true;
	}
	n = reader_room(reader, size);
	if (!n && wait)
		n = content_pread(content, reader->buf, size, (uint64_t)q->offset);
	else if (!n && (n = preadv2(fd, &(struct iovec){reader->buf, size}, 1, q->offset,
				    RWF_NOWAIT)) != (ssize_t)size)
		return false;
	if (n < 0)
		mount_reply_code(q->req, (int)n);
	else
		fuse_reply_buf(q->req, (const char *)reader->buf, (size_t)n);
	return true;
}

/* Are the attributes of a file that could not be had there for good?  Else the next try may
 * bring others, and its bytes must not be cut to the size of before. */
static bool attr_stands(struct forest *forest, uint64_t number)
{
	struct forest_attr a;
	bool stands;

	forest_enter(forest);
	stands = !forest_attr(forest, number, &a) && a.settled;
	forest_leave(forest);
	return stands;
}

/* As reply_read(); a read alone may return false. */
static bool answer(struct mount *m, const struct question *q, int r, struct content *content,
		   struct reader *reader, bool wait)
{
	if (q->ask == MOUNT_ASK_ATTR && (!r || attr_stands(m->forest, q->number)))
		mount_reply_attr(m->forest, q->req, q->number);
	else if (r)
		mount_reply_code(q->req, r);
	else if (q->ask == MOUNT_ASK_OPEN)
		mount_opens_reply(m->opens, q->req, q->number, content);
	else
		return reply_read(q, content, reader, wait);
	return true;
}

/* ---- at once, or from the disk ---- */

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

/* Hand a read to the threads that may wait for the disk. */
static void enqueue(struct mount_bytes *b, const struct question *q)
{
	struct queued *queued = malloc(sizeof(*queued));

	if (!queued) {
		fuse_reply_err(q->req, ENOMEM);
		return;
	}
	*queued = (struct queued){.question = *q};
	pthread_mutex_lock(&b->lock);
	*b->queue_end = queued;
	b->queue_end = &queued->next;
	pthread_cond_signal(&b->more);
	pthread_mutex_unlock(&b->lock);
}

/* What passes through, without us, is all of a file. */
static int question_open(struct contents *contents, const struct question *q, struct view *view,
			 uint32_t node, struct content **out, struct content_wait *wait)
{
	if (q->ask == MOUNT_ASK_OPEN)
		return contents_open(contents, view, node, out, wait);
	return contents_open_at(contents, view, node, (uint64_t)q->offset, q->size, out, wait);
}

static void ask(struct mount_bytes *b, const struct question *q, struct reader *reader, bool wait)
{
	struct content *content = NULL;
	struct view *view = NULL;
	uint32_t node;
	int r;

	forest_enter(b->mount->forest);
	r = forest_view(b->mount->forest, q->number, &view, &node);
	forest_leave(b->mount->forest);
	if (!r)
		r = question_open(reader->contents, q, view, node, &content, NULL);
	if (r == -EAGAIN) {
		park(b, q, view);
		return;
	}
	if (!answer(b->mount, q, r, content, reader, wait))
		enqueue(b, q);
	content_unref(content);
	view_unref(view);
}

void mount_bytes_ask(struct mount_bytes *b, fuse_req_t req, uint64_t number, enum mount_ask what,
		     size_t size, off_t offset)
{
	const struct question q = {req, number, what, size, offset};

	ask(b, &q, &b->session, false);
}

static void *disk_main(void *arg)
{
	struct mount_bytes *b = arg;
	struct reader reader = {0};
	int r = contents_new(b->state_dir, BYTES_OPEN, &reader.contents, NULL);

	pthread_mutex_lock(&b->lock);
	for (;;) {
		struct queued *queued = b->queue;

		if (!queued && b->stop)
			break;
		if (!queued) {
			pthread_cond_wait(&b->more, &b->lock);
			continue;
		}
		b->queue = queued->next;
		if (!b->queue)
			b->queue_end = &b->queue;
		pthread_mutex_unlock(&b->lock);
		if (r)
			mount_reply_code(queued->question.req, r);
		else
			ask(b, &queued->question, &reader, true);
		free(queued);
		pthread_mutex_lock(&b->lock);
	}
	pthread_mutex_unlock(&b->lock);
	contents_free(reader.contents);
	free(reader.buf);
	return NULL;
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
	answer(m, &q, r, content, &reader, true);
	content_unref(content);
	free(reader.buf);
}

static void on_content(struct content_wait *wait, int r, struct content *content)
{
	parked_answer(container(wait, struct parked, wait), r, content);
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
	r = question_open(b->contents, &p->question, p->view, (uint32_t)p->question.number,
			  &content, &p->wait);
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
	b->queue_end = &b->queue;
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->more, NULL);
	b->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = b->wake_fd < 0 ? -errno : contents_new(state_dir, BYTES_OPEN, &b->contents, why);
	if (!r)
		r = contents_new(state_dir, BYTES_OPEN, &b->session.contents, why);
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
	contents_free(b->session.contents);
	free(b->session.buf);
	contents_free(b->contents);
	closep(&b->wake_fd);
	pthread_cond_destroy(&b->more);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

int mount_bytes_start(struct mount_bytes *b)
{
	int r = -pthread_create(&b->asker, NULL, asker_main, b);

	b->asking = !r;
	while (!r && b->ndisk < BYTES_THREADS) {
		r = -pthread_create(&b->disk[b->ndisk], NULL, disk_main, b);
		b->ndisk += !r;
	}
	return r;
}

void mount_bytes_stop(struct mount_bytes *b)
{
	pthread_mutex_lock(&b->lock);
	b->stop = true;
	pthread_cond_broadcast(&b->more);
	pthread_mutex_unlock(&b->lock);
	/* These first: what they read may have to be copied after all. */
	while (b->ndisk)
		pthread_join(b->disk[--b->ndisk], NULL);
	wake(b->wake_fd);
	if (b->asking)
		pthread_join(b->asker, NULL);
	b->asking = false;
}
