/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The server on loopback, in a process of its own, with a tree of made-up files:
 * "N" is N bytes, "later N" is held three times first, "slow N" for longer than most
 * clients wait before they repeat themselves, "never" for ever, "no" is refused,
 * "known ..." is of a machine that is registered.
 */
#include "tests/unit/unit.h"
#include "tests/tftp_client.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/event.h"
#include "tftp/server.h"

/* ---- the tree ---- */

struct made_file {
	struct tftp_file file;
};

static uint8_t made_byte(uint64_t at)
{
	return (uint8_t)(at * 2654435761u >> 13);
}

static ssize_t made_pread(struct tftp_file *file, void *buf, size_t len, uint64_t offset)
{
	size_t n = 0;

	for (; n < len && offset + n < file->size; n++)
		((uint8_t *)buf)[n] = made_byte(offset + n);
	return (ssize_t)n;
}

static void made_close(struct tftp_file *file)
{
	free(file);
}

static int made_open(struct tftp_tree *tree, const struct tftp_ask *ask, struct tftp_wait *wait,
		     struct tftp_answer *answer, struct tftp_file **out)
{
	static const struct tftp_file_ops ops = {made_pread, made_close};
	static unsigned int held;
	struct made_file *f;
	const char *name = ask->name;

	(void)tree;
	(void)wait;
	*answer = (struct tftp_answer){.stage = TFTP_STAGE_LOADER, .code = TFTP_NOT_FOUND};
	if (!strncmp(name, "later ", 6)) {
		name += 6;
		answer->stranger = true;
		if (held++ < 3)
			return TFTP_TREE_LATER;
	}
	if (!strncmp(name, "slow ", 5)) {
		static int64_t since;

		name += 5;
		answer->stranger = true;
		since = since ? since : ask->now.ns;
		if (ask->now.ns - since < 6 * NS_PER_SEC)
			return TFTP_TREE_LATER;
	}
	if (!strcmp(name, "never")) {
		answer->stranger = answer->has_mac = true;
		return TFTP_TREE_LATER;
	}
	if (!strncmp(name, "known ", 6)) {
		answer->host = 1;
		answer->stage = TFTP_STAGE_KERNEL;
		name += 6;
	}
	if (!strcmp(name, "no")) {
		why_set(&answer->why, 0, "because");
		return TFTP_TREE_REFUSED;
	}
	f = malloc(sizeof(*f));
	f->file = (struct tftp_file){&ops, strtoull(name, NULL, 10)};
	*out = &f->file;
	return 0;
}

/* ---- the server's process ---- */

struct world {
	pid_t pid;
	uint16_t port;
	int events;
};

static void serve(int fd, int events, unsigned int files, const struct tftp_server_config *more)
{
	struct tftp_server_config config = *more;
	struct tftp_tree tree = {.open = made_open};
	struct tftp_server *server;
	struct loop *loop;

	if (files) {
		struct rlimit limit = {files, files};

		setrlimit(RLIMIT_NOFILE, &limit);
	}
	config.nlisten = 1;
	config.listen[0].fd = fd;
	if (!config.sessions)
		config.sessions = config.per_address = 2000;
	config.event_fd = events;
	if (loop_new(&loop) || tftp_server_new(loop, &tree, &config, &server))
		_exit(1);
	loop_run(loop, true);
	tftp_server_free(server);
	loop_free(loop);
	_exit(0);
}

static struct world *start(unsigned int files, const struct tftp_server_config *config)
{
	struct world *w = calloc(1, sizeof(*w));
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);
	int pair[2];
	int fd;

	assert_int_equal(tftp_listen(0, 0, NULL, &fd, NULL), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	w->port = ntohs(sin.sin_port);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	alarm(UNIT_PATIENCE_MS / 1000 * 6); /* a server that is full answers nothing */
	w->pid = fork();
	if (!w->pid)
		serve(fd, pair[1], files, config);
	close(fd);
	close(pair[1]);
	w->events = pair[0];
	return w;
}

static void finish(struct world *w)
{
	int status;

	kill(w->pid, SIGTERM);
	waitpid(w->pid, &status, 0);
	close(w->events);
	free(w);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0); /* a sanitizer would say otherwise */
}

static const struct tftp_server_config plain;

/* ---- a client ---- */

static int client(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int size = 4 << 20;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return fd;
}

static struct sockaddr_in at(uint32_t address, uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
}

static void send_to(int fd, const struct sockaddr_in *to, const void *data, size_t len)
{
	assert_int_equal(sendto(fd, data, len, 0, (const struct sockaddr *)to, sizeof(*to)), len);
}

