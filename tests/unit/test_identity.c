/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/site.h"

#include "fsd/host.h"
#include "fsd/identity.h"
#include "fsd/view.h"
#include "tests/model.h"

enum { HOSTS = 3 };

/* The live row of a path in a host's overlay; false: none. */
static bool row_of(struct site *s, uint32_t host, const char *path, struct entry *out)
{
	struct overlay *ov;
	bool found = false;

	assert_int_equal(overlay_load(s->db, (struct scope){SCOPE_HOST, host}, NULL, &ov), 0);
	for (unsigned int i = 0; i < ov->n; i++)
		if (!ov->entries[i].retired && !strcmp(ov->entries[i].path, path)) {
			*out = ov->entries[i];
			found = true;
		}
	overlay_free(ov);
	return found;
}

/* The text of its machine-id. */
static void id_of(struct site *s, uint32_t host, char out[static 34])
{
	struct overlay *ov;

	assert_int_equal(overlay_load(s->db, (struct scope){SCOPE_HOST, host}, NULL, &ov), 0);
	out[0] = '\0';
	for (unsigned int i = 0; i < ov->n; i++)
		if (!ov->entries[i].retired && !strcmp(ov->entries[i].path, "etc/machine-id")) {
			assert_int_equal(ov->entries[i].body.len, 33);
			memcpy(out, ov->entries[i].body.at, 33);
			out[33] = '\0';
		}
	assert_int_equal(strlen(out), 33);
	overlay_free(ov);
}

static bool create(struct site *s, uint32_t host, const char *name)
{
	struct why why = {""};
	bool has_keys;

	if (identity_create(s->db, s->state, host, name, &has_keys, &why))
		fail_msg("%s", why.text);
	return has_keys;
}

static void hosts(struct site *s)
{
	site_init(s);
	assert_int_equal(db_exec(s->db, "INSERT INTO host (id, name, added, changed) VALUES"
					" (1, 'amy', 0, 0), (2, 'mia', 0, 0), (3, 'zoe', 0, 0)"),
			 0);
}

static void no_two_hosts_share_an_identity(void **state)
{
	static const char *const paths[] = {"etc/ssh/ssh_host_ed25519_key",
					    "etc/ssh/ssh_host_ed25519_key.pub", "etc/machine-id"};
	static const uint16_t modes[] = {0600, 0644, 0444};
	struct entry rows[HOSTS][3];
	char ids[HOSTS][34];
	struct site s;

	(void)state;
	hosts(&s);
	for (uint32_t h = 0; h < HOSTS; h++) {
		if (!create(&s, h + 1, "amy")) {
			site_fini(&s);
			skip(); /* no ssh-keygen */
		}
		for (int i = 0; i < 3; i++) {
			assert_true(row_of(&s, h + 1, paths[i], &rows[h][i]));
			assert_true(rows[h][i].size > 0);
			assert_int_equal(rows[h][i].mode, modes[i]);
			assert_int_equal(rows[h][i].flags & ENTRY_OWNER_SET, ENTRY_OWNER_SET);
			assert_int_equal(rows[h][i].uid + rows[h][i].gid, 0);
			assert_int_equal(!!(rows[h][i].flags & ENTRY_SECRET), i == 0);
			for (uint32_t other = 0; other < h && i < 2; other++)
				assert_memory_not_equal(&rows[h][i].hash, &rows[other][i].hash,
							HASH_LEN);
		}
	}
	for (uint32_t h = 0; h < HOSTS; h++) {
		id_of(&s, h + 1, ids[h]);
		for (uint32_t other = 0; other < h; other++)
			assert_string_not_equal(ids[h], ids[other]);
	}
	/* Private keys are in secrets/ alone, and for one user alone. */
	for (uint32_t h = 0; h < HOSTS; h++) {
		cleanup(objects_closep) struct objects *secrets = NULL;
		char path[256];
		struct stat st;
		int fd;

		assert_false(objects_has(s.objects, &rows[h][0].hash));
		assert_true(objects_has(s.objects, &rows[h][1].hash));
		snprintf(path, sizeof(path), "%s/secrets", s.state);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0700);
		assert_int_equal(objects_open(s.state, STORE_SECRETS, false, &secrets, NULL), 0);
		fd = objects_get(secrets, &rows[h][0].hash, OBJECT_ANY_SIZE);
		assert_true(fd >= 0 && !fstat(fd, &st));
		assert_int_equal(st.st_size, rows[h][0].size);
		assert_int_equal(st.st_mode & 0007, 0);
		close(fd);
	}
	site_fini(&s);
}

