/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A control socket and those who ask: what is answered, and what any bytes at all do to
 * it.  The server's loop runs on a thread, so that the asker may block.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/control.h"
#include "common/control_parts.h"

enum { METRICS = 65533 };

struct fixture {
	char *dir;
	int listen_fd;
	int stop_fd;
	struct loop *loop;
	struct loop_source stop;
	struct control *control;
	pthread_t thread;
	size_t length; /* of "long" */
	int ended_fd;  /* counts the waits that were given up */
	struct asker *waiting;
};

static void stats(void *ctx, struct stats *out)
{
	(void)ctx;
	stats_counter(out, "rootstock_a_total", "A.", UINT64_C(18446744073709551615));
	stats_gauge(out, "rootstock_b", "B.", -1.5);
	stats_family(out, "rootstock_c", "gauge", "C.");
	stats_sample(out, 3, "x", "one", NULL);
	stats_sample(out, 4, "x", "q\"b\\n\n", "y", "", NULL);
}

static void echo(void *ctx, struct asker *asker, struct bytes args)
{
	(void)ctx;
	asker_say(asker, args.at, args.len);
	asker_end(asker);
}

static void fail_verb(void *ctx, struct asker *asker, struct bytes args)
{
	struct why why = {""};

	(void)ctx;
	why_set(&why, -ENOENT, "nothing called %.*s", (int)args.len, (const char *)args.at);
	asker_fail(asker, -ENOENT, &why);
}

static void long_verb(void *ctx, struct asker *asker, struct bytes args)
{
	struct fixture *f = ctx;
	cleanup(freep) char *text = malloc(f->length);

	(void)args;
	memset(text, 'z', f->length);
	asker_say(asker, text, f->length);
	asker_end(asker);
}

static void given_up(void *own)
{
	const uint64_t one = 1;
	struct fixture *f = own;

	__atomic_store_n(&f->waiting, NULL, __ATOMIC_RELEASE);
	assert_int_equal(write(f->ended_fd, &one, sizeof(one)), sizeof(one));
}

static void wait_verb(void *ctx, struct asker *asker, struct bytes args)
{
	struct fixture *f = ctx;

	(void)args;
	__atomic_store_n(&f->waiting, asker, __ATOMIC_RELEASE);
	asker_wait(asker, given_up, f);
}

/* The size of the file whose descriptor came along. */
static void size_verb(void *ctx, struct asker *asker, struct bytes args)
{
	cleanup(closep) int fd = asker_given(asker);
	char text[32];
	struct stat st;

	(void)ctx;
	(void)args;
	if (fd < 0 || fstat(fd, &st)) {
		asker_fail(asker, -EBADF, NULL);
		return;
	}
	snprintf(text, sizeof(text), "%lld", (long long)st.st_size);
	asker_say(asker, text, strlen(text));
	asker_end(asker);
}

static void take_verb(void *ctx, struct asker *asker, struct bytes args)
{
	cleanup(closep) int fd = -1;

	(void)ctx;
	(void)args;
	fd = asker_take(asker);
	assert_int_equal(send(fd, "mtaken", 6, MSG_NOSIGNAL), 6);
}

static const struct control_verb verbs[] = {
	{"echo", echo},
	{"fail", fail_verb},
	{"long", long_verb},
	{"wait", wait_verb},
	{"size", size_verb},
	{"take", take_verb},
	{0},
};

static void on_stop(struct loop_source *source, uint32_t events)
{
	(void)events;
	loop_stop(source->loop);
}

static void *run(void *arg)
{
	struct fixture *f = arg;

	loop_run(f->loop, false);
	return NULL;
}

/* The server sends away who is idle for so long. */
static int setup_with(void **state, unsigned int idle_ms)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct why why = {""};
	void *dir = NULL;

	assert_int_equal(unit_dir_setup(&dir), 0);
	f->dir = dir;
	f->stop_fd = eventfd(0, EFD_CLOEXEC);
	f->ended_fd = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(loop_new(&f->loop), 0);
	assert_int_equal(control_listen(f->dir, "it", &f->listen_fd, &why), 0);
	f->stop.ready = on_stop;
	loop_add(f->loop, &f->stop, f->stop_fd, EPOLLIN);
	assert_int_equal(control_new(f->loop,
				     &(struct control_config){
					     .door = {.fd = f->listen_fd, .metrics = METRICS},
					     .stats = stats,
					     .verbs = verbs,
					     .ctx = f,
					     .idle_ms = idle_ms},
				     &f->control),
			 0);
	pthread_create(&f->thread, NULL, run, f);
	*state = f;
	return 0;
}

/* None of ours, however slow it is. */
static int setup(void **state)
{
	return setup_with(state, UNIT_PATIENCE_MS);
}

