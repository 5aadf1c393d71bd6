/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * pxelinux's configuration, which U-Boot reads too, by `pxe boot` and as
 * extlinux.conf.  IPAPPEND 2 adds BOOTIF=01-MAC of the card that booted.  SERIAL
 * must be the first word of the file.
 */
#include "tftp/menu.h"

#include <stdio.h>
#include <string.h>

#include "tftp/text.h"

bool menu_serial(const char *console, unsigned int *line, unsigned int *baud)
{
	const char *at = console ? strstr(console, "ttyS") : NULL;

	*baud = 9600;
	return at && sscanf(at, "ttyS%u,%u", line, baud) >= 1;
}

static void put_entry(struct text *t, const char *label, const char *title,
		      const struct menu_entry *e, const char *fdtdir)
{
	text_put(t, "LABEL %s\n  MENU LABEL %s (%s)\n  KERNEL %s\n", label, title, e->image,
		 e->kernel);
	if (e->initrd)
		text_put(t, "  INITRD %s\n", e->initrd);
	if (fdtdir)
		text_put(t, "  FDTDIR %s\n", fdtdir);
	text_put(t, "  APPEND %s\n", e->cmdline);
}

size_t menu_pxelinux(const struct menu *m, char *out, size_t size)
{
	struct text t = text_of(out, size);
	unsigned int line;
	unsigned int baud;

	if (menu_serial(m->console, &line, &baud))
		text_put(&t, "SERIAL %u %u\n", line, baud);
	text_put(&t, "# %s, %s\n", m->host, m->own.image);
	if (m->ask)
		text_put(&t, "UI menu.c32\nMENU TITLE rootstock\nPROMPT 0\nTIMEOUT %u\n",
			 m->wait_secs * 10);
	else
		text_put(&t, "PROMPT 0\nTIMEOUT 1\n");
	text_put(&t, "DEFAULT rootstock\n");
	put_entry(&t, "rootstock", m->host, &m->own, m->fdtdir);
	text_put(&t, "  IPAPPEND 2\n");
	if (m->ask && m->maintenance) {
		put_entry(&t, "maintenance", "Maintenance", m->maintenance, NULL);
		text_put(&t, "  IPAPPEND 2\n");
	}
	if (m->ask)
		text_put(&t, "LABEL local\n  MENU LABEL Local disk\n  LOCALBOOT 0\n");
	if (m->ask && m->memtest)
		text_put(&t, "LABEL memtest\n  MENU LABEL Memory test\n  KERNEL memtest.bin\n");
	return text_len(&t);
}

size_t menu_extlinux(const struct menu *m, char *out, size_t size)
{
	struct text t = text_of(out, size);

	text_put(&t, "# %s, %s\nTIMEOUT %u\nDEFAULT rootstock\n", m->host, m->own.image,
		 m->ask ? m->wait_secs * 10 : 1);
	put_entry(&t, "rootstock", m->host, &m->own, m->fdtdir);
	if (m->ask && m->maintenance)
		put_entry(&t, "maintenance", "Maintenance", m->maintenance, m->fdtdir);
	return text_len(&t);
}
