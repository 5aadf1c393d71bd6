/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dhcp/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/option.h"

void dhcp_config_init(struct dhcp_config *config)
{
	static const char *const files[FIRMWARE_KINDS] = {
		[FIRMWARE_NONE] = "",
		[FIRMWARE_BIOS] = "pxelinux.0",
		[FIRMWARE_IA32] = "bootia32.efi",
		[FIRMWARE_X64] = "bootx64.efi",
		[FIRMWARE_ARM32] = "bootarm.efi",
		[FIRMWARE_ARM64] = "bootaa64.efi",
		/* QEMU's ROM is iPXE, and a PXELINUX runs in it. */
		[FIRMWARE_IPXE_BIOS] = "pxelinux.0",
		[FIRMWARE_IPXE_UEFI] = "boot.ipxe",
		[FIRMWARE_UBOOT] = "",
		[FIRMWARE_OTHER] = "",
	};

	*config = (struct dhcp_config){
		.event_fd = -1,
		.lease_secs = 12 * 3600,
		.offer_secs = 30,
		.probe_ms = 200,
		.rate_burst = 40,
		.rate_ms = 100,
	};
	for (unsigned int i = 0; i < ARRAY_SIZE(config->interfaces); i++)
		config->interfaces[i].fds = DHCP_LINK_FDS_NONE;
	for (unsigned int i = 0; i < FIRMWARE_KINDS; i++)
		snprintf(config->boot_file[i], sizeof(config->boot_file[i]), "%s", files[i]);
}

void dhcp_config_fini(struct dhcp_config *config)
{
	for (unsigned int i = 0; i < config->nsubnets; i++)
		free(config->subnets[i].extras);
	free(config->subnets);
	config->subnets = NULL;
	config->nsubnets = 0;
}

struct dhcp_subnet *dhcp_config_add_subnet(struct dhcp_config *config)
{
	struct dhcp_subnet *bigger =
		realloc(config->subnets, (config->nsubnets + 1) * sizeof(*bigger));

	if (!bigger)
		return NULL;
	config->subnets = bigger;
	bigger[config->nsubnets] = (struct dhcp_subnet){0};
	return &bigger[config->nsubnets++];
}

int dhcp_subnet_add_extra(struct dhcp_subnet *subnet, unsigned int code, const char *text,
			  struct why *why)
{
	struct dhcp_extra *bigger;
	struct dhcp_extra *extra;
	int len;

	if (option_is_protocol(code))
		return why_set(why, -EINVAL, "option %u is the protocol's own", code);
	bigger = realloc(subnet->extras, (subnet->nextras + 1) * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	subnet->extras = bigger;
	extra = &bigger[subnet->nextras];
	len = option_parse(text, extra->data, sizeof(extra->data), why);
	if (len < 0)
		return len;
	extra->code = (uint8_t)code;
	extra->len = (uint8_t)len;
	subnet->nextras++;
	return 0;
}

static bool mask_is_contiguous(uint32_t mask)
{
	return !(~mask & (~mask + 1));
}

static int subnet_refuse(const struct dhcp_subnet *s, const char *what, uint32_t address,
			 struct why *why)
{
	char net[IP4_TEXT];
	char text[IP4_TEXT];

	return why_set(why, -EINVAL, "subnet %s/%d: %s %s", ip4_format(s->network, net),
		       __builtin_popcount(s->mask), what, ip4_format(address, text));
}

static int subnet_derive(struct dhcp_config *config, struct dhcp_subnet *s, struct why *why)
{
	uint32_t low = UINT32_MAX;
	uint32_t high = 0;
	uint64_t total = 0;

	if (!mask_is_contiguous(s->mask) || !s->mask)
		return subnet_refuse(s, "not a netmask:", s->mask, why);
	if (s->network & ~s->mask)
		return subnet_refuse(s, "has bits beyond its mask:", s->network, why);
	if (!s->lease_secs)
		s->lease_secs = config->lease_secs;
	if (!s->nranges) {
		/* The whole network but its two ends (a /31 or /32 has none to give). */
		uint32_t size = ~s->mask;

		if (size < 2)
			return config->mode == DHCP_MODE_PROXY
				       ? 0
				       : subnet_refuse(s, "no room for clients in", s->network,
						       why);
		if (size - 1 > DHCP_RANGE_MAX)
			size = DHCP_RANGE_MAX + 1;
		s->ranges[0] = (struct dhcp_range){s->network + 1, s->network + size - 1};
		s->nranges = 1;
	}
	for (unsigned int i = 0; i < s->nranges; i++) {
		const struct dhcp_range *r = &s->ranges[i];

		if (!dhcp_subnet_has(s, r->first))
			return subnet_refuse(s, "the range lies outside:", r->first, why);
		if (!dhcp_subnet_has(s, r->last))
			return subnet_refuse(s, "the range lies outside:", r->last, why);
		if (r->last < r->first)
			return subnet_refuse(s, "the range ends before it starts:", r->last, why);
		total += (uint64_t)r->last - r->first + 1;
		low = r->first < low ? r->first : low;
		high = r->last > high ? r->last : high;
	}
	if (total > DHCP_RANGE_MAX)
		return subnet_refuse(s, "over 1048576 addresses in its ranges, from", s->network,
				     why);
	/* The bitmap goes from the first to the last. */
	if (high - low >= 16 * (uint32_t)DHCP_RANGE_MAX)
		return subnet_refuse(s, "its ranges lie too far apart, from", low, why);
	return 0;
}

int dhcp_config_derive(struct dhcp_config *config, struct why *why)
{
	int r;

	if (!config->ninterfaces)
		return why_set(why, -EINVAL, "no interface is given");
	if (!config->lease_secs)
		config->lease_secs = 12 * 3600;
	for (unsigned int i = 0; i < config->ninterfaces && !config->nsubnets; i++) {
		const struct dhcp_interface *ifc = &config->interfaces[i];

		if (!ifc->address)
			return why_set(why, -EINVAL, "%s: has no IPv4 address", ifc->name);
	}
	if (!config->nsubnets)
		for (unsigned int i = 0; i < config->ninterfaces; i++) {
			const struct dhcp_interface *ifc = &config->interfaces[i];
			struct dhcp_subnet *s = dhcp_config_add_subnet(config);

			if (!s)
				return -ENOMEM;
			s->mask = ifc->netmask;
			s->network = ifc->address & ifc->netmask;
		}
	for (unsigned int i = 0; i < config->nsubnets; i++) {
		r = subnet_derive(config, &config->subnets[i], why);
		if (r)
			return r;
		for (unsigned int j = 0; j < i; j++)
			if (dhcp_subnet_has(&config->subnets[j], config->subnets[i].network) ||
			    dhcp_subnet_has(&config->subnets[i], config->subnets[j].network))
				return subnet_refuse(&config->subnets[i], "overlaps",
						     config->subnets[j].network, why);
	}
	return 0;
}
