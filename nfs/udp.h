/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A worker's part in the datagrams: its callers, and its batches.
 */
#ifndef NFS_UDP_H
#define NFS_UDP_H

#include <stdint.h>

struct source;
struct udp;
struct worker;

int udp_new(struct udp **out);
void udp_free(struct worker *worker, struct udp *udp);
void udp_ready(struct worker *worker, struct source *source, uint32_t events);

#endif
