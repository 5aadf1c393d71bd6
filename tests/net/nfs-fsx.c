/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reads a file in all the ways that a program can, at random places, with what the
 * kernel has cached of it thrown away now and then, and knows every byte beforehand.
 *
 *	nfs-fsx make FILE SIZE		writes it
 *	nfs-fsx check FILE SEED COUNT	exit 1 at the first byte that is wrong
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_MAX = 300000, PAGE = 4096 };

static uint8_t buf[READ_MAX + PAGE];
static uint64_t state;

static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 167 ^ offset >> 9 ^ offset >> 20);
}

/* splitmix64 */
static uint64_t random_below(uint64_t n)
{
	uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (z ^ z >> 31) % n;
}

_Noreturn static void die(const char *what)
{
	fprintf(stderr, "nfs-fsx: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void make(const char *path, uint64_t size)
{
	FILE *f = fopen(path, "w");

	if (!f)
		die(path);
	for (uint64_t i = 0; i < size; i++)
		putc(byte_at(i), f);
	if (fclose(f))
		die(path);
}

static void compare(const char *how, const uint8_t *got, uint64_t offset, size_t len, size_t want)
{
	if (len != want) {
		printf("%s at %ju: %zu bytes instead of %zu\n", how, (uintmax_t)offset, len, want);
		exit(1);
	}
	for (size_t i = 0; i < len; i++)
		if (got[i] != byte_at(offset + i)) {
			printf("%s at %ju: byte %zu of %zu is wrong\n", how, (uintmax_t)offset, i,
			       len);
			exit(1);
		}
}

static void read_at(int fd, uint64_t offset, size_t len, size_t want)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, buf + done, len - done, (off_t)(offset + done));

		if (n < 0)
			die("pread");
		if (!n)
			break;
		done += (size_t)n;
	}
	compare("pread", buf, offset, done, want);
}

static void map_at(int fd, uint64_t offset, size_t len)
{
	uint64_t start = offset & ~(uint64_t)(PAGE - 1);
	size_t skip = (size_t)(offset - start);
	uint8_t *p = mmap(NULL, skip + len, PROT_READ, MAP_SHARED, fd, (off_t)start);

	if (p == MAP_FAILED)
		die("mmap");
	compare("mmap", p + skip, offset, len, len);
	munmap(p, skip + len);
}

static void check(const char *path, unsigned int count)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint64_t size;

	if (fd < 0 || fstat(fd, &st))
		die(path);
	size = (uint64_t)st.st_size;
	for (unsigned int i = 0; i < count; i++) {
		uint64_t offset = random_below(size + 1000);
		uint64_t left = offset < size ? size - offset : 0;
		size_t len = 1 + random_below(random_below(2) ? 5000 : READ_MAX);
		size_t want = len < left ? len : left;

		switch (random_below(8)) {
		case 0: /* from the wire again */
			posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
			break;
		case 1:
			close(fd);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				die(path);
			break;
		case 2:
			posix_fadvise(fd, (off_t)offset, (off_t)len, POSIX_FADV_WILLNEED);
			break;
		case 3:
		case 4:
			if (want)
				map_at(fd, offset, want);
			continue;
		}
		read_at(fd, offset, len, want);
	}
	printf("%u reads, every byte right\n", count);
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "make")) {
		make(argv[2], strtoull(argv[3], NULL, 10));
		return 0;
	}
	if (argc == 5 && !strcmp(argv[1], "check")) {
		state = strtoull(argv[3], NULL, 10);
		check(argv[2], (unsigned int)atoi(argv[4]));
		return 0;
	}
	fprintf(stderr, "usage: nfs-fsx make FILE SIZE | check FILE SEED COUNT\n");
	return 2;
}
