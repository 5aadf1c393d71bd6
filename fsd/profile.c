/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/profile.h"

#include <pthread.h>

#include "common/cleanup.h"

/* When the texts below last changed: the mtime of what they make. */
#define PROFILE_NS INT64_C(1795305600000000000)

/* fsd/linuxrc, as it is. */
__asm__(".section .rodata\n"
	".global profile_linuxrc\n"
	"profile_linuxrc:\n"
	".incbin \"" LINUXRC "\"\n"
	".byte 0\n"
	".previous\n");
extern const char profile_linuxrc[];

struct part {
	uint32_t id; /* for ever: it is in handles */
	uint8_t kind;
	uint16_t mode;
	const char *path;
	const char *text;  /* NULL: linuxrc */
	const char *needs; /* only where the image has this path (or) */
	const char *or_needs;
};

static const char part_fstab[] =
	"# The root is on NFS, read-only, and is mounted before this file is read.\n"
	"proc /proc proc nodev,nosuid,noexec 0 0\n"
	"shm /dev/shm tmpfs nodev,nosuid,noexec 0 0\n";

static const char part_hosts[] = "127.0.0.1 localhost\n"
				 "127.0.1.1 {{name}}\n"
				 "::1 localhost ip6-localhost ip6-loopback\n";

static const char part_interfaces[] =
	"# The boot interface was set up by the kernel or the initrd and carries the\n"
	"# root: nothing here may touch it.\n"
	"source-directory /etc/network/interfaces.d\n"
	"\n"
	"auto lo\n"
	"iface lo inet loopback\n";

static const char part_networkd[] = "# It carries the root.\n"
				    "[Match]\n"
				    "MACAddress={{macs}}\n"
				    "\n"
				    "[Link]\n"
				    "Unmanaged=yes\n";

static const char part_networkmanager[] = "# It carries the root.\n"
					  "[keyfile]\n"
					  "unmanaged-devices={{nm_macs}}\n";

static const char part_openrc[] =
	"# The kernel has set the boot interface up; it carries the root.\n"
	"rc_hotplug=\"!net.*\"\n"
	"rc_provide=\"net\"\n";

