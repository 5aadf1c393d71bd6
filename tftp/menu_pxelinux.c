/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * pxelinux's configuration, which U-Boot's `pxe boot` reads too.  IPAPPEND 2 adds
 * BOOTIF=01-MAC of the card that the ROM used.
 */
#include "tftp/menu.h"

#include <stdio.h>
#include <string.h>

bool menu_serial(const char *console, unsigned int *line, unsigned int *baud)
{
	const char *at = console ? strstr(console, "ttyS") : NULL;

	*baud = 9600;
	return at && sscanf(at, "ttyS%u,%u", line, baud) >= 1;
}

static size_t fitted(int n, size_t size)
{
	return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

size_t menu_pxelinux(const struct menu *m, char *out, size_t size)
{
	unsigned int line;
	unsigned int baud;
	char serial[48] = "";
	char screen[96] = "PROMPT 0\nTIMEOUT 1\n";
	const char *more = "";
	const char *memtest = "";

	if (menu_serial(m->console, &line, &baud))
		snprintf(serial, sizeof(serial), "SERIAL %u %u\n", line, baud);
	if (m->ask) {
		snprintf(screen, sizeof(screen),
			 "UI menu.c32\nMENU TITLE rootstock\nPROMPT 0\nTIMEOUT %u\n",
			 m->wait_secs * 10);
		more = "LABEL local\n  MENU LABEL Local disk\n  LOCALBOOT 0\n";
		if (m->memtest)
			memtest = "LABEL memtest\n  MENU LABEL Memory test\n  KERNEL memtest.bin\n";
	}
	return fitted(snprintf(out, size,
			       "%s# %s, %s\n%sDEFAULT rootstock\nLABEL rootstock\n"
			       "  MENU LABEL %s (%s)\n  KERNEL %s\n%s%s%s  APPEND %s\n"
			       "  IPAPPEND 2\n%s%s",
			       serial, m->host, m->image, screen, m->host, m->image, m->kernel,
			       m->initrd ? "  INITRD " : "", m->initrd ? m->initrd : "",
			       m->initrd ? "\n" : "", m->cmdline, more, memtest),
		      size);
}
