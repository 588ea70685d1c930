/* auth.c - a Python function says whether a request may pass. Contract in auth.h.
 * SPDX-License-Identifier: MIT
 * From: policy.c (settings), gates.c (each request), answer.c (what the function said).   To: lane_submit.c, auth_cache.c.   Runs in: the owning loop.
 * Remembered is only who was let in, by a keyed digest of generation, route, method and all that `by` names; with it what `pass` took from the answer. */
#include "auth.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "auth_basic.h"
#include "lane.h"
#include "log.h"

struct auth {
        uint32_t app_index, handler;
        uint64_t cache_ms, timeout_ms;
        struct key_strs by;     /* checked when it was read: header:NAME, cookie:NAME, query, path, host, ip */
        struct key_strs pass;   /* names in lower case */
};

static bool
has_name(const struct key_strs *list, const char *name)
{
        for (size_t i = 0; i < list->count; i++)
                if (strcmp(list->list[i], name) == 0)
                        return true;
        return false;
}

/* What any route passes on is taken from the client on all of them: an app behind two routes, one of which asks nobody, would believe what comes in by that one. */
static int
gather_pass(struct generation *g)
{
        size_t room = g->conf.auth.pass.count;

        for (size_t i = 0; i < g->conf.routes.count; i++)
                room += conf_route_at(&g->conf, i)->auth.pass.count;
        g->auth_pass.list = arena_alloc(g->arena, (room + 1) * sizeof(*g->auth_pass.list));
        if (g->auth_pass.list == NULL)
                return -ENOMEM;
        for (size_t i = 0; i <= g->conf.routes.count; i++) {
                const struct key_strs *pass = i < g->conf.routes.count ? &conf_route_at(&g->conf, i)->auth.pass : &g->conf.auth.pass;

                for (size_t k = 0; k < pass->count; k++)
                        if (!has_name(&g->auth_pass, pass->list[k]))
                                g->auth_pass.list[g->auth_pass.count++] = pass->list[k];
        }
        return 0;
}

int
auth_build(struct generation *g, const struct route *route, struct diags *d, const struct auth **ret)
{
        const struct route_auth *from = route != NULL ? &route->auth : &g->conf.auth;
        struct auth *a;

        (void)d; /* what can be wrong with it was said when it was read */
        if (route == NULL && gather_pass(g) < 0)
                return -ENOMEM;
        if (from->place.line == 0)
                return 0;
        *ret = NULL;
        if (from->off)
                return 0;
        a = arena_alloc(g->arena, sizeof(*a));
        if (a == NULL)
                return -ENOMEM;
        assert(from->app_index != UINT32_MAX && from->handler != UINT32_MAX);
        *a = (struct auth){ .app_index = from->app_index, .handler = from->handler, .cache_ms = from->by.count > 0 ? from->cache_ms : 0,
                            .timeout_ms = from->timeout_ms, .by = from->by, .pass = from->pass };
        *ret = a;
        return 0;
}

/* ---- what a verdict is remembered by ------------------------------------------------------------------------------------------------- */

/* Every field of that name, and how many there were. */
static void
add_header(struct auth_cache *c, const struct request *r, struct span name)
{
        const char *base = request_bytes(r);
        uint32_t count = 0;

        for (uint32_t i = 0; i < r->head.field_count; i++) {
                const struct http_field *f = &r->head.fields[i];

                if (f->name_len != name.len || strncasecmp(base + f->name_off, name.ptr, name.len) != 0)
                        continue;
                auth_cache_key_add(c, (struct span){ base + f->value_off, f->value_len });
                count++;
        }
        auth_cache_key_add(c, (struct span){ (const char *)&count, sizeof(count) });
}

/* Every cookie of that name in one Cookie field: the function may look at another one than the first. What is no pair counts for nothing. */
static uint32_t
add_cookies_of(struct auth_cache *c, struct span field, struct span name)
{
        uint32_t count = 0;

        while (field.len > 0) {
                const char *semicolon = memchr(field.ptr, ';', field.len);
                size_t len = semicolon != NULL ? (size_t)(semicolon - field.ptr) : field.len;
                struct span pair = { field.ptr, len };

                while (pair.len > 0 && (*pair.ptr == ' ' || *pair.ptr == '\t'))
                        pair = (struct span){ pair.ptr + 1, pair.len - 1 };
                if (pair.len >= name.len && memcmp(pair.ptr, name.ptr, name.len) == 0) { /* a longer name that begins with this one costs a needless question at most */
                        auth_cache_key_add(c, (struct span){ pair.ptr + name.len, pair.len - name.len });
                        count++;
                }
                len += semicolon != NULL;
                field = (struct span){ field.ptr + len, field.len - len };
        }
        return count;
}

