/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The supervisor: opens every socket while it is root, makes the state directory,
 * starts the four children and starts them again when they die, keeps the
 * databases open for their readers, and acts on what the children tell it.
 *
 *	children --events--> supervisor --rows--> trace.db
 *	                        |    |--registers unknown machines, notes seals
 *	                        |    +--rows--> rootstock.db
 *	                        +--mount, init, alive--> dhcp child
 */
#include "cli/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "cli/config.h"
#include "cli/fds.h"
#include "cli/wire.h"
#include "common/clock.h"
#include "common/event.h"
#include "common/inventory.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/state.h"
#include "dhcp/probe.h"
#include "fsd/copier.h"
#include "fsd/host.h"
#include "fsd/hot.h"
#include "fsd/image.h"
#include "fsd/objects.h"
#include "fsd/verify.h"

#define CONFIG_DEFAULT "/etc/rootstock.conf"

enum { SERVICE_COPIER, SERVICE_DHCP, SERVICE_TFTP, SERVICE_NFS, SERVICES };

enum {
	RESTART_MIN_MS = 100,
	RESTART_MAX_MS = 10000,
	RESTART_CALM_SECS = 30, /* alive this long: the next death starts afresh */
	EVENTS_A_TURN = 256,
	REGISTER_QUEUE = 64,
	REGISTER_BURST = 2000, /* new machines at once, then one each ... */
	REGISTER_MS = 5000,
	TRACE_DAYS = 30,
	HOT_FLUSH_MS = 5000,
	PROBE_MS = 1500,
	LOOK_MS = 200,
	LOOK_AGAIN_MS = 1000
};

static const char *const service_names[SERVICES] = {"copier", "dhcp", "tftp", "nfs"};

struct service {
	struct loop_source io; /* our end of its event socket */
	struct loop_timer restart;
	struct serve *serve;
	const char *name;
	struct fds fds;
	int ends[2]; /* ours, its */
	pid_t pid;   /* 0: not running */
	struct instant started;
	int64_t delay_ms;
	bool renewed; /* told to end, to start over at once */
};

struct serve {
	struct cli *cli;
	struct config config;
	int config_fd; /* the text, for the children */
	struct wire wires[CONFIG_INTERFACES_MAX];
	struct loop_source wires_moved;
	struct loop_timer wires_timer;
	struct nfs_fds nfs;
	uint32_t nfs_address; /* 0: any */
	int copier_listen;
	int copier_lock; /* -1: somebody else's, for now */
	bool copier_waits;
	struct objects *secrets; /* ours to mark: we put most of them, and can read them */
	struct verifier *verifier;
	struct db *db;
	struct db *leases;
	struct db *trace;
	bool trace_broken;
	struct loop *loop;
	struct loop_source signals;
	struct service services[SERVICES];
	struct mac queue[REGISTER_QUEUE]; /* machines to register */
	unsigned int nqueue;
	struct loop_timer registrar;
	struct loop_timer trim;
	struct hot *hot;
	struct loop_timer hot_flush;
	bool hot_waits; /* for it */
	struct log_limit registered;
	int lock; /* one server a state directory */
	bool stopping;
};

#define container(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* ---- children ---- */

static void service_spawn(struct service *s)
{
	struct serve *v = s->serve;
	char names[FDS_MAX * 16];
	pid_t parent = getpid();
	sigset_t none;
	pid_t pid;

	if (fds_names(&s->fds, names, sizeof(names))) {
		log_error("%s: cannot be started: too many descriptors to hand over", s->name);
		return;
	}
	pid = fork();
	if (pid < 0) {
		log_error("%s: cannot be started: %m", s->name);
		loop_timer_set(v->loop, &s->restart, instant_add_ms(instant_now(), 1000));
		return;
	}
	if (!pid) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		/* No child outlives its supervisor. */
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent || fds_place(&s->fds))
			_exit(1);
		execl("/proc/self/exe", "rootstock", "--state", v->cli->state_dir, "child", s->name,
		      names, (char *)NULL);
		_exit(1);
	}
	s->pid = pid;
	s->started = instant_now();
}

