/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dhcp/child.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/wait.h>

#include "common/container.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/pulse.h"
#include "common/schema.h"
#include "dhcp/link.h"
#include "dhcp/ping.h"
#include "dhcp/play.h"

enum {
	POLL_MS = 250,
	BATCH_MS = 3,
	COMMIT_MS = 50 /* for what no reply waits for */
};

#define QUIET_NS (2 * NS_PER_SEC)
#define LOAD_AGAIN_NS (NS_PER_SEC / 2)

struct child;

struct port {
	struct loop_source source;
	struct child *child;
	unsigned int interface;
	uint16_t port; /* 0: of probes */
	uint32_t lost;
};

struct child {
	const struct dhcp_config *config;
	struct loop *loop;
	struct db *leases;
	struct db *rootstock;
	int64_t rootstock_seen;
	int64_t leases_seen;
	struct instant load_again; /* not before */
	struct inventory *inventory;
	struct dhcp_server *server;
	struct dhcp_inbox *inbox;
	struct dhcp_output *out;
	struct port ports[4 * ARRAY_SIZE(((struct dhcp_config *)0)->interfaces)];
	unsigned int nports;
	struct ping_key ping_key;
	struct loop_source events;
	struct loop_timer deadline;
	struct loop_timer poll;
	struct pulse pulse;
	struct loop_timer commit;
	struct control *control;
	pid_t player; /* a copy of ours that plays; 0: none */
	uint64_t received;
	uint64_t replied;
	struct log_limit send_failures;
	struct log_limit commit_failures;
	struct log_limit losses;
	struct log_limit load_failures;
	bool failing;	/* the last commit failed */
	bool committed; /* since the last checkpoint */
	struct instant busy;
};

static struct dhcp_now now_both(void)
{
	return (struct dhcp_now){instant_now(), wall_now_ns()};
}

/* ---- what leaves ---- */

static void child_tell(struct child *child, const struct event *event)
{
	enum log_level level = LOG_LEVEL_DEBUG;
	const struct host *host;
	struct log_about about;
	const char *rest;
	char mac[MAC_TEXT];
	char address[IP4_TEXT + 1] = "";
	char line[256];

	if (!event->kind)
		return;
	event_send(child->config->event_fd, event);
	if (event->kind == EVENT_ACK ||
	    (event->kind == EVENT_OFFER && child->config->mode == DHCP_MODE_PROXY))
		level = LOG_LEVEL_INFO;
	else if (event->kind == EVENT_REFUSED)
		level = LOG_LEVEL_WARN;
	if (!log_wants(level))
		return;
	if (event->address) {
		address[0] = ' ';
		ip4_format(event->address, address + 1);
	}
	rest = strstr(event->text, " class=");
	if (!rest)
		rest = event->text;
	/* MAC arch=7 stage=rom 10.0.0.7 class=uefi-x64 file=...: as tftp says it */
	snprintf(line, sizeof(line), "%s %.*s%s%s", mac_format(&event->mac, mac),
		 (int)(rest - event->text), event->text, address, rest);
	host = event->host ? inventory_by_id(child->inventory, event->host) : NULL;
	about = (struct log_about){
		.mac = event->mac, .address = event->address, .host = host ? host->name : NULL};
	if (level == LOG_LEVEL_DEBUG)
		log_about(level, &about, "%s: %s", line, event_word(event->kind));
	else
		log_about(level, &about, "%s", line);
}

static void child_send(struct child *child, bool durable)
{
	const struct dhcp_config *config = child->config;
	unsigned int failed = 0;
	int err = 0;

	for (unsigned int i = 0; i < config->ninterfaces; i++)
		failed += dhcp_link_send(&config->interfaces[i], i, child->out, durable, &err);
	if (failed && log_allow(&child->send_failures, instant_now().ns, 3, 10000))
		log_warn("%u replies could not be sent: %s", failed, strerror(-err));
	for (unsigned int i = 0; i < child->out->nreplies; i++) {
		if (child->out->reply[i].durable != durable)
			continue;
		child->replied++;
		child_tell(child, &child->out->reply[i].event);
	}
}

