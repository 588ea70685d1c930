/* route_auth.c - `basic_auth`, `auth` and `errors` are read. Contract in route_auth.h.
 * SPDX-License-Identifier: MIT
 * From: keys.c, by rows of route_keys.def and server/conf_keys.def.   To: server/ checks what only it can know (files, apps).   Runs in: the caller's thread; no globals. */
#include "route_auth.h"

#include <errno.h>
#include <stdio.h>

#include "target.h"
#include "token.h"

#define REALM_MAX 200

/* "off" in whatever way YAML says no. */
static bool
is_off(const struct yaml_node *n)
{
        static const char *const words[] = { "off", "false", "no" };

        for (size_t i = 0; n->kind == YAML_SCALAR && i < sizeof(words) / sizeof(*words); i++)
                if (strcmp(n->scalar.ptr, words[i]) == 0)
                        return true;
        return false;
}

int
read_basic_auth(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        struct route_basic_auth *b = field;

        if (!is_off(n))
                return keys_read(r, k->sub, n, k->name, b);
        *b = (struct route_basic_auth){ .place = n->place, .off = true };
        return 0;
}

int
read_auth(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        struct route_auth *a = field;
        int e;

        if (is_off(n)) {
                *a = (struct route_auth){ .place = n->place, .off = true };
                return 0;
        }
        e = keys_read(r, k->sub, n, k->name, a);
        if (e == 0 && a->by.count == 0 && yaml_get(n, "cache") != NULL && a->cache_ms != 0) {
                keys_error(r, yaml_get(n, "cache"), "add by: [header:authorization] or whatever the function looks at", "\"cache\" without \"by\": nobody knows which requests are alike");
                return -EINVAL;
        }
        return e;
}

/* ---- one value ------------------------------------------------------------------------------------------------------------------- */

/* It goes out in quotes (RFC 7617, 2): printable ASCII, which every browser shows alike. */
int
check_realm(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        const char *s = *(const char *const *)field;

        if (strlen(s) > REALM_MAX) {
                keys_error(r, n, NULL, "\"%s\" is longer than %d bytes", k->name, REALM_MAX);
                return -EINVAL;
        }
        for (; *s != '\0'; s++)
                if ((unsigned char)*s < 0x20 || (unsigned char)*s >= 0x7f) {
                        keys_error(r, n, NULL, "\"%s\" holds a character that is not printable ASCII", k->name);
                        return -EINVAL;
                }
        return 0;
}

int
note_users(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        (void)r;
        ((struct route_basic_auth *)(void *)((char *)field - k->offset))->users_place = n->place;
        return 0;
}

int
check_auth_target(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        struct route_auth *a = (struct route_auth *)(void *)((char *)field - k->offset);

        if (target_colons(a->python) != 1) {
                keys_error(r, n, "such as \"auth:check\"", "\"%s\" wants module:function, found \"%s\"", k->name, n->scalar.ptr);
                return -EINVAL;
        }
        a->target = arena_printf(r->arena, "auth %s", a->python);
        return a->target != NULL ? 0 : -ENOMEM;
}

static const struct yaml_node *
item_of(const struct yaml_node *n, size_t i)
{
        return n->kind == YAML_SEQ ? n->items[i] : n;
}

int
check_auth_by(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        static const char *const words[] = { "query", "path", "host", "ip" };
        const struct key_strs *by = field;
        int err = 0;

        for (size_t i = 0; i < by->count; i++) {
                const char *s = by->list[i];
                bool good = (strncmp(s, "header:", 7) == 0 && token_is(span_of(s + 7))) || (strncmp(s, "cookie:", 7) == 0 && token_is(span_of(s + 7)));

                for (size_t w = 0; w < sizeof(words) / sizeof(*words); w++)
                        good |= strcmp(s, words[w]) == 0;
                if (good)
                        continue;
                keys_error(r, item_of(n, i), NULL, "\"%s\" wants header:NAME, cookie:NAME, query, path, host or ip, found \"%.60s\"", k->name, s);
                err = -EINVAL;
        }
        return err;
}

