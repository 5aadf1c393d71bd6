/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The lines of an exported folder (fsd/folder.h): how they are read and written.
 *
 * Bytes that a line cannot show (control bytes, the backslash, blanks where words end)
 * are \xHH.  Empty lines and those that start with '#' say nothing.
 */
#ifndef FSD_FOLDER_TEXT_H
#define FSD_FOLDER_TEXT_H

#include <stdio.h>

#include "fsd/folder.h"

/* Walks over the lines of a text. */
struct folder_lines {
	const uint8_t *at;
	const uint8_t *end;
	unsigned int line; /* number of the last one */
};

/* The next line that says something.  Returns 1; 0 at the end; or -EINVAL with words for
 * one that is too long, or has bytes that no text has. */
int folder_line(struct folder_lines *lines, struct bytes *out, struct why *why);

/* What a line says, in memory of `arena`: -EINVAL with words, or -ENOMEM.  Keys and values
 * are any that a line can hold; of an entry all is checked but its body. */
int folder_pair_parse(struct bytes line, struct arena *arena, struct folder_pair *out,
		      struct why *why);
int folder_entry_parse(struct bytes line, struct arena *arena, struct folder_entry *out,
		       struct why *why);

void folder_pair_print(FILE *out, const struct folder_pair *pair);
void folder_entry_print(FILE *out, const struct folder_entry *entry);

/* "put", "link" ... */
const char *folder_kind_word(enum entry_kind kind);

#endif
