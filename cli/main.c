/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The one program: finds the command in the table and runs it.
 */
#include "cli/cmd.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/log.h"
#include "common/state.h"

#ifndef VERSION
#define VERSION "unknown"
#endif

struct command {
	const char *words; /* "image add" */
	const char *args;
	command_fn *run;
};

static const struct command commands[] = {
	{"serve", "[--config FILE] [--interface IF]...", cmd_serve},
	{"image add", "NAME SOURCE [--wait] [--strict] [--activate]", cmd_image_add},
	{"image list", "", cmd_image_list},
	{"image show", "NAME[@N]", cmd_image_show},
	{"image activate", "NAME@N", cmd_image_activate},
	{"image rollback", "NAME", cmd_image_rollback},
	{"image remove", "NAME@N", cmd_image_remove},
	{"image prune", "NAME --keep N", cmd_image_prune},
	{"image check", "[--bytes] [NAME[@N]]", cmd_image_check},
	{"host add", "MAC [--name N] [--address IP] [--image NAME[@N]] [--group G]...",
	 cmd_host_add},
	{"host set", "HOST KEY=VALUE...", cmd_host_set},
	{"host approve", "HOST", cmd_host_approve},
	{"host list", "", cmd_host_list},
	{"host show", "HOST", cmd_host_show},
	{"host remove", "HOST", cmd_host_remove},
	{"host import", "FILE", cmd_host_import},
	{"group add", "NAME", cmd_group_add},
	{"group set", "NAME KEY=VALUE...", cmd_group_set},
	{"group list", "", cmd_group_list},
	{"group show", "NAME", cmd_group_show},
	{"group remove", "NAME", cmd_group_remove},
	{"overlay put",
	 "SCOPE PATH [--from FILE] [--template] [--secret] [--next-boot] [--mode M] [--owner U:G]",
	 cmd_overlay_put},
	{"overlay link", "SCOPE PATH TARGET [--next-boot]", cmd_overlay_link},
	{"overlay mkdir", "SCOPE PATH [--mode M] [--owner U:G] [--next-boot]", cmd_overlay_mkdir},
	{"overlay hide", "SCOPE PATH [--next-boot]", cmd_overlay_hide},
	{"overlay opaque", "SCOPE PATH [--next-boot]", cmd_overlay_opaque},
	{"overlay attr", "SCOPE PATH [--mode M] [--owner U:G] [--next-boot]", cmd_overlay_attr},
	{"overlay reset", "SCOPE PATH [--next-boot]", cmd_overlay_reset},
	{"overlay list", "[SCOPE]", cmd_overlay_list},
	{"view ls", "HOST|NAME[@N] [PATH]", cmd_view_ls},
	{"view stat", "HOST|NAME[@N] PATH", cmd_view_stat},
	{"view cat", "HOST|NAME[@N] PATH", cmd_view_cat},
	{"view explain", "HOST PATH", cmd_view_explain},
	{"view diff", "HOST|NAME[@N] HOST|NAME[@N]", cmd_view_diff},
	{"view digest", "HOST|NAME[@N]", cmd_view_digest},
	{"mount", "DIR [-o OPTIONS] [--foreground]", cmd_mount},
	{"lease list", "", cmd_lease_list},
	{"boot list", "[HOST]", cmd_boot_list},
	{"boot show", "HOST", cmd_boot_show},
	{"boot plan", "HOST", cmd_boot_plan},
	{"child", NULL, cmd_child}, /* the supervisor's, not for people */
};

static const struct command *running;

int cli_fail(const char *what, const struct why *why, int r)
{
	char text[1024];

	log_escape(text, sizeof(text), what, strlen(what));
	fprintf(stderr, "rootstock: %s: %s\n", text, why_text(why, r));
	return 1;
}

int cli_usage(void)
{
	fprintf(stderr, "usage: rootstock %s %s\n", running->words, running->args);
	return 2;
}

static void usage_all(FILE *out)
{
	fputs("usage: rootstock [--state DIR] [--json] COMMAND\n\n", out);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].args)
			fprintf(out, "  %s %s\n", commands[i].words, commands[i].args);
}

int cli_args(int argc, char **argv, const struct option *options,
	     int (*handle)(void *ctx, int val, const char *value), void *ctx, int min, int max)
{
	static const struct option none[] = {{0}};
	int n;
	int o;

	optind = 0; /* glibc: start afresh, permuting */
	opterr = 0;
	/* -o is mount's, as everywhere. */
	while ((o = getopt_long(argc, argv, running->run == cmd_mount ? ":o:" : ":",
				options ? options : none, NULL)) != -1) {
		if (o == '?' || o == ':' || !handle) {
			fprintf(stderr, "rootstock: %s: %s\n", argv[optind - 1],
				o == ':' ? "needs a value" : "unknown option");
			cli_usage();
			return -1;
		}
		if (handle(ctx, o, optarg))
			return -1;
	}
	n = argc - optind;
	if (n < min || (max >= 0 && n > max)) {
		cli_usage();
		return -1;
	}
	memmove(argv + 1, argv + optind, (size_t)n * sizeof(*argv));
	return n;
}

/* Options that every command takes, wherever they stand. */
static int take_common(struct cli *cli, int *argc, char **argv)
{
	int n = 1;

	for (int i = 1; i < *argc; i++) {
		if (!strcmp(argv[i], "--")) {
			while (i < *argc)
				argv[n++] = argv[i++];
		} else if (!strcmp(argv[i], "--json")) {
			cli->json = true;
		} else if (!strncmp(argv[i], "--state=", 8)) {
			cli->state_dir = argv[i] + 8;
		} else if (!strcmp(argv[i], "--state")) {
			if (++i == *argc) {
				fputs("rootstock: --state: needs a value\n", stderr);
				return 2;
			}
			cli->state_dir = argv[i];
		} else {
			argv[n++] = argv[i];
		}
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
		return 0;
	}
	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))) {
		usage_all(stdout);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		int n = words_match(commands[i].words, argc - 1, argv + 1);

		if (!n)
			continue;
		running = &commands[i];
		r = running->run(&cli, argc - n, argv + n);
		if (fflush(stdout) && !r)
			r = cli_fail("standard output", NULL, -errno);
		return r;
	}
	if (argc > 1)
		fprintf(stderr, "rootstock: %s%s%s: unknown command\n", argv[1],
			argc > 2 ? " " : "", argc > 2 ? argv[2] : "");
	usage_all(stderr);
	return 2;
}
