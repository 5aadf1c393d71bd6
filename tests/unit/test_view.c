/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Random trees and random overlays: what the core shows must be what ordinary
 * system calls make of a plain directory (tests/model.h).  SEED repeats a
 * run, ROUNDS sets how many.
 */
#include "tests/unit/site.h"

#include <dirent.h>
#include <sys/sysmacros.h>

#include "common/log.h"
#include "fsd/profile.h"
#include "fsd/view.h"
#include "tests/model.h"

enum { HOST = 1, GROUPS = 2, BATCHES = 6 };

struct trial {
	struct site site;
	struct rng rng;
	uint64_t seed;
	uint32_t version;
	char model[160];
	struct views *views;
	struct contents *contents;
};

/* The rows that made the tree, for the reader of a failure. */
static void trial_tell(struct trial *t);

#define agree(t, condition, path, ...)                                                             \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			trial_tell(t);                                                             \
			fprintf(stderr, "seed %#llx: /%s: ", (unsigned long long)(t)->seed, path); \
			fprintf(stderr, __VA_ARGS__);                                              \
			fprintf(stderr, "\n");                                                     \
			fail_msg("%s", #condition);                                                \
		}                                                                                  \
	} while (0)

static const struct scope scopes[] = {
	{SCOPE_ALL, 0}, {SCOPE_GROUP, 1}, {SCOPE_GROUP, 2}, {SCOPE_HOST, HOST}};

static void trial_tell(struct trial *t)
{
	static const char *const kinds[ENTRY_KINDS] = {"?",	 "file",       "template", "link",
						       "dir",	 "hide",       "opaque",   "attr",
						       "parent", "parent+attr"};

	for (size_t s = 0; s < ARRAY_SIZE(scopes); s++) {
		struct overlay *ov;

		assert_int_equal(overlay_load(t->site.db, scopes[s], NULL, &ov), 0);
		for (unsigned int i = 0; i < ov->n; i++) {
			const struct entry *e = &ov->entries[i];

			fprintf(stderr,
				"  scope %zu: %s /%s id %u path %u flags %x %o %u:%u change %llu",
				s, kinds[e->kind], e->path, e->id - ENTRY_ID_FIRST,
				e->path_id - ENTRY_ID_FIRST, e->flags, e->mode, e->uid, e->gid,
				(unsigned long long)e->change);
			if (e->kind == ENTRY_LINK || e->kind == ENTRY_TEMPLATE)
				fprintf(stderr, " \"%.*s\"", (int)e->body.len, e->body.at);
			if (e->retired)
				fprintf(stderr, " retired %llu", (unsigned long long)e->retired);
			fprintf(stderr, "\n");
		}
		overlay_free(ov);
	}
}

static const char *key_value(void *ctx, const char *key)
{
	(void)ctx;
	if (!strcmp(key, "name"))
		return "amy";
	if (!strcmp(key, "mac"))
		return "52:54:00:00:00:01";
	if (!strcmp(key, "color"))
		return "blue";
	if (!strcmp(key, "image"))
		return "img";
	if (!strcmp(key, "version"))
		return "1";
	return NULL;
}

/* ---- comparing ---- */

struct names {
	struct view_dirent *list;
	size_t n;
};

static void names_read(const struct view *view, uint32_t dir, uint64_t cookie, struct names *out)
{
	struct view_dirent d;

	*out = (struct names){0};
	while (!view_readdir(view, dir, cookie, &d)) {
		out->list = realloc(out->list, (out->n + 1) * sizeof(d));
		out->list[out->n++] = d;
		assert_true(d.cookie > 0 && d.cookie < UINT64_C(1) << 31);
		cookie = d.cookie;
	}
}

static bool name_is(const struct view_dirent *d, const char *name)
{
	return strlen(name) == d->name_len && !memcmp(d->name, name, d->name_len);
}

static void compare_content(struct trial *t, struct view *view, uint32_t node, int fd,
			    const char *path)
{
	static char have[1 << 17];
	static char want[1 << 17];
	struct content *content;
	ssize_t n = read(fd, want, sizeof(want));
	int r = contents_open_wait(t->contents, view, node, &content);

	agree(t, !r, path, "open: %d", r);
	agree(t, content_size(content) == (uint64_t)n, path, "content of %llu, not %zd",
	      (unsigned long long)content_size(content), n);
	agree(t, content_pread(content, have, sizeof(have), 0) == n, path, "short");
	agree(t, !memcmp(have, want, (size_t)n), path, "other bytes");
	content_unref(content);
}

