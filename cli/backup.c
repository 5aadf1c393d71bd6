/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A whole state into one file. */
#include "cli/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsd/backup.h"

static void tell(void *ctx, const char *line)
{
	(void)ctx;
	fprintf(stderr, "rootstock: backup: %s\n", line);
}

/* The name is given once all is on the disk: an earlier backup of that name is the better
 * one until then. */
static int place(struct cli *cli, int fd, const char *draft, const char *file)
{
	char dir[PATH_MAX];
	cleanup(closep) int above = -1;
	char *slash;

	if (fsync(fd) || rename(draft, file))
		return why_set(&cli->why, -errno, "%s: %m", file);
	snprintf(dir, sizeof(dir), "%s", file);
	slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir] = '\0';
	above = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (above < 0 || fsync(above))
		return why_set(&cli->why, -errno, "%s: %m", slash ? dir : ".");
	return 0;
}

static int backup_run(struct cli *cli)
{
	const char *file = cli->args[0];
	bool to_stdout = !strcmp(file, "-");
	struct backup b = {.state_dir = cli->state_dir, .tell = tell};
	cleanup(closep) int fd = -1;
	char draft[PATH_MAX];
	struct stat st;
	int r;

	if (to_stdout && isatty(STDOUT_FILENO))
		return why_set(&cli->why, -EINVAL, "not to a terminal");
	if (!to_stdout && !stat(file, &st) && !S_ISREG(st.st_mode))
		return why_set(&cli->why, -EINVAL, "%s: not a regular file", file);
	if (snprintf(draft, sizeof(draft), "%s.XXXXXX", file) >= (int)sizeof(draft))
		return why_set(&cli->why, -ENAMETOOLONG, "%.64s...: too long", file);
	fd = to_stdout ? dup(STDOUT_FILENO) : mkostemp(draft, O_CLOEXEC); /* 0600 */
	if (fd < 0)
		return why_set(&cli->why, -errno, "%s: %m", file);
	b.fd = fd;
	r = backup_write(cli->db, &b, &cli->why);
	if (!r && !to_stdout)
		r = place(cli, fd, draft, file);
	if (r && !to_stdout)
		unlink(draft);
	if (r)
		return r;
	fprintf(to_stdout ? stderr : stdout, "%llu files, %llu bytes\n",
		(unsigned long long)b.files, (unsigned long long)b.bytes);
	return b.damaged ? 1 : 0;
}

const struct command command_backup = {
	.words = "backup",
	.usage = "FILE|-",
	.run = backup_run,
	.db = CLI_READ,
	.min = 1,
	.max = 1,
};
