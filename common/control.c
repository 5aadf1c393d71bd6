/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/control.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/container.h"
#include "common/control_parts.h"

enum {
	OUT_MAX = 8 << 20, /* what an asker has not taken yet */
	LOOK_MS = 1000,
	IDLE_MS = 10000,
	METRICS_ASKERS = CONTROL_ASKERS / 4,
};

struct packet {
	struct packet *next;
	size_t len;
	char data[];
};

struct asker {
	struct loop_source io;
	struct control *control;
	struct asker *next;
	bool all;    /* may ask for all, not for "stats" alone */
	bool asking; /* a request is being answered */
	bool dead;   /* to be let go when the answer has ended */
	int given;
	void (*gone)(void *own);
	void *own;
	struct packet *out;
	struct packet **out_end;
	size_t out_len;
	struct instant moved;
};

struct control {
	struct control_config config;
	struct loop *loop;
	struct loop_source listener;
	struct loop_timer look;
	struct asker *askers;
	unsigned int naskers;
	bool deaf; /* out of descriptors, until the next look */
};

static struct asker *asker_of(struct loop_source *source)
{
	return container(source, struct asker, io);
}

/* ---- the socket ---- */

int control_address(const char *state_dir, const char *name, struct sockaddr_un *out,
		    struct why *why)
{
	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (snprintf(out->sun_path, sizeof(out->sun_path), "%s/control/%s", state_dir, name) >=
	    (int)sizeof(out->sun_path))
		return why_set(why, -ENAMETOOLONG, "%s: too long for a socket's path", state_dir);
	return 0;
}

/* The folder of the sockets, for root and the services' group, which is the state
 * directory's. */
static int folder_make(const char *state_dir, gid_t *gid, struct why *why)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s/control", state_dir);
	if (stat(state_dir, &st))
		return why_set(why, -errno, "%s: %m", state_dir);
	if (mkdir(path, 0750) && errno != EEXIST)
		return why_set(why, -errno, "%s: %m", path);
	if (chmod(path, 0750) || (geteuid() == 0 && chown(path, 0, st.st_gid)))
		return why_set(why, -errno, "%s: %m", path);
	*gid = st.st_gid;
	return 0;
}

int control_listen(const char *state_dir, const char *name, int *out, struct why *why)
{
	cleanup(closep) int fd = -1;
	struct sockaddr_un addr;
	gid_t gid = 0;
	int r = folder_make(state_dir, &gid, why);

	if (!r)
		r = control_address(state_dir, name, &addr, why);
	if (r)
		return r;
	if (unlink(addr.sun_path) && errno != ENOENT)
		return why_set(why, -errno, "%s: %m", addr.sun_path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    chmod(addr.sun_path, 0660) || (geteuid() == 0 && chown(addr.sun_path, 0, gid)) ||
	    listen(fd, CONTROL_ASKERS))
		return why_set(why, -errno, "%s: %m", addr.sun_path);
	*out = take_fd(&fd);
	return 0;
}

void control_unlink(const char *state_dir, const char *name)
{
	struct sockaddr_un addr;

	if (!control_address(state_dir, name, &addr, NULL))
		unlink(addr.sun_path);
}

/* ---- an asker ---- */

/* Out of the list and the loop; its descriptor stays open. */
static int asker_drop(struct asker *asker)
{
	struct control *c = asker->control;
	int fd = asker->io.fd;

	for (struct asker **p = &c->askers; *p; p = &(*p)->next)
		if (*p == asker) {
			*p = asker->next;
			break;
		}
	c->naskers--;
	loop_remove(&asker->io);
	closep(&asker->given);
	while (asker->out) {
		struct packet *gone = asker->out;

		asker->out = gone->next;
		free(gone);
	}
	free(asker);
	return fd;
}

static void asker_close(struct asker *asker)
{
	/* Who answers still has a pointer to it: he learns it now, and says no more. */
	if (asker->gone)
		asker->gone(asker->own);
	close(asker_drop(asker));
}

