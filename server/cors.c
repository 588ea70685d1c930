/* cors.c - a CORS policy is asked. Contract in cors.h.
 * SPDX-License-Identifier: MIT
 * From: outgoing.c for each answer, request.c for preflights.   To: lines in conn->out.   Runs in: the owning loop; the pure part in any thread. No allocation. */
#include "cors_priv.h"

#include <strings.h>

#include "../router/token.h"
#include "cors_live.h"
#include "facts.h"
#include "outgoing.h"
#include "request.h"

#define OUT_LIT(o, text) out_add((o), (text), sizeof(text) - 1)

/* ---- judging ---------------------------------------------------------------------------------------------------------------------- */

static bool
same_word(struct span a, struct span b)
{
        return a.len == b.len && strncasecmp(a.ptr, b.ptr, a.len) == 0;
}

static bool
fits(const struct origin_pattern *p, const struct origin *o)
{
        struct span host = o->host;

        if (!same_word(p->is.scheme, o->scheme) || (!p->any_port && p->is.port != o->port))
                return false;
        if (!p->wild)
                return same_word(p->is.host, host);
        return host.len > p->is.host.len && host.ptr[0] != '.' && same_word(p->is.host, (struct span){ host.ptr + host.len - p->is.host.len, p->is.host.len });
}

static bool
is_exact(const struct cors *c, const char *text)
{
        size_t low = 0, high = c->exact_count;

        while (low < high) {
                size_t mid = low + (high - low) / 2;
                int r = strcmp(text, c->exact[mid]);

                if (r == 0)
                        return true;
                if (r < 0)
                        high = mid;
                else
                        low = mid + 1;
        }
        return false;
}

bool
cors_allows(const struct cors *c, struct span origin)
{
        char text[ORIGIN_MAX + 8];
        struct origin o;

        if (origin.ptr == NULL)
                return false;
        if (c->any)
                return true;
        if (span_is(origin, SPAN_LIT("null")))
                return is_exact(c, "null");
        if (!origin_parse(origin, &o) || origin_write(&o, text, sizeof(text)) == 0)
                return false;
        if (is_exact(c, text))
                return true;
        for (size_t i = 0; i < c->pattern_count; i++)
                if (fits(&c->patterns[i], &o))
                        return true;
        return false;
}

/* The next name of a list "a, b ,c". False: its end. */
static bool
next_name(struct span *list, struct span *ret)
{
        const char *end = list->ptr + list->len, *at = list->ptr, *stop;

        while (at < end && (*at == ',' || *at == ' ' || *at == '\t'))
                at++;
        stop = memchr(at, ',', (size_t)(end - at));
        if (stop == NULL)
                stop = end;
        *list = (struct span){ stop, (size_t)(end - stop) };
        while (stop > at && (stop[-1] == ' ' || stop[-1] == '\t'))
                stop--;
        *ret = (struct span){ at, (size_t)(stop - at) };
        return ret->len > 0;
}

static bool
is_listed(const struct key_strs *list, struct span name, bool exact)
{
        for (size_t i = 0; i < list->count; i++)
                if (exact ? span_is(span_of(list->list[i]), name) : same_word(span_of(list->list[i]), name))
                        return true;
        return false;
}

/* Fetch: methods are compared as they stand; the simple ones need no permission. */
static bool
method_allowed(const struct cors *c, struct span method)
{
        return c->methods.count == 0 || is_listed(&c->methods, method, true) || span_is(method, SPAN_LIT("GET")) || span_is(method, SPAN_LIT("HEAD")) ||
               span_is(method, SPAN_LIT("POST"));
}

static bool
headers_allowed(const struct cors *c, struct span asked)
{
        struct span name;

        while (asked.ptr != NULL && !c->any_header && next_name(&asked, &name))
                if (!is_listed(&c->headers, name, false))
                        return false;
        return true;
}

enum cors_verdict
cors_judge(const struct cors *c, const struct cors_ask *ask)
{
        if (!cors_allows(c, ask->origin))
                return CORS_ORIGIN;
        if (!method_allowed(c, ask->method))
                return CORS_METHOD;
        return headers_allowed(c, ask->headers) ? CORS_ALLOWED : CORS_HEADERS;
}

