/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tftp/plan.h"

#include <errno.h>
#include <string.h>

#include "tftp/loader.h"
#include "tftp/menu.h"
#include "tftp/offer.h"

const struct tftp_firmware tftp_firmwares[] = {
	{"BIOS", {"pxelinux.0", "ldlinux.c32", "pxelinux.cfg/01-MAC"}},
	{"UEFI x64", {"bootx64.efi", "grubx64.efi", "grub/grub.cfg"}},
	{"UEFI arm64", {"bootaa64.efi", "grubaa64.efi", "grub/grub.cfg"}},
	{"UEFI ia32", {"bootia32.efi", "ldlinux.e32", "pxelinux.cfg/01-MAC"}},
	{"UEFI, iPXE", {"boot.ipxe"}},
	{"U-Boot", {"boot.scr.uimg", "pxelinux.cfg/01-MAC", "extlinux/extlinux.conf"}},
	{"Raspberry Pi", {"config.txt", "cmdline.txt"}},
	{NULL, {NULL}},
};

static void print_indented(FILE *out, const char *text, size_t len)
{
	while (len) {
		const char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t)(end - text) : len;

		fprintf(out, "        | %.*s\n", (int)n, text);
		n += end != NULL;
		text += n;
		len -= n;
	}
}

void tftp_firmware_file(const char *pattern, const struct mac *mac, char *out, size_t size)
{
	const char *at = strstr(pattern, "MAC");
	const uint8_t *o = mac->octet;

	if (!at)
		snprintf(out, size, "%s", pattern);
	else
		snprintf(out, size, "%.*s%02x-%02x-%02x-%02x-%02x-%02x", (int)(at - pattern),
			 pattern, o[0], o[1], o[2], o[3], o[4], o[5]);
}

static int print_menu(const struct offer *offer, enum tftp_kind kind, const char *name, FILE *out)
{
	cleanup(freep) char *text = NULL;
	size_t len;
	int r = offer_render(offer, kind, &text, &len);

	if (r)
		return r;
	fprintf(out, "    %s: rendered, %zu bytes\n", name, len);
	if (kind == TFTP_KIND_UBOOT)
		print_indented(out, text + MENU_UBOOT_TEXT, len - MENU_UBOOT_TEXT);
	else
		print_indented(out, text, len);
	return 0;
}

static int print_file(const struct loaders *loaders, const struct offer *offer, const char *name,
		      FILE *out)
{
	struct tftp_file *file;
	struct loader loader;
	const char *package;
	struct mac mac;
	bool has_mac;
	enum tftp_kind kind = tftp_name_kind(name, &mac, &has_mac);

	if (kind != TFTP_KIND_FILE)
		return print_menu(offer, kind, name, out);
	if (loader_open(loaders, name, &loader, &file)) {
		package = loader_package(name);
		fprintf(out, "    %s: not here%s%s\n", name,
			package ? ": install the package " : "", package ? package : "");
		return 0;
	}
	fprintf(out, "    %s: %s, %llu bytes\n", name, loader.path, (unsigned long long)file->size);
	tftp_file_close(file);
	return 0;
}

static void print_node(const struct view *view, const char *what, uint32_t node, const char *path,
		       FILE *out)
{
	struct view_attr attr;

	if (!node)
		fprintf(out, "%s: none\n", what);
	else if (view_attr(view, node, &attr))
		fprintf(out, "%s: %s\n", what, path);
	else
		fprintf(out, "%s: %s, %llu bytes\n", what, path, (unsigned long long)attr.size);
}

/* The setting, and what comes of it. */
static void print_maintenance(const struct tftp_plan *plan, const struct offer_ask *like,
			      struct offer *own, struct offer *offer, FILE *out)
{
	const char *name = inventory_setting(plan->inventory, plan->host, "maintenance");
	const struct image_version *v = inventory_maintenance(plan->inventory, plan->host);
	struct offer_ask ask = *like;
	struct why why = {0};

	if (!name)
		return;
	ask.maintenance = true;
	ask.view = plan->maintenance;
	ask.version = v ? v->id : 0;
	if (!v || !plan->maintenance)
		fprintf(out, "maintenance: %s: no such image\n", name);
	else if (offer_make(&ask, offer, &why))
		fprintf(out, "maintenance: %s cannot boot: %s\n", name, why.text);
	else if (!own->ask)
		fprintf(out, "maintenance: %s, but nobody is asked (menu=yes)\n", offer->image);
	else
		own->maintenance = offer;
}

int tftp_plan(const struct tftp_plan *plan, FILE *out, struct why *why)
{
	cleanup(loaders_freep) struct loaders *loaders = NULL;
	cleanup(freep) struct offer *offer = malloc(sizeof(*offer));
	cleanup(freep) struct offer *maintenance = malloc(sizeof(*maintenance));
	const struct host *host = plan->host;
	const struct mac nobody = {{0}};
	struct offer_ask ask;
	int r;

	if (!offer || !maintenance)
		return -ENOMEM;
	r = loaders_new(plan->folders, &loaders, why);
	if (r)
		return r;
	ask = (struct offer_ask){
		.inventory = plan->inventory,
		.host = host,
		.view = plan->view,
		.version = plan->version,
		.server = plan->server,
		.mac = host->nmacs ? &host->macs[0] : NULL,
		.memtest = loader_there(loaders, "memtest.bin"),
	};
	r = offer_make(&ask, offer, why);
	if (r)
		return r > 0 ? -ENOENT : r;
	fprintf(out, "%s boots %s\n", host->name, offer->image);
	print_node(plan->view, "kernel", offer->files.kernel, offer->files.kernel_path, out);
	print_node(plan->view, "initrd", offer->files.initrd, offer->files.initrd_path, out);
	if (offer->addition)
		fprintf(out, "    and behind it a hook that makes the root writable in memory\n");
	fprintf(out, "NFS root by: %s\ncommand line: %s\n",
		offer->files.dialect == BOOT_KERNEL ? "the kernel itself"
						    : boot_dialect_word(offer->files.dialect),
		offer->cmdline_boot_if);
	print_maintenance(plan, &ask, offer, maintenance, out);
	for (const struct tftp_firmware *fw = tftp_firmwares; fw->name; fw++) {
		fprintf(out, "\n%s\n", fw->name);
		for (size_t j = 0; j < ARRAY_SIZE(fw->files) && fw->files[j]; j++) {
			char name[TFTP_NAME_MAX];

			tftp_firmware_file(fw->files[j], host->nmacs ? &host->macs[0] : &nobody,
					   name, sizeof(name));
			r = print_file(loaders, offer, name, out);
			if (r)
				return r;
		}
		fprintf(out, "    kernel%s\n", offer->files.initrd ? ", initrd" : "");
	}
	return ferror(out) ? -EIO : 0;
}
