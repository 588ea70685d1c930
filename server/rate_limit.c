/* rate_limit.c - the rules of `rate_limit:` and their gate. Contract in rate_limit.h.
 * SPDX-License-Identifier: MIT
 * From: policy.c builds; gates.c asks.   To: rate_table.c counts; the answer's head gets RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10).
 * Runs in: whoever builds a generation; then the owning loop. No allocation at a request. */
#include "rate_limit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "facts.h"
#include "heritage.h"
#include "log.h"
#include "rate_table.h"
#include "route_identity.h"
#include "worker.h"

enum { PARTS_MAX = 4, NAME_MAX_LEN = 120, RULES_MAX = 8 };

struct mask { uint64_t word[2]; };

struct rule {
        struct rate_rule rate;
        uint64_t identity;
        const struct rate_part *parts;
        size_t part_count;
        struct mask v4, v6;       /* what of an address counts */
        bool headers;
        size_t name_len;
        char name[NAME_MAX_LEN];  /* as it stands between quotes in both fields */
};

struct rate_limit {
        const uint64_t *route_ids; /* per route, when a rule asks for them */
        struct span policy_line;   /* RateLimit-Policy of all rules that have headers; empty: none */
        size_t count;
        struct rule rules[];
};

/* ---- building ------------------------------------------------------------------------------------------------------------ */

static struct mask
mask_of(uint32_t bits)
{
        struct in6_addr a = { 0 };
        struct mask m;

        for (uint32_t i = 0; i < bits; i++)
                a.s6_addr[i / 8] |= (uint8_t)(0x80 >> i % 8);
        memcpy(m.word, &a, sizeof(m.word));
        return m;
}

/* "ip", "ip+route", and "ip-2" when a rule before is called so. */
static void
name_rule(struct rule *rules, size_t at, const struct key_strs *key)
{
        struct rule *rule = &rules[at];
        size_t len = 0, same = 1;

        for (size_t i = 0; i < key->count; i++)
                len += (size_t)snprintf(rule->name + len, sizeof(rule->name) - len, "%s%.24s", i > 0 ? "+" : "", key->list[i]);
        for (size_t i = 0; i < at; i++)
                same += strncmp(rules[i].name, rule->name, len) == 0 && (rules[i].name[len] == '\0' || rules[i].name[len] == '-');
        if (same > 1)
                len += (size_t)snprintf(rule->name + len, sizeof(rule->name) - len, "-%zu", same);
        rule->name_len = len;
}

static void
build_rule(struct rule *rules, size_t at, const struct route_rate *r, uint64_t where)
{
        struct rule *rule = &rules[at];
        uint64_t h = where, same = 0;

        *rule = (struct rule){ .rate = { r->limit, (uint32_t)(r->window_ms / 1000) }, .parts = r->parts, .part_count = r->key.count,
                               .v4 = mask_of(96 + r->ipv4_prefix), .v6 = mask_of(r->ipv6_prefix), .headers = r->headers };
        for (size_t i = 0; i < r->key.count; i++)
                h = identity_text(h, r->key.list[i]);
        h = identity_mix(h, &r->ipv4_prefix, sizeof(r->ipv4_prefix));
        h = identity_mix(h, &r->ipv6_prefix, sizeof(r->ipv6_prefix));
        h = identity_mix(h, &r->window_ms, sizeof(r->window_ms));
        rule->identity = h;
        for (size_t i = 0; i < at; i++)
                same += rules[i].identity == rule->identity; /* the same rule twice, perhaps with another limit: counted apart all the same */
        if (same > 0)
                rule->identity = identity_mix(h, &same, sizeof(same));
        name_rule(rules, at, &r->key);
}

