/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Would the firewall let in what clients send?  The rules as `nft -j list ruleset` shows
 * them (those of iptables are there too) are followed for the first packet to each port:
 *
 *	input hook's chains --rules, jumps--> accept, drop, or the chain's policy
 *
 * What a rule asks that is not known of that packet (an address, a rate, a mark) is taken
 * as fulfilled where it lets in, and as not where it drops, and a statement that is not
 * known as one that lets in: only what is certain is said.
 */
#include "cli/doctor_parts.h"

#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

enum { RULESET_MOST = 16 << 20, JUMPS_MOST = 16 };

enum verdict { GOES_ON, ACCEPTED, DROPPED };
enum match { NO, YES, MAYBE };

struct rules {
	const cJSON *all; /* the array */
	const char *family;
	const char *table;
	const char *interface;
	const struct need *need;
};

static const char *text_of(const cJSON *object, const char *key)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));

	return text ? text : "";
}

static const cJSON *get(const cJSON *object, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(object, key);
}

static bool ours(const struct rules *r, const cJSON *object)
{
	return !strcmp(text_of(object, "family"), r->family) &&
	       !strcmp(text_of(object, "table"), r->table);
}

/* ---- values ---- */

static bool holds_value(const struct rules *r, const cJSON *right, const char *word, double number);

static bool holds_any(const struct rules *r, const cJSON *list, const char *word, double number)
{
	const cJSON *one;

	cJSON_ArrayForEach(one, list) if (holds_value(r, one, word, number)) return true;
	return false;
}

static bool holds_named(const struct rules *r, const char *name, const char *word, double number)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, r->all)
	{
		const cJSON *set = get(item, "set");

		if (set && ours(r, set) && !strcmp(text_of(set, "name"), name))
			return holds_any(r, get(set, "elem"), word, number);
	}
	return false;
}

/* Is it, or does it hold, the word or the number? */
static bool holds_value(const struct rules *r, const cJSON *right, const char *word, double number)
{
	const cJSON *range = get(right, "range");
	const char *text = cJSON_GetStringValue(right);

	if (cJSON_IsNumber(right))
		return right->valuedouble == number;
	if (text && *text == '@')
		return holds_named(r, text + 1, word, number);
	if (text) {
		size_t n = strlen(text);

		return word && (!strcmp(text, word) ||
				(n && text[n - 1] == '*' && !strncmp(text, word, n - 1)));
	}
	if (cJSON_IsArray(right))
		return holds_any(r, right, word, number);
	if (range && cJSON_IsNumber(cJSON_GetArrayItem(range, 0)) &&
	    cJSON_IsNumber(cJSON_GetArrayItem(range, 1)))
		return cJSON_GetArrayItem(range, 0)->valuedouble <= number &&
		       number <= cJSON_GetArrayItem(range, 1)->valuedouble;
	if (get(right, "set"))
		return holds_any(r, get(right, "set"), word, number);
	if (get(right, "elem"))
		return holds_value(r, get(get(right, "elem"), "val"), word, number);
	return false;
}

/* ---- one rule ---- */

/* Is the left side, a property of the packet, or is it not, one of those at the right? */
static enum match compare(const struct rules *r, const cJSON *left, const cJSON *right,
			  bool differs)
{
	const cJSON *payload = get(left, "payload");
	const cJSON *meta = get(left, "meta");
	const char *key = text_of(meta, "key");
	const char *proto = r->need->tcp ? "tcp" : "udp";
	bool yes;

	if (payload && !strcmp(text_of(payload, "field"), "dport")) {
		const char *of = text_of(payload, "protocol");

		yes = (!strcmp(of, proto) || !strcmp(of, "th")) &&
		      holds_value(r, right, NULL, r->need->port);
		if (strcmp(of, proto) && strcmp(of, "th"))
			return NO; /* of another protocol: also for != */
	} else if (meta && (!strcmp(key, "iif") || !strcmp(key, "iifname")) && *r->interface) {
		yes = holds_value(r, right, r->interface, -1);
	} else if (meta && !strcmp(key, "l4proto")) {
		yes = holds_value(r, right, proto, r->need->tcp ? 6 : 17);
	} else if (!strcmp(text_of(get(left, "ct"), "key"), "state")) {
		yes = holds_value(r, right, "new", 8);
	} else if (payload && (!strncmp(text_of(payload, "protocol"), "icmp", 4) ||
			       !strcmp(text_of(payload, "protocol"), "ip6"))) {
		return NO;
	} else {
		return MAYBE;
	}
	return yes != differs ? YES : NO;
}

