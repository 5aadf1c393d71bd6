/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A version as a process knows it: its manifest, and what has been learned since
 * the scan (hashes, drift), from the fill journal and from the copier's answers.
 * Shared between threads; what is learned only grows.
 */
#ifndef FSD_VERSION_H
#define FSD_VERSION_H

#include "fsd/fill.h"
#include "fsd/manifest.h"

struct version;

/* Below `state_dir`/manifests.  One reference for the caller. */
int version_open(const char *state_dir, uint32_t id, struct version **out, struct why *why);
struct version *version_ref(struct version *v);
void version_unref(struct version *v);
CLEANUP_DEFINE(struct version *, version_unref);

const struct manifest *version_manifest(const struct version *v);

/* Note a copied or lost file.  Later ones stand. */
void version_learn(struct version *v, const struct fill_record *record);

/* The bytes at `pos` turned out to be nowhere. */
void version_forget(struct version *v, uint32_t pos);

/* What is known beyond the manifest about the file at `pos` (its group's first).
 * Returns true and *out when something is; a hash that the sealed manifest has
 * is given too. */
bool version_known(struct version *v, uint32_t pos, struct fill_record *out);

/* Attributes of the node at `pos`, drift included.  Returns 0 or -EUCLEAN. */
int version_node(struct version *v, uint32_t pos, struct manifest_node *out);

/* How far: files with bytes, of them known, drifted, gone. */
struct version_progress {
	uint32_t files;
	uint32_t copied;
	uint32_t drifted;
	uint32_t gone;
};
void version_progress(struct version *v, struct version_progress *out);

#endif
