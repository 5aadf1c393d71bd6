/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a reply says: the header, the boot file, and each option's value, from the host's
 * own settings, its subnet and what its firmware needs.  A client is told what it asks for,
 * and what its class needs unasked (dhcp/class.h).
 */
#include "dhcp/request.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/option.h"

/* iPXE's programs, as its makefile and Debian's package name them. */
static bool is_ipxe_program(const char *file)
{
	const char *slash = strrchr(file, '/');
	const char *name = slash ? slash + 1 : file;

	/* NAME.ipxe is a script, and what it should go on to. */
	return !fnmatch("*ipxe*.efi", name, 0) || !fnmatch("snp*.efi", name, 0) ||
	       (!fnmatch("*.*pxe", name, 0) && fnmatch("*.ipxe", name, 0));
}

const char *dhcp_reply_file(const struct dhcp_request *rq)
{
	const char *own;

	if (rq->class->firmware == FIRMWARE_NONE)
		return "";
	own = inventory_setting(rq->inv, rq->host, "loader");
	/* Or it would load itself for ever. */
	if (own && rq->class->ipxe && is_ipxe_program(own))
		own = "boot.ipxe";
	return own ? own : rq->config->boot_file[rq->class->firmware];
}

static uint32_t next_server(const struct dhcp_request *rq)
{
	return rq->subnet && rq->subnet->next_server ? rq->subnet->next_server
						     : rq->interface->address;
}

static void add_root_path(const struct dhcp_request *rq, struct dhcp_options *list)
{
	char text[IP4_TEXT + 8];
	char address[IP4_TEXT];

	/* With the address: clients take the gateway for the server otherwise.
	 * Without options: klibc does not split at commas here. */
	snprintf(text, sizeof(text), "%s:/", ip4_format(next_server(rq), address));
	dhcp_options_add_text(list, OPTION_ROOT_PATH, text);
}

/* A host's own value for any option: the setting "option-N". */
static void add_own(const struct dhcp_request *rq, uint8_t code, struct dhcp_options *list)
{
	char key[16];
	uint8_t data[255];
	const char *text;
	int len;

	if (option_is_protocol(code))
		return;
	snprintf(key, sizeof(key), OPTION_KEY "%u", code);
	text = inventory_setting(rq->inv, rq->host, key);
	if (!text)
		return;
	len = option_parse(text, data, sizeof(data), NULL);
	if (len > 0)
		dhcp_options_add(list, code, data, (size_t)len);
}

/* The value of one option, from the strongest that has one. */
static void add_value(const struct dhcp_request *rq, uint8_t code, uint32_t address,
		      struct dhcp_options *list)
{
	const struct dhcp_subnet *s = rq->subnet;
	char text[IP4_TEXT];

	if (dhcp_options_have(list, code))
		return;
	add_own(rq, code, list);
	for (unsigned int i = 0; s && i < s->nextras; i++)
		if (s->extras[i].code == code)
			dhcp_options_add(list, code, s->extras[i].data, s->extras[i].len);
	switch (code) {
	case OPTION_NETMASK:
		if (s)
			dhcp_options_add_u32(list, code, s->mask);
		break;
	case OPTION_ROUTERS:
		if (s)
			dhcp_options_add_addresses(list, code, s->routers, s->nrouters);
		break;
	case OPTION_DNS:
		if (s)
			dhcp_options_add_addresses(list, code, s->dns, s->ndns);
		break;
	case OPTION_HOSTNAME:
		if (rq->host)
			dhcp_options_add_text(list, code, rq->host->name);
		break;
	case OPTION_DOMAIN:
		if (s)
			dhcp_options_add_text(list, code, s->domain);
		break;
	case OPTION_ROOT_PATH:
		add_root_path(rq, list);
		break;
	case OPTION_MTU:
		if (s && s->mtu)
			dhcp_options_add_u16(list, code, s->mtu);
		break;
	case OPTION_BROADCAST:
		if (s && address)
			dhcp_options_add_u32(list, code, s->network | ~s->mask);
		break;
	case OPTION_NTP:
		if (s)
			dhcp_options_add_addresses(list, code, s->ntp, s->nntp);
		break;
	case OPTION_TFTP_SERVER:
		if (rq->class->firmware != FIRMWARE_NONE || rq->class->menu != MENU_NONE)
			dhcp_options_add_text(list, code, ip4_format(next_server(rq), text));
		break;
	case OPTION_BOOT_FILE: {
		const char *file = dhcp_reply_file(rq);

		/* With its NUL: EDK2 reads past the end without. */
		if (*file)
			dhcp_options_add(list, code, file, strlen(file) + 1);
		break;
	}
	default:
		break;
	}
}

