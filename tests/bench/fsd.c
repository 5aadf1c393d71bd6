/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the core costs.  Figures, no verdicts:
 *
 *	build/tests/bench_fsd [DIR]	works below DIR, else /tmp; removes what it made
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/schema.h"
#include "common/state.h"
#include "fsd/copier.h"
#include "fsd/forest.h"
#include "fsd/image.h"
#include "fsd/manifest.h"
#include "fsd/objects.h"
#include "fsd/overlay.h"
#include "fsd/view.h"
#include "tests/model.h"

enum { FILES = 14000, FILES_A_DIR = 100, FILE_SIZE = 28000, HOSTS = 10000, ENTRIES = 100 };

static void must(int r, const char *what, const struct why *why)
{
	if (!r)
		return;
	fprintf(stderr, "%s: %s\n", what, why_text(why, r));
	exit(1);
}

static double seconds(struct instant from)
{
	return (double)(instant_now().ns - from.ns) / 1e9;
}

static long rss_kib(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%*d %ld", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void write_file(const char *path, struct rng *rng, int flags)
{
	static char body[FILE_SIZE];
	int fd = open(path, O_WRONLY | O_CREAT | flags, 0644);

	for (size_t b = 0; b < sizeof(body); b += 8)
		memcpy(body + b, &(uint64_t){rng_next(rng)}, 8);
	must(fd < 0 || write(fd, body, sizeof(body)) != sizeof(body) || close(fd), path, NULL);
}

static void make_origin(const char *dir)
{
	struct rng rng = {1};
	char path[512];

	for (int i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "%s/d%03d", dir, i / FILES_A_DIR);
		if (i % FILES_A_DIR == 0)
			must(mkdir(path, 0755), path, NULL);
		snprintf(path, sizeof(path), "%s/d%03d/f%05d", dir, i / FILES_A_DIR, i);
		write_file(path, &rng, O_EXCL);
	}
}

/* One file in a hundred. */
static void change_origin(const char *dir)
{
	struct rng rng = {2};
	char path[512];

	for (int i = 0; i < FILES; i += 100) {
		snprintf(path, sizeof(path), "%s/d%03d/f%05d", dir, i / FILES_A_DIR, i);
		write_file(path, &rng, O_TRUNC);
	}
}

/* What the disk takes when it gets the same bytes in one piece. */
static void bench_disk(const char *dir)
{
	static char body[1 << 20];
	struct rng rng = {3};
	struct instant start;
	char path[512];
	int fd;

	for (size_t b = 0; b < sizeof(body); b += 8)
		memcpy(body + b, &(uint64_t){rng_next(&rng)}, 8);
	snprintf(path, sizeof(path), "%s/disk", dir);
	start = instant_now();
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	for (int64_t left = (int64_t)FILES * FILE_SIZE; left > 0; left -= (int64_t)sizeof(body))
		must(fd < 0 || write(fd, body, sizeof(body)) != sizeof(body), path, NULL);
	must(fdatasync(fd) || close(fd), path, NULL);
	printf("(as many bytes to the disk in one file, synced: %.2f s)\n", seconds(start));
	unlink(path);
}

static void bench_manifest(const char *dir)
{
	enum { ENTRIES_A_DIR = 1000, ALL = 1000000 };
	const struct manifest_attr folder = {.mode = S_IFDIR | 0755};
	const struct manifest_attr file = {.mode = S_IFREG | 0644, .size = 1};
	cleanup(manifest_builder_freep) struct manifest_builder *b = NULL;
	cleanup(manifest_closep) struct manifest *m = NULL;
	struct why why = {""};
	struct instant start;
	uint32_t at = 0;

	must(manifest_builder_new(&b), "manifest", NULL);
	for (int i = 0; i < ALL; i++) {
		char name[32];
		uint32_t index;
		int n = snprintf(name, sizeof(name), "name-%d", i);

		if (i % ENTRIES_A_DIR == 0)
			must(manifest_builder_add(b, 0, name, (size_t)n, &folder, &at), name, NULL);
		else
			must(manifest_builder_add(b, at, name, (size_t)n, &file, &index), name,
			     NULL);
	}
	must(manifest_builder_write(b, dir, 1000000, false), "manifest", NULL);
	start = instant_now();
	must(manifest_open(dir, 1000000, &m, &why), "manifest", &why);
	printf("manifest of %u entries: opened in %.2f ms\n", manifest_count(m),
	       seconds(start) * 1e3);
}

static char state[256];

static void sealed(void *ctx, uint32_t version, const struct hash *digest)
{
	cleanup(db_closep) struct db *db = NULL;

	(void)ctx;
	if (!db_open(state, &schema_rootstock, DB_WRITE, &db, NULL))
		image_sealed(db, version, digest);
}

