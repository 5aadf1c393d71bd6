/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/pulse.h"

#include "common/container.h"
#include "common/event.h"

static void pulse_beat(struct loop_timer *timer, struct instant now)
{
	struct pulse *pulse = container(timer, struct pulse, timer);
	const struct event well = {.kind = EVENT_WELL};

	if (!pulse->well || pulse->well(pulse->ctx, now))
		event_send(pulse->event_fd, &well);
	loop_timer_set(pulse->loop, timer, instant_add_ms(now, PULSE_MS));
}

void pulse_begin(struct pulse *pulse, struct loop *loop, int event_fd)
{
	*pulse = (struct pulse){.timer.due = pulse_beat, .loop = loop, .event_fd = event_fd};
	if (event_fd >= 0)
		loop_timer_set(loop, &pulse->timer, instant_now());
}

void pulse_while(struct pulse *pulse, bool (*well)(void *ctx, struct instant now), void *ctx)
{
	pulse->well = well;
	pulse->ctx = ctx;
}
