/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/boot_page.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"

/* The drawing, in units of its own: the page scales it. */
enum { WIDTH = 1000, LEFT = 108, RIGHT = 245, TOP = 34, ROW = 30, BAR = 16, BAR_MIN = 3 };

/* ---- what is known of it ---- */

static void put_time(char *out, size_t size, int64_t ns)
{
	time_t sec = (time_t)(ns / NS_PER_SEC);
	struct tm tm;

	*out = '\0';
	if (ns && localtime_r(&sec, &tm))
		strftime(out, size, "%Y-%m-%dT%H:%M:%S%z", &tm);
}

static struct page_fact *fact_add(struct page_fact *out, unsigned int *n, const char *key,
				  const char *value)
{
	struct page_fact *f = &out[(*n)++];

	f->key = key;
	snprintf(f->value, sizeof(f->value), "%s", value ? value : "");
	return f;
}

static void fact_time(struct page_fact *out, unsigned int *n, const char *key, int64_t ns)
{
	struct page_fact *f = fact_add(out, n, key, NULL);

	put_time(f->value, sizeof(f->value), ns);
}

unsigned int page_facts(const struct boot_page *page, struct page_fact out[static PAGE_FACTS])
{
	const struct story *s = page->story;
	unsigned int n = 0;
	char text[32] = "";

	if (s->id)
		snprintf(text, sizeof(text), "%" PRId64, s->id);
	fact_add(out, &n, "boot", text);
	fact_add(out, &n, "host", page->host);
	fact_add(out, &n, "mac", mac_format(&s->mac, text));
	fact_add(out, &n, "address", s->address ? ip4_format(s->address, text) : NULL);
	fact_add(out, &n, "image", page->image);
	fact_add(out, &n, "mode", root_mode_word(s->mode));
	fact_add(out, &n, "state", verdict_word(page->verdict->state));
	fact_time(out, &n, "opened", s->opened ? s->opened : page_start(s));
	fact_time(out, &n, "mounted", s->mounted);
	fact_time(out, &n, "init", s->init);
	fact_time(out, &n, "ended", s->ended);
	fact_add(out, &n, "ended_by", s->reason);
	return n;
}

static int64_t event_start(const struct story_event *e)
{
	return e->at - e->ms * NS_PER_MS;
}

int64_t page_start(const struct story *s)
{
	int64_t first = s->n ? event_start(&s->events[0]) : 0;

	for (unsigned int i = 1; i < s->n; i++)
		if (event_start(&s->events[i]) < first)
			first = event_start(&s->events[i]);
	return first;
}

/* ---- text, of which some came by the wire ---- */

static void put(FILE *out, const char *text)
{
	for (; *text; text++)
		switch (*text) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		case '\'':
			fputs("&#39;", out);
			break;
		default:
			fputc((unsigned char)*text < ' ' || *text == 127 ? '?' : *text, out);
		}
}

static void put_bytes(FILE *out, uint64_t bytes)
{
	static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes;
	unsigned int i = 0;

	while (value >= 1024 && i < 4) {
		value /= 1024;
		i++;
	}
	fprintf(out, i && value < 10 ? "%.1f %s" : "%.0f %s", value, unit[i]);
}

static void put_secs(FILE *out, int64_t ns)
{
	double secs = (double)ns / 1e9;

	if (secs < 1)
		fprintf(out, "%.0f ms", secs * 1e3);
	else
		fprintf(out, secs < 10 ? "%.2f s" : "%.1f s", secs);
}

/* ---- stages: all events of one step ---- */

struct stage {
	enum event_step step;
	int64_t from;
	int64_t to;
	uint64_t bytes;
	uint32_t again;
	unsigned int parts; /* that were done */
	bool trouble;	    /* the last thing told of it was one */
};

struct stages {
	struct stage list[EVENT_STEPS];
	unsigned int n;
	int64_t from;
	int64_t to;
};

static struct stage *stage_of(struct stages *all, enum event_step step, int64_t from)
{
	for (unsigned int i = 0; i < all->n; i++)
		if (all->list[i].step == step)
			return &all->list[i];
	all->list[all->n] = (struct stage){.step = step, .from = from, .to = from};
	return &all->list[all->n++];
}

static void stages_add(struct stages *all, const struct story_event *e)
{
	struct stage *s;

	if (!e->step || e->step >= EVENT_STEPS)
		return;
	s = stage_of(all, e->step, event_start(e));
	if (event_start(e) < s->from)
		s->from = event_start(e);
	if (e->at > s->to)
		s->to = e->at;
	s->bytes += e->bytes;
	s->again += e->again;
	s->parts += verdict_is_done(e);
	s->trouble = e->kind == EVENT_REFUSED || e->kind == EVENT_BROKEN;
}

