/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/doors/door.h"

#include <stdlib.h>
#include <string.h>

void door_names_fini(struct door_names *names)
{
	free(names->list);
	*names = (struct door_names){0};
}

struct door_name *door_names_add(struct door_names *names)
{
	struct door_name *bigger = realloc(names->list, (names->n + 1) * sizeof(*bigger));

	if (!bigger)
		abort();
	names->list = bigger;
	bigger[names->n] = (struct door_name){0};
	return &bigger[names->n++];
}

const struct door_name *door_names_find(const struct door_names *names, const char *name,
					size_t len)
{
	for (size_t i = 0; i < names->n; i++)
		if (names->list[i].len == len && !memcmp(names->list[i].name, name, len))
			return &names->list[i];
	return NULL;
}

int door_list(struct door *door, const struct door_node *dir, uint64_t cookie, size_t room,
	      bool plus, struct door_names *names)
{
	size_t before;
	int r;

	do {
		before = names->n;
		r = door->list(door, dir, cookie, room, plus, names);
		if (names->n > before)
			cookie = names->list[names->n - 1].cookie;
	} while (!r && names->n > before);
	return r;
}
