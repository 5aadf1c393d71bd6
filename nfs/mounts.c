/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nfs/mounts.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/control.h"
#include "common/log.h"

#define ALIVE_EVERY_NS (60 * NS_PER_SEC)
#define UNSEEN_EVERY_NS NS_PER_SEC
#define SAY_EVERY_NS (600 * NS_PER_SEC)
#define UNKNOWN_EVERY_NS (2 * NS_PER_SEC)
#define TELL_EVERY_NS (10 * NS_PER_SEC)

enum {
	SAY_BURST = 50, /* lines about all addresses together: forged ones are many */
	SAY_MS = 200,
	TELL_BURST = 32, /* mounts of an address, and as many readings of secrets */
	TELL_MS = 1000,
	SLOTS = 2 * MOUNTS_MAX, /* a power of two; half empty at worst */
	SAID = 1024
};

struct mount {
	uint32_t address; /* 0: free */
	bool mounted;
	bool init_read;
	uint32_t init_boot; /* that it was read in */
	int64_t offered_ns; /* a MNT by UDP that nobody has claimed; 0 */
	uint32_t offered_boot;
	uint32_t offered_host;
	int64_t alive_ns;
	int64_t mounted_ns;
	uint32_t told; /* the boot that its last told mount was of */
	struct log_limit tells;
	struct log_limit secrets;
	char path[MOUNTS_PATH];
};

struct said {
	uint32_t address;
	uint32_t reason;
	int64_t ns;
};

struct mounts {
	int event_fd;
	bool dry;
	int dry_fd;	      /* where reasons go then */
	pthread_mutex_t lock; /* guards all below */
	unsigned int used;
	struct mount *slots;
	struct said said[SAID];
	struct log_limit say_limit;
};

int mounts_new(int event_fd, struct mounts **out)
{
	struct mounts *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->slots = calloc(SLOTS, sizeof(*m->slots)); /* untouched pages cost nothing */
	if (!m->slots) {
		free(m);
		return -ENOMEM;
	}
	m->event_fd = event_fd;
	pthread_mutex_init(&m->lock, NULL);
	*out = m;
	return 0;
}

int mounts_new_dry(int fd, struct mounts **out)
{
	int r = mounts_new(-1, out);

	if (r)
		return r;
	(*out)->dry = true;
	(*out)->dry_fd = fd;
	return 0;
}

void mounts_free(struct mounts *m)
{
	if (!m)
		return;
	pthread_mutex_destroy(&m->lock);
	free(m->slots);
	free(m);
}

static uint32_t hash32(uint32_t v)
{
	v *= 0x9e3779b1;
	return v ^ v >> 15;
}

/* The slot of an address, made when `make`.  Slots are not given back: an address
 * stays, and a full table takes no more (what is lost is a line in DUMP). */
static struct mount *mount_slot(struct mounts *m, uint32_t address, bool make)
{
	uint32_t i = hash32(address) & (SLOTS - 1);

	for (; m->slots[i].address; i = (i + 1) & (SLOTS - 1))
		if (m->slots[i].address == address)
			return &m->slots[i];
	if (!make || m->used == MOUNTS_MAX)
		return NULL;
	m->used++;
	m->slots[i].address = address;
	return &m->slots[i];
}

static void tell_event(struct mounts *m, const struct event *what, const char *text)
{
	struct event event = *what;

	event.at = wall_now_ns();
	log_escape(event.text, sizeof(event.text), text, strlen(text));
	event_send(m->event_fd, &event);
}

static void tell(struct mounts *m, enum event_kind kind, enum event_step step, uint32_t address,
		 uint32_t host, const char *text)
{
	const struct event event = {
		.kind = kind, .step = (uint16_t)step, .address = address, .host = host};

	tell_event(m, &event, text);
}

void mounts_add(struct mounts *m, uint32_t address, uint32_t host, uint32_t boot, const char *path)
{
	struct mount *mount;
	char ip[IP4_TEXT];
	char shown[MOUNTS_PATH];
	int64_t now = instant_now().ns;
	bool say;

	pthread_mutex_lock(&m->lock);
	mount = mount_slot(m, address, true);
	/* The first mount of a boot is news, whatever was done in its name before. */
	say = log_allow(mount ? &mount->tells : &m->say_limit, now, TELL_BURST, TELL_MS) ||
	      (mount && host && mount->told != boot);
	if (mount) {
		mount->mounted = true;
		mount->offered_ns = 0;
		mount->mounted_ns = now;
		snprintf(mount->path, sizeof(mount->path), "%s", path);
	}
	if (mount && host && say) {
		mount->told = boot;
		mount->init_read = false;
	}
	pthread_mutex_unlock(&m->lock);
	if (!say || m->dry)
		return;
	log_about(LOG_LEVEL_INFO, &(struct log_about){.address = address}, "%s: mounted %s",
		  ip4_format(address, ip), log_escape(shown, sizeof(shown), path, strlen(path)));
	if (host)
		tell_event(m,
			   &(struct event){.kind = EVENT_MOUNT,
					   .step = STEP_MOUNT,
					   .address = address,
					   .host = host,
					   .boot = boot},
			   path);
}

