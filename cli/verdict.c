/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/verdict.h"

#include <string.h>

#include "common/clock.h"

/* A kernel that starts slowly says nothing for a minute or more; a client that mounts waits
 * half a minute between two tries. */
#define PATIENCE_NS (150 * NS_PER_SEC)

#define DHCP_STEPS                                                                                 \
	(BIT(STEP_ROM_DHCP) | BIT(STEP_LOADER_DHCP) | BIT(STEP_KERNEL_DHCP) |                      \
	 BIT(STEP_INITRD_DHCP) | BIT(STEP_OS_DHCP))
#define LATE_DHCP (BIT(STEP_KERNEL_DHCP) | BIT(STEP_INITRD_DHCP))
#define BIT(step) (UINT32_C(1) << (step))
#define FILES                                                                                      \
	(BIT(STEP_LOADER) | BIT(STEP_MODULE) | BIT(STEP_MENU) | BIT(STEP_KERNEL) |                 \
	 BIT(STEP_INITRD) | BIT(STEP_FILE))
#define NFS (BIT(STEP_PORTMAP) | BIT(STEP_MOUNT) | BIT(STEP_ROOT) | BIT(STEP_INIT))

/* The first rule that fits is the verdict.  Empty fields ask nothing. */
struct rule {
	/* What was told last, and nothing came after: */
	uint32_t trouble; /* EVENT_REFUSED, EVENT_BROKEN, EVENT_ABSENT */
	uint32_t at;	  /* bits of steps: at one of these */
	const char *said; /* in these words: a piece of them */
	/* How far it came: */
	uint32_t done;	    /* bits of steps: all of these */
	uint32_t undone;    /* none of these */
	uint32_t begun;	    /* at one of these something happened, done or not */
	const char *client; /* the firmware's DHCP named this class */

	enum event_step stopped; /* NONE: where the trouble was */
	const char *reason;
	const char *mend;
};

