/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/status.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/control.h"
#include "common/inventory.h"
#include "common/schema.h"

enum {
	ANSWER_MS = 3000,
	CALM_SECS = 600,	/* alive this long, it is well again */
	UP_SECS = 180,		/* a sign of life comes once a minute */
	PROGRESS_SECS = 15 * 60 /* a boot that takes longer has failed */
};

static void wrong(cJSON *status, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void wrong(cJSON *status, const char *format, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(status, "wrong"),
			     cJSON_CreateString(text));
}

/* ---- figures of the running server ---- */

/* "NAME VALUE" or "NAME{LABEL="OF",...} VALUE", at the start of a line. */
static bool figure(const char *stats, const char *name, const char *label, const char *of,
		   double *out)
{
	char key[160];
	const char *at;

	if (label)
		snprintf(key, sizeof(key), "\n%s{%s=\"%s\"} ", name, label, of);
	else
		snprintf(key, sizeof(key), "\n%s ", name);
	at = strstr(stats, key);
	if (at)
		*out = strtod(at + strlen(key), NULL);
	return at != NULL;
}

static double figure_of_service(const char *stats, const char *name, const char *service)
{
	double value = 0;

	figure(stats, name, "service", service, &value);
	return value;
}

/* It may be there and not answer. */
static void ask_service(struct cli *cli, cJSON *status, const char *service, cJSON *row)
{
	cleanup(freep) char *stats = NULL;
	struct why why = {""};
	double value;
	size_t len;
	int r = control_ask(cli->state_dir, service, "stats", ANSWER_MS, &stats, &len, &why);

	if (r == -ENOENT)
		return; /* it is not one that is asked */
	cJSON_AddBoolToObject(row, "answers", !r);
	if (r) {
		wrong(status, "%s does not answer: %s", service, why_text(&why, r));
		return;
	}
	if (figure(stats, "rootstock_dhcp_commit_failing", NULL, NULL, &value) && value != 0)
		wrong(status, "dhcp: leases.db cannot be written: no lease is given");
	if (figure(stats, "rootstock_copier_store_full", NULL, NULL, &value) && value != 0)
		wrong(status, "copier: the store is full");
	if (figure(stats, "rootstock_nfs_connections", NULL, NULL, &value))
		cJSON_AddNumberToObject(row, "connections", value);
	if (figure(stats, "rootstock_tftp_transfers_active", NULL, NULL, &value))
		cJSON_AddNumberToObject(row, "transfers", value);
	if (figure(stats, "rootstock_copier_files_active", NULL, NULL, &value))
		cJSON_AddNumberToObject(row, "files", value);
	if (figure(stats, "rootstock_dhcp_leases", "state", "bound", &value))
		cJSON_AddNumberToObject(row, "leases", value);
}

static void gather_service(struct cli *cli, cJSON *status, const char *stats, const char *name,
			   cJSON *row)
{
	bool up = figure_of_service(stats, "rootstock_service_up", name) != 0;
	bool rests = figure_of_service(stats, "rootstock_service_rests", name) != 0;
	double restarts = figure_of_service(stats, "rootstock_service_restarts_total", name);
	double up_secs = figure_of_service(stats, "rootstock_service_uptime_seconds", name);

	cJSON_AddStringToObject(row, "service", name);
	cJSON_AddNumberToObject(row, "pid",
				figure_of_service(stats, "rootstock_service_pid", name));
	cJSON_AddNumberToObject(row, "uptime_seconds", up_secs);
	cJSON_AddNumberToObject(row, "restarts", restarts);
	cJSON_AddBoolToObject(row, "rests", rests);
	if (up)
		ask_service(cli, status, name, row);
	else if (!rests)
		wrong(status, "%s does not run", name);
	if (restarts > 0 && up_secs < CALM_SECS)
		wrong(status, "%s died %.0f time%s since the server was started: see its log", name,
		      restarts, restarts > 1 ? "s" : "");
}

static void gather_services(struct cli *cli, cJSON *status, const char *stats)
{
	static const char key[] = "\nrootstock_service_up{service=\"";
	cJSON *list = cJSON_AddArrayToObject(status, "services");
	char name[32];

	for (const char *at = stats; (at = strstr(at, key));) {
		cJSON *row = cJSON_CreateObject();

		at += strlen(key);
		cJSON_AddItemToArray(list, row);
		if (sscanf(at, "%31[^\"]", name) == 1)
			gather_service(cli, status, stats, name, row);
	}
}

