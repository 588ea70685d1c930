/* test_encoder.c - what each library makes is what its own decoder takes apart again, at every flush; and the pool keeps its bounds.
 * SPDX-License-Identifier: MIT
 * gzip: RFC 1952, br: RFC 7932, zstd: RFC 8878. What is not compiled in has no rows to run. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef HEART_ZLIB
#include <zlib.h>
#endif
#ifdef HEART_BROTLI
#include <brotli/decode.h>
#endif
#ifdef HEART_ZSTD
#include <zstd.h>
#endif

#include "server/encoder.h"
#include "t/unit/run.h"

/* ---- memory asked for, to see that none is once a stream has seen its sizes ---- */

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COUNTS_MALLOC 1
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
static size_t asked;
void *malloc(size_t n) { asked++; return __libc_malloc(n); }
void *calloc(size_t n, size_t size) { asked++; return __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { asked++; return __libc_realloc(p, n); }
#endif

/* ---- decoders: state, and a call that gives back what can be known from these bytes ---- */

struct decoder {
        enum coding coding;
        bool ended;
        size_t len;
        uint8_t *plain; /* 4 MiB */
#ifdef HEART_ZLIB
        z_stream z;
#endif
#ifdef HEART_BROTLI
        BrotliDecoderState *br;
#endif
#ifdef HEART_ZSTD
        ZSTD_DStream *zstd;
#endif
};
#define PLAIN_MAX (4u << 20)

static void
decoder_open(struct decoder *d, enum coding coding)
{
        *d = (struct decoder){ .coding = coding, .plain = malloc(PLAIN_MAX) };
        ck_assert_ptr_nonnull(d->plain);
#ifdef HEART_ZLIB
        if (coding == CODING_GZIP)
                ck_assert_int_eq(inflateInit2(&d->z, 15 + 16), Z_OK);
#endif
#ifdef HEART_BROTLI
        if (coding == CODING_BR)
                d->br = BrotliDecoderCreateInstance(NULL, NULL, NULL);
#endif
#ifdef HEART_ZSTD
        if (coding == CODING_ZSTD)
                d->zstd = ZSTD_createDStream();
#endif
}

static void
decoder_close(struct decoder *d)
{
#ifdef HEART_ZLIB
        if (d->coding == CODING_GZIP)
                inflateEnd(&d->z);
#endif
#ifdef HEART_BROTLI
        if (d->coding == CODING_BR)
                BrotliDecoderDestroyInstance(d->br);
#endif
#ifdef HEART_ZSTD
        if (d->coding == CODING_ZSTD)
                ZSTD_freeDStream(d->zstd);
#endif
        free(d->plain);
}

static void
decoder_put(struct decoder *d, const struct out *coded)
{
        uint8_t *in = (uint8_t *)coded->buf + coded->start;
        size_t in_len = out_len(coded), room = PLAIN_MAX - d->len;

        if (in_len == 0)
                return;
        (void)in, (void)room;
        switch (d->coding) {
#ifdef HEART_ZLIB
        case CODING_GZIP: {
                int r;

                d->z.next_in = in;
                d->z.avail_in = (uInt)in_len;
                d->z.next_out = d->plain + d->len;
                d->z.avail_out = (uInt)room;
                r = inflate(&d->z, Z_SYNC_FLUSH);
                ck_assert(r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR);
                ck_assert_uint_eq(d->z.avail_in, 0);
                d->ended = r == Z_STREAM_END;
                d->len += room - d->z.avail_out;
                break;
        }
#endif
#ifdef HEART_BROTLI
        case CODING_BR: {
                const uint8_t *from = in;
                uint8_t *to = d->plain + d->len;
                size_t left = room;
                BrotliDecoderResult r = BrotliDecoderDecompressStream(d->br, &in_len, &from, &left, &to, NULL);

                ck_assert(r == BROTLI_DECODER_RESULT_SUCCESS || r == BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT);
                ck_assert_uint_eq(in_len, 0);
                d->ended = r == BROTLI_DECODER_RESULT_SUCCESS;
                d->len += room - left;
                break;
        }
#endif
#ifdef HEART_ZSTD
        case CODING_ZSTD: {
                ZSTD_inBuffer from = { in, in_len, 0 };
                ZSTD_outBuffer to = { d->plain + d->len, room, 0 };
                size_t r;

                do {
                        r = ZSTD_decompressStream(d->zstd, &to, &from);
                        ck_assert(!ZSTD_isError(r));
                } while (from.pos < from.size);
                d->ended = r == 0;
                d->len += to.pos;
                break;
        }
#endif
        default:
                ck_abort_msg("a coding that is not built in");
        }
}

/* ---- bodies ---- */

enum body { NOTHING, ONE_BYTE, JSON_10K, NOISE_100K, ZEROS_2M, BODIES };
static struct span bodies[BODIES];

static void
setup(void)
{
        static char json[10240], noise[100 << 10];
        static const char row[] = "{\"id\": %6u, \"name\": \"somebody number %u\", \"tags\": [\"a\", \"b\"], \"score\": %u.5}, ";
        uint64_t seed = 7;
        size_t n = 0;

        for (unsigned i = 0; n + 128 < sizeof json; i++)
                n += (size_t)snprintf(json + n, sizeof json - n, row, i * 7919, i, i * 31 % 100);
        memset(json + n, ' ', sizeof json - n);
        for (size_t i = 0; i < sizeof noise; i++) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                noise[i] = (char)(seed >> 56);
        }
        bodies[NOTHING] = (struct span){ json, 0 };
        bodies[ONE_BYTE] = (struct span){ json, 1 };
        bodies[JSON_10K] = (struct span){ json, sizeof json };
        bodies[NOISE_100K] = (struct span){ noise, sizeof noise };
        bodies[ZEROS_2M] = (struct span){ calloc(1, 2u << 20), 2u << 20 };
        ck_assert_ptr_nonnull(bodies[ZEROS_2M].ptr);
}

