/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A server on 10.0.0.1/24 with databases of its own, scripted packets and scripted
 * time, for the tests of dhcp/.  Packets are built byte by byte here, not with
 * the code under test.
 */
#ifndef TESTS_UNIT_TEST_DHCP_FIXTURE_H
#define TESTS_UNIT_TEST_DHCP_FIXTURE_H

#include "tests/unit/unit.h"

#include "common/schema.h"
#include "dhcp/server.h"

#define IP(a, b, c, d)                                                                             \
	((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))
#define SERVER IP(10, 0, 0, 1)

struct site {
	char *dir;
	struct db *rootstock;
	struct db *leases;
	struct inventory *inventory;
	uint64_t change;
	struct dhcp_config config;
	struct dhcp_server *server;
	struct dhcp_output out;
	struct dhcp_now now;
};

/* One image with versions 1 and 2 (active: 1), one host "alpha" with a
 * reservation 10.0.0.50, one "beta" without, one "later" that is pending. */
static const char site_rows[] =
	"INSERT INTO image (id, name) VALUES (1, 'debian');"
	"INSERT INTO version (id, image, number, origin_kind, origin, added) VALUES"
	" (1, 1, 1, 'dir', '/a', 0), (2, 1, 2, 'dir', '/b', 0);"
	"UPDATE image SET active = 1;"
	"INSERT INTO host (id, name, address, pending, added, changed) VALUES"
	" (1, 'alpha', 167772210, 0, 0, 0), (2, 'beta', NULL, 0, 0, 0), (3, 'later', NULL, 1, 0, "
	"0);"
	"INSERT INTO host_mac VALUES (x'525400000001', 1), (x'525400000101', 1),"
	" (x'525400000002', 2), (x'525400000003', 3);"
	"UPDATE counter SET value = 7 WHERE name = 'change';";

static inline struct mac site_mac(unsigned int n)
{
	return (struct mac){{0x52, 0x54, 0, 0, (uint8_t)(n >> 8), (uint8_t)n}};
}
#define ALPHA site_mac(1)
#define ALPHA2 site_mac(0x101)
#define BETA site_mac(2)
#define LATER site_mac(3)
#define STRANGER(n) site_mac(0x1000 + (n))

static inline void site_inventory(struct site *site)
{
	struct inventory *inv;

	assert_int_equal(inventory_load(site->rootstock, &inv), 0);
	if (site->server)
		dhcp_server_inventory(site->server, inv, site->change);
	inventory_free(site->inventory);
	site->inventory = inv;
}

static inline void site_sql(struct site *site, const char *sql)
{
	assert_int_equal(db_exec(site->rootstock, sql), 0);
	site->change++;
	site_inventory(site);
}

static inline void site_start(struct site *site)
{
	struct why why = {""};

	assert_int_equal(db_open(site->dir, &schema_leases, DB_CREATE, &site->leases, &why), 0);
	assert_int_equal(
		dhcp_server_new(&site->config, site->leases, site->now, &site->server, &why), 0);
	dhcp_server_inventory(site->server, site->inventory, site->change);
}

static inline void site_stop(struct site *site)
{
	dhcp_server_free(site->server);
	site->server = NULL;
	db_close(site->leases);
	site->leases = NULL;
	site->out.nreplies = site->out.nprobes = site->out.nevents = 0;
}

static inline void site_restart(struct site *site)
{
	site_stop(site);
	site_start(site);
}

static inline int site_setup(void **state)
{
	struct site *site = calloc(1, sizeof(*site));
	struct why why = {""};
	void *dir;

	if (!site || unit_dir_setup(&dir))
		return -1;
	site->dir = dir;
	site->change = 7;
	site->now = (struct dhcp_now){{1000 * NS_PER_SEC}, INT64_C(1700000000) * NS_PER_SEC};
	dhcp_config_init(&site->config);
	site->config.probe_ms = 0;
	site->config.ninterfaces = 1;
	site->config.interfaces[0] = (struct dhcp_interface){
		.name = "eth0",
		.index = 2,
		.address = SERVER,
		.netmask = 0xffffff00,
		.mac = {{2, 0, 0, 0, 0, 1}},
		.fds = DHCP_LINK_FDS_NONE,
	};
	if (dhcp_config_derive(&site->config, &why) ||
	    db_open(site->dir, &schema_rootstock, DB_CREATE, &site->rootstock, &why) ||
	    db_exec(site->rootstock, site_rows))
		return -1;
	site_inventory(site);
	site_start(site);
	*state = site;
	return 0;
}

static inline int site_teardown(void **state)
{
	struct site *site = *state;
	void *dir = site->dir;

	site_stop(site);
	inventory_free(site->inventory);
	db_close(site->rootstock);
	dhcp_config_fini(&site->config);
	free(site);
	return unit_dir_teardown(&dir);
}

#define SITE(fn) cmocka_unit_test_setup_teardown(fn, site_setup, site_teardown)

static inline void site_pass(struct site *site, int64_t ms)
{
	site->now.mono.ns += ms * NS_PER_MS;
	site->now.wall_ns += ms * NS_PER_MS;
}

/* ---- packets ---- */

struct packet {
	uint8_t at[1500];
	size_t len;
	/* how it comes in */
	uint32_t source;
	uint16_t port;
};

static inline void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static inline void add_option(struct packet *p, uint8_t code, const void *data, size_t len)
{
	p->at[p->len++] = code;
	p->at[p->len++] = (uint8_t)len;
	if (len)
		memcpy(p->at + p->len, data, len);
	p->len += len;
}

static inline void add_option32(struct packet *p, uint8_t code, uint32_t v)
{
	uint8_t b[4];

	put32(b, v);
	add_option(p, code, b, 4);
}

