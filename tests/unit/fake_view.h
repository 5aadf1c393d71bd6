/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * fsd's views and contents over a small tree in memory, for the tests of the
 * doors.  One image; whatever (host, version) is asked for sees the same tree,
 * but for versions that were never made.
 *
 *	/ 0755   bin -> usr/bin   dir/ 0755 {a, b, sub/{deep}}   empty/
 *	usr/bin/{tool 0111}  sbin/init 0755  data 0644 (FAKE_DATA_SIZE bytes)
 *	secret 0600  dev {chr 5,1}  pipe  sock  blk {8,0}  old (mtime -5)  far (2^33)
 *	many/ {name0 ... } when asked for
 */
#ifndef TESTS_UNIT_FAKE_VIEW_H
#define TESTS_UNIT_FAKE_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "fsd/contents.h"
#include "fsd/view.h"

enum { FAKE_VERSION = 7, FAKE_DATA_SIZE = 3 * 1024 * 1024 + 5 };

/* The byte of "data" at an offset. */
static inline uint8_t fake_byte(uint64_t offset)
{
	return (uint8_t)(offset * 131 + (offset >> 8) * 7 + (offset >> 16));
}

uint32_t fake_node(const char *path); /* 0: none */
void fake_many(unsigned int n);	      /* before the first view: /many with n names */
void fake_overlay_moved(void);	      /* views_generation() moves */

/* The next contents_open() of any file misses; fake_arrive() gives it with `r`. */
void fake_miss(bool on);
void fake_arrive(struct contents *cs, int r);
unsigned int fake_waiting(const struct contents *cs);
extern bool fake_prompt; /* what misses arrives at the next contents_dispatch() */
extern bool fake_lost;	 /* and then it is -EIO */
extern bool fake_short;	 /* bodies end 10 bytes before what content_size() says */

extern int fake_no_view;     /* a negative errno: what views_get() returns */
extern uint32_t fake_mode;   /* of every regular file; 0: its own */
extern uint64_t fake_change; /* that the last view was asked for at */

int fake_views_new(struct views **out);

#endif
