/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/nfs_unit.h"

#include <sys/stat.h>

#include "common/container.h"

#define RES(type, var)                                                                             \
	cleanup(res_free) struct res var##_guard = {XDR_OF(xdr_##type), &var};                     \
	(void)var##_guard

struct res {
	xdrproc_t fn;
	void *at;
};

static void res_free(struct res *r)
{
	xdr_free(r->fn, r->at);
}

static void getattr_tells_all_of_an_object(void **state)
{
	struct unit_nfs *u = *state;
	GETATTR3args args = {unit_handle(u, "/dev/chr")};
	GETATTR3res res = {0};
	fattr3 *a = &res.GETATTR3res_u.attributes;

	unit_nfs3(u, NFSPROC3_GETATTR, XDR_OF(xdr_GETATTR3args), &args, XDR_OF(xdr_GETATTR3res),
		  &res);
	assert_int_equal(res.status, NFS3_OK);
	assert_int_equal(a->type, NF3CHR);
	assert_int_equal(a->mode, 0600);
	assert_int_equal(a->rdev.specdata1, 5);
	assert_int_equal(a->rdev.specdata2, 1);
	assert_int_equal(a->fileid, fake_node("/dev/chr"));
	assert_int_equal(a->fsid, (uint64_t)1 << 32 | FAKE_VERSION);
	assert_int_equal(a->mtime.seconds, 1700000000);
	assert_int_equal(a->mtime.nseconds, 123456789);

	args.object = unit_handle(u, "/old"); /* before the epoch, and setuid */
	unit_nfs3(u, NFSPROC3_GETATTR, XDR_OF(xdr_GETATTR3args), &args, XDR_OF(xdr_GETATTR3res),
		  &res);
	assert_int_equal(a->mode, 04755);
	assert_int_equal(a->mtime.seconds, 0);
	args.object = unit_handle(u, "/far"); /* past 2106 */
	unit_nfs3(u, NFSPROC3_GETATTR, XDR_OF(xdr_GETATTR3args), &args, XDR_OF(xdr_GETATTR3res),
		  &res);
	assert_int_equal(a->mtime.seconds, UINT32_MAX);
}

static uint32_t getattr_status(struct unit_nfs *u, nfs_fh3 handle)
{
	GETATTR3args args = {handle};
	GETATTR3res res = {0};

	unit_nfs3(u, NFSPROC3_GETATTR, XDR_OF(xdr_GETATTR3args), &args, XDR_OF(xdr_GETATTR3res),
		  &res);
	return res.status;
}

static void handles_that_are_not_good_are_told_apart(void **state)
{
	struct unit_nfs *u = *state;
	uint8_t bytes[64] = {1};

	for (unsigned int len = 0; len <= 64; len++) {
		nfs_fh3 handle = {{len, (char *)bytes}};

		assert_int_equal(getattr_status(u, handle), NFS3ERR_BADHANDLE);
	}
	/* 65 is not a handle by its type */
	{
		GETATTR3args args = {{{64, (char *)bytes}}};

		unit_write(u, NFS3_PROGRAM, 3, NFSPROC3_GETATTR, XDR_OF(xdr_GETATTR3args), &args);
		u->call[u->call_len - 65] = 65;
		u->call_len += 4;
		unit_send(u, false);
		assert_int_equal(u->buf[23], GARBAGE_ARGS);
		assert_int_equal(u->len, 24);
	}
	assert_int_equal(getattr_status(u, unit_handle_of(u, 1, 9, 1)), NFS3ERR_STALE);
	assert_int_equal(getattr_status(u, unit_handle_of(u, 1, FAKE_VERSION, 99999999)),
			 NFS3ERR_STALE);
	assert_int_equal(getattr_status(u, unit_handle_of(u, 2, FAKE_VERSION, 1)), NFS3ERR_ACCES);
	assert_int_equal(getattr_status(u, unit_handle_of(u, 0, FAKE_VERSION, 1)), NFS3ERR_ACCES);
	assert_int_equal(getattr_status(u, unit_handle_of(u, 1, FAKE_VERSION, 1)), NFS3_OK);
	/* another version of the caller's own tree is a boot that still runs */
	assert_int_equal(getattr_status(u, unit_handle_of(u, 1, FAKE_VERSION - 1, 1)), NFS3_OK);
}

