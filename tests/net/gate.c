/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * tests/gate.h for scripts.
 *
 *	gate MOUNTPOINT MIB	mounts it; then by lines on stdin: "allow N", "open",
 *				"change"; "passed" is answered with the extents let through
 *	gate --bytes STATE MIB	prints what the file holds in that state
 */
#include "tests/gate.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int print_bytes(unsigned int state, uint64_t size)
{
	for (uint64_t at = 0; at < size; at++)
		putchar(gate_byte(state, at));
	return fflush(stdout) ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct gate *gate;
	char line[64];
	uint64_t size;
	unsigned int n;

	if (argc == 4 && !strcmp(argv[1], "--bytes"))
		return print_bytes((unsigned int)atoi(argv[2]), strtoull(argv[3], NULL, 10) << 20);
	if (argc != 3)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	size = strtoull(argv[2], NULL, 10) << 20;
	if (gate_new(argv[1], size, &gate))
		return 77;
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "allow %u", &n) == 1)
			gate_allow(gate, n);
		else if (!strcmp(line, "open\n"))
			gate_allow(gate, UINT_MAX);
		else if (!strcmp(line, "change\n"))
			gate_change(gate, size);
		else if (!strcmp(line, "passed\n"))
			printf("%u\n", gate_passed(gate));
		fflush(stdout);
	}
	gate_free(gate);
	return 0;
}
