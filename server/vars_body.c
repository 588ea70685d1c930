/* vars_body.c - the spots of variables in bodies: markup, JSON, scripts.
 * SPDX-License-Identifier: MIT
 * From: vars.c.   To: vars_expand.c, by the spot of each piece.   Runs in: whoever builds a generation; no globals but constants.
 * Escaping makes a value safe in the text of a page, in a quoted attribute, behind the beginning of a link, and in a string. Where it would not - in a script, in an attribute that is
 * one, at the beginning of a link, outside of strings - a variable is refused. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "vars_priv.h"

__attribute__((format(printf, 5, 6))) static int
refuse(const struct vars_body *b, uint32_t i, const char *hint, struct vars_error *err, const char *fmt, ...)
{
        va_list ap;

        err->at = b->at[i];
        err->len = (i + 1 < b->count ? b->at[i + 1] : b->text_len) - b->at[i];
        snprintf(err->hint, sizeof(err->hint), "%s", hint);
        va_start(ap, fmt);
        vsnprintf(err->text, sizeof(err->text), fmt, ap);
        va_end(ap);
        return -EINVAL;
}

/* ---- strings of JSON and JavaScript ------------------------------------------------------------------------------------------------ */

static int
spots_of_json(const struct vars_body *b, struct vars_error *err)
{
        char quote = '\0';

        for (uint32_t i = 0; i < b->count; i++) {
                struct vars_piece *p = &b->pieces[i];

                for (size_t k = 0; p->kind == VAR_LITERAL && k < p->text.len; k++) {
                        char c = p->text.ptr[k];

                        if (quote != '\0' && c == '\\')
                                k++;
                        else if (quote != '\0' ? c == quote : c == '"' || c == '\'' || c == '`')
                                quote = quote != '\0' ? '\0' : c;
                }
                p->spot = SPOT_JSON;
                if (quote == '\0' && p->kind != VAR_LITERAL && p->kind != VAR_EMPTY && p->kind != VAR_PORT && p->kind != VAR_STATUS && p->kind != VAR_REQUEST_ID && !p->number)
                        return refuse(b, i, "put quotes around it", err, "outside of a string only numbers are safe: {$port}, {$status}, {$request_id} and parameters of type int");
        }
        return 0;
}

/* ---- markup ------------------------------------------------------------------------------------------------------------------------ */

enum where { IN_TEXT, IN_OPEN /* behind '<' */, IN_TAG_NAME, IN_TAG, IN_NAME, BEHIND_NAME, IN_VALUE, IN_BARE, IN_DECLARATION, IN_COMMENT, IN_RAW };

struct reader {
        enum where where;
        char quote;
        char tag[16], name[16];      /* in lower case, cut */
        size_t tag_len, name_len;
        char value[64];              /* how the attribute's value begins; a variable is a \1 in it */
        size_t value_len;
        char last[12];               /* the bytes before this one, in lower case, for --> and </script */
};

