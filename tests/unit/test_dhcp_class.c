/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each kind of client with the packet that it sends, built by hand after its
 * source or a capture, and the reply that it needs.
 */
#include "tests/unit/test_dhcp_fixture.h"

static const uint8_t uuid[17] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static void add_arch(struct packet *p, uint16_t arch)
{
	const uint8_t b[2] = {(uint8_t)(arch >> 8), (uint8_t)arch};

	add_option(p, 93, b, 2);
}

/* EDK2, NetworkPkg/UefiPxeBcDxe. */
static struct packet edk2(struct mac mac, uint16_t arch)
{
	static const uint8_t asked[] = {1,  2,	3,  4,	 5,   6,   12,	13,  15,  17,  18, 22,
					23, 28, 40, 41,	 42,  43,  50,	51,  54,  58,  59, 60,
					66, 67, 97, 128, 129, 130, 131, 132, 133, 134, 135};
	struct packet p = packet_of(DHCP_DISCOVER, mac, 0x1000 + arch);
	char class_id[40];

	snprintf(class_id, sizeof(class_id), "PXEClient:Arch:%05u:UNDI:003016", arch);
	add_option(&p, 57, "\x05\xc0", 2); /* 1472 */
	add_option(&p, 55, asked, sizeof(asked));
	add_option(&p, 97, uuid, sizeof(uuid));
	add_option(&p, 94, "\1\3\x10", 3);
	add_arch(&p, arch);
	add_text(&p, 60, class_id);
	p.at[10] = 0x80;
	return p;
}

/* Intel's ROM, and most others on a BIOS. */
static struct packet bios(struct mac mac)
{
	static const uint8_t asked[] = {1,  2,	3,  5,	6,   11,  12,  13,  15,	 16,  17,  18,
					43, 54, 60, 67, 128, 129, 130, 131, 132, 133, 134, 135};
	struct packet p = packet_of(DHCP_DISCOVER, mac, 0x2000);

	add_option(&p, 55, asked, sizeof(asked));
	add_option(&p, 57, "\x04\xec", 2);
	add_option(&p, 97, uuid, sizeof(uuid));
	add_arch(&p, 0);
	add_option(&p, 94, "\1\2\1", 3);
	add_text(&p, 60, "PXEClient:Arch:00000:UNDI:002001");
	p.at[10] = 0x80;
	return p;
}

/* iPXE, src/net/udp/dhcp.c. */
static struct packet ipxe(struct mac mac, uint16_t arch, bool user_class)
{
	static const uint8_t asked[] = {1,   3,	  6,   7,   12,	 15,  17,  26,	43,  60,  66, 67,
					119, 128, 129, 130, 131, 132, 133, 134, 135, 175, 203};
	static const uint8_t features[] = {177, 5, 1,  0x1a, 0xf4, 0x10, 0, 0xeb,
					   3,	1, 20, 0,    23,   1,	 1};
	struct packet p = packet_of(DHCP_DISCOVER, mac, 0x3000 + arch);

	add_option(&p, 57, "\x05\xc0", 2);
	add_arch(&p, arch);
	add_option(&p, 94, "\1\2\1", 3);
	add_text(&p, 60, "PXEClient:Arch:00000:UNDI:002001");
	if (user_class)
		add_text(&p, 77, "iPXE");
	add_option(&p, 55, asked, sizeof(asked));
	add_option(&p, 175, features, sizeof(features));
	add_option(&p, 61, "\1RT\0\0\0\2", 7);
	add_option(&p, 97, uuid, sizeof(uuid));
	return p;
}

static void assert_plain_pxe(const struct dhcp_reply *r, const char *file)
{
	assert_non_null(r);
	assert_int_equal(reply_type(r), DHCP_OFFER);
	assert_null(reply_option(r, 60, NULL));
	assert_null(reply_option(r, 43, NULL));
	assert_int_equal(reply_siaddr(r), SERVER);
	assert_int_equal(reply_option32(r, 54), SERVER);
	assert_string_equal(reply_file(r), file);
	assert_true(r->len <= 1472);
}

