/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The calls that a client makes on its way to init, over one end of a socket pair whose
 * other end the nfs child serves, a stream or datagrams; or to a port of this machine, as
 * an rpcbind's.  A call and its reply, one after the other, written and read field by
 * field as the server's are (nfs/proc.h).
 */
#include "cli/doctor_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/control.h"

enum {
	PROGRAM_PORTMAP = 100000,
	REPLY_MAX = 96 << 10,
	CALL_MAX = 4096,
};

struct rpc_client {
	struct doctor *d;
	struct rpc_caller as; /* by the network `server` and `port` alone */
	const char *service;  /* NULL: by the network */
	int control;
	int fd; /* -1: a new one is to be had */
	bool datagrams;
	int patience_ms; /* with the call that is made */
	uint32_t xid;
	char reason[512];
	struct cursor reply; /* the results of the last call */
	uint8_t in[REPLY_MAX];
};

static void hang_up(struct rpc_client *c)
{
	closep(&c->fd);
	closep(&c->control);
	c->fd = c->control = -1;
}

static int dial_child(struct rpc_client *c)
{
	struct why *why = &c->d->cli->why;
	char request[128];
	char from_text[IP4_TEXT];
	char to_text[IP4_TEXT];
	char mac_text[MAC_TEXT];
	char none[1];
	int ends[2];
	size_t len;
	int r;

	r = control_open(c->d->cli->state_dir, "nfs", &c->control, why);
	if (r)
		return r;
	if (socketpair(AF_UNIX, (c->datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0, ends))
		return -errno;
	c->fd = ends[0];
	snprintf(request, sizeof(request), "connect %s %u %s %s %s",
		 ip4_format(c->as.address, from_text), c->as.port, mac_format(&c->as.mac, mac_text),
		 ip4_format(c->as.server, to_text), c->service);
	r = control_send(c->control, request, strlen(request), ends[1]);
	close(ends[1]);
	if (!r)
		r = control_receive(c->control, RPC_CALL_MS, none, sizeof(none), &len, why);
	if (r != CONTROL_END)
		return r ? r : -EBADMSG;
	return 0;
}

static int dial_network(struct rpc_client *c)
{
	const struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_port = htons(c->as.port),
		.sin_addr.s_addr = htonl(c->as.server),
	};

	c->fd = socket(AF_INET, (c->datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&sin, sizeof(sin)))
		return why_set(&c->d->cli->why, -errno, "%s", strerror(errno));
	return 0;
}

static int dial(struct rpc_client *c)
{
	int r = c->service ? dial_child(c) : dial_network(c);

	if (r)
		hang_up(c);
	return r;
}

static int client_new(struct doctor *d, const struct rpc_caller *as, const char *service, bool udp,
		      struct rpc_client **out)
{
	cleanup(rpc_client_closep) struct rpc_client *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->d = d;
	c->as = *as;
	c->service = service;
	c->control = c->fd = -1;
	c->datagrams = udp;
	r = dial(c);
	if (!r)
		*out = take(&c);
	return r;
}

int rpc_client_open(struct doctor *d, const struct rpc_caller *as, const char *service, bool udp,
		    struct rpc_client **out)
{
	return client_new(d, as, service, udp, out);
}

int rpc_client_connect(struct doctor *d, uint32_t address, uint16_t port, bool udp,
		       struct rpc_client **out)
{
	return client_new(d, &(struct rpc_caller){.server = address, .port = port}, NULL, udp, out);
}

void rpc_client_close(struct rpc_client *c)
{
	if (!c)
		return;
	hang_up(c);
	free(c);
}

const char *rpc_client_reason(struct rpc_client *c)
{
	size_t len;

	/* It was sent before the reply that it goes with. */
	while (c->control >= 0 &&
	       !control_receive(c->control, 0, c->reason, sizeof(c->reason) - 1, &len, NULL))
		c->reason[len] = '\0';
	return c->reason;
}

/* The next call opens another. */
static void give_up(struct rpc_client *c)
{
	rpc_client_reason(c); /* what it still said */
	hang_up(c);
}

/* `err` 0: by its end. */
static int was_closed(struct rpc_client *c, int err)
{
	give_up(c);
	return why_set(&c->d->cli->why, err ? -err : -EPIPE, "%s",
		       err ? strerror(err) : "the connection was closed");
}

