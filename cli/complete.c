/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What may be typed next.  The usage line of each command is what it is known by: whatever
 * a command or an option is called there, the shell offers, so nothing has to be kept in
 * step.  Names come from the database, which is only read: not even the files beside it
 * are made.
 *
 *	rootstock complete -- WORD...	the words behind "rootstock", the last as far as it
 *					is typed: what it may become, one a line; ":files"
 *					where a file is meant
 *	rootstock complete		everything there is, for tests/lint/manuals.sh
 */
#include "cli/cmd.h"

#include <getopt.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "cli/config.h"
#include "common/setting.h"

enum { TOKENS_MAX = 48, TOKEN_MAX = 32 };

/* A usage line in parts. */
struct token {
	char text[TOKEN_MAX]; /* without brackets */
	bool option;
	bool value; /* of the option before it */
	bool repeats;
};

struct usage {
	struct token token[TOKENS_MAX];
	unsigned int n;
};

/* What is typed. */
struct typed {
	struct cli *cli;
	char **words; /* without the options of all commands */
	int n;	      /* the last is not yet whole */
	const char *last;
};

static void usage_add(struct usage *u, const char *word, size_t len, bool value, bool repeats)
{
	struct token *t = &u->token[u->n];

	if (u->n == TOKENS_MAX || !len || len >= TOKEN_MAX)
		return;
	*t = (struct token){.option = word[0] == '-', .value = value, .repeats = repeats};
	memcpy(t->text, word, len);
	u->n++;
}

/* "HOST [--mode M] [-f|--foreground] [--group G]..." */
static void usage_parse(const char *line, struct usage *u)
{
	bool value = false;

	u->n = 0;
	while (line && *line) {
		size_t len = strcspn(line, " ");
		const char *word = line + (*line == '[');
		const char *end = line + len;
		bool repeats = len > 3 && !memcmp(end - 3, "...", 3);
		bool closed;

		if (repeats)
			end -= 3;
		/* NAME[@N] has a bracket of its own */
		closed = end[-1] == ']' &&
			 (*line == '[' || !memchr(word, '[', (size_t)(end - word)) ||
			  end[-2] == ']');
		if (closed)
			end--;
		if (*word == '-') {
			const char *bar = memchr(word, '|', (size_t)(end - word));

			if (bar)
				usage_add(u, word, (size_t)(bar - word), false, false);
			word = bar ? bar + 1 : word;
			usage_add(u, word, (size_t)(end - word), false, repeats);
			value = !closed && line[len] && line[len + 1] != '-' &&
				line[len + 1] != '[';
		} else {
			usage_add(u, word, (size_t)(end - word), value, repeats);
			value = false;
		}
		line += len + strspn(line + len, " ");
	}
}

static void offer(const struct typed *t, const char *before, const char *text)
{
	char whole[256];

	snprintf(whole, sizeof(whole), "%s%s", before, text);
	if (!strncmp(whole, t->last, strlen(t->last)))
		puts(whole);
}

