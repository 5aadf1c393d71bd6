/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

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
		cmocka_unit_test(what_is_wrong_is_said_with_its_line),
		cmocka_unit_test(what_would_be_read_in_part_is_refused),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
