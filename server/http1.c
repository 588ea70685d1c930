/* http1.c - bytes become a request head (RFC 9112, RFC 9110). Contract in http1.h.
 * SPDX-License-Identifier: MIT
 * From: conn.c has read bytes.   To: request.c settles limits, dispatch.c asks for fields.   Thread: the caller's; no state but the struct's.
 *
 * The parser is a byte machine that runs in strides: inside one part of the head (method, target, name, value) a stride skips all that is allowed there, 16 or 8
 * bytes at a time, and the byte that stops it is judged. Each part ends either at that byte, at the end of what has arrived (_pos remembers where, so
 * that no byte is looked at twice) or at the limit. Limits are places, not counts made afterwards: a stride never runs past the byte where 414 or 431 is due. */
#include "http1.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>
#include <strings.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "../router/route.h" /* M_ bits */

enum state { S_START, S_METHOD, S_TARGET, S_VERSION, S_LINE, S_NAME, S_VALUE };
enum { TE_SEEN = 1, TE_LAST_CHUNKED = 2, TE_UNKNOWN = 4 };
enum { SCHEME_NONE, SCHEME_HTTP, SCHEME_HTTPS };

#define METHOD_MAX 32 /* bytes; the longest in IANA's registry has 17 (UPDATEREDIRECTREF). RFC 9112, 3: a longer one gets 501 */
#define NAME_MAX_BYTES 0xffff

static_assert(HTTP_HEADERS_MAX <= 256, "known[] holds indices in a byte");

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

/* ---- small helpers --------------------------------------------------------------------------------------------------- */

static bool
is_word(struct span s, const char *word, size_t len)
{
        return s.len == len && strncasecmp(s.ptr, word, len) == 0;
}
#define IS_WORD(s, lit) is_word((s), (lit), sizeof(lit) - 1)

static struct span
trim(struct span s)
{
        while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
                s.ptr++, s.len--;
        while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
                s.len--;
        return s;
}

/* The next element of a comma-separated list without quoted strings (RFC 9110, 5.6.1); false at its end. *list is what remains, .ptr NULL behind the last. */
static bool
list_next(struct span *list, struct span *ret)
{
        const char *comma;

        if (list->ptr == NULL)
                return false;
        comma = memchr(list->ptr, ',', list->len);
        if (comma == NULL) {
                *ret = trim(*list);
                list->ptr = NULL;
                return true;
        }
        *ret = trim((struct span){ list->ptr, (size_t)(comma - list->ptr) });
        list->len -= (size_t)(comma + 1 - list->ptr);
        list->ptr = comma + 1;
        return true;
}

/* ---- hosts ------------------------------------------------------------------------------------------------------------- */

/* Splits host[:port]; false when there is something else behind the host. port: the digits, may be empty. */
static bool
host_split(struct span host, struct span *ret_name, struct span *ret_port)
{
        const char *end = host.ptr + host.len, *stop;

        if (host.len > 0 && host.ptr[0] == '[') {
                stop = memchr(host.ptr, ']', host.len);
                if (stop == NULL)
                        return false;
                stop++;
        } else {
                stop = memchr(host.ptr, ':', host.len);
                if (stop == NULL)
                        stop = end;
        }
        *ret_name = (struct span){ host.ptr, (size_t)(stop - host.ptr) };
        *ret_port = (struct span){ stop, 0 };
        if (stop == end)
                return true;
        if (*stop != ':')
                return false;
        *ret_port = (struct span){ stop + 1, (size_t)(end - stop - 1) };
        return true;
}

static bool
port_ok(struct span port)
{
        unsigned value = 0;

        for (size_t i = 0; i < port.len; i++) {
                if (port.ptr[i] < '0' || port.ptr[i] > '9')
                        return false;
                value = value * 10 + (unsigned)(port.ptr[i] - '0');
                if (value > 65535)
                        return false;
        }
        return true;
}

/* A name that could be in DNS (labels that are not empty, one dot may end it) or an IPv6 address in brackets. RFC 3986 would let more pass (sub-delims,
 * escapes, IPvFuture), none of which any site is called: RFC 9112, 3.2 asks for 400 on an invalid Host, and what ends up in redirects shall be harmless. */
