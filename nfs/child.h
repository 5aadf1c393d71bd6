/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The nfs child: what the supervisor opens for it while it may, and its main.
 *
 *	supervisor: nfs_listen() --> fork, exec, sandbox_enter() --> nfs_child()
 *
 * The child has its own thread for the databases, ten looks a second, and one
 * worker a core.
 */
#ifndef NFS_CHILD_H
#define NFS_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/control.h"
#include "common/why.h"

enum { NFS_PORT = 2049, NFS_PORTMAP_PORT = 111 };

/* Sockets, -1 where there is none. */
struct nfs_fds {
	int tcp; /* NFS and MOUNT */
	int udp;
	int portmap_tcp;
	int portmap_udp;
	bool registered; /* with a running rpcbind instead: nfs_unregister() at the end */
};

#define NFS_FDS_NONE ((struct nfs_fds){-1, -1, -1, -1, false})

struct nfs_network {
	uint32_t address; /* host order */
	uint8_t prefix;
};

enum nfs_squash { NFS_SQUASH_NONE, NFS_SQUASH_ROOT, NFS_SQUASH_ALL };

/* Plain data; all that it points to is borrowed for the child's life. */
struct nfs_config {
	const char *state_dir;
	int event_fd; /* struct event goes here; -1: nowhere */
	struct control_door control;
	struct nfs_fds fds;
	uint16_t port;	      /* that fds.tcp and fds.udp are bound to; 0: ask them */
	unsigned int workers; /* 0: one a core */
	const struct nfs_network *admin;
	unsigned int nadmin;
	bool reserved_port;
	enum nfs_squash squash;
	/* Limits; 0 takes the default. */
	unsigned int max_connections; /* in all: 8192, less where descriptors end */
	unsigned int max_per_address; /* 64 */
	unsigned int record_secs;     /* from a record's first byte to its last: 30 */
	unsigned int max_open;	      /* objects held open, a worker: 1024 */
};

/* Open and bind the sockets: NFS and MOUNT on `port` (0: 2049), the port mapper
 * on 111, each TCP and UDP, on `address` (0: all).  Where an rpcbind has port 111,
 * registers with that instead.  Needs privileges.  `old` may serve on that port, on all
 * addresses or on one of them; it stays the caller's; nfs_replace() once it is not needed.
 * Returns 0, or a negative errno with `why` ("port 2049: in use ..."). */
int nfs_listen(const struct nfs_fds *old, uint32_t address, uint16_t port, struct nfs_fds *out,
	       struct why *why);
void nfs_replace(struct nfs_fds *old, const struct nfs_fds *by);
void nfs_fds_close(struct nfs_fds *fds);
void nfs_unregister(const struct nfs_fds *fds); /* the supervisor's last act for nfs */

/* Serve until SIGTERM or SIGINT.  Returns the exit status of the process. */
int nfs_child(const struct nfs_config *config);

#endif
