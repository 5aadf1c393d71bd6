/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tftp/packet.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The next text of a packet with its end, or NULL and bad. */
static const char *take_text(struct cursor *c, size_t *len)
{
	const uint8_t *end = cursor_left(c) ? memchr(c->at, '\0', cursor_left(c)) : NULL;
	const char *text = (const char *)c->at;

	if (!end) {
		c->bad = true;
		return NULL;
	}
	*len = (size_t)(end - c->at);
	cursor_skip(c, *len + 1);
	return text;
}

/* Decimal digits and nothing else, up to `max`. */
static bool number_parse(const char *text, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		uint64_t digit = (uint64_t)(*text - '0');

		if (*text < '0' || *text > '9' || v > (max - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*out = v;
	return true;
}

/* RFC 2347: an option that is unknown, or whose value is not one, is left out of
 * the answer as if it had not been asked.  The first of two counts. */
static void option_parse(const char *key, const char *value, struct tftp_options *o)
{
	uint64_t v;

	if (!strcasecmp(key, "tsize")) {
		if (!o->has_tsize && number_parse(value, UINT64_MAX, &v)) {
			o->has_tsize = true;
			o->tsize = v;
		}
		return;
	}
	if (!number_parse(value, UINT32_MAX, &v) || !v)
		return;
	if (!strcasecmp(key, "blksize") && !o->blksize && v >= TFTP_BLKSIZE_MIN)
		o->blksize = v > TFTP_BLKSIZE_MAX ? TFTP_BLKSIZE_MAX : (uint32_t)v;
	else if (!strcasecmp(key, "windowsize") && !o->windowsize)
		o->windowsize = v > TFTP_WINDOW_MAX ? TFTP_WINDOW_MAX : (uint32_t)v;
	else if (!strcasecmp(key, "timeout") && !o->timeout && v <= 255)
		o->timeout = (uint32_t)v;
}

/* Garbage after the last whole pair is no reason to refuse what came before:
 * ROMs pad their requests. */
static void options_parse(struct cursor *c, struct tftp_options *out)
{
	while (cursor_left(c)) {
		size_t len;
		const char *key = take_text(c, &len);
		const char *value = key ? take_text(c, &len) : NULL;

		if (!value)
			return;
		option_parse(key, value, out);
	}
}

int tftp_request_parse(const struct bytes *in, struct tftp_request *out)
{
	struct cursor c = cursor_of(in->at, in->len);
	struct tftp_request req = {.op = cursor_be16(&c)};
	const char *mode;
	size_t mode_len;

	if (req.op != TFTP_RRQ && req.op != TFTP_WRQ)
		return -EBADMSG;
	req.name = take_text(&c, &req.name_len);
	mode = req.name ? take_text(&c, &mode_len) : NULL;
	if (!mode)
		return -EBADMSG;
	if (!strcasecmp(mode, "octet") || !strcasecmp(mode, "binary"))
		req.mode = TFTP_OCTET;
	else if (!strcasecmp(mode, "netascii") || !strcasecmp(mode, "ascii"))
		req.mode = TFTP_NETASCII;
	else
		return -ENOTSUP;
	options_parse(&c, &req.options);
	*out = req;
	return 0;
}

int tftp_packet_parse(const struct bytes *in, struct tftp_packet *out)
{
	struct cursor c = cursor_of(in->at, in->len);
	struct tftp_packet p = {.op = cursor_be16(&c)};
	const uint8_t *end;

	switch (p.op) {
	case TFTP_ACK:
		p.block = cursor_be16(&c);
		break;
	case TFTP_DATA:
		p.block = cursor_be16(&c);
		p.message = cursor_take(&c, cursor_left(&c));
		break;
	case TFTP_ERROR:
		p.code = cursor_be16(&c);
		/* EDK2 and others send no message, or one without its end. */
		end = cursor_left(&c) ? memchr(c.at, '\0', cursor_left(&c)) : NULL;
		p.message = cursor_take(&c, end ? (size_t)(end - c.at) : cursor_left(&c));
		break;
	case TFTP_OACK:
		options_parse(&c, &p.options);
		c.bad = false;
		break;
	default:
		return -EBADMSG;
	}
	if (c.bad)
		return -EBADMSG;
	*out = p;
	return 0;
}

static void put_text(struct writer *w, const char *text)
{
	writer_put(w, text, strlen(text) + 1);
}

static void put_option(struct writer *w, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	put_text(w, key);
	put_text(w, text);
}

static void put_options(struct writer *w, const struct tftp_options *o)
{
	if (o->has_tsize)
		put_option(w, "tsize", o->tsize);
	if (o->blksize)
		put_option(w, "blksize", o->blksize);
	if (o->timeout)
		put_option(w, "timeout", o->timeout);
	if (o->windowsize)
		put_option(w, "windowsize", o->windowsize);
}

static size_t built(const struct writer *w)
{
	return w->full ? 0 : writer_len(w);
}

size_t tftp_oack_build(void *buf, size_t size, const struct tftp_options *granted)
{
	struct writer w = writer_of(buf, size);

	writer_be16(&w, TFTP_OACK);
	put_options(&w, granted);
	return built(&w);
}

size_t tftp_error_build(void *buf, size_t size, enum tftp_code code, const char *message)
{
	struct writer w = writer_of(buf, size);

	writer_be16(&w, TFTP_ERROR);
	writer_be16(&w, (uint16_t)code);
	put_text(&w, message);
	return built(&w);
}

void tftp_data_header(uint8_t out[static TFTP_HEADER], uint16_t block)
{
	struct writer w = writer_of(out, TFTP_HEADER);

	writer_be16(&w, TFTP_DATA);
	writer_be16(&w, block);
}
