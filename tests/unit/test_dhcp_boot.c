/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The life of boots, through the server: who opens, joins, pins and ends them.
 */
#include "tests/unit/test_dhcp_fixture.h"

static const uint8_t kernel_asks[] = {1, 3, 6, 12, 15, 17, 26, 40, 42};

enum who { ROM, IPXE, KERNEL, OS };

static struct packet of(enum who who, uint8_t type, struct mac mac, uint32_t xid)
{
	struct packet p = packet_of(type, mac, xid);

	if (who == ROM || who == IPXE) {
		add_option(&p, 93, "\0\7", 2);
		add_text(&p, 60, "PXEClient:Arch:00007:UNDI:003016");
	}
	if (who == IPXE)
		add_text(&p, 77, "iPXE");
	if (who == KERNEL)
		add_option(&p, 55, kernel_asks, sizeof(kernel_asks));
	if (who == OS)
		add_text(&p, 12, "os");
	return p;
}

/* DISCOVER to ACK, committed.  Returns the address. */
static uint32_t boot(struct site *site, enum who who, struct mac mac, uint32_t xid)
{
	struct packet p = of(who, DHCP_DISCOVER, mac, xid);
	struct dhcp_reply *r = site_send(site, &p);
	uint32_t address;

	assert_non_null(r);
	address = reply_yiaddr(r);
	p = of(who, DHCP_REQUEST, mac, xid);
	add_option32(&p, 50, address);
	add_option32(&p, 54, SERVER);
	assert_reply(site_send(site, &p), DHCP_ACK, address);
	site_commit(site);
	return address;
}

static void tell(struct site *site, uint32_t kind, uint32_t address)
{
	const struct event e = {.kind = kind, .address = address};

	dhcp_server_event(site->server, &e, site->now);
	site_commit(site);
}

static void runs(struct site *site, uint32_t address)
{
	tell(site, EVENT_MOUNT, address);
	tell(site, EVENT_INIT, address);
}

static int64_t open_boots(struct site *site)
{
	return site_count(site, "SELECT count(*) FROM boot WHERE ended IS NULL");
}

static int64_t newest_version(struct site *site)
{
	return site_count(site, "SELECT version FROM boot WHERE ended IS NULL"
				" ORDER BY id DESC LIMIT 1");
}

static void the_stages_of_one_boot_share_a_row(void **state)
{
	struct site *site = *state;
	uint32_t address = boot(site, ROM, BETA, 1);

	site_pass(site, 5000);
	site_sql(site, "UPDATE image SET active = 2"); /* in the middle of the boot */
	assert_int_equal(boot(site, IPXE, BETA, 2), address);
	site_pass(site, 5000);
	assert_int_equal(boot(site, KERNEL, BETA, 3), address);
	runs(site, address);
	assert_int_equal(boot(site, OS, BETA, 4), address);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot"), 1);
	assert_int_equal(newest_version(site), 1);
	assert_int_equal(site_count(site, "SELECT arch FROM boot"), 7);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot WHERE mounted IS NOT NULL"
					  " AND init IS NOT NULL AND change = 7"),
			 1);
}

static void a_running_boot_stays_pinned_until_the_next_reads_init(void **state)
{
	struct site *site = *state;
	uint32_t address = boot(site, ROM, BETA, 1);

	runs(site, address);
	site_sql(site, "UPDATE image SET active = 2");
	site_pass(site, 3600000);
	assert_int_equal(boot(site, ROM, BETA, 2), address);
	assert_int_equal(open_boots(site), 2);
	assert_int_equal(newest_version(site), 2);
	assert_int_equal(site_count(site, "SELECT version FROM boot WHERE ended IS NULL"
					  " ORDER BY id LIMIT 1"),
			 1);
	tell(site, EVENT_MOUNT, address);
	assert_int_equal(open_boots(site), 2);
	tell(site, EVENT_INIT, address);
	assert_int_equal(open_boots(site), 1);
	assert_int_equal(newest_version(site), 2);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot WHERE reason LIKE"
					  " 'a later boot%'"),
			 1);
}

static void a_boot_pins_the_mode_of_its_root(void **state)
{
	static const char tmpfs[] = "SELECT count(*) FROM boot WHERE ended IS NULL"
				    " AND mode = 'tmpfs'";
	static const char overlay[] = "SELECT count(*) FROM boot WHERE ended IS NULL"
				      " AND mode = 'overlay'";
	struct site *site = *state;

	boot(site, ROM, BETA, 1);
	assert_int_equal(site_count(site, tmpfs), 1);
	site_sql(site, "INSERT INTO setting VALUES (0, 0, 'mode', 'overlay')");
	boot(site, KERNEL, BETA, 2);
	site_restart(site);
	assert_int_equal(site_count(site, tmpfs), 1);
	runs(site, boot(site, ROM, BETA, 3));
	assert_int_equal(site_count(site, overlay), 1);
	assert_int_equal(site_count(site, tmpfs), 0);
}

