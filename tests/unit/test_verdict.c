/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What boots come to, over lists of events as the services tell them; which events are of
 * which boot; and that no text of the wire gets into the page as markup.
 */
#include "tests/unit/unit.h"

#include "cli/boot_page.h"
#include "cli/verdict.h"
#include "common/clock.h"

#define SEC NS_PER_SEC
#define BEGUN (1000 * SEC)

/* One event: seconds after BEGUN. */
struct line {
	double secs;
	uint32_t kind;
	uint32_t step;
	const char *text;
};

#define END {0, 0, STEP_NONE, NULL}

enum { LINES_MAX = 32 };

static struct story_event list[LINES_MAX];

static struct story story_of(const struct line *lines)
{
	struct story s = {.id = 1, .opened = BEGUN, .events = list};

	for (; lines->kind; lines++) {
		struct story_event *e = &list[s.n++];

		*e = (struct story_event){.at = BEGUN + (int64_t)(lines->secs * 1e9),
					  .kind = lines->kind,
					  .step = lines->step};
		snprintf(e->text, sizeof(e->text), "%s", lines->text ? lines->text : "");
		if (e->kind == EVENT_MOUNT)
			s.mounted = e->at;
		if (e->kind == EVENT_INIT)
			s.init = e->at;
	}
	return s;
}

static struct verdict judge(const struct line *lines, double secs)
{
	struct story s = story_of(lines);
	struct verdict v;

	verdict_of(&s, BEGUN + (int64_t)(secs * 1e9), &v);
	return v;
}

#define ROM                                                                                        \
	{0, EVENT_DISCOVER, STEP_ROM_DHCP, "arch=0 stage=rom class=bios PXEClient"},               \
		{0.5, EVENT_OFFER, STEP_ROM_DHCP, "arch=0 stage=rom class=bios file=pxelinux.0"},  \
	{                                                                                          \
		0.6, EVENT_ACK, STEP_ROM_DHCP, "arch=0 stage=rom class=bios file=pxelinux.0"       \
	}
#define LOADER                                                                                     \
	{                                                                                          \
		1, EVENT_LOADER, STEP_LOADER, "pxelinux.0"                                         \
	}
#define MENU                                                                                       \
	{1.1, EVENT_ABSENT, STEP_FILE, "pxelinux.cfg/44454c4c"},                                   \
	{                                                                                          \
		1.2, EVENT_FILE, STEP_MENU, "pxelinux.cfg/01-52-54-00-12-34-01"                    \
	}
#define KERNEL                                                                                     \
	{                                                                                          \
		2, EVENT_FILE, STEP_KERNEL, "kernel"                                               \
	}
#define INITRD                                                                                     \
	{                                                                                          \
		4, EVENT_FILE, STEP_INITRD, "initrd"                                               \
	}
#define INITRD_DHCP                                                                                \
	{20, EVENT_DISCOVER, STEP_INITRD_DHCP, "stage=initrd class=klibc Linux ipconfig"},         \
		{20.5, EVENT_OFFER, STEP_INITRD_DHCP, "stage=initrd class=klibc"},                 \
	{                                                                                          \
		20.6, EVENT_ACK, STEP_INITRD_DHCP, "stage=initrd class=klibc"                      \
	}
#define PORTMAP                                                                                    \
	{                                                                                          \
		21, EVENT_PORTMAP, STEP_PORTMAP, "program 100003 version 3: port 2049"             \
	}
#define MOUNT                                                                                      \
	{                                                                                          \
		22, EVENT_MOUNT, STEP_MOUNT, "/"                                                   \
	}
#define INIT                                                                                       \
	{                                                                                          \
		23, EVENT_INIT, STEP_INIT, ""                                                      \
	}

