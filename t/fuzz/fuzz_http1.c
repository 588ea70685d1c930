/* fuzz_http1.c - any bytes as a request head.
 * SPDX-License-Identifier: MIT
 * However the bytes arrive the verdict must be the same, and what was accepted must keep http1.h's promises; a broken one aborts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/route.h"
#include "server/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(what)                                                             \
        do {                                                                   \
                if (!(what)) {                                                 \
                        fprintf(stderr, "line %d: %s\n", __LINE__, #what);     \
                        abort();                                               \
                }                                                              \
        } while (0)

static struct http_head whole, parts;

static int
parse_at_once(const char *buf, size_t len, const struct http_limits *lim)
{
        http_head_init(&whole);
        return http_head_parse(&whole, buf, (uint32_t)len, lim);
}

/* In steps of 1 to 16 bytes, out of memory that ends where the bytes so far end. */
static int
parse_in_steps(const char *buf, size_t len, const struct http_limits *lim, uint32_t seed)
{
        size_t have = 0;
        int r = 0;

        http_head_init(&parts);
        while (r == 0 && have < len) {
                char *copy;

                seed = seed * 1103515245u + 12345u;
                have += 1 + (seed >> 16) % 16;
                if (have > len)
                        have = len;
                copy = malloc(have);
                memcpy(copy, buf, have);
                r = http_head_parse(&parts, copy, (uint32_t)have, lim);
                free(copy);
        }
        return r;
}

static void
check_span(uint32_t off, uint32_t len, int head_len)
{
        MUST(off <= (uint32_t)head_len && len <= (uint32_t)head_len - off);
}

static void
check_accepted(const struct http_head *h, const char *buf, int len, const struct http_limits *lim)
{
        struct span host = { buf + h->host_off, h->host_len }, name;
        char lower[512];

        check_span(h->method_off, h->method_len, len);
        check_span(h->target_off, h->target_len, len);
        check_span(h->path_off, h->path_len, len);
        check_span(h->query_off, h->query_len, len);
        check_span(h->host_off, h->host_len, len);
        MUST(h->method_len > 0 && h->path_len > 0);
        MUST(buf[h->path_off] == '/' || (h->path_len == 1 && buf[h->path_off] == '*' && h->method == M_OPTIONS));
        MUST(memchr(buf + h->path_off, '?', h->path_len) == NULL);
        MUST(h->method != 0 && (h->method & (h->method - 1)) == 0);
        MUST(h->minor == 0 || h->host_len > 0);
        MUST(!(h->chunked && h->content_length >= 0) && !(h->chunked && h->minor == 0));
        MUST(!h->expect_continue || h->chunked || h->content_length > 0);
        MUST(h->field_count <= lim->header_count);
        for (uint32_t i = 0; i < h->field_count; i++) {
                const struct http_field *f = &h->fields[i];

                check_span(f->name_off, f->name_len, len);
                check_span(f->value_off, f->value_len, len);
                MUST(f->name_len > 0);
                for (uint32_t k = 0; k < f->name_len; k++)
                        MUST(buf[f->name_off + k] > ' ' && buf[f->name_off + k] < 0x7f && buf[f->name_off + k] != ':');
                for (uint32_t k = 0; k < f->value_len; k++)
                        MUST(buf[f->value_off + k] == '\t' || (uint8_t)buf[f->value_off + k] >= ' ');
                MUST(f->id == ipc_header_find(buf + f->name_off, f->name_len));
                MUST(f->id == IPC_H_OTHER || http_head_field(h, f->id) <= f);
        }
        if (host.len > 0) {
                name = http_host_name(host, lower, sizeof lower);
                MUST(name.len > 0 && name.len <= host.len);
        }
}

static void
check_with(const char *buf, size_t len, const struct http_limits *lim)
{
        int r = parse_at_once(buf, len, lim);

        MUST(r >= 0 || r == -400 || r == -405 || r == -414 || r == -417 || r == -431 || r == -501 || r == -505);
        MUST(r <= (int)len);
        for (uint32_t seed = 1; seed < 4; seed++)
                MUST(parse_in_steps(buf, len, lim, seed * 7919u) == r);
        if (r <= 0)
                return;
        check_accepted(&whole, buf, r, lim);
        MUST(parts.field_count == whole.field_count && memcmp(parts.fields, whole.fields, whole.field_count * sizeof *whole.fields) == 0);
        MUST(parts.content_length == whole.content_length && parts.chunked == whole.chunked && parts.keep_alive == whole.keep_alive);
        MUST(parts.path_off == whole.path_off && parts.path_len == whole.path_len && parts.host_off == whole.host_off && parts.host_len == whole.host_len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const struct http_limits roomy = { 8192, 16384, 100 }, tight = { 24, 64, 3 };

        if (size > 65536)
                return 0;
        check_with((const char *)data, size, &roomy);
        check_with((const char *)data, size, &tight);
        return 0;
}
