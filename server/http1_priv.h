/* http1_priv.h - what http1.c and http1_fields.c share: classes of bytes, strides over them, and the calls between the two. Nobody else includes it.
 * SPDX-License-Identifier: MIT
 * A stride of the byte machine skips what is plainly allowed, 8 bytes at a time, and leaves the byte that stopped it to the caller. */
#ifndef HEART_HTTP1_PRIV_H
#define HEART_HTTP1_PRIV_H

#include <assert.h>
#include <string.h>

#include "http1.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

enum { TE_SEEN = 1, TE_LAST_CHUNKED = 2, TE_UNKNOWN = 4, CONNECTION_CLOSE = 8, ABSOLUTE = 16, EXPECTS = 32 }; /* http_head._flags: what http1_head_done must look at */
enum { SCHEME_NONE, SCHEME_HTTP, SCHEME_HTTPS };           /* http_head._scheme, of an absolute-form target */

enum http1_state { S_START, S_METHOD, S_TARGET, S_VERSION, S_LINE, S_NAME, S_VALUE }; /* http_head._state: what begins or goes on at _pos */

/* ---- http1_fields.c ------------------------------------------------------------------------------------------------- */

/* What a field that decides something says, by itself or with those before. 0 or -status. */
int http1_field_judge(struct http_head *h, const struct http_field *f, const char *buf);
/* The empty line is there: what do the fields mean together? 0 or -status. */
int http1_head_done(struct http_head *h, const char *buf);
bool http1_host_ok(struct span host);

#define HTTP1_BIT(name) (1ULL << IPC_H_##name)
#define HTTP1_JUDGED (HTTP1_BIT(HOST) | HTTP1_BIT(CONNECTION) | HTTP1_BIT(CONTENT_LENGTH) | HTTP1_BIT(TRANSFER_ENCODING) | HTTP1_BIT(EXPECT))
static_assert(IPC_H_HOST < 64 && IPC_H_CONNECTION < 64 && IPC_H_CONTENT_LENGTH < 64 && IPC_H_TRANSFER_ENCODING < 64 && IPC_H_EXPECT < 64, "bits of one word");

#define HTTP1_BIT(name) (1ULL << IPC_H_##name)
#define HTTP1_JUDGED (HTTP1_BIT(HOST) | HTTP1_BIT(CONNECTION) | HTTP1_BIT(CONTENT_LENGTH) | HTTP1_BIT(TRANSFER_ENCODING) | HTTP1_BIT(EXPECT))
static_assert(IPC_H_COUNT <= 64, "ids are bits of one word; make `seen` two in http1.c and http1_lines.h");

/* ---- limits ---------------------------------------------------------------------------------------------------------- */

/* The place where a part that began at start must have ended. Not before what was read already: a reload may lower the limits in the middle of a head. */
static inline uint64_t
http1_bound_of(const struct http_head *h, uint32_t start, uint32_t limit)
{
        uint64_t bound = (uint64_t)start + limit;

        return bound > h->_pos ? bound : h->_pos;
}

static inline uint32_t
http1_most_fields(const struct http_limits *lim)
{
        return lim->header_count < HTTP_HEADERS_MAX ? lim->header_count : HTTP_HEADERS_MAX;
}

/* ---- http1_scan.c: the fast path, for each kind of processor (http1_lines.h) ------------------------------------------- */

/* Takes lines that are whole and plainly right from _pos on, where a head (place 0) or a field line begins. 2: the empty line was among them, the head is complete;
 * 1: the line at _pos is for the byte machine; -status: a field that decides something was wrong. */
typedef int http1_lines_fn(struct http_head *h, const char *buf, uint32_t len, const struct http_limits *lim);
http1_lines_fn http1_lines_avx2, http1_lines_sse42, http1_lines_neon;
extern http1_lines_fn *http1_lines; /* the one in use */

/* ---- classes of bytes ---------------------------------------------------------------------------------------------- */

