/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the commands share: where the state is, how errors are said, how names on
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

struct cli {
	const char *state_dir;
	bool json;
};

/* A command gets its arguments behind its own words, argv[0] being the last of
 * those, and returns the exit status: 0, 1 (said why), 2 (usage). */
typedef int command_fn(struct cli *cli, int argc, char **argv);

command_fn cmd_image_add, cmd_image_list, cmd_image_show, cmd_image_activate, cmd_image_rollback,
	cmd_image_remove, cmd_image_prune, cmd_image_check;
command_fn cmd_host_add, cmd_host_set, cmd_host_approve, cmd_host_list, cmd_host_show,
	cmd_host_remove, cmd_host_import;
command_fn cmd_group_add, cmd_group_set, cmd_group_list, cmd_group_show, cmd_group_remove;
command_fn cmd_overlay_put, cmd_overlay_link, cmd_overlay_mkdir, cmd_overlay_hide,
	cmd_overlay_opaque, cmd_overlay_attr, cmd_overlay_reset, cmd_overlay_list;
command_fn cmd_view_ls, cmd_view_stat, cmd_view_cat, cmd_view_explain, cmd_view_diff,
	cmd_view_digest;
command_fn cmd_lease_list, cmd_boot_list, cmd_boot_show, cmd_boot_plan, cmd_boot_end;
command_fn cmd_mount, cmd_serve, cmd_child;

/* "rootstock: WHAT: WHY" on standard error; returns 1. */
int cli_fail(const char *what, const struct why *why, int r);
/* The usage line of the command that runs, on standard error; returns 2. */
int cli_usage(void);

/* Positional arguments and options.  `options` is getopt_long's table, each with a
 * flag of its own: `handle` gets its `val` and value and returns 0, or -1 for a bad
 * one, which it has said.  Exactly `min` to `max` (-1: any) positional arguments are moved to the
 * front of argv + 1.  Returns their number, or -1 after the usage line. */
struct option;
int cli_args(int argc, char **argv, const struct option *options,
	     int (*handle)(void *ctx, int val, const char *value), void *ctx, int min, int max);

/* Open the state for writing, made if absent.  On failure it is said. */
int cli_db(struct cli *cli, const char *what, struct db **db);
/* For reading alone; -ENOENT is said as "nothing here yet". */
int cli_db_read(struct cli *cli, const char *what, struct db **db);

/* leases.db, to write or to read alone; -ENOENT where nothing was served yet. */
int cli_leases(struct cli *cli, bool write, struct db **leases, struct why *why);

/* all, group:NAME, host:NAME, host:MAC. */
int cli_scope(struct db *db, const char *text, struct scope *out, struct why *why);

/* A view for people: HOST, or NAME[@N] of an image. */
struct cli_view {
	struct db *db; /* keeps the readers' journal alive */
	struct views *views;
	struct view *view;
	struct contents *contents;
	uint32_t host; /* 0: a bare image */
	uint32_t version;
	struct own_copier *copier; /* where no server runs */
};
int cli_view_open(struct cli *cli, const char *what, const char *name, struct cli_view *out);
/* Another view of the same state, from the same cache. */
int cli_view_other(const char *what, const char *name, struct cli_view *v, struct view **out);
void cli_view_close(struct cli_view *v);

#endif
