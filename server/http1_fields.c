/* http1_fields.c - what the fields of a request head mean: framing, Host, Connection, Expect. Contract in http1.h.
 * SPDX-License-Identifier: MIT
 * From: http1.c, at the end of each field line and of the head.   Thread: the caller's; no state but the struct's.
 * Everything that decides where a request ends is judged here, and what two readers could understand differently is refused. */
#include "http1_priv.h"

#include <arpa/inet.h>
#include <strings.h>

/* ---- small helpers --------------------------------------------------------------------------------------------------- */

static bool
is_word(struct span s, const char *word, size_t len)
{
        return s.len == len && strncasecmp(s.ptr, word, len) == 0;
}
#define IS_WORD(s, lit) is_word((s), (lit), sizeof(lit) - 1)

/* The next element of a comma-separated list without quoted strings (RFC 9110, 5.6.1); false at its end. *list is what remains, .ptr NULL behind the last. */
static bool
list_next(struct span *list, struct span *ret)
{
        const char *comma;

        if (list->ptr == NULL)
                return false;
        comma = memchr(list->ptr, ',', list->len);
        if (comma == NULL) {
                *ret = span_trim(*list);
                list->ptr = NULL;
                return true;
        }
        *ret = span_trim((struct span){ list->ptr, (size_t)(comma - list->ptr) });
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
bool
http1_host_ok(struct span host)
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
                if (h->_flags & TE_LAST_CHUNKED)
                        return -400; /* RFC 9112, 6.1: chunked once, and last */
                h->_flags |= (uint8_t)(TE_SEEN | (chunked ? TE_LAST_CHUNKED : TE_UNKNOWN));
        }
        return 0;
}

static void
field_connection(struct http_head *h, struct span v)
{
        struct span option;

        while (list_next(&v, &option)) {
                if (IS_WORD(option, "close"))
                        h->_flags |= CONNECTION_CLOSE;
                else if (IS_WORD(option, "keep-alive"))
                        h->keep_alive = true;
        }
}

static int
field_host(struct http_head *h, struct span v, const char *buf)
{
        if (h->host_len != 0 || !http1_host_ok(v))
                return -400; /* RFC 9112, 3.2: more than one, or an invalid one */
        h->host_off = (uint32_t)(v.ptr - buf);
        h->host_len = (uint32_t)v.len;
        return 0;
}

int
http1_field_judge(struct http_head *h, const struct http_field *f, const char *buf)
{
        struct span v = { buf + f->value_off, f->value_len };

        switch (f->id) {
        case IPC_H_HOST:
                return field_host(h, v, buf);
        case IPC_H_CONNECTION:
                field_connection(h, v);
                return 0;
        case IPC_H_CONTENT_LENGTH:
                return field_content_length(h, v);
        case IPC_H_TRANSFER_ENCODING:
                return field_transfer_encoding(h, v);
        default:
                assert(f->id == IPC_H_EXPECT);
                h->expect_continue = true;
                h->_flags |= EXPECTS;
                return IS_WORD(v, "100-continue") ? 0 : -417; /* RFC 9110, 10.1.1 */
        }
}

int
http1_head_done(struct http_head *h, const char *buf)
{
        if (h->minor == 1 && h->host_len == 0)
                return -400; /* RFC 9112, 3.2 */
        if (h->_flags & TE_SEEN) {
                if (h->minor == 0 || h->content_length >= 0 || !(h->_flags & TE_LAST_CHUNKED))
                        return -400; /* RFC 9112, 6.1 and 6.3: ambiguous, or without an end */
                if (h->_flags & TE_UNKNOWN)
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
        if (h->_flags & CONNECTION_CLOSE)
                h->keep_alive = false; /* RFC 9112, 9.3: close wins, wherever it stands */
        if (h->minor == 0 || (!h->chunked && h->content_length <= 0))
                h->expect_continue = false; /* RFC 9110, 10.1.1: not for 1.0, and no body, no wait */
        return 0;
}
