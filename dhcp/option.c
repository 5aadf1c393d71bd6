/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dhcp/option.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/mac.h"

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

/* ---- values as text ---- */

static int parse_number(const char *text, unsigned long max, unsigned int width, struct writer *w)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 0);
	if (end == text || *end || errno || value > max || strchr(text, '-'))
		return -EINVAL;
	while (width-- > 0)
		writer_u8(w, (uint8_t)(value >> (8 * width)));
	return 0;
}

static int parse_hex(const char *text, struct writer *w)
{
	for (; *text; text += 2) {
		char pair[3] = {text[0], text[1], 0};
		char *end;
		unsigned long value;

		if (*text == ':' || *text == ' ') {
			text--;
			continue;
		}
		value = strtoul(pair, &end, 16);
		if (end != pair + 2 || pair[0] == '-' || pair[0] == '+')
			return -EINVAL;
		writer_u8(w, (uint8_t)value);
	}
	return 0;
}

static int parse_one_route(const char *text, struct writer *w)
{
	char net[32];
	char prefix_text[4];
	char router[32];
	uint32_t address;
	uint32_t gateway;
	unsigned int prefix;
	char rest;

	if (sscanf(text, " %31[0-9.]/%3[0-9] %31[0-9.] %c", net, prefix_text, router, &rest) != 3)
		return -EINVAL;
	prefix = (unsigned int)atoi(prefix_text);
	if (prefix > 32 || ip4_parse(net, &address) || ip4_parse(router, &gateway))
		return -EINVAL;
	writer_u8(w, (uint8_t)prefix);
	for (unsigned int i = 0; i < (prefix + 7) / 8; i++)
		writer_u8(w, (uint8_t)(address >> (24 - 8 * i)));
	writer_be32(w, gateway);
	return 0;
}

static int parse_one_domain(const char *text, struct writer *w)
{
	while (*text == ' ')
		text++;
	for (;;) {
		size_t len = strcspn(text, ". ");

		if (!len || len > 63)
			return -EINVAL;
		writer_u8(w, (uint8_t)len);
		writer_put(w, text, len);
		text += len;
		if (*text == '.' && text[1])
			text++;
		else
			break;
	}
	writer_u8(w, 0);
	return text[strspn(text, ". ")] ? -EINVAL : 0;
}

static int parse_one_address(const char *text, struct writer *w)
{
	uint32_t address;
	char trimmed[32];

	if (sscanf(text, " %31[0-9.]", trimmed) != 1 || ip4_parse(trimmed, &address))
		return -EINVAL;
	writer_be32(w, address);
	return 0;
}

static int parse_list(const char *text, int (*one)(const char *, struct writer *), struct writer *w)
{
	cleanup(freep) char *copy = strdup(text);
	char *save;
	int r = -EINVAL;

	if (!copy)
		return -ENOMEM;
	for (char *p = strtok_r(copy, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		r = one(p, w);
		if (r)
			break;
	}
	return r;
}

static int parse_value(const char *text, struct writer *w)
{
	if (!strncmp(text, "ip:", 3))
		return parse_list(text + 3, parse_one_address, w);
	if (!strncmp(text, "u8:", 3))
		return parse_number(text + 3, UINT8_MAX, 1, w);
	if (!strncmp(text, "u16:", 4))
		return parse_number(text + 4, UINT16_MAX, 2, w);
	if (!strncmp(text, "u32:", 4))
		return parse_number(text + 4, UINT32_MAX, 4, w);
	if (!strncmp(text, "hex:", 4))
		return parse_hex(text + 4, w);
	if (!strncmp(text, "routes:", 7))
		return parse_list(text + 7, parse_one_route, w);
	if (!strncmp(text, "domains:", 8))
		return parse_list(text + 8, parse_one_domain, w);
	if (!strncmp(text, "text:", 5))
		text += 5;
	writer_put(w, text, strlen(text));
	return 0;
}

int dhcp_option_parse(const char *text, uint8_t *out, size_t size, struct why *why)
{
	struct writer w = writer_of(out, size > 255 ? 255 : size);

	if (parse_value(text, &w))
		return why_set(why, -EINVAL, "%s: not an option value", text);
	if (w.full)
		return why_set(why, -EINVAL, "%s: longer than 255 bytes", text);
	return (int)writer_len(&w);
}
