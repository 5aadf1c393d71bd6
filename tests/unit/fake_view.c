/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/fake_view.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FAKE_NODES = 200200 };

struct fake {
	char name[24];
	uint32_t parent;
	uint32_t mode;
	const char *text; /* a link's target or a body; NULL with a size: fake_byte() */
	uint64_t size;
	int64_t mtime;
	uint32_t first; /* the first child of a directory, and so on */
	uint32_t last;
	uint32_t next;
};

/* One tree for the whole test process; node 0 is not used. */
static struct fake *nodes;
static unsigned int nnodes;
static _Atomic uint64_t generation = 1;
static unsigned int many;

static uint32_t add(uint32_t parent, const char *name, uint32_t mode, const char *text)
{
	uint32_t id = ++nnodes;
	struct fake *n = &nodes[id];

	*n = (struct fake){.parent = parent, .mode = mode, .text = text, .mtime = 1700000000};
	snprintf(n->name, sizeof(n->name), "%s", name);
	if (text)
		n->size = strlen(text);
	if (parent) {
		struct fake *p = &nodes[parent];

		if (p->last)
			nodes[p->last].next = id;
		else
			p->first = id;
		p->last = id;
	}
	return id;
}

static void make_tree(void)
{
	uint32_t usr, bin, sbin, dir, sub, data, dev;

	if (nodes)
		return;
	nodes = calloc(FAKE_NODES, sizeof(*nodes));
	add(0, "", S_IFDIR | 0755, NULL);
	add(VIEW_ROOT, "bin", S_IFLNK | 0777, "usr/bin");
	usr = add(VIEW_ROOT, "usr", S_IFDIR | 0755, NULL);
	bin = add(usr, "bin", S_IFDIR | 0755, NULL);
	add(bin, "tool", S_IFREG | 0111, "#!/bin/sh\n");
	sbin = add(VIEW_ROOT, "sbin", S_IFDIR | 0755, NULL);
	add(sbin, "init", S_IFREG | 0755, "init body");
	dir = add(VIEW_ROOT, "dir", S_IFDIR | 0755, NULL);
	add(dir, "a", S_IFREG | 0644, "alpha");
	add(dir, "b", S_IFREG | 0644, "");
	sub = add(dir, "sub", S_IFDIR | 0700, NULL);
	add(sub, "deep", S_IFREG | 0644, "deep");
	add(VIEW_ROOT, "empty", S_IFDIR | 0755, NULL);
	data = add(VIEW_ROOT, "data", S_IFREG | 0644, NULL);
	nodes[data].size = FAKE_DATA_SIZE;
	add(VIEW_ROOT, "secret", S_IFREG | 0600, "secret");
	dev = add(VIEW_ROOT, "dev", S_IFDIR | 0755, NULL);
	add(dev, "chr", S_IFCHR | 0600, NULL);
	add(dev, "blk", S_IFBLK | 0600, NULL);
	add(dev, "pipe", S_IFIFO | 0600, NULL);
	add(dev, "sock", S_IFSOCK | 0600, NULL);
	nodes[add(VIEW_ROOT, "old", S_IFREG | 04755, "o")].mtime = -5;
	nodes[add(VIEW_ROOT, "far", S_IFREG | 0644, "f")].mtime = INT64_C(1) << 33;
	if (many) {
		uint32_t m = add(VIEW_ROOT, "many", S_IFDIR | 0755, NULL);

		for (unsigned int i = 0; i < many; i++) {
			char name[24];

			snprintf(name, sizeof(name), "name%u", i);
			add(m, name, S_IFREG | 0644, "x");
		}
	}
}

void fake_many(unsigned int n)
{
	many = n;
}

static uint32_t child(uint32_t dir, const char *name, size_t len)
{
	for (uint32_t c = nodes[dir].first; c; c = nodes[c].next)
		if (strlen(nodes[c].name) == len && !memcmp(nodes[c].name, name, len))
			return c;
	return 0;
}

