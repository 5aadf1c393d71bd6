/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Names asked by addresses: real databases, a view out of a table.
 */
#include "tests/unit/unit.h"

#include "common/schema.h"
#include "tests/unit/test_tftp_fake.h"
#include "tftp/namespace.h"
#include "tftp/plan.h"

static struct fake_file files[] = {
	{"", D, NULL, false},
	{"boot", D, NULL, false},
	{"boot/vmlinuz-6.1.0-18-amd64", S_IFREG | 0600, "the kernel", false},
	{"boot/initrd.img-6.1.0-18-amd64", F, "the initrd", false},
	{"boot/firmware", D, NULL, false},
	{"boot/firmware/start4.elf", F, "start", false},
	{"etc", D, NULL, false},
	{"etc/initramfs-tools", D, NULL, false},
	{"etc/hostname", F, "h7", false},
	{"etc/shadow", S_IFREG | 0640, "root:x", false},
	{"etc/ssh_host_key", F, "secret", true},
	{"etc/link_to_key", L, "ssh_host_key", false},
	{"root", S_IFDIR | 0700, NULL, false},
	{"root/open", F, "x", false},
	{"dev", D, NULL, false},
	{"dev/null", S_IFCHR | 0666, NULL, false},
	{"linuxrc", S_IFREG | 0755, "#!", false},
	{"bin", D, NULL, false},
	{"bin/sh", S_IFREG | 0755, "ELF", false},
};
static struct view the_view = {files, ARRAY_SIZE(files)};

/* ---- the rest of fsd, as thin as it goes ---- */

struct content {
	const char *text;
};

static bool parked;	       /* the copier has not brought it */
static uint32_t asked_version; /* of views_get */
static uint64_t asked_change;
static struct content_wait *parked_wait;
static unsigned int cancelled;
static uint64_t there = UINT64_MAX; /* bytes of every file that are copied */
static unsigned int more_asked;
static unsigned int views_behind; /* this many polls until they know the host */

int views_get(struct views *views, uint32_t host, uint32_t version, uint64_t change,
	      struct view **out)
{
	(void)views;
	(void)host;
	if (views_behind)
		return -ENOENT;
	asked_version = version;
	asked_change = change;
	*out = &the_view;
	return 0;
}

bool views_poll(struct views *views)
{
	(void)views;
	views_behind -= views_behind > 0;
	return true;
}

void view_unref(struct view *view)
{
	(void)view;
}

static struct content *content_of(uint32_t node)
{
	struct content *c = malloc(sizeof(*c));

	c->text = files[node - 1].text;
	return c;
}

int contents_open_at(struct contents *cs, struct view *view, uint32_t node, uint64_t offset,
		     uint64_t len, struct content **out, struct content_wait *wait)
{
	(void)cs;
	(void)view;
	(void)offset;
	(void)len;
	if (parked) {
		parked_wait = wait;
		return CONTENT_WAIT;
	}
	*out = content_of(node);
	return 0;
}

bool content_ready(const struct content *c, uint64_t offset, uint64_t len)
{
	(void)c;
	return offset + len <= there;
}

int contents_more(struct contents *cs, struct content *content, uint64_t offset, uint64_t len,
		  struct content **out, struct content_wait *wait)
{
	(void)cs;
	(void)content;
	(void)offset;
	(void)len;
	(void)out;
	parked_wait = wait;
	more_asked++;
	return CONTENT_WAIT;
}

void contents_cancel(struct contents *cs, struct content_wait *wait)
{
	(void)cs;
	(void)wait;
	cancelled++;
}

uint64_t content_size(const struct content *c)
{
	return strlen(c->text);
}

ssize_t content_pread(const struct content *c, void *buf, size_t len, uint64_t offset)
{
	size_t have = strlen(c->text) - (size_t)offset;

	len = len < have ? len : have;
	memcpy(buf, c->text + offset, len);
	return (ssize_t)len;
}

void content_unref(struct content *c)
{
	free(c);
}

/* ---- one world a test ---- */