static const struct rule rules[] = {
	/* ---- DHCP turned it down ---- */
	{.trouble = EVENT_REFUSED,
	 .said = "in no subnet of the configuration",
	 .reason = "it asks from a network that the configuration has no subnet for",
	 .mend = "add a [subnet] for that network to the configuration, or plug the machine "
		 "into a network that has one"},
	{.trouble = EVENT_REFUSED,
	 .said = "of another network",
	 .reason = "the address that it asks for is of another network than it is in",
	 .mend = "give the host an address of this network: rootstock host set HOST address="},
	{.trouble = EVENT_REFUSED,
	 .said = "no address is left",
	 .reason = "all addresses of the range are given out",
	 .mend = "give the subnet a larger range in the configuration"},
	{.trouble = EVENT_REFUSED,
	 .said = "waits for approval",
	 .reason = "nobody has approved this machine yet",
	 .mend = "rootstock host approve HOST"},
	{.trouble = EVENT_REFUSED,
	 .said = "no loader is known for this architecture",
	 .reason = "no boot loader is known for its kind of machine",
	 .mend = "name one: rootstock host set HOST loader=FILE"},
	{.trouble = EVENT_REFUSED,
	 .said = "UEFI HTTP boot is not served",
	 .reason = "its firmware boots by HTTP, which is not served",
	 .mend = "choose PXE over IPv4 in the firmware's boot menu"},
	{.trouble = EVENT_REFUSED,
	 .said = "declined: in use",
	 .reason = "another machine uses the address that it was given",
	 .mend = "find that machine by its ARP entry, or take the address out of the range"},
	{.trouble = EVENT_REFUSED,
	 .said = "in use by another machine",
	 .reason = "another machine uses the address that is reserved for it",
	 .mend = "rootstock lease list shows who has it"},
	{.trouble = EVENT_REFUSED,
	 .said = "sends too much",
	 .reason = "it asks more often than the rate limit allows",
	 .mend = "look for a loop: two machines with one MAC, or a loader that fails at once"},
	{.trouble = EVENT_REFUSED,
	 .at = DHCP_STEPS,
	 .reason = "DHCP turned it down",
	 .mend = "rootstock lease list and rootstock host show HOST tell what it may have"},

	/* ---- TFTP turned it down ---- */
	{.trouble = EVENT_REFUSED,
	 .at = FILES,
	 .said = "no kernel in its view",
	 .reason = "its image has no kernel",
	 .mend = "install one in the image and add it again, or name it: rootstock host set HOST "
		 "kernel=PATH; rootstock image check says what else lacks"},
	{.trouble = EVENT_REFUSED,
	 .at = FILES,
	 .said = "no such file in its view",
	 .reason = "a file that the host's settings name is not in its view",
	 .mend = "mend the setting that is named: rootstock host set HOST KEY=PATH"},
	{.trouble = EVENT_REFUSED,
	 .at = FILES,
	 .said = "has no image",
	 .reason = "the host has no image",
	 .mend = "rootstock image add, or rootstock host set HOST image=NAME"},
	{.trouble = EVENT_REFUSED,
	 .at = FILES,
	 .said = "not installed here",
	 .reason = "the boot loader that it asks for is not installed on the server",
	 .mend = "install the package that is named"},
	{.trouble = EVENT_REFUSED,
	 .at = FILES,
	 .said = "host approve",
	 .reason = "nobody has approved this machine yet",
	 .mend = "rootstock host approve HOST"},
	{.trouble = EVENT_REFUSED,
	 .at = FILES,
	 .said = "no machine is registered",
	 .reason = "it asks from an address that no registered machine has",
	 .mend = "rootstock host add MAC; behind a router or NAT, addresses must arrive as they "
		 "were sent"},
	{.trouble = EVENT_REFUSED,
	 .at = FILES,
	 .said = "boots without an initrd",
	 .reason = "its loader asks for an initrd, and the host boots without one",
	 .mend = "the loader has a menu of before: boot it again"},
	{.trouble = EVENT_REFUSED,
	 .at = FILES,
	 .said = "not readable by everybody",
	 .reason = "it asks for a file that not everybody may read, which TFTP does not give",
	 .mend = "rootstock overlay attr HOST PATH --mode 0644, if everybody may have it"},
	{.trouble = EVENT_REFUSED,
	 .at = FILES,
	 .said = "error",
	 .reason = "the server cannot read the file",
	 .mend = "rootstock image check --bytes says which files are damaged; the log of the "
		 "copier says why"},
	{.trouble = EVENT_REFUSED,
	 .at = FILES,
	 .reason = "TFTP turned it down",
	 .mend = "rootstock boot plan HOST shows what it should ask for"},

	/* ---- TFTP began, and did not come to the end ---- */
	{.trouble = EVENT_BROKEN,
	 .at = FILES,
	 .said = "no answer",
	 .reason = "packets to it are lost: it stopped answering in the middle of a file",
	 .mend = "look at the cable, the switch, and a firewall on the transfer ports "
		 "(tftp-ports in the configuration; tftp-single-port needs one alone)"},
	{.trouble = EVENT_BROKEN,
	 .at = FILES,
	 .said = "its port is closed",
	 .reason = "it gave the transfer up before the end",
	 .mend = "most often packets are lost or late: look at the network, or set a smaller "
		 "block size"},
	{.trouble = EVENT_BROKEN,
	 .at = FILES,
	 .said = "the client closed it",
	 .reason = "it closed the transfer before the end",
	 .mend = "a loader does so when it has no memory for the file: give the machine more, "
		 "or a smaller initrd"},
	{.trouble = EVENT_BROKEN,
	 .at = FILES,
	 .said = "bytes do not come",
	 .reason = "the server waits for the image's origin in vain",
	 .mend = "the origin's disk is slow or gone: the log of the copier says which"},
	{.trouble = EVENT_BROKEN,
	 .at = FILES,
	 .said = "not registered yet",
	 .reason = "the server could not register it in time",
	 .mend = "somebody holds the database, or its disk is full: the log of the server says "
		 "which; rootstock host add MAC does it by hand"},
	{.trouble = EVENT_BROKEN,
	 .at = FILES,
	 .reason = "the server cannot read the file",
	 .mend = "rootstock image check --bytes says which files are damaged; the log of the "
		 "copier says why"},

	/* ---- NFS turned it down ---- */
	{.trouble = EVENT_REFUSED,
	 .at = NFS,
	 .said = "vers=3",
	 .stopped = STEP_MOUNT,
	 .reason = "it asks for NFS version 2 or 4; version 3 is served",
	 .mend = "put vers=3 into its nfsroot options, as the command line does that rootstock "
		 "renders: rootstock boot plan HOST"},
	{.trouble = EVENT_REFUSED,
	 .at = NFS,
	 .said = "not a reserved one",
	 .reason = "it calls from a port above 1023",
	 .mend = "a NAT or a client without privileges stands between; or set "
		 "reserved-port = no in the configuration"},
	{.trouble = EVENT_REFUSED,
	 .at = NFS,
	 .said = "no host has this address",
	 .reason = "it mounts from an address that no host has, by lease or reservation",
	 .mend = "it must boot with the address that DHCP gives it: ip=dhcp; or reserve that "
		 "one: rootstock host set HOST address="},
	{.trouble = EVENT_REFUSED,
	 .at = NFS,
	 .said = "no known host has this address",
	 .reason = "it reads from an address that no host has, by lease or reservation",
	 .mend = "it must keep the address that DHCP gives it: nothing in the image may "
		 "configure the boot interface again"},
	{.trouble = EVENT_REFUSED,
	 .at = NFS,
	 .said = "not registered",
	 .reason = "it is not registered",
	 .mend = "rootstock host add MAC"},
	{.trouble = EVENT_REFUSED,
	 .at = NFS,
	 .said = "is pending",
	 .reason = "nobody has approved this machine yet",
	 .mend = "rootstock host approve HOST"},
	{.trouble = EVENT_REFUSED,
	 .at = NFS,
	 .said = "no image for this host",
	 .reason = "the host has no image",
	 .mend = "rootstock image add, or rootstock host set HOST image=NAME"},
	{.trouble = EVENT_REFUSED,
	 .at = NFS,
	 .said = "another host's",
	 .reason = "it holds on to a root that is another host's: its address moved",
	 .mend = "two machines use one address, or it was taken over while it ran: rootstock "
		 "lease list"},
	{.trouble = EVENT_REFUSED,
	 .at = BIT(STEP_MOUNT),
	 .said = "no such directory",
	 .reason = "it asks for a directory that is not in its root",
	 .mend = "its own root is /: nfsroot=SERVER:/"},
	{.trouble = EVENT_REFUSED,
	 .at = NFS,
	 .reason = "its mount was turned down",
	 .mend = "its own root is /: nfsroot=SERVER:/; rootstock boot plan HOST shows the whole "
		 "command line"},
	{.trouble = EVENT_BROKEN,
	 .at = NFS,
	 .reason = "a file of its root cannot be read",
	 .mend = "rootstock image check --bytes says which files are damaged; the log of the "
		 "copier says why"},

	/* ---- silence: what should have come next? ---- */
	{.done = BIT(STEP_MOUNT),
	 .undone = BIT(STEP_INIT),
	 .stopped = STEP_INIT,
	 .reason = "it has mounted its root, and never read its first program",
	 .mend = "the first program is missing or not executable (rootstock image check; init= on "
		 "the command line), or large packets are lost: the MTU must be one along the way"},
	{.done = BIT(STEP_PORTMAP),
	 .undone = BIT(STEP_MOUNT),
	 .stopped = STEP_MOUNT,
	 .said = "port 0",
	 .reason = "it asked the port mapper for a program that is not served, and went no "
		   "further",
	 .mend = "put vers=3,tcp into its nfsroot options: rootstock boot plan HOST"},
	{.done = BIT(STEP_PORTMAP),
	 .undone = BIT(STEP_MOUNT),
	 .stopped = STEP_MOUNT,
	 .reason = "it asked the port mapper where NFS is, and never came there",
	 .mend = "a firewall drops the NFS port (2049), by TCP or UDP: rootstock doctor"},
	{.done = BIT(STEP_INITRD_DHCP),
	 .undone = NFS,
	 .stopped = STEP_MOUNT,
	 .reason = "its initrd has an address, and asked nothing of NFS here",
	 .mend = "another program answers on port 111 in place of the port mapper, or a firewall "
		 "drops it (rootstock doctor); or nfsroot= names another server"},
	{.done = BIT(STEP_KERNEL_DHCP),
	 .undone = NFS,
	 .stopped = STEP_MOUNT,
	 .reason = "its kernel has an address, and asked nothing of NFS here",
	 .mend = "root=/dev/nfs and nfsroot= must be on its command line (rootstock boot plan "
		 "HOST), and port 111 must be reached: rootstock doctor"},
	{.begun = LATE_DHCP,
	 .undone = LATE_DHCP | NFS,
	 .said = "offer",
	 .reason = "it was offered an address, and did not take it",
	 .mend = "another DHCP server was faster (its log, or rootstock doctor), or the offer "
		 "does not reach it"},
	{.begun = LATE_DHCP,
	 .undone = LATE_DHCP | NFS,
	 .reason = "it asked for an address once more, and was offered none",
	 .mend = "the log of dhcp says why; a switch that has just seen the link come up may "
		 "drop the first half minute (spanning tree: set the port to portfast)"},
	{.done = BIT(STEP_INITRD),
	 .undone = LATE_DHCP | BIT(STEP_OS_DHCP) | NFS,
	 .stopped = STEP_INITRD_DHCP,
	 .reason = "kernel and initrd were sent, and nothing asked for an address then: the "
		   "initrd lacks the driver of the network card, or the kernel does not start",
	 .mend = "put the driver into the initrd (MODULES=most in the image's "
		 "/etc/initramfs-tools/initramfs.conf and update-initramfs -u, or dracut "
		 "--no-hostonly), and add the image again; the machine's console says more"},
	{.done = BIT(STEP_KERNEL),
	 .undone = BIT(STEP_INITRD) | LATE_DHCP | BIT(STEP_OS_DHCP) | NFS,
	 .begun = BIT(STEP_INITRD),
	 .stopped = STEP_INITRD,
	 .reason = "the kernel was sent, and its initrd was not sent whole",
	 .mend = "the lines above say what became of it"},
	{.done = BIT(STEP_KERNEL),
	 .undone = BIT(STEP_INITRD) | LATE_DHCP | BIT(STEP_OS_DHCP) | NFS,
	 .stopped = STEP_KERNEL_DHCP,
	 .reason = "the kernel was sent, and neither asked for an address nor was an initrd "
		   "asked for",
	 .mend = "a kernel without an initrd needs CONFIG_IP_PNP, CONFIG_ROOT_NFS and the driver "
		 "of the network card built in; the machine's console says more"},
	{.done = BIT(STEP_MENU),
	 .undone = BIT(STEP_KERNEL) | LATE_DHCP | NFS,
	 .stopped = STEP_KERNEL,
	 .reason = "its menu was sent, and the kernel was not asked for",
	 .mend = "somebody at the machine chooses (menu=), or chose the local disk; or the "
		 "loader cannot read the menu: its screen says why"},
	{.done = BIT(STEP_LOADER),
	 .undone = BIT(STEP_MENU) | BIT(STEP_KERNEL) | LATE_DHCP | NFS,
	 .client = "class=uefi",
	 .stopped = STEP_MENU,
	 .reason = "its loader was sent, and asked for nothing: the firmware does not start it",
	 .mend = "with Secure Boot on, set loader=shimx64.efi, or turn it off; else the loader is "
		 "of another architecture than the firmware"},
	{.done = BIT(STEP_LOADER),
	 .undone = BIT(STEP_MENU) | BIT(STEP_KERNEL) | LATE_DHCP | NFS,
	 .stopped = STEP_MENU,
	 .reason = "its loader was sent, and asked for no menu: it does not start, or finds no "
		   "network",
	 .mend = "try another one: rootstock host set HOST loader=FILE; its screen says more"},
	{.trouble = EVENT_ABSENT,
	 .reason = "it asked for a file that is not there, and for nothing after",
	 .mend = "rootstock boot plan HOST shows what there is"},
	{.done = BIT(STEP_LOADER_DHCP),
	 .undone = FILES | LATE_DHCP | NFS,
	 .stopped = STEP_MENU,
	 .reason = "iPXE has an address, and asked for no file here",
	 .mend = "another DHCP server names another one to it, or a firewall drops UDP port 69: "
		 "rootstock doctor"},
	{.done = BIT(STEP_ROM_DHCP),
	 .undone = FILES | LATE_DHCP | NFS,
	 .stopped = STEP_LOADER,
	 .reason = "its firmware has an address, and asked for no loader here",
	 .mend = "another DHCP server names another one to it, or a firewall drops UDP port 69: "
		 "rootstock doctor"},
	{.done = BIT(STEP_OS_DHCP),
	 .undone = FILES | LATE_DHCP | NFS,
	 .stopped = STEP_LOADER,
	 .reason = "a program that boots nothing asked for an address, a running system most "
		   "likely",
	 .mend = "choose the network as the first boot device in the firmware"},
	{.begun = DHCP_STEPS,
	 .undone = DHCP_STEPS | NFS,
	 .said = "offer",
	 .reason = "it was offered an address, and did not take it",
	 .mend = "another DHCP server was faster (its log, or rootstock doctor), or the offer does "
		 "not reach it"},
	{.begun = DHCP_STEPS,
	 .undone = DHCP_STEPS | NFS,
	 .reason = "it asked for an address, and was offered none",
	 .mend = "the policy for unknown machines is to ignore them: rootstock host add MAC"},
	{.begun = FILES | NFS, .reason = "it went no further", .mend = NULL},
	{.reason = "nothing was told of it", .mend = NULL},
};

