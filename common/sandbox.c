/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/sandbox_parts.h"

#include <cap-ng.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"

enum { SANDBOX_FIRST_ID = 64110 }; /* within systemd's range of dynamic users */

/* The number of an account or a group, left as it is where there is none of that name.
 * From the file itself, where packages put theirs: libc's name services load libraries, and
 * without memory they abort. */
static int number_find(const char *path, const char *name, unsigned int *number, struct why *why)
{
	cleanup(fclosep) FILE *f = fopen(path, "re");
	cleanup(freep) char *line = NULL;
	size_t len = strlen(name);
	size_t size = 0;

	if (!f)
		return errno == ENOENT ? 0 : why_set(why, -errno, "%s: %m", path);
	while (getline(&line, &size, f) >= 0)
		if (!strncmp(line, name, len) && line[len] == ':') {
			const char *second = strchr(line + len + 1, ':');
			char end;

			if (!second || sscanf(second, ":%u%c", number, &end) != 2 || end != ':' ||
			    !*number)
				return why_set(why, -EINVAL, "%s: %s has no number but root's",
					       path, name);
			return 0;
		}
	return feof(f) ? 0 : why_set(why, -errno, "%s: %m", path);
}

int sandbox_identity(enum sandbox_child child, struct sandbox *out, struct why *why)
{
	static const char *const names[SANDBOX_CHILDREN] = {
		[SANDBOX_COPIER] = "rootstock-copier",	 [SANDBOX_DHCP] = "rootstock-dhcp",
		[SANDBOX_TFTP] = "rootstock-tftp",	 [SANDBOX_NFS] = "rootstock-nfs",
		[SANDBOX_METRICS] = "rootstock-metrics",
	};
	unsigned int uid = (unsigned int)(SANDBOX_FIRST_ID + 1 + child);
	unsigned int gid = SANDBOX_FIRST_ID;
	int r = number_find("/etc/passwd", names[child], &uid, why);

	if (!r)
		r = number_find("/etc/group", "rootstock", &gid, why);
	if (!r)
		*out = (struct sandbox){.uid = uid, .gid = gid};
	return r;
}

bool sandbox_whole(void)
{
#ifdef ROOTSTOCK_SANITIZERS
	return false;
#else
	return true;
#endif
}

/* No interface, not even a loopback that is up.  tftp opens a socket a transfer; the
 * others have theirs. */
static int leave_network(enum sandbox_child child, struct why *why)
{
	if (child == SANDBOX_TFTP || !unshare(CLONE_NEWNET))
		return 0;
	if (errno != EPERM && errno != EINVAL)
		return why_set(why, -errno, "a network of its own: %m");
	log_warn("the system's networks can be reached: a network of its own: %m");
	return 0;
}

static int leave_files(enum sandbox_child child, const char *state_dir, const char *const *folders,
		       struct why *why)
{
	struct why lacking = {""};
	int r = sandbox_view(child, state_dir, folders, &lacking);

	if (r != SANDBOX_NO_VIEW)
		return r ? why_set(why, r, "%s", why_text(&lacking, r)) : 0;
	log_warn("the whole file system can be seen, as far as its user may: %s", lacking.text);
	return 0;
}

static int leave_root(enum sandbox_child child, const char *state_dir, const char *const *folders,
		      struct why *why)
{
	struct sandbox sandbox;
	int r = sandbox_identity(child, &sandbox, why);

	if (r)
		return r;
	/* The time zone and what libcap-ng looks up are out of sight soon. */
	tzset();
	capng_clear(CAPNG_SELECT_ALL);
	if (child == SANDBOX_COPIER)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_DAC_READ_SEARCH);
	if (sandbox_whole())
		r = leave_network(child, why);
	if (!r && sandbox_whole())
		r = leave_files(child, state_dir, folders, why);
	if (r)
		return r;
	if (capng_change_id((int)sandbox.uid, (int)sandbox.gid,
			    CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING))
		return why_set(why, -EPERM, "another user: refused");
	return 0;
}

int sandbox_enter(enum sandbox_child child, const char *state_dir, const char *const *folders,
		  struct why *why)
{
	const struct rlimit no_core = {0, 0};
	int r = 0;

	if (setrlimit(RLIMIT_CORE, &no_core))
		return -errno;
	if (geteuid() == 0)
		r = leave_root(child, state_dir, folders, why);
	if (r)
		return r;
	/* Of another user, the wish to end with the parent has to be said again. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ||
	    prctl(PR_SET_PDEATHSIG, SIGTERM))
		return -errno;
	return sandbox_whole() ? sandbox_calls(child, why) : 0;
}
