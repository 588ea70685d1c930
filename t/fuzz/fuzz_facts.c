/* fuzz_facts.c - any bytes as a query and as a Cookie field, asked for any name: what conditions of routes are looked up in.
 * SPDX-License-Identifier: MIT
 * Input: a name, a NUL, the text. What is found fits where it is put, and a name that is there is found. */
#include <stdlib.h>

#include "server/facts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const uint8_t *nul = size > 0 ? memchr(data, 0, size) : NULL;
        struct span name, text, found, cut;
        char *raw, room[4096], small[4];

        if (nul == NULL)
                return 0;
        name = (struct span){ (const char *)data, (size_t)(nul - data) };
        text.len = size - name.len - 1;
        raw = malloc(text.len > 0 ? text.len : 1); /* by itself, so that a byte past it is seen */
        if (raw == NULL)
                abort();
        memcpy(raw, nul + 1, text.len);
        text.ptr = raw;

        found = facts_query(text, name, room, sizeof(room));
        cut = facts_query(text, name, small, sizeof(small));
        if ((found.ptr == NULL) != (cut.ptr == NULL) || found.len > text.len)
                abort();
        if (found.ptr != NULL && (cut.len != (found.len < sizeof(small) ? found.len : sizeof(small)) || memcmp(found.ptr, cut.ptr, cut.len) != 0))
                abort();
        found = facts_cookie(text, name);
        if (found.ptr != NULL && (found.ptr < raw || found.ptr + found.len > raw + text.len || memchr(found.ptr, ';', found.len) != NULL))
                abort();
        free(raw);
        return 0;
}
