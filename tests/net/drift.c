/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Files that say of each of their bytes which state of which file it belongs to.  A
 * file's states are numbered: state n + 1 is state n after one system call (a page
 * written in place or behind the end, a truncation, a rename over it, ...), and which
 * one is a function of the file's number and n.  So a reader needs nothing but the
 * bytes to tell whether they are one whole state, and which.
 *
 *	drift make DIR		all files in their state 0
 *	drift edit DIR STOP	change them, all but each fourth, until the file STOP is
 *				there, and one is gone until then; prints the names of
 *				those that were changed
 *	drift read WHERE STOP	read them over and over until STOP is there, and once
 *				more; WHERE is a directory or nfs://SERVER/.  Prints what
 *				each is at the end: "NAME STATE" or "NAME EIO"
 *	drift check NAME FILE	which state of NAME is in FILE
 *
 * Reading ends with status 1 at once when a file is not one whole state, is another
 * one than before, has another size than its bytes, or is refused though nobody
 * changed it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <nfsc/libnfs.h>

#include "common/cleanup.h"
#include "common/clock.h"

enum {
	FILES = 72,
	LARGE_END = 11, /* 3 to 10 are large */
	AWAY = 17,	/* while others are edited */
	PAGE = 4096,
	PAGES_MAX = (64 << 20) / PAGE + 64, /* after what is appended */
	STATES_MAX = 200000
};
#define BYTES_MAX ((size_t)PAGES_MAX * PAGE)

static const char kernel[] = "boot/vmlinuz-6.1.0-1-amd64";
static const char initrd[] = "boot/initrd.img-6.1.0-1-amd64";

struct record {
	uint32_t magic;
	uint32_t file;
	uint32_t state;
	uint32_t page;
};
enum { MAGIC = 0x44524654 };

/* A state: which state each page is from. */
struct image {
	uint32_t file;
	uint32_t number;
	bool there;
	uint64_t size;
	uint32_t pages[PAGES_MAX];
};

__attribute__((format(printf, 1, 2))) static _Noreturn void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static const char *name_of(uint32_t file)
{
	static char name[32];

	if (file == 1)
		return kernel;
	if (file == 2)
		return initrd;
	snprintf(name, sizeof(name), "data/f%02u", file);
	return name;
}

static bool is_edited(uint32_t file)
{
	return file % 4;
}

/* Each last page has its first record's state in it: no two states look alike.  Those of
 * 0 and 1 bytes, where they would, are never edited. */
static uint64_t first_size(uint32_t file)
{
	static const uint64_t sizes[] = {
		0,	 4096,	 16,	  4095,		  1,	   4108,    10000,
		70000,	 300000, 1 << 20, (1 << 20) + 12, 3 << 20, 4 << 20, (4 << 20) + 12,
		5000000, 9 << 20};

	if (file == 1)
		return 6000000;
	if (file == 3)
		return 64 << 20;
	if (file >= 4 && file < LARGE_END)
		return 16 << 20;
	return sizes[file % (sizeof(sizes) / sizeof(sizes[0]))];
}

static uint64_t pages_of(uint64_t size)
{
	return (size + PAGE - 1) / PAGE;
}

/* ---- states ---- */

enum op { OP_WRITE, OP_APPEND, OP_CUT, OP_REPLACE, OP_DELETE, OP_OTHER, OP_BACK };

struct step {
	enum op op;
	uint64_t page;
	uint64_t size; /* after it */
};

/* What leads from the image's state to the next. */
static struct step step_of(const struct image *i)
{
	uint64_t r = mix(((uint64_t)i->file << 32 | i->number) + 1);
	struct step s = {.op = OP_WRITE, .size = i->size};
	uint64_t n = pages_of(i->size);

