/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nfs/export.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/directory.h"
#include "common/inventory.h"
#include "nfs/child.h"

struct roster_entry {
	uint32_t host;
	uint64_t change; /* for who has none of its addresses */
	char *init;
};

/* An open boot. */
struct roster_pin {
	uint32_t boot;
	uint32_t host;
	uint64_t change;
};

struct roster {
	atomic_uint refs;
	uint64_t generation;
	struct roster_who *who; /* by address */
	unsigned int nwho;
	struct roster_entry *hosts; /* by id */
	unsigned int nhosts;
	struct roster_pin *pins; /* by boot */
	unsigned int npins;
};

struct exports {
	const struct nfs_config *config;
	pthread_mutex_t lock; /* guards all below but `generation` */
	struct directory *directory;
	struct roster *roster;
	bool behind; /* the directory: there was no memory for a roster */
	_Atomic uint64_t generation;
};

static struct roster *roster_ref(struct roster *roster)
{
	atomic_fetch_add_explicit(&roster->refs, 1, memory_order_relaxed);
	return roster;
}

void roster_unref(struct roster *roster)
{
	if (!roster || atomic_fetch_sub_explicit(&roster->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned int i = 0; i < roster->nhosts; i++)
		free(roster->hosts[i].init);
	free(roster->hosts);
	free(roster->pins);
	free(roster->who);
	free(roster);
}

uint64_t roster_generation(const struct roster *roster)
{
	return roster->generation;
}

static int who_cmp(const void *a, const void *b)
{
	const struct roster_who *x = a;
	const struct roster_who *y = b;

	return (x->address > y->address) - (x->address < y->address);
}

static int entry_cmp(const void *a, const void *b)
{
	const struct roster_entry *x = a;
	const struct roster_entry *y = b;

	return (x->host > y->host) - (x->host < y->host);
}

int roster_by_address(const struct roster *roster, uint32_t address, struct roster_who *out)
{
	const struct roster_who key = {.address = address};
	const struct roster_who *found =
		roster->nwho ? bsearch(&key, roster->who, roster->nwho, sizeof(key), who_cmp)
			     : NULL;

	if (!found)
		return -ENOENT;
	*out = *found;
	return 0;
}

static int pin_cmp(const void *a, const void *b)
{
	const struct roster_pin *x = a;
	const struct roster_pin *y = b;

	return (x->boot > y->boot) - (x->boot < y->boot);
}

static struct roster_entry *roster_entry(const struct roster *roster, uint32_t host)
{
	const struct roster_entry key = {.host = host};

	return roster->nhosts ? bsearch(&key, roster->hosts, roster->nhosts, sizeof(key), entry_cmp)
			      : NULL;
}

uint64_t roster_change(const struct roster *roster, const struct roster_who *who, uint32_t host,
		       uint32_t boot)
{
	const struct roster_pin key = {.boot = boot};
	const struct roster_pin *pin =
		roster->npins ? bsearch(&key, roster->pins, roster->npins, sizeof(key), pin_cmp)
			      : NULL;
	const struct roster_entry *entry;

	if (pin && pin->host == host)
		return pin->change;
	/* A host's other card may have booted since: each address has its own. */
	if (host == who->host)
		return who->runs;
	entry = roster_entry(roster, host);
	return entry ? entry->change : UINT64_MAX;
}

int roster_host(const struct roster *roster, uint32_t host, const char **init)
{
	const struct roster_entry *found = roster_entry(roster, host);

	if (!found)
		return -ENOENT;
	*init = found->init;
	return 0;
}

/* Who has `address`, by the directory's one rule. */
static void roster_add(struct roster *roster, const struct directory *d, uint32_t address)
{
	const struct tenant *tenant = tenants_by_address(directory_tenants(d), address);
	struct roster_who *who = &roster->who[roster->nwho++];
	const struct host *host;
	uint32_t version;
	int r;

	*who = (struct roster_who){.address = address};
	r = directory_who(d, address, &host, &version, &who->runs);
	if (tenant && tenant->boot.id) {
		who->mounted = tenant->mounted;
		who->runs = tenant->runs.change;
	}
	if (!r) {
		struct roster_entry *entry = roster_entry(roster, host->id);

		who->host = host->id;
		if (entry && who->runs != UINT64_MAX)
			entry->change = who->runs;
	}
	who->pending = r == -EACCES;
}

static void roster_add_pin(struct roster *roster, const struct inventory *inv,
			   const struct open_boot *open)
{
	const struct host *host = inventory_by_mac(inv, &open->mac);
	uint32_t id = host ? host->id : open->host;

	if (id)
		roster->pins[roster->npins++] = (struct roster_pin){
			.boot = open->boot.id,
			.host = id,
			.change = open->boot.change,
		};
}

static int roster_build(const struct directory *d, struct roster **out)
{
	const struct inventory *inv = directory_inventory(d);
	const struct tenants *tenants = directory_tenants(d);
	cleanup(roster_unrefp) struct roster *roster = calloc(1, sizeof(*roster));
	unsigned int ntenants = 0;
	unsigned int nboots = 0;

	if (!roster)
		return -ENOMEM;
	atomic_init(&roster->refs, 1);
	while (tenants_at(tenants, ntenants))
		ntenants++;
	while (tenants_boot_at(tenants, nboots))
		nboots++;
	roster->hosts = calloc(inventory_count(inv) + 1, sizeof(*roster->hosts));
	roster->who = calloc(inventory_count(inv) + ntenants + 1, sizeof(*roster->who));
	roster->pins = calloc(nboots + 1, sizeof(*roster->pins));
	if (!roster->hosts || !roster->who || !roster->pins)
		return -ENOMEM;
	for (unsigned int i = 0; i < inventory_count(inv); i++) {
		const struct host *host = inventory_at(inv, i);
		const char *init = inventory_setting(inv, host, "init");
		struct roster_entry *entry = &roster->hosts[roster->nhosts++];

		*entry = (struct roster_entry){.host = host->id, .change = UINT64_MAX};
		if (init) {
			entry->init = strdup(init);
			if (!entry->init)
				return -ENOMEM;
		}
	}
	qsort(roster->hosts, roster->nhosts, sizeof(*roster->hosts), entry_cmp);
	for (unsigned int i = 0; i < ntenants; i++)
		roster_add(roster, d, tenants_at(tenants, i)->address);
	for (unsigned int i = 0; i < inventory_count(inv); i++) {
		const struct host *host = inventory_at(inv, i);

		if (host->address && !tenants_by_address(tenants, host->address))
			roster_add(roster, d, host->address);
	}
	qsort(roster->who, roster->nwho, sizeof(*roster->who), who_cmp);
	for (unsigned int i = 0; i < nboots; i++)
		roster_add_pin(roster, inv, tenants_boot_at(tenants, i));
	qsort(roster->pins, roster->npins, sizeof(*roster->pins), pin_cmp);
	*out = take(&roster);
	return 0;
}

static int exports_publish_locked(struct exports *exports)
{
	struct roster *roster;
	int err = roster_build(exports->directory, &roster);

	exports->behind = err != 0;
	if (err)
		return err; /* the last one stands, until the next poll */
	roster->generation = atomic_load_explicit(&exports->generation, memory_order_relaxed) + 1;
	roster_unref(exports->roster);
	exports->roster = roster;
	atomic_store_explicit(&exports->generation, roster->generation, memory_order_release);
	return 0;
}

int exports_open(const char *state_dir, const struct nfs_config *config, struct exports **out,
		 struct why *why)
{
	cleanup(exports_closep) struct exports *exports = calloc(1, sizeof(*exports));
	int err;

	if (!exports)
		return -ENOMEM;
	exports->config = config;
	pthread_mutex_init(&exports->lock, NULL);
	err = directory_open(state_dir, &exports->directory, why);
	if (!err)
		err = exports_publish_locked(exports);
	if (err)
		return err;
	*out = take(&exports);
	return 0;
}

void exports_close(struct exports *exports)
{
	if (!exports)
		return;
	roster_unref(exports->roster);
	directory_close(exports->directory);
	pthread_mutex_destroy(&exports->lock);
	free(exports);
}

static void exports_poll_locked(struct exports *exports)
{
	if (directory_poll(exports->directory) || exports->behind)
		exports_publish_locked(exports);
}

int exports_assume(struct exports *exports, uint32_t address, const struct mac *mac)
{
	int r;

	pthread_mutex_lock(&exports->lock);
	r = directory_assume(exports->directory, address, mac);
	if (!r)
		r = exports_publish_locked(exports);
	pthread_mutex_unlock(&exports->lock);
	return r;
}

void exports_poll(struct exports *exports)
{
	pthread_mutex_lock(&exports->lock);
	exports_poll_locked(exports);
	pthread_mutex_unlock(&exports->lock);
}

uint64_t exports_generation(const struct exports *exports)
{
	return atomic_load_explicit(&exports->generation, memory_order_acquire);
}

struct roster *exports_roster(struct exports *exports)
{
	struct roster *roster;

	pthread_mutex_lock(&exports->lock);
	roster = roster_ref(exports->roster);
	pthread_mutex_unlock(&exports->lock);
	return roster;
}

bool exports_admin(const struct nfs_config *config, uint32_t address)
{
	for (unsigned int i = 0; i < config->nadmin; i++) {
		const struct nfs_network *n = &config->admin[i];
		uint32_t mask = n->prefix ? UINT32_MAX << (32 - n->prefix) : 0;

		if (!((address ^ n->address) & mask))
			return true;
	}
	return false;
}

static const char *skip_slashes(const char *p)
{
	while (*p == '/')
		p++;
	return p;
}

/* "/hosts/NAME/rest" with prefix "hosts": copies NAME, returns "/rest" or "". */
static const char *path_under(const char *path, const char *prefix, char name[static 128])
{
	const char *p = skip_slashes(path);
	size_t len = strlen(prefix);

	if (*path != '/' || strncmp(p, prefix, len) || p[len] != '/')
		return NULL;
	p = skip_slashes(p + len);
	len = strcspn(p, "/");
	if (!len || len > 127)
		return NULL;
	memcpy(name, p, len);
	name[len] = '\0';
	return p + len;
}

static int grant_own_locked(struct exports *exports, uint32_t address, struct grant *out,
			    struct mac *mac)
{
	const struct tenant *tenant =
		tenants_by_address(directory_tenants(exports->directory), address);
	const struct host *host;
	uint64_t change;
	int r;

	r = directory_who(exports->directory, address, &host, &out->version, &change);
	if (r == -EACCES)
		return GRANT_PENDING;
	if (r) {
		if (!tenant)
			return GRANT_UNKNOWN;
		*mac = tenant->mac;
		return GRANT_UNREGISTERED;
	}
	out->host = host->id;
	out->boot = tenant ? tenant->boot.id : 0;
	return out->version ? 0 : GRANT_NO_IMAGE;
}

/* What the host's menu boots besides: its view of another image.  No boot pins it; an
 * active version is not removed.  To a host without that setting it is a path. */
static int grant_maintenance_locked(struct exports *exports, uint32_t address, struct grant *out,
				    struct mac *mac)
{
	const struct inventory *inv = directory_inventory(exports->directory);
	const struct image_version *version;
	const struct host *host;
	int r = grant_own_locked(exports, address, out, mac);

	if (r)
		return r;
	host = inventory_by_id(inv, out->host);
	if (!inventory_setting(inv, host, "maintenance"))
		return 0;
	out->path = "/";
	version = inventory_maintenance(inv, host);
	out->version = version ? version->id : 0;
	return version ? 0 : GRANT_NO_IMAGE;
}

static int grant_host_locked(struct exports *exports, uint32_t address, const char *name,
			     struct grant *out)
{
	const struct inventory *inv = directory_inventory(exports->directory);
	const struct host *host = inventory_by_name(inv, name);
	bool admin = exports_admin(exports->config, address);
	const struct tenant *tenant;
	struct grant own = {.path = out->path};
	struct mac mac;
	int r;

	if (!host)
		return admin ? GRANT_NOENT : GRANT_DENIED;
	r = grant_own_locked(exports, address, &own, &mac);
	if (own.host == host->id) {
		*out = own;
		return r;
	}
	if (!admin)
		return GRANT_DENIED;
	out->host = host->id;
	out->version = host->version;
	for (unsigned int i = 0; (tenant = tenants_at(directory_tenants(exports->directory), i));
	     i++) {
		if (tenant->runs.id && inventory_by_mac(inv, &tenant->mac) == host) {
			out->version = tenant->runs.version;
			out->boot = tenant->runs.id;
			break;
		}
	}
	return out->version ? 0 : GRANT_NO_IMAGE;
}

static int grant_image_locked(struct exports *exports, uint32_t address, const char *name,
			      struct grant *out)
{
	const struct image_version *version;

	if (!exports_admin(exports->config, address))
		return GRANT_DENIED;
	version = inventory_version_by_name(directory_inventory(exports->directory), name);
	if (!version)
		return GRANT_NOENT;
	out->host = 0;
	out->version = version->id;
	return 0;
}

static int grant_locked(struct exports *exports, uint32_t address, const char *path,
			struct grant *out, struct mac *mac)
{
	char name[128];

	out->path = path_under(path, "hosts", name);
	if (out->path)
		return grant_host_locked(exports, address, name, out);
	out->path = path_under(path, "images", name);
	if (out->path)
		return grant_image_locked(exports, address, name, out);
	out->path = path;
	if (!strcmp(path, "/maintenance"))
		return grant_maintenance_locked(exports, address, out, mac);
	return grant_own_locked(exports, address, out, mac);
}

int exports_grant(struct exports *exports, uint32_t address, const char *path, struct grant *out,
		  struct mac *mac)
{
	struct grant grant = {0};
	int r;

	pthread_mutex_lock(&exports->lock);
	/* A lease or a boot of a moment ago, a host just added: a kernel mounts right behind
	 * its ACK, and with the boot before it would get the version before. */
	exports_poll_locked(exports);
	r = grant_locked(exports, address, path, &grant, mac);
	pthread_mutex_unlock(&exports->lock);
	if (!r)
		*out = grant;
	return r;
}

static bool list_add(char **at, const char *end, const char *folder, const char *name)
{
	int n = snprintf(*at, (size_t)(end - *at), "/%s%s%s", folder, *folder ? "/" : "", name);

	if (n < 0 || n >= end - *at)
		return false;
	*at += n + 1;
	return true;
}

unsigned int exports_list(struct exports *exports, uint32_t address, char *out, size_t size)
{
	bool admin = exports_admin(exports->config, address);
	const struct image_version *v;
	const struct inventory *inv;
	const char *end = out + size;
	unsigned int n = 0;

	n += list_add(&out, end, "", "");
	if (!admin)
		return n;
	pthread_mutex_lock(&exports->lock);
	inv = directory_inventory(exports->directory);
	for (unsigned int i = 0; (v = inventory_version_at(inv, i)); i++)
		if (v->active)
			n += list_add(&out, end, "images", v->image_name);
	for (unsigned int i = 0; i < inventory_count(inv); i++) {
		if (!list_add(&out, end, "hosts", inventory_at(inv, i)->name))
			break;
		n++;
	}
	pthread_mutex_unlock(&exports->lock);
	return n;
}
