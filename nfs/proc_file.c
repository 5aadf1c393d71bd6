/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * READ.  The reply names the bytes; the worker moves them (worker.h).  A file
 * that is not in the store yet parks the call: it goes on in read_finish() when
 * the copier has it, or these bytes of it.
 */
#include "nfs/proc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "nfs/attr.h"
#include "nfs3.h"

/* Below it a node is a position in the manifest, + 1 (fsd/tree.h). */
#define IMAGE_NODES (UINT32_C(1) << 30)

static void put_failure(struct reply *reply, const struct view *view, uint32_t status,
			const struct view_attr *attr)
{
	writer_be32(&reply->w, status);
	attr_put_post_op(&reply->w, view, attr);
}

static const char *path_of(const struct rpc_parked *read, char path[static 256])
{
	ssize_t len = view_path(read->view, read->node, path, 255);

	if (len < 0)
		len = snprintf(path, 256, "node %u", read->node);
	path[len] = '\0';
	return path;
}

/* Of one whose root it is: that is where a boot may stop. */
static void tell_unreadable(struct nfs *nfs, const struct caller *caller,
			    const struct rpc_parked *read, int r)
{
	char path[256];

	if (r < 0 && caller->who.host && caller->who.host == view_host(read->view))
		mounts_unreadable(nfs->mounts, caller->address, caller->who.host,
				  path_of(read, path), strerror(-r));
}

/* Who took a host key is for the trace (clients.md, 11). */
static void tell_secret(struct nfs *nfs, const struct caller *caller, const struct rpc_parked *read)
{
	char path[256];

	mounts_secret_read(nfs->mounts, caller->address, caller->who.host, path_of(read, path));
}

/* Of a boot's own image, what it reads first is told to those who fill later ones. */
static void note_read(struct nfs *nfs, struct caller *caller, const struct rpc_parked *read)
{
	uint32_t version = view_version(read->view);

	if (caller->reads_of != version) {
		int64_t mounted = 0;

		reads_free(caller->reads);
		caller->reads = NULL;
		caller->reads_of = version;
		if (caller->who.host && caller->who.host == view_host(read->view))
			mounted = mounts_when(nfs->mounts, caller->address);
		if (mounted)
			caller->reads = reads_new(nfs->config->event_fd, caller->address,
						  caller->who.host, version, mounted);
	}
	if (caller->reads && read->node < IMAGE_NODES)
		reads_note(caller->reads, read->node - 1, nfs->now_ns);
}

/* The owner reads what it opened before a chmod, and who may execute a file must be able to
 * page it in (RFC 1813, 4.4). */
static bool may_read(const struct cred *cred, const struct view_attr *attr)
{
	return (proc_permission(cred, attr) & 5) || cred->uid == attr->uid;
}

void read_finish(struct nfs *nfs, struct caller *caller, const struct rpc_parked *read, int r,
		 struct content *consumed, struct reply *reply)
{
	cleanup(content_unrefp) struct content *content = consumed;
	struct writer *w = &reply->w;
	struct view_attr attr;
	uint64_t size;
	uint64_t left;
	uint32_t count;

	/* Asked again after a wait: a drifted file brings new attributes. */
	if (view_attr(read->view, read->node, &attr)) {
		put_failure(reply, read->view, NFS3ERR_STALE, NULL);
		return;
	}
	if (r) {
		tell_unreadable(nfs, caller, read, r);
		put_failure(reply, read->view, attr_status(r), &attr);
		return;
	}
	if (read->waited && !may_read(&read->cred, &attr)) {
		put_failure(reply, read->view, NFS3ERR_ACCES, &attr);
		return;
	}
	size = content_size(content);
	left = read->offset < size ? size - read->offset : 0;
	count = left < read->count ? (uint32_t)left : read->count;
	writer_be32(w, NFS3_OK);
	attr_put_post_op(w, read->view, &attr);
	writer_be32(w, count);
	writer_be32(w, count == left);
	writer_be32(w, count);
	if (count) {
		reply->body = take(&content);
		reply->body_offset = read->offset;
		reply->body_len = count;
		tally_add(&nfs->tally.read_bytes, count);
	}
	note_read(nfs, caller, read);
	if (!read->offset && view_secret(read->view, read->node))
		tell_secret(nfs, caller, read);
	if (read->node == caller->init_node && caller->init_node) {
		caller->init_node = 0;
		mounts_init_read(nfs->mounts, caller->address, caller->who.host, caller->view_boot,
				 count);
	}
}

int nfs3_read(struct call *call, struct reply *reply)
{
	struct bytes handle = proc_take_handle(&call->args);
	uint64_t offset = cursor_be64(&call->args);
	uint32_t count = cursor_be32(&call->args);
	uint32_t max = call->caller->tcp ? READ_MAX_TCP : DATA_MAX_UDP;
	struct content *content = NULL;
	struct rpc_parked read;
	struct object object = {0};
	uint32_t status;
	bool found;
	int r;

	if (call->args.bad)
		return CALL_GARBAGE;
	status = proc_object(call, handle, &object);
	found = !status;
	if (!status && S_ISDIR(object.attr.mode))
		status = NFS3ERR_ISDIR;
	else if (!status && !S_ISREG(object.attr.mode))
		status = NFS3ERR_INVAL;
	else if (!status && !may_read(&call->cred, &object.attr))
		status = NFS3ERR_ACCES;
	if (status) {
		put_failure(reply, object.view, status, found ? &object.attr : NULL);
		return 0;
	}
	read = (struct rpc_parked){
		.view = object.view,
		.node = object.attr.node,
		.offset = offset,
		.count = count < max ? count : max,
	};
	r = contents_open_at(call->nfs->contents, object.view, object.attr.node, read.offset,
			     read.count, &content, NULL);
	if (r == -EAGAIN) {
		reply->parked = read;
		view_ref(reply->parked.view);
		tally_add(&call->nfs->tally.reads_waited, 1);
		return CALL_PARK;
	}
	tally_add(&call->nfs->tally.reads_there, 1);
	read_finish(call->nfs, call->caller, &read, r, content, reply);
	return 0;
}
