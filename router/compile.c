/* compile.c - routes become a router.
 * SPDX-License-Identifier: MIT
 * From: route.c and the native apps' reports.   To: match.c.   Runs in: the loader's thread.
 * Passes: read every path and selector; put each route into the tree of its class; look for what can never win, and for regexes that explode
 * (findings.c); stop when there are errors; lay everything out flat (pack.c). What only the building needs lives in an arena that dies at the end. */
#include <errno.h>
#include <stdlib.h>

#include "compile_priv.h"
#include "simple.h"

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
                        find(c, DIAG_ERROR, place_in_value(c, route, route->on_place, err.at, err.len), err.hint, "on \"%.80s\": %s", route->on, err.text);
                return r;
        }
        if (route->host == NULL)
                return 0;
        if (s->select.host_kind != HOST_ANY) {
                find(c, DIAG_ERROR, place_in_value(c, route, route->host_place, 0, (uint32_t)strlen(route->host)), NULL,
                     "the host is given twice: in the selector and as `host:`");
                return -EINVAL;
        }
        if ((r = select_parse_host(span_of(route->host), c->r->arena, &s->select, &err)) == -EINVAL)
                find(c, DIAG_ERROR, place_in_value(c, route, route->host_place, err.at, err.len), err.hint, "host \"%.80s\": %s", route->host, err.text);
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

        c->r->has_slashes |= route->trailing_slash != SLASH_STRICT;
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
                                (struct router_class){ .select = *list[i].select, .trie = TRIE_NONE };
                c->src[list[i].route].class = c->r->class_count - 1;
        }
        return 0;
}

/* ---- pass 2: into the trees -------------------------------------------------------------------------------------------------------- */

static struct build_node *
root_of(struct compiler *c, struct build_node **root)
{
        if (*root == NULL)
                *root = build_node_new(&c->b);
        return *root;
}

static int
insert_template(struct compiler *c, size_t i)
{
        struct source_route *s = &c->src[i];
        struct build_error err;
        struct build_node *n, *root = root_of(c, &c->classes[s->class].trie);
        struct build_hop *hops;
        int r;

        if (root == NULL)
                return -ENOMEM;
        if ((r = build_add(&c->b, root, &s->pattern, &n, &hops, &s->hop_count, &err)) == -EINVAL)
                find(c, DIAG_ERROR, place_in_path(c, &c->routes[i], s->path_at + err.at, 1), NULL, "the regex is refused: %s", err.text);
        if (r < 0)
                return r;
        s->hops = hops;
        if (n->leaf == NULL && (n->leaf = arena_alloc(c->a, sizeof(*n->leaf))) == NULL)
                return -ENOMEM;
        s->leaf = n->leaf;
        s->prefix = s->pattern.steps[0].literal; /* a path begins with a slash */
        return 0;
}

static int
keep_name(struct compiler *c, struct source_route *s, struct span name)
{
        char *copy = arena_strndup(c->a, name.ptr, name.len);

        if (copy == NULL)
                return -ENOMEM;
        s->pattern.params[s->pattern.param_count++] = (struct pattern_param){ { copy, name.len }, RT_STR, 0 };
        return 0;
}

/* Routes with the same regex are one pattern: they share its code, its leaf, and the place of the first of them. A fallback has its own. NULL: it
 * is new. */
static struct build_regex *
same_regex(const struct compiler *c, const struct build_node *n, struct span text, bool fallback)
{
        for (struct build_regex *x = n->regexes; x != NULL; x = x->next)
                if (span_is(x->text, text) && c->routes[x->order].fallback == fallback)
                        return x;
        return NULL;
}

/* PCRE2, or a program where that does. The named groups are the parameters. */
static int
compile_regex(struct compiler *c, size_t i, struct build_regex *x)
{
        struct source_route *s = &c->src[i];
        struct simple_program program, *kept;
        struct regex_names names;
        struct regex_error err;
        struct regex code;
        int r = 0;

        x->regex = TRIE_NONE;
        if (simple_program(s->pattern.regex, c->a, &program)) {
                if ((kept = arena_alloc(c->a, sizeof(*kept))) == NULL)
                        return -ENOMEM;
                *kept = program;
                x->program = kept;
                for (uint32_t k = 0; k < program.count && r == 0; k++)
                        if (program.pieces[k].name.ptr != NULL)
                                r = keep_name(c, s, program.pieces[k].name);
                return r;
        }
        if ((r = regex_compile(s->pattern.regex, &code, &names, &err)) == -EINVAL)
                find(c, DIAG_ERROR, place_in_path(c, &c->routes[i], s->path_at + 1 + (uint32_t)err.at, 1), NULL, "the regex is refused: %s", err.text);
        if (r < 0)
                return r;
        for (uint32_t k = 0; k < names.count && r == 0; k++)
                r = keep_name(c, s, span_of(names.list[k].name));
        if (r < 0) {
                regex_fini(&code);
                return r;
        }
        return trie_add_regex(&c->r->trie, code, &x->regex);
}