static void request(int fd, uint32_t address, uint16_t port, const char *name,
		    const struct tftp_options *options)
{
	struct tftp_request req = {.op = TFTP_RRQ, .name = name};
	struct sockaddr_in to = at(address, port);
	uint8_t buf[TFTP_SMALL_MAX];

	if (options)
		req.options = *options;
	send_to(fd, &to, buf, tftp_client_request(buf, &req));
}

/* Returns the length, or -1 when nothing comes for `ms`. */
static ssize_t receive(int fd, uint8_t *buf, size_t size, struct sockaddr_in *from, int ms)
{
	struct pollfd p = {fd, POLLIN, 0};
	socklen_t len = sizeof(*from);

	if (poll(&p, 1, ms) != 1)
		return -1;
	return recvfrom(fd, buf, size, 0, (struct sockaddr *)from, &len);
}

static struct tftp_packet expect(int fd, uint8_t *buf, size_t size, struct sockaddr_in *from)
{
	struct bytes b = {buf, 0};
	struct tftp_packet p;
	ssize_t n = receive(fd, buf, size, from, UNIT_PATIENCE_MS);

	assert_true(n > 0);
	b.len = (size_t)n;
	assert_int_equal(tftp_packet_parse(&b, &p), 0);
	return p;
}

/* The packet of a block; a slow machine sees repeats of those before. */
static struct tftp_packet expect_block(int fd, uint8_t *buf, size_t size, struct sockaddr_in *from,
				       uint16_t block)
{
	struct tftp_packet p;

	do {
		p = expect(fd, buf, size, from);
		assert_int_equal(p.op, TFTP_DATA);
		assert_true(p.block <= block);
	} while (p.block != block);
	return p;
}

static void send_ack(int fd, const struct sockaddr_in *to, uint16_t block)
{
	uint8_t buf[4];

	send_to(fd, to, buf, tftp_client_ack(buf, block));
}

/* A whole download as RFC 7440 has it, `loss` per cent lost each way. */
static void download(struct world *w, uint64_t size, const struct tftp_options *o,
		     unsigned int loss)
{
	static uint8_t buf[66000];
	int fd = client();
	uint32_t blksize = o->blksize ? o->blksize : 512;
	uint32_t window = o->windowsize ? o->windowsize : 1;
	uint32_t in_window = 0;
	uint64_t got = 0; /* blocks */
	uint64_t blocks = size / blksize + 1;
	unsigned int seed = 1;
	bool complained = false;
	struct sockaddr_in from;
	char name[32];

	snprintf(name, sizeof(name), "%llu", (unsigned long long)size);
	request(fd, INADDR_LOOPBACK, w->port, name, o);
	while (got < blocks) {
		struct sockaddr_in peer;
		struct tftp_packet p;
		struct bytes b = {buf, 0};
		ssize_t n = receive(fd, buf, sizeof(buf), &peer, 500);
		bool ack = false;

		if (n < 0) {
			ack = got > 0;
			if (!got)
				request(fd, INADDR_LOOPBACK, w->port, name, o);
		} else {
			b.len = (size_t)n;
			if (rand_r(&seed) % 100 < (int)loss)
				continue;
			assert_int_equal(tftp_packet_parse(&b, &p), 0);
			from = peer;
			if (p.op == TFTP_OACK) {
				ack = got == 0;
			} else if (p.op == TFTP_DATA && p.block == (uint16_t)(got + 1)) {
				uint64_t offset = got * blksize;

				assert_int_equal(p.message.len,
						 got + 1 < blocks ? blksize : size % blksize);
				for (size_t i = 0; i < p.message.len; i += 37)
					assert_int_equal(p.message.at[i], made_byte(offset + i));
				got++;
				complained = false;
				ack = ++in_window == window || got == blocks;
			} else if (p.op == TFTP_DATA && !complained &&
				   (uint16_t)(p.block - got) < 32768) {
				ack = complained = true;
			}
		}
		if (ack) {
			in_window = 0;
			if (rand_r(&seed) % 100 >= (int)loss || got == blocks)
				send_ack(fd, &from, (uint16_t)got);
		}
	}
	close(fd);
}

/* ---- tests ---- */