static void a_bios_rom_gets_pxelinux(void **state)
{
	struct site *site = *state;
	struct packet p = bios(BETA);
	struct dhcp_reply *r = site_send(site, &p);
	size_t len = 0;

	assert_plain_pxe(r, "pxelinux.0");
	assert_int_equal(r->route, ROUTE_BROADCAST);
	assert_memory_equal(reply_option(r, 97, &len), uuid, sizeof(uuid));
	assert_int_equal(len, sizeof(uuid));
	assert_true(reply_says(r, "arch=0 stage=rom class=bios file=pxelinux.0"));
}

static void a_bios_rom_that_leaves_out_its_arch_gets_it_too(void **state)
{
	struct site *site = *state;
	struct packet p = packet_of(DHCP_DISCOVER, BETA, 1);

	add_text(&p, 60, "PXEClient");
	assert_plain_pxe(site_send(site, &p), "pxelinux.0");
}

static void uefi_gets_siaddr_and_file_without_60_and_43(void **state)
{
	static const struct {
		uint16_t arch;
		const char *file;
	} kinds[] = {{6, "bootia32.efi"},
		     {7, "bootx64.efi"},
		     {9, "bootx64.efi"},
		     {10, "bootarm.efi"},
		     {11, "bootaa64.efi"}};
	struct site *site = *state;

	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct packet p = edk2(STRANGER(i), kinds[i].arch);
		struct dhcp_reply *r = site_send(site, &p);
		const uint8_t *file;
		size_t len = 0;

		assert_plain_pxe(r, kinds[i].file);
		file = reply_option(r, 67, &len);
		assert_int_equal(len, strlen(kinds[i].file) + 1);
		assert_int_equal(file[len - 1], 0);
	}
}

static void a_uefi_http_client_is_named_and_not_answered(void **state)
{
	struct site *site = *state;
	struct packet p = packet_of(DHCP_DISCOVER, BETA, 1);

	add_text(&p, 60, "HTTPClient:Arch:00016:UNDI:003001");
	add_arch(&p, 16);
	assert_null(site_send(site, &p));
	assert_int_equal(site->out.event[1].kind, EVENT_REFUSED);
	assert_non_null(strstr(site->out.event[1].text, "UEFI HTTP boot"));
}

static void an_architecture_without_a_loader_is_served_once_one_is_named(void **state)
{
	struct site *site = *state;
	struct packet p = edk2(BETA, 27); /* RISC-V */

	assert_null(site_send(site, &p));
	assert_non_null(strstr(site->out.event[1].text, "no loader is known"));
	site_sql(site, "INSERT INTO setting VALUES (2, 2, 'loader', 'grubriscv64.efi')");
	assert_plain_pxe(site_send(site, &p), "grubriscv64.efi");
}

static void ipxe_is_known_in_all_its_disguises(void **state)
{
	struct site *site = *state;
	struct packet p = ipxe(STRANGER(1), 0, true);
	struct dhcp_reply *r = site_send(site, &p);

	assert_plain_pxe(r, "pxelinux.0");
	assert_true(reply_says(r, "class=ipxe"));
	/* no proxy: it does not wait two seconds for one */
	assert_memory_equal(reply_option(r, 175, NULL), "\xb0\1\1", 3);
	p = ipxe(STRANGER(2), 7, true);
	r = site_send(site, &p);
	assert_plain_pxe(r, "boot.ipxe");
	assert_non_null(reply_option(r, 175, NULL));
	p = ipxe(STRANGER(3), 7, false);
	assert_plain_pxe(site_send(site, &p), "boot.ipxe");
	p = packet_of(DHCP_DISCOVER, STRANGER(4), 1);
	add_arch(&p, 7);
	add_text(&p, 60, "PXEClient:Arch:00007:UNDI:003016");
	add_option(&p, 77, "\4iPXE", 5);
	assert_plain_pxe(site_send(site, &p), "boot.ipxe");
	p = edk2(STRANGER(5), 7);
	assert_null(reply_option(site_send(site, &p), 175, NULL));
}