static bool
host_ok(struct span host)
{
        struct span name, port;
        bool dot = true;

        if (!host_split(host, &name, &port) || name.len == 0 || name.len > 255 || !port_ok(port))
                return false;
        if (name.ptr[0] == '[') {
                char text[INET6_ADDRSTRLEN];
                struct in6_addr addr;

                if (name.len < 4 || name.len - 2 >= sizeof text)
                        return false;
                memcpy(text, name.ptr + 1, name.len - 2);
                text[name.len - 2] = '\0';
                return inet_pton(AF_INET6, text, &addr) == 1;
        }
        for (size_t i = 0; i < name.len; i++) {
                if (!is_class(name.ptr[i], H) || (dot && name.ptr[i] == '.'))
                        return false;
                dot = name.ptr[i] == '.';
        }
        return true;
}

/* Does the authority of an absolute-form target name what Host names? The scheme's own port may be left out. */
static bool
authority_agrees(struct span authority, struct span host, uint8_t scheme)
{
        struct span usual = scheme == SCHEME_HTTPS ? SPAN_LIT("443") : SPAN_LIT("80"), a, a_port, b, b_port;

        if (!host_split(authority, &a, &a_port) || !host_split(host, &b, &b_port))
                return false;
        if (a_port.len == 0)
                a_port = usual;
        if (b_port.len == 0)
                b_port = usual;
        return a.len == b.len && strncasecmp(a.ptr, b.ptr, a.len) == 0 && span_is(a_port, b_port);
}

struct span
http_host_name(struct span host, char *out, size_t room)
{
        struct span name, port;

        if (!host_split(host, &name, &port))
                return (struct span){ out, 0 };
        if (name.len > 1 && name.ptr[name.len - 1] == '.')
                name.len--;
        if (name.len > room)
                return (struct span){ out, 0 };
        for (size_t i = 0; i < name.len; i++)
                out[i] = (char)(name.ptr[i] | (name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? 0x20 : 0));
        return (struct span){ out, name.len };
}

/* ---- the request line --------------------------------------------------------------------------------------------------- */

/* 0 and the method's bit, or -status. Methods are case-sensitive (RFC 9110, 9.1). */
static int
method_bit(const char *p, size_t len, uint32_t *ret)
{
        static const struct { char name[8]; uint8_t len; uint8_t bit; } methods[] = {
                { "GET", 3, M_GET }, { "POST", 4, M_POST }, { "HEAD", 4, M_HEAD }, { "PUT", 3, M_PUT },
                { "DELETE", 6, M_DELETE }, { "PATCH", 5, M_PATCH }, { "OPTIONS", 7, M_OPTIONS },
        };

        for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
                if (methods[i].len == len && memcmp(p, methods[i].name, len) == 0) {
                        *ret = methods[i].bit;
                        return 0;
                }
        if (len == 7 && memcmp(p, "CONNECT", 7) == 0)
                return -501; /* heart is no proxy; RFC 9110, 9.3.6: an origin server need not implement it */
        if (len == 5 && memcmp(p, "TRACE", 5) == 0)
                return -405; /* it would show a script its own cookies (RFC 9110, 9.3.8) */
        *ret = M_OTHER;
        return 0;
}

/* http://authority[/path][?query]. RFC 9112, 3.2.2. */
static int
target_absolute(struct http_head *h, const char *buf, uint32_t path_end)
{
        const char *p = buf + h->target_off, *end = p + h->target_len, *slashes, *stop;

        if (h->target_len > 7 && strncasecmp(p, "http://", 7) == 0) {
                h->_scheme = SCHEME_HTTP;
                slashes = p + 5;
        } else if (h->target_len > 8 && strncasecmp(p, "https://", 8) == 0) {
                h->_scheme = SCHEME_HTTPS;
                slashes = p + 6;
        } else {
                return -400;
        }
        h->absolute = true;
        for (stop = slashes + 2; stop < end && *stop != '/' && *stop != '?'; stop++)
                ;
        h->_authority_off = (uint32_t)(slashes + 2 - buf);
        h->_authority_len = (uint32_t)(stop - slashes - 2);
        if (!host_ok((struct span){ slashes + 2, h->_authority_len })) /* also user:password@, which RFC 9110, 4.2.4 calls an error */
                return -400;
        h->path_off = (uint32_t)(stop - buf);
        h->path_len = path_end - h->path_off;
        if (h->path_len == 0) {
                h->path_off = (uint32_t)(slashes - buf); /* an empty path means "/" (RFC 9110, 4.2.3): borrow one */
                h->path_len = 1;
        }
        return 0;
}

