/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Two clocks, never mixed: an instant is monotonic and serves deadlines; wall
 * time is for rows and for people.  Protocol code takes them as arguments.
 */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_SEC INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

struct instant {
	int64_t ns; /* CLOCK_MONOTONIC; INT64_MAX is "never" */
};

#define INSTANT_NEVER ((struct instant){INT64_MAX})

static inline struct instant instant_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (struct instant){ts.tv_sec * NS_PER_SEC + ts.tv_nsec};
}

static inline struct instant instant_add_ms(struct instant t, int64_t ms)
{
	return (struct instant){t.ns + ms * NS_PER_MS};
}

/* Nanoseconds since the epoch. */
static inline int64_t wall_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

#endif
