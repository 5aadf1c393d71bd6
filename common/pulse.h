/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A child's word that it serves: EVENT_WELL to the supervisor when its loop begins, and
 * as long as that turns.  Who is silent for a minute hangs, and is started over.
 */
#ifndef COMMON_PULSE_H
#define COMMON_PULSE_H

#include "common/loop.h"

enum { PULSE_MS = 5000 };

struct pulse {
	struct loop_timer timer;
	struct loop *loop;
	int event_fd;
	bool (*well)(void *ctx, struct instant now); /* NULL: its loop turns, so it is */
	void *ctx;
};

/* Borrows all; -1: nobody listens.  To be called when everything else is set up; the loop's
 * end is its end. */
void pulse_begin(struct pulse *pulse, struct loop *loop, int event_fd);
/* Of a child whose work is not the loop's: it beats only while `well` says so. */
void pulse_while(struct pulse *pulse, bool (*well)(void *ctx, struct instant now), void *ctx);

#endif