static inline void add_text(struct packet *p, uint8_t code, const char *text)
{
	add_option(p, code, text, strlen(text));
}

static inline struct packet packet_of(uint8_t type, struct mac mac, uint32_t xid)
{
	struct packet p = {.len = 240, .port = 67};

	p.at[0] = 1;
	p.at[1] = 1;
	p.at[2] = 6;
	put32(p.at + 4, xid);
	memcpy(p.at + 28, &mac, 6);
	put32(p.at + 236, 0x63825363);
	add_option(&p, 53, &type, 1);
	return p;
}

static inline void set_ciaddr(struct packet *p, uint32_t a)
{
	put32(p->at + 12, a);
	p->source = a;
}

static inline void set_giaddr(struct packet *p, uint32_t a)
{
	put32(p->at + 24, a);
	p->source = a;
}

/* Hand it over as it stands; the output is emptied first. */
static inline void site_send_raw(struct site *site, const void *data, size_t len, uint32_t source,
				 uint16_t port)
{
	const struct dhcp_packet in = {
		.source = source,
		.source_port = 68,
		.destination = source ? SERVER : UINT32_MAX,
		.port = port,
		.data = {data, len},
	};

	site->out.nreplies = site->out.nprobes = site->out.nevents = 0;
	dhcp_server_packet(site->server, &in, site->now, &site->out);
}

/* With an END option. Returns the reply, or NULL. */
static inline struct dhcp_reply *site_send(struct site *site, const struct packet *p)
{
	struct packet whole = *p;

	whole.at[whole.len++] = 255;
	site_send_raw(site, whole.at, whole.len, whole.source, whole.port);
	assert_true(site->out.nreplies <= 1);
	return site->out.nreplies ? &site->out.reply[0] : NULL;
}

static inline void site_commit(struct site *site)
{
	assert_int_equal(dhcp_server_commit(site->server, site->now), 0);
}

/* ---- replies ---- */

static inline uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* An option of the reply's own field; NULL: not there.  Asserts that it comes once. */
static inline const uint8_t *reply_option(const struct dhcp_reply *r, uint8_t code, size_t *len)
{
	const uint8_t *found = NULL;
	const uint8_t *p = r->data + 240;

	while (p < r->data + r->len && *p != 255) {
		if (*p == 0) {
			p++;
			continue;
		}
		if (*p == code) {
			assert_null(found);
			found = p + 2;
			if (len)
				*len = p[1];
		}
		p += 2 + p[1];
	}
	assert_true(p < r->data + r->len); /* it has its END */
	return found;
}

static inline int reply_type(const struct dhcp_reply *r)
{
	const uint8_t *o = reply_option(r, 53, NULL);

	return o ? *o : 0;
}

static inline uint32_t reply_option32(const struct dhcp_reply *r, uint8_t code)
{
	size_t len = 0;
	const uint8_t *o = reply_option(r, code, &len);

	return o && len == 4 ? get32(o) : 0;
}

static inline uint32_t reply_yiaddr(const struct dhcp_reply *r)
{
	return get32(r->data + 16);
}

static inline uint32_t reply_siaddr(const struct dhcp_reply *r)
{
	return get32(r->data + 20);
}

static inline const char *reply_file(const struct dhcp_reply *r)
{
	return (const char *)r->data + 108;
}

#define assert_reply(reply, type_, yiaddr_)                                                        \
	do {                                                                                       \
		assert_non_null(reply);                                                            \
		assert_int_equal(reply_type(reply), type_);                                        \
		assert_int_equal(reply_yiaddr(reply), yiaddr_);                                    \
	} while (0)

/* The event that goes with the reply says `words`. */
static inline bool reply_says(const struct dhcp_reply *r, const char *words)
{
	return r && strstr(r->event.text, words);
}

/* ---- a whole exchange ---- */

static inline uint32_t discover(struct site *site, struct mac mac, uint32_t xid)
{
	struct packet p = packet_of(DHCP_DISCOVER, mac, xid);
	struct dhcp_reply *r = site_send(site, &p);

	if (!r)
		return 0;
	assert_int_equal(reply_type(r), DHCP_OFFER);
	return reply_yiaddr(r);
}

static inline struct dhcp_reply *request(struct site *site, struct mac mac, uint32_t xid,
					 uint32_t address)
{
	struct packet p = packet_of(DHCP_REQUEST, mac, xid);

	add_option32(&p, 50, address);
	add_option32(&p, 54, SERVER);
	return site_send(site, &p);
}

/* Returns the address; commits. */
static inline uint32_t acquire(struct site *site, struct mac mac)
{
	uint32_t xid = get32(mac.octet + 2) ^ (uint32_t)site->now.mono.ns;
	uint32_t address = discover(site, mac, xid);
	struct dhcp_reply *r;

	if (!address)
		return 0;
	r = request(site, mac, xid, address);
	assert_reply(r, DHCP_ACK, address);
	assert_true(r->durable);
	site_commit(site);
	return address;
}

static inline int64_t site_count(struct site *site, const char *sql)
{
	sqlite3_stmt *stmt = db_stmt(site->leases, sql);
	int64_t n;

	assert_int_equal(db_query(site->leases, stmt, ""), DB_ROW);
	n = sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return n;
}

static inline void lease_tally(void *n, struct lease *lease)
{
	(void)lease;
	(*(unsigned int *)n)++;
}

static inline unsigned int site_leases(struct site *site)
{
	unsigned int n = 0;

	leases_each(dhcp_server_leases(site->server), lease_tally, &n);
	return n;
}

#endif
