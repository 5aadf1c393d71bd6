/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Lines as entries of systemd's journal.  Built without libsystemd there is no such
 * thing, and lines stay lines.
 */
#ifndef COMMON_LOG_JOURNAL_H
#define COMMON_LOG_JOURNAL_H

#include "common/log.h"

/* Is this descriptor the stream that systemd gave us ($JOURNAL_STREAM)?  A service's
 * output that was turned elsewhere is to stay there. */
bool log_journal_has(int fd);

/* One entry; `about` may be NULL.  False: the journal cannot be reached from here. */
bool log_journal_send(const char *service, int priority, const struct log_about *about,
		      const char *text);

#endif
