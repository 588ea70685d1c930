/* response.c - an answer's head becomes bytes. Contract in response.h.
 * SPDX-License-Identifier: MIT
 * From: dispatch.c and lane.c say what to answer.   To: conn.c writes the bytes.   Thread: any; all state is the caller's.
 * Statuses are one table, ROWS, from which come reason phrases, whole status lines and the sentences on pages.
 * The version is always HTTP/1.1, also towards 1.0 (RFC 9110, 6.2); what a 1.0 client cannot read (chunked) is the caller's to avoid. */
#include "response.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define OUT_FIRST_ROOM 1024u
#define DATE_LINE_LEN 37 /* "Date: " IMF-fixdate CRLF */

/* ---- bytes waiting to be written ------------------------------------------------------------------------------------- */

void
out_fini(struct out *o)
{
        if (o == NULL)
                return;
        free(o->buf);
        *o = (struct out){ 0 };
}

static bool
out_grow(struct out *o, size_t more)
{
        uint64_t need = (uint64_t)out_len(o) + more, room = o->room != 0 ? o->room : OUT_FIRST_ROOM;
        char *buf;

        if (o->failed || more > UINT32_MAX || need > UINT32_MAX / 2)
                goto fail;
        if (o->start > 0) { /* what has been written already makes room first */
                memmove(o->buf, o->buf + o->start, out_len(o));
                o->end -= o->start;
                o->start = 0;
        }
        while (room < need)
                room *= 2;
        if (room > o->room) {
                buf = realloc(o->buf, room);
                if (buf == NULL)
                        goto fail;
                o->buf = buf;
                o->room = (uint32_t)room;
        }
        return true;
fail:
        o->failed = true;
        return false;
}

char *
out_reserve(struct out *o, size_t more)
{
        if (o->failed || (more > o->room - o->end && !out_grow(o, more)))
                return NULL;
        if (o->buf == NULL && !out_grow(o, 1)) /* nothing asked for, nothing there: still not NULL */
                return NULL;
        return o->buf + o->end;
}

void
out_add(struct out *o, const char *p, size_t len)
{
        char *to = out_reserve(o, len);

        if (to == NULL || len == 0)
                return;
        memcpy(to, p, len);
        o->end += (uint32_t)len;
}

void
out_add_span(struct out *o, struct span s)
{
        out_add(o, s.ptr, s.len);
}

#define OUT_LIT(o, s) out_add((o), (s), sizeof(s) - 1)

/* Decimal digits of n behind to; how many. */
static size_t
put_number(char *to, uint64_t n)
{
        char digits[20];
        size_t len = 0;

        do
                digits[len++] = (char)('0' + n % 10);
        while ((n /= 10) != 0);
        for (size_t i = 0; i < len; i++)
                to[i] = digits[len - 1 - i];
        return len;
}

/* ---- statuses ----------------------------------------------------------------------------------------------------------- */