static void a_handle_is_for_its_address_or_an_admin(void **state)
{
	struct unit_nfs *u = *state;
	nfs_fh3 handle = unit_handle_of(u, 1, FAKE_VERSION, 1);

	unit_from(u, HOST2, 700);
	assert_int_equal(getattr_status(u, handle), NFS3ERR_ACCES);
	unit_from(u, STRANGER, 700);
	assert_int_equal(getattr_status(u, handle), NFS3ERR_ACCES);
	unit_from(u, PENDING, 700);
	assert_int_equal(getattr_status(u, handle), NFS3ERR_ACCES);
	unit_from(u, ADMIN, 700);
	assert_int_equal(getattr_status(u, handle), NFS3_OK);
	assert_int_equal(getattr_status(u, unit_handle_of(u, 0, FAKE_VERSION, 1)), NFS3_OK);
	unit_from(u, HOST1, 1024); /* not a reserved port */
	assert_int_equal(getattr_status(u, handle), NFS3ERR_ACCES);
	u->config.reserved_port = false;
	unit_from(u, HOST1, 1024);
	assert_int_equal(getattr_status(u, handle), NFS3_OK);
}

static void a_lease_that_moves_takes_the_handle_along(void **state)
{
	struct unit_nfs *u = *state;
	nfs_fh3 handle = unit_handle_of(u, 1, FAKE_VERSION, 1);

	assert_int_equal(getattr_status(u, handle), NFS3_OK);
	assert_int_equal(db_exec(u->db, "UPDATE host SET address = NULL WHERE id = 1;"
					"UPDATE host SET address = 167772165 WHERE id = 4;"),
			 0);
	exports_poll(u->nfs.exports);
	nfs_refresh(&u->nfs);
	assert_int_equal(getattr_status(u, handle), NFS3ERR_ACCES);
	assert_int_equal(getattr_status(u, unit_handle_of(u, 4, FAKE_VERSION, 1)), NFS3_OK);
}

static uint32_t lookup(struct unit_nfs *u, nfs_fh3 dir, const char *name, LOOKUP3res *res)
{
	LOOKUP3args args = {{dir, (char *)name}};

	unit_nfs3(u, NFSPROC3_LOOKUP, XDR_OF(xdr_LOOKUP3args), &args, XDR_OF(xdr_LOOKUP3res), res);
	return res->status;
}

static void lookup_gives_handle_and_both_attributes(void **state)
{
	struct unit_nfs *u = *state;
	LOOKUP3res res = {0};
	RES(LOOKUP3res, res);
	LOOKUP3resok *ok = &res.LOOKUP3res_u.resok;

	assert_int_equal(lookup(u, unit_handle(u, "/dir"), "a", &res), NFS3_OK);
	assert_int_equal(ok->object.data.data_len, HANDLE_SIZE);
	assert_true(ok->obj_attributes.attributes_follow);
	assert_int_equal(ok->obj_attributes.post_op_attr_u.attributes.fileid, fake_node("/dir/a"));
	assert_int_equal(ok->dir_attributes.post_op_attr_u.attributes.fileid, fake_node("/dir"));
	assert_memory_equal(ok->object.data.data_val, unit_handle(u, "/dir/a").data.data_val,
			    HANDLE_SIZE);
	xdr_free(XDR_OF(xdr_LOOKUP3res), &res);
	memset(&res, 0, sizeof(res));
	assert_int_equal(lookup(u, unit_handle(u, "/"), "..", &res), NFS3_OK);
	assert_int_equal(ok->obj_attributes.post_op_attr_u.attributes.fileid, VIEW_ROOT);
	xdr_free(XDR_OF(xdr_LOOKUP3res), &res);
	memset(&res, 0, sizeof(res));
	assert_int_equal(lookup(u, unit_handle(u, "/dir"), ".", &res), NFS3_OK);
	assert_int_equal(ok->obj_attributes.post_op_attr_u.attributes.fileid, fake_node("/dir"));
}

static void lookup_that_fails_tells_the_directory(void **state)
{
	struct unit_nfs *u = *state;
	char name[300];
	LOOKUP3res res = {0};
	post_op_attr *dir = &res.LOOKUP3res_u.resfail.dir_attributes;

	assert_int_equal(lookup(u, unit_handle(u, "/dir"), "none", &res), NFS3ERR_NOENT);
	assert_true(dir->attributes_follow);
	assert_int_equal(lookup(u, unit_handle(u, "/dir/a"), "x", &res), NFS3ERR_NOTDIR);
	assert_true(dir->attributes_follow);
	memset(name, 'n', sizeof(name));
	name[256] = '\0';
	assert_int_equal(lookup(u, unit_handle(u, "/dir"), name, &res), NFS3ERR_NAMETOOLONG);
	name[255] = '\0';
	assert_int_equal(lookup(u, unit_handle(u, "/dir"), name, &res), NFS3ERR_NOENT);
	u->uid = 1000;
	assert_int_equal(lookup(u, unit_handle(u, "/dir/sub"), "deep", &res), NFS3ERR_ACCES);
	u->uid = 0;
	assert_int_equal(lookup(u, unit_handle_of(u, 1, 9, 1), "x", &res), NFS3ERR_STALE);
	assert_false(dir->attributes_follow);
}

