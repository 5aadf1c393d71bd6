/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A way to look at a view, as its clients have it: the core's own functions, the FUSE
 * mount by system calls, NFS by libnfs.  One comparison then does for all.
 *
 * Functions return 0 or an errno above 0.
 */
#ifndef TESTS_DOORS_DOOR_H
#define TESTS_DOORS_DOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

struct contents;
struct view;

/* What a client holds of a file: a number, a handle, a descriptor. */
struct door_node {
	uint8_t len;
	uint8_t octet[64];
};

struct door_attr {
	uint64_t fileid;
	uint32_t mode; /* with S_IFMT */
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint32_t rdev_major;
	uint32_t rdev_minor;
	uint64_t size;
	int64_t mtime_sec;
	uint32_t mtime_nsec;
	int64_t ctime_sec;
};

struct door_name {
	char name[256];
	size_t len;
	uint64_t cookie;
	uint64_t fileid;
	bool has_attr; /* and a node: READDIRPLUS */
	uint8_t type;  /* DT_UNKNOWN where the door does not tell */
	struct door_node node;
	struct door_attr attr;
};

struct door_names {
	struct door_name *list;
	size_t n;
};
void door_names_fini(struct door_names *names);
struct door_name *door_names_add(struct door_names *names);
/* By name, or NULL. */
const struct door_name *door_names_find(const struct door_names *names, const char *name,
					size_t len);

struct door {
	const char *word;
	bool top;     /* ".." of a view's root is that root */
	bool times32; /* a time is 32 bits, the nearest that there is */
	int (*root)(struct door *door, const char *tree, struct door_node *out);
	int (*lookup)(struct door *door, const struct door_node *dir, const char *name,
		      struct door_node *out);
	int (*attr)(struct door *door, const struct door_node *node, struct door_attr *out);
	/* Add what one call gives after `cookie`, in about `room` bytes; nothing more at the
	 * end. `plus` asks for attributes too, where that is another call. */
	int (*list)(struct door *door, const struct door_node *dir, uint64_t cookie, size_t room,
		    bool plus, struct door_names *names);
	/* *len is the room, then the target's length. */
	int (*readlink)(struct door *door, const struct door_node *node, char *out, size_t *len);
	/* *len is how much, then how much there was; short at the end alone. */
	int (*read)(struct door *door, const struct door_node *node, uint64_t offset, void *out,
		    size_t *len);
	/* The node is not needed any more. */
	void (*drop)(struct door *door, const struct door_node *node);
	void (*free)(struct door *door);
};

/* All names after `cookie`. */
int door_list(struct door *door, const struct door_node *dir, uint64_t cookie, size_t room,
	      bool plus, struct door_names *names);

/* Asks for the view at each root(): `view` is the caller's, which may replace it. */
struct door *door_core_new(struct view **view, struct contents *contents);
/* `dir` is where the mount is, up to its hosts/ and images/. */
struct door *door_fuse_new(const char *dir);
/* NULL while nobody answers there. */
struct door *door_nfs_new(const char *server, int port);

#endif
