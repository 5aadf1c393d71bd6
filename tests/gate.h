/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An origin for tests that is as slow as the test wants: a FUSE file system with the one
 * file "big", whose extents are answered one by one as the test lets them through, and
 * which changes, shrinks or vanishes at its word.
 */
#ifndef TESTS_GATE_H
#define TESTS_GATE_H

#include <stdbool.h>
#include <stdint.h>

struct gate;

/* Mount it.  -errno where FUSE is not to be had. */
int gate_new(const char *mountpoint, uint64_t size, struct gate **out);
void gate_free(struct gate *g); /* unmounts; what waits is answered EIO */

/* Let so many more extents through, each in all its reads; UINT_MAX: all. */
void gate_allow(struct gate *g, unsigned int extents);
/* Another state: other bytes, times and size. */
void gate_change(struct gate *g, uint64_t size);
/* The name goes, the open file stays. */
void gate_unlink(struct gate *g);

/* Who looks for the file hangs from now on; or goes on.  One who hung when the gate goes is
 * told EIO. */
void gate_hold(struct gate *g, bool hold);
unsigned int gate_held(struct gate *g); /* how many hang */

/* The extent that somebody waits for, if so. */
bool gate_waits(struct gate *g, uint64_t *extent);
unsigned int gate_waiting(struct gate *g); /* how many reads wait */
/* Extents let through so far, one that was read twice counted twice in two states. */
unsigned int gate_passed(struct gate *g);

/* The byte at `offset` in the n-th state, the first being 0. */
uint8_t gate_byte(unsigned int state, uint64_t offset);

#endif
