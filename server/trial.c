/* trial.c - a request that nobody sent: which route would take it, and why.
 * SPDX-License-Identifier: MIT
 * From: ctl.c and heartctl, for `heartctl match`.   To: router_explain.   Runs in: the master or heartctl. Pure but for malloc.
 * The request is written out as a client would send it and read by http1.c, so that what heart refuses is refused here too. */
#include "generation.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "../router/memstream.h"
#include "dispatch.h"
#include "facts.h"
#include "json.h"
#include "vars.h"

#define TRIAL_REWRITES_MAX 10 /* as rewrite.c */

struct trial {
        const struct generation *g;
        const struct trial_ask *ask;
        struct span scheme, authority, target; /* of the URL; the first two may be empty */
        char *head;                            /* malloc'ed: the request as a client would send it */
        size_t head_len;
        struct http_head parsed;
        struct facts facts;
        struct router_query q;
        char host[256];
        char *path;                            /* malloc'ed */
        char *rewrites[TRIAL_REWRITES_MAX];    /* malloc'ed: what the path became, step by step */
        char *rewriters[TRIAL_REWRITES_MAX];   /* malloc'ed: file:line of who did it */
        size_t rewrite_count;
        const char *note;                      /* something odd about the question */
        char refusal[160];                     /* what heart answers before any route is asked; empty: it asks */
};

__attribute__((format(printf, 3, 4))) static int
no(char *why, size_t room, const char *sentence, ...)
{
        va_list ap;

        va_start(ap, sentence);
        vsnprintf(why, room, sentence, ap);
        va_end(ap);
        return -EINVAL;
}

/* ---- the question ---------------------------------------------------------------------------------------------------------------- */

int
trial_ask_parse(const char *const *args, size_t count, struct trial_ask *ret, char *why, size_t why_room)
{
        *ret = (struct trial_ask){ .method = args[0], .url = args[1] };
        for (size_t i = 2; i < count; i++) {
                if (strncmp(args[i], "-H", 2) == 0 && ret->header_count == sizeof(ret->headers) / sizeof(*ret->headers))
                        return no(why, why_room, "too many headers\n");
                if (strncmp(args[i], "-H", 2) == 0)
                        ret->headers[ret->header_count++] = args[i] + 2;
                else if (strncmp(args[i], "--from=", 7) == 0)
                        ret->from = args[i] + 7;
                else
                        return no(why, why_room, "match does not take \"%.60s\"\n", args[i]);
        }
        return 0;
}

/* "https://example.com:8443/x?y" or "/x?y" */
static int
split_url(struct trial *t, char *why, size_t room)
{
        const char *url = t->ask->url, *at = url, *end = url + strcspn(url, "#");
        const char *scheme_end = strstr(url, "://");

        if (*url != '/' && strcmp(url, "*") != 0) {
                if (scheme_end == NULL || scheme_end > end)
                        return no(why, room, "\"%.100s\" is no URL; write http://host:port/path, or a path that begins with a slash\n", url);
                t->scheme = (struct span){ url, (size_t)(scheme_end - url) };
                if (!span_is(t->scheme, SPAN_LIT("http")) && !span_is(t->scheme, SPAN_LIT("https")))
                        return no(why, room, "\"%.100s\": the scheme is http or https\n", url);
                at = scheme_end + 3;
                t->authority = (struct span){ at, strcspn(at, "/?#") };
                at += t->authority.len;
                if (t->authority.len == 0 || memchr(t->authority.ptr, '@', t->authority.len) != NULL)
                        return no(why, room, "\"%.100s\" wants a host, and no user\n", url);
        }
        t->target = (struct span){ at, (size_t)(end - at) };
        for (const char *p = at; p < end; p++)
                if ((unsigned char)*p <= 0x20 || *p == 0x7f)
                        return no(why, room, "\"%.100s\": a URL holds no spaces and no control characters\n", url);
        return 0;
}

static int
write_head(struct trial *t, char *why, size_t room)
{
        const struct trial_ask *ask = t->ask;
        FILE *out = open_memstream(&t->head, &t->head_len);
        bool host = false;

        if (out == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < ask->header_count; i++)
                host |= strncasecmp(ask->headers[i], "host:", 5) == 0;
        host |= t->authority.len == 0; /* without a host it is an old client's request: those need none */
        fprintf(out, "%s %s%.*s HTTP/1.%d\r\n", ask->method, t->target.len == 0 || *t->target.ptr == '?' ? "/" : "", (int)t->target.len, t->target.ptr,
                t->authority.len > 0);
        if (!host)
                fprintf(out, "Host: %.*s\r\n", (int)t->authority.len, t->authority.ptr);
        for (size_t i = 0; i < ask->header_count; i++)
                fprintf(out, "%s\r\n", ask->headers[i]);
        fputs("\r\n", out);
        if (memstream_close(out, &t->head) == NULL) {
                t->head = NULL;
                return -ENOMEM;
        }
        if (ask->method[strcspn(ask->method, " \r\n\t")] != '\0' || *ask->method == '\0')
                return no(why, room, "\"%.40s\" is no method\n", ask->method);
        for (size_t i = 0; i < ask->header_count; i++)
                if (ask->headers[i][strcspn(ask->headers[i], "\r\n")] != '\0' || strchr(ask->headers[i], ':') == NULL)
                        return no(why, room, "-H wants \"Name: value\", found \"%.100s\"\n", ask->headers[i]);
        return 0;
}

