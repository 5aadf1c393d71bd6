/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One thread that serves: an epoll loop over its connections, the shared UDP
 * sockets, and the bytes that the copier brings.
 *
 *	accept, datagrams     worker.c, udp.h   shared sockets, whoever is free
 *	bytes of a connection conn.h            belongs to one worker for life
 *	data behind a reply   reply.h           from a disk that may fail
 *	calls                 rpc.h             no socket, no clock
 *
 * A new connection goes to the worker that has the fewest, whoever accepted it.
 * Everything of a worker is its own, but for `struct worker_shared`.
 */
#ifndef NFS_WORKER_H
#define NFS_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/why.h"
#include "nfs/held.h"
#include "nfs/proc.h"

enum {
	WORKER_OUT_SIZE = 512 << 10, /* replies of one batch */
	WORKER_BUCKETS = 1 << 16
};

struct caller_route;
struct conn;
struct inbuf;
struct udp;

/* What all workers share. */
struct worker_shared {
	const struct nfs_config *config;
	struct views *views;
	struct exports *exports;
	struct mounts *mounts;
	/* Who sends the datagrams, where one is played; NULL: who sent them. */
	const struct caller_route *played;
	struct worker **workers;
	unsigned int nworkers;
	atomic_uint connections;
	struct handle_key key;
	uint8_t seed[16]; /* of the buckets: nobody picks whom to share one with */
	_Atomic uint16_t per_address[WORKER_BUCKETS];
	atomic_bool stop;
};

/* What an epoll event points at: a member of each kind. */
struct source {
	void (*ready)(struct worker *worker, struct source *source, uint32_t events);
};

struct listener {
	struct source source;
	int fd;
	uint8_t programs;
};

struct worker {
	struct nfs nfs;
	struct worker_shared *shared;
	int epoll_fd;
	int wake_fd;
	int reserve_fd;
	struct source wake;
	struct source content;
	struct listener listeners[4];
	unsigned int nlisteners;

	atomic_uint load; /* connections */
	struct conn *conns;
	struct conn *runnable; /* those with input left over from their turn */
	struct conn **runnable_tail;
	struct conn *graves; /* closed in this round, freed at its end */
	struct inbuf *spare;
	unsigned int nspare;
	int64_t sweep_ns;
	_Atomic int64_t turn_ns; /* since when it is at work; 0: it waits for some */
	struct held *held;
	unsigned int nheld;
	uint64_t held_seen; /* the exports' generation that they were last asked with */
	struct log_limit full_limit;
	struct log_limit disk_limit;
	int64_t doubt_ns; /* until then files are read before they are promised */

	pthread_mutex_t inbox_lock; /* guards inbox */
	struct conn *inbox;	    /* accepted by others for this one */

	struct udp *udp;
	uint32_t out_len;
	uint8_t *out;
};

int worker_new(struct worker_shared *shared, struct worker **out, struct why *why);
void worker_free(struct worker *worker); /* NULL is fine */
CLEANUP_DEFINE(struct worker *, worker_free);

void *worker_main(void *worker); /* a thread's: until shared->stop and a wake */
void worker_wake(struct worker *worker);
/* Have it adopt a connection, from any thread. */
void worker_give(struct worker *worker, struct conn *conn);

/* One connection more (1) or less (-1) from an address.  Returns false, and counts
 * nothing, when that would be too many. */
bool worker_count(struct worker_shared *shared, uint32_t address, int change);

#endif
