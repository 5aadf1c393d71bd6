/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * From an image layout's index to the layers of one image:
 *
 *	index.json -> (an index ->)... a manifest -> config, layers in their order
 *
 * Source: the OCI Image Format Specification, image-index.md, manifest.md, config.md
 * and layer.md; and Docker's image manifest version 2, schema 2, whose words differ
 * and whose meaning does not.
 */
#include "fsd/origin.h"

#include <errno.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "fsd/oci_blob.h"

enum { OCI_IMAGES_MAX = 256, OCI_INDEXES_MAX = 64, OCI_DEPTH_MAX = 4, OCI_LAYERS_MAX = 1024 };

#define OCI "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."

static const char *const index_types[] = {OCI "index.v1+json",
					  DOCKER "distribution.manifest.list.v2+json", NULL};
static const char *const manifest_types[] = {OCI "manifest.v1+json",
					     DOCKER "distribution.manifest.v2+json", NULL};
static const char *const config_types[] = {OCI "config.v1+json", DOCKER "container.image.v1+json",
					   NULL};
static const char *const layer_types[] = {OCI "layer.v1.tar",
					  OCI "layer.v1.tar+gzip",
					  OCI "layer.v1.tar+zstd",
					  OCI "layer.nondistributable.v1.tar",
					  OCI "layer.nondistributable.v1.tar+gzip",
					  OCI "layer.nondistributable.v1.tar+zstd",
					  DOCKER "image.rootfs.diff.tar",
					  DOCKER "image.rootfs.diff.tar.gzip",
					  DOCKER "image.rootfs.diff.tar.zstd",
					  DOCKER "image.rootfs.foreign.diff.tar.gzip",
					  NULL};

static bool is_one_of(const char *media, const char *const *types)
{
	while (*types && strcmp(*types, media))
		types++;
	return *types;
}

/* ---- which image ---- */

struct image {
	struct oci_blob blob; /* `media` is not kept */
	bool ours;	      /* for this machine */
	char variant[16];
};

struct search {
	struct oci_layout *layout;
	char arch[32]; /* this machine's, in Go's words */
	struct image *images;
	unsigned int n;
	unsigned int indexes;
};

static void search_arch(struct search *s)
{
	static const char *const words[][2] = {
		{"x86_64", "amd64"},  {"aarch64", "arm64"},	  {"i686", "386"},
		{"i386", "386"},      {"armv7l", "arm"},	  {"armv6l", "arm"},
		{"mips64", "mips64"}, {"loongarch64", "loong64"},
	};
	struct utsname u;

	if (uname(&u))
		u.machine[0] = '\0';
	snprintf(s->arch, sizeof(s->arch), "%.31s", u.machine);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(words[i][0], u.machine))
			snprintf(s->arch, sizeof(s->arch), "%s", words[i][1]);
}

static int search_add(struct search *s, const cJSON *descriptor, const struct oci_blob *blob)
{
	const cJSON *platform = cJSON_GetObjectItemCaseSensitive(descriptor, "platform");
	const char *os = oci_string(platform, "os");
	const char *arch = oci_string(platform, "architecture");
	const char *variant = oci_string(platform, "variant");
	struct image *image;

	if (os && !strcmp(os, "unknown")) /* no image: what a builder attests of one */
		return 0;
	for (unsigned int i = 0; i < s->n; i++)
		if (!memcmp(&s->images[i].blob.hash, &blob->hash, sizeof(blob->hash)))
			return 0;
	if (s->n == OCI_IMAGES_MAX)
		return why_set(s->layout->why, -E2BIG, "%s: too many images", s->layout->path);
	image = &s->images[s->n++];
	image->blob = *blob;
	image->blob.media = NULL;
	image->ours = os && arch && !strcmp(os, "linux") && !strcmp(arch, s->arch);
	snprintf(image->variant, sizeof(image->variant), "%s", variant ? variant : "");
	return 0;
}

static int search_index(struct search *s, const cJSON *index, unsigned int depth)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(index, "manifests");
	const cJSON *descriptor;
	int r = 0;

	if (depth == OCI_DEPTH_MAX || s->indexes++ == OCI_INDEXES_MAX)
		return why_set(s->layout->why, -E2BIG, "%s: too many indexes in each other",
			       s->layout->path);
	if (!cJSON_IsArray(list))
		return why_set(s->layout->why, -EBADMSG, "%s: an index without manifests",
			       s->layout->path);
	cJSON_ArrayForEach(descriptor, list)
	{
		cleanup(cJSON_Deletep) cJSON *inner = NULL;
		struct oci_blob blob;

		r = oci_blob_parse(s->layout, descriptor, &blob);
		if (!r && is_one_of(blob.media, manifest_types))
			r = search_add(s, descriptor, &blob);
		else if (!r && is_one_of(blob.media, index_types))
			r = oci_blob_json(s->layout, &blob, &inner);
		if (!r && inner)
			r = search_index(s, inner, depth + 1);
		if (r)
			return r;
	}
	return r;
}

/* The machine's own, else the only one. */
static int search_choose(struct search *s, const struct image **out)
{
	const struct oci_layout *l = s->layout;
	const struct image *ours = NULL;

	for (unsigned int i = 0; i < s->n; i++) {
		const struct image *image = &s->images[i];

		if (!image->ours)
			continue;
		if (ours && !strcmp(ours->variant, image->variant))
			return why_set(l->why, -EINVAL, "%s: has several images for linux/%s",
				       l->path, s->arch);
		if (!ours)
			ours = image;
	}
	if (!ours && s->n > 1)
		return why_set(l->why, -EINVAL, "%s: has %u images, none said to be for linux/%s",
			       l->path, s->n, s->arch);
	if (!s->n)
		return why_set(l->why, -EINVAL, "%s: has no image", l->path);
	*out = ours ? ours : &s->images[0];
	return 0;
}