static void compare_node(struct trial *t, struct view *view, uint32_t node, int dir,
			 const char *name, const char *path)
{
	char target[PATH_MAX];
	struct view_attr a;
	struct bytes link;
	struct stat st;
	ssize_t n;
	int fd;

	assert_int_equal(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(view_attr(view, node, &a), 0);
	agree(t, a.mode == st.st_mode, path, "mode %o, not %o", a.mode, st.st_mode);
	agree(t, a.nlink == st.st_nlink, path, "nlink %u, not %lu", a.nlink,
	      (unsigned long)st.st_nlink);
	if (geteuid() == 0)
		agree(t, a.uid == st.st_uid && a.gid == st.st_gid, path, "owner %u:%u, not %u:%u",
		      a.uid, a.gid, st.st_uid, st.st_gid);
	agree(t, a.mtime.sec == st.st_mtim.tv_sec && a.mtime.nsec == st.st_mtim.tv_nsec, path,
	      "mtime %lld.%09u, not %lld.%09ld", (long long)a.mtime.sec, a.mtime.nsec,
	      (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	agree(t, a.ctime.sec >= a.mtime.sec, path, "ctime before mtime");
	if (!S_ISDIR(st.st_mode))
		agree(t, a.size == (uint64_t)st.st_size, path, "size %llu, not %lld",
		      (unsigned long long)a.size, (long long)st.st_size);
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		agree(t, a.rdev_major == major(st.st_rdev) && a.rdev_minor == minor(st.st_rdev),
		      path, "device %u:%u", a.rdev_major, a.rdev_minor);
	if (S_ISLNK(st.st_mode)) {
		n = readlinkat(dir, name, target, sizeof(target));
		assert_int_equal(view_readlink(view, node, &link), 0);
		agree(t, link.len == (size_t)n && !memcmp(link.at, target, link.len), path,
		      "target");
	} else {
		assert_int_equal(view_readlink(view, node, &link), VIEW_INVAL);
	}
	if (S_ISREG(st.st_mode)) {
		fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		compare_content(t, view, node, fd, path);
		close(fd);
	}
}

/* The names of `dir` from anywhere on are the rest of the names. */
static void check_resume(struct trial *t, const struct view *view, uint32_t dir,
			 const struct names *all, const char *path)
{
	for (int i = 0; i < 3 && all->n; i++) {
		size_t from = rng_below(&t->rng, (uint32_t)all->n);
		struct names rest;

		names_read(view, dir, all->list[from].cookie, &rest);
		agree(t, rest.n == all->n - from - 1, path, "resumed at %zu of %zu: %zu names",
		      from, all->n, rest.n);
		for (size_t k = 0; k < rest.n; k++)
			agree(t,
			      rest.list[k].cookie == all->list[from + 1 + k].cookie &&
				      rest.list[k].node == all->list[from + 1 + k].node,
			      path, "resumed at %zu: other names", from);
		free(rest.list);
	}
}

static void compare_dir(struct trial *t, struct view *view, uint32_t node, uint32_t parent, int fd,
			const char *path)
{
	cleanup(closedirp) DIR *stream = fdopendir(fd);
	struct names names;
	struct dirent *d;
	uint32_t found;
	size_t n = 0;

	names_read(view, node, 0, &names);
	agree(t, names.n >= 2 && names.list[0].node == node && names.list[1].node == parent, path,
	      "no . and ..");
	agree(t, name_is(&names.list[0], ".") && name_is(&names.list[1], ".."), path,
	      "no . and ..");
	assert_int_equal(view_lookup(view, node, "..", 2, &found), 0);
	agree(t, found == parent, path, "..");
	for (size_t i = 1; i < names.n; i++)
		agree(t, names.list[i].cookie > names.list[i - 1].cookie, path, "cookies");
	check_resume(t, view, node, &names, path);
	while ((d = readdir(stream))) {
		char below[PATH_MAX];
		size_t i = 0;
		int sub;

		n++;
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		snprintf(below, sizeof(below), "%s%s%s", path, path[0] ? "/" : "", d->d_name);
		while (i < names.n && !name_is(&names.list[i], d->d_name))
			i++;
		agree(t, i < names.n, below, "not listed");
		agree(t, !view_lookup(view, node, d->d_name, strlen(d->d_name), &found), below,
		      "not found");
		agree(t, found == names.list[i].node, below, "listed as another");
		compare_node(t, view, found, dirfd(stream), d->d_name, below);
		sub = openat(dirfd(stream), d->d_name,
			     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0)
			compare_dir(t, view, found, node, sub, below);
	}
	for (size_t i = 0; n != names.n && i < names.n; i++)
		fprintf(stderr, "  listed: %.*s\n", names.list[i].name_len, names.list[i].name);
	agree(t, n == names.n, path, "%zu names listed, not %zu", names.n, n);
	assert_int_equal(view_lookup(view, node, "no such name", 12, &found), VIEW_NOENT);
	free(names.list);
}

static void compare(struct trial *t, struct view *view, const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	compare_node(t, view, VIEW_ROOT, fd, ".", "");
	compare_dir(t, view, VIEW_ROOT, VIEW_ROOT, fd, "");
}

/* ---- what a client holds across a change ---- */

struct held {
	struct view *view;
	uint32_t *nodes;
	size_t n;
};

static void hold_below(struct held *h, uint32_t dir)
{
	struct names names;

	names_read(h->view, dir, 2, &names);
	for (size_t i = 0; i < names.n; i++) {
		struct view_attr a;

		h->nodes = realloc(h->nodes, (h->n + 1) * sizeof(*h->nodes));
		h->nodes[h->n++] = names.list[i].node;
		assert_int_equal(view_attr(h->view, names.list[i].node, &a), 0);
		if (S_ISDIR(a.mode))
			hold_below(h, names.list[i].node);
	}
	free(names.list);
}

static void read_all(struct trial *t, struct view *view, uint32_t node, char **out, uint64_t *size)
{
	struct content *c;

	assert_int_equal(contents_open_wait(t->contents, view, node, &c), 0);
	*size = content_size(c);
	*out = malloc(*size + 1);
	assert_int_equal(content_pread(c, *out, *size, 0), *size);
	content_unref(c);
}

/* May several rows lead to a name so called?  Through links, two paths of different
 * scopes may mean one name; its place in a listing is that of the lower path, and moves
 * when that one comes or goes. */
static bool many_ways(struct trial *t, const char *name, size_t len)
{
	const struct entry *part;
	unsigned int n = 0;
	sqlite3_stmt *stmt;
	bool always;

	for (size_t i = 0; (part = profile_part(i, &always)); i++) {
		const char *slash = strrchr(part->path, '/');
		const char *last = slash ? slash + 1 : part->path;

		n += strlen(last) == len && !memcmp(last, name, len);
	}
	stmt = db_stmt(t->site.db, "SELECT count(*) FROM path WHERE path = ?1"
				   " OR substr(path, -1 - length(?1)) = CAST(x'2f' || ?1 AS BLOB)");
	assert_int_equal(
		db_query(t->site.db, stmt, "b", (struct bytes){(const uint8_t *)name, len}),
		DB_ROW);
	n += (unsigned int)sqlite3_column_int(stmt, 0);
	sqlite3_reset(stmt);
	return n > 1;
}

/* Every node that a client may hold answers in the next view, a file with the bytes
 * that it had; and a listing goes on without skips and repeats. */
static void check_held(struct trial *t, struct held *h, struct view *now)
{
	for (size_t i = 0; i < h->n; i++) {
		struct view_attr before;
		struct view_attr after;
		struct names old;
		struct names new;
		size_t cut;
		int r;

		assert_int_equal(view_attr(h->view, h->nodes[i], &before), 0);
		r = view_attr(now, h->nodes[i], &after);
		agree(t, !r, "", "node %u of the view before: %d", h->nodes[i], r);
		agree(t, (before.mode & S_IFMT) == (after.mode & S_IFMT), "",
		      "node %u: another type", h->nodes[i]);
		if (S_ISREG(before.mode)) {
			uint64_t a_size;
			uint64_t b_size;
			char *a;
			char *b;

			read_all(t, h->view, h->nodes[i], &a, &a_size);
			read_all(t, now, h->nodes[i], &b, &b_size);
			agree(t, a_size == b_size && !memcmp(a, b, a_size), "",
			      "node %u: other bytes", h->nodes[i]);
			free(a);
			free(b);
		}
		if (!S_ISDIR(before.mode))
			continue;
		names_read(h->view, h->nodes[i], 0, &old);
		cut = rng_below(&t->rng, (uint32_t)old.n);
		names_read(now, h->nodes[i], old.list[cut].cookie, &new);
		for (size_t k = 0; k <= cut; k++)
			for (size_t l = 0; l < new.n; l++)
				agree(t,
				      old.list[k].name_len != new.list[l].name_len ||
					      memcmp(old.list[k].name, new.list[l].name,
						     new.list[l].name_len) ||
					      many_ways(t, new.list[l].name, new.list[l].name_len),
				      "", "node %u: %.*s listed twice", h->nodes[i],
				      new.list[l].name_len, new.list[l].name);
		for (size_t k = cut + 1; k < old.n; k++) {
			const struct view_dirent *d = &old.list[k];
			uint32_t found;
			size_t l = 0;

			if (d->cookie <= 2 ||
			    view_lookup(now, h->nodes[i], d->name, d->name_len, &found))
				continue;
			while (l < new.n && (new.list[l].name_len != d->name_len ||
					     memcmp(new.list[l].name, d->name, d->name_len)))
				l++;
			agree(t, l < new.n || many_ways(t, d->name, d->name_len), "",
			      "node %u: %.*s skipped", h->nodes[i], d->name_len, d->name);
		}
		free(old.list);
		free(new.list);
	}
	free(h->nodes);
	view_unref(h->view);
}

/* ---- changing ---- */

static void random_path(struct trial *t, char out[static 4096])
{
	size_t n;
	char **paths = model_paths(t->model, &n);
	char name[256];

	out[0] = '\0';
	if (n && rng_below(&t->rng, 5))
		strcpy(out, paths[rng_below(&t->rng, (uint32_t)n)]);
	model_paths_free(paths, n);
	if (!out[0] || !rng_below(&t->rng, 2)) {
		for (uint32_t more = 1 + rng_below(&t->rng, 5) / 4; more--;) {
			model_name(&t->rng, name);
			snprintf(out + strlen(out), 4096 - strlen(out), "%s%s", out[0] ? "/" : "",
				 name);
		}
	}
	if (strlen(out) > 3000)
		strcpy(out, "a");
}

static struct bytes random_text(struct rng *rng, bool is_template)
{
	static const char *const texts[] = {
		"",	     "plain\n", "{{name}}", "a {{color}} {{version}}\n", "{{mac}}{{name}}",
		"{{nobody}}"};
	static const char *const targets[] = {"a", "/a", "../b", "/", "etc", "/nowhere", "/a/b/c"};
	const char *text = is_template ? texts[rng_below(rng, ARRAY_SIZE(texts))]
				       : targets[rng_below(rng, ARRAY_SIZE(targets))];

	return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static void random_change(struct trial *t)
{
	struct scope scope = scopes[rng_below(&t->rng, ARRAY_SIZE(scopes))];
	static const enum entry_kind kinds[] = {
		ENTRY_FILE, ENTRY_FILE,	    ENTRY_TEMPLATE, ENTRY_LINK, ENTRY_DIR,
		ENTRY_DIR,  ENTRY_WHITEOUT, ENTRY_OPAQUE,   ENTRY_ATTR, ENTRY_ATTR};
	struct entry_spec spec = {.kind = kinds[rng_below(&t->rng, ARRAY_SIZE(kinds))]};
	char text[64];
	char path[4096];
	int r;

	random_path(t, path);
	if (!rng_below(&t->rng, 5)) {
		r = site_reset(&t->site, scope, path, !rng_below(&t->rng, 4));
		assert_true(!r || r == -ENOENT);
		return;
	}
	if (spec.kind == ENTRY_FILE) {
		snprintf(text, sizeof(text), "body %u", rng_below(&t->rng, 1000000));
		spec = site_file(&t->site, rng_below(&t->rng, 8) ? text : "");
		spec.mtime_ns = (int64_t)rng_below(&t->rng, 1u << 30) * NS_PER_SEC + 5;
	}
	if (spec.kind == ENTRY_TEMPLATE || spec.kind == ENTRY_LINK)
		spec.body = random_text(&t->rng, spec.kind == ENTRY_TEMPLATE);
	if (spec.kind == ENTRY_ATTR && !rng_below(&t->rng, 20))
		path[0] = '\0';
	if (rng_below(&t->rng, 2)) {
		spec.flags |= ENTRY_MODE_SET;
		spec.mode = (uint16_t)(rng_below(&t->rng, 4) ? 0640 : 07777);
	}
	if (rng_below(&t->rng, 2)) {
		spec.flags |= ENTRY_OWNER_SET;
		spec.uid = rng_below(&t->rng, 2000);
		spec.gid = rng_below(&t->rng, 2000);
	}
	if (!rng_below(&t->rng, 5))
		spec.flags |= ENTRY_NEXT_BOOT;
	r = site_change(&t->site, scope, path, &spec, NULL, NULL);
	assert_true(!r || r == -ENOTDIR || r == -EINVAL);
}

static void build_model(struct trial *t, uint64_t pin)
{
	struct model_context c = {.objects = t->site.objects,
				  .lookup = key_value,
				  .keys_ns = 1000,
				  .pin = UINT64_MAX};
	const struct entry *part;
	bool always;
	int fd;

	model_remove(t->model);
	assert_int_equal(mkdir(t->model, 0755), 0);
	model_generate(t->model, t->seed);
	fd = open(t->model, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; (part = profile_part(i, &always)); i++)
		if (always)
			model_apply(fd, part, &c);
	c.pin = pin;
	for (size_t s = 0; s < ARRAY_SIZE(scopes); s++) {
		struct overlay *ov;

		assert_int_equal(overlay_load(t->site.db, scopes[s], NULL, &ov), 0);
		for (unsigned int i = 0; i < ov->n; i++)
			model_apply(fd, &ov->entries[i], &c);
		overlay_free(ov);
	}
	close(fd);
}

static const char rows[] = "INSERT INTO grp (id, name, image, changed) VALUES (1, 'lab', NULL, 0), "
			   "(2, 'fix', NULL, 0);"
			   "INSERT INTO host (id, name, added, changed) VALUES (1, 'amy', 0, 1000);"
			   "INSERT INTO host_mac VALUES (x'525400000001', 1);"
			   "INSERT INTO host_group VALUES (1, 0, 1), (1, 1, 2);"
			   "INSERT INTO setting VALUES (1, 1, 'color', 'blue');";

static struct view *host_view(struct trial *t, uint64_t pin)
{
	struct view *view;

	assert_int_equal(views_get(t->views, HOST, t->version, pin, &view), 0);
	return view;
}

static void one_trial(uint64_t seed)
{
	struct trial t = {.seed = seed, .rng = {seed ^ 0x5eed}};
	struct held held = {0};
	struct site_copier copier;
	struct view *view;

	site_init(&t.site);
	snprintf(t.model, sizeof(t.model), "%s/model", t.site.dir);
	assert_int_equal(mkdir(t.model, 0755), 0);
	model_generate(t.site.origin, seed);
	assert_int_equal(db_exec(t.site.db, rows), 0);
	t.version = site_image(&t.site, false);
	site_copier_start(&t.site, &copier);
	assert_int_equal(views_open(t.site.state, &t.views, NULL), 0);
	assert_int_equal(contents_new(t.site.state, 16, &t.contents, NULL), 0);
	assert_int_equal(views_get(t.views, 0, t.version, UINT64_MAX, &view), 0);
	compare(&t, view, t.site.origin);
	view_unref(view);
	for (int batch = 0; batch < BATCHES; batch++) {
		uint64_t pin = site_last_change(&t.site);

		build_model(&t, UINT64_MAX);
		for (uint32_t n = rng_below(&t.rng, 12); n--;)
			random_change(&t);
		views_poll(t.views);
		if (!rng_below(&t.rng, 3))
			pin = rng_below(&t.rng, (uint32_t)site_last_change(&t.site) + 1);
		view = host_view(&t, pin);
		build_model(&t, pin);
		compare(&t, view, t.model);
		view_unref(view);
		view = host_view(&t, UINT64_MAX);
		build_model(&t, UINT64_MAX);
		compare(&t, view, t.model);
		if (held.view)
			check_held(&t, &held, view);
		held = (struct held){.view = view};
		hold_below(&held, VIEW_ROOT);
	}
	free(held.nodes);
	view_unref(held.view);
	contents_free(t.contents);
	views_close(t.views);
	site_copier_stop(&copier);
	site_fini(&t.site);
}

static void random_trees_are_as_ordinary_system_calls_make_them(void **state)
{
	uint64_t seed = model_seed();
	unsigned int rounds = model_rounds(24);

	(void)state;
	print_message("# first seed %#llx\n", (unsigned long long)seed);
	for (unsigned int i = 0; i < rounds; i++)
		one_trial(seed + i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_trees_are_as_ordinary_system_calls_make_them),
	};

	log_init("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
