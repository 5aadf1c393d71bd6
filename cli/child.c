/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A child of the supervisor, after exec: takes what it was handed, gives up what
 * it does not need, and becomes its service.
 *
 *	rootstock --state DIR child NAME FDS
 */
#include "cli/cmd.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "cli/config.h"
#include "cli/fds.h"
#include "cli/metrics.h"
#include "cli/origins.h"
#include "common/control.h"
#include "common/event.h"
#include "common/log.h"
#include "common/sandbox.h"
#include "dhcp/child.h"
#include "dhcp/link.h"
#include "fsd/copier.h"
#include "fsd/objects.h"
#include "nfs/child.h"
#include "tftp/child.h"

struct child {
	struct cli *cli;
	struct config config;
	struct fds fds;
	int event_fd;
	struct control_door control;
	struct origins_asker origins;
	uid_t copier_clients[2];
	const char *folders[CONFIG_LOADERS_MAX + 1];
	struct tftp_config tftp;
};

static void copier_sealed(void *ctx, uint32_t version, const struct hash *digest)
{
	const struct child *child = ctx;
	struct event event = {.kind = EVENT_SEALED, .host = version};

	hash_format(digest, event.text);
	event_send(child->event_fd, &event);
}

static int prepare_copier(struct child *child, struct why *why)
{
	return copier_clients(child->copier_clients, why);
}

static int run_copier(struct child *child)
{
	const struct copier_config config = {
		.state_dir = child->cli->state_dir,
		.listen_fd = fds_get(&child->fds, "copier"),
		.lock_fd = fds_get(&child->fds, "lock"),
		.event_fd = child->event_fd,
		.sealed = copier_sealed,
		.ctx = child,
		.control = child->control,
		.door = &child->origins.door,
		.clients = {child->copier_clients[0], child->copier_clients[1]},
	};

	origins_asker_init(&child->origins, fds_get(&child->fds, "origins"));
	return copier_child(&config);
}

/* ---- dhcp ---- */

static int prepare_dhcp(struct child *child, struct why *why)
{
	struct dhcp_config *config = &child->config.dhcp;

	config->state_dir = child->cli->state_dir;
	config->event_fd = child->event_fd;
	config->control = child->control;
	for (unsigned int i = 0; i < child->config.ninterfaces; i++) {
		struct dhcp_interface *face = &config->interfaces[config->ninterfaces];
		const char *name = child->config.interfaces[i];

		int r = dhcp_link_query(name, face, why);

		/* The supervisor has said so, and starts us over when it is back. */
		if (dhcp_link_gone(r))
			continue;
		if (r)
			return r;
		face->fds.udp = fds_get(&child->fds, "udp:%s", name);
		face->fds.pxe = fds_get(&child->fds, "pxe:%s", name);
		face->fds.raw = fds_get(&child->fds, "raw:%s", name);
		face->fds.arp = fds_get(&child->fds, "arp:%s", name);
		face->fds.icmp = fds_get(&child->fds, "icmp:%s", name);
		config->ninterfaces++;
	}
	return dhcp_config_derive(config, why);
}

static int run_dhcp(struct child *child)
{
	return dhcp_child(&child->config.dhcp) ? 1 : 0;
}

/* ---- tftp ---- */

static int prepare_tftp(struct child *child, struct why *why)
{
	const struct config *c = &child->config;
	struct tftp_config *config = &child->tftp;

	*config = (struct tftp_config){
		.state_dir = child->cli->state_dir,
		.folders = c->nloaders ? child->folders : NULL,
		.registers = c->dhcp.unknown == DHCP_UNKNOWN_BOOT,
		.server = {.event_fd = child->event_fd,
			   .port_first = c->tftp_first,
			   .port_last = c->tftp_last,
			   .single_port = c->tftp_single_port},
		.control = child->control,
	};
	for (unsigned int i = 0; i < c->nloaders; i++)
		child->folders[i] = c->loaders[i];
	for (unsigned int i = 0; i < c->ninterfaces; i++) {
		struct tftp_listen *l = &config->server.listen[config->server.nlisten];
		struct dhcp_interface face;
		int r;

		l->fd = fds_get(&child->fds, "tftp:%s", c->interfaces[i]);
		r = dhcp_link_query(c->interfaces[i], &face, why);
		if (dhcp_link_gone(r))
			continue;
		if (r)
			return r;
		l->address = face.address;
		snprintf(l->ifname, sizeof(l->ifname), "%s", c->interfaces[i]);
		config->server.nlisten++;
	}
	return 0;
}

