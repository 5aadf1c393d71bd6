/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What both ends of a control socket know: where it is, and the first byte of an answer's
 * packet.
 */
#ifndef COMMON_CONTROL_PARTS_H
#define COMMON_CONTROL_PARTS_H

#include <sys/un.h>

#include "common/why.h"

enum control_kind {
	CONTROL_KIND_MORE = 'm',
	CONTROL_KIND_END = 'e', /* nothing behind it */
	CONTROL_KIND_FAIL = 'f' /* behind it an errno, as an int, and words */
};

int control_address(const char *state_dir, const char *name, struct sockaddr_un *out,
		    struct why *why);

#endif