/* ROW(status, reason phrase, what a person should know) */
#define ROWS                                                                                                        \
        ROW(100, "Continue", "")                                                                                    \
        ROW(101, "Switching Protocols", "")                                                                         \
        ROW(103, "Early Hints", "")                                                                                 \
        ROW(200, "OK", "")                                                                                          \
        ROW(201, "Created", "")                                                                                     \
        ROW(202, "Accepted", "")                                                                                    \
        ROW(203, "Non-Authoritative Information", "")                                                               \
        ROW(204, "No Content", "")                                                                                  \
        ROW(205, "Reset Content", "")                                                                               \
        ROW(206, "Partial Content", "")                                                                             \
        ROW(207, "Multi-Status", "")                                                                                \
        ROW(208, "Already Reported", "")                                                                            \
        ROW(226, "IM Used", "")                                                                                     \
        ROW(300, "Multiple Choices", "There is more than one version of this page.")                                \
        ROW(301, "Moved Permanently", "This page has moved for good.")                                              \
        ROW(302, "Found", "This page is at another address for now.")                                               \
        ROW(303, "See Other", "The answer is at another address.")                                                  \
        ROW(304, "Not Modified", "")                                                                                \
        ROW(305, "Use Proxy", "")                                                                                   \
        ROW(307, "Temporary Redirect", "This page is at another address for now.")                                  \
        ROW(308, "Permanent Redirect", "This page has moved for good.")                                             \
        ROW(400, "Bad Request", "The server could not make sense of this request.")                                 \
        ROW(401, "Unauthorized", "You have to sign in first.")                                                      \
        ROW(402, "Payment Required", "This has to be paid for first.")                                              \
        ROW(403, "Forbidden", "You are not allowed to see this.")                                                   \
        ROW(404, "Not Found", "There is nothing at this address.")                                                  \
        ROW(405, "Method Not Allowed", "This address does not take requests of this kind.")                         \
        ROW(406, "Not Acceptable", "There is no version of this that your browser accepts.")                        \
        ROW(407, "Proxy Authentication Required", "You have to sign in to the proxy first.")                        \
        ROW(408, "Request Timeout", "The request took too long to arrive.")                                         \
        ROW(409, "Conflict", "This request is at odds with the present state of things.")                           \
        ROW(410, "Gone", "What was here has been removed.")                                                         \
        ROW(411, "Length Required", "The request has to say how long it is.")                                       \
        ROW(412, "Precondition Failed", "This has changed since you last looked.")                                  \
        ROW(413, "Content Too Large", "What you sent is larger than this server takes.")                            \
        ROW(414, "URI Too Long", "This address is longer than this server takes.")                                  \
        ROW(415, "Unsupported Media Type", "What you sent is of a type that is not taken here.")                    \
        ROW(416, "Range Not Satisfiable", "There is no such part of this file.")                                    \
        ROW(417, "Expectation Failed", "The request expects something that this server does not do.")               \
        ROW(418, "I'm a teapot", "Short and stout.")                                                                \
        ROW(421, "Misdirected Request", "This server does not answer for that host.")                               \
        ROW(422, "Unprocessable Content", "What you sent is well-formed but makes no sense here.")                  \
        ROW(423, "Locked", "Somebody else is working on this.")                                                     \
        ROW(424, "Failed Dependency", "Something that this depends on has failed.")                                 \
        ROW(425, "Too Early", "Please send this again in a moment.")                                                \
        ROW(426, "Upgrade Required", "This needs another protocol.")                                                \
        ROW(428, "Precondition Required", "The request has to say which version it means.")                         \
        ROW(429, "Too Many Requests", "That was a lot at once. Please wait a moment.")                              \
        ROW(431, "Request Header Fields Too Large", "The request's headers are larger than this server takes.")     \
        ROW(451, "Unavailable For Legal Reasons", "This may not be shown for legal reasons.")                       \
        ROW(500, "Internal Server Error", "Something went wrong on the server. It is not your fault.")              \
        ROW(501, "Not Implemented", "The server does not know how to do this.")                                     \
        ROW(502, "Bad Gateway", "The application broke off before it had answered.")                                \
        ROW(503, "Service Unavailable", "The server is busy. Please try again in a moment.")                        \
        ROW(504, "Gateway Timeout", "The application took too long to answer.")                                     \
        ROW(505, "HTTP Version Not Supported", "The server speaks HTTP/1.0 and HTTP/1.1.")                          \
        ROW(506, "Variant Also Negotiates", "")                                                                     \
        ROW(507, "Insufficient Storage", "The server is out of room.")                                              \
        ROW(508, "Loop Detected", "")                                                                               \
        ROW(510, "Not Extended", "")                                                                                \
        ROW(511, "Network Authentication Required", "You have to sign in to the network first.")

#define SERVER_LINE "Server: heart\r\n"