void mounts_offer(struct mounts *m, uint32_t address, uint32_t host, uint32_t boot,
		  const char *path)
{
	struct mount *mount;

	pthread_mutex_lock(&m->lock);
	mount = mount_slot(m, address, true);
	if (mount) {
		mount->offered_ns = instant_now().ns;
		mount->offered_host = host;
		mount->offered_boot = boot;
		mount->mounted = true;
		snprintf(mount->path, sizeof(mount->path), "%s", path);
	}
	pthread_mutex_unlock(&m->lock);
}

void mounts_claim(struct mounts *m, uint32_t address, uint32_t boot)
{
	char path[MOUNTS_PATH];
	struct mount *mount;
	uint32_t host = 0;
	bool claimed;

	pthread_mutex_lock(&m->lock);
	mount = mount_slot(m, address, false);
	claimed = mount && mount->offered_ns && mount->offered_boot == boot;
	if (claimed) {
		host = mount->offered_host;
		memcpy(path, mount->path, sizeof(path));
	}
	pthread_mutex_unlock(&m->lock);
	if (claimed)
		mounts_add(m, address, host, boot, path);
}

void mounts_remove(struct mounts *m, uint32_t address, const char *path)
{
	struct mount *mount;

	pthread_mutex_lock(&m->lock);
	mount = mount_slot(m, address, false);
	if (mount && (!path || !strncmp(mount->path, path, sizeof(mount->path) - 1)))
		mount->mounted = false;
	pthread_mutex_unlock(&m->lock);
}

unsigned int mounts_list(struct mounts *m, struct mounts_entry *out, unsigned int max)
{
	unsigned int n = 0;

	pthread_mutex_lock(&m->lock);
	for (unsigned int i = 0; i < SLOTS && n < max; i++) {
		if (!m->slots[i].mounted)
			continue;
		out[n].address = m->slots[i].address;
		memcpy(out[n].path, m->slots[i].path, sizeof(out[n].path));
		n++;
	}
	pthread_mutex_unlock(&m->lock);
	return n;
}

int64_t mounts_when(struct mounts *m, uint32_t address)
{
	const struct mount *mount;
	int64_t when;

	pthread_mutex_lock(&m->lock);
	mount = mount_slot(m, address, false);
	when = mount ? mount->mounted_ns : 0;
	pthread_mutex_unlock(&m->lock);
	return when;
}

void mounts_init_read(struct mounts *m, uint32_t address, uint32_t host, uint32_t boot,
		      uint64_t bytes)
{
	struct mount *mount;
	bool first;

	pthread_mutex_lock(&m->lock);
	/* Without a MNT on record (we were restarted meanwhile) it counts as first:
	 * told twice it does no harm, untold it would keep the last boot pinned. */
	mount = mount_slot(m, address, true);
	first = !mount || boot > mount->init_boot ||
		(boot == mount->init_boot && !mount->init_read);
	if (mount && first) {
		mount->init_read = true;
		mount->init_boot = boot;
	}
	pthread_mutex_unlock(&m->lock);
	if (first)
		tell_event(m,
			   &(struct event){.kind = EVENT_INIT,
					   .step = STEP_INIT,
					   .address = address,
					   .host = host,
					   .boot = boot,
					   .bytes = bytes},
			   "");
}

int64_t mounts_alive(struct mounts *m, uint32_t address, uint32_t host, uint32_t boot,
		     uint32_t mounted, int64_t now_ns)
{
	int64_t every = boot > mounted ? UNSEEN_EVERY_NS : ALIVE_EVERY_NS;
	int64_t again = now_ns + every;
	struct mount *mount;
	bool due = true;
	bool init;

	pthread_mutex_lock(&m->lock);
	mount = mount_slot(m, address, true);
	init = mount && mount->init_read && mount->init_boot == boot;
	if (mount && mount->alive_ns && now_ns < mount->alive_ns + every)
		due = false;
	else if (mount)
		mount->alive_ns = now_ns;
	if (mount)
		again = mount->alive_ns + every;
	pthread_mutex_unlock(&m->lock);
	if (due)
		tell_event(m,
			   &(struct event){.kind = EVENT_ALIVE,
					   .step = init ? STEP_INIT : STEP_ROOT,
					   .address = address,
					   .host = host,
					   .boot = boot},
			   "");
	return again;
}