	if (!i->there) {
		s.op = OP_BACK;
		s.size = first_size(i->file) + r % 3 * 4;
		return s;
	}
	switch (r % 64) {
	case 0:
		s.op = OP_REPLACE;
		s.size = first_size(i->file) + r / 64 % 300 * PAGE / 16;
		break;
	case 1:
	case 2: /* the large ones stay that: a copy of them takes long */
		if (i->file >= 3 && i->file < LARGE_END)
			s.op = r / 64 % 16 ? OP_WRITE : OP_CUT;
		else if (r / 64 % 16)
			s.op = OP_CUT;
		else
			s.op = r % 2 ? OP_DELETE : OP_OTHER;
		break;
	case 3:
	case 4:
	case 5:
		s.op = OP_APPEND;
		break;
	}
	if (!n && s.op != OP_REPLACE)
		s.op = OP_APPEND;
	if (s.op == OP_APPEND && n >= pages_of(first_size(i->file)) + 16)
		s.op = OP_CUT;
	if (s.op == OP_APPEND) { /* whole pages: the last one is filled up */
		s.page = n;
		s.size = (n + 1) * PAGE;
		if (i->size % PAGE) {
			s.page = n - 1;
			s.size = n * PAGE;
		}
	} else if (s.op == OP_WRITE) {
		s.page = r / 64 % n;
	} else if (s.op == OP_CUT) {
		s.size = (r / 64 % n) * PAGE; /* less than there is */
	}
	return s;
}

static void first(struct image *i, uint32_t file)
{
	i->file = file;
	i->number = 0;
	i->there = true;
	i->size = first_size(file);
	memset(i->pages, 0, pages_of(i->size) * sizeof(i->pages[0]));
}

static struct step next(struct image *i)
{
	struct step s = step_of(i);

	i->number++;
	i->size = s.size;
	i->there = s.op != OP_DELETE && s.op != OP_OTHER;
	if (s.op == OP_WRITE || s.op == OP_APPEND)
		i->pages[s.page] = i->number;
	else if (s.op == OP_REPLACE || s.op == OP_BACK)
		for (uint64_t p = 0; p < pages_of(s.size); p++)
			i->pages[p] = i->number;
	return s;
}

static size_t page_len(const struct image *i, uint64_t page)
{
	uint64_t left = i->size - page * PAGE;

	return left < PAGE ? (size_t)left : PAGE;
}

static void page_fill(const struct image *i, uint64_t page, struct record *out)
{
	for (size_t k = 0; k < PAGE / sizeof(*out); k++)
		out[k] = (struct record){MAGIC, i->file, i->pages[page], (uint32_t)page};
}

/* What was read of a file. */
struct reading {
	uint32_t file;
	uint64_t size;
	uint8_t *data; /* BYTES_MAX */
};

static void reading_start(struct reading *r, uint32_t file)
{
	r->file = file;
	r->size = 0;
	if (!r->data)
		r->data = malloc(BYTES_MAX);
	if (!r->data)
		die("no memory");
}

/* Is the page all of that state?  Else *bad is the first record that is not.  A cut
 * record says less. */
static bool page_is(const struct reading *r, uint64_t page, uint32_t state, struct record *bad)
{
	struct record want = {MAGIC, r->file, state, (uint32_t)page};
	uint64_t end = (page + 1) * PAGE < r->size ? (page + 1) * PAGE : r->size;

	for (uint64_t at = page * PAGE; at < end; at += sizeof(want)) {
		*bad = want;
		memcpy(bad, r->data + at, end - at < sizeof(*bad) ? end - at : sizeof(*bad));
		if (memcmp(bad, &want, sizeof(want)))
			return false;
	}
	return true;
}

/* For the reader of a failure. */
static const char *pages_differ(const struct image *i, const uint32_t *pages, uint64_t n)
{
	static char text[128];
	uint64_t p = 0;

	while (p < n && p < pages_of(i->size) && i->pages[p] == pages[p])
		p++;
	if (p == n || p == pages_of(i->size))
		return "the same pages";
	snprintf(text, sizeof(text), "page %llu of state %u, not %u", (unsigned long long)p,
		 i->pages[p], pages[p]);
	return text;
}

