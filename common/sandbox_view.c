/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A mount namespace whose root is a small read-only tmpfs.  Each path of the child's list
 * is cloned as a mount without a place, made read-only unless it is to be written, and
 * put at its own name in there; what is to be hidden of it has an empty file system on
 * top.  Then that tmpfs becomes the root, and the old one goes.
 *
 * Mounts that the system makes or takes off later below a path that is shown come
 * and go here too (they are slaves), so no file system is held by us that somebody
 * wants to take off.
 */
#include "common/sandbox_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

enum { PATHS_MAX = 32 };

#define BIT(child) (1u << (child))
#define ALL (BIT(SANDBOX_CHILDREN) - 1)

enum how {
	SHOWN,
	WRITTEN,
	HIDDEN, /* of what is shown around it */
	DEVICE,
	PROCESS /* its own of /proc, and nothing else of that */
};

struct path {
	char name[PATH_MAX];
	enum how how;
	int mount; /* -1: none */
};

struct view {
	struct path list[PATHS_MAX];
	unsigned int n;
	struct why *why;
};

/* In the state directory, from the outside in. */
static const struct {
	const char *name;
	unsigned int shown;
	unsigned int written;
} state_parts[] = {
	/* leases.db is written in place; new files need the directory, which is root's. */
	{"", ALL & ~BIT(SANDBOX_METRICS), BIT(SANDBOX_DHCP)},
	{"/objects", BIT(SANDBOX_COPIER) | BIT(SANDBOX_TFTP) | BIT(SANDBOX_NFS),
	 BIT(SANDBOX_COPIER)},
	{"/manifests", BIT(SANDBOX_COPIER) | BIT(SANDBOX_TFTP) | BIT(SANDBOX_NFS),
	 BIT(SANDBOX_COPIER)},
	{"/secrets", BIT(SANDBOX_NFS), 0},
	{"/control", BIT(SANDBOX_METRICS), 0}, /* to ask the others */
};

static const struct {
	const char *name;
	enum how how;
	unsigned int who;
} system_parts[] = {
	{"/dev/null", DEVICE, ALL},
	{"/dev/urandom", DEVICE, ALL},		 /* SQLite's and libsodium's */
	{"/run/systemd/journal", SHOWN, ALL},	 /* where lines of the log go */
	{"/usr", SHOWN, BIT(SANDBOX_TFTP)},	 /* loaders; packages may come later */
	{"/boot", SHOWN, BIT(SANDBOX_TFTP)},	 /* memtest86+ */
	{"/proc", PROCESS, BIT(SANDBOX_COPIER)}, /* drafts get names by way of their descriptor */
};

static int view_add(struct view *v, enum how how, const char *base, const char *name)
{
	struct path *p = &v->list[v->n];

	if (v->n == PATHS_MAX ||
	    snprintf(p->name, sizeof(p->name), "%s%s", base, name) >= (int)sizeof(p->name))
		return -E2BIG;
	p->how = how;
	p->mount = -1;
	v->n++;
	return 0;
}

static int view_list(struct view *v, enum sandbox_child child, const char *state_dir,
		     const char *const *folders)
{
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(system_parts); i++)
		if (system_parts[i].who & BIT(child))
			r = view_add(v, system_parts[i].how, "", system_parts[i].name);
	for (; !r && folders && *folders; folders++)
		r = view_add(v, SHOWN, "", *folders);
	for (size_t i = 0; !r && i < ARRAY_SIZE(state_parts); i++) {
		enum how how = HIDDEN;

		/* Nothing to hide where nothing is shown around it. */
		if (!((state_parts[i].shown | state_parts[0].shown) & BIT(child)))
			continue;
		if (state_parts[i].shown & BIT(child))
			how = state_parts[i].written & BIT(child) ? WRITTEN : SHOWN;
		r = view_add(v, how, state_dir, state_parts[i].name);
	}
	return r;
}