static void a_forged_discover_leaves_nothing_behind(void **state)
{
	struct site *site = *state;
	uint32_t address = boot(site, ROM, BETA, 1);
	struct packet p;

	runs(site, address);
	site_sql(site, "UPDATE image SET active = 2");
	for (uint32_t i = 0; i < 20; i++) {
		p = of(ROM, DHCP_DISCOVER, BETA, 100 + i);
		assert_non_null(site_send(site, &p));
		site_commit(site);
		site_pass(site, 1000);
	}
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot"), 1);
	/* a renewal does not make it real */
	p = of(OS, DHCP_REQUEST, BETA, 9);
	set_ciaddr(&p, address);
	assert_reply(site_send(site, &p), DHCP_ACK, address);
	site_commit(site);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot"), 1);
	assert_int_equal(newest_version(site), 1);
	/* nor does a further mount of the running one */
	tell(site, EVENT_MOUNT, address);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot"), 1);
}

static void a_boot_that_failed_before_its_mount_ends_with_the_next(void **state)
{
	struct site *site = *state;

	boot(site, ROM, BETA, 1);
	site_sql(site, "UPDATE image SET active = 2");
	site_pass(site, 60000);
	boot(site, ROM, BETA, 2);
	assert_int_equal(open_boots(site), 1);
	assert_int_equal(newest_version(site), 2);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot"), 2);
}

static void a_rom_that_retries_joins_its_own_boot(void **state)
{
	struct site *site = *state;
	struct packet p = of(ROM, DHCP_DISCOVER, BETA, 1);

	site_send(site, &p);
	site_pass(site, 4000);
	put32(p.at + 4, 2);
	site_send(site, &p);
	site_pass(site, 8000);
	boot(site, ROM, BETA, 3);
	/* the same message again, late in the network */
	p = of(ROM, DHCP_DISCOVER, BETA, 3);
	site_send(site, &p);
	p = of(ROM, DHCP_REQUEST, BETA, 3);
	add_option32(&p, 50, reply_yiaddr(&site->out.reply[0]));
	add_option32(&p, 54, SERVER);
	site_send(site, &p);
	site_commit(site);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot"), 1);
}

static void ipxe_that_is_the_rom_opens_a_boot_each_time(void **state)
{
	struct site *site = *state;

	for (uint32_t i = 0; i < 3; i++) {
		runs(site, boot(site, IPXE, BETA, 10 + i));
		site_pass(site, 60000);
	}
	boot(site, IPXE, BETA, 20);
	site_pass(site, 2000);
	boot(site, IPXE, BETA, 21);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot"), 5);
	assert_int_equal(open_boots(site), 2); /* one runs, one starts */
}

static void a_kernel_that_starts_again_without_a_rom_opens_one_too(void **state)
{
	struct site *site = *state;

	runs(site, boot(site, KERNEL, BETA, 1));
	site_sql(site, "UPDATE image SET active = 2");
	runs(site, boot(site, KERNEL, BETA, 2));
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot"), 2);
	assert_int_equal(open_boots(site), 1);
	assert_int_equal(newest_version(site), 2);
}

static void a_mount_without_a_boot_opens_one(void **state)
{
	struct site *site = *state;

	/* a static address, known by its reservation */
	tell(site, EVENT_MOUNT, IP(10, 0, 0, 50));
	assert_int_equal(site_count(site, "SELECT host FROM boot"), 1);
	assert_int_equal(site_count(site, "SELECT version FROM boot"), 1);
	tell(site, EVENT_MOUNT, IP(10, 0, 0, 51)); /* nobody's */
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot"), 1);
}

static void another_card_of_the_host_ends_the_first_ones_boot(void **state)
{
	struct site *site = *state;

	runs(site, boot(site, ROM, ALPHA, 1));
	site_pass(site, 600000);
	runs(site, boot(site, ROM, ALPHA2, 2));
	assert_int_equal(open_boots(site), 1);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot WHERE host = 1"), 2);
}

/* Guests, and programs of a system that runs already, pin nothing for longer than they have
 * an address. */
