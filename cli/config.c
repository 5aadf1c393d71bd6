/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/config.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ini.h>

#include "cli/metrics.h"
#include "common/cleanup.h"
#include "common/mac.h"
#include "common/option.h"

void config_init(struct config *c)
{
	*c = (struct config){.nfs_port = NFS_PORT, .reserved_port = true, .log = LOG_LEVEL_INFO};
	dhcp_config_init(&c->dhcp);
}

void config_fini(struct config *c)
{
	dhcp_config_fini(&c->dhcp);
}

int config_add_interface(struct config *c, const char *name, struct why *why)
{
	/* The kernel would take a comma, but the names of descriptors are joined by it. */
	if (!*name || strlen(name) >= IFNAMSIZ || strpbrk(name, ",:/ "))
		return why_set(why, -EINVAL, "%s: not an interface's name", name);
	for (unsigned int i = 0; i < c->ninterfaces; i++)
		if (!strcmp(c->interfaces[i], name))
			return 0; /* in the file and on the command line */
	if (c->ninterfaces == CONFIG_INTERFACES_MAX)
		return why_set(why, -EINVAL, "%s: too many interfaces", name);
	snprintf(c->interfaces[c->ninterfaces++], IFNAMSIZ, "%s", name);
	return 0;
}

/* ---- values ---- */

static int value_bad(struct why *why, const char *value, const char *should)
{
	return why_set(why, -EINVAL, "%s: not %s", value, should);
}

static int value_number(const char *value, unsigned long min, unsigned long max, unsigned long *out,
			struct why *why)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(value, &end, 10);
	if (end == value || *end || errno || *value == '-' || n < min || n > max)
		return why_set(why, -EINVAL, "%s: not a number from %lu to %lu", value, min, max);
	*out = n;
	return 0;
}

static int value_bool(const char *value, bool *out, struct why *why)
{
	if (!strcmp(value, "yes") || !strcmp(value, "true") || !strcmp(value, "1"))
		*out = true;
	else if (!strcmp(value, "no") || !strcmp(value, "false") || !strcmp(value, "0"))
		*out = false;
	else
		return value_bad(why, value, "yes or no");
	return 0;
}

/* One of `words`, which end with NULL; its index. */
static int value_word(const char *value, const char *const *words, unsigned int *out,
		      struct why *why)
{
	char all[128] = "";
	size_t len = 0;

	for (unsigned int i = 0; words[i]; i++) {
		if (!strcmp(value, words[i])) {
			*out = i;
			return 0;
		}
		len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s", i ? ", " : "",
					words[i]);
	}
	return why_set(why, -EINVAL, "%s: not one of %s", value, all);
}

static int value_address(const char *value, uint32_t *out, struct why *why)
{
	uint32_t address;

	if (ip4_parse(value, &address) || !address)
		return value_bad(why, value, "an IPv4 address");
	*out = address;
	return 0;
}

/* "10.0.0.0/24" */
static int value_network(const char *value, uint32_t *address, uint8_t *prefix, struct why *why)
{
	const char *slash = strchr(value, '/');
	unsigned long bits = 32;
	char text[32];

	snprintf(text, sizeof(text), "%.*s", slash ? (int)(slash - value) : 31, value);
	if (ip4_parse(text, address) || (slash && value_number(slash + 1, 0, 32, &bits, NULL)))
		return value_bad(why, value, "a network (10.0.0.0/24)");
	*prefix = (uint8_t)bits;
	return 0;
}

static uint32_t prefix_mask(uint8_t prefix)
{
	return prefix ? UINT32_MAX << (32 - prefix) : 0;
}

/* "10.0.0.10 - 10.0.0.99", or one address. */
static int value_range(char *value, struct dhcp_range *out, struct why *why)
{
	char *save;
	char *first = strtok_r(value, " -", &save);
	char *last = strtok_r(NULL, " -", &save);
	int r;

	if (!first || strtok_r(NULL, " -", &save))
		return value_bad(why, value, "a range (10.0.0.10 - 10.0.0.99)");
	r = value_address(first, &out->first, why);
	if (!r)
		r = value_address(last ? last : first, &out->last, why);
	if (!r && out->last < out->first)
		r = value_bad(why, last, "behind the range's start");
	return r;
}

