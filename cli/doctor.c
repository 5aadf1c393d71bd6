/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * `doctor`: what keeps machines from booting here, each with the command that mends it.
 *
 *	doctor        the server's own surroundings, whether it runs or not
 *	doctor HOST   that host's boot, played against the running server
 *
 * Nothing is changed, and nothing recorded.
 */
#include "cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/doctor_parts.h"
#include "common/control.h"
#include "common/log.h"

#define CONFIG_DEFAULT "/etc/rootstock.conf"

/* The interfaces of a server that runs, which nobody else may have said. */
static void interfaces_of(struct config *c, const char *stats)
{
	static const char key[] = "\nrootstock_interface_up{interface=\"";
	char name[IFNAMSIZ];

	for (const char *at = stats; (at = strstr(at, key));) {
		at += strlen(key);
		if (sscanf(at, "%15[^\"]", name) == 1)
			config_add_interface(c, name, NULL);
	}
}

static int read_config(struct doctor *d, struct why *why)
{
	const char *given = cli_option(d->cli, 'c');
	const char *file = given ? given : CONFIG_DEFAULT;
	cleanup(closep) int fd = open(file, O_RDONLY | O_CLOEXEC);
	int lacks = fd < 0 ? errno : 0;
	cleanup(freep) char *stats = NULL;
	struct why unsaid = {""};
	size_t len;
	int r = 0;

	d->runs = !control_ask(d->cli->state_dir, "serve", "stats", 5000, &stats, &len, &unsaid);
	for (unsigned int i = 0; i < d->cli->ngiven && !r; i++)
		if (d->cli->given[i].val == 'i')
			r = config_add_interface(&d->config, d->cli->given[i].value, why);
	if (r)
		return r;
	if (fd < 0 && (given || lacks != ENOENT))
		return why_set(why, -lacks, "%s: %s", file, strerror(lacks));
	r = fd < 0 ? 0 : config_read(&d->config, fd, file, why);
	if (r) {
		finding(d->f, FINDING_ERROR, "config", "mend that line", "%s", why->text);
		*why = (struct why){""};
	}
	if (d->runs && !d->config.ninterfaces)
		interfaces_of(&d->config, stats);
	return 0;
}

/* Of a network of its own, as in a container, /proc shows us nothing. */
static bool is_in_our_network(const struct doctor *d)
{
	struct stat ours;
	struct stat its;
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", doctor_server_pid(d));
	return !stat("/proc/self/ns/net", &ours) && !stat(path, &its) && ours.st_ino == its.st_ino;
}

bool doctor_port_taken(struct cli *cli, char *what, size_t what_size, char *mend, size_t mend_size)
{
	struct doctor d = {.cli = cli, .f = findings_new()};
	struct why why = {""};
	const char *how = "";
	const char *error = NULL;

	config_init(&d.config);
	if (!geteuid() && !read_config(&d, &why) && !findings_errors(d.f) && d.runs &&
	    is_in_our_network(&d)) {
		if (doctor_port_mapper(&d) == MAPPER_RPCBIND)
			doctor_rpcbind(&d);
		error = findings_error(d.f, &how);
	}
	if (error) {
		snprintf(what, what_size, "%s", error);
		snprintf(mend, mend_size, "%s", how);
	}
	config_fini(&d.config);
	findings_free(d.f);
	return error;
}

static void surroundings(struct doctor *d)
{
	if (d->runs)
		finding(d->f, FINDING_OK, "server", NULL, "runs on %s", d->cli->state_dir);
	doctor_interfaces(d);
	doctor_ports(d);
	if (!d->runs) /* what keeps it from that comes first */
		finding(d->f, FINDING_WARN, "server", "systemctl start rootstock",
			"none runs on %s", d->cli->state_dir);
	doctor_firewall(d);
	doctor_others(d);
	doctor_system(d);
}

static int doctor_run(struct cli *cli)
{
	struct doctor d = {.cli = cli, .f = findings_new()};
	int r;

	log_init("rootstock", LOG_LEVEL_ERROR);
	config_init(&d.config);
	if (geteuid())
		r = why_set(&cli->why, -EPERM,
			    "needs root: it asks the server's processes, and "
			    "looks who has which port");
	else
		r = read_config(&d, &cli->why);
	if (!r && cli->nargs)
		r = doctor_host(&d, cli->args[0]);
	else if (!r)
		surroundings(&d);
	config_fini(&d.config);
	if (r < 0) {
		/* What was found until then may say why. */
		findings_print(d.f, cli->json);
		return r;
	}
	return findings_print(d.f, cli->json);
}

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'}, {"interface", required_argument, NULL, 'i'}, {0}};

const struct command command_doctor = {
	.words = "doctor",
	.usage = "[HOST] [--config FILE] [--interface IF]...",
	.run = doctor_run,
	.options = options,
	.max = 1,
};
