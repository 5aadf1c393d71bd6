/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The names in manifests/ are N, N.fill, and .N.RANDOM for what will be N when it is
 * whole.  Anything else is not ours to remove.
 */
#include "fsd/manifest_sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum state { NO_ROW, FILLING, SEALED };

static int state_of(struct db *db, uint32_t version, enum state *out)
{
	sqlite3_stmt *stmt = db_stmt(db, "SELECT sealed IS NOT NULL FROM version WHERE id = ?");
	int r = db_query(db, stmt, "u", version);

	if (r < 0)
		return r;
	*out = NO_ROW;
	if (r == DB_ROW)
		*out = sqlite3_column_int(stmt, 0) ? SEALED : FILLING;
	sqlite3_reset(stmt);
	return 0;
}

/* The state up to which a file of this name is wanted, and of which version; false for a
 * name that nobody of us gives. */
static bool name_parse(const char *name, uint32_t *version, enum state *last)
{
	bool draft = name[0] == '.';
	const char *digits = name + draft;
	size_t n = strspn(digits, "0123456789");
	unsigned long number = strtoul(digits, NULL, 10);

	if (!n || number > UINT32_MAX)
		return false;
	*version = (uint32_t)number;
	if (draft) {
		*last = FILLING;
		return digits[n] == '.' && strlen(digits + n + 1) == 16 &&
		       strspn(digits + n + 1, "0123456789abcdef") == 16;
	}
	*last = digits[n] ? FILLING : SEALED;
	return !digits[n] || !strcmp(digits + n, ".fill");
}

int manifest_sweep(struct db *db, const char *state_dir, struct why *why)
{
	cleanup(closedirp) DIR *stream = NULL;
	char path[PATH_MAX];
	struct dirent *d;

	snprintf(path, sizeof(path), "%s/manifests", state_dir);
	stream = opendir(path);
	if (!stream)
		return why_set(why, -errno, "%s: %m", path);
	while ((d = readdir(stream))) {
		uint32_t version;
		enum state last;
		enum state now;
		int r;

		if (!name_parse(d->d_name, &version, &last))
			continue;
		r = state_of(db, version, &now);
		if (r)
			return why_set(why, r, "%s", db_error(db));
		if (now != NO_ROW && now <= last)
			continue;
		if (unlinkat(dirfd(stream), d->d_name, 0) && errno != ENOENT)
			return why_set(why, -errno, "%s/%s: %m", path, d->d_name);
	}
	return 0;
}
