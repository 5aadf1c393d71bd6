/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is told between two views of a host, after random changes, is compared with
 * what a walk of both finds: no difference is missed, and no name told in vain.
 */
#include "tests/unit/site.h"

#include "fsd/changes.h"
#include "tests/model.h"

enum { ROUNDS = 400, TOLD_MAX = 4096 };

struct told {
	struct {
		uint32_t dir;
		char name[64];
	} names[TOLD_MAX];
	struct {
		uint32_t node;
		bool bytes;
	} nodes[TOLD_MAX];
	unsigned int nnames;
	unsigned int nnodes;
};

static void on_name(void *ctx, uint64_t dir, const char *name, size_t len)
{
	struct told *t = ctx;

	assert_true(t->nnames < TOLD_MAX && len < sizeof(t->names[0].name));
	t->names[t->nnames].dir = (uint32_t)dir;
	memcpy(t->names[t->nnames].name, name, len);
	t->names[t->nnames++].name[len] = '\0';
}

static bool on_node(void *ctx, uint64_t node, bool bytes)
{
	struct told *t = ctx;

	assert_true(t->nnodes < TOLD_MAX);
	t->nodes[t->nnodes].node = (uint32_t)node;
	t->nodes[t->nnodes++].bytes = bytes;
	return true;
}

static bool name_told(const struct told *t, uint32_t dir, const char *name, size_t len)
{
	for (unsigned int i = 0; i < t->nnames; i++)
		if (t->names[i].dir == dir && strlen(t->names[i].name) == len &&
		    !memcmp(t->names[i].name, name, len))
			return true;
	return false;
}

static bool node_told(const struct told *t, uint32_t node, bool bytes)
{
	for (unsigned int i = 0; i < t->nnodes; i++)
		if (t->nodes[i].node == node && (t->nodes[i].bytes || !bytes))
			return true;
	return false;
}

static uint32_t means(const struct view *view, uint32_t dir, const char *name, size_t len)
{
	uint32_t node;

	return view_lookup(view, dir, name, len, &node) ? 0 : node;
}

static bool attr_same(const struct view_attr *a, const struct view_attr *b)
{
	return a->mode == b->mode && a->nlink == b->nlink && a->uid == b->uid && a->gid == b->gid &&
	       a->size == b->size && a->mtime.sec == b->mtime.sec &&
	       a->mtime.nsec == b->mtime.nsec && a->ctime.sec == b->ctime.sec &&
	       a->ctime.nsec == b->ctime.nsec;
}

/* Names of `dir` in `from` that mean something else in `to`. */
static void names_check(const struct view *from, const struct view *to, uint32_t dir,
			const struct told *t)
{
	struct view_dirent entry;

	for (uint64_t cookie = 2; !view_readdir(from, dir, cookie, &entry); cookie = entry.cookie)
		if (means(to, dir, entry.name, entry.name_len) != entry.node &&
		    (!name_told(t, dir, entry.name, entry.name_len) || !node_told(t, dir, true)))
			fail_msg("%.*s of %u: not told", entry.name_len, entry.name, dir);
}

/* All that somebody may have seen in `old`, from `node` down. */
static void walk_check(const struct view *old, const struct view *now, uint32_t node,
		       const struct told *t)
{
	struct view_dirent entry;
	struct view_attr a;
	struct view_attr b;

	assert_int_equal(view_attr(old, node, &a), 0);
	if (view_attr(now, node, &b)) {
		if (!node_told(t, node, true))
			fail_msg("%u is gone: not told", node);
	} else {
		if (!attr_same(&a, &b) && !node_told(t, node, false))
			fail_msg("attributes of %u: not told", node);
		if (S_ISDIR(a.mode) && S_ISDIR(b.mode)) {
			names_check(old, now, node, t);
			names_check(now, old, node, t);
		}
	}
	if (!S_ISDIR(a.mode))
		return;
	for (uint64_t cookie = 2; !view_readdir(old, node, cookie, &entry); cookie = entry.cookie)
		walk_check(old, now, entry.node, t);
}

