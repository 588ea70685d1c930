/* test_cors.c - CORS policies: t/unit/cors.cases (which test_cors.py reads too), and origins that are none.
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../run.h"
#include "server/cors_live.h"
#include "server/json.h"

static struct arena *arena;

static void
setup(void)
{
        arena = arena_new();
}

static void
teardown(void)
{
        arena_free(arena);
}

/* ---- the table of both implementations ------------------------------------------------------------------------------------------ */

static char *
cell(char **line)
{
        char *start = *line, *tab = start != NULL ? strchr(start, '\t') : NULL;

        ck_assert_ptr_nonnull(start);
        if (tab != NULL)
                *tab = '\0';
        *line = tab != NULL ? tab + 1 : NULL;
        return strcmp(start, "-") == 0 ? NULL : start;
}

static struct span
span_or_none(const char *s)
{
        return s != NULL ? span_of(s) : (struct span){ NULL, 0 };
}

static const struct cors *
policy_of(const char *json)
{
        struct json_value *v = NULL;
        const struct cors *c = NULL;

        ck_assert_int_eq(json_parse(json, strlen(json), arena, &v), 0);
        ck_assert_int_eq(cors_of_json(arena, v, &c), 0);
        ck_assert_ptr_nonnull(c);
        return c;
}

/* What was written, with "|" between lines. */
static char *
joined(struct out *o)
{
        char *text = calloc(1, out_len(o) + 1), *to = text;

        for (const char *p = o->buf + o->start; p < o->buf + o->end; p++)
                if (*p == '\r' && p + 2 == o->buf + o->end)
                        break;
                else if (*p == '\r')
                        *to++ = '|', p++;
                else
                        *to++ = *p;
        return text;
}

START_TEST(both_implementations_say_the_same)
{
        const char *src = getenv("HEART_SRC");
        struct { char name[16]; const struct cors *c; } policies[16];
        char path[512], line[4096], whole[4096];
        unsigned policy_count = 0, rows = 0;
        FILE *in;

        snprintf(path, sizeof(path), "%s/t/unit/cors.cases", src != NULL ? src : ".");
        in = fopen(path, "r");
        ck_assert_msg(in != NULL, "%s", path);
        while (fgets(line, sizeof(line), in) != NULL) {
                struct out o = { 0 };
                struct cors_ask ask;
                const struct cors *c = NULL;
                char *at = line, *name, *kind, *said, *private_network;
                const char *wanted;

                line[strcspn(line, "\n")] = '\0';
                if (line[0] == '#')
                        continue;
                strcpy(whole, line);
                name = cell(&at);
                kind = cell(&at);
                if (strcmp(name, "policy") == 0) {
                        ck_assert_uint_lt(policy_count, 16);
                        snprintf(policies[policy_count].name, sizeof(policies[0].name), "%s", kind);
                        policies[policy_count++].c = policy_of(at);
                        continue;
                }
                for (unsigned i = 0; i < policy_count; i++)
                        if (strcmp(policies[i].name, name) == 0)
                                c = policies[i].c;
                ck_assert_ptr_nonnull(c);
                ask.origin = span_or_none(cell(&at));
                ask.method = span_or_none(cell(&at));
                ask.headers = span_or_none(cell(&at));
                private_network = cell(&at);
                ask.private_network = private_network != NULL;
                wanted = at;
                if (strcmp(kind, "preflight") == 0)
                        cors_preflight_add(c, &ask, &o);
                else if (cors_add(c, ask.origin, &o))
                        response_header(&o, SPAN_LIT("Vary"), SPAN_LIT("Origin"));
                said = joined(&o);
                ck_assert_msg(strcmp(said, wanted) == 0, "%s\nsaid: %s", whole, said);
                free(said);
                out_fini(&o);
                rows++;
        }
        fclose(in);
        ck_assert_uint_gt(rows, 80);
}
END_TEST

/* ---- refused at load -------------------------------------------------------------------------------------------------------------- */

