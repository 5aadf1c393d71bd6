/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The nfs child by itself, for the network tests: over the tree in memory of
 * fake_view.c, or, when built with fsd (nfs-driver-state), over a state directory.
 *
 *	nfs-driver DIR [key=value]...
 *
 * Without NFS_DRIVER_STATE it makes rootstock.db in DIR with one image and a
 * host at each address of hosts=A.B.C.D[-N].
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/event.h"
#include "common/log.h"
#include "common/schema.h"
#include "nfs/child.h"

#ifdef NFS_DRIVER_STATE
#include <signal.h>
#include <sys/prctl.h>

#include "fsd/copier.h"

/* Bytes that are not in the store yet come from a copier of our own. */
static int start_copier(const char *dir, struct why *why)
{
	struct copier_config config = {.state_dir = dir};
	int err = copier_listen(dir, &config.listen_fd, &config.lock_fd, why);

	if (!err && !fork()) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		_exit(copier_child(&config));
	}
	if (err == -EBUSY) /* a running server's will do */
		return 0;
	return err;
}
#else
#include <sys/stat.h>

#include "common/handle_key.h"
#include "tests/unit/fake_view.h"

static int make_state(const char *dir, const char *hosts)
{
	cleanup(db_closep) struct db *db = NULL;
	cleanup(db_closep) struct db *leases = NULL; /* empty; a test adds to it */
	char first[32];
	char secrets[300];
	unsigned int n = 1;
	uint32_t address;
	struct why why = {0};
	int err = db_open(dir, &schema_rootstock, DB_CREATE, &db, &why);

	snprintf(secrets, sizeof(secrets), "%s/secrets", dir);
	mkdir(secrets, 0700);
	if (!err) /* a key that tests know */
		err = db_exec(db, "INSERT INTO site VALUES"
				  " ('handle_key', CAST('0123456789abcdef' AS BLOB))");
	if (!err)
		err = handle_key_settle(db, dir, &why);
	if (!err)
		err = db_open(dir, &schema_leases, DB_CREATE, &leases, &why);
	if (sscanf(hosts, "%31[0-9.]-%u", first, &n) < 1 || ip4_parse(first, &address))
		return -EINVAL;
	if (!err)
		err = db_exec(db, "INSERT INTO image (id, name) VALUES (1, 'debian');"
				  "INSERT INTO version (id, image, number, origin_kind, origin,"
				  " added) VALUES (7, 1, 1, 'dir', '/a', 0);"
				  "UPDATE image SET active = 7; BEGIN");
	for (unsigned int i = 0; !err && i < n; i++) {
		char sql[256];

		snprintf(sql, sizeof(sql),
			 "INSERT INTO host (id, name, address, added, changed) VALUES"
			 " (%u, 'host%u', %u, 0, 0)",
			 i + 1, i + 1, address + i);
		err = db_exec(db, sql);
	}
	if (!err)
		err = db_exec(db, "COMMIT");
	if (err)
		fprintf(stderr, "nfs-driver: %s\n", why_text(&why, err));
	return err;
}
#endif

static unsigned int number(const char *arg, const char *key, unsigned int standard)
{
	size_t len = strlen(key);

	return strncmp(arg, key, len) ? standard : (unsigned int)strtoul(arg + len, NULL, 0);
}

int main(int argc, char **argv)
{
	struct nfs_network admin = {0};
	struct nfs_config config = {.event_fd = -1, .fds = NFS_FDS_NONE};
	const char *hosts = "127.0.0.1";
	unsigned int listen_port = NFS_PORT;
	uint32_t address = 0;
	cleanup(db_closep) struct db *keep = NULL; /* a WAL reader needs a living writer */
	int events[2];
	int status;
	struct why why = {0};

	if (argc < 2) {
		fprintf(stderr, "usage: nfs-driver DIR [key=value]...\n");
		return 2;
	}
	log_init("nfs", LOG_LEVEL_INFO);
	config.state_dir = argv[1];
	for (int i = 2; i < argc; i++) {
		const char *a = argv[i];

		listen_port = number(a, "port=", listen_port);
		config.workers = number(a, "workers=", config.workers);
		config.reserved_port = number(a, "reserved=", config.reserved_port);
		config.squash = number(a, "squash=", config.squash);
		config.max_connections = number(a, "max_connections=", config.max_connections);
		config.max_per_address = number(a, "max_per_address=", config.max_per_address);
		config.record_secs = number(a, "record_secs=", config.record_secs);
#ifndef NFS_DRIVER_STATE
		if (!strncmp(a, "many=", 5))
			fake_many(number(a, "many=", 0));
		if (!strcmp(a, "miss=1")) { /* every READ has to wait for its bytes */
			fake_miss(true);
			fake_prompt = true;
		}
		if (!strcmp(a, "lost=1")) { /* and does not get them */
			fake_miss(true);
			fake_prompt = true;
			fake_lost = true;
		}
		if (!strcmp(a, "short=1")) /* bodies end before they should */
			fake_short = true;
#endif
		if (!strncmp(a, "address=", 8) && ip4_parse(a + 8, &address))
			return 2;
		if (!strncmp(a, "hosts=", 6))
			hosts = a + 6;
		if (!strncmp(a, "admin=", 6)) {
			char ip[32];
			unsigned int prefix = 32;

			if (sscanf(a + 6, "%31[0-9.]/%u", ip, &prefix) < 1 ||
			    ip4_parse(ip, &admin.address))
				return 2;
			admin.prefix = (uint8_t)prefix;
			config.admin = &admin;
			config.nadmin = 1;
		}
	}
#ifndef NFS_DRIVER_STATE
	if (make_state(config.state_dir, hosts))
		return 1;
#else
	(void)hosts;
#endif
	if (db_open(config.state_dir, &schema_rootstock, DB_WRITE, &keep, &why) ||
#ifdef NFS_DRIVER_STATE
	    start_copier(config.state_dir, &why) ||
#endif
	    nfs_listen(&NFS_FDS_NONE, address, (uint16_t)listen_port, &config.fds, &why)) {
		fprintf(stderr, "nfs-driver: %s\n", why.text);
		return 1;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, events))
		return 1;
	config.event_fd = events[1];
	if (!fork()) { /* prints the events, one a line */
		struct event e;
		char ip[IP4_TEXT];

		close(events[1]);
		nfs_fds_close(&config.fds);
		for (;;) {
			ssize_t n = recv(events[0], &e, sizeof(e), 0);

			if (n <= 0)
				_exit(0);
			printf("event %s host=%u address=%s text=%s\n", event_word(e.kind), e.host,
			       ip4_format(e.address, ip), e.text);
			fflush(stdout);
		}
	}
	close(events[0]);
	status = nfs_child(&config);
	nfs_unregister(&config.fds);
	return status;
}
