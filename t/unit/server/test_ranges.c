/* test_ranges.c - which parts of a file a Range field wants. The section of RFC 9110 stands with each group.
 * SPDX-License-Identifier: MIT */
#include <check.h>
#include <stdio.h>

#include "server/ranges.h"
#include "t/unit/run.h"

static const struct { const char *value; uint64_t size; unsigned status; size_t count; struct range want[RANGES_MAX]; } rows[] = {
        /* 14.1.2: one */
        { "bytes=0-0", 100, 206, 1, { { 0, 1 } } },
        { "bytes=10-19", 100, 206, 1, { { 10, 10 } } },
        { "bytes=10-", 100, 206, 1, { { 10, 90 } } },
        { "bytes=99-", 100, 206, 1, { { 99, 1 } } },
        { "bytes=0-99", 100, 206, 1, { { 0, 100 } } },
        { "bytes=0-1000", 100, 206, 1, { { 0, 100 } } },
        { "bytes=50-18446744073709551615", 100, 206, 1, { { 50, 50 } } },
        { "bytes=50-99999999999999999999999999", 100, 206, 1, { { 50, 50 } } },
        { "bytes=-1", 100, 206, 1, { { 99, 1 } } },
        { "bytes=-100", 100, 206, 1, { { 0, 100 } } },
        { "bytes=-101", 100, 206, 1, { { 0, 100 } } },
        { "bytes=-99999999999999999999999999", 100, 206, 1, { { 0, 100 } } },
        { "BYTES=1-2", 100, 206, 1, { { 1, 2 } } },
        { "bytes=100-", 100, 416, 0, { { 0, 0 } } },
        { "bytes=100-200", 100, 416, 0, { { 0, 0 } } },
        { "bytes=99999999999999999999999999-", 100, 416, 0, { { 0, 0 } } },
        { "bytes=18446744073709551617-", 100, 416, 0, { { 0, 0 } } }, /* 2^64 + 1 is not 1 */
        { "bytes=-0", 100, 416, 0, { { 0, 0 } } },
        { "bytes=", 100, 200, 0, { { 0, 0 } } },
        { "bytes=-", 100, 200, 0, { { 0, 0 } } },
        { "bytes=2-1", 100, 200, 0, { { 0, 0 } } },
        { "bytes=a-b", 100, 200, 0, { { 0, 0 } } },
        { "bytes=1", 100, 200, 0, { { 0, 0 } } },
        { "bytes=1-2x", 100, 200, 0, { { 0, 0 } } },
        { "bytes=1 -2", 100, 200, 0, { { 0, 0 } } },
        { "bytes=--1", 100, 200, 0, { { 0, 0 } } },
        { "bytes=+1-2", 100, 200, 0, { { 0, 0 } } },
        { "bytes 1-2", 100, 200, 0, { { 0, 0 } } },
        { "lines=1-2", 100, 200, 0, { { 0, 0 } } },
        { "", 100, 200, 0, { { 0, 0 } } },
        /* 14.1.2: several */
        { "bytes=0-0,99-99", 100, 206, 2, { { 0, 1 }, { 99, 1 } } },
        { "bytes=0-0, -1", 100, 206, 2, { { 0, 1 }, { 99, 1 } } },
        { "bytes=50-59,0-9", 100, 206, 2, { { 50, 10 }, { 0, 10 } } },
        { "bytes=0-9,10-19", 100, 206, 2, { { 0, 10 }, { 10, 10 } } },
        /* 5.6.1.2: empty members of a list */
        { "bytes=,0-1,, ,3-4,", 100, 206, 2, { { 0, 2 }, { 3, 2 } } },
        { "bytes= 0-1 , 3-4 ", 100, 206, 2, { { 0, 2 }, { 3, 2 } } },
        { "bytes=0-1\t,\t3-4", 100, 206, 2, { { 0, 2 }, { 3, 2 } } },
        { "bytes=,", 100, 200, 0, { { 0, 0 } } },
        { "bytes= , ,", 100, 200, 0, { { 0, 0 } } },
        /* 14.2: those behind the end are left out; all of them: 416 */
        { "bytes=0-9,200-300", 100, 206, 1, { { 0, 10 } } },
        { "bytes=200-,90-300", 100, 206, 1, { { 90, 10 } } },
        { "bytes=100-,200-", 100, 416, 0, { { 0, 0 } } },
        { "bytes=-0,100-", 100, 416, 0, { { 0, 0 } } },
        /* 14.2: a field that is not well-formed is ignored as a whole, wherever its mistake is */
        { "bytes=0-1,x", 100, 200, 0, { { 0, 0 } } },
        { "bytes=0-1,3", 100, 200, 0, { { 0, 0 } } },
        { "bytes=0-1,4-3", 100, 200, 0, { { 0, 0 } } },
        { "bytes=200-,x", 100, 200, 0, { { 0, 0 } } },
        { "bytes=0-1;3-4", 100, 200, 0, { { 0, 0 } } },
        { "bytes=0-1 3-4", 100, 200, 0, { { 0, 0 } } },
        { "bytes=0-1,-", 100, 200, 0, { { 0, 0 } } },
        { "bytes=0 - 1", 100, 200, 0, { { 0, 0 } } },
        /* 14.2, 17.15: overlapping ones are answered whole */
        { "bytes=0-10,10-20", 100, 200, 0, { { 0, 0 } } },
        { "bytes=0-,-1", 100, 200, 0, { { 0, 0 } } },
        { "bytes=0-99,0-99", 100, 200, 0, { { 0, 0 } } },
        { "bytes=5-6,0-9", 100, 200, 0, { { 0, 0 } } },
        { "bytes=0-9,5-6", 100, 200, 0, { { 0, 0 } } },
        { "bytes=90-,95-300", 100, 200, 0, { { 0, 0 } } },
        /* 17.15: 16 are the most */
        { "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30", 100, 206, 16, { { 0, 1 }, { 2, 1 }, { 4, 1 }, { 6, 1 }, { 8, 1 }, { 10, 1 }, { 12, 1 }, { 14, 1 }, { 16, 1 }, { 18, 1 }, { 20, 1 }, { 22, 1 }, { 24, 1 }, { 26, 1 }, { 28, 1 }, { 30, 1 } } },
        { "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30,50-50", 100, 200, 0, { { 0, 0 } } },
        { "bytes=200-,200-,200-,200-,200-,200-,200-,200-,200-,200-,200-,200-,200-,200-,200-,200-,200-", 100, 200, 0, { { 0, 0 } } },
        /* an empty file has no byte that Content-Range could name (14.4) */
        { "bytes=0-", 0, 416, 0, { { 0, 0 } } },
        { "bytes=0-0", 0, 416, 0, { { 0, 0 } } },
        { "bytes=-1", 0, 200, 0, { { 0, 0 } } },
        { "bytes=-0", 0, 416, 0, { { 0, 0 } } },
        { "bytes=-1,0-", 0, 200, 0, { { 0, 0 } } },
        /* more than 4 GiB */
        { "bytes=4294967296-4294967299", UINT64_C(5000000000), 206, 1, { { UINT64_C(4294967296), 4 } } },
        { "bytes=-1", UINT64_C(5000000000), 206, 1, { { UINT64_C(4999999999), 1 } } },
        { "bytes=0-18446744073709551614", UINT64_MAX - 1, 206, 1, { { 0, UINT64_MAX - 1 } } },
};

START_TEST(value_means_parts)
{
        struct ranges got = { .count = 77 };
        unsigned status = ranges_parse(span_of(rows[_i].value), rows[_i].size, &got);

        ck_assert_msg(status == rows[_i].status, "%s: %u, not %u", rows[_i].value, status, rows[_i].status);
        if (status != 206)
                return;
        ck_assert_msg(got.count == rows[_i].count, "%s: %zu parts", rows[_i].value, got.count);
        for (size_t i = 0; i < got.count; i++)
                ck_assert_msg(got.list[i].offset == rows[_i].want[i].offset && got.list[i].length == rows[_i].want[i].length, "%s: part %zu is %llu+%llu", rows[_i].value, i,
                              (unsigned long long)got.list[i].offset, (unsigned long long)got.list[i].length);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("ranges");
        TCase *t = tcase_create("rfc 9110, 14");

        LOOP(t, value_means_parts, rows);
        suite_add_tcase(s, t);
        return run_suite(s);
}
