/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * NFSv3 and MOUNT by libnfs's calls, one at a time: a client's code that nobody here
 * wrote, without the caches of its upper half.
 */
#include "tests/doors/door.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* In this order. */
#include <nfsc/libnfs.h>
#include <nfsc/libnfs-raw.h>
#include <nfsc/libnfs-raw-mount.h>
#include <nfsc/libnfs-raw-nfs.h>

enum { CALL_MS = 60000, LIST_MIN = 512, PATH_ROOM = 4096 };

struct nfs {
	struct door door;
	struct rpc_context *rpc;
};

/* One call under way. */
struct call {
	bool over;
	int r; /* of the transport, then of the call */
	void (*got)(struct call *call, void *reply);
	void *out;
	size_t *len;
};

static struct rpc_context *rpc_of(struct door *door)
{
	return ((struct nfs *)door)->rpc;
}

static void on_reply(struct rpc_context *rpc, int status, void *data, void *ctx)
{
	struct call *call = ctx;

	(void)rpc;
	call->over = true;
	call->r = status == RPC_STATUS_SUCCESS ? 0 : ECOMM;
	if (!call->r && call->got)
		call->got(call, data);
}

static int run(struct rpc_context *rpc, int started, struct call *call)
{
	if (started)
		return ECOMM;
	for (int ms = 0; !call->over && ms < CALL_MS;) {
		struct pollfd p = {.fd = rpc_get_fd(rpc), .events = (short)rpc_which_events(rpc)};
		int n = poll(&p, 1, 100);

		if (n < 0 && errno != EINTR)
			return errno;
		if (n == 0)
			ms += 100;
		if (rpc_service(rpc, n > 0 ? p.revents : 0) < 0)
			return ECOMM;
	}
	return call->over ? call->r : ETIMEDOUT;
}

/* NFS3ERR_* are the errnos of old, but for those above 10000. */
static int code(nfsstat3 status)
{
	static const struct {
		nfsstat3 status;
		int err;
	} odd[] = {{NFS3ERR_NAMETOOLONG, ENAMETOOLONG},
		   {NFS3ERR_STALE, ESTALE},
		   {NFS3ERR_BADHANDLE, EBADF}};

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		if (odd[i].status == status)
			return odd[i].err;
	return (int)status;
}

static void handle_take(const nfs_fh3 *fh, struct door_node *out)
{
	*out = (struct door_node){0};
	if (fh->data.data_len > sizeof(out->octet))
		abort();
	out->len = (uint8_t)fh->data.data_len;
	memcpy(out->octet, fh->data.data_val, fh->data.data_len);
}

static nfs_fh3 handle(const struct door_node *node)
{
	return (nfs_fh3){{node->len, (char *)node->octet}};
}

static void attr_take(const fattr3 *a, struct door_attr *out)
{
	static const uint32_t types[] = {
		[NF3REG] = S_IFREG, [NF3DIR] = S_IFDIR,	  [NF3BLK] = S_IFBLK, [NF3CHR] = S_IFCHR,
		[NF3LNK] = S_IFLNK, [NF3SOCK] = S_IFSOCK, [NF3FIFO] = S_IFIFO};

	*out = (struct door_attr){
		.fileid = a->fileid,
		.mode = types[a->type] | a->mode,
		.nlink = a->nlink,
		.uid = a->uid,
		.gid = a->gid,
		.rdev_major = a->rdev.specdata1,
		.rdev_minor = a->rdev.specdata2,
		.size = a->size,
		.mtime_sec = a->mtime.seconds,
		.mtime_nsec = a->mtime.nseconds,
		.ctime_sec = a->ctime.seconds,
	};
}

static void mount_take(struct call *call, void *reply)
{
	const mountres3 *res = reply;
	const fhandle3 *fh = &res->mountres3_u.mountinfo.fhandle;
	struct door_node *out = call->out;

	call->r = (int)res->fhs_status;
	if (call->r)
		return;
	*out = (struct door_node){.len = (uint8_t)fh->fhandle3_len};
	memcpy(out->octet, fh->fhandle3_val, fh->fhandle3_len);
}

static int nfs_root(struct door *door, const char *tree, struct door_node *out)
{
	struct call call = {.got = mount_take, .out = out};
	char path[PATH_ROOM];

	snprintf(path, sizeof(path), "/%s", tree);
	return run(rpc_of(door), rpc_mount3_mnt_async(rpc_of(door), on_reply, path, &call), &call);
}

static void lookup_take(struct call *call, void *reply)
{
	const LOOKUP3res *res = reply;

	call->r = code(res->status);
	if (!call->r)
		handle_take(&res->LOOKUP3res_u.resok.object, call->out);
}

static int nfs_look(struct door *door, const struct door_node *dir, const char *name,
		    struct door_node *out)
{
	struct call call = {.got = lookup_take, .out = out};
	LOOKUP3args args = {{handle(dir), (char *)name}};

	return run(rpc_of(door), rpc_nfs3_lookup_async(rpc_of(door), on_reply, &args, &call),
		   &call);
}

static void getattr_take(struct call *call, void *reply)
{
	const GETATTR3res *res = reply;

	call->r = code(res->status);
	if (!call->r)
		attr_take(&res->GETATTR3res_u.resok.obj_attributes, call->out);
}

