/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/site.h"

#include "common/schema.h"
#include "fsd/overlay_prune.h"

static const struct scope all = {SCOPE_ALL, 0};
static const struct scope host = {SCOPE_HOST, 1};

static int site_setup(void **state)
{
	struct site *s = malloc(sizeof(*s));

	site_init(s);
	*state = s;
	return 0;
}

static int site_teardown(void **state)
{
	site_fini(*state);
	free(*state);
	return 0;
}

/* The scope's rows in order, "kind:path" each, retired ones in parentheses. */
static const char *rows_of(struct site *s, struct scope scope)
{
	static const char *const kinds[ENTRY_KINDS] = {"?",	 "file",   "template", "link",
						       "dir",	 "hide",   "opaque",   "attr",
						       "parent", "parent+"};
	static char text[4096];
	struct overlay *ov;
	size_t n = 0;

	text[0] = '\0';
	assert_int_equal(overlay_load(s->db, scope, NULL, &ov), 0);
	for (unsigned int i = 0; i < ov->n; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s%s:%s%s", i ? " " : "",
				      ov->entries[i].retired ? "(" : "", kinds[ov->entries[i].kind],
				      ov->entries[i].path, ov->entries[i].retired ? ")" : "");
	overlay_free(ov);
	return text;
}

static const struct entry *row(struct overlay *ov, const char *path)
{
	for (unsigned int i = 0; i < ov->n; i++)
		if (!strcmp(ov->entries[i].path, path) && !ov->entries[i].retired)
			return &ov->entries[i];
	fail_msg("no row for %s", path);
	return NULL;
}

static void paths_take_one_form(void **state)
{
	static const char *const good[][2] = {
		{"/etc/motd", "etc/motd"}, {"etc//motd/", "etc/motd"}, {"///", ""}, {"", ""},
		{"/a/.b/..c", "a/.b/..c"}, {"a\nb", "a\nb"},
	};
	static const char *const bad[] = {".", "..", "/a/./b", "a/..", "../a"};
	char out[4096];
	char long_path[5000];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(overlay_path(good[i][0], out, NULL), 0);
		assert_string_equal(out, good[i][1]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct why why = {""};

		assert_int_equal(overlay_path(bad[i], out, &why), -EINVAL);
		assert_true(why.text[0]);
	}
	memset(long_path, 'a', sizeof(long_path));
	long_path[256] = '\0';
	assert_int_equal(overlay_path(long_path, out, NULL), -ENAMETOOLONG);
	long_path[255] = '\0';
	assert_int_equal(overlay_path(long_path, out, NULL), 0);
	for (size_t i = 1; i < sizeof(long_path); i += 2)
		long_path[i - 1] = 'a', long_path[i] = '/';
	long_path[4999] = '\0';
	assert_int_equal(overlay_path(long_path, out, NULL), -ENAMETOOLONG);
	long_path[4095] = '\0';
	assert_int_equal(overlay_path(long_path, out, NULL), 0);
}

static void a_put_brings_its_parents_and_a_reset_takes_them(void **state)
{
	struct site *s = *state;
	struct entry_spec file = site_file(s, "x");

	assert_int_equal(site_change(s, all, "a/b/c", &file, NULL, NULL), 0);
	assert_string_equal(rows_of(s, all), "parent:a parent:a/b file:a/b/c");
	assert_int_equal(site_change(s, all, "a/d", &file, NULL, NULL), 0);
	assert_string_equal(rows_of(s, all), "parent:a parent:a/b file:a/b/c file:a/d");
	assert_int_equal(site_reset(s, all, "a/b", false), -ENOENT); /* nobody asked for it */
	assert_int_equal(site_reset(s, all, "a/b/c", false), 0);
	assert_string_equal(rows_of(s, all), "parent:a (parent:a/b) (file:a/b/c) file:a/d");
	assert_int_equal(site_reset(s, all, "a/d", false), 0);
	assert_string_equal(rows_of(s, all), "(parent:a) (parent:a/b) (file:a/b/c) (file:a/d)");
	assert_int_equal(site_reset(s, all, "a/d", false), -ENOENT);
	assert_int_equal(site_reset(s, host, "a", false), -ENOENT);
	assert_string_equal(rows_of(s, host), "");
}