static void asker_flush(struct asker *asker)
{
	while (asker->out) {
		struct packet *p = asker->out;

		if (send(asker->io.fd, p->data, p->len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
			if (errno == EAGAIN) {
				loop_change(&asker->io, EPOLLOUT); /* and no request meanwhile */
				return;
			}
			asker->dead = true;
			return;
		}
		asker->moved = instant_now();
		asker->out = p->next;
		asker->out_len -= p->len;
		if (!asker->out)
			asker->out_end = &asker->out;
		free(p);
	}
	loop_change(&asker->io, EPOLLIN);
}

static void asker_queue(struct asker *asker, enum control_kind kind, const void *head,
			size_t head_len, const void *data, size_t len)
{
	size_t whole = 1 + head_len + len;
	struct packet *p = NULL;

	if (asker->dead)
		return;
	if (asker->out_len + whole <= OUT_MAX)
		p = malloc(sizeof(*p) + whole);
	if (!p) {
		asker->dead = true;
		return;
	}
	p->next = NULL;
	p->len = whole;
	p->data[0] = (char)kind;
	if (head_len)
		memcpy(p->data + 1, head, head_len);
	if (len)
		memcpy(p->data + 1 + head_len, data, len);
	*asker->out_end = p;
	asker->out_end = &p->next;
	asker->out_len += whole;
}

void asker_say(struct asker *asker, const void *data, size_t len)
{
	const char *at = data;

	while (len) {
		size_t n = len < CONTROL_PACKET_MAX ? len : CONTROL_PACKET_MAX;

		asker_queue(asker, CONTROL_KIND_MORE, NULL, 0, at, n);
		at += n;
		len -= n;
	}
	asker_flush(asker);
}

/* The answer has ended: the next request may come. */
static void asker_done(struct asker *asker)
{
	asker->asking = false;
	asker->gone = NULL;
	closep(&asker->given);
	asker->given = -1;
	asker_flush(asker);
	asker->moved = instant_now();
	if (asker->dead)
		asker_close(asker);
}

void asker_end(struct asker *asker)
{
	asker_queue(asker, CONTROL_KIND_END, NULL, 0, NULL, 0);
	asker_done(asker);
}

void asker_fail(struct asker *asker, int err, const struct why *why)
{
	const char *words = why_text(why, err);

	asker_queue(asker, CONTROL_KIND_FAIL, &err, sizeof(err), words, strlen(words));
	asker_done(asker);
}

int asker_given(struct asker *asker)
{
	return take_fd(&asker->given);
}

int asker_take(struct asker *asker)
{
	int fd = asker_drop(asker);

	fcntl(fd, F_SETFL, 0);
	return fd;
}

static int send_kind(int fd, enum control_kind kind, const void *head, size_t head_len,
		     const void *data, size_t len)
{
	char first = (char)kind;
	struct iovec iov[] = {
		{&first, 1}, {(void *)(uintptr_t)head, head_len}, {(void *)(uintptr_t)data, len}};
	const struct msghdr msg = {.msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov)};

	return sendmsg(fd, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int control_say(int fd, const void *head, size_t head_len, const void *data, size_t len)
{
	return send_kind(fd, CONTROL_KIND_MORE, head, head_len, data, len);
}

int control_end(int fd)
{
	return send_kind(fd, CONTROL_KIND_END, NULL, 0, NULL, 0);
}

int control_fail(int fd, int err, const char *words)
{
	return send_kind(fd, CONTROL_KIND_FAIL, &err, sizeof(err), words, strlen(words));
}

void asker_wait(struct asker *asker, void (*gone)(void *own), void *own)
{
	asker->gone = gone;
	asker->own = own;
}

/* ---- requests ---- */

static void answer_stats(struct control *c, struct asker *asker)
{
	cleanup(freep) char *text = NULL;
	struct stats *stats;
	size_t len;
	int r = stats_new(&stats);

	if (!r) {
		c->config.stats(c->config.ctx, stats);
		r = stats_finish(stats, &text, &len);
	}
	if (r) {
		asker_fail(asker, r, NULL);
		return;
	}
	asker_say(asker, text, len);
	asker_end(asker);
}

static bool is_word(struct bytes verb, const char *word)
{
	return verb.len == strlen(word) && !memcmp(verb.at, word, verb.len);
}

static void answer(struct asker *asker, struct bytes request)
{
	struct control *c = asker->control;
	const uint8_t *space = memchr(request.at, ' ', request.len);
	struct bytes verb = {request.at, space ? (size_t)(space - request.at) : request.len};
	struct bytes args = {space ? space + 1 : NULL, space ? request.len - verb.len - 1 : 0};

	asker->asking = true;
	if (c->config.stats && is_word(verb, "stats") && !args.len) {
		answer_stats(c, asker);
		return;
	}
	for (const struct control_verb *v = c->config.verbs; asker->all && v && v->name; v++)
		if (is_word(verb, v->name)) {
			v->ask(c->config.ctx, asker, args);
			return;
		}
	asker_close(asker);
}

/* The first descriptor that came; the rest goes.  (SCM_RIGHTS takes any number.) */
static int given_fd(struct msghdr *msg)
{
	int given = -1;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h; h = CMSG_NXTHDR(msg, h)) {
		size_t n = h->cmsg_len >= CMSG_LEN(0) ? h->cmsg_len - CMSG_LEN(0) : 0;

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(fd));
			if (given < 0)
				given = fd;
			else
				close(fd);
		}
	}
	return given;
}

