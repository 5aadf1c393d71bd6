/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A directory as another kind of origin, by tar(1).
 */
#ifndef TESTS_DOORS_PACK_H
#define TESTS_DOORS_PACK_H

#include "tests/model.h"

/* Returns false when tar(1) failed; it has said why. */
bool pack_tar(const char *dir, const char *archive);

/* An OCI image layout of two layers: the lower one has things that the upper one
 * changes, hides or makes opaque, so that `dir` comes out.  `scratch` is a directory
 * that is there, for parts. */
bool pack_oci(const char *dir, const char *layout, const char *scratch, struct rng *rng);

#endif
