/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The copier asked by hand, over its socket: by who means ill, by many at once, and while an
 * origin hangs.
 */
#include "tests/unit/extents_unit.h"

#include <sys/mman.h>
#include <sys/resource.h>

static int raw_client(struct bench *b)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/" COPIER_SOCKET,
			     b->site.state) < (int)sizeof(addr.sun_path));
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* A reply, and its descriptors or -1. */
static void raw_answer(int socket, struct copier_reply *reply, int fds[2])
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
	assert_int_equal(recvmsg(socket, &msg, MSG_CMSG_CLOEXEC), sizeof(*reply));
	c = CMSG_FIRSTHDR(&msg);
	if (c)
		memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
}

static int raw_ask(int socket, const struct copier_ask *ask, struct copier_reply *reply, int fds[2])
{
	assert_int_equal(send(socket, ask, sizeof(*ask), MSG_NOSIGNAL), sizeof(*ask));
	raw_answer(socket, reply, fds);
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

enum { MANY = 400 };

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
	fd = raw_client(b);
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
		struct copier_reply reply;
		int fds[2];

		most = now > most ? now : most;
		raw_answer(fd, &reply, fds);
		assert_int_equal(reply.status, 0);
		closep(&fds[0]);
		closep(&fds[1]);
	}
	close(fd);
	if (most > idle + 4 * COPIER_FLIGHTS + COPIER_OPEN + 32)
		fail_msg("%u files open at once", most);
	wait_sealed(b);
	setrlimit(RLIMIT_NOFILE, &before);
}

/* An image of the file `name`; where `site.origin` is not, for once. */
static uint32_t add_from(struct bench *b, const char *dir, const char *name)
{
	const struct image_add add = {.name = name, .source = dir};
	uint32_t version;
	uint32_t number;

	assert_int_equal(image_add(b->site.db, b->site.state, &add, &version, &number, NULL), 0);
	return version;
}

static bool has_answer(int socket, int ms)
{
	return poll(&(struct pollfd){.fd = socket, .events = POLLIN}, 1, ms) == 1;
}

/* Two files at a directory that is fine, and one where whoever looks for it hangs. */
static void an_origin_that_hangs_holds_nobody_else_up(void **state)
{
	struct bench *b = *state;
	struct copier_ask ask = {.magic = COPIER_MAGIC, .pos = 1, .id = 1, .len = COPIER_WHOLE};
	struct copier_ask stuck = ask;
	struct copier_reply reply;
	char path[200];
	int fds[2];
	int fd;

	bench_gate(b, 6 * MIB);
	stuck.version = b->version;
	snprintf(path, sizeof(path), "%s/../good", b->site.state);
	assert_int_equal(mkdir(path, 0755), 0);
	site_write(path, "f", "f", 1);
	ask.version = add_from(b, path, "good");
	gate_hold(b->gate, true);
	bench_copier(b);
	fd = raw_client(b);
	unit_wait(gate_held(b->gate) == 1);
	assert_int_equal(send(fd, &stuck, sizeof(stuck), 0), sizeof(stuck));
	for (ask.id = 2; ask.id < 20; ask.id++) {
		assert_int_equal(send(fd, &ask, sizeof(ask), 0), sizeof(ask));
		if (!has_answer(fd, UNIT_PATIENCE_MS))
			fail_msg("nobody is answered while an origin hangs");
		raw_answer(fd, &reply, fds);
		assert_int_equal(reply.id, ask.id);
		assert_int_equal(reply.status, 0);
		closep(&fds[0]);
	}
	unit_wait(site_is_sealed(&b->site, ask.version));
	assert_int_equal(gate_held(b->gate), 1); /* no other look was begun */
	gate_allow(b->gate, UINT_MAX);
	gate_hold(b->gate, false);
	raw_answer(fd, &reply, fds);
	assert_int_equal(reply.id, stuck.id);
	assert_int_equal(reply.status, 0);
	closep(&fds[0]);
	close(fd);
	wait_sealed(b);
}

