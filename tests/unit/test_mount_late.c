/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A mount whose copier is late: what waits for it, and what does not; and one that had to
 * begin anew.
 */
#include "tests/unit/mount_unit.h"

#include "tests/gate.h"

#define MIB ((off_t)1 << 20)

static void on_sealed(void *ctx, uint32_t version, const struct hash *digest)
{
	(void)ctx;
	(void)version;
	(void)digest;
}

static pid_t reader_of(const struct world *w, const char *path, const char *text)
{
	pid_t pid = fork();

	if (!pid)
		_exit(text_is(w, path, text) ? 0 : 1);
	return pid;
}

static bool is_running(pid_t pid)
{
	return waitpid(pid, NULL, WNOHANG) == 0;
}

static int late_setup(void **state)
{
	struct world *w;

	*state = NULL;
	if (access("/dev/fuse", R_OK | W_OK))
		return 0;
	w = world_new();
	make_file(w->site.origin, "still", "as it was\n", 0644);
	make_file(w->site.origin, "drifts", "scanned\n", 0644);
	make_file(w->site.origin, "killed", "nobody reads this\n", 0644);
	world_image(w, false);
	w->host = world_host(w, "one");
	put(w, (struct scope){SCOPE_HOST, w->host}, "mine", "at once\n");
	*state = w;
	return 0;
}

static void a_miss_holds_up_nobody_else(void **state)
{
	struct world *w = world_of(state);
	struct copier_config config = {.state_dir = w->site.state, .sealed = on_sealed};
	struct copier *copier;
	struct why why = {""};
	pid_t waiting[20];
	pid_t killed;
	int status;

	/* Somebody else has the lock, and does not answer. */
	assert_int_equal(copier_listen(w->site.state, &config.listen_fd, &config.lock_fd, &why), 0);
	world_mount(w);
	for (unsigned int i = 0; i < ARRAY_SIZE(waiting); i++)
		waiting[i] = reader_of(w, "images/img@1/still", "as it was\n");
	killed = reader_of(w, "images/img@1/killed", "");
	unit_wait(text_is(w, "hosts/one/mine", "at once\n"));
	assert_int_equal(stat_of(w, "images/img@1/drifts").st_size, 8);
	assert_true(is_running(killed));
	kill(killed, SIGKILL);
	unit_wait(waitpid(killed, &status, WNOHANG) == killed);

	/* It changed after the scan, and nobody has read it: its new state stands. */
	make_file(w->site.origin, "drifts", "of a later hour\n", 0600);
	assert_int_equal(copier_start(&config, &copier, &why), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(waiting); i++) {
		assert_int_equal(waitpid(waiting[i], &status, 0), waiting[i]);
		assert_int_equal(status, 0);
	}
	assert_true(text_is(w, "images/img@1/drifts", "of a later hour\n"));
	assert_int_equal(stat_of(w, "images/img@1/drifts").st_size, 16);
	assert_int_equal(stat_of(w, "images/img@1/drifts").st_mode, S_IFREG | 0600);
	assert_int_equal(world_unmount(w, SIGTERM), 0);
	copier_stop(copier);
	close(config.listen_fd);
	close(config.lock_fd);
}

static void waiting_readers_end_with_the_mount(void **state)
{
	struct world *w = world_of(state);
	struct why why = {""};
	pid_t waiting;
	int status;
	int listen_fd;
	int lock_fd;

	make_file(w->site.origin, "another", "never copied\n", 0644);
	world_image(w, false);
	assert_int_equal(copier_listen(w->site.state, &listen_fd, &lock_fd, &why), 0);
	world_mount(w);
	waiting = reader_of(w, "images/img@2/another", "never copied\n");
	usleep(50000);
	assert_true(is_running(waiting));
	assert_int_equal(world_unmount(w, SIGTERM), 0);
	assert_int_equal(waitpid(waiting, &status, 0), waiting);
	assert_int_equal(WEXITSTATUS(status), 1);
	close(listen_fd);
	close(lock_fd);
}

