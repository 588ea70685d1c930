/* auth_credentials.c - what an Authorization field says. Contract in auth_credentials.h.
 * SPDX-License-Identifier: MIT
 * From: auth_basic.c with the bytes of a request.   Runs in: the owning loop. */
#include "auth_credentials.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <strings.h>

static int
digit(unsigned char c)
{
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Strictly: a whole number of groups, padding at the end only, bits past the last byte zero. Bytes written, or -1. */
static long
decode(struct span in, char *out, size_t room)
{
        size_t pad = 0, n = 0;
        uint32_t bits = 0;

        if (in.len == 0 || in.len % 4 != 0)
                return -1;
        while (pad < 2 && in.ptr[in.len - 1 - pad] == '=')
                pad++;
        if (in.len / 4 * 3 - pad > room)
                return -1;
        for (size_t i = 0; i < in.len - pad; i++) {
                int d = digit((unsigned char)in.ptr[i]);

                if (d < 0)
                        return -1;
                bits = bits << 6 | (uint32_t)d;
                if (i % 4 == 3) {
                        out[n++] = (char)(bits >> 16);
                        out[n++] = (char)(bits >> 8);
                        out[n++] = (char)bits;
                        bits = 0;
                }
        }
        if (pad == 1) {
                if (bits & 3)
                        return -1;
                out[n++] = (char)(bits >> 10);
                out[n++] = (char)(bits >> 2);
        } else if (pad == 2) {
                if (bits & 15)
                        return -1;
                out[n++] = (char)(bits >> 4);
        }
        return (long)n;
}

int
auth_basic_decode(struct span field, char buf[AUTH_CREDENTIALS_MAX + 1], struct span *ret_name, const char **ret_password)
{
        size_t at = 5;
        const char *colon;
        long n;

        if (field.len < 7 || strncasecmp(field.ptr, "Basic", 5) != 0 || field.ptr[5] != ' ')
                return -EINVAL;
        while (at < field.len && field.ptr[at] == ' ')
                at++;
        n = decode((struct span){ field.ptr + at, field.len - at }, buf, AUTH_CREDENTIALS_MAX);
        if (n < 0 || (colon = memchr(buf, ':', (size_t)n)) == NULL)
                return -EINVAL;
        for (long i = 0; i < n; i++) /* RFC 7617, 2: neither may hold any. A NUL would also hide what follows it from crypt(3) */
                if ((unsigned char)buf[i] < 0x20 || buf[i] == 0x7f)
                        return -EINVAL;
        buf[n] = '\0';
        *ret_name = (struct span){ buf, (size_t)(colon - buf) };
        *ret_password = colon + 1;
        return 0;
}

int
auth_basic_challenge(const char *realm, char *out, size_t room)
{
        static const char before[] = "Basic realm=\"", after[] = "\", charset=\"UTF-8\"";
        size_t n = sizeof(before) - 1;

        if (room < sizeof(before) + sizeof(after))
                return -EINVAL;
        memcpy(out, before, n);
        for (const char *p = realm; *p != '\0'; p++) {
                if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f || n + 2 + sizeof(after) > room)
                        return -EINVAL;
                if (*p == '"' || *p == '\\') /* RFC 9110, 5.6.4: quoted-pair */
                        out[n++] = '\\';
                out[n++] = *p;
        }
        memcpy(out + n, after, sizeof(after));
        return (int)(n + sizeof(after) - 1);
}
