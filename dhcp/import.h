/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The machines that another DHCP server knows, read from its files: ISC dhcpd's
 * configuration (its `host` blocks) and leases, dnsmasq's configuration
 * (`dhcp-host=`), hosts file and leases, and /etc/ethers.  Which of these a file
 * is shows in its text.
 */
#ifndef DHCP_IMPORT_H
#define DHCP_IMPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "common/inventory.h"
#include "common/mac.h"
#include "common/why.h"

struct dhcp_import_host {
	struct mac mac;
	char name[NAME_MAX_LEN + 1]; /* a DNS label; "": the file has none that is one */
	uint32_t address;	     /* 0: none */
	bool leased;		     /* from a lease, not from a reservation */
	unsigned int line;
};

/* Call `add` for each machine of `file`, in its order (a lease file names a machine
 * again at each renewal: the last is right).  What is no machine's is passed over.
 * `name` is the file's, for messages.
 * Returns 0, what `add` returned when that was not 0, or -EINVAL with file, line
 * and fault in `why`. */
int dhcp_import(FILE *file, const char *name,
		int (*add)(void *ctx, const struct dhcp_import_host *host), void *ctx,
		struct why *why);

#endif