/* The whole target is there: which form is it (RFC 9112, 3.2)? */
static int
target_parse(struct http_head *h, const char *buf)
{
        uint32_t end = h->target_off + h->target_len, path_end = h->query_off != 0 ? h->query_off - 1 : end;

        if (h->query_off == 0)
                h->query_off = end;
        h->query_len = end - h->query_off;
        h->path_off = h->target_off;
        h->path_len = path_end - h->path_off;
        if (h->target_len > 0 && buf[h->target_off] == '/')
                return 0;
        if (h->target_len == 1 && buf[h->target_off] == '*')
                return h->method == M_OPTIONS ? 0 : -400; /* RFC 9112, 3.2.4 */
        return target_absolute(h, buf, path_end);
}

/* S_START: one CRLF may come first (RFC 9112, 2.2). 1 go on, 0 more wanted, -status. The same for the parts that follow. */
static int
parse_start(struct http_head *h, const char *buf, uint32_t len)
{
        if (len == 0)
                return 0;
        if (buf[0] == '\r') {
                if (len < 2)
                        return 0;
                if (buf[1] != '\n')
                        return -400;
                h->_start = 2;
        }
        h->_pos = h->method_off = h->_start;
        h->_state = S_METHOD;
        return 1;
}

static int
parse_method(struct http_head *h, const char *buf, uint32_t len, uint64_t bound)
{
        uint64_t end = bound, too_long = (uint64_t)h->_start + METHOD_MAX + 1;
        const char *p;
        int r;

        if (end > too_long)
                end = too_long;
        if (end > len)
                end = len;
        p = skip_token(buf + h->_pos, buf + end);
        h->_pos = (uint32_t)(p - buf);
        if (h->_pos == end)
                return end == too_long ? -501 : end == bound ? -414 : 0;
        h->method_len = h->_pos - h->method_off;
        if (*p != ' ' || h->method_len == 0)
                return -400;
        r = method_bit(buf + h->method_off, h->method_len, &h->method);
        if (r < 0)
                return r;
        h->target_off = ++h->_pos;
        h->_state = S_TARGET;
        return 1;
}

static int
parse_target(struct http_head *h, const char *buf, uint32_t len, uint64_t bound)
{
        uint64_t end = bound < len ? bound : len;
        const char *p = buf + h->_pos;

        for (;; p++) {
                p = skip_target(p, buf + end);
                if (p == buf + end || *p != '?')
                        break;
                if (h->query_off == 0)
                        h->query_off = (uint32_t)(p + 1 - buf);
        }
        h->_pos = (uint32_t)(p - buf);
        if (h->_pos == end)
                return end == bound ? -414 : 0;
        if (*p != ' ')
                return -400;
        h->target_len = h->_pos - h->target_off;
        h->_pos++;
        h->_state = S_VERSION;
        return 1;
}

/* "HTTP/1.1" CRLF, byte for byte (RFC 9112, 2.3): case counts, one digit on each side, nothing before or behind. */
static int
parse_version(struct http_head *h, const char *buf, uint32_t len, uint64_t bound)
{
        static const char shape[] = "HTTP/0.0\r\n";
        uint32_t have = len - h->_pos < 10 ? len - h->_pos : 10;
        const char *p = buf + h->_pos;

        if ((uint64_t)h->_pos + 8 > bound)
                return -414;
        for (uint32_t i = 0; i < have; i++)
                if (shape[i] == '0' ? p[i] < '0' || p[i] > '9' : p[i] != shape[i])
                        return -400;
        if (have < 10)
                return 0;
        if (p[5] != '1')
                return -505;
        h->minor = p[7] == '0' ? 0 : 1; /* a later minor is answered as the highest we know (RFC 9110, 6.2) */
        h->_pos += 10;
        h->_fields_off = h->_pos;
        h->_state = S_LINE;
        h->keep_alive = h->minor == 1;
        return target_parse(h, buf) < 0 ? -400 : 1;
}

/* ---- fields that decide framing ------------------------------------------------------------------------------------------ */

static int
field_content_length(struct http_head *h, struct span v)
{
        uint64_t n = 0;

        if (h->content_length >= 0 || v.len == 0)
                return -400; /* repeated, be it with the same number: RFC 9112, 6.3 lets us refuse, and nobody honest sends it */
        for (size_t i = 0; i < v.len; i++) {
                uint8_t digit = (uint8_t)(v.ptr[i] - '0');

                if (digit > 9 || n > ((uint64_t)INT64_MAX - digit) / 10)
                        return -400;
                n = n * 10 + digit;
        }
        h->content_length = (int64_t)n;
        return 0;
}

