/* vars.c - texts with variables are compiled: names looked up, and for each variable the spot it stands on. Contract in vars.h.
 * SPDX-License-Identifier: MIT
 * From: dispatch.c and header_edits.c, when a generation is built.   To: vars_expand.c.   Runs in: whoever builds a generation; no globals but constants.
 * What cannot be made safe by escaping is refused here: a host that a client could choose, a scheme out of a variable. */
#include "vars_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "../router/token.h"

#define PIECES_MAX 64

/* ---- heart's own names -------------------------------------------------------------------------------------------------------- */

static const struct own { const char *name; enum vars_kind kind; } own[] = {
        { "host", VAR_HOST },              /* name the client asked for, in lower case, without its port */
        { "path", VAR_PATH },              /* decoded, as routes see it; after a rewrite the new one */
        { "query", VAR_QUERY },            /* as it came, without "?" */
        { "uri", VAR_URI },                /* path and query as the client sent them */
        { "method", VAR_METHOD },
        { "scheme", VAR_SCHEME },          /* http or https, as the first trusted proxy saw it */
        { "client", VAR_CLIENT },          /* the client's address */
        { "user", VAR_USER },              /* who logged in (basic_auth); empty: nobody */
        { "port", VAR_PORT },              /* of the listener */
        { "request_id", VAR_REQUEST_ID },  /* as in the logs */
        { "status", VAR_STATUS },          /* of the answer */
};
enum { OWN_COUNT = sizeof(own) / sizeof(*own) };

/* {$header.user-agent}: names behind a dot. */
static const struct own prefixes[] = { { "header.", VAR_HEADER_FIELD }, { "cookie.", VAR_COOKIE }, { "query.", VAR_QUERY_FIELD } };
enum { PREFIX_COUNT = sizeof(prefixes) / sizeof(*prefixes) };

/* ---- reading -------------------------------------------------------------------------------------------------------------------- */

struct compiler {
        struct arena *a;
        struct span text;
        enum vars_place place;
        const struct vars_names *names;
        struct vars_error *err;
        struct vars_piece pieces[PIECES_MAX];
        size_t at[PIECES_MAX]; /* where each stands in the text */
        uint32_t count;
        char *literal;         /* the one being gathered: as long as the text at most */
        size_t literal_len, literal_at;
};

__attribute__((format(printf, 5, 6))) static int
refuse(struct compiler *c, size_t at, size_t len, const char *hint, const char *fmt, ...)
{
        va_list ap;

        c->err->at = at;
        c->err->len = len;
        snprintf(c->err->hint, sizeof(c->err->hint), "%s", hint != NULL ? hint : "");
        va_start(ap, fmt);
        vsnprintf(c->err->text, sizeof(c->err->text), fmt, ap);
        va_end(ap);
        return -EINVAL;
}

static int
add_piece(struct compiler *c, struct vars_piece p, size_t at)
{
        if (c->count == PIECES_MAX)
                return refuse(c, 0, c->text.len, NULL, "more than %d variables and texts between them", PIECES_MAX);
        c->at[c->count] = at;
        c->pieces[c->count++] = p;
        return 0;
}

static int
flush_literal(struct compiler *c)
{
        struct vars_piece p = { .kind = VAR_LITERAL, .text = { c->literal, c->literal_len } };

        if (c->literal_len == 0)
                return 0;
        c->literal += c->literal_len;
        c->literal_len = 0;
        return add_piece(c, p, c->literal_at);
}

static void
add_byte(struct compiler *c, char byte, size_t at)
{
        if (c->literal_len == 0)
                c->literal_at = at;
        c->literal[c->literal_len++] = byte;
}

static bool
is_url(const struct compiler *c)
{
        return c->place == VARS_URL || c->place == VARS_PATH;
}

static bool
is_word(char ch)
{
        return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || ch == '_';
}

