/* bench_router.c - what a lookup costs, what building costs, and what trying every route would cost.
 * SPDX-License-Identifier: MIT
 * Prints one row per set: routes; nanoseconds of CPU per lookup, method checked and parameters captured (median, least and greatest of the rounds
 * with lookups in random order; the least with lookups in the order of the routes over and over, which a branch predictor learns: what most published
 * figures are); the bar of the issue; build time; memory; and the naive matcher of the tests over the same paths. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../unit/router/naive.h"
#include "github_routes.h"
#include "router/router.h"

enum { ROUNDS = 99, LOOKUPS = 10000, LINE = 160, TEN_THOUSAND = 10000 };

struct query { char path[LINE]; size_t len; uint32_t method; bool miss; };
struct lookup { uint32_t off; uint16_t len; uint8_t method; bool miss; };
struct set {
        const char *name;
        double bar_ns; /* of issue 3; 0: none */
        struct route *routes;
        char (*text)[LINE];
        struct query *queries;
        char *paths;             /* of all queries, without a gap */
        struct lookup *lookups;  /* what a round reads */
        size_t count, query_count, room;
};

static uint64_t seed = 88172645463325252u;

static uint32_t
pick(uint32_t n)
{
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        return (uint32_t)((seed >> 16) % n);
}

static double
now_ns(void)
{
        struct timespec t;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* others may use the machine */
        return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct set
set_new(const char *name, double bar_ns, size_t room)
{
        struct set s = { .name = name, .bar_ns = bar_ns, .room = room };

        s.routes = calloc(room, sizeof(*s.routes));
        s.text = calloc(room, sizeof(*s.text));
        s.queries = calloc(room, sizeof(*s.queries));
        if (s.routes == NULL || s.text == NULL || s.queries == NULL)
                abort();
        return s;
}

static void
set_free(struct set *s)
{
        free(s->routes);
        free(s->text);
        free(s->queries);
        free(s->paths);
        free(s->lookups);
}

/* A value that the parameter at p takes; *ret_end is behind its '}'. */
static size_t
fill_param(const char *p, char *out, size_t room, const char **ret_end)
{
        static const char *const names[] = { "torvalds", "octocat", "linux", "hello-world", "4f2a9c", "main", "v1", "bug" };
        const char *end = strchr(p, '}');

        while (end[1] != '\0' && end[1] != '/' && end[1] != '.' && end[1] != '-' && strchr(end + 1, '}') != NULL)
                end = strchr(end + 1, '}'); /* braces in a regex */
        *ret_end = end + 1;
        if (memmem(p, (size_t)(end - p), ":int", 4) != NULL)
                return (size_t)snprintf(out, room, "%u", pick(100000));
        if (memmem(p, (size_t)(end - p), ":re", 3) != NULL)
                return (size_t)snprintf(out, room, "foo%ubar", pick(100));
        if (memmem(p, (size_t)(end - p), ":uuid", 5) != NULL)
                return (size_t)snprintf(out, room, "123e4567-e89b-12d3-a456-4266%08x", pick(1u << 30));
        if (memmem(p, (size_t)(end - p), ":path", 5) != NULL)
                return (size_t)snprintf(out, room, "css/site-%u.css", pick(1000));
        return (size_t)snprintf(out, room, "%s", names[pick(8)]);
}

static void
set_add(struct set *s, const char *path, uint32_t method)
{
        struct query *q = &s->queries[s->query_count++];
        size_t n = 0;

        snprintf(s->text[s->count], LINE, "%s", path);
        s->routes[s->count] = (struct route){ .path = s->text[s->count], .methods = method };
        s->count++;
        q->method = method == M_ANY ? M_GET : method;
        if (path[0] == '~') /* ~^/NAME/(?<x>\d+)...: the sets below have no other */
                n = (size_t)snprintf(q->path, LINE, "%.*s%u/rest", (int)(strchr(path, '(') - path - 2), path + 2, pick(1000));
        else
                for (const char *p = path; *p != '\0';)
                        if (*p == '{')
                                n += fill_param(p, q->path + n, LINE - n, &p);
                        else
                                q->path[n++] = *p++;
        q->path[n] = '\0';
        q->len = n;
}

static int
by_number(const void *a, const void *b)
{
        const double *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

static double
naive_ns(const struct set *s)
{
        struct naive_route *all = calloc(s->count, sizeof(*all));
        double began, total;
        unsigned done = 0;

        if (all == NULL)
                abort();
        for (size_t i = 0; i < s->count; i++)
                naive_parse(&all[i], &s->routes[i]);
        began = now_ns();
        do {
                const struct query *q = &s->queries[pick((uint32_t)s->query_count)];
                struct naive_values values;
                size_t route;
                uint32_t allow;

                naive_match(all, s->count, NULL, (struct span){ q->path, q->len }, q->method, &route, &allow, &values);
                done++;
        } while ((total = now_ns() - began) < 50e6);
        for (size_t i = 0; i < s->count; i++)
                naive_forget(&all[i]);
        free(all);
        return total / done;
}

/* One round of LOOKUPS; < 0: a wrong answer. As in a server, the query is at hand and only what changes is put into it. */
static double
round_ns(const struct set *s, const struct router *r, struct router_scratch *scratch, const uint32_t *order)
{
        struct router_query q = { .method = M_GET };
        struct router_match m;
        uint64_t wrong = 0;
        double began = now_ns(), ns;

        for (size_t i = 0; i < LOOKUPS; i++) {
                const struct lookup *have = &s->lookups[order[i]];

                q.path = (struct span){ s->paths + have->off, have->len };
                q.method = have->method;
                wrong += (router_match(r, scratch, &q, &m) == ROUTER_FOUND) == have->miss;
        }
        ns = (now_ns() - began) / LOOKUPS;
        if (wrong == 0)
                return ns;
        fprintf(stderr, "%s: %lu wrong answers\n", s->name, (unsigned long)wrong);
        return -1;
}

/* The paths one after the other, so that the cache holds routes rather than questions. */
static void
set_pack(struct set *s)
{
        size_t n = 0;

        for (size_t i = 0; i < s->query_count; i++)
                n += s->queries[i].len;
        s->paths = malloc(n + 1);
        s->lookups = calloc(s->query_count, sizeof(*s->lookups));
        if (s->paths == NULL || s->lookups == NULL)
                abort();
        n = 0;
        for (size_t i = 0; i < s->query_count; i++) {
                const struct query *q = &s->queries[i];

                memcpy(s->paths + n, q->path, q->len);
                s->lookups[i] = (struct lookup){ (uint32_t)n, (uint16_t)q->len, (uint8_t)q->method, q->miss };
                n += q->len;
        }
}

static int
run(struct set *s)
{
        struct router_scratch *scratch = router_scratch_new();
        struct router *r = NULL;
        struct router_stats stats;
        struct diags d;
        double rounds[ROUNDS], in_turn[ROUNDS];
        uint32_t *order = malloc(LOOKUPS * sizeof(*order)), *turns = malloc(LOOKUPS * sizeof(*turns));

        diags_init(&d);
        if (scratch == NULL || order == NULL || turns == NULL || router_compile(s->routes, s->count, NULL, &d, &r) < 0) {
                diags_print(&d, stderr);
                return 1;
        }
        diags_fini(&d);
        set_pack(s);
        for (size_t i = 0; i < LOOKUPS; i++) {
                order[i] = pick((uint32_t)s->query_count);
                turns[i] = (uint32_t)(i % s->query_count);
        }
        for (unsigned k = 0; k < 2 * ROUNDS; k++) {
                double ns = round_ns(s, r, scratch, k & 1 ? turns : order);

                if (ns < 0)
                        return 1;
                if ((k & 1) == 0)
                        rounds[k / 2] = ns;
                else
                        in_turn[k / 2] = ns;
        }
        qsort(in_turn, ROUNDS, sizeof(in_turn[0]), by_number);
        qsort(rounds, ROUNDS, sizeof(rounds[0]), by_number);
        stats = router_stats(r);
        printf("%-34s %6zu %8.1f %8.1f %8.1f %8.1f ", s->name, s->count, rounds[ROUNDS / 2], rounds[0], rounds[ROUNDS - 1], in_turn[ROUNDS / 2]);
        if (s->bar_ns > 0)
                printf("%6.0f ", s->bar_ns);
        else
                printf("%6s ", "");
        printf("%9.2f %9.1f %9zu %10.0f\n", stats.build_ms, (double)stats.bytes / 1024, stats.nodes, naive_ns(s));
        router_free(r);
        router_scratch_free(scratch);
        free(order);
        free(turns);
        set_free(s);
        return 0;
}

static struct set
github(void)
{
        struct set s = set_new("GitHub's REST API", 20, GITHUB_ROUTES);

        for (unsigned i = 0; i < GITHUB_ROUTES; i++)
                set_add(&s, github_routes[i].path, router_method_bit(span_of(github_routes[i].method)));
        return s;
}

static struct set
github_static(void)
{
        struct set s = set_new("GitHub, its static paths", 12, GITHUB_ROUTES);

        for (unsigned i = 0; i < GITHUB_ROUTES; i++) {
                set_add(&s, github_routes[i].path, router_method_bit(span_of(github_routes[i].method)));
                s.query_count -= strchr(github_routes[i].path, '{') != NULL;
        }
        return s;
}

static struct set
one(const char *name, double bar_ns, const char *path)
{
        struct set s = set_new(name, bar_ns, 1);

        set_add(&s, path, M_GET);
        return s;
}

static const char *const nouns[] = { "users", "orders", "items", "carts", "posts", "files", "teams", "books", "rooms", "tags", "events", "notes" };

static struct set
mixed(void)
{
        struct set s = set_new("10,000 mixed", 40, TEN_THOUSAND);
        char path[LINE];

        for (unsigned i = 0; i < TEN_THOUSAND; i++) {
                const char *a = nouns[i % 12], *b = nouns[i / 12 % 12];

                switch (i % 10) {
                case 0: case 1: case 2: case 3:
                        snprintf(path, sizeof(path), "/%s/%s/page-%u", a, b, i);
                        break;
                case 4: case 5:
                        snprintf(path, sizeof(path), "/%s/{id}/%s/v%u", a, b, i);
                        break;
                case 6:
                        snprintf(path, sizeof(path), "/s%u/{id:int}/%s/{name}", i, b);
                        break;
                case 7:
                        snprintf(path, sizeof(path), "/s%u/%s-{id:int}.json", i, b);
                        break;
                case 8:
                        snprintf(path, sizeof(path), "/assets%u/{rest:path}", i);
                        break;
                default:
                        snprintf(path, sizeof(path), "/u%u/{id:uuid}", i);
                        break;
                }
                set_add(&s, path, M_GET);
        }
        return s;
}

static struct set
regexes(void)
{
        struct set s = set_new("10,000 regexes, other prefixes", 0, TEN_THOUSAND);
        char path[LINE];

        for (unsigned i = 0; i < TEN_THOUSAND; i++) {
                snprintf(path, sizeof(path), "~^/%s%u/(?<id>\\d+)/(?<rest>.*)$", nouns[i % 12], i);
                set_add(&s, path, M_GET);
        }
        return s;
}

/* Nothing to tell them apart by but themselves. */
static struct set
regexes_alike(void)
{
        struct set s = set_new("100 regexes, one prefix", 0, 100);
        char path[LINE];

        for (unsigned i = 0; i < 100; i++) {
                snprintf(path, sizeof(path), "~^/(?<lang>de|en)/%s%u/(?<id>\\d+)$", nouns[i % 12], i);
                set_add(&s, path, M_GET);
                s.queries[i].len = (size_t)snprintf(s.queries[i].path, LINE, "/%s/%s%u/%u", i % 2 ? "de" : "en", nouns[i % 12], i, pick(100000));
        }
        return s;
}

/* Every combination of literal and parameter over 10 segments, but for all that end right: the walk sees the whole tree, and finds nothing. */
static struct set
worst(void)
{
        struct set s = set_new("worst case: 1,024 ways, none right", 0, 1024);
        char path[LINE];

        for (unsigned i = 0; i < 1024; i++) {
                size_t n = 0;

                for (unsigned k = 0; k < 10; k++)
                        n += (size_t)snprintf(path + n, sizeof(path) - n, i >> k & 1 ? "/{p%u}" : "/a", k);
                snprintf(path + n, sizeof(path) - n, "/x");
                set_add(&s, path, M_GET);
        }
        s.query_count = 1;
        strcpy(s.queries[0].path, "/a/a/a/a/a/a/a/a/a/a/y");
        s.queries[0].len = strlen(s.queries[0].path);
        s.queries[0].miss = true;
        return s;
}

int
main(int argc, char **argv)
{
        struct set sets[] = {
                github(), github_static(), one("one static route", 12, "/healthz"), one("one parameter", 15, "/users/{name}"), one("one int", 15, "/users/{id:int}"),
                one("five parameters", 35, "/{a}/{b}/{c}/{d}/{e}"), one("regex in a segment (JIT)", 50, "/files/{name:re((?:foo|bar|\\d)+)}"),
                one("regex for the path (JIT)", 0, "~^/v(?<major>\\d+)/(?<rest>.*)$"), mixed(), regexes(), regexes_alike(), worst(),
        };
        int failed = 0;

        printf("%-34s %6s %8s %8s %8s %8s %6s %9s %9s %9s %10s\n", "set", "routes", "ns", "least", "most", "in order", "bar", "build ms", "KiB", "nodes", "naive ns");
        for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
                if (argc < 2 || strstr(sets[i].name, argv[1]) != NULL)
                        failed |= run(&sets[i]);
                else
                        set_free(&sets[i]);
        return failed;
}
