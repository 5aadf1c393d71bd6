/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A request, then whatever comes: through the parser and the state machine.  The
 * input is cut into packets by a length byte each; 255 lets time pass.
 */
#include <assert.h>

#include "common/cleanup.h"
#include "tftp/transfer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct tftp_transfer *t, const struct tftp_reply *out)
{
	assert(out->len <= sizeof(out->packet));
	assert(out->count <= t->window);
	assert(!out->count || (out->first >= 1 && out->first + out->count - 1 <= t->blocks));
	assert(t->acked <= t->sent && t->sent <= t->blocks);
	assert(t->blksize >= TFTP_BLKSIZE_MIN && t->blksize <= TFTP_BLKSIZE_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct tftp_limits limits;
	static const uint64_t sizes[] = {0, 1, 511, 512, 513, 1 << 20, UINT64_C(5) << 30};
	struct cursor c = cursor_of(data, size);
	struct instant now = {0};
	struct tftp_transfer t;
	struct tftp_reply out;
	struct tftp_request req;
	uint8_t pick = cursor_u8(&c);
	struct bytes in = cursor_take(&c, cursor_u8(&c));
	unsigned int opening = 1;

	if (tftp_request_parse(&in, &req))
		return 0;
	assert(req.name[req.name_len] == '\0');
	tftp_transfer_start(&t, &req, sizes[pick % ARRAY_SIZE(sizes)], &limits, now, &out);
	check(&t, &out);
	while (cursor_left(&c)) {
		uint8_t len = cursor_u8(&c);
		int r;

		if (len == 255) {
			now = t.deadline;
			r = tftp_transfer_step(&t, NULL, now, &out);
		} else if (len == 254) {
			r = 0;
			tftp_transfer_repeat(&t, now, &out);
		} else {
			in = cursor_take(&c, len);
			now.ns += NS_PER_MS;
			r = tftp_transfer_step(&t, &in, now, &out);
		}
		check(&t, &out);
		opening += t.opening && (out.len || out.count);
		assert(opening <= TFTP_OPENING_TRIES);
		if (r)
			break;
	}
	return 0;
}