static void a_raspberry_pi_finds_its_menu(void **state)
{
	struct site *site = *state;
	const struct mac pi3 = {{0xb8, 0x27, 0xeb, 1, 2, 3}};
	struct packet p = packet_of(DHCP_DISCOVER, STRANGER(1), 1);
	const uint8_t *menu;
	size_t len = 0;
	struct dhcp_reply *r;

	add_arch(&p, 0);
	add_option(&p, 97, "\0RPi4\1\2\3\4\5\6\7\10\11\12\13\14", 17);
	add_text(&p, 60, "PXEClient:Arch:00000:UNDI:002001");
	r = site_send(site, &p);
	assert_memory_equal(reply_option(r, 60, NULL), "PXEClient", 9);
	menu = reply_option(r, 43, &len);
	assert_non_null(memmem(menu, len, "\x09\x17\0\0\x14Raspberry Pi Boot   ", 25));
	assert_int_equal(reply_siaddr(r), SERVER);
	assert_false(r->durable);
	assert_string_equal(reply_file(r), "");
	/* the Pi 3 takes the OFFER as final: a short lease is on disk before it */
	p = packet_of(DHCP_DISCOVER, pi3, 0x26f30339);
	add_arch(&p, 0);
	add_text(&p, 60, "PXEClient:Arch:00000:UNDI:002001");
	r = site_send(site, &p);
	assert_non_null(reply_option(r, 43, NULL));
	assert_true(r->durable);
	site_commit(site);
	assert_int_equal(site_count(site, "SELECT count(*) FROM lease WHERE state = 2"), 1);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot"), 1);
}

static void u_boot_gets_an_address_and_the_server(void **state)
{
	struct site *site = *state;
	struct packet p = packet_of(DHCP_DISCOVER, BETA, 1);
	struct dhcp_reply *r;

	add_arch(&p, 0x16);
	add_text(&p, 60, "U-Boot.armv8");
	r = site_send(site, &p);
	assert_plain_pxe(r, "");
	assert_true(reply_says(r, "class=uboot"));
}

static void grub_joins_the_boot_of_the_rom_that_loaded_it(void **state)
{
	static const uint8_t asked[] = {1, 3, 6, 15, 12, 17, 18};
	struct site *site = *state;
	struct packet p = edk2(BETA, 7);
	struct dhcp_reply *r = site_send(site, &p);
	uint32_t address = reply_yiaddr(r);

	p.at[242] = DHCP_REQUEST;
	add_option32(&p, 50, address);
	add_option32(&p, 54, SERVER);
	assert_reply(site_send(site, &p), DHCP_ACK, address);
	p = packet_of(DHCP_DISCOVER, BETA, 5);
	r = site_send(site, &p);
	assert_reply(r, DHCP_OFFER, address);
	assert_true(reply_says(r, "stage=loader class=grub"));
	p = packet_of(DHCP_REQUEST, BETA, 5);
	add_option32(&p, 54, SERVER);
	add_option32(&p, 50, address);
	add_option(&p, 55, asked, sizeof(asked));
	r = site_send(site, &p);
	assert_reply(r, DHCP_ACK, address);
	assert_true(reply_says(r, "class=grub"));
	assert_int_equal(reply_siaddr(r), SERVER);
	site_commit(site);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot"), 1);
}