static void
teardown(void)
{
        free((char *)(uintptr_t)bodies[ZEROS_2M].ptr);
}

/* piece: bytes a call; flush: every so many calls, 0: never. sized: the length is told beforehand. */
static const struct { enum coding coding; unsigned level; enum body body; size_t piece; unsigned flush; bool sized; } rows[] = {
#define ALL_BODIES(coding, level) \
        { coding, level, NOTHING, 1, 0, true }, { coding, level, NOTHING, 1, 1, false }, \
        { coding, level, ONE_BYTE, 1, 1, false }, { coding, level, JSON_10K, 10240, 0, true }, { coding, level, JSON_10K, 1, 1, false }, { coding, level, JSON_10K, 100, 7, false }, \
        { coding, level, NOISE_100K, 65536, 0, false }, { coding, level, NOISE_100K, 100 << 10, 0, true }, { coding, level, NOISE_100K, 4096, 1, false }, \
        { coding, level, ZEROS_2M, 65536, 0, false }, { coding, level, ZEROS_2M, 2u << 20, 0, true }, { coding, level, ZEROS_2M, 65536, 1, false }
#ifdef HEART_ZLIB
        ALL_BODIES(CODING_GZIP, 1), ALL_BODIES(CODING_GZIP, 4), ALL_BODIES(CODING_GZIP, 9),
#endif
#ifdef HEART_BROTLI
        ALL_BODIES(CODING_BR, 0), ALL_BODIES(CODING_BR, 4), ALL_BODIES(CODING_BR, 8),
#endif
#ifdef HEART_ZSTD
        ALL_BODIES(CODING_ZSTD, 1), ALL_BODIES(CODING_ZSTD, 3), ALL_BODIES(CODING_ZSTD, 10),
#endif
        { CODING_IDENTITY, 0, NOTHING, 1, 0, false }, /* so that the table is never empty */
};

/* Codes a body in pieces and looks at each flush whether all that went in came out. */
static void
round_trip(struct encoders *all, enum coding coding, unsigned level, struct span body, size_t piece, unsigned flush, bool sized)
{
        struct encoder *e = encoder_take(all, coding, level, sized ? body.len : UINT64_MAX, false);
        struct decoder d;
        size_t at = 0;
        unsigned calls = 0;

        ck_assert_ptr_nonnull(e);
        ck_assert_int_eq(encoder_coding(e), coding);
        decoder_open(&d, coding);
        do {
                size_t n = body.len - at < piece ? body.len - at : piece;
                enum encoder_end end = at + n == body.len ? ENCODER_END : flush != 0 && ++calls % flush == 0 ? ENCODER_FLUSH : ENCODER_MORE;
                struct out *coded = encoders_scratch(all);

                ck_assert_int_eq(encoder_add(e, (struct span){ body.ptr + at, n }, end, coded), 0);
                at += n;
                decoder_put(&d, coded);
                if (end == ENCODER_FLUSH)
                        ck_assert_uint_eq(d.len, at);
                ck_assert(!d.ended || end == ENCODER_END);
        } while (at < body.len);
        ck_assert(d.ended);
        ck_assert_uint_eq(d.len, body.len);
        ck_assert_mem_eq(d.plain, body.ptr, body.len);
        decoder_close(&d);
        encoder_give(all, e);
}

