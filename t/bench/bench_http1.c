/* bench_http1.c - what parsing a request head costs.
 * SPDX-License-Identifier: MIT
 * A head as browsers send it: nine fields, about 700 bytes, found in known_headers.def but one. Prints nanoseconds of CPU a head over rounds: the least, the median,
 * the most; the last two tell how quiet the machine was. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/http1.h"

#define ROUNDS 31
#define HEADS_PER_ROUND 100000

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

static double
now_ns(void)
{
        struct timespec t;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int
compare(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return x < y ? -1 : x > y;
}

int
main(void)
{
        static const struct http_limits lim = { 8192, 16384, 100 };
        static struct http_head h;
        double rounds[ROUNDS];
        uint64_t check = 0;

        for (int r = 0; r < ROUNDS; r++) {
                double start = now_ns();

                for (int i = 0; i < HEADS_PER_ROUND; i++) {
                        http_head_init(&h);
                        check += (uint64_t)http_head_parse(&h, head, sizeof head - 1, &lim);
                        __asm__ volatile("" : : "r"(&h) : "memory");
                }
                rounds[r] = (now_ns() - start) / HEADS_PER_ROUND;
        }
        if (check != (uint64_t)ROUNDS * HEADS_PER_ROUND * (sizeof head - 1)) {
                fputs("the head was refused\n", stderr);
                return 1;
        }
        qsort(rounds, ROUNDS, sizeof *rounds, compare);
        printf("http1 head, %zu bytes, %u fields: %.0f ns least, %.0f ns median, %.0f ns most; %.2f ns a byte\n", sizeof head - 1, h.field_count, rounds[0],
               rounds[ROUNDS / 2], rounds[ROUNDS - 1], rounds[ROUNDS / 2] / (double)(sizeof head - 1));
        return 0;
}