/* ---- what a story comes to ---- */

struct facts {
	uint32_t done;
	uint32_t begun;
	enum event_step reached;
	const struct story_event *trouble; /* that nothing came after; NULL */
	const struct story_event *last;
	const char *client; /* the firmware's first DHCP */
};

bool verdict_is_done(const struct story_event *e)
{
	switch (e->kind) {
	case EVENT_ACK:
	case EVENT_LOADER:
	case EVENT_FILE:
	case EVENT_PORTMAP:
	case EVENT_MOUNT:
	case EVENT_INIT:
		return true;
	default:
		return false;
	}
}

static bool is_trouble(const struct story_event *e)
{
	return e->kind == EVENT_REFUSED || e->kind == EVENT_BROKEN;
}

static void facts_add(struct facts *f, const struct story_event *e)
{
	f->last = e;
	f->begun |= BIT(e->step);
	if (is_trouble(e)) {
		f->trouble = e;
		return;
	}
	if (!verdict_is_done(e))
		return;
	if (!f->client && e->kind == EVENT_ACK)
		f->client = e->text;
	f->done |= BIT(e->step);
	if (e->step > f->reached)
		f->reached = e->step;
	/* It went on: over what it may do without, or at its next try. */
	if (f->trouble && e->step >= f->trouble->step)
		f->trouble = NULL;
}

