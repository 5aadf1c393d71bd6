/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One client's one file, from its request to the line in the log: private to
 * server.c (who receives and keeps time) and session.c (what happens to one).
 */
#ifndef TFTP_SESSION_H
#define TFTP_SESSION_H

#include <netinet/in.h>

#include "common/log.h"
#include "tftp/name.h"
#include "tftp/server.h"

enum { SESSION_HASH = 4096, SEND_BLOCKS = 64, SEND_BYTES = 65000 };

enum session_state {
	SESSION_ASKING,	 /* the tree has not answered yet */
	SESSION_SENDING, /* transfer runs */
};

struct session {
	struct loop_source source; /* its own socket; not added in single-port mode */
	struct tftp_server *server;
	struct session *hash_next;
	struct session *run_next; /* queue of those with blocks to send */
	bool in_run;
	unsigned int heap_at; /* index + 1 in the heap of deadlines; 0: none */
	unsigned int all_at;  /* index in `all` */
	struct instant due;

	int fd;			 /* its own, or the listener's */
	struct sockaddr_in peer; /* address and port as on the wire */
	uint32_t local;		 /* the address that was asked; host order */
	enum session_state state;
	struct instant started;
	struct instant hold_until; /* while the caller is being registered */
	bool waiting;		   /* the tree will call wait.done */
	bool held;

	struct tftp_request request; /* name points to `name` */
	char name[TFTP_NAME_MAX];
	struct tftp_wait wait;
	struct tftp_answer answer;
	struct tftp_file *file;
	uint8_t *ahead; /* bytes of the file that come next; NULL until used */
	uint64_t ahead_at;
	size_t ahead_len;
	struct tftp_transfer transfer;
	uint64_t next; /* blocks of the reply that are yet to leave: next to last */
	uint64_t last;
	bool segment;	      /* UDP_SEGMENT works on this path */
	unsigned int starved; /* reads in a row that had no bytes yet */
};

struct listener {
	struct loop_source source;
	struct tftp_server *server;
	const struct tftp_listen *config;
};

enum { TELLERS = 1024 };

struct tftp_server {
	struct loop *loop;
	struct tftp_tree *tree;
	struct tftp_server_config config;
	struct listener listeners[TFTP_LISTENERS];
	struct loop_timer timer;
	struct session *hash[SESSION_HASH];
	struct session **heap;
	unsigned int nheap;
	struct session **all; /* in no order; the heap lacks those that are sending */
	unsigned int nsessions;
	struct session *run_first;
	struct session **run_end;
	struct tftp_counts counts;
	struct log_limit refusals;
	struct log_limit troubles;
	struct log_limit told; /* events about what did not come to its end */
	struct log_limit finished;
	struct log_limit finished_by[TELLERS]; /* by a hash of the address */
	uint32_t random;
	uint8_t send_buf[65536]; /* SEND_BYTES, or one block of any size */
	uint8_t headers[SEND_BLOCKS][TFTP_HEADER];
};

/* server.c for session.c */
void server_due(struct session *s, struct instant at);
void server_run(struct session *s); /* call session_run() soon */
void server_forget(struct session *s);

/* session.c for server.c.  Each may end and free the session. */
void session_start(struct session *s, struct instant now);
void session_packet(struct session *s, const struct bytes *in, struct instant now);
void session_repeat(struct session *s, struct instant now);
void session_time(struct session *s, struct instant now);
void session_run(struct session *s, struct instant now);
void session_unreachable(struct session *s, struct instant now);
void session_free(struct session *s);

/* One small packet, from the address that was asked. */
void session_send_small(int fd, uint32_t local, const struct sockaddr_in *peer, const void *data,
			size_t len);
void session_send_error(int fd, uint32_t local, const struct sockaddr_in *peer, enum tftp_code code,
			const char *text);

#endif
