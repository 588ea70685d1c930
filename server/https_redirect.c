/* https_redirect.c - from http to https. Contract in https_redirect.h.
 * SPDX-License-Identifier: MIT
 * From: conf.c reads, request.c asks before it matches.   To: outgoing.c.   Runs in: whoever reads a configuration; the owning loop.
 * A client behind a trusted proxy that spoke TLS to it has https already (r->https): it is not sent in circles. */
#include "https_redirect.h"

#include <errno.h>
#include <stdio.h>

#include "conf_priv.h"
#include "outgoing.h"
#include "request.h"
#include "vars_request.h"

#define ROWS_MAX 64
#define LOCATION_MAX 16384

/* ---- reading ---------------------------------------------------------------------------------------------------------------- */

extern const struct key_table https_redirect_keys; /* conf.c, from conf_keys.def */

static bool
is_true(const struct yaml_node *n)
{
        return n->kind == YAML_SCALAR && !n->quoted && (span_is(n->scalar, SPAN_LIT("true")) || span_is(n->scalar, SPAN_LIT("yes")) || span_is(n->scalar, SPAN_LIT("on")));
}

static bool
is_false(const struct yaml_node *n)
{
        return n->kind == YAML_SCALAR && !n->quoted && (span_is(n->scalar, SPAN_LIT("false")) || span_is(n->scalar, SPAN_LIT("no")) || span_is(n->scalar, SPAN_LIT("off")));
}

int
read_https_redirect(struct keys_reader *r, const struct key *k, const struct yaml_node *n, void *field)
{
        size_t count = n->kind == YAML_SEQ ? n->count : 1;
        struct conf_https_redirect *list = arena_alloc(r->arena, (count + 1) * sizeof(*list));
        size_t kept = 0;
        int err = 0;

        if (list == NULL)
                return -ENOMEM;
        if (is_false(n))
                return 0;
        if (count > ROWS_MAX) {
                keys_error(r, n, NULL, "\"%s\" holds more than %d maps", k->name, ROWS_MAX);
                return -EINVAL;
        }
        if (is_true(n)) {
                list[0] = (struct conf_https_redirect){ .place = n->place, .status = 308 };
                *(struct key_list *)field = (struct key_list){ list, 1 };
                return 0;
        }
        for (size_t i = 0; i < count; i++) {
                const struct yaml_node *item = n->kind == YAML_SEQ ? n->items[i] : n;
                char path[48];
                int one;

                if (item->kind != YAML_MAP) {
                        keys_error(r, item, "such as {from: 80, to: 443}", "\"%s\" wants true, a map with from and to, or a list of such maps", k->name);
                        err = -EINVAL;
                        continue;
                }
                snprintf(path, sizeof(path), n->kind == YAML_SEQ ? "%s[%zu]" : "%s", k->name, i);
                one = keys_read(r, &https_redirect_keys, item, path, &list[kept]);
                if (one == -ENOMEM)
                        return one;
                err = one < 0 ? one : err;
                if (one == 0) /* one with a finding is not judged any further */
                        list[kept++].from_place = yaml_get(item, "from")->place;
        }
        *(struct key_list *)field = (struct key_list){ list, kept };
        return err;
}

/* ---- rules ------------------------------------------------------------------------------------------------------------------- */

/* The first listener with this port (0: any), with TLS or without. */
static const struct conf_listener *
find_listener(const struct conf *c, uint32_t port, bool tls)
{
        for (size_t i = 0; i < c->listeners.count; i++) {
                const struct conf_listener *l = conf_listener_at(c, i);

                if (l->has_tls == tls && conf_listener_port(l) != 0 && (port == 0 || conf_listener_port(l) == port))
                        return l;
        }
        return NULL;
}

static void
check_from(struct keys_reader *r, const struct conf *c, const struct conf_https_redirect *h)
{
        if (h->from == 0 || find_listener(c, h->from, false) != NULL)
                return;
        if (find_listener(c, h->from, true) != NULL)
                conf_finding(r, DIAG_ERROR, h->from_place, NULL, "the listener on port %u speaks https already", (unsigned)h->from);
        else
                conf_finding(r, DIAG_ERROR, h->from_place, "add it to listen:", "there is no listener on port %u", (unsigned)h->from);
}

