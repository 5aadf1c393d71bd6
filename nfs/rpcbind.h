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

#endif
