/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How the server is, gathered from its control sockets and the databases: what `status`
 * prints.
 */
#ifndef CLI_STATUS_H
#define CLI_STATUS_H

#include <stdio.h>

#include <cjson/cJSON.h>

#include "cli/cmd.h"

/* An object: server, services, interfaces, images, hosts, boots, wrong (words of what is
 * wrong).  Returns 0 with *out (the caller's, cJSON_Delete), or a negative errno. */
int status_gather(struct cli *cli, cJSON **out);

/* For people. */
void status_print(const cJSON *status, FILE *out);

/* On a terminal, again and again, until somebody ends it (status_watch.c). */
int status_watch(struct cli *cli);

#endif
