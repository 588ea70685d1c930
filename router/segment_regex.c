/* segment_regex.c - {x:re(...)} that is no simple class: PCRE2 for a parameter, or for the whole segment that it stands in.
 * SPDX-License-Identifier: MIT
 * From: build.c, for each new edge.   To: regex.c.   Runs in: the loader's thread. */
#include "segment_regex.h"

#include <errno.h>
#include <stdio.h>

static bool
needs_regex(const struct pattern_piece *p)
{
        struct byte_map map;

        return p->is_param && p->type == RT_RE && !pattern_simple_class(p->text, &map);
}

static int
compile_piece(const struct pattern_piece *p, struct regex *ret, struct build_error *err)
{
        struct regex_error x;
        int r = regex_compile(p->text, ret, NULL, &x);

        if (r == -EINVAL) {
                err->at = p->at + (uint32_t)x.at;
                snprintf(err->text, sizeof(err->text), "%s", x.text);
        }
        return r;
}

/* What a typed parameter takes, as a regex that prefers the shortest text. */
static const char *
type_regex(enum router_type type)
{
        switch (type) {
        case RT_INT:
                return "-?[0-9]{1,18}?";
        case RT_FLOAT:
                return "-?[0-9]{1,32}?(?:\\.[0-9]{1,32}?)?";
        case RT_BOOL:
                return "true|false";
        case RT_UUID:
                return "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}";
        case RT_SLUG:
                return "[A-Za-z0-9_-]+?";
        default:
                return ".+?";
        }
}

/* Several parameters and at least one re(...) in one segment: one regex for the segment, "heart_0" and so on for the parameters. */
static int
compile_segment(const struct build_edge *e, struct arena *a, struct regex *ret, struct build_error *err)
{
        size_t room = 1, n = 0;
        uint32_t params = 0, wanted = 0;
        struct regex_names names;
        struct regex_error x;
        char *text;
        int r;

        for (uint32_t i = 0; i < e->piece_count; i++) {
                struct regex alone;

                room += 2 * e->pieces[i].text.len + 80;
                if (!needs_regex(&e->pieces[i]))
                        continue;
                if ((r = compile_piece(&e->pieces[i], &alone, err)) < 0) /* on its own first: the caret then points into it */
                        return r;
                regex_fini(&alone);
        }
        if ((text = arena_alloc(a, room)) == NULL)
                return -ENOMEM;
        for (uint32_t i = 0; i < e->piece_count; i++) {
                const struct pattern_piece *p = &e->pieces[i];

                if (p->is_param) {
                        struct span body = p->type == RT_RE ? p->text : span_of(type_regex(p->type));

                        n += (size_t)snprintf(text + n, room - n, "(?<heart_%u>%.*s)", params++, (int)body.len, body.ptr);
                } else if (i + 1 < e->piece_count) { /* the last literal is the edge's suffix */
                        for (size_t k = 0; k < p->text.len; k++) {
                                if (strchr("\\^$.[]|()?*+{}-#", p->text.ptr[k]) != NULL)
                                        text[n++] = '\\';
                                text[n++] = p->text.ptr[k];
                        }
                }
        }
        if ((r = regex_compile((struct span){ text, n }, ret, &names, &x)) < 0) {
                err->at = e->pieces[0].at;
                snprintf(err->text, sizeof(err->text), "the segment as one regex: %.160s", x.text);
                return r;
        }
        /* groups that the user named inside are no parameters */
        for (uint32_t i = 0; i < names.count; i++) {
                char name[24];

                snprintf(name, sizeof(name), "heart_%u", wanted);
                if (strcmp(names.list[i].name, name) == 0)
                        ret->group[wanted++] = (uint8_t)names.list[i].group;
        }
        ret->group_count = wanted;
        assert(wanted == params);
        return 0;
}

int
segment_regex(struct trie *t, struct build_edge *e, struct arena *a, struct build_error *reterr_)
{
        struct regex x;
        bool any = false;
        int r;

        for (uint32_t i = 0; i < e->piece_count; i++)
                any |= needs_regex(&e->pieces[i]);
        e->regex = TRIE_NONE;
        if (!any)
                return 0;
        r = e->piece_count <= 2 ? compile_piece(&e->pieces[0], &x, reterr_) : compile_segment(e, a, &x, reterr_);
        return r < 0 ? r : trie_add_regex(t, x, &e->regex);
}
