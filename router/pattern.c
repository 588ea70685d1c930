/* pattern.c - the text of a route's `path:` becomes steps for the trie.
 * SPDX-License-Identifier: MIT
 * From: compile.c.   To: build.c.   Runs in: whoever loads routes; pure but for the arena.
 * Refuses what could never match (dot segments, "?", controls), what would be ambiguous ({a}{b}) and what is too large. */
#include "pattern.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "decode.h"

static const char *const type_words[] = { "str", "int", "float", "bool", "uuid", "slug", "path", "re" };
static const enum router_type type_values[] = { RT_STR, RT_INT, RT_FLOAT, RT_BOOL, RT_UUID, RT_SLUG, RT_PATH, RT_RE };
enum { TYPE_COUNT = sizeof(type_words) / sizeof(type_words[0]), NAME_BYTES_MAX = 64 };

/* Weakest last; router_class speaks in these words. */
enum { CLASS_LITERAL, CLASS_MIXED, CLASS_TYPED, CLASS_STR, CLASS_PATH };
static const char *const class_words[] = { "literal", "literal with a parameter", "typed", "str", "path" };

struct parser {
        struct span text;
        size_t pos;
        struct arena *arena;
        struct pattern *out;
        struct pattern_error *err;
        char *literal;         /* room for the whole pattern */
        size_t literal_len;
        size_t segment_start;  /* in literal, of the current segment's text */
        size_t segment_at;     /* in text, likewise */
        struct pattern_piece pieces[PATTERN_PIECES_MAX];
        uint32_t piece_count;
        bool has_prefix;
        struct pattern_step *steps;
        uint32_t step_count, step_room;
        int weakest;
};

__attribute__((format(printf, 5, 6))) static int
refuse(struct pattern_error *err, size_t at, size_t len, const char *hint, const char *fmt, ...)
{
        va_list ap;

        err->at = (uint32_t)at;
        err->len = (uint32_t)(len > 0 ? len : 1);
        err->hint = hint;
        va_start(ap, fmt);
        vsnprintf(err->text, sizeof(err->text), fmt, ap);
        va_end(ap);
        return -EINVAL;
}

static int
add_step(struct parser *p, struct pattern_step step)
{
        if (p->step_count == p->step_room) {
                uint32_t room = p->step_room > 0 ? p->step_room * 2 : 8;
                struct pattern_step *grown = arena_alloc(p->arena, room * sizeof(*grown));

                if (grown == NULL)
                        return -ENOMEM;
                if (p->step_count > 0)
                        memcpy(grown, p->steps, p->step_count * sizeof(*grown));
                p->steps = grown;
                p->step_room = room;
        }
        p->steps[p->step_count++] = step;
        return 0;
}

static int
flush_literal(struct parser *p)
{
        char *copy;
        int r;

        if (p->literal_len == 0)
                return 0;
        if (!decode_utf8_ok(p->literal, p->literal_len))
                return refuse(p->err, 0, p->text.len, NULL, "the path is not UTF-8");
        if ((copy = arena_strndup(p->arena, p->literal, p->literal_len)) == NULL)
                return -ENOMEM;
        r = add_step(p, (struct pattern_step){ .kind = STEP_LITERAL, .literal = { copy, p->literal_len } });
        p->literal_len = p->segment_start = 0;
        return r;
}

/* How the segment stands in the order of precedence, for router_class. */
static int
segment_class(const struct parser *p)
{
        if (p->piece_count == 0)
                return CLASS_LITERAL;
        if (p->has_prefix || p->piece_count > 1)
                return CLASS_MIXED;
        return p->pieces[0].type == RT_STR ? CLASS_STR : p->pieces[0].type == RT_PATH ? CLASS_PATH : CLASS_TYPED;
}

/* The current segment is complete: a '/' or the end follows. */
static int
end_segment(struct parser *p)
{
        struct pattern_piece *pieces;
        struct span s = { p->literal + p->segment_start, p->literal_len - p->segment_start };
        int class = segment_class(p), r;

        if (class > p->weakest)
                p->weakest = class;
        if (p->piece_count == 0) {
                if (span_is(s, SPAN_LIT(".")) || span_is(s, SPAN_LIT("..")))
                        return refuse(p->err, p->segment_at, p->pos - p->segment_at, NULL,
                                      "\"%.*s\" is removed from every path before it is matched: this route can never win", (int)s.len, s.ptr);
                return 0;
        }
        for (uint32_t i = 0; i < p->piece_count; i++)
                if (!p->pieces[i].is_param && !decode_utf8_ok(p->pieces[i].text.ptr, p->pieces[i].text.len))
                        return refuse(p->err, p->pieces[i].at, 1, NULL, "the path is not UTF-8");
        if ((pieces = arena_alloc(p->arena, p->piece_count * sizeof(*pieces))) == NULL)
                return -ENOMEM;
        memcpy(pieces, p->pieces, p->piece_count * sizeof(*pieces));
        r = add_step(p, (struct pattern_step){ .kind = STEP_SEGMENT, .has_prefix = p->has_prefix, .pieces = pieces, .piece_count = p->piece_count });
        p->piece_count = 0;
        p->has_prefix = false;
        return r;
}