static void
check_except(struct keys_reader *r, const struct conf_https_redirect *h)
{
        for (size_t i = 0; i < h->except.count; i++)
                if (h->except.list[i][0] != '/')
                        conf_finding(r, DIAG_ERROR, h->except.places[i], "such as /.well-known/acme-challenge/*", "\"except\" wants paths, found \"%.60s\"", h->except.list[i]);
}

void
https_redirect_check(struct keys_reader *r, struct conf *c)
{
        struct conf_https_redirect *list = c->https_redirects.list;

        for (size_t i = 0; i < c->https_redirects.count; i++) {
                const struct conf_listener *tls = find_listener(c, 0, true);

                check_from(r, c, &list[i]);
                check_except(r, &list[i]);
                if (list[i].to == 0 && tls == NULL)
                        conf_finding(r, DIAG_ERROR, list[i].place, "write to: PORT when something in front of heart speaks it", "no listener speaks https: there is nowhere to send clients to");
                if (list[i].to == 0 && tls != NULL)
                        list[i].to = conf_listener_port(tls);
                for (size_t k = 0; k < i; k++)
                        if (list[k].from == list[i].from) {
                                conf_finding(r, DIAG_ERROR, list[i].from_place, NULL, "port %u is sent elsewhere already", (unsigned)list[i].from);
                                conf_finding(r, DIAG_NOTE, list[k].from_place, NULL, "the other one is here");
                                break;
                        }
        }
}

/* ---- answering ----------------------------------------------------------------------------------------------------------------- */

bool
https_redirect_glob(const char *pattern, struct span path)
{
        const char *star = NULL;
        size_t at = 0, back = 0;

        while (at < path.len) {
                if (*pattern == '*') {
                        star = ++pattern;
                        back = at;
                } else if (*pattern == path.ptr[at]) {
                        pattern++;
                        at++;
                } else if (star != NULL) { /* the last star takes one byte more */
                        pattern = star;
                        at = ++back;
                } else {
                        return false;
                }
        }
        while (*pattern == '*')
                pattern++;
        return *pattern == '\0';
}

const struct conf_https_redirect *
https_redirect_find(const struct conf *c, uint16_t port, struct span path)
{
        const struct conf_https_redirect *list = c->https_redirects.list;

        for (size_t i = 0; i < c->https_redirects.count; i++) {
                if (list[i].from != port && (list[i].from != 0 || port == 0))
                        continue;
                for (size_t k = 0; k < list[i].except.count; k++)
                        if (https_redirect_glob(list[i].except.list[k], path))
                                return NULL;
                return &list[i];
        }
        return NULL;
}

bool
https_redirect_answer(struct request *r)
{
        const struct conf_https_redirect *row;
        struct outgoing h;
        char to[LOCATION_MAX], port[16] = "";
        int n;

        if (r->https || request_conf(r)->https_redirects.count == 0 || (row = https_redirect_find(request_conf(r), conn_local(r->conn)->port, r->path)) == NULL)
                return false;
        if (r->host.len == 0) {
                request_fail(r, 400, false);
                return true;
        }
        if (row->to != 443)
                snprintf(port, sizeof(port), ":%u", (unsigned)row->to);
        n = snprintf(to, sizeof(to), "https://%.*s%s", (int)r->host.len, r->host.ptr, port);
        n += (int)request_target_copy(r, to + n, sizeof(to) - (size_t)n);
        if ((size_t)n >= sizeof(to)) {
                request_fail(r, 414, false);
                return true;
        }
        outgoing_begin(&h, r, row->status);
        outgoing_field(&h, IPC_H_LOCATION, SPAN_LIT("Location"), (struct span){ to, (size_t)n });
        outgoing_whole(&h, NULL, 0);
        return true;
}
