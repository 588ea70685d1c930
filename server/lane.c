/* lane.c - the loop's side of a pool: slots out, answers back, and who owns what when somebody dies.
 * SPDX-License-Identifier: MIT
 * From: dispatch.c hands requests over; worker.c says which pyworkers come and go.   To: ipc/ for every shared byte; answer.c turns records into the client's bytes.
 * Runs in: the owning loop.   No slot free: lane_submit says -EAGAIN and the client gets 503.
 * Invariants (DESIGN.md 7): a slot in use has exactly one lane_slot with its generation; only slot_free gives it back, after DONE or after its owner was reaped. */
#include "lane.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "answer.h"
#include "log.h"

#define NO_CHUNK (-1)
#define WHAT_MAX 96

struct lane_slot {
        struct request *request; /* NULL: nobody waits for the answer any more */
        uint64_t id;             /* the request's, for the log */
        uint64_t kill_ms;        /* abandoned: when its pyworker's patience ends; 0: never asked */
        uint32_t generation;
        uint32_t outstanding;    /* body chunks pushed and not consumed */
        ipc_owner owner;         /* 0 until the first record from it */
        bool used, ended;        /* ended: its last record was read; it waits for DONE */
        char what[WHAT_MAX];     /* abandoned: "GET /path", quoted */
};

struct peer {
        struct peer *next;
        ipc_owner owner;
        int wake_fd;
        bool broken;             /* reported; its answers are not read any more */
        struct ipc_answers *answers;
};

struct lane {
        struct lane *next;
        struct worker_pool *pool;
        struct loop *loop;
        struct ipc_bell *bell;
        struct ipc_lane *ipc;
        struct peer *peers;
        uint32_t slot_count, in_use, lingering /* ended, not DONE */;
        uint32_t published;      /* in this turn */
        bool starved;            /* a body waits for a chunk */
        bool idle_said;
        uint64_t overdue;        /* id of the request that waited beside a sleeper at the last tick; 0: none */
        struct lane_slot slots[];
};

/* ---- making ------------------------------------------------------------------------------------------------------------- */

int
lane_new(struct worker_pool *pool, int bell_fd, int words_fd, int requests_fd, struct lane **ret)
{
        struct ipc_lane *ipc;
        struct lane *l;
        int r = ipc_lane_open(words_fd, requests_fd, true, &ipc);
        uint32_t count;

        if (r < 0)
                return r;
        count = ipc_lane_geometry(ipc)->slots;
        l = calloc(1, sizeof(*l) + count * sizeof(l->slots[0]));
        if (l == NULL) {
                r = -ENOMEM;
                goto fail;
        }
        r = ipc_bell_open(bell_fd, &l->bell);
        if (r < 0)
                goto fail;
        l->pool = pool;
        l->ipc = ipc;
        l->slot_count = count;
        *ret = l;
        return 0;
fail:
        free(l);
        ipc_lane_free(ipc);
        return r;
}

void
lane_free(struct lane *l)
{
        if (l == NULL)
                return;
        while (l->peers != NULL) {
                struct peer *p = l->peers;
                l->peers = p->next;
                peer_free(p);
        }
        ipc_lane_free(l->ipc);
        ipc_bell_free(l->bell);
        free(l);
}

int
peer_new(ipc_owner owner, int wake_fd, int answers_fd, struct peer **ret)
{
        struct peer *p = calloc(1, sizeof(*p));
        int r;

        if (p == NULL)
                return -ENOMEM;
        p->owner = owner;
        p->wake_fd = fcntl(wake_fd, F_DUPFD_CLOEXEC, 3);
        if (p->wake_fd < 0) {
                r = -errno;
                free(p);
                return r;
        }
        r = ipc_answers_open(answers_fd, true, &p->answers);
        if (r < 0) {
                peer_free(p);
                return r;
        }
        *ret = p;
        return 0;
}

void
peer_free(struct peer *p)
{
        if (p == NULL)
                return;
        ipc_answers_free(p->answers);
        if (p->wake_fd >= 0)
                close(p->wake_fd);
        free(p);
}

void
lane_add(struct loop *loop, struct lane *lane)
{
        assert(loop_is_mine(loop));
        lane->loop = loop;
        lane->next = loop->lanes;
        loop->lanes = lane;
}

