/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the files of the sandbox share, and nobody else includes.
 */
#ifndef COMMON_SANDBOX_PARTS_H
#define COMMON_SANDBOX_PARTS_H

#include "common/sandbox.h"

/* A file system that holds what is listed, and nothing else.  Needs root.
 * SANDBOX_NO_VIEW, with nothing changed: it is not to be had here; `why` says the
 * reason. */
enum { SANDBOX_NO_VIEW = 1 };
int sandbox_view(enum sandbox_child child, const char *state_dir, const char *const *folders,
		 struct why *why);

/* From here on there are only the calls on the child's list. */
int sandbox_calls(enum sandbox_child child, struct why *why);

#endif
