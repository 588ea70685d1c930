/* auth_users.c - a password file is read. Contract in auth_users.h.
 * SPDX-License-Identifier: MIT
 * From: auth_basic.c when a generation is built.   To: auth_hash.c judges each hash.   Runs in: whoever builds a generation; lookups in any loop. */
#include "auth_users.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "auth_hash.h"

#define USERS_MAX 100000

struct reading {
        const char *path;
        struct arena *arena;
        struct diags *diags;
        struct auth_user *list;
        size_t count, room;
        bool bad;
};

static void finding(struct reading *r, uint32_t line, size_t col, size_t len, const char *hint, const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* The line itself is never shown: it may hold what must stay secret. */
static void
finding(struct reading *r, uint32_t line, size_t col, size_t len, const char *hint, const char *fmt, ...)
{
        char text[512];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        diag_add(r->diags, DIAG_ERROR, (struct place){ r->path, line, (uint32_t)col, (uint32_t)len }, (struct span){ NULL, 0 }, hint, "%s", text);
        r->bad = true;
}

static int
by_name(const void *a, const void *b)
{
        const struct auth_user *x = a, *y = b;
        size_t len = x->name.len < y->name.len ? x->name.len : y->name.len;
        int order = memcmp(x->name.ptr, y->name.ptr, len);

        return order != 0 ? order : x->name.len < y->name.len ? -1 : x->name.len > y->name.len;
}

/* RFC 7617, 2: no control characters in a name, and no colon, which ended it. */
static const char *
name_fault(struct span name)
{
        if (name.len == 0)
                return "a line without a name";
        if (name.len > AUTH_USER_MAX)
                return "a name of more than 255 bytes";
        for (size_t i = 0; i < name.len; i++)
                if ((unsigned char)name.ptr[i] < 0x20 || name.ptr[i] == 0x7f)
                        return "a name with a control character in it";
        return NULL;
}

static int
add_user(struct reading *r, uint32_t line, struct span name, struct span hash)
{
        char *copy = arena_strndup(r->arena, name.ptr, name.len), *kept = arena_strndup(r->arena, hash.ptr, hash.len);

        if (copy == NULL || kept == NULL)
                return -ENOMEM;
        if (r->count == r->room) {
                size_t room = r->room != 0 ? r->room * 2 : 16;
                struct auth_user *list = realloc(r->list, room * sizeof(*list));

                if (list == NULL)
                        return -ENOMEM;
                r->list = list;
                r->room = room;
        }
        r->list[r->count++] = (struct auth_user){ { copy, name.len }, kept, line };
        return 0;
}

static int
read_line(struct reading *r, uint32_t number, struct span line)
{
        const char *colon = line.len > 0 ? memchr(line.ptr, ':', line.len) : NULL, *end, *why = NULL, *hint = NULL;
        struct span name, hash;

        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
                line.len--;
        if (line.len == 0 || line.ptr[0] == '#')
                return 0;
        if (colon == NULL) {
                finding(r, number, 1, line.len, "write name:hash", "no colon in this line");
                return 0;
        }
        name = (struct span){ line.ptr, (size_t)(colon - line.ptr) };
        hash = (struct span){ colon + 1, (size_t)(line.ptr + line.len - colon - 1) };
        if (hash.len > 0 && (end = memchr(hash.ptr, ':', hash.len)) != NULL)
                hash.len = (size_t)(end - hash.ptr);
        if ((why = name_fault(name)) != NULL) {
                finding(r, number, 1, name.len, NULL, "%s", why);
                return 0;
        }
        if (auth_hash_judge(hash, &why, &hint) < 0) {
                finding(r, number, name.len + 2, hash.len, hint, "the hash of \"%.*s\" %s", (int)(name.len < 60 ? name.len : 60), name.ptr, why);
                return 0;
        }
        if (r->count == USERS_MAX) {
                finding(r, number, 1, line.len, NULL, "more than %d users", USERS_MAX);
                return -EINVAL;
        }
        return add_user(r, number, name, hash);
}

static int
read_lines(struct reading *r, const char *bytes, size_t len)
{
        const char *end = bytes + len, *newline;
        uint32_t number = 0;
        int e = 0;

        if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) /* some editors' mark of UTF-8 is no part of a name */
                bytes += 3;
        for (const char *at = bytes; e == 0 && at < end; at = newline + 1) {
                newline = memchr(at, '\n', (size_t)(end - at));
                if (newline == NULL)
                        newline = end;
                e = read_line(r, ++number, (struct span){ at, (size_t)(newline - at) });
        }
        return e;
}

/* Sorted by name; one that stands there twice is a finding, since which of them counts would be a guess. */
static void
settle(struct reading *r)
{
        if (r->count > 1)
                qsort(r->list, r->count, sizeof(*r->list), by_name);
        for (size_t i = 1; i < r->count; i++)
                if (by_name(&r->list[i - 1], &r->list[i]) == 0) {
                        uint32_t a = r->list[i - 1].line, b = r->list[i].line;

                        finding(r, a > b ? a : b, 1, r->list[i].name.len, NULL, "user \"%.60s\" stands in line %u already", r->list[i].name.ptr, (unsigned)(a < b ? a : b));
                }
}

int
auth_users_parse(const char *path, const char *bytes, size_t len, struct place at, struct span at_line, struct arena *a, struct diags *d, struct auth_users **ret)
{
        struct reading r = { .path = path, .arena = a, .diags = d };
        struct auth_users *u = arena_alloc(a, sizeof(*u));
        struct auth_user *list = NULL;
        int e = u != NULL ? read_lines(&r, bytes, len) : -ENOMEM;

        if (e == 0)
                settle(&r);
        if (e == 0 && r.count == 0 && !r.bad) {
                diag_add(d, DIAG_ERROR, at, at_line, "heartctl passwd NAME makes a line", "there is no user in \"%s\": nobody could log in", path);
                r.bad = true;
        }
        if (e == 0 && !r.bad && (list = arena_alloc(a, r.count * sizeof(*list))) == NULL)
                e = -ENOMEM;
        if (e == 0 && !r.bad) {
                memcpy(list, r.list, r.count * sizeof(*list));
                *u = (struct auth_users){ .path = path, .list = list, .count = r.count };
                if (EVP_Digest(bytes, len, u->seed, NULL, EVP_sha256(), NULL) != 1)
                        e = -ENOMEM;
        }
        free(r.list);
        if (e < 0 || r.bad)
                return e == -ENOMEM ? e : -EINVAL;
        *ret = u;
        return 0;
}

const struct auth_user *
auth_users_find(const struct auth_users *u, struct span name)
{
        struct auth_user wanted = { .name = name };

        return bsearch(&wanted, u->list, u->count, sizeof(*u->list), by_name);
}

const struct auth_user *
auth_users_stand_in(const struct auth_users *u, struct span name)
{
        uint64_t h = 14695981039346656037ull; /* FNV-1a, begun with what only who knows the file can know */

        for (size_t i = 0; i < sizeof(u->seed); i++)
                h = (h ^ u->seed[i]) * 1099511628211ull;
        for (size_t i = 0; i < name.len; i++)
                h = (h ^ (unsigned char)name.ptr[i]) * 1099511628211ull;
        h ^= h >> 32;
        return &u->list[h % u->count];
}
