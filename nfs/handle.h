/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * NFS handles: 32 bytes, the same on every server with the same rows, manifests
 * and site key.
 *
 *	0      1..3  4..7     8..11       12..15   16..19   20..23  24..31
 *	format zero  host id  version id  node id  boot id  zero    SipHash-2-4 of 0..23
 *
 * So a handle says by itself which boot it was given to, whoever forgets what a machine did:
 * that boot's overlay change is what it shows, and who shows it has mounted in that boot.
 *
 * The tag only says that a server of this site made the handle.  Who may use
 * it is asked at every call (proc.h).  Numbers are big-endian.
 */
#ifndef NFS_HANDLE_H
#define NFS_HANDLE_H

#include <stdint.h>

#include "common/bytes.h"
#include "common/handle_key.h"

enum { HANDLE_SIZE = 32, HANDLE_FORMAT = 1 };

struct handle {
	uint32_t host; /* 0: an image's bare view */
	uint32_t version;
	uint32_t node;
	uint32_t boot; /* 0: of none that was open */
};

void handle_write(const struct handle_key *key, const struct handle *handle,
		  uint8_t out[static HANDLE_SIZE]);

/* Returns 0, or -EBADMSG: not one of ours. */
int handle_read(const struct handle_key *key, struct bytes in, struct handle *out);

#endif