static void every_window_and_block_size_brings_the_bytes(void **state)
{
	static const struct tftp_options options[] = {
		{0},
		{.blksize = 8},
		{.blksize = 1428, .windowsize = 4},
		{.blksize = 1468, .windowsize = 64, .has_tsize = true},
		{.blksize = 65464, .windowsize = 3},
		{.blksize = 512, .windowsize = 65535, .timeout = 3}};
	static const uint64_t sizes[] = {0, 1, 511, 512, 513, 1428 * 4, 100000, 1468 * 64 * 3};
	static const struct tftp_server_config single = {.single_port = true};

	(void)state;
	for (int one = 0; one < 2; one++) {
		struct world *w = start(0, one ? &single : &plain);

		for (size_t i = 0; i < ARRAY_SIZE(options); i++)
			for (size_t j = 0; j < ARRAY_SIZE(sizes); j++)
				download(w, sizes[j], &options[i], 0);
		finish(w);
	}
}

static void a_line_that_loses_a_twentieth_brings_the_bytes(void **state)
{
	static const uint32_t windows[] = {1, 4, 16};
	struct world *w = start(0, &plain);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(windows); i++)
		download(w, 300000, &(struct tftp_options){1428, windows[i], 0, false, 0}, 5);
	finish(w);
}

static void a_packet_from_elsewhere_gets_error_five(void **state)
{
	struct world *w = start(0, &plain);
	struct sockaddr_in from;
	struct sockaddr_in other;
	struct tftp_packet p;
	uint8_t buf[1024];
	int fd = client();
	int stranger = client();

	(void)state;
	request(fd, INADDR_LOOPBACK, w->port, "1000", NULL);
	p = expect(fd, buf, sizeof(buf), &from);
	assert_int_equal(p.op, TFTP_DATA);
	assert_int_not_equal(ntohs(from.sin_port), w->port);
	send_ack(stranger, &from, 1);
	p = expect(stranger, buf, sizeof(buf), &other);
	assert_int_equal(p.op, TFTP_ERROR);
	assert_int_equal(p.code, TFTP_UNKNOWN_ID);
	/* an error is never answered */
	send_to(stranger, &from, "\0\5\0\0x", 6);
	assert_int_equal(receive(stranger, buf, sizeof(buf), &other, 100), -1);
	send_ack(fd, &from, 1);
	p = expect_block(fd, buf, sizeof(buf), &from, 2);
	assert_int_equal(p.message.len, 488);
	close(fd);
	close(stranger);
	finish(w);
}

static void write_requests_and_refusals_are_told_once(void **state)
{
	struct world *w = start(0, &plain);
	struct sockaddr_in to = at(INADDR_LOOPBACK, w->port);
	struct sockaddr_in from;
	struct tftp_packet p;
	uint8_t buf[1024];
	int fd = client();

	(void)state;
	send_to(fd, &to, "\0\2x\0octet", 10);
	p = expect(fd, buf, sizeof(buf), &from);
	assert_int_equal(p.code, TFTP_ACCESS);
	send_to(fd, &to, "\0\1x\0mail", 9);
	p = expect(fd, buf, sizeof(buf), &from);
	assert_int_equal(p.code, TFTP_ILLEGAL);
	request(fd, INADDR_LOOPBACK, w->port, "no", NULL);
	p = expect(fd, buf, sizeof(buf), &from);
	assert_int_equal(p.code, TFTP_NOT_FOUND);
	assert_memory_equal(p.message.at, "because", 7);
	send_to(fd, &to, "\0\4\0\0", 4);
	send_to(fd, &to, "junk", 4);
	assert_int_equal(receive(fd, buf, sizeof(buf), &from, 100), -1);
	close(fd);
	finish(w);
}

static void the_reply_leaves_from_the_address_and_ports_that_it_should(void **state)
{
	static const struct tftp_server_config range = {.port_first = 24100, .port_last = 24103};
	static const struct tftp_server_config single = {.single_port = true};
	struct world *w = start(0, &range);
	struct sockaddr_in from;
	uint8_t buf[1024];
	int fd = client();

	(void)state;
	request(fd, 0x7f000002, w->port, "1000", NULL);
	expect(fd, buf, sizeof(buf), &from);
	assert_int_equal(ntohl(from.sin_addr.s_addr), 0x7f000002);
	assert_in_range(ntohs(from.sin_port), 24100, 24103);
	close(fd);
	finish(w);
	w = start(0, &single);
	fd = client();
	request(fd, 0x7f000002, w->port, "1000", NULL);
	expect(fd, buf, sizeof(buf), &from);
	assert_int_equal(ntohl(from.sin_addr.s_addr), 0x7f000002);
	assert_int_equal(ntohs(from.sin_port), w->port);
	close(fd);
	finish(w);
}