static int child_commit(struct child *child)
{
	int r = dhcp_server_commit(child->server, now_both());

	if (r && log_allow(&child->commit_failures, instant_now().ns, 1, 10000))
		log_error("leases.db: %s: no lease is given until it can be written",
			  db_error(child->leases));
	if (!r && child->failing)
		log_info("leases.db: can be written again");
	child->failing = r != 0;
	child->committed = child->committed || !r;
	child->busy = instant_now();
	return r;
}

/* Everything that the server said: what needs no commit first, then the commit,
 * then what waited for it. */
static void child_flush(struct child *child)
{
	struct dhcp_output *out = child->out;
	bool durable = false;

	for (unsigned int i = 0; i < out->nprobes; i++) {
		const struct dhcp_probe *probe = &out->probe[i];
		const struct dhcp_interface *face = &child->config->interfaces[probe->interface];

		/* One that cannot be sent counts as silence, like one that is lost. */
		if (probe->relayed)
			ping_send(face->fds.icmp, probe->address, &child->ping_key);
		else
			dhcp_link_probe(face, probe->address);
	}
	for (unsigned int i = 0; i < out->nevents; i++)
		child_tell(child, &out->event[i]);
	for (unsigned int i = 0; i < out->nreplies; i++)
		durable = durable || out->reply[i].durable;
	child_send(child, false);
	if (durable && !child_commit(child))
		child_send(child, true);
	out->nreplies = out->nprobes = out->nevents = 0;
	if (dhcp_server_dirty(child->server) && !child->commit.loop)
		loop_timer_set(child->loop, &child->commit,
			       instant_add_ms(instant_now(), child->failing ? 1000 : COMMIT_MS));
	loop_timer_set(child->loop, &child->deadline, dhcp_server_deadline(child->server));
}

/* ---- rootstock.db ---- */

static int load_change(struct child *child, uint64_t *change)
{
	sqlite3_stmt *stmt =
		db_stmt(child->rootstock, "SELECT value FROM counter WHERE name = 'change'");
	int r = db_query(child->rootstock, stmt, "");

	if (r != DB_ROW)
		return r ? r : -EUCLEAN;
	*change = (uint64_t)sqlite3_column_int64(stmt, 0);
	sqlite3_reset(stmt);
	return 0;
}

static int child_load(struct child *child)
{
	/* Read before loading: a commit in between is then seen next time. */
	int64_t seen = db_data_version(child->rootstock);
	struct instant began = instant_now();
	struct inventory *inv;
	struct instant now;
	int64_t wait_ns;
	uint64_t change;
	int r;

	/* While hosts come one after another, reading all of them anew takes a tenth of
	 * the time; but what took long because others ran must not be old for long. */
	if (seen == child->rootstock_seen || began.ns < child->load_again.ns)
		return 0;
	r = load_change(child, &change);
	if (!r)
		r = inventory_load(child->rootstock, &inv);
	if (!r) {
		child->rootstock_seen = seen;
		dhcp_server_inventory(child->server, inv, change);
		inventory_free(child->inventory);
		child->inventory = inv;
	}
	now = instant_now();
	wait_ns = 9 * (now.ns - began.ns);
	child->load_again.ns = now.ns + (wait_ns < LOAD_AGAIN_NS ? wait_ns : LOAD_AGAIN_NS);
	return r;
}

static void child_refresh(struct child *child)
{
	if (child_load(child) && log_allow(&child->load_failures, instant_now().ns, 1, 60000))
		log_error("rootstock.db: cannot be read, serving the last state: %s",
			  db_error(child->rootstock));
}

/* ---- what comes in ---- */

