/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/finding.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/table.h"
#include "common/array.h"
#include "common/log.h"

struct one {
	enum finding_level level;
	char about[24];
	char what[600];
	char mend[400]; /* "": nothing */
};

struct findings {
	struct one *list;
	unsigned int n;
	unsigned int errors;
};

static const char *const words[] = {
	[FINDING_OK] = "ok", [FINDING_WARN] = "warn", [FINDING_ERROR] = "error"};

struct findings *findings_new(void)
{
	struct findings *f = calloc(1, sizeof(*f));

	if (!f) {
		fputs("rootstock: out of memory\n", stderr);
		exit(1);
	}
	return f;
}

void finding(struct findings *f, enum finding_level level, const char *about, const char *mend,
	     const char *format, ...)
{
	char raw[sizeof(f->list->what)];
	struct one *one;
	va_list ap;

	assert(level != FINDING_OK || !mend);
	if (array_grow(&f->list, f->n, sizeof(*f->list))) {
		fputs("rootstock: out of memory\n", stderr);
		exit(1);
	}
	one = &f->list[f->n++];
	va_start(ap, format);
	vsnprintf(raw, sizeof(raw), format, ap);
	va_end(ap);
	one->level = level;
	f->errors += level == FINDING_ERROR;
	snprintf(one->about, sizeof(one->about), "%s", about);
	log_printable(one->what, sizeof(one->what), raw, strlen(raw));
	mend = mend ? mend : "";
	log_printable(one->mend, sizeof(one->mend), mend, strlen(mend));
}

unsigned int findings_errors(const struct findings *f)
{
	return f->errors;
}

const char *findings_error(const struct findings *f, const char **mend)
{
	for (unsigned int i = 0; i < f->n; i++)
		if (f->list[i].level == FINDING_ERROR) {
			*mend = f->list[i].mend;
			return f->list[i].what;
		}
	return NULL;
}

void findings_free(struct findings *f)
{
	free(f->list);
	free(f);
}

static void print_json(const struct findings *f)
{
	static const char *const columns[] = {"level", "about", "what", "mend"};
	struct table *t = table_new(columns, 4);

	for (unsigned int i = 0; i < f->n; i++) {
		const struct one *one = &f->list[i];

		table_row(t);
		table_text(t, words[one->level]);
		table_text(t, one->about);
		table_text(t, one->what);
		table_text(t, *one->mend ? one->mend : NULL);
	}
	table_print(t, true);
}

int findings_print(struct findings *f, bool json)
{
	int status = f->errors ? 1 : 0;

	if (json)
		print_json(f);
	for (unsigned int i = 0; i < f->n && !json; i++) {
		const struct one *one = &f->list[i];

		printf("%-5s  %-12s  %s\n", words[one->level], one->about, one->what);
		if (*one->mend)
			printf("%-5s  %-12s  -> %s\n", "", "", one->mend);
	}
	findings_free(f);
	return status;
}