/* RateLimit-Policy says the same in every answer, so it is made once. */
static int
build_policy_line(struct arena *a, struct rate_limit *limit)
{
        char text[RULES_MAX * (NAME_MAX_LEN + 40)];
        size_t len = 0;
        char *kept;

        for (size_t i = 0; i < limit->count; i++)
                if (limit->rules[i].headers)
                        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s\"%s\";q=%u;w=%u", len > 0 ? ", " : "", limit->rules[i].name,
                                                (unsigned)limit->rules[i].rate.limit, (unsigned)limit->rules[i].rate.window_s);
        kept = arena_strndup(a, text, len);
        if (kept == NULL)
                return -ENOMEM;
        limit->policy_line = (struct span){ kept, len };
        return 0;
}

static int
build_route_ids(struct generation *g, const struct rate_limit *inherited, struct rate_limit *limit)
{
        uint64_t *ids;
        bool wanted = false;

        for (size_t i = 0; i < limit->count; i++)
                for (size_t k = 0; k < limit->rules[i].part_count; k++)
                        wanted |= limit->rules[i].parts[k].kind == RATE_BY_ROUTE;
        if (!wanted)
                return 0;
        if (inherited != NULL && inherited->route_ids != NULL) {
                limit->route_ids = inherited->route_ids;
                return 0;
        }
        ids = arena_alloc(g->arena, (g->route_count + 1) * sizeof(*ids));
        if (ids == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < g->route_count; i++)
                ids[i] = route_identity(&g->routes[i]);
        limit->route_ids = ids;
        return 0;
}

int
rate_limit_build(struct generation *g, const struct route *route, struct diags *d, const struct rate_limit **ret)
{
        const struct key_list *list = route != NULL ? &route->rate_limit : &g->conf.rate_limit;
        const struct route_rate *rates = list->list;
        struct rate_limit *limit;
        int e;

        (void)d;
        if (list->count == 0)
                return 0;
        limit = arena_alloc(g->arena, sizeof(*limit) + list->count * sizeof(limit->rules[0]));
        if (limit == NULL)
                return -ENOMEM;
        *limit = (struct rate_limit){ .count = list->count };
        for (size_t i = 0; i < list->count; i++)
                build_rule(limit->rules, i, &rates[i], route != NULL ? route->identity : 0);
        e = build_route_ids(g, *ret, limit);
        if (e == 0)
                e = build_policy_line(g->arena, limit);
        if (e == 0)
                *ret = limit;
        return e;
}

/* ---- keys ----------------------------------------------------------------------------------------------------------------- */

static size_t
add_ip(const struct rule *rule, const struct in6_addr *client, uint64_t *words)
{
        const struct mask *m = IN6_IS_ADDR_V4MAPPED(client) ? &rule->v4 : &rule->v6;

        memcpy(words, client, sizeof(*client));
        words[0] &= m->word[0];
        words[1] &= m->word[1];
        return 2;
}

/* What the client chose goes through the keyed hash before it meets anything else. A field that is not there counts as one value: else leaving it away would be a way round. */
static uint64_t
text_word(const struct rate_table *t, struct span text)
{
        return text.ptr != NULL ? siphash(&t->key, text.ptr, text.len) | 1 : 0;
}

static uint64_t
key_hash(const struct rate_table *t, const struct rate_limit *limit, const struct rule *rule, struct request *r)
{
        uint64_t words[1 + 2 * PARTS_MAX] = { rule->identity };
        struct facts facts;
        size_t n = 1;

        for (size_t i = 0; i < rule->part_count; i++) {
                const struct rate_part *p = &rule->parts[i];

                switch (p->kind) {
                case RATE_BY_IP:
                        n += add_ip(rule, &r->client, &words[n]);
                        break;
                case RATE_BY_ROUTE:
                        words[n++] = r->route != NULL ? limit->route_ids[r->route - r->lg->g->routes] : 0;
                        break;
                case RATE_BY_HEADER:
                case RATE_BY_COOKIE:
                        facts_init(&facts, &r->head, request_bytes(r));
                        words[n++] = text_word(t, (p->kind == RATE_BY_HEADER ? facts.ask.header : facts.ask.cookie)(facts.ask.ctx, span_of(p->name)));
                        break;
                }
        }
        return siphash(&t->key, words, n * sizeof(words[0]));
}

