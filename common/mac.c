/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/mac.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int mac_parse(const char *text, struct mac *out)
{
	static const struct mac none;
	struct mac mac;
	char sep = '\0';

	for (int i = 0; i < 6; i++) {
		int hi;
		int lo;

		if (i == 1 && (*text == ':' || *text == '-'))
			sep = *text;
		if (i && sep && *text++ != sep)
			return -EINVAL;
		hi = hex_digit(text[0]);
		lo = hi < 0 ? -1 : hex_digit(text[1]);
		if (lo < 0)
			return -EINVAL;
		mac.octet[i] = (uint8_t)(hi << 4 | lo);
		text += 2;
	}
	if (*text || (mac.octet[0] & 1) || mac_equal(&mac, &none))
		return -EINVAL;
	*out = mac;
	return 0;
}

const char *mac_format(const struct mac *mac, char out[static MAC_TEXT])
{
	const uint8_t *o = mac->octet;

	snprintf(out, MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", o[0], o[1], o[2], o[3], o[4],
		 o[5]);
	return out;
}

int ip4_parse(const char *text, uint32_t *out)
{
	struct in_addr in;

	if (inet_pton(AF_INET, text, &in) != 1)
		return -EINVAL;
	*out = ntohl(in.s_addr);
	return 0;
}

const char *ip4_format(uint32_t addr, char out[static IP4_TEXT])
{
	snprintf(out, IP4_TEXT, "%u.%u.%u.%u", addr >> 24, addr >> 16 & 255, addr >> 8 & 255,
		 addr & 255);
	return out;
}
