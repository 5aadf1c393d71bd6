/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dhcp/message.h"

#include "common/cleanup.h"

enum { SNAME_AT = 44, SNAME_SIZE = 64, FILE_AT = 108, FILE_SIZE = 128 };

enum overload { OVERLOAD_FILE = 1, OVERLOAD_SNAME = 2 };

/* ---- reading ---- */

/* The pieces of all options, in the order RFC 3396 joins them. */
struct pieces {
	struct dhcp_message *out;
	uint16_t total[256];
	bool several[256];
	bool any_several;
};

/* Walk one field.  First pass (`fill` NULL): count.  Second: copy those that came
 * in several pieces. */
static bool field_walk(struct pieces *p, struct bytes field, uint16_t *fill)
{
	struct cursor c = cursor_of(field.at, field.len);

	while (cursor_left(&c)) {
		uint8_t code = cursor_u8(&c);
		struct bytes value;

		if (code == OPTION_PAD)
			continue;
		if (code == OPTION_END)
			return true;
		value = cursor_take(&c, cursor_u8(&c));
		if (c.bad)
			return false;
		if (fill) {
			if (p->several[code] && value.len)
				memcpy(p->out->joined + fill[code], value.at, value.len);
			fill[code] = (uint16_t)(fill[code] + value.len);
			continue;
		}
		if (p->out->option[code].at)
			p->several[code] = p->any_several = true;
		else
			p->out->option[code] = value;
		p->total[code] = (uint16_t)(p->total[code] + value.len);
	}
	return true; /* no END: old ROMs end with the packet */
}

static bool options_parse(struct dhcp_message *out, struct bytes options, const uint8_t *packet)
{
	struct pieces p = {.out = out};
	const struct bytes file = {packet + FILE_AT, FILE_SIZE};
	const struct bytes sname = {packet + SNAME_AT, SNAME_SIZE};
	uint16_t fill[256];
	uint16_t at = 0;
	uint8_t overload;

	if (!field_walk(&p, options, NULL))
		return false;
	/* Read once, here: a 52 inside an overloaded field means nothing. */
	overload = out->option[OPTION_OVERLOAD].len == 1 ? out->option[OPTION_OVERLOAD].at[0] : 0;
	if (overload & OVERLOAD_FILE) {
		out->file[0] = '\0';
		if (!field_walk(&p, file, NULL))
			return false;
	}
	if (overload & OVERLOAD_SNAME) {
		out->sname[0] = '\0';
		if (!field_walk(&p, sname, NULL))
			return false;
	}
	if (!p.any_several)
		return true;
	/* A run below 64 KiB: each piece is part of one packet of bounded size. */
	for (unsigned int code = 0; code < 256; code++) {
		fill[code] = at;
		if (p.several[code]) {
			out->option[code] = (struct bytes){out->joined + at, p.total[code]};
			at = (uint16_t)(at + p.total[code]);
		}
	}
	field_walk(&p, options, fill);
	if (overload & OVERLOAD_FILE)
		field_walk(&p, file, fill);
	if (overload & OVERLOAD_SNAME)
		field_walk(&p, sname, fill);
	return true;
}

/* Options that this server reads as numbers have one size. */
static bool options_sized(const struct dhcp_message *m)
{
	static const struct {
		uint8_t code;
		uint8_t len;
	} sized[] = {
		{OPTION_TYPE, 1},	{OPTION_SERVER_ID, 4}, {OPTION_REQUESTED_ADDRESS, 4},
		{OPTION_LEASE_SECS, 4}, {OPTION_MAX_SIZE, 2},  {OPTION_SUBNET_SELECT, 4},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(sized); i++) {
		const struct bytes *o = &m->option[sized[i].code];

		if (o->at && o->len != sized[i].len)
			return false;
	}
	return true;
}

int dhcp_message_parse(const void *packet, size_t len, struct dhcp_message *out)
{
	struct cursor c = cursor_of(packet, len);
	const struct mac none = {{0}};
	uint8_t htype;
	uint8_t hlen;

	if (len < DHCP_HEADER)
		return DHCP_FAULT_SHORT;
	if (len > DHCP_RECEIVE_MAX)
		return DHCP_FAULT_LONG;
	memset(out->option, 0, sizeof(out->option));
	out->op = cursor_u8(&c);
	htype = cursor_u8(&c);
	hlen = cursor_u8(&c);
	out->hops = cursor_u8(&c);
	out->xid = cursor_be32(&c);
	out->secs = cursor_be16(&c);
	out->flags = cursor_be16(&c);
	out->ciaddr = cursor_be32(&c);
	out->yiaddr = cursor_be32(&c);
	out->siaddr = cursor_be32(&c);
	out->giaddr = cursor_be32(&c);
	memcpy(out->chaddr, cursor_skip(&c, sizeof(out->chaddr)), sizeof(out->chaddr));
	memcpy(&out->mac, out->chaddr, sizeof(out->mac));
	memcpy(out->sname, cursor_skip(&c, SNAME_SIZE), SNAME_SIZE);
	memcpy(out->file, cursor_skip(&c, FILE_SIZE), FILE_SIZE);
	out->sname[SNAME_SIZE] = out->file[FILE_SIZE] = '\0';
	out->type = DHCP_BOOTP;
	if (htype != 1 || hlen != sizeof(struct mac) || (out->mac.octet[0] & 1) ||
	    mac_equal(&out->mac, &none))
		return DHCP_FAULT_HARDWARE;
	if (cursor_left(&c) < 4 || cursor_be32(&c) != DHCP_COOKIE)
		return 0;
	if (!options_parse(out, (struct bytes){c.at, cursor_left(&c)}, packet) ||
	    !options_sized(out))
		return DHCP_FAULT_OPTIONS;
	if (out->option[OPTION_TYPE].at)
		out->type = out->option[OPTION_TYPE].at[0];
	return 0;
}