static void
add_cookie(struct auth_cache *c, const struct request *r, struct span name)
{
        uint32_t count = 0;

        for (uint32_t i = 0; i < r->head.field_count; i++) {
                const struct http_field *f = &r->head.fields[i];

                if (f->id == IPC_H_COOKIE)
                        count += add_cookies_of(c, (struct span){ request_bytes(r) + f->value_off, f->value_len }, name);
        }
        auth_cache_key_add(c, (struct span){ (const char *)&count, sizeof(count) });
}

static void
add_part(struct auth_cache *c, const struct request *r, const char *by)
{
        if (strncmp(by, "header:", 7) == 0)
                add_header(c, r, span_of(by + 7));
        else if (strncmp(by, "cookie:", 7) == 0)
                add_cookie(c, r, span_of(by + 7));
        else if (strcmp(by, "query") == 0)
                auth_cache_key_add(c, request_query(r)); /* what the function sees: a rewrite may have made it of the path */
        else if (strcmp(by, "path") == 0)
                auth_cache_key_add(c, r->path);
        else if (strcmp(by, "host") == 0)
                auth_cache_key_add(c, request_host(r));
        else
                auth_cache_key_add(c, (struct span){ (const char *)&r->client, sizeof(r->client) });
}

/* The key into r->auth_key; false: nothing is remembered for this request. */
static bool
make_key(struct request *r, const struct auth *a)
{
        struct auth_cache *c = a->cache_ms > 0 ? auth_cache_of(r->conn->loop) : NULL;
        uint64_t number = r->lg->g->number;
        struct auth_key key;

        if (c == NULL || !auth_cache_key_begin(c))
                return false;
        auth_cache_key_add(c, SPAN_LIT("auth"));
        auth_cache_key_add(c, (struct span){ (const char *)&number, sizeof(number) });
        auth_cache_key_add(c, (struct span){ (const char *)&r->match.route, sizeof(r->match.route) });
        auth_cache_key_add(c, (struct span){ request_bytes(r) + r->head.method_off, r->head.method_len });
        auth_cache_key_add(c, (struct span){ r->user.ptr, r->user.len });
        for (size_t i = 0; i < a->by.count; i++)
                add_part(c, r, a->by.list[i]);
        if (!auth_cache_key_end(c, &key))
                return false;
        static_assert(sizeof(key.bytes) == sizeof(r->auth_key), "a request has room for a key");
        memcpy(r->auth_key, key.bytes, sizeof(key.bytes));
        return true;
}

/* ---- what goes on to the app ----------------------------------------------------------------------------------------------------------- */

/* A row of {place in `pass` 1, length 2, value}. */
struct auth_note { size_t len; char bytes[AUTH_CACHE_NOTE_MAX]; };

static bool
note_add(struct auth_note *n, size_t index, struct span value)
{
        uint16_t len = (uint16_t)value.len;

        if (value.len > UINT16_MAX || sizeof(n->bytes) - n->len < 3 + value.len)
                return false;
        n->bytes[n->len] = (char)index;
        memcpy(n->bytes + n->len + 1, &len, sizeof(len));
        if (len > 0)
                memcpy(n->bytes + n->len + 3, value.ptr, len);
        n->len += 3u + len;
        return true;
}

/* The fields of a note towards the app. 0 or -ENOMEM. */
static int
set_fields(struct request *r, const struct auth *a, struct span note)
{
        while (note.len > 0) {
                size_t index = (unsigned char)note.ptr[0];
                uint16_t len;

                memcpy(&len, note.ptr + 1, sizeof(len));
                assert(note.len >= 3u + len && index < a->pass.count);
                if (request_to_app(r, span_of(a->pass.list[index]), (struct span){ note.ptr + 3, len }) < 0)
                        return -ENOMEM;
                note = (struct span){ note.ptr + 3 + len, note.len - 3 - len };
        }
        return 0;
}

/* ---- the gate ---------------------------------------------------------------------------------------------------------------------------- */