/* Transfer-Encoding is judged when the head is complete (codings may be spread over several fields); here only what each element is. */
static int
field_transfer_encoding(struct http_head *h, struct span v)
{
        struct span coding;

        while (list_next(&v, &coding)) {
                bool chunked = IS_WORD(coding, "chunked");

                if (coding.len == 0 || skip_token(coding.ptr, coding.ptr + coding.len) != coding.ptr + coding.len)
                        return -400; /* empty elements and parameters: RFC 9112, 7.1 calls the latter an error for chunked */
                if (h->_te & TE_LAST_CHUNKED)
                        return -400; /* RFC 9112, 6.1: chunked once, and last */
                h->_te |= (uint8_t)(TE_SEEN | (chunked ? TE_LAST_CHUNKED : TE_UNKNOWN));
        }
        return 0;
}

static void
field_connection(struct http_head *h, struct span v, bool *ret_close)
{
        struct span option;

        while (list_next(&v, &option)) {
                if (IS_WORD(option, "close"))
                        *ret_close = true;
                else if (IS_WORD(option, "keep-alive"))
                        h->keep_alive = true;
        }
}

static int
field_host(struct http_head *h, struct span v, const char *buf)
{
        if (h->host_len != 0 || !host_ok(v))
                return -400; /* RFC 9112, 3.2: more than one, or an invalid one */
        h->host_off = (uint32_t)(v.ptr - buf);
        h->host_len = (uint32_t)v.len;
        return 0;
}

/* One whole field line is there. */
static int
field_done(struct http_head *h, struct http_field *f, const char *buf)
{
        struct span v = { buf + f->value_off, f->value_len };

        if (f->id != IPC_H_OTHER && !(h->seen[f->id / 64] >> (f->id % 64) & 1)) {
                h->seen[f->id / 64] |= 1ULL << (f->id % 64);
                h->known[f->id] = (uint8_t)h->field_count;
        }
        h->field_count++;
        switch (f->id) {
        case IPC_H_HOST:
                return field_host(h, v, buf);
        case IPC_H_CONTENT_LENGTH:
                return field_content_length(h, v);
        case IPC_H_TRANSFER_ENCODING:
                return field_transfer_encoding(h, v);
        case IPC_H_EXPECT:
                h->expect_continue = true;
                return IS_WORD(v, "100-continue") ? 0 : -417; /* RFC 9110, 10.1.1 */
        default:
                return 0;
        }
}

/* The empty line is there: what do the fields mean together? */
static int
head_done(struct http_head *h, const char *buf)
{
        bool close = false;

        if (h->minor == 1 && h->host_len == 0)
                return -400; /* RFC 9112, 3.2 */
        if (h->_te & TE_SEEN) {
                if (h->minor == 0 || h->content_length >= 0 || !(h->_te & TE_LAST_CHUNKED))
                        return -400; /* RFC 9112, 6.1 and 6.3: ambiguous, or without an end */
                if (h->_te & TE_UNKNOWN)
                        return -501; /* RFC 9112, 6.1 */
                h->chunked = true;
        }
        if (h->absolute) {
                struct span authority = { buf + h->_authority_off, h->_authority_len };

                if (h->host_len != 0 && !authority_agrees(authority, (struct span){ buf + h->host_off, h->host_len }, h->_scheme))
                        return -400;
                h->host_off = h->_authority_off; /* RFC 9112, 3.2.2: the target's authority is the host */
                h->host_len = h->_authority_len;
        }
        if (http_head_field(h, IPC_H_CONNECTION) != NULL)
                for (uint32_t i = h->known[IPC_H_CONNECTION]; i < h->field_count; i++)
                        if (h->fields[i].id == IPC_H_CONNECTION)
                                field_connection(h, (struct span){ buf + h->fields[i].value_off, h->fields[i].value_len }, &close);
        if (close)
                h->keep_alive = false; /* RFC 9112, 9.3: close wins */
        if (h->minor == 0 || (!h->chunked && h->content_length <= 0))
                h->expect_continue = false; /* RFC 9110, 10.1.1: not for 1.0, and no body, no wait */
        return 0;
}

/* ---- field lines, the last part first: each goes straight on to the next ------------------------------------------------------- */

