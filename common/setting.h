/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The settings of a host, a group or the site that rootstock itself acts on, and what each
 * may be: one table.  Who sets one, imports one, reads one or completes one at a shell asks
 * here.  Any other key is for templates, and may be anything.
 */
#ifndef COMMON_SETTING_H
#define COMMON_SETTING_H

#include <stdbool.h>

#include "common/why.h"

struct setting {
	const char *key;	  /* "option-": the first part of it */
	const char *const *words; /* the only values, ended by NULL; NULL: there are others */
	unsigned int max;	  /* of a number of seconds; 0: it is none */
	bool (*fits)(const char *value);
	const char *allowed; /* what fits, for people: "not ..." */
};

/* One after another from 0 on; NULL past the end. */
const struct setting *setting_at(unsigned int i);
/* NULL: a key for templates. */
const struct setting *setting_find(const char *key);

/* May `key` be `value`?  -EINVAL with words that name both, and what it may be.  Whether
 * what is named is there, in a view or among the images, is not asked. */
int setting_check_value(const char *key, const char *value, struct why *why);

/* Of a key with words: which it is.  Of one with a number: that.  Else as above. */
int setting_word(const char *key, const char *value, unsigned int *out, struct why *why);
int setting_number(const char *key, const char *value, unsigned int *out, struct why *why);

#endif
