/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Boots that were: the list of them, and one as a timeline, for people, for programs,
 * and as a page to look at.
 */
#include "cli/cmd.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "cli/boot_look.h"
#include "cli/boot_page.h"
#include "cli/table.h"
#include "cli/verdict.h"
#include "common/array.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/schema.h"

enum { LIST_MAX = 1000 }; /* rows, unless more are asked for: to judge each takes a while */

/* Both databases of what was, and the hosts' names. */
struct past {
	struct inventory *inv;
	struct db *leases; /* NULL: nothing was served yet */
	struct db *trace;  /* NULL: not there; it may be deleted, and no backup has it */
};

static void past_close(struct past *p)
{
	inventory_free(p->inv);
	db_close(p->leases);
	db_close(p->trace);
}

static int past_open(struct cli *cli, struct past *p)
{
	char path[512];
	int r = cli_leases(cli, false, &p->leases);

	snprintf(path, sizeof(path), "%s/trace.db", cli->state_dir);
	if (!r && !(access(path, F_OK) && errno == ENOENT))
		r = db_open(cli->state_dir, &schema_trace, geteuid() ? DB_READ : DB_WRITE,
			    &p->trace, &cli->why);
	return r ? r : inventory_load(cli->db, &p->inv);
}

/* HOST, or the MAC of a machine that is none. */
static int find_machine(struct cli *cli, const struct past *p, const char *name, struct mac *mac,
			const struct host **host, struct story_machine *out)
{
	*host = inventory_by_name(p->inv, name);
	if (!mac_parse(name, mac) && !*host)
		*host = inventory_by_mac(p->inv, mac);
	if (*host) {
		*out = (struct story_machine){(*host)->macs, (*host)->nmacs, (*host)->id};
		return 0;
	}
	if (mac_parse(name, mac))
		return why_set(&cli->why, -ENOENT, "%s: no such host, and no boot of that MAC",
			       name);
	*out = (struct story_machine){mac, 1, 0};
	return 0;
}

static const char *image_text(const struct past *p, uint32_t id, char *out, size_t size)
{
	const struct image_version *version = inventory_version(p->inv, id);

	if (!version)
		return NULL;
	snprintf(out, size, "%s@%u", version->image_name, version->number);
	return out;
}

/* ---- boot list ---- */

/* The story behind a row; for those that came up the row says enough. */
static int row_verdict(const struct past *p, const struct host *host, struct story *s,
		       struct verdict *v)
{
	struct story_machine m = {&s->mac, 1, host ? host->id : 0};
	int r = s->init ? 0 : story_events(p->trace, &m, s);

	verdict_of(s, wall_now_ns(), v);
	return r;
}

static void list_row(struct table *t, const struct past *p, const struct host *host,
		     const struct story *s, const struct verdict *v)
{
	char image[128];
	char mac[MAC_TEXT];

	table_row(t);
	table_number(t, s->id);
	table_text(t, host ? host->name : NULL);
	table_text(t, mac_format(&s->mac, mac));
	table_address(t, s->address);
	table_text(t, image_text(p, s->version, image, sizeof(image)));
	table_text(t, root_mode_word(s->mode));
	table_text(t, s->ended	   ? "ended"
		      : s->init	   ? "running"
		      : s->mounted ? "mounted"
				   : "started");
	table_text(t, v->state == VERDICT_FAILED ? event_step_word(v->stopped) : NULL);
	table_time(t, s->opened);
	table_time(t, s->mounted);
	table_time(t, s->init);
	table_time(t, s->last_alive);
	table_time(t, s->ended);
	table_text(t, *s->reason ? s->reason : NULL);
}

struct rows {
	struct story *list;
	unsigned int n;
	bool more; /* there are older ones */
};

static void rows_fini(struct rows *rows)
{
	free(rows->list);
}

