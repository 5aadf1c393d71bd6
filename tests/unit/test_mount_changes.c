/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Overlays, hosts and versions change under the kernel's caches of a mount.
 */
#include "tests/unit/mount_unit.h"

#include "tests/model.h"

static void a_put_shows_even_where_an_absence_was_remembered(void **state)
{
	struct world *w = world_of(state);
	struct stat before = stat_of(w, "hosts/one/etc");
	struct stat after;

	for (int i = 0; i < 3; i++)
		assert_false(is_there(w, "hosts/one/etc/new"));
	assert_false(is_listed(w, "hosts/one/etc", "new"));
	put(w, host_scope(w), "etc/new", "here\n");
	unit_wait(text_is(w, "hosts/one/etc/new", "here\n"));
	unit_wait(is_listed(w, "hosts/one/etc", "new"));
	after = stat_of(w, "hosts/one/etc");
	assert_true(after.st_mtim.tv_sec > before.st_mtim.tv_sec ||
		    after.st_mtim.tv_nsec != before.st_mtim.tv_nsec);
	assert_false(is_there(w, "images/img@1/etc/new"));

	/* In directories that the overlay makes. */
	assert_false(is_there(w, "hosts/one/srv/a/b"));
	put(w, all, "srv/a/b", "deep\n");
	unit_wait(text_is(w, "hosts/one/srv/a/b", "deep\n"));
}

static void a_replaced_file_shows_its_new_bytes_and_an_open_one_its_old(void **state)
{
	struct world *w = world_of(state);
	char path[256];
	char buf[64];
	int fd;

	assert_true(text_is(w, "hosts/one/etc/motd", "of the image\n"));
	snprintf(path, sizeof(path), "%s/hosts/one/etc/motd", w->mnt);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	put(w, all, "etc/motd", "of all\n");
	unit_wait(text_is(w, "hosts/one/etc/motd", "of all\n"));
	put(w, host_scope(w), "etc/motd", "of the host, which is longer\n");
	unit_wait(text_is(w, "hosts/one/etc/motd", "of the host, which is longer\n"));
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	assert_int_equal(read(fd, buf, sizeof(buf)), 13);
	assert_memory_equal(buf, "of the image\n", 13);
	close(fd);
	reset(w, host_scope(w), "etc/motd");
	unit_wait(text_is(w, "hosts/one/etc/motd", "of all\n"));
	reset(w, all, "etc/motd");
	unit_wait(text_is(w, "hosts/one/etc/motd", "of the image\n"));
}

static void a_hidden_tree_goes_and_comes_back(void **state)
{
	struct world *w = world_of(state);
	char deep[256] = "hosts/one/deep";

	for (int i = 0; i < 30; i++)
		strcat(deep, "/d");
	strcat(deep, "/bottom");
	assert_true(text_is(w, deep, "here\n"));
	assert_int_equal(stat_of(w, "hosts/one/usr/share/one").st_nlink, 3);
	put_kind(w, all, "deep", ENTRY_WHITEOUT);
	unit_wait(!is_there(w, "hosts/one/deep"));
	assert_false(is_there(w, deep));
	unit_wait(!is_listed(w, "hosts/one", "deep"));
	unit_wait(stat_of(w, "hosts/one/usr/share/one").st_nlink == 2);
	put(w, host_scope(w), "deep", "a file now\n");
	unit_wait(text_is(w, "hosts/one/deep", "a file now\n"));
	reset(w, host_scope(w), "deep");
	unit_wait(!is_there(w, "hosts/one/deep"));
	reset(w, all, "deep");
	unit_wait(text_is(w, deep, "here\n"));
	unit_wait(stat_of(w, "hosts/one/usr/share/one").st_nlink == 3);
}

static void an_opaque_directory_shows_only_what_is_put(void **state)
{
	struct world *w = world_of(state);

	assert_true(is_there(w, "hosts/one/usr/share/nothing"));
	put_kind(w, all, "usr/share", ENTRY_OPAQUE);
	unit_wait(!is_there(w, "hosts/one/usr/share/nothing"));
	assert_false(is_there(w, "hosts/one/usr/share/big"));
	put(w, host_scope(w), "usr/share/mine", "mine\n");
	unit_wait(text_is(w, "hosts/one/usr/share/mine", "mine\n"));
	reset(w, host_scope(w), "usr/share/mine");
	reset(w, all, "usr/share");
	unit_wait(is_there(w, "hosts/one/usr/share/big"));
	assert_false(is_there(w, "hosts/one/usr/share/mine"));
}

