/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * GRUB's configuration.  GRUB that came by TFTP has its root there already.  The
 * signed builds hold few modules, so that what may be missing is tried first.
 */
#include "tftp/menu.h"

#include <string.h>

#include "tftp/text.h"

/* A word of the command line as GRUB's shell reads it: in single quotes where it
 * holds a character of meaning. */
static void put_word(struct text *t, const char *word, size_t len)
{
	bool plain = true;

	for (size_t i = 0; i < len; i++)
		plain = plain && !strchr("{}|&$;<>\"'\\#*?[]~", word[i]);
	if (plain) {
		text_put(t, " %.*s", (int)len, word);
		return;
	}
	text_put(t, " '");
	for (size_t i = 0; i < len; i++)
		if (word[i] == '\'')
			text_put(t, "'\\''");
		else
			text_put(t, "%c", word[i]);
	text_put(t, "'");
}

static void put_words(struct text *t, const char *words)
{
	while (*words) {
		size_t n = strcspn(words, " ");

		if (n)
			put_word(t, words, n);
		words += n;
		words += strspn(words, " ");
	}
}

static void put_entry(struct text *t, const char *id, const char *title, const struct menu_entry *e)
{
	text_put(t, "menuentry '%s (%s)' --id %s {\n\techo 'Loading %s ...'\n\tlinux /%s", title,
		 e->image, id, e->image, e->kernel);
	put_words(t, e->cmdline);
	text_put(t, "\n");
	if (e->initrd)
		text_put(t, "\tinitrd /%s\n", e->initrd);
	text_put(t, "}\n");
}

size_t menu_grub(const struct menu *m, char *out, size_t size)
{
	struct text t = text_of(out, size);
	unsigned int line;
	unsigned int baud;

	text_put(&t, "# %s, %s\n", m->host, m->own.image);
	/* UEFI puts its console on the serial line by itself; driving that line beside it
	 * stalls GRUB for two minutes (measured, OVMF). */
	if (menu_serial(m->console, &line, &baud))
		text_put(&t,
			 "if [ \"$grub_platform\" = pc ]; then\n"
			 "\tserial --unit=%u --speed=%u\n"
			 "\tterminal_input console serial\n\tterminal_output console serial\nfi\n",
			 line, baud);
	text_put(&t, "set default=rootstock\nset timeout=%u\n", m->ask ? m->wait_secs : 0);
	if (!m->ask)
		text_put(&t, "set timeout_style=hidden\n");
	put_entry(&t, "rootstock", m->host, &m->own);
	if (m->ask && m->maintenance)
		put_entry(&t, "maintenance", "Maintenance", m->maintenance);
	if (m->ask) {
		text_put(&t, "menuentry 'Local disk' --id local {\n\texit 1\n}\n");
		if (m->memtest)
			text_put(&t, "menuentry 'Memory test' --id memtest {\n"
				     "\tchainloader /memtest.efi\n}\n");
	}
	return text_len(&t);
}