static void offer_rows(const struct typed *t, const char *before, const char *sql)
{
	char path[PATH_MAX];
	char uri[PATH_MAX + 64];
	sqlite3_stmt *stmt = NULL;
	sqlite3 *db = NULL;
	bool lives;

	/* A journal beside it: somebody writes, or did.  Else nobody may begin meanwhile. */
	snprintf(path, sizeof(path), "%s/rootstock.db-wal", t->cli->state_dir);
	lives = !access(path, F_OK);
	snprintf(uri, sizeof(uri), "file:%s/rootstock.db?%s", t->cli->state_dir,
		 lives ? "mode=ro" : "immutable=1");
	if (!strpbrk(t->cli->state_dir, "?#%") &&
	    !sqlite3_open_v2(uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL) &&
	    !sqlite3_prepare_v2(db, sql, -1, &stmt, NULL))
		while (sqlite3_step(stmt) == SQLITE_ROW)
			offer(t, before, (const char *)sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	sqlite3_close(db);
}

static void offer_hosts(const struct typed *t, const char *before)
{
	offer_rows(t, before, "SELECT name FROM host ORDER BY name");
}

static void offer_groups(const struct typed *t, const char *before)
{
	offer_rows(t, before, "SELECT name FROM grp ORDER BY name");
}

static void offer_images(const struct typed *t, const char *before)
{
	offer_rows(t, before, "SELECT name FROM image ORDER BY name");
}

static void offer_versions(const struct typed *t)
{
	offer_rows(t, "",
		   "SELECT image.name || '@' || version.number FROM version"
		   " JOIN image ON image.id = version.image ORDER BY image.name, version.number");
}

static void offer_interfaces(const struct typed *t)
{
	struct if_nameindex *list = if_nameindex();

	for (struct if_nameindex *i = list; i && i->if_index; i++)
		if (strcmp(i->if_name, "lo") != 0)
			offer(t, "", i->if_name);
	if_freenameindex(list);
}

static void offer_levels(const struct typed *t)
{
	static const char *const levels[] = {"error", "warn", "info", "debug"};

	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		offer(t, "", levels[i]);
}

/* What is a row of its own; a group has but its image. */
static const char *const own_keys[] = {"name", "mac", "address", "image", "group", "pending"};

static void offer_words(const struct typed *t, const char *before, const char *const *words)
{
	for (; words && *words; words++)
		offer(t, before, *words);
}

/* The values of the key that is typed, where they are known: behind "key=". */
static void offer_values(const struct typed *t)
{
	static const char *const yes_no[] = {"no", "yes", NULL};
	const char *end = strchr(t->last, '=');
	const struct setting *s;
	char key[64];

	if (snprintf(key, sizeof(key) - 1, "%.*s", (int)(end - t->last), t->last) >=
	    (int)sizeof(key) - 1)
		return;
	s = setting_find(key);
	strcat(key, "=");
	if (s)
		offer_words(t, key, s->words);
	if (!strcmp(key, "pending="))
		offer_words(t, key, yes_no);
	if (!strcmp(key, "group="))
		offer_groups(t, key);
	if (!strcmp(key, "image=") || !strcmp(key, "maintenance="))
		offer_images(t, key);
}

static void offer_settings(const struct typed *t, const struct command *c)
{
	bool host = !strncmp(c->words, "host", 4);
	const struct setting *s;
	char key[64];

	if (strchr(t->last, '=')) {
		offer_values(t);
		return;
	}
	for (size_t i = 0; host && i < ARRAY_SIZE(own_keys); i++) {
		snprintf(key, sizeof(key), "%s=", own_keys[i]);
		offer(t, "", key);
	}
	if (!strncmp(c->words, "group", 5))
		offer(t, "", "image=");
	for (unsigned int i = 0; (s = setting_at(i)); i++) {
		/* Of options the number comes next. */
		snprintf(key, sizeof(key), "%s%s", s->key,
			 s->key[strlen(s->key) - 1] == '-' ? "" : "=");
		offer(t, "", key);
	}
}

/* What a word of a usage line stands for. */
static void offer_meaning(const struct typed *t, const struct command *c, const char *word)
{
	bool group = !strncmp(c->words, "group", 5);

	if (strstr(word, "HOST"))
		offer_hosts(t, "");
	if (!strcmp(word, "G") || (group && !strcmp(word, "NAME")))
		offer_groups(t, "");
	else if (strstr(word, "NAME"))
		offer_images(t, "");
	if (strstr(word, "@N") && strchr(t->last, '@'))
		offer_versions(t);
	if (!strcmp(word, "SCOPE")) {
		offer(t, "", "all");
		offer_groups(t, "group:");
		offer_hosts(t, "host:");
	}
	if (!strncmp(word, "KEY=", 4))
		offer_settings(t, c);
	if (!strcmp(word, "IF"))
		offer_interfaces(t);
	if (!strcmp(word, "FILE") || !strcmp(word, "SOURCE") || !strcmp(word, "DIR"))
		puts(":files");
}

/* The token that the last word is, where `at` words behind the command are whole. */
static const struct token *usage_at(const struct usage *u, char **words, int n)
{
	const struct token *here = NULL;
	unsigned int next = 0;

	for (int i = 0; i <= n; i++) {
		const struct token *option = NULL;

		if (i && words[i - 1][0] == '-')
			for (unsigned int k = 0; k + 1 < u->n; k++)
				if (!strcmp(u->token[k].text, words[i - 1]) &&
				    u->token[k + 1].value)
					option = &u->token[k + 1];
		here = option;
		if (option || (i < n && words[i][0] == '-'))
			continue;
		while (next < u->n && (u->token[next].option || u->token[next].value))
			next++;
		here = next < u->n ? &u->token[next] : NULL;
		if (here && !here->repeats)
			next++;
	}
	return here;
}

static void offer_rest(const struct typed *t, const struct command *c, int words)
{
	const struct token *here;
	struct usage u;

	usage_parse(c->usage, &u);
	here = usage_at(&u, t->words + words, t->n - 1 - words);
	if (t->last[0] != '-' || (here && here->value)) {
		if (here)
			offer_meaning(t, c, here->text);
		return;
	}
	for (unsigned int i = 0; i < u.n; i++)
		if (u.token[i].option)
			offer(t, "", u.token[i].text);
	for (const char *const *option = cli_common; *option; option++)
		offer(t, "", *option);
}

/* The first word of a family once, though its commands are many. */
static void offer_commands(const struct typed *t)
{
	char said[32] = "";

	for (const struct command *const *c = cli_commands; *c; c++) {
		size_t len = strcspn((*c)->words, " ");
		char first[32];

		snprintf(first, sizeof(first), "%.*s", (int)len, (*c)->words);
		if ((*c)->internal || !strcmp(first, said))
			continue;
		offer(t, "", first);
		snprintf(said, sizeof(said), "%s", first);
	}
	if (t->last[0] == '-')
		for (const char *const *option = cli_common; *option; option++)
			offer(t, "", *option);
}

static void complete(const struct typed *t)
{
	if (t->n == 1) {
		offer_commands(t);
		return;
	}
	for (const struct command *const *c = cli_commands; *c; c++) {
		size_t len = strcspn((*c)->words, " ");
		const char *second = (*c)->words[len] ? (*c)->words + len + 1 : NULL;

		if ((*c)->internal || strlen(t->words[0]) != len ||
		    strncmp(t->words[0], (*c)->words, len) != 0)
			continue;
		if (!second)
			offer_rest(t, *c, 1);
		else if (t->n == 2)
			offer(t, "", second);
		else if (!strcmp(t->words[1], second))
			offer_rest(t, *c, 2);
	}
}

static void list_all(void)
{
	for (const char *const *option = cli_common; *option; option++)
		printf("option %s\n", *option);
	for (const struct command *const *c = cli_commands; *c; c++) {
		struct usage u;

		if ((*c)->internal)
			continue;
		printf("command %s\n", (*c)->words);
		usage_parse((*c)->usage, &u);
		for (unsigned int i = 0; i < u.n; i++)
			if (u.token[i].option)
				printf("command-option %s %s\n", (*c)->words, u.token[i].text);
		/* What the command takes, whatever its usage line says. */
		for (const struct option *o = (*c)->options; o && o->name; o++)
			printf("command-option %s --%s\n", (*c)->words, o->name);
	}
	for (size_t i = 0; i < ARRAY_SIZE(own_keys); i++)
		printf("setting %s\n", own_keys[i]);
	for (unsigned int i = 0; setting_at(i); i++)
		printf("setting %s\n", setting_at(i)->key);
	config_list_keys(stdout);
}

static int complete_run(struct cli *cli)
{
	struct typed t = {.cli = cli, .words = cli->args, .n = 0};
	const char *before = NULL; /* the option of all commands that waits for its value */

	if (!cli->nargs) {
		list_all();
		return 0;
	}
	t.last = cli->args[cli->nargs - 1];
	for (int i = 0; i < cli->nargs; i++) {
		char *word = cli->args[i];

		if (before) {
			if (i < cli->nargs - 1 && !strcmp(before, "--state"))
				cli->state_dir = word;
			if (i < cli->nargs - 1)
				before = NULL;
		} else if (i < cli->nargs - 1 &&
			   (!strcmp(word, "--state") || !strcmp(word, "--log"))) {
			before = word;
		} else if (i == cli->nargs - 1 || strcmp(word, "--json") != 0) {
			t.words[t.n++] = word;
		}
	}
	if (!before)
		complete(&t);
	else if (!strcmp(before, "--log"))
		offer_levels(&t);
	else
		puts(":files");
	return 0;
}

const struct command command_complete = {
	.words = "complete",
	.internal = true,
	.run = complete_run,
	.max = CLI_ANY,
};