/* DHCP and TFTP are of no use without any interface. */
static bool service_waits(const struct service *s)
{
	const struct serve *v = s->serve;

	if (s != &v->services[SERVICE_DHCP] && s != &v->services[SERVICE_TFTP])
		return false;
	for (unsigned int i = 0; i < v->config.ninterfaces; i++)
		if (!v->wires[i].gone)
			return false;
	return true;
}

static void copier_begin(struct serve *v);

static void service_restart(struct loop_timer *timer, struct instant now)
{
	struct service *s = container(timer, struct service, restart);

	if (service_waits(s)) {
		loop_timer_set(s->serve->loop, timer, instant_add_ms(now, LOOK_AGAIN_MS));
		return;
	}
	if (s == &s->serve->services[SERVICE_COPIER] && s->serve->copier_lock < 0)
		copier_begin(s->serve);
	else
		service_spawn(s);
}

static void service_died(struct service *s, int status)
{
	struct serve *v = s->serve;
	struct instant now = instant_now();
	char how[48];

	s->pid = 0;
	if (v->stopping)
		return;
	if (s->renewed) {
		s->renewed = false;
		service_spawn(s);
		return;
	}
	if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "killed by signal %d", WTERMSIG(status));
	else
		snprintf(how, sizeof(how), "ended with status %d", WEXITSTATUS(status));
	if (now.ns - s->started.ns > RESTART_CALM_SECS * NS_PER_SEC || !s->delay_ms)
		s->delay_ms = RESTART_MIN_MS;
	else
		s->delay_ms = s->delay_ms * 2 > RESTART_MAX_MS ? RESTART_MAX_MS : s->delay_ms * 2;
	log_error("%s: %s; starting it again in %lld ms", s->name, how, (long long)s->delay_ms);
	loop_timer_set(v->loop, &s->restart, instant_add_ms(now, s->delay_ms));
}

static void reap(struct serve *v)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < SERVICES; i++)
			if (v->services[i].pid == pid)
				service_died(&v->services[i], status);
}

/* ---- events ---- */

static void trace_told(struct serve *v, int r)
{
	if (r && !v->trace_broken)
		log_error("trace.db: %s; the timeline has a gap", db_error(v->trace));
	v->trace_broken = r != 0;
}

static void trace_write(struct serve *v, const struct event *e)
{
	static const char sql[] =
		"INSERT INTO event (at, kind, host, mac, address, bytes, ms, text)"
		" VALUES (?, ?, nullif(?, 0), ?, nullif(?, 0), ?, ?, ?)";
	int r = db_run(v->trace, sql, "iuubuius", e->at ? e->at : wall_now_ns(), e->kind, e->host,
		       (struct bytes){e->mac.octet, sizeof(e->mac.octet)}, e->address,
		       (int64_t)e->bytes, e->ms, e->text);

	trace_told(v, r);
}

/* Whose is an address, by its lease? */
static int mac_by_address(struct serve *v, uint32_t address, struct mac *mac)
{
	sqlite3_stmt *stmt = db_stmt(v->leases, "SELECT mac FROM lease WHERE address = ?");
	struct bytes b;
	int r = db_query(v->leases, stmt, "u", address);

	if (r != DB_ROW)
		return r ? r : -ENOENT;
	b = db_column_bytes(stmt, 0);
	r = b.len == sizeof(*mac) ? 0 : -EUCLEAN;
	if (!r)
		memcpy(mac, b.at, sizeof(*mac));
	sqlite3_reset(stmt);
	return r;
}

