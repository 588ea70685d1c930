/* span.h - a pointer and a length: bytes borrowed from somebody else.
 * SPDX-License-Identifier: MIT
 * A span owns nothing and ends with no NUL. It dies with the bytes that it points at. */
#ifndef HEART_SPAN_H
#define HEART_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
        const char *ptr;
        size_t len;
};

#define SPAN_LIT(s) ((struct span){ (s), sizeof(s) - 1 })

static inline struct span
span_of(const char *s)
{
        return (struct span){ s, s != NULL ? strlen(s) : 0 };
}

static inline bool
span_is(struct span a, struct span b)
{
        return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

#endif
