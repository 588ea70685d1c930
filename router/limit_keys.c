/* limit_keys.c - the keys access and rate_limit, which routes have and the whole file too.
 * SPDX-License-Identifier: MIT
 * From: route.c and server/conf.c, whose tables name these.   To: server/access.c and server/rate_limit.c make them ready.
 * Runs in: the caller's thread; no globals but constants. */
#include "limit_keys.h"

#include <errno.h>
#include <stdio.h>

#include "key_rows.h"
#include "nets.h"
#include "token.h"

enum { RATES_MAX = 8 }; /* rules at one route: each is a check for every request */

/* ---- access --------------------------------------------------------------------------------------------------------------- */

static int
read_allow(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        struct route_access *a = (struct route_access *)(void *)((char *)field - k->offset);

        if (a->allow.count == 0) {
                keys_error(r, n, "to keep everybody out write deny: [0.0.0.0/0, \"::/0\"]", "\"%s\" is empty", k->name);
                return -EINVAL;
        }
        return nets_read(r, k, n, &a->allow, true, &a->allow_nets);
}

static int
read_deny(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        struct route_access *a = (struct route_access *)(void *)((char *)field - k->offset);

        return nets_read(r, k, n, &a->deny, true, &a->deny_nets);
}

/* A list that came to nothing would open what was meant to be closed. To open a route where there is a list for all: deny: []. */
int
check_access(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        (void)field;
        if (n->count > 0)
                return 0;
        keys_error(r, n, "to let everybody in write deny: []", "\"%s\" holds neither \"allow\" nor \"deny\"", k->name);
        return -EINVAL;
}

/* ---- rate_limit ------------------------------------------------------------------------------------------------------------ */

/* "header:NAME" -> NAME, in lower case for headers. NULL: text begins otherwise. */
static int
named_part(struct keys_reader *r, const char *text, const char *prefix, bool lower, const char **ret)
{
        size_t len = strlen(prefix);
        char *name;

        if (strncmp(text, prefix, len) != 0 || !token_is(span_of(text + len)))
                return -ENOENT;
        name = arena_strdup(r->arena, text + len);
        if (name == NULL)
                return -ENOMEM;
        for (char *p = name; lower && *p != '\0'; p++)
                if (*p >= 'A' && *p <= 'Z')
                        *p |= 0x20;
        *ret = name;
        return 0;
}

static int
read_part(struct keys_reader *r, const char *text, struct rate_part *ret)
{
        int e;

        *ret = (struct rate_part){ .kind = RATE_BY_IP };
        if (strcmp(text, "ip") == 0)
                return 0;
        ret->kind = RATE_BY_ROUTE;
        if (strcmp(text, "route") == 0)
                return 0;
        ret->kind = RATE_BY_HEADER;
        e = named_part(r, text, "header:", true, &ret->name);
        if (e != -ENOENT)
                return e;
        ret->kind = RATE_BY_COOKIE;
        return named_part(r, text, "cookie:", false, &ret->name);
}

static int
check_rate_key(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        struct route_rate *rate = (struct route_rate *)(void *)((char *)field - k->offset);
        struct rate_part *parts = arena_alloc(r->arena, (rate->key.count + 1) * sizeof(*parts));
        int err = 0, e;

        if (parts == NULL)
                return -ENOMEM;
        if (rate->key.count == 0) {
                keys_error(r, n, "such as ip", "\"%s\" is empty", k->name);
                return -EINVAL;
        }
        for (size_t i = 0; i < rate->key.count; i++) {
                const struct yaml_node *at = n->kind == YAML_SEQ ? n->items[i] : n;

                e = read_part(r, rate->key.list[i], &parts[i]);
                if (e == -ENOMEM)
                        return e;
                if (e < 0) {
                        keys_error(r, at, "ip, route, header:NAME or cookie:NAME", "\"%s\": \"%.60s\" is nothing to count by", k->name, rate->key.list[i]);
                        err = -EINVAL;
                }
                for (size_t j = 0; j < i; j++)
                        if (strcmp(rate->key.list[i], rate->key.list[j]) == 0) {
                                keys_error(r, at, NULL, "\"%s\": \"%.60s\" stands here twice", k->name, rate->key.list[i]);
                                err = -EINVAL;
                        }
        }
        rate->parts = parts;
        return err;
}

#include "limit_keys.def"

/* The default of `key` is not read by check_rate_key, which sees only what is in the file. */
static int
finish_rate(struct keys_reader *r, const struct yaml_node *n, struct route_rate *rate)
{
        static const struct rate_part by_ip[] = { { .kind = RATE_BY_IP } };

        if (rate->parts == NULL)
                rate->parts = by_ip;
        if (rate->window_ms % 1000 == 0)
                return 0;
        keys_error(r, n->kind == YAML_MAP && yaml_get(n, "window") != NULL ? yaml_get(n, "window") : n, "such as 1s or 1m", "\"window\" wants whole seconds");
        return -EINVAL;
}

int
read_rates(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        size_t count = n->kind == YAML_SEQ ? n->count : 1;
        struct route_rate *list = arena_alloc(r->arena, (count + 1) * sizeof(*list));
        char path[32];
        int err = 0, e;

        if (list == NULL)
                return -ENOMEM;
        if (count == 0 || count > RATES_MAX) {
                keys_error(r, n, NULL, count == 0 ? "\"%s\" is empty" : "\"%s\" holds more than 8 rules", k->name);
                return -EINVAL;
        }
        for (size_t i = 0; i < count; i++) {
                const struct yaml_node *item = n->kind == YAML_SEQ ? n->items[i] : n;

                snprintf(path, sizeof(path), n->kind == YAML_SEQ ? "%s[%zu]" : "%s", k->name, i);
                if (item->kind != YAML_MAP) {
                        keys_error(r, item, "such as {key: ip, limit: 100, window: 1m}", "\"%s\" wants a map", k->name);
                        err = -EINVAL;
                        continue;
                }
                e = keys_read(r, &rate_keys, item, path, &list[i]);
                if (e == 0)
                        e = finish_rate(r, item, &list[i]);
                if (e == -ENOMEM)
                        return e;
                if (e < 0)
                        err = e;
        }
        *(struct key_list *)field = (struct key_list){ list, err == 0 ? count : 0 };
        return err;
}