static void a_reset_directory_stays_as_a_way(void **state)
{
	struct site *s = *state;
	struct entry_spec file = site_file(s, "x");
	const struct entry_spec dir = {.kind = ENTRY_DIR, .flags = ENTRY_MODE_SET, .mode = 0700};

	assert_int_equal(site_change(s, all, "a", &dir, NULL, NULL), 0);
	assert_int_equal(site_change(s, all, "a/b", &file, NULL, NULL), 0);
	assert_int_equal(site_reset(s, all, "a", false), 0);
	assert_string_equal(rows_of(s, all), "(dir:a) parent:a file:a/b");
	assert_int_equal(site_reset(s, all, "a/b", false), 0);
	assert_string_equal(rows_of(s, all), "(dir:a) (file:a/b) (parent:a)");
}

static void a_later_row_for_a_directory_comes_before_what_is_in_it(void **state)
{
	const struct entry_spec attr = {.kind = ENTRY_ATTR, .flags = ENTRY_MODE_SET, .mode = 0700};
	const struct entry_spec opaque = {.kind = ENTRY_OPAQUE};
	struct site *s = *state;
	struct entry_spec file = site_file(s, "x");
	struct overlay *ov;

	assert_int_equal(site_change(s, all, "a/b", &file, NULL, NULL), 0);
	assert_int_equal(site_change(s, all, "a", &attr, NULL, NULL), 0);
	assert_string_equal(rows_of(s, all), "(parent:a) parent+:a file:a/b");
	assert_int_equal(overlay_load(s->db, all, NULL, &ov), 0);
	assert_int_equal(row(ov, "a")->flags, ENTRY_MODE_SET); /* the owner is nobody's wish */
	overlay_free(ov);
	assert_int_equal(site_change(s, all, "a", &opaque, NULL, NULL), 0);
	assert_string_equal(rows_of(s, all), "(parent:a) (parent+:a) opaque:a file:a/b");
	assert_int_equal(site_change(s, all, "a", &attr, NULL, NULL), 0);
	assert_int_equal(overlay_load(s->db, all, NULL, &ov), 0);
	assert_int_equal(row(ov, "a")->kind, ENTRY_OPAQUE);
	assert_int_equal(row(ov, "a")->mode, 0700);
	overlay_free(ov);
}

static void attributes_add_up(void **state)
{
	const struct entry_spec mode = {.kind = ENTRY_ATTR, .flags = ENTRY_MODE_SET, .mode = 0600};
	const struct entry_spec owner = {
		.kind = ENTRY_ATTR, .flags = ENTRY_OWNER_SET, .uid = 7, .gid = 8};
	struct site *s = *state;
	struct entry_spec file = site_file(s, "body");
	const struct entry *e;
	struct overlay *ov;
	uint32_t id;

	assert_int_equal(site_change(s, all, "", &mode, NULL, NULL), 0);
	assert_int_equal(site_change(s, all, "", &owner, NULL, NULL), 0);
	assert_int_equal(site_change(s, all, "f", &file, NULL, NULL), 0);
	assert_int_equal(site_change(s, all, "f", &mode, &id, NULL), 0);
	assert_int_equal(overlay_load(s->db, all, NULL, &ov), 0);
	e = row(ov, "");
	assert_int_equal(e->flags, ENTRY_MODE_SET | ENTRY_OWNER_SET);
	assert_int_equal(e->mode, 0600);
	assert_int_equal(e->uid, 7);
	e = row(ov, "f");
	assert_int_equal(e->id, id);
	assert_int_equal(e->kind, ENTRY_FILE);
	assert_int_equal(e->flags, ENTRY_MODE_SET);
	assert_memory_equal(&e->hash, &file.hash, HASH_LEN);
	overlay_free(ov);
}

static void an_attribute_alone_becomes_a_way_when_needed(void **state)
{
	const struct entry_spec attr = {.kind = ENTRY_ATTR, .flags = ENTRY_MODE_SET, .mode = 0700};
	struct site *s = *state;
	struct entry_spec file = site_file(s, "x");

	assert_int_equal(site_change(s, all, "a", &attr, NULL, NULL), 0);
	assert_int_equal(site_change(s, all, "a/b", &file, NULL, NULL), 0);
	assert_string_equal(rows_of(s, all), "parent+:a file:a/b");
}