static void the_kernel_and_klibc_get_server_and_root_path(void **state)
{
	static const uint8_t kernel[] = {1, 3, 6, 12, 15, 17, 26, 40, 42};
	static const uint8_t klibc[] = {1, 3, 6, 12, 15, 17, 26, 28, 40};
	struct site *site = *state;
	struct packet p = packet_of(DHCP_DISCOVER, BETA, 1);
	struct dhcp_reply *r;
	size_t len = 0;

	add_option(&p, 55, kernel, sizeof(kernel));
	r = site_send(site, &p);
	assert_true(reply_says(r, "stage=kernel"));
	assert_memory_equal(reply_option(r, 17, &len), "10.0.0.1:/", 10);
	assert_memory_equal(reply_option(r, 12, &len), "beta", 4);
	assert_int_equal(reply_siaddr(r), SERVER);
	assert_int_equal(reply_option32(r, 54), SERVER);
	assert_string_equal(reply_file(r), "");
	/* klibc compares all 16 bytes of chaddr */
	p = packet_of(DHCP_DISCOVER, BETA, 2);
	memset(p.at + 34, 0xee, 10);
	add_option(&p, 55, klibc, sizeof(klibc));
	add_text(&p, 60, "Linux ipconfig");
	r = site_send(site, &p);
	assert_true(reply_says(r, "stage=initrd"));
	assert_memory_equal(r->data + 28, p.at + 28, 16);
	assert_true(r->len >= 300);
	assert_int_equal(reply_option32(r, 28), IP(10, 0, 0, 255));
}

static void a_host_may_have_its_own_loader_and_options(void **state)
{
	struct site *site = *state;
	struct packet p = bios(BETA);
	size_t len = 0;
	struct dhcp_reply *r;

	site_sql(site, "INSERT INTO setting VALUES (2, 2, 'loader', 'lpxelinux.0'),"
		       " (2, 2, 'option-128', 'hex:0102'), (2, 2, 'option-54', 'ip:1.2.3.4'),"
		       " (2, 2, 'option-12', 'text:own')");
	r = site_send(site, &p);
	assert_plain_pxe(r, "lpxelinux.0");
	assert_memory_equal(reply_option(r, 128, &len), "\1\2", 2);
	assert_memory_equal(reply_option(r, 12, &len), "own", 3);
}

static void ipxe_as_a_loader_is_not_told_to_load_itself(void **state)
{
	struct site *site = *state;
	struct packet p;

	site_sql(site, "INSERT INTO setting VALUES (2, 2, 'loader', 'snponly.efi')");
	p = edk2(BETA, 7);
	assert_plain_pxe(site_send(site, &p), "snponly.efi");
	p = ipxe(BETA, 7, true);
	assert_plain_pxe(site_send(site, &p), "boot.ipxe");

	site_sql(site, "UPDATE setting SET value = 'efi/undionly.kpxe' WHERE key = 'loader'");
	p = bios(BETA);
	assert_plain_pxe(site_send(site, &p), "efi/undionly.kpxe");
	p = ipxe(BETA, 0, true);
	assert_plain_pxe(site_send(site, &p), "boot.ipxe");

	/* A script of the operator's own is no program. */
	site_sql(site, "UPDATE setting SET value = 'rescue.ipxe' WHERE key = 'loader'");
	p = ipxe(BETA, 7, true);
	assert_plain_pxe(site_send(site, &p), "rescue.ipxe");

	/* Another loader is for iPXE as for any ROM. */
	site_sql(site, "UPDATE setting SET value = 'grubnetx64.efi' WHERE key = 'loader'");
	p = ipxe(BETA, 7, true);
	assert_plain_pxe(site_send(site, &p), "grubnetx64.efi");
}

/* ---- beside another server ---- */

static void a_proxy_offers_loaders_without_addresses(void **state)
{
	struct site *site = *state;
	struct packet p = edk2(BETA, 7);
	const uint8_t *control;
	size_t len = 0;
	struct dhcp_reply *r;

	site->config.mode = DHCP_MODE_PROXY;
	r = site_send(site, &p);
	assert_reply(r, DHCP_OFFER, 0);
	assert_null(reply_option(r, 51, NULL));
	assert_memory_equal(reply_option(r, 60, NULL), "PXEClient", 9);
	control = reply_option(r, 43, &len);
	assert_memory_equal(control, "\6\1\x08", 3);
	assert_string_equal(reply_file(r), "bootx64.efi");
	assert_int_equal(reply_siaddr(r), SERVER);
	assert_int_equal(r->route, ROUTE_BROADCAST);
	/* who wants no loader is none of its business */
	p = packet_of(DHCP_DISCOVER, BETA, 2);
	assert_null(site_send(site, &p));
	p = packet_of(DHCP_REQUEST, BETA, 2);
	set_ciaddr(&p, IP(10, 0, 0, 9));
	assert_null(site_send(site, &p));
}

