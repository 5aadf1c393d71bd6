/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Registration with an rpcbind that runs already, in place of our own port mapper.
 *
 * By libtirpc, over rpcbind's local socket: it takes registrations from root only
 * there, so the supervisor does it, before privileges go and after the children are
 * gone.
 */
#ifndef NFS_RPCBIND_H
#define NFS_RPCBIND_H

#include <stdint.h>

/* Say that NFS and MOUNT are on `address`:`port`, TCP and UDP.
 * Returns 0, or -ECONNREFUSED when no rpcbind answers or it will not. */
int rpcbind_register(uint32_t address, uint16_t port);
void rpcbind_unregister(void);

/* Does it still know us?  It forgets who registered when it is started anew.  Asked by a
 * datagram, so that nobody waits for one that hangs.
 * A socket for the two below, non-blocking, the caller's: 0 or a negative errno. */
int rpcbind_open(int *fd);
int rpcbind_ask(int fd, uint32_t xid);
/* The next packet.  Returns 0 for the answer to `xid`, with the port of NFS version 3 by TCP
 * (0: it knows of none); RPCBIND_OTHER; or a negative errno, -EAGAIN when all was read. */
enum { RPCBIND_OTHER = 1 };
int rpcbind_answer(int fd, uint32_t xid, uint16_t *port);

#endif