static int setup_hasty(void **state)
{
	return setup_with(state, 1000);
}

static int teardown(void **state)
{
	const uint64_t one = 1;
	struct fixture *f = *state;
	void *dir = f->dir;

	assert_int_equal(write(f->stop_fd, &one, sizeof(one)), sizeof(one));
	pthread_join(f->thread, NULL);
	control_free(f->control);
	loop_free(f->loop);
	close(f->listen_fd);
	close(f->stop_fd);
	close(f->ended_fd);
	unit_dir_teardown(&dir);
	free(f);
	return 0;
}

static int dial(struct fixture *f)
{
	struct why why = {""};
	int fd;

	assert_int_equal(control_open(f->dir, "it", &fd, &why), 0);
	return fd;
}

static void expect(struct fixture *f, const char *request, const char *answer)
{
	cleanup(freep) char *text = NULL;
	struct why why = {""};
	size_t len;

	assert_int_equal(control_ask(f->dir, "it", request, UNIT_PATIENCE_MS, &text, &len, &why),
			 0);
	assert_string_equal(text, answer);
	assert_int_equal(len, strlen(answer));
}

/* Is the connection closed, without another word? */
static void expect_closed(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	char c;

	assert_int_equal(poll(&pfd, 1, UNIT_PATIENCE_MS), 1);
	assert_true(recv(fd, &c, 1, 0) <= 0);
	close(fd);
}

static void test_stats(void **state)
{
	expect(*state, "stats",
	       "# HELP rootstock_a_total A.\n# TYPE rootstock_a_total counter\n"
	       "rootstock_a_total 18446744073709551615\n"
	       "# HELP rootstock_b B.\n# TYPE rootstock_b gauge\nrootstock_b -1.5\n"
	       "# HELP rootstock_c C.\n# TYPE rootstock_c gauge\nrootstock_c{x=\"one\"} 3\n"
	       "rootstock_c{x=\"q\\\"b\\\\n\\n\",y=\"\"} 4\n");
}

static void test_answers(void **state)
{
	cleanup(freep) char *text = NULL;
	struct why why = {""};
	size_t len;
	struct fixture *f = *state;

	expect(f, "echo some words", "some words");
	expect(f, "echo", "");
	assert_int_equal(control_ask(f->dir, "it", "fail me", UNIT_PATIENCE_MS, &text, &len, &why),
			 -ENOENT);
	assert_string_equal(why.text, "nothing called me");
	why.text[0] = '\0';
	assert_int_equal(control_ask(f->dir, "other", "stats", UNIT_PATIENCE_MS, &text, &len, &why),
			 -ENOENT);
	assert_non_null(strstr(why.text, "no server runs"));
}

/* One connection, several requests; none is taken before the last was answered. */
static void test_one_by_one(void **state)
{
	cleanup(closep) int fd = dial(*state);
	char buf[CONTROL_PACKET_MAX];
	struct why why = {""};
	size_t len;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(control_send(fd, "echo x", 6, -1), 0);
		assert_int_equal(
			control_receive(fd, UNIT_PATIENCE_MS, buf, sizeof(buf), &len, &why), 0);
		assert_int_equal(len, 1);
		assert_int_equal(
			control_receive(fd, UNIT_PATIENCE_MS, buf, sizeof(buf), &len, &why),
			CONTROL_END);
	}
	assert_int_equal(control_send(fd, "wait", 4, -1), 0);
	assert_int_equal(control_send(fd, "echo x", 6, -1), 0);
	expect_closed(take_fd(&fd));
}

/* Far more than the socket takes at once comes whole; so much that it will not be kept
 * ends that connection alone. */
static void test_long(void **state)
{
	struct fixture *f = *state;
	cleanup(freep) char *text = NULL;
	char *none = NULL;
	struct why why = {""};
	size_t len;

	f->length = 5 << 20;
	assert_int_equal(control_ask(f->dir, "it", "long", UNIT_PATIENCE_MS, &text, &len, &why), 0);
	assert_int_equal(len, f->length);
	assert_true(strspn(text, "z") == len);
	f->length = 16 << 20;
	assert_true(control_ask(f->dir, "it", "long", UNIT_PATIENCE_MS, &none, &len, &why) < 0);
	expect(f, "echo on", "on");
}

