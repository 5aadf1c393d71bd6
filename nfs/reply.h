/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The data that belongs behind a reply (`body`, nfs/rpc.h), and what becomes of the reply
 * when the disk that has it fails.
 */
#ifndef NFS_REPLY_H
#define NFS_REPLY_H

#include "nfs/rpc.h"

struct worker;

/* Put it there, and the zeros: what fits in memory.  A disk that fails makes it an error of
 * NFS.
 * Returns 0, or -EIO: the content is shorter than it said. */
int reply_copy_body(struct worker *worker, struct reply *reply);

/* It will be sent behind the reply: make it an error of NFS where it is known not to be
 * readable. */
void reply_check_body(struct worker *worker, struct reply *reply);
/* It was sent in part, which cannot be taken back: the next ones are read before they are
 * promised, where `err` is a disk's.  Returns `err`. */
int reply_body_failed(struct worker *worker, int err);

#endif
