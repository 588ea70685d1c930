/* compile.c - routes become a router.
 * SPDX-License-Identifier: MIT
 * From: route.c and the native apps' reports.   To: match.c.   Runs in: the loader's thread.
 * Four passes: read every path and selector; put each route into the tree of its class, with all findings; stop when there are errors;
 * lay everything out flat. What only the building needs lives in an arena that dies at the end. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "router_priv.h"

/* One route on its way. */
struct source_route {
        struct selector select;
        struct pattern pattern;
        uint32_t class;
        struct build_leaf *leaf;      /* where it went */
        const struct build_regex *regex;
        struct span path;             /* without a selector before it */
        uint32_t path_at;             /* where that begins in route->path */
        bool usable;
};

struct build_class { struct build_node *first, *trie, *regexes; };

struct compiler {
        const struct route *routes;
        size_t count;
        const struct sources *sources;
        struct diags *d;
        struct router *r;
        struct arena *a; /* dies with the compiler */
        struct source_route *src;
        struct build_class *classes;
};

/* ---- findings ------------------------------------------------------------------------------------------------------------------ */

static struct span
line_at(const struct compiler *c, struct place at)
{
        if (c->sources == NULL || at.file == NULL || at.line == 0)
                return (struct span){ NULL, 0 };
        return sources_line(c->sources, at.file, at.line);
}

__attribute__((format(printf, 5, 6))) static void
find(struct compiler *c, enum diag_level level, struct place at, const char *hint, const char *fmt, ...)
{
        char text[400];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        diag_add(c->d, level, at, line_at(c, at), hint, "%s", text);
}

/* The place of path[off..off+len) of a route. A quoted scalar begins one byte later than its place. */
static struct place
place_in_path(const struct compiler *c, const struct route *route, uint32_t off, uint32_t len)
{
        struct place at = route->path_place;
        struct span line = line_at(c, at);

        if (at.line == 0)
                return at;
        if (line.ptr != NULL && at.col >= 1 && at.col <= line.len && (line.ptr[at.col - 1] == '"' || line.ptr[at.col - 1] == '\''))
                at.col++;
        at.col += off;
        at.len = len;
        return at;
}

/* The place of a value that struct route keeps no place of: found by its text near the route's beginning. */
static struct place
place_of_value(const struct compiler *c, const struct route *route, const char *value, uint32_t off, uint32_t len)
{
        enum { LINES = 16 };
        struct place at = route->place;

        for (uint32_t i = 0; i < LINES && at.line != 0; i++) {
                struct span line;
                const char *hit;

                at.line = route->place.line + i;
                line = line_at(c, at);
                if (line.ptr == NULL)
                        break;
                if ((hit = memmem(line.ptr, line.len, value, strlen(value))) == NULL)
                        continue;
                at.col = (uint32_t)(hit - line.ptr) + 1 + off;
                at.len = len;
                return at;
        }
        return route->place;
}

/* ---- pass 1: what each route says ------------------------------------------------------------------------------------------------ */

static int
read_selector(struct compiler *c, const struct route *route, struct source_route *s)
{
        struct span text = span_of(route->path), on;
        struct select_error err = { 0 };
        int r;

        select_split(text, &on, &s->path);
        if (memmem(on.ptr, on.len, "::", 2) == NULL) /* no selector: pattern_parse will say what is wrong */
                s->path = text;
        else if (route->on != NULL) {
                find(c, DIAG_ERROR, place_in_path(c, route, 0, (uint32_t)on.len), NULL, "the selector is given twice: in the path and as `on:`");
                return -EINVAL;
        } else if ((r = select_parse_on(on, c->r->arena, &s->select, &err)) < 0) {
                if (r == -EINVAL)
                        find(c, DIAG_ERROR, place_in_path(c, route, err.at, err.len), err.hint, "%s", err.text);
                return r;
        }
        s->path_at = (uint32_t)(s->path.ptr - text.ptr);
        if (route->on != NULL && (r = select_parse_on(span_of(route->on), c->r->arena, &s->select, &err)) < 0) {
                if (r == -EINVAL)
                        find(c, DIAG_ERROR, place_of_value(c, route, route->on, err.at, err.len), err.hint, "on \"%.80s\": %s", route->on, err.text);
                return r;
        }
        if (route->host == NULL)
                return 0;
        if (s->select.host_kind != HOST_ANY) {
                find(c, DIAG_ERROR, place_of_value(c, route, route->host, 0, (uint32_t)strlen(route->host)), NULL,
                     "the host is given twice: in the selector and as `host:`");
                return -EINVAL;
        }
        if ((r = select_parse_host(span_of(route->host), c->r->arena, &s->select, &err)) == -EINVAL)
                find(c, DIAG_ERROR, place_of_value(c, route, route->host, err.at, err.len), err.hint, "host \"%.80s\": %s", route->host, err.text);
        return r;
}

