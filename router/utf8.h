/* utf8.h - one character of UTF-8, strictly (RFC 3629): no surrogates, nothing over-long, nothing past U+10FFFF.
 * SPDX-License-Identifier: MIT
 * For yaml.c and diag.c, and for server/listing.c. Pure; any thread. */
#ifndef HEART_UTF8_H
#define HEART_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length in bytes of the character at p (1..4), or 0 when the bytes are none. len > 0. */
static inline unsigned
utf8_decode(const char *p, size_t len, uint32_t *ret_char)
{
        static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
        const unsigned char *b = (const unsigned char *)p;
        unsigned need = b[0] < 0x80 ? 1 : (b[0] & 0xe0) == 0xc0 ? 2 : (b[0] & 0xf0) == 0xe0 ? 3 : (b[0] & 0xf8) == 0xf0 ? 4 : 0;
        uint32_t c;

        if (need == 0 || need > len)
                return 0;
        c = need == 1 ? b[0] : b[0] & (0x7fu >> need);
        for (unsigned i = 1; i < need; i++) {
                if ((b[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (b[i] & 0x3fu);
        }
        if (c < least[need] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;
        *ret_char = c;
        return need;
}

#endif
