/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A worker's state over fake_view.c and a real inventory, for the tests of the
 * procedures: calls are written and replies read with rpcgen's XDR routines.
 *
 *	10.0.0.5 host1   10.0.0.6 host2   10.0.0.7 pending   10.0.0.8 a lease only
 *	10.9.0.0/16 admin
 */
#ifndef TESTS_UNIT_NFS_UNIT_H
#define TESTS_UNIT_NFS_UNIT_H

#include "tests/unit/unit.h"

#include <fcntl.h>
#include <rpc/rpc.h>
#include <sys/socket.h>

#include "common/event.h"
#include "common/schema.h"
#include "mount3.h"
#include "nfs/proc.h"
#include "nfs3.h"
#include "tests/unit/fake_view.h"

enum {
	HOST1 = 0x0a000005,
	HOST2 = 0x0a000006,
	PENDING = 0x0a000007,
	LEASE_ONLY = 0x0a000008,
	ADMIN = 0x0a090001,
	STRANGER = 0x0a0000ff
};

struct unit_nfs {
	void *dir;
	struct nfs nfs;
	struct nfs_config config;
	struct nfs_network admin;
	struct caller caller;
	int events[2];
	struct db *db;
	struct db *leases;
	uint32_t xid;
	uint32_t uid; /* of AUTH_SYS calls */
	uint32_t gid;
	uint8_t call[65536];
	size_t call_len;
	uint8_t buf[RPC_REPLY_MAX + (2 << 20)];
	struct reply reply;
	enum rpc_verdict verdict;
	size_t len; /* of the whole reply, data and zeros put behind it */
};

static inline struct unit_nfs *unit_nfs_new(void)
{
	struct unit_nfs *u = calloc(1, sizeof(*u));
	struct why why = {0};

	assert_non_null(u);
	assert_int_equal(unit_dir_setup(&u->dir), 0);
	assert_int_equal(db_open(u->dir, &schema_rootstock, DB_CREATE, &u->db, &why), 0);
	assert_int_equal(
		db_exec(u->db,
			"INSERT INTO image (id, name) VALUES (1, 'debian');"
			"INSERT INTO version (id, image, number, origin_kind, origin, added)"
			" VALUES (7, 1, 1, 'dir', '/a', 0), (9, 1, 2, 'dir', '/a', 0);"
			"UPDATE image SET active = 7;"
			"INSERT INTO host (id, name, address, pending, added, changed) VALUES"
			" (1, 'host1', 167772165, 0, 0, 0), (2, 'host2', 167772166, 0, 0, 0),"
			" (3, 'shy', 167772167, 1, 0, 0), (4, 'late', NULL, 0, 0, 0);"
			"INSERT INTO host_mac VALUES (x'525400000001', 1),"
			" (x'525400000004', 4);"),
		0);
	assert_int_equal(db_open(u->dir, &schema_leases, DB_CREATE, &u->leases, &why), 0);
	assert_int_equal(db_exec(u->leases,
				 "INSERT INTO lease (address, mac, state, started, expires) VALUES"
				 " (167772168, x'525400000099', 2, 0, 0)"),
			 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, u->events), 0);
	u->admin = (struct nfs_network){0x0a090000, 16};
	u->config = (struct nfs_config){
		.state_dir = u->dir,
		.admin = &u->admin,
		.nadmin = 1,
		.port = NFS_PORT,
		.reserved_port = true,
	};
	u->nfs.config = &u->config;
	u->nfs.now_ns = 1;
	assert_int_equal(fake_views_new(&u->nfs.views), 0);
	assert_int_equal(contents_new(u->dir, 16, &u->nfs.contents, NULL), 0);
	assert_int_equal(exports_open(u->dir, &u->config, &u->nfs.exports, &why), 0);
	assert_int_equal(mounts_new(u->events[1], &u->nfs.mounts), 0);
	u->nfs.key = (struct handle_key){"0123456789abcdef"};
	nfs_refresh(&u->nfs);
	u->caller = (struct caller){
		.address = HOST1,
		.port = 700,
		.local = 0x0a000001,
		.tcp = true,
		.programs = RPC_NFS | RPC_PORTMAP,
	};
	return u;
}

static inline void unit_nfs_free(struct unit_nfs *u)
{
	caller_fini(&u->caller);
	content_unref(u->reply.body);
	roster_unref(u->nfs.roster);
	exports_close(u->nfs.exports);
	mounts_free(u->nfs.mounts);
	contents_free(u->nfs.contents);
	views_close(u->nfs.views);
	db_close(u->leases);
	db_close(u->db);
	close(u->events[0]);
	close(u->events[1]);
	unit_dir_teardown(&u->dir);
	free(u);
}

static inline int unit_nfs_setup(void **state)
{
	*state = unit_nfs_new();
	return 0;
}

static inline int unit_nfs_teardown(void **state)
{
	unit_nfs_free(*state);
	return 0;
}

/* Call from another address. */
static inline void unit_from(struct unit_nfs *u, uint32_t address, uint16_t port)
{
	caller_fini(&u->caller);
	u->caller = (struct caller){
		.address = address,
		.port = port,
		.local = u->caller.local,
		.tcp = u->caller.tcp,
		.programs = u->caller.programs,
	};
}

