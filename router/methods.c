/* methods.c - methods as bits and as words.
 * SPDX-License-Identifier: MIT
 * Pure; any thread. */
#include <stdio.h>

#include "router.h"

static const struct { const char *name; uint32_t bit; } methods[] = {
        { "GET", M_GET }, { "HEAD", M_HEAD }, { "POST", M_POST }, { "PUT", M_PUT }, { "DELETE", M_DELETE }, { "PATCH", M_PATCH }, { "OPTIONS", M_OPTIONS },
};
enum { METHOD_COUNT = sizeof(methods) / sizeof(methods[0]) };

/* Returns the length; what does not fit is cut, and the text always ends with NUL. M_OTHER has no name to print. */
size_t
router_methods_text(uint32_t mask, char *out, size_t room)
{
        size_t n = 0;

        if (room == 0)
                return 0;
        out[0] = '\0';
        for (unsigned i = 0; i < METHOD_COUNT; i++) {
                int wrote;

                if ((mask & methods[i].bit) == 0)
                        continue;
                wrote = snprintf(out + n, room - n, "%s%s", n > 0 ? ", " : "", methods[i].name);
                if ((size_t)wrote >= room - n)
                        return room - 1;
                n += (size_t)wrote;
        }
        return n;
}

uint32_t
router_method_bit(struct span name)
{
        for (unsigned i = 0; i < METHOD_COUNT; i++)
                if (span_is(name, span_of(methods[i].name)))
                        return methods[i].bit;
        return M_OTHER;
}
