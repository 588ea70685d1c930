/* lane_wake.c - who sleeps, who is woken, and the scan that tests want to find nothing.
 * SPDX-License-Identifier: MIT
 * From: loop.c around epoll_wait and once a second.   To: pyworkers, by their eventfds; the master, by worker_say.   Runs in: the owning loop.
 * The order of flags and fences is told in ipc/README.md. */
#include <stdio.h>

#include "lane_priv.h"
#include "log.h"

static struct peer *
peer_at(const struct lane *l, unsigned place)
{
        struct peer *p = l->peers;

        while (p != NULL && ipc_owner_place(p->owner) != place)
                p = p->next;
        return p;
}

/* Wakes one sleeper. False: nobody sleeps that we could wake. */
bool
lane_wake_one(struct lane *l)
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
        lane_wake_peer(p);
        return true;
}

/* A pyworker that was woken for one request may have found another just before, and hands the wake-up back (ipc/README.md). Which request that
 * leaves is not said: as many sleepers may be needed as requests wait. */
static uint32_t
orphans(struct lane *l)
{
        uint32_t returned = ipc_bell_returned(l->bell);

        if (returned == l->returned_seen)
                return 0;
        l->returned_seen = returned;
        return l->in_use > 0 ? ipc_lane_ready_count(l->ipc) : 0;
}

void
lanes_wake(struct loop *loop)
{
        for (struct lane *l = loop->lanes; l != NULL; l = l->next) {
                uint32_t sent = 0, wanted = loop->poked ? orphans(l) : 0;

                if (wanted < l->published)
                        wanted = l->published;
                /* One sleeper for each request: a woken one may be held by its first request for seconds, and cannot wake the others. */
                while (sent < wanted && lane_wake_one(l))
                        sent++;
                if (sent > 0)
                        board_add(loop->board, C_wakeups_sent, sent);
                if (sent < l->published)
                        board_add(loop->board, C_wakeups_saved, l->published - sent);
                l->published = 0;
        }
        loop->poked = false;
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
/* ---- once a second ------------------------------------------------------------------------------------------------------ */

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

        if (s != NULL && s->id == l->overdue && lane_wake_one(l)) {
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
