/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A large file that is read while it is copied: what comes first, what a change, a kill
 * and a full store do to who reads it, and that nobody gets bytes of two states.
 */
#include "tests/unit/copier_unit.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <openssl/sha.h>

#include "common/log.h"
#include "fsd/contents_parts.h"
#include "fsd/copier_parts.h"
#include "fsd/extents.h"
#include "fsd/version.h"
#include "fsd/view.h"
#include "fsd/view_source.h"
#include "tests/gate.h"
#include "tests/model.h"

#define MIB EXTENT_SIZE

/* An image whose only file is behind a gate; who cannot have one skips. */
static void bench_gate(struct bench *b, uint64_t size)
{
	if (gate_new(b->site.origin, size, &b->gate))
		skip();
	bench_add(b, false);
}

static int bench_teardown(void **state)
{
	struct bench *b = *state;

	if (b->gate)
		gate_allow(b->gate, UINT_MAX);
	bench_close(b);
	if (b->gate)
		gate_free(b->gate);
	bench_free(b);
	return 0;
}

static uint32_t node_of(struct bench *b, const char *name)
{
	uint32_t node;

	assert_int_equal(view_resolve(b->view, VIEW_ROOT, name, false, &node), 0);
	return node;
}

static void wait_sealed(struct bench *b)
{
	site_wait(site_is_sealed(&b->site, b->version));
}

/* ---- reading ---- */

struct reader {
	struct content_wait wait;
	struct contents *contents;
	int r;
	bool done;
	struct content *content;
};

static void reader_done(struct content_wait *wait, int r, struct content *content)
{
	struct reader *reader = (struct reader *)wait;

	reader->r = r;
	reader->done = true;
	content_unref(reader->content);
	reader->content = content;
}

static void reader_ask(struct bench *b, struct reader *reader, uint64_t offset, uint64_t len)
{
	struct content *content = NULL;

	reader->wait.done = reader_done;
	reader->contents = reader->contents ? reader->contents : b->contents;
	reader->done = false;
	reader->r = contents_open_at(reader->contents, b->view, node_of(b, "big"), offset, len,
				     &content, &reader->wait);
	if (reader->r != CONTENT_WAIT)
		reader_done(&reader->wait, reader->r, content);
}

static bool reader_turn(struct reader *reader)
{
	struct pollfd p = {.fd = contents_fd(reader->contents), .events = POLLIN};

	if (!reader->done && poll(&p, 1, 2) == 1)
		contents_dispatch(reader->contents);
	return reader->done;
}

static void reader_end(struct reader *reader, int want)
{
	site_wait(reader_turn(reader));
	assert_int_equal(reader->r, want);
}

static void assert_bytes(struct content *c, unsigned int state, uint64_t offset, size_t len)
{
	cleanup(freep) uint8_t *buf = malloc(len);

	assert_true(content_ready(c, offset, len));
	assert_int_equal(content_pread(c, buf, len, offset), len);
	for (size_t i = 0; i < len; i++)
		if (buf[i] != gate_byte(state, offset + i))
			fail_msg("byte %llu is not of state %u", (unsigned long long)(offset + i),
				 state);
}

static void wait_at(struct bench *b, uint64_t extent)
{
	uint64_t at;

	site_wait(gate_waits(b->gate, &at) && at == extent);
}

static bool no_draft(struct bench *b)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/objects/tmp", b->site.state);
	return !rmdir(path) && !mkdir(path, 0700);
}

/* ---- the tests ---- */

