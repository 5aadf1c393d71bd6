/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/state.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/handle_key.h"
#include "common/log.h"
#include "common/sandbox.h"
#include "common/schema.h"

/* A directory and the files of a store below it. */
static int dir_give(const char *path, uid_t uid, gid_t gid, struct why *why)
{
	char *const roots[] = {(char *)path, NULL};
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_XDEV, NULL);
	FTSENT *entry;
	int r = 0;

	if (!fts)
		return -errno;
	while (!r && (entry = fts_read(fts)))
		if (entry->fts_info != FTS_D && lchown(entry->fts_accpath, uid, gid))
			r = why_set(why, -errno, "%s: %m", entry->fts_path);
	fts_close(fts);
	return r;
}

/* A directory of ours: made with `mode` and given to `uid` if it was not there. */
static int dir_make(const char *path, mode_t mode, uid_t uid, gid_t gid, struct why *why)
{
	struct stat st;

	if (!mkdir(path, mode)) {
		if (chmod(path, mode) || (geteuid() == 0 && chown(path, uid, gid)))
			return why_set(why, -errno, "%s: %m", path);
		return 0;
	}
	if (errno != EEXIST)
		return why_set(why, -errno, "%s: %m", path);
	if (stat(path, &st))
		return why_set(why, -errno, "%s: %m", path);
	if (!S_ISDIR(st.st_mode))
		return why_set(why, -ENOTDIR, "%s: not a directory", path);
	if (st.st_mode & S_IWOTH)
		return why_set(why, -EPERM, "%s: anybody may write to it", path);
	if (geteuid() != 0)
		return 0;
	/* The group is all the services', who must not replace what another one runs by. */
	if (st.st_mode & S_IWGRP) {
		st.st_mode &= ~(mode_t)S_IWGRP;
		if (chmod(path, st.st_mode & 07777))
			return why_set(why, -errno, "%s: %m", path);
	}
	if (st.st_uid == uid && st.st_gid == gid)
		return 0;
	/* Made by somebody, by a start that was cut short, or before the services had
	 * accounts.  In the state directory itself each file has an owner of its own. */
	if (uid)
		return dir_give(path, uid, gid, why);
	if (chown(path, uid, gid) || chmod(path, (st.st_mode & 07777) | 0050))
		return why_set(why, -errno, "%s: %m", path);
	return 0;
}

/* The journal and the index of a WAL database go with it. */
static const char *const db_suffixes[] = {"", "-wal", "-shm"};

static int db_give(const char *dir, const char *name, uid_t uid, gid_t gid, struct why *why)
{
	char path[PATH_MAX];

	for (unsigned int i = 0; i < ARRAY_SIZE(db_suffixes); i++) {
		snprintf(path, sizeof(path), "%s/%s%s", dir, name, db_suffixes[i]);
		if (lchown(path, uid, gid) && errno != ENOENT)
			return why_set(why, -errno, "%s: %m", path);
		if (chmod(path, 0640) && errno != ENOENT)
			return why_set(why, -errno, "%s: %m", path);
	}
	return 0;
}

int state_make(const char *dir, gid_t *group, struct why *why)
{
	struct sandbox copier;
	struct sandbox nfs;
	char path[PATH_MAX];
	int r;

	if (strlen(dir) > 80) /* a socket's path must fit behind it */
		return why_set(why, -ENAMETOOLONG, "%s: the state directory's name is too long",
			       dir);
	r = sandbox_identity(SANDBOX_COPIER, &copier, why);
	if (!r)
		r = sandbox_identity(SANDBOX_NFS, &nfs, why);
	if (!r)
		r = dir_make(dir, 0750, 0, copier.gid, why);
	snprintf(path, sizeof(path), "%s/manifests", dir);
	if (!r)
		r = dir_make(path, 0750, copier.uid, copier.gid, why);
	snprintf(path, sizeof(path), "%s/objects", dir);
	if (!r)
		r = dir_make(path, 0750, copier.uid, copier.gid, why);
	snprintf(path, sizeof(path), "%s/secrets", dir);
	if (!r)
		r = dir_make(path, 0700, nfs.uid, nfs.gid, why);
	if (!r)
		*group = copier.gid;
	return r;
}

int state_open(const char *dir, struct db **db, struct why *why)
{
	cleanup(db_closep) struct db *opened = NULL;
	gid_t group;
	int r = state_make(dir, &group, why);

	if (r)
		return r;
	r = db_open(dir, &schema_rootstock, DB_CREATE, &opened, why);
	if (r)
		return r;
	r = handle_key_settle(opened, dir, why);
	if (!r && geteuid() == 0) {
		/* A read makes the journal and the index, whose group then can be set. */
		r = db_exec(opened, "SELECT count(*) FROM site");
		if (!r)
			r = db_give(dir, schema_rootstock.name, 0, group, why);
	}
	if (r)
		return r;
	*db = take(&opened);
	return 0;
}

/* What is damaged goes aside, for who wants to look at it; what was aside goes.  The
 * journal first: it must not become that of a new one. */
static int db_aside(const char *dir, const char *name, struct why *why)
{
	char from[PATH_MAX];
	char to[PATH_MAX];

	for (unsigned int i = ARRAY_SIZE(db_suffixes); i-- > 0;) {
		snprintf(from, sizeof(from), "%s/%s%s", dir, name, db_suffixes[i]);
		snprintf(to, sizeof(to), "%s/%s.damaged%s", dir, name, db_suffixes[i]);
		if (rename(from, to) && (errno != ENOENT || (unlink(to) && errno != ENOENT)))
			return why_set(why, -errno, "%s: %m", from);
	}
	return 0;
}

/* Nothing depends on what happened: a timeline that is damaged, as by a power cut (it is
 * not synced), begins anew. */
static int trace_open(const char *dir, struct db **out, struct why *why)
{
	cleanup(db_closep) struct db *db = NULL;
	struct why damage = {""};
	int r = db_open(dir, &schema_trace, DB_CREATE, &db, &damage);

	if (!r)
		r = db_check(db, &damage);
	if (!r) {
		*out = take(&db);
		return 0;
	}
	if (r != -EUCLEAN && r != -EMEDIUMTYPE)
		return why_set(why, r, "%s", why_text(&damage, r));
	db_close(take(&db));
	log_error("%s; put aside as %s.damaged, the timeline begins anew", why_text(&damage, r),
		  schema_trace.name);
	r = db_aside(dir, schema_trace.name, why);
	return r ? r : db_open(dir, &schema_trace, DB_CREATE, out, why);
}

int state_open_services(const char *dir, struct db **leases, struct db **trace, struct why *why)
{
	cleanup(db_closep) struct db *l = NULL;
	cleanup(db_closep) struct db *t = NULL;
	struct sandbox dhcp;
	int r = sandbox_identity(SANDBOX_DHCP, &dhcp, why);

	if (!r)
		r = db_open(dir, &schema_leases, DB_CREATE, &l, why);
	if (!r)
		r = db_check(l, why);
	/* A read opens the journal and the index, whose owners then can be set. */
	if (!r)
		r = db_exec(l, "SELECT 1 FROM lease LIMIT 1");
	if (!r)
		r = trace_open(dir, &t, why);
	if (!r)
		r = db_exec(t, "SELECT 1 FROM event LIMIT 1");
	if (!r)
		r = db_give(dir, schema_leases.name, dhcp.uid, dhcp.gid, why);
	if (!r)
		r = db_give(dir, schema_trace.name, 0, dhcp.gid, why);
	if (r)
		return r;
	*leases = take(&l);
	*trace = take(&t);
	return 0;
}
