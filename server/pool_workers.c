/* pool_workers.c - the pools as workers come and go: a new one gets its lanes, a dead one is forgotten, and what they report is heard.
 * SPDX-License-Identifier: MIT
 * From: workers.c says who was born, who died, who wrote.   To: pool_lanes.c, pool.c, pool_seats.c, pool_retire.c.
 * Runs in: the master. */
#include "pool_priv.h"

#include <string.h>

#include "log.h"

static bool
worker_find(struct master *m, uint32_t index, struct worker_info *ret)
{
        struct worker_info list[WORKERS_MAX];
        size_t count = workers_list(m, list, WORKERS_MAX);

        for (size_t i = 0; i < count; i++)
                if (list[i].index == index) {
                        *ret = list[i];
                        return true;
                }
        return false;
}

static struct pool *
pool_by_id(struct master *m, uint32_t id)
{
        struct pool *p = m->pools ? m->pools->first : NULL;

        while (p && p->id != id)
                p = p->next;
        return p;
}

void
pools_worker_born(struct master *m, uint32_t index)
{
        struct worker_info w;
        int r;

        if (!worker_find(m, index, &w))
                return;
        for (struct pool *p = m->pools ? m->pools->first : NULL; p; p = p->next) {
                /* One that retires is of a generation which this worker never serves. */
                if (p->state != POOL_STARTING && p->state != POOL_READY && p->state != POOL_FAILED)
                        continue;
                if ((r = pool_lanes_open(p, &w)) < 0) {
                        log_error("app %s: no shared memory with worker %u: %s; it answers 503 for this app", p->app.name, index, strerror(-r));
                        continue;
                }
                for (unsigned i = 0; i < p->seat_count; i++)
                        if (p->seats[i].py)
                                pool_lanes_attach(p, p->seats[i].py, &w);
                pool_cors_tell(p, index);
        }
}

static void
swept(struct pool *p, unsigned place, uint32_t index)
{
        p->places[place].sweeping &= ~(UINT64_C(1) << index);
        if (p->places[place].sweeping == 0)
                for (unsigned i = 0; i < p->seat_count; i++)
                        if (p->seats[i].waits) {
                                pool_seats_fill(p);
                                return;
                        }
}

void
pools_worker_dead(struct master *m, uint32_t index)
{
        struct pool *next;

        for (struct pool *p = m->pools ? m->pools->first : NULL; p; p = next) {
                next = p->next;
                if (!p->workers[index].live)
                        continue;
                for (unsigned i = 0; i < p->seat_count; i++)
                        if (p->seats[i].py)
                                pool_lanes_detach(p, p->seats[i].py, index);
                pool_lanes_drop(p, index);
                for (unsigned i = 0; i < IPC_PLACES; i++)
                        swept(p, i, index);
                pool_drain_if_idle(p);
                pool_settle(p);
        }
}

void
pools_message(struct master *m, uint32_t index, const struct msg *msg, const char *text)
{
        struct pool *p = pool_by_id(m, msg->pool_id);

        if (!p || index >= WORKERS_MAX || !p->workers[index].live)
                return; /* said about a pool that ended meanwhile */
        switch (msg->kind) {
        case MSG_POOL_OPENED:
                p->workers[index].opened = true;
                pool_settle(p);
                break;
        case MSG_PY_SWEPT: {
                unsigned place = ipc_owner_place((ipc_owner)msg->owner);

                if (p->places[place].last == msg->owner && !p->places[place].taken)
                        swept(p, place, index);
                break;
        }
        case MSG_POOL_IDLE:
                p->workers[index].idle = true;
                pool_drain_if_idle(p);
                break;
        case MSG_PY_BROKEN:
                for (unsigned i = 0; i < p->seat_count; i++)
                        if (p->seats[i].py && p->seats[i].py->owner == msg->owner && p->seats[i].py->state != PY_KILLED) {
                                log_error("app %s: pyworker %d: %s (says worker %u); killing it", p->app.name, (int)p->seats[i].py->pid, text, index);
                                pyproc_kill(p->seats[i].py, true, text);
                        }
                break;
        default:
                break;
        }
}