/* Is it time to say this of that address (again)? */
static bool may_say(struct mounts *m, uint32_t address, uint32_t reason, int64_t every_ns,
		    bool is_line)
{
	struct said *said = &m->said[(hash32(address) ^ reason) & (SAID - 1)];
	int64_t now = instant_now().ns;
	bool say;

	pthread_mutex_lock(&m->lock);
	say = said->address != address || said->reason != reason || !said->ns ||
	      now > said->ns + every_ns;
	if (say && is_line)
		say = log_allow(&m->say_limit, now, SAY_BURST, SAY_MS);
	if (say)
		*said = (struct said){address, reason, now};
	pthread_mutex_unlock(&m->lock);
	return say;
}

static uint32_t hash_text(uint32_t hash, const char *text)
{
	while (*text)
		hash = hash * 33 + (uint8_t)*text++;
	return hash;
}

void mounts_unknown(struct mounts *m, uint32_t address, const struct mac *mac, const char *path)
{
	/* It has a lease, so there are not many; and the lines of others must not keep it
	 * from being registered. */
	if (may_say(m, address, EVENT_UNKNOWN, UNKNOWN_EVERY_NS, false))
		tell_event(m,
			   &(struct event){.kind = EVENT_UNKNOWN,
					   .step = STEP_MOUNT,
					   .address = address,
					   .mac = *mac},
			   path);
}

/* To whoever plays, and to nobody else. */
static void dry_say(struct mounts *m, const char *what, const char *why)
{
	char words[512];
	int len = snprintf(words, sizeof(words), "%s: %s", what, why);

	control_say(m->dry_fd, NULL, 0, words,
		    (size_t)len < sizeof(words) ? (size_t)len : sizeof(words) - 1);
}

void mounts_refused(struct mounts *m, enum event_step step, uint32_t address, uint32_t host,
		    const char *what, const char *why)
{
	char ip[IP4_TEXT];
	char text[sizeof(((struct event *)0)->text)];

	uint32_t reason = hash_text(hash_text(5381, what), why);

	if (m->dry) {
		dry_say(m, what, why);
		return;
	}
	if (may_say(m, address, reason, SAY_EVERY_NS, true))
		log_about(LOG_LEVEL_WARN, &(struct log_about){.address = address},
			  "%s: %s refused: %s", ip4_format(address, ip), what, why);
	/* The next boot's timeline has it too; of addresses that nobody has, not so often. */
	if (!may_say(m, address, ~reason, host ? TELL_EVERY_NS : SAY_EVERY_NS, !host))
		return;
	snprintf(text, sizeof(text), "%s: %s", what, why);
	tell(m, EVENT_REFUSED, step, address, host, text);
}

void mounts_portmap(struct mounts *m, uint32_t address, uint32_t host, uint32_t program,
		    uint32_t version, uint32_t port)
{
	char text[64];

	if (!may_say(m, address, EVENT_PORTMAP ^ program << 8 ^ version << 4, TELL_EVERY_NS, false))
		return;
	snprintf(text, sizeof(text), "program %u version %u: port %u", program, version, port);
	tell(m, EVENT_PORTMAP, STEP_PORTMAP, address, host, text);
}

void mounts_unreadable(struct mounts *m, uint32_t address, uint32_t host, const char *path,
		       const char *why)
{
	char ip[IP4_TEXT];
	char shown[MOUNTS_PATH];
	char text[sizeof(((struct event *)0)->text)];

	uint32_t reason = hash_text(hash_text(5381, path), why);

	log_escape(shown, sizeof(shown) - 32, path, strlen(path));
	if (m->dry) {
		dry_say(m, shown, why);
		return;
	}
	if (may_say(m, address, reason, SAY_EVERY_NS, true))
		log_about(LOG_LEVEL_WARN, &(struct log_about){.address = address},
			  "%s: %s cannot be read: %s", ip4_format(address, ip), shown, why);
	if (!may_say(m, address, ~reason, TELL_EVERY_NS, false))
		return;
	snprintf(text, sizeof(text), "%.*s: %.*s", MOUNTS_PATH, shown, 48, why);
	tell(m, EVENT_BROKEN, STEP_ROOT, address, host, text);
}

void mounts_secret_read(struct mounts *m, uint32_t address, uint32_t host, const char *path)
{
	struct mount *mount;
	bool say;

	pthread_mutex_lock(&m->lock);
	mount = mount_slot(m, address, true);
	say = log_allow(mount ? &mount->secrets : &m->say_limit, instant_now().ns, TELL_BURST,
			TELL_MS);
	pthread_mutex_unlock(&m->lock);
	if (say)
		tell(m, EVENT_FILE, STEP_ROOT, address, host, path);
}
