/* http1.h - bytes become a request head (RFC 9112). No I/O, no allocation, fuzzable alone.
 * SPDX-License-Identifier: MIT
 * Strict: what is malformed or ambiguous is refused with a status, never guessed at. Incremental: a head that arrives byte by byte costs O(n) in total,
 * because the parser remembers how far it looked. All places are offsets into the caller's buffer, which may grow or move between calls but must keep its bytes.
 * Owner of a struct http_head: the caller (one per request); one thread at a time. */
#ifndef HEART_HTTP1_H
#define HEART_HTTP1_H

#include <stdbool.h>
#include <stdint.h>

#include "../ipc/ipc.h" /* ipc_header_id */
#include "../router/span.h"

#define HTTP_HEADERS_MAX 256

struct http_limits { uint32_t request_line, header /* bytes of all field lines */, header_count; };

struct http_field { uint32_t name_off, value_off; uint16_t name_len, id /* ipc_header_id */; uint32_t value_len; };

struct http_head {
        uint32_t method;         /* one M_ bit of router/route.h */
        uint8_t minor;           /* HTTP/1.minor: 0 or 1 */
        bool keep_alive;         /* what version and Connection ask for */
        bool chunked;            /* Transfer-Encoding: chunked, and nothing else */
        bool expect_continue;
        bool absolute;           /* absolute-form: its authority is the host */
        int64_t content_length;  /* -1: none given */
        uint32_t method_off, method_len;
        uint32_t target_off, target_len;  /* as sent */
        uint32_t path_off, path_len;      /* raw, begins with '/'; "*" for OPTIONS * */
        uint32_t query_off, query_len;    /* behind '?', without it */
        uint32_t host_off, host_len;      /* Host or authority, with its port, as sent; checked */
        uint32_t field_count;
        uint64_t seen[(IPC_H_COUNT + 63) / 64]; /* bit id: a field with this id came; http_head_init clears these words and nothing behind them */
        uint8_t known[IPC_H_COUNT];       /* index of the first field with this id; only where `seen` has its bit, stale otherwise: ask http_head_field */
        uint8_t _state, _flags, _scheme;     /* parser's own from here on */
        uint32_t _pos, _start, _fields_off, _authority_off, _authority_len;
        struct http_field fields[HTTP_HEADERS_MAX];
};

void http_head_init(struct http_head *h); /* cheap: does not clear fields */
/* Looks at buf[0..len). > 0: the head's length in bytes (the body follows). 0: more bytes are wanted. < 0: -status: 400 405 414 417 431 501 505.
 * What is wrong is said at the byte that makes it so, whatever follows, so how a head was cut into packets never changes the answer. After > 0 or < 0 the
 * parser must not be called again before http_head_init. One CRLF before the request line is tolerated and counted in the head's length. */
int http_head_parse(struct http_head *h, const char *buf, uint32_t len, const struct http_limits *lim);
/* The way in which fields are looked for: "avx2", "sse4.2", "neon" or "portable". All come to the same answers. The best that the processor can do is
 * in use from the start; tests and benchmarks may choose (before other threads parse). False: unknown, or the processor has it not. */
const char *http_scan_name(void);
bool http_scan_use(const char *name);
/* The first field with a known id, NULL: absent. */
static inline const struct http_field *
http_head_field(const struct http_head *h, enum ipc_header_id id)
{
        return (h->seen[id / 64] >> (id % 64)) & 1 ? &h->fields[h->known[id]] : NULL;
}
/* Value of the first field with a known id; .ptr NULL: absent. */
struct span http_head_get(const struct http_head *h, const char *buf, enum ipc_header_id id);
/* "example.com:8080" -> "example.com", lower-cased into out (room bytes); "[::1]:80" -> "[::1]". One dot at the end goes. What does not fit comes back empty. */
struct span http_host_name(struct span host, char *out, size_t room);

/* Chunked decoding (RFC 9112, 7.1), incremental and in place: data moves down over the framing. Owner: the caller, one per body; one thread at a time. */
struct http_chunked { uint64_t left /* data bytes of this chunk still to come */, _size; uint32_t _state, _digits, _unpaid, _trailer; };
void http_chunked_init(struct http_chunked *c);
/* Consumes from buf[0..len): *ret_used bytes were looked at; decoded body bytes are now buf[0..*ret_body). 1: the body is complete (buf[*ret_used..] is the next request);
 * 0: more wanted (all was used); -400: malformed; -431: trailers beyond trailer_max bytes. Trailers are checked and dropped. */
int http_chunked_decode(struct http_chunked *c, char *buf, size_t len, size_t trailer_max, size_t *ret_used, size_t *ret_body);

#endif
