/* test_http1_scans.c - every way of scanning comes to the same: heads made at random and spoilt at random, parsed with each, whole and in pieces.
 * SPDX-License-Identifier: MIT
 * "portable" is the byte machine alone, so what the fast paths take and leave is judged by it. Failures print the seed: HEART_SEED=n runs that one. */
#include <check.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/http1.h"
#include "t/unit/run.h"

#define HEADS 40000
#define ROOM 4096

static uint32_t random_state;

static uint32_t
random_below(uint32_t n)
{
        random_state = random_state * 1664525u + 1013904223u;
        return (uint32_t)((uint64_t)(random_state >> 8) * n >> 24);
}

static const char *const names[] = {
        "Host", "host", "HOST", "Connection", "Content-Length", "Transfer-Encoding", "Expect", "Cookie", "User-Agent", "Accept", "Accept-Encoding", "TE", "DNT", "ETag",
        "If-Match", "If-None-Match", "Sec-Fetch-Mode", "sec-fetch-site", "Upgrade-Insecure-Requests", "X-Forwarded-For", "X_Forwarded_For", "X", "x-a", "Hos", "Hostt", "Host:",
        "Sec-Fetch-Mod\x05", "An-Unknown-Name-Of-Thirty-Bytes", "An-Unknown-Name-Of-32-Bytes-Hello", "A-Name-That-Is-Longer-Than-Any-Block-Of-Thirty-Two-Bytes", "No Token", "",
};
static const char *const values[] = {
        "example.com", "a.example:8080", "[::1]:80", "a..b", ".a", "a:99999", "keep-alive", "Keep-Alive", "close", "keep-alive, close", "5", "05", "-1", "chunked",
        "gzip, chunked", "100-continue", "", " ", "\t", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", "a\tb", "\xc3\xbc\xc3\xa9 caf\xc3\xa9",
        "session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=necessary; seen=2026-11-20T12:00:00Z", "x", "127.0.0.1:8080", "a_b-c.d.", "name:", ":",
};
static const char *const targets[] = {
        "/", "/index.html", "/a?b=c", "/?", "/a?b?c", "/articles/2026/11/a-quiet-server-in-front-of-python?page=2&order=newest", "*", "http://example.com/x", "/a#b", "/!", "/\"q\"",
        "/exactly-thirty-two-bytes-of-path", "/with a blank", "x", "", "/\x7f", "/\xc3\xbc", "/a-path-before-its-query-which-is-in-the-second-block?x#",
};
static const char *const methods[] = { "GET", "GET", "GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "CONNECT", "TRACE", "get", "", "GETT" };
static const char *const versions[] = { "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", "" };
static const char *const ends[] = { "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n", "\r\n " };
#define ANY(table) table[random_below(sizeof table / sizeof *table)]
#define USUAL(table) table[random_below(random_below(8) != 0 ? 1 : sizeof table / sizeof *table)]
/* From `first` on, `count` of them are harmless. */
#define HARMLESS(table, first, count) table[random_below(12) != 0 ? (first) + random_below(count) : random_below(sizeof table / sizeof *table)]

/* A head, mostly right; then, perhaps, a few bytes that are not. Returns its length; bytes behind it are of the next request. */
static size_t
make_head(char *out)
{
        size_t len = (size_t)snprintf(out, ROOM, "%s%s %s %s%s", random_below(20) == 0 ? "\r\n" : "", HARMLESS(methods, 0, 10), HARMLESS(targets, 0, 6), USUAL(versions), USUAL(ends));

        if (random_below(8) != 0)
                len += (size_t)snprintf(out + len, ROOM - len, "Host: example.com\r\n");
        for (uint32_t n = random_below(14); n > 0; n--)
                len += (size_t)snprintf(out + len, ROOM - len, "%s:%s%s%s", HARMLESS(names, 7, 18), random_below(6) != 0 ? " " : "", ANY(values),
                                        random_below(12) != 0 ? "\r\n" : ANY(ends));
        if (random_below(6) == 0) { /* a long name, perhaps with a byte that is none of a name's */
                uint32_t n = 20 + random_below(600), odd = random_below(2) * random_below(n);

                for (uint32_t i = 0; i < n; i++)
                        out[len++] = odd != 0 && i == odd ? ' ' : (char)('a' + i % 26);
                len += (size_t)snprintf(out + len, ROOM - len, ": %s\r\n", ANY(values));
        }
        if (random_below(10) != 0)
                len += (size_t)snprintf(out + len, ROOM - len, "\r\n");
        if (random_below(3) == 0)
                len += (size_t)snprintf(out + len, ROOM - len, "%s / HTTP/1.1\r\nHost: b\r\n\r\n", ANY(methods));
        for (uint32_t n = random_below(3) / 2 * random_below(4); n > 0; n--) {
                static const char odd[] = "\r\n\t :\0\x01\x1f\x7f\x80\xff?#!\"/aA-_@[";

                out[random_below((uint32_t)len)] = odd[random_below(sizeof odd - 1)];
        }
        return len;
}

/* In one piece, or in pieces of at most `step` bytes; each out of memory that ends where the bytes do, so that a sanitizer sees a look beyond. */
static int
parse(struct http_head *h, const char *head, size_t len, size_t step, const struct http_limits *lim)
{
        size_t have = step == 0 ? len : 0;
        int r;

        memset(h, 0xa5, sizeof *h);
        http_head_init(h);
        do {
                char *copy;

                have = have + step < len ? have + step : len;
                copy = malloc(have + 1);
                memcpy(copy + 1, head, have); /* nothing is aligned */
                r = http_head_parse(h, copy + 1, (uint32_t)have, lim);
                free(copy);
        } while (r == 0 && have < len);
        return r;
}

/* What a caller may look at after success. */
static bool
same(const struct http_head *a, const struct http_head *b)
{
        if (a->method != b->method || a->minor != b->minor || a->keep_alive != b->keep_alive || a->chunked != b->chunked || a->expect_continue != b->expect_continue ||
            a->absolute != b->absolute || a->content_length != b->content_length || a->field_count != b->field_count)
                return false;
        if (memcmp(&a->method_off, &b->method_off, offsetof(struct http_head, field_count) - offsetof(struct http_head, method_off)) != 0)
                return false;
        for (int id = 1; id < IPC_H_COUNT; id++) {
                const struct http_field *f = http_head_field(a, (enum ipc_header_id)id), *g = http_head_field(b, (enum ipc_header_id)id);

                if ((f == NULL) != (g == NULL) || (f != NULL && f - a->fields != g - b->fields))
                        return false;
        }
        return memcmp(a->fields, b->fields, a->field_count * sizeof *a->fields) == 0;
}

static void
compare(const char *scan, uint32_t seed)
{
        static const struct http_limits limits[] = { { 8192, 16384, 100 }, { 40, 120, 5 }, { 8192, 300, 8 } };
        static struct http_head expected, got;
        static char head[ROOM];
        const struct http_limits *lim;
        size_t len, step;
        int r;

        random_state = seed * 2654435761u;
        len = make_head(head);
        lim = &limits[random_below(4) != 0 ? 0 : random_below(3)];
        step = random_below(2) * (1 + random_below(random_below(2) ? 8 : 700));
        ck_assert(http_scan_use("portable"));
        r = parse(&expected, head, len, 0, lim);
        ck_assert(http_scan_use(scan));
        ck_assert_msg(parse(&got, head, len, step, lim) == r, "HEART_SEED=%u, %s, step %zu: another verdict than %d", seed, scan, step, r);
        ck_assert_msg(r <= 0 || same(&expected, &got), "HEART_SEED=%u, %s, step %zu: another head", seed, scan, step);
}

static const char *const scans[] = { "avx2", "sse4.2", "neon", "portable" };

START_TEST(all_scans_agree)
{
        const char *one = getenv("HEART_SEED");

        if (!http_scan_use(scans[_i]))
                return;
        if (one != NULL)
                compare(scans[_i], (uint32_t)strtoul(one, NULL, 10));
        for (uint32_t seed = 1; seed <= HEADS && one == NULL; seed++)
                compare(scans[_i], seed);
}
END_TEST

/* The heads above are not all refused, nor all taken. */
START_TEST(heads_are_of_both_kinds)
{
        static struct http_head h;
        static char head[ROOM];
        int taken = 0;

        for (uint32_t seed = 1; seed <= 2000; seed++) {
                const struct http_limits lim = { 8192, 16384, 100 };
                size_t len;

                random_state = seed * 2654435761u;
                len = make_head(head);
                taken += parse(&h, head, len, 0, &lim) > 0;
        }
        ck_assert_int_gt(taken, 100);
        ck_assert_int_lt(taken, 1900);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("http1_scans");
        TCase *t = tcase_create("agree");

        tcase_set_timeout(t, 120);
        LOOP(t, all_scans_agree, scans);
        tcase_add_test(t, heads_are_of_both_kinds);
        suite_add_tcase(s, t);
        return run_suite(s);
}
