/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tftp/offer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/setting.h"
#include "tftp/addition.h"
#include "tftp/menu.h"

/* `key` of the site, of each group and of the host, joined: arguments add up, where
 * other settings replace.  A host without own settings but with one group asks for
 * that group's. */
static int settings_join(const struct inventory *inv, const struct host *host, const char *key,
			 char *out, size_t size)
{
	const char *site = inventory_setting(inv, NULL, key);
	size_t used = (size_t)snprintf(out, size, "%s", site ? site : "");

	for (unsigned int i = 0; i <= host->ngroups && used < size; i++) {
		struct host one = {.id = 0};
		const char *value;

		if (i < host->ngroups) {
			one.groups = &host->groups[i];
			one.ngroups = 1;
		} else {
			one.id = host->id;
		}
		value = inventory_setting(inv, &one, key);
		if (value && value != site)
			used += (size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "",
						 value);
	}
	return used < size ? 0 : -E2BIG;
}

static const char *setting(const struct offer_ask *ask, const char *key, const char *otherwise)
{
	const char *value = inventory_setting(ask->inventory, ask->host, key);

	return value && *value ? value : otherwise;
}

/* Where an overlay hid /linuxrc, or the image has no shell for it, init comes first. */
static const char *first_program(const struct offer_ask *ask)
{
	static const char *const needs[] = {"linuxrc", "bin/sh"};
	uint32_t node;

	for (size_t i = 0; i < ARRAY_SIZE(needs); i++)
		if (view_resolve(ask->view, VIEW_ROOT, needs[i], true, &node))
			return "/sbin/init";
	return "/linuxrc";
}

static int make_cmdline(const struct offer_ask *ask, struct offer *o, struct why *why)
{
	char extra[CMDLINE_MAX];
	struct boot_spec spec = {
		.dialect = o->files.dialect,
		.server = ask->server,
		.path = ask->maintenance ? "/" OFFER_MAINTENANCE : "/",
		.mode = ask->mode ? root_mode_word(ask->mode) : setting(ask, "mode", "tmpfs"),
		.init = setting(ask, "init", first_program(ask)),
		.console = o->console,
		.attr_secs = setting(ask, "attr_secs", NULL),
		.extra = extra,
	};
	int r;

	r = setting_check_value("mode", spec.mode, why);
	if (!r)
		r = setting_check_value("init", spec.init, why);
	if (r)
		return r;
	o->addition = !strcmp(spec.mode, "overlay") && strcmp(spec.init, "/linuxrc") &&
		      o->files.initrd && addition_knows(o->files.dialect);
	r = settings_join(ask->inventory, ask->host, "cmdline", extra, sizeof(extra));
	if (r)
		return why_set(why, r, "cmdline: over %d bytes in all", CMDLINE_MAX - 1);
	r = boot_cmdline(&spec, o->cmdline, why);
	spec.boot_if = ask->mac;
	return r ? r : boot_cmdline(&spec, o->cmdline_boot_if, why);
}

int offer_make(const struct offer_ask *ask, struct offer *out, struct why *why)
{
	const struct image_version *v = inventory_version(ask->inventory, ask->version);
	struct boot_wish wish = {0};
	const char *menu = setting(ask, "menu", "no");
	int r;

	*out = (struct offer){.host = ask->host};
	if (v)
		snprintf(out->image, sizeof(out->image), "%s@%u", v->image_name, v->number);
	if (!ask->maintenance)
		wish = (struct boot_wish){
			.kernel = setting(ask, "kernel", NULL),
			.initrd = setting(ask, "initrd", NULL),
			.dialect = setting(ask, "dialect", NULL),
		};
	out->console = setting(ask, "console", NULL);
	out->ask = !strcmp(menu, "yes");
	out->memtest = ask->memtest;
	r = setting_number("menu_secs", setting(ask, "menu_secs", "10"), &out->wait_secs, why);
	if (!r)
		r = boot_files_find(ask->view, &wish, &out->files, why);
	return r ? r : make_cmdline(ask, out, why);
}

static struct menu_entry entry_of(const struct offer *o, bool boot_if, const char *kernel,
				  const char *initrd)
{
	return (struct menu_entry){
		.image = o->image,
		.kernel = kernel,
		.initrd = o->files.initrd ? initrd : NULL,
		.cmdline = boot_if ? o->cmdline_boot_if : o->cmdline,
	};
}

int offer_render(const struct offer *o, enum tftp_kind kind, char **text, size_t *len)
{
	/* pxelinux and iPXE tell the card by themselves. */
	bool boot_if = kind != TFTP_KIND_PXELINUX && kind != TFTP_KIND_IPXE;
	struct menu_entry maintenance;
	struct menu m = {
		.host = o->host->name,
		.own = entry_of(o, boot_if, "kernel", "initrd"),
		.console = o->console,
		.fdtdir = *o->files.fdtdir ? o->files.fdtdir : NULL,
		.rpi_config = o->files.rpi_config ? OFFER_RPI_CONFIG : NULL,
		/* The initrd that a Pi finds by itself would come without the addition. */
		.rpi_kernel = o->files.rpi_kernel && !o->addition,
		.memtest = o->memtest,
		.ask = o->ask,
		.wait_secs = o->wait_secs,
	};
	cleanup(freep) char *buf = malloc(MENU_MAX);
	size_t n;

	if (!buf)
		return -ENOMEM;
	if (o->maintenance) {
		maintenance = entry_of(o->maintenance, boot_if, OFFER_MAINTENANCE "/kernel",
				       OFFER_MAINTENANCE "/initrd");
		m.maintenance = &maintenance;
	}
	switch (kind) {
	case TFTP_KIND_PXELINUX:
		n = menu_pxelinux(&m, buf, MENU_MAX);
		break;
	case TFTP_KIND_IPXE:
		n = menu_ipxe(&m, buf, MENU_MAX);
		break;
	case TFTP_KIND_EXTLINUX:
		n = menu_extlinux(&m, buf, MENU_MAX);
		break;
	case TFTP_KIND_UBOOT:
		n = menu_uboot(&m, buf, MENU_MAX);
		break;
	case TFTP_KIND_GRUB:
		n = menu_grub(&m, buf, MENU_MAX);
		break;
	case TFTP_KIND_RPI_CONFIG:
		n = menu_rpi_config(&m, buf, MENU_MAX);
		break;
	case TFTP_KIND_RPI_CMDLINE:
		n = menu_rpi_cmdline(&m, buf, MENU_MAX);
		break;
	default:
		return -ENOENT;
	}
	if (!n)
		return -E2BIG;
	*text = take(&buf);
	*len = n;
	return 0;
}