/* Which state is it?  `what` says where it is from.  Of a page that is cut before its
 * first record's state that is not known. */
static uint32_t reading_state(const struct reading *r, const char *what)
{
	static uint32_t pages[PAGES_MAX];
	static struct image i;
	uint64_t n = pages_of(r->size);
	uint32_t newest = 0;
	struct record bad;
	char was[256];

	if (n && r->size - (n - 1) * PAGE < offsetof(struct record, page))
		n--;
	for (uint64_t p = 0; p < n; p++) {
		memcpy(&pages[p], r->data + p * PAGE + offsetof(struct record, state),
		       sizeof(pages[p]));
		if (!page_is(r, p, pages[p], &bad))
			die("%s: %s: in a page of state %u stands a byte of file %u, state %u, "
			    "page %u",
			    what, name_of(r->file), pages[p], bad.file, bad.state, bad.page);
		if (pages[p] > newest)
			newest = pages[p];
	}
	for (first(&i, r->file); i.number < newest || !i.there;)
		next(&i);
	snprintf(was, sizeof(was), "state %u, of its newest page, has %llu bytes and %s", i.number,
		 (unsigned long long)i.size, pages_differ(&i, pages, n));
	for (; i.number < STATES_MAX; next(&i)) {
		if (!i.there || i.size != r->size || memcmp(i.pages, pages, n * sizeof(pages[0])))
			continue;
		if (n == pages_of(r->size) || page_is(r, n, i.pages[n], &bad))
			return i.number;
	}
	die("%s: %s: %llu bytes that are no state of it: %s", what, name_of(r->file),
	    (unsigned long long)r->size, was);
}

static void reading_file(struct reading *r, const char *path)
{
	cleanup(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	if (fd >= 0)
		while ((n = read(fd, r->data + r->size, BYTES_MAX - r->size)) > 0)
			r->size += (size_t)n;
	if (n)
		die("%s: %s", path, n > 0 ? "too long" : strerror(errno));
}

/* ---- make and edit ---- */

static void write_page(int fd, const struct image *i, uint64_t page)
{
	struct record records[PAGE / sizeof(struct record)];
	size_t len = page_len(i, page);

	page_fill(i, page, records);
	if (pwrite(fd, records, len, (off_t)(page * PAGE)) != (ssize_t)len)
		die("a page of %s: %s", name_of(i->file), strerror(errno));
}

static void path_of(char out[static PATH_MAX], const char *dir, uint32_t file)
{
	snprintf(out, PATH_MAX, "%s/%s", dir, name_of(file));
}

/* All of it, at once under its name. */
static void write_whole(const char *dir, const struct image *i)
{
	char path[PATH_MAX];
	char temp[PATH_MAX];
	int fd;

	path_of(path, dir, i->file);
	snprintf(temp, sizeof(temp), "%s.new", dir);
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		die("%s: %s", temp, strerror(errno));
	for (uint64_t p = 0; p < pages_of(i->size); p++)
		write_page(fd, i, p);
	close(fd);
	if (rename(temp, path) && (errno != EISDIR || rmdir(path) || rename(temp, path)))
		die("%s: %s", path, strerror(errno));
}

static void make(const char *dir)
{
	static struct image i;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/data", dir);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/boot", dir);
	mkdir(path, 0755);
	for (uint32_t file = 0; file < FILES; file++) {
		first(&i, file);
		write_whole(dir, &i);
	}
}

static void other_type(const char *path, uint32_t number)
{
	int r = unlink(path);

	if (number % 3 == 0)
		r = r || symlink("/etc/passwd", path);
	else if (number % 3 == 1)
		r = r || mkdir(path, 0755);
	else
		r = r || mkfifo(path, 0600);
	if (r)
		die("%s: %s", path, strerror(errno));
}