static uint32_t access_of(struct unit_nfs *u, const char *path, uint32_t asked)
{
	ACCESS3args args = {unit_handle(u, path), asked};
	ACCESS3res res = {0};

	unit_nfs3(u, NFSPROC3_ACCESS, XDR_OF(xdr_ACCESS3args), &args, XDR_OF(xdr_ACCESS3res), &res);
	assert_int_equal(res.status, NFS3_OK);
	assert_true(res.ACCESS3res_u.resok.obj_attributes.attributes_follow);
	return res.ACCESS3res_u.resok.access;
}

static void access_never_grants_a_change(void **state)
{
	struct unit_nfs *u = *state;

	assert_int_equal(access_of(u, "/dir", 0x3f), ACCESS3_READ | ACCESS3_LOOKUP);
	assert_int_equal(access_of(u, "/dir/a", 0x3f), ACCESS3_READ);
	assert_int_equal(access_of(u, "/sbin/init", 0x3f), ACCESS3_READ | ACCESS3_EXECUTE);
	assert_int_equal(access_of(u, "/sbin/init", ACCESS3_EXECUTE), ACCESS3_EXECUTE);
	assert_int_equal(access_of(u, "/usr/bin/tool", 0x3f), ACCESS3_READ | ACCESS3_EXECUTE);
	u->uid = u->gid = 5;
	assert_int_equal(access_of(u, "/usr/bin/tool", 0x3f), ACCESS3_EXECUTE);
	assert_int_equal(access_of(u, "/secret", 0x3f), 0);
	u->uid = 1000;
	assert_int_equal(access_of(u, "/secret", 0x3f), ACCESS3_READ);
	u->uid = 0;
	u->config.squash = NFS_SQUASH_ROOT;
	assert_int_equal(access_of(u, "/dir/sub", 0x3f), 0);
	assert_int_equal(access_of(u, "/dir", 0x3f), ACCESS3_READ | ACCESS3_LOOKUP);
	u->uid = 1000;
	assert_int_equal(access_of(u, "/secret", 0x3f), ACCESS3_READ);
	u->config.squash = NFS_SQUASH_ALL;
	assert_int_equal(access_of(u, "/secret", 0x3f), 0);
}

static void readlink_is_for_links(void **state)
{
	struct unit_nfs *u = *state;
	READLINK3args args = {unit_handle(u, "/bin")};
	READLINK3res res = {0};

	unit_nfs3(u, NFSPROC3_READLINK, XDR_OF(xdr_READLINK3args), &args, XDR_OF(xdr_READLINK3res),
		  &res);
	assert_int_equal(res.status, NFS3_OK);
	assert_string_equal(res.READLINK3res_u.resok.data, "usr/bin");
	xdr_free(XDR_OF(xdr_READLINK3res), &res);
	args.symlink = unit_handle(u, "/dir");
	unit_nfs3(u, NFSPROC3_READLINK, XDR_OF(xdr_READLINK3args), &args, XDR_OF(xdr_READLINK3res),
		  &res);
	assert_int_equal(res.status, NFS3ERR_INVAL);
	assert_true(res.READLINK3res_u.resfail.obj_attributes.attributes_follow);
}

static void read_at(struct unit_nfs *u, const char *path, uint64_t offset, uint32_t count,
		    READ3res *res)
{
	READ3args args = {unit_handle(u, path), offset, count};

	xdr_free(XDR_OF(xdr_READ3res), res);
	memset(res, 0, sizeof(*res));
	unit_nfs3(u, NFSPROC3_READ, XDR_OF(xdr_READ3args), &args, XDR_OF(xdr_READ3res), res);
}

static void read_gives_bytes_count_and_eof(void **state)
{
	struct unit_nfs *u = *state;
	static const struct {
		uint64_t offset;
		uint32_t count;
		uint32_t want;
		bool eof;
	} cases[] = {
		{0, 0, 0, false},
		{0, 1, 1, false},
		{1, 4096, 4096, false},
		{0, 1 << 20, 1 << 20, false},
		{0, 2 << 20, 1 << 20, false}, /* more than rtmax */
		{FAKE_DATA_SIZE - 10, 10, 10, true},
		{FAKE_DATA_SIZE - 10, 9, 9, false},
		{FAKE_DATA_SIZE - 10, 4096, 10, true},
		{FAKE_DATA_SIZE - 1, 1, 1, true},
		{FAKE_DATA_SIZE, 100, 0, true},
		{FAKE_DATA_SIZE + 1, 100, 0, true},
		{UINT64_MAX, UINT32_MAX, 0, true},
	};
	READ3res res = {0};
	READ3resok *ok = &res.READ3res_u.resok;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		read_at(u, "/data", cases[i].offset, cases[i].count, &res);
		assert_int_equal(res.status, NFS3_OK);
		assert_int_equal(ok->count, cases[i].want);
		assert_int_equal(ok->data.data_len, cases[i].want);
		assert_int_equal(ok->eof, cases[i].eof);
		assert_true(ok->file_attributes.attributes_follow);
		for (uint32_t j = 0; j < cases[i].want; j += 997)
			assert_int_equal((uint8_t)ok->data.data_val[j],
					 fake_byte(cases[i].offset + j));
	}
	read_at(u, "/dir/b", 0, 10, &res);
	assert_int_equal(ok->count, 0);
	assert_true(ok->eof);
	u->caller.tcp = false;
	read_at(u, "/data", 0, 1 << 20, &res);
	assert_int_equal(ok->count, 32768);
	assert_true(u->len < 65507);
	xdr_free(XDR_OF(xdr_READ3res), &res);
}