static void a_boot_that_never_mounts_ends_with_its_lease(void **state)
{
	struct site *site = *state;

	boot(site, ROM, BETA, 1);
	runs(site, boot(site, ROM, ALPHA, 2));
	site_pass(site, (int64_t)site->config.lease_secs * 1000 - 1000);
	dhcp_server_tick(site->server, site->now, &site->out);
	site_commit(site);
	assert_int_equal(open_boots(site), 2);
	site_pass(site, 62000);
	dhcp_server_tick(site->server, site->now, &site->out);
	site_commit(site);
	/* What runs goes on: kernels never renew. */
	assert_int_equal(open_boots(site), 1);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot WHERE reason ="
					  " 'its lease ended before it mounted'"),
			 1);
}

static void thirty_silent_days_end_a_boot(void **state)
{
	struct site *site = *state;
	uint32_t address = boot(site, ROM, BETA, 1);

	runs(site, address);
	for (unsigned int day = 0; day < 40; day++) {
		site_pass(site, 86400000);
		tell(site, EVENT_ALIVE, address);
		dhcp_server_tick(site->server, site->now, &site->out);
	}
	assert_int_equal(open_boots(site), 1);
	site_pass(site, 31 * INT64_C(86400000));
	dhcp_server_tick(site->server, site->now, &site->out);
	site_commit(site);
	assert_int_equal(open_boots(site), 0);
}

/* The process that was to note the mount was killed: who lives says which boot it is. */
static void a_mount_that_was_lost_is_learned_from_who_lives(void **state)
{
	struct site *site = *state;
	uint32_t address = boot(site, ROM, BETA, 1);
	struct event alive = {.kind = EVENT_ALIVE, .address = address};

	runs(site, address);
	site_pass(site, 60000);
	boot(site, ROM, BETA, 2);
	assert_int_equal(open_boots(site), 2);
	alive.boot = 77; /* of none of its boots */
	dhcp_server_event(site->server, &alive, site->now);
	site_commit(site);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot WHERE mounted"), 1);
	alive.boot = (uint32_t)site_count(site, "SELECT max(id) FROM boot");
	dhcp_server_event(site->server, &alive, site->now);
	site_commit(site);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot WHERE mounted"), 2);
	tell(site, EVENT_INIT, address);
	assert_int_equal(open_boots(site), 1);
}

/* Its handles are of its own boot, whatever was begun in its name meanwhile. */
static void what_runs_does_not_speak_for_a_boot_that_was_forged(void **state)
{
	struct site *site = *state;
	uint32_t address = boot(site, ROM, BETA, 1);
	struct event event = {.address = address};

	runs(site, address);
	event.boot = (uint32_t)site_count(site, "SELECT max(id) FROM boot");
	site_pass(site, 60000);
	boot(site, ROM, BETA, 2);
	tell(site, EVENT_MOUNT, address); /* that one's */
	assert_int_equal(open_boots(site), 2);
	event.kind = EVENT_INIT;
	dhcp_server_event(site->server, &event, site->now);
	event.kind = EVENT_ALIVE;
	event.step = STEP_INIT;
	for (int day = 0; day < 40; day++) {
		site_pass(site, 86400000);
		dhcp_server_event(site->server, &event, site->now);
		dhcp_server_tick(site->server, site->now, &site->out);
	}
	site_commit(site);
	assert_int_equal(site_count(site, "SELECT min(id) FROM boot WHERE ended IS NULL"),
			 event.boot);
	assert_int_equal(open_boots(site), 1); /* the other was silent for 30 days */
	/* of a boot that is over nothing is told, and a mount without one opens one */
	event.boot = 77;
	event.kind = EVENT_INIT;
	dhcp_server_event(site->server, &event, site->now);
	assert_int_equal(open_boots(site), 1);
}

/* Nor is it lost that it came to its init: the boot before lets its version go. */
static void an_init_that_was_lost_is_learned_from_who_lives(void **state)
{
	struct site *site = *state;
	uint32_t address = boot(site, ROM, BETA, 1);
	struct event alive = {.kind = EVENT_ALIVE, .step = STEP_ROOT, .address = address};

	runs(site, address);
	site_pass(site, 60000);
	boot(site, ROM, BETA, 2);
	tell(site, EVENT_MOUNT, address);
	alive.boot = (uint32_t)site_count(site, "SELECT max(id) FROM boot");
	dhcp_server_event(site->server, &alive, site->now);
	site_commit(site);
	assert_int_equal(open_boots(site), 2);
	alive.step = STEP_INIT;
	dhcp_server_event(site->server, &alive, site->now);
	site_commit(site);
	assert_int_equal(open_boots(site), 1);
}