static void what_is_asked_comes_first(void **state)
{
	struct bench *b = *state;
	struct reader near = {0};
	struct reader far = {0};
	struct content *same = NULL;

	bench_gate(b, 8 * MIB + 5);
	bench_copier(b);
	wait_at(b, 0); /* the fill has begun with it */
	reader_ask(b, &far, 5 * MIB + 100, 1000);
	reader_turn(&far);
	gate_allow(b->gate, 1);
	wait_at(b, 5);
	assert_false(far.done);
	gate_allow(b->gate, 1);
	reader_end(&far, 0);
	assert_int_equal(gate_passed(b->gate), 2);
	assert_int_equal(content_size(far.content), 8 * MIB + 5);
	assert_bytes(far.content, 0, 5 * MIB, MIB);
	assert_bytes(far.content, 0, 0, MIB);
	assert_false(content_ready(far.content, MIB, 1));
	assert_false(content_ready(far.content, 4 * MIB + 1, MIB));
	/* what is there needs no copier */
	assert_int_equal(
		contents_open_at(b->contents, b->view, node_of(b, "big"), 100, 1000, &same, NULL),
		0);
	assert_ptr_equal(same, far.content);
	content_unref(same);
	/* behind the end there is nothing to wait for */
	reader_ask(b, &near, 9 * MIB, 10);
	reader_end(&near, 0);
	reader_ask(b, &near, UINT64_MAX - 5, UINT64_MAX - 1);
	reader_end(&near, 0);
	/* the short last one, and one over two */
	reader_ask(b, &near, 8 * MIB, MIB);
	reader_ask(b, &far, 3 * MIB - 1, 2);
	gate_allow(b->gate, UINT_MAX);
	reader_end(&near, 0);
	reader_end(&far, 0);
	assert_bytes(near.content, 0, 8 * MIB, 5);
	assert_bytes(far.content, 0, 3 * MIB - 1, 2);
	wait_sealed(b);
	assert_int_equal(gate_passed(b->gate), 9); /* each once */
	/* readers go on with what they have */
	reader_ask(b, &near, 0, UINT64_MAX);
	reader_end(&near, 0);
	assert_bytes(near.content, 0, 0, 8 * MIB + 5);
	assert_bytes(far.content, 0, 0, 8 * MIB + 5);
	assert_true(no_draft(b));
	content_unref(near.content);
	content_unref(far.content);
}

/* As many large files as are kept, and each goes on with another copier. */
static void another_flight_takes_the_place_of_the_first(void **state)
{
	enum { FILES = 32 };
	struct bench *b = *state;
	cleanup(version_unrefp) struct version *v = NULL;
	struct extents *extents;
	struct partial *p;

	bench_add(b, false);
	assert_int_equal(version_open(b->site.state, b->version, &v, NULL), 0);
	assert_int_equal(extents_new(5 * MIB, &extents), 0);
	for (uint64_t flight = 1; flight <= 2; flight++) {
		for (uint32_t pos = 0; pos < FILES; pos++) {
			const struct copier_reply reply = {.flight = flight << 32 | (pos + 1),
							   .stamp = 1,
							   .record = {.pos = pos, .size = 5 * MIB}};
			int fds[2] = {memfd_create("bytes", MFD_CLOEXEC), dup(extents_fd(extents))};

			assert_int_equal(ftruncate(fds[0], 5 * MIB), 0);
			assert_int_equal(partial_take(b->contents, v, &reply, fds), 0);
			p = partial_get(b->contents, v, pos);
			assert_non_null(p);
			assert_int_equal(p->flight, reply.flight);
			assert_int_equal(p->content->refs, 1);
		}
	}
	extents_free(extents);
}

static void readers_share_a_flight(void **state)
{
	struct bench *b = *state;
	struct reader readers[3] = {0};
	struct contents *second;

	bench_gate(b, 6 * MIB);
	assert_int_equal(contents_new(b->site.state, 16, &second, NULL), 0);
	readers[2].contents = second;
	bench_copier(b);
	for (int i = 0; i < 3; i++)
		reader_ask(b, &readers[i], 4 * MIB, 10);
	contents_cancel(b->contents, &readers[1].wait);
	gate_allow(b->gate, UINT_MAX);
	reader_end(&readers[0], 0);
	reader_end(&readers[2], 0);
	assert_false(readers[1].done);
	assert_bytes(readers[2].content, 0, 4 * MIB, 10);
	wait_sealed(b);
	assert_int_equal(gate_passed(b->gate), 6);
	content_unref(readers[0].content);
	content_unref(readers[2].content);
	contents_free(second);
}