/* What comes next, as much as is there. */
static int read_some(struct rpc_client *c, struct instant end, void *buf, size_t len, size_t *got)
{
	struct pollfd pfd = {.fd = c->fd, .events = POLLIN};
	int64_t left = (end.ns - instant_now().ns) / NS_PER_MS;
	ssize_t n;

	if (poll(&pfd, 1, left > 0 ? (int)left : 0) == 0)
		return why_set(&c->d->cli->why, -ETIMEDOUT, "no reply to a call in %d s",
			       c->patience_ms / 1000);
	n = recv(c->fd, buf, len, 0);
	if (n == 0 || (n < 0 && errno != EINTR))
		return was_closed(c, n ? errno : 0);
	*got = n > 0 ? (size_t)n : 0;
	return 0;
}

static int read_all(struct rpc_client *c, struct instant end, void *buf, size_t len)
{
	uint8_t *at = buf;
	size_t n;
	int r = 0;

	while (len && !(r = read_some(c, end, at, len, &n))) {
		at += n;
		len -= n;
	}
	if (r && at != buf)
		give_up(c);
	return r;
}

static int read_record(struct rpc_client *c, struct instant end, size_t *len)
{
	uint8_t head[4];
	struct cursor mark;
	uint32_t word;
	int r = read_all(c, end, head, sizeof(head));

	if (r)
		return r;
	mark = cursor_of(head, sizeof(head));
	word = cursor_be32(&mark);
	*len = word & 0x7fffffff;
	if (!(word & 0x80000000) || *len > sizeof(c->in))
		r = -EBADMSG;
	else
		r = read_all(c, end, c->in, *len);
	if (r) /* nobody knows where the next one begins */
		give_up(c);
	return r;
}

/* The next reply, whatever call it is to. */
static int read_reply(struct rpc_client *c, struct instant end)
{
	size_t len = 0;
	int r = 0;

	while (c->datagrams && !len && !r)
		r = read_some(c, end, c->in, sizeof(c->in), &len);
	if (!c->datagrams)
		r = read_record(c, end, &len);
	if (!r)
		c->reply = cursor_of(c->in, len);
	return r;
}

static int receive(struct rpc_client *c)
{
	struct instant end = instant_add_ms(instant_now(), c->patience_ms);
	uint32_t word;
	uint32_t auth_len;
	int r;

	do /* one that was given up may be answered late */
		r = read_reply(c, end);
	while (!r && (word = cursor_be32(&c->reply)) != c->xid && word && word < c->xid);
	if (r)
		return r;
	if (word != c->xid || cursor_be32(&c->reply) != 1)
		return -EBADMSG;
	if (cursor_be32(&c->reply)) /* MSG_DENIED */
		return why_set(&c->d->cli->why, -EACCES, "the call is denied");
	cursor_be32(&c->reply);
	auth_len = cursor_be32(&c->reply);
	cursor_skip(&c->reply, (auth_len + 3) & ~3U);
	word = cursor_be32(&c->reply);
	if (c->reply.bad)
		return -EBADMSG;
	return word ? why_set(&c->d->cli->why, -EPROTONOSUPPORT,
			      "the call is not accepted (accept_stat %u)", word)
		    : 0;
}

struct outgoing {
	struct writer w;
	uint8_t data[CALL_MAX];
};

static void begin(struct rpc_client *c, struct outgoing *o, uint32_t program, uint32_t version,
		  uint32_t procedure, bool auth_sys)
{
	o->w = writer_of(o->data, sizeof(o->data));
	writer_be32(&o->w, 0); /* the mark */
	writer_be32(&o->w, ++c->xid);
	writer_be32(&o->w, 0);
	writer_be32(&o->w, 2);
	writer_be32(&o->w, program);
	writer_be32(&o->w, version);
	writer_be32(&o->w, procedure);
	if (auth_sys) { /* root, of no groups, of a machine without a name */
		writer_be32(&o->w, 1);
		writer_be32(&o->w, 20);
		writer_zero(&o->w, 20);
	} else {
		writer_zero(&o->w, 8);
	}
	writer_zero(&o->w, 8);
}

