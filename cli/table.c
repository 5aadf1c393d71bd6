/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/table.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cjson/cJSON.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mac.h"

/* The rows are JSON from the start; the aligned form is drawn from it. */
struct table {
	const char *const *columns;
	unsigned int n;
	unsigned int at;
	cJSON *rows;
	cJSON *row;
};

static void *or_die(void *p)
{
	if (!p) {
		fputs("rootstock: out of memory\n", stderr);
		exit(1);
	}
	return p;
}

struct table *table_new(const char *const *columns, unsigned int n)
{
	struct table *t = or_die(calloc(1, sizeof(*t)));

	t->columns = columns;
	t->n = n;
	t->rows = or_die(cJSON_CreateArray());
	return t;
}

void table_row(struct table *t)
{
	t->row = or_die(cJSON_CreateObject());
	t->at = 0;
	cJSON_AddItemToArray(t->rows, t->row);
}

static void cell(struct table *t, cJSON *value)
{
	if (t->at < t->n)
		cJSON_AddItemToObject(t->row, t->columns[t->at++], or_die(value));
}

void table_text(struct table *t, const char *text)
{
	cell(t, text ? cJSON_CreateString(text) : cJSON_CreateNull());
}

void table_number(struct table *t, int64_t number)
{
	char text[24];

	/* cJSON's numbers are doubles. */
	snprintf(text, sizeof(text), "%lld", (long long)number);
	cell(t, cJSON_CreateRaw(text));
}

void table_bool(struct table *t, bool value)
{
	cell(t, cJSON_CreateBool(value));
}

void table_time(struct table *t, int64_t ns)
{
	time_t sec = (time_t)(ns / NS_PER_SEC);
	char text[40];
	struct tm tm;

	if (!ns) {
		table_text(t, NULL);
		return;
	}
	localtime_r(&sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S%z", &tm);
	table_text(t, text);
}

void table_pair(struct table *t, const char *key, const char *value)
{
	table_row(t);
	table_text(t, key);
	table_text(t, value);
}

void table_address(struct table *t, uint32_t address)
{
	char text[IP4_TEXT];

	table_text(t, address ? ip4_format(address, text) : NULL);
}

static void cell_text(const cJSON *value, char *out, size_t size)
{
	if (cJSON_IsBool(value))
		snprintf(out, size, "%s", cJSON_IsTrue(value) ? "yes" : "-");
	else if (value->valuestring && value->valuestring[0])
		log_printable(out, size, value->valuestring, strlen(value->valuestring));
	else
		snprintf(out, size, "-");
}

static void print_aligned(const struct table *t)
{
	size_t *width = or_die(calloc(t->n, sizeof(*width)));
	char text[512];
	const cJSON *row;

	for (unsigned int c = 0; c < t->n; c++)
		width[c] = strlen(t->columns[c]);
	cJSON_ArrayForEach(row, t->rows)
	{
		unsigned int c = 0;
		const cJSON *value;

		cJSON_ArrayForEach(value, row)
		{
			cell_text(value, text, sizeof(text));
			if (strlen(text) > width[c])
				width[c] = strlen(text);
			c++;
		}
	}
	for (unsigned int c = 0; c < t->n; c++) {
		snprintf(text, sizeof(text), "%s", t->columns[c]);
		for (char *p = text; *p; p++)
			*p = *p == '_' ? ' ' : (char)toupper((unsigned char)*p);
		printf(c + 1 < t->n ? "%-*s  " : "%.0d%s", c + 1 < t->n ? (int)width[c] : 0, text);
	}
	putchar('\n');
	cJSON_ArrayForEach(row, t->rows)
	{
		const cJSON *value;
		unsigned int c = 0;

		cJSON_ArrayForEach(value, row)
		{
			cell_text(value, text, sizeof(text));
			printf(c + 1 < t->n ? "%-*s  " : "%.0d%s", c + 1 < t->n ? (int)width[c] : 0,
			       text);
			c++;
		}
		putchar('\n');
	}
	free(width);
}

void table_print(struct table *t, bool json)
{
	if (json) {
		char *text = or_die(cJSON_Print(t->rows));

		puts(text);
		free(text);
	} else if (cJSON_GetArraySize(t->rows)) {
		print_aligned(t);
	}
	cJSON_Delete(t->rows);
	free(t);
}
