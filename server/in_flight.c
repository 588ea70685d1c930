/* in_flight.c - requests at once: the gate, and those who wait at it. Contract in in_flight.h.
 * SPDX-License-Identifier: MIT
 * From: gates.c asks last; request.c leaves.   To: in_flight_table.c counts over all workers.   Runs in: whoever builds a generation; then the owning loop. */
#include "in_flight.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "conf_priv.h"
#include "heritage.h"
#include "in_flight_table.h"
#include "route_identity.h"
#include "worker.h"

/* One limit. Its limiter is looked up when it is first needed: a generation is built where the shared memory is not at hand. */
struct limit {
        uint64_t identity;
        uint32_t most;               /* 0: none */
        _Atomic uint32_t limiter;    /* 0: not looked up yet */
};

struct in_flight {
        struct limit *own;           /* of the route; NULL: none */
        struct limit **listeners;    /* by index, what counts for all; behind the last, of listeners that are gone. NULL: the route is exempt */
};

/* Those that wait at one limiter, in the order in which they came. */
struct line { struct request *first, *last; };

struct in_flight_loop {
        struct loop *loop;
        struct wheel_timer timer;    /* set while anybody waits */
        uint32_t count;
        struct line lines[IN_FLIGHT_LIMITERS];
};

/* ---- building ------------------------------------------------------------------------------------------------------------ */

static uint64_t
identity_of(const char *kind, uint64_t of)
{
        uint64_t h = identity_mix(identity_text(0, kind), &of, sizeof(of));

        return h != 0 ? h : 1;
}

static uint64_t
identity_of_all(void)
{
        return identity_of("in_flight of all", 0);
}

static uint64_t
identity_of_listener(const struct conf_listener *l)
{
        return identity_of("in_flight of a listener", identity_text(0, l->name));
}

static uint64_t
identity_of_route(const struct route *route)
{
        return identity_of("in_flight of a route", route->identity);
}

/* Does it say a limit of its own, or is it that for all? */
static bool
says_own(const struct conf_listener *l)
{
        return keys_is_set(&limits_keys, l->limits.set, "in_flight");
}

size_t
in_flight_identities(const struct conf *c, uint64_t *ret_ids, size_t room)
{
        size_t n = 0;

        if (n < room)
                ret_ids[n] = identity_of_all();
        n += 1;
        for (size_t i = 0; i < c->listeners.count; i++) {
                const struct conf_listener *l = conf_listener_at(c, i);

                if (!says_own(l) || l->limits.in_flight == 0)
                        continue;
                if (n < room)
                        ret_ids[n] = identity_of_listener(l);
                n++;
        }
        for (size_t i = 0; i < c->routes.count; i++) {
                if (conf_route_at(c, i)->in_flight == 0)
                        continue;
                if (n < room)
                        ret_ids[n] = identity_of_route(conf_route_at(c, i));
                n++;
        }
        return n;
}

/* What counts for all, by the listener that a request came in at. NULL in *ret: nothing does anywhere. */
static int
build_all(struct generation *g, struct limit ***ret)
{
        const struct conf *c = &g->conf;
        struct limit *all = arena_alloc(g->arena, sizeof(*all)), **listeners = arena_alloc(g->arena, (c->listeners.count + 1) * sizeof(*listeners));
        bool any = c->limits.in_flight > 0;

        if (all == NULL || listeners == NULL)
                return -ENOMEM;
        *all = (struct limit){ .identity = identity_of_all(), .most = c->limits.in_flight };
        listeners[c->listeners.count] = all;
        for (size_t i = 0; i < c->listeners.count; i++) {
                const struct conf_listener *l = conf_listener_at(c, i);

                listeners[i] = all;
                if (!says_own(l))
                        continue;
                listeners[i] = arena_alloc(g->arena, sizeof(**listeners));
                if (listeners[i] == NULL)
                        return -ENOMEM;
                *listeners[i] = (struct limit){ .identity = identity_of_listener(l), .most = l->limits.in_flight };
                any |= l->limits.in_flight > 0;
        }
        *ret = any ? listeners : NULL;
        return 0;
}

int
in_flight_build(struct generation *g, const struct route *route, struct diags *d, const struct in_flight **ret)
{
        struct in_flight *made;
        int e = 0;

        (void)d;
        if (route != NULL && !keys_is_set(&route_keys, route->set, "in_flight"))
                return 0;
        if (route != NULL && route->in_flight == 0) {
                *ret = NULL;
                return 0;
        }
        made = arena_alloc(g->arena, sizeof(*made));
        if (made == NULL)
                return -ENOMEM;
        *made = (struct in_flight){ .own = NULL };
        if (route == NULL) {
                e = build_all(g, &made->listeners);
        } else {
                made->listeners = *ret != NULL ? (*ret)->listeners : NULL;
                made->own = arena_alloc(g->arena, sizeof(*made->own));
                if (made->own == NULL)
                        return -ENOMEM;
                *made->own = (struct limit){ .identity = identity_of_route(route), .most = route->in_flight };
        }
        if (e == 0 && (made->own != NULL || made->listeners != NULL))
                *ret = made;
        return e;
}

