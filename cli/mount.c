/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cmd.h"

#include "fsd/mount.h"

static int mount_option(void *ctx, int val, const char *value)
{
	const char **options = ctx;

	(void)val;
	*options = value;
	return 0;
}

int cmd_mount(struct cli *cli, int argc, char **argv)
{
	const char *options = NULL;
	cleanup(db_closep) struct db *db = NULL;
	struct mount_config config;
	int r;

	if (cli_args(argc, argv, NULL, mount_option, &options, 1, 1) < 0)
		return 2;
	r = cli_db_read(cli, "mount", &db);
	if (r)
		return r;
	config = (struct mount_config){
		.state_dir = cli->state_dir, .mountpoint = argv[1], .options = options};
	return mount_run(&config);
}