/* Somebody who has the lock and does not answer, until it is killed. */
static pid_t holder_of(const struct world *w)
{
	int listen_fd;
	int lock_fd;
	int ready[2];
	pid_t pid;
	char byte;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		if (copier_listen(w->site.state, &listen_fd, &lock_fd, NULL) ||
		    write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void a_mount_copies_when_nobody_else_does_any_more(void **state)
{
	struct world *w = world_of(state);
	pid_t waiting;
	pid_t holder;
	int status;

	make_file(w->site.origin, "after", "copied after all\n", 0644);
	world_image(w, false);
	holder = holder_of(w);
	world_mount(w);
	waiting = reader_of(w, "images/img@3/after", "copied after all\n");
	usleep(50000);
	assert_true(is_running(waiting));
	assert_int_equal(kill(holder, SIGKILL), 0);
	assert_int_equal(waitpid(holder, &status, 0), holder);
	assert_int_equal(waitpid(waiting, &status, 0), waiting);
	assert_int_equal(status, 0);
	assert_int_equal(world_unmount(w, SIGTERM), 0);
}

static bool piece_is(int fd, off_t offset, unsigned int state)
{
	uint8_t buf[4096];

	if (pread(fd, buf, sizeof(buf), offset) != sizeof(buf))
		return false;
	for (size_t i = 0; i < sizeof(buf); i++)
		if (buf[i] != gate_byte(state, (uint64_t)offset + i))
			return false;
	return true;
}

/* The kernel keeps what it has read, and must not put it together with what the file was
 * when it was copied after all. */
__attribute__((unused)) static void pages_of_a_copy_that_was_given_up_are_not_kept(void **state)
{
	struct world *w;
	struct gate *gate;
	char path[PATH_MAX];
	uint64_t at;
	int fd;

	(void)state;
	if (access("/dev/fuse", R_OK | W_OK))
		skip();
	w = world_new();
	if (gate_new(w->site.origin, 8 * MIB, &gate)) {
		world_free(w);
		skip();
	}
	world_image(w, false);
	gate_change(gate, 8 * MIB); /* no more as it was scanned */
	world_mount(w);
	snprintf(path, sizeof(path), "%s/images/img@1/big", w->mnt);
	gate_allow(gate, 1);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(piece_is(fd, 0, 1));
	unit_wait(gate_waits(gate, &at) && at == 1);
	gate_change(gate, 8 * MIB);
	gate_allow(gate, UINT_MAX);
	assert_int_equal(pread(fd, path, 1, 3 * MIB), -1);
	assert_int_equal(errno, EIO);
	/* nor is a size told that the next bytes may not have */
	assert_int_equal(lseek(fd, 0, SEEK_END), -1);
	assert_int_equal(errno, EIO);
	unit_wait(piece_is(fd, 3 * MIB, 2));
	for (off_t offset = 0; offset < 8 * MIB; offset += 4096)
		if (!piece_is(fd, offset, 2))
			fail_msg("bytes of another state at %lld", (long long)offset);
	close(fd);
	assert_int_equal(world_unmount(w, SIGTERM), 0);
	gate_free(gate);
	world_free(w);
}

int main(void)
{
	/* Each of the first three goes on where the one before ends. */
	const struct CMUnitTest late[] = {
		cmocka_unit_test(a_miss_holds_up_nobody_else),
		cmocka_unit_test(waiting_readers_end_with_the_mount),
		cmocka_unit_test(a_mount_copies_when_nobody_else_does_any_more),
#ifndef __SANITIZE_THREAD__ /* it lets no child of a process with threads start threads */
		cmocka_unit_test(pages_of_a_copy_that_was_given_up_are_not_kept),
#endif
	};
	return cmocka_run_group_tests(late, late_setup, teardown);
}