static void a_change_that_nobody_saw_starts_anew(void **state)
{
	struct bench *b = *state;
	struct reader reader = {0};
	struct view_attr a;

	bench_gate(b, 8 * MIB);
	bench_copier(b);
	wait_at(b, 0);
	gate_allow(b->gate, 2);
	wait_at(b, 2);
	gate_change(b->gate, 7 * MIB + 1);
	reader_ask(b, &reader, 6 * MIB, 2 * MIB);
	gate_allow(b->gate, UINT_MAX);
	reader_end(&reader, 0);
	assert_int_equal(content_size(reader.content), 7 * MIB + 1);
	assert_bytes(reader.content, 1, 6 * MIB, MIB + 1);
	assert_int_equal(view_attr(b->view, node_of(b, "big"), &a), 0);
	assert_int_equal(a.size, 7 * MIB + 1); /* known before the hash is */
	wait_sealed(b);
	assert_bytes(reader.content, 1, 0, 7 * MIB + 1);
	content_unref(reader.content);
}

/* Somebody has the first MiB; then `change` happens to the origin. */
static void broken(struct bench *b, uint64_t size, uint64_t size_then)
{
	struct reader reader = {0};
	struct reader other = {0};
	struct contents *second;
	struct content *newer = NULL;

	bench_gate(b, size);
	bench_copier(b);
	wait_at(b, 0);
	reader_ask(b, &reader, 0, 10);
	gate_allow(b->gate, 1);
	reader_end(&reader, 0);
	assert_bytes(reader.content, 0, 0, MIB);
	other.content = content_ref(reader.content);
	wait_at(b, 1);
	gate_change(b->gate, size_then);
	reader_ask(b, &reader, 3 * MIB, 10);
	gate_allow(b->gate, UINT_MAX);
	reader_end(&reader, -EIO);
	/* nothing of the other state for who read on, whatever way he comes */
	reader_ask(b, &reader, 0, 10);
	reader_end(&reader, -EIO);
	assert_int_equal(contents_more(b->contents, other.content, MIB, 1, &newer, NULL), -EIO);
	assert_int_equal(contents_new(b->site.state, 16, &second, NULL), 0);
	reader.contents = second;
	reader_ask(b, &reader, 3 * MIB, 10);
	reader_end(&reader, -EIO);
	/* later it is what it is now, and whole */
	wait_sealed(b);
	reader_ask(b, &reader, 0, 10);
	reader_end(&reader, 0);
	assert_int_equal(content_size(reader.content), size_then);
	assert_bytes(reader.content, 1, 0, size_then);
	/* but not for who has the old one open */
	assert_int_equal(contents_more(b->contents, other.content, MIB, 1, &newer, NULL), -EIO);
	content_unref(other.content);
	content_unref(reader.content);
	contents_free(second);
}

static void a_change_that_somebody_saw_is_an_error(void **state)
{
	broken(*state, 8 * MIB, 8 * MIB);
}

static void so_is_a_truncation(void **state)
{
	broken(*state, 8 * MIB, 2 * MIB);
}

static void a_name_less_is_no_change(void **state)
{
	struct bench *b = *state;
	struct reader reader = {0};

	bench_gate(b, 6 * MIB);
	bench_copier(b);
	wait_at(b, 0);
	reader_ask(b, &reader, 0, 10);
	gate_allow(b->gate, 1);
	reader_end(&reader, 0);
	wait_at(b, 1);
	gate_unlink(b->gate);
	gate_allow(b->gate, UINT_MAX);
	reader_ask(b, &reader, 0, UINT64_MAX);
	reader_end(&reader, 0);
	assert_bytes(reader.content, 0, 0, 6 * MIB);
	content_unref(reader.content);
}

