/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who a child becomes, by accounts that are there, that are not, and that cannot be read.
 * What it may do then is tests/net/sandbox.sh.
 */
#include "tests/unit/unit.h"

#include <sched.h>
#include <sys/mount.h>

#include "common/sandbox.h"

struct accounts {
	char *dir;
	char passwd[256];
	char group[256];
};

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* Files of our own in the place of the system's, seen by this process alone. */
static int setup(void **state)
{
	struct accounts *a = calloc(1, sizeof(*a));
	void *dir;

	if (unit_dir_setup(&dir))
		return -1;
	a->dir = dir;
	snprintf(a->passwd, sizeof(a->passwd), "%s/passwd", a->dir);
	snprintf(a->group, sizeof(a->group), "%s/group", a->dir);
	put(a->passwd, "");
	put(a->group, "");
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount(a->passwd, "/etc/passwd", NULL, MS_BIND, NULL) ||
	    mount(a->group, "/etc/group", NULL, MS_BIND, NULL)) {
		print_message("may not mount: skipped\n");
		exit(77);
	}
	*state = a;
	return 0;
}

static int teardown(void **state)
{
	struct accounts *a = *state;
	void *dir = a->dir;

	umount("/etc/passwd");
	umount("/etc/group");
	free(a);
	return unit_dir_teardown(&dir);
}

static void without_accounts_the_numbers_are_fixed(void **state)
{
	struct accounts *a = *state;
	struct sandbox s;

	put(a->passwd,
	    "root:x:0:0::/root:/bin/sh\nrootstock-tftpd:x:7:7::/:\nrootstock:x:8:8::/:\n");
	put(a->group, "root:x:0:\nrootstocks:x:9:\n");
	for (int child = 0; child < SANDBOX_CHILDREN; child++) {
		assert_int_equal(sandbox_identity((enum sandbox_child)child, &s, NULL), 0);
		assert_int_equal(s.uid, 64111 + child);
		assert_int_equal(s.gid, 64110);
	}
}

static void an_account_is_the_childs(void **state)
{
	struct accounts *a = *state;
	static char members[40000];
	struct sandbox s;
	FILE *f;

	put(a->passwd, "root:x:0:0::/root:/bin/sh\nrootstock-nfs::501:500::/:\n"
		       "rootstock-tftp:x:502:500::/:");
	memset(members, 'm', sizeof(members) - 1);
	put(a->group, "many:x:3:");
	f = fopen(a->group, "a");
	fprintf(f, "%s\nrootstock:!:500:rootstock-nfs,rootstock-tftp\n", members);
	fclose(f);
	assert_int_equal(sandbox_identity(SANDBOX_TFTP, &s, NULL), 0);
	assert_int_equal(s.uid, 502);
	assert_int_equal(s.gid, 500);
	assert_int_equal(sandbox_identity(SANDBOX_NFS, &s, NULL), 0);
	assert_int_equal(s.uid, 501);
}

/* A number that is none must not become another's. */
static void what_cannot_be_told_is_an_error(void **state)
{
	static const char *const bad[] = {"rootstock-dhcp:x:\n", "rootstock-dhcp:x\n",
					  "rootstock-dhcp:x:abc:1::/:\n", "rootstock-dhcp:x:5\n",
					  "rootstock-dhcp:x:0:0::/:\n"};
	struct accounts *a = *state;
	struct sandbox s = {.uid = 1};
	struct why why = {""};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		put(a->passwd, bad[i]);
		assert_int_equal(sandbox_identity(SANDBOX_DHCP, &s, &why), -EINVAL);
		assert_string_equal(why.text,
				    "/etc/passwd: rootstock-dhcp has no number but root's");
	}
	assert_int_equal(s.uid, 1);
	umount("/etc/passwd");
	assert_int_equal(mount("/proc/self/mem", "/etc/passwd", NULL, MS_BIND, NULL), 0);
	assert_int_equal(sandbox_identity(SANDBOX_DHCP, &s, &why), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(without_accounts_the_numbers_are_fixed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_account_is_the_childs, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_told_is_an_error, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
