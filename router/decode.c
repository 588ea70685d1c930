/* decode.c - a raw request path becomes the one text that routes are matched on; a match becomes a redirect's target.
 * SPDX-License-Identifier: MIT
 * From: http1.c hands the raw path over.   To: match.c.   Runs in: any thread; no allocation, no state.
 * README.md, "Decoding", has a row for each rule here, and t/unit/router/test_decode.c a test for each row.
 * Nothing may be decoded twice: "%" itself is kept encoded, so that decoding the result again gives no new "/" or "..". */
#include "decode.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "router.h"
#include "utf8.h"

/* RFC 3986, 2.2 and 2.3. */
enum { CH_UNRESERVED = 1, CH_SUBDELIM = 2, CH_GENDELIM = 4 };

static unsigned
char_kind(unsigned char c)
{
        if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' || c == '.' || c == '_' || c == '~')
                return CH_UNRESERVED;
        if (c != '\0' && strchr("!$&'()*+,;=", c) != NULL)
                return CH_SUBDELIM;
        if (c != '\0' && strchr(":/?#[]@", c) != NULL)
                return CH_GENDELIM;
        return 0;
}

static bool
is_control(unsigned char c)
{
        return c < 0x20 || c == 0x7f;
}

static int
hex_value(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c = (char)(c | 32);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char hex_digits[] = "0123456789ABCDEF";

enum escape
decode_escape(const char *p, size_t left, char *ret_byte)
{
        int hi, lo;
        unsigned char c;

        if (left < 3 || (hi = hex_value(p[1])) < 0 || (lo = hex_value(p[2])) < 0)
                return ESCAPE_BAD;
        c = (unsigned char)(hi << 4 | lo);
        if (is_control(c))
                return ESCAPE_BAD;
        *ret_byte = (char)c;
        return c == '%' || (char_kind(c) & (CH_SUBDELIM | CH_GENDELIM)) != 0 ? ESCAPE_KEPT : ESCAPE_DECODED;
}

bool
decode_utf8_ok(const char *p, size_t len)
{
        uint32_t c;

        while (len > 0) {
                unsigned n = (unsigned char)*p < 0x80 ? 1 : utf8_decode(p, len, &c);

                if (n == 0)
                        return false;
                p += n;
                len -= n;
        }
        return true;
}

/* Bit 7 of a byte of the result is set where that byte of w equals c; a false alarm is possible only above a true one. */
static inline uint64_t
bytes_equal(uint64_t w, unsigned char c)
{
        uint64_t x = w ^ (UINT64_C(0x0101010101010101) * c);

        return (x - UINT64_C(0x0101010101010101)) & ~x & UINT64_C(0x8080808080808080);
}

/* May this byte force a change or a refusal? '.' only matters behind '/', which the caller looks at. */
static inline bool
is_plain(unsigned char c)
{
        return c > 0x20 && c < 0x7f && c != '%' && c != '?' && c != '#';
}

/* True when the path is its own decoded form: the usual case, found eight bytes at a time. */
static bool
is_decoded(struct span raw)
{
        size_t i = 0;

        for (; i + 8 <= raw.len; i += 8) {
                uint64_t w, low;

                memcpy(&w, raw.ptr + i, 8);
                /* a byte below 0x21 borrows into bit 7; so may its upper neighbour, which then only costs the slow path */
                low = (w - UINT64_C(0x2121212121212121)) & ~w & UINT64_C(0x8080808080808080);
                if (((w & UINT64_C(0x8080808080808080)) | low | bytes_equal(w, '%') | bytes_equal(w, '?') | bytes_equal(w, '#') |
                     bytes_equal(w, 0x7f)) != 0)
                        return false;
                if (bytes_equal(w, '.') != 0)
                        for (size_t k = i; k < i + 8; k++)
                                if (raw.ptr[k] == '.' && raw.ptr[k - 1] == '/') /* [0] is '/', so k > 0 */
                                        return false;
        }
        for (; i < raw.len; i++)
                if (!is_plain((unsigned char)raw.ptr[i]) || (raw.ptr[i] == '.' && raw.ptr[i - 1] == '/'))
                        return false;
        return true;
}

/* Dot segments leave (RFC 3986, 5.2.4). The segment out[start..*n) is complete and a '/' stands before it; true: it was one, and *n is now
 * behind the '/' where the output goes on. */
static bool
drop_dots(const char *out, size_t start, size_t *n)
{
        size_t len = *n - start;

        if (len == 0 || len > 2 || out[start] != '.' || (len == 2 && out[start + 1] != '.'))
                return false;
        *n = start;
        if (len == 2 && start > 1)
                for (*n = start - 1; out[*n - 1] != '/';)
                        (*n)--;
        return true;
}

int
router_decode(struct span raw, char *out, struct span *ret)
{
        size_t n = 0, start;

        if (raw.len == 0 || raw.ptr[0] != '/')
                return -EINVAL;
        if (is_decoded(raw)) {
                *ret = raw;
                return 0;
        }
        out[n++] = '/';
        start = 1;
        for (size_t i = 1; i < raw.len; i++) {
                unsigned char c = (unsigned char)raw.ptr[i];
                char byte;

                if (c == '/') {
                        if (!drop_dots(out, start, &n))
                                out[n++] = '/';
                        start = n;
                } else if (c == '%') {
                        switch (decode_escape(raw.ptr + i, raw.len - i, &byte)) {
                        case ESCAPE_BAD:
                                return -EINVAL;
                        case ESCAPE_DECODED:
                                out[n++] = byte;
                                break;
                        case ESCAPE_KEPT:
                                out[n++] = '%';
                                out[n++] = hex_digits[(unsigned char)byte >> 4];
                                out[n++] = hex_digits[(unsigned char)byte & 15];
                                break;
                        }
                        i += 2;
                } else if (c >= 0x80 || is_plain(c)) {
                        out[n++] = (char)c;
                } else {
                        return -EINVAL;
                }
        }
        drop_dots(out, start, &n);
        if (!decode_utf8_ok(out, n))
                return -EINVAL;
        *ret = (struct span){ out, n };
        return 0;
}

/* Writes one byte of a value as text of a path or a query; false: no room. */
static bool
expand_byte(char *out, size_t room, size_t *n, unsigned char c, bool plain)
{
        if (room - *n < (plain ? 1u : 3u))
                return false;
        if (plain) {
                out[(*n)++] = (char)c;
                return true;
        }
        out[(*n)++] = '%';
        out[(*n)++] = hex_digits[c >> 4];
        out[(*n)++] = hex_digits[c & 15];
        return true;
}

/* A value can name no other place than the template meant: it never makes "//host" or "scheme:" of its beginning, nor a second query. */
static bool
expand_value(char *out, size_t room, size_t *n, struct span value, bool in_query)
{
        for (size_t i = 0; i < value.len; i++) {
                unsigned char c = (unsigned char)value.ptr[i];
                unsigned kind = char_kind(c);
                bool plain = kind == CH_UNRESERVED;

                if (c == '%') /* an escape that router_decode kept */
                        plain = true;
                else if (c == '/')
                        plain = !(*n == 1 && out[0] == '/') && !(*n == 0 && i + 1 < value.len && value.ptr[1] == '/');
                else if (!in_query && (kind == CH_SUBDELIM || c == '@'))
                        plain = true;
                else if (!in_query && c == ':')
                        plain = memchr(out, '/', *n) != NULL;
                if (!expand_byte(out, room, n, c, plain))
                        return false;
        }
        return true;
}

static const struct router_param *
match_param(const struct router_match *m, struct span name)
{
        for (uint32_t i = 0; i < m->param_count; i++)
                if (span_is(m->params[i].name, name))
                        return &m->params[i];
        return NULL;
}

long
router_expand(const char *to, const struct router_match *m, char *out, size_t room)
{
        size_t n = 0;
        bool in_query = false;

        for (const char *p = to; *p != '\0'; p++) {
                const char *close = *p == '{' ? strchr(p, '}') : NULL;
                const struct router_param *param;

                if (close != NULL && (param = match_param(m, (struct span){ p + 1, (size_t)(close - p) - 1 })) != NULL) {
                        if (!expand_value(out, room, &n, param->value, in_query))
                                return -ENOSPC;
                        p = close;
                        continue;
                }
                in_query |= *p == '?';
                if (n == room)
                        return -ENOSPC;
                out[n++] = *p;
        }
        return (long)n;
}
