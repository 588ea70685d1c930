/* ranges.c - the Range field. Contract in ranges.h.
 * SPDX-License-Identifier: MIT
 * From: serve_file.c.   A field that is not well-formed is ignored as a whole, never read in part. */
#include "ranges.h"

#include <stdbool.h>
#include <strings.h>

/* Digits at *p, saturating; false: none. */
static bool
get_number(const char **p, const char *end, uint64_t *ret)
{
        const char *start = *p;
        uint64_t n = 0;

        for (; *p < end && **p >= '0' && **p <= '9'; ++*p) {
                unsigned digit = (unsigned)(**p - '0');

                n = n > (UINT64_MAX - digit) / 10 ? UINT64_MAX : n * 10 + digit;
        }
        *ret = n;
        return *p > start;
}

enum spec { SPEC_BAD, SPEC_UNSATISFIABLE, SPEC_EMPTY_FILE, SPEC_GOOD };

/* first-last, first- or -suffix (RFC 9110, 14.1.2); *p stands behind it. */
static enum spec
get_spec(const char **p, const char *end, uint64_t size, struct range *ret)
{
        uint64_t first, last = UINT64_MAX, suffix;

        if (*p < end && **p == '-') {
                ++*p;
                if (!get_number(p, end, &suffix))
                        return SPEC_BAD;
                if (suffix == 0)
                        return SPEC_UNSATISFIABLE;
                if (size == 0)
                        return SPEC_EMPTY_FILE; /* satisfiable, yet there is no byte to name in Content-Range */
                first = suffix < size ? size - suffix : 0;
        } else {
                if (!get_number(p, end, &first) || *p == end || **p != '-')
                        return SPEC_BAD;
                ++*p;
                if (*p < end && **p >= '0' && **p <= '9' && (!get_number(p, end, &last) || last < first))
                        return SPEC_BAD;
                if (first >= size)
                        return SPEC_UNSATISFIABLE;
        }
        *ret = (struct range){ first, (last < size ? last + 1 : size) - first };
        return SPEC_GOOD;
}

static bool
overlaps(const struct ranges *r, const struct range *with)
{
        for (size_t i = 0; i < r->count; i++)
                if (with->offset < r->list[i].offset + r->list[i].length && r->list[i].offset < with->offset + with->length)
                        return true;
        return false;
}

unsigned
ranges_parse(struct span value, uint64_t size, struct ranges *ret)
{
        const char *p = value.ptr, *end = p + value.len;
        size_t asked = 0;
        bool whole = false; /* decided, but the rest is still read: 416 is never said about a field that is not well-formed */

        if (value.len < 6 || strncasecmp(p, "bytes=", 6) != 0)
                return 200;
        ret->count = 0;
        for (p += 6;;) {
                struct range one;

                while (p < end && (*p == ' ' || *p == '\t' || *p == ',')) /* empty members count for nothing (5.6.1.2) */
                        p++;
                if (p == end)
                        break;
                if (++asked > RANGES_MAX)
                        return 200;
                switch (get_spec(&p, end, size, &one)) {
                case SPEC_BAD:
                        return 200;
                case SPEC_UNSATISFIABLE:
                        break;
                case SPEC_EMPTY_FILE:
                        whole = true;
                        break;
                case SPEC_GOOD:
                        if (overlaps(ret, &one))
                                whole = true;
                        ret->list[ret->count++] = one;
                        break;
                }
                while (p < end && (*p == ' ' || *p == '\t'))
                        p++;
                if (p < end && *p != ',')
                        return 200;
        }
        if (asked == 0 || whole)
                return 200;
        return ret->count > 0 ? 206 : 416;
}