/* A machine that goes on to boot becomes a host, from its packet's own MAC. */
static void register_later(struct serve *v, const struct event *e)
{
	static const struct mac none;
	struct mac mac = e->mac;
	char text[MAC_TEXT];
	uint32_t id;

	if (v->config.dhcp.unknown != DHCP_UNKNOWN_BOOT || e->host)
		return;
	if (mac_equal(&mac, &none) && mac_by_address(v, e->address, &mac))
		return;
	if (mac.octet[0] & 1 || !host_find(v->db, mac_format(&mac, text), &id, NULL))
		return;
	for (unsigned int i = 0; i < v->nqueue; i++)
		if (mac_equal(&v->queue[i], &mac))
			return;
	if (v->nqueue == REGISTER_QUEUE)
		return; /* it asks again */
	/* MACs can be made up; keys and rows for them cannot be had without end. */
	if (!log_allow(&v->registered, instant_now().ns, REGISTER_BURST, REGISTER_MS)) {
		if (v->registered.dropped == 1)
			log_warn("%s: not registered: too many new machines at once; rootstock "
				 "host add %s does it by hand",
				 text, text);
		return;
	}
	v->queue[v->nqueue++] = mac;
	loop_timer_set(v->loop, &v->registrar, instant_now());
}

/* One a turn: making a key takes ten milliseconds. */
static void register_next(struct loop_timer *timer, struct instant now)
{
	struct serve *v = container(timer, struct serve, registrar);
	struct host_spec spec = {.mac = v->queue[0]};
	struct why why = {""};
	char text[MAC_TEXT];
	bool has_keys;
	uint32_t id;
	int r;

	if (!v->nqueue)
		return;
	v->nqueue--;
	memmove(v->queue, v->queue + 1, v->nqueue * sizeof(v->queue[0]));
	r = host_add(v->db, v->cli->state_dir, &spec, &id, &has_keys, &why);
	mac_format(&spec.mac, text);
	if (r)
		log_error("%s: cannot be registered: %s", text, why_text(&why, r));
	else
		log_info("%s: registered as a new host%s", text,
			 has_keys ? "" : ", without an SSH host key: no ssh-keygen here");
	if (v->nqueue)
		loop_timer_set(v->loop, timer, now);
}

static void seal_note(struct serve *v, const struct event *e)
{
	struct hash digest = {{0}};

	for (int i = 0; i < HASH_LEN; i++) {
		unsigned int byte;

		if (sscanf(e->text + 2 * i, "%2x", &byte) != 1)
			return;
		digest.octet[i] = (uint8_t)byte;
	}
	if (image_sealed(v->db, e->host, &digest))
		log_error("version %u: its seal cannot be noted: %s", e->host, db_error(v->db));
}

/* ---- first reads ---- */

static void hot_write(struct loop_timer *timer, struct instant now)
{
	struct serve *v = container(timer, struct serve, hot_flush);

	(void)now;
	v->hot_waits = false;
	trace_told(v, hot_flush(v->hot, v->trace));
}

static void hot_take(struct serve *v, const struct event *e)
{
	uint32_t list[EVENT_READS_MAX];
	bool full = false;

	memcpy(list, e->text, sizeof(list));
	for (uint32_t i = 0; i < EVENT_READS_MAX && list[i]; i++)
		full |= hot_note(v->hot, (uint32_t)e->bytes, list[i], e->ms + i);
	if (full || !v->hot_waits)
		loop_timer_set(v->loop, &v->hot_flush,
			       instant_add_ms(instant_now(), full ? 0 : HOT_FLUSH_MS));
	v->hot_waits = true;
}

/* The timeline is for looking at lately; once a day what is older goes. */
static void trace_trim(struct loop_timer *timer, struct instant now)
{
	struct serve *v = container(timer, struct serve, trim);

	db_run(v->trace, "DELETE FROM event WHERE at < ?", "i",
	       wall_now_ns() - TRACE_DAYS * 86400 * NS_PER_SEC);
	hot_trim(v->trace, v->db);
	loop_timer_set(v->loop, timer, instant_add_ms(now, INT64_C(86400000)));
}