/* ---- places ---------------------------------------------------------------------------------------------------------------- */

static struct in_flight_table *
table_of(const struct loop *l)
{
        return l->worker->heritage->in_flight;
}

static uint32_t
worker_of(const struct loop *l)
{
        return l->worker->heritage->index;
}

/* 0: it has none any more. A request of a generation that was replaced twice comes here for the first time, and others needed it (in_flight_assign): it counts nowhere. */
static uint32_t
limiter_of(const struct loop *l, struct limit *limit)
{
        uint32_t limiter = atomic_load_explicit(&limit->limiter, memory_order_relaxed);

        if (limiter == 0) {
                limiter = in_flight_find(table_of(l), limit->identity);
                atomic_store_explicit(&limit->limiter, limiter, memory_order_relaxed);
        }
        return limiter;
}

/* The limit for all that counts where the request came in; NULL: none. A listener that is gone has what is said for all, as the request has. */
static struct limit *
limit_of_listener(const struct request *r, const struct in_flight *f)
{
        const struct conf *c = request_conf(r);
        size_t i = 0;

        if (f->listeners == NULL)
                return NULL;
        while (i < c->listeners.count && r->limits != &conf_listener_at(c, i)->limits)
                i++;
        return f->listeners[i]->most > 0 ? f->listeners[i] : NULL;
}

static void
give(struct loop *l, uint32_t limiter)
{
        in_flight_give(table_of(l), limiter, worker_of(l), l->index);
        if (l->in_flight != NULL && l->in_flight->lines[limiter].first != NULL)
                loop_ready(l, l->in_flight->lines[limiter].first->conn);
}

/* Both or none. 0: taken; else the limiter that is full. */
static uint32_t
take(struct request *r)
{
        const struct in_flight *f = r->policy->in_flight;
        struct loop *l = r->conn->loop;
        struct limit *limits[2] = { f->own, limit_of_listener(r, f) };
        uint32_t count = 0;

        assert(r->flying[0] == 0);
        for (size_t i = 0; i < 2; i++) {
                uint32_t limiter;

                if (limits[i] == NULL)
                        continue;
                limiter = limiter_of(l, limits[i]);
                if (limiter == 0)
                        continue;
                if (in_flight_take(table_of(l), limiter, worker_of(l), l->index, limits[i]->most)) {
                        r->flying[count++] = (uint16_t)limiter;
                        continue;
                }
                while (count > 0) {
                        give(l, r->flying[--count]);
                        r->flying[count] = 0;
                }
                return limiter;
        }
        return 0;
}

/* ---- waiting ----------------------------------------------------------------------------------------------------------------- */

static void on_look(struct wheel_timer *t);

static struct in_flight_loop *
waiting_of(struct loop *l)
{
        if (l->in_flight == NULL && (l->in_flight = calloc(1, sizeof(*l->in_flight))) != NULL) {
                l->in_flight->loop = l;
                l->in_flight->timer.fn = on_look;
        }
        return l->in_flight;
}

void
in_flight_loop_free(struct loop *l)
{
        if (l->in_flight != NULL)
                wheel_cancel(&l->wheel, &l->in_flight->timer);
        free(l->in_flight);
        l->in_flight = NULL;
}

static void
line_up(struct in_flight_loop *w, struct request *r, uint32_t limiter)
{
        struct line *line = &w->lines[limiter];

        r->waits_at = (uint16_t)limiter;
        r->wait_next = NULL;
        r->wait_prev = line->last;
        *(line->last != NULL ? &line->last->wait_next : &line->first) = r;
        line->last = r;
}

static void
step_out(struct in_flight_loop *w, struct request *r)
{
        struct line *line = &w->lines[r->waits_at];

        *(r->wait_prev != NULL ? &r->wait_prev->wait_next : &line->first) = r->wait_next;
        *(r->wait_next != NULL ? &r->wait_next->wait_prev : &line->last) = r->wait_prev;
        r->wait_next = r->wait_prev = NULL;
        r->waits_at = 0;
}

/* It waits no longer, whatever comes of it. */
static void
end_wait(struct request *r)
{
        struct loop *l = r->conn->loop;

        step_out(l->in_flight, r);
        r->pending = false;
        in_flight_give(table_of(l), IN_FLIGHT_WAITING, worker_of(l), l->index);
        if (--l->in_flight->count == 0)
                wheel_cancel(&l->wheel, &l->in_flight->timer);
}