/* Framing and routing are heart's: a function that is asked who somebody is does not change them. */
static bool
may_pass(const char *low)
{
        static const char *const never[] = { "host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect", "proxy",
                                             "proxy-connection", "content-type", "content-encoding", "date", "server", "set-cookie" };

        for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++)
                if (strcmp(low, never[i]) == 0)
                        return false;
        return true;
}

int
check_auth_pass(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        struct key_strs *pass = field;
        int err = 0;

        for (size_t i = 0; i < pass->count; i++) {
                char *low = arena_strdup(r->arena, pass->list[i]);

                if (low == NULL)
                        return -ENOMEM;
                for (char *p = low; *p != '\0'; p++)
                        if (*p >= 'A' && *p <= 'Z')
                                *p |= 0x20;
                pass->list[i] = low;
                if (!token_is(span_of(low)) || strchr(low, '_') != NULL || strlen(low) > 100) {
                        keys_error(r, item_of(n, i), strchr(low, '_') != NULL ? "write it with \"-\"; apps never see fields with \"_\"" : NULL,
                                   "\"%s\": \"%.60s\" is no name of a header field", k->name, low);
                        err = -EINVAL;
                } else if (!may_pass(low)) {
                        keys_error(r, item_of(n, i), NULL, "\"%s\": \"%s\" is not a function's to set", k->name, low);
                        err = -EINVAL;
                }
        }
        return err;
}

/* ---- errors ------------------------------------------------------------------------------------------------------------------------ */

int
note_error_file(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        (void)r;
        ((struct route_error_page *)(void *)((char *)field - k->offset))->file_place = n->place;
        return 0;
}

int
note_error_body(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        (void)r;
        ((struct route_error_page *)(void *)((char *)field - k->offset))->body_place = n->place;
        return 0;
}

int
note_error_app(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        (void)r;
        ((struct route_error_page *)(void *)((char *)field - k->offset))->app_place = n->place;
        return 0;
}

/* 404, 4xx, 5xx. 0: none of them. */
static uint32_t
status_of(struct span s)
{
        if (s.len != 3 || (s.ptr[0] != '4' && s.ptr[0] != '5'))
                return 0;
        if ((s.ptr[1] | 0x20) == 'x' && (s.ptr[2] | 0x20) == 'x')
                return (uint32_t)(s.ptr[0] - '0');
        if (s.ptr[1] < '0' || s.ptr[1] > '9' || s.ptr[2] < '0' || s.ptr[2] > '9')
                return 0;
        return (uint32_t)((s.ptr[0] - '0') * 100 + (s.ptr[1] - '0') * 10 + (s.ptr[2] - '0'));
}

/* where: "errors", or "errors.hosts.NAME". */
static int
read_page(struct keys_reader *r, const struct key *k, const char *where, const struct yaml_pair *p, struct route_error_page *ret)
{
        bool in_list = r->_in_list;
        char path[256];
        int e;

        snprintf(path, sizeof(path), "%.200s.%.30s", where, p->key->scalar.ptr);
        r->_in_list = true; /* what a page does not say is nothing to show */
        if (p->value->kind == YAML_SCALAR) { /* a file, in short */
                e = keys_read(r, k->sub, NULL, path, ret);
                if (e == 0)
                        e = keys_read_one(r, &k->sub->keys[0], p->value, path, ret);
        } else {
                e = keys_read(r, k->sub, p->value, path, ret);
        }
        r->_in_list = in_list;
        ret->place = p->key->place;
        if (e == 0 && (ret->file != NULL) + (ret->body != NULL) + (ret->app != NULL) != 1) {
                keys_error(r, p->key, "one of file, body and app", "\"%s\" does not say what to answer with", path);
                e = -EINVAL;
        }
        return e;
}

