/* test_decode.c - a row for each rule of router/README.md, "Decoding"; then redirects, and the fast path against the slow one.
 * SPDX-License-Identifier: MIT */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "router/decode.h"
#include "router/router.h"
#include "../run.h"

/* NULL: refused. */
static const struct { const char *raw, *path; } cases[] = {
        { "/", "/" },
        { "/plain/path.html", "/plain/path.html" },
        /* unreserved characters and all that is not reserved: decoded */
        { "/%41%7A%2D%2E%5F%7E", "/Az-._~" },
        { "/a%20b%22%3C%3E%5C%5E%60%7B%7C%7D", "/a b\"<>\\^`{|}" },
        /* reserved characters and % itself: the escape stays, with upper-case digits */
        { "/a%2fb", "/a%2Fb" },
        { "/%3a%2F%3f%23%5b%5D%40", "/%3A%2F%3F%23%5B%5D%40" },
        { "/%21%24%26%27%28%29%2a%2b%2c%3b%3d", "/%21%24%26%27%28%29%2A%2B%2C%3B%3D" },
        { "/:@!$&'()*+,;=[]", "/:@!$&'()*+,;=[]" },
        { "/%25", "/%25" },
        { "/%252e%252e/", "/%252e%252e/" },       /* decoded once, never twice */
        { "/%252F", "/%252F" },
        /* UTF-8 */
        { "/caf%C3%A9", "/caf\xc3\xa9" },
        { "/caf\xc3\xa9", "/caf\xc3\xa9" },
        { "/\xc3%A9", "/\xc3\xa9" },              /* half sent raw, half escaped: the same character */
        { "/%F0%9F%90%8D", "/\xf0\x9f\x90\x8d" },
        { "/%C3", NULL },
        { "/%C3x", NULL },
        { "/%C0%AF", NULL },                      /* an over-long "/" */
        { "/%ED%A0%80", NULL },                   /* a surrogate */
        { "/%F4%90%80%80", NULL },                /* past U+10FFFF */
        { "/%FF", NULL },
        { "/\xff", NULL },
        { "/12345678\xe9", NULL },
        /* dot segments: removed, before and after decoding */
        { "/./a", "/a" },
        { "/a/./b", "/a/b" },
        { "/a/.", "/a/" },
        { "/a/..", "/" },
        { "/a/../b", "/b" },
        { "/a/b/../../c", "/c" },
        { "/..", "/" },
        { "/../x", "/x" },
        { "/../../x", "/x" },
        { "/a/b/..", "/a/" },
        { "/%2e%2e/x", "/x" },
        { "/a/%2E/b", "/a/b" },
        { "/a/.%2e/b", "/b" },
        { "/...", "/..." },
        { "/.a/..b/c.", "/.a/..b/c." },
        { "/a/..%2fb", "/a/..%2Fb" },             /* not a dot segment: the slash is kept encoded */
        { "/12345678/../b", "/b" },               /* the dots beyond the first eight bytes */
        { "/1234567/.", "/1234567/" },
        /* empty segments: kept */
        { "//", "//" },
        { "/a//b", "/a//b" },
        { "/a//../b", "/a/b" },
        { "/a/..//b", "//b" },
        { "//..//x", "//x" },
        /* controls, %00 and bad escapes: refused */
        { "/%00", NULL },
        { "/a%0Ab", NULL },
        { "/%7f", NULL },
        { "/%1F", NULL },
        { "/\x01", NULL },
        { "/1234567\x7f", NULL },
        { "/12345678\t", NULL },
        { "/ ", NULL },
        { "/%", NULL },
        { "/%4", NULL },
        { "/%zz", NULL },
        { "/%4g", NULL },
        { "/%%41", NULL },
        { "/abcdefgh%", NULL },
        /* not a path */
        { "", NULL },
        { "*", NULL },
        { "a/b", NULL },
        { "/a?b", NULL },
        { "/a#b", NULL },
        { "/12345678#", NULL },
};

START_TEST(path_is_decoded)
{
        size_t len = strlen(cases[_i].raw);
        char *raw = malloc(len + 1), *out = malloc(len + 1); /* exact sizes, for the address sanitizer */
        struct span got = { NULL, 0 };
        int r;

        memcpy(raw, cases[_i].raw, len + 1);
        r = router_decode((struct span){ raw, len }, out, &got);
        if (cases[_i].path == NULL) {
                ck_assert_int_eq(r, -EINVAL);
                ck_assert_ptr_null(got.ptr); /* a failed call leaves ret untouched */
        } else {
                ck_assert_int_eq(r, 0);
                ck_assert_msg(span_is(got, span_of(cases[_i].path)), "%s gives %.*s", raw, (int)got.len, got.ptr);
                /* nothing had to change: no copy was made */
                ck_assert((got.ptr == raw) == (strcmp(raw, cases[_i].path) == 0 && strpbrk(raw, "%\x80\xc3") == NULL && strstr(raw, "/.") == NULL));
        }
        free(raw);
        free(out);
}
END_TEST