static void what_cannot_be_is_refused(void **state)
{
	const struct entry_spec hide = {.kind = ENTRY_WHITEOUT};
	const struct entry_spec attr = {.kind = ENTRY_ATTR, .flags = ENTRY_MODE_SET, .mode = 0700};
	struct site *s = *state;
	struct entry_spec file = site_file(s, "x");
	struct why why = {""};
	uint64_t before;

	assert_int_equal(site_change(s, all, "h", &hide, NULL, NULL), 0);
	assert_int_equal(site_change(s, all, "f", &file, NULL, NULL), 0);
	before = site_last_change(s);
	assert_int_equal(site_change(s, all, "h/x", &file, NULL, &why), -ENOTDIR);
	assert_string_equal(why.text, "/h: hidden by this overlay: reset it first");
	why.text[0] = '\0';
	assert_int_equal(site_change(s, all, "f/x/y", &file, NULL, &why), -ENOTDIR);
	assert_string_equal(why.text, "/f: made a file by this overlay: reset it first");
	why.text[0] = '\0';
	assert_int_equal(site_change(s, all, "h", &attr, NULL, &why), -EINVAL);
	assert_string_equal(why.text, "/h: hidden by this overlay: reset it first");
	assert_int_equal(site_change(s, all, "", &hide, NULL, NULL), -EINVAL);
	assert_int_equal(site_last_change(s), before); /* and nothing is left of it */
	assert_string_equal(rows_of(s, all), "hide:h file:f");
	/* another scope is free to */
	assert_int_equal(site_change(s, host, "h/x", &file, NULL, NULL), 0);
}

static bool in_force(struct site *s, const char *path, uint64_t pin, uint8_t kind)
{
	struct overlay *ov;
	unsigned int n = 0;
	bool found = false;

	assert_int_equal(overlay_load(s->db, all, NULL, &ov), 0);
	for (unsigned int i = 0; i < ov->n; i++)
		if (!strcmp(ov->entries[i].path, path) && entry_in_force(&ov->entries[i], pin)) {
			found = ov->entries[i].kind == kind;
			n++;
		}
	assert_true(n <= 1); /* every boot sees one row of a path */
	overlay_free(ov);
	return found;
}

static void a_boot_keeps_the_entries_of_its_beginning(void **state)
{
	struct site *s = *state;
	struct entry_spec file = site_file(s, "x");
	struct entry_spec link = {
		.kind = ENTRY_LINK, .flags = ENTRY_NEXT_BOOT, .body = {(const uint8_t *)"y", 1}};
	uint64_t before;
	uint64_t between;

	assert_int_equal(site_change(s, all, "a", &file, NULL, NULL), 0);
	before = site_last_change(s);
	assert_int_equal(site_change(s, all, "a", &link, NULL, NULL), 0);
	between = site_last_change(s);
	assert_true(in_force(s, "a", before, ENTRY_FILE));
	assert_true(in_force(s, "a", between, ENTRY_LINK));
	assert_true(in_force(s, "a", UINT64_MAX, ENTRY_LINK));
	assert_int_equal(site_reset(s, all, "a", true), 0);
	assert_true(in_force(s, "a", before, ENTRY_FILE));
	assert_true(in_force(s, "a", between, ENTRY_LINK));
	assert_false(in_force(s, "a", UINT64_MAX, ENTRY_LINK));
	/* a live change is for all */
	assert_int_equal(site_change(s, all, "b", &link, NULL, NULL), 0);
	assert_int_equal(site_change(s, all, "b", &file, NULL, NULL), 0);
	assert_true(in_force(s, "b", before, ENTRY_FILE));
}

static void attributes_do_not_let_a_body_out_early(void **state)
{
	const struct entry_spec attr = {.kind = ENTRY_ATTR, .flags = ENTRY_MODE_SET, .mode = 0700};
	struct site *s = *state;
	struct entry_spec file = site_file(s, "x");
	uint64_t before = site_last_change(s);
	uint64_t between;

	file.flags |= ENTRY_NEXT_BOOT;
	assert_int_equal(site_change(s, all, "a", &file, NULL, NULL), 0);
	between = site_last_change(s);
	assert_int_equal(site_change(s, all, "a", &attr, NULL, NULL), 0);
	assert_false(in_force(s, "a", before, ENTRY_FILE));
	assert_true(in_force(s, "a", between, ENTRY_FILE));
	assert_true(in_force(s, "a", UINT64_MAX, ENTRY_FILE));
}