static int layout_image(struct oci_layout *l, struct oci_blob *out)
{
	cleanup(freep) struct image *images = calloc(OCI_IMAGES_MAX, sizeof(*images));
	cleanup(cJSON_Deletep) cJSON *index = NULL;
	struct search s = {.layout = l, .images = images};
	const struct image *image = NULL;
	int r;

	if (!images)
		return -ENOMEM;
	search_arch(&s);
	r = oci_file_json(l, "index.json", &index);
	if (!r)
		r = search_index(&s, index, 0);
	if (!r)
		r = search_choose(&s, &image);
	if (!r)
		*out = image->blob;
	return r;
}

/* ---- its layers ---- */

/* The words of a layer that cannot be read are worth less than those of one whose
 * bytes are wrong. */
static int layer_read(struct oci_layout *l, struct tar_reader *t, const struct oci_blob *blob)
{
	cleanup(oci_stream_closep) struct oci_stream *s = NULL;
	struct why tar_why = {""};
	char name[512];
	int checked;
	int r = oci_stream_open(l, blob, &s);

	if (r)
		return r;
	snprintf(name, sizeof(name), "%.400s: %s", l->path, blob->digest);
	r = tar_reader_layer(t, name, oci_stream_bytes(s), &tar_why);
	checked = oci_stream_check(s);
	if (checked)
		return checked;
	return r ? why_set(l->why, r, "%s", why_text(&tar_why, r)) : 0;
}

static int layer_parse(struct oci_layout *l, const cJSON *descriptor, struct oci_blob *out)
{
	int r = oci_blob_parse(l, descriptor, out);

	if (!r && !is_one_of(out->media, layer_types))
		return why_set(l->why, -EINVAL, "%s: %s: %.100s: not a kind of layer that is known",
			       l->path, out->digest, out->media);
	return r;
}

/* The config is read to know that it is there and of the same image: it counts the
 * layers too. */
static int config_check(struct oci_layout *l, const cJSON *manifest, int nlayers)
{
	cleanup(cJSON_Deletep) cJSON *config = NULL;
	const cJSON *ids;
	struct oci_blob blob;
	int r = oci_blob_parse(l, cJSON_GetObjectItemCaseSensitive(manifest, "config"), &blob);

	if (!r && !is_one_of(blob.media, config_types))
		return why_set(l->why, -EINVAL, "%s: %s: %.100s: not the config of an image",
			       l->path, blob.digest, blob.media);
	if (!r)
		r = oci_blob_json(l, &blob, &config);
	if (r)
		return r;
	ids = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(config, "rootfs"),
					       "diff_ids");
	if (cJSON_IsArray(ids) && cJSON_GetArraySize(ids) == nlayers)
		return 0;
	return why_set(l->why, -EBADMSG, "%s: %s: names another number of layers than the manifest",
		       l->path, blob.digest);
}

static int manifest_read(struct oci_layout *l, const cJSON *manifest, struct tar_reader *t)
{
	const cJSON *layers = cJSON_GetObjectItemCaseSensitive(manifest, "layers");
	int n = cJSON_GetArraySize(layers);
	const cJSON *descriptor;
	struct oci_blob blob;
	int r;

	if (!cJSON_IsArray(layers) || n < 1 || n > OCI_LAYERS_MAX)
		return why_set(l->why, -EINVAL, "%s: an image of no layers, or too many", l->path);
	r = config_check(l, manifest, n);
	cJSON_ArrayForEach(descriptor, layers)
	{
		if (!r)
			r = layer_parse(l, descriptor, &blob);
	}
	cJSON_ArrayForEach(descriptor, layers)
	{
		if (!r)
			r = layer_parse(l, descriptor, &blob);
		if (!r)
			r = layer_read(l, t, &blob);
	}
	return r;
}

static int layout_check(struct oci_layout *l)
{
	cleanup(cJSON_Deletep) cJSON *json = NULL;
	const char *version;
	int r = oci_file_json(l, "oci-layout", &json);

	if (r)
		return r;
	version = oci_string(json, "imageLayoutVersion");
	if (!version || strncmp(version, "1.", 2))
		return why_set(l->why, -EINVAL, "%s: oci-layout: not of version 1", l->path);
	return 0;
}

int origin_oci_read(const char *path, const struct origin_sink *sink, struct why *why)
{
	cleanup(tar_reader_freep) struct tar_reader *t = NULL;
	cleanup(cJSON_Deletep) cJSON *manifest = NULL;
	cleanup(closep) int dir = origin_dir_open(path);
	struct oci_layout l = {.path = path, .dir = dir, .why = why};
	struct oci_blob blob;
	int r;

	if (dir < 0)
		return why_set(why, dir, "%s: %s", path, strerror(-dir));
	r = layout_check(&l);
	if (!r)
		r = layout_image(&l, &blob);
	if (!r)
		r = oci_blob_json(&l, &blob, &manifest);
	if (!r)
		r = tar_reader_new(sink, &t);
	return r ? r : manifest_read(&l, manifest, t);
}
