/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The last part of a boot that is played: from what the kernel is told of its root, by
 * port mapper and mount, along names and links, to init and what init is run by.
 */
#include "cli/doctor_parts.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { LINKS_MOST = 40, SOURCE_PORT = 700, INIT_MOST = 4 << 20 };

struct root {
	uint32_t server; /* 0: not said */
	char path[520];
	char options[260];
	char init[260];
};

/* The last value of a word of a command line. */
static bool cmdline_word(const char *cmdline, const char *key, char *out, size_t size)
{
	bool found = false;

	for (const char *at = cmdline; *at;) {
		size_t n = strcspn(at, " ");

		if (!strncmp(at, key, strlen(key))) {
			snprintf(out, size, "%.*s", (int)(n - strlen(key)), at + strlen(key));
			found = true;
		}
		at += n + (at[n] == ' ');
	}
	return found;
}

static bool root_parse(const struct host_play *p, enum boot_dialect dialect, struct root *out)
{
	bool dracut = dialect == BOOT_DRACUT;
	char text[520];
	char *path = text;
	char *colon;
	char *options;

	*out = (struct root){.init = "/sbin/init"};
	/* Of several the last one holds, whatever it says. */
	if (cmdline_word(p->cmdline, "root=", text, sizeof(text)) &&
	    ((dracut && strncmp(text, "nfs:", 4)) ||
	     (dialect == BOOT_KERNEL && strcmp(text, "/dev/nfs"))))
		return false;
	if (!cmdline_word(p->cmdline, dracut ? "root=nfs:" : "nfsroot=", text, sizeof(text)))
		return false;
	colon = strchr(text, ':');
	if (colon) {
		*colon = '\0';
		if (ip4_parse(text, &out->server))
			out->server = 0;
		path = colon + 1;
	}
	options = strchr(path, dracut ? ':' : ',');
	if (options) {
		*options = '\0';
		snprintf(out->options, sizeof(out->options), "%s", options + 1);
	}
	if (dialect == BOOT_LIVE)
		cmdline_word(p->cmdline, "nfsopts=", out->options, sizeof(out->options));
	snprintf(out->path, sizeof(out->path), "%s", path);
	cmdline_word(p->cmdline, "init=", out->init, sizeof(out->init));
	return true;
}

/* Is the version of NFS one that is served? */
static bool root_version(struct host_play *p, const struct root *root, enum boot_dialect dialect)
{
	char word[16] = "";
	char list[sizeof(root->options) + 1];
	char mend[200];

	snprintf(list, sizeof(list), "%s", root->options);
	for (char *c = list; *c; c++)
		*c = *c == ',' ? ' ' : *c;
	if (cmdline_word(list, "v", word, sizeof(word)) && (*word >= '2' && *word <= '4'))
		; /* v3 */
	else if (!cmdline_word(list, "vers=", word, sizeof(word)) &&
		 !cmdline_word(list, "nfsvers=", word, sizeof(word)))
		*word = '\0';
	if (*word == '3')
		return true;
	snprintf(mend, sizeof(mend),
		 "rootstock host set %s cmdline=  # what is set there, or for its group, or vers=3 "
		 "behind its path",
		 p->name);
	if (!*word && dialect != BOOT_KERNEL)
		return true; /* these take 3 by themselves */
	finding(p->d->f, FINDING_ERROR, "nfs", mend,
		*word ? "its kernel is told vers=%s: MOUNT and NFS version %s are not served, only "
			"3"
		      : "its kernel is told no vers=3: one with NFS version 2 asks%s for that "
			"first "
			"(MOUNT version 1), which is not served%s",
		word, word);
	return false;
}

struct walk {
	struct rpc_client *c;
	struct mounted at;
	char where[300]; /* the name at which it stopped */
	unsigned int links;
};