/* ---- writing ------------------------------------------------------------------------------------------------------------------------- */

static void
add_origin(const struct cors *c, struct span origin, struct out *o)
{
        if (c->any)
                OUT_LIT(o, "Access-Control-Allow-Origin: *\r\n");
        else
                response_header(o, SPAN_LIT("Access-Control-Allow-Origin"), origin);
        if (c->credentials)
                OUT_LIT(o, "Access-Control-Allow-Credentials: true\r\n");
}

bool
cors_add(const struct cors *c, struct span origin, struct out *o)
{
        if (c->any || cors_allows(c, origin)) { /* "*" is the same for everybody, asked or not: caches need no second copy */
                add_origin(c, origin, o);
                out_add_span(o, c->expose_line);
        }
        return !c->any;
}

/* Names that were asked for and are ones: nothing else is sent back. */
static void
echo_names(struct span asked, struct out *o)
{
        struct span name;
        bool first = true;

        while (next_name(&asked, &name)) {
                if (!token_is(name))
                        continue;
                if (first)
                        OUT_LIT(o, "Access-Control-Allow-Headers: ");
                else
                        OUT_LIT(o, ", ");
                out_add_span(o, name);
                first = false;
        }
        if (!first)
                OUT_LIT(o, "\r\n");
}

void
cors_preflight_add(const struct cors *c, const struct cors_ask *ask, struct out *o)
{
        enum cors_verdict verdict = cors_judge(c, ask);

        if (verdict != CORS_ORIGIN) {
                /* What is allowed is told also when it is not enough: browsers then say which method or header it was. */
                add_origin(c, ask->origin, o);
                if (c->methods.count > 0)
                        out_add_span(o, c->method_line);
                else
                        response_header(o, SPAN_LIT("Access-Control-Allow-Methods"), ask->method);
                if (c->any_header && ask->headers.ptr != NULL)
                        echo_names(ask->headers, o);
                else if (!c->any_header)
                        out_add_span(o, c->header_line);
                if (c->private_network && ask->private_network)
                        OUT_LIT(o, "Access-Control-Allow-Private-Network: true\r\n");
                if (verdict == CORS_ALLOWED)
                        out_add_span(o, c->age_line);
        }
        if (c->any)
                OUT_LIT(o, "Vary: Access-Control-Request-Method, Access-Control-Request-Headers\r\n");
        else
                OUT_LIT(o, "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n");
}

/* ---- a request -------------------------------------------------------------------------------------------------------------------------- */

const struct cors *
cors_of(const struct request *r)
{
        const struct cors *live;

        if (r->conn->loop->cors_live > 0 && r->route != NULL && r->route->app_index != UINT32_MAX && cors_live_find(r, &live))
                return live;
        return r->policy->cors;
}

static struct span
field_of(const struct request *r, struct span name)
{
        struct facts facts;

        facts_init(&facts, &r->head, request_bytes(r));
        return facts.ask.header(&facts, name);
}

bool
cors_preflight(struct request *r)
{
        struct cors_ask ask = { .origin = request_header(r, IPC_H_ORIGIN) };
        const struct cors *c;
        struct outgoing h;

        if (r->head.method != M_OPTIONS || ask.origin.ptr == NULL || (ask.method = field_of(r, SPAN_LIT("access-control-request-method"))).len == 0)
                return false;
        /* The route that the request itself would take; its policy is the answer's. */
        if (request_match_as(r, router_method_bit(ask.method)) != ROUTER_FOUND || (c = cors_of(r)) == NULL) {
                if (request_unmatch(r) == 0)
                        return false;
                request_fail(r, 500, true);
                return true;
        }
        ask.headers = field_of(r, SPAN_LIT("access-control-request-headers"));
        ask.private_network = span_is(field_of(r, SPAN_LIT("access-control-request-private-network")), SPAN_LIT("true"));
        outgoing_begin(&h, r, 204);
        h.cors = NULL; /* these are its lines: */
        cors_preflight_add(c, &ask, &r->conn->out);
        outgoing_whole(&h, NULL, 0);
        return true;
}
