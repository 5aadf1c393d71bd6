/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void fds_add(struct fds *fds, int fd, const char *format, ...)
{
	va_list ap;

	if (fd < 0 || fds->n == FDS_MAX)
		return;
	va_start(ap, format);
	vsnprintf(fds->list[fds->n].name, sizeof(fds->list[0].name), format, ap);
	va_end(ap);
	fds->list[fds->n++].fd = fd;
}

int fds_get(const struct fds *fds, const char *format, ...)
{
	char name[sizeof(fds->list[0].name)];
	va_list ap;

	va_start(ap, format);
	vsnprintf(name, sizeof(name), format, ap);
	va_end(ap);
	for (unsigned int i = 0; i < fds->n; i++)
		if (!strcmp(fds->list[i].name, name))
			return fds->list[i].fd;
	return -1;
}

int fds_names(const struct fds *fds, char *out, unsigned long size)
{
	unsigned long len = 0;

	for (unsigned int i = 0; i < fds->n; i++) {
		int n = snprintf(out + len, size - len, "%s%s", i ? "," : "", fds->list[i].name);

		if (n < 0 || (unsigned long)n >= size - len)
			return -E2BIG;
		len += (unsigned long)n;
	}
	return 0;
}

int fds_inherit(struct fds *fds, const char *names, struct why *why)
{
	fds->n = 0;
	while (*names) {
		size_t len = strcspn(names, ",");
		int fd = FDS_FIRST + (int)fds->n;

		if (fcntl(fd, F_SETFD, FD_CLOEXEC))
			return why_set(why, -EBADF, "%.*s: not handed over", (int)len, names);
		fds_add(fds, fd, "%.*s", (int)len, names);
		names += len + (names[len] == ',');
	}
	return 0;
}

int fds_place(const struct fds *fds)
{
	int high = FDS_FIRST + FDS_MAX;
	int moved[FDS_MAX];

	/* Out of the way first, so that none lands on another. */
	for (unsigned int i = 0; i < fds->n; i++) {
		moved[i] = fcntl(fds->list[i].fd, F_DUPFD, high);
		if (moved[i] < 0)
			return -errno;
	}
	for (unsigned int i = 0; i < fds->n; i++)
		if (dup2(moved[i], FDS_FIRST + (int)i) < 0)
			return -errno;
	return close_range(FDS_FIRST + fds->n, ~0u, 0) ? -errno : 0;
}