static ino_t number_listed(const struct world *w, const char *dir, const char *name)
{
	char full[PATH_MAX];
	struct dirent *e;
	ino_t number = 0;
	DIR *d;

	snprintf(full, sizeof(full), "%s/%s", w->mnt, dir);
	d = opendir(full);
	while (d && (e = readdir(d)))
		if (!strcmp(e->d_name, name))
			number = e->d_ino;
	if (d)
		closedir(d);
	return number;
}

/* The host's directory merges with the image's and has its number; over a file it is
 * one of its own.  Who is in it keeps what the kernel remembers of it. */
static void the_directory_above_is_listed_as_what_it_became(void **state)
{
	struct world *w = world_of(state);
	ino_t before = stat_of(w, "hosts/one/empty").st_ino;
	char path[256];
	int inside;

	put_kind(w, host_scope(w), "empty/sub", ENTRY_DIR);
	put_kind(w, host_scope(w), "empty", ENTRY_DIR);
	unit_wait(is_there(w, "hosts/one/empty/sub"));
	snprintf(path, sizeof(path), "%s/hosts/one/empty/sub", w->mnt);
	inside = open(path, O_RDONLY | O_DIRECTORY);
	assert_true(inside >= 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(number_listed(w, "hosts/one/empty/sub", ".."), before);
	put(w, all, "empty", "a file\n");
	unit_wait(stat_of(w, "hosts/one/empty").st_ino != before);
	unit_wait(number_listed(w, "hosts/one/empty/sub", "..") ==
		  stat_of(w, "hosts/one/empty").st_ino);
	close(inside);
	reset(w, all, "empty");
	reset(w, host_scope(w), "empty/sub");
	reset(w, host_scope(w), "empty");
}

static void attributes_change_alone(void **state)
{
	const struct entry_spec mode = {.kind = ENTRY_ATTR, .flags = ENTRY_MODE_SET, .mode = 0640};
	struct world *w = world_of(state);

	assert_int_equal(stat_of(w, "hosts/one/usr/share/nothing").st_mode, S_IFREG | 0444);
	change(w, all, "usr/share/nothing", &mode);
	unit_wait(stat_of(w, "hosts/one/usr/share/nothing").st_mode == (S_IFREG | 0640));
	assert_int_equal(stat_of(w, "images/img@1/usr/share/nothing").st_mode, S_IFREG | 0444);
	/* One name of a linked file leaves the group. */
	change(w, all, "usr/bin/two", &mode);
	unit_wait(stat_of(w, "hosts/one/usr/bin/two").st_mode == (S_IFREG | 0640));
	unit_wait(stat_of(w, "hosts/one/usr/share/one").st_nlink == 2);
	assert_int_equal(stat_of(w, "hosts/one/usr/bin/two").st_nlink, 1);
	assert_true(text_is(w, "hosts/one/usr/bin/two", "linked\n"));
}

static void a_template_follows_its_keys(void **state)
{
	static const char text[] = "I am {{name}}, {{mood}}\n";
	const struct entry_spec spec = {.kind = ENTRY_TEMPLATE,
					.body = {(const uint8_t *)text, sizeof(text) - 1}};
	struct world *w = world_of(state);
	struct stat before;

	set(w, "mood", "glad");
	change(w, all, "etc/who", &spec);
	unit_wait(text_is(w, "hosts/one/etc/who", "I am one, glad\n"));
	before = stat_of(w, "hosts/one/etc/who");
	set(w, "mood", "most displeased");
	unit_wait(text_is(w, "hosts/one/etc/who", "I am one, most displeased\n"));
	assert_int_equal(stat_of(w, "hosts/one/etc/who").st_ino, before.st_ino);
	set(w, "mood", "furious no less"); /* as long as the one before */
	unit_wait(text_is(w, "hosts/one/etc/who", "I am one, furious no less\n"));
}

static void hosts_come_and_go(void **state)
{
	struct world *w = world_of(state);
	struct stat before = stat_of(w, "hosts");
	uint32_t id;

	assert_false(is_there(w, "hosts/two"));
	assert_false(is_listed(w, "hosts", "two"));
	id = world_host(w, "two");
	unit_wait(text_is(w, "hosts/two/etc/motd", "of the image\n"));
	unit_wait(is_listed(w, "hosts", "two"));
	assert_int_equal(stat_of(w, "hosts").st_nlink, before.st_nlink + 1);
	assert_true(stat_of(w, "hosts").st_mtim.tv_sec > before.st_mtim.tv_sec ||
		    stat_of(w, "hosts").st_mtim.tv_nsec != before.st_mtim.tv_nsec);
	assert_int_equal(db_run(w->site.db, "UPDATE host SET name = 'three' WHERE id = ?", "u", id),
			 0);
	unit_wait(is_there(w, "hosts/three") && !is_there(w, "hosts/two"));
	assert_int_equal(db_run(w->site.db, "DELETE FROM host WHERE id = ?", "u", id), 0);
	unit_wait(!is_there(w, "hosts/three"));
	unit_wait(!is_listed(w, "hosts", "three"));
	assert_true(is_there(w, "hosts/one"));
}

/* Version 2 is active; a boot of the host has pinned version 1. */
static void an_open_boot_holds_it(struct world *w)
{
	struct db *leases;
	struct why why = {""};

	assert_int_equal(db_open(w->site.state, &schema_leases, DB_CREATE, &leases, &why), 0);
	assert_int_equal(db_run(w->site.db, "INSERT INTO host_mac VALUES (x'525400000001', ?)", "u",
				w->host),
			 0);
	assert_int_equal(db_exec(leases,
				 "INSERT INTO lease (address, mac, state, started, expires) VALUES"
				 " (5, x'525400000001', 2, 0, 0);"
				 "INSERT INTO boot (mac, address, version, change, opened) VALUES"
				 " (x'525400000001', 5, 1, 7, 0)"),
			 0);
	unit_wait(!is_there(w, "hosts/one/etc/second"));
	assert_int_equal(db_exec(leases, "UPDATE boot SET ended = 1"), 0);
	unit_wait(is_there(w, "hosts/one/etc/second"));
	db_close(leases);
}

static void a_host_moves_to_the_active_version(void **state)
{
	struct world *w = world_of(state);
	struct stat before = stat_of(w, "hosts/one");
	struct why why = {""};
	char path[256];
	uint32_t version;
	int inside;
	int fd;

	snprintf(path, sizeof(path), "%s/hosts/one", w->mnt);
	inside = open(path, O_RDONLY | O_DIRECTORY);
	make_file(w->site.origin, "etc/second", "version\n", 0644);
	version = world_image(w, false);
	unit_wait(text_is(w, "images/img@2/etc/second", "version\n"));
	assert_true(is_listed(w, "images", "img@2"));
	assert_false(is_there(w, "hosts/one/etc/second"));
	assert_int_equal(image_activate(w->site.db, version, &why), 0);
	unit_wait(text_is(w, "hosts/one/etc/second", "version\n"));
	assert_int_not_equal(stat_of(w, "hosts/one").st_ino, before.st_ino);
	/* Those who are in stay where they are. */
	assert_int_equal(openat(inside, "etc/second", O_RDONLY), -1);
	fd = openat(inside, "etc/motd", O_RDONLY);
	assert_true(fd >= 0);
	close(fd);
	close(inside);
	an_open_boot_holds_it(w);
	assert_int_equal(image_rollback(w->site.db, "img", &version, &why), 0);
	unit_wait(!is_there(w, "hosts/one/etc/second"));
	assert_int_equal(stat_of(w, "hosts/one").st_ino, before.st_ino);
}

static bool all_are_sealed(struct world *w)
{
	sqlite3_stmt *stmt =
		db_stmt(w->site.db, "SELECT count(*) FROM version WHERE sealed IS NULL");
	int64_t unsealed;

	assert_int_equal(db_query(w->site.db, stmt, ""), DB_ROW);
	unsealed = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return !unsealed;
}

static void it_is_sealed_and_outlives_its_origin(void **state)
{
	struct world *w = world_of(state);
	char from[256];
	char to[256];

	unit_wait(all_are_sealed(w));
	snprintf(from, sizeof(from), "%s/origin", w->site.dir);
	snprintf(to, sizeof(to), "%s/away", w->site.dir);
	assert_int_equal(rename(from, to), 0);
	snprintf(from, sizeof(from), "%s/images/img@2", w->mnt);
	compare(to, from);
	assert_true(text_is(w, "hosts/one/usr/bin/su", "#!/bin/sh\n"));
}

static void change_at_random(struct world *w, uint32_t *seed)
{
	static const char *const paths[] = {
		"etc",	      "etc/motd",	 "etc/hidden", "usr/share", "usr/share/one",
		"usr/bin",    "usr/bin/two",	 "deep",       "deep/d",    "deep/d/d/new",
		"bin/put",    "empty",		 "empty/x/y",  "fifo",	    "usr/share/nothing",
		"deep/three", "usr/share/one/x", "srv/a",
	};
	static const enum entry_kind kinds[] = {ENTRY_FILE,
						ENTRY_LINK,
						ENTRY_DIR,
						ENTRY_WHITEOUT,
						ENTRY_OPAQUE,
						ENTRY_ATTR,
						ENTRY_ATTR,
						0,
						0,
						0};
	const char *path =
		paths[(*seed = *seed * 1664525 + 1013904223) / 65536 % ARRAY_SIZE(paths)];
	uint32_t dice = (*seed = *seed * 1664525 + 1013904223) / 65536;
	struct scope scope = dice & 1 ? all : host_scope(w);
	struct entry_spec spec = {
		.kind = kinds[dice / 2 % ARRAY_SIZE(kinds)],
		.flags = ENTRY_MODE_SET,
		.mode = (uint16_t)(0700 | (dice / 64 & 077)),
		.mtime_ns = wall_now_ns(),
		.body = {(const uint8_t *)"../x", 4},
	};
	char text[16];
	struct txn *txn;
	int r;

	if (spec.kind == ENTRY_FILE) {
		snprintf(text, sizeof(text), "%u\n", dice);
		spec.size = strlen(text);
		spec.body.at = NULL;
		assert_int_equal(objects_put_bytes(w->site.objects, text, strlen(text), &spec.hash),
				 0);
	}
	assert_int_equal(txn_begin(w->site.db, &txn), 0);
	if (spec.kind)
		r = overlay_change(w->site.db, scope, path, &spec, NULL, NULL);
	else
		r = overlay_reset(w->site.db, scope, path, false);
	if (r)
		txn_abort(txn); /* not everything goes everywhere */
	else
		assert_int_equal(txn_commit(txn), 0);
}

/* A mount that has seen all the changes shows what one shows that has seen none. */
static void caches_are_right_after_any_change(void **state)
{
	struct world *w = world_of(state);
	struct world fresh = *w;
	uint32_t seed = (uint32_t)model_seed();
	char from[256];
	char to[256];

	if (geteuid() != 0)
		skip(); /* random modes: directories that only root can list */
	print_message("# SEED=%u\n", seed);
	snprintf(fresh.mnt, sizeof(fresh.mnt), "%s/fresh", w->site.dir);
	assert_int_equal(mkdir(fresh.mnt, 0755), 0);
	snprintf(from, sizeof(from), "%s/hosts/one", fresh.mnt);
	snprintf(to, sizeof(to), "%s/hosts/one", w->mnt);
	for (int round = 0; round < 12; round++) {
		for (int i = 0; i < 8; i++)
			change_at_random(w, &seed);
		/* The second is seen when all that came with the first has been told. */
		for (int i = 0; i < 2; i++) {
			char name[32];

			snprintf(name, sizeof(name), "marks/%d.%d", round, i);
			put(w, host_scope(w), name, "seen");
			snprintf(name, sizeof(name), "hosts/one/marks/%d.%d", round, i);
			unit_wait(text_is(w, name, "seen"));
		}
		world_mount(&fresh);
		compare(from, to);
		assert_int_equal(world_unmount(&fresh, SIGTERM), 0);
	}
}

int main(void)
{
	const struct CMUnitTest mounted[] = {
		cmocka_unit_test(a_put_shows_even_where_an_absence_was_remembered),
		cmocka_unit_test(a_replaced_file_shows_its_new_bytes_and_an_open_one_its_old),
		cmocka_unit_test(a_hidden_tree_goes_and_comes_back),
		cmocka_unit_test(an_opaque_directory_shows_only_what_is_put),
		cmocka_unit_test(the_directory_above_is_listed_as_what_it_became),
		cmocka_unit_test(attributes_change_alone),
		cmocka_unit_test(a_template_follows_its_keys),
		cmocka_unit_test(hosts_come_and_go),
		cmocka_unit_test(a_host_moves_to_the_active_version),
		cmocka_unit_test(it_is_sealed_and_outlives_its_origin),
		cmocka_unit_test(caches_are_right_after_any_change),
	};
	return cmocka_run_group_tests(mounted, setup, teardown);
}
