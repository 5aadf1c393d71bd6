/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How a host that is played mounts its root, call by call.  Two programs ask MOUNT: the
 * kernel, by itself or for mount.nfs, and klibc's nfsmount.  What comes of it is the kernel's
 * to use in all dialects.
 *
 *	the kernel: MOUNT's NULL, MNT as root  |  nfsmount: MNT as nobody
 *	  -> the kernel: NULL of NFS and of its ACLs, FSINFO, PATHCONF, GETATTR
 *	  -> UMNT, the kernel's by UDP always
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

enum { NAME_LEAST = 255 };

struct mounting {
	struct rpc_client *c;
	const char *path;
	bool kernel;
	struct rpc_handle root;
	char odd[80]; /* what is wrong with an answer that is none of refusal */
};

/* Each returns 0, a positive status of its protocol, or a negative errno with words; or
 * -EPROTO with m->odd, of an answer that a client can do nothing with. */

static int mount_null(struct mounting *m)
{
	return m->kernel ? rpc_null(m->c, RPC_PROGRAM_MOUNT) : 0;
}

static int mnt(struct mounting *m)
{
	return rpc_mount(m->c, m->path, m->kernel, &m->root);
}

static int nfs_null(struct mounting *m)
{
	return rpc_null(m->c, RPC_PROGRAM_NFS);
}

/* It does without them, once it is told that there are none. */
static int acl_null(struct mounting *m)
{
	int r = rpc_null(m->c, RPC_PROGRAM_ACL);

	return r == -EPROTONOSUPPORT || r == -EACCES ? 0 : r;
}

static int fsinfo(struct mounting *m)
{
	struct rpc_limits limits;
	int r = rpc_fsinfo(m->c, &m->root, &limits);

	if (r || (limits.read && limits.write && limits.dir && limits.file))
		return r;
	snprintf(m->odd, sizeof(m->odd), "it allows %s of 0 bytes",
		 !limits.read	 ? "a READ"
		 : !limits.write ? "a WRITE"
		 : !limits.dir	 ? "a READDIR"
				 : "a file");
	return -EPROTO;
}

static int pathconf3(struct mounting *m)
{
	struct rpc_limits limits;
	int r = rpc_pathconf(m->c, &m->root, &limits);

	if (r || limits.name >= NAME_LEAST)
		return r;
	snprintf(m->odd, sizeof(m->odd), "it allows names of no more than %u bytes", limits.name);
	return -EPROTO;
}

static int getattr(struct mounting *m)
{
	struct rpc_file root = {.handle = m->root};
	int r = rpc_attr(m->c, &root);

	if (r || root.type == 2)
		return r;
	snprintf(m->odd, sizeof(m->odd), "the root is no directory");
	return -EPROTO;
}

static const struct {
	const char *name;
	int (*ask)(struct mounting *m);
} steps[] = {
	{"NULL of MOUNT", mount_null}, {"MNT", mnt},	   {"NULL of NFS", nfs_null},
	{"NULL of NFSACL", acl_null},  {"FSINFO", fsinfo}, {"PATHCONF", pathconf3},
	{"GETATTR", getattr},
};

static void tell(struct host_play *p, struct mounting *m, enum boot_dialect dialect, bool udp,
		 enum finding_level level, const char *step, int r)
{
	const char *reason = rpc_client_reason(m->c);
	const char *mend;
	char buf[200];

	if (m->odd[0])
		reason = m->odd;
	else if (!*reason)
		reason = r > 0 ? rpc_status_text(r) : why_text(&p->d->cli->why, r);
	mend = doctor_mend(p, reason, buf);
	if (!mend && r > 0 && !strcmp(step, "MNT")) {
		snprintf(buf, sizeof(buf), "rootstock view stat %.63s %.100s", p->name, m->path);
		mend = buf;
	}
	if (!mend) /* nobody's setting makes it answer so */
		mend = "systemctl restart rootstock";
	finding(p->d->f, level, "mount", mend, "%s cannot be %s, as %s does it by %s%s%s: %s",
		m->path, strcmp(step, "UMNT") ? "mounted" : "unmounted", dialects[dialect].name,
		udp ? "UDP" : "TCP", strcmp(step, "MNT") ? ", at " : "",
		strcmp(step, "MNT") ? step : "", reason);
	p->d->cli->why = (struct why){""};
}

/* By TCP and UDP, whichever a client tries first and falls back to.  Returns 0 and the
 * root, 1: said, as `level`. */
static int play(struct host_play *p, struct rpc_client *const c[2], const char *path,
		enum boot_dialect dialect, enum finding_level level, struct rpc_handle *out)
{
	struct mounting m = {.path = path, .kernel = dialects[dialect].kernel};
	int r;

	for (int udp = 1; udp >= 0; udp--) {
		m.c = c[udp];
		for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
			p->d->cli->why = (struct why){""}; /* of what is no failure */
			r = steps[i].ask(&m);
			if (!r)
				continue;
			tell(p, &m, dialect, udp, level, steps[i].name, r);
			return 1;
		}
	}
	/* Its root is mounted all the same: it waits at its shutdown. */
	m.c = c[m.kernel];
	r = rpc_unmount(m.c, path, m.kernel);
	if (r)
		tell(p, &m, dialect, m.kernel, FINDING_WARN, "UMNT", r);
	*out = m.root;
	return 0;
}

int doctor_mount(struct host_play *p, struct rpc_client *const c[2], const char *path,
		 enum boot_dialect dialect, struct rpc_handle *out)
{
	char others[100] = "";

	if (play(p, c, path, dialect, FINDING_ERROR, out))
		return 1;
	finding(p->d->f, FINDING_OK, "mount", NULL, "%s, as %s does it, by TCP and UDP", path,
		dialects[dialect].name);
	for (size_t i = 0; i < ARRAY_SIZE(dialects); i++) {
		struct rpc_handle root;
		size_t at = strlen(others);

		if (i != dialect && !play(p, c, path, i, FINDING_WARN, &root))
			snprintf(others + at, sizeof(others) - at, "%s%s", at ? ", " : "",
				 dialects[i].name);
	}
	if (*others)
		finding(p->d->f, FINDING_OK, "mount", NULL, "%s, likewise as: %s", path, others);
	return 0;
}