static const char rows[] =
	"INSERT INTO image (id, name) VALUES (1, 'debian');"
	"INSERT INTO version (id, image, number, origin_kind, origin, added) VALUES"
	" (1, 1, 1, 'dir', '/a', 0), (2, 1, 2, 'dir', '/b', 0);"
	"UPDATE image SET active = 2 WHERE id = 1;"
	"INSERT INTO grp (id, name, changed) VALUES (1, 'lab', 0);"
	"INSERT INTO host (id, name, address, pending, added, changed) VALUES"
	" (1, 'h7', 167772167, 0, 0, 0), (2, 'h8', 167772168, 1, 0, 0), (3, 'h9', NULL, 0, 0, 0);"
	"INSERT INTO host_mac VALUES (x'525400123401', 1), (x'525400123402', 2),"
	" (x'525400123403', 3);"
	"INSERT INTO host_group VALUES (1, 0, 1);"
	"INSERT INTO setting VALUES (0, 0, 'cmdline', 'site=1'), (1, 1, 'cmdline', 'group=1'),"
	" (2, 1, 'cmdline', 'host=1'), (2, 1, 'console', 'ttyS0,115200');";

static const char lease_rows[] =
	"INSERT INTO lease (address, mac, state, started, expires) VALUES"
	" (167772167, x'525400123401', 2, 0, 0), (167772170, x'5254001234aa', 2, 0, 0);"
	"INSERT INTO boot (mac, address, version, change, opened) VALUES"
	" (x'525400123401', 167772167, 1, 7, 0);";

struct world {
	char *dir;
	struct db *db;
	struct db *leases;
	struct directory *directory;
	struct loaders *loaders;
	struct namespace *ns;
	struct tftp_wait wait;
	struct tftp_answer answer;
	char text[4096];
	struct instant now;
};

static int world_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	void *dir;
	char boot[256];
	const char *folders[2] = {boot, NULL};

	if (unit_dir_setup(&dir))
		return -1;
	w->dir = dir;
	snprintf(boot, sizeof(boot), "%s/folder", w->dir);
	mkdir(boot, 0755);
	if (db_open(w->dir, &schema_rootstock, DB_CREATE, &w->db, NULL) || db_exec(w->db, rows) ||
	    db_open(w->dir, &schema_leases, DB_CREATE, &w->leases, NULL) ||
	    db_exec(w->leases, lease_rows) || directory_open(w->dir, &w->directory, NULL) ||
	    loaders_new(folders, &w->loaders, NULL))
		return -1;
	*state = w;
	w->now = instant_add_ms(w->now, 1000000);
	parked = false;
	cancelled = 0;
	return namespace_new(&(struct namespace_config){.loaders = w->loaders,
							.directory = w->directory,
							.registers = true},
			     &w->ns);
}

static int world_teardown(void **state)
{
	struct world *w = *state;
	void *dir = w->dir;

	namespace_free(w->ns);
	loaders_free(w->loaders);
	directory_close(w->directory);
	db_close(w->leases);
	db_close(w->db);
	free(w);
	return unit_dir_teardown(&dir);
}

static int ask(struct world *w, uint32_t from, const char *name)
{
	struct tftp_tree *tree = namespace_tree(w->ns);
	struct tftp_ask a = {.from = from,
			     .to = 0x0a000001,
			     .name = name,
			     .name_len = strlen(name),
			     .now = w->now};
	struct tftp_file *file = NULL;
	int r = tree->open(tree, &a, &w->wait, &w->answer, &file);

	if (!r) {
		ssize_t n = tftp_file_pread(file, w->text, sizeof(w->text) - 1, 0);

		assert_int_equal(n, file->size);
		w->text[n] = '\0';
		tftp_file_close(file);
	}
	return r;
}

enum { H7 = 0x0a000007, H8 = 0x0a000008, STRANGER = 0x0a00000a, NOBODY = 0x0a0000ff };

static void a_menu_is_rendered_for_the_address_that_asks(void **state)
{
	static const char *const names[] = {"pxelinux.cfg/01-52-54-00-12-34-01",
					    "pxelinux.cfg/default", "/pxelinux.cfg/0A000007",
					    "pxelinux.cfg/44454c4c-5900-1031-8033-b8c04f533532"};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(ask(w, H7, names[i]), 0);
		assert_string_equal(
			w->text,
			"SERIAL 0 115200\n# h7, debian@1\nPROMPT 0\nTIMEOUT 1\nDEFAULT rootstock\n"
			"LABEL rootstock\n  MENU LABEL h7 (debian@1)\n  KERNEL kernel\n"
			"  INITRD initrd\n  APPEND boot=nfs root=/dev/nfs "
			"nfsroot=10.0.0.1:/,vers=3,"
			"tcp,rsize=1048576,wsize=1048576,timeo=600,retrans=2,nolock ip=dhcp ro "
			"init=/linuxrc rootstock.mode=tmpfs console=tty0 console=ttyS0,115200 "
			"site=1 group=1 host=1\n  IPAPPEND 2\n");
	}
	assert_int_equal(w->answer.stage, TFTP_STAGE_MENU);
	assert_int_equal(w->answer.host, 1);
	assert_true(w->answer.has_mac);
}