static int
read_route(struct compiler *c, size_t i)
{
        const struct route *route = &c->routes[i];
        struct source_route *s = &c->src[i];
        struct pattern_error err = { 0 };
        bool selected;
        int r;

        if (route->path == NULL) /* keys_read has told: the key must be given */
                return 0;
        if ((r = read_selector(c, route, s)) == -ENOMEM)
                return r;
        selected = r == 0;
        if ((r = pattern_parse(s->path, c->a, &s->pattern, &err)) == -ENOMEM)
                return r;
        if (r < 0) {
                find(c, DIAG_ERROR, place_in_path(c, route, s->path_at + err.at, err.len), err.hint, "%s", err.text);
                return 0;
        }
        if (route->first && !s->pattern.is_regex)
                find(c, DIAG_WARNING, place_in_path(c, route, s->path_at, (uint32_t)s->path.len), NULL,
                     "`first` is for regexes; templates are ordered by how specific they are");
        s->usable = selected;
        return 0;
}

/* qsort has no argument for the compiler; so the array that is sorted carries what is compared. */
struct selected { const struct selector *select; uint32_t route; };

static int
compare_selected(const void *pa, const void *pb)
{
        const struct selected *a = pa, *b = pb;
        int r = select_compare(a->select, b->select);

        return r != 0 ? r : (a->route > b->route) - (a->route < b->route);
}

/* One class for each different selector, most specific first. */
static int
make_classes(struct compiler *c)
{
        struct selected *list = arena_alloc(c->a, (c->count + 1) * sizeof(*list));
        uint32_t n = 0, classes = 0;

        if (list == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < c->count; i++)
                if (c->src[i].usable)
                        list[n++] = (struct selected){ &c->src[i].select, (uint32_t)i };
        qsort(list, n, sizeof(*list), compare_selected);
        for (uint32_t i = 0; i < n; i++)
                classes += i == 0 || select_compare(list[i].select, list[i - 1].select) != 0;
        c->r->classes = calloc(classes + 1, sizeof(*c->r->classes));
        c->classes = arena_alloc(c->a, (classes + 1) * sizeof(*c->classes));
        if (c->r->classes == NULL || c->classes == NULL)
                return -ENOMEM;
        for (uint32_t i = 0; i < n; i++) {
                if (i == 0 || select_compare(list[i].select, list[i - 1].select) != 0)
                        c->r->classes[c->r->class_count++] =
                                (struct router_class){ .select = *list[i].select, .first = TRIE_NONE, .trie = TRIE_NONE, .regexes = TRIE_NONE };
                c->src[list[i].route].class = c->r->class_count - 1;
        }
        return 0;
}

/* ---- pass 2: into the trees -------------------------------------------------------------------------------------------------------- */

static struct build_node *
root_of(struct compiler *c, struct build_node **root)
{
        if (*root == NULL)
                *root = build_node_new(c->a);
        return *root;
}

static int
insert_template(struct compiler *c, size_t i)
{
        struct source_route *s = &c->src[i];
        struct build_error err;
        struct build_node *n, *root = root_of(c, &c->classes[s->class].trie);
        int r;

        if (root == NULL)
                return -ENOMEM;
        if ((r = build_add(&c->r->trie, root, &s->pattern, c->a, &n, &err)) == -EINVAL)
                find(c, DIAG_ERROR, place_in_path(c, &c->routes[i], s->path_at + err.at, 1), NULL, "the regex is refused: %s", err.text);
        if (r < 0)
                return r;
        if (n->leaf == NULL) {
                if ((n->leaf = arena_alloc(c->a, sizeof(*n->leaf))) == NULL)
                        return -ENOMEM;
                build_leaf_init(n->leaf);
        }
        s->leaf = n->leaf;
        return 0;
}