static int call_within(struct rpc_client *c, struct outgoing *o, int ms)
{
	size_t len = writer_len(&o->w);
	struct writer mark = writer_of(o->data, 4);
	size_t from = c->datagrams ? 4 : 0;
	int r = c->fd < 0 ? dial(c) : 0;

	if (r || o->w.full)
		return r ? r : -E2BIG;
	c->reason[0] = '\0';
	c->patience_ms = ms;
	writer_be32(&mark, (uint32_t)(len - 4) | 0x80000000);
	if (send(c->fd, o->data + from, len - from, MSG_NOSIGNAL) != (ssize_t)(len - from))
		return was_closed(c, 0);
	return receive(c);
}

static int call(struct rpc_client *c, struct outgoing *o)
{
	return call_within(c, o, RPC_CALL_MS);
}

static void put_opaque(struct writer *w, const void *data, uint32_t len)
{
	writer_be32(w, len);
	writer_put(w, data, len);
	writer_zero(w, -len & 3);
}

static bool take_handle(struct cursor *in, struct rpc_handle *out)
{
	uint32_t len = cursor_be32(in);
	const uint8_t *p;

	if (len > RPC_HANDLE_MAX)
		return false;
	p = cursor_skip(in, len);
	cursor_skip(in, -len & 3);
	if (in->bad)
		return false;
	out->len = len;
	if (len)
		memcpy(out->bytes, p, len);
	return true;
}

static void take_attr(struct cursor *in, struct rpc_file *out)
{
	out->type = cursor_be32(in);
	out->mode = cursor_be32(in);
	cursor_skip(in, 12); /* nlink, uid, gid */
	out->size = cursor_be64(in);
	cursor_skip(in, 84 - 4 - 4 - 12 - 8);
}

/* post_op_attr */
static bool take_post_attr(struct cursor *in, struct rpc_file *out)
{
	if (!cursor_be32(in))
		return false;
	take_attr(in, out);
	return true;
}

int rpc_getport(struct rpc_client *c, uint32_t program, uint32_t version, bool tcp, uint32_t *port)
{
	struct outgoing o;
	int r;

	begin(c, &o, PROGRAM_PORTMAP, 2, 3, false);
	writer_be32(&o.w, program);
	writer_be32(&o.w, version);
	writer_be32(&o.w, tcp ? 6 : 17);
	writer_be32(&o.w, 0);
	r = call(c, &o);
	if (r)
		return r;
	*port = cursor_be32(&c->reply);
	return c->reply.bad ? -EBADMSG : 0;
}

int rpc_null(struct rpc_client *c, uint32_t program, int ms)
{
	struct outgoing o;

	begin(c, &o, program, 3, 0, false);
	return call_within(c, &o, ms);
}

int rpc_unmount(struct rpc_client *c, const char *path, bool auth_sys)
{
	struct outgoing o;

	begin(c, &o, RPC_PROGRAM_MOUNT, 3, 3, auth_sys);
	put_opaque(&o.w, path, (uint32_t)strlen(path));
	return call(c, &o);
}

int rpc_mount(struct rpc_client *c, const char *path, bool auth_sys, struct rpc_handle *out)
{
	struct outgoing o;
	uint32_t status;
	int r;

	begin(c, &o, RPC_PROGRAM_MOUNT, 3, 1, auth_sys);
	put_opaque(&o.w, path, (uint32_t)strlen(path));
	r = call(c, &o);
	if (r)
		return r;
	status = cursor_be32(&c->reply);
	if (status)
		return (int)(status & INT32_MAX);
	return take_handle(&c->reply, out) ? 0 : -EBADMSG;
}

static int call_nfs(struct rpc_client *c, struct outgoing *o)
{
	uint32_t status;
	int r = call(c, o);

	if (r)
		return r;
	status = cursor_be32(&c->reply);
	return c->reply.bad ? -EBADMSG : (int)(status & INT32_MAX);
}

static void begin_nfs(struct rpc_client *c, struct outgoing *o, uint32_t procedure,
		      const struct rpc_handle *handle)
{
	begin(c, o, RPC_PROGRAM_NFS, 3, procedure, true);
	put_opaque(&o->w, handle->bytes, handle->len);
}

