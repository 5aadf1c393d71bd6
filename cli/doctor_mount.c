/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How a host that is played mounts its root, call by call.  Two programs ask MOUNT: the
 * kernel, by itself or for mount.nfs, and klibc's nfsmount.  What comes of it is the kernel's
 * to use in all dialects.
 *
 *	the kernel: MOUNT's NULL, MNT as root  |  nfsmount: MNT as nobody
 *	  -> the kernel: NULL of NFS and of its ACLs, FSINFO, PATHCONF, GETATTR
 *	  -> UMNT, the kernel's by UDP always
 *
 * What a kernel forgives is a warning here, with what it does instead (Linux, fs/nfs/client.c
 * and nfs3client.c, net/sunrpc/clnt.c): any failure of NFSACL, a refusal of PATHCONF, limits
 * of no use.  It asks for ever where a reply to anything but NFSACL does not come.
 */
#include "cli/doctor_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* mkinitcpio's and live-boot's nfsmount are klibc's. */
static const struct {
	const char *name;
	bool kernel; /* asks MOUNT by itself */
} dialects[] = {
	[BOOT_KERNEL] = {"a kernel", true}, [BOOT_KLIBC] = {"klibc", false},
	[BOOT_DRACUT] = {"dracut", true},   [BOOT_MKINITCPIO] = {"mkinitcpio", false},
	[BOOT_LIVE] = {"live-boot", false},
};

enum {
	NAME_MOST = 255, /* of NFSv3 in a kernel, whatever the server allows */
	ACL_MS = 5000,	 /* the nfs child answers that at once, or it does not */
};

struct mounting {
	struct rpc_client *c;
	const char *path;
	bool kernel;
	bool udp;
	struct mounted got;
	char odd[80];	    /* what is wrong with an answer that is none of refusal */
	char forgiven[160]; /* a kernel goes on: how */
};

/* Each returns 0, a positive status of its protocol, or a negative errno with words; or
 * -EPROTO with m->odd, of an answer that a client can do nothing with.  m->forgiven is set
 * where a kernel does not stop at it. */

static int mount_null(struct mounting *m)
{
	return m->kernel ? rpc_null(m->c, RPC_PROGRAM_MOUNT, RPC_CALL_MS) : 0;
}

static int mnt(struct mounting *m)
{
	return rpc_mount(m->c, m->path, m->kernel, &m->got.root);
}

static int nfs_null(struct mounting *m)
{
	return rpc_null(m->c, RPC_PROGRAM_NFS, RPC_CALL_MS);
}

/* It does without them: at once, where it is told that there are none, else when its ping
 * is over, which is as long as the transport's or the mount's own patience. */
static int acl_null(struct mounting *m)
{
	int r = rpc_null(m->c, RPC_PROGRAM_ACL, ACL_MS);

	if (r == -EPROTONOSUPPORT || r == -EACCES)
		return 0;
	snprintf(m->forgiven, sizeof(m->forgiven), "%smounts %.60s all the same, without ACLs",
		 r == -EBADMSG ? ""
		 : m->udp      ? "waits for up to half a minute at each mount, then "
			       : "waits for one to three minutes at each mount, then ",
		 m->path);
	return r;
}

static int fsinfo(struct mounting *m)
{
	struct rpc_limits limits;
	int r = rpc_fsinfo(m->c, &m->got.root, &limits);

	if (r || (limits.read && limits.write && limits.dir && limits.file))
		return r;
	snprintf(m->odd, sizeof(m->odd), "it allows %s of 0 bytes",
		 !limits.read	 ? "a READ"
		 : !limits.write ? "a WRITE"
		 : !limits.dir	 ? "a READDIR"
				 : "a file");
	snprintf(m->forgiven, sizeof(m->forgiven),
		 "mounts %.60s all the same, with limits of its own", m->path);
	return -EPROTO;
}

/* Asked to come again later (NFS3ERR_JUKEBOX), it does, for ever. */
static bool is_refusal(int r)
{
	return r > 0 ? r != 10008 : r == -EACCES || r == -EPROTONOSUPPORT || r == -EBADMSG;
}

static int pathconf3(struct mounting *m)
{
	struct rpc_limits limits;
	int r = rpc_pathconf(m->c, &m->got.root, &limits);

	m->got.name_most = NAME_MOST;
	if (is_refusal(r))
		snprintf(m->forgiven, sizeof(m->forgiven),
			 "mounts %.60s all the same, and takes it that names have up to %d bytes",
			 m->path, NAME_MOST);
	if (r || limits.name >= NAME_MOST)
		return r;
	snprintf(m->odd, sizeof(m->odd), "it allows names of no more than %u bytes", limits.name);
	if (limits.name)
		m->got.name_most = limits.name;
	snprintf(m->forgiven, sizeof(m->forgiven), "mounts %.60s all the same, and %s", m->path,
		 limits.name ? "finds no file with a longer name" : "does not believe it");
	return -EPROTO;
}