static bool is_sealed(struct db *db, uint32_t version)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT sealed IS NOT NULL FROM version WHERE id = ?");
	bool is = db_query(db, stmt, "u", version) == DB_ROW && sqlite3_column_int(stmt, 0);

	sqlite3_reset(stmt);
	return is;
}

static void bench_fill(struct db *db, uint32_t version)
{
	struct copier_config config = {.state_dir = state, .sealed = sealed};
	struct instant start = instant_now();
	struct copier *copier;
	struct why why = {""};

	must(copier_listen(state, &config.listen_fd, &config.lock_fd, &why), "copier", &why);
	must(copier_start(&config, &copier, &why), "copier", &why);
	while (!is_sealed(db, version))
		usleep(5000);
	printf("fill and seal: %.2f s\n", seconds(start));
	copier_stop(copier);
	close(config.listen_fd);
	close(config.lock_fd);
}

static void bench_lookup(struct view *view, const char *what)
{
	enum { ROUNDS = 2000000 };
	struct rng rng = {2};
	uint32_t dirs[FILES / FILES_A_DIR];
	struct instant start;
	struct view_attr a;
	uint32_t node;
	char name[32];
	int missed = 0;

	for (int d = 0; d < FILES / FILES_A_DIR; d++) {
		snprintf(name, sizeof(name), "d%03d", d);
		missed += !!view_lookup(view, VIEW_ROOT, name, strlen(name), &dirs[d]);
	}
	start = instant_now();
	for (int i = 0; i < ROUNDS; i++) {
		int f = (int)rng_below(&rng, FILES);

		memcpy(name, "f00000", 7);
		for (int at = 5, v = f; v; v /= 10)
			name[at--] = (char)('0' + v % 10);
		missed += view_lookup(view, dirs[f / FILES_A_DIR], name, 6, &node) ||
			  view_attr(view, node, &a);
	}
	printf("%s: lookup and attributes: %.2f million/s%s\n", what, ROUNDS / seconds(start) / 1e6,
	       missed ? " (some missed!)" : "");
}

/* Rows as overlay_change() makes them, by SQL, for speed: 95 files, 5 directories. */
static const char many[] =
	"BEGIN;"
	"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)"
	" INSERT INTO host (name, added, changed) SELECT 'host' || i, 0, 1 FROM n;"
	"INSERT INTO scope (kind, owner, change) SELECT 2, id, id FROM host;"
	"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99)"
	" INSERT INTO path (id, path) SELECT 65537 + i, CAST(CASE WHEN i < 5 THEN 'etc' || i"
	" ELSE 'etc' || (i % 5) || '/settings-' || i || '.conf' END AS BLOB) FROM n;"
	"INSERT INTO entry (id, scope, path, kind, mode, uid, gid, size, mtime, object, change,"
	" changed) SELECT 100000 + s.id * 100 + p.id - 65537, s.id, p.id,"
	" CASE WHEN p.id < 65542 THEN 8 ELSE 1 END, 420, 0, 0, 5, 1, zeroblob(32), s.owner, 1"
	" FROM scope s, path p;"
	"UPDATE counter SET value = 2000000;"
	"COMMIT;";

static void bench_hosts(struct db *db, uint32_t version)
{
	long before = rss_kib();
	struct instant start = instant_now();
	struct view **all = calloc(HOSTS, sizeof(*all));
	struct views *views;
	struct why why = {""};
	double opened;

	must(db_exec(db, many), "rows", NULL);
	printf("(rows of %d hosts made in %.1f s)\n", HOSTS, seconds(start));
	before = rss_kib();
	start = instant_now();
	must(views_open(state, &views, &why), "views", &why);
	opened = seconds(start);
	for (uint32_t h = 0; h < HOSTS; h++)
		must(views_get(views, h + 1, version, UINT64_MAX, &all[h]), "view", NULL);
	printf("%d hosts of %d entries: open %.2f s, all views %.2f s (%.0f us each), "
	       "%ld MiB more resident (%ld in all), %.0f bytes an entry\n",
	       HOSTS, ENTRIES, opened, seconds(start), seconds(start) * 1e6 / HOSTS,
	       (rss_kib() - before) / 1024, rss_kib() / 1024,
	       (double)(rss_kib() - before) * 1024 / HOSTS / ENTRIES);
	bench_lookup(all[HOSTS / 2], "one of 10000 hosts");
	start = instant_now();
	must(db_exec(db, "UPDATE scope SET change = 2000000 WHERE owner = 77 AND kind = 2"),
	     "change", NULL);
	views_poll(views);
	printf("one overlay change seen after %.0f ms\n", seconds(start) * 1e3);
	for (uint32_t h = 0; h < HOSTS; h++)
		view_unref(all[h]);
	free(all);
	views_close(views);
}

