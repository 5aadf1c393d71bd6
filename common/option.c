/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/option.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/mac.h"

/* What a server says of the lease and of itself, and what only clients and relays send. */
bool option_is_protocol(unsigned int code)
{
	static const uint8_t codes[] = {
		0,  /* pad */
		50, /* requested address */
		51, /* lease time */
		52, /* overload */
		53, /* message type */
		54, /* server identifier */
		55, /* parameter list */
		57, /* maximum size */
		58, /* renewal time */
		59, /* rebinding time */
		61, /* client identifier */
		82, /* relay agent information */
	};

	return code > OPTION_CODE_MAX || memchr(codes, (int)code, sizeof(codes));
}

int option_code(const char *key, unsigned int *out, struct why *why)
{
	static const char dotted[] = "option.";
	const char *digits = key + strlen(OPTION_KEY);
	unsigned int code;

	if (!strncmp(key, dotted, strlen(dotted)))
		return why_set(why, -EINVAL, "write it as " OPTION_KEY "%s", key + strlen(dotted));
	if (strncmp(key, OPTION_KEY, strlen(OPTION_KEY)) != 0)
		return OPTION_NO_KEY;
	code = (unsigned int)strtoul(digits, NULL, 10);
	if (!*digits || *digits == '0' || strspn(digits, "0123456789") != strlen(digits) ||
	    strlen(digits) > 3 || code > OPTION_CODE_MAX)
		return why_set(why, -EINVAL, "not " OPTION_KEY "1 to " OPTION_KEY "%d",
			       OPTION_CODE_MAX);
	if (option_is_protocol(code))
		return why_set(why, -EINVAL, "is the protocol's own");
	*out = code;
	return 0;
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

int option_parse(const char *text, uint8_t *out, size_t size, struct why *why)
{
	struct writer w = writer_of(out, size > 255 ? 255 : size);

	if (parse_value(text, &w))
		return why_set(why, -EINVAL, "%s: not an option value", text);
	if (w.full)
		return why_set(why, -EINVAL, "%s: longer than 255 bytes", text);
	return (int)writer_len(&w);
}
