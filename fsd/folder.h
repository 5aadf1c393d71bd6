/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The whole configuration as a folder of text, made for git: what `export` writes and
 * `import` reads.
 *
 *	rootstock-export	format=1, and whether secrets are in it
 *	images			NAME=N: the active version of each image
 *	all/settings		KEY=VALUE, as `host set` has them
 *	all/overlay		one line an entry, as the overlay commands have them
 *	all/files/etc/motd	the bodies of files and templates
 *	groups/NAME/group	KEY=VALUE	groups/NAME/overlay, files/
 *	hosts/NAME/host		KEY=VALUE	hosts/NAME/overlay, files/
 *
 * One change is one line, or one body.  Nothing is in it that moves by itself: no ids, no
 * times, no order of making.  A file that an import puts is as old as its body there.
 *
 *	rootstock.db --folder_load-->  struct folder  --folder_write--> the folder
 *	 ^                                 |                              |
 *	 +------folder_apply: what differs-+------------folder_read-------+
 *
 * The lines of an overlay are sorted by path, and that is the order in which they are laid.
 * Where the order of two entries matters and was another one, the later has a `late` above
 * that of the earlier, and comes after all that have less: where one replaces what the
 * other is below, or where the last two names are the same, since a link of the image
 * (/lib, /var/run) may lead both to one file.
 */
#ifndef FSD_FOLDER_H
#define FSD_FOLDER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/db.h"
#include "common/why.h"
#include "fsd/overlay.h"

enum {
	FOLDER_FORMAT = 1,
	FOLDER_TEXT_MAX = 16 << 20,	  /* bytes of a text file */
	FOLDER_TEMPLATES_MAX = 256 << 20, /* of all of them */
	FOLDER_LATE_MAX = 9999
};
#define FOLDER_BODY_MAX (64LL << 30)

/* One line KEY=VALUE.  A host's row is such lines too: mac, address, image, group,
 * pending. */
struct folder_pair {
	const char *key;
	const char *value;
	unsigned int line; /* of its file; 0: from the database */
};

struct folder_entry {
	const char *path; /* as rows have it: "etc/motd" */
	enum entry_kind kind;
	uint8_t flags; /* ENTRY_MODE_SET, _OWNER_SET, _SECRET, _NEXT_BOOT */
	uint16_t mode;
	uint32_t uid;
	uint32_t gid;
	unsigned int late;
	unsigned int body_level; /* its body is in "files", or "files.N": see folder_scope_sort() */
	struct bytes body;	 /* a link's target, a template's text */
	struct hash hash;	 /* of a file */
	uint64_t size;
	int64_t mtime_ns; /* of a file or template that was read */
	uint64_t change;  /* of its row; 0: from a folder */
	unsigned int line;
};

struct folder_scope {
	enum scope_kind kind;
	const char *name;	   /* "" for all */
	uint32_t id;		   /* of the row; 0: from a folder, or all */
	struct folder_pair *pairs; /* a host's row first, then settings by key */
	unsigned int npairs;
	struct folder_entry *entries; /* by path (folder_path_cmp) */
	unsigned int nentries;
};

struct folder {
	struct arena arena;
	bool secrets;
	struct folder_pair *images; /* by name */
	unsigned int nimages;
	struct folder_scope *scopes; /* all, then groups, then hosts, each by name */
	unsigned int nscopes;
	/* What a folder from the database borrows from. */
	struct paths *paths;
	struct overlay **overlays;
	unsigned int noverlays;
};

void folder_free(struct folder *f);
CLEANUP_DEFINE(struct folder *, folder_free);

/* What the database says, in the transaction that the caller has open.  Without
 * `secrets`: no secret entry, nor what makes a host itself (its SSH keys, both halves, and
 * its machine-id). */
int folder_load(struct db *db, bool secrets, struct folder **out);

/* Write it to `dir`, which is made, or holds an earlier export and whatever else is not
 * ours.  Files whose bytes are right are not touched, those that are there no more are
 * removed.  Holds the stores while it runs; the caller held them since before
 * folder_load(). */
struct objects;
int folder_write(const struct folder *f, const char *dir, struct objects *objects,
		 struct objects *secrets, struct why *why);

/* The other way, from a folder that anybody may have written: each file and line is
 * checked, and refused as "DIR/FILE:LINE: reason".  Nothing outside `dir` is read. */
int folder_read(const char *dir, struct folder **out, struct why *why);

/* The body of a file's entry, beside its overlay's text; to be closed. */
int folder_body(const char *dir, const struct folder_scope *s, const struct folder_entry *e,
		struct why *why);

/* Make the database be what `want`, read from `dir`, says, in one transaction: or, with
 * `dry`, say only what would be done.  Ids stay where hosts (by name, else by MAC), groups
 * and entries do.  Images are activated, never removed.  Where the folder has no secrets,
 * those of the database stay.  What a template lacks for some host is a warning: it may have
 * lacked it before. */
struct folder_apply {
	const char *dir;
	const char *state_dir;
	bool dry;
	/* Results. */
	char *changes; /* the words of commands, one a line; the caller frees it */
	char *warnings;
	bool keyless; /* there is no ssh-keygen, and new hosts have no key */
};
int folder_apply(struct db *db, const struct folder *want, struct folder_apply *how,
		 struct why *why);

#endif