static void gather_interfaces(cJSON *status, const char *stats)
{
	static const char key[] = "\nrootstock_interface_up{interface=\"";
	cJSON *list = cJSON_AddArrayToObject(status, "interfaces");
	char name[32];
	double up;

	for (const char *at = stats; (at = strstr(at, key));) {
		cJSON *row = cJSON_CreateObject();

		at += strlen(key);
		cJSON_AddItemToArray(list, row);
		if (sscanf(at, "%31[^\"]\"} %lf", name, &up) != 2)
			continue;
		cJSON_AddStringToObject(row, "interface", name);
		cJSON_AddBoolToObject(row, "up", up != 0);
		if (up == 0)
			wrong(status, "interface %s is gone", name);
	}
}

static void gather_server(struct cli *cli, cJSON *status)
{
	cJSON *server = cJSON_AddObjectToObject(status, "server");
	cleanup(freep) char *stats = NULL;
	struct why why = {""};
	double value = 0;
	size_t len;
	int r = control_ask(cli->state_dir, "serve", "stats", ANSWER_MS, &stats, &len, &why);

	cJSON_AddStringToObject(server, "state", cli->state_dir);
	cJSON_AddBoolToObject(server, "runs", !r || r == -ETIMEDOUT);
	cJSON_AddBoolToObject(server, "answers", !r);
	if (r) {
		wrong(status, "%s", why_text(&why, r));
		return;
	}
	figure(stats, "rootstock_start_time_seconds", NULL, NULL, &value);
	cJSON_AddNumberToObject(server, "since", value);
	if (figure(stats, "rootstock_trace_broken", NULL, NULL, &value) && value != 0)
		wrong(status, "trace.db cannot be written: timelines have gaps");
	gather_services(cli, status, stats);
	gather_interfaces(status, stats);
}

/* ---- what the databases know ---- */

static void gather_images(struct cli *cli, cJSON *status)
{
	cJSON *list = cJSON_AddArrayToObject(status, "images");
	sqlite3_stmt *stmt =
		db_stmt(cli->db, "SELECT image.name, number, sealed IS NOT NULL,"
				 " (SELECT count(*) FROM version WHERE image = image.id)"
				 " FROM image LEFT JOIN version ON version.id = active"
				 " ORDER BY image.name");

	for (int r = db_query(cli->db, stmt, ""); r == DB_ROW; r = db_next(cli->db, stmt)) {
		cJSON *row = cJSON_CreateObject();

		cJSON_AddItemToArray(list, row);
		cJSON_AddStringToObject(row, "image", (const char *)sqlite3_column_text(stmt, 0));
		cJSON_AddNumberToObject(row, "active", sqlite3_column_int(stmt, 1));
		cJSON_AddBoolToObject(row, "sealed", sqlite3_column_int(stmt, 2));
		cJSON_AddNumberToObject(row, "versions", sqlite3_column_int(stmt, 3));
	}
	if (!cJSON_GetArraySize(list))
		wrong(status, "there is no image: rootstock image add NAME DIR");
}

static const char *stage_of(bool mounted, bool has_init)
{
	return has_init ? "running" : mounted ? "root mounted" : "loading";
}

static void add_boot(cJSON *list, const struct inventory *inv, sqlite3_stmt *stmt, int64_t now)
{
	const struct image_version *version =
		inventory_version(inv, (uint32_t)sqlite3_column_int64(stmt, 2));
	const struct host *host = NULL;
	cJSON *row = cJSON_CreateObject();
	char text[MAC_TEXT] = "";
	char image[NAME_MAX_LEN + 16] = "";
	char address[IP4_TEXT];
	struct mac mac;

	cJSON_AddItemToArray(list, row);
	if (!db_column_mac(stmt, 0, &mac)) {
		host = inventory_by_mac(inv, &mac);
		mac_format(&mac, text);
	}
	if (version)
		snprintf(image, sizeof(image), "%s@%u", version->image_name, version->number);
	cJSON_AddStringToObject(row, "host", host ? host->name : text);
	cJSON_AddStringToObject(row, "address",
				ip4_format((uint32_t)sqlite3_column_int64(stmt, 1), address));
	cJSON_AddStringToObject(row, "image", image);
	cJSON_AddStringToObject(row, "stage", stage_of(sqlite3_column_int(stmt, 4), false));
	cJSON_AddNumberToObject(row, "seconds",
				(double)((now - sqlite3_column_int64(stmt, 3)) / NS_PER_SEC));
}

