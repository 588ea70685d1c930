/* test_vars.c - texts with variables: what each becomes on each spot, and what is refused at load.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../run.h"
#include "server/vars.h"

static struct arena *arena;
static struct http_head head;
static const char request[] =
        "GET //evil.com/a?next=%0d%0aSet-Cookie:%20x&q=a%20b%26c&html=%3Cb%3E&dots=..&bad=%ff&u=%E2%80%A8 HTTP/1.1\r\nHost: shop.example.com:8080\r\n"
        "User-Agent: Curl, \"x\"; <y>\r\nX-Tab: a\tb\r\nCookie: sid=a1\r\nX-Empty:\r\nX-Up: ..\r\nX-Sub: eu\r\nX-Evil: evil.com/\r\n\r\n";

static void
setup(void)
{
        static const struct http_limits limits = { 8192, 16384, 100 };

        arena = arena_new();
        http_head_init(&head);
        ck_assert_int_gt(http_head_parse(&head, request, sizeof(request) - 1, &limits), 0);
}

static void
teardown(void)
{
        arena_free(arena);
}

/* The route /{x}/{rest:path} took a request; x is the value at hand. */
static struct vars_source
source(struct router_match *m, const char *x)
{
        struct vars_source s = { .match = m, .path = SPAN_LIT("//evil.com/a"), .host = SPAN_LIT("shop.example.com"), .method = SPAN_LIT("GET"), .user = SPAN_LIT("J\xc3\xbcrgen\r\n<M>"), .port = 8080, .request_id = 77,
                                 .head = &head, .bytes = request };

        *m = (struct router_match){ .param_count = 2, .params = { { SPAN_LIT("x"), span_of(x), RT_STR }, { SPAN_LIT("rest"), SPAN_LIT("/b/c"), RT_PATH } } };
        s.query = (struct span){ request + head.query_off, head.query_len };
        s.target = (struct span){ request + head.target_off, head.target_len };
        s.client.s6_addr[10] = s.client.s6_addr[11] = 0xff;
        memcpy(&s.client.s6_addr[12], "\x0a\x01\x02\x03", 4);
        return s;
}

static const struct span names_list[] = { { "x", 1 }, { "rest", 4 } };
static const enum router_type types[] = { RT_INT, RT_PATH };
static const struct vars_names names = { names_list, types, 2, false };

static long
expand(enum vars_place place, const char *text, const char *x, char *out, size_t room, bool with_query)
{
        const struct vars *v = NULL;
        struct vars_error err = { 0 };
        struct router_match m;
        struct vars_source s = source(&m, x);
        int e = vars_compile(arena, span_of(text), place, &names, &v, &err);

        ck_assert_msg(e == 0, "%s: %s", text, err.text);
        if (!with_query)
                s.query = SPAN_LIT("");
        return vars_expand(v, &s, out, room);
}