static struct stages stages_of(const struct story *s)
{
	struct stages all = {.from = page_start(s)};
	int64_t mounted = 0;

	all.to = all.from;
	for (unsigned int i = 0; i < s->n; i++) {
		stages_add(&all, &s->events[i]);
		if (s->events[i].at > all.to)
			all.to = s->events[i].at;
		if (s->events[i].kind == EVENT_MOUNT && !mounted)
			mounted = s->events[i].at;
	}
	/* From the mount on it looks for its init. */
	for (unsigned int i = 0; i < all.n; i++)
		if (all.list[i].step == STEP_INIT && mounted && mounted < all.list[i].from)
			all.list[i].from = mounted;
	if (all.to == all.from)
		all.to += NS_PER_SEC;
	return all;
}

static const char *kind_of(enum event_step step)
{
	switch (step) {
	case STEP_ROM_DHCP:
	case STEP_LOADER_DHCP:
	case STEP_KERNEL_DHCP:
	case STEP_INITRD_DHCP:
	case STEP_OS_DHCP:
		return "dhcp";
	case STEP_PORTMAP:
	case STEP_MOUNT:
	case STEP_ROOT:
	case STEP_INIT:
		return "nfs";
	default:
		return "tftp";
	}
}

/* ---- the drawing ---- */

static double x_of(const struct stages *all, int64_t at)
{
	return LEFT +
	       (double)(at - all->from) / (double)(all->to - all->from) * (WIDTH - LEFT - RIGHT);
}

/* 1, 2 or 5 times a power of ten, so that there are five to ten of them. */
static double tick_of(double secs)
{
	double tick = 1e-3;

	for (unsigned int i = 0; secs / tick > 10; i++)
		tick *= i % 3 == 1 ? 2.5 : 2;
	return tick;
}

static void draw_axis(FILE *out, const struct stages *all, unsigned int rows)
{
	double secs = (double)(all->to - all->from) / 1e9;
	double tick = tick_of(secs);

	for (unsigned int i = 0; i * tick <= secs * 1.0001; i++) {
		double x = LEFT + i * tick / secs * (WIDTH - LEFT - RIGHT);

		fprintf(out, "<line class=grid x1=%.1f y1=%d x2=%.1f y2=%u />", x, TOP - 8, x,
			TOP + rows * ROW);
		fprintf(out, "<text class=tick x=%.1f y=%d>%g s</text>\n", x, TOP - 14, i * tick);
	}
}

static void draw_stage(FILE *out, const struct stages *all, const struct stage *s, unsigned int row,
		       bool stopped)
{
	double x = x_of(all, s->from);
	double width = x_of(all, s->to) - x;
	unsigned int y = TOP + row * ROW;
	const char *class = stopped || s->trouble ? "bad" : kind_of(s->step);
	double after;

	if (width < BAR_MIN)
		width = BAR_MIN;
	after = x + width + 8;
	fprintf(out, "<text class=name x=%d y=%u>%s</text>", LEFT - 12, y + ROW / 2 + 4,
		event_step_word(s->step));
	fprintf(out, "<rect class=%s x=%.1f y=%u width=%.1f height=%d rx=2 />", class, x,
		y + (ROW - BAR) / 2, width, BAR);
	fprintf(out, "<text class=note x=%.1f y=%u>", after, y + ROW / 2 + 4);
	if (s->to > s->from) {
		put_secs(out, s->to - s->from);
	} else {
		fputs("at ", out);
		put_secs(out, s->from - all->from);
	}
	if (!s->parts && !s->trouble && !strcmp(kind_of(s->step), "tftp"))
		fputs(" · nothing there", out);
	if (s->parts > 1 && !strcmp(kind_of(s->step), "tftp"))
		fprintf(out, " · %u files", s->parts);
	if (s->bytes && strcmp(kind_of(s->step), "nfs")) {
		fputs(" · ", out);
		put_bytes(out, s->bytes);
	}
	if (s->again)
		fprintf(out, " <tspan class=again>· %u sent again</tspan>", s->again);
	if (stopped)
		fputs(" <tspan class=stop>✕ stopped here</tspan>", out);
	fputs("</text>\n", out);
}

/* A stage that never began: an empty place behind all others. */
static void draw_missing(FILE *out, const struct stages *all, enum event_step step,
			 unsigned int row)
{
	unsigned int y = TOP + row * ROW;
	double x = x_of(all, all->to);

	fprintf(out, "<text class='name stop' x=%d y=%u>%s</text>", LEFT - 12, y + ROW / 2 + 4,
		event_step_word(step));
	fprintf(out, "<line class=never x1=%d y1=%u x2=%.1f y2=%u />", LEFT, y + ROW / 2, x,
		y + ROW / 2);
	fprintf(out, "<text class='note stop' x=%.1f y=%u>✕ never came</text>\n", x + 8,
		y + ROW / 2 + 4);
}

