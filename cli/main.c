/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The one program: finds the command, takes its arguments, opens the database that it
 * wants, runs it, and says why it failed.
 */
#include "cli/cmd.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/schema.h"
#include "common/state.h"

#ifndef VERSION
#define VERSION "unknown"
#endif

const struct command *const cli_commands[] = {
	&command_serve,
	&command_image_add,
	&command_image_list,
	&command_image_show,
	&command_image_activate,
	&command_image_rollback,
	&command_image_remove,
	&command_image_prune,
	&command_image_check,
	&command_host_add,
	&command_host_set,
	&command_host_approve,
	&command_host_list,
	&command_host_show,
	&command_host_remove,
	&command_host_import,
	&command_all_set,
	&command_all_show,
	&command_group_add,
	&command_group_set,
	&command_group_list,
	&command_group_show,
	&command_group_remove,
	&command_overlay_put,
	&command_overlay_link,
	&command_overlay_mkdir,
	&command_overlay_hide,
	&command_overlay_opaque,
	&command_overlay_attr,
	&command_overlay_reset,
	&command_overlay_list,
	&command_view_ls,
	&command_view_stat,
	&command_view_cat,
	&command_view_explain,
	&command_view_diff,
	&command_view_digest,
	&command_mount,
	&command_lease_list,
	&command_boot_list,
	&command_boot_show,
	&command_boot_plan,
	&command_boot_end,
	&command_export,
	&command_import,
	&command_backup,
	&command_doctor,
	&command_status,
	&command_reload,
	&command_child,
	&command_complete,
	NULL,
};

const char *const cli_common[] = {"--state", "--log", "--json", NULL};

static void usage_line(FILE *out, const char *before, const struct command *c)
{
	fprintf(out, "%s%s%s%s\n", before, c->words, c->usage ? " " : "", c->usage ? c->usage : "");
}

static void usage_all(FILE *out)
{
	fputs("usage: rootstock [--state DIR] [--log LEVEL] [--json] COMMAND\n\n", out);
	for (const struct command *const *c = cli_commands; *c; c++)
		if (!(*c)->internal)
			usage_line(out, "  ", *c);
}

int cli_usage(const struct cli *cli)
{
	usage_line(stderr, "usage: rootstock ", cli->command);
	return 2;
}

static int say(const struct cli *cli, int r)
{
	fprintf(stderr, "rootstock: %s: %s\n", cli->command->words, why_text(&cli->why, r));
	return 1;
}

/* --NAME VALUE or --NAME=VALUE at argv[*i], which then is at the value: 1, with it in
 * *value; 0: another word; -EINVAL, having said why. */
static int take_value(const char *name, char **argv, int *i, const char **value)
{
	size_t len = strlen(name);

	if (strncmp(argv[*i], name, len) != 0)
		return 0;
	if (argv[*i][len] == '=') {
		*value = argv[*i] + len + 1;
		return 1;
	}
	if (argv[*i][len])
		return 0;
	if (!argv[*i + 1]) {
		fprintf(stderr, "rootstock: %s: needs a value\n", name);
		return -EINVAL;
	}
	*value = argv[++*i];
	return 1;
}

/* Options that every command takes, wherever they stand. */
static int take_common(struct cli *cli, int *argc, char **argv)
{
	enum log_level level;
	int n = 1;

	for (int i = 1; i < *argc; i++) {
		const char *log = NULL;
		char *word = argv[i];
		int r;

		if (!strcmp(word, "--")) {
			while (i < *argc)
				argv[n++] = argv[i++];
			break;
		}
		if (!strcmp(word, "--json")) {
			cli->json = true;
			continue;
		}
		r = take_value("--state", argv, &i, &cli->state_dir);
		if (!r)
			r = take_value("--log", argv, &i, &log);
		if (r < 0)
			return 2;
		if (!r)
			argv[n++] = word;
		if (!log)
			continue;
		if (log_level_parse(log, &level)) {
			fprintf(stderr,
				"rootstock: --log: %s: not one of error, warn, info, debug\n", log);
			return 2;
		}
		log_set_level(level);
		cli->log = log;
	}
	argv[n] = NULL;
	*argc = n;
	return 0;
}

/* How many of the arguments are the command's words; 0: none of them. */
static int words_match(const char *words, int argc, char **argv)
{
	const char *space = strchr(words, ' ');
	size_t first = space ? (size_t)(space - words) : strlen(words);

	if (argc < 1 || strlen(argv[0]) != first || strncmp(argv[0], words, first))
		return 0;
	if (!space)
		return 1;
	return argc >= 2 && !strcmp(argv[1], space + 1) ? 2 : 0;
}