static int run_tftp(struct child *child)
{
	return tftp_child(&child->tftp);
}

/* ---- nfs ---- */

static int run_nfs(struct child *child)
{
	const struct config *c = &child->config;
	const struct nfs_config config = {
		.state_dir = child->cli->state_dir,
		.event_fd = child->event_fd,
		.control = child->control,
		.fds = {fds_get(&child->fds, "nfs-tcp"), fds_get(&child->fds, "nfs-udp"),
			fds_get(&child->fds, "portmap-tcp"), fds_get(&child->fds, "portmap-udp")},
		.port = c->nfs_port,
		.admin = c->admin,
		.nadmin = c->nadmin,
		.reserved_port = c->reserved_port,
		.squash = c->squash,
	};

	return nfs_child(&config);
}

static int run_metrics(struct child *child)
{
	const struct metrics_config config = {
		.state_dir = child->cli->state_dir,
		.listen_fd = fds_get(&child->fds, "metrics"),
		.event_fd = child->event_fd,
	};

	return metrics_child(&config);
}

/* ---- all of them ---- */

/* What looks at the system is prepared; what serves runs in the sandbox. */
static const struct kind {
	const char *name;
	enum sandbox_child sandbox;
	int (*prepare)(struct child *child, struct why *why);
	int (*run)(struct child *child);
} kinds[] = {
	{"copier", SANDBOX_COPIER, prepare_copier, run_copier},
	{"dhcp", SANDBOX_DHCP, prepare_dhcp, run_dhcp},
	{"tftp", SANDBOX_TFTP, prepare_tftp, run_tftp},
	{"nfs", SANDBOX_NFS, NULL, run_nfs},
	{"metrics", SANDBOX_METRICS, NULL, run_metrics},
};

static const struct kind *kind_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

static int child_prepare(struct child *child, const struct kind *kind, struct why *why)
{
	int r = fds_inherit(&child->fds, child->cli->args[1], why);
	struct sandbox metrics;

	child->event_fd = fds_get(&child->fds, "events");
	child->control.fd = fds_get(&child->fds, "control");
	if (!r)
		r = sandbox_identity(SANDBOX_METRICS, &metrics, why);
	if (r)
		return r;
	child->control.metrics = metrics.uid;
	r = config_read(&child->config, fds_get(&child->fds, "config"), "config", why);
	log_set_level(child->config.log);
	if (!r && kind->prepare)
		r = kind->prepare(child, why);
	if (!r)
		r = sandbox_enter(kind->sandbox, child->cli->state_dir, child->folders, why);
	return r;
}

static int child_run(struct cli *cli)
{
	const struct kind *kind = kind_find(cli->args[0]);
	struct child child = {.cli = cli};
	char state_dir[PATH_MAX];
	struct why why = {""};
	int r;

	/* It came by /proc/self/exe, and would be called "exe". */
	prctl(PR_SET_NAME, "rootstock");
	/* A log's reader that is gone. */
	signal(SIGPIPE, SIG_IGN);
	log_init(cli->args[0], LOG_LEVEL_INFO);
	if (!kind || !realpath(cli->state_dir, state_dir)) {
		log_error("%s", kind ? strerror(errno) : "no such child");
		return 1;
	}
	cli->state_dir = state_dir; /* as it is called in the sandbox */
	config_init(&child.config);
	r = child_prepare(&child, kind, &why);
	if (r) {
		log_error("%s", why_text(&why, r));
		r = 1;
	} else if (poll(&(struct pollfd){.fd = child.event_fd}, 1, 0) == 1) {
		r = 1; /* the supervisor ended meanwhile */
	} else {
		r = kind->run(&child);
	}
	config_fini(&child.config);
	return r;
}

const struct command command_child = {
	.words = "child",
	.internal = true,
	.run = child_run,
	.min = 2,
	.max = 2,
};
