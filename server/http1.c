/* http1.c - bytes become a request head (RFC 9112, RFC 9110). Contract in http1.h.
 * SPDX-License-Identifier: MIT
 * From: conn.c has read bytes.   To: http1_fields.c says what they mean, request.c settles limits.   Thread: the caller's; no state but the struct's.
 *
 * The parser is a byte machine that runs in strides: inside one part of the head (method, target, name, value) a stride skips all that is allowed there, 16 or 8
 * bytes at a time, and the byte that stops it is judged. Each part ends either at that byte, at the end of what has arrived (_pos remembers where, so
 * that no byte is looked at twice) or at the limit. Limits are places, not counts made afterwards: a stride never runs past the byte where 414 or 431 is due. */
#include "http1_priv.h"

#include <assert.h>
#include <stddef.h>
#include <strings.h>

#include "../router/route.h" /* M_ bits */

#define METHOD_MAX 32 /* bytes; the longest in IANA's registry has 17 (UPDATEREDIRECTREF). RFC 9112, 3: a longer one gets 501 */
#define NAME_MAX_BYTES 0xffff /* name_len is 16 bits */

static_assert(HTTP_HEADERS_MAX <= 256, "known[] holds indices in a byte");

/* ---- the request line --------------------------------------------------------------------------------------------------- */