/* Each row: what was told; the stage at which it stopped; a piece of the reason. */
static const struct {
	enum event_step stopped;
	const char *reason;
	struct line lines[LINES_MAX];
} cases[] = {
	{STEP_ROM_DHCP,
	 "no subnet for",
	 {{0, EVENT_DISCOVER, STEP_ROM_DHCP, "class=bios"},
	  {0, EVENT_REFUSED, STEP_ROM_DHCP,
	   "class=bios the interface is in no subnet of the configuration"}}},
	{STEP_ROM_DHCP,
	 "given out",
	 {{0, EVENT_DISCOVER, STEP_ROM_DHCP, ""},
	  {0, EVENT_REFUSED, STEP_ROM_DHCP, "class=bios no address is left"}}},
	{STEP_ROM_DHCP,
	 "approved",
	 {{0, EVENT_DISCOVER, STEP_ROM_DHCP, ""},
	  {0, EVENT_REFUSED, STEP_ROM_DHCP, "class=bios not registered: waits for approval"}}},
	{STEP_ROM_DHCP, "offered none", {{0, EVENT_DISCOVER, STEP_ROM_DHCP, ""}}},
	{STEP_ROM_DHCP,
	 "did not take it",
	 {{0, EVENT_DISCOVER, STEP_ROM_DHCP, ""}, {1, EVENT_OFFER, STEP_ROM_DHCP, ""}}},
	{STEP_LOADER, "asked for no loader", {ROM}},
	{STEP_LOADER,
	 "not installed on the server",
	 {ROM,
	  {1, EVENT_REFUSED, STEP_LOADER,
	   "grubx64.efi: not installed here: package grub-efi-amd64-bin has it"}}},
	{STEP_LOADER, "are lost", {ROM, {9, EVENT_BROKEN, STEP_LOADER, "pxelinux.0: no answer"}}},
	{STEP_MENU, "does not start", {ROM, LOADER}},
	{STEP_MENU,
	 "firmware does not start it",
	 {{0, EVENT_ACK, STEP_ROM_DHCP, "arch=7 stage=rom class=uefi-x64 file=bootx64.efi"},
	  LOADER}},
	{STEP_MENU,
	 "no kernel",
	 {ROM,
	  LOADER,
	  {1, EVENT_REFUSED, STEP_MENU,
	   "pxelinux.cfg/01-52-54-00-12-34-01: no kernel in its view: none of /boot/vmlinuz*"}}},
	{STEP_KERNEL, "kernel was not asked for", {ROM, LOADER, MENU}},
	{STEP_KERNEL,
	 "cannot read the file",
	 {ROM, LOADER, MENU, {2, EVENT_REFUSED, STEP_KERNEL, "kernel: Input/output error"}}},
	{STEP_KERNEL_DHCP, "neither asked for an address", {ROM, LOADER, MENU, KERNEL}},
	{STEP_INITRD,
	 "closed the transfer",
	 {ROM,
	  LOADER,
	  MENU,
	  KERNEL,
	  {3, EVENT_BROKEN, STEP_INITRD, "initrd: the client closed it"}}},
	{STEP_INITRD_DHCP, "lacks the driver", {ROM, LOADER, MENU, KERNEL, INITRD}},
	{STEP_INITRD_DHCP,
	 "once more, and was offered none",
	 {ROM,
	  LOADER,
	  MENU,
	  KERNEL,
	  INITRD,
	  {20, EVENT_DISCOVER, STEP_INITRD_DHCP, "class=klibc"}}},
	{STEP_MOUNT, "asked nothing of NFS", {ROM, LOADER, MENU, KERNEL, INITRD, INITRD_DHCP}},
	{STEP_MOUNT, "never came there", {ROM, LOADER, MENU, KERNEL, INITRD, INITRD_DHCP, PORTMAP}},
	{STEP_MOUNT,
	 "version 2",
	 {ROM,
	  LOADER,
	  MENU,
	  KERNEL,
	  {20, EVENT_ACK, STEP_KERNEL_DHCP, "stage=kernel class=kernel"},
	  {21, EVENT_REFUSED, STEP_PORTMAP, "NFS version 2: add vers=3 to the mount options"},
	  {21, EVENT_REFUSED, STEP_MOUNT,
	   "mount by MOUNT version 1 (NFS version 2): add vers=3 to the mount options"}}},
	{STEP_MOUNT,
	 "above 1023",
	 {ROM,
	  LOADER,
	  MENU,
	  KERNEL,
	  INITRD,
	  INITRD_DHCP,
	  PORTMAP,
	  {22, EVENT_REFUSED, STEP_MOUNT,
	   "mount of /: the source port is not a reserved one (reserved-port)"}}},
	{STEP_INIT,
	 "never read its first program",
	 {ROM, LOADER, MENU, KERNEL, INITRD, INITRD_DHCP, PORTMAP, MOUNT}},
	{STEP_ROOT,
	 "cannot be read",
	 {ROM,
	  LOADER,
	  MENU,
	  KERNEL,
	  INITRD,
	  INITRD_DHCP,
	  PORTMAP,
	  MOUNT,
	  {23, EVENT_BROKEN, STEP_ROOT, "usr/lib/systemd/systemd: Input/output error"}}},
	{STEP_NONE, "nothing was told", {END}},
};

