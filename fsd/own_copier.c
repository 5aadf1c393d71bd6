/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/own_copier.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/db.h"
#include "common/log.h"
#include "common/schema.h"
#include "fsd/copier.h"
#include "fsd/image.h"

struct own_copier {
	struct copier *copier;
	const char *state_dir;
	struct db *db; /* the copier's thread's */
	int listen_fd;
	int lock_fd;
};

static void on_sealed(void *ctx, uint32_t version, const struct hash *digest)
{
	struct own_copier *own = ctx;
	struct why why = {""};
	int r = 0;

	if (!own->db)
		r = db_open(own->state_dir, &schema_rootstock, DB_WRITE, &own->db, &why);
	if (!r)
		r = image_sealed(own->db, version, digest);
	if (r)
		log_error("version %u: sealed, but rootstock.db does not know: %s", version,
			  own->db ? db_error(own->db) : why_text(&why, r));
}

static int own_copier_listen(struct own_copier *own, struct why *why)
{
	struct why held = {""};
	int r = copier_listen(own->state_dir, &own->listen_fd, &own->lock_fd, &held);

	if (r == -EACCES || r == -EROFS)
		log_warn("files that nobody has read yet need a running server: %s",
			 why_text(&held, r));
	else if (r && r != -EBUSY)
		why_set(why, r, "%s", why_text(&held, r));
	return r;
}

int own_copier_start(const char *state_dir, bool fill, struct own_copier **out, struct why *why)
{
	cleanup(own_copier_stopp) struct own_copier *own = calloc(1, sizeof(*own));
	struct copier_config config = {
		.state_dir = state_dir, .sealed = on_sealed, .ctx = own, .asked_only = !fill};
	int r;

	if (!own)
		return -ENOMEM;
	own->state_dir = state_dir;
	own->listen_fd = own->lock_fd = -1;
	r = own_copier_listen(own, why);
	if (r == -EBUSY || r == -EACCES || r == -EROFS) {
		*out = NULL;
		return 0;
	}
	config.listen_fd = own->listen_fd;
	config.lock_fd = own->lock_fd;
	/* Of a server that starts meanwhile, whose own waits for the lock. */
	if (!r)
		r = copier_clients(config.clients, why);
	if (!r)
		r = copier_start(&config, &own->copier, why);
	if (r)
		return r;
	*out = take(&own);
	return 0;
}

void own_copier_stop(struct own_copier *own)
{
	char path[PATH_MAX];

	if (!own)
		return;
	copier_stop(own->copier);
	db_close(own->db);
	if (own->listen_fd >= 0) {
		snprintf(path, sizeof(path), "%s/" COPIER_SOCKET, own->state_dir);
		unlink(path); /* nobody else's: the lock is still held */
	}
	closep(&own->listen_fd);
	closep(&own->lock_fd);
	free(own);
}