static void an_identity_is_made_once(void **state)
{
	struct entry id;
	struct entry again;
	struct entry key;
	struct entry key_again;
	char text[2][34];
	struct site s;
	bool has_keys;

	(void)state;
	hosts(&s);
	has_keys = create(&s, 1, "amy");
	assert_true(row_of(&s, 1, "etc/machine-id", &id));
	if (has_keys)
		assert_true(row_of(&s, 1, "etc/ssh/ssh_host_ed25519_key", &key));
	create(&s, 1, "amy");
	assert_true(row_of(&s, 1, "etc/machine-id", &again));
	assert_int_equal(id.id, again.id);
	if (has_keys) {
		assert_true(row_of(&s, 1, "etc/ssh/ssh_host_ed25519_key", &key_again));
		assert_int_equal(key.id, key_again.id);
	}
	/* a machine-id that was lost comes back the same, under another name too */
	id_of(&s, 1, text[0]);
	assert_int_equal(site_reset(&s, (struct scope){SCOPE_HOST, 1}, "etc/machine-id", false), 0);
	create(&s, 1, "renamed");
	assert_true(row_of(&s, 1, "etc/machine-id", &again));
	assert_int_not_equal(id.id, again.id);
	id_of(&s, 1, text[1]);
	assert_string_equal(text[0], text[1]);
	site_fini(&s);
}

static void another_site_has_other_machine_ids(void **state)
{
	char a[34];
	char b[34];
	struct site s;

	(void)state;
	hosts(&s);
	create(&s, 1, "amy");
	id_of(&s, 1, a);
	site_fini(&s);
	hosts(&s);
	create(&s, 1, "amy");
	id_of(&s, 1, b);
	assert_string_not_equal(a, b);
	site_fini(&s);
}

static void without_ssh_keygen_there_is_no_key_and_no_error(void **state)
{
	const char *path = getenv("PATH");
	cleanup(freep) char *saved = path ? strdup(path) : NULL;
	struct entry e;
	struct site s;

	(void)state;
	hosts(&s);
	setenv("PATH", "/nowhere", 1);
	assert_false(create(&s, 1, "amy"));
	if (saved)
		setenv("PATH", saved, 1);
	assert_true(row_of(&s, 1, "etc/machine-id", &e));
	assert_false(row_of(&s, 1, "etc/ssh/ssh_host_ed25519_key", &e));
	site_fini(&s);
}

