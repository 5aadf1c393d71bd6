/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a TFTP client sends: the server has no need of it.
 */
#ifndef TESTS_TFTP_CLIENT_H
#define TESTS_TFTP_CLIENT_H

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "tftp/packet.h"

/* A NUL ends each text.  `buf` has room for TFTP_SMALL_MAX; the name is short. */
static inline size_t tftp_client_request(uint8_t buf[static TFTP_SMALL_MAX],
					 const struct tftp_request *req)
{
	const struct tftp_options *o = &req->options;
	const struct {
		const char *key;
		bool asked;
		uint64_t value;
	} options[] = {{"tsize", o->has_tsize, o->tsize},
		       {"blksize", o->blksize, o->blksize},
		       {"timeout", o->timeout, o->timeout},
		       {"windowsize", o->windowsize, o->windowsize}};
	size_t len = 2;

	buf[0] = 0;
	buf[1] = (uint8_t)req->op;
	len += (size_t)sprintf((char *)buf + len, "%s", req->name) + 1;
	len += (size_t)sprintf((char *)buf + len, "%s",
			       req->mode == TFTP_NETASCII ? "netascii" : "octet") +
	       1;
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (!options[i].asked)
			continue;
		len += (size_t)sprintf((char *)buf + len, "%s", options[i].key) + 1;
		len += (size_t)sprintf((char *)buf + len, "%" PRIu64, options[i].value) + 1;
	}
	return len;
}

static inline size_t tftp_client_ack(uint8_t buf[static TFTP_HEADER], uint16_t block)
{
	const uint8_t ack[TFTP_HEADER] = {0, TFTP_ACK, (uint8_t)(block >> 8), (uint8_t)block};

	memcpy(buf, ack, sizeof(ack));
	return sizeof(ack);
}

#endif