struct lane *
lane_find(struct loop *loop, uint32_t pool_id)
{
        struct lane *l = loop->lanes;

        while (l != NULL && l->pool->id != pool_id)
                l = l->next;
        return l;
}

static void
wake_peer(const struct peer *p)
{
        uint64_t one = 1;
        ssize_t n = write(p->wake_fd, &one, sizeof(one)); /* EAGAIN: it is readable already */

        (void)n;
}

void
lane_attach(struct loop *loop, uint32_t pool_id, struct peer *p)
{
        struct lane *lane = lane_find(loop, pool_id);

        if (lane == NULL) {
                peer_free(p);
                return;
        }
        p->next = lane->peers;
        lane->peers = p;
        wake_peer(p); /* it may have gone to sleep before we could have woken it */
}

/* ---- slots ------------------------------------------------------------------------------------------------------------------ */

static void
slot_free(struct lane *l, struct lane_slot *s)
{
        assert(s->used && s->request == NULL);
        if (s->ended)
                l->lingering--;
        s->used = false;
        l->in_use--;
        board_add(l->loop->board, C_slots_freed, 1);
        l->loop->unsettled = true;
        if (l->starved) { /* its chunks are free too */
                l->starved = false;
                for (uint32_t i = 0; i < l->slot_count; i++)
                        if (l->slots[i].request != NULL && l->slots[i].request->body_paused)
                                loop_ready(l->loop, l->slots[i].request->conn);
        }
}

static uint32_t
slot_index(const struct lane *l, const struct lane_slot *s)
{
        return (uint32_t)(s - l->slots);
}

/* The request lets go of its slot; the slot stays with its taker. */
static struct lane_slot *
detach(struct request *r)
{
        struct lane *l = r->lane;
        struct lane_slot *s = &l->slots[r->slot];

        assert(s->used && s->request == r);
        s->request = NULL;
        if (r->chunk != NO_CHUNK) {
                ipc_chunk_unclaim(l->ipc, (uint32_t)r->chunk);
                r->chunk = NO_CHUNK;
        }
        r->lane = NULL;
        wheel_cancel(&l->loop->wheel, &r->timer);
        return s;
}

bool
lane_try_retract(struct request *r)
{
        struct lane *l = r->lane;

        if (!ipc_slot_retract(l->ipc, r->slot))
                return false;
        slot_free(l, detach(r));
        return true;
}

bool
lane_abandon(struct request *r)
{
        struct lane *l = r->lane;
        struct lane_slot *s;
        const struct conf_app *app = conf_app_at(request_conf(r), r->route->app_index);
        const char *base = request_bytes(r);

        if (lane_try_retract(r)) {
                board_add(l->loop->board, C_python_abandoned, 1);
                return true;
        }
        if (!r->body_ended)
                ipc_body_abort(l->ipc, r->slot);
        ipc_slot_cancel(l->ipc, r->slot);
        log_quote((struct span){ base + r->head.method_off, r->head.method_len + 1 + r->head.target_len }, l->slots[r->slot].what, WHAT_MAX);
        l->slots[r->slot].kill_ms = r->handler_deadline_ms + app->timeout_kill_ms;
        s = detach(r);
        assert(!s->ended);
        return false;
}

/* ---- requests out -------------------------------------------------------------------------------------------------------------- */

