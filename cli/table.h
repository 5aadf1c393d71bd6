/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rows for people or for programs: aligned columns, or a JSON array of objects.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table;

/* `columns` are the keys of the JSON objects; for people they become the heading in
 * capitals.  Never fails: running out of memory ends the program. */
struct table *table_new(const char *const *columns, unsigned int n);
void table_row(struct table *t);
/* The next cell of the row.  Text is escaped for the terminal. */
void table_text(struct table *t, const char *text); /* NULL: empty, null in JSON */
void table_number(struct table *t, int64_t number);
void table_bool(struct table *t, bool value); /* "yes", or nothing */
void table_time(struct table *t, int64_t ns); /* 0: empty */
void table_address(struct table *t, uint32_t address);
/* A row of two. */
void table_pair(struct table *t, const char *key, const char *value);
/* Print and free. */
void table_print(struct table *t, bool json);

#endif
