/* explain_lacks.c - what a route lacks for a request beside its path: listener, host, method, conditions.
 * SPDX-License-Identifier: MIT
 * From: explain_words.c.   To: text or JSON strings on the caller's stream. */
#include "explain_priv.h"

#include <arpa/inet.h>
#include <stdlib.h>

/* ---- what else a route lacks ------------------------------------------------------------------------------------------------------ */

/* Where findings about one route go: a list of sentences, or only their number. */


/* A JSON string is opened here and closed by lack_end. */
FILE *
explain_lack(struct lacks *l)
{
        if (l->count++ > 0 && !l->quiet)
                fputs(l->e->json ? "," : "; ", l->e->out);
        if (!l->quiet && l->e->json)
                fputc('"', l->e->out);
        return l->quiet ? NULL : l->e->out;
}

void
explain_lack_end(const struct lacks *l)
{
        if (!l->quiet && l->e->json)
                fputc('"', l->e->out);
}

void
explain_lack_words(struct lacks *l, const char *words)
{
        FILE *out = explain_lack(l);

        if (out != NULL)
                fputs(words, out);
        explain_lack_end(l);
}

static bool
host_fits(const struct selector *s, struct span host)
{
        if (s->host_kind == HOST_ANY)
                return true;
        if (s->host_kind == HOST_EXACT)
                return span_is(s->host, host);
        return host.len > s->host.len && memcmp(host.ptr + host.len - s->host.len, s->host.ptr, s->host.len) == 0;
}

void
explain_put_addr(FILE *out, const struct in6_addr *addr)
{
        char text[INET6_ADDRSTRLEN] = "";

        if (IN6_IS_ADDR_V4MAPPED(addr))
                inet_ntop(AF_INET, &addr->s6_addr[12], text, sizeof(text));
        else
                inet_ntop(AF_INET6, addr, text, sizeof(text));
        fputs(text, out);
}

void
explain_lacks_selector(struct lacks *l, const struct selector *s)
{
        const struct router_query *q = l->e->q;
        FILE *out;

        if (s->has_addr && memcmp(&s->addr, &q->local.addr, sizeof(s->addr)) != 0) {
                if ((out = explain_lack(l)) != NULL) {
                        fputs("the listener: it is for address ", out);
                        explain_put_addr(out, &s->addr);
                }
                explain_lack_end(l);
        }
        if (s->port != 0 && s->port != q->local.port) {
                if ((out = explain_lack(l)) != NULL)
                        fprintf(out, "the listener: it is for port %u", (unsigned)s->port);
                explain_lack_end(l);
        }
        if (!host_fits(s, q->host)) {
                if ((out = explain_lack(l)) != NULL) {
                        fprintf(out, "the host: it is for %s", s->host_kind == HOST_WILD ? "*" : "");
                        explain_put_text(out, s->host, l->e->json);
                }
                explain_lack_end(l);
        }
}

static void
lacks_fact(struct lacks *l, const char *what, struct span (*ask)(void *, struct span), const struct key_map *map)
{
        const struct router_facts *facts = l->e->q->facts;
        FILE *out;

        for (size_t i = 0; i < map->count; i++) {
                struct span wanted = span_of(map->values[i]), found = ask != NULL ? ask(facts->ctx, span_of(map->keys[i])) : (struct span){ NULL, 0 };

                if (found.ptr != NULL && (span_is(wanted, SPAN_LIT("*")) || span_is(wanted, found)))
                        continue;
                if ((out = explain_lack(l)) != NULL) {
                        fprintf(out, "%s ", what);
                        explain_put_text(out, span_of(map->keys[i]), l->e->json);
                        if (!span_is(wanted, SPAN_LIT("*"))) {
                                fputs(": ", out);
                                explain_put_text(out, wanted, l->e->json);
                        }
                        fputs(found.ptr == NULL ? " (it is not there)" : " (it is \'", out);
                        if (found.ptr != NULL) {
                                explain_put_text(out, found, l->e->json);
                                fputs("\')", out);
                        }
                }
                explain_lack_end(l);
        }
}

static bool
net_has(const struct route_net *net, const struct in6_addr *addr)
{
        uint32_t whole = net->bits / 8, left = net->bits % 8;

        if (memcmp(net->addr.s6_addr, addr->s6_addr, whole) != 0)
                return false;
        return left == 0 || (net->addr.s6_addr[whole] ^ addr->s6_addr[whole]) >> (8 - left) == 0;
}

void
explain_lacks_conditions(struct lacks *l, const struct route_when *w)
{
        const struct router_query *q = l->e->q;
        bool near = w->net_count == 0;
        FILE *out;

        if (w->scheme != WHEN_ANY && (w->scheme == WHEN_HTTPS) != q->tls)
                explain_lack_words(l, w->scheme == WHEN_HTTPS ? "the scheme: it is for https" : "the scheme: it is for http");
        for (size_t i = 0; i < w->net_count && !IN6_IS_ADDR_UNSPECIFIED(&q->source); i++)
                near |= net_has(&w->nets[i], &q->source);
        if (!near) {
                if ((out = explain_lack(l)) != NULL) {
                        fputs("the client's address: it is for", out);
                        for (size_t i = 0; i < w->source.count; i++) {
                                fputs(i > 0 ? ", " : " ", out);
                                explain_put_text(out, span_of(w->source.list[i]), l->e->json);
                        }
                }
                explain_lack_end(l);
        }
        lacks_fact(l, "header", q->facts != NULL ? q->facts->header : NULL, &w->headers);
        lacks_fact(l, "query", q->facts != NULL ? q->facts->query : NULL, &w->query);
        lacks_fact(l, "cookie", q->facts != NULL ? q->facts->cookie : NULL, &w->cookies);
}

void
explain_lacks_method(struct lacks *l, const struct route *route)
{
        char text[96];
        FILE *out;

        if (route->methods & l->e->q->method)
                return;
        router_methods_text(route->methods, text, sizeof(text));
        if ((out = explain_lack(l)) != NULL)
                fprintf(out, "the method: it takes %s", text);
        explain_lack_end(l);
}
