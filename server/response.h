/* response.h - an answer's head becomes bytes. No I/O.
 * SPDX-License-Identifier: MIT
 * Everything writes into a struct out: a growing buffer that conn owns. Date is formatted once a second per loop (response_date). */
#ifndef HEART_RESPONSE_H
#define HEART_RESPONSE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "../ipc/ipc.h"
#include "../router/span.h"

/* Bytes waiting to be written: buf[start..end). Owned by a conn; grows by doubling up to what callers bound; freed when idle. */
struct out { char *buf; uint32_t start, end, room; bool failed /* out of memory: the connection must be closed */; };
void out_fini(struct out *o);
char *out_reserve(struct out *o, size_t more); /* room for `more` bytes at the end (the caller then moves end), NULL without memory (failed is set); may move buf and start */
void out_add(struct out *o, const char *p, size_t len);
void out_add_span(struct out *o, struct span s);
static inline size_t out_len(const struct out *o) { return o->end - o->start; }

/* The Date header line "Date: Fri, 20 Nov 2026 12:00:00 GMT\r\n", refreshed when `now` is another second. Per loop, no lock. */
struct response_date { time_t second; char line[40]; };
void response_date_update(struct response_date *d, time_t now);

const char *http_reason(unsigned status);              /* "Not Found"; "Unknown" */
void http_date_format(time_t t, char out[30]);          /* IMF-fixdate */
int http_date_parse(struct span text, time_t *ret);     /* all three forms of RFC 9110, 5.6.7: 0 or -EINVAL */

/* Framing of a body. */
enum body_kind { BODY_NONE /* 1xx 204 304 */, BODY_LENGTH, BODY_CHUNKED, BODY_UNTIL_CLOSE /* HTTP/1.0 */ };

/* Status line, Server, Date, then framing and Connection headers; response_end closes the head. In between: response_header.
 * keep_alive false adds "Connection: close"; HTTP/1.0 keep-alive adds "Connection: keep-alive". */
void response_status_line(struct out *o, unsigned status); /* with Server; response_begin adds Date */
void response_begin(struct out *o, unsigned status, unsigned minor, const struct response_date *d);
void response_begin_unnamed(struct out *o, unsigned status, const struct response_date *d); /* without a Server line */
void response_header(struct out *o, struct span name, struct span value);
void response_end(struct out *o, unsigned minor, bool keep_alive, enum body_kind kind, uint64_t length);

bool response_has_body(unsigned status); /* not for 1xx, 204, 304 (RFC 9110, 6.4.1) */

/* The body for an error or a plain status made by heart itself, by the request's Accept: HTML (small, self-contained, pleasant in light and dark) where text/html is named,
 * JSON where application/json is and weighs more, else a line of text. Parts point at constants and at `digits`. count 0: a status without a body. */
struct page { struct span parts[11]; size_t count; struct span type; char digits[20]; };
void response_page(struct page *p, unsigned status, struct span accept);
/* The weight that Accept gives to a type it names in full, in thousandths; 0: not named. Wildcards do not count: they come from programs, not from people or API clients. */
int response_accepts(struct span accept, struct span type);

/* A chunk of a chunked body: size line, bytes, CRLF; the last one. */
void response_chunk(struct out *o, struct span bytes);
void response_last_chunk(struct out *o);

/* A fixed reply (`respond`), prebuilt at load for speed: everything but Date and Connection is ready. Immutable, shared by loops. */
struct reply { char *head; uint32_t head_len; /* from "HTTP/1.1 200 OK\r\n" up to where Date goes */ char *body /* in the block of head, an empty line before it */; uint32_t body_len; bool typed /* there is a Content-Type */; };
/* type may be NULL. Statuses that have no body (204, 304) drop it. 0, -EINVAL (a control in type, a status outside 200..599), -ENOMEM. */
int reply_build(unsigned status, const char *type, struct span body, struct reply *ret);
/* The same with lines to add, each with CRLF, and with a Server line only where `named`. */
int reply_build_with(unsigned status, const char *type, struct span body, struct span lines, bool named, struct reply *ret);
void reply_fini(struct reply *r);
void reply_add(struct out *o, const struct reply *r, unsigned minor, bool keep_alive, bool head_only, const struct response_date *d);

#endif
