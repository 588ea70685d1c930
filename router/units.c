/* units.c - numbers with units: durations and sizes, and back to text.
 * SPDX-License-Identifier: MIT
 * Used by: keys.c for every DURATION and SIZE key; fuzzers.   Pure; any thread.
 * A number is decimal digits alone; one unit follows it, in lower case. Nothing is rounded: what does not fit 64 bits is -ERANGE. */
#include "keys.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "keys_priv.h"

struct unit {
        const char *name;
        uint64_t factor;
};

static const struct unit DURATIONS[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };
static const struct unit SIZES[] = { { "", 1 }, { "k", 1024 }, { "m", 1024 * 1024 }, { "g", 1024 * 1024 * 1024 } };

#define COUNT_OF(a) (sizeof(a) / sizeof(*(a)))

int
keys_parse_digits(struct span text, size_t *ret_used, uint64_t *ret_number)
{
        uint64_t n = 0;
        size_t i;

        for (i = 0; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++)
                if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, (uint64_t)(text.ptr[i] - '0'), &n))
                        return -ERANGE;
        if (i == 0)
                return -EINVAL;
        *ret_used = i;
        *ret_number = n;
        return 0;
}

static int
parse_with_unit(struct span text, const struct unit *units, size_t count, uint64_t *ret)
{
        size_t used = 0;
        uint64_t n = 0;
        int r = keys_parse_digits(text, &used, &n);
        struct span unit = { text.ptr + used, text.len - used };

        if (r < 0)
                return r;
        for (size_t i = 0; i < count; i++) {
                if (!span_is(unit, span_of(units[i].name)))
                        continue;
                if (__builtin_mul_overflow(n, units[i].factor, ret))
                        return -ERANGE;
                return 0;
        }
        return -EINVAL;
}

int
keys_parse_duration(struct span text, uint64_t *ret_ms)
{
        uint64_t ms = 0;
        int r;

        if (span_is(text, SPAN_LIT("0"))) {
                *ret_ms = 0;
                return 0;
        }
        r = parse_with_unit(text, DURATIONS, COUNT_OF(DURATIONS), &ms);
        if (r == 0)
                *ret_ms = ms;
        return r;
}

int
keys_parse_size(struct span text, uint64_t *ret_bytes)
{
        uint64_t bytes = 0;
        int r = parse_with_unit(text, SIZES, COUNT_OF(SIZES), &bytes);

        if (r == 0)
                *ret_bytes = bytes;
        return r;
}

static void
format_with_unit(uint64_t n, const struct unit *units, size_t count, char *out, size_t room)
{
        size_t best = 0;

        for (size_t i = 1; i < count && n != 0; i++)
                if (n % units[i].factor == 0)
                        best = i;
        snprintf(out, room, "%" PRIu64 "%s", n / units[best].factor, n != 0 ? units[best].name : "");
}

void
keys_format_number(enum key_type type, uint64_t n, char *out, size_t room)
{
        if (type == KEY_DURATION)
                format_with_unit(n, DURATIONS, COUNT_OF(DURATIONS), out, room);
        else if (type == KEY_SIZE)
                format_with_unit(n, SIZES, COUNT_OF(SIZES), out, room);
        else
                snprintf(out, room, "%" PRIu64, n);
}
