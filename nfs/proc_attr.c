/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Procedures that answer about one object, or about all of the tree: GETATTR,
 * ACCESS, FSSTAT, FSINFO, PATHCONF.
 */
#include "nfs/proc.h"

#include <sys/stat.h>

#include "nfs/attr.h"
#include "nfs3.h"

enum { READ_MULTIPLE = 4096 };

int nfs3_getattr(struct call *call, struct reply *reply)
{
	struct bytes handle = proc_take_handle(&call->args);
	struct object object;
	uint32_t status;

	if (call->args.bad)
		return CALL_GARBAGE;
	status = proc_object(call, handle, &object);
	writer_be32(&reply->w, status);
	if (!status)
		attr_put(&reply->w, object.view, &object.attr);
	return 0;
}

/* The common head of the rest: status and attributes.  Returns the status. */
static uint32_t object_head(struct call *call, struct bytes handle, struct object *object,
			    struct reply *reply)
{
	uint32_t status = proc_object(call, handle, object);

	writer_be32(&reply->w, status);
	attr_put_post_op(&reply->w, object->view, status ? NULL : &object->attr);
	return status;
}

int nfs3_access(struct call *call, struct reply *reply)
{
	struct bytes handle = proc_take_handle(&call->args);
	uint32_t asked = cursor_be32(&call->args);
	uint32_t granted = 0;
	unsigned int may;
	struct object object = {0};

	if (call->args.bad)
		return CALL_GARBAGE;
	if (object_head(call, handle, &object, reply))
		return 0;
	/* MODIFY, EXTEND and DELETE are never granted: nothing here changes. */
	may = proc_permission(&call->cred, &object.attr);
	if (may & 4)
		granted |= ACCESS3_READ;
	if (may & 1)
		granted |= S_ISDIR(object.attr.mode) ? ACCESS3_LOOKUP : ACCESS3_EXECUTE;
	writer_be32(&reply->w, asked & granted);
	return 0;
}

int nfs3_fsstat(struct call *call, struct reply *reply)
{
	struct bytes handle = proc_take_handle(&call->args);
	struct object object = {0};
	struct view_stats stats;
	struct writer *w = &reply->w;

	if (call->args.bad)
		return CALL_GARBAGE;
	if (object_head(call, handle, &object, reply))
		return 0;
	view_stats(object.view, &stats);
	writer_be64(w, stats.bytes);
	writer_be64(w, 0);
	writer_be64(w, 0);
	writer_be64(w, stats.files);
	writer_be64(w, 0);
	writer_be64(w, 0);
	writer_be32(w, 0); /* invarsec: overlays may move at any time */
	return 0;
}

int nfs3_fsinfo(struct call *call, struct reply *reply)
{
	struct bytes handle = proc_take_handle(&call->args);
	uint32_t max = call->caller->tcp ? READ_MAX_TCP : DATA_MAX_UDP;
	struct object object = {0};
	struct writer *w = &reply->w;

	if (call->args.bad)
		return CALL_GARBAGE;
	if (object_head(call, handle, &object, reply))
		return 0;
	writer_be32(w, max); /* rtmax */
	writer_be32(w, max);
	writer_be32(w, READ_MULTIPLE);
	writer_be32(w, max); /* wtmax: Linux does not mount with 0 */
	writer_be32(w, max);
	writer_be32(w, READ_MULTIPLE);
	writer_be32(w, call->caller->tcp ? DIR_MAX_TCP : DATA_MAX_UDP);
	writer_be64(w, INT64_MAX); /* maxfilesize */
	writer_be32(w, 0);	   /* time_delta: a nanosecond */
	writer_be32(w, 1);
	writer_be32(w, FSF3_LINK | FSF3_SYMLINK | FSF3_HOMOGENEOUS);
	return 0;
}

int nfs3_pathconf(struct call *call, struct reply *reply)
{
	struct bytes handle = proc_take_handle(&call->args);
	struct object object = {0};
	struct writer *w = &reply->w;

	if (call->args.bad)
		return CALL_GARBAGE;
	if (object_head(call, handle, &object, reply))
		return 0;
	writer_be32(w, 65000); /* linkmax */
	writer_be32(w, 255);   /* name_max */
	writer_be32(w, 1);     /* no_trunc */
	writer_be32(w, 1);     /* chown_restricted */
	writer_be32(w, 0);     /* case_insensitive */
	writer_be32(w, 1);     /* case_preserving */
	return 0;
}

proc_fn *const nfs3_procs[] = {
	[NFSPROC3_NULL] = proc_null,
	[NFSPROC3_GETATTR] = nfs3_getattr,
	[NFSPROC3_SETATTR] = nfs3_refuse_one,
	[NFSPROC3_LOOKUP] = nfs3_lookup,
	[NFSPROC3_ACCESS] = nfs3_access,
	[NFSPROC3_READLINK] = nfs3_readlink,
	[NFSPROC3_READ] = nfs3_read,
	[NFSPROC3_WRITE] = nfs3_refuse_one,
	[NFSPROC3_CREATE] = nfs3_refuse_name,
	[NFSPROC3_MKDIR] = nfs3_refuse_name,
	[NFSPROC3_SYMLINK] = nfs3_refuse_name,
	[NFSPROC3_MKNOD] = nfs3_refuse_name,
	[NFSPROC3_REMOVE] = nfs3_refuse_name,
	[NFSPROC3_RMDIR] = nfs3_refuse_name,
	[NFSPROC3_RENAME] = nfs3_refuse_rename,
	[NFSPROC3_LINK] = nfs3_refuse_link,
	[NFSPROC3_READDIR] = nfs3_readdir,
	[NFSPROC3_READDIRPLUS] = nfs3_readdirplus,
	[NFSPROC3_FSSTAT] = nfs3_fsstat,
	[NFSPROC3_FSINFO] = nfs3_fsinfo,
	[NFSPROC3_PATHCONF] = nfs3_pathconf,
	[NFSPROC3_COMMIT] = nfs3_refuse_one,
};
const uint32_t nfs3_nprocs = ARRAY_SIZE(nfs3_procs);
