/* fuzz_urls.c - any bytes as a request target: what the head parser makes of its form, and what the router makes of its path.
 * SPDX-License-Identifier: MIT
 * router_decode is compared with a second decoding, segment by segment, that takes its rules from router/README.md, "Decoding"; the parser's path and query with the
 * text around the first '?' (RFC 9112, 3.2). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/route.h"
#include "router/router.h"
#include "server/http1.h"

#define TARGET_MAX 4096
#define SEGMENTS_MAX (TARGET_MAX + 2)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(what)                                                             \
        do {                                                                   \
                if (!(what)) {                                                 \
                        fprintf(stderr, "line %d: %s\n", __LINE__, #what);     \
                        abort();                                               \
                }                                                              \
        } while (0)

/* RFC 3629 by its table, well-formed sequences only. */
static bool
is_utf8(const unsigned char *s, size_t len)
{
        for (size_t i = 0; i < len;) {
                unsigned char c = s[i], low = 0x80, high = 0xbf;
                size_t more = c < 0x80 ? 0 : c >= 0xc2 && c <= 0xdf ? 1 : c >= 0xe0 && c <= 0xef ? 2 : c >= 0xf0 && c <= 0xf4 ? 3 : 9;

                if (more > 3 || len - i <= more)
                        return false;
                if (c == 0xe0)
                        low = 0xa0;
                else if (c == 0xed)
                        high = 0x9f;
                else if (c == 0xf0)
                        low = 0x90;
                else if (c == 0xf4)
                        high = 0x8f;
                for (size_t k = 1; k <= more; k++, low = 0x80, high = 0xbf)
                        if (s[i + k] < low || s[i + k] > high)
                                return false;
                i += 1 + more;
        }
        return true;
}

static int
hex(unsigned char c)
{
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The escapes of raw[1..len), reserved ones kept in capitals. Length, or -1. */
static long
unescape(const unsigned char *raw, size_t len, unsigned char *out)
{
        size_t n = 0;

        for (size_t i = 1; i < len; i++) {
                unsigned char c = raw[i];

                if (c <= 0x20 || c == 0x7f || c == '?' || c == '#')
                        return -1;
                if (c != '%') {
                        out[n++] = c;
                        continue;
                }
                if (len - i < 3 || hex(raw[i + 1]) < 0 || hex(raw[i + 2]) < 0)
                        return -1;
                c = (unsigned char)(hex(raw[i + 1]) * 16 + hex(raw[i + 2]));
                if (c < 0x20 || c == 0x7f)
                        return -1;
                if (strchr("!$&'()*+,;=:/?#[]@%", c) != NULL)
                        n += (size_t)sprintf((char *)out + n, "%%%02X", c);
                else
                        out[n++] = c;
                i += 2;
        }
        return (long)n;
}

static bool
is_dots(const unsigned char *s, size_t len, size_t dots)
{
        return len == dots && memcmp(s, "..", dots) == 0;
}

/* Segments as a list: "." goes, ".." takes the one before with it, a last one of either leaves a '/' at the end. */
static long
second_decoding(const unsigned char *raw, size_t len, unsigned char *out)
{
        static struct { size_t at, len; } list[SEGMENTS_MAX];
        static unsigned char text[TARGET_MAX + 1];
        size_t count = 0, n = 0, start = 0;
        long all = len > 0 && raw[0] == '/' ? unescape(raw, len, text) : -1;

        if (all < 0)
                return -1;
        for (size_t i = 0; i <= (size_t)all; i++) {
                bool last = i == (size_t)all, one, two;

                if (!last && text[i] != '/')
                        continue;
                one = is_dots(text + start, i - start, 1);
                two = is_dots(text + start, i - start, 2);
                if (two && count > 0)
                        count--;
                if (!one && !two) {
                        list[count].at = start;
                        list[count++].len = i - start;
                } else if (last) {
                        list[count].at = list[count].len = 0;
                        count++;
                }
                start = i + 1;
        }
        for (size_t i = 0; i < count; i++) {
                out[n++] = '/';
                memcpy(out + n, text + list[i].at, list[i].len);
                n += list[i].len;
        }
        return is_utf8(out, n) ? (long)n : -1;
}

static void
check_path(const uint8_t *data, size_t size)
{
        static unsigned char plain[TARGET_MAX + 2];
        char *raw = malloc(size > 0 ? size : 1), *room = malloc(size + 1); /* by themselves, so that a byte past them is seen */
        long plain_len = second_decoding(data, size, plain);
        struct span path;

        MUST(raw != NULL && room != NULL);
        memcpy(raw, data, size);
        if (router_decode((struct span){ raw, size }, room, &path) < 0) {
                MUST(plain_len < 0);
        } else {
                MUST(plain_len >= 0 && path.len == (size_t)plain_len && memcmp(path.ptr, plain, path.len) == 0);
                MUST(path.ptr == room || path.ptr == raw);
        }
        free(raw);
        free(room);
}

static void
check_form(const uint8_t *data, size_t size)
{
        static const struct http_limits limits = { 16384, 16384, 10 };
        static const char tail[] = " HTTP/1.1\r\nHost: h.example\r\n\r\n";
        static struct http_head h;
        size_t len = 4 + size + sizeof(tail) - 1, path_len;
        char *buf = malloc(len);
        const char *target = buf + 4, *mark;
        int r;

        MUST(buf != NULL);
        memcpy(buf, "GET ", 4);
        memcpy(buf + 4, data, size);
        memcpy(buf + 4 + size, tail, sizeof(tail) - 1);
        http_head_init(&h);
        r = http_head_parse(&h, buf, (uint32_t)len, &limits);
        if (r == (int)len && h.target_len == size) {
                MUST(h.target_off == 4 && size > 0);
                mark = memchr(target, '?', size);
                path_len = mark != NULL ? (size_t)(mark - target) : size;
                MUST(h.query_len == (mark != NULL ? size - path_len - 1 : 0));
                if (mark != NULL && h.query_len > 0)
                        MUST(buf + h.query_off == mark + 1);
                if (target[0] == '/') { /* origin-form */
                        MUST(!h.absolute && h.path_off == 4 && h.path_len == path_len);
                } else { /* absolute-form: the Host field said the same */
                        MUST(h.absolute && buf[h.path_off] == '/');
                        MUST(h.path_len == 1 || buf + h.path_off + h.path_len == target + path_len);
                        MUST(strncasecmp(buf + h.host_off, "h.example", 9) == 0);
                }
        }
        free(buf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size > TARGET_MAX)
                return 0;
        check_path(data, size);
        check_form(data, size);
        return 0;
}