static void a_repeated_request_starts_no_second_transfer(void **state)
{
	struct world *w = start(0, &plain);
	struct sockaddr_in first;
	struct sockaddr_in from;
	uint8_t buf[1024];
	int fd = client();

	(void)state;
	request(fd, INADDR_LOOPBACK, w->port, "1000", NULL);
	expect(fd, buf, sizeof(buf), &first);
	request(fd, INADDR_LOOPBACK, w->port, "1000", NULL);
	expect(fd, buf, sizeof(buf), &from);
	assert_int_equal(from.sin_port, first.sin_port);
	/* another name from the same port is another transfer */
	request(fd, INADDR_LOOPBACK, w->port, "2000", NULL);
	do
		expect(fd, buf, sizeof(buf), &from);
	while (from.sin_port == first.sin_port);
	send_ack(fd, &from, 1);
	expect_block(fd, buf, sizeof(buf), &from, 2);
	close(fd);
	finish(w);
}

static struct event next_event(struct world *w)
{
	struct event event = {0};

	while (event_receive(w->events, &event) == -EAGAIN)
		usleep(1000);
	return event;
}

/* That somebody is unknown is told again, where it takes long. */
static struct event event_after_unknown(struct world *w)
{
	struct event event;

	do
		event = next_event(w);
	while (event.kind == EVENT_UNKNOWN);
	return event;
}

static void a_machine_that_is_being_registered_is_served_when_it_is(void **state)
{
	struct world *w = start(0, &plain);
	struct sockaddr_in from;
	struct tftp_packet p;
	struct event event;
	uint8_t buf[1024];
	int fd = client();

	(void)state;
	request(fd, INADDR_LOOPBACK, w->port, "later 100", NULL);
	p = expect(fd, buf, sizeof(buf), &from);
	assert_int_equal(p.op, TFTP_DATA);
	assert_int_equal(p.message.len, 100);
	assert_int_equal(event_receive(w->events, &event), 0);
	assert_int_equal(event.kind, EVENT_UNKNOWN);
	assert_int_equal(event.address, INADDR_LOOPBACK);
	send_ack(fd, &from, 1);
	event = event_after_unknown(w);
	assert_int_equal(event.kind, EVENT_LOADER);
	assert_int_equal(event.bytes, 100);
	assert_string_equal(event.text, "later 100");
	close(fd);
	finish(w);
}

/* As when somebody holds the database. */
static void one_that_is_registered_late_is_served_all_the_same(void **state)
{
	struct world *w = start(0, &plain);
	struct sockaddr_in from;
	uint8_t buf[1024];
	int fd = client();
	ssize_t n;

	(void)state;
	request(fd, INADDR_LOOPBACK, w->port, "slow 100", NULL);
	n = receive(fd, buf, sizeof(buf), &from, UNIT_PATIENCE_MS);
	assert_int_equal(n, 104);
	assert_int_equal(buf[1], TFTP_DATA);
	assert_int_equal(next_event(w).kind, EVENT_UNKNOWN);
	assert_int_equal(next_event(w).kind, EVENT_UNKNOWN); /* the first may be lost */
	close(fd);
	finish(w);
}

static void who_is_never_registered_hears_nothing_and_may_ask_again(void **state)
{
	struct world *w = start(0, &(struct tftp_server_config){.hold_ms = 100});
	struct sockaddr_in from;
	struct event event;
	uint8_t buf[1024];
	int fd = client();

	(void)state;
	for (int i = 0; i < 2; i++) {
		request(fd, INADDR_LOOPBACK, w->port, "never", NULL);
		assert_int_equal(next_event(w).kind, EVENT_UNKNOWN);
		event = event_after_unknown(w);
		assert_int_equal(event.kind, EVENT_BROKEN);
		assert_string_equal(event.text, "never: it is not registered yet");
	}
	assert_int_equal(receive(fd, buf, sizeof(buf), &from, 100), -1);
	close(fd);
	finish(w);
}