static int
add_literal_byte(struct parser *p, char c)
{
        struct pattern_piece *piece;

        if (p->piece_count == 0) {
                p->literal[p->literal_len++] = c;
                return 0;
        }
        /* behind a parameter: the bytes go into the arena at once, as a piece that grows at its end */
        piece = &p->pieces[p->piece_count - 1];
        if (piece->is_param) {
                char *room = arena_alloc(p->arena, p->text.len - p->pos + 1);

                if (room == NULL)
                        return -ENOMEM;
                piece = &p->pieces[p->piece_count++];
                *piece = (struct pattern_piece){ .text = { room, 0 }, .at = (uint32_t)p->pos };
        }
        ((char *)(uintptr_t)piece->text.ptr)[piece->text.len++] = c;
        return 0;
}

/* One byte or escape of literal text, as router_decode would leave it. */
static int
parse_literal(struct parser *p)
{
        static const char digits[] = "0123456789ABCDEF";
        unsigned char c = (unsigned char)p->text.ptr[p->pos];
        char byte;
        int r;

        if (c == '?' || c == '#')
                return refuse(p->err, p->pos, 1, NULL, "a path never holds \"%c\": this route can never win", c);
        if (c == '}')
                return refuse(p->err, p->pos, 1, "write %7D for the character", "a \"}\" without its \"{\"");
        if (c < 0x20 || c == 0x7f)
                return refuse(p->err, p->pos, 1, NULL, "a path never holds control characters");
        if (c != '%') {
                r = add_literal_byte(p, (char)c);
                p->pos++;
                return r;
        }
        switch (decode_escape(p->text.ptr + p->pos, p->text.len - p->pos, &byte)) {
        case ESCAPE_DECODED:
                r = add_literal_byte(p, byte);
                break;
        case ESCAPE_KEPT:
                if ((r = add_literal_byte(p, '%')) == 0 && (r = add_literal_byte(p, digits[(unsigned char)byte >> 4])) == 0)
                        r = add_literal_byte(p, digits[(unsigned char)byte & 15]);
                break;
        default:
                return refuse(p->err, p->pos, 1, "write %25 for the character",
                              "\"%%\" must be followed by two hex digits that stand for no control character");
        }
        p->pos += 3;
        return r;
}

static bool
is_name_char(char c, bool first)
{
        return ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_' || (!first && c >= '0' && c <= '9');
}

/* pos stands behind "re("; returns the offset of the ')' that closes it, or 0. */
static size_t
find_paren(struct span text, size_t pos)
{
        unsigned depth = 1;

        for (; pos < text.len; pos++) {
                switch (text.ptr[pos]) {
                case '\\':
                        pos++;
                        break;
                case '[': /* parentheses in a class are themselves; so is a ']' that comes first */
                        pos++;
                        if (pos < text.len && text.ptr[pos] == '^')
                                pos++;
                        for (size_t first = pos; pos < text.len && (text.ptr[pos] != ']' || pos == first); pos++)
                                if (text.ptr[pos] == '\\')
                                        pos++;
                        break;
                case '(':
                        depth++;
                        break;
                case ')':
                        if (--depth == 0)
                                return pos;
                        break;
                default:
                        break;
                }
        }
        return 0;
}

/* pos stands behind the ':' of a parameter. */
static int
parse_type(struct parser *p, struct pattern_piece *piece)
{
        size_t start = p->pos, close;
        struct span word;
        const char *nearest;

        while (p->pos < p->text.len && p->text.ptr[p->pos] != '}' && p->text.ptr[p->pos] != '(' && p->text.ptr[p->pos] != '/')
                p->pos++;
        word = (struct span){ p->text.ptr + start, p->pos - start };
        for (unsigned i = 0; i < TYPE_COUNT; i++) {
                if (!span_is(word, span_of(type_words[i])))
                        continue;
                piece->type = type_values[i];
                if (piece->type != RT_RE)
                        return 0;
                if (p->pos >= p->text.len || p->text.ptr[p->pos] != '(')
                        return refuse(p->err, start, word.len, "write {name:re(...)}", "re needs a regex in parentheses");
                p->pos++;
                if ((close = find_paren(p->text, p->pos)) == 0)
                        return refuse(p->err, p->pos - 1, 1, NULL, "this parenthesis is never closed");
                if (close == p->pos)
                        return refuse(p->err, p->pos - 1, 2, NULL, "the regex is empty");
                piece->text = (struct span){ p->text.ptr + p->pos, close - p->pos };
                piece->at = (uint32_t)p->pos;
                p->pos = close + 1;
                return 0;
        }
        nearest = diag_nearest(word, type_words, TYPE_COUNT);
        if (nearest != NULL)
                snprintf(p->err->nearest, sizeof(p->err->nearest), "did you mean \"%s\"?", nearest);
        return refuse(p->err, start, word.len, nearest != NULL ? p->err->nearest : NULL,
                      "unknown type \"%.*s\"; there are str, int, float, bool, uuid, slug, path and re(...)", (int)(word.len < 40 ? word.len : 40), word.ptr);
}

