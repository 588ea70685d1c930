/* json.c - a writer and a small strict reader of JSON.
 * SPDX-License-Identifier: MIT
 * From: ctl.c, pool_seats.c, status.c, heartctl.c. No I/O but the caller's stream, no globals, any thread.
 * Limits: depth 16; numbers as doubles; strings must be UTF-8 (raw bytes are checked, lone surrogates refused). */
#include "json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 16

/* ---- writing ---------------------------------------------------------------------------------------------------------- */
/* Length of the well-formed UTF-8 sequence at s, 0 when there is none (RFC 3629: no overlong form, no surrogate). */
static size_t
utf8_len(const unsigned char *s, size_t room)
{
        size_t len = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : 0;
        if (len == 0 || len > room)
                return 0;
        for (size_t i = 1; i < len; i++)
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
        if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
                return 0;
        return len;
}

static void
before_value(struct json *j)
{
        if (j->comma)
                fputc(',', j->out);
        j->comma = true;
}

void
json_begin(struct json *j, char bracket)
{
        before_value(j);
        fputc(bracket, j->out);
        j->comma = false;
}

void
json_end(struct json *j, char bracket)
{
        fputc(bracket, j->out);
        j->comma = true;
}

static void
write_quoted(FILE *out, const char *text, size_t len)
{
        const unsigned char *s = (const unsigned char *)text;

        fputc('"', out);
        for (size_t i = 0; i < len;) {
                size_t n = utf8_len(s + i, len - i);

                if (n == 0) {
                        fputs("\\ufffd", out);
                        n = 1;
                } else if (s[i] == '"' || s[i] == '\\') {
                        fputc('\\', out);
                        fputc(s[i], out);
                } else if (s[i] == '\n') {
                        fputs("\\n", out);
                } else if (s[i] < 0x20 || s[i] == 0x7f) {
                        fprintf(out, "\\u%04x", s[i]);
                } else {
                        fwrite(s + i, 1, n, out);
                }
                i += n;
        }
        fputc('"', out);
}

void
json_key(struct json *j, const char *key)
{
        before_value(j);
        write_quoted(j->out, key, strlen(key));
        fputc(':', j->out);
        j->comma = false;
}

void
json_strn(struct json *j, const char *s, size_t len)
{
        before_value(j);
        write_quoted(j->out, s, len);
}

void
json_str(struct json *j, const char *s)
{
        if (s)
                json_strn(j, s, strlen(s));
        else
                json_raw(j, NULL);
}

void
json_uint(struct json *j, uint64_t n)
{
        before_value(j);
        fprintf(j->out, "%llu", (unsigned long long)n);
}

void
json_bool(struct json *j, bool b)
{
        json_raw(j, b ? "true" : "false");
}

void
json_raw(struct json *j, const char *text)
{
        before_value(j);
        fputs(text ? text : "null", j->out);
}

/* ---- reading ---------------------------------------------------------------------------------------------------------- */
struct reader {
        const char *at, *end;
        struct arena *arena;
};

static int read_value(struct reader *r, unsigned depth, struct json_value **ret);

static void
skip_space(struct reader *r)
{
        while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
                r->at++;
}

static bool
take(struct reader *r, char c)
{
        skip_space(r);
        if (r->at == r->end || *r->at != c)
                return false;
        r->at++;
        return true;
}

static int
read_hex4(struct reader *r, uint32_t *ret)
{
        uint32_t n = 0;

        if (r->end - r->at < 4)
                return -EINVAL;
        for (int i = 0; i < 4; i++) {
                char c = *r->at++;
                uint32_t digit = c >= '0' && c <= '9' ? (uint32_t)(c - '0') : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10) :
                                 c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10) : 16;
                if (digit == 16)
                        return -EINVAL;
                n = n << 4 | digit;
        }
        *ret = n;
        return 0;
}

static char *
put_utf8(char *out, uint32_t c)
{
        if (c < 0x80) {
                *out++ = (char)c;
        } else if (c < 0x800) {
                *out++ = (char)(0xc0 | c >> 6);
                *out++ = (char)(0x80 | (c & 0x3f));
        } else if (c < 0x10000) {
                *out++ = (char)(0xe0 | c >> 12);
                *out++ = (char)(0x80 | (c >> 6 & 0x3f));
                *out++ = (char)(0x80 | (c & 0x3f));
        } else {
                *out++ = (char)(0xf0 | c >> 18);
                *out++ = (char)(0x80 | (c >> 12 & 0x3f));
                *out++ = (char)(0x80 | (c >> 6 & 0x3f));
                *out++ = (char)(0x80 | (c & 0x3f));
        }
        return out;
}

/* Behind a backslash. An escape is never shorter than what it stands for, so `out` cannot overtake r->at. */
static int
read_escape(struct reader *r, char **out)
{
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        uint32_t c, low;

        if (r->at == r->end)
                return -EINVAL;
        const char *simple = memchr(from, *r->at, sizeof from - 1);
        if (simple) {
                *(*out)++ = to[simple - from];
                r->at++;
                return 0;
        }
        if (*r->at++ != 'u' || read_hex4(r, &c) < 0 || (c >= 0xdc00 && c < 0xe000))
                return -EINVAL;
        if (c >= 0xd800 && c < 0xdc00) {
                if (r->end - r->at < 6 || r->at[0] != '\\' || r->at[1] != 'u')
                        return -EINVAL;
                r->at += 2;
                if (read_hex4(r, &low) < 0 || low < 0xdc00 || low > 0xdfff)
                        return -EINVAL;
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        }
        *out = put_utf8(*out, c);
        return 0;
}

