/* fuzz_conf.c - any text as routes.yaml: YAML, every key, the cross-field rules, then patterns and the trie.
 * SPDX-License-Identifier: MIT
 * A text is taken or there are findings, never both and never neither; findings can always be printed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(what)                                                             \
        do {                                                                   \
                if (!(what)) {                                                 \
                        fprintf(stderr, "line %d: %s\n", __LINE__, #what);     \
                        abort();                                               \
                }                                                              \
        } while (0)

static void
print_findings(const struct diags *d)
{
        char *text = diags_format(d), *json = diags_format_json(d);

        must(text != NULL && json != NULL);
        free(text);
        free(json);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct sources sources;
        struct diags diags;
        struct key_origins origins = { 0 };
        struct arena *arena = arena_new();
        struct router *router = NULL;
        struct conf conf;
        int r;

        if (size > 65536) /* what takes long here takes long in a fuzzer only */
                size = 65536;
        sources_init(&sources);
        diags_init(&diags);
        must(arena != NULL && sources_add(&sources, "/etc/heart/routes.yaml", (const char *)data, size) == 0);
        sources.complete = true; /* never reads the disk, whatever `include` says */
        r = conf_load(&sources, arena, &diags, &origins, &conf);
        must((r == 0) == (diags.error_count == 0));
        must(r == 0 || r == -EINVAL);
        if (r == 0) {
                must(conf.listeners.count > 0);
                r = router_compile(conf.routes.list, conf.routes.count, &sources, &diags, &router);
                must((r == 0) == (diags.error_count == 0));
        }
        print_findings(&diags);
        router_free(router);
        free(origins.list);
        diags_fini(&diags);
        sources_fini(&sources);
        arena_free(arena);
        return 0;
}
