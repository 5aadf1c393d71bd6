/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/doors/pack.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "common/cleanup.h"

enum { COMMAND_WORDS = 16, SUM = 32, HEX = 2 * SUM + 1 };

/* Words until NULL. */
static bool run(const char *word, ...)
{
	const char *words[COMMAND_WORDS] = {word};
	unsigned int n = 1;
	int status = -1;
	va_list ap;
	pid_t pid;

	va_start(ap, word);
	while ((words[n] = va_arg(ap, const char *)))
		if (++n == COMMAND_WORDS)
			abort();
	va_end(ap);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		execvp(words[0], (char *const *)words);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

bool pack_tar(const char *dir, const char *archive)
{
	return run("tar", "--format=posix", "--sparse", "-C", dir, "-cf", archive, ".", NULL);
}

/* ---- a layout ---- */

struct layout {
	const char *dir;   /* what is to come out */
	const char *path;  /* of the layout */
	char lower[256];   /* the lower layer's tree */
	char hidden[256];  /* markers, for the upper layer */
	FILE *upper_list;  /* paths of the upper layer, each ended by NUL */
	FILE *hidden_list; /* and of its markers */
	struct rng *rng;
};

static void join(char out[static PATH_MAX], const char *dir, const char *path)
{
	if (snprintf(out, PATH_MAX, "%s/%s", dir, path) >= PATH_MAX)
		abort();
}

static void list_add(FILE *list, const char *path)
{
	fprintf(list, "./%s%c", path, '\0');
}

/* A marker `name` for what is in the directory `above` ("" or "a/b/"). */
static void marker(struct layout *l, const char *above, const char *name)
{
	char path[PATH_MAX];
	char full[PATH_MAX];

	snprintf(path, sizeof(path), "%.2000s%.255s", above, name);
	join(full, l->hidden, path);
	for (char *slash = full + strlen(l->hidden) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	close(open(full, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	list_add(l->hidden_list, path);
}

/* Something that only the lower layer has. */
static void add_extra(struct layout *l, const char *dir_path)
{
	char above[PATH_MAX] = "";
	char name[64];
	char full[PATH_MAX];
	char more[PATH_MAX];

	if (dir_path[0])
		snprintf(above, sizeof(above), "%.2000s/", dir_path);
	snprintf(name, sizeof(name), "extra%u", rng_below(l->rng, 1000000));
	snprintf(more, sizeof(more), "%.2000s%s", above, name);
	join(full, l->lower, more);
	if (rng_below(l->rng, 2)) {
		close(open(full, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	} else {
		mkdir(full, 0755);
		join(more, full, "below");
		mkdir(more, 0700);
	}
	snprintf(more, sizeof(more), ".wh.%s", name);
	marker(l, above, more);
}

/* Other bytes in the lower layer. */
static void change_lower(const struct layout *l, const char *path)
{
	char full[PATH_MAX];
	int fd;

	join(full, l->lower, path);
	fd = open(full, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || write(fd, "lower", 5) != 5)
		abort();
	close(fd);
}

static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return !strncmp(path, dir, len) && path[len] == '/';
}

/* May the upper layer have all that is in there again?  Names of one file must not
 * part. */
static bool may_be_opaque(const struct layout *l, char **paths, size_t n, const char *dir)
{
	for (size_t i = 0; i < n; i++) {
		char full[PATH_MAX];
		struct stat st;

		join(full, l->dir, paths[i]);
		if (is_below(paths[i], dir) &&
		    (lstat(full, &st) || (!S_ISDIR(st.st_mode) && st.st_nlink > 1)))
			return false;
	}
	return true;
}

static void plan(struct layout *l)
{
	size_t n;
	char **paths = model_paths(l->dir, &n);
	const char *opaque = NULL;

	list_add(l->upper_list, ".");
	add_extra(l, "");
	for (size_t i = 0; i < n; i++) {
		char full[PATH_MAX];
		struct stat st;

		join(full, l->dir, paths[i]);
		if (lstat(full, &st))
			abort();
		if (opaque && is_below(paths[i], opaque)) {
			list_add(l->upper_list, paths[i]);
			continue;
		}
		if (S_ISDIR(st.st_mode)) {
			list_add(l->upper_list, paths[i]);
			if (!rng_below(l->rng, 4))
				add_extra(l, paths[i]);
			if (!opaque && !rng_below(l->rng, 4) &&
			    may_be_opaque(l, paths, n, paths[i])) {
				char above[PATH_MAX];

				opaque = paths[i];
				add_extra(l, opaque);
				snprintf(above, sizeof(above), "%.2000s/", opaque);
				marker(l, above, ".wh..wh..opq");
			}
		} else if (S_ISREG(st.st_mode) && st.st_nlink == 1 && !rng_below(l->rng, 4)) {
			change_lower(l, paths[i]);
			list_add(l->upper_list, paths[i]);
		}
	}
	model_paths_free(paths, n);
}

/* Move a file in as a blob; its hash and size. */
static bool blob(const struct layout *l, const char *file, char hex[static HEX], long long *size)
{
	uint8_t sum[SUM];
	char path[PATH_MAX];
	EVP_MD_CTX *sha;
	char buf[65536];
	size_t n;
	FILE *f = fopen(file, "re");

	if (!f)
		return false;
	*size = 0;
	sha = EVP_MD_CTX_new();
	EVP_DigestInit_ex(sha, EVP_sha256(), NULL);
	while ((n = fread(buf, 1, sizeof(buf), f))) {
		EVP_DigestUpdate(sha, buf, n);
		*size += (long long)n;
	}
	fclose(f);
	EVP_DigestFinal_ex(sha, sum, NULL);
	EVP_MD_CTX_free(sha);
	for (size_t i = 0; i < sizeof(sum); i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	snprintf(path, sizeof(path), "%.1000s/blobs/sha256/%s", l->path, hex);
	return !rename(file, path);
}

static bool blob_text(const struct layout *l, const char *text, char hex[static HEX],
		      long long *size)
{
	char path[PATH_MAX];
	FILE *f;

	join(path, l->path, "part");
	f = fopen(path, "we");
	if (!f)
		return false;
	fputs(text, f);
	return !fclose(f) && blob(l, path, hex, size);
}

#define TYPE "\"mediaType\": \"application/vnd.oci.image."
#define IS "\"digest\": \"sha256:%s\", \"size\": %lld}"

static bool describe(const struct layout *l, const char *lower, bool packed, const char *upper)
{
	char hex[3][HEX];
	long long size[3];
	char text[2048];
	char path[PATH_MAX];
	FILE *f;

	if (!blob(l, lower, hex[0], &size[0]) || !blob(l, upper, hex[1], &size[1]) ||
	    !blob_text(l, "{\"rootfs\": {\"type\": \"layers\", \"diff_ids\": [\"1\", \"2\"]}}",
		       hex[2], &size[2]))
		return false;
	snprintf(text, sizeof(text),
		 "{\"schemaVersion\": 2, \"config\": {" TYPE "config.v1+json\", " IS
		 ", \"layers\": [{" TYPE "layer.v1.tar%s\", " IS ", {" TYPE "layer.v1.tar\", " IS
		 "]}",
		 hex[2], size[2], packed ? "+gzip" : "", hex[0], size[0], hex[1], size[1]);
	if (!blob_text(l, text, hex[2], &size[2]))
		return false;
	join(path, l->path, "index.json");
	f = fopen(path, "we");
	if (!f)
		return false;
	fprintf(f, "{\"schemaVersion\": 2, \"manifests\": [{" TYPE "manifest.v1+json\", " IS "]}",
		hex[2], size[2]);
	if (fclose(f))
		return false;
	join(path, l->path, "oci-layout");
	f = fopen(path, "we");
	if (!f)
		return false;
	fputs("{\"imageLayoutVersion\": \"1.0.0\"}", f);
	return !fclose(f);
}

bool pack_oci(const char *dir, const char *layout, const char *scratch, struct rng *rng)
{
	struct layout l = {.dir = dir, .path = layout, .rng = rng};
	bool packed = rng_below(rng, 2);
	char list[PATH_MAX];
	char more[PATH_MAX];
	char lower[PATH_MAX];
	char upper[PATH_MAX];
	char path[PATH_MAX];
	bool good;

	snprintf(l.lower, sizeof(l.lower), "%.200s/lower", scratch);
	snprintf(l.hidden, sizeof(l.hidden), "%.200s/hidden", scratch);
	join(list, scratch, "upper-list");
	join(more, scratch, "hidden-list");
	join(lower, scratch, "lower.tar");
	join(upper, scratch, "upper.tar");
	join(path, layout, "blobs");
	good = !mkdir(layout, 0755) && !mkdir(path, 0755);
	join(path, layout, "blobs/sha256");
	good = good && !mkdir(path, 0755) && !mkdir(l.hidden, 0755) &&
	       run("cp", "-a", dir, l.lower, NULL);
	l.upper_list = fopen(list, "we");
	l.hidden_list = fopen(more, "we");
	if (!good || !l.upper_list || !l.hidden_list)
		return false;
	plan(&l);
	good = !fclose(l.upper_list);
	return !fclose(l.hidden_list) && good &&
	       run("tar", "--format=posix", packed ? "-zcf" : "-cf", lower, "-C", l.lower, ".",
		   NULL) &&
	       run("tar", "--format=posix", "-cf", upper, "-C", dir, "--no-recursion", "--null",
		   "-T", list, NULL) &&
	       run("tar", "--format=posix", "-rf", upper, "-C", l.hidden, "--no-recursion",
		   "--null", "-T", more, NULL) &&
	       describe(&l, lower, packed, upper);
}
