/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the server stands on: the configuration, the interfaces that it names, and the
 * sockets on them.  At the start it is made from nothing, at a reload beside what there
 * is: what stays is taken along, what is new is opened, and only when all of it is there
 * does it take the old one's place.
 */
#include "cli/serve_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/metrics.h"
#include "dhcp/probe.h"

#define CONFIG_DEFAULT "/etc/rootstock.conf"

/* What the command line says is some more lines of the same text. */
static int add_given(const struct cli *cli, int text)
{
	if (dprintf(text, "\n[server]\n") < 0)
		return -errno;
	for (unsigned int i = 0; i < cli->ngiven; i++)
		if (cli->given[i].val == 'i' &&
		    dprintf(text, "interface = %s\n", cli->given[i].value) < 0)
			return -errno;
	if (cli->log && dprintf(text, "log = %s\n", cli->log) < 0)
		return -errno;
	return 0;
}

/* Read once and from its start to its end: it may be a pipe, and may be edited meanwhile. */
static int text_copy(const char *file, int fd, int text, struct why *why)
{
	char chunk[4096];
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0) {
		len += (size_t)n;
		if (len > CONFIG_TEXT_MAX)
			return why_set(why, -EFBIG, "%s: %s", file, strerror(EFBIG));
		if (write(text, chunk, (size_t)n) != n)
			return -EIO;
	}
	return n < 0 ? why_set(why, -errno, "%s: %m", file) : 0;
}

/* What is understood here is what the children are given, which none of them can change. */
static int text_take(const struct cli *cli, const char *file, int fd, struct config *c, int text,
		     struct why *why)
{
	int r = 0;