static void on_asker(struct loop_source *source, uint32_t events)
{
	struct asker *asker = asker_of(source);
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	uint8_t request[CONTROL_REQUEST_MAX];
	struct iovec iov = {request, sizeof(request)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	ssize_t n;

	if (events & EPOLLOUT)
		asker_flush(asker);
	if (asker->dead || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
		if (asker->dead)
			asker_close(asker);
		return;
	}
	n = recvmsg(source->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n >= 0) {
		closep(&asker->given);
		asker->given = given_fd(&msg);
	}
	/* The end, too long, or a second request before the first was answered. */
	if (n <= 0 || msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || asker->asking) {
		asker_close(asker);
		return;
	}
	asker->moved = instant_now();
	answer(asker, (struct bytes){request, (size_t)n});
}

/* ---- the door ---- */

static void on_look(struct loop_timer *timer, struct instant now)
{
	struct control *c = container(timer, struct control, look);
	struct asker *next;

	for (struct asker *a = c->askers; a; a = next) {
		next = a->next;
		if (now.ns - a->moved.ns > c->config.idle_ms * NS_PER_MS && (a->out || !a->asking))
			asker_close(a);
	}
	if (c->deaf)
		loop_change(&c->listener, EPOLLIN);
	c->deaf = false;
	if (c->askers)
		loop_timer_set(c->loop, timer, instant_add_ms(now, LOOK_MS));
}

static void look_later(struct control *c)
{
	if (!c->look.loop)
		loop_timer_set(c->loop, &c->look, instant_add_ms(instant_now(), LOOK_MS));
}

/* May who has connected ask, and what? */
static bool may_ask(const struct control *c, int fd, bool *all)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len))
		return false;
	*all = !who.uid || who.uid == geteuid();
	return *all || who.uid == c->config.door.metrics;
}

/* A metrics child that was taken over must not keep root out. */
static bool has_room_for_metrics(const struct control *c)
{
	unsigned int n = 0;

	for (const struct asker *a = c->askers; a; a = a->next)
		n += !a->all;
	return n < METRICS_ASKERS;
}

static void on_listener(struct loop_source *source, uint32_t events)
{
	struct control *c = container(source, struct control, listener);
	cleanup(closep) int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct asker *asker;
	bool all;

	(void)events;
	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		/* Not again and again at once: descriptors are there to be used up. */
		c->deaf = true;
		loop_change(source, 0);
		look_later(c);
	}
	if (fd < 0 || c->naskers == CONTROL_ASKERS || !may_ask(c, fd, &all) ||
	    (!all && !has_room_for_metrics(c)))
		return;
	asker = calloc(1, sizeof(*asker));
	if (!asker)
		return;
	*asker = (struct asker){.io = {.ready = on_asker, .fd = -1},
				.control = c,
				.all = all,
				.given = -1,
				.moved = instant_now()};
	asker->out_end = &asker->out;
	if (loop_add(c->loop, &asker->io, fd, EPOLLIN)) {
		free(asker);
		return;
	}
	take_fd(&fd);
	asker->next = c->askers;
	c->askers = asker;
	c->naskers++;
	look_later(c);
}

int control_new(struct loop *loop, const struct control_config *config, struct control **out)
{
	struct control *c;
	int r;

	*out = NULL;
	if (config->door.fd <= 0)
		return 0;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->config = *config;
	if (!c->config.idle_ms)
		c->config.idle_ms = IDLE_MS;
	c->loop = loop;
	c->listener = (struct loop_source){.ready = on_listener, .fd = -1};
	c->look.due = on_look;
	r = loop_add(loop, &c->listener, config->door.fd, EPOLLIN);
	if (r) {
		free(c);
		return r;
	}
	*out = c;
	return 0;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	while (c->askers)
		asker_close(c->askers);
	loop_timer_clear(&c->look);
	loop_remove(&c->listener);
	free(c);
}
