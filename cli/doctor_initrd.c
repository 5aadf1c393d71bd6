/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a host's kernel and initrd are able to: by the kernel's configuration, where the
 * image keeps it, and by a look into the initrd (cli/initrd.h).
 *
 * Where an image tells nothing, nothing is claimed.
 */
#include "cli/doctor_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/initrd.h"

static bool config_is(const char *config, const char *option, const char *values)
{
	char key[64];
	const char *at;

	snprintf(key, sizeof(key), "\nCONFIG_%s=", option);
	at = strstr(config, key);
	return at && strchr(values, at[strlen(key)]);
}

static void tell_config(struct doctor *d, const char *config, const struct boot_files *files)
{
	static const char *const needs[] = {"IP_PNP", "IP_PNP_DHCP", "NFS_FS", "ROOT_NFS",
					    "NFS_V3"};

	if (!config_is(config, "NFS_V3", "ym")) {
		finding(d->f, FINDING_ERROR, "kernel",
			"build it with CONFIG_NFS_V3=y, or install the distribution's kernel",
			"%s: its kernel has no NFS version 3%s, and no other is served",
			files->kernel_path,
			config_is(config, "NFS_V2", "ym") ? ", only version 2" : "");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(needs) && files->dialect == BOOT_KERNEL; i++) {
		char mend[100];

		if (config_is(config, needs[i], "y"))
			continue;
		snprintf(mend, sizeof(mend), "build it with CONFIG_%s=y, or give it an initrd",
			 needs[i]);
		finding(d->f, FINDING_ERROR, "kernel", mend,
			"%s: boots without an initrd, but CONFIG_%s is not built in: it cannot "
			"mount "
			"its root by NFS",
			files->kernel_path, needs[i]);
		return;
	}
	finding(d->f, FINDING_OK, "kernel", NULL, "%s: its kernel has NFS version 3",
		files->kernel_path);
}

static void tell_initrd(struct doctor *d, struct cli_view *v, const struct boot_files *files)
{
	const char *rebuild = initrd_rebuild(files->dialect);
	struct initrd initrd;
	const char *lacks;
	int r = initrd_look(v, files, &initrd);

	if (r) {
		finding(d->f, FINDING_ERROR, "initrd", rebuild, "%s: %s", files->initrd_path,
			r == -EBADMSG ? "is no initrd, or a damaged one" : strerror(-r));
		return;
	}
	lacks = initrd_lacks(&initrd, files->dialect);
	if (lacks)
		finding(d->f, FINDING_ERROR, "initrd", rebuild, "%s %s", files->initrd_path, lacks);
	else if (files->dialect != BOOT_LIVE)
		finding(d->f, FINDING_OK, "initrd", NULL,
			"%s: has what mounts a root by NFS, in the way of %s", files->initrd_path,
			boot_dialect_word(files->dialect));
}

void doctor_kernel(struct doctor *d, struct cli_view *v, const struct boot_files *files)
{
	static const char *const before[] = {"boot/config-", "usr/lib/modules/", "lib/modules/",
					     NULL};
	static const char *const behind[] = {"", "/config", "/config", NULL};
	cleanup(freep) char *config = initrd_read_first(v, initrd_version(files), before, behind);

	if (config)
		tell_config(d, config, files);
	else if (files->dialect == BOOT_KERNEL)
		finding(d->f, FINDING_WARN, "kernel",
			"copy the .config of its build to /boot/config-VERSION in the image; then "
			"rootstock image add NAME DIR --activate",
			"%s: boots without an initrd, and the image does not say how it was "
			"configured: it needs CONFIG_ROOT_NFS, CONFIG_NFS_V3 and "
			"CONFIG_IP_PNP_DHCP",
			files->kernel_path);
	if (files->initrd)
		tell_initrd(d, v, files);
}
