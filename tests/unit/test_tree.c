/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The merge, case by case: what the random trees of test_view.c once found.
 */
#include "tests/unit/site.h"

#include <pthread.h>
#include <stdatomic.h>

#include "common/log.h"
#include "fsd/manifest_format.h"
#include "fsd/tree.h"
#include "fsd/version.h"
#include "fsd/view.h"
#include "fsd/view_source.h"

static const struct scope all = {SCOPE_ALL, 0};
static const struct scope host = {SCOPE_HOST, 1};
static const struct entry_spec mode600 = {
	.kind = ENTRY_ATTR, .flags = ENTRY_MODE_SET, .mode = 0600};

struct merge {
	struct site site;
	uint32_t version;
	struct views *views;
	struct contents *contents;
	struct view *view;
};

static int merge_setup(void **state)
{
	struct merge *m = calloc(1, sizeof(*m));
	char path[256];
	char other[256];

	site_init(&m->site);
	assert_int_equal(db_exec(m->site.db, "INSERT INTO host (id, name, added, changed) VALUES"
					     " (1, 'amy', 0, 0), (2, 'mia', 0, 0)"),
			 0);
	snprintf(path, sizeof(path), "%s/d", m->site.origin);
	assert_int_equal(mkdir(path, 0755), 0);
	site_write(m->site.origin, "d/f", "image", 5);
	snprintf(path, sizeof(path), "%s/d/f", m->site.origin);
	snprintf(other, sizeof(other), "%s/d/g", m->site.origin);
	assert_int_equal(link(path, other), 0);
	snprintf(other, sizeof(other), "%s/link", m->site.origin);
	assert_int_equal(symlink("/d", other), 0);
	m->version = site_image(&m->site, false);
	assert_int_equal(views_open(m->site.state, &m->views, NULL), 0);
	assert_int_equal(contents_new(m->site.state, 16, &m->contents, NULL), 0);
	*state = m;
	return 0;
}

static int merge_teardown(void **state)
{
	struct merge *m = *state;

	contents_free(m->contents);
	view_unref(m->view);
	views_close(m->views);
	site_fini(&m->site);
	free(m);
	return 0;
}

/* The host's view as of now. */
static void look(struct merge *m)
{
	view_unref(m->view);
	m->view = NULL;
	views_poll(m->views);
	assert_int_equal(views_get(m->views, 1, m->version, UINT64_MAX, &m->view), 0);
}

static uint32_t node_of(struct merge *m, const char *path)
{
	uint32_t node = 0;

	assert_int_equal(view_resolve(m->view, VIEW_ROOT, path, false, &node), 0);
	return node;
}

static struct view_attr attr(struct merge *m, uint32_t node)
{
	struct view_attr a;

	assert_int_equal(view_attr(m->view, node, &a), 0);
	return a;
}

static void reads(struct merge *m, uint32_t node, const char *want)
{
	char have[64] = "";
	struct content *c;

	assert_int_equal(contents_open(m->contents, m->view, node, &c, NULL), 0);
	assert_int_equal(content_pread(c, have, sizeof(have), 0), strlen(want));
	assert_string_equal(have, want);
	content_unref(c);
}

static void put(struct merge *m, struct scope scope, const char *path, const char *text)
{
	struct entry_spec file = site_file(&m->site, text);

	assert_int_equal(site_change(&m->site, scope, path, &file, NULL, NULL), 0);
}

static void change(struct merge *m, struct scope scope, const char *path,
		   const struct entry_spec *spec)
{
	assert_int_equal(site_change(&m->site, scope, path, spec, NULL, NULL), 0);
}

static void attributes_over_a_weaker_file_keep_its_body(void **state)
{
	struct merge *m = *state;
	struct entry_spec secret = site_file(&m->site, "secret");
	uint32_t node;

	put(m, all, "etc/motd", "hello");
	secret.flags |= ENTRY_SECRET;
	change(m, all, "key", &secret);
	change(m, host, "etc/motd", &mode600);
	change(m, host, "key", &mode600);
	look(m);
	node = node_of(m, "etc/motd");
	reads(m, node, "hello");
	assert_int_equal(attr(m, node).mode, S_IFREG | 0600);
	assert_true(view_secret(m->view, node_of(m, "key")));
}

static void attributes_leave_what_is_in_a_directory(void **state)
{
	static const struct entry_spec dir = {.kind = ENTRY_DIR};
	struct merge *m = *state;
	uint32_t before;

	change(m, host, "new", &dir);
	put(m, host, "new/sub/f", "x");
	look(m);
	before = node_of(m, "new");
	change(m, host, "new", &mode600);
	change(m, host, "new/sub", &mode600);
	look(m);
	reads(m, node_of(m, "new/sub/f"), "x");
	assert_int_equal(attr(m, node_of(m, "new")).mode, S_IFDIR | 0600);
	assert_int_equal(attr(m, node_of(m, "new/sub")).mode, S_IFDIR | 0600);
	/* who stands in it still does */
	assert_int_equal(node_of(m, "new"), before);
}

