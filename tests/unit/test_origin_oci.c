/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * OCI image layouts, made by hand: layers over each other as the specification's
 * layer.md has it, and every way in which a layout can be wrong.
 */
#include "tests/unit/origin_unit.h"

#include <sys/utsname.h>

#include <openssl/sha.h>

#define MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define INDEX "application/vnd.oci.image.index.v1+json"
#define CONFIG "application/vnd.oci.image.config.v1+json"
#define LAYER "application/vnd.oci.image.layer.v1.tar"

enum { DESCRIPTOR = 512, LAYERS = 4 };

/* A layout in the making: layers are added, then it is finished, perhaps by hand. */
struct layout {
	struct site *site;
	char path[200];
	char layers[LAYERS * DESCRIPTOR];
	unsigned int nlayers;
};

static void layout_init(struct layout *l, struct site *s)
{
	char path[300];

	*l = (struct layout){.site = s};
	snprintf(l->path, sizeof(l->path), "%s/layout", s->dir);
	assert_int_equal(mkdir(l->path, 0755), 0);
	snprintf(path, sizeof(path), "%s/blobs", l->path);
	assert_int_equal(mkdir(path, 0755), 0);
	strcat(path, "/sha256");
	assert_int_equal(mkdir(path, 0755), 0);
	site_write(l->path, "oci-layout", "{\"imageLayoutVersion\": \"1.0.0\"}", 31);
}