static void read_is_for_files_that_may_be_read(void **state)
{
	struct unit_nfs *u = *state;
	READ3res res = {0};

	read_at(u, "/dir", 0, 1, &res);
	assert_int_equal(res.status, NFS3ERR_ISDIR);
	assert_true(res.READ3res_u.resfail.obj_attributes.attributes_follow);
	read_at(u, "/bin", 0, 1, &res);
	assert_int_equal(res.status, NFS3ERR_INVAL);
	read_at(u, "/dev/pipe", 0, 1, &res);
	assert_int_equal(res.status, NFS3ERR_INVAL);
	u->uid = u->gid = 5;
	read_at(u, "/secret", 0, 1, &res);
	assert_int_equal(res.status, NFS3ERR_ACCES);
	read_at(u, "/usr/bin/tool", 0, 1, &res); /* execute-only: paged in by NFS */
	assert_int_equal(res.status, NFS3_OK);
	u->uid = 0;
	u->config.squash = NFS_SQUASH_ROOT;
	read_at(u, "/secret", 0, 1, &res);
	assert_int_equal(res.status, NFS3ERR_ACCES);
	xdr_free(XDR_OF(xdr_READ3res), &res);
}

struct waiting {
	struct content_wait wait;
	struct unit_nfs *u;
	struct rpc_parked parked;
	unsigned int done;
};

static void waiting_done(struct content_wait *wait, int r, struct content *content)
{
	struct waiting *w = container(wait, struct waiting, wait);
	struct unit_nfs *u = w->u;

	u->reply = (struct reply){.w = writer_of(u->buf, sizeof(u->buf))};
	rpc_resume(&u->nfs, &u->caller, &w->parked, r, content, &u->reply);
	if (u->reply.body)
		unit_copy_body(u);
	u->len = writer_len(&u->reply.w);
	u->verdict = RPC_SEND;
	w->done++;
}

/* A READ of what is not there yet.  Returns its xid. */
static uint32_t read_parks(struct unit_nfs *u, READ3args *args, struct waiting *w)
{
	struct content *none = NULL;
	uint32_t xid;

	fake_miss(true);
	unit_write(u, NFS3_PROGRAM, 3, NFSPROC3_READ, XDR_OF(xdr_READ3args), args);
	xid = u->xid;
	unit_send(u, false);
	assert_int_equal(u->verdict, RPC_PARK);
	w->parked = u->reply.parked;
	assert_int_equal(
		contents_open(u->nfs.contents, w->parked.view, w->parked.node, &none, &w->wait),
		CONTENT_WAIT);
	return xid;
}

static void a_read_miss_parks_and_goes_on_later(void **state)
{
	struct unit_nfs *u = *state;
	READ3args args = {unit_handle(u, "/dir/a"), 1, 100};
	READ3res res = {0};
	struct waiting w = {.wait.done = waiting_done, .u = u};
	struct event e = {0};
	uint32_t xid;

	for (int r = 0; r >= -EIO; r -= EIO) {
		xid = read_parks(u, &args, &w);
		/* others go on meanwhile */
		assert_int_equal(getattr_status(u, unit_handle(u, "/dir")), NFS3_OK);
		fake_overlay_moved();
		fake_miss(false);
		fake_arrive(u->nfs.contents, r);
		u->xid = xid;
		unit_read(u, XDR_OF(xdr_READ3res), &res);
		assert_int_equal(res.status, r ? NFS3ERR_IO : NFS3_OK);
		if (!r)
			assert_memory_equal(res.READ3res_u.resok.data.data_val, "lpha", 4);
		while (r && (e = unit_event(u)).kind == EVENT_ALIVE)
			;
		xdr_free(XDR_OF(xdr_READ3res), &res);
		memset(&res, 0, sizeof(res));
	}
	assert_int_equal(w.done, 2);
	assert_int_equal(e.kind, EVENT_BROKEN);
	assert_int_equal(e.step, STEP_ROOT);
	assert_string_equal(e.text, "node 9: Input/output error");
}

