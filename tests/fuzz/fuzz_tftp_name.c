/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * No name, however written, leads out of the tree.
 */
#include <assert.h>
#include <string.h>

#include "common/log.h"
#include "tftp/loader.h"
#include "tftp/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char out[TFTP_NAME_MAX];
	char again[TFTP_NAME_MAX];
	char escaped[128];
	const char *what;
	struct mac mac;
	bool has_mac;

	log_escape(escaped, sizeof(escaped), data, size);
	for (const char *p = escaped; *p; p++)
		assert(*p >= 32 && *p < 127);
	if (tftp_name_clean((const char *)data, size, out, &what))
		return 0;
	assert(*out && *out != '/' && strlen(out) < TFTP_NAME_MAX);
	assert(strcmp(out, "..") && strncmp(out, "../", 3) && !strstr(out, "/../"));
	assert(strlen(out) < 3 || strcmp(out + strlen(out) - 3, "/.."));
	assert(!strchr(out, '\\') && !strchr(out, '\n') && !strstr(out, "//"));
	assert(!tftp_name_clean(out, strlen(out), again, &what) && !strcmp(out, again));
	tftp_name_kind(out, &mac, &has_mac);
	loader_package(out);
	return 0;
}
