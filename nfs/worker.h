/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One thread that serves: an epoll loop over its connections, the shared UDP
 * sockets, and the bytes that the copier brings.
 *
 *	accept, datagrams     worker.c, udp.c   shared sockets, whoever is free
 *	bytes of a connection conn.c            belongs to one worker for life
 *	calls                 rpc.c             no socket, no clock
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
	WORKER_IN_SIZE = 64 << 10,   /* one recv */
	WORKER_PEERS = 256,	     /* UDP callers remembered */
	WORKER_BUCKETS = 1 << 16
};

/* Who calls, and by which of our addresses. */
struct caller_route {
	uint32_t address;
	uint32_t local;
	uint16_t port;
};

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

/* What an epoll event points at: the first member of each kind. */
struct source {
	void (*ready)(struct worker *worker, struct source *source, uint32_t events);
};

struct listener {
	struct source source;
	int fd;
	uint8_t programs;
};

/* An input buffer, lent to a connection for as long as bytes lie in it. */
struct inbuf {
	struct inbuf *next;
	uint32_t at;
	uint32_t len; /* from `at` on */
	uint8_t data[WORKER_IN_SIZE];
};

struct conn;
struct udp;

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

/* conn.c */
/* Takes `fd`, also on failure. */
int conn_new(int fd, uint8_t programs, struct conn **out);
/* The same of who is played: from these addresses, whatever `fd` is. */
int conn_new_as(int fd, uint8_t programs, const struct caller_route *route, struct conn **out);
void conn_adopt(struct worker *worker, struct conn *conn);
void conn_run(struct worker *worker, struct conn *conn); /* its turn */
void conn_sweep(struct worker *worker, struct conn *conn);
void conn_close(struct worker *worker, struct conn *conn);
struct conn *conn_next(struct conn *conn);
uint32_t conn_address(const struct conn *conn);
struct conn *conn_next_waiting(struct conn *conn); /* in `runnable` or `inbox` */
void conn_set_next_waiting(struct conn *conn, struct conn *next);
void conn_discard(struct conn *conn); /* one that was never adopted */
void conn_graves_free(struct worker *worker, bool all);

/* udp.c */
int udp_new(struct udp **out);
void udp_free(struct worker *worker, struct udp *udp);
void udp_ready(struct worker *worker, struct source *source, uint32_t events);

/* Put the data of a reply behind it, and the zeros: what fits in memory.  A disk that
 * fails makes it an error of NFS.
 * Returns 0, or -EIO: the content is shorter than it said. */
int reply_copy_body(struct worker *worker, struct reply *reply);

#endif