/* The named groups are the parameters. */
static int
keep_names(struct compiler *c, struct source_route *s, const struct regex_names *names)
{
        s->pattern.param_count = names->count;
        for (uint32_t k = 0; k < names->count; k++) {
                char *copy = arena_strdup(c->a, names->list[k].name);

                if (copy == NULL)
                        return -ENOMEM;
                s->pattern.params[k] = (struct pattern_param){ span_of(copy), RT_STR, 0 };
        }
        return 0;
}

/* A regex that another route of the same class has too shares its code and its leaf. NULL: it is new. */
static struct build_regex *
same_regex(const struct build_node *n, struct span text)
{
        for (struct build_regex *x = n->regexes; x != NULL; x = x->next)
                if (span_is(x->text, text))
                        return x;
        return NULL;
}

static int
insert_regex(struct compiler *c, size_t i)
{
        struct source_route *s = &c->src[i];
        struct build_class *class = &c->classes[s->class];
        struct build_node *n = root_of(c, c->routes[i].first ? &class->first : &class->regexes);
        struct span prefix = pattern_regex_prefix(s->pattern.regex, c->a, ROUTER_PREFIX_MAX);
        struct build_regex *x;
        struct regex_names names;
        struct regex_error err;
        struct regex code;
        int r;

        if (n == NULL || (n = build_literal(n, prefix, c->a)) == NULL)
                return -ENOMEM;
        if ((x = same_regex(n, s->pattern.regex)) != NULL) {
                s->leaf = &x->leaf;
                s->regex = x;
                for (size_t k = 0; k < i; k++)
                        if (c->src[k].regex == x) {
                                memcpy(s->pattern.params, c->src[k].pattern.params, sizeof(s->pattern.params));
                                s->pattern.param_count = c->src[k].pattern.param_count;
                                break;
                        }
                return 0;
        }
        if ((r = regex_compile(s->pattern.regex, &code, &names, &err)) == -EINVAL)
                find(c, DIAG_ERROR, place_in_path(c, &c->routes[i], s->path_at + 1 + (uint32_t)err.at, 1), NULL, "the regex is refused: %s", err.text);
        if (r < 0)
                return r;
        if ((r = keep_names(c, s, &names)) < 0) {
                regex_fini(&code);
                return r;
        }
        if ((x = arena_alloc(c->a, sizeof(*x))) == NULL) {
                regex_fini(&code);
                return -ENOMEM;
        }
        if ((r = trie_add_regex(&c->r->trie, code, &x->regex)) < 0)
                return r;
        x->text = s->pattern.regex;
        x->order = (uint32_t)i;
        build_leaf_init(&x->leaf);
        *n->regexes_end = x;
        n->regexes_end = &x->next;
        s->leaf = &x->leaf;
        s->regex = x;
        return 0;
}

/* Puts the route's methods into its leaf; tells once about each route that has some of them already. */
static void
claim_methods(struct compiler *c, size_t i)
{
        const struct route *route = &c->routes[i];
        uint32_t *slots = route->fallback ? c->src[i].leaf->fallback : c->src[i].leaf->route;
        uint32_t told = TRIE_NONE;

        for (unsigned m = 0; m < TRIE_METHODS; m++) {
                uint32_t other = slots[m], shared = 0;
                char text[80];

                if ((route->methods & 1u << m) == 0)
                        continue;
                if (other == TRIE_NONE) {
                        slots[m] = (uint32_t)i;
                        continue;
                }
                if (other == told)
                        continue;
                told = other;
                shared = route->methods & c->routes[other].methods;
                router_methods_text(shared, text, sizeof(text));
                find(c, DIAG_ERROR, place_in_path(c, route, c->src[i].path_at, (uint32_t)c->src[i].path.len), NULL,
                     "this route can never win: another one has the same path and selectors, and %s too", shared == M_ANY ? "every method" : text);
                find(c, DIAG_NOTE, place_in_path(c, &c->routes[other], c->src[other].path_at, (uint32_t)c->src[other].path.len), NULL, "the other one is here");
        }
}

