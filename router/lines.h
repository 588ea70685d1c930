/* lines.h - where lines end, counted as libyaml counts them.
 * SPDX-License-Identifier: MIT
 * YAML knows more line breaks than editors do: LF, CR LF, CR, and the characters NEL, LS and PS. Private to source.c and yaml.c. Pure; any thread. */
#ifndef HEART_LINES_H
#define HEART_LINES_H

#include <stdint.h>

#include "span.h"

/* Bytes of the line break at p, 0 when there is none. len > 0. */
static inline size_t
line_break(const char *p, size_t len)
{
        if (p[0] == '\n')
                return 1;
        if (p[0] == '\r')
                return len > 1 && p[1] == '\n' ? 2 : 1;
        if (p[0] == '\xc2' && len > 1 && p[1] == '\x85')
                return 2;
        if (p[0] == '\xe2' && len > 2 && p[1] == '\x80' && (p[2] == '\xa8' || p[2] == '\xa9'))
                return 3;
        return 0;
}

/* Line `line` (from 1) without its break; .ptr NULL when the text has fewer. */
static inline struct span
line_of(const char *text, size_t len, uint32_t line)
{
        size_t at = 0, n = 0, start;

        while (line > 1 && at < len) {
                n = line_break(text + at, len - at);
                line -= n > 0;
                at += n > 0 ? n : 1;
        }
        if (line != 1)
                return (struct span){ NULL, 0 };
        for (start = at; at < len && line_break(text + at, len - at) == 0; at++)
                ;
        return (struct span){ text + start, at - start };
}

#endif