static void each_way_to_fail_has_its_stage_and_reason(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct verdict v = judge(cases[i].lines, 1000);

		if (v.state != VERDICT_FAILED || v.stopped != cases[i].stopped || !v.reason ||
		    !strstr(v.reason, cases[i].reason))
			fail_msg("case %u: %s at %s: %s", i, verdict_word(v.state),
				 event_step_word(v.stopped), v.reason ? v.reason : "-");
	}
}

static void a_boot_that_came_up_has_not_failed(void **state)
{
	static const struct line up[] = {ROM,	      LOADER,  MENU,  KERNEL, INITRD,
					 INITRD_DHCP, PORTMAP, MOUNT, INIT,   END};
	struct story s = story_of(up);
	struct verdict v;

	(void)state;
	verdict_of(&s, BEGUN + 9999 * SEC, &v);
	assert_int_equal(v.state, VERDICT_RUNNING);
	assert_int_equal(v.reached, STEP_INIT);
	assert_null(v.reason);
	s.ended = BEGUN + 5000 * SEC;
	verdict_of(&s, BEGUN + 9999 * SEC, &v);
	assert_int_equal(v.state, VERDICT_OVER);
}

static void what_it_got_over_is_no_reason(void **state)
{
	/* mount.nfs tries version 4 first, a loader stops and asks again. */
	static const struct line up[] = {
		ROM,
		{1, EVENT_BROKEN, STEP_LOADER, "pxelinux.0: no answer"},
		LOADER,
		MENU,
		KERNEL,
		INITRD,
		INITRD_DHCP,
		{21, EVENT_REFUSED, STEP_MOUNT, "NFS version 4: add vers=3 to the mount options"},
		MOUNT,
		END};
	struct verdict v = judge(up, 9999);

	(void)state;
	assert_non_null(strstr(v.reason, "never read its first program"));
	assert_null(v.said);
}

static void an_unreadable_file_of_a_running_one_is_named(void **state)
{
	static const struct line up[] = {
		MOUNT, INIT, {99, EVENT_BROKEN, STEP_ROOT, "usr/bin/vi: Input/output error"}, END};
	struct verdict v = judge(up, 200);

	(void)state;
	assert_int_equal(v.state, VERDICT_RUNNING);
	assert_string_equal(v.said, "usr/bin/vi: Input/output error");
}

