/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the commands share: how they are declared and what they get, and how names on
 * the command line become things.
 */
#ifndef CLI_CMD_H
#define CLI_CMD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/db.h"
#include "common/why.h"
#include "fsd/contents.h"
#include "fsd/overlay.h"
#include "fsd/view.h"

/* An option as it was given; `value` is NULL where it takes none. */
struct given {
	int val; /* of its struct option */
	const char *value;
};

enum { CLI_GIVEN_MAX = 64 };

struct command;

/* What a command gets, and how it says why it failed. */
struct cli {
	const char *state_dir;
	bool json;
	const char *log; /* the level that was asked for, in force already; NULL: none */
	const struct command *command;
	char **args; /* positional: args[0] is the first */
	int nargs;
	struct given given[CLI_GIVEN_MAX];
	unsigned int ngiven;
	struct db *db; /* as the command wants it, else NULL */
	struct why why;
};

enum cli_db {
	CLI_NO_DB,
	CLI_READ,  /* not there: said as "nothing here yet" */
	CLI_WRITE, /* made if absent */
};

/* A command is declared beside its code and listed in main.c. */
struct option; /* getopt_long's */
struct command {
	const char *words; /* "image add" */
	const char *usage; /* what follows them; NULL: nothing */
	bool internal;	   /* not for people */
	/* Returns 0; an exit status, having said why; or a negative errno, which is
	 * then said, with cli->why where it holds words. */
	int (*run)(struct cli *cli);
	/* The same for what can be said before the state is opened, and made where it
	 * lacks; NULL: nothing. */
	int (*check)(struct cli *cli);
	enum cli_db db;
	int min;		      /* positional arguments */
	int max;		      /* CLI_ANY: no limit */
	const struct option *options; /* each with a `val` of its own; NULL: none */
	const char *shorts;	      /* those that are a letter, as getopt has it */
};

enum { CLI_ANY = -1 };

extern const struct command command_image_add, command_image_list, command_image_show,
	command_image_activate, command_image_rollback, command_image_remove, command_image_prune,
	command_image_check;
extern const struct command command_host_add, command_host_set, command_host_approve,
	command_host_list, command_host_show, command_host_remove, command_host_import;
extern const struct command command_all_set, command_all_show;
extern const struct command command_group_add, command_group_set, command_group_list,
	command_group_show, command_group_remove;
extern const struct command command_overlay_put, command_overlay_link, command_overlay_mkdir,
	command_overlay_hide, command_overlay_opaque, command_overlay_attr, command_overlay_reset,
	command_overlay_list;
extern const struct command command_view_ls, command_view_stat, command_view_cat,
	command_view_explain, command_view_diff, command_view_digest;
extern const struct command command_lease_list;
extern const struct command command_boot_list, command_boot_show, command_boot_plan,
	command_boot_end;
extern const struct command command_export, command_import, command_backup;
extern const struct command command_mount, command_serve, command_reload, command_doctor,
	command_status, command_child, command_complete;

/* All of them, and the options that each takes; ended by NULL. */
extern const struct command *const cli_commands[];
extern const char *const cli_common[];

/* The usage line of the command that runs, on standard error; returns 2. */
int cli_usage(const struct cli *cli);

/* Was the option given?  Its value then ("" where it takes none), the last one where
 * it was given more than once; else NULL. */
const char *cli_option(const struct cli *cli, int val);

/* leases.db, to write or to read alone; -ENOENT where nothing was served yet. */
int cli_leases(struct cli *cli, bool write, struct db **leases);

/* all, group:NAME, host:NAME, host:MAC. */
int cli_scope(struct cli *cli, const char *text, struct scope *out);

/* The scope's settings and template keys, as pairs. */
struct table;
void cli_settings(struct cli *cli, enum scope_kind kind, uint32_t owner, struct table *t);

/* A view for people: HOST, or NAME[@N] of an image. */
struct cli_view {
	struct views *views;
	struct view *view;
	struct contents *contents;
	uint32_t host; /* 0: a bare image */
	uint32_t version;
	struct own_copier *copier; /* where no server runs */
};
int cli_view_open(struct cli *cli, const char *name, struct cli_view *out);
/* Another view of the same state, from the same cache. */
int cli_view_other(struct cli *cli, const char *name, struct cli_view *v, struct view **out);
void cli_view_close(struct cli_view *v); /* fine for zeroes */

#endif
