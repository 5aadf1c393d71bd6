/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsd/template.h"

void keys_fill(struct keys *k, const struct inventory *inv, const struct host *host,
	       uint32_t version)
{
	const struct image_version *v = inventory_version(inv, version);
	size_t a = 0;
	size_t b = 0;

	*k = (struct keys){.inv = inv, .host = host, .image = v ? v->image_name : ""};
	snprintf(k->version, sizeof(k->version), "%u", v ? v->number : 0);
	if (host->address)
		ip4_format(host->address, k->address);
	for (unsigned int i = 0; i < host->nmacs && i < 16; i++) {
		char text[MAC_TEXT];

		mac_format(&host->macs[i], text);
		if (!i)
			memcpy(k->mac, text, sizeof(text));
		a += (size_t)snprintf(k->macs + a, sizeof(k->macs) - a, "%s%s", i ? " " : "", text);
		b += (size_t)snprintf(k->nm_macs + b, sizeof(k->nm_macs) - b, "%smac:%s",
				      i ? ";" : "", text);
	}
}

const char *keys_lookup(void *ctx, const char *key)
{
	const struct keys *k = ctx;

	if (!strcmp(key, "name"))
		return k->host->name;
	if (!strcmp(key, "mac"))
		return k->mac;
	if (!strcmp(key, "address"))
		return k->address[0] ? k->address : NULL;
	if (!strcmp(key, "image"))
		return k->image;
	if (!strcmp(key, "version"))
		return k->version;
	if (!strcmp(key, "macs"))
		return k->macs;
	if (!strcmp(key, "nm_macs"))
		return k->nm_macs;
	return inventory_setting(k->inv, k->host, key);
}

static bool host_in_scope(const struct host *h, struct scope scope)
{
	if (scope.kind == SCOPE_ALL)
		return true;
	if (scope.kind == SCOPE_HOST)
		return h->id == scope.owner;
	for (unsigned int i = 0; i < h->ngroups; i++)
		if (h->groups[i] == scope.owner)
			return true;
	return false;
}

int keys_check(const struct inventory *inv, struct scope scope, struct bytes text, struct why *why)
{
	struct keys keys;
	struct why one = {""};
	char *rendered;
	size_t len;
	int r = 0;

	for (unsigned int i = 0; !r && i < inventory_count(inv); i++) {
		const struct host *host = inventory_at(inv, i);

		if (!host_in_scope(host, scope))
			continue;
		keys_fill(&keys, inv, host, host->version);
		r = template_render(text, keys_lookup, &keys, &rendered, &len, &one);
		if (r)
			return why_set(
				why, r, "for host %s: %s%s", host->name, why_text(&one, r),
				template_uses(text, "address") && !host->address
					? " (it needs a fixed address: host set HOST address=IP)"
					: "");
		free(rendered);
	}
	return r;
}