static void it_has_time_until_it_is_silent_for_long(void **state)
{
	static const struct line waits[] = {ROM, LOADER, MENU, KERNEL, INITRD, END};
	static const struct line refused[] = {
		ROM, {1, EVENT_REFUSED, STEP_MENU, "no kernel in its view"}, END};
	struct story s;
	struct verdict v;

	(void)state;
	assert_int_equal(judge(waits, 60).state, VERDICT_UNDER_WAY);
	assert_int_equal(judge(waits, 60).reached, STEP_INITRD);
	assert_int_equal(judge(waits, 300).state, VERDICT_FAILED);
	assert_int_equal(judge(refused, 2).state, VERDICT_FAILED); /* it was told so */
	s = story_of(waits);
	s.next = BEGUN + 50 * SEC; /* somebody has switched it off and on */
	verdict_of(&s, BEGUN + 60 * SEC, &v);
	assert_int_equal(v.state, VERDICT_FAILED);
}

static void a_boot_has_its_own_events(void **state)
{
	static const struct line all[] = {
		{-300, EVENT_ACK, STEP_ROM_DHCP, "of the boot before"},
		{-290, EVENT_LOADER, STEP_LOADER, "of the boot before"},
		{-8, EVENT_DISCOVER, STEP_ROM_DHCP, "in vain"},
		{-4, EVENT_REFUSED, STEP_ROM_DHCP, "in vain"},
		ROM,
		LOADER,
		{90, EVENT_DISCOVER, STEP_ROM_DHCP, "of the next, in vain"},
		{100, EVENT_DISCOVER, STEP_ROM_DHCP, "of the next"},
		{100, EVENT_ACK, STEP_ROM_DHCP, "of the next"},
		END};
	struct story s = story_of(all);

	(void)state;
	s.next = BEGUN + 100 * SEC;
	story_cut(&s);
	assert_int_equal(s.n, 6);
	assert_string_equal(s.events[0].text, "in vain");
	assert_string_equal(s.events[5].text, "pxelinux.0");
}

static void an_attempt_without_an_address_is_a_story_too(void **state)
{
	static const struct line up[] = {ROM,
					 LOADER,
					 MOUNT,
					 INIT,
					 {500, EVENT_DISCOVER, STEP_ROM_DHCP, "again"},
					 {500, EVENT_REFUSED, STEP_ROM_DHCP, "no address is left"},
					 END};
	static const struct line stage[] = {
		ROM, LOADER, KERNEL, {30, EVENT_DISCOVER, STEP_KERNEL_DHCP, "later stage"}, END};
	struct story s = story_of(up);

	(void)state;
	assert_int_equal(story_attempt(&s), 6);
	s = story_of(stage);
	assert_int_equal(story_attempt(&s), s.n);
}

static void text_of_the_wire_is_no_markup(void **state)
{
	static const struct line lines[] = {
		ROM,
		{1, EVENT_REFUSED, STEP_LOADER, "<script>alert('x')</script>&\"\x01: no such file"},
		END};
	struct story s = story_of(lines);
	struct verdict v;
	struct boot_page page = {.story = &s, .verdict = &v, .host = "a<b>", .image = "\"i\"@1"};
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	snprintf(s.reason, sizeof(s.reason), "<i>");
	verdict_of(&s, BEGUN + 999 * SEC, &v);
	assert_int_equal(page_write(&page, out), 0);
	fclose(out);
	assert_null(strstr(text, "<script"));
	assert_null(strstr(text, "a<b>"));
	assert_null(strstr(text, "<dd><i>"));
	assert_null(strchr(text, '\x01'));
	assert_non_null(
		strstr(text, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;?"));
	assert_non_null(strstr(text, "✕"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_way_to_fail_has_its_stage_and_reason),
		cmocka_unit_test(a_boot_that_came_up_has_not_failed),
		cmocka_unit_test(what_it_got_over_is_no_reason),
		cmocka_unit_test(an_unreadable_file_of_a_running_one_is_named),
		cmocka_unit_test(it_has_time_until_it_is_silent_for_long),
		cmocka_unit_test(a_boot_has_its_own_events),
		cmocka_unit_test(an_attempt_without_an_address_is_a_story_too),
		cmocka_unit_test(text_of_the_wire_is_no_markup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