/* Its origin changed since the scan. */
static void a_read_miss_brings_other_permissions(void **state)
{
	struct unit_nfs *u = *state;
	READ3args args = {unit_handle(u, "/dir/a"), 1, 100};
	READ3res res = {0};
	struct waiting w = {.wait.done = waiting_done, .u = u};
	uint32_t xid;

	u->uid = u->gid = 5;
	xid = read_parks(u, &args, &w);
	fake_miss(false);
	fake_mode = S_IFREG | 0600;
	fake_arrive(u->nfs.contents, 0);
	fake_mode = 0;
	u->xid = xid;
	unit_read(u, XDR_OF(xdr_READ3res), &res);
	assert_int_equal(res.status, NFS3ERR_ACCES);
	assert_int_equal(res.READ3res_u.resfail.obj_attributes.post_op_attr_u.attributes.mode,
			 0600);
	assert_int_equal(w.done, 1);
	xdr_free(XDR_OF(xdr_READ3res), &res);
}

/* Where there is no memory for it, or the database fails. */
static void a_tree_that_cannot_be_had_is_told(void **state)
{
	struct unit_nfs *u = *state;
	nfs_fh3 fh = unit_handle(u, "/data");
	struct event e;

	fake_no_view = -ENOMEM;
	assert_int_equal(getattr_status(u, fh), NFS3ERR_SERVERFAULT);
	e = unit_event(u);
	assert_int_equal(e.kind, EVENT_BROKEN);
	assert_int_equal(e.step, STEP_ROOT);
	assert_string_equal(e.text, "its tree: Cannot allocate memory");
	fake_no_view = 0;
	assert_int_equal(getattr_status(u, fh), NFS3_OK);
}

static void init_is_told_at_its_first_read(void **state)
{
	struct unit_nfs *u = *state;
	READ3res res = {0};
	struct event e;

	read_at(u, "/data", 0, 10, &res);
	e = unit_event(u);
	assert_int_equal(e.kind, EVENT_ALIVE);
	assert_int_equal(e.step, STEP_ROOT);
	assert_int_equal(unit_event(u).kind, 0);
	read_at(u, "/sbin/init", 0, 10, &res);
	e = unit_event(u);
	assert_int_equal(e.kind, EVENT_INIT);
	assert_int_equal(e.host, 1);
	assert_int_equal(e.address, HOST1);
	read_at(u, "/sbin/init", 0, 10, &res);
	unit_from(u, HOST1, 701); /* a new connection */
	read_at(u, "/sbin/init", 0, 10, &res);
	assert_int_equal(unit_event(u).kind, 0);
	/* a minute later it is alive again, and whoever missed the one hears of the other */
	u->nfs.now_ns += 61 * (int64_t)1000000000;
	read_at(u, "/data", 0, 10, &res);
	e = unit_event(u);
	assert_int_equal(e.kind, EVENT_ALIVE);
	assert_int_equal(e.step, STEP_INIT);
	assert_int_equal(unit_event(u).kind, 0);
	xdr_free(XDR_OF(xdr_READ3res), &res);
}

static void reading_a_secret_is_told(void **state)
{
	struct unit_nfs *u = *state;
	READ3res res = {0};
	struct event e;

	read_at(u, "/secret", 0, 10, &res);
	assert_int_equal(unit_event(u).kind, EVENT_ALIVE);
	e = unit_event(u);
	assert_int_equal(e.kind, EVENT_FILE);
	assert_int_equal(e.host, 1);
	read_at(u, "/secret", 1, 10, &res);
	assert_int_equal(unit_event(u).kind, 0);
	xdr_free(XDR_OF(xdr_READ3res), &res);
}

static void a_setting_names_another_init(void **state)
{
	struct unit_nfs *u = *state;
	READ3res res = {0};

	assert_int_equal(db_exec(u->db, "INSERT INTO setting VALUES (2, 1, 'init', '/bin/tool')"),
			 0);
	exports_poll(u->nfs.exports);
	nfs_refresh(&u->nfs);
	read_at(u, "/sbin/init", 0, 10, &res);
	assert_int_equal(unit_event(u).kind, EVENT_ALIVE);
	assert_int_equal(unit_event(u).kind, 0);
	read_at(u, "/usr/bin/tool", 0, 10, &res);
	assert_int_equal(unit_event(u).kind, EVENT_INIT);
	xdr_free(XDR_OF(xdr_READ3res), &res);
}

/* Reads a whole directory by replies of `count`; returns the number of names,
 * checking that no reply is over the limit and no cookie comes twice. */