static void layout_remove(struct layout *l)
{
	nftw(l->path, unit_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

static void blob_path(const struct layout *l, const char *descriptor, char out[static 400])
{
	snprintf(out, 400, "%s/blobs/sha256/%.64s", l->path, strstr(descriptor, "sha256:") + 7);
}

/* Keep the bytes as a blob and describe it. */
static void blob_add(struct layout *l, const char *media, const void *data, size_t len,
		     char out[static DESCRIPTOR])
{
	char hex[2 * HASH_LEN + 1];
	char dir[300];
	struct hash hash;

	SHA256(data, len, hash.octet);
	hash_format(&hash, hex);
	snprintf(dir, sizeof(dir), "%s/blobs/sha256", l->path);
	site_write(dir, hex, data, len);
	snprintf(out, DESCRIPTOR,
		 "{\"mediaType\": \"%s\", \"digest\": \"sha256:%s\", \"size\": %zu", media, hex,
		 len);
	strcat(out, "}");
}

static void layout_layer(struct layout *l, struct tarball *t)
{
	char descriptor[DESCRIPTOR];

	tarball_end(t);
	blob_add(l, LAYER, t->data, t->len, descriptor);
	if (l->nlayers++)
		strcat(l->layers, ", ");
	strcat(l->layers, descriptor);
	t->len = 0;
}

static void layout_manifest(struct layout *l, char out[static DESCRIPTOR])
{
	char text[LAYERS * DESCRIPTOR + 2 * DESCRIPTOR];
	char config[DESCRIPTOR];
	char ids[64] = "";

	for (unsigned int i = 0; i < l->nlayers; i++)
		strcat(ids, i ? ", \"x\"" : "\"x\"");
	snprintf(text, sizeof(text), "{\"rootfs\": {\"type\": \"layers\", \"diff_ids\": [%s]}}",
		 ids);
	blob_add(l, CONFIG, text, strlen(text), config);
	snprintf(text, sizeof(text), "{\"schemaVersion\": 2, \"config\": %s, \"layers\": [%s]}",
		 config, l->layers);
	blob_add(l, MANIFEST, text, strlen(text), out);
}

static void layout_index(struct layout *l, const char *manifests)
{
	char text[8192];

	snprintf(text, sizeof(text), "{\"schemaVersion\": 2, \"manifests\": [%s]}", manifests);
	site_write(l->path, "index.json", text, strlen(text));
}

static void layout_finish(struct layout *l)
{
	char manifest[DESCRIPTOR];

	layout_manifest(l, manifest);
	layout_index(l, manifest);
}

static struct tarball *tar_new(void)
{
	struct tarball *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	return t;
}

/* ---- what is meant ---- */

static void later_layers_replace_and_hide(void **state)
{
	struct site *s = *state;
	struct tarball *t = tar_new();
	const struct manifest_node *n;
	struct manifest *m;
	struct layout l;

	layout_init(&l, s);
	tarball_add(t, '0', "etc/keep", "keep");
	tarball_add(t, '0', "etc/change", "old");
	tarball_add(t, '0', "etc/hide", "x");
	tarball_add(t, '0', "gone/deep/x", "x");
	tarball_add(t, '0', "opaque/low", "low");
	tarball_add(t, '0', "opaque/sub/low", "low");
	tarball_add(t, '0', "opaque/both", "low");
	tarball_add(t, '0', "again/low", "low");
	tarball_add(t, '0', "lib/original", "linked");
	tarball_add(t, '2', "was-link", "etc");
	layout_layer(&l, t);
	tarball_add(t, '0', "etc/change", "new");
	tarball_add(t, '0', "etc/.wh.hide", "");
	tarball_add(t, '0', ".wh.gone", "");
	tarball_add(t, '0', ".wh.never-there", "");
	tarball_add(t, '0', "never/there/.wh.x", "");
	/* What this layer has stays, be it before or behind the marker. */
	tarball_add(t, '0', "opaque/both", "high");
	tarball_add(t, '0', "opaque/sub/high", "high");
	tarball_add(t, '0', "opaque/.wh..wh..opq", "");
	tarball_add(t, '0', "opaque/high", "high");
	tarball_add(t, '0', "again/high", "high");
	tarball_add(t, '0', ".wh.again", "");
	tarball_add(t, '1', "lib/linked", "lib/original"); /* in the layer before */
	tarball_add(t, '5', "was-link", "");
	tarball_add(t, '0', "was-link/x", "x");
	tarball_add(t, '0', ".wh..wh.plnk", "");
	layout_layer(&l, t);
	tarball_add(t, '0', "lib/original", "replaced");
	tarball_add(t, '0', "etc/hide", "back");
	layout_layer(&l, t);
	layout_finish(&l);
	m = origin_add(s, l.path);
	body_is(s, m, "etc/keep", "keep");
	body_is(s, m, "etc/change", "new");
	body_is(s, m, "etc/hide", "back");
	assert_null(node_find(m, "gone"));
	assert_null(node_find(m, "never"));
	assert_null(node_find(m, "opaque/low"));
	assert_null(node_find(m, "opaque/sub/low"));
	body_is(s, m, "opaque/sub/high", "high");
	body_is(s, m, "opaque/both", "high");
	body_is(s, m, "opaque/high", "high");
	assert_null(node_find(m, "again/low"));
	body_is(s, m, "again/high", "high");
	body_is(s, m, "lib/linked", "linked");
	body_is(s, m, "lib/original", "replaced");
	body_is(s, m, "was-link/x", "x");
	n = node_of(m, "lib/linked");
	assert_int_equal(n->nlink, 1);
	for (uint32_t i = 1; i < manifest_count(m); i++)
		assert_int_not_equal(manifest_name(m, manifest_at(m, i)).at[0], '.');
	assert_int_equal(manifest_count(m), 17);
	manifest_close(m);
	free(t);
}

static void an_opaque_root_hides_all_layers_before(void **state)
{
	struct site *s = *state;
	struct tarball *t = tar_new();
	struct manifest *m;
	struct layout l;

	layout_init(&l, s);
	tarball_add(t, '0', "a/b/c", "x");
	layout_layer(&l, t);
	tarball_add(t, '0', "new", "x");
	tarball_add(t, '0', ".wh..wh..opq", "");
	layout_layer(&l, t);
	layout_finish(&l);
	m = origin_add(s, l.path);
	assert_int_equal(manifest_count(m), 2);
	body_is(s, m, "new", "x");
	manifest_close(m);
	free(t);
}

static const char *go_arch(void)
{
	static struct utsname u;

	assert_int_equal(uname(&u), 0);
	if (!strcmp(u.machine, "x86_64"))
		return "amd64";
	return !strcmp(u.machine, "aarch64") ? "arm64" : u.machine;
}

/* The descriptor with a platform in it. */
static void with_platform(char descriptor[static DESCRIPTOR], const char *os, const char *arch)
{
	size_t len = strlen(descriptor) - 1; /* without its brace */

	snprintf(descriptor + len, DESCRIPTOR - len,
		 ", \"platform\": {\"os\": \"%s\", \"architecture\": \"%s\"}}", os, arch);
}

static void one_image(struct layout *l, const char *text, char out[static DESCRIPTOR])
{
	struct tarball *t = tar_new();

	l->nlayers = 0;
	l->layers[0] = '\0';
	tarball_add(t, '0', "which", text);
	layout_layer(l, t);
	layout_manifest(l, out);
	free(t);
}

static void the_machines_own_image_is_taken_from_nested_indexes(void **state)
{
	struct site *s = *state;
	char list[4 * DESCRIPTOR];
	char one[DESCRIPTOR];
	char two[DESCRIPTOR];
	char three[DESCRIPTOR];
	char inner[DESCRIPTOR];
	char text[3 * DESCRIPTOR];
	struct manifest *m;
	struct layout l;

	layout_init(&l, s);
	one_image(&l, "other", one);
	with_platform(one, "linux", "vax");
	one_image(&l, "ours", two);
	with_platform(two, "linux", go_arch());
	one_image(&l, "attest", three);
	with_platform(three, "unknown", "unknown");
	snprintf(text, sizeof(text), "{\"manifests\": [%s, %s]}", two, three);
	blob_add(&l, INDEX, text, strlen(text), inner);
	snprintf(list, sizeof(list), "%s, %s", one, inner);
	layout_index(&l, list);
	m = origin_add(s, l.path);
	body_is(s, m, "which", "ours");
	manifest_close(m);
	/* One alone is taken whatever it is for, beside what is none. */
	snprintf(list, sizeof(list), "%s, %s", one, three);
	layout_index(&l, list);
	m = origin_add(s, l.path);
	body_is(s, m, "which", "other");
	manifest_close(m);
	/* Two names for one image. */
	snprintf(list, sizeof(list), "%s, %s", two, two);
	layout_index(&l, list);
	m = origin_add(s, l.path);
	body_is(s, m, "which", "ours");
	manifest_close(m);
}

static void a_choice_that_is_none_is_refused(void **state)
{
	struct site *s = *state;
	char list[4 * DESCRIPTOR];
	char one[DESCRIPTOR];
	char two[DESCRIPTOR];
	struct layout l;

	layout_init(&l, s);
	one_image(&l, "1", one);
	one_image(&l, "2", two);
	snprintf(list, sizeof(list), "%s, %s", one, two);
	layout_index(&l, list);
	origin_refused(s, l.path, "layout: has 2 images, none said to be for linux/");
	with_platform(one, "linux", go_arch());
	with_platform(two, "linux", go_arch());
	snprintf(list, sizeof(list), "%s, %s", one, two);
	layout_index(&l, list);
	origin_refused(s, l.path, "layout: has several images for linux/");
	layout_index(&l, "");
	origin_refused(s, l.path, "layout: has no image");
}

/* ---- what is wrong ---- */

static void a_blob_that_is_not_what_its_digest_says_is_refused_by_it(void **state)
{
	struct site *s = *state;
	struct tarball *t = tar_new();

	for (int i = 0; i < 6; i++) {
		struct layout l;
		char path[400];
		FILE *blob;

		layout_init(&l, s);
		tarball_add(t, '0', "first", "x");
		layout_layer(&l, t);
		tarball_add(t, '0', "second", "some text");
		layout_layer(&l, t);
		layout_finish(&l);
		blob_path(&l, strstr(l.layers, "}, "), path); /* of the second */
		blob = fopen(path, "r+");
		assert_non_null(blob);
		if (i < 4) {
			/* In a name, in the check sum, in a body, behind the end. */
			static const long where[] = {3, 150, 515, 2040};

			fseek(blob, where[i], SEEK_SET);
			fputc('?', blob);
		} else if (i == 4) {
			assert_int_equal(ftruncate(fileno(blob), 600), 0);
		}
		fclose(blob);
		if (i == 5)
			assert_int_equal(unlink(path), 0);
		origin_refused(s, l.path, strstr(path, "sha256") + 7);
		layout_remove(&l);
	}
	free(t);
}

static void layers_are_checked_like_archives(void **state)
{
	static const struct {
		char type;
		const char *name;
		const char *text;
		const char *words;
	} bad[] = {
		{'0', "/etc/x", "x", ": /etc/x: an absolute name"},
		{'0', "../x", "x", ": ../x: a name with '..'"},
		{'0', "../.wh.x", "", ": ../.wh.x: a name with '..'"},
		{'0', "link/x", "x", ": link/x: below a symbolic link"},
		{'0', "link/.wh.x", "", ": link/.wh.x: below a symbolic link"},
		{'0', "link/.wh..wh..opq", "", ": link/.wh..wh..opq: below a symbolic link"},
		{'0', ".wh.", "", ": .wh.: a whiteout of nothing"},
		{'0', ".wh..", "", ": .wh..: a whiteout of nothing"},
		{'0', ".wh...", "", ": .wh...: a whiteout of nothing"},
		{'1', "hard", "hidden", ": hard: a hard link to hidden: not there"},
		{'1', "hard", "/etc/passwd", ": a hard link to /etc/passwd: an absolute name"},
	};
	struct site *s = *state;
	struct tarball *t = tar_new();

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct layout l;

		layout_init(&l, s);
		tarball_add(t, '2', "link", "/etc");
		tarball_add(t, '0', "hidden", "x");
		layout_layer(&l, t);
		tarball_add(t, '0', ".wh.hidden", "");
		tarball_add(t, bad[i].type, bad[i].name, bad[i].text);
		layout_layer(&l, t);
		layout_finish(&l);
		origin_refused(s, l.path, bad[i].words);
		layout_remove(&l);
	}
	free(t);
}

/* A digest that is no digest is never part of a path. */
static void descriptors_out_of_order_are_refused(void **state)
{
#define HEX16 "0123456789abcdef"
#define HEX HEX16 HEX16 HEX16 HEX16
	static const struct {
		const char *index;
		const char *words;
	} bad[] = {
		{"", "index.json: not a JSON object"},
		{"[]", "index.json: not a JSON object"},
		{"{", "index.json: not a JSON object"},
		{"{}", "an index without manifests"},
		{"{\"manifests\": {}}", "an index without manifests"},
		{"{\"manifests\": [1]}", "a descriptor without a digest"},
		{"{\"manifests\": [{\"digest\": 7}]}", "a descriptor without a digest"},
		{"{\"manifests\": [{\"digest\": \"../../../../etc/passwd\"}]}",
		 "../../../../etc/passwd: not a sha256 digest"},
		{"{\"manifests\": [{\"digest\": \"sha256:../" HEX "\"}]}", "not a sha256 digest"},
		{"{\"manifests\": [{\"digest\": \"sha512:" HEX "\"}]}", "not a sha256 digest"},
		{"{\"manifests\": [{\"digest\": \"sha256:" HEX "0\"}]}", "not a sha256 digest"},
		{"{\"manifests\": [{\"digest\": \"sha256:A" HEX "\"}]}", "not a sha256 digest"},
		{"{\"manifests\": [{\"digest\": \"sha256:" HEX16 HEX16 HEX16
		 "0123456789ABCDEF\"}]}",
		 "not a sha256 digest"},
		{"{\"manifests\": [{\"digest\": \"sha256:" HEX "\"}]}", "no media type"},
		{"{\"manifests\": [{\"digest\": \"sha256:" HEX "\", \"mediaType\": \"" MANIFEST
		 "\"}]}",
		 "no size"},
		{"{\"manifests\": [{\"digest\": \"sha256:" HEX "\", \"mediaType\": \"" MANIFEST
		 "\", \"size\": -1}]}",
		 "no size"},
		{"{\"manifests\": [{\"digest\": \"sha256:" HEX "\", \"mediaType\": \"" MANIFEST
		 "\", \"size\": 1.5}]}",
		 "no size"},
		{"{\"manifests\": [{\"digest\": \"sha256:" HEX "\", \"mediaType\": \"" MANIFEST
		 "\", \"size\": 10}]}",
		 "blobs/sha256/" HEX ": No such file"},
		{"{\"manifests\": [{\"digest\": \"sha256:" HEX "\", \"mediaType\": \"" MANIFEST
		 "\", \"size\": 5000000}]}",
		 "more than 4 MiB of JSON"},
	};
	struct site *s = *state;
	char *deep = malloc(2000002);
	struct layout l;

	layout_init(&l, s);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		site_write(l.path, "index.json", bad[i].index, strlen(bad[i].index));
		origin_refused(s, l.path, bad[i].words);
	}
	memset(deep, '[', 2000000);
	memcpy(deep, "{\"manifests\":", 13);
	site_write(l.path, "index.json", deep, 2000000);
	origin_refused(s, l.path, "index.json: not a JSON object");
	free(deep);
	deep = calloc(1, (4 << 20) + 1);
	site_write(l.path, "index.json", deep, (4 << 20) + 1);
	origin_refused(s, l.path, "index.json: more than 4 MiB");
	free(deep);
	site_write(l.path, "index.json", "{}", 2);
	site_write(l.path, "oci-layout", "{\"imageLayoutVersion\": \"2.0.0\"}", 31);
	origin_refused(s, l.path, "oci-layout: not of version 1");
}