static char
lower(char c)
{
        return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static void
gather(char *out, size_t *len, size_t room, char c)
{
        if (*len + 1 < room)
                out[(*len)++] = lower(c);
        out[*len] = '\0';
}

static bool
is_blank(char c)
{
        return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static bool
just_came(const struct reader *r, const char *what)
{
        size_t len = strlen(what);

        return memcmp(r->last + sizeof(r->last) - len, what, len) == 0;
}

/* '>' ends a tag: what follows a <script> or <style> is no markup until its end. */
static void
end_tag(struct reader *r)
{
        r->where = strcmp(r->tag, "script") == 0 || strcmp(r->tag, "style") == 0 ? IN_RAW : IN_TEXT;
}

static void
begin_name(struct reader *r, char c)
{
        r->where = IN_NAME;
        r->name_len = r->value_len = 0;
        gather(r->name, &r->name_len, sizeof(r->name), c);
}

static void
step_in_tag(struct reader *r, char c)
{
        if (c == '>')
                end_tag(r);
        else if (r->where == IN_TAG_NAME && !is_blank(c) && c != '/')
                gather(r->tag, &r->tag_len, sizeof(r->tag), c);
        else if (is_blank(c) || c == '/')
                r->where = r->where == IN_NAME || r->where == BEHIND_NAME ? BEHIND_NAME : IN_TAG;
        else if (c == '=' && r->where != IN_TAG)
                r->where = IN_BARE;
        else if (r->where == IN_NAME)
                gather(r->name, &r->name_len, sizeof(r->name), c);
        else
                begin_name(r, c);
}

static void
step_in_bare(struct reader *r, char c)
{
        if ((c == '"' || c == '\'') && r->value_len == 0) {
                r->where = IN_VALUE;
                r->quote = c;
        } else if (c == '>') {
                end_tag(r);
        } else if (!is_blank(c)) {
                gather(r->value, &r->value_len, sizeof(r->value), c);
        } else if (r->value_len > 0) {
                r->where = IN_TAG;
        }
}

static void
step(struct reader *r, char c)
{
        memmove(r->last, r->last + 1, sizeof(r->last) - 1);
        r->last[sizeof(r->last) - 1] = lower(c);
        switch (r->where) {
        case IN_TEXT:
                r->where = c == '<' ? IN_OPEN : IN_TEXT;
                break;
        case IN_OPEN:
                r->tag_len = 0;
                r->where = c == '!' || c == '?' ? IN_DECLARATION : c == '/' || (lower(c) >= 'a' && lower(c) <= 'z') ? IN_TAG_NAME : IN_TEXT;
                gather(r->tag, &r->tag_len, sizeof(r->tag), c);
                break;
        case IN_DECLARATION:
                r->where = c == '>' ? IN_TEXT : just_came(r, "<!--") || just_came(r, "<![cdata[") ? IN_COMMENT : IN_DECLARATION;
                break;
        case IN_COMMENT:
                r->where = just_came(r, "-->") || just_came(r, "]]>") ? IN_TEXT : IN_COMMENT;
                break;
        case IN_RAW:
                if (just_came(r, "</script") || just_came(r, "</style"))
                        r->where = IN_TAG, r->tag[0] = '\0';
                break;
        case IN_VALUE:
                if (c == r->quote)
                        r->where = IN_TAG;
                else
                        gather(r->value, &r->value_len, sizeof(r->value), c);
                break;
        case IN_BARE:
                step_in_bare(r, c);
                break;
        case IN_TAG_NAME:
        case IN_TAG:
        case IN_NAME:
        case BEHIND_NAME:
                step_in_tag(r, c);
                break;
        }
}

static bool
is_link(const char *name)
{
        static const char *const links[] = { "href", "src", "action", "formaction", "data", "poster", "cite", "background", "xlink:href", "srcset", "ping", "manifest", "content" };

        for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++)
                if (strcmp(name, links[i]) == 0)
                        return true;
        return false;
}

/* Behind https:// and before its first slash: what stands here says whose page it is. */
static bool
in_host(const struct reader *r)
{
        const char *slashes = strstr(r->value, "//");

        return slashes != NULL && slashes[2 + strcspn(slashes + 2, "/?#")] == '\0';
}

/* A variable in a quoted attribute. */
static int
spot_in_value(const struct vars_body *b, uint32_t i, struct reader *r, struct vars_error *err)
{
        struct vars_piece *p = &b->pieces[i];
        bool rooted = p->kind == VAR_PATH || p->kind == VAR_URI; /* both begin with a slash */

        if (strncmp(r->name, "on", 2) == 0 || strcmp(r->name, "style") == 0 || strcmp(r->name, "srcdoc") == 0)
                return refuse(b, i, "put it into an attribute such as data-value, and read it there", err, "the attribute \"%s\" is a program, and a variable could change it", r->name);
        p->spot = SPOT_MARKUP;
        if (!is_link(r->name) || (strcmp(r->name, "content") == 0 && strstr(r->value, "://") == NULL && strstr(r->value, "url=") == NULL))
                return 0;
        p->spot = SPOT_LINK;
        if (p->kind == VAR_SCHEME && r->value_len == 0)
                return 0;
        if (r->value_len == 0 || strcmp(r->value + r->value_len - (r->value_len < 4 ? r->value_len : 4), "url=") == 0)
                return refuse(b, i, "such as /search?q={name}", err, "a link cannot begin with a variable: it could be a program");
        if (in_host(r) && p->kind != VAR_HOST && p->kind != VAR_PORT && !rooted)
                return refuse(b, i, "only {$host} and {$port} can", err, "a variable cannot be part of a link's host");
        return 0;
}

static int
spots_of_markup(const struct vars_body *b, struct vars_error *err)
{
        struct reader r = { .where = IN_TEXT };
        int e = 0;

        for (uint32_t i = 0; i < b->count && e == 0; i++) {
                struct vars_piece *p = &b->pieces[i];

                for (size_t k = 0; p->kind == VAR_LITERAL && k < p->text.len; k++)
                        step(&r, p->text.ptr[k]);
                p->spot = SPOT_MARKUP;
                if (p->kind == VAR_LITERAL)
                        continue;
                if (r.where == IN_RAW)
                        e = refuse(b, i, "put it into an attribute such as data-value, and read it there", err, "a variable cannot stand in a %s", r.tag);
                else if (r.where == IN_VALUE)
                        e = spot_in_value(b, i, &r, err);
                else if (r.where != IN_TEXT && r.where != IN_COMMENT)
                        e = refuse(b, i, "put quotes around it", err, "a variable in a tag can only be the value of an attribute, in quotes");
                gather(r.value, &r.value_len, sizeof(r.value), p->kind == VAR_PATH || p->kind == VAR_URI ? '/' : '\1');
        }
        return e;
}

int
vars_body_spots(const struct vars_body *b, enum vars_place place, struct vars_error *reterr_)
{
        return place == VARS_MARKUP ? spots_of_markup(b, reterr_) : spots_of_json(b, reterr_);
}