static void add_asked(const struct dhcp_request *rq, uint32_t address, struct dhcp_options *list)
{
	static const uint8_t usual[] = {OPTION_NETMASK,	 OPTION_ROUTERS,   OPTION_DNS,
					OPTION_HOSTNAME, OPTION_DOMAIN,	   OPTION_ROOT_PATH,
					OPTION_MTU,	 OPTION_BROADCAST, OPTION_NTP};
	struct bytes asked = rq->m->option[OPTION_PARAMETERS];
	bool boots = rq->class->firmware != FIRMWARE_NONE || rq->class->menu != MENU_NONE;
	uint8_t codes[256];
	unsigned int n;

	if (!asked.at)
		asked = (struct bytes){usual, sizeof(usual)};
	/* A packet has room for more than a thousand; a value is looked for once. */
	n = dhcp_option_codes(asked, codes);
	for (unsigned int i = 0; i < n; i++)
		/* To a firmware 60 and 43 go out as consistent sets only. */
		if (!boots || (codes[i] != OPTION_CLASS_ID && codes[i] != OPTION_VENDOR))
			add_value(rq, codes[i], address, list);
	/* Needed by clients that do not ask. */
	if (address)
		add_value(rq, OPTION_NETMASK, address, list);
}

/* What the ROMs of the Raspberry Pi look for: a menu whose entry has this very
 * name, three spaces included. */
static void add_rpi_menu(struct dhcp_options *list)
{
	static const uint8_t menu[] = {
		6,   1,	  3,		      /* discovery control: no broadcast, no multicast */
		10,  4,	  0,   'P', 'X', 'E', /* prompt, 0 s */
		9,   23,  0,   0,   20,	 'R', 'a', 's', 'p', 'b', 'e', 'r', 'r',
		'y', ' ', 'P', 'i', ' ', 'B', 'o', 'o', 't', ' ', ' ', ' ', 255};

	dhcp_options_add_text(list, OPTION_CLASS_ID, "PXEClient");
	dhcp_options_add(list, OPTION_VENDOR, menu, sizeof(menu));
}

/* "Boot from file, ask nobody else" (PXE 2.1, discovery control bit 3). */
static void add_pxe_direct(struct dhcp_options *list)
{
	static const uint8_t direct[] = {6, 1, 8, 255};

	dhcp_options_add_text(list, OPTION_CLASS_ID, "PXEClient");
	dhcp_options_add(list, OPTION_VENDOR, direct, sizeof(direct));
}

/* iPXE waits two seconds for a proxy unless it is told that there is none. */
static void add_ipxe(struct dhcp_options *list)
{
	static const uint8_t no_proxy[] = {176, 1, 1};

	dhcp_options_add(list, OPTION_IPXE, no_proxy, sizeof(no_proxy));
}

static void add_echoes(const struct dhcp_request *rq, struct dhcp_options *list)
{
	const struct bytes *id = &rq->m->option[OPTION_CLIENT_ID];
	const struct bytes *uuid = &rq->m->option[OPTION_UUID];

	if (id->at && id->len <= 255)
		dhcp_options_add(list, OPTION_CLIENT_ID, id->at, id->len); /* RFC 6842 */
	if (uuid->at && uuid->len <= 255)
		dhcp_options_add(list, OPTION_UUID, uuid->at, uuid->len);
	if (rq->relay.at)
		dhcp_options_add(list, OPTION_RELAY, rq->relay.at, rq->relay.len);
}

