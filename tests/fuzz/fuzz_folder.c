/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The lines of an exported folder: what is taken is what rows may be, and is written as
 * what reads as the same again.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsd/folder_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Print what was read, read that, and print it: the texts are equal. */
static void entry_again(const struct folder_entry *e)
{
	struct arena arena = {0};
	struct folder_entry twice;
	char *first = NULL;
	char *second = NULL;
	size_t first_len = 0;
	size_t second_len = 0;
	FILE *out = open_memstream(&first, &first_len);

	folder_entry_print(out, e);
	fclose(out);
	assert(first_len && first[first_len - 1] == '\n');
	assert(!memchr(first, '\n', first_len - 1));
	assert(!folder_entry_parse((struct bytes){(uint8_t *)first, first_len - 1}, &arena, &twice,
				   NULL));
	out = open_memstream(&second, &second_len);
	folder_entry_print(out, &twice);
	fclose(out);
	assert(first_len == second_len && !memcmp(first, second, first_len));
	free(first);
	free(second);
	arena_fini(&arena);
}

static void entry_is_fit(const struct folder_entry *e)
{
	char clean[4096];

	assert(!overlay_path(e->path, clean, NULL) && !strcmp(clean, e->path));
	assert(e->kind >= ENTRY_FILE && e->kind <= ENTRY_ATTR && e->mode <= 07777);
	assert(e->kind != ENTRY_LINK || (e->body.len && e->body.len < PATH_MAX));
	assert(!(e->flags & ENTRY_SECRET) || e->kind == ENTRY_FILE);
	entry_again(e);
}

static void pair_again(const struct folder_pair *p)
{
	struct arena arena = {0};
	struct folder_pair twice;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert(p->key[0] && p->value[0] && !strchr(p->key, '='));
	folder_pair_print(out, p);
	fclose(out);
	assert(!folder_pair_parse((struct bytes){(uint8_t *)text, len - 1}, &arena, &twice, NULL));
	assert(!strcmp(twice.key, p->key) && !strcmp(twice.value, p->value));
	free(text);
	arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct folder_lines lines = {.at = data, .end = data + size};
	struct arena arena = {0};
	struct why why = {""};
	struct bytes line;
	int r;

	while ((r = folder_line(&lines, &line, &why)) == 1) {
		struct folder_entry e;
		struct folder_pair p;

		r = folder_entry_parse(line, &arena, &e, &why);
		if (!r)
			entry_is_fit(&e);
		else
			assert(r == -EINVAL || r == -ENAMETOOLONG);
		assert(!r || why.text[0]);
		why.text[0] = '\0';
		r = folder_pair_parse(line, &arena, &p, &why);
		if (!r)
			pair_again(&p);
		assert(!r || (r == -EINVAL && why.text[0]));
		why.text[0] = '\0';
	}
	assert(!r || (r == -EINVAL && why.text[0]));
	arena_fini(&arena);
	return 0;
}