static void kernel_and_initrd_come_from_the_pinned_version(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask(w, H7, "kernel"), 0);
	assert_string_equal(w->text, "the kernel");
	assert_int_equal(w->answer.stage, TFTP_STAGE_KERNEL);
	assert_int_equal(asked_version, 1);
	assert_int_equal(asked_change, 7);
	assert_int_equal(ask(w, H7, "\\initrd"), 0);
	assert_string_equal(w->text, "the initrd");
	assert_int_equal(w->answer.stage, TFTP_STAGE_INITRD);
}

static void only_what_everybody_may_read_leaves_a_view(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask(w, H7, "etc/hostname"), 0);
	assert_string_equal(w->text, "h7");
	assert_int_equal(ask(w, H7, "start4.elf"), 0);
	assert_int_equal(ask(w, H7, "0123abcd/start4.elf"), 0);
	assert_string_equal(w->text, "start");
	assert_int_equal(ask(w, H7, "etc/shadow"), TFTP_TREE_REFUSED);
	assert_int_equal(w->answer.code, TFTP_ACCESS);
	assert_int_equal(ask(w, H7, "root/open"), TFTP_TREE_REFUSED);
	assert_int_equal(ask(w, H7, "etc"), TFTP_TREE_REFUSED);
	assert_int_equal(ask(w, H7, "dev/null"), TFTP_TREE_REFUSED);
	assert_int_equal(ask(w, H7, "boot/vmlinuz-6.1.0-18-amd64"), TFTP_TREE_REFUSED);
	assert_int_equal(ask(w, H7, "etc/none"), TFTP_TREE_REFUSED);
	assert_int_equal(w->answer.code, TFTP_NOT_FOUND);
	assert_true(w->answer.expected);
}

static void a_secret_is_reached_by_no_name(void **state)
{
	static const char *const names[] = {"etc/ssh_host_key", "/etc//ssh_host_key",
					    "etc\\ssh_host_key", "etc/link_to_key",
					    "boot/./../etc/ssh_host_key"};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(ask(w, H7, names[i]), TFTP_TREE_REFUSED);
	/* not even as a kernel */
	assert_int_equal(db_exec(w->db, "INSERT INTO setting VALUES"
					" (2, 1, 'kernel', '/etc/link_to_key')"),
			 0);
	assert_int_equal(ask(w, H7, "kernel"), TFTP_TREE_REFUSED);
	assert_string_equal(w->answer.why.text, "secret");
}

static void a_stranger_is_held_until_it_is_registered(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask(w, STRANGER, "pxelinux.cfg/01-52-54-00-12-34-aa"), TFTP_TREE_LATER);
	assert_true(w->answer.stranger);
	assert_true(w->answer.has_mac);
	assert_int_equal(db_exec(w->db, "INSERT INTO host (id, name, added, changed) VALUES"
					" (4, 'new', 0, 0);"
					"INSERT INTO host_mac VALUES (x'5254001234aa', 4)"),
			 0);
	assert_int_equal(ask(w, STRANGER, "pxelinux.cfg/01-52-54-00-12-34-aa"), 0);
	assert_non_null(strstr(w->text, "# new, debian@2\n"));
	assert_int_equal(asked_change, UINT64_MAX);
}

/* The supervisor may have to wait for whoever holds the database. */
static void one_with_a_lease_is_never_told_that_it_is_not_registered(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 100; i++, w->now = instant_add_ms(w->now, 1000))
		assert_int_equal(ask(w, STRANGER, "pxelinux.cfg/default"), TFTP_TREE_LATER);
}

static void who_is_known_to_be_nobody_is_told_so_after_a_while(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 15; i++, w->now = instant_add_ms(w->now, 1000))
		assert_int_equal(ask(w, NOBODY, "pxelinux.cfg/default"), TFTP_TREE_LATER);
	assert_int_equal(ask(w, NOBODY, "pxelinux.cfg/default"), TFTP_TREE_REFUSED);
	assert_string_equal(w->answer.why.text, "no machine is registered at this address");
	/* One whose lease is of a time when machines registered themselves. */
	namespace_free(w->ns);
	assert_int_equal(namespace_new(&(struct namespace_config){.loaders = w->loaders,
								  .directory = w->directory},
				       &w->ns),
			 0);
	assert_int_equal(ask(w, STRANGER, "pxelinux.cfg/default"), TFTP_TREE_LATER);
	w->now = instant_add_ms(w->now, 15000);
	assert_int_equal(ask(w, STRANGER, "pxelinux.cfg/default"), TFTP_TREE_REFUSED);
}

