/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One seed's site: an image of a random tree, a host in two groups, and random changes
 * of every scope; and the plain directory that its view must equal.
 *
 * For one source file of a test: uses tests/unit/site.h.
 */
#ifndef TESTS_DOORS_TRIAL_H
#define TESTS_DOORS_TRIAL_H

#include "tests/unit/site.h"

#include "fsd/origin.h"
#include "fsd/profile.h"
#include "tests/doors/pack.h"
#include "tests/model.h"

enum { TRIAL_HOST = 1 };

struct trial {
	struct site site;
	struct rng rng;
	uint64_t seed;
	struct model_shape shape;
	const char *skip;     /* ",3,17,": changes that are not made */
	unsigned int nchange; /* changes so far, skipped ones too */
	uint32_t version;
	char model[160];
};

static const struct scope trial_scopes[] = {
	{SCOPE_ALL, 0}, {SCOPE_GROUP, 1}, {SCOPE_GROUP, 2}, {SCOPE_HOST, TRIAL_HOST}};

static const char trial_rows[] =
	"INSERT INTO grp (id, name, image, changed) VALUES (1, 'lab', NULL, 0), "
	"(2, 'fix', NULL, 0);"
	"INSERT INTO host (id, name, added, changed) VALUES (1, 'amy', 0, 1000);"
	"INSERT INTO host_mac VALUES (x'525400000001', 1);"
	"INSERT INTO host_group VALUES (1, 0, 1), (1, 1, 2);"
	"INSERT INTO setting VALUES (1, 1, 'color', 'blue');";

/* The rows that made the tree, for the reader of a failure. */
static void trial_tell(struct trial *t)
{
	static const char *const kinds[ENTRY_KINDS] = {"?",	 "file",       "template", "link",
						       "dir",	 "hide",       "opaque",   "attr",
						       "parent", "parent+attr"};

	for (size_t s = 0; s < ARRAY_SIZE(trial_scopes); s++) {
		struct overlay *ov;

		assert_int_equal(overlay_load(t->site.db, trial_scopes[s], NULL, &ov), 0);
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

static const char *trial_key(void *ctx, const char *key)
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

/* May several rows lead to a name so called?  Through links, two paths of different
 * scopes may mean one name; its place in a listing is that of the lower path, and moves
 * when that one comes or goes. */
static bool trial_many_ways(void *ctx, const char *name, size_t len)
{
	struct trial *t = ctx;
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

static struct entry_spec random_spec(struct trial *t)
{
	static const enum entry_kind kinds[] = {
		ENTRY_FILE, ENTRY_FILE,	    ENTRY_TEMPLATE, ENTRY_LINK, ENTRY_DIR,
		ENTRY_DIR,  ENTRY_WHITEOUT, ENTRY_OPAQUE,   ENTRY_ATTR, ENTRY_ATTR};
	struct entry_spec spec = {.kind = kinds[rng_below(&t->rng, ARRAY_SIZE(kinds))]};
	char text[64];

	if (spec.kind == ENTRY_FILE) {
		snprintf(text, sizeof(text), "body %u", rng_below(&t->rng, 1000000));
		spec = site_file(&t->site, rng_below(&t->rng, 8) ? text : "");
		spec.mtime_ns = (int64_t)rng_below(&t->rng, 1u << 30) * NS_PER_SEC + 5;
	}
	if (spec.kind == ENTRY_TEMPLATE || spec.kind == ENTRY_LINK)
		spec.body = random_text(&t->rng, spec.kind == ENTRY_TEMPLATE);
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
	return spec;
}

static void trial_change(struct trial *t)
{
	struct scope scope = trial_scopes[rng_below(&t->rng, ARRAY_SIZE(trial_scopes))];
	bool reset = !rng_below(&t->rng, 5);
	bool next_boot = !rng_below(&t->rng, 4);
	struct entry_spec spec = random_spec(t);
	bool skipped;
	char number[16];
	char path[4096];
	int r;

	random_path(t, path);
	if (spec.kind == ENTRY_ATTR && !rng_below(&t->rng, 20))
		path[0] = '\0';
	snprintf(number, sizeof(number), ",%u,", t->nchange++);
	skipped = t->skip && strstr(t->skip, number);
	if (skipped)
		return;
	r = reset ? site_reset(&t->site, scope, path, next_boot)
		  : site_change(&t->site, scope, path, &spec, NULL, NULL);
	assert_true(!r || r == (reset ? -ENOENT : -ENOTDIR) || (!reset && r == -EINVAL));
}

/* The plain directory, for a boot that pinned the change `pin`. */
static void trial_model(struct trial *t, uint64_t pin)
{
	struct model_context c = {.objects = t->site.objects,
				  .lookup = trial_key,
				  .keys_ns = 1000,
				  .pin = UINT64_MAX};
	const struct entry *part;
	bool always;
	int fd;

	model_remove(t->model);
	assert_int_equal(mkdir(t->model, 0755), 0);
	model_generate(t->model, t->seed, &t->shape);
	fd = open(t->model, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; (part = profile_part(i, &always)); i++)
		if (always)
			model_apply(fd, part, &c);
	c.pin = pin;
	for (size_t s = 0; s < ARRAY_SIZE(trial_scopes); s++) {
		struct overlay *ov;

		assert_int_equal(overlay_load(t->site.db, trial_scopes[s], NULL, &ov), 0);
		for (unsigned int i = 0; i < ov->n; i++)
			model_apply(fd, &ov->entries[i], &c);
		overlay_free(ov);
	}
	close(fd);
}

/* ---- the whole ---- */

static void trial_image(struct trial *t, enum origin_kind kind)
{
	struct image_add add = {.name = "img", .source = t->site.origin};
	struct why why = {""};
	char source[256];
	char scratch[256];
	uint32_t number;
	struct rng rng = {t->seed};
	bool packed = true;

	snprintf(source, sizeof(source), "%s/source", t->site.dir);
	snprintf(scratch, sizeof(scratch), "%s/scratch", t->site.dir);
	assert_int_equal(mkdir(scratch, 0755), 0);
	if (kind == ORIGIN_TAR)
		packed = pack_tar(t->site.origin, source);
	else if (kind == ORIGIN_OCI)
		packed = pack_oci(t->site.origin, source, scratch, &rng);
	if (!packed)
		fail_msg("the origin could not be packed");
	if (kind != ORIGIN_DIR)
		add.source = source;
	if (image_add(t->site.db, t->site.state, &add, &t->version, &number, &why))
		fail_msg("image add: %s", why.text);
	model_remove(scratch);
}

static void trial_init(struct trial *t, uint64_t seed)
{
	static const enum origin_kind kinds[] = {ORIGIN_DIR, ORIGIN_DIR, ORIGIN_TAR, ORIGIN_OCI};
	enum origin_kind kind = geteuid() ? ORIGIN_DIR : kinds[seed % ARRAY_SIZE(kinds)];
	const char *most = getenv("NAMES");

	*t = (struct trial){.seed = seed, .rng = {seed ^ 0x5eed}, .skip = getenv("SKIP")};
	t->shape.for_tar = kind != ORIGIN_DIR;
	t->shape.most = most ? (unsigned int)strtoul(most, NULL, 10) : 0;
	site_init(&t->site);
	snprintf(t->model, sizeof(t->model), "%s/model", t->site.dir);
	assert_int_equal(mkdir(t->model, 0755), 0);
	model_generate(t->site.origin, seed, &t->shape);
	assert_int_equal(db_exec(t->site.db, trial_rows), 0);
	trial_image(t, kind);
}

#endif
