/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What `serve` is told: one INI file, and --interface.  The supervisor hands it to
 * its children as the same text, in memory, so that all of them read one thing.
 * Its sections and keys are those of rootstock.conf(5).
 */
#ifndef CLI_CONFIG_H
#define CLI_CONFIG_H

#include <stdio.h>

#include "common/log.h"
#include "common/why.h"
#include "dhcp/config.h"
#include "nfs/child.h"

enum { CONFIG_TEXT_MAX = 1 << 20 };
enum { CONFIG_ADMIN_MAX = 16, CONFIG_LOADERS_MAX = 8, CONFIG_INTERFACES_MAX = 16 };

struct config {
	char interfaces[CONFIG_INTERFACES_MAX][IFNAMSIZ];
	unsigned int ninterfaces;
	bool mode_given;	 /* full was asked for, not taken for granted */
	struct dhcp_config dhcp; /* interfaces are filled by the supervisor */
	uint16_t nfs_port;
	struct nfs_network admin[CONFIG_ADMIN_MAX];
	unsigned int nadmin;
	bool reserved_port;
	enum nfs_squash squash;
	uint16_t tftp_first; /* of the transfers' ports; 0: any */
	uint16_t tftp_last;
	bool tftp_single_port; /* transfers stay on port 69: for NAT and containers */
	char loaders[CONFIG_LOADERS_MAX][256];
	unsigned int nloaders;
	enum log_level log;
	char metrics[108]; /* cli/metrics.h; "": none */
};

/* Defaults; the caller calls config_fini() in any case. */
void config_init(struct config *c);
void config_fini(struct config *c);

/* All of the text of the file behind `fd`, which the caller frees.  The offset of the
 * descriptor is neither used nor moved: all children have one and the same.  Of a pipe it
 * is what is left.
 * Returns 0, -EFBIG (over CONFIG_TEXT_MAX), -EILSEQ (a NUL in it), ... */
int config_text(int fd, char **out);

/* Read the INI text of the file behind `fd`, as above (its `name` is for errors: "FILE:LINE:
 * KEY: what is wrong").  Returns 0 or -EINVAL, ... with words. */
int config_read(struct config *c, int fd, const char *name, struct why *why);

/* Who has to start over when a key of `section` changes. */
enum {
	CONFIG_OF_DHCP = 1,
	CONFIG_OF_TFTP = 2,
	CONFIG_OF_NFS = 4,
	CONFIG_OF_METRICS = 8,
	CONFIG_OF_COPIER = 16,
	CONFIG_OF_ALL = 31
};
unsigned int config_key_parts(const char *section, const char *key);

/* What one text sets otherwise than another, key by key; values of a key that stands
 * more than once are joined by ", ".  NULL: not set, which is the default. */
struct config_change {
	const char *section;
	const char *key;
	const char *before;
	const char *after;
};
int config_changes(int before_fd, int after_fd,
		   void (*each)(void *ctx, const struct config_change *change), void *ctx);

/* "key SECTION NAME" a line, of each that config_read() takes. */
void config_list_keys(FILE *out);

int config_add_interface(struct config *c, const char *name, struct why *why);

#endif
