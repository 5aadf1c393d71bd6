/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The virtual tree: none of it is on disk as clients see it.
 *
 *	name --clean--> kind --menu--> rendered for the host that calls
 *	                     --kernel, initrd--> out of the host's view
 *	                     --else--> a loader, else a file of the view
 *
 * The caller is known by its address (leases, reservations), and where that is
 * unknown, by the MAC in the name that it asks for.  Files of a view are served
 * only if everybody may read them there, links resolved inside the root; a secret
 * is not reachable by any name.
 */
#ifndef TFTP_NAMESPACE_H
#define TFTP_NAMESPACE_H

#include "common/directory.h"
#include "fsd/contents.h"
#include "fsd/view.h"
#include "tftp/loader.h"
#include "tftp/tree.h"

struct namespace;

struct namespace_config {
	const struct loaders *loaders;
	struct directory *directory; /* NULL: loaders only */
	struct views *views;
	struct contents *contents;
	bool registers; /* who has a lease becomes a host */
};

/* Borrows what `config` points to, which outlives it.  The caller frees *out. */
int namespace_new(const struct namespace_config *config, struct namespace **out);
void namespace_free(struct namespace *ns); /* NULL is fine */
CLEANUP_DEFINE(struct namespace *, namespace_free);

/* For the server.  Lives as long as the namespace. */
struct tftp_tree *namespace_tree(struct namespace *ns);

#endif