/* What `rootstock boot end` does, on a connection of its own. */
static void a_boot_that_a_command_ended_is_let_go(void **state)
{
	struct site *site = *state;
	cleanup(db_closep) struct db *other = NULL;
	const struct boots *boots = dhcp_server_boots(site->server);
	struct mac beta = BETA;
	struct mac alpha = ALPHA;
	uint32_t address = boot(site, ROM, BETA, 1);

	runs(site, address);
	boot(site, ROM, ALPHA, 2);
	assert_int_equal(db_open(site->dir, &schema_leases, DB_WRITE, &other, NULL), 0);
	assert_int_equal(db_exec(other, "UPDATE boot SET ended = 5, reason = 'ended by command'"
					" WHERE mac = x'525400000002'"),
			 0);
	/* what was still to be written does not open it again */
	tell(site, EVENT_ALIVE, address);
	site_pass(site, 600000);
	tell(site, EVENT_ALIVE, address);
	assert_int_equal(open_boots(site), 1);
	assert_int_equal(dhcp_server_reread(site->server, site->now), 0);
	assert_null(boots_newest(boots, &beta));
	assert_non_null(boots_newest(boots, &alpha));
	site_commit(site);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot WHERE ended = 5 AND"
					  " reason = 'ended by command'"),
			 1);
	assert_int_equal(open_boots(site), 1);
	/* it may boot again */
	runs(site, boot(site, ROM, BETA, 3));
	assert_int_equal(open_boots(site), 2);
	assert_int_equal(db_exec(other, "UPDATE boot SET ended = 6"), 0);
	assert_int_equal(dhcp_server_reread(site->server, site->now), 0);
	assert_null(boots_newest(boots, &alpha));
}

static void rows_of_boots_do_not_pile_up(void **state)
{
	struct site *site = *state;

	runs(site, boot(site, ROM, ALPHA, 1));
	runs(site, boot(site, ROM, BETA, 1));
	for (uint32_t i = 0; i < 50; i++) {
		site_pass(site, 60000);
		boot(site, ROM, BETA, 10 + i);
	}
	runs(site, boot(site, ROM, BETA, 70));
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot"), 53);
	/* those that never mounted go after a day, the one that ran after 90 */
	site_pass(site, INT64_C(86400000) + 60000);
	dhcp_server_tick(site->server, site->now, &site->out);
	tell(site, EVENT_ALIVE, IP(10, 0, 0, 50));
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot"), 3);
	for (unsigned int day = 0; day < 91; day++) {
		site_pass(site, 86400000);
		dhcp_server_tick(site->server, site->now, &site->out);
		tell(site, EVENT_ALIVE, IP(10, 0, 0, 50));
	}
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot WHERE mac = x'525400000001'"),
			 1);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot"), 2);
}

static void however_many_boots_come_their_rows_are_bounded(void **state)
{
	struct site *site = *state;

	runs(site, boot(site, ROM, ALPHA, 1)); /* the oldest, and open */
	boots_keep((struct boots *)dhcp_server_boots(site->server), 100);
	for (uint32_t i = 0; i < 400; i++) {
		site_pass(site, 1000);
		boot(site, ROM, BETA, 10 + i);
	}
	assert_true(site_count(site, "SELECT count(*) FROM boot WHERE ended IS NOT NULL") <= 102);
	assert_true(site_count(site, "SELECT count(*) FROM boot WHERE ended IS NOT NULL") >= 98);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot WHERE mac = x'525400000001'"),
			 1);
	assert_int_equal(open_boots(site), 2);
}

static void a_machine_that_panics_after_its_mount_keeps_few_boots_open(void **state)
{
	struct site *site = *state;
	uint32_t address = boot(site, ROM, BETA, 1);

	runs(site, address);
	for (uint32_t i = 0; i < 100; i++) {
		site_pass(site, 20000);
		boot(site, ROM, BETA, 10 + i);
		tell(site, EVENT_MOUNT, address);
	}
	boot(site, ROM, BETA, 1000);
	assert_true(open_boots(site) <= BOOTS_OPEN_MAX + 2);
	/* what runs, the oldest that may run something else, and the newest */
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot WHERE ended IS NULL"
					  " AND id IN (1, 2, 101, 102)"),
			 4);
	runs(site, address);
	assert_int_equal(open_boots(site), 1);
}