static int getattr(struct mounting *m)
{
	struct rpc_file root = {.handle = m->got.root};
	int r = rpc_attr(m->c, &root);

	if (r || root.type == 2)
		return r;
	snprintf(m->odd, sizeof(m->odd), "the root is no directory");
	return -EPROTO;
}

static const struct {
	const char *name;
	int (*ask)(struct mounting *m);
	bool same; /* in all dialects: asked in one */
} steps[] = {
	{"NULL of MOUNT", mount_null, false},
	{"MNT", mnt, false},
	{"NULL of NFS", nfs_null, true},
	{"NULL of NFSACL", acl_null, true},
	{"FSINFO", fsinfo, true},
	{"PATHCONF", pathconf3, true},
	{"GETATTR", getattr, false},
};

static const char *reason_of(const struct host_play *p, struct mounting *m, int r)
{
	const char *reason = rpc_client_reason(m->c);

	if (m->odd[0])
		return m->odd;
	if (*reason)
		return reason;
	return r > 0 ? rpc_status_text(r) : why_text(&p->d->cli->why, r);
}

static void tell(struct host_play *p, struct mounting *m, enum boot_dialect dialect,
		 enum finding_level level, const char *step, int r)
{
	const char *proto = m->udp ? "UDP" : "TCP";
	const char *reason = reason_of(p, m, r);
	const char *mend;
	char buf[200];

	mend = doctor_mend(p, reason, buf);
	if (!mend && r > 0 && !strcmp(step, "MNT")) {
		snprintf(buf, sizeof(buf), "rootstock view stat %.63s %.100s", p->name, m->path);
		mend = buf;
	}
	if (!mend) /* nobody's setting makes it answer so */
		mend = "systemctl restart rootstock";
	if (m->forgiven[0])
		finding(p->d->f, FINDING_WARN, "mount", mend, "%s by %s: %s: a kernel %s", step,
			proto, reason, m->forgiven);
	else
		finding(p->d->f, level, "mount", mend,
			"%s cannot be %s, as %s does it by %s%s%s: %s", m->path,
			strcmp(step, "UMNT") ? "mounted" : "unmounted", dialects[dialect].name,
			proto, strcmp(step, "MNT") ? ", at " : "", strcmp(step, "MNT") ? step : "",
			reason);
	p->d->cli->why = (struct why){""};
}

/* By TCP and UDP, whichever a client tries first and falls back to.  Returns 0 and the
 * root, 1: said, as `level`. */
static int play(struct host_play *p, struct rpc_client *const c[2], const char *path,
		enum boot_dialect dialect, bool own, struct mounted *out)
{
	struct mounting m = {.path = path, .kernel = dialects[dialect].kernel};
	enum finding_level level = own ? FINDING_ERROR : FINDING_WARN;
	int r;

	for (int udp = 1; udp >= 0; udp--) {
		m.c = c[udp];
		m.udp = udp;
		for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
			p->d->cli->why = (struct why){""}; /* of what is no failure */
			m.odd[0] = m.forgiven[0] = '\0';
			r = steps[i].same && !own ? 0 : steps[i].ask(&m);
			if (!r)
				continue;
			tell(p, &m, dialect, level, steps[i].name, r);
			if (!m.forgiven[0])
				return 1;
		}
	}
	/* Its root is mounted all the same: it waits at its shutdown. */
	m.udp = m.kernel;
	m.c = c[m.udp];
	m.odd[0] = m.forgiven[0] = '\0';
	r = rpc_unmount(m.c, path, m.kernel);
	if (r)
		tell(p, &m, dialect, FINDING_WARN, "UMNT", r);
	*out = m.got;
	return 0;
}

int doctor_mount(struct host_play *p, struct rpc_client *const c[2], const char *path,
		 enum boot_dialect dialect, struct mounted *out)
{
	char others[100] = "";

	if (play(p, c, path, dialect, true, out))
		return 1;
	finding(p->d->f, FINDING_OK, "mount", NULL, "%s, as %s does it, by TCP and UDP", path,
		dialects[dialect].name);
	for (size_t i = 0; i < ARRAY_SIZE(dialects); i++) {
		struct mounted other;
		size_t at = strlen(others);

		if (i != dialect && !play(p, c, path, i, false, &other))
			snprintf(others + at, sizeof(others) - at, "%s%s", at ? ", " : "",
				 dialects[i].name);
	}
	if (*others)
		finding(p->d->f, FINDING_OK, "mount", NULL, "%s, likewise as: %s", path, others);
	return 0;
}