static void edit_one(const char *dir, struct image *i)
{
	struct step s = next(i);
	char path[PATH_MAX];
	int fd;

	path_of(path, dir, i->file);
	switch (s.op) {
	case OP_WRITE:
	case OP_APPEND:
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			die("%s: %s", path, strerror(errno));
		write_page(fd, i, s.page);
		close(fd);
		break;
	case OP_CUT:
		if (truncate(path, (off_t)s.size))
			die("%s: %s", path, strerror(errno));
		break;
	case OP_DELETE:
		if (unlink(path))
			die("%s: %s", path, strerror(errno));
		break;
	case OP_OTHER:
		other_type(path, i->number);
		break;
	default:
		write_whole(dir, i);
		break;
	}
}

static uint32_t state_now(const char *dir, uint32_t file)
{
	static struct reading r;
	char path[PATH_MAX];

	path_of(path, dir, file);
	reading_start(&r, file);
	reading_file(&r, path);
	return reading_state(&r, dir);
}

/* Stopped, with every file there again. */
static void edit(const char *dir, const char *stop)
{
	static struct image images[FILES];
	uint32_t starts[FILES];
	uint64_t turn = (uint64_t)time(NULL);

	for (uint32_t file = 0; file < FILES; file++) { /* go on from where an earlier run was */
		uint32_t state = state_now(dir, file);

		for (first(&images[file], file); images[file].number < state;)
			next(&images[file]);
		starts[file] = state;
	}
	while (images[AWAY].there)
		edit_one(dir, &images[AWAY]);
	while (access(stop, F_OK)) {
		uint32_t file = (uint32_t)(mix(turn++) % FILES);

		/* Now and then the large ones alone, whose copies take long. */
		if (instant_now().ns / (100 * NS_PER_MS) % 10 < 4)
			file = 3 + file % (LARGE_END - 3);
		if (!is_edited(file) || file == AWAY)
			continue;
		/* A burst, so that a copy that is under way meets some; one that is gone
		 * stays so for a while. */
		for (uint64_t n = 1 + mix(turn++) % 200;
		     n-- && images[file].number < STATES_MAX / 2;) {
			edit_one(dir, &images[file]);
			if (!images[file].there)
				break;
		}
		usleep((useconds_t)(mix(turn++) % 3000));
	}
	for (uint32_t file = 0; file < FILES; file++) {
		while (!images[file].there)
			edit_one(dir, &images[file]);
		if (images[file].number != starts[file])
			printf("%s\n", name_of(file));
	}
}

/* ---- read ---- */

struct place {
	const char *dir; /* or */
	struct nfs_context *nfs;
	const char *what;
};

static void place_open(struct place *p, const char *where)
{
	char server[256];

	*p = (struct place){.what = where};
	if (sscanf(where, "nfs://%255[^/]/", server) != 1) {
		p->dir = where;
		return;
	}
	p->nfs = nfs_init_context();
	if (!p->nfs || nfs_mount(p->nfs, server, "/"))
		die("%s: %s", where, nfs_get_error(p->nfs));
}

static size_t room(const struct reading *r)
{
	size_t some = 1 + mix(r->size) % (1 << 20);

	if (r->size == BYTES_MAX)
		die("%s: too long", name_of(r->file));
	return some < BYTES_MAX - r->size ? some : BYTES_MAX - r->size;
}

