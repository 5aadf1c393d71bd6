/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the files of the supervisor share, and nobody else includes.
 *
 *	serve.c           the command: sets up, runs, takes down
 *	serve_config.c    what it stands on: configuration, interfaces, sockets
 *	serve_reload.c    the same again
 *	serve_children.c  starts children, and starts them again
 *	serve_events.c    acts on what children tell
 *	serve_health.c    whether the children serve, and who hears of it
 *	serve_wires.c     follows interfaces that come and go
 *	serve_rpcbind.c   stays registered with an rpcbind
 *	serve_control.c   says how the server is
 */
#ifndef CLI_SERVE_PARTS_H
#define CLI_SERVE_PARTS_H

#include <sys/types.h>

#include "cli/cmd.h"
#include "cli/config.h"
#include "cli/fds.h"
#include "cli/origins.h"
#include "cli/wire.h"
#include "common/clock.h"
#include "common/container.h"
#include "common/control.h"
#include "common/event.h"
#include "common/log.h"
#include "common/loop.h"
#include "fsd/hot.h"
#include "fsd/objects.h"
#include "fsd/verify.h"

enum {
	SERVICE_COPIER,
	SERVICE_DHCP,
	SERVICE_TFTP,
	SERVICE_NFS,
	SERVICE_METRICS, /* where it is asked for: services_used() */
	SERVICES
};

enum {
	REGISTER_QUEUE = 256,
	LOOK_AGAIN_MS = 1000, /* for an interface that is not there yet */
};

struct service {
	struct loop_source io;	   /* our end of its event socket */
	struct loop_timer restart; /* while it runs: when it is killed, told to end */
	struct serve *serve;
	const char *name;
	struct fds fds;
	int ends[2]; /* ours, its */
	pid_t pid;   /* 0: not running */
	struct instant started;
	int64_t delay_ms;
	bool well;	       /* it has said that it serves */
	unsigned int silent;   /* looks since it said so */
	bool renewed;	       /* told to end, to start over at once */
	unsigned int restarts; /* that nobody asked for */
	int control;	       /* its control socket; stays when it dies */
};

struct serve {
	struct cli *cli;
	struct config config;
	int config_fd; /* the text, for the children */
	struct wire wires[CONFIG_INTERFACES_MAX];
	struct loop_source wires_moved;
	struct loop_timer wires_timer;
	bool unnoted; /* wires_note() found the database held */
	struct nfs_fds nfs;
	int metrics;		    /* where it is asked for metrics; -1: not at all */
	uint32_t nfs_address;	    /* 0: any */
	struct loop_source rpcbind; /* what it answers */
	struct loop_timer rpcbind_timer;
	uint32_t rpcbind_xid; /* of the last question */
	struct log_limit unregistered;
	int copier_listen;
	int copier_lock; /* -1: somebody else's, for now */
	bool copier_waits;
	struct origins *origins;
	int origins_fd;		 /* the copier's end; theirs */
	struct objects *secrets; /* ours to mark: we put most of them, and can read them */
	struct verifier *verifier;
	struct db *db;
	struct db *leases;
	struct db *trace;
	bool trace_broken;
	enum { TURN_NONE, TURN_OPEN, TURN_FAILED } turn; /* its rows for trace.db */
	/* Events by where in a boot they are: done, refused, broken off. */
	uint64_t steps[EVENT_STEPS][3];
	struct loop *loop;
	struct loop_source signals;
	struct service services[SERVICES];
	struct mac queue[REGISTER_QUEUE]; /* machines to register */
	unsigned int nqueue;
	struct loop_timer registrar;
	struct loop_timer keymaker;
	uint32_t keys_after; /* hosts up to this number have their keys, or ... */
	bool keys_missed;    /* some of them cannot have any */
	struct log_limit keyless;
	struct loop_timer trim;
	struct loop_timer pruner;
	struct log_limit unpruned;
	struct hot *hot;
	struct loop_timer hot_flush;
	bool hot_waits; /* for it */
	struct log_limit registered;
	struct log_limit crowded; /* the word that it is spent */
	struct log_limit refused; /* that one cannot be registered */
	struct log_limit lies;
	int lock; /* one server a state directory */
	bool stopping;
	struct loop_timer health;
	bool watched; /* by the service manager */
	bool all_well;
	bool ready;   /* and said so */
	bool greeted; /* for the first time */
	char status[512];
	int control_listen; /* our own */
	struct control *control;
	int64_t since; /* wall ns */
};

static inline int services_used(const struct serve *v)
{
	return *v->config.metrics ? SERVICES : SERVICE_METRICS;
}

/* ---- serve_config.c ---- */

struct footing {
	struct config config;
	int config_fd;
	struct wire wires[CONFIG_INTERFACES_MAX];
	struct nfs_fds nfs;
	uint32_t nfs_address;
	bool nfs_moved; /* `nfs` is new */
	int metrics;
	bool metrics_moved;
};

/* Read the configuration and open what it needs and `v` has not.  On failure, with words,
 * nothing has changed. */
int footing_make(struct serve *v, struct footing *out, struct why *why);
/* It takes the place of what there was, which is closed as far as it is not kept. */
void footing_take(struct serve *v, struct footing *footing);

/* ---- serve_reload.c ---- */

/* `asker` (NULL: none) is answered and gone. */
int serve_reload(struct serve *v, struct asker *asker);

/* ---- serve_children.c ---- */

/* Sockets to the children, and the timers to start them again. */
int children_init(struct serve *v);
/* All of them, the copier when its lock is free. */
void children_begin(struct serve *v);
/* SIGCHLD came. */
void children_reap(struct serve *v);
/* What children are handed when they start next has changed. */
void children_share(struct serve *v);
/* It has nothing to serve for now, and is not started. */
bool service_waits(const struct service *s);
/* It does not run, and nothing is wrong: that, or another program copies for all. */
bool service_rests(const struct service *s);
/* Start a child over, with the descriptors that there are now. */
void child_renew(struct serve *v, int service);
/* End them, patiently, then not. */
void children_stop(struct serve *v);

/* ---- serve_events.c ---- */

int events_init(struct serve *v);
/* The loop's: a child's socket is readable. */
void events_ready(struct loop_source *source, uint32_t events);

/* ---- serve_control.c ---- */

/* The control sockets of the supervisor and its children. */
int controls_open(struct serve *v, struct why *why);
int controls_begin(struct serve *v, struct why *why);
void controls_close(struct serve *v);

/* ---- serve_health.c ---- */

void health_begin(struct serve *v);
/* A child said that it serves. */
void health_heard(struct service *s);
/* One was started or died. */
void health_note(struct serve *v);
/* The configuration is read again: what it brings is being started. */
void health_reloading(struct serve *v);
void health_stopping(void);

/* ---- serve_wires.c ---- */

int wires_watch(struct serve *v);
/* Where clients will find NFS: for `boot plan`, which runs without us.  Later, where somebody
 * holds the database. */
void wires_note(struct serve *v);

/* ---- serve_rpcbind.c ---- */

int registration_watch(struct serve *v);
/* Now, and not in a while. */
void registration_look(struct serve *v);

#endif
