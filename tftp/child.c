/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tftp/child.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/container.h"
#include "common/directory.h"
#include "common/log.h"
#include "common/pulse.h"
#include "tftp/namespace.h"
#include "tftp/play.h"

enum { POLL_MS = 100, OPEN_FILES = 256 };

struct child {
	const struct tftp_config *config;
	struct loop *loop;
	struct loaders *loaders;
	struct directory *directory;
	struct views *views;
	struct contents *contents;
	struct namespace *namespace;
	struct tftp_server *server;
	struct loop_source content_source;
	struct loop_timer poll;
	struct pulse pulse;
	struct control *control;
	struct tftp_stage_set plays;
};

static void on_contents(struct loop_source *source, uint32_t events)
{
	struct child *c = container(source, struct child, content_source);

	(void)events;
	contents_dispatch(c->contents);
}

static void on_poll(struct loop_timer *timer, struct instant now)
{
	struct child *c = container(timer, struct child, poll);

	directory_poll(c->directory);
	views_poll(c->views);
	loop_timer_set(c->loop, timer, instant_add_ms(now, POLL_MS));
}

/* A socket a transfer: as many descriptors as the system grants. */
static void raise_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int open_state(struct child *c, const char *state_dir, struct why *why)
{
	int r;

	if (!state_dir)
		return 0;
	r = directory_open(state_dir, &c->directory, why);
	if (!r)
		r = views_open(state_dir, &c->views, why);
	if (!r)
		r = contents_new(state_dir, OPEN_FILES, &c->contents, why);
	if (r)
		return r;
	c->content_source.ready = on_contents;
	c->poll.due = on_poll;
	loop_timer_set(c->loop, &c->poll, instant_add_ms(instant_now(), POLL_MS));
	return loop_add(c->loop, &c->content_source, contents_fd(c->contents), EPOLLIN);
}

static void child_stats(void *ctx, struct stats *stats)
{
	const struct child *c = ctx;
	const struct tftp_counts *n = tftp_server_counts(c->server);
	uint64_t drops = 0;

	stats_gauge(stats, "rootstock_tftp_transfers_active", "TFTP transfers under way.",
		    tftp_server_sessions(c->server));
	stats_family(stats, "rootstock_tftp_transfers_total", "counter",
		     "TFTP requests that have ended, by how.");
	stats_sample(stats, (double)n->sent, "result", "sent", NULL);
	stats_sample(stats, (double)n->refused, "result", "refused", NULL);
	stats_sample(stats, (double)n->stopped, "result", "stopped", NULL);
	stats_counter(stats, "rootstock_tftp_bytes_total", "Bytes of files sent whole by TFTP.",
		      n->bytes);
	stats_counter(stats, "rootstock_tftp_retransmits_total",
		      "Packets of TFTP that were sent more than once.", n->again);
	for (unsigned int i = 0; i < c->config->server.nlisten; i++)
		drops += socket_drops(c->config->server.listen[i].fd);
	stats_counter(stats, "rootstock_tftp_requests_dropped_total",
		      "Requests for which the sockets had no room.", drops);
}

static void child_fetch(void *ctx, struct asker *asker, struct bytes args)
{
	const struct child *c = ctx;

	tftp_play(&c->plays, asker, args);
}

static const struct control_verb child_verbs[] = {{"fetch", child_fetch}, {0}};

static int child_open(struct child *c, const struct tftp_config *config, struct why *why)
{
	struct namespace_config nc;
	int r;

	r = loop_new(&c->loop);
	if (!r)
		r = loaders_new(config->folders, &c->loaders, why);
	if (!r)
		r = open_state(c, config->state_dir, why);
	if (r)
		return r;
	nc = (struct namespace_config){.loaders = c->loaders,
				       .directory = c->directory,
				       .views = c->views,
				       .contents = c->contents,
				       .registers = config->registers};
	c->plays = (struct tftp_stage_set){c->loop, config->state_dir, nc};
	r = namespace_new(&nc, &c->namespace);
	if (!r)
		r = tftp_server_new(c->loop, namespace_tree(c->namespace), &config->server,
				    &c->server);
	if (!r)
		r = control_new(
			c->loop,
			&(struct control_config){.door = config->control,
						 .stats = child_stats,
						 .verbs = config->state_dir ? child_verbs : NULL,
						 .ctx = c},
			&c->control);
	return r;
}

static void child_close(struct child *c)
{
	control_free(c->control);
	tftp_server_free(c->server);
	namespace_free(c->namespace);
	contents_free(c->contents);
	views_close(c->views);
	directory_close(c->directory);
	loaders_free(c->loaders);
	loop_free(c->loop);
}

int tftp_child(const struct tftp_config *config)
{
	struct child c = {.config = config, .content_source.fd = -1};
	struct why why = {0};
	int r;

	raise_files();
	r = child_open(&c, config, &why);
	if (r) {
		log_error("cannot start: %s", why_text(&why, r));
	} else {
		pulse_begin(&c.pulse, c.loop, config->server.event_fd);
		r = loop_run(c.loop, true);
	}
	child_close(&c);
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