static void change_at_random(struct site *s, uint32_t host, struct rng *rng)
{
	static const char *const paths[] = {
		"etc",	   "etc/motd", "etc/one",  "share",    "share/one", "share/two/x",
		"deep",	   "deep/d",   "deep/d/e", "deep/new", "bin/put",   "bin",
		"srv/a/b", "srv",      "share/l",  "etc/who",  "etc/new",   "deep/d/three",
	};
	static const enum entry_kind kinds[] = {ENTRY_FILE,	ENTRY_LINK,   ENTRY_DIR,
						ENTRY_ATTR,	ENTRY_ATTR,   ENTRY_WHITEOUT,
						ENTRY_WHITEOUT, ENTRY_OPAQUE, ENTRY_TEMPLATE};
	static const char text[] = "{{name}} {{mood}}";
	const char *path = paths[rng_below(rng, ARRAY_SIZE(paths))];
	struct scope scope = {SCOPE_ALL, 0};
	struct entry_spec spec = {
		/* More goes than comes: else the image is soon hidden for good. */
		.kind = rng_below(rng, 3) ? 0 : kinds[rng_below(rng, ARRAY_SIZE(kinds))],
		.flags = ENTRY_MODE_SET,
		.mode = (uint16_t)(0700 | rng_below(rng, 0100)),
		.mtime_ns = wall_now_ns(),
		.size = rng_below(rng, 100),
		.body = {(const uint8_t *)"../share", 8},
	};
	struct txn *txn;
	int r;

	if (rng_below(rng, 2))
		scope = (struct scope){SCOPE_HOST, host};
	if (spec.kind == ENTRY_FILE) /* nobody reads it */
		memcpy(spec.hash.octet, &(uint64_t){rng_next(rng)}, 8);
	if (spec.kind == ENTRY_TEMPLATE)
		spec.body = (struct bytes){(const uint8_t *)text, sizeof(text) - 1};
	assert_int_equal(txn_begin(s->db, &txn), 0);
	if (spec.kind)
		r = overlay_change(s->db, scope, path, &spec, NULL, NULL);
	else
		r = overlay_reset(s->db, scope, path, false);
	if (r)
		txn_abort(txn); /* not everything goes everywhere */
	else
		assert_int_equal(txn_commit(txn), 0);
}

static void mood_set(struct site *s, uint32_t host, const char *mood)
{
	assert_int_equal(db_run(s->db,
				"INSERT INTO setting (kind, owner, key, value) VALUES (?, ?,"
				" 'mood', ?) ON CONFLICT DO UPDATE SET value = excluded.value",
				"uus", (uint32_t)SCOPE_HOST, host, mood),
			 0);
	assert_int_equal(db_run(s->db, "UPDATE host SET changed = ? WHERE id = ?", "iu",
				wall_now_ns(), host),
			 0);
}

static void site_fill(struct site *s)
{
	int dir;

	dir = open(s->origin, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	for (const char *const *name = (const char *const[]){"etc", "share", "share/two", "deep",
							     "deep/d", "many", NULL};
	     *name; name++)
		assert_int_equal(mkdirat(dir, *name, 0755), 0);
	for (int i = 0; i < 50; i++) {
		char name[32];
		char other[32];

		snprintf(name, sizeof(name), "many/%d", i);
		snprintf(other, sizeof(other), "share/%d", i);
		site_write(s->origin, name, name, strlen(name));
		assert_int_equal(linkat(dir, name, dir, other, 0), 0);
	}
	site_write(s->origin, "etc/motd", "of the image\n", 13);
	site_write(s->origin, "etc/one", "linked\n", 7);
	assert_int_equal(linkat(dir, "etc/one", dir, "share/one", 0), 0);
	assert_int_equal(linkat(dir, "etc/one", dir, "deep/d/three", 0), 0);
	assert_int_equal(symlinkat("share", dir, "bin"), 0);
	close(dir);
}

static void no_difference_is_missed(void **state)
{
	struct rng rng = {(uint64_t)wall_now_ns()};
	struct told *t = malloc(sizeof(*t));
	const struct changes_sink sink = {on_name, on_node, t};
	struct views *views;
	struct view *view;
	struct site s;
	uint32_t version;
	uint32_t host;
	unsigned int told = 0;

	(void)state;
	assert_non_null(t);
	print_message("# seed %llu\n", (unsigned long long)rng.state);
	site_init(&s);
	site_fill(&s);
	version = site_image(&s, false);
	assert_int_equal(
		db_run(s.db, "INSERT INTO host (name, added, changed) VALUES ('one', 1, 1)", ""),
		0);
	host = (uint32_t)db_last_id(s.db);
	mood_set(&s, host, "glad");
	assert_int_equal(views_open(s.state, &views, NULL), 0);
	assert_int_equal(views_get(views, host, version, UINT64_MAX, &view), 0);
	for (int round = 0; round < ROUNDS; round++) {
		struct view *old = view;

		for (uint64_t n = 1 + rng_below(&rng, 4); n; n--)
			change_at_random(&s, host, &rng);
		if (!rng_below(&rng, 8))
			mood_set(&s, host, rng_below(&rng, 2) ? "glad" : "sour");
		views_poll(views);
		assert_int_equal(views_get(views, host, version, UINT64_MAX, &view), 0);
		t->nnames = t->nnodes = 0;
		changes_tell(old, view, 0, &sink);
		walk_check(old, view, VIEW_ROOT, t);
		for (unsigned int i = 0; i < t->nnames; i++) {
			const char *name = t->names[i].name;
			uint32_t dir = t->names[i].dir;

			if (means(old, dir, name, strlen(name)) ==
			    means(view, dir, name, strlen(name)))
				fail_msg("%s of %u: told in vain", name, dir);
		}
		told += t->nnames;
		view_unref(old);
	}
	assert_true(told > ROUNDS / 2);
	view_unref(view);
	views_close(views);
	site_fini(&s);
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(no_difference_is_missed)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
