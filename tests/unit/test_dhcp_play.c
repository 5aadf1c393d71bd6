/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Playing a client against the copy of a server: it gets what the client would get, at
 * once, with the reasons; the server and its databases stay as they were, byte for byte.
 */
#include "tests/unit/test_dhcp_fixture.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include "common/control.h"
#include "dhcp/play.h"

struct game {
	pid_t pid;
	int fd;
	struct dhcp_play_say say; /* of the last answer: its reply, */
	struct dhcp_reply reply;
	unsigned int nreplies; /* how many of each, */
	unsigned int nprobes;
	char words[200]; /* and why not */
};

static void game_start(struct site *site, struct game *game)
{
	int ends[2];

	*game = (struct game){0};
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	fflush(stdout);
	game->pid = fork();
	if (!game->pid)
		dhcp_play(site->server, &site->config, &site->out, ends[1]);
	close(ends[1]);
	game->fd = ends[0];
}

static void game_end(struct game *game)
{
	int status;

	close(game->fd);
	assert_int_equal(waitpid(game->pid, &status, 0), game->pid);
	assert_int_equal(status, 0);
}

static int game_play(struct game *game, const struct packet *p, const char *interface)
{
	uint8_t whole[sizeof(struct dhcp_play_ask) + sizeof(p->at)];
	struct dhcp_play_ask ask = {
		.source = p->source, .destination = UINT32_MAX, .source_port = 68, .port = p->port};
	struct why why = {""};
	size_t len;
	int r;

	snprintf(ask.interface, sizeof(ask.interface), "%s", interface);
	memcpy(whole, &ask, sizeof(ask));
	memcpy(whole + sizeof(ask), p->at, p->len);
	whole[sizeof(ask) + p->len] = 255;
	game->nreplies = game->nprobes = 0;
	game->words[0] = '\0';
	assert_int_equal(control_send(game->fd, whole, sizeof(ask) + p->len + 1, -1), 0);
	for (;;) {
		uint8_t buf[CONTROL_PACKET_MAX];
		struct dhcp_play_say say;

		r = control_receive(game->fd, 10000, buf, sizeof(buf), &len, &why);
		if (r)
			break;
		memcpy(&say, buf, sizeof(say));
		len -= sizeof(say);
		if (say.kind == DHCP_PLAY_PROBE)
			game->nprobes++;
		if (say.kind == DHCP_PLAY_REFUSED)
			snprintf(game->words, sizeof(game->words), "%.*s", (int)len,
				 (char *)buf + sizeof(say));
		if (say.kind == DHCP_PLAY_REPLY) {
			game->say = say;
			game->nreplies++;
			game->reply.len = len;
			memcpy(game->reply.data, buf + sizeof(say), len);
		}
	}
	if (r < 0)
		snprintf(game->words, sizeof(game->words), "%s", why.text);
	return r;
}

/* All that is on disk of both databases. */
static size_t disk(const struct site *site, char out[1 << 20])
{
	static const char *const names[] = {"leases.db", "leases.db-wal", "rootstock.db",
					    "rootstock.db-wal"};
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[PATH_MAX];
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s", site->dir, names[i]);
		f = fopen(path, "r");
		if (!f)
			continue;
		len += fread(out + len, 1, (1 << 20) - len, f);
		fclose(f);
	}
	return len;
}

static void test_a_boot(void **state)
{
	static char before[1 << 20];
	static char after[1 << 20];
	struct site *site = *state;
	struct packet p = packet_of(DHCP_DISCOVER, BETA, 0x1234);
	size_t before_len;
	const struct mac beta = BETA;
	struct game game;
	uint32_t address;

	site->config.probe_ms = 60000; /* it costs the player nothing */
	before_len = disk(site, before);
	game_start(site, &game);
	assert_int_equal(game_play(&game, &p, ""), CONTROL_END);
	assert_int_equal(game.nprobes, 1);
	assert_int_equal(game.nreplies, 1);
	assert_int_equal(reply_type(&game.reply), DHCP_OFFER);
	address = reply_yiaddr(&game.reply);
	p = packet_of(DHCP_REQUEST, BETA, 0x1234);
	add_option32(&p, 50, address);
	add_option32(&p, 54, SERVER);
	assert_int_equal(game_play(&game, &p, "eth0"), CONTROL_END);
	assert_int_equal(game.nprobes, 0);
	assert_reply(&game.reply, DHCP_ACK, address);
	game_end(&game);

	/* Nothing of it here, in memory or on disk. */
	assert_int_equal(site_leases(site), 0);
	assert_null(boots_newest(dhcp_server_boots(site->server), &beta));
	assert_false(dhcp_server_dirty(site->server));
	assert_int_equal(disk(site, after), before_len);
	assert_memory_equal(before, after, before_len);
	/* And the real one gets it. */
	site->config.probe_ms = 0;
	assert_int_equal(acquire(site, BETA), address);
}

/* Also when the client itself has used up its budgets of answers and reasons. */
static void test_reasons(void **state)
{
	struct site *site = *state;
	struct packet p = packet_of(DHCP_DISCOVER, LATER, 0x1234);
	struct game game;

	for (int i = 0; i < 300; i++)
		site_send(site, &p);
	assert_int_equal(site->out.nevents, 0);
	game_start(site, &game);
	assert_int_equal(game_play(&game, &p, ""), CONTROL_END);
	assert_int_equal(game.nreplies, 0);
	assert_non_null(strstr(game.words, "waits for approval"));
	assert_int_equal(game_play(&game, &p, "eth7"), -ENODEV);
	assert_non_null(strstr(game.words, "not served"));
	game_end(&game);
}

static void test_hostile(void **state)
{
	struct site *site = *state;
	struct packet p = {.len = 0, .port = 67};
	struct game game;
	char big[sizeof(struct dhcp_play_ask) + DHCP_RECEIVE_MAX + 1] = {0};

	game_start(site, &game);
	for (size_t i = 0; i < 300; i++) {
		p.len = i;
		memset(p.at, (int)i, i);
		assert_int_equal(game_play(&game, &p, ""), CONTROL_END);
		assert_int_equal(game.nreplies, 0);
	}
	/* Too short for a head, and too long: the copy ends. */
	send(game.fd, "x", 1, MSG_NOSIGNAL);
	assert_int_equal(recv(game.fd, big, 1, 0), 0);
	game_end(&game);
	game_start(site, &game);
	send(game.fd, big, sizeof(big), MSG_NOSIGNAL);
	assert_int_equal(recv(game.fd, big, 1, 0), 0);
	game_end(&game);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SITE(test_a_boot),
		SITE(test_reasons),
		SITE(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
