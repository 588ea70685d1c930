/* lane_submit.c - a request is laid out in a slot and published.
 * SPDX-License-Identifier: MIT
 * From: dispatch.c.   To: ipc/msg.c encodes, ipc/ring.c publishes; lane_wake.c wakes somebody at the end of the turn.   Runs in: the owning loop.
 * No slot free: -EAGAIN, and the client gets 503. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "client.h"
#include "lane_priv.h"

static void
address_spans(struct request *r, struct ipc_request *m, char *client, char *server, size_t room)
{
        const struct router_local *local = conn_local(r->conn);

        client_text(r, client, room);
        m->client_port = r->client_port;
        m->client = (struct ipc_span){ client, strlen(client) };
        if (local->port != 0)
                address_text(&local->addr, server, room);
        else
                snprintf(server, room, "unix:");
        m->server = (struct ipc_span){ server, strlen(server) };
        m->server_port = local->port;
}

static struct ipc_span
head_span(const char *base, uint32_t off, uint32_t len)
{
        return (struct ipc_span){ base + off, len };
}

/* Does heart put another field in the place of this one of the client's? */
static bool
is_replaced(const struct request *r, const char *base, const struct http_field *h)
{
        for (const struct app_field *a = r->to_app; a != NULL; a = a->next)
                if (a->name_len == h->name_len && strncasecmp(a->text, base + h->name_off, h->name_len) == 0)
                        return true;
        return false;
}

/* Is it one that only the function of an `auth` may say? */
static bool
is_reserved(const struct key_strs *pass, const char *base, const struct http_field *h)
{
        for (size_t i = 0; i < pass->count; i++)
                if (strncasecmp(pass->list[i], base + h->name_off, h->name_len) == 0 && pass->list[i][h->name_len] == '\0')
                        return true;
        return false;
}

/* What makes no sense with a GET without a body that is to be answered with a page, whole. */
static bool
is_of_body_or_part(uint8_t id)
{
        switch (id) {
        case IPC_H_CONTENT_LENGTH:
        case IPC_H_CONTENT_TYPE:
        case IPC_H_CONTENT_ENCODING:
        case IPC_H_TRANSFER_ENCODING:
        case IPC_H_EXPECT:
        case IPC_H_RANGE:
        case IPC_H_IF_RANGE:
        case IPC_H_IF_MATCH:
        case IPC_H_IF_NONE_MATCH:
        case IPC_H_IF_MODIFIED_SINCE:
        case IPC_H_IF_UNMODIFIED_SINCE:
                return true;
        default:
                return false;
        }
}

/* 0 or -EMSGSIZE: more than a message may have. */
static int
list_headers(const struct request *r, const char *base, bool page, struct ipc_field *f, uint16_t *ret_count)
{
        uint16_t n = 0;

        for (uint32_t i = 0; i < r->head.field_count; i++) {
                const struct http_field *h = &r->head.fields[i];

                if (r->to_app != NULL && is_replaced(r, base, h))
                        continue;
                if (r->lg->g->auth_pass.count > 0 && is_reserved(&r->lg->g->auth_pass, base, h))
                        continue;
                if (h->id == IPC_H_TRANSFER_ENCODING && r->body_ended)
                        continue; /* the chunks are undone, and the length that takes their place is known */
                if (r->decompressed && (h->id == IPC_H_CONTENT_ENCODING || h->id == IPC_H_CONTENT_LENGTH))
                        continue;
                if (page && is_of_body_or_part(h->id))
                        continue;
                f[n].name = head_span(base, h->name_off, h->name_len);
                f[n].value = head_span(base, h->value_off, h->value_len);
                f[n++].id = h->id;
        }
        for (const struct app_field *a = r->to_app; a != NULL; a = a->next) {
                if (a->absent)
                        continue;
                if (n == HTTP_HEADERS_MAX)
                        return -EMSGSIZE;
                f[n].name = head_span(a->text, 0, a->name_len);
                f[n].value = head_span(a->text, a->name_len, a->value_len);
                f[n++].id = a->id;
        }
        *ret_count = n;
        return 0;
}

static uint8_t
list_params(const struct request *r, struct ipc_field *f)
{
        for (uint32_t i = 0; i < r->match.param_count; i++) {
                const struct router_param *p = &r->match.params[i];
                f[i].name = (struct ipc_span){ p->name.ptr, p->name.len };
                f[i].value = (struct ipc_span){ p->value.ptr, p->value.len };
                f[i].id = (uint8_t)p->type;
        }
        return (uint8_t)r->match.param_count;
}

static const char *
root_path(const struct lane_call *call, const struct conf_app *app)
{
        if (app->root_path != NULL && app->root_path[0] != '\0')
                return app->root_path;
        return call->root_path != NULL ? call->root_path : "";
}