/* Some bytes at a time.  Returns 0 or an errno; then the reading is of no use. */
static int read_dir(const struct place *p, struct reading *r, uint64_t *size)
{
	cleanup(closep) int fd = -1;
	char path[PATH_MAX];
	struct stat st;
	ssize_t n;

	path_of(path, p->dir, r->file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	while ((n = read(fd, r->data + r->size, room(r))) > 0)
		r->size += (size_t)n;
	if (n < 0 || fstat(fd, &st))
		return errno;
	*size = (uint64_t)st.st_size;
	return 0;
}

static int read_nfs(const struct place *p, struct reading *r, uint64_t *size)
{
	struct nfs_stat_64 st;
	struct nfsfh *file;
	char path[64];
	int n;

	snprintf(path, sizeof(path), "/%s", name_of(r->file));
	n = nfs_open(p->nfs, path, O_RDONLY, &file);
	if (n)
		return -n;
	while ((n = nfs_pread(p->nfs, file, r->size, room(r), r->data + r->size)) > 0)
		r->size += (size_t)n;
	if (n == -EFAULT) /* libnfs's word for whatever a READ was refused with */
		n = -EIO;
	if (!n)
		n = nfs_fstat64(p->nfs, file, &st);
	if (!n)
		*size = st.nfs_size;
	nfs_close(p->nfs, file);
	return -n;
}

enum { UNREAD = -1, REFUSED = -2 };

static void read_one(const struct place *p, uint32_t file, int64_t *known)
{
	static struct reading r;
	uint64_t size = 0;
	int64_t state;
	int err;

	reading_start(&r, file);
	err = p->nfs ? read_nfs(p, &r, &size) : read_dir(p, &r, &size);
	if (err && err != EIO)
		die("%s: %s: %s %s", p->what, name_of(file), strerror(err),
		    p->nfs ? nfs_get_error(p->nfs) : "");
	if (err && (!is_edited(file) || *known >= 0))
		die("%s: %s: refused, though %s", p->what, name_of(file),
		    *known >= 0 ? "it was read before" : "nobody changed it");
	if (err) {
		*known = REFUSED;
		return;
	}
	state = reading_state(&r, p->what);
	if (!is_edited(file) && state)
		die("%s: %s: state %lld of a file that nobody changed", p->what, name_of(file),
		    (long long)state);
	if (*known >= 0 && *known != state)
		die("%s: %s: state %lld, and %lld before", p->what, name_of(file), (long long)state,
		    (long long)*known);
	if (size != r.size)
		die("%s: %s: %llu bytes, and its size is said to be %llu", p->what, name_of(file),
		    (unsigned long long)r.size, (unsigned long long)size);
	*known = state;
}

static void read_all(const char *where, const char *stop)
{
	int64_t known[FILES];
	struct place p;
	unsigned int rounds = 0;
	bool last;

	place_open(&p, where);
	for (uint32_t file = 0; file < FILES; file++)
		known[file] = UNREAD;
	do {
		last = !access(stop, F_OK);
		for (uint32_t k = 0; k < FILES; k++)
			read_one(&p, (uint32_t)((k + (uint64_t)getpid()) % FILES),
				 &known[(k + (uint64_t)getpid()) % FILES]);
		rounds++;
	} while (!last);
	fprintf(stderr, "%s: read %u times\n", where, rounds);
	for (uint32_t file = 0; file < FILES; file++)
		if (known[file] == REFUSED)
			printf("/%s EIO\n", name_of(file));
		else
			printf("/%s %lld\n", name_of(file), (long long)known[file]);
}

static void check(const char *name, const char *path)
{
	static struct reading r;
	uint32_t file = 0;

	while (file < FILES && strcmp(name, name_of(file)))
		file++;
	if (file == FILES)
		die("%s: no such name", name);
	reading_start(&r, file);
	reading_file(&r, path);
	printf("/%s %u\n", name, reading_state(&r, path));
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "make"))
		make(argv[2]);
	else if (argc == 4 && !strcmp(argv[1], "edit"))
		edit(argv[2], argv[3]);
	else if (argc == 4 && !strcmp(argv[1], "read"))
		read_all(argv[2], argv[3]);
	else if (argc == 4 && !strcmp(argv[1], "check"))
		check(argv[2], argv[3]);
	else
		die("usage: drift make DIR | edit DIR STOP | read WHERE STOP | check NAME FILE");
	return 0;
}
