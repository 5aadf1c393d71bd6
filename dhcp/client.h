/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is remembered of each MAC (or relay circuit) that sends: budgets against
 * floods, and what it was last told.  A table of fixed size: under a flood of
 * random MACs records displace each other, which costs nothing but a budget
 * that starts afresh.
 */
#ifndef DHCP_CLIENT_H
#define DHCP_CLIENT_H

#include "common/log.h"
#include "common/mac.h"
#include "common/bytes.h"
#include "common/clock.h"

struct client {
	uint64_t key;
	struct log_limit messages; /* answered */
	struct log_limit lines;	   /* logged refusals */
	struct log_limit declines;
	struct instant loader_at; /* when a loader was last named to it */
	uint32_t loader_xid;
	uint32_t loader; /* its stage and firmware; 0: none yet */
};

struct clients;

int clients_new(struct clients **out);
void clients_free(struct clients *clients); /* NULL is fine */

struct client *clients_of_mac(struct clients *clients, const struct mac *mac);
struct client *clients_of_bytes(struct clients *clients, struct bytes id);

#endif
