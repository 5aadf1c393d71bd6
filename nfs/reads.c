/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nfs/reads.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

/* Those that are told together count as read in a row from the first one's time on. */
#define READS_BATCH_NS NS_PER_SEC

struct reads *reads_new(int event_fd, uint32_t address, uint32_t host, uint32_t version,
			int64_t mounted_ns)
{
	struct reads *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->event_fd = event_fd;
	r->address = address;
	r->host = host;
	r->version = version;
	r->mounted_ns = mounted_ns;
	return r;
}

void reads_free(struct reads *r)
{
	if (!r)
		return;
	reads_tell(r);
	free(r);
}

void reads_tell(struct reads *r)
{
	struct event event = {
		.kind = EVENT_READS, .host = r->host, .address = r->address, .bytes = r->version};
	int64_t since = (r->batch_ns - r->mounted_ns) / 1000;

	if (!r->n)
		return;
	event.ms = since < 0 ? 0 : since > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)since;
	memcpy(event.text, r->waiting, r->n * sizeof(r->waiting[0]));
	event_send(r->event_fd, &event); /* lost when the supervisor is behind: no matter */
	r->n = 0;
}

void reads_add(struct reads *r, uint32_t pos, int64_t now_ns)
{
	uint32_t bit = pos * UINT32_C(2654435761) >> 16;

	r->seen[bit / 64] |= UINT64_C(1) << bit % 64;
	if (r->n && now_ns - r->batch_ns > READS_BATCH_NS)
		reads_tell(r);
	if (!r->n)
		r->batch_ns = now_ns;
	r->waiting[r->n++] = pos;
	if (r->n == EVENT_READS_MAX)
		reads_tell(r);
}