uint32_t fake_node(const char *path)
{
	uint32_t at = VIEW_ROOT;

	make_tree();
	while (*path) {
		size_t len;

		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (len)
			at = child(at, path, len);
		if (!at)
			return 0;
		path += len;
	}
	return at;
}

/* ---- views ---- */

struct view {
	atomic_uint refs;
	uint32_t host;
	uint32_t version;
};

struct views {
	int nothing;
};

uint32_t view_host(const struct view *view)
{
	return view->host;
}

uint32_t view_version(const struct view *view)
{
	return view->version;
}

uint64_t view_fsid(const struct view *view)
{
	return (uint64_t)view->host << 32 | view->version;
}

struct view *view_ref(struct view *view)
{
	atomic_fetch_add(&view->refs, 1);
	return view;
}

void view_unref(struct view *view)
{
	if (view && atomic_fetch_sub(&view->refs, 1) == 1)
		free(view);
}

static bool node_fine(uint32_t node)
{
	return node && node <= nnodes;
}

uint32_t fake_mode;

int view_attr(const struct view *view, uint32_t node, struct view_attr *out)
{
	const struct fake *n = &nodes[node];

	(void)view;
	if (!node_fine(node))
		return VIEW_STALE;
	*out = (struct view_attr){
		.node = node,
		.parent = S_ISDIR(n->mode) ? (n->parent ? n->parent : VIEW_ROOT) : 0,
		.mode = fake_mode && S_ISREG(n->mode) ? fake_mode : n->mode,
		.nlink = S_ISDIR(n->mode) ? 2 : 1,
		.uid = strcmp(n->name, "secret") ? 0 : 1000,
		.gid = strcmp(n->name, "secret") ? 0 : 1000,
		.rdev_major = S_ISCHR(n->mode)	 ? 5
			      : S_ISBLK(n->mode) ? 8
						 : 0,
		.rdev_minor = S_ISCHR(n->mode),
		.size = S_ISDIR(n->mode) ? 4096 : n->size,
		.mtime = {n->mtime, 123456789},
		.ctime = {n->mtime, 123456789},
	};
	return 0;
}

int view_lookup(const struct view *view, uint32_t dir, const char *name, size_t len, uint32_t *node)
{
	uint32_t found;

	(void)view;
	if (!node_fine(dir))
		return VIEW_STALE;
	if (!S_ISDIR(nodes[dir].mode))
		return VIEW_NOTDIR;
	if (len > 255)
		return VIEW_NAMETOOLONG;
	if (len == 1 && name[0] == '.')
		found = dir;
	else if (len == 2 && name[0] == '.' && name[1] == '.')
		found = nodes[dir].parent ? nodes[dir].parent : VIEW_ROOT;
	else
		found = child(dir, name, len);
	if (!found)
		return VIEW_NOENT;
	*node = found;
	return 0;
}

int view_readdir(const struct view *view, uint32_t dir, uint64_t cookie, struct view_dirent *out)
{
	uint32_t next;

	(void)view;
	if (!node_fine(dir))
		return VIEW_STALE;
	if (!S_ISDIR(nodes[dir].mode))
		return VIEW_NOTDIR;
	if (cookie < 2) {
		next = cookie && nodes[dir].parent ? nodes[dir].parent : dir;
		*out = (struct view_dirent){cookie + 1, next, (uint8_t)(cookie + 1), ".."};
		return 0;
	}
	if (cookie > 2 && (cookie - 2 > nnodes || nodes[cookie - 2].parent != dir))
		return VIEW_END;
	next = cookie == 2 ? nodes[dir].first : nodes[cookie - 2].next;
	if (!next)
		return VIEW_END;
	*out = (struct view_dirent){next + 2, next, (uint8_t)strlen(nodes[next].name),
				    nodes[next].name};
	return 0;
}

