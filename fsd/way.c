/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/way.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/inventory.h"
#include "fsd/view.h"

struct way {
	struct inventory *inv;
	struct views *views;
};

int way_open(struct db *db, const char *state_dir, struct way **out, struct why *why)
{
	cleanup(way_closep) struct way *way = calloc(1, sizeof(*way));
	int r = way ? inventory_load(db, &way->inv) : -ENOMEM;

	if (!r)
		r = views_open(state_dir, &way->views, why);
	if (r)
		return r;
	*out = take(&way);
	return 0;
}

void way_close(struct way *way)
{
	if (!way)
		return;
	views_close(way->views);
	inventory_free(way->inv);
	free(way);
}

int way_check(struct way *way, const char *path, struct why *why)
{
	const struct image_version *v;
	char above[4096];
	char *slash;

	snprintf(above, sizeof(above), "%s", path);
	slash = strrchr(above, '/');
	if (!slash)
		return 0;
	slash[1] = '\0'; /* the slash asks for a directory */
	for (unsigned int i = 0; (v = inventory_version_at(way->inv, i)); i++) {
		cleanup(view_unrefp) struct view *view = NULL;
		uint32_t node;
		int r;

		if (!v->active)
			continue;
		r = views_get(way->views, 0, v->id, UINT64_MAX, &view);
		if (!r)
			r = view_resolve(view, VIEW_ROOT, above, true, &node);
		if (r == VIEW_LOOP || r == VIEW_NOTDIR || r == VIEW_NAMETOOLONG)
			return why_set(why, -EINVAL, "/%s: %s in %s@%u", path,
				       r == VIEW_LOOP	  ? "the way there is a loop of links"
				       : r == VIEW_NOTDIR ? "a file is in the way"
							  : "the way there is too long",
				       v->image_name, v->number);
		if (r < 0)
			return r;
	}
	return 0;
}
