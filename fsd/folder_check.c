/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does a folder that was read make sense?  All that can be said without the database. */
#include "fsd/folder_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/inventory.h"
#include "fsd/host.h"
#include "fsd/image.h"

int folder_line_fail(const char *dir, const struct folder_scope *s, bool pairs, unsigned int line,
		     int r, const struct why *words, struct why *why)
{
	char path[128];

	folder_scope_dir(s, path, sizeof(path));
	return why_set(why, r, "%s/%s/%s:%u: %s", dir, path,
		       pairs ? folder_pairs_name(s->kind) : "overlay", line, why_text(words, r));
}

static int image_value(const char *value, bool version, struct why *why)
{
	const char *at = strchr(value, '@');
	size_t len = at ? (size_t)(at - value) : strlen(value);
	char name[NAME_MAX_LEN + 2] = "";
	size_t digits;

	if (at && !version)
		return why_set(why, -EINVAL, "%s: a group takes an image, not one version", value);
	/* One byte more than a name may have says that it is too long. */
	memcpy(name, value, len < sizeof(name) - 1 ? len : sizeof(name) - 1);
	digits = at ? strspn(at + 1, "0123456789") : 1;
	if (!digits || digits > 9 || (at && at[1 + digits]))
		return why_set(why, -EINVAL, "%s: not NAME@NUMBER", value);
	return name_check("image", name, false, why);
}

/* A host's row.  What the database would write otherwise is refused, so that what is
 * imported is exported as it was. */
static int host_value(const struct folder *f, const char *key, const char *value, struct why *why)
{
	char text[MAC_TEXT];
	uint32_t address;
	struct mac mac;

	if (!strcmp(key, "mac")) {
		if (mac_parse(value, &mac))
			return why_set(why, -EINVAL, "%s: not a MAC address", value);
		if (strcmp(mac_format(&mac, text), value) != 0)
			return why_set(why, -EINVAL, "%s: write it as %s", value, text);
		return 0;
	}
	if (!strcmp(key, "address")) {
		if (ip4_parse(value, &address) || !address)
			return why_set(why, -EINVAL, "%s: not an IPv4 address", value);
		if (strcmp(ip4_format(address, text), value) != 0)
			return why_set(why, -EINVAL, "%s: write it as %s", value, text);
		return 0;
	}
	if (!strcmp(key, "image"))
		return image_value(value, true, why);
	if (!strcmp(key, "pending"))
		return strcmp(value, "yes") ? why_set(why, -EINVAL, "pending=yes, or no line") : 0;
	if (!strcmp(key, "group"))
		return folder_scope_find(f, SCOPE_GROUP, value)
			       ? 0
			       : why_set(why, -EINVAL, "%s: no such group in groups/", value);
	return setting_check(key, value, why);
}

static int pair_check(const struct folder *f, const struct folder_scope *s,
		      const struct folder_pair *p, struct why *why)
{
	if (s->kind == SCOPE_HOST)
		return host_value(f, p->key, p->value, why);
	if (s->kind == SCOPE_GROUP && !strcmp(p->key, "image"))
		return image_value(p->value, false, why);
	return setting_check(p->key, p->value, why);
}

static bool is_list(const struct folder_scope *s, const char *key)
{
	return s->kind == SCOPE_HOST && (!strcmp(key, "mac") || !strcmp(key, "group"));
}

/* Pairs are sorted by now, but groups keep their order. */
static int pair_twice(const struct folder_scope *s, unsigned int i, struct why *why)
{
	const struct folder_pair *p = &s->pairs[i];
	unsigned int of_key = 1;

	for (unsigned int k = i; k-- > 0 && !strcmp(s->pairs[k].key, p->key); of_key++)
		if (!is_list(s, p->key) || !strcmp(s->pairs[k].value, p->value))
			return why_set(why, -EINVAL, "%s: there already, in line %u",
				       is_list(s, p->key) ? p->value : p->key, s->pairs[k].line);
	if (of_key > HOST_MACS_MAX)
		return why_set(why, -EINVAL, "over %d lines of %s", HOST_MACS_MAX, p->key);
	return 0;
}

