/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What asks DHCP in the course of a boot, one after another: ROMs of each kind, iPXE, a
 * kernel, its initrd.  Each as it does, packet by packet, against a copy of the dhcp child.
 */
#include "cli/doctor_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/control.h"
#include "dhcp/play.h"

/* Made-up time, which costs none: between two packets, and two machines.  So long after the
 * last one the server says again why it refuses. */
enum { ANSWER_MS = 20000, BETWEEN_MS = 2000, MACHINES_MS = 30000 };

#define PXE(arch) "PXEClient:Arch:000" arch

static const struct dhcp_part all_parts[] = {
	{.name = "BIOS ROM", .arch = 0, .vendor = PXE("00:UNDI:002001"), .only = BOARD_OTHER},
	{.name = "UEFI x64 ROM", .arch = 7, .vendor = PXE("07:UNDI:003001")},
	{.name = "UEFI ia32 ROM", .arch = 6, .vendor = PXE("06:UNDI:003001")},
	{.name = "UEFI arm64 ROM", .arch = 11, .vendor = PXE("11:UNDI:003001")},
	{.name = "UEFI arm32 ROM", .arch = 10, .vendor = PXE("10:UNDI:003001")},
	{.name = "iPXE", .arch = 0, .vendor = PXE("00:UNDI:002001"), .ipxe = true},
	{.name = "U-Boot", .arch = 0x16, .vendor = "U-Boot.armv8"},
	{.name = "Raspberry Pi 3",
	 .arch = 0,
	 .vendor = PXE("00:UNDI:002001"),
	 .only = BOARD_PI3,
	 .final = true},
	{.name = "Raspberry Pi 4", .arch = 0, .vendor = PXE("00:UNDI:002001"), .board = "RPi4"},
	{.name = "kernel", .arch = -1, .kernel = true},
	{.name = "initrd", .arch = -1, .vendor = "Linux ipconfig"},
};

/* One packet's answer. */
struct heard {
	bool any;
	char refused[256];
	size_t len;
	uint8_t data[DHCP_MAX_SIZE];
};

static int parts_open(struct doctor *d, int *fd)
{
	int r = control_open(d->cli->state_dir, "dhcp", fd, &d->cli->why);

	return r ? r : control_send(*fd, "play", 4, -1);
}

/* Without what it says of the client: that is known, and differs from one to the next. */
static const char *bare_reason(const char *text)
{
	static const char *const of_client[] = {"arch=", "stage=", "class="};

	for (size_t i = 0; i < ARRAY_SIZE(of_client); i++)
		if (!strncmp(text, of_client[i], strlen(of_client[i]))) {
			text += strcspn(text, " ");
			text += strspn(text, " ");
		}
	return text;
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
	if (part->board) {
		uint8_t uuid[17] = {0};

		memcpy(uuid + 1, part->board, strlen(part->board));
		dhcp_options_add(list, OPTION_UUID, uuid, sizeof(uuid));
	}
	if (part->ipxe)
		dhcp_options_add_text(list, OPTION_USER_CLASS, "iPXE");
	if (part->kernel)
		dhcp_options_add(list, OPTION_PARAMETERS, kernel, sizeof(kernel));
	else
		dhcp_options_add(list, OPTION_PARAMETERS, rom, sizeof(rom));
}