static bool is_of(const struct story *s, const struct story_machine *m)
{
	for (unsigned int i = 0; i < m->nmacs; i++)
		if (mac_equal(&s->mac, &m->macs[i]))
			return true;
	return false;
}

static int by_machine(const void *a, const void *b)
{
	const struct story *x = a;
	const struct story *y = b;
	int c = memcmp(&x->mac, &y->mac, sizeof(x->mac));

	return c ? c : (x->id > y->id) - (x->id < y->id);
}

static int by_number(const void *a, const void *b)
{
	const struct story *x = a;
	const struct story *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

/* The newest `max` boots of a machine (NULL: of all), the oldest first, and when the same
 * machine's next one opened, which is among them. */
static int rows_load(struct db *leases, const struct story_machine *m, unsigned int max,
		     struct rows *rows)
{
	sqlite3_stmt *stmt = db_stmt(leases, "SELECT " STORY_COLUMNS " FROM boot ORDER BY id DESC");
	int r;

	for (r = db_query(leases, stmt, ""); r == DB_ROW; r = db_next(leases, stmt)) {
		struct story s;

		story_row(stmt, &s);
		if (m && !is_of(&s, m))
			continue;
		rows->more = rows->n == max;
		if (!rows->more && array_grow(&rows->list, rows->n, sizeof(s)))
			r = -ENOMEM;
		if (r < 0 || rows->more)
			break;
		rows->list[rows->n++] = s;
	}
	sqlite3_reset(stmt);
	if (r < 0 || !rows->n)
		return r < 0 ? r : 0;
	qsort(rows->list, rows->n, sizeof(*rows->list), by_machine);
	for (unsigned int i = 1; i < rows->n; i++)
		if (mac_equal(&rows->list[i].mac, &rows->list[i - 1].mac))
			rows->list[i - 1].next = rows->list[i].opened;
	qsort(rows->list, rows->n, sizeof(*rows->list), by_number);
	return 0;
}

static int how_many(struct cli *cli, unsigned int *max)
{
	const char *last = cli_option(cli, 'n');
	unsigned long n;
	char *end;

	*max = cli_option(cli, 'a') ? UINT_MAX : LIST_MAX;
	if (!last)
		return 0;
	errno = 0;
	n = strtoul(last, &end, 10);
	if (errno || end == last || *end || *last == '-' || !n || n > INT_MAX)
		return why_set(&cli->why, -EINVAL, "--last %s: not a number of boots", last);
	*max = (unsigned int)n;
	return 0;
}

static int list_rows(struct cli *cli, const struct past *p, struct rows *rows)
{
	static const char *const columns[] = {
		"boot",	      "host",	"mac",	   "address", "image",	    "mode",  "stage",
		"stopped_at", "opened", "mounted", "init",    "last_alive", "ended", "reason"};
	struct table *t = table_new(columns, ARRAY_SIZE(columns));
	int r = 0;

	for (unsigned int i = 0; i < rows->n && !r; i++) {
		struct story *s = &rows->list[i];
		const struct host *host = inventory_by_mac(p->inv, &s->mac);
		struct verdict v;

		r = row_verdict(p, host, s, &v);
		list_row(t, p, host, s, &v);
		story_fini(s);
	}
	table_print(t, cli->json);
	if (rows->more)
		fprintf(stderr,
			"rootstock: boot list: the newest %u: --last N or --all shows more\n",
			rows->n);
	return r;
}

static int list_run(struct cli *cli)
{
	const char *wanted = cli->nargs ? cli->args[0] : NULL;
	cleanup(past_close) struct past p = {0};
	cleanup(rows_fini) struct rows rows = {0};
	const struct host *host = NULL;
	struct story_machine m;
	unsigned int max;
	struct mac mac;
	int r = how_many(cli, &max);

	if (!r)
		r = past_open(cli, &p);
	if (!r && wanted)
		r = find_machine(cli, &p, wanted, &mac, &host, &m);
	if (!r)
		r = rows_load(p.leases, wanted ? &m : NULL, max, &rows);
	if (!r && wanted && !host && !rows.n)
		r = why_set(&cli->why, -ENOENT, "%s: no such host, and no boot of that MAC",
			    wanted);
	return r ? r : list_rows(cli, &p, &rows);
}

static const struct option list_options[] = {
	{"last", required_argument, NULL, 'n'}, {"all", no_argument, NULL, 'a'}, {0}};

const struct command command_boot_list = {
	.words = "boot list",
	.usage = "[HOST] [--last N] [--all]",
	.run = list_run,
	.options = list_options,
	.db = CLI_READ,
	.max = 1,
};

/* ---- boot show ---- */

static void show_events(const struct story *s)
{
	static const char *const columns[] = {"seconds", "took",  "stage", "event",
					      "address", "bytes", "again", "what"};
	struct table *t = table_new(columns, ARRAY_SIZE(columns));
	int64_t from = page_start(s);

	for (unsigned int i = 0; i < s->n; i++) {
		const struct story_event *e = &s->events[i];
		char text[32];

		table_row(t);
		snprintf(text, sizeof(text), "%.3f",
			 (double)(e->at - e->ms * NS_PER_MS - from) / 1e9);
		table_text(t, text);
		snprintf(text, sizeof(text), "%.3f", (double)e->ms / 1e3);
		table_text(t, e->ms ? text : NULL);
		table_text(t, event_step_word(e->step));
		table_text(t, event_word(e->kind));
		table_address(t, e->address);
		snprintf(text, sizeof(text), "%llu", (unsigned long long)e->bytes);
		table_text(t, e->bytes ? text : NULL);
		snprintf(text, sizeof(text), "%u", e->again);
		table_text(t, e->again ? text : NULL);
		table_text(t, e->text);
	}
	table_print(t, false);
}

static void show_verdict(const struct verdict *v)
{
	char text[512];

	if (v->state == VERDICT_FAILED)
		printf("stopped at: %s\n", event_step_word(v->stopped));
	if (v->reason)
		printf("reason: %s\n", v->reason);
	if (v->said)
		printf("said: %s\n", log_printable(text, sizeof(text), v->said, strlen(v->said)));
	if (v->mend)
		printf("remedy: %s\n", v->mend);
}

static void show_text(const struct boot_page *page)
{
	static const char *const columns[] = {"key", "value"};
	const struct story *s = page->story;
	struct table *t = table_new(columns, ARRAY_SIZE(columns));
	struct page_fact facts[PAGE_FACTS];
	unsigned int n = page_facts(page, facts);

	for (unsigned int i = 0; i < n; i++)
		table_pair(t, facts[i].key, facts[i].value);
	table_print(t, false);
	putchar('\n');
	show_events(s);
	if (page->verdict->reason || page->verdict->state == VERDICT_FAILED)
		putchar('\n');
	show_verdict(page->verdict);
}

static void add_text(cJSON *o, const char *key, const char *text)
{
	cJSON_AddItemToObject(o, key, text ? cJSON_CreateString(text) : cJSON_CreateNull());
}

static void add_number(cJSON *o, const char *key, int64_t number)
{
	char text[24];

	/* cJSON's numbers are doubles. */
	snprintf(text, sizeof(text), "%lld", (long long)number);
	cJSON_AddItemToObject(o, key, cJSON_CreateRaw(text));
}

static void show_json(const struct boot_page *page)
{
	const struct story *s = page->story;
	const struct verdict *v = page->verdict;
	int64_t from = page_start(s);
	struct page_fact facts[PAGE_FACTS];
	unsigned int n = page_facts(page, facts);
	cJSON *o = cJSON_CreateObject();
	cJSON *events;
	char *text;

	for (unsigned int i = 0; i < n; i++)
		if (!strcmp(facts[i].key, "boot") && s->id)
			add_number(o, "boot", s->id);
		else
			add_text(o, facts[i].key, *facts[i].value ? facts[i].value : NULL);
	add_text(o, "reached", event_step_word(v->reached));
	add_text(o, "stopped_at", v->state == VERDICT_FAILED ? event_step_word(v->stopped) : NULL);
	add_text(o, "reason", v->reason);
	add_text(o, "said", v->said);
	add_text(o, "remedy", v->mend);
	events = cJSON_AddArrayToObject(o, "events");
	for (unsigned int i = 0; i < s->n; i++) {
		const struct story_event *e = &s->events[i];
		cJSON *one = cJSON_CreateObject();
		char address[IP4_TEXT];

		cJSON_AddItemToArray(events, one);
		add_number(one, "ns", e->at - e->ms * NS_PER_MS - from);
		add_number(one, "ms", e->ms);
		add_text(one, "stage", event_step_word(e->step));
		add_text(one, "event", event_word(e->kind));
		add_text(one, "address", e->address ? ip4_format(e->address, address) : NULL);
		add_number(one, "bytes", (int64_t)e->bytes);
		add_number(one, "again", e->again);
		add_text(one, "what", e->text);
	}
	text = cJSON_Print(o);
	if (text)
		puts(text);
	free(text);
	cJSON_Delete(o);
}

static int show_page(struct cli *cli, const struct boot_page *page, const char *file)
{
	FILE *out = fopen(file, "we");
	int r;

	if (!out)
		return why_set(&cli->why, -errno, "%s: %m", file);
	r = page_write(page, out);
	if (fclose(out) && !r)
		r = -errno;
	return r ? why_set(&cli->why, r, "%s: %s", file, strerror(-r)) : 0;
}

static int which_boot(struct cli *cli, int64_t *which)
{
	char *end;

	*which = 0;
	if (cli->nargs < 2)
		return 0;
	errno = 0;
	*which = strtoll(cli->args[1], &end, 10);
	if (errno || *end || *which <= 0)
		return why_set(&cli->why, -EINVAL, "%s: not a boot's number, as boot list has them",
			       cli->args[1]);
	return 0;
}

static int show_run(struct cli *cli)
{
	cleanup(past_close) struct past p = {0};
	cleanup(story_fini) struct story story = {0};
	const char *file = cli_option(cli, 'H');
	struct story_machine machine;
	const struct host *host;
	struct verdict verdict;
	struct boot_page page;
	char image[128];
	struct boot_look look;
	int64_t which;
	struct mac mac;
	int r = which_boot(cli, &which);

	if (!r)
		r = past_open(cli, &p);
	if (!r)
		r = find_machine(cli, &p, cli->args[0], &mac, &host, &machine);
	if (r)
		return r;
	r = story_load(p.leases, p.trace, &machine, which, &story);
	if (r == -ENOENT)
		return which ? why_set(&cli->why, r, "%s: has no boot %s", cli->args[0],
				       cli->args[1])
			     : why_set(&cli->why, r, "%s: has not booted yet", cli->args[0]);
	if (r)
		return r;
	verdict_of(&story, wall_now_ns(), &verdict);
	boot_look(cli, p.inv, host, &story, &verdict, &look);
	page = (struct boot_page){
		.story = &story,
		.verdict = &verdict,
		.host = host ? host->name : NULL,
		.image = image_text(&p, story.version, image, sizeof(image)),
	};
	if (file)
		return show_page(cli, &page, file);
	if (cli->json)
		show_json(&page);
	else
		show_text(&page);
	return 0;
}

static const struct option show_options[] = {{"html", required_argument, NULL, 'H'}, {0}};

const struct command command_boot_show = {
	.words = "boot show",
	.usage = "HOST [N] [--html FILE]",
	.run = show_run,
	.options = show_options,
	.db = CLI_READ,
	.min = 1,
	.max = 2,
};