static int64_t count(struct db *db, const char *sql, int64_t since)
{
	sqlite3_stmt *stmt = db_stmt(db, sql);
	int64_t n = db_query(db, stmt, "i", since) == DB_ROW ? sqlite3_column_int64(stmt, 0) : 0;

	sqlite3_reset(stmt);
	return n;
}

static void gather_boots(struct cli *cli, cJSON *status, const struct inventory *inv, cJSON *hosts)
{
	cJSON *list = cJSON_AddArrayToObject(status, "boots");
	cleanup(db_closep) struct db *leases = NULL;
	int64_t now = wall_now_ns();
	int64_t failed;
	sqlite3_stmt *stmt;

	if (db_open(cli->state_dir, &schema_leases, DB_READ, &leases, NULL)) {
		cJSON_AddNumberToObject(hosts, "up", 0);
		return; /* nothing was served yet */
	}
	cJSON_AddNumberToObject(
		hosts, "up",
		(double)count(leases,
			      "SELECT count(DISTINCT mac) FROM boot WHERE ended IS NULL"
			      " AND init IS NOT NULL AND coalesce(last_alive, init) > ?",
			      now - UP_SECS * NS_PER_SEC));
	stmt = db_stmt(leases, "SELECT mac, address, coalesce(version, 0), opened,"
			       " mounted IS NOT NULL FROM boot WHERE ended IS NULL AND init IS NULL"
			       " AND opened > ? ORDER BY opened");
	for (int r = db_query(leases, stmt, "i", now - PROGRESS_SECS * NS_PER_SEC); r == DB_ROW;
	     r = db_next(leases, stmt))
		add_boot(list, inv, stmt, now);
	failed = count(
		leases,
		"SELECT count(DISTINCT mac) FROM boot AS b WHERE ended IS NULL AND init IS NULL"
		" AND opened < ? AND id = (SELECT max(id) FROM boot WHERE mac = b.mac)",
		now - PROGRESS_SECS * NS_PER_SEC);
	if (failed)
		wrong(status,
		      "%lld machine%s began to boot and did not come to init: rootstock boot "
		      "list",
		      (long long)failed, failed > 1 ? "s" : "");
}

static int gather_rows(struct cli *cli, cJSON *status)
{
	cJSON *hosts = cJSON_AddObjectToObject(status, "hosts");
	cleanup(inventory_freep) struct inventory *inv = NULL;
	unsigned int pending = 0;
	int r = db_open(cli->state_dir, &schema_rootstock, DB_READ, &cli->db, NULL);

	if (r == -ENOENT)
		return 0;
	if (!r)
		r = inventory_load(cli->db, &inv);
	if (r)
		return r;
	for (unsigned int i = 0; i < inventory_count(inv); i++)
		pending += inventory_at(inv, i)->pending;
	cJSON_AddNumberToObject(hosts, "registered", inventory_count(inv));
	cJSON_AddNumberToObject(hosts, "pending", pending);
	gather_images(cli, status);
	gather_boots(cli, status, inv, hosts);
	return 0;
}

int status_gather(struct cli *cli, cJSON **out)
{
	cJSON *status = cJSON_CreateObject();
	int r;

	if (!status)
		return -ENOMEM;
	cJSON_AddArrayToObject(status, "wrong");
	gather_server(cli, status);
	r = gather_rows(cli, status);
	/* Opened anew for each look: the state may have become another one meanwhile. */
	db_close(cli->db);
	cli->db = NULL;
	if (r) {
		cJSON_Delete(status);
		return r;
	}
	*out = status;
	return 0;
}

/* ---- for people ---- */

static double number(const cJSON *object, const char *key)
{
	const cJSON *n = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsNumber(n) ? n->valuedouble : 0;
}

static const char *text(const cJSON *object, const char *key)
{
	const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));

	return s ? s : "";
}

static bool is_true(const cJSON *object, const char *key)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, key));
}

