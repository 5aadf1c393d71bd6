/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether the children serve: each says so every few seconds (common/pulse.h).  One that
 * is silent for a minute is killed, and then started again as any that dies.
 *
 * And what the service manager hears of that: READY=1 when all serve for the first time,
 * STATUS= when something changes, WATCHDOG=1 as long as all serve.  So a child that does
 * not come back ends, after the unit's WatchdogSec, in a start of the whole.
 */
#include "cli/serve_parts.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/pulse.h"

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

enum { SILENT_MAX = 60000 / PULSE_MS };

#ifdef HAVE_SYSTEMD

static void notify(const char *state)
{
	sd_notify(false, state);
}

static bool is_watched(void)
{
	return sd_watchdog_enabled(false, NULL) > 0;
}

#else

static void notify(const char *state)
{
	(void)state;
}

static bool is_watched(void)
{
	return false;
}

#endif

static bool service_well(const struct service *s)
{
	return s->pid ? s->well : service_rests(s);
}

__attribute__((format(printf, 3, 4))) static void status_add(char *out, size_t size,
							     const char *fmt, ...)
{
	size_t len = strlen(out);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(out + len, size - len, fmt, ap);
	va_end(ap);
}

/* "STATUS=serving on eth0, eth1; nfs: being started" */
static bool status_fill(const struct serve *v, char *out, size_t size)
{
	bool all = true;

	snprintf(out, size, "STATUS=serving on");
	for (unsigned int i = 0; i < v->config.ninterfaces; i++)
		status_add(out, size, "%s %s%s", i ? "," : "", v->wires[i].name,
			   v->wires[i].gone ? " (gone)" : "");
	for (int i = 0; i < services_used(v); i++) {
		if (service_well(&v->services[i]))
			continue;
		status_add(out, size, "%s %s", all ? "; being started:" : ",", v->services[i].name);
		all = false;
	}
	return all;
}

void health_note(struct serve *v)
{
	char status[sizeof(v->status)];
	bool all = status_fill(v, status, sizeof(status));

	v->all_well = all;
	if (strcmp(status, v->status) != 0) {
		memcpy(v->status, status, sizeof(status));
		notify(status);
	}
	if (all && !v->ready) {
		v->ready = true;
		notify("READY=1");
		if (!v->greeted)
			log_info("all services serve");
		v->greeted = true;
	}
}

void health_heard(struct service *s)
{
	s->silent = 0;
	if (s->well || s->renewed) /* the one before, told to end, may still say so */
		return;
	s->well = true;
	health_note(s->serve);
}

/* Counted in turns of our own loop and not in time: if we were stopped, or the machine
 * was, nobody is to blame for that. */
static void health_look(struct loop_timer *timer, struct instant now)
{
	struct serve *v = container(timer, struct serve, health);

	for (int i = 0; i < services_used(v); i++) {
		struct service *s = &v->services[i];

		if (!s->pid || ++s->silent <= SILENT_MAX)
			continue;
		log_error("%s: silent for a minute: killed", s->name);
		kill(s->pid, SIGKILL);
		s->silent = 0;
	}
	health_note(v);
	if (v->all_well && v->watched)
		notify("WATCHDOG=1");
	loop_timer_set(v->loop, timer, instant_add_ms(now, PULSE_MS));
}

void health_begin(struct serve *v)
{
	v->watched = is_watched();
	v->health.due = health_look;
	loop_timer_set(v->loop, &v->health, instant_add_ms(instant_now(), PULSE_MS));
}

void health_reloading(struct serve *v)
{
	char state[64];

	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%lld",
		 (long long)(instant_now().ns / 1000));
	notify(state);
	v->ready = false; /* said again when all serve with what was read */
	v->status[0] = '\0';
}

void health_stopping(void)
{
	notify("STOPPING=1\nSTATUS=stopping");
}