static void forget_name(void *ctx, uint64_t dir, const char *name, size_t len)
{
	(void)dir;
	(void)name;
	(void)len;
	++*(unsigned int *)ctx;
}

static bool forget_node(void *ctx, uint64_t node, bool bytes)
{
	(void)node;
	(void)bytes;
	++*(unsigned int *)ctx;
	return true;
}

/* A mount where somebody looked at every host, and a change that is in all of them. */
static void bench_forest(struct db *db, uint32_t version)
{
	const struct entry_spec spec = {.kind = ENTRY_FILE, .size = 1, .mtime_ns = 1};
	unsigned int told = 0;
	const struct changes_sink sink = {forget_name, forget_node, &told};
	struct forest_attr attr;
	struct forest_dirent entry = {.cookie = 2};
	cleanup(forest_closep) struct forest *forest = NULL;
	uint64_t hosts;
	struct instant start;
	struct why why = {""};
	struct txn *txn;
	unsigned int n = 0;

	must(db_run(db, "UPDATE host SET version = ?", "u", version), "version", NULL);
	must(forest_open(state, &forest, &why), "forest", &why);
	start = instant_now();
	forest_enter(forest);
	must(forest_lookup(forest, FOREST_ROOT, "hosts", 5, &hosts), "hosts", NULL);
	for (; !forest_readdir(forest, hosts, entry.cookie, &entry); n++)
		must(forest_attr(forest, entry.number, &attr), "host", NULL);
	forest_leave(forest);
	printf("a mount where %u hosts were looked at: %.2f s to build their views\n", n,
	       seconds(start));
	must(txn_begin(db, &txn), "change", NULL);
	must(overlay_change(db, (struct scope){SCOPE_ALL, 0}, "etc/motd", &spec, NULL, &why),
	     "change", &why);
	must(txn_commit(txn), "change", NULL);
	start = instant_now();
	forest_poll(forest, &sink);
	printf("a change in all of them was told to the kernel after %.2f s (%u calls)\n",
	       seconds(start), told);
}

static uint64_t kept;

static int add_size(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)path;
	(void)ftw;
	if (type == FTW_F)
		kept += (uint64_t)st->st_size;
	return 0;
}

/* What the store holds. */
static uint64_t kept_bytes(void)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/objects", state);
	kept = 0;
	nftw(path, add_size, 16, FTW_PHYS);
	return kept;
}

static void bench_all(const char *dir)
{
	struct image_add add = {.name = "bench"};
	struct views *views;
	struct why why = {""};
	struct instant start;
	struct view *view;
	struct db *db;
	uint32_t version;
	uint32_t number;
	char origin[256];

	snprintf(origin, sizeof(origin), "%s/origin", dir);
	snprintf(state, sizeof(state), "%s/state", dir);
	must(mkdir(origin, 0755), origin, NULL);
	make_origin(origin);
	must(state_open(state, &db, &why), "state", &why);
	add.source = origin;
	for (int again = 0; again < 2; again++) {
		uint64_t bytes = kept_bytes();

		if (again)
			change_origin(origin);
		start = instant_now();
		must(image_add(db, state, &add, &version, &number, &why), "image_add", &why);
		printf("version %d of %d files, %d MB: added after %.3f s\n", again + 1, FILES,
		       (int)((int64_t)FILES * FILE_SIZE / 1000000), seconds(start));
		bench_fill(db, version);
		bytes = kept_bytes() - bytes;
		printf("of it copied: %.1f MB, %.1f %%\n", (double)bytes / 1e6,
		       (double)bytes * 100 / FILES / FILE_SIZE);
		if (!again)
			bench_disk(dir);
	}
	must(views_open(state, &views, &why), "views", &why);
	must(views_get(views, 0, version, UINT64_MAX, &view), "view", NULL);
	bench_lookup(view, "bare image");
	view_unref(view);
	views_close(views);
	bench_manifest(dir);
	bench_hosts(db, version);
	bench_forest(db, version);
	db_close(db);
}

int main(int argc, char **argv)
{
	char dir[200];

	log_init("bench", LOG_LEVEL_ERROR);
	setvbuf(stdout, NULL, _IOLBF, 0);
	snprintf(dir, sizeof(dir), "%s/rootstock-bench.XXXXXX", argc > 1 ? argv[1] : "/tmp");
	if (!mkdtemp(dir)) {
		perror(dir);
		return 1;
	}
	bench_all(dir);
	model_remove(dir);
	return 0;
}