int view_readlink(const struct view *view, uint32_t node, struct bytes *target)
{
	(void)view;
	if (!node_fine(node))
		return VIEW_STALE;
	if (!S_ISLNK(nodes[node].mode))
		return VIEW_INVAL;
	*target = (struct bytes){(const uint8_t *)nodes[node].text, strlen(nodes[node].text)};
	return 0;
}

static int resolve(const struct view *view, uint32_t from, const char *path, bool follow,
		   unsigned int depth, uint32_t *node)
{
	uint32_t at = *path == '/' ? VIEW_ROOT : from;

	if (depth > 40)
		return VIEW_LOOP;
	while (*path) {
		size_t len;
		uint32_t next;
		int r;

		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (!len)
			break;
		r = view_lookup(view, at, path, len, &next);
		if (r)
			return r;
		path += len;
		if (S_ISLNK(nodes[next].mode) && (follow || path[strspn(path, "/")])) {
			r = resolve(view, at, nodes[next].text, true, depth + 1, &next);
			if (r)
				return r;
		}
		at = next;
	}
	*node = at;
	return 0;
}

int view_resolve(const struct view *view, uint32_t from, const char *path, bool follow,
		 uint32_t *node)
{
	return resolve(view, from, path, follow, 0, node);
}

ssize_t view_path(const struct view *view, uint32_t node, char *out, size_t size)
{
	(void)view;
	(void)node;
	(void)out;
	(void)size;
	return -ESTALE;
}

bool view_secret(const struct view *view, uint32_t node)
{
	(void)view;
	return !strcmp(nodes[node].name, "secret");
}

void view_stats(const struct view *view, struct view_stats *out)
{
	(void)view;
	*out = (struct view_stats){.bytes = 123456789, .files = nnodes};
}