static void event_act(struct serve *v, const struct service *from, const struct event *e)
{
	switch (e->kind) {
	case EVENT_SEALED:
		if (from == &v->services[SERVICE_COPIER])
			seal_note(v, e);
		return;
	case EVENT_READS:
		if (from == &v->services[SERVICE_NFS])
			hot_take(v, e);
		return;
	/* Only from whom it can come: a child that was taken over must not register
	 * machines in another's name. */
	case EVENT_MOUNT:
		if (from == &v->services[SERVICE_NFS])
			register_later(v, e);
		break;
	case EVENT_LOADER:
		if (from == &v->services[SERVICE_TFTP])
			register_later(v, e);
		break;
	case EVENT_UNKNOWN:
		if (from == &v->services[SERVICE_NFS] || from == &v->services[SERVICE_TFTP])
			register_later(v, e);
		break;
	default:
		break;
	}
	if (from == &v->services[SERVICE_NFS] &&
	    (e->kind == EVENT_MOUNT || e->kind == EVENT_INIT || e->kind == EVENT_ALIVE))
		event_send(v->services[SERVICE_DHCP].ends[0], e);
	if (e->kind != EVENT_ALIVE)
		trace_write(v, e);
}

static void on_events(struct loop_source *source, uint32_t events)
{
	struct service *s = container(source, struct service, io);
	struct serve *v = s->serve;
	struct event e;

	(void)events;
	/* One transaction a turn. */
	db_begin(v->trace);
	for (int i = 0; i < EVENTS_A_TURN; i++) {
		int r = event_receive(source->fd, &e);

		if (r == -EBADMSG)
			continue;
		if (r)
			break;
		event_act(v, s, &e);
	}
	db_commit(v->trace);
}

/* ---- setting up ---- */

static int load_config(struct serve *v, const char *file, bool must, struct why *why)
{
	cleanup(closep) int fd = open(file, O_RDONLY | O_CLOEXEC);
	unsigned int given = v->config.ninterfaces;
	char line[64];
	int r;

	if (fd < 0 && (must || errno != ENOENT))
		return why_set(why, -errno, "%s: %m", file);
	v->config_fd = memfd_create("rootstock.conf", MFD_CLOEXEC);
	if (v->config_fd < 0)
		return -errno;
	if (fd >= 0) {
		char chunk[4096];
		ssize_t n;

		r = config_read(&v->config, fd, file, why);
		if (r)
			return r;
		lseek(fd, 0, SEEK_SET);
		while ((n = read(fd, chunk, sizeof(chunk))) > 0)
			if (write(v->config_fd, chunk, (size_t)n) != n)
				return -EIO;
	}
	/* The command line's interfaces are one more line of the same text. */
	if (given && dprintf(v->config_fd, "\n[server]\n") < 0)
		return -errno;
	for (unsigned int i = 0; i < given; i++) {
		snprintf(line, sizeof(line), "interface = %s\n", v->config.interfaces[i]);
		if (write(v->config_fd, line, strlen(line)) < 0)
			return -errno;
	}
	if (!v->config.ninterfaces)
		return why_set(why, -EINVAL, "no interface: name one in %s or by --interface",
			       file);
	return 0;
}

static int find_interfaces(struct serve *v, struct why *why)
{
	struct config *c = &v->config;

	for (unsigned int i = 0; i < c->ninterfaces; i++) {
		int r = wire_find(&v->wires[i], c->interfaces[i], why);

		if (r)
			return r;
		c->dhcp.interfaces[c->dhcp.ninterfaces++] = v->wires[i].face;
	}
	return dhcp_config_derive(&c->dhcp, why);
}

/* Two servers that both give addresses give one address twice. */
static int look_around(struct serve *v, struct why *why)
{
	for (unsigned int i = 0; i < v->config.ninterfaces && !v->config.mode_given; i++) {
		char text[IP4_TEXT];
		uint32_t other;
		int r = dhcp_probe_server(&v->wires[i].face, PROBE_MS, &other, why);

		if (r)
			return r;
		if (other)
			return why_set(why, -EEXIST,
				       "%s: %s answers DHCP there already: set mode = proxy to "
				       "serve beside it, or mode = full to serve all the same",
				       v->config.interfaces[i], ip4_format(other, text));
	}
	return 0;
}

