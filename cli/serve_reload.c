/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The configuration is read again, by SIGHUP or `rootstock reload`: what is wrong with it
 * is said, and all stays as it was; else what changed is said, key by key, and who it
 * concerns starts over, with the sockets of the others untouched.
 */
#include "cli/serve_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { RELOAD_MS = 30000 };

struct telling {
	struct asker *asker; /* NULL: nobody waits */
	unsigned int parts;
	unsigned int changes;
};

static void tell(struct asker *asker, const char *line)
{
	if (!asker)
		return;
	asker_say(asker, line, strlen(line));
	asker_say(asker, "\n", 1);
}

static void tell_change(void *ctx, const struct config_change *change)
{
	struct telling *t = ctx;
	char raw[512];
	char line[600];

	snprintf(raw, sizeof(raw), "[%s] %s: %s -> %s", change->section, change->key,
		 change->before ? change->before : "(not set)",
		 change->after ? change->after : "(not set)");
	log_printable(line, sizeof(line), raw, strlen(raw));
	log_info("configuration: %s", line);
	tell(t->asker, line);
	t->parts |= config_key_parts(change->section, change->key);
	t->changes++;
}

static void renew(struct serve *v, unsigned int parts)
{
	static const struct {
		unsigned int part;
		int service;
	} all[] = {
		{CONFIG_OF_COPIER, SERVICE_COPIER},   {CONFIG_OF_DHCP, SERVICE_DHCP},
		{CONFIG_OF_TFTP, SERVICE_TFTP},	      {CONFIG_OF_NFS, SERVICE_NFS},
		{CONFIG_OF_METRICS, SERVICE_METRICS},
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (parts & all[i].part)
			child_renew(v, all[i].service);
}

int serve_reload(struct serve *v, struct asker *asker)
{
	struct telling t = {.asker = asker};
	struct footing footing;
	struct why why = {""};
	int r;

	health_reloading(v);
	r = footing_make(v, &footing, &why);
	if (r) {
		health_note(v);
		log_error("configuration: not taken, serving as before: %s", why_text(&why, r));
		if (asker)
			asker_fail(asker, r, &why);
		return r;
	}
	if (config_changes(v->config_fd, footing.config_fd, tell_change, &t))
		t.parts = CONFIG_OF_ALL; /* out of memory: not told, but done */
	if (footing.nfs_moved)
		t.parts |= CONFIG_OF_NFS;
	footing_take(v, &footing);
	children_share(v); /* the configuration's descriptor is another in any case */
	if (t.parts) {
		renew(v, t.parts);
		wires_note(v);
	}
	registration_look(v);
	health_note(v);
	log_info("configuration: read again, %u key%s changed", t.changes,
		 t.changes == 1 ? "" : "s");
	if (!t.changes)
		tell(asker, "nothing has changed");
	if (asker)
		asker_end(asker);
	return 0;
}

/* ---- the command ---- */

static int reload_command(struct cli *cli)
{
	cleanup(freep) char *answer = NULL;
	size_t len;
	int r = control_ask(cli->state_dir, "serve", "reload", RELOAD_MS, &answer, &len, &cli->why);

	if (r)
		return r;
	fputs(answer, stdout);
	return 0;
}

const struct command command_reload = {
	.words = "reload",
	.run = reload_command,
};
