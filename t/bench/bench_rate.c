/* bench_rate.c - what a check of a rate limit costs, the hash of its key included.
 * SPDX-License-Identifier: MIT
 * Prints nanoseconds of CPU per check, median and least of the rounds: one key over and over, a thousand and a hundred thousand keys in random order (the
 * memory of the latter is larger than most caches), refused checks, insertions; then wall time per check with two processes on one key, which is what a
 * cache line costs that two cores write. Bar of issue 4: 25 ns. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "server/rate_table.h"

enum { ROUNDS = 31, CHECKS = 200000, BAR_NS = 25 };

static double
now_ns(clockid_t clock)
{
        struct timespec t;

        clock_gettime(clock, &t);
        return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int
by_value(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

struct load { const char *name; uint32_t keys; struct rate_rule rule; uint64_t step_ms; };

static unsigned sink;

/* As rate_limit.c does it: the rule's number and an address, hashed, then the check. */
static double
round_of(struct rate_table *t, const struct load *l, unsigned seed, uint64_t *now_ms, clockid_t clock)
{
        struct { uint64_t rule; uint64_t addr[2]; } key = { 0x1234, { 0xffff, 0 } };
        double start = now_ns(clock);
        unsigned admitted = 0;

        for (unsigned i = 0; i < CHECKS; i++) {
                seed = seed * 1664525u + 1013904223u;
                key.addr[1] = (uint64_t)(seed >> 8) * l->keys >> 24; /* no division: it would cost as much as a third of a check */
                admitted += rate_table_check(t, siphash(&t->key, &key, sizeof(key)), &l->rule, *now_ms).admitted;
        }
        *now_ms += l->step_ms;
        sink += admitted;
        return (now_ns(clock) - start) / CHECKS;
}

static void
measure(const struct load *l)
{
        struct rate_table *t = rate_table_new(4u << 20);
        double ns[ROUNDS];
        uint64_t now_ms = 1000000;

        if (t == NULL)
                abort();
        round_of(t, l, 1, &now_ms, CLOCK_THREAD_CPUTIME_ID);
        for (unsigned i = 0; i < ROUNDS; i++)
                ns[i] = round_of(t, l, i + 2, &now_ms, CLOCK_THREAD_CPUTIME_ID);
        qsort(ns, ROUNDS, sizeof(*ns), by_value);
        printf("  %-34s %7.1f ns/check   least %7.1f%s\n", l->name, ns[ROUNDS / 2], ns[0], ns[ROUNDS / 2] <= BAR_NS ? "" : "   over the bar");
        rate_table_free(t);
}

static void
measure_two_processes(void)
{
        const struct load l = { "", 1, { RATE_LIMIT_MAX, 1 }, 1000 };
        struct rate_table *t = rate_table_new(4u << 20);
        uint64_t now_ms = 1000000;
        double sum = 0;
        pid_t pid;

        if (t == NULL || (pid = fork()) < 0)
                abort();
        for (unsigned i = 0; i < ROUNDS; i++)
                sum += round_of(t, &l, i, &now_ms, CLOCK_MONOTONIC);
        if (pid == 0)
                _exit(0);
        waitpid(pid, NULL, 0);
        printf("  %-34s %7.1f ns/check   (wall time, mean)\n", "one key, two processes", sum / ROUNDS);
        rate_table_free(t);
}

int
main(void)
{
        static const struct load loads[] = {
                { "one key", 1, { RATE_LIMIT_MAX, 1 }, 1000 },
                { "one key, refused", 1, { 1, 60 }, 0 },
                { "1,000 keys", 1000, { RATE_LIMIT_MAX, 1 }, 1000 },
                { "100,000 keys", 100000, { RATE_LIMIT_MAX, 1 }, 1000 },
                { "16 million keys: an insertion each", 1u << 24, { 100, 60 }, 1 },
        };

        printf("rate limits: a check with the hash of its key, table of 4 MiB (bar: %d ns)\n", BAR_NS);
        for (size_t i = 0; i < sizeof(loads) / sizeof(*loads); i++)
                measure(&loads[i]);
        measure_two_processes();
        return sink == 1;
}