/* Returns 0, an NFS status at w->where, or a negative errno. */
static int walk(struct walk *w, const char *path, struct rpc_file *out)
{
	struct rpc_handle at = w->at.root;
	char rest[1024];
	char target[512];
	int r = 0;

	snprintf(rest, sizeof(rest), "%s", path);
	*out = (struct rpc_file){.handle = w->at.root, .type = 2};
	while (!r) {
		char *name = rest + strspn(rest, "/");
		size_t len = strcspn(name, "/");
		char tail[1024];

		if (!len)
			break;
		snprintf(w->where, sizeof(w->where), "%.*s", (int)len, name);
		snprintf(tail, sizeof(tail), "%s", name + len);
		if (len > w->at.name_most)
			r = 63; /* NFS3ERR_NAMETOOLONG, which the kernel says by itself */
		else
			r = rpc_lookup(w->c, &at, name, len, out);
		if (!r && out->type == 5) {
			r = rpc_readlink(w->c, &out->handle, target, sizeof(target));
			if (!r && ++w->links > LINKS_MOST)
				r = -ELOOP;
			if (!r && (size_t)snprintf(rest, sizeof(rest), "%s/%s", target, tail) >=
					  sizeof(rest))
				r = -ENAMETOOLONG;
			if (!r && *target == '/')
				at = w->at.root;
			continue;
		}
		at = out->handle;
		memcpy(rest, tail, strlen(tail) + 1);
	}
	return r;
}

/* Then that it was there says nothing more. */
static bool is_last(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');

	return !strcmp(slash ? slash + 1 : path, name);
}

static void tell_walk(struct host_play *p, struct walk *w, const char *path, int r,
		      const char *doing)
{
	const char *reason = rpc_client_reason(w->c);
	char mend[200];

	if (r == 5) /* NFS3ERR_IO */
		snprintf(mend, sizeof(mend),
			 "rootstock image show %.80s  # is its origin there? then rootstock image "
			 "add %.*s DIR --activate",
			 p->image, (int)strcspn(p->image, "@"), p->image);
	else
		snprintf(mend, sizeof(mend), "rootstock view explain %.63s %.100s", p->name, path);
	if (!*reason)
		reason = r > 0 ? rpc_status_text(r) : why_text(&p->d->cli->why, r);
	finding(p->d->f, FINDING_ERROR, "root", mend, "%s cannot be %s%s%s: %s", path, doing,
		is_last(path, w->where) ? "" : ", at ", is_last(path, w->where) ? "" : w->where,
		reason);
}

/* Where the dynamic linker of a 64-bit program is; "": none. */
static void elf_interpreter(const uint8_t *b, size_t len, char *out, size_t size)
{
	Elf64_Ehdr head;
	Elf64_Phdr part;

	*out = '\0';
	if (len < sizeof(head) || memcmp(b, ELFMAG, SELFMAG) || b[EI_CLASS] != ELFCLASS64 ||
	    b[EI_DATA] != ELFDATA2LSB)
		return;
	memcpy(&head, b, sizeof(head));
	for (unsigned int i = 0; i < head.e_phnum; i++) {
		uint64_t at = head.e_phoff + (uint64_t)i * sizeof(part);

		if (head.e_phoff > len || at + sizeof(part) > len)
			return;
		memcpy(&part, b + at, sizeof(part));
		if (part.p_type == PT_INTERP && part.p_offset < len &&
		    part.p_filesz <= len - part.p_offset && part.p_filesz < size) {
			memcpy(out, b + part.p_offset, part.p_filesz);
			out[part.p_filesz] = '\0';
			return;
		}
	}
}

static void script_interpreter(const uint8_t *b, size_t len, char *out, size_t size)
{
	size_t at = 2;
	size_t n = 0;

	*out = '\0';
	if (len < 3 || memcmp(b, "#!", 2))
		return;
	while (at < len && (b[at] == ' ' || b[at] == '\t'))
		at++;
	while (at + n < len && !memchr(" \t\n", b[at + n], 3))
		n++;
	snprintf(out, size, "%.*s", (int)n, (const char *)b + at);
}