static void a_live_entry_has_its_way_now(void **state)
{
	struct site *s = *state;
	struct entry_spec file = site_file(s, "x");
	struct entry_spec later = file;
	uint64_t before = site_last_change(s);

	later.flags |= ENTRY_NEXT_BOOT;
	assert_int_equal(site_change(s, all, "a/later", &later, NULL, NULL), 0);
	assert_false(in_force(s, "a", before, ENTRY_PARENT));
	assert_int_equal(site_change(s, all, "a/now", &file, NULL, NULL), 0);
	assert_true(in_force(s, "a", before, ENTRY_PARENT));
	assert_true(in_force(s, "a/now", before, ENTRY_FILE));
}

static void a_way_stays_for_those_who_still_see_what_it_leads_to(void **state)
{
	struct site *s = *state;
	struct entry_spec file = site_file(s, "x");
	uint64_t pin;

	assert_int_equal(site_change(s, all, "a/b", &file, NULL, NULL), 0);
	assert_int_equal(site_change(s, all, "a/c", &file, NULL, NULL), 0);
	pin = site_last_change(s);
	assert_int_equal(site_reset(s, all, "a/b", true), 0);
	assert_int_equal(site_reset(s, all, "a/c", false), 0);
	assert_true(in_force(s, "a/b", pin, ENTRY_FILE));
	assert_true(in_force(s, "a", pin, ENTRY_PARENT));
	assert_false(in_force(s, "a", UINT64_MAX, ENTRY_PARENT));
}