static void what_does_not_come_to_its_end_is_told_of_known_machines(void **state)
{
	struct world *w = start(0, &plain);
	struct sockaddr_in from;
	struct event event;
	uint8_t buf[1024];
	int fd = client();

	(void)state;
	request(fd, INADDR_LOOPBACK, w->port, "no", NULL); /* of nobody */
	assert_int_equal(expect(fd, buf, sizeof(buf), &from).op, TFTP_ERROR);
	request(fd, INADDR_LOOPBACK, w->port, "known no", NULL);
	assert_int_equal(expect(fd, buf, sizeof(buf), &from).op, TFTP_ERROR);
	event = next_event(w);
	assert_int_equal(event.kind, EVENT_REFUSED);
	assert_int_equal(event.step, STEP_KERNEL);
	assert_string_equal(event.text, "known no: because");
	request(fd, INADDR_LOOPBACK, w->port, "known 2000", NULL);
	expect(fd, buf, sizeof(buf), &from);
	send_ack(fd, &from, 1);
	expect(fd, buf, sizeof(buf), &from);
	close(fd); /* its port is closed when the next block comes */
	event = next_event(w);
	assert_int_equal(event.kind, EVENT_BROKEN);
	assert_int_equal(event.bytes, 512);
	assert_true(event.again > 0);
	assert_string_equal(event.text, "known 2000: its port is closed");
	finish(w);
}

static void a_thousand_transfers_run_at_once(void **state)
{
	enum { CLIENTS = 1000 };
	static int fd[CLIENTS];
	static struct sockaddr_in from[CLIENTS];
	struct rlimit limit;
	struct world *w;
	uint8_t buf[1024];

	(void)state;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < 1100)
		skip();
	w = start(0, &plain);
	for (int i = 0; i < CLIENTS; i++) {
		fd[i] = client();
		request(fd[i], INADDR_LOOPBACK, w->port, "1500", NULL);
	}
	for (int block = 1; block <= 3; block++)
		for (int i = 0; i < CLIENTS; i++) {
			expect_block(fd[i], buf, sizeof(buf), &from[i], (uint16_t)block);
			send_ack(fd[i], &from[i], (uint16_t)block);
		}
	for (int i = 0; i < CLIENTS; i++)
		close(fd[i]);
	download(w, 1000, &(struct tftp_options){0}, 0);
	finish(w);
}

/* 100 at once, and descriptors for a handful of ports. */
static void without_descriptors_transfers_share_what_ports_there_are(void **state)
{
	enum { CLIENTS = 100 };
	struct world *w = start(12, &plain);
	int fd[CLIENTS];
	struct sockaddr_in from;
	uint8_t buf[1024];

	(void)state;
	for (int i = 0; i < CLIENTS; i++) {
		fd[i] = client();
		request(fd[i], INADDR_LOOPBACK, w->port, "600", NULL);
	}
	for (uint16_t block = 1; block <= 2; block++)
		for (int i = 0; i < CLIENTS; i++) {
			expect_block(fd[i], buf, sizeof(buf), &from, block);
			send_ack(fd[i], &from, block);
		}
	for (int i = 0; i < CLIENTS; i++)
		close(fd[i]);
	download(w, 1000, &(struct tftp_options){0}, 0);
	finish(w);
}

static void few_transfers_have_a_port_each_and_many_share(void **state)
{
	enum { FEW = 12, CLIENTS = 200 };
	static bool seen[1 << 16];
	struct world *w = start(0, &plain);
	int fd[CLIENTS];
	int ports = 0;

	(void)state;
	for (int i = 0; i < CLIENTS; i++) {
		struct sockaddr_in from;
		uint8_t buf[1024];

		fd[i] = client();
		request(fd[i], INADDR_LOOPBACK, w->port, "600", NULL);
		expect(fd[i], buf, sizeof(buf), &from);
		ports += !seen[from.sin_port];
		seen[from.sin_port] = true;
		if (i < FEW)
			assert_int_equal(ports, i + 1);
	}
	assert_in_range(ports, FEW, CLIENTS / 8);
	for (int i = 0; i < CLIENTS; i++)
		close(fd[i]);
	finish(w);
}

/* Of those that share a port one goes away: that is told of nobody else. */
static void a_closed_port_ends_its_own_transfer_alone(void **state)
{
	enum { CLIENTS = 40 };
	static const struct tftp_server_config configs[] = {
		{.single_port = true}, {.port_first = 24110, .port_last = 24110}};
	uint8_t buf[1024];

	(void)state;
	for (size_t c = 0; c < ARRAY_SIZE(configs); c++) {
		struct world *w = start(0, &configs[c]);
		struct sockaddr_in from[CLIENTS];
		int fd[CLIENTS];

		for (int i = 0; i < CLIENTS; i++) {
			fd[i] = client();
			request(fd[i], INADDR_LOOPBACK, w->port, "600", NULL);
			assert_int_equal(expect(fd[i], buf, sizeof(buf), &from[i]).block, 1);
		}
		for (int i = 0; i < CLIENTS; i += 2) {
			send_ack(fd[i], &from[i], 1);
			close(fd[i]); /* what comes now is answered by ICMP */
		}
		for (int i = 1; i < CLIENTS; i += 2) {
			send_ack(fd[i], &from[i], 1);
			expect_block(fd[i], buf, sizeof(buf), &from[i], 2);
			send_ack(fd[i], &from[i], 2);
			close(fd[i]);
		}
		download(w, 1000, &(struct tftp_options){0}, 0);
		finish(w);
	}
}

