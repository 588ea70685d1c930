/* test_inflate.c - compressed request bodies: members, what is broken, what is behind the end, and what would grow too far. RFC 1950, 1952.
 * SPDX-License-Identifier: MIT
 * Every row is fed whole and byte by byte, into a large buffer and into one of a single byte: the verdict is the same. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/inflate.h"
#include "t/unit/run.h"

#ifdef HEART_ZLIB
#include <zlib.h>

enum source { TEXT, LONG_TEXT, BLANKS /* 1 MiB of one byte: a ratio of about 1000 */, NOTHING };
enum change { WHOLE, TWICE, CUT_LAST, CUT_HALF, BAD_CRC, BAD_BYTE, BAD_HEAD, GARBAGE_BEHIND, ZERO_BEHIND, EMPTY };

static const struct { enum inflate_kind kind; enum source source; enum change change; uint32_t ratio; int expected; /* 0: all of it */ size_t times; } rows[] = {
        { INFLATE_GZIP, TEXT, WHOLE, 100, 0, 1 },
        { INFLATE_GZIP, NOTHING, WHOLE, 100, 0, 1 },
        { INFLATE_GZIP, LONG_TEXT, WHOLE, 100, 0, 1 },
        { INFLATE_GZIP, TEXT, TWICE, 100, 0, 2 },             /* RFC 1952, 2.2: members follow each other */
        { INFLATE_GZIP, NOTHING, TWICE, 100, 0, 2 },
        { INFLATE_GZIP, TEXT, CUT_LAST, 100, -400, 0 },
        { INFLATE_GZIP, LONG_TEXT, CUT_HALF, 100, -400, 0 },
        { INFLATE_GZIP, TEXT, BAD_CRC, 100, -400, 0 },        /* 2.3.1: CRC32 */
        { INFLATE_GZIP, LONG_TEXT, BAD_BYTE, 100, -400, 0 },
        { INFLATE_GZIP, TEXT, BAD_HEAD, 100, -400, 0 },       /* 2.3.1: ID1 ID2 */
        { INFLATE_GZIP, TEXT, GARBAGE_BEHIND, 100, -400, 0 },
        { INFLATE_GZIP, TEXT, ZERO_BEHIND, 100, -400, 0 },
        { INFLATE_GZIP, TEXT, EMPTY, 100, -400, 0 },
        { INFLATE_GZIP, BLANKS, WHOLE, 100, -413, 0 },
        { INFLATE_GZIP, BLANKS, WHOLE, 1100, 0, 1 },
        { INFLATE_GZIP, BLANKS, TWICE, 900, -413, 0 },
        { INFLATE_DEFLATE, TEXT, WHOLE, 100, 0, 1 },
        { INFLATE_DEFLATE, LONG_TEXT, WHOLE, 100, 0, 1 },
        { INFLATE_DEFLATE, TEXT, TWICE, 100, -400, 0 },       /* RFC 1950 knows no members */
        { INFLATE_DEFLATE, TEXT, CUT_LAST, 100, -400, 0 },
        { INFLATE_DEFLATE, TEXT, BAD_CRC, 100, -400, 0 },     /* its Adler-32 */
        { INFLATE_DEFLATE, TEXT, BAD_HEAD, 100, -400, 0 },
        { INFLATE_DEFLATE, TEXT, GARBAGE_BEHIND, 100, -400, 0 },
        { INFLATE_DEFLATE, BLANKS, WHOLE, 100, -413, 0 },
};

static const size_t pieces[][2] = { { SIZE_MAX, 65536 }, { 1, 65536 }, { SIZE_MAX, 1 }, { 7, 3 } }; /* bytes in, room */

static void
make(enum source s, char **ret, size_t *ret_len)
{
        size_t len = s == TEXT ? 44 : s == LONG_TEXT ? 100000 : s == BLANKS ? 1u << 20 : 0;
        char *p = malloc(len + 1);

        ck_assert_ptr_nonnull(p);
        for (size_t i = 0; i < len; i++)
                p[i] = s == BLANKS ? ' ' : (char)('a' + i * i % 23 + i / 1000 % 3);
        *ret = p;
        *ret_len = len;
}

static size_t
code(enum inflate_kind kind, const char *plain, size_t len, char *to, size_t room)
{
        z_stream z = { 0 };

        ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, kind == INFLATE_GZIP ? 31 : 15, 8, Z_DEFAULT_STRATEGY), Z_OK);
        z.next_in = (Bytef *)(uintptr_t)plain;
        z.avail_in = (uInt)len;
        z.next_out = (Bytef *)to;
        z.avail_out = (uInt)room;
        ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
        room -= z.avail_out;
        deflateEnd(&z);
        return room;
}