/* Decoding a decoded path again changes nothing, and leaves no dot segment, control or bad escape. */
START_TEST(decoding_is_final)
{
        static const char alphabet[] = "/.%2eEfF0a5cC3A9 \xc3\xa9";
        uint64_t seed = 4711;

        for (unsigned k = 0; k < 200000; k++) {
                char raw[24], out[25], again[25];
                struct span once, twice;
                size_t n = 1;

                raw[0] = '/';
                seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
                for (uint64_t w = seed >> 8; n < 6 + k % 18; n++) {
                        raw[n] = alphabet[w % (sizeof(alphabet) - 1)];
                        w = w / (sizeof(alphabet) - 1) + (seed << n);
                }
                if (router_decode((struct span){ raw, n }, out, &once) < 0)
                        continue;
                ck_assert_uint_le(once.len, n);
                ck_assert_int_eq(once.ptr[0], '/');
                ck_assert_msg(decode_utf8_ok(once.ptr, once.len), "%.*s", (int)n, raw);
                ck_assert_ptr_null(memmem(once.ptr, once.len, "/../", 4));
                ck_assert_ptr_null(memmem(once.ptr, once.len, "/./", 3));
                if (memchr(once.ptr, ' ', once.len) == NULL) { /* a decoded space may not stand in a raw path */
                        ck_assert_int_eq(router_decode(once, again, &twice), 0);
                        ck_assert_msg(span_is(once, twice), "%.*s: %.*s, then %.*s", (int)n, raw, (int)once.len, once.ptr, (int)twice.len, twice.ptr);
                }
        }
}
END_TEST

static const struct { const char *to, *value, *expect; } expansions[] = {
        { "/new/{x}", "abc", "/new/abc" },
        { "/new/{x}/{x}", "a b", "/new/a%20b/a%20b" },
        { "/new/{x}", "caf\xc3\xa9", "/new/caf%C3%A9" },
        { "/new/{x}", "a/b", "/new/a/b" },
        { "/new/{x}", "a%2Fb", "/new/a%2Fb" },          /* was kept encoded, stays so */
        { "/new/{x}", "a:b@c;d=e", "/new/a:b@c;d=e" },
        { "/new/{x}", "\"<>\\^`{|}", "/new/%22%3C%3E%5C%5E%60%7B%7C%7D" },
        { "/s?q={x}", "a&b=c d/e", "/s?q=a%26b%3Dc%20d/e" },
        { "/{x}", "/evil.example", "/%2Fevil.example" }, /* never another host */
        { "/{x}", "//evil.example", "/%2F/evil.example" },
        { "{x}", "//evil.example", "%2F/evil.example" },
        { "{x}", "/fine", "/fine" },
        { "{x}", "javascript:x", "javascript%3Ax" },    /* never another scheme */
        { "https://example.com/{x}", "a:b", "https://example.com/a:b" },
        { "https://example.com/", "", "https://example.com/" },
        { "/{unknown}", "a", "/{unknown}" },
        { "/{", "a", "/{" },
        { "/x{x}y", "", "/xy" },
};

START_TEST(redirect_is_expanded)
{
        struct router_match m = { .param_count = 1, .params = { { { "x", 1 }, span_of(expansions[_i].value), RT_STR } } };
        char out[200];
        long n = router_expand(expansions[_i].to, &m, out, sizeof(out)), len = (long)strlen(expansions[_i].expect);

        ck_assert_int_eq(n, len);
        out[n] = '\0';
        ck_assert_str_eq(out, expansions[_i].expect);
        /* exactly enough room, and every smaller one */
        ck_assert_int_eq(router_expand(expansions[_i].to, &m, out, (size_t)len), len);
        for (long room = 0; room < len; room++)
                ck_assert_int_eq(router_expand(expansions[_i].to, &m, out, (size_t)room), -ENOSPC);
}
END_TEST

START_TEST(methods_are_words)
{
        char out[80], small[8];

        router_methods_text(M_GET | M_HEAD | M_OPTIONS, out, sizeof(out));
        ck_assert_str_eq(out, "GET, HEAD, OPTIONS");
        ck_assert_uint_eq(router_methods_text(0, out, sizeof(out)), 0);
        ck_assert_str_eq(out, "");
        ck_assert_uint_eq(router_methods_text(M_ANY, small, sizeof(small)), 7);
        ck_assert_str_eq(small, "GET, HE");
        ck_assert_uint_eq(router_method_bit(SPAN_LIT("PATCH")), M_PATCH);
        ck_assert_uint_eq(router_method_bit(SPAN_LIT("get")), M_OTHER); /* methods are case-sensitive: RFC 9110, 9.1 */
        ck_assert_uint_eq(router_method_bit(SPAN_LIT("PROPFIND")), M_OTHER);
}
END_TEST

#define COUNT(list) (int)(sizeof(list) / sizeof((list)[0]))

int
main(void)
{
        Suite *suite = suite_create("decode");
        TCase *tc = tcase_create("decode");

        tcase_add_loop_test(tc, path_is_decoded, 0, COUNT(cases));
        tcase_add_test(tc, decoding_is_final);
        tcase_add_loop_test(tc, redirect_is_expanded, 0, COUNT(expansions));
        tcase_add_test(tc, methods_are_words);
        tcase_set_timeout(tc, 60);
        suite_add_tcase(suite, tc);
        return run_suite(suite);
}