static enum gate_verdict
ask(struct request *r, const struct auth *a)
{
        const struct lane_call call = { .app_index = a->app_index, .handler = a->handler, .head_alone = true,
                                        .timeout_ms = a->timeout_ms != 0 ? a->timeout_ms : r->limits->handler_timeout_ms };

        if (!lane_hand_over(r, &call))
                return GATE_ANSWERED;
        r->asking = ASK_AUTH;
        r->asked_well = false;
        return GATE_WAIT;
}

enum gate_verdict
auth_gate(struct request *r)
{
        const struct auth *a = r->policy->auth;
        struct loop *l = r->conn->loop;
        struct auth_key key;
        struct span note;

        r->has_auth_key = make_key(r, a);
        if (!r->has_auth_key)
                return ask(r, a);
        memcpy(key.bytes, r->auth_key, sizeof(key.bytes));
        if (!auth_cache_get(l->auth_cache, &key, l->now_ms, &note))
                return ask(r, a);
        if (set_fields(r, a, note) < 0) {
                request_busy(r);
                return GATE_ANSWERED;
        }
        return GATE_PASS;
}

/* ---- the verdict --------------------------------------------------------------------------------------------------------------------------- */

/* Which of `pass` a field of the answer is, SIZE_MAX: none. */
static size_t
place_of(const struct auth *a, const struct ipc_field *f)
{
        for (size_t i = 0; i < a->pass.count; i++)
                if (strlen(a->pass.list[i]) == f->name.len && strncasecmp(a->pass.list[i], f->name.ptr, f->name.len) == 0)
                        return i;
        return SIZE_MAX;
}

/* Copied at once: the bytes in the ring are the pyworker's. 0, -ENOMEM, -E2BIG: more than can be handed on. */
static int
collect(struct request *r, const struct auth *a, struct ipc_answer *answer)
{
        struct ipc_field f;

        while (a->pass.count > 0 && ipc_answer_field(answer, &f)) {
                size_t index = place_of(a, &f);

                if (index == SIZE_MAX)
                        continue;
                if (r->auth_note == NULL) {
                        if ((r->auth_note = malloc(sizeof(*r->auth_note))) == NULL)
                                return -ENOMEM;
                        r->auth_note->len = 0;
                }
                if (!note_add(r->auth_note, index, (struct span){ f.value.ptr, f.value.len }))
                        return -E2BIG;
        }
        return 0;
}

int
auth_answer_head(struct request *r, const uint8_t *payload, size_t len)
{
        const struct auth *a = r->policy->auth;
        struct ipc_answer answer;

        assert(r->asking == ASK_AUTH && r->answer == ANSWER_WAITING);
        if (r->asked_well || ipc_answer_decode(payload, len, &answer) < 0 || answer.status < 200 || answer.status > 999)
                return -EPROTO;
        if (answer.status >= 300) {
                if (r->expect_continue)
                        r->keep_alive = false; /* whether its body comes nobody knows (RFC 9110, 10.1.1) */
                return 1;
        }
        lane_ack(r, (uint32_t)answer.body.len);
        if (collect(r, a, &answer) < 0) { /* asked_well stays false: refused at its end */
                log_error("request %llu: auth: what is to be passed on is longer than %d bytes, or there is no memory: 500", (unsigned long long)r->id, AUTH_CACHE_NOTE_MAX);
                return 0;
        }
        r->asked_well = true;
        return 0;
}

int
auth_answer_body(struct request *r, size_t len)
{
        lane_ack(r, (uint32_t)len);
        return 0;
}

/* Only now: an answer that breaks off after its head was no answer. */
static bool
let_in(struct request *r, const struct auth *a)
{
        struct span note = { "", 0 };
        struct auth_key key;

        if (r->auth_note != NULL)
                note = (struct span){ r->auth_note->bytes, r->auth_note->len };
        if (set_fields(r, a, note) < 0)
                return false;
        if (r->has_auth_key) {
                memcpy(key.bytes, r->auth_key, sizeof(key.bytes));
                auth_cache_put(r->conn->loop->auth_cache, &key, r->conn->loop->now_ms + a->cache_ms, note);
        }
        free(r->auth_note);
        r->auth_note = NULL;
        return true;
}

void
auth_answer_end(struct request *r)
{
        bool passes = r->asked_well && let_in(r, r->policy->auth);

        assert(r->lane == NULL && r->answer == ANSWER_WAITING);
        r->asking = ASK_ACTION;
        r->asked_well = false;
        if (passes)
                gates_go_on(r);
        else
                request_fail(r, 500, false);
}
