/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a Raspberry Pi's firmware reads.  Its files (start4.elf, device trees,
 * overlays) come from the image's /boot/firmware under their own names; so does
 * the kernel, where the image has one that the firmware picks by itself.
 */
#include "tftp/menu.h"

#include "tftp/text.h"

size_t menu_rpi_config(const struct menu *m, char *out, size_t size)
{
	struct text t = text_of(out, size);

	text_put(&t, "# %s, %s\n", m->host, m->own.image);
	if (m->rpi_config)
		text_put(&t, "include %s\n", m->rpi_config);
	text_put(&t, "[all]\ncmdline=cmdline.txt\n");
	if (m->console)
		text_put(&t, "enable_uart=1\n");
	if (m->rpi_kernel)
		text_put(&t, "auto_initramfs=%d\n", m->own.initrd != NULL);
	else
		text_put(&t, "arm_64bit=1\nkernel=%s\n", m->own.kernel);
	if (m->own.initrd && !m->rpi_kernel)
		text_put(&t, "initramfs %s followkernel\n", m->own.initrd);
	return text_len(&t);
}

/* One line: the firmware stops at the first end of line. */
size_t menu_rpi_cmdline(const struct menu *m, char *out, size_t size)
{
	struct text t = text_of(out, size);

	text_put(&t, "%s\n", m->own.cmdline);
	return text_len(&t);
}
