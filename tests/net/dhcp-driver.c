/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The dhcp child alone, for network tests and benchmarks: makes its databases,
 * opens its interfaces, drops root and serves.
 *
 *	dhcp-driver -P INTERFACE	says which other server answers there, if any
 *	dhcp-driver STATE-DIR [-p] [-l SECS] [-a PROBE-MS] [-u boot|pending|ignore]
 *	            [-r FIRST-LAST] [-s NETWORK/BITS]... [-n] [-R] [-v] INTERFACE...
 *
 * -p proxy mode; -n authoritative; -R no rate limits; -v debug lines; -r is a
 * range of the subnet before it, or of the first interface's.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/log.h"
#include "common/sandbox.h"
#include "common/schema.h"
#include "dhcp/child.h"
#include "dhcp/link.h"
#include "dhcp/probe.h"

static int fail(const struct why *why, int r)
{
	fprintf(stderr, "dhcp-driver: %s\n", why_text(why, r));
	return 1;
}

static int make_databases(const char *dir, struct why *why)
{
	struct sandbox sandbox;
	const char *const files[] = {"leases.db", "leases.db-wal", "leases.db-shm"};
	struct db *db;
	char path[4096];
	int r;

	r = sandbox_identity(SANDBOX_DHCP, &sandbox, why);
	if (r)
		return r;
	mkdir(dir, 0750);
	r = db_open(dir, &schema_rootstock, DB_CREATE, &db, why);
	if (r)
		return r;
	db_close(db);
	r = db_open(dir, &schema_leases, DB_CREATE, &db, why);
	if (r)
		return r;
	db_close(db);
	if (geteuid())
		return 0;
	/* What the supervisor does: the child owns leases.db and may make its WAL. */
	if (chmod(dir, 0770) || chown(dir, (uid_t)-1, sandbox.gid))
		return -errno;
	for (unsigned int i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		if (chown(path, sandbox.uid, sandbox.gid) && i == 0)
			return -errno;
	}
	snprintf(path, sizeof(path), "%s/rootstock.db", dir);
	if (chown(path, (uid_t)-1, sandbox.gid) || chmod(path, 0640))
		return -errno;
	return 0;
}

static struct dhcp_subnet *subnet_of(struct dhcp_config *config, const char *text)
{
	struct dhcp_subnet *s = dhcp_config_add_subnet(config);
	char address[32] = "";
	unsigned int bits = 0;

	if (!s || sscanf(text, "%31[0-9.]/%u", address, &bits) != 2 || !bits || bits > 32 ||
	    ip4_parse(address, &s->network))
		return NULL;
	s->mask = ~(uint32_t)0 << (32 - bits);
	s->network &= s->mask;
	return s;
}

static int range_of(const char *text, struct dhcp_range *out)
{
	char first[32];
	char last[32];

	return sscanf(text, "%31[0-9.]-%31[0-9.]", first, last) != 2 ||
	       ip4_parse(first, &out->first) || ip4_parse(last, &out->last);
}

static int probe(const char *ifname)
{
	struct dhcp_interface ifc;
	struct why why = {""};
	char text[IP4_TEXT];
	uint32_t server;
	int r;

	r = dhcp_link_query(ifname, &ifc, &why);
	if (!r)
		r = dhcp_probe_server(&ifc, 3000, &server, &why);
	if (r)
		return fail(&why, r);
	puts(server ? ip4_format(server, text) : "nobody");
	return 0;
}

int main(int argc, char **argv)
{
	struct dhcp_config config;
	enum log_level level = LOG_LEVEL_INFO;
	struct dhcp_range range = {0, 0};
	char state[PATH_MAX];
	struct why why = {""};
	struct db *keep = NULL;
	int opt;
	int r;

	if (argc == 3 && !strcmp(argv[1], "-P"))
		return probe(argv[2]);
	dhcp_config_init(&config);
	while ((opt = getopt(argc, argv, "pnRvl:a:u:r:s:")) != -1)
		switch (opt) {
		case 'p':
			config.mode = DHCP_MODE_PROXY;
			break;
		case 'n':
			config.authoritative = true;
			break;
		case 'R':
			config.rate_ms = 0;
			break;
		case 'v':
			level = LOG_LEVEL_DEBUG;
			break;
		case 'l':
			config.lease_secs = (uint32_t)atoi(optarg);
			break;
		case 'a':
			config.probe_ms = (unsigned int)atoi(optarg);
			break;
		case 'u':
			config.unknown = !strcmp(optarg, "pending")  ? DHCP_UNKNOWN_PENDING
					 : !strcmp(optarg, "ignore") ? DHCP_UNKNOWN_IGNORE
								     : DHCP_UNKNOWN_BOOT;
			break;
		case 'r':
			if (range_of(optarg, &range))
				return fail(NULL, -EINVAL);
			if (config.nsubnets) {
				struct dhcp_subnet *s = &config.subnets[config.nsubnets - 1];

				s->ranges[s->nranges++] = range;
				range.first = 0;
			}
			break;
		case 's':
			if (!subnet_of(&config, optarg))
				return fail(NULL, -EINVAL);
			break;
		default:
			return 2;
		}
	if (argc - optind < 2)
		return 2;
	config.state_dir = argv[optind++];
	log_init("dhcp", level);
	r = make_databases(config.state_dir, &why);
	if (r)
		return fail(&why, r);
	for (; optind < argc; optind++) {
		struct dhcp_interface *ifc = &config.interfaces[config.ninterfaces++];

		r = dhcp_link_query(argv[optind], ifc, &why);
		if (!r)
			r = dhcp_link_open(argv[optind], &ifc->fds, &why);
		if (r)
			return fail(&why, r);
	}
	if (range.first) {
		struct dhcp_subnet *s = dhcp_config_add_subnet(&config);

		s->mask = config.interfaces[0].netmask;
		s->network = config.interfaces[0].address & s->mask;
		s->ranges[s->nranges++] = range;
	}
	r = dhcp_config_derive(&config, &why);
	if (r)
		return fail(&why, r);
	/* Read-only opens of a WAL database need a living writer. */
	r = db_open(config.state_dir, &schema_rootstock, DB_WRITE, &keep, &why);
	if (r)
		return fail(&why, r);
	if (chmod(config.state_dir, 0770))
		return fail(NULL, -errno);
	if (!realpath(config.state_dir, state))
		return fail(NULL, -errno);
	config.state_dir = state;
	r = sandbox_enter(SANDBOX_DHCP, state, NULL, &why);
	if (r)
		return fail(&why, r);
	r = dhcp_child(&config);
	for (unsigned int i = 0; i < config.ninterfaces; i++)
		dhcp_link_close(&config.interfaces[i].fds);
	dhcp_config_fini(&config);
	db_close(keep);
	return r ? 1 : 0;
}
