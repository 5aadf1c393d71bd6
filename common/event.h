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
	EVENT_REFUSED, /* any: text says what and why, as "WHAT: WHY" */
	EVENT_LOADER,  /* tftp: a boot loader was sent whole: the machine means to boot */
	EVENT_FILE,    /* tftp: another file was sent; nfs: a secret was read; text is its name */
	EVENT_MOUNT,   /* nfs: MNT was granted; text is the path */
	EVENT_UNKNOWN, /* nfs, tftp: an address with a lease but no registered host asked */
	EVENT_INIT,    /* nfs: first READ of the init program in a mount */
	EVENT_ALIVE,   /* nfs: about once a minute for each address that uses its tree;
			* `step`: how far it has come, STEP_ROOT or STEP_INIT */
	EVENT_SEALED,  /* copier: `host` is the version's id, text its digest in hex */
	EVENT_READS,   /* nfs: files of the version `bytes` that a boot read first, in order:
			* positions in `text`, as uint32_t up to a 0; `ms` is when, but in
			* microseconds since the mount */
	EVENT_ABSENT,  /* tftp: a name that clients try and do without; text is it */
	EVENT_BROKEN,  /* tftp: sent in part, `bytes` of it, or nfs: could not be read; text
			* says what and why, as "WHAT: WHY" */
	EVENT_PORTMAP, /* nfs: the port mapper was asked; text is for what, and its answer */
	EVENT_WELL,    /* any: it serves; see common/pulse.h */
	EVENT_KINDS
};

/* Where in a boot it happened, in the order in which most go through them. */
enum event_step {
	STEP_NONE,
	STEP_ROM_DHCP,
	STEP_LOADER,
	STEP_LOADER_DHCP, /* iPXE, or GRUB without the ROM's address */
	STEP_MODULE,	  /* another part of the loader */
	STEP_MENU,
	STEP_KERNEL,
	STEP_INITRD,
	STEP_FILE, /* a device tree, a Raspberry Pi's firmware, ... */
	STEP_KERNEL_DHCP,
	STEP_INITRD_DHCP,
	STEP_OS_DHCP, /* by a program that is none of these */
	STEP_PORTMAP,
	STEP_MOUNT,
	STEP_ROOT, /* reading the root by NFS */
	STEP_INIT,
	EVENT_STEPS
};

enum { EVENT_READS_MAX = 22 };

struct event {
	uint32_t kind;
	uint32_t host; /* 0 when unknown */
	uint32_t address;
	uint32_t ms;   /* how long it took, where that means something */
	uint32_t boot; /* of MOUNT, INIT and ALIVE: by its handle; 0: of none that was open */
	uint64_t bytes;
	int64_t at; /* wall time, ns; of the end where it took time */
	uint16_t step;
	uint16_t again; /* packets that were sent more than once; UINT16_MAX: that or more */
	struct mac mac;
	char text[150]; /* ended; escaped already */
};

/* Returns 0, -EAGAIN when the supervisor is behind (the event is lost), or
 * another negative errno. */
int event_send(int fd, const struct event *event);

/* Receive one.  Returns 0, -EAGAIN when there is none, -EPIPE at the end, or
 * -EBADMSG for a datagram that is not an event. */
int event_receive(int fd, struct event *out);

const char *event_word(uint32_t kind); /* "mount"; "event" for an unknown one */

const char *event_step_word(uint32_t step); /* "initrd dhcp"; "-" for none */

#endif
