/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Asking a process of the server what it would answer, and how it is: one socket for
 * each, STATE/control/NAME.
 *
 *	supervisor: control_listen() --descriptor--> child: control_new() on its loop
 *	asker: control_open() --"stats"--> control_verb.ask() --packets, the end--> asker
 *
 * SOCK_SEQPACKET.  A request is one bounded packet: a verb and, behind a space, what goes
 * with it; a descriptor may come along.  An answer is any number of packets, each with
 * its kind in its first byte, so that an answer that was cut short is not taken for
 * whole.  Who is not root is sent away at the door, but for the metrics child, which may
 * ask for "stats"; a bad request closes that connection alone.  Nothing here blocks:
 * what an asker does not take waits in memory, so much and so long.
 */
#ifndef COMMON_CONTROL_H
#define COMMON_CONTROL_H

#include <sys/types.h>

#include "common/bytes.h"
#include "common/loop.h"
#include "common/stats.h"
#include "common/why.h"

enum {
	CONTROL_REQUEST_MAX = 4096,
	CONTROL_PACKET_MAX = 32768, /* of an answer, without its kind */
	CONTROL_ASKERS = 16	    /* at once */
};

/* ---- the one who is asked ---- */

/* Open the socket of `name`; whatever was left there by one that was killed goes.  The
 * caller closes *fd, and removes the name with control_unlink() at the end. */
int control_listen(const char *state_dir, const char *name, int *fd, struct why *why);
void control_unlink(const char *state_dir, const char *name);

/* Who asked, and waits for the answer.  Gone after the end of it. */
struct asker;

/* Part of the answer: split where it is more than a packet takes. */
void asker_say(struct asker *asker, const void *data, size_t len);
void asker_end(struct asker *asker);
void asker_fail(struct asker *asker, int err, const struct why *why); /* NULL: no words */

/* The descriptor that came along, the caller's; -1: none. */
int asker_given(struct asker *asker);
/* The connection itself, the caller's from now on, for a dialogue that somebody else
 * leads (a fork, a thread); the asker is gone.  It blocks, from now on. */
int asker_take(struct asker *asker);

/* Who took a connection, speaks by these; they wait for the asker.  0 or a negative
 * errno. */
int control_say(int fd, const void *head, size_t head_len, const void *data, size_t len);
int control_end(int fd);
int control_fail(int fd, int err, const char *words);

/* For who answers later: his own, and what to call if the asker does not wait. */
void asker_wait(struct asker *asker, void (*gone)(void *own), void *own);

struct control_verb {
	const char *name;
	/* Answer: say, then end or fail, now or after asker_wait().  `args` are good
	 * until the call returns. */
	void (*ask)(void *ctx, struct asker *asker, struct bytes args);
};

/* What a child is handed.  Zeroed: no socket, nobody asks. */
struct control_door {
	int fd;	       /* borrowed; the first that can be handed over is 3 */
	uid_t metrics; /* who may ask for "stats", beside root */
};

struct control_config {
	struct control_door door;
	void (*stats)(void *ctx, struct stats *out); /* the answer to "stats" */
	const struct control_verb *verbs;	     /* others, ended by a NULL name; NULL: none */
	void *ctx;
	/* How long an asker may ask nothing, or not take its answer; 0: ten seconds. */
	unsigned int idle_ms;
};

struct control;

/* Answer on `loop` from now on; *out is NULL where there is no socket. */
int control_new(struct loop *loop, const struct control_config *config, struct control **out);
void control_free(struct control *control); /* NULL is fine */
CLEANUP_DEFINE(struct control *, control_free);

/* ---- the asker ---- */

/* -ECONNREFUSED or -ENOENT: no server, or that service of it does not run. */
int control_open(const char *state_dir, const char *name, int *fd, struct why *why);

/* `fd_along` -1: none.  Returns 0 or a negative errno. */
int control_send(int fd, const void *request, size_t len, int fd_along);

enum { CONTROL_END = 1 };

/* The next packet of the answer: 0 and its length, CONTROL_END, or a negative errno, the
 * other side's with its words or our own: -ETIMEDOUT, -EPIPE where it hung up early. */
int control_receive(int fd, int timeout_ms, void *buf, size_t size, size_t *len, struct why *why);

/* All of the answer to a request without a descriptor, ended by a NUL that is not in
 * *len; the caller's.  -ETIMEDOUT where it is not over in that time, with words that tell one
 * that never began, one that stopped and one that still came. */
int control_ask(const char *state_dir, const char *name, const char *request, int timeout_ms,
		char **answer, size_t *len, struct why *why);

#endif