enum { T = 1 /* tchar: RFC 9110, 5.6.2 */, H = 2 /* in a host name: letters, digits, "-", ".", "_" */ };
static const uint8_t classes[256] = {
        ['!'] = T, ['#'] = T, ['$'] = T, ['%'] = T, ['&'] = T, ['\''] = T, ['*'] = T, ['+'] = T, ['-'] = T | H, ['.'] = T | H, ['^'] = T, ['_'] = T | H,
        ['`'] = T, ['|'] = T, ['~'] = T, ['0' ... '9'] = T | H, ['A' ... 'Z'] = T | H, ['a' ... 'z'] = T | H,
};

/* The same for lookups by shuffles (http1_scan.c): for the low half of a byte a bit for each high half, below 8, with which it is in the class; and the bit of each high half. */
extern const uint8_t http1_token_columns[16], http1_host_columns[16], http1_digit_columns[16], http1_row_bits[16];

static inline bool
is_blank(char c)
{
        return c == ' ' || c == '\t';
}

static inline bool
is_class(char c, uint8_t mask)
{
        return (classes[(uint8_t)c] & mask) != 0;
}

/* ---- strides: each returns the first place in [p, end) whose byte is not plainly allowed, or end --------------------- */

#define ONES 0x0101010101010101ULL
#define HIGHS 0x8080808080808080ULL

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define FROM_LE(bits, v) __builtin_bswap##bits(v)
#else
#define FROM_LE(bits, v) (v)
#endif
#define DEFINE_LOAD(bits)                         \
        static inline uint##bits##_t              \
        load_le##bits(const char *p)              \
        {                                         \
                uint##bits##_t v;                 \
                                                  \
                memcpy(&v, p, sizeof v);          \
                return FROM_LE(bits, v);          \
        }
DEFINE_LOAD(16)
DEFINE_LOAD(32)
DEFINE_LOAD(64)

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
        for (; end - p >= 8; p += 8) {
                uint64_t v = load_le64(p), bad = bytes_below(v, 0x21) | bytes_equal(v, 0x7f) | bytes_equal(v, '#') | bytes_equal(v, '?') | (v & HIGHS);

                if (bad != 0)
                        return p + __builtin_ctzll(bad) / 8;
        }
        while (p < end && !stops_target((uint8_t)*p))
                p++;
        return p;
}

static inline const char *
skip_token(const char *p, const char *end)
{
        while (p < end && is_class(*p, T))
                p++;
        return p;
}

/* ---- request lines --------------------------------------------------------------------------------------------------- */

struct http1_method { uint64_t word, mask; /* the method and the blank behind it, as load_le64 sees them */ uint32_t bit; uint8_t len; };
#define HTTP1_METHODS 7
extern const struct http1_method http1_methods[HTTP1_METHODS]; /* http1_scan.c */

/* "HTTP/1.1" and "HTTP/1.0" as load_le64 sees them. */
#define HTTP1_VERSION_1_1 0x312e312f50545448ULL
#define HTTP1_VERSION_1_0 0x302e312f50545448ULL
#define HTTP1_CRLF 0x0a0d /* all as load_le16 and load_le64 see them */
#define HTTP1_COLON_BLANK 0x203a
#define HTTP1_KEEP_ALI 0x696c612d7065656bULL /* the first eight bytes of "keep-alive", and the last two */
#define HTTP1_VE 0x6576u

static inline const struct http1_method *
http1_method_find(uint64_t word)
{
        for (int i = 0; i < HTTP1_METHODS; i++)
                if ((word & http1_methods[i].mask) == http1_methods[i].word)
                        return &http1_methods[i];
        return NULL;
}

static inline struct span
span_trim(struct span s)
{
        while (s.len > 0 && is_blank(s.ptr[0]))
                s.ptr++, s.len--;
        while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
                s.len--;
        return s;
}

#endif
