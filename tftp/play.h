/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A file as a client would get it, for who asks through the control socket: by the
 * namespace's own way, but for a directory of its own in which the client has just been
 * given its address.  No transfer, no event, no line.
 *
 *	"fetch FROM MAC TO NAME" --> namespace --> read whole, a slice a turn --> tftp_played
 */
#ifndef TFTP_PLAY_H
#define TFTP_PLAY_H

#include "common/control.h"
#include "fsd/objects.h"
#include "tftp/namespace.h"

enum {
	TFTP_PLAYED_HEAD = 65536, /* of a file, behind the answer: a menu is all in it */
	TFTP_PLAYED_LATER = 256	  /* as a code: the machine would be registered first */
};

struct tftp_played {
	uint32_t stage; /* enum tftp_stage */
	int32_t code;	/* -1: served; else an ERROR's, or TFTP_PLAYED_LATER */
	uint64_t size;
	struct hash hash;
	char why[512]; /* of an ERROR */
};

/* What the plays of a child stand on; `config` with the child's own directory is not
 * used but for the rest. */
struct tftp_stage_set {
	struct loop *loop;
	const char *state_dir;
	struct namespace_config config;
};

/* The verb: answers `asker`, in a while. */
void tftp_play(const struct tftp_stage_set *set, struct asker *asker, struct bytes args);

#endif
