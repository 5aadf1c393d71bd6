/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The script that U-Boot runs by itself on boards whose list of ways to boot has the
 * network but not `pxe`: it goes on to the menu that the others ask for at once.
 * A script comes as a legacy image: 64 bytes of header, then its length, a zero that
 * ends the list of lengths, and the text.
 */
#include "tftp/menu.h"

#include <string.h>
#include <zlib.h>

#include "common/bytes.h"
#include "tftp/text.h"

enum { HEADER = 64, LENGTHS = MENU_UBOOT_TEXT - HEADER };

static void put_be32(char *at, uint32_t value)
{
	struct writer w = writer_of(at, 4);

	writer_be32(&w, value);
}

static uint32_t sum(const char *at, size_t len)
{
	return (uint32_t)crc32(0, (const unsigned char *)at, (unsigned int)len);
}

size_t menu_uboot(const struct menu *m, char *out, size_t size)
{
	static const char kind[4] = {5 /* Linux */, 2 /* ARM: not looked at */, 6 /* script */, 0};
	struct text t;
	size_t len;

	if (size <= HEADER + LENGTHS)
		return 0;
	t = text_of(out + HEADER + LENGTHS, size - HEADER - LENGTHS);
	text_put(&t, "# %s, %s\nif pxe get; then pxe boot; fi\n", m->host, m->own.image);
	len = text_len(&t);
	if (!len)
		return 0;
	put_be32(out + HEADER, (uint32_t)len);
	put_be32(out + HEADER + 4, 0);

	memset(out, 0, HEADER);
	put_be32(out, 0x27051956);
	put_be32(out + 12, (uint32_t)(LENGTHS + len));
	put_be32(out + 24, sum(out + HEADER, LENGTHS + len));
	memcpy(out + 28, kind, sizeof(kind));
	strcpy(out + 32, "rootstock");
	put_be32(out + 4, sum(out, HEADER)); /* over itself as zero */
	return HEADER + LENGTHS + len;
}
