/* vars_expand.c - a compiled text becomes bytes for one request. Contract in vars.h.
 * SPDX-License-Identifier: MIT
 * From: dispatch.c, header_edits.c.   To: the caller's buffer.   Runs in: the owning loop. No allocation; at most `room` bytes.
 * Every byte that a client had a say in goes through put_value, which knows the spot it lands on. */
#include "vars_priv.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "../router/utf8.h"
#include "conn.h"
#include "facts.h"

struct sink {
        char *out;
        size_t n, room;
        bool full;
        bool local;    /* a URL without a host: no "//" at its beginning */
        bool link;     /* what was put last is a value within a link of a page */
        bool bad;      /* a value cannot stand where it was to */
        bool settled;  /* past the first '/' or '?': a ':' makes no scheme any more */
};

static const char HEX[] = "0123456789ABCDEF";

static void
put(struct sink *k, const char *p, size_t len)
{
        if (len > k->room - k->n) {
                k->full = true;
                return;
        }
        if (len > 0)
                memcpy(k->out + k->n, p, len);
        k->n += len;
}

static void
put_char(struct sink *k, char c)
{
        if (k->n == k->room)
                k->full = true;
        else
                k->out[k->n++] = c;
}

static void
put_escaped(struct sink *k, unsigned char c)
{
        const char text[3] = { '%', HEX[c >> 4], HEX[c & 15] };

        put(k, text, 3);
}

/* ---- bytes of each spot -------------------------------------------------------------------------------------------------------- */

static bool
is_unreserved(unsigned char c)
{
        return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' || c == '.' || c == '_' || c == '~';
}