static void child_count_lost(struct child *child, struct port *port, uint32_t lost)
{
	if (lost == port->lost)
		return;
	if (log_allow(&child->losses, instant_now().ns, 1, 10000))
		log_warn("%s: %u packets lost: they come faster than leases can be written",
			 child->config->interfaces[port->interface].name, lost - port->lost);
	port->lost = lost;
}

/* A batch ends when the socket is drained, after BATCH_MS, or when the output is
 * full.  What comes during its commit makes the next one: the slower the disk, the
 * larger the batches. */
static void on_packets(struct loop_source *source, uint32_t events)
{
	struct port *port = container(source, struct port, source);
	struct child *child = port->child;
	struct dhcp_packet packets[DHCP_INBOX];
	struct instant end = instant_add_ms(instant_now(), BATCH_MS);
	uint32_t lost = port->lost;
	struct dhcp_now now;
	int n;

	(void)events;
	do {
		/* An ICMP error of an earlier reply comes here too: nothing to do. */
		n = dhcp_inbox_receive(child->inbox, source->fd, port->interface, port->port,
				       packets, &lost);
		now = now_both();
		child->received += n > 0 ? (unsigned int)n : 0;
		/* Three system calls a batch: what a command has said is so for the next
		 * machine that asks. */
		if (n > 0)
			child_refresh(child);
		for (int i = 0; i < n; i++) {
			if (!dhcp_output_has_room(child->out))
				child_flush(child);
			dhcp_server_packet(child->server, &packets[i], now, child->out);
		}
	} while (n == DHCP_INBOX && now.mono.ns < end.ns && dhcp_output_has_room(child->out));
	child_count_lost(child, port, lost);
	child_flush(child);
}

static void on_arp(struct loop_source *source, uint32_t events)
{
	struct port *port = container(source, struct port, source);
	struct child *child = port->child;
	uint32_t address;
	struct mac mac;
	int r = 0;

	(void)events;
	for (unsigned int i = 0; i < DHCP_INBOX; i++) {
		r = dhcp_link_arp(source->fd, &address, &mac);
		if (!r)
			dhcp_server_taken(child->server, port->interface, address, &mac,
					  now_both());
		else if (r != -EBADMSG)
			break;
	}
	child_flush(child);
}

static void on_icmp(struct loop_source *source, uint32_t events)
{
	struct port *port = container(source, struct port, source);
	struct child *child = port->child;
	uint32_t address;
	int r = 0;

	(void)events;
	for (unsigned int i = 0; i < DHCP_INBOX && (!r || r == -EBADMSG); i++) {
		r = ping_receive(source->fd, &child->ping_key, &address);
		if (!r)
			dhcp_server_taken(child->server, port->interface, address, NULL,
					  now_both());
	}
	child_flush(child);
}

static void on_event(struct loop_source *source, uint32_t events)
{
	struct child *child = container(source, struct child, events);
	struct event event;
	int r = 0;

	(void)events;
	child_refresh(child); /* a MNT may open a boot */
	for (unsigned int i = 0; i < 256 && (!r || r == -EBADMSG); i++) {
		r = event_receive(source->fd, &event);
		if (!r)
			dhcp_server_event(child->server, &event, now_both());
	}
	if (r == -EPIPE)
		loop_stop(child->loop); /* the supervisor is gone */
	child_flush(child);
}

static void on_deadline(struct loop_timer *timer, struct instant now)
{
	struct child *child = container(timer, struct child, deadline);

	(void)now;
	dhcp_server_tick(child->server, now_both(), child->out);
	child_flush(child);
}

static void on_commit(struct loop_timer *timer, struct instant now)
{
	struct child *child = container(timer, struct child, commit);

	(void)now;
	child_commit(child);
	child_flush(child);
}

/* Fold the log into leases.db once no packet came for a while. */
static void child_checkpoint(struct child *child, struct instant now)
{
	if (!child->committed || now.ns - child->busy.ns < QUIET_NS)
		return;
	db_exec(child->leases, "PRAGMA wal_checkpoint(PASSIVE)");
	child->committed = false;
}

