/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tftp/file.h"

#include <errno.h>
#include <string.h>

struct fd_file {
	struct tftp_file file;
	int fd;
};

static ssize_t fd_pread(struct tftp_file *file, void *buf, size_t len, uint64_t offset)
{
	struct fd_file *f = (struct fd_file *)file;
	ssize_t n = pread(f->fd, buf, len, (off_t)offset);

	return n < 0 ? -errno : n;
}

static void fd_close(struct tftp_file *file)
{
	close(((struct fd_file *)file)->fd);
	free(file);
}

int tftp_file_of_fd(int fd, uint64_t size, struct tftp_file **out)
{
	static const struct tftp_file_ops ops = {fd_pread, fd_close};
	struct fd_file *f = malloc(sizeof(*f));

	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	*f = (struct fd_file){{&ops, size}, fd};
	*out = &f->file;
	return 0;
}

struct text_file {
	struct tftp_file file;
	char *text;
};

static ssize_t text_pread(struct tftp_file *file, void *buf, size_t len, uint64_t offset)
{
	struct text_file *f = (struct text_file *)file;

	if (offset >= file->size)
		return 0;
	if (len > file->size - offset)
		len = (size_t)(file->size - offset);
	memcpy(buf, f->text + offset, len);
	return (ssize_t)len;
}

static void text_close(struct tftp_file *file)
{
	free(((struct text_file *)file)->text);
	free(file);
}

int tftp_file_of_text(char *text, size_t len, struct tftp_file **out)
{
	static const struct tftp_file_ops ops = {text_pread, text_close};
	struct text_file *f = malloc(sizeof(*f));

	if (!f) {
		free(text);
		return -ENOMEM;
	}
	*f = (struct text_file){{&ops, len}, text};
	*out = &f->file;
	return 0;
}

static int read_whole(struct tftp_file *file, char *buf)
{
	for (uint64_t at = 0; at < file->size;) {
		ssize_t n = tftp_file_pread(file, buf + at, (size_t)(file->size - at), at);

		if (n < 0)
			return (int)n;
		if (!n)
			return -EIO;
		at += (uint64_t)n;
	}
	return 0;
}

int tftp_file_netascii(struct tftp_file *in, struct tftp_file **out)
{
	cleanup(tftp_file_closep) struct tftp_file *file = in;
	cleanup(freep) char *raw = NULL;
	char *text;
	size_t len = 0;
	int r;

	if (file->size > TFTP_NETASCII_MAX)
		return -EFBIG;
	raw = malloc((size_t)file->size + 1);
	text = malloc((size_t)file->size * 2 + 1);
	if (!raw || !text) {
		free(text);
		return -ENOMEM;
	}
	r = read_whole(file, raw);
	if (r) {
		free(text);
		return r;
	}
	for (size_t i = 0; i < file->size; i++) {
		if (raw[i] == '\n')
			text[len++] = '\r';
		text[len++] = raw[i];
		if (raw[i] == '\r')
			text[len++] = '\0';
	}
	return tftp_file_of_text(text, len, out);
}