static void
address_spans(struct request *r, struct ipc_request *m, char *client, char *server, size_t room)
{
        const struct router_local *local = conn_local(r->conn);

        conn_peer_text(r->conn, client, room, &m->client_port);
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

static uint16_t
list_headers(const struct request *r, const char *base, struct ipc_field *f)
{
        for (uint32_t i = 0; i < r->head.field_count; i++) {
                const struct http_field *h = &r->head.fields[i];
                f[i].name = head_span(base, h->name_off, h->name_len);
                f[i].value = head_span(base, h->value_off, h->value_len);
                f[i].id = h->id;
        }
        return (uint16_t)r->head.field_count;
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
root_path(const struct request *r, const struct conf_app *app)
{
        if (app->root_path != NULL && app->root_path[0] != '\0')
                return app->root_path;
        return r->route->root_path != NULL ? r->route->root_path : "";
}

static void
describe(struct request *r, const struct conf_app *app, struct ipc_request *m)
{
        const char *base = request_bytes(r), *root = root_path(r, app);
        uint64_t timeout = r->route->timeout_ms != 0 ? r->route->timeout_ms : request_conf(r)->limits.handler_timeout_ms;

        m->id = r->id;
        m->arrived_us = r->arrived_us;
        m->deadline_us = r->arrived_us + timeout * 1000;
        m->generation = r->lg->g->number;
        m->handler = r->route->handler;
        m->flags = (uint16_t)((r->conn->tls != NULL ? IPC_F_TLS : 0) | (r->keep_alive ? IPC_F_KEEP_ALIVE : 0) |
                              (r->head_only ? IPC_F_HEAD : 0) | (r->body_ended ? 0 : IPC_F_STREAMED));
        m->http_minor = r->head.minor;
        m->method = head_span(base, r->head.method_off, r->head.method_len);
        m->target = head_span(base, r->head.target_off, r->head.target_len);
        m->query = head_span(base, r->head.query_off, r->head.query_len);
        m->host = head_span(base, r->head.host_off, r->head.host_len);
        m->path = (struct ipc_span){ r->path.ptr, r->path.len };
        m->root_path = (struct ipc_span){ root, strlen(root) };
        m->content_length = r->head.content_length;
        if (r->head.chunked && r->body_ended)
                m->content_length = (int64_t)out_len(&r->gathered); /* it was gathered whole: the app may know its length */
        if (r->body_ended && out_len(&r->gathered) > 0)
                m->body = (struct ipc_span){ r->gathered.buf + r->gathered.start, out_len(&r->gathered) };
}

/* Lays the request out in its slot, or in a chunk when it is too long for one. */
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
        e = ipc_chunk_claim(l->ipc, ret_chunk);
        if (e < 0)
                return e;
        n = ipc_request_encode(m, ipc_chunk_buffer(l->ipc, *ret_chunk), g->chunk_bytes);
        if (n < 0)
                ipc_chunk_unclaim(l->ipc, *ret_chunk);
        return n < 0 ? (int)n : 0;
}

int
lane_submit(struct lane *l, struct request *r)
{
        const struct conf_app *app = conf_app_at(request_conf(r), r->route->app_index);
        struct ipc_field headers[HTTP_HEADERS_MAX], params[ROUTER_PARAMS_MAX];
        struct ipc_request m = { .headers = headers, .params = params };
        char client[64], server[64];
        uint32_t slot, generation, chunk;
        struct lane_slot *s;
        int e = ipc_slot_claim(l->ipc, &slot, &generation);

        assert(loop_is_mine(l->loop) && r->lane == NULL);
        if (e < 0)
                return e;
        describe(r, app, &m);
        address_spans(r, &m, client, server, sizeof(client));
        m.header_count = list_headers(r, request_bytes(r), headers);
        m.param_count = list_params(r, params);
        e = lay_out(l, &m, slot, &chunk);
        if (e == -EMSGSIZE && m.body.len > 0) {
                /* Head and body together are too long: the body goes through chunks of its own. */
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
        *s = (struct lane_slot){ .request = r, .id = r->id, .generation = generation, .used = true };
        l->in_use++;
        r->lane = l;
        r->slot = slot;
        board_add(l->loop->board, C_slots_claimed, 1);
        board_add(l->loop->board, C_python_requests, 1);
        ipc_slot_publish(l->ipc, slot, chunk);
        l->published++;
        r->body = m.flags & IPC_F_STREAMED ? BODY_STATE_STREAMING : BODY_STATE_NONE;
        request_arm(r, app->queue.timeout_ms, m.deadline_us / 1000 - r->arrived_us / 1000);
        if (r->body == BODY_STATE_STREAMING)
                lane_body(r);
        return 0;
}

/* Puts bytes that were gathered, or come from the client, into the chunk that is being filled. 1 some, 0 none now, -status. */
static int
fill_chunk(struct request *r)
{
        char *to = (char *)ipc_chunk_buffer(r->lane->ipc, (uint32_t)r->chunk) + r->chunk_len;
        size_t room = ipc_lane_geometry(r->lane->ipc)->chunk_bytes - r->chunk_len, n = out_len(&r->gathered);
        const char *from;
        int e;

        if (n > 0) {
                n = n < room ? n : room;
                memcpy(to, r->gathered.buf + r->gathered.start, n);
                r->gathered.start += (uint32_t)n;
                r->chunk_len += (uint32_t)n;
                return 1;
        }
        e = request_pull(r, room, &from, &n);
        if (e > 0) {
                memcpy(to, from, n);
                r->chunk_len += (uint32_t)n;
        }
        return e;
}

/* Tells the taker about the filled chunk. 0, or -EAGAIN: it has enough for now. */
static int
push_chunk(struct request *r, bool last)
{
        struct lane *l = r->lane;
        int e = ipc_body_push(l->ipc, r->slot, r->chunk_len > 0 ? (uint32_t)r->chunk : UINT32_MAX, r->chunk_len, last);

        if (e < 0)
                return e;
        if (r->chunk_len > 0) {
                l->slots[r->slot].outstanding++;
        } else if (r->chunk != NO_CHUNK) {
                ipc_chunk_unclaim(l->ipc, (uint32_t)r->chunk);
        }
        r->chunk = NO_CHUNK;
        r->chunk_len = 0;
        r->last_pushed = last;
        return 0;
}

void
lane_body(struct request *r)
{
        struct lane *l = r->lane;
        uint32_t chunk_bytes, chunk;
        bool all;
        int e;

        r->body_paused = false;
        while (l != NULL && !r->last_pushed) {
                if (r->expect_continue && r->raw_pos == r->conn->in_end - r->conn->in_start)
                        return; /* until the handler wants it */
                if (r->chunk == NO_CHUNK) {
                        if (ipc_chunk_claim(l->ipc, &chunk) < 0) {
                                l->starved = r->body_paused = true;
                                return;
                        }
                        r->chunk = (int32_t)chunk;
                        r->chunk_len = 0;
                }
                chunk_bytes = ipc_lane_geometry(l->ipc)->chunk_bytes;
                e = r->chunk_len < chunk_bytes ? fill_chunk(r) : 0;
                if (e < 0) {
                        request_fail(r, (unsigned)-e, true);
                        return;
                }
                all = r->body_ended && out_len(&r->gathered) == 0;
                if (e > 0 && r->chunk_len < chunk_bytes && !all)
                        continue;
                if (r->chunk_len == chunk_bytes || all) {
                        if (push_chunk(r, all) < 0) {
                                r->body_paused = true;
                                return;
                        }
                        continue;
                }
                e = request_read_more(r);
                if (e < 0) {
                        ipc_body_abort(l->ipc, r->slot);
                        r->broken = true;
                        return;
                }
                if (e == 0) {
                        /* Nothing more for now: a taker that has read all it got need not wait for a full chunk. */
                        if (r->chunk_len > 0 && l->slots[r->slot].outstanding == 0)
                                (void)push_chunk(r, false);
                        return;
                }
        }
        if (r->last_pushed)
                r->body = BODY_STATE_NONE;
}

void
lane_ack(struct request *r, uint32_t bytes)
{
        ipc_slot_ack(r->lane->ipc, r->slot, bytes);
}

/* ---- answers back ------------------------------------------------------------------------------------------------------------------ */

static void
peer_broken(struct lane *l, struct peer *p, const char *why)
{
        struct msg m = { .kind = MSG_PY_BROKEN, .pool_id = l->pool->id, .owner = p->owner };

        if (p->broken)
                return;
        p->broken = true;
        worker_say(l->loop->worker, &m, why);
}

/* Is this record's slot this peer's to answer? What the loop knows privately decides; the shared word only names the owner the first time. */
static struct lane_slot *
slot_of(struct lane *l, const struct peer *p, const struct ipc_record *rec)
{
        struct lane_slot *s;

        if (rec->slot >= l->slot_count)
                return NULL;
        s = &l->slots[rec->slot];
        if (!s->used || s->ended || s->generation != rec->generation)
                return NULL;
        if (s->owner == 0) {
                struct ipc_word w = ipc_slot_word(l->ipc, rec->slot);
                if (w.owner != p->owner || (w.state != IPC_TAKEN && w.state != IPC_DONE))
                        return NULL;
                s->owner = p->owner;
        }
        return s->owner == p->owner ? s : NULL;
}

static int
want_body(struct request *r)
{
        r->body_wanted = true;
        if (r->expect_continue && r->answer == ANSWER_WAITING) {
                out_add_span(&r->conn->out, SPAN_LIT("HTTP/1.1 100 Continue\r\n\r\n"));
                r->expect_continue = false;
        }
        return 0;
}

static int
on_consumed(struct lane *l, struct lane_slot *s, uint32_t count)
{
        int e = ipc_body_consumed(l->ipc, slot_index(l, s), count);

        if (e < 0)
                return e;
        s->outstanding -= count;
        if (l->starved) {
                l->starved = false;
                for (uint32_t i = 0; i < l->slot_count; i++)
                        if (l->slots[i].request != NULL && l->slots[i].request->body_paused)
                                loop_ready(l->loop, l->slots[i].request->conn);
        }
        return 0;
}

/* One record for a request that still waits. 0, -EPROTO: its pyworker is broken. */
static int
deliver(struct lane *l, struct lane_slot *s, const struct ipc_record *rec, const uint8_t *payload)
{
        struct request *r = s->request;
        bool end = (rec->flags & IPC_REC_END) != 0;
        int e = 0;

        switch (rec->kind) {
        case IPC_REC_HEAD:
                e = answer_head(r, payload, rec->len, end);
                break;
        case IPC_REC_BODY:
                e = answer_body(r, (struct span){ (const char *)payload, rec->len });
                break;
        case IPC_REC_CONSUMED:
                e = on_consumed(l, s, rec->arg);
                break;
        case IPC_REC_WANT_BODY:
                e = want_body(r);
                break;
        case IPC_REC_ABORT:
                end = true;
                break;
        default:
                e = -EPROTO;
        }
        if (e < 0)
                return e;
        if (end) {
                (void)detach(r);
                if (rec->kind == IPC_REC_ABORT)
                        answer_aborted(r);
                else
                        answer_end(r);
        }
        loop_ready(l->loop, r->conn);
        return 0;
}

static void
try_release(struct lane *l, struct lane_slot *s)
{
        if (ipc_slot_release(l->ipc, slot_index(l, s)))
                slot_free(l, s);
}

static int
on_record(struct lane *l, struct peer *p, const struct ipc_record *rec, const uint8_t *payload)
{
        struct lane_slot *s = slot_of(l, p, rec);
        int e = 0;

        if (s == NULL)
                return -EPROTO;
        if (s->request != NULL)
                e = deliver(l, s, rec, payload);
        else if (rec->kind == IPC_REC_BODY)
                ipc_slot_ack(l->ipc, rec->slot, rec->len); /* nobody wants it; its writer need not wait */
        else if (rec->kind == IPC_REC_CONSUMED)
                e = on_consumed(l, s, rec->arg);
        if (e < 0)
                return e;
        if ((rec->flags & IPC_REC_END) || rec->kind == IPC_REC_ABORT) {
                s->ended = true;
                l->lingering++;
        }
        return 0;
}

static bool
poll_peer(struct lane *l, struct peer *p)
{
        struct ipc_record rec;
        const uint8_t *payload;
        bool some = false;
        int e = 0;

        while (!p->broken && (e = ipc_answers_peek(p->answers, &rec, &payload)) == 0) {
                some = true;
                e = on_record(l, p, &rec, payload);
                if (e < 0)
                        break;
                ipc_answers_pop(p->answers);
        }
        if (e < 0 && e != -EAGAIN)
                peer_broken(l, p, "its answers make no sense");
        return some;
}

static void
release_ended(struct lane *l)
{
        for (uint32_t i = 0; i < l->slot_count && l->lingering > 0; i++)
                if (l->slots[i].used && l->slots[i].ended)
                        try_release(l, &l->slots[i]);
}

bool
lanes_poll(struct loop *loop)
{
        bool some = false;

        for (struct lane *l = loop->lanes; l != NULL; l = l->next) {
                for (struct peer *p = l->peers; p != NULL; p = p->next)
                        some |= poll_peer(l, p);
                if (l->lingering > 0)
                        release_ended(l);
        }
        return some;
}

/* ---- sleeping and waking --------------------------------------------------------------------------------------------------------------- */

static struct peer *
peer_at(const struct lane *l, unsigned place)
{
        struct peer *p = l->peers;

        while (p != NULL && ipc_owner_place(p->owner) != place)
                p = p->next;
        return p;
}

/* Wakes one sleeper. False: nobody sleeps that we could wake. */
static bool
wake_one(struct lane *l)
{
        uint64_t unknown = 0;
        struct peer *p = NULL;
        int place;

        while ((place = ipc_bell_pick(l->bell)) >= 0) {
                p = peer_at(l, (unsigned)place);
                if (p != NULL)
                        break;
                if (unknown & (UINT64_C(1) << place))
                        break;
                unknown |= UINT64_C(1) << place; /* its PY_ATTACH is still on its way here; lane_attach will wake it */
        }
        for (unsigned i = 0; unknown != 0; i++, unknown >>= 1)
                if (unknown & 1)
                        ipc_bell_idle(l->bell, i);
        if (p == NULL)
                return false;
        wake_peer(p);
        return true;
}

void
lanes_wake(struct loop *loop)
{
        for (struct lane *l = loop->lanes; l != NULL; l = l->next) {
                uint32_t sent = 0;

                /* One sleeper for each request: a woken one may be held by its first request for seconds, and cannot wake the others. */
                while (sent < l->published && wake_one(l))
                        sent++;
                if (l->published > 0) {
                        board_add(loop->board, C_wakeups_sent, sent);
                        board_add(loop->board, C_wakeups_saved, l->published - sent);
                        l->published = 0;
                }
        }
}

bool
lanes_sleep(struct loop *loop)
{
        for (struct lane *l = loop->lanes; l != NULL; l = l->next)
                for (struct peer *p = l->peers; p != NULL; p = p->next)
                        ipc_answers_sleep(p->answers);
        loop->asleep = true;
        ipc_fence();
        for (struct lane *l = loop->lanes; l != NULL; l = l->next) {
                if (l->lingering > 0)
                        return false;
                for (struct peer *p = l->peers; p != NULL; p = p->next)
                        if (!p->broken && ipc_answers_has_records(p->answers))
                                return false;
        }
        return true;
}

void
lanes_awake(struct loop *loop)
{
        if (!loop->asleep)
                return;
        loop->asleep = false;
        for (struct lane *l = loop->lanes; l != NULL; l = l->next)
                for (struct peer *p = l->peers; p != NULL; p = p->next)
                        ipc_answers_awake(p->answers);
}

/* ---- once a second ----------------------------------------------------------------------------------------------------------------------- */

static void
check_overdue(struct lane *l)
{
        uint64_t now = l->loop->now_ms;

        for (uint32_t i = 0; i < l->slot_count; i++) {
                struct lane_slot *s = &l->slots[i];
                struct ipc_word w;
                struct msg m = { .kind = MSG_PY_BROKEN, .pool_id = l->pool->id };
                char why[WHAT_MAX + 96];

                if (!s->used || s->request != NULL || s->kill_ms == 0 || s->kill_ms > now)
                        continue;
                w = ipc_slot_word(l->ipc, i);
                if (w.state != IPC_TAKEN || w.generation != s->generation)
                        continue;
                m.owner = w.owner;
                s->kill_ms = 0;
                snprintf(why, sizeof(why), "timeout_kill: request %llu %s is still running", (unsigned long long)s->id, s->what);
                worker_say(l->loop->worker, &m, why);
        }
}

/* The longest-waiting request that nobody has taken: its slot, or NULL. */
static struct lane_slot *
oldest_ready(struct lane *l)
{
        struct lane_slot *oldest = NULL;

        for (uint32_t i = 0; i < l->slot_count; i++) {
                struct lane_slot *s = &l->slots[i];
                if (s->used && s->request != NULL && ipc_slot_word(l->ipc, i).state == IPC_READY && (oldest == NULL || s->id < oldest->id))
                        oldest = s;
        }
        return oldest;
}

/* A request that waited beside a sleeper at the last tick and still does: after a second no wake-up can be on its way any more. */
static void
rescue_sleeper(struct lane *l)
{
        struct lane_slot *s = ipc_bell_mask(l->bell) != 0 ? oldest_ready(l) : NULL;

        if (s != NULL && s->id == l->overdue && wake_one(l)) {
                board_add(l->loop->board, C_rescued_wakeups, 1);
                log_alert("pool %u: request %llu waited beside a sleeping pyworker: woken by the rescue scan", l->pool->id, (unsigned long long)s->id);
        }
        l->overdue = s != NULL ? s->id : 0;
}

/* Requests whose ring entries were lost are entered again. */
static void
rescue_entries(struct lane *l)
{
        uint32_t lost = ipc_lane_rescue(l->ipc);

        if (lost == 0)
                return;
        board_add(l->loop->board, C_rescued_wakeups, lost);
        log_alert("pool %u: %u requests had fallen out of the ring: entered again", l->pool->id, lost);
        l->published += lost;
}

void
lanes_rescue(struct loop *loop)
{
        for (struct lane *l = loop->lanes; l != NULL; l = l->next) {
                if (l->in_use == 0)
                        continue;
                rescue_entries(l);
                rescue_sleeper(l);
                check_overdue(l);
        }
}

void
lanes_settle(struct loop *loop)
{
        uint64_t oldest = loop_oldest_generation(loop);

        for (struct lane *l = loop->lanes; l != NULL; l = l->next) {
                uint64_t last = atomic_load(&l->pool->last_generation);
                struct msg m = { .kind = MSG_POOL_IDLE, .pool_id = l->pool->id };

                if (last == 0 || oldest == UINT64_MAX /* no generation was taken up yet */ || oldest <= last || l->in_use > 0 || l->idle_said)
                        continue;
                l->idle_said = true;
                if (atomic_fetch_add(&l->pool->idle_loops, 1) + 1 == loop->worker->heritage->loop_count)
                        worker_say(loop->worker, &m, NULL);
        }
}

/* ---- deaths ----------------------------------------------------------------------------------------------------------------------------------- */

static void
fail_slot(struct lane *l, struct lane_slot *s)
{
        struct request *r = s->request;

        if (r != NULL) {
                (void)detach(r);
                board_add(l->loop->board, C_python_died, 1);
                request_fail(r, 502, false);
                loop_ready(l->loop, r->conn);
        }
}

static void
sweep(struct lane *l, ipc_owner owner)
{
        for (uint32_t i = 0; i < l->slot_count; i++) {
                struct lane_slot *s = &l->slots[i];
                struct ipc_word w;

                if (!s->used)
                        continue;
                w = ipc_slot_word(l->ipc, i);
                if (s->owner != owner && (w.owner != owner || (w.state != IPC_TAKEN && w.state != IPC_DONE)))
                        continue;
                if (!s->ended)
                        fail_slot(l, s);
                ipc_slot_reap(l->ipc, i);
                board_add(l->loop->board, C_slots_reaped, 1);
                slot_free(l, s);
        }
}

void
lane_peer_dead(struct loop *loop, uint32_t pool_id, ipc_owner owner, const char *how)
{
        struct lane *l = lane_find(loop, pool_id);
        struct peer **pp, *p;

        if (l == NULL)
                return;
        for (pp = &l->peers; *pp != NULL && (*pp)->owner != owner; pp = &(*pp)->next)
                ;
        p = *pp;
        if (p != NULL) {
                (void)poll_peer(l, p); /* answers that were done are delivered */
                *pp = p->next;
        }
        log_debug("pool %u: pyworker %u is dead (%s): sweeping", pool_id, ipc_owner_place(owner), how);
        sweep(l, owner);
        (void)ipc_bell_busy(l->bell, ipc_owner_place(owner));
        peer_free(p);
        l->published += ipc_lane_ready_count(l->ipc); /* it may have taken wake-ups with it: others are woken in its stead */
}

void
lane_remove(struct loop *loop, uint32_t pool_id)
{
        struct lane *l = lane_find(loop, pool_id), **pp;

        if (l == NULL)
                return;
        for (uint32_t i = 0; i < l->slot_count; i++) {
                if (!l->slots[i].used)
                        continue;
                fail_slot(l, &l->slots[i]);
                slot_free(l, &l->slots[i]);
        }
        for (pp = &loop->lanes; *pp != l; pp = &(*pp)->next)
                ;
        *pp = l->next;
        lane_free(l);
}

void
lanes_free(struct loop *loop)
{
        while (loop->lanes != NULL)
                lane_remove(loop, loop->lanes->pool->id);
}