static unsigned int list(struct unit_nfs *u, const char *path, uint32_t count, bool plus)
{
	unsigned int n = 0;
	uint64_t cookie = 0;
	bool eof = false;

	while (!eof) {
		uint64_t before = cookie;

		if (plus) {
			READDIRPLUS3args args = {unit_handle(u, path), cookie, {0}, count, count};
			READDIRPLUS3res res = {0};
			READDIRPLUS3resok *ok = &res.READDIRPLUS3res_u.resok;

			unit_nfs3(u, NFSPROC3_READDIRPLUS, XDR_OF(xdr_READDIRPLUS3args), &args,
				  XDR_OF(xdr_READDIRPLUS3res), &res);
			assert_int_equal(res.status, NFS3_OK);
			assert_true(u->len - RPC_REPLY_HEADER - 4 <= count);
			for (entryplus3 *e = ok->reply.entries; e; e = e->nextentry, n++) {
				assert_int_not_equal(e->cookie, 0);
				cookie = e->cookie;
				assert_true(e->name_attributes.attributes_follow);
				assert_int_equal(
					e->name_attributes.post_op_attr_u.attributes.fileid,
					e->fileid);
				assert_int_equal(e->name_handle.post_op_fh3_u.handle.data.data_len,
						 HANDLE_SIZE);
			}
			eof = ok->reply.eof;
			xdr_free(XDR_OF(xdr_READDIRPLUS3res), &res);
		} else {
			READDIR3args args = {unit_handle(u, path), cookie, {0}, count};
			READDIR3res res = {0};
			READDIR3resok *ok = &res.READDIR3res_u.resok;

			unit_nfs3(u, NFSPROC3_READDIR, XDR_OF(xdr_READDIR3args), &args,
				  XDR_OF(xdr_READDIR3res), &res);
			assert_int_equal(res.status, NFS3_OK);
			assert_true(u->len - RPC_REPLY_HEADER - 4 <= count);
			for (entry3 *e = ok->reply.entries; e; e = e->nextentry, n++)
				cookie = e->cookie;
			eof = ok->reply.eof;
			xdr_free(XDR_OF(xdr_READDIR3res), &res);
		}
		assert_true(eof || cookie != before);
	}
	return n;
}

static void readdir_is_whole_at_every_size(void **state)
{
	struct unit_nfs *u = *state;

	for (uint32_t count = 140; count < 600; count++)
		assert_int_equal(list(u, "/dir", count, false), 5);
	for (uint32_t count = 280; count < 1500; count++)
		assert_int_equal(list(u, "/dir", count, true), 5);
	assert_int_equal(list(u, "/empty", 65536, false), 2);
	assert_int_equal(list(u, "/empty", UINT32_MAX, true), 2);
	assert_int_equal(list(u, "/many", 4096, true), 1002);
	assert_int_equal(list(u, "/many", 1 << 20, false), 1002);
	u->caller.tcp = false;
	assert_int_equal(list(u, "/many", 1 << 20, true), 1002);
}

static void readdir_refuses_what_cannot_be(void **state)
{
	struct unit_nfs *u = *state;
	READDIR3args args = {unit_handle(u, "/dir"), 0, {0}, 100};
	READDIR3res res = {0};

	for (args.count = 0; args.count < 132; args.count += 4) {
		args.dir = unit_handle(u, "/dir");
		unit_nfs3(u, NFSPROC3_READDIR, XDR_OF(xdr_READDIR3args), &args,
			  XDR_OF(xdr_READDIR3res), &res);
		assert_int_equal(res.status, NFS3ERR_TOOSMALL);
		assert_true(res.READDIR3res_u.resfail.obj_attributes.attributes_follow);
	}
	args = (READDIR3args){unit_handle(u, "/dir/a"), 0, {0}, 4096};
	unit_nfs3(u, NFSPROC3_READDIR, XDR_OF(xdr_READDIR3args), &args, XDR_OF(xdr_READDIR3res),
		  &res);
	assert_int_equal(res.status, NFS3ERR_NOTDIR);
	/* past the last one: nothing, and the end */
	args = (READDIR3args){unit_handle(u, "/dir"), UINT32_MAX, {0}, 4096};
	unit_nfs3(u, NFSPROC3_READDIR, XDR_OF(xdr_READDIR3args), &args, XDR_OF(xdr_READDIR3res),
		  &res);
	assert_int_equal(res.status, NFS3_OK);
	assert_null(res.READDIR3res_u.resok.reply.entries);
	assert_true(res.READDIR3res_u.resok.reply.eof);
	u->uid = 5;
	args.dir = unit_handle(u, "/dir/sub");
	unit_nfs3(u, NFSPROC3_READDIR, XDR_OF(xdr_READDIR3args), &args, XDR_OF(xdr_READDIR3res),
		  &res);
	assert_int_equal(res.status, NFS3ERR_ACCES);
}