static int
unknown_own(struct compiler *c, struct span name, size_t at)
{
        const char *words[OWN_COUNT + PREFIX_COUNT], *near;
        char hint[96];

        for (size_t i = 0; i < OWN_COUNT; i++)
                words[i] = own[i].name;
        for (size_t i = 0; i < PREFIX_COUNT; i++)
                words[OWN_COUNT + i] = prefixes[i].name;
        near = diag_nearest(name, words, OWN_COUNT + PREFIX_COUNT);
        if (near != NULL)
                snprintf(hint, sizeof(hint), "did you mean \"{$%s%s}\"?", near, near[strlen(near) - 1] == '.' ? "NAME" : "");
        else
                snprintf(hint, sizeof(hint), "they are in routes.yaml(5), \"VARIABLES\"");
        return refuse(c, at, name.len + 3, hint, "heart has no variable \"$%.*s\"", (int)(name.len < 60 ? name.len : 60), name.ptr);
}

/* {$name}; name: without the $. */
static int
add_own(struct compiler *c, struct span name, size_t at)
{
        for (size_t i = 0; i < OWN_COUNT; i++)
                if (span_is(name, span_of(own[i].name))) {
                        if (own[i].kind == VAR_STATUS && is_url(c))
                                return refuse(c, at, name.len + 3, NULL, "\"{$status}\" is not known yet where a request is sent elsewhere");
                        return add_piece(c, (struct vars_piece){ .kind = own[i].kind }, at);
                }
        for (size_t i = 0; i < PREFIX_COUNT; i++) {
                size_t len = strlen(prefixes[i].name);
                char *rest;

                if (name.len <= len || memcmp(name.ptr, prefixes[i].name, len) != 0)
                        continue;
                if ((rest = arena_strndup(c->a, name.ptr + len, name.len - len)) == NULL)
                        return -ENOMEM;
                for (char *p = rest; *p != '\0' && prefixes[i].kind == VAR_HEADER_FIELD; p++)
                        if (*p >= 'A' && *p <= 'Z')
                                *p |= 0x20;
                return add_piece(c, (struct vars_piece){ .kind = prefixes[i].kind, .text = span_of(rest) }, at);
        }
        return unknown_own(c, name, at);
}

static int
unknown_param(struct compiler *c, struct span name, size_t at)
{
        const char *words[ROUTER_PARAMS_MAX], *near;
        char hint[96] = "";
        size_t n = 0;

        for (size_t i = 0; i < OWN_COUNT; i++)
                if (span_is(name, span_of(own[i].name)))
                        snprintf(hint, sizeof(hint), "did you mean \"{$%s}\"?", own[i].name);
        for (; n < c->names->count && n < ROUTER_PARAMS_MAX; n++)
                if ((words[n] = arena_strndup(c->a, c->names->list[n].ptr, c->names->list[n].len)) == NULL)
                        return -ENOMEM;
        near = hint[0] == '\0' ? diag_nearest(name, words, n) : NULL;
        if (near != NULL)
                snprintf(hint, sizeof(hint), "did you mean \"%.60s\"?", near);
        else if (hint[0] == '\0' && name.ptr[0] >= '0' && name.ptr[0] <= '9')
                snprintf(hint, sizeof(hint), "give the group a name: (?<name>...)");
        else if (hint[0] == '\0')
                snprintf(hint, sizeof(hint), is_url(c) ? "write %%7B for a brace" : "write {{ for a brace");
        return refuse(c, at, name.len + 2, hint, "there is no parameter \"%.*s\" in the path", (int)(name.len < 60 ? name.len : 60), name.ptr);
}

static int
add_param(struct compiler *c, struct span name, size_t at)
{
        for (size_t i = 0; i < c->names->count; i++)
                if (span_is(name, c->names->list[i]))
                        return add_piece(c, (struct vars_piece){ .kind = VAR_PARAM, .text = c->names->list[i], .index = (uint32_t)i,
                                                                       .number = c->names->types != NULL && c->names->types[i] == RT_INT }, at);
        return c->names->open ? add_piece(c, (struct vars_piece){ .kind = VAR_EMPTY, .text = name }, at) : unknown_param(c, name, at);
}

/* The length of "{name}" or "{$name}" at i, 0: there is none. */
static size_t
variable_at(struct span text, size_t i)
{
        bool ours = i + 1 < text.len && text.ptr[i + 1] == '$';
        size_t start = i + 1 + ours, at = start;

        while (at < text.len && (is_word(text.ptr[at]) || (ours && token_char(text.ptr[at]))))
                at++;
        return at > start && at < text.len && text.ptr[at] == '}' ? at + 1 - i : 0;
}

