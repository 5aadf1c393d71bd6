/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What MNT grants, and what of it is told.
 */
#ifndef TESTS_UNIT_NFS_MOUNT_UNIT_H
#define TESTS_UNIT_NFS_MOUNT_UNIT_H

#include "tests/unit/nfs_call_unit.h"

static inline uint32_t mnt(struct unit_nfs *u, const char *path, fhandle3 *out)
{
	mountres3 res = {0};
	char *p = (char *)path;

	unit_call(u, MOUNT_PROGRAM, 3, MOUNTPROC3_MNT, XDR_OF(xdr_dirpath), &p,
		  XDR_OF(xdr_mountres3), &res);
	if (!res.fhs_status) {
		assert_int_equal(res.mountres3_u.mountinfo.fhandle.fhandle3_len, HANDLE_SIZE);
		assert_int_equal(res.mountres3_u.mountinfo.auth_flavors.auth_flavors_len, 1);
		assert_int_equal(res.mountres3_u.mountinfo.auth_flavors.auth_flavors_val[0],
				 AUTH_SYS);
		if (out) {
			*out = res.mountres3_u.mountinfo.fhandle;
			res.mountres3_u.mountinfo.fhandle = (fhandle3){0};
		}
		xdr_free(XDR_OF(xdr_mountres3), &res);
		return MNT3_OK;
	}
	return res.fhs_status;
}

static inline void assert_mounts(struct unit_nfs *u, const char *path, uint32_t host,
				 const char *inside)
{
	fhandle3 fh = {0};

	assert_int_equal(mnt(u, path, &fh), MNT3_OK);
	assert_memory_equal(fh.fhandle3_val,
			    unit_handle_of(u, host, FAKE_VERSION, fake_node(inside)).data.data_val,
			    HANDLE_SIZE);
	xdr_free(XDR_OF(xdr_fhandle3), &fh);
}

static inline unsigned int told(struct unit_nfs *u, uint32_t kind)
{
	struct event e;
	unsigned int n = 0;

	while (!event_receive(u->events[0], &e))
		n += e.kind == kind;
	return n;
}

#endif
