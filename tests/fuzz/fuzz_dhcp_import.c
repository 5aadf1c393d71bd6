/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The files of other DHCP servers: what is handed on must be a host.
 */
#include <assert.h>
#include <string.h>

#include "dhcp/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int check(void *ctx, const struct dhcp_import_host *host)
{
	(void)ctx;
	assert(memchr(host->name, 0, sizeof(host->name)));
	assert(!(host->mac.octet[0] & 1));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct why why = {""};
	FILE *file = size ? fmemopen((void *)data, size, "r") : NULL;

	if (!file)
		return 0;
	dhcp_import(file, "file", check, NULL, &why);
	fclose(file);
	return 0;
}
