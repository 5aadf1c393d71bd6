/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A bench whose image has one large file behind a gate (tests/gate.h), somebody who reads it
 * by pieces while it is copied, and somebody who asks the copier by hand.
 */
#ifndef TESTS_UNIT_EXTENTS_UNIT_H
#define TESTS_UNIT_EXTENTS_UNIT_H

#include "tests/unit/copier_unit.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/container.h"
#include "fsd/copier_parts.h"
#include "fsd/extents.h"

#define MIB EXTENT_SIZE

/* An image whose only file is behind a gate; who cannot have one skips. */
static inline void bench_gate(struct bench *b, uint64_t size)
{
	if (gate_new(b->site.origin, size, &b->gate))
		skip();
	bench_add(b, false);
}

struct reader {
	struct content_wait wait;
	struct contents *contents;
	int r;
	bool done;
	struct content *content;
};

static inline void reader_done(struct content_wait *wait, int r, struct content *content)
{
	struct reader *reader = container(wait, struct reader, wait);

	reader->r = r;
	reader->done = true;
	content_unref(reader->content);
	reader->content = content;
}

static inline void reader_ask(struct bench *b, struct reader *reader, uint64_t offset, uint64_t len)
{
	struct content *content = NULL;

	reader->wait.done = reader_done;
	reader->contents = reader->contents ? reader->contents : b->contents;
	reader->done = false;
	reader->r = contents_open_at(reader->contents, b->view, node_of(b, "big"), offset, len,
				     &content, &reader->wait);
	if (reader->r != CONTENT_WAIT)
		reader_done(&reader->wait, reader->r, content);
}

static inline bool reader_turn(struct reader *reader)
{
	struct pollfd p = {.fd = contents_fd(reader->contents), .events = POLLIN};

	if (!reader->done && poll(&p, 1, 2) == 1)
		contents_dispatch(reader->contents);
	return reader->done;
}

static inline void reader_end(struct reader *reader, int want)
{
	unit_wait(reader_turn(reader));
	assert_int_equal(reader->r, want);
}

static inline void assert_bytes(struct content *c, unsigned int state, uint64_t offset, size_t len)
{
	cleanup(freep) uint8_t *buf = malloc(len);

	assert_true(content_ready(c, offset, len));
	assert_int_equal(content_pread(c, buf, len, offset), len);
	for (size_t i = 0; i < len; i++)
		if (buf[i] != gate_byte(state, offset + i))
			fail_msg("byte %llu is not of state %u", (unsigned long long)(offset + i),
				 state);
}

static inline void wait_at(struct bench *b, uint64_t extent)
{
	uint64_t at;

	unit_wait(gate_waits(b->gate, &at) && at == extent);
}

static inline bool no_draft(struct bench *b)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/objects/tmp", b->site.state);
	return !rmdir(path) && !mkdir(path, 0700);
}

#endif