/* Read a program whole, as the kernel pages it in.  Returns 0 with its head, or 1. */
static int play_program(struct host_play *p, struct walk *w, const char *path, unsigned int depth)
{
	uint8_t chunk[65536];
	char interpreter[260] = "";
	struct rpc_file file;
	uint64_t at = 0;
	size_t len;
	int r = walk(w, path, &file);

	if (r) {
		tell_walk(p, w, path, r, "found");
		return 1;
	}
	if (file.type != 1 || !(file.mode & 0111)) {
		char mend[200];

		snprintf(mend, sizeof(mend),
			 file.type == 1 ? "rootstock overlay attr host:%.63s %.80s --mode 0755"
					: "rootstock view explain %.63s %.80s",
			 p->name, path);
		finding(p->d->f, FINDING_ERROR, "root", mend, "%s is %s", path,
			file.type != 1 ? "no regular file" : "not executable");
		return 1;
	}
	do {
		r = rpc_read(w->c, &file.handle, at, chunk, sizeof(chunk), &len);
		if (r) {
			tell_walk(p, w, path, r, "read");
			return 1;
		}
		if (!at) {
			script_interpreter(chunk, len, interpreter, sizeof(interpreter));
			if (!*interpreter)
				elf_interpreter(chunk, len, interpreter, sizeof(interpreter));
		}
		at += len;
	} while (len && at < file.size && at < INIT_MOST);
	finding(p->d->f, FINDING_OK, "root", NULL, "%s: %llu bytes%s%s", path,
		(unsigned long long)file.size, *interpreter ? ", by " : "", interpreter);
	return *interpreter && depth < 3 ? play_program(p, w, interpreter, depth + 1) : 0;
}

/* The medium of a live system, whose init is in there. */
static int play_medium(struct host_play *p, struct walk *w)
{
	static const char path[] = "/live/filesystem.squashfs";
	struct rpc_file file;
	char mend[200];
	char magic[4];
	size_t len;
	int r = walk(w, path, &file);

	if (!r)
		r = rpc_read(w->c, &file.handle, 0, magic, sizeof(magic), &len);
	if (r) {
		tell_walk(p, w, path, r, "read");
		return 1;
	}
	if (len < sizeof(magic) || memcmp(magic, "hsqs", 4)) {
		snprintf(mend, sizeof(mend), "mksquashfs ROOT DIR%s; rootstock image add NAME DIR",
			 path);
		finding(p->d->f, FINDING_ERROR, "root", mend, "%s is no squashfs", path);
		return 1;
	}
	finding(p->d->f, FINDING_OK, "root", NULL, "%s: %llu bytes", path,
		(unsigned long long)file.size);
	return 0;
}

static int play_init(struct host_play *p, struct walk *w, const char *init)
{
	int r = play_program(p, w, init, 0);

	if (r || strcmp(init, "/linuxrc"))
		return r;
	w->links = 0;
	return play_program(p, w, "/sbin/init", 0);
}

static int play_root(struct host_play *p, const struct root *root, enum boot_dialect dialect)
{
	const struct rpc_caller as = {p->mac, p->address, p->server, SOURCE_PORT};
	cleanup(rpc_client_closep) struct rpc_client *tcp = NULL;
	cleanup(rpc_client_closep) struct rpc_client *udp = NULL;
	struct walk w = {0};
	int r = doctor_portmap(p, &as, root->options);

	if (!r)
		r = rpc_client_open(p->d, &as, "nfs", false, &tcp);
	if (!r)
		r = rpc_client_open(p->d, &as, "nfs", true, &udp);
	if (!r)
		r = doctor_mount(p, (struct rpc_client *[]){tcp, udp}, root->path, dialect, &w.at);
	if (r)
		return r;
	w.c = tcp;
	return dialect == BOOT_LIVE ? play_medium(p, &w) : play_init(p, &w, root->init);
}

int doctor_root(struct host_play *p, enum boot_dialect dialect)
{
	struct root root;
	char server[IP4_TEXT];
	char mend[200];

	snprintf(mend, sizeof(mend),
		 "rootstock host set %s cmdline=  # what is set there, or for its group", p->name);
	if (!root_parse(p, dialect, &root)) {
		finding(p->d->f, FINDING_ERROR, "nfs", mend,
			"its kernel is not told of a root by NFS");
		return 1;
	}
	if (root.server && root.server != p->server) {
		finding(p->d->f, FINDING_WARN, "nfs", mend,
			"its root is at another server, %s, which cannot be played",
			ip4_format(root.server, server));
		return 1;
	}
	return root_version(p, &root, dialect) ? play_root(p, &root, dialect) : 1;
}
