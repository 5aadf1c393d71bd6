/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The files of a boot, as the tftp child would send them to the host that is played: the
 * menu, kernel and initrd, then each firmware's own, and what DHCP named besides.  A firmware
 * that could not start that kernel is no machine's that boots it.
 */
#include "cli/doctor_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/control.h"
#include "tftp/name.h"
#include "tftp/plan.h"
#include "tftp/play.h"

enum { FETCH_MS = 90000 };

struct fetched {
	struct tftp_played played;
	char *head; /* the caller's; ended */
	size_t head_len;
};

static void fetched_fini(struct fetched *f)
{
	free(f->head);
}

static int fetch(struct host_play *p, const char *name, struct fetched *out)
{
	char request[CONTROL_REQUEST_MAX];
	char from[IP4_TEXT];
	char to[IP4_TEXT];
	char mac[MAC_TEXT];
	char *answer;
	size_t len;
	int r;

	*out = (struct fetched){.head = NULL};
	snprintf(request, sizeof(request), "fetch %s %s %s %s", ip4_format(p->address, from),
		 mac_format(&p->mac, mac), ip4_format(p->server, to), name);
	r = control_ask(p->d->cli->state_dir, "tftp", request, FETCH_MS, &answer, &len,
			&p->d->cli->why);
	if (r)
		return r;
	if (len < sizeof(out->played)) {
		free(answer);
		return -EBADMSG;
	}
	memcpy(&out->played, answer, sizeof(out->played));
	out->played.why[sizeof(out->played.why) - 1] = '\0';
	out->head_len = len - sizeof(out->played);
	memmove(answer, answer + sizeof(out->played), out->head_len + 1);
	out->head = answer;
	return 0;
}

/* The command that brings a file which TFTP does not have. */
static const char *mend_file(const struct host_play *p, const char *name, const char *why,
			     char out[200])
{
	const char *package = strstr(why, "package ");

	if (package) {
		snprintf(out, 200, "apt-get install %.80s", package + strlen("package "));
		if (strstr(out, " has it"))
			*strstr(out, " has it") = '\0';
		return out;
	}
	if (doctor_mend(p, why, out))
		return out;
	snprintf(out, 200,
		 "put %.60s into a folder of loaders =; or rootstock host set %.63s loader=", name,
		 p->name);
	return out;
}

/* Returns 0, 1: `who` stops at it, and that is said, or a negative errno. */
static int play_file(struct host_play *p, const char *who, const char *name)
{
	cleanup(fetched_fini) struct fetched got;
	char mend[200];
	int r = fetch(p, name, &got);

	if (r)
		return r;
	if (got.played.code < 0)
		return 0;
	finding(p->d->f, FINDING_WARN, "tftp", mend_file(p, name, got.played.why, mend),
		"%s stops at %s: %s", who, name, got.played.why);
	return 1;
}

/* Can the firmware that starts this loader start that kernel? */
static bool is_of_kernel(const struct host_play *p, const char *loader)
{
	static const struct {
		const char *loader;
		int kernel;
	} known[] = {
		{"pxelinux.0", KERNEL_X86},   {"bootx64.efi", KERNEL_X86},
		{"bootia32.efi", KERNEL_X86}, {"bootaa64.efi", KERNEL_ARM64},
		{"bootarm.efi", KERNEL_ARM},
	};

	for (size_t i = 0; i < ARRAY_SIZE(known) && p->kernel != KERNEL_ANY; i++)
		if (!strcmp(loader, known[i].loader))
			return (int)p->kernel == known[i].kernel;
	return true;
}

/* The files that a firmware asks for one after another.  Returns 0, 1: it stops at one, or
 * a negative errno. */
static int play_firmware(struct host_play *p, const struct tftp_firmware *fw)
{
	for (size_t i = 0; i < ARRAY_SIZE(fw->files) && fw->files[i]; i++) {
		char name[TFTP_NAME_MAX];
		int r;

		tftp_firmware_file(fw->files[i], &p->mac, name, sizeof(name));
		r = play_file(p, fw->name, name);
		if (r)
			return r;
	}
	finding(p->d->f, FINDING_OK, "tftp", NULL, "%s: has its loader and its menu", fw->name);
	return 0;
}

static bool is_played(const struct host_play *p, unsigned int at)
{
	const char *file = p->parts[at].file;

	for (const struct tftp_firmware *fw = tftp_firmwares; fw->name; fw++)
		if (!strcmp(fw->files[0], file))
			return true;
	for (unsigned int i = 0; i < at; i++)
		if (!strcmp(p->parts[i].file, file))
			return true;
	return false;
}