static void a_proxy_learns_addresses_from_the_clients_requests(void **state)
{
	struct site *site = *state;
	struct packet p = edk2(BETA, 7);

	site->config.mode = DHCP_MODE_PROXY;
	assert_non_null(site_send(site, &p));
	p = packet_of(DHCP_REQUEST, BETA, 0x1007);
	add_option32(&p, 50, IP(10, 0, 0, 77));
	add_option32(&p, 54, IP(10, 0, 0, 254));
	assert_null(site_send(site, &p));
	site_commit(site);
	assert_int_equal(site_count(site, "SELECT address FROM lease WHERE state = 2"),
			 IP(10, 0, 0, 77));
	assert_int_equal(site_count(site, "SELECT address FROM boot WHERE version = 1"),
			 IP(10, 0, 0, 77));
}

static void port_4011_answers_in_either_mode(void **state)
{
	struct site *site = *state;
	struct packet p = edk2(BETA, 7);

	for (unsigned int i = 0; i < 2; i++) {
		struct dhcp_reply *r;

		site->config.mode = i ? DHCP_MODE_PROXY : DHCP_MODE_FULL;
		p.at[242] = DHCP_REQUEST;
		p.port = 4011;
		set_ciaddr(&p, IP(10, 0, 0, 77));
		r = site_send(site, &p);
		assert_reply(r, DHCP_ACK, 0);
		assert_int_equal(r->source_port, 4011);
		assert_int_equal(r->address, IP(10, 0, 0, 77));
		assert_int_equal(r->port, 68);
		assert_string_equal(reply_file(r), "bootx64.efi");
		assert_memory_equal(reply_option(r, 60, NULL), "PXEClient", 9);
		assert_int_equal(reply_option32(r, 54), SERVER);
	}
}

static void the_same_loader_twice_in_30_seconds_is_noticed(void **state)
{
	struct site *site = *state;
	struct packet p = bios(BETA);
	struct dhcp_reply *r = site_send(site, &p);
	uint32_t address = reply_yiaddr(r);

	for (unsigned int i = 0; i < 3; i++) {
		p = bios(BETA);
		put32(p.at + 4, 0x2000 + i);
		site_send(site, &p);
		p.at[242] = DHCP_REQUEST;
		add_option32(&p, 50, address);
		add_option32(&p, 54, SERVER);
		r = site_send(site, &p);
		assert_reply(r, DHCP_ACK, address);
		if (i == 1)
			assert_true(reply_says(r, "again"));
		else
			assert_false(reply_says(r, "again"));
		site_pass(site, i == 0 ? 10000 : 60000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SITE(a_bios_rom_gets_pxelinux),
		SITE(a_bios_rom_that_leaves_out_its_arch_gets_it_too),
		SITE(uefi_gets_siaddr_and_file_without_60_and_43),
		SITE(a_uefi_http_client_is_named_and_not_answered),
		SITE(an_architecture_without_a_loader_is_served_once_one_is_named),
		SITE(ipxe_is_known_in_all_its_disguises),
		SITE(a_raspberry_pi_finds_its_menu),
		SITE(u_boot_gets_an_address_and_the_server),
		SITE(grub_joins_the_boot_of_the_rom_that_loaded_it),
		SITE(the_kernel_and_klibc_get_server_and_root_path),
		SITE(a_host_may_have_its_own_loader_and_options),
		SITE(ipxe_as_a_loader_is_not_told_to_load_itself),
		SITE(a_proxy_offers_loaders_without_addresses),
		SITE(a_proxy_learns_addresses_from_the_clients_requests),
		SITE(port_4011_answers_in_either_mode),
		SITE(the_same_loader_twice_in_30_seconds_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