/* A mount of it that has no place yet.  What is not there is not shown. */
static int path_clone(struct view *v, struct path *p)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC};

	if (p->how == HIDDEN || p->how == PROCESS)
		return 0;
	if (p->how != DEVICE)
		attr.attr_set |= MOUNT_ATTR_NODEV;
	if (p->how == SHOWN)
		attr.attr_set |= MOUNT_ATTR_RDONLY;
	p->mount = open_tree(AT_FDCWD, p->name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (p->mount < 0 && errno == ENOENT)
		return 0;
	if (p->mount < 0 ||
	    mount_setattr(p->mount, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)))
		return why_set(v->why, -errno, "%s: to be shown: %m", p->name);
	return 0;
}

/* The name in the new root, where we stand, made with all above it. */
static int place_make(const char *name, bool directory)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), ".%s", name);
	for (char *slash = strchr(path + 2, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0755) && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	if (directory)
		return mkdir(path, 0755) && errno != EEXIST ? -errno : 0;
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int path_place(struct view *v, const struct path *p)
{
	char path[PATH_MAX + 1];
	struct stat st;
	int r;

	snprintf(path, sizeof(path), ".%s", p->name);
	if (p->how == HIDDEN) {
		/* Not there: it cannot be made later below what is shown to read. */
		if (stat(path, &st))
			return errno == ENOENT ? 0 : -errno;
		r = mount("none", path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
			  "mode=000,size=4k");
	} else if (p->how == PROCESS) {
		r = place_make(p->name, true);
		if (!r)
			r = mount("proc", path, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
				  "hidepid=ptraceable,subset=pid");
	} else if (p->mount < 0) {
		return 0;
	} else {
		r = fstat(p->mount, &st) ? -errno : place_make(p->name, S_ISDIR(st.st_mode));
		if (r)
			return why_set(v->why, r, "%s: to be shown: %s", p->name, strerror(-r));
		r = move_mount(p->mount, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
	}
	return r ? why_set(v->why, -errno, "%s: to be shown: %m", p->name) : 0;
}

/* On top of the state directory, which is there in any case, and out of the way as soon
 * as all has a mount of its own. */
static int root_begin(const char *state_dir, struct why *why)
{
	if (mount("rootstock", state_dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "mode=755,size=64k,nr_inodes=256") ||
	    chdir(state_dir))
		return why_set(why, -errno, "an empty root: %m");
	return 0;
}

static int root_enter(struct why *why)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};

	if (mount_setattr(AT_FDCWD, ".", 0, &attr, sizeof(attr)) ||
	    syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
		return why_set(why, -errno, "another root: %m");
	return 0;
}

static int view_build(struct view *v, enum sandbox_child child, const char *state_dir,
		      const char *const *folders)
{
	mode_t mask = umask(0022);
	int r = view_list(v, child, state_dir, folders);

	if (!r && mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL))
		r = why_set(v->why, -errno, "mounts of its own: %m");
	for (unsigned int i = 0; !r && i < v->n; i++)
		r = path_clone(v, &v->list[i]);
	if (!r)
		r = root_begin(state_dir, v->why);
	for (unsigned int i = 0; !r && i < v->n; i++)
		r = path_place(v, &v->list[i]);
	if (!r)
		r = root_enter(v->why);
	for (unsigned int i = 0; i < v->n; i++)
		closep(&v->list[i].mount);
	umask(mask);
	return r;
}

int sandbox_view(enum sandbox_child child, const char *state_dir, const char *const *folders,
		 struct why *why)
{
	cleanup(freep) struct view *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return -ENOMEM;
	v->why = why;
	if (!unshare(CLONE_NEWNS))
		return view_build(v, child, state_dir, folders);
	r = why_set(why, -errno, "mounts of its own: %m");
	return r == -EPERM || r == -ENOSYS || r == -EINVAL ? SANDBOX_NO_VIEW : r;
}