/* An address as text, in brackets or not, v4 as v4-mapped. */
static bool
parse_addr(struct span text, struct in6_addr *ret)
{
        char buf[INET6_ADDRSTRLEN];
        bool bracketed = text.len > 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']';
        struct in6_addr addr = { 0 };

        text.ptr += bracketed;
        text.len -= 2 * bracketed;
        if (text.len >= sizeof(buf))
                return false;
        memcpy(buf, text.ptr, text.len);
        buf[text.len] = '\0';
        if (inet_pton(AF_INET6, buf, &addr) != 1) {
                if (inet_pton(AF_INET, buf, &addr.s6_addr[12]) != 1)
                        return false;
                memset(addr.s6_addr, 0, 10);
                addr.s6_addr[10] = addr.s6_addr[11] = 0xff;
        }
        *ret = addr;
        return true;
}

/* Where it would come in: what the URL says, else the first listener. */
static int
choose_listener(struct trial *t, char *why, size_t room)
{
        const struct conf *c = &t->g->conf;
        const struct conf_listener *first = conf_listener_at(c, 0), *found = NULL;
        struct span host = t->authority;
        const char *colon = memrchr(host.ptr != NULL ? host.ptr : "", ':', host.len);
        unsigned long port = span_is(t->scheme, SPAN_LIT("https")) ? 443 : 80;

        if (host.len == 0) {
                t->q.local.port = conf_listener_port(first);
                t->q.tls = first->has_tls;
                return 0;
        }
        if (colon != NULL && memchr(colon, ']', (size_t)(host.ptr + host.len - colon)) == NULL) {
                char digits[8] = "";
                size_t len = (size_t)(host.ptr + host.len - colon) - 1;

                memcpy(digits, colon + 1, len < sizeof(digits) ? len : sizeof(digits) - 1);
                port = strtoul(digits, NULL, 10);
                if (len == 0 || len > 5 || strspn(digits, "0123456789") != len || port == 0 || port > 65535)
                        return no(why, room, "\"%.100s\": a port is a number from 1 to 65535\n", t->ask->url);
                host.len = (size_t)(colon - host.ptr);
        }
        t->q.tls = span_is(t->scheme, SPAN_LIT("https"));
        t->q.local.port = (uint16_t)port;
        (void)parse_addr(host, &t->q.local.addr);
        for (size_t i = 0; i < c->listeners.count; i++)
                if (conf_listener_port(conf_listener_at(c, i)) == port)
                        found = conf_listener_at(c, i);
        if (found == NULL)
                t->note = "no listener has this port";
        else if (found->has_tls != t->q.tls)
                t->note = found->has_tls ? "the listener on this port speaks https" : "the listener on this port speaks http";
        return 0;
}

/* The head as the server would see it. */
static int
read_head(struct trial *t)
{
        const struct conf_limits *l = &t->g->conf.limits;
        struct http_limits limits = { (uint32_t)l->request_line, (uint32_t)l->header, l->header_count };
        int n;

        http_head_init(&t->parsed);
        n = http_head_parse(&t->parsed, t->head, (uint32_t)t->head_len, &limits);
        if (n <= 0) {
                snprintf(t->refusal, sizeof(t->refusal), "%d: the request is refused before any route is asked", n < 0 ? -n : 400);
                return 0;
        }
        t->q.method = t->parsed.method;
        t->q.host = http_host_name((struct span){ t->head + t->parsed.host_off, t->parsed.host_len }, t->host, sizeof(t->host));
        if (t->parsed.path_len == 1 && t->head[t->parsed.path_off] == '*') {
                snprintf(t->refusal, sizeof(t->refusal), "204: OPTIONS * is about the server; no route is asked");
                return 0;
        }
        if ((t->path = malloc(t->parsed.path_len + 1)) == NULL)
                return -ENOMEM;
        if (router_decode((struct span){ t->head + t->parsed.path_off, t->parsed.path_len }, t->path, &t->q.path) < 0)
                snprintf(t->refusal, sizeof(t->refusal), "400: the path cannot be decoded; see \"Decoding\" in router/README.md");
        else if (!t->q.tls && https_redirect_find(&t->g->conf, t->q.local.port, t->q.path) != NULL)
                snprintf(t->refusal, sizeof(t->refusal), "%u: https_redirect sends it to https; no route is asked",
                         (unsigned)https_redirect_find(&t->g->conf, t->q.local.port, t->q.path)->status);
        else if (t->q.method == M_OTHER && (t->g->methods & M_OTHER) == 0)
                snprintf(t->refusal, sizeof(t->refusal), "501: no route at all takes a method of this name");
        facts_init(&t->facts, &t->parsed, t->head);
        t->q.facts = &t->facts.ask;
        return 0;
}

