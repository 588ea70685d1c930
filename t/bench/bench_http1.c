/* bench_http1.c - what parsing a request head costs, beside others.
 * SPDX-License-Identifier: MIT
 * A head as browsers send it: nine fields, about 700 bytes. heart's parser with each scan that this processor has, strictness included: names are looked up, Host is checked,
 * Content-Length and the like judged. Beside it, when they are there: libhttp-parser (Debian libhttp-parser-dev), with callbacks that do nothing; picohttpparser, whose folder
 * `make micro PICOHTTPPARSER=dir` names, compiled -O3 for SSE4.2 and for this very processor. Rounds are interleaved, so that all see the same machine; medians count.
 * Cycles are those of the time stamp counter (x86), which ticks at the nominal clock. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef __x86_64__
#include <x86intrin.h>
#endif
#ifdef HAVE_HTTP_PARSER
#include <http_parser.h>
#endif
#ifdef HAVE_PICOHTTPPARSER
#include "picohttpparser.h"
/* The same file, compiled twice; the Makefile gives the names. */
__typeof__(phr_parse_request) sse42_phr_parse_request, native_phr_parse_request;
#endif

#include "server/http1.h"

#define ROUNDS 41
#define HEADS_PER_ROUND 20000

static const char head[] =
        "GET /articles/2026/11/a-quiet-server-in-front-of-python?page=2&order=newest HTTP/1.1\r\n"
        "Host: www.example.com\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n"
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n"
        "Accept-Language: en-GB,en;q=0.9,de-DE;q=0.8,de;q=0.7\r\n"
        "Accept-Encoding: gzip, deflate, br, zstd\r\n"
        "Referer: https://www.example.com/articles/2026/11/\r\n"
        "Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=necessary; seen=2026-11-20T12:00:00Z; _v=1.1795176000\r\n"
        "Upgrade-Insecure-Requests: 1\r\n"
        "Connection: keep-alive\r\n"
        "\r\n";
#define HEAD_LEN (sizeof head - 1)

/* ---- the parsers: each takes the head once and says whether it was taken whole ------------------------------------------ */

static bool
parse_heart(void)
{
        static const struct http_limits lim = { 8192, 16384, 100 };
        static struct http_head h;
        int r;

        http_head_init(&h);
        r = http_head_parse(&h, head, HEAD_LEN, &lim);
        __asm__ volatile("" : : "r"(&h) : "memory");
        return r == (int)HEAD_LEN;
}

#ifdef HAVE_HTTP_PARSER
static int on_bytes(http_parser *p, const char *at, size_t len) { (void)p, (void)at, (void)len; return 0; }

static bool
parse_http_parser(void)
{
        static const http_parser_settings settings = { .on_url = on_bytes, .on_header_field = on_bytes, .on_header_value = on_bytes };
        static http_parser p;

        http_parser_init(&p, HTTP_REQUEST);
        return http_parser_execute(&p, &settings, head, HEAD_LEN) == HEAD_LEN;
}
#endif

#ifdef HAVE_PICOHTTPPARSER
static inline bool
parse_pico(__typeof__(phr_parse_request) *parse)
{
        static struct phr_header fields[100];
        const char *method, *path;
        size_t method_len, path_len, count = 100;
        int minor, r = parse(head, HEAD_LEN, &method, &method_len, &path, &path_len, &minor, fields, &count, 0);

        __asm__ volatile("" : : "r"(fields), "r"(method), "r"(path) : "memory");
        return r == (int)HEAD_LEN;
}
static bool parse_pico_sse42(void) { return parse_pico(sse42_phr_parse_request); }
static bool parse_pico_native(void) { return parse_pico(native_phr_parse_request); }
#endif

static struct contender { const char *name, *scan; bool (*parse)(void); double ns[ROUNDS]; } contenders[] = {
        { .name = "heart, avx2", .scan = "avx2", .parse = parse_heart },
        { .name = "heart, sse4.2", .scan = "sse4.2", .parse = parse_heart },
        { .name = "heart, neon", .scan = "neon", .parse = parse_heart },
        { .name = "heart, portable", .scan = "portable", .parse = parse_heart },
#ifdef HAVE_HTTP_PARSER
        { .name = "libhttp-parser", .parse = parse_http_parser },
#endif
#ifdef HAVE_PICOHTTPPARSER
        { .name = "picohttpparser, sse4.2", .parse = parse_pico_sse42 },
        { .name = "picohttpparser, native", .parse = parse_pico_native },
#endif
};
#define CONTENDERS (sizeof contenders / sizeof *contenders)

/* ---- measuring -------------------------------------------------------------------------------------------------------- */

static double
now_ns(void)
{
        struct timespec t;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Nominal cycles in a nanosecond of CPU time; 0: unknown. Measured once, over some work, since the counter also ticks while others have the processor. */
static double
cycles_per_ns(void)
{
#ifdef __x86_64__
        struct timespec t;
        double start, end;
        uint64_t from, to;

        clock_gettime(CLOCK_MONOTONIC, &t);
        start = (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
        from = __rdtsc();
        do {
                clock_gettime(CLOCK_MONOTONIC, &t);
                end = (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
        } while (end - start < 2e7);
        to = __rdtsc();
        return (double)(to - from) / (end - start);
#else
        return 0;
#endif
}

static int
compare(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return x < y ? -1 : x > y;
}

static bool
run_round(struct contender *c, int round)
{
        double start;

        if (c->scan != NULL && !http_scan_use(c->scan))
                return true;
        start = now_ns();
        for (int i = 0; i < HEADS_PER_ROUND; i++)
                if (!c->parse())
                        return false;
        c->ns[round] = (now_ns() - start) / HEADS_PER_ROUND;
        return true;
}

int
main(void)
{
        const char *best_scan = http_scan_name();
        double ours = 0, theirs = 0, cycles = cycles_per_ns();

        for (int round = -1; round < ROUNDS; round++) /* the first warms up */
                for (size_t i = 0; i < CONTENDERS; i++)
                        if (!run_round(&contenders[i], round < 0 ? 0 : round)) {
                                fprintf(stderr, "%s refused the head\n", contenders[i].name);
                                return 1;
                        }
        printf("a request head of %zu bytes and nine fields; %d rounds of %d heads, interleaved; ns a head\n", HEAD_LEN, ROUNDS, HEADS_PER_ROUND);
        printf("%-24s %8s %8s %8s %12s\n", "", "least", "median", "most", cycles > 0 ? "cycles/byte" : "");
        for (size_t i = 0; i < CONTENDERS; i++) {
                struct contender *c = &contenders[i];
                double median;

                if (c->scan != NULL && !http_scan_use(c->scan))
                        continue;
                qsort(c->ns, ROUNDS, sizeof *c->ns, compare);
                median = c->ns[ROUNDS / 2];
                printf("%-24s %8.1f %8.1f %8.1f", c->name, c->ns[0], median, c->ns[ROUNDS - 1]);
                printf(cycles > 0 ? " %12.3f\n" : "\n", median * cycles / (double)HEAD_LEN);
                if (c->scan != NULL && strcmp(c->scan, best_scan) == 0)
                        ours = median;
                if (strncmp(c->name, "pico", 4) == 0 && (theirs == 0 || median < theirs))
                        theirs = median;
        }
        if (theirs > 0)
                printf("heart, %s, takes %.2f of the time of picohttpparser at its best\n", best_scan, ours / theirs);
        else
                puts("not beside picohttpparser: make micro PICOHTTPPARSER=its-folder");
        return 0;
}
