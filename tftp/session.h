/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One client's one file, from its request to the line in the log: private to
 * server.c (who receives and keeps time) and session.c (what happens to one).
 */
#ifndef TFTP_SESSION_H
#define TFTP_SESSION_H

#include <netinet/in.h>
#include <sys/queue.h>

#include "common/log.h"
#include "tftp/deadlines.h"
#include "tftp/name.h"
#include "tftp/outbox.h"
#include "tftp/port.h"
#include "tftp/server.h"

enum { SESSION_HASH = 4096 };

enum session_state {
	SESSION_ASKING,	 /* the tree has not answered yet */
	SESSION_SENDING, /* transfer runs */
};

struct session {
	struct deadline deadline; /* first: who has it has the session */
	struct tftp_server *server;
	struct port *port;
	LIST_ENTRY(session) of_peer;	/* in by_peer */
	LIST_ENTRY(session) of_address; /* in by_address */
	TAILQ_ENTRY(session) of_run;	/* in run, if in_run */
	TAILQ_ENTRY(session) of_opening;
	bool in_run;
	bool in_opening; /* nothing has been acknowledged yet */

	struct sockaddr_in peer; /* address and port as on the wire */
	uint32_t local;		 /* the address that was asked; host order */
	enum session_state state;
	struct instant started;
	struct instant hold_until; /* while the caller is being registered */
	bool waiting;		   /* the tree will call wait.done */
	struct instant tell_at;	   /* the supervisor, that it is waited for */

	struct tftp_request request; /* name points to `name` */
	char name[TFTP_NAME_MAX];
	struct tftp_wait wait;
	struct tftp_answer answer;
	struct tftp_file *file;
	struct tftp_transfer transfer;
	uint64_t next; /* blocks of the reply that are yet to leave: next to last */
	uint64_t last;
	bool segment;	      /* UDP_SEGMENT works on this path */
	unsigned int starved; /* reads in a row that had no bytes yet */
};

LIST_HEAD(session_list, session);
TAILQ_HEAD(session_queue, session);

struct listener {
	struct port port; /* of requests; and in single-port mode, of all */
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
	struct port *ports;
	unsigned int nports;
	bool untidy; /* a port may have lost its last session */
	unsigned int nsessions;
	struct tftp_counts counts;
	uint64_t hash_key; /* odd */
	struct session_list by_peer[SESSION_HASH];
	struct session_list by_address[SESSION_HASH];
	struct session_queue opening; /* the oldest first */
	struct session_queue run;     /* those with blocks to send */
	struct deadlines deadlines;   /* of all others */
	struct instant now;	      /* of this turn */
	struct log_limit refusals;
	struct log_limit troubles;
	struct log_limit failures;
	struct log_limit told; /* events about what did not come to its end */
	struct log_limit finished;
	struct log_limit finished_by[TELLERS]; /* by a hash of the address */
	uint32_t random;
	struct port_batch batch;
	struct outbox outbox;
};

/* server.c for session.c */
void server_due(struct session *s, struct instant at);
void server_run(struct session *s);	     /* call session_run() soon */
void server_acknowledged(struct session *s); /* somebody is there */
void server_forget(struct session *s);
void server_on_port(struct loop_source *source, uint32_t events);

/* session.c for server.c.  Each may end and free the session. */
void session_start(struct session *s, struct instant now);
void session_packet(struct session *s, const struct bytes *in, struct instant now);
void session_repeat(struct session *s, struct instant now);
void session_time(struct session *s, struct instant now);
void session_run(struct session *s, struct instant now);	  /* into the outbox */
void session_left(struct session *s, unsigned int blocks, int r); /* struct outbox */
void session_unreachable(struct session *s, struct instant now);
void session_free(struct session *s);

/* An ERROR, from the address that was asked. */
void session_send_error(int fd, uint32_t local, const struct sockaddr_in *peer, enum tftp_code code,
			const char *text);

#endif
