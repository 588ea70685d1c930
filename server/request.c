/* request.c - one request from its head to the end of its answer: matching, failing, deadlines.
 * SPDX-License-Identifier: MIT
 * From: conn.c when a head is complete, then again whenever bytes moved.   To: dispatch.c says what the route means; lane.c talks to Python;
 * request_body.c is the body's side.
 * Runs in: the owning loop.   A request ends when its answer is complete and its body dealt with; one that cannot end well is `broken`. */
#include "request.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "answer_keep.h"
#include "client.h"
#include "cors.h"
#include "decompress.h"
#include "error_pages.h"
#include "facts.h"
#include "in_flight.h"
#include "https_redirect.h"
#include "gates.h"
#include "lane.h"
#include "log.h"
#include "outgoing.h"
#include "spool.h"

#define REQUESTS_KEPT 256          /* free requests that a loop keeps */
#define HALF_CLOSE_GRACE_MS 200    /* a queued request whose client has closed its sending side may be taken for this long */
#define UNFLUSHED_BELOW 16384      /* a compressor is flushed when fewer bytes than this wait for the client: with more, it has enough to read */

const struct conf *
request_conf(const struct request *r)
{
        return &r->lg->g->conf;
}

const char *
request_bytes(const struct request *r)
{
        return r->conn->in + r->conn->in_start;
}

struct span
request_header(const struct request *r, enum ipc_header_id id)
{
        return http_head_get(&r->head, request_bytes(r), id);
}

