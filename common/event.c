/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/event.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"

int event_send(int fd, const struct event *event)
{
	if (fd < 0)
		return 0;
	if (send(fd, event, sizeof(*event), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

int event_receive(int fd, struct event *out)
{
	struct event event;
	ssize_t n = recv(fd, &event, sizeof(event), MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	if (n == 0)
		return -EPIPE;
	if (n != sizeof(event) || event.kind == 0 || event.kind >= EVENT_KINDS)
		return -EBADMSG;
	event.text[sizeof(event.text) - 1] = '\0';
	*out = event;
	return 0;
}

const char *event_word(uint32_t kind)
{
	static const char *const word[EVENT_KINDS] = {
		[EVENT_DISCOVER] = "discover", [EVENT_OFFER] = "offer",
		[EVENT_ACK] = "ack",	       [EVENT_REFUSED] = "refused",
		[EVENT_LOADER] = "loader",     [EVENT_FILE] = "file",
		[EVENT_MOUNT] = "mount",       [EVENT_UNKNOWN] = "unknown",
		[EVENT_INIT] = "init",	       [EVENT_ALIVE] = "alive",
		[EVENT_SEALED] = "sealed",     [EVENT_READS] = "reads",
		[EVENT_ABSENT] = "absent",     [EVENT_BROKEN] = "broken",
		[EVENT_PORTMAP] = "portmap",   [EVENT_WELL] = "well",
	};

	return kind < ARRAY_SIZE(word) && word[kind] ? word[kind] : "event";
}

static const char *const step_words[EVENT_STEPS] = {
	[STEP_NONE] = "-",
	[STEP_ROM_DHCP] = "rom dhcp",
	[STEP_LOADER] = "loader",
	[STEP_LOADER_DHCP] = "loader dhcp",
	[STEP_MODULE] = "module",
	[STEP_MENU] = "menu",
	[STEP_KERNEL] = "kernel",
	[STEP_INITRD] = "initrd",
	[STEP_FILE] = "file",
	[STEP_KERNEL_DHCP] = "kernel dhcp",
	[STEP_INITRD_DHCP] = "initrd dhcp",
	[STEP_OS_DHCP] = "os dhcp",
	[STEP_PORTMAP] = "portmap",
	[STEP_MOUNT] = "mount",
	[STEP_ROOT] = "root",
	[STEP_INIT] = "init",
};

const char *event_step_word(uint32_t step)
{
	return step < EVENT_STEPS ? step_words[step] : "-";
}
