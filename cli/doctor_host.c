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

#include "common/schema.h"
#include "dhcp/link.h"

/* ---- remedies ---- */

/* The network of the interface that has none in the configuration. */
static const char *mend_subnet(const struct host_play *p, char out[200])
{
	const struct config *c = &p->d->config;
	const char *given = cli_option(p->d->cli, 'i');
	struct dhcp_interface face;

	if (!given && c->ninterfaces == 1)
		given = c->interfaces[0];
	if (!given || dhcp_link_query(given, &face, NULL))
		snprintf(out, 200,
			 "write a [subnet NETWORK/PREFIX] for %s into "
			 "/etc/rootstock.conf; rootstock reload",
			 p->name);
	else
		doctor_subnet(&face, out);
	return out;
}

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

	if (strstr(words, "is in no subnet"))
		return mend_subnet(p, out);
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
		p->menuless = true;
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
	p->menuless = r;
	return r;
}

static int play(struct host_play *p, const struct boot_files *files, const char *interface)
{
	int r = doctor_dhcp(p, interface);

	if (!r)
		r = doctor_menu(p);
	if (!r && files)
		r = doctor_boot_files(p, files);
	if (!r)
		r = doctor_loaders(p);
	if (!r && files)
		r = doctor_root(p, files->dialect);
	if (!r && files && !p->walled)
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
	unsigned int errors;
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
		doctor_interfaces(p->d);
		doctor_ports(p->d);
		finding(p->d->f, FINDING_ERROR, "server", "systemctl start rootstock",
			"no server runs on %s: nobody answers %s", p->d->cli->state_dir, p->name);
		return 0;
	}
	if (p->host && !p->host->nmacs) {
		snprintf(mend, sizeof(mend), "rootstock host set %s mac=MAC", p->name);
		finding(p->d->f, FINDING_ERROR, "host", mend, "%s has no MAC address", p->name);
		return 0;
	}
	/* What is played goes round it. */
	errors = findings_errors(p->d->f);
	doctor_firewall(p->d);
	p->walled = findings_errors(p->d->f) > errors;
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
