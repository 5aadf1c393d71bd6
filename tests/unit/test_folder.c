/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/site.h"

#include <sys/stat.h>
#include <time.h>

#include "fsd/folder_parts.h"
#include "fsd/folder_text.h"
#include "fsd/host.h"

static const struct scope all = {SCOPE_ALL, 0};

/* ---- lines ---- */

static struct bytes text_of(const char *text)
{
	return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static void lines_are_written_as_they_were_read(void **state)
{
	static const char *const lines[] = {
		"put /etc/motd mode=0644 owner=0:0",
		"put /etc/token mode=0600 owner=0:0 secret next-boot late=2",
		"template /etc/issue",
		"link /usr/lib/a\\x20b to=../bin/\\x0atool owner=1:4294967294",
		"mkdir /srv mode=7777",
		"hide /\\x5cwhat",
		"opaque /etc next-boot",
		"attr / owner=5:6",
		("put /gr\xc3\xbc\xc3\x9f"
		 "e"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct arena arena = {0};
		struct folder_entry e;
		struct why why = {""};
		char out[256] = "";
		FILE *to = fmemopen(out, sizeof(out), "w");

		if (folder_entry_parse(text_of(lines[i]), &arena, &e, &why))
			fail_msg("%s: %s", lines[i], why.text);
		folder_entry_print(to, &e);
		fclose(to);
		out[strcspn(out, "\n")] = '\0';
		assert_string_equal(out, lines[i]);
		arena_fini(&arena);
	}
}

static void bad_lines_are_refused(void **state)
{
	static const char *const lines[] = {
		"",
		"put",
		"put etc/motd",
		"put /etc/../shadow",
		"put /./a",
		"putt /a",
		"put /",
		"put /a mode=8",
		"put /a mode=17777",
		"put /a mode=",
		"put /a mode=0644 mode=0600",
		"put /a owner=root:root",
		"put /a owner=1",
		"put /a owner=1:4294967295",
		"put /a to=/b",
		"put /a frob",
		"put /a late=0",
		"put /a late=10000",
		"put /a\\x00b",
		"put /a\\q",
		"put /a\\x2",
		"link /a",
		"link /a to=/b secret",
		"template /a secret",
		"hide /a mode=0644",
		"attr /a",
		"put /a next-boot next-boot",
		"put /a a b c d e f g h i j k l m n o p q r s t",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct arena arena = {0};
		struct folder_entry e;
		struct why why = {""};

		if (folder_entry_parse(text_of(lines[i]), &arena, &e, &why) != -EINVAL)
			fail_msg("taken: %s", lines[i]);
		assert_true(why.text[0]);
		arena_fini(&arena);
	}
}

static void texts_are_cut_into_lines(void **state)
{
	static const char text[] = "\n# no\na=b\n\n c=d\nlast=one";
	struct folder_lines lines = {(const uint8_t *)text, (const uint8_t *)text + strlen(text),
				     0};
	static const char bad[] = "fine=1\nb\tad\n";
	static const unsigned int numbers[] = {3, 5, 6};
	struct why why = {""};
	struct bytes line;

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(folder_line(&lines, &line, &why), 1);
		assert_int_equal(lines.line, numbers[i]);
	}
	assert_int_equal(line.len, strlen("last=one"));
	assert_int_equal(folder_line(&lines, &line, &why), 0);
	lines = (struct folder_lines){(const uint8_t *)bad, (const uint8_t *)bad + strlen(bad), 0};
	assert_int_equal(folder_line(&lines, &line, &why), 1);
	assert_int_equal(folder_line(&lines, &line, &why), -EINVAL);
	assert_int_equal(lines.line, 2);
}

/* ---- a site, and what it is as a folder ---- */

/* A folder under the site's directory; PATH is one at a time. */
static const char *below(struct site *s, const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned int next;
	char *out = path[next++ % 4];

	snprintf(out, PATH_MAX, "%s/%s", s->dir, name);
	return out;
}

static void export_to(struct site *s, const char *dir, bool secrets)
{
	cleanup(objects_closep) struct objects *secret_store = NULL;
	cleanup(folder_freep) struct folder *f = NULL;
	struct why why = {""};

	assert_int_equal(objects_open(s->state, STORE_SECRETS, true, &secret_store, NULL), 0);
	assert_int_equal(db_exec(s->db, "BEGIN"), 0);
	assert_int_equal(folder_load(s->db, secrets, &f), 0);
	db_rollback(s->db);
	if (folder_write(f, dir, s->objects, secret_store, &why))
		fail_msg("%s", why.text);
}

/* What the import said, or why it was refused, as "!...". */
static const char *import_from(struct site *s, const char *dir, bool dry)
{
	static char said[8192];
	struct folder_apply how = {.dir = dir, .state_dir = s->state, .dry = dry};
	cleanup(folder_freep) struct folder *f = NULL;
	struct why why = {""};
	int r = folder_read(dir, &f, &why);

	if (!r)
		r = folder_apply(s->db, f, &how, &why);
	snprintf(said, sizeof(said), "%s%s", r ? "!" : "", r ? why_text(&why, r) : how.changes);
	free(how.changes);
	free(how.warnings);
	return said;
}

static void write_to(const char *dir, const char *name, const char *text)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	site_write(dir, name, text, strlen(text));
}