/* What DHCP has named that is none of those: by a setting, or for another machine. */
static int play_named(struct host_play *p)
{
	int r = 0;

	for (unsigned int i = 0; i < p->nparts && r >= 0; i++)
		if (*p->parts[i].file && !is_played(p, i) && is_of_kernel(p, p->parts[i].file))
			r = play_file(p, p->parts[i].name, p->parts[i].file);
	return r < 0 ? r : 0;
}

/* The menu has the kernel's command line; without one, no firmware comes further. */
int doctor_menu(struct host_play *p)
{
	cleanup(fetched_fini) struct fetched got;
	char name[TFTP_NAME_MAX];
	char mend[200];
	const char *at;
	int r;

	tftp_firmware_file("pxelinux.cfg/01-MAC", &p->mac, name, sizeof(name));
	r = fetch(p, name, &got);
	if (r)
		return r;
	if (got.played.code == TFTP_PLAYED_LATER) {
		finding(p->d->f, FINDING_WARN, "tftp", doctor_mend(p, "not registered", mend),
			"%s would be registered when it asks for its loader: what it boots then "
			"cannot be told yet",
			p->name);
		return 1;
	}
	if (got.played.code >= 0) {
		if (!p->menuless)
			finding(p->d->f, FINDING_ERROR, "menu",
				doctor_mend(p, got.played.why, mend), "there is no menu for it: %s",
				got.played.why);
		return 1;
	}
	at = strstr(got.head, "APPEND ");
	if (!at)
		return -EBADMSG;
	at += strlen("APPEND ");
	snprintf(p->cmdline, sizeof(p->cmdline), "%.*s", (int)strcspn(at, "\n"), at);
	finding(p->d->f, FINDING_OK, "menu", NULL, "its kernel is told: %s", p->cmdline);
	return 0;
}

static const char *kernel_kind(struct host_play *p, const uint8_t *b, size_t len)
{
	static const struct {
		size_t at;
		const char *magic;
		size_t len;
		const char *kind;
		int kernel;
	} known[] = {
		{0x202, "HdrS", 4, "a kernel for x86", KERNEL_X86},
		{56, "ARM\x64", 4, "a kernel for arm64", KERNEL_ARM64},
		{0x24, "\x18\x28\x6f\x01", 4, "a kernel for arm", KERNEL_ARM},
		{0x30, "RSC\x05", 4, "a kernel for riscv", KERNEL_RISCV},
		{0, "MZ", 2, "an EFI program", KERNEL_ANY},
		{0, "\x1f\x8b", 2, "a compressed kernel", KERNEL_ANY},
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (len >= known[i].at + known[i].len &&
		    !memcmp(b + known[i].at, known[i].magic, known[i].len)) {
			p->kernel = known[i].kernel;
			return known[i].kind;
		}
	return NULL;
}

int doctor_boot_files(struct host_play *p, const struct boot_files *files)
{
	cleanup(fetched_fini) struct fetched kernel;
	cleanup(fetched_fini) struct fetched initrd = {.head = NULL};
	const char *kind;
	char mend[200];
	int r = fetch(p, "kernel", &kernel);

	if (r)
		return r;
	if (kernel.played.code >= 0) {
		finding(p->d->f, FINDING_ERROR, "kernel", doctor_mend(p, kernel.played.why, mend),
			"it gets no kernel: %s", kernel.played.why);
		return 1;
	}
	kind = kernel_kind(p, (const uint8_t *)kernel.head, kernel.head_len);
	if (!kind) {
		finding(p->d->f, FINDING_ERROR, "kernel",
			"install the kernel's package into the image again", "%s is no kernel",
			files->kernel_path);
		return 1;
	}
	finding(p->d->f, FINDING_OK, "kernel", NULL, "%s, %llu bytes: %s", files->kernel_path,
		(unsigned long long)kernel.played.size, kind);
	if (!files->initrd)
		return 0;
	r = fetch(p, "initrd", &initrd);
	if (r)
		return r;
	if (initrd.played.code >= 0) {
		finding(p->d->f, FINDING_ERROR, "initrd", doctor_mend(p, initrd.played.why, mend),
			"it gets no initrd: %s", initrd.played.why);
		return 1;
	}
	finding(p->d->f, FINDING_OK, "initrd", NULL, "%s, %llu bytes", files->initrd_path,
		(unsigned long long)initrd.played.size);
	return 0;
}

int doctor_loaders(struct host_play *p)
{
	unsigned int good = 0;
	int r = 0;

	for (const struct tftp_firmware *fw = tftp_firmwares; fw->name && r >= 0; fw++) {
		if (!is_of_kernel(p, fw->files[0]))
			continue;
		r = play_firmware(p, fw);
		good += r == 0;
	}
	if (r >= 0)
		r = play_named(p);
	if (r < 0)
		return r;
	if (!good)
		finding(p->d->f, FINDING_ERROR, "tftp", "apt-get install pxelinux syslinux-common",
			"no firmware gets a loader");
	return good ? 0 : 1;
}