static void nobody_is_unknown_while_the_databases_cannot_be_read(void **state)
{
	struct world *w = *state;

	assert_int_equal(db_exec(w->db, "ALTER TABLE host RENAME TO hosts"), 0);
	for (int i = 0; i < 60; i++, w->now = instant_add_ms(w->now, 1000))
		assert_int_equal(ask(w, NOBODY, "pxelinux.cfg/default"), TFTP_TREE_LATER);
	assert_int_equal(ask(w, H7, "kernel"), 0); /* of whom the last state knows */
	assert_int_equal(db_exec(w->db, "ALTER TABLE hosts RENAME TO host"), 0);
	assert_int_equal(ask(w, NOBODY, "pxelinux.cfg/default"), TFTP_TREE_LATER);
	w->now = instant_add_ms(w->now, 15000);
	assert_int_equal(ask(w, NOBODY, "pxelinux.cfg/default"), TFTP_TREE_REFUSED);
	assert_int_equal(db_exec(w->leases, "ALTER TABLE lease RENAME TO leases"), 0);
	assert_int_equal(ask(w, NOBODY, "pxelinux.cfg/default"), TFTP_TREE_LATER);
}

static void a_view_that_is_not_made_yet_is_waited_for(void **state)
{
	struct world *w = *state;

	views_behind = 2;
	assert_int_equal(ask(w, H7, "kernel"), TFTP_TREE_LATER);
	assert_false(w->answer.stranger);
	assert_int_equal(ask(w, H7, "kernel"), 0);
}

static void a_pending_host_is_told_why_at_once(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask(w, H8, "pxelinux.cfg/default"), TFTP_TREE_REFUSED);
	assert_string_equal(w->answer.why.text, "this machine waits for `rootstock host approve`");
}

static void a_mac_in_the_name_serves_where_the_address_is_unknown(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask(w, NOBODY, "pxelinux.cfg/01-52-54-00-12-34-03"), 0);
	assert_non_null(strstr(w->text, "# h9, debian@2\n"));
	/* but the address decides where it is known */
	assert_int_equal(ask(w, H7, "pxelinux.cfg/01-52-54-00-12-34-03"), 0);
	assert_non_null(strstr(w->text, "# h7, debian@1\n"));
	assert_int_equal(ask(w, NOBODY, "pxelinux.cfg/01-52-54-00-12-34-02"), TFTP_TREE_REFUSED);
}

static void a_folder_of_the_users_comes_first_and_has_an_edge(void **state)
{
	struct world *w = *state;
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/folder/pxelinux.0", w->dir);
	f = fopen(path, "w");
	fputs("mine", f);
	fclose(f);
	snprintf(path, sizeof(path), "%s/folder/out", w->dir);
	assert_int_equal(symlink("../rootstock.db", path), 0);
	snprintf(path, sizeof(path), "%s/folder/abs", w->dir);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	snprintf(path, sizeof(path), "%s/folder/fifo", w->dir);
	assert_int_equal(mkfifo(path, 0644), 0);
	assert_int_equal(ask(w, NOBODY, "pxelinux.0"), 0);
	assert_string_equal(w->text, "mine");
	assert_int_equal(w->answer.stage, TFTP_STAGE_LOADER);
	assert_int_equal(ask(w, NOBODY, "out"), TFTP_TREE_REFUSED);
	assert_int_equal(ask(w, NOBODY, "abs"), TFTP_TREE_REFUSED);
	assert_int_equal(ask(w, NOBODY, "fifo"), TFTP_TREE_REFUSED);
	assert_int_equal(ask(w, NOBODY, "../rootstock.db"), TFTP_TREE_REFUSED);
	assert_string_equal(w->answer.why.text, "outside the served tree");
}

static struct tftp_file *done_file;
static int done_r;

static void on_done(struct tftp_wait *wait, int r, struct tftp_file *file)
{
	(void)wait;
	done_r = r;
	done_file = file;
}

