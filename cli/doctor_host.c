/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One host's boot, played stage by stage against the running server by its control
 * sockets: what a real one would be given, and the first thing at which it would stop.
 *
 *	DHCP --address, file--> TFTP --menu, kernel, initrd--> port mapper, MOUNT --root--> init
 *
 * No stage is played that a real machine would not come to.
 */
#include "cli/doctor_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/control.h"
#include "common/schema.h"
#include "dhcp/link.h"
#include "tftp/name.h"
#include "tftp/plan.h"
#include "tftp/play.h"

enum { FETCH_MS = 90000 };

/* ---- remedies ---- */

const char *doctor_mend(const struct host_play *p, const char *words, char out[200])
{
	static const struct {
		const char *words;
		const char *mend;
	} known[] = {
		{"waits for approval", "rootstock host approve %s"},
		{"not registered", "rootstock host add %s"},
		{"reserved address is of another network",
		 "rootstock host set %s address=ADDRESS-OF-THAT-NETWORK"},
		{"reserved address is in use",
		 "rootstock lease list  # who has the address of %s?"},
		{"is in no subnet",
		 "write a [subnet NETWORK/PREFIX] with a range for %s into /etc/rootstock.conf"},
		{"no address is left", "give a larger range in /etc/rootstock.conf"},
		{"no kernel in its view",
		 "install a kernel into the image (apt-get install linux-image-amd64), then "
		 "rootstock image add NAME DIR --activate"},
		{"kernel=", "rootstock host set %s kernel="},
		{"initrd=", "rootstock host set %s initrd="},
		{"has no image", "rootstock image add NAME DIR; rootstock host set %s image=NAME"},
		{"there is no image", "rootstock image add NAME DIR"},
		{"reserved one", "set reserved-port = no, or mount from a port below 1024"},
		{"version 1 (NFS version 2)", "add vers=3 to the options of nfsroot="},
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strstr(words, known[i].words)) {
			const char *at = strstr(known[i].mend, "%s");
			int before = at ? (int)(at - known[i].mend) : (int)strlen(known[i].mend);

			snprintf(out, 200, "%.*s%s%s", before, known[i].mend, at ? p->name : "",
				 at ? at + 2 : "");
			return out;
		}
	return NULL;
}

/* ---- DHCP ---- */

static const struct dhcp_part parts[] = {
	{.name = "BIOS ROM", .arch = 0, .vendor = "PXEClient:Arch:00000:UNDI:002001"},
	{.name = "UEFI x64 ROM", .arch = 7, .vendor = "PXEClient:Arch:00007:UNDI:003001"},
	{.name = "UEFI arm64 ROM", .arch = 11, .vendor = "PXEClient:Arch:00011:UNDI:003001"},
	{.name = "iPXE", .arch = 0, .vendor = "PXEClient:Arch:00000:UNDI:002001", .ipxe = true},
	{.name = "kernel", .arch = -1, .kernel = true},
	{.name = "initrd", .arch = -1, .vendor = "Linux ipconfig"},
};

static void tell_part(struct host_play *p, const struct dhcp_part *part, int r)
{
	struct findings *f = p->d->f;
	char address[IP4_TEXT];
	char server[IP4_TEXT];
	char mend[200];

	if (r) {
		finding(f, FINDING_ERROR, "dhcp",
			*part->refused ? doctor_mend(p, part->refused, mend) : NULL,
			"%s: no answer: %s", part->name,
			*part->refused ? part->refused
				       : "the server is silent (unknown = ignore, or a packet "
					 "that is not for it)");
		return;
	}
	finding(f, FINDING_OK, "dhcp", NULL, "%s: %s from %s%s%s", part->name,
		part->address ? ip4_format(part->address, address) : "a boot file",
		ip4_format(part->server, server), *part->file ? ", file " : "", part->file);
	if (*part->refused)
		finding(f, FINDING_ERROR, "dhcp", doctor_mend(p, part->refused, mend), "%s: %s",
			part->name, part->refused);
}

