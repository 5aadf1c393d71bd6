/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/metrics.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <microhttpd.h>

#include "common/cleanup.h"
#include "common/container.h"
#include "common/control.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/pulse.h"
#include "common/sandbox.h"
#include "common/stats.h"

enum {
	ASK_MS = 2000, /* a service that hangs must not hold up the others' figures for long */
	CLIENTS = 8,
	CLIENTS_MAX = 2 * CLIENTS, /* with those that are being let go */
	CLIENT_SECS = 10,
	CLIENT_MEMORY = 16 << 10,
	BACKLOG = 8,
};

/* ---- where ---- */

/* Returns 0 with *sin of an address, 1 for a path, or -EINVAL. */
static int where_parse(const char *where, struct sockaddr_in *sin, struct why *why)
{
	const char *colon = strrchr(where, ':');
	char address[INET_ADDRSTRLEN];
	char *end;
	unsigned long port;

	if (*where == '/')
		return strlen(where) < sizeof(((struct sockaddr_un *)0)->sun_path)
			       ? 1
			       : why_set(why, -EINVAL, "%s: too long for a socket's path", where);
	*sin = (struct sockaddr_in){.sin_family = AF_INET};
	if (!colon || (size_t)(colon - where) >= sizeof(address))
		return why_set(why, -EINVAL, "%s: not ADDRESS:PORT, nor the path of a socket",
			       where);
	memcpy(address, where, (size_t)(colon - where));
	address[colon - where] = '\0';
	port = strtoul(colon + 1, &end, 10);
	if (end == colon + 1 || *end || colon[1] < '0' || colon[1] > '9' || !port || port > 65535 ||
	    inet_pton(AF_INET, address, &sin->sin_addr) != 1)
		return why_set(why, -EINVAL, "%s: not ADDRESS:PORT, nor the path of a socket",
			       where);
	/* It is neither encrypted nor asks who is there. */
	if (ntohl(sin->sin_addr.s_addr) >> 24 != 127)
		return why_set(why, -EINVAL, "%s: not an address of the loopback network", where);
	sin->sin_port = htons((uint16_t)port);
	return 0;
}

int metrics_parse(const char *where, struct why *why)
{
	struct sockaddr_in sin;
	int r = where_parse(where, &sin, why);

	return r < 0 ? r : 0;
}

static int listen_path(const char *path, struct why *why)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct sandbox sandbox;
	struct stat st;
	int fd;

	/* Left by one that was killed; whatever is no socket is not ours. */
	if (!lstat(path, &st) && S_ISSOCK(st.st_mode))
		unlink(path);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	fd = sandbox_identity(SANDBOX_METRICS, &sandbox, why);
	if (fd)
		return fd;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) || chmod(path, 0660) ||
	    chown(path, 0, sandbox.gid) || listen(fd, BACKLOG)) {
		why_set(why, 0, "metrics: %s: %m", path);
		closep(&fd);
		return -EIO;
	}
	return fd;
}

static int listen_port(const struct sockaddr_in *sin, const char *where, struct why *why)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (const struct sockaddr *)sin, sizeof(*sin)) || listen(fd, BACKLOG)) {
		why_set(why, 0, "metrics: %s: %m", where);
		closep(&fd);
		return -EIO;
	}
	return fd;
}

int metrics_listen(const char *where, int *out, struct why *why)
{
	struct sockaddr_in sin;
	int r = where_parse(where, &sin, why);

	if (r >= 0)
		r = r ? listen_path(where, why) : listen_port(&sin, where, why);
	if (r < 0)
		return r;
	*out = r;
	return 0;
}

void metrics_unlink(const char *where)
{
	if (*where == '/')
		unlink(where);
}

/* ---- the child ---- */

struct metrics {
	const struct metrics_config *config;
	struct loop *loop;
	struct loop_source io;
	struct loop_timer timer;
	struct MHD_Daemon *daemon;
	struct MHD_Connection *clients[CLIENTS_MAX]; /* by their age, the oldest first */
	unsigned int nclients;
};

/* All of it; the caller's. */
static int gather(const struct metrics *m, char **text, size_t *len)
{
	static const char *const names[] = {"serve", "copier", "dhcp", "tftp", "nfs"};
	bool answered[ARRAY_SIZE(names)];
	cleanup(freep) char *own = NULL;
	struct stats *stats;
	size_t own_len;
	FILE *out = open_memstream(text, len);
	int r;

	if (!out)
		return -ENOMEM;
	for (unsigned int i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup(freep) char *answer = NULL;
		size_t n;

		answered[i] = !control_ask(m->config->state_dir, names[i], "stats", ASK_MS, &answer,
					   &n, NULL);
		if (answered[i])
			fwrite(answer, 1, n, out);
	}
	r = stats_new(&stats);
	if (!r) {
		stats_family(stats, "rootstock_metrics_answered", "gauge",
			     "1 where the process said its figures, 0 where it was silent.");
		for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
			stats_sample(stats, answered[i], "process", names[i], NULL);
		r = stats_finish(stats, &own, &own_len);
	}
	if (!r)
		fwrite(own, 1, own_len, out);
	if (fclose(out) && !r)
		r = -ENOMEM;
	if (r)
		free(*text);
	return r;
}

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned int status,
			     const char *type, char *text, size_t len,
			     enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(len, text, mode);
	enum MHD_Result r = MHD_NO;

	if (!response) {
		if (mode == MHD_RESPMEM_MUST_FREE)
			free(text);
		return MHD_NO;
	}
	if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type) == MHD_YES)
		r = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return r;
}

