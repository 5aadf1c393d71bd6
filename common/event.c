/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/event.h"

#include <errno.h>
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
		[EVENT_DISCOVER] = "discover", [EVENT_OFFER] = "offer",	    [EVENT_ACK] = "ack",
		[EVENT_REFUSED] = "refused",   [EVENT_LOADER] = "loader",   [EVENT_FILE] = "file",
		[EVENT_MOUNT] = "mount",       [EVENT_UNKNOWN] = "unknown", [EVENT_INIT] = "init",
		[EVENT_ALIVE] = "alive",       [EVENT_SEALED] = "sealed",   [EVENT_READS] = "reads",
	};

	return kind < ARRAY_SIZE(word) && word[kind] ? word[kind] : "event";
}