/* Words of a list, each through `each`. */
static int value_list(char *value, void *ctx, int (*each)(void *, const char *, struct why *),
		      struct why *why)
{
	char *save;
	int r = 0;

	for (char *word = strtok_r(value, " ,\t", &save); word && !r;
	     word = strtok_r(NULL, " ,\t", &save))
		r = each(ctx, word, why);
	return r;
}

/* ---- keys that are one field, and what it may be ---- */

struct field {
	enum field_kind { FIELD_NUMBER, FIELD_BOOL, FIELD_WORD, FIELD_ADDRESSES } kind;
	size_t at;		  /* in the struct that the section is read into */
	size_t size;		  /* of a number 2 or 4 */
	unsigned long min;	  /* of a number */
	unsigned long max;	  /* of a number; of addresses: how many */
	const char *const *words; /* as the enum has them, up to a NULL */
	size_t count;		  /* where the number of addresses is */
};

#define FIELD(type, member) .at = offsetof(type, member), .size = sizeof(((type *)NULL)->member)
#define NUMBER(type, member, low, high)                                                            \
	.field = {.kind = FIELD_NUMBER, FIELD(type, member), .min = (low), .max = (high)}
#define BOOL(type, member) .field = {.kind = FIELD_BOOL, FIELD(type, member)}
#define WORD(type, member, list) .field = {.kind = FIELD_WORD, FIELD(type, member), .words = (list)}
#define ADDRESSES(type, member, n)                                                                 \
	.field = {.kind = FIELD_ADDRESSES,                                                         \
		  FIELD(type, member),                                                             \
		  .max = ARRAY_SIZE(((type *)NULL)->member),                                       \
		  .count = offsetof(type, n)}

static int field_number(const struct field *f, void *at, const char *value, struct why *why)
{
	unsigned long n;
	int r = value_number(value, f->min, f->max, &n, why);

	if (r)
		return r;
	if (f->size == sizeof(uint16_t))
		*(uint16_t *)at = (uint16_t)n;
	else
		*(uint32_t *)at = (uint32_t)n;
	return 0;
}

struct addresses {
	uint32_t *list;
	unsigned int *n;
	unsigned long max;
};

static int address_add(void *ctx, const char *word, struct why *why)
{
	struct addresses *a = ctx;

	if (*a->n == a->max)
		return why_set(why, -EINVAL, "%s: one too many", word);
	return value_address(word, &a->list[(*a->n)++], why);
}

static int field_set(const struct field *f, void *in, char *value, struct why *why)
{
	void *at = (char *)in + f->at;
	struct addresses all = {at, (void *)((char *)in + f->count), f->max};

	switch (f->kind) {
	case FIELD_NUMBER:
		return field_number(f, at, value, why);
	case FIELD_BOOL:
		return value_bool(value, at, why);
	case FIELD_WORD:
		return value_word(value, f->words, at, why);
	default:
		return value_list(value, &all, address_add, why);
	}
}

/* ---- keys that are more ---- */

static int interface_each(void *ctx, const char *word, struct why *why)
{
	return config_add_interface(ctx, word, why);
}

static int admin_each(void *ctx, const char *word, struct why *why)
{
	struct config *c = ctx;
	struct nfs_network *net = &c->admin[c->nadmin];

	if (c->nadmin == CONFIG_ADMIN_MAX)
		return why_set(why, -EINVAL, "%s: one too many", word);
	c->nadmin++;
	return value_network(word, &net->address, &net->prefix, why);
}

static int loader_each(void *ctx, const char *word, struct why *why)
{
	struct config *c = ctx;

	if (word[0] != '/' || strlen(word) >= sizeof(c->loaders[0]) ||
	    c->nloaders == CONFIG_LOADERS_MAX)
		return value_bad(why, word, "the absolute path of a folder (at most 8)");
	snprintf(c->loaders[c->nloaders++], sizeof(c->loaders[0]), "%s", word);
	return 0;
}