static enum MHD_Result reply_words(struct MHD_Connection *connection, unsigned int status,
				   const char *words)
{
	return reply(connection, status, "text/plain", (char *)(uintptr_t)words, strlen(words),
		     MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *body,
				  size_t *body_len, void **seen)
{
	static int begun;
	char *text;
	size_t len;

	(void)version;
	(void)body;
	if (!*seen) { /* the head alone; the answer is for the second call */
		*seen = &begun;
		return MHD_YES;
	}
	if (*body_len) {
		*body_len = 0;
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) && strcmp(method, MHD_HTTP_METHOD_HEAD))
		return reply_words(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET alone\n");
	if (strcmp(url, "/metrics"))
		return reply_words(connection, MHD_HTTP_NOT_FOUND, "see /metrics\n");
	if (gather(ctx, &text, &len))
		return reply_words(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory\n");
	return reply(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", text, len,
		     MHD_RESPMEM_MUST_FREE);
}

/* Who sends his request a byte at a time is never idle, and would keep his place for ever:
 * when another comes, the oldest has had his time. */
static void on_client(void *ctx, struct MHD_Connection *client, void **own,
		      enum MHD_ConnectionNotificationCode code)
{
	const union MHD_ConnectionInfo *info;
	struct metrics *m = ctx;
	unsigned int i = 0;

	(void)own;
	if (code == MHD_CONNECTION_NOTIFY_STARTED && m->nclients < CLIENTS_MAX) {
		m->clients[m->nclients++] = client;
		if (m->nclients <= CLIENTS)
			return;
		info = MHD_get_connection_info(m->clients[m->nclients - CLIENTS - 1],
					       MHD_CONNECTION_INFO_CONNECTION_FD);
		if (info)
			shutdown(info->connect_fd, SHUT_RDWR);
		return;
	}
	while (i < m->nclients && m->clients[i] != client)
		i++;
	if (i == m->nclients)
		return;
	m->nclients--;
	memmove(&m->clients[i], &m->clients[i + 1], (m->nclients - i) * sizeof(m->clients[0]));
}

static void run(struct metrics *m)
{
	MHD_UNSIGNED_LONG_LONG ms;

	MHD_run(m->daemon);
	if (MHD_get_timeout(m->daemon, &ms) == MHD_YES)
		loop_timer_set(m->loop, &m->timer, instant_add_ms(instant_now(), (int64_t)ms));
	else
		loop_timer_clear(&m->timer);
}

static void on_ready(struct loop_source *source, uint32_t events)
{
	(void)events;
	run(container(source, struct metrics, io));
}

static void on_timer(struct loop_timer *timer, struct instant now)
{
	(void)now;
	run(container(timer, struct metrics, timer));
}

static int start(struct metrics *m)
{
	const union MHD_DaemonInfo *info;

	m->daemon = MHD_start_daemon(
		MHD_USE_EPOLL, 0, NULL, NULL, on_request, m, MHD_OPTION_LISTEN_SOCKET,
		m->config->listen_fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned int)CLIENTS_MAX,
		MHD_OPTION_NOTIFY_CONNECTION, on_client, m, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned int)CLIENT_SECS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)CLIENT_MEMORY, MHD_OPTION_END);
	if (!m->daemon)
		return -EIO;
	info = MHD_get_daemon_info(m->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return -EIO;
	return loop_add(m->loop, &m->io, info->epoll_fd, EPOLLIN);
}

int metrics_child(const struct metrics_config *config)
{
	struct metrics m = {
		.config = config,
		.io = {.ready = on_ready, .fd = -1},
		.timer = {.due = on_timer},
	};
	struct pulse pulse;
	int r;

	r = config->listen_fd < 0 ? -EBADF : loop_new(&m.loop);
	if (!r)
		r = start(&m);
	if (r) {
		log_error("cannot start: %s", strerror(-r));
	} else {
		pulse_begin(&pulse, m.loop, config->event_fd);
		r = loop_run(m.loop, true);
	}
	if (m.io.loop)
		loop_remove(&m.io);
	if (m.daemon)
		MHD_stop_daemon(m.daemon);
	loop_free(m.loop);
	return r ? 1 : 0;
}