static void a_restart_between_discover_and_ack_loses_no_boot(void **state)
{
	struct site *site = *state;
	uint32_t address = boot(site, ROM, BETA, 1);
	struct packet p;

	runs(site, address);
	site_sql(site, "UPDATE image SET active = 2");
	site_pass(site, 3600000);
	p = of(ROM, DHCP_DISCOVER, BETA, 2);
	assert_int_equal(reply_yiaddr(site_send(site, &p)), address);
	site_restart(site);
	p = of(ROM, DHCP_REQUEST, BETA, 2);
	add_option32(&p, 50, address);
	add_option32(&p, 54, SERVER);
	assert_reply(site_send(site, &p), DHCP_ACK, address);
	site_commit(site);
	assert_int_equal(open_boots(site), 2);
	assert_int_equal(newest_version(site), 2);
	/* the same message again */
	assert_reply(site_send(site, &p), DHCP_ACK, address);
	site_commit(site);
	assert_int_equal(open_boots(site), 2);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot"), 2);
}

static void boots_survive_a_restart(void **state)
{
	struct site *site = *state;
	uint32_t address = boot(site, ROM, BETA, 1);

	site_restart(site);
	assert_int_equal(boot(site, KERNEL, BETA, 2), address);
	runs(site, address);
	site_restart(site);
	assert_int_equal(boot(site, OS, BETA, 3), address);
	assert_int_equal(site_count(site, "SELECT count(*) FROM boot"), 1);
	site_restart(site);
	boot(site, ROM, BETA, 4);
	assert_int_equal(open_boots(site), 2);
}

static void a_machine_that_is_registered_later_gets_its_rows(void **state)
{
	struct site *site = *state;
	uint32_t address = boot(site, ROM, STRANGER(1), 1);

	assert_int_equal(site_count(site, "SELECT count(*) FROM boot WHERE host IS NULL"), 1);
	site_sql(site, "INSERT INTO host (id, name, added, changed) VALUES (9, 'new', 0, 0);"
		       "INSERT INTO host_mac VALUES (x'525400001001', 9)");
	site_commit(site);
	assert_int_equal(site_count(site, "SELECT host FROM boot"), 9);
	assert_int_equal(site_count(site, "SELECT host FROM lease"), 9);
	assert_int_equal(site_count(site, "SELECT address FROM lease"), address);
}

static void starting_boots_of_strangers_are_bounded(void **state)
{
	struct site *site = *state;
	const struct boots *boots = dhcp_server_boots(site->server);
	struct mac first = {{2, 0, 0, 0, 0, 0}};
	unsigned int n = 0;

	site->config.unknown = DHCP_UNKNOWN_BOOT;
	for (uint32_t i = 0; i < 40000; i++) {
		struct packet p = packet_of(DHCP_DISCOVER, first, i);

		put32(p.at + 30, i);
		site_send(site, &p);
	}
	for (uint32_t i = 0; i < 40000; i++) {
		struct mac mac = first;

		put32(mac.octet + 2, i);
		n += boots_newest(boots, &mac) != NULL;
	}
	assert_true(n <= 16384);
	site_pass(site, 700000);
	dhcp_server_tick(site->server, site->now, &site->out);
	put32(first.octet + 2, 39999);
	assert_null(boots_newest(boots, &first));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SITE(the_stages_of_one_boot_share_a_row),
		SITE(a_running_boot_stays_pinned_until_the_next_reads_init),
		SITE(a_boot_pins_the_mode_of_its_root),
		SITE(a_forged_discover_leaves_nothing_behind),
		SITE(a_boot_that_failed_before_its_mount_ends_with_the_next),
		SITE(a_rom_that_retries_joins_its_own_boot),
		SITE(ipxe_that_is_the_rom_opens_a_boot_each_time),
		SITE(a_kernel_that_starts_again_without_a_rom_opens_one_too),
		SITE(a_mount_without_a_boot_opens_one),
		SITE(another_card_of_the_host_ends_the_first_ones_boot),
		SITE(thirty_silent_days_end_a_boot),
		SITE(a_boot_that_never_mounts_ends_with_its_lease),
		SITE(a_mount_that_was_lost_is_learned_from_who_lives),
		SITE(what_runs_does_not_speak_for_a_boot_that_was_forged),
		SITE(an_init_that_was_lost_is_learned_from_who_lives),
		SITE(a_boot_that_a_command_ended_is_let_go),
		SITE(rows_of_boots_do_not_pile_up),
		SITE(however_many_boots_come_their_rows_are_bounded),
		SITE(a_machine_that_panics_after_its_mount_keeps_few_boots_open),
		SITE(boots_survive_a_restart),
		SITE(a_restart_between_discover_and_ack_loses_no_boot),
		SITE(a_machine_that_is_registered_later_gets_its_rows),
		SITE(starting_boots_of_strangers_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
