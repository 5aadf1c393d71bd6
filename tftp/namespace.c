/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tftp/namespace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/container.h"
#include "tftp/addition.h"
#include "tftp/name.h"
#include "tftp/offer.h"

/* Callers that nobody knows, by address: how long each has waited, for beside another
 * DHCP server addresses are learned late.  A small table that forgets the oldest is
 * enough: one that is forgotten waits anew. */
enum { STRANGERS = 256, STRANGER_SECS = 15, STRANGER_FORGET_SECS = 60 };

struct stranger {
	uint32_t address;
	struct instant since;
	struct instant seen;
};

struct namespace
{
	struct tftp_tree tree;
	struct namespace_config config;
	struct stranger strangers[STRANGERS];
};

/* ---- bodies out of a view ---- */

enum { AHEAD = 1 << 20 }; /* asked for at once of a file that is being copied */

struct content_file {
	struct tftp_file file;
	struct contents *contents;
	struct content *content;
	struct content_wait more;
	bool waiting;
	int error; /* of the last wait */
};

static void on_more(struct content_wait *wait, int r, struct content *content)
{
	struct content_file *f = container(wait, struct content_file, more);

	f->waiting = false;
	f->error = r;
	if (r)
		return;
	content_unref(f->content);
	f->content = content;
}

/* Not there yet: asked for, and the session comes again. */
static int content_file_more(struct content_file *f, uint64_t offset)
{
	struct content *newer;
	int r;

	if (f->waiting)
		return -EAGAIN;
	if (f->error)
		return f->error;
	f->more.done = on_more;
	r = contents_more(f->contents, f->content, offset, AHEAD, &newer, &f->more);
	f->waiting = r == CONTENT_WAIT;
	if (f->waiting)
		return -EAGAIN;
	if (!r) {
		content_unref(f->content);
		f->content = newer;
	}
	return r;
}

static ssize_t content_file_pread(struct tftp_file *file, void *buf, size_t len, uint64_t offset)
{
	struct content_file *f = (struct content_file *)file;

	if (!content_ready(f->content, offset, len)) {
		int r = content_file_more(f, offset);

		if (r)
			return r;
		if (!content_ready(f->content, offset, len))
			return -EAGAIN;
	}
	return content_pread(f->content, buf, len, offset);
}

static void content_file_close(struct tftp_file *file)
{
	struct content_file *f = (struct content_file *)file;

	if (f->waiting)
		contents_cancel(f->contents, &f->more);
	content_unref(f->content);
	free(file);
}

static int file_of_content(const struct tftp_wait *wait, struct content *content,
			   struct tftp_file **out)
{
	static const struct tftp_file_ops ops = {content_file_pread, content_file_close};
	struct content_file *f = malloc(sizeof(*f));

	if (!f) {
		content_unref(content);
		return -ENOMEM;
	}
	*f = (struct content_file){.file = {&ops, content_size(content)},
				   .contents = wait->contents,
				   .content = content};
	if (wait->add)
		return addition_append(wait->dialect, &f->file, out);
	*out = &f->file;
	return 0;
}

/* May everybody read this regular file, by every directory above it?  Returns 0 or
 * -EACCES. */
static int may_everybody(const struct view *view, uint32_t node)
{
	char path[4096];
	struct view_attr attr;
	uint32_t at = VIEW_ROOT;
	ssize_t len;

	if (view_secret(view, node) || view_attr(view, node, &attr) || !S_ISREG(attr.mode) ||
	    !(attr.mode & S_IROTH))
		return -EACCES;
	len = view_path(view, node, path, sizeof(path));
	if (len < 0)
		return -EACCES;
	for (const char *p = path, *end = path + len; p < end;) {
		const char *slash = memchr(p, '/', (size_t)(end - p));
		size_t n = (size_t)((slash ? slash : end) - p);

		if (view_attr(view, at, &attr) || !S_ISDIR(attr.mode) || !(attr.mode & S_IXOTH))
			return -EACCES;
		if (n && view_lookup(view, at, p, n, &at))
			return -EACCES;
		p += n + 1;
	}
	return at == node ? 0 : -EACCES;
}

static void on_content(struct content_wait *cw, int r, struct content *content)
{
	struct tftp_wait *wait = container(cw, struct tftp_wait, content);
	cleanup(view_unrefp) struct view *view = take(&wait->view);
	struct tftp_file *file = NULL;

	/* One that changed since the scan brings other permissions. */
	if (!r && view && may_everybody(view, wait->node)) {
		content_unref(content);
		r = -EACCES;
	} else if (!r) {
		r = file_of_content(wait, content, &file);
	}
	wait->done(wait, r, file);
}

