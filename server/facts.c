/* facts.c - what a route's `when:` may ask of a request head.
 * SPDX-License-Identifier: MIT
 * From: router_match, by way of struct router_facts, only when a candidate has such conditions.   To: the head that http1.c parsed.
 * Runs in: the owning loop. No allocation: a decoded value lies in the caller's struct until the next question.
 * Of several fields, parameters or cookies with one name the first counts. */
#include "facts.h"

#include <strings.h>

static struct span
none(void)
{
        return (struct span){ NULL, 0 };
}

/* ---- headers ------------------------------------------------------------------------------------------------------------------- */

static struct span
field_value(const struct facts *f, const struct http_field *field)
{
        return (struct span){ f->bytes + field->value_off, field->value_len };
}

static bool
field_is(const struct facts *f, const struct http_field *field, struct span name)
{
        return field->name_len == name.len && strncasecmp(f->bytes + field->name_off, name.ptr, name.len) == 0;
}

static struct span
ask_header(void *ctx, struct span name)
{
        const struct facts *f = ctx;

        for (uint32_t i = 0; i < f->head->field_count; i++)
                if (field_is(f, &f->head->fields[i], name))
                        return field_value(f, &f->head->fields[i]);
        return none();
}

/* ---- the query ------------------------------------------------------------------------------------------------------------------- */

static int
hex_of(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c = (char)(c | 0x20);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The next byte of form-encoded text; *i moves behind it. */
static char
next_byte(struct span s, size_t *i)
{
        char c = s.ptr[*i];

        if (c == '%' && *i + 2 < s.len && hex_of(s.ptr[*i + 1]) >= 0 && hex_of(s.ptr[*i + 2]) >= 0) {
                c = (char)(hex_of(s.ptr[*i + 1]) << 4 | hex_of(s.ptr[*i + 2]));
                *i += 3;
                return c;
        }
        ++*i;
        return c == '+' ? ' ' : c;
}

static bool
decodes_to(struct span raw, struct span text)
{
        size_t n = 0;

        for (size_t i = 0; i < raw.len; n++)
                if (n == text.len || next_byte(raw, &i) != text.ptr[n])
                        return false;
        return n == text.len;
}

struct span
facts_query(struct span raw, struct span name, char *room, size_t room_len)
{
        for (size_t at = 0; at < raw.len; at++) {
                const char *start = raw.ptr + at, *end = memchr(start, '&', raw.len - at), *equals;
                struct span value;
                size_t len, n = 0;

                if (end == NULL)
                        end = raw.ptr + raw.len;
                len = (size_t)(end - start);
                at += len;
                if (len == 0)
                        continue;
                equals = memchr(start, '=', len);
                if (!decodes_to((struct span){ start, equals != NULL ? (size_t)(equals - start) : len }, name))
                        continue;
                value = equals != NULL ? (struct span){ equals + 1, (size_t)(end - equals) - 1 } : (struct span){ end, 0 };
                for (size_t i = 0; i < value.len && n < room_len;)
                        room[n++] = next_byte(value, &i);
                return (struct span){ room, n };
        }
        return none();
}

static struct span
ask_query(void *ctx, struct span name)
{
        struct facts *f = ctx;

        return facts_query(f->query, name, f->value, sizeof(f->value));
}

/* ---- cookies ---------------------------------------------------------------------------------------------------------------------- */

static struct span
trimmed(const char *start, const char *end)
{
        while (start < end && (*start == ' ' || *start == '\t'))
                start++;
        while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
                end--;
        return (struct span){ start, (size_t)(end - start) };
}

struct span
facts_cookie(struct span field, struct span name)
{
        const char *at = field.ptr, *stop = field.ptr + field.len;

        while (at < stop) {
                const char *end = memchr(at, ';', (size_t)(stop - at)), *equals;

                if (end == NULL)
                        end = stop;
                equals = memchr(at, '=', (size_t)(end - at));
                if (equals != NULL && span_is(trimmed(at, equals), name)) {
                        struct span value = trimmed(equals + 1, end);

                        if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"') /* RFC 6265, 4.1.1 */
                                value = (struct span){ value.ptr + 1, value.len - 2 };
                        return value;
                }
                at = end + 1;
        }
        return none();
}

static struct span
ask_cookie(void *ctx, struct span name)
{
        const struct facts *f = ctx;

        for (uint32_t i = 0; i < f->head->field_count; i++) {
                struct span found;

                if (!field_is(f, &f->head->fields[i], SPAN_LIT("cookie")))
                        continue;
                found = facts_cookie(field_value(f, &f->head->fields[i]), name);
                if (found.ptr != NULL)
                        return found;
        }
        return none();
}

void
facts_init(struct facts *f, const struct http_head *head, const char *bytes)
{
        f->ask = (struct router_facts){ ask_header, ask_query, ask_cookie, f };
        f->head = head;
        f->bytes = bytes;
        f->query = (struct span){ bytes + head->query_off, head->query_len };
}