static const char *read_from(const char *dir, const char *name)
{
	static char text[4096];
	char path[PATH_MAX];
	cleanup(fclosep) FILE *file = NULL;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "re");
	if (!file)
		return "(none)";
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	return text;
}

/* An empty export. */
static void folder_begin(const char *dir, bool secrets)
{
	write_to(dir, "rootstock-export", secrets ? "format=1\nsecrets=yes\n" : "format=1\n");
}

static uint32_t host(struct site *s, const char *mac, const char *name)
{
	struct host_spec spec = {.name = name};
	struct why why = {""};
	bool has_keys;
	uint32_t id;

	assert_int_equal(mac_parse(mac, &spec.mac), 0);
	if (host_add(s->db, s->state, &spec, &id, &has_keys, &why))
		fail_msg("%s", why.text);
	return id;
}

static uint32_t group(struct site *s, const char *name)
{
	struct why why = {""};
	uint32_t id;

	assert_int_equal(group_add(s->db, name, &why), 0);
	assert_int_equal(group_find(s->db, name, &id, &why), 0);
	return id;
}

static void set(struct site *s, uint32_t id, const char *text)
{
	struct why why = {""};
	char *copy = strdup(text);
	char *words[] = {copy};

	if (scope_set(s->db, SCOPE_HOST, id, words, 1, &why))
		fail_msg("%s", why.text);
	free(copy);
}

static void put(struct site *s, struct scope scope, const char *path, const char *text)
{
	struct entry_spec spec = site_file(s, text);
	struct why why = {""};

	if (site_change(s, scope, path, &spec, NULL, &why))
		fail_msg("%s", why.text);
}

static void lay(struct site *s, struct scope scope, const char *path, enum entry_kind kind)
{
	struct entry_spec spec = {.kind = kind};
	struct why why = {""};

	if (kind == ENTRY_LINK)
		spec.body = text_of("/srv");
	if (kind == ENTRY_ATTR) {
		spec.flags = ENTRY_MODE_SET;
		spec.mode = 0700;
	}
	if (site_change(s, scope, path, &spec, NULL, &why))
		fail_msg("%s", why.text);
}

/* "id path" of the rows in force, in the order in which they are laid. */
static const char *rows_of(struct site *s, struct scope scope, bool ids)
{
	static char text[2][4096];
	static int turn;
	char *out = text[turn++ % 2];
	struct overlay *ov;
	size_t n = 0;

	out[0] = '\0';
	assert_int_equal(overlay_load(s->db, scope, NULL, &ov), 0);
	for (unsigned int i = 0; i < ov->n; i++) {
		const struct entry *e = &ov->entries[i];

		if (e->retired || (!ids && e->kind == ENTRY_PARENT))
			continue;
		if (ids)
			n += (size_t)snprintf(out + n, sizeof(text[0]) - n, "%u ", e->id);
		n += (size_t)snprintf(out + n, sizeof(text[0]) - n, "%s ", e->path);
	}
	overlay_free(ov);
	return out;
}

static void same_folder(const char *a, const char *b)
{
	char command[2 * PATH_MAX + 64];

	snprintf(command, sizeof(command), "diff -r %s %s >&2", a, b);
	assert_int_equal(system(command), 0);
}

