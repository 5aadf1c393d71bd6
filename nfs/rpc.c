/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nfs/rpc.h"

#include <rpc/rpc.h>
#include <rpc/pmap_prot.h>
#include <stdio.h>

#include "mount3.h"
#include "nfs3.h"
#include "nfs/proc.h"

enum { RPC_VERSION = 2, AUTH_BYTES = 400, NOBODY = 65534 };

/* What one program answers on one version. */
struct rpc_version {
	uint32_t version;
	proc_fn *const *procs;
	const uint32_t *nprocs;
};

struct rpc_program {
	uint32_t number;
	uint8_t socket; /* RPC_NFS, RPC_PORTMAP */
	uint32_t low;
	uint32_t high;
	uint8_t slot; /* of its first procedure's tally */
	uint8_t slots;
	struct rpc_version versions[3];
};

static const struct rpc_program programs[] = {
	{NFS3_PROGRAM,
	 RPC_NFS,
	 3,
	 3,
	 TALLY_NFS,
	 TALLY_MOUNT - TALLY_NFS,
	 {{3, nfs3_procs, &nfs3_nprocs}}},
	/* Version 2 is 1 with a PATHCONF that nobody sends. */
	{MOUNT_PROGRAM,
	 RPC_NFS,
	 1,
	 3,
	 TALLY_MOUNT,
	 TALLY_PORTMAP - TALLY_MOUNT,
	 {{3, mount3_procs, &mount3_nprocs},
	  {1, mount1_procs, &mount1_nprocs},
	  {2, mount1_procs, &mount1_nprocs}}},
	{PMAPPROG,
	 RPC_PORTMAP,
	 2,
	 4,
	 TALLY_PORTMAP,
	 1,
	 {{2, pmap2_procs, &pmap2_nprocs},
	  {3, rpcb_procs, &rpcb3_nprocs},
	  {4, rpcb_procs, &rpcb4_nprocs}}},
};

int proc_null(struct call *call, struct reply *reply)
{
	(void)call;
	(void)reply;
	return 0;
}

/* The header of a call that was accepted and carried out. */
static void put_success(struct writer *w, uint32_t xid)
{
	static const uint8_t accepted[RPC_REPLY_HEADER - 4] = {[3] = REPLY};
	/* REPLY, MSG_ACCEPTED, AUTH_NONE, no verifier, SUCCESS */

	writer_be32(w, xid);
	writer_put(w, accepted, sizeof(accepted));
}

static enum rpc_verdict put_accept_error(struct writer *w, uint32_t xid, enum accept_stat stat)
{
	w->at = w->start;
	w->full = false;
	writer_be32(w, xid);
	writer_be32(w, REPLY);
	writer_be32(w, MSG_ACCEPTED);
	writer_be32(w, AUTH_NONE);
	writer_be32(w, 0);
	writer_be32(w, stat);
	return RPC_SEND;
}

static enum rpc_verdict put_prog_mismatch(struct writer *w, uint32_t xid, uint32_t low,
					  uint32_t high)
{
	put_accept_error(w, xid, PROG_MISMATCH);
	writer_be32(w, low);
	writer_be32(w, high);
	return RPC_SEND;
}

static enum rpc_verdict put_rpc_mismatch(struct writer *w, uint32_t xid)
{
	writer_be32(w, xid);
	writer_be32(w, REPLY);
	writer_be32(w, MSG_DENIED);
	writer_be32(w, RPC_MISMATCH);
	writer_be32(w, RPC_VERSION);
	writer_be32(w, RPC_VERSION);
	return RPC_SEND;
}

static enum rpc_verdict put_auth_error(struct writer *w, uint32_t xid, enum auth_stat stat)
{
	w->at = w->start;
	w->full = false;
	writer_be32(w, xid);
	writer_be32(w, REPLY);
	writer_be32(w, MSG_DENIED);
	writer_be32(w, AUTH_ERROR);
	writer_be32(w, stat);
	return RPC_SEND;
}

