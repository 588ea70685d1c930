/* test_compress.c - which answers are compressed, and what routes.yaml says becomes of it.
 * SPDX-License-Identifier: MIT */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/compress.h"
#include "server/encoder.h"
#include "server/policy.h"
#include "t/unit/run.h"

/* ---- types ---- */

static const struct { const char *type; bool usual; } types[] = {
        { "text/html", true },
        { "text/html; charset=utf-8", true },
        { "TEXT/HTML;charset=UTF-8", true },      /* RFC 9110, 8.3.1: case-insensitive */
        { "text/plain \t; x=y", true },
        { "application/json", true },
        { "application/problem+json", true },
        { "application/ld+json;profile=x", true },
        { "application/xhtml+xml", true },
        { "image/svg+xml", true },
        { "application/wasm", true },
        { "font/ttf", true },
        { "font/woff2", false },
        { "image/png", false },
        { "image/jpeg", false },
        { "application/octet-stream", false },
        { "application/zip", false },
        { "application/jsonx", false },
        { "xapplication/json", false },
        { "application/+jso", false },
        { "text", false },
        { "", false },
        { ";", false },
};

START_TEST(type_is_a_usual_one_or_not)
{
        ck_assert_int_eq(compress_type_listed(&compress_types_usual, span_of(types[_i].type)), types[_i].usual);
}
END_TEST

static const struct { const char *pattern, *type; bool fits; } patterns[] = {
        { "*/*", "image/png", true },
        { "text/*", "text/", true },
        { "text/*", "tex", false },
        { "*/xml", "text/xml", true },
        { "*/xml", "text/xmlx", false },
        { "a/b*c", "a/bc", true },
        { "a/b*bc", "a/bc", false },              /* nothing serves as both ends */
        { "a/b*c", "A/BxxC", true },
        { "a/b", "a/bb", false },
};

START_TEST(star_stands_for_anything)
{
        const char *list[] = { "x/y", patterns[_i].pattern };
        struct key_strs listed = { list, NULL, 2 };

        ck_assert_int_eq(compress_type_listed(&listed, span_of(patterns[_i].type)), patterns[_i].fits);
}
END_TEST

/* ---- answers ---- */

static const struct { unsigned status; const char *type; uint64_t length; bool fits; } answers[] = {
        { 200, "text/plain", 1024, true },
        { 200, "text/plain", 1023, false },       /* min */
        { 200, "text/plain", UINT64_MAX, true },  /* not known: a stream */
        { 200, "image/png", 100000, false },
        { 200, NULL, 100000, false },
        { 404, "text/html", 2000, true },
        { 500, "text/html", 2000, true },
        { 201, "application/json", 2000, true },
        { 206, "text/plain", 2000, false },       /* RFC 9110, 15.3.7: a part of what is there */
        { 204, "text/plain", UINT64_MAX, false }, /* no body */
        { 205, "text/plain", UINT64_MAX, false },
        { 304, "text/plain", UINT64_MAX, false },
        { 200, "text/event-stream", UINT64_MAX, false },
        { 200, "Text/Event-Stream; charset=utf-8", UINT64_MAX, false },
        { 200, "text/event-streams", UINT64_MAX, true },
};

START_TEST(answer_is_fit_or_not)
{
        struct compress c = { .min = 1024, .types = &compress_types_usual };

        ck_assert_int_eq(compress_fits(&c, answers[_i].status, span_of(answers[_i].type), answers[_i].length), answers[_i].fits);
}
END_TEST

START_TEST(nothing_is_never_fit)
{
        struct compress c = { .min = 0, .types = &compress_types_usual };

        ck_assert(compress_fits(&c, 200, SPAN_LIT("text/plain"), 1));
        ck_assert(!compress_fits(&c, 200, SPAN_LIT("text/plain"), 0));
}
END_TEST

static const struct { enum ipc_header_id id; const char *name, *value; bool forbids; } fields[] = {
        { IPC_H_CONTENT_ENCODING, "Content-Encoding", "gzip", true },                  /* coded already */
        { IPC_H_CONTENT_RANGE, "Content-Range", "bytes 0-1/2", true },
        { IPC_H_CACHE_CONTROL, "Cache-Control", "no-transform", true },                /* RFC 9111, 5.2.2.6 */
        { IPC_H_CACHE_CONTROL, "Cache-Control", "public, No-Transform ,max-age=3", true },
        { IPC_H_CACHE_CONTROL, "Cache-Control", "x-no-transform, no-transforms, max-age=3", false },
        { IPC_H_CACHE_CONTROL, "Cache-Control", "", false },
        { IPC_H_OTHER, "Content-Digest", "sha-256=:AA==:", true },                     /* RFC 9530, 2 */
        { IPC_H_OTHER, "repr-digest", "sha-256=:AA==:", true },
        { IPC_H_OTHER, "Digest", "sha-256=AA==", true },
        { IPC_H_OTHER, "Content-MD5", "AA==", true },
        { IPC_H_OTHER, "X-Digest", "no-transform", false },
        { IPC_H_SET_COOKIE, "Set-Cookie", "a=b", false },
};