static int scope_check(const struct folder *f, const char *dir, const struct folder_scope *s,
		       struct why *why)
{
	for (unsigned int i = 0; i < s->npairs; i++) {
		struct why one = {""};
		int r = pair_check(f, s, &s->pairs[i], &one);

		if (!r)
			r = pair_twice(s, i, &one);
		if (r)
			return folder_line_fail(dir, s, true, s->pairs[i].line, r, &one, why);
	}
	for (unsigned int i = 1; i < s->nentries; i++) {
		const struct folder_entry *e = &s->entries[i];
		struct why one = {""};

		if (strcmp(e->path, e[-1].path) != 0)
			continue;
		why_set(&one, -EINVAL, "/%s: there already, in line %u", e->path, e[-1].line);
		return folder_line_fail(dir, s, false, e->line, -EINVAL, &one, why);
	}
	if (s->kind == SCOPE_HOST && (!s->npairs || strcmp(s->pairs[0].key, "mac") != 0))
		return why_set(why, -EINVAL, "%s/hosts/%s/host: a host has at least one mac", dir,
			       s->name);
	return 0;
}

/* ---- what no two hosts have ---- */

struct owned {
	const struct folder_scope *host;
	const struct folder_pair *pair;
};

static int owned_cmp(const void *a, const void *b)
{
	const struct owned *x = a;
	const struct owned *y = b;
	int c = strcmp(x->pair->value, y->pair->value);

	return c ? c : strcmp(x->host->name, y->host->name);
}

/* MACs and addresses do not look alike: one list does for both. */
static int owned_check(const struct folder *f, const char *dir, struct why *why)
{
	cleanup(freep) struct owned *all = NULL;
	unsigned int n = 0;

	for (unsigned int i = 0; i < f->nscopes; i++) {
		const struct folder_scope *s = &f->scopes[i];

		for (unsigned int k = 0; s->kind == SCOPE_HOST && k < s->npairs; k++) {
			if (strcmp(s->pairs[k].key, "mac") != 0 &&
			    strcmp(s->pairs[k].key, "address") != 0)
				continue;
			if (array_grow(&all, n, sizeof(*all)))
				return -ENOMEM;
			all[n++] = (struct owned){s, &s->pairs[k]};
		}
	}
	if (n)
		qsort(all, n, sizeof(*all), owned_cmp);
	for (unsigned int i = 1; i < n; i++) {
		struct why one = {""};

		if (strcmp(all[i].pair->value, all[i - 1].pair->value) != 0)
			continue;
		why_set(&one, -EINVAL, "%s: is %s's already (hosts/%s/host:%u)", all[i].pair->value,
			all[i - 1].host->name, all[i - 1].host->name, all[i - 1].pair->line);
		return folder_line_fail(dir, all[i].host, true, all[i].pair->line, -EINVAL, &one,
					why);
	}
	return 0;
}

static int images_check(const struct folder *f, const char *dir, struct why *why)
{
	for (unsigned int i = 0; i < f->nimages; i++) {
		const struct folder_pair *p = &f->images[i];
		struct why one = {""};
		int r = name_check("image", p->key, false, &one);

		if (!r && (strspn(p->value, "0123456789") != strlen(p->value) ||
			   strlen(p->value) > 9 || p->value[0] == '0'))
			r = why_set(&one, -EINVAL, "%s: not the number of a version", p->value);
		if (!r && i && !strcmp(p->key, f->images[i - 1].key))
			r = why_set(&one, -EINVAL, "%s: there already, in line %u", p->key,
				    f->images[i - 1].line);
		if (r)
			return why_set(why, r, "%s/images:%u: %s", dir, p->line, one.text);
	}
	return 0;
}

int folder_check(const struct folder *f, const char *dir, struct why *why)
{
	int r = images_check(f, dir, why);

	for (unsigned int i = 0; !r && i < f->nscopes; i++)
		r = scope_check(f, dir, &f->scopes[i], why);
	return r ? r : owned_check(f, dir, why);
}