/* Every {name} in redirect.to must be a parameter of the path. */
static void
check_redirect(struct compiler *c, size_t i)
{
        const struct route *route = &c->routes[i];
        const struct pattern *p = &c->src[i].pattern;
        const char *to = route->redirect.to, *names[ROUTER_PARAMS_MAX];
        uint32_t k;

        if (route->action != ROUTE_REDIRECT || to == NULL)
                return;
        for (k = 0; k < p->param_count; k++)
                if ((names[k] = arena_strndup(c->a, p->params[k].name.ptr, p->params[k].name.len)) == NULL)
                        return;
        for (const char *open = strchr(to, '{'), *close; open != NULL; open = strchr(close, '{')) {
                struct span name;
                uint32_t off = (uint32_t)(open - to);
                const char *nearest, *hint;

                if ((close = strchr(open, '}')) == NULL) {
                        find(c, DIAG_ERROR, place_of_value(c, route, to, off, 1), "write %7B for the character", "redirect.to: this \"{\" is never closed");
                        return;
                }
                name = (struct span){ open + 1, (size_t)(close - open) - 1 };
                for (k = 0; k < p->param_count && !span_is(p->params[k].name, name); k++)
                        ;
                if (k < p->param_count)
                        continue;
                nearest = diag_nearest(name, names, p->param_count);
                hint = nearest != NULL ? arena_printf(c->a, "did you mean \"%s\"?", nearest) : NULL;
                find(c, DIAG_ERROR, place_of_value(c, route, to, off, (uint32_t)name.len + 2), hint, "redirect.to names \"%.*s\", which the path does not have",
                     (int)(name.len < 64 ? name.len : 64), name.ptr);
        }
}

static int
insert_route(struct compiler *c, size_t i)
{
        int r;

        if (!c->src[i].usable)
                return 0;
        r = c->src[i].pattern.is_regex ? insert_regex(c, i) : insert_template(c, i);
        if (r == -EINVAL) {
                c->src[i].usable = false;
                return 0;
        }
        if (r < 0)
                return r;
        claim_methods(c, i);
        check_redirect(c, i);
        return 0;
}

/* A template that ends in a path parameter takes all that a regex with a prefix behind it could match, for these methods. */
static uint32_t
methods_taken(const struct build_node *n, struct span prefix, uint32_t methods, uint32_t *ret_by)
{
        for (;;) {
                uint32_t i;

                for (i = 0; i < n->edge_count; i++) {
                        const struct build_leaf *l = n->edges[i]->target->leaf;

                        if (n->edges[i]->pieces[0].type != RT_PATH || l == NULL)
                                continue;
                        for (unsigned m = 0; m < TRIE_METHODS; m++)
                                if (methods & 1u << m && l->route[m] != TRIE_NONE) {
                                        methods &= ~(1u << m);
                                        *ret_by = l->route[m];
                                }
                }
                for (i = 0; i < n->kid_count; i++)
                        if (prefix.len >= n->kids[i]->literal.len && memcmp(prefix.ptr, n->kids[i]->literal.ptr, n->kids[i]->literal.len) == 0)
                                break;
                if (i == n->kid_count || methods == 0)
                        return methods;
                n = n->kids[i];
                prefix = (struct span){ prefix.ptr + n->literal.len, prefix.len - n->literal.len };
        }
}

/* Regexes come after every template: one behind "/x/{rest:path}" is never asked about "/x/...". */
static void
check_reachable(struct compiler *c, size_t i)
{
        const struct source_route *s = &c->src[i];
        uint32_t by = TRIE_NONE;
        const struct build_node *root;
        struct span prefix;

        if (!s->usable || !s->pattern.is_regex || c->routes[i].first || (root = c->classes[s->class].trie) == NULL)
                return;
        /* every path begins with a slash, whatever the regex says */
        prefix = pattern_regex_prefix(s->pattern.regex, c->a, ROUTER_PREFIX_MAX);
        if (prefix.len == 0)
                prefix = SPAN_LIT("/");
        if (methods_taken(root, prefix, c->routes[i].methods, &by) != 0)
                return;
        find(c, DIAG_WARNING, place_in_path(c, &c->routes[i], s->path_at, (uint32_t)s->path.len), "first: true puts it before every template",
             "this route can never win: regexes come after templates, and one of those takes every such path");
        find(c, DIAG_NOTE, place_in_path(c, &c->routes[by], c->src[by].path_at, (uint32_t)c->src[by].path.len), NULL, "it is here");
}

