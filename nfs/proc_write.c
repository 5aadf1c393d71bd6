/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every procedure that would change something: refused with NFS3ERR_ROFS and the
 * wcc_data of each handle that was given.  A handle that is not good is told
 * first.  The arguments are only checked for their form; a large WRITE comes
 * without its data (record.h).
 */
#include "nfs/proc.h"

#include "nfs/attr.h"
#include "nfs3.h"

static const struct view_attr *after(uint32_t status, const struct object *object)
{
	return status ? NULL : &object->attr;
}

/* The name of a diropargs3, or a symbolic link's target. */
static void skip_string(struct cursor *args)
{
	uint32_t len = cursor_be32(args);

	cursor_skip(args, len);
	cursor_skip(args, -len & 3);
}

/* A union that has `size` bytes behind `with`, and nothing behind the rest. */
static void skip_optional(struct cursor *args, uint32_t with, uint32_t top, size_t size)
{
	uint32_t which = cursor_be32(args);

	if (which > top)
		args->bad = true;
	if (which == with)
		cursor_skip(args, size);
}

static void skip_sattr(struct cursor *args)
{
	skip_optional(args, 1, 1, 4); /* mode */
	skip_optional(args, 1, 1, 4); /* uid */
	skip_optional(args, 1, 1, 4); /* gid */
	skip_optional(args, 1, 1, 8); /* size */
	skip_optional(args, SET_TO_CLIENT_TIME, SET_TO_CLIENT_TIME, 8);
	skip_optional(args, SET_TO_CLIENT_TIME, SET_TO_CLIENT_TIME, 8);
}

/* What follows the handle, or the directory's handle and name. */
static void skip_rest(struct call *call)
{
	struct cursor *args = &call->args;

	switch (call->procedure) {
	case NFSPROC3_SETATTR:
		skip_sattr(args);
		skip_optional(args, 1, 1, 8); /* guard */
		break;
	case NFSPROC3_WRITE:
		cursor_skip(args, 8 + 4);
		if (cursor_be32(args) > FILE_SYNC)
			args->bad = true;
		if (!call->cut)
			skip_string(args);
		break;
	case NFSPROC3_COMMIT:
		cursor_skip(args, 8 + 4);
		break;
	case NFSPROC3_CREATE:
		switch (cursor_be32(args)) {
		case UNCHECKED:
		case GUARDED:
			skip_sattr(args);
			break;
		case EXCLUSIVE:
			cursor_skip(args, NFS3_CREATEVERFSIZE);
			break;
		default:
			args->bad = true;
		}
		break;
	case NFSPROC3_MKDIR:
		skip_sattr(args);
		break;
	case NFSPROC3_SYMLINK:
		skip_sattr(args);
		skip_string(args);
		break;
	case NFSPROC3_MKNOD:
		switch (cursor_be32(args)) {
		case NF3CHR:
		case NF3BLK:
			skip_sattr(args);
			cursor_skip(args, 8);
			break;
		case NF3SOCK:
		case NF3FIFO:
			skip_sattr(args);
			break;
		}
		break;
	}
}

static int refuse(struct call *call, struct bytes handle, struct reply *reply)
{
	struct object object = {0};
	uint32_t status;

	skip_rest(call);
	if (call->args.bad)
		return CALL_GARBAGE;
	status = proc_object(call, handle, &object);
	writer_be32(&reply->w, status ? status : NFS3ERR_ROFS);
	attr_put_wcc(&reply->w, object.view, after(status, &object));
	return 0;
}

/* SETATTR, WRITE, COMMIT */
int nfs3_refuse_one(struct call *call, struct reply *reply)
{
	return refuse(call, proc_take_handle(&call->args), reply);
}

/* CREATE, MKDIR, SYMLINK, MKNOD, REMOVE, RMDIR */
int nfs3_refuse_name(struct call *call, struct reply *reply)
{
	struct bytes dir = proc_take_handle(&call->args);

	skip_string(&call->args);
	return refuse(call, dir, reply);
}

/* Two handles: their attributes are copied out before the second is looked at,
 * since it may put another view into the caller's cache. */
struct two {
	uint32_t status[2];
	struct object object[2];
	struct view *held;
};

static void two_find(struct call *call, struct bytes first, struct bytes second, struct two *two)
{
	*two = (struct two){0};
	two->status[0] = proc_object(call, first, &two->object[0]);
	if (!two->status[0])
		two->held = view_ref(two->object[0].view);
	two->status[1] = proc_object(call, second, &two->object[1]);
}

static uint32_t two_status(const struct two *two)
{
	if (two->status[0])
		return two->status[0];
	return two->status[1] ? two->status[1] : NFS3ERR_ROFS;
}

int nfs3_refuse_rename(struct call *call, struct reply *reply)
{
	struct bytes from = proc_take_handle(&call->args);
	struct bytes to;
	struct two two;

	skip_string(&call->args);
	to = proc_take_handle(&call->args);
	skip_string(&call->args);
	if (call->args.bad)
		return CALL_GARBAGE;
	two_find(call, from, to, &two);
	writer_be32(&reply->w, two_status(&two));
	attr_put_wcc(&reply->w, two.object[0].view, after(two.status[0], &two.object[0]));
	attr_put_wcc(&reply->w, two.object[1].view, after(two.status[1], &two.object[1]));
	view_unref(two.held);
	return 0;
}

int nfs3_refuse_link(struct call *call, struct reply *reply)
{
	struct bytes file = proc_take_handle(&call->args);
	struct bytes dir = proc_take_handle(&call->args);
	struct two two;

	skip_string(&call->args);
	if (call->args.bad)
		return CALL_GARBAGE;
	two_find(call, file, dir, &two);
	writer_be32(&reply->w, two_status(&two));
	attr_put_post_op(&reply->w, two.object[0].view, after(two.status[0], &two.object[0]));
	attr_put_wcc(&reply->w, two.object[1].view, after(two.status[1], &two.object[1]));
	view_unref(two.held);
	return 0;
}
