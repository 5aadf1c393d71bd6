/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a child tells the supervisor: one datagram of fixed size an event, over
 * a socket that never blocks the teller.  The supervisor writes them into
 * trace.db, registers unknown machines from them, and passes those that move a
 * boot or a lease on to the dhcp child.
 */
#ifndef COMMON_EVENT_H
#define COMMON_EVENT_H

#include <stdint.h>

#include "common/mac.h"

enum event_kind {
	EVENT_DISCOVER = 1, /* dhcp: text has arch and vendor class */
	EVENT_OFFER,
	EVENT_ACK,
	EVENT_REFUSED, /* any: text says why */
	EVENT_LOADER,  /* tftp: a boot loader was sent whole: the machine means to boot */
	EVENT_FILE,    /* tftp: another file was sent; text is its name */
	EVENT_MOUNT,   /* nfs: MNT was granted; text is the path */
	EVENT_UNKNOWN, /* nfs, tftp: an address with a lease but no registered host asked */
	EVENT_INIT,    /* nfs: first READ of the init program in a mount */
	EVENT_ALIVE,   /* nfs: about once a minute for each address that uses its tree */
	EVENT_SEALED,  /* copier: `host` is the version's id, text its digest in hex */
	EVENT_READS,   /* nfs: files of the version `bytes` that a boot read first, in order:
			* positions in `text`, as uint32_t up to a 0; `ms` is when, but in
			* microseconds since the mount */
	EVENT_KINDS
};

enum { EVENT_READS_MAX = 22 };

struct event {
	uint32_t kind;
	uint32_t host; /* 0 when unknown */
	uint32_t address;
	uint32_t ms; /* how long it took, where that means something */
	uint64_t bytes;
	int64_t at; /* wall time, ns */
	struct mac mac;
	char text[90]; /* ended; escaped already */
};

/* Returns 0, -EAGAIN when the supervisor is behind (the event is lost), or
 * another negative errno. */
int event_send(int fd, const struct event *event);

/* Receive one.  Returns 0, -EAGAIN when there is none, -EPIPE at the end, or
 * -EBADMSG for a datagram that is not an event. */
int event_receive(int fd, struct event *out);

const char *event_word(uint32_t kind); /* "mount"; "event" for an unknown one */

#endif