static int
read_string(struct reader *r, struct span *ret)
{
        const char *begin = r->at, *p = begin;

        while (p < r->end && *p != '"')
                p += *p == '\\' && r->end - p > 1 ? 2 : 1;
        if (p >= r->end)
                return -EINVAL;
        char *buf = arena_alloc(r->arena, (size_t)(p - begin) + 1), *out = buf;
        if (!buf)
                return -ENOMEM;
        while (r->at < p) {
                size_t n = utf8_len((const unsigned char *)r->at, (size_t)(p - r->at));

                if (n == 0 || (unsigned char)*r->at < 0x20)
                        return -EINVAL;
                if (*r->at == '\\') {
                        r->at++;
                        if (read_escape(r, &out) < 0)
                                return -EINVAL;
                        continue;
                }
                memcpy(out, r->at, n);
                out += n;
                r->at += n;
        }
        *out = 0;
        r->at = p + 1;
        *ret = (struct span){ buf, (size_t)(out - buf) };
        return 0;
}

static size_t
skip_digits(struct reader *r)
{
        const char *begin = r->at;

        while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
                r->at++;
        return (size_t)(r->at - begin);
}

static int
read_number(struct reader *r, double *ret)
{
        const char *begin = r->at;
        char buf[64];

        if (r->at < r->end && *r->at == '-')
                r->at++;
        bool zero = r->at < r->end && *r->at == '0';
        size_t digits = skip_digits(r);
        if (digits == 0 || (zero && digits > 1))
                return -EINVAL;
        if (r->at < r->end && *r->at == '.') {
                r->at++;
                if (skip_digits(r) == 0)
                        return -EINVAL;
        }
        if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
                r->at++;
                if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
                        r->at++;
                if (skip_digits(r) == 0)
                        return -EINVAL;
        }
        size_t len = (size_t)(r->at - begin);
        if (len >= sizeof buf)
                return -EINVAL;
        memcpy(buf, begin, len);
        buf[len] = 0;
        *ret = strtod(buf, NULL);
        return 0;
}

static int
read_children(struct reader *r, unsigned depth, bool object, struct json_value *parent)
{
        struct json_value **tail = &parent->first;
        struct span key = { NULL, 0 };
        int e;

        if (take(r, object ? '}' : ']'))
                return 0;
        do {
                if (object) {
                        if (!take(r, '"'))
                                return -EINVAL;
                        if ((e = read_string(r, &key)) < 0)
                                return e;
                        for (const struct json_value *v = parent->first; v; v = v->next)
                                if (v->key.len == key.len && memcmp(v->key.ptr, key.ptr, key.len) == 0)
                                        return -EINVAL;
                        if (!take(r, ':'))
                                return -EINVAL;
                }
                if ((e = read_value(r, depth + 1, tail)) < 0)
                        return e;
                (*tail)->key = key;
                tail = &(*tail)->next;
                parent->count++;
        } while (take(r, ','));
        return take(r, object ? '}' : ']') ? 0 : -EINVAL;
}

static bool
take_word(struct reader *r, const char *word)
{
        size_t len = strlen(word);

        if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0)
                return false;
        r->at += len;
        return true;
}

static int
read_value(struct reader *r, unsigned depth, struct json_value **ret)
{
        struct json_value *v = arena_alloc(r->arena, sizeof *v);
        int e = 0;

        if (!v)
                return -ENOMEM;
        skip_space(r);
        if (depth > DEPTH_MAX || r->at == r->end)
                return -EINVAL;
        if (*r->at == '{' || *r->at == '[') {
                v->kind = *r->at == '{' ? JSON_OBJECT : JSON_ARRAY;
                r->at++;
                e = read_children(r, depth, v->kind == JSON_OBJECT, v);
        } else if (*r->at == '"') {
                v->kind = JSON_STRING;
                r->at++;
                e = read_string(r, &v->string);
        } else if (take_word(r, "true")) {
                v->kind = JSON_BOOL;
                v->truth = true;
        } else if (take_word(r, "false")) {
                v->kind = JSON_BOOL;
        } else if (!take_word(r, "null")) {
                v->kind = JSON_NUMBER;
                e = read_number(r, &v->number);
        }
        if (e < 0)
                return e;
        *ret = v;
        return 0;
}

int
json_parse(const char *text, size_t len, struct arena *a, struct json_value **ret)
{
        struct reader r = { text, text + len, a };
        struct json_value *v = NULL;
        int e = read_value(&r, 0, &v);

        if (e < 0)
                return e;
        skip_space(&r);
        if (r.at != r.end)
                return -EINVAL;
        *ret = v;
        return 0;
}

const struct json_value *
json_get(const struct json_value *v, const char *key)
{
        size_t len = strlen(key);

        if (!v || v->kind != JSON_OBJECT)
                return NULL;
        for (const struct json_value *c = v->first; c; c = c->next)
                if (c->key.len == len && memcmp(c->key.ptr, key, len) == 0)
                        return c;
        return NULL;
}

const char *
json_get_str(const struct json_value *v, const char *key)
{
        const struct json_value *c = json_get(v, key);

        return c && c->kind == JSON_STRING && !memchr(c->string.ptr, 0, c->string.len) ? c->string.ptr : NULL;
}