static int
check_param(struct parser *p, const struct pattern_piece *piece, size_t open)
{
        size_t len = p->pos - open;

        if (p->out->param_count == ROUTER_PARAMS_MAX)
                return refuse(p->err, open, len, NULL, "more than %d parameters in one path", ROUTER_PARAMS_MAX);
        for (uint32_t i = 0; i < p->out->param_count; i++)
                if (span_is(p->out->params[i].name, piece->name))
                        return refuse(p->err, open + 1, piece->name.len, NULL, "the parameter \"%.*s\" is there already", (int)piece->name.len, piece->name.ptr);
        if (p->piece_count > 0 && p->pieces[p->piece_count - 1].is_param)
                return refuse(p->err, open, len, NULL, "two parameters need a literal between them: nothing says where the first one ends");
        if (piece->type == RT_PATH && (p->piece_count > 0 || p->has_prefix))
                return refuse(p->err, open, len, NULL, "a path parameter takes whole segments: it must follow a \"/\"");
        if (piece->type == RT_PATH && p->pos != p->text.len)
                return refuse(p->err, open, len, NULL, "a path parameter takes the rest of the path: it must be last");
        return 0;
}

/* {name}, {name:type}, {name:re(...)}; pos stands at the '{'. */
static int
parse_param(struct parser *p)
{
        size_t open = p->pos++, start = p->pos;
        struct pattern_piece piece = { .is_param = true, .type = RT_STR, .at = (uint32_t)open };
        int r;

        while (p->pos < p->text.len && is_name_char(p->text.ptr[p->pos], p->pos == start))
                p->pos++;
        piece.name = (struct span){ p->text.ptr + start, p->pos - start };
        if (p->pos >= p->text.len || p->text.ptr[p->pos] == '/')
                return refuse(p->err, open, p->pos - open, "write %7B for the character", "this \"{\" is never closed");
        if (p->text.ptr[p->pos] != '}' && p->text.ptr[p->pos] != ':')
                return refuse(p->err, p->pos, 1, NULL, "a parameter's name is made of letters, digits and _, and begins with no digit");
        if (piece.name.len == 0)
                return refuse(p->err, open, 2, "write {name}", "the parameter has no name");
        if (piece.name.len > NAME_BYTES_MAX)
                return refuse(p->err, start, piece.name.len, NULL, "a parameter's name is at most %d bytes", NAME_BYTES_MAX);
        if (p->text.ptr[p->pos] == ':') {
                p->pos++;
                if ((r = parse_type(p, &piece)) < 0)
                        return r;
                if (p->pos >= p->text.len || p->text.ptr[p->pos] != '}')
                        return refuse(p->err, open, 1, NULL, "this \"{\" is never closed");
        }
        p->pos++;
        if (p->piece_count == 0)
                p->has_prefix = p->literal[p->literal_len - 1] != '/';
        if ((r = check_param(p, &piece, open)) < 0)
                return r;
        if (p->piece_count == 0 && (r = flush_literal(p)) < 0)
                return r;
        p->out->params[p->out->param_count++] = (struct pattern_param){ piece.name, piece.type, (uint32_t)open };
        if (piece.type != RT_RE)
                piece.text = piece.name;
        p->pieces[p->piece_count++] = piece;
        return 0;
}

int
pattern_parse(struct span text, struct arena *a, struct pattern *ret, struct pattern_error *reterr_)
{
        struct pattern out = { 0 };
        struct parser p = { .text = text, .arena = a, .out = &out, .err = reterr_ };
        int r = 0;

        if (text.len > PATTERN_BYTES_MAX)
                return refuse(reterr_, 0, text.len, NULL, "a path of more than %d bytes", PATTERN_BYTES_MAX);
        if (text.len > 0 && text.ptr[0] == '~') {
                if (text.len == 1)
                        return refuse(reterr_, 0, 1, "write ~^/...$", "the regex is empty");
                *ret = (struct pattern){ .is_regex = true, .regex = { text.ptr + 1, text.len - 1 }, .class_name = "regex" };
                return 0;
        }
        if (text.len == 0 || text.ptr[0] != '/')
                return refuse(reterr_, 0, 1, NULL, "a path begins with \"/\", a regex with \"~\"");
        if ((p.literal = arena_alloc(a, text.len + 1)) == NULL)
                return -ENOMEM;
        while (p.pos < text.len && r == 0) {
                if (text.ptr[p.pos] == '/') {
                        if ((r = end_segment(&p)) < 0)
                                break;
                        p.literal[p.literal_len++] = '/';
                        p.segment_start = p.literal_len;
                        p.segment_at = ++p.pos;
                } else {
                        r = text.ptr[p.pos] == '{' ? parse_param(&p) : parse_literal(&p);
                }
        }
        if (r < 0 || (r = end_segment(&p)) < 0 || (r = flush_literal(&p)) < 0)
                return r;
        out.steps = p.steps;
        out.step_count = p.step_count;
        out.class_name = class_words[p.weakest];
        *ret = out;
        return 0;
}