struct status_row { const char *line, *reason, *sentence; uint32_t line_len; };
static const struct status_row rows[500] = {
#define ROW(status, text, about) \
        [(status) - 100] = { "HTTP/1.1 " #status " " text "\r\n" SERVER_LINE, text, about, sizeof("HTTP/1.1 " #status " " text "\r\n" SERVER_LINE) - 1 },
        ROWS
#undef ROW
};

static const struct status_row *
row_of(unsigned status)
{
        return status >= 100 && status < 600 && rows[status - 100].line != NULL ? &rows[status - 100] : NULL;
}

const char *
http_reason(unsigned status)
{
        const struct status_row *row = row_of(status);

        return row != NULL ? row->reason : "Unknown";
}

bool
response_has_body(unsigned status)
{
        return status >= 200 && status != 204 && status != 304; /* RFC 9110, 6.4.1 */
}

void
response_status_line(struct out *o, unsigned status)
{
        const struct status_row *row = row_of(status);

        if (row != NULL) {
                out_add(o, row->line, row->line_len);
        } else {
                char line[64];
                int len = snprintf(line, sizeof line, "HTTP/1.1 %03u Unknown\r\n" SERVER_LINE, status % 1000);

                out_add(o, line, (size_t)len);
        }
}

static void
add_status_line_alone(struct out *o, unsigned status)
{
        response_status_line(o, status);
        if (!o->failed)
                o->end -= (uint32_t)sizeof(SERVER_LINE) - 1; /* it stands at the end of each */
}

/* ---- heads -------------------------------------------------------------------------------------------------------------- */

void
response_begin(struct out *o, unsigned status, unsigned minor, const struct response_date *d)
{
        (void)minor; /* the status line says 1.1 to both */
        response_status_line(o, status);
        out_add(o, d->line, DATE_LINE_LEN);
}

void
response_begin_unnamed(struct out *o, unsigned status, const struct response_date *d)
{
        add_status_line_alone(o, status);
        out_add(o, d->line, DATE_LINE_LEN);
}

void
response_header(struct out *o, struct span name, struct span value)
{
        char *to = out_reserve(o, name.len + value.len + 4);

        if (to == NULL)
                return;
        memcpy(to, name.ptr, name.len);
        to += name.len;
        *to++ = ':';
        *to++ = ' ';
        if (value.len > 0)
                memcpy(to, value.ptr, value.len);
        to += value.len;
        *to++ = '\r';
        *to = '\n';
        o->end += (uint32_t)(name.len + value.len + 4);
}

static void
add_connection(struct out *o, unsigned minor, bool keep_alive)
{
        if (!keep_alive)
                OUT_LIT(o, "Connection: close\r\n");
        else if (minor == 0)
                OUT_LIT(o, "Connection: keep-alive\r\n");
}

void
response_end(struct out *o, unsigned minor, bool keep_alive, enum body_kind kind, uint64_t length)
{
        char line[48] = "Content-Length: ";
        size_t len = sizeof("Content-Length: ") - 1;

        assert(kind != BODY_UNTIL_CLOSE || !keep_alive);
        if (kind == BODY_LENGTH) {
                len += put_number(line + len, length);
                line[len++] = '\r';
                line[len++] = '\n';
                out_add(o, line, len);
        } else if (kind == BODY_CHUNKED) {
                OUT_LIT(o, "Transfer-Encoding: chunked\r\n");
        }
        add_connection(o, minor, keep_alive);
        OUT_LIT(o, "\r\n");
}

void
response_chunk(struct out *o, struct span bytes)
{
        static const char hex[] = "0123456789abcdef";
        char line[18], *p = line + sizeof line;

        if (bytes.len == 0)
                return; /* a chunk of nothing would end the body */
        *--p = '\n';
        *--p = '\r';
        for (uint64_t n = bytes.len; n != 0; n >>= 4)
                *--p = hex[n & 15];
        if (out_reserve(o, (size_t)(line + sizeof line - p) + bytes.len + 2) == NULL)
                return;
        out_add(o, p, (size_t)(line + sizeof line - p));
        out_add_span(o, bytes);
        OUT_LIT(o, "\r\n");
}

void
response_last_chunk(struct out *o)
{
        OUT_LIT(o, "0\r\n\r\n");
}

/* ---- pages of heart's own ----------------------------------------------------------------------------------------------------- */

/* Thousandths, by the q of a media range: "q=0.8" -> 800; no q: 1000; what is no number: 0. RFC 9110, 12.4.2. */
static int
weight_of(struct span params)
{
        const char *p = params.ptr, *end = p + params.len;

        while (p < end) {
                const char *stop = memchr(p, ';', (size_t)(end - p));

                if (stop == NULL)
                        stop = end;
                while (p < stop && (*p == ' ' || *p == '\t'))
                        p++;
                if (stop - p >= 3 && (p[0] == 'q' || p[0] == 'Q') && p[1] == '=') {
                        int scale = 1000, q = 0;

                        for (p += 2; p < stop && scale > 0; p++) {
                                if (*p == '.' && scale == 100)
                                        continue;
                                if (*p < '0' || *p > '9')
                                        break;
                                q += (*p - '0') * scale;
                                scale /= 10;
                        }
                        return q > 1000 ? 1000 : q;
                }
                p = stop + 1;
        }
        return 1000;
}

int
response_accepts(struct span accept, struct span type)
{
        const char *p = accept.ptr, *end = p + accept.len;
        int best = 0;

        while (p < end) {
                const char *comma = memchr(p, ',', (size_t)(end - p)), *stop = comma != NULL ? comma : end;

                while (p < stop && (*p == ' ' || *p == '\t'))
                        p++;
                if ((size_t)(stop - p) >= type.len && strncasecmp(p, type.ptr, type.len) == 0) {
                        const char *q = p + type.len;

                        while (q < stop && (*q == ' ' || *q == '\t'))
                                q++;
                        if (q == stop || *q == ';') {
                                int weight = weight_of((struct span){ q, (size_t)(stop - q) });

                                best = weight > best ? weight : best;
                        }
                }
                p = stop + 1;
        }
        return best;
}

/* The page around status, reason and sentence; none of them holds a byte that HTML or JSON would want escaped but an apostrophe. */
static const char page_a[] =
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<meta name=\"color-scheme\" content=\"light dark\">\n<title>";
static const char page_b[] =
        "</title>\n<style>\n"
        "  :root { --paper: #fbfaf8; --ink: #2b2a28; --soft: #7a7671; --mark: #c8374a }\n"
        "  @media (prefers-color-scheme: dark) { :root { --paper: #1b1a1c; --ink: #e9e6e1; --soft: #96918b; --mark: #f0647a } }\n"
        "  body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--paper); color: var(--ink);\n"
        "         font: 1.05rem/1.6 system-ui, sans-serif }\n"
        "  main { padding: 2rem; max-width: 34rem }\n"
        "  b { display: block; font-size: 4.5rem; line-height: 1; font-weight: 200; letter-spacing: -.03em; color: var(--mark) }\n"
        "  h1 { margin: .8rem 0 .2rem; font-size: 1.35rem; font-weight: 600 }\n"
        "  p { margin: 0; color: var(--soft) }\n"
        "</style>\n<main><b>";
static const char page_c[] = "</b><h1>";
static const char page_d[] = "</h1><p>";
static const char page_e[] = "</p></main>\n</html>\n";

static void
page_add(struct page *p, struct span s)
{
        p->parts[p->count++] = s;
}

static void
page_html(struct page *p, struct span code, struct span reason, struct span sentence)
{
        p->type = SPAN_LIT("text/html; charset=utf-8");
        page_add(p, SPAN_LIT(page_a));
        page_add(p, code);
        page_add(p, SPAN_LIT(" "));
        page_add(p, reason);
        page_add(p, SPAN_LIT(page_b));
        page_add(p, code);
        page_add(p, SPAN_LIT(page_c));
        page_add(p, reason);
        page_add(p, SPAN_LIT(page_d));
        page_add(p, sentence);
        page_add(p, SPAN_LIT(page_e));
}

void
response_page(struct page *p, unsigned status, struct span accept)
{
        const struct status_row *row = row_of(status);
        struct span reason = span_of(row != NULL ? row->reason : "Unknown"), sentence = span_of(row != NULL ? row->sentence : ""), code;
        int html = response_accepts(accept, SPAN_LIT("text/html")), json = response_accepts(accept, SPAN_LIT("application/json"));

        p->count = 0;
        if (!response_has_body(status))
                return;
        code = (struct span){ p->digits, put_number(p->digits, status) };
        if (html > 0 && html >= json) {
                page_html(p, code, reason, sentence);
        } else if (json > 0) {
                p->type = SPAN_LIT("application/json");
                page_add(p, SPAN_LIT("{\"status\": "));
                page_add(p, code);
                page_add(p, SPAN_LIT(", \"error\": \""));
                page_add(p, reason);
                page_add(p, SPAN_LIT("\"}\n"));
        } else {
                p->type = SPAN_LIT("text/plain; charset=utf-8");
                page_add(p, code);
                page_add(p, SPAN_LIT(" "));
                page_add(p, reason);
                page_add(p, SPAN_LIT("\n"));
        }
}

/* ---- fixed replies ------------------------------------------------------------------------------------------------------------ */

int
reply_build(unsigned status, const char *type, struct span body, struct reply *ret)
{
        return reply_build_with(status, type, body, SPAN_LIT(""), true, ret);
}

int
reply_build_with(unsigned status, const char *type, struct span body, struct span lines, bool named, struct reply *ret)
{
        struct out head = { 0 };
        char number[20];

        if (status < 200 || status > 599)
                return -EINVAL;
        for (const char *p = type; p != NULL && *p != '\0'; p++)
                if ((unsigned char)*p < 0x20 || *p == 0x7f)
                        return -EINVAL;
        if (!response_has_body(status) || status == 205) /* 205 has a length, which is 0 (RFC 9110, 15.3.6) */
                body.len = 0;
        if (named)
                response_status_line(&head, status);
        else
                add_status_line_alone(&head, status);
        out_add_span(&head, lines);
        if (response_has_body(status)) {
                if (type != NULL && type[0] != '\0')
                        response_header(&head, SPAN_LIT("Content-Type"), span_of(type));
                response_header(&head, SPAN_LIT("Content-Length"), (struct span){ number, put_number(number, body.len) });
        }
        ret->head_len = head.end;
        OUT_LIT(&head, "\r\n");
        out_add_span(&head, body);
        if (head.failed) {
                out_fini(&head);
                return -ENOMEM;
        }
        ret->head = head.buf;
        ret->body = head.buf + ret->head_len + 2;
        ret->body_len = (uint32_t)body.len;
        ret->typed = response_has_body(status) && type != NULL && type[0] != '\0';
        return 0;
}

void
reply_fini(struct reply *r)
{
        if (r == NULL)
                return;
        free(r->head);
        *r = (struct reply){ 0 };
}

void
reply_add(struct out *o, const struct reply *r, unsigned minor, bool keep_alive, bool head_only, const struct response_date *d)
{
        size_t tail = 2 + (head_only ? 0 : (size_t)r->body_len); /* the empty line stands right before the body */
        char *to = out_reserve(o, r->head_len + DATE_LINE_LEN + 32 + tail);

        if (to == NULL)
                return;
        memcpy(to, r->head, r->head_len);
        memcpy(to + r->head_len, d->line, DATE_LINE_LEN);
        o->end += r->head_len + DATE_LINE_LEN;
        if (!keep_alive || minor == 0)
                add_connection(o, minor, keep_alive);
        memcpy(o->buf + o->end, r->body - 2, tail);
        o->end += (uint32_t)tail;
}