static void
describe(struct request *r, const struct conf_app *app, const struct lane_call *call, struct ipc_request *m)
{
        const char *base = request_bytes(r), *root = root_path(call, app);
        bool is_here = call->head_alone || (r->body_ended && r->spool == NULL);

        m->id = r->id;
        m->arrived_us = r->arrived_us;
        m->deadline_us = r->conn->loop->now_us + call->timeout_ms * 1000; /* from now: what the client took for its body is not the handler's fault */
        m->generation = r->lg->g->number;
        m->handler = call->handler;
        m->flags = (uint16_t)((r->https ? IPC_F_TLS : 0) | (r->keep_alive ? IPC_F_KEEP_ALIVE : 0) |
                              (r->head_only ? IPC_F_HEAD : 0) | (is_here ? 0 : IPC_F_STREAMED));
        m->http_minor = r->head.minor;
        m->method = call->page ? (struct ipc_span){ "GET", 3 } : head_span(base, r->head.method_off, r->head.method_len);
        m->target = head_span(base, r->head.target_off, r->head.target_len);
        m->query = (struct ipc_span){ request_query(r).ptr, request_query(r).len };
        m->host = (struct ipc_span){ request_host(r).ptr, request_host(r).len };
        m->path = (struct ipc_span){ r->path.ptr, r->path.len };
        m->root_path = (struct ipc_span){ root, strlen(root) };
        m->user = (struct ipc_span){ r->user.ptr, r->user.len };
        if (call->head_alone) {
                m->content_length = -1;
                return;
        }
        m->content_length = r->decompressed ? -1 : r->head.content_length;
        if ((r->head.chunked || r->decompressed) && r->body_ended)
                m->content_length = (int64_t)r->body_bytes; /* it was gathered whole: the app may know its length */
        if (is_here && out_len(&r->gathered) > 0)
                m->body = (struct ipc_span){ r->gathered.buf + r->gathered.start, out_len(&r->gathered) };
}

/* Lays the request out in its slot, or in a chunk when it is too long for one. Messages with a body get half of the chunks: those that wait in the queue would
 * have all of them otherwise, and who comes next, or streams a body to the pyworker that they wait for, none. */
static int
lay_out(struct lane *l, struct ipc_request *m, uint32_t slot, uint32_t *ret_chunk)
{
        const struct ipc_geometry *g = ipc_lane_geometry(l->ipc);
        size_t size = ipc_request_size(m);
        long n;
        int e;

        *ret_chunk = UINT32_MAX;
        if (size <= g->slot_bytes) {
                n = ipc_request_encode(m, ipc_slot_buffer(l->ipc, slot), g->slot_bytes);
                return n < 0 ? (int)n : 0;
        }
        if (size > g->chunk_bytes)
                return -EMSGSIZE;
        if (m->body.len > 0 && l->message_chunks >= g->chunks / 2)
                return -EMSGSIZE;
        e = ipc_chunk_claim(l->ipc, ret_chunk);
        if (e < 0)
                return e;
        n = ipc_request_encode(m, ipc_chunk_buffer(l->ipc, *ret_chunk), g->chunk_bytes);
        if (n < 0)
                ipc_chunk_unclaim(l->ipc, *ret_chunk);
        return n < 0 ? (int)n : 0;
}

/* As many as may wait do wait. They are only counted when so many slots are in use at all. */
static bool
is_full(const struct lane *l)
{
        return l->in_use >= l->queue_max && ipc_lane_ready_count(l->ipc) >= l->queue_max;
}

int
lane_submit(struct lane *l, struct request *r, const struct lane_call *call)
{
        const struct conf_app *app = conf_app_at(request_conf(r), call->app_index);
        struct ipc_field headers[HTTP_HEADERS_MAX], params[ROUTER_PARAMS_MAX];
        struct ipc_request m = { .headers = headers, .params = params };
        char client[64], server[64];
        uint32_t slot, generation, chunk;
        struct lane_slot *s;
        int e;

        assert(loop_is_mine(l->loop) && r->lane == NULL);
        if (is_full(l))
                return -EAGAIN;
        e = list_headers(r, request_bytes(r), call->page, headers, &m.header_count);
        if (e < 0)
                return e;
        e = ipc_slot_claim(l->ipc, &slot, &generation);
        if (e < 0)
                return e;
        describe(r, app, call, &m);
        address_spans(r, &m, client, server, sizeof(client));
        m.param_count = call->page ? 0 : list_params(r, params);
        e = lay_out(l, &m, slot, &chunk);
        if (e == -EMSGSIZE && m.body.len > 0) {
                /* Head and body together are too long, or chunks are scarce: the body goes through chunks of its own when it is asked for. */
                m.body.len = 0;
                m.flags |= IPC_F_STREAMED;
                e = lay_out(l, &m, slot, &chunk);
        }
        if (e < 0) {
                ipc_slot_unclaim(l->ipc, slot);
                return e;
        }
        s = &l->slots[slot];
        assert(!s->used);
        *s = (struct lane_slot){ .request = r, .id = r->id, .generation = generation, .in_chunk = chunk != UINT32_MAX, .used = true };
        l->in_use++;
        l->message_chunks += s->in_chunk;
        r->streamed = (m.flags & IPC_F_STREAMED) != 0;
        r->body_wanted = false; /* whoever had it before may have asked for the body: this one has not */
        r->lane = l;
        r->slot = slot;
        r->asked_app = call->app_index;
        board_add(l->loop->board, C_slots_claimed, 1);
        board_add(l->loop->board, C_python_requests, 1);
        ipc_slot_publish(l->ipc, slot, chunk);
        l->published++;
        if (!call->head_alone)
                r->body = m.flags & IPC_F_STREAMED ? BODY_STATE_STREAMING : BODY_STATE_NONE;
        request_arm(r, app->queue.timeout_ms, (m.deadline_us - l->loop->now_us) / 1000);
        if (!call->head_alone && r->body == BODY_STATE_STREAMING)
                lane_body(r);
        return 0;
}

bool
lane_hand_over(struct request *r, const struct lane_call *call)
{
        struct lane *lane = lane_of(r, call->app_index);
        int e = lane != NULL ? lane_submit(lane, r, call) : -EAGAIN;

        if (e == 0)
                return true;
        if (lane != NULL)
                board_add(r->conn->loop->board, C_python_queue_full, 1);
        if (e == -EMSGSIZE)
                request_fail(r, 431, true);
        else
                request_busy(r);
        return false;
}
