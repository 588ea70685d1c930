/* fuzz_urlencoded.c - any bytes as application/x-www-form-urlencoded.
 * SPDX-License-Identifier: MIT
 * However the bytes arrive the pairs must be the same; they lie one behind the other in the text, which is no longer than what it came in. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workers/heart/urlencoded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(what)                                                             \
        do {                                                                   \
                if (!(what)) {                                                 \
                        fprintf(stderr, "line %d: %s\n", __LINE__, #what);     \
                        abort();                                               \
                }                                                              \
        } while (0)

static int
parse(const uint8_t *data, size_t size, size_t step, struct urlencoded *u)
{
        int e = 0;

        urlencoded_init(u, 50, 1000);
        for (size_t at = 0; at < size && e == 0;) {
                size_t len = step == 0 || size - at < step ? size - at : step;
                char *copy = malloc(len);

                memcpy(copy, data + at, len);
                e = urlencoded_feed(u, copy, len);
                free(copy);
                at += len;
        }
        return e < 0 ? e : urlencoded_end(u);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct urlencoded whole, parts;
        int e = parse(data, size, 0, &whole);

        MUST(e == 0 || e == -E2BIG || e == -EFBIG);
        for (size_t step = 1; step < 6; step += 2) {
                int other = parse(data, size, step, &parts);
                MUST((other == 0) == (e == 0)); /* past two bounds at once either may be told first */
                if (e == 0) {
                        MUST(parts.pair_count == whole.pair_count);
                        MUST(whole.pair_count == 0 || memcmp(parts.pairs, whole.pairs, whole.pair_count * sizeof(*whole.pairs)) == 0);
                }
                urlencoded_fini(&parts);
        }
        for (uint32_t i = 0, end = 0; i < whole.pair_count && e == 0; i++) {
                const struct urlencoded_pair *p = &whole.pairs[i];
                MUST(p->name == end && p->value == p->name + p->name_len && p->value + p->value_len <= size);
                end = (uint32_t)(p->value + p->value_len);
        }
        urlencoded_fini(&whole);
        return 0;
}