static bool says(const struct rule *rule, const struct facts *f)
{
	const struct story_event *e = f->trouble ? f->trouble : f->last;

	if (!rule->said)
		return true;
	if (!strcmp(rule->said, "offer"))
		return e && e->kind == EVENT_OFFER;
	return e && strstr(e->text, rule->said);
}

static bool fits(const struct rule *rule, const struct facts *f)
{
	if (rule->trouble == EVENT_ABSENT) {
		if (!f->last || f->last->kind != EVENT_ABSENT)
			return false;
	} else if (rule->trouble && (!f->trouble || f->trouble->kind != rule->trouble)) {
		return false;
	}
	if (rule->at && !(f->trouble && rule->at & BIT(f->trouble->step)))
		return false;
	return says(rule, f) && (f->done & rule->done) == rule->done && !(f->done & rule->undone) &&
	       (!rule->begun || f->begun & rule->begun) &&
	       (!rule->client || (f->client && strstr(f->client, rule->client)));
}

static const struct rule *rule_for(const struct facts *f)
{
	const struct rule *rule = rules;

	while (!fits(rule, f))
		rule++; /* the last one fits all */
	return rule;
}

static enum event_step stopped_at(const struct rule *rule, const struct facts *f)
{
	const struct story_event *e = f->trouble ? f->trouble : f->last;

