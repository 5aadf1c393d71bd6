/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What `doctor` finds, one after another: what was looked at, how it is, and the command
 * that mends it.
 */
#ifndef CLI_FINDING_H
#define CLI_FINDING_H

#include <stdbool.h>

enum finding_level {
	FINDING_OK,
	FINDING_WARN, /* it may work all the same */
	FINDING_ERROR /* it does not */
};

struct findings;

/* Never fail: out of memory ends the program, as with tables. */
struct findings *findings_new(void);

/* `about` and `mend` are as they are given (mend NULL: nothing is to be done; what is OK
 * has none). */
void finding(struct findings *f, enum finding_level level, const char *about, const char *mend,
	     const char *format, ...) __attribute__((format(printf, 5, 6)));

unsigned int findings_errors(const struct findings *f);
/* The first one, and what mends it (""); NULL: there is none.  As long as `f` is. */
const char *findings_error(const struct findings *f, const char **mend);
void findings_free(struct findings *f);

/* Print and free.  Returns the exit status: 1 where there was an error. */
int findings_print(struct findings *f, bool json);

#endif
