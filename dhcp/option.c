/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dhcp/option.h"

#include <string.h>

#include "common/cleanup.h"

struct bytes dhcp_suboption(struct bytes option, uint8_t code)
{
	struct cursor c = cursor_of(option.at, option.len);

	while (cursor_left(&c) >= 2) {
		uint8_t at = cursor_u8(&c);
		struct bytes value = cursor_take(&c, cursor_u8(&c));

		if (c.bad)
			break;
		if (at == code)
			return value;
	}
	return (struct bytes){NULL, 0};
}

unsigned int dhcp_option_codes(struct bytes list, uint8_t out[static 256])
{
	bool seen[256] = {false};
	unsigned int n = 0;

	for (size_t i = 0; i < list.len; i++) {
		if (!seen[list.at[i]])
			out[n++] = list.at[i];
		seen[list.at[i]] = true;
	}
	return n;
}

void dhcp_options_init(struct dhcp_options *list)
{
	list->n = 0;
	list->used = 0;
	list->full = false;
}

bool dhcp_options_have(const struct dhcp_options *list, uint8_t code)
{
	for (unsigned int i = 0; i < list->n; i++)
		if (list->item[i].code == code)
			return true;
	return false;
}

void dhcp_options_add(struct dhcp_options *list, uint8_t code, const void *data, size_t len)
{
	if (dhcp_options_have(list, code))
		return;
	if (list->n == ARRAY_SIZE(list->item) || len > sizeof(list->data) - list->used) {
		list->full = true;
		return;
	}
	list->item[list->n].code = code;
	list->item[list->n].at = list->used;
	list->item[list->n].len = (uint16_t)len;
	list->n++;
	if (len)
		memcpy(list->data + list->used, data, len);
	list->used = (uint16_t)(list->used + len);
}

void dhcp_options_add_u8(struct dhcp_options *list, uint8_t code, uint8_t value)
{
	dhcp_options_add(list, code, &value, 1);
}

void dhcp_options_add_u16(struct dhcp_options *list, uint8_t code, uint16_t value)
{
	const uint8_t data[] = {(uint8_t)(value >> 8), (uint8_t)value};

	dhcp_options_add(list, code, data, sizeof(data));
}

void dhcp_options_add_u32(struct dhcp_options *list, uint8_t code, uint32_t value)
{
	dhcp_options_add_addresses(list, code, &value, 1);
}

void dhcp_options_add_text(struct dhcp_options *list, uint8_t code, const char *text)
{
	if (*text)
		dhcp_options_add(list, code, text, strlen(text));
}

void dhcp_options_add_addresses(struct dhcp_options *list, uint8_t code, const uint32_t *addresses,
				unsigned int n)
{
	uint8_t data[4 * 63];
	struct writer w = writer_of(data, sizeof(data));

	for (unsigned int i = 0; i < n && writer_left(&w) >= 4; i++)
		writer_be32(&w, addresses[i]);
	if (n)
		dhcp_options_add(list, code, data, writer_len(&w));
}
