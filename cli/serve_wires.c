/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/serve_parts.h"

#include <errno.h>

enum { LOOK_MS = 200 };

/* In so long, if not sooner. */
static void wires_look_by(struct serve *v, int ms)
{
	struct instant at = instant_add_ms(instant_now(), ms);

	if (!v->wires_timer.loop || at.ns < v->wires_timer.at.ns)
		loop_timer_set(v->loop, &v->wires_timer, at);
}

void wires_note(struct serve *v)
{
	char text[IP4_TEXT];
	int r;

	ip4_format(v->wires[0].face.address, text);
	r = db_run(v->db,
		   "INSERT INTO site (key, value) VALUES ('server', ?)"
		   " ON CONFLICT DO UPDATE SET value = excluded.value"
		   " WHERE value <> excluded.value",
		   "s", text);
	v->unnoted = r == -EAGAIN;
	if (v->unnoted)
		wires_look_by(v, LOOK_AGAIN_MS);
	else if (r)
		log_warn("rootstock.db: %s", db_error(v->db));
}

/* NFS hangs on the address of a single interface. */
static int nfs_follow(struct serve *v, struct why *why)
{
	uint32_t address = v->config.ninterfaces == 1 ? v->wires[0].face.address : 0;
	struct nfs_fds fds;
	int r;

	if (address == v->nfs_address)
		return 0;
	r = nfs_listen(&v->nfs, address, v->config.nfs_port, &fds, why);
	if (r)
		return r;
	nfs_replace(&v->nfs, &fds);
	v->nfs_address = address;
	child_renew(v, SERVICE_NFS);
	return 0;
}

static void wires_look(struct loop_timer *timer, struct instant now)
{
	struct serve *v = container(timer, struct serve, wires_timer);
	struct why why = {""};
	bool again = false;
	bool moved = false;
	bool other_mac = false;

	(void)now;
	for (unsigned int i = 0; i < v->config.ninterfaces; i++) {
		enum wire_change change = wire_look(&v->wires[i]);

		again |= change == WIRE_AGAIN;
		other_mac |= change == WIRE_MAC;
		moved |= change == WIRE_NEW;
	}
	if (moved || other_mac)
		child_renew(v, SERVICE_DHCP);
	if (moved)
		child_renew(v, SERVICE_TFTP);
	if (moved || v->unnoted)
		wires_note(v);
	/* Also when nothing moved: the port may have been somebody else's until now. */
	if (nfs_follow(v, &why)) {
		if (moved)
			log_error("nfs: %s; trying again", why.text);
		again = true;
	}
	if (again)
		wires_look_by(v, LOOK_AGAIN_MS);
}

static void on_wires(struct loop_source *source, uint32_t events)
{
	struct serve *v = container(source, struct serve, wires_moved);

	(void)events;
	wires_drain(source->fd);
	/* Links come up in several steps: one look for all.  Not later than it was to be:
	 * on a machine of containers links come and go without end. */
	wires_look_by(v, LOOK_MS);
}

int wires_watch(struct serve *v)
{
	int fd;
	int r = wires_open(&fd);

	if (r)
		return r;
	v->wires_moved.ready = on_wires;
	v->wires_timer.due = wires_look;
	return loop_add(v->loop, &v->wires_moved, fd, EPOLLIN);
}