static void draw(FILE *out, const struct boot_page *page)
{
	struct stages all = stages_of(page->story);
	bool failed = page->verdict->state == VERDICT_FAILED && page->verdict->stopped;
	bool there = false;
	unsigned int rows;

	for (unsigned int i = 0; i < all.n; i++)
		there |= all.list[i].step == page->verdict->stopped;
	rows = all.n + (failed && !there);
	if (!rows)
		return;
	fprintf(out,
		"<figure><svg viewBox='0 0 %d %u' role=img aria-label='Stages of the boot on a "
		"time "
		"axis'>\n",
		WIDTH, TOP + rows * ROW + 6);
	draw_axis(out, &all, rows);
	for (unsigned int i = 0; i < all.n; i++)
		draw_stage(out, &all, &all.list[i], i,
			   failed && all.list[i].step == page->verdict->stopped);
	if (failed && !there)
		draw_missing(out, &all, page->verdict->stopped, all.n);
	fputs("</svg><figcaption><i class=dhcp></i>DHCP <i class=tftp></i>TFTP <i "
	      "class=nfs></i>NFS "
	      "<i class=bad></i>turned down, broken off or stopped</figcaption></figure>\n",
	      out);
}

/* ---- the page ---- */

static const char style[] =
	":root{color-scheme:light dark;--bg:#fdfdfc;--fg:#1d2327;--dim:#667079;--line:#e2e4e3;"
	"--dhcp:#3d77b8;--tftp:#2f8f7f;--nfs:#7d62b0;--bad:#c2412d;--warn:#8f6400;--panel:#fbeeea}"
	"\n"
	"@media(prefers-color-scheme:dark){:root{--bg:#16191b;--fg:#dfe3e4;--dim:#8f999f;"
	"--line:#2b3033;--dhcp:#6ba4e0;--tftp:#56b8a6;--nfs:#a78ddb;--bad:#ef7a66;--warn:#d9a83f;"
	"--panel:#2c1e1b}}\n"
	"*{box-sizing:border-box}body{margin:0 auto;padding:2.5rem 1.5rem 4rem;max-width:68rem;"
	"background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}\n"
	"h1{font-size:1.5rem;font-weight:600;margin:0 0 1.2rem}h1 span{color:var(--dim);"
	"font-weight:400}h2{font-size:1rem;font-weight:600;margin:2rem 0 .6rem}\n"
	"dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(12.5rem,1fr));"
	"gap:.7rem 1.5rem;margin:0}dt{color:var(--dim);font-size:.8rem}dd{margin:0;"
	"font-variant-numeric:tabular-nums}\n"
	".verdict{margin:1.6rem 0 0;padding:.9rem 1.1rem;border-left:3px solid var(--bad);"
	"background:var(--panel);border-radius:0 4px 4px 0}.verdict p{margin:.3rem 0}"
	".verdict p:first-child{margin-top:0;font-weight:600}.verdict code{color:var(--dim)}\n"
	"figure{margin:1.8rem 0 0;overflow-x:auto}svg{display:block;width:100%;min-width:44rem;"
	"height:auto}svg text{fill:var(--fg);font:12.5px system-ui,sans-serif}"
	"text.name{text-anchor:end}text.tick{text-anchor:middle;fill:var(--dim);font-size:11px}"
	"text.note{fill:var(--dim);paint-order:stroke;stroke:var(--bg);stroke-width:5px;"
	"font-variant-numeric:tabular-nums}.grid{stroke:var(--line)}"
	".never{stroke:var(--bad);stroke-width:1.2;stroke-dasharray:3 5}\n"
	"rect.dhcp,i.dhcp{fill:var(--dhcp);background:var(--dhcp)}rect.tftp,i.tftp{"
	"fill:var(--tftp);background:var(--tftp)}rect.nfs,i.nfs{fill:var(--nfs);"
	"background:var(--nfs)}rect.bad,i.bad{fill:var(--bad);background:var(--bad)}"
	"svg .stop{fill:var(--bad);font-weight:600}svg .again{fill:var(--warn)}\n"
	"figcaption{color:var(--dim);font-size:.8rem;margin-top:.6rem}figcaption i{"
	"display:inline-block;width:.75em;height:.75em;border-radius:2px;margin:0 .45em 0 1.1em}"
	"figcaption i:first-child{margin-left:0}\n"
	".events{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.85rem;"
	"font-variant-numeric:tabular-nums}th{text-align:left;font-weight:500;color:var(--dim)}"
	"th,td{padding:.28rem .9rem .28rem 0;border-bottom:1px solid var(--line);"
	"vertical-align:top;white-space:nowrap}td:last-child{white-space:normal;"
	"overflow-wrap:anywhere;min-width:18rem}td.r,th.r{text-align:right}tr.bad td{"
	"color:var(--bad)}td.again{color:var(--warn)}\n"
	"@media print{body{padding:0;max-width:none}.events,figure{overflow:visible}}\n";

