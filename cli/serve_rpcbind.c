/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The rpcbind that has port 111 in our place forgets us when it is started anew, and from
 * then on no machine finds its root.  So it is asked every few seconds whether it knows
 * NFS, without waiting for its answer, and told again where it does not.
 *
 * What another program has registered there meanwhile stays: `doctor` tells of it.
 */
#include "cli/serve_parts.h"

#include <errno.h>
#include <string.h>

#include "nfs/rpcbind.h"

enum { LOOK_MS = 5000 };

static void look(struct loop_timer *timer, struct instant now)
{
	struct serve *v = container(timer, struct serve, rpcbind_timer);

	/* One that is not there is asked again, as one that does not answer is. */
	if (v->nfs.registered)
		rpcbind_ask(v->rpcbind.fd, ++v->rpcbind_xid);
	loop_timer_set(v->loop, timer, instant_add_ms(now, LOOK_MS));
}

static void on_answer(struct loop_source *source, uint32_t events)
{
	struct serve *v = container(source, struct serve, rpcbind);
	uint16_t port = v->config.nfs_port ? v->config.nfs_port : NFS_PORT;
	uint16_t known;
	int r;

	(void)events;
	while ((r = rpcbind_answer(source->fd, v->rpcbind_xid, &known)) >= 0) {
		if (r || known || !v->nfs.registered)
			continue;
		v->rpcbind_xid++; /* what else it says is of before */
		if (!rpcbind_register(v->nfs_address, port))
			log_warn("nfs: rpcbind did not know it any more: registered again");
		else if (log_allow(&v->unregistered, instant_now().ns, 1, 600000))
			log_error("nfs: rpcbind does not know it any more, and does not take it "
				  "again: machines do not find their roots");
	}
}

void registration_look(struct serve *v)
{
	loop_timer_set(v->loop, &v->rpcbind_timer, instant_now());
}

int registration_watch(struct serve *v)
{
	int fd;
	int r = rpcbind_open(&fd);

	if (r)
		return r;
	v->rpcbind.ready = on_answer;
	v->rpcbind_timer.due = look;
	r = loop_add(v->loop, &v->rpcbind, fd, EPOLLIN);
	if (r) {
		close(fd);
		return r;
	}
	loop_timer_set(v->loop, &v->rpcbind_timer, instant_add_ms(instant_now(), LOOK_MS));
	return 0;
}