struct span
request_host(const struct request *r)
{
        if (r->forwarded_host_len > 0)
                return (struct span){ r->forwarded_host, r->forwarded_host_len };
        return (struct span){ request_bytes(r) + r->head.host_off, r->head.host_len };
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

static void on_deadline(struct wheel_timer *t);

/* The earliest of what its time with Python is bound by. */
static uint64_t
next_deadline(const struct request *r)
{
        uint64_t at = r->handler_deadline_ms;

        if (r->queue_deadline_ms != 0 && r->queue_deadline_ms < at)
                at = r->queue_deadline_ms;
        if (r->gone_ms != 0 && r->gone_ms < at)
                at = r->gone_ms;
        return at;
}

struct request *
request_new(struct conn *c)
{
        struct loop *l = c->loop;
        struct request *r = l->requests;

        if (r != NULL) {
                l->requests = r->next_free;
                l->request_count--;
        } else {
                r = malloc(sizeof(*r));
                if (r == NULL)
                        return NULL;
        }
        memset(r, 0, offsetof(struct request, head));
        memset(&r->match, 0, offsetof(struct router_match, params));
        http_head_init(&r->head);
        r->path_buf = NULL;
        r->conn = c;
        r->out = &c->out;
        r->chunk = -1;
        r->began_ms = l->now_ms;
        r->timer.fn = on_deadline;
        return r;
}

static void
log_access(const struct request *r)
{
        struct loop *l = r->conn->loop;
        const char *base = request_bytes(r);
        char peer[64];
        struct access_entry e = {
                .host = r->host, .id = r->id, .status = r->status, .minor = r->head.minor, .bytes = r->answer_bytes,
                .duration_us = l->now_us > r->arrived_us ? l->now_us - r->arrived_us : 0, .time = l->now_s,
                .route = r->route != NULL ? r->route->path : NULL, .user = r->user,
        };

        client_text(r, peer, sizeof(peer));
        e.client = span_of(peer);
        if (r->head_len > 0) {
                e.method = (struct span){ base + r->head.method_off, r->head.method_len };
                e.target = (struct span){ base + r->head.target_off, r->head.target_len };
                e.referer = request_header(r, IPC_H_REFERER);
                e.user_agent = request_header(r, IPC_H_USER_AGENT);
        }
        access_log_add(l->access_log, &e);
}

static void
count_answer(const struct request *r)
{
        enum counter c = r->status >= 500 ? C_answers_5xx : r->status >= 400 ? C_answers_4xx : C_answers_1xx_3xx;

        if (r->status != 0)
                board_add(r->conn->loop->board, c, 1);
}

void
request_free(struct request *r)
{
        struct loop *l;

        if (r == NULL)
                return;
        l = r->conn->loop;
        assert(r->lane == NULL);
        in_flight_leave(r);
        wheel_cancel(&l->wheel, &r->timer);
        if (r->begun) {
                count_answer(r);
                if (l->access_on)
                        log_access(r);
        }
        outgoing_encoder_done(r);
        decompress_end(r);
        file_send_end(r);
        free(r->handover);
        if (r->gathered.buf != NULL)
                out_fini(&r->gathered);
        spool_free(r->spool);
        l->gathered_room -= r->gathered_room;
        answer_keep_free(r);
        free(r->path_buf);
        free(r->auth_note);
        while (r->to_app != NULL) {
                struct app_field *f = r->to_app;
                r->to_app = f->next;
                free(f);
        }
        if (r->lg != NULL)
                loop_generation_unpin(l, r->lg);
        if (l->request_count >= REQUESTS_KEPT) {
                free(r);
                return;
        }
        r->next_free = l->requests;
        l->requests = r;
        l->request_count++;
}

void
request_abandon(struct request *r)
{
        if (r->lane != NULL)
                (void)lane_abandon(r);
}

void
request_client_left(struct request *r)
{
        struct loop *l = r->conn->loop;

        /* A FIN may come from a client that is gone, or from one that has said all and listens (nc -N). Both look the same. One whose turn comes at once is
         * answered either way; one that still waits in the app's queue after the grace is dropped before Python sees it. */
        if ((r->lane == NULL && r->waits_at == 0) || r->answer != ANSWER_WAITING)
                return;
        r->gone_ms = l->now_ms + HALF_CLOSE_GRACE_MS;
        if (r->lane == NULL)
                return; /* in_flight.c asks when its turn comes */
        wheel_set(&l->wheel, &r->timer, next_deadline(r));
}

/* ---- beginning ------------------------------------------------------------------------------------------------------- */

/* What client_resolve says. */
static int
begin(struct request *r)
{
        struct loop *l = r->conn->loop;

        r->begun = true;
        r->lg = loop_generation(l);
        loop_generation_pin(r->lg);
        r->id = (uint64_t)l->id << 40 | ++l->next_request;
        r->arrived_us = l->now_us;
        r->policy = r->lg->g->policy_default;
        r->limits = generation_limits(r->lg->g, r->conn->listener_id);
        return client_resolve(r);
}

/* Decodes path and host into the request. 0 or -EINVAL: 400. */
static int
take_path(struct request *r)
{
        const char *base = request_bytes(r);
        struct span raw = { base + r->head.path_off, r->head.path_len };
        char *room = r->path_small;

        if (raw.len + 1 > sizeof(r->path_small)) {
                room = r->path_buf = malloc(raw.len + 1);
                if (room == NULL)
                        return -ENOMEM;
        }
        if (router_decode(raw, room, &r->path) < 0)
                return -EINVAL;
        if (r->path.ptr != room) { /* nothing had to change: but the input buffer may move, so the bytes are kept here */
                memcpy(room, r->path.ptr, r->path.len);
                r->path.ptr = room;
        }
        r->host = http_host_name(request_host(r), r->host_buf, sizeof(r->host_buf));
        return 0;
}

static bool
stays_open(const struct request *r)
{
        const struct conn *c = r->conn;
        uint32_t most = r->limits->keep_alive.requests;

        return r->head.keep_alive && !c->close_after && !c->loop->draining && (most == 0 || c->request_count < most) && r->limits->keep_alive.timeout_ms != 0;
}

void
request_expected(struct request *r)
{
        r->expect_continue = false;
        if (r->answer == ANSWER_WAITING)
                r->keep_alive = stays_open(r);
}

struct span
request_query(const struct request *r)
{
        return r->new_query.ptr != NULL ? r->new_query : (struct span){ request_bytes(r) + r->head.query_off, r->head.query_len };
}

/* The matched route's settings hold from here on. */
static void
take_route(struct request *r)
{
        r->route = &r->lg->g->routes[r->match.route];
        r->policy = r->lg->g->policies[r->match.route];
}

/* Where the request came from and how, for the conditions of routes. */
static enum router_verdict
match(struct request *r, uint32_t method)
{
        struct router_query q = { .path = r->path, .host = r->host, .method = method, .local = *conn_local(r->conn), .tls = r->https,
                                  .source = r->client };
        struct facts facts;

        facts_init(&facts, &r->head, request_bytes(r));
        facts.query = request_query(r);
        q.facts = &facts.ask;
        return router_match(r->lg->g->router, r->conn->loop->scratch, &q, &r->match);
}

int
request_unmatch(struct request *r)
{
        r->route = NULL;
        r->policy = r->lg->g->policy_default;
        r->match.param_count = 0;
        if (r->rewrites == 0)
                return 0;
        r->rewrites = 0;
        r->new_query = (struct span){ NULL, 0 };
        free(r->path_buf);
        r->path_buf = NULL;
        return take_path(r);
}

enum router_verdict
request_match_as(struct request *r, uint32_t method)
{
        r->refusal = 0;
        for (;;) {
                enum router_verdict v = match(r, method);
                int e;

                if (v == ROUTER_SLASH && r->rewrites > 0)
                        v = ROUTER_FOUND; /* the client knows nothing of this path, and is not sent to it */
                if (v != ROUTER_FOUND)
                        return v;
                take_route(r);
                if (r->route->action != ROUTE_REWRITE)
                        return v;
                e = rewrite_apply(r);
                if (e < 0) {
                        r->refusal = (uint16_t)-e;
                        return ROUTER_FAILED;
                }
        }
}

/* The path is known, the method is not: what is said about that goes out as the answers of the path do, for a page of another origin to see it. */
static void
take_policy_of_path(struct request *r)
{
        struct router_match asked = r->match;
        uint32_t method = asked.allow & ~(uint32_t)M_OPTIONS;

        if (method != 0 && match(r, method & -method) == ROUTER_FOUND)
                take_route(r);
        else
                r->match = asked;
        r->match.allow = asked.allow;
}

void
request_begin(struct request *r)
{
        enum router_verdict verdict;
        int e;

        e = begin(r);
        r->raw_pos = r->head_len;
        r->keep_alive = stays_open(r);
        r->head_only = r->head.method == M_HEAD;
        request_body_begin(r);
        if (e < 0) {
                request_fail(r, e == -ENOMEM ? 500 : 400, false);
                return;
        }
        if (r->head.path_len == 1 && request_bytes(r)[r->head.path_off] == '*') { /* OPTIONS *: about the server (RFC 9110, 9.3.7) */
                r->match.allow = M_ANY & ~(uint32_t)M_OTHER;
                if (gates_admit(r))
                        dispatch_method(r);
                return;
        }
        e = take_path(r);
        if (e < 0) {
                request_fail(r, e == -ENOMEM ? 500 : 400, true);
                return;
        }
        if ((r->head.method & r->lg->g->methods) == 0 && r->head.method == M_OTHER) { /* RFC 9110, 15.6.2: not known, and no route could take it */
                request_fail(r, 501, false);
                return;
        }
        if (https_redirect_answer(r) || cors_preflight(r))
                return;
        verdict = request_match_as(r, r->head.method);
        if (verdict == ROUTER_METHOD)
                take_policy_of_path(r);
        if (verdict == ROUTER_SLASH)
                take_route(r); /* who may not have it is not told how it is spelled, and who may is sent there as from the route itself */
        if (verdict != ROUTER_FOUND && !gates_admit(r)) /* what there is to be had is not said to who may have none of it */
                return;
        switch (verdict) {
        case ROUTER_FOUND:
                break;
        case ROUTER_METHOD:
                dispatch_method(r);
                return;
        case ROUTER_SLASH:
                dispatch_slash(r);
                return;
        case ROUTER_NOT_FOUND:
                request_fail(r, 404, false);
                return;
        case ROUTER_FAILED:
                if (r->refusal != 0) {
                        request_fail(r, r->refusal, false);
                        return;
                }
                log_error("request %llu: a regex of the route table hit its match limit", (unsigned long long)r->id);
                request_fail(r, 500, false);
                return;
        }
        r->body_limit = r->route->body != UINT64_MAX ? r->route->body : r->limits->body;
        if (!r->head.chunked && r->body_left > r->body_limit) {
                request_fail(r, 413, true);
                return;
        }
        gates_run(r);
}

/* ---- what is added on the way ------------------------------------------------------------------------------------------- */

bool
request_add_line(struct request *r, struct span name, struct span value)
{
        size_t len = name.len + value.len + 4;
        char *to;

        if (len > sizeof(r->lines) - r->lines_len)
                return false;
        to = r->lines + r->lines_len;
        memcpy(to, name.ptr, name.len);
        memcpy(to + name.len, ": ", 2);
        if (value.len > 0)
                memcpy(to + name.len + 2, value.ptr, value.len);
        memcpy(to + len - 2, "\r\n", 2);
        r->lines_len = (uint16_t)(r->lines_len + len);
        return true;
}

int
request_to_app(struct request *r, struct span name, struct span value)
{
        struct app_field *f = malloc(sizeof(*f) + name.len + value.len), **at = &r->to_app;

        assert(name.len > 0 && name.len <= UINT16_MAX);
        if (f == NULL)
                return -ENOMEM;
        *f = (struct app_field){ .id = (uint8_t)ipc_header_find(name.ptr, name.len), .absent = value.ptr == NULL,
                                 .name_len = (uint16_t)name.len, .value_len = (uint32_t)value.len };
        memcpy(f->text, name.ptr, name.len);
        if (value.len > 0)
                memcpy(f->text + name.len, value.ptr, value.len);
        while (*at != NULL)
                at = &(*at)->next;
        *at = f;
        return 0;
}

/* ---- failing ----------------------------------------------------------------------------------------------------------- */

void
request_fail_with(struct request *r, unsigned status, bool fatal, struct span extra)
{
        struct conn *c = r->conn;
        struct page page;
        struct outgoing h;

        free(r->handover);
        r->handover = NULL;
        if (!r->begun)
                (void)begin(r);
        if (r->lane != NULL)
                (void)lane_abandon(r);
        wheel_cancel(&c->loop->wheel, &r->timer);
        if (r->answer != ANSWER_WAITING) {
                request_answer_abort(r);
                return;
        }
        if (fatal || r->expect_continue || !stays_open(r)) {
                r->keep_alive = false;
                r->body = BODY_STATE_NONE;
        } else { /* one that was gathered whole is nobody's any more: an app may yet be asked for a page, and meanwhile it must not be handed over */
                r->body = r->body_ended ? BODY_STATE_NONE : BODY_STATE_DISCARDING;
        }
        if (error_pages_answer(r, &status, &extra))
                return;
        outgoing_begin(&h, r, status);
        response_page(&page, status, r->head_len > 0 ? request_header(r, IPC_H_ACCEPT) : (struct span){ NULL, 0 });
        if (page.count > 0) {
                outgoing_field(&h, IPC_H_CONTENT_TYPE, SPAN_LIT("Content-Type"), page.type);
                outgoing_field(&h, IPC_H_VARY, SPAN_LIT("Vary"), SPAN_LIT("Accept"));
        }
        outgoing_lines(&h, extra);
        outgoing_whole(&h, page.parts, page.count);
}

void
request_fail(struct request *r, unsigned status, bool fatal)
{
        request_fail_with(r, status, fatal, (struct span){ "", 0 });
}

static struct span
retry_after(const struct request *r, char *buf, size_t room)
{
        uint64_t s = (r->route != NULL && r->route->app_index != UINT32_MAX
                      ? conf_app_at(request_conf(r), r->route->app_index)->queue.timeout_ms : request_conf(r)->queue.timeout_ms) / 1000;

        return (struct span){ buf, (size_t)snprintf(buf, room, "Retry-After: %llu\r\n", (unsigned long long)(s > 0 ? s : 1)) };
}

void
request_busy(struct request *r)
{
        char line[48];

        request_fail_with(r, 503, false, retry_after(r, line, sizeof(line)));
}

static void
on_deadline(struct wheel_timer *t)
{
        struct request *r = (struct request *)(void *)((char *)t - offsetof(struct request, timer));
        struct loop *l = r->conn->loop;

        if (r->answer != ANSWER_WAITING) { /* answer_keep wants to look again */
                loop_ready(l, r->conn);
                return;
        }
        if (r->lane == NULL)
                return;
        if (r->gone_ms != 0 && l->now_ms >= r->gone_ms) {
                r->gone_ms = 0;
                if (lane_try_retract(r)) {
                        board_add(l->board, C_python_abandoned, 1);
                        r->broken = true;
                        loop_ready(l, r->conn);
                        return;
                }
        }
        if (r->queue_deadline_ms != 0 && l->now_ms >= r->queue_deadline_ms) {
                r->queue_deadline_ms = 0;
                if (lane_try_retract(r)) {
                        board_add(l->board, C_python_queue_full, 1);
                        request_busy(r);
                        loop_ready(l, r->conn);
                        return;
                }
        }
        if (l->now_ms < r->handler_deadline_ms) {
                wheel_set(&l->wheel, t, next_deadline(r));
                return;
        }
        board_add(l->board, C_python_timeouts, 1);
        log_error("request %llu: no answer from the handler within handler_timeout: 504", (unsigned long long)r->id);
        request_fail(r, 504, false);
        loop_ready(l, r->conn);
}

void
request_arm(struct request *r, uint64_t queue_ms, uint64_t handler_ms)
{
        struct loop *l = r->conn->loop;

        r->queue_deadline_ms = l->now_ms + queue_ms;
        r->handler_deadline_ms = l->now_ms + handler_ms;
        wheel_set(&l->wheel, &r->timer, next_deadline(r));
}

/* ---- the answer ------------------------------------------------------------------------------------------------------------ */

void
request_answer_started(struct request *r, unsigned status, enum body_kind framing, uint64_t length)
{
        assert(r->answer == ANSWER_WAITING);
        r->answer = ANSWER_STARTED;
        r->status = status;
        r->framing = framing;
        r->promised = framing == BODY_LENGTH;
        r->answer_left = length;
        if (framing == BODY_UNTIL_CLOSE)
                r->keep_alive = false;
        wheel_cancel(&r->conn->loop->wheel, &r->timer);
}

void
request_answer_complete(struct request *r)
{
        r->answer = ANSWER_COMPLETE;
        wheel_cancel(&r->conn->loop->wheel, &r->timer);
        if (r->body == BODY_STATE_NONE || r->body_ended) {
                r->body = BODY_STATE_NONE;
                return;
        }
        /* A client that still waits for its 100 may send the body or not: only closing is unambiguous (RFC 9110, 10.1.1). */
        if (r->expect_continue) {
                r->keep_alive = false;
                r->body = BODY_STATE_NONE;
        } else {
                r->body = BODY_STATE_DISCARDING;
        }
}

void
request_answer_abort(struct request *r)
{
        r->keep_alive = false;
        r->broken = true;
}

void
request_written(struct request *r)
{
        uint32_t left = (uint32_t)out_len(&r->conn->out);

        /* `out` holds what earlier, pipelined answers left in front of ours: what is not in it any more is surely gone. */
        if (r->unacked > left && r->lane != NULL && r->kept == NULL) {
                lane_ack(r, r->unacked - left);
                r->unacked = left;
        }
}

/* ---- going on ----------------------------------------------------------------------------------------------------------- */

/* Compressed, an answer takes the room of what came out: its maker need not wait for the rest to be read, it is gone. Once a turn and not with each record, so that a maker
 * which is faster than the compressor cannot keep the loop to itself: a turn takes what a window holds. */
static void
ack_compressed(struct request *r)
{
        uint32_t held = (uint32_t)out_len(r->out);

        if (r->unacked > held && r->lane != NULL) {
                lane_ack(r, r->unacked - held);
                r->unacked = held;
        }
}

bool
request_step(struct request *r)
{
        bool over;

        if (r->waits_at != 0 && (!in_flight_again(r) || r->broken))
                return false;
        switch (r->body) {
        case BODY_STATE_BUFFERING:
                request_gather(r);
                break;
        case BODY_STATE_STREAMING:
                lane_body(r);
                break;
        case BODY_STATE_DISCARDING:
                if (r->answer != ANSWER_WAITING)
                        request_discard(r);
                break;
        case BODY_STATE_NONE:
                break;
        }
        if (r->broken || r->pending)
                return false;
        if (r->file.file != NULL && !file_send_step(r))
                return false;
        if (r->answer == ANSWER_STARTED && r->file.file == NULL && r->lane == NULL)
                request_answer_complete(r); /* a file that is out, or a head without more to come */
        over = answer_keep(r);
        if (r->encoder != NULL)
                ack_compressed(r);
        if (r->unflushed && r->kept == NULL && out_len(&r->conn->out) < UNFLUSHED_BELOW)
                outgoing_flush(r);
        return over && r->answer == ANSWER_COMPLETE && r->body == BODY_STATE_NONE;
}