static void requests_that_nobody_acknowledges_displace_only_each_other(void **state)
{
	enum { FLOOD = 40 };
	struct tftp_server_config few = {.sessions = 8, .per_address = 8};
	struct world *w = start(0, &few);
	struct sockaddr_in from;
	uint8_t buf[1024];
	int flood[FLOOD];
	int fd = client();

	(void)state;
	request(fd, INADDR_LOOPBACK, w->port, "5000", NULL);
	expect_block(fd, buf, sizeof(buf), &from, 1);
	send_ack(fd, &from, 1);
	expect_block(fd, buf, sizeof(buf), &from, 2);
	/* More than there are places, from an address of their own each. */
	for (int i = 0; i < FLOOD; i++) {
		struct sockaddr_in mine = at(INADDR_LOOPBACK + 1 + (uint32_t)i, 0);

		flood[i] = client();
		assert_int_equal(bind(flood[i], (struct sockaddr *)&mine, sizeof(mine)), 0);
		request(flood[i], INADDR_LOOPBACK, w->port, "100000", NULL);
		expect(flood[i], buf, sizeof(buf), &(struct sockaddr_in){0});
	}
	send_ack(fd, &from, 2);
	expect_block(fd, buf, sizeof(buf), &from, 3);
	download(w, 1000, &(struct tftp_options){0}, 0);
	for (int i = 0; i < FLOOD; i++)
		close(flood[i]);
	close(fd);
	finish(w);
}

static void requests_in_an_addresss_name_do_not_shut_it_out(void **state)
{
	enum { FLOOD = 40 };
	struct tftp_server_config few = {.sessions = 100, .per_address = 4};
	struct world *w = start(0, &few);
	struct sockaddr_in from;
	uint8_t buf[1024];
	int flood[FLOOD];
	int fd = client();

	(void)state;
	request(fd, INADDR_LOOPBACK, w->port, "5000", NULL);
	expect_block(fd, buf, sizeof(buf), &from, 1);
	send_ack(fd, &from, 1);
	expect_block(fd, buf, sizeof(buf), &from, 2);
	/* Nobody acknowledges these, as when their source is made up. */
	for (int i = 0; i < FLOOD; i++) {
		flood[i] = client();
		request(flood[i], INADDR_LOOPBACK, w->port, "100000", NULL);
		expect(flood[i], buf, sizeof(buf), &(struct sockaddr_in){0});
	}
	send_ack(fd, &from, 2);
	expect_block(fd, buf, sizeof(buf), &from, 3);
	download(w, 1000, &(struct tftp_options){0}, 0);
	for (int i = 0; i < FLOOD; i++)
		close(flood[i]);
	close(fd);
	finish(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_window_and_block_size_brings_the_bytes),
		cmocka_unit_test(a_line_that_loses_a_twentieth_brings_the_bytes),
		cmocka_unit_test(a_packet_from_elsewhere_gets_error_five),
		cmocka_unit_test(write_requests_and_refusals_are_told_once),
		cmocka_unit_test(the_reply_leaves_from_the_address_and_ports_that_it_should),
		cmocka_unit_test(a_repeated_request_starts_no_second_transfer),
		cmocka_unit_test(a_machine_that_is_being_registered_is_served_when_it_is),
		cmocka_unit_test(one_that_is_registered_late_is_served_all_the_same),
		cmocka_unit_test(who_is_never_registered_hears_nothing_and_may_ask_again),
		cmocka_unit_test(what_does_not_come_to_its_end_is_told_of_known_machines),
		cmocka_unit_test(a_thousand_transfers_run_at_once),
		cmocka_unit_test(without_descriptors_transfers_share_what_ports_there_are),
		cmocka_unit_test(few_transfers_have_a_port_each_and_many_share),
		cmocka_unit_test(a_closed_port_ends_its_own_transfer_alone),
		cmocka_unit_test(requests_that_nobody_acknowledges_displace_only_each_other),
		cmocka_unit_test(requests_in_an_addresss_name_do_not_shut_it_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
