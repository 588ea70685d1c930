/* fuzz_yaml.c - any bytes as routes.yaml: yaml.c, include.c, keys.c, conf.c with its rules, and the diagnostics about them.
 * SPDX-License-Identifier: MIT
 * The bytes are the main file and, behind a line "%%", one included file; the disk is never touched (sources.complete). What must hold: no crash, a refusal has a finding,
 * a success has none, and every finding's place lies within its file. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "../../server/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_findings(const struct diags *d, const struct sources *s)
{
        char *text = diags_format(d), *json = diags_format_json(d);

        for (size_t i = 0; i < d->count; i++) {
                const struct place *p = &d->list[i].place;

                assert(p->line == 0 || sources_line(s, p->file, p->line).ptr != NULL);
                assert(p->line == 0 || p->col <= sources_line(s, p->file, p->line).len + 1);
        }
        assert(text != NULL && json != NULL);
        free(text);
        free(json);
}

static void
load(const char *bytes, size_t len)
{
        const char *split = memmem(bytes, len, "\n%%\n", 4);
        size_t main_len = split != NULL ? (size_t)(split - bytes) + 1 : len;
        struct key_origins origins = { 0 };
        struct arena *a = arena_new();
        struct sources s;
        struct diags d;
        struct conf c = { 0 };
        int r;

        sources_init(&s);
        diags_init(&d);
        assert(a != NULL && sources_add(&s, "/f/routes.yaml", bytes, main_len) == 0);
        if (split != NULL)
                assert(sources_add(&s, "/f/more.yaml", split + 4, len - main_len - 3) == 0);
        s.complete = true;
        r = conf_load(&s, a, &d, &origins, &c);
        assert(r == -ENOMEM || (r == 0) == (d.error_count == 0));
        assert(r != 0 || c.listeners.count > 0);
        check_findings(&d, &s);
        free(origins.list);
        diags_fini(&d);
        sources_fini(&s);
        arena_free(a);
}

/* A number with its unit, from the same bytes. */
static void
parse_units(const char *bytes, size_t len)
{
        struct span text = { bytes, len < 40 ? len : 40 };
        uint64_t n;

        (void)keys_parse_duration(text, &n);
        (void)keys_parse_size(text, &n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        parse_units((const char *)data, size);
        load((const char *)data, size);
        return 0;
}
