/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { SANDBOX_FIRST_ID = 64110 }; /* within systemd's range of dynamic users */

void sandbox_identity(enum sandbox_child child, struct sandbox *out)
{
	static const char *const names[SANDBOX_CHILDREN] = {
		[SANDBOX_COPIER] = "rootstock-copier",
		[SANDBOX_DHCP] = "rootstock-dhcp",
		[SANDBOX_TFTP] = "rootstock-tftp",
		[SANDBOX_NFS] = "rootstock-nfs",
	};
	const struct passwd *pw = getpwnam(names[child]);
	const struct group *gr = getgrnam("rootstock");

	*out = (struct sandbox){
		.uid = pw ? pw->pw_uid : (uid_t)(SANDBOX_FIRST_ID + 1 + child),
		.gid = gr ? gr->gr_gid : (gid_t)SANDBOX_FIRST_ID,
		.read_all = child == SANDBOX_COPIER,
	};
}

int sandbox_enter(const struct sandbox *sandbox)
{
	const struct rlimit no_core = {0, 0};

	if (setrlimit(RLIMIT_CORE, &no_core))
		return -errno;
	if (geteuid() == 0) {
		capng_clear(CAPNG_SELECT_ALL);
		if (sandbox->read_all)
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED,
				     CAP_DAC_READ_SEARCH);
		if (capng_change_id((int)sandbox->uid, (int)sandbox->gid,
				    CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING))
			return -EPERM;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return -errno;
	return 0;
}