static void a_body_that_is_not_there_yet_is_waited_for(void **state)
{
	struct world *w = *state;

	parked = true;
	w->wait.done = on_done;
	assert_int_equal(ask(w, H7, "kernel"), TFTP_TREE_WAIT);
	assert_int_equal(w->answer.stage, TFTP_STAGE_KERNEL);
	parked_wait->done(parked_wait, 0, content_of(3));
	assert_int_equal(done_r, 0);
	assert_int_equal(done_file->size, 10);
	tftp_file_close(done_file);
	assert_int_equal(ask(w, H7, "kernel"), TFTP_TREE_WAIT);
	parked_wait->done(parked_wait, -EIO, NULL);
	assert_int_equal(done_r, -EIO);
	assert_int_equal(ask(w, H7, "kernel"), TFTP_TREE_WAIT);
	namespace_tree(w->ns)->cancel(namespace_tree(w->ns), &w->wait);
	assert_int_equal(cancelled, 1);
}

/* Its origin changed since the scan. */
static void a_body_that_only_some_may_read_is_not_given_out(void **state)
{
	struct world *w = *state;
	struct fake_file *hostname = &files[8];

	assert_string_equal(hostname->path, "etc/hostname");
	parked = true;
	w->wait.done = on_done;
	assert_int_equal(ask(w, H7, "etc/hostname"), TFTP_TREE_WAIT);
	hostname->mode = S_IFREG | 0600;
	parked_wait->done(parked_wait, 0, content_of(9));
	hostname->mode = F;
	assert_int_equal(done_r, -EACCES);
}

static void a_menu_offers_the_maintenance_image(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask(w, H7, "maintenance/kernel"), TFTP_TREE_REFUSED);
	assert_int_equal(db_exec(w->db, "INSERT INTO setting VALUES (2, 1, 'menu', 'yes'),"
					" (1, 1, 'maintenance', 'debian@2');"
					"UPDATE host SET changed = changed + 1"),
			 0);
	assert_int_equal(ask(w, H7, "pxelinux.cfg/default"), 0);
	assert_non_null(strstr(w->text, "MENU LABEL h7 (debian@1)\n"));
	assert_non_null(strstr(w->text, "MENU LABEL Maintenance (debian@2)\n"
					"  KERNEL maintenance/kernel\n"));
	assert_non_null(strstr(w->text, " nfsroot=10.0.0.1:/maintenance,vers=3,"));
	assert_int_equal(ask(w, H7, "maintenance/kernel"), 0);
	assert_int_equal(asked_version, 2);
	assert_int_equal(ask(w, H7, "kernel"), 0);
	assert_int_equal(asked_version, 1);
}

static void in_overlay_mode_an_initrd_without_linuxrc_gets_a_hook_behind_it(void **state)
{
	struct world *w = *state;
	const char *menu = "pxelinux.cfg/default";

	assert_int_equal(db_exec(w->db, "INSERT INTO setting VALUES (2, 1, 'mode', 'overlay');"
					"UPDATE host SET changed = changed + 1"),
			 0);
	assert_int_equal(ask(w, H7, "initrd"), 0);
	assert_string_equal(w->text, "the initrd");
	assert_int_equal(ask(w, H7, menu), 0);
	assert_non_null(strstr(w->text, " init=/linuxrc "));
	the_view.n -= 1; /* no /bin/sh */
	assert_int_equal(ask(w, H7, "initrd"), 0);
	assert_memory_equal(w->text, "the initrd\0\00007070100000001", 26);
	assert_int_equal(ask(w, H7, "kernel"), 0);
	assert_string_equal(w->text, "the kernel");
	assert_int_equal(ask(w, H7, menu), 0);
	assert_non_null(strstr(w->text, " init=/sbin/init "));

	parked = true;
	w->wait.done = on_done;
	assert_int_equal(ask(w, H7, "initrd"), TFTP_TREE_WAIT);
	parked_wait->done(parked_wait, 0, content_of(4));
	assert_int_equal(done_r, 0);
	assert_true(done_file->size > 1000);
	tftp_file_close(done_file);
	the_view.n += 1;
}

static void the_mode_is_the_one_that_the_boot_pinned(void **state)
{
	struct world *w = *state;
	const char *menu = "pxelinux.cfg/default";

	assert_int_equal(db_exec(w->leases, "UPDATE boot SET mode = 'overlay'"), 0);
	assert_int_equal(ask(w, H7, menu), 0);
	assert_non_null(strstr(w->text, " rootstock.mode=overlay "));
	assert_int_equal(db_exec(w->db, "INSERT INTO setting VALUES (2, 1, 'mode', 'tmpfs');"
					"UPDATE host SET changed = changed + 1"),
			 0);
	assert_int_equal(ask(w, H7, menu), 0);
	assert_non_null(strstr(w->text, " rootstock.mode=overlay "));
}

