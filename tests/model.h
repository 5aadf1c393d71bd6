/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The plain directory that a view must equal: a random tree from a seed, and entries
 * laid over it by ordinary system calls, each as a person would make that change
 * by hand.  Every door is compared with it.
 */
#ifndef TESTS_MODEL_H
#define TESTS_MODEL_H

#include "fsd/objects.h"
#include "fsd/overlay.h"
#include "fsd/template.h"

/* Repeatable numbers (splitmix64). */
struct rng {
	uint64_t state;
};
uint64_t rng_next(struct rng *rng);
uint32_t rng_below(struct rng *rng, uint32_t n); /* 0 to n - 1 */

/* SEED of the environment, else one of its own, which is printed. */
uint64_t model_seed(void);
/* ROUNDS of the environment, else `usual`. */
unsigned int model_rounds(unsigned int usual);

struct model_shape {
	unsigned int most; /* of names tried; 0: 64 */
	bool for_tar;	   /* without what tar(1) loses: sockets, links of devices */
};

/* Fill the empty directory `dir`: the same tree for the same seed and shape.  Device
 * nodes and owners only as root. */
void model_generate(const char *dir, uint64_t seed, const struct model_shape *shape);

/* A name of 1 to 255 bytes from 1 to 255, usually short; ended. */
void model_name(struct rng *rng, char out[static 256]);

/* What model_apply() needs to know beside the entry. */
struct model_context {
	struct objects *objects; /* bodies of files */
	template_lookup *lookup;
	void *ctx;
	int64_t keys_ns;
	uint64_t pin;
};

/* Make the entry's change below the directory `root`.  An entry that is not in
 * force, or whose way does not exist, changes nothing but times. */
void model_apply(int root, const struct entry *entry, const struct model_context *context);

/* Every path of `dir` but itself, "a/b": an array of `*n` strings, all the caller's. */
char **model_paths(const char *dir, size_t *n);
void model_paths_free(char **paths, size_t n);

/* rm -rf */
void model_remove(const char *dir);

#endif