static int nfs_attr(struct door *door, const struct door_node *node, struct door_attr *out)
{
	struct call call = {.got = getattr_take, .out = out};
	GETATTR3args args = {handle(node)};

	return run(rpc_of(door), rpc_nfs3_getattr_async(rpc_of(door), on_reply, &args, &call),
		   &call);
}

static struct door_name *name_take(struct call *call, const char *text, uint64_t cookie,
				   uint64_t fileid)
{
	struct door_name *name = door_names_add(call->out);

	name->len = strlen(text);
	if (name->len > 255)
		abort();
	memcpy(name->name, text, name->len);
	name->cookie = cookie;
	name->fileid = fileid;
	name->type = DT_UNKNOWN;
	return name;
}

/* Entries lie where libnfs has put them, which is not where their type may lie. */
static void readdir_take(struct call *call, void *reply)
{
	const READDIR3res *res = reply;

	call->r = code(res->status);
	if (call->r)
		return;
	for (const void *at = res->READDIR3res_u.resok.reply.entries; at;) {
		entry3 e;

		memcpy(&e, at, sizeof(e));
		name_take(call, e.name, e.cookie, e.fileid);
		at = e.nextentry;
	}
}

static void readdirplus_take(struct call *call, void *reply)
{
	const READDIRPLUS3res *res = reply;

	call->r = code(res->status);
	if (call->r)
		return;
	for (const void *at = res->READDIRPLUS3res_u.resok.reply.entries; at;) {
		struct door_name *name;
		entryplus3 e;

		memcpy(&e, at, sizeof(e));
		at = e.nextentry;
		name = name_take(call, e.name, e.cookie, e.fileid);
		name->has_attr =
			e.name_attributes.attributes_follow && e.name_handle.handle_follows;
		if (!name->has_attr)
			continue;
		attr_take(&e.name_attributes.post_op_attr_u.attributes, &name->attr);
		handle_take(&e.name_handle.post_op_fh3_u.handle, &name->node);
	}
}

static int nfs_list(struct door *door, const struct door_node *dir, uint64_t cookie, size_t room,
		    bool plus, struct door_names *names)
{
	struct call call = {.got = plus ? readdirplus_take : readdir_take, .out = names};
	READDIRPLUS3args more = {.dir = handle(dir),
				 .cookie = cookie,
				 .dircount = (count3)room,
				 .maxcount = (count3)room + 2 * LIST_MIN};
	READDIR3args args = {
		.dir = handle(dir), .cookie = cookie, .count = (count3)room + LIST_MIN};

	return run(rpc_of(door),
		   plus ? rpc_nfs3_readdirplus_async(rpc_of(door), on_reply, &more, &call)
			: rpc_nfs3_readdir_async(rpc_of(door), on_reply, &args, &call),
		   &call);
}

static void readlink_take(struct call *call, void *reply)
{
	const READLINK3res *res = reply;
	const char *target;

	call->r = code(res->status);
	if (call->r)
		return;
	target = res->READLINK3res_u.resok.data;
	if (strlen(target) > *call->len) {
		call->r = ENAMETOOLONG;
		return;
	}
	*call->len = strlen(target);
	memcpy(call->out, target, *call->len);
}

static int nfs_target(struct door *door, const struct door_node *node, char *out, size_t *len)
{
	struct call call = {.got = readlink_take, .out = out, .len = len};
	READLINK3args args = {handle(node)};

	return run(rpc_of(door), rpc_nfs3_readlink_async(rpc_of(door), on_reply, &args, &call),
		   &call);
}

static void read_take(struct call *call, void *reply)
{
	const READ3res *res = reply;
	const READ3resok *ok = &res->READ3res_u.resok;

	call->r = code(res->status);
	if (call->r)
		return;
	if (ok->data.data_len > *call->len || ok->count != ok->data.data_len) {
		call->r = EPROTO;
		return;
	}
	/* Only the end may cut a READ of ours short. */
	if (ok->count < *call->len && !ok->eof) {
		call->r = EPROTO;
		return;
	}
	memcpy(call->out, ok->data.data_val, ok->count);
	*call->len = ok->count;
}

static int nfs_bytes(struct door *door, const struct door_node *node, uint64_t offset, void *out,
		     size_t *len)
{
	struct call call = {.got = read_take, .out = out, .len = len};
	READ3args args = {handle(node), offset, (count3)*len};

	return run(rpc_of(door), rpc_nfs3_read_async(rpc_of(door), on_reply, &args, &call), &call);
}

static void nfs_drop(struct door *door, const struct door_node *node)
{
	(void)door;
	(void)node;
}

static void nfs_free(struct door *door)
{
	rpc_destroy_context(rpc_of(door));
	free(door);
}

struct door *door_nfs_new(const char *server, int port)
{
	struct nfs *n = malloc(sizeof(*n));
	struct call call = {0};

	if (!n)
		abort();
	*n = (struct nfs){
		.door = {.word = "nfs",
			 .top = true,
			 .times32 = true,
			 .root = nfs_root,
			 .lookup = nfs_look,
			 .attr = nfs_attr,
			 .list = nfs_list,
			 .readlink = nfs_target,
			 .read = nfs_bytes,
			 .drop = nfs_drop,
			 .free = nfs_free},
		.rpc = rpc_init_context(),
	};
	if (!n->rpc)
		abort();
	if (run(n->rpc,
		rpc_connect_port_async(n->rpc, server, port, NFS_PROGRAM, NFS_V3, on_reply, &call),
		&call)) {
		nfs_free(&n->door);
		return NULL;
	}
	return &n->door;
}
