/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The whole server behind its sockets: the input is a run of steps, each a byte
 * that says what happens (a packet on 67 or 4011, one that a relay sent, time,
 * an answer to a probe, an event, a commit), a length, and that many bytes.  After each
 * step every reply must be one that a client can read.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/schema.h"
#include "dhcp/server.h"

#define SERVER UINT32_C(0x0a000001)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct site {
	struct db *rootstock;
	struct db *leases;
	struct inventory *inventory;
	struct dhcp_config config;
	struct dhcp_output out;
};

static struct site *site_make(void)
{
	static const char rows[] =
		"INSERT INTO image (id, name) VALUES (1, 'debian');"
		"INSERT INTO version (id, image, number, origin_kind, origin, added) VALUES"
		" (1, 1, 1, 'dir', '/a', 0);"
		"UPDATE image SET active = 1;"
		"INSERT INTO host (id, name, address, pending, added, changed) VALUES"
		" (1, 'alpha', 167772210, 0, 0, 0), (2, 'beta', NULL, 0, 0, 0),"
		" (3, 'later', NULL, 1, 0, 0);"
		"INSERT INTO host_mac VALUES (x'525400000001', 1), (x'525400000101', 1),"
		" (x'525400000002', 2), (x'525400000003', 3);"
		"INSERT INTO setting VALUES (2, 2, 'option-12', 'text:own'),"
		" (2, 2, 'option-121', 'routes:10.1.0.0/16 10.0.0.1');";
	static const char *const files[] = {"rootstock.db", "rootstock.db-wal", "rootstock.db-shm",
					    "leases.db",    "leases.db-wal",	"leases.db-shm"};
	struct site *site = calloc(1, sizeof(*site));
	char dir[] = "/tmp/rootstock-fuzz.XXXXXX";
	struct dhcp_subnet *s;

	log_init("fuzz", LOG_LEVEL_NONE);
	assert(site && mkdtemp(dir));
	assert(!db_open(dir, &schema_rootstock, DB_CREATE, &site->rootstock, NULL));
	assert(!db_open(dir, &schema_leases, DB_CREATE, &site->leases, NULL));
	assert(!db_exec(site->leases, "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY"));
	assert(!db_exec(site->rootstock, rows));
	assert(!inventory_load(site->rootstock, &site->inventory));
	/* The databases go with the process. */
	for (unsigned int i = 0; i < ARRAY_SIZE(files); i++) {
		char path[64];

		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	rmdir(dir);
	dhcp_config_init(&site->config);
	site->config.ninterfaces = 1;
	site->config.interfaces[0] = (struct dhcp_interface){.name = "eth0",
							     .index = 2,
							     .address = SERVER,
							     .netmask = 0xffffff00,
							     .fds = DHCP_LINK_FDS_NONE};
	s = dhcp_config_add_subnet(&site->config);
	s->network = 0x0a000000;
	s->mask = 0xffffff00;
	s->shared = 1;
	s->ranges[s->nranges++] = (struct dhcp_range){0x0a000030, 0x0a000037};
	s = dhcp_config_add_subnet(&site->config);
	s->network = 0x0a010000;
	s->mask = 0xffff0000;
	s->shared = 1;
	s->ranges[s->nranges++] = (struct dhcp_range){0x0a010010, 0x0a010013};
	assert(!dhcp_config_derive(&site->config, NULL));
	return site;
}

/* Options must be whole and end; lengths and fields in range. */
static void check(const struct dhcp_output *out)
{
	for (unsigned int i = 0; i < out->nreplies; i++) {
		const struct dhcp_reply *r = &out->reply[i];
		const uint8_t *p = r->data + 240;
		const uint8_t *end = r->data + r->len;

		assert(r->len >= DHCP_MIN_SIZE && r->len <= DHCP_MAX_SIZE);
		assert(r->data[0] == 2);
		while (p < end && *p != OPTION_END)
			p += *p ? 2 + p[1] : 1;
		assert(p < end);
		assert(r->route != ROUTE_RAW || r->address);
	}
	for (unsigned int i = 0; i < out->nevents; i++)
		assert(memchr(out->event[i].text, 0, sizeof(out->event[i].text)));
}

static void step(struct site *site, struct dhcp_server *server, uint8_t what, struct bytes in,
		 struct dhcp_now *now)
{
	struct dhcp_packet packet = {.source_port = 68, .port = DHCP_PORT_SERVER, .data = in};
	struct cursor c = cursor_of(in.at, in.len);
	struct event event = {0};
	int64_t ms;
	struct mac mac = {{0x52, 0x54, 0, 0, 0, 9}};

	switch (what % 8) {
	case 0:
	case 1:
		dhcp_server_packet(server, &packet, *now, &site->out);
		break;
	case 2:
		packet.port = DHCP_PORT_PXE;
		dhcp_server_packet(server, &packet, *now, &site->out);
		break;
	case 3: /* from the address that it claims */
		if (in.len >= 16)
			packet.source = (uint32_t)in.at[12] << 24 | (uint32_t)in.at[13] << 16 |
					(uint32_t)in.at[14] << 8 | in.at[15];
		dhcp_server_packet(server, &packet, *now, &site->out);
		break;
	case 4:
		ms = (int64_t)cursor_be16(&c) << (cursor_u8(&c) & 15);
		now->mono.ns += ms * NS_PER_MS;
		now->wall_ns += ms * NS_PER_MS;
		dhcp_server_tick(server, *now, &site->out);
		break;
	case 5:
		dhcp_server_taken(server, 0, cursor_be32(&c), cursor_u8(&c) & 1 ? &mac : NULL,
				  *now);
		break;
	case 6:
		event.kind = cursor_u8(&c);
		event.address = cursor_be32(&c);
		dhcp_server_event(server, &event, *now);
		break;
	default:
		assert(!dhcp_server_commit(server, *now));
		break;
	}
	check(&site->out);
	site->out.nreplies = site->out.nprobes = site->out.nevents = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct site *site;
	struct dhcp_now now = {{INT64_C(1000000) * NS_PER_SEC}, INT64_C(1700000000) * NS_PER_SEC};
	struct cursor c = cursor_of(data, size);
	struct dhcp_server *server;
	uint8_t flags;

	if (!site)
		site = site_make();
	db_exec(site->leases, "DELETE FROM lease; DELETE FROM boot");
	flags = cursor_u8(&c);
	site->config.mode = flags & 1 ? DHCP_MODE_PROXY : DHCP_MODE_FULL;
	site->config.authoritative = flags & 2;
	site->config.probe_ms = flags & 4 ? 200 : 0;
	site->config.unknown = flags & 8 ? DHCP_UNKNOWN_PENDING : DHCP_UNKNOWN_BOOT;
	assert(!dhcp_server_new(&site->config, site->leases, now, &server, NULL));
	dhcp_server_inventory(server, site->inventory, 1);
	while (cursor_left(&c) > 3) {
		uint8_t what = cursor_u8(&c);
		size_t len = cursor_be16(&c) % (DHCP_RECEIVE_MAX + 16);
		struct bytes in = cursor_take(&c, len < cursor_left(&c) ? len : cursor_left(&c));

		step(site, server, what, in, &now);
	}
	assert(!dhcp_server_commit(server, now));
	dhcp_server_free(server);
	return 0;
}
