/* fuzz_accept_encoding.c - any bytes as Accept-Encoding.
 * SPDX-License-Identifier: MIT
 * Whatever comes: weights are thousandths, what is chosen is acceptable or identity, nothing on offer would have been better, and a list cut at its commas into
 * several lines says the same (RFC 9110, 5.3). */
#include <stdlib.h>

#include "server/accept_encoding.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const enum coding all[] = { CODING_ZSTD, CODING_BR, CODING_GZIP };
        struct accept_encoding whole, cut;
        enum coding chosen;
        char *value = malloc(size > 0 ? size : 1); /* of its own size, so that a byte past it is seen */
        size_t start = 0;

        if (value == NULL)
                abort();
        memcpy(value, data, size);
        accept_encoding_begin(&whole);
        accept_encoding_add(&whole, (struct span){ value, size });
        accept_encoding_end(&whole);

        accept_encoding_begin(&cut);
        for (size_t i = 0; i <= size; i++)
                if (i == size || value[i] == ',') {
                        accept_encoding_add(&cut, (struct span){ value + start, i - start });
                        start = i + 1;
                }
        accept_encoding_end(&cut);

        chosen = accept_encoding_choose(&whole, all, sizeof all / sizeof all[0]);
        for (int c = 0; c < CODING_COUNT; c++)
                if (whole.weight[c] < 0 || whole.weight[c] > 1000 || whole.weight[c] != cut.weight[c] || whole.weight[c] > whole.weight[chosen])
                        abort();
        if (chosen != CODING_IDENTITY && whole.weight[chosen] == 0)
                abort();
        free(value);
        return 0;
}
