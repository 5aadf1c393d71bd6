/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * iPXE's script.  Names are relative to the script's own address; `netX` is the
 * card that was opened last, the one that booted.  A download that fails is
 * tried again: the other machines of a room that was just switched on are at it
 * too.
 */
#include "tftp/menu.h"

#include "tftp/text.h"

/* The initrd= argument names the image to kernels that are EFI programs. */
static void put_boot(struct text *t, const char *label, const struct menu_entry *e)
{
	text_put(t,
		 ":%s\nimgfree\nkernel --name kernel %s %s%s BOOTIF=01-${netX/mac:hexhyp} "
		 "|| goto again_%s\n",
		 label, e->kernel, e->initrd ? "initrd=initrd " : "", e->cmdline, label);
	if (e->initrd)
		text_put(t, "initrd --name initrd %s || goto again_%s\n", e->initrd, label);
	text_put(t,
		 "boot || goto again_%s\n:again_%s\necho trying again in 5 seconds\nsleep 5\n"
		 "goto %s\n",
		 label, label, label);
}

size_t menu_ipxe(const struct menu *m, char *out, size_t size)
{
	struct text t = text_of(out, size);

	text_put(&t, "#!ipxe\n# %s, %s\n", m->host, m->own.image);
	if (m->ask) {
		text_put(&t, ":menu\nmenu rootstock\nitem rootstock %s (%s)\n", m->host,
			 m->own.image);
		if (m->maintenance)
			text_put(&t, "item maintenance Maintenance (%s)\n", m->maintenance->image);
		text_put(&t, "item local Local disk\n");
		if (m->memtest)
			text_put(&t, "item memtest Memory test\n");
		text_put(&t,
			 "item shell iPXE shell\n"
			 "choose --timeout %u --default rootstock what || goto rootstock\n"
			 "goto ${what}\n"
			 ":local\niseq ${platform} efi && exit 1 ||\n"
			 "sanboot --no-describe --drive 0x80 || goto menu\n"
			 ":shell\nshell\ngoto menu\n",
			 m->wait_secs * 1000);
		if (m->memtest)
			text_put(&t, ":memtest\niseq ${platform} efi && chain memtest.efi ||\n"
				     "iseq ${platform} efi || chain memtest.bin ||\n"
				     "goto menu\n");
		if (m->maintenance)
			put_boot(&t, "maintenance", m->maintenance);
	}
	put_boot(&t, "rootstock", &m->own);
	return text_len(&t);
}
