/* http1_priv.h - what http1.c and http1_fields.c share: classes of bytes, strides over them, and the calls between the two. Nobody else includes it.
 * SPDX-License-Identifier: MIT
 * A stride skips what is plainly allowed, 16 bytes at a time with SSE2, 8 without, and leaves the byte that stopped it to the caller. */
#ifndef HEART_HTTP1_PRIV_H
#define HEART_HTTP1_PRIV_H

#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "http1.h"

enum { TE_SEEN = 1, TE_LAST_CHUNKED = 2, TE_UNKNOWN = 4 }; /* http_head._te */
enum { SCHEME_NONE, SCHEME_HTTP, SCHEME_HTTPS };           /* http_head._scheme, of an absolute-form target */

/* http1_fields.c. A whole field line is there: f is the field_count-th; counts it. 0 or -status. */
int http1_field_done(struct http_head *h, struct http_field *f, const char *buf);
/* The empty line is there: what do the fields mean together? 0 or -status. */
int http1_head_done(struct http_head *h, const char *buf);
bool http1_host_ok(struct span host);

/* ---- classes of bytes ---------------------------------------------------------------------------------------------- */

enum { T = 1 /* tchar: RFC 9110, 5.6.2 */, H = 2 /* in a host name: letters, digits, "-", ".", "_" */ };
static const uint8_t classes[256] = {
        ['!'] = T, ['#'] = T, ['$'] = T, ['%'] = T, ['&'] = T, ['\''] = T, ['*'] = T, ['+'] = T, ['-'] = T | H, ['.'] = T | H, ['^'] = T, ['_'] = T | H,
        ['`'] = T, ['|'] = T, ['~'] = T, ['0' ... '9'] = T | H, ['A' ... 'Z'] = T | H, ['a' ... 'z'] = T | H,
};

static inline bool
is_class(char c, uint8_t mask)
{
        return (classes[(uint8_t)c] & mask) != 0;
}

/* ---- strides: each returns the first place in [p, end) whose byte is not plainly allowed, or end --------------------- */

#define ONES 0x0101010101010101ULL
#define HIGHS 0x8080808080808080ULL

static inline uint64_t
load_le64(const char *p)
{
        uint64_t v;

        memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        v = __builtin_bswap64(v);
#endif
        return v;
}

/* The high bit of each byte that is below n (n <= 128) or equals c. Bytes behind the first hit may be marked falsely (a borrow): only the lowest counts. */
static inline uint64_t bytes_below(uint64_t v, uint8_t n) { return (v - ONES * n) & ~v & HIGHS; }
static inline uint64_t bytes_equal(uint64_t v, uint8_t c) { v ^= ONES * c; return (v - ONES) & ~v & HIGHS; }

static inline bool
stops_value(uint8_t c)
{
        return c < 0x20 || c == 0x7f;
}

static inline bool
stops_target(uint8_t c)
{
        return c <= 0x20 || c >= 0x7f || c == '#' || c == '?';
}

/* Field values: everything but controls (RFC 9110, 5.5). Stops at HTAB too; the caller steps over it. */
static inline const char *
skip_value(const char *p, const char *end)
{
#ifdef __SSE2__
        const __m128i last_control = _mm_set1_epi8(0x1f), del = _mm_set1_epi8(0x7f);

        for (; end - p >= 16; p += 16) {
                __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
                __m128i bad = _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(v, last_control), v), _mm_cmpeq_epi8(v, del));
                unsigned mask = (unsigned)_mm_movemask_epi8(bad);

                if (mask != 0)
                        return p + __builtin_ctz(mask);
        }
#endif
        for (; end - p >= 8; p += 8) {
                uint64_t v = load_le64(p), bad = bytes_below(v, 0x20) | bytes_equal(v, 0x7f);

                if (bad != 0)
                        return p + __builtin_ctzll(bad) / 8;
        }
        while (p < end && !stops_value((uint8_t)*p))
                p++;
        return p;
}

/* Request targets: visible ASCII but '#' (never sent: RFC 9112, 3.2). Stops at '?' too, which the caller notes. More than RFC 3986 allows, for browsers send
 * | ^ { } and their like in queries; bytes above 0x7e come escaped or not at all. */
static inline const char *
skip_target(const char *p, const char *end)
{
#ifdef __SSE2__
        const __m128i first = _mm_set1_epi8(0x21), del = _mm_set1_epi8(0x7f), hash = _mm_set1_epi8('#'), question = _mm_set1_epi8('?');

        for (; end - p >= 16; p += 16) {
                __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
                /* signed: bytes above 0x7f are negative, hence below 0x21 as well */
                __m128i bad = _mm_or_si128(_mm_or_si128(_mm_cmplt_epi8(v, first), _mm_cmpeq_epi8(v, del)),
                                           _mm_or_si128(_mm_cmpeq_epi8(v, hash), _mm_cmpeq_epi8(v, question)));
                unsigned mask = (unsigned)_mm_movemask_epi8(bad);

                if (mask != 0)
                        return p + __builtin_ctz(mask);
        }
#endif
        for (; end - p >= 8; p += 8) {
                uint64_t v = load_le64(p), bad = bytes_below(v, 0x21) | bytes_equal(v, 0x7f) | bytes_equal(v, '#') | bytes_equal(v, '?') | (v & HIGHS);

                if (bad != 0)
                        return p + __builtin_ctzll(bad) / 8;
        }
        while (p < end && !stops_target((uint8_t)*p))
                p++;
        return p;
}

/* Tokens. Names are letters and "-" for the most part: those go in one stride, and the table judges what stopped it. */
static inline const char *
skip_token(const char *p, const char *end)
{
#ifdef __SSE2__
        const __m128i fold = _mm_set1_epi8(0x20), a = _mm_set1_epi8('a'), last = _mm_set1_epi8('z' - 'a'), dash = _mm_set1_epi8('-');

        while (end - p >= 16) {
                __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p), letter = _mm_sub_epi8(_mm_or_si128(v, fold), a);
                unsigned plain = (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(letter, last), letter), _mm_cmpeq_epi8(v, dash)));

                if (plain != 0xffff) {
                        p += __builtin_ctz(~plain);
                        break;
                }
                p += 16;
        }
#endif
        while (p < end && is_class(*p, T))
                p++;
        return p;
}

static inline struct span
span_trim(struct span s)
{
        while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
                s.ptr++, s.len--;
        while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
                s.len--;
        return s;
}

#endif