static int
read_pages(struct keys_reader *r, const struct key *k, const char *where, const struct yaml_node *n, bool with_hosts, struct key_list *ret)
{
        struct route_error_page *list = arena_alloc(r->arena, (n->count + 1) * sizeof(*list));
        size_t count = 0;
        int err = 0, one;

        if (list == NULL)
                return -ENOMEM;
        for (size_t i = 0; i < n->count; i++) {
                const struct yaml_pair *p = &n->pairs[i];
                struct route_error_page page;
                uint32_t status = status_of(p->key->scalar);

                if (with_hosts && span_is(p->key->scalar, SPAN_LIT("hosts")))
                        continue;
                if (status == 0) {
                        keys_error(r, p->key, span_is(p->key->scalar, SPAN_LIT("hosts")) ? "hosts stands in the errors of all routes; this route may have a host of its own" : NULL,
                                   "\"%s\" wants statuses such as 404, 4xx and 5xx, found \"%.40s\"", k->name, p->key->scalar.ptr);
                        err = -EINVAL;
                        continue;
                }
                if (p->value->kind == YAML_NULL) {
                        keys_error(r, p->key, NULL, "\"%s\" has no value", p->key->scalar.ptr);
                        err = -EINVAL;
                        continue;
                }
                one = read_page(r, k, where, p, &page);
                if (one == -ENOMEM)
                        return one;
                err = one < 0 ? one : err;
                page.status = status;
                if (one == 0)
                        list[count++] = page;
        }
        *ret = (struct key_list){ list, count };
        return err;
}

static int
read_hosts(struct keys_reader *r, const struct key *k, const struct yaml_node *n, struct key_list *ret)
{
        struct route_error_host *list = arena_alloc(r->arena, (n->count + 1) * sizeof(*list));
        char where[200];
        int err = 0, one;

        if (list == NULL)
                return -ENOMEM;
        if (n->kind != YAML_MAP) {
                keys_error(r, n, NULL, "\"hosts\" wants a map of names");
                return -EINVAL;
        }
        for (size_t i = 0; i < n->count; i++) {
                const struct yaml_pair *p = &n->pairs[i];
                char *low = arena_strdup(r->arena, p->key->scalar.ptr);

                if (low == NULL)
                        return -ENOMEM;
                for (char *c = low; *c != '\0'; c++)
                        if (*c >= 'A' && *c <= 'Z')
                                *c |= 0x20;
                list[i].host = low;
                list[i].place = p->key->place;
                if (*low == '\0' || strchr(strncmp(low, "*.", 2) == 0 ? low + 2 : low, '*') != NULL || strpbrk(low, " /:") != NULL) {
                        keys_error(r, p->key, NULL, "\"hosts\" wants names such as example.com or *.example.com, found \"%.60s\"", low);
                        err = -EINVAL;
                }
                if (p->value->kind != YAML_MAP) {
                        keys_error(r, p->value->kind == YAML_NULL ? p->key : p->value, NULL, "\"%.60s\" wants a map of statuses", low);
                        err = -EINVAL;
                        continue;
                }
                snprintf(where, sizeof(where), "%s.hosts.%.150s", k->name, low);
                one = read_pages(r, k, where, p->value, false, &list[i].pages);
                if (one == -ENOMEM)
                        return one;
                err = one < 0 ? one : err;
        }
        *ret = (struct key_list){ list, n->count };
        return err;
}

static int
read_all(struct keys_reader *r, const struct key *k, const struct yaml_node *n, bool with_hosts, struct route_errors *ret)
{
        const struct yaml_node *hosts = with_hosts ? yaml_get(n, "hosts") : NULL;
        int e, one;

        if (n->kind != YAML_MAP) {
                keys_error(r, n, "such as {404: site/404.html}", "\"%s\" wants a map of statuses", k->name);
                return -EINVAL;
        }
        ret->place = n->place;
        e = read_pages(r, k, k->name, n, with_hosts, &ret->pages);
        if (e == -ENOMEM || hosts == NULL || hosts->kind == YAML_NULL)
                return e;
        one = read_hosts(r, k, hosts, &ret->hosts);
        return one < 0 ? one : e;
}

int
read_errors(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        return read_all(r, k, n, false, field);
}

int
read_errors_with_hosts(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        return read_all(r, k, n, true, field);
}