/* The data of a READ behind its header, as the worker does it. */
static inline void unit_copy_body(struct unit_nfs *u)
{
	uint8_t *p = writer_room(&u->reply.w, u->reply.body_len);

	assert_int_equal(content_pread(u->reply.body, p, u->reply.body_len, u->reply.body_offset),
			 u->reply.body_len);
	writer_zero(&u->reply.w, reply_padding(&u->reply));
	content_unref(u->reply.body);
	u->reply.body = NULL;
}

/* u->call as it is --> u->reply, in u->buf whole */
static inline void unit_send(struct unit_nfs *u, bool cut)
{
	u->reply = (struct reply){.w = writer_of(u->buf, sizeof(u->buf))};
	u->verdict = rpc_answer(&u->nfs, &u->caller, (struct bytes){u->call, u->call_len}, cut,
				&u->reply);
	if (u->verdict == RPC_SEND && u->reply.body)
		unit_copy_body(u);
	u->len = writer_len(&u->reply.w);
}

/* Write a call; `args` may be NULL. */
static inline void unit_write(struct unit_nfs *u, uint32_t prog, uint32_t vers, uint32_t proc,
			      xdrproc_t xargs, void *args)
{
	char cred_bytes[MAX_AUTH_BYTES];
	char name[] = "client";
	gid_t gids[1] = {u->gid};
	struct authunix_parms parms = {
		.aup_machname = name,
		.aup_uid = u->uid,
		.aup_gid = u->gid,
		.aup_len = 1,
		.aup_gids = gids,
	};
	struct rpc_msg msg = {.rm_xid = ++u->xid, .rm_direction = CALL};
	XDR x;

	xdrmem_create(&x, cred_bytes, sizeof(cred_bytes), XDR_ENCODE);
	assert_true(xdr_authunix_parms(&x, &parms));
	msg.rm_call.cb_rpcvers = 2;
	msg.rm_call.cb_prog = prog;
	msg.rm_call.cb_vers = vers;
	msg.rm_call.cb_proc = proc;
	msg.rm_call.cb_cred =
		(struct opaque_auth){AUTH_SYS, cred_bytes, (unsigned int)xdr_getpos(&x)};
	xdrmem_create(&x, (char *)u->call, sizeof(u->call), XDR_ENCODE);
	assert_true(xdr_callmsg(&x, &msg));
	if (xargs)
		assert_true(((bool_t(*)(XDR *, void *))xargs)(&x, args));
	u->call_len = xdr_getpos(&x);
}

/* Read an accepted, successful reply whole.  xdr_free() of `res` is the caller's. */
static inline void unit_read(struct unit_nfs *u, xdrproc_t xres, void *res)
{
	struct rpc_msg msg = {0};
	char verf[MAX_AUTH_BYTES];
	XDR x;

	assert_int_equal(u->verdict, RPC_SEND);
	msg.acpted_rply.ar_verf.oa_base = verf;
	msg.acpted_rply.ar_results.where = res;
	msg.acpted_rply.ar_results.proc = xres;
	xdrmem_create(&x, (char *)u->buf, (unsigned int)u->len, XDR_DECODE);
	assert_true(xdr_replymsg(&x, &msg));
	assert_int_equal(msg.rm_xid, u->xid);
	assert_int_equal(msg.rm_reply.rp_stat, MSG_ACCEPTED);
	assert_int_equal(msg.acpted_rply.ar_stat, SUCCESS);
	assert_int_equal(xdr_getpos(&x), u->len); /* not a byte more */
}

static inline void unit_call(struct unit_nfs *u, uint32_t prog, uint32_t vers, uint32_t proc,
			     xdrproc_t xargs, void *args, xdrproc_t xres, void *res)
{
	unit_write(u, prog, vers, proc, xargs, args);
	unit_send(u, false);
	unit_read(u, xres, res);
}

static inline void unit_nfs3(struct unit_nfs *u, uint32_t proc, xdrproc_t xargs, void *args,
			     xdrproc_t xres, void *res)
{
	unit_call(u, NFS3_PROGRAM, NFS3_VERSION, proc, xargs, args, xres, res);
}

/* The status of a reply that was accepted, without a look at the rest. */
static inline uint32_t unit_status(const struct unit_nfs *u)
{
	struct cursor c = cursor_of(u->buf, u->len);

	assert_int_equal(u->verdict, RPC_SEND);
	cursor_skip(&c, 20);
	assert_int_equal(cursor_be32(&c), SUCCESS);
	return cursor_be32(&c);
}

/* A handle; lives until the second next call. */
static inline nfs_fh3 unit_handle_made(struct unit_nfs *u, const struct handle *handle)
{
	static uint8_t bytes[4][HANDLE_SIZE];
	static unsigned int at;
	uint8_t *p = bytes[at++ & 3];

	handle_write(&u->nfs.key, handle, p);
	return (nfs_fh3){{HANDLE_SIZE, (char *)p}};
}

/* Of no boot. */
static inline nfs_fh3 unit_handle_of(struct unit_nfs *u, uint32_t host, uint32_t version,
				     uint32_t node)
{
	return unit_handle_made(u, &(struct handle){host, version, node, 0});
}

static inline nfs_fh3 unit_handle(struct unit_nfs *u, const char *path)
{
	uint32_t node = fake_node(path);

	assert_int_not_equal(node, 0);
	return unit_handle_of(u, 1, FAKE_VERSION, node);
}

/* The next event, or kind 0. */
static inline struct event unit_event(struct unit_nfs *u)
{
	struct event e = {0};

	event_receive(u->events[0], &e);
	return e;
}

#define XDR_OF(fn) ((xdrproc_t)(fn))

#endif