static int
insert_regex(struct compiler *c, size_t i)
{
        struct source_route *s = &c->src[i];
        struct build_class *class = &c->classes[s->class];
        struct build_node *n = root_of(c, c->routes[i].first ? &class->first : &class->regexes);
        struct build_regex *x;
        int r;

        s->prefix = pattern_regex_prefix(s->pattern.regex, c->a, ROUTER_PREFIX_MAX);
        if (n == NULL || (n = build_kid(&c->b, n, s->prefix)) == NULL)
                return -ENOMEM;
        if ((x = same_regex(c, n, s->pattern.regex, c->routes[i].fallback)) != NULL) {
                const struct source_route *other = &c->src[x->order];

                s->leaf = &x->leaf;
                s->regex = x;
                memcpy(s->pattern.params, other->pattern.params, sizeof(s->pattern.params));
                s->pattern.param_count = other->pattern.param_count;
                return 0;
        }
        if ((x = arena_alloc(c->a, sizeof(*x))) == NULL)
                return -ENOMEM;
        if ((r = compile_regex(c, i, x)) < 0)
                return r;
        x->text = s->pattern.regex;
        x->order = (uint32_t)i;
        x->takes_all = simple_takes_all(x->text, s->prefix.len);
        *n->regexes_end = x;
        n->regexes_end = &x->next;
        s->leaf = &x->leaf;
        s->regex = x;
        return 0;
}

/* Strongest first: by number of conditions; routes come in the order of the file. */
static int
join_leaf(struct compiler *c, size_t i)
{
        struct build_leaf *l = c->src[i].leaf;
        size_t conditions = route_when_count(&c->routes[i].when);
        uint32_t at = l->count;

        if (l->count == l->room) {
                uint32_t room = l->room > 0 ? 2 * l->room : 1;
                struct build_route *grown = arena_alloc(c->a, room * sizeof(*grown));

                if (grown == NULL)
                        return -ENOMEM;
                if (l->count > 0)
                        memcpy(grown, l->routes, l->count * sizeof(*grown));
                l->routes = grown;
                l->room = room;
        }
        while (at > 0 && route_when_count(&c->routes[l->routes[at - 1].route].when) < conditions)
                at--;
        memmove(&l->routes[at + 1], &l->routes[at], (l->count - at) * sizeof(*l->routes));
        l->routes[at] = (struct build_route){ (uint32_t)i, c->routes[i].methods, c->routes[i].fallback };
        l->count++;
        l->has_conditions |= conditions > 0;
        return 0;
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
        check_clash(c, i);
        check_redirect(c, i);
        return join_leaf(c, i);
}

/* ---- all of it ---------------------------------------------------------------------------------------------------------------------- */

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
        check_bounds(c); /* sorts the trees, unless they are too deep */
        if (c->d->error_count == errors)
                for (size_t i = 0; i < c->count; i++)
                        check_reachable(c, i);
        if ((r = check_regexes(c)) < 0)
                return r;
        if (c->d->error_count != errors)
                return -EINVAL;
        for (size_t i = 0; i < c->count; i++)
                if (!c->src[i].usable)
                        return -EINVAL;
        return pack_all(c);
}

int
router_compile(const struct route *routes, size_t count, const struct sources *sources, struct diags *d, struct router **ret)
{
        double began_ms = pack_now_ms();
        struct compiler c = { .routes = routes, .count = count, .sources = sources, .d = d };
        int r = -ENOMEM;

        if (count >= TRIE_NONE)
                return -ENOMEM;
        if ((c.a = arena_new()) == NULL)
                return -ENOMEM;
        if ((c.r = calloc(1, sizeof(*c.r))) == NULL || (c.r->arena = arena_new()) == NULL ||
            (c.src = arena_alloc(c.a, (count + 1) * sizeof(*c.src))) == NULL)
                goto fail;
        c.b = (struct build){ .a = c.a, .t = &c.r->trie };
        c.r->given = routes;
        c.r->route_count = count;
        if ((r = compile_routes(&c)) < 0)
                goto fail;
        arena_free(c.a);
        pack_stats(c.r, began_ms);
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
        free(r->routes);
        free(r->params);
        free(r->order);
        arena_free(r->arena);
        free(r);
}

size_t
router_params(const struct router *r, uint32_t route, struct span *ret_names, enum router_type *ret_types, size_t room)
{
        const struct router_route *of = &r->routes[route];
        size_t n = 0;

        for (; n < of->param_count && n < room; n++) {
                ret_names[n] = r->params[of->param_first + n].name;
                ret_types[n] = r->params[of->param_first + n].type;
        }
        return n;
}