/* Why getopt_long() returned `o`; `word` is the last one that it was done with. */
static void say_refused(int o, const char *word)
{
	bool valued = !strncmp(word, "--", 2) && strchr(word, '=');

	if (o == '?' && optopt && !valued) /* a letter, perhaps among others */
		fprintf(stderr, "rootstock: -%c: unknown option\n", optopt);
	else
		fprintf(stderr, "rootstock: %s: %s\n", word,
			o == ':'   ? "needs a value"
			: o != '?' ? "too many options"
			: optopt   ? "takes no value"
				   : "unknown option");
}

/* Positional arguments and options into `cli`.  Returns 0, or 2 having said why. */
static int take_args(struct cli *cli, int argc, char **argv)
{
	static const struct option none[] = {{0}};
	const struct command *c = cli->command;
	char shorts[16];
	int o;

	snprintf(shorts, sizeof(shorts), ":%s", c->shorts ? c->shorts : "");
	optind = 0; /* glibc: start afresh, permuting */
	opterr = 0;
	while ((o = getopt_long(argc, argv, shorts, c->options ? c->options : none, NULL)) != -1) {
		if (o == '?' || o == ':' || cli->ngiven == CLI_GIVEN_MAX) {
			say_refused(o, argv[optind - 1]);
			return cli_usage(cli);
		}
		cli->given[cli->ngiven++] = (struct given){o, optarg};
	}
	cli->args = argv + optind;
	cli->nargs = argc - optind;
	if (cli->nargs < c->min || (c->max != CLI_ANY && cli->nargs > c->max))
		return cli_usage(cli);
	return 0;
}

static int open_db(struct cli *cli)
{
	char path[PATH_MAX];

	if (cli->command->db == CLI_NO_DB)
		return 0;
	if (cli->command->db == CLI_WRITE)
		return state_open(cli->state_dir, &cli->db, &cli->why);
	snprintf(path, sizeof(path), "%s/%s", cli->state_dir, schema_rootstock.name);
	if (access(path, F_OK) && errno == ENOENT)
		return why_set(&cli->why, -ENOENT,
			       "%s: nothing here yet: add an image or a host first",
			       cli->state_dir);
	/* A reader of a WAL database needs a living writer, or the right to be one. */
	return db_open(cli->state_dir, &schema_rootstock, geteuid() ? DB_READ : DB_WRITE, &cli->db,
		       &cli->why);
}

/* argv[0] is the last of the command's words. */
static int run(struct cli *cli, int argc, char **argv)
{
	int r = take_args(cli, argc, argv);

	if (r)
		return r;
	if (cli->command->check)
		r = cli->command->check(cli);
	if (!r)
		r = open_db(cli);
	if (!r)
		r = cli->command->run(cli);
	if (r >= 0 && fflush(stdout))
		r = why_set(&cli->why, -errno, "standard output: %m");
	if (r < 0)
		r = say(cli, r);
	db_close(cli->db);
	return r;
}

static int written(void)
{
	if (!fflush(stdout))
		return 0;
	perror("rootstock: standard output");
	return 1;
}

int main(int argc, char **argv)
{
	struct cli cli = {.state_dir = getenv("ROOTSTOCK_STATE")};
	char real[PATH_MAX];
	int r;

	log_init("rootstock", LOG_LEVEL_INFO);
	/* What is made is for the services' group and for nobody else, whatever the
	 * caller's shell says. */
	umask(027);
	r = take_common(&cli, &argc, argv);
	if (r)
		return r;
	if (!cli.state_dir || !cli.state_dir[0])
		cli.state_dir = STATE_DEFAULT;
	/* SQLite refuses a path with a link in it; a person may well have one. */
	if (realpath(cli.state_dir, real))
		cli.state_dir = real;
	if (argc > 1 && !strcmp(argv[1], "--version")) {
		puts("rootstock " VERSION);
		return written();
	}
	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))) {
		usage_all(stdout);
		return written();
	}
	for (const struct command *const *c = cli_commands; *c; c++) {
		int n = words_match((*c)->words, argc - 1, argv + 1);

		if (!n)
			continue;
		cli.command = *c;
		return run(&cli, argc - n, argv + n);
	}
	if (argc > 1)
		fprintf(stderr, "rootstock: %s%s%s: unknown command\n", argv[1],
			argc > 2 ? " " : "", argc > 2 ? argv[2] : "");
	usage_all(stderr);
	return 2;
}
