/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Figures as text, in the exposition format of Prometheus, version 0.0.4: written by
 * whoever counts, asked for through a control socket (common/control.h).
 *
 *	stats_counter(s, "rootstock_dhcp_packets_total", "Packets received.", n);
 *
 *	stats_family(s, "rootstock_leases", "gauge", "Leases, by state.");
 *	stats_sample(s, bound, "state", "bound", NULL);
 *	stats_sample(s, offered, "state", "offered", NULL);
 */
#ifndef COMMON_STATS_H
#define COMMON_STATS_H

#include <stddef.h>
#include <stdint.h>

struct stats;

/* One figure that only grows, or one that goes up and down. */
void stats_counter(struct stats *stats, const char *name, const char *help, uint64_t value);
void stats_gauge(struct stats *stats, const char *name, const char *help, double value);

/* Several of one name, told apart by labels: pairs of name and value, ended by NULL.
 * Values may hold anything, names are ours. */
void stats_family(struct stats *stats, const char *name, const char *type, const char *help);
void stats_sample(struct stats *stats, double value, ...) __attribute__((sentinel));
/* The same of a name with something behind it: "_bucket", "_sum", "_count". */
void stats_sample_of(struct stats *stats, const char *suffix, double value, ...)
	__attribute__((sentinel));

/* How many datagrams the kernel threw away for want of room in the socket's buffer; asked
 * for here, so that no packet has to carry it (SO_RXQ_OVFL).  0 where fd is below 0. */
uint64_t socket_drops(int fd);

int stats_new(struct stats **out);
/* The text, ended, and its length: the caller's.  Frees `stats`, also on failure. */
int stats_finish(struct stats *stats, char **text, size_t *len);

#endif
