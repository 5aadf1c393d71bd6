/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A boot as one HTML page: what it was, what became of it, its stages on a time axis with
 * bytes and repeats, the stage at which it stopped, and every event.  It needs nothing
 * from elsewhere, runs no script, and is readable on light and dark screens and on paper.
 */
#ifndef CLI_BOOT_PAGE_H
#define CLI_BOOT_PAGE_H

#include <stdio.h>

#include "cli/verdict.h"

struct boot_page {
	const struct story *story;
	const struct verdict *verdict;
	const char *host;  /* NULL: not registered */
	const char *image; /* "debian@3"; NULL: none, or it was removed */
};

/* What is known of the boot as a whole, one after another. */
struct page_fact {
	const char *key;
	char value[128]; /* "": not known */
};
enum { PAGE_FACTS = 12 };
unsigned int page_facts(const struct boot_page *page, struct page_fact out[static PAGE_FACTS]);

/* When the story's first event began. */
int64_t page_start(const struct story *s);

/* Returns 0 or a negative errno. */
int page_write(const struct boot_page *page, FILE *out);

#endif
