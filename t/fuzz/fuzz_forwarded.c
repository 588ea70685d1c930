/* fuzz_forwarded.c - any bytes as lines of Forwarded and of X-Forwarded-*.
 * SPDX-License-Identifier: MIT
 * Input: lines, separated by newlines. Nothing is read past a line; whatever is found lies within it; what a client puts to the left changes nothing about the hop to the right. */
#include <stdlib.h>

#include "server/forwarded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
trusted(void *ctx, const struct in6_addr *addr)
{
        (void)ctx;
        return (addr->s6_addr[15] & 1) != 0;
}

static bool
within(struct span inner, struct span outer)
{
        return inner.ptr == NULL || (inner.ptr >= outer.ptr && inner.ptr + inner.len <= outer.ptr + outer.len);
}

static void
check_line(struct span line)
{
        struct forwarded f = { .count = 0 }, x = { .count = 0 };
        struct x_list l = { .count = 0 };
        struct hop hop = { .known = false };
        char out[32];
        size_t len;

        if (forwarded_add(&f, line) == 0) {
                for (size_t i = 0; i < f.count; i++)
                        if (!within(f.hops[i].host, line))
                                abort();
                if (forwarded_client(&f, trusted, NULL, &hop) > f.count)
                        abort();
                if (hop.host.ptr != NULL && quoted_text(hop.host, out, sizeof(out), &len) && len > sizeof(out))
                        abort();
                /* A proxy appends: then its word is the nearest, unless the line before was none. */
                if (forwarded_add(&f, SPAN_LIT("for=192.0.2.2;host=a")) != 0 || forwarded_client(&f, trusted, NULL, &hop) != 1 || hop.from.s6_addr[15] != 2 || hop.host.len != 1)
                        abort();
        }
        forwarded_add_x_for(&x, line);
        x_list_add(&l, line);
        if (x.total != l.total || x.count != l.count || x.count > HOPS_MAX)
                abort();
        for (size_t i = 0; i < HOPS_MAX; i++)
                if (!within(x_list_get(&l, l.total, i), line))
                        abort();
        forwarded_add_x_for(&x, SPAN_LIT("192.0.2.2"));
        if (forwarded_client(&x, trusted, NULL, &hop) != 1 || hop.from.s6_addr[15] != 2)
                abort();
        (void)hop_proto_of(line);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        while (size > 0) {
                const uint8_t *nl = memchr(data, '\n', size);
                size_t len = nl != NULL ? (size_t)(nl - data) : size;
                char *line = malloc(len > 0 ? len : 1); /* by itself, so that a byte past it is seen */

                if (line == NULL)
                        abort();
                memcpy(line, data, len);
                check_line((struct span){ line, len });
                free(line);
                data += len + (nl != NULL);
                size -= len + (nl != NULL);
        }
        return 0;
}