/* A credential or verifier as it lies there; sets c->bad when it does not fit. */
struct opaque_auth_ref {
	uint32_t flavor;
	struct bytes body;
};

static struct opaque_auth_ref take_auth(struct cursor *c)
{
	struct opaque_auth_ref a = {.flavor = cursor_be32(c)};
	uint32_t len = cursor_be32(c);

	if (len > AUTH_BYTES)
		c->bad = true;
	a.body = cursor_take(c, len);
	cursor_skip(c, -len & 3);
	return a;
}

static void cred_squash(const struct nfs_config *config, struct cred *cred)
{
	if (config->squash == NFS_SQUASH_ALL) {
		*cred = (struct cred){.uid = NOBODY, .gid = NOBODY};
		return;
	}
	if (config->squash != NFS_SQUASH_ROOT)
		return;
	if (!cred->uid)
		cred->uid = NOBODY;
	if (!cred->gid)
		cred->gid = NOBODY;
	for (unsigned int i = 0; i < cred->ngids; i++)
		if (!cred->gids[i])
			cred->gids[i] = NOBODY;
}

/* Returns AUTH_OK, or the reason of a refusal. */
static enum auth_stat cred_parse(const struct nfs_config *config, struct opaque_auth_ref a,
				 struct cred *cred)
{
	struct cursor c = cursor_of(a.body.at, a.body.len);
	uint32_t len;

	cred->ngids = 0;
	if (a.flavor == AUTH_NONE) {
		cred->uid = NOBODY;
		cred->gid = NOBODY;
		if (config->squash == NFS_SQUASH_ALL)
			cred_squash(config, cred);
		return AUTH_OK;
	}
	if (a.flavor != AUTH_SYS)
		return AUTH_REJECTEDCRED;
	cursor_skip(&c, 4); /* stamp */
	len = cursor_be32(&c);
	if (len > MAX_MACHINE_NAME)
		return AUTH_BADCRED;
	cursor_skip(&c, len + (-len & 3));
	cred->uid = cursor_be32(&c);
	cred->gid = cursor_be32(&c);
	cred->ngids = cursor_be32(&c);
	if (c.bad || cred->ngids > ARRAY_SIZE(cred->gids))
		return AUTH_BADCRED;
	for (unsigned int i = 0; i < cred->ngids; i++)
		cred->gids[i] = cursor_be32(&c);
	if (c.bad)
		return AUTH_BADCRED;
	cred_squash(config, cred);
	return AUTH_OK;
}

static void tell_version(struct call *call)
{
	char what[64];

	if (call->program == NFS3_PROGRAM) {
		snprintf(what, sizeof(what), "NFS version %u", call->version);
		mounts_refused(call->nfs->mounts, STEP_MOUNT, call->caller->address,
			       call->caller->who.host, what, "add vers=3 to the mount options");
	}
}

static const struct rpc_program *program_find(uint32_t number, uint8_t socket)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(programs); i++)
		if (programs[i].number == number && (programs[i].socket & socket))
			return &programs[i];
	return NULL;
}

static const struct rpc_version *version_find(const struct rpc_program *p, uint32_t version)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(p->versions); i++)
		if (p->versions[i].procs && p->versions[i].version == version)
			return &p->versions[i];
	return NULL;
}

static unsigned int program_slot(const struct rpc_program *p, uint32_t procedure)
{
	/* A procedure of another version, or of a program that is one slot. */
	if (procedure >= p->slots)
		return p->slot;
	return p->slot + procedure;
}

static enum rpc_verdict answer(struct nfs *nfs, struct caller *caller, struct bytes in, bool cut,
			       struct reply *reply)
{
	struct cursor c = cursor_of(in.at, in.len);
	struct call call = {.nfs = nfs, .caller = caller, .cut = cut};
	struct writer *w = &reply->w;
	const struct rpc_program *program;
	const struct rpc_version *version;
	struct opaque_auth_ref auth;
	enum auth_stat denied;
	uint32_t type;
	uint32_t rpcvers;
	proc_fn *proc;

