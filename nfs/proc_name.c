/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Procedures about names: LOOKUP, READLINK, READDIR, READDIRPLUS.
 *
 * A directory's reply must never pass the size that was asked for, so an entry's
 * size is known before it is written: 24 bytes and the padded name in READDIR;
 * its attributes and handle besides in READDIRPLUS.
 */
#include "nfs/proc.h"

#include <sys/stat.h>

#include "nfs/attr.h"
#include "nfs3.h"

enum {
	NAME_LIMIT = 255,
	DIR_HEAD = ATTR_POST_OP + NFS3_COOKIEVERFSIZE,
	DIR_TAIL = 8,	     /* no more entries; eof */
	DIR_ENTRY = 24,	     /* follows, fileid, name length, cookie */
	DIR_ENTRY_INFO = 20, /* of it what `dircount` counts: fileid, name, cookie */
	POST_OP_HANDLE = 4 + 4 + HANDLE_SIZE
};

int nfs3_lookup(struct call *call, struct reply *reply)
{
	struct bytes handle = proc_take_handle(&call->args);
	uint32_t len = cursor_be32(&call->args);
	struct bytes name = cursor_take(&call->args, len);
	struct writer *w = &reply->w;
	struct object dir = {0};
	struct view_attr attr;
	uint32_t status;
	uint32_t node = 0;

	cursor_skip(&call->args, -len & 3);
	if (call->args.bad)
		return CALL_GARBAGE;
	status = proc_object(call, handle, &dir);
	if (status) {
		writer_be32(w, status);
		attr_put_post_op(w, NULL, NULL);
		return 0;
	}
	if (!S_ISDIR(dir.attr.mode))
		status = NFS3ERR_NOTDIR;
	else if (len > NAME_LIMIT)
		status = NFS3ERR_NAMETOOLONG;
	else if (!(proc_permission(&call->cred, &dir.attr) & 1))
		status = NFS3ERR_ACCES;
	else
		status = attr_status(view_lookup(dir.view, dir.attr.node, (const char *)name.at,
						 name.len, &node));
	if (!status)
		status = attr_status(view_attr(dir.view, node, &attr));
	writer_be32(w, status);
	if (!status) {
		proc_put_handle(call, node, w);
		attr_put_post_op(w, dir.view, &attr);
	}
	attr_put_post_op(w, dir.view, &dir.attr);
	return 0;
}

int nfs3_readlink(struct call *call, struct reply *reply)
{
	struct bytes handle = proc_take_handle(&call->args);
	struct object object = {0};
	struct bytes target = {0};
	uint32_t status;
	bool found;

	if (call->args.bad)
		return CALL_GARBAGE;
	status = proc_object(call, handle, &object);
	found = !status;
	if (!status)
		status = attr_status(view_readlink(object.view, object.attr.node, &target));
	writer_be32(&reply->w, status);
	attr_put_post_op(&reply->w, object.view, found ? &object.attr : NULL);
	if (!status) {
		writer_be32(&reply->w, (uint32_t)target.len);
		writer_put(&reply->w, target.at, target.len);
		writer_zero(&reply->w, -target.len & 3);
	}
	return 0;
}

static uint32_t dir_check(const struct call *call, const struct object *dir)
{
	if (!S_ISDIR(dir->attr.mode))
		return NFS3ERR_NOTDIR;
	if (!(proc_permission(&call->cred, &dir->attr) & 4))
		return NFS3ERR_ACCES;
	return NFS3_OK;
}

/* Both kinds.  `budget` is for the whole result after the status, `info` for
 * what READDIRPLUS calls directory information: a hint, that never keeps the
 * first entry out. */
static uint32_t put_entries(struct call *call, const struct object *dir, uint64_t cookie,
			    uint32_t budget, uint32_t info, bool plus, struct writer *w)
{
	uint32_t used = DIR_HEAD + DIR_TAIL;
	uint32_t info_used = 0;
	struct view_dirent entry;
	struct view_attr attr;
	int r;

	if (budget < used)
		return NFS3ERR_TOOSMALL;
	attr_put_post_op(w, dir->view, &dir->attr);
	/* Cookies mean the same for ever, so the verifier never says otherwise. */
	writer_zero(w, NFS3_COOKIEVERFSIZE);
	for (;;) {
		uint32_t padded;
		uint32_t size;
		bool has_attr;

		r = view_readdir(dir->view, dir->attr.node, cookie, &entry);
		if (r)
			break;
		padded = (entry.name_len + 3U) & ~3U;
		size = DIR_ENTRY + padded;
		if (plus)
			size += ATTR_POST_OP + POST_OP_HANDLE;
		if (used + size > budget)
			break;
		if (info_used && info_used + DIR_ENTRY_INFO + padded > info)
			break;
		info_used += DIR_ENTRY_INFO + padded;
		used += size;
		writer_be32(w, 1);
		writer_be64(w, entry.node);
		writer_be32(w, entry.name_len);
		writer_put(w, entry.name, entry.name_len);
		writer_zero(w, padded - entry.name_len);
		writer_be64(w, entry.cookie);
		cookie = entry.cookie;
		if (!plus)
			continue;
		has_attr = !view_attr(dir->view, entry.node, &attr);
		attr_put_post_op(w, dir->view, has_attr ? &attr : NULL);
		writer_be32(w, 1);
		proc_put_handle(call, entry.node, w);
	}
	if (!r && !info_used)
		return NFS3ERR_TOOSMALL;
	if (r && r != VIEW_END)
		return attr_status(r);
	writer_be32(w, 0);
	writer_be32(w, r == VIEW_END);
	return NFS3_OK;
}

static int readdir_any(struct call *call, struct reply *reply, bool plus)
{
	struct bytes handle = proc_take_handle(&call->args);
	uint64_t cookie = cursor_be64(&call->args);
	uint32_t max = call->caller->tcp ? DIR_MAX_TCP : DATA_MAX_UDP;
	struct writer *w = &reply->w;
	struct writer start;
	struct object dir = {0};
	uint32_t info = UINT32_MAX;
	uint32_t count;
	uint32_t status;
	bool found;

	cursor_skip(&call->args, NFS3_COOKIEVERFSIZE);
	if (plus)
		info = cursor_be32(&call->args);
	count = cursor_be32(&call->args);
	if (call->args.bad)
		return CALL_GARBAGE;
	status = proc_object(call, handle, &dir);
	found = !status;
	if (!status)
		status = dir_check(call, &dir);
	start = *w;
	if (!status) {
		writer_be32(w, NFS3_OK);
		status = put_entries(call, &dir, cookie, count < max ? count : max, info, plus, w);
	}
	if (status) {
		*w = start;
		writer_be32(w, status);
		attr_put_post_op(w, dir.view, found ? &dir.attr : NULL);
	}
	return 0;
}

int nfs3_readdir(struct call *call, struct reply *reply)
{
	return readdir_any(call, reply, false);
}

int nfs3_readdirplus(struct call *call, struct reply *reply)
{
	return readdir_any(call, reply, true);
}
