/* bench_encoder.c - what a level costs and saves: the default levels of `compress` were chosen by this table.
 * SPDX-License-Identifier: MIT
 * A row per coding and level, with a 10 kB JSON body: microseconds of CPU for the whole answer (least and median of the rounds, streams kept as a loop keeps them), bytes left,
 * and MB/s of a 64 kB piece of such JSON in a long stream, flushed at its end: that is how long a loop is busy with one piece of a streamed answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/encoder.h"

enum { ROUNDS = 200, SHORT = 10240, PIECE = 65536 };

static double
now_us(void)
{
        struct timespec t;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int
by_size(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

/* Rows as an API would send them: names that repeat, values that do not. */
static void
fill(char *to, size_t len)
{
        uint64_t seed = 88172645463325252u;
        size_t n = 0;

        while (n < len) {
                char row[200];
                int w;

                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                w = snprintf(row, sizeof(row), "{\"id\": %u, \"name\": \"%c%c%c%c%c %c%c%c%c\", \"email\": \"user%u@example.com\", \"active\": %s, \"score\": %u.%u}, ", (unsigned)(seed >> 40) % 100000,
                             'A' + (char)(seed >> 8 & 15), 'a' + (char)(seed >> 12 & 15), 'a' + (char)(seed >> 16 & 15), 'a' + (char)(seed >> 20 & 15), 'a' + (char)(seed >> 24 & 15),
                             'A' + (char)(seed >> 28 & 15), 'a' + (char)(seed >> 32 & 15), 'a' + (char)(seed >> 36 & 15), 'a' + (char)(seed >> 40 & 15), (unsigned)(seed >> 20) % 10000,
                             seed & 1 ? "true" : "false", (unsigned)(seed >> 5) % 100, (unsigned)(seed >> 9) % 10);
                memcpy(to + n, row, len - n < (size_t)w ? len - n : (size_t)w);
                n += (size_t)w;
        }
}

static void
measure(struct encoders *all, enum coding coding, unsigned level, const char *text)
{
        struct out *to = encoders_scratch(all);
        double us[ROUNDS], began;
        struct encoder *e;
        size_t left = 0;

        for (int i = 0; i < ROUNDS; i++) {
                to = encoders_scratch(all);
                began = now_us();
                e = encoder_take(all, coding, level, SHORT, true);
                if (e == NULL || encoder_add(e, (struct span){ text, SHORT }, ENCODER_END, to) < 0)
                        abort();
                encoder_give(all, e);
                us[i] = now_us() - began;
                left = out_len(to);
        }
        qsort(us, ROUNDS, sizeof(*us), by_size);
        e = encoder_take(all, coding, level, UINT64_MAX, true);
        began = now_us();
        for (int i = 0; i < 32; i++)
                if (encoder_add(e, (struct span){ text + (size_t)i % 16 * PIECE, PIECE }, ENCODER_FLUSH, encoders_scratch(all)) < 0)
                        abort();
        began = now_us() - began;
        encoder_give(all, e);
        printf("%-5s %5u %9.1f %9.1f %8zu %5.1f%% %9.1f\n", coding_name(coding).ptr, level, us[0], us[ROUNDS / 2], left, 100.0 * (double)left / SHORT, 32.0 * PIECE / began);
}

int
main(void)
{
        static const struct { enum coding coding; unsigned low, high; } kinds[] = {
                { CODING_GZIP, ENCODER_GZIP_LEVELS }, { CODING_BR, ENCODER_BR_LEVELS }, { CODING_ZSTD, ENCODER_ZSTD_LEVELS },
        };
        char *text = malloc(16 * PIECE);

        if (text == NULL)
                abort();
        fill(text, 16 * PIECE);
        printf("10 kB JSON    us least    median    bytes   left  MB/s of 64 kB pieces\n");
        for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++)
                for (unsigned level = kinds[k].low; encoder_built(kinds[k].coding) && level <= kinds[k].high; level++) {
                        struct encoders all = { 0 };

                        measure(&all, kinds[k].coding, level, text);
                        encoders_fini(&all);
                }
        free(text);
        return 0;
}
