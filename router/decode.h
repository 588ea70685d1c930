/* decode.h - what one percent-escape of a path means; shared by decode.c and pattern.c so that routes and requests agree.
 * SPDX-License-Identifier: MIT
 * Pure; any thread. Private to router/. */
#ifndef HEART_DECODE_H
#define HEART_DECODE_H

#include <stdbool.h>
#include <stddef.h>

enum escape {
        ESCAPE_BAD,     /* not % and two hex digits, or a control character */
        ESCAPE_DECODED, /* *ret_byte stands for it */
        ESCAPE_KEPT,    /* a reserved character or %: stays %XX, with upper-case digits */
};

/* p points at '%'; left counts the bytes from there on. */
enum escape decode_escape(const char *p, size_t left, char *ret_byte);
bool decode_utf8_ok(const char *p, size_t len);

#endif