static bool
is_hex(char c)
{
        return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

static bool
is_one_of(unsigned char c, const char *set)
{
        return c != '\0' && strchr(set, c) != NULL;
}

/* How the bytes of a value were written where it comes from. */
enum form {
        FORM_TEXT,  /* any bytes, nothing in it is an escape */
        FORM_PATH,  /* router_decode's: "%2F" is an escape that was kept, '/' is a slash */
        FORM_RAW,   /* of a URL as it was sent: all of it is escaped already */
};

static bool
starts_escape(struct span v, size_t i)
{
        return v.ptr[i] == '%' && i + 2 < v.len && is_hex(v.ptr[i + 1]) && is_hex(v.ptr[i + 2]);
}

/* A slash that would make "//host" of the beginning of a URL that names no host. */
static bool
opens_host(const struct sink *k)
{
        return k->local && k->n == 1 && k->out[0] == '/';
}

/* The same of a link in a page: all of it so far is "/". What it began with stands before: a quote, or the "=" of "url=". */
static bool
opens_host_of_link(const struct sink *k)
{
        size_t n = k->n;

        if (n < 2 || k->out[--n] != '/')
                return false;
        while (n > 0 && is_one_of((unsigned char)k->out[n - 1], " \t\r\n\f"))
                n--;
        return n > 0 && is_one_of((unsigned char)k->out[n - 1], "\"'=,");
}

/* RFC 3986, 3.3: pchar, and '/' where it is one. */
static void
put_path(struct sink *k, struct span v, enum form form)
{
        bool query = false;

        for (size_t i = 0; i < v.len; i++) {
                unsigned char c = (unsigned char)v.ptr[i];
                bool plain = is_unreserved(c) || is_one_of(c, "!$&'()*+,;=@");

                if (c == '%')
                        plain = form != FORM_TEXT && starts_escape(v, i);
                else if (c == '/')
                        plain = query || (form != FORM_TEXT && !opens_host(k));
                else if (c == ':')
                        plain = query || !k->local || k->settled;
                else if (c == '?')
                        query = plain = form == FORM_RAW;
                if (plain)
                        put_char(k, (char)c);
                else
                        put_escaped(k, c);
                k->settled |= plain && (c == '/' || c == '?');
        }
}

static void
put_query(struct sink *k, struct span v, enum form form)
{
        for (size_t i = 0; i < v.len; i++) {
                unsigned char c = (unsigned char)v.ptr[i];
                bool plain = is_unreserved(c) || (form == FORM_PATH && c == '/') || (form == FORM_RAW && is_one_of(c, "!$&'()*+,;=:@/?[]"));

                if (c == '%')
                        plain = form != FORM_TEXT && starts_escape(v, i);
                if (plain)
                        put_char(k, (char)c);
                else
                        put_escaped(k, c);
        }
}

/* A label of a host name, or several. */
static void
put_authority(struct sink *k, struct span v)
{
        k->bad |= v.len == 0;
        for (size_t i = 0; i < v.len; i++) {
                if (!is_unreserved((unsigned char)v.ptr[i]) || v.ptr[i] == '~')
                        k->bad = true;
                else
                        put_char(k, v.ptr[i]);
        }
}

static void
put_header(struct sink *k, struct span v, const char *escaped, bool backslash)
{
        for (size_t i = 0; i < v.len; i++) {
                unsigned char c = (unsigned char)v.ptr[i];

                if (c < 0x20 || c == 0x7f || is_one_of(c, escaped)) {
                        put_escaped(k, c);
                } else {
                        if (backslash && (c == '"' || c == '\\'))
                                put_char(k, '\\');
                        put_char(k, (char)c);
                }
        }
}

/* RFC 6265, 4.1.1: cookie-octet; '%' too, so that what was escaped can be told from what was not. */
static void
put_cookie(struct sink *k, struct span v)
{
        for (size_t i = 0; i < v.len; i++) {
                unsigned char c = (unsigned char)v.ptr[i];

                if (c <= 0x20 || c >= 0x7f || is_one_of(c, "\",;\\%"))
                        put_escaped(k, c);
                else
                        put_char(k, (char)c);
        }
}

/* A URL within a quoted attribute: nothing that either of them knows, but what a path or a query is built of. */
static void
put_link(struct sink *k, struct span v, enum form form)
{
        for (size_t i = 0; i < v.len; i++) {
                unsigned char c = (unsigned char)v.ptr[i];

                if (c == '/' && i == 0 && opens_host_of_link(k))
                        put_escaped(k, c);
                else if (c == '&' && form == FORM_RAW)
                        put(k, "&amp;", 5);
                else if (is_unreserved(c) || (c == '/' && form != FORM_TEXT) || (form == FORM_RAW && is_one_of(c, "?=+;")) || (c == '%' && form != FORM_TEXT && starts_escape(v, i)))
                        put_char(k, (char)c);
                else
                        put_escaped(k, c);
        }
}

static const char *
markup_of(char c)
{
        switch (c) {
        case '&':
                return "&amp;";
        case '<':
                return "&lt;";
        case '>':
                return "&gt;";
        case '"':
                return "&quot;";
        case '\'':
                return "&#39;";
        default:
                return NULL;
        }
}

/* Markup and JSON are UTF-8: what is none becomes U+FFFD, as do controls that neither can hold. */
static void
put_markup(struct sink *k, struct span v)
{
        uint32_t code;

        for (size_t i = 0; i < v.len;) {
                unsigned n = utf8_decode(v.ptr + i, v.len - i, &code);
                const char *entity = markup_of(v.ptr[i]);

                if (entity != NULL)
                        put(k, entity, strlen(entity));
                else if (n == 0 || (code < 0x20 && code != '\t' && code != '\n' && code != '\r') || (code >= 0x7f && code < 0xa0))
                        put(k, "\xef\xbf\xbd", 3);
                else
                        put(k, v.ptr + i, n);
                i += n > 0 ? n : 1;
        }
}

/* Within a string; also where the JSON or the script stands in a page: no "</script>", no U+2028. */
static void
put_json(struct sink *k, struct span v)
{
        uint32_t code;

        for (size_t i = 0; i < v.len;) {
                unsigned n = utf8_decode(v.ptr + i, v.len - i, &code);

                if (n == 0) {
                        put(k, "\xef\xbf\xbd", 3);
                } else if (code < 0x20 || code == 0x7f || code == 0x2028 || code == 0x2029 || (code < 0x7f && is_one_of((unsigned char)code, "\"\\<>&'`"))) {
                        char text[8];

                        put(k, text, (size_t)snprintf(text, sizeof(text), "\\u%04x", (unsigned)code & 0xffff));
                } else {
                        put(k, v.ptr + i, n);
                }
                i += n > 0 ? n : 1;
        }
}

static void
put_value(struct sink *k, enum vars_spot spot, struct span v, enum form form)
{
        switch (spot) {
        case SPOT_AUTHORITY:
                put_authority(k, v);
                break;
        case SPOT_PATH:
                put_path(k, v, form);
                break;
        case SPOT_QUERY:
                put_query(k, v, form);
                break;
        case SPOT_ALONE:
                put_header(k, v, "", false);
                break;
        case SPOT_PART:
                put_header(k, v, "\",;<>\\", false);
                break;
        case SPOT_QUOTED:
                put_header(k, v, "", true);
                break;
        case SPOT_COOKIE:
                put_cookie(k, v);
                break;
        case SPOT_TEXT:
                put(k, v.ptr, v.len);
                break;
        case SPOT_LINK:
                put_link(k, v, form);
                break;
        case SPOT_MARKUP:
                put_markup(k, v);
                break;
        case SPOT_JSON:
                put_json(k, v);
                break;
        }
}

/* The text of the file itself. Values that stand before it may be empty, so that here too a "//" may come about that nobody wrote. */
static void
put_literal(struct sink *k, struct span s)
{
        size_t i = 0;

        if (k->link && s.len > 0 && s.ptr[0] == '/' && opens_host_of_link(k))
                put_escaped(k, (unsigned char)s.ptr[i++]);
        k->link = false;
        for (; i < s.len && k->local && k->n < 2 && !k->full; i++)
                if (s.ptr[i] == '/' && opens_host(k))
                        put_escaped(k, '/');
                else
                        put_char(k, s.ptr[i]);
        put(k, s.ptr + i, s.len - i);
        k->settled |= memchr(s.ptr, '/', s.len) != NULL || memchr(s.ptr, '?', s.len) != NULL;
}

/* ---- values ---------------------------------------------------------------------------------------------------------------------- */

static struct span
param(const struct vars_source *s, const struct vars_piece *p)
{
        const struct router_match *m = s->match;

        if (m == NULL)
                return SPAN_LIT("");
        if (p->index < m->param_count && span_is(m->params[p->index].name, p->text))
                return m->params[p->index].value;
        for (uint32_t i = 0; i < m->param_count; i++) /* of another pattern with the same names */
                if (span_is(m->params[i].name, p->text))
                        return m->params[i].value;
        return SPAN_LIT("");
}

static struct span
client(const struct vars_source *s, char *room, size_t room_len)
{
        static const struct in6_addr none;

        if (memcmp(&s->client, &none, sizeof(none)) == 0)
                return s->client_hidden ? SPAN_LIT("unknown") : SPAN_LIT("unix:");
        address_text(&s->client, room, room_len);
        return span_of(room);
}

/* A span that lives until the next question; room: for what must be made. */
static struct span
value_of(const struct vars_source *s, const struct vars_piece *p, struct facts *facts, char *room, size_t room_len)
{
        switch (p->kind) {
        case VAR_PARAM:
                return param(s, p);
        case VAR_HOST:
                return s->host;
        case VAR_PATH:
                return s->path;
        case VAR_QUERY:
                return s->query;
        case VAR_URI:
                return s->target;
        case VAR_METHOD:
                return s->method;
        case VAR_SCHEME:
                return s->https ? SPAN_LIT("https") : SPAN_LIT("http");
        case VAR_CLIENT:
                return client(s, room, room_len);
        case VAR_USER:
                return s->user.len > 0 ? s->user : SPAN_LIT("");
        case VAR_PORT:
                return (struct span){ room, (size_t)snprintf(room, room_len, "%u", (unsigned)s->port) };
        case VAR_REQUEST_ID:
                return (struct span){ room, (size_t)snprintf(room, room_len, "%llu", (unsigned long long)s->request_id) };
        case VAR_STATUS:
                return (struct span){ room, s->status != 0 ? (size_t)snprintf(room, room_len, "%u", s->status) : 0 };
        case VAR_QUERY_FIELD:
                return facts_query(s->query, p->text, facts->value, sizeof(facts->value));
        case VAR_HEADER_FIELD:
        case VAR_COOKIE:
                if (s->head == NULL)
                        return SPAN_LIT("");
                facts_init(facts, s->head, s->bytes);
                return p->kind == VAR_COOKIE ? facts->ask.cookie(facts, p->text) : facts->ask.header(facts, p->text);
        case VAR_LITERAL:
        case VAR_EMPTY:
        case VAR_ADD_QUERY:
                break;
        }
        return SPAN_LIT("");
}

static enum form
form_of(enum vars_kind kind)
{
        return kind == VAR_PARAM || kind == VAR_PATH ? FORM_PATH : kind == VAR_QUERY || kind == VAR_URI ? FORM_RAW : FORM_TEXT;
}

static void
put_piece(struct sink *k, const struct vars_source *s, const struct vars_piece *p)
{
        struct facts facts; /* its room is not cleared */
        char room[64];
        struct span v;

        if (p->kind == VAR_LITERAL) {
                put_literal(k, p->text);
                return;
        }
        if (p->kind == VAR_ADD_QUERY) {
                if (s->query.len == 0)
                        return;
                put_char(k, '?');
                put_query(k, s->query, FORM_RAW);
                return;
        }
        k->link = p->spot == SPOT_LINK;
        v = value_of(s, p, &facts, room, sizeof(room));
        if ((p->spot == SPOT_AUTHORITY || p->spot == SPOT_LINK) && p->kind == VAR_HOST) { /* http1.c let nothing in that could not stand here */
                k->bad |= v.len == 0 && p->spot == SPOT_AUTHORITY;
                put(k, v.ptr, v.len);
                return;
        }
        if (v.len > 0 || p->spot == SPOT_AUTHORITY)
                put_value(k, p->spot, v, form_of(p->kind));
}

/* After a rewrite the path is decoded again: "." and ".." out of a client's values would lead elsewhere. */
static bool
has_dots(struct span path)
{
        for (size_t i = 0; i < path.len && path.ptr[i] != '?'; i++) {
                size_t n = 0;

                if (path.ptr[i] != '/')
                        continue;
                while (i + 1 + n < path.len && path.ptr[i + 1 + n] == '.')
                        n++;
                if ((n == 1 || n == 2) && (i + 1 + n == path.len || path.ptr[i + 1 + n] == '/' || path.ptr[i + 1 + n] == '?'))
                        return true;
        }
        return false;
}

long
vars_expand(const struct vars *v, const struct vars_source *s, char *out, size_t room)
{
        struct sink k = { .out = out, .room = room, .local = v->local && v->place != VARS_PATH };

        for (uint32_t i = 0; i < v->count && !k.full; i++)
                put_piece(&k, s, &v->pieces[i]);
        if (k.full)
                return -ENOSPC;
        if (k.bad || (v->place == VARS_PATH && (k.n == 0 || out[0] != '/' || has_dots((struct span){ out, k.n }))))
                return -EINVAL;
        return (long)k.n;
}