#define Q_LINK "next=%0d%0aSet-Cookie%3A%20x&amp;q=a%20b%26c&amp;html=%3Cb%3E&amp;dots=..&amp;bad=%ff&amp;u=%E2%80%A8"
#define Q_RAW "next=%0d%0aSet-Cookie:%20x&q=a%20b%26c&html=%3Cb%3E&dots=..&bad=%ff&u=%E2%80%A8"
/* want NULL: -EINVAL. RFC 3986 where a URL is made, RFC 9110 5.5 for values of fields, RFC 6265 4.1.1 for cookies, RFC 8259 7 for JSON. */
static const struct { enum vars_place place; const char *text, *x, *want; bool query; } cases[] = {
        /* 3.3: a parameter is one segment of a path */
        { VARS_URL, "/new/{x}", "a", "/new/a", false },
        { VARS_URL, "/new/{x}", "a", "/new/a?" Q_RAW, true },
        { VARS_URL, "/new/{x}?y=1", "a", "/new/a?y=1", true },
        { VARS_URL, "/new#top", "a", "/new?" Q_RAW "#top", true },
        { VARS_URL, "/new/{x}", "a b\xc3\xa4?#\"<>\\^`{|}", "/new/a%20b%C3%A4%3F%23%22%3C%3E%5C%5E%60%7B%7C%7D", false },
        { VARS_URL, "/new/{x}", "50%25", "/new/50%25", false },        /* an escape that the router kept */
        { VARS_URL, "/new?y={x}", "a&b=c%26d", "/new?y=a%26b%3Dc%26d", true },
        { VARS_URL, "/new#{x}", "a b", "/new#a%20b", false },
        /* 4.2: never "//host" out of what a client sent */
        { VARS_URL, "/{x}", "/evil.com", "/%2Fevil.com", false },
        { VARS_URL, "/{rest}", "", "/%2Fb/c", false },
        { VARS_URL, "{rest}", "", "/b/c", false },
        { VARS_URL, "{x}", "//evil.com", "/%2Fevil.com", false },
        { VARS_URL, "{x}/evil.com", "/", "/%2Fevil.com", false },
        { VARS_URL, "{x}//evil.com", "", "/%2Fevil.com", false },
        { VARS_URL, "/{x}/evil.com", "", "/%2Fevil.com", false },
        { VARS_URL, "{$path}", "", "/%2Fevil.com/a", false },
        { VARS_URL, "{$uri}", "", "/%2Fevil.com/a?" Q_RAW, true },
        { VARS_URL, "/{x}", "\\evil.com", "/%5Cevil.com", false },
        { VARS_URL, "/a{rest}", "", "/a/b/c", false },
        /* 4.2: nor a scheme */
        { VARS_URL, "{x}", "javascript:alert(1)", "javascript%3Aalert(1)", false },
        { VARS_URL, "a{x}", "b:c", "ab%3Ac", false },
        { VARS_URL, "/{x}", "b:c", "/b:c", false },
        /* 3.2: hosts */
        { VARS_URL, "https://{$host}{$uri}", "", "https://shop.example.com//evil.com/a?" Q_RAW, true },
        { VARS_URL, "https://{$host}{$path}", "", "https://shop.example.com//evil.com/a?" Q_RAW, true },
        { VARS_URL, "{$scheme}://{$host}:{$port}/{x}", "a:b", "http://shop.example.com:8080/a:b", false },
        { VARS_URL, "https://{x}.example.com/", "shop", "https://shop.example.com/", false },
        { VARS_URL, "https://{x}.example.com/", "evil.com/", NULL, false },
        { VARS_URL, "https://{x}.example.com/", "evil.com%2F", NULL, false },
        { VARS_URL, "https://{x}.example.com/", "a@b", NULL, false },
        { VARS_URL, "https://{x}.example.com/", "", NULL, false },
        { VARS_URL, "https://{$header.x-sub}.example.com/", "", "https://eu.example.com/", false },
        { VARS_URL, "https://{$header.x-evil}.example.com/", "", NULL, false },
        { VARS_URL, "//cdn.example.com/{x}", "a", "//cdn.example.com/a", false },
        { VARS_URL, "https://example.com/{rest}", "", "https://example.com//b/c", false },
        { VARS_URL, "/s?a={$query.q}&b={$header.x-evil}", "", "/s?a=a%20b%26c&b=evil.com%2F", true },
        { VARS_URL, "/s?{$query}", "", "/s?" Q_RAW, true },
        { VARS_URL, "/s/{$header.x-evil}", "", "/s/evil.com%2F", false }, /* not a path: its slash is text */
        { VARS_URL, "/s/{$query.next}", "", "/s/%0D%0ASet-Cookie:%20x?" Q_RAW, true },
        /* rewrite: what would be resolved away again is refused */
        { VARS_PATH, "/files/{x}", "a", "/files/a", true },
        { VARS_PATH, "/files/{x}?v=2", "a", "/files/a?v=2", true },
        { VARS_PATH, "/files/{x}", "..", NULL, false },
        { VARS_PATH, "/files/{$query.dots}", "", NULL, true },
        { VARS_PATH, "/files/{$header.x-up}/a", "", NULL, false },
        { VARS_PATH, "/files/{x}{x}", ".", NULL, false },
        { VARS_PATH, "/files/a{x}", "..", "/files/a..", false },
        { VARS_PATH, "/f/{x}", "a?b=%2F", "/f/a%3Fb=%2F", false },
        { VARS_PATH, "{$path}", "", "//evil.com/a", false },
        /* RFC 9110, 5.5: no control ends a line */
        { VARS_HEADER, "{$query.next}", "", "%0D%0ASet-Cookie: x", true },
        { VARS_HEADER, "a {$query.next}", "", "a %0D%0ASet-Cookie: x", true },
        { VARS_HEADER, "{x}", "a\x7f", "a%7F", false },
        { VARS_HEADER, "{$header.x-tab}", "", "a%09b", false },
        { VARS_HEADER, "{$header.user-agent}", "", "Curl, \"x\"; <y>", false },
        { VARS_HEADER, "ua={$header.user-agent}", "", "ua=Curl%2C %22x%22%3B %3Cy%3E", false },
        { VARS_HEADER, "attachment; filename=\"{x}\"", "a\"; b=\\", "attachment; filename=\"a\\\"; b=\\\\\"", false },
        { VARS_HEADER, "</{x}>; rel=next", "a>; rel=\"prev", "</a%3E%3B%20rel%3D%22prev>; rel=next", false },
        { VARS_HEADER, "{$scheme}://{$host}:{$port} {$method} {$client} {$request_id}{$status}", "", "http://shop.example.com:8080 GET 10.1.2.3 77", false },
        { VARS_HEADER, "{\"group\": \"x\", \"n\": {}}", "", "{\"group\": \"x\", \"n\": {}}", false },
        { VARS_HEADER, "{{x} {x}}", "a", "{x} a}", false },
        { VARS_HEADER, "{$header.x-none}{$cookie.none}{$query.none}{$header.x-empty}", "", "", true },
        { VARS_COOKIE, "last={x}; Path=/", "a; Domain=evil.com", "last=a%3B%20Domain=evil.com; Path=/", false },
        { VARS_COOKIE, "s={$cookie.sid}", "", "s=a1", false },
        { VARS_HEADER, "{$user}", "", "J\xc3\xbcrgen%0D%0A<M>", false },
        /* bodies */
        { VARS_MARKUP, "<p>{$user}", "", "<p>J\xc3\xbcrgen\r\n&lt;M&gt;", false },
        { VARS_TEXT, "<{x}>", "<b>&", "<<b>&>", false },
        { VARS_MARKUP, "<p title='{x}'>{$query.html}</p>", "'><script>\"&", "<p title='&#39;&gt;&lt;script&gt;&quot;&amp;'>&lt;b&gt;</p>", true },
        { VARS_MARKUP, "<a href=\"/s?q={$query.q}&amp;{$query}\" title='{x}'>{x}</a><!-- {x} -->", "\"><", "<a href=\"/s?q=a%20b%26c&amp;" Q_LINK "\" title='&quot;&gt;&lt;'>&quot;&gt;&lt;</a><!-- &quot;&gt;&lt; -->", true },
        { VARS_MARKUP, "<link rel=canonical href='https://{$host}:{$port}{$path}'>", "", "<link rel=canonical href='https://shop.example.com:8080//evil.com/a'>", false },
        { VARS_MARKUP, "<a href=\"{$scheme}://{$host}/{x}\">", "javascript:'&", "<a href=\"http://shop.example.com/javascript%3A%27%26\">", false },
        { VARS_MARKUP, "<a href='/{rest}'>", "", "<a href='/%2Fb/c'>", false }, /* "//b" would be a host */
        { VARS_MARKUP, "<a href='/{$query.none}/evil.com'>", "", "<a href='/%2Fevil.com'>", true },
        { VARS_MARKUP, "<meta http-equiv=refresh content=\"0; url=/{rest}\">", "", "<meta http-equiv=refresh content=\"0; url=/%2Fb/c\">", false },
        { VARS_MARKUP, "<a href='/a{rest}{rest}'>", "", "<a href='/a/b/c/b/c'>", false },
        { VARS_MARKUP, "<script>1 < 2</script><style>a{b:c}</style><p>{x}", "<", "<script>1 < 2</script><style>a{b:c}</style><p>&lt;", false },
        { VARS_MARKUP, "<meta name=d content=\"{x}\"><p>1 < 2 {x}", "a\"b", "<meta name=d content=\"a&quot;b\"><p>1 < 2 a&quot;b", false },
        { VARS_MARKUP, "<?xml version=\"1.0\"?><a><![CDATA[{x}]]></a>", "]]>", "<?xml version=\"1.0\"?><a><![CDATA[]]&gt;]]></a>", false },
        { VARS_JSON, "{\"n\": {x}, \"p\": {$port}, \"s\": \"\\\"{x}\"}", "-7", "{\"n\": -7, \"p\": 8080, \"s\": \"\\\"-7\"}", false },
        { VARS_MARKUP, "{$query.bad}", "", "\xef\xbf\xbd", true },
        { VARS_JSON, "{\"x\": \"{x}\"}", "a\"\\\n</script>", "{\"x\": \"a\\u0022\\u005c\\u000a\\u003c/script\\u003e\"}", false },
        { VARS_JSON, "[\"{$query.bad}{$query.u}\"]", "", "[\"\xef\xbf\xbd\\u2028\"]", true },
        { VARS_JSON, "{\"a\":{\"b\":1}}", "", "{\"a\":{\"b\":1}}", false },
};