static int open_node(struct namespace *ns, struct view *view, uint32_t node, struct tftp_wait *wait,
		     struct tftp_file **out)
{
	struct content *content;
	int r;

	wait->content.done = on_content;
	wait->contents = ns->config.contents;
	r = contents_open_at(ns->config.contents, view, node, 0, AHEAD, &content, &wait->content);
	if (r == CONTENT_WAIT)
		return TFTP_TREE_WAIT;
	if (r)
		return r < 0 ? r : -ESTALE;
	return file_of_content(wait, content, out);
}

/* ---- who calls ---- */

struct caller {
	const struct host *host; /* NULL: not known */
	uint32_t version;
	uint64_t change;
	enum root_mode mode; /* of its open boot; NONE: by its settings */
	bool pending;
};

static int refused(struct tftp_answer *answer, enum tftp_code code)
{
	answer->code = code;
	return TFTP_TREE_REFUSED;
}

static bool stranger_waits(struct namespace *ns, uint32_t address, struct instant now)
{
	struct stranger *oldest = &ns->strangers[0];
	struct stranger *s = NULL;

	for (size_t i = 0; i < STRANGERS && !s; i++) {
		if (ns->strangers[i].address == address)
			s = &ns->strangers[i];
		if (ns->strangers[i].seen.ns < oldest->seen.ns)
			oldest = &ns->strangers[i];
	}
	if (!s || now.ns - s->seen.ns > STRANGER_FORGET_SECS * NS_PER_SEC) {
		s = s ? s : oldest;
		*s = (struct stranger){.address = address, .since = now};
	}
	s->seen = now;
	return now.ns - s->since.ns < STRANGER_SECS * NS_PER_SEC;
}

static int who(struct namespace *ns, const struct tftp_ask *ask, const struct mac *named,
	       struct caller *out, struct tftp_answer *answer)
{
	struct directory *d = ns->config.directory;
	const struct tenant *tenant;
	int r;

	*out = (struct caller){0};
	if (!d)
		return 0;
	directory_poll(d);
	tenant = tenants_by_address(directory_tenants(d), ask->from);
	if (tenant) {
		answer->has_mac = true;
		answer->mac = tenant->mac;
		out->mode = tenant->boot.mode;
	}
	r = directory_who(d, ask->from, &out->host, &out->version, &out->change);
	if (r == -ENOENT && named && !tenant) {
		/* Beside another DHCP server addresses may be learned late. */
		out->host = inventory_by_mac(directory_inventory(d), named);
		if (out->host && out->host->pending) {
			out->host = NULL;
			r = -EACCES;
		} else if (out->host) {
			out->version = out->host->version;
			out->change = UINT64_MAX;
			r = 0;
		}
		if (out->host) {
			answer->has_mac = true;
			answer->mac = *named;
		}
	}
	out->pending = r == -EACCES;
	answer->stranger = r == -ENOENT && tenant;
	if (!out->host || r) {
		out->host = NULL;
		return r == -ENOENT || r == -EACCES ? 0 : r;
	}
	answer->host = out->host->id;
	snprintf(answer->host_name, sizeof(answer->host_name), "%s", out->host->name);
	if (!answer->has_mac && out->host->nmacs) {
		answer->has_mac = true;
		answer->mac = out->host->macs[0];
	}
	return 0;
}

/* That nobody is registered at an address is known when the databases say so, and nobody
 * is about to change them: who has a lease becomes a host, however long the supervisor
 * must wait for whoever holds the database. */
static bool is_coming(struct namespace *ns, const struct tftp_ask *ask,
		      const struct tftp_answer *answer)
{
	return (answer->stranger && ns->config.registers) ||
	       !directory_current(ns->config.directory) || stranger_waits(ns, ask->from, ask->now);
}

/* Why somebody gets nothing of a host's: words, or TFTP_TREE_LATER. */
static int need_host(struct namespace *ns, const struct tftp_ask *ask, const struct caller *caller,
		     struct tftp_answer *answer)
{
	if (caller->host)
		return 0;
	if (caller->pending)
		why_set(&answer->why, 0, "this machine waits for `rootstock host approve`");
	else if (is_coming(ns, ask, answer))
		return TFTP_TREE_LATER;
	else
		why_set(&answer->why, 0, "no machine is registered at this address");
	return refused(answer, TFTP_ACCESS);
}

/* ---- what they get ---- */

static int get_view(struct namespace *ns, const struct caller *caller, uint32_t version,
		    struct view **view, struct tftp_answer *answer)
{
	int r;

