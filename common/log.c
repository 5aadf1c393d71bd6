/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/log_journal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"

static const char *const level_words[] = {"error", "warn", "info", "debug"};
static const int level_priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};

static char log_name[32] = "rootstock";
static enum log_level log_max = LOG_LEVEL_INFO;
static bool log_journal;
static atomic_bool log_syslog; /* told when threads write already */

void log_init(const char *name, enum log_level level)
{
	snprintf(log_name, sizeof(log_name), "%s", name);
	log_max = level;
	log_journal = log_journal_has(STDERR_FILENO);
}

void log_set_level(enum log_level level)
{
	log_max = level;
}

int log_level_parse(const char *word, enum log_level *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_words); i++)
		if (!strcmp(word, level_words[i])) {
			*out = (enum log_level)i;
			return 0;
		}
	return -EINVAL;
}

void log_to_syslog(void)
{
	openlog(log_name, LOG_PID, LOG_DAEMON);
	log_syslog = true;
}

static const char *escape(char *out, size_t out_size, const void *in, size_t len, bool again)
{
	static const char hex[] = "0123456789abcdef";
	const uint8_t *p = in;
	char *o = out;
	char *end = out + out_size;

	if (!out_size)
		return out;
	for (size_t i = 0; i < len && end - o > 5; i++) {
		if (p[i] >= 32 && p[i] < 127 && (p[i] != '\\' || again)) {
			*o++ = (char)p[i];
			continue;
		}
		*o++ = '\\';
		*o++ = 'x';
		*o++ = hex[p[i] >> 4];
		*o++ = hex[p[i] & 15];
	}
	*o = '\0';
	return out;
}

const char *log_escape(char *out, size_t out_size, const void *in, size_t len)
{
	return escape(out, out_size, in, len, false);
}

const char *log_printable(char *out, size_t out_size, const void *in, size_t len)
{
	return escape(out, out_size, in, len, true);
}

bool log_wants(enum log_level level)
{
	return level <= log_max;
}

/* What stands in front of a line that goes to a file, a terminal or a pipe. */
static int line_begin(char *out, size_t size, enum log_level level)
{
	struct timespec ts;
	struct tm tm;

	if (log_journal)
		return snprintf(out, size, "<%d>%s: ", level_priorities[level], log_name);
	clock_gettime(CLOCK_REALTIME, &ts);
	localtime_r(&ts.tv_sec, &tm);
	return snprintf(out, size, "%02d:%02d:%02d.%03ld %s %s: ", tm.tm_hour, tm.tm_min, tm.tm_sec,
			ts.tv_nsec / 1000000, log_name, level_words[level]);
}

__attribute__((format(printf, 3, 0))) static void
log_line(enum log_level level, const struct log_about *about, const char *fmt, va_list ap)
{
	char text[1024];
	char line[sizeof(text) + 64];
	int n;

	if (level > log_max)
		return;
	if (log_syslog) {
		vsyslog(level_priorities[level], fmt, ap);
		return;
	}
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		return;
	if (log_journal && log_journal_send(log_name, level_priorities[level], about, text))
		return;
	n = line_begin(line, sizeof(line), level);
	n += snprintf(line + n, sizeof(line) - (size_t)n, "%s\n", text);
	/* One write a line: lines of several processes do not mix. */
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* nowhere left to say so */
}

void log_about(enum log_level level, const struct log_about *about, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line(level, about, fmt, ap);
	va_end(ap);
}

#define LOG_DEFINE(fn, level)                                                                      \
	void fn(const char *fmt, ...)                                                              \
	{                                                                                          \
		va_list ap;                                                                        \
                                                                                                   \
		va_start(ap, fmt);                                                                 \
		log_line(level, NULL, fmt, ap);                                                    \
		va_end(ap);                                                                        \
	}

LOG_DEFINE(log_error, LOG_LEVEL_ERROR)
LOG_DEFINE(log_warn, LOG_LEVEL_WARN)
LOG_DEFINE(log_info, LOG_LEVEL_INFO)
LOG_DEFINE(log_debug, LOG_LEVEL_DEBUG)

bool log_allow(struct log_limit *limit, int64_t now_ns, unsigned int burst,
	       unsigned int interval_ms)
{
	int64_t step = (int64_t)interval_ms * 1000000;
	int64_t floor = now_ns - step * (int64_t)burst;

	/* Zeroed is full, also where the clock is younger than the budget is long. */
	if (!limit->next_ns || limit->next_ns < floor)
		limit->next_ns = floor;
	if (limit->next_ns + step > now_ns) {
		limit->dropped++;
		return false;
	}
	limit->next_ns += step;
	return true;
}