static bool is_one_of(const cJSON *expr, const char *const names[])
{
	for (; *names; names++)
		if (get(expr, *names))
			return true;
	return false;
}

/* Of a packet that comes to a rule: for `sure`, or perhaps.  `over` is whether it then
 * leaves the chain, and goes on behind the last jump. */
struct step {
	const struct rules *r;
	int depth;
	bool sure;
	enum match *over;
};

static enum verdict chain_run(const struct rules *r, const char *chain, int depth);

static enum verdict verdict_run(const struct step *s, const cJSON *expr)
{
	const cJSON *jump = get(expr, "jump") ? get(expr, "jump") : get(expr, "goto");
	enum verdict v = GOES_ON;

	if (get(expr, "drop") || get(expr, "reject"))
		v = DROPPED;
	else if (jump)
		v = chain_run(s->r, text_of(jump, "target"), s->depth + 1);
	else if (!get(expr, "return") && !get(expr, "continue"))
		return ACCEPTED; /* or it is not known */
	if (v == GOES_ON && (get(expr, "return") || get(expr, "goto")))
		*s->over = s->sure ? YES : MAYBE;
	return v == DROPPED && !s->sure ? GOES_ON : v;
}

static enum verdict vmap_run(const struct step *s, const cJSON *vmap)
{
	const cJSON *pairs = get(get(vmap, "data"), "set");
	const cJSON *pair;

	if (!cJSON_IsArray(pairs))
		return ACCEPTED;
	cJSON_ArrayForEach(pair, pairs)
	{
		const cJSON *value = cJSON_GetArrayItem(pair, 0);
		const char *text = cJSON_GetStringValue(value);
		enum match m = text && !strcmp(text, "*")
				       ? MAYBE
				       : compare(s->r, get(vmap, "key"), value, false);
		struct step one = *s;
		enum verdict v;

		if (m == NO)
			continue;
		one.sure &= m == YES;
		v = verdict_run(&one, cJSON_GetArrayItem(pair, 1));
		if (m == YES || v != GOES_ON)
			return v;
	}
	return GOES_ON;
}

static enum verdict rule_run(const struct rules *r, const cJSON *rule, int depth, enum match *over)
{
	static const char *const asks[] = {"xt",  "limit", "quota", "ct count",
					   "set", "map",   "meter", NULL};
	static const char *const idle[] = {"counter", "log", "mangle", "notrack", "last", NULL};
	struct step s = {.r = r, .depth = depth, .sure = true, .over = over};
	const cJSON *expr;

	cJSON_ArrayForEach(expr, get(rule, "expr"))
	{
		const cJSON *match = get(expr, "match");

		if (match) {
			enum match m = compare(r, get(match, "left"), get(match, "right"),
					       !strcmp(text_of(match, "op"), "!="));

			if (m == NO)
				return GOES_ON;
			s.sure &= m == YES;
		} else if (is_one_of(expr, asks)) {
			s.sure = false;
		} else if (get(expr, "vmap")) {
			return vmap_run(&s, get(expr, "vmap"));
		} else if (!is_one_of(expr, idle)) {
			return verdict_run(&s, expr);
		}
	}
	return GOES_ON;
}

static enum verdict chain_run(const struct rules *r, const char *chain, int depth)
{
	enum match over = NO;
	const cJSON *item;

	if (depth > JUMPS_MOST)
		return ACCEPTED;
	cJSON_ArrayForEach(item, r->all)
	{
		const cJSON *rule = get(item, "rule");
		enum verdict v;

		if (!rule || !ours(r, rule) || strcmp(text_of(rule, "chain"), chain))
			continue;
		v = rule_run(r, rule, depth, &over);
		/* Not if it has perhaps left the chain before. */
		if (v == DROPPED && over == MAYBE)
			return GOES_ON;
		if (v != GOES_ON || over == YES)
			return v;
	}
	return GOES_ON;
}

