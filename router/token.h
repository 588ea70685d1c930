/* token.h - tokens of HTTP: names of fields, cookies, methods (RFC 9110, 5.6.2).
 * SPDX-License-Identifier: MIT
 * For settings and rare fields; the head parser has a table of its own (server/http1_priv.h). Any thread. */
#ifndef HEART_TOKEN_H
#define HEART_TOKEN_H

#include <stdbool.h>
#include <string.h>

#include "span.h"

static inline bool
token_char(char c)
{
        return (unsigned char)c > 0x20 && (unsigned char)c < 0x7f && strchr("\"(),/:;<=>?@[\\]{}", c) == NULL;
}

/* Not empty, and nothing else in it. */
static inline bool
token_is(struct span s)
{
        for (size_t i = 0; i < s.len; i++)
                if (!token_char(s.ptr[i]))
                        return false;
        return s.len > 0;
}

#endif
