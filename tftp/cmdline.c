/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tftp/cmdline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/setting.h"
#include "tftp/text.h"

enum { NFSROOT_MAX = 255 }; /* the kernel's buffer holds 256 with the end */

/* klibc's nfsmount knows acregmin and its kin, but neither actimeo nor proto nor
 * mountproto; the kernel and mount.nfs know these too: one set serves all. */
static int nfs_options(const struct boot_spec *spec, char *out, size_t size, struct why *why)
{
	struct text t = text_of(out, size);
	unsigned int secs;

	text_put(&t, "vers=3,tcp,rsize=1048576,wsize=1048576,timeo=600,retrans=2,nolock");
	if (spec->attr_secs) {
		if (setting_number("attr_secs", spec->attr_secs, &secs, why))
			return -EINVAL;
		text_put(&t, ",nocto,acregmin=%u,acregmax=%u,acdirmin=%u,acdirmax=%u", secs, secs,
			 secs, secs);
	}
	return t.full ? -E2BIG : 0;
}

static void put_consoles(struct text *t, const char *console)
{
	bool screen = false;

	/* The last one is /dev/console; keep the screen alive beside a serial line. */
	if (!strstr(console, "tty0"))
		screen = true;
	if (screen)
		text_put(t, " console=tty0");
	while (*console) {
		size_t n = strcspn(console, " \t\n");

		if (n)
			text_put(t, " console=%.*s", (int)n, console);
		console += n;
		console += strspn(console, " \t\n");
	}
}

int boot_cmdline(const struct boot_spec *spec, char out[static CMDLINE_MAX], struct why *why)
{
	char server[IP4_TEXT];
	char options[NFSROOT_MAX + 1];
	char root[2 * NFSROOT_MAX];
	char raw[CMDLINE_MAX] = "";
	struct text t = text_of(raw, sizeof(raw));
	int r;

	r = nfs_options(spec, options, sizeof(options), why);
	if (r)
		return r;
	if (spec->server)
		ip4_format(spec->server, server);
	else
		strcpy(server, "SERVER");
	switch (spec->dialect) {
	case BOOT_KERNEL:
	case BOOT_MKINITCPIO:
	case BOOT_KLIBC:
		snprintf(root, sizeof(root), "%s:%s,%s", server, spec->path, options);
		text_put(&t, "%sroot=/dev/nfs nfsroot=%s ip=dhcp",
			 spec->dialect == BOOT_KLIBC ? "boot=nfs " : "", root);
		break;
	case BOOT_DRACUT:
		/* /linuxrc is the last stage's: dracut's own overlay stays off. */
		snprintf(root, sizeof(root), "%s:%s:%s", server, spec->path, options);
		text_put(&t, "root=nfs:%s ip=dhcp rd.neednet=1", root);
		break;
	case BOOT_LIVE:
		/* klibc's nfsmount too, but the options apart. */
		snprintf(root, sizeof(root), "%s:%s", server, spec->path);
		text_put(&t, "boot=live netboot=nfs nfsroot=%s nfsopts=%s ip=dhcp", root, options);
		break;
	}
	if (strlen(root) > NFSROOT_MAX)
		return why_set(why, -E2BIG, "nfsroot over %d bytes", NFSROOT_MAX);
	/* What runs in there is the squashfs's, which knows no /linuxrc. */
	if (spec->dialect != BOOT_LIVE)
		text_put(&t, " ro init=%s rootstock.mode=%s", spec->init, spec->mode);
	if (spec->boot_if) {
		const uint8_t *o = spec->boot_if->octet;

		text_put(&t, " BOOTIF=01-%02x-%02x-%02x-%02x-%02x-%02x", o[0], o[1], o[2], o[3],
			 o[4], o[5]);
	}
	if (spec->console && *spec->console)
		put_consoles(&t, spec->console);
	if (spec->extra && *spec->extra)
		text_put(&t, " %s", spec->extra);
	if (t.full)
		return why_set(why, -E2BIG, "kernel command line over %d bytes", CMDLINE_MAX - 1);
	for (char *c = raw; *c; c++)
		if ((unsigned char)*c < 32 || *c == 127)
			*c = ' ';
	memcpy(out, raw, sizeof(raw));
	return 0;
}