/* ---- all of them ---- */

static const char *mend(const struct rules *r, const char *chain, const char *ports, char out[300])
{
	if (!strcmp(r->table, "firewalld"))
		snprintf(out, 300,
			 "firewall-cmd --permanent --add-service=dhcp --add-service=tftp "
			 "--add-service=rpc-bind --add-service=nfs3 --add-port=4011/udp; "
			 "firewall-cmd --reload");
	else
		snprintf(out, 300, "nft insert rule %s %s %s %s%s%.80s accept", r->family, r->table,
			 chain, *r->interface ? "iifname " : "", r->interface, ports);
	return out;
}

static void look_at_chain(struct doctor *d, struct rules *r, const cJSON *chain)
{
	const char *name = text_of(chain, "name");
	bool drops = !strcmp(text_of(chain, "policy"), "drop");
	unsigned int n;
	const struct need *needs = doctor_needs(d, &n);
	char list[200] = "";
	char ports[100] = "";
	char text[300];
	size_t at = 0;
	size_t ports_at = 0;

	for (unsigned int i = 0; i < n; i++) {
		enum verdict v;

		r->need = &needs[i];
		v = chain_run(r, name, 0);
		if (v == ACCEPTED || (v == GOES_ON && !drops))
			continue;
		at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s %u (%s)", at ? ", " : "",
				       needs[i].tcp ? "TCP" : "UDP", needs[i].port, needs[i].what);
		ports_at += (size_t)snprintf(ports + ports_at, sizeof(ports) - ports_at, "%s%u",
					     ports_at ? ", " : " th dport { ", needs[i].port);
		if (at >= sizeof(list) - 40 || ports_at >= sizeof(ports) - 10)
			break;
	}
	if (!at)
		return;
	snprintf(ports + ports_at, sizeof(ports) - ports_at, " }");
	finding(d->f, FINDING_ERROR, "firewall", mend(r, name, ports, text),
		"chain %s of table %s %s%s%s drops what comes to %s", name, r->family, r->table,
		*r->interface ? " on " : "", r->interface, list);
}

static void look_at_rules(struct doctor *d, const cJSON *all)
{
	unsigned int before = findings_errors(d->f);
	unsigned int n = d->config.ninterfaces ? d->config.ninterfaces : 1;
	const cJSON *item;

	cJSON_ArrayForEach(item, all)
	{
		const cJSON *chain = get(item, "chain");
		struct rules r = {.all = all};

		if (!chain || strcmp(text_of(chain, "hook"), "input") ||
		    strcmp(text_of(chain, "type"), "filter") ||
		    !strcmp(text_of(chain, "family"), "ip6"))
			continue;
		r.family = text_of(chain, "family");
		r.table = text_of(chain, "table");
		for (unsigned int i = 0; i < n; i++) {
			r.interface = d->config.ninterfaces ? d->config.interfaces[i] : "";
			look_at_chain(d, &r, chain);
		}
	}
	if (findings_errors(d->f) == before)
		finding(d->f, FINDING_OK, "firewall", NULL, "no rule keeps clients out");
}

void doctor_firewall(struct doctor *d)
{
	cleanup(freep) char *text = malloc(RULESET_MOST + 1);
	FILE *nft;
	cJSON *json;
	size_t n;

	if (!text)
		return;
	nft = popen("PATH=$PATH:/usr/sbin:/sbin nft -j list ruleset 2>/dev/null", "re");
	n = nft ? fread(text, 1, RULESET_MOST, nft) : 0;
	text[n] = '\0';
	if (!nft || pclose(nft) || !n) {
		finding(d->f, FINDING_WARN, "firewall", "apt-get install nftables",
			"its rules were not looked at: nft is not here, or may not list them");
		return;
	}
	json = cJSON_Parse(text);
	if (json)
		look_at_rules(d, get(json, "nftables"));
	else
		finding(d->f, FINDING_WARN, "firewall", "apt-get install --reinstall nftables",
			"its rules cannot be read: nft wrote no JSON");
	cJSON_Delete(json);
}
