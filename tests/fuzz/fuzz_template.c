/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Templates and overlay paths of any bytes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsd/overlay.h"
#include "fsd/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *lookup(void *ctx, const char *key)
{
	(void)ctx;
	if (!template_key_ok(key, strlen(key)))
		abort();
	return key[0] == 'u' ? NULL : key;
}

static void path_of(const uint8_t *data, size_t size)
{
	char out[4096];
	char again[4096];
	char *text = strndup((const char *)data, size);
	struct why why = {""};
	int r;

	memset(out, 'x', sizeof(out));
	r = overlay_path(text, out, &why);
	if (r) {
		if (!why.text[0])
			abort();
	} else if (strlen(out) >= sizeof(out) || out[0] == '/' || strstr(out, "//") ||
		   (out[0] && out[strlen(out) - 1] == '/') || overlay_path(out, again, NULL) ||
		   strcmp(out, again)) {
		abort();
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct bytes text = {data, size};
	struct why why = {""};
	char *out = NULL;
	size_t len;
	int r = template_render(text, lookup, NULL, &out, &len, &why);

	if (!r && (len > TEMPLATE_SIZE_MAX || out[len]))
		abort();
	if (r == -EINVAL && !why.text[0])
		abort();
	if (r && out)
		abort();
	free(out);
	template_uses(text, "key");
	path_of(data, size);
	return 0;
}
