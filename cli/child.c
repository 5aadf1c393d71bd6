/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A child of the supervisor, after exec: takes what it was handed, gives up what
 * it does not need, and becomes its service.
 *
 *	rootstock --state DIR child NAME FDS
 */
#include "cli/cmd.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "cli/config.h"
#include "cli/fds.h"
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
};

static void copier_sealed(void *ctx, uint32_t version, const struct hash *digest)
{
	const struct child *child = ctx;
	struct event event = {.kind = EVENT_SEALED, .host = version};

	hash_format(digest, event.text);
	event_send(child->event_fd, &event);
}

static int run_copier(struct child *child)
{
	const struct copier_config config = {
		.state_dir = child->cli->state_dir,
		.listen_fd = fds_get(&child->fds, "copier"),
		.lock_fd = fds_get(&child->fds, "lock"),
		.sealed = copier_sealed,
		.ctx = child,
		.control = child->control,
	};

	return copier_child(&config);
}

static int run_dhcp(struct child *child)
{
	struct dhcp_config *config = &child->config.dhcp;
	struct why why = {""};

	config->state_dir = child->cli->state_dir;
	config->event_fd = child->event_fd;
	config->control = child->control;
	for (unsigned int i = 0; i < child->config.ninterfaces; i++) {
		struct dhcp_interface *face = &config->interfaces[config->ninterfaces];
		const char *name = child->config.interfaces[i];

		/* One that is gone for now; the supervisor has said so, and starts us over
		 * when it is back. */
		if (dhcp_link_query(name, face, &why))
			continue;
		face->fds.udp = fds_get(&child->fds, "udp:%s", name);
		face->fds.pxe = fds_get(&child->fds, "pxe:%s", name);
		face->fds.raw = fds_get(&child->fds, "raw:%s", name);
		face->fds.arp = fds_get(&child->fds, "arp:%s", name);
		face->fds.icmp = fds_get(&child->fds, "icmp:%s", name);
		config->ninterfaces++;
	}
	if (dhcp_config_derive(config, &why)) {
		log_error("%s", why.text);
		return 1;
	}
	return dhcp_child(config) ? 1 : 0;
}

static int run_tftp(struct child *child)
{
	const struct config *c = &child->config;
	const char *folders[CONFIG_LOADERS_MAX + 1] = {NULL};
	struct tftp_config config = {
		.state_dir = child->cli->state_dir,
		.folders = c->nloaders ? folders : NULL,
		.server = {.event_fd = child->event_fd,
			   .port_first = c->tftp_first,
			   .port_last = c->tftp_last,
			   .single_port = c->tftp_single_port},
		.control = child->control,
	};

	for (unsigned int i = 0; i < c->nloaders; i++)
		folders[i] = c->loaders[i];
	for (unsigned int i = 0; i < c->ninterfaces; i++) {
		struct tftp_listen *l = &config.server.listen[config.server.nlisten];
		struct dhcp_interface face;

		l->fd = fds_get(&child->fds, "tftp:%s", c->interfaces[i]);
		if (dhcp_link_query(c->interfaces[i], &face, NULL))
			continue;
		l->address = face.address;
		snprintf(l->ifname, sizeof(l->ifname), "%s", c->interfaces[i]);
		config.server.nlisten++;
	}
	return tftp_child(&config);
}

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
		.require_reserved_port = c->reserved_port,
		.squash = c->squash,
	};

	return nfs_child(&config);
}

static int child_run(struct cli *cli)
{
	static const struct {
		const char *name;
		enum sandbox_child sandbox;
		int (*run)(struct child *child);
	} kinds[] = {
		{"copier", SANDBOX_COPIER, run_copier},
		{"dhcp", SANDBOX_DHCP, run_dhcp},
		{"tftp", SANDBOX_TFTP, run_tftp},
		{"nfs", SANDBOX_NFS, run_nfs},
	};
	struct child child = {.cli = cli};
	struct sandbox sandbox;
	const char *name = cli->args[0];
	struct why why = {""};
	int r;

	log_init(name, LOG_LEVEL_INFO);
	config_init(&child.config);
	r = fds_inherit(&child.fds, cli->args[1], &why);
	child.event_fd = fds_get(&child.fds, "events");
	child.control.fd = fds_get(&child.fds, "control");
	if (!r)
		r = config_read(&child.config, fds_get(&child.fds, "config"), "config", &why);
	log_set_level(child.config.log);
	for (size_t i = 0; !r && i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(kinds[i].name, name))
			continue;
		sandbox_identity(kinds[i].sandbox, &sandbox);
		r = sandbox_enter(&sandbox);
		if (r) {
			why_set(&why, r, "cannot give up root: %s", strerror(-r));
			break;
		}
		/* Another user now, so the wish to end with the supervisor has to be said
		 * again; it may have ended meanwhile. */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (poll(&(struct pollfd){.fd = child.event_fd}, 1, 0) == 1) {
			config_fini(&child.config);
			return 1;
		}
		r = kinds[i].run(&child);
		config_fini(&child.config);
		return r;
	}
	log_error("%s", r ? why_text(&why, r) : "no such child");
	config_fini(&child.config);
	return 1;
}

const struct command command_child = {
	.words = "child",
	.internal = true,
	.run = child_run,
	.min = 2,
	.max = 2,
};