static int
prepare(struct trial *t, char *why, size_t room)
{
        int e = split_url(t, why, room);

        if (e == 0)
                e = write_head(t, why, room);
        if (e == 0)
                e = choose_listener(t, why, room);
        if (e == 0 && !parse_addr(span_of(t->ask->from != NULL ? t->ask->from : "127.0.0.1"), &t->q.source))
                e = no(why, room, "--from wants an IP address, found \"%.60s\"\n", t->ask->from);
        return e < 0 ? e : read_head(t);
}

/* ---- rewrites --------------------------------------------------------------------------------------------------------------------- */

/* The path and query that a rewrite's text comes to; raw is malloc'ed and kept as the last of t->rewrites. */
static int
rewrite_once(struct trial *t, const struct router_match *m)
{
        const struct route *route = &t->g->routes[m->route];
        struct vars_source source = { .match = m, .path = t->q.path, .query = t->facts.query, .target = t->target, .host = t->q.host, .https = t->q.tls, .client = t->q.source,
                                      .method = span_of(t->ask->method), .port = t->q.local.port, .head = &t->parsed, .bytes = t->head };
        size_t room = 16384, at = t->rewrite_count;
        char *raw = malloc(room + 1), *path;
        const char *mark;
        long n = raw != NULL ? vars_expand(action_target(t->g, m->route), &source, raw, room) : -ENOMEM;

        t->rewrites[at] = raw;
        if (n < 0) {
                snprintf(t->refusal, sizeof(t->refusal), "%d: the new path of \"rewrite\" cannot be, with what this request brings", n == -ENOSPC ? 414 : 400);
                return raw == NULL ? -ENOMEM : 0;
        }
        raw[n] = '\0';
        mark = strchr(raw, '?');
        if ((path = malloc((size_t)n + 1)) == NULL || asprintf(&t->rewriters[at], "%s:%u", route->place.file, (unsigned)route->place.line) < 0) {
                free(path);
                return -ENOMEM;
        }
        if (router_decode((struct span){ raw, mark != NULL ? (size_t)(mark - raw) : (size_t)n }, path, &t->q.path) < 0)
                snprintf(t->refusal, sizeof(t->refusal), "400: the new path of \"rewrite\" cannot be decoded");
        free(t->path);
        t->path = path;
        if (mark != NULL)
                t->facts.query = span_of(mark + 1);
        t->rewrite_count++;
        return 0;
}

static int
follow_rewrites(struct trial *t, struct router_scratch *s)
{
        struct router_match m;
        int e = 0;

        while (e == 0 && t->refusal[0] == '\0' && router_match(t->g->router, s, &t->q, &m) == ROUTER_FOUND && t->g->routes[m.route].action == ROUTE_REWRITE) {
                if (t->rewrite_count == TRIAL_REWRITES_MAX)
                        snprintf(t->refusal, sizeof(t->refusal), "500: rewritten 10 times, and still not done");
                else
                        e = rewrite_once(t, &m);
        }
        return e;
}

/* ---- the answer ---------------------------------------------------------------------------------------------------------------------- */

static void
addr_text(const struct in6_addr *addr, char out[INET6_ADDRSTRLEN])
{
        out[0] = '\0';
        if (IN6_IS_ADDR_UNSPECIFIED(addr))
                return;
        if (IN6_IS_ADDR_V4MAPPED(addr))
                inet_ntop(AF_INET, &addr->s6_addr[12], out, INET6_ADDRSTRLEN);
        else
                inet_ntop(AF_INET6, addr, out, INET6_ADDRSTRLEN);
}

