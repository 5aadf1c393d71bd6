/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dhcp/client.h"

#include <errno.h>
#include <stdlib.h>

enum { CLIENT_SLOTS = 16384, CLIENT_WAYS = 4 };

struct clients {
	struct client slot[CLIENT_SLOTS];
	unsigned int turn;
};

int clients_new(struct clients **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

void clients_free(struct clients *clients)
{
	free(clients);
}

static struct client *client_at(struct clients *cs, uint64_t key)
{
	uint64_t h = key * UINT64_C(0x9e3779b97f4a7c15);
	struct client *set = &cs->slot[(h >> 32) % (CLIENT_SLOTS / CLIENT_WAYS) * CLIENT_WAYS];
	struct client *victim;

	for (unsigned int i = 0; i < CLIENT_WAYS; i++)
		if (set[i].key == key)
			return &set[i];
	victim = &set[cs->turn++ % CLIENT_WAYS];
	*victim = (struct client){.key = key};
	return victim;
}

struct client *clients_of_mac(struct clients *cs, const struct mac *mac)
{
	uint64_t key = 0;

	memcpy(&key, mac, sizeof(*mac));
	return client_at(cs, key | UINT64_C(1) << 48);
}

struct client *clients_of_bytes(struct clients *cs, struct bytes id)
{
	uint64_t key = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < id.len; i++)
		key = (key ^ id.at[i]) * UINT64_C(0x100000001b3);
	return client_at(cs, key | UINT64_C(1) << 63);
}