START_TEST(field_forbids_it_or_not)
{
        ck_assert_int_eq(compress_forbidden_by(fields[_i].id, span_of(fields[_i].name), span_of(fields[_i].value)), fields[_i].forbids);
}
END_TEST

static const struct { const char *list; bool has; } lists[] = {
        { "accept-encoding", true }, { "Cookie, Accept-Encoding", true }, { "a,,ACCEPT-ENCODING\t,", true }, { "accept-encodings", false }, { "x accept-encoding", false }, { "", false }, { ",", false },
};

START_TEST(list_has_a_member_or_not)
{
        ck_assert_int_eq(list_has(span_of(lists[_i].list), SPAN_LIT("accept-encoding")), lists[_i].has);
}
END_TEST

/* ---- routes.yaml ---- */

static const struct { const char *all, *route; const char *expected; /* NULL: off */ } settings[] = {
        { "", "", NULL },
        { "compress: false", "", NULL },
        { "compress: true", "", "zstd br gzip min 1024 gzip 3 br 3 zstd 3 usual" },
        { "compress: {}", "", "zstd br gzip min 1024 gzip 3 br 3 zstd 3 usual" },
        { "compress: true", "compress: false", NULL },
        { "", "compress: true", "zstd br gzip min 1024 gzip 3 br 3 zstd 3 usual" },
        { "compress: {min: 2k, encodings: [gzip, br], level: {gzip: 6}}", "", "gzip br min 2048 gzip 6 br 3 zstd 3 usual" },
        { "compress: {min: 2k, encodings: [gzip, br], level: {gzip: 6}}", "compress: {level: {br: 7}, types: Text/X}", "gzip br min 2048 gzip 6 br 7 zstd 3 text/x" }, /* what a route does not say */
        { "compress: {min: 2k, types: [a/b]}", "compress: true", "zstd br gzip min 2048 gzip 3 br 3 zstd 3 a/b" },
        { "compress: false", "compress: {encodings: br}", "br min 1024 gzip 3 br 3 zstd 3 usual" },
};

static void
describe(const struct compress *c, char *out, size_t room)
{
        size_t n = 0;

        for (size_t i = 0; i < c->offered_count; i++)
                n += (size_t)snprintf(out + n, room - n, "%s ", coding_name(c->offered[i]).ptr);
        snprintf(out + n, room - n, "min %llu gzip %u br %u zstd %u %s", (unsigned long long)c->min, c->level[CODING_GZIP], c->level[CODING_BR], c->level[CODING_ZSTD],
                 c->types == &compress_types_usual ? "usual" : c->types->list[0]);
}

START_TEST(settings_become_a_policy)
{
        struct generation *g = NULL;
        struct bundle b;
        struct diags d;
        char text[1024], said[256];
        int len;

        if (!encoder_built(CODING_GZIP) || !encoder_built(CODING_BR) || !encoder_built(CODING_ZSTD))
                return;
        diags_init(&d);
        bundle_init(&b);
        len = snprintf(text, sizeof(text), "listen: 8080\n%s\nroutes:\n  - path: /\n    respond: {body: x}\n    %s\n", settings[_i].all, settings[_i].route);
        ck_assert_int_eq(sources_add(&b.sources, "/srv/routes.yaml", text, (size_t)len), 0);
        b.sources.complete = true;
        b.base_file = strdup("/srv/routes.yaml");
        ck_assert_int_eq(generation_build(&b, true, &d, &g), 0);
        ck_assert_uint_eq(d.count, 0);
        if (settings[_i].expected == NULL) {
                ck_assert_ptr_null(g->policies[0]->compress);
                ck_assert(g->policies[0]->plain);
        } else {
                ck_assert_ptr_nonnull(g->policies[0]->compress);
                ck_assert(!g->policies[0]->plain);
                describe(g->policies[0]->compress, said, sizeof(said));
                ck_assert_str_eq(said, settings[_i].expected);
        }
        generation_free(g);
        bundle_fini(&b);
        diags_fini(&d);
}
END_TEST

/* A reply that is known never to be compressed goes out prebuilt, as without the key. */
START_TEST(short_replies_stay_ready)
{
        static const struct compress c = { .min = 10, .types = &compress_types_usual };
        struct route r = { .action = ROUTE_RESPOND, .respond = { .status = 200, .type = "text/plain", .body = "0123456789" } };

        ck_assert(compress_fits_reply(&c, &r));
        ck_assert(!compress_fits_reply(NULL, &r));
        ck_assert(compress_fits_reply(&c, NULL));
        r.respond.body = "012345678";
        ck_assert(!compress_fits_reply(&c, &r));
        r.action = ROUTE_STATIC;
        ck_assert(compress_fits_reply(&c, &r));
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("compress");
        TCase *t = tcase_create("answers");

        LOOP(t, type_is_a_usual_one_or_not, types);
        LOOP(t, star_stands_for_anything, patterns);
        LOOP(t, answer_is_fit_or_not, answers);
        tcase_add_test(t, nothing_is_never_fit);
        LOOP(t, field_forbids_it_or_not, fields);
        LOOP(t, list_has_a_member_or_not, lists);
        LOOP(t, settings_become_a_policy, settings);
        tcase_add_test(t, short_replies_stay_ready);
        suite_add_tcase(s, t);
        return run_suite(s);
}
