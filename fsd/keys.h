/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What templates may say of a host: {{name}} {{mac}} {{address}} {{image}} {{version}},
 * lists of its MACs as networkd and NetworkManager want them, and its settings, its
 * groups' and the site's.
 */
#ifndef FSD_KEYS_H
#define FSD_KEYS_H

#include "common/inventory.h"
#include "fsd/overlay.h"

struct keys {
	const struct inventory *inv;
	const struct host *host;
	char mac[MAC_TEXT];
	char address[IP4_TEXT];
	char version[16];
	const char *image;
	char macs[512];	   /* "aa:.. bb:.." for networkd */
	char nm_macs[512]; /* "mac:aa:..;mac:bb:.." for NetworkManager */
};

/* All is borrowed from the inventory. */
void keys_fill(struct keys *k, const struct inventory *inv, const struct host *host,
	       uint32_t version);

/* A template_lookup over struct keys: NULL for what this host has no value for. */
const char *keys_lookup(void *ctx, const char *key);

/* Has every host of the scope every key of the template?  -EINVAL with words for the
 * first that has not. */
int keys_check(const struct inventory *inv, struct scope scope, struct bytes text, struct why *why);

#endif
