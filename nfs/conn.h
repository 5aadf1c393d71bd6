/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One TCP connection, of the worker that has adopted it.
 *
 *	conn_new --> (a worker's inbox) --> conn_adopt --> conn_run, as often as there is
 *	input --> conn_close --> conn_graves_free
 */
#ifndef NFS_CONN_H
#define NFS_CONN_H

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct worker;

/* Who calls, and by which of our addresses. */
struct caller_route {
	uint32_t address;
	uint32_t local;
	uint16_t port;
};

/* Takes `fd`, also on failure. */
int conn_new(int fd, uint8_t programs, struct conn **out);
/* The same of who is played: from these addresses, whatever `fd` is. */
int conn_new_as(int fd, uint8_t programs, const struct caller_route *route, struct conn **out);
void conn_discard(struct conn *conn); /* one that was never adopted */
uint32_t conn_address(const struct conn *conn);

void conn_adopt(struct worker *worker, struct conn *conn);
void conn_run(struct worker *worker, struct conn *conn); /* its turn */
/* Once a second: closed when it is idle or slow. */
void conn_sweep(struct worker *worker, struct conn *conn);
void conn_close(struct worker *worker, struct conn *conn);

struct conn *conn_next(struct conn *conn);
struct conn *conn_next_waiting(struct conn *conn); /* in `runnable` or `inbox` */
void conn_set_next_waiting(struct conn *conn, struct conn *next);

/* Those that were closed and that nothing points at any more; at the end all, */
void conn_graves_free(struct worker *worker, bool all);
/* and the buffers that none of them has. */
void conn_buffers_free(struct worker *worker);

#endif