START_TEST(what_went_in_comes_out)
{
        struct encoders all = { 0 };

        if (rows[_i].coding == CODING_IDENTITY)
                return;
        for (int i = 0; i < 2; i++) /* the second time with the stream of the first */
                round_trip(&all, rows[_i].coding, rows[_i].level, bodies[rows[_i].body], rows[_i].piece, rows[_i].flush, rows[_i].sized);
        ck_assert_uint_eq(all.kept_count, 1);
        ck_assert_uint_eq(all.open_count, 0);
        encoders_fini(&all);
}
END_TEST

static const enum coding codings[] = { CODING_GZIP, CODING_BR, CODING_ZSTD };

START_TEST(what_was_broken_off_leaves_no_trace)
{
        struct encoders all = { 0 };
        struct encoder *e;

        if (!encoder_built(codings[_i]))
                return;
        e = encoder_take(&all, codings[_i], 4, 50000, false);
        ck_assert_int_eq(encoder_add(e, bodies[JSON_10K], ENCODER_FLUSH, encoders_scratch(&all)), 0);
        encoder_give(&all, e);
        round_trip(&all, codings[_i], 4, bodies[JSON_10K], 1000, 2, true);
        ck_assert_uint_eq(all.kept_count, 1);
        encoders_fini(&all);
}
END_TEST

START_TEST(pool_has_its_bounds)
{
        struct encoders all = { 0 };
        struct encoder *open[ENCODERS_OPEN_MAX], *brief;

        if (!encoder_built(codings[_i]))
                return;
        for (int i = 0; i < ENCODERS_OPEN_MAX; i++)
                ck_assert_ptr_nonnull(open[i] = encoder_take(&all, codings[_i], 1, UINT64_MAX, false));
        ck_assert_ptr_null(encoder_take(&all, codings[_i], 1, UINT64_MAX, false));
        ck_assert_ptr_nonnull(brief = encoder_take(&all, codings[_i], 1, UINT64_MAX, true));
        encoder_give(&all, brief);
        for (int i = 0; i < ENCODERS_OPEN_MAX; i++)
                encoder_give(&all, open[i]);
        ck_assert_uint_eq(all.open_count, 0);
        ck_assert_uint_eq(all.kept_count, ENCODERS_KEPT_MAX);
        brief = encoder_take(&all, codings[_i], 2, UINT64_MAX, false); /* another level: not one of the kept */
        ck_assert_uint_eq(all.kept_count, ENCODERS_KEPT_MAX);
        encoder_give(&all, brief);
        ck_assert_uint_eq(all.kept_count, ENCODERS_KEPT_MAX);
        ck_assert_ptr_eq(encoder_take(&all, codings[_i], 2, UINT64_MAX, false), brief);
        encoder_give(&all, brief);
        encoder_give(&all, NULL);
        encoders_fini(&all);
        encoders_fini(&all);
}
END_TEST

START_TEST(scratch_does_not_keep_what_is_large)
{
        struct encoders all = { 0 };

        out_reserve(encoders_scratch(&all), 10000);
        ck_assert_uint_ge(all.scratch.room, 10000);
        out_add(encoders_scratch(&all), "x", 1);
        ck_assert_uint_ge(all.scratch.room, 10000);
        ck_assert_uint_eq(out_len(encoders_scratch(&all)), 0);
        out_reserve(encoders_scratch(&all), 1u << 20);
        (void)encoders_scratch(&all);
        ck_assert_uint_eq(all.scratch.room, 0);
        encoders_fini(&all);
}
END_TEST

#ifdef COUNTS_MALLOC
START_TEST(no_memory_is_asked_for_once_warm)
{
        struct encoders all = { 0 };
        size_t before = 0;
        int failed = 0;

        if (!encoder_built(codings[_i]))
                return;
        for (int i = 0; i < 300; i++) {
                struct encoder *e = encoder_take(&all, codings[_i], 4, bodies[JSON_10K].len, true);

                if (i == 3)
                        before = asked;
                failed |= encoder_add(e, bodies[JSON_10K], ENCODER_END, encoders_scratch(&all)); /* an assertion of Check's allocates */
                encoder_give(&all, e);
        }
        before = asked - before;
        ck_assert_uint_eq(before, 0);
        ck_assert_int_eq(failed, 0);
        encoders_fini(&all);
}
END_TEST
#endif

int
main(void)
{
        Suite *s = suite_create("encoder");
        TCase *t = tcase_create("streams");

        tcase_add_checked_fixture(t, setup, teardown);
        tcase_set_timeout(t, 60);
        LOOP(t, what_went_in_comes_out, rows);
        LOOP(t, what_was_broken_off_leaves_no_trace, codings);
        LOOP(t, pool_has_its_bounds, codings);
        tcase_add_test(t, scratch_does_not_keep_what_is_large);
#ifdef COUNTS_MALLOC
        LOOP(t, no_memory_is_asked_for_once_warm, codings);
#endif
        suite_add_tcase(s, t);
        return run_suite(s);
}
