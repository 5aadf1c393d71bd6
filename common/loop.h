/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One epoll loop: descriptors and deadlines, one thread.  Sources are embedded
 * in the struct they serve, so adding one allocates nothing.
 */
#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "common/clock.h"
#include "common/cleanup.h"

struct loop;

struct loop_source {
	void (*ready)(struct loop_source *source, uint32_t events);
	int fd; /* -1 while not added */
	struct loop *loop;
};

struct loop_timer {
	void (*due)(struct loop_timer *timer, struct instant now);
	struct instant at;
	struct loop *loop; /* NULL while not set */
	struct loop_timer *next;
	uint64_t turn; /* in which it was set */
};

int loop_new(struct loop **out);
void loop_free(struct loop *loop); /* sources and timers are the caller's; NULL is fine */
CLEANUP_DEFINE(struct loop *, loop_free);

/* Watch `fd` (borrowed) for EPOLL* `events`.  `source->ready` must be set; it
 * may remove and even free its own source, or any other: an event that was
 * already collected for a removed source is not delivered.
 * Returns 0 or a negative errno. */
int loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t events);
int loop_change(struct loop_source *source, uint32_t events);
void loop_remove(struct loop_source *source); /* fine when not added */

/* Call `timer->due` once, at or after `at`; setting it again moves it.  One that is
 * set while timers fire waits for the next turn, whatever its time: whoever has work
 * for many turns takes turns with all others.  A few timers a loop are expected: per-transfer
 * deadlines belong in the owner. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, struct instant at);
void loop_timer_clear(struct loop_timer *timer);

/* Run until loop_stop(), or until SIGTERM or SIGINT when `signals`.
 * Returns 0, or a negative errno when epoll itself fails. */
int loop_run(struct loop *loop, bool signals);
void loop_stop(struct loop *loop);

#endif
