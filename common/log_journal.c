/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/log_journal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <string.h>
#include <sys/uio.h>

#include <systemd/sd-journal.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#endif

bool log_journal_has(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device;
	unsigned long long inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && !fstat(fd, &st) &&
	       st.st_dev == device && st.st_ino == inode;
}

#ifdef HAVE_SYSTEMD

enum { FIELDS_MAX = 8 };

struct fields {
	struct iovec iov[FIELDS_MAX];
	int n;
	size_t used;
	char text[2048];
};

/* One that does not fit is left out. */
__attribute__((format(printf, 2, 3))) static void field(struct fields *f, const char *fmt, ...)
{
	char *text = f->text + f->used;
	size_t room = sizeof(f->text) - f->used;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(text, room, fmt, ap);
	va_end(ap);
	if (len <= 0 || (size_t)len >= room || f->n == FIELDS_MAX)
		return;
	f->iov[f->n++] = (struct iovec){text, (size_t)len};
	f->used += (size_t)len;
}

static void field_about(struct fields *f, const struct log_about *about)
{
	static const struct mac none;
	char mac[MAC_TEXT];
	char address[IP4_TEXT];

	if (!mac_equal(&about->mac, &none))
		field(f, "ROOTSTOCK_MAC=%s", mac_format(&about->mac, mac));
	if (about->address)
		field(f, "ROOTSTOCK_ADDRESS=%s", ip4_format(about->address, address));
	if (about->host && *about->host)
		field(f, "ROOTSTOCK_HOST=%s", about->host);
}

bool log_journal_send(const char *service, int priority, const struct log_about *about,
		      const char *text)
{
	bool child = strcmp(service, "rootstock") != 0;
	struct fields f = {.n = 0, .used = 0};

	/* The library takes a socket that is not there for a journal that wants nothing. */
	if (access(JOURNAL_SOCKET, W_OK))
		return false;
	field(&f, "MESSAGE=%s", text);
	field(&f, "PRIORITY=%d", priority);
	field(&f, "SYSLOG_IDENTIFIER=rootstock%s%s", child ? "-" : "", child ? service : "");
	field(&f, "ROOTSTOCK_SERVICE=%s", child ? service : "supervisor");
	if (about)
		field_about(&f, about);
	return sd_journal_sendv(f.iov, f.n) >= 0;
}

#else

bool log_journal_send(const char *service, int priority, const struct log_about *about,
		      const char *text)
{
	(void)service;
	(void)priority;
	(void)about;
	(void)text;
	return false;
}

#endif