static int
read_pieces(struct compiler *c)
{
        int e = 0;

        for (size_t i = 0; i < c->text.len && e == 0; i++) {
                size_t len;

                if (c->text.ptr[i] != '{') {
                        add_byte(c, c->text.ptr[i], i);
                } else if (i + 1 < c->text.len && c->text.ptr[i + 1] == '{') {
                        add_byte(c, '{', i++);
                } else if ((len = variable_at(c->text, i)) > 0) {
                        bool ours = c->text.ptr[i + 1] == '$';
                        struct span name = { c->text.ptr + i + 1 + ours, len - 2 - ours };

                        e = flush_literal(c);
                        if (e == 0)
                                e = ours ? add_own(c, name, i) : add_param(c, name, i);
                        i += len - 1;
                } else if (i + 1 < c->text.len && c->text.ptr[i + 1] == '$') {
                        e = refuse(c, i, 2, "write {{ for a brace", "this is no variable: {$name} or {$header.name}");
                } else if (is_url(c)) {
                        e = memchr(c->text.ptr + i, '}', c->text.len - i) == NULL ? refuse(c, i, 1, "write %7B for the character", "this \"{\" is never closed")
                                                                                  : refuse(c, i, 1, "write %7B for the character", "a name of letters, digits and _ is missing here");
                } else {
                        add_byte(c, '{', i); /* JSON and CSS are full of them */
                }
        }
        return e < 0 ? e : flush_literal(c);
}

/* ---- spots of a URL ---------------------------------------------------------------------------------------------------------------- */

static bool
is_literal(const struct compiler *c, uint32_t i, const char *prefix)
{
        const struct span *s = &c->pieces[i].text;

        return i < c->count && c->pieces[i].kind == VAR_LITERAL && s->len >= strlen(prefix) && memcmp(s->ptr, prefix, strlen(prefix)) == 0;
}

/* How long "https://", "//" is at the beginning of the text, or "://" of the literal behind {$scheme}; 0: the text names no host. */
static size_t
authority_start(const struct compiler *c, uint32_t *ret_piece)
{
        struct span s = c->count > 0 ? c->pieces[0].text : (struct span){ NULL, 0 };
        size_t n = 0;

        *ret_piece = 0;
        if (c->count > 1 && c->pieces[0].kind == VAR_SCHEME && is_literal(c, 1, "://")) {
                *ret_piece = 1;
                return 3;
        }
        if (!is_literal(c, 0, ""))
                return 0;
        if (is_literal(c, 0, "//"))
                return 2;
        while (n < s.len && (is_word(s.ptr[n]) || strchr("+-.", s.ptr[n]) != NULL))
                n++;
        return n > 0 && s.len >= n + 3 && memcmp(s.ptr + n, "://", 3) == 0 ? n + 3 : 0;
}

/* ".example.com/..." or ".localhost": whatever stands before it stays within the hands of one owner. */
static bool
is_domain_tail(const struct compiler *c, uint32_t i)
{
        struct span s = is_literal(c, i, ".") ? c->pieces[i].text : (struct span){ "", 0 };
        size_t len = 0;

        while (len < s.len && strchr("/?#:", s.ptr[len]) == NULL)
                len++;
        return len > 1 && (memchr(s.ptr + 1, '.', len - 1) != NULL || span_is((struct span){ s.ptr, len }, SPAN_LIT(".localhost")));
}

/* A variable in the host: heart's own host and port, or the first labels of a name that goes on behind them. Anything else would let clients choose where to. */
static int
check_authority(struct compiler *c, uint32_t i)
{
        struct vars_piece *p = &c->pieces[i];
        size_t end = i + 1 < c->count ? c->at[i + 1] : c->text.len;
        char hint[64] = "as in https://{name}.example.com/";

        p->spot = SPOT_AUTHORITY;
        if (p->kind == VAR_HOST || (p->kind == VAR_PORT && i > 0 && c->pieces[i - 1].kind == VAR_LITERAL && c->pieces[i - 1].text.ptr[c->pieces[i - 1].text.len - 1] == ':'))
                return 0;
        if ((p->kind == VAR_PARAM || p->kind == VAR_EMPTY || p->kind >= VAR_HEADER_FIELD) && is_domain_tail(c, i + 1))
                return 0;
        for (size_t k = 0; k < OWN_COUNT; k++) /* {host}, a parameter, where {$host} was meant */
                if (p->kind == VAR_EMPTY && span_is(p->text, span_of(own[k].name)))
                        snprintf(hint, sizeof(hint), "did you mean \"{$%s}\"?", own[k].name);
        return refuse(c, c->at[i], end - c->at[i], hint, "a variable here would let clients choose the host; it can be only what stands before the name's own part");
}

