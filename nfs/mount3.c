/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The MOUNT program.  Version 3 whole; of version 1 all but MNT, which would give
 * out a handle that NFS version 3 does not know: kernels whose default is
 * `vers=2` ask it, and are told so in the log.
 *
 * A refusal is answered at once, with a status: clients wait seconds and try six
 * times when they hear nothing.  Only a machine that is about to be registered is
 * held until it is, and refused when that takes too long.
 */
#include "nfs/proc.h"

#include <errno.h>
#include <rpc/auth.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/log.h"
#include "mount3.h"

enum { DUMP_MAX = 400, LIST_SIZE = 16384 };

static bool take_path(struct cursor *args, char out[static MNTPATHLEN + 1])
{
	uint32_t len = cursor_be32(args);
	struct bytes path;

	if (len > MNTPATHLEN)
		args->bad = true;
	path = cursor_take(args, len);
	cursor_skip(args, -len & 3);
	if (args->bad)
		return false;
	if (len)
		memcpy(out, path.at, len);
	out[len] = '\0';
	return true;
}

/* The path for logs and lists. */
static void tell_mount_refused(struct call *call, const char *path, const char *why)
{
	char what[128];
	char shown[96];

	snprintf(what, sizeof(what), "mount of %s",
		 log_escape(shown, sizeof(shown), path, strlen(path)));
	mounts_refused(call->nfs->mounts, STEP_MOUNT, call->caller->address, call->caller->who.host,
		       what, why);
}

static enum mountstat3 grant_status(struct call *call, int r, const char *path)
{
	const char *why = "internal error";
	enum mountstat3 status = MNT3ERR_ACCES;

	switch (r) {
	case GRANT_UNREGISTERED:
		why = "the machine is not registered: host add";
		break;
	case GRANT_UNKNOWN:
		why = "no host has this address, by lease or reservation";
		break;
	case GRANT_PENDING:
		why = "the host is pending: host approve";
		break;
	case GRANT_DENIED:
		why = "only that host or an admin network may have it";
		break;
	case GRANT_NO_IMAGE:
		why = "there is no image for this host: image add";
		status = MNT3ERR_NOENT;
		break;
	case GRANT_NOENT:
		why = "no such host or image";
		status = MNT3ERR_NOENT;
		break;
	default:
		status = MNT3ERR_SERVERFAULT;
		break;
	}
	tell_mount_refused(call, path, why);
	return status;
}

static enum mountstat3 path_status(int r)
{
	switch (r) {
	case 0:
		return MNT3_OK;
	case VIEW_NOTDIR:
		return MNT3ERR_NOTDIR;
	case VIEW_NAMETOOLONG:
		return MNT3ERR_NAMETOOLONG;
	case VIEW_NOENT:
		return MNT3ERR_NOENT;
	case VIEW_LOOP:
		return MNT3ERR_INVAL;
	case -EACCES:
		return MNT3ERR_ACCES;
	case -ENOENT: /* the version was removed meanwhile */
		return MNT3ERR_NOENT;
	default:
		return MNT3ERR_SERVERFAULT;
	}
}

/* From a grant to the directory's node, through the caller's view. */
static enum mountstat3 mount_root(struct call *call, const struct grant *grant, const char *path,
				  struct view_attr *attr)
{
	struct caller *caller = call->caller;
	enum mountstat3 status;
	uint32_t node;
	int r;

	/* The grant may be younger than this worker's roster. */
	nfs_refresh(call->nfs);
	caller_refresh(call->nfs, caller);
	r = proc_view(call->nfs, caller, grant->host, grant->version, grant->boot);
	/* A host of a moment ago, that the views' poll had not seen yet: be it this one
	 * that sees it now, or another worker's meanwhile. */
	if (r == -ENOENT) {
		views_poll(call->nfs->views);
		r = proc_view(call->nfs, caller, grant->host, grant->version, grant->boot);
	}
	if (!r)
		r = view_resolve(caller->view, VIEW_ROOT, *grant->path ? grant->path : "/", true,
				 &node);
	if (!r)
		r = view_attr(caller->view, node, attr);
	if (!r && !S_ISDIR(attr->mode))
		r = VIEW_NOTDIR;
	status = path_status(r);
	if (status)
		tell_mount_refused(call, path,
				   status == MNT3ERR_NOENT    ? "no such directory"
				   : status == MNT3ERR_NOTDIR ? "not a directory"
							      : "the tree cannot be read");
	return status;
}

