/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * TFTP packets: the only place that knows the wire (RFC 1350, 2347, 2348, 2349,
 * 7440).  Parsing copies nothing: names and messages point into the packet.
 *
 *	RRQ/WRQ  op name 0 mode 0 (option 0 value 0)*
 *	DATA     op block data...
 *	ACK      op block
 *	ERROR    op code message 0
 *	OACK     op (option 0 value 0)*
 */
#ifndef TFTP_PACKET_H
#define TFTP_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"

enum tftp_op { TFTP_RRQ = 1, TFTP_WRQ, TFTP_DATA, TFTP_ACK, TFTP_ERROR, TFTP_OACK };

enum tftp_code {
	TFTP_UNDEFINED = 0, /* see the message */
	TFTP_NOT_FOUND = 1,
	TFTP_ACCESS = 2,
	TFTP_ILLEGAL = 4,
	TFTP_UNKNOWN_ID = 5,
	TFTP_BAD_OPTION = 8
};

enum tftp_mode { TFTP_OCTET, TFTP_NETASCII };

enum {
	TFTP_BLKSIZE = 512, /* without the option */
	TFTP_BLKSIZE_MIN = 8,
	TFTP_BLKSIZE_MAX = 65464,
	TFTP_WINDOW_MAX = 65535,
	TFTP_HEADER = 4,
	TFTP_REQUEST_MAX = 1432, /* RFC 2347 says 512; some ROMs send more */
	TFTP_SMALL_MAX = 512	 /* room for any OACK, ACK or ERROR that we build */
};

/* Options by presence.  In a request: as asked, 0 for "not asked", a value that
 * breaks its RFC counts as not asked.  In an OACK: as granted. */
struct tftp_options {
	uint32_t blksize;    /* 8 to 65464 */
	uint32_t windowsize; /* 1 to 65535 */
	uint32_t timeout;    /* 1 to 255, seconds */
	bool has_tsize;
	uint64_t tsize;
};

struct tftp_request {
	enum tftp_op op;  /* TFTP_RRQ or TFTP_WRQ */
	const char *name; /* ended; in the packet */
	size_t name_len;
	enum tftp_mode mode;
	struct tftp_options options;
};

/* Returns 0, -EBADMSG for what is not a request, or -ENOTSUP for a mode that is
 * neither octet nor netascii ("mail"). */
int tftp_request_parse(const struct bytes *in, struct tftp_request *out);

struct tftp_packet {
	enum tftp_op op;	     /* TFTP_ACK, TFTP_ERROR, TFTP_DATA or TFTP_OACK */
	uint16_t block;		     /* ACK, DATA */
	uint16_t code;		     /* ERROR */
	struct bytes message;	     /* ERROR: not ended, not escaped; DATA: the data */
	struct tftp_options options; /* OACK */
};

/* Any packet within a transfer, of either side.  Returns 0 or -EBADMSG.  Bytes
 * after an ACK's block number are ignored: some ROMs pad. */
int tftp_packet_parse(const struct bytes *in, struct tftp_packet *out);

/* Builders return the length, or 0 when `size` is too small. */
size_t tftp_oack_build(void *buf, size_t size, const struct tftp_options *granted);
size_t tftp_error_build(void *buf, size_t size, enum tftp_code code, const char *message);
void tftp_data_header(uint8_t out[static TFTP_HEADER], uint16_t block);

#endif