static int
check_depth(struct compiler *c)
{
        for (uint32_t k = 0; k < c->r->class_count; k++) {
                if (c->classes[k].trie == NULL || build_depth(c->classes[k].trie) <= TRIE_DEPTH_MAX)
                        continue;
                for (size_t i = 0; i < c->count; i++)
                        if (c->src[i].usable && c->src[i].class == k && c->src[i].pattern.step_count > 1) {
                                find(c, DIAG_ERROR, place_in_path(c, &c->routes[i], c->src[i].path_at, (uint32_t)c->src[i].path.len), NULL,
                                     "the routes beside this one branch at more than %d places of one path", TRIE_DEPTH_MAX);
                                break;
                        }
        }
        return 0;
}

/* ---- pass 3: flat ------------------------------------------------------------------------------------------------------------------- */

static int
pack_classes(struct compiler *c)
{
        int r;

        for (uint32_t k = 0; k < c->r->class_count; k++) {
                struct build_class *b = &c->classes[k];
                struct router_class *out = &c->r->classes[k];

                if ((b->first != NULL && (r = trie_pack(&c->r->trie, b->first, &out->first)) < 0) ||
                    (b->trie != NULL && (r = trie_pack(&c->r->trie, b->trie, &out->trie)) < 0) ||
                    (b->regexes != NULL && (r = trie_pack(&c->r->trie, b->regexes, &out->regexes)) < 0))
                        return r == -E2BIG ? -ENOMEM : r;
        }
        return 0;
}

static int
pack_routes(struct compiler *c)
{
        struct router *r = c->r;
        size_t params = 0;

        for (size_t i = 0; i < c->count; i++)
                params += c->src[i].pattern.param_count;
        r->routes = calloc(c->count + 1, sizeof(*r->routes));
        r->params = calloc(params + 1, sizeof(*r->params));
        if (r->routes == NULL || r->params == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < c->count; i++) {
                const struct pattern *p = &c->src[i].pattern;

                r->routes[i] = (struct router_route){ (uint32_t)r->param_count, p->param_count, p->class_name };
                if (p->is_regex && c->routes[i].first)
                        r->routes[i].class_name = "regex, first";
                for (uint32_t k = 0; k < p->param_count; k++) {
                        char *name = arena_strndup(r->arena, p->params[k].name.ptr, p->params[k].name.len);

                        if (name == NULL)
                                return -ENOMEM;
                        r->params[r->param_count++] = (struct router_param_def){ { name, p->params[k].name.len }, p->params[k].type };
                }
        }
        return 0;
}

static bool
is_exact(const struct source_route *s)
{
        return !s->pattern.is_regex && s->pattern.step_count == 1 && s->pattern.steps[0].kind == STEP_LITERAL;
}

static uint32_t
table_mask(size_t count)
{
        uint32_t size = 4;

        while (size < 2 * count)
                size *= 2;
        return size - 1;
}

/* A leaf holds several routes; the first of them puts it into the table. */
static int
pack_exact(struct compiler *c)
{
        struct router *r = c->r;
        size_t count = 0;

        for (size_t i = 0; i < c->count; i++)
                count += is_exact(&c->src[i]);
        r->exact_mask = table_mask(count);
        if ((r->exact = calloc((size_t)r->exact_mask + 1, sizeof(*r->exact))) == NULL)
                return -ENOMEM;
        for (uint32_t i = 0; i <= r->exact_mask; i++)
                r->exact[i].leaf = TRIE_NONE;
        for (size_t i = 0; i < c->count; i++) {
                const struct source_route *s = &c->src[i];
                struct span path;
                uint32_t hash, k, off;
                int e;

                if (!is_exact(s))
                        continue;
                path = s->pattern.steps[0].literal;
                hash = router_path_hash(path.ptr, path.len, s->class);
                for (k = hash & r->exact_mask; r->exact[k].leaf != TRIE_NONE && r->exact[k].leaf != s->leaf->packed; k = (k + 1) & r->exact_mask)
                        ;
                r->classes[s->class].has_exact = true;
                if (r->exact[k].leaf != TRIE_NONE)
                        continue;
                if ((e = trie_add_text(&r->trie, path, &off)) < 0)
                        return e;
                r->exact[k] = (struct router_exact){ hash, off, (uint32_t)path.len, s->leaf->packed };
        }
        return 0;
}

