/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include "tftp/cmdline.h"

static const struct boot_spec plain = {
	.dialect = BOOT_KERNEL,
	.server = 0x0a000001,
	.path = "/",
	.mode = "tmpfs",
	.init = "/linuxrc",
};

static const char *line(const struct boot_spec *spec)
{
	static char out[CMDLINE_MAX];
	struct why why = {0};

	if (boot_cmdline(spec, out, &why))
		fail_msg("%s", why.text);
	return out;
}

static void the_kernels_own_nfsroot_is_told_everything(void **state)
{
	(void)state;
	assert_string_equal(line(&plain),
			    "root=/dev/nfs nfsroot=10.0.0.1:/,vers=3,tcp,rsize=1048576,"
			    "wsize=1048576,timeo=600,retrans=2,nolock ip=dhcp ro init=/linuxrc "
			    "rootstock.mode=tmpfs");
}

static void klibc_wants_boot_nfs(void **state)
{
	struct boot_spec spec = plain;

	(void)state;
	spec.dialect = BOOT_KLIBC;
	spec.mode = "overlay";
	assert_string_equal(line(&spec),
			    "boot=nfs root=/dev/nfs nfsroot=10.0.0.1:/,vers=3,tcp,rsize=1048576,"
			    "wsize=1048576,timeo=600,retrans=2,nolock ip=dhcp ro init=/linuxrc "
			    "rootstock.mode=overlay");
}

static void dracut_takes_the_server_and_options_by_colons(void **state)
{
	struct boot_spec spec = plain;

	(void)state;
	spec.dialect = BOOT_DRACUT;
	assert_string_equal(line(&spec),
			    "root=nfs:10.0.0.1:/:vers=3,tcp,rsize=1048576,wsize=1048576,timeo=600,"
			    "retrans=2,nolock ip=dhcp rd.neednet=1 ro init=/linuxrc "
			    "rootstock.mode=tmpfs");
}

static void mkinitcpio_reads_the_kernels_words(void **state)
{
	struct boot_spec spec = plain;
	char kernel[CMDLINE_MAX];

	(void)state;
	strcpy(kernel, line(&spec));
	spec.dialect = BOOT_MKINITCPIO;
	assert_string_equal(line(&spec), kernel);
}

static void live_boot_takes_options_apart_and_its_own_init(void **state)
{
	struct boot_spec spec = plain;

	(void)state;
	spec.dialect = BOOT_LIVE;
	spec.console = "ttyS0";
	assert_string_equal(line(&spec),
			    "boot=live netboot=nfs nfsroot=10.0.0.1:/ nfsopts=vers=3,tcp,"
			    "rsize=1048576,wsize=1048576,timeo=600,retrans=2,nolock ip=dhcp "
			    "console=tty0 console=ttyS0");
}

/* Measured: klibc's nfsmount gives up on any of these. */
static void no_option_is_given_that_klibc_rejects(void **state)
{
	static const char *const rejected[] = {"mountport", "proto=",  "mountproto",
					       "noatime",   "actimeo", "lookupcache",
					       "nconnect",  "sec=",    "local_lock"};
	struct boot_spec spec = plain;

	(void)state;
	spec.dialect = BOOT_KLIBC;
	spec.attr_secs = "3600";
	for (size_t i = 0; i < ARRAY_SIZE(rejected); i++)
		assert_null(strstr(line(&spec), rejected[i]));
	assert_non_null(strstr(line(&spec), ",nolock,nocto,acregmin=3600,acregmax=3600,"
					    "acdirmin=3600,acdirmax=3600 "));
}

static void nfsroot_fits_the_kernels_buffer(void **state)
{
	struct boot_spec spec = plain;
	const char *at;

	(void)state;
	spec.server = 0xffffffff;
	spec.attr_secs = "86400";
	at = strstr(line(&spec), "nfsroot=") + 8;
	assert_true(strcspn(at, " ") < 256);
}

static void a_console_keeps_the_screen_beside_it(void **state)
{
	struct boot_spec spec = plain;

	(void)state;
	spec.console = "ttyS0,115200";
	assert_non_null(strstr(line(&spec), " console=tty0 console=ttyS0,115200"));
	spec.console = "ttyS1,9600  tty0";
	assert_non_null(strstr(line(&spec), " console=ttyS1,9600 console=tty0"));
}

static void bootif_and_extra_words_come_last(void **state)
{
	static const struct mac mac = {{0x52, 0x54, 0, 0x12, 0x34, 1}};
	struct boot_spec spec = plain;
	const char *out;

	(void)state;
	spec.boot_if = &mac;
	spec.extra = "quiet\nAPPEND evil\tnet.ifnames=0";
	out = line(&spec);
	assert_non_null(
		strstr(out, " BOOTIF=01-52-54-00-12-34-01 quiet APPEND evil net.ifnames=0"));
	assert_null(strpbrk(out, "\n\t"));
}

static void the_root_may_have_another_path(void **state)
{
	static const char *const expected[] = {
		[BOOT_KERNEL] = " nfsroot=10.0.0.1:/maintenance,vers=3,",
		[BOOT_KLIBC] = " nfsroot=10.0.0.1:/maintenance,vers=3,",
		[BOOT_DRACUT] = "root=nfs:10.0.0.1:/maintenance:vers=3,",
		[BOOT_MKINITCPIO] = " nfsroot=10.0.0.1:/maintenance,vers=3,",
		[BOOT_LIVE] = " nfsroot=10.0.0.1:/maintenance nfsopts=vers=3,",
	};
	struct boot_spec spec = plain;

	(void)state;
	spec.path = "/maintenance";
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		spec.dialect = (enum boot_dialect)i;
		assert_non_null(strstr(line(&spec), expected[i]));
	}
}

static void a_plan_without_a_server_says_so(void **state)
{
	struct boot_spec spec = plain;

	(void)state;
	spec.server = 0;
	assert_non_null(strstr(line(&spec), "nfsroot=SERVER:/,"));
}

static void bad_values_are_named(void **state)
{
	char out[CMDLINE_MAX];
	char extra[3000];
	struct boot_spec spec = plain;
	struct why why = {0};

	(void)state;
	spec.attr_secs = "1h";
	assert_int_equal(boot_cmdline(&spec, out, &why), -EINVAL);
	assert_string_equal(why.text, "attr_secs=1h: not 0 to 86400 seconds");
	spec.attr_secs = "-1";
	assert_int_equal(boot_cmdline(&spec, out, NULL), -EINVAL);
	spec.attr_secs = NULL;
	memset(extra, 'x', sizeof(extra));
	extra[sizeof(extra) - 1] = '\0';
	spec.extra = extra;
	assert_int_equal(boot_cmdline(&spec, out, NULL), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_kernels_own_nfsroot_is_told_everything),
		cmocka_unit_test(klibc_wants_boot_nfs),
		cmocka_unit_test(dracut_takes_the_server_and_options_by_colons),
		cmocka_unit_test(mkinitcpio_reads_the_kernels_words),
		cmocka_unit_test(live_boot_takes_options_apart_and_its_own_init),
		cmocka_unit_test(no_option_is_given_that_klibc_rejects),
		cmocka_unit_test(nfsroot_fits_the_kernels_buffer),
		cmocka_unit_test(a_console_keeps_the_screen_beside_it),
		cmocka_unit_test(bootif_and_extra_words_come_last),
		cmocka_unit_test(the_root_may_have_another_path),
		cmocka_unit_test(a_plan_without_a_server_says_so),
		cmocka_unit_test(bad_values_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