/* `boot end` writes its rows itself. */
static void child_reread(struct child *child)
{
	int64_t seen = db_data_version(child->leases);

	if (seen == child->leases_seen)
		return;
	if (!dhcp_server_reread(child->server, now_both()))
		child->leases_seen = seen;
	else if (log_allow(&child->load_failures, instant_now().ns, 1, 60000))
		log_error("leases.db: cannot be read: %s", db_error(child->leases));
}

/* Is a copy of ours still at play? */
static bool child_plays(struct child *child)
{
	if (child->player && waitpid(child->player, NULL, WNOHANG))
		child->player = 0;
	return child->player != 0;
}

static void on_poll(struct loop_timer *timer, struct instant now)
{
	struct child *child = container(timer, struct child, poll);

	child_refresh(child);
	child_reread(child);
	child_plays(child);
	child_flush(child);
	child_checkpoint(child, now);
	loop_timer_set(child->loop, timer, instant_add_ms(now, POLL_MS));
}

/* ---- who asks how it goes ---- */

static void count_lease(void *ctx, struct lease *lease)
{
	unsigned int *n = ctx;

	if (lease->state <= LEASE_DECLINED)
		n[lease->state]++;
}

static void child_stats(void *ctx, struct stats *stats)
{
	static const char *const state[] = {
		[LEASE_OFFERED] = "offered",
		[LEASE_BOUND] = "bound",
		[LEASE_RELEASED] = "released",
		[LEASE_DECLINED] = "declined",
	};
	static const char *const far[BOOT_FARS] = {"starting", "started", "mounted", "running"};
	const struct child *child = ctx;
	unsigned int boots[BOOT_FARS];
	unsigned int leases[ARRAY_SIZE(state)] = {0};
	uint64_t lost = 0;

	/* A packet tells of those that were lost before it: after the last there is none. */
	for (unsigned int i = 0; i < child->nports; i++)
		if (child->ports[i].port)
			lost += socket_drops(child->ports[i].source.fd);
	leases_each(dhcp_server_leases(child->server), count_lease, leases);
	stats_counter(stats, "rootstock_dhcp_packets_total", "DHCP packets received.",
		      child->received);
	stats_counter(stats, "rootstock_dhcp_replies_total", "DHCP packets sent.", child->replied);
	stats_counter(stats, "rootstock_dhcp_lost_total",
		      "DHCP packets that came faster than they were read.", lost);
	stats_gauge(stats, "rootstock_dhcp_commit_failing",
		    "1 while leases.db cannot be written, and no lease is given.", child->failing);
	stats_family(stats, "rootstock_dhcp_leases", "gauge", "Leases by state.");
	for (unsigned int i = LEASE_OFFERED; i < ARRAY_SIZE(state); i++)
		stats_sample(stats, leases[i], "state", state[i], NULL);
	boots_count(dhcp_server_boots(child->server), boots);
	stats_family(stats, "rootstock_boots", "gauge", "Open boots by how far they came.");
	for (unsigned int i = 0; i < BOOT_FARS; i++)
		stats_sample(stats, boots[i], "stage", far[i], NULL);
}

static void child_play(void *ctx, struct asker *asker, struct bytes args)
{
	struct child *child = ctx;
	struct why why = {""};
	int fd;

	(void)args;
	if (child_plays(child)) {
		why_set(&why, -EBUSY, "somebody else is playing a client now");
		asker_fail(asker, -EBUSY, &why);
		return;
	}
	child_refresh(child);
	fd = asker_take(asker);
	/* A filter of system calls must let this through: clone, wait4. */
	child->player = fork();
	if (!child->player)
		dhcp_play(child->server, child->config, child->out, fd);
	if (child->player < 0) {
		control_fail(fd, -errno, strerror(errno));
		child->player = 0;
	}
	close(fd);
}

static const struct control_verb child_verbs[] = {{"play", child_play}, {0}};

/* ---- life ---- */

