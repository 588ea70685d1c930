/* fuzz_range.c - any bytes as a Range field, for files of several sizes: parts lie in the file, touch no byte twice, and there are no more of them than allowed.
 * SPDX-License-Identifier: MIT
 * The expected answer is worked out a second time, byte by byte, for files that are small enough. */
#include <stdlib.h>

#include "server/ranges.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(struct span value, uint64_t size)
{
        struct ranges r = { .count = 0 };
        unsigned status = ranges_parse(value, size, &r);
        unsigned char seen[512] = { 0 };

        if (status != 200 && status != 206 && status != 416)
                abort();
        if (status != 206)
                return;
        if (r.count == 0 || r.count > RANGES_MAX || size == 0)
                abort();
        for (size_t i = 0; i < r.count; i++) {
                const struct range *one = &r.list[i];

                if (one->length == 0 || one->length > size || one->offset > size - one->length)
                        abort();
                for (uint64_t b = one->offset; size <= sizeof seen && b < one->offset + one->length; b++)
                        if (seen[b]++)
                                abort();
                for (size_t k = 0; k < i; k++)
                        if (one->offset < r.list[k].offset + r.list[k].length && r.list[k].offset < one->offset + one->length)
                                abort();
        }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const uint64_t sizes[] = { 0, 1, 2, 100, 512, 1ull << 32, UINT64_MAX - 1 };
        char *raw = malloc(size > 0 ? size : 1); /* by itself, so that a byte past it is seen */

        if (raw == NULL)
                abort();
        if (size > 0)
                memcpy(raw, data, size);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
                check((struct span){ raw, size }, sizes[i]);
        free(raw);
        return 0;
}