/* A copier in a process of its own, to be killed. */
static pid_t spawn_copier(struct bench *b)
{
	pid_t pid = fork();

	if (!pid) {
		struct copier_config config = {
			.state_dir = b->site.state, .sealed = site_sealed, .ctx = &b->site};

		prctl(PR_SET_PDEATHSIG, SIGKILL); /* of a test that fails */
		while (copier_listen(b->site.state, &config.listen_fd, &config.lock_fd, NULL))
			usleep(1000);
		_exit(copier_child(&config));
	}
	return pid;
}

static void killed(struct bench *b, bool change)
{
	struct reader reader = {0};
	pid_t pid;

	bench_gate(b, 6 * MIB);
	pid = spawn_copier(b);
	wait_at(b, 0);
	reader_ask(b, &reader, 0, 10);
	gate_allow(b->gate, 1);
	reader_end(&reader, 0);
	wait_at(b, 1);
	reader_ask(b, &reader, 4 * MIB, 10);
	assert_false(reader.done);
	kill(pid, SIGKILL);
	gate_allow(b->gate, 1); /* its read must end, that it can */
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	if (change)
		gate_change(b->gate, 6 * MIB);
	pid = spawn_copier(b);
	gate_allow(b->gate, UINT_MAX);
	reader_end(&reader, change ? -EIO : 0);
	if (!change)
		assert_bytes(reader.content, 0, 4 * MIB, 10);
	wait_sealed(b);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	assert_true(no_draft(b)); /* that of the killed one is not left */
	content_unref(reader.content);
}

__attribute__((unused)) static void a_restarted_copier_goes_on(void **state)
{
	killed(*state, false);
}

__attribute__((unused)) static void a_restarted_copier_does_not_mix(void **state)
{
	killed(*state, true);
}

/* ---- a child that means ill ---- */

static int raw_client(struct bench *b)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/" COPIER_SOCKET,
			     b->site.state) < (int)sizeof(addr.sun_path));
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* The reply's status and its descriptors. */
static int raw_ask(int socket, const struct copier_ask *ask, struct copier_reply *reply, int fds[2])
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control;
	struct iovec iov = {reply, sizeof(*reply)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *c;

	fds[0] = fds[1] = -1;
	assert_int_equal(send(socket, ask, sizeof(*ask), MSG_NOSIGNAL), sizeof(*ask));
	assert_int_equal(recvmsg(socket, &msg, MSG_CMSG_CLOEXEC), sizeof(*reply));
	c = CMSG_FIRSTHDR(&msg);
	if (c)
		memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
	assert_int_equal(reply->id, ask->id);
	return reply->status;
}