static int child_add_port(struct child *child, unsigned int interface, uint16_t number, int fd,
			  void (*ready)(struct loop_source *, uint32_t))
{
	struct port *port = &child->ports[child->nports];

	if (fd < 0)
		return 0;
	*port = (struct port){
		.source = {.ready = ready, .fd = -1},
		.child = child,
		.interface = interface,
		.port = number,
	};
	child->nports++;
	return loop_add(child->loop, &port->source, fd, EPOLLIN);
}

static int child_add_ports(struct child *child)
{
	const struct dhcp_config *config = child->config;
	int r = 0;

	for (unsigned int i = 0; i < config->ninterfaces && !r; i++) {
		const struct dhcp_link_fds *fds = &config->interfaces[i].fds;

		r = child_add_port(child, i, DHCP_PORT_SERVER, fds->udp, on_packets);
		if (!r)
			r = child_add_port(child, i, DHCP_PORT_PXE, fds->pxe, on_packets);
		if (!r)
			r = child_add_port(child, i, 0, fds->arp, on_arp);
		if (!r)
			r = child_add_port(child, i, 0, fds->icmp, on_icmp);
	}
	if (!r && config->event_fd >= 0)
		r = loop_add(child->loop, &child->events, config->event_fd, EPOLLIN);
	return r;
}

static int child_start(struct child *child, struct why *why)
{
	const struct dhcp_config *config = child->config;
	int r;

	r = db_open(config->state_dir, &schema_leases, DB_CREATE, &child->leases, why);
	/* A checkpoint in the middle of a storm holds every client up for its two
	 * syncs: by itself it comes after 64 MiB only, else when it is quiet. */
	if (!r)
		r = db_exec(child->leases, "PRAGMA wal_autocheckpoint = 16384");
	if (!r)
		r = db_open(config->state_dir, &schema_rootstock, DB_READ, &child->rootstock, why);
	if (!r)
		r = dhcp_server_new(config, child->leases, now_both(), &child->server, why);
	if (r)
		return r;
	r = child_load(child);
	if (r)
		return why_set(why, r, "%s/rootstock.db: %s", config->state_dir,
			       db_error(child->rootstock));
	r = dhcp_inbox_new(&child->inbox);
	if (r)
		return r;
	if (getrandom(&child->ping_key, sizeof(child->ping_key), 0) != sizeof(child->ping_key))
		return -EIO;
	child->out = calloc(1, sizeof(*child->out));
	if (!child->out)
		return -ENOMEM;
	r = loop_new(&child->loop);
	if (!r)
		r = child_add_ports(child);
	if (r)
		return r;
	r = control_new(child->loop,
			&(struct control_config){.door = config->control,
						 .stats = child_stats,
						 .verbs = child_verbs,
						 .ctx = child},
			&child->control);
	if (r)
		return r;
	loop_timer_set(child->loop, &child->poll, instant_add_ms(instant_now(), POLL_MS));
	child_flush(child);
	pulse_begin(&child->pulse, child->loop, child->config->event_fd);
	return 0;
}

static void child_fini(struct child *child)
{
	control_free(child->control);
	loop_free(child->loop);
	free(child->out);
	dhcp_inbox_free(child->inbox);
	dhcp_server_free(child->server);
	inventory_free(child->inventory);
	db_close(child->rootstock);
	db_close(child->leases);
}

int dhcp_child(const struct dhcp_config *config)
{
	struct child child = {
		.config = config,
		.rootstock_seen = -2, /* db_data_version gives -1 at worst */
		.leases_seen = -2,
		.events = {.ready = on_event, .fd = -1},
		.deadline = {.due = on_deadline},
		.poll = {.due = on_poll},
		.commit = {.due = on_commit},
	};
	struct why why = {""};
	int r;

	r = child_start(&child, &why);
	if (r)
		log_error("dhcp: %s", why_text(&why, r));
	else
		r = loop_run(child.loop, true);
	if (child.server)
		dhcp_server_commit(child.server, now_both());
	child_fini(&child);
	return r;
}
