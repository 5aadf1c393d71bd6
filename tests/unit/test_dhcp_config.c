/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/test_dhcp_fixture.h"

#include "dhcp/pool.h"

static void one_interface(struct dhcp_config *config, uint32_t address, uint32_t netmask)
{
	dhcp_config_init(config);
	config->ninterfaces = 1;
	config->interfaces[0] = (struct dhcp_interface){
		.name = "eth0", .address = address, .netmask = netmask, .fds = DHCP_LINK_FDS_NONE};
}

static void an_interface_alone_derives_everything(void **state)
{
	struct dhcp_config config;
	const struct dhcp_subnet *s;

	(void)state;
	one_interface(&config, IP(192, 168, 5, 9), 0xffffff00);
	assert_int_equal(dhcp_config_derive(&config, NULL), 0);
	assert_int_equal(config.nsubnets, 1);
	s = &config.subnets[0];
	assert_int_equal(s->network, IP(192, 168, 5, 0));
	assert_int_equal(s->nranges, 1);
	assert_int_equal(s->ranges[0].first, IP(192, 168, 5, 1));
	assert_int_equal(s->ranges[0].last, IP(192, 168, 5, 254));
	assert_int_equal(s->lease_secs, 12 * 3600);
	dhcp_config_fini(&config);
	/* a huge network gives its first million */
	one_interface(&config, IP(10, 0, 0, 1), 0xff000000);
	assert_int_equal(dhcp_config_derive(&config, NULL), 0);
	s = &config.subnets[0];
	assert_int_equal(s->ranges[0].last - s->ranges[0].first + 1, DHCP_RANGE_MAX);
	dhcp_config_fini(&config);
}

static void assert_refused(struct dhcp_config *config, const char *words)
{
	struct why why = {""};

	assert_int_equal(dhcp_config_derive(config, &why), -EINVAL);
	if (!strstr(why.text, words))
		fail_msg("'%s' does not say '%s'", why.text, words);
	dhcp_config_fini(config);
}

static struct dhcp_subnet *subnet(struct dhcp_config *config, uint32_t network, uint32_t mask)
{
	struct dhcp_subnet *s = dhcp_config_add_subnet(config);

	assert_non_null(s);
	s->network = network;
	s->mask = mask;
	return s;
}

static void what_cannot_be_is_refused_with_its_reason(void **state)
{
	struct dhcp_config config;
	struct dhcp_subnet *s;

	(void)state;
	dhcp_config_init(&config);
	assert_refused(&config, "no interface");
	one_interface(&config, 0, 0);
	assert_refused(&config, "eth0: has no IPv4 address");
	one_interface(&config, IP(10, 0, 0, 1), 0xffffffff);
	assert_refused(&config, "no room for clients");
	one_interface(&config, IP(10, 0, 0, 1), 0xffffff00);
	subnet(&config, IP(10, 0, 0, 0), 0xff00ff00);
	assert_refused(&config, "not a netmask");
	one_interface(&config, IP(10, 0, 0, 1), 0xffffff00);
	subnet(&config, IP(10, 0, 0, 5), 0xffffff00);
	assert_refused(&config, "bits beyond its mask");
	one_interface(&config, IP(10, 0, 0, 1), 0xffffff00);
	s = subnet(&config, IP(10, 0, 0, 0), 0xffffff00);
	s->ranges[s->nranges++] = (struct dhcp_range){IP(10, 0, 1, 1), IP(10, 0, 1, 9)};
	assert_refused(&config, "subnet 10.0.0.0/24: the range lies outside: 10.0.1.1");
	one_interface(&config, IP(10, 0, 0, 1), 0xffffff00);
	s = subnet(&config, IP(10, 0, 0, 0), 0xffffff00);
	s->ranges[s->nranges++] = (struct dhcp_range){IP(10, 0, 0, 9), IP(10, 0, 0, 1)};
	assert_refused(&config, "ends before it starts");
	one_interface(&config, IP(10, 0, 0, 1), 0xffffff00);
	subnet(&config, IP(10, 0, 0, 0), 0xffffff00);
	subnet(&config, IP(10, 0, 0, 0), 0xffff0000);
	assert_refused(&config, "overlaps 10.0.0.0");
	one_interface(&config, IP(10, 0, 0, 1), 0xffffff00);
	s = subnet(&config, IP(10, 0, 0, 0), 0xff000000);
	s->ranges[s->nranges++] = (struct dhcp_range){IP(10, 0, 0, 1), IP(10, 100, 0, 0)};
	assert_refused(&config, "over 1048576 addresses");
	one_interface(&config, IP(10, 0, 0, 1), 0xffffff00);
	s = subnet(&config, 0, 0x80000000);
	s->ranges[s->nranges++] = (struct dhcp_range){IP(1, 0, 0, 1), IP(1, 0, 0, 9)};
	s->ranges[s->nranges++] = (struct dhcp_range){IP(120, 0, 0, 1), IP(120, 0, 0, 9)};
	assert_refused(&config, "too far apart");
}

static void options_of_the_protocol_cannot_be_set(void **state)
{
	struct dhcp_subnet s = {0};
	struct why why = {""};

	(void)state;
	assert_int_equal(dhcp_subnet_add_extra(&s, 53, "u8:1", &why), -EINVAL);
	assert_int_equal(dhcp_subnet_add_extra(&s, 255, "u8:1", NULL), -EINVAL);
	assert_int_equal(dhcp_subnet_add_extra(&s, 0, "u8:1", NULL), -EINVAL);
	assert_int_equal(dhcp_subnet_add_extra(&s, 42, "ip:none", NULL), -EINVAL);
	assert_int_equal(dhcp_subnet_add_extra(&s, 252, "http://wpad/", NULL), 0);
	assert_int_equal(s.nextras, 1);
	assert_int_equal(s.extras[0].len, 12);
	free(s.extras);
}

static void what_others_are_known_to_have_is_never_given(void **state)
{
	struct site *site = *state;
	struct dhcp_subnet *s = &site->config.subnets[0];
	const uint32_t taken[] = {SERVER,	    IP(10, 0, 0, 2),   IP(10, 0, 0, 3),
				  IP(10, 0, 0, 4),  IP(10, 0, 0, 5),   IP(10, 0, 0, 20),
				  IP(10, 0, 0, 29), IP(10, 0, 0, 255), IP(10, 0, 0, 0)};

	s->routers[s->nrouters++] = IP(10, 0, 0, 2);
	s->dns[s->ndns++] = IP(10, 0, 0, 3);
	s->ntp[s->nntp++] = IP(10, 0, 0, 4);
	s->next_server = IP(10, 0, 0, 5);
	s->excluded[s->nexcluded++] = (struct dhcp_range){IP(10, 0, 0, 20), IP(10, 0, 0, 29)};
	s->ranges[0] = (struct dhcp_range){IP(10, 0, 0, 0), IP(10, 0, 0, 255)};
	site_restart(site);
	for (unsigned int i = 0; i < 300; i++) {
		uint32_t address = acquire(site, STRANGER(i));

		for (unsigned int j = 0; j < ARRAY_SIZE(taken); j++)
			assert_false(address && address == taken[j]);
		assert_false(address >= IP(10, 0, 0, 20) && address <= IP(10, 0, 0, 29));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_interface_alone_derives_everything),
		cmocka_unit_test(what_cannot_be_is_refused_with_its_reason),
		cmocka_unit_test(options_of_the_protocol_cannot_be_set),
		SITE(what_others_are_known_to_have_is_never_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
