/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Random trees and random overlays, changed while they are looked at: what each door
 * shows (the core, the FUSE mount, NFS) must be what ordinary system calls make of a
 * plain directory (tests/model.h).
 *
 * Each seed is a process of its own.  One that fails is tried again with ever fewer
 * changes and names, and the smallest that still fails is shown.
 *
 *	SEED=N		this one alone, here; the first of
 *	ROUNDS=N	so many (24)
 *	DOORS=core	these doors alone, of core, fuse and nfs
 *	SKIP=,3,17,	without these changes; NAMES=N: at most so many names in the image
 *	PATIENCE=MS	how long a change may take to show (20,000)
 */
#include "tests/doors/trial.h"

#include <signal.h>
#include <sys/wait.h>

#include "common/log.h"
#include "fsd/view.h"
#include "tests/doors/compare.h"
#include "tests/doors/servers.h"

enum { BATCHES = 6, BATCH_MOST = 11, DOORS = 3, TRIAL_SECS = 300, SHRINK_SECS = 150 };

struct run {
	struct trial trial;
	struct views *views;
	struct contents *contents;
	struct view *view; /* that the core's door shows */
	struct servers servers;
	struct db *leases;
	uint64_t pin; /* of the host's open boot */
	struct sight sights[DOORS];
	struct held *held[DOORS];
	unsigned int ndoors;
	const char *why;
};

/* A change shows within a second, on a machine that is not busy. */
static bool eventually(struct run *run, bool (*same)(struct run *run, unsigned int door),
		       unsigned int door)
{
	const char *patience = getenv("PATIENCE");
	struct instant until = instant_add_ms(instant_now(), patience ? strtol(patience, NULL, 10)
								      : UNIT_PATIENCE_MS);

	while (!same(run, door)) {
		run->why = run->sights[door].why;
		if (instant_now().ns > until.ns)
			return false;
		usleep(20000);
	}
	return true;
}

static bool same_now(struct run *run, unsigned int door)
{
	return sight_same(&run->sights[door], "hosts/amy", run->trial.model);
}

static bool held_now(struct run *run, unsigned int door)
{
	return sight_held(&run->sights[door], run->held[door], trial_many_ways, &run->trial);
}

static void show(struct run *run, uint32_t host, uint64_t pin)
{
	view_unref(run->view);
	assert_int_equal(views_get(run->views, host, run->trial.version, pin, &run->view), 0);
}

static const struct bytes host_mac = {(const uint8_t *)"RT\0\0\0\1", 6};

/* The host has an address: this machine's, or one that this machine looks at as an
 * admin. */
static void lease_make(struct run *run)
{
	const char *state = run->trial.site.state;

	assert_int_equal(db_open(state, &schema_leases, DB_CREATE, &run->leases, NULL), 0);
	assert_int_equal(db_run(run->leases,
				"INSERT INTO lease (address, mac, host, state, started, expires)"
				" VALUES (?, ?, ?, 2, 1, 1)",
				"ubu", run->trial.seed & 1 ? 0x7f000001 : 0x7f000002, host_mac,
				TRIAL_HOST),
			 0);
}

/* The host boots, or what it ran ends. */
static void change_boot(struct run *run)
{
	struct trial *t = &run->trial;

	assert_int_equal(db_run(run->leases, "UPDATE boot SET ended = 1 WHERE ended IS NULL", ""),
			 0);
	run->pin = UINT64_MAX;
	if (rng_below(&t->rng, 3) == 0)
		return;
	run->pin = site_last_change(&t->site);
	assert_int_equal(db_run(run->leases,
				"INSERT INTO boot (host, mac, version, change, opened)"
				" VALUES (?, ?, ?, ?, 1)",
				"ubui", TRIAL_HOST, host_mac, t->version, (int64_t)run->pin),
			 0);
}

static bool batch(struct run *run, bool all_doors)
{
	struct trial *t = &run->trial;
	uint64_t any;

	trial_model(t, UINT64_MAX);
	for (uint32_t n = rng_below(&t->rng, BATCH_MOST + 1); n--;)
		trial_change(t);
	views_poll(run->views);
	/* A boot that has pinned any change. */
	any = rng_below(&t->rng, (uint32_t)site_last_change(&t->site) + 1);
	show(run, TRIAL_HOST, any);
	trial_model(t, any);
	if (!same_now(run, 0))
		return false;
	show(run, TRIAL_HOST, run->pin);
	trial_model(t, run->pin);
	for (unsigned int i = 0; i < (all_doors ? run->ndoors : 1); i++) {
		struct sight *s = &run->sights[i];

		if (!eventually(run, same_now, i))
			return false;
		if (run->held[i] && !eventually(run, held_now, i))
			return false;
		held_free(s, run->held[i]);
		run->held[i] = NULL;
		if (!sight_hold(s, "hosts/amy", &run->held[i])) {
			run->why = s->why;
			return false;
		}
	}
	return true;
}

static bool bare(struct run *run)
{
	show(run, 0, UINT64_MAX);
	for (unsigned int i = 0; i < run->ndoors; i++)
		if (!sight_same(&run->sights[i], "images/img@1", run->trial.site.origin)) {
			run->why = run->sights[i].why;
			return false;
		}
	return true;
}

static void add_door(struct run *run, struct door *door)
{
	run->sights[run->ndoors] =
		(struct sight){.door = door, .rng = {run->trial.seed + run->ndoors}};
	run->ndoors++;
}

static bool open_doors(struct run *run, bool all)
{
	struct door *fuse = NULL;
	struct door *nfs = NULL;

	add_door(run, door_core_new(&run->view, run->contents));
	if (!all)
		return true;
	if (!servers_start(&run->servers, run->trial.site.dir, run->trial.site.state, &fuse,
			   &nfs)) {
		run->why = "the servers do not start";
		return false;
	}
	add_door(run, fuse);
	add_door(run, nfs);
	return true;
}

