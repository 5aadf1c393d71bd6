/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What became of a boot: how far it came, and where it did not, the stage at which it
 * stopped and the likely reason.  A function of what was told (cli/story.h) and the time;
 * its rules are one table.
 */
#ifndef CLI_VERDICT_H
#define CLI_VERDICT_H

#include "cli/story.h"

enum verdict_state {
	VERDICT_UNDER_WAY, /* something was heard of it a moment ago */
	VERDICT_RUNNING,   /* it has read its init, and is open */
	VERDICT_FAILED,
	VERDICT_OVER /* it ran, and has ended */
};

struct verdict {
	enum verdict_state state;
	enum event_step reached; /* the last step that was done */
	enum event_step stopped; /* FAILED: the one that was not */
	const char *reason;	 /* FAILED, and RUNNING with a trouble; else NULL */
	const char *mend;	 /* what to do about it; NULL: nothing is known */
	const char *said;	 /* the service's own words, in the story; NULL: none */
};

void verdict_of(const struct story *s, int64_t now, struct verdict *out);

const char *verdict_word(enum verdict_state state); /* "under way" */

/* A step is done by such an event. */
bool verdict_is_done(const struct story_event *e);

#endif