/* Moves over a literal: authority until '/', '?' or '#', path until '?' or '#', then query. */
static enum vars_spot
spot_after(enum vars_spot spot, struct span literal)
{
        for (size_t i = 0; i < literal.len && spot != SPOT_QUERY; i++) {
                if (literal.ptr[i] == '?' || literal.ptr[i] == '#')
                        spot = SPOT_QUERY;
                else if (literal.ptr[i] == '/')
                        spot = SPOT_PATH;
        }
        return spot;
}

/* A text without a host that begins with a variable must not make a scheme of it: "{x}:..." */
static int
check_scheme(struct compiler *c)
{
        bool seen = false;

        for (uint32_t i = 0; i < c->count; i++) {
                struct span s = c->pieces[i].text;

                if (c->pieces[i].kind != VAR_LITERAL) {
                        seen = true;
                        continue;
                }
                for (size_t k = 0; k < s.len; k++) {
                        if (strchr("/?#", s.ptr[k]) != NULL)
                                return 0;
                        if (s.ptr[k] == ':' && seen)
                                return refuse(c, c->at[i] + k, 1, "only {$scheme}:// can be", "the scheme of a URL cannot be made of a variable");
                }
        }
        return 0;
}

/* Where the client's query goes: at the end, before a fragment. */
static int
add_query(struct compiler *c)
{
        struct vars_piece query = { .kind = VAR_ADD_QUERY, .spot = SPOT_QUERY }, rest;

        for (uint32_t i = 0; i < c->count; i++) {
                const char *hash = c->pieces[i].kind == VAR_LITERAL ? memchr(c->pieces[i].text.ptr, '#', c->pieces[i].text.len) : NULL;

                if (hash == NULL)
                        continue;
                if (c->count + 2 > PIECES_MAX)
                        return add_piece(c, query, 0) < 0 ? -EINVAL : add_piece(c, query, 0);
                rest = c->pieces[i];
                rest.text = (struct span){ hash, (size_t)(rest.text.ptr + rest.text.len - hash) };
                c->pieces[i].text.len -= rest.text.len;
                memmove(&c->pieces[i + 3], &c->pieces[i + 1], (c->count - i - 1) * sizeof(*c->pieces));
                c->pieces[i + 1] = query;
                c->pieces[i + 2] = rest;
                c->count += 2;
                return 0;
        }
        return add_piece(c, query, c->text.len);
}

static int
spots_of_url(struct compiler *c, bool *ret_local, bool *ret_query)
{
        uint32_t first;
        size_t start = authority_start(c, &first);
        enum vars_spot spot = start > 0 ? SPOT_AUTHORITY : SPOT_PATH;
        bool uri = false;
        int e = 0;

        *ret_local = start == 0;
        *ret_query = false;
        if (c->place == VARS_PATH && !is_literal(c, 0, "/") && (c->count == 0 || (c->pieces[0].kind != VAR_PATH && c->pieces[0].kind != VAR_URI)))
                return refuse(c, 0, c->text.len, "such as /new/{name}", "a rewrite wants a path");
        if (c->place == VARS_PATH && memchr(c->text.ptr, '#', c->text.len) != NULL)
                return refuse(c, 0, c->text.len, "write %23 for the character", "a path on the server has no fragment");
        if (start == 0 && (e = check_scheme(c)) < 0)
                return e;
        for (uint32_t i = first; i < c->count && e == 0; i++) {
                struct vars_piece *p = &c->pieces[i];

                if (p->kind == VAR_LITERAL) {
                        struct span rest = i == first && start > 0 ? (struct span){ p->text.ptr + start, p->text.len - start } : p->text;

                        *ret_query |= memchr(rest.ptr, '?', rest.len) != NULL;
                        spot = spot_after(spot, rest);
                        continue;
                }
                if (spot == SPOT_AUTHORITY && (p->kind == VAR_PATH || p->kind == VAR_URI))
                        spot = SPOT_PATH; /* both begin with a slash */
                uri |= p->kind == VAR_URI;
                p->spot = spot;
                if (spot == SPOT_AUTHORITY)
                        e = check_authority(c, i);
        }
        *ret_query |= uri;
        return e < 0 || *ret_query || c->place != VARS_URL ? e : add_query(c);
}

