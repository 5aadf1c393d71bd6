/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What every procedure stands on: who calls, the call, and the state of the
 * worker that answers.
 *
 * Arguments are read with `struct cursor` and replies written with `struct
 * writer`, field by field in the order of nfs3.x, instead of by rpcgen's
 * routines: those allocate from lengths on the wire, and a GETATTR costs three
 * times as much with them.  The tests read every reply with rpcgen's.
 */
#ifndef NFS_PROC_H
#define NFS_PROC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/log.h"
#include "fsd/contents.h"
#include "fsd/view.h"
#include "nfs/child.h"
#include "nfs/export.h"
#include "nfs/handle.h"
#include "nfs/mounts.h"
#include "nfs/reads.h"
#include "nfs/rpc.h"
#include "nfs/tally.h"

/* A worker's own; what it points to is shared and locked by itself. */
struct nfs {
	const struct nfs_config *config;
	struct views *views;
	struct contents *contents;
	struct exports *exports;
	struct mounts *mounts;
	struct roster *roster; /* the snapshot this worker reads now */
	struct handle_key key;
	bool may_hold;		/* CALL_HOLD can be answered: who asks has room and time */
	int64_t now_ns;		/* monotonic; set once a wake-up */
	_Atomic uint64_t calls; /* since the start; the worker alone adds */
	struct tally tally;
};

/* One address that calls: a connection has one, so have a few UDP peers.  The
 * identity and the view are looked up when the roster or the overlays moved,
 * not at each call. */
struct caller {
	uint32_t address;
	uint16_t port;
	uint32_t local; /* the address that was asked */
	bool tcp;
	bool claimed;	  /* what its handle is of, if a MNT offered that */
	uint8_t programs; /* RPC_NFS, RPC_PORTMAP */

	uint64_t roster_seen; /* generation; 0: never looked */
	struct roster_who who;
	bool known;	 /* `who` is valid */
	bool admin;	 /* in an admin network */
	bool port_fine;	 /* reserved, or no need to be */
	int64_t busy_ns; /* say again that this address is alive, from then on */

	struct view *view;  /* the last one used; NULL */
	uint32_t view_boot; /* that its handles have */
	uint64_t view_seen;
	uint64_t view_roster;
	uint32_t init_node;  /* of `view`, till it was read; 0 */
	struct reads *reads; /* of a boot that mounted; NULL */
	uint32_t reads_of;   /* the version that `reads` was last looked for; 0 */
};

/* What FSINFO tells of READ and READDIRPLUS, and what they keep to; bytes. */
enum { READ_MAX_TCP = 1 << 20, DIR_MAX_TCP = 64 << 10, DATA_MAX_UDP = 32 << 10 };

/* Told of who may not: the words that cli/verdict.c and doctor know it by. */
#define NOT_RESERVED "the source port is not a reserved one (reserved-port)"

/* Take the newest roster, when there is one; once a wake-up. */
void nfs_refresh(struct nfs *nfs);

void caller_refresh(struct nfs *nfs, struct caller *caller);
void caller_forget(struct caller *caller); /* drops the view */
void caller_fini(struct caller *caller);

struct call {
	struct nfs *nfs;
	struct caller *caller;
	uint32_t xid;
	uint32_t program;
	uint32_t version;
	uint32_t procedure;
	bool cut;
	struct cred cred;
	struct cursor args;
};

/* A procedure writes its results (the header is there).  Returns 0, or: */
enum call_code { CALL_GARBAGE = 1, CALL_DROP, CALL_PARK, CALL_UNAVAIL, CALL_HOLD };
typedef int proc_fn(struct call *call, struct reply *reply);

/* What a handle in the arguments stands for. */
struct object {
	struct view *view; /* borrowed from the caller's cache: good for this call */
	struct view_attr attr;
};

/* Read a handle; sets args.bad when there is none. */
struct bytes proc_take_handle(struct cursor *args);
/* NFS3_OK and *out, or the status to answer. */
uint32_t proc_object(struct call *call, struct bytes handle, struct object *out);

/* The view that handles of (host, version, boot) show to this caller, into its cache.
 * Returns 0, -EACCES, -ENOENT (gone), or another negative errno. */
int proc_view(struct nfs *nfs, struct caller *caller, uint32_t host, uint32_t version,
	      uint32_t boot);
/* The handle of a node of the caller's view, as of the one that found it. */
void proc_put_handle(struct call *call, uint32_t node, struct writer *w);

/* VIEW permission bits (4 read, 2 write, 1 execute) of a mode for a credential. */
unsigned int proc_permission(const struct cred *cred, const struct view_attr *attr);

/* Tables by procedure number; NULL: unavailable. */
extern proc_fn *const nfs3_procs[];
extern proc_fn *const mount3_procs[];
extern proc_fn *const mount1_procs[];
extern proc_fn *const pmap2_procs[];
extern proc_fn *const rpcb_procs[];
extern const uint32_t nfs3_nprocs;
extern const uint32_t mount3_nprocs;
extern const uint32_t mount1_nprocs;
extern const uint32_t pmap2_nprocs;
extern const uint32_t rpcb3_nprocs;
extern const uint32_t rpcb4_nprocs;

proc_fn proc_null;
proc_fn nfs3_getattr, nfs3_access, nfs3_fsstat, nfs3_fsinfo, nfs3_pathconf;	 /* proc_attr.c */
proc_fn nfs3_lookup, nfs3_readlink, nfs3_readdir, nfs3_readdirplus;		 /* proc_name.c */
proc_fn nfs3_read;								 /* proc_file.c */
proc_fn nfs3_refuse_one, nfs3_refuse_name, nfs3_refuse_rename, nfs3_refuse_link; /* proc_write.c */

/* proc_file.c: the results of a READ once its content is there or not. */
void read_finish(struct nfs *nfs, struct caller *caller, const struct rpc_parked *read, int r,
		 struct content *content, struct reply *reply);

#endif