/* Returns 0, 1: it would stop here, or a negative errno. */
static int play_dhcp(struct host_play *p, const char *interface)
{
	cleanup(closep) int fd = -1;
	unsigned int given = 0;
	int r = dhcp_parts_open(p->d, &fd);

	for (size_t i = 0; i < ARRAY_SIZE(parts) && r >= 0; i++) {
		struct dhcp_part part = parts[i];

		r = dhcp_part_play(p->d, fd, interface, &p->mac, &part);
		if (r < 0)
			break;
		tell_part(p, &part, r);
		if (r)
			continue;
		given++;
		p->server = part.server;
		if (part.address)
			p->address = part.address;
	}
	if (r < 0)
		return r;
	/* Beside another server the address is that one's affair. */
	if (given && !p->address)
		p->address = p->host && p->host->address ? p->host->address : p->server + 1;
	return given ? 0 : 1;
}

/* ---- TFTP ---- */

struct fetched {
	struct tftp_played played;
	char *head; /* the caller's; ended */
	size_t head_len;
};

static void fetched_fini(struct fetched *f)
{
	free(f->head);
}

static int fetch(struct host_play *p, const char *name, struct fetched *out)
{
	char request[CONTROL_REQUEST_MAX];
	char from[IP4_TEXT];
	char to[IP4_TEXT];
	char mac[MAC_TEXT];
	char *answer;
	size_t len;
	int r;

	*out = (struct fetched){.head = NULL};
	snprintf(request, sizeof(request), "fetch %s %s %s %s", ip4_format(p->address, from),
		 mac_format(&p->mac, mac), ip4_format(p->server, to), name);
	r = control_ask(p->d->cli->state_dir, "tftp", request, FETCH_MS, &answer, &len,
			&p->d->cli->why);
	if (r)
		return r;
	if (len < sizeof(out->played)) {
		free(answer);
		return -EBADMSG;
	}
	memcpy(&out->played, answer, sizeof(out->played));
	out->played.why[sizeof(out->played.why) - 1] = '\0';
	out->head_len = len - sizeof(out->played);
	memmove(answer, answer + sizeof(out->played), out->head_len + 1);
	out->head = answer;
	return 0;
}

/* The files that a firmware asks for one after another.  Returns 0, 1: it stops at one, or
 * a negative errno. */
static int play_firmware(struct host_play *p, const struct tftp_firmware *fw)
{
	for (size_t i = 0; i < ARRAY_SIZE(fw->files) && fw->files[i]; i++) {
		cleanup(fetched_fini) struct fetched got;
		char name[TFTP_NAME_MAX];
		char mend[200];
		int r;

		tftp_firmware_file(fw->files[i], &p->mac, name, sizeof(name));
		r = fetch(p, name, &got);
		if (r)
			return r;
		if (got.played.code < 0)
			continue;
		snprintf(mend, sizeof(mend), "apt-get install %.80s",
			 strstr(got.played.why, "package ")
				 ? strstr(got.played.why, "package ") + strlen("package ")
				 : "");
		if (strstr(mend, " has it"))
			*strstr(mend, " has it") = '\0';
		finding(p->d->f, FINDING_WARN, "tftp",
			strstr(got.played.why, "package ") ? mend
							   : doctor_mend(p, got.played.why, mend),
			"%s stops at %s: %s", fw->name, name, got.played.why);
		return 1;
	}
	finding(p->d->f, FINDING_OK, "tftp", NULL, "%s: has its loader and its menu", fw->name);
	return 0;
}

/* The menu has the kernel's command line; without one, no firmware comes further. */
static int play_menu(struct host_play *p)
{
	cleanup(fetched_fini) struct fetched got;
	char name[TFTP_NAME_MAX];
	char mend[200];
	const char *at;
	int r;

	tftp_firmware_file("pxelinux.cfg/01-MAC", &p->mac, name, sizeof(name));
	r = fetch(p, name, &got);
	if (r)
		return r;
	if (got.played.code == TFTP_PLAYED_LATER) {
		finding(p->d->f, FINDING_WARN, "tftp", doctor_mend(p, "not registered", mend),
			"%s would be registered when it asks for its loader: what it boots then "
			"cannot be told yet",
			p->name);
		return 1;
	}
	if (got.played.code >= 0) {
		finding(p->d->f, FINDING_ERROR, "menu", doctor_mend(p, got.played.why, mend),
			"there is no menu for it: %s", got.played.why);
		return 1;
	}
	at = strstr(got.head, "APPEND ");
	if (!at)
		return -EBADMSG;
	at += strlen("APPEND ");
	snprintf(p->cmdline, sizeof(p->cmdline), "%.*s", (int)strcspn(at, "\n"), at);
	finding(p->d->f, FINDING_OK, "menu", NULL, "its kernel is told: %s", p->cmdline);
	return 0;
}