static void test_hostile(void **state)
{
	static const char *const bad[] = {"",	    " ",      "stat",	  "statss", "stats x",
					  "ECHO a", "echo\n", "\xff\xfe", " echo"};
	struct fixture *f = *state;
	char big[2 * CONTROL_REQUEST_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int fd = dial(f);

		assert_int_equal(send(fd, bad[i], strlen(bad[i]), 0), strlen(bad[i]));
		expect_closed(fd);
	}
	memset(big, 'a', sizeof(big));
	memcpy(big, "echo ", 5);
	for (size_t len = CONTROL_REQUEST_MAX; len <= sizeof(big); len += CONTROL_REQUEST_MAX) {
		int fd = dial(f);

		assert_int_equal(send(fd, big, len, 0), (ssize_t)len);
		if (len > CONTROL_REQUEST_MAX)
			expect_closed(fd);
		else
			close(fd);
	}
	expect(f, "echo on", "on");
}

static void send_fds(int fd, const char *request, const int *fds, unsigned int n)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(8 * sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)(uintptr_t)request, strlen(request)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *h = CMSG_FIRSTHDR(&msg);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(h), fds, n * sizeof(int));
	assert_true(sendmsg(fd, &msg, 0) > 0);
}

static unsigned int open_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* One that is wanted arrives; any number that nobody wants is closed. */
static void test_descriptors(void **state)
{
	struct fixture *f = *state;
	char buf[CONTROL_PACKET_MAX];
	struct why why = {""};
	int pipes[2];
	unsigned int before;
	FILE *file = tmpfile();
	size_t len;
	int fd;

	fputs("four", file);
	fflush(file);
	fd = dial(f);
	assert_int_equal(control_send(fd, "size", 4, fileno(file)), 0);
	assert_int_equal(control_receive(fd, UNIT_PATIENCE_MS, buf, sizeof(buf), &len, &why), 0);
	assert_memory_equal(buf, "4", len);
	close(fd);
	fclose(file);

	assert_int_equal(pipe(pipes), 0);
	before = open_fds();
	for (unsigned int n = 1; n <= 8; n++) {
		const int many[8] = {pipes[0], pipes[0], pipes[0], pipes[0],
				     pipes[0], pipes[0], pipes[0], pipes[0]};

		fd = dial(f);
		send_fds(fd, "echo x", many, n);
		if (!control_receive(fd, UNIT_PATIENCE_MS, buf, sizeof(buf), &len, &why))
			control_receive(fd, UNIT_PATIENCE_MS, buf, sizeof(buf), &len, &why);
		close(fd);
	}
	expect(f, "echo on", "on");
	unit_wait(open_fds() <= before); /* an end of before may have been counted */
	close(pipes[0]);
	close(pipes[1]);
}

static void test_hang_up(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);
	uint64_t n;

	assert_int_equal(control_send(fd, "wait", 4, -1), 0);
	while (!__atomic_load_n(&f->waiting, __ATOMIC_ACQUIRE))
		usleep(1000);
	close(fd);
	assert_int_equal(read(f->ended_fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 1);
	/* An answer that nobody takes. */
	f->length = 4 << 20;
	fd = dial(f);
	assert_int_equal(control_send(fd, "long", 4, -1), 0);
	close(fd);
	expect(f, "echo on", "on");
}

static void test_taken(void **state)
{
	struct fixture *f = *state;
	char buf[CONTROL_PACKET_MAX];
	struct why why = {""};
	size_t len;
	int fd = dial(f);

	assert_int_equal(control_send(fd, "take", 4, -1), 0);
	assert_int_equal(control_receive(fd, UNIT_PATIENCE_MS, buf, sizeof(buf), &len, &why), 0);
	assert_memory_equal(buf, "taken", len);
	assert_int_equal(control_receive(fd, UNIT_PATIENCE_MS, buf, sizeof(buf), &len, &why),
			 -EPIPE);
	close(fd);
	expect(f, "echo on", "on");
}

/* More askers than there may be are sent away; when the idle ones have gone, there is
 * room again. */
static void test_crowd(void **state)
{
	struct fixture *f = *state;
	int fds[CONTROL_ASKERS];
	int more;

	for (int i = 0; i < CONTROL_ASKERS; i++)
		fds[i] = dial(f);
	more = dial(f);
	expect_closed(more);
	for (int i = 0; i < CONTROL_ASKERS; i++)
		expect_closed(fds[i]);
	expect(f, "echo on", "on");
}

/* Who does not take his answer is not waited for. */
static void test_slow(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);
	char buf[CONTROL_PACKET_MAX + 1];
	ssize_t got = 0;
	ssize_t n;

	f->length = 4 << 20;
	assert_int_equal(control_send(fd, "long", 4, -1), 0);
	expect(f, "echo on", "on");
	assert_int_equal(poll(&(struct pollfd){.fd = fd}, 1, UNIT_PATIENCE_MS), 1); /* hung up */
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
		got += n;
	assert_true(got < 4 << 20);
	close(fd);
}