/* RFC 2131, 4.1, and the relay's port. */
static void set_route(const struct dhcp_request *rq, struct dhcp_reply *reply, uint32_t yiaddr)
{
	const struct dhcp_message *m = rq->m;

	reply->interface = rq->in->interface;
	reply->source = rq->interface->address;
	reply->source_port = rq->in->port;
	reply->port = DHCP_PORT_CLIENT;
	reply->mac = m->mac;
	/* Who INFORMs has an address, and is reached there past its relay (4.3.5). */
	if (m->giaddr && !(m->type == DHCP_INFORM && m->ciaddr)) {
		reply->route = ROUTE_UNICAST;
		reply->address = m->giaddr;
		reply->port = DHCP_PORT_SERVER;
	} else if (m->ciaddr && m->type != DHCP_DISCOVER) {
		reply->route = ROUTE_UNICAST;
		reply->address = m->ciaddr;
	} else if (m->flags & DHCP_BROADCAST_FLAG || !yiaddr) {
		reply->route = ROUTE_BROADCAST;
		reply->address = UINT32_MAX;
	} else {
		reply->route = ROUTE_RAW;
		reply->address = yiaddr;
	}
}

static struct dhcp_message header(const struct dhcp_request *rq)
{
	struct dhcp_message h;

	/* Not all of it: the option tables are large, and the writer's is a list. */
	h.op = 2;
	h.hops = 0;
	h.xid = rq->m->xid;
	h.secs = 0;
	h.flags = rq->m->flags;
	h.ciaddr = h.yiaddr = h.siaddr = 0;
	h.giaddr = rq->m->giaddr;
	memcpy(h.chaddr, rq->m->chaddr, sizeof(h.chaddr));
	h.sname[0] = '\0';
	h.file[0] = '\0';
	return h;
}

static size_t size_limit(const struct dhcp_request *rq)
{
	enum { IP_UDP = 28, LEAST = 548 };
	size_t asked = dhcp_message_u16(rq->m, OPTION_MAX_SIZE);

	if (asked < LEAST + IP_UDP)
		return LEAST;
	/* EDK2 drops an OFFER over 1472 bytes, others a fragmented one. */
	return asked - IP_UDP > DHCP_MAX_SIZE ? DHCP_MAX_SIZE : asked - IP_UDP;
}

static struct dhcp_reply *reply_next(const struct dhcp_request *rq)
{
	struct dhcp_reply *reply = &rq->out->reply[rq->out->nreplies++];

	reply->durable = false;
	reply->event.kind = 0;
	return reply;
}

static void set_file(const char *file, struct dhcp_message *h, struct dhcp_options *list)
{
	if (strlen(file) < sizeof(h->file) - 1)
		snprintf(h->file, sizeof(h->file), "%s", file);
	else
		dhcp_options_add(list, OPTION_BOOT_FILE, file, strlen(file) + 1);
}