static int take_tftp_ports(struct config *c, char *value, struct why *why)
{
	char *colon = strchr(value, ':');
	unsigned long first;
	unsigned long last;
	int r;

	if (!colon)
		return value_bad(why, value, "FIRST:LAST");
	*colon = '\0';
	r = value_number(value, 1024, 65535, &first, why);
	if (!r)
		r = value_number(colon + 1, first, 65535, &last, why);
	if (r)
		return r;
	c->tftp_first = (uint16_t)first;
	c->tftp_last = (uint16_t)last;
	return 0;
}

static int take_interface(struct config *c, char *value, struct why *why)
{
	return value_list(value, c, interface_each, why);
}

static int take_admin(struct config *c, char *value, struct why *why)
{
	return value_list(value, c, admin_each, why);
}

static int take_loaders(struct config *c, char *value, struct why *why)
{
	return value_list(value, c, loader_each, why);
}

static int take_mode(struct config *c, char *value, struct why *why)
{
	static const char *const words[] = {"full", "proxy", NULL};
	unsigned int word = c->dhcp.mode;
	int r = value_word(value, words, &word, why);

	c->dhcp.mode = (enum dhcp_mode)word;
	c->mode_given = true;
	return r;
}

static int take_log(struct config *c, char *value, struct why *why)
{
	return log_level_parse(value, &c->log)
		       ? value_bad(why, value, "one of error, warn, info, debug")
		       : 0;
}

static int take_metrics(struct config *c, char *value, struct why *why)
{
	int r = metrics_parse(value, why);

	if (!r)
		snprintf(c->metrics, sizeof(c->metrics), "%s", value);
	return r;
}

static const char *const unknown_words[] = {"boot", "pending", "ignore", NULL};
static const char *const squash_words[] = {"none", "root", "all", NULL};

static const struct server_key {
	const char *name;
	unsigned int parts; /* whom it concerns */
	int (*set)(struct config *c, char *value, struct why *why);
	struct field field; /* where there is no `set` */
} server_keys[] = {
	{"interface", CONFIG_OF_DHCP | CONFIG_OF_TFTP, .set = take_interface},
	{"mode", CONFIG_OF_DHCP, .set = take_mode},
	{"unknown", CONFIG_OF_DHCP | CONFIG_OF_TFTP,
	 WORD(struct config, dhcp.unknown, unknown_words)},
	{"authoritative", CONFIG_OF_DHCP, BOOL(struct config, dhcp.authoritative)},
	{"lease", CONFIG_OF_DHCP, NUMBER(struct config, dhcp.lease_secs, 60, UINT32_MAX - 1)},
	{"offer", CONFIG_OF_DHCP, NUMBER(struct config, dhcp.offer_secs, 5, 600)},
	{"nfs-port", CONFIG_OF_NFS, NUMBER(struct config, nfs_port, 1, 65535)},
	{"tftp-ports", CONFIG_OF_TFTP, .set = take_tftp_ports},
	{"tftp-single-port", CONFIG_OF_TFTP, BOOL(struct config, tftp_single_port)},
	{"loaders", CONFIG_OF_TFTP, .set = take_loaders},
	{"admin", CONFIG_OF_NFS, .set = take_admin},
	{"reserved-port", CONFIG_OF_NFS, BOOL(struct config, reserved_port)},
	{"squash", CONFIG_OF_NFS, WORD(struct config, squash, squash_words)},
	{"log", CONFIG_OF_ALL, .set = take_log},
	{"metrics", CONFIG_OF_METRICS, .set = take_metrics},
};

static int subnet_range(struct dhcp_range *list, unsigned int *n, unsigned int max, char *value,
			struct why *why)
{
	if (*n == max)
		return why_set(why, -EINVAL, "%s: one too many", value);
	return value_range(value, &list[(*n)++], why);
}

static int subnet_take_range(struct dhcp_subnet *s, char *value, struct why *why)
{
	return subnet_range(s->ranges, &s->nranges, ARRAY_SIZE(s->ranges), value, why);
}