static void a_row_that_cannot_be_is_refused(void **state)
{
	static const char *const wrongs[] = {
		"UPDATE entry SET kind = 99",	     "UPDATE entry SET kind = 0",
		"UPDATE entry SET object = x'0102'", "UPDATE entry SET kind = 3, target = NULL",
		"UPDATE entry SET id = 5",
	};
	struct site *s = *state;
	struct entry_spec file = site_file(s, "x");

	assert_int_equal(site_change(s, all, "a", &file, NULL, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(wrongs); i++) {
		struct overlay *ov;

		assert_int_equal(db_exec(s->db, "BEGIN"), 0);
		assert_int_equal(db_exec(s->db, wrongs[i]), 0);
		assert_int_equal(overlay_load(s->db, all, NULL, &ov), -EUCLEAN);
		db_rollback(s->db);
	}
}

/* Of what was retired before `age` seconds; returns how many rows went. */
static unsigned int pruned(struct site *s, struct db *leases, int64_t age, unsigned int most)
{
	unsigned int gone;

	assert_int_equal(overlay_prune(s->db, leases,
				       wall_now_ns() + (OVERLAY_PRUNE_SECS - age) * NS_PER_SEC, 1,
				       most, &gone),
			 0);
	return gone;
}

static void boot_add(struct db *leases, uint32_t of, uint8_t mac, int64_t change)
{
	const uint8_t octets[6] = {2, 0, 0, 0, 0, mac};

	assert_int_equal(db_run(leases,
				"INSERT INTO boot (host, mac, change, opened) VALUES"
				" (nullif(?, 0), ?, ?, 1)",
				"ubi", of, (struct bytes){octets, sizeof(octets)}, change),
			 0);
}

static int64_t change_now(struct site *s)
{
	sqlite3_stmt *stmt = db_stmt(s->db, "SELECT value FROM counter WHERE name = 'change'");
	int64_t value;

	assert_int_equal(db_query(s->db, stmt, ""), DB_ROW);
	value = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return value;
}

/* Until the boots are over that can hold it; the last of each directory stays. */
static void what_nobody_holds_any_more_goes(void **state)
{
	const struct scope group = {SCOPE_GROUP, 7};
	struct site *s = *state;
	struct entry_spec file = site_file(s, "x");
	cleanup(db_closep) struct db *leases = NULL;
	int64_t began;
	unsigned int gone;

	assert_int_equal(db_open(s->state, &schema_leases, DB_CREATE, &leases, NULL), 0);
	assert_int_equal(
		db_exec(s->db,
			"INSERT INTO grp (id, name, changed) VALUES (7, 'desk', 0);"
			"INSERT INTO host (id, name, added, changed) VALUES (1, 'amy', 0, 0),"
			" (2, 'mia', 0, 0), (3, 'zoe', 0, 0);"
			"INSERT INTO host_group (host, grp, position) VALUES (2, 7, 0);"
			"INSERT INTO host_mac (mac, host) VALUES (x'020000000003', 3)"),
		0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(site_change(s, all, "a/b", &file, NULL, NULL), 0);
		assert_int_equal(site_change(s, all, "c", &file, NULL, NULL), 0);
		assert_int_equal(site_change(s, group, "c", &file, NULL, NULL), 0);
		assert_int_equal(site_change(s, host, "c", &file, NULL, NULL), 0);
	}
	assert_string_equal(rows_of(s, all),
			    "parent:a (file:a/b) (file:c) (file:a/b) (file:c) file:a/b file:c");
	/* Not yet, nor where too few are retired for a look. */
	assert_int_equal(pruned(s, leases, 60, 100), 0);
	assert_int_equal(
		overlay_prune(s->db, leases, wall_now_ns() + 10000 * NS_PER_SEC, 9, 100, &gone), 0);
	assert_int_equal(gone, 0);
	/* Mia's boot began before all of it: it is of her group, and of all. */
	boot_add(leases, 2, 2, 0);
	assert_int_equal(pruned(s, leases, -1, 100), 1);
	assert_string_equal(rows_of(s, host), "(file:c) file:c");
	assert_string_equal(rows_of(s, group), "(file:c) (file:c) file:c");
	/* One that began now has seen nothing of it; and the same again as before. */
	began = change_now(s);
	assert_int_equal(db_run(leases, "UPDATE boot SET change = ?", "i", began), 0);
	assert_int_equal(pruned(s, leases, -1, 2), 2); /* some a turn */
	assert_int_equal(pruned(s, leases, -1, 2), 1);
	assert_string_equal(rows_of(s, all), "parent:a (file:a/b) (file:c) file:a/b file:c");
	assert_string_equal(rows_of(s, group), "(file:c) file:c");
	assert_int_equal(pruned(s, leases, -1, 100), 0);
	/* A machine that is no host holds what is of all, one that became one its own, too. */
	assert_int_equal(db_exec(leases, "DELETE FROM boot"), 0);
	boot_add(leases, 0, 9, began);
	assert_int_equal(site_change(s, all, "c", &file, NULL, NULL), 0);
	assert_int_equal(site_change(s, host, "c", &file, NULL, NULL), 0);
	assert_int_equal(pruned(s, leases, -1, 100), 1 /* the host's */ + 1 /* by then */);
	assert_string_equal(rows_of(s, all), "parent:a (file:a/b) file:a/b (file:c) file:c");
	boot_add(leases, 0, 3, began);
	assert_int_equal(site_change(s, (struct scope){SCOPE_HOST, 3}, "c", &file, NULL, NULL), 0);
	assert_int_equal(site_change(s, (struct scope){SCOPE_HOST, 3}, "c", &file, NULL, NULL), 0);
	assert_int_equal(site_change(s, (struct scope){SCOPE_HOST, 3}, "c", &file, NULL, NULL), 0);
	assert_int_equal(pruned(s, leases, -1, 100), 0);
	assert_int_equal(db_exec(leases, "UPDATE boot SET ended = 5"), 0);
	assert_int_equal(pruned(s, leases, -1, 100), 1);
}

#define SITE(fn) cmocka_unit_test_setup_teardown(fn, site_setup, site_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_take_one_form),
		SITE(a_put_brings_its_parents_and_a_reset_takes_them),
		SITE(a_reset_directory_stays_as_a_way),
		SITE(a_later_row_for_a_directory_comes_before_what_is_in_it),
		SITE(attributes_add_up),
		SITE(an_attribute_alone_becomes_a_way_when_needed),
		SITE(what_cannot_be_is_refused),
		SITE(a_boot_keeps_the_entries_of_its_beginning),
		SITE(attributes_do_not_let_a_body_out_early),
		SITE(a_live_entry_has_its_way_now),
		SITE(a_way_stays_for_those_who_still_see_what_it_leads_to),
		SITE(a_row_that_cannot_be_is_refused),
		SITE(what_nobody_holds_any_more_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
