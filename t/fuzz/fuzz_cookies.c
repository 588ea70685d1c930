/* fuzz_cookies.c - any bytes as a Cookie field, beside a second reading of it that is as plain as can be.
 * SPDX-License-Identifier: MIT
 * Input: a name, a NUL, the field. Both readings must agree on whether the cookie is there and on its value, which lies in the field. fuzz_facts.c has the query. */
#include <stdlib.h>

#include "server/facts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_blank(char c)
{
        return c == ' ' || c == '\t';
}

/* s[from..to) without blanks around it. */
static struct span
cut(const char *s, size_t from, size_t to)
{
        for (; from < to && is_blank(s[from]); from++)
                ;
        for (; to > from && is_blank(s[to - 1]); to--)
                ;
        return (struct span){ s + from, to - from };
}

/* Byte by byte: pairs end at ';', a pair without '=' is none, the first of a name counts, a pair of quotes around a value goes. */
static struct span
plain_reading(const char *s, size_t len, struct span name)
{
        size_t start = 0;

        for (size_t i = 0; i <= len; i++) {
                size_t equals = start;

                if (i < len && s[i] != ';')
                        continue;
                while (equals < i && s[equals] != '=')
                        equals++;
                if (equals < i) {
                        struct span found = cut(s, start, equals), value = cut(s, equals + 1, i);

                        if (found.len == name.len && (name.len == 0 || memcmp(found.ptr, name.ptr, name.len) == 0)) {
                                if (value.len > 1 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
                                        return (struct span){ value.ptr + 1, value.len - 2 };
                                return value;
                        }
                }
                start = i + 1;
        }
        return (struct span){ NULL, 0 };
}

static void
check(const char *field, size_t len, struct span name)
{
        struct span ours = facts_cookie((struct span){ field, len }, name), plain = plain_reading(field, len, name);

        if ((ours.ptr == NULL) != (plain.ptr == NULL))
                abort();
        if (ours.ptr != NULL && (ours.len != plain.len || memcmp(ours.ptr, plain.ptr, ours.len) != 0 || ours.ptr < field || ours.ptr + ours.len > field + len))
                abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const uint8_t *nul = size > 0 ? memchr(data, 0, size) : NULL;
        struct span name;
        size_t len;
        char *field;

        if (nul == NULL)
                return 0;
        name = (struct span){ (const char *)data, (size_t)(nul - data) };
        len = size - name.len - 1;
        field = malloc(len > 0 ? len : 1); /* by itself, so that a byte past it is seen */
        if (field == NULL)
                abort();
        memcpy(field, nul + 1, len);
        check(field, len, name);
        check(field, len, SPAN_LIT("a"));
        check(field, len, SPAN_LIT("session"));
        free(field);
        return 0;
}
