/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the copier is answered that asks for origins, while one of them hangs: a
 * FUSE mount whose daemon, this test, says nothing.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "cli/origins.h"
#include "common/schema.h"

enum { DEAD = 1, GOOD, NOTHING, MORE, DEAD_MOST = 16 };

struct site {
	char dir[64];
	char mount[80];
	int fuse;
	int hangs; /* errno of the mount; 0: it is there */
	struct db *db;
	struct loop *loop;
	struct loop_source stop;
	int stop_fds[2];
	pthread_t thread;
	struct origins *origins;
	struct origins_asker asker;
};

static void version_add(struct site *s, uint32_t id, const char *origin)
{
	assert_int_equal(
		db_run(s->db,
		       "INSERT INTO version (id, image, number, origin, origin_kind, added)"
		       " VALUES (?, 1, ?, ?, 'dir', 0)",
		       "uus", id, id, origin),
		0);
}

static void on_stop(struct loop_source *source, uint32_t events)
{
	(void)events;
	loop_stop(source->loop);
}

static void *loop_main(void *arg)
{
	struct site *s = arg;

	loop_run(s->loop, false);
	return NULL;
}

static bool mount_silent(struct site *s)
{
	char options[80];

	s->fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", s->fuse);
	snprintf(s->mount, sizeof(s->mount), "%s/dead", s->dir);
	return s->fuse >= 0 && !unshare(CLONE_NEWNS) &&
	       !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) && !mkdir(s->mount, 0755) &&
	       !mount("silent", s->mount, "fuse", MS_NODEV | MS_NOSUID, options);
}

static int setup(void **state)
{
	struct site *s = calloc(1, sizeof(*s));
	char path[128];
	int ask_fd;

	assert_non_null(s);
	*state = s;
	snprintf(s->dir, sizeof(s->dir), "/tmp/rootstock-origins.XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	s->hangs = mount_silent(s) ? 0 : errno; /* before there are threads */
	assert_int_equal(db_open(s->dir, &schema_rootstock, DB_CREATE, &s->db, NULL), 0);
	assert_int_equal(db_run(s->db, "INSERT INTO image (id, name) VALUES (1, 'i')", ""), 0);
	version_add(s, GOOD, s->dir);
	snprintf(path, sizeof(path), "%s/dead/sub", s->dir);
	version_add(s, DEAD, path);
	for (uint32_t i = 0; i < DEAD_MOST; i++)
		version_add(s, MORE + i, path);
	assert_int_equal(loop_new(&s->loop), 0);
	assert_int_equal(origins_new(s->loop, s->db, &s->origins, &ask_fd), 0);
	origins_asker_init(&s->asker, ask_fd);
	assert_int_equal(pipe2(s->stop_fds, O_CLOEXEC), 0);
	s->stop.ready = on_stop;
	assert_int_equal(loop_add(s->loop, &s->stop, s->stop_fds[0], EPOLLIN), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, loop_main, s), 0);
	return 0;
}

static int teardown(void **state)
{
	struct site *s = *state;

	close(s->stop_fds[1]);
	pthread_join(s->thread, NULL);
	origins_free(s->origins);
	close(s->stop_fds[0]);
	loop_free(s->loop);
	db_close(s->db);
	closep(&s->fuse);
	umount2(s->mount, MNT_DETACH);
	nftw(s->dir, unit_unlink, 16, FTW_DEPTH | FTW_PHYS);
	free(s);
	return 0;
}

static int ask(struct site *s, uint32_t version)
{
	return s->asker.door.open(s->asker.door.ctx, version);
}

/* As the asker does, but without waiting for the answer. */
static void ask_only(struct site *s, uint32_t version)
{
	assert_int_equal(send(s->asker.fd, &version, sizeof(version), 0), sizeof(version));
}

static void opens(struct site *s, uint32_t version)
{
	cleanup(closep) int fd = ask(s, version);

	if (fd < 0)
		fail_msg("version %u: %s", version, strerror(-fd));
}

static void a_directory_is_opened_and_nothing_else(void **state)
{
	struct site *s = *state;
	cleanup(closep) int fd = ask(s, GOOD);
	struct stat was;
	struct stat is;

	assert_true(fd >= 0);
	assert_int_equal(stat(s->dir, &was), 0);
	assert_int_equal(fstat(fd, &is), 0);
	assert_int_equal(is.st_ino, was.st_ino);
	assert_int_equal(ask(s, NOTHING), -ENOENT);
}

static void who_hangs_holds_up_itself_alone(void **state)
{
	struct site *s = *state;
	int r;

	if (s->hangs) {
		print_message("# no FUSE mount in a namespace of its own: %s\n",
			      strerror(s->hangs));
		skip();
	}
	ask_only(s, DEAD);
	opens(s, GOOD);
	assert_int_equal(ask(s, DEAD), -EBUSY);
	for (uint32_t i = 0; i < DEAD_MOST - 2; i++)
		ask_only(s, MORE + i);
	opens(s, GOOD);

	/* One more than there may be threads. */
	ask_only(s, MORE + DEAD_MOST - 2);
	assert_int_equal(ask(s, GOOD), -EBUSY);
	assert_int_equal(ask(s, DEAD), -EBUSY);

	/* What hung ends: each is answered, and may be asked for again. */
	closep(&s->fuse);
	assert_int_equal(umount2(s->mount, MNT_DETACH), 0);
	do {
		r = ask(s, DEAD);
	} while (r == -EBUSY || r == -ENOTCONN);
	assert_int_equal(r, -ENOENT);
	opens(s, GOOD);
}

static void *ask_dead(void *arg)
{
	return (void *)(intptr_t)ask(arg, DEAD);
}

static bool has_asked(struct site *s)
{
	bool has;

	pthread_mutex_lock(&s->asker.lock);
	has = s->asker.questions;
	pthread_mutex_unlock(&s->asker.lock);
	return has;
}

/* Within the process that asks, too. */
static void who_waits_for_one_keeps_nobody_from_asking(void **state)
{
	struct site *s = *state;
	pthread_t waits;
	void *answer;

	if (s->hangs)
		skip();
	assert_int_equal(pthread_create(&waits, NULL, ask_dead, s), 0);
	while (!has_asked(s))
		usleep(1000);
	assert_int_equal(ask(s, DEAD), -EBUSY);
	opens(s, GOOD);
	assert_int_equal(pthread_tryjoin_np(waits, &answer), EBUSY);
	for (int i = 0; i < 100; i++)
		opens(s, GOOD);
	assert_int_equal(pthread_join(waits, &answer), 0);
	assert_int_equal((intptr_t)answer, -ETIMEDOUT);
	closep(&s->fuse);
	umount2(s->mount, MNT_DETACH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_directory_is_opened_and_nothing_else, setup,
						teardown),
		cmocka_unit_test_setup_teardown(who_hangs_holds_up_itself_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(who_waits_for_one_keeps_nobody_from_asking, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