static void a_hostile_child_harms_nobody(void **state)
{
	struct bench *b = *state;
	struct copier_ask ask = {.magic = COPIER_MAGIC, .pos = 1, .id = 7};
	struct reader reader = {0};
	struct copier_reply reply;
	struct extents *e;
	int fds[2];
	int fd;

	bench_gate(b, 6 * MIB);
	ask.version = b->version;
	bench_copier(b);
	wait_at(b, 0);
	gate_allow(b->gate, 1);
	fd = raw_client(b);
	ask.offset = UINT64_MAX;
	ask.len = UINT64_MAX - 1;
	assert_int_equal(raw_ask(fd, &ask, &reply, fds), 0);
	assert_true(fds[0] >= 0 && fds[1] >= 0);
	/* what it got can be read, and that is all */
	assert_int_equal(extents_attach(fds[1], 6 * MIB, &e), 0);
	assert_int_equal(extents_attach(fds[1], 600 * MIB, &e), -EBADMSG);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fds[1], 0),
			 MAP_FAILED);
	assert_int_equal(ftruncate(fds[1], 0), -1);
	assert_int_equal(write(fds[1], "x", 1), -1);
	assert_int_equal(write(fds[0], "x", 1), -1);
	closep(&fds[1]);
	closep(&fds[0]);
	extents_free(e);
	/* of a flight that it says it has */
	ask.flight = reply.flight;
	ask.offset = ask.len = 0;
	assert_int_equal(raw_ask(fd, &ask, &reply, fds), 0);
	assert_int_equal(fds[0], -1);
	/* of another state */
	ask.stamp = reply.stamp + 1;
	assert_int_equal(raw_ask(fd, &ask, &reply, fds), -ESTALE);
	ask.stamp = 0;
	ask.pos = 0;
	assert_int_equal(raw_ask(fd, &ask, &reply, fds), -EINVAL);
	ask.pos = UINT32_MAX;
	assert_int_equal(raw_ask(fd, &ask, &reply, fds), -EINVAL);
	/* questions, and gone; nonsense, and cut off */
	ask.pos = 1;
	ask.len = 1;
	for (ask.offset = MIB; ask.offset < 6 * MIB; ask.offset += MIB)
		assert_int_equal(send(fd, &ask, sizeof(ask), 0), sizeof(ask));
	close(fd);
	fd = raw_client(b);
	assert_int_equal(send(fd, &ask, 8, 0), 8);
	assert_int_equal(recv(fd, &reply, sizeof(reply), 0), 0);
	close(fd);
	/* the others are served */
	gate_allow(b->gate, UINT_MAX);
	reader_ask(b, &reader, 0, UINT64_MAX);
	reader_end(&reader, 0);
	assert_bytes(reader.content, 0, 0, 6 * MIB);
	content_unref(reader.content);
	wait_sealed(b);
}

/* ---- files of this machine ---- */

static void holes_stay_holes(void **state)
{
	struct bench *b = *state;
	const uint64_t size = 4200 * MIB + 3;
	cleanup(content_unrefp) struct content *c = NULL;
	cleanup(freep) char *zeros = calloc(1, 6 * MIB);
	char path[PATH_MAX];
	char have[4] = "";
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/big", b->site.origin);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(pwrite(fd, "abc", 3, (off_t)size - 3), 3);
	assert_int_equal(pwrite(fd, zeros, 6 * MIB, 8 * MIB), 6 * MIB); /* written, all zero */
	close(fd);
	bench_add(b, false);
	bench_copier(b);
	assert_int_equal(
		contents_open_at_wait(b->contents, b->view, node_of(b, "big"), size - 3, 3, &c), 0);
	assert_int_equal(content_size(c), size);
	assert_int_equal(contents_read(b->contents, &c, have, 4, size - 3), 3);
	assert_string_equal(have, "abc");
	site_wait(site_is_sealed(&b->site, b->version));
	assert_int_equal(fstat(content_fd(c), &st), 0);
	assert_int_equal(st.st_size, size);
	assert_true(st.st_blocks <= 16);
	assert_int_equal(st.st_nlink, 1); /* it is the object */
}

struct scribbler {
	char path[PATH_MAX];
	atomic_bool stop;
};

enum { SCRIBBLED = 9 << 20 };

/* One letter all over, another a moment later. */
static void *scribble(void *arg)
{
	struct scribbler *s = arg;
	char *body = malloc(SCRIBBLED);
	int fd = open(s->path, O_WRONLY);

	for (int i = 0; !s->stop; i++) {
		memset(body, 'a' + i % 26, SCRIBBLED);
		if (pwrite(fd, body, SCRIBBLED, 0) != SCRIBBLED)
			break;
		usleep(i % 3 ? 100 : 50000);
	}
	close(fd);
	free(body);
	return NULL;
}

