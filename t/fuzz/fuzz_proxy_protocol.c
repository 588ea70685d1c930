/* fuzz_proxy_protocol.c - any bytes at the beginning of a connection where a proxy's header is due.
 * SPDX-License-Identifier: MIT
 * Whole and cut anywhere the header is the same; it is never longer than what came or than it may be; nothing is read past the bytes. */
#include "server/proxy_protocol.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
parse_copy(const uint8_t *data, size_t len, struct proxy_header *ret)
{
        char *copy = malloc(len > 0 ? len : 1); /* by itself, so that a byte past it is seen */
        int n;

        if (copy == NULL)
                abort();
        memcpy(copy, data, len);
        n = proxy_header_parse(copy, len, ret);
        free(copy);
        return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct proxy_header whole, part;
        int n;

        memset(&whole, 0, sizeof(whole));
        n = parse_copy(data, size, &whole);
        if (n > 0 && ((size_t)n > size || n > PROXY_HEADER_MAX))
                abort();
        if (n == 0 && size >= PROXY_HEADER_MAX)
                abort(); /* it would be waited for without end */
        for (size_t cut = 0; cut < size && cut < 300; cut++) {
                int m;

                memset(&part, 0, sizeof(part));
                m = parse_copy(data, cut, &part);
                if (n > 0 && cut < (size_t)n && m != 0)
                        abort();
                if (m > 0 && (m != n || part.proxied != whole.proxied || memcmp(&part.from, &whole.from, sizeof(part.from)) != 0))
                        abort();
                if (m < 0 && n >= 0)
                        abort();
        }
        return 0;
}
