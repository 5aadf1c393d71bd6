/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cmd.h"

#include <getopt.h>

#include "fsd/mount.h"

static int mount_option(void *ctx, int val, const char *value)
{
	struct mount_config *config = ctx;

	if (val == 'f')
		config->foreground = true;
	else
		config->options = value;
	return 0;
}

int cmd_mount(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {{"foreground", no_argument, NULL, 'f'}, {0}};
	struct mount_config config = {.state_dir = cli->state_dir};
	struct db *db;
	int r;

	if (cli_args(argc, argv, options, mount_option, &config, 1, 1) < 0)
		return 2;
	/* Said here in the usual words; the mount opens its own. */
	r = cli_db_read(cli, "mount", &db);
	if (r)
		return r;
	db_close(db);
	config.mountpoint = argv[1];
	return mount_run(&config);
}