const char *dhcp_message_fault_text(int fault)
{
	static const char *const text[] = {
		[DHCP_FAULT_SHORT] = "shorter than a header",
		[DHCP_FAULT_LONG] = "longer than a request may be",
		[DHCP_FAULT_HARDWARE] = "no Ethernet address",
		[DHCP_FAULT_OPTIONS] = "malformed options",
	};

	return fault > 0 && (size_t)fault < ARRAY_SIZE(text) ? text[fault] : "malformed";
}

uint32_t dhcp_message_u32(const struct dhcp_message *m, uint8_t code)
{
	struct cursor c = cursor_of(m->option[code].at, m->option[code].len);

	return m->option[code].len == 4 ? cursor_be32(&c) : 0;
}

uint16_t dhcp_message_u16(const struct dhcp_message *m, uint8_t code)
{
	struct cursor c = cursor_of(m->option[code].at, m->option[code].len);

	return m->option[code].len == 2 ? cursor_be16(&c) : 0;
}

/* ---- writing ---- */

/* Bytes on the wire of a value, in pieces of at most 255. */
static size_t wire_len(size_t len)
{
	return len + 2 * (len ? (len + 254) / 255 : 1);
}

static void piece_write(struct writer *w, uint8_t code, const uint8_t *data, size_t len)
{
	do {
		size_t n = len > 255 ? 255 : len;

		writer_u8(w, code);
		writer_u8(w, (uint8_t)n);
		writer_put(w, data, n);
		data += n;
		len -= n;
	} while (len);
}

/* Where a reply's options go: the field itself, then `file`, then `sname`. */
struct space {
	struct writer field[3]; /* each keeps a byte for END */
	bool used[3];
};

static bool space_put(struct space *s, uint8_t code, const uint8_t *data, size_t len,
		      size_t reserve)
{
	for (unsigned int i = 0; i < 3; i++) {
		size_t keep = 1 + (i ? 0 : reserve);

		if (writer_left(&s->field[i]) < keep + wire_len(len))
			continue;
		piece_write(&s->field[i], code, data, len);
		s->used[i] = true;
		return true;
	}
	return false;
}

size_t dhcp_message_write(const struct dhcp_message *m, const struct dhcp_options *list,
			  uint8_t *out, size_t size)
{
	enum { OVERLOAD_LEN = 3 };
	struct writer w = writer_of(out, size > DHCP_MAX_SIZE ? DHCP_MAX_SIZE : size);
	struct space space = {0};
	size_t last = 0;
	uint8_t overload;

	writer_u8(&w, m->op);
	writer_u8(&w, 1);
	writer_u8(&w, sizeof(struct mac));
	writer_u8(&w, m->hops);
	writer_be32(&w, m->xid);
	writer_be16(&w, m->secs);
	writer_be16(&w, m->flags);
	writer_be32(&w, m->ciaddr);
	writer_be32(&w, m->yiaddr);
	writer_be32(&w, m->siaddr);
	writer_be32(&w, m->giaddr);
	writer_put(&w, m->chaddr, sizeof(m->chaddr));
	memset(out + SNAME_AT, 0, SNAME_SIZE + FILE_SIZE);
	memcpy(out + SNAME_AT, m->sname, strnlen(m->sname, SNAME_SIZE - 1));
	memcpy(out + FILE_AT, m->file, strnlen(m->file, FILE_SIZE - 1));
	writer_room(&w, SNAME_SIZE + FILE_SIZE);
	writer_be32(&w, DHCP_COOKIE);

	space.field[0] = w;
	if (!m->file[0])
		space.field[1] = writer_of(out + FILE_AT, FILE_SIZE);
	if (!m->sname[0])
		space.field[2] = writer_of(out + SNAME_AT, SNAME_SIZE);
	/* What must come last has its room from the start. */
	for (unsigned int i = 0; i < list->n; i++)
		if (list->item[i].code == OPTION_RELAY)
			last = wire_len(list->item[i].len);
	for (unsigned int i = 0; i < list->n; i++)
		if (list->item[i].code != OPTION_RELAY)
			space_put(&space, list->item[i].code, list->data + list->item[i].at,
				  list->item[i].len, last + OVERLOAD_LEN);
	overload = (uint8_t)((space.used[1] ? OVERLOAD_FILE : 0) |
			     (space.used[2] ? OVERLOAD_SNAME : 0));
	w = space.field[0];
	if (overload)
		piece_write(&w, OPTION_OVERLOAD, &overload, 1);
	for (unsigned int i = 0; i < list->n; i++)
		if (list->item[i].code == OPTION_RELAY)
			piece_write(&w, OPTION_RELAY, list->data + list->item[i].at,
				    list->item[i].len);
	writer_u8(&w, OPTION_END);
	for (unsigned int i = 1; i < 3; i++)
		if (space.used[i])
			writer_u8(&space.field[i], OPTION_END);
	if (writer_len(&w) < DHCP_MIN_SIZE)
		writer_zero(&w, DHCP_MIN_SIZE - writer_len(&w));
	return writer_len(&w);
}
