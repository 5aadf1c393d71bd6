/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/boot_look.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/doctor.h"
#include "cli/initrd.h"

/* Kernel and initrd were sent, and nothing came after: is it the initrd?  That of the boot,
 * as long as its host would boot the same version again. */
static void look_at_initrd(struct cli *cli, const struct inventory *inv, const struct host *host,
			   struct verdict *v, struct boot_look *room)
{
	cleanup(cli_view_close) struct cli_view view = {0};
	struct boot_wish wish = {
		.kernel = inventory_setting(inv, host, "kernel"),
		.initrd = inventory_setting(inv, host, "initrd"),
		.dialect = inventory_setting(inv, host, "dialect"),
	};
	struct boot_files files;
	struct initrd initrd;
	const char *lacks;
	int r;

	if (cli_view_open(cli, host->name, &view) ||
	    boot_files_find(view.view, &wish, &files, &cli->why) || !files.initrd)
		return;
	r = initrd_look(&view, &files, &initrd);
	if (r && r != -EBADMSG)
		return;
	lacks = r ? "is no initrd, or a damaged one" : initrd_lacks(&initrd, files.dialect);
	if (lacks)
		v->mend = initrd_rebuild(files.dialect);
	else
		lacks = "has a network driver and what mounts a root, and nothing asked for an "
			"address: the kernel does not start, or the card is of another driver";
	snprintf(room->reason, sizeof(room->reason), "its initrd %s %s", files.initrd_path, lacks);
	v->reason = room->reason;
}

/* It has an address, and asked nothing of NFS: does somebody else answer it? */
static void look_at_port(struct cli *cli, struct verdict *v, struct boot_look *room)
{
	char what[600];

	if (!doctor_port_taken(cli, what, sizeof(what), room->mend, sizeof(room->mend)))
		return;
	snprintf(room->reason, sizeof(room->reason), "%s: %s", v->reason, what);
	v->reason = room->reason;
	v->mend = room->mend;
}

/* The remedy's HOST and MAC are this machine's. */
static void name_machine(const struct host *host, const struct story *s, struct verdict *v,
			 struct boot_look *room)
{
	char mac[MAC_TEXT];
	const char *from = v->mend;
	size_t len = 0;
	char text[sizeof(room->mend)];

	mac_format(&s->mac, mac);
	while (*from && len < sizeof(text) - 1) {
		size_t word = strspn(from, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-");
		const char *name = word == 4 && !memcmp(from, "HOST", 4)  ? host ? host->name : mac
				   : word == 3 && !memcmp(from, "MAC", 3) ? mac
									  : NULL;
		size_t n = word ? word : 1;

		len += (size_t)snprintf(text + len, sizeof(text) - len, "%.*s",
					name ? (int)strlen(name) : (int)n, name ? name : from);
		from += n;
	}
	snprintf(room->mend, sizeof(room->mend), "%s", text);
	v->mend = room->mend;
}

void boot_look(struct cli *cli, const struct inventory *inv, const struct host *host,
	       const struct story *s, struct verdict *v, struct boot_look *room)
{
	bool silent = v->state == VERDICT_FAILED && !v->said;

	if (silent && v->stopped == STEP_INITRD_DHCP && host && host->version == s->version)
		look_at_initrd(cli, inv, host, v, room);
	else if (silent && v->stopped == STEP_MOUNT && !s->next &&
		 (v->reached == STEP_INITRD_DHCP || v->reached == STEP_KERNEL_DHCP))
		look_at_port(cli, v, room);
	if (v->mend)
		name_machine(host, s, v, room);
}
