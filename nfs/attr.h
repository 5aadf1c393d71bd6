/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * From fsd's answers and attributes to the statuses and attributes of NFSv3:
 * made here and nowhere else.
 */
#ifndef NFS_ATTR_H
#define NFS_ATTR_H

#include <stdint.h>

#include "common/bytes.h"
#include "fsd/view.h"
#include "nfs3.h"

enum { ATTR_SIZE = 84, ATTR_POST_OP = 4 + ATTR_SIZE };

/* An enum view_code, 0, or a negative errno. */
enum nfsstat3 attr_status(int r);

/* fattr3 */
void attr_put(struct writer *w, const struct view *view, const struct view_attr *attr);
/* post_op_attr; `attr` NULL: none follow */
void attr_put_post_op(struct writer *w, const struct view *view, const struct view_attr *attr);
/* wcc_data: nothing before, `attr` after */
void attr_put_wcc(struct writer *w, const struct view *view, const struct view_attr *attr);

#endif