/* 0 and the method's bit, or -status. Methods are case-sensitive (RFC 9110, 9.1). */
static int
method_bit(const char *p, size_t len, uint32_t *ret)
{
        char word[8] = "        ";

        memcpy(word, p, len < sizeof word ? len : sizeof word);
        for (const struct http1_method *m = http1_methods; m < http1_methods + HTTP1_METHODS; m++)
                if (m->len == len && (load_le64(word) & m->mask) == m->word) {
                        *ret = m->bit;
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
        h->_flags |= ABSOLUTE;
        for (stop = slashes + 2; stop < end && *stop != '/' && *stop != '?'; stop++)
                ;
        h->_authority_off = (uint32_t)(slashes + 2 - buf);
        h->_authority_len = (uint32_t)(stop - slashes - 2);
        if (!http1_host_ok((struct span){ slashes + 2, h->_authority_len })) /* also user:password@, which RFC 9110, 4.2.4 calls an error */
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

/* Goes on to the first byte that is none of a token's, at most to `bound`, to too_long, to where the bytes end. Returns the nearest of these three. */
static inline uint64_t
pass_token(struct http_head *h, const char *buf, uint32_t len, uint64_t bound, uint64_t too_long)
{
        uint64_t end = bound < too_long ? bound : too_long;

        if (end > len)
                end = len;
        h->_pos = (uint32_t)(skip_token(buf + h->_pos, buf + end) - buf);
        return end;
}

static int
parse_method(struct http_head *h, const char *buf, uint32_t len, uint64_t bound)
{
        uint64_t too_long = (uint64_t)h->_start + METHOD_MAX + 1, end = pass_token(h, buf, len, bound, too_long);
        int r;

        if (h->_pos == end)
                return end == too_long ? -501 : end == bound ? -414 : 0;
        h->method_len = h->_pos - h->method_off;
        if (buf[h->_pos] != ' ' || h->method_len == 0)
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

/* A field is there: it is judged if it decides something, remembered by its id, and counted. 0 or -status. */
static int
field_taken(struct http_head *h, const struct http_field *f, const char *buf)
{
        int r = HTTP1_JUDGED >> f->id & 1 ? http1_field_judge(h, f, buf) : 0;

        if (r < 0)
                return r;
        if (f->id != IPC_H_OTHER && !(h->seen[0] >> f->id & 1)) {
                h->seen[0] |= 1ULL << f->id;
                h->known[f->id] = (uint8_t)h->field_count;
        }
        h->field_count++;
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
        v = span_trim((struct span){ buf + f->value_off, h->_pos - f->value_off });
        f->value_off = (uint32_t)(v.ptr - buf);
        f->value_len = (uint32_t)v.len;
        h->_pos += 2;
        h->_state = S_LINE;
        r = field_taken(h, f, buf);
        return r < 0 ? r : 1;
}

/* A name is a token and the colon follows at once (RFC 9112, 5.1). A line that begins with a blank (obs-fold, 5.2) has no name at all. */
static int
parse_name(struct http_head *h, const char *buf, uint32_t len, uint64_t bound)
{
        struct http_field *f = &h->fields[h->field_count];
        uint64_t too_long = (uint64_t)f->name_off + NAME_MAX_BYTES + 1, end = pass_token(h, buf, len, bound, too_long);

        if (h->_pos == end)
                return end == bound || end == too_long ? -431 : 0;
        if (buf[h->_pos] != ':' || h->_pos == f->name_off)
                return -400;
        f->name_len = (uint16_t)(h->_pos - f->name_off);
        f->id = (uint16_t)ipc_header_find(buf + f->name_off, f->name_len);
        f->value_off = ++h->_pos;
        h->_state = S_VALUE;
        return parse_value(h, buf, len, bound);
}

/* S_LINE: a field line or the empty line begins here. 2: the head is complete. */
static int
parse_line(struct http_head *h, const char *buf, uint32_t len, uint64_t bound, const struct http_limits *lim)
{

        if (h->_pos >= len)
                return 0;
        if (buf[h->_pos] == '\r') {
                if (len - h->_pos < 2)
                        return 0;
                if (buf[h->_pos + 1] != '\n')
                        return -400;
                h->_pos += 2;
                return 2;
        }
        assert(h->_pos <= bound); /* parse_value saw to it; at the bound itself parse_name says 431 */
        if (h->field_count >= http1_most_fields(lim))
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
        h->_flags = h->_scheme = 0;
        h->_pos = h->_start = 0;
}

static int
run_machine(struct http_head *h, const char *buf, uint32_t len, const struct http_limits *lim)
{
        uint64_t line_bound = http1_bound_of(h, h->_start, lim->request_line), fields_bound = http1_bound_of(h, h->_fields_off, lim->header);

        switch ((enum http1_state)h->_state) {
        case S_START:
                return parse_start(h, buf, len);
        case S_METHOD:
                return parse_method(h, buf, len, line_bound);
        case S_TARGET:
                return parse_target(h, buf, len, line_bound);
        case S_VERSION:
                return parse_version(h, buf, len, line_bound);
        case S_LINE:
                return parse_line(h, buf, len, fields_bound, lim);
        case S_NAME:
                return parse_name(h, buf, len, fields_bound);
        case S_VALUE:
                return parse_value(h, buf, len, fields_bound);
        }
        assert(false);
        return -400;
}

static inline bool
line_begins(const struct http_head *h)
{
        return h->_state == S_START || h->_state == S_LINE;
}

/* What the fast path left, if it was tried, and said r. It is tried once a call on field lines, where the first begins: what it leaves then is looked at a second time,
 * never a third. */
static __attribute__((noinline)) int
parse_rest(struct http_head *h, const char *buf, uint32_t len, const struct http_limits *lim, bool tried, int r)
{
        while (r == 1) {
                r = run_machine(h, buf, len, lim);
                if (r == 1 && !tried && line_begins(h)) {
                        tried = true;
                        r = http1_lines(h, buf, len, lim);
                }
        }
        if (r != 2)
                return r;
        r = http1_head_done(h, buf);
        return r < 0 ? r : (int)h->_pos;
}

int
http_head_parse(struct http_head *h, const char *buf, uint32_t len, const struct http_limits *lim)
{
        bool begins = line_begins(h);
        int r = 1;

        assert(len >= h->_pos && len <= INT32_MAX);
        if (LIKELY(begins))
                r = http1_lines(h, buf, len, lim);
        if (LIKELY(r == 2 && h->_flags == 0 && h->minor == 1 && h->host_len != 0)) /* nothing that http1_head_done would have to look at */
                return (int)h->_pos;
        return parse_rest(h, buf, len, lim, begins && h->_state != S_START, r);
}

struct span
http_head_get(const struct http_head *h, const char *buf, enum ipc_header_id id)
{
        const struct http_field *f = http_head_field(h, id);

        return f != NULL ? (struct span){ buf + f->value_off, f->value_len } : (struct span){ NULL, 0 };
}
