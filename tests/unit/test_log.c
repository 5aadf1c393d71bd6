/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where lines go: what is written to standard error by this process itself.
 */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/log_journal.h"

static int stderr_kept;

/* From here on standard error is a file. */
static FILE *catch_stderr(void)
{
	FILE *file = tmpfile();

	assert_non_null(file);
	stderr_kept = dup(STDERR_FILENO);
	assert_true(stderr_kept >= 0);
	assert_int_equal(dup2(fileno(file), STDERR_FILENO), STDERR_FILENO);
	return file;
}

static void stop_catching(FILE *file, char *out, size_t size)
{
	size_t n;

	dup2(stderr_kept, STDERR_FILENO);
	close(stderr_kept);
	rewind(file);
	n = fread(out, 1, size - 1, file);
	out[n] = '\0';
	fclose(file);
}

static void levels_have_names(void **state)
{
	enum log_level level = LOG_LEVEL_NONE;

	(void)state;
	assert_int_equal(log_level_parse("debug", &level), 0);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
	assert_int_equal(log_level_parse("loud", &level), -EINVAL);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
}

static void a_line_is_written_up_to_the_level(void **state)
{
	char text[512];
	FILE *file;

	(void)state;
	unsetenv("JOURNAL_STREAM");
	file = catch_stderr();
	log_init("nfs", LOG_LEVEL_WARN);
	log_info("not this one");
	log_about(LOG_LEVEL_WARN, &(struct log_about){.address = 0x0a000001}, "but %s", "this");
	log_set_level(LOG_LEVEL_INFO);
	log_info("and this");
	stop_catching(file, text, sizeof(text));
	assert_null(strstr(text, "not this one"));
	assert_non_null(strstr(text, " nfs warn: but this\n"));
	assert_non_null(strstr(text, " nfs info: and this\n"));
}

static void a_long_line_ends(void **state)
{
	char huge[4000];
	char text[4000];
	FILE *file;

	(void)state;
	memset(huge, 'x', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	file = catch_stderr();
	log_init("nfs", LOG_LEVEL_INFO);
	log_info("%s", huge);
	stop_catching(file, text, sizeof(text));
	assert_true(strlen(text) > 900 && strlen(text) < 1100);
	assert_int_equal(text[strlen(text) - 1], '\n');
}

/* Under systemd, but with the output turned to a file: the file gets lines. */
static void output_that_was_turned_elsewhere_stays_there(void **state)
{
	char text[512];
	FILE *file;

	(void)state;
	setenv("JOURNAL_STREAM", "8:12345", 1);
	file = catch_stderr();
	log_init("nfs", LOG_LEVEL_INFO);
	log_info("here");
	stop_catching(file, text, sizeof(text));
	unsetenv("JOURNAL_STREAM");
	assert_non_null(strstr(text, " nfs info: here\n"));
}

/* The stream is the journal's, its socket is not to be had: the priority goes along. */
static void a_stream_without_a_socket_gets_priorities(void **state)
{
	char stream[64];
	char text[512];
	struct stat st;
	FILE *file;

	(void)state;
	if (!access("/run/systemd/journal/socket", F_OK))
		skip();
	file = catch_stderr();
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	assert_true(log_journal_has(STDERR_FILENO));
	log_init("nfs", LOG_LEVEL_INFO);
	log_warn("here");
	stop_catching(file, text, sizeof(text));
	unsetenv("JOURNAL_STREAM");
	assert_string_equal(text, "<4>nfs: here\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels_have_names),
		cmocka_unit_test(a_line_is_written_up_to_the_level),
		cmocka_unit_test(a_long_line_ends),
		cmocka_unit_test(output_that_was_turned_elsewhere_stays_there),
		cmocka_unit_test(a_stream_without_a_socket_gets_priorities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