	call.xid = cursor_be32(&c);
	type = cursor_be32(&c);
	rpcvers = cursor_be32(&c);
	if (c.bad || type != CALL)
		return RPC_CLOSE;
	if (rpcvers != RPC_VERSION)
		return put_rpc_mismatch(w, call.xid);
	call.program = cursor_be32(&c);
	call.version = cursor_be32(&c);
	call.procedure = cursor_be32(&c);
	if (c.bad)
		return RPC_CLOSE;

	if (caller->roster_seen != roster_generation(nfs->roster))
		caller_refresh(nfs, caller);
	program = program_find(call.program, caller->programs);
	if (!program)
		return put_accept_error(w, call.xid, PROG_UNAVAIL);
	version = version_find(program, call.version);
	if (!version) {
		tell_version(&call);
		return put_prog_mismatch(w, call.xid, program->low, program->high);
	}
	proc = call.procedure < *version->nprocs ? version->procs[call.procedure] : NULL;
	if (!proc)
		return put_accept_error(w, call.xid, PROC_UNAVAIL);

	auth = take_auth(&c);
	if (c.bad)
		return put_auth_error(w, call.xid, AUTH_BADCRED);
	take_auth(&c);
	if (c.bad)
		return put_auth_error(w, call.xid, AUTH_BADVERF);
	if (proc != proc_null) { /* which takes any */
		denied = cred_parse(nfs->config, auth, &call.cred);
		if (denied != AUTH_OK)
			return put_auth_error(w, call.xid, denied);
	}
	call.args = c;

	put_success(w, call.xid);
	switch (proc(&call, reply)) {
	case 0:
		if (w->full) /* RPC_REPLY_MAX holds every reply: our own bug */
			return put_accept_error(w, call.xid, SYSTEM_ERR);
		tally_call(&nfs->tally, program_slot(program, call.procedure));
		return RPC_SEND;
	case CALL_GARBAGE:
		return put_accept_error(w, call.xid, GARBAGE_ARGS);
	case CALL_UNAVAIL:
		return put_accept_error(w, call.xid, PROC_UNAVAIL);
	case CALL_PARK:
		reply->parked.xid = call.xid;
		reply->parked.waited = true;
		reply->parked.cred = call.cred;
		reply->parked.since_ns = nfs->now_ns;
		return RPC_PARK;
	case CALL_HOLD:
		return RPC_HOLD;
	default:
		return RPC_DROP;
	}
}

enum rpc_verdict rpc_answer(struct nfs *nfs, struct caller *caller, struct bytes in, bool cut,
			    struct reply *reply)
{
	enum rpc_verdict verdict = answer(nfs, caller, in, cut, reply);

	if (verdict != RPC_HOLD) /* which is asked again */
		tally_add(&nfs->calls, 1);
	return verdict;
}

void rpc_resume(struct nfs *nfs, struct caller *caller, struct rpc_parked *parked, int r,
		struct content *content, struct reply *reply)
{
	put_success(&reply->w, parked->xid);
	read_finish(nfs, caller, parked, r, content, reply);
	tally_call(&nfs->tally, TALLY_NFS + NFSPROC3_READ);
	view_unref(take(&parked->view));
}

bool rpc_is_write(struct bytes head)
{
	struct cursor c = cursor_of(head.at, head.len);

	cursor_skip(&c, 4);
	return cursor_be32(&c) == CALL && cursor_be32(&c) == RPC_VERSION &&
	       cursor_be32(&c) == NFS3_PROGRAM && cursor_be32(&c) == NFS3_VERSION &&
	       cursor_be32(&c) == NFSPROC3_WRITE && !c.bad;
}
