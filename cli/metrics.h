/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The metrics child: answers GET /metrics, in Prometheus' text, with what the
 * supervisor and the other children say of themselves at that moment (common/control.h).
 * It has no other state, and no right but to ask them for that.
 *
 *	Prometheus --HTTP--> metrics --"stats"--> serve, copier, dhcp, tftp, nfs
 */
#ifndef CLI_METRICS_H
#define CLI_METRICS_H

#include "common/why.h"

/* Is it ADDRESS:PORT of the loopback network, or the path of a socket?  Returns 0 or
 * -EINVAL with words in `why`. */
int metrics_parse(const char *where, struct why *why);

/* Open the socket: the supervisor, as root.  A path gets the mode 0660 and the services'
 * group; metrics_unlink() takes it away at the end. */
int metrics_listen(const char *where, int *fd, struct why *why);
void metrics_unlink(const char *where);

struct metrics_config {
	const char *state_dir;
	int listen_fd;
	int event_fd; /* who hears that it serves */
};

int metrics_child(const struct metrics_config *config);

#endif
