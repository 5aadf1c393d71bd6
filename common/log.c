/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

static char log_name[32] = "rootstock";
static enum log_level log_max = LOG_LEVEL_INFO;
static bool log_journal;
static bool log_syslog;

void log_init(const char *name, enum log_level level)
{
	snprintf(log_name, sizeof(log_name), "%s", name);
	log_max = level;
	log_journal = getenv("JOURNAL_STREAM") != NULL;
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

static void log_line(enum log_level level, const char *fmt, va_list ap)
{
	static const char *const word[] = {"error", "warn", "info", "debug"};
	static const int priority[] = {3, 4, 6, 7};
	char line[1024];
	struct timespec ts;
	struct tm tm;
	int n;
	int m;

	if (level > log_max)
		return;
	if (log_syslog) {
		vsyslog(priority[level], fmt, ap);
		return;
	}
	if (log_journal) {
		n = snprintf(line, sizeof(line), "<%d>%s: ", priority[level], log_name);
	} else {
		clock_gettime(CLOCK_REALTIME, &ts);
		localtime_r(&ts.tv_sec, &tm);
		n = snprintf(line, sizeof(line), "%02d:%02d:%02d.%03ld %s %s: ", tm.tm_hour,
			     tm.tm_min, tm.tm_sec, ts.tv_nsec / 1000000, log_name, word[level]);
	}
	m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	if (m < 0)
		return;
	n += m;
	if ((size_t)n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	/* One write a line: lines of several processes do not mix. */
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* nowhere left to say so */
}

#define LOG_DEFINE(fn, level)                                                                      \
	void fn(const char *fmt, ...)                                                              \
	{                                                                                          \
		va_list ap;                                                                        \
                                                                                                   \
		va_start(ap, fmt);                                                                 \
		log_line(level, fmt, ap);                                                          \
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