int fake_views_new(struct views **out)
{
	make_tree();
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

int views_open(const char *state_dir, struct views **out, struct why *why)
{
	(void)state_dir;
	(void)why;
	return fake_views_new(out);
}

void views_close(struct views *views)
{
	free(views);
}

uint64_t fake_change;

int fake_no_view;

int views_get(struct views *views, uint32_t host, uint32_t version, uint64_t change,
	      struct view **out)
{
	(void)views;
	fake_change = change;
	if (fake_no_view)
		return fake_no_view;
	if (version < 1 || version > FAKE_VERSION)
		return -ENOENT;
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	atomic_init(&(*out)->refs, 1);
	(*out)->host = host;
	(*out)->version = version;
	return 0;
}

bool views_poll(struct views *views)
{
	(void)views;
	return false;
}

uint64_t views_generation(const struct views *views)
{
	(void)views;
	return atomic_load_explicit(&generation, memory_order_acquire);
}

void fake_overlay_moved(void)
{
	atomic_fetch_add(&generation, 1);
}

/* ---- contents ---- */

bool fake_short;
bool fake_prompt;
bool fake_lost;
static _Atomic bool miss;

struct content {
	atomic_uint refs;
	int fd; /* -1: text */
	uint64_t size;
	const char *text;
};

struct contents {
	int event_fd;
	struct content *data; /* the large file, made once */
	struct content_wait *waiting;
	struct view *view[64];
	uint32_t node[64];
	unsigned int nwaiting;
};

int contents_new(const char *state_dir, unsigned int max_open, struct contents **out,
		 struct why *why)
{
	struct contents *cs = calloc(1, sizeof(*cs));

	(void)state_dir;
	(void)max_open;
	(void)why;
	if (!cs)
		return -ENOMEM;
	cs->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	*out = cs;
	return 0;
}

void contents_free(struct contents *cs)
{
	if (!cs)
		return;
	content_unref(cs->data);
	close(cs->event_fd);
	free(cs);
}

static struct content *content_make(const struct fake *n)
{
	struct content *c = calloc(1, sizeof(*c));

	atomic_init(&c->refs, 1);
	c->fd = -1;
	c->size = n->size;
	c->text = n->text;
	if (!n->text) {
		uint8_t *bytes = malloc(n->size);

		for (uint64_t i = 0; i < n->size; i++)
			bytes[i] = fake_byte(i);
		c->fd = memfd_create("data", MFD_CLOEXEC);
		if (write(c->fd, bytes, n->size - (fake_short ? 10 : 0)) < 0)
			abort();
		free(bytes);
	}
	return c;
}

static struct content *content_of(struct contents *cs, uint32_t node)
{
	if (nodes[node].text)
		return content_make(&nodes[node]);
	if (!cs->data)
		cs->data = content_make(&nodes[node]);
	return content_ref(cs->data);
}

int contents_open_at(struct contents *cs, struct view *view, uint32_t node, uint64_t offset,
		     uint64_t len, struct content **out, struct content_wait *wait)
{
	(void)offset;
	(void)len;
	if (!node_fine(node))
		return VIEW_STALE;
	if (S_ISDIR(nodes[node].mode))
		return -EISDIR;
	if (!S_ISREG(nodes[node].mode))
		return -EINVAL;
	if (miss) {
		if (!wait)
			return -EAGAIN;
		wait->id = node;
		wait->next = cs->waiting;
		cs->waiting = wait;
		cs->nwaiting++;
		(void)view;
		if (fake_prompt && write(cs->event_fd, &(uint64_t){1}, 8) != 8)
			return -EIO;
		return CONTENT_WAIT;
	}
	*out = content_of(cs, node);
	return 0;
}

void contents_cancel(struct contents *cs, struct content_wait *wait)
{
	for (struct content_wait **at = &cs->waiting; *at; at = &(*at)->next)
		if (*at == wait) {
			*at = wait->next;
			cs->nwaiting--;
			return;
		}
}

int contents_open_at_wait(struct contents *cs, struct view *view, uint32_t node, uint64_t offset,
			  uint64_t len, struct content **out)
{
	return contents_open_at(cs, view, node, offset, len, out, NULL);
}

int contents_fd(const struct contents *cs)
{
	return cs->event_fd;
}

void contents_dispatch(struct contents *cs)
{
	uint64_t n;

	if (read(cs->event_fd, &n, sizeof(n)) < 0)
		return;
	fake_arrive(cs, fake_lost ? -EIO : 0);
}

void fake_miss(bool on)
{
	miss = on;
}

unsigned int fake_waiting(const struct contents *cs)
{
	return cs->nwaiting;
}

void fake_arrive(struct contents *cs, int r)
{
	while (cs->waiting) {
		struct content_wait *wait = cs->waiting;

		cs->waiting = wait->next;
		cs->nwaiting--;
		wait->done(wait, r, r ? NULL : content_of(cs, (uint32_t)wait->id));
	}
}

uint64_t content_size(const struct content *content)
{
	return content->size;
}

int content_fd(const struct content *content)
{
	return content->fd;
}

struct bytes content_bytes(const struct content *content)
{
	return (struct bytes){(const uint8_t *)content->text, content->size};
}

ssize_t content_pread(const struct content *content, void *buf, size_t len, uint64_t offset)
{
	ssize_t n;

	if (content->fd >= 0) {
		n = pread(content->fd, buf, len, (off_t)offset);
		return n < 0 ? -errno : n;
	}
	if (offset >= content->size)
		return 0;
	if (len > content->size - offset)
		len = content->size - offset;
	memcpy(buf, content->text + offset, len);
	return (ssize_t)len;
}

struct content *content_ref(struct content *content)
{
	atomic_fetch_add(&content->refs, 1);
	return content;
}

void content_unref(struct content *content)
{
	if (content && atomic_fetch_sub(&content->refs, 1) == 1) {
		if (content->fd >= 0)
			close(content->fd);
		free(content);
	}
}
