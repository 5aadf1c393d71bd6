/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/stats.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <linux/sock_diag.h>

struct stats {
	FILE *file;
	char *text;
	size_t len;
	const char *name; /* of the family at hand */
};

int stats_new(struct stats **out)
{
	struct stats *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->file = open_memstream(&s->text, &s->len);
	if (!s->file) {
		free(s);
		return -ENOMEM;
	}
	*out = s;
	return 0;
}

int stats_finish(struct stats *s, char **text, size_t *len)
{
	bool bad = ferror(s->file);

	bad |= fclose(s->file) != 0;
	if (bad) {
		free(s->text);
	} else {
		*text = s->text;
		*len = s->len;
	}
	free(s);
	return bad ? -ENOMEM : 0;
}

static void put_value(FILE *file, double value)
{
	/* Counts as such, which 2^53 bytes are too; else as many digits as are true. */
	if (value == floor(value) && fabs(value) < 9007199254740992.0)
		fprintf(file, " %.0f\n", value);
	else
		fprintf(file, " %.17g\n", value);
}

static void put_label(FILE *file, const char *name, const char *value)
{
	fprintf(file, "%s=\"", name);
	for (; *value; value++)
		if (*value == '\n')
			fputs("\\n", file);
		else if (*value == '"' || *value == '\\')
			fprintf(file, "\\%c", *value);
		else
			fputc(*value, file);
	fputc('"', file);
}

static void put_sample(struct stats *s, const char *suffix, double value, va_list ap)
{
	const char *label;
	char between = '{';

	fprintf(s->file, "%s%s", s->name, suffix);
	while ((label = va_arg(ap, const char *))) {
		fputc(between, s->file);
		put_label(s->file, label, va_arg(ap, const char *));
		between = ',';
	}
	if (between == ',')
		fputc('}', s->file);
	put_value(s->file, value);
}

void stats_sample(struct stats *s, double value, ...)
{
	va_list ap;

	va_start(ap, value);
	put_sample(s, "", value, ap);
	va_end(ap);
}

void stats_sample_of(struct stats *s, const char *suffix, double value, ...)
{
	va_list ap;

	va_start(ap, value);
	put_sample(s, suffix, value, ap);
	va_end(ap);
}

void stats_family(struct stats *s, const char *name, const char *type, const char *help)
{
	fprintf(s->file, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
	s->name = name;
}

void stats_counter(struct stats *s, const char *name, const char *help, uint64_t value)
{
	stats_family(s, name, "counter", help);
	fprintf(s->file, "%s %" PRIu64 "\n", name, value);
}

void stats_gauge(struct stats *s, const char *name, const char *help, double value)
{
	stats_family(s, name, "gauge", help);
	stats_sample(s, value, NULL);
}

uint64_t socket_drops(int fd)
{
	uint32_t info[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(info);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len))
		return 0;
	return info[SK_MEMINFO_DROPS];
}