static int subnet_take_exclude(struct dhcp_subnet *s, char *value, struct why *why)
{
	return subnet_range(s->excluded, &s->nexcluded, ARRAY_SIZE(s->excluded), value, why);
}

static int subnet_take_next_server(struct dhcp_subnet *s, char *value, struct why *why)
{
	return value_address(value, &s->next_server, why);
}

static int subnet_take_domain(struct dhcp_subnet *s, char *value, struct why *why)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.";

	if (!*value || strlen(value) >= sizeof(s->domain) || value[strspn(value, letters)])
		return value_bad(why, value, "a domain");
	snprintf(s->domain, sizeof(s->domain), "%s", value);
	return 0;
}

static const struct subnet_key {
	const char *name;
	int (*set)(struct dhcp_subnet *s, char *value, struct why *why);
	struct field field; /* where there is no `set` */
} subnet_keys[] = {
	{"range", .set = subnet_take_range},
	{"exclude", .set = subnet_take_exclude},
	{"router", ADDRESSES(struct dhcp_subnet, routers, nrouters)},
	{"dns", ADDRESSES(struct dhcp_subnet, dns, ndns)},
	{"ntp", ADDRESSES(struct dhcp_subnet, ntp, nntp)},
	{"domain", .set = subnet_take_domain},
	{"mtu", NUMBER(struct dhcp_subnet, mtu, 576, 65535)},
	{"lease", NUMBER(struct dhcp_subnet, lease_secs, 60, UINT32_MAX - 1)},
	{"next-server", .set = subnet_take_next_server},
	{"shared", NUMBER(struct dhcp_subnet, shared, 1, 65535)},
};

enum { KEY_UNKNOWN = 1 };

static const struct server_key *server_key_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(server_keys); i++)
		if (!strcmp(name, server_keys[i].name))
			return &server_keys[i];
	return NULL;
}

static int server_key(struct config *c, const char *name, char *value, struct why *why)
{
	const struct server_key *key = server_key_find(name);

	if (!key)
		return KEY_UNKNOWN;
	return key->set ? key->set(c, value, why) : field_set(&key->field, c, value, why);
}

static int subnet_key(struct dhcp_subnet *s, const char *name, char *value, struct why *why)
{
	unsigned int code;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(subnet_keys); i++) {
		const struct subnet_key *key = &subnet_keys[i];

		if (!strcmp(name, key->name))
			return key->set ? key->set(s, value, why)
					: field_set(&key->field, s, value, why);
	}
	r = option_code(name, &code, why);
	if (r)
		return r == OPTION_NO_KEY ? KEY_UNKNOWN : r;
	return dhcp_subnet_add_extra(s, code, value, why);
}

unsigned int config_key_parts(const char *section, const char *key)
{
	const struct server_key *found;

	if (strcmp(section, "server") != 0)
		return CONFIG_OF_DHCP; /* subnets */
	found = server_key_find(key);
	return found ? found->parts : CONFIG_OF_ALL;
}

void config_list_keys(FILE *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(server_keys); i++)
		fprintf(out, "key server %s\n", server_keys[i].name);
	for (size_t i = 0; i < ARRAY_SIZE(subnet_keys); i++)
		fprintf(out, "key subnet %s\n", subnet_keys[i].name);
	fprintf(out, "key subnet " OPTION_KEY "\n");
}

/* ---- the file ---- */

struct reading {
	struct config *config;
	const char *rest; /* of the text */
	const char *name;
	int line;
	char section[64]; /* "" before the first */
	struct dhcp_subnet *subnet;
	struct why *why;
	int r;
};

static int reading_fail(struct reading *rd, const char *what, const struct why *why, int r)
{
	if (!rd->r)
		rd->r = why_set(rd->why, r, "%s:%d: %s: %s", rd->name, rd->line, what,
				why_text(why, r));
	return 0;
}

