/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Two texts of the configuration, compared as they are written and not as they are
 * understood: what is told of a reload are a person's own words.
 */
#include "cli/config.h"

#include <errno.h>
#include <string.h>

#include <ini.h>

#include "common/array.h"
#include "common/cleanup.h"

struct setting {
	char *section;
	char *key;
	char *value;
	bool seen;
};

struct settings {
	struct setting *list;
	size_t n;
};

static void settings_fini(struct settings *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->list[i].section);
		free(s->list[i].key);
		free(s->list[i].value);
	}
	free(s->list);
}

static struct setting *settings_find(struct settings *s, const char *section, const char *key)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->list[i].section, section) && !strcmp(s->list[i].key, key))
			return &s->list[i];
	return NULL;
}

/* The last word counts for most keys, and all of them for lists: told are all. */
static int on_setting(void *ctx, const char *section, const char *key, const char *value)
{
	struct settings *s = ctx;
	struct setting *old = settings_find(s, section, key);
	char *both;

	if (old) {
		if (!strcmp(old->value, value))
			return 1;
		if (asprintf(&both, "%s, %s", old->value, value) < 0)
			return 0;
		free(old->value);
		old->value = both;
		return 1;
	}
	if (array_grow(&s->list, s->n, sizeof(*s->list)))
		return 0;
	s->list[s->n] = (struct setting){strdup(section), strdup(key), strdup(value), false};
	s->n++;
	return s->list[s->n - 1].section && s->list[s->n - 1].key && s->list[s->n - 1].value;
}

static int settings_read(struct settings *s, int fd)
{
	cleanup(freep) char *text = NULL;
	int r = config_text(fd, &text);

	return r ? r : ini_parse_string(text, on_setting, s) ? -ENOMEM : 0;
}

int config_changes(int before_fd, int after_fd,
		   void (*each)(void *ctx, const struct config_change *change), void *ctx)
{
	cleanup(settings_fini) struct settings before = {NULL, 0};
	cleanup(settings_fini) struct settings after = {NULL, 0};
	int r = settings_read(&before, before_fd);

	if (!r)
		r = settings_read(&after, after_fd);
	if (r)
		return r;
	for (size_t i = 0; i < after.n; i++) {
		const struct setting *now = &after.list[i];
		struct setting *old = settings_find(&before, now->section, now->key);
		struct config_change change = {now->section, now->key, old ? old->value : NULL,
					       now->value};

		if (old)
			old->seen = true;
		if (!old || strcmp(old->value, now->value) != 0)
			each(ctx, &change);
	}
	for (size_t i = 0; i < before.n; i++) {
		const struct setting *old = &before.list[i];
		struct config_change change = {old->section, old->key, old->value, NULL};

		if (!old->seen)
			each(ctx, &change);
	}
	return 0;
}
