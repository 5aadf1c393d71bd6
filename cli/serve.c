/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The supervisor: opens every socket while it is root, makes the state directory,
 * starts the children and starts them again when they die, keeps the
 * databases open for their readers, and acts on what the children tell it.
 *
 *	children --events--> supervisor --rows--> trace.db
 *	                        |    |--registers unknown machines, notes seals
 *	                        |    +--rows--> rootstock.db
 *	                        +--mount, init, alive--> dhcp child
 */
#include "cli/serve_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/metrics.h"
#include "common/inventory.h"
#include "common/state.h"

enum { SERVING_PATIENCE_MS = 100 };

static const char *const service_names[SERVICES] = {"copier", "dhcp", "tftp", "nfs", "metrics"};

/* What a kill left half made, keys among it. */
static void tidy(const char *state_dir)
{
	static const enum store stores[] = {STORE_OBJECTS, STORE_SECRETS};

	for (size_t i = 0; i < ARRAY_SIZE(stores); i++) {
		cleanup(objects_closep) struct objects *store = NULL;

		if (!objects_open(state_dir, stores[i], true, &store, NULL))
			objects_tidy(store);
	}
}

/* Who asks waits from here on: to look through large databases takes a while. */
static int open_state(struct serve *v, struct why *why)
{
	char path[PATH_MAX];
	gid_t group;
	int r = state_make(v->cli->state_dir, &group, why);

	if (r)
		return r;
	snprintf(path, sizeof(path), "%s/serve.lock", v->cli->state_dir);
	v->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (v->lock < 0)
		return why_set(why, -errno, "%s: %m", path);
	if (flock(v->lock, LOCK_EX | LOCK_NB))
		return why_set(why, -EBUSY, "%s: another server runs on this state",
			       v->cli->state_dir);
	r = controls_open(v, why);
	if (!r)
		r = state_open(v->cli->state_dir, &v->db, why);
	if (!r)
		r = db_check(v->db, why);
	if (r)
		return r;
	tidy(v->cli->state_dir);
	return state_open_services(v->cli->state_dir, &v->leases, &v->trace, why);
}

static void on_signal(struct loop_source *source, uint32_t events)
{
	struct serve *v = container(source, struct serve, signals);
	struct signalfd_siginfo info;

	(void)events;
	while (read(source->fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			children_reap(v);
		else if (info.ssi_signo == SIGHUP)
			serve_reload(v, NULL);
		else
			loop_stop(v->loop);
	}
}

static int watch(struct serve *v)
{
	sigset_t set;
	int fd;
	int r;

	signal(SIGPIPE, SIG_IGN); /* a log's reader that is gone */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	r = loop_new(&v->loop);
	if (r)
		return r;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	v->signals.ready = on_signal;
	r = loop_add(v->loop, &v->signals, fd, EPOLLIN);
	if (!r)
		r = events_init(v);
	if (!r)
		r = origins_new(v->loop, v->db, &v->origins, &v->origins_fd);
	if (!r)
		r = children_init(v);
	return r;
}

static void greet(struct serve *v)
{
	cleanup(inventory_freep) struct inventory *inv = NULL;
	char text[IP4_TEXT];

	if (inventory_load(v->db, &inv))
		return;
	for (unsigned int i = 0; i < v->config.ninterfaces; i++)
		log_info("serving %s on %s, %s%u host%s registered", v->config.interfaces[i],
			 ip4_format(v->wires[i].face.address, text),
			 v->config.dhcp.mode == DHCP_MODE_PROXY ? "beside another DHCP server, "
								: "",
			 inventory_count(inv), inventory_count(inv) == 1 ? "" : "s");
	if (!inventory_default_version(inv))
		log_warn("no image yet: rootstock image add NAME DIR");
}

static int secrets_begin(struct serve *v, struct why *why)
{
	int r;

	r = objects_open(v->cli->state_dir, STORE_SECRETS, true, &v->secrets, why);
	if (r)
		return r;
	r = objects_hold(v->secrets, false);
	if (!r && objects_mark(v->secrets))
		log_warn("%s/secrets: no mark can be made: what a power cut does there will not"
			 " be seen",
			 v->cli->state_dir);
	objects_release(v->secrets);
	return r ? r : verifier_start(v->cli->state_dir, STORE_SECRETS, NULL, &v->verifier);
}

static int serve_run(struct serve *v, struct why *why)
{
	struct rlimit files;
	int r = watch(v);

	if (r)
		return why_set(why, r, "%s", strerror(-r));
	r = controls_begin(v, why);
	if (r)
		return r;
	r = wires_watch(v);
	if (r)
		return why_set(why, r, "netlink: %s", strerror(-r));
	r = registration_watch(v);
	if (r)
		return why_set(why, r, "a socket to rpcbind: %s", strerror(-r));
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	r = secrets_begin(v, why);
	if (r)
		return r;
	/* From here on who else writes holds up what is to be written, and not the server. */
	db_patience(v->db, SERVING_PATIENCE_MS);
	wires_note(v);
	greet(v);
	children_begin(v);
	health_begin(v);
	r = loop_run(v->loop, false);
	children_stop(v);
	return r;
}

static void serve_fini(struct serve *v)
{
	controls_close(v);
	if (v->metrics >= 0) {
		close(v->metrics);
		metrics_unlink(v->config.metrics);
	}
	for (int i = 0; i < SERVICES; i++) {
		closep(&v->services[i].ends[0]);
		closep(&v->services[i].ends[1]);
	}
	for (unsigned int i = 0; i < v->config.ninterfaces; i++)
		wire_close(&v->wires[i]);
	if (v->wires_moved.loop)
		close(v->wires_moved.fd);
	if (v->rpcbind.loop)
		close(v->rpcbind.fd);
	nfs_unregister(&v->nfs);
	nfs_fds_close(&v->nfs);
	closep(&v->copier_listen);
	closep(&v->copier_lock);
	verifier_stop(v->verifier);
	objects_close(v->secrets);
	closep(&v->lock);
	closep(&v->config_fd);
	if (v->signals.loop)
		close(v->signals.fd);
	if (v->hot && v->trace)
		hot_flush(v->hot, v->trace);
	hot_free(v->hot);
	origins_free(v->origins);
	db_close(v->trace);
	db_close(v->leases);
	db_close(v->db);
	loop_free(v->loop);
	config_fini(&v->config);
	free(v);
}

static int serve_command(struct cli *cli)
{
	struct why *why = &cli->why;
	struct footing footing;
	struct serve *v = calloc(1, sizeof(*v));
	int r = 0;

	if (!v)
		return -ENOMEM;
	v->cli = cli;
	v->config_fd = v->copier_listen = v->copier_lock = v->lock = v->control_listen =
		v->metrics = -1;
	v->nfs = NFS_FDS_NONE;
	for (int i = 0; i < SERVICES; i++)
		v->services[i] =
			(struct service){.name = service_names[i], .ends = {-1, -1}, .control = -1};
	config_init(&v->config);
	if (geteuid())
		r = why_set(why, -EPERM, "needs root: it opens ports below 1024");
	if (!r)
		r = footing_make(v, &footing, why);
	if (!r) {
		footing_take(v, &footing);
		r = open_state(v, why);
	}
	if (!r)
		r = serve_run(v, why);
	serve_fini(v);
	return r;
}

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'}, {"interface", required_argument, NULL, 'i'}, {0}};

const struct command command_serve = {
	.words = "serve",
	.usage = "[--config FILE] [--interface IF]...",
	.run = serve_command,
	.options = options,
};