static void a_folder_makes_the_same_site(void **state)
{
	struct site one;
	struct site two;
	uint32_t desk;
	uint32_t amy;

	(void)state;
	site_init(&one);
	site_init(&two);
	host(&one, "52:54:00:00:00:09", "zoe");
	amy = host(&one, "52:54:00:00:00:01", "amy");
	group(&one, "wide");
	desk = group(&one, "desk");
	set(&one, amy, "group=wide,desk");
	set(&one, amy, "mac=52:54:00:00:00:08,52:54:00:00:00:01");
	set(&one, amy, "address=10.0.0.5");
	set(&one, amy, "pending=yes");
	set(&one, amy, "odd= a\n\\b ");
	put(&one, all, "etc/motd", "welcome\n");
	put(&one, all, "etc/deep/er", "");
	lay(&one, all, "srv", ENTRY_DIR);
	lay(&one, (struct scope){SCOPE_GROUP, desk}, "etc", ENTRY_OPAQUE);
	lay(&one, (struct scope){SCOPE_HOST, amy}, "a b", ENTRY_LINK);
	lay(&one, (struct scope){SCOPE_HOST, amy}, "", ENTRY_ATTR);
	export_to(&one, below(&one, "out"), false);
	export_to(&one, below(&one, "again"), false);
	same_folder(below(&one, "out"), below(&one, "again"));
	assert_string_equal(read_from(below(&one, "out"), "hosts/amy/host"),
			    "mac=52:54:00:00:00:01\nmac=52:54:00:00:00:08\naddress=10.0.0.5\n"
			    "group=wide\ngroup=desk\npending=yes\nodd=\\x20a\\x0a\\x5cb\\x20\n");
	assert_string_equal(read_from(below(&one, "out"), "hosts/amy/overlay"),
			    "attr / mode=0700\nlink /a\\x20b to=/srv\n");

	assert_null(strchr(import_from(&two, below(&one, "out"), true), '!'));
	assert_string_equal(rows_of(&two, all, true), ""); /* it was a look */
	assert_null(strchr(import_from(&two, below(&one, "out"), false), '!'));
	export_to(&two, below(&one, "two"), false);
	same_folder(below(&one, "out"), below(&one, "two"));
	assert_string_equal(import_from(&two, below(&one, "out"), false), "");
	site_fini(&one);
	site_fini(&two);
}

/* ---- order ---- */

static void order_is_told_where_it_matters(void **state)
{
	struct site one;
	struct site two;

	(void)state;
	site_init(&one);
	site_init(&two);
	put(&one, all, "z/z", "first");
	put(&one, all, "etc/motd", "has nothing to do with z");
	put(&one, all, "usr/lib/x/y", "older");
	put(&one, all, "lib/x/y", "through a link, the same file maybe");
	put(&one, all, "a/b/c", "hidden");
	lay(&one, all, "a/b", ENTRY_WHITEOUT);
	put(&one, all, "f/g", "below a file");
	put(&one, all, "f", "that comes later");
	export_to(&one, below(&one, "out"), false);
	assert_string_equal(read_from(below(&one, "out"), "all/overlay"),
			    "hide /a/b late=1\nput /a/b/c\nput /etc/motd\nput /f late=1\nput /f/g\n"
			    "put /lib/x/y late=1\nput /usr/lib/x/y\nput /z/z\n");
	assert_string_equal(read_from(below(&one, "out"), "all/files/f/g"), "below a file");
	assert_string_equal(read_from(below(&one, "out"), "all/files.1/f"), "that comes later");
	assert_null(strchr(import_from(&two, below(&one, "out"), false), '!'));
	assert_string_equal(rows_of(&two, all, false),
			    "a/b/c etc/motd f/g usr/lib/x/y z/z a/b f lib/x/y ");
	export_to(&two, below(&one, "two"), false);
	same_folder(below(&one, "out"), below(&one, "two"));

	/* Who comes after one that is put again is put again, and nobody else. */
	write_to(below(&one, "out"), "all/files/usr/lib/x/y", "newer");
	assert_string_equal(import_from(&two, below(&one, "out"), false),
			    "overlay put all /usr/lib/x/y\noverlay put all /lib/x/y\n");
	assert_string_equal(import_from(&two, below(&one, "out"), false), "");
	site_fini(&one);
	site_fini(&two);
}

