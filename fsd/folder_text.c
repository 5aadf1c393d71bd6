/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fsd/folder_text.h"

#include <errno.h>
#include <string.h>

enum { LINE_MAX_LEN = 65536, WORDS_MAX = 16 };

static const char *const kind_words[ENTRY_KINDS] = {
	[ENTRY_FILE] = "put",  [ENTRY_TEMPLATE] = "template", [ENTRY_LINK] = "link",
	[ENTRY_DIR] = "mkdir", [ENTRY_WHITEOUT] = "hide",     [ENTRY_OPAQUE] = "opaque",
	[ENTRY_ATTR] = "attr",
};

const char *folder_kind_word(enum entry_kind kind)
{
	return kind_words[kind];
}

int folder_line(struct folder_lines *lines, struct bytes *out, struct why *why)
{
	while (lines->at < lines->end) {
		size_t left = (size_t)(lines->end - lines->at);
		const uint8_t *newline = memchr(lines->at, '\n', left);
		size_t len = newline ? (size_t)(newline - lines->at) : left;
		const uint8_t *at = lines->at;

		lines->line++;
		lines->at += len + (newline != NULL);
		if (len > LINE_MAX_LEN)
			return why_set(why, -EINVAL, "a line of over %d bytes", LINE_MAX_LEN);
		for (size_t i = 0; i < len; i++)
			if (at[i] < ' ' || at[i] == 0x7f)
				return why_set(why, -EINVAL, "a control byte (\\x%02x) in a line",
					       at[i]);
		if (!len || at[0] == '#')
			continue;
		*out = (struct bytes){at, len};
		return 1;
	}
	return 0;
}

static int hex_digit(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Fresh memory with the escapes undone. */
static int unescape(struct bytes in, struct arena *arena, const char **out, size_t *len,
		    struct why *why)
{
	char *to = arena_copy(arena, in.at, in.len);
	size_t n = 0;

	if (!to)
		return -ENOMEM;
	for (size_t i = 0; i < in.len; i++) {
		int high;
		int low;

		if (in.at[i] != '\\') {
			to[n++] = (char)in.at[i];
			continue;
		}
		high = in.len - i > 3 && in.at[i + 1] == 'x' ? hex_digit(in.at[i + 2]) : -1;
		low = high < 0 ? -1 : hex_digit(in.at[i + 3]);
		if (low < 0 || (!high && !low))
			return why_set(why, -EINVAL, "a backslash without xHH behind it");
		to[n++] = (char)(high << 4 | low);
		i += 3;
	}
	to[n] = '\0';
	*out = to;
	*len = n;
	return 0;
}

/* `blanks`: the text is a word among others. */
static void escape(FILE *out, const char *text, size_t len, bool blanks)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)text[i];
		bool blank = c == ' ' && (blanks || !i || i + 1 == len);

		if (c < ' ' || c == 0x7f || c == '\\' || blank)
			fprintf(out, "\\x%02x", c);
		else
			fputc(c, out);
	}
}

int folder_pair_parse(struct bytes line, struct arena *arena, struct folder_pair *out,
		      struct why *why)
{
	const uint8_t *eq = memchr(line.at, '=', line.len);
	size_t key_len = eq ? (size_t)(eq - line.at) : 0;
	const char *value;
	size_t len;
	int r;

	if (!key_len)
		return why_set(why, -EINVAL, "not KEY=VALUE");
	if (memchr(line.at, '\\', key_len))
		return why_set(why, -EINVAL, "a backslash in a key");
	r = unescape((struct bytes){eq + 1, line.len - key_len - 1}, arena, &value, &len, why);
	if (r)
		return r;
	if (!len)
		return why_set(why, -EINVAL, "%.*s: has no value: leave the line out", (int)key_len,
			       line.at);
	out->value = value;
	out->key = arena_copy(arena, line.at, key_len);
	return out->key ? 0 : -ENOMEM;
}

void folder_pair_print(FILE *out, const struct folder_pair *pair)
{
	fprintf(out, "%s=", pair->key);
	escape(out, pair->value, strlen(pair->value), false);
	fputc('\n', out);
}

/* ---- entries ---- */

static bool word_is(struct bytes word, const char *text)
{
	return word.len == strlen(text) && !memcmp(word.at, text, word.len);
}

/* The rest of a word that starts with `name`; at NULL: it does not. */
static struct bytes word_value(struct bytes word, const char *name)
{
	size_t len = strlen(name);

	if (word.len <= len || memcmp(word.at, name, len))
		return (struct bytes){NULL, 0};
	return (struct bytes){word.at + len, word.len - len};
}

/* Digits of `base` and nothing else, up to `max`. */
static int number(struct bytes text, unsigned int base, uint32_t max, uint32_t *out)
{
	uint64_t value = 0;

	if (!text.len)
		return -EINVAL;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] >= '0' + base)
			return -EINVAL;
		value = value * base + (text.at[i] - '0');
		if (value > max)
			return -EINVAL;
	}
	*out = (uint32_t)value;
	return 0;
}

static int owner(struct bytes text, struct folder_entry *e)
{
	const uint8_t *colon = memchr(text.at, ':', text.len);
	size_t len = colon ? (size_t)(colon - text.at) : 0;

	if (!colon || number((struct bytes){text.at, len}, 10, UINT32_MAX - 1, &e->uid))
		return -EINVAL;
	return number((struct bytes){colon + 1, text.len - len - 1}, 10, UINT32_MAX - 1, &e->gid);
}

/* A word behind the path.  Each may come once. */
static int attribute(struct bytes word, struct arena *arena, struct folder_entry *e,
		     struct why *why)
{
	struct bytes value;
	const char *target;
	uint32_t n;
	int r;

