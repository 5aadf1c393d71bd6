/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cmd.h"

#include <getopt.h>

#include "fsd/mount.h"

/* The mount opens a database of its own; that it is there is said by ours. */
static int mount_command(struct cli *cli)
{
	const struct mount_config config = {
		.state_dir = cli->state_dir,
		.mountpoint = cli->args[0],
		.options = cli_option(cli, 'o'),
		.foreground = cli_option(cli, 'f'),
	};

	db_close(cli->db);
	cli->db = NULL;
	return mount_run(&config);
}

static const struct option options[] = {{"foreground", no_argument, NULL, 'f'}, {0}};

const struct command command_mount = {
	.words = "mount",
	.usage = "DIR [-o OPTIONS] [-f|--foreground]",
	.run = mount_command,
	.db = CLI_READ,
	.min = 1,
	.max = 1,
	.options = options,
	.shorts = "o:f",
};
