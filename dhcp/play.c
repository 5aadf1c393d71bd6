/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dhcp/play.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/control.h"
#include "dhcp/state.h"

enum { PLAY_SECS = 15, PROBES_MOST = 16, PLAY_FD = 3 };

/* Nothing of the service's within reach.  (System calls, for a filter that lists them:
 * prctl, dup2, close_range, alarm, rt_sigprocmask, recvfrom, sendmsg, exit_group.) */
static void let_go(int fd)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	alarm(PLAY_SECS);
	log_init("dhcp", LOG_LEVEL_NONE);
	if (dup2(fd, PLAY_FD) < 0 || close_range(PLAY_FD + 1, ~0u, 0))
		_exit(1);
}

/* Who plays is told everything: no budget of a client's has been used up by another.  What
 * others wait for is not his. */
static int forget_clients(struct dhcp_server *s)
{
	const struct log_limit fresh = {0};

	s->declines = s->faults = s->foreign = fresh;
	s->stranger_events = s->stranger_answers = s->stranger_refusals = fresh;
	s->waits = NULL;
	s->waits_end = &s->waits;
	s->nwaits = 0;
	return clients_new(&s->clients);
}

static int interface_of(const struct dhcp_config *config, const char *name)
{
	if (!*name)
		return config->ninterfaces ? 0 : -1;
	for (unsigned int i = 0; i < config->ninterfaces; i++)
		if (!strncmp(config->interfaces[i].name, name, IFNAMSIZ))
			return (int)i;
	return -1;
}

static int answer(struct dhcp_output *out)
{
	int r = 0;

	for (unsigned int i = 0; i < out->nprobes && !r; i++) {
		const struct dhcp_play_say say = {.kind = DHCP_PLAY_PROBE,
						  .address = out->probe[i].address};

		r = control_say(PLAY_FD, &say, sizeof(say), NULL, 0);
	}
	for (unsigned int i = 0; i < out->nevents && !r; i++) {
		const struct event *event = &out->event[i];
		const struct dhcp_play_say say = {.kind = DHCP_PLAY_REFUSED};

		if (event->kind == EVENT_REFUSED)
			r = control_say(PLAY_FD, &say, sizeof(say), event->text,
					strlen(event->text));
	}
	for (unsigned int i = 0; i < out->nreplies && !r; i++) {
		const struct dhcp_reply *reply = &out->reply[i];
		const struct dhcp_play_say say = {.kind = DHCP_PLAY_REPLY,
						  .source = reply->source,
						  .address = reply->address,
						  .route = reply->route};

		r = control_say(PLAY_FD, &say, sizeof(say), reply->data, reply->len);
	}
	return r ? r : control_end(PLAY_FD);
}

/* A real exchange of the same machine that is under way does not hold this one up. */
static void release_probes(struct dhcp_server *s, struct bytes packet)
{
	struct dhcp_message *m = &s->message;

	if (dhcp_message_parse(packet.at, packet.len, m))
		return;
	for (struct lease *l = leases_by_mac(s->leases, &m->mac); l; l = leases_next(l))
		l->probing = false;
}

static int play_packet(struct dhcp_server *s, const struct dhcp_config *config,
		       const struct dhcp_play_ask *ask, struct bytes data, struct dhcp_now *now,
		       struct dhcp_output *out)
{
	int interface = interface_of(config, ask->interface);
	struct dhcp_packet in = {
		.source = ask->source,
		.destination = ask->destination,
		.source_port = ask->source_port,
		.port = ask->port,
		.data = data,
	};

	if (interface < 0)
		return control_fail(PLAY_FD, -ENODEV,
				    *ask->interface ? "that interface is not served"
						    : "no interface is served");
	in.interface = (unsigned int)interface;
	now->mono = instant_add_ms(now->mono, ask->after_ms);
	now->wall_ns += ask->after_ms * NS_PER_MS;
	release_probes(s, data);
	out->nreplies = out->nprobes = out->nevents = 0;
	dhcp_server_packet(s, &in, *now, out);
	for (int i = 0; i < PROBES_MOST && s->waits && !out->nreplies; i++) {
		now->wall_ns += s->waits->due.ns - now->mono.ns;
		now->mono = s->waits->due;
		dhcp_server_tick(s, *now, out);
	}
	return answer(out);
}

void dhcp_play(struct dhcp_server *server, const struct dhcp_config *config,
	       struct dhcp_output *out, int fd)
{
	struct dhcp_now now = {instant_now(), wall_now_ns()};
	_Alignas(struct dhcp_play_ask)
		uint8_t packet[sizeof(struct dhcp_play_ask) + DHCP_RECEIVE_MAX];
	struct dhcp_play_ask ask;
	ssize_t n;

	let_go(fd);
	if (forget_clients(server))
		_exit(1);
	while ((n = recv(PLAY_FD, packet, sizeof(packet), MSG_TRUNC)) >= (ssize_t)sizeof(ask)) {
		if ((size_t)n > sizeof(packet))
			break;
		memcpy(&ask, packet, sizeof(ask));
		ask.interface[IFNAMSIZ - 1] = '\0';
		if (play_packet(server, config, &ask,
				(struct bytes){packet + sizeof(ask), (size_t)n - sizeof(ask)}, &now,
				out))
			break;
	}
	_exit(0); /* nothing of what the parent had is run down, nor flushed */
}