static const struct part parts[] = {
	{1, ENTRY_TEMPLATE, 0755, "linuxrc", NULL, NULL, NULL},
	{2, ENTRY_TEMPLATE, 0644, "etc/fstab", part_fstab, NULL, NULL},
	{3, ENTRY_TEMPLATE, 0644, "etc/hostname", "{{name}}\n", NULL, NULL},
	{4, ENTRY_TEMPLATE, 0644, "etc/hosts", part_hosts, NULL, NULL},
	{5, ENTRY_TEMPLATE, 0644, "etc/network/interfaces", part_interfaces, "etc/network", NULL},
	{6, ENTRY_PARENT, 0755, "etc/systemd", "", "lib/systemd/systemd-networkd",
	 "usr/lib/systemd/systemd-networkd"},
	{7, ENTRY_PARENT, 0755, "etc/systemd/network", "", "lib/systemd/systemd-networkd",
	 "usr/lib/systemd/systemd-networkd"},
	{8, ENTRY_TEMPLATE, 0644, "etc/systemd/network/00-rootstock.network", part_networkd,
	 "lib/systemd/systemd-networkd", "usr/lib/systemd/systemd-networkd"},
	{9, ENTRY_PARENT, 0755, "etc/NetworkManager/conf.d", "", "etc/NetworkManager", NULL},
	{10, ENTRY_TEMPLATE, 0644, "etc/NetworkManager/conf.d/00-rootstock.conf",
	 part_networkmanager, "etc/NetworkManager", NULL},
	/* OpenRC starts its net scripts as a dependency, whatever the runlevel says. */
	{11, ENTRY_WHITEOUT, 0, "etc/init.d/net.eth0", "", "etc/init.d/net.eth0", NULL},
	{12, ENTRY_TEMPLATE, 0644, "etc/conf.d/rc", part_openrc, "etc/conf.d/rc", NULL},
	{13, ENTRY_PARENT, 0755, "etc/rc.conf.d", "", "etc/rc.conf", NULL},
	{14, ENTRY_TEMPLATE, 0644, "etc/rc.conf.d/rootstock.conf", part_openrc, "etc/rc.conf",
	 NULL},
	/* Identity brings the keys: an image's own would be the same on every host. */
	{15, ENTRY_WHITEOUT, 0, "etc/ssh/ssh_host_rsa_key", "", "etc/ssh", NULL},
	{16, ENTRY_WHITEOUT, 0, "etc/ssh/ssh_host_rsa_key.pub", "", "etc/ssh", NULL},
	{17, ENTRY_WHITEOUT, 0, "etc/ssh/ssh_host_ecdsa_key", "", "etc/ssh", NULL},
	{18, ENTRY_WHITEOUT, 0, "etc/ssh/ssh_host_ecdsa_key.pub", "", "etc/ssh", NULL},
	{19, ENTRY_WHITEOUT, 0, "etc/ssh/ssh_host_ed25519_key", "", "etc/ssh", NULL},
	{20, ENTRY_WHITEOUT, 0, "etc/ssh/ssh_host_ed25519_key.pub", "", "etc/ssh", NULL},
	{21, ENTRY_WHITEOUT, 0, "etc/ssh/ssh_host_dsa_key", "", "etc/ssh", NULL},
	{22, ENTRY_WHITEOUT, 0, "etc/ssh/ssh_host_dsa_key.pub", "", "etc/ssh", NULL},
	{23, ENTRY_WHITEOUT, 0, "etc/ssh/ssh_host_key", "", "etc/ssh", NULL},
	{24, ENTRY_WHITEOUT, 0, "etc/ssh/ssh_host_key.pub", "", "etc/ssh", NULL},
	/* ... and nothing on the client makes others at boot. */
	{25, ENTRY_LINK, 0, "etc/systemd/system/sshd-keygen.target", "/dev/null",
	 "usr/lib/systemd/system/sshd-keygen.target", NULL},
	{26, ENTRY_LINK, 0, "etc/systemd/system/sshd-keygen.service", "/dev/null",
	 "usr/lib/systemd/system/sshd-keygen.service", NULL},
	{27, ENTRY_LINK, 0, "etc/systemd/system/sshdgenkeys.service", "/dev/null",
	 "usr/lib/systemd/system/sshdgenkeys.service", NULL},
	/* The boot makes none either: machine-id is the host's. */
	{28, ENTRY_LINK, 0, "etc/systemd/system/systemd-machine-id-commit.service", "/dev/null",
	 "lib/systemd/system/systemd-machine-id-commit.service",
	 "usr/lib/systemd/system/systemd-machine-id-commit.service"},
	{29, ENTRY_LINK, 0, "var/lib/dbus/machine-id", "/etc/machine-id", "var/lib/dbus", NULL},
	/* To unmount the root from outside it unpacks the whole initrd once more, read over
	 * NFS: half a minute, for a root that holds nothing unwritten. */
	{30, ENTRY_LINK, 0, "etc/systemd/system/dracut-shutdown.service", "/dev/null",
	 "lib/systemd/system/dracut-shutdown.service",
	 "usr/lib/systemd/system/dracut-shutdown.service"},
	/* What /linuxrc mounts on. */
	{40, ENTRY_PARENT, 01777, "tmp", "", NULL, NULL},
	{41, ENTRY_PARENT, 0755, "var", "", NULL, NULL},
	{42, ENTRY_PARENT, 01777, "var/tmp", "", NULL, NULL},
	{43, ENTRY_PARENT, 0755, "var/lib", "", NULL, NULL},
	{44, ENTRY_PARENT, 0755, "var/lib/init.d", "", NULL, NULL},
	{45, ENTRY_PARENT, 0755, "var/log", "", NULL, NULL},
	{46, ENTRY_PARENT, 0755, "run", "", NULL, NULL},
	{47, ENTRY_PARENT, 0755, "var/run", "", NULL, NULL},
	{48, ENTRY_PARENT, 0755, "var/lock", "", NULL, NULL},
	{49, ENTRY_PARENT, 0700, "root", "", NULL, NULL},
	{50, ENTRY_PARENT, 0755, "proc", "", NULL, NULL},
	{51, ENTRY_PARENT, 0755, "sys", "", NULL, NULL},
	{52, ENTRY_PARENT, 0755, "dev", "", NULL, NULL},
	{53, ENTRY_PARENT, 0755, "mnt", "", NULL, NULL},
};

static bool image_has(const struct tree *tree, const char *path)
{
	uint32_t id;

	return !tree_walk(tree, VIEW_ROOT, path, true, &id, NULL);
}

static bool part_wanted(const struct tree *tree, const struct part *p)
{
	return !p->needs || image_has(tree, p->needs) ||
	       (p->or_needs && image_has(tree, p->or_needs));
}

/* One entry a part, made once and shared by all trees. */
static struct entry entries[ARRAY_SIZE(parts)];
static pthread_once_t entries_once = PTHREAD_ONCE_INIT;

static void entries_make(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		const struct part *p = &parts[i];
		const char *text = p->text ? p->text : profile_linuxrc;

		entries[i] = (struct entry){
			.id = p->id,
			.path_id = p->id,
			.kind = p->kind,
			.flags = ENTRY_MODE_SET | ENTRY_OWNER_SET,
			.mode = p->kind == ENTRY_LINK ? 0777 : p->mode,
			.changed_ns = PROFILE_NS,
			.path = p->path,
			.body = {(const uint8_t *)text, strlen(text)},
		};
	}
}

int profile_apply(struct tree *tree, template_lookup *lookup, void *ctx,
		  void (*after)(void *after_ctx, const struct entry *entry), void *after_ctx)
{
	pthread_once(&entries_once, entries_make);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		int r;

		if (!part_wanted(tree, &parts[i]))
			continue;
		r = tree_apply(tree, &entries[i], UINT64_MAX, lookup, ctx);
		if (r < 0)
			return r;
		if (after)
			after(after_ctx, &entries[i]);
	}
	return 0;
}

const struct entry *profile_part(size_t i, bool *always)
{
	if (i >= ARRAY_SIZE(parts))
		return NULL;
	pthread_once(&entries_once, entries_make);
	*always = !parts[i].needs;
	return &entries[i];
}