static size_t
change(enum change what, enum inflate_kind kind, char *coded, size_t len)
{
        switch (what) {
        case WHOLE:
                return len;
        case TWICE:
                memcpy(coded + len, coded, len);
                return 2 * len;
        case CUT_LAST:
                return len - 1;
        case CUT_HALF:
                return len / 2;
        case BAD_CRC:
                coded[len - (kind == INFLATE_GZIP ? 8 : 4)] ^= 1;
                return len;
        case BAD_BYTE:
                memset(coded + len / 2, 0xff, 16);
                return len;
        case BAD_HEAD:
                coded[0] ^= 1;
                return len;
        case GARBAGE_BEHIND:
                memcpy(coded + len, "garbage", 7);
                return len + 7;
        case ZERO_BEHIND:
                coded[len] = 0;
                return len + 1;
        case EMPTY:
                return 0;
        }
        return 0;
}

/* As decompress.c does it: 0 at a clean end. */
static int
feed(struct inflater *i, const char *coded, size_t len, size_t piece, size_t room, char *plain, size_t plain_room, size_t *ret_len)
{
        size_t at = 0, n = 0, used, got, most, left;
        int e;

        for (;;) {
                most = len - at < piece ? len - at : piece;
                left = plain_room - n < room ? plain_room - n : room;
                ck_assert_uint_gt(left, 0);
                e = inflater_step(i, coded + at, most, &used, plain + n, left, &got);
                if (e < 0)
                        return e;
                at += used;
                n += got;
                if (used == 0 && got == 0)
                        break;
        }
        *ret_len = n;
        return at == len && inflater_ended(i) ? 0 : -400;
}

START_TEST(body_has_its_verdict)
{
        struct inflaters all = { 0 };
        size_t plain_len, coded_len, room = 3u << 20, n = 0;
        char *plain, *coded = malloc(1u << 20), *out = malloc(room);

        make(rows[_i].source, &plain, &plain_len);
        coded_len = change(rows[_i].change, rows[_i].kind, coded, code(rows[_i].kind, plain, plain_len, coded, 1u << 19));
        for (size_t k = 0; k < sizeof(pieces) / sizeof(*pieces); k++) {
                char *exact = malloc(coded_len > 0 ? coded_len : 1); /* so that a byte past it is seen */
                struct inflater *i = inflater_take(&all, rows[_i].kind, rows[_i].ratio);

                ck_assert_ptr_nonnull(i);
                memcpy(exact, coded, coded_len);
                ck_assert_int_eq(feed(i, exact, coded_len, pieces[k][0], pieces[k][1], out, room, &n), rows[_i].expected);
                if (rows[_i].expected == 0) {
                        ck_assert_uint_eq(n, plain_len * rows[_i].times);
                        for (size_t t = 0; t < rows[_i].times && plain_len > 0; t++)
                                ck_assert_int_eq(memcmp(out + t * plain_len, plain, plain_len), 0);
                }
                inflater_give(&all, i); /* the next one is this one, whatever it went through */
                ck_assert_uint_eq(all.kept_count, 1);
                free(exact);
        }
        inflaters_fini(&all);
        free(plain);
        free(coded);
        free(out);
}
END_TEST

START_TEST(few_are_kept)
{
        struct inflaters all = { 0 };
        struct inflater *open[INFLATERS_KEPT_MAX + 3];

        for (size_t i = 0; i < INFLATERS_KEPT_MAX + 3; i++)
                ck_assert_ptr_nonnull(open[i] = inflater_take(&all, i % 2 ? INFLATE_GZIP : INFLATE_DEFLATE, 100));
        for (size_t i = 0; i < INFLATERS_KEPT_MAX + 3; i++)
                inflater_give(&all, open[i]);
        ck_assert_uint_eq(all.kept_count, INFLATERS_KEPT_MAX);
        inflater_give(&all, NULL);
        inflaters_fini(&all);
        inflaters_fini(&all);
}
END_TEST
#endif

START_TEST(it_says_whether_it_can)
{
#ifdef HEART_ZLIB
        ck_assert(inflate_built());
#else
        ck_assert(!inflate_built());
#endif
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("inflate");
        TCase *t = tcase_create("bodies");

#ifdef HEART_ZLIB
        LOOP(t, body_has_its_verdict, rows);
        tcase_add_test(t, few_are_kept);
#endif
        tcase_add_test(t, it_says_whether_it_can);
        tcase_set_timeout(t, 60);
        suite_add_tcase(s, t);
        return run_suite(s);
}