/* One that was there, and hangs when it is read: with as many files as there are threads. */
static void origins_that_begin_to_hang_hold_nobody_else_up(void **state)
{
	struct bench *b = *state;
	struct copier_ask ask = {.magic = COPIER_MAGIC, .pos = 1, .id = 1, .len = COPIER_WHOLE};
	struct copier_reply reply;
	uint32_t images[COPIER_THREADS + 1];
	char path[200];
	char name[8];
	int fds[2];
	int fd;

	bench_gate(b, 6 * MIB);
	for (unsigned int i = 0; i < ARRAY_SIZE(images); i++) {
		snprintf(name, sizeof(name), "hang%u", i);
		images[i] = add_from(b, b->site.origin, name);
	}
	snprintf(path, sizeof(path), "%s/../good", b->site.state);
	assert_int_equal(mkdir(path, 0755), 0);
	bench_copier(b);
	unit_wait(gate_waiting(b->gate) >= COPIER_THREADS);
	fd = raw_client(b);
	for (unsigned int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		site_write(path, name, name, 2);
		snprintf(name, sizeof(name), "good%u", i);
		ask.version = add_from(b, path, name);
		assert_int_equal(send(fd, &ask, sizeof(ask), 0), sizeof(ask));
		if (!has_answer(fd, UNIT_PATIENCE_MS))
			fail_msg("nobody is answered while origins hang");
		raw_answer(fd, &reply, fds);
		assert_int_equal(reply.status, 0);
		closep(&fds[0]);
	}
	/* Each is copied all the same when it goes on. */
	gate_allow(b->gate, UINT_MAX);
	wait_sealed(b);
	for (unsigned int i = 0; i < ARRAY_SIZE(images); i++)
		unit_wait(site_is_sealed(&b->site, images[i]));
	close(fd);
}

/* Nobody waits for it for ever, and who comes when it goes on gets the file. */
static void who_waits_for_one_that_hangs_is_told(void **state)
{
	struct bench *b = *state;
	struct copier_ask ask = {.magic = COPIER_MAGIC, .pos = 1, .id = 1, .len = COPIER_WHOLE};
	struct copier_reply reply;
	int fds[2];
	int fd;

	bench_gate(b, 6 * MIB);
	ask.version = b->version;
	b->site.patience_ms = 300;
	bench_copier(b);
	unit_wait(gate_waiting(b->gate) == 1);
	fd = raw_client(b);
	for (; ask.id < 3; ask.id++) {
		assert_int_equal(send(fd, &ask, sizeof(ask), 0), sizeof(ask));
		if (!has_answer(fd, UNIT_PATIENCE_MS))
			fail_msg("who waits for an origin that hangs is told nothing");
		raw_answer(fd, &reply, fds);
		assert_int_equal(reply.id, ask.id);
		assert_int_equal(reply.status, -EIO);
	}
	gate_allow(b->gate, UINT_MAX);
	unit_wait(!raw_ask(fd, &ask, &reply, fds)); /* in pieces that are slow, maybe */
	closep(&fds[0]);
	close(fd);
	wait_sealed(b);
}

/* A large file takes long, which is no reason to give it up. */
static void who_waits_for_a_slow_one_gets_it(void **state)
{
	struct bench *b = *state;
	struct copier_ask ask = {.magic = COPIER_MAGIC, .pos = 1, .id = 1, .len = COPIER_WHOLE};
	struct copier_reply reply;
	int fds[2];
	int fd;

	bench_gate(b, 6 * MIB);
	ask.version = b->version;
	b->site.patience_ms = 4000;
	bench_copier(b);
	fd = raw_client(b);
	assert_int_equal(send(fd, &ask, sizeof(ask), 0), sizeof(ask));
	for (uint64_t extent = 0; extent < 6; extent++) {
		wait_at(b, extent);
		usleep(1000000);
		gate_allow(b->gate, 1);
	}
	raw_answer(fd, &reply, fds);
	assert_int_equal(reply.status, 0);
	closep(&fds[0]);
	close(fd);
}

/* What is lost is copied again from an origin that hangs: others go on to put files into the
 * store, and who asked for it is told. */
