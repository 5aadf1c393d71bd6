/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hosts out of the files of ISC dhcpd and dnsmasq. */
#include "cli/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "dhcp/import.h"
#include "fsd/host.h"

struct import {
	struct dhcp_import_host *list;
	size_t n;
	size_t room;
};

/* A MAC that comes again replaces what came before: the last line is right. */
static int import_collect(void *ctx, const struct dhcp_import_host *host)
{
	struct import *im = ctx;

	for (size_t i = 0; i < im->n; i++)
		if (mac_equal(&im->list[i].mac, &host->mac)) {
			im->list[i] = *host;
			return 0;
		}
	if (im->n == im->room) {
		size_t room = im->room ? im->room * 2 : 64;
		struct dhcp_import_host *bigger = realloc(im->list, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		im->list = bigger;
		im->room = room;
	}
	im->list[im->n++] = *host;
	return 0;
}

/* How many came in, and what became of the others. */
struct tally {
	unsigned int added;
	unsigned int known;
	unsigned int keyless;
};

/* A machine, a name or an address that is here already stays as it is. */
static int import_one(struct cli *cli, const struct dhcp_import_host *h, struct tally *tally)
{
	const struct host_spec spec = {.mac = h->mac,
				       .name = h->name[0] ? h->name : NULL,
				       .address = h->leased ? 0 : h->address};
	struct why why = {""};
	bool has_keys;
	uint32_t id;
	int r = host_add(cli->db, cli->state_dir, &spec, &id, &has_keys, &why);

	if (r == -EEXIST) {
		fprintf(stderr, "rootstock: host import: %s:%u: left out: %s\n", cli->args[0],
			h->line, why_text(&why, r));
		tally->known++;
		return 0;
	}
	if (r)
		return why_set(&cli->why, r, "%s", why_text(&why, r));
	tally->added++;
	tally->keyless += !has_keys;
	return 0;
}

static int host_import_run(struct cli *cli)
{
	const char *name = cli->args[0];
	cleanup(fclosep) FILE *file = fopen(name, "re");
	struct tally tally = {0};
	struct import im = {0};
	int r;

	r = file ? dhcp_import(file, name, import_collect, &im, &cli->why)
		 : why_set(&cli->why, -errno, "%s: %m", name);
	for (size_t i = 0; !r && i < im.n; i++)
		r = import_one(cli, &im.list[i], &tally);
	free(im.list);
	if (tally.keyless)
		fprintf(stderr,
			"rootstock: host import: no ssh-keygen here: %u hosts have no SSH "
			"host key\n",
			tally.keyless);
	if (!r)
		printf("%u added, %u left out\n", tally.added, tally.known);
	return r;
}

const struct command command_host_import = {
	.words = "host import",
	.usage = "FILE",
	.run = host_import_run,
	.db = CLI_WRITE,
	.min = 1,
	.max = 1,
};