START_TEST(value_on_its_spot)
{
        char out[1024];
        long n = expand(cases[_i].place, cases[_i].text, cases[_i].x, out, sizeof(out), cases[_i].query);

        if (cases[_i].want == NULL) {
                ck_assert_int_eq(n, -EINVAL);
                return;
        }
        ck_assert_msg(n >= 0 && span_is((struct span){ out, (size_t)n }, span_of(cases[_i].want)), "%s with \"%s\": %.*s, not %s", cases[_i].text, cases[_i].x, n < 0 ? 3 : (int)n,
                      n < 0 ? "---" : out, cases[_i].want);
}
END_TEST

START_TEST(room_is_kept)
{
        char out[1024], whole[1024];
        long n = expand(cases[_i].place, cases[_i].text, cases[_i].x, whole, sizeof(whole), cases[_i].query);

        for (size_t room = 0; n >= 0 && room <= (size_t)n; room++) {
                memset(out, '!', sizeof(out));
                ck_assert_int_eq(expand(cases[_i].place, cases[_i].text, cases[_i].x, out, room, cases[_i].query), room == (size_t)n ? n : -ENOSPC);
                ck_assert_int_eq(out[room], '!');
        }
}
END_TEST

static const struct { enum vars_place place; const char *text; size_t at, len; const char *says, *hint; } refused[] = {
        { VARS_URL, "/new/{y}", 5, 3, "there is no parameter \"y\" in the path", "write %7B for a brace" },
        { VARS_URL, "/new/{host}", 5, 6, "there is no parameter \"host\" in the path", "did you mean \"{$host}\"?" },
        { VARS_HEADER, "{rset}", 0, 6, "there is no parameter \"rset\" in the path", "did you mean \"rest\"?" },
        { VARS_HEADER, "{something}", 0, 11, "there is no parameter \"something\" in the path", "write {{ for a brace" },
        { VARS_URL, "/{1}", 1, 3, "there is no parameter \"1\" in the path", "give the group a name: (?<name>...)" },
        { VARS_URL, "/{$hots}", 1, 7, "heart has no variable \"$hots\"", "did you mean \"{$host}\"?" },
        { VARS_HEADER, "{$heder.x}", 0, 10, "heart has no variable \"$heder.x\"", NULL },
        { VARS_HEADER, "{$header.}", 0, 10, "heart has no variable \"$header.\"", NULL },
        { VARS_HEADER, "a {$}", 2, 2, "this is no variable: {$name} or {$header.name}", "write {{ for a brace" },
        { VARS_URL, "/a{b", 2, 1, "this \"{\" is never closed", "write %7B for the character" },
        { VARS_URL, "/a{-}", 2, 1, "a name of letters, digits and _ is missing here", NULL },
        { VARS_URL, "/{$status}", 1, 9, "\"{$status}\" is not known yet where a request is sent elsewhere", NULL },
        { VARS_URL, "https://{x}/", 8, 3, "a variable here would let clients choose the host; it can be only what stands before the name's own part", NULL },
        { VARS_URL, "https://example.com{rest}", 19, 6, "a variable here would let clients choose the host; it can be only what stands before the name's own part", NULL },
        { VARS_URL, "https://{x}.com/", 8, 3, "a variable here would let clients choose the host; it can be only what stands before the name's own part", NULL },
        { VARS_URL, "//{x}", 2, 3, "a variable here would let clients choose the host; it can be only what stands before the name's own part", NULL },
        { VARS_URL, "{x}://a.b", 3, 1, "the scheme of a URL cannot be made of a variable", NULL },
        { VARS_JSON, "{\"a\": {rest}}", 6, 6, "outside of a string only numbers are safe: {$port}, {$status}, {$request_id} and parameters of type int", "put quotes around it" },
        { VARS_JSON, "[\"\\\\\", {rest}]", 7, 6, "outside of a string only numbers are safe: {$port}, {$status}, {$request_id} and parameters of type int", NULL },
        { VARS_MARKUP, "<p {x}>", 3, 3, "a variable in a tag can only be the value of an attribute, in quotes", "put quotes around it" },
        { VARS_MARKUP, "<p a={x}>", 5, 3, "a variable in a tag can only be the value of an attribute, in quotes", NULL },
        { VARS_MARKUP, "<{x}>", 1, 3, "a variable in a tag can only be the value of an attribute, in quotes", NULL },
        { VARS_MARKUP, "<!doctype {x}>", 10, 3, "a variable in a tag can only be the value of an attribute, in quotes", NULL },
        { VARS_MARKUP, "<script>x = \"{x}\"", 13, 3, "a variable cannot stand in a script", NULL },
        { VARS_MARKUP, "<STYLE type=a>{x}", 14, 3, "a variable cannot stand in a style", NULL },
        { VARS_MARKUP, "<p OnClick = \"f({x})\">", 16, 3, "the attribute \"onclick\" is a program, and a variable could change it", NULL },
        { VARS_MARKUP, "<p a='1' style=\"{x}\">", 16, 3, "the attribute \"style\" is a program, and a variable could change it", NULL },
        { VARS_MARKUP, "<a href=\"{x}\">", 9, 3, "a link cannot begin with a variable: it could be a program", "such as /search?q={name}" },
        { VARS_MARKUP, "<a HREF='{$uri}'>", 9, 6, "a link cannot begin with a variable: it could be a program", NULL },
        { VARS_MARKUP, "<img src=\"https://{x}/\">", 18, 3, "a variable cannot be part of a link's host", NULL },
        { VARS_MARKUP, "<img src=\"//a{x}/\">", 13, 3, "a variable cannot be part of a link's host", NULL },
        { VARS_MARKUP, "<meta http-equiv=refresh content=\"0;url={x}\">", 40, 3, "a link cannot begin with a variable: it could be a program", NULL },
        { VARS_PATH, "new/{x}", 0, 7, "a rewrite wants a path", NULL },
        { VARS_PATH, "https://a/{x}", 0, 13, "a rewrite wants a path", NULL },
        { VARS_PATH, "/a#b", 0, 4, "a path on the server has no fragment", NULL },
};

