/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/serve_parts.h"

#include <unistd.h>

#include "common/sandbox.h"

#define CONTROL_NAME "serve"

static void serve_stats(void *ctx, struct stats *stats)
{
	static const char *const went[] = {"done", "refused", "broken"};
	const struct serve *v = ctx;

	stats_family(stats, "rootstock_build_info", "gauge", "The version that runs.");
	stats_sample(stats, 1, "version", VERSION, NULL);
	stats_gauge(stats, "rootstock_start_time_seconds", "When the server was started.",
		    (double)v->since / NS_PER_SEC);
	stats_family(stats, "rootstock_service_up", "gauge", "1 where the service runs.");
	for (int i = 0; i < services_used(v); i++)
		stats_sample(stats, v->services[i].pid != 0, "service", v->services[i].name, NULL);
	stats_family(stats, "rootstock_service_rests", "gauge",
		     "1 where it does not run, and need not: another program copies, or there is "
		     "no interface.");
	for (int i = 0; i < services_used(v); i++)
		stats_sample(stats, service_rests(&v->services[i]), "service", v->services[i].name,
			     NULL);
	stats_family(stats, "rootstock_service_pid", "gauge", "Its process; 0: it does not run.");
	for (int i = 0; i < services_used(v); i++)
		stats_sample(stats, v->services[i].pid, "service", v->services[i].name, NULL);
	stats_family(stats, "rootstock_service_uptime_seconds", "gauge", "Since it was started.");
	for (int i = 0; i < services_used(v); i++)
		if (v->services[i].pid)
			stats_sample(stats,
				     (double)(instant_now().ns - v->services[i].started.ns) /
					     NS_PER_SEC,
				     "service", v->services[i].name, NULL);
	stats_family(stats, "rootstock_service_restarts_total", "counter",
		     "How often it died and was started again.");
	for (int i = 0; i < services_used(v); i++)
		stats_sample(stats, v->services[i].restarts, "service", v->services[i].name, NULL);
	stats_family(stats, "rootstock_interface_up", "gauge", "1 where the interface is there.");
	for (unsigned int i = 0; i < v->config.ninterfaces; i++)
		stats_sample(stats, !v->wires[i].gone, "interface", v->wires[i].name, NULL);
	stats_family(stats, "rootstock_boot_events_total", "counter",
		     "What was told of boots, by stage and by how it went.");
	for (unsigned int step = STEP_NONE + 1; step < EVENT_STEPS; step++)
		for (unsigned int i = 0; i < ARRAY_SIZE(went); i++)
			stats_sample(stats, (double)v->steps[step][i], "stage",
				     event_step_word(step), "result", went[i], NULL);
	stats_gauge(stats, "rootstock_trace_broken", "1 while trace.db cannot be written.",
		    v->trace_broken);
}

static void on_reload(void *ctx, struct asker *asker, struct bytes args)
{
	(void)args;
	serve_reload(ctx, asker);
}

static const struct control_verb verbs[] = {{"reload", on_reload}, {NULL, NULL}};

int controls_open(struct serve *v, struct why *why)
{
	int r = control_listen(v->cli->state_dir, CONTROL_NAME, &v->control_listen, why);

	for (int i = 0; i < SERVICE_METRICS && !r; i++)
		r = control_listen(v->cli->state_dir, v->services[i].name, &v->services[i].control,
				   why);
	return r;
}

int controls_begin(struct serve *v, struct why *why)
{
	struct control_config config = {
		.door = {.fd = v->control_listen}, .stats = serve_stats, .verbs = verbs, .ctx = v};
	struct sandbox metrics;
	int r = sandbox_identity(SANDBOX_METRICS, &metrics, why);

	if (r)
		return r;
	config.door.metrics = metrics.uid;
	v->since = wall_now_ns();
	return control_new(v->loop, &config, &v->control);
}

void controls_close(struct serve *v)
{
	control_free(v->control);
	for (int i = 0; i < SERVICES; i++)
		if (v->services[i].control >= 0) {
			close(v->services[i].control);
			control_unlink(v->cli->state_dir, v->services[i].name);
		}
	if (v->control_listen >= 0) {
		close(v->control_listen);
		control_unlink(v->cli->state_dir, CONTROL_NAME);
	}
}
