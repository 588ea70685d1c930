/* test_units.c - SPDX-License-Identifier: MIT */
#include "../../../router/keys.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "../../../router/keys_priv.h"
#include "../run.h"

static const struct { const char *text; int result; uint64_t ms; } durations[] = {
        { "0", 0, 0 },            { "500ms", 0, 500 },     { "2s", 0, 2000 },       { "10m", 0, 600000 },  { "1h", 0, 3600000 },
        { "1d", 0, 86400000 },    { "0s", 0, 0 },          { "007s", 0, 7000 },     { "30", -EINVAL, 0 },  { "", -EINVAL, 0 },
        { "s", -EINVAL, 0 },      { "5 s", -EINVAL, 0 },   { " 5s", -EINVAL, 0 },   { "5s ", -EINVAL, 0 }, { "5S", -EINVAL, 0 },
        { "1.5s", -EINVAL, 0 },   { "-1s", -EINVAL, 0 },   { "+1s", -EINVAL, 0 },   { "1h30m", -EINVAL, 0 }, { "5sec", -EINVAL, 0 },
        { "0x10s", -EINVAL, 0 },  { "18446744073709551615ms", 0, UINT64_MAX },      { "18446744073709551616ms", -ERANGE, 0 },
        { "18446744073709551615s", -ERANGE, 0 }, { "99999999999999999999999999d", -ERANGE, 0 },
};
static const struct { const char *text; int result; uint64_t bytes; } sizes[] = {
        { "0", 0, 0 },           { "512", 0, 512 },       { "16k", 0, 16384 },     { "4m", 0, 4194304 },  { "1g", 0, 1073741824 },
        { "16K", -EINVAL, 0 },   { "10MB", -EINVAL, 0 },  { "k", -EINVAL, 0 },     { "", -EINVAL, 0 },    { "1t", -EINVAL, 0 },
        { "-1", -EINVAL, 0 },    { "1 k", -EINVAL, 0 },   { "17179869184g", -ERANGE, 0 },                 { "17179869183g", 0, 17179869183ull << 30 },
};
static const struct { enum key_type type; uint64_t n; const char *text; } shown[] = {
        { KEY_DURATION, 0, "0" },       { KEY_DURATION, 1500, "1500ms" }, { KEY_DURATION, 2000, "2s" }, { KEY_DURATION, 90000, "90s" },
        { KEY_DURATION, 600000, "10m" }, { KEY_DURATION, 172800000, "2d" }, { KEY_SIZE, 0, "0" },        { KEY_SIZE, 1000, "1000" },
        { KEY_SIZE, 8192, "8k" },       { KEY_SIZE, 10485760, "10m" },    { KEY_UINT, 2000, "2000" },
};

START_TEST(durations_have_a_unit)
{
        uint64_t ms = 42;

        ck_assert_int_eq(keys_parse_duration(span_of(durations[_i].text), &ms), durations[_i].result);
        ck_assert_uint_eq(ms, durations[_i].result == 0 ? durations[_i].ms : 42); /* untouched on failure */
}
END_TEST

START_TEST(sizes_may_have_a_unit)
{
        uint64_t bytes = 42;

        ck_assert_int_eq(keys_parse_size(span_of(sizes[_i].text), &bytes), sizes[_i].result);
        if (sizes[_i].result == 0)
                ck_assert_uint_eq(bytes, sizes[_i].bytes);
}
END_TEST

START_TEST(numbers_are_shown_as_they_would_be_written)
{
        char text[32];

        keys_format_number(shown[_i].type, shown[_i].n, text, sizeof(text));
        ck_assert_str_eq(text, shown[_i].text);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("units");
        TCase *t = tcase_create("units");

        suite_add_tcase(s, t);
        tcase_add_loop_test(t, durations_have_a_unit, 0, sizeof(durations) / sizeof(*durations));
        tcase_add_loop_test(t, sizes_may_have_a_unit, 0, sizeof(sizes) / sizeof(*sizes));
        tcase_add_loop_test(t, numbers_are_shown_as_they_would_be_written, 0, sizeof(shown) / sizeof(*shown));
        return run_suite(s);
}
