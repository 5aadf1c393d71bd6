/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration to and from a folder of text. */
#include "cli/cmd.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/schema.h"
#include "common/state.h"
#include "fsd/folder.h"
#include "fsd/objects.h"

/* Held from before the rows are read: what they name stays. */
static int export_run(struct cli *cli)
{
	cleanup(objects_closep) struct objects *objects = NULL;
	cleanup(objects_closep) struct objects *secrets = NULL;
	cleanup(folder_freep) struct folder *folder = NULL;
	bool all = cli_option(cli, 's');
	int r = objects_open_held(cli->state_dir, STORE_OBJECTS, false, &objects, &cli->why);

	if (!r && all)
		r = objects_open_held(cli->state_dir, STORE_SECRETS, false, &secrets, &cli->why);
	if (!r)
		r = db_exec(cli->db, "BEGIN");
	if (!r)
		r = folder_load(cli->db, all, &folder);
	if (r)
		why_set(&cli->why, r, "%s", db_error(cli->db));
	db_rollback(cli->db);
	return r ? r : folder_write(folder, cli->args[0], objects, secrets, &cli->why);
}

static const struct option export_options[] = {{"secrets", no_argument, NULL, 's'}, {0}};

const struct command command_export = {
	.words = "export",
	.usage = "DIR [--secrets]",
	.run = export_run,
	.db = CLI_READ,
	.min = 1,
	.max = 1,
	.options = export_options,
};

/* A folder that is none makes no state, nor does a look at what would be done. */
static int state_for(struct cli *cli, bool dry)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", cli->state_dir, schema_rootstock.name);
	if (dry && access(path, F_OK) && errno == ENOENT)
		return why_set(&cli->why, -ENOENT, "%s: nothing here yet: all would be new",
			       cli->state_dir);
	return state_open(cli->state_dir, &cli->db, &cli->why);
}

static int import_run(struct cli *cli)
{
	struct folder_apply how = {
		.dir = cli->args[0], .state_dir = cli->state_dir, .dry = cli_option(cli, 'n')};
	cleanup(folder_freep) struct folder *folder = NULL;
	int r = folder_read(how.dir, &folder, &cli->why);

	if (!r)
		r = state_for(cli, how.dry);
	if (!r)
		r = folder_apply(cli->db, folder, &how, &cli->why);
	if (!r) {
		fputs(how.changes[0] ? how.changes : "nothing to change\n", stdout);
		for (char *line = strtok(how.warnings, "\n"); line; line = strtok(NULL, "\n"))
			fprintf(stderr, "rootstock: import: %s\n", line);
		if (how.keyless)
			fprintf(stderr, "rootstock: import: no ssh-keygen here: new hosts have no "
					"SSH host key\n");
	}
	free(how.changes);
	free(how.warnings);
	return r;
}

static const struct option import_options[] = {{"dry-run", no_argument, NULL, 'n'}, {0}};

const struct command command_import = {
	.words = "import",
	.usage = "DIR [--dry-run]",
	.run = import_run,
	.min = 1,
	.max = 1,
	.options = import_options,
};