uint32_t
router_selector_hash(const struct in6_addr *addr, uint16_t port, enum host_kind kind, struct span host)
{
        uint64_t h = router_path_hash(host.ptr, host.len, (uint32_t)kind), w[2] = { 0, 0 };

        if (addr != NULL)
                memcpy(w, addr, sizeof(w));
        h = (h ^ w[0] ^ port) * UINT64_C(0xff51afd7ed558ccd);
        h = (h ^ (h >> 32) ^ w[1]) * UINT64_C(0xc4ceb9fe1a85ec53);
        return (uint32_t)(h >> 32);
}

static int
index_classes(struct router *r)
{
        r->class_mask = table_mask(r->class_count);
        if ((r->class_slots = malloc(((size_t)r->class_mask + 1) * sizeof(*r->class_slots))) == NULL)
                return -ENOMEM;
        for (uint32_t i = 0; i <= r->class_mask; i++)
                r->class_slots[i] = TRIE_NONE;
        for (uint32_t k = 0; k < r->class_count; k++) {
                const struct selector *s = &r->classes[k].select;
                uint32_t i = router_selector_hash(s->has_addr ? &s->addr : NULL, s->port, s->host_kind, s->host) & r->class_mask;

                while (r->class_slots[i] != TRIE_NONE)
                        i = (i + 1) & r->class_mask;
                r->class_slots[i] = k;
                r->listener_hosts[s->has_addr * 2 + (s->port != 0)] |= (uint8_t)(1u << s->host_kind);
        }
        r->only_any = r->class_count == 1 && r->listener_hosts[0] == 1u << HOST_ANY;
        return 0;
}

/* ---- the order of precedence, for people ------------------------------------------------------------------------------------------- */

struct ranking { struct router *r; uint64_t *rank; uint64_t next; };

static void
rank_leaf(void *arg, uint32_t leaf)
{
        struct ranking *k = arg;

        k->rank[leaf] = k->next++;
}

/* Leaves of regexes: by their place in the file. */
static void
rank_list(void *arg, uint32_t list)
{
        struct ranking *k = arg;
        const struct trie_list *l = &k->r->trie.lists[list];

        for (uint32_t i = l->first; i < l->first + l->count; i++)
                k->rank[k->r->trie.regex_routes[i].leaf] = k->next + k->r->trie.regex_routes[i].order;
}

struct ranked { uint64_t rank; uint32_t route; bool fallback; };

static int
compare_ranked(const void *pa, const void *pb)
{
        const struct ranked *a = pa, *b = pb;

        if (a->fallback != b->fallback)
                return a->fallback ? 1 : -1;
        if (a->rank != b->rank)
                return a->rank < b->rank ? -1 : 1;
        return (a->route > b->route) - (a->route < b->route);
}

static int
rank_routes(struct compiler *c)
{
        struct router *r = c->r;
        struct ranking k = { r, arena_alloc(c->a, ((size_t)r->trie.leaf_count + 1) * sizeof(uint64_t)), 0 };
        struct ranked *list = arena_alloc(c->a, (c->count + 1) * sizeof(*list));

        r->order = malloc((c->count + 1) * sizeof(*r->order));
        if (k.rank == NULL || list == NULL || r->order == NULL)
                return -ENOMEM;
        for (uint32_t i = 0; i < r->class_count; i++) {
                const struct router_class *class = &r->classes[i];

                if (class->first != TRIE_NONE)
                        trie_each_leaf(&r->trie, class->first, rank_list, &k);
                k.next += c->count;
                if (class->trie != TRIE_NONE)
                        trie_each_leaf(&r->trie, class->trie, rank_leaf, &k);
                if (class->regexes != TRIE_NONE)
                        trie_each_leaf(&r->trie, class->regexes, rank_list, &k);
                k.next += c->count;
        }
        for (size_t i = 0; i < c->count; i++)
                list[i] = (struct ranked){ k.rank[c->src[i].leaf->packed], (uint32_t)i, c->routes[i].fallback };
        qsort(list, c->count, sizeof(*list), compare_ranked);
        for (size_t i = 0; i < c->count; i++)
                r->order[i] = list[i].route;
        return 0;
}