static const char *const no_origins[] = {
        "example.com", "https://", "https://example.com/", "https://example.com/a", "https://exa mple.com", "https://user@example.com", "https://example.com:0", "https://example.com:65536",
        "https://example.com:", "https://a*.example.com", "https://*", "https://*.", "https://*.*.example.com", "*.example.com", "*://example.com", "https://*.example.com:8*", "", "://a", "https://[::1", "**",
};

START_TEST(what_is_no_origin)
{
        const char *list[] = { "https://fine.test", no_origins[_i] };
        struct route_cors said = { .origins = { list, NULL, 2 } };
        const struct cors *c = NULL;
        struct cors_error err = { 0 };

        ck_assert_int_eq(cors_compile(arena, &said, &c, &err), -EINVAL);
        ck_assert_ptr_eq(err.list, &said.origins);
        ck_assert_uint_eq(err.index, 1);
        ck_assert_str_eq(err.text, "is no origin");
        ck_assert_ptr_null(c);
}
END_TEST

START_TEST(star_goes_with_no_credentials) /* Fetch, 3.2.5 */
{
        const char *list[] = { "*" };
        struct route_cors said = { .origins = { list, NULL, 1 }, .credentials = true };
        const struct cors *c = NULL;
        struct cors_error err = { 0 };

        ck_assert_int_eq(cors_compile(arena, &said, &c, &err), -EINVAL);
        ck_assert_str_eq(err.text, "cannot go with credentials");
}
END_TEST

START_TEST(no_origins_are_no_policy)
{
        struct route_cors said = { .given = true };
        struct cors_error err = { 0 };
        const struct cors *c = (const struct cors *)&err;

        ck_assert_int_eq(cors_compile(arena, &said, &c, &err), 0);
        ck_assert_ptr_null(c);
}
END_TEST

/* What a pyworker says may be anything. */
static const struct { const char *json; int want; bool off; } live[] = {
        { "{\"op\": \"cors\", \"cors\": null}", 0, true },
        { "{\"op\": \"cors\", \"cors\": {\"origins\": [\"*\"]}}", 0, false },
        { "{\"op\": \"cors\", \"cors\": {\"origins\": []}}", 0, true },
        { "{\"op\": \"cors\"}", -EINVAL, false },
        { "{\"op\": \"cors\", \"cors\": []}", -EINVAL, false },
        { "{\"op\": \"cors\", \"cors\": {\"origins\": \"*\"}}", -EINVAL, false },
        { "{\"op\": \"cors\", \"cors\": {\"origins\": [1]}}", -EINVAL, false },
        { "{\"op\": \"cors\", \"cors\": {\"origins\": [\"https://a.test\\u0000\"]}}", -EINVAL, false },
        { "{\"op\": \"cors\", \"cors\": {\"origins\": [\"*\"], \"credentials\": true}}", -EINVAL, false },
        { "{\"op\": \"cors\", \"cors\": {\"origins\": [\"*\"], \"headers\": [\"a\\r\\nb\"]}}", -EINVAL, false },
        { "{\"op\": \"cors\", \"cors\": {\"origins\": [\"*\"], \"max_age\": -1}}", -EINVAL, false },
        { "{\"op\": \"cors\", \"cors\": {\"origins\": [\"*\"], \"max_age\": 1e300}}", -EINVAL, false },
        { "nonsense", -EINVAL, false },
        { "", -EINVAL, false },
};

START_TEST(said_at_run_time)
{
        struct cors_live *c = NULL;

        ck_assert_int_eq(cors_live_new(live[_i].json, strlen(live[_i].json), &c), live[_i].want);
        if (live[_i].want == 0)
                ck_assert_int_eq(c->cors == NULL, live[_i].off);
        else
                ck_assert_ptr_null(c);
        cors_live_free(c);
}
END_TEST

int
main(void)
{
        Suite *s = suite_create("cors");
        TCase *tc = tcase_create("all");

        tcase_add_checked_fixture(tc, setup, teardown);
        tcase_add_test(tc, both_implementations_say_the_same);
        LOOP(tc, what_is_no_origin, no_origins);
        tcase_add_test(tc, star_goes_with_no_credentials);
        tcase_add_test(tc, no_origins_are_no_policy);
        LOOP(tc, said_at_run_time, live);
        suite_add_tcase(s, tc);
        return run_suite(s);
}