static const char *kernel_kind(const uint8_t *b, size_t len)
{
	if (len > 0x206 && !memcmp(b + 0x202, "HdrS", 4))
		return "a kernel for x86";
	if (len > 0x40 && !memcmp(b + 56, "ARM\x64", 4))
		return "a kernel for arm64";
	if (len > 0x28 && !memcmp(b + 0x24, "\x18\x28\x6f\x01", 4))
		return "a kernel for arm";
	if (len > 0x34 && !memcmp(b + 0x30, "RSC\x05", 4))
		return "a kernel for riscv";
	if (len > 2 && !memcmp(b, "MZ", 2))
		return "an EFI program";
	if (len > 2 && !memcmp(b, "\x1f\x8b", 2))
		return "a compressed kernel";
	return NULL;
}

static int play_kernel(struct host_play *p, const struct boot_files *files)
{
	cleanup(fetched_fini) struct fetched kernel;
	cleanup(fetched_fini) struct fetched initrd = {.head = NULL};
	const char *kind;
	char mend[200];
	int r = fetch(p, "kernel", &kernel);

	if (r)
		return r;
	if (kernel.played.code >= 0) {
		finding(p->d->f, FINDING_ERROR, "kernel", doctor_mend(p, kernel.played.why, mend),
			"it gets no kernel: %s", kernel.played.why);
		return 1;
	}
	kind = kernel_kind((const uint8_t *)kernel.head, kernel.head_len);
	if (!kind) {
		finding(p->d->f, FINDING_ERROR, "kernel",
			"install the kernel's package into the image again", "%s is no kernel",
			files->kernel_path);
		return 1;
	}
	finding(p->d->f, FINDING_OK, "kernel", NULL, "%s, %llu bytes: %s", files->kernel_path,
		(unsigned long long)kernel.played.size, kind);
	if (!files->initrd)
		return 0;
	r = fetch(p, "initrd", &initrd);
	if (r)
		return r;
	if (initrd.played.code >= 0) {
		finding(p->d->f, FINDING_ERROR, "initrd", doctor_mend(p, initrd.played.why, mend),
			"it gets no initrd: %s", initrd.played.why);
		return 1;
	}
	finding(p->d->f, FINDING_OK, "initrd", NULL, "%s, %llu bytes", files->initrd_path,
		(unsigned long long)initrd.played.size);
	return 0;
}

static int play_tftp(struct host_play *p)
{
	unsigned int good = 0;
	int r = play_menu(p);

	if (r)
		return r;
	for (const struct tftp_firmware *fw = tftp_firmwares; fw->name && r >= 0; fw++) {
		r = play_firmware(p, fw);
		good += r == 0;
	}
	if (r < 0)
		return r;
	if (!good)
		finding(p->d->f, FINDING_ERROR, "tftp", "apt-get install pxelinux syslinux-common",
			"no firmware gets a loader");
	return good ? 0 : 1;
}

/* ---- all of it ---- */

static int find_host(struct host_play *p, const struct inventory *inv, const char *name)
{
	struct mac mac;

	p->host = inventory_by_name(inv, name);
	if (!p->host && !mac_parse(name, &mac)) {
		p->host = inventory_by_mac(inv, &mac);
		p->mac = mac;
		mac_format(&mac, p->name);
		if (!p->host)
			return 0;
	} else if (p->host && p->host->nmacs) {
		p->mac = p->host->macs[0];
	}
	if (!p->host)
		return why_set(&p->d->cli->why, -ENOENT, "%s: no such host", name);
	snprintf(p->name, sizeof(p->name), "%s", p->host->name);
	return 0;
}