struct dhcp_reply *dhcp_reply_compose(const struct dhcp_request *rq, enum dhcp_type type,
				      uint32_t address, uint32_t lease_secs)
{
	struct dhcp_reply *reply = reply_next(rq);
	struct dhcp_message h = header(rq);
	struct dhcp_options list;

	h.yiaddr = address;
	h.siaddr = next_server(rq);
	/* Only an ACK repeats it (RFC 2131, table 3). */
	if (type == DHCP_ACK)
		h.ciaddr = rq->m->ciaddr;
	dhcp_options_init(&list);
	if (rq->m->type != DHCP_BOOTP) {
		dhcp_options_add_u8(&list, OPTION_TYPE, type);
		dhcp_options_add_u32(&list, OPTION_SERVER_ID, rq->server_id);
	}
	if (lease_secs) {
		dhcp_options_add_u32(&list, OPTION_LEASE_SECS, lease_secs);
		dhcp_options_add_u32(&list, OPTION_T1, lease_secs / 2);
		dhcp_options_add_u32(&list, OPTION_T2, lease_secs - lease_secs / 8 - 1);
	}
	set_file(dhcp_reply_file(rq), &h, &list);
	if (rq->class->menu == MENU_RPI)
		add_rpi_menu(&list);
	if (rq->class->ipxe)
		add_ipxe(&list);
	add_asked(rq, address, &list);
	add_echoes(rq, &list);
	reply->len = dhcp_message_write(&h, &list, reply->data, size_limit(rq));
	set_route(rq, reply, address);
	return reply;
}

struct dhcp_reply *dhcp_reply_nak(const struct dhcp_request *rq, const char *message)
{
	struct dhcp_reply *reply = reply_next(rq);
	struct dhcp_message h = header(rq);
	struct dhcp_options list;

	dhcp_options_init(&list);
	dhcp_options_add_u8(&list, OPTION_TYPE, DHCP_NAK);
	dhcp_options_add_u32(&list, OPTION_SERVER_ID, rq->server_id);
	dhcp_options_add_text(&list, OPTION_MESSAGE, message);
	add_echoes(rq, &list);
	set_route(rq, reply, 0);
	if (h.giaddr) {
		h.flags |= DHCP_BROADCAST_FLAG;
	} else {
		reply->route = ROUTE_BROADCAST;
		reply->address = UINT32_MAX;
	}
	reply->len = dhcp_message_write(&h, &list, reply->data, size_limit(rq));
	return reply;
}

struct dhcp_reply *dhcp_reply_pxe(const struct dhcp_request *rq, enum dhcp_type type)
{
	struct dhcp_reply *reply = reply_next(rq);
	struct dhcp_message h = header(rq);
	struct dhcp_options list;

	h.siaddr = next_server(rq);
	h.ciaddr = rq->m->ciaddr;
	dhcp_options_init(&list);
	dhcp_options_add_u8(&list, OPTION_TYPE, type);
	dhcp_options_add_u32(&list, OPTION_SERVER_ID, rq->server_id);
	set_file(dhcp_reply_file(rq), &h, &list);
	if (rq->class->menu == MENU_RPI)
		add_rpi_menu(&list);
	else
		add_pxe_direct(&list);
	add_value(rq, OPTION_TFTP_SERVER, 0, &list);
	add_value(rq, OPTION_BOOT_FILE, 0, &list);
	add_echoes(rq, &list);
	reply->len = dhcp_message_write(&h, &list, reply->data, size_limit(rq));
	set_route(rq, reply, 0);
	if (rq->in->port == DHCP_PORT_PXE && !rq->m->giaddr) {
		/* BINL: the client has an address, whether or not it says so. */
		reply->route = ROUTE_UNICAST;
		reply->address = rq->m->ciaddr ? rq->m->ciaddr : rq->in->source;
		reply->port = rq->in->source_port;
		if (!reply->address) {
			reply->route = ROUTE_BROADCAST;
			reply->address = UINT32_MAX;
			reply->port = DHCP_PORT_CLIENT;
		}
	}
	return reply;
}

void dhcp_request_describe(const struct dhcp_request *rq, const char *file, const char *more,
			   char *out, size_t size)
{
	char arch[16] = "";

	if (dhcp_class_arch(rq->m) >= 0)
		snprintf(arch, sizeof(arch), "arch=%d ", dhcp_class_arch(rq->m));
	snprintf(out, size, "%sstage=%s class=%s%s%s%s%s", arch, dhcp_stage_word(rq->class->stage),
		 rq->class->name, *file ? " file=" : "", file, *more ? " " : "", more);
}