static int mount3_mnt(struct call *call, struct reply *reply)
{
	struct caller *caller = call->caller;
	struct writer *w = &reply->w;
	char path[MNTPATHLEN + 1];
	struct grant grant = {0};
	struct view_attr attr;
	struct mac mac = {0};
	enum mountstat3 status;
	int r;

	if (!take_path(&call->args, path))
		return CALL_GARBAGE;
	if (!caller->port_fine) {
		tell_mount_refused(call, path, NOT_RESERVED);
		writer_be32(w, MNT3ERR_ACCES);
		return 0;
	}
	r = exports_grant(call->nfs->exports, caller->address, path, &grant, &mac);
	if (r == GRANT_UNREGISTERED) {
		mounts_unknown(call->nfs->mounts, caller->address, &mac, path);
		if (call->nfs->may_hold)
			return CALL_HOLD;
	}
	status = r ? grant_status(call, r, path) : mount_root(call, &grant, path, &attr);
	writer_be32(w, status);
	if (status)
		return 0;
	proc_put_handle(call, attr.node, w);
	writer_be32(w, 1); /* flavors */
	writer_be32(w, AUTH_SYS);
	/* An administrator who looks at a tree does not boot from it. */
	if (grant.host != caller->who.host)
		mounts_add(call->nfs->mounts, caller->address, 0, 0, path);
	else if (caller->tcp)
		mounts_add(call->nfs->mounts, caller->address, grant.host, grant.boot, path);
	else
		mounts_offer(call->nfs->mounts, caller->address, grant.host, grant.boot, path);
	return 0;
}

/* Lists are for those we know: over UDP they would amplify a forged address. */
static bool may_list(const struct caller *caller)
{
	return caller->admin || caller->who.host;
}

static void put_text(struct writer *w, const char *text)
{
	size_t len = strlen(text);

	writer_be32(w, (uint32_t)len);
	writer_put(w, text, len);
	writer_zero(w, -len & 3);
}

static int mount_dump(struct call *call, struct reply *reply)
{
	struct mounts_entry list[DUMP_MAX];
	unsigned int n = 0;
	char ip[IP4_TEXT];

	if (may_list(call->caller))
		n = mounts_list(call->nfs->mounts, list, DUMP_MAX);
	for (unsigned int i = 0; i < n; i++) {
		if (!call->caller->admin && list[i].address != call->caller->address)
			continue;
		writer_be32(&reply->w, 1);
		put_text(&reply->w, ip4_format(list[i].address, ip));
		put_text(&reply->w, list[i].path);
	}
	writer_be32(&reply->w, 0);
	return 0;
}

static int mount_umnt(struct call *call, struct reply *reply)
{
	char path[MNTPATHLEN + 1];

	(void)reply;
	if (!take_path(&call->args, path))
		return CALL_GARBAGE;
	mounts_remove(call->nfs->mounts, call->caller->address, path);
	return 0;
}

static int mount_umntall(struct call *call, struct reply *reply)
{
	(void)reply;
	mounts_remove(call->nfs->mounts, call->caller->address, NULL);
	return 0;
}

static int mount_export(struct call *call, struct reply *reply)
{
	char list[LIST_SIZE];
	const char *p = list;
	unsigned int n =
		exports_list(call->nfs->exports, call->caller->address, list, sizeof(list));

	for (unsigned int i = 0; i < n; i++) {
		writer_be32(&reply->w, 1);
		put_text(&reply->w, p);
		writer_be32(&reply->w, 0); /* no groups: who may is not for everybody */
		p += strlen(p) + 1;
	}
	writer_be32(&reply->w, 0);
	return 0;
}

static int mount1_mnt(struct call *call, struct reply *reply)
{
	(void)reply;
	mounts_refused(call->nfs->mounts, STEP_MOUNT, call->caller->address, call->caller->who.host,
		       "mount by MOUNT version 1 (NFS version 2)",
		       "add vers=3 to the mount options");
	return CALL_UNAVAIL;
}

proc_fn *const mount3_procs[] = {
	[MOUNTPROC3_NULL] = proc_null,	      [MOUNTPROC3_MNT] = mount3_mnt,
	[MOUNTPROC3_DUMP] = mount_dump,	      [MOUNTPROC3_UMNT] = mount_umnt,
	[MOUNTPROC3_UMNTALL] = mount_umntall, [MOUNTPROC3_EXPORT] = mount_export,
};
const uint32_t mount3_nprocs = ARRAY_SIZE(mount3_procs);

proc_fn *const mount1_procs[] = {
	[MOUNTPROC3_NULL] = proc_null,		[MOUNTPROC3_MNT] = mount1_mnt,
	[MOUNTPROC3_DUMP] = mount_dump,		[MOUNTPROC3_UMNT] = mount_umnt,
	[MOUNTPROC3_UMNTALL] = mount_umntall,	[MOUNTPROC3_EXPORT] = mount_export,
	[MOUNTPROC3_EXPORT + 1] = mount_export, /* EXPORTALL */
};
const uint32_t mount1_nprocs = ARRAY_SIZE(mount1_procs);
