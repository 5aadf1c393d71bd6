/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A plain folder, served by the real server: for tests and measurements without a
 * state directory.
 *
 *	tftp-driver [-a ADDRESS] [-p PORT] [-r FIRST:LAST] [-1] [-q] FOLDER
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/log.h"
#include "tftp/loader.h"
#include "tftp/name.h"
#include "tftp/server.h"

struct folder {
	struct tftp_tree tree;
	struct loaders *loaders;
};

static int folder_open(struct tftp_tree *tree, const struct tftp_ask *ask, struct tftp_wait *wait,
		       struct tftp_answer *answer, struct tftp_file **file)
{
	struct folder *f = (struct folder *)tree;
	char name[TFTP_NAME_MAX];
	const char *what = "no such file";
	struct loader loader;
	int r;

	(void)wait;
	*answer = (struct tftp_answer){.stage = TFTP_STAGE_FILE, .code = TFTP_ACCESS};
	if (!tftp_name_clean(ask->name, ask->name_len, name, &what)) {
		r = loader_open(f->loaders, name, &loader, file);
		if (r != LOADER_NONE && r != -EACCES)
			return r;
		if (r == LOADER_NONE)
			answer->code = TFTP_NOT_FOUND;
		else
			what = "outside the served tree, or not a plain file";
	}
	why_set(&answer->why, 0, "%s", what);
	return TFTP_TREE_REFUSED;
}

static int usage(void)
{
	fputs("usage: tftp-driver [-a ADDRESS] [-p PORT] [-r FIRST:LAST] [-1] [-q] FOLDER\n",
	      stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct rlimit files;
	const char *folders[2] = {NULL, NULL};
	struct folder folder = {.tree = {.open = folder_open}};
	cleanup(loop_freep) struct loop *loop = NULL;
	cleanup(tftp_server_freep) struct tftp_server *server = NULL;
	struct tftp_server_config config = {
		.nlisten = 1, .sessions = 4000, .per_address = 4000, .event_fd = -1};
	enum log_level level = LOG_LEVEL_DEBUG;
	struct why why = {0};
	unsigned int port = TFTP_PORT;
	unsigned int first;
	unsigned int last;
	int c;
	int r;

	while ((c = getopt(argc, argv, "a:p:r:1q")) != -1)
		switch (c) {
		case 'a':
			if (ip4_parse(optarg, &config.listen[0].address))
				return usage();
			break;
		case 'p':
			port = (unsigned int)atoi(optarg);
			break;
		case 'r':
			if (sscanf(optarg, "%u:%u", &first, &last) != 2)
				return usage();
			config.port_first = (uint16_t)first;
			config.port_last = (uint16_t)last;
			break;
		case '1':
			config.single_port = true;
			break;
		case 'q':
			level = LOG_LEVEL_WARN;
			break;
		default:
			return usage();
		}
	if (optind + 1 != argc)
		return usage();
	folders[0] = argv[optind];
	log_init("driver", level);
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	r = loop_new(&loop);
	if (!r)
		r = loaders_new(folders, &folder.loaders, &why);
	if (!r)
		r = tftp_listen(config.listen[0].address, (uint16_t)port, NULL,
				&config.listen[0].fd, &why);
	if (!r)
		r = tftp_server_new(loop, &folder.tree, &config, &server);
	if (!r)
		r = loop_run(loop, true);
	if (r)
		fprintf(stderr, "tftp-driver: %s\n", why_text(&why, r));
	tftp_server_free(server);
	server = NULL;
	loaders_free(folder.loaders);
	return r ? 1 : 0;
}