static bool wanted(const char *word)
{
	const char *doors = getenv("DOORS");

	return !doors || strstr(doors, word);
}

/* Those that were not asked for are open, and nobody looks. */
static void shut_doors(struct run *run)
{
	for (unsigned int i = 1; i < run->ndoors;) {
		if (wanted(run->sights[i].door->word)) {
			i++;
			continue;
		}
		run->sights[i].door->free(run->sights[i].door);
		run->sights[i] = run->sights[--run->ndoors];
	}
}

static void one_trial(uint64_t seed, bool all)
{
	struct run *run = calloc(1, sizeof(*run));
	struct site_copier copier;
	bool good;

	run->pin = UINT64_MAX;
	trial_init(&run->trial, seed);
	lease_make(run);
	site_copier_start(&run->trial.site, &copier);
	assert_int_equal(views_open(run->trial.site.state, &run->views, NULL), 0);
	assert_int_equal(contents_new(run->trial.site.state, 16, &run->contents, NULL), 0);
	good = open_doors(run, all);
	shut_doors(run);
	good = good && bare(run);
	for (int i = 0; good && i < BATCHES; i++) {
		if (i == 2 || i == 4)
			change_boot(run);
		good = batch(run, i % 2);
	}
	if (!good)
		trial_tell(&run->trial);
	for (unsigned int i = 0; i < run->ndoors; i++) {
		held_free(&run->sights[i], run->held[i]);
		run->sights[i].door->free(run->sights[i].door);
	}
	if (!servers_stop(&run->servers) && good) {
		run->why = "a server ended badly";
		good = false;
	}
	view_unref(run->view);
	contents_free(run->contents);
	views_close(run->views);
	site_copier_stop(&copier);
	db_close(run->leases);
	site_fini(&run->trial.site);
	if (!good)
		fail_msg("seed %#llx: %s", (unsigned long long)seed,
			 run->why ? run->why : run->sights[0].why);
	free(run);
}

/* ---- as a process of its own ---- */

static bool trees_agree(uint64_t seed, const char *log)
{
	char text[32];
	int status = -1;
	pid_t pid;

	snprintf(text, sizeof(text), "%#llx", (unsigned long long)seed);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		setenv("SEED", text, 1);
		setenv("ROUNDS", "1", 1);
		dup2(fd, 1);
		dup2(fd, 2);
		alarm(TRIAL_SECS);
		execl("/proc/self/exe", "test_trees", NULL);
		_exit(127);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status == 0;
}

/* Leave changes out, many at a time and then one by one, while it still fails. */
static void shrink(uint64_t seed, const char *log)
{
	struct instant until = instant_add_ms(instant_now(), SHRINK_SECS * 1000);
	char skip[512] = ",";
	char names[16];

	setenv("PATIENCE", "3000", 0);
	for (unsigned int most = 1; most < 64 && instant_now().ns < until.ns; most *= 2) {
		snprintf(names, sizeof(names), "%u", most);
		setenv("NAMES", names, 1);
		if (!trees_agree(seed, log))
			break;
		unsetenv("NAMES");
	}
	for (unsigned int size = 32; size; size /= 2)
		for (unsigned int i = 0; i < BATCHES * BATCH_MOST; i += size) {
			size_t len = strlen(skip);

			if (instant_now().ns > until.ns)
				break;
			for (unsigned int k = i; k < i + size; k++) {
				char number[16];

				snprintf(number, sizeof(number), ",%u,", k);
				if (!strstr(skip, number) && strlen(skip) < sizeof(skip) - 16)
					strcat(skip, number + 1);
			}
			if (strlen(skip) == len)
				continue;
			setenv("SKIP", skip, 1);
			if (trees_agree(seed, log)) {
				skip[len] = '\0';
				setenv("SKIP", skip, 1);
			}
		}
}

static void tell(uint64_t seed, const char *log)
{
	static const char *const keys[] = {"DOORS", "SKIP", "NAMES", "PATIENCE"};
	FILE *f = fopen(log, "re");
	char line[1024];

	while (f && fgets(line, sizeof(line), f))
		fprintf(stderr, "%s", line);
	if (f)
		fclose(f);
	fprintf(stderr, "again: SEED=%#llx ROUNDS=1", (unsigned long long)seed);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (getenv(keys[i]))
			fprintf(stderr, " %s=%s", keys[i], getenv(keys[i]));
	fprintf(stderr, " build/tests/test_trees\n");
}

static void every_door_shows_what_system_calls_make(void **state)
{
	unsigned int rounds = model_rounds(24);
	bool here = getenv("SEED");
	uint64_t seed = model_seed();
	char log[] = "/tmp/rootstock-trees.XXXXXX";
	bool all;

	(void)state;
	if (here) {
		all = (wanted("fuse") || wanted("nfs")) && !servers_enclose();
		for (unsigned int i = 0; i < rounds; i++)
			one_trial(seed + i, all);
		return;
	}
	if (servers_enclose())
		print_message("# no namespaces or no /dev/fuse: through the core alone\n");
	print_message("# first seed %#llx\n", (unsigned long long)seed);
	close(mkstemp(log));
	for (unsigned int i = 0; i < rounds; i++) {
		if (trees_agree(seed + i, log))
			continue;
		tell(seed + i, log);
		shrink(seed + i, log);
		trees_agree(seed + i, log);
		tell(seed + i, log);
		unlink(log);
		fail_msg("seed %#llx", (unsigned long long)(seed + i));
	}
	unlink(log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_door_shows_what_system_calls_make),
	};

	log_init("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