/* Read in pieces, as doors do: one letter, or an error. */
static void read_scribbled(struct bench *b, const char *name, char *buf)
{
	cleanup(content_unrefp) struct content *c = NULL;
	int r = contents_open_at_wait(b->contents, b->view, node_of(b, name), 0, 1, &c);
	uint64_t at = 0;

	while (!r && at < SCRIBBLED) {
		ssize_t n = contents_read(b->contents, &c, buf + at, 300000, at);

		r = n < 0 ? (int)n : 0;
		at += n > 0 ? (uint64_t)n : 0;
	}
	assert_true(!r || r == -EIO);
	for (uint64_t i = 1; !r && i < SCRIBBLED; i++)
		if (buf[i] != buf[0])
			fail_msg("mixed at %llu: %c and %c", (unsigned long long)i, buf[0], buf[i]);
}

static void bytes_of_two_states_are_never_mixed(void **state)
{
	struct bench *b = *state;
	struct scribbler s = {.stop = false};
	cleanup(freep) char *buf = malloc(SCRIBBLED + 300000);
	pthread_t thread;
	char name[16];

	memset(buf, 'z', SCRIBBLED);
	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		site_write(b->site.origin, name, buf, SCRIBBLED);
	}
	bench_add(b, false);
	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		snprintf(s.path, sizeof(s.path), "%s/%s", b->site.origin, name);
		s.stop = false;
		assert_int_equal(pthread_create(&thread, NULL, scribble, &s), 0);
		usleep(1000);
		if (!i)
			bench_copier(b);
		for (int k = 0; k < 3; k++)
			read_scribbled(b, name, buf);
		s.stop = true;
		pthread_join(thread, NULL);
	}
}

