/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A TCP stream, cut at will, through the record layer and every program behind
 * it.  The first byte says who calls, the second how the stream is cut.  A READ
 * miss is parked and comes back later, in the other order.
 *
 * Handles in the input are mended: a handle whose format byte is right gets its
 * tag, else the fuzzer would never pass the tag.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/container.h"
#include "common/schema.h"
#include "nfs/proc.h"
#include "nfs/record.h"
#include "tests/fuzz/scratch.h"
#include "tests/unit/fake_view.h"

static struct nfs nfs;
static struct nfs_config config;
static struct nfs_network admin = {0x0a090000, 16};

struct parked {
	struct content_wait wait;
	struct rpc_parked read;
};

static struct caller caller;
static uint8_t out[RPC_REPLY_MAX + (1 << 20) + 4];

static void finish(struct reply *reply)
{
	if (reply->body) {
		if (content_pread(reply->body, out + writer_len(&reply->w), reply->body_len,
				  reply->body_offset) != (ssize_t)reply->body_len)
			abort();
		content_unref(reply->body);
	}
}

static void parked_done(struct content_wait *wait, int r, struct content *content)
{
	struct parked *p = container(wait, struct parked, wait);
	struct reply reply = {.w = writer_of(out, RPC_REPLY_MAX)};

	rpc_resume(&nfs, &caller, &p->read, r, content, &reply);
	finish(&reply);
	free(p);
}

static void answer(struct record_call *call)
{
	cleanup(freep) uint8_t *copy = malloc(call->bytes.len + 1); /* exact, for the sanitizer */
	struct reply reply = {.w = writer_of(out, RPC_REPLY_MAX)};

	if (call->bytes.len)
		memcpy(copy, call->bytes.at, call->bytes.len);
	for (size_t i = 0; call->bytes.len >= HANDLE_SIZE && i <= call->bytes.len - HANDLE_SIZE;
	     i += 4) {
		struct cursor c = cursor_of(copy + i, HANDLE_SIZE);
		struct handle h;

		if (copy[i] != HANDLE_FORMAT || copy[i + 1] || copy[i + 2] || copy[i + 3])
			continue;
		cursor_skip(&c, 4);
		h.host = cursor_be32(&c) & 7;
		h.version = cursor_be32(&c) & 15;
		h.node = cursor_be32(&c) & 31;
		h.boot = cursor_be32(&c) & 7;
		handle_write(&nfs.key, &h, copy + i);
	}
	call->bytes.at = copy;
	switch (rpc_answer(&nfs, &caller, call->bytes, call->cut, &reply)) {
	case RPC_SEND:
		if (reply.w.full || writer_len(&reply.w) < 20)
			abort();
		finish(&reply);
		break;
	case RPC_PARK: {
		struct parked *p = calloc(1, sizeof(*p));
		struct content *content;

		p->wait.done = parked_done;
		p->read = reply.parked;
		if (contents_open(nfs.contents, p->read.view, p->read.node, &content, &p->wait) !=
		    CONTENT_WAIT)
			abort();
		break;
	}
	case RPC_HOLD:
		nfs.may_hold = false;
		reply = (struct reply){.w = writer_of(out, RPC_REPLY_MAX)};
		if (rpc_answer(&nfs, &caller, call->bytes, call->cut, &reply) != RPC_SEND)
			abort(); /* the last time it has to be answered */
		nfs.may_hold = true;
		break;
	case RPC_DROP:
	case RPC_CLOSE:
		break;
	}
}

static void setup(void)
{
	const char *dir = scratch();
	static struct db *db;
	static struct db *leases;
	struct why why = {0};

	if (db_open(dir, &schema_rootstock, DB_CREATE, &db, &why) ||
	    db_exec(db, "INSERT INTO image (id, name) VALUES (1, 'debian');"
			"INSERT INTO version (id, image, number, origin_kind, origin, added)"
			" VALUES (7, 1, 1, 'dir', '/a', 0); UPDATE image SET active = 7;"
			"INSERT INTO host (id, name, address, added, changed) VALUES"
			" (1, 'host1', 167772165, 0, 0), (2, 'host2', 167772166, 0, 0);") ||
	    db_open(dir, &schema_leases, DB_CREATE, &leases, &why) ||
	    db_exec(leases, "INSERT INTO lease (address, mac, state, started, expires) VALUES"
			    " (167772168, x'525400000099', 2, 0, 0)"))
		abort();
	config = (struct nfs_config){.state_dir = dir, .admin = &admin, .nadmin = 1, .port = 2049};
	nfs.config = &config;
	nfs.now_ns = 1;
	nfs.may_hold = true;
	log_init("fuzz", LOG_LEVEL_ERROR);
	if (fake_views_new(&nfs.views) || contents_new(dir, 16, &nfs.contents, NULL) ||
	    exports_open(dir, &config, &nfs.exports, &why) || mounts_new(-1, &nfs.mounts))
		abort();
	nfs.key = (struct handle_key){"0123456789abcdef"};
	nfs_refresh(&nfs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t who[] = {0x0a000005, 0x0a000006, 0x0a090001, 0x0a000008};
	struct record record = {0};
	size_t step;

	if (!nfs.views)
		setup();
	if (size < 2)
		return 0;
	caller = (struct caller){
		.address = who[data[0] & 3],
		.port = 700,
		.tcp = !(data[0] & 4),
		.programs = RPC_NFS | RPC_PORTMAP,
	};
	fake_miss(data[0] & 8);
	step = data[1] ? data[1] : size;
	for (size_t at = 2; at < size; at += step) {
		struct bytes in = {data + at, size - at < step ? size - at : step};
		struct record_call call;
		int err;

		while (!(err = record_next(&record, &in, &call)))
			answer(&call);
		if (err < 0)
			break;
	}
	fake_arrive(nfs.contents, data[0] & 16 ? -5 : 0);
	record_fini(&record);
	caller_fini(&caller);
	return 0;
}
