/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is known of an interface, and what is not.  Sockets on one are tests/net's.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/resource.h>

#include "dhcp/link.h"

static int query(const char *name, struct why *why)
{
	struct dhcp_interface face;

	return dhcp_link_query(name, &face, why);
}

static void an_interface_that_cannot_serve_is_told_from_none(void **state)
{
	struct why why = {""};

	(void)state;
	assert_int_equal(query("lo", &why), -EINVAL);
	assert_string_equal(why.text, "lo: not an Ethernet interface");
	why = (struct why){""};
	assert_int_equal(query("rs-none", &why), -ENODEV);
	assert_string_equal(why.text, "rs-none: no such interface");
	assert_int_equal(query("a-name-that-is-too-long", &why), -ENODEV);
	assert_true(dhcp_link_gone(-EINVAL) && dhcp_link_gone(-ENODEV));
}

/* A child that took this for one that is gone would serve nobody, and wait for it. */
static void what_lacks_here_is_no_interface_that_is_gone(void **state)
{
	struct rlimit few;
	struct rlimit many;
	int next = dup(0);

	(void)state;
	assert_true(next >= 0);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &many), 0);
	few = many;
	few.rlim_cur = (rlim_t)next + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(query("lo", NULL), -EINVAL); /* one is enough */
	few.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(query("lo", NULL), -EMFILE);
	assert_false(dhcp_link_gone(-EMFILE) || dhcp_link_gone(0));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &many), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_interface_that_cannot_serve_is_told_from_none),
		cmocka_unit_test(what_lacks_here_is_no_interface_that_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