static void a_name_that_leaves_its_group_stays_itself(void **state)
{
	struct merge *m = *state;
	uint32_t both;
	uint32_t alone;

	look(m);
	both = node_of(m, "d/f");
	assert_int_equal(node_of(m, "d/g"), both);
	assert_int_equal(attr(m, both).nlink, 2);
	change(m, host, "d/f", &mode600);
	look(m);
	alone = node_of(m, "d/f");
	assert_int_not_equal(alone, both);
	assert_int_equal(node_of(m, "d/g"), both);
	assert_int_equal(attr(m, alone).nlink, 1);
	assert_int_equal(attr(m, both).nlink, 1);
	assert_int_equal(attr(m, alone).mode & 07777, 0600);
	change(m, host, "d/f", &(struct entry_spec){.kind = ENTRY_ATTR, .flags = ENTRY_MODE_SET});
	look(m);
	assert_int_equal(node_of(m, "d/f"), alone);
	assert_int_equal(site_reset(&m->site, host, "d/f", false), 0);
	look(m);
	assert_int_equal(node_of(m, "d/f"), both);
	assert_int_equal(attr(m, both).nlink, 2);
	assert_int_equal(attr(m, alone).size, 5); /* whoever has it open */
}

static void an_opaque_directory_keeps_its_scope_and_its_cookies(void **state)
{
	static const struct entry_spec opaque = {.kind = ENTRY_OPAQUE};
	struct merge *m = *state;
	struct view_dirent before;
	struct view_dirent after;
	uint32_t dir;
	uint32_t node;

	look(m);
	dir = node_of(m, "d");
	assert_int_equal(view_readdir(m->view, dir, 2, &before), 0);
	put(m, host, "d/f", "mine");
	change(m, host, "d", &opaque);
	look(m);
	assert_int_equal(node_of(m, "d"), dir);
	reads(m, node_of(m, "d/f"), "mine");
	assert_int_equal(view_lookup(m->view, dir, "g", 1, &node), VIEW_NOENT);
	assert_int_equal(view_readdir(m->view, dir, 2, &after), 0);
	assert_int_equal(after.cookie, before.cookie);
	assert_int_equal(view_readdir(m->view, dir, after.cookie, &after), VIEW_END);
}

static void a_directory_is_in_one_place(void **state)
{
	static const struct entry_spec opaque = {.kind = ENTRY_OPAQUE};
	struct merge *m = *state;

	/* link leads to d: so does the weaker row; then the stronger makes it a directory */
	put(m, all, "link/new/f", "through the link");
	put(m, host, "link/new/f", "beside it");
	change(m, host, "link", &opaque);
	look(m);
	reads(m, node_of(m, "d/new/f"), "through the link");
	reads(m, node_of(m, "link/new/f"), "beside it");
	assert_int_not_equal(node_of(m, "d/new"), node_of(m, "link/new"));
}

static void what_lost_its_place_still_answers(void **state)
{
	static const struct entry_spec hide = {.kind = ENTRY_WHITEOUT};
	struct merge *m = *state;
	uint32_t file;
	uint32_t dir;
	uint32_t node;

	put(m, host, "opt/x/f", "held");
	look(m);
	file = node_of(m, "opt/x/f");
	dir = node_of(m, "opt/x");
	put(m, all, "opt", "a file in its way");
	look(m);
	assert_int_equal(view_resolve(m->view, VIEW_ROOT, "opt/x/f", false, &node), VIEW_NOTDIR);
	reads(m, file, "held");
	assert_int_equal(attr(m, dir).mode, S_IFDIR | 0755);
	change(m, host, "opt/x/f", &hide);
	look(m);
	reads(m, file, "held");
}

static void a_lost_link_counts_once(void **state)
{
	static const struct entry_spec hide = {.kind = ENTRY_WHITEOUT};
	struct merge *m = *state;
	uint32_t file;

	look(m);
	file = node_of(m, "d/f");
	change(m, all, "d/f", &hide);
	look(m);
	assert_int_equal(attr(m, file).nlink, 1);
	change(m, host, "d", &hide);
	look(m);
	assert_int_equal(attr(m, file).nlink, 1); /* it answers those who have it open */
	assert_int_equal(attr(m, VIEW_ROOT).nlink,
			 2 + 8); /* the mount points that the profile makes */
}

/* ---- many threads ---- */

struct race {
	struct merge *m;
	atomic_bool stop;
	atomic_uint looked;
};

static void *look_about(void *arg)
{
	struct race *race = arg;
	unsigned int i = 0;

	while (!race->stop) {
		struct view *view;
		struct view_attr a;
		struct view_dirent d;
		uint32_t node;

		i++;
		if (views_get(race->m->views, i % 3, race->m->version, UINT64_MAX, &view))
			break;
		if (!view_resolve(view, VIEW_ROOT, "d/f", false, &node))
			view_attr(view, node, &a);
		for (uint64_t c = 0; !view_readdir(view, VIEW_ROOT, c, &d); c = d.cookie)
			view_attr(view, d.node, &a);
		view_unref(view);
		race->looked++;
	}
	return NULL;
}

