/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/schema.h"

/* Addresses are integers in host order, MACs 6-byte blobs, times nanoseconds
 * since the epoch.  Ids come from AUTOINCREMENT or from `counter`, so that none
 * is ever given twice: handles carry them. */
static const char *const rootstock_steps[] = {
	/* 1 */
	"CREATE TABLE site (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
	/* `node` numbers overlay paths and entries, `change` every commit. */
	"INSERT INTO counter VALUES ('node', 0), ('change', 0);"
	"INSERT INTO site VALUES ('secret', randomblob(32));"

	"CREATE TABLE image ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" name TEXT NOT NULL UNIQUE,"
	" active INTEGER REFERENCES version(id),"   /* what the next boot gets */
	" previous INTEGER REFERENCES version(id)," /* for rollback */
	" last_number INTEGER NOT NULL DEFAULT 0);"
	"CREATE TABLE version ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" image INTEGER NOT NULL REFERENCES image(id),"
	" number INTEGER NOT NULL,"
	" origin_kind TEXT NOT NULL,"
	" origin TEXT NOT NULL,"
	" strict INTEGER NOT NULL DEFAULT 0,"
	" added INTEGER NOT NULL,"
	" sealed INTEGER," /* when; NULL before */
	" digest BLOB,"	   /* of the sealed manifest */
	" UNIQUE (image, number));"

	"CREATE TABLE host ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" name TEXT NOT NULL UNIQUE,"
	" image INTEGER REFERENCES image(id),"	   /* NULL: a group's, else the default */
	" version INTEGER REFERENCES version(id)," /* NULL: the image's active one */
	" address INTEGER UNIQUE,"		   /* reservation */
	" pending INTEGER NOT NULL DEFAULT 0,"
	" added INTEGER NOT NULL,"
	" changed INTEGER NOT NULL);"
	"CREATE TABLE host_mac ("
	" mac BLOB PRIMARY KEY CHECK (length(mac) = 6),"
	" host INTEGER NOT NULL REFERENCES host(id) ON DELETE CASCADE) WITHOUT ROWID;"
	"CREATE INDEX host_mac_host ON host_mac(host);"
	/* `grp`: GROUP is a word of SQL. */
	"CREATE TABLE grp ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" name TEXT NOT NULL UNIQUE,"
	" image INTEGER REFERENCES image(id),"
	" changed INTEGER NOT NULL);"
	"CREATE TABLE host_group ("
	" host INTEGER NOT NULL REFERENCES host(id) ON DELETE CASCADE,"
	" position INTEGER NOT NULL," /* the weakest first */
	" grp INTEGER NOT NULL REFERENCES grp(id),"
	" PRIMARY KEY (host, position), UNIQUE (host, grp)) WITHOUT ROWID;"
	/* Settings and template keys, of groups and hosts alike. */
	"CREATE TABLE setting ("
	" kind INTEGER NOT NULL,"  /* SCOPE_* */
	" owner INTEGER NOT NULL," /* 0 for SCOPE_ALL */
	" key TEXT NOT NULL,"
	" value TEXT NOT NULL,"
	" PRIMARY KEY (kind, owner, key)) WITHOUT ROWID;"

	"CREATE TABLE scope ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" kind INTEGER NOT NULL,"
	" owner INTEGER NOT NULL,"
	" change INTEGER NOT NULL," /* the last one that touched it */
	" UNIQUE (kind, owner));"
	"CREATE TABLE path ("
	" id INTEGER PRIMARY KEY," /* from counter `node` */
	" path BLOB NOT NULL UNIQUE);"
	"CREATE TABLE entry ("
	" id INTEGER PRIMARY KEY," /* from counter `node` */
	" scope INTEGER NOT NULL REFERENCES scope(id) ON DELETE CASCADE,"
	" path INTEGER NOT NULL REFERENCES path(id),"
	" kind INTEGER NOT NULL," /* ENTRY_* in fsd/overlay.h */
	" mode INTEGER, uid INTEGER, gid INTEGER,"
	" rdev INTEGER,"
	" size INTEGER,"
	" mtime INTEGER,"
	" object BLOB," /* SHA-256 of the body, in the store or in secrets/ */
	" target BLOB," /* of a symbolic link */
	" body BLOB,"	/* template text, and bodies too small for an object */
	" secret INTEGER NOT NULL DEFAULT 0,"
	" next_boot INTEGER NOT NULL DEFAULT 0,"
	" change INTEGER NOT NULL,"
	" changed INTEGER NOT NULL,"
	/* A row is never rewritten: a later one retires it, and it goes on
	 * answering handles that clients hold. */
	" retired INTEGER," /* the change that did; NULL while in force */
	" retired_at INTEGER,"
	" retired_next_boot INTEGER NOT NULL DEFAULT 0);"
	"CREATE INDEX entry_scope ON entry(scope, path);",
	/* 2: the key of handles is no row any more (handle_key.h), and programs that look for
	 * it here must not start. */
	"SELECT 1;",
	/* 3: what fsd/overlay_prune.h looks for */
	"CREATE INDEX entry_retired ON entry(retired) WHERE retired IS NOT NULL;",
};