static void a_mend_that_hangs_holds_nobody_else_up(void **state)
{
	struct bench *b = *state;
	struct copier_ask ask = {.magic = COPIER_MAGIC, .pos = 1, .id = 1, .len = COPIER_WHOLE};
	cleanup(version_unrefp) struct version *v = NULL;
	struct copier_reply reply;
	struct fill_record record;
	uint32_t good;
	char path[200];
	int fds[2];
	int fd;

	bench_gate(b, 6 * MIB);
	gate_allow(b->gate, UINT_MAX);
	b->site.patience_ms = 300;
	bench_copier(b);
	wait_sealed(b);
	ask.version = b->version;
	assert_int_equal(version_open(b->site.state, b->version, &v, NULL), 0);
	assert_true(version_known(v, ask.pos, &record));
	assert_int_equal(objects_drop(b->site.objects, &record.hash), 0);
	gate_hold(b->gate, true);
	fd = raw_client(b);
	assert_int_equal(raw_ask(fd, &ask, &reply, fds), -EIO);
	assert_int_equal(gate_held(b->gate), 1);
	snprintf(path, sizeof(path), "%s/../good", b->site.state);
	assert_int_equal(mkdir(path, 0755), 0);
	site_write(path, "f", "f", 1);
	good = add_from(b, path, "good");
	unit_wait(site_is_sealed(&b->site, good));
	gate_hold(b->gate, false);
	unit_wait(objects_has(b->site.objects, &record.hash));
	unit_wait(!raw_ask(fd, &ask, &reply, fds));
	closep(&fds[0]);
	close(fd);
}

/* Copies that are not durable yet are only so many; who waits for their disk is no concern of
 * an origin's. */
static void who_waits_for_a_slow_disk_gets_it(void **state)
{
	struct bench *b = *state;
	struct copier_ask ask = {.magic = COPIER_MAGIC, .len = COPIER_WHOLE};
	struct copier_reply reply;
	int fds[2];
	int fd;

	for (unsigned int i = 0; i < MANY; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%u", i);
		site_write(b->site.origin, name, name, strlen(name));
	}
	bench_add(b, false);
	ask.version = b->version;
	b->site.patience_ms = 300;
	assert_int_equal(objects_try_alone(b->site.objects), 0);
	bench_copier(b);
	fd = raw_client(b);
	for (ask.pos = 1; ask.pos <= MANY; ask.pos++)
		assert_int_equal(send(fd, &ask, sizeof(ask), 0), sizeof(ask));
	for (unsigned int i = 0; i < MANY; i++) {
		if (!has_answer(fd, 1500))
			objects_release(b->site.objects);
		raw_answer(fd, &reply, fds);
		assert_int_equal(reply.status, 0);
		closep(&fds[0]);
	}
	objects_release(b->site.objects);
	close(fd);
	wait_sealed(b);
}

static void who_ends_does_not_wait_for_one_that_hangs(void **state)
{
	struct bench *b = *state;

	bench_gate(b, 6 * MIB);
	gate_hold(b->gate, true);
	bench_copier(b);
	unit_wait(gate_held(b->gate) == 1);
	bench_stop(b);
	assert_int_equal(gate_held(b->gate), 1);
	gate_hold(b->gate, false);
}

/* Nobody waits half a second for the first file of a version. */
static void the_first_ask_waits_for_the_look_alone(void **state)
{
	struct bench *b = *state;
	struct instant began;

	site_write(b->site.origin, "f", "f", 1);
	bench_copier(b);
	for (int i = 0; i < 30; i++) {
		char name[8];

		snprintf(name, sizeof(name), "v%d", i);
		{
			const uint32_t version = add_from(b, b->site.origin, name);
			const struct copier_ask ask = {.magic = COPIER_MAGIC,
						       .version = version,
						       .pos = 1,
						       .id = 1,
						       .len = COPIER_WHOLE};
			struct copier_reply reply;
			int fds[2];
			int fd = raw_client(b);

			began = instant_now();
			assert_int_equal(raw_ask(fd, &ask, &reply, fds), 0);
			closep(&fds[0]);
			close(fd);
		}
		if (instant_now().ns - began.ns < 250 * NS_PER_MS)
			return;
	}
	fail_msg("each first file took a quarter of a second");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH(a_hostile_child_harms_nobody),
		BENCH(many_at_once_wait_for_each_other),
		BENCH(an_origin_that_hangs_holds_nobody_else_up),
		BENCH(origins_that_begin_to_hang_hold_nobody_else_up),
		BENCH(who_waits_for_one_that_hangs_is_told),
		BENCH(who_waits_for_a_slow_one_gets_it),
		BENCH(a_mend_that_hangs_holds_nobody_else_up),
		BENCH(who_waits_for_a_slow_disk_gets_it),
		BENCH(who_ends_does_not_wait_for_one_that_hangs),
		BENCH(the_first_ask_waits_for_the_look_alone),
	};

	bench_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
