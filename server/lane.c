/* lane.c - the loop's side of a pool: lanes, their slots, and what a death leaves.
 * SPDX-License-Identifier: MIT
 * From: worker.c says which pools and pyworkers come and go; request.c lets requests go.   To: ipc/ for every shared byte.
 * Beside it: lane_submit.c (requests out), lane_body.c (their bodies), lane_answers.c (answers back), lane_wake.c (sleeping, waking, the rescue scan).
 * Runs in: the owning loop.
 * Invariants (ipc/README.md): a slot in use has exactly one lane_slot with its generation; only lane_slot_free gives it back, after DONE or after its owner was reaped. */
#include "lane_priv.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "cors_live.h"
#include "log.h"

/* ---- making ------------------------------------------------------------------------------------------------------------- */

int
lane_new(struct worker_pool *pool, uint32_t queue_max, int bell_fd, int words_fd, int requests_fd, struct lane **ret)
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
        l->queue_max = queue_max;
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
        if (l->cors != NULL && l->loop != NULL)
                l->loop->cors_live--;
        cors_live_free(l->cors);
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

void
lane_cors_set(struct loop *loop, uint32_t pool_id, struct cors_live *c)
{
        struct lane *l = lane_find(loop, pool_id);

        if (l == NULL) {
                cors_live_free(c);
                return;
        }
        loop->cors_live += (c != NULL) - (l->cors != NULL);
        cors_live_free(l->cors);
        l->cors = c;
}

const struct cors_live *
lane_cors(const struct lane *lane)
{
        return lane->cors;
}

struct lane *
lane_find(struct loop *loop, uint32_t pool_id)
{
        struct lane *l = loop->lanes;

        while (l != NULL && l->pool->id != pool_id)
                l = l->next;
        return l;
}

struct lane *
lane_of(const struct request *r, uint32_t app_index)
{
        uint32_t pool = r->lg->g->bundle.apps[app_index].pool_id;

        return pool != 0 ? lane_find(r->conn->loop, pool) : NULL;
}

void
lane_wake_peer(const struct peer *p)
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
        lane_wake_peer(p); /* it may have gone to sleep before we could have woken it */
}
/* ---- slots -------------------------------------------------------------------------------------------------------------- */

void
lane_step_paused(struct lane *l)
{
        if (!l->starved)
                return;
        l->starved = false;
        for (uint32_t i = 0; i < l->slot_count; i++)
                if (l->slots[i].request != NULL && l->slots[i].request->body_paused)
                        loop_ready(l->loop, l->slots[i].request->conn);
}

void
lane_slot_free(struct lane *l, struct lane_slot *s)
{
        assert(s->used && s->request == NULL);
        if (s->ended)
                l->lingering--;
        s->used = false;
        l->in_use--;
        l->message_chunks -= s->in_chunk;
        board_add(l->loop->board, C_slots_freed, 1);
        l->loop->unsettled = true;
        lane_step_paused(l); /* its chunks are free too */
}

/* The request lets go of its slot; the slot stays with its taker. */
struct lane_slot *
lane_detach(struct request *r)
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
        lane_slot_free(l, lane_detach(r));
        return true;
}

bool
lane_abandon(struct request *r)
{
        struct lane *l = r->lane;
        struct lane_slot *s;
        const struct conf_app *app = conf_app_at(request_conf(r), r->asked_app);
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
        s = lane_detach(r);
        assert(!s->ended);
        return false;
}
/* ---- deaths ------------------------------------------------------------------------------------------------------------- */

static void
fail_slot(struct lane *l, struct lane_slot *s, bool again)
{
        struct request *r = s->request;

        if (r != NULL) {
                (void)lane_detach(r);
                board_add(l->loop->board, C_python_died, 1);
                if (!again || !dispatch_again(r))
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
                        fail_slot(l, s, true);
                ipc_slot_reap(l->ipc, i);
                board_add(l->loop->board, C_slots_reaped, 1);
                lane_slot_free(l, s);
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
                (void)lane_poll_peer(l, p); /* answers that were done are delivered */
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
        for (pp = &loop->lanes; *pp != l; pp = &(*pp)->next)
                ;
        *pp = l->next; /* first: nobody who fails now may ask it for an error page */
        for (uint32_t i = 0; i < l->slot_count; i++) {
                if (!l->slots[i].used)
                        continue;
                fail_slot(l, &l->slots[i], false);
                lane_slot_free(l, &l->slots[i]);
        }
        lane_free(l);
}

void
lanes_free(struct loop *loop)
{
        while (loop->lanes != NULL)
                lane_remove(loop, loop->lanes->pool->id);
}
