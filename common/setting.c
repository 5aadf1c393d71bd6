/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/setting.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/option.h"

enum {
	SHOWN_MAX = 80, /* of a value, in words about it */
	PATH_LEN_MAX = 255,
	FILE_LEN_MAX = 127, /* in a DHCP packet, with the end */
	CMDLINE_LEN_MAX = 2047
};

#define OPTION_ALLOWED                                                                             \
	"text, or a value behind ip:, u8:, u16:, u32:, text:, hex:, routes: or domains: that "     \
	"fits its kind, at most 255 bytes"

/* ---- checks ---- */

static int refuse(const char *key, const char *value, const char *allowed, struct why *why)
{
	return why_set(why, -EINVAL, "%s=%.*s%s: not %s", key, SHOWN_MAX, value,
		       strlen(value) > SHOWN_MAX ? "..." : "", allowed);
}

static bool is_line(const char *text, size_t max)
{
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			return false;
	return strlen(text) <= max;
}

static bool fits_line(const char *value)
{
	return is_line(value, CMDLINE_LEN_MAX);
}

static bool fits_consoles(const char *value)
{
	static const char fine[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789,.:/@_- ";

	return strspn(value, fine) == strlen(value) && strlen(value) <= CMDLINE_LEN_MAX;
}

static bool fits_path(const char *value)
{
	return value[0] == '/' && is_line(value, PATH_LEN_MAX);
}

static bool fits_path_or_none(const char *value)
{
	return !strcmp(value, "none") || fits_path(value);
}

static bool fits_program(const char *value)
{
	return fits_path(value) && !strchr(value, ' ');
}

static bool fits_file(const char *value)
{
	return is_line(value, FILE_LEN_MAX) && !strchr(value, ' ');
}

/* Its number is in the key. */
static int check_option(const char *key, const char *value, struct why *why)
{
	struct why one = {""};
	unsigned int code;
	uint8_t data[255];
	int r = option_code(key, &code, &one);

	if (r)
		return why_set(why, r, "%s: %s", key, one.text);
	r = option_parse(value, data, sizeof(data), NULL);
	return r < 0 ? refuse(key, value, OPTION_ALLOWED, why) : 0;
}

/* ---- the table ---- */

static const char *const yes_no[] = {"no", "yes", NULL};
static const char *const modes[] = {"tmpfs", "overlay", NULL};
static const char *const dialects[] = {"kernel", "klibc", "dracut", "mkinitcpio", "live", NULL};

#define A_PATH "an absolute path of at most 255 bytes"

static const struct setting settings[] = {
	{.key = "mode", .words = modes},
	{.key = "console",
	 .fits = fits_consoles,
	 .allowed = "consoles as the kernel knows them, with spaces between (tty0 ttyS0,115200)"},
	{.key = "cmdline",
	 .fits = fits_line,
	 .allowed = "words for a kernel, at most 2047 bytes in one line"},
	{.key = "kernel", .fits = fits_path, .allowed = A_PATH},
	{.key = "initrd", .fits = fits_path_or_none, .allowed = A_PATH ", or none"},
	{.key = "dialect", .words = dialects},
	{.key = "init", .fits = fits_program, .allowed = A_PATH " without spaces"},
	{.key = "loader",
	 .fits = fits_file,
	 .allowed = "a file's name of at most 127 bytes without spaces"},
	{.key = "menu", .words = yes_no},
	{.key = "menu_secs", .max = 3600},
	{.key = "maintenance"}, /* whether there is such an image, fsd/host.c knows */
	{.key = "attr_secs", .max = 86400},
	{.key = OPTION_KEY},
};

const struct setting *setting_at(unsigned int i)
{
	return i < ARRAY_SIZE(settings) ? &settings[i] : NULL;
}

const struct setting *setting_find(const char *key)
{
	/* In either spelling, so that the wrong one is refused. */
	if (!strncmp(key, "option.", 7) || !strncmp(key, OPTION_KEY, strlen(OPTION_KEY)))
		key = OPTION_KEY;
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		if (!strcmp(key, settings[i].key))
			return &settings[i];
	return NULL;
}

int setting_word(const char *key, const char *value, unsigned int *out, struct why *why)
{
	const struct setting *s = setting_find(key);
	char allowed[160] = "one of ";
	size_t len = strlen(allowed);

	for (unsigned int i = 0; s->words[i]; i++) {
		if (!strcmp(value, s->words[i])) {
			*out = i;
			return 0;
		}
		len += (size_t)snprintf(allowed + len, sizeof(allowed) - len, "%s%s", i ? ", " : "",
					s->words[i]);
	}
	return refuse(key, value, allowed, why);
}

int setting_number(const char *key, const char *value, unsigned int *out, struct why *why)
{
	const struct setting *s = setting_find(key);
	size_t digits = strspn(value, "0123456789");
	unsigned long n = strtoul(value, NULL, 10);
	char allowed[48];

	if (digits && digits < 10 && !value[digits] && n <= s->max) {
		*out = (unsigned int)n;
		return 0;
	}
	snprintf(allowed, sizeof(allowed), "0 to %u seconds", s->max);
	return refuse(key, value, allowed, why);
}

int setting_check_value(const char *key, const char *value, struct why *why)
{
	const struct setting *s = setting_find(key);
	unsigned int ignored;

	if (!s)
		return 0;
	if (s->words)
		return setting_word(key, value, &ignored, why);
	if (s->max)
		return setting_number(key, value, &ignored, why);
	if (!strcmp(s->key, OPTION_KEY))
		return check_option(key, value, why);
	return !s->fits || s->fits(value) ? 0 : refuse(key, value, s->allowed, why);
}
