/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the server asks of whoever knows the files: a name, by somebody, now.  The
 * namespace answers in the program, a plain folder in the tests.
 */
#ifndef TFTP_TREE_H
#define TFTP_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/mac.h"
#include "common/why.h"
#include "fsd/contents.h"
#include "tftp/bootfiles.h"
#include "tftp/file.h"
#include "tftp/packet.h"

struct tftp_ask {
	uint32_t from; /* the caller's address */
	uint32_t to;   /* the address that was asked */
	const char *name;
	size_t name_len;
	struct instant now;
};

enum tftp_stage {
	TFTP_STAGE_LOADER,
	TFTP_STAGE_MODULE,
	TFTP_STAGE_MENU,
	TFTP_STAGE_KERNEL,
	TFTP_STAGE_INITRD,
	TFTP_STAGE_FILE
};

/* What is known of a request: for the log, the supervisor, and the ERROR. */
struct tftp_answer {
	enum tftp_stage stage;
	uint32_t host; /* 0: none */
	char host_name[64];
	bool has_mac;
	bool stranger; /* has a lease, is not registered */
	struct mac mac;
	enum tftp_code code; /* when refused */
	bool expected;	     /* refused, and no news: a name that clients try */
	struct why why;	     /* when refused */
};

/* Parked while a body is fetched. */
struct tftp_wait {
	/* `r` is 0 with a file (the callee's), or a negative errno. */
	void (*done)(struct tftp_wait *wait, int r, struct tftp_file *file);
	/* the tree's own */
	struct content_wait content;
	struct contents *contents;
	bool add; /* to what arrives: tftp/addition.h, in these words */
	enum boot_dialect dialect;
	struct view *view; /* whose file everybody must be allowed to read; or NULL */
	uint32_t node;
};

enum tftp_tree_code {
	TFTP_TREE_WAIT = 1, /* wait->done will be called */
	TFTP_TREE_LATER,    /* who it is is not known yet: ask again soon */
	TFTP_TREE_REFUSED   /* answer->code, answer->why */
};

struct tftp_tree {
	/* Returns 0 with *file (the caller's), a tftp_tree_code, or a negative errno.
	 * *answer is always filled. */
	int (*open)(struct tftp_tree *tree, const struct tftp_ask *ask, struct tftp_wait *wait,
		    struct tftp_answer *answer, struct tftp_file **file);
	void (*cancel)(struct tftp_tree *tree, struct tftp_wait *wait);
};

#endif
