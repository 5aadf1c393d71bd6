/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common/why.h"
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int why_set(struct why *why, int err, const char *fmt, ...)
{
	char raw[sizeof(why->text)];
	va_list ap;

	if (!why || why->text[0])
		return err;
	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	log_printable(why->text, sizeof(why->text), raw, strlen(raw));
	return err;
}

const char *why_text(const struct why *why, int err)
{
	return why && why->text[0] ? why->text : strerror(err < 0 ? -err : err);
}
