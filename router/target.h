/* target.h - module:callable, as `python:`, `wsgi:` and `heart:` name Python objects.
 * SPDX-License-Identifier: MIT
 * Pure; any thread. */
#ifndef HEART_TARGET_H
#define HEART_TARGET_H

#include <stdbool.h>

/* Dotted names with colons between them: how many colons, -1 when it is none. "shop.main:app" is 1, "shop.wsgi" is 0. Whether they exist only Python knows. */
static inline int
target_colons(const char *s)
{
        int colons = 0;
        bool starts = true; /* a name begins here */

        for (; *s != '\0'; s++) {
                unsigned char c = (unsigned char)*s;
                bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z', digit = c >= '0' && c <= '9';

                if (letter || c == '_' || c >= 0x80 || (digit && !starts)) {
                        starts = false;
                } else if ((c == '.' || c == ':') && !starts) {
                        starts = true;
                        colons += c == ':';
                } else {
                        return -1;
                }
        }
        return starts ? -1 : colons;
}

#endif
