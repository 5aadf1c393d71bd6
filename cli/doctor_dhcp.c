/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/doctor_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/control.h"
#include "dhcp/play.h"

enum { ANSWER_MS = 20000, BETWEEN_MS = 2000 };

/* One packet's answer. */
struct heard {
	bool any;
	char refused[256];
	size_t len;
	uint8_t data[DHCP_MAX_SIZE];
};

int dhcp_parts_open(struct doctor *d, int *fd)
{
	int r = control_open(d->cli->state_dir, "dhcp", fd, &d->cli->why);

	return r ? r : control_send(*fd, "play", 4, -1);
}

static int hear(struct doctor *d, int fd, struct heard *out)
{
	char buf[CONTROL_PACKET_MAX];
	struct dhcp_play_say say;
	size_t len;
	int r;

	*out = (struct heard){.any = false};
	while (!(r = control_receive(fd, ANSWER_MS, buf, sizeof(buf), &len, &d->cli->why))) {
		if (len < sizeof(say))
			return -EBADMSG;
		memcpy(&say, buf, sizeof(say));
		len -= sizeof(say);
		if (say.kind == DHCP_PLAY_REFUSED) {
			snprintf(out->refused, sizeof(out->refused), "%.*s", (int)len,
				 buf + sizeof(say));
		} else if (say.kind == DHCP_PLAY_REPLY && len <= sizeof(out->data)) {
			out->any = true;
			out->len = len;
			memcpy(out->data, buf + sizeof(say), len);
		}
	}
	return r == CONTROL_END ? 0 : r;
}

static void ask_options(const struct dhcp_part *part, enum dhcp_type type,
			struct dhcp_options *list)
{
	static const uint8_t rom[] = {1,  2,  3,  5,  6,   11,	12,  13,  15,  16,  17,	 18,
				      43, 54, 60, 67, 128, 129, 130, 131, 132, 133, 134, 135};
	static const uint8_t kernel[] = {1, 3, 6, 12, 15, 17, 26, 40, 42};
	static const uint8_t ndi[] = {1, 2, 1};

	dhcp_options_init(list);
	dhcp_options_add_u8(list, OPTION_TYPE, (uint8_t)type);
	dhcp_options_add_u16(list, OPTION_MAX_SIZE, 1472);
	if (part->vendor)
		dhcp_options_add_text(list, OPTION_CLASS_ID, part->vendor);
	if (part->arch >= 0) {
		dhcp_options_add_u16(list, OPTION_ARCH, (uint16_t)part->arch);
		dhcp_options_add(list, OPTION_NDI, ndi, sizeof(ndi));
	}
	if (part->ipxe)
		dhcp_options_add_text(list, OPTION_USER_CLASS, "iPXE");
	if (part->kernel)
		dhcp_options_add(list, OPTION_PARAMETERS, kernel, sizeof(kernel));
	else
		dhcp_options_add(list, OPTION_PARAMETERS, rom, sizeof(rom));
}

static int send_one(int fd, const char *interface, struct dhcp_message *m,
		    const struct dhcp_options *list)
{
	struct {
		struct dhcp_play_ask ask;
		uint8_t data[DHCP_MAX_SIZE];
	} packet = {.ask = {.destination = UINT32_MAX,
			    .source_port = DHCP_PORT_CLIENT,
			    .port = DHCP_PORT_SERVER,
			    .after_ms = BETWEEN_MS}};
	size_t len = dhcp_message_write(m, list, packet.data, sizeof(packet.data));

	snprintf(packet.ask.interface, sizeof(packet.ask.interface), "%s", interface);
	return control_send(fd, &packet, sizeof(packet.ask) + len, -1);
}

static void note(const struct dhcp_message *m, struct dhcp_part *part)
{
	struct bytes file = m->option[OPTION_BOOT_FILE];
	struct bytes root = m->option[OPTION_ROOT_PATH];

	part->address = m->yiaddr;
	part->server = m->siaddr ? m->siaddr : dhcp_message_u32(m, OPTION_SERVER_ID);
	snprintf(part->file, sizeof(part->file), "%s", m->file);
	if (!*part->file && file.at)
		snprintf(part->file, sizeof(part->file), "%.*s", (int)file.len,
			 (const char *)file.at);
	part->root[0] = '\0';
	if (root.at)
		snprintf(part->root, sizeof(part->root), "%.*s", (int)root.len,
			 (const char *)root.at);
}

int dhcp_part_play(struct doctor *d, int fd, const char *interface, const struct mac *mac,
		   struct dhcp_part *part)
{
	cleanup(freep) struct dhcp_message *got = malloc(sizeof(*got));
	struct dhcp_message m = {.op = 1, .flags = DHCP_BROADCAST_FLAG};
	struct dhcp_options list;
	struct heard heard;
	int r;

	if (!got)
		return -ENOMEM;
	if (getrandom(&m.xid, sizeof(m.xid), 0) != sizeof(m.xid))
		return -EIO;
	memcpy(m.chaddr, mac, sizeof(*mac));
	ask_options(part, DHCP_DISCOVER, &list);
	r = send_one(fd, interface, &m, &list);
	if (!r)
		r = hear(d, fd, &heard);
	if (r)
		return r;
	snprintf(part->refused, sizeof(part->refused), "%s", heard.refused);
	if (!heard.any)
		return 1;
	if (dhcp_message_parse(heard.data, heard.len, got))
		return -EBADMSG;
	note(got, part);
	/* A proxy's OFFER has no address, and nobody REQUESTs it of him. */
	if (!got->yiaddr)
		return 0;
	ask_options(part, DHCP_REQUEST, &list);
	dhcp_options_add_u32(&list, OPTION_REQUESTED_ADDRESS, got->yiaddr);
	dhcp_options_add_u32(&list, OPTION_SERVER_ID, dhcp_message_u32(got, OPTION_SERVER_ID));
	r = send_one(fd, interface, &m, &list);
	if (!r)
		r = hear(d, fd, &heard);
	if (r)
		return r;
	if (*heard.refused)
		snprintf(part->refused, sizeof(part->refused), "%s", heard.refused);
	if (!heard.any)
		return 1;
	if (dhcp_message_parse(heard.data, heard.len, got))
		return -EBADMSG;
	if (got->type != DHCP_ACK)
		return 1;
	note(got, part);
	return 0;
}