static int send_one(int fd, const char *interface, uint32_t after_ms, struct dhcp_message *m,
		    const struct dhcp_options *list)
{
	struct {
		struct dhcp_play_ask ask;
		uint8_t data[DHCP_MAX_SIZE];
	} packet = {.ask = {.destination = UINT32_MAX,
			    .source_port = DHCP_PORT_CLIENT,
			    .port = DHCP_PORT_SERVER,
			    .after_ms = after_ms}};
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

/* DISCOVER and REQUEST.  Returns 0 with what was given; 1: no answer, or a refusal, see
 * `refused`; or a negative errno with words. */
static int part_play(struct doctor *d, int fd, const char *interface, const struct mac *mac,
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
	r = send_one(fd, interface, MACHINES_MS, &m, &list);
	if (!r)
		r = hear(d, fd, &heard);
	if (r)
		return r;
	snprintf(part->refused, sizeof(part->refused), "%s", bare_reason(heard.refused));
	if (!heard.any)
		return 1;
	if (dhcp_message_parse(heard.data, heard.len, got))
		return -EBADMSG;
	note(got, part);
	/* A proxy's OFFER has no address, and nobody REQUESTs it of him. */
	if (!got->yiaddr || part->final)
		return 0;
	ask_options(part, DHCP_REQUEST, &list);
	dhcp_options_add_u32(&list, OPTION_REQUESTED_ADDRESS, got->yiaddr);
	dhcp_options_add_u32(&list, OPTION_SERVER_ID, dhcp_message_u32(got, OPTION_SERVER_ID));
	r = send_one(fd, interface, BETWEEN_MS, &m, &list);
	if (!r)
		r = hear(d, fd, &heard);
	if (r)
		return r;
	if (*heard.refused)
		snprintf(part->refused, sizeof(part->refused), "%s", bare_reason(heard.refused));
	if (!heard.any)
		return 1;
	if (dhcp_message_parse(heard.data, heard.len, got))
		return -EBADMSG;
	if (got->type != DHCP_ACK)
		return 1;
	note(got, part);
	return 0;
}

_Static_assert(ARRAY_SIZE(all_parts) <= DHCP_PARTS, "each has its place");

static bool may_be(const struct dhcp_part *part, const struct mac *mac)
{
	/* By which the server knows one, too: its ROM says no more. */
	bool pi3 = !memcmp(mac->octet, "\xb8\x27\xeb", 3);

	return part->only == BOARD_ANY || (part->only == BOARD_PI3) == pi3;
}

static const char *refusal(const struct dhcp_part *part)
{
	return *part->refused ? part->refused
			      : "the server is silent (unknown = ignore, or a packet that is not "
				"for it)";
}

/* One finding for all that are refused alike. */
static void tell_refused(struct host_play *p, unsigned int at)
{
	const struct dhcp_part *part = &p->parts[at];
	char names[200] = "";
	char mend[200];

	for (unsigned int i = 0; i < p->nparts; i++) {
		const struct dhcp_part *other = &p->parts[i];
		size_t len = strlen(names);

		if (other->answered || strcmp(other->refused, part->refused) != 0)
			continue;
		if (i < at)
			return; /* it has been told with that one */
		snprintf(names + len, sizeof(names) - len, "%s%s", len ? ", " : "", other->name);
	}
	finding(p->d->f, FINDING_ERROR, "dhcp",
		doctor_mend(p,
			    *part->refused ? part->refused
			    : p->host	   ? ""
					   : "not registered",
			    mend),
		"%s: no answer: %s", names, refusal(part));
}

static void tell_part(struct host_play *p, unsigned int at)
{
	const struct dhcp_part *part = &p->parts[at];
	struct findings *f = p->d->f;
	char address[IP4_TEXT];
	char server[IP4_TEXT];
	char mend[200];

	if (!part->answered) {
		tell_refused(p, at);
		return;
	}
	finding(f, FINDING_OK, "dhcp", NULL, "%s: %s from %s%s%s", part->name,
		part->address ? ip4_format(part->address, address) : "a boot file",
		ip4_format(part->server, server), *part->file ? ", file " : "", part->file);
	if (*part->refused)
		finding(f, FINDING_ERROR, "dhcp", doctor_mend(p, part->refused, mend), "%s: %s",
			part->name, part->refused);
}

int doctor_dhcp(struct host_play *p, const char *interface)
{
	cleanup(closep) int fd = -1;
	unsigned int given = 0;
	int r = parts_open(p->d, &fd);

	for (size_t i = 0; i < ARRAY_SIZE(all_parts) && r >= 0; i++) {
		struct dhcp_part *part = &p->parts[p->nparts];

		if (!may_be(&all_parts[i], &p->mac))
			continue;
		*part = all_parts[i];
		r = part_play(p->d, fd, interface, &p->mac, part);
		if (r < 0)
			break;
		p->nparts++;
		part->answered = !r;
		if (r)
			continue;
		given++;
		p->server = part->server;
		if (part->address)
			p->address = part->address;
	}
	for (unsigned int i = 0; i < p->nparts; i++)
		tell_part(p, i);
	if (r < 0)
		return r;
	/* Beside another server the address is that one's affair. */
	if (given && !p->address)
		p->address = p->host && p->host->address ? p->host->address : p->server + 1;
	return given ? 0 : 1;
}