/* Many of one tail, none above another: each is as late as all before it make it. */
static void late_is_what_all_before_make_it(void **state)
{
	enum { MANY = 300 };
	static char paths[MANY][32];
	struct folder_entry entries[MANY];
	struct folder_scope s = {.entries = entries, .nentries = MANY};
	unsigned int order[MANY];

	(void)state;
	srandom(7);
	for (unsigned int round = 0; round < 20; round++) {
		for (unsigned int i = 0; i < MANY; i++) {
			snprintf(paths[i], sizeof(paths[i]), "d%03u/%s", i,
				 random() % 3 ? "etc/motd" : "etc/issue");
			entries[i] = (struct folder_entry){.path = paths[i], .kind = ENTRY_FILE};
			order[i] = i;
		}
		for (unsigned int i = MANY; i-- > 1;) {
			unsigned int k = (unsigned int)random() % (i + 1);
			unsigned int other = order[i];

			order[i] = order[k];
			order[k] = other;
		}
		for (unsigned int n = 0; n < MANY; n++)
			entries[order[n]].change = n + 1;
		assert_int_equal(folder_late(&s), 0);
		for (unsigned int n = 0; n < MANY; n++) {
			const struct folder_entry *e = &entries[order[n]];
			unsigned int late = 0;

			for (unsigned int k = 0; k < n; k++) {
				const struct folder_entry *before = &entries[order[k]];
				unsigned int least = before->late + (order[k] > order[n]);

				if (!strcmp(before->path + 4, e->path + 4) && least > late)
					late = least;
			}
			assert_int_equal(e->late, late);
		}
	}
}

/* By squares it takes minutes. */
static void many_of_one_tail_take_no_square(void **state)
{
	enum { MANY = 100000 };
	struct folder_entry *entries = calloc(MANY, sizeof(*entries));
	char(*paths)[24] = calloc(MANY, sizeof(*paths));
	struct folder_scope s = {.entries = entries, .nentries = MANY};
	clock_t begun;

	(void)state;
	for (unsigned int i = 0; i < MANY; i++) {
		snprintf(paths[i], sizeof(paths[i]), "d%06u/etc/motd", i);
		entries[i] = (struct folder_entry){
			.path = paths[i], .kind = ENTRY_FILE, .change = 1 + i * 7919ul % MANY};
	}
	begun = clock();
	assert_int_equal(folder_late(&s), 0);
	assert_true((clock() - begun) / CLOCKS_PER_SEC < 20);
	free(entries);
	free(paths);
}

static void what_stays_keeps_its_number(void **state)
{
	const char *before;
	struct site s;
	uint32_t amy;
	uint32_t bob;
	uint32_t id;

	(void)state;
	site_init(&s);
	amy = host(&s, "52:54:00:00:00:01", "amy");
	bob = host(&s, "52:54:00:00:00:02", "bob");
	set(&s, amy, "address=10.0.0.1");
	set(&s, bob, "address=10.0.0.2");
	put(&s, (struct scope){SCOPE_HOST, amy}, "etc/a", "a");
	put(&s, (struct scope){SCOPE_HOST, amy}, "etc/b", "b");
	export_to(&s, below(&s, "out"), false);
	before = rows_of(&s, (struct scope){SCOPE_HOST, amy}, true);
	/* Names, MACs and addresses change hands; amy's row is known by her name. */
	write_to(below(&s, "out"), "hosts/amy/host", "mac=52:54:00:00:00:02\naddress=10.0.0.2\n");
	write_to(below(&s, "out"), "hosts/bob/host", "mac=52:54:00:00:00:01\naddress=10.0.0.1\n");
	assert_string_equal(import_from(&s, below(&s, "out"), false),
			    "host set amy mac=52:54:00:00:00:02\nhost set amy address=10.0.0.2\n"
			    "host set bob mac=52:54:00:00:00:01\nhost set bob address=10.0.0.1\n");
	assert_int_equal(host_find(s.db, "52:54:00:00:00:02", &id, NULL), 0);
	assert_int_equal(id, amy);
	/* One of another name and the same MAC is the same machine. */
	assert_int_equal(rename(below(&s, "out/hosts/bob"), below(&s, "out/hosts/carl")), 0);
	assert_string_equal(import_from(&s, below(&s, "out"), false), "host set bob name=carl\n");
	assert_int_equal(host_find(s.db, "carl", &id, NULL), 0);
	assert_int_equal(id, bob);
	assert_string_equal(rows_of(&s, (struct scope){SCOPE_HOST, amy}, true), before);
	site_fini(&s);
}

/* ---- secrets ---- */