static void
refuse(struct request *r)
{
        board_add(r->conn->loop->board, C_in_flight_refused, 1);
        request_busy(r);
}

static enum gate_verdict
wait_or_refuse(struct request *r, uint32_t limiter)
{
        struct loop *l = r->conn->loop;
        const struct conf_queue *queue = &request_conf(r)->queue;
        struct in_flight_loop *w = waiting_of(l);

        if (w == NULL || !in_flight_take(table_of(l), IN_FLIGHT_WAITING, worker_of(l), l->index, queue->size)) {
                refuse(r);
                return GATE_ANSWERED;
        }
        line_up(w, r, limiter);
        r->pending = true;
        r->wait_deadline_ms = l->now_ms + queue->timeout_ms;
        if (r->conn->rdhup)
                request_client_left(r);
        if (w->count++ == 0)
                wheel_set(&l->wheel, &w->timer, l->now_ms + WHEEL_TICK_MS);
        board_add(l->board, C_in_flight_waited, 1);
        return GATE_WAIT;
}

/* As a gate says it. */
static enum gate_verdict
enter(struct request *r)
{
        const struct in_flight *f = r->policy->in_flight;
        struct loop *l = r->conn->loop;
        struct limit *all = limit_of_listener(r, f);
        uint32_t full;

        /* Who came before goes before. */
        if (l->in_flight != NULL && f->own != NULL && l->in_flight->lines[limiter_of(l, f->own)].first != NULL)
                full = limiter_of(l, f->own);
        else if (l->in_flight != NULL && all != NULL && l->in_flight->lines[limiter_of(l, all)].first != NULL)
                full = limiter_of(l, all);
        else
                full = take(r);
        return full == 0 ? GATE_PASS : wait_or_refuse(r, full);
}

/* What is gathered before Python sees it takes its place when it is whole: else a few slow uploads would keep everybody out. */
enum gate_verdict
in_flight_gate(struct request *r)
{
        bool python = r->route->action == ROUTE_PYTHON || r->route->action == ROUTE_APP;

        return python && request_gathers(r) ? GATE_PASS : enter(r);
}

bool
in_flight_ready(struct request *r)
{
        return r->policy->in_flight == NULL || r->flying[0] != 0 || enter(r) == GATE_PASS;
}

bool
in_flight_again(struct request *r)
{
        struct loop *l = r->conn->loop;
        struct request *next;
        uint32_t at = r->waits_at, full;

        if (l->in_flight->lines[at].first != r)
                return false; /* its connection was stepped for another reason */
        if (r->gone_ms != 0 && r->gone_ms <= l->now_ms) { /* its client has left: nobody is to work for it */
                end_wait(r);
                r->broken = true;
                board_add(l->board, C_python_abandoned, 1);
                next = l->in_flight->lines[at].first;
                if (next != NULL)
                        loop_ready(l, next->conn);
                return true;
        }
        full = take(r);
        if (full == at)
                return false;
        if (full != 0) { /* there is room here, but not at its other limit: it waits there */
                step_out(l->in_flight, r);
                line_up(l->in_flight, r, full);
        } else {
                end_wait(r);
        }
        next = l->in_flight->lines[at].first;
        if (next != NULL)
                loop_ready(l, next->conn); /* perhaps there is room for more than one */
        if (full != 0)
                return false;
        if (r->body != BODY_STATE_BUFFERING) /* else it waited behind all gates, with its body, and is handed over now */
                gates_go_on(r);
        return true;
}

/* Places that other loops gave back, and those who waited too long. All wait equally long but for reloads, so the first of a line is the first whose time is over. */
static void
on_look(struct wheel_timer *t)
{
        struct in_flight_loop *w = (struct in_flight_loop *)(void *)((char *)t - offsetof(struct in_flight_loop, timer));
        struct loop *l = w->loop;
        uint32_t used = atomic_load_explicit(&table_of(l)->used, memory_order_relaxed);

        for (uint32_t i = 1; i <= used; i++) {
                struct request *r;

                while ((r = w->lines[i].first) != NULL && r->wait_deadline_ms <= l->now_ms) {
                        end_wait(r);
                        refuse(r);
                        loop_ready(l, r->conn);
                }
                if (r != NULL)
                        loop_ready(l, r->conn);
        }
        if (w->count > 0)
                wheel_set(&l->wheel, t, l->now_ms + WHEEL_TICK_MS);
}

void
in_flight_leave(struct request *r)
{
        if (r->waits_at != 0)
                end_wait(r);
        for (size_t i = 0; i < 2 && r->flying[i] != 0; i++) {
                give(r->conn->loop, r->flying[i]);
                r->flying[i] = 0;
        }
}
