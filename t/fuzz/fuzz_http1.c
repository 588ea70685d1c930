/* fuzz_http1.c - any bytes as a request head.
 * SPDX-License-Identifier: MIT
 * However the bytes arrive, and whatever scan looks at them, the verdict and the head must be the same, and what was accepted must keep http1.h's promises; a broken one aborts. */
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
check_same(const struct http_head *a, const struct http_head *b)
{
        MUST(a->field_count == b->field_count && memcmp(a->fields, b->fields, a->field_count * sizeof *a->fields) == 0);
        MUST(a->content_length == b->content_length && a->chunked == b->chunked && a->keep_alive == b->keep_alive && a->expect_continue == b->expect_continue);
        MUST(a->method == b->method && a->minor == b->minor && a->absolute == b->absolute);
        MUST(a->method_off == b->method_off && a->method_len == b->method_len && a->target_off == b->target_off && a->target_len == b->target_len);
        MUST(a->path_off == b->path_off && a->path_len == b->path_len && a->query_off == b->query_off && a->query_len == b->query_len);
        MUST(a->host_off == b->host_off && a->host_len == b->host_len);
        for (int id = 1; id < IPC_H_COUNT; id++) {
                const struct http_field *f = http_head_field(a, (enum ipc_header_id)id), *g = http_head_field(b, (enum ipc_header_id)id);

                MUST((f == NULL) == (g == NULL) && (f == NULL || f - a->fields == g - b->fields));
        }
}

static void
check_with(const char *buf, size_t len, const struct http_limits *lim)
{
        static const char *const scans[] = { "avx2", "sse4.2", "neon" };
        char *copy = malloc(len + 1); /* of exactly the bytes' size but one, so that nothing is aligned */
        int r;

        memcpy(copy + 1, buf, len);
        MUST(http_scan_use("portable"));
        r = parse_at_once(copy + 1, len, lim);
        parts = whole;
        for (size_t i = 0; i < sizeof scans / sizeof *scans; i++) {
                if (!http_scan_use(scans[i]))
                        continue;
                MUST(parse_at_once(copy + 1, len, lim) == r);
                if (r > 0)
                        check_same(&whole, &parts);
        }
        free(copy);

        MUST(r >= 0 || r == -400 || r == -405 || r == -414 || r == -417 || r == -431 || r == -501 || r == -505);
        MUST(r <= (int)len);
        for (uint32_t seed = 1; seed < 4; seed++)
                MUST(parse_in_steps(buf, len, lim, seed * 7919u) == r);
        if (r <= 0)
                return;
        check_accepted(&whole, buf, r, lim);
        check_same(&whole, &parts);
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
