/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tftp/name.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"

static int refuse(const char **what, const char *why)
{
	*what = why;
	return -EINVAL;
}

int tftp_name_clean(const char *name, size_t len, char out[static TFTP_NAME_MAX], const char **what)
{
	char *o = out;

	if (len >= TFTP_NAME_MAX)
		return refuse(what, "name too long");
	for (size_t i = 0; i < len;) {
		size_t n = 0;

		while (i + n < len && name[i + n] != '/' && name[i + n] != '\\') {
			unsigned char c = (unsigned char)name[i + n++];

			if (c < 32 || c == 127)
				return refuse(what, "control character in the name");
		}
		if (n == 2 && !memcmp(name + i, "..", 2))
			return refuse(what, "outside the served tree");
		if (n && !(n == 1 && name[i] == '.')) {
			if (o > out)
				*o++ = '/';
			memcpy(o, name + i, n);
			o += n;
		}
		i += n + 1;
	}
	if (o == out)
		return refuse(what, "no name");
	*o = '\0';
	return 0;
}

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name);
	size_t m = strlen(end);

	return n >= m && !strcmp(name + n - m, end) && (n == m || name[n - m - 1] == '/');
}

/* "01-52-54-00-12-34-01": the hardware type of Ethernet, then the address. */
static bool mac_of(const char *text, struct mac *mac)
{
	return !strncmp(text, "01-", 3) && !mac_parse(text + 3, mac);
}

enum tftp_kind tftp_name_kind(const char *name, struct mac *mac, bool *has_mac)
{
	static const struct {
		const char *name;
		enum tftp_kind kind;
	} fixed[] = {
		{"kernel", TFTP_KIND_KERNEL},
		{"initrd", TFTP_KIND_INITRD},
		{"boot.ipxe", TFTP_KIND_IPXE},
		{"autoexec.ipxe", TFTP_KIND_IPXE},
		{"extlinux/extlinux.conf", TFTP_KIND_EXTLINUX},
		{"boot.scr.uimg", TFTP_KIND_UBOOT},
		{"config.txt", TFTP_KIND_RPI_CONFIG},
		{"cmdline.txt", TFTP_KIND_RPI_CMDLINE},
		{"grub.cfg", TFTP_KIND_GRUB},
	};
	const char *at;

	*has_mac = false;
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		if (ends_with(name, fixed[i].name))
			return fixed[i].kind;
	at = strstr(name, "pxelinux.cfg/");
	if (at && (at == name || at[-1] == '/')) {
		*has_mac = mac_of(at + 13, mac);
		return TFTP_KIND_PXELINUX;
	}
	at = strstr(name, "grub.cfg-");
	if (at && (at == name || at[-1] == '/')) {
		*has_mac = mac_of(at + 9, mac);
		return TFTP_KIND_GRUB;
	}
	return TFTP_KIND_FILE;
}