static void fsinfo_fsstat_pathconf_have_what_clients_need(void **state)
{
	struct unit_nfs *u = *state;
	nfs_fh3 root = unit_handle(u, "/");
	FSINFO3res info = {0};
	FSSTAT3res stat = {0};
	PATHCONF3res conf = {0};
	FSINFO3resok *i = &info.FSINFO3res_u.resok;

	unit_nfs3(u, NFSPROC3_FSINFO, XDR_OF(xdr_nfs_fh3), &root, XDR_OF(xdr_FSINFO3res), &info);
	assert_int_equal(info.status, NFS3_OK);
	assert_int_equal(i->rtmax, 1 << 20);
	assert_int_equal(i->rtpref, 1 << 20);
	assert_int_equal(i->dtpref, 65536);
	assert_int_not_equal(i->wtmax, 0);
	assert_int_equal(i->properties & FSF3_CANSETTIME, 0);
	u->caller.tcp = false;
	unit_nfs3(u, NFSPROC3_FSINFO, XDR_OF(xdr_nfs_fh3), &root, XDR_OF(xdr_FSINFO3res), &info);
	assert_int_equal(i->rtmax, 32768);
	unit_nfs3(u, NFSPROC3_FSSTAT, XDR_OF(xdr_nfs_fh3), &root, XDR_OF(xdr_FSSTAT3res), &stat);
	assert_int_equal(stat.status, NFS3_OK);
	assert_int_equal(stat.FSSTAT3res_u.resok.fbytes, 0);
	unit_nfs3(u, NFSPROC3_PATHCONF, XDR_OF(xdr_nfs_fh3), &root, XDR_OF(xdr_PATHCONF3res),
		  &conf);
	assert_int_equal(conf.PATHCONF3res_u.resok.name_max, 255);
	assert_true(conf.PATHCONF3res_u.resok.no_trunc);
	assert_true(conf.PATHCONF3res_u.resok.chown_restricted);
	assert_true(conf.PATHCONF3res_u.resok.case_preserving);
	root = unit_handle_of(u, 1, 9, 1);
	unit_nfs3(u, NFSPROC3_FSSTAT, XDR_OF(xdr_nfs_fh3), &root, XDR_OF(xdr_FSSTAT3res), &stat);
	assert_int_equal(stat.status, NFS3ERR_STALE);
	unit_nfs3(u, NFSPROC3_FSINFO, XDR_OF(xdr_nfs_fh3), &root, XDR_OF(xdr_FSINFO3res), &info);
	assert_int_equal(info.status, NFS3ERR_STALE);
	unit_nfs3(u, NFSPROC3_PATHCONF, XDR_OF(xdr_nfs_fh3), &root, XDR_OF(xdr_PATHCONF3res),
		  &conf);
	assert_int_equal(conf.status, NFS3ERR_STALE);
}