/* What needs root and may be taken: before anything is made. */
static int open_sockets(struct serve *v, struct why *why)
{
	int r = 0;

	for (unsigned int i = 0; !r && i < v->config.ninterfaces; i++)
		r = wire_open(&v->wires[i], why);
	/* With one interface NFS answers there alone. */
	v->nfs_address = v->config.ninterfaces == 1 ? v->wires[0].face.address : 0;
	if (!r)
		r = nfs_listen(v->nfs_address, v->config.nfs_port, &v->nfs, why);
	return r;
}

/* What a kill left half made, keys among it. */
static void tidy(const char *state_dir)
{
	static const char *const names[] = {"objects", "secrets"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup(objects_closep) struct objects *store = NULL;
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/%s", state_dir, names[i]);
		if (!objects_open(path, true, 0700, &store, NULL))
			objects_tidy(store);
	}
}

static int open_state(struct serve *v, struct why *why)
{
	char path[PATH_MAX];
	int r = state_open(v->cli->state_dir, &v->db, why);

	if (r)
		return r;
	snprintf(path, sizeof(path), "%s/serve.lock", v->cli->state_dir);
	v->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (v->lock < 0)
		return why_set(why, -errno, "%s: %m", path);
	if (flock(v->lock, LOCK_EX | LOCK_NB))
		return why_set(why, -EBUSY, "%s: another server runs on this state",
			       v->cli->state_dir);
	tidy(v->cli->state_dir);
	if (!r)
		r = state_open_services(v->cli->state_dir, &v->leases, &v->trace, why);
	return r;
}

/* A mount or a command that copies for itself has the lock: it answers our children
 * too, until it ends and the place is free. */
static void copier_begin(struct serve *v)
{
	struct service *s = &v->services[SERVICE_COPIER];
	struct why why = {""};
	int r = copier_listen(v->cli->state_dir, &v->copier_listen, &v->copier_lock, &why);

	if (r) {
		if (!v->copier_waits)
			log_info("copier: waiting: %s", why_text(&why, r));
		v->copier_waits = true;
		loop_timer_set(v->loop, &s->restart, instant_add_ms(instant_now(), 1000));
		return;
	}
	v->copier_waits = false;
	fds_add(&s->fds, v->copier_listen, "copier");
	fds_add(&s->fds, v->copier_lock, "lock");
	service_spawn(s);
}

/* What a child gets when it starts next. */
static void share_fds(struct serve *v, int service)
{
	struct fds *fds = &v->services[service].fds;

	fds->n = 0;
	fds_add(fds, v->services[service].ends[1], "events");
	fds_add(fds, v->config_fd, "config");
	for (unsigned int i = 0; i < v->config.ninterfaces; i++) {
		const struct wire *w = &v->wires[i];

		if (service == SERVICE_DHCP) {
			fds_add(fds, w->face.fds.udp, "udp:%s", w->name);
			fds_add(fds, w->face.fds.pxe, "pxe:%s", w->name);
			fds_add(fds, w->face.fds.raw, "raw:%s", w->name);
			fds_add(fds, w->face.fds.arp, "arp:%s", w->name);
			fds_add(fds, w->face.fds.icmp, "icmp:%s", w->name);
		}
		if (service == SERVICE_TFTP)
			fds_add(fds, w->tftp, "tftp:%s", w->name);
	}
	if (service == SERVICE_NFS) {
		fds_add(fds, v->nfs.tcp, "nfs-tcp");
		fds_add(fds, v->nfs.udp, "nfs-udp");
		fds_add(fds, v->nfs.portmap_tcp, "portmap-tcp");
		fds_add(fds, v->nfs.portmap_udp, "portmap-udp");
	}
}

/* ---- interfaces that come and go ---- */

