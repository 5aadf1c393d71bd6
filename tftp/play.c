/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tftp/play.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/container.h"

enum {
	SLICE = 128 << 10, /* of a turn: others are served between */
	STARVED_MS = 10,
	PLAY_SECS = 60
};

struct play {
	struct asker *asker;
	struct loop *loop;
	struct directory *directory;
	struct namespace *namespace;
	struct tftp_wait wait;
	bool waiting;
	struct tftp_file *file;
	struct loop_timer turn;
	struct instant end;
	uint64_t at;
	EVP_MD_CTX *sum;
	size_t head_len;
	struct tftp_played played;
	uint8_t head[TFTP_PLAYED_HEAD];
	uint8_t slice[SLICE];
};

static void play_free(struct play *p)
{
	if (p->waiting)
		namespace_tree(p->namespace)->cancel(namespace_tree(p->namespace), &p->wait);
	loop_timer_clear(&p->turn);
	tftp_file_close(p->file);
	namespace_free(p->namespace);
	directory_close(p->directory);
	EVP_MD_CTX_free(p->sum);
	free(p);
}

static void play_gone(void *own)
{
	play_free(own);
}

/* The answer, and the end. */
static void play_end(struct play *p)
{
	asker_say(p->asker, &p->played, sizeof(p->played));
	asker_say(p->asker, p->head, p->head_len);
	asker_end(p->asker);
	play_free(p);
}

static void play_fail(struct play *p, int err, const struct why *why)
{
	asker_fail(p->asker, err, why);
	play_free(p);
}

static void play_served(struct play *p)
{
	unsigned int len = HASH_LEN;

	EVP_DigestFinal_ex(p->sum, p->played.hash.octet, &len);
	p->played.code = -1;
	play_end(p);
}

static void on_turn(struct loop_timer *timer, struct instant now)
{
	struct play *p = container(timer, struct play, turn);
	uint64_t left = p->file->size - p->at;
	size_t want = left < SLICE ? (size_t)left : SLICE;
	ssize_t n = want ? tftp_file_pread(p->file, p->slice, want, p->at) : 0;

	if (n == -EAGAIN && now.ns < p->end.ns) {
		loop_timer_set(p->loop, timer, instant_add_ms(now, STARVED_MS));
		return;
	}
	if (n < 0 || (n == 0 && want)) {
		play_fail(p, n < 0 ? (int)n : -EIO, NULL);
		return;
	}
	EVP_DigestUpdate(p->sum, p->slice, (size_t)n);
	if (p->head_len < sizeof(p->head)) {
		size_t room = sizeof(p->head) - p->head_len;
		size_t copy = (size_t)n < room ? (size_t)n : room;

		memcpy(p->head + p->head_len, p->slice, copy);
		p->head_len += copy;
	}
	p->at += (uint64_t)n;
	if (p->at == p->file->size)
		play_served(p);
	else
		loop_timer_set(p->loop, timer, now);
}

static void play_read(struct play *p, struct tftp_file *file)
{
	p->file = file;
	p->played.size = file->size;
	loop_timer_set(p->loop, &p->turn, instant_now());
}

static void on_file(struct tftp_wait *wait, int r, struct tftp_file *file)
{
	struct play *p = container(wait, struct play, wait);

	p->waiting = false;
	if (r)
		play_fail(p, r, NULL);
	else
		play_read(p, file);
}

static void play_open(struct play *p, const struct tftp_ask *ask)
{
	struct tftp_tree *tree = namespace_tree(p->namespace);
	struct tftp_answer answer;
	struct tftp_file *file;
	int r = tree->open(tree, ask, &p->wait, &answer, &file);

	p->played.stage = answer.stage;
	switch (r) {
	case 0:
		play_read(p, file);
		return;
	case TFTP_TREE_WAIT:
		p->waiting = true;
		return;
	case TFTP_TREE_LATER:
		p->played.code = TFTP_PLAYED_LATER;
		break;
	case TFTP_TREE_REFUSED:
		p->played.code = (int32_t)answer.code;
		break;
	default:
		play_fail(p, r, &answer.why);
		return;
	}
	snprintf(p->played.why, sizeof(p->played.why), "%s", answer.why.text);
	play_end(p);
}

/* "FROM MAC TO NAME" */
static bool parse(struct bytes args, char text[static CONTROL_REQUEST_MAX + 1], struct mac *mac,
		  struct tftp_ask *ask)
{
	char *save = NULL;
	const char *from;
	const char *who;
	const char *to;

	if (args.len > CONTROL_REQUEST_MAX || memchr(args.at, '\0', args.len))
		return false;
	memcpy(text, args.at, args.len);
	text[args.len] = '\0';
	from = strtok_r(text, " ", &save);
	who = strtok_r(NULL, " ", &save);
	to = strtok_r(NULL, " ", &save);
	ask->name = save;
	if (!to || ip4_parse(from, &ask->from) || mac_parse(who, mac) || ip4_parse(to, &ask->to))
		return false;
	ask->name_len = strlen(ask->name);
	return true;
}

static int play_begin(const struct tftp_stage_set *set, const struct mac *mac,
		      const struct tftp_ask *ask, struct play *p, struct why *why)
{
	struct namespace_config config = set->config;
	int r = directory_open(set->state_dir, &p->directory, why);

	if (!r)
		r = directory_assume(p->directory, ask->from, mac);
	config.directory = p->directory;
	if (!r)
		r = namespace_new(&config, &p->namespace);
	if (r)
		return r;
	p->sum = EVP_MD_CTX_new();
	if (!p->sum || !EVP_DigestInit_ex(p->sum, EVP_sha256(), NULL))
		return -ENOMEM;
	return 0;
}

void tftp_play(const struct tftp_stage_set *set, struct asker *asker, struct bytes args)
{
	char text[CONTROL_REQUEST_MAX + 1];
	struct tftp_ask ask;
	struct why why = {""};
	struct play *p;
	struct mac mac;
	int r;

	if (!args.len || !parse(args, text, &mac, &ask)) {
		why_set(&why, -EINVAL, "not: fetch ADDRESS MAC ADDRESS NAME");
		asker_fail(asker, -EINVAL, &why);
		return;
	}
	p = calloc(1, sizeof(*p));
	if (!p) {
		asker_fail(asker, -ENOMEM, NULL);
		return;
	}
	p->asker = asker;
	p->loop = set->loop;
	p->turn.due = on_turn;
	p->wait.done = on_file;
	p->end = instant_add_ms(instant_now(), PLAY_SECS * INT64_C(1000));
	r = play_begin(set, &mac, &ask, p, &why);
	if (r) {
		play_fail(p, r, &why);
		return;
	}
	asker_wait(asker, play_gone, p);
	play_open(p, &ask);
}