	if (rule->stopped || !e)
		return rule->stopped;
	return e->step;
}

static bool is_under_way(const struct story *s, const struct facts *f, int64_t now)
{
	return !s->ended && !s->next && !f->trouble && f->last && now - f->last->at < PATIENCE_NS;
}

void verdict_of(const struct story *s, int64_t now, struct verdict *out)
{
	struct facts f = {0};
	const struct rule *rule;

	for (unsigned int i = 0; i < s->n; i++)
		facts_add(&f, &s->events[i]);
	if (s->mounted)
		f.done |= BIT(STEP_MOUNT);
	if (s->init)
		f.done |= BIT(STEP_INIT);
	for (unsigned int step = f.reached; step < EVENT_STEPS; step++)
		if (f.done & BIT(step))
			f.reached = step;
	*out = (struct verdict){.reached = f.reached};
	if (f.done & BIT(STEP_INIT)) {
		out->state = s->ended ? VERDICT_OVER : VERDICT_RUNNING;
		if (!f.trouble || !(BIT(f.trouble->step) & NFS))
			return;
	} else {
		out->state = is_under_way(s, &f, now) ? VERDICT_UNDER_WAY : VERDICT_FAILED;
		if (out->state != VERDICT_FAILED)
			return;
	}
	rule = rule_for(&f);
	out->reason = rule->reason;
	out->mend = rule->mend;
	if (out->state == VERDICT_FAILED)
		out->stopped = stopped_at(rule, &f);
	if (f.trouble)
		out->said = f.trouble->text;
	else if (rule->trouble == EVENT_ABSENT)
		out->said = f.last->text;
}

const char *verdict_word(enum verdict_state state)
{
	static const char *const word[] = {
		[VERDICT_UNDER_WAY] = "under way",
		[VERDICT_RUNNING] = "running",
		[VERDICT_FAILED] = "failed",
		[VERDICT_OVER] = "over",
	};

	return word[state];
}