/* Start a child over, with other descriptors. */
static void service_renew(struct serve *v, int service)
{
	struct service *s = &v->services[service];

	share_fds(v, service);
	s->renewed = s->pid != 0;
	if (s->pid)
		kill(s->pid, SIGTERM);
}

/* NFS hangs on the address of a single interface. */
static int nfs_follow(struct serve *v, struct why *why)
{
	uint32_t address = v->config.ninterfaces == 1 ? v->wires[0].face.address : 0;
	struct nfs_fds fds;
	int r;

	if (address == v->nfs_address)
		return 0;
	r = nfs_listen(address, v->config.nfs_port, &fds, why);
	if (r)
		return r;
	nfs_unregister(&v->nfs);
	nfs_fds_close(&v->nfs);
	v->nfs = fds;
	v->nfs_address = address;
	service_renew(v, SERVICE_NFS);
	return 0;
}

static void note_address(struct serve *v);

static void wires_look(struct loop_timer *timer, struct instant now)
{
	struct serve *v = container(timer, struct serve, wires_timer);
	struct why why = {""};
	bool again = false;
	bool moved = false;

	for (unsigned int i = 0; i < v->config.ninterfaces; i++) {
		enum wire_change change = wire_look(&v->wires[i]);

		again |= change == WIRE_AGAIN;
		moved |= change == WIRE_NEW;
	}
	if (moved) {
		service_renew(v, SERVICE_DHCP);
		service_renew(v, SERVICE_TFTP);
		if (nfs_follow(v, &why))
			log_error("nfs: %s", why.text);
		note_address(v);
	}
	if (again)
		loop_timer_set(v->loop, timer, instant_add_ms(now, LOOK_AGAIN_MS));
}

static void on_wires(struct loop_source *source, uint32_t events)
{
	struct serve *v = container(source, struct serve, wires_moved);

	(void)events;
	wires_drain(source->fd);
	/* Links come up in several steps: one look for all. */
	loop_timer_set(v->loop, &v->wires_timer, instant_add_ms(instant_now(), LOOK_MS));
}

static int wires_watch(struct serve *v)
{
	int fd;
	int r = wires_open(&fd);

	if (r)
		return r;
	v->wires_moved.ready = on_wires;
	v->wires_timer.due = wires_look;
	return loop_add(v->loop, &v->wires_moved, fd, EPOLLIN);
}

static void on_signal(struct loop_source *source, uint32_t events)
{
	struct serve *v = container(source, struct serve, signals);
	struct signalfd_siginfo info;

	(void)events;
	while (read(source->fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(v);
		else
			loop_stop(v->loop);
	}
}

static int watch(struct serve *v)
{
	sigset_t set;
	int fd;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	r = loop_new(&v->loop);
	if (r)
		return r;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	v->signals.ready = on_signal;
	r = loop_add(v->loop, &v->signals, fd, EPOLLIN);
	v->registrar.due = register_next;
	v->trim.due = trace_trim;
	v->hot_flush.due = hot_write;
	if (!r)
		r = hot_new(&v->hot);
	loop_timer_set(v->loop, &v->trim, instant_now());
	for (int i = 0; i < SERVICES && !r; i++) {
		struct service *s = &v->services[i];

		s->io.ready = on_events;
		s->restart.due = service_restart;
		s->serve = v;
		s->name = service_names[i];
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s->ends))
			return -errno;
		r = loop_add(v->loop, &s->io, s->ends[0], EPOLLIN);
	}
	return r;
}

/* End the children, patiently, then not. */
static void stop_all(struct serve *v)
{
	v->stopping = true;
	for (int i = 0; i < SERVICES; i++)
		if (v->services[i].pid)
			kill(v->services[i].pid, SIGTERM);
	for (int tries = 0; tries < 100; tries++) {
		const struct timespec tick = {.tv_nsec = 50 * NS_PER_MS};
		bool any = false;

		reap(v);
		for (int i = 0; i < SERVICES; i++)
			any |= v->services[i].pid != 0;
		if (!any)
			return;
		nanosleep(&tick, NULL);
	}
	for (int i = 0; i < SERVICES; i++)
		if (v->services[i].pid) {
			log_warn("%s: does not end: killed", v->services[i].name);
			kill(v->services[i].pid, SIGKILL);
		}
}