	if (!version) {
		why_set(&answer->why, 0, "%s has no image", caller->host->name);
		return refused(answer, TFTP_NOT_FOUND);
	}
	r = views_get(ns->config.views, caller->host->id, version, caller->change, view);
	if (r == -ENOENT) {
		/* A host of a moment ago: the inventory has it, the views look next. */
		views_poll(ns->config.views);
		r = views_get(ns->config.views, caller->host->id, version, caller->change, view);
	}
	if (r == -ENOENT)
		return TFTP_TREE_LATER;
	if (r)
		why_set(&answer->why, 0, "the view of %s: %s", caller->host->name, strerror(-r));
	return r;
}

/* What the caller boots, or its maintenance image: the view and the offer made of it. */
struct offered {
	struct view *view;
	struct offer *offer;
};

static void offered_fini(struct offered *o)
{
	view_unref(o->view);
	free(o->offer);
}

static int get_offered(struct namespace *ns, const struct tftp_ask *ask,
		       const struct caller *caller, bool maintenance, struct tftp_answer *answer,
		       struct offered *out)
{
	const struct inventory *inv = directory_inventory(ns->config.directory);
	uint32_t version = caller->version;
	int r;

	if (maintenance) {
		const struct image_version *v = inventory_maintenance(inv, caller->host);

		version = v ? v->id : 0;
	}
	r = get_view(ns, caller, version, &out->view, answer);
	if (r)
		return r;
	out->offer = malloc(sizeof(*out->offer));
	if (!out->offer)
		return -ENOMEM;
	r = offer_make(
		&(struct offer_ask){
			.inventory = inv,
			.host = caller->host,
			.view = out->view,
			.version = version,
			.mode = caller->mode,
			.server = ask->to,
			.mac = answer->has_mac ? &answer->mac : NULL,
			.memtest = loader_there(ns->config.loaders, "memtest.bin"),
			.maintenance = maintenance,
		},
		out->offer, &answer->why);
	return r && answer->why.text[0] ? refused(answer, TFTP_NOT_FOUND) : r;
}

static int open_menu(struct namespace *ns, const struct tftp_ask *ask, const struct caller *caller,
		     enum tftp_kind kind, struct tftp_answer *answer, struct tftp_file **file)
{
	cleanup(offered_fini) struct offered own = {NULL, NULL};
	cleanup(offered_fini) struct offered maintenance = {NULL, NULL};
	char *text;
	size_t len;
	int r;

	answer->stage = TFTP_STAGE_MENU;
	r = get_offered(ns, ask, caller, false, answer, &own);
	if (r)
		return r;
	if (own.offer->ask &&
	    inventory_maintenance(directory_inventory(ns->config.directory), caller->host)) {
		struct tftp_answer unsaid = *answer;

		/* An image that cannot boot is no entry, and no harm to the others. */
		if (!get_offered(ns, ask, caller, true, &unsaid, &maintenance))
			own.offer->maintenance = maintenance.offer;
	}
	r = offer_render(own.offer, kind, &text, &len);
	return r ? r : tftp_file_of_text(text, len, file);
}

static int open_kernel(struct namespace *ns, const struct tftp_ask *ask,
		       const struct caller *caller, enum tftp_kind kind, bool maintenance,
		       struct tftp_wait *wait, struct tftp_answer *answer, struct tftp_file **file)
{
	cleanup(offered_fini) struct offered o = {NULL, NULL};
	bool initrd = kind == TFTP_KIND_INITRD;
	uint32_t node;
	int r;

	answer->stage = initrd ? TFTP_STAGE_INITRD : TFTP_STAGE_KERNEL;
	r = get_offered(ns, ask, caller, maintenance, answer, &o);
	if (r)
		return r;
	node = initrd ? o.offer->files.initrd : o.offer->files.kernel;
	if (!node) {
		why_set(&answer->why, 0, "%s boots without an initrd", caller->host->name);
		return refused(answer, TFTP_NOT_FOUND);
	}
	if (view_secret(o.view, node)) {
		why_set(&answer->why, 0, "secret");
		return refused(answer, TFTP_ACCESS);
	}
	wait->add = initrd && o.offer->addition;
	wait->dialect = o.offer->files.dialect;
	return open_node(ns, o.view, node, wait, file);
}

/* Firmware files and device trees lie below /boot; a Raspberry Pi asks for them as
 * if that were the root, first below its serial number. */
static int find_in_view(const struct view *view, const char *name, uint32_t *node)
{
	static const char *const below[] = {"", "boot/firmware/", "boot/"};
	const char *slash = strchr(name, '/');
	char path[TFTP_NAME_MAX + 16];
	int r = VIEW_NOENT;

	if (!strcmp(name, OFFER_RPI_CONFIG))
		name = "config.txt";

	for (size_t i = 0; i < ARRAY_SIZE(below) && r; i++) {
		snprintf(path, sizeof(path), "%s%s", below[i], name);
		r = view_resolve(view, VIEW_ROOT, path, true, node);
	}
	if (r && slash && slash - name == 8 && strspn(name, "0123456789abcdef") == 8)
		return find_in_view(view, slash + 1, node);
	return r;
}

