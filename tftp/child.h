/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The TFTP child: what the supervisor starts.
 */
#ifndef TFTP_CHILD_H
#define TFTP_CHILD_H

#include "common/control.h"
#include "tftp/server.h"

/* Plain data; the caller's, and constant while the child runs. */
struct tftp_config {
	const char *state_dir;	    /* NULL: loaders only */
	const char *const *folders; /* of the user's loaders, ended by NULL; NULL: none */
	bool registers;		    /* who has a lease becomes a host */
	struct control_door control;
	struct tftp_server_config server; /* listen[], ports, caps, event_fd */
};

/* Serve until SIGTERM or SIGINT.  Unprivileged already (sandbox_enter).  Returns the
 * exit status; what went wrong is in the log. */
int tftp_child(const struct tftp_config *config);

#endif
