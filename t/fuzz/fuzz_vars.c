/* fuzz_vars.c - any text as a text with variables, on any place, expanded for any request: what comes out can neither end a line nor lead elsewhere nor become markup.
 * SPDX-License-Identifier: MIT
 * Input: a byte for the place, then NUL-separated: the text, a parameter's value, a query, a header's value; what is missing is empty. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/vars.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct span
next(const uint8_t **at, size_t *left)
{
        const uint8_t *nul = *left > 0 ? memchr(*at, 0, *left) : NULL;
        struct span s = { (const char *)*at, nul != NULL ? (size_t)(nul - *at) : *left };

        *left -= s.len + (nul != NULL);
        *at += s.len + (nul != NULL);
        return s;
}

static size_t
count(struct span s, char c)
{
        size_t n = 0;

        for (size_t i = 0; i < s.len; i++)
                n += s.ptr[i] == c;
        return n;
}

static bool
has_control(struct span s)
{
        for (size_t i = 0; i < s.len; i++)
                if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
                        return true;
        return false;
}

static void
must(bool what)
{
        if (!what)
                abort();
}

/* Controls cannot stand in a text that comes from routes.yaml for these places (check_header_value). */
static void
check(enum vars_place place, struct span text, struct span out)
{
        bool hosted = text.len > 1 && text.ptr[0] == '/' && text.ptr[1] == '/';

        if (place <= VARS_COOKIE)
                must(!has_control(out));
        if (place == VARS_URL && memmem(text.ptr, text.len, "://", 3) == NULL && !hosted) {
                size_t colon = 0;

                must(!(out.len > 1 && out.ptr[0] == '/' && (out.ptr[1] == '/' || out.ptr[1] == '\\')) || memchr(text.ptr, '\\', text.len) != NULL);
                while (colon < out.len && strchr(":/?#", out.ptr[colon]) == NULL)
                        colon++;
                must(colon == out.len || out.ptr[colon] != ':' || memchr(text.ptr, ':', text.len) != NULL);
        }
        if (place == VARS_PATH)
                must(out.len > 0 && out.ptr[0] == '/');
        /* fewer, because names of variables hold some too */
        if (place == VARS_COOKIE)
                must(count(out, ';') <= count(text, ';') && count(out, ',') <= count(text, ','));
        if (place == VARS_MARKUP)
                must(count(out, '<') <= count(text, '<') && count(out, '"') <= count(text, '"') && count(out, '\'') <= count(text, '\''));
        if (place == VARS_JSON)
                must(count(out, '"') <= count(text, '"') && count(out, '<') <= count(text, '<'));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const struct span list[] = { { "x", 1 }, { "rest", 4 } };
        const struct vars_names names = { list, NULL, 2, size > 1 && data[0] & 0x80 };
        struct router_match m = { .param_count = 2, .params = { { .name = list[0] }, { .name = list[1], .value = { "b/c", 3 } } } };
        enum vars_place place = size > 0 ? (enum vars_place)((data[0] & 0x7f) % (VARS_JSON + 1)) : VARS_URL;
        const uint8_t *at = data + 1;
        size_t left = size > 0 ? size - 1 : 0;
        struct span text = next(&at, &left), x = next(&at, &left), query = next(&at, &left), header = next(&at, &left);
        struct http_head head;
        char *bytes, *kept = malloc(text.len + 1), *decoded = malloc(x.len + 2), *out, *tight;
        struct arena *a = arena_new();
        const struct vars *v = NULL;
        struct vars_error err = { 0 };
        struct vars_source s = { .match = &m, .query = query, .target = { "//evil.test/?q", 14 }, .path = { "//evil.test/", 12 }, .host = { "a.test", 6 }, .method = { "GET", 3 }, .head = &head };
        struct span raw = { decoded, x.len + 1 };
        long n, again;

        if (kept == NULL || decoded == NULL || a == NULL || size > 4096)
                goto end;
        memcpy(kept, text.ptr, text.len); /* by itself, so that a byte past it is seen */
        text.ptr = kept;
        if (place <= VARS_COOKIE && has_control(text))
                goto end;
        decoded[0] = '/'; /* what a parameter can hold is what the router leaves of a path */
        memcpy(decoded + 1, x.ptr, x.len);
        if ((out = malloc(raw.len + 1)) == NULL)
                goto end;
        m.params[0].value = router_decode(raw, out, &raw) == 0 ? (struct span){ raw.ptr + 1, raw.len - 1 } : (struct span){ "", 0 };
        http_head_init(&head);
        bytes = malloc(header.len + 64);
        if (bytes != NULL) {
                static const struct http_limits limits = { 8192, 16384, 100 };
                int len = snprintf(bytes, header.len + 64, "GET / HTTP/1.1\r\nHost: a\r\nX-A: %.*s\r\n\r\n", (int)header.len, header.ptr);

                if (http_head_parse(&head, bytes, (uint32_t)len, &limits) <= 0)
                        s.head = NULL;
                s.bytes = bytes;
                if (vars_compile(a, text, place, &names, &v, &err) == 0) {
                        static char room[262144];

                        n = vars_expand(v, &s, room, sizeof(room));
                        must(n >= 0 || n == -EINVAL || n == -ENOSPC);
                        if (n >= 0) {
                                check(place, text, (struct span){ room, (size_t)n });
                                tight = malloc((size_t)n + 1); /* exactly as much room as it takes, and one byte less */
                                if (tight != NULL) {
                                        again = vars_expand(v, &s, tight, (size_t)n);
                                        must(again == n && memcmp(tight, room, (size_t)n) == 0);
                                        must(n == 0 || vars_expand(v, &s, tight, (size_t)n - 1) == -ENOSPC);
                                        free(tight);
                                }
                        }
                } else {
                        must(err.text[0] != '\0' && err.at <= text.len && err.len <= text.len);
                }
                free(bytes);
        }
        free(out);
end:
        arena_free(a);
        free(kept);
        free(decoded);
        return 0;
}