/* ---- spots elsewhere ---------------------------------------------------------------------------------------------------------------- */

/* Link: <...> holds a URL; "..." a quoted string. */
static void
spots_of_header(struct compiler *c)
{
        bool quoted = false, angle = false;

        for (uint32_t i = 0; i < c->count; i++) {
                struct vars_piece *p = &c->pieces[i];

                for (size_t k = 0; p->kind == VAR_LITERAL && k < p->text.len; k++) {
                        char ch = p->text.ptr[k];

                        if (quoted && ch == '\\')
                                k++;
                        else if (ch == '"')
                                quoted = !quoted;
                        else if (!quoted && (ch == '<' || ch == '>'))
                                angle = ch == '<';
                }
                p->spot = c->count == 1 ? SPOT_ALONE : quoted ? SPOT_QUOTED : angle ? SPOT_QUERY : SPOT_PART;
        }
}

static int
spots(struct compiler *c)
{
        struct vars_body body = { c->pieces, c->at, c->count, c->text.len };

        if (c->place == VARS_MARKUP || c->place == VARS_JSON)
                return vars_body_spots(&body, c->place, c->err);
        if (c->place == VARS_HEADER)
                spots_of_header(c);
        else
                for (uint32_t i = 0; i < c->count; i++)
                        c->pieces[i].spot = c->place == VARS_COOKIE ? SPOT_COOKIE : SPOT_TEXT;
        return 0;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------------------ */

int
vars_compile(struct arena *a, struct span text, enum vars_place place, const struct vars_names *names, const struct vars **ret, struct vars_error *reterr_)
{
        struct compiler c = { .a = a, .text = text, .place = place, .names = names, .err = reterr_ };
        bool local = false, has_query = false;
        struct vars *v;
        int e;

        if ((c.literal = arena_alloc(a, text.len + 1)) == NULL)
                return -ENOMEM;
        e = read_pieces(&c);
        if (e == 0 && is_url(&c))
                e = spots_of_url(&c, &local, &has_query);
        else if (e == 0)
                e = spots(&c);
        if (e < 0)
                return e;
        v = arena_alloc(a, sizeof(*v) + c.count * sizeof(*v->pieces));
        if (v == NULL)
                return -ENOMEM;
        *v = (struct vars){ .place = place, .local = local, .has_query = has_query, .count = c.count };
        memcpy(v->pieces, c.pieces, c.count * sizeof(*v->pieces));
        *ret = v;
        return 0;
}

bool
vars_is_constant(const struct vars *v, struct span *ret)
{
        if (v->count > 1 || (v->count == 1 && v->pieces[0].kind != VAR_LITERAL))
                return false;
        *ret = v->count == 1 ? v->pieces[0].text : SPAN_LIT("");
        return true;
}

bool
vars_has_query(const struct vars *v)
{
        return v->has_query;
}

static bool
ends_with(const char *s, size_t len, const char *tail)
{
        size_t n = strlen(tail);

        return len >= n && strncasecmp(s + len - n, tail, n) == 0;
}

enum vars_place
vars_place_of_type(const char *type)
{
        static const char *const script[] = { "json", "javascript", "ecmascript", "jsonl", "ndjson", "jsonp" };
        size_t len = type != NULL ? strcspn(type, "; \t") : 0;

        for (size_t i = 0; i < sizeof(script) / sizeof(*script); i++)
                if (ends_with(type, len, script[i]))
                        return VARS_JSON;
        /* without a type browsers guess, and they like to guess HTML */
        return len == 0 || ends_with(type, len, "html") || ends_with(type, len, "xml") ? VARS_MARKUP : VARS_TEXT;
}