static void
put_json(const struct trial *t, FILE *out, const char *action, const char *explanation)
{
        struct json j = { .out = out };
        char addr[INET6_ADDRSTRLEN], from[INET6_ADDRSTRLEN];

        addr_text(&t->q.local.addr, addr);
        addr_text(&t->q.source, from);
        json_begin(&j, '{');
        json_key(&j, "method"), json_str(&j, t->ask->method);
        json_key(&j, "path"), json_strn(&j, t->q.path.ptr != NULL ? t->q.path.ptr : "", t->q.path.len);
        json_key(&j, "host"), json_strn(&j, t->q.host.ptr != NULL ? t->q.host.ptr : "", t->q.host.len);
        json_key(&j, "scheme"), json_str(&j, t->q.tls ? "https" : "http");
        json_key(&j, "address"), json_str(&j, *addr != '\0' ? addr : NULL);
        json_key(&j, "port"), json_uint(&j, t->q.local.port);
        json_key(&j, "from"), json_str(&j, from);
        json_key(&j, "note"), json_str(&j, t->note);
        json_key(&j, "refused"), json_str(&j, t->refusal[0] != '\0' ? t->refusal : NULL);
        json_key(&j, "rewrites"), json_begin(&j, '[');
        for (size_t i = 0; i < t->rewrite_count; i++)
                json_str(&j, t->rewrites[i]);
        json_end(&j, ']');
        json_key(&j, "action"), json_str(&j, action);
        json_key(&j, "explanation"), json_raw(&j, explanation);
        json_end(&j, '}');
        fputc('\n', out);
}

static void
put_printable(FILE *out, struct span s)
{
        for (size_t i = 0; i < s.len; i++)
                if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
                        fprintf(out, "\\x%02x", (unsigned char)s.ptr[i]);
                else
                        fputc(s.ptr[i], out);
}

static void
put_plain(const struct trial *t, FILE *out, const char *action, const char *explanation)
{
        char addr[INET6_ADDRSTRLEN], from[INET6_ADDRSTRLEN];

        addr_text(&t->q.local.addr, addr);
        addr_text(&t->q.source, from);
        fprintf(out, "%s ", t->ask->method);
        put_printable(out, t->rewrite_count > 0 ? t->target : t->q.path.len > 0 ? t->q.path : span_of(t->ask->url));
        fprintf(out, "  (%s, host ", t->q.tls ? "https" : "http");
        put_printable(out, t->q.host.len > 0 ? t->q.host : SPAN_LIT("none"));
        fprintf(out, ", listener %s%s%s:%u, from %s)\n", strchr(addr, ':') != NULL ? "[" : "", *addr != '\0' ? addr : "*", strchr(addr, ':') != NULL ? "]" : "",
                (unsigned)t->q.local.port, from);
        if (t->note != NULL)
                fprintf(out, "note: %s\n", t->note);
        for (size_t i = 0; i < t->rewrite_count; i++) {
                fputs("rewritten to ", out);
                put_printable(out, span_of(t->rewrites[i]));
                fprintf(out, "  (%s)\n", t->rewriters[i]);
        }
        if (t->refusal[0] != '\0')
                fprintf(out, "%s\n", t->refusal);
        if (action != NULL)
                fprintf(out, "action: %s\n", action);
        if (explanation != NULL)
                fputs(explanation, out);
}

/* What the winning route does; NULL: no route won. */
static char *
winning_action(const struct trial *t, struct router_scratch *s)
{
        struct router_match m;

        return router_match(t->g->router, s, &t->q, &m) == ROUTER_FOUND ? route_action_text(t->g, &t->g->routes[m.route]) : NULL;
}

int
generation_match(const struct generation *g, const struct trial_ask *ask, bool json, char **ret_text, char *why, size_t why_room)
{
        struct trial *t = calloc(1, sizeof(*t)); /* large: it holds a request head */
        struct router_scratch *s = router_scratch_new();
        char *text = NULL, *action = NULL, *explanation = NULL;
        int e = -ENOMEM;
        size_t len;
        FILE *out;

        if (t == NULL || s == NULL)
                goto end;
        t->g = g;
        t->ask = ask;
        e = prepare(t, why, why_room);
        if (e == 0 && t->refusal[0] == '\0')
                e = follow_rewrites(t, s);
        if (e == 0 && t->refusal[0] == '\0') {
                action = winning_action(t, s);
                explanation = router_explain(g->router, s, &t->q, json);
                e = explanation != NULL ? 0 : -ENOMEM;
        }
        if (e < 0)
                goto end;
        e = -ENOMEM;
        if ((out = open_memstream(&text, &len)) == NULL)
                goto end;
        if (json)
                put_json(t, out, action, explanation);
        else
                put_plain(t, out, action, explanation);
        *ret_text = memstream_close(out, &text);
        e = *ret_text != NULL ? 0 : -ENOMEM;
end:
        if (t != NULL) {
                free(t->head);
                free(t->path);
                for (size_t i = 0; i < TRIAL_REWRITES_MAX; i++) {
                        free(t->rewrites[i]);
                        free(t->rewriters[i]);
                }
        }
        free(t);
        free(action);
        free(explanation);
        router_scratch_free(s);
        return e;
}