/* What the host would boot, and whether that can be had at all. */
static int look_at_view(struct host_play *p, const struct inventory *inv, struct cli_view *v,
			struct boot_files *files)
{
	struct boot_wish wish = {
		.kernel = inventory_setting(inv, p->host, "kernel"),
		.initrd = inventory_setting(inv, p->host, "initrd"),
		.dialect = inventory_setting(inv, p->host, "dialect"),
	};
	const struct image_version *version = inventory_version(inv, p->host->version);
	struct why why = {""};
	char mend[200];
	int r;

	if (!version) {
		finding(p->d->f, FINDING_ERROR, "image", doctor_mend(p, "has no image", mend),
			"%s has no image", p->name);
		return 1;
	}
	snprintf(p->image, sizeof(p->image), "%s@%u", version->image_name, version->number);
	finding(p->d->f, FINDING_OK, "image", NULL, "%s boots %s", p->name, p->image);
	r = cli_view_open(p->d->cli, p->name, v);
	if (r)
		return r;
	r = boot_files_find(v->view, &wish, files, &why);
	if (r < 0)
		return r;
	if (r)
		finding(p->d->f, FINDING_ERROR, "kernel", doctor_mend(p, why.text, mend), "%s",
			why.text);
	return r;
}

static int play(struct host_play *p, const struct boot_files *files, const char *interface)
{
	int r = play_dhcp(p, interface);

	if (!r)
		r = play_tftp(p);
	if (!r && files)
		r = play_kernel(p, files);
	if (!r && files)
		r = doctor_root(p, files->dialect);
	if (!r && files)
		finding(p->d->f, FINDING_OK, "boot", NULL, "%s would come to its init, of %s",
			p->name, p->image);
	return r;
}

/* Where the server has several: the one on whose network its address is reserved. */
static const char *interface_for(const struct host_play *p)
{
	const struct config *c = &p->d->config;
	const char *given = cli_option(p->d->cli, 'i');

	for (unsigned int i = 0; i < c->ninterfaces && !given && p->host && p->host->address; i++) {
		struct dhcp_interface face;

		if (!dhcp_link_query(c->interfaces[i], &face, NULL) &&
		    !((face.address ^ p->host->address) & face.netmask))
			return c->interfaces[i];
	}
	return given ? given : "";
}

static int host_run(struct host_play *p, const struct inventory *inv)
{
	cleanup(cli_view_close) struct cli_view v = {0};
	struct boot_files files;
	int found = 1;
	char mend[200];
	int r = 0;

	if (p->host && p->host->pending)
		finding(p->d->f, FINDING_ERROR, "host", doctor_mend(p, "waits for approval", mend),
			"%s waits for approval", p->name);
	if (!p->host)
		finding(p->d->f, FINDING_WARN, "host", doctor_mend(p, "not registered", mend),
			"%s is not registered", p->name);
	else
		found = look_at_view(p, inv, &v, &files);
	if (found < 0)
		return found;
	if (!found)
		doctor_kernel(p->d, &v, &files);
	if (!p->d->runs) {
		finding(p->d->f, FINDING_ERROR, "server", "systemctl start rootstock",
			"no server runs on %s: nobody answers %s", p->d->cli->state_dir, p->name);
		doctor_interfaces(p->d);
		doctor_ports(p->d);
		return 0;
	}
	if (p->host && !p->host->nmacs) {
		finding(p->d->f, FINDING_ERROR, "host", NULL, "%s has no MAC address", p->name);
		return 0;
	}
	r = play(p, found ? NULL : &files, interface_for(p));
	return r < 0 ? r : 0;
}

int doctor_host(struct doctor *d, const char *name)
{
	cleanup(inventory_freep) struct inventory *inv = NULL;
	struct host_play p = {.d = d};
	struct cli *cli = d->cli;
	int r = db_open(cli->state_dir, &schema_rootstock, DB_READ, &cli->db, &cli->why);

	if (!r)
		r = inventory_load(cli->db, &inv);
	if (!r)
		r = find_host(&p, inv, name);
	if (!r)
		r = host_run(&p, inv);
	return r;
}