START_TEST(refused_at_load)
{
        const struct vars *v = NULL;
        struct vars_error err = { 0 };

        ck_assert_int_eq(vars_compile(arena, span_of(refused[_i].text), refused[_i].place, &names, &v, &err), -EINVAL);
        ck_assert_str_eq(err.text, refused[_i].says);
        ck_assert_uint_eq(err.at, refused[_i].at);
        ck_assert_uint_eq(err.len, refused[_i].len);
        if (refused[_i].hint != NULL)
                ck_assert_str_eq(err.hint, refused[_i].hint);
}
END_TEST

START_TEST(names_of_a_mount_may_be_missing)
{
        static const struct vars_names open = { names_list, types, 2, true };
        const struct vars *v = NULL;
        struct vars_error err = { 0 };
        struct router_match m;
        struct vars_source s = source(&m, "a");
        char out[16];

        ck_assert_int_eq(vars_compile(arena, SPAN_LIT("[{tail}{x}]"), VARS_HEADER, &open, &v, &err), 0);
        ck_assert_int_eq(vars_expand(v, &s, out, sizeof(out)), 3);
        ck_assert(memcmp(out, "[a]", 3) == 0);
}
END_TEST

START_TEST(constants_are_known)
{
        static const struct { enum vars_place place; const char *text, *want; } rows[] = {
                { VARS_HEADER, "", "" }, { VARS_HEADER, "DENY", "DENY" }, { VARS_TEXT, "{{x}", "{x}" }, { VARS_TEXT, "{x}", NULL }, { VARS_URL, "/a", NULL }, { VARS_URL, "/a?", "/a?" },
        };
        const struct vars *v = NULL;
        struct vars_error err = { 0 };
        struct span got = { NULL, 0 };

        for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
                ck_assert_int_eq(vars_compile(arena, span_of(rows[i].text), rows[i].place, &names, &v, &err), 0);
                ck_assert_int_eq(vars_is_constant(v, &got), rows[i].want != NULL);
                if (rows[i].want != NULL)
                        ck_assert(span_is(got, span_of(rows[i].want)));
        }
}
END_TEST