static void print_duration(FILE *out, double seconds)
{
	long s = (long)seconds;

	if (s >= 86400)
		fprintf(out, "%ldd%02ldh", s / 86400, s / 3600 % 24);
	else if (s >= 3600)
		fprintf(out, "%ldh%02ldm", s / 3600, s / 60 % 60);
	else
		fprintf(out, "%ldm%02lds", s / 60, s % 60);
}

static void print_services(const cJSON *list, FILE *out)
{
	static const struct {
		const char *key;
		const char *one;
	} loads[] = {{"connections", "connections"},
		     {"transfers", "transfers"},
		     {"files", "files under way"},
		     {"leases", "leases"}};
	const cJSON *row;

	cJSON_ArrayForEach(row, list)
	{
		fprintf(out, "  %-8s", text(row, "service"));
		if (number(row, "pid") == 0) {
			fprintf(out, "%s\n",
				!is_true(row, "rests") ? "does not run"
				: !strcmp(text(row, "service"), "copier")
					? "rests: another program copies"
					: "rests: no interface");
			continue;
		}
		fprintf(out, "pid %-8.0f up ", number(row, "pid"));
		print_duration(out, number(row, "uptime_seconds"));
		if (number(row, "restarts") > 0)
			fprintf(out, ", restarted %.0f times", number(row, "restarts"));
		if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(row, "answers")))
			fprintf(out, ", does not answer");
		for (size_t i = 0; i < ARRAY_SIZE(loads); i++)
			if (cJSON_HasObjectItem(row, loads[i].key))
				fprintf(out, ", %.0f %s", number(row, loads[i].key), loads[i].one);
		fputc('\n', out);
	}
}

void status_print(const cJSON *status, FILE *out)
{
	const cJSON *server = cJSON_GetObjectItemCaseSensitive(status, "server");
	const cJSON *hosts = cJSON_GetObjectItemCaseSensitive(status, "hosts");
	const cJSON *row;

	if (is_true(server, "answers")) {
		fprintf(out, "rootstock on %s, up ", text(server, "state"));
		print_duration(out, (double)wall_now_ns() / NS_PER_SEC - number(server, "since"));
		cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(status, "interfaces"))
			fprintf(out, ", %s %s", text(row, "interface"),
				is_true(row, "up") ? "up" : "gone");
		fputc('\n', out);
	} else {
		fprintf(out, "rootstock on %s: does not %s\n", text(server, "state"),
			is_true(server, "runs") ? "answer" : "run");
	}
	print_services(cJSON_GetObjectItemCaseSensitive(status, "services"), out);
	fprintf(out, "images:");
	cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(status, "images"))
		fprintf(out, " %s@%.0f%s", text(row, "image"), number(row, "active"),
			is_true(row, "sealed") ? "" : " (not sealed yet)");
	fprintf(out, "\nhosts: %.0f registered, %.0f up", number(hosts, "registered"),
		number(hosts, "up"));
	if (number(hosts, "pending") > 0)
		fprintf(out, ", %.0f wait for approval", number(hosts, "pending"));
	fputc('\n', out);
	cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(status, "boots"))
	{
		fprintf(out, "booting: %s %s %s, %s for ", text(row, "host"), text(row, "address"),
			text(row, "image"), text(row, "stage"));
		print_duration(out, number(row, "seconds"));
		fputc('\n', out);
	}
	cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(status, "wrong"))
		fprintf(out, "wrong: %s\n", cJSON_GetStringValue(row));
}

static bool status_bad(const cJSON *status)
{
	return cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(status, "wrong")) > 0;
}

/* ---- the command ---- */

static int status_run(struct cli *cli)
{
	cJSON *status;
	int r;

	/* Into a file or a pipe once is enough. */
	if (cli_option(cli, 'w') && !cli->json && isatty(STDOUT_FILENO))
		return status_watch(cli);
	r = status_gather(cli, &status);
	if (r)
		return r;
	if (cli->json) {
		cleanup(freep) char *json = cJSON_Print(status);

		if (json)
			puts(json);
	} else {
		status_print(status, stdout);
	}
	r = status_bad(status) ? 1 : 0;
	cJSON_Delete(status);
	return r;
}

static const struct option options[] = {{"watch", no_argument, NULL, 'w'}, {0}};

const struct command command_status = {
	.words = "status",
	.usage = "[--watch]",
	.run = status_run,
	.options = options,
	.max = 0,
};
