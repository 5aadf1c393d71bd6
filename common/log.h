/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One line a message.  *error* needs an operator, *warn* is a misbehaving client, *info*
 * is a lease, a mount, a finished transfer.  Whoever handles an error logs it, once.
 *
 * Lines go to standard error.  Where that is the journal's, they become entries of the
 * journal with fields (log_journal.c):
 *
 *	ROOTSTOCK_SERVICE	supervisor, copier, dhcp, tftp, nfs, metrics
 *	ROOTSTOCK_MAC, ROOTSTOCK_ADDRESS, ROOTSTOCK_HOST
 *				whom the line is about, where it says so
 *
 * so that `journalctl ROOTSTOCK_MAC=52:54:00:12:34:01` is one machine's story.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/mac.h"

enum log_level {
	LOG_LEVEL_NONE = -1, /* for fuzzers */
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

/* The process's name in front of each line ("nfs", "dhcp"), and the level up to which
 * lines are written.  Where standard error is a pipe to the journal but its socket is out
 * of reach, a line starts with its <priority>. */
void log_init(const char *name, enum log_level level);
void log_set_level(enum log_level level);
/* "error", "warn", "info", "debug".  Returns 0, or -EINVAL. */
int log_level_parse(const char *word, enum log_level *out);
bool log_wants(enum log_level level); /* is it worth making a line? */

/* From here on lines go to the system's log (syslog, or the journal behind its socket),
 * with the process's id: for one that has left its terminal. */
void log_to_syslog(void);

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Whom a line is about; zeroes are not said.  The line itself is for people and names
 * them in its own words, the fields are for filters. */
struct log_about {
	struct mac mac;
	uint32_t address;
	const char *host; /* its name */
};

/* log_about(LOG_LEVEL_WARN, &(struct log_about){.mac = mac}, "...") */
void log_about(enum log_level level, const struct log_about *about, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Copy `len` bytes from outside as printable text: control characters, bytes
 * over 126 and the backslash become \xHH.  UTF-8 is escaped too: a terminal
 * must not be driven by a packet.  Always ends `out`; returns `out`. */
const char *log_escape(char *out, size_t out_size, const void *in, size_t len);

/* The same for what may be escaped already: a backslash stays. */
const char *log_printable(char *out, size_t out_size, const void *in, size_t len);

/* A budget of messages about one kind of thing: `burst` at once, then one each
 * `interval_ms`.  Embed one where the subject is; zeroed is ready for use. */
struct log_limit {
	int64_t next_ns;
	uint32_t dropped;
};

/* May a line go out now?  Counts what was held back in `dropped`, which the
 * caller may print and reset. */
bool log_allow(struct log_limit *limit, int64_t now_ns, unsigned int burst,
	       unsigned int interval_ms);

#endif