START_TEST(type_says_how_to_escape)
{
        static const struct { const char *type; enum vars_place want; } rows[] = {
                { "text/plain; charset=utf-8", VARS_TEXT }, { "text/html", VARS_MARKUP }, { "TEXT/HTML; charset=utf-8", VARS_MARKUP }, { "application/xhtml+xml", VARS_MARKUP },
                { "image/svg+xml", VARS_MARKUP }, { "text/xml", VARS_MARKUP }, { "application/json", VARS_JSON }, { "application/problem+json; x", VARS_JSON },
                { "text/javascript", VARS_JSON }, { "text/css", VARS_TEXT }, { "", VARS_MARKUP }, { NULL, VARS_MARKUP },
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
                ck_assert_int_eq(vars_place_of_type(rows[i].type), rows[i].want);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("vars");
        TCase *tc = tcase_create("all");

        tcase_add_checked_fixture(tc, setup, teardown);
        LOOP(tc, value_on_its_spot, cases);
        LOOP(tc, room_is_kept, cases);
        LOOP(tc, refused_at_load, refused);
        tcase_add_test(tc, names_of_a_mount_may_be_missing);
        tcase_add_test(tc, constants_are_known);
        tcase_add_test(tc, type_says_how_to_escape);
        suite_add_tcase(s, tc);
        return run_suite(s);
}