/* The value: up to CRLF, blanks around it dropped (RFC 9112, 5.1). A CR or LF alone and every other control are refused (RFC 9110, 5.5; RFC 9112, 2.2). */
static int
parse_value(struct http_head *h, const char *buf, uint32_t len, uint64_t bound)
{
        struct http_field *f = &h->fields[h->field_count];
        const char *end = buf + (bound < len ? bound : len), *p = skip_value(buf + h->_pos, end);
        struct span v;
        int r;

        while (p < end && *p == '\t')
                p = skip_value(p + 1, end);
        h->_pos = (uint32_t)(p - buf);
        if (p == end)
                return h->_pos == bound ? -431 : 0;
        if (*p != '\r')
                return -400;
        if ((uint64_t)h->_pos + 2 > bound)
                return -431;
        if (len - h->_pos < 2)
                return 0;
        if (p[1] != '\n')
                return -400;
        v = trim((struct span){ buf + f->value_off, h->_pos - f->value_off });
        f->value_off = (uint32_t)(v.ptr - buf);
        f->value_len = (uint32_t)v.len;
        h->_pos += 2;
        h->_state = S_LINE;
        r = field_done(h, f, buf);
        return r < 0 ? r : 1;
}

/* A name is a token and the colon follows at once (RFC 9112, 5.1). A line that begins with a blank (obs-fold, 5.2) has no name at all. */
static int
parse_name(struct http_head *h, const char *buf, uint32_t len, uint64_t bound)
{
        struct http_field *f = &h->fields[h->field_count];
        uint64_t end = bound, too_long = (uint64_t)f->name_off + NAME_MAX_BYTES + 1;
        const char *p;

        if (end > too_long)
                end = too_long;
        if (end > len)
                end = len;
        p = skip_token(buf + h->_pos, buf + end);
        h->_pos = (uint32_t)(p - buf);
        if (h->_pos == end)
                return end == bound || end == too_long ? -431 : 0;
        if (*p != ':' || h->_pos == f->name_off)
                return -400;
        f->name_len = (uint16_t)(h->_pos - f->name_off);
        f->id = (uint8_t)ipc_header_find(buf + f->name_off, f->name_len);
        f->_pad = 0;
        f->value_off = ++h->_pos;
        h->_state = S_VALUE;
        return parse_value(h, buf, len, bound);
}

/* S_LINE: a field line or the empty line begins here. 2: the head is complete. */
static int
parse_line(struct http_head *h, const char *buf, uint32_t len, uint64_t bound, const struct http_limits *lim)
{
        uint32_t most = lim->header_count < HTTP_HEADERS_MAX ? lim->header_count : HTTP_HEADERS_MAX;
        int r;

        if (h->_pos >= len)
                return 0;
        if (buf[h->_pos] == '\r') {
                if (len - h->_pos < 2)
                        return 0;
                if (buf[h->_pos + 1] != '\n')
                        return -400;
                h->_pos += 2;
                r = head_done(h, buf);
                return r < 0 ? r : 2;
        }
        if (h->_pos >= bound || h->field_count >= most)
                return -431;
        h->fields[h->field_count].name_off = h->_pos;
        h->_state = S_NAME;
        return parse_name(h, buf, len, bound);
}

/* ---- the whole ----------------------------------------------------------------------------------------------------------- */

void
http_head_init(struct http_head *h)
{
        memset(h, 0, offsetof(struct http_head, known));
        h->content_length = -1;
        h->_state = S_START;
        h->_te = h->_scheme = 0;
        h->_pos = h->_start = 0;
}

int
http_head_parse(struct http_head *h, const char *buf, uint32_t len, const struct http_limits *lim)
{
        int r = 1;

        assert(len >= h->_pos && len <= INT32_MAX);
        while (r == 1) {
                uint64_t line_bound = (uint64_t)h->_start + lim->request_line, fields_bound = (uint64_t)h->_fields_off + lim->header;

                switch ((enum state)h->_state) {
                case S_START:
                        r = parse_start(h, buf, len);
                        break;
                case S_METHOD:
                        r = parse_method(h, buf, len, line_bound);
                        break;
                case S_TARGET:
                        r = parse_target(h, buf, len, line_bound);
                        break;
                case S_VERSION:
                        r = parse_version(h, buf, len, line_bound);
                        break;
                case S_LINE:
                        r = parse_line(h, buf, len, fields_bound, lim);
                        break;
                case S_NAME:
                        r = parse_name(h, buf, len, fields_bound);
                        break;
                case S_VALUE:
                        r = parse_value(h, buf, len, fields_bound);
                        break;
                }
        }
        return r == 2 ? (int)h->_pos : r;
}

struct span
http_head_get(const struct http_head *h, const char *buf, enum ipc_header_id id)
{
        const struct http_field *f = http_head_field(h, id);

        return f != NULL ? (struct span){ buf + f->value_off, f->value_len } : (struct span){ NULL, 0 };
}