/* In a mount namespace of its own; whoever may not make one skips. */
static int full_store(struct bench *b)
{
	cleanup(content_unrefp) struct content *c = NULL;
	cleanup(freep) uint8_t *buf = malloc(MIB);
	char path[PATH_MAX];
	struct hash hash;
	uint32_t node = node_of(b, "big");
	int r;

	snprintf(path, sizeof(path), "%s/objects", b->site.state);
	if (unshare(CLONE_NEWNS) || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", path, "tmpfs", 0, "size=3M,mode=750"))
		return 77;
	contents_free(b->contents); /* it has the other directory open */
	assert_int_equal(contents_new(b->site.state, 16, &b->contents, NULL), 0);
	bench_copier(b);
	r = contents_open_at_wait(b->contents, b->view, node, 0, 1, &c);
	for (uint64_t at = 0; !r && at < content_size(c); at += 400000) {
		ssize_t n = contents_read(b->contents, &c, buf, 400000, at);

		r = n < 0 ? (int)n : 0;
		for (ssize_t i = 0; i < n && !r; i++)
			r = buf[i] != gate_byte(0, at + (uint64_t)i);
	}
	if (!r)
		r = view_body_hash(b->contents, b->view, node, &hash);
	return r || site_is_sealed(&b->site, b->version);
}

static void a_full_store_still_answers(void **state)
{
	struct bench *b = *state;
	cleanup(freep) uint8_t *body = malloc(12 * MIB);
	pid_t pid;
	int status;

	for (uint64_t i = 0; i < 12 * MIB; i++)
		body[i] = gate_byte(0, i);
	site_write(b->site.origin, "big", body, 12 * MIB);
	bench_add(b, false);
	pid = fork();
	if (!pid)
		_exit(full_store(b));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip(); /* may not mount */
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* The same; what was read is let go, the file changes, and another reads on. */
static int full_store_seen(struct bench *b, const uint8_t *other, size_t size)
{
	cleanup(freep) uint8_t *buf = malloc(MIB);
	uint32_t node = node_of(b, "big");
	struct content *c = NULL;
	char path[PATH_MAX];
	int64_t end;
	int r;

	snprintf(path, sizeof(path), "%s/objects", b->site.state);
	if (unshare(CLONE_NEWNS) || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", path, "tmpfs", 0, "size=3M,mode=750"))
		return 77;
	contents_free(b->contents);
	assert_int_equal(contents_new(b->site.state, 16, &b->contents, NULL), 0);
	bench_copier(b);
	if (contents_open_at_wait(b->contents, b->view, node, 0, 1, &c) ||
	    contents_read(b->contents, &c, buf, MIB, 0) != (ssize_t)MIB ||
	    buf[MIB - 1] != gate_byte(0, MIB - 1))
		return 1;
	content_unref(c);
	contents_free(b->contents);
	usleep(100000); /* the copier has nothing of it in hand any more */
	site_write(b->site.origin, "big", other, size);
	assert_int_equal(contents_new(b->site.state, 16, &b->contents, NULL), 0);
	r = contents_open_at_wait(b->contents, b->view, node, 2 * MIB, MIB, &c);
	if (r != -EIO)
		return 2;
	/* In some seconds nobody remembers, and it is taken as it is. */
	end = instant_add_ms(instant_now(), 60000).ns;
	while ((r = contents_open_at_wait(b->contents, b->view, node, 2 * MIB, MIB, &c)) &&
	       instant_now().ns < end)
		usleep(200000);
	if (r || contents_read(b->contents, &c, buf, MIB, 2 * MIB) != (ssize_t)MIB)
		return 3;
	return buf[0] != gate_byte(1, 2 * MIB);
}

static void what_was_seen_outlives_its_flight(void **state)
{
	struct bench *b = *state;
	cleanup(freep) uint8_t *body = malloc(12 * MIB);
	pid_t pid;
	int status;

	for (uint64_t i = 0; i < 12 * MIB; i++)
		body[i] = gate_byte(0, i);
	site_write(b->site.origin, "big", body, 12 * MIB);
	bench_add(b, false);
	for (uint64_t i = 0; i < 12 * MIB; i++)
		body[i] = gate_byte(1, i);
	pid = fork();
	if (!pid)
		_exit(full_store_seen(b, body, 12 * MIB));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip(); /* may not mount */
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- many at once ---- */

enum { MANY = 400 };

static int many_connect(struct bench *b)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/" COPIER_SOCKET,
			     b->site.state) < (int)sizeof(addr.sun_path));
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* An answer, whose descriptors are let go at once.  Returns its status. */
static int many_answer(int fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control;
	struct copier_reply reply;
	struct iovec iov = {&reply, sizeof(reply)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *c;

	assert_int_equal(recvmsg(fd, &msg, MSG_CMSG_CLOEXEC), sizeof(reply));
	c = CMSG_FIRSTHDR(&msg);
	for (unsigned int i = 0; c && CMSG_LEN((i + 1) * sizeof(int)) <= c->cmsg_len; i++) {
		int got;

		memcpy(&got, CMSG_DATA(c) + i * sizeof(int), sizeof(got));
		close(got);
	}
	return reply.status;
}

static unsigned int open_files(void)
{
	cleanup(closedirp) DIR *stream = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(stream))
		n++;
	return n;
}

/* Large and small ones: each that is in hand costs descriptors, and they are not. */
static void many_at_once_wait_for_each_other(void **state)
{
	struct bench *b = *state;
	const struct manifest *m;
	cleanup(version_unrefp) struct version *v = NULL;
	struct rlimit before;
	struct rlimit many;
	unsigned int asked = 0;
	unsigned int idle;
	unsigned int most = 0;
	int fd;

	for (unsigned int i = 0; i < MANY; i++) {
		char path[PATH_MAX];
		char name[16];

		snprintf(name, sizeof(name), "f%u", i);
		site_write(b->site.origin, name, name, strlen(name));
		snprintf(path, sizeof(path), "%s/%s", b->site.origin, name);
		if (i % 4)
			assert_int_equal(truncate(path, (off_t)(6 * MIB)), 0);
	}
	bench_add(b, false);
	getrlimit(RLIMIT_NOFILE, &before);
	many = (struct rlimit){before.rlim_max, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &many), 0);
	bench_copier(b);
	idle = open_files();
	fd = many_connect(b);
	assert_int_equal(version_open(b->site.state, b->version, &v, NULL), 0);
	m = version_manifest(v);
	for (uint32_t pos = 0; pos < manifest_count(m); pos++) {
		const struct copier_ask ask = {.magic = COPIER_MAGIC,
					       .version = b->version,
					       .pos = pos,
					       .id = pos,
					       .len = COPIER_WHOLE};

		if (!S_ISREG(manifest_at(m, pos)->mode))
			continue;
		assert_int_equal(send(fd, &ask, sizeof(ask), 0), sizeof(ask));
		asked++;
	}
	assert_int_equal(asked, MANY);
	while (asked--) {
		unsigned int now = open_files();

		most = now > most ? now : most;
		assert_int_equal(many_answer(fd), 0);
	}
	close(fd);
	if (most > idle + 4 * COPIER_FLIGHTS + COPIER_OPEN + 32)
		fail_msg("%u files open at once", most);
	wait_sealed(b);
	setrlimit(RLIMIT_NOFILE, &before);
}

static void the_map_is_as_it_says(void **state)
{
	struct extents *mine;
	struct extents *theirs;
	struct hash hash = {{1, 2, 3}};
	uint64_t missing;

	(void)state;
	assert_int_equal(extents_new(EXTENTS_MOST + 1, &mine), -EFBIG);
	assert_int_equal(extents_new(200 * MIB + 1, &mine), 0);
	assert_int_equal(extents_count(mine), 201);
	assert_int_equal(extents_attach(extents_fd(mine), 200 * MIB + 1, &theirs), 0);
	assert_false(extents_have(theirs, 0, 1, &missing));
	for (uint64_t i = 0; i < 201; i++)
		if (i != 63 && i != 130)
			extents_set(mine, i);
	assert_true(extents_have(theirs, 0, 63 * MIB, &missing));
	assert_false(extents_have(theirs, 0, 63 * MIB + 1, &missing));
	assert_int_equal(missing, 63);
	assert_true(extents_have(theirs, 64 * MIB, 66 * MIB, &missing));
	assert_false(extents_have(theirs, 64 * MIB, UINT64_MAX, &missing));
	assert_int_equal(missing, 130);
	assert_true(extents_have(theirs, 131 * MIB, UINT64_MAX, &missing));
	assert_int_equal(extents_state(theirs), EXTENTS_FILLING);
	extents_complete(mine, &hash);
	assert_int_equal(extents_state(theirs), EXTENTS_COMPLETE);
	assert_memory_equal(extents_hash(theirs), &hash, sizeof(hash));
	extents_free(mine);
	extents_free(theirs);
}

#define BENCH(fn) cmocka_unit_test_setup_teardown(fn, bench_setup, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_map_is_as_it_says),
		BENCH(what_is_asked_comes_first),
		BENCH(another_flight_takes_the_place_of_the_first),
		BENCH(readers_share_a_flight),
		BENCH(a_change_that_nobody_saw_starts_anew),
		BENCH(a_change_that_somebody_saw_is_an_error),
		BENCH(so_is_a_truncation),
		BENCH(a_name_less_is_no_change),
#ifndef __SANITIZE_THREAD__ /* it lets no child of a process with threads start threads */
		BENCH(a_restarted_copier_goes_on),
		BENCH(a_restarted_copier_does_not_mix),
#endif
		BENCH(a_hostile_child_harms_nobody),
		BENCH(holes_stay_holes),
		BENCH(bytes_of_two_states_are_never_mixed),
		BENCH(a_full_store_still_answers),
		BENCH(what_was_seen_outlives_its_flight),
		BENCH(many_at_once_wait_for_each_other),
	};

	cmocka_set_test_filter(getenv("ONLY"));
	log_init("test", getenv("VERBOSE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
