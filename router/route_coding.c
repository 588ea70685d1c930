/* route_coding.c - the keys `compress` and `decompress` are read: a switch or a map each. Contract in route_coding.h.
 * SPDX-License-Identifier: MIT
 * From: keys.c, by the rows of route_keys.def and server/conf_keys.def.   To: server/compress.c.   Runs in: the caller's thread; no globals but constants. */
#include "route_coding.h"

#include <errno.h>
#include <stdio.h>

#include "key_rows.h"

const char *const ROUTE_ENCODINGS[] = { "zstd", "br", "gzip", NULL };

/* What stands at a key that takes a switch or a map, read into `field`, a struct of the key's table. on_key: a row for the switch. */
static int
read_switch(struct keys_reader *r, const struct key *k, const struct yaml_node *n, const struct key *on_key, bool *on, void *field)
{
        int e;

        if (n->kind != YAML_SCALAR && n->kind != YAML_MAP) {
                keys_error(r, n, NULL, "\"%s\" wants true, false or a map, found a list", k->name);
                return -EINVAL;
        }
        e = keys_read(r, k->sub, n->kind == YAML_MAP ? n : NULL, r->path, field);
        *on = true;
        if (e == 0 && n->kind == YAML_SCALAR)
                e = keys_read_one(r, on_key, n, r->path, field);
        return e;
}

int
read_compress(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        static const struct key on = { .name = "compress", .type = KEY_BOOL, .offset = KEY_FIELD(struct route_compress, on, bool), .help = "" };
        struct route_compress *c = field;
        int e = read_switch(r, k, n, &on, &c->on, c);

        c->given = true;
        c->place = n->place;
        return e;
}

int
read_decompress(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        static const struct key on = { .name = "decompress", .type = KEY_BOOL, .offset = KEY_FIELD(struct route_decompress, on, bool), .help = "" };
        struct route_decompress *c = field;
        int e = read_switch(r, k, n, &on, &c->on, c);

        c->given = true;
        c->place = n->place;
        return e;
}

/* A slash, one star at most, nothing behind a semicolon. Lower case from here on. */
static const char *
type_wrong(const char *s)
{
        const char *slash = strchr(s, '/'), *star = strchr(s, '*');

        if (slash == NULL || slash == s || slash[1] == '\0' || strchr(slash + 1, '/') != NULL)
                return "wants types such as text/html";
        if (strcmp(s, "*/*") != 0 && star != NULL && strchr(star + 1, '*') != NULL)
                return "takes one * in a type";
        for (; *s != '\0'; s++)
                if ((unsigned char)*s <= 0x20 || (unsigned char)*s >= 0x7f || strchr(";,\"()<>@:[]?={}\\", *s) != NULL)
                        return "wants types without parameters, such as text/html";
        return NULL;
}

int
check_types(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        struct key_strs *types = field;
        int e = 0;

        for (size_t i = 0; i < types->count; i++) {
                const char *why = type_wrong(types->list[i]);
                char *low = arena_strdup(r->arena, types->list[i]);

                if (low == NULL)
                        return -ENOMEM;
                for (char *p = low; *p != '\0'; p++)
                        if (*p >= 'A' && *p <= 'Z')
                                *p |= 0x20;
                types->list[i] = low;
                if (why != NULL) {
                        keys_error(r, n->kind == YAML_SEQ ? n->items[i] : n, NULL, "\"%s\" %s, found \"%.60s\"", k->name, why, low);
                        e = -EINVAL;
                }
        }
        if (types->count == 0) {
                keys_error(r, n, "leave it away for the usual ones", "\"%s\" is empty: nothing would be compressed", k->name);
                e = -EINVAL;
        }
        return e;
}

int
check_encodings(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        const struct key_strs *given = field;
        unsigned seen = 0;
        int e = 0;

        for (size_t i = 0; i < given->count; i++) {
                const struct yaml_node *at = n->kind == YAML_SEQ ? n->items[i] : n;
                const char *near;
                char hint[96] = "";
                size_t word = 0, count = 0;

                for (; ROUTE_ENCODINGS[count] != NULL; count++)
                        if (strcmp(ROUTE_ENCODINGS[count], given->list[i]) == 0)
                                word = count + 1;
                if (word > 0 && (seen >> word & 1) == 0) {
                        seen |= 1u << word;
                        continue;
                }
                near = word == 0 ? diag_nearest(span_of(given->list[i]), ROUTE_ENCODINGS, count) : NULL;
                if (near != NULL)
                        snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
                keys_error(r, at, near != NULL ? hint : NULL, word > 0 ? "\"%s\" names %.40s twice" : "\"%s\" knows zstd, br and gzip, found \"%.40s\"", k->name, given->list[i]);
                e = -EINVAL;
        }
        if (given->count == 0) {
                keys_error(r, n, "compress: false switches it off", "\"%s\" is empty: nothing would be compressed", k->name);
                e = -EINVAL;
        }
        return e;
}