/* Of what answers with the attributes first, which nobody here wants. */
static int call_nfs_past_attr(struct rpc_client *c, struct outgoing *o)
{
	struct rpc_file ignored;
	int r = call_nfs(c, o);

	if (!r)
		take_post_attr(&c->reply, &ignored);
	return r;
}

int rpc_attr(struct rpc_client *c, struct rpc_file *file)
{
	struct outgoing o;
	int r;

	begin_nfs(c, &o, 1, &file->handle);
	r = call_nfs(c, &o);
	if (r)
		return r;
	take_attr(&c->reply, file);
	return c->reply.bad ? -EBADMSG : 0;
}

int rpc_fsinfo(struct rpc_client *c, const struct rpc_handle *root, struct rpc_limits *out)
{
	struct outgoing o;
	int r;

	begin_nfs(c, &o, 19, root);
	r = call_nfs_past_attr(c, &o);
	if (r)
		return r;
	out->read = cursor_be32(&c->reply);
	cursor_skip(&c->reply, 8); /* rtpref, rtmult */
	out->write = cursor_be32(&c->reply);
	cursor_skip(&c->reply, 8);
	out->dir = cursor_be32(&c->reply);
	out->file = cursor_be64(&c->reply);
	cursor_skip(&c->reply, 12); /* time_delta, properties */
	return c->reply.bad ? -EBADMSG : 0;
}

int rpc_pathconf(struct rpc_client *c, const struct rpc_handle *root, struct rpc_limits *out)
{
	struct outgoing o;
	int r;

	begin_nfs(c, &o, 20, root);
	r = call_nfs_past_attr(c, &o);
	if (r)
		return r;
	cursor_skip(&c->reply, 4); /* linkmax */
	out->name = cursor_be32(&c->reply);
	cursor_skip(&c->reply, 16);
	return c->reply.bad ? -EBADMSG : 0;
}

int rpc_lookup(struct rpc_client *c, const struct rpc_handle *dir, const char *name, size_t len,
	       struct rpc_file *out)
{
	struct outgoing o;
	int r;

	begin_nfs(c, &o, 3, dir);
	put_opaque(&o.w, name, (uint32_t)len);
	r = call_nfs(c, &o);
	if (r)
		return r;
	if (!take_handle(&c->reply, &out->handle))
		return -EBADMSG;
	return take_post_attr(&c->reply, out) && !c->reply.bad ? 0 : rpc_attr(c, out);
}

int rpc_readlink(struct rpc_client *c, const struct rpc_handle *file, char *out, size_t size)
{
	struct outgoing o;
	struct bytes text;
	int r;

	begin_nfs(c, &o, 5, file);
	r = call_nfs_past_attr(c, &o);
	if (r)
		return r;
	text = cursor_take(&c->reply, cursor_be32(&c->reply));
	if (c->reply.bad || text.len >= size)
		return -EBADMSG;
	memcpy(out, text.at, text.len);
	out[text.len] = '\0';
	return 0;
}

int rpc_read(struct rpc_client *c, const struct rpc_handle *file, uint64_t offset, void *buf,
	     size_t size, size_t *len)
{
	struct outgoing o;
	struct bytes data;
	int r;

	begin_nfs(c, &o, 6, file);
	writer_be64(&o.w, offset);
	writer_be32(&o.w, (uint32_t)size);
	r = call_nfs_past_attr(c, &o);
	if (r)
		return r;
	cursor_skip(&c->reply, 8); /* count, eof */
	data = cursor_take(&c->reply, cursor_be32(&c->reply));
	if (c->reply.bad || data.len > size)
		return -EBADMSG;
	if (data.len)
		memcpy(buf, data.at, data.len);
	*len = data.len;
	return 0;
}

const char *rpc_status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} words[] = {
		{1, "not permitted"},
		{2, "no such file or directory"},
		{5, "input/output error"},
		{13, "permission denied"},
		{20, "not a directory"},
		{22, "invalid argument"},
		{63, "name too long"},
		{70, "stale handle"},
		{10001, "bad handle"},
		{10006, "server fault"},
		{10008, "to be asked again later"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (words[i].status == status)
			return words[i].text;
	return "an error";
}