static int open_of_view(struct namespace *ns, const struct caller *caller, const char *name,
			struct tftp_wait *wait, struct tftp_answer *answer, struct tftp_file **file)
{
	cleanup(view_unrefp) struct view *view = NULL;
	uint32_t node;
	int r;

	r = get_view(ns, caller, caller->version, &view, answer);
	if (r)
		return r;
	r = find_in_view(view, name, &node);
	if (r < 0)
		return r;
	if (r) {
		answer->expected = true;
		why_set(&answer->why, 0, "no such file");
		return refused(answer, TFTP_NOT_FOUND);
	}
	if (may_everybody(view, node)) {
		why_set(&answer->why, 0, "not readable by everybody in the image");
		return refused(answer, TFTP_ACCESS);
	}
	answer->stage = TFTP_STAGE_FILE;
	r = open_node(ns, view, node, wait, file);
	if (r == TFTP_TREE_WAIT) {
		wait->view = take(&view);
		wait->node = node;
	}
	return r;
}

static int open_plain(struct namespace *ns, const struct tftp_ask *ask, const char *name,
		      const struct caller *caller, struct tftp_wait *wait,
		      struct tftp_answer *answer, struct tftp_file **file)
{
	const char *package;
	struct loader loader;
	int r;

	r = loader_open(ns->config.loaders, name, &loader, file);
	answer->stage = loader.first ? TFTP_STAGE_LOADER : TFTP_STAGE_MODULE;
	if (r == -EACCES) {
		why_set(&answer->why, 0, "outside the served tree, or not a plain file");
		return refused(answer, TFTP_ACCESS);
	}
	if (r != LOADER_NONE)
		return r;
	package = loader_package(name);
	if (package) {
		why_set(&answer->why, 0, "not installed here: package %s has it", package);
		return refused(answer, TFTP_NOT_FOUND);
	}
	if (!ns->config.directory) {
		why_set(&answer->why, 0, "no such file");
		return refused(answer, TFTP_NOT_FOUND);
	}
	r = need_host(ns, ask, caller, answer);
	return r ? r : open_of_view(ns, caller, name, wait, answer, file);
}

static int namespace_open(struct tftp_tree *tree, const struct tftp_ask *ask,
			  struct tftp_wait *wait, struct tftp_answer *answer,
			  struct tftp_file **file)
{
	static const char maintenance[] = OFFER_MAINTENANCE "/";
	struct namespace *ns = (struct namespace *)tree;
	char name[TFTP_NAME_MAX];
	struct caller caller;
	enum tftp_kind kind;
	struct mac named;
	bool has_mac;
	const char *what;
	int r;

	*answer = (struct tftp_answer){.stage = TFTP_STAGE_FILE};
	wait->add = false;
	wait->view = NULL;
	if (tftp_name_clean(ask->name, ask->name_len, name, &what)) {
		why_set(&answer->why, 0, "%s", what);
		return refused(answer, TFTP_ACCESS);
	}
	kind = tftp_name_kind(name, &named, &has_mac);
	r = who(ns, ask, has_mac ? &named : NULL, &caller, answer);
	if (r)
		return r;
	if (kind == TFTP_KIND_FILE || !ns->config.directory)
		return open_plain(ns, ask, name, &caller, wait, answer, file);
	r = need_host(ns, ask, &caller, answer);
	if (r)
		return r;
	if (kind != TFTP_KIND_KERNEL && kind != TFTP_KIND_INITRD)
		return open_menu(ns, ask, &caller, kind, answer, file);
	return open_kernel(ns, ask, &caller, kind, !strncmp(name, maintenance, strlen(maintenance)),
			   wait, answer, file);
}

static void namespace_cancel(struct tftp_tree *tree, struct tftp_wait *wait)
{
	contents_cancel(((struct namespace *)tree)->config.contents, &wait->content);
	view_unref(take(&wait->view));
}

int namespace_new(const struct namespace_config *config, struct namespace **out)
{
	struct namespace *ns = calloc(1, sizeof(*ns));

	if (!ns)
		return -ENOMEM;
	ns->config = *config;
	ns->tree = (struct tftp_tree){namespace_open, namespace_cancel};
	*out = ns;
	return 0;
}

void namespace_free(struct namespace *ns)
{
	free(ns);
}

struct tftp_tree *namespace_tree(struct namespace *ns)
{
	return &ns->tree;
}