/* Where clients will find NFS: for `boot plan`, which runs without us. */
static void note_address(struct serve *v)
{
	char text[IP4_TEXT];

	ip4_format(v->wires[0].face.address, text);
	if (db_run(v->db,
		   "INSERT INTO site (key, value) VALUES ('server', ?)"
		   " ON CONFLICT DO UPDATE SET value = excluded.value"
		   " WHERE value <> excluded.value",
		   "s", text))
		log_warn("rootstock.db: %s", db_error(v->db));
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
	char path[PATH_MAX];
	int r;

	snprintf(path, sizeof(path), "%s/secrets", v->cli->state_dir);
	r = objects_open(path, true, 0700, &v->secrets, why);
	if (!r)
		r = objects_hold(v->secrets, false);
	if (!r && objects_mark(v->secrets))
		log_warn("%s: no mark can be made: what a power cut does there will not be seen",
			 path);
	objects_release(v->secrets);
	return r ? r : verifier_start(v->cli->state_dir, "secrets", &v->verifier);
}

static int serve_run(struct serve *v, struct why *why)
{
	struct rlimit files;
	int r = watch(v);

	if (r)
		return why_set(why, r, "%s", strerror(-r));
	for (int i = 0; i < SERVICES; i++)
		share_fds(v, i);
	r = wires_watch(v);
	if (r)
		return why_set(why, r, "netlink: %s", strerror(-r));
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	r = secrets_begin(v, why);
	if (r)
		return r;
	note_address(v);
	greet(v);
	copier_begin(v);
	for (int i = SERVICE_COPIER + 1; i < SERVICES; i++)
		service_spawn(&v->services[i]);
	r = loop_run(v->loop, false);
	stop_all(v);
	return r;
}

static void serve_fini(struct serve *v)
{
	for (int i = 0; i < SERVICES; i++) {
		closep(&v->services[i].ends[0]);
		closep(&v->services[i].ends[1]);
	}
	for (unsigned int i = 0; i < v->config.ninterfaces; i++)
		wire_close(&v->wires[i]);
	if (v->wires_moved.loop)
		close(v->wires_moved.fd);
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
	db_close(v->trace);
	db_close(v->leases);
	db_close(v->db);
	loop_free(v->loop);
	config_fini(&v->config);
	free(v);
}

static int serve_command(struct cli *cli)
{
	const char *file = cli_option(cli, 'c');
	struct why *why = &cli->why;
	struct serve *v = calloc(1, sizeof(*v));
	int r = 0;

	if (!v)
		return -ENOMEM;
	v->cli = cli;
	v->config_fd = v->copier_listen = v->copier_lock = v->lock = -1;
	v->nfs = NFS_FDS_NONE;
	for (unsigned int i = 0; i < CONFIG_INTERFACES_MAX; i++)
		v->wires[i] = (struct wire){.face.fds = DHCP_LINK_FDS_NONE, .tftp = -1};
	for (int i = 0; i < SERVICES; i++)
		v->services[i].ends[0] = v->services[i].ends[1] = -1;
	config_init(&v->config);
	for (unsigned int i = 0; !r && i < cli->ngiven; i++)
		if (cli->given[i].val == 'i')
			r = config_add_interface(&v->config, cli->given[i].value, why);
	if (!r && geteuid())
		r = why_set(why, -EPERM, "needs root: it opens ports below 1024");
	if (!r)
		r = load_config(v, file ? file : CONFIG_DEFAULT, file != NULL, why);
	if (!r)
		r = find_interfaces(v, why);
	if (!r)
		r = look_around(v, why);
	if (!r)
		r = open_sockets(v, why);
	if (!r)
		r = open_state(v, why);
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
