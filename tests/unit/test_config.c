/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/config.h"

static int text_fd(const char *text, size_t len)
{
	int fd = memfd_create("text", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	return fd;
}

static int read_text(const char *text, size_t len, struct config *c, struct why *why)
{
	int fd = text_fd(text, len);
	int r;

	config_init(c);
	r = config_read(c, fd, "text", why);
	close(fd);
	return r;
}

static void count(void *ctx, const struct config_change *change)
{
	(void)change;
	++*(unsigned int *)ctx;
}

/* All children have the descriptor's one offset: who moves it takes the text away from
 * who reads meanwhile. */
static void readers_of_one_descriptor_do_not_disturb_each_other(void **state)
{
	static const char before[] = "[server]\nlease = 600\n";
	static const char after[] = "[server]\nlease = 900\n";
	int one = text_fd(before, strlen(before));
	int other = text_fd(after, strlen(after));
	unsigned int changes = 0;
	struct config c;

	(void)state;
	assert_int_equal(lseek(one, 3, SEEK_SET), 3);
	assert_int_equal(lseek(other, 4, SEEK_SET), 4);
	config_init(&c);
	assert_int_equal(config_read(&c, one, "text", NULL), 0);
	assert_int_equal(c.dhcp.lease_secs, 600);
	config_fini(&c);
	assert_int_equal(lseek(one, 0, SEEK_CUR), 3);
	assert_int_equal(config_changes(one, other, count, &changes), 0);
	assert_int_equal(changes, 1);
	assert_int_equal(lseek(one, 0, SEEK_CUR), 3);
	assert_int_equal(lseek(other, 0, SEEK_CUR), 4);
	close(one);
	close(other);
}

/* ---- what each key sets ---- */

#define IP(a, b, c, d)                                                                             \
	((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))
#define OF(field) offsetof(struct config, field), sizeof(((struct config *)NULL)->field)
#define OF_SUBNET(field)                                                                           \
	offsetof(struct dhcp_subnet, field), sizeof(((struct dhcp_subnet *)NULL)->field)

/* One line of a section, and the field that it sets: a number, or a text. */
struct setting {
	const char *line;
	size_t at;
	size_t size;
	uint64_t number;
	const char *text;
};

static const struct setting of_server[] = {
	{"interface = eth7", OF(interfaces[0]), 0, "eth7"},
	{"interface = eth7, eth8", OF(interfaces[1]), 0, "eth8"},
	{"interface = eth7 eth8 eth7", OF(ninterfaces), 2, NULL},
	{"mode = proxy", OF(dhcp.mode), DHCP_MODE_PROXY, NULL},
	{"mode = full", OF(mode_given), true, NULL},
	{"unknown = pending", OF(dhcp.unknown), DHCP_UNKNOWN_PENDING, NULL},
	{"unknown = ignore", OF(dhcp.unknown), DHCP_UNKNOWN_IGNORE, NULL},
	{"authoritative = yes", OF(dhcp.authoritative), true, NULL},
	{"lease = 600", OF(dhcp.lease_secs), 600, NULL},
	{"offer = 60", OF(dhcp.offer_secs), 60, NULL},
	{"nfs-port = 2050", OF(nfs_port), 2050, NULL},
	{"tftp-ports = 4096:32767", OF(tftp_first), 4096, NULL},
	{"tftp-ports = 4096:32767", OF(tftp_last), 32767, NULL},
	{"tftp-single-port = true", OF(tftp_single_port), true, NULL},
	{"loaders = /srv/loaders", OF(loaders[0]), 0, "/srv/loaders"},
	{"admin = 10.9.0.0/16", OF(admin[0].address), IP(10, 9, 0, 0), NULL},
	{"admin = 10.9.0.0/16", OF(admin[0].prefix), 16, NULL},
	{"admin = 10.9.0.0/16 10.8.0.1", OF(admin[1].prefix), 32, NULL},
	{"reserved-port = no", OF(reserved_port), false, NULL},
	{"squash = root", OF(squash), NFS_SQUASH_ROOT, NULL},
	{"squash = all", OF(squash), NFS_SQUASH_ALL, NULL},
	{"log = debug", OF(log), LOG_LEVEL_DEBUG, NULL},
	{"metrics = 127.0.0.1:9100", OF(metrics), 0, "127.0.0.1:9100"},
};

static const struct setting of_subnet[] = {
	{"range = 10.0.0.10 - 10.0.0.99", OF_SUBNET(ranges[0].first), IP(10, 0, 0, 10), NULL},
	{"range = 10.0.0.10 - 10.0.0.99", OF_SUBNET(ranges[0].last), IP(10, 0, 0, 99), NULL},
	{"exclude = 10.0.0.20-10.0.0.29", OF_SUBNET(excluded[0].first), IP(10, 0, 0, 20), NULL},
	{"exclude = 10.0.0.20-10.0.0.29", OF_SUBNET(excluded[0].last), IP(10, 0, 0, 29), NULL},
	{"exclude = 10.0.0.1\nexclude = 10.0.0.50", OF_SUBNET(excluded[1].last), IP(10, 0, 0, 50),
	 NULL},
	{"router = 10.0.0.1", OF_SUBNET(routers[0]), IP(10, 0, 0, 1), NULL},
	{"dns = 10.0.0.1, 10.0.0.2", OF_SUBNET(dns[1]), IP(10, 0, 0, 2), NULL},
	{"ntp = 10.0.0.3 10.0.0.4", OF_SUBNET(ntp[1]), IP(10, 0, 0, 4), NULL},
	{"ntp = 10.0.0.3 10.0.0.4", OF_SUBNET(nntp), 2, NULL},
	{"domain = lab.example.org", OF_SUBNET(domain), 0, "lab.example.org"},
	{"mtu = 1400", OF_SUBNET(mtu), 1400, NULL},
	{"lease = 900", OF_SUBNET(lease_secs), 900, NULL},
	{"next-server = 10.0.0.5", OF_SUBNET(next_server), IP(10, 0, 0, 5), NULL},
	{"shared = 7", OF_SUBNET(shared), 7, NULL},
	{"option-150 = ip:10.0.0.6", OF_SUBNET(nextras), 1, NULL},
};

static bool field_is(const void *base, const struct setting *s)
{
	const char *field = (const char *)base + s->at;
	uint64_t number = 0;

	if (s->text)
		return !strncmp(field, s->text, s->size);
	assert_true(s->size <= sizeof(number));
	memcpy(&number, field, s->size);
	return number == s->number;
}

static void each_key_sets_its_field(const struct setting *s, const char *section)
{
	bool is_subnet = strcmp(section, "server") != 0;
	struct why why = {""};
	struct config before;
	struct config after;
	char text[200];

	snprintf(text, sizeof(text), "[%s]\n", section);
	assert_int_equal(read_text(text, strlen(text), &before, &why), 0);
	snprintf(text, sizeof(text), "[%s]\n%s\n", section, s->line);
	if (read_text(text, strlen(text), &after, &why))
		fail_msg("%s: %s", s->line, why.text);
	if (field_is(is_subnet ? (void *)before.dhcp.subnets : &before, s))
		fail_msg("%s: says what is so without it", s->line);
	if (!field_is(is_subnet ? (void *)after.dhcp.subnets : &after, s))
		fail_msg("%s: does not", s->line);
	config_fini(&before);
	config_fini(&after);
}

static void what_a_key_says_is_what_is_taken(void **state)
{
	struct config c;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(of_server); i++)
		each_key_sets_its_field(&of_server[i], "server");
	for (size_t i = 0; i < ARRAY_SIZE(of_subnet); i++)
		each_key_sets_its_field(&of_subnet[i], "subnet 10.0.0.0/24");
	assert_int_equal(
		read_text("[subnet 10.0.0.0/24]\noption-150 = ip:10.0.0.6\n", 46, &c, NULL), 0);
	assert_int_equal(c.dhcp.subnets[0].network, IP(10, 0, 0, 0));
	assert_int_equal(c.dhcp.subnets[0].mask, 0xffffff00);
	assert_int_equal(c.dhcp.subnets[0].extras[0].code, 150);
	assert_int_equal(c.dhcp.subnets[0].extras[0].len, 4);
	assert_memory_equal(c.dhcp.subnets[0].extras[0].data, "\x0a\0\0\6", 4);
	config_fini(&c);
}

