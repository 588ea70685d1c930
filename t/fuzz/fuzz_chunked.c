/* fuzz_chunked.c - any bytes as a chunked body.
 * SPDX-License-Identifier: MIT
 * However the bytes arrive the verdict and the body must be the same, and a body is never longer than what it came in; a broken promise aborts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(what)                                                             \
        do {                                                                   \
                if (!(what)) {                                                 \
                        fprintf(stderr, "line %d: %s\n", __LINE__, #what);     \
                        abort();                                               \
                }                                                              \
        } while (0)
#define SIZE_MOST 65536

struct result { int verdict; size_t used, body_len; char body[SIZE_MOST]; };

/* Decodes in steps of at most `step` bytes (0: all at once), each in memory of its own. */
static void
decode(const uint8_t *data, size_t size, size_t step, struct result *ret)
{
        struct http_chunked c;

        http_chunked_init(&c);
        *ret = (struct result){ 0 };
        while (ret->verdict == 0 && ret->used < size) {
                size_t len = step == 0 || size - ret->used < step ? size - ret->used : step, used = 0, body = 0;
                char *copy = malloc(len);

                memcpy(copy, data + ret->used, len);
                ret->verdict = http_chunked_decode(&c, copy, len, 100, &used, &body);
                MUST(ret->verdict == 0 || ret->verdict == 1 || ret->verdict == -400 || ret->verdict == -431);
                MUST(used <= len && body <= used && (ret->verdict != 0 || used == len));
                memcpy(ret->body + ret->body_len, copy, body);
                ret->body_len += body;
                ret->used += used;
                free(copy);
        }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct result whole, parts;

        if (size > SIZE_MOST)
                return 0;
        decode(data, size, 0, &whole);
        for (size_t step = 1; step < 8; step += 3) {
                decode(data, size, step, &parts);
                MUST(parts.verdict == whole.verdict);
                if (whole.verdict < 0)
                        continue; /* what came before the mistake was given out or not, as the packets fell */
                MUST(parts.used == whole.used && parts.body_len == whole.body_len);
                MUST(memcmp(parts.body, whole.body, whole.body_len) == 0);
        }
        return 0;
}