static const char *const leases_steps[] = {
	/* 1 */
	"CREATE TABLE lease ("
	" address INTEGER PRIMARY KEY,"
	" mac BLOB NOT NULL CHECK (length(mac) = 6),"
	" host INTEGER,"	   /* NULL: not registered when it was given */
	" state INTEGER NOT NULL," /* LEASE_* */
	" started INTEGER NOT NULL,"
	" expires INTEGER NOT NULL,"
	" last_alive INTEGER," /* the last time its NFS calls were seen */
	" client_id BLOB,"
	" hostname TEXT);"
	"CREATE INDEX lease_mac ON lease(mac);"
	"CREATE TABLE boot ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" host INTEGER,"
	" mac BLOB NOT NULL CHECK (length(mac) = 6),"
	" address INTEGER,"
	" version INTEGER," /* pinned */
	" change INTEGER,"  /* pinned overlay change, for next-boot entries */
	" arch INTEGER,"    /* DHCP option 93 of the ROM */
	" opened INTEGER NOT NULL,"
	" mounted INTEGER,"
	" init INTEGER," /* first read of the init program */
	" last_alive INTEGER,"
	" ended INTEGER,"
	" reason TEXT);"
	"CREATE INDEX boot_mac ON boot(mac, id);"
	"CREATE INDEX boot_open ON boot(ended, address);",
	/* 2: indexes that a storm of new machines does not pay for: by what grows, not
	 * by MAC.  Open boots are few beside all that ever were. */
	"DROP INDEX lease_mac;"
	"DROP INDEX boot_mac;"
	"DROP INDEX boot_open;"
	"CREATE INDEX boot_open ON boot(version) WHERE ended IS NULL;"
	"CREATE INDEX boot_ended ON boot(ended) WHERE ended IS NOT NULL AND mounted IS NOT NULL;"
	"CREATE INDEX boot_failed ON boot(ended) WHERE ended IS NOT NULL AND mounted IS NULL;"
	/* Machines that wait for `host approve`. */
	"CREATE TABLE stranger ("
	" mac BLOB PRIMARY KEY CHECK (length(mac) = 6),"
	" arch INTEGER,"	 /* DHCP option 93 */
	" vendor TEXT NOT NULL," /* option 60, escaped */
	" first_seen INTEGER NOT NULL,"
	" last_seen INTEGER NOT NULL) WITHOUT ROWID;",
	/* 3 */
	"ALTER TABLE boot ADD COLUMN mode TEXT;", /* pinned; NULL: by the settings of the day */
	/* 4 */
	"CREATE TABLE clock (" /* dhcp/wall.h */
	" id INTEGER PRIMARY KEY CHECK (id = 1),"
	" wall INTEGER NOT NULL);", /* when these rows were written */
};

static const char *const trace_steps[] = {
	/* 1 */
	"CREATE TABLE event ("
	" id INTEGER PRIMARY KEY,"
	" at INTEGER NOT NULL,"
	" kind INTEGER NOT NULL," /* EVENT_* in common/event.h */
	" host INTEGER,"
	" mac BLOB,"
	" address INTEGER,"
	" bytes INTEGER,"
	" ms INTEGER,"
	" text TEXT);"
	"CREATE INDEX event_at ON event(at);",
	/* 2 */
	"CREATE TABLE first_read (" /* fsd/hot.h */
	" version INTEGER NOT NULL,"
	" pos INTEGER NOT NULL,"   /* in its manifest */
	" boots INTEGER NOT NULL," /* that read it */
	" us INTEGER NOT NULL,"	   /* after the mount, the earliest */
	" PRIMARY KEY (version, pos)) WITHOUT ROWID;",
	/* 3: where in a boot; and each event is found by one of two indexes: by its host,
	 * or, of a machine that was none yet, by its MAC. */
	"ALTER TABLE event ADD COLUMN step INTEGER;" /* STEP_* */
	"ALTER TABLE event ADD COLUMN again INTEGER;"
	"CREATE INDEX event_host ON event(host, at) WHERE host IS NOT NULL;"
	"CREATE INDEX event_mac ON event(mac, at) WHERE host IS NULL;",
};

const struct db_schema schema_rootstock = {
	.name = "rootstock.db",
	.application_id = 0x72740001,
	.durable = true,
	.nsteps = sizeof(rootstock_steps) / sizeof(rootstock_steps[0]),
	.steps = rootstock_steps,
};

const struct db_schema schema_leases = {
	.name = "leases.db",
	.application_id = 0x72740002,
	.durable = true,
	.nsteps = sizeof(leases_steps) / sizeof(leases_steps[0]),
	.steps = leases_steps,
};

const struct db_schema schema_trace = {
	.name = "trace.db",
	.application_id = 0x72740003,
	.durable = false,
	.nsteps = sizeof(trace_steps) / sizeof(trace_steps[0]),
	.steps = trace_steps,
};
