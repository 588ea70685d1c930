/* conditional.h - what If-Match and its kin make of a request (RFC 9110, 13).
 * SPDX-License-Identifier: MIT
 * Plain data, the caller's; any thread. */
#ifndef HEART_CONDITIONAL_H
#define HEART_CONDITIONAL_H

#include <stdbool.h>
#include <time.h>

#include "http1.h"

struct validators {
        struct span etag;  /* quoted and strong */
        time_t modified, now;
};

/* Is there any field in the head that conditional_status, conditional_range or a range could be about? */
static inline bool
conditional_any(const struct http_head *h)
{
#define BIT(id) (UINT64_C(1) << IPC_H_##id)
        _Static_assert(IPC_H_RANGE < 64 && IPC_H_IF_UNMODIFIED_SINCE < 64, "one word of `seen` has them all");
        return (h->seen[0] & (BIT(RANGE) | BIT(IF_RANGE) | BIT(IF_MATCH) | BIT(IF_NONE_MATCH) | BIT(IF_MODIFIED_SINCE) | BIT(IF_UNMODIFIED_SINCE))) != 0;
#undef BIT
}

/* 13.2.2, steps 1 to 4. 0: go on; else 304 or 412. */
unsigned conditional_status(const struct validators *v, const struct http_head *h, const char *buf);
/* Step 5: does If-Range, if there is one, still hold? Then a Range counts. */
bool conditional_range(const struct validators *v, const struct http_head *h, const char *buf);

#endif