static void why_no_key_could_be_made_is_said(void **state)
{
	static const char fake[] = "#!/bin/sh\necho first >&2\necho no room >&2\nexit 1\n";
	cleanup(freep) char *before = strdup(getenv("PATH"));
	struct why why = {""};
	bool has_keys;
	char path[256];
	struct site s;
	int fd;

	(void)state;
	hosts(&s);
	snprintf(path, sizeof(path), "%s/ssh-keygen", s.dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	assert_int_equal(write(fd, fake, sizeof(fake) - 1), sizeof(fake) - 1);
	close(fd);
	setenv("PATH", s.dir, 1);
	assert_int_equal(identity_create(s.db, s.state, 1, "amy", &has_keys, &why), -EIO);
	setenv("PATH", before, 1);
	assert_string_equal(why.text, "amy: ssh-keygen: no room");
	site_fini(&s);
}

/* The supervisor makes keys between two events: it must not stand still for a sweep. */
static void a_sweep_is_not_waited_for(void **state)
{
	cleanup(objects_closep) struct objects *swept = NULL;
	struct why why = {""};
	bool has_keys;
	struct site s;

	(void)state;
	hosts(&s);
	create(&s, 1, "amy"); /* both stores are there */
	assert_int_equal(objects_open(s.state, STORE_OBJECTS, false, &swept, NULL), 0);
	assert_int_equal(objects_hold(swept, true), 0);
	alarm(UNIT_PATIENCE_MS / 1000); /* ends us, rather than to wait for ever */
	assert_int_equal(identity_create(s.db, s.state, 2, "mia", &has_keys, &why), -EWOULDBLOCK);
	alarm(0);
	objects_release(swept);
	create(&s, 2, "mia");
	site_fini(&s);
}

static void who_lacks_a_key_is_found_once(void **state)
{
	char name[NAME_MAX_LEN + 1];
	uint32_t host = 0;
	struct site s;

	(void)state;
	hosts(&s);
	assert_int_equal(identity_lacking(s.db, 0, &host, name), 0);
	assert_int_equal(host, 1);
	if (!create(&s, 1, "amy")) {
		site_fini(&s);
		skip(); /* no ssh-keygen */
	}
	assert_int_equal(identity_lacking(s.db, 0, &host, name), 0);
	assert_int_equal(host, 2);
	assert_string_equal(name, "mia");
	create(&s, 3, "zoe");
	assert_int_equal(identity_lacking(s.db, 2, &host, name), -ENOENT);
	site_fini(&s);
}

static void keys_may_come_later_than_the_rest(void **state)
{
	const char *const key = "etc/ssh/ssh_host_ed25519_key";
	const struct mac macs[] = {{{2, 0, 0, 0, 0, 1}}, {{2, 0, 0, 0, 0, 2}}};
	struct why why = {""};
	struct entry id;
	struct entry again;
	struct entry row;
	struct site s;
	bool has_keys;
	uint32_t host;

	(void)state;
	site_init(&s);
	assert_int_equal(hosts_add(s.db, macs, 2, &why), 0);
	assert_int_equal(host_find(s.db, "02:00:00:00:00:02", &host, &why), 0);
	assert_true(row_of(&s, host, "etc/machine-id", &id));
	assert_false(row_of(&s, host, key, &row));
	has_keys = create(&s, host, "host-020000000002");
	assert_true(row_of(&s, host, "etc/machine-id", &again));
	assert_int_equal(id.id, again.id);
	assert_int_equal(row_of(&s, host, key, &row), has_keys);
	/* All or none. */
	assert_int_equal(hosts_add(s.db, (struct mac[]){{{2, 0, 0, 0, 0, 3}}, macs[0]}, 2, &why),
			 -EEXIST);
	assert_int_equal(host_find(s.db, "02:00:00:00:00:03", &host, &why), -ENOENT);
	site_fini(&s);
}

/* Its card went into another machine, which has nobody's name then. */
static void a_name_that_is_taken_keeps_no_machine_out(void **state)
{
	const struct mac card = {{2, 0, 0, 0, 0, 1}};
	const struct mac other = {{2, 0, 0, 0, 0, 9}};
	struct why why = {""};
	struct site s;
	uint32_t host;
	uint32_t again;

	(void)state;
	site_init(&s);
	assert_int_equal(hosts_add(s.db, &card, 1, &why), 0);
	assert_int_equal(host_find(s.db, "host-020000000001", &host, &why), 0);
	assert_int_equal(db_run(s.db, "UPDATE host_mac SET mac = ? WHERE host = ?", "bu",
				mac_bytes(&other), host),
			 0);
	assert_int_equal(hosts_add(s.db, &card, 1, &why), 0);
	assert_int_equal(host_find(s.db, "host-020000000001-2", &host, &why), 0);
	assert_int_equal(host_find(s.db, "02:00:00:00:00:01", &again, &why), 0);
	assert_int_equal(host, again);
	site_fini(&s);
}

static void keys_of_a_host_that_was_removed_are_not_kept(void **state)
{
	struct entry row;
	struct site s;

	(void)state;
	hosts(&s);
	assert_int_equal(db_exec(s.db, "DELETE FROM host WHERE id = 2"), 0);
	create(&s, 2, "mia");
	assert_false(row_of(&s, 2, "etc/machine-id", &row));
	assert_false(row_of(&s, 2, "etc/ssh/ssh_host_ed25519_key", &row));
	site_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_two_hosts_share_an_identity),
		cmocka_unit_test(an_identity_is_made_once),
		cmocka_unit_test(a_sweep_is_not_waited_for),
		cmocka_unit_test(who_lacks_a_key_is_found_once),
		cmocka_unit_test(keys_may_come_later_than_the_rest),
		cmocka_unit_test(a_name_that_is_taken_keeps_no_machine_out),
		cmocka_unit_test(keys_of_a_host_that_was_removed_are_not_kept),
		cmocka_unit_test(another_site_has_other_machine_ids),
		cmocka_unit_test(without_ssh_keygen_there_is_no_key_and_no_error),
		cmocka_unit_test(why_no_key_could_be_made_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
