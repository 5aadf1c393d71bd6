/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include "dhcp/import.h"

static char seen[4096];

static int note(void *ctx, const struct dhcp_import_host *host)
{
	char mac[MAC_TEXT];
	char address[IP4_TEXT];
	size_t len = strlen(seen);

	snprintf(seen + len, sizeof(seen) - len, "%s %s %s%s\n", mac_format(&host->mac, mac),
		 host->name[0] ? host->name : "-", ip4_format(host->address, address),
		 host->leased ? " leased" : "");
	return ctx ? *(int *)ctx : 0;
}

static int import(const char *text, struct why *why)
{
	FILE *file = fmemopen((void *)text, strlen(text), "r");
	int r;

	assert_non_null(file);
	seen[0] = '\0';
	r = dhcp_import(file, "file", note, NULL, why);
	fclose(file);
	return r;
}

static void isc_hosts_are_found_in_groups_and_subnets(void **state)
{
	(void)state;
	assert_int_equal(
		import("# a comment { with a brace\n"
		       "option domain-name \"a { b\";\n"
		       "subnet 10.0.0.0 netmask 255.255.255.0 { range 10.0.0.10 10.0.0.20; }\n"
		       "host alpha { hardware ethernet 8:0:20:0:61:CA; }\n",
		       NULL),
		0);
	assert_string_equal(seen, "08:00:20:00:61:ca alpha 0.0.0.0\n");
	assert_int_equal(import("group { host alpha { hardware ethernet 52:54:00:00:00:01;\n"
				"   fixed-address 10.0.0.5, 10.0.0.6; }\n"
				" host under_score { hardware ethernet 52:54:00:00:00:02;\n"
				"   if known { filename \"x\"; } option host-name \"beta\"; }\n"
				" host third.example.org { fixed-address a.name;\n"
				"   hardware ethernet 52:54:00:00:00:03; }\n"
				" host no-card { fixed-address 10.0.0.9; } }\n",
				NULL),
			 0);
	assert_string_equal(seen, "52:54:00:00:00:01 alpha 10.0.0.5\n"
				  "52:54:00:00:00:02 beta 0.0.0.0\n"
				  "52:54:00:00:00:03 third 0.0.0.0\n");
}

static void isc_leases_that_are_over_are_passed_over(void **state)
{
	(void)state;
	assert_int_equal(import("server-duid \"\\000\\001\";\n"
				"lease 10.0.0.7 {\n  starts 4 2024/02/01 10:00:00;\n"
				"  binding state active;\n  next binding state free;\n"
				"  hardware ethernet 52:54:00:00:00:07;\n"
				"  uid \"\\001RT\\000\";\n  client-hostname \"seven\";\n}\n"
				"lease 10.0.0.8 {\n  binding state free;\n"
				"  hardware ethernet 52:54:00:00:00:08;\n}\n",
				NULL),
			 0);
	assert_string_equal(seen, "52:54:00:00:00:07 seven 10.0.0.7 leased\n");
}

static void dnsmasq_files_of_all_kinds_are_read(void **state)
{
	(void)state;
	assert_int_equal(
		import("# dnsmasq.conf\ninterface=eth0\ndhcp-range=10.0.0.10,10.0.0.99,12h\n"
		       "dhcp-host=52:54:00:00:00:01,alpha,10.0.0.5,infinite\n"
		       "dhcp-host=52:54:00:00:00:02,52:54:00:00:00:03,set:lab,10.0.0.6,45m,beta\n"
		       "dhcp-host=52:54:00:00:00:04,ignore\n"
		       "dhcp-host=id:01:02:03,gamma,10.0.0.8\n",
		       NULL),
		0);
	assert_string_equal(seen, "52:54:00:00:00:01 alpha 10.0.0.5\n"
				  "52:54:00:00:00:02 beta 10.0.0.6\n"
				  "52:54:00:00:00:03 beta 10.0.0.6\n");
	assert_int_equal(import("1700000000 52:54:00:00:00:01 10.0.0.5 alpha 01:52:54\n"
				"1700000000 52:54:00:00:00:02 10.0.0.6 * *\n"
				"duid 00:01:00:01\n1700000000 123 2001:db8::1 x *\n",
				NULL),
			 0);
	assert_string_equal(seen, "52:54:00:00:00:01 alpha 10.0.0.5 leased\n"
				  "52:54:00:00:00:02 - 10.0.0.6 leased\n");
	assert_int_equal(
		import("52:54:00:00:00:01 alpha\n52:54:00:00:00:02 10.0.0.6 # two\n\n", NULL), 0);
	assert_string_equal(seen, "52:54:00:00:00:01 alpha 0.0.0.0\n"
				  "52:54:00:00:00:02 - 10.0.0.6\n");
}

static void a_fault_is_named_with_file_and_line(void **state)
{
	struct why why = {""};

	(void)state;
	assert_int_equal(import("group {\n host a {\n hardware ethernet zz;\n } }\n", &why),
			 -EINVAL);
	assert_string_equal(why.text, "file:3: not a MAC address: zz");
	why.text[0] = '\0';
	assert_int_equal(import("host a {\n hardware ethernet 52:54:00:00:00:01;\n", &why),
			 -EINVAL);
	assert_string_equal(why.text, "file:3: a block does not end");
	why.text[0] = '\0';
	assert_int_equal(import("a { } }\n", &why), -EINVAL);
	assert_int_equal(import("option x \"never ends;\n}", NULL), -EINVAL);
	assert_int_equal(import("", NULL), 0);
	{
		static const char binary[] = "host\0a { }";
		FILE *file = fmemopen((void *)binary, sizeof(binary), "r");

		assert_int_equal(dhcp_import(file, "file", note, NULL, NULL), -EINVAL);
		fclose(file);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(isc_hosts_are_found_in_groups_and_subnets),
		cmocka_unit_test(isc_leases_that_are_over_are_passed_over),
		cmocka_unit_test(dnsmasq_files_of_all_kinds_are_read),
		cmocka_unit_test(a_fault_is_named_with_file_and_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
