/* fuzz_cors.c - any bytes as Origin and as Access-Control-Request-*: what a policy answers is made of whole lines, and never allows an origin in another spelling.
 * SPDX-License-Identifier: MIT
 * Input: a byte that picks the policy, then NUL-separated: origin, method, headers. */
#include <stdlib.h>

#include "server/cors.h"
#include "server/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const policies[] = {
        "{\"origins\": [\"https://example.com\", \"https://*.example.org\", \"http://localhost:*\", \"null\"], \"credentials\": true, \"headers\": [\"x-a\"], \"methods\": [\"PUT\"], \"max_age\": 9}",
        "{\"origins\": [\"*\"], \"headers\": [\"*\"], \"private_network\": true}",
        "{\"origins\": [\"https://*.example.org:*\", \"http://[::1]\"], \"headers\": [\"*\"]}",
};

static struct span
next(const uint8_t **at, size_t *left)
{
        const uint8_t *nul = *left > 0 ? memchr(*at, 0, *left) : NULL;
        struct span s = { (const char *)*at, nul != NULL ? (size_t)(nul - *at) : *left };

        *left -= s.len + (nul != NULL);
        *at += s.len + (nul != NULL);
        return s;
}

static void
must(bool what)
{
        if (!what)
                abort();
}

/* Every line is "Name: value\r\n", and as many as there should be. */
static void
check_lines(const struct out *o)
{
        const char *p = o->buf, *end;

        if (p == NULL)
                return;
        for (end = o->buf + o->end, p += o->start; p < end;) {
                const char *stop = memmem(p, (size_t)(end - p), "\r\n", 2), *colon;

                must(stop != NULL);
                colon = memmem(p, (size_t)(stop - p), ": ", 2);
                must(colon != NULL && (strncmp(p, "Access-Control-", 15) == 0 || strncmp(p, "Vary", 4) == 0));
                for (; p < stop; p++)
                        must((unsigned char)*p >= 0x20 && *p != 0x7f);
                p = stop + 2;
        }
}

static bool
has_control(struct span s)
{
        for (size_t i = 0; i < s.len; i++)
                if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
                        return true;
        return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const uint8_t *at = data + 1;
        size_t left = size > 0 ? size - 1 : 0;
        struct cors_ask ask = { .private_network = true };
        struct arena *a = arena_new();
        struct json_value *v;
        const struct cors *c;
        const char *policy = policies[size > 0 ? data[0] % 3 : 0];
        struct out o = { 0 };

        ask.origin = next(&at, &left);
        ask.method = next(&at, &left);
        ask.headers = next(&at, &left);
        must(a != NULL && json_parse(policy, strlen(policy), a, &v) == 0 && cors_of_json(a, v, &c) == 0 && c != NULL);
        if (!has_control(ask.origin) && !has_control(ask.method) && !has_control(ask.headers)) { /* http1.c lets none through */
                bool allowed = cors_allows(c, ask.origin);

                if (allowed && policy != policies[1] && !span_is(ask.origin, SPAN_LIT("null"))) {
                        must(memmem(ask.origin.ptr, ask.origin.len, "://", 3) != NULL);
                        for (size_t i = 0; i < ask.origin.len; i++)
                                must(strchr("/@\\?#, \"<>", ask.origin.ptr[i]) == NULL || ask.origin.ptr[i] == '/');
                }
                cors_add(c, ask.origin, &o);
                check_lines(&o);
                must(policy == policies[1] || allowed == (out_len(&o) > 0));
                cors_preflight_add(c, &ask, &o);
                check_lines(&o);
                must((cors_judge(c, &ask) == CORS_ORIGIN) == !allowed);
        }
        out_fini(&o);
        arena_free(a);
        return 0;
}
