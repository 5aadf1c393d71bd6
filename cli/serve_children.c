/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/serve_parts.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fsd/copier.h"

enum {
	RESTART_MIN_MS = 100,
	RESTART_MAX_MS = 10000,
	RESTART_CALM_SECS = 30, /* alive this long: the next death starts afresh */
	RENEW_MS = 5000,	/* to end in, so that another can take its place */
};

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
	s->well = false;
	s->silent = 0;
	s->started = instant_now();
}

static bool service_is_used(const struct service *s)
{
	return s - s->serve->services < services_used(s->serve);
}

/* DHCP and TFTP are of no use without any interface. */
bool service_waits(const struct service *s)
{
	const struct serve *v = s->serve;

	if (s != &v->services[SERVICE_DHCP] && s != &v->services[SERVICE_TFTP])
		return false;
	for (unsigned int i = 0; i < v->config.ninterfaces; i++)
		if (!v->wires[i].gone)
			return false;
	return true;
}

bool service_rests(const struct service *s)
{
	const struct serve *v = s->serve;

	return !s->pid &&
	       ((s == &v->services[SERVICE_COPIER] && v->copier_waits) || service_waits(s));
}

/* What a child gets when it starts next. */
static void share_fds(struct serve *v, int service)
{
	struct fds *fds = &v->services[service].fds;

	fds->n = 0;
	fds_add(fds, v->services[service].ends[1], "events");
	fds_add(fds, v->config_fd, "config");
	fds_add(fds, v->services[service].control, "control");
	if (service == SERVICE_METRICS)
		fds_add(fds, v->metrics, "metrics");
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
	if (service == SERVICE_COPIER) {
		fds_add(fds, v->copier_listen, "copier");
		fds_add(fds, v->copier_lock, "lock");
		fds_add(fds, v->origins_fd, "origins");
	}
	if (service == SERVICE_NFS) {
		fds_add(fds, v->nfs.tcp, "nfs-tcp");
		fds_add(fds, v->nfs.udp, "nfs-udp");
		fds_add(fds, v->nfs.portmap_tcp, "portmap-tcp");
		fds_add(fds, v->nfs.portmap_udp, "portmap-udp");
	}
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
	share_fds(v, SERVICE_COPIER);
	service_spawn(s);
}

static void service_restart(struct loop_timer *timer, struct instant now)
{
	struct service *s = container(timer, struct service, restart);

	if (s->pid) { /* what was there before a reload must not stay for ever */
		log_warn("%s: does not end: killed", s->name);
		kill(s->pid, SIGKILL);
		return;
	}
	if (!service_is_used(s))
		return;
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
	s->well = false;
	loop_timer_clear(&s->restart);
	if (v->stopping || !service_is_used(s)) {
		s->renewed = false;
		return;
	}
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
	s->restarts++;
	log_error("%s: %s; starting it again in %lld ms", s->name, how, (long long)s->delay_ms);
	loop_timer_set(v->loop, &s->restart, instant_add_ms(now, s->delay_ms));
	health_note(v);
}

void children_reap(struct serve *v)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < SERVICES; i++)
			if (v->services[i].pid == pid)
				service_died(&v->services[i], status);
}

int children_init(struct serve *v)
{
	int r = 0;

	for (int i = 0; i < SERVICES && !r; i++) {
		struct service *s = &v->services[i];

		s->io.ready = events_ready;
		s->restart.due = service_restart;
		s->serve = v;
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s->ends))
			return -errno;
		r = loop_add(v->loop, &s->io, s->ends[0], EPOLLIN);
	}
	return r;
}

void children_share(struct serve *v)
{
	for (int i = 0; i < services_used(v); i++)
		share_fds(v, i);
}

void children_begin(struct serve *v)
{
	children_share(v);
	copier_begin(v);
	for (int i = SERVICE_COPIER + 1; i < services_used(v); i++)
		service_spawn(&v->services[i]);
}

void child_renew(struct serve *v, int service)
{
	struct service *s = &v->services[service];

	share_fds(v, service);
	s->renewed = s->pid != 0;
	s->well = false;
	if (s->pid) {
		kill(s->pid, SIGTERM);
		loop_timer_set(v->loop, &s->restart, instant_add_ms(instant_now(), RENEW_MS));
	} else if (service == SERVICE_METRICS && service_is_used(s) && !s->restart.loop) {
		service_spawn(s); /* a reload asks for it */
	}
}

void children_stop(struct serve *v)
{
	v->stopping = true;
	health_stopping();
	for (int i = 0; i < SERVICES; i++)
		if (v->services[i].pid)
			kill(v->services[i].pid, SIGTERM);
	for (int tries = 0; tries < 100; tries++) {
		const struct timespec tick = {.tv_nsec = 50 * NS_PER_MS};
		bool any = false;

		children_reap(v);
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
