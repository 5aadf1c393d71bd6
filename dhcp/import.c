/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dhcp/import.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

enum { WORD_MAX = 512, FIELDS_MAX = 32 };

struct import {
	FILE *file;
	const char *name;
	int (*add)(void *ctx, const struct dhcp_import_host *host);
	void *ctx;
	struct why *why;
	unsigned int line;
};

static int import_refuse(struct import *im, const char *fault, const char *text)
{
	return why_set(im->why, -EINVAL, "%s:%u: %s%s", im->name, im->line, fault, text);
}

/* dhcpd and ethers write 8:0:20:1:2:3 too. */
static int read_mac(const char *text, struct mac *out)
{
	unsigned int o[6];
	char full[MAC_TEXT];
	char rest;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &o[0], &o[1], &o[2], &o[3], &o[4], &o[5],
		   &rest) != 6)
		return -EINVAL;
	snprintf(full, sizeof(full), "%02x:%02x:%02x:%02x:%02x:%02x", o[0] & 255, o[1] & 255,
		 o[2] & 255, o[3] & 255, o[4] & 255, o[5] & 255);
	return mac_parse(full, out);
}

/* The first label, where it may name a host; else nothing. */
static void set_name(struct dhcp_import_host *host, const char *text)
{
	size_t len = strcspn(text, ".");

	host->name[0] = '\0';
	if (!len || len > NAME_MAX_LEN || text[0] == '-' || text[len - 1] == '-')
		return;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]) && text[i] != '-')
			return;
	memcpy(host->name, text, len);
	host->name[len] = '\0';
}

static int add_host(struct import *im, const struct dhcp_import_host *host)
{
	return im->add(im->ctx, host);
}

/* ---- ISC dhcpd: words, "strings", { } ; and # comments ---- */

enum word_kind { WORD_END, WORD_TEXT, WORD_OPEN, WORD_CLOSE, WORD_STOP };

static int isc_string(struct import *im, char out[static WORD_MAX])
{
	size_t len = 0;

	for (int c = getc(im->file); c != '"'; c = getc(im->file)) {
		if (c == '\\')
			c = getc(im->file);
		if (c == EOF)
			return import_refuse(im, "a string does not end", "");
		im->line += c == '\n';
		if (len < WORD_MAX - 1)
			out[len++] = (char)c;
	}
	out[len] = '\0';
	return WORD_TEXT;
}

/* Returns a WORD_*, or -EINVAL. */
static int isc_word(struct import *im, char out[static WORD_MAX])
{
	size_t len = 0;
	int c;

	out[0] = '\0';
	for (c = getc(im->file); c != EOF; c = getc(im->file)) {
		if (c == '#')
			while (c != '\n' && c != EOF)
				c = getc(im->file);
		im->line += c == '\n';
		if (!isspace(c))
			break;
	}
	switch (c) {
	case EOF:
		return WORD_END;
	case '\0':
		return import_refuse(im, "not a text file", "");
	case '{':
		return WORD_OPEN;
	case '}':
		return WORD_CLOSE;
	case ';':
		return WORD_STOP;
	case '"':
		return isc_string(im, out);
	default:
		break;
	}
	for (; c != EOF && !isspace(c) && !strchr("{};\"#", c); c = getc(im->file))
		if (len < WORD_MAX - 1)
			out[len++] = (char)c;
	ungetc(c, im->file);
	out[len] = '\0';
	return WORD_TEXT;
}

/* One statement: its words up to `;`, `{` or `}`.  Returns what ended it. */
struct statement {
	char word[8][WORD_MAX];
	unsigned int n;
	unsigned int line;
};

static int isc_statement(struct import *im, struct statement *st)
{
	char word[WORD_MAX];
	int r;

	st->n = 0;
	st->line = im->line;
	while ((r = isc_word(im, word)) == WORD_TEXT) {
		if (!st->n)
			st->line = im->line;
		if (st->n < ARRAY_SIZE(st->word))
			memcpy(st->word[st->n++], word, sizeof(word));
	}
	return r;
}

static bool statement_is(const struct statement *st, const char *first, const char *second)
{
	return st->n > 0 && !strcmp(st->word[0], first) &&
	       (!second || (st->n > 1 && !strcmp(st->word[1], second)));
}

/* What a `host` or `lease` block says. */
struct block {
	struct dhcp_import_host host;
	bool has_mac;
	bool over; /* a lease that is free, expired or released */
};

static int isc_take(struct import *im, const struct statement *st, struct block *b)
{
	const char *last = st->n ? st->word[st->n - 1] : "";

	if (statement_is(st, "hardware", "ethernet")) {
		if (read_mac(last, &b->host.mac))
			return import_refuse(im, "not a MAC address: ", last);
		b->has_mac = true;
	} else if (statement_is(st, "fixed-address", NULL) && !b->host.leased) {
		char first[WORD_MAX];

		/* The first of several; a name is left to whoever resolves it. */
		snprintf(first, sizeof(first), "%s", st->n > 1 ? st->word[1] : "");
		first[strcspn(first, ",")] = '\0';
		if (ip4_parse(first, &b->host.address))
			b->host.address = 0;
	} else if (statement_is(st, "option", "host-name") ||
		   statement_is(st, "client-hostname", NULL)) {
		set_name(&b->host, last);
	} else if (statement_is(st, "binding", "state")) {
		b->over = strcmp(last, "active") != 0;
	}
	return 0;
}

static int isc_block(struct import *im, struct statement *st, struct block *b)
{
	unsigned int depth = 1;
	int r;

	while (depth) {
		r = isc_statement(im, st);
		if (r < 0)
			return r;
		if (r == WORD_END)
			return import_refuse(im, "a block does not end", "");
		if (r == WORD_OPEN)
			depth++;
		else if (r == WORD_CLOSE)
			depth--;
		else if (depth == 1 && (r = isc_take(im, st, b)))
			return r;
	}
	return b->has_mac && !b->over ? add_host(im, &b->host) : 0;
}