static struct tftp_file *opened(struct world *w, uint32_t from, const char *name)
{
	struct tftp_tree *tree = namespace_tree(w->ns);
	struct tftp_ask a = {.from = from,
			     .to = 0x0a000001,
			     .name = name,
			     .name_len = strlen(name),
			     .now = w->now};
	struct tftp_file *file = NULL;

	assert_int_equal(tree->open(tree, &a, &w->wait, &w->answer, &file), 0);
	return file;
}

static void a_body_may_come_in_parts(void **state)
{
	struct world *w = *state;
	struct tftp_file *file;
	char buf[16];

	parked = false;
	there = 4;
	more_asked = 0;
	file = opened(w, H7, "kernel");
	assert_int_equal(tftp_file_pread(file, buf, 4, 0), 4);
	assert_int_equal(more_asked, 0);
	assert_int_equal(tftp_file_pread(file, buf, 4, 4), -EAGAIN);
	assert_int_equal(tftp_file_pread(file, buf, 4, 4), -EAGAIN);
	assert_int_equal(more_asked, 1); /* asked once, however often it is tried */
	there = UINT64_MAX;
	parked_wait->done(parked_wait, 0, content_of(3));
	assert_int_equal(tftp_file_pread(file, buf, 4, 4), 4);
	/* an error while waiting is the transfer's end */
	there = 4;
	assert_int_equal(tftp_file_pread(file, buf, 4, 4), -EAGAIN);
	parked_wait->done(parked_wait, -EIO, NULL);
	assert_int_equal(tftp_file_pread(file, buf, 4, 4), -EIO);
	/* a transfer that ends while it waits */
	tftp_file_close(file);
	file = opened(w, H7, "kernel");
	assert_int_equal(tftp_file_pread(file, buf, 4, 4), -EAGAIN);
	cancelled = 0;
	tftp_file_close(file);
	assert_int_equal(cancelled, 1);
	there = UINT64_MAX;
}

static void a_plan_says_what_each_firmware_would_get(void **state)
{
	struct world *w = *state;
	cleanup(freep) char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	struct tftp_plan plan = {
		.inventory = directory_inventory(w->directory),
		.host = inventory_by_name(directory_inventory(w->directory), "h7"),
		.view = &the_view,
		.version = 2,
		.server = 0x0a000001,
	};
	struct why why = {0};

	assert_int_equal(tftp_plan(&plan, out, &why), 0);
	fclose(out);
	assert_non_null(strstr(text, "h7 boots debian@2\nkernel: /boot/vmlinuz-6.1.0-18-amd64, 10 "
				     "bytes\ninitrd: /boot/initrd.img-6.1.0-18-amd64, 10 bytes\n"
				     "NFS root by: klibc\n"));
	assert_non_null(strstr(text, "    pxelinux.cfg/01-52-54-00-12-34-01: rendered, "));
	assert_non_null(strstr(text, "        |   KERNEL kernel\n"));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_menu_is_rendered_for_the_address_that_asks),
		TEST(kernel_and_initrd_come_from_the_pinned_version),
		TEST(only_what_everybody_may_read_leaves_a_view),
		TEST(a_secret_is_reached_by_no_name),
		TEST(a_stranger_is_held_until_it_is_registered),
		TEST(one_with_a_lease_is_never_told_that_it_is_not_registered),
		TEST(who_is_known_to_be_nobody_is_told_so_after_a_while),
		TEST(nobody_is_unknown_while_the_databases_cannot_be_read),
		TEST(a_view_that_is_not_made_yet_is_waited_for),
		TEST(a_pending_host_is_told_why_at_once),
		TEST(a_mac_in_the_name_serves_where_the_address_is_unknown),
		TEST(a_folder_of_the_users_comes_first_and_has_an_edge),
		TEST(a_body_that_is_not_there_yet_is_waited_for),
		TEST(a_body_that_only_some_may_read_is_not_given_out),
		TEST(a_menu_offers_the_maintenance_image),
		TEST(the_mode_is_the_one_that_the_boot_pinned),
		TEST(in_overlay_mode_an_initrd_without_linuxrc_gets_a_hook_behind_it),
		TEST(a_body_may_come_in_parts),
		TEST(a_plan_says_what_each_firmware_would_get),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