static void open_to_all(const struct fixture *f)
{
	struct sockaddr_un addr;

	control_address(f->dir, "it", &addr, NULL);
	assert_int_equal(chmod(addr.sun_path, 0666), 0);
	chmod(f->dir, 0755);
	*strrchr(addr.sun_path, '/') = '\0';
	chmod(addr.sun_path, 0755);
}

/* A metrics child that takes all places there are leaves some for root. */
static void test_metrics(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t pid;

	if (geteuid() != 0)
		skip();
	open_to_all(f);
	pid = fork();
	if (!pid) {
		int fd = -1;

		if (setgid(METRICS) || setuid(METRICS))
			_exit(2);
		for (int i = 0; i < CONTROL_ASKERS; i++)
			if (control_open(f->dir, "it", &fd, NULL))
				_exit(2);
		alarm(60);
		pause();
	}
	/* Its places are taken in the order in which it came, before ours. */
	for (int i = 0; i < 20; i++) {
		expect(f, "echo on", "on");
		usleep(50000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	pid = fork();
	if (!pid) {
		cleanup(freep) char *text = NULL;
		size_t len;

		_exit(setgid(METRICS) || setuid(METRICS) ||
		      control_ask(f->dir, "it", "stats", UNIT_PATIENCE_MS, &text, &len, NULL));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_stranger(void **state)
{
	struct fixture *f = *state;
	int pipes[2];
	pid_t pid;
	char c;

	if (geteuid() != 0)
		skip();
	open_to_all(f); /* even one who gets to the socket */
	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (!pid) {
		int fd = -1;

		if (setgid(65534) || setuid(65534) || control_open(f->dir, "it", &fd, NULL))
			_exit(2);
		send(fd, "stats", 5, MSG_NOSIGNAL);
		c = recv(fd, &c, 1, 0) > 0 ? 'y' : 'n';
		_exit(write(pipes[1], &c, 1) != 1);
	}
	assert_int_equal(read(pipes[0], &c, 1), 1);
	assert_int_equal(c, 'n');
	close(pipes[0]);
	close(pipes[1]);
}

/* One who answers a byte at a time, without end or, as may be, once alone. */
struct drip {
	int listener;
	bool once;
};

static void *drip(void *arg)
{
	const struct timespec tick = {.tv_nsec = 1000000};
	const struct drip *d = arg;
	struct pollfd pfd = {.fd = d->listener, .events = POLLIN};
	char c;
	int fd;

	poll(&pfd, 1, -1);
	fd = accept(d->listener, NULL, NULL);
	recv(fd, &c, 1, 0); /* the request */
	while (send(fd, "mx", 2, MSG_NOSIGNAL) == 2 && !d->once)
		nanosleep(&tick, NULL);
	recv(fd, &c, 1, 0); /* it hangs up */
	close(fd);
	return NULL;
}

/* Ask one who drips, in vain. */
static void ask_drip(struct fixture *f, bool once, int timeout_ms, struct why *why)
{
	struct drip d = {.once = once};
	pthread_t thread;
	char *text = NULL;
	size_t len;

	assert_int_equal(control_listen(f->dir, "drip", &d.listener, why), 0);
	pthread_create(&thread, NULL, drip, &d);
	assert_int_equal(control_ask(f->dir, "drip", "x", timeout_ms, &text, &len, why),
			 -ETIMEDOUT);
	assert_null(text);
	pthread_join(thread, NULL);
	close(d.listener);
	control_unlink(f->dir, "drip");
}

/* No answer, one that stops, and one without end: each is told as what it is. */
/* On a busy machine who drips may come too late, or stand still for long: with more time. */
static void drip_is_told(struct fixture *f, bool once, int timeout_ms, const char *words)
{
	struct why why = {""};

	do {
		assert_true(timeout_ms < UNIT_PATIENCE_MS);
		why = (struct why){""};
		ask_drip(f, once, timeout_ms, &why);
		timeout_ms *= 4;
	} while (!strstr(why.text, words));
}

static void test_patience(void **state)
{
	struct fixture *f = *state;
	struct why why = {""};
	char *text = NULL;
	size_t len;

	assert_int_equal(control_ask(f->dir, "it", "wait", 50, &text, &len, &why), -ETIMEDOUT);
	assert_string_equal(why.text, "the server does not answer");
	drip_is_told(f, true, 300, "the answer stopped before its end: nothing came for ");
	drip_is_told(f, false, 2000, "the answer does not end: after ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_stats, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_by_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hang_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crowd, setup_hasty, teardown),
		cmocka_unit_test_setup_teardown(test_slow, setup_hasty, teardown),
		cmocka_unit_test_setup_teardown(test_patience, setup, teardown),
		cmocka_unit_test_setup_teardown(test_metrics, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stranger, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