static void views_change_under_many_threads(void **state)
{
	struct merge *m = *state;
	struct race race = {.m = m};
	pthread_t threads[4];
	struct site_copier copier;

	site_copier_start(&m->site, &copier); /* seals: the version is opened anew */
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, look_about, &race), 0);
	for (int i = 0; i < 60 || !race.looked || !site_is_sealed(&m->site, m->version); i++) {
		char text[16];

		snprintf(text, sizeof(text), "body %d", i);
		put(m, i % 2 ? all : host, "d/f", text);
		views_poll(m->views);
		usleep(2000);
	}
	views_poll(m->views);
	race.stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	assert_true(race.looked > 0);
	site_copier_stop(&copier);
	look(m);
	assert_true(view_version(m->view) == m->version);
}

/* A name that says it is one more of its own directory's, in a file whose sums are right. */
static void a_directory_with_two_names_is_damage(void **state)
{
	const struct manifest_node nodes[] = {
		{.mode = S_IFDIR | 0755, .nlink = 2, .data = 1, .extra = 1},
		{.name_len = 1, .mode = S_IFREG | 0644, .nlink = 2, .link = 0},
	};
	const struct manifest_parts parts = {
		.version = 1,
		.nnodes = ARRAY_SIZE(nodes),
		.flags = MANIFEST_SEALED | MANIFEST_HARDLINKS,
		.nodes = nodes,
		.strings = {(const uint8_t *)"a", 1},
	};
	const struct entry hidden = {.id = 7, .path_id = 8, .kind = ENTRY_WHITEOUT, .path = "a"};
	struct view_dirent entry;
	struct version *v;
	struct tree *t;
	char path[PATH_MAX];
	uint32_t id;

	snprintf(path, sizeof(path), "%s/manifests", (char *)*state);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(manifest_parts_write(&parts, path, NULL), 0);
	assert_int_equal(version_open(*state, 1, &v, NULL), 0);
	assert_int_equal(tree_new(v, 0, &t), 0);
	assert_int_equal(tree_child(t, VIEW_ROOT, "a", 1, &id), -EUCLEAN);
	assert_int_equal(tree_next(t, VIEW_ROOT, 2, &entry), -EUCLEAN);
	assert_int_equal(tree_apply(t, &hidden, UINT64_MAX, NULL, NULL), -EUCLEAN);
	tree_free(t);
	version_unref(v);
}

/* "LAYER KIND ENTRY; " a step, into a text of 256. */
static void tell_step(void *ctx, const struct view_step *s)
{
	char *text = ctx;
	size_t len = strlen(text);

	snprintf(text + len, 256 - len, "%s %s %s; ",
		 !s->entry		       ? "image"
		 : !s->scope		       ? "profile"
		 : s->scope->kind == SCOPE_ALL ? "all"
					       : "host",
		 !s->node		     ? "none"
		 : (s->mode & 07777) == 0600 ? "private"
					     : "file",
		 s->entry ? s->entry->path : "-");
}

static void explains(struct merge *m, uint32_t host_id, const char *path, const char *want)
{
	char text[256] = "";

	assert_int_equal(views_explain(m->views, host_id, m->version, path, tell_step, text), 0);
	assert_string_equal(text, want);
}

static void each_layer_tells_what_it_made_of_a_path(void **state)
{
	static const struct entry_spec hide = {.kind = ENTRY_WHITEOUT};
	struct merge *m = *state;

	put(m, all, "d/f", "all");
	put(m, all, "link/new", "through a link of the image");
	change(m, host, "d/f", &mode600);
	change(m, host, "d/g", &hide);
	look(m);
	explains(m, 1, "/d/f", "image file -; all file d/f; host private d/f; ");
	explains(m, 2, "/d/f", "image file -; all file d/f; ");
	explains(m, 1, "/link/f", "image file -; all file d/f; host private d/f; ");
	explains(m, 1, "/d/g", "image file -; host none d/g; ");
	explains(m, 2, "/d/g", "image file -; ");
	explains(m, 2, "/d/new", "image none -; all file link/new; ");
	explains(m, 2, "/linuxrc", "image none -; profile file linuxrc; ");
	explains(m, 2, "/none", "image none -; ");
	assert_int_equal(views_explain(m->views, 9, m->version, "/d/f", tell_step, NULL), -ENOENT);
}

#define MERGE(fn) cmocka_unit_test_setup_teardown(fn, merge_setup, merge_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MERGE(attributes_over_a_weaker_file_keep_its_body),
		MERGE(attributes_leave_what_is_in_a_directory),
		MERGE(a_name_that_leaves_its_group_stays_itself),
		MERGE(an_opaque_directory_keeps_its_scope_and_its_cookies),
		MERGE(a_directory_is_in_one_place),
		MERGE(what_lost_its_place_still_answers),
		MERGE(a_lost_link_counts_once),
		MERGE(each_layer_tells_what_it_made_of_a_path),
		MERGE(views_change_under_many_threads),
		cmocka_unit_test_setup_teardown(a_directory_with_two_names_is_damage,
						unit_dir_setup, unit_dir_teardown),
	};

	log_init("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
