/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A client of NFSv3 and MOUNT by hand, for the benches: calls into a buffer, a
 * stream of replies out of one, and what a server spent meanwhile.  Ends the
 * program when something fails: a figure with an error in it is none.
 */
#ifndef TESTS_BENCH_NFS_CLIENT_H
#define TESTS_BENCH_NFS_CLIENT_H

#include <stdint.h>

#include "common/bytes.h"

enum { NFS_PROGRAM = 100003, MOUNT_PROGRAM = 100005, CALL_SIZE = 2048, REPLIES_SIZE = 4 << 20 };
enum { NFS_GETATTR = 1, NFS_LOOKUP = 3, NFS_READ = 6, NFS_READDIRPLUS = 17 };

struct nfs_handle {
	uint8_t len; /* 0: none */
	uint8_t bytes[64];
};

struct nfs_call {
	size_t len; /* with the record mark */
	uint8_t bytes[CALL_SIZE];
};

_Noreturn void die(const char *what); /* with errno's text */

/* A connection from `address` (0: any), from a reserved port. */
int nfs_dial(const char *server, uint16_t port, uint32_t address);

/* A call up to its arguments, with AUTH_SYS as Linux sends it. */
struct writer nfs_begin(struct nfs_call *call, uint32_t program, uint32_t proc, uint32_t xid);
void nfs_put_opaque(struct writer *w, const void *p, size_t len);
void nfs_put_handle(struct writer *w, const struct nfs_handle *handle);
void nfs_end(struct nfs_call *call, const struct writer *w);

/* Mount `path`: its handle.  By a connection of its own. */
void nfs_mount(const char *server, uint16_t port, uint32_t address, const char *path,
	       struct nfs_handle *out);
/* LOOKUP; with len 0 in `out` when the name is not there. */
void nfs_lookup(int fd, const struct nfs_handle *dir, const char *name, struct nfs_handle *out);

/* The handle that the results of MNT and LOOKUP begin with. */
void nfs_take_handle(struct bytes results, struct nfs_handle *out);

/* Replies as they come, cut anywhere. */
struct nfs_stream {
	uint8_t head[28]; /* record mark to accept_stat; zeroed is ready for use */
	unsigned int head_len;
	uint32_t left; /* of this reply, behind the head */
	uint32_t status;
	unsigned int status_len;
	unsigned int nsmall;
	uint8_t small[512]; /* a small reply that came in pieces */
};
/* `status` of the results, or UINT32_MAX when the call was not carried out; `results`
 * behind it, empty when a large reply did not lie in one piece. */
typedef void nfs_reply_fn(void *arg, uint32_t xid, uint32_t status, struct bytes results);
void nfs_stream_feed(struct nfs_stream *s, struct bytes in, nfs_reply_fn *reply, void *arg);

/* CPU of all threads of a process, ns. */
uint64_t process_cpu_ns(int pid);

#endif
