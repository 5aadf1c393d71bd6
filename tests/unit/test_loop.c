/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/unit.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "common/container.h"
#include "common/event.h"
#include "common/loop.h"
#include "common/pulse.h"

/* Somebody with work for many turns, and those who want theirs. */
struct busy {
	struct loop_timer timer;
	struct loop *loop;
	unsigned int turns;
	int fd; /* becomes readable with the first */
};

static void busy_due(struct loop_timer *timer, struct instant now)
{
	struct busy *b = container(timer, struct busy, timer);

	if (b->fd >= 0 && !b->turns)
		assert_int_equal(eventfd_write(b->fd, 1), 0);
	usleep(100);
	if (++b->turns < 1000)
		loop_timer_set(b->loop, timer, now);
	else
		loop_stop(b->loop);
}

static void ready_stops(struct loop_source *source, uint32_t events)
{
	(void)events;
	loop_stop(source->loop);
}

static void due_stops(struct loop_timer *timer, struct instant now)
{
	(void)now;
	loop_stop((container(timer, struct busy, timer))->loop);
}

static void who_is_busy_takes_turns_with_a_descriptor(void **state)
{
	struct busy busy = {.timer.due = busy_due, .fd = eventfd(0, EFD_CLOEXEC)};
	struct loop_source source = {.ready = ready_stops, .fd = -1};
	struct loop *loop;

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	busy.loop = loop;
	assert_int_equal(loop_add(loop, &source, busy.fd, EPOLLIN), 0);
	loop_timer_set(loop, &busy.timer, instant_now());
	assert_int_equal(loop_run(loop, false), 0);
	assert_int_equal(busy.turns, 1);
	loop_remove(&source);
	loop_free(loop);
	close(busy.fd);
}

static void who_is_busy_takes_turns_with_a_timer(void **state)
{
	struct busy busy = {.timer.due = busy_due, .fd = -1};
	struct busy other = {.timer.due = due_stops};
	struct loop *loop;

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	busy.loop = other.loop = loop;
	loop_timer_set(loop, &busy.timer, instant_now());
	loop_timer_set(loop, &other.timer, instant_add_ms(instant_now(), 2));
	assert_int_equal(loop_run(loop, false), 0);
	assert_true(busy.turns < 1000);
	loop_free(loop);
}

static void set_again_by_another_it_fires_next_turn(void **state)
{
	struct busy busy = {.timer.due = busy_due, .turns = 998, .fd = -1};
	struct loop *loop;

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	busy.loop = loop;
	loop_timer_set(loop, &busy.timer, (struct instant){0});
	assert_int_equal(loop_run(loop, false), 0);
	assert_int_equal(busy.turns, 1000);
	loop_free(loop);
}

static bool is_well(void *ctx, struct instant now)
{
	(void)now;
	return *(bool *)ctx;
}

static void a_pulse_beats_while_its_work_goes_on(void **state)
{
	for (int well = 0; well < 2; well++) {
		struct busy stop = {.timer.due = due_stops};
		struct pulse pulse;
		struct event event;
		bool is = well;
		int pair[2];

		(void)state;
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
		assert_int_equal(loop_new(&stop.loop), 0);
		pulse_begin(&pulse, stop.loop, pair[0]);
		pulse_while(&pulse, is_well, &is);
		loop_timer_set(stop.loop, &stop.timer, instant_add_ms(instant_now(), 20));
		assert_int_equal(loop_run(stop.loop, false), 0);
		assert_int_equal(event_receive(pair[1], &event), well ? 0 : -EAGAIN);
		loop_free(stop.loop);
		close(pair[0]);
		close(pair[1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_busy_takes_turns_with_a_descriptor),
		cmocka_unit_test(who_is_busy_takes_turns_with_a_timer),
		cmocka_unit_test(set_again_by_another_it_fires_next_turn),
		cmocka_unit_test(a_pulse_beats_while_its_work_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