size_t
router_order(const struct router *r, uint32_t *ret_indices, size_t room)
{
        size_t n = r->route_count < room ? r->route_count : room;

        memcpy(ret_indices, r->order, n * sizeof(*ret_indices));
        return n;
}

const char *
router_class(const struct router *r, uint32_t route)
{
        assert(route < r->route_count);
        return r->routes[route].class_name;
}

struct router_stats
router_stats(const struct router *r)
{
        return r->stats;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------------------------- */

static double
now_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void
count_stats(struct router *r, double began_ms)
{
        r->stats = (struct router_stats){
                .nodes = r->trie.node_count,
                .bytes = sizeof(*r) + trie_bytes(&r->trie) + arena_bytes(r->arena) + r->class_count * sizeof(*r->classes) +
                         ((size_t)r->class_mask + 1) * sizeof(*r->class_slots) + ((size_t)r->exact_mask + 1) * sizeof(*r->exact) +
                         r->route_count * (sizeof(*r->routes) + sizeof(*r->order)) + r->param_count * sizeof(*r->params),
                .regexes = r->trie.regex_count,
                .routes = r->route_count,
                .build_ms = now_ms() - began_ms,
        };
}

static int
compile_routes(struct compiler *c)
{
        size_t errors = c->d->error_count;
        int r;

        for (size_t i = 0; i < c->count; i++)
                if ((r = read_route(c, i)) < 0)
                        return r;
        if ((r = make_classes(c)) < 0)
                return r;
        for (size_t i = 0; i < c->count; i++)
                if ((r = insert_route(c, i)) < 0)
                        return r;
        for (size_t i = 0; i < c->count; i++)
                check_reachable(c, i);
        if ((r = check_depth(c)) < 0)
                return r;
        if (c->d->error_count != errors)
                return -EINVAL;
        for (size_t i = 0; i < c->count; i++)
                if (!c->src[i].usable)
                        return -EINVAL;
        if ((r = pack_classes(c)) < 0 || (r = pack_routes(c)) < 0 || (r = pack_exact(c)) < 0 || (r = rank_routes(c)) < 0 || (r = index_classes(c->r)) < 0)
                return r;
        trie_trim(&c->r->trie);
        return 0;
}

int
router_compile(const struct route *routes, size_t count, const struct sources *sources, struct diags *d, struct router **ret)
{
        double began_ms = now_ms();
        struct compiler c = { .routes = routes, .count = count, .sources = sources, .d = d };
        int r = -ENOMEM;

        if (count >= TRIE_NONE)
                return -ENOMEM;
        if ((c.a = arena_new()) == NULL)
                return -ENOMEM;
        if ((c.r = calloc(1, sizeof(*c.r))) == NULL || (c.r->arena = arena_new()) == NULL ||
            (c.src = arena_alloc(c.a, (count + 1) * sizeof(*c.src))) == NULL)
                goto fail;
        c.r->given = routes;
        c.r->route_count = count;
        if ((r = compile_routes(&c)) < 0)
                goto fail;
        arena_free(c.a);
        count_stats(c.r, began_ms);
        *ret = c.r;
        return 0;
fail:
        router_free(c.r);
        arena_free(c.a);
        return r;
}

void
router_free(struct router *r)
{
        if (r == NULL)
                return;
        trie_fini(&r->trie);
        free(r->classes);
        free(r->class_slots);
        free(r->exact);
        free(r->routes);
        free(r->params);
        free(r->order);
        arena_free(r->arena);
        free(r);
}