static int import_isc(struct import *im)
{
	cleanup(freep) struct statement *st = malloc(sizeof(*st));
	int depth = 0;
	int r;

	if (!st)
		return -ENOMEM;
	for (;;) {
		r = isc_statement(im, st);
		if (r < 0)
			return r;
		if (r == WORD_END)
			return depth || st->n ? import_refuse(im, "the file ends too early", "")
					      : 0;
		if (r == WORD_CLOSE && --depth < 0)
			return import_refuse(im, "a } too many", "");
		if (r != WORD_OPEN)
			continue;
		if (statement_is(st, "host", NULL) || statement_is(st, "lease", NULL)) {
			struct block b = {.host.line = st->line};

			b.host.leased = st->word[0][0] == 'l';
			if (b.host.leased && st->n > 1 && ip4_parse(st->word[1], &b.host.address))
				return import_refuse(im, "not an address: ", st->word[1]);
			if (!b.host.leased && st->n > 1)
				set_name(&b.host, st->word[1]);
			r = isc_block(im, st, &b);
			if (r)
				return r;
		} else {
			depth++; /* a subnet or group: hosts may stand in it */
		}
	}
}

/* ---- dnsmasq and ethers: a machine a line ---- */

static bool is_lease_time(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return !strcmp(text, "infinite") ||
	       (digits && (!text[digits] || (strchr("smhdw", text[digits]) && !text[digits + 1])));
}

/* dhcp-host=MAC[,MAC...],[set:TAG],[ADDRESS],[NAME],[TIME] */
static int dnsmasq_host(struct import *im, char *text)
{
	struct dhcp_import_host host = {.line = im->line};
	struct mac macs[FIELDS_MAX];
	unsigned int nmacs = 0;
	char *save;
	int r = 0;

	for (char *f = strtok_r(text, ",", &save); f; f = strtok_r(NULL, ",", &save)) {
		struct mac mac;
		uint32_t address;

		f += strspn(f, " \t");
		f[strcspn(f, " \t")] = '\0';
		if (!strcmp(f, "ignore"))
			return 0;
		if (!read_mac(f, &mac) && nmacs < FIELDS_MAX)
			macs[nmacs++] = mac;
		else if (!ip4_parse(f, &address))
			host.address = address;
		else if (!strpbrk(f, ":[*") && !is_lease_time(f))
			set_name(&host, f);
	}
	/* One reservation for several cards of one machine: the first is its. */
	for (unsigned int i = 0; i < nmacs && !r; i++) {
		host.mac = macs[i];
		r = add_host(im, &host);
	}
	return r;
}

/* EXPIRY MAC ADDRESS NAME CLIENT-ID */
static int dnsmasq_lease(struct import *im, char *const *field, unsigned int n)
{
	struct dhcp_import_host host = {.line = im->line, .leased = true};

	if (n < 4 || read_mac(field[1], &host.mac) || ip4_parse(field[2], &host.address))
		return 0; /* IPv6, or another medium */
	set_name(&host, field[3]);
	return add_host(im, &host);
}

/* MAC NAME or MAC ADDRESS */
static int ethers_line(struct import *im, char *const *field, unsigned int n)
{
	struct dhcp_import_host host = {.line = im->line};

	if (n < 2 || read_mac(field[0], &host.mac))
		return 0;
	if (ip4_parse(field[1], &host.address))
		set_name(&host, field[1]);
	return add_host(im, &host);
}

static int import_line(struct import *im, char *line)
{
	char *field[FIELDS_MAX];
	unsigned int n = 0;
	char *save;

	line += strspn(line, " \t");
	if (!strncmp(line, "dhcp-host", 9)) {
		char *value = strchr(line, '=');

		return value ? dnsmasq_host(im, value + 1) : 0;
	}
	if (strchr(line, ','))
		return dnsmasq_host(im, line);
	for (char *f = strtok_r(line, " \t", &save); f && n < FIELDS_MAX;
	     f = strtok_r(NULL, " \t", &save))
		field[n++] = f;
	if (n > 2 && strspn(field[0], "0123456789") == strlen(field[0]))
		return dnsmasq_lease(im, field, n);
	return ethers_line(im, field, n);
}

static int import_lines(struct import *im)
{
	char line[4096];
	int r = 0;

	while (!r && fgets(line, sizeof(line), im->file)) {
		im->line++;
		if (!strchr(line, '\n') && !feof(im->file))
			return import_refuse(im, "the line is too long", "");
		line[strcspn(line, "#\n")] = '\0';
		r = import_line(im, line);
	}
	return r;
}

/* Is it a file of blocks?  dnsmasq's have none. */
static bool has_blocks(FILE *file)
{
	bool comment = false;
	int c;

	while ((c = getc(file)) != EOF && (comment || (c != '{' && c != ';'))) {
		if (c == '#')
			comment = true;
		if (c == '\n')
			comment = false;
	}
	rewind(file);
	return c == '{' || c == ';';
}

int dhcp_import(FILE *file, const char *name,
		int (*add)(void *ctx, const struct dhcp_import_host *host), void *ctx,
		struct why *why)
{
	struct import im = {.file = file, .name = name, .add = add, .ctx = ctx, .why = why};
	int r;

	if (has_blocks(file)) {
		im.line = 1;
		r = import_isc(&im);
	} else {
		r = import_lines(&im);
	}
	if (!r && ferror(file))
		return why_set(why, -EIO, "%s: cannot be read", name);
	return r;
}
