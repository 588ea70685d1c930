/* route_checks.c - checks of what `headers`, `request_headers` and `cors` say. Contract in route_checks.h.
 * SPDX-License-Identifier: MIT
 * From: keys.c, along the tables of route.c and server/conf.c.   Runs in: the caller's thread; no globals but constants.
 * Variables and origins are read in server/ (vars.c, cors.c), which knows what they stand for; the places for its findings are kept here. */
#include "route_checks.h"

#include <errno.h>
#include <strings.h>

#include "token.h"

#define HEADER_VALUE_MAX 8192

/* What heart says about one connection or one body: another hand in it would desynchronise what follows (RFC 9112, 6), or lie about the bytes. */
static const char *const FRAMING[] = {
        "connection", "content-encoding", "content-length", "content-range", "date", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
};

static int
check_name(struct keys_reader *r, const struct key *k, const struct yaml_node *n, const char *name)
{
        if (!token_is(span_of(name)) || strlen(name) > 256) {
                keys_error(r, n, NULL, "\"%s\": \"%.60s\" is no name of a header", k->name, name);
                return -EINVAL;
        }
        for (size_t i = 0; i < sizeof(FRAMING) / sizeof(*FRAMING); i++)
                if (strcasecmp(name, FRAMING[i]) == 0) {
                        keys_error(r, n, NULL, "\"%s\": %s is heart's own to say", k->name, name);
                        return -EINVAL;
                }
        return 0;
}

static int
check_value(struct keys_reader *r, const struct key *k, const struct yaml_node *n, const char *value)
{
        size_t len = strlen(value);

        for (size_t i = 0; i < len; i++)
                if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f) {
                        keys_error(r, n, NULL, "\"%s\" holds a control character", k->name);
                        return -EINVAL;
                }
        if (len == 0)
                keys_error(r, n, "to be rid of the header, use remove: [Name]", "\"%s\": the value is empty", k->name);
        else if (len > HEADER_VALUE_MAX)
                keys_error(r, n, NULL, "\"%s\": a value of more than %d bytes", k->name, HEADER_VALUE_MAX);
        return len > 0 && len <= HEADER_VALUE_MAX ? 0 : -EINVAL;
}

int
check_set_headers(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        struct route_headers *h = (struct route_headers *)(void *)((char *)field - k->offset);
        const struct key_map *map = field;
        struct place *places = arena_alloc(r->arena, (map->count + 1) * sizeof(*places));
        int err = 0;

        if (places == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < map->count; i++) {
                places[i] = n->pairs[i].value->place;
                if (check_name(r, k, n->pairs[i].key, map->keys[i]) < 0 || check_value(r, k, n->pairs[i].value, map->values[i]) < 0)
                        err = -EINVAL;
                for (size_t j = 0; j < i; j++)
                        if (strcasecmp(map->keys[j], map->keys[i]) == 0) {
                                keys_error(r, n->pairs[i].key, NULL, "\"%s\": \"%.60s\" stands here twice; upper and lower case are the same", k->name, map->keys[i]);
                                err = -EINVAL;
                        }
        }
        if (map == &h->set)
                h->set_places = places;
        else
                h->add_places = places;
        return err;
}

int
check_remove_headers(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        const struct key_strs *names = field;
        int err = 0;

        for (size_t i = 0; i < names->count; i++)
                if (check_name(r, k, n->kind == YAML_SEQ ? n->items[i] : n, names->list[i]) < 0)
                        err = -EINVAL;
        return err;
}

/* What origins and names say is cors_compile.c's to read. */
int
check_cors(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        struct route_cors *c = field;

        (void)r, (void)k;
        c->place = n->place;
        c->given = true;
        return 0;
}

int
note_rewrite(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        (void)r;
        ((struct route *)(void *)((char *)field - k->offset))->rewrite_place = n->place;
        return 0;
}

int
check_redirect_status(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        uint32_t status = *(const uint32_t *)field;

        if (status == 301 || status == 302 || status == 303 || status == 307 || status == 308)
                return 0;
        keys_error(r, n, NULL, "\"%s\" is %u, but a redirect is 301, 302, 303, 307 or 308", k->name, (unsigned)status);
        return -EINVAL;
}