	for (unsigned int i = 0; !r && i < cli->ngiven; i++)
		if (cli->given[i].val == 'i')
			r = config_add_interface(c, cli->given[i].value, why);
	if (!r && fd >= 0)
		r = text_copy(file, fd, text, why);
	if (!r)
		r = add_given(cli, text);
	if (!r &&
	    fcntl(text, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
		r = -errno;
	if (!r)
		r = config_read(c, text, file, why);
	if (!r && !c->ninterfaces)
		r = why_set(why, -EINVAL, "no interface: name one in %s or by --interface", file);
	return r;
}

static bool is_pipe(const char *file)
{
	struct stat st;

	return !stat(file, &st) && S_ISFIFO(st.st_mode);
}

static int text_read(const struct serve *v, struct config *c, int *config_fd, struct why *why)
{
	const char *named = cli_option(v->cli, 'c');
	const char *file = named ? named : CONFIG_DEFAULT;
	cleanup(closep) int fd = -1;
	cleanup(closep) int text = -1;
	int r;

	if (v->config_fd >= 0 && is_pipe(file))
		return why_set(why, -ESPIPE, "%s: a pipe, which cannot be read again", file);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && (named || errno != ENOENT))
		return why_set(why, -errno, "%s: %m", file);
	text = memfd_create("rootstock.conf", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (text < 0)
		return -errno;
	r = text_take(v->cli, file, fd, c, text, why);
	if (!r)
		*config_fd = take_fd(&text);
	return r;
}

/* Said here once, and not by a child at each of its starts. */
static int find_loaders(const struct config *c, struct why *why)
{
	for (unsigned int i = 0; i < c->nloaders; i++) {
		cleanup(closep) int fd = open(c->loaders[i], O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			return why_set(why, -errno, "loaders: %s: %m", c->loaders[i]);
	}
	return 0;
}

static struct wire *wire_of(struct serve *v, const char *name)
{
	for (unsigned int i = 0; i < v->config.ninterfaces; i++)
		if (!strcmp(v->config.interfaces[i], name))
			return &v->wires[i];
	return NULL;
}

/* One that is served stays as it is, even while it is gone. */
static int find_interfaces(struct serve *v, struct footing *f, struct why *why)
{
	struct config *c = &f->config;

	for (unsigned int i = 0; i < c->ninterfaces; i++) {
		const struct wire *old = wire_of(v, c->interfaces[i]);
		int r = 0;

		if (old)
			f->wires[i] = *old;
		else
			r = wire_find(&f->wires[i], c->interfaces[i], why);
		if (r)
			return r;
		c->dhcp.interfaces[c->dhcp.ninterfaces++] = f->wires[i].face;
	}
	return dhcp_config_derive(&c->dhcp, why);
}

/* Two servers that both give addresses give one address twice. */
static int look_around(struct serve *v, const struct footing *f, struct why *why)
{
	const struct config *c = &f->config;

	for (unsigned int i = 0; i < c->ninterfaces && !c->mode_given; i++) {
		char text[IP4_TEXT];
		uint32_t other;
		int r;

		if (wire_of(v, c->interfaces[i]))
			continue;
		r = dhcp_probe_server(&f->wires[i].face, DHCP_PROBE_MS, &other, why);
		if (r)
			return r;
		if (other)
			return why_set(why, -EEXIST,
				       "%s: %s answers DHCP there already: set mode = proxy to "
				       "serve beside it, or mode = full to serve all the same",
				       c->interfaces[i], ip4_format(other, text));
	}
	return 0;
}

/* What needs root and may be taken: before anything is made. */
static int open_sockets(struct serve *v, struct footing *f, struct why *why)
{
	const struct config *c = &f->config;
	int r = 0;

	for (unsigned int i = 0; !r && i < c->ninterfaces; i++)
		if (!wire_of(v, c->interfaces[i]))
			r = wire_open(&f->wires[i], why);
	if (r)
		return r;
	/* With one interface NFS answers there alone. */
	f->nfs_address = c->ninterfaces == 1 ? f->wires[0].face.address : 0;
	f->nfs_moved = v->nfs.tcp < 0 || f->nfs_address != v->nfs_address ||
		       c->nfs_port != v->config.nfs_port;
	f->metrics_moved = strcmp(c->metrics, v->config.metrics) != 0;
	if (f->metrics_moved && *c->metrics)
		r = metrics_listen(c->metrics, &f->metrics, why);
	if (!r && f->nfs_moved)
		r = nfs_listen(&v->nfs, f->nfs_address, c->nfs_port, &f->nfs, why);
	return r;
}

static void footing_drop(struct serve *v, struct footing *f)
{
	for (unsigned int i = 0; i < f->config.ninterfaces; i++)
		if (!wire_of(v, f->config.interfaces[i]))
			wire_close(&f->wires[i]);
	if (f->metrics >= 0) {
		close(f->metrics);
		metrics_unlink(f->config.metrics);
	}
	closep(&f->config_fd);
	config_fini(&f->config);
}

int footing_make(struct serve *v, struct footing *f, struct why *why)
{
	int r;

	*f = (struct footing){.config_fd = -1, .nfs = NFS_FDS_NONE, .metrics = -1};
	for (unsigned int i = 0; i < CONFIG_INTERFACES_MAX; i++)
		f->wires[i] = (struct wire){.face.fds = DHCP_LINK_FDS_NONE, .tftp = -1};
	config_init(&f->config);
	r = text_read(v, &f->config, &f->config_fd, why);
	if (!r)
		r = find_loaders(&f->config, why);
	if (!r)
		r = find_interfaces(v, f, why);
	if (!r)
		r = look_around(v, f, why);
	if (!r)
		r = open_sockets(v, f, why);
	if (r)
		footing_drop(v, f);
	return r;
}

static bool config_names(const struct config *c, const char *name)
{
	for (unsigned int i = 0; i < c->ninterfaces; i++)
		if (!strcmp(c->interfaces[i], name))
			return true;
	return false;
}

void footing_take(struct serve *v, struct footing *f)
{
	for (unsigned int i = 0; i < v->config.ninterfaces; i++)
		if (!config_names(&f->config, v->config.interfaces[i]))
			wire_close(&v->wires[i]);
	memcpy(v->wires, f->wires, sizeof(v->wires));
	if (f->metrics_moved) {
		if (v->metrics >= 0) {
			close(v->metrics);
			metrics_unlink(v->config.metrics);
		}
		v->metrics = f->metrics;
	}
	closep(&v->config_fd);
	config_fini(&v->config);
	v->config_fd = f->config_fd;
	v->config = f->config;
	for (unsigned int i = 0; i < v->config.ninterfaces; i++)
		v->wires[i].name = v->config.interfaces[i];
	if (f->nfs_moved)
		nfs_replace(&v->nfs, &f->nfs);
	v->nfs_address = f->nfs_address;
	if (!v->cli->log)
		log_set_level(v->config.log);
}