/* ---- the gate ------------------------------------------------------------------------------------------------------------- */

static unsigned long long
seconds_up(uint64_t ms)
{
        return (ms + 999) / 1000;
}

/* As every answer has these, without printf. At most 20 digits. */
static char *
add_number(char *to, uint64_t n)
{
        char digits[20];
        size_t count = 0;

        do
                digits[count++] = (char)('0' + n % 10);
        while ((n /= 10) > 0);
        while (count > 0)
                *to++ = digits[--count];
        return to;
}

/* "ip";r=12;t=30: what is left, and in how many seconds there is more. Of those that are full there is nothing to wait for. */
static size_t
add_item(char *to, size_t room, const struct rule *rule, const struct rate_verdict *v)
{
        uint32_t left = v->admitted ? rate_left(v, &rule->rate) : 0;
        char *at = to;

        if (room < NAME_MAX_LEN + 40)
                return 0;
        *at++ = '"';
        at = mempcpy(at, rule->name, rule->name_len);
        at = mempcpy(at, "\";r=", 4);
        at = add_number(at, left);
        if (left < rule->rate.limit)
                at = add_number(mempcpy(at, ";t=", 3), seconds_up(rate_wait_ms(v, &rule->rate, left + 1)));
        return (size_t)(at - to);
}

/* from..to: the rules whose state is told. */
static void
tell(struct request *r, const struct rate_limit *limit, const struct rate_verdict *verdicts, size_t from, size_t to)
{
        char text[REQUEST_LINES_MAX];
        size_t len = 0;

        if (limit->policy_line.len == 0)
                return;
        for (size_t i = from; i < to; i++) {
                size_t before = len, added;

                if (!limit->rules[i].headers)
                        continue;
                if (len > 0 && len + 2 < sizeof(text)) {
                        memcpy(text + len, ", ", 2);
                        len += 2;
                }
                added = add_item(text + len, sizeof(text) - len, &limit->rules[i], &verdicts[i]);
                len = added > 0 ? len + added : before;
        }
        (void)request_add_line(r, SPAN_LIT("RateLimit-Policy"), limit->policy_line);
        if (len > 0)
                (void)request_add_line(r, SPAN_LIT("RateLimit"), (struct span){ text, len });
}

static enum gate_verdict
refuse(struct request *r, const struct rule *rule, const struct rate_verdict *v)
{
        unsigned long long s = seconds_up(rate_wait_ms(v, &rule->rate, 1));
        char line[64];

        board_add(r->conn->loop->board, C_rate_limited, 1);
        snprintf(line, sizeof(line), "Retry-After: %llu\r\n", s > 0 ? s : 1);
        request_fail_with(r, 429, false, span_of(line));
        return GATE_ANSWERED;
}

enum gate_verdict
rate_limit_gate(struct request *r)
{
        const struct rate_limit *limit = r->policy->rate;
        struct loop *l = r->conn->loop;
        struct rate_table *t = l->worker->heritage->rates;
        struct rate_verdict verdicts[RULES_MAX];
        uint64_t hashes[RULES_MAX];

        for (size_t i = 0; i < limit->count; i++) {
                const struct rule *rule = &limit->rules[i];

                hashes[i] = key_hash(t, limit, rule, r);
                verdicts[i] = rate_table_check(t, hashes[i], &rule->rate, l->now_ms);
                if (verdicts[i].evicted)
                        board_add(l->board, C_rate_evicted, 1);
                if (verdicts[i].admitted)
                        continue;
                for (size_t k = 0; k < i; k++)
                        rate_table_take_back(t, hashes[k], &limit->rules[k].rate, l->now_ms);
                tell(r, limit, verdicts, i, i + 1);
                return refuse(r, rule, &verdicts[i]);
        }
        tell(r, limit, verdicts, 0, limit->count);
        return GATE_PASS;
}