static int section_enter(struct reading *rd, const char *section, struct why *why)
{
	uint8_t prefix;
	int r;

	snprintf(rd->section, sizeof(rd->section), "%s", section);
	rd->subnet = NULL;
	if (!strcmp(section, "server"))
		return 0;
	if (strncmp(section, "subnet ", 7))
		return why_set(why, -EINVAL, "no such section");
	rd->subnet = dhcp_config_add_subnet(&rd->config->dhcp);
	if (!rd->subnet)
		return -ENOMEM;
	r = value_network(section + 7, &rd->subnet->network, &prefix, why);
	if (!r && !strchr(section, '/'))
		r = value_bad(why, section + 7, "a network (10.0.0.0/24)");
	if (r)
		return r;
	rd->subnet->mask = prefix_mask(prefix);
	if (rd->subnet->network & ~rd->subnet->mask)
		return why_set(why, -EINVAL, "%s: has host bits", section + 7);
	return 0;
}

/* The library tells neither line numbers nor sections without keys: it gets its
 * lines from here, where both are seen. */
static char *next_line(char *out, int size, void *ctx)
{
	struct reading *rd = ctx;
	struct why why = {""};
	char section[64];
	size_t len = strcspn(rd->rest, "\n");
	const char *rest;
	size_t blank;
	int r;

	if (rd->r || !*rd->rest)
		return NULL;
	rd->line++;
	len += rd->rest[len] == '\n';
	if (len >= (size_t)size) {
		reading_fail(rd, "line", NULL, -E2BIG);
		return NULL;
	}
	rest = rd->rest;
	rd->rest += len;
	/* To the library a line that begins with a blank goes on with the value before. */
	blank = strspn(rest, " \t");
	memcpy(out, rest + blank, len - blank);
	out[len - blank] = '\0';
	if (sscanf(out, "[%63[^]]]", section) != 1)
		return out;
	r = section_enter(rd, section, &why);
	if (r)
		reading_fail(rd, section, &why, r);
	return out;
}

static int on_key(void *ctx, const char *section, const char *key, const char *value)
{
	struct reading *rd = ctx;
	struct why why = {""};
	char copy[512];
	int r;

	if (!rd->section[0])
		r = why_set(&why, -EINVAL, "stands before the first [section]");
	else if (snprintf(copy, sizeof(copy), "%s", value) >= (int)sizeof(copy))
		r = why_set(&why, -EINVAL, "too long");
	else
		r = rd->subnet ? subnet_key(rd->subnet, key, copy, &why)
			       : server_key(rd->config, key, copy, &why);
	if (r == KEY_UNKNOWN)
		r = why_set(&why, -EINVAL, "no such key in [%s]", section);
	return r ? reading_fail(rd, key, &why, r) : 1;
}

int config_text(int fd, char **out)
{
	cleanup(freep) char *text = malloc(CONFIG_TEXT_MAX + 1);
	size_t len = 0;
	ssize_t n = 1;

	if (!text)
		return -ENOMEM;
	while (len < CONFIG_TEXT_MAX && n > 0) {
		n = pread(fd, text + len, CONFIG_TEXT_MAX - len, (off_t)len);
		if (n < 0 && errno == ESPIPE)
			n = read(fd, text + len, CONFIG_TEXT_MAX - len);
		if (n < 0)
			return -errno;
		len += (size_t)n;
	}
	if (n > 0)
		return -EFBIG;
	text[len] = '\0';
	if (strlen(text) != len)
		return -EILSEQ;
	*out = take(&text);
	return 0;
}

int config_read(struct config *c, int fd, const char *name, struct why *why)
{
	struct reading rd = {.config = c, .name = name, .why = why};
	cleanup(freep) char *text = NULL;
	int r = config_text(fd, &text);
	int line;

	if (r)
		return why_set(why, r, "%s: cannot be read: %s", name,
			       r == -EILSEQ ? "has a NUL in it" : strerror(-r));
	rd.rest = text;
	line = ini_parse_stream(next_line, &rd, on_key, &rd);
	if (rd.r)
		return rd.r;
	if (line)
		return why_set(why, -EINVAL, "%s:%d: not a [section], KEY = VALUE or comment", name,
			       line);
	return 0;
}