static void every_change_is_refused_with_wcc_data(void **state)
{
	struct unit_nfs *u = *state;
	char name[] = "new";
	char target[] = "there";
	diropargs3 where = {unit_handle(u, "/dir"), name};
	SETATTR3args setattr = {.object = unit_handle(u, "/dir/a")};
	WRITE3args write = {unit_handle(u, "/dir/a"), 0, 3, FILE_SYNC, {3, name}};
	COMMIT3args commit = {unit_handle(u, "/dir/a"), 0, 0};
	CREATE3args create = {.where = where};
	MKDIR3args mkdir = {.where = where};
	SYMLINK3args symlink = {where, {.symlink_data = target}};
	MKNOD3args mknod = {where, {.type = NF3FIFO}};
	const struct {
		uint32_t proc;
		xdrproc_t fn;
		void *args;
		const char *path;
	} calls[] = {
		{NFSPROC3_SETATTR, XDR_OF(xdr_SETATTR3args), &setattr, "/dir/a"},
		{NFSPROC3_WRITE, XDR_OF(xdr_WRITE3args), &write, "/dir/a"},
		{NFSPROC3_COMMIT, XDR_OF(xdr_COMMIT3args), &commit, "/dir/a"},
		{NFSPROC3_CREATE, XDR_OF(xdr_CREATE3args), &create, "/dir"},
		{NFSPROC3_MKDIR, XDR_OF(xdr_MKDIR3args), &mkdir, "/dir"},
		{NFSPROC3_SYMLINK, XDR_OF(xdr_SYMLINK3args), &symlink, "/dir"},
		{NFSPROC3_MKNOD, XDR_OF(xdr_MKNOD3args), &mknod, "/dir"},
		{NFSPROC3_REMOVE, XDR_OF(xdr_diropargs3), &where, "/dir"},
		{NFSPROC3_RMDIR, XDR_OF(xdr_diropargs3), &where, "/dir"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		WCC3res res = {0};

		/* each has its handle in front: renew it, the pool of four is small */
		*(nfs_fh3 *)calls[i].args = unit_handle(u, calls[i].path);
		unit_nfs3(u, calls[i].proc, calls[i].fn, calls[i].args, XDR_OF(xdr_WCC3res), &res);
		assert_int_equal(res.status, NFS3ERR_ROFS);
		assert_false(res.wcc.before.attributes_follow);
		assert_true(res.wcc.after.attributes_follow);
		assert_int_equal(res.wcc.after.post_op_attr_u.attributes.fileid,
				 fake_node(calls[i].path));
		/* the handle comes before the refusal */
		*(nfs_fh3 *)calls[i].args = unit_handle_of(u, 2, FAKE_VERSION, 1);
		unit_nfs3(u, calls[i].proc, calls[i].fn, calls[i].args, XDR_OF(xdr_WCC3res), &res);
		assert_int_equal(res.status, NFS3ERR_ACCES);
		assert_false(res.wcc.after.attributes_follow);
		/* and the arguments before the handle */
		unit_write(u, NFS3_PROGRAM, 3, calls[i].proc, calls[i].fn, calls[i].args);
		u->call_len -= 4;
		unit_send(u, false);
		assert_int_equal(u->buf[23], GARBAGE_ARGS);
	}
}

static void rename_and_link_tell_both_ends(void **state)
{
	struct unit_nfs *u = *state;
	char a[] = "a";
	char b[] = "b";
	RENAME3args rename = {{unit_handle(u, "/dir"), a}, {unit_handle(u, "/empty"), b}};
	RENAME3res renamed = {0};
	LINK3args link = {unit_handle(u, "/dir/a"), {unit_handle(u, "/dir"), b}};
	LINK3res linked = {0};

	unit_nfs3(u, NFSPROC3_RENAME, XDR_OF(xdr_RENAME3args), &rename, XDR_OF(xdr_RENAME3res),
		  &renamed);
	assert_int_equal(renamed.status, NFS3ERR_ROFS);
	assert_int_equal(renamed.fromdir_wcc.after.post_op_attr_u.attributes.fileid,
			 fake_node("/dir"));
	assert_int_equal(renamed.todir_wcc.after.post_op_attr_u.attributes.fileid,
			 fake_node("/empty"));
	unit_nfs3(u, NFSPROC3_LINK, XDR_OF(xdr_LINK3args), &link, XDR_OF(xdr_LINK3res), &linked);
	assert_int_equal(linked.status, NFS3ERR_ROFS);
	assert_int_equal(linked.file_attributes.post_op_attr_u.attributes.fileid,
			 fake_node("/dir/a"));
	assert_int_equal(linked.linkdir_wcc.after.post_op_attr_u.attributes.fileid,
			 fake_node("/dir"));
	/* two trees in one call: an admin's */
	unit_from(u, ADMIN, 700);
	rename.from.dir = unit_handle_of(u, 1, FAKE_VERSION, fake_node("/dir"));
	rename.to.dir = unit_handle_of(u, 2, FAKE_VERSION, fake_node("/empty"));
	unit_nfs3(u, NFSPROC3_RENAME, XDR_OF(xdr_RENAME3args), &rename, XDR_OF(xdr_RENAME3res),
		  &renamed);
	assert_int_equal(renamed.fromdir_wcc.after.post_op_attr_u.attributes.fsid >> 32, 1);
	assert_int_equal(renamed.todir_wcc.after.post_op_attr_u.attributes.fsid >> 32, 2);
}

static void a_write_that_was_cut_is_refused_like_another(void **state)
{
	struct unit_nfs *u = *state;
	char data[4000] = {0};
	WRITE3args write = {unit_handle(u, "/dir/a"), 0, 1 << 20, FILE_SYNC, {sizeof(data), data}};
	WCC3res res = {0};

	unit_write(u, NFS3_PROGRAM, 3, NFSPROC3_WRITE, XDR_OF(xdr_WRITE3args), &write);
	u->call_len = 1000;
	unit_send(u, true);
	unit_read(u, XDR_OF(xdr_WCC3res), &res);
	assert_int_equal(res.status, NFS3ERR_ROFS);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, unit_nfs_setup, unit_nfs_teardown)
	const struct CMUnitTest tests[] = {
		T(getattr_tells_all_of_an_object),
		T(handles_that_are_not_good_are_told_apart),
		T(a_handle_is_for_its_address_or_an_admin),
		T(a_lease_that_moves_takes_the_handle_along),
		T(lookup_gives_handle_and_both_attributes),
		T(lookup_that_fails_tells_the_directory),
		T(access_never_grants_a_change),
		T(readlink_is_for_links),
		T(read_gives_bytes_count_and_eof),
		T(read_is_for_files_that_may_be_read),
		T(a_read_miss_parks_and_goes_on_later),
		T(a_read_miss_brings_other_permissions),
		T(a_tree_that_cannot_be_had_is_told),
		T(init_is_told_at_its_first_read),
		T(reading_a_secret_is_told),
		T(a_setting_names_another_init),
		T(readdir_is_whole_at_every_size),
		T(readdir_refuses_what_cannot_be),
		T(fsinfo_fsstat_pathconf_have_what_clients_need),
		T(every_change_is_refused_with_wcc_data),
		T(rename_and_link_tell_both_ends),
		T(a_write_that_was_cut_is_refused_like_another),
	};

	fake_many(1000);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