static void secrets_stay_at_home(void **state)
{
	struct entry_spec spec = {.kind = ENTRY_FILE, .flags = ENTRY_SECRET, .size = 7};
	cleanup(objects_closep) struct objects *secrets = NULL;
	struct why why = {""};
	struct site two;
	struct site s;
	char command[PATH_MAX + 64];
	struct stat st;

	(void)state;
	site_init(&s);
	host(&s, "52:54:00:00:00:01", "amy");
	assert_int_equal(objects_open(s.state, STORE_SECRETS, true, &secrets, NULL), 0);
	assert_int_equal(objects_put_bytes(secrets, "SECRET\n", 7, &spec.hash), 0);
	assert_int_equal(site_change(&s, all, "etc/token", &spec, NULL, &why), 0);
	put(&s, all, "etc/motd", "hello");
	export_to(&s, below(&s, "out"), false);
	snprintf(command, sizeof(command),
		 "cd %s && test \"$(grep -rlE 'SECRET|token|ssh|machine' . | wc -l)\" = 0",
		 below(&s, "out"));
	assert_int_equal(system(command), 0);
	/* They are in no folder, and stay where they are. */
	write_to(below(&s, "out"), "all/overlay", "");
	unlink(below(&s, "out/all/files/etc/motd"));
	assert_string_equal(import_from(&s, below(&s, "out"), false),
			    "overlay reset all /etc/motd\n");
	assert_string_equal(rows_of(&s, all, false), "etc/token ");

	export_to(&s, below(&s, "all"), true);
	assert_string_equal(read_from(below(&s, "all"), "all/files/etc/token"), "SECRET\n");
	assert_int_equal(stat(below(&s, "all/all/files/etc/token"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(below(&s, "all/hosts/amy/files/etc/machine-id"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* With them a host is itself again on another server. */
	site_init(&two);
	assert_null(strchr(import_from(&two, below(&s, "all"), false), '!'));
	export_to(&two, below(&s, "two"), true);
	same_folder(below(&s, "all"), below(&s, "two"));
	site_fini(&two);
	site_fini(&s);
}

/* ---- what is refused ---- */

/* The site after a refused import is as it was, and the words start as told. */
static void refused(struct site *s, const char *dir, const char *expected)
{
	char full[PATH_MAX + 512];
	const char *before = rows_of(s, all, true);
	const char *said;
	uint32_t id;

	snprintf(full, sizeof(full), "!%s/%s", dir, expected);
	said = import_from(s, dir, false);
	if (strncmp(said, full, strlen(full)) != 0)
		fail_msg("expected '%s', got '%s'", full, said);
	assert_string_equal(rows_of(s, all, true), before);
	assert_int_equal(host_find(s->db, "amy", &id, NULL), 0);
	assert_int_equal(group_find(s->db, "new", &id, NULL), -ENOENT);
}

static void a_bad_folder_changes_nothing(void **state)
{
	static const struct {
		const char *file;
		const char *text;
		const char *expected;
	} cases[] = {
		{"images", "lab=1\n", "images:1: lab: no such image"},
		{"images", "lab=x\n", "images:1: x: not the number"},
		{"images", "lab=1\nlab=1\n", "images:2: lab: there already, in line 1"},
		{"hosts/bob/host", "mac=52:54:00:00:00:01\n",
		 "hosts/bob/host:1: 52:54:00:00:00:01: is amy's already (hosts/amy/host:1)"},
		{"hosts/bob/host", "mac=52:54:00:00:00:02\naddress=10.0.0.1\n",
		 "hosts/bob/host:2: 10.0.0.1: is amy's already (hosts/amy/host:2)"},
		{"hosts/bob/host", "", "hosts/bob/host: a host has at least one mac"},
		{"hosts/bob/host", "mac=52:54:00:00:00:0A\n", "hosts/bob/host:1: "},
		{"hosts/bob/host", "mac=52:54:00:00:00:02\ngroup=none\n",
		 "hosts/bob/host:2: none: no such group"},
		{"hosts/bob/host", "mac=52:54:00:00:00:02\nimage=lab\n",
		 "hosts/bob/host:2: image=lab: no such image"},
		{"hosts/bob/host", "mac=52:54:00:00:00:02\nname=bob\n",
		 "hosts/bob/host:2: name: a reserved name"},
		{"hosts/bob/host", "mac=52:54:00:00:00:02\n=bob\n",
		 "hosts/bob/host:2: not KEY=VALUE"},
		{"hosts/bob/host", "mac=52:54:00:00:00:02\nx=1\nx=2\n",
		 "hosts/bob/host:3: x: there already, in line 2"},
		{"hosts/bob/host", "mac=52:54:00:00:00:02\nmenu=maybe\n",
		 "hosts/bob/host:2: menu=maybe: not one of no, yes"},
		{"hosts/bob/host", "mac=52:54:00:00:00:02\noption.150=x\n",
		 "hosts/bob/host:2: option.150: write it as option-150"},
		{"hosts/bob/host", "mac=52:54:00:00:00:02\nmaintenance=lab\n",
		 "hosts/bob/host:2: maintenance=lab: no such image"},
		{"groups/new/group", "dialect=casper\n",
		 "groups/new/group:1: dialect=casper: not one of kernel, klibc"},
		{"all/settings", "menu_secs=soon\n",
		 "all/settings:1: menu_secs=soon: not 0 to 3600 seconds"},
		{"hosts/Bob/host", "mac=52:54:00:00:00:02\n", "hosts/Bob: unfit as a name"},
		{"hosts/bob/hots", "mac=52:54:00:00:00:02\n", "hosts/bob/host: No such file"},
		{"groups/new/group", "image=lab@1\n", "groups/new/group:1: lab@1: a group takes"},
		{"groups/new/gruop", "", "groups/new/group: No such file"},
		{"all/overlay", "put /etc/passwd\n",
		 "all/overlay:1: its body, all/files/etc/passwd: No such file"},
		{"all/overlay", "hide /x\nhide /../x\n",
		 "all/overlay:2: /../x: a path with . or .."},
		{"all/overlay", "hide /x\nhide //x/\n",
		 "all/overlay:2: /x: there already, in line 1"},
		{"all/overlay", "hide /x\nmkdir /x/y\n",
		 "all/overlay:2: /x: hidden by this overlay"},
		{"all/overlay", "put /x secret\n", "all/overlay:1: /x: a secret"},
		{"all/overlays", "", "all/overlays: no file of an export"},
		{"all/files/etc/stray", "", "all/files/etc/stray: no line of its overlay"},
		{"rootstock-export", "format=2\n", "rootstock-export:1: format=2: not known"},
		{"rootstock-export", "", "rootstock-export: no format=1"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct site s;
		uint32_t amy;

		site_init(&s);
		amy = host(&s, "52:54:00:00:00:01", "amy");
		set(&s, amy, "address=10.0.0.1");
		put(&s, all, "etc/motd", "welcome");
		folder_begin(below(&s, "in"), false);
		/* Much is to be done before what is refused is found. */
		write_to(below(&s, "in"), "groups/new/group", "printer=lp1\n");
		write_to(below(&s, "in"), "hosts/amy/host",
			 "mac=52:54:00:00:00:01\naddress=10.0.0.1\n");
		write_to(below(&s, "in"), cases[i].file, cases[i].text);
		if (!strcmp(cases[i].file, "groups/new/gruop"))
			unlink(below(&s, "in/groups/new/group"));
		refused(&s, below(&s, "in"), cases[i].expected);
		site_fini(&s);
	}
}

static void nothing_is_read_through_a_link(void **state)
{
	struct site s;
	struct why why = {""};
	struct folder *f;

	(void)state;
	site_init(&s);
	host(&s, "52:54:00:00:00:01", "amy");
	folder_begin(below(&s, "in"), false);
	write_to(below(&s, "in"), "hosts/amy/host", "mac=52:54:00:00:00:01\n");
	write_to(below(&s, "in"), "all/overlay", "put /x/y\n");
	assert_int_equal(mkdir(below(&s, "in/all/files"), 0755), 0);
	assert_int_equal(symlink("/etc", below(&s, "in/all/files/x")), 0);
	refused(&s, below(&s, "in"),
		"all/overlay:1: its body, all/files/x/y: there is a symbolic link");
	assert_int_equal(unlink(below(&s, "in/all/files/x")), 0);
	assert_int_equal(mkdir(below(&s, "in/all/files/x"), 0755), 0);
	assert_int_equal(mkfifo(below(&s, "in/all/files/x/y"), 0644), 0);
	refused(&s, below(&s, "in"), "all/overlay:1: its body, all/files/x/y: not a regular file");
	assert_int_equal(unlink(below(&s, "in/all/files/x/y")), 0);
	/* Larger than anything that could be meant. */
	write_to(below(&s, "in"), "all/files/x/y", "");
	if (!truncate(below(&s, "in/all/files/x/y"), 1LL << 42))
		refused(&s, below(&s, "in"),
			"all/overlay:1: its body, all/files/x/y: File too large");
	assert_int_equal(unlink(below(&s, "in/all/overlay")), 0);
	write_to(below(&s, "in"), "all/overlay", "");
	if (!truncate(below(&s, "in/all/overlay"), FOLDER_TEXT_MAX + 1))
		refused(&s, below(&s, "in"), "all/overlay: File too large");
	assert_int_equal(unlink(below(&s, "in/rootstock-export")), 0);
	assert_int_equal(folder_read(below(&s, "in"), &f, &why), -ENOENT);
	site_fini(&s);
}

static void nobodys_folder_is_written_over(void **state)
{
	cleanup(folder_freep) struct folder *f = NULL;
	struct why why = {""};
	struct site s;

	(void)state;
	site_init(&s);
	host(&s, "52:54:00:00:00:01", "amy");
	host(&s, "52:54:00:00:00:02", "files");
	host(&s, "52:54:00:00:00:03", "files2");
	put(&s, all, "etc/motd", "welcome");
	write_to(below(&s, "home"), "hosts/notes", "mine");
	assert_int_equal(folder_load(s.db, false, &f), 0);
	assert_int_equal(folder_write(f, below(&s, "home"), s.objects, NULL, &why), -ENOTEMPTY);
	assert_string_equal(read_from(below(&s, "home"), "hosts/notes"), "mine");
	/* In one of ours what is not ours stays, and what is there no more goes. */
	export_to(&s, below(&s, "out"), false);
	write_to(below(&s, "out"), ".git/config", "git's");
	write_to(below(&s, "out"), "README", "mine");
	write_to(below(&s, "out"), "hosts/.gitattributes", "mine");
	write_to(below(&s, "out"), "hosts/files/.gitattributes", "mine");
	write_to(below(&s, "out"), "hosts/files2/.gitattributes", "mine");
	write_to(below(&s, "out"), "hosts/bob/host", "mac=52:54:00:00:00:04\n");
	write_to(below(&s, "out"), "all/files/etc/.old", "");
	unlink(below(&s, "out/all/overlay"));
	assert_int_equal(mkdir(below(&s, "out/all/overlay"), 0755), 0);
	unlink(below(&s, "out/all/files/etc/motd"));
	assert_int_equal(symlink("/etc/passwd", below(&s, "out/all/files/etc/motd")), 0);
	unlink(below(&s, "out/images"));
	assert_int_equal(mkfifo(below(&s, "out/images"), 0644), 0);
	export_to(&s, below(&s, "out"), false);
	assert_string_equal(read_from(below(&s, "out"), ".git/config"), "git's");
	assert_string_equal(read_from(below(&s, "out"), "README"), "mine");
	assert_string_equal(read_from(below(&s, "out"), "hosts/.gitattributes"), "mine");
	assert_string_equal(read_from(below(&s, "out"), "hosts/files/.gitattributes"), "mine");
	assert_string_equal(read_from(below(&s, "out"), "hosts/files2/.gitattributes"), "mine");
	assert_string_equal(read_from(below(&s, "out"), "hosts/bob/host"), "(none)");
	assert_string_equal(read_from(below(&s, "out"), "all/files/etc/.old"), "(none)");
	assert_string_equal(read_from(below(&s, "out"), "all/overlay"), "put /etc/motd\n");
	assert_string_equal(read_from(below(&s, "out"), "all/files/etc/motd"), "welcome");
	assert_string_equal(read_from(below(&s, "out"), "images"), "");
	site_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_written_as_they_were_read),
		cmocka_unit_test(bad_lines_are_refused),
		cmocka_unit_test(texts_are_cut_into_lines),
		cmocka_unit_test(a_folder_makes_the_same_site),
		cmocka_unit_test(order_is_told_where_it_matters),
		cmocka_unit_test(late_is_what_all_before_make_it),
		cmocka_unit_test(many_of_one_tail_take_no_square),
		cmocka_unit_test(what_stays_keeps_its_number),
		cmocka_unit_test(secrets_stay_at_home),
		cmocka_unit_test(a_bad_folder_changes_nothing),
		cmocka_unit_test(nothing_is_read_through_a_link),
		cmocka_unit_test(nobodys_folder_is_written_over),
	};

	return cmocka_run_group_tests_name("folder", tests, NULL, NULL);
}