	if ((value = word_value(word, "mode=")).at && !(e->flags & ENTRY_MODE_SET)) {
		if (number(value, 8, 07777, &n))
			return why_set(why, -EINVAL, "%.*s: not an octal mode", (int)word.len,
				       word.at);
		e->mode = (uint16_t)n;
		e->flags |= ENTRY_MODE_SET;
	} else if ((value = word_value(word, "owner=")).at && !(e->flags & ENTRY_OWNER_SET)) {
		if (owner(value, e))
			return why_set(why, -EINVAL, "%.*s: not UID:GID in numbers", (int)word.len,
				       word.at);
		e->flags |= ENTRY_OWNER_SET;
	} else if ((value = word_value(word, "to=")).at && !e->body.at) {
		r = unescape(value, arena, &target, &e->body.len, why);
		if (r)
			return r;
		e->body.at = (const uint8_t *)target;
		if (e->body.len >= PATH_MAX)
			return why_set(why, -EINVAL, "to=: too long for a link's target");
	} else if ((value = word_value(word, "late=")).at && !e->late) {
		if (number(value, 10, FOLDER_LATE_MAX, &e->late) || !e->late)
			return why_set(why, -EINVAL, "%.*s: not 1 to %d", (int)word.len, word.at,
				       FOLDER_LATE_MAX);
	} else if (word_is(word, "secret") && !(e->flags & ENTRY_SECRET)) {
		e->flags |= ENTRY_SECRET;
	} else if (word_is(word, "next-boot") && !(e->flags & ENTRY_NEXT_BOOT)) {
		e->flags |= ENTRY_NEXT_BOOT;
	} else {
		return why_set(why, -EINVAL,
			       "%.*s: unknown, or there twice (mode=, owner=, to=, secret, "
			       "next-boot, late=)",
			       (int)(word.len < 64 ? word.len : 64), word.at);
	}
	return 0;
}

static int kind_fits(const struct folder_entry *e, struct why *why)
{
	bool given = e->flags & (ENTRY_MODE_SET | ENTRY_OWNER_SET);

	if ((e->kind == ENTRY_LINK) != (e->body.at != NULL))
		return why_set(why, -EINVAL, "to= is a link's, and each link has one");
	if ((e->flags & ENTRY_SECRET) && e->kind != ENTRY_FILE)
		return why_set(why, -EINVAL, "only what is put can be a secret");
	if (e->kind == ENTRY_WHITEOUT && given)
		return why_set(why, -EINVAL, "what is hidden has no mode and no owner");
	if (e->kind == ENTRY_ATTR && !given)
		return why_set(why, -EINVAL, "attr without mode= and owner=");
	if (!e->path[0] && e->kind != ENTRY_ATTR)
		return why_set(why, -EINVAL, "/: only its attributes can be changed");
	return 0;
}

static int entry_path(struct bytes word, struct arena *arena, const char **out, struct why *why)
{
	char clean[4096];
	const char *text;
	size_t len;
	int r = unescape(word, arena, &text, &len, why);

	if (r)
		return r;
	if (text[0] != '/')
		return why_set(why, -EINVAL, "%.64s: a path starts with /", text);
	r = overlay_path(text, clean, why);
	if (r)
		return r;
	*out = arena_copy(arena, clean, strlen(clean));
	return *out ? 0 : -ENOMEM;
}

int folder_entry_parse(struct bytes line, struct arena *arena, struct folder_entry *out,
		       struct why *why)
{
	struct folder_entry e = {.kind = ENTRY_KINDS};
	struct bytes words[WORDS_MAX];
	unsigned int n = 0;
	int r;

	for (size_t i = 0; i < line.len;) {
		const uint8_t *blank = memchr(line.at + i, ' ', line.len - i);
		size_t len = blank ? (size_t)(blank - line.at) - i : line.len - i;

		if (len && n == WORDS_MAX)
			return why_set(why, -EINVAL, "over %d words in a line", WORDS_MAX);
		if (len)
			words[n++] = (struct bytes){line.at + i, len};
		i += len + 1;
	}
	for (unsigned int k = 0; n && k < ENTRY_KINDS; k++)
		if (kind_words[k] && word_is(words[0], kind_words[k]))
			e.kind = (enum entry_kind)k;
	if (e.kind == ENTRY_KINDS || n < 2)
		return why_set(why, -EINVAL,
			       "not put, template, link, mkdir, hide, opaque or attr and a path");
	r = entry_path(words[1], arena, &e.path, why);
	for (unsigned int i = 2; !r && i < n; i++)
		r = attribute(words[i], arena, &e, why);
	if (!r)
		r = kind_fits(&e, why);
	if (!r)
		*out = e;
	return r;
}

void folder_entry_print(FILE *out, const struct folder_entry *e)
{
	fprintf(out, "%s /", kind_words[e->kind]);
	escape(out, e->path, strlen(e->path), true);
	if (e->kind == ENTRY_LINK) {
		fputs(" to=", out);
		escape(out, (const char *)e->body.at, e->body.len, true);
	}
	if (e->flags & ENTRY_MODE_SET)
		fprintf(out, " mode=%04o", e->mode);
	if (e->flags & ENTRY_OWNER_SET)
		fprintf(out, " owner=%u:%u", e->uid, e->gid);
	if (e->flags & ENTRY_SECRET)
		fputs(" secret", out);
	if (e->flags & ENTRY_NEXT_BOOT)
		fputs(" next-boot", out);
	if (e->late)
		fprintf(out, " late=%u", e->late);
	fputc('\n', out);
}