static void write_head(FILE *out, const struct boot_page *page)
{
	char mac[MAC_TEXT];
	const char *name = page->host ? page->host : mac_format(&page->story->mac, mac);

	fputs("<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>\n"
	      "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; "
	      "style-src 'unsafe-inline'\">\n"
	      "<meta name=viewport content='width=device-width,initial-scale=1'>\n<title>",
	      out);
	put(out, name);
	fputs(": a boot</title>\n<style>\n", out);
	fputs(style, out);
	fputs("</style></head><body>\n<h1>", out);
	put(out, name);
	fputs(page->story->id ? " <span>boot " : " <span>a boot that got no address", out);
	if (page->story->id)
		fprintf(out, "%" PRId64, page->story->id);
	fprintf(out, ", %s</span></h1>\n", verdict_word(page->verdict->state));
}

static void write_facts(FILE *out, const struct boot_page *page)
{
	struct page_fact facts[PAGE_FACTS];
	unsigned int n = page_facts(page, facts);

	fputs("<dl>\n", out);
	for (unsigned int i = 0; i < n; i++) {
		/* The heading has those. */
		if (!*facts[i].value || !strcmp(facts[i].key, "boot") ||
		    !strcmp(facts[i].key, "host") || !strcmp(facts[i].key, "state"))
			continue;
		fputs("<div><dt>", out);
		put(out, !strcmp(facts[i].key, "ended_by") ? "ended by" : facts[i].key);
		fputs("</dt><dd>", out);
		put(out, facts[i].value);
		fputs("</dd></div>\n", out);
	}
	fputs("</dl>\n", out);
}

static void write_verdict(FILE *out, const struct verdict *v)
{
	if (!v->reason)
		return;
	fputs("<section class=verdict><p>", out);
	if (v->state == VERDICT_FAILED && v->stopped)
		fprintf(out, "Stopped at %s: ", event_step_word(v->stopped));
	put(out, v->reason);
	fputs("</p>\n", out);
	if (v->said) {
		fputs("<p><code>", out);
		put(out, v->said);
		fputs("</code></p>\n", out);
	}
	if (v->mend) {
		fputs("<p>Remedy: ", out);
		put(out, v->mend);
		fputs("</p>\n", out);
	}
	fputs("</section>\n", out);
}

static void write_events(FILE *out, const struct story *s)
{
	int64_t from = page_start(s);
	char address[IP4_TEXT];

	fputs("<h2>Events</h2>\n<div class=events><table><thead><tr><th class=r>seconds<th class=r>"
	      "took<th>stage<th>event<th>address<th class=r>bytes<th class=r>again<th>what</tr>"
	      "</thead><tbody>\n",
	      out);
	for (unsigned int i = 0; i < s->n; i++) {
		const struct story_event *e = &s->events[i];
		bool bad = e->kind == EVENT_REFUSED || e->kind == EVENT_BROKEN;

		fprintf(out, "<tr%s><td class=r>%.3f<td class=r>", bad ? " class=bad" : "",
			(double)(event_start(e) - from) / 1e9);
		if (e->ms)
			put_secs(out, e->ms * NS_PER_MS);
		fprintf(out, "<td>%s<td>%s<td>%s<td class=r>", event_step_word(e->step),
			event_word(e->kind), e->address ? ip4_format(e->address, address) : "");
		if (e->bytes)
			fprintf(out, "%" PRIu64, e->bytes);
		fputs("<td class='r again'>", out);
		if (e->again)
			fprintf(out, "%u", e->again);
		fputs("<td>", out);
		put(out, e->text);
		fputs("</tr>\n", out);
	}
	fputs("</tbody></table></div>\n", out);
}

int page_write(const struct boot_page *page, FILE *out)
{
	write_head(out, page);
	write_facts(out, page);
	write_verdict(out, page->verdict);
	draw(out, page);
	write_events(out, page->story);
	fputs("</body></html>\n", out);
	return fflush(out) || ferror(out) ? -EIO : 0;
}
