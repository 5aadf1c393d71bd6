/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the procedures share: from a handle to a view and a node that this caller
 * may have, and the permission bits.
 */
#include "nfs/proc.h"

#include <errno.h>
#include <sys/stat.h>

#include "nfs/attr.h"
#include "nfs3.h"

void nfs_refresh(struct nfs *nfs)
{
	if (nfs->roster && roster_generation(nfs->roster) == exports_generation(nfs->exports))
		return;
	roster_unref(nfs->roster);
	nfs->roster = exports_roster(nfs->exports);
}

void caller_forget(struct caller *caller)
{
	view_unref(caller->view);
	caller->view = NULL;
	caller->init_node = 0;
}

void caller_fini(struct caller *caller)
{
	caller_forget(caller);
	reads_free(caller->reads);
	caller->reads = NULL;
	caller->reads_of = 0;
}

void caller_refresh(struct nfs *nfs, struct caller *caller)
{
	uint32_t host = caller->who.host;

	caller->known = !roster_by_address(nfs->roster, caller->address, &caller->who);
	if (!caller->known)
		caller->who = (struct roster_who){.address = caller->address};
	if (caller->who.host != host)
		caller_fini(caller); /* the address went to another machine */
	caller->admin = exports_admin(nfs->config, caller->address);
	caller->port_fine = caller->port < 1024 || !nfs->config->reserved_port;
	caller->roster_seen = roster_generation(nfs->roster);
}

/* A new view for the cache, and its init program, to be noticed when read. */
static int caller_view(struct nfs *nfs, struct caller *caller, uint32_t host, uint32_t version,
		       uint32_t boot)
{
	uint64_t generation = views_generation(nfs->views);
	const char *init = NULL;
	struct view *view;
	int r;

	if (host && roster_host(nfs->roster, host, &init))
		return -ENOENT;
	r = views_get(nfs->views, host, version,
		      host ? roster_change(nfs->roster, &caller->who, host, boot) : UINT64_MAX,
		      &view);
	if (r)
		return r;
	if (caller->view && view_host(caller->view) == host &&
	    view_version(caller->view) == version && caller->view_boot == boot &&
	    !caller->init_node)
		host = 0; /* the same tree, moved on: its init was read already */
	view_unref(caller->view);
	caller->view = view;
	caller->view_boot = boot;
	caller->view_seen = generation;
	caller->view_roster = caller->roster_seen;
	caller->init_node = 0;
	if (host && host == caller->who.host &&
	    view_resolve(view, VIEW_ROOT, init ? init : "/sbin/init", true, &caller->init_node))
		caller->init_node = 0;
	return 0;
}

int proc_view(struct nfs *nfs, struct caller *caller, uint32_t host, uint32_t version,
	      uint32_t boot)
{
	bool own = host && host == caller->who.host && !caller->who.pending;

	if (!caller->port_fine || (!own && !caller->admin))
		return -EACCES;
	if (caller->view && view_host(caller->view) == host &&
	    view_version(caller->view) == version && caller->view_boot == boot &&
	    caller->view_seen == views_generation(nfs->views) &&
	    caller->view_roster == caller->roster_seen)
		return 0;
	return caller_view(nfs, caller, host, version, boot);
}

void proc_put_handle(struct call *call, uint32_t node, struct writer *w)
{
	const struct caller *caller = call->caller;
	const struct handle handle = {
		.host = view_host(caller->view),
		.version = view_version(caller->view),
		.node = node,
		.boot = caller->view_boot,
	};
	uint8_t *p;

	writer_be32(w, HANDLE_SIZE);
	p = writer_room(w, HANDLE_SIZE);
	if (p)
		handle_write(&call->nfs->key, &handle, p);
}

struct bytes proc_take_handle(struct cursor *args)
{
	uint32_t len = cursor_be32(args);
	struct bytes handle;

	if (len > NFS3_FHSIZE)
		args->bad = true;
	handle = cursor_take(args, len);
	cursor_skip(args, -len & 3);
	return handle;
}

/* Why nothing of a tree is for this caller; the log says it once. */
static void tell_refused(struct call *call)
{
	struct caller *caller = call->caller;
	const char *why = "the handle is another host's";

	if (!caller->port_fine)
		why = NOT_RESERVED;
	else if (!caller->known)
		why = "no known host has this address";
	else if (caller->who.pending)
		why = "the host is pending: host approve";
	mounts_refused(call->nfs->mounts, STEP_ROOT, caller->address, caller->who.host, "NFS call",
		       why);
}

/* A MNT by UDP counts when its handle comes back: a forger does not get it. */
static void claim_mount(struct call *call, uint32_t boot)
{
	struct caller *caller = call->caller;

	caller->claimed = caller->tcp;
	mounts_claim(call->nfs->mounts, caller->address, boot);
}

static void tell_alive(struct call *call, uint32_t boot)
{
	struct caller *caller = call->caller;

	caller->busy_ns = mounts_alive(call->nfs->mounts, caller->address, caller->who.host, boot,
				       caller->who.mounted, call->nfs->now_ns);
	if (caller->reads)
		reads_tell(caller->reads);
}

uint32_t proc_object(struct call *call, struct bytes bytes, struct object *out)
{
	struct handle handle;
	int r;

	if (handle_read(&call->nfs->key, bytes, &handle))
		return NFS3ERR_BADHANDLE;
	if (!call->caller->claimed && handle.host && handle.host == call->caller->who.host)
		claim_mount(call, handle.boot);
	r = proc_view(call->nfs, call->caller, handle.host, handle.version, handle.boot);
	if (r) {
		if (r == -EACCES)
			tell_refused(call);
		else if (r < 0 && r != -ENOENT)
			mounts_unreadable(call->nfs->mounts, call->caller->address, handle.host,
					  "its tree", strerror(-r));
		return attr_status(r == -ENOENT ? VIEW_STALE : r);
	}
	/* Only a handle of its own shows that it lives: a NULL in its name is quickly
	 * forged, and would keep a lease for ever. */
	if (handle.host && handle.host == call->caller->who.host &&
	    call->nfs->now_ns >= call->caller->busy_ns)
		tell_alive(call, handle.boot);
	out->view = call->caller->view;
	return attr_status(view_attr(out->view, handle.node, &out->attr));
}

unsigned int proc_permission(const struct cred *cred, const struct view_attr *attr)
{
	bool in_group = cred->gid == attr->gid;

	if (cred->uid == 0) {
		/* root, as the client's own kernel would have it */
		if (S_ISDIR(attr->mode) || (attr->mode & 0111))
			return 7;
		return 6;
	}
	if (cred->uid == attr->uid)
		return attr->mode >> 6 & 7;
	for (unsigned int i = 0; i < cred->ngids; i++)
		in_group |= cred->gids[i] == attr->gid;
	return (in_group ? attr->mode >> 3 : attr->mode) & 7;
}
