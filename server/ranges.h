/* ranges.h - the Range field: which parts of a file a client wants (RFC 9110, 14.1 and 14.2).
 * SPDX-License-Identifier: MIT
 * Plain data, the caller's; no allocation; any thread. */
#ifndef HEART_RANGES_H
#define HEART_RANGES_H

#include <stddef.h>
#include <stdint.h>

#include "../router/span.h"

#define RANGES_MAX 16 /* parts of one answer: more were only ever seen in attacks (RFC 9110, 17.15) */

struct range { uint64_t offset, length; /* never 0 */ };
struct ranges { struct range list[RANGES_MAX]; size_t count; };

/* 206: *ret has 1 to RANGES_MAX parts that lie within size, none touching a byte of another, in the order asked for; those that lie behind the end are left out.
 * 416: every one of them does. 200: to be ignored (14.2): another unit, not well-formed, more than RANGES_MAX, overlapping. *ret is meaningful for 206 only. */
unsigned ranges_parse(struct span value, uint64_t size, struct ranges *ret);

#endif