static void what_is_no_image_is_refused(void **state)
{
	struct site *s = *state;
	struct tarball *t = tar_new();
	char descriptor[DESCRIPTOR];
	char config[DESCRIPTOR];
	char text[4096];
	struct layout l;

	layout_init(&l, s);
	tarball_add(t, '0', "x", "x");
	layout_layer(&l, t);
	/* An index that has itself in it, were that possible, would be like this one. */
	layout_finish(&l);
	for (int i = 0; i < 5; i++) {
		snprintf(text, sizeof(text), "{\"manifests\": [%s]}", i ? descriptor : "");
		blob_add(&l, INDEX, text, strlen(text), descriptor);
	}
	layout_index(&l, descriptor);
	origin_refused(s, l.path, "too many indexes");
	snprintf(text, sizeof(text), "{\"config\": {}, \"layers\": [%s]}", l.layers);
	blob_add(&l, MANIFEST, text, strlen(text), descriptor);
	layout_index(&l, descriptor);
	origin_refused(s, l.path, "a descriptor without a digest");
	snprintf(text, sizeof(text), "{\"rootfs\": {\"diff_ids\": []}}");
	blob_add(&l, CONFIG, text, strlen(text), config);
	snprintf(text, sizeof(text), "{\"config\": %s, \"layers\": [%s]}", config, l.layers);
	blob_add(&l, MANIFEST, text, strlen(text), descriptor);
	layout_index(&l, descriptor);
	origin_refused(s, l.path, "names another number of layers");
	snprintf(text, sizeof(text), "{\"config\": %s, \"layers\": []}", config);
	blob_add(&l, MANIFEST, text, strlen(text), descriptor);
	layout_index(&l, descriptor);
	origin_refused(s, l.path, "of no layers");
	blob_add(&l, "application/vnd.oci.empty.v1+json", "{}", 2, config);
	snprintf(text, sizeof(text), "{\"config\": %s, \"layers\": [%s]}", config, l.layers);
	blob_add(&l, MANIFEST, text, strlen(text), descriptor);
	layout_index(&l, descriptor);
	origin_refused(s, l.path, "not the config of an image");
	snprintf(text, sizeof(text), "{\"rootfs\": {\"diff_ids\": [\"x\"]}}");
	blob_add(&l, CONFIG, text, strlen(text), config);
	blob_add(&l, LAYER "+encrypted", "x", 1, l.layers);
	snprintf(text, sizeof(text), "{\"config\": %s, \"layers\": [%s]}", config, l.layers);
	blob_add(&l, MANIFEST, text, strlen(text), descriptor);
	layout_index(&l, descriptor);
	origin_refused(s, l.path, "+encrypted: not a kind of layer");
	free(t);
}

static void links_in_a_layout_are_not_followed(void **state)
{
	struct site *s = *state;
	struct tarball *t = tar_new();
	char away[400];
	char path[400];
	struct layout l;

	layout_init(&l, s);
	tarball_add(t, '0', "x", "x");
	layout_layer(&l, t);
	layout_finish(&l);
	blob_path(&l, l.layers, path);
	snprintf(away, sizeof(away), "%s/away", s->dir);
	assert_int_equal(rename(path, away), 0);
	assert_int_equal(symlink(away, path), 0);
	origin_refused(s, l.path, "not a regular file");
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SITE(later_layers_replace_and_hide),
		WITH_SITE(an_opaque_root_hides_all_layers_before),
		WITH_SITE(the_machines_own_image_is_taken_from_nested_indexes),
		WITH_SITE(a_choice_that_is_none_is_refused),
		WITH_SITE(a_blob_that_is_not_what_its_digest_says_is_refused_by_it),
		WITH_SITE(layers_are_checked_like_archives),
		WITH_SITE(descriptors_out_of_order_are_refused),
		WITH_SITE(what_is_no_image_is_refused),
		WITH_SITE(links_in_a_layout_are_not_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