static bool has_row(const struct setting *rows, size_t n, const char *key)
{
	size_t len = strlen(key);

	for (size_t i = 0; i < n; i++)
		if (!strncmp(rows[i].line, key, len) &&
		    (rows[i].line[len] == ' ' || key[len - 1] == '-'))
			return true;
	return false;
}

/* Whoever adds a key is told to add its row above. */
static void no_key_is_without_a_row(void **state)
{
	char *list = NULL;
	size_t len;
	FILE *out = open_memstream(&list, &len);
	unsigned int n = 0;
	char section[16];
	char key[32];
	int read;

	(void)state;
	config_list_keys(out);
	fclose(out);
	for (const char *at = list; sscanf(at, "key %15s %31s\n%n", section, key, &read) == 2;
	     at += read, n++)
		if (!(strcmp(section, "server") != 0
			      ? has_row(of_subnet, ARRAY_SIZE(of_subnet), key)
			      : has_row(of_server, ARRAY_SIZE(of_server), key)))
			fail_msg("[%s] %s has no row", section, key);
	assert_true(n > 20);
	free(list);
}

static void what_is_wrong_is_said_with_its_line(void **state)
{
	static const struct {
		const char *text;
		const char *why;
	} all[] = {
		{"[server]\nlease = soon", "text:2: lease: soon: not a number"},
		{"\n\n[server]\nnonsense\nlease = 600\n", "text:4: not a [section]"},
		{"lease = 600\n", "text:1: lease: stands before"},
		{"[server]\n[nowhere]\n", "text:2: nowhere: no such section"},
		{"[server]\nreserved-port = maybe\n",
		 "text:2: reserved-port: maybe: not yes or no"},
		{"[server]\nsquash = some\n", "text:2: squash: some: not one of none, root, all"},
		{"[server]\ntftp-ports = 4096\n", "text:2: tftp-ports: 4096: not FIRST:LAST"},
		{"[server]\ntftp-ports = 5000:4000\n",
		 "text:2: tftp-ports: 4000: not a number from"},
		{"[server]\ntftp-ports = 69:4000\n", "text:2: tftp-ports: 69: not a number from"},
		{"[subnet 10.0.0.0/24]\nmtu = 100\n", "text:2: mtu: 100: not a number from 576"},
		{"[subnet 10.0.0.0/24]\nntp = clock\n", "text:2: ntp: clock: not an IPv4 address"},
		{"[subnet 10.0.0.0/24]\nnext-server = 0.0.0.0\n",
		 "text:2: next-server: 0.0.0.0: not"},
		{"[subnet 10.0.0.0/24]\nshared = 0\n", "text:2: shared: 0: not a number from 1"},
		{"[subnet 10.0.0.0/24]\nexclude = 10.0.0.9 - 10.0.0.1\n",
		 "text:2: exclude: 10.0.0.1: not behind the range's start"},
		{"[subnet 10.0.0.0/24]\noption-53 = u8:1\n", "text:2: option-53: "},
		{"[subnet 10.0.0.0/24]\noption-150 = ip:none\n", "text:2: option-150: "},
		{"[subnet 10.0.0.1/24]\n",
		 "text:1: subnet 10.0.0.1/24: 10.0.0.1/24: has host bits"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct why why = {""};
		struct config c;

		assert_true(read_text(all[i].text, strlen(all[i].text), &c, &why) < 0);
		if (!strstr(why.text, all[i].why))
			fail_msg("%s: not %s", why.text, all[i].why);
		config_fini(&c);
	}
}

/* A line that the library would cut, a text that would end early, and one without end. */
static void what_would_be_read_in_part_is_refused(void **state)
{
	static const char nul[] = "[server]\n\0lease = 600\n";
	static char large[CONFIG_TEXT_MAX + 1];
	struct config c;

	(void)state;
	memset(large, '#', sizeof(large));
	assert_int_equal(read_text(nul, sizeof(nul) - 1, &c, NULL), -EILSEQ);
	config_fini(&c);
	assert_int_equal(read_text(large, 4096, &c, NULL), -E2BIG);
	config_fini(&c);
	assert_int_equal(read_text(large, sizeof(large), &c, NULL), -EFBIG);
	config_fini(&c);
	for (size_t i = 80; i < sizeof(large); i += 80)
		large[i] = '\n';
	assert_int_equal(read_text(large, CONFIG_TEXT_MAX - 1, &c, NULL), 0);
	config_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_of_one_descriptor_do_not_disturb_each_other),
		cmocka_unit_test(what_a_key_says_is_what_is_taken),
		cmocka_unit_test(no_key_is_without_a_row),
		cmocka_unit_test(what_is_wrong_is_said_with_its_line),
		cmocka_unit_test(what_would_be_read_in_part_is_refused),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
