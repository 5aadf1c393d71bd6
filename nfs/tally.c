/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nfs/tally.h"

#include <stdio.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/stats.h"

enum { SHORTEST_BITS = 12 }; /* the first bound: 2^12 ns; each further one is four times that */

static const char *const procedures[TALLY_SLOTS] = {
	"NULL",
	"GETATTR",
	"SETATTR",
	"LOOKUP",
	"ACCESS",
	"READLINK",
	"READ",
	"WRITE",
	"CREATE",
	"MKDIR",
	"SYMLINK",
	"MKNOD",
	"REMOVE",
	"RMDIR",
	"RENAME",
	"LINK",
	"READDIR",
	"READDIRPLUS",
	"FSSTAT",
	"FSINFO",
	"PATHCONF",
	"COMMIT",
	/* MOUNT */
	"NULL",
	"MNT",
	"DUMP",
	"UMNT",
	"UMNTALL",
	"EXPORT",
	/* port mapper */
	"any",
};

static unsigned int time_of(uint64_t ns)
{
	/* ns <= 2^bits */
	unsigned int bits = ns > 1 ? 64 - (unsigned int)__builtin_clzll(ns - 1) : 0;
	unsigned int i;

	if (bits <= SHORTEST_BITS)
		return 0;
	i = (bits - SHORTEST_BITS + 1) / 2;
	return i < TALLY_TIMES ? i : TALLY_TIMES - 1;
}

void tally_turn(struct tally *t, int64_t ns)
{
	uint64_t took = ns > 0 ? (uint64_t)ns : 0;
	unsigned int i = time_of(took);

	for (unsigned int k = 0; k < t->n; k++) {
		tally_add(&t->took[t->turn[k]][i], 1);
		tally_add(&t->ns[t->turn[k]], took);
	}
	t->n = 0;
}

static uint64_t load(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static const char *program_of(unsigned int slot)
{
	return slot < TALLY_MOUNT ? "nfs" : slot < TALLY_PORTMAP ? "mount" : "portmap";
}

static void slot_stats(const struct tally *const *tallies, unsigned int n, unsigned int slot,
		       struct stats *stats)
{
	const char *program = program_of(slot);
	const char *procedure = procedures[slot];
	uint64_t count = 0;
	uint64_t ns = 0;

	for (unsigned int i = 0; i < TALLY_TIMES; i++) {
		char le[32] = "+Inf";

		for (unsigned int k = 0; k < n; k++)
			count += load(&tallies[k]->took[slot][i]);
		if (i + 1 < TALLY_TIMES)
			snprintf(le, sizeof(le), "%.9g",
				 (double)(UINT64_C(1) << (SHORTEST_BITS + 2 * i)) / NS_PER_SEC);
		stats_sample_of(stats, "_bucket", (double)count, "program", program, "procedure",
				procedure, "le", le, NULL);
	}
	for (unsigned int k = 0; k < n; k++)
		ns += load(&tallies[k]->ns[slot]);
	stats_sample_of(stats, "_sum", (double)ns / NS_PER_SEC, "program", program, "procedure",
			procedure, NULL);
	stats_sample_of(stats, "_count", (double)count, "program", program, "procedure", procedure,
			NULL);
}

void tally_stats(const struct tally *const *tallies, unsigned int n, struct stats *stats)
{
	uint64_t bytes = 0;
	uint64_t there = 0;
	uint64_t waited = 0;

	stats_family(stats, "rootstock_nfs_call_duration_seconds", "histogram",
		     "From the arrival of a call to its answer's departure.");
	for (unsigned int slot = 0; slot < TALLY_SLOTS; slot++)
		slot_stats(tallies, n, slot, stats);
	for (unsigned int k = 0; k < n; k++) {
		bytes += load(&tallies[k]->read_bytes);
		there += load(&tallies[k]->reads_there);
		waited += load(&tallies[k]->reads_waited);
	}
	stats_counter(stats, "rootstock_nfs_read_bytes_total", "Bytes of files sent by READ.",
		      bytes);
	stats_family(stats, "rootstock_nfs_reads_total", "counter",
		     "READs, by whether the store had the bytes (hit) or the copier had to bring "
		     "them (miss).");
	stats_sample(stats, (double)there, "store", "hit", NULL);
	stats_sample(stats, (double)waited, "store", "miss", NULL);
}
